"""What a pod of a set is: its manifest, its claims, and whom the claims belong to (S1 to S16). Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import msgspec

from headlessdns.controller import quantities
from headlessdns.controller.model import (
    POD_INDEX_LABEL,
    POD_NAME_LABEL,
    REVISION_LABEL,
    Claim,
    Json,
    OwnerReference,
    Pod,
    StatefulSet,
    ordinal_of,
    parent_and_ordinal,
)


def pod_name(set: StatefulSet, ordinal: int) -> str:
    """Return the name of the pod of *ordinal* (S1)."""
    return f"{set.name}-{ordinal}"


def claim_name(set: StatefulSet, template: Json, ordinal: int) -> str:
    """Return the name of the claim of *ordinal* that *template* asks for (S8)."""
    return f"{template['metadata']['name']}-{set.name}-{ordinal}"


def identity_labels(set: StatefulSet, ordinal: int) -> dict[str, str]:
    """Return the labels that say who a pod is (S3)."""
    return {POD_NAME_LABEL: pod_name(set, ordinal), POD_INDEX_LABEL: str(ordinal)}


def pod_manifest(set: StatefulSet, ordinal: int, template: Json, revision_name: str) -> Json:
    """Return the pod of *ordinal* as it is sent to the API (S2 to S4, S9)."""
    metadata = template.get("metadata") or {}
    manifest: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{set.name}-",
            "name": pod_name(set, ordinal),
            "namespace": set.namespace,
            "labels": {
                **(metadata.get("labels") or {}),
                **identity_labels(set, ordinal),
                REVISION_LABEL: revision_name,
            },
            "ownerReferences": [msgspec.to_builtins(set.reference())],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
    for field in ("annotations", "finalizers"):
        if metadata.get(field):
            manifest["metadata"][field] = copy.deepcopy(metadata[field])
    spec = manifest["spec"]
    spec["hostname"] = pod_name(set, ordinal)
    spec["subdomain"] = set.service_name
    if not set.service_name:
        del spec["subdomain"]
    volumes = pod_volumes(set, ordinal, spec.get("volumes") or ())
    if volumes:
        spec["volumes"] = volumes
    return manifest


def pod_volumes(set: StatefulSet, ordinal: int, others: Sequence[Json]) -> list[Json]:
    """Return the volumes of a pod: its claims, then *others* whose names no claim takes (S9)."""
    volumes = [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(set, template, ordinal)},
        }
        for template in set.claim_templates
    ]
    taken = {volume["name"] for volume in volumes}
    return [*volumes, *(volume for volume in others if volume.get("name") not in taken)]


def claim_manifest(set: StatefulSet, template: Json, ordinal: int) -> Json:
    """Return the claim of *ordinal* that *template* asks for, as it is sent to the API (S8)."""
    manifest = copy.deepcopy(template)
    manifest.pop("status", None)
    metadata = manifest["metadata"]
    metadata.pop("creationTimestamp", None)
    labels = {**(metadata.get("labels") or {}), **set.match_labels}
    if labels:
        metadata["labels"] = labels
    metadata |= {"name": claim_name(set, template, ordinal), "namespace": set.namespace}
    return {**manifest, "apiVersion": "v1", "kind": "PersistentVolumeClaim"}


def is_member(set: StatefulSet, pod: Pod) -> bool:
    """Tell whether the name of *pod* is one of *set* (S17)."""
    return parent_and_ordinal(pod.name)[0] == set.name


def has_identity(set: StatefulSet, pod: Pod) -> bool:
    """Tell whether *pod* is who its name says (S5)."""
    return pod.name == pod_name(set, ordinal_of(pod.name)) == pod.labels.get(POD_NAME_LABEL)


def has_storage(set: StatefulSet, pod: Pod) -> bool:
    """Tell whether *pod* has a volume for each claim (S12)."""
    claims = {
        volume.name: volume.persistent_volume_claim.claim_name
        for volume in pod.spec.volumes or ()
        if volume.persistent_volume_claim is not None
    }
    ordinal = ordinal_of(pod.name)
    return all(
        claims.get(template["metadata"]["name"]) == claim_name(set, template, ordinal)
        for template in set.claim_templates
    )


# How much claims ask for


def storage_to_ask(template: Json, claim: Claim) -> str | None:
    """Return the storage that *claim* is to ask for because *template* asks for more; None where nothing is to change.

    The API lets a claim grow only while it is bound.
    """
    asked = (claim.spec.resources.requests or {}).get("storage") if claim.spec.resources else None
    resources = (template.get("spec") or {}).get("resources") or {}
    wanted = (resources.get("requests") or {}).get("storage")
    if asked is None or wanted is None or claim.is_terminating or claim.status.phase != "Bound":
        return None
    more, present = quantities.parse(wanted), quantities.parse(asked)
    if more is None or present is None:  # the API has not let it in
        return None
    return str(wanted) if more > present else None


# Whom claims belong to


def _matches(reference: OwnerReference, api_version: str, kind: str, name: str) -> bool:
    return (reference.api_version, reference.kind, reference.name) == (api_version, kind, name)


class ClaimOwners:
    """Whom the claims of one pod belong to, and whom they should (S13 to S15).

    Attributes:
        pod_uid: Empty where the pod does not exist yet.
    """

    def __init__(self, set: StatefulSet, name: str, pod_uid: str, *, is_condemned: bool) -> None:
        """Look at the claims of the pod *name*; *is_condemned* says that its ordinal is not to exist."""
        self.pod_uid = pod_uid
        self._set = set
        self._pod_name = name
        self._wants_pod = set.deletes_when_scaled and is_condemned
        self._wants_set = set.deletes_when_deleted and not self._wants_pod
        self._retains = not (set.deletes_when_scaled or set.deletes_when_deleted)

    def _is_set(self, reference: OwnerReference) -> bool:
        return _matches(reference, self._set.kind.api_version, self._set.kind.value, self._set.name)

    def _is_pod(self, reference: OwnerReference) -> bool:
        return _matches(reference, "v1", "Pod", self._pod_name)

    def _has(self, claim: Claim, uid: str) -> bool:
        return any(reference.uid == uid for reference in claim.owners)

    def _is_stale(self, claim: Claim, is_theirs: Callable[[OwnerReference], bool], uid: str) -> bool:
        """Tell whether the first reference to a name of ours means an earlier object of that name (S14)."""
        return next((reference.uid != uid for reference in claim.owners if is_theirs(reference)), False)

    def is_of_former_pod(self, claim: Claim) -> bool:
        """Tell whether *claim* waits for its end together with an earlier pod of the name (S15)."""
        return self._set.deletes_when_scaled and self._is_stale(claim, self._is_pod, self.pod_uid)

    def conflicts(self, claim: Claim) -> bool:
        """Tell whether another controller owns *claim*, so that the retention policy cannot hold (S14)."""
        if self._retains:
            return False
        for reference in claim.owners:
            if self._is_set(reference):
                if reference.uid != self._set.metadata.uid:
                    return True
            elif self._is_pod(reference):
                if reference.uid != self.pod_uid:
                    return True
            elif reference.controller:
                return True
        return False

    def are_right(self, claim: Claim) -> bool:
        """Tell whether the owners of *claim* are as the policy wants them, or are none of our business."""
        set_uid, pod_uid = self._set.metadata.uid, self.pod_uid
        if self._is_stale(claim, self._is_set, set_uid) or self._is_stale(claim, self._is_pod, pod_uid):
            return True
        has_set, has_pod = self._has(claim, set_uid), self._has(claim, pod_uid)
        if self.conflicts(claim):
            return not (has_set or has_pod)
        if any(reference.uid in (set_uid, pod_uid) and not reference.controller for reference in claim.owners):
            return False
        return (has_set, has_pod) == (self._wants_set, self._wants_pod)

    def mended(self, claim: Claim) -> tuple[OwnerReference, ...]:
        """Return the owners that *claim* should have; those of others stay."""
        others = tuple(
            reference for reference in claim.owners if not (self._is_set(reference) or self._is_pod(reference))
        )
        if self.conflicts(claim):
            return others
        known = {reference.uid for reference in others}
        if self._wants_set and self._set.metadata.uid not in known:
            return (*others, self._set.reference())
        if self._wants_pod and self.pod_uid not in known:
            pod = OwnerReference("v1", "Pod", self._pod_name, self.pod_uid, controller=True, block_owner_deletion=True)
            return (*others, pod)
        return others


def claims_of(
    set: StatefulSet, ordinal: int, claims: Mapping[str, Claim]
) -> tuple[list[tuple[Json, Claim]], list[Json]]:
    """Return the claims of *ordinal* that are there, each with its template, and the templates of those that are not.

    Args:
        set: The set.
        ordinal: Of the pod.
        claims: The claims of the namespace by name.
    """
    present: list[tuple[Json, Claim]] = []
    missing = []
    for template in set.claim_templates:
        claim = claims.get(claim_name(set, template, ordinal))
        if claim is None:
            missing.append(template)
        else:
            present.append((template, claim))
    return present, missing
