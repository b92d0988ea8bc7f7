"""``deploy/controller`` and ``deploy/crd``: what kustomize makes of them, and what a real API server says to that."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml

import headlessdns
from tests.deploy.test_manifests import SCHEMAS, Object, container, one
from tests.peers.process import wait_until

if TYPE_CHECKING:
    from tests.realcluster.cluster import RealCluster

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMESPACE = "headlessdns-controller"
SELECTOR = {"app.kubernetes.io/name": "headlessdns", "app.kubernetes.io/component": "controller"}
SERVICE_ACCOUNT = f"system:serviceaccount:{NAMESPACE}:headlessdns-controller"

KINDS = [
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "ClusterRole",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "Deployment",
    "PodDisruptionBudget",
]

# All that the controller may do: API group, resource, verbs.
LOOK = ["get", "list", "watch"]
RULES = [
    ("apps", "statefulsets", LOOK),
    ("apps", "statefulsets/status", ["patch"]),
    ("headlessdns.io", "ordinalsets", LOOK),
    ("headlessdns.io", "ordinalsets/status", ["patch"]),
    ("apps", "statefulsets/finalizers", ["update"]),
    ("headlessdns.io", "ordinalsets/finalizers", ["update"]),
    ("", "pods/finalizers", ["update"]),
    ("", "pods", [*LOOK, "create", "update", "patch", "delete"]),
    ("", "persistentvolumeclaims", [*LOOK, "create", "patch"]),
    ("apps", "controllerrevisions", [*LOOK, "create", "patch", "delete"]),
    ("", "services", LOOK),
    ("", "events", ["create", "patch"]),
]
OWN_RULES = [
    ("coordination.k8s.io", "leases", ["get", "create", "update"]),
    ("apps", "statefulsets", ["create", "delete"]),
]

MAY = [
    pytest.param("default", "watch", "statefulsets.apps", True, id="watch-statefulsets"),
    pytest.param("default", "patch", "statefulsets.apps/status", True, id="write-their-status"),
    pytest.param("default", "watch", "ordinalsets.headlessdns.io", True, id="watch-ordinalsets"),
    pytest.param("default", "create", "pods", True, id="create-pods"),
    pytest.param("default", "delete", "pods", True, id="delete-pods"),
    pytest.param("default", "create", "persistentvolumeclaims", True, id="create-claims"),
    pytest.param("default", "delete", "controllerrevisions.apps", True, id="forget-revisions"),
    pytest.param("default", "create", "events", True, id="write-events"),
    pytest.param(NAMESPACE, "update", "leases.coordination.k8s.io", True, id="renew-its-lease"),
    pytest.param(NAMESPACE, "create", "statefulsets.apps", True, id="create-a-statefulset-in-its-namespace"),
    pytest.param("default", "create", "statefulsets.apps", False, id="no-statefulsets-elsewhere"),
    pytest.param("default", "patch", "statefulsets.apps", False, id="no-change-of-statefulsets"),
    pytest.param(NAMESPACE, "patch", "statefulsets.apps", False, id="no-change-of-its-statefulset"),
    pytest.param("default", "patch", "ordinalsets.headlessdns.io", False, id="no-change-of-ordinalsets"),
    pytest.param("default", "update", "leases.coordination.k8s.io", False, id="no-leases-elsewhere"),
    pytest.param("default", "delete", "persistentvolumeclaims", False, id="no-deletion-of-claims"),
    pytest.param("default", "create", "pods/eviction", False, id="no-eviction"),
    pytest.param("default", "get", "secrets", False, id="no-secrets"),
    pytest.param("default", "get", "configmaps", False, id="no-configmaps"),
    pytest.param("default", "update", "services", False, id="no-change-of-services"),
    pytest.param("default", "list", "nodes", False, id="no-nodes"),
]


@pytest.fixture(scope="module")
def rendered(program: Callable[[str], Path]) -> list[Object]:
    folder = DEPLOY / "controller"
    text = subprocess.run(
        [program("kubectl"), "kustomize", folder], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    return list(yaml.safe_load_all(text))


@pytest.fixture
def objects(rendered: list[Object]) -> list[Object]:
    """What ``kubectl kustomize`` makes of the folder."""
    return copy.deepcopy(rendered)


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = (o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)
    return found


def rules(role: Object) -> list[tuple[str, str, list[str]]]:
    assert all(rule.keys() == {"apiGroups", "resources", "verbs"} for rule in role["rules"])
    return [(*rule["apiGroups"], *rule["resources"], rule["verbs"]) for rule in role["rules"]]


class TestManifests:
    def test_the_objects(self, objects: list[Object]) -> None:
        """The folder makes these objects; those that have a namespace are in the controller's own."""
        assert [o["kind"] for o in objects] == KINDS
        cluster_wide = {"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
        assert {o["metadata"]["namespace"] for o in objects if o["kind"] not in cluster_wide} == {NAMESPACE}
        assert {o["metadata"]["name"] for o in objects} == {
            NAMESPACE,
            "ordinalsets.headlessdns.io",
            "headlessdns-ordinalsets-edit",
            "headlessdns-ordinalsets-view",
        }

    def test_they_fit_the_schemas(self, objects: list[Object]) -> None:
        """Each object is valid for Kubernetes 1.36, without a field that the API would not know."""
        for document in objects:
            if document["kind"] != "CustomResourceDefinition":  # in the published schemas it refers to itself
                kubernetes_validate.validate(document, SCHEMAS, strict=True)

    def test_rbac_grants_what_the_controller_does_and_no_more(self, objects: list[Object]) -> None:
        """The ClusterRole and the Role hold these rights, and the ServiceAccount alone has them."""
        assert rules(named(objects, "ClusterRole", NAMESPACE)) == RULES
        assert rules(one(objects, "Role")) == OWN_RULES
        for kind in ("ClusterRole", "Role"):
            binding = one(objects, f"{kind}Binding")
            assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAMESPACE}
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAMESPACE, "namespace": NAMESPACE}]
        pod = one(objects, "Deployment")["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == one(objects, "ServiceAccount")["metadata"]["name"]

    def test_all_selectors_select_the_pods(self, objects: list[Object]) -> None:
        """Deployment, disruption budget and spread constraints mean the same pods, and not those of the server."""
        deployment = one(objects, "Deployment")["spec"]
        assert deployment["template"]["metadata"]["labels"] == SELECTOR
        assert deployment["selector"] == {"matchLabels": SELECTOR}
        assert one(objects, "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": SELECTOR}
        constraints = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert [(c["topologyKey"], c["labelSelector"]) for c in constraints] == [
            ("kubernetes.io/hostname", {"matchLabels": SELECTOR}),
            ("topology.kubernetes.io/zone", {"matchLabels": SELECTOR}),
        ]

    def test_two_replicas_of_which_one_may_go(self, objects: list[Object]) -> None:
        """There are two replicas; a drain takes one at most, and a rollout none before its successor is ready."""
        deployment = one(objects, "Deployment")["spec"]
        assert deployment["replicas"] == 2
        assert deployment["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1

    def test_the_command(self, objects: list[Object]) -> None:
        """The controller serves its probes and metrics at the port that the pod announces."""
        only = container(objects)
        assert only["args"] == ["controller", "--http", "0.0.0.0:9153", "--log", "json"]
        assert only["ports"] == [{"name": "metrics", "protocol": "TCP", "containerPort": 9153}]
        assert only["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        annotations = one(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "9153"}

    def test_the_environment(self, objects: list[Object]) -> None:
        """All settings are flags, and the variables of no Service get in among our own."""
        assert "env" not in container(objects)
        assert one(objects, "Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False

    def test_the_pod_needs_no_cluster_dns(self, objects: list[Object]) -> None:
        """The controller resolves through its node, since the cluster's DNS may be what it has to create."""
        assert one(objects, "Deployment")["spec"]["template"]["spec"]["dnsPolicy"] == "Default"

    def test_the_image_is_of_this_version(self, objects: list[Object]) -> None:
        """The Deployment names the image by the version of the package beside it."""
        assert container(objects)["image"] == f"headlessdns:{headlessdns.__version__}"

    def test_server_and_controller_go_into_one_kustomization(
        self, program: Callable[[str], Path], tmp_path: Path
    ) -> None:
        """An overlay may list `base` and `controller` together."""
        for folder in ("base", "controller", "crd"):
            (tmp_path / folder).mkdir()
            for file in (DEPLOY / folder).iterdir():
                (tmp_path / folder / file.name).write_bytes(file.read_bytes())
        (tmp_path / "kustomization.yaml").write_text("resources: [base, controller]\n")
        text = subprocess.run(
            [program("kubectl"), "kustomize", tmp_path], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        kinds = [document["kind"] for document in yaml.safe_load_all(text)]
        assert kinds.count("Deployment") == kinds.count("Namespace") == 2


class TestOnARealApiServer:
    def test_it_accepts_them(self, objects: list[Object], real_cluster: RealCluster) -> None:
        """kube-apiserver takes every object, with unknown fields forbidden."""
        # A dry run creates no namespace, so what lies in it would be refused.
        real_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(one(objects, "Namespace")))
        output = real_cluster.kubectl(
            "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects)
        )
        assert len(output.splitlines()) == len(objects)
        assert all(line.endswith("(server dry run)") for line in output.splitlines())

    def test_the_pod_keeps_the_restricted_standard(self, objects: list[Object], real_cluster: RealCluster) -> None:
        """The namespace enforces Pod Security `restricted`: our pod is let in, one that may escalate is not."""
        real_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(one(objects, "Namespace")))
        template = one(objects, "Deployment")["spec"]["template"]
        metadata = template["metadata"] | {"name": "try", "namespace": NAMESPACE}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        create = ("create", "--dry-run=server", "-f", "-")
        assert real_cluster.kubectl(*create, stdin=json.dumps(pod)) == "pod/try created (server dry run)\n"
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(subprocess.CalledProcessError) as refused:
            real_cluster.kubectl(*create, stdin=json.dumps(pod))
        assert 'violates PodSecurity "restricted' in refused.value.stderr

    @pytest.fixture
    def granted(self, objects: list[Object], real_cluster: RealCluster) -> RealCluster:
        """The API server, with the controller's rights in force."""
        kinds = {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
        rights = [o for o in objects if o["kind"] in kinds]
        real_cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rights))
        return real_cluster

    @pytest.mark.parametrize(("namespace", "verb", "resource", "is_allowed"), MAY)
    def test_what_the_service_account_may_do(
        self, granted: RealCluster, namespace: str, verb: str, resource: str, is_allowed: bool
    ) -> None:
        """The API server lets the ServiceAccount do this, and does not let it do that."""
        whole, _, subresource = resource.partition("/")
        name, _, group = whole.partition(".")
        attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": SERVICE_ACCOUNT,
                "groups": ["system:authenticated"],
                "resourceAttributes": attributes | {"subresource": subresource},
            },
        }

        def answer() -> bool:
            done = granted.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
            return bool(done["status"]["allowed"])

        if is_allowed:
            # The authorizer hears of a new role a moment after it is written.
            wait_until(answer, f"{verb} {resource} to be allowed", deadline_s=10)
        else:
            assert answer() is False
