"""The tutorials on StatefulSets, step by step as people type them, with the DNS asked after every step.

A real kube-apiserver with its endpointslice, garbage-collector and disruption controllers, our controller in the place
of the reference's, the pretend kubelet, `headlessdns serve` with a kubeconfig, and kubectl.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING, Any

import dns.resolver
import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import ApiError
from tests.reconcile.course import DEADLINE_S, Course
from tests.reconcile.stage import NODES, Stage
from tests.reconcile.timeline import Timeline
from tests.serving import Serve

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = {"dig": "bind9-dnsutils", "node": "nodejs"}
READY = "lab.headlessdns.io/ready"
WEB = {"web": 80}
BOTH = ["web-0", "web-1"]
FIVE = ["web-0", "web-1", "web-2", "web-3", "web-4"]
UP_TO_TWO = ("create web-0", "ready web-0", "create web-1", "ready web-1")
ONE_THEN_ZERO = (
    *("delete web-1", "gone web-1", "create web-1", "ready web-1"),
    *("delete web-0", "gone web-0", "create web-0", "ready web-0"),
)
FOLLOWS_WITHIN_S = 1.0

RESOLVE_SRV = """
const { Resolver } = require('node:dns').promises;
const resolver = new Resolver();
resolver.setServers([process.argv[1]]);
resolver.resolveSrv(process.argv[2]).then(found => console.log(JSON.stringify(found)));
"""


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Stage, Timeline, Serve]]:
    """One control plane with our controller, what becomes of its pods, and a server of its names."""
    try:
        stage = Stage(is_reference=False, more_controllers=["disruption-controller"])
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        timeline = Timeline(stage.cluster)
        with Serve("--kubeconfig", stage.cluster.kubeconfig) as serve:
            yield stage, timeline, serve
    timeline.join()


def namespace_of(request: pytest.FixtureRequest) -> str:
    """Return the name of a namespace for one test."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    return name[:60].strip("-")


@pytest.fixture
def course(world: tuple[Stage, Timeline, Serve], request: pytest.FixtureRequest) -> Course:
    """A course in a namespace of its own, named after the test."""
    return Course(*world, namespace_of(request))


@pytest.fixture
def web(course: Course) -> Course:
    """A course whose first step is done: `web` has two replicas, which are ready."""
    course.apply("nginx.yaml")
    course.expect(*UP_TO_TWO)
    course.wait_ready(2)
    return course


def tool(name: str) -> str:
    """Return where the program *name* is."""
    found = shutil.which(name)
    if found is None:
        skip_or_fail(f"{name} is missing: apt-get install {PACKAGES[name]}")
    return found


def columns(table: str) -> list[list[str]]:
    """Return the rows of what `kubectl get` prints, without the head and the age."""
    return [line.split()[:-1] for line in table.splitlines()[1:]]


# Coming up


def test_web_comes_up_in_order(course: Course) -> None:
    """The pods come one after the other, the next once the last is ready, and each with its name and its claim."""
    said = course.apply("nginx.yaml")
    assert said.splitlines() == ["service/nginx created", "statefulset.apps/web created"]
    course.expect(*UP_TO_TWO)
    course.expect_names("nginx", WEB, BOTH, absent=["web-2"])
    assert sorted(course.claims()) == ["www-web-0", "www-web-1"]
    assert course.each("spec", "hostname") == {"web-0": "web-0", "web-1": "web-1"}
    assert course.each("spec", "subdomain") == {"web-0": "nginx", "web-1": "nginx"}


def test_a_pod_that_is_not_ready_holds_up_the_next(course: Course) -> None:
    """Until web-0 is ready there is no web-1, and no name of either."""
    template = "    metadata:\n      labels:\n"
    course.apply(
        "nginx.yaml", (template, template.replace("labels", f'annotations: {{{READY}: "false"}}\n      labels'))
    )
    course.expect("create web-0")
    course.expect_nothing()
    course.expect_names("nginx", WEB, [], absent=BOTH)
    course.annotate_pod("web-0", READY, None)
    course.expect("ready web-0", "create web-1")
    course.expect_nothing()
    course.expect_names("nginx", WEB, ["web-0"], absent=["web-1"])
    course.annotate_pod("web-1", READY, None)
    course.expect("ready web-1")
    course.expect_names("nginx", WEB, BOTH, absent=["web-2"])


def test_kubectl_waits_for_available(course: Course) -> None:
    """`kubectl wait --for=condition=Available` ends when all pods are available, and sees when one no longer is."""
    course.apply("nginx.yaml")
    said = course.kubectl("wait", "--for=condition=Available", "statefulset/web", "--timeout=50s")
    assert said == "statefulset.apps/web condition met\n"
    assert course.status()["availableReplicas"] == 2
    course.expect(*UP_TO_TWO)
    course.expect_names("nginx", WEB, BOTH, absent=[])
    course.annotate_pod("web-1", READY, "false")
    course.kubectl("wait", "--for=condition=Available=false", "statefulset/web", "--timeout=50s")
    course.expect_names("nginx", WEB, ["web-0"], absent=["web-1"])
    course.annotate_pod("web-1", READY, None)
    course.kubectl("wait", "--for=condition=Available", "statefulset/web", "--timeout=50s")
    course.expect_names("nginx", WEB, BOTH, absent=[])


def test_kubectl_get_and_describe(web: Course) -> None:
    """`kubectl get` and `kubectl describe` show the set as they show one of the reference."""
    assert columns(web.kubectl("get", "statefulsets")) == [["web", "2/2"]]
    assert columns(web.kubectl("get", "pods", "-l", "app=nginx")) == [
        ["web-0", "1/1", "Running", "0"],
        ["web-1", "1/1", "Running", "0"],
    ]
    text = web.kubectl("describe", "statefulset", "web")
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {
        "Name: web",
        "Selector: app=nginx",
        "Replicas: 2 desired | 2 total",
        "Update Strategy: RollingUpdate",
        "Partition: 0",
        "Pods Status: 2 Running / 0 Waiting / 0 Succeeded / 0 Failed",
        "Name: www",
        "Capacity: 1Gi",
    } <= lines


def test_describe_shows_the_events(web: Course) -> None:
    """`kubectl describe` tells which claims and pods were created."""

    def messages() -> set[str]:
        text = web.kubectl("describe", "statefulset", "web")
        events = [line.split(maxsplit=4) for line in text.partition("\nEvents:")[2].splitlines()]
        return {event[4] for event in events if event[:2] == ["Normal", "SuccessfulCreate"]}

    expected = {
        "Create Claim www-web-0 Pod web-0 in StatefulSet web success",
        "Create Pod web-0 in StatefulSet web successful",
        "Create Claim www-web-1 Pod web-1 in StatefulSet web success",
        "Create Pod web-1 in StatefulSet web successful",
    }
    web.wait(lambda: messages() >= expected, "the events")


def test_dig_finds_the_pods(web: Course) -> None:
    """What people type, `dig`, gives the addresses and the ports."""
    web.expect_names("nginx", WEB, BOTH, absent=[])

    def dig(*arguments: str) -> list[str]:
        command = [tool("dig"), "@127.0.0.1", "-p", str(web.serve.port), "+short", *arguments]
        return sorted(
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split("\n")
        )

    addresses, names = web.addresses(), [web.full(f"{pod}.nginx") for pod in BOTH]
    assert dig(names[0]) == ["", addresses["web-0"]]
    assert dig(web.full("nginx")) == sorted(["", *addresses.values()])
    assert dig(web.full("_web._tcp.nginx"), "SRV") == ["", f"0 100 80 {names[0]}", f"0 100 80 {names[1]}"]
    assert dig("-x", addresses["web-1"]) == ["", names[1]]


# Pods that go away


def test_deleted_pods_come_back_in_order(web: Course) -> None:
    """Both pods deleted come back in order, with the same names and claims, at new addresses."""
    uids, addresses, claims = web.uids(), web.addresses(), web.claims()
    said = web.kubectl("delete", "pod", "-l", "app=nginx")
    assert [line.split(" from ")[0] for line in said.splitlines()] == ['pod "web-0" deleted', 'pod "web-1" deleted']
    web.expect(*UP_TO_TWO, verbs=("create", "ready"))
    web.wait_ready(2)
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])
    assert sorted(web.uids()) == BOTH
    assert not set(web.uids().values()) & set(uids.values())
    assert not set(web.addresses().values()) & set(addresses.values())
    assert web.claims() == claims


def ends_with(answers: list[tuple[float, list[str]]], address: str) -> bool:
    """Whether the last of *answers* is this *address* alone."""
    return answers[-1][1] == [address]


def test_a_name_follows_its_pod_within_a_second(web: Course) -> None:
    """From the event that says that a new web-0 is ready until its name gives its address goes less than a second.

    In between there is no such name; it gives no third address.
    """
    lags_s = []
    for _ in range(3):
        web.expect_names("nginx", WEB, BOTH, absent=[])
        (old, _other) = web.addresses().values()
        with web.following("web-0.nginx") as answers:
            web.wait(lambda: answers, "the first answer")
            web.kubectl("delete", "pod", "web-0", "web-1", "--wait=false")
            web.expect(*UP_TO_TWO, verbs=("create", "ready"))
            new = web.addresses()["web-0"]
            web.expect_names("nginx", WEB, BOTH, absent=[])
            wait_until(functools.partial(ends_with, answers, new), "the new address", DEADLINE_S)
        assert answers[0][1] == [old]
        assert {"NXDOMAIN", old, new} >= {text for _, answer in answers for text in answer}
        lags_s.append(answers[-1][0] - web.ready_s(web.uids()["web-0"]))
    # One of them may have met a machine that was busy with something else.
    assert statistics.median(lags_s) < FOLLOWS_WITHIN_S, lags_s


def test_a_pod_of_a_lost_node_is_forced_away(web: Course) -> None:
    """A pod on a lost node keeps its identity until it is deleted by force; then its name moves to another node."""
    node, old = web.each("spec", "nodeName")["web-0"], web.addresses()["web-0"]
    lost = [pod for pod, where in web.each("spec", "nodeName").items() if where == node]
    kept = [pod for pod in BOTH if pod not in lost]
    web.stage.await_(web.stage.kubelet.lose_node(node))
    try:
        web.expect_names("nginx", WEB, kept, absent=lost)
        web.kubectl("delete", "pod", "web-0", "--wait=false")
        web.expect("delete web-0")
        web.expect_nothing()
        web.kubectl("delete", "pod", "web-0", "--force", "--grace-period=0")
        web.expect("gone web-0", "create web-0", "ready web-0")
        assert web.each("spec", "nodeName")["web-0"] != node
        assert web.addresses()["web-0"] != old
        web.expect_names("nginx", WEB, ["web-0", *kept], absent=[pod for pod in lost if pod != "web-0"])
    finally:
        web.stage.await_(web.stage.kubelet.recover_node(node))
    web.wait_ready(2)
    web.expect_names("nginx", WEB, BOTH, absent=[])


def orphan(web: Course) -> None:
    """Delete the set and leave its pods."""
    web.kubectl("delete", "statefulset", "web", "--cascade=orphan")
    web.wait(lambda: all("ownerReferences" not in pod["metadata"] for pod in web.all("pods")), "the pods to be orphans")


def test_a_set_made_anew_adopts_its_pods(web: Course) -> None:
    """`kubectl delete --cascade=orphan` leaves the pods; the set made anew adopts them and restarts none."""
    uids, revision = web.uids(), web.status()["updateRevision"]
    orphan(web)
    web.expect_nothing()
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])
    said = web.apply("nginx.yaml")
    assert said.splitlines() == ["service/nginx unchanged", "statefulset.apps/web created"]
    web.wait_ready(2)
    web.expect_nothing()
    assert web.uids() == uids
    owner = web.get("statefulsets", "web")["metadata"]["uid"]
    assert web.each("metadata", "ownerReferences", "0", "uid") == {"web-0": owner, "web-1": owner}
    assert web.each("status", "containerStatuses", "0", "restartCount") == {"web-0": "0", "web-1": "0"}
    assert web.status()["updateRevision"] == web.status()["currentRevision"] == revision
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])


def test_orphans_are_nobodys_until_the_set_is_made_anew(web: Course) -> None:
    """A pod deleted while there is no set comes back with the set only; the other one is the same all the time."""
    uids = web.uids()
    orphan(web)
    web.kubectl("delete", "pod", "web-0")
    web.expect("delete web-0", "gone web-0")
    web.expect_nothing()
    web.expect_names("nginx", WEB, ["web-1"], absent=["web-0"])
    web.apply("nginx.yaml")
    web.expect("create web-0", "ready web-0")
    web.wait_ready(2)
    assert web.uids()["web-1"] == uids["web-1"]
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])


def test_a_deleted_set_leaves_its_claims(web: Course) -> None:
    """`kubectl delete statefulset` takes the pods and their names along; a new set finds the claims of the old one."""
    claims = web.claims()
    web.kubectl("delete", "statefulset", "web")
    web.wait(lambda: not web.all("pods"), "the pods to go with their set")
    web.expect_names("nginx", WEB, [], absent=BOTH)
    assert web.claims() == claims
    web.apply("nginx.yaml")
    web.expect(*UP_TO_TWO, verbs=("create", "ready"))
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])
    assert web.claims() == claims


# Scaling


def test_scaling_up_and_down(web: Course) -> None:
    """Pods are added from the lowest ordinal and taken away from the highest, one at a time; claims stay for later."""
    first = web.claims()
    web.kubectl("scale", "statefulset", "web", "--replicas=5")
    web.expect("create web-2", "ready web-2", "create web-3", "ready web-3", "create web-4", "ready web-4")
    web.expect_names("nginx", WEB, FIVE, absent=["web-5"])
    claims = web.claims()
    assert sorted(claims) == ["www-web-0", "www-web-1", "www-web-2", "www-web-3", "www-web-4"]
    assert claims.items() >= first.items()
    web.kubectl("patch", "statefulset", "web", "-p", '{"spec":{"replicas":2}}')
    web.expect("delete web-4", "gone web-4", "delete web-3", "gone web-3", "delete web-2", "gone web-2")
    web.expect_names("nginx", WEB, BOTH, absent=["web-2", "web-3", "web-4"])
    web.wait_ready(2)
    assert web.claims() == claims
    web.kubectl("scale", "statefulset", "web", "--replicas=3")
    web.expect("create web-2", "ready web-2")
    web.expect_names("nginx", WEB, ["web-0", "web-1", "web-2"], absent=["web-3"])
    assert web.claims() == claims
    (volume,) = (volume for volume in web.get("pods", "web-2")["spec"]["volumes"] if volume["name"] == "www")
    assert volume["persistentVolumeClaim"]["claimName"] == "www-web-2"


# Updating

STRATEGIC_PATCH = {"spec": {"template": {"spec": {"containers": [{"name": "nginx", "image": "nginx:1.30"}]}}}}
JSON_PATCH = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nginx:1.30"}]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["set", "image", "statefulset/web", "nginx=nginx:1.30"], id="set image"),
        pytest.param(["patch", "statefulset", "web", "-p", json.dumps(STRATEGIC_PATCH)], id="strategic patch"),
        pytest.param(["patch", "statefulset", "web", "--type=json", "-p", json.dumps(JSON_PATCH)], id="JSON patch"),
    ],
)
def test_an_image_is_changed(web: Course, command: list[str]) -> None:
    """A new image goes to web-1 first and to web-0 once that is ready, whatever way it was written."""
    web.kubectl(*command)
    said = web.rolled_out("statefulset/web")
    assert said == "partitioned roll out complete: 2 new pods have been updated..."
    web.expect(*ONE_THEN_ZERO)
    assert web.images() == {"web-0": "nginx:1.30", "web-1": "nginx:1.30"}
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])


def partition(ordinal: int) -> list[str]:
    """Return the command that keeps a rolling update from the pods below *ordinal*."""
    strategy = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": ordinal}}}
    return ["patch", "statefulset", "web", "-p", json.dumps({"spec": strategy})]


def test_a_partition_stages_an_update(web: Course) -> None:
    """A partition holds an update back, lets a canary through, and keeps deleted pods as they were."""
    old, new = "nginx:1.29", "nginx:1.30"
    web.kubectl(*partition(2))
    web.kubectl("set", "image", "statefulset/web", f"nginx={new}")
    web.expect_nothing()
    web.kubectl("delete", "pod", "web-1")
    web.expect("delete web-1", "gone web-1", "create web-1", "ready web-1")
    assert web.images() == {"web-0": old, "web-1": old}
    web.expect_names("nginx", WEB, BOTH, absent=[])
    web.kubectl(*partition(1))
    web.expect("delete web-1", "gone web-1", "create web-1", "ready web-1")
    said = web.rolled_out("statefulset/web")
    assert said == "partitioned roll out complete: 1 new pods have been updated..."
    web.expect_nothing()
    assert web.images() == {"web-0": old, "web-1": new}
    web.expect_names("nginx", WEB, BOTH, absent=[])
    web.kubectl("delete", "pod", "web-0")
    web.expect("delete web-0", "gone web-0", "create web-0", "ready web-0")
    assert web.images() == {"web-0": old, "web-1": new}
    web.kubectl(*partition(0))
    web.expect("delete web-0", "gone web-0", "create web-0", "ready web-0")
    web.rolled_out("statefulset/web")
    assert web.images() == {"web-0": new, "web-1": new}
    web.expect_names("nginx", WEB, BOTH, absent=[])


def history(web: Course) -> list[str]:
    """Return the numbers of the revisions that `kubectl rollout history` shows."""
    lines = web.kubectl("rollout", "history", "statefulset/web").splitlines()
    return [line.split()[0] for line in lines if line[:1].isdecimal()]


def test_rollout_history_undo_and_restart(web: Course) -> None:
    """A rollout is told, undone with its old revision, and done over, all with `kubectl rollout`."""
    first = web.status()["updateRevision"]
    assert history(web) == ["1"]
    web.kubectl("set", "image", "statefulset/web", "nginx=nginx:1.30")
    web.rolled_out("statefulset/web")
    web.expect(*ONE_THEN_ZERO)
    assert history(web) == ["1", "2"]
    shown = web.kubectl("rollout", "history", "statefulset/web", "--revision=2")
    assert "Image:\tnginx:1.30" in shown
    web.expect_names("nginx", WEB, BOTH, absent=[])

    assert web.kubectl("rollout", "undo", "statefulset/web") == "statefulset.apps/web rolled back\n"
    web.rolled_out("statefulset/web")
    web.expect(*ONE_THEN_ZERO)
    assert web.images() == {"web-0": "nginx:1.29", "web-1": "nginx:1.29"}
    assert history(web) == ["2", "3"]
    assert web.status()["currentRevision"] == first
    web.expect_names("nginx", WEB, BOTH, absent=[])

    assert web.kubectl("rollout", "undo", "statefulset/web", "--to-revision=2") == "statefulset.apps/web rolled back\n"
    web.rolled_out("statefulset/web")
    web.expect(*ONE_THEN_ZERO)
    assert web.images() == {"web-0": "nginx:1.30", "web-1": "nginx:1.30"}
    assert history(web) == ["3", "4"]

    assert web.kubectl("rollout", "restart", "statefulset/web") == "statefulset.apps/web restarted\n"
    web.rolled_out("statefulset/web")
    web.expect(*ONE_THEN_ZERO)
    assert web.images() == {"web-0": "nginx:1.30", "web-1": "nginx:1.30"}
    assert history(web) == ["3", "4", "5"]
    web.expect_names("nginx", WEB, BOTH, absent=["web-2"])


# An ensemble with a budget

ZK = ["zk-0", "zk-1", "zk-2"]
ZK_PORTS = {"server": 2888, "leader-election": 3888}


def wait_allowed(course: Course, disruptions: int) -> None:
    """Wait until the budget allows so many *disruptions*, and all its pods are counted."""
    path = f"/apis/policy/v1/namespaces/{course.namespace}/poddisruptionbudgets/zk-pdb"

    def check() -> bool:
        status: dict[str, Any] = course.cluster.request("GET", path).get("status", {})
        return status.get("disruptionsAllowed") == disruptions and status.get("expectedPods") == 3

    course.wait(check, f"{disruptions} allowed disruptions")


def test_a_zookeeper_ensemble_keeps_its_quorum(course: Course) -> None:
    """Three servers find each other by name, ready or not, and evictions and `kubectl drain` leave two of them."""
    course.apply("zookeeper.yaml")
    course.wait_ready(3, "zk")
    course.expect_names("zk-headless", ZK_PORTS, ZK, absent=["zk-3"])
    client = course.full("zk-cs")
    assert course.ask("_client._tcp.zk-cs", "SRV") == [f"0 100 2181 {client}"]
    assert course.ask("zk-cs") == [course.get("services", "zk-cs")["spec"]["clusterIP"]]
    assert sorted(course.claims()) == ["data-zk-0", "data-zk-1", "data-zk-2"]
    wait_allowed(course, 1)
    assert columns(course.kubectl("get", "pdb", "zk-pdb")) == [["zk-pdb", "N/A", "1", "1"]]

    course.expect(*(f"{verb} {pod}" for pod in ZK for verb in ("create", "ready")), in_order=False)
    started = len(course.happenings)
    course.evict("zk-1")
    course.expect("delete zk-1", "gone zk-1", "create zk-1", "ready zk-1")
    course.wait_ready(3, "zk")
    course.expect_names("zk-headless", ZK_PORTS, ZK, absent=[])

    course.annotate_pod("zk-0", READY, "false")
    wait_allowed(course, 0)
    uids = course.uids()
    with pytest.raises(ApiError, match="it would violate the pod's disruption budget") as refused:
        course.evict("zk-2")
    assert refused.value.status == 429
    assert course.uids() == uids
    course.expect_names("zk-headless", ZK_PORTS, ZK, absent=[])
    course.annotate_pod("zk-0", READY, None)
    wait_allowed(course, 1)

    nodes = list(course.each("spec", "nodeName").values())
    drained = max(NODES, key=nodes.count)
    try:
        # Of the pods on it all but one have to wait: kubectl asks again until it may.
        course.kubectl("drain", drained, "--pod-selector=app=zk", "--timeout=50s")
        course.wait_ready(3, "zk")
        assert drained not in course.each("spec", "nodeName").values()
        course.expect_names("zk-headless", ZK_PORTS, ZK, absent=[])
    finally:
        course.kubectl("uncordon", drained)
    assert course.fewest_ready(started) == 2


# Peers by SRV

KUBIA = ["kubia-0", "kubia-1", "kubia-2"]


def peers(course: Course, count: int) -> list[dict[str, object]]:
    """Return what Node is to find."""
    return [
        {
            "name": f"kubia-{ordinal}.kubia.{course.namespace}.svc.cluster.local",
            "port": 8080,
            "priority": 0,
            "weight": 100,
        }
        for ordinal in range(count)
    ]


def test_kubia_peers_find_each_other(course: Course) -> None:
    """Peers are found by SRV, their addresses by name, and others that come later as well."""
    course.apply("kubia.yaml")
    course.wait_ready(3, "kubia")
    course.expect_names("kubia", {"http": 8080}, KUBIA, absent=["kubia-3"])
    public = course.full("kubia-public")
    assert course.ask("_http._tcp.kubia-public", "SRV") == [f"0 100 80 {public}"]

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], course.serve.port

    def resolve_srv() -> dict[tuple[str, int], list[str]]:
        answer = resolver.resolve(course.full("_http._tcp.kubia"), "SRV")
        return {(str(one.target), one.port): [str(a) for a in resolver.resolve(one.target, "A")] for one in answer}

    for count in (3, 5):
        course.kubectl("scale", "statefulset", "kubia", f"--replicas={count}")
        course.wait_ready(count, "kubia")
        pods = [f"kubia-{ordinal}" for ordinal in range(count)]
        course.expect_names("kubia", {"http": 8080}, pods, absent=[])
        addresses = course.addresses()
        assert resolve_srv() == {(course.full(f"{pod}.kubia"), 8080): [addresses[pod]] for pod in pods}


def test_kubia_peers_are_found_from_node(course: Course) -> None:
    """Node's `resolveSrv` finds every peer that is ready."""
    node = tool("node")

    def resolve_srv() -> list[dict[str, object]]:
        server, name = f"127.0.0.1:{course.serve.port}", course.full("_http._tcp.kubia")
        done = subprocess.run(
            [node, "-e", RESOLVE_SRV, server, name], capture_output=True, text=True, check=True, timeout=30
        )
        return sorted(json.loads(done.stdout), key=lambda found: str(found["name"]))

    course.apply("kubia.yaml")
    course.wait_ready(3, "kubia")
    course.expect_names("kubia", {"http": 8080}, KUBIA, absent=[])
    assert resolve_srv() == peers(course, 3)
    course.annotate_pod("kubia-2", READY, "false")
    course.expect_names("kubia", {"http": 8080}, KUBIA[:2], absent=["kubia-2"])
    assert resolve_srv() == peers(course, 2)
