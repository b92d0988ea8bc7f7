"""Fields that a kind does not have. Pure.

The schemas are made from the models of the `kubernetes` package, which takes half a second once; so only requests that
ask for validation (kubectl does) are looked at.
"""

from __future__ import annotations

from typing import Any

from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.schemas import built_in_schemas, package


def drop_unknown(resource: Resource, object: Json) -> list[str]:
    """Drop the fields of *object* that its built-in kind does not have, in place; return their paths."""
    known = built_in_schemas()
    schema = known.get(f"{package(resource.group)}{resource.kind}")
    dropped: list[str] = []
    if schema is not None:
        _walk(schema, object, "", known, dropped)
    return dropped


def _walk(schema: Json, value: Any, path: str, known: dict[str, Json], dropped: list[str]) -> None:
    schema = _resolved(schema, known)
    if isinstance(value, list):
        for index, item in enumerate(value):
            _walk(schema.get("items") or {}, item, f"{path}[{index}]", known, dropped)
        return
    properties = schema.get("properties")
    if not isinstance(value, dict):
        return
    additional = schema.get("additionalProperties")
    for name in list(value):
        where = f"{path}.{name}" if path else name
        if properties and name in properties:
            _walk(properties[name], value[name], where, known, dropped)
        elif isinstance(additional, dict):
            _walk(additional, value[name], where, known, dropped)
        elif properties:
            dropped.append(where)
            del value[name]


def _resolved(schema: Json, known: dict[str, Json]) -> Json:
    reference = schema.get("$ref") or next((one["$ref"] for one in schema.get("allOf") or () if "$ref" in one), "")
    if not reference:
        return schema
    found: Json = known.get(str(reference).rpartition("/")[2], {})
    return found
