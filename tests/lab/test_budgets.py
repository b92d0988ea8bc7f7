"""The status of PodDisruptionBudgets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from headlessdns.lab import Lab
from headlessdns.lab.budgets import Budget, Owner, Pod, status_write
from headlessdns.lab.objects import Now
from tests.conftest import skip_or_fail
from tests.lab.tutorials.stage import LabCluster
from tests.peers import PeerMissingError

Json = dict[str, Any]
NOW = Now(0.0, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
MINE = {"matchLabels": {"app": "zk"}}
COUNTS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")


def budget(status: Json | None = None, **spec: Any) -> Budget:
    metadata = {"name": "b", "namespace": "shop", "uid": "b-uid", "resourceVersion": "7", "generation": 2}
    return msgspec.convert({"metadata": metadata, "spec": {"selector": MINE, **spec}, "status": status or {}}, Budget)


def pod(name: str, *, ready: bool = True, owner: str = "zk", app: str = "zk", gone: bool = False) -> Pod:
    metadata: Json = {"name": name, "namespace": "shop", "labels": {"app": app}}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True, "kind": "StatefulSet", "name": owner}]
    if gone:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:00Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return msgspec.convert({"metadata": metadata, "status": {"conditions": conditions}}, Pod)


def owners(**replicas: int) -> dict[str, Owner]:
    return {
        uid: msgspec.convert({"metadata": {"name": uid, "uid": uid}, "spec": {"replicas": count}}, Owner)
        for uid, count in replicas.items()
    }


THREE = [pod("zk-0"), pod("zk-1"), pod("zk-2")]


@pytest.mark.parametrize(
    ("spec", "pods", "counts"),
    [
        pytest.param({"minAvailable": 2}, THREE, (3, 2, 1, 3), id="a number that is to stay"),
        pytest.param({"minAvailable": 3}, THREE, (3, 3, 0, 3), id="none may go"),
        pytest.param({"minAvailable": "50%"}, THREE, (3, 2, 1, 3), id="half of three is two"),
        pytest.param({"maxUnavailable": 1}, THREE, (3, 2, 1, 3), id="one may be away"),
        pytest.param({"maxUnavailable": "34%"}, THREE, (3, 1, 2, 3), id="a share is rounded up"),
        pytest.param({"maxUnavailable": 5}, THREE, (3, 0, 3, 3), id="more than there are"),
        pytest.param({"maxUnavailable": 1}, THREE[:2], (2, 2, 0, 3), id="the owner wants three"),
        pytest.param({"minAvailable": 1}, THREE[:2], (2, 1, 1, 2), id="a number counts the pods that are there"),
        pytest.param({"minAvailable": 0}, [], (0, 0, 0, 0), id="no pods"),
        pytest.param({"maxUnavailable": 1}, [], (0, 0, 0, 0), id="no pods, no owner"),
        pytest.param(
            {"maxUnavailable": 1}, [*THREE[:2], pod("zk-2", ready=False)], (2, 2, 0, 3), id="one is not ready"
        ),
        pytest.param({"maxUnavailable": 1}, [*THREE[:2], pod("zk-2", gone=True)], (2, 2, 0, 3), id="one is going"),
        pytest.param({"maxUnavailable": 1}, [*THREE, pod("x", app="web")], (3, 2, 1, 3), id="others do not count"),
        pytest.param({"minAvailable": 1}, [pod("zk-0", owner="")], (1, 1, 0, 1), id="a pod of nobody, by number"),
        pytest.param({"maxUnavailable": 1}, [pod("zk-0", owner="")], (1, 0, 0, 0), id="a pod of nobody has no scale"),
        pytest.param({"minAvailable": 2, "selector": {}}, [*THREE, pod("x", app="web")], (4, 2, 2, 4), id="all pods"),
        pytest.param({"minAvailable": 0, "selector": None}, THREE, (0, 0, 0, 0), id="no selector, no pods"),
    ],
)
def test_counts(spec: Json, pods: list[Pod], counts: tuple[int, ...]) -> None:
    """What is there, what is to stay, what may go, what is expected."""
    write = status_write(budget(**spec), pods, owners(zk=3), NOW)
    assert write is not None
    assert tuple(write.body["status"][name] for name in COUNTS) == counts


def test_the_whole_status() -> None:
    """The status says what it was worked out from and what may go; then nothing is left to write."""
    one = budget(minAvailable=2)
    write = status_write(one, THREE, owners(zk=3), NOW)
    assert write is not None
    assert (write.method, write.path) == ("PATCH", "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/b/status")
    assert write.body["metadata"] == {"uid": "b-uid", "resourceVersion": "7"}
    assert write.body["status"] == {
        "currentHealthy": 3,
        "desiredHealthy": 2,
        "disruptionsAllowed": 1,
        "expectedPods": 3,
        "observedGeneration": 2,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": "True",
                "reason": "SufficientPods",
                "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
                "observedGeneration": 2,
            }
        ],
    }
    later = Now(9.0, datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC))
    assert status_write(budget(write.body["status"], minAvailable=2), THREE, owners(zk=3), later) is None
    changed = status_write(budget(write.body["status"], minAvailable=2), THREE[:2], owners(zk=3), later)
    assert changed is not None
    condition = changed.body["status"]["conditions"][0]
    assert (condition["status"], condition["reason"], condition["lastTransitionTime"]) == (
        "False",
        "InsufficientPods",
        "2026-01-02T03:05:05Z",
    )


def test_an_unknown_owner() -> None:
    """Where the owner of a pod is not known nothing may go, and the condition says why."""
    write = status_write(budget(maxUnavailable=1), THREE, {}, NOW)
    assert write is not None
    status = write.body["status"]
    assert status["disruptionsAllowed"] == 0
    condition = status["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "SyncFailed")
    assert condition["message"] == 'found no controllers for pod "zk-0"'


def test_pods_that_are_about_to_go() -> None:
    """A pod that was noted for eviction does not count for two minutes; then it does again."""
    noted = {
        "disruptedPods": {
            "zk-0": "2026-01-02T03:03:05Z",
            "zk-1": "2026-01-02T03:02:04Z",
            "zk-9": "2026-01-02T03:04:00Z",
        }
    }
    write = status_write(budget(noted, minAvailable=1), THREE, owners(zk=3), NOW)
    assert write is not None
    assert write.body["status"]["currentHealthy"] == 2
    assert write.body["status"]["disruptedPods"] == {"zk-0": "2026-01-02T03:03:05Z"}


# Beside the reference


SETS = "/apis/apps/v1/namespaces/default/statefulsets"


def _set(name: str, replicas: int) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def _budget(name: str, app: str, **spec: Any) -> Json:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
    }


# Of several budgets for one pod the reference looks at one only.
BUDGETS: dict[str, Json] = {
    "number": {"minAvailable": 2},
    "share": {"minAvailable": "50%"},
    "away": {"maxUnavailable": 1},
}


def _statuses(lab: Lab) -> dict[str, Json]:
    """Return each budget's status without its times."""
    found = {}
    for one in lab.request("GET", "/apis/policy/v1/namespaces/default/poddisruptionbudgets")["items"]:
        status = one["status"]
        for condition in status.get("conditions", ()):
            del condition["lastTransitionTime"]
        found[one["metadata"]["name"]] = status
    return found


def test_beside_the_reference() -> None:
    """The real disruption controller and ours write the same: all ready, one not ready, scaled, the set gone."""
    try:
        reference = LabCluster(["budgets"], programs=["kube-controller-manager"])
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with reference, Lab() as ours:
        reference.start_budgets()
        theirs = reference.lab
        both = (theirs, ours)
        for lab in both:
            budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
            lab.request("POST", budgets, _budget("nobody", "none", maxUnavailable="20%"))
            for name, spec in BUDGETS.items():
                lab.request("POST", SETS, _set(name, 3))
                lab.request("POST", budgets, _budget(name, name, **spec))
        for lab in both:
            for name in BUDGETS:
                lab.wait(name)

        def compare(**expected: int) -> None:
            def agree() -> bool:
                found = _statuses(ours)
                return found == _statuses(theirs) and all(
                    found[name].get("disruptionsAllowed") == allowed for name, allowed in expected.items()
                )

            ours.wait(agree)

        compare(number=1, share=1, away=1, nobody=0)
        for lab in both:
            for name in BUDGETS:
                lab.set_ready(f"{name}-1", False)
        compare(number=0, share=0, away=0, nobody=0)
        for lab in both:
            for name in BUDGETS:
                lab.set_ready(f"{name}-1", True)
                lab.scale(name, 5)
        compare(number=3, share=2, away=1, nobody=0)
        for lab in both:
            for name in BUDGETS:
                lab.request("DELETE", f"{SETS}/{name}")
        compare(number=0, share=0, away=0, nobody=0)
