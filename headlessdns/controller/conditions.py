"""The conditions of a set, and warnings about what silently breaks its names.

The reference sets no condition and wipes those of others (S45). Ours can be waited for with ``kubectl wait``:
Available, Progressing (with a deadline, as a Deployment's), Stalled, and NamesServed. Those of others stay as they
are. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from headlessdns.controller.actions import Wait, WaitKind
from headlessdns.controller.explain import Trouble, next_age_step_s, show_age, trouble_in
from headlessdns.controller.model import Json, Pod, StatefulSet, Status
from headlessdns.controller.observed import Service

AVAILABLE, PROGRESSING, STALLED, NAMES = "Available", "Progressing", "Stalled", "NamesServed"
OURS = (AVAILABLE, PROGRESSING, STALLED, NAMES)
MAX_LABEL_OCTETS = 63


class Notes(NamedTuple):
    """What is to be said about a set besides its counts.

    Attributes:
        conditions: All conditions of its status, others' included.
        warnings: Reason and message of events to be written; one that is repeated is written once.
        again_s: When the conditions may change though nothing happens.
    """

    conditions: tuple[Json, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    again_s: float | None = None


class _State(NamedTuple):
    """What a condition is to say."""

    type: str
    status: bool | None
    reason: str
    message: str


def notes(
    set: StatefulSet,
    status: Status,
    wait: Wait | None,
    error: str,
    pods: Mapping[str, Pod],
    service: Service | None,
    progress_s: float,
    now_s: float,
) -> Notes:
    """Return what is to be said about *set*; the arguments are those of `sync.Observer`."""
    before = {condition.get("type"): condition for condition in set.conditions}
    faults = name_faults(set, pods, service)
    trouble = trouble_in(wait, now_s) if wait is not None else None
    stalled, again_s = _stalled(wait, trouble, error, now_s)
    progressing, deadline_in_s = _progressing(set, status, now_s - progress_s)
    states = [_available(set, status), progressing, stalled, _names(faults)]
    made = [_condition(state, before.get(state.type), set.generation, now_s) for state in states]
    others = tuple(condition for condition in set.conditions if condition.get("type") not in OURS)
    waits = [wait_s for wait_s in (again_s, deadline_in_s) if wait_s is not None]
    return Notes((*others, *made), tuple(faults), min(waits, default=None))


def _condition(state: _State, before: Json | None, generation: int, now_s: float) -> Json:
    """Return the condition; the time of the last transition stays where the status does."""
    status = {True: "True", False: "False", None: "Unknown"}[state.status]
    changed = _show_time(now_s)
    if before is not None and before.get("status") == status and before.get("lastTransitionTime"):
        changed = before["lastTransitionTime"]
    return {
        "type": state.type,
        "status": status,
        "reason": state.reason,
        "message": state.message,
        "lastTransitionTime": changed,
    }


def _show_time(time_s: float) -> str:
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _available(set: StatefulSet, status: Status) -> _State:
    message = f"{status.available_replicas} of {set.replicas} pods are available"
    if status.available_replicas >= set.replicas:
        return _State(AVAILABLE, True, "AllPodsAvailable", message)
    return _State(AVAILABLE, False, "PodsUnavailable", message)


def is_complete(set: StatefulSet, status: Status) -> bool:
    """Tell whether all that is wanted is there, at the revision that is wanted, and nothing else."""
    counts = {set.replicas, status.replicas, status.available_replicas}
    if set.is_on_delete:
        return len(counts) == 1
    return len(counts) == 1 and status.updated_replicas >= set.replicas - min(set.partition, set.replicas)


def has_moved(old: Status, new: Status) -> bool:
    """Tell whether *new* is a step forward, or at least another one."""
    return any(
        getattr(old, field) != getattr(new, field)
        for field in (
            "observed_generation",
            "replicas",
            "ready_replicas",
            "available_replicas",
            "updated_replicas",
            "update_revision",
        )
    )


def _progressing(set: StatefulSet, status: Status, idle_s: float) -> tuple[_State, float | None]:
    """Return the condition, and in how many seconds the deadline passes."""
    done = f"{status.updated_replicas} of {set.replicas} pods are of revision {status.update_revision}"
    if is_complete(set, status):
        return _State(PROGRESSING, True, "RolloutComplete", done), None
    if set.is_paused:
        return _State(PROGRESSING, None, "RolloutPaused", f"paused: {done}"), None
    left_s = set.progress_deadline_s - idle_s
    if left_s <= 0:
        message = f"no step forward within {set.progress_deadline_s} s: {done}"
        return _State(PROGRESSING, False, "ProgressDeadlineExceeded", message), None
    return _State(PROGRESSING, True, "RolloutInProgress", done), left_s


def _stalled(wait: Wait | None, trouble: Trouble | None, error: str, now_s: float) -> tuple[_State, float | None]:
    """Return the condition, and in how many seconds it says something else."""
    if trouble is None or wait is None:
        if error:
            return _State(STALLED, True, "RequestFailed", error), None
        return _State(STALLED, False, "NothingInTheWay", "nothing is waited for"), None
    if wait.kind is WaitKind.INVALID:
        return _State(STALLED, True, trouble.reason, f"{trouble.words}; {trouble.remedy}"), None
    age_s = now_s - trouble.since_s if trouble.since_s is not None else 0.0
    age = show_age(age_s) if trouble.since_s is not None else ""
    message = f"waiting for {wait.pod_name}: {trouble.words}"
    message += f", {age}" if age else ""
    message += f"; {trouble.remedy}" if trouble.remedy else ""
    is_stalled = trouble.is_stuck or bool(error)
    if error:
        message += f"; the last request failed: {error}"
    return _State(STALLED, is_stalled, trouble.reason, message), next_age_step_s(max(age_s, 0.0))


# Names


def name_faults(set: StatefulSet, pods: Mapping[str, Pod], service: Service | None) -> list[tuple[str, str]]:
    """Return reason and message of what keeps the names of the pods from being served."""
    ordinals = set.ordinals()
    longest = f"{set.name}-{ordinals[-1]}" if ordinals else set.name
    found: list[tuple[str, str]] = []
    if len(longest) > MAX_LABEL_OCTETS:
        message = f"{longest} has {len(longest)} octets, a host name at most {MAX_LABEL_OCTETS}; choose a shorter name"
        found.append(("NameTooLong", message))
    for name, pod in pods.items():
        owner = pod.metadata.controller()
        if owner is None or owner.uid != set.metadata.uid:
            whose = f"{owner.kind} {owner.name}" if owner else "nobody"
            message = f"Pod {name} exists and belongs to {whose}; delete or rename it, then it is created here"
            found.append(("NameConflict", message))
            break
    return found + _service_faults(set, service)


def _service_faults(set: StatefulSet, service: Service | None) -> list[tuple[str, str]]:
    if not set.service_name:
        message = "spec.serviceName is empty, so the pods have no names in the DNS; create the set anew with one"
        return [("NoServiceName", message)]
    where = f"Service {set.namespace}/{set.service_name}"
    if service is None:
        message = f"{where} does not exist, so the pods have no names in the DNS; create it with clusterIP: None"
        return [("GoverningServiceMissing", message)]
    spec = service.spec
    if spec.type == "ExternalName":
        message = f"{where} is an ExternalName and names no pods; make it headless (clusterIP: None)"
        return [("GoverningServiceNotHeadless", message)]
    found = []
    if spec.cluster_ip != "None":
        message = f"{where} is not headless: its own name gives {spec.cluster_ip or 'no address'}, not the pods; "
        found.append(("GoverningServiceNotHeadless", message + "create it anew with clusterIP: None"))
    labels = (set.template.get("metadata") or {}).get("labels") or {}
    missed = {key: value for key, value in (spec.selector or {}).items() if labels.get(key) != value}
    if missed:
        wanted = ",".join(f"{key}={value}" for key, value in sorted(missed.items()))
        message = f"{where} selects {wanted}, which the pod template does not have; correct one of the two"
        found.append(("SelectorMissesPods", message))
    return found


def _names(faults: list[tuple[str, str]]) -> _State:
    if not faults:
        return _State(NAMES, True, "GoverningServiceFits", "the governing Service names the pods")
    return _State(NAMES, False, faults[0][0], "; ".join(message for _, message in faults))
