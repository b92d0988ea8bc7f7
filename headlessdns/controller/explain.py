"""Why a pod is not available, in words for people.

The words for one state are always the same, and its reason does not swing where the kubelet's does (ErrImagePull and
ImagePullBackOff take turns): what stands in a status is written again whenever it changes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headlessdns.controller.actions import Wait, WaitKind
from headlessdns.controller.model import ContainerStatus, Pod, StatefulSet, read_time

OVERDUE_S = 60.0  # beyond its grace period a deletion does not end by itself


class Trouble(NamedTuple):
    """What keeps a pod from being available.

    Attributes:
        reason: In one word, as conditions have it.
        words: In words, without the pod's name.
        since_s: Unix time since when; None where it is not known.
        is_stuck: Whether it will hardly pass by itself.
        remedy: What to do, or what comes next; empty where there is nothing to say.
    """

    reason: str
    words: str
    since_s: float | None = None
    is_stuck: bool = False
    remedy: str = ""


_MEND = "nothing is deleted; mend the template or delete the pod"
_PROVIDE = f"create it; or else {_MEND}"
_IMAGE = ("ImagePullBackOff", "image cannot be pulled", _MEND)
_NOT_CREATED = ("CreateContainerError", "a container cannot be created", _MEND)
_NOT_STARTED = ("RunContainerError", "a container cannot be started", _MEND)
# What a container waits for, as the kubelet says it: the reason that is shown, what it means, what to do.
_WAITING: dict[str, tuple[str, str, str]] = {
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "RegistryUnavailable": _IMAGE,
    "SignatureValidationFailed": ("SignatureValidationFailed", "the signature of its image is not accepted", _MEND),
    "InvalidImageName": ("InvalidImageName", "the name of its image is not valid", _MEND),
    "ErrImageNeverPull": ("ErrImageNeverPull", "image is not on the node and must not be pulled", _MEND),
    "CrashLoopBackOff": (
        "CrashLoopBackOff",
        "a container crashes again and again",
        "`kubectl logs --previous` may say why; " + _MEND,
    ),
    "CreateContainerConfigError": ("CreateContainerConfigError", "what a container refers to is missing", _PROVIDE),
    "CreateContainerError": _NOT_CREATED,
    "PreCreateHookError": _NOT_CREATED,
    "RunContainerError": _NOT_STARTED,
    "PreStartHookError": _NOT_STARTED,
    "PostStartHookError": _NOT_STARTED,
}
_SAYS_WHAT = frozenset({"CreateContainerConfigError"})  # the message names what is missing, and stays as it is
_GATED = "SchedulingGated"
_UNBOUND = "unbound immediate PersistentVolumeClaims"


def trouble_of(pod: Pod, now_s: float) -> Trouble:
    """Return why *pod* is not available; *now_s* is Unix time."""
    if pod.is_terminating:
        return _of_terminating(pod, now_s)
    if pod.is_terminal:
        return Trouble("PodEnded", f"it has ended ({pod.status.reason or pod.phase})", remedy="it is replaced")
    return _of_containers(pod) or _of_scheduling(pod, now_s) or _of_readiness(pod)


def _of_terminating(pod: Pod, now_s: float) -> Trouble:
    since_s = _time(pod.metadata.deletion_timestamp)
    if since_s is None or now_s - since_s < OVERDUE_S:
        return Trouble("PodTerminating", "it is terminating", since_s)
    which = f"{pod.name} -n {pod.metadata.namespace}"
    if pod.is_terminal or not pod.spec.node_name:
        words = "it has ended and is kept, most likely by a finalizer"
        remedy = f"`kubectl get pod {which} -o yaml` shows its finalizers; see to whoever has to remove them"
        return Trouble("PodTerminating", words, since_s, True, remedy)
    words = f"it should have ended by now; its node {pod.spec.node_name} may be lost"
    remedy = (
        f"bring the node back; or, once it is certain that nothing runs there any more, delete the Node object or run "
        f"`kubectl delete pod {which} --force`"
    )
    return Trouble("PodTerminating", words, since_s, True, remedy)


def _of_containers(pod: Pod) -> Trouble | None:
    initial, others = pod.status.init_container_statuses or (), pod.status.container_statuses or ()
    containers = (*initial, *others)
    for container in containers:
        found = _of_container(container, containers)
        if found is not None:
            return found._replace(since_s=_readiness_since_s(pod))
    return None


def _of_container(container: ContainerStatus, all: Sequence[ContainerStatus]) -> Trouble | None:
    waiting = container.state.waiting if container.state else None
    if waiting is None or waiting.reason not in _WAITING:
        return None
    reason, words, remedy = _WAITING[waiting.reason]
    details = [f"container {container.name}"] if len(all) > 1 else []
    if waiting.reason in _SAYS_WHAT and waiting.message:
        details.append(waiting.message)
    shown = f" ({': '.join(details)})" if details else ""
    return Trouble(reason, words + shown, None, True, remedy)


def _of_scheduling(pod: Pod, now_s: float) -> Trouble | None:
    scheduled = pod.condition("PodScheduled")
    if scheduled is None or scheduled.status != "False":
        return None
    since_s = _time(scheduled.last_transition_time)
    if scheduled.reason == _GATED:
        return Trouble(_GATED, "its scheduling gates are closed", since_s, True, "see to whoever has to open them")
    if _UNBOUND in (scheduled.message or ""):
        is_stuck = since_s is not None and now_s - since_s >= OVERDUE_S
        remedy = f"`kubectl describe pvc -n {pod.metadata.namespace}` says why"
        return Trouble("ClaimUnbound", "a claim of it has no volume yet", since_s, is_stuck, remedy if is_stuck else "")
    words = f"no node takes it: {scheduled.message.rstrip('. ')}" if scheduled.message else "no node takes it"
    return Trouble("Unschedulable", words, since_s, True, "make room, or mend what the template asks for")


def _of_readiness(pod: Pod) -> Trouble:
    since_s = _readiness_since_s(pod)
    if pod.phase in ("", "Pending"):
        return Trouble("PodPending", "it is being started", _time(pod.metadata.creation_timestamp))
    if pod.phase != "Running":
        return Trouble("PodUnknown", "its node does not say how it is", since_s)
    if not pod.is_ready:
        ready = pod.condition("Ready")
        detail = f" ({ready.message})" if ready is not None and ready.message else ""
        return Trouble("PodNotReady", f"it runs and is not ready{detail}", since_s)
    return Trouble("PodNotAvailable", "it is ready, and has to stay so for minReadySeconds", since_s)


def _readiness_since_s(pod: Pod) -> float | None:
    ready = pod.condition("Ready")
    changed = ready.last_transition_time if ready is not None else None
    return _time(changed or pod.metadata.creation_timestamp)


def _time(text: str | None) -> float | None:
    return read_time(text) if text else None


def trouble_in(wait: Wait, now_s: float) -> Trouble:
    """Return what a set waits for."""
    if wait.kind is WaitKind.INVALID:
        return Trouble("Invalid", wait.detail, None, True, "nothing is done; correct it")
    if wait.kind is WaitKind.CLAIM_GONE:
        words = f"its claim is being deleted: {wait.detail}"
        remedy = "it goes when no pod uses it any more"
        return Trouble("ClaimTerminating", words, remedy=f"{remedy}; delete the pod, too" if wait.pod else remedy)
    if wait.kind is WaitKind.FORMER_CLAIM:
        words = f"its claim still belongs to an earlier pod: {wait.detail}"
        return Trouble("ClaimOfFormerPod", words, remedy="the garbage collector removes it")
    if wait.pod is None:
        return Trouble("PodPending", "it is being created")
    return trouble_of(wait.pod, now_s)


def foreign_trouble(set: StatefulSet, pod: Pod) -> Trouble:
    """Return why a pod of *set* is not created: *pod* has its name, and is of another owner, or of nobody."""
    owner = pod.metadata.controller()
    is_of_former = owner is not None and (owner.kind, owner.name) == (set.kind.value, set.name)
    if owner is None:
        whose = "belongs to nobody, and its labels are not the set's"
    else:
        whose = f"belongs to {'an earlier ' if is_of_former else ''}{owner.kind} {owner.name}"
    words = f"a Pod {pod.name} exists and {whose}"
    if pod.is_terminating:
        return Trouble("NameConflict", words, remedy="it is being deleted, then ours is created")
    if is_of_former:
        return Trouble("NameConflict", words, remedy="the garbage collector deletes it, then ours is created")
    return Trouble("NameConflict", words, None, True, "delete it, then ours is created")


# Ages

AGE_STEPS_S = (60, 120, 240, 480, 900, 1800, 3600, 7200, 14400, 28800, *(86400 * 2**n for n in range(12)))
_UNITS = (("day", 86400), ("h", 3600), ("min", 60))


def show_age(age_s: float) -> str:
    """Return an age as people say it, in few steps: 20 s is nothing, then 1, 2, 4, 8, 15, 30 min, and so on.

    What stands in a status is to change seldom.
    """
    shown_s = max((step_s for step_s in AGE_STEPS_S if step_s <= age_s), default=0)
    for unit, unit_s in _UNITS:
        if shown_s >= unit_s:
            count = shown_s // unit_s
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return ""


def next_age_step_s(age_s: float) -> float:
    """Return in how many seconds `show_age` says something else."""
    return min((step_s - age_s for step_s in AGE_STEPS_S if step_s > age_s), default=86400.0)
