"""What to do next for a set: a pure function of what is observed.

It follows the reference controller of Kubernetes 1.36 (rules S1 to S46), except where ARCHITECTURE.md lists a
difference. It looks at the whole observed state, never at the event that woke it, so a lost or doubled event costs
nothing. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headlessdns.controller import identity, revisions
from headlessdns.controller.actions import (
    Action,
    AdoptPod,
    AdoptRevision,
    Cause,
    CreateClaim,
    CreatePod,
    CreateRevision,
    DeletePod,
    DeleteRevision,
    GrowClaim,
    Refuse,
    ReleasePod,
    RenumberRevision,
    SetClaimOwners,
    Slot,
    Step,
    Tell,
    UpdatePod,
    Wait,
    WaitKind,
)
from headlessdns.controller.identity import ClaimOwners
from headlessdns.controller.model import Claim, Json, Pod, Revision, StatefulSet, Status, ordinal_of, read_time
from headlessdns.controller.revisions import Choice

NEVER_READY_TOLERANCE_S = 2.0  # between a pod's start and its first condition, both in whole seconds


class Plan(NamedTuple):
    """What to do, in this order. What fails in `adopt`, `claim_pods` or `revision` ends the sync at once.

    Attributes:
        adopt: Revisions to own.
        claim_pods: Pods to own or to give up.
        revision: What to do about the revision of the present template.
        steps: What to do about pods and claims.
        status: The status as it is observed; `status_after` turns it into what is written. None: leave it alone.
        forget: Revisions beyond the limit; deleted even when a step failed.
        again_s: In how many seconds to look again, though nothing happens.
        wait: Why no more is done now.
    """

    adopt: tuple[AdoptRevision, ...] = ()
    claim_pods: tuple[AdoptPod | ReleasePod, ...] = ()
    revision: CreateRevision | RenumberRevision | None = None
    steps: tuple[Step, ...] = ()
    status: Status | None = None
    forget: tuple[DeleteRevision, ...] = ()
    again_s: float | None = None
    wait: Wait | None = None


def plan(
    set: StatefulSet,
    pods: Iterable[Pod],
    claims: Mapping[str, Claim],
    history: Iterable[Revision],
    now_s: float,
    collision_count: int | None = None,
) -> Plan:
    """Return what to do for *set* now.

    Args:
        set: What is wanted.
        pods: The pods that it owns, and those of its namespace that nobody owns.
        claims: The claims of its namespace by name.
        history: The revisions that it owns, and those of its namespace that nobody owns.
        now_s: Unix time.
        collision_count: Of its status, or higher where the name of a new revision has just turned out to be taken.
    """
    if set.faults:
        return Plan(wait=Wait(WaitKind.INVALID, detail="; ".join(set.faults)))
    members, claim_pods = _claim_pods(set, pods)
    own_revisions, adopt = _claim_revisions(set, history)
    if collision_count is None:
        collision_count = set.status.collision_count or 0
    try:
        choice = revisions.choose(set, own_revisions, collision_count)
    except ValueError as error:
        return Plan(adopt, claim_pods, wait=Wait(WaitKind.INVALID, detail=str(error)))
    sync = _Sync(set, members, claims, choice, now_s)
    sync.run()
    forget = revisions.to_forget(set, own_revisions, members, (choice.current_name, choice.update_name))
    return Plan(
        adopt,
        claim_pods,
        _revision_action(choice),
        tuple(sync.steps),
        sync.status,
        tuple(DeleteRevision(revision) for revision in forget),
        sync.again_s(),
        sync.wait,
    )


def status_after(set: StatefulSet, status: Status, deleted: Collection[DeletePod]) -> Status:
    """Return the status to write when the pods *deleted* have been deleted (S36, S43).

    Each update takes one off `currentReplicas`, whatever the pod was made from. The API refuses less than 0.
    """
    superseded = sum(
        action.cause is Cause.UPDATE or (action.cause is Cause.HEAL and action.pod.revision == status.current_revision)
        for action in deleted
    )
    status = msgspec.structs.replace(status, current_replicas=max(status.current_replicas - superseded, 0))
    counts = {status.updated_replicas, status.ready_replicas, status.replicas, set.replicas}
    if not set.is_on_delete and len(counts) == 1:
        return msgspec.structs.replace(
            status, current_replicas=status.updated_replicas, current_revision=status.update_revision
        )
    return status


def has_news(old: Status, new: Status) -> bool:
    """Tell whether *new* is to be written over *old* (S44)."""
    return new.observed_generation > old.observed_generation or any(
        getattr(new, field) != getattr(old, field)
        for field in new.__struct_fields__
        if field not in ("observed_generation", "collision_count")
    )


def _revision_action(choice: Choice) -> CreateRevision | RenumberRevision | None:
    if choice.create is not None:
        return CreateRevision(choice.create)
    return RenumberRevision(*choice.renumber) if choice.renumber else None


def _claim_pods(set: StatefulSet, pods: Iterable[Pod]) -> tuple[list[Pod], tuple[AdoptPod | ReleasePod, ...]]:
    """Return the pods of *set*, and which are to change hands first (S17)."""
    members: list[Pod] = []
    actions: list[AdoptPod | ReleasePod] = []
    for pod in pods:
        owner = pod.metadata.controller()
        if owner is not None and owner.uid != set.metadata.uid:
            continue
        is_ours = set.selector.matches(pod.labels) and identity.is_member(set, pod)
        if owner is not None:
            if is_ours:
                members.append(pod)
            elif not set.is_being_deleted:
                actions.append(ReleasePod(pod))
        elif is_ours and not set.is_being_deleted and not pod.is_terminating:
            members.append(pod)
            actions.append(AdoptPod(pod))
    return members, tuple(actions)


def _claim_revisions(set: StatefulSet, history: Iterable[Revision]) -> tuple[list[Revision], tuple[AdoptRevision, ...]]:
    """Return the revisions of *set*, and which are to be adopted first (S19)."""
    own = []
    adopt = []
    for revision in history:
        owner = revision.metadata.controller()
        if not set.selector.matches(revision.metadata.labels or {}):
            continue
        if owner is None:
            own.append(revision)
            if not set.is_being_deleted:
                adopt.append(AdoptRevision(revision))
        elif owner.uid == set.metadata.uid:
            own.append(revision)
    return own, tuple(adopt)


class _Sync:
    """One walk through the phases of a sync (S30 to S37). It stops where the reference stops."""

    def __init__(
        self, set: StatefulSet, members: Sequence[Pod], claims: Mapping[str, Claim], choice: Choice, now_s: float
    ) -> None:
        self.steps: list[Step] = []
        self.wait: Wait | None = None
        self._set = set
        self._members = members
        self._claims = claims
        self._choice = choice
        self._now_s = now_s
        self._ordinals = set.ordinals()
        self._kept, self._condemned = self._split()
        self.status = self._count([*self._kept.values(), *self._condemned])

    def _split(self) -> tuple[dict[int, Pod], list[Pod]]:
        """Return the pods whose ordinals are wanted, and the others by descending ordinal (S30)."""
        wanted = frozenset(self._ordinals)
        kept: dict[int, Pod] = {}
        condemned = []
        for pod in self._members:
            ordinal = ordinal_of(pod.name)
            if ordinal in wanted:
                if ordinal not in kept or pod.name == identity.pod_name(self._set, ordinal):  # not web-07 for web-7
                    kept[ordinal] = pod
            elif ordinal >= 0:
                condemned.append(pod)
        return kept, sorted(condemned, key=lambda pod: -ordinal_of(pod.name))

    def _count(self, pods: Sequence[Pod]) -> Status:
        """Return the status from what is observed (S41, S42)."""
        set, choice = self._set, self._choice
        created = [pod for pod in pods if pod.is_created]
        ready = [pod for pod in pods if pod.is_running_and_ready]
        living = [pod.revision for pod in created if not pod.is_terminating]
        return Status(
            observed_generation=set.generation,
            replicas=len(created),
            ready_replicas=len(ready),
            available_replicas=sum(pod.is_available(set.min_ready_s, self._now_s) for pod in ready),
            current_replicas=living.count(choice.current_name),
            updated_replicas=living.count(choice.update_name),
            current_revision=choice.current_name,
            update_revision=choice.update_name,
            collision_count=choice.collision_count,
        )

    def run(self) -> None:
        """Go through the phases."""
        if self._set.is_being_deleted:
            self.status = self._count(self._members)
            return
        if self._keep():
            self._prepare_condemned()
            if self._remove_condemned():
                self._update()
        self._grow_claims()

    def again_s(self) -> float | None:
        """Return when the next pod will have been ready for long enough (S46)."""
        status = self.status
        if not self._set.min_ready_s or status.ready_replicas == status.available_replicas:
            return None
        waits = [pod.available_in_s(self._set.min_ready_s, self._now_s) for pod in self._members]
        return min((wait_s for wait_s in waits if wait_s), default=float(self._set.min_ready_s))

    # Phase A: what is to exist

    def _keep(self) -> bool:
        """Create, replace and mend what is to exist; tell whether the next phase may come."""
        slots: list[Slot] = []
        for index, ordinal in enumerate(self._ordinals):
            actions, is_done = self._keep_one(index, ordinal, self._kept.get(ordinal))
            if actions:
                slots.append(tuple(actions))
            if not is_done and not self._set.is_parallel:
                self._add_step(slots)
                return False
        self._add_step(slots)
        return True

    def _add_step(self, slots: Sequence[Slot]) -> None:
        """Add a phase whose slots go at once in Parallel."""
        if slots:
            self.steps.append(Step(tuple(slots), self._set.is_parallel))

    def _wait_for(self, kind: WaitKind, name: str, pod: Pod | None = None, detail: str = "") -> None:
        """Remember the first reason to wait."""
        if self.wait is None:
            self.wait = Wait(kind, name, pod, detail)

    def _keep_one(self, index: int, ordinal: int, pod: Pod | None) -> tuple[list[Action], bool]:
        """Return what to do for one ordinal, and whether the next may follow at once (S32)."""
        if pod is None:
            return self._create(index, ordinal), False
        if pod.is_terminal:
            self._wait_for(WaitKind.POD_TERMINAL, pod.name, pod)
            return ([] if pod.is_terminating else [DeletePod(pod, Cause.TERMINAL)]), False
        blocked_by = self._why_not_available(pod)
        stops = blocked_by is not None and not self._set.is_parallel
        if stops and self._is_to_be_healed(index, pod):
            self._wait_for(WaitKind.POD_READY, pod.name, pod)
            return [DeletePod(pod, Cause.HEAL)], False
        is_pending = pod.phase in ("", "Pending")
        actions: list[Action] = []
        if is_pending:
            actions += self._create_claims(ordinal, pod.name, "")
            if _refuses(actions):
                return actions, False
            actions += self._mend_claims(ordinal, pod.name, pod.metadata.uid)
        if blocked_by is not None:
            self._wait_for(blocked_by, pod.name, pod)
        return (actions, False) if stops else (actions + self._mend(ordinal, pod, has_claims=is_pending), True)

    def _why_not_available(self, pod: Pod) -> WaitKind | None:
        if pod.is_terminating:
            return WaitKind.POD_GONE
        if not pod.is_running_and_ready:
            return WaitKind.POD_READY
        return None if pod.is_available(self._set.min_ready_s, self._now_s) else WaitKind.POD_AVAILABLE

    def _create(self, index: int, ordinal: int) -> list[Action]:
        """Return the creation of a pod and of the claims that it lacks (S10, S15, S27)."""
        set, name = self._set, identity.pod_name(self._set, ordinal)
        owners = ClaimOwners(set, name, "", is_condemned=False)
        present, _ = identity.claims_of(set, ordinal, self._claims)
        former = [claim.name for _, claim in present if owners.is_of_former_pod(claim)]
        if former:
            self._wait_for(WaitKind.FORMER_CLAIM, name, detail=", ".join(former))
            return []
        actions = self._create_claims(ordinal, name, "Create")
        if _refuses(actions):
            return actions
        template, revision_name = self._template_for(index)
        actions.append(CreatePod(identity.pod_manifest(set, ordinal, template, revision_name)))
        actions += self._mend_claims(ordinal, name, "")
        self._wait_for(WaitKind.POD_READY, name)
        return actions

    def _template_for(self, index: int) -> tuple[Json, str]:
        """Return the template and revision that the pod at *index* is made from (S27 to S29)."""
        choice = self._choice
        if self._wants_current(index):
            return choice.current_template, choice.current_name
        return choice.update_template, choice.update_name

    def _wants_current(self, index: int) -> bool:
        set = self._set
        if set.is_on_delete:
            # The reference compares the partition whatever the strategy is; without one this is false.
            return False
        return index < (set.partition if set.has_rolling_update else set.status.current_replicas)

    def _create_claims(self, ordinal: int, name: str, verb: str) -> list[Action]:
        """Return the creation of the claims that *ordinal* lacks, and a refusal where one is on its way out (S10)."""
        present, missing = identity.claims_of(self._set, ordinal, self._claims)
        actions: list[Action] = [
            CreateClaim(name, identity.claim_manifest(self._set, template, ordinal)) for template in missing
        ]
        leaving = [claim.name for _, claim in present if claim.is_terminating]
        if leaving:
            self._wait_for(WaitKind.CLAIM_GONE, name, self._kept.get(ordinal), ", ".join(leaving))
            reason = ", ".join(f"pvc {claim} is being deleted" for claim in leaving)
            actions.append(Refuse(name, verb, f"[{reason}]" if len(leaving) > 1 else reason))
        return actions

    def _mend_claims(self, ordinal: int, name: str, pod_uid: str, *, is_condemned: bool = False) -> list[Action]:
        """Return what brings the owners of the claims in line with the retention policy (S13, S14)."""
        owners = ClaimOwners(self._set, name, pod_uid, is_condemned=is_condemned)
        actions: list[Action] = []
        for _, claim in identity.claims_of(self._set, ordinal, self._claims)[0]:
            if owners.conflicts(claim):
                actions.append(Tell("ConflictingController", _CONFLICT.format(claim.name)))
            if not owners.are_right(claim):
                actions.append(SetClaimOwners(name, claim, owners.mended(claim)))
        return actions

    def _mend(self, ordinal: int, pod: Pod, *, has_claims: bool) -> list[Action]:
        """Return what makes *pod* who its name says it is (S6).

        Args:
            ordinal: Its ordinal.
            pod: The pod.
            has_claims: Whether its claims have been seen to already.
        """
        name = identity.pod_name(self._set, ordinal)
        if pod.name != name:  # web-07: no update can give it the right name, and web-7 must not run beside it
            return [Refuse(pod.name, "Update", f"pod {pod.name} is in the place of {name}; delete it")]
        labels = {} if identity.has_identity(self._set, pod) else identity.identity_labels(self._set, ordinal)
        has_storage = identity.has_storage(self._set, pod)
        actions: list[Action] = [] if has_storage or has_claims else self._create_claims(ordinal, name, "Update")
        if _refuses(actions):
            return actions
        owners = [] if has_claims else _only_with_change(self._mend_claims(ordinal, name, pod.metadata.uid))
        volumes = () if has_storage else tuple(identity.pod_volumes(self._set, ordinal, ()))
        if labels or volumes or owners:
            return [*actions, *owners, UpdatePod(pod, labels, volumes)]
        return actions

    def _is_to_be_healed(self, index: int, pod: Pod) -> bool:
        """Tell whether *pod* holds up a rollout that would replace it, and nothing is lost with it."""
        set = self._set
        is_superseded = pod.revision != self._template_for(index)[1]
        if not is_superseded or set.is_on_delete or set.is_paused or not set.heals or pod.is_terminating:
            return False
        return was_never_ready(pod)

    # Phases B and C: what is to go

    def _prepare_condemned(self) -> None:
        """Bring the owners of claims in line before their pods go (S16)."""
        slots = []
        for pod in self._condemned:
            owners = self._mend_claims(ordinal_of(pod.name), pod.name, pod.metadata.uid, is_condemned=True)
            if actions := _only_with_change(owners):
                slots.append(tuple(actions))
        self._add_step(slots)

    def _remove_condemned(self) -> bool:
        """Delete what is not to exist; tell whether the next phase may come (S34, S35)."""
        slots: list[Slot] = []
        for pod in self._condemned:
            if self._set.is_parallel:
                if not pod.is_terminating:
                    slots.append((DeletePod(pod, Cause.SCALE_DOWN),))
                continue
            blocked_by = self._why_not_available(pod)
            if blocked_by is WaitKind.POD_GONE or (blocked_by is not None and pod is not self._first_unavailable()):
                self._wait_for(blocked_by, pod.name, pod)
                return False
            self._add_step([(DeletePod(pod, Cause.SCALE_DOWN),)])
            return False
        self._add_step(slots)
        return True

    def _first_unavailable(self) -> Pod | None:
        """Return the unavailable condemned pod of the lowest ordinal; all that is kept is available by now (S31)."""
        for pod in reversed(self._condemned):
            if pod.is_unavailable(self._set.min_ready_s, self._now_s):
                return pod
        return None

    # Phase D: what is to be replaced

    def _update(self) -> None:
        """Delete pods of superseded revisions, the highest ordinal first (S36)."""
        set = self._set
        if set.is_on_delete or set.is_paused:
            return
        doomed = self._superseded() if set.max_unavailable is None else self._superseded_within_budget()
        if doomed:
            self.steps.append(Step(tuple((DeletePod(pod, Cause.UPDATE),) for pod in doomed), is_burst=False))

    def _superseded(self) -> list[Pod]:
        """Return the one pod to replace now, or none (S36)."""
        for ordinal in reversed(self._ordinals[self._set.partition :]):
            pod = self._kept.get(ordinal)
            if pod is not None and self._is_superseded(pod):
                return [pod]
            if self._is_away(ordinal):
                return []
        return []

    def _superseded_within_budget(self) -> list[Pod]:
        """Return the pods to replace now where several may be away at once.

        Those that are unavailable and superseded go first: that makes nothing worse, and else they would eat the budget
        that is to replace them (kubernetes#137409). What is left of the budget goes to those that are available.
        """
        unavailable = [ordinal for ordinal in self._ordinals if self._is_away(ordinal)]
        candidates = [
            (ordinal, pod)
            for ordinal in reversed(self._ordinals[self._set.partition :])
            if (pod := self._kept.get(ordinal)) is not None and self._is_superseded(pod)
        ]
        away = frozenset(unavailable)
        broken = [pod for ordinal, pod in candidates if ordinal in away]
        sound = [pod for ordinal, pod in candidates if ordinal not in away]
        return broken + sound[: max(self._set.budget() - len(unavailable), 0)]

    def _is_away(self, ordinal: int) -> bool:
        pod = self._kept.get(ordinal)
        return pod is None or pod.is_terminal or pod.is_unavailable(self._set.min_ready_s, self._now_s)

    def _is_superseded(self, pod: Pod) -> bool:
        """Tell whether *pod* is to be replaced; one that has ended goes anyway."""
        return pod.revision != self._choice.update_name and not pod.is_terminating and not pod.is_terminal

    # Storage

    def _grow_claims(self) -> None:
        """Let claims ask for as much storage as their templates do; last, so that a refusal holds nothing up.

        A claim that asks for more stays as it is, and that is no fault: claims are often grown ahead of a template.
        """
        if not self._set.grows_claims:
            return
        self._add_step(
            [
                (GrowClaim(identity.pod_name(self._set, ordinal), claim, storage),)
                for ordinal in self._ordinals
                for template, claim in identity.claims_of(self._set, ordinal, self._claims)[0]
                if (storage := identity.storage_to_ask(template, claim)) is not None
            ]
        )


def _refuses(actions: Iterable[Action]) -> bool:
    return any(isinstance(action, Refuse) for action in actions)


def _only_with_change(actions: list[Action]) -> list[Action]:
    """Return *actions*, or none where they would only tell of claims that stay as they are."""
    return actions if any(isinstance(action, SetClaimOwners) for action in actions) else []


_CONFLICT = (
    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, "
    "the retention policy is ignored for this claim"
)


def was_never_ready(pod: Pod) -> bool:
    """Tell whether *pod* has not been Ready for a moment.

    The Ready condition keeps the time of its last change. Where it is false since the pod's start, it was never true,
    unless it was for less than the tolerance; then it may have been seen.
    """
    if pod.was_ready:
        return False
    ready = pod.condition("Ready")
    if ready is None or not ready.last_transition_time:
        return True
    if ready.status == "True":
        return False
    start = pod.status.start_time
    return start is not None and read_time(ready.last_transition_time) - read_time(start) <= NEVER_READY_TOLERANCE_S
