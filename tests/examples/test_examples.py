"""``config/examples``: what a user applies (NAME.yaml) and what a cluster makes of it (NAME.cluster.yaml)."""

import ipaddress
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from headlessdns.cluster import manifests

FOLDER = Path(__file__).parents[2] / "config" / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))
SCHEMAS = "1.36"
POD_RANGE = ipaddress.ip_network("10.244.0.0/16")
SERVICE_RANGE = ipaddress.ip_network("10.96.0.0/12")

Object = dict[str, Any]

# example, StatefulSet, its governing Service, the pods' addresses in ordinal order
STATEFULSETS = [
    pytest.param("nginx", "web", "nginx", ["10.244.1.10", "10.244.2.10"], id="nginx"),
    pytest.param("zookeeper", "zk", "zk-headless", ["10.244.1.20", "10.244.2.20", "10.244.3.20"], id="zookeeper"),
    pytest.param("kubia", "kubia", "kubia", ["10.244.1.30", "10.244.2.30", "10.244.3.30"], id="kubia"),
    pytest.param("mysql", "mysql", "mysql", ["10.244.1.40", "10.244.2.40", "10.244.3.40"], id="mysql"),
]

# example, Service, its address or "None", the ports of its slice
SERVICES = [
    pytest.param("nginx", "nginx", "None", {"web": 80}, id="nginx"),
    pytest.param("zookeeper", "zk-headless", "None", {"server": 2888, "leader-election": 3888}, id="zk-headless"),
    pytest.param("zookeeper", "zk-cs", "10.96.0.181", {"client": 2181}, id="zk-cs"),
    pytest.param("kubia", "kubia", "None", {"http": 8080}, id="kubia"),
    pytest.param("kubia", "kubia-public", "10.96.0.80", {"http": 8080}, id="kubia-public"),
    pytest.param("mysql", "mysql", "None", {"mysql": 3306}, id="mysql"),
    pytest.param("mysql", "mysql-read", "10.96.0.136", {"mysql": 3306}, id="mysql-read"),
    pytest.param("default", "kubernetes", "10.96.0.1", {"https": 6443}, id="kubernetes"),
]

# service, pod, ready, serving: all others are ready and serving
UNREADY = {("zk-headless", "zk-2"): (True, False), ("zk-cs", "zk-2"): (False, False)}


def documents(*paths: Path) -> list[Object]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


def example(name: str) -> list[Object]:
    paths = [path for path in (FOLDER / f"{name}.yaml", FOLDER / f"{name}.cluster.yaml") if path.exists()]
    assert paths
    return documents(*paths)


def one(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


def slice_of(objects: list[Object], service: str) -> Object:
    (found,) = (
        o
        for o in objects
        if o["kind"] == "EndpointSlice" and o["metadata"]["labels"]["kubernetes.io/service-name"] == service
    )
    return found


def is_ready(pod: Object) -> bool:
    return {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "True"


def test_the_folder_holds_the_four_examples_and_what_every_cluster_has() -> None:
    """The examples are nginx, zookeeper, kubia and mysql, each as applied and as a cluster completes it."""
    assert [path.name for path in FILES] == [
        "default.cluster.yaml",
        "kubia.cluster.yaml",
        "kubia.yaml",
        "mysql.cluster.yaml",
        "mysql.yaml",
        "nginx.cluster.yaml",
        "nginx.yaml",
        "zookeeper.cluster.yaml",
        "zookeeper.yaml",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_object_fits_the_schema_of_its_kind(path: Path) -> None:
    """Each document is valid for Kubernetes 1.36, without a field that the API would not know."""
    for document in documents(path):
        kubernetes_validate.validate(document, SCHEMAS, strict=True)


def test_no_object_is_written_twice() -> None:
    """Kind, namespace and name are unique over all files, so the folder can be served as a whole."""
    keys = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in documents(*FILES)]
    assert len(keys) == len(set(keys))


def test_every_namespace_that_is_used_exists() -> None:
    """All objects lie in the namespace `default`, which one of the files creates."""
    objects = documents(*FILES)
    assert [o["metadata"]["name"] for o in objects if o["kind"] == "Namespace"] == ["default"]
    assert {o["metadata"]["namespace"] for o in objects if o["kind"] != "Namespace"} == {"default"}


@pytest.mark.parametrize(("name", "statefulset", "service", "addresses"), STATEFULSETS)
class TestStatefulSet:
    def test_its_governing_service_is_headless_and_selects_its_pods(
        self, name: str, statefulset: str, service: str, addresses: list[str]
    ) -> None:
        """serviceName is a headless Service of the same file, whose selector the pod template fits."""
        objects = documents(FOLDER / f"{name}.yaml")
        spec = one(objects, "StatefulSet", statefulset)["spec"]
        governing = one(objects, "Service", service)["spec"]
        assert spec["serviceName"] == service
        assert governing["clusterIP"] == "None"
        assert governing["selector"].items() <= spec["template"]["metadata"]["labels"].items()
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()

    def test_every_replica_has_its_pod(self, name: str, statefulset: str, service: str, addresses: list[str]) -> None:
        """The pods are numbered from 0 to replicas - 1 and carry name, labels and image as the controller sets them."""
        objects = example(name)
        spec = one(objects, "StatefulSet", statefulset)["spec"]
        pods = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Pod"}
        assert list(pods) == [f"{statefulset}-{ordinal}" for ordinal in range(spec["replicas"])]
        for ordinal, (pod_name, pod) in enumerate(pods.items()):
            labels = pod["metadata"]["labels"]
            assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == (pod_name, service)
            assert spec["template"]["metadata"]["labels"].items() <= labels.items()
            assert labels["statefulset.kubernetes.io/pod-name"] == pod_name
            assert labels["apps.kubernetes.io/pod-index"] == str(ordinal)
            assert labels["controller-revision-hash"].startswith(f"{statefulset}-")
            assert [c["image"] for c in pod["spec"]["containers"]] == [
                c["image"] for c in spec["template"]["spec"]["containers"]
            ]

    def test_its_pods_have_these_addresses(
        self, name: str, statefulset: str, service: str, addresses: list[str]
    ) -> None:
        """A pod's podIP is the only entry of its podIPs and lies in the pod range."""
        pods = [o for o in example(name) if o["kind"] == "Pod"]
        assert [pod["status"]["podIP"] for pod in pods] == addresses
        assert [pod["status"]["podIPs"] for pod in pods] == [[{"ip": address}] for address in addresses]
        assert all(ipaddress.ip_address(address) in POD_RANGE for address in addresses)


def test_no_two_pods_share_an_address() -> None:
    """Each pod address occurs once, so that each PTR has one meaning."""
    addresses = [o["status"]["podIP"] for o in documents(*FILES) if o["kind"] == "Pod"]
    assert len(addresses) == 11
    assert len(set(addresses)) == 11


@pytest.mark.parametrize(("name", "service", "address", "ports"), SERVICES)
class TestService:
    def test_its_address(self, name: str, service: str, address: str, ports: dict[str, int]) -> None:
        """A Service is headless or has a virtual address of the Service range, which is its own."""
        assert one(example(name), "Service", service)["spec"]["clusterIP"] == address
        if address != "None":
            assert ipaddress.ip_address(address) in SERVICE_RANGE
            users = [o for o in documents(*FILES) if o["kind"] == "Service" and o["spec"]["clusterIP"] == address]
            assert len(users) == 1

    def test_its_slice_has_its_ports(self, name: str, service: str, address: str, ports: dict[str, int]) -> None:
        """The slice has the Service's port names with the numbers that the pods listen on."""
        objects = example(name)
        assert {p["name"]: p["port"] for p in slice_of(objects, service)["ports"]} == ports
        assert {p["name"] for p in one(objects, "Service", service)["spec"]["ports"]} == ports.keys()

    def test_its_slice_is_labelled_as_a_cluster_does(
        self, name: str, service: str, address: str, ports: dict[str, int]
    ) -> None:
        """A controller's slice names manager, Service and whether that is headless, the API server's does not."""
        labels = dict(slice_of(example(name), service)["metadata"]["labels"])
        if service == "kubernetes":
            assert labels == {"kubernetes.io/service-name": "kubernetes"}
            return
        expected = {
            "app": one(example(name), "Service", service)["metadata"]["labels"]["app"],
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": service,
        }
        if address == "None":
            expected["service.kubernetes.io/headless"] = ""
        assert labels == expected

    def test_its_slice_agrees_with_the_pods(self, name: str, service: str, address: str, ports: dict[str, int]) -> None:
        """The slice lists the selected pods with address, node and readiness, and host names below their subdomain."""
        objects = example(name)
        endpoints = slice_of(objects, service)["endpoints"]
        if service == "kubernetes":
            assert endpoints == [{"addresses": ["192.168.0.10"], "conditions": {"ready": True}}]
            return
        selector = one(objects, "Service", service)["spec"]["selector"]
        pods = [o for o in objects if o["kind"] == "Pod" and selector.items() <= o["metadata"]["labels"].items()]
        assert len(pods) == len(endpoints)
        for pod, endpoint in zip(pods, endpoints, strict=True):
            pod_name = pod["metadata"]["name"]
            ready, serving = UNREADY.get((service, pod_name), (True, True))
            assert endpoint["addresses"] == [pod["status"]["podIP"]]
            assert endpoint["nodeName"] == pod["spec"]["nodeName"]
            assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "default", "name": pod_name}
            assert endpoint.get("hostname") == (pod_name if pod["spec"]["subdomain"] == service else None)
            assert endpoint["conditions"] == {"ready": ready, "serving": serving, "terminating": False}
            assert serving == is_ready(pod)


def test_unready_pods_are_published_only_where_the_service_asks_for_it() -> None:
    """An endpoint that is ready although its pod is not belongs to a Service with publishNotReadyAddresses."""
    objects = documents(*FILES)
    assert [
        o["metadata"]["labels"]["kubernetes.io/service-name"]
        for o in objects
        if o["kind"] == "EndpointSlice"
        and any(e["conditions"]["ready"] and not e["conditions"].get("serving", True) for e in o["endpoints"])
    ] == ["zk-headless"]
    assert [
        o["metadata"]["name"] for o in objects if o["kind"] == "Service" and o["spec"].get("publishNotReadyAddresses")
    ] == ["zk-headless"]


def test_headlessdns_reads_the_folder_without_a_word() -> None:
    """The server takes all files together, finds nothing to warn of, and passes over what the DNS is not made of."""
    found = manifests.read([FOLDER])
    assert found.warnings == []
    assert found.skipped == {"ConfigMap": 3, "Secret": 1, "PodDisruptionBudget": 1}
    assert {kind.value: len(objects) for kind, objects in found.objects.items()} == {
        "Service": 8,
        "EndpointSlice": 8,
        "Endpoints": 0,
        "Pod": 11,
        "Namespace": 1,
        "StatefulSet": 4,
    }
