"""The control plane of the tests itself."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE, ApiError, Manifest, RealCluster, collection_path
from tests.realcluster.keys import GENERATOR, ORDER, P, multiply


def service(namespace: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}], **spec},
    }


def pod(namespace: str, address: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": namespace, "labels": {"app": "web"}},
        "spec": {
            "hostname": "web-0",
            "subdomain": "web",
            "nodeName": NODE,
            "containers": [{"name": "web", "image": "web"}],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def endpoints(cluster: RealCluster, namespace: str) -> list[tuple[str, str, bool]]:
    """Return the hostname, the address and the readiness of each endpoint in *namespace*."""
    slices = cluster.request("GET", collection_path("EndpointSlice", namespace))["items"]
    return [
        (endpoint["hostname"], endpoint["addresses"][0], endpoint["conditions"]["ready"])
        for item in slices
        for endpoint in item["endpoints"] or ()  # null as long as the slice is empty
    ]


def test_ready_pod_is_in_a_slice(real_cluster: RealCluster, namespace: str) -> None:
    """A headless Service and a Ready pod behind it become an endpoint with the pod's hostname."""
    real_cluster.create_all([service(namespace), pod(namespace, "10.1.0.7")])
    wait_until(lambda: endpoints(real_cluster, namespace), "an endpoint", deadline_s=10)
    assert endpoints(real_cluster, namespace) == [("web-0", "10.1.0.7", True)]


def test_service_gets_an_address_of_each_family(real_cluster: RealCluster, namespace: str) -> None:
    """The cluster has a Service range of either family."""
    made = real_cluster.create(service(namespace, clusterIP="", ipFamilyPolicy="RequireDualStack"))
    first, second = made["spec"]["clusterIPs"]
    assert first.startswith("10.96.")
    assert second.startswith("fd00:96::")


def test_service_account_may_do_what_was_granted(real_cluster: RealCluster, namespace: str) -> None:
    """RBAC is on: a ServiceAccount reads what a Role grants to it, and nothing else."""
    in_namespace = f"--namespace={namespace}"
    real_cluster.kubectl("create", "serviceaccount", "reader", in_namespace)
    real_cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=services", in_namespace)
    subject = f"--serviceaccount={namespace}:reader"
    real_cluster.kubectl("create", "rolebinding", "reader", "--role=reader", subject, in_namespace)
    kubeconfig = real_cluster.service_account_kubeconfig(namespace, "reader")
    assert real_cluster.kubectl("get", "services", "--output=name", kubeconfig=kubeconfig) == ""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        real_cluster.kubectl("get", "pods", kubeconfig=kubeconfig)
    assert f'User "system:serviceaccount:{namespace}:reader" cannot list resource "pods"' in caught.value.__notes__[0]


def test_restarted_api_server_has_the_same_objects(real_cluster: RealCluster, namespace: str) -> None:
    """The API server comes back with its port, its certificate and its objects."""
    before = real_cluster.create(service(namespace))
    real_cluster.stop_apiserver()
    try:
        with pytest.raises(Exception, match="Connection refused"):
            real_cluster.request("GET", "/version")
    finally:
        real_cluster.start_apiserver()
    after = real_cluster.request("GET", f"{collection_path('Service', namespace)}/web")
    assert after == before


def test_versions_are_gone_after_a_compaction_and_a_restart(real_cluster: RealCluster, namespace: str) -> None:
    """Watches and continued lists from before the API server stopped meet 410 when etcd was compacted meanwhile."""
    real_cluster.create(service(namespace))
    first_page = real_cluster.request("GET", "/api/v1/services?limit=1")["metadata"]
    real_cluster.stop_apiserver()
    try:
        real_cluster.compact_etcd()
    finally:
        real_cluster.start_apiserver()
    watch = f"/api/v1/services?watch=1&resourceVersion={first_page['resourceVersion']}&timeoutSeconds=5"
    event = real_cluster.request("GET", watch)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(ApiError) as caught:
        real_cluster.request("GET", f"/api/v1/services?limit=1&continue={first_page['continue']}")
    assert caught.value.status == 410


def test_deleted_namespace_goes_with_its_pods(real_cluster: RealCluster, namespace: str) -> None:
    """A namespace is gone within seconds although no kubelet stops its pods."""
    real_cluster.create(pod(namespace, "10.1.0.8"))
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    real_cluster.delete(manifest)
    real_cluster.wait_gone(manifest)


@pytest.mark.parametrize(
    ("factor", "x"),
    [
        pytest.param(1, GENERATOR[0], id="once is the generator"),
        pytest.param(2, 0x7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978, id="twice doubles"),
        pytest.param(3, 0x5ECBE4D1A6330A44C8F7EF951D4BF165E6C6B721EFADA985FB41661BC6E7FD6C, id="thrice adds"),
        pytest.param(ORDER - 1, GENERATOR[0], id="the order less one negates"),
    ],
)
def test_multiples_of_the_generator(factor: int, x: int) -> None:
    """The curve's arithmetic gives the published multiples of the generator, and points of the curve."""
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    point = multiply(factor, GENERATOR)
    assert point[0] == x
    assert (point[1] ** 2 - point[0] ** 3 + 3 * point[0] - b) % P == 0
