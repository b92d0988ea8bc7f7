"""Objects with values of any type in any field, against the embedded API: it may refuse them, and nothing else."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from headlessdns.lab.api.kinds import RESOURCES
from headlessdns.lab.api.messages import Answer, Request
from headlessdns.lab.api.server import Api
from tests.lab.api.custom_rows import FORMATS, SAMPLES

Json = Any

DEFINITION = yaml.safe_load((Path(__file__).parents[3] / "deploy" / "crd" / "ordinalsets.yaml").read_text())

METADATA: Json = {
    "name": "a",
    "labels": {"app": "a"},
    "annotations": {"note": "a"},
    "finalizers": ["example.org/a"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "u", "controller": True}],
    "managedFields": [
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ],
}
POD: Json = {
    "hostname": "a",
    "subdomain": "s",
    "containers": [
        {
            "name": "a",
            "image": "b",
            "command": ["c"],
            "env": [
                {"name": "A", "value": "b"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "ports": [{"containerPort": 80, "name": "http"}],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": 2}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
        }
    ],
    "initContainers": [{"name": "i", "image": "b"}],
    "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "c", "configMap": {"name": "c"}}],
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}},
    "securityContext": {"runAsUser": 1},
    "readinessGates": [{"conditionType": "a"}],
}
SELECTOR: Json = {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "b", "operator": "In", "values": ["c"]}]}
TEMPLATE: Json = {"metadata": {"labels": {"app": "a", "b": "c"}}, "spec": POD}
CLAIM: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CONDITIONS: Json = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]

# What the kinds have beside metadata.
BODIES: dict[str, Json] = {
    "Namespace": {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
    "Node": {
        "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [{"type": "Hostname", "address": "a"}],
            "conditions": CONDITIONS,
            "capacity": {"cpu": 1},
        },
    },
    "Service": {
        "spec": {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "a", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            "selector": {"app": "a"},
            "externalIPs": ["192.0.2.1"],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
            "sessionAffinity": "ClientIP",
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    },
    "Endpoints": {"subsets": [{"addresses": [{"ip": "192.0.2.1", "hostname": "a"}], "ports": [{"port": 80}]}]},
    "Pod": {"spec": POD, "status": {"phase": "Running", "podIP": "192.0.2.1", "conditions": CONDITIONS}},
    "PersistentVolume": {
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "a", "volumeHandle": "b", "nodePublishSecretRef": {"name": "a", "namespace": "b"}},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}],
                        }
                    ]
                }
            },
        },
        "status": {"phase": "Available"},
    },
    "PersistentVolumeClaim": {"spec": CLAIM, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}},
    "ConfigMap": {"data": {"a": "b"}, "binaryData": {"b": "Yg=="}, "immutable": False},
    "Secret": {
        "data": {".dockerconfigjson": "e30="},
        "stringData": {"b": "c"},
        "type": "kubernetes.io/dockerconfigjson",
    },
    "ServiceAccount": {"secrets": [{"name": "a"}], "automountServiceAccountToken": True},
    "Event": {
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
        "reason": "A",
        "message": "b",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "count": 1,
        "type": "Normal",
        "source": {"component": "a"},
        "series": {"count": 1},
        "reportingComponent": "a",
        "reportingInstance": "a",
        "action": "a",
    },
    "StatefulSet": {
        "spec": {
            "serviceName": "a",
            "replicas": 2,
            "selector": SELECTOR,
            "template": TEMPLATE,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}],
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1, "maxUnavailable": "10%"}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Delete"},
            "ordinals": {"start": 1},
            "minReadySeconds": 1,
        },
        "status": {"replicas": 1, "conditions": CONDITIONS},
    },
    "ControllerRevision": {"revision": 1, "data": {"spec": {"template": {}}}},
    "Deployment": {
        "spec": {
            "selector": SELECTOR,
            "template": TEMPLATE,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}},
        },
        "status": {"conditions": CONDITIONS},
    },
    "ReplicaSet": {"spec": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}, "status": {"replicas": 1}},
    "EndpointSlice": {
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["192.0.2.1"],
                "conditions": {"ready": True},
                "hostname": "a",
                "targetRef": {"kind": "Pod", "name": "a"},
                "hints": {"forZones": [{"name": "a"}]},
            }
        ],
        "ports": [{"name": "a", "port": 80, "protocol": "TCP"}],
    },
    "StorageClass": {
        "provisioner": "a/b",
        "parameters": {"a": "b"},
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": ["b"]}]}],
        "mountOptions": ["a"],
    },
    "PodDisruptionBudget": {
        "spec": {"minAvailable": "50%", "selector": SELECTOR},
        "status": {"conditions": CONDITIONS},
    },
    "Lease": {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 5, "renewTime": "2026-01-01T00:00:00.000000Z"}},
    "NetworkPolicy": {
        "spec": {
            "podSelector": {"matchLabels": {"a": "b"}},
            "ingress": [
                {"ports": [{"port": 80, "endPort": 90}], "from": [{"podSelector": {}, "namespaceSelector": {}}]},
                {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]},
            ],
            "egress": [{"to": []}],
        }
    },
    "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}]},
    "ClusterRole": {
        "rules": [{"nonResourceURLs": ["/a"], "verbs": ["get"]}],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    },
    "RoleBinding": {
        "roleRef": {"kind": "Role", "name": "a"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}],
    },
    "ClusterRoleBinding": {
        "roleRef": {"kind": "ClusterRole", "name": "a"},
        "subjects": [{"kind": "User", "name": "a"}],
    },
    "CustomResourceDefinition": {
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"kind": "A", "plural": "as", "shortNames": ["b"], "categories": ["all"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "a": {"type": "integer", "minimum": 1, "default": 2, "enum": [1, 2]},
                                        "b": {
                                            "type": "array",
                                            "maxItems": 3,
                                            "items": {"type": "string", "pattern": "a"},
                                        },
                                        "c": {"type": "object", "additionalProperties": {"type": "string"}},
                                    },
                                }
                            },
                        }
                    },
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a"},
                    },
                    "additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": ".spec.a"}],
                    "selectableFields": [{"jsonPath": ".spec.a"}],
                }
            ],
        }
    },
}
ORDINAL_SET: Json = {
    "spec": {
        "serviceName": "a",
        "replicas": 2,
        "selector": SELECTOR,
        "template": TEMPLATE,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}],
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1, "maxUnavailable": "10%"}},
    },
    "status": {"replicas": 1, "conditions": CONDITIONS},
}

SAMPLE: Json = {
    "spec": {
        "mode": "a",
        "size": 3,
        "host": "abc",
        "tags": ["a", "b"],
        "any": {"a": 1},
        "port": "http",
        "when": "2026-01-01T00:00:00Z",
        "formats": {name: good for name, (good, _) in FORMATS.items()},
        "int32": 1,
        "float": 1.5,
        "share": 1.0,
        "step": 5,
        "tenth": 0.5,
        "choice": "a",
        "level": 1,
        "parts": [{"name": "a", "port": 1}, {"name": "b", "port": 1}],
        "named": [{"name": "a"}],
        "numbers": [1, 2],
        "sets": {"a": ["b"]},
        "amount": "10%",
        "either": {"a": 1},
        "both": "ab",
        "some": 10,
        "other": "a",
        "perhaps": "a",
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
        "items": [{"size": 1, "tags": ["a"]}],
        "replicas": 1,
    },
    "status": {"replicas": 1, "phase": "Good", "size": 1, "selector": "a=b", "tags": ["a"]},
}
CUSTOM = {"OrdinalSet": ORDINAL_SET, "Sample": SAMPLE}

VALUES: list[Json] = [
    None, "", "x", 0, -1, 1.5, 2**40, True, [], {}, [None], ["x"], [1], [{}], [[]], {"x": None}, {"x": 1}, {"x": "y"},
    {"x": {}}, {"": ""}, "\N{SNOWMAN}", "\ud800".encode("utf-8", "replace").decode(), "a" * 300, "10%", "-1", "1e400",
]  # fmt: skip


def places(value: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all values inside *value*."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, each in inside:
        found += places(each, (*path, key))
    return found


def mutated(value: Json, rng: random.Random) -> Json:
    """Return *value* with one to three other values in it."""
    made = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        *steps, last = rng.choice(places(made))
        target = made
        for step in steps:
            target = target[step]
        if rng.random() < 0.15:
            del target[last]
        elif rng.random() < 0.15 and isinstance(target, dict):
            target["wish"] = copy.deepcopy(rng.choice(VALUES))
        else:
            target[last] = copy.deepcopy(rng.choice(VALUES))
        if not places(made):
            break
    return made


KINDS = [one.kind for one in RESOURCES] + [*CUSTOM]
ROUNDS = 120  # of eight requests for each kind


def served(kind: str) -> tuple[Api, str, Json]:
    """Return an API, the path of the object of *kind* in it, and that object without a change."""
    api = Api(rng=random.Random(1))
    for definition in (DEFINITION, SAMPLES):
        made = api.handle(request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition))
        assert isinstance(made, Answer)
        assert made.status == 201, made.body
    resource = next(one for one in api.registry if one.kind == kind)
    body = CUSTOM.get(kind) or BODIES[kind]
    name = "as.example.org" if kind == "CustomResourceDefinition" else "a"
    object = {
        "apiVersion": resource.group_version,
        "kind": kind,
        "metadata": {**copy.deepcopy(METADATA), "name": name},
        **copy.deepcopy(body),
    }
    if resource.namespaced:
        object["metadata"]["namespace"] = "default"
    if kind == "Namespace":
        api.rules.store.journal = None
    return api, resource.collection("default" if resource.namespaced else ""), object


def request(method: str, path: str, body: Json, content_type: str = "application/json") -> Request:
    return Request(method, path, {"fieldManager": "m"}, json.dumps(body).encode(), content_type, "", "test/1")


@pytest.mark.parametrize("kind", KINDS)
def test_the_objects_that_are_mutated_are_taken_as_they_are(kind: str) -> None:
    """What the mutations begin with is no object that is refused anyway."""
    api, collection, object = served(kind)
    answer = api.handle(request("POST", collection, object))
    assert isinstance(answer, Answer)
    assert answer.status == 201, answer.body


@pytest.mark.parametrize("kind", KINDS)
def test_no_object_brings_the_server_down(kind: str) -> None:
    """Whatever is sent as an object, by whatever method, is taken or refused; nothing is raised."""
    api, collection, object = served(kind)
    rng = random.Random(f"mutations of {kind}")
    api.handle(request("POST", collection, object))
    name = object["metadata"]["name"]
    place = f"{collection}/{name}"
    for number in range(ROUNDS):
        one = mutated(object, rng)
        created = copy.deepcopy(one)
        if isinstance(created.get("metadata"), dict) and created["metadata"].get("name") == name:
            created["metadata"]["name"] = name if kind == "CustomResourceDefinition" else f"a-{number}"
        part = {key: one[key] for key in rng.sample(sorted(one), 1)}
        requests = [
            request("POST", collection, created),
            request("PUT", place, one),
            request("PUT", f"{place}/status", one),
            request("PATCH", place, part, "application/merge-patch+json"),
            request("PATCH", place, part, "application/strategic-merge-patch+json"),
            request("PATCH", f"{place}/status", part, "application/merge-patch+json"),
            request("PATCH", place, one, "application/apply-patch+yaml"),
            request("PATCH", place, json_patch(object, rng), "application/json-patch+json"),
        ]
        for asked in requests:
            check(api, asked)
        api.collector.run()
        if number % 10 == 0:
            check(api, Request("DELETE", place, {}, json.dumps(mutated(DELETION, rng)).encode(), "application/json"))
            check(api, request("POST", collection, object))
        check(api, Request("GET", collection, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))


DELETION: Json = {
    "apiVersion": "v1",
    "kind": "DeleteOptions",
    "gracePeriodSeconds": 1,
    "propagationPolicy": "Foreground",
    "preconditions": {"uid": "x"},
    "dryRun": ["All"],
}


def json_patch(object: Json, rng: random.Random) -> Json:
    path = "/".join(["", *(str(step).replace("~", "~0").replace("/", "~1") for step in rng.choice(places(object)))])
    other = "/".join(["", *map(str, rng.choice(places(object)))])
    patch = [{"op": rng.choice(["add", "replace", "remove", "test"]), "path": path, "value": rng.choice(VALUES)}]
    patch.append({"op": rng.choice(["move", "copy"]), "from": other, "path": path})
    return mutated(patch, rng) if rng.random() < 0.4 else patch[: rng.choice((1, 2))]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(
            "/apis/apps/v1/namespaces/default/statefulsets/a/scale",
            {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": METADATA, "spec": {"replicas": 3}},
            id="a scale",
        ),
        pytest.param(
            "/api/v1/namespaces/default/pods/a/binding",
            {"apiVersion": "v1", "kind": "Binding", "metadata": METADATA, "target": {"kind": "Node", "name": "n"}},
            id="a binding",
        ),
        pytest.param(
            "/api/v1/namespaces/default/pods/a/eviction",
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": METADATA, "deleteOptions": DELETION},
            id="an eviction",
        ),
    ],
)
def test_no_part_of_an_object_brings_the_server_down(path: str, body: Json) -> None:
    """Whatever is sent as a scale, a binding or an eviction is taken or refused; nothing is raised."""
    rng = random.Random(f"mutations of {path}")
    for kind in ("StatefulSet", "Pod", "PodDisruptionBudget"):
        api, collection, object = served(kind)
        if kind == "PodDisruptionBudget":
            check(api, request("POST", "/api/v1/namespaces/default/pods", {**object, "kind": "Pod", **BODIES["Pod"]}))
        check(api, request("POST", collection, object))
        for _ in range(200):
            one = mutated(body, rng)
            check(api, request("POST", path, one))
            check(api, request("PUT", path, one))
            for content_type in ("application/merge-patch+json", "application/apply-patch+yaml"):
                check(api, request("PATCH", path, one, content_type))


def check(api: Api, asked: Request) -> None:
    """Send a request and look at its answer; an exception says which request it was."""
    try:
        answer = api.handle(asked)
    except Exception as error:
        error.add_note(f"{asked.method} {asked.path} {asked.content_type} {asked.body!r}")
        raise
    assert isinstance(answer, Answer)
    if answer.status >= 500:
        # The real server, too, knows no status for some refusals; these have no reason, other than what went wrong.
        assert "reason" not in json.loads(answer.body), f"{asked.method} {asked.path} {asked.body!r}: {answer.body!r}"
