from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.api.substitutes import of_node, of_pod, of_service

SERVICES = {("services", "default", "nginx"), ("services", "shop", "front")}
RUNS_NOTHING = "pod web-0 is of a lab and runs nothing"
DIG = "dig @127.0.0.1 -p 1053 +short"


def exists(resource: str, namespace: str, name: str) -> bool:
    return (resource, namespace, name) in SERVICES


def pod(*command: str, subdomain: str = "nginx", address: str = "10.244.0.7") -> dict[str, Any]:
    return {
        "metadata": {"name": "web-0", "namespace": "default"},
        "spec": {
            "hostname": "web-0",
            "subdomain": subdomain,
            "containers": [{"name": "a", "args": list(command)}],
        },
        "status": {"podIP": address},
    }


def says(subresource: str, made: dict[str, Any], *command: str, dns: str = "127.0.0.1:1053") -> str:
    line = of_pod(subresource, made, command, dns, exists)
    assert line.startswith(RUNS_NOTHING)
    return line.removeprefix(RUNS_NOTHING)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("nslookup web-1.nginx", "web-1.nginx.default.svc.cluster.local"),
        ("/usr/bin/nslookup nginx", "nginx.default.svc.cluster.local"),
        ("nslookup web-1.nginx.default", "web-1.nginx.default.svc.cluster.local"),
        ("host front.shop", "front.shop.svc.cluster.local"),
        ("ping -c 1 front.shop.svc", "front.shop.svc.cluster.local"),
        ("getent hosts nginx", "nginx.default.svc.cluster.local"),
        ("dig @10.96.0.10 +short SRV _web._tcp.nginx.default.svc.cluster.local.", ""),
        ("nslookup example.com", "example.com"),
    ],
)
def test_a_question(command: str, name: str) -> None:
    """A command that asks for a name is answered with the same question to the lab's DNS, the name whole."""
    name = name or "_web._tcp.nginx.default.svc.cluster.local"
    assert says("exec", pod(), *command.split()) == f"; ask for the name here: {DIG} {name}"


def test_the_pods_own_question() -> None:
    """What the pod was made to ask counts where it is attached to or its log is read, not for other commands."""
    asking = pod("nslookup", "nginx")
    question = f"; ask for the name here: {DIG} nginx.default.svc.cluster.local"
    assert says("attach", asking) == question
    assert says("log", asking) == question
    assert says("exec", asking, "sh") == f"; its name: {DIG} web-0.nginx.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("made", "line"),
    [
        pytest.param(pod(), f"; its name: {DIG} web-0.nginx.default.svc.cluster.local", id="by its host name"),
        pytest.param(
            pod(subdomain="other"), f"; its name: {DIG} 10-244-0-7.default.pod.cluster.local", id="by its address"
        ),
        pytest.param(
            pod(subdomain="other", address="fd00::7"),
            f"; its name: {DIG} fd00--7.default.pod.cluster.local",
            id="by its IPv6 address",
        ),
        pytest.param(
            pod(subdomain="", address=""),
            "; its state: kubectl get pod web-0 -n default -o jsonpath='{.status}'",
            id="it has none",
        ),
    ],
)
def test_a_name_that_works(made: dict[str, Any], line: str) -> None:
    """Of a pod the name is given that the DNS has, or none."""
    assert says("exec", made, "sh") == line


def test_an_ipv6_address_of_the_dns() -> None:
    """dig takes the address without brackets."""
    assert says("exec", pod(), "sh", dns="[::1]:53").startswith("; its name: dig @::1 -p 53 ")


@pytest.mark.parametrize(
    ("subresource", "line"),
    [
        (
            "log",
            ", so it logs nothing; its state: "
            "kubectl get pod web-0 -n default -o jsonpath='{.status.containerStatuses[*].state}'",
        ),
        (
            "portforward",
            ", so it listens on no port; its address: kubectl get pod web-0 -n default -o jsonpath='{.status.podIP}'",
        ),
        (
            "proxy",
            ", so it listens on no port; its address: kubectl get pod web-0 -n default -o jsonpath='{.status.podIP}'",
        ),
    ],
)
def test_a_state_or_an_address(subresource: str, line: str) -> None:
    """Logs and ports are told by what kubectl can show."""
    assert says(subresource, pod()) == line


def test_others() -> None:
    """Services and nodes name what is behind them."""
    assert of_service("nginx", "shop") == (
        "service nginx is of a lab, where no pod listens; its addresses: "
        "kubectl get endpointslices -n shop -l kubernetes.io/service-name=nginx"
    )
    assert of_node("node-1") == (
        "node node-1 is of a lab and no machine; its pods: kubectl get pods -A --field-selector spec.nodeName=node-1"
    )
