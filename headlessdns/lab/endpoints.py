"""The lab's controller of EndpointSlices and Endpoints: a client of any Kubernetes API. Does network I/O and logs.

What is to be written is decided in `slices`, `subsets` and `mirroring`; here requests are sent. It looks at what is,
never at how it came about, and waits for nothing but its own writes: a change of a pod is in its slice one round trip
later.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from headlessdns.cluster.watch import Backoff
from headlessdns.errors import ClusterError
from headlessdns.lab.kubelet import Api
from headlessdns.lab.mirror import Mirror
from headlessdns.lab.mirroring import mirror_writes
from headlessdns.lab.objects import Key, Write
from headlessdns.lab.refusals import read_refusal
from headlessdns.lab.services import Metadata, Node, Pod, Service, Triggers, trigger_time
from headlessdns.lab.slices import MANAGER, EndpointSlice, slice_writes
from headlessdns.lab.subsets import Endpoints, endpoints_write, leftover_write
from headlessdns.lab.work import WorkQueue

logger = logging.getLogger(__name__)

CONCURRENCY = 10  # Services at once
UNSEEN_S = 10.0  # a write that the watch has not brought by then is waited for no more

Written = EndpointSlice | Endpoints


K = TypeVar("K")
T = TypeVar("T")


class _Headed(msgspec.Struct):
    metadata: Metadata


class _Expected(NamedTuple):
    """A write of ours that the watch is to bring.

    Attributes:
        uid: Of the object.
        version: The resourceVersion that the write gave; None where the object is to be gone.
        until_s: When to stop waiting, by the loop's clock.
    """

    uid: str
    version: int | None
    until_s: float


class EndpointController:
    """Makes the EndpointSlices and Endpoints of all Services that select pods, and slices of others' Endpoints.

    Attributes:
        started: Set once it knows what there is and begins to work.
    """

    def __init__(
        self,
        api: Api,
        *,
        backoff: Backoff = Backoff(0.02, 5.0),  # noqa: B008  # immutable
    ) -> None:
        """Prepare; `run` starts it.

        Args:
            api: The API server.
            backoff: Pauses after requests that failed.
        """
        self.started = asyncio.Event()
        self._api = api
        self._backoff = backoff
        self._rng = random.Random()
        self._work: WorkQueue[Key] = WorkQueue()
        self._failures: dict[Key, int] = {}
        self._triggers: dict[Key, Triggers] = {}
        self._expected: dict[Key, dict[str, _Expected]] = {}
        self._put_off: set[Key] = set()
        self._services_in: dict[str, dict[Key, Service]] = {}
        self._pods_in: dict[str, dict[Key, Pod]] = {}
        self._slices_of: dict[Key, dict[str, EndpointSlice]] = {}
        self._services = self._mirror("/api/v1/services", Service, self._service_changed)
        self._pods = self._mirror("/api/v1/pods", Pod, self._pod_changed)
        self._nodes = self._mirror("/api/v1/nodes", Node, self._node_changed)
        self._endpoints = self._mirror("/api/v1/endpoints", Endpoints, self._endpoints_changed)
        self._slices = self._mirror("/apis/discovery.k8s.io/v1/endpointslices", EndpointSlice, self._slice_changed)
        self._mirrors = [self._services, self._pods, self._nodes, self._endpoints, self._slices]

    def _mirror(self, path: str, kind: Any, changed: Callable[[Any, Any], None]) -> Mirror[Any]:
        return Mirror(self._api, path, kind, changed, backoff=self._backoff)

    async def run(self) -> None:
        """Do all of it until cancelled; faults of the server never end it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for mirror in self._mirrors:
                    tasks.create_task(mirror.run())
                for mirror in self._mirrors:
                    await mirror.listed.wait()
                # Endpoints whose Service went while nobody looked are found now or never: others are made by hand.
                for key in [*self._services.objects, *self._endpoints.objects]:
                    self._work.add(key)
                self.started.set()
                for _ in range(CONCURRENCY):
                    tasks.create_task(self._work.serve(self._attend))
        finally:
            self._work.close()

    # What is seen

    def _service_changed(self, before: Service | None, after: Service | None) -> None:
        key = _key_of(before, after)
        _put(self._services_in, key.namespace, key, after)
        if after is None or (before is not None and before.metadata.uid != after.metadata.uid):
            self._triggers.pop(key, None)
        self._work.add(key)

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        key = _key_of(before, after)
        _put(self._pods_in, key.namespace, key, after)
        if before is None or after is None or before.state != after.state:
            for pod in (before, after):
                if pod is not None:
                    self._work_for(pod)

    def _work_for(self, pod: Pod) -> None:
        """Look at the Services that select *pod*."""
        namespace, labels = pod.metadata.namespace, pod.metadata.labels
        for key, service in self._services_in.get(namespace, {}).items():
            if service.selects(namespace, labels):
                self._work.add(key)

    def _node_changed(self, before: Node | None, after: Node | None) -> None:
        if before is None or after is None or before.topology_zone != after.topology_zone:
            name = _key_of(before, after).name
            for pod in self._pods.objects.values():
                if pod.spec.node_name == name:
                    self._work_for(pod)

    def _slice_changed(self, before: EndpointSlice | None, after: EndpointSlice | None) -> None:
        name = _key_of(before, after).name
        for slice in (before, after):
            if slice is not None and slice.service_name:
                key = Key(slice.metadata.namespace, slice.service_name)
                is_in = after is not None and after.service_name == slice.service_name
                _put(self._slices_of, key, name, after if is_in else None)
        for key in {Key(one.metadata.namespace, one.service_name) for one in (before, after) if one}:
            if key.name and not self._is_ours(key, before, after):
                self._work.add(key)

    def _endpoints_changed(self, before: Endpoints | None, after: Endpoints | None) -> None:
        key = _key_of(before, after)
        # Whoever makes Endpoints by hand may make the Service later.
        if not self._is_ours(key, before, after) and (after is None or key in self._services.objects):
            self._work.add(key)

    # Our own writes

    def _is_ours(self, key: Key, before: Written | None, after: Written | None) -> bool:
        """Take in what became of an object for the Service *key*, and tell whether it is a write of ours."""
        object = after or before
        assert object is not None
        expected = self._expected.get(key, {}).get(object.path)
        if expected is None or not (after is None or _has_come(expected, after)):
            return False
        del self._expected[key][object.path]
        if not self._expected[key]:
            del self._expected[key]
            if key in self._put_off:
                self._work.add(key)
        return expected.version == (_version(after.metadata) if after else None)

    def _expect(self, key: Key, object: Key, path: str, uid: str, version: int | None) -> None:
        """Wait for a write of ours before *key* has its next turn."""
        expected = _Expected(uid, version, asyncio.get_running_loop().time() + UNSEEN_S)
        if not _has_come(expected, self._found(object, path)):
            self._expected.setdefault(key, {})[path] = expected

    def _found(self, key: Key, path: str) -> Written | None:
        mirror = self._slices if "/endpointslices/" in path else self._endpoints
        found: Written | None = mirror.objects.get(key)
        return found

    def _unseen_s(self, key: Key) -> float:
        """Return for how long writes for *key* are waited for yet; 0 where there are none."""
        now_s = asyncio.get_running_loop().time()
        left_s = max((one.until_s for one in self._expected.get(key, {}).values()), default=now_s) - now_s
        if left_s <= 0:
            self._expected.pop(key, None)
        return max(left_s, 0)

    # What is done

    async def _attend(self, key: Key) -> None:
        unseen_s = self._unseen_s(key)
        if unseen_s:
            self._put_off.add(key)
            self._work.add_later(key, unseen_s)
            return
        self._put_off.discard(key)
        try:
            is_done = await self._bring_up_to_date(key)
        except ClusterError as error:
            logger.warning("%s; trying again", error)
            is_done = False
        if is_done:
            self._failures.pop(key, None)
        else:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            self._work.add_later(key, self._backoff.pause_s(failures, self._rng))

    async def _bring_up_to_date(self, key: Key) -> bool:
        """Write what is to be written for one Service, and tell whether that was all of it.

        Raises:
            ClusterError: It cannot be done, or nothing is known of it.
        """
        service: Service | None = self._services.objects.get(key)
        present: Endpoints | None = self._endpoints.objects.get(key)
        slices = self._slices_of.get(key, {}).values()
        mirror = mirror_writes(service, present, [one for one in slices if one.manager != MANAGER])
        if service is None:
            leftover = leftover_write(present) if present else None
            return await self._send_all(key, [*mirror, *([leftover] if leftover else [])])
        pods = [
            pod
            for pod in self._pods_in.get(key.namespace, {}).values()
            if service.selects(key.namespace, pod.metadata.labels)
        ]
        triggered, triggers = trigger_time(service, pods, self._triggers.get(key))
        nodes = {key.name: node for key, node in self._nodes.objects.items()}
        writes = slice_writes(service, pods, nodes, [one for one in slices if one.manager == MANAGER], triggered)
        write = endpoints_write(service, pods, present, triggered)
        is_done = await self._send_all(key, [*writes, *([write] if write else []), *mirror])
        if is_done and key in self._services.objects:
            self._triggers[key] = triggers
        return is_done

    async def _send_all(self, key: Key, writes: list[Write]) -> bool:
        """Send *writes* one after the other, and tell whether all were done.

        Raises:
            ClusterError: One cannot be done, or nothing is known of it.
        """
        for write in writes:
            if not await self._send(key, write):
                return False
        return True

    async def _send(self, key: Key, write: Write) -> bool:
        """Send *write* and tell whether it was done; it was not where what we know is old.

        Raises:
            ClusterError: It cannot be done, or nothing is known of it.
        """
        answer = await self._api.request(write.method, write.path, write.body, content_type=write.content_type)
        if write.method == "DELETE" and answer.status in (200, 202, 404):
            name = write.path.rpartition("/")[2]
            self._expect(key, Key(key.namespace, name), write.path, write.body["preconditions"]["uid"], None)
            return True
        if 200 <= answer.status < 300:
            made = _read(answer.body)
            path = write.path if write.method == "PATCH" else f"{write.path}/{made.name}"
            self._expect(key, made.key, path, made.uid, _version(made))
            return True
        if answer.status == 401:
            await self._api.reauthenticate()
        if answer.status in (404, 409):
            return False
        refusal = read_refusal(answer)
        if refusal.is_of_ending_namespace:
            return True  # the Service is about to go as well
        raise ClusterError(f"{write.method} {write.path}: {refusal.text}")


def _key_of(before: Any, after: Any) -> Key:
    """Return the key of an object that changed."""
    key: Key = (before if after is None else after).metadata.key
    return key


def _put(groups: dict[K, dict[Any, T]], group: K, key: object, object: T | None) -> None:
    """Bring an index up to date; a group that is empty is not there."""
    if object is not None:
        groups.setdefault(group, {})[key] = object
    elif group in groups:
        groups[group].pop(key, None)
        if not groups[group]:
            del groups[group]


def _version(metadata: Metadata) -> int:
    """Return the resourceVersion as a number; versions of one resource can be compared (Kubernetes 1.35)."""
    text = metadata.resource_version
    return int(text) if text.isdigit() else 0


def _has_come(expected: _Expected, found: Written | None) -> bool:
    """Tell whether what the watch brought last of an object is as new as our write."""
    if found is None or expected.version is None:
        is_there = found is not None and found.metadata.uid == expected.uid
        is_going = found is not None and found.metadata.deletion_timestamp is not None  # finalizers hold it
        return expected.version is None and (not is_there or is_going)
    return found.metadata.uid != expected.uid or _version(found.metadata) >= expected.version


def _read(body: bytes) -> Metadata:
    try:
        return msgspec.json.decode(body, type=_Headed).metadata
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClusterError(f"an answer that is no object: {error}") from error
