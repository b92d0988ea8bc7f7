"""The zones: what every source contributes, merged by owner name, with serials, digests and changes.

A source (a Service, a Pod, a Namespace, the server itself) contributes RRsets and names without data; setting them
again replaces what it said before. `commit` closes a step: it gives the owner names whose answers may differ and one
`Change` per zone that differs. Kept up to date or built anew, the result is the same. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headlessdns import names
from headlessdns.cluster.objects import ObjectRef
from headlessdns.names import CanonicalName
from headlessdns.records import rules
from headlessdns.records.rrset import Change, RRset, Type, next_serial
from headlessdns.records.rules import Settings

_RRsetKey = tuple[CanonicalName, Type]


class _Contribution(NamedTuple):
    rrsets: dict[_RRsetKey, RRset]
    nodes: frozenset[CanonicalName]


_NOTHING = _Contribution({}, frozenset())


class Commit(NamedTuple):
    """What one step did.

    Attributes:
        names: Owner names whose records or existence changed, apexes of changed zones included.
        changes: One per zone whose records changed.
    """

    names: set[CanonicalName]
    changes: list[Change]


class Zones:
    """The forward zone and the reverse zones of one server.

    Attributes:
        settings: What the operator chose.
        apexes: The zones, the forward zone first.
        serials: SOA serial of each zone.
        name_counts: How many names exist in each zone.
        record_counts: How many records each zone holds, SOA and NS at its apex left out.
    """

    def __init__(self, settings: Settings, serial: int = 0) -> None:
        """Begin with empty zones.

        Args:
            settings: What the operator chose.
            serial: The highest serial that may have been seen of an earlier run.
        """
        self.settings = settings
        self.apexes = (settings.zone, *settings.reverse)
        self.serials = dict.fromkeys(self.apexes, serial)
        self._sources: dict[ObjectRef, _Contribution] = {}
        self._rrsets: dict[CanonicalName, dict[Type, RRset]] = {}
        self._shared: dict[_RRsetKey, dict[ObjectRef, RRset]] = {}  # RRsets that several sources contribute to
        self._first_source: dict[_RRsetKey, ObjectRef] = {}
        self._weight: dict[CanonicalName, int] = {}  # reasons why a name exists: its own data and its children
        self._digests = dict.fromkeys(self.apexes, 0)
        self.name_counts = dict.fromkeys(self.apexes, 0)
        self.record_counts = dict.fromkeys(self.apexes, 0)
        self._before: dict[_RRsetKey, RRset | None] = {}
        self._dirty: set[CanonicalName] = set()
        self._apex_set = frozenset(self.apexes)
        self._apex_lengths = frozenset(map(len, self.apexes))
        self.set(ObjectRef("Zone", "", ""), rules.server_rrsets(settings), rules.fixed_nodes(settings))

    def apex_of(self, name: CanonicalName) -> CanonicalName | None:
        """Return the apex of the zone that *name* is in, or None where it is in none of ours."""
        position, end = 0, len(name)
        while True:
            if end - position in self._apex_lengths and name[position:] in self._apex_set:
                return CanonicalName(name[position:])
            if not name[position]:
                return None
            position += 1 + name[position]

    def rrsets(self, name: CanonicalName) -> dict[Type, RRset]:
        """Return the RRsets of *name* by type; none where it has no data or does not exist."""
        return self._rrsets.get(name, {})

    def exists(self, name: CanonicalName) -> bool:
        """Tell whether *name* exists: it has data, or a name below it has (RFC 4592 §2.2.2), or it was set."""
        return name in self._weight

    def all_names(self) -> Iterator[CanonicalName]:
        """Yield every name that exists."""
        yield from self._weight

    def digest(self, apex: CanonicalName) -> str:
        """Return the digest of the zone at *apex*: equal records, equal digest; SOA does not count."""
        return f"{self._digests[apex]:032x}"

    def set(self, source: ObjectRef, rrsets: Iterable[RRset], nodes: Iterable[CanonicalName] = ()) -> None:
        """Replace all that *source* contributes; names outside our zones are left out."""
        before = self._sources.get(source, _NOTHING)
        now = _Contribution(
            {(rrset.owner, rrset.type): rrset for rrset in rrsets if self.apex_of(rrset.owner)}, frozenset(nodes)
        )
        for key in before.rrsets.keys() - now.rrsets.keys():
            self._withdraw(key, source)
        for key, rrset in now.rrsets.items():
            old = before.rrsets.get(key)
            if old != rrset:
                self._offer(key, source, rrset, is_new=old is None)
        for node in now.nodes - before.nodes:
            self._hold(node)
        for node in before.nodes - now.nodes:
            self._release(node)
        if now == _NOTHING:
            self._sources.pop(source, None)
        else:
            self._sources[source] = now

    def commit(self, now_s: float) -> Commit:
        """Close the step that the calls of `set` since the last commit make up.

        Args:
            now_s: Unix time.
        """
        removed: dict[CanonicalName, list[RRset]] = {}
        added: dict[CanonicalName, list[RRset]] = {}
        for (name, type), before in self._before.items():
            now = self._rrsets.get(name, {}).get(type)
            if before is not None and now is not None and before.same_records(now):
                continue
            apex = self.apex_of(name)
            assert apex is not None  # `set` lets no other name in
            if before is not None:
                removed.setdefault(apex, []).append(before)
                self.record_counts[apex] -= len(before.rdatas)
                self._digests[apex] = (self._digests[apex] - before.digest()) % 2**128
            if now is not None:
                added.setdefault(apex, []).append(now)
                self.record_counts[apex] += len(now.rdatas)
                self._digests[apex] = (self._digests[apex] + now.digest()) % 2**128
        changes = []
        for apex in self.apexes:
            if apex in removed or apex in added or Type.SOA not in self._rrsets.get(apex, {}):
                changes.append(self._bump(apex, now_s, removed.get(apex, []), added.get(apex, [])))
        changed = self._dirty
        self._dirty, self._before = set(), {}
        return Commit(changed, changes)

    def _bump(self, apex: CanonicalName, now_s: float, removed: list[RRset], added: list[RRset]) -> Change:
        before = self.serials[apex]
        self.serials[apex] = next_serial(before, now_s)
        at_apex = self._rrsets.setdefault(apex, {})
        for rrset in rules.apex_rrsets(apex, self.serials[apex], self.settings):
            at_apex[rrset.type] = rrset
        self._dirty.add(apex)
        return Change(apex, before, self.serials[apex], tuple(removed), tuple(added))

    def _offer(self, key: _RRsetKey, source: ObjectRef, rrset: RRset, *, is_new: bool) -> None:
        name, type = key
        self._touch(key)
        first = self._first_source.setdefault(key, source)
        if first != source or key in self._shared:
            parts = self._shared.setdefault(key, {})
            if not parts:
                parts[first] = self._rrsets[name][type]
            parts[source] = rrset
            rrset = _merged(parts)
        self._rrsets.setdefault(name, {})[type] = rrset
        if is_new:
            self._hold(name)

    def _withdraw(self, key: _RRsetKey, source: ObjectRef) -> None:
        name, type = key
        self._touch(key)
        parts = self._shared.get(key)
        if parts is None:
            del self._first_source[key]
            del self._rrsets[name][type]
            if not self._rrsets[name]:
                del self._rrsets[name]
        else:
            del parts[source]
            self._first_source[key] = next(iter(parts))
            self._rrsets[name][type] = _merged(parts)
            if len(parts) == 1:
                del self._shared[key]
        self._release(name)

    def _touch(self, key: _RRsetKey) -> None:
        self._dirty.add(key[0])
        if key not in self._before:
            self._before[key] = self._rrsets.get(key[0], {}).get(key[1])

    def _hold(self, name: CanonicalName) -> None:
        """Add a reason for *name* to exist; the first one makes its parent exist too, up to the apex."""
        while True:
            weight = self._weight.get(name, 0)
            self._weight[name] = weight + 1
            if weight:
                return
            self._count(name, +1)
            if name in self._apex_set:
                return
            name = names.parent(name)

    def _count(self, name: CanonicalName, change: int) -> None:
        self._dirty.add(name)
        apex = self.apex_of(name)
        assert apex is not None  # `set` lets no other name in
        self.name_counts[apex] += change

    def _release(self, name: CanonicalName) -> None:
        while True:
            weight = self._weight[name] - 1
            if weight:
                self._weight[name] = weight
                return
            del self._weight[name]
            self._count(name, -1)
            name = names.parent(name)  # ends at the apex at the latest, which the server itself holds


def _merged(parts: dict[ObjectRef, RRset]) -> RRset:
    """Return one RRset of what several sources say of one name and type: every record once, the lowest TTL."""
    records: dict[bytes, ObjectRef] = {}
    for source in sorted(parts):
        for rdata, origin in zip(parts[source].rdatas, parts[source].origins, strict=True):
            records.setdefault(rdata, origin)
    one = next(iter(parts.values()))
    ttl_s = min(rrset.ttl_s for rrset in parts.values())
    return RRset(one.owner, one.type, ttl_s, tuple(records), tuple(records.values()))
