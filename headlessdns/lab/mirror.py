"""All objects of one kind, kept as the API server has them, by list and watch. Does network I/O and logs.

Source: Kubernetes API concepts ("Efficient detection of changes"), v1.36.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from headlessdns.cluster.follow import Api
from headlessdns.cluster.watch import MAX_WATCH_S, MIN_WATCH_S, PAGE_SIZE, Backoff, Outcome, outcome_of
from headlessdns.errors import ClusterError
from headlessdns.lab.objects import Key, Metadata

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 150.0  # an idle watch gets a bookmark about every minute


class _Object(Protocol):
    metadata: Metadata


T = TypeVar("T", bound=_Object)


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMetadata


class _Status(msgspec.Struct):
    code: int = 0
    message: str | None = None


_PAGE = msgspec.json.Decoder(_Page)
_EVENT = msgspec.json.Decoder(_WatchEvent)
_BOOKMARK = msgspec.json.Decoder(_Bookmark)
_STATUS = msgspec.json.Decoder(_Status)
# What msgspec raises for text that is no UTF-8, and for brackets without end, is not among its own errors.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _RefusedError(ClusterError):
    """The API server says no."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.outcome = outcome_of(status, text)


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
        self._api = api
        self._path = path
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._changed = changed
        self._backoff = backoff
        self._read_timeout_s = read_timeout_s
        self._rng = random.Random()
        self._version = ""  # empty: a list is needed
        self._failures = 0
        self._error = ""

    async def run(self) -> None:
        """Follow the kind until cancelled; faults of the server never end it."""
        while True:
            outcome, reason = Outcome.ENDED, ""
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except _RefusedError as error:
                outcome, reason = error.outcome, str(error)
            except TimeoutError:
                outcome, reason = Outcome.SILENT, "the server was silent for too long"
            except ClusterError as error:
                outcome, reason = Outcome.BROKEN, str(error)
            await self._recover(outcome, reason)

    async def _recover(self, outcome: Outcome, reason: str) -> None:
        self._failures += 1
        if outcome in (Outcome.GONE, Outcome.SILENT, Outcome.REFUSED):
            self._version = ""
        if reason and reason != self._error and outcome is not Outcome.GONE:
            logger.warning("%s: %s; trying again", self._path, reason)
            self._error = reason
        if self._failures > 1 or outcome not in (Outcome.ENDED, Outcome.GONE):
            await asyncio.sleep(self._backoff.pause_s(self._failures, self._rng))
        if outcome is Outcome.UNAUTHORIZED:
            try:
                await self._api.reauthenticate()
            except ClusterError as error:
                logger.warning("%s: %s", self._path, error)

    async def _list(self) -> None:
        found: dict[Key, T] = {}
        query = {"limit": str(PAGE_SIZE)}
        while True:
            async with asyncio.timeout(self._read_timeout_s), self._api.get(self._path, query) as reply:
                body = await reply.body()
            if reply.status != 200:
                raise _refusal(reply.status, body)
            try:
                page = _PAGE.decode(body)
            except _UNREADABLE as error:
                raise ClusterError(f"a page that is no list: {error}") from error
            for item in page.items or ():
                if (object := self._read(item)) is not None:
                    found[object.metadata.key] = object
            if not page.metadata.continue_:
                break
            query["continue"] = page.metadata.continue_
        self._replace(found)
        self._version = page.metadata.resource_version
        self.listed.set()

    def _replace(self, found: Mapping[Key, T]) -> None:
        for key in [key for key in self.objects if key not in found]:
            self._put(key, None)
        for key, object in found.items():
            before = self.objects.get(key)
            if before is None or before.metadata.resource_version != object.metadata.resource_version:
                self._put(key, object)

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(self._rng.randint(MIN_WATCH_S, MAX_WATCH_S)),
        }
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._read_timeout_s) as limit, self._api.get(self._path, query) as reply:
            if reply.status != 200:
                raise _refusal(reply.status, await reply.body())
            rest = b""
            async for chunk in reply.chunks():
                limit.reschedule(loop.time() + self._read_timeout_s)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        """Take in one line of a watch.

        Raises:
            ClusterError: It ends the watch.
        """
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                status = _STATUS.decode(event.object)
                raise _RefusedError(status.code, status.message or "")
            version = _BOOKMARK.decode(event.object).metadata.resource_version
        except _UNREADABLE as error:
            raise ClusterError(f"a line that is no event: {error}") from error
        if event.type in ("ADDED", "MODIFIED", "DELETED") and (object := self._read(event.object)) is not None:
            self._put(object.metadata.key, None if event.type == "DELETED" else object)
        self._version = version
        self._failures, self._error = 0, ""

    def _read(self, text: msgspec.Raw) -> T | None:
        try:
            return self._decoder.decode(text)
        except _UNREADABLE as error:
            logger.warning("%s: an object that cannot be read is passed over: %s", self._path, error)
            return None

    def _put(self, key: Key, object: T | None) -> None:
        before: Any = self.objects.pop(key, None)
        if object is not None:
            self.objects[key] = object
        self._changed(before, object)


def _refusal(status: int, body: bytes) -> _RefusedError:
    try:
        message = _STATUS.decode(body).message
    except _UNREADABLE:  # something in between, such as a proxy
        message = body[:200].decode(errors="replace").strip()
    return _RefusedError(status, message or "")
