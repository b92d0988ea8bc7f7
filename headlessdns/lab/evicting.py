"""Which pods a taint drives from their node, and when. Pure.

Source: Kubernetes, "Taints and Tolerations"; v1.36 `pkg/controller/tainteviction`. Pods that say nothing of nodes that
are not heard of stay for 300 s, which admission writes into each of them.
"""

from __future__ import annotations

from headlessdns.lab.objects import Condition, Json, Node, Now, Pod, Write, deletion, status_patch, with_conditions
from headlessdns.lab.scheduling import tolerates

_NO_EXECUTE = "NoExecute"
_ALWAYS_TOLERATED: list[Json] = [
    {"key": key, "operator": "Exists", "effect": _NO_EXECUTE, "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]
_DISRUPTED = Condition(
    "DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
)


def stays_s(pod: Pod, node: Node) -> float | None:
    """Return for how many seconds *pod* may stay on its *node* with these taints; None where for good."""
    taints = [taint for taint in node.spec.taints or () if taint.get("effect") == _NO_EXECUTE]
    tolerations = [*(pod.spec.tolerations or ()), *_ALWAYS_TOLERATED]
    used = [next((one for one in tolerations if tolerates(one, taint)), None) for taint in taints]
    if None in used:
        return 0.0
    limits = [one["tolerationSeconds"] for one in used if one and one.get("tolerationSeconds") is not None]
    return max(float(min(limits)), 0.0) if limits else None


def eviction_write(pod: Pod, now: Now) -> Write:
    """Return the next write that evicts *pod*: why is told first."""
    conditions = with_conditions(pod.status.get("conditions"), [_DISRUPTED], now)
    return status_patch(pod, {"conditions": conditions}) or deletion(pod)
