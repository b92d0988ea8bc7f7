"""What is sent for each action, and what is told of its end: requests and events are written out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from headlessdns.cluster.answer import Answer
from headlessdns.controller import apply
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
    Slot,
    Step,
    Tell,
    UpdatePod,
)
from headlessdns.controller.apply import Applier, GoneError, NotLeaderError, SlotError, WriteError
from headlessdns.controller.events import Recorder
from headlessdns.controller.model import OwnerReference, read_pod
from headlessdns.controller.observed import Observed, Watched
from headlessdns.controller.plan import Plan
from headlessdns.controller.queue import TokenBucket
from headlessdns.errors import ClusterError
from tests.controller.memory_api import refusal
from tests.controller.support import KEY, SET_UID, claim, owner, raw_pod, revision, web

Json = dict[str, Any]
NAMESPACE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
POD = read_pod(raw_pod("0 v1 ready", resourceVersion="42"))
CLAIM = claim("www-web-0", resourceVersion="17")
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
OWNER = owner()


class Api:
    """Answers every request with an object of version 50, or as `answers` says, by method and path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any, str]] = []
        self.answers: dict[tuple[str, str], list[Answer | ClusterError]] = {}
        self.timeouts_s: list[float] = []
        self.at_once = self.most_at_once = 0

    def refuse(self, method: str, path: str, *answers: Answer | ClusterError) -> None:
        self.answers[method, path] = list(answers)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 0.0,
    ) -> Answer:
        self.asked.append((method, path, body, content_type))
        self.timeouts_s.append(timeout_s)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        left = self.answers.get((method, path))
        if left:
            found = left.pop(0)
            if isinstance(found, ClusterError):
                raise found
            return found
        name = body["metadata"]["name"] if method == "POST" and isinstance(body, dict) else path.rpartition("/")[2]
        metadata = {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "resourceVersion": "50"}
        return Answer(200, "", msgspec.json.encode({"metadata": metadata}))


class Told(Recorder):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def tell(self, set: Any, type: str, reason: str, message: str) -> None:
        self.events.append((type, reason, message))


class Bench:
    """An applier, the API that it writes to, and what became of it."""

    def __init__(self, *, qps: float = 0, timeout_s: Callable[[], float] = lambda: 7.0) -> None:
        self.now_s = 0.0
        self.api = Api()
        self.told = Told()
        self.observed = Observed(lambda: self.now_s)
        bucket = TokenBucket(qps, 1, lambda: self.now_s)
        self.applier = Applier(self.api, self.observed, bucket, self.told, timeout_s)
        self.deleted: list[DeletePod] = []

    def run(self, *slots: Slot, is_burst: bool = False) -> None:
        asyncio.run(self.applier.run(web(), [Step(slots, is_burst)], self.deleted))

    def prepare(self, **plan: Any) -> None:
        asyncio.run(self.applier.prepare(web(), Plan(**plan)))

    @property
    def unseen(self) -> list[tuple[Watched, str, int]]:
        """Which own writes are awaited: kind, name and version, 0 for a deletion."""
        return [(one.kind, one.name, one.version) for one in self.observed.unseen(KEY)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def manifest(kind: str, name: str) -> Json:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default"}}


def create_pod(ordinal: int = 0) -> CreatePod:
    return CreatePod(manifest("Pod", f"web-{ordinal}"))


def create_claim(name: str = "www") -> CreateClaim:
    return CreateClaim("web-0", manifest("PersistentVolumeClaim", f"{name}-web-0"))


DELETE_POD = DeletePod(POD, Cause.UPDATE)
POD_SEEN = {"uid": "uid-of-web-0", "resourceVersion": "42"}
CLAIM_SEEN = {"uid": "uid-of-www-web-0", "resourceVersion": "17"}
POD_PATH, PODS = f"{NAMESPACE}/pods/web-0", f"{NAMESPACE}/pods"
CLAIM_PATH, CLAIMS = f"{NAMESPACE}/persistentvolumeclaims/www-web-0", f"{NAMESPACE}/persistentvolumeclaims"
REVISION_PATH, REVISIONS = f"{APPS}/controllerrevisions/v1", f"{APPS}/controllerrevisions"
SET_PATH = f"{APPS}/statefulsets/web"
JSON = "application/json"
CONFLICT = refusal(409, "Conflict", "the object has been modified")
FORBIDDEN = refusal(403, "Forbidden", "no quota")


# What is sent

SENT = [
    pytest.param(
        create_pod(), ("POST", PODS, manifest("Pod", "web-0"), JSON), (Watched.POD, "web-0", 50), id="create a pod"
    ),
    pytest.param(
        create_claim(),
        ("POST", CLAIMS, manifest("PersistentVolumeClaim", "www-web-0"), JSON),
        (Watched.CLAIM, "www-web-0", 50),
        id="create a claim",
    ),
    pytest.param(
        DELETE_POD,
        ("DELETE", POD_PATH, {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": POD_SEEN}, JSON),
        (Watched.POD, "web-0", 0),
        id="delete a pod in the state that was seen",
    ),
    pytest.param(
        SetClaimOwners("web-0", CLAIM, (OwnerReference("v1", "Pod", "web-0", "uid-of-web-0", True, True),)),
        (
            "PATCH",
            CLAIM_PATH,
            {
                "metadata": {
                    **CLAIM_SEEN,
                    "ownerReferences": [
                        {
                            "apiVersion": "v1",
                            "kind": "Pod",
                            "name": "web-0",
                            "uid": "uid-of-web-0",
                            "controller": True,
                            "blockOwnerDeletion": True,
                        }
                    ],
                }
            },
            MERGE,
        ),
        (Watched.CLAIM, "www-web-0", 50),
        id="let a claim in the state that was seen belong to a pod",
    ),
    pytest.param(
        GrowClaim("web-0", CLAIM, "2Gi"),
        (
            "PATCH",
            CLAIM_PATH,
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}, "metadata": CLAIM_SEEN},
            MERGE,
        ),
        (Watched.CLAIM, "www-web-0", 50),
        id="grow a claim in the state that was seen",
    ),
]


@pytest.mark.parametrize(("action", "request_", "awaited"), SENT)
def test_request(bench: Bench, action: Any, request_: Any, awaited: Any) -> None:
    """An action is one request, which is awaited in the cache, and has as long as the lease leaves it."""
    bench.observed.put(Watched.POD, POD)
    bench.run((action,))
    assert bench.api.asked == [request_]
    assert bench.unseen == [awaited]
    assert bench.api.timeouts_s == [7.0]


OWNERSHIP = [
    pytest.param(
        {"claim_pods": (AdoptPod(POD),)},
        POD_PATH,
        {"metadata": {**POD_SEEN, "ownerReferences": [OWNER]}},
        Watched.POD,
        id="adopt a pod",
    ),
    pytest.param(
        {"claim_pods": (ReleasePod(POD),)},
        POD_PATH,
        {"metadata": {**POD_SEEN, "ownerReferences": [{"$patch": "delete", "uid": SET_UID}]}},
        Watched.POD,
        id="release a pod",
    ),
    pytest.param(
        {"adopt": (AdoptRevision(revision("v1", 1)),)},
        REVISION_PATH,
        {"metadata": {"uid": "uid-of-v1", "resourceVersion": "1", "ownerReferences": [OWNER]}},
        Watched.REVISION,
        id="adopt a revision",
    ),
]


@pytest.mark.parametrize(("plan", "path", "body", "kind"), OWNERSHIP)
def test_ownership(bench: Bench, plan: Json, path: str, body: Json, kind: Watched) -> None:
    """Ownership changes by a strategic patch on the object as it was seen; an adoption looks first (S17, S18)."""
    bench.api.refuse("GET", SET_PATH, Answer(200, "", b'{"metadata": {"name": "web", "uid": "uid-of-web"}}'))
    bench.prepare(**plan)
    *looks, sent = bench.api.asked
    assert looks == ([] if "release" in str(body) or "$patch" in str(body) else [("GET", SET_PATH, None, JSON)])
    assert sent == ("PATCH", path, body, STRATEGIC)
    assert bench.unseen == [(kind, path.rpartition("/")[2], 50)]


def test_history_requests(bench: Bench) -> None:
    """A revision is created with the octets that its name was reckoned from, renumbered, and deleted as it was seen."""
    bench.prepare(revision=CreateRevision({"metadata": {"name": "v9"}, "data": {"b": "<é>", "a": 1}, "revision": 3}))
    bench.prepare(revision=RenumberRevision(revision("v1", 1), 4))
    asyncio.run(bench.applier.forget(web(), [DeleteRevision(revision("v1", 1))]))
    seen = {"uid": "uid-of-v1", "resourceVersion": "1"}
    assert bench.api.asked == [
        (
            "POST",
            REVISIONS,
            '{"data":{"a":1,"b":"\\u003cé\\u003e"},"metadata":{"name":"v9"},"revision":3}'.encode(),
            JSON,
        ),
        ("PATCH", REVISION_PATH, {"revision": 4, "metadata": seen}, MERGE),
        ("DELETE", REVISION_PATH, {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": seen}, JSON),
    ]


def test_status_request(bench: Bench) -> None:
    """A status replaces the one of the set as it was seen, by a patch of its own subresource."""
    asyncio.run(bench.applier.write_status(web(), {"replicas": 3}))
    body = {"status": {"replicas": 3}, "metadata": {"uid": SET_UID, "resourceVersion": "1"}}
    assert bench.api.asked == [("PATCH", f"{SET_PATH}/status", body, MERGE)]


def raw_there() -> Json:
    raw = raw_pod("0 v1 ready", resourceVersion="60")
    raw["spec"] |= {"volumes": [{"name": "www", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}], "unknown": 1}
    return raw


WWW = {"name": "www", "persistentVolumeClaim": {"claimName": "www-web-0"}}


def answer(raw: Json) -> Answer:
    return Answer(200, "", msgspec.json.encode(raw))


def test_update_writes_the_whole_pod_back(bench: Bench) -> None:
    """A pod is read, given what it lacks, and written back with fields that we do not know; volumes of claims first."""
    bench.api.refuse("GET", POD_PATH, answer(raw_there()))
    bench.run((UpdatePod(POD, {"apps.kubernetes.io/pod-index": "0"}, (WWW,)),))
    (_, (method, path, body, _)) = bench.api.asked
    assert (method, path, body["metadata"]["resourceVersion"]) == ("PUT", POD_PATH, "60")
    assert body["spec"]["volumes"] == [WWW, {"name": "tmp", "emptyDir": {}}]
    assert body["spec"]["unknown"] == 1
    assert body["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    assert bench.told.events == [("Normal", "SuccessfulUpdate", "Update Pod web-0 in StatefulSet web successful")]


def test_update_is_tried_four_times(bench: Bench) -> None:
    """An update that meets conflicts reads the pod anew, four times in all, and then is silent (S6)."""
    bench.api.refuse("GET", POD_PATH, *[answer(raw_there())] * 4)
    bench.api.refuse("PUT", POD_PATH, *[CONFLICT] * 4)
    with pytest.raises(SlotError) as raised:
        bench.run((UpdatePod(POD, {"a": "b"}, ()),))
    assert raised.value.is_conflict
    assert [method for method, *_ in bench.api.asked] == ["GET", "PUT"] * 4
    assert bench.told.events == []


def test_update_leaves_another_pod_of_that_name_alone(bench: Bench) -> None:
    """A pod that was deleted and created anew since it was seen is not written to."""
    raw = raw_there()
    raw["metadata"]["uid"] = "another"
    bench.api.refuse("GET", POD_PATH, answer(raw))
    with pytest.raises(SlotError, match="another pod by now"):
        bench.run((UpdatePod(POD, {"a": "b"}, ()),))
    assert [method for method, *_ in bench.api.asked] == ["GET"]


# Events (S49)

WEB = "in StatefulSet web"
SUCCESSES = [
    pytest.param(create_pod(), ("Normal", "SuccessfulCreate", f"Create Pod web-0 {WEB} successful"), id="pod created"),
    pytest.param(DELETE_POD, ("Normal", "SuccessfulDelete", f"Delete Pod web-0 {WEB} successful"), id="pod deleted"),
    pytest.param(
        UpdatePod(POD, {}, ()),
        ("Normal", "SuccessfulUpdate", f"Update Pod web-0 {WEB} successful"),
        id="only claims were wrong",
    ),
    pytest.param(
        create_claim(),
        ("Normal", "SuccessfulCreate", f"Create Claim www-web-0 Pod web-0 {WEB} success"),
        id="claim created",
    ),
    pytest.param(
        GrowClaim("web-0", CLAIM, "2Gi"),
        ("Normal", "ClaimGrowth", "Claim www-web-0 asks for 2Gi now"),
        id="claim grown",
    ),
    pytest.param(Tell("Reason", "message"), ("Warning", "Reason", "message"), id="a warning of the plan"),
]


@pytest.mark.parametrize(("action", "event"), SUCCESSES)
def test_event_of_success(bench: Bench, action: Any, event: Any) -> None:
    """What was done is told in the words of the reference."""
    bench.run((action,))
    assert bench.told.events == [event]


NOT_GIVEN_AWAY = "could not update claim www-web-0 for delete policy ownerRefs: no quota"
CLAIM_FAILED = f"Create Claim www-web-0 for Pod web-0 {WEB} failed error: no quota"
FAILURES = [
    pytest.param(
        (create_pod(),),
        "POST",
        PODS,
        [("FailedCreate", f"Create Pod web-0 {WEB} failed error: no quota")],
        id="pod not created",
    ),
    pytest.param(
        (DELETE_POD,),
        "DELETE",
        POD_PATH,
        [("FailedDelete", f"Delete Pod web-0 {WEB} failed error: no quota")],
        id="pod not deleted",
    ),
    pytest.param(
        (UpdatePod(POD, {"a": "b"}, ()),),
        "GET",
        POD_PATH,
        [("FailedUpdate", f"Update Pod web-0 {WEB} failed error: no quota")],
        id="pod not updated",
    ),
    pytest.param(
        (SetClaimOwners("web-0", CLAIM, ()),),
        "PATCH",
        CLAIM_PATH,
        [("FailedUpdate", f"Update Pod web-0 {WEB} failed error: {NOT_GIVEN_AWAY}")],
        id="claim not given away",
    ),
    pytest.param(
        (GrowClaim("web-0", CLAIM, "2Gi"),),
        "PATCH",
        CLAIM_PATH,
        [("FailedClaimGrowth", "Claim www-web-0 cannot grow to 2Gi: no quota")],
        id="claim not grown",
    ),
    pytest.param(
        (create_claim(),), "POST", CLAIMS, [("FailedCreate", CLAIM_FAILED)], id="claim of a pending pod not created"
    ),
    pytest.param(
        (create_claim(), create_pod()),
        "POST",
        CLAIMS,
        [
            ("FailedCreate", CLAIM_FAILED),
            ("FailedCreate", f"Create Pod web-0 {WEB} failed error: failed to create PVC www-web-0: no quota"),
        ],
        id="no pod without its claim",
    ),
    pytest.param(
        (Refuse("web-0", "Create", "pvc www-web-0 is being deleted"),),
        "GET",
        SET_PATH,
        [("FailedCreate", f"Create Pod web-0 {WEB} failed error: pvc www-web-0 is being deleted")],
        id="refused by the plan",
    ),
    pytest.param((Refuse("web-0", "", "stale claim"),), "GET", SET_PATH, [], id="refused by the plan without a word"),
]


@pytest.mark.parametrize(("slot", "method", "path", "events"), FAILURES)
def test_event_of_failure(bench: Bench, slot: Slot, method: str, path: str, events: Any) -> None:
    """What was refused is told in the words of the reference, ends the slot, and nothing of it is awaited."""
    bench.api.refuse(method, path, FORBIDDEN)
    with pytest.raises(SlotError) as raised:
        bench.run(slot)
    assert bench.told.events == [("Warning", *event) for event in events]
    assert bench.unseen == []
    assert not raised.value.is_conflict


CONFLICTS = [
    pytest.param(create_pod(), "POST", PODS, id="pod exists"),
    pytest.param(DELETE_POD, "DELETE", POD_PATH, id="pod to delete has changed"),
    pytest.param(SetClaimOwners("web-0", CLAIM, ()), "PATCH", CLAIM_PATH, id="claim has changed"),
    pytest.param(GrowClaim("web-0", CLAIM, "2Gi"), "PATCH", CLAIM_PATH, id="claim to grow has changed"),
]


@pytest.mark.parametrize(("action", "method", "path"), CONFLICTS)
def test_conflicts_are_silent(bench: Bench, action: Any, method: str, path: str) -> None:
    """That the cluster is further on than what was seen is told to nobody."""
    exists = refusal(409, "AlreadyExists", "already exists")
    bench.api.refuse(method, path, exists if method == "POST" else CONFLICT)
    with pytest.raises(SlotError) as raised:
        bench.run((action,))
    assert raised.value.is_conflict
    assert bench.told.events == []


FOREIGN = [
    pytest.param([owner("uid-of-other", kind="ReplicaSet", name="other")], id="owned by another"),
    pytest.param([], id="owned by nobody"),
]


@pytest.mark.parametrize("owners", FOREIGN)
def test_a_foreign_pod_is_told_once(bench: Bench, owners: list[Json]) -> None:
    """That a pod of somebody else has our name is told with the condition about names, and not here as well."""
    bench.observed.put(Watched.POD, read_pod(raw_pod("0 v1 ready", ownerReferences=owners)))
    bench.api.refuse("POST", PODS, refusal(409, "AlreadyExists", "already exists"))
    with pytest.raises(SlotError):
        bench.run((create_pod(),))
    assert bench.told.events == []


def test_own_pod_of_that_name_is_not_told(bench: Bench) -> None:
    """A pod of ours that came meanwhile is none of those."""
    bench.observed.put(Watched.POD, read_pod(raw_pod("0 v1 ready")))
    bench.api.refuse("POST", PODS, refusal(409, "AlreadyExists", "already exists"))
    with pytest.raises(SlotError):
        bench.run((create_pod(),))
    assert bench.told.events == []


def test_gone_is_deleted(bench: Bench) -> None:
    """A pod that is not there any more is deleted, is told so, and its disappearance is awaited."""
    bench.observed.put(Watched.POD, POD)
    bench.api.refuse("DELETE", POD_PATH, refusal(404, "NotFound", "not found"))
    bench.run((DELETE_POD,))
    assert bench.told.events == [("Normal", "SuccessfulDelete", f"Delete Pod web-0 {WEB} successful")]
    assert bench.deleted == [DELETE_POD]
    assert bench.unseen == [(Watched.POD, "web-0", 0)]


def test_several_claims_fail_as_one(bench: Bench) -> None:
    """Every claim is tried, what failed is told as one list, and the pod is not created (S10)."""
    bench.api.refuse("POST", CLAIMS, FORBIDDEN, refusal(422, "Invalid", "too small"))
    with pytest.raises(SlotError) as raised:
        bench.run((create_claim("a"), create_claim("b"), create_claim("c"), create_pod()))
    expected = "[failed to create PVC a-web-0: no quota, failed to create PVC b-web-0: too small]"
    assert str(raised.value) == expected
    assert [path for _, path, *_ in bench.api.asked] == [CLAIMS] * 3
    assert bench.told.events[-1] == ("Warning", "FailedCreate", f"Create Pod web-0 {WEB} failed error: {expected}")
    assert bench.unseen == [(Watched.CLAIM, "c-web-0", 50)]


# Orders


def test_one_slot_after_the_other(bench: Bench) -> None:
    """Without a burst a slot that fails ends the step at once."""
    bench.api.refuse("POST", PODS, answer(manifest("Pod", "web-0")), FORBIDDEN)
    with pytest.raises(SlotError):
        bench.run(*[(create_pod(ordinal),) for ordinal in range(5)])
    assert len(bench.api.asked) == 2
    assert bench.api.most_at_once == 1


def names(asked: Iterable[Any]) -> list[str]:
    return [body["metadata"]["name"] for _, _, body, _ in asked]


def test_burst_starts_slowly(bench: Bench) -> None:
    """A burst begins with 1, 2, 4 slots; one that fails ends it behind its batch, whose others are done (S35)."""
    success = answer(manifest("Pod", "web-0"))
    bench.api.refuse("POST", PODS, success, success, FORBIDDEN)
    with pytest.raises(SlotError):
        bench.run(*[(create_pod(ordinal),) for ordinal in range(9)], is_burst=True)
    assert names(bench.api.asked) == ["web-0", "web-1", "web-2"]
    bench.api.asked.clear()
    bench.api.refuse("POST", PODS, success, success, success, FORBIDDEN, FORBIDDEN)
    with pytest.raises(SlotError) as raised:
        bench.run(*[(create_pod(ordinal),) for ordinal in range(9)], is_burst=True)
    assert names(bench.api.asked) == [f"web-{ordinal}" for ordinal in range(7)]
    assert str(raised.value) == "no quota"


def test_burst_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pods there are, so many requests are out at once, and all are done."""
    monkeypatch.setattr(apply, "MAX_CONNECTIONS", 5)
    bench = Bench()
    bench.run(*[(create_pod(ordinal),) for ordinal in range(200)], is_burst=True)
    assert len(bench.api.asked) == 200
    assert bench.api.most_at_once == 5


# When nothing may be written


@pytest.mark.parametrize("is_burst", [False, True], ids=["one by one", "burst"])
def test_without_the_lease_nothing_is_sent(is_burst: bool) -> None:
    """Where the lease could have run out no request is made, and nothing is told."""
    bench = Bench(timeout_s=lambda: 0.0)
    with pytest.raises(NotLeaderError):
        bench.run((create_pod(),), (create_pod(1),), is_burst=is_burst)
    assert bench.api.asked == []
    assert bench.told.events == []


def test_lease_lost_within_a_burst() -> None:
    """A burst in whose midst the lease is lost ends as lost, though another of its slots failed otherwise."""
    left = iter([7.0, 7.0, 0.0])
    bench = Bench(timeout_s=lambda: next(left))
    bench.api.refuse("POST", PODS, answer(manifest("Pod", "web-0")), FORBIDDEN)
    with pytest.raises(NotLeaderError):
        bench.run(*[(create_pod(ordinal),) for ordinal in range(3)], is_burst=True)


def test_stop_ends_waits() -> None:
    """When nothing is to be sent any more, who waits for his turn gives up at once."""

    async def talk() -> None:
        bench = Bench(qps=0.01)
        task = asyncio.create_task(bench.applier.run(web(), [Step(((create_pod(),), (create_pod(1),)), False)], []))
        await asyncio.sleep(0.01)
        assert len(bench.api.asked) == 1
        bench.applier.stop()
        with pytest.raises(NotLeaderError):
            await asyncio.wait_for(task, 5)
        assert len(bench.api.asked) == 1

    asyncio.run(talk())


# Answers of the server


@pytest.mark.parametrize("status", [429, 500, 503])
def test_put_off(bench: Bench, status: int) -> None:
    """A request that the server puts off with Retry-After is sent again, and nobody is told."""
    bench.api.refuse("POST", PODS, refusal(status, "TooManyRequests", "later", "0"), refusal(status, "", "later", "0"))
    bench.run((create_pod(),))
    assert len(bench.api.asked) == 3
    assert [reason for _, reason, _ in bench.told.events] == ["SuccessfulCreate"]


def test_put_off_for_ever(bench: Bench) -> None:
    """After ten times it has failed."""
    bench.api.refuse("POST", PODS, *[refusal(429, "TooManyRequests", "later", "0")] * 20)
    with pytest.raises(SlotError):
        bench.run((create_pod(),))
    assert len(bench.api.asked) == 10


def test_server_error_is_no_delay(bench: Bench) -> None:
    """Without Retry-After a failure of the server is one."""
    bench.api.refuse("POST", PODS, refusal(500, "InternalError", "broken"))
    with pytest.raises(SlotError, match="broken"):
        bench.run((create_pod(),))
    assert len(bench.api.asked) == 1


def test_lost_answer_is_told_to_nobody(bench: Bench) -> None:
    """Nobody knows what became of a request without an answer: no event, and nothing is awaited."""
    bench.api.refuse("POST", PODS, ClusterError("no answer"))
    with pytest.raises(ClusterError):
        bench.run((create_pod(),))
    assert bench.told.events == []
    assert bench.unseen == []


def test_failure_that_is_no_status(bench: Bench) -> None:
    """What a proxy says instead of the API server is shown as it is."""
    bench.api.refuse("POST", PODS, Answer(502, "", b"Bad Gateway"))
    with pytest.raises(SlotError, match="Bad Gateway"):
        bench.run((create_pod(),))


def test_counts(bench: Bench) -> None:
    """Requests are counted by verb, kind of object and result."""
    bench.api.refuse("POST", CLAIMS, FORBIDDEN, ClusterError("no answer"))
    slots: list[Slot] = [(create_pod(),), (create_claim(),), (create_claim(),), (DELETE_POD,)]
    for slot in slots:
        with contextlib.suppress(SlotError, ClusterError):
            bench.run(slot)
    assert bench.applier.counts.done == {
        ("create", "Pod", "done"): 1,
        ("create", "PersistentVolumeClaim", "Forbidden"): 1,
        ("create", "PersistentVolumeClaim", "unanswered"): 1,
        ("delete", "Pod", "done"): 1,
    }


# The set itself


def test_set_that_is_gone(bench: Bench) -> None:
    """A set that is not there any more is no failed request."""
    bench.api.refuse("PATCH", f"{SET_PATH}/status", refusal(404, "NotFound", 'statefulsets.apps "web" not found'))
    with pytest.raises(GoneError):
        asyncio.run(bench.applier.write_status(web(), {}))
    bench.api.refuse("GET", SET_PATH, refusal(404, "NotFound", 'statefulsets.apps "web" not found'))
    with pytest.raises(GoneError):
        bench.prepare(claim_pods=(AdoptPod(POD),))
    assert len(bench.api.asked) == 2


def test_status_that_is_refused(bench: Bench) -> None:
    """A status that meets another state of the set is a conflict."""
    bench.api.refuse("PATCH", f"{SET_PATH}/status", CONFLICT)
    with pytest.raises(WriteError) as raised:
        asyncio.run(bench.applier.write_status(web(), {}))
    assert raised.value.is_conflict


ADOPTERS = [
    pytest.param(
        {"name": "web", "uid": "another"},
        "original StatefulSet default/web is gone: got uid another, wanted uid-of-web",
        id="another set of that name",
    ),
    pytest.param(
        {"name": "web", "uid": "uid-of-web", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "default/web has just been deleted at 2026-01-01T00:00:00Z",
        id="being deleted",
    ),
]


@pytest.mark.parametrize(("metadata", "message"), ADOPTERS)
def test_who_may_not_adopt(bench: Bench, metadata: Json, message: str) -> None:
    """A set that is not what it was, as the API server itself says, adopts nothing (S18)."""
    bench.api.refuse("GET", SET_PATH, answer({"metadata": metadata}))
    with pytest.raises(SlotError) as raised:
        bench.prepare(claim_pods=(AdoptPod(POD),))
    assert str(raised.value) == message
    assert len(bench.api.asked) == 1


@pytest.mark.parametrize("status", [404, 422], ids=["gone", "not ours any more"])
def test_release_of_what_is_not_ours(bench: Bench, status: int) -> None:
    """Giving up what is gone, or what somebody else has taken from us, is done."""
    bench.api.refuse("PATCH", POD_PATH, refusal(status, "", "no"))
    bench.prepare(claim_pods=(ReleasePod(POD),))


def test_every_pod_is_claimed_before_that_fails(bench: Bench) -> None:
    """One pod that cannot change hands does not keep the others from it, and ends the sync behind them."""
    other = read_pod(raw_pod("1 v1 ready"))
    bench.api.refuse("PATCH", POD_PATH, FORBIDDEN)
    with pytest.raises(SlotError, match="no quota"):
        bench.prepare(claim_pods=(ReleasePod(POD), ReleasePod(other)), revision=RenumberRevision(revision("v1", 1), 4))
    assert [path for _, path, *_ in bench.api.asked] == [POD_PATH, f"{NAMESPACE}/pods/web-1"]


NEW_REVISION = CreateRevision({"metadata": {"name": "v9"}, "data": {"a": 1}, "revision": 3})
TAKEN = [
    pytest.param({"a": 1}, None, id="the same data are there: it is the one"),
    pytest.param({"a": 2}, apply.CollisionError, id="other data are there: another name is needed"),
]


@pytest.mark.parametrize(("data", "error"), TAKEN)
def test_taken_name_of_a_revision(bench: Bench, data: Json, error: type[Exception] | None) -> None:
    """A revision whose name is taken is compared with the one that has it (S24)."""
    bench.api.refuse("POST", REVISIONS, refusal(409, "AlreadyExists", "already exists"))
    bench.api.refuse("GET", f"{REVISIONS}/v9", answer({"metadata": {"name": "v9"}, "data": data}))
    if error is None:
        bench.prepare(revision=NEW_REVISION)
    else:
        with pytest.raises(error):
            bench.prepare(revision=NEW_REVISION)


AGGREGATES = [
    pytest.param(["a"], "a", id="one"),
    pytest.param(["a", "a"], "a", id="one twice"),
    pytest.param(["a", "b", "a"], "[a, b]", id="two"),
]


@pytest.mark.parametrize(("messages", "expected"), AGGREGATES)
def test_aggregate(messages: list[str], expected: str) -> None:
    """Several errors are shown as the reference shows them."""
    assert apply.aggregate(messages) == expected
