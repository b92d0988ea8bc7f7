"""What the API server refuses of the requests and limits of containers. Pure.

Source: the validation of resource requirements in Kubernetes 1.36. Resources of a whole pod and claims of devices are
not looked at. Names are looked at in their order, where an API server has them in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from headlessdns.controller.quantities import canonical, parse
from headlessdns.lab.api import causes
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_HUGE = "hugepages-"
_OF_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
_STANDARD = (
    _OF_CONTAINERS
    | _COUNTED
    | {"storage", "requests.storage"}
    | {f"{of}.{name}" for of in ("requests", "limits") for name in _OF_CONTAINERS}
)


def requirements(found: Json, field: str) -> Iterator[Cause]:
    """Return what is wrong with the resources of a container at *field*."""
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for name in sorted(limits):
        here = f"{field}.limits[{name}]"
        yield from _name(name, here)
        yield from amount(name, limits[name], here)
        yield from _pages(name, limits[name], here)
    for name in sorted(requests):
        here = f"{field}.requests[{name}]"
        yield from _name(name, here)
        yield from amount(name, requests[name], here)
        yield from _bounds(name, requests[name], limits.get(name), field)
        yield from _pages(name, requests[name], here)
    names = {*limits, *requests}
    if any(name.startswith(_HUGE) for name in names) and not names & {"cpu", "memory"}:
        yield causes.forbidden(field, "HugePages require cpu or memory")


def amount(name: str, quantity: Any, field: str) -> Iterator[Cause]:
    """Return what is wrong with how much there is of the resource *name*."""
    number = parse(quantity) or Decimal(0)
    if number < 0:
        yield causes.invalid(field, canonical(quantity), causes.NOT_NEGATIVE)
    if (name in _COUNTED or _is_extended(name)) and number != int(number):
        yield causes.invalid(field, canonical(quantity), "must be an integer")


def _pages(name: str, quantity: Any, field: str) -> Iterator[Cause]:
    if not name.startswith(_HUGE):
        return
    page = parse(name.removeprefix(_HUGE))
    if page is None or page <= 0 or page != int(page) or (parse(quantity) or Decimal(0)) % page != 0:
        wrong = f"{canonical(quantity)} is not positive integer multiple of {name}"
        yield causes.invalid(field, canonical(quantity), wrong)


def _bounds(name: str, quantity: Any, limit: Any, field: str) -> Iterator[Cause]:
    """Return how the request and the limit of one resource do not go together."""
    may_be_less = _is_native(name) and not name.startswith(_HUGE)
    if limit is None:
        if not may_be_less:
            yield causes.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        return
    wanted, most = parse(quantity) or Decimal(0), parse(limit) or Decimal(0)
    if wanted != most and not may_be_less:
        wrong = f"must be equal to {name} limit of {canonical(limit)}"
        yield causes.invalid(f"{field}.requests", canonical(quantity), wrong)
    elif wanted > most:
        wrong = f"must be less than or equal to {name} limit of {canonical(limit)}"
        yield causes.invalid(f"{field}.requests", canonical(quantity), wrong)


def _name(name: str, field: str) -> Iterator[Cause]:
    wrong = causes.qualified_name(name)
    if not wrong and "/" not in name and name not in _STANDARD and not _is_huge(name):
        wrong = ["must be a standard resource type or fully qualified"]
    if "/" not in name:
        if name not in _OF_CONTAINERS and not name.startswith(_HUGE):
            wrong = [*wrong, "must be a standard resource for containers"]
    elif not _is_native(name) and not _is_extended(name):
        wrong = [*wrong, "doesn't follow extended resource name standard"]
    return (causes.invalid(field, name, each) for each in wrong)


def _is_huge(name: str) -> bool:
    return name.startswith((_HUGE, f"requests.{_HUGE}"))


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    if _is_native(name) or name.startswith("requests."):
        return False
    return not causes.qualified_name(f"requests.{name}")
