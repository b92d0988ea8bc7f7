"""Services, and the pods and nodes behind them, for the tests of what makes slices and Endpoints."""

from __future__ import annotations

from typing import Any

import msgspec

from headlessdns.lab.services import Node, Pod, Service

Json = dict[str, Any]

T0, T1, T2, T3 = (f"2026-01-01T00:0{minute}:00Z" for minute in range(4))
WEB = {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}


def service(*, labels: Json | None = None, annotations: Json | None = None, **spec: Any) -> Service:
    """Return the headless Service nginx, which selects app=nginx; *spec* overrides, `metadata` too."""
    metadata: Json = {"name": "nginx", "namespace": "shop", "uid": "s1", "creationTimestamp": T0}
    metadata |= {"labels": labels, "annotations": annotations, **spec.pop("metadata", {})}
    wanted = {"clusterIP": "None", "ipFamilies": ["IPv4"], "selector": {"app": "nginx"}, "ports": [WEB], **spec}
    return msgspec.convert({"metadata": metadata, "spec": wanted}, Service)


def pod(number: int, *, ready: bool = True, since: str = T1, phase: str = "Running", **fields: Any) -> Pod:
    """Return the pod web-NUMBER at 10.244.0.NUMBER on node-1; *fields* are of its spec, or `ips` or `metadata`."""
    name = f"web-{number}"
    ips = fields.pop("ips", [f"10.244.{number // 250}.{number % 250}"])
    metadata: Json = {"name": name, "namespace": "shop", "uid": f"u{number}", "labels": {"app": "nginx"}}
    metadata |= fields.pop("metadata", {})
    containers = [{"ports": [{"name": "web", "containerPort": 80}]}]
    spec = {"nodeName": "node-1", "hostname": name, "subdomain": "nginx", "containers": containers, **fields}
    status = {
        "phase": phase,
        "podIPs": [{"ip": ip} for ip in ips],
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": T0},
            {"type": "Ready", "status": str(ready), "lastTransitionTime": since},
        ],
    }
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Pod)


def node(name: str = "node-1", topology_zone: str = "") -> Node:
    """Return a node."""
    labels = {"topology.kubernetes.io/zone": topology_zone} if topology_zone else None
    return msgspec.convert({"metadata": {"name": name, "labels": labels}}, Node)


NODES = {"node-1": node(), "node-2": node("node-2", "zone-b")}
ENDING = {"deletionTimestamp": T3}
