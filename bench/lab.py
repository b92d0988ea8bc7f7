"""``python -m bench.lab``: the embedded API beside a real kube-apiserver with etcd, in one run: ``make bench-lab``.

Both are asked by the same client over TLS, in turns: objects created a second and CPU for each, changes to five
watchers (as they happen, and all at once from the history), a list of 5,000 EndpointSlices, and how long it takes from
one change to its event when nothing else goes on. The embedded API is a process of its own; what the real one uses is
counted for kube-apiserver and etcd together, whose files are not synced to the disk. I/O: real processes on loopback;
stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple

from bench.controller import cpu_s
from bench.https import Address, Connection, ask, connected, send_all, until
from headlessdns.lab.api.http import EmbeddedApi
from tests.realcluster.cluster import RealCluster

Json = dict[str, Any]

CLIENTS = 8
WATCHERS = 5
ENDPOINTS = 10
LISTS = 5
PAUSE_S = 0.02
_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')
_UID = re.compile(rb'"uid":"([^"]+)"')
_MODIFIED = b'"type":"MODIFIED"'
_STATUS = "application/merge-patch+json"
_SPAWN = multiprocessing.get_context("spawn")


class Server(NamedTuple):
    """A server that is measured.

    Attributes:
        name: What the table calls it.
        address: Where it is.
        pids: Of all its processes.
    """

    name: str
    address: Address
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Return the CPU seconds that its processes have used."""
        return sum(map(cpu_s, self.pids))


class Rate(NamedTuple):
    """How fast something was, and what one cost.

    Attributes:
        per_s: How many in a second.
        cpu_us: Of the server.
        client_us: CPU of the client.
    """

    per_s: float
    cpu_us: float
    client_us: float = 0.0


class Result(NamedTuple):
    """What one server did.

    Attributes:
        creates: By kind, a rate for each round.
        live: Events to all watchers together, as the changes happen.
        replayed: Events to all watchers together, of changes that had happened before.
        lists: Seconds and CPU seconds of each list.
        delivery_ms: From the sending of a change to its event at a watcher, sorted.
        after_answer_ms: From its answer to its event, sorted.
    """

    creates: dict[str, list[Rate]]
    live: Rate
    replayed: Rate
    lists: list[tuple[float, float]]
    delivery_ms: list[float]
    after_answer_ms: list[float]


# ---- Objects


def stateful_set() -> Json:
    """Return the owner of the pods; without one they would be collected."""
    labels = {"app": "nginx"}
    spec = {"containers": [{"name": "nginx", "image": "registry.k8s.io/nginx-slim:0.24"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "serviceName": "nginx",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def pod(name: str, owner_uid: str) -> Json:
    """Return a pod as the controller of a StatefulSet creates it."""
    labels = {
        "app": "nginx",
        "apps.kubernetes.io/pod-index": name.rpartition("-")[2],
        "controller-revision-hash": "web-6d4b7c9f5",
        "statefulset.kubernetes.io/pod-name": name,
    }
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": owner_uid}
    container = {
        "name": "nginx",
        "image": "registry.k8s.io/nginx-slim:0.24",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 80, "name": "web", "protocol": "TCP"}],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/usr/share/nginx/html"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "generateName": "web-",
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}"}}],
            "hostname": name,
            "subdomain": "nginx",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 10,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
    }


def config_map(name: str, owner_uid: str) -> Json:
    """Return a small ConfigMap, which nobody owns."""
    del owner_uid
    data = {"nginx.conf": "server { listen 80; }\n", "index.html": "hello"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "web"}}, "data": data}


def endpoint_slice(name: str) -> Json:
    """Return a slice of a headless Service."""
    labels = {"kubernetes.io/service-name": name, "service.kubernetes.io/headless": ""}
    number = int(name.rpartition("-")[2])
    endpoints = [
        {
            "addresses": [f"10.{number >> 8}.{number & 255}.{one + 1}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "hostname": f"web-{one}",
            "nodeName": "node-1",
            "targetRef": {"kind": "Pod", "namespace": "bench", "name": f"{name}-{one}"},
        }
        for one in range(ENDPOINTS)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
    }


_MAKERS = {"pods": pod, "configmaps": config_map}
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices"
_PODS = "/api/v1/namespaces/bench/pods"


def posts(address: Address, path: str, objects: Iterator[Json]) -> list[bytes]:
    """Return the requests that create *objects*."""
    return [address.request("POST", path, json.dumps(object).encode()) for object in objects]


def status_patch(address: Address, name: str, number: int) -> bytes:
    """Return the request that changes a pod's status."""
    body = {"status": {"phase": "Running", "podIP": f"10.1.{number >> 8 & 255}.{number & 255}", "message": str(number)}}
    return address.request("PATCH", f"{_PODS}/{name}/status", json.dumps(body).encode(), _STATUS)


# ---- Servers


@contextmanager
def embedded() -> Iterator[Server]:
    """Give the embedded API in a process of its own."""
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        address = Address(*here.recv())
        assert process.pid is not None
        yield Server("headlessdns", address, (process.pid,))
    finally:
        here.close()
        process.join(10)
        process.kill()


def _serve(pipe: Pipe) -> None:
    """Serve until the other end of *pipe* is closed."""

    async def run() -> None:
        over = asyncio.Event()
        async with EmbeddedApi() as api:
            asyncio.get_running_loop().add_reader(pipe.fileno(), over.set)
            pipe.send((api.url, api.token, api.authority.decode()))
            await over.wait()

    asyncio.run(run())


@contextmanager
def real() -> Iterator[Server]:
    """Give a real API server."""
    with RealCluster(controllers=()) as cluster:
        address = Address(cluster.server, cluster.token, cluster.ca_file.read_text())
        pids = tuple(cluster.processes[name].pid for name in ("kube-apiserver", "etcd"))
        yield Server("kube-apiserver and etcd", address, pids)


# ---- Measuring


def make_namespace(server: Server, name: str) -> str:
    """Create a namespace with a set in it, and return the UID of that."""
    request = server.address.request
    body = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).encode()
    with connected(server.address, 1) as (connection,):
        ask(connection, request("POST", "/api/v1/namespaces", body))
        path = f"/apis/apps/v1/namespaces/{name}/statefulsets"
        found = _UID.search(ask(connection, request("POST", path, json.dumps(stateful_set()).encode())))
    assert found is not None
    return found[1].decode()


def creates(server: Server, plural: str, count: int, number: int) -> Rate:
    """Create *count* objects in a namespace of their own; *number* tells it from others."""
    namespace = f"{plural}-{number}"
    owner_uid = make_namespace(server, namespace)
    objects = (_MAKERS[plural](f"web-{one}", owner_uid) for one in range(count))
    requests = posts(server.address, f"/api/v1/namespaces/{namespace}/{plural}", objects)
    return sent(server, requests)


def sent(server: Server, requests: list[bytes]) -> Rate:
    """Send *requests* over all connections."""
    with connected(server.address, CLIENTS) as connections:
        server_s, client_s = server.cpu_s(), time.process_time()
        taken_s = send_all(connections, requests)
        server_s, client_s = server.cpu_s() - server_s, time.process_time() - client_s
    count = len(requests)
    return Rate(count / taken_s, server_s / count * 1e6, client_s / count * 1e6)


def _watch(address: Address, version: str, count: int, pipe: Pipe) -> None:
    """Watch pods on several connections; say when all watch, and when each has seen *count* changes."""
    with connected(address, WATCHERS) as connections:
        path = f"{_PODS}?watch=true&resourceVersion={version}&timeoutSeconds=300"
        for connection in connections:
            connection.send(address.request("GET", path))
        pipe.send(time.perf_counter())
        seen = dict.fromkeys(connections, 0)
        rest = dict.fromkeys(connections, b"")
        is_open = set()

        def is_done(connection: Connection) -> bool:
            octets = rest[connection] + connection.read()
            seen[connection] += octets.count(_MODIFIED)
            rest[connection] = octets[-len(_MODIFIED) + 1 :]
            if connection not in is_open:
                is_open.add(connection)
                if len(is_open) == WATCHERS:
                    pipe.send(time.perf_counter())
            return seen[connection] >= count

        until(connections, is_done)
        pipe.send(time.perf_counter())


@contextmanager
def watching(server: Server, version: str, count: int) -> Iterator[Pipe]:
    """Give what says when watchers in a process of their own asked, have their first answer, and have seen all."""
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_watch, args=(server.address, version, count, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.join(10)
        process.kill()


def present_version(server: Server) -> str:
    with connected(server.address, 1) as (connection,):
        found = _VERSION.search(ask(connection, server.address.request("GET", f"{_PODS}?limit=1")))
    assert found is not None
    return found[1].decode()


def watches(server: Server, count: int) -> tuple[Rate, Rate]:
    """Return how fast *count* changes come to watchers, as they happen and from the history."""
    address = server.address
    owner_uid = make_namespace(server, "bench")
    sent(server, posts(address, _PODS, (pod(f"web-{one}", owner_uid) for one in range(CLIENTS * 4))))
    version = present_version(server)
    # Two changes of one pod that are on their way at once could meet; so each connection has pods of its own.
    requests = [status_patch(address, f"web-{one % (CLIENTS * 4)}", one) for one in range(count)]
    with watching(server, version, count) as pipe:
        pipe.recv()
        pipe.recv()
        used_s, started_s = server.cpu_s(), time.perf_counter()
        sent(server, requests)
        taken_s, used_s = pipe.recv() - started_s, server.cpu_s() - used_s
    events = count * WATCHERS
    live = Rate(events / taken_s, used_s / events * 1e6)
    used_s = server.cpu_s()
    with watching(server, version, count) as pipe:
        started_s = pipe.recv()
        pipe.recv()
        taken_s, used_s = pipe.recv() - started_s, server.cpu_s() - used_s
    return live, Rate(events / taken_s, used_s / events * 1e6)


def lists(server: Server, count: int) -> list[tuple[float, float]]:
    """Return what it takes to list *count* slices, several times."""
    address = server.address
    sent(server, posts(address, _SLICES, (endpoint_slice(f"web-{one}") for one in range(count))))
    found = []
    with connected(address, 1) as (connection,):
        for _ in range(LISTS):
            used_s, started_s = server.cpu_s(), time.perf_counter()
            answer = ask(connection, address.request("GET", _SLICES))
            taken_s, used_s = time.perf_counter() - started_s, server.cpu_s() - used_s
            if answer.count(b'"addressType"') != count:
                raise SystemExit(f"{server.name} lists {answer.count(b'addressType')} slices")
            found.append((taken_s, used_s))
            time.sleep(0.2)  # what it does afterwards is not counted for the next one
    return found


def deliveries(server: Server, count: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds from a change, and from its answer, to its event; one change at a time."""
    address = server.address
    from_change, from_answer = [], []
    path = f"{_PODS}?watch=true&resourceVersion={present_version(server)}&timeoutSeconds=300"
    with connected(address, 2) as (writer, watcher):
        watcher.send(address.request("GET", path))
        for number in range(count):
            time.sleep(PAUSE_S)
            times: dict[str, float] = {}
            started_s = time.perf_counter()
            writer.send(status_patch(address, "web-0", 1_000_000 + number))

            def is_done(connection: Connection, times: dict[str, float] = times) -> bool:
                if connection is writer:
                    if connection.is_answered():
                        times["answer"] = time.perf_counter()
                    return "answer" in times
                if _MODIFIED in connection.read():
                    times["event"] = time.perf_counter()
                return "event" in times

            until([writer, watcher], is_done)
            from_change.append((times["event"] - started_s) * 1e3)
            from_answer.append((times["event"] - times["answer"]) * 1e3)
    return sorted(from_change), sorted(from_answer)


def measure(servers: list[Server], arguments: argparse.Namespace) -> dict[str, Result]:
    """Measure *servers* in turns."""
    found: dict[str, dict[str, list[Rate]]] = {server.name: {plural: [] for plural in _MAKERS} for server in servers}
    for server in servers:
        creates(server, "pods", 200, 0)  # the first ones are slower
    for number in range(1, arguments.rounds + 1):
        for plural in _MAKERS:
            for server in servers:
                found[server.name][plural].append(creates(server, plural, arguments.objects, number))
    results = {}
    for server in servers:
        live, replayed = watches(server, arguments.changes)
        listed = lists(server, arguments.slices)
        results[server.name] = Result(found[server.name], live, replayed, listed, *deliveries(server, arguments.writes))
    return results


# ---- The table


def _median(rates: list[Rate]) -> Rate:
    return Rate(*(statistics.median(column) for column in zip(*rates, strict=True)))


def _percentiles(sorted_ms: list[float]) -> tuple[float, float]:
    return statistics.median(sorted_ms), sorted_ms[int(len(sorted_ms) * 0.99)]


def rows(result: Result) -> dict[str, tuple[float, bool]]:
    """Return what is shown of *result*, each with whether more is better."""
    shown: dict[str, tuple[float, bool]] = {}
    for plural, rates in result.creates.items():
        rate = _median(rates)
        shown[f"{plural} created/s"] = rate.per_s, True
        shown[f"CPU us for each of the {plural}"] = rate.cpu_us, False
    for name, rate in (("as they happen", result.live), ("from the history", result.replayed)):
        shown[f"events/s to {WATCHERS} watchers, {name}"] = rate.per_s, True
        shown[f"CPU us for each event, {name}"] = rate.cpu_us, False
    shown["list of all slices, ms"] = statistics.median(taken_s for taken_s, _ in result.lists) * 1e3, False
    shown["CPU ms for each list"] = statistics.mean(used_s for _, used_s in result.lists) * 1e3, False
    for name, times_ms in (("change", result.delivery_ms), ("its answer", result.after_answer_ms)):
        p50, p99 = _percentiles(times_ms)
        shown[f"from a {name} to its event, p50 ms".replace("a its", "its")] = p50, False
        shown[f"from a {name} to its event, p99 ms".replace("a its", "its")] = p99, False
    return shown


def show(results: dict[str, Result]) -> str:
    """Return a table in Markdown."""
    tables = [rows(result) for result in results.values()]
    lines = [f"| | {' | '.join(results)} | times better |", f"|---|{'---|' * (len(results) + 1)}"]
    for name, (ours, is_more_better) in tables[0].items():
        theirs = tables[1][name][0] if len(tables) > 1 else 0.0
        better, worse = (ours, theirs) if is_more_better else (theirs, ours)
        ratio = f"{better / worse:.1f}" if min(better, worse) > 0 else ""
        figures = " | ".join(f"{table[name][0]:,.{0 if table[name][0] >= 100 else 2}f}" for table in tables)
        lines.append(f"| {name} | {figures} | {ratio} |")
    for name, result in results.items():
        shares = (f"{_median(rates).client_us * _median(rates).per_s / 1e4:.0f} %" for rates in result.creates.values())
        lines.append(f"\nOf its core the client used {', '.join(shares)} with {name} ({', '.join(result.creates)}).")
    return "\n".join(lines)


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=2000, help="created in a round [default: 2000]")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts [default: 3]")
    parser.add_argument("--changes", type=int, default=5000, help="that are watched [default: 5000]")
    parser.add_argument("--slices", type=int, default=5000, help="that are listed [default: 5000]")
    parser.add_argument("--writes", type=int, default=200, help="one at a time, at rest [default: 200]")
    parser.add_argument("--alone", action="store_true", help="the embedded API only")
    arguments = parser.parse_args()
    with embedded() as ours:
        if arguments.alone:
            results = measure([ours], arguments)
        else:
            with real() as theirs:
                results = measure([ours, theirs], arguments)
    print(show(results))


if __name__ == "__main__":
    main()
