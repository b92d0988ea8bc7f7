"""What is remembered of containers that came before says nothing about what is different this time."""

from __future__ import annotations

import json
from typing import Any

from headlessdns.lab.api.messages import Answer, Request
from headlessdns.lab.api.server import Api

PODS = "/api/v1/namespaces/default/pods"


def create(api: Api, name: str, container: dict[str, Any], volumes: list[str]) -> tuple[int, dict[str, Any]]:
    spec = {"containers": [container], "volumes": [{"name": each, "emptyDir": {}} for each in volumes]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    answer = api.handle(Request("POST", PODS, {}, json.dumps(pod).encode(), "application/json", "", "test/1"))
    assert isinstance(answer, Answer)
    return answer.status, json.loads(answer.body)


def test_a_mount_needs_its_volume_in_every_pod() -> None:
    """Containers that were good beside one volume are refused without it."""
    api = Api()
    container = {"name": "main", "image": "web:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    assert create(api, "web-0", container, ["data"])[0] == 201
    status, refusal = create(api, "web-1", container, ["other"])
    assert status == 422
    assert refusal["message"] == ('Pod "web-1" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "data"')


def test_equal_containers_of_two_pods_have_managers_of_their_own() -> None:
    """Two pods of equal containers have the same owned fields, and a change of one pod leaves those of the other."""
    api = Api()
    container = {"name": "main", "image": "web:1"}
    owned = {
        'k:{"name":"main"}': {
            ".": {},
            "f:image": {},
            "f:imagePullPolicy": {},
            "f:name": {},
            "f:resources": {},
            "f:terminationMessagePath": {},
            "f:terminationMessagePolicy": {},
        }
    }
    first, second = (create(api, name, container, [])[1] for name in ("web-0", "web-1"))
    assert first["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"] == owned
    change = b'{"spec":{"containers":[{"name":"main","image":"web:2"}]}}'
    kind = "application/strategic-merge-patch+json"
    changed = api.handle(Request("PATCH", f"{PODS}/web-0", {}, change, kind, "", "other/1"))
    assert isinstance(changed, Answer)
    assert changed.status == 200
    third = create(api, "web-2", container, [])[1]
    for pod in (second, third):
        assert pod["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"] == owned


def test_null_among_the_arguments_is_empty_text_each_time() -> None:
    """Null in a list of texts becomes empty text, in containers that came before as well."""
    api = Api()
    container = {"name": "main", "image": "web:1", "args": ["-a", None]}
    for name in ("web-0", "web-1"):
        status, pod = create(api, name, container, [])
        assert status == 201
        assert pod["spec"]["containers"][0]["args"] == ["-a", ""]
