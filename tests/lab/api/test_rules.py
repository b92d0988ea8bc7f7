"""What the conversations do not show: times, random names, addresses that come back."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.messages import Answer, Request
from headlessdns.lab.api.server import Api
from headlessdns.lab.api.store import Store

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Lab:
    """An API with a clock that tests turn."""

    def __init__(self, store: Store | None = None) -> None:
        self.now = START
        self.api = Api(store, clock=lambda: self.now, rng=random.Random(1))

    def ask(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **query: str
    ) -> tuple[int, Json]:
        octets = b"" if body is None else msgspec.json.encode(body)
        path = path if path.startswith("/") else f"/api/v1/namespaces/default/{path}"
        answer = self.api.handle(Request(method, path, query, octets, kind, user_agent="tester/1"))
        assert isinstance(answer, Answer)
        return answer.status, msgspec.json.decode(answer.body)

    def patch(self, path: str, body: Any) -> tuple[int, Json]:
        return self.ask("PATCH", path, body, kind="application/merge-patch+json")


@pytest.fixture
def lab() -> Lab:
    return Lab()


def pod(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def test_times_are_whole_seconds(lab: Lab) -> None:
    """A time of creation is in UTC and has whole seconds."""
    _, made = lab.ask("POST", "configmaps", {"metadata": {"name": "a"}})
    assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"


def test_a_uid_is_of_version_4(lab: Lab) -> None:
    """Every object has a random UID of its own."""
    uids = [lab.ask("POST", "configmaps", {"metadata": {"name": name}})[1]["metadata"]["uid"] for name in "ab"]
    assert [uid[14] for uid in uids] == ["4", "4"]
    assert uids[0] != uids[1]


def test_a_generated_name_fits(lab: Lab) -> None:
    """A generated name has at most 63 characters: a long prefix is cut."""
    _, made = lab.ask("POST", "configmaps", {"metadata": {"generateName": "a" * 70}})
    name = made["metadata"]["name"]
    assert (len(name), name[:58]) == (63, "a" * 58)


def test_a_grace_period_counts_from_the_first_deletion(lab: Lab) -> None:
    """A pod's end is its first deletion and the grace period; a shorter one moves it forward."""
    lab.ask("POST", "pods", pod("a", nodeName="n", terminationGracePeriodSeconds=60))
    _, marked = lab.ask("DELETE", "pods/a")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:05:05Z"
    lab.now = START + timedelta(seconds=10)
    _, marked = lab.ask("DELETE", "pods/a", gracePeriodSeconds="20")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:25Z"
    _, marked = lab.ask("DELETE", "pods/a", gracePeriodSeconds="40")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:25Z"


def test_a_negative_grace_period_is_a_second(lab: Lab) -> None:
    """Less than no grace is one second."""
    lab.ask("POST", "pods", pod("a", nodeName="n"))
    _, marked = lab.ask("DELETE", "pods/a", {"gracePeriodSeconds": -5})
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 1


def test_a_pod_that_a_finalizer_holds_outlives_its_kubelet(lab: Lab) -> None:
    """A pod whose containers have ended stays until its finalizers are taken off, and goes with the last."""
    lab.ask("POST", "pods", {**pod("a", nodeName="n"), "metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    lab.ask("DELETE", "pods/a")
    status, held = lab.ask("DELETE", "pods/a", gracePeriodSeconds="0")
    assert (status, held["metadata"]["deletionGracePeriodSeconds"]) == (200, 0)
    assert lab.ask("GET", "pods/a")[0] == 200
    lab.patch("pods/a", {"metadata": {"finalizers": None}})
    assert lab.ask("GET", "pods/a")[0] == 404


def test_a_finalizer_does_not_cut_a_grace_period_short(lab: Lab) -> None:
    """A pod that is still ending stays when its last finalizer goes."""
    lab.ask("POST", "pods", {**pod("a", nodeName="n"), "metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    lab.ask("DELETE", "pods/a")
    lab.patch("pods/a", {"metadata": {"finalizers": None}})
    assert lab.ask("GET", "pods/a")[1]["metadata"]["deletionGracePeriodSeconds"] == 30


def test_cluster_ips_are_given_in_turn(lab: Lab) -> None:
    """Addresses are given out in their order, and one that was given back is not the next."""
    made = [
        lab.ask("POST", "services", {"metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}})[1] for name in "ab"
    ]
    assert [service["spec"]["clusterIP"] for service in made] == ["10.96.0.11", "10.96.0.12"]
    lab.ask("DELETE", "services/b")
    _, third = lab.ask("POST", "services", {"metadata": {"name": "c"}, "spec": {"ports": [{"port": 1}]}})
    assert third["spec"]["clusterIP"] == "10.96.0.13"


def test_a_refused_service_takes_no_address(lab: Lab) -> None:
    """A Service that is refused, or only tried, leaves its address to others."""
    body = {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 1}]}}
    assert lab.ask("POST", "services", body, dryRun="All")[0] == 201
    assert lab.ask("POST", "services", body | {"metadata": {"name": "A_b"}})[0] == 422
    assert lab.ask("POST", "services", body)[0] == 201


def test_a_restarted_api_knows_what_was_given(lab: Lab) -> None:
    """An API over the objects of another gives out no address twice and serves the defined resources."""
    lab.ask("POST", "services", {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}})
    definition = {
        "metadata": {"name": "wishes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "wishes", "kind": "Wish"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    assert lab.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)[0] == 201
    again = Lab(Store(lab.api.store.commits(), version=lab.api.store.version))
    body = {"metadata": {"name": "b"}, "spec": {"clusterIP": "10.96.0.11", "ports": [{"port": 1}]}}
    assert again.ask("POST", "services", body)[0] == 422
    assert again.ask("GET", "/apis/example.com/v1/wishes")[0] == 200


def test_who_wrote_is_known_by_its_name(lab: Lab) -> None:
    """managedFields name the fieldManager of a write, or else the first word of the User-Agent."""
    _, made = lab.ask("POST", "configmaps", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["tester"]
    _, made = lab.ask("POST", "configmaps", {"metadata": {"name": "b"}, "data": {"k": "v"}}, fieldManager="me")
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["me"]


@pytest.mark.parametrize(
    ("budget", "ready", "evicted"),
    [
        pytest.param({"minAvailable": 1}, 2, True, id="one may go where one is enough"),
        pytest.param({"minAvailable": 2}, 2, False, id="none may go where all are needed"),
        pytest.param({"minAvailable": "50%"}, 2, True, id="half of two is one"),
        pytest.param({"maxUnavailable": 1}, 2, True, id="one may be gone"),
        pytest.param({"maxUnavailable": 1}, 1, False, id="one is gone already"),
        pytest.param({"maxUnavailable": 0}, 2, False, id="none may be gone"),
    ],
)
def test_budgets(lab: Lab, budget: Json, ready: int, evicted: bool) -> None:
    """An eviction keeps what a PodDisruptionBudget asks for of the pods that are there."""
    for number in range(2):
        body = pod(f"p{number}", nodeName="n")
        body["metadata"]["labels"] = {"app": "x"}
        lab.ask("POST", "pods", body)
        status = "True" if number < ready else "False"
        lab.patch(
            f"pods/p{number}/status",
            {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}},
        )
    spec = {**budget, "selector": {"matchLabels": {"app": "x"}}}
    lab.ask(
        "POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", {"metadata": {"name": "b"}, "spec": spec}
    )
    status, _ = lab.ask("POST", "pods/p0/eviction", {"metadata": {"name": "p0"}})
    assert status == (201 if evicted else 429)


@pytest.mark.parametrize("part", ["exec", "attach", "portforward", "proxy"])
def test_nothing_runs(lab: Lab, part: str) -> None:
    """What needs a container says in one line that nothing runs, and what to ask instead."""
    lab.ask("POST", "pods", pod("a"))
    status, answer = lab.ask("GET", f"pods/a/{part}")
    assert status == 400
    assert answer["message"].startswith("pod a is of a lab and runs nothing")
    assert "\n" not in answer["message"]


def test_a_review_in_protobuf_is_answered(lab: Lab) -> None:
    """Whether one may do something is answered without reading the question."""
    request = Request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {},
        b"k8s\0anything",
        "application/vnd.kubernetes.protobuf",
    )
    answer = lab.api.handle(request)
    assert isinstance(answer, Answer)
    assert (answer.status, msgspec.json.decode(answer.body)["status"]["allowed"]) == (201, True)
