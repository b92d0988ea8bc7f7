"""What kubectl, oldest and newest supported, says to a person in front of the lab: every verb on output written out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clients.running import Done, Kubectl
from tests.peers.process import wait_until

NGINX = """\
apiVersion: v1
kind: Service
metadata: {name: nginx, labels: {app: nginx}}
spec:
  clusterIP: None
  selector: {app: nginx}
  ports: [{name: web, port: 80}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: nginx
  replicas: 2
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
      - {name: nginx, image: "nginx:1.29", ports: [{name: web, containerPort: 80}]}
"""
WITH_VOLUME = (
    NGINX
    + """\
  volumeClaimTemplates:
  - metadata: {name: www}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
)


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def without_ages(text: str) -> list[str]:
    """Return the lines with single blanks, and AGE for every age and 10.x for every address of a pod."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [re.sub(r"\b\d+(s|m|m\d+s)( ago)?\b", "AGE", line) for line in lines]
    return [re.sub(r"\b10\.244\.\d+\.\d+\b", "10.x", line) for line in lines]


def up(kubectl: Kubectl, manifest: str = NGINX, replicas: int = 2) -> None:
    """Apply *manifest* and wait until its pods are ready."""
    kubectl("apply", "-f", "-", stdin=manifest)
    kubectl.lab.wait_ready(replicas, namespace=kubectl.namespace)


def spec_of(kubectl: Kubectl, name: str = "web") -> Any:
    return kubectl.lab.get(f"/apis/apps/v1/namespaces/{kubectl.namespace}/statefulsets/{name}")["spec"]


def refused(done: Done, *, code: int = 1) -> str:
    """Return the complaint of a kubectl that failed and printed nothing else."""
    assert (done.code, done.out) == (code, ""), done
    return done.err


# ---- get


def test_tables_of_pods(kubectl: Kubectl) -> None:
    """`get pods` shows the columns that users know, more with -o wide, and labels with -L."""
    up(kubectl)
    assert without_ages(kubectl("get", "pods")) == [
        "NAME READY STATUS RESTARTS AGE",
        "web-0 1/1 Running 0 AGE",
        "web-1 1/1 Running 0 AGE",
    ]
    assert without_ages(kubectl("get", "pods", "-o", "wide")) == [
        "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES",
        "web-0 1/1 Running 0 AGE 10.x node-1 <none> <none>",
        "web-1 1/1 Running 0 AGE 10.x node-1 <none> <none>",
    ]
    head, *rows = words(kubectl("get", "pods", "-L", "controller-revision-hash,app"))
    assert head[-2:] == ["CONTROLLER-REVISION-HASH", "APP"]
    assert [re.sub("-[0-9a-z]+$", "-HASH", row[-2]) for row in rows] == ["web-HASH", "web-HASH"]
    assert [row[-1] for row in rows] == ["nginx", "nginx"]


KINDS = {
    "services": ["NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE", "nginx ClusterIP None <none> 80/TCP AGE"],
    "endpoints": ["NAME ENDPOINTS AGE", "nginx 10.x:80,10.x:80 AGE"],
    "statefulsets": ["NAME READY AGE", "web 2/2 AGE"],
    "persistentvolumeclaims": [
        "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE",
        "www-web-0 Bound pvc-U 1Gi RWO <unset> AGE",
        "www-web-1 Bound pvc-U 1Gi RWO <unset> AGE",
    ],
    "endpointslices": ["NAME ADDRESSTYPE PORTS ENDPOINTS AGE", "nginx-R IPv4 80 10.x,10.x AGE"],
    "controllerrevisions": ["NAME CONTROLLER REVISION AGE", "web-R statefulset.apps/web 1 AGE"],
}


def test_tables_of_other_kinds(kubectl: Kubectl) -> None:
    """The kinds around a StatefulSet have their own columns, under their short names too."""
    up(kubectl, WITH_VOLUME)
    found = {}
    for kind in KINDS:
        text = re.sub(r"pvc-[0-9a-f-]{36}", "pvc-U", kubectl("get", kind))
        found[kind] = [re.sub(r"^(nginx|web)-[0-9a-z]+ ", r"\1-R ", line) for line in without_ages(text)]
    assert found == KINDS
    for short in ("svc", "ep", "sts", "pvc"):
        assert kubectl("get", short, "-o", "name")
    reasons = {(row[1], row[2], row[3]) for row in words(kubectl("get", "events", "--no-headers"))}
    assert ("Normal", "SuccessfulCreate", "statefulset/web") in reasons
    volumes = [row for row in words(kubectl("get", "pv", "--no-headers")) if f"{kubectl.namespace}/" in row[5]]
    assert sorted(row[1:6] for row in volumes) == [
        ["1Gi", "RWO", "Delete", "Bound", f"{kubectl.namespace}/www-web-0"],
        ["1Gi", "RWO", "Delete", "Bound", f"{kubectl.namespace}/www-web-1"],
    ]


@pytest.mark.parametrize(
    "kind",
    ["configmaps", "secrets", "serviceaccounts", "poddisruptionbudgets", "leases", "deployments", "replicasets"],
)
def test_kinds_of_which_there_is_none(kubectl: Kubectl, kind: str) -> None:
    """A kind that is served and has no objects says so."""
    done = kubectl.attempt("get", kind)
    assert done == (0, "", f"No resources found in {kubectl.namespace} namespace.\n")


def test_kinds_outside_namespaces(kubectl: Kubectl) -> None:
    """Namespaces, nodes, storage classes and definitions are shown."""
    assert "node-1 Ready <none> AGE headlessdns-lab" in without_ages(kubectl("get", "nodes"))
    assert "default Active AGE" in without_ages(kubectl("get", "ns"))
    assert kubectl.attempt("get", "sc").err == "No resources found\n"
    assert kubectl.attempt("get", "crd").err == "No resources found\n"


def test_formats(kubectl: Kubectl) -> None:
    """Objects are shown as YAML, JSON, names, and whatever a path or columns pick out."""
    up(kubectl)
    assert kubectl("get", "pods", "-o", "name") == "pod/web-0\npod/web-1\n"
    assert kubectl("get", "sts", "web", "-o", "jsonpath={.spec.serviceName} {.status.readyReplicas}") == "nginx 2"
    assert kubectl("get", "sts", "web", "-o", "go-template={{.spec.replicas}}") == "2"
    assert kubectl("get", "pods", "-o", "custom-columns=POD:.metadata.name,SUB:.spec.subdomain") == (
        "POD     SUB\nweb-0   nginx\nweb-1   nginx\n"
    )
    shown = json.loads(kubectl("get", "svc", "nginx", "-o", "json"))
    assert (shown["apiVersion"], shown["kind"], shown["spec"]["clusterIP"]) == ("v1", "Service", "None")
    assert "managedFields" not in shown["metadata"]
    assert "\n  clusterIP: None\n" in kubectl("get", "svc", "nginx", "-o", "yaml")
    assert "managedFields" in kubectl("get", "svc", "nginx", "-o", "yaml", "--show-managed-fields")
    assert kubectl("get", "all", "-o", "name") == "pod/web-0\npod/web-1\nservice/nginx\nstatefulset.apps/web\n"
    assert kubectl("get", "pods", "--sort-by=.status.podIP", "--no-headers", "--chunk-size=1").count("Running") == 2


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["-l", "app=nginx"], ["web-0", "web-1"]),
        (["-l", "app!=nginx"], []),
        (["-l", "app in (nginx,x),!other"], ["web-0", "web-1"]),
        (["-l", "apps.kubernetes.io/pod-index=1"], ["web-1"]),
        (["--field-selector", "metadata.name=web-1"], ["web-1"]),
        (["--field-selector", "status.phase=Running,spec.nodeName=node-1"], ["web-0", "web-1"]),
        (["--field-selector", "status.phase!=Running"], []),
    ],
    ids=lambda value: " ".join(value) or "none",
)
def test_selectors(filled: Kubectl, arguments: list[str], names: list[str]) -> None:
    """Label and field selectors pick pods."""
    found = filled.attempt("get", "pods", "-o", "name", *arguments)
    assert (found.code, found.out.split()) == (0, [f"pod/{name}" for name in names])


def test_a_field_that_cannot_be_selected(kubectl: Kubectl) -> None:
    """A field without a selector is refused with its name."""
    err = refused(kubectl.attempt("get", "pods", "--field-selector", "a.b=c"))
    assert err.endswith("field label not supported: a.b\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "pod", "nope"], 'Error from server (NotFound): pods "nope" not found\n'),
        (["delete", "sts", "nope"], 'Error from server (NotFound): statefulsets.apps "nope" not found\n'),
        (["get", "foo"], 'error: the server doesn\'t have a resource type "foo"\n'),
        (["top", "pods"], "error: Metrics API not available\n"),
        (["get", "ingress"], 'error: the server doesn\'t have a resource type "ingress"\n'),
        (
            ["delete", "ns", "default"],
            'Error from server (Forbidden): namespaces "default" is forbidden: this namespace may not be deleted\n',
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there(filled: Kubectl, arguments: list[str], message: str) -> None:
    """What is not there, or not served, is a plain error."""
    assert refused(filled.attempt(*arguments)) == message


def test_watch(kubectl: Kubectl) -> None:
    """`get -w` shows a pod end and come again, with the head once."""
    up(kubectl)
    with kubectl.watch("get", "pods", "-w") as watch:
        try:
            assert watch.stdout
            lines = [watch.stdout.readline() for _ in range(3)]
            kubectl("delete", "pod", "web-1")
            while "Pending" not in lines[-1]:
                lines.append(watch.stdout.readline())
            while "1/1" not in lines[-1]:
                lines.append(watch.stdout.readline())
        finally:
            watch.kill()
    rows = [line.split()[:3] for line in lines]
    assert rows[:3] == [["NAME", "READY", "STATUS"], ["web-0", "1/1", "Running"], ["web-1", "1/1", "Running"]]
    assert {tuple(row) for row in rows[3:]} >= {
        ("web-1", "1/1", "Terminating"),
        ("web-1", "0/1", "Pending"),
        ("web-1", "1/1", "Running"),
    }
    assert {row[0] for row in rows[3:]} == {"web-1"}


# ---- apply, diff, create, replace, edit, patch


def test_apply_and_diff(kubectl: Kubectl) -> None:
    """`apply` creates, changes and leaves alone; `diff` and a dry run say what would change, and change nothing."""
    assert kubectl("apply", "-f", "-", stdin=NGINX) == "service/nginx created\nstatefulset.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=NGINX) == "service/nginx unchanged\nstatefulset.apps/web unchanged\n"
    assert kubectl("diff", "-f", "-", stdin=NGINX) == ""
    three = NGINX.replace("replicas: 2", "replicas: 3")
    difference = kubectl.attempt("diff", "-f", "-", stdin=three)
    assert (difference.code, difference.err) == (1, "")
    assert [line for line in difference.out.splitlines() if re.match(r"[-+] ", line)] == [
        "-  generation: 1",
        "+  generation: 2",
        "-  replicas: 2",
        "+  replicas: 3",
    ]
    dry = "service/nginx unchanged (server dry run)\nstatefulset.apps/web configured (server dry run)\n"
    assert kubectl("apply", "--dry-run=server", "-f", "-", stdin=three) == dry
    assert spec_of(kubectl)["replicas"] == 2
    assert kubectl("apply", "-f", "-", stdin=three) == "service/nginx unchanged\nstatefulset.apps/web configured\n"
    assert spec_of(kubectl)["replicas"] == 3


def test_apply_at_the_server(kubectl: Kubectl) -> None:
    """`apply --server-side` owns its fields, and takes those of others only by force."""
    apply = ["apply", "--server-side", "-f", "-"]
    applied = "service/nginx serverside-applied\nstatefulset.apps/web serverside-applied\n"
    assert kubectl(*apply, stdin=NGINX) == applied
    assert kubectl(*apply, stdin=NGINX) == applied
    three = NGINX.replace("replicas: 2", "replicas: 3")
    done = kubectl.attempt(*apply, "--field-manager=other", stdin=three)
    assert (done.code, done.out) == (1, "service/nginx serverside-applied\n")
    assert done.err.startswith('error: Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas\n')
    assert spec_of(kubectl)["replicas"] == 2
    assert kubectl(*apply, "--field-manager=other", "--force-conflicts", stdin=three) == applied
    assert spec_of(kubectl)["replicas"] == 3


def test_apply_prunes(kubectl: Kubectl) -> None:
    """`apply --prune` deletes what was applied before and is not any more."""
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "labels": {"set": "a"}}}
    two = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two", "labels": {"set": "a"}}}
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [one, two]})
    assert kubectl("apply", "-f", "-", stdin=both) == "configmap/one created\nconfigmap/two created\n"
    prune = ["--prune", "-l", "set=a", "--prune-allowlist=core/v1/ConfigMap"]
    done = kubectl.attempt("apply", *prune, "-f", "-", stdin=json.dumps(one))
    assert (done.code, done.out) == (0, "configmap/one unchanged\nconfigmap/two pruned\n")
    assert kubectl("get", "cm", "-o", "name") == "configmap/one\n"


def test_create_and_replace(kubectl: Kubectl) -> None:
    """`create -f` creates once, `replace` replaces, and with --force deletes first."""
    assert kubectl("create", "-f", "-", stdin=NGINX) == "service/nginx created\nstatefulset.apps/web created\n"
    err = refused(kubectl.attempt("create", "-f", "-", stdin=NGINX))
    assert err.splitlines() == [
        'Error from server (AlreadyExists): error when creating "STDIN": services "nginx" already exists',
        'Error from server (AlreadyExists): error when creating "STDIN": statefulsets.apps "web" already exists',
    ]
    one = NGINX.replace("replicas: 2", "replicas: 1")
    assert kubectl("replace", "-f", "-", stdin=one) == "service/nginx replaced\nstatefulset.apps/web replaced\n"
    assert spec_of(kubectl)["replicas"] == 1
    path = f"/apis/apps/v1/namespaces/{kubectl.namespace}/statefulsets/web"
    before = kubectl.lab.get(path)["metadata"]["uid"]
    (kubectl.home / "nginx.yaml").write_text(one)
    assert kubectl("replace", "--force", "-f", "nginx.yaml") == (
        'service "nginx" deleted\nstatefulset.apps "web" deleted\n'
        "service/nginx replaced\nstatefulset.apps/web replaced\n"
    )
    assert kubectl.lab.get(path)["metadata"]["uid"] != before


GENERATED = {
    "namespace": (["ns", "{ns}-b"], "namespace/{ns}-b"),
    "configmap": (["configmap", "c", "--from-literal=a=1"], "configmap/c"),
    "secret": (["secret", "generic", "s", "--from-literal=a=1"], "secret/s"),
    "registry secret": (
        ["secret", "docker-registry", "r", "--docker-username=u", "--docker-password=p"],
        "secret/r",
    ),
    "serviceaccount": (["serviceaccount", "robot"], "serviceaccount/robot"),
    "clusterip": (["service", "clusterip", "a", "--tcp=80:8080", "--tcp=81:web"], "service/a"),
    "headless": (["service", "clusterip", "h", "--clusterip=None"], "service/h"),
    "nodeport": (["service", "nodeport", "n", "--tcp=80"], "service/n"),
    "loadbalancer": (["service", "loadbalancer", "l", "--tcp=80"], "service/l"),
    "externalname": (["service", "externalname", "e", "--external-name=example.com"], "service/e"),
    "deployment": (["deployment", "d", "--image=nginx", "--replicas=2", "--port=80"], "deployment.apps/d"),
    "deployment with a command": (["deployment", "e", "--image=a", "--", "sleep", "9"], "deployment.apps/e"),
    "role": (["role", "r", "--verb=get", "--resource=pods"], "role.rbac.authorization.k8s.io/r"),
    "binding": (
        ["rolebinding", "b", "--role=r", "--serviceaccount=default:robot", "--user=u"],
        "rolebinding.rbac.authorization.k8s.io/b",
    ),
    "budget": (["pdb", "p", "--selector=app=nginx", "--min-available=1"], "poddisruptionbudget.policy/p"),
    "budget in percent": (
        ["pdb", "q", "--selector=app in (a,b)", "--max-unavailable=50%"],
        "poddisruptionbudget.policy/q",
    ),
}


@pytest.mark.parametrize("generator", GENERATED)
def test_generators(kubectl: Kubectl, generator: str) -> None:
    """`create KIND` makes objects without a file."""
    arguments, name = GENERATED[generator]
    arguments = [argument.replace("{ns}", kubectl.namespace) for argument in arguments]
    assert kubectl("create", *arguments) == name.replace("{ns}", kubectl.namespace) + " created\n"


def test_what_generators_make(kubectl: Kubectl) -> None:
    """What is sent in protobuf means the same as what a file would say."""
    for generator in ("clusterip", "deployment", "deployment with a command", "budget in percent"):
        kubectl("create", *GENERATED[generator][0])
    service = json.loads(kubectl("get", "svc", "a", "-o", "json"))["spec"]
    assert service["ports"] == [
        {"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "81-web", "port": 81, "protocol": "TCP", "targetPort": "web"},
    ]
    assert service["selector"] == {"app": "a"}
    deployment = json.loads(kubectl("get", "deploy", "d", "-o", "json"))["spec"]
    assert deployment["replicas"] == 2
    assert deployment["selector"] == {"matchLabels": {"app": "d"}}
    container = deployment["template"]["spec"]["containers"][0]
    assert (container["name"], container["image"]) == ("nginx", "nginx")
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    container = json.loads(kubectl("get", "deploy", "e", "-o", "json"))["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["sleep", "9"]
    assert json.loads(kubectl("get", "pdb", "q", "-o", "json"))["spec"] == {
        "maxUnavailable": "50%",
        "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]},
    }


def test_expose_and_run(kubectl: Kubectl) -> None:
    """`expose` makes a Service from another one or from a pod, and `run` a pod that comes up."""
    up(kubectl)
    assert kubectl("expose", "service", "nginx", "--name=second", "--port=81") == "service/second exposed\n"
    assert kubectl("expose", "pod", "web-0", "--name=zero", "--port=80") == "service/zero exposed\n"
    assert kubectl("get", "svc", "zero", "-o", "jsonpath={.spec.selector.statefulset\\.kubernetes\\.io/pod-name}") == (
        "web-0"
    )
    assert kubectl("run", "box", "--image=busybox", "--labels=a=b") == "pod/box created\n"
    assert kubectl("wait", "--for=condition=Ready", "pod/box") == "pod/box condition met\n"


EDITOR = """\
#!/bin/sh
sed -i "s/^  replicas: [0-9]*/  replicas: $1/" "$2"
"""


def test_edit(kubectl: Kubectl) -> None:
    """`edit` writes what the editor made, and nothing where it changed nothing."""
    up(kubectl)
    script = kubectl.home / "editor.sh"
    script.write_text(EDITOR)
    script.chmod(0o755)
    assert kubectl("edit", "sts", "web", env={"KUBE_EDITOR": f"{script} 3"}) == "statefulset.apps/web edited\n"
    assert spec_of(kubectl)["replicas"] == 3
    kubectl.lab.wait_ready(3, namespace=kubectl.namespace)
    done = kubectl.attempt("edit", "sts", "web", env={"KUBE_EDITOR": "true"})
    assert (done.code, (done.out + done.err).strip()) == (0, "Edit cancelled, no changes made.")


PATCHES = {
    "strategic": '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","tty":true}]}}}}',
    "merge": '{"spec":{"replicas":3}}',
    "json": '[{"op":"replace","path":"/spec/replicas","value":1}]',
}


def test_patch(kubectl: Kubectl) -> None:
    """`patch` takes all three kinds; a strategic one finds the container by its name."""
    up(kubectl)
    patched = "statefulset.apps/web patched\n"
    for kind, patch in PATCHES.items():
        assert kubectl("patch", "sts", "web", f"--type={kind}", "-p", patch) == patched
    found = spec_of(kubectl)
    (container,) = found["template"]["spec"]["containers"]
    assert (found["replicas"], container["image"], container["tty"]) == (1, "nginx:1.29", True)
    kubectl.lab.wait_ready(1, namespace=kubectl.namespace)
    assert kubectl("patch", "sts", "web", "--type=merge", "-p", '{"spec":{"replicas":1}}') == (
        "statefulset.apps/web patched (no change)\n"
    )


def test_patch_of_subresources(kubectl: Kubectl) -> None:
    """Scale and status are patched by themselves, and a status only."""
    up(kubectl)
    scaled = kubectl("patch", "sts", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}')
    assert scaled == "scale.autoscaling/web patched\n"
    assert spec_of(kubectl)["replicas"] == 1
    change = '{"status":{"message":"hello"},"spec":{"hostname":"x"}}'
    shown = "jsonpath={.status.message} {.spec.hostname}"
    patch = ["patch", "pod", "web-0", "--subresource=status", "--type=merge", "-p", change]
    assert kubectl(*patch, "-o", shown) == "hello web-0"
    assert kubectl("get", "sts", "web", "--subresource=scale", "-o", "jsonpath={.kind} {.spec.replicas}") == "Scale 1"


# ---- set, scale, rollout


def test_set(kubectl: Kubectl) -> None:
    """`set` changes images, variables, resources, accounts and selectors."""
    kubectl("apply", "-f", "-", stdin=NGINX)
    assert kubectl("set", "image", "sts/web", "nginx=nginx:1.30") == "statefulset.apps/web image updated\n"
    assert kubectl("set", "env", "sts/web", "A=b") == "statefulset.apps/web env updated\n"
    assert kubectl("set", "resources", "sts/web", "--limits=cpu=200m") == (
        "statefulset.apps/web resource requirements updated\n"
    )
    assert kubectl("set", "serviceaccount", "sts/web", "robot") == "statefulset.apps/web serviceaccount updated\n"
    assert kubectl("set", "selector", "svc", "nginx", "app=other") == "service/nginx selector updated\n"
    template = spec_of(kubectl)["template"]["spec"]
    (container,) = template["containers"]
    assert (container["image"], container["env"]) == ("nginx:1.30", [{"name": "A", "value": "b"}])
    assert container["resources"] == {"limits": {"cpu": "200m"}}
    assert template["serviceAccountName"] == "robot"


def test_scale(kubectl: Kubectl) -> None:
    """`scale` changes the number of pods, and not from another number than the one that was said."""
    up(kubectl)
    assert kubectl("scale", "sts", "web", "--replicas=3") == "statefulset.apps/web scaled\n"
    kubectl.lab.wait_ready(3, namespace=kubectl.namespace)
    err = refused(kubectl.attempt("scale", "sts", "web", "--replicas=1", "--current-replicas=5"))
    assert err == "error: Expected replicas to be 5, was 3\n"
    assert spec_of(kubectl)["replicas"] == 3


def test_rollout(kubectl: Kubectl) -> None:
    """`rollout` follows a new template, tells the history, goes back, and starts anew."""
    up(kubectl)
    kubectl("set", "image", "sts/web", "nginx=nginx:1.30")
    status = kubectl("rollout", "status", "sts/web").splitlines()
    assert status[-1] == "partitioned roll out complete: 2 new pods have been updated..."
    images = "jsonpath={.items[*].spec.containers[0].image}"
    assert kubectl("get", "pods", "-o", images) == "nginx:1.30 nginx:1.30"
    assert words(kubectl("rollout", "history", "sts/web")) == [
        ["statefulset.apps/web"],
        ["REVISION", "CHANGE-CAUSE"],
        ["1", "<none>"],
        ["2", "<none>"],
        [],
    ]
    assert "    Image:\tnginx:1.29\n" in kubectl("rollout", "history", "sts/web", "--revision=1")
    undone = kubectl.attempt("rollout", "undo", "sts/web")
    assert (undone.code, undone.out) == (0, "statefulset.apps/web rolled back\n")
    kubectl.lab.wait_ready(2, namespace=kubectl.namespace)
    assert kubectl("get", "pods", "-o", images) == "nginx:1.29 nginx:1.29"
    history = words(kubectl("rollout", "history", "sts/web"))
    assert [row[0] for row in history[2:-1]] == ["2", "3"]
    uids = kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}").split()
    assert kubectl("rollout", "restart", "sts/web") == "statefulset.apps/web restarted\n"
    kubectl("rollout", "status", "sts/web")
    assert not set(uids) & set(kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}").split())
    assert refused(kubectl.attempt("rollout", "pause", "sts/web")) == (
        'error: statefulsets.apps "web" pausing is not supported\n'
    )


# ---- delete, wait


def test_delete_of_pods(kubectl: Kubectl) -> None:
    """A pod is deleted in its time, in another one, and at once by force; its successor has its name."""
    up(kubectl)
    before = set(kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}").split())
    assert kubectl("delete", "pod", "web-0", "--grace-period=1") == 'pod "web-0" deleted\n'
    forced = kubectl.attempt("delete", "pod", "web-1", "--force", "--grace-period=0")
    assert (forced.code, forced.out.partition(" from ")[0].strip()) == (0, 'pod "web-1" force deleted')
    assert "Immediate deletion does not wait for confirmation" in forced.err
    kubectl.lab.wait_ready(2, namespace=kubectl.namespace)
    assert not before & set(kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}").split())


def test_delete_and_cascade(kubectl: Kubectl) -> None:
    """Pods outlive their set as orphans, are adopted by the next one, and go before it in a foreground deletion."""
    up(kubectl)
    uids = kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    assert kubectl("delete", "sts", "web", "--cascade=orphan") == 'statefulset.apps "web" deleted\n'
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.ownerReferences}") == ""
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}") == uids
    up(kubectl)
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}") == uids
    assert kubectl("delete", "sts", "web", "--cascade=foreground") == 'statefulset.apps "web" deleted\n'
    assert kubectl.attempt("get", "pods").err == f"No resources found in {kubectl.namespace} namespace.\n"


def test_delete_in_the_background(kubectl: Kubectl) -> None:
    """By default a set goes at once and its pods after it."""
    up(kubectl)
    assert kubectl("delete", "sts/web", "svc/nginx") == 'statefulset.apps "web" deleted\nservice "nginx" deleted\n'
    # One that is gone already is no error, but newer ones are silent.
    assert kubectl.attempt("wait", "--for=delete", "pod/web-0", "pod/web-1", "--timeout=10s").code == 0
    everything = "pods,svc,ep,endpointslices,controllerrevisions"
    wait_until(lambda: kubectl("get", everything, "-o", "name") == "", "all to be gone", 10)


def test_delete_of_a_namespace(kubectl: Kubectl) -> None:
    """A namespace goes with everything in it, and only then."""
    up(kubectl, WITH_VOLUME)
    name = kubectl.namespace
    assert kubectl("delete", "namespace", name) == f'namespace "{name}" deleted\n'
    assert refused(kubectl.attempt("get", "namespace", name)) == (
        f'Error from server (NotFound): namespaces "{name}" not found\n'
    )
    status, found = kubectl.lab.request("GET", f"/api/v1/namespaces/{name}/persistentvolumeclaims")
    assert (status, found["items"]) == (200, [])


def test_delete_of_all(kubectl: Kubectl) -> None:
    """`delete --all` and `-l` delete what is meant, and a dry run nothing."""
    for name in ("a", "b"):
        kubectl("create", "configmap", name)
    kubectl("label", "cm", "a", "x=y")
    assert kubectl("delete", "cm", "--all", "--dry-run=server") == (
        'configmap "a" deleted (server dry run)\nconfigmap "b" deleted (server dry run)\n'
    )
    assert kubectl("delete", "cm", "-l", "x=y") == 'configmap "a" deleted\n'
    assert kubectl("delete", "cm", "--all") == 'configmap "b" deleted\n'


def test_wait(kubectl: Kubectl) -> None:
    """`wait` ends when a condition, a value or a deletion comes, and says what did not."""
    kubectl("apply", "-f", "-", stdin=NGINX)
    assert kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "sts/web") == (
        "statefulset.apps/web condition met\n"
    )
    assert kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=nginx") == (
        "pod/web-0 condition met\npod/web-1 condition met\n"
    )
    kubectl("delete", "sts", "web", "--cascade=orphan")
    kubectl("delete", "pod", "web-1", "--wait=false")
    assert kubectl("wait", "--for=delete", "pod/web-1", "--timeout=5s") in ("", "pod/web-1 condition met\n")
    err = refused(kubectl.attempt("wait", "--for=condition=Nope", "pod/web-0", "--timeout=1s"))
    assert err == "error: timed out waiting for the condition on pods/web-0\n"


# ---- label, annotate, describe


def test_labels_and_annotations(kubectl: Kubectl) -> None:
    """`label` and `annotate` add, change only if told, and take away."""
    kubectl("create", "configmap", "a")
    assert kubectl("label", "cm", "a", "x=1") == "configmap/a labeled\n"
    assert refused(kubectl.attempt("label", "cm", "a", "x=2")) == (
        "error: 'x' already has a value (1), and --overwrite is false\n"
    )
    assert kubectl("label", "cm", "a", "x=2", "--overwrite") == "configmap/a labeled\n"
    assert kubectl("annotate", "cm", "a", "note=hi") == "configmap/a annotated\n"
    assert kubectl("get", "cm", "a", "-o", "jsonpath={.metadata.labels} {.metadata.annotations}") == (
        '{"x":"2"} {"note":"hi"}'
    )
    assert kubectl("label", "cm", "a", "x-") == "configmap/a unlabeled\n"
    assert kubectl("annotate", "cm", "a", "note-") == "configmap/a annotated\n"
    assert kubectl("get", "cm", "a", "-o", "jsonpath={.metadata.labels}{.metadata.annotations}") == ""


DESCRIBED = {
    "pod/web-0": [
        "Node: node-1/198.18.0.1",
        "Status: Running",
        "IP: 10.x",
        "Controlled By: StatefulSet/web",
        "Normal Scheduled AGE default-scheduler Successfully assigned NAMESPACE/web-0 to node-1",
    ],
    "sts/web": [
        "Replicas: 2 desired | 2 total",
        "Pods Status: 2 Running / 0 Waiting / 0 Succeeded / 0 Failed",
        "Normal SuccessfulCreate AGE headlessdns-controller Create Pod web-0 in StatefulSet web successful",
    ],
    "svc/nginx": ["Selector: app=nginx", "IP: None", "Endpoints: 10.x:80,10.x:80"],
    "node/node-1": ["Unschedulable: false", "InternalIP: 198.18.0.1"],
    "pvc/www-web-0": ["Status: Bound", "Used By: web-0", "Capacity: 1Gi"],
}


def test_describe(kubectl: Kubectl) -> None:
    """`describe` tells of pods, sets, Services, nodes and claims, with their events."""
    up(kubectl, WITH_VOLUME)
    for name, lines in DESCRIBED.items():
        found = without_ages(kubectl("describe", name).replace(f" {kubectl.namespace}/", " NAMESPACE/"))
        assert set(lines) <= set(found), (name, found)


# ---- auth, explain, discovery, nodes


def test_auth(kubectl: Kubectl) -> None:
    """Whoever has the token may do everything, and is told so."""
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert words(kubectl("auth", "can-i", "--list"))[1] == ["*.*", "[]", "[]", "[*]"]
    assert words(kubectl("auth", "whoami")) == [
        ["ATTRIBUTE", "VALUE"],
        ["Username", "lab"],
        ["Groups", "[system:masters", "system:authenticated]"],
    ]


def test_explain(kubectl: Kubectl) -> None:
    """`explain` has the words of the fields, and the whole tree where asked."""
    lines = kubectl("explain", "sts.spec.serviceName").splitlines()
    assert lines[:5] == [
        "GROUP:      apps",
        "KIND:       StatefulSet",
        "VERSION:    v1",
        "",
        "FIELD: serviceName <string>",
    ]
    assert "the name of the service that governs this StatefulSet" in " ".join(lines)
    assert "    readinessProbe\t<Probe>" in kubectl("explain", "pod.spec", "--recursive").replace("      ", "    ")


def test_discovery(kubectl: Kubectl) -> None:
    """Kinds, versions and the server itself are known."""
    assert kubectl("api-versions").split() == [
        "apiextensions.k8s.io/v1",
        "apps/v1",
        "authorization.k8s.io/v1",
        "coordination.k8s.io/v1",
        "discovery.k8s.io/v1",
        "networking.k8s.io/v1",
        "policy/v1",
        "rbac.authorization.k8s.io/v1",
        "storage.k8s.io/v1",
        "v1",
    ]
    assert kubectl("api-resources", "--api-group=apps", "-o", "name").split() == [
        "controllerrevisions.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
    ]
    version = kubectl.attempt("version")
    assert (version.code, version.out.splitlines()[-1]) == (0, "Server Version: v1.36.3")
    first = re.sub("\x1b\\[[0-9;]*m", "", kubectl("cluster-info")).splitlines()[0]
    assert first == f"Kubernetes control plane is running at {kubectl.lab.api.url}"


def test_events(kubectl: Kubectl) -> None:
    """`events` lists what happened to an object."""
    up(kubectl)
    rows = words(kubectl("events", "--for=statefulset/web"))
    assert rows[0] == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert ["Create", "Pod", "web-0", "in", "StatefulSet", "web", "successful"] in [row[4:] for row in rows]
    of_pod = [["Normal", reason, "Pod/web-1"] for reason in ("Scheduled", "Pulled", "Created", "Started")]
    wait_until(
        lambda: [row[1:4] for row in words(kubectl("events", "--for=pod/web-1", "--no-headers"))] == of_pod,
        "all that a pod is told of when it starts",
        10,
    )
    by_time = kubectl("get", "events", "--sort-by=.lastTimestamp", "--no-headers")
    assert ["Normal", "Started", "pod/web-1", "Container", "started"] in [row[1:] for row in words(by_time)]


def test_nodes(kubectl: Kubectl) -> None:
    """A node is cordoned, tainted and drained; pods that a disruption budget needs are not evicted."""
    up(
        kubectl,
        NGINX.replace(
            "labels: {app: nginx}}\n    spec", f"labels: {{app: nginx, of: {kubectl.namespace}}}}}\n    spec"
        ),
    )
    kubectl("create", "pdb", "all", "--selector=app=nginx", "--min-available=2")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-1"}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/web-1/eviction"
    held = kubectl.attempt("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert held.code == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in held.err
    kubectl("delete", "pdb", "all")
    try:
        assert kubectl("cordon", "node-1") == "node/node-1 cordoned\n"
        assert words(kubectl("get", "node", "node-1"))[1][1] == "Ready,SchedulingDisabled"
        drained = kubectl.attempt("drain", "node-1", "--timeout=10s", f"--pod-selector=of={kubectl.namespace}")
        assert sorted(line for line in drained.out.splitlines() if line.endswith(" evicted")) == [
            "pod/web-0 evicted",
            "pod/web-1 evicted",
        ]
        assert drained.out.splitlines()[-1] == "node/node-1 drained"
    finally:
        assert kubectl("uncordon", "node-1") == "node/node-1 uncordoned\n"
    kubectl.lab.wait_ready(2, namespace=kubectl.namespace)
    assert kubectl("taint", "node", "node-1", "a=b:PreferNoSchedule") == "node/node-1 tainted\n"
    assert kubectl("taint", "node", "node-1", "a-") == "node/node-1 untainted\n"


def test_custom_resources(kubectl: Kubectl) -> None:
    """A definition is applied and waited for; then its resources have columns, an explanation, defaults and a scale."""
    crd = str(Path(__file__).parents[3] / "deploy" / "crd" / "ordinalsets.yaml")
    applied = kubectl.attempt("apply", "-f", crd)
    assert applied.code == 0, applied
    name = "customresourcedefinition.apiextensions.k8s.io/ordinalsets.headlessdns.io"
    assert kubectl("wait", "--for=condition=Established", name) == f"{name} condition met\n"
    ordinal_set = NGINX.partition("---\n")[2].replace("apps/v1", "headlessdns.io/v1alpha1")
    ordinal_set = ordinal_set.replace("StatefulSet", "OrdinalSet")
    assert kubectl("apply", "-f", "-", stdin=ordinal_set) == "ordinalset.headlessdns.io/web created\n"
    assert words(kubectl("get", "ordinalsets"))[0] == ["NAME", "DESIRED", "READY", "UPDATED", "AVAILABLE", "AGE"]
    assert kubectl("scale", "ordinalset", "web", "--replicas=3") == "ordinalset.headlessdns.io/web scaled\n"
    assert kubectl("get", "ordinalset", "web", "-o", "jsonpath={.spec.replicas} {.spec.podManagementPolicy}") == (
        "3 OrderedReady"
    )
    assert "FIELD: serviceName <string>" in kubectl("explain", "ordinalset.spec.serviceName")
    assert kubectl("delete", "ordinalset", "web") == 'ordinalset.headlessdns.io "web" deleted\n'
    assert kubectl.attempt("delete", "-f", crd).code == 0
    # kubectl remembers for a while what was served.
    assert "NotFound" in refused(kubectl.attempt("get", "ordinalsets"))
