"""EndpointSlices as a value: what is written for a Service, its pods, and the slices that are there."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import msgspec
import pytest

from headlessdns.lab.objects import MERGE_PATCH, Write
from headlessdns.lab.services import Pod, Service
from headlessdns.lab.slices import EndpointSlice, endpoint_for, ports_for, slice_writes
from tests.lab.backing import ENDING, NODES, T1, T2, WEB, Json, node, pod, service

SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"
OWNER = {
    "apiVersion": "v1",
    "kind": "Service",
    "name": "nginx",
    "uid": "s1",
    "controller": True,
    "blockOwnerDeletion": True,
}
LABELS = {
    "kubernetes.io/service-name": "nginx",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    "service.kubernetes.io/headless": "",
}
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
PORTLESS: Json = {"ports": []}


class Shelf:
    """The slices that an API server would have, after the writes of each turn."""

    def __init__(self) -> None:
        self.slices: dict[str, Json] = {}
        self._numbers = itertools.count(1)

    @property
    def present(self) -> list[EndpointSlice]:
        return [msgspec.convert(one, EndpointSlice) for one in self.slices.values()]

    def turn(self, made: Service, pods: list[Pod], triggered: str = "") -> list[Write]:
        """Write what is to be written, and return it."""
        writes = slice_writes(made, pods, NODES, self.present, triggered)
        for write in writes:
            name = write.path.removeprefix(SLICES).lstrip("/")
            if write.method == "POST":
                number = next(self._numbers)
                name = f"nginx-{number}"
                self.slices[name] = copy.deepcopy(write.body)
                self.slices[name]["metadata"] |= {"name": name, "uid": f"e{number}", "resourceVersion": "1"}
            elif write.method == "PATCH":
                self.slices[name] |= {key: value for key, value in write.body.items() if key != "metadata"}
                labels = self.slices[name]["metadata"]["labels"] | write.body["metadata"].get("labels", {})
                self.slices[name]["metadata"]["labels"] = {
                    key: value for key, value in labels.items() if value is not None
                }
            else:
                del self.slices[name]
        return writes

    @property
    def pods(self) -> dict[str, list[str]]:
        """The names of the pods in each slice."""
        return {name: [one["targetRef"]["name"] for one in found["endpoints"]] for name, found in self.slices.items()}

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(pods) for name, pods in self.pods.items()}


def kinds(writes: list[Write]) -> list[str]:
    """Return what is written to which slice."""
    return [f"{write.method} {write.path.removeprefix(SLICES).lstrip('/')}".strip() for write in writes]


def present(name: str = "nginx-1", *pods: Pod, **fields: Any) -> EndpointSlice:
    """Return the slice that a Service with these *pods* has; *fields* override, those of its metadata too."""
    (write,) = slice_writes(service(), list(pods), NODES, [])
    body = write.body | {key: value for key, value in fields.items() if key in ("addressType", "endpoints", "ports")}
    body["metadata"] |= {"name": name, "uid": "e1", "resourceVersion": "7"}
    body["metadata"] |= {key: value for key, value in fields.items() if key not in body}
    return msgspec.convert(body, EndpointSlice)


# What an endpoint says


@pytest.mark.parametrize(
    ("spec", "fields", "conditions"),
    [
        pytest.param({}, {}, {"ready": True, "serving": True, "terminating": False}, id="ready"),
        pytest.param({}, {"ready": False}, {"ready": False, "serving": False, "terminating": False}, id="not ready"),
        pytest.param(
            {}, {"metadata": ENDING}, {"ready": False, "serving": True, "terminating": True}, id="ends, still serving"
        ),
        pytest.param(
            {},
            {"metadata": ENDING, "ready": False},
            {"ready": False, "serving": False, "terminating": True},
            id="ends, serves no more",
        ),
        pytest.param(
            {"publishNotReadyAddresses": True},
            {"ready": False},
            {"ready": True, "serving": False, "terminating": False},
            id="published: not ready counts as ready",
        ),
        pytest.param(
            {"publishNotReadyAddresses": True},
            {"metadata": ENDING},
            {"ready": True, "serving": True, "terminating": True},
            id="published: an end counts as ready",
        ),
    ],
)
def test_conditions(spec: Json, fields: Json, conditions: Json) -> None:
    """A pod is ready if it says so and does not end, or if its Service publishes all; it serves while it says so."""
    endpoint = endpoint_for(service(**spec), pod(1, **fields), node(), "IPv4")
    assert msgspec.to_builtins(endpoint)["conditions"] == conditions


@pytest.mark.parametrize(
    ("spec", "fields", "machine"),
    [
        pytest.param({}, {"ips": []}, node(), id="no address yet"),
        pytest.param({}, {"ips": ["fd00::1"]}, node(), id="no address of the family"),
        pytest.param({}, {"phase": "Failed"}, node(), id="failed"),
        pytest.param({}, {"phase": "Succeeded"}, node(), id="succeeded"),
        pytest.param({"publishNotReadyAddresses": True}, {"phase": "Failed"}, node(), id="failed, published"),
        pytest.param({}, {}, None, id="its node does not exist"),
    ],
)
def test_no_endpoint(spec: Json, fields: Json, machine: Any) -> None:
    """A pod without an address, that has ended for good, or whose node is unknown, has no endpoint."""
    assert endpoint_for(service(**spec), pod(1, **fields), machine, "IPv4") is None


def test_published_without_a_node() -> None:
    """A Service that publishes all has pods whose node is unknown, too."""
    endpoint = endpoint_for(service(publishNotReadyAddresses=True), pod(1, nodeName=""), None, "IPv4")
    assert msgspec.to_builtins(endpoint) == {
        "addresses": ("10.244.0.1",),
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "hostname": "web-1",
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u1"},
    }


@pytest.mark.parametrize(
    ("spec", "fields", "hints"),
    [
        pytest.param({"trafficDistribution": "PreferSameZone"}, {}, {"forZones": ({"name": "zone-b"},)}, id="zone"),
        pytest.param({"trafficDistribution": "PreferClose"}, {}, {"forZones": ({"name": "zone-b"},)}, id="close"),
        pytest.param(
            {"trafficDistribution": "PreferSameNode"},
            {},
            {"forZones": ({"name": "zone-b"},), "forNodes": ({"name": "node-2"},)},
            id="node",
        ),
        pytest.param({"trafficDistribution": "PreferSameZone"}, {"ready": False}, None, id="not ready"),
        pytest.param({"trafficDistribution": "PreferSameZone"}, {"nodeName": "node-1"}, None, id="no zone"),
        pytest.param({"trafficDistribution": "Elsewhere"}, {}, None, id="a word that is not known"),
        pytest.param({}, {}, None, id="not asked for"),
        pytest.param(
            {"trafficDistribution": "PreferClose", "annotations": {"service.kubernetes.io/topology-mode": "Auto"}},
            {},
            None,
            id="an annotation asks for something else",
        ),
    ],
)
def test_hints(spec: Json, fields: Json, hints: Json | None) -> None:
    """A ready endpoint says where it should be used from, if its Service wants traffic to stay near."""
    one = pod(1, **{"nodeName": "node-2", **fields})
    endpoint = endpoint_for(service(**spec), one, NODES[one.spec.node_name or ""], "IPv4")
    assert msgspec.to_builtins(endpoint).get("hints") == hints


def test_ports() -> None:
    """A slice has each port of the Service that its pods have, unnamed ones and protocols of applications too."""
    dns = {"name": "", "port": 53, "protocol": "UDP", "targetPort": 5353, "appProtocol": "example.com/d"}
    missing = {"name": "m", "port": 9, "targetPort": "metrics"}
    found = ports_for(service(ports=[WEB, dns, missing]), pod(1))
    assert [msgspec.to_builtins(one) for one in found] == [
        HTTP,
        {"name": "", "port": 5353, "protocol": "UDP", "appProtocol": "example.com/d"},
    ]


# What is written


def test_creation() -> None:
    """The first slice of a Service, whole."""
    made = service(labels={"tier": "front", "kubernetes.io/service-name": "not this"})
    assert slice_writes(made, [pod(1, nodeName="node-2")], NODES, [], T1) == [
        Write(
            "POST",
            SLICES,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": "nginx-",
                    "namespace": "shop",
                    "labels": {"tier": "front", **LABELS},
                    "ownerReferences": [OWNER],
                    "annotations": {TRIGGERED: T1},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {
                        "addresses": ["10.244.0.1"],
                        "conditions": {"ready": True, "serving": True, "terminating": False},
                        "hostname": "web-1",
                        "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u1"},
                        "nodeName": "node-2",
                        "zone": "zone-b",
                    }
                ],
                "ports": [HTTP],
            },
        )
    ]


def test_a_service_without_pods_has_a_slice() -> None:
    """A Service without pods has one slice of each family, without endpoints and ports."""
    writes = slice_writes(service(ipFamilies=["IPv4", "IPv6"]), [], NODES, [])
    assert [(one.body["addressType"], one.body["endpoints"], one.body["ports"]) for one in writes] == [
        ("IPv4", [], []),
        ("IPv6", [], []),
    ]
    assert "annotations" not in writes[0].body["metadata"]


def test_update() -> None:
    """A change of a pod is one patch, which counts only for the version that it was made from."""
    before = present("nginx-1", pod(1), annotations={TRIGGERED: T1, "mine": "x"})
    (write,) = slice_writes(service(), [pod(1, ready=False)], NODES, [before])
    assert write._replace(body={}) == Write("PATCH", f"{SLICES}/nginx-1", {}, MERGE_PATCH)
    assert write.body["metadata"] == {"uid": "e1", "resourceVersion": "7", "annotations": {TRIGGERED: None}}
    assert write.body["endpoints"][0]["conditions"] == {"ready": False, "serving": False, "terminating": False}
    assert write.body["ports"] == [HTTP]


def test_labels_are_mended() -> None:
    """Labels of the Service that come and go, and ours that somebody took, are written."""
    labels = {**LABELS, "old": "1", "service.kubernetes.io/headless": "x"}
    (write,) = slice_writes(service(labels={"new": "2"}), [pod(1)], NODES, [present("nginx-1", pod(1), labels=labels)])
    assert write.body["metadata"]["labels"] == {"old": None, "new": "2", "service.kubernetes.io/headless": ""}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="as it was written"),
        pytest.param({"annotations": {TRIGGERED: T2}}, id="with an older time"),
        pytest.param({"ports": [HTTP]}, id="ports as they are"),
    ],
)
def test_nothing_to_write(fields: Json) -> None:
    """Where all is well nothing is written, whatever time it is."""
    assert slice_writes(service(), [pod(1)], NODES, [present("nginx-1", pod(1), **fields)], T1) == []


def test_nothing_to_write_for_an_empty_service() -> None:
    """The slice without endpoints stays, also as an API server has it, with null for lists."""
    assert slice_writes(service(), [], NODES, [present("nginx-1", endpoints=None, ports=None)], T1) == []


@pytest.mark.parametrize(
    "spec", [pytest.param({"selector": None}, id="no selector"), pytest.param({"type": "ExternalName"}, id="elsewhere")]
)
def test_slices_of_others_are_left_alone(spec: Json) -> None:
    """A Service that selects nothing keeps the slices that it has."""
    assert slice_writes(service(**spec), [pod(1)], NODES, [present("nginx-1")]) == []


def test_a_service_that_ends_gets_no_new_slice() -> None:
    """A Service whose deletion has begun gets no new slices; those that it has stay right."""
    ending = service(metadata=ENDING)
    assert slice_writes(ending, [pod(1)], NODES, []) == []
    assert kinds(slice_writes(ending, [pod(1, ready=False)], NODES, [present("nginx-1", pod(1))])) == ["PATCH nginx-1"]


def test_a_slice_that_ends_counts_for_nothing() -> None:
    """A slice whose deletion has begun is left to it; another takes its place."""
    assert kinds(slice_writes(service(), [pod(1)], NODES, [present("nginx-1", pod(1), **ENDING)])) == ["POST"]


def test_slices_of_an_older_service_of_the_name_go() -> None:
    """A slice that another Service of this name owned is deleted, by its UID, once there is a new one."""
    old = present("nginx-1", pod(1), ownerReferences=[{**OWNER, "uid": "s0"}])
    creation, deletion = slice_writes(service(), [pod(1)], NODES, [old])
    assert creation.method == "POST"
    assert deletion == Write(
        "DELETE",
        f"{SLICES}/nginx-1",
        {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "e1"}},
    )


def test_families_have_slices_of_their_own() -> None:
    """A pod with two addresses is in a slice of each family; a family that the Service gives up has none."""
    shelf = Shelf()
    two = [pod(1, ips=["10.244.0.1", "fd00::1"]), pod(2)]
    assert kinds(shelf.turn(service(ipFamilies=["IPv4", "IPv6"]), two)) == ["POST", "POST"]
    assert shelf.pods == {"nginx-1": ["web-1", "web-2"], "nginx-2": ["web-1"]}
    assert shelf.slices["nginx-2"]["endpoints"][0]["addresses"] == ["fd00::1"]
    assert kinds(shelf.turn(service(), two)) == ["DELETE nginx-2"]


def test_a_long_name() -> None:
    """A Service whose name leaves no room for a dash lends its slices the name itself."""
    (write,) = slice_writes(service(metadata={"name": "n" * 253}), [], NODES, [])
    assert write.body["metadata"]["generateName"] == "n" * 253


# How endpoints are distributed


def test_the_empty_slice_is_filled() -> None:
    """The slice of a Service without pods becomes the slice of its first pods, whatever ports they have."""
    shelf = Shelf()
    shelf.turn(service(), [])
    assert kinds(shelf.turn(service(), [pod(1)])) == ["PATCH nginx-1"]
    assert shelf.slices["nginx-1"]["ports"] == [HTTP]
    assert kinds(shelf.turn(service(), [])) == ["PATCH nginx-1"]
    assert (shelf.slices["nginx-1"]["endpoints"], shelf.slices["nginx-1"]["ports"]) == ([], [])


def test_the_empty_slice_of_a_service_without_ports_is_filled() -> None:
    """So does that of a headless Service without ports."""
    shelf = Shelf()
    shelf.turn(service(**PORTLESS), [])
    assert kinds(shelf.turn(service(**PORTLESS), [pod(1), pod(2)])) == ["PATCH nginx-1"]
    assert shelf.pods == {"nginx-1": ["web-1", "web-2"]}


def test_pods_with_other_numbers_have_slices_of_their_own() -> None:
    """Pods whose named ports have different numbers are in different slices, and move when a number changes."""
    shelf = Shelf()
    other = [{"ports": [{"name": "web", "containerPort": 8080}]}]
    shelf.turn(service(), [pod(1), pod(2, containers=other), pod(3)])
    assert shelf.pods == {"nginx-1": ["web-1", "web-3"], "nginx-2": ["web-2"]}
    assert [one["ports"][0]["port"] for one in shelf.slices.values()] == [80, 8080]
    assert kinds(shelf.turn(service(), [pod(1), pod(3)])) == ["DELETE nginx-2"]


def test_a_port_that_is_changed_rewrites_the_slice() -> None:
    """A slice becomes that of the new port: one write, and no moment without endpoints."""
    shelf = Shelf()
    shelf.turn(service(), [pod(1)])
    assert kinds(shelf.turn(service(ports=[{**WEB, "targetPort": 81}]), [pod(1)])) == ["PATCH nginx-1"]
    assert shelf.slices["nginx-1"]["ports"] == [{"name": "http", "port": 81, "protocol": "TCP"}]


def test_250_pods_need_three_slices() -> None:
    """A slice has at most 100 endpoints."""
    shelf = Shelf()
    shelf.turn(service(), [pod(number) for number in range(250)])
    assert shelf.sizes == {"nginx-1": 100, "nginx-2": 100, "nginx-3": 50}


def full_shelf(*sizes: int) -> tuple[Shelf, list[Pod]]:
    """Return slices of these sizes, and their pods in order."""
    shelf, pods = Shelf(), [pod(number) for number in range(1000, 1000 + sum(sizes))]
    start = 0
    for size in sizes:
        own = pods[start : start + size]
        for write in slice_writes(service(), own, NODES, []):
            number = next(shelf._numbers)
            body = copy.deepcopy(write.body)
            body["metadata"] |= {"name": f"nginx-{number}", "uid": f"e{number}", "resourceVersion": "1"}
            shelf.slices[f"nginx-{number}"] = body
        start += size
    return shelf, pods


@pytest.mark.parametrize(
    ("sizes", "gone", "more", "writes", "after"),
    [
        pytest.param([100, 40], 0, 5, ["PATCH nginx-2"], [100, 45], id="new pods go where there is room"),
        pytest.param([40, 90], 0, 5, ["PATCH nginx-2"], [40, 95], id="into the fullest that has room for all"),
        pytest.param([40, 97], 0, 5, ["PATCH nginx-1"], [45, 97], id="not into two where one takes all"),
        pytest.param([95, 95], 0, 8, ["POST"], [95, 95, 8], id="a new slice rather than two changed ones"),
        pytest.param([100, 40], 3, 5, ["PATCH nginx-1", "PATCH nginx-2"], [100, 42], id="first where one has gone"),
        pytest.param([90, 40], 1, 5, ["PATCH nginx-1"], [94, 40], id="and there alone if it takes all"),
        pytest.param([30, 40], 30, 0, ["DELETE nginx-1"], [40], id="a slice that empties goes"),
        pytest.param([30, 100], 30, 5, ["PATCH nginx-1"], [5, 100], id="or takes what is new"),
        pytest.param([40], 40, 0, ["PATCH nginx-1"], [0], id="the last one stays, empty"),
        pytest.param([3, 3, 3], 9, 0, ["PATCH nginx-1", "DELETE nginx-2", "DELETE nginx-3"], [0], id="one is enough"),
        pytest.param([40], 0, 260, ["POST", "POST", "PATCH nginx-1"], [100, 100, 100], id="many fill the rest last"),
    ],
)
def test_distribution(sizes: list[int], gone: int, more: int, writes: list[str], after: list[int]) -> None:
    """Pods that are *gone* from the first slices on, and *more* pods, change as few slices as possible."""
    shelf, pods = full_shelf(*sizes)
    now = pods[gone:] + [pod(number) for number in range(5000, 5000 + more)]
    assert sorted(kinds(shelf.turn(service(), now))) == sorted(writes)
    assert list(shelf.sizes.values()) == after
    assert sorted(itertools.chain(*shelf.pods.values())) == sorted(one.metadata.name for one in now)


@pytest.mark.parametrize("moved", [1000, 1119])
def test_endpoints_come_before_they_go(moved: int) -> None:
    """An endpoint that changes its slice is written into the new one first, whichever that is."""
    shelf, pods = full_shelf(60, 60)
    other = [{"ports": [{"name": "web", "containerPort": 8080}]}]
    left = [one for one in pods if (one in pods[:60]) is (moved == 1000) and one.metadata.name != f"web-{moved}"]
    writes = shelf.turn(service(), [pod(moved, containers=other), *left])
    gains, loses = ("nginx-2", "nginx-1") if moved == 1000 else ("nginx-1", "nginx-2")
    assert kinds(writes) == [f"PATCH {gains}", f"PATCH {loses}"]
    assert shelf.sizes == {gains: 1, loses: 59}


def test_of_changed_slices_the_fullest_is_filled_first() -> None:
    """New pods go into the fullest of the slices that change anyway."""
    shelf, pods = full_shelf(50, 90)
    now = [*pods[1:50], *pods[51:], *(pod(number) for number in range(5000, 5005))]
    assert kinds(shelf.turn(service(), now)) == ["PATCH nginx-1", "PATCH nginx-2"]
    assert shelf.sizes == {"nginx-1": 49, "nginx-2": 94}


def test_an_empty_slice_beside_others_goes() -> None:
    """A slice without endpoints is not kept where the Service has another one."""
    shelf, pods = full_shelf(2, 3)
    shelf.slices["nginx-1"]["endpoints"] = []
    assert kinds(shelf.turn(service(), pods[2:])) == ["DELETE nginx-1"]


def test_a_pod_that_is_in_two_slices_is_left_in_one() -> None:
    """An endpoint that is in two slices stays in the first."""
    shelf, pods = full_shelf(2, 3)
    shelf.slices["nginx-2"]["endpoints"].append(shelf.slices["nginx-1"]["endpoints"][0])
    assert kinds(shelf.turn(service(), pods)) == ["PATCH nginx-2"]
    assert shelf.sizes == {"nginx-1": 2, "nginx-2": 3}


def test_any_course_ends_with_every_pod_in_one_slice() -> None:
    """Whatever comes and goes, each pod is in one slice, none has more than 100, and a second look writes nothing."""
    rng = random.Random(5)
    shelf, pods = Shelf(), {number: pod(number) for number in range(180)}
    for _ in range(40):
        for number in rng.sample(range(400), rng.choice((1, 5, 60))):
            if pods.pop(number, None) is None:
                pods[number] = pod(number, ready=rng.random() < 0.7)
        shelf.turn(service(), list(pods.values()))
        found = sorted(itertools.chain(*shelf.pods.values()))
        assert found == sorted(one.metadata.name for one in pods.values())
        assert max(shelf.sizes.values()) <= 100
        assert shelf.turn(service(), list(pods.values())[::-1]) == []
