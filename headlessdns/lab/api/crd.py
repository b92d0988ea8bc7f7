"""CustomResourceDefinitions: which resources they add, and what their schemas mean for objects. Pure.

Structural defaults, pruning, and what `schemarules` say. Rules in CEL (x-kubernetes-validations) are not evaluated, and
versions are converted by their apiVersion alone.

Source: k8s.io/apiextensions-apiserver `schema/defaulting`, `schema/pruning`, `registry/customresource`.
"""

from __future__ import annotations

import copy
from typing import Any

from headlessdns.lab.api import schemarules
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.registry import Custom
from headlessdns.lab.api.schemarules import ABSENT
from headlessdns.lab.api.status import Fault

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"


# Definitions


def settle(definition: Json, now: str) -> None:
    """Default *definition* and write the status that says it is served, in place."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    if names.get("kind"):
        names.setdefault("singular", str(names["kind"]).lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    status = definition.setdefault("status", {})
    old = {one.get("type"): one for one in status.get("conditions") or ()}
    wanted = (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    )
    status["conditions"] = [
        {
            "type": type,
            "status": "True",
            "lastTransitionTime": old.get(type, {}).get("lastTransitionTime", now),
            "reason": reason,
            "message": message,
        }
        for type, reason, message in wanted
    ]
    status["acceptedNames"] = dict(names)
    stored = status.setdefault("storedVersions", [])
    version = _storage_version(spec)
    if version and version not in stored:
        stored.append(version)


def hold(metadata: Json) -> None:
    """Let a definition that is deleted wait for its objects."""
    finalizers = metadata.setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)


def served(definition: Json) -> list[Custom]:
    """Return what *definition* serves, one for each served version."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    storage = _storage_version(spec)
    found = []
    for version in spec.get("versions") or ():
        if not version.get("served"):
            continue
        subresources = version.get("subresources") or {}
        resource = Resource(
            str(spec.get("group")),
            str(version.get("name")),
            str(names.get("kind")),
            str(names.get("plural")),
            str(names.get("singular") or str(names.get("kind")).lower()),
            tuple(names.get("shortNames") or ()),
            namespaced=spec.get("scope") != "Cluster",
            categories=tuple(names.get("categories") or ()),
            subresources=frozenset(name for name in ("status", "scale") if subresources.get(name) is not None),
            has_generation=True,
        )
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        paths = tuple(
            tuple(step for step in str((subresources.get("scale") or {}).get(field) or "").split(".") if step)
            for field in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
        )
        selectable = tuple(str(one.get("jsonPath") or "").lstrip(".") for one in version.get("selectableFields") or ())
        found.append(
            Custom(
                resource,
                schema,
                storage,
                paths if subresources.get("scale") else (),
                selectable,
                tuple(version.get("additionalPrinterColumns") or ()),
                definition["metadata"]["name"],
            )
        )
    return found


def _storage_version(spec: Json) -> str:
    return next((str(one.get("name")) for one in spec.get("versions") or () if one.get("storage")), "")


# Objects


def default(schema: Json, object: Json) -> None:
    """Fill in the defaults of *schema*, in place, where their parents are there; drop nulls that it does not allow."""
    _walk_defaults(schema, object)


def _walk_defaults(schema: Json, value: Any) -> None:
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, child in properties.items():
            if "default" in child and (name not in value or (value[name] is None and not child.get("nullable"))):
                value[name] = copy.deepcopy(child["default"])
            elif name in value and value[name] is None and not child.get("nullable"):
                del value[name]
            if name in value:
                _walk_defaults(child, value[name])
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict):
            for name in sorted(value.keys() - properties.keys()):
                if value[name] is None and not additional.get("nullable"):
                    del value[name]
                else:
                    _walk_defaults(additional, value[name])
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            _walk_defaults(schema["items"], item)


def prune(schema: Json, object: Json) -> list[str]:
    """Drop the fields that *schema* does not know, in place; return their paths."""
    dropped: list[str] = []
    _prune(schema, object, "", dropped, is_resource=True)
    return dropped


def _prune(schema: Json, value: Any, path: str, dropped: list[str], *, is_resource: bool = False) -> None:
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                _prune(items, item, f"{path}[{index}]", dropped)
        return
    if not isinstance(value, dict):
        return
    is_resource = is_resource or bool(schema.get(_EMBEDDED))
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for name in list(value):
        where = f"{path}.{name}" if path else name
        if is_resource and name in ("apiVersion", "kind", "metadata"):
            continue
        if name in properties:
            _prune(properties[name], value[name], where, dropped)
        elif isinstance(additional, dict):
            _prune(additional, value[name], where, dropped)
        elif not schema.get(_PRESERVE) and not additional:
            dropped.append(where)
            del value[name]


def faults(
    schema: Json,
    scale_paths: tuple[tuple[str, ...], ...],
    object: Json,
    old: Json | None = None,
    *,
    is_status: bool = False,
) -> list[Fault]:
    """Return what of *object* is against *schema*, rules in CEL left out; metadata is looked at elsewhere, too.

    Args:
        schema: Of the whole object.
        scale_paths: Where /scale has its numbers; none without it.
        object: With the defaults of its schema, and without fields that it does not know.
        old: The stored object for an update; what is as it was there may stay wrong.
        is_status: Only the status is written, and looked at.
    """
    found: list[Fault] = []
    status = (schema.get("properties") or {}).get("status")
    if not is_status:
        found += schemarules.faults(schema, object, ABSENT if old is None else old)
    elif status is not None and "status" in object:
        found += schemarules.faults(status, object["status"], (old or {}).get("status", ABSENT), "status")
    found += schemarules.scale_faults(scale_paths, object, is_status=is_status)
    if not is_status:
        found += schemarules.embedded_faults(schema, object)
    doubles = list(schemarules.double_items(schema, object))
    if doubles and (old is None or not any(True for _ in schemarules.double_items(schema, old))):
        found += doubles
    return found
