"""What the status of a PodDisruptionBudget is to say, as the reference's disruption controller has it. Pure.

Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application"; pkg/controller/disruption of
v1.36, read for the facts. Evictions of the lab look at the pods themselves, so what is written here is for people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from headlessdns.controller.model import selects
from headlessdns.lab import objects
from headlessdns.lab.objects import MERGE_PATCH, Json, Now, Write, condition_status

BUDGETS_PATH = "/apis/policy/v1/poddisruptionbudgets"
DELETION_TIMEOUT = timedelta(minutes=2)  # in which a pod that was to be evicted has begun to end
_CONDITION = "DisruptionAllowed"


class OwnerRef(msgspec.Struct):
    """Whose an object is."""

    uid: str = ""
    controller: bool = False


class Metadata(objects.Metadata, rename="camel"):
    """ObjectMeta, with what budgets look at."""

    labels: dict[str, str] | None = None
    owner_references: tuple[OwnerRef, ...] | None = None
    generation: int = 0


class BudgetSpec(msgspec.Struct, rename="camel"):
    """What a budget asks for; a number, or a share such as ``50%``."""

    selector: Json | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None


class Budget(msgspec.Struct):
    """A PodDisruptionBudget."""

    metadata: Metadata
    spec: BudgetSpec = msgspec.field(default_factory=BudgetSpec)
    status: Json = {}


class Pod(msgspec.Struct):
    """A pod, as far as budgets look at it."""

    metadata: Metadata
    status: Json = {}

    @property
    def controller(self) -> OwnerRef | None:
        """Whose it is."""
        return next((one for one in self.metadata.owner_references or () if one.controller), None)


class _ScaleSpec(msgspec.Struct):
    replicas: int | None = None


class Owner(msgspec.Struct):
    """A StatefulSet, an OrdinalSet or a ReplicaSet."""

    metadata: Metadata
    spec: _ScaleSpec = msgspec.field(default_factory=_ScaleSpec)

    @property
    def replicas(self) -> int:
        """How many pods it wants."""
        return 1 if self.spec.replicas is None else self.spec.replicas


class _Counts(NamedTuple):
    expected: int
    desired: int


def covers(budget: Budget, pod: Pod) -> bool:
    """Tell whether *budget* protects *pod*: no selector protects none, an empty one all of the namespace."""
    is_near = budget.metadata.namespace == pod.metadata.namespace
    return is_near and selects(budget.spec.selector, pod.metadata.labels or {})


def status_write(budget: Budget, pods: Iterable[Pod], owners: Mapping[str, Owner], now: Now) -> Write | None:
    """Return what makes the status of *budget* right, None where it is.

    Args:
        budget: The budget.
        pods: All that may be protected.
        owners: By UID, what pods may belong to.
        now: The time.
    """
    protected = [pod for pod in pods if covers(budget, pod)]
    before = budget.status
    try:
        counts = _counts(budget.spec, protected, owners)
    except LookupError as error:
        failed = _condition(before, "False", "SyncFailed", str(error.args[0]), before.get("observedGeneration"), now)
        return _write(budget, {**before, "disruptionsAllowed": 0, "conditions": failed})
    disrupted = _disrupted(before, protected, now)
    healthy = sum(
        1
        for pod in protected
        if not pod.metadata.deletion_timestamp
        and pod.metadata.name not in disrupted
        and condition_status(pod.status, "Ready") == "True"
    )
    allowed = max(healthy - counts.desired, 0) if counts.expected > 0 else 0
    status, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    after = {
        "currentHealthy": healthy,
        "desiredHealthy": counts.desired,
        "disruptionsAllowed": allowed,
        "expectedPods": counts.expected,
        "observedGeneration": budget.metadata.generation,
        "conditions": _condition(before, status, reason, "", budget.metadata.generation, now),
    }
    if disrupted:
        after["disruptedPods"] = disrupted
    return _write(budget, after)


def _counts(spec: BudgetSpec, protected: list[Pod], owners: Mapping[str, Owner]) -> _Counts:
    """Return how many pods there are to be, and how many of them healthy.

    Raises:
        LookupError: A pod belongs to something that is not known.
    """
    if spec.max_unavailable is not None:
        expected = _scale(protected, owners)
        return _Counts(expected, max(expected - _share(spec.max_unavailable, expected), 0))
    if isinstance(spec.min_available, str):
        expected = _scale(protected, owners)
        return _Counts(expected, _share(spec.min_available, expected))
    return _Counts(len(protected), spec.min_available or 0) if spec.min_available is not None else _Counts(0, 0)


def _scale(protected: list[Pod], owners: Mapping[str, Owner]) -> int:
    """Return how many pods the owners of *protected* want together; pods of nobody do not count."""
    wanted: dict[str, int] = {}
    for pod in protected:
        owner = pod.controller
        if owner is None or owner.uid in wanted:
            continue
        if owner.uid not in owners:
            raise LookupError(f'found no controllers for pod "{pod.metadata.name}"')
        wanted[owner.uid] = owners[owner.uid].replicas
    return sum(wanted.values())


def _share(value: int | str, of: int) -> int:
    """Return a number, or a percentage of *of*, rounded up."""
    if isinstance(value, int):
        return value
    return math.ceil(int(value.removesuffix("%")) * of / 100)


def _disrupted(status: Json, protected: list[Pod], now: Now) -> Json:
    """Return which pods are about to be deleted: not yet on their way, and not for too long."""
    noted = status.get("disruptedPods") or {}
    return {
        pod.metadata.name: noted[pod.metadata.name]
        for pod in protected
        if pod.metadata.name in noted
        and not pod.metadata.deletion_timestamp
        and datetime.fromisoformat(noted[pod.metadata.name]) + DELETION_TIMEOUT >= now.utc
    }


def _condition(
    status: Json, value: str, reason: str, message: str, generation: int | None, now: Now
) -> list[dict[str, Any]]:
    """Return the conditions with ours brought up to date; the time of its transition stays where its status does."""
    before = status.get("conditions") or []
    old = next((one for one in before if one.get("type") == _CONDITION), None)
    since = old["lastTransitionTime"] if old is not None and old.get("status") == value else now.text
    new = {"type": _CONDITION, "status": value, "reason": reason, "message": message, "lastTransitionTime": since}
    if generation:
        new["observedGeneration"] = generation
    return [new if one is old else one for one in before] if old is not None else [*before, new]


def _write(budget: Budget, status: Json) -> Write | None:
    if status == budget.status:
        return None
    gone: Json = dict.fromkeys(budget.status.keys() - status.keys())
    metadata = budget.metadata
    path = f"/apis/policy/v1/namespaces/{metadata.namespace}/poddisruptionbudgets/{metadata.name}/status"
    body = {
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "status": {**status, **gone},
    }
    return Write("PATCH", path, body, MERGE_PATCH)
