"""Why a pod is not available, in words: a row for each state that a pod can be stuck in."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.controller.actions import Wait, WaitKind
from headlessdns.controller.explain import Trouble, next_age_step_s, show_age, trouble_in, trouble_of
from headlessdns.controller.model import read_pod
from tests.controller.support import NOW_S, time_at

Json = dict[str, Any]

UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not eligible for preemption."
MEND = "nothing is deleted; mend the template or delete the pod"


def waiting(reason: str, message: str | None = None, name: str = "nginx") -> Json:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def running(name: str = "nginx") -> Json:
    return {"name": name, "state": {"running": {"startedAt": time_at(-5)}}}


def condition(type: str, status: str, at_s: float, **fields: str) -> Json:
    return {"type": type, "status": status, "lastTransitionTime": time_at(at_s), **fields}


def pod(phase: str | None = "Pending", *conditions: Json, node: str | None = "node-1", **fields: Any) -> Json:
    """A pod created 500 s ago. *fields* are of its status, but `metadata`."""
    return {
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "creationTimestamp": time_at(-500),
            **fields.pop("metadata", {}),
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": list(conditions), **fields},
    }


def deleted(offset_s: float, phase: str = "Running", **fields: Any) -> Json:
    return pod(phase, metadata={"deletionTimestamp": time_at(offset_s)}, **fields)


NOT_READY = condition("Ready", "False", -240)


def image(since_s: float, container: str = "") -> Trouble:
    return Trouble("ImagePullBackOff", f"image cannot be pulled{container}", NOW_S - since_s, True, MEND)


TROUBLES: dict[str, tuple[Json, Trouble]] = {
    "an image that cannot be pulled": (
        pod("Pending", NOT_READY, containerStatuses=[waiting("ImagePullBackOff", 'Back-off pulling image "nginx:x"')]),
        image(240),
    ),
    "the same between two tries": (
        pod("Pending", NOT_READY, containerStatuses=[waiting("ErrImagePull", "rpc error: code = NotFound ...")]),
        image(240),
    ),
    "no Ready condition yet: since its creation": (
        pod("Pending", containerStatuses=[waiting("ErrImagePull")]),
        image(500),
    ),
    "the second of two containers": (
        pod("Pending", NOT_READY, containerStatuses=[running(), waiting("ErrImagePull", name="log")]),
        image(240, " (container log)"),
    ),
    "an initial container comes first": (
        pod(
            "Pending",
            NOT_READY,
            initContainerStatuses=[waiting("ErrImagePull", name="init")],
            containerStatuses=[waiting("ErrImagePull")],
        ),
        image(240, " (container init)"),
    ),
    "an image that is no name": (
        pod(containerStatuses=[waiting("InvalidImageName")]),
        Trouble("InvalidImageName", "the name of its image is not valid", NOW_S - 500, True, MEND),
    ),
    "an image that must not be pulled": (
        pod(containerStatuses=[waiting("ErrImageNeverPull")]),
        Trouble("ErrImageNeverPull", "image is not on the node and must not be pulled", NOW_S - 500, True, MEND),
    ),
    "a crash loop": (
        pod("Running", NOT_READY, containerStatuses=[waiting("CrashLoopBackOff", "back-off 5m0s restarting ...")]),
        Trouble(
            "CrashLoopBackOff",
            "a container crashes again and again",
            NOW_S - 240,
            True,
            f"`kubectl logs --previous` may say why; {MEND}",
        ),
    ),
    "a ConfigMap that is missing is named": (
        pod(containerStatuses=[waiting("CreateContainerConfigError", 'configmap "app" not found')]),
        Trouble(
            "CreateContainerConfigError",
            'what a container refers to is missing (configmap "app" not found)',
            NOW_S - 500,
            True,
            f"create it; or else {MEND}",
        ),
    ),
    "a ConfigMap that is missing, of one of two containers": (
        pod(containerStatuses=[running("a"), waiting("CreateContainerConfigError", 'secret "s" not found', "b")]),
        Trouble(
            "CreateContainerConfigError",
            'what a container refers to is missing (container b: secret "s" not found)',
            NOW_S - 500,
            True,
            f"create it; or else {MEND}",
        ),
    ),
    "a container that cannot be created": (
        pod(containerStatuses=[waiting("CreateContainerError", "context deadline exceeded")]),
        Trouble("CreateContainerError", "a container cannot be created", NOW_S - 500, True, MEND),
    ),
    "a container that cannot be started": (
        pod("Running", NOT_READY, containerStatuses=[waiting("RunContainerError")]),
        Trouble("RunContainerError", "a container cannot be started", NOW_S - 240, True, MEND),
    ),
    "no room": (
        pod(
            "Pending",
            condition(
                "PodScheduled",
                "False",
                -90,
                reason="Unschedulable",
                message="0/3 nodes are available: 3 Insufficient cpu.",
            ),
            node=None,
        ),
        Trouble(
            "Unschedulable",
            "no node takes it: 0/3 nodes are available: 3 Insufficient cpu",
            NOW_S - 90,
            True,
            "make room, or mend what the template asks for",
        ),
    ),
    "no room, and the scheduler does not say why": (
        pod("Pending", condition("PodScheduled", "False", -90), node=None),
        Trouble("Unschedulable", "no node takes it", NOW_S - 90, True, "make room, or mend what the template asks for"),
    ),
    "a claim that is being bound": (
        pod("Pending", condition("PodScheduled", "False", -59, message=UNBOUND), node=None),
        Trouble("ClaimUnbound", "a claim of it has no volume yet", NOW_S - 59),
    ),
    "a claim that nobody binds": (
        pod("Pending", condition("PodScheduled", "False", -60, message=UNBOUND), node=None),
        Trouble(
            "ClaimUnbound",
            "a claim of it has no volume yet",
            NOW_S - 60,
            True,
            "`kubectl describe pvc -n shop` says why",
        ),
    ),
    "scheduling gates": (
        pod(
            "Pending",
            condition("PodScheduled", "False", -90, reason="SchedulingGated", message="Scheduling is blocked ..."),
            node=None,
        ),
        Trouble(
            "SchedulingGated",
            "its scheduling gates are closed",
            NOW_S - 90,
            True,
            "see to whoever has to open them",
        ),
    ),
    "pending": (pod(), Trouble("PodPending", "it is being started", NOW_S - 500)),
    "pending, its containers being created": (
        pod("Pending", condition("PodScheduled", "True", -400), containerStatuses=[waiting("ContainerCreating")]),
        Trouble("PodPending", "it is being started", NOW_S - 500),
    ),
    "no phase yet": (pod(None, node=None), Trouble("PodPending", "it is being started", NOW_S - 500)),
    "running and not ready": (
        pod("Running", NOT_READY, containerStatuses=[running()]),
        Trouble("PodNotReady", "it runs and is not ready", NOW_S - 240),
    ),
    "running and not ready, with what the kubelet says": (
        pod("Running", NOT_READY | {"message": "containers with unready status: [nginx]"}),
        Trouble("PodNotReady", "it runs and is not ready (containers with unready status: [nginx])", NOW_S - 240),
    ),
    "a node that is silent": (
        pod("Unknown", condition("Ready", "True", -90)),
        Trouble("PodUnknown", "its node does not say how it is", NOW_S - 90),
    ),
    "ready, not for long enough": (
        pod("Running", condition("Ready", "True", -3)),
        Trouble("PodNotAvailable", "it is ready, and has to stay so for minReadySeconds", NOW_S - 3),
    ),
    "failed": (pod("Failed"), Trouble("PodEnded", "it has ended (Failed)", remedy="it is replaced")),
    "succeeded": (pod("Succeeded"), Trouble("PodEnded", "it has ended (Succeeded)", remedy="it is replaced")),
    "evicted": (
        pod("Failed", reason="Evicted"),
        Trouble("PodEnded", "it has ended (Evicted)", remedy="it is replaced"),
    ),
    "terminating, within its grace period": (
        deleted(25),
        Trouble("PodTerminating", "it is terminating", NOW_S + 25),
    ),
    "terminating, a little late": (
        deleted(-59),
        Trouble("PodTerminating", "it is terminating", NOW_S - 59),
    ),
    "terminating for too long": (
        deleted(-60),
        Trouble(
            "PodTerminating",
            "it should have ended by now; its node node-1 may be lost",
            NOW_S - 60,
            True,
            "bring the node back; or, once it is certain that nothing runs there any more, delete the Node object or "
            "run `kubectl delete pod web-1 -n shop --force`",
        ),
    ),
    "ended, and kept": (
        deleted(-60, "Succeeded"),
        Trouble(
            "PodTerminating",
            "it has ended and is kept, most likely by a finalizer",
            NOW_S - 60,
            True,
            "`kubectl get pod web-1 -n shop -o yaml` shows its finalizers; see to whoever has to remove them",
        ),
    ),
    "never on a node, and kept": (
        deleted(-60, "Pending", node=None),
        Trouble(
            "PodTerminating",
            "it has ended and is kept, most likely by a finalizer",
            NOW_S - 60,
            True,
            "`kubectl get pod web-1 -n shop -o yaml` shows its finalizers; see to whoever has to remove them",
        ),
    ),
    "terminating with a broken image": (
        deleted(25, "Pending", containerStatuses=[waiting("ErrImagePull")]),
        Trouble("PodTerminating", "it is terminating", NOW_S + 25),
    ),
}


@pytest.mark.parametrize(("raw", "trouble"), TROUBLES.values(), ids=TROUBLES.keys())
def test_trouble_of_a_pod(raw: Json, trouble: Trouble) -> None:
    """A pod's state is told by its cause, in the same words for as long as it lasts."""
    assert trouble_of(read_pod(raw), NOW_S) == trouble


WAITS: dict[str, tuple[Wait, Trouble]] = {
    "an invalid set": (
        Wait(WaitKind.INVALID, detail="maxUnavailable is '0'; expected a number from 1 on, or 1% to 100%"),
        Trouble(
            "Invalid",
            "maxUnavailable is '0'; expected a number from 1 on, or 1% to 100%",
            None,
            True,
            "nothing is done; correct it",
        ),
    ),
    "a claim on its way out, before its pod": (
        Wait(WaitKind.CLAIM_GONE, "web-1", None, "www-web-1"),
        Trouble(
            "ClaimTerminating",
            "its claim is being deleted: www-web-1",
            remedy="it goes when no pod uses it any more",
        ),
    ),
    "a claim on its way out, with a pod that waits for it": (
        Wait(WaitKind.CLAIM_GONE, "web-1", read_pod(pod()), "www-web-1"),
        Trouble(
            "ClaimTerminating",
            "its claim is being deleted: www-web-1",
            remedy="it goes when no pod uses it any more; delete the pod, too",
        ),
    ),
    "a claim of the pod before": (
        Wait(WaitKind.FORMER_CLAIM, "web-1", None, "www-web-1"),
        Trouble(
            "ClaimOfFormerPod",
            "its claim still belongs to an earlier pod: www-web-1",
            remedy="the garbage collector removes it",
        ),
    ),
    "a pod that has just been asked for": (
        Wait(WaitKind.POD_READY, "web-1"),
        Trouble("PodPending", "it is being created"),
    ),
    "a pod": (
        Wait(WaitKind.POD_READY, "web-1", read_pod(pod())),
        Trouble("PodPending", "it is being started", NOW_S - 500),
    ),
}


@pytest.mark.parametrize(("wait", "trouble"), WAITS.values(), ids=WAITS.keys())
def test_what_is_waited_for(wait: Wait, trouble: Trouble) -> None:
    """A wait is for a pod, for a claim, or for somebody to correct the set."""
    assert trouble_in(wait, NOW_S) == trouble


AGES = [
    (-20, "", 80),
    (0, "", 60),
    (59.9, "", pytest.approx(0.1)),
    (60, "1 min", 60),
    (119, "1 min", 1),
    (120, "2 min", 120),
    (240, "4 min", 240),
    (480, "8 min", 420),
    (900, "15 min", 900),
    (1800, "30 min", 1800),
    (3600, "1 h", 3600),
    (7200, "2 h", 7200),
    (14400, "4 h", 14400),
    (28800, "8 h", 57600),
    (86400, "1 day", 86400),
    (172800, "2 days", 172800),
    (200000, "2 days", 145600),
    (86400 * 2048, "2048 days", 86400),
    (86400 * 9999, "2048 days", 86400),
]


@pytest.mark.parametrize(("age_s", "shown", "next_s"), AGES)
def test_ages(age_s: float, shown: str, next_s: float) -> None:
    """An age is shown in few steps, and the next step is known."""
    assert (show_age(age_s), next_age_step_s(age_s)) == (shown, next_s)
