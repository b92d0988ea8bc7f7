"""What a watch on all pods brings, with the time of each event; reads the API server with urllib3 alone."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import urllib3

if TYPE_CHECKING:
    from tests.realcluster.cluster import RealCluster

WATCH = "/api/v1/pods?watch=1&timeoutSeconds=1800"

Json = dict[str, Any]


class Happening(NamedTuple):
    """One thing that became of a pod.

    Attributes:
        at_s: Monotonic time at which the event was read.
        verb: `create`, `ready`, `unready`, `delete` (its deletion begins) or `gone`.
        pod: The pod as the event shows it.
    """

    at_s: float
    verb: str
    pod: Json

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    def __str__(self) -> str:
        return f"{self.verb} {self.name}"


def is_ready(pod: Json) -> bool:
    """Whether the Ready condition of *pod* is true."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def verbs(before: Json | None, after: Json) -> list[str]:
    """Return what became of a pod between two events, neither of which says that it is gone."""
    found = [] if before else ["create"]
    if is_ready(after) != bool(before and is_ready(before)):
        found.append("ready" if is_ready(after) else "unready")
    if "deletionTimestamp" in after["metadata"] and not (before and "deletionTimestamp" in before["metadata"]):
        found.append("delete")
    return found


class Timeline:
    """A thread that watches until the API server ends."""

    def __init__(self, cluster: RealCluster) -> None:
        self._cluster = cluster
        self._happenings: dict[str, list[Happening]] = {}
        self._pods: dict[str, Json] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True, name="timeline")
        self._thread.start()

    def of(self, namespace: str) -> list[Happening]:
        """Return what became of the pods of *namespace* so far.

        Raises:
            RuntimeError: The watch has ended.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the watch on pods has ended")
        return list(self._happenings.get(namespace, ()))

    def join(self) -> None:
        """Wait for the end of the watch, which is that of the API server."""
        self._thread.join(10)

    def _watch(self) -> None:
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        try:
            with urllib3.PoolManager(ca_certs=str(self._cluster.ca_file), retries=False) as http:
                url = self._cluster.server + WATCH
                response = http.request("GET", url, headers=headers, preload_content=False, timeout=None)
                for line in response:
                    self._take(json.loads(line))
        except urllib3.exceptions.HTTPError:
            return  # the API server is gone; who still asks is told

    def _take(self, event: Json) -> None:
        pod, at_s = event["object"], time.monotonic()
        uid = pod["metadata"]["uid"]
        if event["type"] == "DELETED":
            self._pods.pop(uid, None)
            found = ["gone"]
        else:
            found = verbs(self._pods.get(uid), pod)
            self._pods[uid] = pod
        happenings = self._happenings.setdefault(pod["metadata"]["namespace"], [])
        happenings.extend(Happening(at_s, verb, pod) for verb in found)
