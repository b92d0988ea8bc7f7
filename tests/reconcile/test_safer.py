"""Where our controller is safer than the reference, on StatefulSets and a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.realcluster.cluster import ApiError
from tests.reconcile.sets import GROWING, Sets
from tests.reconcile.stage import Stage
from tests.reconcile.test_side_by_side import FAIL, PARALLEL, READY, web

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
NO_IMAGE = "ImagePullBackOff"


class Safer(Sets):
    """A scenario with StatefulSets, and what is about them."""

    def annotate(self, **annotations: str | None) -> None:
        """Set annotations of ours on the set, or take them away."""
        ours = {f"headlessdns.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self.patch("statefulsets", "web", {"metadata": {"annotations": ours}})

    def annotate_template(self, key: str, value: str | None) -> None:
        self.patch("statefulsets", "web", {"spec": {"template": {"metadata": {"annotations": {key: value}}}}})

    def service(self, name: str = "nginx", **spec: Any) -> None:
        """Create a governing Service, one that fits unless *spec* says otherwise."""
        wanted = {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}], **spec}
        manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": wanted}
        self.cluster.request("POST", self.path("services"), manifest)

    def wait_names_served(self, reason: str) -> str:
        """Wait until NamesServed has that *reason* and return its message."""
        self.wait(lambda: self.condition("NamesServed").get("reason") == reason, f"NamesServed to be {reason}")
        return str(self.condition("NamesServed")["message"])

    def wait_broken(self, name: str) -> None:
        """Wait until a pod waits for its image."""

        def check() -> bool:
            pods = [pod for pod in self.all("pods") if pod["metadata"]["name"] == name]
            waiting = [
                one["state"].get("waiting", {}).get("reason")
                for pod in pods
                for one in pod["status"].get("containerStatuses", ())
            ]
            return NO_IMAGE in waiting

        self.wait(check, f"{name} to be broken")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A control plane with our controller."""
    try:
        stage = Stage(is_reference=False)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        stage.cluster.request("POST", "/apis/storage.k8s.io/v1/storageclasses", GROWING)
        yield stage


def made(replicas: int = 3, *, claims: bool = False, annotations: dict[str, str] | None = None, **spec: Any) -> Json:
    """Return a StatefulSet with annotations of ours."""
    manifest = web(replicas, claims=claims, **spec)
    manifest["metadata"]["annotations"] = {f"headlessdns.io/{key}": value for key, value in (annotations or {}).items()}
    return manifest


# A broken rollout


def test_a_broken_rollout_heals_when_the_template_is_mended(stage: Stage) -> None:
    """The pod that a bad template broke is replaced by the next one, and the rollout goes on (kubernetes#67250)."""
    play = Safer(stage, "mended")
    play.create(made())
    play.wait_ready(3)
    play.annotate_template(FAIL, NO_IMAGE)
    play.wait_broken("web-2")
    play.annotate_template(FAIL, None)  # this is the first template again
    play.wait_ready(3)
    play.wait_decided("delete web-2", "create web-2", "delete web-2", "create web-2")
    play.annotate_template(FAIL, NO_IMAGE)
    play.wait_broken("web-2")
    patch = {"spec": {"template": {"metadata": {"annotations": {FAIL: None, "release": "3"}}}}}
    play.patch("statefulsets", "web", patch)  # and this is a third one
    play.wait_rolled_out(3)
    play.wait_decided(
        *("delete web-2", "create web-2", "delete web-2", "create web-2"),
        *("delete web-1", "create web-1", "delete web-0", "create web-0"),
    )
    assert "Delete Pod web-2 in StatefulSet web successful" in play.events("SuccessfulDelete")


def test_a_broken_rollout_heals_by_undo(stage: Stage) -> None:
    """`kubectl rollout undo` is enough to get out of a broken rollout."""
    play = Safer(stage, "undone")
    play.create(made(2))
    play.wait_ready(2)
    uid = play.get("pods", "web-0")["metadata"]["uid"]
    play.annotate_template(FAIL, NO_IMAGE)
    play.wait_broken("web-1")
    play.kubectl("rollout", "undo", "statefulset/web")
    play.kubectl("rollout", "status", "statefulset/web", "--timeout=30s")
    assert play.get("pods", "web-0")["metadata"]["uid"] == uid


def test_a_first_template_that_is_broken_can_be_mended(stage: Stage) -> None:
    """A set that never came up comes up when its template is mended, though nobody deletes a pod."""
    play = Safer(stage, "first")
    manifest = made(2)
    manifest["spec"]["template"]["metadata"]["annotations"] = {FAIL: NO_IMAGE}
    play.create(manifest)
    play.wait_broken("web-0")
    play.annotate_template(FAIL, None)
    play.wait_rolled_out(2)


def test_no_heal(stage: Stage) -> None:
    """With headlessdns.io/no-heal a broken rollout waits, as it does under the reference, until it is taken away."""
    play = Safer(stage, "no-heal")
    play.create(made(2, annotations={"no-heal": "true"}))
    play.wait_ready(2)
    play.annotate_template(FAIL, NO_IMAGE)
    play.wait_broken("web-1")
    play.annotate_template(FAIL, None)
    play.wait_status(readyReplicas=1)
    play.wait_quiet()
    before = len(play.decisions)
    stage.stop_controller()
    stage.start_reference()
    try:
        play.spec(revisionHistoryLimit=7)  # something to be seen
        play.wait_status(readyReplicas=1)
        play.wait_quiet()
    finally:
        stage.stop_reference()
        stage.start_controller()
    assert len(play.decisions) == before
    play.annotate(no_heal=None)
    play.wait_rolled_out(2)


def test_what_was_ready_once_is_not_deleted(stage: Stage) -> None:
    """A pod that was ready and is not now is left alone: it may hold what no other has."""
    play = Safer(stage, "was-ready")
    play.create(made(2))
    play.wait_ready(2)
    play.wait_old("web-0")
    play.annotate_pod("web-0", READY, "false")
    play.wait_status(readyReplicas=1)
    play.image("example.org/web:2")
    play.wait_status(updatedReplicas=0)
    play.wait_quiet()
    assert [line.split()[0] for line in play.decisions] == ["create", "create"]
    play.annotate_pod("web-0", READY, None)
    play.wait_rolled_out(2)


# Annotations


@pytest.mark.parametrize("policy", [{}, PARALLEL], ids=["ordered", "parallel"])
def test_max_unavailable(stage: Stage, policy: Json) -> None:
    """headlessdns.io/max-unavailable lets an update replace several pods at once."""
    play = Safer(stage, f"budget-{len(policy)}")
    play.create(made(4, annotations={"max-unavailable": "50%"}, **policy))
    play.wait_ready(4)
    before = len(play.lines)
    play.image("example.org/web:2")
    play.wait_rolled_out(4)
    assert [line.split()[:2] for line in play.lines[before:]][:2] == [["delete", "web-3"], ["delete", "web-2"]]


def test_paused(stage: Stage) -> None:
    """headlessdns.io/paused holds a rollout back, and nothing else."""
    play = Safer(stage, "paused")
    play.create(made(2, annotations={"paused": "true"}))
    play.wait_ready(2)
    play.image("example.org/web:2")
    play.wait_status(updatedReplicas=0)
    play.wait_quiet()
    assert len(play.decisions) == 2
    play.annotate(paused=None)
    play.wait_rolled_out(2)


def test_reserved_ordinals(stage: Stage) -> None:
    """headlessdns.io/reserve-ordinals leaves ordinals out."""
    play = Safer(stage, "reserved")
    play.create(made(2, annotations={"reserve-ordinals": "0,2-3"}))
    play.wait_ready(2)
    assert play.names() == ["web-1", "web-4"]


def test_claims_grow(stage: Stage) -> None:
    """With headlessdns.io/claim-growth claims grow with the templates of a set that is created anew around its pods."""
    play = Safer(stage, "growth")
    manifest = made(1, claims=True, annotations={"claim-growth": "true"})
    template = manifest["spec"]["volumeClaimTemplates"][0]
    template["spec"]["storageClassName"] = "growing"
    play.create(manifest)
    play.wait_ready(1)
    play.kubectl("delete", "statefulset/web", "--cascade=orphan")
    play.wait(lambda: not play.names("statefulsets"), "the set to be gone")
    template["spec"]["resources"]["requests"]["storage"] = "2Gi"
    play.create(manifest)

    def sizes() -> list[str]:
        return [claim["status"].get("capacity", {}).get("storage") for claim in play.all("persistentvolumeclaims")]

    play.wait(lambda: sizes() == ["2Gi"], "the claim to grow")
    assert len(play.decisions) == 1


@pytest.mark.parametrize(
    ("annotation", "text", "fault"),
    [
        pytest.param("max-unavailable", "none", "maxUnavailable is 'none'", id="max-unavailable"),
        pytest.param("reserve-ordinals", "a", "reserveOrdinals has 'a'", id="reserve-ordinals"),
    ],
)
def test_an_annotation_that_cannot_be_followed(stage: Stage, annotation: str, text: str, fault: str) -> None:
    """While an annotation cannot be followed nothing is done; a condition and an event say why."""
    play = Safer(stage, f"wrong-{annotation}")
    play.create(made(1, annotations={annotation: text}))
    play.wait(lambda: play.condition("Stalled").get("reason") == "Invalid", "the condition")
    assert fault in play.condition("Stalled")["message"]
    play.wait(lambda: any(fault in message for message in play.events("Invalid")), "the event")
    assert not play.lines
    play.annotate(**{annotation: None})
    play.wait_ready(1)
    assert play.condition("Stalled")["status"] == "False"


def test_too_many_pods(stage: Stage) -> None:
    """A set of two thousand million pods is refused, and costs nothing."""
    play = Safer(stage, "too-many")
    play.create(made(2_000_000_000))
    play.wait(lambda: play.condition("Stalled").get("reason") == "Invalid", "the condition")
    assert "spec.replicas is 2000000000; expected at most 100000" in play.condition("Stalled")["message"]
    assert not play.lines


# Conditions


def test_kubectl_wait(stage: Stage) -> None:
    """`kubectl wait` sees a set that is stalled, and one that is available again."""
    play = Safer(stage, "waited-for")
    play.create(made(2))
    play.kubectl("wait", "--for=condition=Available", "statefulset/web", "--timeout=30s")
    play.annotate_template(FAIL, NO_IMAGE)
    play.kubectl("wait", "--for=condition=Stalled=true", "statefulset/web", "--timeout=30s")
    stalled = play.condition("Stalled")
    assert stalled["reason"] == NO_IMAGE
    assert stalled["message"].startswith("waiting for web-1: image cannot be pulled")
    assert "nothing is deleted; mend the template or delete the pod" in stalled["message"]
    play.annotate_template(FAIL, None)
    play.kubectl("wait", "--for=condition=Stalled=false", "statefulset/web", "--timeout=30s")
    play.kubectl("wait", "--for=condition=Available", "statefulset/web", "--timeout=30s")


def test_conditions_of_others_are_kept(stage: Stage) -> None:
    """A condition that somebody else has written stays as it is, though the status is written again."""
    play = Safer(stage, "others")
    play.create(made(1))
    play.wait_ready(1)
    theirs = {"type": "example.org/Backed", "status": "True", "reason": "Nightly", "message": "done"}

    def is_written() -> bool:
        found = play.get("statefulsets", "web")
        found["status"]["conditions"] = [*found["status"]["conditions"], theirs]
        try:
            play.cluster.request("PUT", f"{play.path('statefulsets', 'web')}/status", found)
        except ApiError:
            return False  # ours came first
        return True

    play.wait(is_written, "the condition to be written")
    play.scale(2)
    play.wait_ready(2)
    kept = {key: value for key, value in play.condition("example.org/Backed").items() if key != "lastTransitionTime"}
    assert kept == theirs


# Names


def test_governing_service_missing(stage: Stage) -> None:
    """A governing Service that is missing is told, and the condition changes when it comes, though nothing else is."""
    play = Safer(stage, "missing")
    play.create(made(1))
    play.wait_ready(1)
    message = play.wait_names_served("GoverningServiceMissing")
    assert message == (
        "Service missing/nginx does not exist, so the pods have no names in the DNS; create it with clusterIP: None"
    )
    play.wait(lambda: play.events("GoverningServiceMissing") == [message], "the event")
    play.service()
    play.wait_names_served("GoverningServiceFits")
    play.cluster.request("DELETE", play.path("services", "nginx"))
    play.wait_names_served("GoverningServiceMissing")


def test_governing_service_not_headless(stage: Stage) -> None:
    """A governing Service with an address of its own is told, until one without takes its place."""
    play = Safer(stage, "not-headless")
    play.service(clusterIP=None)
    play.create(made(1))
    assert "is not headless" in play.wait_names_served("GoverningServiceNotHeadless")
    play.wait(lambda: play.events("GoverningServiceNotHeadless"), "the event")
    play.cluster.request("DELETE", play.path("services", "nginx"))
    play.service()
    play.wait_names_served("GoverningServiceFits")


def test_selector_misses_the_pods(stage: Stage) -> None:
    """A governing Service that selects other pods is told, until its selector is mended."""
    play = Safer(stage, "selector")
    play.service(selector={"app": "wbe"})
    play.create(made(1))
    assert "selects app=wbe, which the pod template does not have" in play.wait_names_served("SelectorMissesPods")
    play.wait(lambda: play.events("SelectorMissesPods"), "the event")
    play.wait_ready(1)
    play.wait_quiet(0.5)  # nothing else is to bring the set back
    play.patch("services", "nginx", {"spec": {"selector": {"app": "web"}}})
    play.wait_names_served("GoverningServiceFits")


def test_no_service_name(stage: Stage) -> None:
    """A set without serviceName is told that its pods have no names, until it is created anew with one."""
    play = Safer(stage, "no-service")
    play.service()
    play.create(made(1, serviceName=""))
    assert "spec.serviceName is empty" in play.wait_names_served("NoServiceName")
    play.wait(lambda: play.events("NoServiceName"), "the event")
    play.kubectl("delete", "statefulset/web", "--cascade=orphan")
    play.wait(lambda: not play.names("statefulsets"), "the set to be gone")
    play.create(made(1))
    play.wait_names_served("GoverningServiceFits")


@pytest.mark.parametrize(("name", "says"), [("w" * 53, "with the hash of a revision"), ("w" * 62, "a host name at")])
def test_a_name_that_is_too_long(stage: Stage, name: str, says: str) -> None:
    """A name that leaves no room for ordinal or hash is told."""
    play = Safer(stage, f"long-{len(name)}")
    play.service()
    manifest = made(1)
    manifest["metadata"]["name"] = name
    play.create(manifest)

    def found() -> Json:
        conditions = play.status(name).get("conditions", ())
        return next((one for one in conditions if one["type"] == "NamesServed"), {})

    play.wait(lambda: found().get("reason") == "NameTooLong", "the condition")
    assert says in found()["message"]
    play.wait(lambda: play.events("NameTooLong"), "the event")


def test_a_foreign_pod_on_our_name(stage: Stage) -> None:
    """A pod of others that has one of our names is told and left alone; when it is gone ours is created."""
    play = Safer(stage, "foreign")
    play.service()
    container = {"name": "main", "image": "example.org/other:1"}
    pod = {"metadata": {"name": "web-0"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    play.cluster.request("POST", play.path("pods"), {"apiVersion": "v1", "kind": "Pod", **pod})
    play.create(made(2))
    message = play.wait_names_served("NameConflict")
    assert "a Pod web-0 exists and belongs to nobody" in message
    play.wait(lambda: play.events("NameConflict"), "the event")
    play.kubectl("wait", "--for=condition=Stalled=true", "statefulset/web", "--timeout=30s")
    assert play.condition("Stalled")["reason"] == "NameConflict"
    play.wait_quiet()
    assert play.names() == ["web-0"]
    play.delete_pod("web-0")
    play.wait_ready(2)
    play.wait_names_served("GoverningServiceFits")
