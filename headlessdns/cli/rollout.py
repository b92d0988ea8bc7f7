"""``headlessdns rollout``: how far a rollout is, what was rolled out before, and the way back; for both kinds of sets.

kubectl has the same commands for StatefulSets and for no kind that it does not know. Where it has words, these are its
words (kubectl 1.36). I/O: standard output, the API server.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from headlessdns import logs
from headlessdns.cli import kubeconfig
from headlessdns.controller import revisions
from headlessdns.controller.model import REVISION, Json, Revision, SetKind, StatefulSet, read_set
from headlessdns.errors import HeadlessDNSError

if TYPE_CHECKING:
    from headlessdns.cluster.answer import Answer
    from headlessdns.cluster.client import ApiClient

EXIT_NOT_DONE = 1  # as kubectl has it
LOOK_S = 0.5
UNDO_TRIES = 10  # a controller writes the status again and again while a set is being rolled out
JSON_PATCH = "application/json-patch+json"
CHANGE_CAUSE = "kubernetes.io/change-cause"

_KINDS = {
    **dict.fromkeys(
        ("sts", "statefulset", "statefulsets", "statefulset.apps", "statefulsets.apps"), SetKind.STATEFUL_SET
    ),
    **dict.fromkeys(("oset", "ordinalset", "ordinalsets"), SetKind.ORDINAL_SET),
    **dict.fromkeys(("ordinalset.headlessdns.io", "ordinalsets.headlessdns.io"), SetKind.ORDINAL_SET),
}
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", re.ASCII)
_DURATION = re.compile(f"(?:{_DURATION_PART.pattern})+", re.ASCII)


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
    theirs, ours = (revisions.without_unset(each) for each in (revisions.template_of(revision), set.template))
    return bool(theirs == ours)


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
    """metav1.Status. A kind that is not served is refused without one."""

    message: str | None = ""
    reason: str | None = ""


_FAILURE = msgspec.json.Decoder(_Failure)


class Rollouts:
    """The rollouts of one set in the API."""

    def __init__(self, client: ApiClient, target: Target, namespace: str) -> None:
        """Look at *target* in *namespace*; nothing is asked yet."""
        self._client = client
        self._target = target
        self._path = f"/apis/{target.kind.api_version}/namespaces/{namespace}/{target.kind.plural}/{target.name}"
        self._history_path = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"

    async def set(self) -> StatefulSet:
        """Return the set as it is now.

        Raises:
            HeadlessDNSError: It is not there, or it cannot be had or read.
        """
        answer = await self._client.request("GET", self._path)
        self._check(answer)
        try:
            return read_set({**json.loads(answer.body), "kind": self._target.kind.value})
        except (ValueError, LookupError) as error:
            raise RolloutError(f"error: {self._target.shown} cannot be read: {error}") from error

    async def history(self, set: StatefulSet) -> list[Past]:
        """Return its revisions, the oldest first.

        Raises:
            HeadlessDNSError: They cannot be had.
        """
        # A revision carries the labels of its template, and those the selector selects.
        labels = ",".join(f"{key}={value}" for key, value in set.match_labels.items())
        query = {"labelSelector": labels} if labels else {}
        answer = await self._client.request("GET", self._history_path, query=query)
        self._check(answer)
        return read_history(answer.body, set.metadata.uid)

    async def restore(self, set: StatefulSet, past: Past) -> None:
        """Let *set* have the template of a revision, unless anything but its status has changed since it was seen.

        Raises:
            HeadlessDNSError: It has, or the API refuses.
        """
        template = msgspec.Raw(template_octets(past.revision))
        now = set
        for _ in range(UNDO_TRIES):
            version = now.metadata.resource_version
            patch = [
                {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
                {"op": "replace", "path": "/spec/template", "value": template},
            ]
            answer = await self._client.request("PATCH", self._path, patch, content_type=JSON_PATCH)
            if answer.status != 409:
                self._check(answer)
                return
            now = await self.set()
            if (now.metadata.uid, now.generation) != (set.metadata.uid, set.generation):
                raise RolloutError(f"error: {self._target.shown} has just been changed by somebody else; look again")
        raise RolloutError(f"error: {self._target.shown} is being changed all the time; try again")

    def _check(self, answer: Answer) -> None:
        """Say in one line why the API refused.

        Raises:
            RolloutError: It did.
        """
        if answer.status < 300:
            return
        try:
            failure = _FAILURE.decode(answer.body)
        except msgspec.MsgspecError:
            failure = _Failure(answer.body[:200].decode(errors="replace"))
        if answer.status == 404 and not failure.reason:
            what = f"the API server does not know {self._target.kind.value}s; apply deploy/crd to it first"
            raise RolloutError(f"error: {what}")
        reason = failure.reason or f"HTTP {answer.status}"
        raise RolloutError(f"Error from server ({reason}): {' '.join((failure.message or '').split())}")


async def undo(rollouts: Rollouts, target: Target, to_revision: int) -> str:
    """Restore a revision, the previous one where *to_revision* is 0, and return what kubectl says then.

    Raises:
        HeadlessDNSError: There is none, or the API refuses.
    """
    set = await rollouts.set()
    history = await rollouts.history(set)
    past = numbered(history, to_revision) if to_revision else previous(history, set)
    if holds(past.revision, set):
        number = past.revision.revision
        return f"{target.shown} skipped rollback (current template already matches revision {number})"
    await rollouts.restore(set, past)
    return f"{target.shown} rolled back"


async def follow(rollouts: Rollouts, say: Callable[[str], None], *, is_watching: bool, timeout_s: float) -> None:
    """Say how far the rollout is, whenever that changes, until it is done; once where nobody watches.

    Args:
        rollouts: Of the set.
        say: Takes a line.
        is_watching: Whether to wait for the end.
        timeout_s: For how long; 0 is for ever.

    Raises:
        NotDoneError: It will not come to its end, or has not in time.
        HeadlessDNSError: The set cannot be had.
    """
    until_s = time.monotonic() + timeout_s
    shown: tuple[str, ...] = ()
    while True:
        progress = progress_of(await rollouts.set())
        lines = tuple(filter(None, (progress.line, progress.waits and f"  {progress.waits}")))
        for line in lines if lines != shown else ():
            say(line)
        shown = lines
        if progress.failure:
            raise NotDoneError(f"error: {progress.failure}")
        if progress.is_done or not is_watching:
            return
        if timeout_s and time.monotonic() >= until_s:
            raise NotDoneError("error: timed out waiting for the condition")
        await asyncio.sleep(min(LOOK_S, until_s - time.monotonic()) if timeout_s else LOOK_S)


# The command line


class _Duration(click.ParamType[float]):
    """A duration as Go writes it, such as 30s or 1m30s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        if value == "0":
            return 0.0
        if not _DURATION.fullmatch(value):
            self.fail(f"{value!r} is no duration; write it as in 30s or 1m30s", param, ctx)
        return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(value))


class _StatusCommand(click.Command):
    """A command that takes `--watch=false`, as kubectl does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let the flag be one of click's."""
        return super().parse_args(ctx, [_WATCH.get(each, each) for each in args])


_WATCH = {
    f"{flag}={value}": meant
    for flag in ("--watch", "-w")
    for value, meant in (("true", "--watch"), ("false", "--no-watch"))
}


def _target(arguments: tuple[str, ...]) -> Target:
    """Return the set that KIND/NAME, or KIND and NAME, mean."""
    parts = arguments[0].split("/") if len(arguments) == 1 else list(arguments)
    if len(parts) != 2 or not all(parts) or "/" in parts[1]:
        raise click.UsageError("Name one set, as in statefulset/web or ordinalset/web.")
    kind = _KINDS.get(parts[0].lower())
    if kind is None:
        raise click.UsageError(f"{parts[0]!r} is no kind of set; write statefulset or ordinalset.")
    return Target(kind, parts[1])


def _run(
    arguments: tuple[str, ...],
    flags: dict[str, Any],
    do: Callable[[Rollouts, Target], Awaitable[list[str]]],
) -> None:
    """Connect, do something and print what it returns."""
    logs.set_up("text", level=logging.WARNING)
    target = _target(arguments)
    access = kubeconfig.find(flags["kubeconfig"], flags["context"], flags["namespace"], os.environ, Path.home())

    async def run() -> list[str]:
        client = await access.connect()
        try:
            return await do(Rollouts(client, target, access.namespace), target)
        finally:
            await client.close()

    try:
        for line in asyncio.run(run()):
            click.echo(line)
    except NotDoneError as error:
        click.echo(str(error), err=True)
        click.get_current_context().exit(EXIT_NOT_DONE)


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """Add what all three commands take."""
    for decorate in (
        click.option("-n", "--namespace", metavar="NAME", help="Where the set is.  [default: the context's]"),
        click.option("--context", metavar="NAME", help="A context of the kubeconfig.  [default: its current one]"),
        click.option(
            "--kubeconfig",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="How to reach the cluster.  [default: $KUBECONFIG, ~/.kube/config, or the ServiceAccount of the pod]",
        ),
        click.argument("set", nargs=-1, required=True, metavar="KIND/NAME"),
    ):
        function = decorate(function)
    return function


@click.group(
    name="rollout",
    short_help="Follow, list or undo the rollouts of a set.",
    epilog="Exit codes: 0 where it is done; 1 where `status` was in vain (a deadline or --timeout has passed, or the "
    "set is not valid); 2 for wrong input, and where the API server refuses.",
)
def command() -> None:
    """Follow, list or undo the rollouts of a StatefulSet or an OrdinalSet, as `kubectl rollout` does.

    KIND is statefulset (sts) or ordinalset (oset).
    """


@command.command(cls=_StatusCommand, short_help="Say how far a rollout is, and wait for its end.")
@_common
@click.option("-w", "--watch/--no-watch", "is_watching", default=True, help="Wait for the end.  [default: watch]")
@click.option(
    "--timeout",
    "timeout_s",
    type=_Duration(),
    default="0",
    metavar="DURATION",
    help="For how long to wait, as in 30s or 5m.  [default: 0, for ever]",
)
def status(set: tuple[str, ...], is_watching: bool, timeout_s: float, **flags: Any) -> None:
    """Say how far the rollout of a set is and what is waited for, and wait for its end.

    It is in vain when the controller says that the progress deadline has passed.
    """

    async def do(rollouts: Rollouts, target: Target) -> list[str]:
        await follow(rollouts, click.echo, is_watching=is_watching, timeout_s=timeout_s)
        return []

    _run(set, flags, do)


@command.command(short_help="List the revisions of a set.")
@_common
@click.option("--revision", type=click.IntRange(0), default=0, metavar="N", help="Print the pod template of this one.")
def history(set: tuple[str, ...], revision: int, **flags: Any) -> None:
    """List the revisions of a set, the newest last, or print the pod template of one as YAML."""

    async def do(rollouts: Rollouts, target: Target) -> list[str]:
        past = await rollouts.history(await rollouts.set())
        return template_lines(target, numbered(past, revision)) if revision else history_lines(target, past)

    _run(set, flags, do)


@command.command(name="undo", short_help="Let a set have the pod template of an earlier revision.")
@_common
@click.option(
    "--to-revision",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="The revision to go back to.  [default: the one before]",
)
def undo_command(set: tuple[str, ...], to_revision: int, **flags: Any) -> None:
    """Let a set have the pod template of an earlier revision; the controller then rolls it out."""

    async def do(rollouts: Rollouts, target: Target) -> list[str]:
        return [await undo(rollouts, target, to_revision)]

    _run(set, flags, do)
