"""What is wrong with a CustomResourceDefinition, in the words of the API server. Pure.

Names, group, scope, versions, the structure of the schemas, their patterns, defaults and kinds of lists, the paths of
scale and the columns. What else a schema may have wrong (bounds that contradict each other, CEL) is not looked at.

Source: k8s.io/apiextensions-apiserver `apiextensions/validation` and `schema/validation`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from headlessdns.lab.api import causes, crd, schemarules
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_SCOPES = ("Cluster", "Namespaced")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_PRESERVE, _INT_OR_STRING = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_NO_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")


def faults(definition: Json) -> Iterator[Cause]:
    """Yield what is wrong with *definition*, which has its defaults."""
    spec = definition.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    group, plural = spec.get("group") or "", names.get("plural") or ""
    name = definition["metadata"].get("name") or ""
    if name != f"{plural}.{group}":
        yield causes.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _group(group)
    if not spec.get("scope"):
        yield causes.required("spec.scope")
    elif spec["scope"] not in _SCOPES:
        yield causes.unsupported("spec.scope", spec["scope"], _SCOPES)
    yield from _versions(versions, spec.get("versions"))
    yield from _names(names)
    yield from _stored(definition, versions)
    yield from _approval(group, definition["metadata"].get("annotations") or {})


def change_faults(definition: Json, old: Json) -> Iterator[Cause]:
    """Yield what of *old* cannot become what *definition* has."""
    conditions = (old.get("status") or {}).get("conditions") or ()
    is_established = any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)
    for path in (*((("scope",), ("names", "kind")) if is_established else ()), ("group",), ("names", "plural")):
        value, before = definition.get("spec") or {}, old.get("spec") or {}
        for field in path:
            value, before = value.get(field) or {}, before.get(field) or {}
        if value != before:
            yield causes.invalid(f"spec.{'.'.join(path)}", value or "", causes.IMMUTABLE)


def _group(group: str) -> Iterator[Cause]:
    if not group:
        yield causes.required("spec.group")
        return
    yield from (causes.invalid("spec.group", group, wrong) for wrong in causes.dns_subdomain(group))
    if "." not in group:
        yield causes.invalid("spec.group", group, "should be a domain with at least one dot")


def _approval(group: str, annotations: Json) -> Iterator[Cause]:
    if f".{group}".endswith(_PROTECTED) and not annotations.get(_APPROVAL):
        why = f'protected groups must have approval annotation "{_APPROVAL}", see {_APPROVAL_PAGE}'
        yield causes.required(f"metadata.annotations[{_APPROVAL}]", why)


_APPROVAL_PAGE = "https://github.com/kubernetes/enhancements/pull/1111"


def _names(names: Json) -> Iterator[Cause]:
    for field in ("plural", "singular", "kind", "listKind"):
        value, where = names.get(field) or "", f"spec.names.{field}"
        is_kind = field.lower().endswith("kind")
        if not value:
            yield causes.required(where)
        elif not _is_label(value.lower() if is_kind else value):
            before = "may have mixed case, but should otherwise match: " if is_kind else ""
            yield causes.invalid(where, value, f"{before}{_NO_LABEL}")
    for field in ("shortNames", "categories"):
        for index, value in enumerate(names.get(field) or ()):
            if not _is_label(value):
                yield causes.invalid(f"spec.names.{field}[{index}]", value, _NO_LABEL)


def _is_label(value: str) -> bool:
    return len(value) <= _MAX_LABEL and _LABEL.fullmatch(value) is not None


def _versions(versions: list[Json], given: Any) -> Iterator[Cause]:
    shown = None if given is None else [_as_internal(version) for version in versions]
    names = [version.get("name") or "" for version in versions]
    for index, name in enumerate(names):
        if not _is_label(name):
            yield causes.invalid(f"spec.versions[{index}].name", name, _NO_LABEL)
            if index == 0:
                yield causes.invalid("spec.version", name, _NO_LABEL)
    if len(set(names)) != len(names):
        yield causes.invalid("spec.versions", shown, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield causes.invalid("spec.versions", shown, "must have exactly one version marked as storage version")
    for index, version in enumerate(versions):
        if ((version.get("schema") or {}).get("openAPIV3Schema")) is None:
            yield causes.required(f"spec.versions[{index}].schema.openAPIV3Schema")
    yield from _parts(versions)


def _as_internal(version: Json) -> Json:
    """Return a version as messages show it, where what is the same in all versions is not in it."""
    kept = {"Name": version.get("name") or "", "Served": bool(version.get("served"))}
    kept |= {"Storage": bool(version.get("storage")), "Deprecated": bool(version.get("deprecated"))}
    none = ("DeprecationWarning", "Schema", "Subresources", "AdditionalPrinterColumns", "SelectableFields")
    return kept | dict.fromkeys(none)


def _parts(versions: list[Json]) -> Iterator[Cause]:
    """Look at what versions may have in common, which is told once then."""
    for field, common, own, look in (
        ("schema", "spec.validation", "schema", _schema),
        ("subresources", "spec.subresources", "subresources", _subresources),
        ("additionalPrinterColumns", "spec.additionalPrinterColumns", "additionalPrinterColumns", _columns),
    ):
        parts = [version.get(field) for version in versions]
        if parts and all(part == parts[0] for part in parts):
            yield from look(parts[0], common)
        else:
            here = (look(part, f"spec.versions[{index}].{own}") for index, part in enumerate(parts))
            yield from chain.from_iterable(here)


def _schema(part: Any, field: str) -> Iterator[Cause]:
    schema, where = (part or {}).get("openAPIV3Schema"), f"{field}.openAPIV3Schema"
    if schema is None:
        return
    kind = schema.get("type") or ""
    if not kind:
        yield causes.required(f"{where}.type", "must not be empty at the root")
    elif kind != "object":
        yield causes.invalid(f"{where}.type", kind, "must be object at the root")
    else:
        yield from _inside(schema, where)


def _inside(schema: Json, field: str, *, has_defaults: bool = True) -> Iterator[Cause]:
    """Look below *schema*; the API server looks at no default below `additionalProperties`."""
    for name, child in (schema.get("properties") or {}).items():
        yield from _typed(child, f"{field}.properties[{name}]", _FIELDS, has_defaults=has_defaults)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _typed(schema["additionalProperties"], f"{field}.additionalProperties", _FIELDS, has_defaults=False)
    if isinstance(schema.get("items"), dict):
        yield from _typed(schema["items"], f"{field}.items", _ITEMS, has_defaults=has_defaults)
    elif schema.get("type") == "array":
        yield causes.required(f"{field}.items", "must be specified")
    yield from _list_kind(schema, field)
    if schema.get("$ref"):
        yield causes.forbidden(f"{field}.$ref", "$ref is not supported")
    if wrong := schemarules.wrong_pattern(schema.get("pattern") or ""):
        words = f"must be a valid regular expression, but isn't: error parsing regexp: {wrong}"
        yield causes.invalid(f"{field}.pattern", schema["pattern"], words)
    elif has_defaults and schema.get("default") is not None:
        yield from _default(schema, f"{field}.default")


def _default(schema: Json, field: str) -> Iterator[Cause]:
    default = json.loads(json.dumps(schema["default"], sort_keys=True))  # as messages show it
    if crd.prune(schema, copy.deepcopy(default)):
        yield causes.invalid(field, default, "must not have unknown fields")
    else:
        yield from schemarules.faults(schema, default, place=field)


_LIST_KINDS = ("atomic", "set", "map")


def _list_kind(schema: Json, field: str) -> Iterator[Cause]:
    kind, keys, items = schema.get("x-kubernetes-list-type"), schema.get(_KEYS) or [], schema.get("items")
    if kind is not None and schema.get("type") != "array":
        wrong = "must be array if x-kubernetes-list-type is specified"
        found = schema.get("type")
        yield causes.invalid(f"{field}.type", found, wrong) if found else causes.required(f"{field}.type", wrong)
    if kind is not None and kind not in _LIST_KINDS:
        yield causes.unsupported(f"{field}.x-kubernetes-list-type", kind, _LIST_KINDS)
    if keys and kind != "map":
        where, wrong = f"{field}.x-kubernetes-list-type", f"must be map if {_KEYS} is non-empty"
        yield causes.required(where, wrong) if kind is None else causes.invalid(where, kind, wrong)
    if kind != "map":
        return
    if not keys:
        yield causes.required(f"{field}.{_KEYS}", "must not be empty if x-kubernetes-list-type is map")
    if not isinstance(items, dict):
        yield causes.required(f"{field}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        wrong = "must be object if parent array's x-kubernetes-list-type is map"
        yield causes.invalid(f"{field}.items.type", items.get("type") or "", wrong)
        return
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            yield causes.invalid(f"{field}.{_KEYS}", keys, "entries must all be names of item properties")
        elif properties[key].get("type") in {"array", "object"}:
            wrong = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield causes.invalid(f"{field}.items.properties[{key}].type", items["type"], wrong)
        if key in keys[:index]:
            yield causes.invalid(f"{field}.{_KEYS}", keys, "must not contain duplicate entries")
    for key in keys:
        if key in properties and key not in (items.get("required") or ()) and properties[key].get("default") is None:
            wrong = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield causes.required(f"{field}.items.properties[{key}].default", wrong)


_KEYS = "x-kubernetes-list-map-keys"


_FIELDS, _ITEMS = (f"must not be empty for specified {what}" for what in ("object fields", "array items"))


def _typed(schema: Any, field: str, without: str, *, has_defaults: bool) -> Iterator[Cause]:
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if not kind:
        if not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
            yield causes.required(f"{field}.type", without)
    elif kind not in _TYPES:
        yield causes.unsupported(f"{field}.type", kind, _TYPES)
    yield from _inside(schema, field, has_defaults=has_defaults)


def _subresources(part: Any, field: str) -> Iterator[Cause]:
    scale = (part or {}).get("scale")
    if scale is None:
        return
    for name, begins in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value, where = scale.get(name) or "", f"{field}.scale.{name}"
        if not value:
            yield causes.required(where)
        elif not value.startswith("."):
            yield causes.invalid(where, value, "must be a simple json path starting with .")
        elif not value.startswith(begins):
            yield causes.invalid(where, value, f"should be a json path under {begins[:-1]}")


def _columns(part: Any, field: str) -> Iterator[Cause]:
    for index, column in enumerate(part or ()):
        where = f"{field}[{index}]"
        if not column.get("name"):
            yield causes.required(f"{where}.name")
        kind = column.get("type") or ""
        if kind not in _COLUMN_TYPES:
            wanted = f"must be one of {','.join(_COLUMN_TYPES)}"
            yield causes.invalid(f"{where}.type", kind, wanted) if kind else causes.required(f"{where}.type", wanted)
        if not column.get("jsonPath"):
            yield causes.required(f"{where}.JSONPath")


def _stored(definition: Json, versions: list[Json]) -> Iterator[Cause]:
    stored = (definition.get("status") or {}).get("storedVersions") or []
    storage = [version.get("name") or "" for version in versions if version.get("storage")]
    if not stored:
        yield causes.invalid("status.storedVersions", None, "must have at least one stored version")
    elif len(storage) > 1 or (storage and storage[0] not in stored):
        yield causes.invalid("status.storedVersions", stored, f"must have the storage version {storage[-1]}")
