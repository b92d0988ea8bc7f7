"""Composing ahead of time: pointers, glue, CNAME chains, and what is composed again."""

from __future__ import annotations

import dns.message
import pytest

from headlessdns import names
from headlessdns.records.rules import Settings
from headlessdns.wire.answers import HEADER_OCTETS, Answer
from headlessdns.wire.compose import MAX_CHAIN
from tests.support import (
    WEB,
    Cluster,
    copied,
    end_of_name,
    end_of_record,
    endpoint,
    endpoint_slice,
    exchange,
    external,
    header,
    namespace,
    port,
    question,
    service,
)
from tests.wire.conftest import numbered

ZONE = "default.svc.cluster.local"


def answer(cluster: Cluster, name: str, qtype: int) -> Answer:
    return cluster.table.hits[question(name, qtype)].answer


def targets(response: dns.message.Message) -> list[str]:
    return [str(rdata.target) for rrset in response.answer for rdata in rrset]


def glue(response: dns.message.Message) -> dict[str, list[str]]:
    return {str(rrset.name): [str(rdata) for rdata in rrset] for rrset in response.additional}


def test_address_record_octets(cluster: Cluster) -> None:
    """An address record is a pointer to the question, type, class, TTL, length and address."""
    assert answer(cluster, f"web-0.nginx.{ZONE}", 1) == Answer(
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01", 1, 16
    )


def test_srv_octets() -> None:
    """SRV targets are whole (RFC 2782), and the owner of glue points at its target in the answer section."""
    cluster = Cluster(namespace(), service("a"), endpoint_slice("a", [endpoint("10.0.0.1", "b")]))
    target = names.from_text(f"b.a.{ZONE}")
    owner = f"_web._tcp.a.{ZONE}"
    record = (
        b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x05" + (6 + len(target)).to_bytes(2, "big") + b"\x00\x00\x00\x64\x00\x50"
    )
    # Header, question, and all of the record before the target.
    pointer = (0xC000 + 12 + len(names.from_text(owner)) + 4 + 12 + 6).to_bytes(2, "big")
    found = answer(cluster, owner, 33)
    assert (found.records, found.count, found.stride) == (record + target, 1, 0)
    assert (found.extra, found.extra_count) == (
        pointer + b"\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01",
        1,
    )


def test_glue_of_the_question_points_at_the_question(cluster: Cluster) -> None:
    """Where the target is QNAME itself, glue has the pointer of the answer section."""
    assert answer(cluster, f"kubernetes.{ZONE}", 33).extra.startswith(b"\xc0\x0c\x00\x01")


def test_glue_once_for_each_target(cluster: Cluster) -> None:
    """A target that several records have, has its glue once."""
    one = endpoint("10.0.0.1", "a")
    several = Cluster(namespace(), service(), endpoint_slice(endpoints=[one], ports=[WEB, port(81, "b"), port(82)]))
    found = answer(several, f"nginx.{ZONE}", 33)
    assert (found.count, found.extra_count) == (3, 1)


def test_glue_of_both_families(cluster: Cluster) -> None:
    """Glue has A and AAAA of a target."""
    response = cluster.ask(f"dual.{ZONE}", "SRV")
    assert [str(rdata) for rrset in response.additional for rdata in rrset] == ["10.0.1.1", "2001:db8::1"]


def test_pointers_reach_no_further_than_14_bits() -> None:
    """Behind offset 16383 the owner of glue is written whole, since no pointer reaches there (RFC 1035 §4.1.4)."""
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=numbered(500)))
    wire = exchange(cluster.table, header(questions=1) + question(f"_web._tcp.nginx.{ZONE}", 33), is_stream=True)
    assert wire is not None
    assert len(wire) > 0x4000
    response = dns.message.from_wire(wire)
    assert len(targets(response)) == 500
    assert glue(response) == {f"pod-{i}.nginx.{ZONE}.": [f"10.1.{i >> 8}.{i & 255}"] for i in range(500)}
    at = end_of_name(wire, HEADER_OCTETS) + 4
    owners = []
    for _ in range(1000):
        owners.append(wire[at])
        at = end_of_record(wire, at)
    assert set(owners[:500]) == {0xC0}
    assert {octet >> 6 for octet in owners[500:]} == {0, 3}
    assert at == len(wire)


def test_ns_outside_the_zone_has_no_glue() -> None:
    """A name server outside our zones is named without addresses."""
    cluster = Cluster(settings=Settings(ns_name=names.from_text("ns.example.net"), ns_addresses=("192.0.2.1",)))
    assert answer(cluster, "cluster.local", 2).extra_count == 0


def test_ns_that_is_a_service() -> None:
    """The name server may be named by its own Service; its addresses are then both said and derived, once."""
    own = f"dns.{ZONE}"
    chosen = Settings(ns_name=names.from_text(own), ns_addresses=("10.96.0.10",))
    cluster = Cluster(namespace(), service("dns", cluster_ip="10.96.0.10", ports=[WEB]), settings=chosen)
    assert glue(cluster.ask("cluster.local", "NS")) == {f"{own}.": ["10.96.0.10"]}
    cluster.delete(service("dns"))
    assert glue(cluster.ask("cluster.local", "NS")) == {f"{own}.": ["10.96.0.10"]}


def test_ns_glue_of_a_service_follows_it() -> None:
    """Glue of NS is that of the name server's Service at every time."""
    own = f"dns.{ZONE}"
    cluster = Cluster(namespace(), settings=Settings(ns_name=names.from_text(own)))
    assert cluster.ask("cluster.local", "NS").additional == []
    cluster.put(service("dns", cluster_ip="10.96.0.10"))
    for apex in ("cluster.local", "in-addr.arpa"):
        assert glue(cluster.ask(apex, "NS")) == {f"{own}.": ["10.96.0.10"]}
    cluster.put(service("dns", cluster_ip="10.96.0.11"))
    assert glue(cluster.ask("ip6.arpa", "NS")) == {f"{own}.": ["10.96.0.11"]}


def test_glue_follows_its_target() -> None:
    """Glue is that of the targets at every time."""
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]))
    cluster.put(endpoint_slice(endpoints=[endpoint("10.0.0.9", "web-0")]))
    for owner in (f"_web._tcp.nginx.{ZONE}", f"nginx.{ZONE}"):
        assert glue(cluster.ask(owner, "SRV")) == {f"web-0.nginx.{ZONE}.": ["10.0.0.9"]}


def chain(length: int) -> Cluster:
    """Return a cluster in which `c-0` leads over *length* CNAMEs to `web-0.nginx`."""
    links = [external(f"c-{i}", f"c-{i + 1}.{ZONE}") for i in range(length - 1)]
    end = external(f"c-{length - 1}", f"web-0.nginx.{ZONE}")
    slice = endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")])
    return Cluster(namespace(), service(), slice, *links, end)


@pytest.mark.parametrize("length", [1, 2, MAX_CHAIN])
def test_chains(length: int) -> None:
    """A chain is followed to its end, each CNAME once and in order."""
    response = chain(length).ask(f"c-0.{ZONE}", "A")
    owners = [*(f"c-{i}.{ZONE}." for i in range(length)), f"web-0.nginx.{ZONE}."]
    assert [str(rrset.name) for rrset in response.answer] == owners


def test_chain_without_end() -> None:
    """A chain that is longer than any sensible one is cut; whoever asked may go on from there."""
    response = chain(40).ask(f"c-0.{ZONE}", "A")
    assert [str(rrset.name) for rrset in response.answer] == [f"c-{i}.{ZONE}." for i in range(MAX_CHAIN + 1)]
    assert response.rcode() == 0
    assert response.authority == []


def test_chain_follows_its_end() -> None:
    """An answer that ends at another name changes with that name: data, other data, no data, no name."""
    cluster = chain(3)

    def end() -> list[str]:
        response = cluster.ask(f"c-0.{ZONE}", "A")
        assert len(response.answer) >= 3
        soa = [str(rrset.name) for rrset in response.authority]
        return [
            dns.rcode.to_text(response.rcode()),
            *(str(one) for rrset in response.answer[3:] for one in rrset),
            *soa,
        ]

    assert end() == ["NOERROR", "10.0.0.1"]
    cluster.put(endpoint_slice(endpoints=[endpoint("10.0.0.2", "web-0")]))
    assert end() == ["NOERROR", "10.0.0.2"]
    cluster.put(endpoint_slice(endpoints=[endpoint("2001:db8::1", "web-0")]))
    assert end() == ["NOERROR", "cluster.local."]
    cluster.delete(endpoint_slice())
    assert end() == ["NXDOMAIN", "cluster.local."]
    cluster.put(endpoint_slice(endpoints=[endpoint("10.0.0.3", "web-0")]))
    assert end() == ["NOERROR", "10.0.0.3"]


def test_chain_becomes_a_loop_and_ends() -> None:
    """A chain whose end turns into its start is a loop, and none any more when that is mended."""
    cluster = chain(2)
    cluster.put(external("c-1", f"c-0.{ZONE}"))
    assert targets(cluster.ask(f"c-0.{ZONE}", "A")) == [f"c-1.{ZONE}.", f"c-0.{ZONE}."]
    cluster.put(external("c-1", f"web-0.nginx.{ZONE}"))
    assert len(cluster.ask(f"c-0.{ZONE}", "A").answer) == 3


def test_chain_that_leaves_after_all() -> None:
    """A chain whose end moves out of our zones has no SOA any more."""
    cluster = chain(2)
    cluster.put(external("c-1", "www.example.com"))
    response = cluster.ask(f"c-0.{ZONE}", "A")
    assert targets(response) == [f"c-1.{ZONE}.", "www.example.com."]
    assert response.authority == []


def test_chain_to_the_apex() -> None:
    """A chain may end at the apex; what is there is in its answer, the present serial included."""
    cluster = Cluster(namespace(), external("apex", "cluster.local"))
    cluster.now_s += 100
    cluster.put(service("x", cluster_ip="10.96.0.1"))
    serial = cluster.ask("cluster.local", "SOA").answer[0][0].serial
    assert serial == cluster.zones.serials[cluster.zones.apexes[0]]
    response = cluster.ask(f"apex.{ZONE}", "SOA")
    assert response.answer[1][0].serial == serial
    assert cluster.ask(f"apex.{ZONE}", "AAAA").authority[0][0].serial == serial


def test_delta_of_nothing(cluster: Cluster) -> None:
    """A step without names has no nodes."""
    assert cluster.composer.delta(cluster.state(), []).nodes == {}


def test_delta_of_a_name_that_is_gone(cluster: Cluster) -> None:
    """A name that does not exist is taken out of the table."""
    gone = names.from_text("gone.cluster.local")
    assert cluster.composer.delta(cluster.state(), [gone]).nodes == {gone: None}


def test_delta_names_what_borrowed() -> None:
    """Besides the names that changed a delta has those whose answers hold their records, and no others."""
    objects = [service("other"), endpoint_slice("other", [endpoint("10.0.9.1", "x")])]
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]), *objects)
    changed = [names.from_text(f"web-0.nginx.{ZONE}")]
    nodes = cluster.composer.delta(cluster.state(), changed).nodes
    assert {names.to_text(name) for name in nodes} == {
        f"web-0.nginx.{ZONE}.",
        f"nginx.{ZONE}.",
        f"_web._tcp.nginx.{ZONE}.",
    }
    alone = cluster.composer.delta(cluster.state(), changed, with_borrowers=False).nodes
    assert list(alone) == changed


def test_borrowers_are_forgotten(cluster: Cluster) -> None:
    """Names that borrow no more are remembered no more, so that nothing grows for ever."""
    one = Cluster(namespace())
    empty = len(one.composer._borrowers), len(one.composer._borrowed)
    objects = [
        service(),
        endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]),
        external("c", f"web-0.nginx.{ZONE}"),
    ]
    one.put(*objects)
    assert (len(one.composer._borrowers), len(one.composer._borrowed)) != empty
    one.delete(*objects)
    assert (len(one.composer._borrowers), len(one.composer._borrowed)) == empty


def test_delta_travels(cluster: Cluster) -> None:
    """A delta is the same on the other side of a feed."""
    delta = cluster.composer.delta(cluster.state(), list(cluster.zones.all_names())[:50])
    assert copied(delta) == delta
