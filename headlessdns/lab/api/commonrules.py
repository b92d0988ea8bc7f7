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
        here, operator, values = (
            f"{field}.matchExpressions[{index}]",
            expression.get("operator"),
            expression.get("values"),
        )
        if operator in {"In", "NotIn"}:
            if not values:
                yield causes.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                wrong = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield causes.forbidden(f"{here}.values", wrong)
        else:
            yield causes.invalid(f"{here}.operator", operator or "", "not a valid selector operator")
        key = expression.get("key") or ""
        yield from (causes.invalid(f"{here}.key", key, wrong) for wrong in causes.qualified_name(key))
        for number, value in enumerate(values or []):
            yield from (causes.invalid(f"{here}.values[{number}]", value, wrong) for wrong in causes.label_value(value))
