"""What the API server refuses of probes and hooks of containers. Pure.

Source: the validation of pods in Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.commonrules import items
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_OF_PROBES = ("exec", "httpGet", "tcpSocket", "grpc")
_OF_HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_SCHEMES = ("HTTP", "HTTPS")
_GRACE = "terminationGracePeriodSeconds"


def probes(container: Json, field: str) -> Iterator[Cause]:
    """Return what is wrong with the probes of a container."""
    for name in PROBES:
        probe = container.get(name)
        if isinstance(probe, dict):
            yield from _probe(probe, f"{field}.{name}", is_of_readiness=name == "readinessProbe")


def _probe(probe: Json, field: str, *, is_of_readiness: bool) -> Iterator[Cause]:
    yield from _handler(probe, field, _OF_PROBES)
    for name in _NUMBERS:
        if probe.get(name, 0) < 0:
            yield causes.invalid(f"{field}.{name}", probe[name], causes.NOT_NEGATIVE)
    grace_s = probe.get(_GRACE)
    if grace_s is not None and grace_s <= 0:
        yield causes.invalid(f"{field}.{_GRACE}", grace_s, "must be greater than 0")
    if is_of_readiness:
        if grace_s is not None:
            yield causes.invalid(f"{field}.{_GRACE}", grace_s, "must not be set for readinessProbes")
    elif probe.get("successThreshold", 1) != 1:
        yield causes.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")


def hooks(container: Json, field: str, grace_s: int | None) -> Iterator[Cause]:
    """Return what is wrong with what a container does at its start and end.

    Args:
        container: It.
        field: Where it is.
        grace_s: How long its pod has to end, in seconds.
    """
    found = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if isinstance(found.get(name), dict):
            yield from _handler(found[name], f"{field}.lifecycle.{name}", _OF_HOOKS, grace_s)


def _handler(found: Json, field: str, known: tuple[str, ...], grace_s: int | None = None) -> Iterator[Cause]:
    handlers = [name for name in known if found.get(name) is not None]
    if not handlers:
        yield causes.required(field, "must specify a handler type")
        return
    first, here = found[handlers[0]], f"{field}.{handlers[0]}"
    match handlers[0]:
        case "exec":
            if not first.get("command"):
                yield causes.required(f"{here}.command")
        case "httpGet":
            yield from _request(first, here)
        case "tcpSocket" | "grpc":
            yield from port_or_name(first.get("port", 0), f"{here}.port")
        case "sleep":
            seconds = first.get("seconds", 0)
            if grace_s is not None and not 0 <= seconds <= grace_s:
                wrong = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
                yield causes.invalid(here, seconds, wrong)
    for name in handlers[1:]:
        yield causes.forbidden(f"{field}.{name}", "may not specify more than 1 handler type")


def _request(found: Json, field: str) -> Iterator[Cause]:
    if not found.get("path"):
        yield causes.required(f"{field}.path")
    yield from port_or_name(found.get("port", 0), f"{field}.port")
    if found.get("scheme") not in _SCHEMES:
        yield causes.unsupported(f"{field}.scheme", found.get("scheme") or "", _SCHEMES)
    for header in items(found, "httpHeaders"):
        name = header.get("name") or ""
        yield from (causes.invalid(f"{field}.httpHeaders", name, wrong) for wrong in causes.header_name(name))


def port_or_name(port: Any, field: str) -> Iterator[Cause]:
    """Return what keeps *port* from being a number of a port or the name of one."""
    wrong = causes.port_name(port) if isinstance(port, str) else causes.port_number(port)
    return (causes.invalid(field, port, each) for each in wrong)
