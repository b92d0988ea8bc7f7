"""What `kubectl describe` tells of a pod and its node: the events of kubelet, scheduler and node controller. Pure.

Reasons and messages are those of v1.36 (`pkg/kubelet/events`, `images`, `kuberuntime` and `prober`, `pkg/scheduler`,
`pkg/controller/util/node`). The reference says the same again and again while trouble lasts, here it is said when it
begins; and images are always there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headlessdns.lab.nodes import is_lost
from headlessdns.lab.objects import Container, Node, Pod, Write, condition_status
from headlessdns.lab.pods import READY_ANNOTATION, Run, Stage, pull_fault

NORMAL, WARNING = "Normal", "Warning"
KUBELET, SCHEDULER, NODE_CONTROLLER = "kubelet", "default-scheduler", "node-controller"
_TAINT_CONTROLLER = "taint-eviction-controller"


class Happening(NamedTuple):
    """What is to be told of a pod or a node.

    Attributes:
        component: Who tells it.
        type: Normal or Warning.
        field_path: The container that it is about; empty for all of the object.
    """

    component: str
    type: str
    reason: str
    message: str
    field_path: str = ""


def scheduled(pod: Pod, node: str) -> Happening:
    """Tell that a pod got its node."""
    message = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
    return Happening(SCHEDULER, NORMAL, "Scheduled", message)


def unscheduled(write: Write) -> Happening:
    """Tell why a pod gets no node, as the *write* of its status does."""
    conditions = write.body["status"]["conditions"]
    message = next(one["message"] for one in conditions if one["type"] == "PodScheduled")
    return Happening(SCHEDULER, WARNING, "FailedScheduling", message)


def lost() -> Happening:
    """Tell that nothing is known of a pod any more."""
    return Happening(NODE_CONTROLLER, WARNING, "NodeNotReady", "Node is not ready")


def evicted(pod: Pod) -> Happening:
    """Tell that a taint drives a pod from its node."""
    message = f"Marking for deletion Pod {pod.metadata.namespace}/{pod.metadata.name}"
    return Happening(_TAINT_CONTROLLER, NORMAL, "TaintManagerEviction", message)


def entered(pod: Pod, before: Stage, run: Run) -> list[Happening]:
    """Tell what containers went through that were at the stage *before*."""
    if run.stage is before:
        return []
    news: list[Happening] = []
    if before is Stage.CREATING:
        news += _started("spec.initContainers", pod.spec.init_containers or ())
    match run.stage:
        case Stage.RUNNING:
            news += _started("spec.containers", pod.spec.containers)
        case Stage.ENDED if before is not Stage.RUNNING and run.exit_code:  # they ran for no time
            news += _started("spec.containers", pod.spec.containers)
        case Stage.PULLING:
            for container in pod.spec.containers:
                image = container.image
                news += [
                    _of(container, NORMAL, "Pulling", f'Pulling image "{image}"'),
                    _of(container, WARNING, "Failed", f'Failed to pull image "{image}": {pull_fault(container)}'),
                    _of(container, WARNING, "Failed", "Error: ErrImagePull"),
                ]
        case Stage.PULL_BACK_OFF:
            for container in pod.spec.containers:
                news += [
                    _of(container, NORMAL, "BackOff", f'Back-off pulling image "{container.image}"'),
                    _of(container, WARNING, "Failed", "Error: ImagePullBackOff"),
                ]
        case Stage.CRASHED:
            where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
            for container in pod.spec.containers:
                message = f"Back-off restarting failed container {container.name} in pod {where}"
                news.append(_of(container, WARNING, "BackOff", message))
    return news


def _started(path: str, containers: Iterable[Container]) -> list[Happening]:
    """Tell that containers were made and started, one after the other."""
    news: list[Happening] = []
    for container in containers:
        present = f'Container image "{container.image}" already present on machine and can be accessed by the pod'
        news += [
            _of(container, NORMAL, "Pulled", present, path),
            _of(container, NORMAL, "Created", "Container created", path),
            _of(container, NORMAL, "Started", "Container started", path),
        ]
    return news


def unhealthy(pod: Pod) -> list[Happening]:
    """Tell that the containers of a pod are not ready although they run."""
    message = f'Readiness probe failed: the annotation {READY_ANNOTATION} is "false"'
    return [_of(container, WARNING, "Unhealthy", message) for container in pod.spec.containers]


def stopping(pod: Pod) -> list[Happening]:
    """Tell that containers that run are asked to end."""
    return [
        _of(container, NORMAL, "Killing", f"Stopping container {container.name}") for container in pod.spec.containers
    ]


def _of(container: Container, type: str, reason: str, message: str, path: str = "spec.containers") -> Happening:
    return Happening(KUBELET, type, reason, message, f"{path}{{{container.name}}}")


def of_node(node: Node, write: Write) -> list[Happening]:
    """Tell that a node is heard of no more, or is again, where *write* says that in its status."""
    if "status" not in write.body:
        return []
    name, was_ready = node.metadata.name, condition_status(node.status, "Ready") == "True"
    if is_lost(node) and was_ready:
        return [Happening(NODE_CONTROLLER, NORMAL, "NodeNotReady", f"Node {name} status is now: NodeNotReady")]
    if not is_lost(node) and not was_ready:
        return [Happening(KUBELET, NORMAL, "NodeReady", f"Node {name} status is now: NodeReady")]
    return []
