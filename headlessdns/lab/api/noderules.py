"""What the API server refuses of Nodes. Pure.

Source: the validation of the core kinds in Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator

from headlessdns.lab.api import causes, resourcerules
from headlessdns.lab.api.commonrules import items
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.placerules import EFFECTS
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]


def node(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a Node, or with how it has changed: then the API server looks at taints twice."""
    spec, status = new.get("spec") or {}, new.get("status") or {}
    yield from _taints(spec)
    yield from _amounts(status)
    yield from _prefixes(spec)
    if old is None:
        return
    seen: list[Json] = []
    for index, address in enumerate(items(status, "addresses")):
        if address in seen:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            yield causes.duplicate(f"status.addresses[{index}]", shown)
        seen.append(address)
    before = old.get("spec") or {}
    for field, shown_field in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        if before.get(field) and before[field] != spec.get(field):
            wrong = f'node updates may not change {shown_field} except from "" to valid'
            yield causes.forbidden(f"spec.{field}", wrong)
    yield from _taints(spec)


def _amounts(status: Json) -> _Rules:
    for field in ("capacity", "allocatable"):
        for name, quantity in sorted((status.get(field) or {}).items()):
            yield from resourcerules.amount(name, quantity, f"status.{field}.{name}")


def _taints(spec: Json) -> _Rules:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(items(spec, "taints")):
        here = f"metadata.taints[{index}]"  # as the API server has it
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        yield from (causes.invalid(f"{here}.key", key, wrong) for wrong in causes.qualified_name(key))
        if wrong := causes.label_value(value):
            yield causes.invalid(f"{here}.value", value, ";".join(wrong))
        if not effect:
            yield causes.required(f"{here}.effect")
        elif effect not in EFFECTS:
            yield causes.unsupported(f"{here}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            twice = causes.duplicate(here, shown)
            yield twice._replace(message=f"{twice.message}: taints must be unique by key and effect pair")
        seen.add((key, effect))


def _prefixes(spec: Json) -> _Rules:
    found = spec.get("podCIDRs") or []
    for index, prefix in enumerate(found):
        yield from (causes.invalid(f"spec.podCIDRs[{index}]", prefix, wrong) for wrong in causes.cidr(prefix))
    families = {":" in prefix for prefix in found}
    if len(found) > 1 and (len(families) < 2 or len(found) > 2):
        yield causes.invalid("spec.podCIDRs", found, "may specify no more than one CIDR for each IP family")
