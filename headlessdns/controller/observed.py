"""What the controller has seen of the cluster, which sets an event concerns, and which own writes are still unseen.

Holds state, does no I/O. Sets are kept as octets and read when they are synced: ten thousand of them are to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from headlessdns.controller.model import (
    Claim,
    Metadata,
    Pod,
    Revision,
    SetKey,
    SetKind,
    StatefulSet,
    parent_and_ordinal,
    read_set,
)

EXPECTATION_S = 10.0  # a write unseen for longer is seen no more: the plan is made from what is there
_PARSED_SETS = 1000


class Watched(Enum):
    """What the controller watches; the value is the kind's name in the API."""

    STATEFUL_SET = "StatefulSet"
    ORDINAL_SET = "OrdinalSet"
    POD = "Pod"
    CLAIM = "PersistentVolumeClaim"
    REVISION = "ControllerRevision"
    SERVICE = "Service"


SET_KINDS = {Watched.STATEFUL_SET: SetKind.STATEFUL_SET, Watched.ORDINAL_SET: SetKind.ORDINAL_SET}


class SetRecord(msgspec.Struct, gc=False):
    """A set as it came."""

    metadata: Metadata
    octets: bytes = b""


class ServiceSpec(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """What a governing Service asks for."""

    cluster_ip: str | None = msgspec.field(default="", name="clusterIP")
    type: str | None = "ClusterIP"
    selector: dict[str, str] | None = None
    publish_not_ready_addresses: bool | None = False


class Service(msgspec.Struct, gc=False):
    """A Service, as far as it governs a set."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


Object = SetRecord | Pod | Claim | Revision | Service


class Expectation(NamedTuple):
    """A write of ours that is to be seen.

    Attributes:
        kind: Of the object.
        namespace: Of the object.
        name: Of the object.
        uid: Of the object.
        version: The resourceVersion that the write gave; 0 where the object is to be gone, or on its way out.
        until_s: Monotonic time when to stop waiting.
    """

    kind: Watched
    namespace: str
    name: str
    uid: str
    version: int
    until_s: float


def version_of(metadata: Metadata) -> int:
    """Return the resourceVersion as a number; versions of one resource can be compared (Kubernetes 1.35)."""
    text = metadata.resource_version
    return int(text) if text.isdigit() else 0


class _Store:
    """The objects of one kind by namespace and name."""

    def __init__(self) -> None:
        self.by_namespace: dict[str, dict[str, Object]] = {}
        self.latest: dict[str, int] = {}  # the newest version seen in each namespace

    def get(self, namespace: str, name: str) -> Object | None:
        return self.by_namespace.get(namespace, {}).get(name)

    def put(self, object: Object) -> Object | None:
        """Store *object* and return what was there before."""
        metadata = object.metadata
        objects = self.by_namespace.setdefault(metadata.namespace, {})
        before = objects.get(metadata.name)
        objects[metadata.name] = object
        self.note(metadata.namespace, version_of(metadata))
        return before

    def drop(self, namespace: str, name: str) -> Object | None:
        return self.by_namespace.get(namespace, {}).pop(name, None)

    def note(self, namespace: str, version: int) -> None:
        if version > self.latest.get(namespace, 0):
            self.latest[namespace] = version


class Observed:
    """The cluster as it was last seen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing; *clock* gives monotonic seconds."""
        self._clock = clock
        self._stores = {kind: _Store() for kind in Watched}
        self._owned: dict[Watched, dict[str, dict[str, Object]]] = {Watched.POD: {}, Watched.REVISION: {}}
        self._orphans: dict[Watched, dict[str, dict[str, Object]]] = {Watched.POD: {}, Watched.REVISION: {}}
        self._set_keys: dict[str, SetKey] = {}  # by UID
        self._expected: dict[SetKey, list[Expectation]] = {}

    # Taking in

    def put(self, kind: Watched, object: Object) -> set[SetKey]:
        """Take in an object that was added or changed, and return the sets that it concerns (S47)."""
        before = self._stores[kind].put(object)
        if before is not None and before.metadata.resource_version == object.metadata.resource_version:
            return set()
        concerned = self._reindex(kind, before, object)
        return concerned | self._concerned(kind, object)

    def delete(self, kind: Watched, namespace: str, name: str) -> set[SetKey]:
        """Take in that an object is gone, and return the sets that it concerns."""
        before = self._stores[kind].drop(namespace, name)
        if before is None:
            return set()
        concerned = self._reindex(kind, before, None)
        return concerned | self._concerned(kind, before)

    def replace(self, kind: Watched, namespace: str | None, objects: Iterable[Object]) -> set[SetKey]:
        """Take in a whole list, and return the sets that what is new, changed or gone concerns."""
        store = self._stores[kind]
        listed = {(object.metadata.namespace, object.metadata.name): object for object in objects}
        scopes = [namespace] if namespace is not None else list(store.by_namespace)
        gone = [
            (scope, name)
            for scope in scopes
            for name in store.by_namespace.get(scope, {})
            if (scope, name) not in listed
        ]
        concerned: set[SetKey] = set()
        for scope, name in gone:
            concerned |= self.delete(kind, scope, name)
        for object in listed.values():
            concerned |= self.put(kind, object)
        return concerned

    def _reindex(self, kind: Watched, before: Object | None, now: Object | None) -> set[SetKey]:
        """Bring the indexes up to date; return the former owner of what changed hands."""
        concerned: set[SetKey] = set()
        if kind in SET_KINDS:
            if before is not None:
                self._set_keys.pop(before.metadata.uid, None)
            if now is not None:
                metadata = now.metadata
                self._set_keys[metadata.uid] = SetKey(SET_KINDS[kind], metadata.namespace, metadata.name)
        elif kind in self._owned:
            if before is not None:
                owner = before.metadata.controller()
                self._bucket(kind, before.metadata).pop(before.metadata.name, None)
                if owner is not None and owner.uid in self._set_keys:
                    concerned.add(self._set_keys[owner.uid])
            if now is not None:
                self._bucket(kind, now.metadata)[now.metadata.name] = now
        return concerned

    def _bucket(self, kind: Watched, metadata: Metadata) -> dict[str, Object]:
        owner = metadata.controller()
        if owner is None:
            return self._orphans[kind].setdefault(metadata.namespace, {})
        return self._owned[kind].setdefault(owner.uid, {})

    def _concerned(self, kind: Watched, object: Object) -> set[SetKey]:
        metadata = object.metadata
        if kind in SET_KINDS:
            return {SetKey(SET_KINDS[kind], metadata.namespace, metadata.name)}
        if kind is Watched.SERVICE:
            return set(self._governed_by(metadata.namespace, metadata.name))
        if kind is Watched.CLAIM:
            return set(self._owners_of_claim(metadata.namespace, metadata.name))
        owner = metadata.controller()
        if owner is not None:
            return {self._set_keys[owner.uid]} if owner.uid in self._set_keys else set()
        return set(self._holders_of_name(metadata)) if kind is Watched.POD else set()

    def _holders_of_name(self, metadata: Metadata) -> Iterator[SetKey]:
        """Yield the sets that may want a pod that nobody owns: it bears a name of theirs."""
        parent, _ = parent_and_ordinal(metadata.name)
        for kind in SET_KINDS:
            if self._stores[kind].get(metadata.namespace, parent) is not None:
                yield SetKey(SET_KINDS[kind], metadata.namespace, parent)

    def _owners_of_claim(self, namespace: str, claim_name: str) -> Iterator[SetKey]:
        """Yield the sets whose claim templates may have given *claim_name*, ``<template>-<set>-<ordinal>``."""
        parent, _ = parent_and_ordinal(claim_name)
        parts = parent.split("-")
        for begin in range(1, len(parts)):
            set_name = "-".join(parts[begin:])
            for kind in SET_KINDS:
                if self._stores[kind].get(namespace, set_name) is not None:
                    yield SetKey(SET_KINDS[kind], namespace, set_name)

    def _governed_by(self, namespace: str, service_name: str) -> Iterator[SetKey]:
        for kind in SET_KINDS:
            for name, record in self._stores[kind].by_namespace.get(namespace, {}).items():
                assert isinstance(record, SetRecord)
                if service_name.encode() in record.octets:  # cheap; a few too many do no harm
                    yield SetKey(SET_KINDS[kind], namespace, name)

    # Giving out

    def set_keys(self) -> list[SetKey]:
        """Return every set."""
        return list(self._set_keys.values())

    def count(self, kind: Watched) -> int:
        """Return how many objects of *kind* are known."""
        return sum(map(len, self._stores[kind].by_namespace.values()))

    def set(self, key: SetKey) -> StatefulSet | None:
        """Return the set of *key*.

        Raises:
            ValueError: It cannot be read; a msgspec.ValidationError is one.
        """
        record = self._stores[Watched(key.kind.value)].get(key.namespace, key.name)
        if record is None:
            return None
        assert isinstance(record, SetRecord)
        return _parse(record.octets, key.kind)

    def pods(self, set: StatefulSet) -> list[Pod]:
        """Return the pods that *set* owns, and the orphans of its namespace."""
        return self._of(Watched.POD, set)  # type: ignore[return-value]  # the store of pods holds pods

    def revisions(self, set: StatefulSet) -> list[Revision]:
        """Return the revisions that *set* owns, and the orphans of its namespace."""
        return self._of(Watched.REVISION, set)  # type: ignore[return-value]  # the store of revisions

    def _of(self, kind: Watched, set: StatefulSet) -> list[Object]:
        owned = self._owned[kind].get(set.metadata.uid, {}).values()
        orphans = self._orphans[kind].get(set.namespace, {}).values()
        return [*(one for one in owned if one.metadata.namespace == set.namespace), *orphans]

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return a pod, whoever owns it."""
        return self._stores[Watched.POD].get(namespace, name)  # type: ignore[return-value]  # the store of pods

    def claims(self, namespace: str) -> Mapping[str, Claim]:
        """Return the claims of *namespace* by name."""
        return self._stores[Watched.CLAIM].by_namespace.get(namespace, {})  # type: ignore[return-value]

    def service(self, namespace: str, name: str) -> Service | None:
        """Return a Service."""
        return self._stores[Watched.SERVICE].get(namespace, name)  # type: ignore[return-value]  # the store of Services

    # Own writes

    def expect(self, key: SetKey, kind: Watched, metadata: Metadata, *, is_deletion: bool = False) -> None:
        """Note a write of ours for the set *key*: no sync before it is seen."""
        version = 0 if is_deletion else version_of(metadata)
        expectation = Expectation(
            kind, metadata.namespace, metadata.name, metadata.uid, version, self._clock() + EXPECTATION_S
        )
        if not self._is_seen(expectation):
            self._expected.setdefault(key, []).append(expectation)

    def unseen(self, key: SetKey) -> list[Expectation]:
        """Return which own writes for *key* are not seen yet."""
        expected = self._expected.get(key)
        if not expected:
            return []
        now_s = self._clock()
        left = [one for one in expected if one.until_s > now_s and not self._is_seen(one)]
        if left:
            self._expected[key] = left
        else:
            del self._expected[key]
        return left

    def _is_seen(self, expectation: Expectation) -> bool:
        store = self._stores[expectation.kind]
        object = store.get(expectation.namespace, expectation.name)
        if not expectation.version:
            return (
                object is None
                or object.metadata.uid != expectation.uid
                or object.metadata.deletion_timestamp is not None
            )
        if object is not None and version_of(object.metadata) >= expectation.version:
            return True
        return store.latest.get(expectation.namespace, 0) >= expectation.version


@lru_cache(maxsize=_PARSED_SETS)
def _parse(octets: bytes, kind: SetKind) -> StatefulSet:
    """Return the set in *octets*; they hold the resourceVersion, so equal octets are the same state of one set.

    Members of a list of a built-in kind come without their kind.
    """
    return read_set({"kind": kind.value, **msgspec.json.decode(octets)})
