"""Claims and the volumes that they are given. Pure: the next write goes out, one at a time.

Source: the Kubernetes documentation ("Persistent Volumes"), v1.36. Every claim is bound at once, to a volume made for
it: that stands in for the controllers that provision, bind, expand and protect.
"""

from __future__ import annotations

from headlessdns.lab.objects import Claim, Json, Volume, Write, deletion, patch, status_patch, without_finalizer

BIND_ANNOTATION = "lab.headlessdns.io/bind"
VOLUMES_PATH = "/api/v1/persistentvolumes"

_PROVISIONER = "lab.headlessdns.io"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
_VOLUME_PROTECTION = "kubernetes.io/pv-protection"


def volume_name(claim: Claim) -> str:
    """Return the name of the volume that the claim has, or is to have."""
    return claim.spec.volume_name or f"pvc-{claim.metadata.uid}"


def claim_write(claim: Claim, volume: Volume | None, *, in_use: bool) -> Write | None:
    """Return the next write that binds, grows or lets go of a claim, None where there is none.

    Args:
        claim: The claim.
        volume: What there is of `volume_name`.
        in_use: Whether a pod that has a node mounts it.
    """
    if claim.metadata.deletion_timestamp:
        is_held = _CLAIM_PROTECTION in (claim.metadata.finalizers or ())
        return without_finalizer(claim, _CLAIM_PROTECTION) if is_held and not in_use else None
    if not claim.is_bound and claim.metadata.annotation(BIND_ANNOTATION) == "false":
        return None
    if volume is None:
        # A claim that names another volume than ours waits for it.
        is_ours = volume_name(claim) == f"pvc-{claim.metadata.uid}"
        return Write("POST", VOLUMES_PATH, _manifest(claim)) if is_ours else None
    if not claim.spec.volume_name:
        done = {
            "annotations": {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        }
        return patch(claim.path, claim.metadata, {"metadata": done, "spec": {"volumeName": volume.metadata.name}})
    capacity = {"storage": claim.request} if _is_ours(volume) else volume.spec.capacity
    if _is_ours(volume) and volume.spec.capacity != capacity:
        return patch(volume.path, volume.metadata, {"spec": {"capacity": capacity}})
    wanted = {"phase": "Bound", "accessModes": claim.spec.access_modes, "capacity": capacity}
    return status_patch(claim, wanted)


def volume_write(volume: Volume, claim: Claim | None) -> Write | None:
    """Return the next write for a volume that was made for a claim, None where there is none.

    Args:
        volume: The volume.
        claim: The claim of the name that the volume refers to.
    """
    if not _is_ours(volume) or volume.spec.claim_ref is None:
        return None
    is_claimed = claim is not None and claim.metadata.uid == volume.spec.claim_ref.uid
    if volume.metadata.deletion_timestamp:
        is_held = _VOLUME_PROTECTION in (volume.metadata.finalizers or ())
        return without_finalizer(volume, _VOLUME_PROTECTION) if is_held and not is_claimed else None
    if is_claimed:
        return status_patch(volume, {"phase": "Bound"})
    if volume.spec.persistent_volume_reclaim_policy == "Delete":
        return deletion(volume)
    return status_patch(volume, {"phase": "Released"})


def _is_ours(volume: Volume) -> bool:
    return volume.metadata.annotation(_PROVISIONED_BY) == _PROVISIONER


def _manifest(claim: Claim) -> Json:
    name = f"pvc-{claim.metadata.uid}"
    spec: Json = {
        "capacity": {"storage": claim.request},
        "accessModes": claim.spec.access_modes,
        "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": claim.spec.storage_class_name or "",
        "volumeMode": claim.spec.volume_mode or "Filesystem",
        "hostPath": {"path": f"/nowhere/{name}"},  # a volume must have a source
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
        },
    }
    metadata = {"name": name, "annotations": {_PROVISIONED_BY: _PROVISIONER}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}
