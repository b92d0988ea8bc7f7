"""``python -m bench.watch``: what lists and watches cost, in the process that watches.

A server in a process of its own sends 5,000 EndpointSlices of 20 endpoints, as large as the real API server's, then as
many MODIFIED events. Client, TLS excepted, is the program's own: HTTP, decoding and the snapshot, without records.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

SLICES = 5_000
ENDPOINTS = 20
EVENTS = 20_000
PATH = "/apis/discovery.k8s.io/v1/endpointslices"


def endpoint(number: int, slice: int) -> dict[str, Any]:
    pod = f"web-{slice}-{number}"
    return {
        "addresses": [f"10.{slice >> 8}.{slice & 255}.{number + 1}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "hostname": f"web-{number}",
        "nodeName": f"node-{number % 100}",
        "zone": "zone-a",
        "targetRef": {
            "kind": "Pod",
            "namespace": "default",
            "name": pod,
            "uid": f"6d7d0f3c-0000-4000-8000-{slice:012d}",
        },
    }


def endpoint_slice(slice: int, version: int) -> dict[str, Any]:
    managed = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "discovery.k8s.io/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:addressType": {}, "f:endpoints": {}, "f:metadata": {"f:labels": {".": {}}}, "f:ports": {}},
    }
    return {
        "metadata": {
            "name": f"web-{slice}-abcde",
            "generateName": f"web-{slice}-",
            "namespace": "default",
            "uid": f"0a1b2c3d-0000-4000-8000-{slice:012d}",
            "resourceVersion": str(version),
            "generation": 4,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"kubernetes.io/service-name": f"web-{slice}", "service.kubernetes.io/headless": ""},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
            "managedFields": [managed],
        },
        "addressType": "IPv4",
        "endpoints": [endpoint(number, slice) for number in range(ENDPOINTS)],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }


def serve(port: Any, streams: bool) -> None:
    """Serve the slices and their changes; the port is written into *port*."""
    items = [json.dumps(endpoint_slice(slice, slice + 1)).encode() for slice in range(SLICES)]
    end = {"metadata": {"resourceVersion": str(SLICES), "annotations": {"k8s.io/initial-events-end": "true"}}}
    listed = [b'{"type":"ADDED","object":' + item + b"}\n" for item in items]
    listed.append(json.dumps({"type": "BOOKMARK", "object": end}).encode() + b"\n")
    changes = []
    for number in range(EVENTS):
        changed = endpoint_slice(number % SLICES, SLICES + number + 1)
        changed["endpoints"][0]["conditions"]["ready"] = bool(number // SLICES % 2)
        changes.append(json.dumps({"type": "MODIFIED", "object": changed}).encode() + b"\n")

    async def stream(request: web.BaseRequest, parts: AsyncIterator[bytes]) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for part in parts:
            await response.write(part)
        await asyncio.sleep(3600)
        return response

    async def watch(request: web.BaseRequest) -> AsyncIterator[bytes]:
        if "sendInitialEvents" in request.query:
            for line in listed:
                yield line
        await asyncio.sleep(2)  # the list is measured meanwhile
        for line in changes:
            yield line

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != PATH or ("sendInitialEvents" in request.query and not streams):
            return web.Response(status=403 if request.path != PATH else 400)
        if "watch" in request.query:
            return await stream(request, watch(request))
        begin = int(request.query.get("continue", "0"))
        after = begin + int(request.query["limit"])
        metadata = {"resourceVersion": str(SLICES), "continue": str(after) if after < SLICES else ""}
        body = b'{"metadata":' + json.dumps(metadata).encode() + b',"items":[' + b",".join(items[begin:after]) + b"]}"
        return web.Response(body=body)

    async def run() -> None:
        runner = web.ServerRunner(web.Server(handle))  # type: ignore[arg-type]  # a handler it is
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.send(runner.addresses[0][1])
        await asyncio.sleep(3600)

    asyncio.run(run())


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(port: int) -> dict[str, float]:
    """Watch until all has come and return the figures."""
    from headlessdns.cluster.client import connect
    from headlessdns.cluster.objects import Kind
    from headlessdns.cluster.reflector import Reflector
    from headlessdns.cluster.snapshot import Snapshot

    snapshot, seen, done = Snapshot(), 0, asyncio.Event()
    figures: dict[str, float] = {"base_mb": peak_mb()}
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    first_s = first_cpu_s = 0.0

    def apply(events: list[Any]) -> None:
        nonlocal seen, first_s, first_cpu_s
        for event in events:
            snapshot.apply(event)
        if snapshot.count(Kind.ENDPOINT_SLICE) == SLICES and "list_s" not in figures:
            figures["list_s"] = time.perf_counter() - begin_s
            figures["list_cpu_s"] = time.process_time() - begin_cpu_s
            figures["list_peak_mb"] = peak_mb()
        elif "list_s" in figures:
            if not seen:
                first_s, first_cpu_s = time.perf_counter(), time.process_time()
            seen += len(events)
            if seen >= EVENTS:
                figures["events_per_s"] = seen / (time.perf_counter() - first_s)
                figures["cpu_us_per_event"] = (time.process_time() - first_cpu_s) / seen * 1e6
                figures["peak_mb"] = peak_mb()
                done.set()

    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "config"
        config = {
            "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "a", "user": {"token": "a"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        kubeconfig.write_text(json.dumps(config))
        client = await connect(kubeconfig, check=False)
    task = asyncio.create_task(Reflector(client, apply).run())
    await asyncio.wait_for(done.wait(), 120)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await client.close()
    return figures


def main() -> None:
    """Measure each way to list in a fresh interpreter, or in this one where a port is given."""
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
        return
    size_mb = len(json.dumps(endpoint_slice(0, 1))) * SLICES / 1e6
    print(f"{SLICES} EndpointSlices of {ENDPOINTS} endpoints, {size_mb:.1f} MB; then {EVENTS} changes")
    for streams in (True, False):
        receiver, sender = multiprocessing.Pipe(duplex=False)
        server = multiprocessing.Process(target=serve, args=(sender, streams), daemon=True)
        server.start()
        port = str(receiver.recv())
        ran = subprocess.run([sys.executable, "-m", "bench.watch", port], capture_output=True, check=True, timeout=180)
        server.terminate()
        server.join()
        figures = json.loads(ran.stdout)
        print(
            f"{'streamed list' if streams else 'pages of 500'}: "
            f"{figures['list_cpu_s']:.2f} s of CPU in {figures['list_s']:.2f} s, "
            f"peak {figures['list_peak_mb']:.0f} MB (imports {figures['base_mb']:.0f} MB); "
            f"{figures['events_per_s']:.0f} events/s at {figures['cpu_us_per_event']:.0f} us of CPU, "
            f"peak {figures['peak_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
