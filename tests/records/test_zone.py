"""Zones: what several sources say, merged by owner name; existence, serials, digests and changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.cluster.objects import ObjectRef
from headlessdns.records.rrset import RRset, Type
from headlessdns.records.rules import Settings
from headlessdns.records.zone import Zones

if TYPE_CHECKING:
    from headlessdns.names import CanonicalName

NOW_S = 1_800_000_000.0
APEX = names.from_text("cluster.local")
REVERSE = names.IN_ADDR_ARPA
ORIGIN = ObjectRef("Service", "default", "origin")


def name(text: str) -> CanonicalName:
    """Return a name below ``cluster.local``."""
    return names.from_text(f"{text}.cluster.local" if text else "cluster.local")


def source(number: int) -> ObjectRef:
    return ObjectRef("Service", "default", f"svc-{number}")


def address(owner: str | CanonicalName, *hosts: int, ttl_s: int = 5, type: Type = Type.A) -> RRset:
    owner = name(owner) if isinstance(owner, str) else owner
    return RRset(owner, type, ttl_s, tuple(bytes((10, 0, 0, host)) for host in hosts), (ORIGIN,) * len(hosts))


@pytest.fixture
def zones() -> Zones:
    """Zones after their first step."""
    found = Zones(Settings())
    found.commit(NOW_S)
    return found


def hosts(zones: Zones, owner: str) -> list[int]:
    """Return the last octet of each address of *owner*, in the order of the RRset."""
    rrset = zones.rrsets(name(owner)).get(Type.A)
    return [rdata[3] for rdata in rrset.rdatas] if rrset else []


def test_first_step_gives_every_zone_its_apex() -> None:
    """Before anything is known each zone has SOA and NS, and a serial from the clock."""
    zones = Zones(Settings())
    commit = zones.commit(NOW_S)
    assert [change.apex for change in commit.changes] == [APEX, REVERSE, names.IP6_ARPA]
    assert {change.serial for change in commit.changes} == {1_800_000_000}
    for apex in zones.apexes:
        assert zones.rrsets(apex).keys() == {Type.SOA, Type.NS}
    assert {names.to_text(one) for one in commit.names} == {
        "cluster.local.",
        "in-addr.arpa.",
        "ip6.arpa.",
        "svc.cluster.local.",
        "pod.cluster.local.",
        "dns-version.cluster.local.",
        "dns.cluster.local.",
        "ns.dns.cluster.local.",
    }


def test_nothing_said_changes_nothing(zones: Zones) -> None:
    """A step in which nothing is set has no names, no changes and no new serial."""
    commit = zones.commit(NOW_S + 10)
    assert (commit.names, commit.changes) == (set(), [])
    assert zones.serials[APEX] == 1_800_000_000


def test_change_has_what_was_removed_and_added(zones: Zones) -> None:
    """A change holds each RRset before and after, and both serials; other zones keep theirs."""
    zones.set(source(1), [address("a", 1), address("b", 2)])
    zones.commit(NOW_S + 1)
    zones.set(source(1), [address("a", 1, 3), address("c", 4)])
    (change,) = zones.commit(NOW_S + 2).changes
    assert (change.apex, change.serial_before, change.serial) == (APEX, 1_800_000_001, 1_800_000_002)
    assert {(one.owner, one.rdatas) for one in change.removed} == {
        (name("a"), (b"\x0a\x00\x00\x01",)),
        (name("b"), (b"\x0a\x00\x00\x02",)),
    }
    assert {(one.owner, one.rdatas) for one in change.added} == {
        (name("a"), (b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x03")),
        (name("c"), (b"\x0a\x00\x00\x04",)),
    }
    assert zones.serials == {APEX: 1_800_000_002, REVERSE: 1_800_000_000, names.IP6_ARPA: 1_800_000_000}


def test_said_again_is_no_change(zones: Zones) -> None:
    """What a source says again, or takes back within one step, is no change."""
    zones.set(source(1), [address("a", 1)])
    zones.commit(NOW_S + 1)
    zones.set(source(1), [address("a", 1)])
    assert zones.commit(NOW_S + 2).changes == []
    zones.set(source(1), [address("a", 2)])
    zones.set(source(2), [address("b", 2)])
    zones.set(source(1), [address("a", 1)])
    zones.set(source(2), [])
    assert zones.commit(NOW_S + 3).changes == []


def test_another_origin_is_no_change(zones: Zones) -> None:
    """The same records from another object are no change of the zone."""
    zones.set(source(1), [address("a", 1)])
    before = zones.commit(NOW_S + 1)
    moved = RRset(name("a"), Type.A, 5, (b"\x0a\x00\x00\x01",), (ObjectRef("EndpointSlice", "default", "x"),))
    zones.set(source(1), [moved])
    assert before.changes != []
    assert zones.commit(NOW_S + 2).changes == []
    assert zones.rrsets(name("a"))[Type.A].origins == moved.origins


def test_sources_share_a_name(zones: Zones) -> None:
    """One RRset holds what every source says, each record once, with the lowest TTL (RFC 2181 §5.2)."""
    zones.set(source(2), [address("a", 3, 1, ttl_s=60)])
    zones.set(source(1), [address("a", 1, 2, ttl_s=7)])
    zones.set(source(3), [address("a", 4, ttl_s=30)])
    assert hosts(zones, "a") == [1, 2, 3, 4]
    assert zones.rrsets(name("a"))[Type.A].ttl_s == 7
    zones.set(source(1), [])
    assert hosts(zones, "a") == [3, 1, 4]
    assert zones.rrsets(name("a"))[Type.A].ttl_s == 30
    zones.set(source(3), [])
    assert hosts(zones, "a") == [3, 1]
    assert zones.rrsets(name("a"))[Type.A].ttl_s == 60
    zones.set(source(2), [])
    assert not zones.exists(name("a"))


def test_sources_have_types_of_their_own(zones: Zones) -> None:
    """Two sources with different types at one name do not mix, and the name stays until both have gone."""
    zones.set(source(1), [address("a", 1)])
    zones.set(source(2), [address("a", 2, type=Type.TXT)])
    assert zones.rrsets(name("a")).keys() == {Type.A, Type.TXT}
    zones.set(source(1), [])
    assert zones.rrsets(name("a")).keys() == {Type.TXT}
    assert zones.exists(name("a"))


def test_other_names_are_left_out(zones: Zones) -> None:
    """What is outside our zones is not taken in."""
    zones.set(source(1), [address(names.from_text("www.example.com"), 1), address(names.from_text("local"), 1)])
    commit = zones.commit(NOW_S + 1)
    assert (commit.names, commit.changes) == (set(), [])
    assert not zones.exists(names.from_text("example.com"))


def test_empty_non_terminals(zones: Zones) -> None:
    """A name exists for as long as something below it does (RFC 4592 §2.2.2), up to the apex and no further."""
    zones.set(source(1), [address("a.b.c", 1)])
    zones.set(source(2), [address("x.b.c", 2), address("c", 3)])
    assert zones.commit(NOW_S + 1).names == {name(text) for text in ("a.b.c", "x.b.c", "b.c", "c", "")}
    assert zones.rrsets(name("b.c")) == {}
    assert not zones.exists(names.from_text("local"))
    zones.set(source(2), [address("c", 3)])
    assert [zones.exists(name(text)) for text in ("a.b.c", "x.b.c", "b.c", "c")] == [True, False, True, True]
    zones.set(source(1), [])
    assert [zones.exists(name(text)) for text in ("a.b.c", "b.c", "c")] == [False, False, True]
    assert zones.commit(NOW_S + 2).names == {name(text) for text in ("a.b.c", "x.b.c", "b.c", "c", "")} - {name("c")}


def test_data_above_removed_names(zones: Zones) -> None:
    """A name that loses its data stays as an empty non-terminal while one below it is there."""
    zones.set(source(1), [address("b", 1), address("a.b", 2)])
    zones.set(source(1), [address("a.b", 2)])
    assert zones.exists(name("b"))
    assert zones.rrsets(name("b")) == {}
    zones.set(source(1), [])
    assert not zones.exists(name("b"))


def test_names_without_data(zones: Zones) -> None:
    """A source may say that a name exists, and take that back."""
    zones.set(source(1), [], [name("a.b")])
    zones.set(source(2), [], [name("a.b"), name("b")])
    assert zones.commit(NOW_S + 1).changes == []
    zones.set(source(1), [])
    assert zones.exists(name("a.b"))
    zones.set(source(2), [], [name("b")])
    assert [zones.exists(name("a.b")), zones.exists(name("b"))] == [False, True]


def test_apex_outlives_its_names(zones: Zones) -> None:
    """An apex exists without anything below it."""
    zones.set(source(1), [address(names.from_text("1.0.0.10.in-addr.arpa"), 1, type=Type.PTR)])
    zones.set(source(1), [])
    zones.commit(NOW_S + 1)
    assert zones.exists(REVERSE)
    assert zones.rrsets(REVERSE).keys() == {Type.SOA, Type.NS}


def test_record_at_an_apex() -> None:
    """A zone of one address has its PTR beside SOA and NS, and keeps those when the PTR goes."""
    apex = names.from_text("1.0.0.10.in-addr.arpa")
    zones = Zones(Settings(reverse=(apex,)))
    zones.set(source(1), [RRset(apex, Type.PTR, 5, (name("a"),), (ORIGIN,))])
    zones.commit(NOW_S)
    assert zones.rrsets(apex).keys() == {Type.SOA, Type.NS, Type.PTR}
    zones.set(source(1), [])
    (change,) = zones.commit(NOW_S + 5).changes
    assert [one.type for one in change.removed] == [Type.PTR]
    assert zones.rrsets(apex).keys() == {Type.SOA, Type.NS}


def test_serials_go_on_from_an_earlier_run() -> None:
    """Serials begin after the one that was reserved, even where that is ahead of the clock."""
    zones = Zones(Settings(), serial=1_800_000_500)
    zones.commit(NOW_S)
    assert set(zones.serials.values()) == {1_800_000_501}


@pytest.mark.parametrize(
    ("text", "apex"),
    [
        ("cluster.local", "cluster.local"),
        ("a.b.cluster.local", "cluster.local"),
        ("1.0.0.10.in-addr.arpa", "in-addr.arpa"),
        ("ip6.arpa", "ip6.arpa"),
        ("local", None),
        (".", None),
        ("xcluster.local", None),
        (r"x\007cluster\005local", None),
        ("arpa", None),
    ],
)
def test_apex_of(zones: Zones, text: str, apex: str | None) -> None:
    """A name is in the zone whose apex it has as an ancestor, label by label."""
    assert zones.apex_of(names.from_text(text)) == (names.from_text(apex) if apex else None)


OWNERS = ("a", "b", "a.b", "x.a.b", "y.a.b", "c.d", "d")
rrsets = st.builds(
    lambda owner, type, ttl_s, hosts: address(owner, *hosts, ttl_s=ttl_s, type=type),
    st.sampled_from(OWNERS),
    st.sampled_from([Type.A, Type.TXT]),
    st.sampled_from([5, 30]),
    st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
)
contributions = st.tuples(
    st.lists(rrsets, max_size=5, unique_by=lambda rrset: (rrset.owner, rrset.type)),
    st.sets(st.sampled_from([name(text) for text in OWNERS]), max_size=2),
)
steps = st.lists(st.tuples(st.integers(1, 4), contributions, st.booleans()), max_size=25)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_updated_equals_rebuilt(steps: list[tuple[int, tuple[list[RRset], set[CanonicalName]], bool]]) -> None:
    """Zones kept up to date hold the same as zones built anew from what every source said last."""
    zones = Zones(Settings())
    last: dict[int, tuple[list[RRset], set[CanonicalName]]] = {}
    known: dict[CanonicalName, dict[Type, RRset]] = {}
    for now_s, (number, said, is_step) in enumerate(steps):
        last[number] = said
        zones.set(source(number), *said)
        if is_step:
            commit = zones.commit(NOW_S + now_s)
            for one in commit.names:
                known[one] = dict(zones.rrsets(one))
            for change in commit.changes:
                assert set(change.removed).isdisjoint(change.added)
    for one in zones.commit(NOW_S + 100).names:
        known[one] = dict(zones.rrsets(one))
    assert {one: found for one in zones.all_names() if (found := said_of(zones, one))} == union(last)
    assert set(zones.all_names()) == existing(zones, last)
    rebuilt = Zones(Settings())
    for number in sorted(last, reverse=True):
        rebuilt.set(source(number), *last[number])
    rebuilt.commit(NOW_S)
    assert set(zones.all_names()) == set(rebuilt.all_names())
    for one in zones.all_names():
        assert without_soa(zones.rrsets(one)) == without_soa(rebuilt.rrsets(one))
    assert [zones.digest(apex) for apex in zones.apexes] == [rebuilt.digest(apex) for apex in rebuilt.apexes]
    assert zones.name_counts == rebuilt.name_counts
    assert zones.record_counts == rebuilt.record_counts
    assert zones.name_counts[APEX] == sum(zones.apex_of(one) == APEX for one in zones.all_names())
    # Who follows the names of each step knows everything.
    assert {one: found for one, found in known.items() if found} == {
        one: dict(zones.rrsets(one)) for one in zones.all_names() if zones.rrsets(one)
    }


def said_of(zones: Zones, owner: CanonicalName) -> dict[Type, tuple[int, frozenset[bytes]]]:
    """Return TTL and records of *owner* by type, but not what the server says of itself."""
    found = without_soa(zones.rrsets(owner))
    return {
        type: (rrset.ttl_s, frozenset(rrset.rdatas))
        for type, rrset in found.items()
        if type is not Type.NS and owner != name("dns-version")
    }


def union(
    last: dict[int, tuple[list[RRset], set[CanonicalName]]],
) -> dict[CanonicalName, dict[Type, tuple[int, frozenset[bytes]]]]:
    """Return what all sources say together: every record once, the lowest TTL."""
    found: dict[CanonicalName, dict[Type, tuple[int, frozenset[bytes]]]] = {}
    for rrsets, _ in last.values():
        for rrset in rrsets:
            types = found.setdefault(rrset.owner, {})
            ttl_s, rdatas = types.get(rrset.type, (rrset.ttl_s, frozenset()))
            types[rrset.type] = min(ttl_s, rrset.ttl_s), rdatas | set(rrset.rdatas)
    return found


def existing(zones: Zones, last: dict[int, tuple[list[RRset], set[CanonicalName]]]) -> set[CanonicalName]:
    """Return the names that exist: those with data, those that were said to, and all between them and their apex."""
    found = set(zones.apexes) | {name(text) for text in ("svc", "pod", "ns.dns", "dns", "dns-version")}
    for rrsets, nodes in last.values():
        for one in nodes | {rrset.owner for rrset in rrsets}:
            while one not in found:
                found.add(one)
                one = names.parent(one)
    return found


def without_soa(rrsets: dict[Type, RRset]) -> dict[Type, RRset]:
    return {type: rrset for type, rrset in rrsets.items() if type is not Type.SOA}
