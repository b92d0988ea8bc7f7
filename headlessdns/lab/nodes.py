"""The pretended machines: what their Node objects say. Pure: the next write goes out, one at a time.

Source: the Kubernetes documentation ("Nodes", "Taints and Tolerations"), v1.36. A lost node is what the node lifecycle
controller makes of a kubelet that is not heard of.
"""

from __future__ import annotations

import ipaddress

from headlessdns.lab.objects import (
    Condition,
    Json,
    Node,
    Now,
    Write,
    condition_status,
    patch,
    status_patch,
    with_conditions,
)

LOST_ANNOTATION = "lab.headlessdns.io/lost"
NODES_PATH = "/api/v1/nodes"

_HOSTS = ipaddress.ip_network("198.18.0.0/15")  # for tests (RFC 2544): no machine of any network has one of these
_NOT_READY, _UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_CAPACITY = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110000"}
_PRESSURES = {  # what is well when it is False
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
_LOST = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
_WELL = [
    *(Condition(kind, "False", *why) for kind, why in _PRESSURES.items()),
    Condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
]
_BEATING = {condition.type for condition in _WELL}
_UNKNOWN = [Condition(condition.type, "Unknown", *_LOST) for condition in _WELL]


def host_ip(number: int) -> str:
    """Return the address of the machine with that *number*, the first being 0."""
    return str(_HOSTS[number + 1])


def is_lost(node: Node) -> bool:
    """Tell whether the node is to be lost."""
    return node.metadata.annotation(LOST_ANNOTATION) == "true"


def is_up(node: Node) -> bool:
    """Tell whether the node can run new pods, were they to come to it."""
    return not is_lost(node) and condition_status(node.status, "Ready") == "True"


def node_write(name: str, number: int, node: Node | None, now: Now) -> Write | None:
    """Return the next write that makes a node what it should be, None where it is.

    Args:
        name: Its name.
        number: Its place among the nodes, which gives it an address.
        node: What the API has of it.
        now: The time.
    """
    if node is None:
        return Write("POST", NODES_PATH, _manifest(name))
    return _taints_write(node, now) or _status_write(node, number, now)


def _manifest(name: str) -> Json:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def _taints_write(node: Node, now: Now) -> Write | None:
    taints = node.spec.taints or []
    effects = {taint.get("effect") for taint in taints if taint.get("key") == _UNREACHABLE}
    wanted = {"NoSchedule", "NoExecute"} if is_lost(node) else set()
    # A new node is tainted as not ready by the API server.
    if effects == wanted and all(taint.get("key") != _NOT_READY for taint in taints):
        return None
    others = [taint for taint in taints if taint.get("key") not in (_NOT_READY, _UNREACHABLE)]
    ours = [{"key": _UNREACHABLE, "effect": effect, "timeAdded": now.text} for effect in sorted(wanted)]
    return patch(node.path, node.metadata, {"spec": {"taints": others + ours}})


def _status_write(node: Node, number: int, now: Now) -> Write | None:
    name = node.metadata.name
    old = node.status.get("conditions")
    if is_lost(node):
        return status_patch(node, {"conditions": with_conditions(old, _UNKNOWN, now)})
    info = dict(node.status.get("nodeInfo") or {})
    info |= {"kubeletVersion": "headlessdns-lab", "containerRuntimeVersion": "lab://0"}
    info |= {"osImage": "a pretended machine", "operatingSystem": "linux", "architecture": "amd64"}
    wanted = {
        "addresses": [{"type": "InternalIP", "address": host_ip(number)}, {"type": "Hostname", "address": name}],
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "conditions": [_heard(condition) for condition in with_conditions(old, _WELL, now)],
        "nodeInfo": info,
    }
    return status_patch(node, wanted)


def _heard(condition: Json) -> Json:
    """Return a condition of a node that is heard of: since it is well, and no beat is written after that."""
    if condition.get("type") not in _BEATING:
        return condition
    return {**condition, "lastHeartbeatTime": condition["lastTransitionTime"]}
