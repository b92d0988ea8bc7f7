"""The real kube-controller-manager with the embedded API and the pretend kubelet as its cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import skip_or_fail
from tests.lab.clients.conftest import SET
from tests.lab.clients.running import DEADLINE_S, RunningLab
from tests.peers import PeerMissingError, find
from tests.peers.process import Process, free_port, wait_until
from tests.realcluster.cluster import answers_ok

CONTROLLERS = (
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
)
# What it says in front of a real API server, too: the caches of its controllers are a little late.
HARMLESS = (
    # A flag for the cloud's part that nobody sets.
    "The manifest file is empty, ignoring.",
    # A sync that began before the watch had brought what the last one wrote; it is put off by some milliseconds.
    "is not as new as written version",
    # An object that has changed, or went, while it was synced; the sync is done again, or there is no need to.
    "the object has been modified; please apply your changes to the latest version and try again",
    '\\" not found',
    "because it is being terminated",
    '"Error getting updated StatefulSet from lister"',
)
SERVICE = {
    "metadata": {"name": "nginx"},
    "spec": {"clusterIP": "None", "selector": {"app": "nginx"}, "ports": [{"name": "web", "port": 80}]},
}
TEMPLATE = SET["spec"]["template"]  # type: ignore[index]
CORE, APPS = "/api/v1/namespaces", "/apis/apps/v1/namespaces"


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """An API and a kubelet; all controllers are those of the real manager, whose log has to be clean at the end."""
    try:
        program = find("kube-controller-manager")
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with RunningLab(slices=False, controller=False) as running:
        port = free_port()
        arguments = [
            f"--kubeconfig={running.kubeconfig}",
            "--authentication-skip-lookup",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            f"--controllers={','.join(CONTROLLERS)}",
        ]
        log = running.folder / "manager.log"
        manager = Process([program, *arguments], log)
        manager.start()
        try:
            manager.wait_ready(lambda: answers_ok(f"https://127.0.0.1:{port}/healthz"), 60)
            running.manager_log = log
            yield running
        finally:
            manager.kill()


@pytest.fixture
def namespace(lab: RunningLab, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").lower()[:50].strip("-")
    lab.create(CORE, {"metadata": {"name": name}})
    return str(name)


def names(lab: RunningLab, path: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in lab.get(path)["items"])


def becomes(find: Callable[[], Any], expected: Any) -> None:
    """Wait until what is found is as expected."""
    seen: list[Any] = []

    def is_so() -> bool:
        seen[:] = [find()]
        return bool(seen[0] == expected)

    try:
        wait_until(is_so, f"{expected}", DEADLINE_S)
    except TimeoutError as error:
        raise AssertionError(f"{error}; there was {seen[0]}") from None


def hostnames(lab: RunningLab, namespace: str) -> list[str]:
    """Return the ready host names in the slices, those that are sure to be of our pods."""
    slices = lab.get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
    endpoints = [endpoint for slice in slices for endpoint in slice.get("endpoints") or ()]
    return sorted(endpoint["hostname"] for endpoint in endpoints if endpoint["conditions"]["ready"])


def test_a_stateful_set(lab: RunningLab, namespace: str) -> None:
    """A StatefulSet comes up in order, scales, rolls out, and its pods are in slices and Endpoints all along."""
    web = f"{APPS}/{namespace}/statefulsets/web"
    lab.create(f"{CORE}/{namespace}/services", SERVICE)
    lab.create(f"{APPS}/{namespace}/statefulsets", SET)
    lab.wait_ready(2, namespace=namespace)
    becomes(lambda: hostnames(lab, namespace), ["web-0", "web-1"])
    (subset,) = lab.get(f"{CORE}/{namespace}/endpoints/nginx")["subsets"]
    assert [address["hostname"] for address in subset["addresses"]] == ["web-0", "web-1"]
    lab.patch(web, {"spec": {"replicas": 4}})
    lab.wait_ready(4, namespace=namespace)
    becomes(lambda: hostnames(lab, namespace), ["web-0", "web-1", "web-2", "web-3"])
    lab.patch(web, {"spec": {"replicas": 1}})
    becomes(lambda: names(lab, f"{CORE}/{namespace}/pods"), ["web-0"])
    becomes(lambda: hostnames(lab, namespace), ["web-0"])
    lab.patch(web, {"spec": {"replicas": 2, "template": {"metadata": {"labels": {"version": "2"}}}}})
    lab.wait_ready(2, namespace=namespace)
    pods = lab.get(f"{CORE}/{namespace}/pods?labelSelector=version%3D2")["items"]
    assert sorted(pod["metadata"]["name"] for pod in pods) == ["web-0", "web-1"]
    revisions = lab.get(f"{APPS}/{namespace}/controllerrevisions")["items"]
    assert sorted(revision["revision"] for revision in revisions) == [1, 2]


def test_a_disruption_budget(lab: RunningLab, namespace: str) -> None:
    """A budget's status says how many pods may be gone, and an eviction goes by it."""
    lab.create(f"{APPS}/{namespace}/statefulsets", SET)
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "nginx"}}}
    lab.create(budgets, {"metadata": {"name": "web"}, "spec": spec})

    def status() -> list[int]:
        found = lab.get(f"{budgets}/web").get("status") or {}
        return [found.get(field, -1) for field in ("expectedPods", "currentHealthy", "disruptionsAllowed")]

    becomes(status, [2, 2, 1])
    eviction = {"metadata": {"name": "web-1", "namespace": namespace}}
    code, answer = lab.request("POST", f"{CORE}/{namespace}/pods/web-1/eviction", eviction)
    assert code == 201, answer
    lab.wait_ready(2, namespace=namespace)
    becomes(status, [2, 2, 1])


def test_a_deployment(lab: RunningLab, namespace: str) -> None:
    """A Deployment makes a ReplicaSet, that makes pods, and they come up."""
    selector = {"matchLabels": {"app": "nginx"}}
    spec = {"replicas": 2, "selector": selector, "template": TEMPLATE}
    lab.create(f"{APPS}/{namespace}/deployments", {"metadata": {"name": "front"}, "spec": spec})
    front = f"{APPS}/{namespace}/deployments/front"
    becomes(lambda: (lab.get(front).get("status") or {}).get("readyReplicas"), 2)
    (made,) = names(lab, f"{APPS}/{namespace}/replicasets")
    assert re.fullmatch("front-[0-9a-z]+", made)
    assert all(name.startswith(f"{made}-") for name in names(lab, f"{CORE}/{namespace}/pods"))
    lab.request("DELETE", front)
    becomes(lambda: names(lab, f"{CORE}/{namespace}/pods"), [])
    becomes(lambda: names(lab, f"{APPS}/{namespace}/replicasets"), [])


def test_endpoints_made_by_hand_are_mirrored(lab: RunningLab, namespace: str) -> None:
    """Endpoints of a Service without a selector become a slice."""
    spec = {"clusterIP": "None", "ports": [{"name": "db", "port": 5432}]}
    lab.create(f"{CORE}/{namespace}/services", {"metadata": {"name": "db"}, "spec": spec})
    subset = {"addresses": [{"ip": "192.0.2.7", "hostname": "db-0"}], "ports": [{"name": "db", "port": 5432}]}
    lab.create(f"{CORE}/{namespace}/endpoints", {"metadata": {"name": "db"}, "subsets": [subset]})
    becomes(lambda: hostnames(lab, namespace), ["db-0"])


def test_a_claim_in_use_is_protected(lab: RunningLab, namespace: str) -> None:
    """A claim that is deleted stays as long as a pod uses it, and goes with the pod."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"name": "www"}, "spec": claim}
    spec = {**SET["spec"], "replicas": 1, "volumeClaimTemplates": [template]}  # type: ignore[dict-item]
    lab.create(f"{APPS}/{namespace}/statefulsets", {**SET, "spec": spec})
    lab.wait_ready(1, namespace=namespace)
    claims = f"{CORE}/{namespace}/persistentvolumeclaims"
    lab.request("DELETE", f"{claims}/www-web-0")
    assert lab.get(f"{claims}/www-web-0")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    lab.patch(f"{APPS}/{namespace}/statefulsets/web", {"spec": {"replicas": 0}})
    becomes(lambda: names(lab, claims), [])


def test_a_namespace(lab: RunningLab, namespace: str) -> None:
    """A namespace gets its ServiceAccount, and goes with all that is in it."""
    becomes(lambda: names(lab, f"{CORE}/{namespace}/serviceaccounts"), ["default"])
    lab.create(f"{CORE}/{namespace}/services", SERVICE)
    lab.create(f"{APPS}/{namespace}/statefulsets", SET)
    lab.wait_ready(2, namespace=namespace)
    lab.request("DELETE", f"{CORE}/{namespace}")
    becomes(lambda: lab.request("GET", f"{CORE}/{namespace}")[0], 404)
    assert names(lab, f"{CORE}/{namespace}/pods") == []


def test_no_complaints(lab: RunningLab) -> None:
    """The manager has logged no error in all of this but those that it logs everywhere."""
    lines = lab.manager_log.read_text().splitlines()
    assert any('"Started controller"' in line or "Starting" in line for line in lines)
    errors = [line for line in lines if line[:1] in ("E", "F") or "panic" in line]
    errors = [line for line in errors if not any(harmless in line for harmless in HARMLESS)]
    assert errors == [], "\n".join(errors)
