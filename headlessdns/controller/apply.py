"""Carries plans out: one request an action, each with preconditions, so that a late one can do no harm.

Deletions and updates name the UID and the resourceVersion that the plan was made from, creations collide by name. What
the API refuses is told as the reference tells it (S49), but for a conflict (409): the object has changed since it was
seen, the next plan knows more, and nobody has to be told. I/O: the client it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from headlessdns.cluster.answer import Answer
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
from headlessdns.controller.events import NORMAL, WARNING, Api, Recorder
from headlessdns.controller.model import Json, Metadata, SetKey, SetKind, StatefulSet
from headlessdns.controller.observed import Observed, Watched
from headlessdns.controller.plan import Plan
from headlessdns.controller.queue import TokenBucket
from headlessdns.errors import HeadlessDNSError

MAX_BATCH = 500
MAX_ASKED_AGAIN = 10  # how often the server may put one request off with Retry-After, as client-go has it
LONGEST_PAUSE_S = 30.0
MAX_CONNECTIONS = 64  # each costs a TLS handshake, and more of them make the API server no faster
UPDATE_TRIES = 4
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"


class WriteError(HeadlessDNSError):
    """The API refused a request.

    Attributes:
        status: The HTTP status.
        reason: The machine-readable reason, such as AlreadyExists.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(message)

    @property
    def is_conflict(self) -> bool:
        """Whether the object is another one, or another state of it, than was seen: the next plan knows more."""
        return self.status == 409


class NotLeaderError(HeadlessDNSError):
    """The lease could have run out: nothing more is written."""


class GoneError(HeadlessDNSError):
    """The set itself is not there any more; its deletion is about to be seen."""


class SlotError(HeadlessDNSError):
    """What went wrong for one pod or more; already told in events.

    Attributes:
        is_conflict: Nothing went wrong but conflicts.
    """

    def __init__(self, message: str, *, is_conflict: bool = False) -> None:
        self.is_conflict = is_conflict
        super().__init__(message)


class CollisionError(HeadlessDNSError):
    """The name of a new revision is taken by another one: the collision count is to grow (S24)."""


class _Failure(msgspec.Struct):
    """metav1.Status."""

    message: str | None = ""
    reason: str | None = ""


class _Headed(msgspec.Struct):
    metadata: Metadata


_FAILURE = msgspec.json.Decoder(_Failure)
_HEADED = msgspec.json.Decoder(_Headed)


class Counts(NamedTuple):
    """What was asked of the API, by verb, kind of object and outcome."""

    done: dict[tuple[str, str, str], int]

    def add(self, verb: str, kind: str, result: str) -> None:
        """Count one."""
        self.done[verb, kind, result] = self.done.get((verb, kind, result), 0) + 1


def collection(kind: str, namespace: str) -> str:
    """Return the path of all objects of *kind* in *namespace*."""
    if kind in (SetKind.STATEFUL_SET.value, SetKind.ORDINAL_SET.value):
        set_kind = SetKind(kind)
        return f"/apis/{set_kind.api_version}/namespaces/{namespace}/{set_kind.plural}"
    root, plural = _COLLECTIONS[kind]
    return f"{root}/namespaces/{namespace}/{plural}"


_COLLECTIONS = {
    "Pod": ("/api/v1", "pods"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "ControllerRevision": ("/apis/apps/v1", "controllerrevisions"),
}


class Applier:
    """Sends what plans ask for."""

    def __init__(
        self,
        api: Api,
        observed: Observed,
        bucket: TokenBucket,
        recorder: Recorder,
        write_timeout_s: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            api: The API server.
            observed: Is told of every write.
            bucket: Limits requests.
            recorder: Writes events.
            write_timeout_s: How long a write that begins now may take; 0 where none may begin.
        """
        self.counts = Counts({})
        self._api = api
        self._observed = observed
        self._bucket = bucket
        self._recorder = recorder
        self._write_timeout_s = write_timeout_s
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Begin no request any more; those that are on their way end as they may."""
        self._stopped.set()

    def drop(self, key: SetKey) -> None:
        """Forget what is known of a set that is gone; nothing is."""

    # A plan

    async def prepare(self, set: StatefulSet, plan: Plan) -> None:
        """Do what comes before pods: adopt, give up, and write the present template down.

        Raises:
            WriteError: The API refused something.
            CollisionError: The revision's name is taken.
            ClusterError: The API did not answer.
        """
        if plan.adopt or any(isinstance(action, AdoptPod) for action in plan.claim_pods):
            await self._check_still_there(set)
        for adoption in plan.adopt:
            await self._adopt_revision(set, adoption)
        errors: list[HeadlessDNSError] = []
        for action in plan.claim_pods:
            try:
                await (self._adopt(set, action) if isinstance(action, AdoptPod) else self._release(set, action))
            except WriteError as error:
                errors.append(error)
        if errors:
            raise _slot_error(*errors)
        if isinstance(plan.revision, CreateRevision):
            await self._create_revision(set, plan.revision)
        elif plan.revision is not None:
            await self._renumber(set, plan.revision)

    async def run(self, set: StatefulSet, steps: Sequence[Step], deleted: list[DeletePod]) -> None:
        """Carry *steps* out, and note in *deleted* which pods were deleted.

        Raises:
            SlotError: A step failed; those behind it were not begun.
        """
        for step in steps:
            if step.is_burst:
                await self._run_burst(set, step.slots, deleted)
            else:
                for slot in step.slots:
                    await self._run_slot(set, slot, deleted)

    async def _run_burst(self, set: StatefulSet, slots: Sequence[Slot], deleted: list[DeletePod]) -> None:
        """Carry slots out in batches of 1, 2, 4 and so on; one that fails ends it behind its batch (S35)."""
        begun, size = 0, 1
        while begun < len(slots):
            batch = slots[begun : begun + size]
            results = await asyncio.gather(
                *(self._run_slot(set, slot, deleted) for slot in batch), return_exceptions=True
            )
            errors: list[HeadlessDNSError] = []
            for result in results:
                if isinstance(result, NotLeaderError) or not isinstance(result, HeadlessDNSError | None):
                    raise result
                if result is not None:
                    errors.append(result)
            if errors:
                raise _slot_error(*errors) from errors[0]
            begun += len(batch)
            size = min(size * 2, MAX_BATCH)

    async def _run_slot(self, set: StatefulSet, slot: Slot, deleted: list[DeletePod]) -> None:
        """Carry one slot out. Every claim is tried before the slot fails for the lack of one.

        Raises:
            SlotError: Something was refused.
        """
        missing: list[str] = []
        refusal: Refuse | None = None
        for action in slot:
            if isinstance(action, CreateClaim):
                try:
                    await self._create_claim(set, action)
                except WriteError as error:
                    missing.append(f"failed to create PVC {action.manifest['metadata']['name']}: {error}")
            elif isinstance(action, Refuse):
                missing.append(action.reason)
                refusal = action
            elif missing:
                break
            else:
                await self._do(set, action, deleted)
        if missing:
            message = aggregate(missing)
            verb = refusal.verb if refusal else _verb_of(slot)
            if verb:
                self._tell_of_pod(set, verb, _pod_name_of(slot), message)
            raise SlotError(message)

    async def _do(self, set: StatefulSet, action: Action, deleted: list[DeletePod]) -> None:
        if isinstance(action, DeletePod):
            await self._delete(set, action)
            deleted.append(action)
            return
        handler = self._HANDLERS[type(action)]
        await handler(self, set, action)

    # Pods

    async def _create_pod(self, set: StatefulSet, action: CreatePod) -> None:
        name = action.manifest["metadata"]["name"]
        try:
            await self._write(set, "create", "POST", Watched.POD, collection("Pod", set.namespace), action.manifest)
        except WriteError as error:
            if error.reason != "AlreadyExists":  # a foreign pod of that name is told by `conditions`
                self._tell_of_pod(set, "Create", name, str(error))
            raise _slot_error(error) from error
        self._tell_of_pod(set, "Create", name)

    async def _delete(self, set: StatefulSet, action: DeletePod) -> None:
        pod = action.pod
        try:
            await self._delete_object(set, Watched.POD, "Pod", pod.metadata)
        except WriteError as error:
            if error.status != 409:
                self._tell_of_pod(set, "Delete", pod.name, str(error))
            raise _slot_error(error) from error
        self._tell_of_pod(set, "Delete", pod.name)

    async def _update_pod(self, set: StatefulSet, action: UpdatePod) -> None:
        pod = action.pod
        try:
            if action.labels or action.claim_volumes:
                await self._rewrite_pod(set, action)
        except WriteError as error:
            if error.status != 409:
                self._tell_of_pod(set, "Update", pod.name, str(error))
            raise _slot_error(error) from error
        self._tell_of_pod(set, "Update", pod.name)

    async def _rewrite_pod(self, set: StatefulSet, action: UpdatePod) -> None:
        path = f"{collection('Pod', set.namespace)}/{action.pod.name}"
        for attempt in range(UPDATE_TRIES):
            raw = json.loads((await self._send("read", "GET", Watched.POD, path)).body)
            if raw["metadata"].get("uid") != action.pod.metadata.uid:
                raise WriteError(409, "Conflict", f'pods "{action.pod.name}" is another pod by now')
            raw["metadata"]["labels"] = {**(raw["metadata"].get("labels") or {}), **action.labels}
            taken = {volume["name"] for volume in action.claim_volumes}
            others = [volume for volume in raw["spec"].get("volumes") or () if volume["name"] not in taken]
            if action.claim_volumes:
                raw["spec"]["volumes"] = [*action.claim_volumes, *others]
            try:
                await self._write(set, "update", "PUT", Watched.POD, path, raw)
                return
            except WriteError as error:
                if error.status != 409 or attempt + 1 == UPDATE_TRIES:
                    raise
            await asyncio.sleep(0.01 * 5**attempt)

    # Claims

    async def _create_claim(self, set: StatefulSet, action: CreateClaim) -> None:
        name, pod_name = action.manifest["metadata"]["name"], action.pod_name
        path = collection("PersistentVolumeClaim", set.namespace)
        try:
            await self._write(set, "create", "POST", Watched.CLAIM, path, action.manifest)
        except WriteError as error:
            if error.reason != "AlreadyExists":
                message = f"Create Claim {name} for Pod {pod_name} in {set.kind.value} {set.name} failed error: {error}"
                self._recorder.tell(set, WARNING, "FailedCreate", message)
            raise
        message = f"Create Claim {name} Pod {pod_name} in {set.kind.value} {set.name} success"
        self._recorder.tell(set, NORMAL, "SuccessfulCreate", message)

    async def _set_claim_owners(self, set: StatefulSet, action: SetClaimOwners) -> None:
        owners = msgspec.to_builtins(action.owners)
        try:
            await self._patch_claim(set, action.claim.metadata, {"metadata": {"ownerReferences": list(owners)}})
        except WriteError as error:
            message = f"could not update claim {action.claim.name} for delete policy ownerRefs: {error}"
            if error.status != 409:
                self._tell_of_pod(set, "Update", action.pod_name, message)
            raise SlotError(message, is_conflict=error.is_conflict) from error

    async def _grow_claim(self, set: StatefulSet, action: GrowClaim) -> None:
        requests = {"requests": {"storage": action.storage}}
        name = action.claim.name
        try:
            await self._patch_claim(set, action.claim.metadata, {"spec": {"resources": requests}})
        except WriteError as error:
            message = f"Claim {name} cannot grow to {action.storage}: {error}"
            if error.status != 409:
                self._recorder.tell(set, WARNING, "FailedClaimGrowth", message)
            raise SlotError(message, is_conflict=error.is_conflict) from error
        self._recorder.tell(set, NORMAL, "ClaimGrowth", f"Claim {name} asks for {action.storage} now")

    async def _patch_claim(self, set: StatefulSet, metadata: Metadata, patch: Json) -> None:
        path = f"{collection('PersistentVolumeClaim', set.namespace)}/{metadata.name}"
        await self._write(set, "update", "PATCH", Watched.CLAIM, path, _guarded(metadata, patch), MERGE)

    # Ownership and history

    async def _check_still_there(self, set: StatefulSet) -> None:
        """Ask the API itself whether *set* may adopt: what was seen may be old (S18)."""
        path = f"{collection(set.kind.value, set.namespace)}/{set.name}"
        try:
            answer = await self._send("read", "GET", Watched(set.kind.value), path)
        except WriteError as error:
            if error.status == 404:
                raise GoneError(str(error)) from error
            raise
        metadata = _HEADED.decode(answer.body).metadata
        where = f"{set.namespace}/{set.name}"
        if metadata.uid != set.metadata.uid:
            raise SlotError(
                f"original {set.kind.value} {where} is gone: got uid {metadata.uid}, wanted {set.metadata.uid}"
            )
        if metadata.deletion_timestamp is not None:
            raise SlotError(f"{where} has just been deleted at {metadata.deletion_timestamp}")

    async def _adopt_revision(self, set: StatefulSet, action: AdoptRevision) -> None:
        metadata = action.revision.metadata
        patch = _guarded(metadata, {"metadata": {"ownerReferences": [msgspec.to_builtins(set.reference())]}})
        path = f"{collection('ControllerRevision', set.namespace)}/{metadata.name}"
        await self._write(set, "adopt", "PATCH", Watched.REVISION, path, patch, STRATEGIC)

    async def _adopt(self, set: StatefulSet, action: AdoptPod) -> None:
        metadata = action.pod.metadata
        patch = _guarded(metadata, {"metadata": {"ownerReferences": [msgspec.to_builtins(set.reference())]}})
        path = f"{collection('Pod', set.namespace)}/{metadata.name}"
        await self._write(set, "adopt", "PATCH", Watched.POD, path, patch, STRATEGIC)

    async def _release(self, set: StatefulSet, action: ReleasePod) -> None:
        metadata = action.pod.metadata
        ours = {"$patch": "delete", "uid": set.metadata.uid}
        patch = _guarded(metadata, {"metadata": {"ownerReferences": [ours]}})
        path = f"{collection('Pod', set.namespace)}/{metadata.name}"
        try:
            await self._write(set, "release", "PATCH", Watched.POD, path, patch, STRATEGIC)
        except WriteError as error:
            if error.status not in (404, 422):  # gone, or not ours any more
                raise

    async def _create_revision(self, set: StatefulSet, action: CreateRevision) -> None:
        path = collection("ControllerRevision", set.namespace)
        try:
            # The API server keeps the octets of `data`, and the reference compares octets.
            octets = revisions.encode(action.manifest)
            await self._write(set, "create", "POST", Watched.REVISION, path, octets)
        except WriteError as error:
            if error.reason != "AlreadyExists":
                raise
            there = await self._send("read", "GET", Watched.REVISION, f"{path}/{action.manifest['metadata']['name']}")
            if revisions.encode(json.loads(there.body).get("data")) != revisions.encode(action.manifest["data"]):
                raise CollisionError(str(error)) from error

    async def _renumber(self, set: StatefulSet, action: RenumberRevision) -> None:
        metadata = action.revision.metadata
        path = f"{collection('ControllerRevision', set.namespace)}/{metadata.name}"
        patch = _guarded(metadata, {"revision": action.number})
        await self._write(set, "update", "PATCH", Watched.REVISION, path, patch, MERGE)

    async def forget(self, set: StatefulSet, actions: Sequence[DeleteRevision]) -> None:
        """Delete revisions beyond the limit.

        Raises:
            WriteError: One cannot be deleted.
        """
        for action in actions:
            await self._delete_object(set, Watched.REVISION, "ControllerRevision", action.revision.metadata)

    async def write_status(self, set: StatefulSet, status: Json) -> None:
        """Write *status* over what *set* had.

        Raises:
            WriteError: The set has changed since it was seen, or the API refuses.
            GoneError: The set is not there any more.
        """
        kind = Watched(set.kind.value)
        path = f"{collection(set.kind.value, set.namespace)}/{set.name}/status"
        try:
            await self._write(set, "status", "PATCH", kind, path, _guarded(set.metadata, {"status": status}), MERGE)
        except WriteError as error:
            if error.status == 404:
                raise GoneError(str(error)) from error
            raise

    # Requests

    async def _delete_object(self, set: StatefulSet, kind: Watched, name: str, metadata: Metadata) -> None:
        """Delete an object as it was seen. One that is gone already is deleted."""
        path = f"{collection(name, set.namespace)}/{metadata.name}"
        preconditions = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            await self._send("delete", "DELETE", kind, path, body)
        except WriteError as error:
            if error.status != 404:
                raise
        self._observed.expect(set.key, kind, metadata, is_deletion=True)

    async def _write(
        self,
        set: StatefulSet,
        verb: str,
        method: str,
        kind: Watched,
        path: str,
        body: Json | bytes,
        content_type: str = "application/json",
    ) -> None:
        """Send a write and note that it is to be seen."""
        answer = await self._send(verb, method, kind, path, body, content_type)
        self._observed.expect(set.key, kind, _HEADED.decode(answer.body).metadata)

    async def _send(
        self,
        verb: str,
        method: str,
        kind: Watched,
        path: str,
        body: Json | bytes | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Send a request when it is its turn, if we may still write then; again where the server puts it off.

        Raises:
            NotLeaderError: We may not.
            WriteError: The API refused.
            ClusterError: It did not answer.
        """
        delay_s = self._bucket.reserve_s()
        for _ in range(MAX_ASKED_AGAIN):
            answer = await self._send_once(verb, method, kind, path, body, content_type, delay_s)
            if answer.status < 300:
                self.counts.add(verb, kind.value, "done")
                return answer
            failure = read_failure(answer)
            self.counts.add(verb, kind.value, failure.reason or str(answer.status))
            if not _is_put_off(answer):
                break
            delay_s = min(float(answer.retry_after), LONGEST_PAUSE_S)
        raise failure

    async def _send_once(
        self,
        verb: str,
        method: str,
        kind: Watched,
        path: str,
        body: Json | bytes | None,
        content_type: str,
        delay_s: float,
    ) -> Answer:
        await self._pause(delay_s)
        async with self._connections:
            timeout_s = self._write_timeout_s()  # nothing is awaited between this look and the request
            if timeout_s <= 0 or self._stopped.is_set():
                raise NotLeaderError("not the leader any more")
            try:
                return await self._api.request(method, path, body, content_type=content_type, timeout_s=timeout_s)
            except HeadlessDNSError:
                self.counts.add(verb, kind.value, "unanswered")
                raise

    async def _pause(self, delay_s: float) -> None:
        """Wait for *delay_s*, or until nothing is to be sent any more."""
        if delay_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopped.wait()

    # Events

    def _tell_of_pod(self, set: StatefulSet, verb: str, name: str, error: str = "") -> None:
        """Write the event of a pod that was, or could not be, created, updated or deleted (S49)."""
        what = f"{verb} Pod {name} in {set.kind.value} {set.name}"
        if error:
            self._recorder.tell(set, WARNING, f"Failed{verb}", f"{what} failed error: {error}")
        else:
            self._recorder.tell(set, NORMAL, f"Successful{verb}", f"{what} successful")

    async def _tell(self, set: StatefulSet, action: Tell) -> None:
        self._recorder.tell(set, WARNING, action.reason, action.message)

    _HANDLERS: ClassVar[dict[type, Callable[[Any, StatefulSet, Any], Awaitable[None]]]] = {
        CreatePod: _create_pod,
        UpdatePod: _update_pod,
        SetClaimOwners: _set_claim_owners,
        GrowClaim: _grow_claim,
        Tell: _tell,
    }


def _guarded(metadata: Metadata, patch: Json) -> Json:
    """Return *patch* with the preconditions that the object is the one that was seen, unchanged."""
    seen = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
    return {**patch, "metadata": {**patch.get("metadata", {}), **seen}}


def _is_put_off(answer: Answer) -> bool:
    """Tell whether the server says that the request was not done and when to ask again."""
    return (answer.status == 429 or answer.status >= 500) and answer.retry_after.isdecimal()


def _slot_error(*errors: HeadlessDNSError) -> SlotError:
    """Return what went wrong as one error."""
    are_conflicts = all(is_conflict(error) for error in errors)
    return SlotError(aggregate([str(error) for error in errors]), is_conflict=are_conflicts)


def is_conflict(error: Exception) -> bool:
    """Tell whether nothing went wrong but that the cluster is further on than what was seen."""
    return isinstance(error, WriteError | SlotError) and error.is_conflict


def read_failure(answer: Answer) -> WriteError:
    """Return what the API says in an *answer* that is no success."""
    try:
        failure = _FAILURE.decode(answer.body)
    except msgspec.MsgspecError:
        failure = _Failure(answer.body[:200].decode(errors="replace"))
    return WriteError(answer.status, failure.reason or "", failure.message or f"HTTP {answer.status}")


def aggregate(messages: Sequence[str]) -> str:
    """Return several errors as the reference shows them: each once, in brackets where there is more than one."""
    distinct = list(dict.fromkeys(messages))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def _verb_of(slot: Slot) -> str:
    """Return what a slot was to do with its pod, as events say it; nothing where only claims were missing."""
    for action in slot:
        if isinstance(action, CreatePod):
            return "Create"
        if isinstance(action, UpdatePod):
            return "Update"
    return ""


def _pod_name_of(slot: Slot) -> str:
    for action in slot:
        if isinstance(action, CreateClaim | Refuse):
            return action.pod_name
    return ""
