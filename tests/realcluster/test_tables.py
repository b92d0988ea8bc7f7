"""Tables of the embedded API beside those of the real kube-apiserver, on the same objects."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from headlessdns.lab.api import tables
from headlessdns.lab.api.kinds import RESOURCES, Resource
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE, ApiError, RealCluster

Json = dict[str, Any]
BY_KIND = {resource.kind: resource for resource in RESOURCES}
GADGET = Resource("tables.example.com", "v1", "Gadget", "gadgets", "gadget")
PLAIN = Resource("tables.example.com", "v1", "Plain", "plains", "plain")
NOW = datetime.now(UTC)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(name: str, **fields: Any) -> Json:
    return {"name": name, "image": f"registry.example.com/{name}:1", **fields}


def told(name: str, state: Json, **fields: Any) -> Json:
    """A container's status."""
    image = {"image": f"registry.example.com/{name}:1", "imageID": ""}
    return {"name": name, "ready": False, "restartCount": 0, "state": state, **image, **fields}


def ended(code: int, reason: str = "", **fields: Any) -> Json:
    return {"terminated": {"exitCode": code, **({"reason": reason} if reason else {}), **fields}}


def condition(kind: str, status: str = "True", **fields: Any) -> Json:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": ago(hours=1), **fields}


RUNNING: Json = {"running": {"startedAt": ago(hours=1)}}
FAILED_BEFORE = ended(1, "Error", finishedAt=ago(days=3, hours=4, minutes=30))
SIDECAR = container("proxy", restartPolicy="Always")
INITS = {"initContainers": [container("one"), container("two")]}
DONE = told("one", ended(0, "Completed"), ready=True)
WAITING = {"waiting": {"reason": "PodInitializing"}}
IN_LOOP = {"waiting": {"reason": "CrashLoopBackOff"}}

# Name: what its spec and its status say beyond one container called web.
PODS: dict[str, tuple[Json, Json]] = {
    "new": ({}, {}),
    "on-a-node": (
        {"nodeName": NODE},
        {
            "phase": "Running",
            "podIP": "10.244.1.10",
            "podIPs": [{"ip": "10.244.1.10"}, {"ip": "fd00::10"}],
            "containerStatuses": [told("web", RUNNING, ready=True)],
        },
    ),
    "nominated": ({}, {"nominatedNodeName": "node-7"}),
    "gated": ({"schedulingGates": [{"name": "example.com/later"}]}, {}),
    "gates-half": (
        {"readinessGates": [{"conditionType": "example.com/a"}, {"conditionType": "example.com/b"}]},
        {"conditions": [condition("example.com/a"), condition("example.com/b", "False")]},
    ),
    "crash-loop": (
        {},
        {
            "phase": "Running",
            "containerStatuses": [told("web", IN_LOOP, restartCount=7, lastState=FAILED_BEFORE)],
        },
    ),
    "restarted-once": (
        {"containers": [container("web"), container("log")]},
        {
            "phase": "Running",
            "containerStatuses": [
                told("web", RUNNING, ready=True, restartCount=2, lastState=FAILED_BEFORE),
                told("log", RUNNING, restartCount=1, lastState=ended(0, finishedAt=ago(days=5, minutes=1))),
            ],
        },
    ),
    "restarted-unknown-when": ({}, {"containerStatuses": [told("web", RUNNING, ready=True, restartCount=3)]}),
    "no-image": ({}, {"containerStatuses": [told("web", {"waiting": {"reason": "ImagePullBackOff"}})]}),
    "waiting-without-reason": ({}, {"phase": "Pending", "containerStatuses": [told("web", {"waiting": {}})]}),
    "succeeded": ({}, {"phase": "Succeeded", "containerStatuses": [told("web", ended(0, "Completed"))]}),
    "failed": ({}, {"phase": "Failed", "containerStatuses": [told("web", ended(3, "Error"))]}),
    "killed-by-signal": ({}, {"phase": "Failed", "containerStatuses": [told("web", ended(137, signal=9))]}),
    "exit-code": ({}, {"phase": "Failed", "containerStatuses": [told("web", ended(4))]}),
    "evicted": ({}, {"phase": "Failed", "reason": "Evicted"}),
    "one-completed-one-runs": (
        {"containers": [container("web"), container("log")]},
        {
            "phase": "Running",
            "conditions": [condition("Ready", "False")],
            "containerStatuses": [told("web", ended(0, "Completed")), told("log", RUNNING, ready=True)],
        },
    ),
    "one-completed-ready": (
        {"containers": [container("web"), container("log")]},
        {
            "phase": "Running",
            "conditions": [condition("Ready")],
            "containerStatuses": [told("web", ended(0, "Completed")), told("log", RUNNING, ready=True)],
        },
    ),
    "completed-hides-error": (
        {"containers": [container("web"), container("log")]},
        {"phase": "Failed", "containerStatuses": [told("web", ended(0, "Completed")), told("log", ended(2, "Error"))]},
    ),
    "init-first": (INITS, {"phase": "Pending", "initContainerStatuses": [told("one", WAITING), told("two", WAITING)]}),
    "init-second": (INITS, {"phase": "Pending", "initContainerStatuses": [DONE, told("two", RUNNING)]}),
    "init-error": (INITS, {"phase": "Pending", "initContainerStatuses": [told("one", ended(1, "Error"))]}),
    "init-exit-code": (INITS, {"phase": "Pending", "initContainerStatuses": [told("one", ended(5))]}),
    "init-signal": (INITS, {"phase": "Pending", "initContainerStatuses": [told("one", ended(137, signal=9))]}),
    "init-loop": (
        INITS,
        {"initContainerStatuses": [told("one", IN_LOOP, restartCount=4, lastState=FAILED_BEFORE)]},
    ),
    "init-over": (
        INITS,
        {
            "phase": "Running",
            "conditions": [condition("Initialized")],
            "initContainerStatuses": [
                told("one", ended(0), restartCount=9),
                told("two", WAITING),
            ],
            "containerStatuses": [told("web", RUNNING, ready=True)],
        },
    ),
    "sidecar": (
        {"initContainers": [SIDECAR]},
        {
            "phase": "Running",
            "initContainerStatuses": [
                told("proxy", RUNNING, ready=True, started=True, restartCount=2, lastState=FAILED_BEFORE)
            ],
            "containerStatuses": [told("web", RUNNING, ready=True)],
        },
    ),
    "sidecar-starts": (
        {"initContainers": [SIDECAR]},
        {"phase": "Pending", "initContainerStatuses": [told("proxy", RUNNING, started=False)]},
    ),
    "terminating": (
        {"nodeName": NODE},
        {"phase": "Running", "containerStatuses": [told("web", RUNNING, ready=True)]},
    ),
    "terminating-lost": ({"nodeName": NODE}, {"phase": "Running", "reason": "NodeLost"}),
    "terminating-done": ({"nodeName": NODE}, {"phase": "Succeeded"}),
}


def pod(name: str, spec: Json, status: Json) -> Json:
    # A pod that has ended is gone when it is deleted, unless a finalizer keeps it.
    metadata = {"finalizers": ["example.com/keep"]} if name == "terminating-done" else {}
    spec = {"containers": [container("web")], **spec}
    return {"kind": "Pod", "name": name, "metadata": metadata, "spec": spec, "status": status}


TEMPLATE = {
    "metadata": {"labels": {"app": "nginx"}},
    "spec": {"containers": [container("nginx"), container("log")]},
}
SELECTOR = {"matchLabels": {"app": "nginx"}}
BROAD = {
    "matchLabels": {"app": "nginx"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["web", "back"]},
        {"key": "age", "operator": "NotIn", "values": ["old"]},
        {"key": "zone", "operator": "Exists"},
        {"key": "moved", "operator": "DoesNotExist"},
    ],
}
BROAD_TEMPLATE = TEMPLATE | {"metadata": {"labels": {"app": "nginx", "tier": "web", "zone": "a"}}}
PORT = {"name": "web", "port": 80}
CLAIM_SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CLAIM_TEMPLATE = {"metadata": {"name": "www"}, "spec": CLAIM_SPEC}


def event(name: str, **fields: Any) -> Json:
    involved = {"kind": "Pod", "name": "web-0", "fieldPath": "spec.containers{nginx}"}
    return {"kind": "Event", "name": name, "involvedObject": involved, "reason": "Pulled", "type": "Normal", **fields}


def addresses(count: int) -> list[Json]:
    return [{"ip": f"10.1.0.{n}"} for n in range(1, count + 1)]


def service(name: str, status: Json | None = None, **spec: Any) -> Json:
    given = {"kind": "Service", "name": name, "spec": {"ports": [PORT], **spec}}
    return given | ({"status": status} if status else {})


def endpoints(name: str, *subsets: Json) -> Json:
    return {"kind": "Endpoints", "name": name, "subsets": list(subsets)}


def endpoint_slice(name: str, count: int, *ports: Json, kind: str = "IPv4", prefix: str = "10.1.0.") -> Json:
    found = [{"addresses": [f"{prefix}{n}"]} for n in range(1, count + 1)]
    return {"kind": "EndpointSlice", "name": name, "addressType": kind, "endpoints": found, "ports": list(ports)}


OBJECTS: list[Json] = [
    *(pod(name, spec, status) for name, (spec, status) in PODS.items()),
    service("plain"),
    service("headless", clusterIP="None", selector={"app": "nginx", "a": "b"}),
    service("no-ports", clusterIP="None", ports=[]),
    service("named", type="ExternalName", externalName="db.example.com", ports=[]),
    service(
        "node-port", type="NodePort", ports=[{**PORT, "nodePort": 30123}, {"name": "d", "port": 53, "protocol": "UDP"}]
    ),
    service("outside", externalIPs=["192.0.2.7", "192.0.2.8"]),
    service("balanced", type="LoadBalancer", ports=[{**PORT, "nodePort": 30124}]),
    service(
        "balanced-done",
        {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "a-long-name-of-a.lb.example.com"}]}},
        type="LoadBalancer",
        ports=[{**PORT, "nodePort": 30125}],
        externalIPs=["192.0.2.10"],
    ),
    endpoints("none"),
    endpoints("three", {"addresses": addresses(3), "ports": [{"port": 80}]}),
    endpoints("four", {"addresses": addresses(2), "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}),
    endpoints("unready", {"notReadyAddresses": addresses(1), "ports": [{"port": 80}]}),
    endpoints(
        "portless-v6", {"addresses": [{"ip": "fd00::1"}]}, {"addresses": [{"ip": "fd00::2"}], "ports": [{"port": 8}]}
    ),
    endpoint_slice("empty", 0),
    endpoint_slice("five", 5, {"name": "a", "port": 80}, {"name": "b", "port": 81}),
    endpoint_slice("six-ports", 1, *({"name": f"p{n}", "port": n} for n in range(1, 7))),
    endpoint_slice("any-port", 2, {"name": "any"}, {"name": ""}, kind="IPv6", prefix="fd00::"),
    {
        "kind": "StatefulSet",
        "name": "web",
        "spec": {
            "serviceName": "nginx",
            "replicas": 3,
            "selector": SELECTOR,
            "template": TEMPLATE,
            "volumeClaimTemplates": [CLAIM_TEMPLATE],
        },
        "status": {"replicas": 2, "readyReplicas": 1},
    },
    {"kind": "StatefulSet", "name": "one", "spec": {"serviceName": "x", "selector": SELECTOR, "template": TEMPLATE}},
    {"kind": "Deployment", "name": "front", "spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
    {
        "kind": "Deployment",
        "name": "broad",
        "spec": {"replicas": 4, "selector": BROAD, "template": BROAD_TEMPLATE},
        "status": {"replicas": 4, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 1},
    },
    {
        "kind": "ReplicaSet",
        "name": "broad",
        "spec": {"replicas": 4, "selector": BROAD, "template": BROAD_TEMPLATE},
        "status": {"replicas": 3, "readyReplicas": 2},
    },
    {"kind": "ControllerRevision", "name": "free", "revision": 7, "data": {"spec": {}}},
    {
        "kind": "ControllerRevision",
        "name": "owned",
        "revision": 12,
        "data": {"spec": {}},
        "metadata": {
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "2", "controller": True},
            ]
        },
    },
    {"kind": "PodDisruptionBudget", "name": "most", "spec": {"maxUnavailable": 1, "selector": SELECTOR}},
    {
        "kind": "PodDisruptionBudget",
        "name": "half",
        "spec": {"minAvailable": "50%", "selector": SELECTOR},
        "status": {"disruptionsAllowed": 2, "currentHealthy": 4, "desiredHealthy": 2, "expectedPods": 4},
    },
    {"kind": "PersistentVolumeClaim", "name": "pending", "spec": CLAIM_SPEC},
    {
        "kind": "PersistentVolumeClaim",
        "name": "bound",
        "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "older"}},
        "spec": {**CLAIM_SPEC, "volumeName": "pv-1", "volumeMode": "Block"},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "capacity": {"storage": "2Gi"}},
    },
    {"kind": "PersistentVolumeClaim", "name": "terminating", "spec": {**CLAIM_SPEC, "storageClassName": "slow"}},
    {"kind": "PersistentVolumeClaim", "name": "no-capacity", "spec": {**CLAIM_SPEC, "volumeName": "pv-9"}},
    {
        "kind": "PersistentVolume",
        "name": "table-1",
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
            "claimRef": {"namespace": "default", "name": "www-web-0"},
            "storageClassName": "fast",
            "hostPath": {"path": "/data"},
        },
        "status": {"phase": "Failed", "reason": "Broken"},
    },
    {
        "kind": "PersistentVolume",
        "name": "table-2-terminating",
        "metadata": {"finalizers": ["example.com/keep"]},
        "spec": {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOncePod"],
            "hostPath": {"path": "/data"},
            "persistentVolumeReclaimPolicy": "Delete",
        },
    },
    {
        "kind": "StorageClass",
        "name": "table-default",
        "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "example.com/disk",
        "allowVolumeExpansion": True,
    },
    {
        "kind": "StorageClass",
        "name": "table-late",
        "provisioner": "example.com/disk",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
    },
    {"kind": "Node", "name": "table-unknown"},
    {
        "kind": "Node",
        "name": "table-ready",
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "db"}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}],
            "addresses": [
                {"type": "InternalIP", "address": "192.0.2.11"},
                {"type": "ExternalIP", "address": "192.0.2.12"},
            ],
            "nodeInfo": {
                **dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion", "operatingSystem"), ""),
                "kubeletVersion": "v1.36.3",
                "osImage": "Debian GNU/Linux 13",
                "kernelVersion": "6.12",
                "architecture": "amd64",
                "containerRuntimeVersion": "containerd://2.1",
            },
        },
    },
    {
        "kind": "Node",
        "name": "table-not-ready",
        "status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "Lost", "message": ""}]},
    },
    {"kind": "Namespace", "name": "table-space"},
    {"kind": "ConfigMap", "name": "settings", "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="}},
    {"kind": "ConfigMap", "name": "empty"},
    {"kind": "Secret", "name": "key", "data": {"a": "MQ=="}},
    {"kind": "Secret", "name": "login", "type": "example.com/login"},
    {"kind": "ServiceAccount", "name": "web"},
    {"kind": "NetworkPolicy", "name": "all", "spec": {"podSelector": {}}},
    {"kind": "NetworkPolicy", "name": "some", "spec": {"podSelector": {"matchLabels": {"b": "2", "a": "1"}}}},
    {"kind": "Role", "name": "reader", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    {"kind": "ClusterRole", "name": "table-reader"},
    {
        "kind": "RoleBinding",
        "name": "readers",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [
            {"kind": "User", "name": "u"},
            {"kind": "ServiceAccount", "name": "b", "namespace": "n"},
            {"kind": "Group", "name": "g"},
            {"kind": "ServiceAccount", "name": "a", "namespace": "n"},
        ],
    },
    {
        "kind": "ClusterRoleBinding",
        "name": "table-readers",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "table-reader"},
    },
    {"kind": "Lease", "name": "free"},
    {"kind": "Lease", "name": "held", "spec": {"holderIdentity": "manager-0"}},
    event(
        "counted",
        message=" pulled \n",
        count=4,
        firstTimestamp=ago(days=9, hours=1),
        lastTimestamp=ago(days=3, minutes=1),
        source={"component": "kubelet", "host": NODE},
    ),
    event("without-times", message="m", reportingComponent="manager", reportingInstance="manager-0"),
    event(
        "series",
        eventTime=ago(days=4, minutes=1).replace("Z", ".123456Z"),
        series={"count": 9, "lastObservedTime": ago(days=2, minutes=1).replace("Z", ".654321Z")},
        reportingComponent="example.com/manager",
        reportingInstance="manager-0",
        action="Pull",
    ),
]

COLUMNS: list[Json] = [
    {"name": "Number", "type": "integer", "jsonPath": ".spec.number"},
    {"name": "Half", "type": "number", "jsonPath": ".spec.half", "description": "A half."},
    {"name": "Flag", "type": "boolean", "jsonPath": ".spec.flag", "priority": 1},
    {"name": "Text", "type": "string", "jsonPath": ".spec.text", "format": "byte"},
    {"name": "Number Text", "type": "string", "jsonPath": ".spec.number"},
    {"name": "Flag Text", "type": "string", "jsonPath": ".spec.flag"},
    {"name": "Ready", "type": "string", "jsonPath": '.spec.list[?(@.type=="Ready")].status'},
    {"name": "Not True", "type": "string", "jsonPath": ".spec.list[?(@.status!='True')].type"},
    {"name": "Big", "type": "string", "jsonPath": ".spec.list[?(@.n>1)].type"},
    {"name": "Having", "type": "string", "jsonPath": ".spec.list[?(@.n)].type"},
    {"name": "First", "type": "string", "jsonPath": ".spec.list[0].type"},
    {"name": "Last", "type": "string", "jsonPath": ".spec.list[-1:].type"},
    {"name": "All", "type": "string", "jsonPath": ".spec.list[*].type"},
    {"name": "Whole", "type": "string", "jsonPath": ".spec.list"},
    {"name": "Dotted", "type": "string", "jsonPath": r".metadata.annotations.example\.com/note"},
    {"name": "Quoted", "type": "string", "jsonPath": r".metadata.annotations['example\.com/note']"},
    {"name": "Deep", "type": "string", "jsonPath": "..deeper"},
    {"name": "When", "type": "date", "jsonPath": ".spec.when"},
    {"name": "Made", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def gadget(name: str, note: str = "", **spec: Any) -> Json:
    return {"kind": "Gadget", "name": name, "metadata": {"annotations": {"example.com/note": note}}, "spec": spec}


SPANS = {
    "minutes": {"minutes": 3, "seconds": 30},
    "ten-minutes": {"minutes": 11, "seconds": 30},
    "over-two-hours": {"hours": 2, "minutes": 50, "seconds": 30},
    "three-hours": {"hours": 3, "seconds": 30},
    "under-eight-hours": {"hours": 7, "minutes": 59, "seconds": 30},
    "hours": {"hours": 47, "minutes": 59, "seconds": 30},
    "two-days": {"hours": 48, "seconds": 30},
    "days-and-hours": {"days": 7, "hours": 23, "minutes": 59},
    "eight-days": {"days": 8, "minutes": 1},
    "days": {"days": 729, "hours": 23},
    "two-years": {"days": 730, "minutes": 1},
    "years-and-days": {"days": 731, "minutes": 1},
    "eight-years": {"days": 8 * 365, "minutes": 1},
    "ahead": {"hours": -1},
}

CUSTOM: list[Json] = [
    gadget("bare"),
    gadget(
        "full",
        "kept",
        number=3,
        half=1.5,
        flag=True,
        text="words",
        list=[{"type": "Ready", "status": "True", "n": 2}, {"type": "Odd", "status": "<False>"}],
        inner={"a": {"deeper": "found"}},
        when="2020-01-01T00:00:00Z",
    ),
    gadget("otherwise", half=2, flag=False, text="", list=[], when="yesterday"),
    *(gadget(f"when-{name}", when=ago(**span)) for name, span in SPANS.items()),
    {"kind": "Plain", "name": "without-columns"},
]


def definition(resource: Resource, columns: list[Json]) -> Json:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version: Json = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": resource.kind, "plural": resource.plural}
    return {
        "kind": "CustomResourceDefinition",
        "name": f"{resource.plural}.{resource.group}",
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": names,
            "versions": [version | ({"additionalPrinterColumns": columns} if columns else {})],
        },
    }


ALL = BY_KIND | {"Gadget": GADGET, "Plain": PLAIN}
LABEL = {"table-test": "yes"}


def make(cluster: RealCluster, namespace: str, given: Json) -> None:
    """Create the object with its status; one whose name says so is then deleted, which it outlives."""
    resource = ALL[given["kind"]]
    metadata = {"name": given["name"], "labels": LABEL} | given.get("metadata", {})
    metadata["labels"] = metadata["labels"] | LABEL
    body = {key: value for key, value in given.items() if key not in {"name", "status"}}
    if resource.kind == "Event":
        body["involvedObject"] = {**given["involvedObject"], "namespace": namespace}
    body |= {"apiVersion": resource.group_version, "metadata": metadata}
    collection = resource.collection(namespace if resource.namespaced else "")
    cluster.request("POST", collection, body)
    path = f"{collection}/{given['name']}"
    if given.get("status"):
        merge = "application/merge-patch+json"
        cluster.request("PATCH", f"{path}/status", {"status": given["status"]}, content_type=merge)
    if given["name"].partition("-")[0] == "terminating" or given["name"].endswith("-terminating"):
        cluster.request("DELETE", path)


def served(cluster: RealCluster, path: str) -> bool:
    """Whether the API server has set up the kind, which it does a moment after the definition."""
    try:
        cluster.request("GET", path)
    except ApiError as error:
        if error.status in {404, 429}:
            return False
        raise
    return True


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    """A control plane without controllers, which would change or collect what the tests make."""
    try:
        cluster = RealCluster(controllers=())
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with cluster:
        yield cluster


@pytest.fixture(scope="module")
def space(cluster: RealCluster) -> str:
    """A namespace with all objects."""
    namespace = "tables"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for made in [definition(GADGET, COLUMNS), definition(PLAIN, []), *OBJECTS]:
        make(cluster, namespace, made)
    wait_until(lambda: all(served(cluster, r.collection(namespace)) for r in (GADGET, PLAIN)), "kinds", 20)
    for made in CUSTOM:
        make(cluster, namespace, made)
    return namespace


Ask = Callable[..., Json]


@pytest.fixture(scope="module")
def ask(cluster: RealCluster) -> Iterator[Ask]:
    """Get a path, as a table or as it is."""
    with urllib3.PoolManager(ca_certs=str(cluster.ca_file), retries=False) as http:

        def get(path: str, accept: str = "application/json", **query: str) -> Json:
            headers = {"Authorization": f"Bearer {cluster.token}", "Accept": accept}
            response = http.request("GET", cluster.server + path, fields=query, headers=headers, timeout=10)
            assert response.status == 200, response.data
            answer: Json = json.loads(response.data)
            return answer

        yield get


def comparable(table: Json) -> Json:
    """The table without what differs by nature: descriptions, and ages of seconds."""
    columns = table["columnDefinitions"]
    if columns is not None:
        assert all(c["description"] for c in columns)
        columns = [{k: v for k, v in c.items() if k != "description"} for c in columns]
    rows = [
        {
            "cells": [re.sub(r"^\d+s$", "(seconds)", cell) if isinstance(cell, str) else cell for cell in row["cells"]],
            "types": [type(cell).__name__ for cell in row["cells"]],
            "conditions": [{k: v for k, v in c.items() if k != "message"} for c in row.get("conditions", [])],
            "object": row["object"],
        }
        for row in table["rows"]
    ]
    return {**table, "columnDefinitions": columns, "rows": rows}


def options(resource: Resource) -> Json:
    return {"printer_columns": COLUMNS} if resource is GADGET else {}


def whole(listed: Json) -> list[Json]:
    """The objects of a list, with what the list says of all."""
    head = {"kind": listed["kind"].removesuffix("List"), "apiVersion": listed["apiVersion"]}
    return [head | item for item in listed["items"]]


@pytest.mark.parametrize("resource", ALL.values(), ids=[r.qualified for r in ALL.values()])
@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
def test_lists(ask: Ask, space: str, resource: Resource, include: str) -> None:
    """A list of each kind has the columns, types, cells and objects that kube-apiserver gives it."""
    path, label = resource.collection(space if resource.namespaced else ""), {"labelSelector": "table-test=yes"}
    for _ in range(5):
        listed = ask(path, **label)
        theirs = ask(path, tables.MEDIA_TYPE, **label, includeObject=include)
        if listed["metadata"] == theirs["metadata"]:
            break
    ours = tables.table(
        resource,
        whole(listed),
        time.time(),
        include_object=include,
        list_metadata=listed["metadata"],
        **options(resource),
    )
    assert len(theirs["rows"]) == sum(made["kind"] == resource.kind for made in OBJECTS + CUSTOM) + 2 * (
        resource.kind == "CustomResourceDefinition"
    )
    assert comparable(ours) == comparable(theirs)


def test_one_object(ask: Ask, space: str) -> None:
    """The table of one object has its resource version."""
    path = BY_KIND["Pod"].collection(space) + "/succeeded"
    one, theirs = ask(path), ask(path, tables.MEDIA_TYPE)
    assert comparable(tables.table(BY_KIND["Pod"], [one], time.time())) == comparable(theirs)


def test_watch(cluster: RealCluster, space: str) -> None:
    """The first event of a watch has the columns, later ones have null; a bookmark is a table of an empty object."""
    resource = BY_KIND["ConfigMap"]
    query = {"watch": "true", "sendInitialEvents": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "1"}
    query |= {"resourceVersionMatch": "NotOlderThan"}
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept": tables.MEDIA_TYPE}
    with urllib3.PoolManager(ca_certs=str(cluster.ca_file), retries=False) as http:
        url = cluster.server + resource.collection(space)
        lines = http.request("GET", url, fields=query, headers=headers, timeout=10).data.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    for event, with_columns in zip(events, (True, False, False), strict=True):
        theirs = event["object"]
        name = theirs["rows"][0]["cells"][0]
        one = cluster.request("GET", f"{resource.collection(space)}/{name}") if name else theirs["rows"][0]["object"]
        ours = tables.table(resource, [one], time.time(), with_columns=with_columns)
        assert comparable(ours) == comparable(theirs)


def test_no_objects(ask: Ask, space: str) -> None:
    """The table of an empty list has columns and an empty list of rows."""
    listed = ask(BY_KIND["Pod"].collection("nowhere"))
    theirs = ask(BY_KIND["Pod"].collection("nowhere"), tables.MEDIA_TYPE)
    theirs["metadata"] = listed["metadata"]
    ours = tables.table(BY_KIND["Pod"], [], time.time(), list_metadata=listed["metadata"])
    assert comparable(ours) == comparable(theirs)
