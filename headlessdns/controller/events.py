"""Events: what was done, what failed, what is wrong (S49). Does network I/O through the client it is given.

As client-go's correlator does it: an event that is like one before raises its count, and who has much to say about one
object is held back. What cannot be written is dropped and counted: events are for people, nothing depends on them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from headlessdns.cluster.answer import Answer
from headlessdns.controller.model import Json, StatefulSet
from headlessdns.controller.queue import TokenBucket
from headlessdns.errors import ClusterError

log = logging.getLogger(__name__)

COMPONENT = "headlessdns-controller"
NORMAL, WARNING = "Normal", "Warning"
_BURST, _REFILL_QPS = 25, 1 / 300  # of one object and type, so that a thousand successes hide no failure
_KNOWN = 4096
_WAITING = 1000
_ALIKE_S = 600.0  # later the same is news again


class Api(Protocol):
    """What is needed of a client; `headlessdns.cluster.client.ApiClient` is one."""

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        """Send a request; raises ClusterError where no answer came."""


class EventApi(Protocol):
    """What a recorder needs of a client."""

    async def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> Answer:
        """Send a request; raises ClusterError where no answer came."""


class _Written(NamedTuple):
    """An event that was written."""

    name: str
    times: int
    at_s: float


class Subject(NamedTuple):
    """What an event is about.

    Attributes:
        namespace: Empty for what is in none.
        field_path: The part of the object, such as `spec.containers{nginx}`; empty for all of it.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    field_path: str = ""


class Source(NamedTuple):
    """Who tells of it: a component, on a machine where that matters."""

    component: str
    host: str = ""


class _Pending(NamedTuple):
    """An event to be written.

    Attributes:
        time_ns: When it came about, since 1970; no two of a recorder have the same.
    """

    subject: Subject
    source: Source
    type: str
    reason: str
    message: str
    time_ns: int

    @property
    def time(self) -> str:
        """When it came about, as the API has it."""
        return datetime.fromtimestamp(self.time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def key(self) -> tuple[str, ...]:
        """What events have in common that are counted together."""
        return (self.subject.uid, self.subject.field_path, self.source.component, self.type, self.reason, self.message)


class Recorder:
    """Writes events, in the background and in their order.

    Attributes:
        dropped: How many were not written.
    """

    def __init__(self, api: EventApi, clock: Callable[[], float], *, waiting: int = _WAITING) -> None:
        """Begin; `run` writes.

        Args:
            api: The API server.
            clock: Gives monotonic seconds.
            waiting: How many events may wait to be written; what is told beyond is dropped.
        """
        self.dropped = 0
        self._api = api
        self._clock = clock
        self._last_ns = 0
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue(waiting)

    def tell(self, set: StatefulSet, type: str, reason: str, message: str) -> None:
        """Have an event written about *set*; never waits."""
        metadata = set.metadata
        kind = set.kind.api_version, set.kind.value
        subject = Subject(*kind, metadata.namespace, metadata.name, metadata.uid, metadata.resource_version)
        self.record(subject, Source(COMPONENT), type, reason, message)

    def record(self, subject: Subject, source: Source, type: str, reason: str, message: str) -> None:
        """Have an event written about *subject*; never waits."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        try:
            self._queue.put_nowait(_Pending(subject, source, type, reason, message, self._last_ns))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            await self._write(await self._queue.get())

    async def flush(self, timeout_s: float) -> None:
        """Write what waits, for no longer than *timeout_s*."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._queue.empty():
                    await self._write(self._queue.get_nowait())
        except TimeoutError:
            self.dropped += 1 + self._queue.qsize()  # it was on its way

    async def _write(self, event: _Pending) -> None:
        if not self._may_write(event.subject.uid, event.type):
            self.dropped += 1
            return
        key = event.key
        known = self._written.pop(key, None)
        now_s = self._clock()
        if known is not None and now_s - known.at_s > _ALIKE_S:
            known = None
        path = f"/api/v1/namespaces/{_namespace(event)}/events"
        try:
            if known is not None:
                patch = {"count": known.times + 1, "lastTimestamp": event.time}
                answer = await self._api.request(
                    "PATCH", f"{path}/{known.name}", patch, content_type="application/merge-patch+json"
                )
                if answer.status == 404:  # it has expired
                    known = None
            if known is None:
                manifest = _manifest(event)
                answer = await self._api.request("POST", path, manifest)
                known = _Written(manifest["metadata"]["name"], 0, now_s)
        except ClusterError as error:
            self.dropped += 1
            log.debug("an event is not written: %s", error)
            return
        if answer.status >= 300:
            self.dropped += 1
            log.debug("an event is not written: HTTP %d: %s", answer.status, answer.body[:300])
            return
        self._written[key] = known._replace(times=known.times + 1, at_s=now_s)
        if len(self._written) > _KNOWN:
            self._written.popitem(last=False)

    def _may_write(self, uid: str, type: str) -> bool:
        """Take a token of the object's bucket and tell whether there was one."""
        bucket = self._buckets.pop((uid, type), None) or TokenBucket(_REFILL_QPS, _BURST, self._clock)
        self._buckets[uid, type] = bucket
        if len(self._buckets) > _KNOWN:
            self._buckets.popitem(last=False)
        return bucket.try_take()


def _namespace(event: _Pending) -> str:
    """Return where an event is; what is in no namespace has its events in the default one."""
    return event.subject.namespace or "default"


def _manifest(event: _Pending) -> Json:
    subject, source = event.subject, event.source
    about = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "name": subject.name,
        "uid": subject.uid,
        "resourceVersion": subject.resource_version,
    }
    if subject.namespace:
        about["namespace"] = subject.namespace
    if subject.field_path:
        about["fieldPath"] = subject.field_path
    by = {"source": {"component": source.component}, "reportingComponent": source.component}
    if source.host:
        by = {**by, "source": source._asdict(), "reportingInstance": source.host}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # As client-go does: events of one object in one second are listed in their order.
        "metadata": {"name": f"{subject.name}.{event.time_ns:016x}", "namespace": _namespace(event)},
        "involvedObject": about,
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        **by,
        "firstTimestamp": event.time,
        "lastTimestamp": event.time,
        "count": 1,
    }
