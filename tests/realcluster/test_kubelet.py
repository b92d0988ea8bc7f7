"""The pretend kubelet under a real kube-apiserver and the real StatefulSet controller."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pytest

from headlessdns.cluster.client import connect
from headlessdns.cluster.watch import Backoff
from headlessdns.lab.kubelet import Kubelet
from headlessdns.lab.objects import Now, Pod
from headlessdns.lab.pods import Failure, Pace, learn, status_write, wish_of
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE, Manifest, RealCluster

CONTROLLERS = (
    "statefulset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
)
OTHER_NODE = "node-2"
LONG = "--timeout=60s"

numbers = itertools.count(1)


class Running:
    """A kubelet that runs beside the test, in a thread of its own."""

    def __init__(self, kubeconfig: Path, **options: Any) -> None:
        self._kubeconfig = kubeconfig
        self._options = {"start_delay_s": 0, "ready_delay_s": 0, "termination_delay_s": 0.2, "back_off_s": 0.2}
        self._options |= {"node_gone_s": 0.5, "backoff": Backoff(0.05, 0.5), **options}
        self._loop = asyncio.new_event_loop()
        self._started: Future[Kubelet] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(),))

    def __enter__(self) -> Running:
        self._thread.start()
        self.kubelet = self._started.result(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(timeout=30)
        self._loop.close()

    async def _main(self) -> None:
        client = await connect(self._kubeconfig)
        try:
            kubelet = Kubelet(client, nodes=(NODE, OTHER_NODE), **self._options)
            self._task = asyncio.create_task(kubelet.run())
            await kubelet.started.wait()
            self._started.set_result(kubelet)
            with suppress(asyncio.CancelledError):
                await self._task
        finally:
            await client.close()

    def call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=30)


class Lab:
    """A namespace of the test's own in the cluster with a kubelet."""

    def __init__(self, cluster: RealCluster, running: Running) -> None:
        self.cluster = cluster
        self.running = running
        self.kubelet = running.kubelet
        self.namespace = f"lab-{next(numbers)}"
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def get(self, *what: str) -> Manifest:
        """Return an object, or the list of all of a kind."""
        found: Manifest = json.loads(self.kubectl("get", *what, "--output=json"))
        return found

    def pods(self) -> dict[str, Manifest]:
        return {pod["metadata"]["name"]: pod for pod in self.get("pods")["items"]}

    def ready(self) -> list[str]:
        """Return the names of the pods that are Ready."""
        return sorted(name for name, pod in self.pods().items() if is_ready(pod))

    def wait_ready(self, *names: str) -> dict[str, Manifest]:
        """Wait until exactly these pods are Ready, and return all pods."""
        wait_until(lambda: self.ready() == sorted(names), f"exactly {names} to be Ready", 30)
        return self.pods()

    def apply_set(self, replicas: int = 3, **template: Any) -> None:
        """Create the Service nginx and the StatefulSet web; *template* is of its pods: annotations, claims, spec."""
        metadata = {"labels": {"app": "nginx"}, "annotations": template.pop("annotations", {})}
        claims = template.pop("claims", [])
        containers = [{"name": "nginx", "image": "nginx:1", "ports": [{"containerPort": 80, "name": "web"}]}]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "nginx"},
            "spec": {"clusterIP": "None", "selector": {"app": "nginx"}, "ports": [{"name": "web", "port": 80}]},
        }
        stateful_set = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "web"},
            "spec": {
                "serviceName": "nginx",
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "nginx"}},
                "template": {"metadata": metadata, "spec": {"containers": containers, **template}},
                "volumeClaimTemplates": claims,
            },
        }
        for manifest in (service, stateful_set):
            self.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))


def is_ready(pod: Manifest) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def condition(pod: Manifest, kind: str) -> Manifest:
    found: list[Manifest] = [one for one in pod["status"].get("conditions", ()) if one["type"] == kind]
    return found[0] if found else {}


def waiting(pod: Manifest) -> str:
    """Return why the first container waits."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))


def claim_template(annotations: dict[str, str] | None = None, **spec: Any) -> Manifest:
    return {
        "metadata": {"name": "www", "annotations": annotations or {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }


@pytest.fixture(scope="module")
def lab_cluster() -> Iterator[RealCluster]:
    """A control plane with the StatefulSet controller."""
    try:
        cluster = RealCluster(controllers=CONTROLLERS)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with cluster:
        yield cluster


@pytest.fixture
def lab(lab_cluster: RealCluster) -> Iterator[Lab]:
    with Running(lab_cluster.kubeconfig, pod_cidrs=("10.244.0.0/16", "fd00:244::/64")) as running:
        lab = Lab(lab_cluster, running)
        try:
            wait_until(lambda: all(is_ready(node) for node in lab.get("nodes")["items"]), "all nodes to be Ready", 30)
            yield lab
            # What is left would have its addresses and nodes in the next test, too.
            lab.kubectl("delete", "statefulset,pod,pvc", "--all", "--grace-period=1", LONG)
        except BaseException as error:
            error.add_note(lab_cluster.log_tails())
            raise


def test_nodes(lab: Lab) -> None:
    """Nodes are Ready without taints, also one that was there before."""
    nodes = {node["metadata"]["name"]: node for node in lab.get("nodes")["items"]}
    assert sorted(nodes) == [NODE, OTHER_NODE]
    for node in nodes.values():
        assert is_ready(node)
        assert "taints" not in node["spec"]


def test_set_comes_up_in_order(lab: Lab) -> None:
    """Each pod of a set is created when the one before it is Ready, and not sooner."""
    lab.apply_set(3, annotations={"lab.headlessdns.io/ready": "false"})
    for number in range(3):
        name = f"web-{number}"
        wait_until(lambda: lab.pods().get(name, {}).get("status", {}).get("phase") == "Running", name, 30)  # noqa: B023
        assert sorted(lab.pods()) == [f"web-{one}" for one in range(number + 1)]
        assert condition(lab.pods()[name], "Ready")["reason"] == "ContainersNotReady"
        lab.running.call(lab.kubelet.set_ready(lab.namespace, name, True))
    lab.kubectl("rollout", "status", "statefulset/web", LONG)
    lab.kubectl("wait", "--for=condition=Ready", "pod/web-2", LONG)
    pods = lab.pods()
    assert [len(pod["status"]["podIPs"]) for pod in pods.values()] == [2, 2, 2]
    addresses = {pod["status"]["podIP"] for pod in pods.values()}
    assert len(addresses) == 3

    def in_slices() -> set[str]:
        slices = lab.get("endpointslices")["items"]
        endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or ()]
        return {endpoint["addresses"][0] for endpoint in endpoints if endpoint["conditions"]["ready"]}

    wait_until(lambda: in_slices() == addresses, "the addresses in the slices", 10)


def nothing_to_write(manifest: Manifest) -> bool:
    """Whether a kubelet that starts anew finds its own status in the pod, as it would write it."""
    pod = msgspec.convert(manifest, Pod)
    pace, now = Pace(0, 0, 0.2, 0.2), Now(0, datetime.now(UTC))
    run = learn(pod, pace, now)
    assert run is not None
    return status_write(pod, run, wish_of(pod, pace), pace, manifest["status"]["hostIP"], now) is None


def test_status_is_kept_as_written(lab: Lab) -> None:
    """The API server keeps a status as it was sent, whatever the containers are doing."""
    lab.apply_set(1, initContainers=[{"name": "init", "image": "busybox"}])
    pod = lab.wait_ready("web-0")["web-0"]
    assert [one["type"] for one in pod["status"]["conditions"] if one["status"] == "True"] == [
        "PodScheduled",
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
    ]
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert pod["status"]["containerStatuses"][0]["started"] is True
    assert nothing_to_write(pod)
    for failure, reason in ((Failure.IMAGE_PULL, "ImagePullBackOff"), (Failure.CRASH_LOOP, "CrashLoopBackOff")):
        lab.running.call(lab.kubelet.set_failure(lab.namespace, "web-0", failure))
        seen: list[Manifest] = []
        wait_until(lambda: seen.append(lab.pods()["web-0"]) or waiting(seen[-1]) == reason, reason, 10)  # noqa: B023
        assert nothing_to_write(seen[-1])
    pod["metadata"]["annotations"] = {"lab.headlessdns.io/ready": "false"}
    assert not nothing_to_write(pod)


def test_pod_deleted(lab: Lab) -> None:
    """A deleted pod ends within its grace period and comes back with the same name and a new address."""
    lab.apply_set(2)
    before = lab.wait_ready("web-0", "web-1")
    lab.kubectl("delete", "pod", "web-0", "web-1", LONG)
    wait_until(lambda: lab.pods().keys() == before.keys() and lab.ready() == ["web-0", "web-1"], "both again", 30)
    after = lab.pods()
    addresses = {pod["status"]["podIP"] for pods in (before, after) for pod in pods.values()}
    assert len(addresses) == 4


def test_scale_and_update(lab: Lab) -> None:
    """The real controller scales and updates a set whose pods run here."""
    lab.apply_set(3)
    lab.wait_ready("web-0", "web-1", "web-2")
    lab.kubectl("scale", "statefulset/web", "--replicas=1")
    lab.wait_ready("web-0")
    lab.kubectl("scale", "statefulset/web", "--replicas=3")
    lab.wait_ready("web-0", "web-1", "web-2")
    lab.kubectl("set", "image", "statefulset/web", "nginx=nginx:2")
    lab.kubectl("rollout", "status", "statefulset/web", LONG)
    pods = lab.wait_ready("web-0", "web-1", "web-2")
    assert {pod["status"]["containerStatuses"][0]["image"] for pod in pods.values()} == {"nginx:2"}


def test_claims(lab: Lab) -> None:
    """Claims are bound, kept when the set shrinks, and go with their volumes when they are deleted."""
    lab.apply_set(2, claims=[claim_template()])
    lab.wait_ready("web-0", "web-1")
    claims = {claim["metadata"]["name"]: claim for claim in lab.get("pvc")["items"]}
    assert sorted(claims) == ["www-web-0", "www-web-1"]
    for claim in claims.values():
        assert claim["status"]["phase"] == "Bound"
        assert claim["status"]["capacity"] == {"storage": "1Gi"}
    volume = claims["www-web-1"]["spec"]["volumeName"]
    wait_until(lambda: lab.get("pv", volume)["status"]["phase"] == "Bound", "the volume to be bound", 10)
    lab.kubectl("scale", "statefulset/web", "--replicas=1")
    lab.wait_ready("web-0")
    assert len(lab.get("pvc")["items"]) == 2
    lab.kubectl("delete", "pvc", "www-web-1", LONG)
    wait_until(lambda: volume not in lab.kubectl("get", "pv", "--output=name"), "the volume to be gone", 10)
    lab.kubectl("delete", "pvc", "www-web-0", "--wait=false")
    assert lab.ready() == ["web-0"]
    assert lab.get("pvc", "www-web-0")["metadata"]["deletionTimestamp"]


def test_claim_that_is_not_bound(lab: Lab) -> None:
    """A pod is not scheduled before its claim is bound, and says so."""
    lab.apply_set(1, claims=[claim_template({"lab.headlessdns.io/bind": "false"})])
    wait_until(lambda: condition(lab.pods().get("web-0", {"status": {}}), "PodScheduled"), "the condition", 10)
    scheduled = condition(lab.pods()["web-0"], "PodScheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert scheduled["message"] == "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    lab.kubectl("annotate", "pvc", "www-web-0", "lab.headlessdns.io/bind-")
    lab.wait_ready("web-0")


def test_claim_grows(lab: Lab) -> None:
    """A claim of a class that lets it grow has the capacity that it asks for."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "growing"},
        "provisioner": "lab.headlessdns.io",
        "allowVolumeExpansion": True,
    }
    lab.kubectl("apply", "--filename=-", stdin=json.dumps(storage_class))
    lab.apply_set(1, claims=[claim_template(storageClassName="growing")])
    lab.wait_ready("web-0")
    growth = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    lab.kubectl("patch", "pvc", "www-web-0", f"--patch={json.dumps(growth)}")
    wait_until(lambda: lab.get("pvc", "www-web-0")["status"]["capacity"] == {"storage": "3Gi"}, "the capacity", 10)


def test_lost_node(lab: Lab) -> None:
    """Pods of a lost node stay Terminating until they are deleted by force, and then come back elsewhere."""
    lab.apply_set(2)
    nodes = {name: pod["spec"]["nodeName"] for name, pod in lab.wait_ready("web-0", "web-1").items()}
    assert sorted(nodes.values()) == [NODE, OTHER_NODE]
    lost = nodes["web-1"]
    lab.running.call(lab.kubelet.lose_node(lost))
    wait_until(lambda: lab.ready() == ["web-0"], "web-1 not to be Ready", 10)
    node = lab.get("node", lost)
    assert condition(node, "Ready")["status"] == "Unknown"
    assert sorted(taint["effect"] for taint in node["spec"]["taints"]) == ["NoExecute", "NoSchedule"]
    before = lab.pods()["web-1"]["metadata"]["uid"]
    lab.kubectl("delete", "pod", "web-1", "--grace-period=1", "--wait=false")
    # Nothing tells that something will not happen: a second is five times what it takes on a node that is well.
    with pytest.raises(TimeoutError):
        wait_until(lambda: lab.pods()["web-1"]["metadata"]["uid"] != before, "web-1 to go", 1)
    lab.kubectl("delete", "pod", "web-1", "--grace-period=0", "--force")
    pods = lab.wait_ready("web-0", "web-1")
    assert {pod["spec"]["nodeName"] for pod in pods.values()} == {nodes["web-0"]}
    lab.running.call(lab.kubelet.recover_node(lost))
    wait_until(lambda: is_ready(lab.get("node", lost)), "the node to be back", 10)


def test_node_deleted(lab: Lab) -> None:
    """When the Node of a lost machine is deleted its pods are removed, and come back elsewhere."""
    lab.apply_set(2)
    nodes = {name: pod["spec"]["nodeName"] for name, pod in lab.wait_ready("web-0", "web-1").items()}
    lab.running.call(lab.kubelet.lose_node(nodes["web-1"]))
    wait_until(lambda: lab.ready() == ["web-0"], "web-1 not to be Ready", 10)
    lab.kubectl("delete", "pod", "web-1", "--wait=false")
    lab.kubectl("delete", "node", nodes["web-1"])
    pods = lab.wait_ready("web-0", "web-1")
    assert pods["web-1"]["spec"]["nodeName"] == nodes["web-0"]
    lab.running.call(lab.kubelet.recover_node(nodes["web-1"]))
    wait_until(lambda: len(lab.get("nodes")["items"]) == 2, "the node to be back", 10)


def told(lab: Lab, name: str) -> list[str]:
    """Return the events that `kubectl describe` shows of a pod, without their age."""
    _, _, table = lab.kubectl("describe", "pod", name).partition("\nEvents:\n")
    return [
        re.sub(r"^(\S+ \S+) \S+ (\(x\d+ over \S+\) )?", r"\1 ", " ".join(line.split()))
        for line in table.splitlines()[2:]
    ]


def test_events(lab: Lab) -> None:
    """`kubectl describe` tells what a pod went through, and a namespace that ends takes no event and no harm."""
    lab.apply_set(1)
    lab.wait_ready("web-0")
    node = lab.pods()["web-0"]["spec"]["nodeName"]
    image = 'Container image "nginx:1" already present on machine and can be accessed by the pod'
    born = [
        f"Normal Scheduled default-scheduler Successfully assigned {lab.namespace}/web-0 to {node}",
        f"Normal Pulled kubelet spec.containers{{nginx}}: {image}",
        "Normal Created kubelet spec.containers{nginx}: Container created",
        "Normal Started kubelet spec.containers{nginx}: Container started",
    ]
    wait_until(lambda: told(lab, "web-0") == born, "what a new pod is told of", 10)
    lab.running.call(lab.kubelet.set_ready(lab.namespace, "web-0", False))
    unhealthy = 'Readiness probe failed: the annotation lab.headlessdns.io/ready is "false"'
    wait_until(
        lambda: told(lab, "web-0")[4:] == [f"Warning Unhealthy kubelet spec.containers{{nginx}}: {unhealthy}"],
        "what a pod is told of that is not ready",
        10,
    )
    lab.kubectl("delete", "pod", "web-0", "--wait=false")
    wait_until(lambda: "Stopping container nginx" in lab.kubectl("events"), "the end of the pod to be told of", 10)
    lab.wait_ready("web-0")
    lab.cluster.kubectl("delete", "namespace", lab.namespace, LONG)


def test_failures(lab: Lab) -> None:
    """Pods fail as they are told to, and are mended."""
    lab.apply_set(1)
    lab.wait_ready("web-0")

    def fail(failure: Failure | None) -> None:
        lab.running.call(lab.kubelet.set_failure(lab.namespace, "web-0", failure))

    fail(Failure.IMAGE_PULL)
    wait_until(lambda: waiting(lab.pods()["web-0"]) == "ImagePullBackOff", "the image not to be pulled", 10)
    assert lab.ready() == []
    fail(None)
    lab.wait_ready("web-0")
    fail(Failure.CRASH_LOOP)
    wait_until(lambda: waiting(lab.pods()["web-0"]) == "CrashLoopBackOff", "a crash", 10)
    fail(None)
    before = lab.wait_ready("web-0")["web-0"]
    assert before["status"]["containerStatuses"][0]["restartCount"] >= 2
    fail(Failure.FAILED)
    uid = before["metadata"]["uid"]
    wait_until(lambda: lab.pods().get("web-0", before)["metadata"]["uid"] != uid, "web-0 to be replaced", 30)
    lab.wait_ready("web-0")


def test_finalizers(lab: Lab) -> None:
    """A deleted pod with a finalizer has ended and stays until the finalizer is taken off."""
    lab.apply_set(1)
    lab.wait_ready("web-0")
    lab.kubectl("patch", "pod", "web-0", '--patch={"metadata": {"finalizers": ["example.com/mine"]}}')
    lab.kubectl("delete", "pod", "web-0", "--wait=false")
    wait_until(lambda: lab.pods()["web-0"]["metadata"].get("deletionGracePeriodSeconds") == 0, "its end", 10)
    assert lab.pods()["web-0"]["status"]["phase"] == "Succeeded"
    lab.kubectl("patch", "pod", "web-0", '--patch={"metadata": {"finalizers": null}}')
    lab.wait_ready("web-0")


def test_drain(lab: Lab) -> None:
    """A node is drained with kubectl, and its pods come back on the other."""
    lab.apply_set(2)
    lab.wait_ready("web-0", "web-1")
    lab.kubectl("drain", OTHER_NODE, LONG)
    try:
        pods = lab.wait_ready("web-0", "web-1")
        assert {pod["spec"]["nodeName"] for pod in pods.values()} == {NODE}
    finally:
        lab.kubectl("uncordon", OTHER_NODE)


def test_restart_of_the_kubelet(lab_cluster: RealCluster) -> None:
    """A kubelet that starts anew changes nothing about its pods, and gives out no address that one of them has."""
    with Running(lab_cluster.kubeconfig) as running:
        lab = Lab(lab_cluster, running)
        lab.apply_set(3)
        before = lab.wait_ready("web-0", "web-1", "web-2")
    lab.kubectl("scale", "statefulset/web", "--replicas=4")
    wait_until(lambda: len(lab.pods()) == 4, "a pod that nobody starts", 10)
    with Running(lab_cluster.kubeconfig):
        after = lab.wait_ready("web-0", "web-1", "web-2", "web-3")
        for name, pod in before.items():
            assert after[name]["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]
        assert len({pod["status"]["podIP"] for pod in after.values()}) == 4
        lab.kubectl("delete", "statefulset,pod", "--all", "--grace-period=1", LONG)


def test_restart_of_the_api_server(lab: Lab) -> None:
    """After the API server was away all goes on."""
    lab.apply_set(1)
    lab.wait_ready("web-0")
    lab.cluster.stop_apiserver()
    lab.cluster.start_apiserver()
    lab.kubectl("scale", "statefulset/web", "--replicas=2")
    lab.wait_ready("web-0", "web-1")
