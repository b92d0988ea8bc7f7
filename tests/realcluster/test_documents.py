"""Discovery and OpenAPI of the embedded API beside those of the real kube-apiserver."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from headlessdns.lab.api import discovery, schemas
from headlessdns.lab.api.kinds import RESOURCES
from tests.realcluster.cluster import RealCluster

Json = dict[str, Any]
GROUPS = sorted({resource.group for resource in RESOURCES})
PLACES = [f"apis/{group}/v1" if group else "api/v1" for group in GROUPS]
Ask = Callable[..., Json]

# Stored otherwise than served; no client of ours compares it.
OTHER_HASH = {"customresourcedefinitions"}

# Of lists that kubectl never merges: set by the kubelet or the server, or part of a schema.
OTHER_LISTS = {
    "ContainerRestartRuleOnExitCodes.values",
    "CustomResourceDefinitionStatus.conditions",
    "JSONSchemaProps.x-kubernetes-validations",
    "NodeAllocatableResourceClaimStatus.containers",
    "ResourceStatus.resources",
}
MERGING = (
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
)
# An empty object, which the models write without a type of its own.
OTHER_TYPES = {"CustomResourceSubresources.status"}


@pytest.fixture
def ask(real_cluster: RealCluster) -> Ask:
    def get(path: str, accept: str = "application/json") -> Json:
        headers = {"Authorization": f"Bearer {real_cluster.token}", "Accept": accept}
        with urllib3.PoolManager(ca_certs=str(real_cluster.ca_file), retries=False) as http:
            answer = http.request("GET", real_cluster.server + path, headers=headers, timeout=20)
        assert answer.status == 200, answer.data
        found: Json = json.loads(answer.data)
        return found

    return get


def without(key: str, one: Json) -> Json:
    return {name: value for name, value in one.items() if name != key}


def test_resource_lists(ask: Ask) -> None:
    """What is said of each resource and subresource is what kube-apiserver says of it."""
    documents = discovery.documents(RESOURCES, {})
    for place in PLACES:
        theirs, ours = ask(f"/{place}"), documents.plain[f"/{place}"]
        assert without("resources", ours) == without("resources", theirs)
        known = {each["name"]: each for each in theirs["resources"]}
        for each in ours["resources"]:
            skipped = "storageVersionHash" if each["name"] in OTHER_HASH else ""
            assert without(skipped, each) == without(skipped, known[each["name"]])
    theirs, ours = ask("/apis/apps"), documents.plain["/apis/apps"]
    assert ours == theirs


def test_aggregated_discovery(ask: Ask) -> None:
    """The aggregated form says of each resource what kube-apiserver says, but for subresources that are not served."""
    documents = discovery.documents(RESOURCES, {})
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    for path in ("/api", "/apis"):
        answer = documents.answer(path, accept)
        assert answer
        theirs, ours = ask(path, accept), answer[1]
        assert without("items", ours) == without("items", theirs)
        known = {group["metadata"].get("name"): group["versions"] for group in theirs["items"]}
        for group in ours["items"]:
            (mine,) = group["versions"]
            (yours,) = [each for each in known[group["metadata"].get("name")] if each["version"] == "v1"]
            assert mine["freshness"] == yours["freshness"]
            by_name = {each["resource"]: each for each in yours["resources"]}
            for each in mine["resources"]:
                assert each == only_served(by_name[each["resource"]])


def only_served(one: Json) -> Json:
    subresources = [each for each in one.get("subresources", []) if each["subresource"] in discovery.SUBRESOURCES]
    return without("subresources", one) | ({"subresources": subresources} if subresources else {})


def shape(schema: Json) -> Any:
    """The type of a field: what it refers to, its items, its values."""
    if "allOf" in schema or "$ref" in schema:
        return (schema.get("allOf") or [schema])[0]["$ref"]
    if "items" in schema:
        return ["list of", shape(schema["items"])]
    if "additionalProperties" in schema:
        return ["map of", shape(schema["additionalProperties"])]
    return schema.get("type")


def test_schemas(ask: Ask) -> None:
    """Types that both know have their fields' types and merging alike, and each served kind has all its fields."""
    ours = schemas.built_in_schemas()
    fields = 0
    for place in PLACES:
        theirs = ask(f"/openapi/v3/{place}")["components"]["schemas"]
        for name in ours.keys() & theirs.keys():
            mine, yours = ours[name].get("properties", {}), theirs[name].get("properties", {})
            for field in mine.keys() & yours.keys():
                owned = f"{name.rpartition('.')[2]}.{field}"
                if owned not in OTHER_TYPES:
                    assert (owned, shape(mine[field])) == (owned, shape(yours[field]))
                if owned not in OTHER_LISTS:
                    assert [owned, *map(mine[field].get, MERGING)] == [owned, *map(yours[field].get, MERGING)]
                fields += 1
        for resource in RESOURCES:
            if place in {f"apis/{resource.group_version}", f"api/{resource.group_version}"}:
                name = f"{schemas.package(resource.group)}{resource.kind}"
                kind = "x-kubernetes-group-version-kind"
                assert ours[name][kind] == theirs[name][kind]
                assert ours[name]["properties"].keys() == theirs[name]["properties"].keys()
    assert fields > 1000


def test_paths(ask: Ask) -> None:
    """Each path and method has the action and the kind that kube-apiserver gives it, and parameters that it knows."""
    api = schemas.OpenApi(RESOURCES, {}, "v1.36.3")
    for place in PLACES:
        theirs, document = ask(f"/openapi/v3/{place}")["paths"], api.document(place)
        assert document
        for path, methods in document["paths"].items():
            for method, mine in methods.items():
                if method == "parameters":
                    continue
                yours = theirs[path][method]
                where = f"{method} {path}"
                for key in ("x-kubernetes-action", "x-kubernetes-group-version-kind"):
                    assert (where, mine[key]) == (where, yours[key])
                known = {each["name"] for each in yours.get("parameters", []) + theirs[path].get("parameters", [])}
                assert (where, {each["name"] for each in mine.get("parameters", [])} - known) == (where, set())
