"""Syncs: takes a key from the queue, plans, applies, writes the status, and decides when to look again.

How the reference does it: the error of any part sends the key back with a growing delay, the status is written even
when a step failed, and history is cut at the end of every sync (S26, S44, S48). What differs: a set whose own writes
are not seen yet is put aside until they are, deletions included; the event that shows them brings it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import msgspec

from headlessdns.controller.actions import DeletePod, Wait
from headlessdns.controller.apply import Applier, CollisionError, NotLeaderError, WriteError
from headlessdns.controller.conditions import Notes
from headlessdns.controller.events import WARNING, Recorder
from headlessdns.controller.model import Json, Pod, SetKey, SetKind, StatefulSet, Status
from headlessdns.controller.observed import Observed, Service
from headlessdns.controller.plan import Plan, has_news, plan, status_after
from headlessdns.controller.queue import WorkQueue
from headlessdns.errors import HeadlessDNSError

log = logging.getLogger(__name__)

MAX_COLLISIONS = 20  # in one sync


class Observer(Protocol):
    """Says how a set is doing; `conditions.notes` is one."""

    def __call__(
        self,
        set: StatefulSet,
        status: Status,
        wait: Wait | None,
        error: str,
        pods: Mapping[str, Pod],
        service: Service | None,
        now_s: float,
    ) -> Notes:
        """Return what is to be said.

        Args:
            set: The set.
            status: As it is about to be written.
            wait: What it waits for.
            error: What went wrong in this sync; empty where nothing did.
            pods: The pods of its names, whoever owns them.
            service: The governing Service, where it exists.
            now_s: Unix time.
        """


class SyncMetrics:
    """Plain counters of syncs.

    Attributes:
        syncs: By outcome: `done`, `failed`, `unseen` (put aside until own writes are seen).
        seconds: Spent in syncs.
        waiting_since_s: Since when each set has been waiting for the same thing; Unix time.
        unavailable: How many wanted pods of each set are not available.
    """

    def __init__(self) -> None:
        self.syncs: dict[str, int] = {"done": 0, "failed": 0, "unseen": 0}
        self.seconds = 0.0
        self.waiting_since_s: dict[SetKey, float] = {}
        self.unavailable: dict[SetKey, int] = {}


class Syncer:
    """The workers of the queue.

    Attributes:
        kinds: What is reconciled.
    """

    def __init__(
        self,
        observed: Observed,
        queue: WorkQueue[SetKey],
        applier: Applier,
        recorder: Recorder,
        observe: Observer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; `working` begins.

        Args:
            observed: What is seen.
            queue: Which sets want a sync.
            applier: Sends requests.
            recorder: Writes events.
            observe: Says how a set is doing.
            clock: Gives Unix time.
        """
        self.metrics = SyncMetrics()
        self.kinds: frozenset[SetKind] = frozenset(SetKind)
        self._observed = observed
        self._queue = queue
        self._applier = applier
        self._recorder = recorder
        self._observe = observe
        self._clock = clock
        self._idle: set[asyncio.Task[None]] = set()  # workers that wait for a key
        self._told: dict[SetKey, frozenset[tuple[str, str]]] = {}

    @contextlib.asynccontextmanager
    async def working(self, count: int) -> AsyncIterator[None]:
        """Let *count* workers sync one set after the other for as long as the context is open.

        Its end waits for the syncs that have begun.
        """
        is_over = asyncio.Event()
        workers = [asyncio.create_task(self._work(is_over), name=f"sync worker {number}") for number in range(count)]
        try:
            yield
        finally:
            is_over.set()
            for worker in list(self._idle):
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, is_over: asyncio.Event) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        while not is_over.is_set():
            self._idle.add(task)
            try:
                key = await self._queue.get()
            finally:
                self._idle.discard(task)
            started_s = time.perf_counter()
            try:
                await self._sync_safely(key)
            finally:
                self._queue.done(key)
                self.metrics.seconds += time.perf_counter() - started_s

    async def _sync_safely(self, key: SetKey) -> None:
        """Sync *key*; an error of any kind sends it back later and never ends the worker."""
        try:
            outcome = await self.sync(key)
        except NotLeaderError:
            return  # whoever leads next begins with every set
        except HeadlessDNSError as error:
            delay_s = self._queue.add_failed(key)
            self.metrics.syncs["failed"] += 1
            level = logging.DEBUG if isinstance(error, WriteError) and error.status == 409 else logging.INFO
            log.log(level, "%s: %s; trying again in %.3g s", key, error, delay_s)
        except Exception:
            delay_s = self._queue.add_failed(key)
            self.metrics.syncs["failed"] += 1
            log.exception("%s: a defect in this program; trying again in %.3g s", key, delay_s)
        else:
            self.metrics.syncs[outcome] += 1
            if outcome == "done":
                self._queue.forget(key)

    async def sync(self, key: SetKey) -> str:
        """Bring the set of *key* one step further and return the outcome, as in `SyncMetrics.syncs`.

        Raises:
            HeadlessDNSError: Something was refused or not answered.
        """
        if key.kind not in self.kinds:
            return "done"
        unseen = self._observed.unseen(key)
        if unseen:
            self._queue.add_after(key, max(unseen[0].until_s - time.monotonic(), 0.1))
            return "unseen"
        try:
            set = self._observed.set(key)
        except (ValueError, LookupError) as error:
            log.warning("%s cannot be read: %s; correct it", key, error)
            return "done"
        if set is None:
            self._forget(key)
            return "done"
        await self._sync_set(set)
        return "done"

    def _forget(self, key: SetKey) -> None:
        self._told.pop(key, None)
        self.metrics.waiting_since_s.pop(key, None)
        self.metrics.unavailable.pop(key, None)

    async def _sync_set(self, set: StatefulSet) -> None:
        made = await self._prepare(set)
        error: HeadlessDNSError | None = None
        deleted: list[DeletePod] = []
        try:
            await self._applier.run(set, made.steps, deleted)
        except NotLeaderError:
            raise
        except HeadlessDNSError as caught:
            error = caught
        again_s = made.again_s
        if made.status is not None:
            try:
                notes = await self._write_status(set, made, status_after(set, made.status, deleted), error)
            except NotLeaderError:
                raise
            except HeadlessDNSError as caught:
                error = error or caught
            else:
                again_s = min((s for s in (again_s, notes.again_s) if s is not None), default=None)
        elif made.wait is not None:
            log.warning("%s: nothing is done: %s", set.key, made.wait.detail)
        await self._applier.forget(set, made.forget)
        if again_s is not None:
            self._queue.add_after(set.key, again_s)
        if error is not None:
            raise error

    async def _prepare(self, set: StatefulSet) -> Plan:
        """Return the plan once all that comes before pods is done; a taken name of a revision makes it anew (S24)."""
        collision_count = None
        for _ in range(MAX_COLLISIONS):
            made = plan(
                set,
                self._observed.pods(set),
                self._observed.claims(set.namespace),
                self._observed.revisions(set),
                self._clock(),
                collision_count,
            )
            try:
                await self._applier.prepare(set, made)
            except CollisionError:
                collision_count = (collision_count or set.status.collision_count or 0) + 1
            else:
                return made
        raise HeadlessDNSError(f"the names of {MAX_COLLISIONS} revisions are taken by others; delete those")

    async def _write_status(
        self, set: StatefulSet, made: Plan, status: Status, error: HeadlessDNSError | None
    ) -> Notes:
        """Write the status if it has news, and return what is to be said."""
        notes = self._notes(set, made, status, error)
        self._warn(set, notes)
        self._measure(set, status, made.wait)
        if not has_news(set.status, status) and list(notes.conditions) == list(set.conditions):
            return notes
        document: Json = msgspec.to_builtins(status)
        if self._observe is not None:
            document["conditions"] = list(notes.conditions)
        await self._applier.write_status(set, document)
        return notes

    def _notes(self, set: StatefulSet, made: Plan, status: Status, error: HeadlessDNSError | None) -> Notes:
        if self._observe is None:
            return Notes(set.conditions)
        names = (f"{set.name}-{ordinal}" for ordinal in set.ordinals())
        found = ((name, self._observed.pod(set.namespace, name)) for name in names)
        return self._observe(
            set,
            status,
            made.wait,
            str(error) if error else "",
            {name: pod for name, pod in found if pod is not None},
            self._observed.service(set.namespace, set.service_name) if set.service_name else None,
            self._clock(),
        )

    def _warn(self, set: StatefulSet, notes: Notes) -> None:
        """Tell what is wrong, once for as long as it stays wrong."""
        now = frozenset(notes.warnings)
        for reason, message in notes.warnings:
            if (reason, message) not in self._told.get(set.key, frozenset()):
                self._recorder.tell(set, WARNING, reason, message)
                log.warning("%s: %s: %s", set.key, reason, message)
        self._told[set.key] = now

    def _measure(self, set: StatefulSet, status: Status, wait: Wait | None) -> None:
        self.metrics.unavailable[set.key] = max(set.replicas - status.available_replicas, 0)
        if wait is None:
            self.metrics.waiting_since_s.pop(set.key, None)
        else:
            self.metrics.waiting_since_s.setdefault(set.key, self._clock())
