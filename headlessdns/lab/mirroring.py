"""The EndpointSlices of a Service without a selector: what is to be written so that they repeat its Endpoints. Pure.

The reference (`endpointslicemirroring` of v1.36) makes a slice of each address family and set of ports, of 1000
addresses of a subset at most, with the labels and annotations of the Endpoints. Ours does, too; only its writes name
the version that they were made from, and no event tells of addresses that are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headlessdns.lab.objects import MERGE_PATCH, Json, Write
from headlessdns.lab.services import (
    IPV4,
    IPV6,
    TRIGGER_ANNOTATION,
    Service,
    changes,
    read_address,
    to_json,
)
from headlessdns.lab.slices import (
    API_VERSION,
    MANAGED_BY_LABEL,
    MIRRORING_MANAGER,
    SERVICE_NAME_LABEL,
    Conditions,
    Endpoint,
    EndpointSlice,
    Port,
    PortSet,
    deletion,
    name_prefix,
    slices_path,
)
from headlessdns.lab.subsets import LEADER_ANNOTATION, MAX_ADDRESSES, Address, Endpoints, Subset
from headlessdns.lab.subsets import Port as SubsetPort

SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
OWN_ANNOTATIONS = (TRIGGER_ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration")  # are not repeated

_Group = tuple[str, PortSet]  # an address family, and ports


class _Place(NamedTuple):
    """What tells addresses apart: pods may have those of their nodes."""

    ip: str
    uid: str


class _Wanted(NamedTuple):
    """A slice as it is to be."""

    family: str
    ports: tuple[Port, ...]
    endpoints: tuple[Endpoint, ...]


def mirror_writes(
    service: Service | None, endpoints: Endpoints | None, present: Iterable[EndpointSlice]
) -> list[Write]:
    """Return what is to be written so that slices repeat the *endpoints* of *service*.

    Args:
        service: The Service.
        endpoints: The Endpoints of its name.
        present: The slices that repeat Endpoints of this name.

    Returns:
        The writes, deletions last; none where all is well.
    """
    standing = [one for one in present if one.metadata.deletion_timestamp is None]
    if service is None or endpoints is None or not _is_mirrored(service, endpoints):
        return [deletion(one) for one in standing]
    by_group: dict[_Group, list[EndpointSlice]] = {}
    for slice in standing:
        by_group.setdefault((slice.address_type, frozenset(slice.ports or ())), []).append(slice)
    pairs: list[tuple[_Wanted, EndpointSlice | None]] = []
    for group, wanted in _wanted(endpoints).items():
        pairs.append((wanted, by_group[group].pop(0) if group in by_group else None))
    unused = [slice for group in by_group.values() for slice in group]
    creations: list[Write] = []
    updates: list[Write] = []
    for wanted, before in pairs:
        # A slice that would be deleted becomes one that would be made.
        before = before or next((one for one in unused if one.address_type == wanted.family), None)
        if before in unused:
            unused.remove(before)
        if before is not None:
            updates += _updates(endpoints, wanted, before)
        elif not endpoints.metadata.deletion_timestamp:
            creations.append(_creation(endpoints, wanted))
    return [*creations, *updates, *(deletion(one) for one in unused)]


def _is_mirrored(service: Service, endpoints: Endpoints) -> bool:
    """Tell whether slices repeat *endpoints*: those of pods have their own, a lock has none."""
    metadata = endpoints.metadata
    is_skipped = (metadata.labels or {}).get(SKIP_LABEL) == "true" or LEADER_ANNOTATION in (metadata.annotations or {})
    return not service.spec.selector and not is_skipped


# What is wanted


def _wanted(endpoints: Endpoints) -> dict[_Group, _Wanted]:
    """Return the slices, those without endpoints left out."""
    wanted: dict[_Group, _Wanted] = {}
    for subset in repacked(endpoints.subsets or ()):
        ports = tuple(Port(one.name, one.port, one.protocol, one.app_protocol) for one in subset.ports or ())
        found: dict[str, dict[tuple[object, ...], Endpoint]] = {IPV4: {}, IPV6: {}}
        for family, endpoint in _endpoints(subset):
            found[family][endpoint.identity] = endpoint
        for family, by_identity in found.items():
            if by_identity:
                wanted[family, frozenset(ports)] = _Wanted(family, ports, tuple(by_identity.values()))
    return wanted


def _endpoints(subset: Subset) -> Iterator[tuple[str, Endpoint]]:
    """Return family and endpoint of the first 1000 addresses, those first that are ready."""
    addresses = [(one, True) for one in subset.addresses or ()] + [
        (one, False) for one in subset.not_ready_addresses or ()
    ]
    read = ((*read_address(address.ip), address, is_ready) for address, is_ready in addresses)
    usable = [one for one in read if one[1]]
    for ip, family, address, is_ready in usable[:MAX_ADDRESSES]:
        yield (
            family,
            Endpoint((ip,), Conditions(is_ready), address.hostname, address.target_ref, address.node_name),
        )


def repacked(subsets: Iterable[Subset]) -> list[Subset]:
    """Return *subsets* in their one form: ports that the same addresses have are together, and no address is twice.

    Where an address of a port is ready here and not ready there, it is not ready. Addresses are in the order of their
    texts.
    """
    known: dict[_Place, Address] = {}
    places: dict[SubsetPort | None, dict[_Place, bool]] = {}
    for subset in subsets:
        for port in subset.ports or (None,):
            found = places.setdefault(port, {})
            for address, is_ready in _addresses(subset):
                place = _Place(address.ip, address.target_ref.uid if address.target_ref else "")
                known.setdefault(place, address)
                found[place] = is_ready and found.get(place, True)
    ports_of: dict[tuple[tuple[_Place, bool], ...], list[SubsetPort]] = {}
    for port, found in places.items():
        ports = ports_of.setdefault(tuple(sorted(found.items())), [])
        if port is not None:
            ports.append(port)
    return [
        Subset(
            tuple(known[place] for place, is_ready in group if is_ready),
            tuple(known[place] for place, is_ready in group if not is_ready),
            tuple(ports),
        )
        for group, ports in ports_of.items()
    ]


def _addresses(subset: Subset) -> Iterator[tuple[Address, bool]]:
    """Return all addresses of a subset, and whether they are ready."""
    yield from ((one, True) for one in subset.addresses or ())
    yield from ((one, False) for one in subset.not_ready_addresses or ())


# How it is written


def _creation(endpoints: Endpoints, wanted: _Wanted) -> Write:
    head = endpoints.metadata
    metadata = {
        "generateName": name_prefix(head.name),
        "namespace": head.namespace,
        "labels": _labels(endpoints),
        "annotations": _annotations(endpoints),
        "ownerReferences": _owners(endpoints),
    }
    body: Json = {"apiVersion": API_VERSION, "kind": "EndpointSlice", "metadata": metadata}
    return Write("POST", slices_path(head.namespace), body | {"addressType": wanted.family} | _content(wanted))


def _updates(endpoints: Endpoints, wanted: _Wanted, before: EndpointSlice) -> list[Write]:
    head = before.metadata
    owners = head.owner_references or ()
    metadata: Json = {}
    if of_labels := changes(head.labels, _labels(endpoints)):
        metadata["labels"] = of_labels
    if of_annotations := changes(head.annotations, _annotations(endpoints)):
        metadata["annotations"] = of_annotations
    if all(owner.uid != endpoints.metadata.uid for owner in owners):
        metadata["ownerReferences"] = _owners(endpoints)
    if not metadata and _is_same(wanted, before):
        return []
    metadata |= {"uid": head.uid, "resourceVersion": head.resource_version}
    return [Write("PATCH", before.path, {"metadata": metadata, **_content(wanted)}, MERGE_PATCH)]


def _is_same(wanted: _Wanted, before: EndpointSlice) -> bool:
    """Tell whether a slice has the endpoints and ports, in whatever order and at whatever versions of their targets."""
    ours = sorted(map(_without_version, wanted.endpoints), key=repr)
    return ours == sorted(map(_without_version, before.endpoints or ()), key=repr) and (
        frozenset(wanted.ports) == frozenset(before.ports or ())
    )


def _without_version(endpoint: Endpoint) -> Json:
    found: Json = to_json(endpoint)
    found.get("targetRef", {}).pop("resourceVersion", None)
    return found


def _labels(endpoints: Endpoints) -> dict[str, str]:
    own = {SERVICE_NAME_LABEL: endpoints.metadata.name, MANAGED_BY_LABEL: MIRRORING_MANAGER}
    return {**(endpoints.metadata.labels or {}), **own}


def _annotations(endpoints: Endpoints) -> dict[str, str]:
    found = endpoints.metadata.annotations or {}
    return {name: value for name, value in found.items() if name not in OWN_ANNOTATIONS}


def _owners(endpoints: Endpoints) -> list[Json]:
    head = endpoints.metadata
    owner = {"apiVersion": "v1", "kind": "Endpoints", "name": head.name, "uid": head.uid}
    return [{**owner, "controller": True, "blockOwnerDeletion": True}]


def _content(wanted: _Wanted) -> Json:
    return {"endpoints": to_json(wanted.endpoints), "ports": to_json(wanted.ports)}
