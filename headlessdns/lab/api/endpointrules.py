"""What the API server refuses of EndpointSlices and Endpoints. Pure.

Source: the validation of the discovery and core kinds in Kubernetes 1.36.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import lru_cache

from headlessdns.lab.api import causes, podrules
from headlessdns.lab.api.commonrules import items, label_causes, label_form, subdomain_form
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

# ---- EndpointSlices

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_PORTS = 20_000
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_TOPOLOGY_LABELS = 16
_MAX_HINTS = 8


def endpoint_slice(new: Json, old: Json | None) -> _Rules:
    """Yield what is wrong with an EndpointSlice."""
    address_type = new.get("addressType") or ""
    if not address_type:
        yield causes.required("addressType")
    elif address_type not in _ADDRESS_TYPES:
        yield causes.unsupported("addressType", address_type, _ADDRESS_TYPES)
    yield from _slice_ports(items(new, "ports"))
    endpoints = items(new, "endpoints")
    if old is None or endpoints != items(old, "endpoints"):
        yield from _slice_endpoints(endpoints, address_type)
    if old is not None and address_type != old.get("addressType"):
        yield causes.invalid("addressType", address_type, causes.IMMUTABLE)


def _slice_ports(ports: list[Json]) -> _Rules:
    if len(ports) > _MAX_PORTS:
        yield causes.too_many("ports", len(ports), _MAX_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here, name = f"ports[{index}]", port.get("name") or ""
        if name:
            yield from label_form(name, f"{here}.name")
        if name in seen:
            yield causes.duplicate(f"{here}.name", name)
        seen.add(name)
        if port.get("protocol") not in podrules.PROTOCOLS:
            yield causes.unsupported(f"{here}.protocol", port.get("protocol"), podrules.PROTOCOLS)
        if port.get("appProtocol") is not None:
            found = port["appProtocol"]
            yield from (causes.invalid(f"{here}.appProtocol", found, wrong) for wrong in causes.qualified_name(found))


def _slice_endpoints(endpoints: list[Json], address_type: str) -> _Rules:
    if len(endpoints) > _MAX_ENDPOINTS:
        yield causes.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        here = f"endpoints[{index}]"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield causes.required(f"{here}.addresses", "must contain at least 1 address")
        elif len(addresses) > _MAX_ADDRESSES:
            yield causes.too_many(f"{here}.addresses", len(addresses), _MAX_ADDRESSES)
        for number, address in enumerate(addresses):
            yield from _slice_address(address, address_type, f"{here}.addresses", number)
        if endpoint.get("nodeName") is not None:
            yield from subdomain_form(endpoint["nodeName"], f"{here}.nodeName")
        topology = endpoint.get("deprecatedTopology") or {}
        if len(topology) > _MAX_TOPOLOGY_LABELS:
            yield causes.too_many(f"{here}.deprecatedTopology", len(topology), _MAX_TOPOLOGY_LABELS)
        yield from label_causes(topology, f"{here}.deprecatedTopology")
        if endpoint.get("hostname") is not None:
            yield from label_form(endpoint["hostname"], f"{here}.hostname")
        yield from _hints(endpoint.get("hints") or {}, f"{here}.hints")


def endpoints(new: Json, old: Json | None) -> _Rules:
    """Yield what is wrong with Endpoints."""
    for index, subset in enumerate(items(new, "subsets")):
        here = f"subsets[{index}]"
        ready, others = items(subset, "addresses"), items(subset, "notReadyAddresses")
        if not ready and not others:
            yield causes.required(here, "must specify `addresses` or `notReadyAddresses`")
        for field, addresses in (("addresses", ready), ("notReadyAddresses", others)):
            for number, address in enumerate(addresses):
                yield from _endpoint_address(address, f"{here}.{field}[{number}]")
        ports = items(subset, "ports")
        for number, port in enumerate(ports):
            yield from _endpoint_port(port, f"{here}.ports[{number}]", needs_name=len(ports) > 1)


def _endpoint_address(address: Json, field: str) -> _Rules:
    ip = address.get("ip") or ""
    wrong = causes.ip(ip)
    yield from (causes.invalid(f"{field}.ip", ip, each) for each in wrong)
    if address.get("hostname"):
        yield from label_form(address["hostname"], f"{field}.hostname")
    if address.get("nodeName") is not None:
        yield from subdomain_form(address["nodeName"], f"{field}.nodeName")
    if wrong:
        yield causes.invalid(f"{field}.ip", ip, "must be a valid IP address")
    else:
        yield from endpoint_ip(ip, f"{field}.ip")


def _endpoint_port(port: Json, field: str, *, needs_name: bool) -> _Rules:
    if port.get("name"):
        yield from label_form(port["name"], f"{field}.name")
    elif needs_name:
        yield causes.required(f"{field}.name")
    yield from (
        causes.invalid(f"{field}.port", port.get("port") or 0, wrong) for wrong in causes.port_number(port.get("port"))
    )
    if port.get("protocol") not in podrules.PROTOCOLS:
        yield causes.unsupported(f"{field}.protocol", port.get("protocol"), podrules.PROTOCOLS)
    if port.get("appProtocol") is not None:
        found = port["appProtocol"]
        yield from (causes.invalid(f"{field}.appProtocol", found, wrong) for wrong in causes.qualified_name(found))


def _slice_address(address: str, address_type: str, field: str, number: int) -> _Rules:
    here = f"{field}[{number}]"
    if address_type == "FQDN":
        yield from _fqdn(address, here)
        return
    if address_type not in {"IPv4", "IPv6"}:
        return
    is_v6 = address_type == "IPv6"
    found = causes.sloppy_ip(address)
    if found is not None and found.version != (6 if is_v6 else 4) and not (is_v6 and causes.strict_ip(address)):
        yield causes.invalid(field, address, f"must be an {address_type} address")
    yield from endpoint_ip(address, here, is_v6)


def _fqdn(name: str, field: str) -> _Rules:
    if not name:
        yield causes.required(field)
        return
    whole = name.removesuffix(".")
    wrong = causes.dns_subdomain(whole)
    if wrong:
        yield causes.invalid(field, whole, ",".join(wrong))
    elif "." not in whole:
        yield causes.invalid(field, whole, "should be a domain with at least two segments separated by dots")
    else:
        bad = next((part for part in whole.split(".") if causes.dns_label(part)), None)
        if bad is not None:
            yield causes.invalid(field, bad, ",".join(causes.dns_label(bad)))


def _hints(hints: Json, field: str) -> _Rules:
    for name, check in (("forZones", causes.label_value), ("forNodes", causes.dns_subdomain)):
        found = items(hints, name)
        if len(found) > _MAX_HINTS:
            yield causes.too_many(f"{field}.{name}", len(found), _MAX_HINTS)
            return
        seen: set[str] = set()
        for index, hint in enumerate(found):
            here, value = f"{field}.{name}[{index}].name", hint.get("name") or ""
            if value in seen:
                yield causes.duplicate(here, value)
            seen.add(value)
            yield from (causes.invalid(here, value, wrong) for wrong in check(value))


# ---- Addresses


def endpoint_ip(address: str, field: str, is_strict: bool = False) -> _Rules:
    """Yield why an endpoint cannot have *address*."""
    return (causes.invalid(field, address, wrong) for wrong in _wrong_endpoint_ip(address, is_strict))


# A cluster has the same addresses again and again.
@lru_cache(maxsize=16_384)
def _wrong_endpoint_ip(address: str, is_strict: bool) -> tuple[str, ...]:
    wrong = causes.strict_ip(address) if is_strict else causes.ip(address)
    found = None if wrong else causes.sloppy_ip(address)
    if found is None:
        return tuple(wrong)
    is_local_multicast = any(found in each for each in _LOCAL_MULTICAST if each.version == found.version)
    uses = (
        (found.is_unspecified, f"may not be unspecified ({address})"),
        (found.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (found.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (is_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    )
    return tuple(message for is_so, message in uses if is_so)


_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
