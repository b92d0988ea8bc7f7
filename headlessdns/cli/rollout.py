"""``headlessdns rollout``: how far a rollout is, what was rolled out before, and the way back; for both kinds of sets.

kubectl has the same commands for StatefulSets and for no kind that it does not know. Where it has words, these are its
words (kubectl 1.36). I/O: standard output, the API server.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from headlessdns.cli import kubeconfig
from headlessdns.controller import revisions
from headlessdns.controller.model import REVISION, Json, Revision, SetKind, StatefulSet, read_set
from headlessdns.errors import ClusterError, HeadlessDNSError

if TYPE_CHECKING:
    from headlessdns.cluster.client import ApiClient

EXIT_NOT_DONE = 1  # as kubectl has it
LOOK_S = 0.5
UNDO_TRIES = 10  # a controller writes the status again and again while a set is being rolled out
JSON_PATCH = "application/json-patch+json"
CHANGE_CAUSE = "kubernetes.io/change-cause"

_KINDS = {
    **dict.fromkeys(("sts", "statefulset", "statefulsets", "statefulset.apps", "statefulsets.apps"), "StatefulSet"),
    **dict.fromkeys(("oset", "ordinalset", "ordinalsets"), "OrdinalSet"),
    **dict.fromkeys(("ordinalset.headlessdns.io", "ordinalsets.headlessdns.io"), "OrdinalSet"),
}
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+\Z", re.ASCII)


class RolloutError(HeadlessDNSError):
    """What is asked for cannot be done; one line that says why."""


class NotDoneError(HeadlessDNSError):
    """A rollout has not come to its end."""


class Target(NamedTuple):
    """A set as the command line names it."""

    kind: SetKind
    name: str

    @property
    def word(self) -> str:
        """The kind as kubectl writes it."""
        return self.kind.value.lower()

    @property
    def shown(self) -> str:
        """Kind, group and name as kubectl writes them."""
        return f"{self.word}.{self.kind.api_version.partition('/')[0]}/{self.name}"


# How far it is


class Progress(NamedTuple):
    """How far a rollout is.

    Attributes:
        line: In kubectl's words.
        is_done: Whether there is nothing more to wait for.
        waits: What is waited for, as far as it is known.
        failure: Why it will not come to its end; empty where it may.
    """

    line: str
    is_done: bool = False
    waits: str = ""
    failure: str = ""


def progress_of(set: StatefulSet) -> Progress:
    """Return how far the rollout of *set* is."""
    word = set.kind.value.lower()
    if set.faults:
        return Progress("", failure=f'{word} "{set.name}" is not valid: {"; ".join(set.faults)}')
    if set.is_on_delete:
        return Progress("", failure="rollout status is only available for RollingUpdate strategy type")
    if not set.status.observed_generation or set.generation > set.status.observed_generation:
        return Progress(f"Waiting for {word} spec update to be observed...")
    line, is_done = _counts(set, word)
    if is_done:
        return Progress(line, is_done=True)
    conditions = {str(condition.get("type")): condition for condition in set.conditions}
    progressing = conditions.get("Progressing", {})
    failure = ""
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        failure = f'{word} "{set.name}" exceeded its progress deadline'
    return Progress(line, waits=_waits(conditions.get("Stalled", {}), progressing), failure=failure)


def _counts(set: StatefulSet, word: str) -> tuple[str, bool]:
    """Return what kubectl says of the counts, and whether they are as they should be."""
    status = set.status
    if status.ready_replicas < set.replicas:
        return f"Waiting for {set.replicas - status.ready_replicas} pods to be ready...", False
    if set.has_rolling_update:
        new = set.replicas - set.partition
        if status.updated_replicas < new:
            done = f"{status.updated_replicas} out of {new} new pods have been updated"
            return f"Waiting for partitioned roll out to finish: {done}...", False
        return f"partitioned roll out complete: {status.updated_replicas} new pods have been updated...", True
    if status.update_revision != status.current_revision:
        pods = f"{status.updated_replicas} pods at revision {status.update_revision}"
        return f"waiting for {word} rolling update to complete {pods}...", False
    pods = f"{status.current_replicas} pods at revision {status.current_revision}"
    return f"{word} rolling update complete {pods}...", True


def _waits(stalled: Json, progressing: Json) -> str:
    """Return what the conditions say is waited for; empty where nobody has written them."""
    parts = [progressing.get("message", "")] if progressing.get("reason") == "RolloutPaused" else []
    if stalled.get("reason") not in (None, "NothingInTheWay"):
        parts.append(f"{stalled.get('reason')}: {stalled.get('message', '')}")
    return "; ".join(parts)


# What was rolled out before


class Past(NamedTuple):
    """A revision of a set.

    Attributes:
        revision: As the controller wrote it.
        change_cause: What an annotation says that it was for; empty where there is none.
    """

    revision: Revision
    change_cause: str


class _Annotations(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Annotated(msgspec.Struct):
    metadata: _Annotations


class _List(msgspec.Struct):
    items: list[msgspec.Raw]


_LIST = msgspec.json.Decoder(_List)
_ANNOTATED = msgspec.json.Decoder(_Annotated)


def read_history(octets: bytes, uid: str) -> list[Past]:
    """Return the revisions in a list of the API that the set of *uid* owns, the oldest first."""
    found = {}
    for item in _LIST.decode(octets).items:
        revision = REVISION.decode(item)
        owner = revision.metadata.controller()
        if owner is not None and owner.uid == uid:
            annotations = _ANNOTATED.decode(item).metadata.annotations or {}
            found[revision.name] = Past(revision, annotations.get(CHANGE_CAUSE, ""))
    return [found[revision.name] for revision in revisions.in_order([past.revision for past in found.values()])]


def history_lines(target: Target, history: list[Past]) -> list[str]:
    """Return the table that kubectl prints of *history*, the oldest first."""
    if not history:
        return [f"{target.shown} ", "No rollout history found."]
    rows = [("REVISION", "CHANGE-CAUSE")]
    rows += [(str(past.revision.revision), past.change_cause or "<none>") for past in history]
    width = max(len(number) for number, _ in rows) + 2
    return [f"{target.shown} ", *(f"{number:<{width}}{cause}" for number, cause in rows)]


def template_lines(target: Target, past: Past) -> list[str]:
    """Return the pod template of a revision, as YAML.

    Raises:
        ValueError: It holds none.
    """
    import yaml

    template = revisions.template_of(past.revision)
    text = yaml.safe_dump(template, sort_keys=False, allow_unicode=True, default_flow_style=False)
    cause = [f"Change-Cause: {past.change_cause}"] if past.change_cause else []
    return [
        f"{target.shown} with revision #{past.revision.revision}",
        *cause,
        "Pod Template:",
        *(f"  {line}" for line in text.splitlines()),
    ]


def numbered(history: list[Past], number: int) -> Past:
    """Return the revision of that number.

    Raises:
        RolloutError: There is none.
    """
    for past in history:
        if past.revision.revision == number:
            return past
    known = ", ".join(str(past.revision.revision) for past in history) or "none"
    raise RolloutError(f"error: unable to find specified revision {number} in history; there are: {known}")


# The way back


class _Data(msgspec.Struct):
    spec: _DataSpec


class _DataSpec(msgspec.Struct):
    template: dict[str, msgspec.Raw]


_DATA = msgspec.json.Decoder(_Data)


def template_octets(revision: Revision) -> bytes:
    """Return the pod template that *revision* restores, each member in the octets that the revision holds.

    Raises:
        ValueError: It holds none; a msgspec.ValidationError is one.
    """
    template = _DATA.decode(revision.data).spec.template
    return msgspec.json.encode({key: value for key, value in template.items() if key != "$patch"})


def holds(revision: Revision, set: StatefulSet) -> bool:
    """Tell whether *revision* restores the template that *set* has."""
    if revisions.holds(revision, revisions.template_data(set.template)):
        return True
    return revisions.without_unset(revisions.template_of(revision)) == revisions.without_unset(set.template)


def previous(history: list[Past], set: StatefulSet) -> Past:
    """Return the newest revision whose template is not the one that *set* has.

    Raises:
        RolloutError: There is none.
    """
    for past in reversed(history):
        if not holds(past.revision, set):
            return past
    raise RolloutError("error: no last revision to roll back to")


# Asking


class _Failure(msgspec.Struct):
    """metav1.Status, as far as it tells a set that is not there from a kind that is not served."""

    reason: str | None = ""
    details: _Details | None = None


class _Details(msgspec.Struct):
    name: str | None = ""


class Rollouts:
    """The rollouts of one set in the API."""

    def __init__(self, client: ApiClient, target: Target, namespace: str) -> None:
        self._client = client
        self._target = target
        self._path = f"/apis/{target.kind.api_version}/namespaces/{namespace}/{target.kind.plural}/{target.name}"
        self._history_path = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"

    async def set(self) -> tuple[StatefulSet, str]:
        """Return the set as it is now, and its resourceVersion.

        Raises:
            HeadlessDNSError: It is not there, or it cannot be had or read.
        """
        raw: Json = json.loads(await self._ask("GET", self._path))
        try:
            return read_set({**raw, "kind": self._target.kind.value})
        except (ValueError, LookupError) as error:
            raise RolloutError(f"error: {self._target.shown} cannot be read: {error}") from error

    async def history(self, set: StatefulSet) -> list[Past]:
        """Return its revisions, the oldest first.

        Raises:
            HeadlessDNSError: They cannot be had.
        """
        # All revisions carry the labels of their template, which the selector selects.
        labels = ",".join(f"{key}={value}" for key, value in set.match_labels.items())
        query = {"labelSelector": labels} if labels else {}
        return read_history(await self._ask("GET", self._history_path, query=query), set.metadata.uid)

    async def restore(self, set: StatefulSet, past: Past) -> None:
        """Let *set*, which is to be as it was seen but for its status, have the template of a revision.

        Raises:
            HeadlessDNSError: It has been changed, or the API refuses.
        """
        template = template_octets(past.revision)
        for _ in range(UNDO_TRIES):
            version = set.metadata.resource_version
            patch = [
                {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
                {"op": "replace", "path": "/spec/template", "value": msgspec.Raw(template)},
            ]
            answer = await self._client.request("PATCH", self._path, patch, content_type=JSON_PATCH)
            if answer.status != 409:
                self._check(answer)
                return
            now = await self.set()
            if (now.metadata.uid, now.generation) != (set.metadata.uid, set.generation):
                raise RolloutError(f"error: {self._target.shown} has just been changed by somebody else; look again")
            set = now
        raise RolloutError(f"error: {self._target.shown} is being changed all the time; try again")

    async def _ask(self, method: str, path: str, *, query: dict[str, str] | None = None) -> bytes:
        answer = await self._client.request(method, path, query=query)
        self._check(answer)
        return answer.body

    def _check(self, answer: Answer) -> None:
        """Say in one line why the API refused.

        Raises:
            RolloutError: It did.
        """
        if answer.status < 300:
            return
        failure = read_failure(answer)
        message = " ".join(str(failure).split())
        if answer.status == 404 and failure.reason != "NotFound"  ...
