"""What is told of pods and nodes, as values. Texts are written out: they are those of Kubernetes."""

from __future__ import annotations

import pytest

from headlessdns.lab.nodes import node_write
from headlessdns.lab.objects import Json, Node
from headlessdns.lab.podevents import (
    Happening,
    entered,
    lost,
    of_node,
    scheduled,
    stopping,
    unhealthy,
    unscheduled,
)
from headlessdns.lab.pods import Run, Stage, unschedulable_write
from tests.lab.making import at, node, pod

STARTED = [
    'kubelet Normal Pulled spec.containers{nginx} Container image "nginx:1" already present on machine and can be '
    "accessed by the pod",
    "kubelet Normal Created spec.containers{nginx} Container created",
    "kubelet Normal Started spec.containers{nginx} Container started",
]
INIT = [{"name": "page", "image": "busybox"}]
INIT_STARTED = [
    'kubelet Normal Pulled spec.initContainers{page} Container image "busybox" already present on machine and can be '
    "accessed by the pod",
    "kubelet Normal Created spec.initContainers{page} Container created",
    "kubelet Normal Started spec.initContainers{page} Container started",
]
PULL_FAILED = [
    'kubelet Normal Pulling spec.containers{nginx} Pulling image "nginx:1"',
    'kubelet Warning Failed spec.containers{nginx} Failed to pull image "nginx:1": rpc error: code = NotFound desc = '
    "nginx:1: not found",
    "kubelet Warning Failed spec.containers{nginx} Error: ErrImagePull",
]
PULL_BACK_OFF = [
    'kubelet Normal BackOff spec.containers{nginx} Back-off pulling image "nginx:1"',
    "kubelet Warning Failed spec.containers{nginx} Error: ImagePullBackOff",
]
CRASHED = [
    "kubelet Warning BackOff spec.containers{nginx} Back-off restarting failed container nginx in pod web-0_shop(u1)",
]


def lines(*news: Happening) -> list[str]:
    return [" ".join(part for part in (one[0], one[1], one[2], one.field_path, one.message) if part) for one in news]


@pytest.mark.parametrize(
    ("before", "stage", "expected"),
    [
        pytest.param(Stage.CREATING, Stage.CREATING, [], id="nothing new"),
        pytest.param(Stage.CREATING, Stage.RUNNING, STARTED, id="started"),
        pytest.param(Stage.CRASHED, Stage.RUNNING, STARTED, id="started again"),
        pytest.param(Stage.PULL_BACK_OFF, Stage.RUNNING, STARTED, id="pulled at last"),
        pytest.param(Stage.CREATING, Stage.PULLING, PULL_FAILED, id="no image"),
        pytest.param(Stage.RUNNING, Stage.PULLING, PULL_FAILED, id="no image any more"),
        pytest.param(Stage.PULLING, Stage.PULL_BACK_OFF, PULL_BACK_OFF, id="no image for long"),
        pytest.param(Stage.RUNNING, Stage.CRASHED, CRASHED, id="crashed"),
        pytest.param(Stage.CREATING, Stage.ENDED, STARTED, id="failed at once"),
        pytest.param(Stage.RUNNING, Stage.ENDED, [], id="failed"),
    ],
)
def test_stages(before: Stage, stage: Stage, expected: list[str]) -> None:
    """What containers go through is told for each of them, as a kubelet does."""
    run = Run(stage, 0, "", (), exit_code=int(stage is Stage.ENDED))
    assert lines(*entered(pod(), before, run)) == expected


@pytest.mark.parametrize(
    ("before", "stage", "expected"),
    [
        pytest.param(Stage.CREATING, Stage.RUNNING, [*INIT_STARTED, *STARTED], id="started"),
        pytest.param(Stage.CREATING, Stage.PULLING, [*INIT_STARTED, *PULL_FAILED], id="no image"),
        pytest.param(Stage.CRASHED, Stage.RUNNING, STARTED, id="started again"),
    ],
)
def test_init_containers(before: Stage, stage: Stage, expected: list[str]) -> None:
    """Init containers are told of before the others, once."""
    assert lines(*entered(pod(init_containers=INIT), before, Run(stage, 0, "", ()))) == expected


def test_a_pod_that_ends_before_it_has_run() -> None:
    """Of containers that never ran nothing is told when they are asked to end."""
    assert entered(pod(), Stage.PULLING, Run(Stage.ENDED, 0, "", ())) == []


def test_the_other_news() -> None:
    """A pod gets its node or none, is not ready, is asked to end, and is heard of no more."""
    write = unschedulable_write(pod(), 3, "3 node(s) had untolerated taint(s)", at(0))
    assert write is not None
    assert lines(
        scheduled(pod(), "node-1"),
        unscheduled(write),
        *unhealthy(pod()),
        *stopping(pod()),
        lost(),
    ) == [
        "default-scheduler Normal Scheduled Successfully assigned shop/web-0 to node-1",
        "default-scheduler Warning FailedScheduling 0/3 nodes are available: 3 node(s) had untolerated taint(s).",
        "kubelet Warning Unhealthy spec.containers{nginx} Readiness probe failed: the annotation "
        'lab.headlessdns.io/ready is "false"',
        "kubelet Normal Killing spec.containers{nginx} Stopping container nginx",
        "node-controller Warning NodeNotReady Node is not ready",
    ]


TAINTS = [
    {"key": "node.kubernetes.io/unreachable", "effect": effect, "timeAdded": "2026-01-02T12:00:00Z"}
    for effect in ("NoExecute", "NoSchedule")
]
LOST = {"lab.headlessdns.io/lost": "true"}


def ready(status: str) -> Json:
    return {"conditions": [{"type": "Ready", "status": status}]}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param(node(), ["kubelet Normal NodeReady Node node-1 status is now: NodeReady"], id="new"),
        pytest.param(
            node(ready("Unknown")), ["kubelet Normal NodeReady Node node-1 status is now: NodeReady"], id="back"
        ),
        pytest.param(node(ready("True")), [], id="well"),
        pytest.param(node(ready("True"), annotations=LOST), [], id="taints come first"),
        pytest.param(
            node(ready("True"), annotations=LOST, taints=TAINTS),
            ["node-controller Normal NodeNotReady Node node-1 status is now: NodeNotReady"],
            id="lost",
        ),
        pytest.param(node(ready("Unknown"), annotations=LOST, taints=TAINTS), [], id="still lost"),
    ],
)
def test_nodes(there: Node, expected: list[str]) -> None:
    """A node is told of when it becomes ready, and when it is heard of no more, with the write that says so."""
    write = node_write("node-1", 0, there, at(0))
    assert write is not None
    assert lines(*of_node(there, write)) == expected
