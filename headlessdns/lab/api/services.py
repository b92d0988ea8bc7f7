"""What Services are given: cluster IPs, IP families and node ports; and what they lose with their type. Pure.

Source: Kubernetes, "IPv4/IPv6 dual-stack"; k8s.io/kubernetes `pkg/registry/core/service`. Addresses are given out in
their order, and one that was given back waits until its turn comes again.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from headlessdns.lab.api import causes, node_ports, servicerules
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault

RANGES = {"IPv4": "10.96.0.0/16", "IPv6": "fd00:96::/108"}
FAMILIES = ("IPv4", "IPv6")  # the first is the one of a Service that does not say
NONE, EXTERNAL = "None", "ExternalName"
FIRST = 10  # before it are those of Services that every cluster has, such as 10.96.0.1 and 10.96.0.10

_SINGLE, _PREFERRED, _REQUIRED = "SingleStack", "PreferDualStack", "RequireDualStack"


class Addresses:
    """The cluster IPs that are taken."""

    def __init__(self) -> None:
        self._networks: dict[str, IPv4Network | IPv6Network] = {
            family: ip_network(text) for family, text in RANGES.items()
        }
        self._last = dict.fromkeys(FAMILIES, FIRST)
        self._taken: set[str] = set()

    def take(self, addresses: Iterable[str]) -> None:
        """Note that a Service has *addresses*."""
        self._taken.update(_canonical(address) for address in addresses if address != NONE)

    def give_back(self, addresses: Iterable[str]) -> None:
        """Note that nobody has *addresses* any more."""
        self._taken.difference_update(map(_canonical, addresses))

    def next(self, family: str, *, is_dry: bool) -> str:
        """Return an address of *family* that is free, in a dry run one that nobody gets; it is not taken yet."""
        network = self._networks[family]
        size = network.num_addresses
        if is_dry:
            return str(network[0])
        for _ in range(size):
            self._last[family] = self._last[family] % (size - 2) + 1
            address = str(network[self._last[family]])
            if address not in self._taken:
                return address
        raise AssertionError(f"all {size} addresses of {family} are taken")  # 65,534 Services on a laptop

    def fault(self, address: str, family: str, *, is_dry: bool) -> str:
        """Return why a Service cannot have *address*; empty where it can."""
        parsed, network = causes.sloppy_ip(address), self._networks[family]
        last = network[-2] if network.version == 4 else network[-1]  # a broadcast is nobody's address
        if parsed is None or not int(network[1]) <= int(parsed) <= int(last):
            if is_dry:
                return f"the provided IP ({parsed}) is not in the valid range. The range of valid IPs is {network}"
            return "the provided network does not match the current range"
        if str(parsed) in self._taken and not is_dry:
            return "provided IP is already allocated"
        return ""


def _canonical(address: str) -> str:
    return str(causes.sloppy_ip(address) or address)


class Given:
    """What Services have that no other may have.

    Attributes:
        addresses: Cluster IPs.
        ports: Node ports.
    """

    def __init__(self) -> None:
        self.addresses = Addresses()
        self.ports = node_ports.NodePorts()

    def take(self, service: Json) -> None:
        """Note what a stored *service* has."""
        spec = service["spec"]
        if _has_ips(spec):
            self.addresses.take(_ips(spec))
        self.ports.take(spec)

    def give_back(self, service: Json) -> None:
        """Note that nobody has what *service* had."""
        spec = service["spec"]
        if _has_ips(spec):
            self.addresses.give_back(_ips(spec))
        self.ports.give_back(spec)


def settle(service: Json, old: Json | None, given: Given, *, is_dry: bool) -> list[Fault]:
    """Give *service* its IP families, cluster IPs and node ports, in place; return what is wrong with its wishes.

    What it had as *old* and does not mention it keeps, but for what its type has no use for. Nothing is taken yet, so
    that nothing has to be given back where the Service is refused. It is validated afterwards, and then `finish`ed.

    Args:
        service: As it is wanted, with its defaults.
        old: The stored one; None for a new Service.
        given: What others have.
        is_dry: Whether nothing is going to be stored.

    Raises:
        ApiError: Its node ports are wrong in a way that is no fault of a field.
    """
    spec, before = service["spec"], None if old is None else old["spec"]
    if before is not None:
        _keep(spec, before)
    _join(spec, before)
    faults = (
        _settle_families(spec, before)
        or _settle_addresses(spec, before, given.addresses, is_dry)
        or node_ports.settle(spec, before, given.ports, is_dry=is_dry)
    )
    if before is not None and not faults:
        _drop(service, before)
    return faults


def finish(service: Json) -> None:
    """Bring a valid *service* into the form in which it is shown, in place."""
    spec = service["spec"]
    if not _has_ips(spec):
        spec.pop("internalTrafficPolicy", None)
        _join(spec, None)  # a clusterIP may be left that came with the type


def _ips(spec: Json) -> list[str]:
    return spec.get("clusterIPs") or []


def _families(spec: Json) -> list[str]:
    return spec.get("ipFamilies") or []


def _has_ips(spec: Json) -> bool:
    """Tell whether the type of a Service has cluster IPs, be they None."""
    return spec.get("type") != EXTERNAL


def _keep(spec: Json, before: Json) -> None:
    if _has_ips(spec) and _has_ips(before):
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    node_ports.keep(spec, before)


def _join(spec: Json, before: Json | None) -> None:
    """Bring clusterIPs in line with clusterIP, which is all that some clients know."""
    ip = spec.get("clusterIP") or ""
    if before is None:
        if ip and not _ips(spec):
            spec["clusterIPs"] = [ip]
        return
    old_ip, old_ips = before.get("clusterIP") or "", _ips(before)
    if ip == old_ip:
        if old_ips and not _ips(spec):
            spec["clusterIPs"] = old_ips
    elif _ips(spec) == old_ips:
        spec.pop("clusterIPs", None)
        if ip:
            spec["clusterIPs"] = [ip]


def _settle_families(spec: Json, before: Json | None) -> list[Fault]:
    """Settle policy and families, which depend on what the Service says of either and of its addresses."""
    if not _has_ips(spec):
        return []
    if not spec.get("ipFamilyPolicy"):
        # Nobody knows which families hand-made endpoints have.
        is_unknown = spec.get("clusterIP") == NONE and not spec.get("selector")
        spec["ipFamilyPolicy"] = (before or {}).get("ipFamilyPolicy") or (_REQUIRED if is_unknown else _SINGLE)
    faults = list(servicerules.address_causes(spec))
    if faults:
        return faults
    if before is not None:
        faults = _release_second(spec, before)
    faults += _too_many(spec)
    if faults:
        return faults
    families = list(_families(spec))
    for ip in _ips(spec)[len(families) :]:
        if ip != NONE:
            families.append("IPv6" if ":" in ip else "IPv4")
    families = families or [FAMILIES[0]]
    if spec["ipFamilyPolicy"] != _SINGLE and len(families) == 1:
        families += [family for family in FAMILIES if family not in families]
    spec["ipFamilies"] = families
    return []


_LISTS = (
    ("clusterIPs", "cluster IP", "cluster IPs"),
    ("ipFamilies", "IP family", "IP families"),
)


def _release_second(spec: Json, before: Json) -> list[Fault]:
    """Take the second family away where the policy says so; it has to say so."""
    faults = []
    for field, one, _ in _LISTS:
        found, former = spec.get(field) or [], before.get(field) or []
        if spec["ipFamilyPolicy"] == _SINGLE:
            if len(found) > 1 and found == former:
                spec[field] = found[:1]
        elif 0 < len(found) < len(former):
            faults.append(_wrong_policy(spec, f"must be '{_SINGLE}' to release the secondary {one}"))
    return faults


def _too_many(spec: Json) -> list[Fault]:
    if spec["ipFamilyPolicy"] != _SINGLE:
        return []
    return [
        _wrong_policy(spec, f"must be '{_REQUIRED}' or '{_PREFERRED}' when multiple {several} are specified")
        for field, _, several in _LISTS
        if len(spec.get(field) or ()) == len(FAMILIES)
    ]


def _wrong_policy(spec: Json, message: str) -> Fault:
    return causes.invalid("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], message)


def _settle_addresses(spec: Json, before: Json | None, addresses: Addresses, is_dry: bool) -> list[Fault]:
    if not _has_ips(spec):
        return []
    families, ips = _families(spec), list(_ips(spec))
    if before is None or not _has_ips(before):
        if ips[:1] == [NONE]:
            return []
        new = range(len(families))
    elif len(_families(before)) < len(families) == len(FAMILIES) and _ips(before)[:1] != [NONE]:
        new = range(1, len(families))
    else:
        return []
    ips += [""] * (len(families) - len(ips))
    settled = list(ips)
    for index in new:
        why = ips[index] and addresses.fault(ips[index], families[index], is_dry=is_dry)
        if why:
            return [causes.invalid("spec.clusterIPs", ips, f"failed to allocate IP {ips[index]}: {why}")]
        settled[index] = ips[index] or addresses.next(families[index], is_dry=is_dry)
    spec["clusterIP"], spec["clusterIPs"] = settled[0], settled
    return []


def _drop(service: Json, before: Json) -> None:
    """Take away what the type of *service* has no use for any more, unless the same write changed it, too."""
    spec = service["spec"]
    if _has_ips(before) and not _has_ips(spec):
        _drop_same(spec, before, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
    node_ports.drop(spec, before)
    if before.get("type") == "LoadBalancer" != spec.get("type"):
        _drop_same(spec, before, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if servicerules.is_external(before) and not servicerules.is_external(spec):
        _drop_same(spec, before, "externalTrafficPolicy")
    if spec.get("type") != "LoadBalancer":
        service["status"]["loadBalancer"] = {}


def _drop_same(spec: Json, before: Json, *fields: str) -> None:
    for field in fields:
        if spec.get(field) == before.get(field):
            spec.pop(field, None)
