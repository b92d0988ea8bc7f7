"""A lab of its parts in a thread, and what its clients see of it: kubectl of a version, and plain requests."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import urllib3

from headlessdns.controller.run import Controller
from headlessdns.lab.api.http import EmbeddedApi
from headlessdns.lab.endpoints import EndpointController
from headlessdns.lab.kubelet import Kubelet
from tests.peers.process import wait_until

NODE = "node-1"
DEADLINE_S = 20.0

Json = dict[str, Any]

# As a real API server says it whenever it is asked for Endpoints.
WARNINGS = (
    "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n",
    "Warning: a lab stores a Deployment and makes no pods of it; a StatefulSet has pods\n",
)


class RunningLab:
    """An embedded API with its pretend kubelet and, where wanted, the slices and the ordinal controller.

    Attributes:
        api: The embedded API.
        folder: Where its kubeconfig is, and room for what a test writes.
        kubeconfig: As `EmbeddedApi.write_kubeconfig` writes it.
        manager_log: The log of a kube-controller-manager, where a test runs one.
    """

    manager_log: Path

    def __init__(self, *, slices: bool = True, controller: bool = True, nodes: tuple[str, ...] = (NODE,)) -> None:
        self._has_slices = slices
        self._has_controller = controller
        self._nodes = nodes
        self._started = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> RunningLab:
        self._folder = tempfile.TemporaryDirectory(prefix="headlessdns-lab-")
        self.folder = Path(self._folder.name)
        self.kubeconfig = self.folder / "kubeconfig"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True, name="lab")
        self._thread.start()
        assert self._started.wait(DEADLINE_S)
        if self._error is not None:
            raise self._error
        self._http = urllib3.PoolManager(ca_cert_data=self.api.authority.decode(), retries=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.clear()
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self._folder.cleanup()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        try:
            async with EmbeddedApi() as self.api:
                self.api.write_kubeconfig(self.kubeconfig)
                await self._run_parts()
        except BaseException as error:
            self._error = error
            self._started.set()
            raise

    async def _run_parts(self) -> None:
        kubelet = Kubelet(
            self.api.client("kubelet"),
            nodes=self._nodes,
            start_delay_s=0.02,
            ready_delay_s=0.02,
            termination_delay_s=0.05,
        )
        parts = [asyncio.create_task(kubelet.run())]
        waited = [kubelet.started]
        if self._has_slices:
            slices = EndpointController(self.api.client("endpointslice-controller"))
            parts.append(asyncio.create_task(slices.run()))
            waited.append(slices.started)
        if self._has_controller:
            controller = Controller(self.api.client("headlessdns-controller"), qps=0)
            parts.append(asyncio.create_task(controller.run(asyncio.Event())))
        for event in waited:
            await event.wait()
        self._started.set()
        await self._leave.wait()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)

    # Plain requests

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Return status and decoded answer of one request."""
        headers = {"Authorization": f"Bearer {self.api.token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        response = self._http.request(method, self.api.url + path, body=data, headers=headers, timeout=10)
        return response.status, json.loads(response.data)

    def get(self, path: str) -> Any:
        """Return what is at *path*, which must be there."""
        status, found = self.request("GET", path)
        assert status == 200, found
        return found

    def create(self, path: str, manifest: Json) -> Json:
        """Create *manifest* in the collection at *path*."""
        status, created = self.request("POST", path, manifest)
        assert status == 201, created
        assert isinstance(created, dict)
        return created

    def patch(self, path: str, change: Json) -> Json:
        """Merge *change* into what is at *path*."""
        status, patched = self.request("PATCH", path, change, "application/merge-patch+json")
        assert status == 200, patched
        assert isinstance(patched, dict)
        return patched

    def wait_ready(self, replicas: int, name: str = "web", namespace: str = "default") -> None:
        """Wait until a StatefulSet has so many ready pods, of its newest template, and no other ones."""
        path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"

        def is_ready() -> bool:
            found = self.get(path)
            status = found.get("status") or {}
            return (
                status.get("observedGeneration") == found["metadata"]["generation"]
                and status.get("replicas", 0) == status.get("readyReplicas", 0) == replicas
                and status.get("updatedReplicas", 0) == replicas
                and status.get("currentRevision") == status.get("updateRevision")
            )

        wait_until(is_ready, f"{name} to have {replicas} ready pods", DEADLINE_S)


class Done(NamedTuple):
    """What a kubectl left behind."""

    code: int
    out: str
    err: str


class Kubectl:
    """One kubectl in one namespace of a lab.

    Attributes:
        lab: The lab.
        namespace: Where it works if it is not told otherwise.
        home: Its home and working directory.
    """

    def __init__(self, program: Path, lab: RunningLab, home: Path, namespace: str = "default") -> None:
        self._program = program
        self.lab = lab
        self.home = home
        self.namespace = namespace
        self._kubeconfig = home / f"{namespace}.kubeconfig"
        lab.api.write_kubeconfig(self._kubeconfig, namespace)

    def within(self, namespace: str) -> Kubectl:
        """Return the same one in another namespace."""
        return Kubectl(self._program, self.lab, self.home, namespace)

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return [str(self._program), f"--kubeconfig={self._kubeconfig}", *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Return its environment: nothing of the one of the tests but the path."""
        return {"HOME": str(self.home), "NO_PROXY": "127.0.0.1", "PATH": os.environ["PATH"], **more}

    def attempt(
        self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None, timeout_s: float = 20
    ) -> Done:
        """Run it, whatever comes of it; one that hangs is a failure."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environment(**(env or {})),
            cwd=self.home,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run it and return what it prints; an error is a failure, and a warning that is not expected."""
        done = self.attempt(*arguments, stdin=stdin, env=env)
        unexpected = done.err
        for warning in WARNINGS:
            unexpected = unexpected.replace(warning, "")
        assert (done.code, unexpected) == (0, ""), done
        # Newer ones add where it was deleted from.
        return done.out.replace(f" deleted from {self.namespace} namespace", " deleted")

    def watch(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it; its output is a pipe. Whoever calls this ends it."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(),
            cwd=self.home,
        )
