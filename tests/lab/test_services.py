"""What slices and Endpoints are made from."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.services import (
    ServicePort,
    TargetRef,
    Triggers,
    changes,
    labels_for,
    to_json,
    trigger_changes,
    trigger_time,
)
from tests.lab.backing import ENDING, T0, T1, T2, T3, node, pod, service


@pytest.mark.parametrize(
    ("selector", "namespace", "labels", "selects"),
    [
        pytest.param({"app": "nginx"}, "shop", {"app": "nginx", "tier": "a"}, True, id="all of the selector is there"),
        pytest.param({"app": "nginx", "tier": "a"}, "shop", {"app": "nginx"}, False, id="one label is missing"),
        pytest.param({"app": "nginx"}, "shop", {"app": "other"}, False, id="another value"),
        pytest.param({"app": "nginx"}, "shop", None, False, id="no labels"),
        pytest.param({"app": "nginx"}, "bank", {"app": "nginx"}, False, id="another namespace"),
        pytest.param({}, "shop", {"app": "nginx"}, False, id="an empty selector"),
        pytest.param(None, "shop", {"app": "nginx"}, False, id="no selector"),
    ],
)
def test_selects(selector: Any, namespace: str, labels: Any, selects: bool) -> None:
    """A Service selects the pods of its namespace that have all labels of its selector; without one, none."""
    assert service(selector=selector).selects(namespace, labels) is selects


@pytest.mark.parametrize(
    ("spec", "is_selecting"),
    [
        pytest.param({}, True, id="headless"),
        pytest.param({"type": "ExternalName", "clusterIP": ""}, False, id="ExternalName, whatever it selects"),
        pytest.param({"selector": None}, False, id="no selector"),
        pytest.param({"selector": {}}, False, id="an empty selector"),
    ],
)
def test_is_selecting(spec: Any, is_selecting: bool) -> None:
    """Endpoints of Services that select nothing, and of those outside the cluster, are made by others."""
    assert service(**spec).is_selecting is is_selecting


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        pytest.param({"ipFamilies": ["IPv6", "IPv4"]}, ["IPv6", "IPv4"], id="as the spec says"),
        pytest.param({"ipFamilies": None, "clusterIP": "10.96.0.1"}, ["IPv4"], id="an IPv4 cluster IP"),
        pytest.param({"ipFamilies": None, "clusterIP": "fd00::1"}, ["IPv6"], id="an IPv6 cluster IP"),
        pytest.param({"ipFamilies": None}, ["IPv4", "IPv6"], id="headless"),
    ],
)
def test_families(spec: Any, families: list[str]) -> None:
    """Where the API server has not said which families a Service has, its cluster IP tells; else both count."""
    assert service(**spec).families() == families


@pytest.mark.parametrize(
    ("family", "addresses"),
    [
        pytest.param("IPv4", ("10.244.0.1", "10.244.0.9"), id="IPv4, in order"),
        pytest.param("IPv6", ("fd00::1",), id="IPv6, as it is usually written"),
    ],
)
def test_addresses(family: str, addresses: tuple[str, ...]) -> None:
    """A pod has the addresses of one family; what is no address is passed over."""
    assert pod(1, ips=["10.244.0.9", "FD00:0::1", "10.244.0.1", "nowhere"]).addresses(family) == addresses


@pytest.mark.parametrize(
    ("fields", "hostname"),
    [
        pytest.param({}, "web-1", id="the Service is its subdomain"),
        pytest.param({"subdomain": "other"}, None, id="another subdomain"),
        pytest.param({"subdomain": None}, None, id="no subdomain"),
        pytest.param({"hostname": ""}, None, id="no host name"),
        pytest.param({"metadata": {"namespace": "bank"}}, None, id="another namespace"),
    ],
)
def test_hostname(fields: Any, hostname: str | None) -> None:
    """A pod has its host name in the Service of its namespace that its subdomain names."""
    assert pod(1, **fields).hostname_in(service()) == hostname


SIDECAR = {"restartPolicy": "Always", "ports": [{"name": "late", "containerPort": 7}]}
INIT = {"ports": [{"name": "early", "containerPort": 8}]}
CONTAINERS = [
    {},
    {"ports": [{"name": "dns", "containerPort": 53}, {"name": "dns", "containerPort": 54, "protocol": "UDP"}]},
]


@pytest.mark.parametrize(
    ("target", "protocol", "number"),
    [
        pytest.param(8080, "TCP", 8080, id="a number"),
        pytest.param(None, "TCP", 80, id="nothing: the Service's own"),
        pytest.param("dns", "TCP", 53, id="a name"),
        pytest.param("dns", "UDP", 54, id="a name, of the other protocol"),
        pytest.param("late", "TCP", 7, id="a sidecar's"),
        pytest.param("early", "TCP", None, id="that of a container which ends before the others begin"),
        pytest.param("web", "TCP", None, id="a name that is not there"),
    ],
)
def test_port(target: int | str | None, protocol: str, number: int | None) -> None:
    """A port that a Service names is looked up in the containers and sidecars of the pod."""
    port = ServicePort(80, "x", protocol, target)
    assert pod(1, containers=CONTAINERS, initContainers=[INIT, SIDECAR]).port(port) == number


def test_pod_without_status() -> None:
    """A pod that nobody has looked at has no address and is not ready."""
    bare = pod(1, ips=[])
    bare.status = type(bare.status)()
    assert (bare.addresses("IPv4"), bare.is_ready, bare.ready_condition, bare.is_terminal) == ((), False, None, False)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_terminal(phase: str) -> None:
    """A pod whose containers have ended for good is terminal."""
    assert pod(1, phase=phase).is_terminal


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        pytest.param({"metadata": {"resourceVersion": "9", "annotations": {"a": "b"}}}, True, id="an annotation"),
        pytest.param({"ready": False}, False, id="readiness"),
        pytest.param({"since": T2}, False, id="the time of readiness"),
        pytest.param({"ips": ["10.244.0.2"]}, False, id="the address"),
        pytest.param({"phase": "Failed"}, False, id="the phase"),
        pytest.param({"nodeName": "node-2"}, False, id="the node"),
        pytest.param({"metadata": {"labels": {}}}, False, id="labels"),
        pytest.param({"metadata": ENDING}, False, id="its deletion"),
        pytest.param({"metadata": {"uid": "u9"}}, False, id="another pod of its name"),
    ],
)
def test_state(fields: Any, is_same: bool) -> None:
    """The state of a pod is all that its endpoints depend on, and nothing else."""
    assert (pod(1).state == pod(1, **fields).state) is is_same


def test_ref() -> None:
    """Endpoints name the pod behind them."""
    assert pod(1).ref == TargetRef("Pod", "shop", "web-1", "u1")


def test_zone_of_a_node() -> None:
    """A node stands where its label says, or nowhere."""
    assert (node().topology_zone, node("node-2", "zone-b").topology_zone) == (None, "zone-b")


@pytest.mark.parametrize(
    ("pods", "before", "time"),
    [
        pytest.param([pod(1, since=T2)], None, T0, id="a Service that is new: when it was made"),
        pytest.param([pod(1, since=T2), pod(2)], Triggers(T0, {"web-1": T1, "web-2": T1}), T2, id="one changed"),
        pytest.param([pod(1, since=T3), pod(2, since=T2)], Triggers(T0, {"web-1": T1}), T2, id="two: the older"),
        pytest.param([pod(1)], Triggers(T0, {"web-1": T1, "web-2": T1}), "", id="a pod is gone, which has no time"),
        pytest.param([pod(1)], Triggers("", {"web-1": T1}), T0, id="the Service was made anew"),
    ],
)
def test_trigger_time(pods: list[Any], before: Triggers | None, time: str) -> None:
    """The time of a change is that of the oldest readiness that is new."""
    assert trigger_time(service(), pods, before)[0] == time


def test_triggers() -> None:
    """What is compared with next time is when the Service was made and when the pods became ready or not."""
    assert trigger_time(service(), [pod(1), pod(2, since=T2)], None)[1] == Triggers(T0, {"web-1": T1, "web-2": T2})


@pytest.mark.parametrize(
    ("cluster_ip", "labels"),
    [
        pytest.param("None", {"a": "b", "own": "1", "service.kubernetes.io/headless": ""}, id="headless"),
        pytest.param("", {"a": "b", "own": "1", "service.kubernetes.io/headless": ""}, id="not given out yet"),
        pytest.param("10.96.0.1", {"a": "b", "own": "1"}, id="with a cluster IP"),
    ],
)
def test_labels(cluster_ip: str, labels: Any) -> None:
    """Labels are the Service's without those that are reserved, our own, and whether it is headless."""
    made = service(clusterIP=cluster_ip, labels={"a": "b", "own": "2", "service.kubernetes.io/headless": "x"})
    assert labels_for(made, {"own": "1"}, {"own", "service.kubernetes.io/headless"}) == labels


def test_changes() -> None:
    """A merge patch has what is new and different, and null for what is gone."""
    assert changes({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "5"}) == {"b": "4", "c": None, "d": "5"}
    assert changes(None, {"a": "1"}) == {"a": "1"}


@pytest.mark.parametrize(
    ("before", "triggered", "patch"),
    [
        pytest.param(None, "", {}, id="none and none"),
        pytest.param({"x": "y"}, T1, {"endpoints.kubernetes.io/last-change-trigger-time": T1}, id="set"),
        pytest.param(
            {"endpoints.kubernetes.io/last-change-trigger-time": T1},
            "",
            {"endpoints.kubernetes.io/last-change-trigger-time": None},
            id="cleared, since this change has no time",
        ),
    ],
)
def test_trigger_changes(before: Any, triggered: str, patch: Any) -> None:
    """The annotation has the time of the change that is written, and none of an older one."""
    assert trigger_changes(before, triggered) == patch


def test_json() -> None:
    """Structs and tuples become plain JSON, without what is empty in them."""
    assert to_json((TargetRef("Pod", name="web-0"),)) == [{"kind": "Pod", "name": "web-0"}]
