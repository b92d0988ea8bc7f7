"""The long way: truncation, EDNS, CHAOS, names that wait, CNAMEs that leave our zones, and any octets whatever."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.cluster.objects import Kind, Replace
from headlessdns.records.rules import PodNames, Settings
from headlessdns.wire.answers import Table
from headlessdns.wire.respond import Chase, Chased, Client, Identity, respond
from tests.support import (
    CLIENT,
    IDENTITY,
    NOW_S,
    Cluster,
    ask,
    endpoint,
    endpoint_slice,
    exchange,
    external,
    flags_of,
    header,
    namespace,
    opt,
    option,
    pod,
    question,
    service,
)

ZONE = "default.svc.cluster.local"
WEB_0 = endpoint("10.0.0.1", "web-0")
RESOLVES = msgspec.structs.replace(IDENTITY, has_resolver=True)


def rcode(response: dns.message.Message) -> str:
    return dns.rcode.to_text(response.rcode())


def errors(response: dns.message.Message) -> list[tuple[int, str | None]]:
    """Return the extended errors: code and text."""
    return [(int(option.code), option.text) for option in response.options if isinstance(option, dns.edns.EDEOption)]


def records(response: dns.message.Message) -> list[str]:
    return [str(rdata) for rrset in response.answer for rdata in rrset]


# Truncation


def test_lists_that_fit() -> None:
    """28 addresses fit 512 octets without EDNS, and 73 fit 1232 (RFC 1035 §4.2.1, RFC 6891)."""
    for count, options in ((28, {}), (73, {"use_edns": 0})):
        hosts = [endpoint(f"10.0.0.{host}") for host in range(count + 1)]
        fits = Cluster(namespace(), service(), endpoint_slice(endpoints=hosts[:count]))
        response = fits.ask(f"nginx.{ZONE}", "A", **options)
        assert (len(records(response)), response.flags & dns.flags.TC) == (count, 0)
        too_many = Cluster(namespace(), service(), endpoint_slice(endpoints=hosts))
        response = too_many.ask(f"nginx.{ZONE}", "A", **options)
        assert response.flags & dns.flags.TC


@pytest.mark.parametrize(
    ("options", "room"),
    [({}, 512), ({"payload": 512}, 512), ({"payload": 1232}, 1232), ({"payload": 4096}, 1232)],
)
def test_list_that_does_not_fit(cluster: Cluster, options: dict[str, Any], room: int) -> None:
    """A list that does not fit is filled with as many whole records as there is room for, TC set, each in its turn."""
    query = dns.message.make_query(f"big.{ZONE}", "A", **options)
    seen = set()
    for _ in range(200):
        wire = exchange(cluster.table, query.to_wire())
        assert wire is not None
        assert room - 16 < len(wire) <= room
        response = dns.message.from_wire(wire)
        assert flags_of(response) == {"qr", "aa", "tc", "rd"}
        assert len(set(records(response))) == len(records(response)) > 20
        seen |= set(records(response))
    assert len(seen) == 200


def test_glue_goes_first(cluster: Cluster) -> None:
    """Glue that does not fit is left out without TC, since it is not required (RFC 2181 §9)."""
    response = cluster.ask(f"_web._tcp.ten.{ZONE}", "SRV", use_edns=0, payload=1232)
    assert (len(records(response)), len(response.additional)) == (10, 10)
    response = cluster.ask(f"_web._tcp.ten.{ZONE}", "SRV", use_edns=0, payload=700)
    assert (len(records(response)), len(response.additional)) == (10, 0)
    assert not response.flags & dns.flags.TC


def test_srv_that_does_not_fit(cluster: Cluster) -> None:
    """SRV records that do not fit are a subset that moves on at each query, with TC and without glue."""
    seen = set()
    for _ in range(70):
        response = cluster.ask(f"_web._tcp.seventy.{ZONE}", "SRV")
        assert response.flags & dns.flags.TC
        assert response.additional == []
        assert len(set(records(response))) == len(records(response)) >= 5
        seen |= set(records(response))
    assert len(seen) == 70


def test_options_go_before_records() -> None:
    """Options of our own make room before a record that is required is left out."""
    hosts = [endpoint(f"10.0.0.{host}") for host in range(28)]
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=hosts))
    nsid = dns.edns.GenericOption(3, b"")
    response = cluster.ask(f"nginx.{ZONE}", "A", use_edns=0, payload=512, options=[nsid])
    assert (len(records(response)), response.flags & dns.flags.TC, response.options) == (28, 0, ())
    response = cluster.ask(f"nginx.{ZONE}", "A", use_edns=0, payload=600, options=[nsid])
    assert (len(records(response)), len(response.options)) == (28, 1)


def test_chain_that_does_not_fit(cluster: Cluster) -> None:
    """A chain is cut at its end, never at its start, which the rest follows from."""
    for _ in range(3):
        response = cluster.ask(f"to-big.{ZONE}", "A")
        assert response.flags & dns.flags.TC
        assert records(response)[0] == f"big.{ZONE}."
        assert len(records(response)) > 20


def test_whole_list_over_a_stream(cluster: Cluster) -> None:
    """Over TCP a list is whole, with its glue."""
    response = cluster.ask(f"_web._tcp.big.{ZONE}", "SRV", is_stream=True)
    assert (len(records(response)), len(response.additional)) == (200, 200)
    assert not response.flags & dns.flags.TC


def test_glue_goes_first_over_a_stream() -> None:
    """Glue that does not fit 64 KiB is left out; every SRV record is there."""
    hosts = [endpoint(f"10.0.{i >> 8}.{i & 255}", f"pod-{i}") for i in range(1000)]
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=hosts))
    response = cluster.ask(f"_web._tcp.nginx.{ZONE}", "SRV", is_stream=True)
    assert (len(records(response)), response.additional) == (1000, [])
    assert not response.flags & dns.flags.TC


@pytest.mark.parametrize(
    ("name", "qtype", "count", "whole"),
    [
        pytest.param(f"huge.{ZONE}", "A", 4080, 6000, id="A"),
        pytest.param(f"_web._tcp.huge.{ZONE}", "SRV", 1100, 6000, id="SRV"),
    ],
)
def test_more_than_a_stream_holds(cluster: Cluster, name: str, qtype: str, count: int, whole: int) -> None:
    """What is over 64 KiB is sent as the longest beginning, without TC, since there is nowhere to go, and says so."""
    before = cluster.table.cut
    query = dns.message.make_query(name, qtype, use_edns=0)
    wire = exchange(cluster.table, query.to_wire(), is_stream=True)
    assert wire is not None
    assert 65535 - 64 < len(wire) <= 65535
    response = dns.message.from_wire(wire)
    assert not response.flags & dns.flags.TC
    assert len(records(response)) >= count
    assert response.additional == []
    assert errors(response) == [(0, f"{whole} records do not fit a message of 65535 octets")]
    assert cluster.table.cut == before + 1


def test_more_than_a_stream_holds_without_edns(cluster: Cluster) -> None:
    """Without EDNS there is no word of it, and the message is as long."""
    response = cluster.ask(f"huge.{ZONE}", "A", is_stream=True)
    assert len(records(response)) >= 4080
    assert response.edns == -1


# EDNS


def test_nsid(cluster: Cluster) -> None:
    """Whoever asks for NSID gets the server's name (RFC 5001); nobody else does."""
    response = cluster.ask(f"web-0.nginx.{ZONE}", "A", use_edns=0, options=[dns.edns.GenericOption(3, b"")])
    assert [(int(option.otype), option.to_wire()) for option in response.options] == [(3, b"dns-0")]
    assert cluster.ask(f"web-0.nginx.{ZONE}", "A", use_edns=0).options == ()


def test_nsid_of_a_server_without_a_name(cluster: Cluster) -> None:
    """A server without a name says nothing."""
    options = [dns.edns.GenericOption(3, b"")]
    response = cluster.ask(f"web-0.nginx.{ZONE}", "A", use_edns=0, options=options, identity=Identity())
    assert response.options == ()


def test_cookie(cluster: Cluster) -> None:
    """A cookie is given back with a server's part, over UDP and TCP, beside other options."""
    options = [dns.edns.CookieOption(b"clientck", b""), dns.edns.GenericOption(3, b"")]
    for is_stream in (False, True):
        response = cluster.ask(f"web-0.nginx.{ZONE}", "A", use_edns=0, options=options, is_stream=is_stream)
        found = {int(option.otype): option for option in response.options}
        assert found.keys() == {3, 10}
        assert found[10].client == b"clientck"
        assert len(found[10].server) == 16
        assert found[10].server[:8] == b"\xf8\x00\x00\x00" + NOW_S.to_bytes(4, "big")


def test_cookie_depends_on_client_and_secret(cluster: Cluster) -> None:
    """Another address, another secret: another cookie. The same again: the same."""
    message = header(additionals=1) + opt(options=option(10, b"clientck"))
    other = msgspec.structs.replace(IDENTITY, cookie_secret=bytes(32))
    found = [
        exchange(cluster.table, message, identity=identity, client=Client(address))
        for identity in (IDENTITY, other)
        for address in (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), bytes(16))
    ]
    assert len(set(found)) == 6
    assert found[0] == exchange(cluster.table, message)


def test_cookie_alone(cluster: Cluster) -> None:
    """A client may ask for a cookie and nothing else (RFC 7873 §5.4)."""
    wire = exchange(cluster.table, header(additionals=1) + opt(options=option(10, b"clientck")))
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert (rcode(response), response.question, len(response.options)) == ("NOERROR", [], 1)


def test_badvers_has_no_options(cluster: Cluster) -> None:
    """A query of another EDNS version gets none of its options answered."""
    message = header(questions=1, additionals=1) + question(f"nginx.{ZONE}") + opt(version=1, options=option(3))
    wire = exchange(cluster.table, message)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert (rcode(response), response.answer, response.options) == ("BADVERS", [], ())


# Refusals


@pytest.mark.parametrize(
    ("name", "qtype", "code", "text"),
    [
        ("example.com", "A", 20, None),
        (".", "NS", 20, None),
        ("cluster.local", "AXFR", 21, "zone transfer is not offered"),
        ("cluster.local", "IXFR", 21, "zone transfer is not offered"),
        ("10.in-addr.arpa", "AXFR", 21, "zone transfer is not offered"),
        ("example.com", "AXFR", 20, None),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_refused(cluster: Cluster, name: str, qtype: str, code: int, text: str | None, is_stream: bool) -> None:
    """What is refused is so with a reason, and without AA."""
    message = header(questions=1, additionals=1) + question(name, dns.rdatatype.from_text(qtype)) + opt()
    wire = exchange(cluster.table, message, is_stream=is_stream)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert (rcode(response), errors(response), flags_of(response)) == ("REFUSED", [(code, text)], {"qr"})
    assert response.answer + response.authority == []


# CHAOS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("version.bind", '"headlessdns test"'),
        ("VERSION.server", '"headlessdns test"'),
        ("id.server", '"dns-0"'),
        ("hostname.bind", '"dns-0"'),
    ],
)
@pytest.mark.parametrize("qtype", ["TXT", "ANY"])
def test_chaos(cluster: Cluster, name: str, text: str, qtype: str) -> None:
    """The names that identify a server are answered in class CH, with TTL 0 (RFC 4892)."""
    response = cluster.ask(name, qtype, rdclass="CH")
    (rrset,) = response.answer
    assert (rrset.ttl, rrset.rdclass, rrset.rdtype, rrset[0].to_text()) == (0, 3, 16, text)
    assert flags_of(response) == {"qr", "aa", "rd"}


@pytest.mark.parametrize(
    ("name", "qtype", "identity", "expected"),
    [
        pytest.param("version.bind", "A", IDENTITY, "NOERROR", id="another-type"),
        pytest.param("authors.bind", "TXT", IDENTITY, "REFUSED", id="unknown-name"),
        pytest.param(f"nginx.{ZONE}", "A", IDENTITY, "REFUSED", id="a-name-of-class-IN"),
        pytest.param(r"version\.bind", "TXT", IDENTITY, "REFUSED", id="one-label-with-a-dot"),
        pytest.param(".", "TXT", IDENTITY, "REFUSED", id="the-root"),
        pytest.param("id.server", "TXT", Identity(), "REFUSED", id="no-name-to-tell"),
        pytest.param(
            "version.bind", "TXT", msgspec.structs.replace(IDENTITY, is_chaos_on=False), "REFUSED", id="switched-off"
        ),
    ],
)
def test_chaos_without_an_answer(cluster: Cluster, name: str, qtype: str, identity: Identity, expected: str) -> None:
    """Everything else in class CH has no answer."""
    response = cluster.ask(name, qtype, rdclass="CH", identity=identity)
    assert (rcode(response), response.answer) == (expected, [])


# Not ready, pending, stale


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        (f"nginx.{ZONE}", "A", "SERVFAIL"),
        ("cluster.local", "SOA", "SERVFAIL"),
        ("1.0.0.10.in-addr.arpa", "PTR", "SERVFAIL"),
        (f"nginx.{ZONE}", "ANY", "SERVFAIL"),
        ("cluster.local", "AXFR", "REFUSED"),
        ("example.com", "A", "REFUSED"),
        (".", "NS", "REFUSED"),
    ],
)
def test_not_ready(name: str, qtype: str, expected: str) -> None:
    """Until Services and slices are listed no name of ours is denied or answered: SERVFAIL with EDE 14."""
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=[WEB_0]), listed=[Kind.SERVICE])
    message = header(questions=1, additionals=1) + question(name, dns.rdatatype.from_text(qtype)) + opt()
    wire = exchange(cluster.table, message)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert rcode(response) == expected
    assert not response.flags & dns.flags.AA
    if expected == "SERVFAIL":
        assert errors(response) == [(14, "Services and EndpointSlices are not listed yet")]
        assert response.answer + response.authority == []


def test_ready_after_all() -> None:
    """Once they are listed names are answered."""
    cluster = Cluster(listed=[])
    assert rcode(cluster.ask(f"nginx.{ZONE}", "A")) == "SERVFAIL"
    slices = [endpoint_slice(endpoints=[WEB_0])]
    cluster.take(Replace(Kind.SERVICE, [service()]), Replace(Kind.ENDPOINT_SLICE, slices))
    assert records(cluster.ask(f"web-0.nginx.{ZONE}", "A")) == ["10.0.0.1"]


PODS, NAMESPACES = "Pods are not listed yet", "Namespaces are not listed yet"


@pytest.mark.parametrize(
    ("pods", "missing", "name", "waits"),
    [
        (PodNames.VERIFIED, Kind.POD, "10-244-0-9.default.pod.cluster.local", PODS),
        (PodNames.VERIFIED, Kind.POD, "x.10-244-0-9.default.pod.cluster.local", PODS),
        (PodNames.VERIFIED, Kind.POD, "nowhere.pod.cluster.local", PODS),
        (PodNames.VERIFIED, Kind.POD, f"nope.{ZONE}", None),
        (PodNames.VERIFIED, Kind.POD, "nowhere.svc.cluster.local", None),
        (PodNames.VERIFIED, Kind.POD, "nope.cluster.local", None),
        (PodNames.VERIFIED, Kind.POD, "9.9.9.9.in-addr.arpa", None),
        (PodNames.VERIFIED, Kind.NAMESPACE, "nowhere.svc.cluster.local", NAMESPACES),
        (PodNames.VERIFIED, Kind.NAMESPACE, "nowhere.pod.cluster.local", NAMESPACES),
        (PodNames.VERIFIED, Kind.NAMESPACE, "nginx.nowhere.svc.cluster.local", None),
        (PodNames.VERIFIED, Kind.NAMESPACE, "10-0-0-1.nowhere.pod.cluster.local", None),
        (PodNames.VERIFIED, Kind.NAMESPACE, "nope.cluster.local", None),
        (PodNames.INSECURE, Kind.NAMESPACE, "10-0-0-1.nowhere.pod.cluster.local", NAMESPACES),
        (PodNames.INSECURE, Kind.NAMESPACE, "nowhere.svc.cluster.local", NAMESPACES),
        (PodNames.INSECURE, Kind.POD, "10-0-0-1.nowhere.pod.cluster.local", None),
        (PodNames.DISABLED, Kind.POD, "10-0-0-1.default.pod.cluster.local", None),
        (PodNames.DISABLED, Kind.NAMESPACE, "nowhere.svc.cluster.local", NAMESPACES),
        (PodNames.VERIFIED, Kind.STATEFUL_SET, f"nope.{ZONE}", None),
        (PodNames.VERIFIED, Kind.ENDPOINTS, f"nope.{ZONE}", None),
    ],
)
def test_pending(pods: PodNames, missing: Kind, name: str, waits: str | None) -> None:
    """Only names that need a kind which is not listed yet are SERVFAIL with EDE 14; the others are denied."""
    objects = [namespace(), service(), endpoint_slice(endpoints=[WEB_0])]
    cluster = Cluster(*objects, settings=Settings(pods=pods), listed=set(Kind) - {missing})
    for qtype in ("A", "AAAA"):
        response = cluster.ask(name, qtype, use_edns=0)
        assert rcode(response) == ("SERVFAIL" if waits else "NXDOMAIN")
        assert errors(response) == ([(14, waits)] if waits else [])


def test_pending_kinds_hold_no_answers() -> None:
    """What exists is answered while kinds are awaited: data, NODATA, names without data."""
    cluster = Cluster(service(), endpoint_slice(endpoints=[WEB_0]), listed=[Kind.SERVICE, Kind.ENDPOINT_SLICE])
    assert records(cluster.ask(f"web-0.nginx.{ZONE}", "A")) == ["10.0.0.1"]
    for name in (f"web-0.nginx.{ZONE}", f"_tcp.nginx.{ZONE}", ZONE, "pod.cluster.local"):
        assert rcode(cluster.ask(name, "AAAA")) == "NOERROR"


def test_pending_at_the_end_of_a_chain() -> None:
    """A CNAME to a name that needs a kind which is not listed yet is not said to lead nowhere."""
    chains = [
        external("to-pod", "10-244-0-1.default.pod.cluster.local"),
        external("to-namespace", "other.svc.cluster.local"),
        external("to-nothing", f"nope.{ZONE}"),
    ]
    cluster = Cluster(*chains, listed=[Kind.SERVICE, Kind.ENDPOINT_SLICE])
    assert errors(cluster.ask(f"to-pod.{ZONE}", "A", use_edns=0)) == [(14, PODS)]
    assert rcode(cluster.ask(f"to-namespace.{ZONE}", "AAAA")) == "SERVFAIL"
    assert rcode(cluster.ask(f"to-nothing.{ZONE}", "A")) == "NXDOMAIN"
    assert rcode(cluster.ask(f"to-pod.{ZONE}", "CNAME")) == "NOERROR"


@pytest.mark.parametrize(
    ("name", "qtype", "codes"),
    [
        pytest.param(f"web-0.nginx.{ZONE}", "A", [3], id="answer"),
        pytest.param(f"nginx.{ZONE}", "A", [3], id="list"),
        pytest.param(f"web-0.nginx.{ZONE}", "AAAA", [3], id="NODATA"),
        pytest.param(f"nope.{ZONE}", "A", [19], id="NXDOMAIN"),
        pytest.param(f"missing.{ZONE}", "A", [19], id="chain-to-NXDOMAIN"),
        pytest.param(f"inside.{ZONE}", "A", [3], id="chain"),
        pytest.param("1-2-3-4.default.pod.cluster.local", "A", [3], id="insecure-pod"),
        pytest.param("1-2-3-4.default.pod.cluster.local", "AAAA", [3], id="insecure-pod-NODATA"),
        pytest.param("example.com", "A", [20], id="not-ours"),
    ],
)
def test_stale(name: str, qtype: str, codes: list[int]) -> None:
    """When the API has been silent for too long answers go on, and say so (RFC 8914 §4.4, §4.20); later they do not."""
    chains = [external("missing", f"nope.{ZONE}"), external("inside", f"web-0.nginx.{ZONE}")]
    chosen = Settings(pods=PodNames.INSECURE)
    slice = endpoint_slice(endpoints=[WEB_0, endpoint("10.0.0.2", "web-1")])
    cluster = Cluster(namespace(), service(), slice, *chains, settings=chosen)
    fresh = cluster.ask(name, qtype, use_edns=0)
    cluster.set_stale(True)
    stale = cluster.ask(name, qtype, use_edns=0)
    assert [code for code, _ in errors(stale)] == codes
    assert (stale.rcode(), sorted(records(stale)), stale.authority) == (
        fresh.rcode(),
        sorted(records(fresh)),
        fresh.authority,
    )
    assert cluster.ask(name, qtype).edns == -1
    cluster.set_stale(False)
    assert [code for code, _ in errors(cluster.ask(name, qtype, use_edns=0))] == [code for code in codes if code == 20]


# CNAMEs that leave our zones

ADDRESS = names.from_text("www.example.com") + b"\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc6\x33\x64\x07"


@pytest.mark.parametrize("name", ["out", "out-again"])
def test_chase(name: str) -> None:
    """With a resolver a chain that leaves our zones is asked of it, for the type that was asked for."""
    cluster = Cluster(namespace(), external("out", "www.example.com"), external("out-again", f"out.{ZONE}"))
    message = header(questions=1) + question(f"{name}.{ZONE}", 28)
    for is_stream in (False, True):
        client = CLIENT._replace(is_stream=is_stream)
        found = respond(message, cluster.table, RESOLVES, client, NOW_S)
        assert found == Chase(names.from_text("www.example.com"), 28)


@pytest.mark.parametrize(
    ("chased", "rcode_text", "data"),
    [
        pytest.param(Chased(ADDRESS, 1, 0), "NOERROR", ["www.example.com.", "198.51.100.7"], id="found"),
        pytest.param(Chased(b"", 0, 3), "NXDOMAIN", ["www.example.com."], id="not-there"),
        pytest.param(Chased(b"", 0, 2), "SERVFAIL", ["www.example.com."], id="broken"),
        pytest.param(Chased(), "NOERROR", ["www.example.com."], id="nobody-was-asked"),
    ],
)
def test_chased(cluster: Cluster, chased: Chased, rcode_text: str, data: list[str]) -> None:
    """What the resolver found stands behind the CNAME, and its RCODE is ours (RFC 6604 §3)."""
    for is_stream in (False, True):
        response = ask(
            cluster.table, f"out.{ZONE}", "A", chased=chased, identity=RESOLVES, is_stream=is_stream, use_edns=0
        )
        assert (rcode(response), records(response)) == (rcode_text, data)
        assert flags_of(response) == {"qr", "aa", "rd"}


SOA = names.from_text("example.com") + b"\x00\x06\x00\x01\x00\x00\x00\x3c\x00\x1c\x02ns\x00\x02me\x00" + bytes(20)


def test_soa_of_others(cluster: Cluster) -> None:
    """The SOA record of what the resolver denies stands in the authority section, with EDE behind it where there is."""
    chased = Chased(rcode=3, soa=SOA, options=option(15, b"\x00\x16why"))
    response = ask(cluster.table, f"out.{ZONE}", "A", chased=chased, identity=RESOLVES, use_edns=0)
    assert (rcode(response), records(response)) == ("NXDOMAIN", ["www.example.com."])
    assert [rrset.to_text() for rrset in response.authority] == ["example.com. 60 IN SOA ns. me. 0 0 0 0 0"]
    assert errors(response) == [(22, "why")]


def test_chased_that_does_not_fit(cluster: Cluster) -> None:
    """Of more than fits the beginning is sent, with TC."""
    many = Chased(ADDRESS * 60, 60, 0)
    wire = exchange(cluster.table, header(questions=1) + question(f"out.{ZONE}"), chased=many, identity=RESOLVES)
    assert wire is not None
    assert len(wire) <= 512
    response = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert flags_of(response) == {"qr", "aa", "tc"}
    assert response.answer[0].rdtype == dns.rdatatype.CNAME
    assert len(response.answer) > 10


@pytest.mark.parametrize("qtype", [5, 255])
def test_not_chased(cluster: Cluster, qtype: int) -> None:
    """The CNAME itself, and ANY, need nobody else."""
    found = respond(header(questions=1) + question(f"out.{ZONE}", qtype), cluster.table, RESOLVES, CLIENT, NOW_S)
    assert isinstance(found, bytes)
    assert dns.message.from_wire(found).answer != []


def test_not_chased_without_a_resolver(cluster: Cluster) -> None:
    """Without a resolver the CNAME alone is sent."""
    assert records(cluster.ask(f"out.{ZONE}", "A")) == ["www.example.com."]


def test_class_any_of_a_chain(cluster: Cluster) -> None:
    """A chain is chased in class ANY, too, and is not authoritative there (RFC 1034 §6.2)."""
    message = header(questions=1) + question(f"out.{ZONE}", 1, 255)
    wire = exchange(cluster.table, message, identity=RESOLVES, chased=Chased(ADDRESS, 1, 0))
    assert wire is not None
    assert (wire[2:4], wire[6:8]) == (b"\x80\x00", b"\x00\x02")


# ANY


def test_any_of_a_name_with_data(cluster: Cluster) -> None:
    """ANY is one HINFO record (RFC 8482 §4.2), over UDP and TCP."""
    for name in (f"big.{ZONE}", "cluster.local", "1.0.0.10.in-addr.arpa"):
        for is_stream in (False, True):
            response = cluster.ask(name, "ANY", is_stream=is_stream)
            (rrset,) = response.answer
            assert (rrset.ttl, rrset[0].to_text()) == (3789, '"RFC8482" ""')
            assert str(rrset.name) == f"{name}."


@pytest.mark.parametrize("identity", [IDENTITY, RESOLVES], ids=["without a resolver", "with a resolver"])
@pytest.mark.parametrize("qclass", ["IN", "ANY"])
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("out", "www.example.com."),
        ("inside", f"web-0.nginx.{ZONE}."),
        ("missing", f"nope.{ZONE}."),
    ],
)
def test_any_of_a_cname(cluster: Cluster, name: str, target: str, qclass: str, identity: Identity) -> None:
    """ANY at a CNAME is the CNAME alone, wherever it leads: HINFO must not stand beside it (RFC 8482 §4.2)."""
    query = dns.message.make_query(f"{name}.{ZONE}", "ANY", rdclass=qclass).to_wire()
    wire = exchange(cluster.table, query, identity=identity)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert rcode(response) == "NOERROR"
    assert [rrset.to_text() for rrset in response.answer] == [f"{name}.{ZONE}. 5 IN CNAME {target}"]
    assert response.authority == response.additional == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1-2-3-4.default.pod.cluster.local", ["1.2.3.4"]),
        ("web.default.pod.cluster.local", "NXDOMAIN"),
        ("1-2-3-4.nowhere.pod.cluster.local", "NXDOMAIN"),
        (f"1-2-3-4.{ZONE}", "NXDOMAIN"),
        ("x.1-2-3-4.default.pod.cluster.local", "NXDOMAIN"),
    ],
)
def test_insecure_pods(name: str, expected: list[str] | str) -> None:
    """A name that holds an address is answered by it below a namespace that exists."""
    cluster = Cluster(namespace(), settings=Settings(pods=PodNames.INSECURE, endpoint_ttl_s=7))
    response = cluster.ask(name, "A")
    assert (records(response) or rcode(response)) == expected
    assert all(rrset.ttl == 7 for rrset in response.answer)


def test_any_of_an_insecure_pod() -> None:
    """ANY of a name that answers from itself is NODATA: nobody is told more than who asks for the type."""
    cluster = Cluster(namespace(), pod("p", "10.0.0.1"), settings=Settings(pods=PodNames.INSECURE))
    response = cluster.ask("10-0-0-1.default.pod.cluster.local", "ANY")
    assert (rcode(response), response.answer, len(response.authority)) == ("NOERROR", [], 1)


# Any octets

below_zone = ("nginx", "big", "out", "missing", "_web._tcp.seventy")
asked = st.sampled_from([*(f"{name}.{ZONE}" for name in below_zone), "cluster.local", "x.y", "."])
options = st.binary(max_size=40)
questions = st.builds(
    lambda name, qtype, qclass, more: question(name, qtype, qclass) + more,
    asked,
    st.integers(0, 65535) | st.sampled_from([1, 28, 33, 255, 251, 252]),
    st.sampled_from([0, 1, 3, 254, 255]),
    st.binary(max_size=30) | st.builds(opt, st.integers(0, 65535), flags=st.integers(0, 65535), options=options),
)
queries = st.builds(
    lambda flags, counts, body: header(0x1234, flags, *counts) + body,
    st.integers(0, 65535),
    st.tuples(*[st.sampled_from([0, 0, 1, 1, 2, 65535])] * 4),
    st.binary(max_size=60) | questions,
)


@given(st.binary(max_size=100) | queries, st.booleans(), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_any_octets(cluster: Cluster, message: bytes, is_stream: bool, resolves: bool) -> None:
    """Any octets give a response that dnspython reads and that keeps the limit; responses are met with silence."""
    identity = RESOLVES if resolves else IDENTITY
    response = exchange(cluster.table, message, is_stream=is_stream, identity=identity, chased=Chased(ADDRESS, 1, 0))
    if response is None:
        assert len(message) < 12 or message[2] & 0x80
        return
    assert not message[2] & 0x80
    assert response[:2] == message[:2]
    assert response[2] & 0xF9 == 0x80 | (message[2] & 0x79)  # QR, OPCODE, RD
    assert not response[3] & 0xF0  # RA, Z, AD, CD
    assert len(response) <= (65535 if is_stream else 1232)
    read = dns.message.from_wire(response)
    if read.edns < 0 and not is_stream:
        assert len(response) <= 512


@given(st.binary(max_size=100) | queries)
@settings(max_examples=300, deadline=None)
def test_any_octets_and_an_empty_table(message: bytes) -> None:
    """A table that was never filled answers as well as it can."""
    response = respond(message, Table(), Identity(), CLIENT, NOW_S)
    assert response is None or isinstance(response, bytes)
