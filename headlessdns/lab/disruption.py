"""The lab's controller of PodDisruptionBudgets: a client of an API that serves OrdinalSets. Does network I/O and logs.

What is to be written is decided in `budgets`. It looks at what is, whatever woke it; a write that is refused because
something changed meanwhile is worked out anew.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from headlessdns.cluster.watch import Backoff
from headlessdns.errors import ClusterError
from headlessdns.lab.budgets import BUDGETS_PATH, Budget, Owner, Pod, covers, status_write
from headlessdns.lab.kubelet import Api
from headlessdns.lab.mirror import Mirror
from headlessdns.lab.objects import Key, Now
from headlessdns.lab.work import WorkQueue

logger = logging.getLogger(__name__)

AGAIN_S = 0.5  # after a write that was refused
_OWNERS = (
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/replicasets",
    "/apis/headlessdns.io/v1alpha1/ordinalsets",
)


class DisruptionController:
    """Keeps the status of all PodDisruptionBudgets.

    Attributes:
        started: Set once it knows what there is and begins to work.
    """

    def __init__(self, api: Api, *, backoff: Backoff = Backoff(0.02, 5.0)) -> None:  # noqa: B008  # immutable
        """Prepare; `run` starts it.

        Args:
            api: The API server.
            backoff: Pauses after requests that failed.
        """
        self.started = asyncio.Event()
        self._api = api
        self._work: WorkQueue[Key] = WorkQueue()
        self._owners: dict[str, Owner] = {}

        def mirror(path: str, kind: Any, changed: Any) -> Mirror[Any]:
            return Mirror(api, path, kind, changed, backoff=backoff)

        self._budgets = mirror(BUDGETS_PATH, Budget, self._budget_changed)
        self._pods = mirror("/api/v1/pods", Pod, self._pod_changed)
        self._mirrors = [self._budgets, self._pods, *(mirror(path, Owner, self._owner_changed) for path in _OWNERS)]

    async def run(self) -> None:
        """Do all of it until cancelled; faults of the server never end it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for mirror in self._mirrors:
                    tasks.create_task(mirror.run())
                for mirror in self._mirrors:
                    await mirror.listed.wait()
                self.started.set()
                await self._work.serve(self._attend)
        finally:
            self._work.close()

    def _budget_changed(self, before: Budget | None, after: Budget | None) -> None:
        if after is not None:
            self._work.add(after.metadata.key)

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        for key, budget in self._budgets.objects.items():
            if any(pod is not None and covers(budget, pod) for pod in (before, after)):
                self._work.add(key)

    def _owner_changed(self, before: Owner | None, after: Owner | None) -> None:
        owner = after or before
        assert owner is not None
        if after is None:
            self._owners.pop(owner.metadata.uid, None)
        else:
            self._owners[owner.metadata.uid] = after
        if before is None or after is None or before.replicas != after.replicas:
            for key in self._budgets.objects:
                if key.namespace == owner.metadata.namespace:
                    self._work.add(key)

    async def _attend(self, key: Key) -> None:
        budget = self._budgets.objects.get(key)
        if budget is None or budget.metadata.deletion_timestamp:
            return
        now = Now(asyncio.get_running_loop().time(), datetime.now(UTC))
        write = status_write(budget, self._pods.objects.values(), self._owners, now)
        if write is None:
            return
        try:
            answer = await self._api.request(write.method, write.path, write.body, content_type=write.content_type)
        except ClusterError as error:
            logger.warning("%s; trying again", error)
            self._work.add_later(key, AGAIN_S)
            return
        if answer.status == 409:
            self._work.add_later(key, AGAIN_S)  # the watch brings what changed, mostly sooner
        elif answer.status >= 300 and answer.status != 404:
            logger.warning("the status of PodDisruptionBudget %s/%s: HTTP %d", *key, answer.status)
