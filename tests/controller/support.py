"""Short forms for what the controller's tests share: sets, pods and claims as objects, and actions as words.

Revisions are named after the image of their template, so that `v1` and `v2` say which is which.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headlessdns.controller import actions, plan
from headlessdns.controller.model import (
    SetKey,
    SetKind,
    read_claim,
    read_pod,
    read_revision,
    read_set,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headlessdns.controller.model import Claim, Json, Pod, Revision, StatefulSet
    from headlessdns.controller.plan import Plan
    from headlessdns.controller.simulate import World

NOW_S = 1_800_000_000
KEY = SetKey(SetKind.STATEFUL_SET, "default", "web")
SET_UID = "uid-of-web"
ORDERED, PARALLEL = "OrderedReady", "Parallel"


def time_at(offset_s: float) -> str:
    """The time that many seconds from now, as the API writes it."""
    return datetime.fromtimestamp(NOW_S + offset_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Sets


def annotated(**annotations: str) -> dict[str, str]:
    """Our annotations by their last part, with _ for -."""
    return {f"headlessdns.io/{name.replace('_', '-')}": value for name, value in annotations.items()}


def template(image: str) -> Json:
    return {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "nginx", "image": image}]}}


def claim_template(name: str = "www", storage: str = "1Gi") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }


def raw_set(
    image: str = "v1",
    *,
    replicas: int | None = 3,
    current: str = "v1",
    current_replicas: int = 0,
    policy: str = ORDERED,
    start: int | None = None,
    strategy: str = "RollingUpdate",
    partition: int | None = 0,
    min_ready_s: int = 0,
    history_limit: int | None = None,
    retention: tuple[str, str] | None = None,
    claims: Sequence[Json] = (),
    annotations: dict[str, str] | None = None,
    status: Json | None = None,
    deleting: bool = False,
) -> Json:
    """The set `web`. `partition=None` leaves `rollingUpdate` out; *retention* is whenDeleted, whenScaled."""
    update: Json = {"type": strategy}
    if strategy == "RollingUpdate" and partition is not None:
        update["rollingUpdate"] = {"partition": partition}
    spec: Json = {
        "replicas": replicas,
        "serviceName": "nginx",
        "selector": {"matchLabels": {"app": "nginx"}},
        "podManagementPolicy": policy,
        "updateStrategy": update,
        "template": template(image),
        "volumeClaimTemplates": list(claims),
        "minReadySeconds": min_ready_s,
    }
    if start is not None:
        spec["ordinals"] = {"start": start}
    if history_limit is not None:
        spec["revisionHistoryLimit"] = history_limit
    if retention is not None:
        spec["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": retention[0], "whenScaled": retention[1]}
    metadata: Json = {
        "name": "web",
        "namespace": "default",
        "uid": SET_UID,
        "resourceVersion": "1",
        "generation": 7,
        "annotations": annotations or {},
    }
    if deleting:
        metadata["deletionTimestamp"] = time_at(-1)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": spec,
        "status": {"currentRevision": current, "currentReplicas": current_replicas, **(status or {})},
    }


def web(image: str = "v1", **options: Any) -> StatefulSet:
    return read_set(raw_set(image, **options))


def owner(uid: str = SET_UID, **fields: Any) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": "web",
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
        **fields,
    }


def revision(image: str, number: int, *, owners: Sequence[Json] | None = None, **metadata: Any) -> Revision:
    return read_revision(
        {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": image,
                "namespace": "default",
                "uid": f"uid-of-{image}",
                "resourceVersion": "1",
                "labels": {"app": "nginx"},
                "ownerReferences": [owner()] if owners is None else list(owners),
                **metadata,
            },
            "data": {"spec": {"template": {**template(image), "$patch": "replace"}}},
            "revision": number,
        }
    )


HISTORY = (revision("v1", 1), revision("v2", 2))


# Pods

_READY = {"phase": "Running", "ready": "True", "start": -3600, "change": -3500}
STATES: dict[str, dict[str, Any]] = {
    "ready": _READY,
    "ready-for-2s": {**_READY, "change": -2},
    "ready-for-9s": {**_READY, "change": -9},
    "unseen": {"phase": ""},
    "pending": {"phase": "Pending"},
    "never-ready": {"phase": "Running", "ready": "False", "start": -3600, "change": -3599},
    "was-ready": {"phase": "Running", "ready": "False", "start": -3600, "change": -60},
    "Failed": {"phase": "Failed", "ready": "False", "start": -3600, "change": -60},
    "Succeeded": {"phase": "Succeeded", "ready": "False", "start": -3600, "change": -60},
    "Failed-and-ready": {"phase": "Failed", "ready": "True", "start": -3600, "change": -60},
    "unknown": {"phase": "Unknown", "ready": "True", "start": -3600, "change": -60},
}


def raw_pod(text: str, **metadata: Any) -> Json:
    """A pod of `web` from words: its ordinal or name, its revision, its state, and `leaving` where it is deleted."""
    name, image, state, *leaving = text.split()
    name = f"web-{name}" if name.isdigit() else name
    words = STATES[state]
    status: Json = {"phase": words["phase"]}
    if "ready" in words:
        condition = {"type": "Ready", "status": words["ready"], "lastTransitionTime": time_at(words["change"])}
        status |= {"startTime": time_at(words["start"]), "conditions": [condition]}
    labels = {
        "app": "nginx",
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": name.rpartition("-")[2],
        "controller-revision-hash": image,
    }
    fields = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-of-{name}",
        "resourceVersion": "1",
        "labels": labels,
        "ownerReferences": [owner()],
    }
    if leaving:
        fields["deletionTimestamp"] = time_at(-5)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**fields, **metadata},
        "spec": {"containers": [{"name": "nginx", "image": image}]},
        "status": status,
    }


def pods(text: str) -> list[Pod]:
    """Pods from words, separated by commas."""
    return [read_pod(raw_pod(words)) for words in text.split(",") if words.strip()]


def pod_with_claims(text: str, *claims: str, **metadata: Any) -> Pod:
    """A pod with the volumes of its *claims*, such as www."""
    raw = raw_pod(text, **metadata)
    name = raw["metadata"]["name"]
    raw["spec"]["volumes"] = [
        {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}} for claim in claims
    ]
    return read_pod(raw)


def claim(name: str, *owners: Json, storage: str = "1Gi", phase: str = "Bound", **metadata: Any) -> Claim:
    return read_claim(
        {
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": f"uid-of-{name}",
                "resourceVersion": "1",
                "ownerReferences": list(owners),
                **metadata,
            },
            "spec": {"resources": {"requests": {"storage": storage}}},
            "status": {"phase": phase},
        }
    )


def pod_owner(name: str, uid: str | None = None, **fields: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": name,
        "uid": uid or f"uid-of-{name}",
        "controller": True,
        "blockOwnerDeletion": True,
        **fields,
    }


def there(world: World, kind: str, name: str) -> Json:
    """An object that has to be there."""
    raw = world.get(kind, name)
    assert raw is not None, f"{kind} {name} is not there"
    return raw


# Plans


def planned(
    set: StatefulSet,
    found: str | Iterable[Pod] = "",
    *,
    claims: Iterable[Claim] = (),
    history: Iterable[Revision] = HISTORY,
    now_s: float = NOW_S,
    collision_count: int | None = None,
) -> Plan:
    """The plan for *set* when *found* is there."""
    there = pods(found) if isinstance(found, str) else found
    return plan.plan(set, there, {one.name: one for one in claims}, history, now_s, collision_count)


def words(made: Plan) -> list[str]:
    """What a plan does about pods and claims, in its order."""
    return [in_words(action) for step in made.steps for slot in step.slots for action in slot]


def in_words(action: Any) -> str:
    """An action in a few words; revisions are said by their image."""
    match action:
        case actions.AdoptRevision(one) | actions.AdoptPod(one):
            return f"adopt {one.name}"
        case actions.ReleasePod(one):
            return f"release {one.name}"
        case actions.CreateRevision(manifest):
            return f"write down {_image(manifest['data']['spec']['template'])} as {manifest['revision']}"
        case actions.RenumberRevision(one, number):
            return f"renumber {one.name} to {number}"
        case actions.DeleteRevision(one):
            return f"forget {one.name}"
        case actions.CreateClaim(_, manifest):
            return f"claim {manifest['metadata']['name']}"
        case actions.CreatePod(manifest):
            return f"create {manifest['metadata']['name']} {_image(manifest)}"
        case actions.UpdatePod(one, labels, volumes):
            what = [*sorted(labels), *(volume["persistentVolumeClaim"]["claimName"] for volume in volumes)]
            return " ".join(["update", one.name, *what])
        case actions.DeletePod(one, cause):
            return f"delete {one.name} {cause.name}"
        case actions.SetClaimOwners(_, one, owners):
            return " ".join(["own", one.name, *(f"{reference.kind}/{reference.uid}" for reference in owners)])
        case actions.GrowClaim(_, one, storage):
            return f"grow {one.name} to {storage}"
        case actions.Refuse(name, verb, reason):
            return f"refuse {name} {verb}: {reason}"
        case actions.Tell(reason, message):
            return f"tell {reason}: {message}"
    raise AssertionError(action)


def _image(manifest: Json) -> str:
    return str(manifest["spec"]["containers"][0]["image"])
