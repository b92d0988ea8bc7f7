"""The conditions of a set, and warnings about what silently breaks its names.

The reference sets no condition and wipes those of others (S45). Ours can be waited for with ``kubectl wait``:
Available, Progressing (with a deadline, as a Deployment's), Stalled, and NamesServed. Those of others stay as they
are. Pure.

A condition in apps/v1 has a type, a status, a reason, a message and the time when its status last changed; an API
server drops whatever else is written. So the time of the last step forward stands in the message of Progressing, for
people and for the next sync. Equal states give equal conditions, octet by octet, else each sync would write a status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from headlessdns.controller import explain
from headlessdns.controller.actions import Wait, WaitKind
from headlessdns.controller.explain import Trouble
from headlessdns.controller.model import Json, Pod, StatefulSet, Status, read_time
from headlessdns.controller.observed import UNSEEN_SERVICE, Service

AVAILABLE, PROGRESSING, STALLED, NAMES = "Available", "Progressing", "Stalled", "NamesServed"
OURS = (AVAILABLE, PROGRESSING, STALLED, NAMES)
MAX_LABEL_OCTETS = 63  # of a host name, and of a label's value
HASH_OCTETS = 11  # a dash and a hash, at most, behind the set's name in a revision's name


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
    """What a condition is to say; it is Unknown where `status` is None."""

    type: str
    status: bool | None
    reason: str
    message: str


class _Block(NamedTuple):
    """What a set waits for, and whose pod that is; empty where the whole set waits."""

    pod_name: str
    trouble: Trouble


def notes(
    set: StatefulSet,
    status: Status,
    wait: Wait | None,
    error: str,
    pods: Mapping[str, Pod],
    service: Service | None,
    now_s: float,
) -> Notes:
    """Return what is to be said about *set*; the arguments are those of `sync.Observer`."""
    before = {condition.get("type"): condition for condition in set.conditions}
    is_invalid = wait is not None and wait.kind is WaitKind.INVALID
    faults = [] if is_invalid else name_faults(set, pods, service)
    block = _block(set, wait, pods, now_s)
    last_step_s = _last_step_s(set.status, status, before.get(PROGRESSING), now_s)
    progressing, deadline_in_s = _progressing(set, status, block, last_step_s, now_s)
    is_overdue = progressing.reason == _EXCEEDED
    stalled, age_in_s = _stalled(set, block, error, now_s, is_overdue=is_overdue)
    names = _names(faults, service, is_invalid=is_invalid)
    states = [_available(set, pods, block, now_s), progressing, stalled, names]
    made = {state.type: _condition(state, before.get(state.type), now_s) for state in states}
    waits = [wait_s for wait_s in (age_in_s, deadline_in_s) if wait_s is not None]
    return Notes(_merged(set.conditions, made), tuple(faults), min(waits, default=None))


def _merged(before: tuple[Json, ...], made: dict[str, Json]) -> tuple[Json, ...]:
    """Return the conditions of others and ours, each in the place that it has; nobody has to sort them again."""
    left = dict(made)
    merged: list[Json] = []
    for condition in before:
        type = condition.get("type")
        if type not in OURS:
            merged.append(condition)
        elif type in left:
            merged.append(left.pop(type))
    return (*merged, *left.values())


def _condition(state: _State, before: Json | None, now_s: float) -> Json:
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


# What is in the way


def _block(set: StatefulSet, wait: Wait | None, pods: Mapping[str, Pod], now_s: float) -> _Block | None:
    if wait is None:
        return None
    pod = pods.get(wait.pod_name)
    if wait.pod is None and pod is not None and _is_foreign(set, pod):
        return _Block(wait.pod_name, explain.foreign_trouble(set, pod))
    return _Block(wait.pod_name, explain.trouble_in(wait, now_s))


def _is_foreign(set: StatefulSet, pod: Pod) -> bool:
    """Tell whether *pod*, which has a name of *set*, is in its way: of another owner, or nothing that it may adopt."""
    owner = pod.metadata.controller()
    if owner is not None:
        return owner.uid != set.metadata.uid
    return not set.selector.matches(pod.labels)


def _is_invalid(block: _Block | None) -> bool:
    return block is not None and block.trouble.reason == WaitKind.INVALID.value


def _stalled(
    set: StatefulSet, block: _Block | None, error: str, now_s: float, *, is_overdue: bool
) -> tuple[_State, float | None]:
    """Return the condition, and in how many seconds it says something else."""
    failure = f"the last request failed, and is tried again: {error}" if error else ""
    if block is None:
        if error:
            return _State(STALLED, True, "RequestFailed", failure), None
        return _State(STALLED, False, "NothingInTheWay", "nothing is waited for"), None
    trouble = block.trouble
    words, again_s = trouble.words, None
    if trouble.since_s is not None:
        age = explain.show_age(now_s - trouble.since_s)
        words += f", {age}" if age else ""
        again_s = explain.next_age_step_s(now_s - trouble.since_s)
    parts = [f"waiting for {block.pod_name}: {words}" if block.pod_name else words]
    remedy = trouble.remedy
    if not remedy and is_overdue:
        remedy = f"see `kubectl describe pod {block.pod_name} -n {set.namespace}`"
    parts += [part for part in (remedy, failure) if part]
    is_stalled = trouble.is_stuck or is_overdue or bool(error)
    reason = "RequestFailed" if error and not trouble.is_stuck else trouble.reason
    return _State(STALLED, is_stalled, reason, "; ".join(parts)), again_s


# How far it is


def _available(set: StatefulSet, pods: Mapping[str, Pod], block: _Block | None, now_s: float) -> _State:
    """Return whether every pod that is wanted can be counted on.

    `availableReplicas` counts others, too: those that are on their way out, and those beyond the ordinals.
    """
    if _is_invalid(block):
        return _State(AVAILABLE, None, WaitKind.INVALID.value, "not known while the set is not valid")
    count = sum(
        pod.is_running_and_ready and not pod.is_unavailable(set.min_ready_s, now_s)
        for pod in pods.values()
        if not _is_foreign(set, pod)
    )
    message = f"{count} of {set.replicas} pods are available"
    if count >= set.replicas:
        return _State(AVAILABLE, True, "AllPodsAvailable", message)
    return _State(AVAILABLE, False, "PodsUnavailable", message)


def is_complete(set: StatefulSet, status: Status) -> bool:
    """Tell whether all that is wanted is there, at the revision that is wanted, and nothing else."""
    counts = {set.replicas, status.replicas, status.available_replicas}
    if set.is_on_delete:
        return len(counts) == 1
    return len(counts) == 1 and status.updated_replicas >= set.replicas - set.partition


_EXCEEDED = "ProgressDeadlineExceeded"
_UNDER_WAY = frozenset({"RolloutInProgress", _EXCEEDED})
_LAST_STEP = re.compile(r"the last step forward was at ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\Z")


def _progressing(
    set: StatefulSet, status: Status, block: _Block | None, last_step_s: float, now_s: float
) -> tuple[_State, float | None]:
    """Return the condition, and in how many seconds the deadline passes."""
    done = _done(set, status)
    if _is_invalid(block):
        return _State(PROGRESSING, False, WaitKind.INVALID.value, "nothing is done while the set is not valid"), None
    if is_complete(set, status):
        return _State(PROGRESSING, True, "RolloutComplete", done), None
    if set.is_paused:
        return _State(PROGRESSING, None, "RolloutPaused", f"paused; {done}"), None
    since = f"{done}; the last step forward was at {_show_time(last_step_s)}"
    left_s = set.progress_deadline_s - (now_s - last_step_s)
    if left_s <= 0:
        message = f"no step forward within {set.progress_deadline_s} s; {since}"
        return _State(PROGRESSING, False, _EXCEEDED, message), None
    return _State(PROGRESSING, True, "RolloutInProgress", since), left_s


def _done(set: StatefulSet, status: Status) -> str:
    done = f"{status.updated_replicas} of {set.replicas} pods are of revision {status.update_revision}"
    if status.updated_replicas >= set.replicas:
        return done
    if set.is_on_delete:
        return f"{done}; each of the others becomes so when it is deleted (OnDelete)"
    if set.partition:
        return f"{done}; the first {min(set.partition, set.replicas)} stay as they are (partition {set.partition})"
    return done


def _has_moved(old: Status, new: Status) -> bool:
    """Tell whether *new* is a step forward from *old*: another goal, or more pods as they should be."""
    return (
        (old.observed_generation, old.update_revision) != (new.observed_generation, new.update_revision)
        or old.replicas != new.replicas
        or old.updated_replicas < new.updated_replicas
        or old.ready_replicas < new.ready_replicas
        or old.available_replicas < new.available_replicas
    )


def _last_step_s(old: Status, new: Status, before: Json | None, now_s: float) -> float:
    """Return when the last step forward was made. It is written down, so that it outlasts a change of leaders.

    The way begins now where the set was complete, paused or invalid before, though none of its pods has moved.
    """
    if before is None or before.get("reason") not in _UNDER_WAY or _has_moved(old, new):
        return now_s
    found = _LAST_STEP.search(before.get("message") or "")
    try:
        return read_time(found[1]) if found else now_s
    except ValueError:  # somebody else wrote it: the 99th of a month
        return now_s


# Names


def name_faults(set: StatefulSet, pods: Mapping[str, Pod], service: Service | None) -> list[tuple[str, str]]:
    """Return reason and message of what keeps the names of the pods from being served."""
    return [*_length_faults(set), *_foreign_faults(set, pods), *_service_faults(set, service)]


def _length_faults(set: StatefulSet) -> list[tuple[str, str]]:
    ordinals = set.ordinals()
    longest = f"{set.name}-{ordinals[-1]}" if ordinals else set.name
    most = MAX_LABEL_OCTETS - HASH_OCTETS
    if len(longest) > MAX_LABEL_OCTETS:
        message = (
            f"{longest} has {len(longest)} octets, and a host name at most {MAX_LABEL_OCTETS}, so this pod cannot be "
            f"created; create the set anew with a shorter name"
        )
    elif len(set.name) > most:
        message = (
            f"{set.name} has {len(set.name)} octets; with the hash of a revision that makes a label of more than "
            f"{MAX_LABEL_OCTETS}, with which no pod can be created; create the set anew with a name of at most {most}"
        )
    else:
        return []
    return [("NameTooLong", message)]


def _foreign_faults(set: StatefulSet, pods: Mapping[str, Pod]) -> list[tuple[str, str]]:
    """Return the first that stays only: what is told changes less, and the others show when it is mended."""
    for pod in pods.values():
        if _is_foreign(set, pod) and not pod.is_terminating:
            trouble = explain.foreign_trouble(set, pod)
            return [(trouble.reason, f"{trouble.words}; {trouble.remedy}")]
    return []


def _service_faults(set: StatefulSet, service: Service | None) -> list[tuple[str, str]]:
    if not set.service_name:
        message = "spec.serviceName is empty, so the pods have no names in the DNS; create the set anew with one"
        return [("NoServiceName", message)]
    where = f"Service {set.namespace}/{set.service_name}"
    if service is UNSEEN_SERVICE:
        return []
    if service is None:
        message = f"{where} does not exist, so the pods have no names in the DNS; create it with clusterIP: None"
        return [("GoverningServiceMissing", message)]
    spec = service.spec
    if spec.type == "ExternalName":
        message = f"{where} is an ExternalName and names no pods; create it anew with clusterIP: None"
        return [("GoverningServiceNotHeadless", message)]
    found = []
    if spec.cluster_ip != "None":
        message = f"{where} is not headless: its own name gives {spec.cluster_ip or 'no address'}, not the pods; "
        found.append(("GoverningServiceNotHeadless", message + "create it anew with clusterIP: None"))
    return found + _selector_faults(set, service, where)


def _selector_faults(set: StatefulSet, service: Service, where: str) -> list[tuple[str, str]]:
    selector = service.spec.selector
    if not selector:
        message = f"{where} has no selector, so no pod is in it unless somebody writes EndpointSlices; give it one"
        return [("SelectorMissesPods", message)]
    labels = (set.template.get("metadata") or {}).get("labels") or {}
    missed = {key: value for key, value in selector.items() if labels.get(key) != value}
    if not missed:
        return []
    wanted = ",".join(f"{key}={value}" for key, value in sorted(missed.items()))
    message = f"{where} selects {wanted}, which the pod template does not have; correct one of the two"
    return [("SelectorMissesPods", message)]


def _names(faults: list[tuple[str, str]], service: Service | None, *, is_invalid: bool) -> _State:
    if faults:
        return _State(NAMES, False, faults[0][0], "; ".join(message for _, message in faults))
    if is_invalid:
        return _State(NAMES, None, "Invalid", "whether the governing Service fits is not known: the set is invalid")
    if service is UNSEEN_SERVICE:
        message = "whether the governing Service fits is not known: there are no rights to list Services"
        return _State(NAMES, None, "ServicesNotSeen", message)
    return _State(NAMES, True, "GoverningServiceFits", "the governing Service names the pods")
