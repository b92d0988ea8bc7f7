"""Actions and waits in words: a row for each, as `--dry-run` and `headlessdns plan` print them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest

from headlessdns.controller import actions, describe
from headlessdns.controller.actions import Cause, Wait, WaitKind
from headlessdns.controller.model import OwnerReference
from headlessdns.controller.plan import Plan
from tests.controller.support import (
    NOW_S,
    claim,
    claim_template,
    planned,
    pods,
    raw_pod,
    read_pod,
    revision,
    time_at,
    web,
)

if TYPE_CHECKING:
    from headlessdns.controller.actions import Action

(WEB_1,) = pods("1 v1 was-ready")
SET = OwnerReference("apps/v1", "StatefulSet", "web", "uid-of-web", controller=True)
POD = OwnerReference("v1", "Pod", "web-1", "uid-of-web-1", controller=True)


def manifest(*volumes: dict[str, Any]) -> dict[str, Any]:
    labels = {"controller-revision-hash": "web-6c5f8b9d7c"}
    return {"metadata": {"name": "web-1", "labels": labels}, "spec": {"volumes": list(volumes)}}


def volume(name: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-web-1"}}


LINES: list[tuple[Action, str]] = [
    (actions.AdoptRevision(revision("web-v1", 1)), "adopt ControllerRevision web-v1: nobody owns it"),
    (actions.AdoptPod(WEB_1), "adopt Pod web-1: nobody owns it, and its name and labels are the set's"),
    (actions.ReleasePod(WEB_1), "give up Pod web-1: its name or its labels are not the set's any more"),
    (
        actions.CreateRevision({"metadata": {"name": "web-6c5f8b9d7c"}, "revision": 2}),
        "create ControllerRevision web-6c5f8b9d7c (number 2)",
    ),
    (
        actions.RenumberRevision(revision("web-v1", 1), 4),
        "make ControllerRevision web-v1 the newest again (number 4)",
    ),
    (
        actions.DeleteRevision(revision("web-v1", 1)),
        "delete ControllerRevision web-v1: it is beyond the history limit",
    ),
    (
        actions.CreateClaim("web-1", {**claim_template(), "metadata": {"name": "www-web-1"}}),
        "create PersistentVolumeClaim www-web-1 (1Gi) for Pod web-1",
    ),
    (
        actions.CreateClaim("web-1", {"metadata": {"name": "www-web-1"}}),
        "create PersistentVolumeClaim www-web-1 for Pod web-1",
    ),
    (actions.CreatePod(manifest()), "create Pod web-1 (revision web-6c5f8b9d7c)"),
    (
        actions.CreatePod(manifest(volume("www"), {"name": "tmp", "emptyDir": {}})),
        "create Pod web-1 (revision web-6c5f8b9d7c; claim www-web-1)",
    ),
    (
        actions.CreatePod(manifest(volume("www"), volume("log"))),
        "create Pod web-1 (revision web-6c5f8b9d7c; claims www-web-1, log-web-1)",
    ),
    (
        actions.UpdatePod(WEB_1, {"b": "2", "a": "1"}, (volume("www"),)),
        "update Pod web-1: label it a=1, b=2; let it use the claims www-web-1",
    ),
    (actions.UpdatePod(WEB_1, {}, ()), ""),
    (actions.DeletePod(WEB_1, Cause.UPDATE), "delete Pod web-1: it is of a superseded revision"),
    (actions.DeletePod(WEB_1, Cause.TERMINAL), "delete Pod web-1: it has ended and will not run again"),
    (actions.DeletePod(WEB_1, Cause.SCALE_DOWN), "delete Pod web-1: its ordinal is not wanted any more"),
    (
        actions.DeletePod(WEB_1, Cause.HEAL),
        "delete Pod web-1: it is of a superseded revision, was never ready, and holds the rollout up",
    ),
    (
        actions.SetClaimOwners("web-1", claim("www-web-1"), (SET,)),
        "let PersistentVolumeClaim www-web-1 belong to StatefulSet web, with which it is deleted",
    ),
    (
        actions.SetClaimOwners("web-1", claim("www-web-1"), (POD,)),
        "let PersistentVolumeClaim www-web-1 belong to Pod web-1, with which it is deleted",
    ),
    (
        actions.SetClaimOwners("web-1", claim("www-web-1"), ()),
        "let PersistentVolumeClaim www-web-1 belong to nobody, so that it is kept",
    ),
    (
        actions.GrowClaim("web-1", claim("www-web-1"), "2Gi"),
        "grow PersistentVolumeClaim www-web-1 from 1Gi to 2Gi",
    ),
    (
        actions.Refuse("web-1", "Create", "pvc www-web-1 is being deleted"),
        "not create Pod web-1: pvc www-web-1 is being deleted",
    ),
    (
        actions.Refuse("web-1", "", "pvc www-web-1 is being deleted"),
        "not touch Pod web-1: pvc www-web-1 is being deleted",
    ),
    (actions.Tell("ConflictingController", "whose claim is it?"), "warn ConflictingController: whose claim is it?"),
]


@pytest.mark.parametrize(("action", "line"), LINES, ids=[line or "nothing but an event" for _, line in LINES])
def test_actions(action: Action, line: str) -> None:
    """An action is said as an imperative, with the name of what it concerns and why."""
    assert describe.action_line(action) == line


def test_each_kind_of_action_has_its_words() -> None:
    """There is a row above for each kind of action that a plan can ask for."""
    assert {type(action) for action, _ in LINES} == set(get_args(actions.Action))


BROKEN = raw_pod("1 v1 pending")
BROKEN["status"]["containerStatuses"] = [{"name": "nginx", "state": {"waiting": {"reason": "ErrImagePull"}}}]
LATE = raw_pod("1 v1 ready", deletionTimestamp=time_at(-60))
LATE["spec"]["nodeName"] = "node-1"
WAITS = [
    (Wait(WaitKind.POD_READY, "web-1"), "wait for web-1 to be ready"),
    (Wait(WaitKind.POD_READY, "web-1", WEB_1), "wait for web-1: it runs and is not ready"),
    (
        Wait(WaitKind.POD_READY, "web-1", read_pod(BROKEN)),
        "wait for web-1: image cannot be pulled; nothing is deleted; mend the template or delete the pod",
    ),
    (
        Wait(WaitKind.POD_GONE, "web-1", read_pod(LATE)),
        "wait for web-1: it should have ended by now; its node node-1 may be lost; bring the node back; or, once it is "
        "certain that nothing runs there any more, delete the Node object or run "
        "`kubectl delete pod web-1 -n default --force`",
    ),
    (
        Wait(WaitKind.FORMER_CLAIM, "web-1", None, "www-web-1"),
        "wait for web-1: its claim still belongs to an earlier pod: www-web-1; the garbage collector removes it",
    ),
    (Wait(WaitKind.INVALID, detail="replicas is -1"), "do nothing until it is corrected: replicas is -1"),
]


@pytest.mark.parametrize(("wait", "line"), WAITS, ids=[line[:60] for _, line in WAITS])
def test_waits(wait: Wait, line: str) -> None:
    """What is waited for is said with its reason and the next step."""
    assert describe.wait_line(wait, NOW_S) == line


def test_without_a_time_nothing_is_overdue() -> None:
    """Who does not say what time it is hears of a deletion that it goes on."""
    wait = Wait(WaitKind.POD_GONE, "web-1", read_pod(LATE))
    assert describe.wait_line(wait) == "wait for web-1: it is terminating"


def test_a_plan() -> None:
    """A plan is said in its order: ownership, the revision, claims and pods, then what is waited for."""
    set = web("v3", replicas=2, claims=[claim_template()])
    orphan = revision("v0", 0, owners=[])
    made = planned(set, "", history=[orphan, revision("v1", 1)])
    assert made.revision is not None
    assert isinstance(made.revision, actions.CreateRevision)
    name = made.revision.manifest["metadata"]["name"]
    assert describe.plan_lines(made) == [
        "adopt ControllerRevision v0: nobody owns it",
        f"create ControllerRevision {name} (number 2)",
        "create PersistentVolumeClaim www-web-0 (1Gi) for Pod web-0",
        f"create Pod web-0 (revision {name}; claim www-web-0)",
        "wait for web-0 to be ready",
    ]


def test_order() -> None:
    """Ownership comes first, and what is forgotten last."""
    plan = Plan(
        adopt=(actions.AdoptRevision(revision("v1", 1)),),
        claim_pods=(actions.ReleasePod(WEB_1),),
        revision=actions.RenumberRevision(revision("v2", 2), 4),
        steps=(actions.Step(((actions.DeletePod(WEB_1, Cause.UPDATE),), (actions.CreatePod(manifest()),)), False),),
        forget=(actions.DeleteRevision(revision("v3", 3)),),
    )
    assert [line.split(":")[0] for line in describe.plan_lines(plan)] == [
        "adopt ControllerRevision v1",
        "give up Pod web-1",
        "make ControllerRevision v2 the newest again (number 4)",
        "delete Pod web-1",
        "create Pod web-1 (revision web-6c5f8b9d7c)",
        "delete ControllerRevision v3",
    ]


def test_a_plan_without_anything_to_do() -> None:
    """Where all is as it should be there is nothing to say."""
    assert describe.plan_lines(planned(web("v2"), "0 v2 ready, 1 v2 ready, 2 v2 ready")) == []


@pytest.mark.parametrize("state", ["never-ready", "Failed"], ids=["a broken pod of an old revision", "a failed pod"])
def test_a_plan_that_deletes_what_it_waits_for(state: str) -> None:
    """Nobody is told that nothing is deleted when the plan deletes the pod itself."""
    lines = describe.plan_lines(planned(web("v2"), f"0 v1 {state}, 1 v1 ready, 2 v1 ready"))
    assert lines[0].startswith("delete Pod web-0: it ")
    assert lines[1:] == ["wait until web-0 is gone"]


def test_an_invalid_set() -> None:
    """A set that is not valid is said to be so, and that nothing is done."""
    plan = Plan(wait=Wait(WaitKind.INVALID, detail="x"))
    assert describe.plan_lines(plan) == ["do nothing until it is corrected: x"]
