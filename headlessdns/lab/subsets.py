"""The Endpoints of a Service, which older clients read instead of its slices: what is to be written. Pure.

Source: the Kubernetes API reference, v1.36 (core/v1, "Endpoints"). They know one address family and 1000 addresses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from headlessdns.lab.objects import MERGE_PATCH, Json, Write
from headlessdns.lab.services import (
    HEADLESS_LABEL,
    TRIGGER_ANNOTATION,
    Metadata,
    Pod,
    Service,
    TargetRef,
    changes,
    labels_for,
    to_json,
    trigger_changes,
)

MAX_ADDRESSES = 1000
OVER_CAPACITY_ANNOTATION = "endpoints.kubernetes.io/over-capacity"
LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"  # such Endpoints are a lock and have no Service

MANAGER = "endpoint-controller"
MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"


class Address(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """Where one pod is."""

    ip: str
    hostname: str | None = None
    node_name: str | None = None
    target_ref: TargetRef | None = None


class Port(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """A port of all addresses of a subset."""

    name: str = ""
    port: int | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class Subset(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """Addresses that have the same ports."""

    addresses: tuple[Address, ...] | None = None
    not_ready_addresses: tuple[Address, ...] | None = None
    ports: tuple[Port, ...] | None = None


class Endpoints(msgspec.Struct):
    """The addresses of a Service."""

    metadata: Metadata
    subsets: tuple[Subset, ...] | None = None

    @property
    def path(self) -> str:
        """Where the API server has them."""
        return f"{endpoints_path(self.metadata.namespace)}/{self.metadata.name}"


def endpoints_path(namespace: str) -> str:
    """Return where the API server has the Endpoints of *namespace*."""
    return f"/api/v1/namespaces/{namespace}/endpoints"


def endpoints_write(
    service: Service, pods: Iterable[Pod], present: Endpoints | None, triggered: str = ""
) -> Write | None:
    """Return what is to be written so that the Endpoints of *service* say where its pods are.

    Args:
        service: The Service.
        pods: Those that it selects.
        present: The Endpoints of its name.
        triggered: When the oldest change came that is not written yet, empty where that is not known.

    Returns:
        The write; None where all is well, or where the Service has its Endpoints from elsewhere.
    """
    if not service.is_selecting:
        return None
    subsets = wanted_subsets(service, pods)
    is_cut = sum(map(_size, subsets)) > MAX_ADDRESSES
    if is_cut:
        subsets = cut(subsets)
    labels = labels_for(service, {MANAGED_BY_LABEL: MANAGER}, {MANAGED_BY_LABEL, HEADLESS_LABEL})
    if present is None:
        return _creation(service, labels, subsets, is_cut, triggered)
    return _update(present, labels, subsets, is_cut, triggered)


def leftover_write(present: Endpoints) -> Write | None:
    """Return the deletion of Endpoints whose Service is gone; those that are a lock have none and stay."""
    if LEADER_ANNOTATION in (present.metadata.annotations or {}):
        return None
    body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": present.metadata.uid}}
    return Write("DELETE", present.path, body)


# What is wanted


def wanted_subsets(service: Service, pods: Iterable[Pod]) -> list[Subset]:
    """Return where the pods of a Service are; ports that the same addresses have are together.

    A pod that ends is left out, unless the Service publishes addresses that are not ready.
    """
    places: dict[Port | None, list[tuple[Address, bool]]] = {}
    for pod in pods:
        address = _address(service, pod)
        if address is None:
            continue
        for port in _ports(service, pod):
            places.setdefault(port, []).append((address, service.spec.publish_not_ready_addresses or pod.is_ready))
    ports_of: dict[tuple[tuple[Address, bool], ...], list[Port]] = {}
    for one, found in places.items():
        ports = ports_of.setdefault(tuple(sorted(found, key=_order)), [])
        if one is not None:
            ports.append(one)
    return [
        Subset(
            tuple(address for address, is_ready in found if is_ready) or None,
            tuple(address for address, is_ready in found if not is_ready) or None,
            tuple(ports) or None,
        )
        for found, ports in ports_of.items()
    ]


def _order(place: tuple[Address, bool]) -> tuple[str, str]:
    address, _ = place
    return address.ip, address.target_ref.uid if address.target_ref else ""


def _address(service: Service, pod: Pod) -> Address | None:
    """Return where a pod is in the first family of its Service; None where it is not to be found."""
    if pod.is_terminal or (pod.is_terminating and not service.spec.publish_not_ready_addresses):
        return None
    found = pod.addresses(_family(service, pod))
    return Address(found[0], pod.hostname_in(service), pod.spec.node_name or "", pod.ref) if found else None


def _family(service: Service, pod: Pod) -> str:
    """Return the one family: a headless Service that says none takes that of the pod's first address."""
    families = service.families()
    if len(families) == 1 or service.spec.ip_families:
        return families[0]
    return next((family for family in families if pod.addresses(family)), families[0])


def _ports(service: Service, pod: Pod) -> list[Port | None]:
    """Return the ports of a pod; None stands for the addresses of a headless Service without ports."""
    ports = service.spec.ports or ()
    if not ports and service.spec.cluster_ip == "None":
        return [None]
    numbered = ((port, pod.port(port)) for port in ports)
    return [
        Port(port.name, number, port.protocol, port.app_protocol) for port, number in numbered if number is not None
    ]


# What is too much


def cut(subsets: list[Subset]) -> list[Subset]:
    """Return *subsets* with 1000 addresses: ready ones first, of each subset about as large a part as it had."""
    ready = sum(len(one.addresses or ()) for one in subsets)
    not_ready = sum(len(one.not_ready_addresses or ()) for one in subsets)
    cuts_ready = ready > MAX_ADDRESSES
    room = MAX_ADDRESSES if cuts_ready else MAX_ADDRESSES - ready
    total, left = (ready if cuts_ready else not_ready), room
    made = []
    for subset in subsets:
        own = (subset.addresses if cuts_ready else subset.not_ready_addresses) or ()
        kept = own[: min(math.ceil(len(own) / total * room), left)]
        left -= len(kept)
        some = kept or None
        made.append(Subset(some, None, subset.ports) if cuts_ready else Subset(subset.addresses, some, subset.ports))
    return [one for one in made if _size(one)]  # the API takes no subset without addresses


def _size(subset: Subset) -> int:
    return len(subset.addresses or ()) + len(subset.not_ready_addresses or ())


# How it is written


def _creation(service: Service, labels: dict[str, str], subsets: list[Subset], is_cut: bool, triggered: str) -> Write:
    head = service.metadata
    metadata: Json = {"name": head.name, "namespace": head.namespace, "labels": labels}
    annotations = {TRIGGER_ANNOTATION: triggered} if triggered else {}
    if is_cut:
        annotations[OVER_CAPACITY_ANNOTATION] = "truncated"
    if annotations:
        metadata["annotations"] = annotations
    body: Json = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": to_json(subsets)}
    return Write("POST", endpoints_path(head.namespace), body)


def _update(
    present: Endpoints, labels: dict[str, str], subsets: list[Subset], is_cut: bool, triggered: str
) -> Write | None:
    head = present.metadata
    was_cut = OVER_CAPACITY_ANNOTATION in (head.annotations or {})
    is_same = _as_set(subsets) == _as_set(present.subsets or ())
    if is_same and labels == (head.labels or {}) and is_cut == was_cut:
        return None
    metadata: Json = {"uid": head.uid, "resourceVersion": head.resource_version}
    if of_labels := changes(head.labels, labels):
        metadata["labels"] = of_labels
    annotations = trigger_changes(head.annotations, triggered)
    if is_cut != was_cut:
        annotations[OVER_CAPACITY_ANNOTATION] = "truncated" if is_cut else None
    if annotations:
        metadata["annotations"] = annotations
    return Write("PATCH", present.path, {"metadata": metadata, "subsets": to_json(subsets) or None}, MERGE_PATCH)


def _as_set(subsets: Iterable[Subset]) -> frozenset[object]:
    """Return *subsets* without their order, and that of their ports and addresses."""
    return frozenset(
        tuple(frozenset(part or ()) for part in (one.addresses, one.not_ready_addresses, one.ports)) for one in subsets
    )
