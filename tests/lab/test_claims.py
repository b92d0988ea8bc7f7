"""Claims and their volumes."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.claims import claim_write, volume_write
from headlessdns.lab.objects import Claim, Volume, Write
from tests.lab.making import claim, volume

BOUND = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
GONE = "2026-01-02T12:00:00Z"
CLAIM_PATH = "/api/v1/namespaces/shop/persistentvolumeclaims/www-web-0"
VOLUME_PATH = "/api/v1/persistentvolumes/pvc-c1"


def sent(write: Write | None) -> tuple[str, str]:
    assert write is not None
    return write.method, write.path


def test_volume_is_made() -> None:
    """A claim gets a volume of its own, of the size that it asks for."""
    write = claim_write(claim(), None, in_use=False)
    assert sent(write) == ("POST", "/api/v1/persistentvolumes")
    assert write is not None
    assert write.body["metadata"]["name"] == "pvc-c1"
    spec = write.body["spec"]
    assert spec["capacity"] == {"storage": "1Gi"}
    assert spec["persistentVolumeReclaimPolicy"] == "Delete"
    assert spec["claimRef"]["uid"] == "c1"


def test_claim_is_bound() -> None:
    """A claim first names its volume, then it is Bound, and then all is done."""
    write = claim_write(claim(), volume(), in_use=False)
    assert sent(write) == ("PATCH", CLAIM_PATH)
    assert write is not None
    assert write.body["spec"] == {"volumeName": "pvc-c1"}
    write = claim_write(claim(volume="pvc-c1"), volume(), in_use=False)
    assert sent(write) == ("PATCH", f"{CLAIM_PATH}/status")
    assert write is not None
    assert write.body["status"] == BOUND
    assert claim_write(claim(BOUND, volume="pvc-c1"), volume(), in_use=True) is None


def test_claim_grows() -> None:
    """Where the request grows, the volume grows first and then the claim's capacity."""
    grown = claim(BOUND, volume="pvc-c1", request="2Gi")
    write = claim_write(grown, volume(), in_use=True)
    assert sent(write) == ("PATCH", VOLUME_PATH)
    assert write is not None
    assert write.body["spec"] == {"capacity": {"storage": "2Gi"}}
    larger = volume()
    larger.spec.capacity = {"storage": "2Gi"}
    write = claim_write(grown, larger, in_use=True)
    assert write is not None
    assert write.body["status"] == {"capacity": {"storage": "2Gi"}}


PROTECTED: dict[str, Any] = {"deletionTimestamp": GONE, "finalizers": ["mine", "kubernetes.io/pvc-protection"]}


@pytest.mark.parametrize(
    ("what", "in_use", "finalizers"),
    [
        pytest.param(claim(BOUND, **PROTECTED), True, None, id="held-while-in-use"),
        pytest.param(claim(BOUND, **PROTECTED), False, ["mine"], id="let-go-when-unused"),
        pytest.param(claim(BOUND, deletionTimestamp=GONE, finalizers=["mine"]), False, None, id="held-by-others"),
    ],
)
def test_deleted_claim(what: Claim, in_use: bool, finalizers: list[str] | None) -> None:
    """A claim that is being deleted stays as long as a pod with a node mounts it."""
    write = claim_write(what, volume(), in_use=in_use)
    assert (write.body["metadata"]["finalizers"] if write else None) == finalizers


@pytest.mark.parametrize(
    ("what", "of"),
    [
        pytest.param(claim(annotations={"lab.headlessdns.io/bind": "false"}), None, id="not-to-be-bound"),
        pytest.param(claim(volume="disk-1"), None, id="waits-for-the-volume-it-names"),
    ],
)
def test_unbound_claim(what: Claim, of: Volume | None) -> None:
    """Some claims are left unbound."""
    assert claim_write(what, of, in_use=False) is None


def test_bound_to_the_volume_it_names() -> None:
    """A claim that names a volume of somebody else has that volume's size."""
    disk = volume(ours=False, name="disk-1")
    disk.spec.capacity = {"storage": "5Gi"}
    write = claim_write(claim(volume="disk-1"), disk, in_use=False)
    assert write is not None
    assert write.body["status"]["capacity"] == {"storage": "5Gi"}


@pytest.mark.parametrize(
    ("what", "of", "expected"),
    [
        pytest.param(volume(), claim(), ("PATCH", f"{VOLUME_PATH}/status"), id="bound-with-its-claim"),
        pytest.param(volume({"phase": "Bound"}), claim(), None, id="is-bound"),
        pytest.param(volume(), None, ("DELETE", VOLUME_PATH), id="deleted-after-its-claim"),
        pytest.param(volume(), claim(uid="c2"), ("DELETE", VOLUME_PATH), id="another-claim-of-that-name"),
        pytest.param(volume(policy="Retain"), None, ("PATCH", f"{VOLUME_PATH}/status"), id="retained"),
        pytest.param(volume(ours=False), None, None, id="of-somebody-else"),
        pytest.param(
            volume(deletionTimestamp=GONE, finalizers=["kubernetes.io/pv-protection"]),
            None,
            ("PATCH", VOLUME_PATH),
            id="protection-taken-off",
        ),
        pytest.param(
            volume(deletionTimestamp=GONE, finalizers=["kubernetes.io/pv-protection"]), claim(), None, id="protected"
        ),
    ],
)
def test_volume(what: Volume, of: Claim | None, expected: tuple[str, str] | None) -> None:
    """A volume lives as long as its claim."""
    write = volume_write(what, of)
    assert (write[:2] if write else None) == expected


def test_volume_is_deleted_by_uid() -> None:
    """No other volume of the same name is deleted."""
    write = volume_write(volume(), None)
    assert write is not None
    assert write.body["preconditions"] == {"uid": "v1"}
