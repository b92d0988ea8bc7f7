"""All objects of one kind, kept as the API server has them. Does network I/O and logs, through `cluster.follow`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from headlessdns.cluster import objects
from headlessdns.cluster.follow import READ_TIMEOUT_S, Api, Follower, Watch
from headlessdns.cluster.objects import Delete, Event, Put, Replace
from headlessdns.cluster.watch import Backoff, Codec, ListWatch, WatchStatus
from headlessdns.lab.objects import Key, Metadata


class _Object(Protocol):
    metadata: Metadata


T = TypeVar("T", bound=_Object)


class Mirror(Generic[T]):
    """The objects of one kind in all namespaces.

    Attributes:
        objects: What there is, by namespace and name.
        listed: Set once the first list is complete.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        kind: type[T],
        changed: Callable[[T | None, T | None], None],
        *,
        backoff: Backoff,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """Prepare to follow *kind* at *path*.

        Args:
            api: The API server.
            path: Where it lists the kind, from its root.
            kind: What the objects are read into.
            changed: Called in the loop with an object as it was and as it is; None where there is none.
            backoff: Pauses after failures.
            read_timeout_s: A watch that is silent for longer is taken for dead.
        """
        self.objects: dict[Key, T] = {}
        self.listed = asyncio.Event()
        self._changed = changed
        self._follower = Follower(api, read_timeout_s=read_timeout_s)
        _, _, rest = path.lstrip("/").partition("/")  # api or apis
        group_version, _, plural = rest.rpartition("/")
        resource = objects.Resource(cast(Any, kind), group_version, plural, required=True)
        codec = Codec(resource, msgspec.json.Decoder(kind).decode)
        of = cast(objects.Kind, plural)
        core = ListWatch(of, codec=codec, backoff=backoff, streams_lists=False)
        self._watch = Watch(core, WatchStatus(of, None, required=True), f"{plural} are not seen")

    async def run(self) -> None:
        """Follow the kind until cancelled; faults of the server never end it."""
        await self._follower.follow(self._watch, self._take)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Put):
                object = cast(T, event.object)
                self._put(object.metadata.key, object)
            elif isinstance(event, Delete):
                self._put(Key(*event.key), None)
            elif isinstance(event, Replace):
                self._replace(cast(list[T], event.objects))

    def _replace(self, listed: list[T]) -> None:
        found = {object.metadata.key: object for object in listed}
        for key in [key for key in self.objects if key not in found]:
            self._put(key, None)
        for key, object in found.items():
            before = self.objects.get(key)
            if before is None or before.metadata.resource_version != object.metadata.resource_version:
                self._put(key, object)
        self.listed.set()

    def _put(self, key: Key, object: T | None) -> None:
        before = self.objects.pop(key, None)
        if object is not None:
            self.objects[key] = object
        if before is not None or object is not None:
            self._changed(before, object)
