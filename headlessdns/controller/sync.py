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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from headlessdns.cluster import selectors
from headlessdns.controller.actions import DeletePod, Wait, WaitKind
from headlessdns.controller.apply import Applier, CollisionError, GoneError, NotLeaderError, is_conflict
from headlessdns.controller.conditions import Notes
from headlessdns.controller.events import WARNING, Recorder
from headlessdns.controller.model import Json, Pod, SetKey, SetKind, StatefulSet, Status
from headlessdns.controller.observed import Observed, Service
from headlessdns.controller.plan import Plan, has_news, plan, status_after
from headlessdns.controller.queue import WorkQueue
from headlessdns.errors import HeadlessDNSError

log = logging.getLogger(__name__)

MAX_COLLISIONS = 20  # in one sync
LEADER_AGAIN_S = 1.0
INVALID, UNREADABLE = "Invalid", "Unreadable"  # reasons of warnings


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
        waits: What each set that waits is waiting for, as kind and UID or name, and since when; Unix time.
        unavailable: How many wanted pods of each set are not available.
    """

    def __init__(self) -> None:
        self.syncs: dict[str, int] = {"done": 0, "failed": 0, "unseen": 0}
        self.seconds = 0.0
        self.waits: dict[SetKey, tuple[tuple[WaitKind, str], float]] = {}
        self.unavailable: dict[SetKey, int] = {}

    def drop(self, key: SetKey) -> None:
        """Drop what is said about one set."""
        self.waits.pop(key, None)
        self.unavailable.pop(key, None)

    def drop_sets(self) -> None:
        """Drop what is said about sets: from now on another process knows better."""
        self.waits.clear()
        self.unavailable.clear()


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
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `working` begins.

        Args:
            observed: What is seen.
            queue: Which sets want a sync.
            applier: Sends requests.
            recorder: Writes events.
            observe: Says how a set is doing.
            clock: Gives Unix time.
            monotonic_clock: The clock of *observed*.
        """
        self.metrics = SyncMetrics()
        self.kinds: frozenset[SetKind] = frozenset(SetKind)
        self._observed = observed
        self._queue = queue
        self._applier = applier
        self._recorder = recorder
        self._observe = observe
        self._clock = clock
        self._monotonic_clock = monotonic_clock
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
            # Whoever leads next begins with every set. That may be us without a break: the answer to a renewal can
            # lie behind this in the loop of a process that was stopped.
            self._queue.add_after(key, LEADER_AGAIN_S)
        except GoneError as error:
            log.debug("%s: %s", key, error)
            self.metrics.syncs["done"] += 1
            self._queue.forget(key)
        except HeadlessDNSError as error:
            delay_s = self._queue.add_failed(key)
            self.metrics.syncs["failed"] += 1
            level = logging.DEBUG if is_conflict(error) else logging.INFO
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
            self._queue.add_after(key, max(unseen[0].until_s - self._monotonic_clock(), 0.1))
            return "unseen"
        try:
            set = self._observed.set(key)
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # a field is of another type
            if self._news(key, [(UNREADABLE, str(error))]):
                log.warning("%s cannot be read: %s; correct it", key, error)
            self.metrics.drop(key)
            return "done"
        if set is None:
            self._forget(key)
            return "done"
        await self._sync_set(set)
        return "done"

    def _forget(self, key: SetKey) -> None:
        self._told.pop(key, None)
        self.metrics.drop(key)
        self._applier.drop(key)

    async def _sync_set(self, set: StatefulSet) -> None:
        """Carry the plan for *set* out: its steps, then the status and the history, whether or not one failed.

        Raises:
            HeadlessDNSError: The first thing that went wrong.
        """
        made = await self._prepare(set)
        deleted: list[DeletePod] = []
        error = await _caught(self._applier.run(set, made.steps, deleted))
        again_s = [made.again_s]
        try:
            notes = await self._write_status(set, made, deleted, error)
            again_s.append(notes.again_s)
        except NotLeaderError:
            raise
        except HeadlessDNSError as caught:
            error = error or caught
        forgotten = await _caught(self._applier.forget(set, made.forget))
        error = error or forgotten
        soonest_s = min((s for s in again_s if s is not None), default=None)
        if soonest_s is not None:
            self._queue.add_after(set.key, soonest_s)
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
        self, set: StatefulSet, made: Plan, deleted: list[DeletePod], error: HeadlessDNSError | None
    ) -> Notes:
        """Write the status if it has news, and return what is to be said. Without a plan its counts stay as they are.

        Raises:
            HeadlessDNSError: It is not written.
        """
        status = set.status if made.status is None else status_after(set, made.status, deleted)
        notes = self._notes(set, made, status, error)
        self._warn(set, notes.warnings if made.status is not None else [*notes.warnings, *_invalid(made)])
        self._measure(set, status, made.wait)
        has_counts = made.status is not None and has_news(set.status, status)
        if not has_counts and list(notes.conditions) == list(set.conditions):
            return notes
        document: Json = {} if made.status is None else msgspec.to_builtins(status)
        if self._observe is not None:
            document["conditions"] = list(notes.conditions)
        if set.kind is SetKind.ORDINAL_SET:
            document["labelSelector"] = selectors.to_text(set.selector)  # for autoscalers, by the scale subresource
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
            str(error) if error and not is_conflict(error) else "",
            {name: pod for name, pod in found if pod is not None},
            self._observed.service(set.namespace, set.service_name) if set.service_name else None,
            self._clock(),
        )

    def _warn(self, set: StatefulSet, warnings: Iterable[tuple[str, str]]) -> None:
        """Tell what is wrong, once for as long as it stays wrong."""
        for reason, message in self._news(set.key, warnings):
            self._recorder.tell(set, WARNING, reason, message)
            log.warning("%s: %s: %s", set.key, reason, message)

    def _news(self, key: SetKey, warnings: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return which of *warnings* were not given at the last sync of *key*."""
        now = dict.fromkeys(warnings)
        before = self._told.get(key, frozenset())
        self._told[key] = frozenset(now)
        return [warning for warning in now if warning not in before]

    def _measure(self, set: StatefulSet, status: Status, wait: Wait | None) -> None:
        self.metrics.unavailable[set.key] = max(set.replicas - status.available_replicas, 0)
        if wait is None:
            self.metrics.waits.pop(set.key, None)
            return
        what = wait.kind, wait.pod.metadata.uid if wait.pod is not None else wait.pod_name
        if self.metrics.waits.get(set.key, (None, 0.0))[0] != what:
            self.metrics.waits[set.key] = what, self._clock()


async def _caught(work: Awaitable[None]) -> HeadlessDNSError | None:
    """Return what went wrong in *work*; that we lead no more is raised: then nothing is to follow."""
    try:
        await work
    except NotLeaderError:
        raise
    except HeadlessDNSError as error:
        return error
    return None


def _invalid(made: Plan) -> list[tuple[str, str]]:
    return [] if made.wait is None else [(INVALID, made.wait.detail)]
