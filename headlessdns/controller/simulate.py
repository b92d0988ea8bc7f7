"""One namespace in memory: what becomes of a set, step by step, without a cluster.

`World` keeps objects as the Kubernetes API does, as far as the controller can tell the difference: creations collide by
name, deletions and updates have preconditions, a deleted pod stays until its containers have stopped, and the garbage
collector follows owner references. `World.sync` does what the controller does in one sync, `World.run_kubelet` lets
the pods come one step further. Repeated in turn, they show a whole rollout. Pure: the clock is a number.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import msgspec

from headlessdns.controller import revisions
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
    Slot,
    Step,
    Tell,
    UpdatePod,
)
from headlessdns.controller.model import (
    Json,
    Metadata,
    Pod,
    Revision,
    SetKey,
    SetKind,
    StatefulSet,
    Status,
    read_claim,
    read_pod,
    read_revision,
    read_set,
)
from headlessdns.controller.plan import Plan, has_news, plan, status_after
from headlessdns.errors import HeadlessDNSError

POD, CLAIM, REVISION = "Pod", "PersistentVolumeClaim", "ControllerRevision"
SET_KINDS = tuple(kind.value for kind in SetKind)
KINDS = (*SET_KINDS, POD, CLAIM, REVISION)

NOT_READY_ANNOTATION = "lab.headlessdns.io/ready"
FAIL_ANNOTATION = "lab.headlessdns.io/fail"

ALREADY_EXISTS, NOT_FOUND, CONFLICT, INVALID = "AlreadyExists", "NotFound", "Conflict", "Invalid"
MAX_BATCH = 500
MAX_COLLISIONS = 20  # in one sync

Owned = TypeVar("Owned", Pod, Revision)

View = Mapping[str, Mapping[str, Json]]
"""All objects by kind and name, as somebody saw them at some time."""


class RefusedError(HeadlessDNSError):
    """A request was refused, or a sync cannot go on.

    Attributes:
        reason: In one word, as the API has it.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class _CollisionError(RefusedError):
    """The name of a new revision is taken by another one (S24)."""


class WriteStatus(NamedTuple):
    """Write the status of a set as it was seen."""

    seen: Metadata
    status: Status


Write = Action | WriteStatus


class Outcome(NamedTuple):
    """What a sync came to.

    Attributes:
        plan: The last plan; None where the set is gone.
        done: What was written, in this order.
        failures: What was refused, in words; such a sync is repeated later.
    """

    plan: Plan | None
    done: tuple[Write, ...] = ()
    failures: tuple[str, ...] = ()


class World:
    """The sets, pods, claims and revisions of one namespace. Objects are never changed in place.

    Attributes:
        now_s: Unix time; set it to let time pass.
        events: Reason and message of the warnings that plans asked for.
    """

    def __init__(self, objects: Sequence[Json] = (), now_s: float = 0.0, namespace: str = "default") -> None:
        """Begin with *objects*, each as in a manifest."""
        self.now_s = now_s
        self.events: list[tuple[str, str]] = []
        self._namespace = namespace
        self._objects: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
        self._version = 0
        self._uids = 0
        for raw in objects:
            self.put(raw)

    # Objects

    def get(self, kind: str, name: str) -> Json | None:
        """Return an object, None where there is none."""
        return self._objects[kind].get(name)

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of *kind*, the oldest first."""
        return list(self._objects[kind])

    def view(self) -> dict[str, dict[str, Json]]:
        """Return all objects as they are now; later changes do not show in it."""
        return {kind: dict(objects) for kind, objects in self._objects.items()}

    def put(self, raw: Json) -> Json:
        """Create or change an object as `kubectl apply` does, and return it.

        What the API fills in is filled in where it is missing. A change of `spec` gives a set a new generation.
        """
        kind, name = raw["kind"], raw["metadata"]["name"]
        old = self.get(kind, name)
        new = copy.deepcopy(raw)
        metadata = new["metadata"]
        if old is not None:
            new.setdefault("status", old.get("status", {}))
            new["metadata"] = metadata = {**old["metadata"], **metadata}
        metadata.setdefault("namespace", self._namespace)
        metadata.setdefault("uid", self._next_uid())
        metadata.setdefault("creationTimestamp", self._time())
        if kind in SET_KINDS:
            is_changed = old is None or old["spec"] != new["spec"]
            metadata["generation"] = (old["metadata"]["generation"] if old else 0) + is_changed
        if kind in (POD, CLAIM):
            new.setdefault("status", {}).setdefault("phase", "Pending")
        return self._store(kind, new)

    def delete(self, kind: str, name: str, *, orphans: bool = False) -> None:
        """Delete an object as `kubectl delete` does.

        Args:
            kind: Of the object.
            name: Of the object; where there is none, nothing happens.
            orphans: Let what it owns stay, as with `--cascade=orphan`.
        """
        raw = self.get(kind, name)
        if raw is None:
            return
        if orphans:
            self._give_up_dependents(raw["metadata"]["uid"])
        if kind in (POD, CLAIM):
            self._begin_deletion(kind, raw)
        else:
            del self._objects[kind][name]
        self._drop_unused_claims()

    def collect_garbage(self) -> None:
        """Delete what belongs to nobody who is still there, again and again until nothing does."""
        while any(self._collect(kind, raw) for kind in KINDS for raw in list(self._objects[kind].values())):
            pass
        self._drop_unused_claims()

    def _collect(self, kind: str, raw: Json) -> bool:
        """Delete *raw* if all its owners are gone; tell whether that was news."""
        owners = raw["metadata"].get("ownerReferences") or ()
        there = [owner for owner in owners if self._is_there(owner)]
        if len(there) == len(owners) or "deletionTimestamp" in raw["metadata"]:
            return False
        if there:
            self._change(kind, raw, {"metadata": {**raw["metadata"], "ownerReferences": there}})
        elif kind in (POD, CLAIM):
            self._begin_deletion(kind, raw)
        else:
            del self._objects[kind][raw["metadata"]["name"]]
        return True

    def _is_there(self, owner: Json) -> bool:
        found = self._objects.get(owner["kind"], {}).get(owner["name"])
        return owner["kind"] not in KINDS or (found is not None and found["metadata"]["uid"] == owner["uid"])

    def _give_up_dependents(self, uid: str) -> None:
        for kind in KINDS:
            for raw in list(self._objects[kind].values()):
                owners = raw["metadata"].get("ownerReferences") or ()
                rest = [owner for owner in owners if owner["uid"] != uid]
                if len(rest) != len(owners):
                    self._change(kind, raw, {"metadata": {**raw["metadata"], "ownerReferences": rest}})

    def _begin_deletion(self, kind: str, raw: Json) -> None:
        metadata = raw["metadata"]
        if "deletionTimestamp" not in metadata:
            self._change(kind, raw, {"metadata": {**metadata, "deletionTimestamp": self._time()}})

    def _drop_unused_claims(self) -> None:
        """Let deleted claims go that no pod uses; one that has not started does not use them yet."""
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for pod in self._objects[POD].values()
            for volume in pod["spec"].get("volumes") or ()
            if "persistentVolumeClaim" in volume and pod["status"]["phase"] != "Pending"
        }
        for name, claim in list(self._objects[CLAIM].items()):
            if "deletionTimestamp" in claim["metadata"] and name not in used:
                del self._objects[CLAIM][name]

    def _change(self, kind: str, raw: Json, fields: Json) -> Json:
        metadata = fields.get("metadata") or raw["metadata"]
        return self._store(kind, {**raw, **fields, "metadata": dict(metadata)})

    def _store(self, kind: str, raw: Json) -> Json:
        self._version += 1
        raw["metadata"]["resourceVersion"] = str(self._version)
        self._objects[kind][raw["metadata"]["name"]] = raw
        return raw

    def _next_uid(self) -> str:
        self._uids += 1
        return f"uid-{self._uids}"

    def _time(self) -> str:
        return datetime.fromtimestamp(self.now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # The kubelet

    def run_kubelet(self) -> bool:
        """Bring every pod one step further and tell whether there was anything to do.

        A deleted pod goes; a pending one whose claims are there starts; a running one becomes ready. The annotations
        `lab.headlessdns.io/ready: "false"` and `lab.headlessdns.io/fail` keep a pod from becoming ready.
        """
        steps = [self._run_pod(name, raw) for name, raw in list(self._objects[POD].items())]
        return any(steps)

    def _run_pod(self, name: str, raw: Json) -> bool:
        if "deletionTimestamp" in raw["metadata"]:
            self.finish_deletion(name)
            return True
        if raw["status"]["phase"] == "Pending":
            return self.start(name)
        annotations = raw["metadata"].get("annotations") or {}
        is_broken = annotations.get(NOT_READY_ANNOTATION) == "false" or FAIL_ANNOTATION in annotations
        if raw["status"]["phase"] != "Running" or is_broken or read_pod(raw).is_ready:
            return False
        self.report_ready(name)
        return True

    def start(self, name: str) -> bool:
        """Let a pod run, and bind its claims; tell whether they are all there."""
        raw = self._objects[POD][name]
        volumes = raw["spec"].get("volumes") or ()
        wanted = [
            volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume
        ]
        claims = [self.get(CLAIM, claim_name) for claim_name in wanted]
        if any(claim is None or "deletionTimestamp" in claim["metadata"] for claim in claims):
            return False
        for claim in claims:
            if claim is not None and claim["status"]["phase"] != "Bound":
                self._change(CLAIM, claim, {"status": {"phase": "Bound"}})
        status = {"phase": "Running", "startTime": self._time(), "conditions": [self._ready("False")]}
        self._change(POD, raw, {"status": status})
        return True

    def report_ready(self, name: str, *, ready: bool = True) -> None:
        """Let a pod become ready, or not ready."""
        raw = self._objects[POD][name]
        self._change(POD, raw, {"status": {**raw["status"], "conditions": [self._ready(str(ready))]}})

    def end(self, name: str, phase: str) -> None:
        """Let a pod end, as `Failed` (evicted, too) or `Succeeded`."""
        raw = self._objects[POD][name]
        self._change(POD, raw, {"status": {**raw["status"], "phase": phase, "conditions": [self._ready("False")]}})

    def finish_deletion(self, name: str) -> None:
        """Let a deleted pod go."""
        if "deletionTimestamp" in self._objects[POD][name]["metadata"]:
            del self._objects[POD][name]
            self._drop_unused_claims()

    def _ready(self, status: str) -> Json:
        return {"type": "Ready", "status": status, "lastTransitionTime": self._time()}

    # Writes of the controller

    def apply(self, set: StatefulSet, write: Write) -> None:
        """Do what the API does when the controller sends *write* for *set*.

        Raises:
            RefusedError: The API refuses it; `reason` says why.
        """
        match write:
            case CreatePod(manifest):
                self._create(POD, {**manifest, "status": {"phase": "Pending"}})
            case CreateClaim(_, manifest):
                self._create(CLAIM, {**manifest, "status": {"phase": "Pending"}})
            case CreateRevision(manifest):
                self._create(REVISION, manifest)
            case DeletePod(pod, _):
                if (raw := self._seen(POD, pod.metadata)) is not None:
                    self._begin_deletion(POD, raw)
            case DeleteRevision(revision):
                if self._seen(REVISION, revision.metadata) is not None:
                    del self._objects[REVISION][revision.name]
            case AdoptPod(pod):
                self._adopt(set, POD, pod.metadata)
            case AdoptRevision(revision):
                self._adopt(set, REVISION, revision.metadata)
            case ReleasePod(pod):
                self._release(set, pod)
            case WriteStatus(seen, status):
                kind = set.kind.value
                raw = self._unchanged(kind, seen)
                self._change(kind, raw, {"status": {**(raw.get("status") or {}), **msgspec.to_builtins(status)}})
            case Tell(reason, message):
                self.events.append((reason, message))
            case Refuse():
                pass
            case _:
                self._update(write)

    def _update(self, write: RenumberRevision | UpdatePod | SetClaimOwners | GrowClaim) -> None:
        match write:
            case RenumberRevision(revision, number):
                self._change(REVISION, self._unchanged(REVISION, revision.metadata), {"revision": number})
            case UpdatePod(pod, labels, volumes):
                self._update_pod(pod, labels, volumes)
            case SetClaimOwners(_, claim, owners):
                raw = self._unchanged(CLAIM, claim.metadata)
                references = list(msgspec.to_builtins(owners))
                self._change(CLAIM, raw, {"metadata": {**raw["metadata"], "ownerReferences": references}})
            case GrowClaim(_, claim, storage):
                raw = self._unchanged(CLAIM, claim.metadata)
                resources = {**raw["spec"]["resources"], "requests": {"storage": storage}}
                self._change(CLAIM, raw, {"spec": {**raw["spec"], "resources": resources}})

    def _create(self, kind: str, manifest: Json) -> None:
        name = manifest["metadata"]["name"]
        if self.get(kind, name) is not None:
            raise RefusedError(ALREADY_EXISTS, f'{kind} "{name}" already exists')
        self.put(manifest)

    def _seen(self, kind: str, seen: Metadata) -> Json | None:
        """Return the object that was *seen*, None where nothing has its name.

        Raises:
            RefusedError: It is another one by now, or has changed.
        """
        raw = self.get(kind, seen.name)
        if raw is None:
            return None
        metadata = raw["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (seen.uid, seen.resource_version):
            raise RefusedError(CONFLICT, f'{kind} "{seen.name}" has changed since it was seen')
        return raw

    def _unchanged(self, kind: str, seen: Metadata) -> Json:
        raw = self._seen(kind, seen)
        if raw is None:
            raise RefusedError(NOT_FOUND, f'{kind} "{seen.name}" not found')
        return raw

    def _same(self, kind: str, seen: Metadata) -> Json:
        """Return the object that was *seen*, whatever has changed in it.

        Raises:
            RefusedError: It is gone, or another one by now.
        """
        raw = self.get(kind, seen.name)
        if raw is None:
            raise RefusedError(NOT_FOUND, f'{kind} "{seen.name}" not found')
        if raw["metadata"]["uid"] != seen.uid:
            raise RefusedError(CONFLICT, f'{kind} "{seen.name}" is another one by now')
        return raw

    def _adopt(self, set: StatefulSet, kind: str, seen: Metadata) -> None:
        raw = self._same(kind, seen)
        others = [owner for owner in raw["metadata"].get("ownerReferences") or () if owner["uid"] != set.metadata.uid]
        if any(owner.get("controller") for owner in others):
            raise RefusedError(INVALID, f'{kind} "{seen.name}" has a controller')
        owners = [*others, msgspec.to_builtins(set.reference())]
        self._change(kind, raw, {"metadata": {**raw["metadata"], "ownerReferences": owners}})

    def _release(self, set: StatefulSet, pod: Pod) -> None:
        raw = self.get(POD, pod.name)
        if raw is None or raw["metadata"]["uid"] != pod.metadata.uid:
            return
        owners = raw["metadata"].get("ownerReferences") or ()
        rest = [owner for owner in owners if owner["uid"] != set.metadata.uid]
        self._change(POD, raw, {"metadata": {**raw["metadata"], "ownerReferences": rest}})

    def _update_pod(self, pod: Pod, labels: Json, volumes: Sequence[Json]) -> None:
        raw = self._same(POD, pod.metadata)
        if volumes:
            raise RefusedError(INVALID, f'Pod "{pod.name}": pod updates may not change volumes')
        if labels:
            labels = {**(raw["metadata"].get("labels") or {}), **labels}
            self._change(POD, raw, {"metadata": {**raw["metadata"], "labels": labels}})

    # Syncs

    def sync(self, key: SetKey) -> Outcome:
        """Do what the controller does in one sync of the set *key*."""
        course = self.course(key, self.view())
        refusal = None
        while True:
            try:
                set, write = course.send(refusal)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            refusal = None
            try:
                self.apply(set, write)
            except RefusedError as error:
                refusal = error

    def course(self, key: SetKey, view: View) -> Course:
        """Yield the writes of one sync, one after the other, planned from *view*; it returns the outcome.

        Each write is to be answered with `send`: None where it succeeded, else the refusal. So the writes of several
        controllers can be interleaved, and any of them can be made to fail.
        """
        raw = view[key.kind.value].get(key.name)
        if raw is None:
            return Outcome(None)
        return (yield from _Course(self, read_set(raw), view).run())


Course = Generator[tuple[StatefulSet, Write], RefusedError | None, Outcome]
_Part = Generator[tuple[StatefulSet, Write], RefusedError | None, None]


class _Course:
    """One sync on its way."""

    def __init__(self, world: World, set: StatefulSet, view: View) -> None:
        self._world = world
        self._set = set
        self._view = view
        self._plan = Plan()
        self._done: list[Write] = []
        self._failures: list[str] = []

    def run(self) -> Course:
        """Go from the plan to the status and the end of history (S26, S44)."""
        try:
            yield from self._prepare()
        except RefusedError as error:
            return Outcome(self._plan, tuple(self._done), (str(error),))
        yield from self._try(self._run_steps())
        yield from self._try(self._write_status())
        yield from self._try(self._forget())
        return Outcome(self._plan, tuple(self._done), tuple(self._failures))

    def _try(self, part: _Part) -> _Part:
        try:
            yield from part
        except RefusedError as error:
            self._failures.append(str(error))

    def _send(self, write: Write) -> _Part:
        refusal = yield self._set, write
        if refusal is not None:
            raise refusal
        self._done.append(write)

    # Before pods

    def _prepare(self) -> _Part:
        """Plan, and do what comes first; a taken name of a revision makes the plan anew (S24)."""
        collision_count = None
        for _ in range(MAX_COLLISIONS):
            self._plan = self._make_plan(collision_count)
            try:
                yield from self._run_first()
                return
            except _CollisionError:
                collision_count = (collision_count or self._set.status.collision_count or 0) + 1
        raise RefusedError(ALREADY_EXISTS, f"the names of {MAX_COLLISIONS} revisions are taken by others; delete those")

    def _make_plan(self, collision_count: int | None) -> Plan:
        pods = [read_pod(raw) for raw in self._view[POD].values()]
        history = [read_revision(raw) for raw in self._view[REVISION].values()]
        claims = {name: read_claim(raw) for name, raw in self._view[CLAIM].items()}
        return plan(self._set, self._ours(pods), claims, self._ours(history), self._world.now_s, collision_count)

    def _ours(self, objects: Sequence[Owned]) -> list[Owned]:
        """Return those that the set owns, and those that nobody owns."""
        owners = ((one, one.metadata.controller()) for one in objects)
        return [one for one, owner in owners if owner is None or owner.uid == self._set.metadata.uid]

    def _run_first(self) -> _Part:
        first = self._plan
        if first.adopt or any(isinstance(action, AdoptPod) for action in first.claim_pods):
            self._check_still_there()
        for adoption in first.adopt:
            yield from self._send(adoption)
        refusals = []
        for action in first.claim_pods:
            try:
                yield from self._send(action)
            except RefusedError as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]
        if first.revision is not None:
            yield from self._write_revision(first.revision)

    def _check_still_there(self) -> None:
        """Ask the API itself whether the set may adopt: what was seen may be old (S18)."""
        live = self._world.get(self._set.kind.value, self._set.name)
        if live is None or live["metadata"]["uid"] != self._set.metadata.uid:
            raise RefusedError(CONFLICT, f"original {self._set.key} is gone")
        if "deletionTimestamp" in live["metadata"]:
            raise RefusedError(CONFLICT, f"{self._set.key} has just been deleted")

    def _write_revision(self, action: CreateRevision | RenumberRevision) -> _Part:
        try:
            yield from self._send(action)
        except RefusedError as error:
            if error.reason != ALREADY_EXISTS or not isinstance(action, CreateRevision):
                raise
            there = self._world.get(REVISION, action.manifest["metadata"]["name"])
            if there is None or revisions.encode(there["data"]) != revisions.encode(action.manifest["data"]):
                raise _CollisionError(error.reason, str(error)) from error

    # Pods and claims

    def _run_steps(self) -> _Part:
        for step in self._plan.steps:
            yield from self._run_step(step)

    def _run_step(self, step: Step) -> _Part:
        """Go through the slots; one that fails ends the step, in a burst behind its batch of 1, 2, 4 ... (S35)."""
        begun, size = 0, 1
        while begun < len(step.slots):
            refusals = []
            for slot in step.slots[begun : begun + size]:
                try:
                    yield from self._run_slot(slot)
                except RefusedError as error:
                    refusals.append(error)
            if refusals:
                message = ", ".join(map(str, refusals))
                raise RefusedError(refusals[0].reason, message)
            begun += size
            size = min(size * 2, MAX_BATCH) if step.is_burst else 1

    def _run_slot(self, slot: Slot) -> _Part:
        """Go through the actions; every claim is tried before the slot fails for the lack of one."""
        missing: list[str] = []
        for action in slot:
            if isinstance(action, CreateClaim):
                try:
                    yield from self._send(action)
                except RefusedError as error:
                    missing.append(str(error))
            elif isinstance(action, Refuse):
                missing.append(action.reason)
            elif missing:
                break
            else:
                yield from self._send(action)
        if missing:
            raise RefusedError(INVALID, ", ".join(missing))

    # After pods

    def _write_status(self) -> _Part:
        if self._plan.status is None:
            return
        deleted = [action for action in self._done if isinstance(action, DeletePod)]
        status = status_after(self._set, self._plan.status, deleted)
        if has_news(self._set.status, status):
            yield from self._send(WriteStatus(self._set.metadata, status))

    def _forget(self) -> _Part:
        for action in self._plan.forget:
            yield from self._send(action)
