"""Cluster IPs and IP families of Services. Pure.

Source: Kubernetes, "IPv4/IPv6 dual-stack"; k8s.io/kubernetes `pkg/registry/core/service`. Addresses are given out in
their order, and one that was given back waits until its turn comes again.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault

RANGES = {"IPv4": "10.96.0.0/16", "IPv6": "fd00:96::/108"}
FAMILIES = ("IPv4", "IPv6")  # the first is the one of a Service that does not say
NONE, EXTERNAL = "None", "ExternalName"
FIRST = 10  # before it are those of Services that every cluster has, such as 10.96.0.1 and 10.96.0.10


class Addresses:
    """The cluster IPs that are taken."""

    def __init__(self) -> None:
        self._networks: dict[str, IPv4Network | IPv6Network] = {
            family: ip_network(text) for family, text in RANGES.items()
        }
        self._last = dict.fromkeys(FAMILIES, FIRST)
        self._taken: dict[str, str] = {}

    def take(self, addresses: Iterable[str], owner: str) -> None:
        """Note that the Service *owner* has *addresses*."""
        for address in addresses:
            if address and address != NONE:
                self._taken[address] = owner

    def give_back(self, addresses: Iterable[str]) -> None:
        """Note that nobody has *addresses* any more."""
        for address in addresses:
            self._taken.pop(address, None)

    def next(self, family: str) -> str:
        """Return an address of *family* that is free; it is not taken yet."""
        network = self._networks[family]
        size = network.num_addresses
        for _ in range(size):
            self._last[family] = self._last[family] % (size - 2) + 1
            address = str(network[self._last[family]])
            if address not in self._taken:
                return address
        raise AssertionError(f"all {size} addresses of {family} are taken")  # 65,534 Services on a laptop

    def fault(self, address: str, owner: str) -> str:
        """Return why the Service *owner* cannot have *address*; empty where it can."""
        parsed = ip_address(address)
        network = self._networks[f"IPv{parsed.version}"]
        if parsed not in network:
            return "the provided network does not match the current range"
        if self._taken.get(address, owner) != owner:
            return "provided IP is already allocated"
        return ""


def settle(service: Json, old: Json | None, addresses: Addresses) -> list[Fault]:
    """Give *service* its IP families and cluster IPs, in place; return what is wrong with those that it asks for.

    Addresses are not taken yet, so that nothing has to be given back where the Service is refused.
    """
    spec = service["spec"]
    if spec.get("type") == EXTERNAL:
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(field, None)
        return []
    wanted = _ips(spec)
    families = spec.get("ipFamilies") or ()
    if (
        spec.get("ipFamilyPolicy") == "SingleStack"
        and len(families) > 1
        and list(families) != ((old or {}).get("spec") or {}).get("ipFamilies")
    ):
        message = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"
        return [Fault("spec.ipFamilyPolicy", "FieldValueInvalid", f'Invalid value: "SingleStack": {message}')]
    if wanted and wanted[0] == NONE:
        _settle_families(spec, wanted)
        spec["clusterIP"], spec["clusterIPs"] = NONE, [NONE]
        return []
    faults = _faults(wanted, service, addresses)
    if faults:
        return faults
    families = _settle_families(spec, wanted)
    ips = wanted[: len(families)]
    ips += [addresses.next(family) for family in families[len(ips) :]]
    spec["clusterIP"], spec["clusterIPs"] = ips[0], ips
    return []


def keep(service: Json, old: Json) -> None:
    """Give *service* what it had as *old* and does not say, in place; before it is validated."""
    spec, old = service.get("spec") or {}, old.get("spec") or {}
    if old.get("type") == EXTERNAL:
        return
    if spec.get("type") == EXTERNAL:
        # What comes with addresses goes with them, unless it was changed, too.
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field) == old.get(field):
                spec.pop(field, None)
        return
    if not spec.get("clusterIP") and old.get("clusterIP") and _ips(spec)[:1] in ([], [old["clusterIP"]]):
        spec["clusterIP"] = old["clusterIP"]
    if not spec.get("clusterIPs") and spec.get("clusterIP") == old.get("clusterIP") and old.get("clusterIPs"):
        spec["clusterIPs"] = old["clusterIPs"]
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if not spec.get(field) and old.get(field):
            spec[field] = old[field]
    if (
        spec.get("clusterIP")
        and spec.get("clusterIP") != old.get("clusterIP")
        and (spec.get("clusterIPs") == old.get("clusterIPs"))
    ):
        spec.pop("clusterIPs", None)  # the one field was changed by a client that does not know the other


def _ips(spec: Json) -> list[str]:
    return list(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else []))


def _faults(wanted: list[str], service: Json, addresses: Addresses) -> list[Fault]:
    metadata = service["metadata"]
    owner = f"{metadata.get('namespace')}/{metadata.get('name')}"
    faults = []
    for index, address in enumerate(wanted):
        try:
            why = addresses.fault(address, owner)
        except ValueError:
            continue  # validation says what is wrong with its form
        if why:
            field = f"spec.clusterIPs[{index}]" if index else "spec.clusterIPs"
            value = f'["{address}"]' if not index else f'"{address}"'
            message = f"failed to allocate IP {address}: {why}"
            faults.append(Fault(field, "FieldValueInvalid", f"Invalid value: {value}: {message}"))
    return faults


def _settle_families(spec: Json, ips: list[str]) -> list[str]:
    """Settle policy and families, which depend on what the Service says of either and of its addresses."""
    families = list(spec.get("ipFamilies") or ())
    if not families:
        families = [f"IPv{ip_address(ip).version}" for ip in ips if ip != NONE and _is_address(ip)]
    policy = spec.get("ipFamilyPolicy")
    if not policy:
        if ips[:1] == [NONE] and not spec.get("selector"):
            policy = "RequireDualStack"  # nobody knows which families its hand-made endpoints have
        else:
            policy = "SingleStack" if len(families) < len(FAMILIES) else "RequireDualStack"
    families = families or [FAMILIES[0]]
    if policy == "SingleStack":
        families = families[:1]
        if len(spec.get("clusterIPs") or ()) > 1:
            spec["clusterIPs"] = spec["clusterIPs"][:1]
    elif len(families) == 1:
        families += [family for family in FAMILIES if family not in families]
    spec["ipFamilyPolicy"], spec["ipFamilies"] = policy, families
    return families


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
