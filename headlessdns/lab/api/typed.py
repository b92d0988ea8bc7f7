"""Values of a wrong type, in the words of the API server. Pure.

The types are those of the schemas, which take half a second to make once: look only where there is reason to.
"""

from __future__ import annotations

from typing import Any

from headlessdns.controller.quantities import parse
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.schemas import INT_OR_STRING, QUANTITY, RAW, built_in_schemas, package

_NOT_A_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64", "integer": "int64"}
# The schemas do not say how wide a whole number is. All but these have 32 bits.
_INT64 = frozenset(
    {
        "activeDeadlineSeconds",
        "deletionGracePeriodSeconds",
        "expirationSeconds",
        "fsGroup",
        "generation",
        "gid",
        "observedGeneration",
        "revision",
        "runAsGroup",
        "runAsUser",
        "seconds",
        "sizeBytes",
        "supplementalGroups",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "uid",
    }
)
_BITS = {"int32": 31, "int64": 63}


def wrong_type(resource: Resource, object: Json) -> str:
    """Return why the API server could not read *object*, a message for 400; empty where it could.

    Args:
        resource: A built-in kind; of others the schema says it.
        object: As it was sent.
    """
    name = f"{package(resource.group)}{resource.kind}"
    if name not in built_in_schemas():
        return ""
    found = _wrong({"$ref": name}, object, resource.kind, ())
    what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    return found and f"{what}: {found}"


def _wrong(schema: Json, value: Any, owner: str, path: tuple[str, ...]) -> str:
    """Return the words for the first value that is wrong; *owner* is the structure that has the field at *path*."""
    name, schema = _resolved(schema)
    if value is None:
        return ""
    if name == RAW:
        return ""
    if name == QUANTITY:
        return "" if parse(value) is not None else _NOT_A_QUANTITY
    if name == INT_OR_STRING:
        schema = {"type": "string" if isinstance(value, str) else "integer"}
    kind = schema.get("type")
    if kind == "object":
        return _wrong_object(name, schema, value, owner, path)
    if kind == "array":
        if not isinstance(value, list):
            return _words(value, owner, path, _go_type(name, schema))
        items = schema.get("items") or {}
        return next(filter(None, (_wrong(items, item, owner, path) for item in value)), "")
    if kind == "integer":
        return _wrong_integer(value, owner, path)
    fits = {"string": isinstance(value, str), "boolean": isinstance(value, bool)}.get(str(kind), True)
    return "" if fits else _words(value, owner, path, _go_type(name, schema))


def _wrong_object(name: str, schema: Json, value: Any, owner: str, path: tuple[str, ...]) -> str:
    if not isinstance(value, dict):
        return _words(value, owner, path, _go_type(name, schema))
    below, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    for field, each in value.items():
        found = ""
        if field in below:
            found = _wrong(below[field], each, name.rpartition(".")[2], (*path, field))
        elif isinstance(additional, dict):
            found = _wrong(additional, each, owner, path)
        if found:
            return found
    return ""


def _wrong_integer(value: Any, owner: str, path: tuple[str, ...]) -> str:
    width = "int64" if path[-1] in _INT64 else "int32"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _words(value, owner, path, width)
    limit = 1 << _BITS[width]
    fits = isinstance(value, int) and -limit <= value < limit
    return "" if fits else _words(value, owner, path, width, number=f" {value}")


def _words(value: Any, owner: str, path: tuple[str, ...], wanted: str, number: str = "") -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool"}
    kind = names.get(type(value), f"number{number}")
    return f"json: cannot unmarshal {kind} into Go struct field {'.'.join((owner, *path))} of type {wanted}"


def _go_type(name: str, schema: Json) -> str:
    if name:
        return f"v1.{name.rpartition('.')[2]}"
    kind = str(schema.get("type"))
    if kind == "array":
        return f"[]{_go_type(*_resolved(schema.get('items') or {}))}"
    if kind == "object":
        return f"map[string]{_go_type(*_resolved(schema.get('additionalProperties') or {}))}"
    return _GO_TYPES.get(kind, kind)


def _resolved(schema: Json) -> tuple[str, Json]:
    """Return the name of what *schema* refers to, if it does, and the schema itself."""
    reference = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf") or () if "$ref" in each), "")
    name = str(reference).rpartition("/")[2]
    return (name, built_in_schemas().get(name, {})) if name else ("", schema)
