"""``python -m bench.held``: memory of a controller that holds 10,000 sets with 100,000 pods.

A small API server of our own makes the objects as they are asked for, in pages; everything is as it is wanted, so that
after the first look nothing is left to do. I/O: processes on loopback; stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from headlessdns.controller import model, revisions

Json = dict[str, Any]
LABELS = {"app.kubernetes.io/name": "database", "app.kubernetes.io/component": "storage"}
TIME = "2026-01-01T00:00:00Z"


class Objects:
    """The objects of the cluster, made when they are asked for."""

    def __init__(self, sets: int, pods_per_set: int) -> None:
        self._sets = sets
        self._pods_per_set = pods_per_set
        self._revision = revisions.new_revision(model.read_set(self._set(0, "")), 1, 0)
        self._hash = self._revision["metadata"]["name"].rpartition("-")[2]

    def page(self, plural: str, start: int, size: int) -> tuple[list[Json], bool]:
        """Return some objects, and whether there are more."""
        makers = {
            "statefulsets": (self._sets, lambda number: self._set(number, self._hash)),
            "pods": (self._sets * self._pods_per_set, self._pod),
            "controllerrevisions": (self._sets, self._make_revision),
        }
        count, make = makers.get(plural, (0, self._pod))
        end = min(start + size, count)
        return [make(number) for number in range(start, end)], end < count

    def _metadata(self, name: str, uid: str, owner: str = "", labels: Json | None = None) -> Json:
        metadata: Json = {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "resourceVersion": "1000",
            "creationTimestamp": TIME,
            "labels": {**LABELS, **(labels or {})},
            "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:metadata": {"f:x" * 300: {}}}}],
        }
        if owner:
            reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": f"set-{owner}"}
            metadata["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
        return metadata

    def _set(self, number: int, hash: str) -> Json:
        name = f"database-{number:05}"
        count = self._pods_per_set
        container = {"name": "main", "image": "example.org/database:1", "env": [{"name": "A", "value": "b" * 200}]}
        status = {
            "observedGeneration": 1,
            **dict.fromkeys(
                ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), count
            ),
            "currentRevision": f"{name}-{hash}",
            "updateRevision": f"{name}-{hash}",
            "collisionCount": 0,
        }
        return {
            "metadata": {**self._metadata(name, f"set-{name}"), "generation": 1},
            "spec": {
                "replicas": count,
                "serviceName": "database",
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "podManagementPolicy": "OrderedReady",
                "revisionHistoryLimit": 10,
            },
            "status": status,
            "kind": "StatefulSet",
        }

    def _make_revision(self, number: int) -> Json:
        name = f"database-{number:05}"
        metadata = self._metadata(f"{name}-{self._hash}", f"revision-{number}", name)
        return {"metadata": metadata, "data": self._revision["data"], "revision": 1}

    def _pod(self, number: int) -> Json:
        set_name, ordinal = f"database-{number // self._pods_per_set:05}", number % self._pods_per_set
        name = f"{set_name}-{ordinal}"
        labels = {
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
            "controller-revision-hash": f"{set_name}-{self._hash}",
        }
        conditions = [
            {"type": type, "status": "True", "lastTransitionTime": TIME}
            for type in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        container = {"name": "main", "image": "example.org/database:1", "env": [{"name": "A", "value": "b" * 200}]}
        return {
            "metadata": self._metadata(name, f"pod-{number}", set_name, labels),
            "spec": {"nodeName": f"node-{number % 500}", "containers": [container], "volumes": [{"name": "token"}]},
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.1",
                "startTime": TIME,
                "conditions": conditions,
                "containerStatuses": [
                    {"name": "main", "restartCount": 0, "ready": True, "state": {"running": {"startedAt": TIME}}}
                ],
            },
        }


async def serve(objects: Objects, changed: asyncio.Event) -> tuple[web.AppRunner, str]:
    """Serve *objects*; *changed* is set at each write."""

    async def answer(request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        if request.method != "GET":
            changed.set()
            return web.json_response({"metadata": {"name": "x", "namespace": "default", "resourceVersion": "1"}})
        if plural == "ordinalsets":
            return web.json_response({"message": "none"}, status=404)
        if "sendInitialEvents" in request.query:
            return web.json_response({"message": "unknown parameter"}, status=400)
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(3600)
            return response
        start = int(request.query.get("continue") or 0)
        items, more = objects.page(plural, start, int(request.query.get("limit", 500)))
        metadata = {"resourceVersion": "1000", "continue": str(start + len(items)) if more else ""}
        return web.json_response({"metadata": metadata, "items": items})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def kubeconfig(folder: Path, url: str) -> Path:
    """Write a kubeconfig for *url*."""
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return path


def memory_mb(pid: int, field: str) -> float:
    """Return a field of /proc/PID/status in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


async def measure(sets: int, pods_per_set: int, settle_s: float) -> str:
    """Return what a controller needs for so many sets."""
    changed = asyncio.Event()
    runner, url = await serve(Objects(sets, pods_per_set), changed)
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "headlessdns", "controller", f"--kubeconfig={kubeconfig(Path(folder), url)}", "--no-elect"]
        command += ["--statefulsets=always", "--http=off", "--qps=0", "--log=text"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=pipe)
        assert process.stderr is not None
        try:
            started_s = time.monotonic()
            while b"ready:" not in (line := await process.stderr.readline()):
                if not line:
                    raise SystemExit("the controller has ended")
            ready_s = time.monotonic() - started_s
            drain = asyncio.create_task(process.stderr.read())
            while True:  # until the statuses are written
                changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), settle_s)
                    continue
                break
            held, peak = memory_mb(process.pid, "VmRSS"), memory_mb(process.pid, "VmHWM")
        finally:
            process.terminate()
            await process.wait()
        await drain
    await runner.cleanup()
    total = sets * pods_per_set
    return f"{sets} sets, {total} pods: listed in {ready_s:.1f} s; {held:.0f} MB held, {peak:.0f} MB at the peak"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=10_000, help="[default: 10000]")
    parser.add_argument("--pods", type=int, default=10, help="of each set [default: 10]")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds without a write [default: 3]")
    arguments = parser.parse_args()
    print(asyncio.run(measure(arguments.sets, arguments.pods, arguments.settle)))


if __name__ == "__main__":
    main()
