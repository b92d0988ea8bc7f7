"""What the controller has seen of the cluster, which sets an event concerns, and which own writes are still unseen.

Holds state, does no I/O. Sets are kept as octets and read when they are synced: ten thousand of them are to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import msgspec

from headlessdns.controller import slim
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

G = TypeVar("G", bound=Hashable)

EXPECTATION_S = 10.0  # a write unseen for longer is seen no more: the plan is made from what is there
_PARSED_SETS = 1000
_EMPTY_NAMESPACES = 1000


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


UNSEEN_SERVICE = Service(Metadata(name=""))
"""Stands for a Service of which nothing is known: Services may not be watched."""

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


class _Groups(Generic[G]):
    """Objects in groups, by name. A group that is empty is not there."""

    def __init__(self) -> None:
        self._groups: dict[G, dict[str, Object]] = {}

    def __iter__(self) -> Iterator[G]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    def of(self, group: G) -> Mapping[str, Object]:
        """Return the objects of *group* by name."""
        return self._groups.get(group, _NOTHING)

    def add(self, group: G, object: Object) -> None:
        objects = self._groups.get(group)
        if objects is None:
            objects = self._groups[group] = {}
        objects[object.metadata.name] = object

    def drop(self, group: G, name: str) -> None:
        objects = self._groups.get(group)
        if objects is not None:
            objects.pop(name, None)
            if not objects:
                del self._groups[group]


_NOTHING: dict[str, Object] = {}


def _place(metadata: Metadata) -> tuple[str, str]:
    owner = metadata.controller()
    return metadata.namespace, owner.uid if owner is not None else ""


class _Store:
    """The objects of one kind by namespace and name."""

    def __init__(self) -> None:
        self.by_namespace: _Groups[str] = _Groups()
        self.latest: dict[str, int] = {}  # the newest version seen in each namespace

    def get(self, namespace: str, name: str) -> Object | None:
        return self.by_namespace.of(namespace).get(name)

    def put(self, object: Object) -> None:
        metadata = object.metadata
        self.by_namespace.add(metadata.namespace, object)
        version = version_of(metadata)
        if version > self.latest.get(metadata.namespace, 0):
            self.latest[metadata.namespace] = version

    def drop(self, namespace: str, name: str) -> Object | None:
        """Drop an object and return it.

        The newest version of a namespace outlives its objects, since what was gone before we asked has been seen, too;
        but not those of thousands of namespaces that are gone themselves.
        """
        before = self.get(namespace, name)
        self.by_namespace.drop(namespace, name)
        if len(self.latest) > 2 * len(self.by_namespace) + _EMPTY_NAMESPACES:
            self.latest = {known: self.latest[known] for known in self.by_namespace if known in self.latest}
        return before


def _was_ready(before: Object | None, uid: str) -> bool:
    return isinstance(before, Pod) and before.metadata.uid == uid and before.was_ready


class Observed:
    """The cluster as it was last seen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing; *clock* gives monotonic seconds."""
        self._clock = clock
        self._stores = {kind: _Store() for kind in Watched}
        # By namespace and UID of the owner, empty for orphans. Whoever may write in one namespace can name an owner in
        # another; that is to move nothing there.
        self._by_owner: dict[Watched, _Groups[tuple[str, str]]] = {Watched.POD: _Groups(), Watched.REVISION: _Groups()}
        self._set_keys: dict[str, SetKey] = {}  # by UID
        self._seen_services: set[str | None] = set()  # namespaces in which they are listed; None is all
        self._pool = slim.Pool()
        self._expected: dict[SetKey, list[Expectation]] = {}

    # Taking in

    def put(self, kind: Watched, object: Object) -> set[SetKey]:
        """Take in an object that was added or changed, and return the sets that it concerns (S47).

        The object is ours from then on.
        """
        store, metadata = self._stores[kind], object.metadata
        before = store.get(metadata.namespace, metadata.name)
        if before is not None and metadata.resource_version == before.metadata.resource_version != "":
            return set()
        slim.slim(object, self._pool)
        if isinstance(object, Pod):
            object.was_ready = object.is_ready or _was_ready(before, metadata.uid)
        store.put(object)
        return self._reindex(kind, before, object) | self._concerned(kind, object)

    def delete(self, kind: Watched, namespace: str, name: str) -> set[SetKey]:
        """Take in that an object is gone, and return the sets that it concerns."""
        before = self._stores[kind].drop(namespace, name)
        if before is None:
            return set()
        return self._reindex(kind, before, None) | self._concerned(kind, before)

    def replace(self, kind: Watched, namespace: str | None, objects: Iterable[Object]) -> set[SetKey]:
        """Take in a whole list, and return the sets that what is new, changed or gone concerns."""
        store = self._stores[kind]
        listed = {(object.metadata.namespace, object.metadata.name): object for object in objects}
        scopes = [namespace] if namespace is not None else list(store.by_namespace)
        gone = [
            (scope, name) for scope in scopes for name in store.by_namespace.of(scope) if (scope, name) not in listed
        ]
        concerned: set[SetKey] = set()
        if kind is Watched.SERVICE and namespace not in self._seen_services:
            self._seen_services.add(namespace)
            concerned.update(self._set_keys.values())  # nothing was known of their governing Services
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
        elif kind in self._by_owner:
            groups = self._by_owner[kind]
            if before is not None:
                groups.drop(_place(before.metadata), before.metadata.name)
                concerned |= self._owner(before.metadata)
            if now is not None:
                groups.add(_place(now.metadata), now)
        return concerned

    def _owner(self, metadata: Metadata) -> set[SetKey]:
        """Return the set that manages an object; none where it is not one that we know."""
        owner = metadata.controller()
        key = self._set_keys.get(owner.uid) if owner is not None else None
        return {key} if key is not None and key.namespace == metadata.namespace else set()

    def _concerned(self, kind: Watched, object: Object) -> set[SetKey]:
        metadata = object.metadata
        if kind in SET_KINDS:
            return {SetKey(SET_KINDS[kind], metadata.namespace, metadata.name)}
        if kind is Watched.SERVICE:
            return set(self._governed_by(metadata.namespace, metadata.name))
        if kind is Watched.CLAIM:
            return set(self._owners_of_claim(metadata.namespace, metadata.name))
        owner = self._owner(metadata)
        return owner | set(self._holders_of_name(metadata)) if kind is Watched.POD else owner

    def _holders_of_name(self, metadata: Metadata) -> Iterator[SetKey]:
        """Yield the sets of which a pod bears a name: they may adopt it, or it may be in their way."""
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
            for name, record in self._stores[kind].by_namespace.of(namespace).items():
                assert isinstance(record, SetRecord)
                if service_name.encode() in record.octets:  # cheap; a few too many do no harm
                    yield SetKey(SET_KINDS[kind], namespace, name)

    # Giving out

    def set_keys(self) -> list[SetKey]:
        """Return every set."""
        return list(self._set_keys.values())

    def count(self, kind: Watched) -> int:
        """Return how many objects of *kind* are known."""
        groups = self._stores[kind].by_namespace
        return sum(len(groups.of(namespace)) for namespace in groups)

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
        groups = self._by_owner[kind]
        return [*groups.of((set.namespace, set.metadata.uid)).values(), *groups.of((set.namespace, "")).values()]

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return a pod, whoever owns it."""
        return self._stores[Watched.POD].get(namespace, name)  # type: ignore[return-value]  # the store of pods

    def claims(self, namespace: str) -> Mapping[str, Claim]:
        """Return the claims of *namespace* by name, as they are for as long as nothing is taken in."""
        return self._stores[Watched.CLAIM].by_namespace.of(namespace)  # type: ignore[return-value]

    def service(self, namespace: str, name: str) -> Service | None:
        """Return a Service, or what stands for one where Services are not to be seen."""
        if namespace not in self._seen_services and None not in self._seen_services:
            return UNSEEN_SERVICE
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
