"""Node ports of Services. Pure.

Source: k8s.io/kubernetes `pkg/registry/core/service` (storage, portallocator). Ports are given out in their order, and
one that was given back waits until its turn comes again. Nothing is taken before the Service is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import ApiError, Fault, internal_error

RANGE = range(30_000, 32_768)
FIRST = 30_086  # those before it are the last to be given out: they are left to those who ask for one by its number

_FIRST_OF_DRY_RUN = RANGE.stop + 1  # what a dry run shows is nobody's
_TAKEN = "provided port is already allocated"
_NOT_IN_RANGE = f"provided port is not in the valid range. The range of valid ports is {RANGE.start}-{RANGE.stop - 1}"


class NodePorts:
    """The node ports that are taken."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._last = FIRST - 1

    def take(self, spec: Json) -> None:
        """Note that a Service has the ports in its *spec*."""
        self._taken.update(_all(spec))

    def give_back(self, spec: Json) -> None:
        """Note that nobody has the ports in *spec* any more."""
        self._taken.difference_update(_all(spec))

    def has(self, port: int) -> bool:
        """Tell whether a Service has *port*."""
        return port in self._taken

    def next(self, besides: list[int]) -> int | None:
        """Return a port that is free and not one of *besides*; None where all are taken."""
        for port in self._in_turn():
            if port not in self._taken and port not in besides:
                if port >= FIRST:
                    self._last = port
                return port
        return None

    def _in_turn(self) -> Iterator[int]:
        yield from range(self._last + 1, RANGE.stop)
        yield from range(FIRST, self._last + 1)
        yield from range(RANGE.start, FIRST)


class _Write:
    """The ports that one write of a Service is to get."""

    def __init__(self, ports: NodePorts, is_dry: bool) -> None:
        self._ports = ports
        self._is_dry = is_dry
        self._new: list[int] = []

    def ask(self, port: int) -> str:
        """Return why the Service cannot have *port*; empty where it gets it."""
        if not self._is_dry and port not in RANGE:
            return _NOT_IN_RANGE
        if self._ports.has(port) or port in self._new:
            return _TAKEN
        self._new.append(port)
        return ""

    def next(self, what: str) -> int:
        """Return any port; *what* it is for is told where there is none."""
        port = max(self._new, default=_FIRST_OF_DRY_RUN - 1) + 1 if self._is_dry else self._ports.next(self._new)
        if port is None:
            raise internal_error(f"failed to allocate a {what}: range is full")
        self._new.append(port)
        return port


def settle(spec: Json, before: Json | None, ports: NodePorts, *, is_dry: bool) -> list[Fault]:
    """Give a Service its node ports, in place; return what is wrong with those that it asks for.

    Args:
        spec: As it is wanted, with its defaults; what `keep` keeps is in it.
        before: The stored one; None for a new Service.
        ports: Those that are taken.
        is_dry: Whether nothing is going to be stored.

    Raises:
        ApiError: All ports are taken, or what is asked for cannot be told as a fault of a field.
    """
    write = _Write(ports, is_dry)
    if has_node_ports(spec):
        faults = _give(spec, write) if before is None else _give_more(spec, before, write)
        if faults:
            return faults
    if needs_health_check(spec) and (before is None or not needs_health_check(before)):
        _give_health_check(spec, write)
    return []


def keep(spec: Json, before: Json) -> None:
    """Give a Service the node ports that it had *before* and does not mention, in place; ports are known by name."""
    if _are_given(spec) and _are_given(before):
        kept = _numbers(spec) & _numbers(before)
        by_name = {port.get("name") or "": port.get("nodePort") or 0 for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            former = by_name.get(port.get("name") or "", 0)
            if not port.get("nodePort") and former and former not in kept:
                port["nodePort"] = former
    if needs_health_check(spec) and needs_health_check(before) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)


def drop(spec: Json, before: Json) -> None:
    """Take away the node ports of a Service that had them *before* and is of another type now, in place.

    Those stay, for validation to refuse, that were changed by the same write.
    """
    if has_node_ports(before) and not has_node_ports(spec) and _numbers(before) >= _numbers(spec):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    is_same = spec.get("healthCheckNodePort") == before.get("healthCheckNodePort")
    if needs_health_check(before) and not needs_health_check(spec) and is_same:
        spec.pop("healthCheckNodePort", None)


def has_node_ports(spec: Json) -> bool:
    """Tell whether a Service may have node ports at all."""
    return spec.get("type") in {"NodePort", "LoadBalancer"}


def needs_health_check(spec: Json) -> bool:
    """Tell whether a load balancer has to ask each node whether a pod is on it."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _are_given(spec: Json) -> bool:
    """Tell whether each port gets a node port, asked for or not."""
    return has_node_ports(spec) and (
        spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") in {None, True}
    )


def _numbers(spec: Json) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _all(spec: Json) -> set[int]:
    if not has_node_ports(spec):
        return set()  # an external name may have some, which are not given to it
    found = _numbers(spec)
    if needs_health_check(spec) and spec.get("healthCheckNodePort"):
        found.add(spec["healthCheckNodePort"])
    return found


def _give(spec: Json, write: _Write) -> list[Fault]:
    """Give node ports to a new Service; one is enough for the protocols of one port."""
    by_number: dict[Any, int] = {}
    ports = spec.get("ports") or []
    for index, port in enumerate(ports):
        asked, number = port.get("nodePort") or 0, port.get("port")
        if not asked and not _are_given(spec):
            continue
        if number not in by_number:
            alike = (other["nodePort"] for other in ports if other.get("port") == number and other.get("nodePort"))
            wanted = next(alike, 0)
            if wanted and (why := write.ask(wanted)):
                return [_fault(index, wanted, why)]
            port["nodePort"] = by_number[number] = wanted or write.next("nodePort")
        elif not asked:
            port["nodePort"] = by_number[number]
        elif asked != by_number[number] and (why := write.ask(asked)):
            return [_fault(index, asked, why)]
    return []


def _give_more(spec: Json, before: Json, write: _Write) -> list[Fault]:
    """Give node ports to the ports of a Service that have none yet."""
    former, asked_for = _numbers(before), set()
    seen: set[tuple[Any, int]] = set()
    for index, port in enumerate(spec.get("ports") or []):
        asked = port.get("nodePort") or 0
        if not asked and not _are_given(spec):
            continue
        if not asked:
            port["nodePort"] = write.next("nodePort")
        elif asked not in former and asked not in asked_for:
            if why := write.ask(asked):
                return [_fault(index, asked, why)]
            asked_for.add(asked)
        key = port.get("protocol"), port["nodePort"]
        if key in seen:
            raise ApiError(500, "", f"duplicate nodePort: {{{key[0]} {key[1]}}}")
        seen.add(key)
    return []


def _fault(index: int, port: int, why: str) -> Fault:
    return causes.invalid(f"spec.ports[{index}].nodePort", port, why)


def _give_health_check(spec: Json, write: _Write) -> None:
    asked = spec.get("healthCheckNodePort") or 0
    if not asked:
        spec["healthCheckNodePort"] = write.next("HealthCheck NodePort 0")
    elif why := write.ask(asked):
        raise internal_error(f"failed to allocate requested HealthCheck NodePort {asked}: {why}")
