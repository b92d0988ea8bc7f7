"""``python -m bench.controller``: our controller beside the reference, on one real kube-apiserver, in one run.

1,000 pods of a Parallel set: pods created a second, and the controller's CPU. 100 pods of an OrderedReady set: the time
from the event that says "web-i is Ready" to the event that says "web-i+1 is created", both seen by one watch. A pod
becomes ready 50 ms after its creation, when nothing else is going on. Both controllers send as many requests as they
like. I/O: real processes on loopback; stops by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import urllib3

from tests.peers.process import wait_until
from tests.realcluster.cluster import RealCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = "statefulset-controller"
NO_LIMIT_QPS = 100_000
DEADLINE_S = 300.0
READY_DELAY_S = 0.05
_TICKS_S = os.sysconf("SC_CLK_TCK")
_NAME = re.compile(rb'"name":"(web-[0-9]+)"')
Json = dict[str, Any]


class Result(NamedTuple):
    """What one controller did.

    Attributes:
        pods_per_s: Created in a Parallel set.
        cpu_ms_per_pod: Of the controller, for those.
        step_ms: From Ready to the next creation, sorted.
    """

    pods_per_s: float
    cpu_ms_per_pod: float
    step_ms: list[float]


class Pods(threading.Thread):
    """Watches the pods of a namespace, and lets them be ready at once where it is to."""

    def __init__(self, cluster: RealCluster, namespace: str, *, makes_ready: bool) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._makes_ready = makes_ready
        self.created_s: dict[str, float] = {}
        self.ready_s: dict[str, float] = {}
        self._response: urllib3.BaseHTTPResponse | None = None
        self.is_over = False

    def run(self) -> None:
        """Read the watch, anew where the API server has cut it off for being slow."""
        http = urllib3.PoolManager(ca_certs=str(self._cluster.ca_file), retries=False)
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        url = f"{self._cluster.server}{self._path}?watch=true"
        while not self.is_over:
            self._response = http.request("GET", url, headers=headers, preload_content=False, timeout=DEADLINE_S)
            try:
                for line in self._lines():
                    self._take(line)
            except (urllib3.exceptions.HTTPError, OSError):
                if not self.is_over:
                    continue

    def _lines(self) -> Iterator[bytes]:
        assert self._response is not None  # it was just set
        rest = b""
        for chunk in self._response.stream(65536, decode_content=False):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def _take(self, line: bytes) -> None:
        """Note an event. Where thousands come at once nothing is parsed: the API server cuts a slow watcher off."""
        now_s = time.perf_counter()
        found = _NAME.search(line)
        if found is None:
            return
        name = found[1].decode()
        if name not in self.created_s:
            self.created_s[name] = now_s
            if self._makes_ready:
                threading.Thread(target=self._make_ready, args=(name,), daemon=True).start()
        elif self._makes_ready:
            conditions = json.loads(line)["object"]["status"].get("conditions", ())
            if {"Ready": "True"}.items() <= {one["type"]: one["status"] for one in conditions}.items():
                self.ready_s.setdefault(name, now_s)

    def _make_ready(self, name: str) -> None:
        time.sleep(READY_DELAY_S)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": now}]
        patch = {"status": {"phase": "Running", "conditions": conditions}}
        self._cluster.request("PATCH", f"{self._path}/{name}/status", patch, "application/merge-patch+json")


def manifest(replicas: int, policy: str) -> Json:
    """Return a StatefulSet."""
    labels = {"app": "web"}
    spec = {"containers": [{"name": "main", "image": "example.org/web:1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "podManagementPolicy": policy,
            "serviceName": "web",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()  # noqa: SIM115  # read at once
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def begin(cluster: RealCluster, namespace: str, replicas: int, policy: str, *, makes_ready: bool) -> Pods:
    """Create a set in a namespace of its own and return what watches its pods."""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    pods = Pods(cluster, namespace, makes_ready=makes_ready)
    pods.start()
    wait_until(lambda: pods._response is not None, "the watch", 10)
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    cluster.request("POST", path, manifest(replicas, policy))
    wait_until(lambda: len(pods.created_s) == replicas, f"{replicas} pods in {namespace}", DEADLINE_S)
    pods.is_over = True  # the thread ends with the API server
    return pods


def measure(cluster: RealCluster, name: str, pid: int, parallel: int, ordered: int) -> Result:
    """Return what the controller with process *pid*, called *name*, does."""
    begin(cluster, f"{name}-warm", 3, "Parallel", makes_ready=False)
    before_s = cpu_s(pid)
    pods = begin(cluster, f"{name}-parallel", parallel, "Parallel", makes_ready=False)
    times_s = sorted(pods.created_s.values())
    used_ms = (cpu_s(pid) - before_s) * 1000
    steps = begin(cluster, f"{name}-ordered", ordered, "OrderedReady", makes_ready=True)
    step_ms = sorted(
        (steps.created_s[f"web-{ordinal + 1}"] - steps.ready_s[f"web-{ordinal}"]) * 1000
        for ordinal in range(ordered - 1)
        if f"web-{ordinal}" in steps.ready_s
    )
    return Result((parallel - 1) / (times_s[-1] - times_s[0]), used_ms / parallel, step_ms)


def show(results: dict[str, Result]) -> str:
    """Return a table in Markdown."""
    lines = [
        "| controller | Parallel, pods/s | CPU ms/pod | Ready to next creation, p50 ms | p99 ms |",
        "|---|---|---|---|---|",
    ]
    for name, result in results.items():
        p50, p99 = statistics.median(result.step_ms), result.step_ms[int(len(result.step_ms) * 0.99)]
        lines.append(f"| {name} | {result.pods_per_s:.0f} | {result.cpu_ms_per_pod:.2f} | {p50:.1f} | {p99:.1f} |")
    ours, reference = results.values()
    lines.append(f"\nPods a second, ours by the reference's: {ours.pods_per_s / reference.pods_per_s:.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1000, help="of the Parallel set [default: 1000]")
    parser.add_argument("--ordered", type=int, default=100, help="of the OrderedReady set [default: 100]")
    arguments = parser.parse_args()
    results = {}
    with RealCluster(controllers=("namespace-controller",)) as cluster:
        command = [sys.executable, "-m", "headlessdns", "controller", f"--kubeconfig={cluster.kubeconfig}"]
        command += ["--qps=0", "--no-elect", "--statefulsets=always", "--http=off", "--log=text"]
        log = cluster.folder / "ours.log"
        with log.open("w") as stream, subprocess.Popen(command, stderr=stream) as ours:
            try:
                wait_until(lambda: "ready:" in log.read_text(), "our controller", 30)
                results["headlessdns"] = measure(cluster, "ours", ours.pid, arguments.pods, arguments.ordered)
            finally:
                ours.terminate()
        cluster.start_manager(REFERENCE, [REFERENCE], NO_LIMIT_QPS)
        pid = cluster.processes[REFERENCE].pid
        results["kube-controller-manager"] = measure(cluster, "reference", pid, arguments.pods, arguments.ordered)
    print(show(results))


if __name__ == "__main__":
    main()
