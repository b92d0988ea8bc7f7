"""The same scenario under kube-controller-manager and under our controller, on a real API server each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.reconcile import outcome
from tests.reconcile.stage import Play, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
READY, FAIL = "lab.headlessdns.io/ready", "lab.headlessdns.io/fail"


@pytest.fixture(scope="module")
def stages() -> Iterator[list[Stage]]:
    """The reference's control plane and ours."""
    try:
        reference, ours = Stage(is_reference=True), Stage(is_reference=False)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with reference, ours:
        yield [reference, ours]


def web(replicas: int = 3, *, claims: bool = False, **spec: Any) -> Json:
    """Return a StatefulSet `web`."""
    labels = {"app": "web"}
    container: Json = {"name": "main", "image": "example.org/web:1"}
    template: Json = {
        "metadata": {"labels": labels, "annotations": {"note": "a < b & c > d"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    manifest: Json = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "annotations": {"team": "storage"}},
        "spec": {
            "replicas": replicas,
            "serviceName": "nginx",
            "selector": {"matchLabels": labels},
            "template": template,
            **copy.deepcopy(spec),
        },
    }
    if claims:
        container["volumeMounts"] = [{"name": "www", "mountPath": "/www"}]
        manifest["spec"]["volumeClaimTemplates"] = [
            {
                "metadata": {"name": "www", "labels": {"tier": "disk"}},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ]
    return manifest


PARALLEL = {"podManagementPolicy": "Parallel"}
ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}


def partition(ordinal: int) -> Json:
    """Return a rolling update from *ordinal* on."""
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": ordinal}}}


def retention(when_deleted: str, when_scaled: str) -> Json:
    """Return a policy for claims."""
    return {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted, "whenScaled": when_scaled}}


# Scenarios


def create(play: Play) -> None:
    play.create(web())
    play.wait_ready(3)


def create_parallel(play: Play) -> None:
    play.create(web(5, **PARALLEL))
    play.wait_ready(5)


def create_with_claims(play: Play) -> None:
    play.create(web(claims=True))
    play.wait_ready(3)


def scale(play: Play) -> None:
    play.create(web(2))
    play.wait_ready(2)
    play.scale(5)
    play.wait_ready(5)
    play.scale(1)
    play.wait_ready(1)
    play.scale(0)
    play.wait_ready(0)


def scale_parallel(play: Play) -> None:
    play.create(web(6, **PARALLEL))
    play.wait_ready(6)
    play.scale(2)
    play.wait_ready(2)
    play.scale(4)
    play.wait_ready(4)


def claims_are_found_again(play: Play) -> None:
    play.create(web(3, claims=True))
    play.wait_ready(3)
    play.scale(1)
    play.wait_ready(1)
    play.scale(3)
    play.wait_ready(3)


def pods_deleted(play: Play) -> None:
    play.create(web(4))
    play.wait_ready(4)
    play.delete_pod("web-1")
    play.wait(lambda: "gone web-1" in play.lines, "web-1 to be gone")
    play.wait_ready(4)
    play.delete_pod("web-3")
    play.wait(lambda: "gone web-3" in play.lines, "web-3 to be gone")
    play.wait_ready(4)


def all_pods_deleted(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    for name in ("web-2", "web-1", "web-0"):
        play.delete_pod(name)
    play.wait(lambda: {"gone web-0", "gone web-1", "gone web-2"} <= set(play.lines), "all to be gone")
    play.wait_ready(3)


def rolling_update(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    play.image("example.org/web:2")
    play.wait_rolled_out(3)


def rolling_update_parallel(play: Play) -> None:
    play.create(web(4, **PARALLEL))
    play.wait_ready(4)
    play.image("example.org/web:2")
    play.wait_rolled_out(4)


def rolling_update_with_scaling(play: Play) -> None:
    play.create(web(3, claims=True))
    play.wait_ready(3)
    patch = {"spec": {"replicas": 5, "template": {"metadata": {"labels": {"app": "web", "release": "2"}}}}}
    play.patch("statefulsets", "web", patch)
    play.wait_rolled_out(5)


def rollback(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    play.image("example.org/web:2")
    play.wait_rolled_out(3)
    play.cluster.kubectl("rollout", "undo", "statefulset/web", "-n", play.namespace)
    play.wait_rolled_out(3)


def rollout_restart(play: Play) -> None:
    play.create(web(2))
    play.wait_ready(2)
    annotations = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    play.patch("statefulsets", "web", {"spec": {"template": {"metadata": {"annotations": annotations}}}})
    play.wait_rolled_out(2)


def canary(play: Play) -> None:
    play.create(web(4, **partition(3)))
    play.wait_ready(4)
    play.image("example.org/web:2")
    play.wait_status(updatedReplicas=1, readyReplicas=4)
    play.delete_pod("web-1")  # comes back old
    play.wait(lambda: "gone web-1" in play.lines, "web-1 to be gone")
    play.wait_ready(4)
    play.patch("statefulsets", "web", {"spec": partition(2)})
    play.wait_status(updatedReplicas=2, readyReplicas=4)
    play.wait_quiet()
    play.patch("statefulsets", "web", {"spec": partition(0)})
    play.wait_rolled_out(4)


def partition_beyond_the_set(play: Play) -> None:
    play.create(web(2, **partition(10)))
    play.wait_ready(2)
    play.image("example.org/web:2")
    play.wait_status(readyReplicas=2)
    play.scale(3)
    play.wait_ready(3)


def on_delete(play: Play) -> None:
    play.create(web(3, **ON_DELETE))
    play.wait_ready(3)
    play.image("example.org/web:2")
    play.wait_status(readyReplicas=3)
    play.wait_quiet()
    play.delete_pod("web-1")
    play.wait(lambda: "gone web-1" in play.lines, "web-1 to be gone")
    play.wait_status(updatedReplicas=1, readyReplicas=3)
    play.scale(4)
    play.wait_status(updatedReplicas=2, readyReplicas=4)


def retention_policy(when_deleted: str, when_scaled: str) -> Callable[[Play], None]:
    def scenario(play: Play) -> None:
        play.create(web(3, claims=True, **retention(when_deleted, when_scaled)))
        play.wait_ready(3)
        play.wait_quiet()
        play.scale(1)
        play.wait_ready(1)
        left = 1 if when_scaled == "Delete" else 3
        play.wait(lambda: len(play.all("persistentvolumeclaims")) == left, "claims to go or stay")
        play.scale(2)
        play.wait_ready(2)
        play.wait_quiet()
        play.leave_order()
        play.cluster.request("DELETE", play.path("statefulsets", "web"))
        play.wait(lambda: not play.all("pods"), "the pods to go with their set")
        left = 0 if when_deleted == "Delete" else (2 if when_scaled == "Delete" else 3)
        play.wait(lambda: len(play.all("persistentvolumeclaims")) == left, "claims to go or stay")

    scenario.__name__ = f"retention_{when_deleted}_{when_scaled}".lower()
    return scenario


def retention_changed(play: Play) -> None:
    play.create(web(2, claims=True))
    play.wait_ready(2)
    for policy in (("Delete", "Retain"), ("Retain", "Delete"), ("Delete", "Delete"), ("Retain", "Retain")):
        owners = 2 if policy[0] == "Delete" else 0
        play.patch("statefulsets", "web", {"spec": retention(*policy)})

        def has_owners(owners: int = owners) -> bool:
            claims = play.all("persistentvolumeclaims")
            return sum(len(claim["metadata"].get("ownerReferences", ())) for claim in claims) == owners

        play.wait(has_owners, f"the owners of {policy}")


def start_ordinal(play: Play) -> None:
    play.create(web(3, ordinals={"start": 2}))
    play.wait_ready(3)
    play.patch("statefulsets", "web", {"spec": {"ordinals": {"start": 4}}})
    play.wait_pods("web-4", "web-5", "web-6")
    play.patch("statefulsets", "web", {"spec": {"ordinals": None}})
    play.wait_pods("web-0", "web-1", "web-2")


def unready_pod_halts(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    play.annotate_pod("web-1", READY, "false")
    play.wait_status(readyReplicas=2)
    play.scale(5)
    play.wait_quiet()
    play.scale(2)
    play.wait_quiet()
    play.annotate_pod("web-1", READY, None)
    play.wait_ready(2)


def unready_pod_does_not_halt_parallel(play: Play) -> None:
    play.create(web(3, **PARALLEL))
    play.wait_ready(3)
    play.annotate_pod("web-1", READY, "false")
    play.wait_status(readyReplicas=2)
    play.scale(5)
    play.wait_status(replicas=5, readyReplicas=4)
    play.scale(1)
    play.wait_ready(1)


def lower_pod_deleted_while_higher_is_unready(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    play.annotate_pod("web-2", READY, "false")
    play.wait_status(readyReplicas=2)
    play.delete_pod("web-0")
    play.wait(lambda: "gone web-0" in play.lines, "web-0 to be gone")
    play.wait_status(replicas=3, readyReplicas=2)


def min_ready_seconds(play: Play) -> None:
    play.create(web(2, minReadySeconds=2))
    play.wait_ready(2)
    play.image("example.org/web:2")
    play.wait_rolled_out(2)
    play.wait_ready(2)


def failed_pod(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    play.annotate_pod("web-1", FAIL, "Failed")
    play.wait(lambda: "gone web-1" in play.lines, "web-1 to be replaced")
    play.wait_ready(3)


def lost_node(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    node = next(pod["spec"]["nodeName"] for pod in play.all("pods") if pod["metadata"]["name"] == "web-1")
    play.stage.await_(play.stage.kubelet.lose_node(node))
    try:
        play.delete_pod("web-1")
        play.wait(lambda: "delete web-1" in play.lines, "the deletion to begin")
        play.wait_quiet()
        assert "gone web-1" not in play.lines
        play.delete_pod("web-1", grace_s=0)
        play.wait(lambda: play.lines.count("create web-1 " + play.status()["updateRevision"]) == 2, "a new web-1")
    finally:
        play.stage.await_(play.stage.kubelet.recover_node(node))
    play.wait_ready(3)


def orphaned_and_adopted(play: Play) -> None:
    play.create(web(3))
    play.wait_ready(3)
    play.cluster.kubectl("delete", "statefulset", "web", "--cascade=orphan", "-n", play.namespace)
    play.wait(
        lambda: all("ownerReferences" not in pod["metadata"] for pod in play.all("pods")), "the pods to be orphans"
    )
    play.create(web(3))
    play.wait_ready(3)
    play.wait_quiet()


def orphaned_and_adopted_with_another_template(play: Play) -> None:
    play.create(web(2))
    play.wait_ready(2)
    play.cluster.kubectl("delete", "statefulset", "web", "--cascade=orphan", "-n", play.namespace)
    play.wait(
        lambda: all("ownerReferences" not in pod["metadata"] for pod in play.all("pods")), "the pods to be orphans"
    )
    other = web(2)
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "example.org/web:9"
    play.create(other)
    play.wait_rolled_out(2)


def pod_relabelled(play: Play) -> None:
    play.create(web(2))
    play.wait_ready(2)
    play.patch("pods", "web-1", {"metadata": {"labels": {"app": "elsewhere"}}})
    play.wait(lambda: "ownerReferences" not in play.get("pods", "web-1")["metadata"], "web-1 to be given up")
    play.wait_status(replicas=1)
    play.patch("pods", "web-1", {"metadata": {"labels": {"app": "web"}}})
    play.wait_ready(2)


def identity_label_mended(play: Play) -> None:
    play.create(web(2))
    play.wait_ready(2)
    play.patch("pods", "web-1", {"metadata": {"labels": {"statefulset.kubernetes.io/pod-name": "other"}}})
    label = "statefulset.kubernetes.io/pod-name"
    play.wait(lambda: play.get("pods", "web-1")["metadata"]["labels"][label] == "web-1", "the label to be mended")


def history_limit(play: Play) -> None:
    play.create(web(1, revisionHistoryLimit=1))
    play.wait_ready(1)
    for version in range(2, 6):
        play.image(f"example.org/web:{version}")
        play.wait_rolled_out(1)
    play.wait(lambda: len(play.all("controllerrevisions")) == 2, "old revisions to be forgotten")


ORDERED: list[Callable[[Play], None]] = [
    create,
    create_with_claims,
    scale,
    claims_are_found_again,
    pods_deleted,
    all_pods_deleted,
    rolling_update,
    rolling_update_with_scaling,
    rollback,
    rollout_restart,
    canary,
    partition_beyond_the_set,
    on_delete,
    retention_policy("Retain", "Retain"),
    retention_policy("Delete", "Retain"),
    retention_policy("Retain", "Delete"),
    retention_policy("Delete", "Delete"),
    retention_changed,
    start_ordinal,
    unready_pod_halts,
    lower_pod_deleted_while_higher_is_unready,
    min_ready_seconds,
    failed_pod,
    lost_node,
    orphaned_and_adopted,
    orphaned_and_adopted_with_another_template,
    pod_relabelled,
    identity_label_mended,
    history_limit,
]
BURST: list[Callable[[Play], None]] = [
    create_parallel,
    scale_parallel,
    rolling_update_parallel,
    unready_pod_does_not_halt_parallel,
]


def run(stage: Stage, scenario: Callable[[Play], None], attempt: int) -> tuple[list[str], Json]:
    """Return what became of the pods, and what there is at the end."""
    play = Play(stage, f"{scenario.__name__.replace('_', '-')}-{attempt}")
    scenario(play)
    play.wait_quiet()
    return play.decisions, settled(play)


def settled(play: Play) -> Json:
    """Return the outcome once it stays the same: statuses and events come a moment after the pods."""
    seen: list[Json] = []

    def is_settled() -> bool:
        seen.append(outcome.of(play))
        return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3]

    wait_until(is_settled, f"{play.namespace} to settle", 30, step_s=0.25)
    return seen[-1]


def on_both(stages: list[Stage], scenario: Callable[[Play], None], *, in_order: bool) -> tuple[Json, Json]:
    """Run *scenario* on both stages at once, and return what to expect and what was found.

    Which of two events that cross comes first is chance, on either side. So a difference counts when it is there again.
    """
    for attempt in (1, 2):
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda stage, number=attempt: run(stage, scenario, number), stages))
        (expected_lines, expected), (lines, found) = results
        found, expected = outcome.comparable(found, expected)
        expected["course"] = expected_lines if in_order else sorted(expected_lines)
        found["course"] = lines if in_order else sorted(lines)
        if found == expected:
            break
    return expected, found


@pytest.mark.parametrize("scenario", ORDERED, ids=lambda scenario: scenario.__name__.replace("_", "-"))
def test_the_course_is_the_same(stages: list[Stage], scenario: Callable[[Play], None]) -> None:
    """Pods are created and deleted in the same order, and all that is left is equal."""
    expected, found = on_both(stages, scenario, in_order=True)
    for part in ("course", *expected):
        assert found[part] == expected[part], part


@pytest.mark.parametrize("scenario", BURST, ids=lambda scenario: scenario.__name__.replace("_", "-"))
def test_the_outcome_of_parallel_sets_is_the_same(stages: list[Stage], scenario: Callable[[Play], None]) -> None:
    """Where pods need not wait for each other, the same are created and deleted, and all that is left is equal."""
    expected, found = on_both(stages, scenario, in_order=False)
    for part in ("course", *expected):
        assert found[part] == expected[part], part
