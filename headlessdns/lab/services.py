"""What EndpointSlices and Endpoints are made from: Services, their pods, and the nodes of these. Pure.

Source: the Kubernetes API reference, v1.36 (core/v1, "Service", "Pod"), and "DNS for Services and Pods" for host names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from headlessdns.lab import objects
from headlessdns.lab.objects import TERMINAL_PHASES, Json

HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"

IPV4, IPV6 = "IPv4", "IPv6"


class OwnerRef(msgspec.Struct, rename="camel", frozen=True):
    """Whose an object is."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


class Metadata(objects.Metadata, rename="camel"):
    """ObjectMeta, with labels and owners."""

    creation_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: tuple[OwnerRef, ...] | None = None


class TargetRef(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """The pod behind an address; where people write it, something else may be."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class ServicePort(msgspec.Struct, rename="camel", frozen=True):
    """A port of a Service. `target_port` is a number, or the name of a port of the pods; None is the Service's own."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    app_protocol: str | None = None


class ServiceSpec(msgspec.Struct, rename="camel"):
    """What a Service asks for."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ip_families: tuple[str, ...] | None = None
    selector: dict[str, str] | None = None
    ports: tuple[ServicePort, ...] | None = None
    publish_not_ready_addresses: bool = False
    traffic_distribution: str | None = None


class Service(msgspec.Struct):
    """A Service."""

    metadata: Metadata
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)

    @property
    def has_cluster_ip(self) -> bool:
        """Whether it has an address of its own."""
        return self.spec.cluster_ip not in ("", "None")

    @property
    def is_selecting(self) -> bool:
        """Whether its endpoints are pods; those of other Services are made by hand."""
        return self.spec.type != "ExternalName" and bool(self.spec.selector)

    def selects(self, namespace: str, labels: dict[str, str] | None) -> bool:
        """Tell whether a pod with these *labels* is behind it. Without a selector none is."""
        wanted = self.spec.selector or {}
        return bool(wanted) and namespace == self.metadata.namespace and wanted.items() <= (labels or {}).items()

    def families(self) -> list[str]:
        """Return the address families of its endpoints, the first first: one whose spec says none takes both."""
        known = [family for family in self.spec.ip_families or () if family in (IPV4, IPV6)]
        if known:
            return known
        if self.has_cluster_ip:
            return [IPV6 if ":" in self.spec.cluster_ip else IPV4]
        return [IPV4, IPV6]


class ContainerPort(msgspec.Struct, rename="camel", frozen=True):
    """A port that a container says it has."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Container(msgspec.Struct, rename="camel", frozen=True):
    """A container; `restart_policy` is `Always` for a sidecar among the init containers."""

    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str | None = None


class PodSpec(msgspec.Struct, rename="camel", frozen=True):
    """What a pod wants."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None
    node_name: str | None = None
    hostname: str | None = None
    subdomain: str | None = None


class PodIP(msgspec.Struct, frozen=True):
    """One address of a pod."""

    ip: str = ""


class Condition(msgspec.Struct, rename="camel", frozen=True):
    """A condition of a pod."""

    type: str
    status: str = ""
    last_transition_time: str | None = None


class PodStatus(msgspec.Struct, rename="camel", frozen=True):
    """What runs."""

    phase: str = ""
    pod_ips: tuple[PodIP, ...] | None = msgspec.field(default=None, name="podIPs")
    conditions: tuple[Condition, ...] | None = None


class PodState(NamedTuple):
    """All of a pod that its endpoints depend on."""

    uid: str
    labels: dict[str, str] | None
    is_terminating: bool
    spec: PodSpec
    phase: str
    addresses: tuple[PodIP, ...] | None
    ready: Condition | None


class Pod(msgspec.Struct):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_terminating(self) -> bool:
        """Whether its deletion has begun."""
        return self.metadata.deletion_timestamp is not None

    @property
    def is_terminal(self) -> bool:
        """Whether its containers have ended for good."""
        return self.status.phase in TERMINAL_PHASES

    @property
    def ready_condition(self) -> Condition | None:
        """Its condition Ready, None where it has none yet."""
        return next((one for one in self.status.conditions or () if one.type == "Ready"), None)

    @property
    def is_ready(self) -> bool:
        """Whether it says that it can serve."""
        condition = self.ready_condition
        return condition is not None and condition.status == "True"

    @property
    def state(self) -> PodState:
        """All of it that its endpoints depend on."""
        metadata, status = self.metadata, self.status
        return PodState(
            metadata.uid,
            metadata.labels,
            self.is_terminating,
            self.spec,
            status.phase,
            status.pod_ips,
            self.ready_condition,
        )

    @property
    def ref(self) -> TargetRef:
        """How its endpoints name it."""
        return TargetRef("Pod", self.metadata.namespace, self.metadata.name, self.metadata.uid)

    def addresses(self, family: str) -> tuple[str, ...]:
        """Return its addresses of one *family*, as they are usually written."""
        read = [read_address(one.ip) for one in self.status.pod_ips or ()]
        return tuple(sorted(text for text, found in read if found == family))

    def hostname_in(self, service: Service) -> str | None:
        """Return the host name that it has in *service*: only in the Service that its subdomain names."""
        spec, metadata = self.spec, service.metadata
        is_ours = spec.subdomain == metadata.name and self.metadata.namespace == metadata.namespace
        return (spec.hostname or None) if is_ours else None

    def port(self, port: ServicePort) -> int | None:
        """Return the number that a *port* of a Service has in this pod; None where it has no port of that name."""
        if not isinstance(port.target_port, str):
            return port.port if port.target_port is None else port.target_port
        sidecars = (one for one in self.spec.init_containers or () if one.restart_policy == "Always")
        return next(
            (
                own.container_port
                for container in (*self.spec.containers, *sidecars)
                for own in container.ports or ()
                if own.name == port.target_port and own.protocol == port.protocol
            ),
            None,
        )


class Node(msgspec.Struct):
    """A machine."""

    metadata: Metadata

    @property
    def topology_zone(self) -> str | None:
        """Where it stands."""
        return (self.metadata.labels or {}).get(ZONE_LABEL) or None


@lru_cache(maxsize=65536)
def read_address(text: str) -> tuple[str, str]:
    """Return an address as it is usually written and its family; the family of what is no address is empty."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text, ""
    return str(address), IPV6 if address.version == 6 else IPV4


# When what changed


class Triggers(NamedTuple):
    """What a look at a Service and its pods saw last.

    Attributes:
        service: When the Service was made.
        pods: When readiness changed last, by name of the pod.
    """

    service: str
    pods: dict[str, str]


def trigger_time(service: Service, pods: Iterable[Pod], before: Triggers | None) -> tuple[str, Triggers]:
    """Return when the oldest of those changes came that are new since *before*, and what to compare with next time.

    The time is empty where only things changed that have none. Of a Service that was not seen before it is the time
    when that was made. Times are as the API writes them, whole seconds of UTC, and so in the order of their texts.
    """
    conditions = ((pod.metadata.name, pod.ready_condition) for pod in pods)
    times = {name: one.last_transition_time for name, one in conditions if one and one.last_transition_time}
    now = Triggers(service.metadata.creation_timestamp or "", times)
    if before is None:
        return now.service, now
    new = [time for name, time in times.items() if time > before.pods.get(name, "")]
    if now.service > before.service:
        new.append(now.service)
    return min(new, default=""), now


# Labels and annotations of what is made


def labels_for(service: Service, own: dict[str, str], reserved: Iterable[str]) -> dict[str, str]:
    """Return the labels of a Service's endpoints: the Service's without those that are *reserved*, and our *own*."""
    copied = {name: value for name, value in (service.metadata.labels or {}).items() if name not in reserved}
    headless = {} if service.has_cluster_ip else {HEADLESS_LABEL: ""}
    return {**copied, **headless, **own}


def changes(before: dict[str, str] | None, after: dict[str, str]) -> Json:
    """Return the merge patch (RFC 7386) that makes one map of another; null removes."""
    before = before or {}
    gone: Json = dict.fromkeys(name for name in before if name not in after)
    return {**gone, **{name: value for name, value in after.items() if before.get(name) != value}}


def trigger_changes(before: dict[str, str] | None, triggered: str) -> Json:
    """Return the merge patch of annotations that leaves the time of the change that is written, or none."""
    if triggered:
        return {TRIGGER_ANNOTATION: triggered}
    return {TRIGGER_ANNOTATION: None} if TRIGGER_ANNOTATION in (before or {}) else {}


def to_json(value: object) -> Any:
    """Return *value*, of structs and tuples, as plain JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))
