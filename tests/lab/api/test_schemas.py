"""OpenAPI: schemas out of the models, extensions that merging needs, paths that kubectl looks for."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.api.kinds import RESOURCES, Resource
from headlessdns.lab.api.schemas import OpenApi, built_in_schemas, custom_name

Json = dict[str, Any]
SCALED = frozenset({"status", "scale"})
SET = Resource("headlessdns.io", "v1alpha1", "OrdinalSet", "ordinalsets", "ordinalset", subresources=SCALED)
SCHEMA: Json = {"type": "object", "properties": {"spec": {"type": "object"}, "metadata": {"type": "object"}}}
KEY = (SET.group, SET.version, SET.kind)
CORE, APPS, META = "io.k8s.api.core.v1.", "io.k8s.api.apps.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."


@pytest.fixture(scope="module")
def api() -> OpenApi:
    return OpenApi([*RESOURCES, SET], {KEY: SCHEMA}, "v1.36.3")


def reference(name: str) -> Json:
    return {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}


def field(name: str) -> Json:
    """The schema of ``Type.field`` without its description."""
    owner, _, last = name.rpartition(".")
    return {key: value for key, value in built_in_schemas()[owner]["properties"][last].items() if key != "description"}


@pytest.mark.parametrize("resource", RESOURCES, ids=[r.qualified for r in RESOURCES])
def test_every_kind_has_a_schema(api: OpenApi, resource: Resource) -> None:
    """The document of each kind has one schema of it, with a description and fields."""
    place = f"apis/{resource.group_version}" if resource.group else "api/v1"
    document = api.document(place)
    assert document
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schemas = document["components"]["schemas"].values()
    (found,) = [each for each in schemas if kind in each.get("x-kubernetes-group-version-kind", [])]
    assert found["description"]
    assert {"apiVersion", "kind", "metadata"} <= found["properties"].keys()


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        (f"{APPS}StatefulSetSpec.replicas", {"type": "integer"}),
        (f"{APPS}StatefulSetSpec.template", reference(f"{CORE}PodTemplateSpec")),
        (f"{APPS}StatefulSetSpec.selector", reference(f"{META}LabelSelector")),
        (f"{CORE}ServicePort.targetPort", reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString")),
        (f"{CORE}ServicePort.port", {"type": "integer"}),
        (
            f"{CORE}ResourceRequirements.limits",
            {"type": "object", "additionalProperties": reference("io.k8s.apimachinery.pkg.api.resource.Quantity")},
        ),
        (f"{CORE}PersistentVolumeClaimSpec.accessModes", {"type": "array", "items": {"type": "string"}}
         | {"x-kubernetes-list-type": "atomic"}),
        (f"{META}ObjectMeta.labels", {"type": "object", "additionalProperties": {"type": "string"}}),
        (f"{META}ObjectMeta.creationTimestamp", reference(f"{META}Time")),
        ("io.k8s.api.coordination.v1.LeaseSpec.renewTime", reference(f"{META}MicroTime")),
        (
            f"{CORE}PodSpec.containers",
            {
                "type": "array",
                "items": reference(f"{CORE}Container"),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-patch-merge-key": "name",
                "x-kubernetes-patch-strategy": "merge",
            },
        ),
        (
            f"{CORE}ServiceSpec.ports",
            {
                "type": "array",
                "items": reference(f"{CORE}ServicePort"),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "x-kubernetes-patch-merge-key": "port",
                "x-kubernetes-patch-strategy": "merge",
            },
        ),
        (
            f"{META}ObjectMeta.finalizers",
            {
                "type": "array",
                "items": {"type": "string"},
                "x-kubernetes-list-type": "set",
                "x-kubernetes-patch-strategy": "merge",
            },
        ),
        (
            "io.k8s.api.policy.v1.PodDisruptionBudgetSpec.selector",
            reference(f"{META}LabelSelector") | {"x-kubernetes-patch-strategy": "replace"},
        ),
    ],
)  # fmt: skip
def test_field(name: str, schema: Json) -> None:
    """A field has its type, and how its values come together."""
    assert field(name) == schema


def test_required() -> None:
    """Fields that must be there are named."""
    assert built_in_schemas()[f"{CORE}ServicePort"]["required"] == ["port"]


@pytest.mark.parametrize(
    "place", ["api/v1", "apis/apps/v1", "apis/discovery.k8s.io/v1", "apis/headlessdns.io/v1alpha1"]
)
def test_documents_are_closed(api: OpenApi, place: str) -> None:
    """Every reference in a document leads to a schema of that document."""
    document = api.document(place)
    assert document
    schemas = document["components"]["schemas"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}
    assert f"{META}ObjectMeta" in schemas


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for item in value for found in references(item)}
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own | {found for item in value.values() for found in references(item)}
    return set()


def test_custom_schema(api: OpenApi) -> None:
    """A custom resource has the schema of its definition, with the metadata that every object has."""
    assert custom_name(SET) == "io.headlessdns.v1alpha1.OrdinalSet"
    document = api.document("apis/headlessdns.io/v1alpha1")
    assert document
    schema = document["components"]["schemas"]["io.headlessdns.v1alpha1.OrdinalSet"]
    assert schema["properties"]["spec"] == {"type": "object"}
    assert schema["properties"]["metadata"]["allOf"] == reference(f"{META}ObjectMeta")["allOf"]
    assert schema["x-kubernetes-group-version-kind"] == [
        {"group": "headlessdns.io", "version": "v1alpha1", "kind": "OrdinalSet"}
    ]
    assert SCHEMA["properties"]["metadata"] == {"type": "object"}


ONE = "/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"
CUSTOM = "/apis/headlessdns.io/v1alpha1/namespaces/{namespace}/ordinalsets/{name}"


def operation(api: OpenApi, path: str, method: str) -> Json:
    document = api.document("/".join(path.split("/")[1:4]))
    assert document
    found: Json = document["paths"][path][method]
    return found


@pytest.mark.parametrize(
    ("path", "method", "action", "parameters"),
    [
        (ONE, "patch", "patch", ["dryRun", "fieldManager", "fieldValidation", "force"]),
        (ONE, "put", "put", ["dryRun", "fieldManager", "fieldValidation"]),
        (ONE.removesuffix("/{name}"), "post", "post", ["dryRun", "fieldManager", "fieldValidation"]),
        (ONE, "delete", "delete", ["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
        (f"{ONE}/status", "patch", "patch", ["dryRun", "fieldManager", "fieldValidation", "force"]),
        (CUSTOM, "patch", "patch", ["dryRun", "fieldManager", "fieldValidation", "force"]),
    ],
)
def test_write_parameters(api: OpenApi, path: str, method: str, action: str, parameters: list[str]) -> None:
    """Writes name the parameters that kubectl looks for, and the kind that they are about."""
    found = operation(api, path, method)
    assert found["x-kubernetes-action"] == action
    assert found["x-kubernetes-group-version-kind"]["kind"] == ("OrdinalSet" if path == CUSTOM else "StatefulSet")
    assert [each["name"] for each in found["parameters"]] == parameters
    assert {each["in"] for each in found["parameters"]} == {"query"}


def test_scale_is_another_kind(api: OpenApi) -> None:
    """The operations of a scale are about Scale, so that nobody takes them for those of the set."""
    found = operation(api, f"{ONE}/scale", "patch")
    assert found["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_kinds_of_patches(api: OpenApi) -> None:
    """Built-in kinds take a strategic merge patch, custom ones do not."""
    others = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
    assert [*operation(api, ONE, "patch")["requestBody"]["content"]] == [
        *others,
        "application/strategic-merge-patch+json",
    ]
    assert [*operation(api, CUSTOM, "patch")["requestBody"]["content"]] == others


def test_index(api: OpenApi) -> None:
    """The index has each group and version with a hash of its own."""
    paths = api.index()["paths"]
    assert sorted(paths) == [
        "api/v1",
        "apis/apiextensions.k8s.io/v1",
        "apis/apps/v1",
        "apis/coordination.k8s.io/v1",
        "apis/discovery.k8s.io/v1",
        "apis/headlessdns.io/v1alpha1",
        "apis/networking.k8s.io/v1",
        "apis/policy/v1",
        "apis/rbac.authorization.k8s.io/v1",
        "apis/storage.k8s.io/v1",
    ]
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert len({url["serverRelativeURL"].partition("hash=")[2] for url in paths.values()}) == len(paths)


def test_hash_follows_the_schema(api: OpenApi) -> None:
    """A changed definition changes the hash of its document and of no other; an equal one changes none."""
    changed = OpenApi([*RESOURCES, SET], {KEY: {"type": "object"}}, "v1.36.3")
    same = OpenApi([*RESOURCES, SET], {KEY: dict(SCHEMA)}, "v1.36.3")
    place = "apis/headlessdns.io/v1alpha1"
    assert changed.hash(place) != api.hash(place)
    assert same.hash(place) == api.hash(place)
    assert changed.hash("apis/apps/v1") == api.hash("apis/apps/v1")


def test_nowhere(api: OpenApi) -> None:
    """What is not served has no document."""
    assert api.document("apis/batch/v1") is None


def test_only_what_can_be_done_has_a_path() -> None:
    """A kind that can only be created has one path with one method, and namespaces are not deleted together."""
    review = Resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "reviews", "review", namespaced=False)
    document = OpenApi([review], {}, "v1.36.3").document("apis/authorization.k8s.io/v1")
    assert document
    assert {path: list(methods) for path, methods in document["paths"].items()} == {
        "/apis/authorization.k8s.io/v1/reviews": ["post"]
    }
    core = OpenApi(RESOURCES, {}, "v1.36.3").document("api/v1")
    assert core
    assert list(core["paths"]["/api/v1/namespaces"]) == ["get", "post"]


def test_unknown_kind_has_an_open_schema() -> None:
    """A resource without a model or a definition is an object of which nothing is said."""
    review = Resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "x")
    document = OpenApi([review], {}, "v1.36.3").document("apis/authorization.k8s.io/v1")
    assert document
    (schema,) = document["components"]["schemas"].values()
    assert schema["type"] == "object"
