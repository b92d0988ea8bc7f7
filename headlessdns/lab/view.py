"""What a person wants to see of a lab: each set's ordinals, how they are, and what the DNS says of them. Pure.

It is fed with what happens in the API and with what the DNS answers, and tells what that changed: now and then, since
many events come at once and nobody reads what stood there for a millisecond.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from headlessdns.controller import conditions, explain
from headlessdns.controller.model import Pod, SetKind, read_pod
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.tables import pod_word

SETS = {"statefulsets.apps": SetKind.STATEFUL_SET, "ordinalsets.headlessdns.io": SetKind.ORDINAL_SET}
PODS = "pods"
NOT_ASKED = ""
MAX_ABSENT = 20  # pods of one set that are wanted and not there yet; the set's head counts the rest
# What the kubelet says of every container that is not ready says no more than that it is not.
_SAYS_NOTHING = re.compile(r" \(containers with (unready|incomplete) status: \[[^]]*\]\)")

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
        answer: What the DNS answers for that: addresses, or the RCODE; empty where it was not asked yet.
        waits_for: What is still to happen, in words; empty where nothing is.
    """

    set: str
    pod: str
    address: str
    phase: str
    ready: bool
    name: str
    answer: str
    waits_for: str

    @property
    def is_gone(self) -> bool:
        """Whether it is no row any more: there is no such pod, and none is wanted."""
        return not self.phase and not self.waits_for


class Headline(NamedTuple):
    """A set as a whole.

    Attributes:
        kind: StatefulSet or OrdinalSet.
        set: Such as ``default/web``.
        ready: How many of its pods are ready.
        updated: How many are of its present template; None where all are, or where nobody counts.
        replicas: How many are wanted; None where the set is deleted.
        trouble: What is wrong with it; empty where nothing is.
    """

    kind: str
    set: str
    ready: int
    updated: int | None
    replicas: int | None
    trouble: str

    @property
    def text(self) -> str:
        """Say it in a few words, without the trouble."""
        if self.replicas is None:
            return f"{self.kind} {self.set}: deleted"
        updated = "" if self.updated is None else f", {self.updated} of {self.replicas} updated"
        return f"{self.kind} {self.set}: {self.ready} of {self.replicas} ready{updated}"


Change = Row | Headline


class Group(NamedTuple):
    """A set with its rows, by ordinal."""

    head: Headline
    rows: list[Row]


class _Set(msgspec.Struct):
    head: Headline
    namespace: str
    name: str
    service: str
    ordinals: range
    is_ordered: bool
    revision: str  # of pods that are up to date; empty where old ones stay until somebody deletes them
    partition: int
    min_ready_s: int


class _Pod(msgspec.Struct):
    pod: Pod
    ordinal: int
    address: str
    phase: str
    name: str
    revision: str


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
        self._heads: dict[Owner, Headline] = {}
        self._showing: dict[str, set[Owner]] = {}  # by name in the DNS
        self._touched: dict[Owner, None] = {}

    def take(self, resource: str, type: str, object: Json) -> None:
        """Take in one event; `changes` has what comes of it.

        Args:
            resource: Such as ``statefulsets.apps``.
            type: ADDED, MODIFIED or DELETED.
            object: The object afterwards.
        """
        if kind := SETS.get(resource):
            metadata = object["metadata"]
            owner = kind.value, metadata["namespace"], metadata["name"]
            if type == "DELETED":
                self._sets.pop(owner, None)
            else:
                self._sets[owner] = _read_set(kind, object)
            self._touched[owner] = None
        elif resource == PODS:
            self._take_pod(type, object)

    def _take_pod(self, type: str, object: Json) -> None:
        metadata = object["metadata"]
        place = metadata["namespace"], metadata["name"]
        before = self._owner_of.pop(place, None)
        if before is not None:
            pods = self._pods[before]
            pods.pop(metadata["name"], None)
            if not pods:
                del self._pods[before]
            self._touched[before] = None
        after = None if type == "DELETED" else _controller(metadata)
        if after is not None:
            self._owner_of[place] = after
            self._pods.setdefault(after, {})[metadata["name"]] = _read_pod(object, self.zone)
            self._touched[after] = None

    def answered(self, name: str, answer: str) -> None:
        """Take in what the DNS answers for *name*; `changes` has what comes of it."""
        showing = self._showing.get(name)
        if showing and self._answers.get(name, NOT_ASKED) != answer:
            self._answers[name] = answer
            self._touched.update(dict.fromkeys(showing))

    def names(self) -> list[str]:
        """Return the names of all rows, in their order."""
        return [row.name for rows in self._shown.values() for row in rows.values() if row.name]

    def groups(self) -> list[Group]:
        """Return all sets, by namespace and name, as they were told last."""
        owners = sorted(self._heads, key=lambda owner: (owner[1], owner[2], owner[0]))
        return [Group(self._heads[owner], self._rows_of(owner)) for owner in owners]

    def changes(self, now_s: float) -> list[Change]:
        """Return what is not as it was told last: the heads of sets, and rows; `Row.is_gone` tells of those that went.

        Args:
            now_s: Unix time: what takes too long has other words.
        """
        touched, self._touched = self._touched, {}
        touched.update(dict.fromkeys(owner for owner in self._pods if self._depends_on_time(owner)))
        changed: list[Change] = []
        for owner in touched:
            changed += self._head_changes(owner)
            changed += self._row_changes(owner, now_s)
        return changed

    def _depends_on_time(self, owner: Owner) -> bool:
        found = self._sets.get(owner)
        if found is not None and found.min_ready_s and any(row.waits_for for row in self._rows_of(owner)):
            return True
        return any(pod.pod.is_terminating for pod in self._pods[owner].values())

    def _rows_of(self, owner: Owner) -> list[Row]:
        return list(self._shown.get(owner, {}).values())

    def _head_changes(self, owner: Owner) -> Iterator[Headline]:
        found, before = self._sets.get(owner), self._heads.get(owner)
        if found is not None:
            head = found.head
        elif before is not None:  # its pods may still be there
            head = before._replace(ready=0, updated=None, replicas=None, trouble="")
        else:
            return
        self._heads[owner] = head
        if found is None and owner not in self._pods:
            del self._heads[owner]
        if head != before:
            yield head

    def _row_changes(self, owner: Owner, now_s: float) -> Iterator[Row]:
        before = self._shown.get(owner, {})
        after = {row.pod: row for row in self._rows(owner, now_s)}
        if after:
            self._shown[owner] = after
        else:
            self._shown.pop(owner, None)
        for row in after.values():
            if row.name:
                self._showing.setdefault(row.name, set()).add(owner)
        for pod, row in before.items():
            now = after.get(pod)
            if now is None or now.name != row.name:
                self._forget_name(row.name, owner)
            if now is None:
                yield row._replace(address="", phase="", ready=False, waits_for="")
        for pod, row in after.items():
            if before.get(pod) != row:
                yield row

    def _forget_name(self, name: str, owner: Owner) -> None:
        showing = self._showing.get(name)
        if showing is not None:
            showing.discard(owner)
            if not showing:
                del self._showing[name]
                self._answers.pop(name, None)

    def _rows(self, owner: Owner, now_s: float) -> Iterator[Row]:
        """Yield the rows of ordinals that are wanted, then those of pods that are to go."""
        found, pods = self._sets.get(owner), self._pods.get(owner, {})
        wanted = _wanted(found, pods) if found is not None else []
        if found is not None:
            yield from self._wanted_rows(owner, found, wanted, now_s)
        leaving = sorted(pods.keys() - set(wanted), key=_ordinal_of)
        for name, next_name in zip(leaving, [*leaving[1:], ""], strict=False):
            pod = pods[name]
            if pod.pod.is_terminating:
                words = explain.trouble_of(pod.pod, now_s).words
            else:  # the highest goes first
                words = f"is to go after {next_name}" if next_name and found and found.is_ordered else "is to go"
            yield self._row(owner, name, pod, pod.name, words)

    def _wanted_rows(self, owner: Owner, found: _Set, names: list[str], now_s: float) -> Iterator[Row]:
        pods = self._pods.get(owner, {})
        blocked_by, predecessor = "", ""  # the first that is not available; the one before, where it is not available
        for name in names:
            pod = pods.get(name)
            is_available = pod is not None and _is_available(found, pod, now_s)
            if pod is not None:
                yield self._row(owner, name, pod, pod.name, _words(found, pod, now_s))
            else:
                waits_for = predecessor or blocked_by if found.is_ordered else ""
                dns_name = f"{name}.{found.service}.{found.namespace}.svc.{self.zone}" if found.service else ""
                words = f"waits for {waits_for}" if waits_for else "is to be created"
                yield self._row(owner, name, None, dns_name, words)
            predecessor = "" if is_available else name
            blocked_by = blocked_by or predecessor

    def _row(self, owner: Owner, name: str, pod: _Pod | None, dns_name: str, waits_for: str) -> Row:
        answer = self._answers.get(dns_name, NOT_ASKED)
        where = f"{owner[1]}/{owner[2]}"
        if pod is None:
            return Row(where, name, "", "", False, dns_name, answer, waits_for)
        return Row(where, name, pod.address, pod.phase, pod.pod.is_ready, dns_name, answer, waits_for)


def _wanted(found: _Set, pods: dict[str, _Pod]) -> list[str]:
    """Return the names of all pods that are wanted and there, and of the next ones that are not, by ordinal."""
    present = {pod.ordinal for pod in pods.values() if pod.ordinal in found.ordinals}
    absent = itertools.islice((ordinal for ordinal in found.ordinals if ordinal not in present), MAX_ABSENT)
    return [f"{found.name}-{ordinal}" for ordinal in sorted(present.union(absent))]


def _is_available(found: _Set, pod: _Pod, now_s: float) -> bool:
    return not pod.pod.is_unavailable(found.min_ready_s, now_s)


def _words(found: _Set, pod: _Pod, now_s: float) -> str:
    """Return what is still to happen to a pod that is wanted."""
    if not _is_available(found, pod, now_s):
        return _SAYS_NOTHING.sub("", explain.trouble_of(pod.pod, now_s).words)
    is_old = bool(found.revision and pod.revision) and pod.revision != found.revision
    return "is to be replaced: the template has changed" if is_old and pod.ordinal >= found.partition else ""


def _controller(metadata: Json) -> Owner | None:
    kinds = {kind.value for kind in SetKind}
    for one in metadata.get("ownerReferences") or ():
        if one.get("controller") and one.get("kind") in kinds:
            return one["kind"], metadata["namespace"], one["name"]
    return None


def _ordinal_of(name: str) -> tuple[int, str]:
    end = name.rpartition("-")[2]
    return (int(end) if end.isdecimal() else -1), name


def _read_set(kind: SetKind, object: Json) -> _Set:
    spec, status, metadata = object["spec"], object.get("status") or {}, object["metadata"]
    replicas = spec.get("replicas")
    replicas = 1 if replicas is None else replicas
    strategy = spec.get("updateStrategy") or {}
    revision = status.get("updateRevision") or ""
    is_updating = bool(revision) and status.get("currentRevision") != revision
    updated = (status.get("updatedReplicas") or 0) if is_updating else None
    where = f"{metadata['namespace']}/{metadata['name']}"
    start = (spec.get("ordinals") or {}).get("start") or 0
    return _Set(
        Headline(kind.value, where, status.get("readyReplicas") or 0, updated, replicas, _trouble_of_set(status)),
        metadata["namespace"],
        metadata["name"],
        spec.get("serviceName") or "",
        range(start, start + replicas),
        spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady",
        revision if strategy.get("type", "RollingUpdate") == "RollingUpdate" else "",
        (strategy.get("rollingUpdate") or {}).get("partition") or 0,
        spec.get("minReadySeconds") or 0,
    )


def _trouble_of_set(status: Json) -> str:
    """Return what conditions say is wrong: that the set is stalled, or that its pods cannot have names."""
    wrong = ((conditions.STALLED, "True"), (conditions.NAMES, "False"))
    messages: list[Any] = [
        one.get("message") or one.get("reason") or one.get("type")
        for bad in wrong
        for one in status.get("conditions") or ()
        if (one.get("type"), one.get("status")) == bad
    ]
    return "; ".join(map(str, messages))


def _read_pod(object: Json, zone: str) -> _Pod:
    pod = read_pod(object)
    spec, status, metadata = object["spec"], object.get("status") or {}, object["metadata"]
    addresses = [one["ip"] for one in status.get("podIPs") or () if one.get("ip")]
    hostname, subdomain = spec.get("hostname") or metadata["name"], spec.get("subdomain")
    return _Pod(
        pod,
        _ordinal_of(metadata["name"])[0],
        ", ".join(addresses),
        pod_word(object),
        f"{hostname}.{subdomain}.{metadata['namespace']}.svc.{zone}" if subdomain else "",
        (metadata.get("labels") or {}).get("controller-revision-hash") or "",
    )
