"""What a person wants to see of a lab: each set's ordinals, how they are, and what the DNS says of them. Pure.

It is fed with what happens in the API and with what the DNS answers, and tells row by row what that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from headlessdns.controller import conditions, explain
from headlessdns.controller.model import SetKind, read_pod
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.tables import pod_word

SETS = {"statefulsets.apps": SetKind.STATEFUL_SET, "ordinalsets.headlessdns.io": SetKind.ORDINAL_SET}
PODS = "pods"
NOT_ASKED = ""

Owner = tuple[str, str, str]  # kind, namespace, name


class Row(NamedTuple):
    """One ordinal of a set.

    Attributes:
        set: Such as ``default/web``.
        pod: Its name.
        address: Its addresses, joined by commas; empty while it has none.
        phase: The word that kubectl has for its state; empty where there is no pod.
        ready: Whether it is ready.
        name: Its name in the DNS, without the dot at the end; empty where it has none.
        answer: What the DNS answers for that: addresses, or the RCODE.
        waits_for: What keeps it from being available, in words; empty where nothing does.
    """

    set: str
    pod: str
    address: str
    phase: str
    ready: bool
    name: str
    answer: str
    waits_for: str


class Group(NamedTuple):
    """A set with its rows.

    Attributes:
        title: Kind, name, and how far it is.
        rows: By ordinal.
        trouble: What is wrong with the set as a whole; empty where nothing is.
    """

    title: str
    rows: list[Row]
    trouble: str


class _Set(msgspec.Struct):
    kind: SetKind
    namespace: str
    name: str
    service: str
    start: int
    replicas: int
    is_ordered: bool
    ready_replicas: int
    trouble: str

    @property
    def ordinals(self) -> range:
        return range(self.start, self.start + self.replicas)


class _Pod(msgspec.Struct):
    address: str
    phase: str
    ready: bool
    name: str
    trouble: explain.Trouble
    is_available: bool


class View:
    """The sets of a lab.

    Attributes:
        zone: The cluster domain, without the dot at the end.
    """

    def __init__(self, zone: str = "cluster.local") -> None:
        self.zone = zone
        self._sets: dict[Owner, _Set] = {}
        self._pods: dict[Owner, dict[str, _Pod]] = {}
        self._owner_of: dict[tuple[str, str], Owner] = {}
        self._answers: dict[str, str] = {}
        self._shown: dict[Owner, dict[str, Row]] = {}

    def take(self, resource: str, type: str, object: Json, now_s: float) -> list[Row]:
        """Take in one event and return the rows that it changed; a row whose pod is gone for good has no phase.

        Args:
            resource: Such as ``statefulsets.apps``.
            type: ADDED, MODIFIED or DELETED.
            object: The object afterwards.
            now_s: Unix time.
        """
        if kind := SETS.get(resource):
            owner = _owner(kind.value, object["metadata"])
            if type == "DELETED":
                self._sets.pop(owner, None)
            else:
                self._sets[owner] = _read_set(kind, object)
            return self._changes([owner], now_s)
        if resource != PODS:
            return []
        return self._changes(self._take_pod(type, object, now_s), now_s)

    def _take_pod(self, type: str, object: Json, now_s: float) -> list[Owner]:
        """Take in a pod and return whose it was and is."""
        metadata = object["metadata"]
        place = metadata["namespace"], metadata["name"]
        before = self._owner_of.pop(place, None)
        if before is not None:
            self._pods[before].pop(metadata["name"], None)
        after = None if type == "DELETED" else _controller(metadata)
        if after is not None:
            self._owner_of[place] = after
            self._pods.setdefault(after, {})[metadata["name"]] = _read_pod(object, self.zone, now_s)
        return [owner for owner in dict.fromkeys((before, after)) if owner is not None]

    def answered(self, name: str, answer: str, now_s: float) -> list[Row]:
        """Take in what the DNS answers for *name* and return the rows that it changed."""
        if self._answers.get(name, NOT_ASKED) == answer:
            return []
        self._answers[name] = answer
        return self._changes([owner for owner, rows in self._shown.items() if _has(rows.values(), name)], now_s)

    def names(self) -> list[str]:
        """Return the names of all rows, in their order."""
        return [row.name for rows in self._shown.values() for row in rows.values() if row.name]

    def groups(self) -> list[Group]:
        """Return all sets, by namespace and name."""
        found = []
        for owner in sorted(self._sets, key=lambda owner: (owner[1], owner[2], owner[0])):
            set = self._sets[owner]
            title = f"{set.kind.value} {set.namespace}/{set.name}: {set.ready_replicas} of {set.replicas} ready"
            found.append(Group(title, list(self._shown.get(owner, {}).values()), set.trouble))
        return found

    def _changes(self, owners: Iterable[Owner], now_s: float) -> list[Row]:
        changed = []
        for owner in owners:
            before = self._shown.get(owner, {})
            after = {row.pod: row for row in self._rows(owner)}
            changed += [row for pod, row in after.items() if before.get(pod) != row]
            changed += [
                row._replace(address="", phase="", ready=False, waits_for="")
                for pod, row in before.items()
                if pod not in after
            ]
            if after:
                self._shown[owner] = after
            else:
                self._shown.pop(owner, None)
            for row in before.values():
                if row.name and row.pod not in after:
                    self._answers.pop(row.name, None)
        return changed

    def _rows(self, owner: Owner) -> Iterator[Row]:
        set, pods = self._sets.get(owner), self._pods.get(owner, {})
        wanted = {f"{owner[2]}-{ordinal}": None for ordinal in (set.ordinals if set else ())}
        blocked_by = ""
        for name in [*wanted, *sorted(pods.keys() - wanted.keys(), key=_ordinal_of)]:
            pod = pods.get(name)
            if pod is None:
                waits_for = f"waits for {blocked_by}" if blocked_by and set and set.is_ordered else "is to be created"
                dns_name = f"{name}.{set.service}.{set.namespace}.svc.{self.zone}" if set and set.service else ""
                yield self._row(owner, name, None, dns_name, waits_for)
            else:
                waits_for = "" if pod.is_available else pod.trouble.words
                if name not in wanted and not waits_for:
                    waits_for = "is to go"
                yield self._row(owner, name, pod, pod.name, waits_for)
            if not blocked_by and (pod is None or not pod.is_available):
                blocked_by = name

    def _row(self, owner: Owner, name: str, pod: _Pod | None, dns_name: str, waits_for: str) -> Row:
        answer = self._answers.get(dns_name, NOT_ASKED)
        where = f"{owner[1]}/{owner[2]}"
        if pod is None:
            return Row(where, name, "", "", False, dns_name, answer, waits_for)
        return Row(where, name, pod.address, pod.phase, pod.ready, dns_name, answer, waits_for)


def _has(rows: Iterable[Row], name: str) -> bool:
    return any(row.name == name for row in rows)


def _owner(kind: str, metadata: Json) -> Owner:
    return kind, metadata["namespace"], metadata["name"]


def _controller(metadata: Json) -> Owner | None:
    kinds = {kind.value for kind in SetKind}
    for one in metadata.get("ownerReferences") or ():
        if one.get("controller") and one.get("kind") in kinds:
            return one["kind"], metadata["namespace"], one["name"]
    return None


def _ordinal_of(name: str) -> tuple[int, str]:
    end = name.rpartition("-")[2]
    return (int(end) if end.isdecimal() else 0), name


def _read_set(kind: SetKind, object: Json) -> _Set:
    spec, status, metadata = object["spec"], object.get("status") or {}, object["metadata"]
    stalled: Any = next((one for one in status.get("conditions") or () if one.get("type") == conditions.STALLED), {})
    replicas = spec.get("replicas")
    return _Set(
        kind,
        metadata["namespace"],
        metadata["name"],
        spec.get("serviceName") or "",
        (spec.get("ordinals") or {}).get("start") or 0,
        1 if replicas is None else replicas,
        spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady",
        status.get("readyReplicas") or 0,
        stalled.get("message", "") if stalled.get("status") == "True" else "",
    )


def _read_pod(object: Json, zone: str, now_s: float) -> _Pod:
    pod = read_pod(object)
    spec, status, metadata = object["spec"], object.get("status") or {}, object["metadata"]
    addresses = [one["ip"] for one in status.get("podIPs") or () if one.get("ip")]
    hostname, subdomain = spec.get("hostname") or metadata["name"], spec.get("subdomain")
    name = f"{hostname}.{subdomain}.{metadata['namespace']}.svc.{zone}" if subdomain else ""
    is_available = pod.is_ready and not pod.is_terminating
    trouble = explain.trouble_of(pod, now_s)
    return _Pod(", ".join(addresses), pod_word(object), pod.is_ready, name, trouble, is_available)
