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


def history_lines(target: Target, history: list[Json]) -> list[str]:
    """Return the table that kubectl prints of *history*, the oldest first."""
    if not history:
        return [f"{target.shown} ", "No rollout history found."]
    rows = [("REVISION", "CHANGE-CAUSE")]
    rows += [(str(one.get("revision", 0)), _change_cause(one) or "<none>") for one in history]
    width = max(len(number) for number, _ in rows) + 2
    return [f"{target.shown} ", *(f"{number:<{width}}{cause}" for number, cause in rows)]


def _change_cause(revision: Json) -> str:
    return str((revision["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, ""))


def template_lines(target: Target, revision: Json) -> list[str]:
    """Return the pod template of *revision*, as YAML."""
    import yaml

    text = yaml.safe_dump(_template_of(revision), sort_keys=False, allow_unicode=True, default_flow_style=False)
    lines = [f"{target.shown} with revision #{revision.get('revision', 0)}", "Pod Template:"]
    if cause := _change_cause(revision):
        lines.insert(1, f"Change-Cause: {cause}")
    return lines + [f"  {line}" for line in text.splitlines()]


def _template_of(revision: Json) -> Json:
    return revisions.template_of(_read(revision))


def _read(revision: Json) -> Revision:
    return REVISION.decode(msgspec.json.encode(revision))
