"""The controller: watches, queue, syncs and election wired together. I/O: through its parts.

Every replica watches; only the leader works the queue. A new leader begins with every set, so that what the last one
left undone is done. The program does the same whatever woke it: a resync is not needed and there is none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, cast

import msgspec

from headlessdns.cluster import follow, objects
from headlessdns.cluster.answer import Answer
from headlessdns.cluster.follow import Follower, Watch
from headlessdns.cluster.objects import Delete, Event, Forbid, Put, Replace
from headlessdns.cluster.watch import Codec, ListWatch, WatchStatus
from headlessdns.controller import conditions, model, slim
from headlessdns.controller.apply import Applier, collection, read_failure
from headlessdns.controller.election import Elector
from headlessdns.controller.events import WARNING, Recorder
from headlessdns.controller.events import Api as WriteApi
from headlessdns.controller.model import Claim, Json, Metadata, Pod, Revision, SetKey, SetKind, read_set
from headlessdns.controller.observed import Object, Observed, Service, SetRecord, Watched
from headlessdns.controller.queue import TokenBucket, WorkQueue
from headlessdns.controller.sync import Syncer
from headlessdns.errors import ClusterError

log = logging.getLogger(__name__)

WRITE_TIMEOUT_S = 10.0  # where nobody has to be elected
FLUSH_S = 2.0  # for events that wait when we leave
CANARY_S = 10.0  # a controller manager that is on sets observedGeneration long before
CANARY_LOOK_S = 0.5
CANARY_PREFIX = "headlessdns-canary-"
CANARY_LABELS = {"app.kubernetes.io/name": "headlessdns-canary"}
CANARY_AGAIN_S = 300.0  # the cluster's own controller may be switched off meanwhile
CANARY_RETRY_S = 10.0  # where nothing could be found out
REQUIRED = frozenset({Watched.POD, Watched.CLAIM, Watched.REVISION})
LEAVE_S = 1.0  # for syncs to end by themselves when we leave; then no write begins any more
ORDINAL_SETS = frozenset({SetKind.ORDINAL_SET})


class Api(follow.Api, WriteApi, Protocol):
    """An API server to read and to write; `cluster.client.ApiClient` is one."""


class _Headed(msgspec.Struct):
    metadata: Metadata


_HEADED = msgspec.json.Decoder(_Headed)
_POOL = slim.Pool()


def _read_set(octets: bytes | msgspec.Raw) -> SetRecord:
    return SetRecord(_HEADED.decode(octets).metadata, bytes(octets))


def _codec(struct: type, group_version: str, plural: str, read: Callable[[Any], Any] | None = None) -> Codec:
    """Return how a kind is read; objects are made slim at once, for a list is whole before it is taken in."""
    resource = objects.Resource(struct, group_version, plural, required=True)
    decode: Callable[[Any], Any] = read or msgspec.json.Decoder(struct).decode

    def read_slim(octets: bytes | msgspec.Raw) -> Any:
        object = decode(octets)
        slim.slim(object, _POOL)
        return object

    return Codec(resource, read_slim)


CODECS: dict[Watched, Codec] = {
    Watched.STATEFUL_SET: _codec(SetRecord, "apps/v1", "statefulsets", _read_set),
    Watched.ORDINAL_SET: _codec(SetRecord, SetKind.ORDINAL_SET.api_version, "ordinalsets", _read_set),
    Watched.POD: _codec(Pod, "v1", "pods", model.POD.decode),
    Watched.CLAIM: _codec(Claim, "v1", "persistentvolumeclaims", model.CLAIM.decode),
    Watched.REVISION: _codec(Revision, "apps/v1", "controllerrevisions", model.REVISION.decode),
    Watched.SERVICE: _codec(Service, "v1", "services"),
}
_WITHOUT = {
    Watched.STATEFUL_SET: "StatefulSets are not reconciled",
    Watched.ORDINAL_SET: "OrdinalSets are not reconciled",
    Watched.POD: "nothing is done",
    Watched.CLAIM: "nothing is done",
    Watched.REVISION: "nothing is done",
    Watched.SERVICE: "whether governing Services fit is not known",
}


class Controller:
    """Keeps the pods of sets as they are wanted.

    Attributes:
        observed: What is seen.
        queue: Which sets want a sync.
        syncer: The syncs, with their counters.
        applier: Sends requests, with their counters.
        recorder: Writes events.
        elector: Decides whether we write; None where nobody else can.
        statuses: How each watch is doing.
        rival: Why StatefulSets are left alone; empty where they are not, or where nobody has looked yet.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespaces: Iterable[str] = (),
        statefulsets: Literal["auto", "always", "never"] = "always",
        own_namespace: str = "default",
        workers: int = 16,
        qps: float = 50.0,
        burst: int = 100,
        elector: Callable[[Callable[[], None], Callable[[], None]], Elector] | None = None,
        dry_run: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `run` starts.

        Args:
            api: The API server.
            namespaces: The only ones to reconcile; none means all.
            statefulsets: Whether StatefulSets are reconciled, too. `auto` finds out whether somebody else does.
            own_namespace: Where `auto` makes its canary.
            workers: How many sets are synced at once.
            qps: Requests a second in the long run; 0 for no limit.
            burst: Requests at once.
            elector: Makes an elector from what to call when writes may begin, and when they may not any more.
            dry_run: Whether actions are logged instead of done; `auto` then takes StatefulSets for ours.
            clock: Gives Unix time.
            monotonic_clock: Gives seconds that only grow, at the pace of the loop.
        """
        self._api = api
        self._namespaces: list[str | None] = list(dict.fromkeys(namespaces)) or [None]
        self._statefulsets = statefulsets
        self._own_namespace = own_namespace
        self._workers = workers
        self._monotonic_clock = monotonic_clock
        self.statuses: list[WatchStatus] = []
        self.rival = ""
        self.observed = Observed(monotonic_clock)
        self.queue: WorkQueue[SetKey] = WorkQueue(monotonic_clock)
        self.recorder = Recorder(api, monotonic_clock)
        self.elector = elector(self._gained, self._lost) if elector else None
        bucket = TokenBucket(qps, burst, monotonic_clock)
        self.applier = Applier(api, self.observed, bucket, self.recorder, self._write_timeout_s)
        if dry_run:
            from headlessdns.controller.dry import DryApplier, DryRecorder

            self.applier = DryApplier()
            self.recorder = DryRecorder(api, monotonic_clock)
        self._is_dry = dry_run
        self.syncer = Syncer(
            self.observed, self.queue, self.applier, self.recorder, conditions.notes, clock, monotonic_clock
        )
        self.syncer.kinds = self._own_kinds()
        self._canary: SetKey | None = None
        self._listed = asyncio.Event()
        self._leads = asyncio.Event()
        self._follows = asyncio.Event()

    @property
    def is_leader(self) -> bool:
        """Whether writes may begin now."""
        return self._write_timeout_s() > 0

    @property
    def is_ready(self) -> bool:
        """Whether all that is needed is listed, and can still be had."""
        return not self.not_ready

    @property
    def not_ready(self) -> str:
        """Why nothing, or nothing right, can be done; empty where it can."""
        refused = [f"{_name(status)} ({status.forbidden})" for status in self.statuses if _is_missed(status)]
        if refused:
            return f"the API server does not give {', '.join(refused)}"
        if self._listed.is_set():
            return ""
        unlisted = [_name(status) for status in self.statuses if not status.listed and not status.forbidden]
        return f"not listed yet: {', '.join(unlisted)}" if unlisted else "not begun yet"

    def _write_timeout_s(self) -> float:
        return self.elector.write_timeout_s() if self.elector else WRITE_TIMEOUT_S

    def _gained(self) -> None:
        self._follows.clear()
        self._leads.set()

    def _lost(self) -> None:
        self._leads.clear()
        self._follows.set()

    # Running

    async def run(self, leave: asyncio.Event) -> None:
        """Reconcile until *leave* is set.

        Syncs that have begun are finished, or go no further after a second; requests that are on their way are
        awaited. Then the lease is released.
        """
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._follow(watch), name=f"watch {watch.name}") for watch in self._watches()]
            running.append(tasks.create_task(self.recorder.run(), name="events"))
            electing = None
            if self.elector is not None:
                electing = tasks.create_task(self.elector.run(), name="election")
            else:
                self._leads.set()
            leading = tasks.create_task(self._lead(), name="leader")
            await leave.wait()
            leading.cancel()
            await asyncio.wait([leading], timeout=LEAVE_S)
            self.applier.stop()
            await asyncio.wait([leading])
            if self.elector is not None and electing is not None:
                electing.cancel()  # a request about the Lease that has no answer is not waited for
                await asyncio.wait([electing])
                await self.elector.release()
            for task in running:
                task.cancel()
            await self.recorder.flush(FLUSH_S)

    def _watches(self) -> list[Watch]:
        """Return what is watched: every kind, in each namespace."""
        watches = []
        for kind in Watched:
            if kind is Watched.STATEFUL_SET and self._statefulsets == "never":
                continue
            for namespace in self._namespaces:
                core = ListWatch(cast(objects.Kind, kind), namespace, codec=CODECS[kind])
                status = WatchStatus(cast(objects.Kind, kind), namespace, required=kind in REQUIRED)
                self.statuses.append(status)
                watches.append(Watch(core, status, _WITHOUT[kind]))
        return watches

    async def _follow(self, watch: Watch) -> None:
        await Follower(self._api).follow(watch, self.take)

    def take(self, events: list[Event]) -> None:
        """Take events in and want a sync of the sets that they concern."""
        for event in events:
            kind = cast(Watched, event.kind)
            keys: set[SetKey] = set()
            if isinstance(event, Put):
                keys = self.observed.put(kind, cast(Object, event.object))
            elif isinstance(event, Delete):
                keys = self.observed.delete(kind, event.key.namespace, event.key.name)
            elif isinstance(event, Replace):
                keys = self.observed.replace(kind, event.namespace, cast(list[Object], event.objects))
            for key in keys:
                self.queue.add(key)
            if isinstance(event, Replace | Forbid):
                self._see_whether_listed()

    def _see_whether_listed(self) -> None:
        """Let syncs begin once all that is required is listed, and the rest is listed or cannot be had."""
        if not self._listed.is_set() and all(
            status.listed or (status.forbidden and not status.required) for status in self.statuses
        ):
            self._listed.set()
            log.info("ready: %d sets, %d pods", len(self.observed.set_keys()), self.observed.count(Watched.POD))

    async def _lead(self) -> None:
        """Work the queue while we lead."""
        while True:
            await self._listed.wait()
            await self._leads.wait()
            self.syncer.kinds = self._own_kinds()
            self._want_all()
            async with self.syncer.working(self._workers):
                finding_out = asyncio.create_task(self._find_out(), name="canary")
                try:
                    await self._follows.wait()
                finally:
                    finding_out.cancel()
                    await asyncio.wait([finding_out])
            self.syncer.metrics.drop_sets()

    def _want_all(self) -> None:
        for key in self.observed.set_keys():
            if key != self._canary:  # it is deleted, which need not have been seen yet
                self.queue.add(key)

    # Who else reconciles StatefulSets

    def _own_kinds(self) -> frozenset[SetKind]:
        """Return what is ours to reconcile as far as that is known without asking."""
        if self._statefulsets == "always" or (self._is_dry and self._statefulsets == "auto"):
            return frozenset(SetKind)
        return ORDINAL_SETS

    async def _find_out(self) -> None:
        """Find out whether StatefulSets are ours to reconcile, again and again while somebody else takes care."""
        while self._statefulsets == "auto" and not self._is_dry:
            try:
                rival, again_s = await self._rival(), CANARY_AGAIN_S
            except ClusterError as error:
                rival, again_s = f"the canary StatefulSet cannot be looked after: {error}", CANARY_RETRY_S
            except Exception as error:
                log.exception("the canary StatefulSet: a defect in this program")
                rival, again_s = f"a defect in this program: {error!r}", CANARY_RETRY_S
            if rival != self.rival:
                self.rival = rival
                if rival:
                    log.warning("only OrdinalSets are reconciled: %s", rival)
            if not rival:
                log.info("StatefulSets are reconciled: nobody else does")
                self.syncer.kinds = frozenset(SetKind)
                self._want_all()
                return
            await asyncio.sleep(again_s)

    async def _rival(self) -> str:
        """Return why StatefulSets are not ours, or nothing: a canary shows whether somebody else takes care of one.

        Raises:
            ClusterError: It could not be found out.
        """
        path = collection("StatefulSet", self._own_namespace)
        await self._clear_away(path)
        manifest = _canary()
        name = manifest["metadata"]["name"]
        self._canary = SetKey(SetKind.STATEFUL_SET, self._own_namespace, name)
        try:
            answer = await self._api.request("POST", path, manifest)
            if answer.status in (403, 404):
                return (
                    f"the canary StatefulSet cannot be created in {self._own_namespace} (HTTP {answer.status}); "
                    "grant that, or say --statefulsets always or never"
                )
            _check(answer, "created")
            rival = await self._watch_canary(f"{path}/{name}")
            if rival and rival != self.rival:
                canary = read_set(msgspec.json.decode(answer.body))
                self.recorder.tell(canary, WARNING, "StatefulSetsNotReconciled", f"Only OrdinalSets are: {rival}")
            return rival
        finally:
            await self._api.request("DELETE", f"{path}/{name}")

    async def _clear_away(self, path: str) -> None:
        """Delete canaries of processes that were killed; theirs are gone with their Lease, which is ours now."""
        for key in self.observed.set_keys():
            if key.namespace == self._own_namespace and key.name.startswith(CANARY_PREFIX):
                await self._api.request("DELETE", f"{path}/{key.name}")

    async def _watch_canary(self, path: str) -> str:
        until_s = self._monotonic_clock() + CANARY_S
        while self._monotonic_clock() < until_s:
            await asyncio.sleep(CANARY_LOOK_S)
            answer = await self._api.request("GET", path)
            if answer.status == 403:
                return (
                    f"the canary StatefulSet cannot be read in {self._own_namespace} (HTTP 403); "
                    "grant that, or say --statefulsets always or never"
                )
            _check(answer, "read")
            if msgspec.json.decode(answer.body).get("status", {}).get("observedGeneration"):
                return (
                    "the cluster's own StatefulSet controller is on; start kube-controller-manager with "
                    "--controllers=*,-statefulset-controller to hand StatefulSets over"
                )
        return ""


def _name(status: WatchStatus) -> str:
    plural = CODECS[cast(Watched, status.kind)].resource.plural
    return plural if status.namespace is None else f"{plural} in namespace {status.namespace}"


def _is_missed(status: WatchStatus) -> bool:
    """Tell whether something that is needed cannot be had."""
    return status.required and bool(status.forbidden)


def _check(answer: Answer, verb: str) -> None:
    """Raise ClusterError unless *answer* is a success."""
    if answer.status >= 300:
        raise ClusterError(f"it cannot be {verb}: {read_failure(answer)}")


def _canary() -> Json:
    """Return a StatefulSet that wants nothing."""
    labels = CANARY_LABELS
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": CANARY_PREFIX + secrets.token_hex(4), "labels": labels},
        "spec": {
            "replicas": 0,
            "serviceName": "",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "none", "image": "registry.k8s.io/pause:3.10"}]},
            },
        },
    }
