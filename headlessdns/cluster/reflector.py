"""List and watch every kind that the DNS is made from, for as long as the program runs. Does network I/O and logs.

What is asked and what replies mean is decided in ``watch``; here requests are sent, time passes, and events go on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from headlessdns.cluster.objects import RESOURCES, Event, Forbid, Kind, Replace
from headlessdns.cluster.watch import Backoff, ListWatch, Request, State, WatchStatus
from headlessdns.errors import ClusterError

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 150.0  # an idle watch gets a bookmark about every minute
MAX_TOLD = 20  # troubles of one outage that are remembered, so that two that take turns are not told each time
STREAMED_LIST_TIMEOUT_S = 10.0  # a server that knows streamed lists writes without a pause until they are complete


class Body(Protocol):
    """What the reflector needs of a reply; `client.Reply` is one."""

    status: int
    retry_after: str

    def chunks(self) -> AsyncIterable[bytes]:
        """Yield the body as it comes."""

    async def body(self) -> bytes:
        """Return the whole body."""


class Api(Protocol):
    """What the reflector needs of a client; `client.ApiClient` is one."""

    def get(self, path: str, query: Mapping[str, str]) -> AbstractAsyncContextManager[Body]:
        """Send a GET; raises ClusterError."""

    async def reauthenticate(self) -> None:
        """Read the credentials again; raises ClusterError."""


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
        self._api = api
        self._apply = apply
        self._namespaces: list[str | None] = list(dict.fromkeys(namespaces)) or [None]
        self._label_selector = label_selector
        self._backoff = backoff
        self._read_timeout_s = read_timeout_s
        self._streamed_list_timeout_s = streamed_list_timeout_s
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
            watch = _Watch(
                ListWatch(kind, namespace, label_selector=self._label_selector, backoff=self._backoff, rng=self._rng),
                WatchStatus(kind, namespace, required=RESOURCES[kind].required),
            )
            self.statuses.append(watch.status)
            self._tasks.create_task(self._follow(watch), name=f"watch {watch.name}")

    async def _follow(self, watch: _Watch) -> None:
        while True:
            request = watch.core.request()
            try:
                await self._exchange(watch, request)
            except TimeoutError:
                self._hand_on(watch.core.silent(time.monotonic()), watch)
            except ClusterError as error:
                self._hand_on(watch.core.lost(str(error), time.monotonic()), watch)
            watch.status.restarts += watch.core.is_listed and request.is_stream
            pause = watch.core.pause()
            await asyncio.sleep(pause.seconds)
            if pause.reauthenticate:
                await self._reauthenticate(watch)

    async def _exchange(self, watch: _Watch, request: Request) -> None:
        """Send *request* and take its reply to the end.

        Raises:
            TimeoutError: The server is silent.
            ClusterError: There is no reply, or it broke off.
        """
        core = watch.core
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._read_timeout_s) as limit, self._api.get(request.path, request.query) as reply:
            if reply.status != 200:
                self._hand_on(core.refused(reply.status, await reply.body(), reply.retry_after), watch)
                return
            core.opened(time.monotonic())
            watch.tell([])
            limit.reschedule(loop.time() + self._limit_s(core))
            watch.note_word()
            async for chunk in reply.chunks():
                self._hand_on(core.receive(chunk), watch)
                watch.note_word()
                if core.is_over:
                    return
                limit.reschedule(loop.time() + self._limit_s(core))
            self._hand_on(core.ended(time.monotonic()), watch)

    def _limit_s(self, core: ListWatch) -> float:
        return self._streamed_list_timeout_s if core.state is State.STREAMED_LIST else self._read_timeout_s

    def _hand_on(self, events: list[Event], watch: _Watch) -> None:
        watch.tell(events)
        if events:
            self._apply(events)
            if watch.status.kind is Kind.ENDPOINT_SLICE:
                self._choose_endpoints(watch.status)

    def _choose_endpoints(self, slices: WatchStatus) -> None:
        """Let Endpoints stand in for EndpointSlices where those are not served, and no longer than that."""
        slices.required = slices.forbidden != "absent"
        if not slices.required and Kind.ENDPOINTS in self._unwatched:
            self._unwatched.remove(Kind.ENDPOINTS)
            self._start(Kind.ENDPOINTS)
        for status in self.statuses:
            if status.kind is Kind.ENDPOINTS:
                status.required = not slices.required

    async def _reauthenticate(self, watch: _Watch) -> None:
        try:
            await self._api.reauthenticate()
        except ClusterError as error:
            watch.core.last_error = str(error)
            watch.tell([])


class _Watch:
    """One watch, its status, and what the log was told of it: each trouble once, and its end."""

    def __init__(self, core: ListWatch, status: WatchStatus) -> None:
        self.core = core
        self.status = status
        self._told: set[str] = set()
        plural = RESOURCES[status.kind].plural
        self.name = plural if status.namespace is None else f"{plural} in namespace {status.namespace}"

    def note_word(self) -> None:
        """Note the time of the server's word, unless it is part of a list: until that is complete nothing is newer."""
        if self.core.state is State.WATCH:
            self.status.last_event_monotonic_s = time.monotonic()

    def tell(self, events: list[Event]) -> None:
        """Bring the status up to date, and log what is new."""
        core, status = self.core, self.status
        for text in core.skipped:
            logger.warning("%s: an object that cannot be read is passed over: %s", self.name, text)
        core.skipped.clear()
        if core.forbidden != status.forbidden:
            if core.forbidden:
                logger.warning("%s: %s", self.name, _refusal(core))
            else:
                logger.info("%s: %s", self.name, _grant(core, status.forbidden))
        elif core.last_error != status.last_error and not core.forbidden:
            if not core.last_error:
                logger.info("%s: the watch is back", self.name)
                self._told.clear()
            elif core.last_error not in self._told:
                logger.warning("%s: %s; trying again", self.name, core.last_error)
                self._told = {*self._told, core.last_error} if len(self._told) < MAX_TOLD else {core.last_error}
        status.listed, status.forbidden, status.last_error = core.is_listed, core.forbidden, core.last_error
        for event in events:
            if isinstance(event, Replace):
                status.last_event_monotonic_s = time.monotonic()
                logger.info("%s: %d listed", self.name, len(event.objects))


_WITHOUT = {
    Kind.SERVICE: "nothing can be answered without them",
    Kind.ENDPOINT_SLICE: "nothing can be answered without them",
    Kind.ENDPOINTS: "Services that have no EndpointSlice go without addresses",
    Kind.POD: "names made of pod addresses are not answered",
    Kind.NAMESPACE: "a namespace now exists when an object in it does",
    Kind.STATEFUL_SET: "which pods a StatefulSet wants is not known",
}


def _grant(core: ListWatch, before: str) -> str:
    """Return that a kind can be had after all, which was forbidden or absent *before*."""
    if before == "absent":
        return f"the API server serves {RESOURCES[core.kind].group_version} now"
    return "the API server grants list and watch now"


def _refusal(core: ListWatch) -> str:
    """Return what follows from a kind that cannot be had, and which rule would grant it."""
    resource = RESOURCES[core.kind]
    group = resource.group_version.rpartition("/")[0]
    without = _WITHOUT[core.kind]
    if core.forbidden == "absent":
        if core.kind is Kind.ENDPOINT_SLICE:
            without = "Endpoints are watched instead"
        return f"the API server does not serve {resource.group_version} ({core.last_error}); {without}"
    role = "ClusterRole" if core.namespace is None else f"Role in namespace {core.namespace}"
    rule = f'{{apiGroups: ["{group}"], resources: ["{resource.plural}"], verbs: ["list", "watch"]}}'
    return (
        f"the API server forbids list and watch ({core.last_error}); {without}; to grant it add to the {role}: {rule}"
    )
