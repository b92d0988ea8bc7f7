"""What the server serves, as clients ask for it: groups, versions, resources and their verbs. Pure.

Two forms of the same: plain documents for each group and version, and the aggregated one, with which kubectl needs two
requests in all. Source: discovery of kube-apiserver 1.36.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from headlessdns.lab.api.kinds import ALL_VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headlessdns.lab.api.kinds import Json, Resource

# kubectl 1.29 asks for v2beta1 alone, which has the same form; later ones ask for v2 first.
AGGREGATED_VERSIONS = ("v2", "v2beta1")

_CHANGES = ("get", "patch", "update")
# Kinds whose verbs are others than those of most.
_VERBS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Namespace"): tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    ("authorization.k8s.io", "SelfSubjectAccessReview"): ("create",),
    ("authorization.k8s.io", "SelfSubjectRulesReview"): ("create",),
}


class Subresource(NamedTuple):
    """What is said of a subresource: the kind that it takes and gives, empty for that of its resource, and verbs."""

    group: str = ""
    version: str = ""
    kind: str = ""
    verbs: tuple[str, ...] = _CHANGES


SUBRESOURCES = {
    "status": Subresource(),
    "scale": Subresource("autoscaling", "v1", "Scale"),
    "binding": Subresource(kind="Binding", verbs=("create",)),
    "eviction": Subresource("policy", "v1", "Eviction", ("create",)),
}


class Documents(NamedTuple):
    """All documents of discovery.

    Attributes:
        plain: By path: /version, /api, /apis, /api/v1, /apis/GROUP and /apis/GROUP/VERSION.
        aggregated: The items of an APIGroupDiscoveryList by path, which is /api or /apis.
    """

    plain: dict[str, Json]
    aggregated: dict[str, list[Json]]

    def answer(self, path: str, accept: str) -> tuple[str, Json] | None:
        """Return the content type and the document for a GET of *path* with the header *accept*; None for no path."""
        if path in self.aggregated:
            for wanted in map(_media_type, accept.split(",")):
                for version in AGGREGATED_VERSIONS:
                    if wanted == _aggregated_type(version):
                        kind = {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}"}
                        media_type = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                        return media_type, {**kind, "metadata": {}, "items": self.aggregated[path]}
        document = self.plain.get(path)
        return None if document is None else ("application/json", document)


def _media_type(text: str) -> frozenset[str]:
    """Return a media type with its parameters, whose order does not matter, without its quality."""
    parts = (part.strip() for part in text.split(";"))
    return frozenset(part for part in parts if not part.startswith("q="))


def _aggregated_type(version: str) -> frozenset[str]:
    return frozenset({"application/json", "g=apidiscovery.k8s.io", f"v={version}", "as=APIGroupDiscoveryList"})


def documents(resources: Iterable[Resource], version_info: Json) -> Documents:
    """Return the documents for *resources*, those of CustomResourceDefinitions included.

    Args:
        resources: One of several versions comes once for each. Groups are told in the order of their first ones.
        version_info: The answer to /version.
    """
    groups: dict[str, dict[str, list[Resource]]] = {}
    for resource in resources:
        groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    core = groups.pop("", {})
    plain = {
        "/version": version_info,
        # Without addresses of the server: clients go on with the one that they have.
        "/api": {"kind": "APIVersions", "versions": _by_age(core), "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*one) for one in groups.items()]},
    }
    for version, served in core.items():
        plain[f"/api/{version}"] = {"kind": "APIResourceList", "groupVersion": version, "resources": _listed(served)}
    for group, versions in groups.items():
        plain[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)}
        for version, served in versions.items():
            kind = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}"}
            plain[f"/apis/{group}/{version}"] = {**kind, "resources": _listed(served)}
    aggregated = {
        "/api": [_aggregated_group("", core)],
        "/apis": [_aggregated_group(group, versions) for group, versions in groups.items()],
    }
    return Documents(plain, aggregated)


_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def _rank(version: str) -> tuple[int, int, int]:
    found = _VERSION.fullmatch(version)
    if not found:
        return (3, 0, 0)
    major, stage, minor = found.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0))


def _by_age(versions: Iterable[str]) -> list[str]:
    """Return versions with the one that is preferred first: v2, v1, v2beta1, v1alpha1, others by name."""
    return sorted(versions, key=lambda version: (_rank(version), version))


def _group(group: str, versions: Iterable[str]) -> Json:
    served = [{"groupVersion": f"{group}/{version}", "version": version} for version in _by_age(versions)]
    return {"name": group, "versions": served, "preferredVersion": served[0]}


def verbs(resource: Resource) -> list[str]:
    """Return what can be done with the objects of *resource*."""
    return list(_VERBS.get((resource.group, resource.kind), ALL_VERBS))


def _version_hash(resource: Resource) -> str:
    """Return a digest of what is stored; clients compare it to see whether stored objects need to be written anew."""
    digest = hashlib.sha256(f"{resource.group}/{resource.version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _by_name(resources: Iterable[Resource]) -> list[Resource]:
    return sorted(resources, key=lambda resource: resource.plural)


def _listed(resources: Sequence[Resource]) -> list[Json]:
    """Return *resources* as an APIResourceList has them, each with its subresources after it."""
    listed: list[Json] = []
    for resource in _by_name(resources):
        one: Json = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": verbs(resource),
            "shortNames": list(resource.short_names),
            "categories": list(resource.categories),
            "storageVersionHash": _version_hash(resource),
        }
        listed.append({key: value for key, value in one.items() if value != []})
        listed += [_listed_subresource(resource, name) for name in sorted(resource.subresources)]
    return listed


def _listed_subresource(resource: Resource, name: str) -> Json:
    told = SUBRESOURCES[name]
    own = {"group": told.group, "version": told.version} if told.group else {}
    return {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        **own,
        "kind": told.kind or resource.kind,
        "verbs": list(told.verbs),
    }


def _aggregated_group(group: str, versions: dict[str, list[Resource]]) -> Json:
    served = [
        {
            "version": version,
            "resources": [_aggregated(each) for each in _by_name(versions[version])],
            "freshness": "Current",
        }
        for version in _by_age(versions)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": served}


def _aggregated(resource: Resource) -> Json:
    one: Json = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": verbs(resource),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        "subresources": [_aggregated_subresource(resource, name) for name in sorted(resource.subresources)],
    }
    return {key: value for key, value in one.items() if value != []}


def _aggregated_subresource(resource: Resource, name: str) -> Json:
    told = SUBRESOURCES[name]
    kind = {"group": told.group, "version": told.version, "kind": told.kind or resource.kind}
    return {"subresource": name, "responseKind": kind, "verbs": list(told.verbs)}
