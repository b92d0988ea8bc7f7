"""Endpoints as a value: what is written for a Service, its pods, and the Endpoints that are there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headlessdns.lab.objects import MERGE_PATCH, Write
from headlessdns.lab.services import Pod
from headlessdns.lab.subsets import Address, Endpoints, Port, Subset, cut, endpoints_write, leftover_write
from tests.lab.backing import ENDING, T1, T2, WEB, Json, pod, service

PATH = "/api/v1/namespaces/shop/endpoints"
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LABELS = {"endpoints.kubernetes.io/managed-by": "endpoint-controller", "service.kubernetes.io/headless": ""}
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}


def address(number: int, **fields: Any) -> Json:
    """Return how Endpoints have the pod web-NUMBER."""
    name = f"web-{number}"
    ref = {"kind": "Pod", "namespace": "shop", "name": name, "uid": f"u{number}"}
    return {"ip": f"10.244.0.{number}", "hostname": name, "nodeName": "node-1", "targetRef": ref, **fields}


def subsets(*pods: Pod, **spec: Any) -> list[Json]:
    """Return the subsets that a Service with these *pods* has."""
    write = endpoints_write(service(**spec), pods, None)
    assert write is not None
    made: list[Json] = write.body["subsets"]
    return made


def present(*pods: Pod, **metadata: Any) -> Endpoints:
    """Return the Endpoints that a Service with these *pods* has."""
    write = endpoints_write(service(), pods, None)
    assert write is not None
    head = {**write.body["metadata"], "uid": "p1", "resourceVersion": "7", **metadata}
    return msgspec.convert({"metadata": head, "subsets": write.body["subsets"]}, Endpoints)


def test_creation() -> None:
    """The Endpoints of a Service, whole."""
    made = service(labels={"tier": "front"})
    assert endpoints_write(made, [pod(2), pod(1), pod(3, ready=False)], None, T1) == Write(
        "POST",
        PATH,
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": "nginx",
                "namespace": "shop",
                "labels": {"tier": "front", **LABELS},
                "annotations": {TRIGGERED: T1},
            },
            "subsets": [
                {"addresses": [address(1), address(2)], "notReadyAddresses": [address(3)], "ports": [HTTP]},
            ],
        },
    )


@pytest.mark.parametrize(
    ("spec", "fields", "found"),
    [
        pytest.param({}, {"metadata": ENDING}, [], id="a pod that ends"),
        pytest.param(
            {"publishNotReadyAddresses": True},
            {"metadata": ENDING},
            [{"addresses": [address(1)], "ports": [HTTP]}],
            id="a pod that ends, published",
        ),
        pytest.param(
            {"publishNotReadyAddresses": True},
            {"ready": False},
            [{"addresses": [address(1)], "ports": [HTTP]}],
            id="a pod that is not ready, published",
        ),
        pytest.param({}, {"phase": "Failed"}, [], id="a pod that has failed"),
        pytest.param({}, {"ips": []}, [], id="a pod without an address"),
        pytest.param({}, {"ips": ["fd00::1"]}, [], id="a pod of another family"),
        pytest.param(
            {},
            {"nodeName": None, "subdomain": "other"},
            [{"addresses": [{**address(1, nodeName=""), "hostname": None}], "ports": [HTTP]}],
            id="a pod without node and host name",
        ),
        pytest.param({"ports": []}, {}, [{"addresses": [address(1)]}], id="a headless Service without ports"),
        pytest.param({"ports": [], "clusterIP": ""}, {}, [], id="a Service without ports that is not headless"),
        pytest.param({"ports": [{**WEB, "targetPort": "metrics"}]}, {}, [], id="a port that the pod lacks"),
        pytest.param(
            {"ipFamilies": ["IPv6", "IPv4"]},
            {"ips": ["10.244.0.1", "fd00::1"]},
            [{"addresses": [address(1, ip="fd00::1")], "ports": [HTTP]}],
            id="two families: the first one",
        ),
        pytest.param(
            {"ipFamilies": None},
            {"ips": ["fd00::1"]},
            [{"addresses": [address(1, ip="fd00::1")], "ports": [HTTP]}],
            id="no family said: the pod's",
        ),
    ],
)
def test_subsets(spec: Json, fields: Json, found: list[Json]) -> None:
    """Endpoints have the pods of the first family that have not ended, ready and not ready ones apart."""
    wanted = [
        {
            **one,
            "addresses": [
                {key: value for key, value in each.items() if value is not None} for each in one["addresses"]
            ],
        }
        for one in found
    ]
    assert subsets(pod(1, **fields), **spec) == wanted


def test_ports_of_the_same_addresses_are_together() -> None:
    """Ports that the same pods have are one subset; another number, or a pod without the port, is another."""
    metrics = {"name": "metrics", "port": 9, "targetPort": "metrics"}
    fixed = {"name": "fixed", "port": 7, "targetPort": 7, "appProtocol": "http"}
    both = [{"ports": [{"name": "web", "containerPort": 80}, {"name": "metrics", "containerPort": 9}]}]
    other = [{"ports": [{"name": "web", "containerPort": 8080}]}]
    found = subsets(pod(1, containers=both), pod(2, containers=other), ports=[WEB, metrics, fixed])
    assert found == [
        {"addresses": [address(1)], "ports": [HTTP, {"name": "metrics", "port": 9, "protocol": "TCP"}]},
        {
            "addresses": [address(1), address(2)],
            "ports": [{"name": "fixed", "port": 7, "protocol": "TCP", "appProtocol": "http"}],
        },
        {"addresses": [address(2)], "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]},
    ]


def test_update() -> None:
    """A change is one patch, which counts only for the version that it was made from, and keeps what others wrote."""
    before = present(pod(1), annotations={TRIGGERED: T1, "mine": "x"}, labels={**LABELS, "old": "1"})
    assert endpoints_write(service(labels={"new": "2"}), [pod(1, ready=False)], before, T2) == Write(
        "PATCH",
        f"{PATH}/nginx",
        {
            "metadata": {
                "uid": "p1",
                "resourceVersion": "7",
                "labels": {"old": None, "new": "2"},
                "annotations": {TRIGGERED: T2},
            },
            "subsets": [{"notReadyAddresses": [address(1)], "ports": [HTTP]}],
        },
        MERGE_PATCH,
    )


def test_the_last_pod_goes() -> None:
    """Endpoints of a Service without pods have no subsets and stay."""
    write = endpoints_write(service(), [], present(pod(1), annotations={TRIGGERED: T1}))
    assert write is not None
    assert write.body["subsets"] is None
    assert write.body["metadata"]["annotations"] == {TRIGGERED: None}


def test_only_labels_differ() -> None:
    """Labels alone are reason enough to write, annotations of others are none."""
    write = endpoints_write(service(clusterIP="10.96.0.1"), [pod(1)], present(pod(1)))
    assert write is not None
    assert write.body["metadata"]["labels"] == {"service.kubernetes.io/headless": None}
    assert endpoints_write(service(), [pod(1)], present(pod(1), annotations={"mine": "x"}), T2) is None


def test_order_is_no_difference() -> None:
    """Endpoints that hold the same in another order are as they should be."""
    metrics = {"name": "metrics", "port": 9, "targetPort": 9}
    two = service(ports=[WEB, metrics])
    write = endpoints_write(two, [pod(1), pod(2)], None)
    assert write is not None
    (only,) = write.body["subsets"]
    turned = {"addresses": only["addresses"][::-1], "ports": only["ports"][::-1]}
    before = msgspec.convert({"metadata": write.body["metadata"], "subsets": [turned]}, Endpoints)
    assert endpoints_write(two, [pod(1), pod(2)], before) is None


@pytest.mark.parametrize(
    "spec", [pytest.param({"selector": None}, id="no selector"), pytest.param({"type": "ExternalName"}, id="elsewhere")]
)
def test_endpoints_of_others_are_left_alone(spec: Json) -> None:
    """A Service that selects nothing keeps the Endpoints that it has, or has none."""
    assert endpoints_write(service(**spec), [], present(pod(1))) is None
    assert endpoints_write(service(**spec), [], None) is None


def test_leftover() -> None:
    """Endpoints without a Service are deleted, these very ones, unless they are a lock."""
    deletion = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "p1"}}
    assert leftover_write(present(pod(1))) == Write("DELETE", f"{PATH}/nginx", deletion)
    assert leftover_write(present(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"})) is None


# Too many


@pytest.mark.parametrize(
    ("ready", "not_ready", "kept"),
    [
        pytest.param(1000, 0, (1000, 0), id="just fits"),
        pytest.param(1001, 0, (1000, 0), id="one too many"),
        pytest.param(1001, 5, (1000, 0), id="those that are not ready go first"),
        pytest.param(990, 20, (990, 10), id="as many as there is room for"),
    ],
)
def test_too_many(ready: int, not_ready: int, kept: tuple[int, int]) -> None:
    """Endpoints have 1000 addresses at most, and an annotation says if that was not enough."""
    pods = [pod(number, ready=number < ready) for number in range(ready + not_ready)]
    write = endpoints_write(service(), pods, None)
    assert write is not None
    (only,) = write.body["subsets"]
    assert (len(only["addresses"]), len(only.get("notReadyAddresses", ()))) == kept
    is_cut = ready + not_ready > 1000
    assert write.body["metadata"].get("annotations") == ({OVER_CAPACITY: "truncated"} if is_cut else None)


def test_too_many_no_more() -> None:
    """The annotation comes with the first address too many, is not written twice, and goes with it."""
    pods = [pod(number) for number in range(1001)]
    first = endpoints_write(service(), pods[:1000], None)
    assert first is not None
    metadata = {**first.body["metadata"], "uid": "p1", "resourceVersion": "7"}
    full = msgspec.convert({"metadata": metadata, "subsets": first.body["subsets"]}, Endpoints)
    # The one that is left out here is not the last in the order of addresses.
    over = endpoints_write(service(), pods, full)
    assert over is not None
    assert over.body["metadata"]["annotations"] == {OVER_CAPACITY: "truncated"}
    cut_now = msgspec.convert(
        {"metadata": {**metadata, "annotations": {OVER_CAPACITY: "truncated"}}, "subsets": over.body["subsets"]},
        Endpoints,
    )
    assert endpoints_write(service(), pods, cut_now) is None
    under = endpoints_write(service(), pods[:1000], cut_now)
    assert under is not None
    assert under.body["metadata"]["annotations"] == {OVER_CAPACITY: None}


def places(count: int, first: int = 0) -> tuple[Address, ...]:
    return tuple(Address(f"10.0.{number // 256}.{number % 256}") for number in range(first, first + count))


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        pytest.param([(900, 300), (300, 0)], [(750, 0), (250, 0)], id="ready ones of each subset"),
        pytest.param([(400, 300), (300, 300)], [(400, 150), (300, 150)], id="those that are not ready of each subset"),
        pytest.param([(700, 0), (701, 0), (1, 0)], [(500, 0), (500, 0)], id="rounded up, the last one has none"),
    ],
)
def test_cut(sizes: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    """Of each subset about as large a part is kept as it had of all."""
    made = cut([Subset(places(ready), places(other), (Port("http", 80),)) for ready, other in sizes])
    assert [(len(one.addresses or ()), len(one.not_ready_addresses or ())) for one in made] == kept
    assert all(one.ports == (Port("http", 80),) for one in made)
