"""What the API server refuses of Services. Pure.

Source: the validation of the core kinds in Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes, handlerrules, podrules
from headlessdns.lab.api.commonrules import items, label_causes, label_form, subdomain_form
from headlessdns.lab.api.endpointrules import endpoint_ip
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")


def _is_headless(service: Json) -> bool:
    return _cluster_ips(service) == ["None"]


def _cluster_ips(service: Json) -> list[str]:
    return list((service.get("spec") or {}).get("clusterIPs") or ())


def service(new: Json, old: Json | None) -> _Rules:
    """Yield what is wrong with a Service."""
    spec = new.get("spec") or {}
    if old is not None:
        yield from _service_change(new, old)
    yield from _topology(new["metadata"].get("annotations") or {})
    headless = _is_headless(new)
    kind = spec.get("type")
    ports = items(spec, "ports")
    if not ports and not headless and kind != "ExternalName":
        yield causes.required("spec.ports")
    yield from _service_type(spec, headless)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        yield from _service_port(port, f"spec.ports[{index}]", len(ports) > 1, seen)
    yield from label_causes(spec.get("selector"), "spec.selector")
    yield from _affinity(spec)
    yield from address_causes(spec)
    for index, address in enumerate(spec.get("externalIPs") or []):
        yield from endpoint_ip(address, f"spec.externalIPs[{index}]")
    if kind not in _SERVICE_TYPES:
        yield causes.unsupported("spec.type", kind, _SERVICE_TYPES)
    yield from _double_ports(ports, kind)
    yield from _source_ranges(spec, new["metadata"].get("annotations") or {})
    yield from _policies(spec, kind)
    yield from _balancer_status(new)


_HINTS, _TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def _topology(annotations: Json) -> _Rules:
    hints, mode = annotations.get(_HINTS), annotations.get(_TOPOLOGY)
    if hints is not None and mode is not None and hints != mode:
        wrong = f"must match annotations[{_HINTS}] when both are specified"
        yield causes.invalid(f"metadata.annotations[{_TOPOLOGY}]", mode, wrong)


def _service_type(spec: Json, headless: bool) -> _Rules:
    kind = spec.get("type")
    if kind in {"LoadBalancer", "NodePort"} and headless:
        yield causes.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield causes.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        yield from subdomain_form(name, "spec.externalName")
    else:
        yield causes.required("spec.externalName")


def _service_port(port: Json, field: str, needs_name: bool, seen: set[str]) -> _Rules:
    name = port.get("name") or ""
    if needs_name and not name:
        yield causes.required(f"{field}.name")
    elif name:
        yield from label_form(name, f"{field}.name")
        if name in seen:
            yield causes.duplicate(f"{field}.name", name)
        seen.add(name)
    number = port.get("port", 0)
    yield from (causes.invalid(f"{field}.port", number, wrong) for wrong in causes.port_number(number))
    if port.get("protocol") not in podrules.PROTOCOLS:
        yield causes.unsupported(f"{field}.protocol", port.get("protocol"), podrules.PROTOCOLS)
    yield from handlerrules.port_or_name(port.get("targetPort", 0), f"{field}.targetPort")
    if port.get("appProtocol") is not None:
        found = port["appProtocol"]
        yield from (causes.invalid(f"{field}.appProtocol", found, wrong) for wrong in causes.qualified_name(found))


def _affinity(spec: Json) -> _Rules:
    affinity = spec.get("sessionAffinity")
    if affinity not in {"ClientIP", "None"}:
        yield causes.unsupported("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    elif affinity == "ClientIP":
        timeout = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < timeout <= 86400:
            where = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            yield causes.invalid(where, timeout, "must be greater than 0 and less than 86400")


def address_causes(spec: Json) -> _Rules:
    """Yield why the cluster IPs and IP families in the *spec* of a Service are no good."""
    if spec.get("type") == "ExternalName":
        return
    cluster_ips = _cluster_ips({"spec": spec})
    first = spec.get("clusterIP") or ""
    where = "spec.clusterIPs"
    if first and not cluster_ips:
        yield causes.required(where)
    elif first and cluster_ips[0] != first:
        yield causes.invalid(where, cluster_ips, "first value must match `clusterIP`")
    elif not first and cluster_ips:
        yield causes.invalid(where, cluster_ips, "must be empty when `clusterIP` is not specified")
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield causes.unsupported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            yield causes.duplicate(f"spec.ipFamilies[{index}]", family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        yield causes.unsupported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    bad = list(_bad_cluster_ips(cluster_ips))
    yield from bad
    if len(cluster_ips) > 2:
        yield causes.invalid(where, cluster_ips, "may only hold up to 2 values")
    if bad or cluster_ips == ["None"]:
        return
    parsed = [causes.sloppy_ip(address) for address in cluster_ips]
    versions = [found.version for found in parsed if found is not None]
    if len(versions) > 1 and len(set(versions)) == 1:
        yield causes.invalid(where, cluster_ips, "may specify no more than one IP for each IP family")
    for index, (address, family, version) in enumerate(zip(cluster_ips, families, versions, strict=False)):
        if family in _FAMILIES and family != f"IPv{version}":
            wrong = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield causes.invalid(f"{where}[{index}]", address, wrong)


def _bad_cluster_ips(cluster_ips: list[str]) -> _Rules:
    for index, address in enumerate(cluster_ips):
        if index == 0 and address == "None":
            if len(cluster_ips) > 1:
                yield causes.invalid("spec.clusterIPs", cluster_ips, "'None' must be the first and only value")
            continue
        where = f"spec.clusterIPs[{index}]"
        yield from (causes.invalid(where, address, wrong) for wrong in causes.ip(address))


def _double_ports(ports: list[Json], kind: Any) -> _Rules:
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                where = f"spec.ports[{index}].nodePort"
                yield causes.forbidden(where, "may not be used when `type` is 'ClusterIP'")
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("nodePort"))
        if key[1] and key in seen:
            yield causes.duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
        seen.add(key)
    seen = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port", 0))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            yield causes.duplicate(f"spec.ports[{index}]", shown)
        seen.add(key)


def is_external(spec: Json) -> bool:
    """Tell whether a Service with this *spec* is reached from outside of the cluster."""
    kind = spec.get("type")
    return kind in {"LoadBalancer", "NodePort"} or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def _policies(spec: Json, kind: Any) -> _Rules:
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        yield causes.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED)
    yield from _balancer_class(spec)
    external = spec.get("externalTrafficPolicy")
    if external and not is_external(spec):
        wrong = "may only be set for externally-accessible services"
        yield causes.invalid("spec.externalTrafficPolicy", external, wrong)
    elif is_external(spec) and external not in _POLICIES:
        yield causes.unsupported("spec.externalTrafficPolicy", external, _POLICIES)
    yield from _health_check(spec.get("healthCheckNodePort", 0), kind == "LoadBalancer" and external == "Local")
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in _POLICIES:
        yield causes.unsupported("spec.internalTrafficPolicy", internal, _POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield causes.unsupported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)


def _balancer_class(spec: Json) -> _Rules:
    name = spec.get("loadBalancerClass")
    if name is not None and spec.get("type") != "LoadBalancer":
        yield causes.forbidden("spec.loadBalancerClass", _ONLY_BALANCED)
    elif name is not None:
        yield from (causes.invalid("spec.loadBalancerClass", name, wrong) for wrong in causes.qualified_name(name))


def _health_check(port: int, is_needed: bool) -> _Rules:
    where = "spec.healthCheckNodePort"
    if port and not is_needed:
        wrong = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield causes.invalid(where, port, wrong)
    elif is_needed and not port:
        yield causes.required(where)
    elif is_needed:
        yield from (causes.invalid(where, port, wrong) for wrong in causes.port_number(port))


_SOURCES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def _source_ranges(spec: Json, annotations: Json) -> _Rules:
    """Source ranges stand in a list or in an annotation."""
    ranges, text = spec.get("loadBalancerSourceRanges"), annotations.get(_SOURCES)
    if ranges:
        where = "spec.LoadBalancerSourceRanges"
        named = [(f"{where}[{index}]", each) for index, each in enumerate(ranges)]
    elif text is not None:
        where = f"metadata.annotations[{_SOURCES}]"
        named = [(where, each) for each in text.split(",")] if text.strip() else []
    else:
        return
    if spec.get("type") != "LoadBalancer":
        yield causes.forbidden(where, _ONLY_BALANCED)
    for field, each in named:
        yield from (causes.invalid(field, each.strip(), wrong) for wrong in causes.cidr(each.strip()))


def _balancer_status(new: Json) -> _Rules:
    where = "status.loadBalancer.ingress"
    ways = items((new.get("status") or {}).get("loadBalancer") or {}, "ingress")
    if ways and (new.get("spec") or {}).get("type") != "LoadBalancer":
        yield causes.forbidden(where, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, way in enumerate(ways):
        yield from _way_in(way, f"{where}[{index}]")


def _way_in(way: Json, where: str) -> _Rules:
    address, name, mode = way.get("ip") or "", way.get("hostname") or "", way.get("ipMode")
    if address:
        yield from (causes.invalid(f"{where}.ip", address, wrong) for wrong in causes.ip(address))
    if mode is not None and not address:
        yield causes.forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")
    elif mode is not None and mode not in {"Proxy", "VIP"}:
        yield causes.unsupported(f"{where}.ipMode", mode, ("Proxy", "VIP"))
    elif mode is None and address:
        yield causes.required(f"{where}.ipMode", "must be specified when `ip` is set")
    if name:
        yield from subdomain_form(name, f"{where}.hostname")
        if causes.sloppy_ip(name):
            yield causes.invalid(f"{where}.hostname", name, "must be a DNS name, not an IP address")


def _service_change(new: Json, old: Json) -> _Rules:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    yield from _address_change(new, old)
    is_balanced = spec.get("type") == before.get("type") == "LoadBalancer"
    if is_balanced and spec.get("loadBalancerClass") != before.get("loadBalancerClass"):
        yield causes.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), _ONCE)
    yield from _balancer_class(spec)
    is_local = spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") == "Local"
    if is_balanced and is_local and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        yield causes.forbidden("spec.healthCheckNodePort", causes.IMMUTABLE)


def _address_change(new: Json, old: Json) -> _Rules:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in {spec.get("type"), before.get("type")}:
        return
    if not (_is_headless(new) and _is_headless(old)):
        yield from _cluster_ip_change(spec, _cluster_ips(new), _cluster_ips(old))
    if not _is_headless(new) and not _is_headless(old):
        yield from _family_change(spec, spec.get("ipFamilies") or [], before.get("ipFamilies") or [])


_ONCE = "may not change once set"


def _cluster_ip_change(spec: Json, ips: list[str], before: list[str]) -> _Rules:
    where = "spec.clusterIPs"
    if len(ips) == len(before):
        for index, (address, other) in enumerate(zip(ips, before, strict=True)):
            if address != other:
                yield causes.invalid(f"{where}[{index}]", ips, _ONCE)
        return
    if not ips:
        yield causes.invalid(f"{where}[0]", None, "primary clusterIP can not be unset")
    elif before and ips[0] != before[0]:
        yield causes.invalid(f"{where}[0]", ips, _ONCE)
    if len(before) > len(ips) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        wrong = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        yield causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), wrong)


def _family_change(spec: Json, families: list[str], before: list[str]) -> _Rules:
    where = "spec.ipFamilies[0]"
    if len(families) == len(before):
        yield from (
            causes.invalid(where, families, _ONCE) for one, other in zip(families, before, strict=True) if one != other
        )
        return
    if families and before and families[0] != before[0]:
        yield causes.invalid(where, spec.get("clusterIPs"), _ONCE)
    if len(before) > len(families) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        wrong = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        yield causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), wrong)
