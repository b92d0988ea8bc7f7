"""Why a pod is not available, in words for people. Pure."""

from __future__ import annotations

from typing import NamedTuple

from headlessdns.controller.actions import Wait, WaitKind
from headlessdns.controller.model import ContainerStatus, Pod, read_time

OVERDUE_S = 60.0  # beyond its grace period a deletion does not end by itself


class Trouble(NamedTuple):
    """What keeps a pod from being available.

    Attributes:
        reason: In one word, as conditions have it.
        words: In words, without the pod's name.
        since_s: Unix time since when; None where it is not known.
        is_stuck: Whether it will hardly pass by itself.
        remedy: What to do; empty where waiting is enough.
    """

    reason: str
    words: str
    since_s: float | None = None
    is_stuck: bool = False
    remedy: str = ""


_MEND = "nothing is deleted; mend the template or delete the pod"
_WAITING: dict[str, tuple[str, str]] = {  # of containers: what it means, what to do
    "ErrImagePull": ("image cannot be pulled", _MEND),
    "ImagePullBackOff": ("image cannot be pulled", _MEND),
    "InvalidImageName": ("the name of its image is not valid", _MEND),
    "ErrImageNeverPull": ("its image is not on the node and must not be pulled", _MEND),
    "CrashLoopBackOff": ("its container crashes again and again", f"see `kubectl logs --previous`; {_MEND}"),
    "CreateContainerConfigError": ("what its configuration refers to is missing", "create it, or mend the template"),
    "CreateContainerError": ("its container cannot be created", _MEND),
    "RunContainerError": ("its container cannot be started", _MEND),
}


def trouble_of(pod: Pod, now_s: float) -> Trouble:
    """Return why *pod* is not available; *now_s* is Unix time."""
    if pod.is_terminating:
        return _of_terminating(pod, now_s)
    if pod.is_terminal:
        words = f"it has ended ({pod.status.reason or pod.phase})"
        return Trouble("PodEnded", words)
    for container in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        found = _of_container(container)
        if found is not None:
            return found._replace(since_s=_unready_since_s(pod))
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        words = f"no node takes it: {scheduled.message}" if scheduled.message else "no node takes it"
        since_s = _time(scheduled.last_transition_time)
        return Trouble("Unschedulable", words, since_s, True, "make room, or mend what it asks for")
    if pod.phase in ("", "Pending"):
        return Trouble("PodPending", "it is being started", _time(pod.metadata.creation_timestamp))
    if not pod.is_ready:
        ready = pod.condition("Ready")
        detail = f" ({ready.message})" if ready is not None and ready.message else ""
        return Trouble("PodNotReady", f"it runs and is not ready{detail}", _unready_since_s(pod))
    return Trouble("PodNotAvailable", "it is ready, and has to stay so for minReadySeconds", _unready_since_s(pod))


def _of_terminating(pod: Pod, now_s: float) -> Trouble:
    since_s = _time(pod.metadata.deletion_timestamp)
    if since_s is None or now_s - since_s < OVERDUE_S:
        return Trouble("PodTerminating", "it is terminating", since_s)
    node = f" {pod.spec.node_name}" if pod.spec.node_name else ""
    return Trouble(
        "PodTerminating",
        f"it should have ended by now; its node{node} may be lost",
        since_s,
        True,
        f"bring the node back; or, once it is certain that nothing runs there any more, delete the Node object or run "
        f"`kubectl delete pod {pod.name} -n {pod.metadata.namespace} --force`",
    )


def _of_container(container: ContainerStatus) -> Trouble | None:
    waiting = container.state.waiting if container.state else None
    if waiting is None or waiting.reason not in _WAITING:
        return None
    words, remedy = _WAITING[waiting.reason]
    return Trouble(waiting.reason, words, None, True, remedy)


def _unready_since_s(pod: Pod) -> float | None:
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
        return Trouble("ClaimTerminating", words, None, False, "it goes when no pod uses it any more")
    if wait.kind is WaitKind.FORMER_CLAIM:
        words = f"its claim still belongs to an earlier pod: {wait.detail}"
        return Trouble("ClaimOfFormerPod", words, None, False, "the garbage collector removes it")
    if wait.pod is None:
        return Trouble("PodPending", "it is being created")
    return trouble_of(wait.pod, now_s)


_STEPS = (("day", 86400), ("h", 3600), ("min", 60))


def show_age(age_s: float) -> str:
    """Return an age as people say it, in few steps: 20 s is nothing, then 1, 2, 4, 8, 15, 30 min, and so on.

    What stands in a status is to change seldom.
    """
    shown_s = max((step_s for step_s in AGE_STEPS_S if step_s <= age_s), default=0)
    for unit, unit_s in _STEPS:
        if shown_s >= unit_s:
            count = shown_s // unit_s
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return ""


AGE_STEPS_S = (60, 120, 240, 480, 900, 1800, 3600, 7200, 14400, 28800, *(86400 * 2**n for n in range(12)))


def next_age_step_s(age_s: float) -> float:
    """Return in how many seconds `show_age` says something else."""
    return min((step_s - age_s for step_s in AGE_STEPS_S if step_s > age_s), default=86400.0)
