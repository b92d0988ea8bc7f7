"""What a plan can ask for. Each is a value; `apply` sends them, `describe` says them in words. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from headlessdns.controller.model import Claim, Json, OwnerReference, Pod, Revision


class Cause(Enum):
    """Why a pod is deleted."""

    TERMINAL = "it has ended and will not run again"
    SCALE_DOWN = "its ordinal is not wanted any more"
    UPDATE = "it is of a superseded revision"
    HEAL = "it is of a superseded revision, was never ready, and holds the rollout up"


class AdoptRevision(NamedTuple):
    """Own a revision that nobody manages (S19)."""

    revision: Revision


class AdoptPod(NamedTuple):
    """Own a pod that nobody manages (S17)."""

    pod: Pod


class ReleasePod(NamedTuple):
    """Give up a pod whose labels or name are not ours any more (S17)."""

    pod: Pod


class CreateRevision(NamedTuple):
    """Write the present template down (S24)."""

    manifest: Json


class RenumberRevision(NamedTuple):
    """Make an older revision the newest: a rollback (S24)."""

    revision: Revision
    number: int


class DeleteRevision(NamedTuple):
    """Forget a revision beyond the history limit (S26)."""

    revision: Revision


class CreateClaim(NamedTuple):
    """Create a claim for the pod of that name."""

    pod_name: str
    manifest: Json


class CreatePod(NamedTuple):
    """Create a pod."""

    manifest: Json


class UpdatePod(NamedTuple):
    """Set the labels and volumes that a pod lacks (S6).

    Attributes:
        labels: What to set; nothing where the pod is right and only its claims were not.
        claim_volumes: The volumes to be there instead of others of those names; nothing where they are right.
    """

    pod: Pod
    labels: dict[str, str]
    claim_volumes: tuple[Json, ...]


class DeletePod(NamedTuple):
    """Delete a pod, in its own grace period."""

    pod: Pod
    cause: Cause


class SetClaimOwners(NamedTuple):
    """Let a claim of the pod of that name belong to *owners* (S13)."""

    pod_name: str
    claim: Claim
    owners: tuple[OwnerReference, ...]


class GrowClaim(NamedTuple):
    """Let a claim ask for as much storage as its template does; never for less.

    Attributes:
        storage: A quantity, as the template has it.
    """

    pod_name: str
    claim: Claim
    storage: str


class Refuse(NamedTuple):
    """Send nothing more for this pod: it cannot be done now, for a reason to be told.

    Attributes:
        verb: What cannot be done, as events say it; empty where no event is written.
    """

    pod_name: str
    verb: str
    reason: str


class Tell(NamedTuple):
    """Write an event of type Warning about the set."""

    reason: str
    message: str


Action = (
    AdoptRevision
    | AdoptPod
    | ReleasePod
    | CreateRevision
    | RenumberRevision
    | DeleteRevision
    | CreateClaim
    | CreatePod
    | UpdatePod
    | DeletePod
    | SetClaimOwners
    | GrowClaim
    | Refuse
    | Tell
)

Slot = tuple[Action, ...]
"""The actions of one ordinal, in their order. One that fails ends the slot; failing claims first let the others be."""


class Step(NamedTuple):
    """The slots of one phase of a sync. One that fails ends the sync behind this step.

    Attributes:
        slots: Each with at least one action.
        is_burst: The slots need not wait for each other: batches of 1, 2, 4 up to 500 at once (S35).
    """

    slots: tuple[Slot, ...]
    is_burst: bool


class WaitKind(Enum):
    """What a set waits for."""

    POD_READY = "PodNotReady"
    POD_AVAILABLE = "PodNotAvailable"
    POD_GONE = "PodTerminating"
    POD_TERMINAL = "PodEnded"
    CLAIM_GONE = "ClaimTerminating"
    FORMER_CLAIM = "ClaimOfFormerPod"
    INVALID = "Invalid"


class Wait(NamedTuple):
    """Why a sync does no more now.

    Attributes:
        kind: What is waited for.
        pod_name: Whose pod; empty where the whole set waits.
        pod: The pod, where it exists.
        detail: Names, or words, that the kind alone does not say.
    """

    kind: WaitKind
    pod_name: str = ""
    pod: Pod | None = None
    detail: str = ""
