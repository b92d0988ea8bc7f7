"""A real control plane with the pretend kubelet, and either the reference controller or ours; what happens is noted.

One thread runs the event loop of the kubelet, our controller and the notes; tests talk to the API server from theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from headlessdns.cluster.client import ApiClient, connect
from headlessdns.cluster.follow import Follower, Watch
from headlessdns.cluster.objects import Delete, Event, Kind, Put, Replace
from headlessdns.cluster.watch import ListWatch, WatchStatus
from headlessdns.controller import run as controller_run
from headlessdns.controller.observed import Watched
from headlessdns.controller.run import Controller
from headlessdns.lab.kubelet import Kubelet
from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE, RealCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path
    from types import TracebackType

    from headlessdns.controller.model import Pod

OTHER_CONTROLLERS = (
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
)
REFERENCE = "statefulset-controller"
NODES = (NODE, "node-2")
DEADLINE_S = 60.0
MERGE_PATCH = "application/merge-patch+json"

Json = dict[str, Any]
T = TypeVar("T")


class Notes:
    """What became of the pods of each namespace, in the order of the watch.

    Attributes:
        lines: By namespace: `create NAME REVISION`, `delete NAME` where a deletion begins, `gone NAME`.
        changed_s: Monotonic time of the last event of each namespace.
    """

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}
        self.changed_s: dict[str, float] = {}
        self._pods: dict[tuple[str, str], Pod] = {}

    def take(self, events: list[Event]) -> None:
        """Note what is new."""
        for event in events:
            if isinstance(event, Replace):
                for pod in event.objects:
                    self._see(cast("Pod", pod))
            elif isinstance(event, Put):
                self._see(cast("Pod", event.object))
            elif isinstance(event, Delete):
                self._miss(event.key.namespace, event.key.name)

    def _note(self, namespace: str, line: str) -> None:
        self.lines.setdefault(namespace, []).append(line)

    def _see(self, pod: Pod) -> None:
        namespace, name = pod.metadata.namespace, pod.name
        self.changed_s[namespace] = time.monotonic()
        before = self._pods.get((namespace, name))
        if before is not None and before.metadata.uid != pod.metadata.uid:
            self._miss(namespace, name)
            before = None
        if before is None:
            self._note(namespace, f"create {name} {pod.revision}")
        if pod.is_terminating and not (before and before.is_terminating):
            self._note(namespace, f"delete {name}")
        self._pods[namespace, name] = pod

    def _miss(self, namespace: str, name: str) -> None:
        self.changed_s[namespace] = time.monotonic()
        before = self._pods.pop((namespace, name), None)
        if before is not None:
            if not before.is_terminating:  # deleted at once: it had no node, or was forced
                self._note(namespace, f"delete {name}")
            self._note(namespace, f"gone {name}")


class Stage:
    """One control plane, with the reference or with our controller.

    Attributes:
        cluster: The control plane.
        kubelet: Its kubelet; it has two nodes.
        notes: What became of pods.
        controller: Ours, where it runs.
    """

    def __init__(
        self, *, is_reference: bool, starts_controller: bool = True, more_controllers: Sequence[str] = ()
    ) -> None:
        self.is_reference = is_reference
        self._starts_controller = starts_controller and not is_reference
        controllers = (*OTHER_CONTROLLERS, *more_controllers, *([REFERENCE] if is_reference else []))
        self.cluster = self._make_cluster(controllers)
        self.notes = Notes()
        self.kubelet: Kubelet
        self.controller: Controller | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="stage")
        self._tasks: list[asyncio.Task[Any]] = []
        self._clients: list[ApiClient] = []
        self._leave: asyncio.Event | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)

    def _make_cluster(self, controllers: Sequence[str]) -> RealCluster:
        return RealCluster(controllers)

    def __enter__(self) -> Stage:
        self.cluster.__enter__()
        self._thread.start()
        try:
            self.await_(self._begin())
            if self._starts_controller:
                self.start_controller()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def await_(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = DEADLINE_S) -> T:
        """Run *coroutine* in the loop of the stage and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    async def connect(self, kubeconfig: Path | None = None) -> ApiClient:
        """Return a client that is closed at the end; in the loop of the stage."""
        client = await connect(kubeconfig or self.cluster.kubeconfig)
        self._clients.append(client)
        return client

    async def _begin(self) -> None:
        await self._take_notes()
        self.kubelet = Kubelet(
            await self.connect(), nodes=NODES, start_delay_s=0.02, ready_delay_s=0.02, termination_delay_s=0.05
        )
        self._tasks.append(asyncio.create_task(self.kubelet.run()))
        await self.kubelet.started.wait()

    async def _take_notes(self) -> None:
        core = ListWatch(cast(Kind, Watched.POD), codec=controller_run.CODECS[Watched.POD])
        watch = Watch(core, WatchStatus(cast(Kind, Watched.POD), None, required=True), "nothing is noted")
        follower = Follower(await self.connect())
        self._tasks.append(asyncio.create_task(follower.follow(watch, self.notes.take)))

    # Our controller

    def start_controller(self, make: Callable[[ApiClient], Controller] = lambda api: Controller(api, qps=0)) -> None:
        """Start our controller."""
        self.await_(self._start_controller(make))

    async def _start_controller(self, make: Callable[[ApiClient], Controller]) -> None:
        self.controller = make(await self.connect())
        self._leave = asyncio.Event()
        self._leaving = asyncio.create_task(self.controller.run(self._leave))

    def stop_controller(self) -> None:
        """Let our controller leave as SIGTERM would."""
        self.await_(self._stop_controller())

    async def _stop_controller(self) -> None:
        if self._leaving is not None and self._leave is not None:
            self._leave.set()
            await self._leaving
        self._leaving = None

    def start_reference(self) -> None:
        """Start the reference beside the other controllers of the cluster."""
        self.cluster.start_manager(REFERENCE, [REFERENCE])

    def stop_reference(self) -> None:
        """End the reference; it keeps nothing but what is in the API."""
        self.cluster.processes[REFERENCE].kill()

    def stop(self) -> None:
        """End all of it."""
        with contextlib.suppress(Exception):  # what fails here has failed before
            self.await_(self._end(), 20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.cluster.stop()

    async def _end(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        for task in self._tasks:
            task.cancel()
        tasks = [task for task in (*self._tasks, self._leaving) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()

    def new_namespace(self, name: str) -> str:
        """Return a namespace of its own."""
        self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name


class Play:
    """One scenario on one stage, in a namespace of its own."""

    def __init__(self, stage: Stage, namespace: str) -> None:
        self.stage = stage
        self.namespace = stage.new_namespace(namespace)
        self.cluster = stage.cluster
        self._ordered_lines: int | None = None

    # Asking

    def path(self, plural: str, name: str = "") -> str:
        """Return the path of *plural*, or of one of them."""
        root = {
            "pods": "/api/v1",
            "persistentvolumeclaims": "/api/v1",
            "events": "/api/v1",
            "services": "/api/v1",
        }.get(plural, "/apis/apps/v1")
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, plural: str, name: str) -> Json:
        """Return one object."""
        return cast(Json, self.cluster.request("GET", self.path(plural, name)))

    def all(self, plural: str) -> list[Json]:
        """Return every object, by name."""
        items = self.cluster.request("GET", self.path(plural))["items"]
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def status(self, name: str = "web") -> Json:
        """Return the status of a set."""
        return cast(Json, self.get("statefulsets", name).get("status", {}))

    # Doing

    def create(self, manifest: Json) -> None:
        """Create a set."""
        self.cluster.request("POST", self.path("statefulsets"), manifest)

    def patch(self, plural: str, name: str, patch: Json, content_type: str = MERGE_PATCH) -> None:
        """Patch an object."""
        self.cluster.request("PATCH", self.path(plural, name), patch, content_type=content_type)

    def scale(self, replicas: int, name: str = "web") -> None:
        """Ask for another number of pods."""
        self.patch("statefulsets", name, {"spec": {"replicas": replicas}})

    def image(self, image: str, name: str = "web") -> None:
        """Ask for another image."""
        self.cluster.kubectl("set", "image", f"statefulset/{name}", f"main={image}", "-n", self.namespace)

    def delete_pod(self, name: str, *, grace_s: int | None = None) -> None:
        """Delete a pod."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        self.cluster.request("DELETE", self.path("pods", name), options)

    def annotate_pod(self, name: str, key: str, value: str | None) -> None:
        """Set an annotation of a pod, or take it away."""
        self.patch("pods", name, {"metadata": {"annotations": {key: value}}})

    # Waiting

    def wait(self, check: Callable[[], object], what: str) -> None:
        """Wait until *check* holds."""
        wait_until(check, f"{what} in {self.namespace}", DEADLINE_S)

    def wait_quiet(self, quiet_s: float = 0.7) -> None:
        """Wait until nothing has happened to a pod for *quiet_s*: what does not come cannot be awaited."""
        started_s = time.monotonic()
        self.wait(
            lambda: time.monotonic() - max(self.stage.notes.changed_s.get(self.namespace, 0), started_s) > quiet_s,
            "quiet",
        )

    def wait_status(self, name: str = "web", **wanted: object) -> None:
        """Wait until the status has what is *wanted*, by field, and is of the present generation."""

        def check() -> bool:
            found = self.get("statefulsets", name)
            status = found.get("status", {})
            return status.get("observedGeneration") == found["metadata"]["generation"] and all(
                status.get(field, 0) == value for field, value in wanted.items()
            )

        self.wait(check, f"{name} to have {wanted}")

    def wait_ready(self, replicas: int, name: str = "web") -> None:
        """Wait until *replicas* pods are there and ready, and no more."""
        self.wait_status(name, replicas=replicas, readyReplicas=replicas, availableReplicas=replicas)

    def wait_pods(self, *names: str) -> None:
        """Wait until exactly these pods are there, and all are ready."""
        self.wait(lambda: [pod["metadata"]["name"] for pod in self.all("pods")] == list(names), f"just {names}")
        self.wait_ready(len(names))

    def wait_rolled_out(self, replicas: int, name: str = "web") -> None:
        """Wait until every pod is of the newest revision and ready."""

        def check() -> bool:
            found = self.get("statefulsets", name)
            status = found.get("status", {})
            return (
                status.get("observedGeneration") == found["metadata"]["generation"]
                and status.get("updatedReplicas") == status.get("readyReplicas") == replicas
                and status.get("currentRevision") == status.get("updateRevision")
            )

        self.wait(check, f"the rollout of {name}")

    # Looking back

    def leave_order(self) -> None:
        """Say that from here on the order of things is not the controller's: the garbage collector has none."""
        self._ordered_lines = len(self.decisions)

    @property
    def decisions(self) -> list[str]:
        """What was decided about pods so far; those behind `leave_order` sorted."""
        lines = [line for line in self.lines if not line.startswith("gone")]
        ordered = len(lines) if self._ordered_lines is None else self._ordered_lines
        return lines[:ordered] + sorted(lines[ordered:])

    @property
    def lines(self) -> list[str]:
        """What became of the pods so far."""
        return list(self.stage.notes.lines.get(self.namespace, ()))
