"""What becomes of a pod on a pretended machine, and what its status says of it. Pure: time comes in, writes go out.

Source: the Kubernetes documentation ("Pod Lifecycle"), v1.36, and the reasons and messages of its kubelet, scheduler
and controllers. All containers of a pod fare alike.

A pod is `admitted` once; then `advance` moves it along as time passes and annotations change, and `status_write` says
what is to be written. What is remembered in between is a `Run`; `learn` makes one from a status, after a restart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from headlessdns.lab.objects import (
    Claim,
    Condition,
    Container,
    Json,
    Key,
    Now,
    Pod,
    Write,
    condition_status,
    deletion,
    status_patch,
    with_conditions,
)

START_DELAY_ANNOTATION = "lab.headlessdns.io/start-delay"
READY_ANNOTATION = "lab.headlessdns.io/ready"
FAIL_ANNOTATION = "lab.headlessdns.io/fail"

MAX_BACK_OFF = 30  # times the first pause, as 300 s are to 10 s


class Failure(Enum):
    """The trouble that the annotation `lab.headlessdns.io/fail` asks for."""

    IMAGE_PULL = "ImagePullBackOff"
    CRASH_LOOP = "CrashLoop"
    FAILED = "Failed"


_FAILURES = {failure.value: failure for failure in Failure}


class Pace(NamedTuple):
    """How long things take, in seconds.

    Attributes:
        start_s: From the admission of a pod until its containers run.
        ready_s: From then until they are ready.
        termination_s: From the deletion of a pod until its containers have ended, where its grace period is not over.
        back_off_s: The first pause before a container is started again, or its image pulled; above 0.
    """

    start_s: float = 0.5
    ready_s: float = 0.5
    termination_s: float = 1.0
    back_off_s: float = 1.0


class Wish(NamedTuple):
    """What the annotations of a pod ask for."""

    start_s: float
    ready: bool
    failure: Failure | None


def wish_of(pod: Pod, pace: Pace) -> Wish:
    """Return what the annotations ask for; what cannot be read counts as absent."""
    start_s = duration_s(pod.metadata.annotation(START_DELAY_ANNOTATION))
    return Wish(
        pace.start_s if start_s is None else start_s,
        pod.metadata.annotation(READY_ANNOTATION) != "false",
        _FAILURES.get(pod.metadata.annotation(FAIL_ANNOTATION)),
    )


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")


def duration_s(text: str) -> float | None:
    """Return a duration such as `3s`, `1m30s` or `500ms` in seconds, None for anything else."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(text))


# The life of a pod


class Stage(Enum):
    """What the containers are doing."""

    CREATING = auto()
    RUNNING = auto()
    PULLING = auto()  # in vain
    PULL_BACK_OFF = auto()  # as that, and told so
    CRASHED = auto()  # until the back-off is over
    ENDED = auto()  # for good


class Run(msgspec.Struct):
    """The containers of one pod.

    Attributes:
        stage: What they are doing.
        since_s: Since when, on the loop's clock.
        start_time: When the pod was admitted.
        addresses: Its addresses; none where all are given out.
        started_at: When the containers started last, empty where they never did.
        exit_code: With which they ended for good.
        exited_at: When.
        restarts: How often they were started again.
        last: How they ended the last time, before the present start (ContainerStateTerminated).
        terminating_s: Since when they are asked to end.
        is_unhealthy: Whether they run, and say that they are not ready.
    """

    stage: Stage
    since_s: float
    start_time: str
    addresses: tuple[str, ...]
    started_at: str = ""
    exit_code: int = 0
    exited_at: str = ""
    restarts: int = 0
    last: Json | None = None
    terminating_s: float | None = None
    is_unhealthy: bool = False

    def enter(self, stage: Stage, now: Now) -> None:
        """Begin *stage* now."""
        self.stage = stage
        self.since_s = now.s

    def start(self, now: Now) -> None:
        """Start the containers, again if they ran before."""
        self.restarts += bool(self.last)
        self.started_at = now.text
        self.enter(Stage.RUNNING, now)

    def end(self, now: Now, exit_code: int) -> None:
        """End the containers for good."""
        self.started_at = self.started_at or now.text
        self.exit_code, self.exited_at = exit_code, now.text
        self.enter(Stage.ENDED, now)

    def fail(self, stage: Stage, now: Now) -> None:
        """End the containers and go on to *stage*."""
        self.last = _terminated(1, self.started_at, now.text)
        self.enter(stage, now)


def admit(addresses: tuple[str, ...], now: Now) -> Run:
    """Begin the life of a pod."""
    return Run(Stage.CREATING, now.s, now.text, addresses)


def learn(pod: Pod, pace: Pace, now: Now) -> Run | None:
    """Return the life of a pod as its status tells it, None where it has not been admitted."""
    status = pod.status
    if not status.get("startTime"):
        return None
    addresses = tuple(one["ip"] for one in status.get("podIPs") or () if one.get("ip"))
    run = Run(Stage.CREATING, now.s - now.age_s(status["startTime"]), status["startTime"], addresses)
    first: Json = next(iter(status.get("containerStatuses") or ()), {})
    state: Json = first.get("state") or {}
    run.restarts = first.get("restartCount") or 0
    run.last = (first.get("lastState") or {}).get("terminated")
    run.started_at = (run.last or {}).get("startedAt") or ""
    reason = (state.get("waiting") or {}).get("reason")
    if running := state.get("running"):
        run.stage, run.started_at = Stage.RUNNING, running.get("startedAt") or ""
        # What was ready stays so, whatever the clocks say.
        least_s = pace.ready_s if first.get("ready") else 0.0
        run.since_s = now.s - max(now.age_s(run.started_at), least_s)
    elif reason in _PULL_STAGES:
        run.enter(_PULL_STAGES[reason], now)
    elif reason == "CrashLoopBackOff":
        run.stage, run.since_s = Stage.CRASHED, now.s - now.age_s((run.last or {}).get("finishedAt"))
    if pod.is_terminal:
        run.stage = Stage.ENDED
    return run


_PULL_STAGES = {"ErrImagePull": Stage.PULLING, "ImagePullBackOff": Stage.PULL_BACK_OFF}


def advance(run: Run, wish: Wish, pace: Pace, now: Now) -> float | None:
    """Move *run* to where it is by now, and return in how many seconds time alone will change it."""
    while True:
        stage = run.stage
        wait_s = _STEPS[stage](run, wish, pace, now)
        if run.stage is stage:
            return wait_s


def _left_s(run: Run, delay_s: float, now: Now) -> float | None:
    """Return what is left of a delay that began with the present stage, None where it is over."""
    left_s = run.since_s + delay_s - now.s
    return left_s if left_s > 0 else None


def _create(run: Run, wish: Wish, pace: Pace, now: Now) -> float | None:
    if left_s := _left_s(run, wish.start_s, now):
        return left_s
    if wish.failure is Failure.IMAGE_PULL:
        run.enter(Stage.PULLING, now)
    elif wish.failure is Failure.FAILED:
        run.end(now, 1)
    else:
        run.start(now)
    return None


def _run(run: Run, wish: Wish, pace: Pace, now: Now) -> float | None:
    if wish.failure is Failure.IMAGE_PULL:
        run.fail(Stage.PULLING, now)
    elif wish.failure is Failure.FAILED:
        run.end(now, 1)
    elif wish.failure is Failure.CRASH_LOOP and not _left_s(run, _crash_s(pace), now):
        run.fail(Stage.CRASHED, now)
    else:
        return _left_s(run, pace.ready_s, now) or (_left_s(run, _crash_s(pace), now) if wish.failure else None)
    return None


def _crash_s(pace: Pace) -> float:
    """Return how long containers run before they crash: long enough to be seen ready."""
    return pace.ready_s + pace.back_off_s


def _pull(run: Run, wish: Wish, pace: Pace, now: Now) -> float | None:
    if wish.failure is Failure.FAILED:
        run.end(now, 1)
    elif wish.failure is not Failure.IMAGE_PULL:
        run.start(now)
    elif run.stage is Stage.PULLING:
        if left_s := _left_s(run, pace.back_off_s, now):
            return left_s
        run.enter(Stage.PULL_BACK_OFF, now)
    return None


def _crashed(run: Run, wish: Wish, pace: Pace, now: Now) -> float | None:
    left_s = _left_s(run, back_off_s(run.restarts, pace), now)
    if wish.failure is Failure.IMAGE_PULL:
        run.enter(Stage.PULLING, now)
    elif wish.failure is Failure.FAILED:
        run.end(now, 1)
    elif wish.failure is None or left_s is None:
        run.start(now)
    return left_s


def _ended(run: Run, wish: Wish, pace: Pace, now: Now) -> float | None:
    return None


_STEPS = {
    Stage.CREATING: _create,
    Stage.RUNNING: _run,
    Stage.PULLING: _pull,
    Stage.PULL_BACK_OFF: _pull,
    Stage.CRASHED: _crashed,
    Stage.ENDED: _ended,
}


def back_off_s(restarts: int, pace: Pace) -> float:
    """Return the pause before containers start again that did so *restarts* times before."""
    return pace.back_off_s * min(2.0 ** min(restarts, MAX_BACK_OFF), MAX_BACK_OFF)


def terminate(pod: Pod, run: Run, pace: Pace, now: Now) -> float | None:
    """Return in how many seconds the containers of a pod that is being deleted have ended, None where they have."""
    if run.terminating_s is None:
        run.terminating_s = now.s
    grace_s = min(pod.metadata.deletion_grace_period_seconds or 0, pace.termination_s)
    left_s = run.terminating_s + grace_s - now.s
    if left_s > 0:
        return left_s
    if run.stage is not Stage.ENDED:
        run.end(now, 0)
    return None


# The status of a pod that has been admitted


class _Facts(NamedTuple):
    """What a status is made from."""

    pod: Pod
    run: Run
    pace: Pace
    ready: bool


def status_write(pod: Pod, run: Run, wish: Wish, pace: Pace, host_ip: str, now: Now) -> Write | None:
    """Return the write that tells how a pod of ours fares, None where its status tells it."""
    if pod.is_terminal:
        return None  # nothing comes after that, and it may be others who said so
    facts = _Facts(pod, run, pace, is_ready(run, wish, pace, now))
    wanted: Json = {
        "phase": _phase(run),
        "startTime": run.start_time,
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "containerStatuses": [_container(facts, container) for container in pod.spec.containers],
        "conditions": with_conditions(pod.status.get("conditions"), _conditions(facts), now),
        "reason": None,
        "message": None,
    }
    if run.addresses:
        wanted |= {"podIP": run.addresses[0], "podIPs": [{"ip": address} for address in run.addresses]}
    if pod.spec.init_containers:
        wanted["initContainerStatuses"] = [_init(facts, container) for container in pod.spec.init_containers]
    return status_patch(pod, wanted)


def is_unhealthy(run: Run, wish: Wish, pace: Pace, now: Now) -> bool:
    """Tell whether the containers run for long enough to be ready, and are not to be."""
    is_up = run.stage is Stage.RUNNING and run.terminating_s is None
    return is_up and not wish.ready and _left_s(run, pace.ready_s, now) is None


def is_ready(run: Run, wish: Wish, pace: Pace, now: Now) -> bool:
    """Tell whether the containers are ready."""
    is_up = run.stage is Stage.RUNNING and run.terminating_s is None and wish.ready
    return is_up and _left_s(run, pace.ready_s, now) is None


def _phase(run: Run) -> str:
    if run.stage is Stage.ENDED:
        return "Failed" if run.exit_code else "Succeeded"
    return "Running" if run.stage is Stage.RUNNING or run.last else "Pending"


def _conditions(facts: _Facts) -> list[Condition]:
    run = facts.run
    return [
        Condition("PodReadyToStartContainers", str(bool(run.addresses) and run.stage is not Stage.ENDED)),
        _initialized(facts),
        *_readiness(facts),
        Condition("PodScheduled", "True"),
    ]


def _initialized(facts: _Facts) -> Condition:
    waits_for = facts.pod.spec.init_containers if facts.run.stage is Stage.CREATING else None
    if not waits_for:
        return Condition("Initialized", "True")
    message = f"containers with incomplete status: [{_names(waits_for)}]"
    return Condition("Initialized", "False", "ContainersNotInitialized", message)


def _readiness(facts: _Facts) -> list[Condition]:
    """Return the conditions Ready and ContainersReady."""
    pod, run = facts.pod, facts.run
    if not facts.ready:
        reason, message = "ContainersNotReady", f"containers with unready status: [{_names(pod.spec.containers)}]"
        if run.stage is Stage.ENDED:
            reason, message = "PodFailed" if run.exit_code else "PodCompleted", ""
        return [Condition(name, "False", reason, message) for name in ("Ready", "ContainersReady")]
    gates = [gate.condition_type for gate in pod.spec.readiness_gates or ()]
    shut = [gate for gate in gates if condition_status(pod.status, gate) != "True"]
    message = "; ".join(f'readiness gate "{gate}" is not "True"' for gate in shut)
    ready = Condition("Ready", "False", "ReadinessGatesNotReady", message) if shut else Condition("Ready", "True")
    return [ready, Condition("ContainersReady", "True")]


def _names(containers: Iterable[Container]) -> str:
    return " ".join(container.name for container in containers)


def _container(facts: _Facts, container: Container) -> Json:
    run = facts.run
    status: Json = {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": facts.ready,
        "started": run.stage is Stage.RUNNING,
        "restartCount": run.restarts,
        "state": _state(facts, container),
        "lastState": {"terminated": run.last} if run.last else {},
    }
    if run.started_at:
        status |= _ids(facts.pod, container, run.restarts)
    return status


def _state(facts: _Facts, container: Container) -> Json:
    pod, run = facts.pod, facts.run
    match run.stage:
        case Stage.CREATING:
            return _waiting("PodInitializing" if pod.spec.init_containers else "ContainerCreating")
        case Stage.PULLING:
            return _waiting("ErrImagePull", _pull_error(container))
        case Stage.PULL_BACK_OFF:
            message = f'Back-off pulling image "{container.image}": ErrImagePull: {_pull_error(container)}'
            return _waiting("ImagePullBackOff", message)
        case Stage.CRASHED:
            pause = _duration(back_off_s(run.restarts, facts.pace))
            where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
            message = f"back-off {pause} restarting failed container={container.name} pod={where}"
            return _waiting("CrashLoopBackOff", message)
        case Stage.RUNNING:
            return {"running": {"startedAt": run.started_at}}
        case Stage.ENDED:
            return {"terminated": _terminated(run.exit_code, run.started_at, run.exited_at)}


def _init(facts: _Facts, container: Container) -> Json:
    """Return the status of an init container: it did its work before the others started."""
    if container.restart_policy == "Always":  # a sidecar
        return _container(facts, container)
    run = facts.run
    is_done = run.stage is not Stage.CREATING
    status: Json = {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": is_done,
        "started": False,
        "restartCount": 0,
        "state": _waiting("PodInitializing"),
        "lastState": {},
    }
    if is_done:
        status |= _ids(facts.pod, container, 0)
        status["state"] = {"terminated": _terminated(0, run.start_time, run.start_time)}
    return status


def _waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def _terminated(exit_code: int, started_at: str, finished_at: str) -> Json:
    reason = "Error" if exit_code else "Completed"
    return {"exitCode": exit_code, "reason": reason, "startedAt": started_at, "finishedAt": finished_at}


def _pull_error(container: Container) -> str:
    return f'failed to pull image "{container.image}": {pull_fault(container)}'


def pull_fault(container: Container) -> str:
    """Return what the registry says of an image that cannot be pulled."""
    return f"rpc error: code = NotFound desc = {container.image}: not found"


def _duration(seconds: float) -> str:
    """Return a pause as the messages of Kubernetes have it, such as `20s` or `1m20s`."""
    minutes, rest_s = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest_s:g}s" if minutes else f"{rest_s:g}s"


def _ids(pod: Pod, container: Container, restarts: int) -> Json:
    """Return what tells an image, and one start of a container, from all others."""
    start = f"{pod.metadata.uid}/{container.name}/{restarts}"
    return {
        "imageID": f"{container.image}@sha256:{hashlib.sha256(container.image.encode()).hexdigest()}",
        "containerID": f"lab://{hashlib.sha256(start.encode()).hexdigest()}",
    }


# Pods that are not ours to run


def claim_trouble(names: Iterable[Key], claims: Mapping[Key, Claim]) -> str:
    """Return why a pod with these claims cannot have them, in the scheduler's words; empty where it can."""
    unbound = ""
    for key in names:
        claim = claims.get(key)
        if claim is None:
            return f'persistentvolumeclaim "{key.name}" not found'
        if claim.metadata.deletion_timestamp:
            return f'persistentvolumeclaim "{key.name}" is being deleted'
        if not claim.is_bound:
            unbound = "pod has unbound immediate PersistentVolumeClaims"
    return unbound


def unschedulable_write(pod: Pod, nodes: int, trouble: str, now: Now) -> Write | None:
    """Return the write that says why none of so many *nodes* takes the pod, None where its status says it."""
    message = f"0/{nodes} nodes are available: {trouble}." if nodes else "no nodes available to schedule pods"
    wanted = [Condition("PodScheduled", "False", "Unschedulable", message)]
    return status_patch(pod, {"conditions": with_conditions(pod.status.get("conditions"), wanted, now)})


def binding(pod: Pod, node: str) -> Write:
    """Return the write that gives the pod its node."""
    metadata = {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
    return Write("POST", f"{pod.path}/binding", body)


def lost_write(pod: Pod, now: Now) -> Write | None:
    """Return the write that takes its readiness from a pod whose node is lost; nothing else about it is known."""
    if condition_status(pod.status, "Ready") != "True":
        return None
    wanted = [Condition("Ready", "False", "NodeNotReady", "Node is not ready")]
    return status_patch(pod, {"conditions": with_conditions(pod.status.get("conditions"), wanted, now)})


def collection_write(pod: Pod, now: Now) -> Write:
    """Return the next write that removes a pod whose node is gone: it ends, then it is deleted by force."""
    if not pod.is_terminal:
        wanted = [Condition("DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists")]
        conditions = with_conditions(pod.status.get("conditions"), wanted, now)
        ended = status_patch(pod, {"phase": "Failed", "conditions": conditions})
        assert ended is not None
        return ended
    return deletion(pod, grace_s=0)
