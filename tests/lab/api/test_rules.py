"""What the conversations do not show: times, random names, addresses that come back."""

from __future__ import annotations

import random
from collections.abc import Callable
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


def node_port(name: str, *numbers: int, **spec: Any) -> Json:
    """A NodePort Service that asks for these node ports; 0 asks for any."""
    ports = [
        {"name": f"p{index}", "port": 80 + index, **({"nodePort": number} if number else {})}
        for index, number in enumerate(numbers)
    ]
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": ports, **spec}}


def node_ports_of(service: Json) -> list[int]:
    return [port["nodePort"] for port in service["spec"]["ports"]]


def test_node_ports_are_given_in_turn(lab: Lab) -> None:
    """Node ports are given out in their order, one that was given back is not the next, and one asked for is passed."""
    lab.ask("POST", "services", node_port("asked", 30088))
    assert node_ports_of(lab.ask("POST", "services", node_port("a", 0, 0))[1]) == [30086, 30087]
    lab.ask("DELETE", "services/a")
    assert node_ports_of(lab.ask("POST", "services", node_port("b", 0))[1]) == [30089]


def test_all_node_ports_are_given_out(lab: Lab) -> None:
    """What was given back comes again after the last port, then those that are kept for wishes; then it is over."""
    lab.ask("POST", "services", node_port("first", 0))
    for number in range(26):
        assert lab.ask("POST", "services", node_port(f"s{number}", *[0] * 100))[0] == 201
    assert node_ports_of(lab.ask("POST", "services", node_port("last", *[0] * 81))[1])[-1] == 32767
    lab.ask("DELETE", "services/first")
    assert node_ports_of(lab.ask("POST", "services", node_port("again", 0))[1]) == [30086]
    assert node_ports_of(lab.ask("POST", "services", node_port("kept", *[0] * 86))[1])[::85] == [30000, 30085]
    status, refusal = lab.ask("POST", "services", node_port("over", 0))
    assert (status, refusal["reason"]) == (500, "InternalError")
    assert refusal["message"] == "Internal error occurred: failed to allocate a nodePort: range is full"
    assert lab.ask("POST", "services", node_port("dry", 0), dryRun="All")[0] == 201
    local = node_port("local", 30001, type="LoadBalancer", externalTrafficPolicy="Local")
    lab.ask("DELETE", "services/kept")
    assert lab.ask("POST", "services", local)[1]["spec"]["healthCheckNodePort"] == 30000


def test_a_refused_service_takes_no_node_port(lab: Lab) -> None:
    """A Service that is refused, or only tried, leaves its node ports to others and keeps those that it had."""
    assert lab.ask("POST", "services", node_port("a", 30001), dryRun="All")[0] == 201
    assert lab.ask("POST", "services", node_port("A_b", 30001))[0] == 422
    assert lab.ask("POST", "services", node_port("a", 30001))[0] == 201
    assert lab.patch("services/a", {"spec": {"type": "ClusterIP", "ports": [{"port": 0}]}})[0] == 422
    assert lab.ask("POST", "services", node_port("b", 30001))[0] == 422


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lab: lab.ask("DELETE", "services/a"), id="deleted"),
        pytest.param(lambda lab: lab.patch("services/a", {"spec": {"type": "ClusterIP"}}), id="of another type"),
        pytest.param(
            lambda lab: lab.patch("services/a", {"spec": {"type": "ExternalName", "externalName": "a.b"}}),
            id="an external name",
        ),
        pytest.param(lambda lab: lab.ask("PUT", "services/a", node_port("a", 30003)), id="with another port"),
    ],
)
def test_node_ports_are_given_back(lab: Lab, change: Callable[[Lab], tuple[int, Json]]) -> None:
    """A node port and a health check's are free again once their Service has no use for them."""
    body = node_port("a", 30001, type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30002)
    assert lab.ask("POST", "services", body)[0] == 201
    assert lab.ask("POST", "services", node_port("b", 30001))[0] == 422
    assert lab.ask("POST", "services", node_port("b", 30002))[0] == 422
    assert change(lab)[0] == 200
    assert lab.ask("POST", "services", node_port("b", 30001, 30002))[0] == 201


def test_a_service_that_is_held_keeps_its_node_port(lab: Lab) -> None:
    """A deleted Service has its node port until its last finalizer goes, be it by a write of its status."""
    body = node_port("a", 30001)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    lab.ask("POST", "services", body)
    lab.ask("DELETE", "services/a")
    assert lab.ask("POST", "services", node_port("b", 30001))[0] == 422
    lab.patch("services/a/status", {"metadata": {"finalizers": None}})
    assert lab.ask("GET", "services/a")[0] == 404
    assert lab.ask("POST", "services", body)[0] == 201
    lab.ask("DELETE", "services/a")
    assert lab.ask("PUT", "services/a", node_port("a", 30002))[0] == 200
    assert lab.ask("GET", "services/a")[0] == 404
    assert lab.ask("POST", "services", node_port("b", 30001, 30002))[0] == 201


def test_a_restarted_api_knows_the_node_ports(lab: Lab) -> None:
    """An API over the objects of another gives out no node port twice, and none of a health check."""
    body = node_port("a", 0, type="LoadBalancer", externalTrafficPolicy="Local")
    _, made = lab.ask("POST", "services", body)
    assert (node_ports_of(made), made["spec"]["healthCheckNodePort"]) == ([30086], 30087)
    again = Lab(Store(lab.api.store.commits(), version=lab.api.store.version))
    assert again.ask("POST", "services", node_port("b", 30086))[0] == 422
    assert again.ask("POST", "services", node_port("b", 30087))[0] == 422
    assert node_ports_of(again.ask("POST", "services", node_port("b", 0))[1]) == [30088]


def test_a_cluster_ip_of_an_external_name_is_not_taken(lab: Lab) -> None:
    """An external name may keep an address that it asked for while it became one; it is anybody's."""
    lab.ask("POST", "services", {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}})
    spec = {"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.7.7"}
    status, changed = lab.ask("PUT", "services/a", {"metadata": {"name": "a"}, "spec": spec})
    assert (status, changed["spec"]["clusterIPs"]) == (200, ["10.96.7.7"])
    body = {"metadata": {"name": "b"}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 1}]}}
    assert lab.ask("POST", "services", body)[0] == 201


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
