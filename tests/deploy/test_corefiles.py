"""``deploy/coredns``: a real CoreDNS takes the blocks and does with them what their README says.

What is asked of CoreDNS here is answered by pretended servers in the place of headlessdns and of the node's resolver.
The ports of the blocks are replaced by free ones, and nothing else is changed in them.
"""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest
import yaml

from tests.peers.process import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parents[2] / "deploy" / "coredns"
VARIANTS = {"cluster-zone": "cluster.local", "own-zone": "headless.local"}
BY_ZONE = [pytest.param(file, zone, id=file) for file, zone in VARIANTS.items()]


class Pretender:
    """A DNS server on 127.0.0.1 (UDP) that says the same to every question: what `says` was last set to."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.rcode = dns.rcode.NOERROR
        self.answer = ""
        self.authority = ""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def says(self, rcode: dns.rcode.Rcode, answer: str = "", authority: str = "") -> None:
        """Set the reply: *answer* and *authority* are one RR each in text form, where ``@`` is the name asked for."""
        self.rcode, self.answer, self.authority = rcode, answer, authority

    def _serve(self) -> None:
        while True:
            octets, address = self._socket.recvfrom(65535)
            if not octets:
                return
            query = dns.message.from_wire(octets)
            response = dns.message.make_response(query)
            response.flags |= dns.flags.AA
            # A health check asks for `. NS`, and any reply will do.
            response.set_rcode(self.rcode)
            name = query.question[0].name.to_text()
            for section, text in ((response.answer, self.answer), (response.authority, self.authority)):
                if text:
                    owner, ttl_s, _, rtype, rdata = text.replace("@", name).split(maxsplit=4)
                    section.append(dns.rrset.from_text(owner, int(ttl_s), "IN", rtype, rdata))
            self._socket.sendto(response.to_wire(), address)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()


class Bench:
    """A CoreDNS with one of our Corefiles, between a pretended headlessdns and a pretended resolver of the node."""

    def __init__(self, file: str, coredns: Path, folder: Path) -> None:
        self.headlessdns, self.resolver = Pretender(), Pretender()
        self.port, fallback, metrics = free_port(), free_port(), free_port()
        text = (FOLDER / f"{file}.Corefile").read_text()
        for old, new in {
            "10.96.0.53": f"127.0.0.1:{self.headlessdns.port}",
            "/etc/resolv.conf": f"127.0.0.1:{self.resolver.port}",
            ":53 ": f":{self.port} ",
            ":5355": f":{fallback}",
            "    prometheus :9153": f"    bind 127.0.0.1\n    prometheus 127.0.0.1:{metrics}",
            # There is no API server here: do not wait for one.
            "pods insecure": "pods insecure\n        endpoint http://127.0.0.1:9\n        startup_timeout 1ms",
        }.items():
            text = text.replace(old, new)
        (folder / "Corefile").write_text(text)
        self.process = Process([coredns, "-conf", "Corefile"], folder / "coredns.log", cwd=folder)
        self.process.start()
        self.process.wait_ready(self._listens, deadline_s=20)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, name: str, rtype: str = "A") -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(name, rtype), "127.0.0.1", port=self.port, timeout=5)

    def close(self) -> None:
        self.process.stop()
        self.headlessdns.close()
        self.resolver.close()


@pytest.fixture
def bench(program: Callable[[str], Path], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request.param, program("coredns"), tmp_path)
    yield bench
    bench.close()


def records(message: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in message.answer for rdata in rrset]


both = pytest.mark.parametrize(("bench", "zone"), BY_ZONE, indirect=["bench"])
cluster_zone = pytest.mark.parametrize("bench", ["cluster-zone"], indirect=True)
own_zone = pytest.mark.parametrize("bench", ["own-zone"], indirect=True)


@pytest.mark.parametrize("file", VARIANTS)
def test_the_block_names_the_cluster_ip_of_the_manifests(file: str) -> None:
    """CoreDNS forwards to the address that deploy/base gives to our Service."""
    address = yaml.safe_load((FOLDER.parent / "base" / "service.yaml").read_text())["spec"]["clusterIP"]
    (upstreams,) = re.findall(
        r"^    forward \. ([\d.: ]+) \{$", (FOLDER / f"{file}.Corefile").read_text(), re.MULTILINE
    )
    assert upstreams.split()[0] == address == "10.96.0.53"


@both
def test_names_of_the_zone_are_asked_of_headlessdns(bench: Bench, zone: str) -> None:
    """CoreDNS takes the block and hands on our answer, TTL included."""
    bench.headlessdns.says(dns.rcode.NOERROR, "@ 5 IN A 10.244.1.10")
    response = bench.ask(f"web-0.nginx.default.svc.{zone}")
    assert response.answer == [dns.rrset.from_text(f"web-0.nginx.default.svc.{zone}.", 5, "IN", "A", "10.244.1.10")]
    assert response.answer[0].ttl == 5


@both
def test_an_answer_is_not_kept_for_longer_than_its_ttl(bench: Bench, zone: str) -> None:
    """A new address is seen when the TTL of the old one has passed, not after the 5 s that CoreDNS has by default."""
    name = f"web-0.nginx.default.svc.{zone}"
    bench.headlessdns.says(dns.rcode.NOERROR, "@ 1 IN A 10.244.1.10")
    assert records(bench.ask(name)) == ["10.244.1.10"]
    bench.headlessdns.says(dns.rcode.NOERROR, "@ 1 IN A 10.244.2.77")
    wait_until(lambda: records(bench.ask(name)) == ["10.244.2.77"], "the new address", deadline_s=3)


@both
def test_a_missing_name_is_missing_for_a_second_at_most(bench: Bench, zone: str) -> None:
    """A name that was asked for too early is found a second after it appears, whatever the SOA says."""
    name = f"web-0.nginx.default.svc.{zone}"
    bench.headlessdns.says(
        dns.rcode.NXDOMAIN, authority=f"{zone}. 30 IN SOA ns.dns.{zone}. h.{zone}. 1 7200 1800 86400 30"
    )
    assert bench.ask(name).rcode() == dns.rcode.NXDOMAIN
    bench.headlessdns.says(dns.rcode.NOERROR, "@ 5 IN A 10.244.1.10")
    wait_until(lambda: records(bench.ask(name)) == ["10.244.1.10"], "the new name", deadline_s=3)


@own_zone
def test_a_server_failure_is_not_kept(bench: Bench) -> None:
    """The question after a SERVFAIL is asked again."""
    bench.headlessdns.says(dns.rcode.SERVFAIL)
    assert bench.ask("web-0.nginx.default.svc.headless.local").rcode() == dns.rcode.SERVFAIL
    bench.headlessdns.says(dns.rcode.NOERROR, "@ 5 IN A 10.244.1.10")
    assert records(bench.ask("web-0.nginx.default.svc.headless.local")) == ["10.244.1.10"]


@cluster_zone
def test_reverse_names_that_we_refuse_are_asked_of_the_nodes_resolver(bench: Bench) -> None:
    """The PTR of an address outside our ranges is found as it was before there was a headlessdns."""
    bench.headlessdns.says(dns.rcode.REFUSED)
    bench.resolver.says(dns.rcode.NOERROR, "@ 60 IN PTR printer.example.com.")
    assert records(bench.ask("7.1.168.192.in-addr.arpa", "PTR")) == ["printer.example.com."]
