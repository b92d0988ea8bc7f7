"""Which names to ask when two servers are compared: every one that content could have, and as many that it lacks.

Made from the manifests alone, generously: a name is listed for an endpoint that is not ready and for a port of either
the Service or a slice. What a server says to it is not told here. Pure.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from tests.coredns.generator import Manifest

ZONE = "cluster.local"
APEXES = (ZONE, "in-addr.arpa", "ip6.arpa")
LONGEST_LABEL = 63


def dashed(address: str) -> str:
    """Return the label that stands for *address* where there is no host name."""
    label = address.replace(".", "-").replace(":", "-")
    return f"{label}0" if label.endswith("-") else label


def is_address(text: str) -> bool:
    """Whether *text* is an IP address, as in all slices but those of the type FQDN."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def reverse_name(address: str) -> str:
    """Return the name whose PTR records lead back from *address*."""
    return ipaddress.ip_address(address).reverse_pointer


def with_ancestors(names: Iterable[str]) -> set[str]:
    """Return *names* and all that is between each of them and the apex of its zone, apexes included."""
    found = set(APEXES)
    for name in names:
        while name not in found:
            found.add(name)
            name = name.partition(".")[2]
    return found


def owner_names(objects: Iterable[Manifest]) -> list[str]:
    """Return every name below the zone and in the reverse trees that *objects* may have records at, sorted."""
    names = {*APEXES, f"svc.{ZONE}", f"pod.{ZONE}", f"dns-version.{ZONE}", f"ns.dns.{ZONE}"}
    for manifest in objects:
        names.update(NAMES_OF[manifest["kind"]](manifest))
    return sorted(names)


def base_name(name: str, space: str) -> str:
    """Return the name of the Service *name* in the namespace *space*."""
    return f"{name}.{space}.svc.{ZONE}"


def _of_namespace(manifest: Manifest) -> Iterator[str]:
    name = manifest["metadata"]["name"]
    yield from (f"{name}.svc.{ZONE}", f"{name}.pod.{ZONE}")


def _of_service(manifest: Manifest) -> Iterator[str]:
    metadata, spec = manifest["metadata"], manifest["spec"]
    base = base_name(metadata["name"], metadata["namespace"])
    yield base
    yield from _of_ports(base, spec.get("ports") or [])
    yield from (reverse_name(address) for address in spec.get("clusterIPs") or [] if address != "None")
    if spec.get("externalName", "").endswith(f".{ZONE}"):
        yield spec["externalName"]


def _of_slice(manifest: Manifest) -> Iterator[str]:
    metadata = manifest["metadata"]
    base = base_name(metadata["labels"]["kubernetes.io/service-name"], metadata["namespace"])
    yield base
    yield from _of_ports(base, manifest["ports"] or [])
    for endpoint in manifest["endpoints"] or []:
        if "hostname" in endpoint:
            yield f"{endpoint['hostname']}.{base}"
        for address in filter(is_address, endpoint["addresses"]):
            yield f"{dashed(address)}.{base}"
            yield reverse_name(address)


def _of_ports(base: str, ports: Iterable[Manifest]) -> Iterator[str]:
    for port in ports:
        protocol = f"_{port['protocol'].lower()}.{base}"
        yield protocol
        if 0 < len(port.get("name", "")) < LONGEST_LABEL:
            yield f"_{port['name']}.{protocol}"


def _of_pod(manifest: Manifest) -> Iterator[str]:
    for item in manifest["status"].get("podIPs", []):
        yield f"{dashed(item['ip'])}.{manifest['metadata']['namespace']}.pod.{ZONE}"
        yield reverse_name(item["ip"])


NAMES_OF = {"Namespace": _of_namespace, "Service": _of_service, "EndpointSlice": _of_slice, "Pod": _of_pod}


def absent_names(names: Iterable[str], rng: random.Random) -> list[str]:
    """Return, for each of *names*, one like it that is neither among them nor above one of them, sorted."""
    existing = with_ancestors(names)
    absent: set[str] = set()
    for number, name in enumerate(sorted(names)):
        twist = rng.choice(TWISTS)
        twisted = twist(name, number)
        absent.add(f"absent-{number}.{name}" if twisted in existing | absent else twisted)
    return sorted(absent)


def _below(name: str, number: int) -> str:
    return f"absent-{number}.{name}"


def _beside(name: str, number: int) -> str:
    """Return a name whose first label is one more than that of *name* where it ends in a digit, else another."""
    label, _, rest = name.partition(".")
    ending = label[-1]
    return f"{label[:-1]}{int(ending) + 1}.{rest}" if ending in "012345678" else f"absent-{number}.{rest}"


def _other_parent(name: str, number: int) -> str:
    label, _, rest = name.partition(".")
    return f"{label}.absent-{number}.{rest}"


def _other_branch(name: str, _number: int) -> str:
    """Return *name* below ``pod`` instead of ``svc`` and the reverse; reverse names get one label too many."""
    turned = {"svc": "pod", "pod": "svc"}
    head, found, tail = name.rpartition(f".{ZONE}")
    kind = head.rpartition(".")[2]
    if found and not tail and kind in turned:
        return f"{head[: -len(kind)]}{turned[kind]}.{ZONE}"
    return f"0.{name}"


def _without_underscores(name: str, number: int) -> str:
    return name.replace("_", "") if "_" in name else _below(name, number)


TWISTS = (_below, _beside, _other_parent, _other_branch, _without_underscores)
