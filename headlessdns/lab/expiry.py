"""Events of the lab go an hour after they were last written, as those of a real API server do (`--event-ttl`).

That hour is of the lab's running: after a restart with a state file it begins anew. Waits, and logs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from headlessdns.lab.api.store import JournalError, Store

logger = logging.getLogger(__name__)

EVENTS = "events"
LOOKS = 60  # in the time to live
LOOK_S = 60.0  # between two


async def expire_events(store: Store) -> None:
    """Delete events that are old, until cancelled."""
    versions: deque[int] = deque()
    while True:
        versions.append(store.version)
        await asyncio.sleep(LOOK_S)
        if len(versions) < LOOKS:
            continue
        oldest = versions.popleft()
        for entry in store.entries(EVENTS):
            if entry.version <= oldest:
                try:
                    store.delete(EVENTS, entry.namespace, entry.name)
                except JournalError as error:
                    logger.warning("old events stay: %s", error)
                    break
