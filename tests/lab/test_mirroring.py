"""Slices that repeat Endpoints, as values: what is written for a Service, its Endpoints, and the slices there are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headlessdns.lab import Lab
from headlessdns.lab.mirroring import mirror_writes
from headlessdns.lab.objects import MERGE_PATCH, Write
from headlessdns.lab.services import Service
from headlessdns.lab.slices import EndpointSlice
from headlessdns.lab.subsets import Endpoints
from tests.lab.backing import ENDING, Json, service

PATH = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
LABELS = {
    "kubernetes.io/service-name": "nginx",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
}
OWNERS = [
    {"apiVersion": "v1", "kind": "Endpoints", "name": "nginx", "uid": "e1", "controller": True}
    | {"blockOwnerDeletion": True}
]
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
ADMIN = {"name": "admin", "port": 8080, "protocol": "TCP"}
NAMELESS = {"name": "", "port": 80, "protocol": "TCP"}  # a port of a slice always says its name


def by_hand(**fields: Any) -> Service:
    """Return the headless Service nginx, which selects nothing."""
    return service(**{"selector": None, **fields})


def endpoints(*subsets: Json, **metadata: Any) -> Endpoints:
    head = {"name": "nginx", "namespace": "shop", "uid": "e1", "resourceVersion": "7", **metadata}
    return msgspec.convert({"metadata": head, "subsets": list(subsets)}, Endpoints)


def subset(*ready: str, unready: tuple[str, ...] = (), ports: tuple[Json, ...] = (HTTP,)) -> Json:
    """Return a subset of addresses: IP, then a host name where it has one."""
    return {
        "addresses": [_address(one) for one in ready] or None,
        "notReadyAddresses": [_address(one) for one in unready] or None,
        "ports": list(ports) or None,
    }


def _address(text: str) -> Json:
    ip, _, hostname = text.partition(" ")
    return {"ip": ip, **({"hostname": hostname} if hostname else {})}


def slice(
    *endpoints: Json, name: str = "nginx-1", ports: tuple[Json, ...] = (HTTP,), family: str = "IPv4", **metadata: Any
) -> EndpointSlice:
    """Return a slice that repeats the Endpoints nginx."""
    head = {"name": name, "namespace": "shop", "uid": f"uid of {name}", "resourceVersion": "8", "labels": LABELS}
    body = {"addressType": family, "endpoints": list(endpoints), "ports": list(ports)}
    return msgspec.convert({"metadata": {**head, "ownerReferences": OWNERS, **metadata}, **body}, EndpointSlice)


def endpoint(ip: str, ready: bool = True, **fields: Any) -> Json:
    return {"addresses": [ip], "conditions": {"ready": ready}, **fields}


def made(*subsets: Json) -> list[str]:
    """Return a line for each slice that is made for *subsets*: FAMILY PORTS ADDRESSES, those in brackets not ready."""
    lines = []
    for write in mirror_writes(by_hand(), endpoints(*subsets), []):
        assert write.method == "POST"
        ports = ",".join(f"{one['name']}={one['port']}" for one in write.body["ports"])
        addresses = [
            one["addresses"][0] if one["conditions"]["ready"] else f"({one['addresses'][0]})"
            for one in write.body["endpoints"]
        ]
        lines.append(" ".join([write.body["addressType"], ports or "-", *addresses]))
    return lines


def test_creation() -> None:
    """A slice has the addresses with all that is said of them, and the labels and annotations of the Endpoints."""
    ref = {"kind": "Pod", "namespace": "shop", "name": "db-0", "uid": "u1", "resourceVersion": "3", "fieldPath": "x"}
    address = {"ip": "192.0.2.1", "hostname": "db-0", "nodeName": "node-1", "targetRef": ref}
    found = endpoints(
        {"addresses": [address], "ports": [{**HTTP, "appProtocol": "http"}]},
        labels={"tier": "back", "kubernetes.io/service-name": "another"},
        annotations={
            "a": "1",
            "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    )
    assert mirror_writes(by_hand(), found, []) == [
        Write(
            "POST",
            PATH,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": "nginx-",
                    "namespace": "shop",
                    "labels": {"tier": "back", **LABELS},
                    "annotations": {"a": "1"},
                    "ownerReferences": OWNERS,
                },
                "addressType": "IPv4",
                "endpoints": [endpoint("192.0.2.1", hostname="db-0", nodeName="node-1", targetRef=ref)],
                "ports": [{**HTTP, "appProtocol": "http"}],
            },
        )
    ]


@pytest.mark.parametrize(
    ("subsets", "lines"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [subset("192.0.2.1", unready=("192.0.2.2",))], ["IPv4 http=80 192.0.2.1 (192.0.2.2)"], id="unready"
        ),
        pytest.param([subset("192.0.2.1", ports=())], ["IPv4 - 192.0.2.1"], id="no ports"),
        pytest.param([subset("192.0.2.1", ports=({"port": 80},))], ["IPv4 =80 192.0.2.1"], id="a port without a name"),
        pytest.param(
            [subset("2001:db8::1", "192.0.2.1")],
            ["IPv4 http=80 192.0.2.1", "IPv6 http=80 2001:db8::1"],
            id="a slice of each family",
        ),
        pytest.param([subset("2001:db8:0::0001")], ["IPv6 http=80 2001:db8::1"], id="an address in its usual form"),
        pytest.param([subset("no address", "192.0.2.1")], ["IPv4 http=80 192.0.2.1"], id="what is no address"),
        pytest.param(
            [subset("192.0.2.1"), subset("192.0.2.2", ports=(ADMIN,))],
            ["IPv4 http=80 192.0.2.1", "IPv4 admin=8080 192.0.2.2"],
            id="a slice of each set of ports",
        ),
        pytest.param(
            [subset("192.0.2.2"), subset("192.0.2.1")],
            ["IPv4 http=80 192.0.2.1 192.0.2.2"],
            id="subsets of equal ports",
        ),
        pytest.param(
            [subset("192.0.2.1"), subset("192.0.2.1", ports=(ADMIN,))],
            ["IPv4 http=80,admin=8080 192.0.2.1"],
            id="subsets of equal addresses",
        ),
        pytest.param(
            [subset("192.0.2.1", "192.0.2.2"), subset("192.0.2.1", ports=(ADMIN,))],
            ["IPv4 http=80 192.0.2.1 192.0.2.2", "IPv4 admin=8080 192.0.2.1"],
            id="an address in both",
        ),
        pytest.param(
            [subset("192.0.2.1"), subset(unready=("192.0.2.1",))],
            ["IPv4 http=80 (192.0.2.1)"],
            id="not ready in one of two subsets",
        ),
        pytest.param(
            [subset(unready=("192.0.2.1",)), subset("192.0.2.1")],
            ["IPv4 http=80 (192.0.2.1)"],
            id="not ready in the first of two subsets",
        ),
        pytest.param(
            [subset("192.0.2.1 db-0", "192.0.2.1 db-1")], ["IPv4 http=80 192.0.2.1"], id="an address under two names"
        ),
    ],
)
def test_what_is_repeated(subsets: list[Json], lines: list[str]) -> None:
    """Each family and set of ports has a slice, whatever the subsets are."""
    assert made(*subsets) == lines


def test_pods_on_the_address_of_their_node() -> None:
    """Two pods of one address are two endpoints."""
    pods = [
        {"ip": "192.0.2.1", "targetRef": {"kind": "Pod", "namespace": "shop", "name": f"db-{one}", "uid": f"u{one}"}}
        for one in range(2)
    ]
    assert made({"addresses": pods, "ports": [HTTP]}) == ["IPv4 http=80 192.0.2.1 192.0.2.1"]


def test_too_many_addresses() -> None:
    """Of a subset 1000 addresses are repeated, those first that are ready."""
    ready = [f"10.0.{number // 250}.{number % 250}" for number in range(999)]
    (line,) = made(subset(*ready, unready=("192.0.2.1", "192.0.2.2")))
    assert line.split()[2:][-3:] == ["10.0.3.98", "10.0.3.99", "(192.0.2.1)"]
    assert len(line.split()[2:]) == 1000


@pytest.mark.parametrize(
    ("wanted", "present"),
    [
        pytest.param(by_hand(), None, id="the Endpoints are gone"),
        pytest.param(None, endpoints(subset("192.0.2.1")), id="the Service is gone"),
        pytest.param(service(), endpoints(subset("192.0.2.1")), id="the Service selects"),
        pytest.param(
            by_hand(),
            endpoints(subset("192.0.2.1"), labels={"endpointslice.kubernetes.io/skip-mirror": "true"}),
            id="they are to be skipped",
        ),
        pytest.param(
            by_hand(),
            endpoints(subset("192.0.2.1"), annotations={"control-plane.alpha.kubernetes.io/leader": ""}),
            id="they are a lock",
        ),
        pytest.param(by_hand(), endpoints(), id="they are empty"),
    ],
)
def test_nothing_to_repeat(wanted: Service | None, present: Endpoints | None) -> None:
    """Slices are deleted that repeat nothing any more, those excepted that go already, and none is made."""
    there = [slice(endpoint("192.0.2.1")), slice(endpoint("192.0.2.1"), name="nginx-2", **ENDING)]
    assert mirror_writes(wanted, present, []) == []
    assert mirror_writes(wanted, present, there) == [deletion("nginx-1")]


def deletion(name: str) -> Write:
    preconditions = {"uid": f"uid of {name}"}
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    return Write("DELETE", f"{PATH}/{name}", body)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(by_hand(clusterIP="10.96.0.5"), id="with an address of its own"),
        pytest.param(by_hand(type="ExternalName"), id="of the type ExternalName"),
        pytest.param(by_hand(selector={}), id="of an empty selector"),
    ],
)
def test_services_that_select_nothing(wanted: Service) -> None:
    """Endpoints of every Service are repeated that has no selector."""
    skip = {"endpointslice.kubernetes.io/skip-mirror": "false"}
    assert len(mirror_writes(wanted, endpoints(subset("192.0.2.1"), labels=skip), [])) == 1


def test_nothing_is_written_where_all_is_well() -> None:
    """A slice with the same endpoints and ports stays, in whatever order, and at whatever version of their targets."""
    ref = {"kind": "Pod", "namespace": "shop", "name": "db-0", "uid": "u1"}
    there = slice(
        endpoint("192.0.2.2", False),
        endpoint("192.0.2.1", targetRef={**ref, "resourceVersion": "3"}),
        ports=(ADMIN, HTTP),
    )
    addresses = [{"ip": "192.0.2.1", "targetRef": {**ref, "resourceVersion": "4"}}]
    found = endpoints(
        {"addresses": addresses, "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": [HTTP, ADMIN]},
    )
    assert mirror_writes(by_hand(), found, [there]) == []


@pytest.mark.parametrize(
    ("changed", "there", "patch"),
    [
        pytest.param({}, slice(endpoint("192.0.2.1", False)), {}, id="an address became ready"),
        pytest.param({}, slice(endpoint("192.0.2.9")), {}, id="an address"),
        pytest.param({}, slice(endpoint("192.0.2.1", nodeName="x")), {}, id="a node"),
        pytest.param({}, slice(endpoint("192.0.2.1"), ports=(ADMIN,)), {}, id="the ports"),
        pytest.param(
            {"labels": {"a": "2"}},
            slice(endpoint("192.0.2.1"), labels={**LABELS, "a": "1", "b": "1"}),
            {"labels": {"a": "2", "b": None}},
            id="labels",
        ),
        pytest.param(
            {"annotations": {"a": "2"}},
            slice(endpoint("192.0.2.1"), annotations={"b": "1"}),
            {"annotations": {"a": "2", "b": None}},
            id="annotations",
        ),
        pytest.param(
            {"uid": "e2"},
            slice(endpoint("192.0.2.1")),
            {"ownerReferences": [{**OWNERS[0], "uid": "e2"}]},
            id="Endpoints that were made anew",
        ),
    ],
)
def test_changes(changed: Json, there: EndpointSlice, patch: Json) -> None:
    """What differs is written into the slice that is there."""
    assert mirror_writes(by_hand(), endpoints(subset("192.0.2.1"), **changed), [there]) == [
        Write(
            "PATCH",
            f"{PATH}/nginx-1",
            {
                "metadata": {**patch, "uid": "uid of nginx-1", "resourceVersion": "8"},
                "endpoints": [endpoint("192.0.2.1")],
                "ports": [HTTP],
            },
            MERGE_PATCH,
        )
    ]


def test_a_slice_too_many() -> None:
    """Of two slices of the same family and ports one goes; of another family none becomes one."""
    there = [
        slice(endpoint("192.0.2.1")),
        slice(endpoint("192.0.2.1"), name="nginx-2"),
        slice(endpoint("2001:db8::1"), name="nginx-6", family="IPv6"),
    ]
    writes = mirror_writes(by_hand(), endpoints(subset("192.0.2.1")), there)
    assert writes == [deletion("nginx-2"), deletion("nginx-6")]


def test_endpoints_that_go() -> None:
    """For Endpoints that are being deleted no slice is made; those that are there follow them."""
    found = endpoints(subset("192.0.2.1", "2001:db8::1"), **ENDING)
    writes = mirror_writes(by_hand(), found, [slice(endpoint("192.0.2.9"))])
    assert [(write.method, write.path) for write in writes] == [("PATCH", f"{PATH}/nginx-1")]


def test_from_endpoints_to_names() -> None:
    """In a lab, names follow Endpoints that are made by hand for a headless Service without a selector."""
    addresses = [{"ip": "192.0.2.1", "hostname": "db-0"}, {"ip": "192.0.2.2", "hostname": "db-1"}]
    port = {"name": "sql", "port": 5432}
    db = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"clusterIP": "None"}},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"}}
        | {"subsets": [{"addresses": addresses, "ports": [port]}]},
    ]
    with Lab(db) as lab:
        lab.wait(lambda: lab.resolve("db") == ["192.0.2.1", "192.0.2.2"])
        assert lab.resolve("db-1.db") == ["192.0.2.2"]
        assert lab.resolve("_sql._tcp.db", "SRV") == [
            "0 100 5432 db-0.db.default.svc.cluster.local",
            "0 100 5432 db-1.db.default.svc.cluster.local",
        ]
        changed = {"subsets": [{"addresses": addresses[:1], "notReadyAddresses": addresses[1:], "ports": [port]}]}
        path = "/api/v1/namespaces/default/endpoints/db"
        lab.request("PATCH", path, changed, content_type="application/merge-patch+json")
        lab.wait(lambda: lab.resolve("db") == ["192.0.2.1"])
        lab.request("DELETE", path)
        lab.wait(lambda: lab.resolve("db-0.db") == [])
