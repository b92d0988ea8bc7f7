"""Objects made small before they are kept: what nobody reads is dropped, and equal parts are kept once.

A cluster holds a hundred thousand pods and claims, most of whose strings are those of their neighbours: label keys,
revisions, owners, times. Pure.
"""

from __future__ import annotations

from typing import Any

from headlessdns.controller.model import (
    Claim,
    Metadata,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    Revision,
)

READ_CONDITIONS = frozenset({"Ready", "PodScheduled"})
MAX_SHARED = 65536


class Pool:
    """Values that are kept once each. When there are too many it begins anew, which costs memory and nothing else.

    Attributes:
        known: Each value by itself, or by a key that stands for it where it cannot be hashed.
    """

    def __init__(self, limit: int = MAX_SHARED) -> None:
        self.known: dict[Any, Any] = {}
        self._limit = limit

    def trim(self) -> None:
        """Begin anew if there are too many values."""
        if len(self.known) >= self._limit:
            self.known.clear()


def slim(object: Any, pool: Pool) -> None:
    """Make *object* small; it is changed in place, and means the same to the controller.

    Args:
        object: A Pod, a Claim, a Revision, or anything else that has `metadata`.
        pool: What is shared with other objects.
    """
    pool.trim()
    _slim_metadata(object.metadata, pool)
    if isinstance(object, Pod):
        _slim_pod(object, pool)
    elif isinstance(object, Claim):
        _slim_claim(object, pool)
    elif isinstance(object, Revision):
        object.data = object.data.copy()  # it would keep the whole list alive that it came in


def _slim_metadata(metadata: Metadata, pool: Pool) -> None:
    share, name = pool.known.setdefault, metadata.name
    metadata.namespace = share(metadata.namespace, metadata.namespace)
    metadata.owner_references = share(metadata.owner_references, metadata.owner_references)
    if metadata.labels is not None:
        metadata.labels = {
            share(key, key): name if value == name else share(value, value) for key, value in metadata.labels.items()
        }


def _slim_pod(pod: Pod, pool: Pool) -> None:
    share, spec, status = pool.known.setdefault, pod.spec, pod.status
    created = pod.metadata.creation_timestamp
    times = {created: created}
    start = times.setdefault(status.start_time, status.start_time)
    conditions = tuple(
        PodCondition(
            share(one.type, one.type),
            share(one.status, one.status),
            times.setdefault(one.last_transition_time, one.last_transition_time),
            share(one.reason, one.reason),
            share(one.message, one.message),
        )
        for one in status.conditions or ()
        if one.type in READ_CONDITIONS
    )
    claims = tuple(volume for volume in spec.volumes or () if volume.persistent_volume_claim is not None)
    pod.spec = PodSpec(share(spec.node_name, spec.node_name), claims)
    pod.status = PodStatus(
        share(status.phase, status.phase),
        status.reason,
        status.message,
        start,
        conditions,
        share(status.init_container_statuses, status.init_container_statuses),
        share(status.container_statuses, status.container_statuses),
    )


def _slim_claim(claim: Claim, pool: Pool) -> None:
    share, labels, spec = pool.known.setdefault, claim.metadata.labels, claim.spec
    if labels is not None:
        claim.metadata.labels = share(("labels", *labels.items()), labels)
    requests = spec.resources.requests if spec.resources is not None else None
    if requests is not None:
        claim.spec = share(("spec", spec.storage_class_name, *requests.items()), spec)
    claim.status = share(claim.status, claim.status)
