"""The fields of Kubernetes objects that the DNS is made from, and nothing else.

Source: the Kubernetes API reference, v1.36. msgspec skips every other field while decoding, which makes a list
some thirty times cheaper than typed models. The API writes null where a list is empty, hence the many ``None``.
A new field comes with its reader. Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple

import msgspec


class Kind(Enum):
    """A kind that the DNS is made from; the value is its name in the API."""

    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    ENDPOINTS = "Endpoints"
    POD = "Pod"
    NAMESPACE = "Namespace"
    STATEFUL_SET = "StatefulSet"


class Key(NamedTuple):
    """Namespace and name; the namespace of a Namespace is the empty string."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class ObjectRef(NamedTuple):
    """Which object a record came from."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {Key(self.namespace, self.name)}"


class Labels(msgspec.Struct, frozen=True, gc=False):
    """The one label that is read: which Service a slice belongs to."""

    service_name: str = msgspec.field(default="", name="kubernetes.io/service-name")


class Annotations(msgspec.Struct, frozen=True, gc=False):
    """The annotations that are read."""

    ttl_s: str = msgspec.field(default="", name="headlessdns.io/ttl")
    last_change_trigger_time: str = msgspec.field(default="", name="endpoints.kubernetes.io/last-change-trigger-time")


NO_LABELS = Labels()
NO_ANNOTATIONS = Annotations()


class Metadata(msgspec.Struct, gc=False):
    """ObjectMeta."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    labels: Labels | None = NO_LABELS
    annotations: Annotations | None = NO_ANNOTATIONS

    @property
    def key(self) -> Key:
        """The key under which the object is stored."""
        return Key(self.namespace, self.name)


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    """A port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"


class ServiceSpec(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """What a Service asks for. `cluster_ip` is ``None`` (the word) for a headless one."""

    type: str = "ClusterIP"
    cluster_ip: str | None = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=(), name="clusterIPs")
    external_name: str | None = ""
    ports: tuple[ServicePort, ...] | None = ()
    publish_not_ready_addresses: bool | None = False


NO_SERVICE_SPEC = ServiceSpec()


class Service(msgspec.Struct, gc=False):
    """core/v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = NO_SERVICE_SPEC


class EndpointConditions(msgspec.Struct, frozen=True, gc=False):
    """Conditions of an endpoint. A missing `ready` counts as true (discovery.k8s.io/v1)."""

    ready: bool | None = None


READY = EndpointConditions()


class TargetRef(msgspec.Struct, frozen=True, gc=False):
    """What stands behind an endpoint; mostly a Pod."""

    kind: str = ""
    name: str = ""


class Endpoint(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] | None
    conditions: EndpointConditions | None = READY
    hostname: str | None = None
    target_ref: TargetRef | None = None


class EndpointPort(msgspec.Struct, frozen=True, gc=False):
    """A port of a slice. Without a number it means every port, and has no SRV."""

    name: str | None = ""
    protocol: str | None = "TCP"
    port: int | None = None


class EndpointSlice(msgspec.Struct, rename="camel", gc=False):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()

    @property
    def service(self) -> Key:
        """The Service that the slice belongs to; its name is empty for a slice without the label."""
        labels = self.metadata.labels
        return Key(self.metadata.namespace, labels.service_name if labels else "")


class EndpointAddress(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One address of an Endpoints subset."""

    ip: str
    hostname: str | None = None
    target_ref: TargetRef | None = None


class EndpointSubset(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Addresses that share ports."""

    addresses: tuple[EndpointAddress, ...] | None = ()
    not_ready_addresses: tuple[EndpointAddress, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()


class Endpoints(msgspec.Struct, gc=False):
    """core/v1 Endpoints, counted only for a Service that has no slice."""

    metadata: Metadata
    subsets: tuple[EndpointSubset, ...] | None = ()


class PodIP(msgspec.Struct, frozen=True, gc=False):
    """One address of a pod."""

    ip: str = ""


class PodStatus(msgspec.Struct, frozen=True, gc=False):
    """What runs."""

    phase: str | None = ""
    pod_ip: str | None = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] | None = msgspec.field(default=(), name="podIPs")


NO_POD_STATUS = PodStatus()


class Pod(msgspec.Struct, gc=False):
    """core/v1 Pod."""

    metadata: Metadata
    status: PodStatus | None = NO_POD_STATUS


class Namespace(msgspec.Struct, gc=False):
    """core/v1 Namespace."""

    metadata: Metadata


class Ordinals(msgspec.Struct, frozen=True, gc=False):
    """Where the ordinals of a set begin."""

    start: int = 0


class StatefulSetSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Which pods a StatefulSet wants."""

    replicas: int | None = 1
    service_name: str | None = ""
    ordinals: Ordinals | None = None


NO_STATEFUL_SET_SPEC = StatefulSetSpec()


class StatefulSet(msgspec.Struct, gc=False):
    """apps/v1 StatefulSet."""

    metadata: Metadata
    spec: StatefulSetSpec = NO_STATEFUL_SET_SPEC


Object = Service | EndpointSlice | Endpoints | Pod | Namespace | StatefulSet


class Resource(NamedTuple):
    """How a kind is found in the API, and whether names wait for it."""

    struct: type[Object]
    group_version: str
    plural: str
    required: bool
    namespaced: bool = True


RESOURCES: dict[Kind, Resource] = {
    Kind.SERVICE: Resource(Service, "v1", "services", required=True),
    Kind.ENDPOINT_SLICE: Resource(EndpointSlice, "discovery.k8s.io/v1", "endpointslices", required=True),
    Kind.ENDPOINTS: Resource(Endpoints, "v1", "endpoints", required=False),
    Kind.POD: Resource(Pod, "v1", "pods", required=False),
    Kind.NAMESPACE: Resource(Namespace, "v1", "namespaces", required=False, namespaced=False),
    Kind.STATEFUL_SET: Resource(StatefulSet, "apps/v1", "statefulsets", required=False),
}


class Put(msgspec.Struct, frozen=True, gc=False):
    """An object was added or changed; *object* is all of it."""

    kind: Kind
    object: Object


class Delete(msgspec.Struct, frozen=True, gc=False):
    """An object is gone."""

    kind: Kind
    key: Key


class Replace(msgspec.Struct, frozen=True, gc=False):
    """A list is complete: in *namespace* (all of them where None) these objects of *kind* exist and no others."""

    kind: Kind
    objects: list[Object]
    namespace: str | None = None


class Forbid(msgspec.Struct, frozen=True, gc=False):
    """A kind cannot be had: the API server forbids it or does not serve it, or nobody wants it watched.

    What was known of it is kept. It holds in *namespace*, everywhere where None.
    """

    kind: Kind
    reason: Literal["forbidden", "absent", "unwatched"]
    namespace: str | None = None


Event = Put | Delete | Replace | Forbid
