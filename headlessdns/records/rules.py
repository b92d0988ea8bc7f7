"""The Kubernetes DNS specification as rules: which RRsets an observed object gives.

Source: Kubernetes DNS-Based Service Discovery 1.1.0, cited below as D1 to D26, the numbers of ARCHITECTURE.md.
Each function looks at one Service, Pod or Namespace and gives everything that is to be said of it. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from headlessdns import names
from headlessdns.cluster.objects import EndpointPort, Endpoints, EndpointSlice, Key, ObjectRef, Pod, Service
from headlessdns.names import CanonicalName
from headlessdns.records.rrset import MAX_TTL_S, SRV, RRset, Type, address_rdata, soa_rdata, srv_rdata, txt_rdata

SCHEMA_VERSION = "1.1.0"  # D2
SCHEMA_VERSION_TTL_S = 28800  # the example of D2
MAX_PORT = 65535
SRV_WEIGHT = 100  # equal for all; not 0, which some load balancers read as "drained"
FINISHED_PHASES = frozenset({"Succeeded", "Failed"})  # their addresses may belong to another pod by now


class PodNames(Enum):
    """How ``<address>.<namespace>.pod.<zone>`` is answered (D26)."""

    VERIFIED = "verified"
    INSECURE = "insecure"
    DISABLED = "disabled"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose about the records.

    Attributes:
        zone: Apex of the forward zone.
        reverse: Apexes of the reverse zones.
        pods: How pod address names are answered.
        endpoint_pod_names: Name an endpoint without a host name after its pod (D3).
        endpoint_ttl_s: TTL of whatever follows endpoints, pods and ExternalNames.
        cluster_ip_ttl_s: TTL of what follows a cluster IP.
        negative_ttl_s: SOA MINIMUM and TTL (RFC 2308 §5).
        ns_name: The name server's own name.
        ns_addresses: The name server's addresses as text; none leaves its name without data.
    """

    zone: CanonicalName = CanonicalName(b"\x07cluster\x05local\x00")
    reverse: tuple[CanonicalName, ...] = (names.IN_ADDR_ARPA, names.IP6_ARPA)
    pods: PodNames = PodNames.VERIFIED
    endpoint_pod_names: bool = False
    endpoint_ttl_s: int = 5
    cluster_ip_ttl_s: int = 30
    negative_ttl_s: int = 5
    ns_name: CanonicalName = CanonicalName(b"\x02ns\x03dns\x07cluster\x05local\x00")
    ns_addresses: tuple[str, ...] = ()

    @property
    def svc(self) -> CanonicalName:
        """The name above all Services."""
        return names.below(self.zone, "svc")

    @property
    def pod(self) -> CanonicalName:
        """The name above all pod address names."""
        return names.below(self.zone, "pod")


class Port(NamedTuple):
    """A port as SRV needs it; the name is empty where there is none."""

    name: str
    protocol: str
    port: int


class ReadyEndpoint(NamedTuple):
    """One address that is to be answered.

    Attributes:
        label: Its label below the Service: host name, pod name or dashed address.
        is_named: Whether the label is a host name or pod name; a dashed address has no PTR.
        packed: The address, 4 or 16 octets.
        ports: Ports of its slice.
        origin: The slice or Endpoints that it came from.
    """

    label: str
    is_named: bool
    packed: bytes
    ports: tuple[Port, ...]
    origin: ObjectRef


class _Collector:
    """RRsets in the making: equal records collapse (D24), the first origin stays."""

    def __init__(self) -> None:
        self._found: dict[tuple[CanonicalName, Type], dict[bytes, ObjectRef]] = {}
        self._ttl_s: dict[tuple[CanonicalName, Type], int] = {}

    def add(self, owner: CanonicalName, type: Type, ttl_s: int, rdata: bytes, origin: ObjectRef) -> None:
        """Add one record; a name that is over 255 octets cannot be asked for and is left out."""
        if len(owner) > names.MAX_NAME_OCTETS:
            return
        key = owner, type
        if key not in self._found:
            self._found[key] = {rdata: origin}
            self._ttl_s[key] = ttl_s
        else:
            self._found[key].setdefault(rdata, origin)

    def rrsets(self) -> list[RRset]:
        return [
            RRset(owner, type, self._ttl_s[owner, type], tuple(records), tuple(records.values()))
            for (owner, type), records in self._found.items()
        ]


def service_rrsets(
    service: Service, slices: list[EndpointSlice], endpoints: Endpoints | None, settings: Settings
) -> list[RRset]:
    """Return everything that is to be said of *service*.

    Args:
        service: The Service.
        slices: Its EndpointSlices; together they are one set of endpoints.
        endpoints: Its Endpoints, which count where there is no slice.
        settings: What the operator chose.
    """
    key = service.metadata.key
    owner = names.below(settings.svc, key.name, key.namespace) if _is_label_pair(key) else None
    if owner is None:
        return []
    if service.spec.type == "ExternalName":
        return _external_name_rrsets(service, owner, settings)
    ready = ready_endpoints(service, slices, endpoints, settings)
    collector = _Collector()
    if is_headless(service):
        _add_headless(collector, service, owner, ready, settings)
    else:
        _add_cluster_ips(collector, service, owner, settings)
        _add_endpoints(collector, owner, ready, ttl_s(service, settings.endpoint_ttl_s))
    return collector.rrsets()


def service_nodes(service: Service, settings: Settings) -> list[CanonicalName]:
    """Return the names of a Service that is to have a virtual address and has none yet, without data (D17)."""
    key, spec = service.metadata.key, service.spec
    if spec.type == "ExternalName" or is_headless(service) or not _is_label_pair(key):
        return []
    if any(_packed(ip) for ip in cluster_ips(service)):
        return []
    owner = names.below(settings.svc, key.name, key.namespace)
    ports = [_port_name(port.name, port.protocol, owner) for port in spec.ports or ()]
    return [name for name in (owner, *ports) if name is not None and len(name) <= names.MAX_NAME_OCTETS]


def _is_label_pair(key: Key) -> bool:
    return names.is_dns_label(key.name) and names.is_dns_label(key.namespace)


def is_headless(service: Service) -> bool:
    """Tell whether *service* has no virtual address on purpose (``clusterIP: None``)."""
    return service.spec.cluster_ip == "None" or (service.spec.cluster_ips or ())[:1] == ("None",)


def cluster_ips(service: Service) -> tuple[str, ...]:
    """Return the virtual addresses of *service*; none while the API server has not given it one."""
    spec = service.spec
    if spec.type == "ExternalName" or is_headless(service):
        return ()
    return tuple(ip for ip in spec.cluster_ips or (spec.cluster_ip,) if ip)


def ttl_s(service: Service, default_s: int) -> int:
    """Return the TTL that the annotation ``headlessdns.io/ttl`` of *service* asks for, else *default_s*."""
    annotations = service.metadata.annotations
    text = annotations.ttl_s if annotations else ""
    # Whoever may write a Service may write thousands of digits, at which int() raises.
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_TTL_S))
    return int(text) if is_number and int(text) <= MAX_TTL_S else default_s


def ready_endpoints(
    service: Service, slices: list[EndpointSlice], endpoints: Endpoints | None, settings: Settings
) -> list[ReadyEndpoint]:
    """Return the endpoints of *service* that are to be answered (D4), in the order of their ordinals."""
    publish_all = bool(service.spec.publish_not_ready_addresses)
    found: Iterable[ReadyEndpoint] = ()
    if slices:
        found = (one for slice in slices for one in _of_slice(slice, publish_all, settings.endpoint_pod_names))
    elif endpoints is not None:
        found = _of_endpoints(endpoints, publish_all, settings.endpoint_pod_names)
    return sorted(found, key=lambda one: (names.ordinal_order(one.label), one.packed))


def _of_slice(slice: EndpointSlice, publish_all: bool, pod_names: bool) -> Iterator[ReadyEndpoint]:
    origin = ObjectRef("EndpointSlice", slice.metadata.namespace, slice.metadata.name)
    ports = _ports(slice.ports)
    for endpoint in slice.endpoints or ():
        conditions = endpoint.conditions
        is_ready = conditions is None or conditions.ready is not False  # nil counts as true
        if not (is_ready or publish_all):
            continue
        target = endpoint.target_ref
        pod = target.name if pod_names and target and target.kind == "Pod" else ""
        for address in endpoint.addresses or ():
            one = _endpoint(address, endpoint.hostname or "", pod, ports, origin)
            if one:
                yield one


def _of_endpoints(endpoints: Endpoints, publish_all: bool, pod_names: bool) -> Iterator[ReadyEndpoint]:
    origin = ObjectRef("Endpoints", endpoints.metadata.namespace, endpoints.metadata.name)
    for subset in endpoints.subsets or ():
        ports = _ports(subset.ports)
        for address in (*(subset.addresses or ()), *((subset.not_ready_addresses or ()) if publish_all else ())):
            target = address.target_ref
            pod = target.name if pod_names and target and target.kind == "Pod" else ""
            one = _endpoint(address.ip, address.hostname or "", pod, ports, origin)
            if one:
                yield one


def _ports(ports: tuple[EndpointPort, ...] | None) -> tuple[Port, ...]:
    return tuple(
        Port(port.name or "", port.protocol or "TCP", port.port)
        for port in ports or ()
        if port.port is not None and _is_port(port.port)
    )


def _is_port(number: int) -> bool:
    """Tell whether SRV can name a port of that *number*; an API server lets no other in."""
    return 0 < number <= MAX_PORT


def _endpoint(
    address: str, hostname: str, pod: str, ports: tuple[Port, ...], origin: ObjectRef
) -> ReadyEndpoint | None:
    """Return the endpoint at *address*, or None where that is no address (a slice of type FQDN)."""
    packed = _packed(address)
    if packed is None:
        return None
    for candidate in (hostname.lower(), pod):
        if candidate and names.is_dns_label(candidate):  # D23: else the dashed address
            return ReadyEndpoint(candidate, True, packed, ports, origin)
    return ReadyEndpoint(names.dashed(ipaddress.ip_address(packed)), False, packed, ports, origin)


@lru_cache(maxsize=65536)
def _packed(address: str) -> bytes | None:
    """Return the octets of *address*, or None where it is none. Kept, since a Service is looked at again and again."""
    try:
        return ipaddress.ip_address(address).packed
    except ValueError:
        return None


def _add_addresses(collector: _Collector, owner: CanonicalName, packed: bytes, ttl_s: int, origin: ObjectRef) -> None:
    collector.add(owner, Type.A if len(packed) == 4 else Type.AAAA, ttl_s, packed, origin)


def _add_endpoints(collector: _Collector, owner: CanonicalName, ready: list[ReadyEndpoint], ttl_s: int) -> None:
    """Add the name of each endpoint (D3, D12)."""
    for one in ready:
        _add_addresses(collector, _child(one.label, owner), one.packed, ttl_s, one.origin)


def _add_headless(
    collector: _Collector, service: Service, owner: CanonicalName, ready: list[ReadyEndpoint], settings: Settings
) -> None:
    """Add a headless Service: addresses (D10), endpoints (D12), SRV (D13), PTR (D15). Not ready is not there (D11)."""
    ttl = ttl_s(service, settings.endpoint_ttl_s)
    for one in ready:
        _add_addresses(collector, owner, one.packed, ttl, one.origin)
    _add_endpoints(collector, owner, ready, ttl)
    for one in ready:
        target = _child(one.label, owner)
        if len(target) > names.MAX_NAME_OCTETS:
            continue
        _add_srv(collector, owner, one.ports, target, ttl, one.origin)
        if one.is_named:
            collector.add(reverse_of(one.packed), Type.PTR, ttl, target, one.origin)


def _add_srv(
    collector: _Collector,
    owner: CanonicalName,
    ports: Iterable[Port],
    target: CanonicalName,
    ttl_s: int,
    origin: ObjectRef,
) -> None:
    """Add SRV for *ports*: the named ones below `_port._protocol` (D7, D13), all of them at the Service itself."""
    for port in ports:
        rdata = srv_rdata(SRV(0, SRV_WEIGHT, port.port, target))
        service = _port_name(port.name, port.protocol, owner)
        if service is not None:
            collector.add(service, Type.SRV, ttl_s, rdata, origin)
        collector.add(owner, Type.SRV, ttl_s, rdata, origin)


def _port_name(name: str, protocol: str, owner: CanonicalName) -> CanonicalName | None:
    """Return `_port._protocol` below *owner*, or None for a port that can have no such name."""
    if not (name and _fits_behind_underscore(name) and _fits_behind_underscore(protocol)):
        return None
    return _child("_" + name.lower(), _child("_" + protocol.lower(), owner))


def _fits_behind_underscore(text: str) -> bool:
    return text.isascii() and len(text) < names.MAX_LABEL_OCTETS


def _add_cluster_ips(collector: _Collector, service: Service, owner: CanonicalName, settings: Settings) -> None:
    """Add a Service with virtual addresses: A and AAAA (D6), SRV (D7), PTR (D8)."""
    origin = ObjectRef("Service", *service.metadata.key)
    ttl = ttl_s(service, settings.cluster_ip_ttl_s)
    addresses = [packed for ip in cluster_ips(service) if (packed := _packed(ip))]
    for packed in addresses:
        _add_addresses(collector, owner, packed, ttl, origin)
        collector.add(reverse_of(packed), Type.PTR, ttl, owner, origin)
    if addresses:
        ports = [Port(port.name, port.protocol, port.port) for port in service.spec.ports or () if _is_port(port.port)]
        _add_srv(collector, owner, ports, owner, ttl, origin)


def _external_name_rrsets(service: Service, owner: CanonicalName, settings: Settings) -> list[RRset]:
    """Return the CNAME of an ExternalName Service (D16)."""
    try:
        target = names.from_text(service.spec.external_name or "")
    except ValueError:
        return []
    if target == names.ROOT:
        return []
    origin = ObjectRef("Service", *service.metadata.key)
    return [RRset(owner, Type.CNAME, ttl_s(service, settings.endpoint_ttl_s), (target,), (origin,))]


def _child(label: str, parent: CanonicalName) -> CanonicalName:
    """Return ``names.below`` without its checks, for a *label* that is known to be short and folded."""
    return CanonicalName(bytes((len(label),)) + label.encode() + parent)


@lru_cache(maxsize=65536)
def reverse_of(packed: bytes) -> CanonicalName:
    """Return the name under which the PTR of an address, 4 or 16 octets, is kept."""
    return names.reverse_name(ipaddress.ip_address(packed))


def pod_rrsets(pod: Pod, settings: Settings) -> list[RRset]:
    """Return the address names of *pod* (D26); none when its containers have ended."""
    key, status = pod.metadata.key, pod.status
    if settings.pods is not PodNames.VERIFIED or status is None or status.phase in FINISHED_PHASES:
        return []
    if not names.is_dns_label(key.namespace):
        return []
    origin = ObjectRef("Pod", *key)
    rrsets = []
    addresses = [one.ip for one in status.pod_ips or ()] or [status.pod_ip or ""]
    for packed in dict.fromkeys(map(_packed, addresses)):
        if packed is not None:
            address = ipaddress.ip_address(packed)
            owner = names.below(settings.pod, names.dashed(address), key.namespace)
            type, rdata = address_rdata(address)
            rrsets.append(RRset(owner, type, settings.endpoint_ttl_s, (rdata,), (origin,)))
    return rrsets


def namespace_nodes(namespace: str, settings: Settings) -> list[CanonicalName]:
    """Return the names that exist because *namespace* does, without data (D18)."""
    if not names.is_dns_label(namespace):
        return []
    above = [settings.svc] if settings.pods is PodNames.DISABLED else [settings.svc, settings.pod]
    return [names.below(parent, namespace) for parent in above]


def apex_rrsets(apex: CanonicalName, serial: int, settings: Settings) -> list[RRset]:
    """Return SOA and NS of the zone at *apex*."""
    rname = names.below(settings.zone, "hostmaster")
    minimum_s = settings.negative_ttl_s
    soa = soa_rdata(settings.ns_name, rname, serial, (7200, 1800, 86400, minimum_s))
    origin = ObjectRef("Zone", "", names.to_text(apex))
    return [
        RRset(apex, Type.SOA, minimum_s, (soa,), (origin,)),
        RRset(apex, Type.NS, settings.cluster_ip_ttl_s, (settings.ns_name,), (origin,)),
    ]


def server_rrsets(settings: Settings) -> list[RRset]:
    """Return what the server says of itself: its own addresses and the version of the schema (D2)."""
    origin = ObjectRef("Zone", "", names.to_text(settings.zone))
    collector = _Collector()
    for text in settings.ns_addresses:
        packed = _packed(text)
        if packed is not None:
            _add_addresses(collector, settings.ns_name, packed, settings.cluster_ip_ttl_s, origin)
    version = names.below(settings.zone, "dns-version")
    collector.add(version, Type.TXT, SCHEMA_VERSION_TTL_S, txt_rdata(SCHEMA_VERSION), origin)
    return collector.rrsets()


def fixed_nodes(settings: Settings) -> list[CanonicalName]:
    """Return the names that exist whatever the cluster holds (D18)."""
    nodes = [settings.zone, settings.svc, settings.pod, *settings.reverse]
    return [*nodes, settings.ns_name] if names.is_at_or_below(settings.ns_name, settings.zone) else nodes
