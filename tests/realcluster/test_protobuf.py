"""Bodies in protobuf as the real kube-apiserver writes them: the same object twice, in protobuf and in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3

from headlessdns.lab.api.bodies import PROTOBUF
from headlessdns.lab.api.protobuf import decode
from tests.realcluster.cluster import RealCluster, object_path

Json = dict[str, Any]
PROBE = {"httpGet": {"path": "/", "port": "web", "httpHeaders": [{"name": "a", "value": ""}]}, "timeoutSeconds": 3}
LABELS_FILE = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
POD: Json = {
    "initContainers": [{"name": "first", "image": "busybox", "command": ["sh", "-c", ""]}],
    "containers": [
        {
            "name": "c",
            "image": "nginx",
            "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 53, "protocol": "UDP"}],
            "env": [
                {"name": "A", "value": "a"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}},
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1.5Gi"}},
            "readinessProbe": PROBE,
            "livenessProbe": {"exec": {"command": ["true"]}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 0}}},
            "securityContext": {"runAsUser": 0, "privileged": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}, {"name": "e", "mountPath": "/e"}],
        }
    ],
    "volumes": [
        {"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "p", "mode": 0}]}},
        {"name": "e", "emptyDir": {}},
        {
            "name": "t",
            "projected": {"sources": [{"downwardAPI": {"items": [LABELS_FILE]}}]},
        },
    ],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]},
                    },
                }
            ]
        }
    },
    "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
    "dnsConfig": {"nameservers": ["10.0.0.10"], "options": [{"name": "ndots", "value": "5"}, {"name": "edns0"}]},
    "hostAliases": [{"ip": "10.1.1.1", "hostnames": ["a", "b"]}],
    "hostname": "web-0",
    "subdomain": "nginx",
    "terminationGracePeriodSeconds": 0,
    "enableServiceLinks": False,
    "nodeName": "node-1",
}
LABELS = {"app": "a"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {name: POD[name] for name in POD if name != "nodeName"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
OBJECTS: list[Json] = [
    {"kind": "Pod", "apiVersion": "v1", "spec": POD},
    {
        "kind": "Service",
        "apiVersion": "v1",
        "spec": {
            "selector": LABELS,
            "ports": [{"name": "a", "port": 80, "targetPort": "web"}, {"name": "b", "port": 81, "targetPort": 8081}],
            "publishNotReadyAddresses": True,
            "sessionAffinity": "ClientIP",
        },
    },
    {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "spec": {
            "replicas": 0,
            "serviceName": "a",
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": CLAIM}],
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": "50%"}},
            "ordinals": {"start": 5},
        },
    },
    {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, "paused": True, "replicas": 0},
    },
    {
        "kind": "ControllerRevision",
        "apiVersion": "apps/v1",
        "revision": 0,
        "data": {"spec": {"template": {"a": [1, "b", True]}}},
    },
    {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "spec": CLAIM},
    {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "", "b": "b"}, "binaryData": {"c": "/w=="}},
    {"kind": "Secret", "apiVersion": "v1", "data": {"a": "/w==", "b": ""}, "immutable": False},
    {
        "kind": "PodDisruptionBudget",
        "apiVersion": "policy/v1",
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": LABELS}},
    },
    {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.1.1"], "conditions": {"ready": False}, "hostname": "web-0"}],
        "ports": [{"name": "", "port": 80}],
    },
    {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "spec": {"holderIdentity": "a", "renewTime": "2026-01-02T03:04:05.678901Z", "leaseTransitions": 0},
    },
]


def without_null(value: Any) -> Any:
    """Return *value* without what Go writes as null."""
    if isinstance(value, dict):
        return {name: without_null(each) for name, each in value.items() if each is not None}
    return [without_null(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda manifest: manifest["kind"])
def test_decode(real_cluster: RealCluster, namespace: str, manifest: Json) -> None:
    """What the real server writes in protobuf is read as what it writes in JSON, managed fields and all."""
    metadata = {
        "name": "a",
        "namespace": namespace,
        "labels": LABELS,
        "annotations": {"a": ""},
        "finalizers": ["a.b/c"],
    }
    real_cluster.create({**manifest, "metadata": metadata})
    forms = []
    with urllib3.PoolManager(ca_certs=str(real_cluster.ca_file), retries=False) as http:
        for accept in ("application/json", PROTOBUF):
            headers = {"Authorization": f"Bearer {real_cluster.token}", "Accept": accept}
            url = real_cluster.server + object_path({**manifest, "metadata": metadata})
            forms.append(http.request("GET", url, headers=headers, timeout=20).data)
    expected = json.loads(forms[0])
    for template in expected.get("spec", {}).get("volumeClaimTemplates", ()):
        del template["apiVersion"], template["kind"]  # protobuf has no place for these
    assert without_null(decode(forms[1])) == without_null(expected)
