"""Actions and waits in words, as a person would say what comes next: "create Pod web-1 (revision web-6c5f...)".

Each reads on from "would", too, for those who only look. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from headlessdns.controller import explain
from headlessdns.controller.actions import (
    Action,
    AdoptPod,
    AdoptRevision,
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
    Tell,
    UpdatePod,
    Wait,
    WaitKind,
)
from headlessdns.controller.model import REVISION_LABEL, Json
from headlessdns.controller.plan import Plan


def action_line(action: Action) -> str:
    """Return *action* in words; empty where nothing is written but an event."""
    return _WORDS[type(action)](action)


def _create_revision(action: CreateRevision) -> str:
    manifest = action.manifest
    return f"create ControllerRevision {manifest['metadata']['name']} (number {manifest['revision']})"


def _renumber(action: RenumberRevision) -> str:
    return f"make ControllerRevision {action.revision.name} the newest again (number {action.number})"


def _create_claim(action: CreateClaim) -> str:
    manifest = action.manifest
    requests = ((manifest.get("spec") or {}).get("resources") or {}).get("requests") or {}
    size = f" ({requests['storage']})" if requests.get("storage") else ""
    return f"create PersistentVolumeClaim {manifest['metadata']['name']}{size} for Pod {action.pod_name}"


def _create_pod(action: CreatePod) -> str:
    metadata = action.manifest["metadata"]
    details = [f"revision {metadata['labels'][REVISION_LABEL]}"]
    claims = _claim_names(action.manifest["spec"].get("volumes") or ())
    if claims:
        details.append(f"{'claims' if len(claims) > 1 else 'claim'} {', '.join(claims)}")
    return f"create Pod {metadata['name']} ({'; '.join(details)})"


def _claim_names(volumes: Any) -> list[str]:
    found: list[Json] = [volume["persistentVolumeClaim"] for volume in volumes if volume.get("persistentVolumeClaim")]
    return [str(claim.get("claimName", "")) for claim in found]


def _update_pod(action: UpdatePod) -> str:
    parts = []
    if action.labels:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(action.labels.items()))
        parts.append(f"label it {labels}")
    if action.claim_volumes:
        parts.append(f"let it use the claims {', '.join(_claim_names(action.claim_volumes))}")
    return f"update Pod {action.pod.name}: {'; '.join(parts)}" if parts else ""


def _set_owners(action: SetClaimOwners) -> str:
    owners = ", ".join(f"{owner.kind} {owner.name}" for owner in action.owners)
    consequence = f"belong to {owners}, with which it is deleted" if owners else "belong to nobody, so that it is kept"
    return f"let PersistentVolumeClaim {action.claim.name} {consequence}"


def _grow(action: GrowClaim) -> str:
    resources = action.claim.spec.resources
    asked = (resources.requests or {}).get("storage", "nothing") if resources else "nothing"
    return f"grow PersistentVolumeClaim {action.claim.name} from {asked} to {action.storage}"


def _refuse(action: Refuse) -> str:
    return f"not {action.verb.lower() or 'touch'} Pod {action.pod_name}: {action.reason}"


_WORDS: dict[type, Callable[[Any], str]] = {
    AdoptRevision: lambda action: f"adopt ControllerRevision {action.revision.name}: nobody owns it",
    AdoptPod: lambda action: f"adopt Pod {action.pod.name}: nobody owns it, and its name and labels are the set's",
    ReleasePod: lambda action: f"give up Pod {action.pod.name}: its name or its labels are not the set's any more",
    CreateRevision: _create_revision,
    RenumberRevision: _renumber,
    DeleteRevision: lambda action: f"delete ControllerRevision {action.revision.name}: it is beyond the history limit",
    CreateClaim: _create_claim,
    CreatePod: _create_pod,
    UpdatePod: _update_pod,
    DeletePod: lambda action: f"delete Pod {action.pod.name}: {action.cause.value}",
    SetClaimOwners: _set_owners,
    GrowClaim: _grow,
    Refuse: _refuse,
    Tell: lambda action: f"warn {action.reason}: {action.message}",
}


def actions_of(plan: Plan) -> Iterator[Action]:
    """Yield everything that *plan* asks for, in its order."""
    yield from plan.adopt
    yield from plan.claim_pods
    if plan.revision is not None:
        yield plan.revision
    yield from (action for step in plan.steps for slot in step.slots for action in slot)
    yield from plan.forget


def wait_line(wait: Wait, now_s: float = 0.0) -> str:
    """Return *wait* in words; without *now_s*, Unix time, nothing is overdue."""
    if wait.kind is WaitKind.POD_READY and wait.pod is None:
        return f"wait for {wait.pod_name} to be ready"
    trouble = explain.trouble_in(wait, now_s)
    if wait.kind is WaitKind.INVALID:
        return f"do nothing until it is corrected: {trouble.words}"
    return "; ".join(part for part in (f"wait for {wait.pod_name}: {trouble.words}", trouble.remedy) if part)


def plan_lines(plan: Plan, now_s: float = 0.0) -> list[str]:
    """Return *plan* in words, a line for each action and one for what is waited for; none where all is done."""
    actions = list(actions_of(plan))
    lines = [line for line in map(action_line, actions) if line]
    if plan.wait is None:
        return lines
    deleted = {action.pod.name for action in actions if isinstance(action, DeletePod)}
    if plan.wait.pod_name in deleted:
        return [*lines, f"wait until {plan.wait.pod_name} is gone"]
    return [*lines, wait_line(plan.wait, now_s)]
