"""Logs what plans ask for instead of doing it. I/O: the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from headlessdns.controller import describe
from headlessdns.controller.actions import DeletePod, DeleteRevision, Step
from headlessdns.controller.apply import Applier, Counts
from headlessdns.controller.events import Recorder
from headlessdns.controller.model import Json, SetKey, StatefulSet
from headlessdns.controller.plan import Plan

log = logging.getLogger(__name__)


class DryApplier(Applier):
    """An applier without an API server. What it would do is logged when it is something new."""

    def __init__(self) -> None:
        self.counts = Counts({})
        self._said: dict[SetKey, list[str]] = {}

    def stop(self) -> None:
        """Do nothing."""

    def drop(self, key: SetKey) -> None:
        """Forget what was said about a set that is gone."""
        self._said.pop(key, None)

    async def prepare(self, set: StatefulSet, plan: Plan) -> None:
        """Say the whole plan, unless it was said before."""
        lines = describe.plan_lines(plan)
        if lines != self._said.get(set.key):
            self._said[set.key] = lines
            for line in lines or ["do nothing"]:
                log.info("%s: would %s", set.key, line)

    async def run(self, set: StatefulSet, steps: Sequence[Step], deleted: list[DeletePod]) -> None:
        """Do nothing."""

    async def forget(self, set: StatefulSet, actions: Sequence[DeleteRevision]) -> None:
        """Do nothing."""

    async def write_status(self, set: StatefulSet, status: Json) -> None:
        """Do nothing."""


class DryRecorder(Recorder):
    """A recorder that writes no events; the log has what they would say."""

    def tell(self, set: StatefulSet, type: str, reason: str, message: str) -> None:
        """Do nothing."""
