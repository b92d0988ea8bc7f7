"""Scenarios with sets of either kind: what is asked of them besides what `Play` asks of StatefulSets."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from headlessdns.controller.plan import NEVER_READY_TOLERANCE_S
from tests.reconcile.stage import Play

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
GROWING = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "growing"},
    "provisioner": "lab.headlessdns.io",
    "allowVolumeExpansion": True,
}


class Sets(Play):
    """A scenario with StatefulSets."""

    KIND = "StatefulSet"

    def spec(self, **changes: Any) -> None:
        """Merge *changes* into the specification."""
        self.patch("statefulsets", "web", {"spec": changes})

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments)

    def names(self, plural: str = "pods") -> list[str]:
        return [item["metadata"]["name"] for item in self.all(plural)]

    def images(self) -> dict[str, str]:
        return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in self.all("pods")}

    def condition(self, type: str) -> Json:
        return next((one for one in self.status().get("conditions", ()) if one["type"] == type), {})

    def events(self, reason: str) -> list[str]:
        """Return the messages of the events of that reason about the set."""
        return [
            item["message"]
            for item in self.all("events")
            if item["reason"] == reason and item["involvedObject"]["kind"] == self.KIND
        ]

    def wait_old(self, name: str) -> None:
        """Wait until a pod that becomes unready now can be told from one that was never ready: times are in seconds."""
        started_s = datetime.fromisoformat(self.get("pods", name)["status"]["startTime"]).timestamp()
        self.wait(lambda: time.time() - started_s > NEVER_READY_TOLERANCE_S + 1, f"{name} to be older")

    def wait_decided(self, *wanted: str) -> None:
        """Wait until the last decisions about pods, without their revisions, are *wanted*."""

        def last() -> list[str]:
            return [" ".join(line.split()[:2]) for line in self.decisions][-len(wanted) :]

        self.wait(lambda: last() == list(wanted), f"{wanted}, not {last()},")


class OrdinalSets(Sets):
    """A scenario with OrdinalSets: what `Play` does with StatefulSets, it does with them."""

    KIND = "OrdinalSet"

    def path(self, plural: str, name: str = "") -> str:
        if plural != "statefulsets":
            return super().path(plural, name)
        root = f"/apis/headlessdns.io/v1alpha1/namespaces/{self.namespace}/ordinalsets"
        return f"{root}/{name}" if name else root

    def image(self, image: str, name: str = "web") -> None:
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        self.cluster.request("PATCH", self.path("statefulsets", name), patch, content_type=JSON_PATCH)
