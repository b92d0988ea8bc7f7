"""Names that lead outside our zones, asked of a running server with a resolver, over UDP and TCP."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import dns.edns
import dns.message
import dns.rcode
import dns.rrset
import pytest

from headlessdns import names
from tests.peers.process import wait_until
from tests.server.resolver import Asked, ScriptedResolver
from tests.server.serving import Serving, framed, read_message
from tests.support import header, question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS = ("www", "dual", "chain", "missing", "nodata", "silent", "failing", "cut", "garbage", "liar")
OWN = "web-0.nginx.default.svc.cluster.local"
MANIFEST = """\
apiVersion: v1
kind: Service
metadata: {name: nginx, namespace: default}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: nginx-1, namespace: default, labels: {kubernetes.io/service-name: nginx}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], hostname: web-0}]
---
apiVersion: v1
kind: Service
metadata: {name: ours, namespace: default}
spec: {type: ExternalName, externalName: web-0.nginx.default.svc.cluster.local}
"""
EXTERNAL = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {target}, namespace: default}}
spec: {{type: ExternalName, externalName: {target}.example.com}}
"""
MANY = [f"cut.example.com. 9 IN A 192.0.2.{host}" for host in range(1, 251)]


def script(asked: Asked) -> list[bytes]:
    """Return what the resolver says of each target."""
    qname, qtype = asked.question.split()[:2]
    target = qname.partition(".")[0]
    answers = {
        "www A": ["www.example.com. 9 IN A 192.0.2.1"],
        "dual A": ["dual.example.com. 9 IN A 192.0.2.2"],
        "dual AAAA": ["dual.example.com. 9 IN AAAA 2001:db8::2"],
        "chain A": ["chain.example.com. 9 IN CNAME end.example.net.", "end.example.net. 8 IN A 192.0.2.3"],
        "missing A": [],
        "nodata A": [],
    }
    if target == "silent":
        return []
    if target == "cut":
        return [asked.response(*MANY) if asked.is_stream else asked.response(tc=True)]
    if target == "garbage":
        return [asked.response("garbage.example.com. 9 IN A 192.0.2.9")[:-2]]
    if target == "liar":
        return [asked.response("liar.example.com. 9 IN A 192.0.2.9").replace(b"\x04liar", b"\x04lair", 1)]
    rcode = {"missing": "NXDOMAIN", "failing": "SERVFAIL"}.get(target, "NOERROR")
    return [asked.response(*answers.get(f"{target} {qtype}", []), rcode=rcode)]


@pytest.fixture(scope="module")
def resolver() -> Iterator[ScriptedResolver]:
    with ScriptedResolver(script) as resolver:
        yield resolver


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("manifests") / "objects.yaml"
    file.write_text(MANIFEST + "".join(EXTERNAL.format(target=target) for target in TARGETS))
    return file


@pytest.fixture(scope="module")
def server(resolver: ScriptedResolver, manifest: Path) -> Iterator[Serving]:
    flags = ("--resolver", f"127.0.0.1:{resolver.address[1]}", "--workers", "2")
    with Serving(*flags, manifests=manifest, listen="0.0.0.0:0") as server:
        server.addresses = [("127.0.0.1", server.address[1])]
        yield server


def cname(target: str) -> str:
    return f"{target}.default.svc.cluster.local. 5 IN CNAME {target}.example.com."


TRANSPORTS = [pytest.param("udp", id="UDP"), pytest.param("tcp", id="TCP")]
ROWS = [
    pytest.param("www A", "NOERROR", [cname("www"), "www.example.com. 9 IN A 192.0.2.1"], id="an address"),
    pytest.param("www AAAA", "NOERROR", [cname("www")], id="no address of the other family"),
    pytest.param("www CNAME", "NOERROR", [cname("www")], id="the CNAME itself"),
    pytest.param("www TXT", "NOERROR", [cname("www")], id="another type without data"),
    pytest.param("dual AAAA", "NOERROR", [cname("dual"), "dual.example.com. 9 IN AAAA 2001:db8::2"], id="AAAA"),
    pytest.param(
        "chain A",
        "NOERROR",
        [cname("chain"), "chain.example.com. 9 IN CNAME end.example.net.", "end.example.net. 8 IN A 192.0.2.3"],
        id="a chain of CNAMEs",
    ),
    pytest.param("missing A", "NXDOMAIN", [cname("missing")], id="NXDOMAIN at the end of the chain"),
    pytest.param("nodata A", "NOERROR", [cname("nodata")], id="NODATA at the end of the chain"),
    pytest.param("failing A", "SERVFAIL", [cname("failing")], id="SERVFAIL stays SERVFAIL"),
    pytest.param("garbage A", "SERVFAIL", [cname("garbage")], id="garbage: SERVFAIL"),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("asked", "rcode", "answer"), ROWS)
def test_a_name_outside_is_followed(server: Serving, transport: str, asked: str, rcode: str, answer: list[str]) -> None:
    """The CNAME is sent with what the resolver says of its target, and the RCODE of the chain's end."""
    name, qtype = asked.split()
    ask = server.udp if transport == "udp" else server.tcp
    response = ask(f"{name}.default.svc.cluster.local", qtype)
    assert dns.rcode.to_text(response.rcode()) == rcode
    lines = [line for rrset in response.answer for line in rrset.to_text().splitlines()]
    # TTLs count down while an answer is kept.
    assert [without_ttl(line) for line in lines] == [without_ttl(line) for line in answer]
    assert all(rrset.ttl <= 9 for rrset in response.answer)


def without_ttl(line: str) -> str:
    owner, _, rest = line.split(maxsplit=2)
    return f"{owner} {rest}"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("target", ["silent", "liar"])
def test_a_resolver_that_says_nothing_costs_a_second(server: Serving, transport: str, target: str) -> None:
    """Without an answer of the resolver, or with one to another question, it is SERVFAIL with EDE 22 after 1 s."""
    start_s = time.monotonic()
    response = (server.udp if transport == "udp" else server.tcp)(f"{target}.default.svc.cluster.local", "A")
    assert 0.9 < time.monotonic() - start_s < 1.9  # a forwarder in front gives up after 2 s
    assert response.rcode() == dns.rcode.SERVFAIL
    assert [rrset.to_text() for rrset in response.answer] == [cname(target)]


def test_a_cut_answer_is_asked_again_over_tcp(server: Serving, resolver: ScriptedResolver) -> None:
    """All records of an answer that the resolver cuts over UDP arrive over TCP; over UDP as many as fit, with TC."""
    response = server.tcp("cut.default.svc.cluster.local", "A")
    assert [len(rrset) for rrset in response.answer] == [1, 250]
    assert {"cut.example.com A", "cut.example.com A TCP"} <= set(resolver.asked)
    query = dns.message.make_query("cut.default.svc.cluster.local", "A")
    cut = dns.message.from_wire(exchange(server, query.to_wire()))
    assert cut.flags & dns.flags.TC
    assert [rrset.rdtype for rrset in cut.answer] == [5, 1]
    assert 0 < len(cut.answer[1]) < 30  # of 16 octets each, were their owner name a pointer


def exchange(server: Serving, message: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(server.address)
        client.send(message)
        return client.recv(4096)


def test_others_do_not_wait(server: Serving) -> None:
    """While queries wait for the resolver others are answered as quickly as ever, over UDP and TCP."""
    with contextlib.ExitStack() as stack:
        waiting = []
        for _ in range(50):
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.settimeout(5)
            client.connect(server.address)
            client.send(header(1, questions=1) + question("silent.default.svc.cluster.local"))
            waiting.append(client)
        stream = stack.enter_context(server.connect())
        stream.sendall(framed(header(1, questions=1) + question("silent.default.svc.cluster.local")))
        start_s = time.monotonic()
        slowest_s = 0.0
        while time.monotonic() - start_s < 0.7:
            for ask in (server.udp, server.tcp):
                asked_s = time.monotonic()
                assert [rrset[0].to_text() for rrset in ask(OWN).answer] == ["10.0.0.1"]
                slowest_s = max(slowest_s, time.monotonic() - asked_s)
        assert slowest_s < 0.3
        expected = names.to_text(names.from_text("silent.example.com"))
        for client in waiting:
            response = dns.message.from_wire(client.recv(512))
            assert [rrset[0].to_text() for rrset in response.answer] == [expected]
        assert len(dns.message.from_wire(read_message(stream)).answer) == 1


def test_an_answer_that_is_known_is_sent_at_once(server: Serving, resolver: ScriptedResolver) -> None:
    """While an answer is kept it is sent without another question to the resolver."""
    for _ in range(20):  # each worker has its own
        server.udp("dual.default.svc.cluster.local", "A")
    before = resolver.asked.count("dual.example.com A")
    for _ in range(50):
        assert len(server.udp("dual.default.svc.cluster.local", "A").answer) == 2
    assert resolver.asked.count("dual.example.com A") == before


def test_a_wildcard_answers_later_from_the_address_that_was_asked(server: Serving) -> None:
    """A response that waited for the resolver comes from the address that the query went to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.9", server.address[1]))
        client.send(header(1, questions=1) + question("silent.default.svc.cluster.local"))
        assert len(dns.message.from_wire(client.recv(512)).answer) == 1


def test_equal_queries_are_asked_of_the_resolver_once(manifest: Path) -> None:
    """20 equal queries at once lead to one question, and all are answered."""
    with (
        ScriptedResolver(script, delay_s=0.3) as resolver,
        Serving("--resolver", f"127.0.0.1:{resolver.address[1]}", manifests=manifest) as server,
    ):
        answered: list[int] = []

        def ask() -> None:
            answered.append(len(server.udp("www.default.svc.cluster.local", "A").answer))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answered == [2] * 20
        assert resolver.asked == ["www.example.com A"]


def test_without_a_resolver_only_the_cname_is_sent_and_the_log_says_so_once(manifest: Path) -> None:
    """Without ``--resolver`` a name outside is sent as a CNAME, at once; the log says so once for all of them."""
    with Serving(manifests=manifest) as server:
        for ask in (server.udp, server.tcp):
            for target in TARGETS[:3]:
                response = ask(f"{target}.default.svc.cluster.local", "A", timeout_s=0.5)
                assert [rrset.to_text() for rrset in response.answer] == [cname(target)]
        assert server.logged().count("without --resolver only the CNAME is sent") == 1


def test_a_target_of_ours_is_not_asked_of_the_resolver(server: Serving, resolver: ScriptedResolver) -> None:
    """A CNAME to a name of ours is followed here, whether the type is there or not."""
    found = server.udp("ours.default.svc.cluster.local", "A")
    assert [rrset[0].to_text() for rrset in found.answer] == [OWN + ".", "10.0.0.1"]
    denied = server.udp("ours.default.svc.cluster.local", "AAAA")
    assert [rrset[0].to_text() for rrset in denied.answer] == [OWN + "."]
    assert [rrset.rdtype for rrset in denied.authority] == [6]
    assert not [question for question in resolver.asked if "cluster.local" in question]


def errors(response: dns.message.Message) -> list[tuple[int, str | None]]:
    return [(int(one.code), one.text) for one in response.options if isinstance(one, dns.edns.EDEOption)]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        pytest.param("silent", 22, "the resolver does not answer", id="silence"),
        pytest.param("failing", 22, "the resolver answers SERVFAIL", id="SERVFAIL"),
        pytest.param("garbage", 23, "the resolver's answer cannot be read", id="garbage"),
    ],
)
def test_whoever_speaks_edns_is_told_why(server: Serving, transport: str, target: str, code: int, text: str) -> None:
    """A response without an answer of the resolver says why, to clients that speak EDNS."""
    ask = server.udp if transport == "udp" else server.tcp
    response = ask(f"{target}.default.svc.cluster.local", "A", use_edns=0)
    assert (dns.rcode.to_text(response.rcode()), errors(response)) == ("SERVFAIL", [(code, text)])


def test_a_denial_can_be_kept_by_a_forwarder(manifest: Path) -> None:
    """What the resolver denies is passed on with its SOA record, over UDP and TCP (RFC 2308)."""

    def deny(asked: Asked) -> list[bytes]:
        response = dns.message.from_wire(asked.response(rcode="NXDOMAIN" if "missing" in asked.qname else "NOERROR"))
        soa = "ns.example.com. me.example.com. 1 2 3 4 60"
        response.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "SOA", soa))
        return [response.to_wire()]

    with (
        ScriptedResolver(deny) as resolver,
        Serving("--resolver", f"127.0.0.1:{resolver.address[1]}", manifests=manifest) as server,
    ):
        for ask in (server.udp, server.tcp):
            for target, rcode in (("missing", "NXDOMAIN"), ("nodata", "NOERROR")):
                response = ask(f"{target}.default.svc.cluster.local", "A")
                assert dns.rcode.to_text(response.rcode()) == rcode
                assert [rrset.to_text() for rrset in response.answer] == [cname(target)]
                (soa,) = response.authority
                assert (soa.name.to_text(), soa.rdtype) == ("example.com.", 6)
                assert soa.ttl in range(55, 61)


def test_a_resolver_that_comes_later_is_used(manifest: Path) -> None:
    """A resolver that is not there is no reason not to start; the log and a metric say so, and that it is back."""
    resolver = ScriptedResolver(script)
    with Serving(
        "--resolver", f"127.0.0.1:{resolver.address[1]}", "--http", "127.0.0.1:0", manifests=manifest
    ) as server:
        response = server.udp("www.default.svc.cluster.local", "A", use_edns=0)
        assert (dns.rcode.to_text(response.rcode()), errors(response)) == (
            "SERVFAIL",
            [(23, "the resolver cannot be reached")],
        )
        server.await_log(f"warning the resolver 127.0.0.1:{resolver.address[1]} does not answer (network error)")
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as page:
            assert 'headlessdns_resolver_requests_total{proto="udp",result="network error"} 1.0' in page.read().decode()
        with resolver:
            wait_until(lambda: len(server.udp("www.default.svc.cluster.local", "A").answer) == 2, "the address", 8)
            server.await_log(f"the resolver 127.0.0.1:{resolver.address[1]} answers again")
        assert server.logged().count("does not answer") == 1
