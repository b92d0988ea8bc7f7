"""The pretend kubelet: pods of any Kubernetes API come up, trouble and end as if they ran. Does network I/O and logs.

It stands in for the scheduler, the kubelets of its nodes, the node lifecycle controller, eviction by taints, the
collection of pods whose node is gone, and the controllers of volumes. What is to be written is decided in `pods`,
`nodes`, `claims` and `evicting`, what is to be told in `podevents`; here requests are sent and time passes. Events are
written when there is time, and dropped where there is none. It looks at what is, never at how it came about: one that
is started anew goes on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from headlessdns.cluster import follow
from headlessdns.cluster.answer import Answer
from headlessdns.cluster.watch import Backoff
from headlessdns.controller.events import Recorder, Source, Subject
from headlessdns.errors import ClusterError
from headlessdns.lab import podevents
from headlessdns.lab.addresses import AddressPool
from headlessdns.lab.claims import VOLUMES_PATH, claim_write, volume_name, volume_write
from headlessdns.lab.evicting import eviction_write, stays_s
from headlessdns.lab.mirror import Mirror
from headlessdns.lab.nodes import LOST_ANNOTATION, NODES_PATH, host_ip, is_lost, is_up, node_write
from headlessdns.lab.objects import MERGE_PATCH, Claim, Key, Node, Now, Pod, Volume, Write, deletion
from headlessdns.lab.podevents import Happening
from headlessdns.lab.pods import (
    FAIL_ANNOTATION,
    READY_ANNOTATION,
    Failure,
    Pace,
    Run,
    Stage,
    admit,
    advance,
    binding,
    claim_trouble,
    collection_write,
    is_unhealthy,
    learn,
    lost_write,
    status_write,
    terminate,
    unschedulable_write,
    wish_of,
)
from headlessdns.lab.refusals import read_refusal
from headlessdns.lab.scheduling import Placed, asks_of_others, choose, is_apart
from headlessdns.lab.work import WorkQueue

logger = logging.getLogger(__name__)

CONCURRENCY = 50  # requests at once
EVENTS_WAITING = 10_000  # those of 2,000 pods that start at once; they are written one after the other
NO_ADDRESS_S = 1.0  # until a pod asks again for an address


class Api(follow.Api, Protocol):
    """What the kubelet needs of a client; `client.ApiClient` is one."""

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Send one request; raises ClusterError."""


class _Kind(Enum):
    NODE = auto()
    POD = auto()
    CLAIM = auto()
    VOLUME = auto()


class _Item(NamedTuple):
    """What has its turn."""

    kind: _Kind
    key: Key


class _Next(NamedTuple):
    """What follows a look at an object.

    Attributes:
        write: What is to be written.
        wait_s: After how many seconds it wants another look.
        absent: A path at which there must be nothing for the write to be sent, whatever the watches have brought.
        about: What the news are about.
        news: What is to be told once it is written.
    """

    write: Write | None = None
    wait_s: float | None = None
    absent: str = ""
    about: Pod | Node | None = None
    news: Sequence[Happening] = ()


class Kubelet:
    """Some nodes of a cluster, and all that the rest of the cluster does for their pods.

    Attributes:
        started: Set once it knows what there is and begins to work.
    """

    def __init__(
        self,
        api: Api,
        *,
        nodes: Iterable[str] = ("lab-node",),
        pod_cidrs: Iterable[str] = ("10.244.0.0/16",),
        start_delay_s: float = 0.5,
        ready_delay_s: float = 0.5,
        termination_delay_s: float = 1.0,
        back_off_s: float = 1.0,
        node_gone_s: float = 2.0,
        bind_claims: bool = True,
        backoff: Backoff = Backoff(0.1, 10.0),  # noqa: B008  # immutable
    ) -> None:
        """Prepare; `run` starts it.

        Args:
            api: The API server.
            nodes: The names of the nodes. Those that exist are taken over, the others are made.
            pod_cidrs: Where pods have their addresses from: one range, or one of each family, the first first.
            start_delay_s: From a pod's having its node and its claims until its containers run.
            ready_delay_s: From then until they are ready.
            termination_delay_s: From a pod's deletion until it is gone, where its grace period is not over before.
            back_off_s: The first pause after a crash; it doubles each time, to 30 times that.
            node_gone_s: How long a pod whose Node does not exist is left alone.
            bind_claims: Whether claims are bound to volumes that are made for them.
            backoff: Pauses after requests that failed.

        Raises:
            ValueError: A range of addresses cannot be used, or a time makes no sense.
        """
        if back_off_s <= 0:
            raise ValueError("a back-off of no time would restart containers without end")
        self.started = asyncio.Event()
        self._api = api
        self._numbers = {name: number for number, name in enumerate(nodes)}
        self._pool = AddressPool(pod_cidrs)
        self._pace = Pace(start_delay_s, ready_delay_s, termination_delay_s, back_off_s)
        self._node_gone_s = node_gone_s
        self._backoff = backoff
        self._rng = random.Random()
        self._recorder = Recorder(api, time.monotonic, waiting=EVENTS_WAITING)
        self._work: WorkQueue[_Item] = WorkQueue()
        self._failures: dict[_Item, int] = {}
        self._sent: dict[_Item, Write] = {}
        self._runs: dict[str, Run] = {}
        self._orphaned_s: dict[str, float] = {}
        self._tainted_s: dict[str, float] = {}
        self._users: dict[Key, set[Key]] = {}
        self._losing: set[str] = set()
        self._retired: set[str] = set()
        self._turn = 0
        # Pods that no node takes, and the nodes of those (by UID) whose binding is written and not seen yet.
        self._unplaced: set[Key] = set()
        self._assumed: dict[str, str] = {}
        self._apart: set[str] = set()  # the UIDs of pods that keep others away
        self._nodes = Mirror(api, NODES_PATH, Node, self._node_changed, backoff=backoff)
        self._pods = Mirror(api, "/api/v1/pods", Pod, self._pod_changed, backoff=backoff)
        self._claims = Mirror(api, "/api/v1/persistentvolumeclaims", Claim, self._claim_changed, backoff=backoff)
        self._volumes = Mirror(api, VOLUMES_PATH, Volume, self._volume_changed, backoff=backoff)
        self._mirrors: list[Mirror[Any]] = [self._nodes, self._pods, self._claims]
        if bind_claims:
            self._mirrors.append(self._volumes)
        self._binds_claims = bind_claims
        self._looks: dict[_Kind, Callable[[Key], _Next]] = {
            _Kind.NODE: self._look_at_node,
            _Kind.POD: self._look_at_pod,
            _Kind.CLAIM: self._look_at_claim,
            _Kind.VOLUME: self._look_at_volume,
        }

    async def run(self) -> None:
        """Do all of it until cancelled; faults of the server never end it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for mirror in self._mirrors:
                    tasks.create_task(mirror.run())
                for mirror in self._mirrors:
                    await mirror.listed.wait()
                for pod in self._pods.objects.values():
                    held = [one["ip"] for one in pod.status.get("podIPs") or () if one.get("ip")]
                    self._pool.hold(pod.metadata.uid, held)
                for name in self._numbers:
                    self._note(_Kind.NODE, Key("", name))
                self.started.set()
                tasks.create_task(self._recorder.run())
                for _ in range(CONCURRENCY):
                    tasks.create_task(self._work.serve(self._attend))
        finally:
            self._work.close()

    # What people do to it

    async def lose_node(self, name: str) -> None:
        """Lose a node: from now on nothing on it starts, stops, or finishes its deletion.

        Raises:
            ValueError: It is none of ours.
            ClusterError: The API refuses the annotation.
        """
        self._check_node(name)
        self._losing.add(name)  # counts before the watch has brought it
        try:
            await self._annotate(f"{NODES_PATH}/{name}", LOST_ANNOTATION, "true")
        except ClusterError:
            self._losing.discard(name)
            raise

    async def recover_node(self, name: str) -> None:
        """Bring a lost node back, with all that ran on it.

        One whose Node was deleted while it was lost registers anew: it does so only here, or when the kubelet is
        started again.

        Raises:
            ValueError: It is none of ours.
            ClusterError: The API refuses the annotation.
        """
        self._check_node(name)
        self._losing.discard(name)
        if name in self._retired:
            self._retired.discard(name)
            self._note(_Kind.NODE, Key("", name))
        else:
            await self._annotate(f"{NODES_PATH}/{name}", LOST_ANNOTATION, None)

    async def set_ready(self, namespace: str, name: str, ready: bool) -> None:
        """Let a pod be ready, or not, whatever else happens to it.

        Raises:
            ClusterError: The API refuses the annotation.
        """
        await self._annotate(_pod_path(namespace, name), READY_ANNOTATION, None if ready else "false")

    async def set_failure(self, namespace: str, name: str, failure: Failure | None) -> None:
        """Let a pod fail, or mend it; one whose containers have ended for good cannot be mended.

        Raises:
            ClusterError: The API refuses the annotation.
        """
        await self._annotate(_pod_path(namespace, name), FAIL_ANNOTATION, failure.value if failure else None)

    def _check_node(self, name: str) -> None:
        if name not in self._numbers:
            raise ValueError(f"{name} is no node of this kubelet; it has {', '.join(self._numbers)}")

    async def _annotate(self, path: str, name: str, value: str | None) -> None:
        body = {"metadata": {"annotations": {name: value}}}
        answer = await self._api.request("PATCH", path, body, content_type=MERGE_PATCH)
        if answer.status != 200:
            raise ClusterError(f"PATCH {path}: {read_refusal(answer).text}")

    # What is seen

    def _note(self, kind: _Kind, key: Key) -> None:
        """Look at an object, since something about it is new."""
        item = _Item(kind, key)
        self._sent.pop(item, None)
        self._work.add(item)

    def _node_changed(self, before: Node | None, after: Node | None) -> None:
        node = after or before
        assert node is not None
        name = node.metadata.name
        if after is None and self._is_lost(node):
            self._retired.add(name)  # its machine cannot register it again
        elif after is not None:
            self._retired.discard(name)
        if after is None or is_lost(after):
            self._losing.discard(name)
        self._note(_Kind.NODE, node.metadata.key)
        if _standing(before) != _standing(after):
            for pod in self._pods.objects.values():
                if pod.node in ("", name):
                    self._note(_Kind.POD, pod.metadata.key)

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        pod = after or before
        assert pod is not None
        if before is not None and (after is None or after.metadata.uid != before.metadata.uid):
            self._forget(before)
        if after is not None and is_apart(after):
            self._apart.add(after.metadata.uid)
        for claim in after.claims() if after else ():
            self._users.setdefault(claim, set()).add(pod.metadata.key)
        if after is None or after.node:
            self._assumed.pop(pod.metadata.uid, None)
            self._unplaced.discard(pod.metadata.key)
        self._note(_Kind.POD, pod.metadata.key)
        if _presence(before) != _presence(after):
            for key in self._unplaced:
                self._note(_Kind.POD, key)

    def _forget(self, pod: Pod) -> None:
        """Let go of what a pod had that is gone."""
        uid = pod.metadata.uid
        self._assumed.pop(uid, None)
        self._apart.discard(uid)
        self._runs.pop(uid, None)
        self._orphaned_s.pop(uid, None)
        self._tainted_s.pop(uid, None)
        self._pool.free(uid)
        for claim in pod.claims():
            users = self._users.get(claim, set())
            users.discard(pod.metadata.key)
            if not users:
                self._users.pop(claim, None)
            self._note(_Kind.CLAIM, claim)

    def _claim_changed(self, before: Claim | None, after: Claim | None) -> None:
        claim = after or before
        assert claim is not None
        self._note(_Kind.CLAIM, claim.metadata.key)
        self._note(_Kind.VOLUME, Key("", volume_name(claim)))
        for pod in self._users.get(claim.metadata.key, ()):
            self._note(_Kind.POD, pod)

    def _volume_changed(self, before: Volume | None, after: Volume | None) -> None:
        volume = after or before
        assert volume is not None
        self._note(_Kind.VOLUME, volume.metadata.key)
        if owner := volume.spec.claim_ref:
            self._note(_Kind.CLAIM, Key(owner.namespace, owner.name))

    # What is done

    async def _attend(self, item: _Item) -> None:
        write, wait_s, absent, about, news = self._looks[item.kind](item.key)
        if write is None:
            self._sent.pop(item, None)
        elif write != self._sent.get(item):
            try:
                is_done = (not absent or await self._is_absent(absent)) and await self._send(write)
            except ClusterError as error:
                logger.warning("%s; trying again", error)
                is_done = False
            if not is_done:
                failures = self._failures[item] = self._failures.get(item, 0) + 1
                self._work.add_later(item, self._backoff.pause_s(failures, self._rng))
                return
            # Not once more, whatever time says, until the watch has brought what became of it.
            self._sent[item] = write
            if about is not None:
                self._tell(about, news)
        self._failures.pop(item, None)
        if wait_s is not None:
            self._work.add_later(item, wait_s)

    async def _send(self, write: Write) -> bool:
        """Send *write* and tell whether it was done; it was not where what we know is old.

        Raises:
            ClusterError: It cannot be done, or nothing is known of it.
        """
        answer = await self._api.request(write.method, write.path, write.body, content_type=write.content_type)
        if 200 <= answer.status < 300:
            return True
        if answer.status == 401:
            await self._api.reauthenticate()
        if answer.status in (404, 409):
            return False
        raise ClusterError(f"{write.method} {write.path}: {read_refusal(answer).text}")

    def _tell(self, about: Pod | Node, news: Iterable[Happening]) -> None:
        """Have events written, whenever there is time."""
        metadata = about.metadata
        kind, host = ("Pod", about.node) if isinstance(about, Pod) else ("Node", metadata.name)
        of = "v1", kind, metadata.namespace, metadata.name, metadata.uid, metadata.resource_version
        for one in news:
            source = Source(one.component, host if one.component == podevents.KUBELET else "")
            self._recorder.record(Subject(*of, one.field_path), source, one.type, one.reason, one.message)

    async def _is_absent(self, path: str) -> bool:
        return (await self._api.request("GET", path)).status == 404

    def _look_at_node(self, key: Key) -> _Next:
        number = self._numbers.get(key.name)
        if number is None or key.name in self._retired:
            return _Next()
        node: Node | None = self._nodes.objects.get(key)
        write = node_write(key.name, number, node, self._now())
        if node is None or write is None:
            return _Next(write)
        return _Next(write, about=node, news=podevents.of_node(node, write))

    def _look_at_claim(self, key: Key) -> _Next:
        claim = self._claims.objects.get(key)
        if claim is None or not self._binds_claims:
            return _Next()
        pods = [self._pods.objects.get(user) for user in self._users.get(key, ())]
        in_use = any(pod is not None and pod.node for pod in pods)
        return _Next(claim_write(claim, self._volumes.objects.get(Key("", volume_name(claim))), in_use=in_use))

    def _look_at_volume(self, key: Key) -> _Next:
        volume = self._volumes.objects.get(key)
        if volume is None or volume.spec.claim_ref is None:
            return _Next()
        owner = volume.spec.claim_ref
        return _Next(volume_write(volume, self._claims.objects.get(Key(owner.namespace, owner.name))))

    def _look_at_pod(self, key: Key) -> _Next:
        pod = self._pods.objects.get(key)
        if pod is None:
            return _Next()
        if not pod.node:
            return self._place(pod)
        node = self._nodes.objects.get(Key("", pod.node))
        if node is None:
            return self._collect(pod)
        self._orphaned_s.pop(pod.metadata.uid, None)
        if pod.node not in self._numbers:
            return _Next()
        left_s = self._stays_s(pod, node)
        if left_s is not None and left_s <= 0:
            write = eviction_write(pod, self._now())
            return _Next(write, about=pod, news=[podevents.evicted(pod)] if write.method == "PATCH" else ())
        if self._is_lost(node):
            next = _Next(lost_write(pod, self._now()), about=pod, news=[podevents.lost()])
        else:
            next = self._care_for(pod)
        if left_s is not None:
            next = next._replace(wait_s=left_s if next.wait_s is None else min(left_s, next.wait_s))
        return next

    def _stays_s(self, pod: Pod, node: Node) -> float | None:
        """Return in how many seconds the taints of its node drive a pod away; None where they do not."""
        uid, limit_s = pod.metadata.uid, None
        if not pod.metadata.deletion_timestamp:
            limit_s = stays_s(pod, node)
        if limit_s is None:
            self._tainted_s.pop(uid, None)
            return None
        now_s = self._now().s
        return self._tainted_s.setdefault(uid, now_s) + limit_s - now_s

    def _place(self, pod: Pod) -> _Next:
        """Find a node for a pod: one after the other."""
        if pod.spec.scheduling_gates or pod.metadata.deletion_timestamp:
            return _Next()
        key, uid = pod.metadata.key, pod.metadata.uid
        nodes = self._nodes.objects.values()
        takers: list[str] = []
        trouble = claim_trouble(pod.claims(), self._claims.objects)
        if not trouble:
            placed = self._placed(but=uid) if self._apart or asks_of_others(pod) else []
            takers, trouble = choose(pod, nodes, placed, self._takes_pods)
        if not takers:
            self._unplaced.add(key)
            write = unschedulable_write(pod, len(nodes), trouble, self._now())
            return _Next(write, about=pod, news=[podevents.unscheduled(write)] if write else ())
        self._unplaced.discard(key)
        node = self._assumed.get(uid, "")
        if node not in takers:
            node = takers[self._turn % len(takers)]
            self._turn += 1
            self._assumed[uid] = node
        return _Next(binding(pod, node), about=pod, news=[podevents.scheduled(pod, node)])

    def _placed(self, but: str) -> list[Placed]:
        """Return the pods that have a node, or will have by what was written; one of them not, by its UID."""
        placed = []
        for pod in self._pods.objects.values():
            uid = pod.metadata.uid
            node = pod.node or self._assumed.get(uid, "")
            if node and uid != but and not pod.is_terminal:
                placed.append(Placed(pod, node))
        return placed

    def _takes_pods(self, node: Node) -> bool:
        return node.metadata.name in self._numbers and is_up(node) and not self._is_lost(node)

    def _collect(self, pod: Pod) -> _Next:
        """Remove a pod whose node is gone, after a while."""
        now = self._now()
        self._tainted_s.pop(pod.metadata.uid, None)
        left_s = self._orphaned_s.setdefault(pod.metadata.uid, now.s) + self._node_gone_s - now.s
        if left_s > 0:
            return _Next(wait_s=left_s)
        return _Next(collection_write(pod, now), absent=f"{NODES_PATH}/{pod.node}")

    def _care_for(self, pod: Pod) -> _Next:
        """Move a pod on one of our nodes along."""
        now, pace, metadata = self._now(), self._pace, pod.metadata
        run = self._runs.get(metadata.uid) or learn(pod, pace, now)
        if run is None:
            if metadata.deletion_timestamp:
                return _finish(pod)
            if claim_trouble(pod.claims(), self._claims.objects):
                return _Next()
            addresses = self._pool.take(metadata.uid)
            if not addresses:
                logger.warning("%s/%s: all addresses for pods are given out", metadata.namespace, metadata.name)
                return _Next(wait_s=NO_ADDRESS_S)
            run = admit(addresses, now)
        self._runs[metadata.uid] = run
        wish, stage = wish_of(pod, pace), run.stage
        if not metadata.deletion_timestamp:
            wait_s = advance(run, wish, pace, now)
            self._tell(pod, podevents.entered(pod, stage, run))
            was_unhealthy, run.is_unhealthy = run.is_unhealthy, is_unhealthy(run, wish, pace, now)
            if run.is_unhealthy and not was_unhealthy:
                self._tell(pod, podevents.unhealthy(pod))
            return _Next(status_write(pod, run, wish, pace, self._host_ip(pod), now), wait_s)
        if run.terminating_s is None and stage is Stage.RUNNING:
            self._tell(pod, podevents.stopping(pod))
        wait_s = terminate(pod, run, pace, now)
        if wait_s is not None or (metadata.finalizers and not pod.is_terminal):
            return _Next(status_write(pod, run, wish, pace, self._host_ip(pod), now), wait_s)
        return _finish(pod)

    def _host_ip(self, pod: Pod) -> str:
        return host_ip(self._numbers[pod.node])

    def _is_lost(self, node: Node) -> bool:
        return node.metadata.name in self._losing or is_lost(node)

    def _now(self) -> Now:
        return Now(asyncio.get_running_loop().time(), datetime.now(UTC))


def _finish(pod: Pod) -> _Next:
    """Delete a pod whose containers are gone; one that was deleted so before is held by finalizers."""
    return _Next() if pod.metadata.deletion_grace_period_seconds == 0 else _Next(deletion(pod, grace_s=0))


def _standing(node: Node | None) -> object:
    """Return what pods ask of a node."""
    if node is None:
        return None
    return is_lost(node), is_up(node), node.spec.unschedulable, node.spec.taints, node.metadata.labels


def _presence(pod: Pod | None) -> object:
    """Return what other pods ask of one before they go to its node, or to any."""
    if pod is None or not pod.node or pod.is_terminal:
        return None
    return pod.metadata.uid, pod.metadata.labels, pod.metadata.deletion_timestamp is None


def _pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
