"""The EndpointSlices of a Service: what is to be written so that they say where its pods are. Pure.

Source: the Kubernetes API reference, v1.36 (discovery.k8s.io/v1), and the documentation of EndpointSlices
("Distribution of EndpointSlices"). Nothing depends on what happened, only on what there is; as few slices as possible
are written, since whoever watches gets a whole slice for each change in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from headlessdns.lab.objects import MERGE_PATCH, Json, Write
from headlessdns.lab.services import (
    HEADLESS_LABEL,
    IPV4,
    TRIGGER_ANNOTATION,
    Metadata,
    Node,
    Pod,
    Service,
    TargetRef,
    changes,
    labels_for,
    to_json,
    trigger_changes,
)

MAX_ENDPOINTS = 100  # of a slice; the default of the reference

MANAGER = "endpointslice-controller.k8s.io"
MIRRORING_MANAGER = "endpointslicemirroring-controller.k8s.io"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
RESERVED_LABELS = frozenset({MANAGED_BY_LABEL, SERVICE_NAME_LABEL, HEADLESS_LABEL})

API_VERSION = "discovery.k8s.io/v1"
MAX_NAME = 253  # of octets, RFC 1123

# Where traffic is to stay near, and whether that means the node: `spec.trafficDistribution` of a Service.
NEAR = {"PreferClose": False, "PreferSameZone": False, "PreferSameNode": True}
TOPOLOGY_ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may be asked of an endpoint."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Place(msgspec.Struct, frozen=True):
    """A zone or a node."""

    name: str


class Hints(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """From where an endpoint should be used."""

    for_zones: tuple[Place, ...] | None = None
    for_nodes: tuple[Place, ...] | None = None


class Endpoint(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """Where one pod is."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    hostname: str | None = None
    target_ref: TargetRef | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: Hints | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What stays while it is the same endpoint, whatever its conditions."""
        target = self.target_ref
        return self.addresses, self.hostname or "", (target.namespace, target.name) if target else None


class Port(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """A port of all endpoints of a slice."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSlice(msgspec.Struct, rename="camel"):
    """Some endpoints of a Service that have one address family and the same ports."""

    metadata: Metadata
    address_type: str = IPV4
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[Port, ...] | None = None

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"{slices_path(self.metadata.namespace)}/{self.metadata.name}"

    @property
    def manager(self) -> str:
        """Who makes it."""
        return (self.metadata.labels or {}).get(MANAGED_BY_LABEL, "")

    @property
    def service_name(self) -> str:
        """The name of the Service whose slice it is, where it is made from pods or Endpoints; else empty."""
        labels = self.metadata.labels or {}
        return labels.get(SERVICE_NAME_LABEL, "") if self.manager in (MANAGER, MIRRORING_MANAGER) else ""


PortSet = frozenset[Port]


class _Wanted(NamedTuple):
    """Endpoints that are to be in slices of their own, since they have the same ports."""

    ports: tuple[Port, ...]
    endpoints: dict[tuple[object, ...], Endpoint]


class _Draft:
    """A slice as it is to be.

    Attributes:
        before: As it is; None where it is yet to be made.
    """

    def __init__(
        self, ports: tuple[Port, ...], before: EndpointSlice | None = None, endpoints: Iterable[Endpoint] = ()
    ) -> None:
        self.ports = ports
        self.before = before
        self.endpoints = list(endpoints)

    @property
    def room(self) -> int:
        """How many endpoints it can still take."""
        return MAX_ENDPOINTS - len(self.endpoints)

    def is_changed(self, labels: dict[str, str]) -> bool:
        """Tell whether it has to be written."""
        before = self.before
        return (
            before is None
            or tuple(self.endpoints) != (before.endpoints or ())
            or frozenset(self.ports) != frozenset(before.ports or ())
            or labels != (before.metadata.labels or {})
        )

    def gives_away(self, staying: set[tuple[object, ...]]) -> bool:
        """Tell whether one of the endpoints that are *staying* leaves it: it is in another slice from now on."""
        before = {one.identity for one in (self.before.endpoints or () if self.before else ())}
        return not (before & staying) <= {one.identity for one in self.endpoints}

    def take(self, missing: list[Endpoint]) -> None:
        """Take of the *missing* endpoints as many as there is room for."""
        room = max(self.room, 0)
        self.endpoints += missing[:room]
        del missing[:room]


class _Plan(NamedTuple):
    """What becomes of the slices of one address family: each is in one of the lists."""

    drafts: list[_Draft]
    deleted: list[EndpointSlice]


def slices_path(namespace: str) -> str:
    """Return where the API server has the slices of *namespace*."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/endpointslices"


def name_prefix(service_name: str) -> str:
    """Return what the API server is to make names of slices from."""
    return f"{service_name}-" if len(service_name) < MAX_NAME else service_name


def slice_writes(
    service: Service,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    present: Iterable[EndpointSlice],
    triggered: str = "",
) -> list[Write]:
    """Return what is to be written so that the slices of *service* say where its pods are.

    Args:
        service: The Service.
        pods: Those that it selects.
        nodes: All nodes by name. A pod whose node does not exist has no endpoint.
        present: The slices that are managed for a Service of this name.
        triggered: When the oldest change came that is not written yet, empty where that is not known.

    Returns:
        The writes, those first that give endpoints a new place, so that who looks in between misses none of them
        (two slices that exchange endpoints excepted); none where all is well, or where others make the slices.
    """
    if not service.is_selecting:
        return []
    standing = [one for one in present if one.metadata.deletion_timestamp is None]
    families = service.families()
    pods = list(pods)
    labels = slice_labels(service)
    creations: list[Write] = []
    updates: list[Write] = []
    deleted = [one for one in standing if one.address_type not in families]
    for family in families:
        wanted = _wanted(service, pods, nodes, family)
        plan = _plan_family(service, labels, wanted, [one for one in standing if one.address_type == family])
        staying = {one.identity for draft in plan.drafts for one in draft.endpoints}
        for draft in sorted(plan.drafts, key=lambda draft: draft.gives_away(staying)):
            if draft.before is not None:
                updates += _updates(draft.before, labels, draft, triggered)
            elif not service.metadata.deletion_timestamp:  # else the garbage collector would have to run after us
                creations.append(_creation(service, labels, family, draft, triggered))
        deleted += plan.deleted
    return [*creations, *updates, *(deletion(one) for one in deleted)]


def slice_labels(service: Service) -> dict[str, str]:
    """Return the labels of the slices of *service*: its own, and those by which they are found."""
    own = {SERVICE_NAME_LABEL: service.metadata.name, MANAGED_BY_LABEL: MANAGER}
    return labels_for(service, own, RESERVED_LABELS)


# What is wanted


def endpoint_for(service: Service, pod: Pod, node: Node | None, family: str) -> Endpoint | None:
    """Return the endpoint of a *pod* on *node* in one address family; None where it has none.

    A pod that ends is not ready, but still serving as long as it says so (publishNotReadyAddresses makes all ready).
    """
    addresses = pod.addresses(family)
    if pod.is_terminal or not addresses:
        return None
    publishes_all = service.spec.publish_not_ready_addresses
    if node is None and not publishes_all:
        return None
    serving = pod.is_ready
    ready = publishes_all or (serving and not pod.is_terminating)
    zone = node.topology_zone if node else None
    node_name = pod.spec.node_name or None
    return Endpoint(
        addresses,
        Conditions(ready, serving, pod.is_terminating),
        pod.hostname_in(service),
        pod.ref,
        node_name,
        zone,
        _hints(service, node_name, zone) if ready else None,
    )


def _hints(service: Service, node_name: str | None, zone: str | None) -> Hints | None:
    annotations = service.metadata.annotations or {}
    topology = next((annotations[name] for name in TOPOLOGY_ANNOTATIONS if name in annotations), "")
    names_nodes = NEAR.get(service.spec.traffic_distribution or "")
    if names_nodes is None or topology in ("Auto", "auto"):
        return None
    zones = (Place(zone),) if zone else None
    nodes = (Place(node_name),) if node_name and names_nodes else None
    return Hints(zones, nodes) if zones or nodes else None


def ports_for(service: Service, pod: Pod) -> tuple[Port, ...]:
    """Return the ports of a Service as numbers of one pod, without those that the pod lacks."""
    numbered = ((port, pod.port(port)) for port in service.spec.ports or ())
    return tuple(
        Port(port.name, number, port.protocol, port.app_protocol) for port, number in numbered if number is not None
    )


def _wanted(service: Service, pods: list[Pod], nodes: Mapping[str, Node], family: str) -> dict[PortSet, _Wanted]:
    """Return the endpoints of one family by their ports."""
    wanted: dict[PortSet, _Wanted] = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.name):
        endpoint = endpoint_for(service, pod, nodes.get(pod.spec.node_name or ""), family)
        if endpoint is not None:
            ports = ports_for(service, pod)
            group = wanted.setdefault(frozenset(ports), _Wanted(ports, {}))
            group.endpoints[endpoint.identity] = endpoint
    return wanted


# How it is distributed


def _plan_family(
    service: Service, labels: dict[str, str], wanted: dict[PortSet, _Wanted], present: list[EndpointSlice]
) -> _Plan:
    """Distribute the endpoints of one family over the slices of that family."""
    groups: dict[PortSet, list[EndpointSlice]] = {}
    plan = _Plan([], [])
    for slice in present:
        if _is_owned(slice, service):
            groups.setdefault(frozenset(slice.ports or ()), []).append(slice)
        else:
            plan.deleted.append(slice)  # of a Service of this name that is gone
    for ports, group in wanted.items():
        _distribute(group, groups.pop(ports, []), labels, plan)
    for group_of_none in groups.values():
        plan.deleted.extend(group_of_none)
    if not plan.drafts:
        # A Service always has a slice, so that "no endpoints" can be told from "not known yet".
        plan.drafts.append(_Draft(()))
    _reuse(service, plan)
    return plan


def _distribute(wanted: _Wanted, present: list[EndpointSlice], labels: dict[str, str], plan: _Plan) -> None:
    """Leave endpoints where they are, and put new ones first where something changes anyway."""
    left = dict(wanted.endpoints)
    kept: list[_Draft] = []
    for slice in present:
        own = [left.pop(one.identity) for one in slice.endpoints or () if one.identity in left]
        if own:
            kept.append(_Draft(wanted.ports, slice, own))
        else:
            plan.deleted.append(slice)
    missing = list(left.values())
    unchanged = [draft for draft in kept if not draft.is_changed(labels)]
    for draft in sorted((draft for draft in kept if draft not in unchanged), key=lambda draft: draft.room):
        draft.take(missing)
    made: list[_Draft] = []
    while missing:
        fitting = [draft for draft in unchanged if draft.room >= len(missing)]
        draft = min(fitting, key=lambda draft: draft.room, default=_Draft(wanted.ports))
        draft.take(missing)
        if draft.before is None:
            made.append(draft)
    plan.drafts.extend([*kept, *made])


def _reuse(service: Service, plan: _Plan) -> None:
    """Let slices that would be deleted become those that would be made: one write for two, and never a gap."""
    for draft in plan.drafts:
        old = next((slice for slice in plan.deleted if _is_owned(slice, service)), None)
        if draft.before is None and old is not None:
            plan.deleted.remove(old)
            draft.before = old


def _is_owned(slice: EndpointSlice, service: Service) -> bool:
    """Tell whether a slice is of this very Service, not of an older one of its name."""
    return any(
        (owner.uid, owner.kind, owner.api_version) == (service.metadata.uid, "Service", "v1")
        for owner in slice.metadata.owner_references or ()
    )


# How it is written


def _creation(service: Service, labels: dict[str, str], family: str, draft: _Draft, triggered: str) -> Write:
    head = service.metadata
    metadata: Json = {
        "generateName": name_prefix(head.name),
        "namespace": head.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "name": head.name,
                "uid": head.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if triggered:
        metadata["annotations"] = {TRIGGER_ANNOTATION: triggered}
    body: Json = {"apiVersion": API_VERSION, "kind": "EndpointSlice", "metadata": metadata, "addressType": family}
    return Write("POST", slices_path(head.namespace), body | _content(draft))


def _updates(before: EndpointSlice, labels: dict[str, str], draft: _Draft, triggered: str) -> list[Write]:
    if not draft.is_changed(labels):
        return []
    head = before.metadata
    metadata: Json = {"uid": head.uid, "resourceVersion": head.resource_version}
    if of_labels := changes(head.labels, labels):
        metadata["labels"] = of_labels
    if of_annotations := trigger_changes(head.annotations, triggered):
        metadata["annotations"] = of_annotations
    return [Write("PATCH", before.path, {"metadata": metadata, **_content(draft)}, MERGE_PATCH)]


def _content(draft: _Draft) -> Json:
    return {"endpoints": to_json(draft.endpoints), "ports": to_json(draft.ports)}


def deletion(slice: EndpointSlice) -> Write:
    """Return the deletion of *slice*, of no other of its name."""
    body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": slice.metadata.uid}}
    return Write("DELETE", slice.path, body)
