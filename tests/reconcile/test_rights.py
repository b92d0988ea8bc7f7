"""The controller with the rights of ``deploy/controller`` and no others, on a real API server with RBAC."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import Process, wait_until
from tests.realcluster.cluster import RealCluster
from tests.reconcile.stage import OTHER_CONTROLLERS, Play, Stage
from tests.reconcile.test_side_by_side import retention, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Json = dict[str, Any]
DEPLOY = Path(__file__).parents[2] / "deploy" / "controller"
OWN = "headlessdns-controller"
# Without it owner references need neither the right to the owner's finalizers nor the right to delete what is owned.
ADMISSION = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
# What the controller may do in a namespace if it is to see that one only.
ROLE = [
    ("apps", ["statefulsets"], ["get", "list", "watch", "create", "delete"]),
    ("apps", ["statefulsets/status"], ["patch"]),
    ("apps", ["statefulsets/finalizers"], ["update"]),
    ("", ["pods"], ["get", "list", "watch", "create", "update", "patch", "delete"]),
    ("", ["pods/finalizers"], ["update"]),
    ("", ["persistentvolumeclaims"], ["list", "watch", "create", "patch"]),
    ("apps", ["controllerrevisions"], ["get", "list", "watch", "create", "patch", "delete"]),
    ("", ["services"], ["list", "watch"]),
    ("", ["events"], ["create", "patch"]),
    ("coordination.k8s.io", ["leases"], ["get", "create", "update"]),
]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A control plane without a StatefulSet controller, to which ``deploy/controller`` is applied."""
    try:
        stage = Stage(is_reference=False, starts_controller=False)
        stage.cluster = RealCluster(OTHER_CONTROLLERS, [ADMISSION])
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        stage.cluster.kubectl("apply", "-k", str(DEPLOY))
        stage.cluster.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/ordinalsets.headlessdns.io")
        yield stage


@pytest.fixture
def deletes_claims(stage: Stage) -> None:
    """What the ClusterRole says to add where the admission plugin is on."""
    role = ("create", "clusterrole", "deletes-claims", "--verb=delete", "--resource=persistentvolumeclaims")
    stage.cluster.kubectl(*role)
    account = f"--serviceaccount={OWN}:{OWN}"
    stage.cluster.kubectl("create", "clusterrolebinding", "deletes-claims", "--clusterrole=deletes-claims", account)


class Controller:
    """`headlessdns controller` with a ServiceAccount of the cluster."""

    def __init__(self, kubeconfig: Path, log: Path, *flags: str) -> None:
        command = [sys.executable, "-m", "headlessdns", "controller", "--kubeconfig", str(kubeconfig)]
        self.process = Process([*command, "--http", "127.0.0.1:0", "--log", "text", *flags], log)

    def __enter__(self) -> Controller:
        self.process.start()
        self.process.wait_ready(lambda: "metrics and health on" in self.log, 30)
        found = re.search(r"metrics and health on (\S+)", self.log)
        assert found
        self.url = found[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error:
            error.add_note(self.process.log_tail())
        self.process.kill()

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return every sample by its name and the values of its labels."""
        return {
            " ".join(
                [
                    sample.name.removeprefix("headlessdns_controller_"),
                    *(sample.labels[label] for label in sorted(sample.labels)),
                ]
            ): sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
        }

    def check_no_refusal(self) -> None:
        """No request was forbidden."""
        metrics = self.metrics()
        assert not [name for name in metrics if "Forbidden" in name], metrics
        assert metrics["events_dropped_total"] == 0
        assert not re.search("forbid|HTTP 403", self.log, re.IGNORECASE), self.log


def ordinal_set() -> Json:
    manifest = web(2, claims=True)
    manifest |= {"apiVersion": "headlessdns.io/v1alpha1", "kind": "OrdinalSet"}
    manifest["metadata"]["name"] = "db"
    manifest["spec"]["selector"]["matchLabels"] = manifest["spec"]["template"]["metadata"]["labels"] = {"app": "db"}
    return manifest


@pytest.mark.usefixtures("deletes_claims")
def test_the_whole_course(stage: Stage, tmp_path: Path) -> None:
    """Everything that the controller does can be done with the ServiceAccount of its Deployment."""
    cluster = stage.cluster
    play = Play(stage, "rights")
    kubeconfig = cluster.service_account_kubeconfig(OWN, OWN)
    # Those of the Deployment, and where a pod would find its own namespace.
    flags = ["--lease-namespace", OWN]
    with Controller(kubeconfig, tmp_path / "log", *flags) as controller:
        service = {"metadata": {"name": "nginx"}, "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]}}  # fmt: skip  # noqa: E501
        cluster.request("POST", play.path("services"), service)
        # The canary, claims and their owners.
        play.create(web(3, claims=True, revisionHistoryLimit=1, **retention("Delete", "Delete")))
        play.wait_ready(3)
        play.wait(lambda: all(owners(play)), "the claims to belong to the set")
        assert "StatefulSets are reconciled: nobody else does" in controller.log
        # Scale down: the claim goes with its pod.
        play.scale(2)
        play.wait_ready(2)
        play.wait(lambda: len(play.all("persistentvolumeclaims")) == 2, "the third claim to go")
        # Update, rollback, history.
        for image in ("2", "1", "3"):
            play.image(f"example.org/web:{image}")
            play.wait_rolled_out(2)
        play.wait(lambda: sorted(one["revision"] for one in play.all("controllerrevisions")) == [3, 4], "the history")
        # A label that is missing, a pod that is given up, and its successor.
        play.patch("pods", "web-1", {"metadata": {"labels": {"statefulset.kubernetes.io/pod-name": None}}})
        play.wait(lambda: "statefulset.kubernetes.io/pod-name" in play.get("pods", "web-1")["metadata"]["labels"], "it")
        play.patch("pods", "web-1", {"metadata": {"labels": {"app": "other"}}})
        play.wait(lambda: not play.get("pods", "web-1")["metadata"].get("ownerReferences"), "web-1 to be given up")
        play.wait(lambda: "NameConflict" in reasons(play), "the conflict to be told")
        play.delete_pod("web-1")
        play.wait_ready(2)
        # Adoption.
        before = {pod["metadata"]["uid"] for pod in play.all("pods")}
        revisions = {one["metadata"]["uid"] for one in play.all("controllerrevisions")}
        cluster.kubectl("delete", "statefulset", "web", "--cascade=orphan", "-n", play.namespace)
        again = web(2, claims=True, revisionHistoryLimit=1, **retention("Delete", "Delete"))
        again["spec"]["template"]["spec"]["containers"][0]["image"] = "example.org/web:3"
        play.create(again)
        play.wait_ready(2)
        play.wait(lambda: all(owners(play, "pods") + owners(play, "controllerrevisions")), "all to be adopted")
        assert {pod["metadata"]["uid"] for pod in play.all("pods")} == before
        assert {one["metadata"]["uid"] for one in play.all("controllerrevisions")} == revisions
        # An OrdinalSet.
        sets = f"/apis/headlessdns.io/v1alpha1/namespaces/{play.namespace}/ordinalsets"
        cluster.request("POST", sets, ordinal_set())
        play.wait(lambda: cluster.request("GET", f"{sets}/db").get("status", {}).get("readyReplicas") == 2, "db")
        # What it wrote besides.
        assert {"SuccessfulCreate", "SuccessfulDelete", "SuccessfulUpdate"} <= set(reasons(play))
        lease = cluster.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/{OWN}")["spec"]
        assert lease["holderIdentity"]
        assert cluster.request("GET", f"/apis/apps/v1/namespaces/{OWN}/statefulsets")["items"] == []
        # The set goes, and its claims with it.
        cluster.kubectl("delete", "statefulset", "web", "-n", play.namespace)
        play.wait(lambda: names(play, "persistentvolumeclaims") == ["www-db-0", "www-db-1"], "the claims of web to go")
        assert controller.get("/readyz") == (200, "ok\n")
        controller.check_no_refusal()
        assert controller.metrics()["leader"] == 1
        assert "not found" not in controller.log
        assert controller.process.stop(5) == 0


def owners(play: Play, plural: str = "persistentvolumeclaims") -> list[str]:
    """Return the kinds of the owners of each object; empty where one has none."""
    return [",".join(one["kind"] for one in found["metadata"].get("ownerReferences", ())) for found in play.all(plural)]


def names(play: Play, plural: str) -> list[str]:
    return [found["metadata"]["name"] for found in play.all(plural)]


def reasons(play: Play) -> list[str]:
    return [event["reason"] for event in play.all("events")]


def grant(play: Play, name: str, role: list[tuple[str, list[str], list[str]]]) -> Path:
    """Return a kubeconfig of a ServiceAccount that has these rights in the namespace, and none elsewhere."""
    cluster, namespace = play.cluster, play.namespace
    cluster.kubectl("create", "serviceaccount", name, "-n", namespace)
    rules = [{"apiGroups": [group], "resources": resources, "verbs": verbs} for group, resources, verbs in role]
    manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": rules,
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    binding = ("create", "rolebinding", name, "-n", namespace, f"--role={name}")
    cluster.kubectl(*binding, f"--serviceaccount={namespace}:{name}")
    return cluster.service_account_kubeconfig(namespace, name)


def test_one_namespace_with_a_role(stage: Stage, tmp_path: Path) -> None:
    """With --namespace a Role is enough; without rights to OrdinalSets those are told and left alone."""
    play = Play(stage, "one-namespace")
    kubeconfig = grant(play, "keeper", ROLE)
    flags = ["--namespace", play.namespace, "--lease-namespace", play.namespace, "--statefulsets", "always"]
    with Controller(kubeconfig, tmp_path / "log", *flags) as controller:
        play.create(web(2, claims=True))
        play.wait_ready(2)
        assert controller.get("/readyz") == (200, "ok\n")
        warnings = [line for line in controller.log.splitlines() if " warning " in line]
        ours = [line for line in warnings if "ordinalsets in namespace one-namespace: the API server forbids" in line]
        assert len(ours) == 1
        assert "OrdinalSets are not reconciled" in ours[0]
        assert 'Role in namespace one-namespace: {apiGroups: ["headlessdns.io"], resources: ["ordinalsets"]' in ours[0]
        assert not [name for name in controller.metrics() if "Forbidden" in name]


def test_without_the_right_to_pods(stage: Stage, tmp_path: Path) -> None:
    """Without rights to pods one warning names the rule, /readyz says why it is not ready, and nothing is written."""
    play = Play(stage, "no-pods")
    kubeconfig = grant(play, "poor", [rule for rule in ROLE if rule[1] != ["pods"]])
    flags = ["--namespace", play.namespace, "--lease-namespace", play.namespace, "--statefulsets", "always"]
    with Controller(kubeconfig, tmp_path / "log", *flags) as controller:
        play.create(web(2))
        wait_until(lambda: "the API server forbids" in controller.log, "the warning", 20)
        reason = "the API server does not give pods in namespace no-pods (forbidden)\n"
        wait_until(lambda: controller.get("/readyz") == (503, reason), reason, 10)
        assert controller.get("/livez") == (200, "ok\n")
        assert controller.metrics()["ready"] == 0
        time.sleep(2)  # nothing more is to come
        assert play.all("controllerrevisions") == play.all("pods") == []
        rule = '{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}'
        warnings = [line for line in controller.log.splitlines() if "pods in namespace no-pods" in line]
        assert len(warnings) == 1
        assert warnings[0].endswith(f"nothing is done; to grant it add to the Role in namespace no-pods: {rule}")
        # It goes on by itself once the right is there.
        added = json.dumps([{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["pods"], "verbs": ROLE[3][2]}}])  # fmt: skip  # noqa: E501
        play.cluster.kubectl("patch", "role", "poor", "-n", play.namespace, "--type=json", "-p", added)
        play.wait_ready(2)
        assert controller.get("/readyz") == (200, "ok\n")


def test_dry_run_writes_nothing(stage: Stage, tmp_path: Path) -> None:
    """A dry run says in words what it would do, and the API is afterwards what it was before."""
    play = Play(stage, "dry-run")
    play.create(web(2, claims=True))
    everything = ("statefulsets", "pods", "persistentvolumeclaims", "controllerrevisions", "events")
    before = {plural: play.all(plural) for plural in everything}
    flags = ["--namespace", play.namespace, "--lease-namespace", play.namespace, "--dry-run"]
    with Controller(play.cluster.kubeconfig, tmp_path / "log", *flags) as controller:
        wait_until(lambda: "would create Pod web-0" in controller.log, "the plan", 20)
        play.wait_quiet(1)
        assert {plural: play.all(plural) for plural in everything} == before
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{play.namespace}/leases"
        assert play.cluster.request("GET", leases)["items"] == []
        log = [line.partition(" info ")[2].strip() for line in controller.log.splitlines() if "would" in line]
        revision = re.compile(r"web-[0-9a-z]{8,10}\b")
        assert [revision.sub("REVISION", line) for line in log] == [
            "StatefulSet dry-run/web: would create ControllerRevision REVISION (number 1)",
            "StatefulSet dry-run/web: would create PersistentVolumeClaim www-web-0 (1Gi) for Pod web-0",
            "StatefulSet dry-run/web: would create Pod web-0 (revision REVISION; claim www-web-0)",
            "StatefulSet dry-run/web: would wait for web-0 to be ready",
        ]
        assert controller.process.stop(5) == 0


def test_second_instance_waits(stage: Stage, tmp_path: Path) -> None:
    """Of two instances one works; the other is ready, says who leads, and takes over when that one leaves."""
    play = Play(stage, "two")
    flags = ["--namespace", play.namespace, "--lease-namespace", play.namespace, "--statefulsets", "always"]
    kubeconfig = play.cluster.kubeconfig
    with (
        Controller(kubeconfig, tmp_path / "first", *flags) as first,
        Controller(kubeconfig, tmp_path / "second", *flags) as second,
    ):
        wait_until(lambda: "held by" in first.log and "held by" in second.log, "a leader", 20)
        leader, other = (first, second) if first.metrics()["leader"] else (second, first)
        play.create(web(2))
        play.wait_ready(2)
        assert other.metrics()["leader"] == 0
        assert other.get("/readyz") == (200, "ok\n")
        assert not [name for name in other.metrics() if name.startswith(("requests_total", "unavailable"))]
        assert leader.metrics()["unavailable_replicas StatefulSet web two"] == 0
        assert leader.process.stop(5) == 0
        wait_until(lambda: other.metrics()["leader"] == 1, "the other to lead", 5)
        play.scale(3)
        play.wait_ready(3)


def test_http_off(stage: Stage, tmp_path: Path) -> None:
    """With --http off nothing listens, and the log has no address; SIGTERM ends it with 0 all the same."""
    command = [sys.executable, "-m", "headlessdns", "controller", "--kubeconfig", str(stage.cluster.kubeconfig)]
    process = Process([*command, "--no-elect", "--http", "off", "--log", "json", "--dry-run"], tmp_path / "log")
    process.start()
    try:
        process.wait_ready(lambda: '"ready: ' in process.log.read_text(), 20)
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        assert {"time", "level", "logger", "message"} <= lines[0].keys()
        assert not [line for line in lines if "metrics and health" in line["message"]]
        sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, timeout=10).stdout
        assert f"pid={process.pid}," not in sockets
        assert process.stop(5) == 0
    finally:
        process.kill()
