"""List and watch every kind that the DNS is made from, for as long as the program runs. Does network I/O."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Literal

from headlessdns.cluster.follow import READ_TIMEOUT_S, STREAMED_LIST_TIMEOUT_S, Api, Follower, Watch
from headlessdns.cluster.objects import RESOURCES, Event, Forbid, Kind
from headlessdns.cluster.watch import Backoff, ListWatch, WatchStatus


class Reflector:
    """The watches of one program.

    Attributes:
        statuses: How each watch is doing; the list grows when Endpoints turn out to be needed.
    """

    def __init__(
        self,
        api: Api,
        apply: Callable[[list[Event]], None],
        *,
        namespaces: Iterable[str] = (),
        label_selector: str = "",
        pods: bool = True,
        endpoints: Literal["auto", "always"] = "auto",
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
        read_timeout_s: float = READ_TIMEOUT_S,
        streamed_list_timeout_s: float = STREAMED_LIST_TIMEOUT_S,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare the watches; `run` starts them.

        Args:
            api: The API server.
            apply: Takes the events of one chunk of a stream, in order; called in the loop, never with an empty list.
            namespaces: Watch only these, for which a Role is enough; none means all. Namespaces are then not watched.
            label_selector: Limits Services, EndpointSlices, Endpoints and Pods.
            pods: Whether Pods are wanted.
            endpoints: `auto` watches Endpoints only where EndpointSlices are not served, `always` always.
            backoff: Pauses after failures.
            read_timeout_s: A stream that is silent for longer is taken for dead.
            streamed_list_timeout_s: A streamed list that is silent for longer is asked for in pages.
            rng: Spreads pauses and the length of watches.
        """
        self.statuses: list[WatchStatus] = []
        self._follower = Follower(api, read_timeout_s=read_timeout_s, streamed_list_timeout_s=streamed_list_timeout_s)
        self._apply = apply
        self._namespaces: list[str | None] = list(dict.fromkeys(namespaces)) or [None]
        self._label_selector = label_selector
        self._backoff = backoff
        self._rng = rng or random.Random()
        unwatched = {
            Kind.NAMESPACE: bool(namespaces),
            Kind.POD: not pods,
            Kind.ENDPOINTS: endpoints == "auto",
        }
        self._unwatched = [kind for kind in Kind if unwatched.get(kind)]
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Watch until cancelled. What *apply* raises ends it; faults of the server never do."""
        if self._unwatched:
            self._apply([Forbid(kind, "unwatched") for kind in self._unwatched])
        async with asyncio.TaskGroup() as self._tasks:
            for kind in Kind:
                if kind not in self._unwatched:
                    self._start(kind)

    def _start(self, kind: Kind) -> None:
        assert self._tasks is not None
        for namespace in self._namespaces if RESOURCES[kind].namespaced else [None]:
            watch = Watch(
                ListWatch(kind, namespace, label_selector=self._label_selector, backoff=self._backoff, rng=self._rng),
                WatchStatus(kind, namespace, required=RESOURCES[kind].required),
                _WITHOUT[kind],
                _WITHOUT_ABSENT.get(kind, ""),
            )
            self.statuses.append(watch.status)
            self._tasks.create_task(self._follow(watch), name=f"watch {watch.name}")

    async def _follow(self, watch: Watch) -> None:
        def apply(events: list[Event]) -> None:
            self._apply(events)
            if watch.status.kind is Kind.ENDPOINT_SLICE:
                self._choose_endpoints(watch.status)

        await self._follower.follow(watch, apply)

    def _choose_endpoints(self, slices: WatchStatus) -> None:
        """Let Endpoints stand in for EndpointSlices where those are not served, and no longer than that."""
        slices.required = slices.forbidden != "absent"
        if not slices.required and Kind.ENDPOINTS in self._unwatched:
            self._unwatched.remove(Kind.ENDPOINTS)
            self._start(Kind.ENDPOINTS)
        for status in self.statuses:
            if status.kind is Kind.ENDPOINTS:
                status.required = not slices.required


_WITHOUT = {
    Kind.SERVICE: "nothing can be answered without them",
    Kind.ENDPOINT_SLICE: "nothing can be answered without them",
    Kind.ENDPOINTS: "Services that have no EndpointSlice go without addresses",
    Kind.POD: "names made of pod addresses are not answered",
    Kind.NAMESPACE: "a namespace now exists when an object in it does",
    Kind.STATEFUL_SET: "which pods a StatefulSet wants is not known",
}
_WITHOUT_ABSENT = {Kind.ENDPOINT_SLICE: "Endpoints are watched instead"}
