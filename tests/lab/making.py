"""Objects and moments for the tests of the pretend kubelet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from headlessdns.lab.objects import Claim, Node, Now, Pod, Volume

Json = dict[str, Any]

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> Now:
    """Return the moment *seconds* after noon, where the loop's clock says 1000."""
    return Now(1000.0 + seconds, NOON + timedelta(seconds=seconds))


def pod(status: Json | None = None, *, annotations: Json | None = None, **fields: Any) -> Pod:
    """Return the pod web-0; *fields* are of its spec, or of its metadata where the spec has no such."""
    of_spec = ("node_name", "init_containers", "volumes", "readiness_gates")
    spec: Json = {"containers": [{"name": "nginx", "image": "nginx:1"}]}
    metadata: Json = {"name": "web-0", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}
    metadata["annotations"] = {f"lab.headlessdns.io/{name}": value for name, value in (annotations or {}).items()}
    for name, value in fields.items():
        head, *tail = name.split("_")
        (spec if name in of_spec else metadata)[head + "".join(part.title() for part in tail)] = value
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status or {}}, Pod)


def node(status: Json | None = None, *, annotations: Json | None = None, **spec: Any) -> Node:
    metadata = {"name": "node-1", "uid": "n1", "resourceVersion": "3", "annotations": annotations}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status or {}}, Node)


def claim(status: Json | None = None, *, request: str = "1Gi", volume: str | None = None, **metadata: Any) -> Claim:
    spec = {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": request}}}
    head = {"name": "www-web-0", "namespace": "shop", "uid": "c1", "resourceVersion": "4", **metadata}
    return msgspec.convert({"metadata": head, "spec": spec, "status": status or {}}, Claim)


def volume(status: Json | None = None, *, ours: bool = True, policy: str = "Delete", **metadata: Any) -> Volume:
    annotations = {"pv.kubernetes.io/provisioned-by": "lab.headlessdns.io"} if ours else None
    head = {"name": "pvc-c1", "uid": "v1", "resourceVersion": "5", "annotations": annotations, **metadata}
    spec = {
        "capacity": {"storage": "1Gi"},
        "claimRef": {"namespace": "shop", "name": "www-web-0", "uid": "c1"},
        "persistentVolumeReclaimPolicy": policy,
    }
    return msgspec.convert({"metadata": head, "spec": spec, "status": status or {}}, Volume)
