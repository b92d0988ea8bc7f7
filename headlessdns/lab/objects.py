"""What the pretend kubelet reads of Kubernetes objects, and the one form of what it writes.

Source: the Kubernetes API reference, v1.36 (core/v1). A status stays JSON as it came: others write into it too. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"  # RFC 7386
TERMINAL_PHASES = frozenset({"Failed", "Succeeded"})


class Key(NamedTuple):
    """What an object of a kind is known by; the namespace of a cluster-wide one is empty."""

    namespace: str
    name: str


class Now(NamedTuple):
    """One moment, on two clocks.

    Attributes:
        s: Seconds of the loop's clock, for all that is waited for.
        utc: The time of day, for all that is written down.
    """

    s: float
    utc: datetime

    @property
    def text(self) -> str:
        """The time of day as the API writes it: whole seconds."""
        return self.utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def age_s(self, text: str | None) -> float:
        """Return how long ago *text* was, never negative; 0 for what is no time."""
        try:
            return max((self.utc - datetime.fromisoformat(text or "")).total_seconds(), 0.0)
        except (ValueError, TypeError):  # a time without a zone cannot be compared
            return 0.0


class Write(NamedTuple):
    """One request that changes something."""

    method: str
    path: str
    body: Json
    content_type: str = "application/json"


# Objects


class Metadata(msgspec.Struct, rename="camel"):
    """ObjectMeta, as far as it is used."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return Key(self.namespace, self.name)

    def annotation(self, name: str) -> str:
        """Return an annotation, empty where there is none."""
        return (self.annotations or {}).get(name, "")


class Container(msgspec.Struct, rename="camel"):
    """A container that a pod wants; `restart_policy` is `Always` for a sidecar among the init containers."""

    name: str
    image: str = ""
    restart_policy: str | None = None


class _ClaimSource(msgspec.Struct, rename="camel"):
    claim_name: str


class _PodVolume(msgspec.Struct, rename="camel"):
    persistent_volume_claim: _ClaimSource | None = None


class _ReadinessGate(msgspec.Struct, rename="camel"):
    condition_type: str


class PodSpec(msgspec.Struct, rename="camel"):
    """What a pod wants."""

    containers: list[Container]
    node_name: str | None = None
    init_containers: list[Container] | None = None
    volumes: list[_PodVolume] | None = None
    readiness_gates: list[_ReadinessGate] | None = None
    scheduling_gates: list[Json] | None = None
    node_selector: dict[str, str] | None = None
    affinity: Json | None = None
    tolerations: list[Json] | None = None
    topology_spread_constraints: list[Json] | None = None


class Pod(msgspec.Struct):
    """A pod."""

    metadata: Metadata
    spec: PodSpec
    status: Json = {}

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/api/v1/namespaces/{self.metadata.namespace}/pods/{self.metadata.name}"

    @property
    def node(self) -> str:
        """The name of its node, empty where it has none yet."""
        return self.spec.node_name or ""

    @property
    def is_terminal(self) -> bool:
        """Whether its containers have ended for good."""
        return self.status.get("phase") in TERMINAL_PHASES

    def claims(self) -> list[Key]:
        """Return the claims that it mounts."""
        return [
            Key(self.metadata.namespace, volume.persistent_volume_claim.claim_name)
            for volume in self.spec.volumes or ()
            if volume.persistent_volume_claim
        ]


class NodeSpec(msgspec.Struct):
    """What is wanted of a node."""

    unschedulable: bool | None = None
    taints: list[Json] | None = None


class Node(msgspec.Struct):
    """A machine."""

    metadata: Metadata
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: Json = {}

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/api/v1/nodes/{self.metadata.name}"


class _Resources(msgspec.Struct):
    requests: dict[str, str] | None = None


class ClaimSpec(msgspec.Struct, rename="camel"):
    """What a claim wants."""

    access_modes: list[str] | None = None
    volume_name: str | None = None
    storage_class_name: str | None = None
    volume_mode: str | None = None
    resources: _Resources = msgspec.field(default_factory=_Resources)


class Claim(msgspec.Struct):
    """A PersistentVolumeClaim."""

    metadata: Metadata
    spec: ClaimSpec = msgspec.field(default_factory=ClaimSpec)
    status: Json = {}

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/api/v1/namespaces/{self.metadata.namespace}/persistentvolumeclaims/{self.metadata.name}"

    @property
    def is_bound(self) -> bool:
        """Whether pods can mount it."""
        return bool(self.status.get("phase") == "Bound")

    @property
    def request(self) -> str:
        """How much it asks for, as a quantity."""
        return (self.spec.resources.requests or {}).get("storage", "")


class ClaimRef(msgspec.Struct):
    """Whose a volume is."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class VolumeSpec(msgspec.Struct, rename="camel"):
    """What a volume is."""

    capacity: dict[str, str] | None = None
    claim_ref: ClaimRef | None = None
    persistent_volume_reclaim_policy: str | None = None


class Volume(msgspec.Struct):
    """A PersistentVolume."""

    metadata: Metadata
    spec: VolumeSpec = msgspec.field(default_factory=VolumeSpec)
    status: Json = {}

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/api/v1/persistentvolumes/{self.metadata.name}"


# Conditions


class Condition(NamedTuple):
    """A condition that is to be in a status."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


def condition_status(status: Json, kind: str) -> str:
    """Return the status of the condition *kind*, empty where there is none."""
    return next((str(one.get("status")) for one in status.get("conditions") or () if one.get("type") == kind), "")


def with_conditions(old: list[Json] | None, wanted: list[Condition], now: Now) -> list[Json]:
    """Return *old* with the *wanted* conditions in it.

    A time of transition stays where the status stays. Conditions of others, and fields that others wrote into ours,
    are kept.
    """
    by_type = {str(one.get("type")): one for one in old or ()}
    for condition in wanted:
        before = by_type.get(condition.type, {})
        made = {**before, "type": condition.type, "status": condition.status}
        for field, value in (("reason", condition.reason), ("message", condition.message)):
            made.pop(field, None)
            if value:
                made[field] = value
        if before.get("status") != condition.status or "lastTransitionTime" not in before:
            made["lastTransitionTime"] = now.text
        by_type[condition.type] = made
    return list(by_type.values())


# Patches: a patch names the version that it was made from, so that it never overwrites what it has not seen.


def patch(path: str, metadata: Metadata, body: Json) -> Write:
    """Return a merge patch that counts only for this very version of the object."""
    precondition = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
    return Write("PATCH", path, {**body, "metadata": {**body.get("metadata", {}), **precondition}}, MERGE_PATCH)


def status_patch(object: Pod | Node | Claim | Volume, wanted: Json) -> Write | None:
    """Return the write that gives *object* these fields of its status, None where it has them; None removes a field."""
    changes = {name: value for name, value in wanted.items() if object.status.get(name) != value}
    return patch(f"{object.path}/status", object.metadata, {"status": changes}) if changes else None


def deletion(object: Pod | Volume, *, grace_s: int | None = None) -> Write:
    """Return the deletion of *object*, of no other of its name; with 0 a pod goes at once."""
    body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": object.metadata.uid}}
    if grace_s is not None:
        body["gracePeriodSeconds"] = grace_s
    return Write("DELETE", object.path, body)


def without_finalizer(object: Claim | Volume, name: str) -> Write:
    """Return the write that takes one finalizer off."""
    rest = [one for one in object.metadata.finalizers or () if one != name]
    return patch(object.path, object.metadata, {"metadata": {"finalizers": rest}})
