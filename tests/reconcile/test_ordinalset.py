"""OrdinalSets from end to end: a real API server with the schema of `deploy/crd`, our controller, a pretend kubelet."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.realcluster.cluster import ApiError
from tests.reconcile.sets import GROWING, OrdinalSets
from tests.reconcile.stage import Stage
from tests.reconcile.test_side_by_side import FAIL, PARALLEL, READY, retention, web

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

CRD = Path(__file__).parents[2] / "deploy" / "crd"
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ordinalsets.headlessdns.io"


def oset(replicas: int = 3, *, claims: bool = False, **spec: Any) -> Json:
    """Return an OrdinalSet `web`."""
    return {**web(replicas, claims=claims, **spec), "apiVersion": "headlessdns.io/v1alpha1", "kind": "OrdinalSet"}


def max_unavailable(value: int | str) -> Json:
    """Return a rolling update with several pods at once."""
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": value}}}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A control plane whose API server gets to know OrdinalSets while our controller runs."""
    try:
        stage = Stage(is_reference=False)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        stage.cluster.kubectl("apply", "-k", str(CRD))
        stage.cluster.kubectl("wait", "--for=condition=Established", "crd/ordinalsets.headlessdns.io")
        stage.cluster.request("POST", "/apis/storage.k8s.io/v1/storageclasses", GROWING)
        yield stage


def test_a_kind_that_comes_later(stage: Stage) -> None:
    """A controller that began before the kind was served reconciles it all the same, as does one that began after."""
    play = OrdinalSets(stage, "later")
    play.wait(lambda: _is_served(play), "OrdinalSets to be served")
    play.create(oset(1))
    play.wait_ready(1)
    stage.stop_controller()
    play.scale(2)
    stage.start_controller()
    play.wait_ready(2)


def _is_served(play: OrdinalSets) -> bool:
    try:
        play.all("statefulsets")
    except ApiError:
        return False
    return True


def test_create_and_scale(stage: Stage) -> None:
    """Pods come in the order of their ordinals, `kubectl scale` adds and removes, and events say so."""
    play = OrdinalSets(stage, "scale")
    play.create(oset(2))
    play.wait_ready(2)
    play.kubectl("scale", "ordinalset/web", "--replicas=3")
    play.wait_ready(3)
    play.kubectl("scale", "oset/web", "--replicas=1", "--current-replicas=3")
    play.wait_ready(1)
    play.wait_decided("create web-0", "create web-1", "create web-2", "delete web-2", "delete web-1")
    assert sorted(play.events("SuccessfulCreate")) == [
        f"Create Pod web-{ordinal} in OrdinalSet web successful" for ordinal in range(3)
    ]
    assert sorted(play.events("SuccessfulDelete")) == [
        f"Delete Pod web-{ordinal} in OrdinalSet web successful" for ordinal in (1, 2)
    ]


def test_the_scale_subresource(stage: Stage) -> None:
    """Autoscalers find the number of pods and a selector that selects them."""
    play = OrdinalSets(stage, "autoscale")
    play.create(oset(2))
    play.wait_ready(2)

    def selector() -> str:
        scale = play.cluster.request("GET", f"{play.path('statefulsets', 'web')}/scale")
        return str(scale["status"].get("selector", ""))

    play.wait(selector, "the selector")
    assert selector() == "app=web"


def test_rolling_update_and_rollback(stage: Stage) -> None:
    """Pods are replaced one at a time, the highest first, and a rollback takes up the revision that is there."""
    play = OrdinalSets(stage, "rollback")
    play.create(oset(2))
    play.wait_ready(2)
    first = play.status()["updateRevision"]
    play.image("example.org/web:2")
    play.wait_rolled_out(2)
    play.wait_decided("delete web-1", "create web-1", "delete web-0", "create web-0")
    assert play.images() == {"web-0": "example.org/web:2", "web-1": "example.org/web:2"}
    play.image("example.org/web:1")
    play.wait_rolled_out(2)
    assert play.status()["updateRevision"] == first
    assert sorted(item["revision"] for item in play.all("controllerrevisions")) == [2, 3]


def test_partition(stage: Stage) -> None:
    """Pods below the partition stay as they are, and come back as they were."""
    play = OrdinalSets(stage, "partition")
    play.create(oset(3, updateStrategy={"rollingUpdate": {"partition": 2}}))
    play.wait_ready(3)
    play.image("example.org/web:2")
    play.wait_status(updatedReplicas=1, readyReplicas=3)
    play.delete_pod("web-0")
    play.wait(lambda: "gone web-0" in play.lines, "web-0 to be gone")
    play.wait_ready(3)
    assert play.images() == {f"web-{n}": f"example.org/web:{1 + (n == 2)}" for n in range(3)}


def test_on_delete(stage: Stage) -> None:
    """With OnDelete a pod is of the new revision when somebody has deleted it, and no sooner."""
    play = OrdinalSets(stage, "on-delete")
    play.create(oset(2, updateStrategy={"type": "OnDelete"}))
    play.wait_ready(2)
    play.image("example.org/web:2")
    play.wait_quiet()
    play.delete_pod("web-0")
    play.wait_status(updatedReplicas=1, readyReplicas=2)
    assert play.images() == {"web-0": "example.org/web:2", "web-1": "example.org/web:1"}


def test_parallel(stage: Stage) -> None:
    """With Parallel a pod that is not ready holds nothing up."""
    play = OrdinalSets(stage, "parallel")
    manifest = oset(4, podManagementPolicy="Parallel")
    manifest["spec"]["template"]["metadata"]["annotations"] = {READY: "false"}
    play.create(manifest)
    play.wait_status(replicas=4, readyReplicas=0)
    play.scale(1)
    play.wait_status(replicas=1)


def test_claims_and_retention(stage: Stage) -> None:
    """Claims stay for the next pod of the name, or go with it where the policy says so."""
    play = OrdinalSets(stage, "claims")
    play.create(oset(2, claims=True))
    play.wait_ready(2)
    volumes = [claim["spec"]["volumeName"] for claim in play.all("persistentvolumeclaims")]
    play.scale(1)
    play.wait_ready(1)
    play.scale(2)
    play.wait_ready(2)
    assert [claim["spec"]["volumeName"] for claim in play.all("persistentvolumeclaims")] == volumes
    play.spec(**retention("Retain", "Delete"))
    play.scale(1)
    play.wait(lambda: play.names("persistentvolumeclaims") == ["www-web-0"], "the claim to go with its pod")


def test_conditions(stage: Stage) -> None:
    """`kubectl wait` takes the conditions of an OrdinalSet, and a passed deadline is one of them."""
    play = OrdinalSets(stage, "conditions")
    play.create(oset(1, progressDeadlineSeconds=2))
    play.kubectl("wait", "--for=condition=Available", "ordinalset/web", "--timeout=30s")
    play.patch("statefulsets", "web", {"spec": {"template": {"metadata": {"annotations": {FAIL: "ImagePullBackOff"}}}}})
    play.kubectl("wait", "--for=condition=Stalled", "ordinalset/web", "--timeout=30s")
    play.kubectl("wait", "--for=condition=Progressing=false", "ordinalset/web", "--timeout=30s")
    assert play.condition("Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert play.condition("Stalled")["reason"] == "ImagePullBackOff"
    play.patch("statefulsets", "web", {"spec": {"template": {"metadata": {"annotations": {FAIL: None}}}}})
    play.kubectl("wait", "--for=condition=Available", "ordinalset/web", "--timeout=30s")
    play.kubectl("wait", "--for=condition=Progressing", "ordinalset/web", "--timeout=30s")


@pytest.mark.parametrize("policy", [{}, PARALLEL], ids=["ordered", "parallel"])
@pytest.mark.parametrize("value", [2, "50%"], ids=["a number", "a share"])
def test_max_unavailable(stage: Stage, value: int | str, policy: Json) -> None:
    """Of four pods two are replaced at once, and never are more than two away."""
    play = OrdinalSets(stage, f"budget-{str(value).rstrip('%')}-{len(policy)}")
    play.create(oset(4, **{**max_unavailable(value), **policy}))
    play.wait_ready(4)
    before = len(play.lines)
    play.image("example.org/web:2")
    play.wait_rolled_out(4)
    lines = [" ".join(line.split()[:2]) for line in play.lines[before:]]
    assert lines[:2] == ["delete web-3", "delete web-2"]
    away, most = set[str](), 0
    for line in lines:
        verb, name = line.split()
        away = away | {name} if verb == "delete" else away - {name} if verb == "create" else away
        most = max(most, len(away))
    assert most == 2


@pytest.mark.parametrize("policy", [{}, PARALLEL], ids=["ordered", "parallel"])
def test_broken_pods_first(stage: Stage, policy: Json) -> None:
    """A pod that is broken anyway is replaced before those that are not, and eats nothing of what may be away."""
    play = OrdinalSets(stage, f"broken-first-{len(policy)}")
    play.create(oset(4, **{**max_unavailable(1), **policy}))
    play.wait_ready(4)
    if not policy:
        play.wait_old("web-1")
    play.annotate_pod("web-1", READY, "false")
    play.wait_status(readyReplicas=3)
    play.image("example.org/web:2")
    if not policy:  # what was ready once is not deleted while it holds up what is before it
        play.wait_quiet()
        assert len(play.decisions) == 4
        play.annotate_pod("web-1", READY, None)
    play.wait_rolled_out(4)
    first = play.decisions[4].split()[1]
    assert first == ("web-1" if policy else "web-3")


def test_paused(stage: Stage) -> None:
    """While a set is paused no pod is replaced, though one that is gone comes back and the number can change."""
    play = OrdinalSets(stage, "paused")
    play.create(oset(2))
    play.wait_ready(2)
    play.spec(paused=True)
    play.image("example.org/web:2")
    play.scale(3)
    play.wait_ready(3)
    play.wait_quiet()
    assert [line.split()[0] for line in play.decisions] == ["create"] * 3
    assert play.condition("Progressing")["reason"] == "RolloutPaused"
    play.spec(paused=False)
    play.wait_rolled_out(3)


def test_reserved_ordinals(stage: Stage) -> None:
    """Ordinals that are reserved are passed over; one that is named later goes alone, and its claim stays."""
    play = OrdinalSets(stage, "reserved")
    play.create(oset(3, claims=True, reserveOrdinals=[1, "3-4"]))
    play.wait_ready(3)
    assert play.names() == ["web-0", "web-2", "web-5"]
    play.spec(reserveOrdinals=[1, 2, "3-4"], replicas=2)
    play.wait_ready(2)
    assert play.names() == ["web-0", "web-5"]
    assert play.names("persistentvolumeclaims") == ["www-web-0", "www-web-2", "www-web-5"]
    play.spec(reserveOrdinals=[], replicas=3)
    play.wait(lambda: play.names() == ["web-0", "web-1", "web-2"], "the first three")


def test_claims_grow(stage: Stage) -> None:
    """Claims that exist grow to what their template asks for, where that is asked for and their class allows it."""
    play = OrdinalSets(stage, "growth")
    manifest = oset(2, claims=True, claimGrowth="Expand")
    template = manifest["spec"]["volumeClaimTemplates"][0]
    template["spec"]["storageClassName"] = "growing"
    play.create(manifest)
    play.wait_ready(2)
    template["spec"]["resources"]["requests"]["storage"] = "3Gi"
    play.spec(volumeClaimTemplates=[template])

    def sizes() -> list[str]:
        return [claim["status"].get("capacity", {}).get("storage") for claim in play.all("persistentvolumeclaims")]

    play.wait(lambda: sizes() == ["3Gi", "3Gi"], "the claims to grow")
    play.wait(lambda: len(play.events("ClaimGrowth")) == 2, "the events")
    assert sorted(play.events("ClaimGrowth")) == [f"Claim www-web-{n} asks for 3Gi now" for n in range(2)]
    assert len(play.decisions) == 2


def test_claims_that_cannot_grow(stage: Stage) -> None:
    """A class that does not let claims grow is told in an event, and holds nothing else up."""
    play = OrdinalSets(stage, "no-growth")
    manifest = oset(1, claims=True, claimGrowth="Expand")
    play.create(manifest)
    play.wait_ready(1)
    template = manifest["spec"]["volumeClaimTemplates"][0]
    template["spec"]["resources"]["requests"]["storage"] = "3Gi"
    play.spec(volumeClaimTemplates=[template])
    play.wait(lambda: play.events("FailedClaimGrowth"), "the event")
    play.image("example.org/web:2")
    play.wait_rolled_out(1)


def test_policy_and_service_can_be_changed(stage: Stage) -> None:
    """podManagementPolicy counts at once, serviceName for pods that are created later."""
    play = OrdinalSets(stage, "changed")
    manifest = oset(2)
    manifest["spec"]["template"]["metadata"]["annotations"] = {READY: "false"}
    play.create(manifest)
    play.wait_status(replicas=1)
    play.spec(podManagementPolicy="Parallel", serviceName="other")
    play.wait_status(replicas=2)
    assert [pod["spec"]["subdomain"] for pod in play.all("pods")] == ["nginx", "other"]


# What no schema has kept out


@pytest.fixture
def schemaless(stage: Stage) -> Iterator[Stage]:
    """The control plane while the schema of OrdinalSets has neither rules nor types."""
    crd = stage.cluster.request("GET", CRD_PATH)
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    loose = json.loads(json.dumps(crd))
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = anything
    stage.cluster.request("PUT", CRD_PATH, loose)
    yield stage
    strict = stage.cluster.request("GET", CRD_PATH)
    strict["spec"] = crd["spec"]
    stage.cluster.request("PUT", CRD_PATH, strict)


INVALID = [
    pytest.param({"minReadySeconds": -1}, "spec.minReadySeconds is -1; expected 0 or more", id="negative"),
    pytest.param(
        {"reserveOrdinals": 7, "revisionHistoryLimit": "10"},
        "spec.revisionHistoryLimit is '10'; expected a whole number",
        id="mistyped",
    ),
    pytest.param({"replicas": 2_000_000_000}, "spec.replicas is 2000000000; expected at most 100000", id="too-many"),
    pytest.param(
        {"podManagementPolicy": "Sometimes"},
        "spec.podManagementPolicy is 'Sometimes'; expected OrderedReady or Parallel",
        id="unknown-word",
    ),
]


@pytest.mark.parametrize(("spec", "fault"), INVALID)
def test_a_set_that_slipped_past(schemaless: Stage, spec: Json, fault: str, request: pytest.FixtureRequest) -> None:
    """Of a set that its schema would have refused nothing is done, and a condition and an event say why."""
    play = OrdinalSets(schemaless, f"invalid-{request.node.callspec.id}")

    def is_loose() -> bool:
        try:
            play.create(oset(**{"replicas": 1, **spec}))
        except ApiError:
            return False
        return True

    play.wait(is_loose, "the schema to be gone")
    play.wait(lambda: play.condition("Stalled").get("reason") == "Invalid", "the condition")
    assert fault in play.condition("Stalled")["message"]
    play.wait(lambda: any(fault in message for message in play.events("Invalid")), "the event")
    assert not play.lines
    play.spec(**{**dict.fromkeys(spec), "replicas": 1})
    play.wait_ready(1)


def test_rules_of_the_schema_hold(stage: Stage) -> None:
    """What the schema refuses never comes to the controller."""
    play = OrdinalSets(stage, "refused")
    play.create(oset(1))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        play.kubectl("patch", "oset/web", "--type=merge", "--patch", '{"spec": {"replicas": -1}}')
    assert "must be greater than or equal to 0" in refused.value.stderr


# What needs the garbage collector, which gets to know new kinds late


def test_orphans_are_adopted(stage: Stage) -> None:
    """Pods that are left behind belong to the next set of the name, and run on."""
    play = OrdinalSets(stage, "orphans")
    play.create(oset(2))
    play.wait_ready(2)
    uids = [pod["metadata"]["uid"] for pod in play.all("pods")]
    play.kubectl("delete", "ordinalset/web", "--cascade=orphan")
    play.wait(lambda: not any("ownerReferences" in pod["metadata"] for pod in play.all("pods")), "orphans")
    play.create(oset(2))
    play.wait_ready(2)
    play.wait(lambda: all("ownerReferences" in pod["metadata"] for pod in play.all("pods")), "the adoption")
    assert [pod["metadata"]["uid"] for pod in play.all("pods")] == uids
    assert len(play.all("controllerrevisions")) == 1


def test_all_goes_with_the_set(stage: Stage) -> None:
    """Pods and revisions go with their set, and claims where the policy says so."""
    play = OrdinalSets(stage, "garbage")
    play.create(oset(1, claims=True, **retention("Delete", "Retain")))
    play.wait_ready(1)
    play.wait(lambda: "ownerReferences" in play.all("persistentvolumeclaims")[0]["metadata"], "the claim to be owned")
    play.kubectl("delete", "ordinalset/web")
    plurals = ("pods", "controllerrevisions", "persistentvolumeclaims")
    play.wait(lambda: not any(play.names(plural) for plural in plurals), "all to go with their set")
