"""Rules that many kinds share: of labels, annotations, names and selectors. Pure.

Source: the validation of metadata in apimachinery 0.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause


def items(value: Any, field: str) -> list[Json]:
    """Return the objects in the list *field* of *value*."""
    found = value.get(field)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def label_causes(found: Any, field: str) -> Iterator[Cause]:
    """Return what is wrong with labels."""
    for key, value in (found or {}).items():
        for wrong in causes.qualified_name(key):
            yield causes.invalid(field, key, wrong)
        for wrong in causes.label_value(str(value)):
            yield causes.invalid(field, value, wrong)


_ANNOTATIONS_MAX_OCTETS = 256 * 1024


def annotation_causes(found: Any, field: str) -> Iterator[Cause]:
    """Return what is wrong with annotations."""
    for key in found or {}:
        yield from (causes.invalid(field, key, wrong) for wrong in causes.qualified_name(key.lower()))
    octets = sum(len(key.encode()) + len(str(value).encode()) for key, value in (found or {}).items())
    if octets > _ANNOTATIONS_MAX_OCTETS:
        yield causes.too_long(field, _ANNOTATIONS_MAX_OCTETS)


def label_form(value: str, field: str) -> Iterator[Cause]:
    """Return what keeps *value* from being a DNS label."""
    return (causes.invalid(field, value, wrong) for wrong in causes.dns_label(value))


def subdomain_form(value: str, field: str) -> Iterator[Cause]:
    """Return what keeps *value* from being a DNS name."""
    return (causes.invalid(field, value, wrong) for wrong in causes.dns_subdomain(value))


def selector_causes(selector: Json, field: str) -> Iterator[Cause]:
    """Return what is wrong with a selector of labels."""
    yield from label_causes(selector.get("matchLabels"), f"{field}.matchLabels")
    for index, expression in enumerate(items(selector, "matchExpressions")):
        yield from requirement_causes(expression, f"{field}.matchExpressions[{index}]")


def requirement_causes(
    requirement: Json, field: str, *, is_of_nodes: bool = False, takes_any_value: bool = False
) -> Iterator[Cause]:
    """Return what is wrong with one requirement of a selector of labels; those of nodes compare numbers, too."""
    key, operator = requirement.get("key") or "", requirement.get("operator") or ""
    values = requirement.get("values") or []
    if operator in {"In", "NotIn"}:
        if not values:
            yield causes.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            wrong = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield causes.forbidden(f"{field}.values", wrong)
    elif is_of_nodes and operator in {"Gt", "Lt"}:
        if len(values) != 1:
            yield causes.required(f"{field}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield causes.invalid(f"{field}.operator", operator, NOT_AN_OPERATOR)
    yield from (causes.invalid(f"{field}.key", key, wrong) for wrong in causes.qualified_name(key))
    for index, value in enumerate(() if takes_any_value else values):
        yield from (causes.invalid(f"{field}.values[{index}]", value, wrong) for wrong in causes.label_value(value))


NOT_AN_OPERATOR = "not a valid selector operator"
