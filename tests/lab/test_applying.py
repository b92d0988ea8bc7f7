"""Manifests into the embedded API, as kubectl apply does it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from headlessdns.cluster.documents import decode_raw
from headlessdns.errors import ManifestError
from headlessdns.lab import applying
from headlessdns.lab.api.http import EmbeddedApi
from headlessdns.lab.applying import Applied

SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: web
spec:
  serviceName: nginx
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx, image: nginx}]}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec:
  clusterIP: None
  selector: {app: nginx}
"""
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: toys, singular: toy, kind: Toy}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


def applied(*texts: str, api: EmbeddedApi | None = None) -> tuple[Applied, EmbeddedApi]:
    """Return what became of manifests, and where it is."""
    api = api or EmbeddedApi()
    raws, faults = decode_raw("---\n".join(texts).encode(), "m.yaml")
    assert not faults
    result = asyncio.run(applying.apply(api.client("test"), raws, api.api.registry))
    return result, api


def live(api: EmbeddedApi, path: str) -> dict[str, Any]:
    answer = asyncio.run(api.client("test").request("GET", path))
    assert answer.status == 200
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


NGINX_PATH = "/api/v1/namespaces/default/services/nginx"
WEB_PATH = "/apis/apps/v1/namespaces/default/statefulsets/web"


def test_made_as_kubectl_makes_it() -> None:
    """The annotation is the manifest in the octets of kubectl, and kubectl's name stands in managedFields."""
    text = SERVICE + 'status: {}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {b: "<&>", a: "é"}}'
    result, api = applied(text)
    assert result == Applied(["service/nginx", "configmap/c"], [], Counter())
    config = live(api, "/api/v1/namespaces/default/configmaps/c")
    assert config["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/last-applied-configuration": '{"apiVersion":"v1","data":{"a":"é",'
        '"b":"\\u003c\\u0026\\u003e"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"c","namespace":"default"}}\n'
    }
    [fields] = config["metadata"]["managedFields"]
    assert (fields["manager"], fields["operation"]) == ("kubectl-client-side-apply", "Update")


def test_own_annotations_are_kept() -> None:
    """Annotations of the manifest are there, and in what was applied; what it says of an earlier time is not."""
    name = "kubectl.kubernetes.io/last-applied-configuration"
    text = f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, annotations: {{a: b, {name}: old}}}}}}"
    _, api = applied(text)
    annotations = live(api, "/api/v1/namespaces/default/configmaps/c")["metadata"]["annotations"]
    assert annotations["a"] == "b"
    assert annotations[name] == (
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"a":"b"},"name":"c","namespace":"default"}}\n'
    )


def test_order_does_not_matter() -> None:
    """Namespaces and definitions come first, whatever the order in the files."""
    toy = "apiVersion: example.org/v1\nkind: Toy\nmetadata: {name: t, namespace: later}\n"
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: later}\n"
    result, _ = applied(toy, DEFINITION, SERVICE.replace("nginx}", "nginx, namespace: later}", 1), namespace)
    assert result.created == [
        "namespace/later",
        "customresourcedefinition/toys.example.org",
        "toy/t",
        "service/nginx",
    ]


def test_unknown_kinds_are_counted() -> None:
    """Kinds that the lab does not serve are skipped and counted, the rest is applied."""
    jobs = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\n"
    foreign = "apiVersion: acme.example/v1\nkind: Service\nmetadata: {name: a}\n"
    result, _ = applied(jobs, SERVICE, jobs, foreign)
    assert result == Applied(["service/nginx"], [], Counter(CronJob=2, Service=1))


def test_again_is_configured_and_what_was_taken_out_goes() -> None:
    """A manifest that is applied to a lab that has it changes what it changed, removes what it dropped, and no more."""
    _, api = applied(SERVICE.replace("name: nginx}", "name: nginx, labels: {a: b, c: d}}", 1))
    body = {"metadata": {"labels": {"mine": "too"}}}
    patched = api.client("kubectl-label").request(
        "PATCH", NGINX_PATH, body, content_type="application/merge-patch+json", query={"fieldManager": "kubectl-label"}
    )
    assert asyncio.run(patched).status == 200
    result, _ = applied(SERVICE.replace("name: nginx}", "name: nginx, labels: {a: x}}", 1), api=api)
    assert result == Applied([], ["service/nginx"], Counter())
    assert live(api, NGINX_PATH)["metadata"]["labels"] == {"a": "x", "mine": "too"}


def test_again_and_again() -> None:
    """The same manifest, applied three times, is the same object, and has one entry of ours."""
    _, api = applied(SET)
    before = live(api, WEB_PATH)
    for _ in range(2):
        applied(SET, api=api)
    after = live(api, WEB_PATH)
    assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], 1)
    assert [one["manager"] for one in after["metadata"]["managedFields"]] == ["kubectl-client-side-apply"]


FAULTS: dict[str, tuple[str, str]] = {
    "a version of before": (
        SET.replace("apps/v1", "apps/v1beta1"),
        "m.yaml:1: document 1: apiVersion: found apps/v1beta1; expected apps/v1; write `apiVersion: apps/v1`",
    ),
    "a kind in other letters": (
        SET.replace("kind: StatefulSet", "kind: Statefulset"),
        "m.yaml:2: document 1: kind: found Statefulset; expected StatefulSet; write `kind: StatefulSet`",
    ),
    "a kind that has moved": (
        "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a}",
        "m.yaml:1: document 1: apiVersion: found extensions/v1beta1; expected apps/v1; write `apiVersion: apps/v1`",
    ),
    "an unknown field": (
        SET.replace("serviceName", "servicename"),
        "m.yaml:6: document 1: spec.servicename: found an unknown field; expected a field of a StatefulSet; "
        "correct its name, or take it out; see: kubectl explain statefulset --recursive",
    ),
    "a wrong type": (
        SET.replace("  serviceName: nginx", "  replicas: two"),
        'm.yaml:6: document 1: spec.replicas: found the value "two"; expected a whole number; correct it',
    ),
    "a wrong value": (
        SET.replace("name: web", "name: We_b"),
        "m.yaml:4: document 1: metadata.name: found Invalid value",
    ),
    "an unknown namespace": (
        SERVICE.replace("nginx}", "nginx, namespace: nowhere}", 1),
        "m.yaml:3: document 1: metadata.namespace: found nowhere; expected a namespace that is there; "
        "correct it, or add a Namespace to the manifests",
    ),
    "no metadata": (
        "apiVersion: v1\nkind: Service\n",
        "m.yaml:1: document 1: metadata: found nothing; expected a mapping with the object's name; write it",
    ),
    "metadata that are a list": (
        "apiVersion: v1\nkind: Service\nmetadata: []\n",
        "m.yaml:3: document 1: metadata: found something else; expected a mapping with the object's name; write it",
    ),
    "no name": (
        "apiVersion: v1\nkind: Service\nmetadata: {}\n",
        "m.yaml:3: document 1: metadata.name: found nothing; expected the object's name; write it",
    ),
    "a name that is a number": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n",
        "m.yaml:3: document 1: metadata.name: found the number 5; expected the object's name; put it in quotes",
    ),
    "annotations that are a list": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: [b]}\n",
        'm.yaml:3: document 1: metadata.annotations: found the value ["b"]; expected an object; correct it',
    ),
    "no quantity, deep within": (
        SET.replace("image: nginx}]", "image: nginx,\n      resources: {limits: {memory: 1GB}}}]"),
        "m.yaml:11: document 1: spec.template.spec.containers[0].resources.limits.memory: "
        'found the value "1GB"; expected a quantity, such as 500m, 2 or 1Gi; correct it',
    ),
    "a namespace that is a number": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: 7}\n",
        "m.yaml:3: document 1: metadata.namespace: found the number 7; expected text; put it in quotes",
    ),
}


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_fault(text: str, expected: str) -> None:
    """A fault has its line and field, what was found, what was expected, and what to do."""
    with pytest.raises(ManifestError) as caught:
        applied(text)
    assert str(caught.value).startswith(expected)


def test_every_fault_at_once() -> None:
    """All faults of all objects are told together, and several of one object each at its own line."""
    twice_wrong = SET.replace("serviceName", "servicename").replace("image: nginx", "imag: nginx")
    with pytest.raises(ManifestError) as caught:
        applied(SET.replace("name: web", "name: We_b"), SERVICE, twice_wrong)
    assert [str(fault).partition(": found")[0] for fault in caught.value.faults] == [
        "m.yaml:4: document 1: metadata.name",
        "m.yaml:24: document 3: spec.servicename",
        "m.yaml:28: document 3: spec.template.spec.containers[0].imag",
    ]


def test_fields_that_cannot_change() -> None:
    """What a kept object refuses is a fault like any other."""
    _, api = applied(SET)
    with pytest.raises(ManifestError, match=r"^m.yaml:\d+: document 1: spec: found Forbidden: updates to statefulset"):
        applied(SET.replace("serviceName: nginx", "serviceName: other"), api=api)
