"""The pretend kubelet against an API server without a socket, in a loop whose clock jumps."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from headlessdns.cluster.answer import Answer
from headlessdns.errors import ClusterError
from headlessdns.lab.kubelet import Kubelet
from headlessdns.lab.pods import Failure
from tests.cluster.waiting import until
from tests.lab.fake_api import BROKEN, FakeApi, Json
from tests.lab.quick_loop import run

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/shop/pods"
CLAIMS = "/api/v1/namespaces/shop/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
EVENTS = "/api/v1/namespaces/shop/events"


def manifest(name: str, *claims: str, **spec: Any) -> Json:
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "nginx", "image": "nginx:1"}], "volumes": volumes, **spec},
    }


def claim_manifest(name: str) -> Json:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name, "finalizers": ["kubernetes.io/pvc-protection"]}, "spec": spec}


def conditions(object: Json) -> dict[str, str]:
    return {one["type"]: one["status"] for one in object["status"].get("conditions", ())}


class Lab:
    """A kubelet and its API."""

    def __init__(self, api: FakeApi, **options: Any) -> None:
        self.api = api
        self.kubelet = Kubelet(api, **{"nodes": ("node-1", "node-2"), **options})

    def add(self, *names: str, **spec: Any) -> None:
        for name in names:
            self.api.add(PODS, manifest(name, **spec))

    def pod(self, name: str) -> Json:
        return self.api.objects[f"{PODS}/{name}"]

    def is_there(self, name: str) -> bool:
        return f"{PODS}/{name}" in self.api.objects

    def is_ready(self, *names: str) -> bool:
        return all(conditions(self.pod(name)).get("Ready") == "True" for name in names)

    def nodes_are_ready(self) -> bool:
        nodes = [self.api.objects.get(f"{NODES}/{name}") for name in ("node-1", "node-2")]
        return all(node is not None and conditions(node).get("Ready") == "True" for node in nodes)

    async def ready(self, *names: str) -> None:
        await until(lambda: self.is_ready(*names), 60)

    async def delete(self, name: str, **options: Any) -> None:
        answer = await self.api.request("DELETE", f"{PODS}/{name}", options)
        assert answer.status == 200

    def writes(self, name: str) -> list[str]:
        """Return the kinds of writes that were asked for a pod."""
        path = f"{PODS}/{name}"
        made = [(method, at.removeprefix(path)) for method, at, _ in self.api.requests if at.startswith(path)]
        return [f"{method}{rest}" for method, rest in made]


@asynccontextmanager
async def lab(api: FakeApi | None = None, **options: Any) -> AsyncIterator[Lab]:
    made = Lab(api or FakeApi(), **options)
    task = asyncio.create_task(made.kubelet.run())
    try:
        await until(made.nodes_are_ready)
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def converse(talk: Callable[[Lab], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with lab(**options) as made:
            await talk(made)

    run(main())


APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "zk"}}, "topologyKey": "kubernetes.io/hostname"}
        ]
    }
}


def test_pods_that_want_to_be_apart() -> None:
    """Of three that come at once and want a node each two get one, and the third waits for the first that goes."""

    async def talk(lab: Lab) -> None:
        def node_of(name: str) -> str:
            return str(lab.pod(name)["spec"].get("nodeName", ""))

        def scheduled(name: str) -> Json:
            found = lab.pod(name).get("status", {}).get("conditions", ())
            return next((one for one in found if one["type"] == "PodScheduled"), {})

        for name in ("zk-0", "zk-1", "zk-2"):
            made = manifest(name, affinity=APART)
            made["metadata"]["labels"] = {"app": "zk"}
            lab.api.add(PODS, made)
        await lab.ready("zk-0", "zk-1")
        assert {node_of("zk-0"), node_of("zk-1")} == {"node-1", "node-2"}
        await until(lambda: scheduled("zk-2").get("status") == "False")
        said = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
        assert scheduled("zk-2")["message"] == said
        free = node_of("zk-1")
        await lab.delete("zk-1")
        await lab.ready("zk-2")
        assert node_of("zk-2") == free

    converse(talk)


def test_a_pod_waits_for_a_label_of_a_node() -> None:
    """A pod whose node selector no node meets comes up once one does."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", nodeSelector={"disk": "fast"})
        await until(
            lambda: (
                conditions(lab.pod("web-0")).get("PodScheduled") == "False" if "status" in lab.pod("web-0") else False
            )
        )
        lab.api.change(f"{NODES}/node-2", {"metadata": {"labels": {"disk": "fast"}}})
        await lab.ready("web-0")
        assert lab.pod("web-0")["spec"]["nodeName"] == "node-2"

    converse(talk)


def test_pod_comes_up() -> None:
    """A pod gets a node, is created, runs and is Ready, each after its time and with one write."""

    async def talk(lab: Lab) -> None:
        clock = asyncio.get_running_loop()
        begun_s = clock.time()
        lab.add("web-0")
        await until(lambda: lab.pod("web-0")["status"].get("phase") == "Pending")
        assert lab.pod("web-0")["spec"]["nodeName"] == "node-1"
        await until(lambda: lab.pod("web-0")["status"]["phase"] == "Running")
        assert clock.time() - begun_s == pytest.approx(2, abs=0.1)
        assert not lab.is_ready("web-0")
        await lab.ready("web-0")
        assert clock.time() - begun_s == pytest.approx(5, abs=0.1)
        await asyncio.sleep(60)
        assert lab.writes("web-0") == ["POST/binding", "PATCH/status", "PATCH/status", "PATCH/status"]

    converse(talk, start_delay_s=2, ready_delay_s=3)


def test_no_delay() -> None:
    """Without delays a pod is Ready with its first status."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        assert lab.writes("web-0") == ["POST/binding", "PATCH/status"]

    converse(talk, start_delay_s=0, ready_delay_s=0)


def test_one_node_after_the_other() -> None:
    """Pods are spread over the nodes that take them; one that names its node stays there."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", "web-1", "web-2", "web-3")
        lab.add("web-4", nodeName="node-2")
        await lab.ready("web-0", "web-1", "web-2", "web-3", "web-4")
        nodes = [lab.pod(f"web-{number}")["spec"]["nodeName"] for number in range(5)]
        assert nodes == ["node-1", "node-2", "node-1", "node-2", "node-2"]
        assert lab.pod("web-1")["status"]["hostIP"] == "198.18.0.2"
        lab.api.change(f"{NODES}/node-1", {"spec": {"unschedulable": True}})
        await asyncio.sleep(1)
        lab.add("web-5", "web-6")
        await lab.ready("web-5", "web-6")
        assert {lab.pod(name)["spec"]["nodeName"] for name in ("web-5", "web-6")} == {"node-2"}

    converse(talk)


def test_new_address_for_a_new_pod() -> None:
    """A pod that is made anew has another address, in each range."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        assert lab.pod("web-0")["status"]["podIPs"] == [{"ip": "10.1.0.2"}, {"ip": "fd00:1::2"}]
        await lab.delete("web-0", gracePeriodSeconds=0)
        lab.add("web-0")
        await lab.ready("web-0")
        assert lab.pod("web-0")["status"]["podIPs"] == [{"ip": "10.1.0.3"}, {"ip": "fd00:1::3"}]

    converse(talk, pod_cidrs=("10.1.0.0/24", "fd00:1::/64"))


def test_all_addresses_given_out() -> None:
    """A pod waits for an address until another one goes."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", "web-1")
        await asyncio.sleep(20)
        assert [lab.is_ready(name) for name in ("web-0", "web-1")] == [True, False]
        await lab.delete("web-0", gracePeriodSeconds=0)
        await lab.ready("web-1")

    converse(talk, pod_cidrs=("10.1.0.0/30",))


def test_deletion() -> None:
    """A deleted pod is not Ready at once, and gone when its containers have had their time."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        uid = lab.pod("web-0")["metadata"]["uid"]
        await lab.delete("web-0", gracePeriodSeconds=30)
        await until(lambda: not lab.is_ready("web-0"), 0.5)
        await asyncio.sleep(6.5)
        assert lab.is_there("web-0")
        await until(lambda: not lab.is_there("web-0"), 1)
        method, _, body = next(one for one in lab.api.requests if one[0] == "DELETE" and one[2].get("preconditions"))
        assert (method, body["gracePeriodSeconds"], body["preconditions"]) == ("DELETE", 0, {"uid": uid})

    converse(talk, termination_delay_s=7)


def test_finalizers() -> None:
    """A deleted pod that finalizers hold has ended, and stays until they let go."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        lab.api.change(f"{PODS}/web-0", {"metadata": {"finalizers": ["mine"]}})
        await lab.delete("web-0")
        await asyncio.sleep(60)
        assert lab.pod("web-0")["status"]["phase"] == "Succeeded"
        assert lab.writes("web-0")[-3:] == ["PATCH/status", "PATCH/status", "DELETE"]
        lab.api.change(f"{PODS}/web-0", {"metadata": {"finalizers": None}})
        assert not lab.is_there("web-0")

    converse(talk)


def test_deleted_before_it_was_admitted() -> None:
    """A pod that never started goes at once when it is deleted, and is asked to go once where finalizers hold it."""

    async def talk(lab: Lab) -> None:
        lab.api.add(PODS, manifest("web-0", "www-web-0", nodeName="node-1"))
        lab.api.add(PODS, manifest("web-1", "www-web-1", nodeName="node-1"))
        lab.api.change(f"{PODS}/web-1", {"metadata": {"finalizers": ["mine"]}})
        await lab.delete("web-0")
        await lab.delete("web-1")
        await asyncio.sleep(60)
        assert not lab.is_there("web-0")
        assert lab.writes("web-1") == ["DELETE", "DELETE"]  # the test's, and the kubelet's

    converse(talk)


def test_annotations() -> None:
    """A pod is made not ready, or to fail, and mended by calls that annotate it."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        await lab.kubelet.set_ready("shop", "web-0", False)
        await until(lambda: not lab.is_ready("web-0"))
        await lab.kubelet.set_ready("shop", "web-0", True)
        await lab.ready("web-0")
        await lab.kubelet.set_failure("shop", "web-0", Failure.CRASH_LOOP)
        restarts = lambda: lab.pod("web-0")["status"]["containerStatuses"][0]["restartCount"]  # noqa: E731
        await until(lambda: restarts() == 3, 600)
        await lab.kubelet.set_failure("shop", "web-0", None)
        await lab.ready("web-0")
        await asyncio.sleep(600)
        assert lab.is_ready("web-0")
        assert restarts() <= 4
        with pytest.raises(ClusterError, match="404"):
            await lab.kubelet.set_ready("shop", "web-9", True)

    converse(talk)


def test_claims() -> None:
    """A pod waits for its claims, which are bound; a volume goes with its claim, and that stays while it is in use."""

    async def talk(lab: Lab) -> None:
        lab.api.add(PODS, manifest("web-0", "www-web-0"))
        scheduled = lambda: lab.pod("web-0")["status"].get("conditions", [{}])[0]  # noqa: E731
        await until(lambda: scheduled().get("reason") == "Unschedulable")
        assert scheduled()["message"] == '0/2 nodes are available: persistentvolumeclaim "www-web-0" not found.'
        lab.api.add(CLAIMS, claim_manifest("www-web-0"))
        await lab.ready("web-0")
        claim = lab.api.objects[f"{CLAIMS}/www-web-0"]
        volume = f"{VOLUMES}/{claim['spec']['volumeName']}"
        assert claim["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
        await until(lambda: lab.api.objects[volume]["status"] == {"phase": "Bound"})
        await lab.api.request("DELETE", f"{CLAIMS}/www-web-0", {})
        await asyncio.sleep(5)
        assert f"{CLAIMS}/www-web-0" in lab.api.objects
        await lab.delete("web-0", gracePeriodSeconds=0)
        await until(lambda: f"{CLAIMS}/www-web-0" not in lab.api.objects)
        await until(lambda: volume not in lab.api.objects)

    converse(talk)


def test_claim_of_a_pod_that_was_replaced_unseen() -> None:
    """A claim is free when the pod that has the name now does not mount it."""

    async def talk(lab: Lab) -> None:
        lab.api.add(CLAIMS, claim_manifest("www-web-0"))
        lab.api.add(PODS, manifest("web-0", "www-web-0"))
        await lab.ready("web-0")
        lab.api.end_watches(BROKEN)
        lab.api.remove(f"{PODS}/web-0")
        lab.add("web-0")
        lab.api.compact()
        await lab.ready("web-0")
        await lab.api.request("DELETE", f"{CLAIMS}/www-web-0", {})
        await until(lambda: f"{CLAIMS}/www-web-0" not in lab.api.objects)

    converse(talk)


def test_claim_of_a_pod_without_a_node() -> None:
    """A claim whose only pod has no node yet is not in use."""

    async def talk(lab: Lab) -> None:
        lab.api.add(CLAIMS, claim_manifest("www-web-0"))
        lab.api.add(PODS, manifest("web-0", "www-web-0", schedulingGates=[{"name": "wait"}]))
        await until(lambda: lab.api.objects[f"{CLAIMS}/www-web-0"]["status"].get("phase") == "Bound")
        await lab.api.request("DELETE", f"{CLAIMS}/www-web-0", {})
        await until(lambda: f"{CLAIMS}/www-web-0" not in lab.api.objects)

    converse(talk)


def test_protected_volume() -> None:
    """The protection that an API server gives to volumes is taken off once the claim is gone."""

    async def talk(lab: Lab) -> None:
        claim = lab.api.add(CLAIMS, claim_manifest("www-web-0"))
        volume = f"{VOLUMES}/pvc-{claim['metadata']['uid']}"
        await until(lambda: volume in lab.api.objects)
        lab.api.change(volume, {"metadata": {"finalizers": ["kubernetes.io/pv-protection"]}})
        await lab.api.request("DELETE", f"{CLAIMS}/www-web-0", {})
        await until(lambda: volume not in lab.api.objects)

    converse(talk)


def test_claims_of_others() -> None:
    """Where claims are bound by others the kubelet waits for that, also on a node that the pod names itself."""

    async def talk(lab: Lab) -> None:
        lab.api.add(CLAIMS, claim_manifest("www-web-0"))
        lab.api.add(PODS, manifest("web-0", "www-web-0"))
        lab.api.add(PODS, manifest("web-1", "www-web-0", nodeName="node-1"))
        await asyncio.sleep(20)
        assert not lab.pod("web-0")["spec"].get("nodeName")
        assert "startTime" not in lab.pod("web-1")["status"]
        lab.api.change(f"{CLAIMS}/www-web-0", {"status": {"phase": "Bound"}})
        await lab.ready("web-0", "web-1")
        assert not [path for path in lab.api.objects if path.startswith(VOLUMES)]

    converse(talk, bind_claims=False)


def test_scheduling_gates() -> None:
    """A pod with a scheduling gate gets no node until the gate is gone."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", schedulingGates=[{"name": "wait"}])
        await asyncio.sleep(10)
        assert lab.writes("web-0") == []
        lab.api.change(f"{PODS}/web-0", {"spec": {"schedulingGates": None}})
        await lab.ready("web-0")

    converse(talk)


def test_pods_that_are_not_ours() -> None:
    """Pods on nodes of others, and pods that have ended, are left alone."""

    async def talk(lab: Lab) -> None:
        lab.api.add(NODES, {"metadata": {"name": "other"}, "spec": {}})
        lab.add("web-0", nodeName="other")
        lab.api.add(PODS, {**manifest("web-1", nodeName="node-1"), "status": {"phase": "Failed", "reason": "Evicted"}})
        await asyncio.sleep(60)
        assert lab.writes("web-0") == lab.writes("web-1") == []

    converse(talk)


# Nodes that are lost


def test_lost_node() -> None:
    """On a lost node nothing starts, stops or ends, and its pods are not Ready; when it is back all goes on."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", "web-1")
        await lab.ready("web-0", "web-1")
        await lab.kubelet.lose_node("node-2")
        lab.add("web-2", nodeName="node-2")
        await lab.delete("web-1")
        await asyncio.sleep(60)
        assert conditions(lab.api.objects[f"{NODES}/node-2"])["Ready"] == "Unknown"
        assert conditions(lab.pod("web-1"))["Ready"] == "False"
        assert "running" in lab.pod("web-1")["status"]["containerStatuses"][0]["state"]
        assert lab.writes("web-2") == []
        assert lab.is_ready("web-0")
        lab.add("web-3", "web-4")
        await lab.ready("web-3", "web-4")
        assert {lab.pod(name)["spec"]["nodeName"] for name in ("web-3", "web-4")} == {"node-1"}
        await lab.kubelet.recover_node("node-2")
        await lab.ready("web-2")
        assert not lab.is_there("web-1")
        assert lab.api.objects[f"{NODES}/node-2"]["spec"]["taints"] == []

    converse(talk)


def test_recovered_pod() -> None:
    """A pod that ran on a lost node is Ready again with it, and was never started anew."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        before = lab.pod("web-0")["status"]["containerStatuses"]
        await lab.kubelet.lose_node("node-1")
        await until(lambda: not lab.is_ready("web-0"))
        await lab.kubelet.recover_node("node-1")
        await lab.ready("web-0")
        assert lab.pod("web-0")["status"]["containerStatuses"] == before

    converse(talk)


def test_lost_and_back_unseen() -> None:
    """A node that was lost and came back while the watches were broken is well."""

    async def talk(lab: Lab) -> None:
        lab.api.end_watches(BROKEN)
        await lab.kubelet.lose_node("node-1")
        await lab.kubelet.recover_node("node-1")
        lab.api.compact()
        lab.add("web-0", nodeName="node-1")
        await lab.ready("web-0")

    converse(talk)


def test_annotation_taken_off_by_hand() -> None:
    """A node that was lost by a call is well again when somebody takes its annotation off."""

    async def talk(lab: Lab) -> None:
        await lab.kubelet.lose_node("node-1")
        lab.add("web-0", nodeName="node-1")
        await asyncio.sleep(10)
        assert lab.writes("web-0") == []
        lab.api.change(f"{NODES}/node-1", {"metadata": {"annotations": {"lab.headlessdns.io/lost": None}}})
        await lab.ready("web-0")

    converse(talk)


def test_lost_by_annotation() -> None:
    """A node is lost by its annotation, too; with all lost a pod says that no node takes it."""

    async def talk(lab: Lab) -> None:
        for name in ("node-1", "node-2"):
            lab.api.change(f"{NODES}/{name}", {"metadata": {"annotations": {"lab.headlessdns.io/lost": "true"}}})
        await asyncio.sleep(1)
        lab.add("web-0")
        await asyncio.sleep(10)
        message = lab.pod("web-0")["status"]["conditions"][0]["message"]
        assert message == "0/2 nodes are available: 2 node(s) had untolerated taint(s)."
        await lab.kubelet.recover_node("node-1")
        await lab.ready("web-0")

    converse(talk)


def test_taint_that_drives_pods_away() -> None:
    """A pod is deleted when its node gets a taint that it does not tolerate, later where it does for a while."""

    async def talk(lab: Lab) -> None:
        for_a_while = {"key": "disk", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
        lab.add("web-0", nodeName="node-1")
        lab.add("web-1", nodeName="node-1", tolerations=[for_a_while])
        lab.add("web-2", nodeName="node-1", tolerations=[{"operator": "Exists"}])
        lab.add("web-3", nodeName="node-2")
        await lab.ready("web-0", "web-1", "web-2", "web-3")
        lab.api.change(f"{NODES}/node-1", {"spec": {"taints": [{"key": "disk", "effect": "NoExecute"}]}})
        await until(lambda: not lab.is_there("web-0"), 10)
        assert lab.writes("web-0")[-4:] == ["PATCH/status", "DELETE", "PATCH/status", "DELETE"]
        events = [object for path, object in lab.api.objects.items() if path.startswith(EVENTS)]
        told = [event["message"] for event in events if event["reason"] == "TaintManagerEviction"]
        assert told == ["Marking for deletion Pod shop/web-0"]
        await asyncio.sleep(40)
        assert lab.is_ready("web-1", "web-2", "web-3")
        await until(lambda: not lab.is_there("web-1"), 30)
        await asyncio.sleep(600)
        assert lab.is_ready("web-2", "web-3")

    converse(talk)


def test_taint_that_goes_in_time() -> None:
    """A pod that tolerates a taint for a while stays when it goes, and has the whole time again when it comes back."""

    async def talk(lab: Lab) -> None:
        for_a_while = {"key": "disk", "operator": "Exists", "tolerationSeconds": 60}
        lab.add("web-0", nodeName="node-1", tolerations=[for_a_while])
        await lab.ready("web-0")
        for _ in range(3):
            lab.api.change(f"{NODES}/node-1", {"spec": {"taints": [{"key": "disk", "effect": "NoExecute"}]}})
            await asyncio.sleep(50)
            lab.api.change(f"{NODES}/node-1", {"spec": {"taints": []}})
            await asyncio.sleep(50)
        assert lab.is_ready("web-0")

    converse(talk)


def test_lost_for_long() -> None:
    """Pods of a node that is lost are deleted after five minutes, and stay until it is back."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", nodeName="node-1")
        await lab.ready("web-0")
        await lab.kubelet.lose_node("node-1")
        await asyncio.sleep(290)
        assert "deletionTimestamp" not in lab.pod("web-0")["metadata"]
        await until(lambda: "deletionTimestamp" in lab.pod("web-0")["metadata"], 20)
        assert conditions(lab.pod("web-0"))["DisruptionTarget"] == "True"
        await asyncio.sleep(1000)
        assert lab.is_there("web-0")
        await lab.kubelet.recover_node("node-1")
        await until(lambda: not lab.is_there("web-0"), 60)

    converse(talk)


def test_node_deleted_while_lost() -> None:
    """Pods whose Node was deleted are removed after a while, and the node registers anew when it recovers."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", "web-1")
        await lab.ready("web-0", "web-1")
        await lab.kubelet.lose_node("node-2")
        await lab.api.request("DELETE", f"{NODES}/node-2", {})
        await asyncio.sleep(4)
        assert lab.is_there("web-1")
        await until(lambda: not lab.is_there("web-1"), 2)
        assert lab.is_ready("web-0")
        assert f"{NODES}/node-2" not in lab.api.objects
        await lab.kubelet.recover_node("node-2")
        await until(lab.nodes_are_ready)
        lab.add("web-1", nodeName="node-2")
        await lab.ready("web-1")

    converse(talk, node_gone_s=5)


def test_node_deleted_while_well() -> None:
    """A node that is well and loses its Node makes another one, and its pods stay."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0")
        await lab.ready("web-0")
        await lab.api.request("DELETE", f"{NODES}/node-1", {})
        await until(lab.nodes_are_ready)
        await asyncio.sleep(60)
        assert lab.is_ready("web-0")

    converse(talk)


def test_node_that_the_watch_has_not_brought() -> None:
    """A pod is removed only where the API server itself says that there is no such node."""

    async def talk(lab: Lab) -> None:
        lab.api.hide(NODES, {"metadata": {"name": "late"}, "spec": {}})
        lab.add("web-0", nodeName="late")
        await asyncio.sleep(60)
        assert lab.writes("web-0") == []

    converse(talk)


def test_unknown_node() -> None:
    """Only nodes of this kubelet can be lost, and a refusal loses nothing."""

    async def talk(lab: Lab) -> None:
        for act in (lab.kubelet.lose_node, lab.kubelet.recover_node):
            with pytest.raises(ValueError, match="node-1, node-2"):
                await act("node-9")
        lab.api.refusals[f"{NODES}/node-1"] = [403]
        with pytest.raises(ClusterError, match="403"):
            await lab.kubelet.lose_node("node-1")
        lab.add("web-0", nodeName="node-1")
        await lab.ready("web-0")

    converse(talk)


# Events


class Telling(FakeApi):
    """It keeps the news: a line for each event."""

    def told(self, name: str) -> list[str]:
        """Return what was told of an object: component, host, reason, and how often."""
        events = [one for path, one in self.objects.items() if "/events/" in path]
        return [
            " ".join([*one["source"].values(), one["reason"], f"x{one['count']}"])
            for one in sorted(events, key=lambda one: str(one["metadata"]["name"]))
            if one["involvedObject"]["name"] == name
        ]


def test_events_of_a_pod() -> None:
    """The course of a pod is told: by the scheduler, by the kubelet of its node, and by the node controller."""
    api = Telling()

    async def main() -> None:
        async with lab(api, ready_delay_s=1, termination_delay_s=1, back_off_s=1) as made:
            made.add("web-0")
            await made.ready("web-0")
            born = [
                "default-scheduler Scheduled x1",
                "kubelet node-1 Pulled x1",
                "kubelet node-1 Created x1",
                "kubelet node-1 Started x1",
            ]
            assert api.told("web-0") == born
            await made.kubelet.set_ready("shop", "web-0", False)
            await until(lambda: not made.is_ready("web-0"))
            await asyncio.sleep(60)
            assert api.told("web-0")[4:] == ["kubelet node-1 Unhealthy x1"]
            await made.kubelet.set_ready("shop", "web-0", True)
            await made.ready("web-0")
            await made.kubelet.lose_node("node-1")
            await until(lambda: not made.is_ready("web-0"))
            await made.kubelet.recover_node("node-1")
            await made.ready("web-0")
            await made.delete("web-0")
            await until(lambda: not made.is_there("web-0"))
            assert api.told("web-0")[5:] == ["node-controller NodeNotReady x1", "kubelet node-1 Killing x1"]
            assert api.told("node-1") == ["kubelet node-1 NodeReady x2", "node-controller NodeNotReady x1"]

    run(main())


def test_events_of_trouble() -> None:
    """Containers that crash, and images that are not there, are told of; what comes again is counted."""
    api = Telling()

    async def main() -> None:
        async with lab(api, ready_delay_s=0, back_off_s=1) as made:
            made.add("web-0")
            await made.ready("web-0")
            await made.kubelet.set_failure("shop", "web-0", Failure.CRASH_LOOP)
            await until(lambda: made.pod("web-0")["status"]["containerStatuses"][0]["restartCount"] == 2, 60)
            await made.kubelet.set_failure("shop", "web-0", Failure.IMAGE_PULL)
            await asyncio.sleep(60)
            assert api.told("web-0") == [
                "default-scheduler Scheduled x1",
                "kubelet node-1 Pulled x3",
                "kubelet node-1 Created x3",
                "kubelet node-1 Started x3",
                "kubelet node-1 BackOff x2",
                "kubelet node-1 Pulling x1",
                "kubelet node-1 Failed x1",
                "kubelet node-1 Failed x1",
                "kubelet node-1 BackOff x1",
                "kubelet node-1 Failed x1",
            ]

    run(main())


def test_a_pod_without_a_node_is_told_of_once() -> None:
    """That a pod gets no node is told when it is found, not at each look."""
    api = Telling()

    async def main() -> None:
        async with lab(api) as made:
            made.add("web-0", volumes=[{"name": "www", "persistentVolumeClaim": {"claimName": "www"}}])
            await until(lambda: api.told("web-0"))
            api.change(f"{NODES}/node-1", {"spec": {"unschedulable": True}})
            await asyncio.sleep(60)
            assert api.told("web-0") == ["default-scheduler FailedScheduling x1"]

    run(main())


class Silent(FakeApi):
    """It takes no events."""

    def __init__(self, refusal: int | None) -> None:
        super().__init__()
        self.refusal = refusal

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        if "/events" in path:
            if self.refusal is None:
                await asyncio.Event().wait()
            return Answer(self.refusal or 0, "", b'{"message": "no"}')
        return await super().request(method, path, body, **options)


@pytest.mark.parametrize("refusal", [None, 403, 500], ids=["no answer", "403", "500"])
def test_events_hold_nothing_up(refusal: int | None, caplog: pytest.LogCaptureFixture) -> None:
    """Pods come up and go where no event can be written, and the log says nothing of it."""

    async def main() -> None:
        async with lab(Silent(refusal)) as made:
            names = [f"web-{number}" for number in range(100)]
            made.add(*names)
            await made.ready(*names)
            await made.delete("web-0")
            await until(lambda: not made.is_there("web-0"))

    with caplog.at_level(logging.WARNING):
        run(main())
    assert caplog.records == []


# Faults


@pytest.mark.parametrize(
    ("refusals", "renewals", "lines"),
    [
        pytest.param([409], 0, 0, id="conflict"),
        pytest.param([500, 500, 500], 0, 3, id="server-error"),
        pytest.param([401], 1, 1, id="unauthorized"),
        pytest.param([ClusterError("no reply"), 422], 0, 2, id="no-reply"),
    ],
)
def test_refused_writes(
    refusals: list[int | ClusterError], renewals: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A write that is refused is tried again, after a while, and each time but for conflicts the log says so."""

    async def talk(lab: Lab) -> None:
        lab.api.refusals[f"{PODS}/web-0/status"] = refusals
        lab.add("web-0")
        await lab.ready("web-0")
        assert lab.api.renewals == renewals

    with caplog.at_level(logging.WARNING):
        converse(talk)
    assert len(caplog.records) == lines
    assert all(record.getMessage().endswith("; trying again") for record in caplog.records)


def test_watches_break() -> None:
    """What happens while the watches are broken counts all the same."""

    async def talk(lab: Lab) -> None:
        lab.add("web-0", "web-1")
        await lab.ready("web-0", "web-1")
        lab.api.end_watches(BROKEN)
        lab.api.remove(f"{PODS}/web-0")
        lab.add("web-0", "web-2")
        lab.api.compact()
        await lab.delete("web-1")
        await lab.ready("web-0", "web-2")
        await until(lambda: not lab.is_there("web-1"))
        addresses = [lab.pod(name)["status"]["podIP"] for name in ("web-0", "web-2")]
        assert sorted(addresses) == ["10.244.0.4", "10.244.0.5"]

    converse(talk)


def test_restart_of_the_kubelet() -> None:
    """A kubelet that starts anew takes over what there is: nothing changes, and no address is given out twice."""

    async def main() -> None:
        api = FakeApi()
        async with lab(api) as first:
            first.add("web-0", "web-1", "web-2")
            await first.ready("web-0", "web-1", "web-2")
            await first.kubelet.lose_node("node-2")
            await until(lambda: not first.is_ready("web-1"))
            await first.delete("web-2")
        before = dict(api.objects)
        api.requests.clear()
        second = Lab(api)
        task = asyncio.create_task(second.kubelet.run())
        await second.kubelet.started.wait()
        await asyncio.sleep(10)
        assert {path for _, path, _ in api.requests} <= {f"{PODS}/web-2", f"{PODS}/web-2/status", EVENTS}
        assert not second.is_there("web-2")
        after = {path: object for path, object in api.objects.items() if not path.startswith(EVENTS)}
        before = {path: object for path, object in before.items() if not path.startswith(EVENTS)}
        assert after == {path: object for path, object in before.items() if path != f"{PODS}/web-2"}
        second.add("web-2")
        await second.ready("web-2")
        assert second.pod("web-2")["status"]["podIP"] == "10.244.0.5"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(main())


def test_many_pods() -> None:
    """Many pods at once all come up within a second of their delays, each with an address of its own."""

    async def talk(lab: Lab) -> None:
        clock = asyncio.get_running_loop()
        begun_s = clock.time()
        names = [f"web-{number}" for number in range(1000)]
        lab.add(*names)
        await lab.ready(*names)
        assert clock.time() - begun_s < 2
        assert len({lab.pod(name)["status"]["podIP"] for name in names}) == 1000
        assert Counter(lab.pod(name)["spec"]["nodeName"] for name in names) == {"node-1": 500, "node-2": 500}
        assert lab.api.most_at_once <= 50 + 1  # and one for events

    converse(talk)


@pytest.mark.parametrize("options", [{"back_off_s": 0}, {"pod_cidrs": ()}])
def test_bad_options(options: Json) -> None:
    """What makes no sense is refused at once."""
    with pytest.raises(ValueError):
        Kubelet(FakeApi(), **options)
