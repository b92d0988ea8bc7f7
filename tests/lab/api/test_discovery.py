"""Discovery: what is said of the resources. That kube-apiserver says the same is tested beside it."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.api.discovery import SUBRESOURCES, Documents, documents
from headlessdns.lab.api.kinds import RESOURCES, Resource

Json = dict[str, Any]
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
SCALED = frozenset({"status", "scale"})
SETS = [
    Resource("headlessdns.io", version, "OrdinalSet", "ordinalsets", "ordinalset", ("os",), subresources=SCALED)
    for version in ("v1alpha1", "v2", "v1beta1", "v1", "v1alpha2", "next")
]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
EVERY_VERB = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@pytest.fixture(scope="module")
def served() -> Documents:
    return documents([*RESOURCES, *SETS], VERSION)


def one(found: Documents, path: str, name: str) -> Json:
    resource: Json
    (resource,) = [each for each in found.plain[path]["resources"] if each["name"] == name]
    return resource


def test_paths(served: Documents) -> None:
    """There is a document for the version, the core, the groups, and each group and version."""
    groups = [
        "apiextensions.k8s.io",
        "apps",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "networking.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
    ]
    versions = ["next", "v1", "v1alpha1", "v1alpha2", "v1beta1", "v2"]
    assert sorted(served.plain) == sorted(
        [
            "/version",
            "/api",
            "/api/v1",
            "/apis",
            *(f"/apis/{group}{version}" for group in groups for version in ("", "/v1")),
            "/apis/headlessdns.io",
            *(f"/apis/headlessdns.io/{version}" for version in versions),
        ]
    )
    assert served.plain["/version"] == VERSION
    assert served.plain["/api"] == {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def test_preferred_version(served: Documents) -> None:
    """Stable versions come before beta, beta before alpha, newer before older, odd names last."""
    group = served.plain["/apis/headlessdns.io"]
    assert [each["version"] for each in group["versions"]] == ["v2", "v1", "v1beta1", "v1alpha2", "v1alpha1", "next"]
    assert group["preferredVersion"] == {"groupVersion": "headlessdns.io/v2", "version": "v2"}
    aggregated = served.aggregated["/apis"][-1]
    assert aggregated["metadata"] == {"name": "headlessdns.io"}
    assert aggregated["versions"][0]["version"] == "v2"


def test_resource(served: Documents) -> None:
    """A resource has its names, verbs and the digest of what is stored; what it lacks is left out."""
    assert one(served, "/apis/apps/v1", "statefulsets") == {
        "name": "statefulsets",
        "singularName": "statefulset",
        "namespaced": True,
        "kind": "StatefulSet",
        "verbs": EVERY_VERB,
        "shortNames": ["sts"],
        "categories": ["all"],
        "storageVersionHash": "H+vl74LkKdo=",
    }
    assert one(served, "/apis/apps/v1", "controllerrevisions").keys().isdisjoint({"shortNames", "categories"})


@pytest.mark.parametrize(
    ("path", "name", "wanted"),
    [
        ("/apis/apps/v1", "statefulsets/scale", {"group": "autoscaling", "version": "v1", "kind": "Scale"}),
        ("/apis/headlessdns.io/v1", "ordinalsets/scale", {"group": "autoscaling", "version": "v1", "kind": "Scale"}),
        ("/apis/apps/v1", "statefulsets/status", {"kind": "StatefulSet", "verbs": ["get", "patch", "update"]}),
        ("/api/v1", "pods/binding", {"kind": "Binding", "verbs": ["create"]}),
        ("/api/v1", "pods/eviction", {"group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]}),
        ("/api/v1", "namespaces/status", {"namespaced": False, "singularName": ""}),
    ],
)
def test_subresource(served: Documents, path: str, name: str, wanted: Json) -> None:
    """A subresource has the kind that it takes."""
    assert wanted.items() <= one(served, path, name).items()


def test_order(served: Documents) -> None:
    """Groups come as they are given, those of definitions last; resources of a group by name."""
    assert [group["name"] for group in served.plain["/apis"]["groups"]] == [
        "apps",
        "discovery.k8s.io",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "policy",
        "coordination.k8s.io",
        "apiextensions.k8s.io",
        "headlessdns.io",
    ]
    assert [each["name"] for each in served.plain["/apis/apps/v1"]["resources"] if "/" not in each["name"]] == [
        "controllerrevisions",
        "deployments",
        "replicasets",
        "statefulsets",
    ]


def test_namespaces_are_deleted_one_by_one(served: Documents) -> None:
    """Namespaces cannot be deleted as a collection."""
    assert "deletecollection" not in one(served, "/api/v1", "namespaces")["verbs"]


def test_every_subresource_is_known() -> None:
    """Whatever subresource a kind has, discovery can describe."""
    assert {name for resource in RESOURCES for name in resource.subresources} == set(SUBRESOURCES)


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        pytest.param(AGGREGATED.format("v2"), "v2", id="kubectl 1.30 and later"),
        pytest.param(f"{AGGREGATED.format('v2beta1')},application/json", "v2beta1", id="kubectl 1.29"),
        pytest.param(f"{AGGREGATED.format('v9')},{AGGREGATED.format('v2')}", "v2", id="the first one that is known"),
        pytest.param("application/json; as=APIGroupDiscoveryList; v=v2; g=apidiscovery.k8s.io;q=0.9", "v2", id="order"),
        pytest.param("application/json", "", id="plain"),
        pytest.param("", "", id="nothing"),
        pytest.param("*/*", "", id="anything"),
    ],
)
def test_negotiation(served: Documents, accept: str, version: str) -> None:
    """Whoever asks for the aggregated form gets it, others the plain one."""
    for path, kind in (("/api", "APIVersions"), ("/apis", "APIGroupList")):
        found = served.answer(path, accept)
        assert found
        content_type, body = found
        if version:
            assert content_type == AGGREGATED.format(version)
            assert (body["kind"], body["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
        else:
            assert (content_type, body["kind"]) == ("application/json", kind)


def test_aggregated(served: Documents) -> None:
    """The aggregated form has every resource with its subresources inside it."""
    (core,) = served.aggregated["/api"]
    assert core["metadata"] == {}
    (pods,) = [each for each in core["versions"][0]["resources"] if each["resource"] == "pods"]
    assert pods == {
        "resource": "pods",
        "responseKind": {"group": "", "version": "", "kind": "Pod"},
        "scope": "Namespaced",
        "singularResource": "pod",
        "verbs": EVERY_VERB,
        "shortNames": ["po"],
        "categories": ["all"],
        "subresources": [
            {
                "subresource": "binding",
                "responseKind": {"group": "", "version": "", "kind": "Binding"},
                "verbs": ["create"],
            },
            {
                "subresource": "eviction",
                "responseKind": {"group": "policy", "version": "v1", "kind": "Eviction"},
                "verbs": ["create"],
            },
            {
                "subresource": "status",
                "responseKind": {"group": "", "version": "", "kind": "Pod"},
                "verbs": ["get", "patch", "update"],
            },
        ],
    }


def test_nowhere(served: Documents) -> None:
    """What is not served has no document."""
    assert served.answer("/apis/batch/v1", "application/json") is None
    assert served.answer("/api/v1/pods", "application/json") is None
