"""Whole courses of a set in memory, and the API that the simulation stands in for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headlessdns.controller.actions import (
    AdoptPod,
    AdoptRevision,
    Cause,
    CreateClaim,
    CreatePod,
    CreateRevision,
    DeletePod,
    DeleteRevision,
    GrowClaim,
    Refuse,
    ReleasePod,
    RenumberRevision,
    SetClaimOwners,
    Tell,
    UpdatePod,
)
from headlessdns.controller.model import Json, read_claim, read_pod, read_revision, read_set
from headlessdns.controller.simulate import Outcome, RefusedError, World, Write, WriteStatus
from tests.controller.support import (
    KEY,
    NOW_S,
    ORDERED,
    PARALLEL,
    SET_UID,
    annotated,
    claim_template,
    in_words,
    owner,
    raw_pod,
    raw_set,
    template,
    there,
)

POLICIES = [ORDERED, PARALLEL]
RETENTIONS = [
    None,
    ("Retain", "Retain"),
    ("Delete", "Retain"),
    ("Retain", "Delete"),
    ("Delete", "Delete"),
]
PATIENCE = 200


def manifest(image: str = "v1", **options: Any) -> Json:
    """The set `web` as a user writes it."""
    raw = raw_set(image, **options)
    raw["metadata"] = {"name": "web", "annotations": raw["metadata"]["annotations"]}
    del raw["status"]
    return raw


def settle(world: World, invariant: Callable[[World], None] | None = None) -> list[str]:
    """Sync, and let pods come one step further, until nothing happens; return what was done about pods."""
    done: list[str] = []
    for _ in range(PATIENCE):
        outcome = world.sync(KEY)
        done += pod_words(outcome)
        world.now_s += 10
        is_moving = world.run_kubelet()
        world.collect_garbage()
        if invariant is not None:
            invariant(world)
        if not is_moving and not outcome.done and not outcome.failures:
            return done
    raise AssertionError(f"not settled: {done}")


def pod_words(outcome: Outcome) -> list[str]:
    return [in_words(write) for write in outcome.done if isinstance(write, CreatePod | DeletePod)]


def images(world: World) -> dict[str, str]:
    """The image of each pod, and `leaving` or its phase where it does not run."""
    found = {}
    for name in sorted(world.names("Pod")):
        raw = there(world, "Pod", name)
        found[name] = raw["spec"]["containers"][0]["image"]
    return found


def status(world: World) -> Json:
    raw = there(world, "StatefulSet", "web")
    return dict(raw["status"])


def counts(world: World) -> tuple[int, ...]:
    found = status(world)
    return tuple(found[f"{name}eplicas"] for name in ("r", "readyR", "availableR", "currentR", "updatedR"))


def running(**options: Any) -> World:
    """A world in which the set has settled."""
    world = World([manifest(**options)], NOW_S)
    settle(world)
    return world


def owners_of(world: World, name: str) -> list[str]:
    raw = there(world, "PersistentVolumeClaim", name)
    return [reference["kind"] for reference in raw["metadata"].get("ownerReferences", [])]


def in_order(world: World) -> None:
    """No pod is ready while the one before it is not; the ordinals have no gap."""
    names = sorted(world.names("Pod"))
    ready = [read_pod(there(world, "Pod", name)).is_running_and_ready for name in names]
    assert ready == sorted(ready, reverse=True)
    assert names == [f"web-{index}" for index in range(len(ready))]


# Courses


@pytest.mark.parametrize("retention", RETENTIONS, ids=str)
@pytest.mark.parametrize("policy", POLICIES)
class TestCourses:
    def test_create_scale_and_scale_to_nothing(self, policy: str, retention: Any) -> None:
        """3 pods come, a fourth, then all go; claims stay or go as the policy says."""
        options: dict[str, Any] = {"policy": policy, "retention": retention, "claims": [claim_template("www")]}
        world = World([manifest(**options)], NOW_S)
        invariant = in_order if policy == ORDERED else None
        assert settle(world, invariant) == ["create web-0 v1", "create web-1 v1", "create web-2 v1"]
        assert counts(world) == (3, 3, 3, 3, 3)
        owned_by_set = ["StatefulSet"] if retention in (("Delete", "Retain"), ("Delete", "Delete")) else []
        assert [owners_of(world, f"www-web-{index}") for index in range(3)] == [owned_by_set] * 3

        world.put(manifest(**options, replicas=4))
        assert settle(world, invariant) == ["create web-3 v1"]
        world.put(manifest(**options, replicas=0))
        assert settle(world, invariant) == [f"delete web-{index} SCALE_DOWN" for index in (3, 2, 1, 0)]
        assert counts(world) == (0, 0, 0, 0, 0)
        is_kept = retention in (None, ("Retain", "Retain"), ("Delete", "Retain"))
        assert sorted(world.names("PersistentVolumeClaim")) == [f"www-web-{index}" for index in range(4)] * is_kept

        world.delete("StatefulSet", "web")
        world.collect_garbage()
        is_kept = retention in (None, ("Retain", "Retain"))
        assert sorted(world.names("PersistentVolumeClaim")) == [f"www-web-{index}" for index in range(4)] * is_kept
        assert world.names("ControllerRevision") == []

    def test_pods_that_vanish_come_back_with_their_claims(self, policy: str, retention: Any) -> None:
        """0, 2 and 4 of 5 are created again; no claim is lost, and none belongs to a pod."""
        world = running(policy=policy, retention=retention, replicas=5, claims=[claim_template("www")])
        before = {name: world.get("PersistentVolumeClaim", name) for name in world.names("PersistentVolumeClaim")}
        for index in (0, 2, 4):
            world.delete("Pod", f"web-{index}")
            world.finish_deletion(f"web-{index}")
        assert settle(world) == ["create web-0 v1", "create web-2 v1", "create web-4 v1"]
        after = {name: world.get("PersistentVolumeClaim", name) for name in world.names("PersistentVolumeClaim")}
        assert after == before
        assert all("Pod" not in owners_of(world, name) for name in after)

    @pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
    def test_a_pod_that_ends_is_replaced(self, policy: str, retention: Any, phase: str) -> None:
        """It is deleted once, and created again under its name."""
        world = running(policy=policy, retention=retention)
        world.end("web-1", phase)
        assert settle(world) == ["delete web-1 TERMINAL", "create web-1 v1"]
        assert counts(world) == (3, 3, 3, 3, 3)


@pytest.mark.parametrize("policy", POLICIES)
class TestUpdates:
    ALL_NEW = ("web-0", "v2"), ("web-1", "v2"), ("web-2", "v2")

    def test_rolls_from_the_highest(self, policy: str) -> None:
        """One pod after the other is replaced, the highest first; in the end the new revision is current."""
        world = running(policy=policy)
        world.put(manifest("v2", policy=policy))
        assert settle(world) == [
            "delete web-2 UPDATE",
            "create web-2 v2",
            "delete web-1 UPDATE",
            "create web-1 v2",
            "delete web-0 UPDATE",
            "create web-0 v2",
        ]
        assert tuple(images(world).items()) == self.ALL_NEW
        assert counts(world) == (3, 3, 3, 3, 3)
        assert status(world)["currentRevision"] == status(world)["updateRevision"]

    def test_a_rollback_takes_the_old_revision_again(self, policy: str) -> None:
        """Back to the first template: no third revision, the first one is the newest."""
        world = running(policy=policy)
        first = status(world)["currentRevision"]
        world.put(manifest("v2", policy=policy))
        settle(world)
        world.put(manifest("v1", policy=policy))
        settle(world)
        assert set(images(world).values()) == {"v1"}
        assert status(world)["currentRevision"] == first
        names = world.names("ControllerRevision")
        numbers = {name: there(world, "ControllerRevision", name)["revision"] for name in names}
        assert len(numbers) == 2
        assert numbers[first] == 3

    @pytest.mark.parametrize(("replicas", "expected"), [(5, 5), (2, 2)])
    def test_and_scales_at_once(self, policy: str, replicas: int, expected: int) -> None:
        """A change of template and replicas ends with all pods new."""
        world = running(policy=policy)
        world.put(manifest("v2", policy=policy, replicas=replicas))
        settle(world)
        assert images(world) == {f"web-{index}": "v2" for index in range(expected)}

    def test_a_partition_keeps_what_is_below(self, policy: str) -> None:
        """Below the partition pods stay old, also those that come back; new ones from it on are new."""
        world = running(policy=policy)
        world.put(manifest("v2", policy=policy, partition=2))
        assert settle(world) == ["delete web-2 UPDATE", "create web-2 v2"]
        world.put(manifest("v2", policy=policy, partition=2, replicas=5))
        assert settle(world) == ["create web-3 v2", "create web-4 v2"]
        world.delete("Pod", "web-0")
        settle(world)
        assert images(world) == {"web-0": "v1", "web-1": "v1", "web-2": "v2", "web-3": "v2", "web-4": "v2"}
        assert counts(world) == (5, 5, 5, 2, 3)
        world.put(manifest("v2", policy=policy, partition=0, replicas=5))
        assert settle(world)[::2] == ["delete web-1 UPDATE", "delete web-0 UPDATE"]

    def test_a_low_pod_that_ends_during_a_partitioned_rollout_comes_back_old(self, policy: str) -> None:
        """S43: it is at its old revision again."""
        world = running(policy=policy)
        world.put(manifest("v2", policy=policy, partition=1))
        world.sync(KEY)
        world.end("web-0", "Failed")
        settle(world)
        assert images(world) == {"web-0": "v1", "web-1": "v2", "web-2": "v2"}

    def test_on_delete_waits_for_the_user(self, policy: str) -> None:
        """OnDelete replaces nothing; what is deleted or added is new."""
        world = running(policy=policy)
        world.put(manifest("v2", policy=policy, strategy="OnDelete", replicas=4))
        assert settle(world) == ["create web-3 v2"]
        world.delete("Pod", "web-1")
        settle(world)
        assert images(world) == {"web-0": "v1", "web-1": "v2", "web-2": "v1", "web-3": "v2"}

    def test_ordinals_start_moves_the_range(self, policy: str) -> None:
        """Pods move to the new range and back."""
        world = running(policy=policy)
        world.put(manifest(policy=policy, start=2))
        settle(world)
        assert sorted(images(world)) == ["web-2", "web-3", "web-4"]
        world.put(manifest(policy=policy))
        settle(world)
        assert sorted(images(world)) == ["web-0", "web-1", "web-2"]

    def test_a_stuck_rollout_heals(self, policy: str) -> None:
        """A template that never gets ready stops the rollout; mended, all pods come to be new."""
        world = running(policy=policy)
        broken = manifest("bad", policy=policy)
        broken["spec"]["template"]["metadata"]["annotations"] = {"lab.headlessdns.io/fail": "CrashLoop"}
        world.put(broken)
        settle(world)
        assert images(world) == {"web-0": "v1", "web-1": "v1", "web-2": "bad"}
        world.put(manifest("v2", policy=policy))
        settle(world)
        assert tuple(images(world).items()) == self.ALL_NEW

    @pytest.mark.parametrize("limit", [0, 1, 3])
    def test_history_is_limited(self, policy: str, limit: int) -> None:
        """Never more revisions than the limit, the current and the new one."""
        world = running(policy=policy, history_limit=limit)
        for number in range(2, 7):
            world.put(manifest(f"v{number}", policy=policy, history_limit=limit))
            settle(world, lambda world: check_history(world, limit))
        assert len(world.names("ControllerRevision")) == limit + 1

    def test_history_without_limit(self, policy: str) -> None:
        """A negative limit keeps all."""
        world = running(policy=policy, history_limit=-1)
        for number in range(2, 7):
            world.put(manifest(f"v{number}", policy=policy, history_limit=-1))
            settle(world)
        assert len(world.names("ControllerRevision")) == 6


def check_history(world: World, limit: int) -> None:
    assert len(world.names("ControllerRevision")) <= limit + 2


# A parallel set


@pytest.mark.parametrize(("before", "after"), [(3, 30), (10, 1), (501, 0), (0, 1000)])
def test_parallel_scaling_takes_one_sync(before: int, after: int) -> None:
    """Hundreds of pods come or go in one sync."""
    world = running(policy=PARALLEL, replicas=before)
    world.put(manifest(policy=PARALLEL, replicas=after))
    outcome = world.sync(KEY)
    assert (len(pod_words(outcome)), outcome.failures) == (abs(after - before), ())


@pytest.mark.parametrize(("refused", "tried"), [(0, 1), (1, 3), (2, 3), (3, 7), (7, 15)])
def test_a_burst_ends_behind_the_batch_with_a_refusal(refused: int, tried: int) -> None:
    """S35: batches of 1, 2, 4 and so on; a refusal ends the phase, and the status is written all the same."""
    world = World([manifest(policy=PARALLEL, replicas=20)], NOW_S)
    outcome, writes = drive(world, lambda write: f"web-{refused}" in in_words_or_none(write).split())
    creations = [in_words(write) for write in writes if isinstance(write, CreatePod)]
    assert creations == [f"create web-{index} v1" for index in range(tried)]
    assert outcome.failures == ("refused",)
    assert isinstance(outcome.done[-1], WriteStatus)


# Refusals


def drive(world: World, refuses: Callable[[Write], bool]) -> tuple[Outcome, list[Write]]:
    """Run one sync whose writes are refused where *refuses* says so; return all that were tried."""
    course = world.course(KEY, world.view())
    tried: list[Write] = []
    answer: RefusedError | None = None
    while True:
        try:
            set, write = course.send(answer)
        except StopIteration as stop:
            return stop.value, tried
        tried.append(write)
        answer = RefusedError("InternalError", "refused") if refuses(write) else None
        if answer is None:
            world.apply(set, write)


def in_words_or_none(write: Write) -> str:
    return "status" if isinstance(write, WriteStatus) else in_words(write)


KINDS = [CreateRevision, CreateClaim, CreatePod, WriteStatus, DeletePod, RenumberRevision, DeleteRevision]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_refusal_is_made_up_for(policy: str, kind: type) -> None:
    """Whatever is refused once is done by a later sync."""
    options: dict[str, Any] = {"policy": policy, "claims": [claim_template("www")], "history_limit": 0}
    world = World([manifest(**options)], NOW_S)
    refused = 0
    for image in ("v1", "v2", "v3", "v2"):
        world.put(manifest(image, **options))
        for _ in range(60):
            outcome, tried = drive(world, lambda write: isinstance(write, kind))
            if any(isinstance(write, kind) for write in tried):
                refused += 1
                assert outcome.failures
                break
            world.run_kubelet()
        settle(world)
        assert images(world) == {f"web-{index}": image for index in range(3)}
    assert refused >= 1 or kind is RenumberRevision


@pytest.mark.parametrize("policy", POLICIES)
def test_a_refused_update_leaves_the_count(policy: str) -> None:
    """currentReplicas goes down with the deletion, not before; the new revision is named at once."""
    world = running(policy=policy)
    first = status(world)["updateRevision"]
    world.put(manifest("v2", policy=policy))
    outcome, _ = drive(world, lambda write: isinstance(write, DeletePod))
    assert outcome.failures
    assert counts(world) == (3, 3, 3, 3, 0)
    assert status(world)["updateRevision"] != first
    world.sync(KEY)
    assert counts(world) == (3, 3, 3, 2, 0)


def test_a_refused_claim_lets_the_others_be_and_the_pod_wait() -> None:
    """All claims of a pod are tried; the pod is created once all are there."""
    claims = [claim_template("a"), claim_template("b"), claim_template("c")]
    world = World([manifest(claims=claims)], NOW_S)
    outcome, tried = drive(world, lambda write: in_words_or_none(write) in ("claim a-web-0", "claim c-web-0"))
    assert [in_words_or_none(write) for write in tried][1:] == [
        "claim a-web-0",
        "claim b-web-0",
        "claim c-web-0",
        "status",
    ]
    assert outcome.failures == ("refused, refused",)
    assert pod_words(world.sync(KEY)) == ["create web-0 v1"]


def test_a_refused_adoption_ends_the_sync() -> None:
    """Nothing else is done, the status is not written; the other pods are adopted all the same."""
    world = World([manifest(), *(bare_pod(f"web-{index}") for index in range(3))], NOW_S)
    outcome, tried = drive(world, lambda write: in_words_or_none(write) == "adopt web-0")
    assert [in_words_or_none(write) for write in tried] == ["adopt web-0", "adopt web-1", "adopt web-2"]
    assert outcome.failures == ("refused",)


# Adoption


def bare_pod(name: str, **metadata: Any) -> Json:
    raw = raw_pod(f"{name} v1 ready", ownerReferences=[], **metadata)
    for field in ("uid", "resourceVersion"):
        raw["metadata"].pop(field, None)
    return raw


@pytest.mark.parametrize("policy", POLICIES)
def test_orphans_are_adopted_by_a_new_set(policy: str) -> None:
    """A set deleted with --cascade=orphan and created again takes its pods and revisions back, and restarts none."""
    world = running(policy=policy, claims=[claim_template("www")])
    uids = [there(world, "Pod", name)["metadata"]["uid"] for name in world.names("Pod")]
    world.delete("StatefulSet", "web", orphans=True)
    world.collect_garbage()
    assert len(world.names("Pod")) == 3
    world.put(manifest(policy=policy, claims=[claim_template("www")]))
    outcome = world.sync(KEY)
    assert [in_words_or_none(write).split()[0] for write in outcome.done] == ["adopt"] * 4 + ["status"]
    assert settle(world) == []
    assert [there(world, "Pod", name)["metadata"]["uid"] for name in world.names("Pod")] == uids


def test_a_set_just_deleted_adopts_nothing() -> None:
    """S18: the view says that the set lives, the API says that it is gone."""
    world = World([manifest(), bare_pod("web-0")], NOW_S)
    view = world.view()
    world.delete("StatefulSet", "web")
    course = world.course(KEY, view)
    with pytest.raises(StopIteration) as stop:
        next(course)
    assert stop.value.value.failures == ("original StatefulSet default/web is gone",)


def test_a_set_made_anew_adopts_nothing_for_the_old_one() -> None:
    """S18: a set of the same name with another UID is not the one that planned."""
    world = World([manifest(), bare_pod("web-0")], NOW_S)
    view = world.view()
    world.delete("StatefulSet", "web")
    world.put(manifest())
    with pytest.raises(StopIteration):
        next(world.course(KEY, view))


def test_a_set_on_its_way_out_adopts_nothing() -> None:
    """S18: a deletionTimestamp that the view does not have yet is seen in time."""
    world = World([manifest(), bare_pod("web-0")], NOW_S)
    view = world.view()
    raw = manifest()
    raw["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    world.put(raw)
    with pytest.raises(StopIteration) as stop:
        next(world.course(KEY, view))
    assert stop.value.value.failures == ("StatefulSet default/web has just been deleted",)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_relabelled_pod_is_released_and_its_name_waited_for(policy: str) -> None:
    """S17, S20: the pod goes its own way, and its name is taken until it is gone."""
    world = running(policy=policy)
    raw = there(world, "Pod", "web-1")
    world.put({**raw, "metadata": {**raw["metadata"], "labels": {"app": "other"}}})
    outcome = world.sync(KEY)
    assert in_words_or_none(outcome.done[0]) == "release web-1"
    assert outcome.failures == ('Pod "web-1" already exists',)
    world.delete("Pod", "web-1")
    assert settle(world) == ["create web-1 v1"]


def test_a_stale_claim_holds_up_scaling_until_it_is_gone() -> None:
    """S15: with whenScaled Delete the pod comes back on a fresh claim, not on the one that is to be deleted."""
    options: dict[str, Any] = {"retention": ("Retain", "Delete"), "claims": [claim_template("www")]}
    world = running(**options)
    world.put(manifest(**options, replicas=2))
    for _ in range(3):
        world.sync(KEY)
        world.run_kubelet()
    old = there(world, "PersistentVolumeClaim", "www-web-2")
    world.put(manifest(**options))
    assert pod_words(world.sync(KEY)) == []
    world.collect_garbage()
    assert settle(world) == ["create web-2 v1"]
    new = there(world, "PersistentVolumeClaim", "www-web-2")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


# Revisions


def test_a_taken_revision_name_counts_a_collision() -> None:
    """S24: another revision under the name gives the next name, and the count goes into the status."""
    probe = World([manifest()], NOW_S)
    probe.sync(KEY)
    (name,) = probe.names("ControllerRevision")
    foreign = {
        "kind": "ControllerRevision",
        "metadata": {"name": name, "ownerReferences": [owner("other", name="other")]},
        "data": {"spec": {"template": {}}},
        "revision": 1,
    }
    world = World([manifest(), foreign], NOW_S)
    outcome = world.sync(KEY)
    assert outcome.failures == ()
    assert status(world)["collisionCount"] == 1
    assert len(world.names("ControllerRevision")) == 2


def test_a_revision_that_was_written_already_is_taken() -> None:
    """S24: the same data under the name are the revision; nothing is counted."""
    world = World([manifest()], NOW_S)
    before = world.view()
    world.sync(KEY)
    course = world.course(KEY, before)
    _, write = next(course)
    assert isinstance(write, CreateRevision)
    _, write = course.send(RefusedError("AlreadyExists", "taken"))
    assert isinstance(write, CreatePod)
    assert status(world)["collisionCount"] == 0


# Growth


def test_claims_grow_and_never_shrink() -> None:
    """With claim growth, claims follow a larger template, and stay where it is smaller."""
    options: dict[str, Any] = {"annotations": annotated(claim_growth="true")}
    world = running(**options, claims=[claim_template("www", "1Gi")])
    for storage, expected in (("3Gi", "3Gi"), ("2Gi", "3Gi")):
        world.put(manifest(**options, claims=[claim_template("www", storage)]))
        settle(world)
        claims = [there(world, "PersistentVolumeClaim", f"www-web-{index}") for index in range(3)]
        assert [one["spec"]["resources"]["requests"]["storage"] for one in claims] == [expected] * 3


# The API


def lone() -> World:
    set = manifest()
    set["metadata"]["uid"] = SET_UID
    claim = {**claim_template("www-web-0"), "metadata": {"name": "www-web-0"}}
    revision = {"kind": "ControllerRevision", "metadata": {"name": "r"}, "data": {}, "revision": 1}
    return World([set, raw_pod("0 v1 ready"), claim, revision], NOW_S)


def changed(world: World, kind: str, name: str, *, anew: bool) -> None:
    """Change an object, or put another one in its place."""
    raw = there(world, kind, name)
    metadata = {**raw["metadata"], "labels": {"app": "nginx", "touched": "yes"}}
    if anew:
        metadata["uid"] = "another"
    world.put({**raw, "metadata": metadata})


def seen(world: World) -> dict[str, Any]:
    """One write of each kind, made from what is there now."""
    raws = {kind: there(world, kind, name) for kind, name in OBJECTS}
    pod, claim = read_pod(raws["Pod"]), read_claim(raws["PersistentVolumeClaim"])
    one = read_revision(raws["ControllerRevision"])
    set = read_set(raws["StatefulSet"])
    return {
        "delete": DeletePod(pod, Cause.UPDATE),
        "update": UpdatePod(pod, {"a": "1"}, ()),
        "adopt": AdoptPod(pod),
        "release": ReleasePod(pod),
        "own": SetClaimOwners("web-0", claim, (set.reference(),)),
        "grow": GrowClaim("web-0", claim, "2Gi"),
        "renumber": RenumberRevision(one, 5),
        "forget": DeleteRevision(one),
        "adopt revision": AdoptRevision(one),
        "status": WriteStatus(set.metadata, set.status),
    }


OBJECTS = [
    ("StatefulSet", "web"),
    ("Pod", "web-0"),
    ("PersistentVolumeClaim", "www-web-0"),
    ("ControllerRevision", "r"),
]
PRECONDITIONS = [
    # write, when the object changed, when it is another one, when it is gone
    ("delete", "Conflict", "Conflict", None),
    ("update", None, "Conflict", "NotFound"),
    ("adopt", None, "Conflict", "NotFound"),
    ("release", None, None, None),
    ("own", "Conflict", "Conflict", "NotFound"),
    ("grow", "Conflict", "Conflict", "NotFound"),
    ("renumber", "Conflict", "Conflict", "NotFound"),
    ("forget", "Conflict", "Conflict", None),
    ("adopt revision", None, "Conflict", "NotFound"),
    ("status", "Conflict", "Conflict", "NotFound"),
]


@pytest.mark.parametrize(("name", "if_changed", "if_another", "if_gone"), PRECONDITIONS)
def test_preconditions(name: str, if_changed: str | None, if_another: str | None, if_gone: str | None) -> None:
    """A write made from an old view is refused where the object has changed; what is gone need not be deleted."""
    for make, expected in (
        (lambda world: [changed(world, *one, anew=False) for one in OBJECTS], if_changed),
        (lambda world: [changed(world, *one, anew=True) for one in OBJECTS], if_another),
        (vanish, if_gone),
    ):
        world = lone()
        set, write = read_set(there(world, "StatefulSet", "web")), seen(world)[name]
        make(world)
        before = world.view()
        if expected is None:
            world.apply(set, write)
            continue
        with pytest.raises(RefusedError) as refused:
            world.apply(set, write)
        assert refused.value.reason == expected
        assert world.view() == before


def vanish(world: World) -> None:
    for kind, name in OBJECTS:
        world.delete(kind, name)
    world.finish_deletion("web-0")


def test_writes_change_what_they_say() -> None:
    """Each write has its effect, and a new resourceVersion where something changed."""
    pod, claim, one = ("Pod", "web-0"), ("PersistentVolumeClaim", "www-web-0"), ("ControllerRevision", "r")
    effects: dict[str, tuple[tuple[str, str], Callable[[Json], Any], Any]] = {
        "delete": (pod, lambda raw: raw["metadata"]["deletionTimestamp"], "2027-01-15T08:00:00Z"),
        "update": (pod, lambda raw: raw["metadata"]["labels"]["a"], "1"),
        "release": (pod, lambda raw: raw["metadata"]["ownerReferences"], []),
        "own": (claim, lambda raw: raw["metadata"]["ownerReferences"][0]["kind"], "StatefulSet"),
        "grow": (claim, lambda raw: raw["spec"]["resources"]["requests"]["storage"], "2Gi"),
        "renumber": (one, lambda raw: raw["revision"], 5),
        "adopt revision": (one, lambda raw: raw["metadata"]["ownerReferences"][0]["uid"], SET_UID),
        "status": (("StatefulSet", "web"), lambda raw: raw["status"]["replicas"], 0),
    }
    for name, ((kind, object_name), effect, expected) in effects.items():
        world = lone()
        before = there(world, kind, object_name)["metadata"]["resourceVersion"]
        world.apply(read_set(there(world, "StatefulSet", "web")), seen(world)[name])
        after = there(world, kind, object_name)
        assert effect(after) == expected, name
        assert int(after["metadata"]["resourceVersion"]) > int(before), name
    world = lone()
    world.apply(read_set(there(world, "StatefulSet", "web")), seen(world)["forget"])
    assert world.names("ControllerRevision") == []


def test_names_collide() -> None:
    """Nothing is created under a name that is taken."""
    world = lone()
    set = read_set(there(world, "StatefulSet", "web"))
    for write in (
        CreatePod({"kind": "Pod", "metadata": {"name": "web-0"}}),
        CreateClaim("web-0", {"kind": "PersistentVolumeClaim", "metadata": {"name": "www-web-0"}}),
        CreateRevision({"kind": "ControllerRevision", "metadata": {"name": "r"}}),
    ):
        with pytest.raises(RefusedError) as refused:
            world.apply(set, write)
        assert refused.value.reason == "AlreadyExists"


def test_a_pod_of_another_controller_is_not_adopted() -> None:
    """The API allows one controller."""
    world = lone()
    world.put(raw_pod("0 v1 ready", ownerReferences=[owner("other")]))
    with pytest.raises(RefusedError) as refused:
        world.apply(read_set(there(world, "StatefulSet", "web")), seen(world)["adopt"])
    assert refused.value.reason == "Invalid"


def test_volumes_of_a_pod_cannot_change() -> None:
    """S6: the API refuses other volumes."""
    world = lone()
    pod = read_pod(there(world, "Pod", "web-0"))
    with pytest.raises(RefusedError) as refused:
        world.apply(read_set(there(world, "StatefulSet", "web")), UpdatePod(pod, {}, ({"name": "www"},)))
    assert refused.value.reason == "Invalid"


def test_what_is_told_is_kept_and_what_is_refused_sends_nothing() -> None:
    """Warnings can be read off the world."""
    world = lone()
    set = read_set(there(world, "StatefulSet", "web"))
    before = world.view()
    world.apply(set, Tell("Reason", "words"))
    world.apply(set, Refuse("web-0", "Create", "no"))
    assert world.events == [("Reason", "words")]
    assert world.view() == before


def test_generation_follows_the_specification() -> None:
    """A change of spec is a new generation, a status is not."""
    world = World([manifest()], NOW_S)
    world.put(manifest())
    world.sync(KEY)
    assert there(world, "StatefulSet", "web")["metadata"]["generation"] == 1
    world.put(manifest(replicas=4))
    raw = there(world, "StatefulSet", "web")
    assert raw["metadata"]["generation"] == 2
    assert raw["status"]["observedGeneration"] == 1


def test_a_deleted_claim_stays_while_a_pod_uses_it() -> None:
    """The pod goes first; then a pending successor's claim is made anew."""
    world = running(claims=[claim_template("www")])
    world.delete("PersistentVolumeClaim", "www-web-0")
    assert "deletionTimestamp" in there(world, "PersistentVolumeClaim", "www-web-0")["metadata"]
    world.delete("Pod", "web-0")
    world.finish_deletion("web-0")
    assert world.get("PersistentVolumeClaim", "www-web-0") is None
    assert settle(world) == ["create web-0 v1"]
    assert "deletionTimestamp" not in there(world, "PersistentVolumeClaim", "www-web-0")["metadata"]


def test_a_pod_starts_once_its_claims_are_there() -> None:
    """A pending pod waits for its claims; they are bound when it starts."""
    world = World([manifest(claims=[claim_template("www")])], NOW_S)
    world.sync(KEY)
    world.delete("PersistentVolumeClaim", "www-web-0")
    assert not world.start("web-0")
    world.delete("Pod", "web-0")
    world.finish_deletion("web-0")
    world.sync(KEY)
    assert world.start("web-0")
    assert there(world, "PersistentVolumeClaim", "www-web-0")["status"]["phase"] == "Bound"


def test_only_dangling_owners_count_as_garbage() -> None:
    """What has one owner left stays with that one; what others own is none of our business."""
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "ownerReferences": [owner("gone"), owner("x", kind="Other", name="o")]},
        "spec": {},
    }
    world = World([claim], NOW_S)
    world.collect_garbage()
    owners = there(world, "PersistentVolumeClaim", "c")["metadata"]["ownerReferences"]
    assert [one["uid"] for one in owners] == ["x"]


def test_a_set_that_is_gone_has_nothing_to_do() -> None:
    """A sync without a set is over at once."""
    assert World().sync(KEY) == Outcome(None)


def test_the_template_stays_raw() -> None:
    """Fields that nobody knows reach the pod."""
    raw = manifest()
    raw["spec"]["template"] = {**template("v1")}
    raw["spec"]["template"]["spec"]["futureField"] = {"a": [None, 1.5]}
    world = World([raw], NOW_S)
    world.sync(KEY)
    assert there(world, "Pod", "web-0")["spec"]["futureField"] == {"a": [None, 1.5]}
