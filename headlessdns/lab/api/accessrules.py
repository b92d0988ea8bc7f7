"""What the API server refuses of roles, their bindings, and policies of the network. A lab keeps these, no more. Pure.

Source: the validation of the rbac and networking kinds in Kubernetes 1.36.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.commonrules import items, selector_causes, subdomain_form
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

GROUP = "rbac.authorization.k8s.io"

# ---- Roles


def role(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a Role or a ClusterRole."""
    is_namespaced = new.get("kind") == "Role"
    for index, rule in enumerate(items(new, "rules")):
        yield from _rule(rule, f"rules[{index}]", is_namespaced=is_namespaced)
    aggregation = new.get("aggregationRule")
    if not is_namespaced and isinstance(aggregation, dict):
        where, selectors = "aggregationRule.clusterRoleSelectors", items(aggregation, "clusterRoleSelectors")
        if not selectors:
            yield causes.required(where, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(selectors):
            wrong = list(selector_causes(selector, f"{where}[{index}]"))
            yield from wrong
            if wrong:
                yield causes.invalid(f"{where}[{index}]", None, "invalid label selector.")


def _rule(rule: Json, field: str, *, is_namespaced: bool) -> _Rules:
    if not rule.get("verbs"):
        yield causes.required(f"{field}.verbs", "verbs must contain at least one value")
    paths = rule.get("nonResourceURLs")
    if paths:
        where = f"{field}.nonResourceURLs"
        if is_namespaced:
            yield causes.invalid(where, paths, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            wrong = "rules cannot apply to both regular resources and non-resource URLs"
            yield causes.invalid(where, paths, wrong)
        return
    if not rule.get("apiGroups"):
        yield causes.required(f"{field}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield causes.required(f"{field}.resources", "resource rules must supply at least one resource")


def binding(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a RoleBinding or a ClusterRoleBinding, or with how it has changed."""
    is_namespaced = new.get("kind") == "RoleBinding"
    reference = new.get("roleRef") or {}
    group, kind, name = (reference.get(field) or "" for field in ("apiGroup", "kind", "name"))
    if group != GROUP:
        yield causes.unsupported("roleRef.apiGroup", group, (GROUP,))
    kinds = ("Role", "ClusterRole") if is_namespaced else ("ClusterRole",)
    if kind not in kinds:
        yield causes.unsupported("roleRef.kind", kind, kinds)
    if not name:
        yield causes.required("roleRef.name")
    else:
        yield from (causes.invalid("roleRef.name", name, wrong) for wrong in causes.path_segment(name))
    for index, subject in enumerate(items(new, "subjects")):
        yield from _subject(subject, f"subjects[{index}]", is_namespaced=is_namespaced)
    if old is not None and reference != old.get("roleRef"):
        shown = {"APIGroup": group, "Kind": kind, "Name": name}
        yield causes.invalid("roleRef", shown, "cannot change roleRef")


def _subject(subject: Json, field: str, *, is_namespaced: bool) -> _Rules:
    kind, name, group = (subject.get(each) or "" for each in ("kind", "name", "apiGroup"))
    if not name:
        yield causes.required(f"{field}.name")
    if kind == "ServiceAccount":
        if name:
            yield from subdomain_form(name, f"{field}.name")
        if group:
            yield causes.unsupported(f"{field}.apiGroup", group, ("",))
        if not is_namespaced and not subject.get("namespace"):
            yield causes.required(f"{field}.namespace")
    elif kind in {"User", "Group"}:
        if group != GROUP:
            yield causes.unsupported(f"{field}.apiGroup", group, (GROUP,))
    else:
        yield causes.unsupported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group"))


# ---- Policies of the network

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_POLICY_TYPES = ("Ingress", "Egress")


def network_policy(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a NetworkPolicy."""
    spec = new.get("spec") or {}
    yield from selector_causes(spec.get("podSelector") or {}, "spec.podSelector")
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(items(spec, way)):
            here = f"spec.{way}[{index}]"
            for number, port in enumerate(items(rule, "ports")):
                yield from _port(port, f"{here}.ports[{number}]")
            for number, peer in enumerate(items(rule, peers)):
                yield from _peer(peer, f"{here}.{peers}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(_POLICY_TYPES):
        yield causes.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, each in enumerate(types):
        if each not in _POLICY_TYPES:
            yield causes.unsupported(f"spec.policyTypes[{index}]", each, _POLICY_TYPES)


def _port(found: Json, field: str) -> _Rules:
    protocol, port, last = found.get("protocol"), found.get("port"), found.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield causes.unsupported(f"{field}.protocol", protocol, _PROTOCOLS)
    if port is None or isinstance(port, str):
        if last is not None:
            why = "not specified" if port is None else "non-numeric"
            yield causes.invalid(f"{field}.endPort", last, f"may not be specified when `port` is {why}")
        if port is not None:
            yield from (causes.invalid(f"{field}.port", port, wrong) for wrong in causes.port_name(port))
        return
    yield from (causes.invalid(f"{field}.port", port, wrong) for wrong in causes.port_number(port))
    if last is not None:
        if last < port:
            yield causes.invalid(f"{field}.endPort", port, "must be greater than or equal to `port`")
        yield from (causes.invalid(f"{field}.endPort", last, wrong) for wrong in causes.port_number(last))


def _peer(peer: Json, field: str) -> _Rules:
    selectors = [name for name in ("podSelector", "namespaceSelector") if isinstance(peer.get(name), dict)]
    block = peer.get("ipBlock")
    for name in selectors:
        yield from selector_causes(peer[name], f"{field}.{name}")
    if isinstance(block, dict):
        yield from _block(block, f"{field}.ipBlock")
        if selectors:
            yield causes.forbidden(field, "may not specify both ipBlock and another peer")
    elif not selectors:
        yield causes.required(field, "must specify a peer")


def _block(block: Json, field: str) -> _Rules:
    prefix = block.get("cidr") or ""
    if not prefix:
        yield causes.required(f"{field}.cidr")
        return
    yield from (causes.invalid(f"{field}.cidr", prefix, wrong) for wrong in causes.cidr(prefix))
    whole = _network(prefix)
    for index, text in enumerate(block.get("except") or () if whole else ()):
        here, part = f"{field}.except[{index}]", _network(text)
        yield from (causes.invalid(here, text, wrong) for wrong in causes.cidr(text))
        if part and not (_is_within(part, whole) and part.prefixlen > whole.prefixlen):
            yield causes.invalid(here, text, "must be a strict subset of `cidr`")


def _network(text: str) -> Any:
    if causes.cidr(text):
        return None
    address, _, length = text.partition("/")
    return ipaddress.ip_network(f"{causes.sloppy_ip(address)}/{length}", strict=False)


def _is_within(part: Any, whole: Any) -> bool:
    return bool(part.version == whole.version and part.network_address in whole)
