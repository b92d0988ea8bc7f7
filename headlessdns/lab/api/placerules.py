"""What the API server refuses of where pods may go: tolerations, affinity, and spreading. Pure.

Source: the validation of pods in Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.commonrules import NOT_AN_OPERATOR, items, requirement_causes, selector_causes
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSIONS = ("Honor", "Ignore")
_REQUIRED, _PREFERRED = (f"{when}DuringSchedulingIgnoredDuringExecution" for when in ("required", "preferred"))
_MAX_WEIGHT = 100


def _key(key: str, field: str) -> _Rules:
    return (causes.invalid(field, key, wrong) for wrong in causes.qualified_name(key))


# ---- Tolerations


def tolerations(spec: Json, field: str) -> _Rules:
    """Return what is wrong with the tolerations of a pod."""
    for index, toleration in enumerate(items(spec, "tolerations")):
        here = f"{field}[{index}]"
        key, operator, effect = (toleration.get(name) or "" for name in ("key", "operator", "effect"))
        if key:
            yield from _key(key, f"{here}.key")
        elif operator != "Exists":
            wrong = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield causes.invalid(f"{here}.operator", operator, wrong)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            wrong = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield causes.invalid(f"{here}.effect", effect, wrong)
        yield from _toleration_value(operator, toleration.get("value") or "", f"{here}.operator")
        if effect and effect not in EFFECTS:
            yield causes.unsupported(f"{here}.effect", effect, EFFECTS)


def _toleration_value(operator: str, value: str, field: str) -> _Rules:
    if operator in {"Equal", ""}:
        if wrong := causes.label_value(value):
            yield causes.invalid(field, value, ";".join(wrong))
    elif operator == "Exists":
        if value:
            yield causes.invalid(field, value, "value must be empty when `operator` is 'Exists'")
    else:
        known = ("Equal", "Exists", "Lt", "Gt") if operator in {"Lt", "Gt"} else ("Equal", "Exists")
        yield causes.unsupported(field, operator, known)


# ---- Affinity


def affinity(found: Any, field: str) -> _Rules:
    """Return what is wrong with the affinity of a pod."""
    if not isinstance(found, dict):
        return
    of_nodes = found.get("nodeAffinity") or {}
    if of_nodes.get(_REQUIRED) is not None:
        yield from node_selector(of_nodes[_REQUIRED], f"{field}.nodeAffinity.{_REQUIRED}")
    for index, term in enumerate(items(of_nodes, _PREFERRED)):
        here = f"{field}.nodeAffinity.{_PREFERRED}[{index}]"
        yield from _weight(term, here)
        yield from _node_term(term.get("preference") or {}, f"{here}.preference", takes_any_value=True)
    for name in ("podAffinity", "podAntiAffinity"):
        of_pods = found.get(name) or {}
        for index, term in enumerate(items(of_pods, _REQUIRED)):
            yield from _pod_term(term, f"{field}.{name}.{_REQUIRED}[{index}]")
        for index, term in enumerate(items(of_pods, _PREFERRED)):
            here = f"{field}.{name}.{_PREFERRED}[{index}]"
            yield from _weight(term, here)
            yield from _pod_term(term.get("podAffinityTerm") or {}, f"{here}.podAffinityTerm")


def _weight(term: Json, field: str) -> _Rules:
    weight = term.get("weight") or 0
    if not 1 <= weight <= _MAX_WEIGHT:
        yield causes.invalid(f"{field}.weight", weight, f"must be in the range 1-{_MAX_WEIGHT}")


def node_selector(selector: Json, field: str) -> _Rules:
    """Return what is wrong with a selector of nodes, of which one term has to match."""
    terms = items(selector, "nodeSelectorTerms")
    if not terms:
        yield causes.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from _node_term(term, f"{field}.nodeSelectorTerms[{index}]")


def _node_term(term: Json, field: str, *, takes_any_value: bool = False) -> _Rules:
    for index, requirement in enumerate(items(term, "matchExpressions")):
        here = f"{field}.matchExpressions[{index}]"
        yield from requirement_causes(requirement, here, is_of_nodes=True, takes_any_value=takes_any_value)
    for index, requirement in enumerate(items(term, "matchFields")):
        yield from _field_requirement(requirement, f"{field}.matchFields[{index}]")


def _field_requirement(requirement: Json, field: str) -> _Rules:
    """Of fields of a node there is its name alone."""
    key, operator = requirement.get("key") or "", requirement.get("operator") or ""
    values = requirement.get("values") or []
    if operator not in {"In", "NotIn"}:
        yield causes.invalid(f"{field}.operator", operator, NOT_AN_OPERATOR)
    elif len(values) != 1:
        wrong = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield causes.required(f"{field}.values", wrong)
    if key != "metadata.name":
        yield causes.invalid(f"{field}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from (causes.invalid(f"{field}.values[{index}]", value, wrong) for wrong in causes.dns_subdomain(value))


def _pod_term(term: Json, field: str) -> _Rules:
    for name in ("labelSelector", "namespaceSelector"):
        if isinstance(term.get(name), dict):
            yield from selector_causes(term[name], f"{field}.{name}")
    for namespace in term.get("namespaces") or ():
        yield from (causes.invalid(f"{field}.namespace", namespace, wrong) for wrong in causes.dns_label(namespace))
    yield from _label_keys(term, field)
    key = term.get("topologyKey") or ""
    if not key:
        yield causes.required(f"{field}.topologyKey", "can not be empty")
    yield from _key(key, f"{field}.topologyKey")


def _label_keys(term: Json, field: str) -> _Rules:
    """Yield what is wrong with the keys whose values the pod itself has."""
    matching, differing = (term.get(name) or () for name in ("matchLabelKeys", "mismatchLabelKeys"))
    for name, keys in (("matchLabelKeys", matching), ("mismatchLabelKeys", differing)):
        if keys and term.get("labelSelector") is None:
            yield causes.forbidden(f"{field}.{name}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            yield from _key(key, f"{field}.{name}[{index}]")
    for index, key in enumerate(matching):
        if key in differing:
            wrong = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield causes.invalid(f"{field}.matchLabelKeys[{index}]", key, wrong)


# ---- Spreading


def spreading(spec: Json, field: str) -> _Rules:
    """Return what is wrong with the constraints that spread pods over topologies."""
    constraints = items(spec, "topologySpreadConstraints")
    names = [(each.get("topologyKey") or "", each.get("whenUnsatisfiable") or "") for each in constraints]
    for index, constraint in enumerate(constraints):
        here, (key, action) = f"{field}[{index}]", names[index]
        skew, domains = constraint.get("maxSkew") or 0, constraint.get("minDomains")
        if skew <= 0:
            yield causes.invalid(f"{here}.maxSkew", skew, causes.NOT_POSITIVE)
        if not key:
            yield causes.required(f"{here}.topologyKey", "can not be empty")
        if action not in _ACTIONS:
            yield causes.unsupported(f"{here}.whenUnsatisfiable", action, _ACTIONS)
        if names[index] in names[index + 1 :]:
            yield causes.duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        if domains is not None:
            if domains <= 0:
                yield causes.invalid(f"{here}.minDomains", domains, causes.NOT_POSITIVE)
            if action != "DoNotSchedule":
                wrong = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                yield causes.invalid(f"{here}.minDomains", domains, wrong)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(name) is not None and constraint[name] not in _INCLUSIONS:
                yield causes.unsupported(f"{here}.{name}", constraint[name], _INCLUSIONS)
        yield from _label_keys(constraint, here)
        if isinstance(constraint.get("labelSelector"), dict):
            yield from selector_causes(constraint["labelSelector"], f"{here}.labelSelector")
