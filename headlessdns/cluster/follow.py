"""Follow one kind in the API for as long as the program runs. Does network I/O and logs.

What is asked and what replies mean is decided in ``watch``; here requests are sent, time passes, and events go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from headlessdns.cluster.objects import Event, Replace
from headlessdns.cluster.watch import ListWatch, Request, State, WatchStatus
from headlessdns.errors import ClusterError

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 150.0  # an idle watch gets a bookmark about every minute
STREAMED_LIST_TIMEOUT_S = 10.0  # a server that knows streamed lists writes without a pause until they are complete
MAX_TOLD = 20  # troubles of one outage that are remembered, so that two that take turns are not told each time


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


class Watch:
    """One watch, its status, and what the log was told of it: each trouble once, and its end.

    Attributes:
        core: What is asked and what replies mean.
        status: How it is doing.
        name: For people.
    """

    def __init__(self, core: ListWatch, status: WatchStatus, without: str, without_absent: str = "") -> None:
        """Prepare.

        Args:
            core: What is asked and what replies mean.
            status: How it is doing.
            without: What follows where the kind cannot be had, for the log.
            without_absent: What follows where it is not served, if that is something else.
        """
        self.core = core
        self.status = status
        self._told: set[str] = set()
        self._without = without
        self._without_absent = without_absent or without
        plural = core.resource.plural
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
                logger.warning("%s: %s", self.name, self._refusal())
            else:
                logger.info("%s: %s", self.name, self._grant(status.forbidden))
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

    def _grant(self, before: str) -> str:
        """Return that a kind can be had after all, which was forbidden or absent *before*."""
        if before == "absent":
            return f"the API server serves {self.core.resource.group_version} now"
        return "the API server grants list and watch now"

    def _refusal(self) -> str:
        """Return what follows from a kind that cannot be had, and which rule would grant it."""
        core = self.core
        resource = core.resource
        group = resource.group_version.rpartition("/")[0]
        if core.forbidden == "absent":
            return f"the API server does not serve {resource.group_version} ({core.last_error}); {self._without_absent}"
        role = "ClusterRole" if core.namespace is None else f"Role in namespace {core.namespace}"
        rule = f'{{apiGroups: ["{group}"], resources: ["{resource.plural}"], verbs: ["list", "watch"]}}'
        return (
            f"the API server forbids list and watch ({core.last_error}); {self._without}; "
            f"to grant it add to the {role}: {rule}"
        )


class Follower:
    """Follows watches of one API server."""

    def __init__(
        self,
        api: Api,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        streamed_list_timeout_s: float = STREAMED_LIST_TIMEOUT_S,
    ) -> None:
        """Prepare.

        Args:
            api: The API server.
            read_timeout_s: A stream that is silent for longer is taken for dead.
            streamed_list_timeout_s: A streamed list that is silent for longer is asked for in pages.
        """
        self._api = api
        self._read_timeout_s = read_timeout_s
        self._streamed_list_timeout_s = streamed_list_timeout_s

    async def follow(self, watch: Watch, apply: Callable[[list[Event]], None]) -> None:
        """Follow *watch* until cancelled. What *apply* raises ends it; faults of the server never do.

        Args:
            watch: What to follow.
            apply: Takes the events of one chunk of a stream, in order; called in the loop, never with an empty list.
        """
        while True:
            request = watch.core.request()
            try:
                await self._exchange(watch, request, apply)
            except TimeoutError:
                _hand_on(watch.core.silent(time.monotonic()), watch, apply)
            except ClusterError as error:
                _hand_on(watch.core.lost(str(error), time.monotonic()), watch, apply)
            watch.status.restarts += watch.core.is_listed and request.is_stream
            pause = watch.core.pause()
            await asyncio.sleep(pause.seconds)
            if pause.reauthenticate:
                await self._reauthenticate(watch)

    async def _exchange(self, watch: Watch, request: Request, apply: Callable[[list[Event]], None]) -> None:
        """Send *request* and take its reply to the end.

        Raises:
            TimeoutError: The server is silent.
            ClusterError: There is no reply, or it broke off.
        """
        core = watch.core
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._read_timeout_s) as limit, self._api.get(request.path, request.query) as reply:
            if reply.status != 200:
                _hand_on(core.refused(reply.status, await reply.body(), reply.retry_after), watch, apply)
                return
            core.opened(time.monotonic())
            watch.tell([])
            limit.reschedule(loop.time() + self._limit_s(core))
            watch.note_word()
            async for chunk in reply.chunks():
                _hand_on(core.receive(chunk), watch, apply)
                watch.note_word()
                if core.is_over:
                    return
                limit.reschedule(loop.time() + self._limit_s(core))
            _hand_on(core.ended(time.monotonic()), watch, apply)

    def _limit_s(self, core: ListWatch) -> float:
        return self._streamed_list_timeout_s if core.state is State.STREAMED_LIST else self._read_timeout_s

    async def _reauthenticate(self, watch: Watch) -> None:
        try:
            await self._api.reauthenticate()
        except ClusterError as error:
            watch.core.last_error = str(error)
            watch.tell([])


def _hand_on(events: list[Event], watch: Watch, apply: Callable[[list[Event]], None]) -> None:
    watch.tell(events)
    if events:
        apply(events)
