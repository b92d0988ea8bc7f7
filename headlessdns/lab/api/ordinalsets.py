"""The rules of the schema of OrdinalSets that are written in CEL, done by hand. Pure.

Source: ``deploy/crd/ordinalsets.yaml``: a rule that changes there changes here. A value is shown where the rule is
about a number or a text, and not where it is about more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from headlessdns.controller.model import MAX_ORDINAL
from headlessdns.controller.quantities import parse
from headlessdns.lab.api import causes
from headlessdns.lab.api.commonrules import items
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

# A cause of one of these keeps the API server from looking at the rules.
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_NOT_CHECKED = Cause(
    "<nil>",
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation",
)

_DNS_LABEL = (
    "must be a DNS-1123 label: at most 63 lower-case letters, digits and '-', with a letter or digit at both ends"
)
_LABEL_KEY = "a label's name is at most 63 letters, digits, '-', '_' and '.', and before a '/' a DNS name if any"
_LABEL_VALUE = "a label's value is at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
_FIXED_CLAIMS = (
    "claim templates can be neither added nor removed, since pods that run could not follow; delete the set with "
    "--cascade=orphan and create it anew"
)
_KEY_FORM = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE_FORM = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_RESERVED_FORM = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
_MOST_RESERVED = 10_000
_LONGEST_NAME = 63


def ordinal_set(new: Json, old: Json | None, found: Iterable[Cause] = ()) -> list[Cause]:
    """Return *found*, what is wrong by the rest of the schema, and what is wrong by its rules.

    Args:
        new: The object with the defaults of its schema.
        old: The stored object for an update.
        found: Wrong types, missing fields and so on. With these the rules are not looked at; the last cause says so.
    """
    done = list(found)
    name = _at(new, "metadata", "name") or ""
    if len(name) > _LONGEST_NAME and not any(cause.reason == "FieldValueTooLong" for cause in done):
        done.append(causes.too_long("metadata.name", _LONGEST_NAME))
    if any(cause.reason in _BLOCKING for cause in done):
        return [*done, _NOT_CHECKED]
    return done + list(_rules(new, old or {}))


def _without_value(field: str, message: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {message}")


def _at(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _object(value: Any, *path: str) -> Json:
    found = _at(value, *path)
    return found if isinstance(found, dict) else {}


def _rules(new: Json, old: Json) -> _Rules:
    if not _is_label(_at(new, "metadata", "name") or ""):
        yield _without_value("metadata.name", _DNS_LABEL)
    spec, before = _object(new, "spec"), _object(old, "spec")
    yield from _of_spec(spec, before if old else None)
    yield from _of_fields(spec)
    yield from _selector(spec, before.get("selector"))
    yield from _strategy(_object(spec, "updateStrategy"))
    yield from _template(_object(spec, "template"))
    yield from _claims(items(spec, "volumeClaimTemplates"))
    yield from _status(_object(new, "status"), _object(old, "status"))


def _is_label(text: str) -> bool:
    return not causes.dns_label(text)


def _of_spec(spec: Json, before: Json | None) -> _Rules:
    labels = _object(spec, "template", "metadata", "labels")
    selector = _object(spec, "selector")
    pairs = _object(selector, "matchLabels").items()
    matches = all(labels.get(key) == value for key, value in pairs)
    if not matches or not all(_matches(each, labels) for each in items(selector, "matchExpressions")):
        yield _without_value("spec.template.metadata.labels", "`selector` does not match template `labels`")
    if before is not None:
        yield from _claim_change(items(spec, "volumeClaimTemplates"), items(before, "volumeClaimTemplates"))
    start, replicas = _at(spec, "ordinals", "start") or 0, spec.get("replicas", 1)
    if start + replicas > MAX_ORDINAL + 1:
        wrong = f"ordinals.start and replicas lead to ordinals above {MAX_ORDINAL}"
        yield _without_value("spec.replicas", wrong)


def _matches(expression: Json, labels: Json) -> bool:
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values")
    if key not in labels:
        return operator in {"NotIn", "DoesNotExist"}
    if operator == "Exists":
        return True
    if values is None:
        return operator in {"In", "NotIn"}  # another rule says what is missing
    return operator == ("In" if labels[key] in values else "NotIn")


def _claim_change(claims: list[Json], before: list[Json]) -> _Rules:
    names, names_before = ([_at(claim, "metadata", "name") for claim in each] for each in (claims, before))
    if len(names) != len(names_before) or not set(names) <= set(names_before):
        yield causes.forbidden("spec.volumeClaimTemplates", _FIXED_CLAIMS)
    sizes_before = {_at(claim, "metadata", "name"): _storage(claim) for claim in before}
    for claim in claims:
        size, size_before = parse(_storage(claim)), parse(sizes_before.get(_at(claim, "metadata", "name")))
        if size is not None and size_before is not None and size < size_before:
            yield causes.forbidden("spec.volumeClaimTemplates", "storage of a claim can grow, not shrink")
            return


def _storage(claim: Json) -> Any:
    return _at(claim, "spec", "resources", "requests", "storage")


def _not_less(value: Any, least: int, field: str) -> _Rules:
    if isinstance(value, int) and value < least:
        yield causes.invalid(field, value, f"must be greater than or equal to {least}")


def _of_fields(spec: Json) -> _Rules:
    yield from _not_less(spec.get("minReadySeconds"), 0, "spec.minReadySeconds")
    yield from _not_less(_at(spec, "ordinals", "start"), 0, "spec.ordinals.start")
    yield from _not_less(spec.get("progressDeadlineSeconds"), 1, "spec.progressDeadlineSeconds")
    yield from _not_less(spec.get("replicas"), 0, "spec.replicas")
    for index, part in enumerate(spec.get("reserveOrdinals") or []):
        if not _is_reserved(part):
            wrong = 'must be an ordinal, or a range of at most 10,000 such as "3-5"'
            yield causes.invalid(f"spec.reserveOrdinals[{index}]", part, wrong)
    service = spec.get("serviceName")
    if service and not _is_label(service):
        yield causes.invalid("spec.serviceName", service, _DNS_LABEL)


def _is_reserved(part: int | str) -> bool:
    if isinstance(part, int):
        return 0 <= part <= MAX_ORDINAL
    found = _RESERVED_FORM.fullmatch(part)
    if found is None:
        return False
    first, last = int(found[1]), int(found[2] or found[1])
    return last <= MAX_ORDINAL and 0 <= last - first < _MOST_RESERVED


def _labels(labels: Json, field: str) -> _Rules:
    if not all(_KEY_FORM.fullmatch(key) for key in labels):
        yield _without_value(field, _LABEL_KEY)
    if not all(_VALUE_FORM.fullmatch(str(value)) for value in labels.values()):
        yield _without_value(field, _LABEL_VALUE)


def _selector(spec: Json, before: Any) -> _Rules:
    selector = _object(spec, "selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield _without_value("spec.selector", "empty selector is invalid for ordinalset")
    if before is not None and selector != before:
        yield _without_value("spec.selector", causes.IMMUTABLE)
    for index, expression in enumerate(items(selector, "matchExpressions")):
        here, operator = f"spec.selector.matchExpressions[{index}]", expression["operator"]
        values = expression.get("values")
        if operator in {"In", "NotIn"} and not values:
            yield causes.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        if operator in {"Exists", "DoesNotExist"} and values:
            wrong = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield causes.forbidden(f"{here}.values", wrong)
        if not _KEY_FORM.fullmatch(expression["key"]):
            yield causes.invalid(f"{here}.key", expression["key"], _LABEL_KEY)
    yield from _labels(_object(selector, "matchLabels"), "spec.selector.matchLabels")


def _strategy(strategy: Json) -> _Rules:
    where = "spec.updateStrategy.rollingUpdate"
    rolling = strategy.get("rollingUpdate")
    if rolling is not None and strategy.get("type") == "OnDelete":
        yield _without_value(where, "only allowed for updateStrategy 'RollingUpdate'")
    value = _at(rolling, "maxUnavailable")
    if isinstance(value, int):
        yield from _not_less(value, 0, f"{where}.maxUnavailable")
    wrong = ("" if value else "cannot be 0") if isinstance(value, int) else _wrong_percent(value)
    if wrong:
        yield causes.invalid(f"{where}.maxUnavailable", value, wrong)
    yield from _not_less(_at(rolling, "partition"), 0, f"{where}.partition")


def _wrong_percent(value: Any) -> str:
    if value is None:
        return ""
    if causes.percent(value):
        return causes.PERCENT_RULE
    count = value[:-1].lstrip("0")
    return "cannot be 0" if not count else "must not be greater than 100%" if int(count) > 100 else ""


def _template(template: Json) -> _Rules:
    yield from _labels(_object(template, "metadata", "labels"), "spec.template.metadata.labels")
    if _at(template, "spec", "activeDeadlineSeconds") is not None:
        wrong = "activeDeadlineSeconds in OrdinalSet is not Supported"
        yield causes.forbidden("spec.template.spec.activeDeadlineSeconds", wrong)


def _claims(claims: list[Json]) -> _Rules:
    where = "spec.volumeClaimTemplates"
    names = [_at(claim, "metadata", "name") for claim in claims]
    if len(set(names)) < len(names):
        # What the rule says about it is not shown for this reason.
        yield Cause(where, "FieldValueDuplicate", "Duplicate value")
    for index, (claim, name) in enumerate(zip(claims, names, strict=True)):
        if not _is_label(name):
            yield causes.invalid(f"{where}[{index}].metadata.name", name, _DNS_LABEL)
        size = parse(_storage(claim))
        if size is None or size <= 0:
            field = f"{where}[{index}].spec.resources.requests.storage"
            yield causes.invalid(field, _storage(claim), 'must be greater than zero: a quantity such as "10Gi"')


_COUNTS = ("availableReplicas", "collisionCount", "currentReplicas", "observedGeneration", "readyReplicas", "replicas")


def _status(status: Json, before: Json) -> _Rules:
    for field in ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"):
        if status.get(field, 0) > status.get("replicas", 0):
            yield _without_value(f"status.{field}", "cannot be greater than status.replicas")
    if status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
        yield _without_value("status.availableReplicas", "cannot be greater than status.readyReplicas")
    if status.get("collisionCount", 0) < before.get("collisionCount", 0):
        yield _without_value("status.collisionCount", "cannot be decremented")
    for field in (*_COUNTS, "updatedReplicas"):
        yield from _not_less(status.get(field), 0, f"status.{field}")
