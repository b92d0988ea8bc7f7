"""Fields that a kind does not have. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.typed import Type, metadata_type, type_of


def drop_unknown(resource: Resource, object: Json, among: Collection[str] | None = None) -> list[str]:
    """Drop the fields that *object* cannot have, or its metadata where its kind is custom; return their paths.

    Args:
        resource: Its kind.
        object: All of it.
        among: The fields that may be others than those stored; None for any.
    """
    type = type_of(resource)
    dropped: list[str] = []
    if type is not None and among is not None:
        part = {name: object[name] for name in among if name in object}
        _walk(type, part, "", dropped)
        for name in among:
            if name not in part:
                object.pop(name, None)
    elif type is not None:
        _walk(type, object, "", dropped)
    else:  # of a custom resource, whose own fields its schema knows
        _walk(metadata_type(), object.get("metadata"), "metadata", dropped)
    return dropped


_WITH_FIELDS = frozenset({"struct", "map", "list"})


def _walk(type: Type, value: Any, path: str, dropped: list[str]) -> None:
    inner = type.inner
    if type.form == "struct" and isinstance(value, dict):
        for name in list(value):
            known = type.fields.get(name)
            if known is None:
                dropped.append(f"{path}.{name}" if path else name)
                del value[name]
            elif known.form in _WITH_FIELDS:
                _walk(known, value[name], f"{path}.{name}" if path else name, dropped)
    elif inner is None or inner.form not in _WITH_FIELDS:
        return
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk(inner, item, f"{path}[{index}]", dropped)
    elif isinstance(value, dict):
        for name, item in value.items():
            _walk(inner, item, f"{path}.{name}", dropped)
