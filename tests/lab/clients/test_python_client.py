"""The `kubernetes` Python client, typed and dynamic, in front of the lab."""

# The client takes dicts for models, has fields that may be None, and parts without types: that is as its users write.
# mypy: disable-error-code="no-untyped-call, union-attr, arg-type, operator, index"

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch

from tests.lab.clients.conftest import SET
from tests.lab.clients.running import RunningLab

NAMESPACE = "default"
GROUP = "example.com"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rings.example.com"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "rings", "singular": "ring", "kind": "Ring", "listKind": "RingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer", "minimum": 1, "default": 3}},
                            },
                            "status": {"type": "object", "properties": {"ready": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def api_client(lab: RunningLab) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(lab.kubeconfig)) as made:
        yield made


@pytest.fixture
def core(api_client: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api_client)


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"set": name[0]}), data=data)


def test_typed_objects(core: client.CoreV1Api) -> None:
    """Objects are created, read, listed, replaced, patched and deleted as typed models."""
    created = core.create_namespaced_config_map(NAMESPACE, config_map("a", x="1"))
    assert (created.metadata.name, created.data) == ("a", {"x": "1"})
    assert created.metadata.creation_timestamp.tzinfo is not None
    read = core.read_namespaced_config_map("a", NAMESPACE)
    read.data["y"] = "2"
    replaced = core.replace_namespaced_config_map("a", NAMESPACE, read)
    assert replaced.data == {"x": "1", "y": "2"}
    assert int(replaced.metadata.resource_version) > int(created.metadata.resource_version)
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"x": None}})
    assert patched.data == {"y": "2"}
    assert [one.metadata.name for one in core.list_namespaced_config_map(NAMESPACE, label_selector="set=a").items] == [
        "a"
    ]
    deleted: Any = core.delete_namespaced_config_map("a", NAMESPACE)
    assert (deleted["kind"], deleted["status"]) == ("Status", "Success")
    with pytest.raises(client.ApiException) as gone:
        core.read_namespaced_config_map("a", NAMESPACE)
    assert (gone.value.status, gone.value.reason) == (404, "Not Found")


def test_a_stale_replace(core: client.CoreV1Api) -> None:
    """A replace of what has changed meanwhile is a conflict."""
    stale = core.create_namespaced_config_map(NAMESPACE, config_map("stale", x="1"))
    core.patch_namespaced_config_map("stale", NAMESPACE, {"data": {"x": "2"}})
    with pytest.raises(client.ApiException) as refused:
        core.replace_namespaced_config_map("stale", NAMESPACE, stale)
    assert refused.value.status == 409
    assert core.read_namespaced_config_map("stale", NAMESPACE).data == {"x": "2"}


def test_pages(core: client.CoreV1Api) -> None:
    """A long list comes in pages, whose rest is counted."""
    for number in range(5):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number}"))
    first = core.list_namespaced_config_map(NAMESPACE, limit=2, field_selector="metadata.namespace=default")
    names = [one.metadata.name for one in first.items]
    token = first.metadata._continue
    assert len(names) == 2
    while token:
        page = core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=token)
        names += [one.metadata.name for one in page.items]
        token = page.metadata._continue
    assert [name for name in names if name.startswith("page-")] == [f"page-{number}" for number in range(5)]


def test_a_stateful_set(api_client: client.ApiClient, core: client.CoreV1Api) -> None:
    """A typed set comes up, is scaled by its subresource, and is deleted in the foreground."""
    apps = client.AppsV1Api(api_client)
    utils.create_from_dict(api_client, {"apiVersion": "apps/v1", "kind": "StatefulSet", **SET}, namespace=NAMESPACE)
    ready = watch.Watch()
    for event in ready.stream(
        apps.list_namespaced_stateful_set, NAMESPACE, field_selector="metadata.name=web", timeout_seconds=20
    ):
        if event["object"].status.ready_replicas == 2:
            ready.stop()
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=nginx").items
    assert [(pod.metadata.name, pod.status.phase) for pod in pods] == [("web-0", "Running"), ("web-1", "Running")]
    scale = apps.patch_namespaced_stateful_set_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
    assert (scale.kind, scale.spec.replicas) == ("Scale", 1)
    assert apps.read_namespaced_stateful_set("web", NAMESPACE).spec.replicas == 1
    following = watch.Watch()
    deleted = []
    apps.delete_namespaced_stateful_set("web", NAMESPACE, propagation_policy="Foreground")
    for event in following.stream(core.list_namespaced_pod, NAMESPACE, label_selector="app=nginx", timeout_seconds=20):
        if event["type"] == "DELETED":
            deleted.append(event["object"].metadata.name)
        if {"web-0", "web-1"} <= set(deleted) or not core.list_namespaced_pod(NAMESPACE).items:
            following.stop()
    assert core.list_namespaced_pod(NAMESPACE).items == []


def test_watch(core: client.CoreV1Api) -> None:
    """A watch from a version on says what is added, modified and deleted, and ends in its time."""
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    seen: list[tuple[str, str]] = []

    def change() -> None:
        core.create_namespaced_config_map(NAMESPACE, config_map("watched", x="1"))
        core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"x": "2"}})
        core.delete_namespaced_config_map("watched", NAMESPACE)

    changing = threading.Thread(target=change)
    changing.start()
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=10
    )
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    changing.join()
    assert seen == [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")]
    assert list(watch.Watch().stream(core.list_namespaced_secret, NAMESPACE, timeout_seconds=1)) == []


def test_a_watch_from_too_far_back(core: client.CoreV1Api, lab: RunningLab) -> None:
    """A watch from before what is remembered is 410, and the client says so."""
    lab.api.store.compact(lab.api.store.version)
    with pytest.raises(client.ApiException) as expired:
        list(watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version="1", timeout_seconds=2))
    assert expired.value.status == 410


def test_custom_resources(api_client: client.ApiClient) -> None:
    """A definition is served as soon as it is established: with its defaults, its validation and its status."""
    definitions = client.ApiextensionsV1Api(api_client)
    definitions.create_custom_resource_definition(CRD)
    stream = watch.Watch()
    for event in stream.stream(definitions.list_custom_resource_definition, timeout_seconds=10):
        conditions = event["object"].status.conditions or []
        if any(one.type == "Established" and one.status == "True" for one in conditions):
            stream.stop()
    custom = client.CustomObjectsApi(api_client)
    ring = {"apiVersion": f"{GROUP}/v1", "kind": "Ring", "metadata": {"name": "r"}, "spec": {}}
    created: Any = custom.create_namespaced_custom_object(GROUP, "v1", NAMESPACE, "rings", ring)
    assert (created["spec"], created["metadata"]["generation"]) == ({"size": 3}, 1)
    wrong = {**ring, "metadata": {"name": "wrong"}, "spec": {"size": 0}}
    with pytest.raises(client.ApiException) as refused:
        custom.create_namespaced_custom_object(GROUP, "v1", NAMESPACE, "rings", wrong)
    assert refused.value.status == 422
    assert "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1" in refused.value.body
    status: Any = custom.patch_namespaced_custom_object_status(
        GROUP, "v1", NAMESPACE, "rings", "r", {"status": {"ready": 1}, "spec": {"size": 9}}
    )
    assert (status["status"], status["spec"]) == ({"ready": 1}, {"size": 3})
    definitions.delete_custom_resource_definition("rings.example.com")


def test_dynamic(api_client: client.ApiClient) -> None:
    """The dynamic client discovers kinds, applies at the server, and watches."""
    found = dynamic.DynamicClient(api_client)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"x": "1"}}
    applied = maps.server_side_apply(body=body, name="dynamic", namespace=NAMESPACE, field_manager="test")
    assert applied.data.x == "1"
    assert applied.metadata.managedFields[0].manager == "test"
    assert maps.get(name="dynamic", namespace=NAMESPACE).data.to_dict() == {"x": "1"}
    events = maps.watch(namespace=NAMESPACE, name="dynamic", timeout=5)
    assert next(iter(events))["object"].metadata.name == "dynamic"
    maps.delete(name="dynamic", namespace=NAMESPACE)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        maps.get(name="dynamic", namespace=NAMESPACE)
    sets = found.resources.get(api_version="apps/v1", kind="StatefulSet")
    assert (sets.namespaced, sorted(sets.subresources)) == (True, ["scale", "status"])


def test_the_log_of_a_pod(core: client.CoreV1Api) -> None:
    """What needs a container is refused with the line that kubectl shows."""
    core.create_namespaced_pod(
        NAMESPACE, {"metadata": {"name": "box"}, "spec": {"containers": [{"name": "box", "image": "busybox"}]}}
    )
    with pytest.raises(client.ApiException) as refused:
        core.read_namespaced_pod_log("box", NAMESPACE)
    assert refused.value.status == 400
    assert "pod box is of a lab and runs nothing" in refused.value.body
