"""Events about sets: what was done, what failed, what is wrong (S49). Does network I/O through the client it is given.

As client-go's correlator does it: an event that is like one before raises its count, and who has much to say about one
object is held back. What cannot be written is dropped and counted: events are for people, nothing depends on them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
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


class _Written(NamedTuple):
    """An event that was written."""

    name: str
    times: int
    at_s: float


class _Pending(NamedTuple):
    """An event to be written."""

    set: StatefulSet
    type: str
    reason: str
    message: str


class Recorder:
    """Writes events, in the background and in their order.

    Attributes:
        dropped: How many were not written.
    """

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        """Begin; `run` writes. *clock* gives monotonic seconds."""
        self.dropped = 0
        self._api = api
        self._clock = clock
        self._written: OrderedDict[tuple[str, str, str, str], _Written] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue(_WAITING)

    def tell(self, set: StatefulSet, type: str, reason: str, message: str) -> None:
        """Have an event written about *set*; never waits."""
        try:
            self._queue.put_nowait(_Pending(set, type, reason, message))
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
        if not self._may_write(event.set.metadata.uid, event.type):
            self.dropped += 1
            return
        key = (event.set.metadata.uid, event.type, event.reason, event.message)
        known = self._written.pop(key, None)
        now_s = self._clock()
        if known is not None and now_s - known.at_s > _ALIKE_S:
            known = None
        path = f"/api/v1/namespaces/{event.set.namespace}/events"
        try:
            if known is not None:
                patch = {"count": known.times + 1, "lastTimestamp": _now()}
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


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _manifest(event: _Pending) -> Json:
    now = _now()
    metadata = event.set.metadata
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata.name}.{secrets.token_hex(8)}", "namespace": metadata.namespace},
        "involvedObject": {
            "apiVersion": event.set.kind.api_version,
            "kind": event.set.kind.value,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
