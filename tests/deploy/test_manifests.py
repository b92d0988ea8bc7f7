"""``deploy/base`` and ``deploy/namespaced``: what kustomize makes of them, and what a real API server says to that."""

from __future__ import annotations

import copy
import ipaddress
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

import headlessdns

if TYPE_CHECKING:
    from tests.realcluster.cluster import RealCluster

DEPLOY = Path(__file__).parents[2] / "deploy"
SCHEMAS = "1.36"
SELECTOR = {"app.kubernetes.io/name": "headlessdns", "app.kubernetes.io/component": "dns"}
LOOK = ["list", "watch"]

Object = dict[str, Any]
Render = Callable[[Path], list[Object]]

FOLDERS = [pytest.param("base", "headlessdns", id="base"), pytest.param("namespaced", "default", id="namespaced")]

KINDS = {
    "base": [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
    ],
    "namespaced": [
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
    ],
}

# All that the server is allowed to do: API group, resources, verbs.
RULES = {
    "base": [
        ("", ["services", "pods", "namespaces"], LOOK),
        ("discovery.k8s.io", ["endpointslices"], LOOK),
        ("apps", ["statefulsets"], LOOK),
    ],
    "namespaced": [
        ("", ["services", "pods"], LOOK),
        ("discovery.k8s.io", ["endpointslices"], LOOK),
        ("apps", ["statefulsets"], LOOK),
    ],
}

MAY = [
    pytest.param("list", "services", "yes", id="list-services"),
    pytest.param("watch", "services", "yes", id="watch-services"),
    pytest.param("watch", "endpointslices.discovery.k8s.io", "yes", id="watch-endpointslices"),
    pytest.param("watch", "pods", "yes", id="watch-pods"),
    pytest.param("watch", "namespaces", "yes", id="watch-namespaces"),
    pytest.param("watch", "statefulsets.apps", "yes", id="watch-statefulsets"),
    pytest.param("list", "endpoints", "no", id="no-endpoints"),
    pytest.param("list", "secrets", "no", id="no-secrets"),
    pytest.param("list", "configmaps", "no", id="no-configmaps"),
    pytest.param("list", "nodes", "no", id="no-nodes"),
    pytest.param("create", "pods", "no", id="no-creation"),
    pytest.param("patch", "services", "no", id="no-change"),
    pytest.param("delete", "endpointslices.discovery.k8s.io", "no", id="no-deletion"),
]


@pytest.fixture(scope="module")
def render(program: Callable[[str], Path]) -> Render:
    """Return what ``kubectl kustomize`` makes of a folder."""
    done: dict[Path, list[Object]] = {}

    def render(folder: Path) -> list[Object]:
        if folder not in done:
            text = subprocess.run(
                [program("kubectl"), "kustomize", folder], capture_output=True, text=True, timeout=60, check=True
            ).stdout
            done[folder] = list(yaml.safe_load_all(text))
        return copy.deepcopy(done[folder])

    return render


def one(objects: list[Object], kind: str) -> Object:
    (found,) = (o for o in objects if o["kind"] == kind)
    return found


def container(objects: list[Object]) -> Object:
    (only,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def configuration(objects: list[Object]) -> Object:
    data = one(objects, "ConfigMap")["data"]
    assert list(data) == ["headlessdns.yaml"]
    return dict(yaml.safe_load(data["headlessdns.yaml"]))


@pytest.mark.parametrize(("folder", "namespace"), FOLDERS)
class TestBoth:
    def test_the_objects(self, render: Render, folder: str, namespace: str) -> None:
        """The folder makes these objects, all named headlessdns and, if namespaced, in one namespace."""
        objects = render(DEPLOY / folder)
        assert [o["kind"] for o in objects] == KINDS[folder]
        # The name of the ConfigMap ends in a hash of its content.
        assert {re.sub(r"-[a-z0-9]{10}$", "", o["metadata"]["name"]) for o in objects} == {"headlessdns"}
        cluster_wide = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
        assert {o["metadata"]["namespace"] for o in objects if o["kind"] not in cluster_wide} == {namespace}

    def test_they_fit_the_schemas(self, render: Render, folder: str, namespace: str) -> None:
        """Each object is valid for Kubernetes 1.36, without a field that the API would not know."""
        for document in render(DEPLOY / folder):
            kubernetes_validate.validate(document, SCHEMAS, strict=True)

    def test_rbac_grants_to_look_and_no_more(self, render: Render, folder: str, namespace: str) -> None:
        """The one role lists and watches what the server reads, and the ServiceAccount alone has it."""
        objects = render(DEPLOY / folder)
        kind = "ClusterRole" if folder == "base" else "Role"
        rules = one(objects, kind)["rules"]
        assert [(*rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == RULES[folder]
        assert all(rule.keys() == {"apiGroups", "resources", "verbs"} for rule in rules)
        binding = one(objects, f"{kind}Binding")
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "headlessdns"}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "headlessdns", "namespace": namespace}]
        pod = one(objects, "Deployment")["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == one(objects, "ServiceAccount")["metadata"]["name"]

    def test_all_selectors_select_the_pods(self, render: Render, folder: str, namespace: str) -> None:
        """Deployment, Service, disruption budget and spread constraints mean the same pods."""
        objects = render(DEPLOY / folder)
        deployment = one(objects, "Deployment")["spec"]
        assert deployment["template"]["metadata"]["labels"] == SELECTOR
        assert deployment["selector"] == {"matchLabels": SELECTOR}
        assert one(objects, "Service")["spec"]["selector"] == SELECTOR
        assert one(objects, "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": SELECTOR}
        constraints = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert [(c["topologyKey"], c["labelSelector"]) for c in constraints] == [
            ("kubernetes.io/hostname", {"matchLabels": SELECTOR}),
            ("topology.kubernetes.io/zone", {"matchLabels": SELECTOR}),
        ]

    def test_two_replicas_of_which_one_may_go(self, render: Render, folder: str, namespace: str) -> None:
        """There are two replicas; a drain takes one at most, and a rollout none before its successor is ready."""
        objects = render(DEPLOY / folder)
        deployment = one(objects, "Deployment")["spec"]
        assert deployment["replicas"] == 2
        assert deployment["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1

    def test_the_service_maps_port_53_to_the_unprivileged_one(
        self, render: Render, folder: str, namespace: str
    ) -> None:
        """UDP and TCP of the Service's port 53 reach the ports on which the configuration lets the server listen."""
        objects = render(DEPLOY / folder)
        ports = {p["name"]: (p["protocol"], p["containerPort"]) for p in container(objects)["ports"]}
        assert ports == {"dns": ("UDP", 1053), "dns-tcp": ("TCP", 1053), "metrics": ("TCP", 9153)}
        service = one(objects, "Service")["spec"]
        assert [(p["protocol"], p["port"], p["targetPort"]) for p in service["ports"]] == [
            ("UDP", 53, "dns"),
            ("TCP", 53, "dns-tcp"),
        ]
        assert configuration(objects)["listen"] == ["0.0.0.0:1053"]
        assert configuration(objects)["http"] == "0.0.0.0:9153"
        annotations = one(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "9153"}

    def test_the_probes_ask_the_http_port(self, render: Render, folder: str, namespace: str) -> None:
        """Liveness is asked of /livez and readiness of /readyz."""
        only = container(render(DEPLOY / folder))
        assert only["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}

    def test_the_configuration_is_where_the_command_looks(self, render: Render, folder: str, namespace: str) -> None:
        """The file named by --config is the mounted ConfigMap, and the serial is kept in a writable volume."""
        objects = render(DEPLOY / folder)
        only = container(objects)
        mounts = {m["name"]: m for m in only["volumeMounts"]}
        volumes = {v["name"]: v for v in one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]}
        assert only["args"] == ["serve", "--config", "/etc/headlessdns/headlessdns.yaml"]
        assert mounts["config"] == {"name": "config", "mountPath": "/etc/headlessdns", "readOnly": True}
        assert volumes["config"]["configMap"]["name"] == one(objects, "ConfigMap")["metadata"]["name"]
        assert mounts["state"] == {"name": "state", "mountPath": "/var/lib/headlessdns"}
        assert "emptyDir" in volumes["state"]
        assert configuration(objects)["serialFile"] == "/var/lib/headlessdns/serial"

    def test_the_pod_is_locked_down(self, render: Render, folder: str, namespace: str) -> None:
        """The pod runs as nobody in particular, without capabilities, on a read-only file system."""
        objects = render(DEPLOY / folder)
        assert one(objects, "Deployment")["spec"]["template"]["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container(objects)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_the_pod_has_time_for_its_lameduck(self, render: Render, folder: str, namespace: str) -> None:
        """The pod is killed only long after the time in which it answers on."""
        objects = render(DEPLOY / folder)
        assert configuration(objects)["lameduck"] == 5
        assert one(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 15

    def test_the_pod_needs_no_cluster_dns(self, render: Render, folder: str, namespace: str) -> None:
        """The server resolves through its node, since CoreDNS may be waiting for it."""
        assert one(render(DEPLOY / folder), "Deployment")["spec"]["template"]["spec"]["dnsPolicy"] == "Default"

    def test_the_environment(self, render: Render, folder: str, namespace: str) -> None:
        """Only the variables written here are set: Service links would add HEADLESSDNS_PORT and others like it."""
        objects = render(DEPLOY / folder)
        variables = {
            v["name"]: v.get("value") or v["valueFrom"]["fieldRef"]["fieldPath"] for v in container(objects)["env"]
        }
        own_namespace = {"HEADLESSDNS_NAMESPACE": "metadata.namespace"} if folder == "namespaced" else {}
        assert variables == own_namespace | {
            "POD_NAME": "metadata.name",
            "POD_IP": "status.podIP",
            "POD_NAMESPACE": "metadata.namespace",
            "HEADLESSDNS_SERVICE": "$(POD_NAMESPACE)/headlessdns",
        }
        assert one(objects, "Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False

    def test_the_image_is_of_this_version(self, render: Render, folder: str, namespace: str) -> None:
        """The Deployment names the image by the version of the package beside it."""
        assert container(render(DEPLOY / folder))["image"] == f"headlessdns:{headlessdns.__version__}"

    def test_a_real_api_server_accepts_them(
        self, render: Render, real_cluster: RealCluster, folder: str, namespace: str
    ) -> None:
        """kube-apiserver takes every object, with unknown fields forbidden."""
        objects = render(DEPLOY / folder)
        # A dry run creates no namespace, so what lies in it would be refused.
        for o in objects:
            if o["kind"] == "Namespace":
                real_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(o))
        output = real_cluster.kubectl(
            "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects)
        )
        assert len(output.splitlines()) == len(objects)
        assert all(line.endswith("(server dry run)") for line in output.splitlines())


class TestOnARealApiServer:
    def pod(self, objects: list[Object]) -> Object:
        template = one(objects, "Deployment")["spec"]["template"]
        metadata = template["metadata"] | {"name": "try", "namespace": "headlessdns"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    def test_the_pod_keeps_the_restricted_standard(self, render: Render, real_cluster: RealCluster) -> None:
        """The namespace enforces Pod Security `restricted`: our pod is let in, one that may escalate is not."""
        objects = render(DEPLOY / "base")
        real_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(one(objects, "Namespace")))
        pod = self.pod(objects)
        create = ("create", "--dry-run=server", "-f", "-")
        assert real_cluster.kubectl(*create, stdin=json.dumps(pod)) == "pod/try created (server dry run)\n"
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(subprocess.CalledProcessError) as refused:
            real_cluster.kubectl(*create, stdin=json.dumps(pod))
        assert 'violates PodSecurity "restricted' in refused.value.stderr

    @pytest.mark.parametrize(("verb", "resource", "answer"), MAY)
    def test_what_the_service_account_may_do(
        self,
        render: Render,
        real_cluster: RealCluster,
        verb: str,
        resource: str,
        answer: str,
    ) -> None:
        """The API server lets the ServiceAccount of `base` look at what the DNS is made of, and only look."""
        kinds = ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding")
        objects = render(DEPLOY / "base")
        real_cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([one(objects, kind) for kind in kinds]))
        who = {"user": "system:serviceaccount:headlessdns:headlessdns", "groups": ["system:authenticated"]}
        name, _, group = resource.partition(".")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": who | {"resourceAttributes": {"verb": verb, "group": group, "resource": name}},
        }
        reviewed = real_cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        assert reviewed["status"]["allowed"] is (answer == "yes")


def test_the_cluster_ip_is_of_the_band_that_is_kept_for_choices(render: Render) -> None:
    """The ClusterIP is among the first 256 of 10.96.0.0/12, and neither the API server's nor CoreDNS'."""
    address = one(render(DEPLOY / "base"), "Service")["spec"]["clusterIP"]
    assert address == "10.96.0.53"
    assert int(ipaddress.ip_address(address)) - int(ipaddress.ip_network("10.96.0.0/12")[0]) < 256
    assert address not in {"10.96.0.1", "10.96.0.10"}


def test_the_overlay_of_the_readme_sets_image_address_and_configuration(render: Render, tmp_path: Path) -> None:
    """The kustomization that the README shows works, and changes these three things."""
    (overlay,) = re.findall(r"```yaml\n(# kustomization.yaml\n.*?)```", (DEPLOY / "README.md").read_text(), re.DOTALL)
    shutil.copytree(DEPLOY / "base", tmp_path / "base")
    (tmp_path / "kustomization.yaml").write_text(overlay)
    (tmp_path / "headlessdns.yaml").write_text("zone: prod.example\n")
    objects = render(tmp_path)
    assert [o["kind"] for o in objects] == KINDS["base"]
    assert one(objects, "Service")["spec"]["clusterIP"] == "10.43.0.53"
    assert container(objects)["image"] == "registry.example.com/dns/headlessdns:0.1.0"
    assert configuration(objects) == {"zone": "prod.example"}
