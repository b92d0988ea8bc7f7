"""The files ``NAME.cluster.yaml`` are no invention: the real controllers make the same of ``NAME.yaml``.

No kubelet runs, so the test plays one: it places each pod that appears on the node, and gives it the status, that the
file says. Everything else is the doing of kube-controller-manager.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import RealCluster, collection_path

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "config" / "examples"
PODS = collection_path("Pod", "default")
SLICES = collection_path("EndpointSlice", "default")

Object = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    """A control plane with the StatefulSet controller, which the tests' common one has not."""
    try:
        cluster = RealCluster(controllers=("statefulset-controller", "endpointslice-controller"))
    except PeerMissingError as error:
        pytest.skip(str(error))
    with cluster:
        # Pods of a node that does not exist are left out of the slices.
        for name in ("node-1", "node-2", "node-3"):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            if not cluster.exists(node):
                cluster.create(node)
        yield cluster


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Return where *found* lacks something of *expected*; what it has beyond that is of no matter."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [line for key in expected for line in differences(expected[key], found.get(key), f"{where}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for number, (one, other) in enumerate(zip(expected, found, strict=True))
            for line in differences(one, other, f"{where}[{number}]")
        ]
    return [] if expected == found else [f"{where}: the file says {expected!r}, the cluster {found!r}"]


def play_kubelet(cluster: RealCluster, pod: Object) -> None:
    """Run *pod* once its controller has made it."""
    path = f"{PODS}/{pod['metadata']['name']}"
    wait_until(lambda: cluster.exists(pod), f"{pod['metadata']['name']} to be created", deadline_s=30)
    target = {"apiVersion": "v1", "kind": "Node", "name": pod["spec"]["nodeName"]}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]}, "target": target}
    cluster.request("POST", f"{path}/binding", binding)
    cluster.write_status(pod)


def live_slice(cluster: RealCluster, service: str) -> Object:
    """Return the slice of *service*, with its endpoints in the order of their addresses."""
    label = f"kubernetes.io/service-name%3D{service}"
    items = cluster.request("GET", f"{SLICES}?labelSelector={label}")["items"]
    if not items:
        return {}
    (found,) = items
    found["endpoints"] = sorted(found["endpoints"] or [], key=lambda endpoint: endpoint["addresses"])
    return dict(found)


def completed_slice(cluster: RealCluster, wanted: Object) -> Object:
    """Return the live slice of the Service that *wanted* belongs to, once it is like it or will not be any more."""
    service = wanted["metadata"]["labels"]["kubernetes.io/service-name"]
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not differences(wanted, live_slice(cluster, service)), f"{service} to be complete", 20)
    return live_slice(cluster, service)


@pytest.mark.parametrize("name", ["nginx", "zookeeper", "kubia", "mysql"])
def test_the_real_controllers_make_the_same(cluster: RealCluster, name: str) -> None:
    """The StatefulSet and EndpointSlice controllers make these pods and slices, labels and hashes included."""
    cluster.kubectl("apply", "--validate=strict", "-f", str(FOLDER / f"{name}.yaml"))
    expected = list(yaml.safe_load_all((FOLDER / f"{name}.cluster.yaml").read_text()))
    assert {o["kind"] for o in expected} == {"Pod", "EndpointSlice"}
    for pod in (o for o in expected if o["kind"] == "Pod"):
        play_kubelet(cluster, pod)
        assert differences(pod, cluster.request("GET", f"{PODS}/{pod['metadata']['name']}")) == []
    for wanted in (o for o in expected if o["kind"] == "EndpointSlice"):
        # The items of a list do not repeat what they are, and the API server ends a generated name at random.
        del wanted["apiVersion"], wanted["kind"], wanted["metadata"]["name"]
        live = completed_slice(cluster, wanted)
        assert differences(wanted, live) == []
        # Where the DNS looks there is nothing beyond the file either.
        assert live["metadata"]["labels"] == wanted["metadata"]["labels"]
        assert [e.get("hostname") for e in live["endpoints"]] == [e.get("hostname") for e in wanted["endpoints"]]
