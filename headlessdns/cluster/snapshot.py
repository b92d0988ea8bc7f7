"""The observed state of the cluster, kept up to date by events. Pure.

Events are levels, not edges: the same `Put` twice, or a `Delete` of what is unknown, touches nothing. What an event
touched is returned, so that the rules run again for those Services, Namespaces and Pods only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from headlessdns.cluster.objects import (
    Delete,
    Endpoints,
    EndpointSlice,
    Event,
    Forbid,
    Key,
    Kind,
    Namespace,
    Object,
    Pod,
    Put,
    Replace,
    Service,
    StatefulSet,
)


class Touched(msgspec.Struct):
    """What one or more events changed.

    Attributes:
        services: Services whose records may differ now.
        pods: Pods whose records may differ now.
        namespaces: Namespaces whose existence may differ now.
        kinds: Kinds that were listed or forbidden for the first time, which may change every name.
    """

    services: set[Key] = msgspec.field(default_factory=set)
    pods: set[Key] = msgspec.field(default_factory=set)
    namespaces: set[str] = msgspec.field(default_factory=set)
    kinds: set[Kind] = msgspec.field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.services or self.pods or self.namespaces or self.kinds)

    def update(self, other: Touched) -> None:
        """Add what *other* holds."""
        self.services |= other.services
        self.pods |= other.pods
        self.namespaces |= other.namespaces
        self.kinds |= other.kinds


class Snapshot:
    """Every observed object, by kind and key.

    Attributes:
        services: Services.
        pods: Pods.
        namespaces: Namespace objects, by a key with an empty namespace.
        stateful_sets: StatefulSets.
        endpoints: Endpoints, by the key of their Service.
        listed: Kinds whose list is complete (in every watched namespace).
        unavailable: Kinds that cannot be had, in one watched namespace at least.
    """

    def __init__(self, namespaces: Iterable[str] = ()) -> None:
        """Begin empty.

        Args:
            namespaces: The watched namespaces; none means all. A namespaced kind is listed once each of these is.
        """
        self.services: dict[Key, Service] = {}
        self.pods: dict[Key, Pod] = {}
        self.namespaces: dict[Key, Namespace] = {}
        self.stateful_sets: dict[Key, StatefulSet] = {}
        self.endpoints: dict[Key, Endpoints] = {}
        self.listed: set[Kind] = set()
        self.unavailable: set[Kind] = set()
        self._slices: dict[Key, EndpointSlice] = {}
        self._slices_of: dict[Key, dict[str, EndpointSlice]] = {}
        self._population: defaultdict[str, int] = defaultdict(int)  # namespaced objects per namespace
        self._watched = frozenset(namespaces)
        self._lists: defaultdict[Kind, set[str | None]] = defaultdict(set)
        self._refusals: defaultdict[Kind, set[str | None]] = defaultdict(set)
        self._stores: dict[Kind, dict[Key, Object]] = {
            Kind.SERVICE: self.services,  # type: ignore[dict-item]  # each store holds one kind only
            Kind.ENDPOINT_SLICE: self._slices,  # type: ignore[dict-item]
            Kind.ENDPOINTS: self.endpoints,  # type: ignore[dict-item]
            Kind.POD: self.pods,  # type: ignore[dict-item]
            Kind.NAMESPACE: self.namespaces,  # type: ignore[dict-item]
            Kind.STATEFUL_SET: self.stateful_sets,  # type: ignore[dict-item]
        }

    def slices(self, service: Key) -> list[EndpointSlice]:
        """Return the slices of *service* by name; several slices are one set of endpoints."""
        found = self._slices_of.get(service, {})
        return [found[name] for name in sorted(found)]

    def count(self, kind: Kind) -> int:
        """Return how many objects of *kind* are known."""
        return len(self._stores[kind])

    def is_populated(self, namespace: str) -> bool:
        """Tell whether any namespaced object is in *namespace*."""
        return namespace in self._population

    def populated(self) -> Iterator[str]:
        """Yield the namespaces that hold an object."""
        yield from self._population

    def is_settled(self, kind: Kind) -> bool:
        """Tell whether nothing more is to be expected of *kind*: it is listed, or cannot be had."""
        return kind in self.listed or kind in self.unavailable

    def apply(self, event: Event) -> Touched:
        """Take in *event* and return what it changed."""
        touched = Touched()
        match event:
            case Put(kind, object):
                self._put(kind, object, touched)
            case Delete(kind, key):
                self._delete(kind, key, touched)
            case Replace(kind, objects, namespace):
                self._replace(kind, objects, namespace, touched)
            case Forbid(kind, _, namespace):
                self._refusals[kind].add(namespace)
                if kind not in self.unavailable:
                    self.unavailable.add(kind)
                    touched.kinds.add(kind)
        return touched

    def _replace(self, kind: Kind, objects: list[Object], namespace: str | None, touched: Touched) -> None:
        store = self._stores[kind]
        wanted = {object.metadata.key for object in objects}
        for key in [key for key in store if namespace in (None, key.namespace) and key not in wanted]:
            self._delete(kind, key, touched)
        for object in objects:
            self._put(kind, object, touched)
        self._lists[kind].add(namespace)
        complete = None in self._lists[kind] or (self._watched and self._watched <= self._lists[kind])
        if complete and kind not in self.listed:
            self.listed.add(kind)
            touched.kinds.add(kind)
        self._refusals[kind] -= {namespace, None}
        if kind in self.unavailable and not self._refusals[kind]:
            self.unavailable.discard(kind)
            touched.kinds.add(kind)

    def _put(self, kind: Kind, object: Object, touched: Touched) -> None:
        store = self._stores[kind]
        key = object.metadata.key
        before = store.get(key)
        if before is not None and _same(before, object):
            store[key] = object  # its resourceVersion may be newer
            if isinstance(object, EndpointSlice):
                self._slices_of[object.service][key.name] = object
            return
        store[key] = object
        if before is None:
            self._count(kind, key, +1, touched)
        if isinstance(before, EndpointSlice):
            self._unlink(before, touched)
        if isinstance(object, EndpointSlice):
            self._slices_of.setdefault(object.service, {})[key.name] = object
            touched.services.add(object.service)
        else:
            _touch(kind, key, touched)

    def _delete(self, kind: Kind, key: Key, touched: Touched) -> None:
        before = self._stores[kind].pop(key, None)
        if before is None:
            return
        self._count(kind, key, -1, touched)
        if isinstance(before, EndpointSlice):
            self._unlink(before, touched)
        else:
            _touch(kind, key, touched)

    def _unlink(self, slice: EndpointSlice, touched: Touched) -> None:
        siblings = self._slices_of[slice.service]
        del siblings[slice.metadata.name]
        if not siblings:
            del self._slices_of[slice.service]
        touched.services.add(slice.service)

    def _count(self, kind: Kind, key: Key, change: int, touched: Touched) -> None:
        if kind is Kind.NAMESPACE:
            return
        before = self._population.get(key.namespace, 0)
        if before + change:
            self._population[key.namespace] = before + change
        else:
            del self._population[key.namespace]
        if not before or not before + change:
            touched.namespaces.add(key.namespace)


def _same(one: Object, other: Object) -> bool:
    """Tell whether two states of an object differ in nothing but their resourceVersion."""
    if one.metadata.resource_version == other.metadata.resource_version:
        return one == other
    with_version = one.metadata.resource_version
    one.metadata.resource_version = other.metadata.resource_version
    try:
        return one == other
    finally:
        one.metadata.resource_version = with_version


def _touch(kind: Kind, key: Key, touched: Touched) -> None:
    match kind:
        case Kind.SERVICE | Kind.ENDPOINTS:
            touched.services.add(key)
        case Kind.POD:
            touched.pods.add(key)
        case Kind.NAMESPACE:
            touched.namespaces.add(key.name)
        case _:
            pass
