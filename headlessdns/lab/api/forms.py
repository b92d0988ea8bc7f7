"""The form in which objects are stored: what is filled in, left out, or the same as nothing. Pure.

Source: the strategies of the kinds in k8s.io/kubernetes `pkg/registry`.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from headlessdns.lab.api.kinds import NAMESPACES, NODES, PODS, SERVICES, Json, Resource
from headlessdns.lab.api.status import bad_request

# What the status of a new object is, whatever its author says; of kinds that are not here it stays as it came.
FIRST_STATUS: dict[str, Json] = {
    NAMESPACES: {"phase": "Active"},
    SERVICES: {"loadBalancer": {}},
    PODS: {"phase": "Pending"},
    "persistentvolumeclaims": {"phase": "Pending"},
    "persistentvolumes": {"phase": "Pending"},
    "statefulsets.apps": {"replicas": 0, "availableReplicas": 0},
    "deployments.apps": {},
    "replicasets.apps": {"replicas": 0},
    "poddisruptionbudgets.policy": {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    },
}


# Finalizers that admission gives to new objects.
PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


_TIMES_OF_CONDITIONS = {
    PODS: ("lastProbeTime", "lastTransitionTime"),
    NODES: ("lastHeartbeatTime", "lastTransitionTime"),
    "statefulsets.apps": ("lastTransitionTime",),
    "replicasets.apps": ("lastTransitionTime",),
    "deployments.apps": ("lastTransitionTime", "lastUpdateTime"),
}


_NOT_READY = "node.kubernetes.io/not-ready"


def timestamp(moment: datetime) -> str:
    """Return *moment* as the API writes it: whole seconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()[:19]}Z"


def metadata_of(object: Json) -> Json:
    """Return the metadata of *object*, which gets some where it has none.

    Raises:
        ApiError: They are none.
    """
    metadata = object.get("metadata")
    if metadata is None:
        metadata = object["metadata"] = {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata is no object")
    result: Json = metadata
    return result


def strip_empty(metadata: Json) -> None:
    """Leave out what is empty, as Go does, so that what means the same is the same."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def write_nulls(resource: Resource, object: Json) -> None:
    """Write what nobody set and Go does not leave out: the times of conditions, the rules of roles."""
    if resource.kind in {"Role", "ClusterRole"} and not object.get("rules"):
        object["rules"] = None
    for field in _TIMES_OF_CONDITIONS.get(resource.qualified, ()):
        for condition in (object.get("status") or {}).get("conditions") or ():
            condition.setdefault(field, None)


def copy_field(object: Json, old: Json, field: str) -> None:
    """Give *object* the field as *old* has it."""
    if field in old:
        object[field] = old[field]
    else:
        object.pop(field, None)


def wanted(object: Json) -> Json:
    """Return what of *object* its generation counts."""
    wanted = {field: value for field, value in object.items() if field not in ("metadata", "status")}
    if object["kind"] == "EndpointSlice":
        wanted["labels"] = object["metadata"].get("labels")
    return wanted


def is_over(resource: Resource, object: Json) -> bool:
    """Tell whether nothing holds an object any more that is to go."""
    metadata = object["metadata"]
    if "deletionTimestamp" not in metadata:
        return False
    if resource.qualified == NAMESPACES and (object.get("spec") or {}).get("finalizers"):
        return False  # something is left in it
    return not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def is_set_of_fields(tree: Any) -> bool:
    """Tell whether *tree* is one of those in managedFields."""
    return isinstance(tree, dict) and all(map(is_set_of_fields, tree.values()))


def fold_string_data(secret: Json) -> None:
    """Move the plain texts of a Secret to its data, in place."""
    for key, value in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()


def taint(node: Json) -> None:
    """Keep pods off a new node until its kubelet, or who watches over it, says that it is ready."""
    taints = node.setdefault("spec", {}).setdefault("taints", [])
    if not any(taint.get("key") == _NOT_READY for taint in taints):
        taints.append({"key": _NOT_READY, "effect": "NoSchedule"})
