"""CustomResourceDefinitions: which resources they add, and what their schemas mean for objects. Pure.

Structural defaults, pruning and plain validation (types, required, enum, bounds, pattern, lengths). Rules in CEL
(x-kubernetes-validations) are not evaluated, formats other than int32 and int64 neither, and versions are converted by
their apiVersion alone.

Source: k8s.io/apiextensions-apiserver `schema/defaulting`, `schema/pruning`; kube-openapi `validation/validate`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.registry import Custom
from headlessdns.lab.api.status import Fault

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_MAX_INT32 = 2**31 - 1


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


def validate(schema: Json, object: Json) -> list[Fault]:
    """Return what of *object* is against *schema*; its metadata is looked at elsewhere."""
    faults: list[Fault] = []
    for name in schema.get("required") or ():
        if name not in object:
            faults.append(Fault(name, "FieldValueRequired", "Required value"))
    for name, child in (schema.get("properties") or {}).items():
        if name in object and name not in ("apiVersion", "kind", "metadata"):
            _validate(child, object[name], name, faults)
    return faults


def scale_faults(paths: tuple[tuple[str, ...], ...], object: Json) -> list[Fault]:
    """Return what is wrong with the replicas that /scale shows: nothing may be less than nothing."""
    faults = []
    for path in paths[:2]:
        value: Any = object
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, int) and value < 0:
            message = f"Invalid value: {value}: should be a non-negative integer"
            faults.append(Fault(f".{'.'.join(path)}", "FieldValueInvalid", message))
    return faults


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def _validate(schema: Json, value: Any, path: str, faults: list[Fault]) -> None:
    if value is None and schema.get("nullable"):
        return
    if schema.get(_INT_OR_STRING):
        if not (_TYPES["integer"](value) or isinstance(value, str)):
            faults.append(_type_fault(path, value, "integer,string"))
        return
    wanted = schema.get("type")
    if wanted in _TYPES and not _TYPES[wanted](value):
        faults.append(_type_fault(path, value, wanted))
        return
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(json.dumps(one) for one in schema["enum"])
        message = f"Unsupported value: {json.dumps(value)}: supported values: {supported}"
        faults.append(Fault(path, "FieldValueNotSupported", message))
    if isinstance(value, dict):
        _validate_object(schema, value, path, faults)
    elif isinstance(value, list):
        _validate_list(schema, value, path, faults)
    else:
        faults += _scalar_faults(schema, value, path)


def _validate_object(schema: Json, value: Json, path: str, faults: list[Fault]) -> None:
    for name in schema.get("required") or ():
        if name not in value:
            faults.append(Fault(f"{path}.{name}", "FieldValueRequired", "Required value"))
    properties = schema.get("properties") or {}
    for name, child in properties.items():
        if name in value:
            _validate(child, value[name], f"{path}.{name}", faults)
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        for name in value.keys() - properties.keys():
            _validate(additional, value[name], f"{path}.{name}", faults)


def _validate_list(schema: Json, value: list[Any], path: str, faults: list[Fault]) -> None:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        message = f"Invalid value: {len(value)}: {path} in body should have at least {least} items"
        faults.append(Fault(path, "FieldValueInvalid", message))
    if most is not None and len(value) > most:
        faults.append(Fault(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items"))
    faults += _double_items(schema, value, path)
    if isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            _validate(schema["items"], item, f"{path}[{index}]", faults)


def _double_items(schema: Json, value: list[Any], path: str) -> list[Fault]:
    """Return the items that another one before them is the same as, in a set or by their keys."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    seen: set[str] = set()
    faults = []
    for index, item in enumerate(value):
        if kind == "set":
            shown = json.dumps(item, separators=(",", ":"))
        elif kind == "map" and isinstance(item, dict):
            shown = json.dumps({key: item[key] for key in sorted(keys) if key in item}, separators=(",", ":"))
        else:
            continue
        if shown in seen:
            faults.append(Fault(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {shown}"))
        seen.add(shown)
    return faults


def _scalar_faults(schema: Json, value: Any, path: str) -> list[Fault]:
    texts: list[str] = []
    faults: list[Fault] = []
    if isinstance(value, str):
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            message = f"Too long: may not be more than {schema['maxLength']} bytes"
            faults.append(Fault(path, "FieldValueTooLong", message))
        if len(value) < schema.get("minLength", 0):
            texts.append(f"should be at least {schema['minLength']} chars long")
        if "pattern" in schema and not _fits(schema["pattern"], value):
            texts.append(f"should match '{schema['pattern']}'")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            texts.append(f"should be greater than or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            texts.append(f"should be less than or equal to {schema['maximum']}")
        if schema.get("format") == "int32" and abs(value) > _MAX_INT32:
            texts.append("should be an integer of 32 bits")
    shown = json.dumps(value)
    faults += [Fault(path, "FieldValueInvalid", f"Invalid value: {shown}: {path} in body {text}") for text in texts]
    return faults


def _fits(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # RE2 knows forms that Python does not; what cannot be read is not held against the object


def _type_fault(path: str, value: Any, wanted: str) -> Fault:
    kind = next((name for name, fits in _TYPES.items() if fits(value)), "null")
    message = f'Invalid value: "{kind}": {path} in body must be of type {wanted}: "{kind}"'
    return Fault(path, "FieldValueTypeInvalid", message)
