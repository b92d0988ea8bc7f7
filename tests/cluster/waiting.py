"""Waiting in a running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(check: Callable[[], object], deadline_s: float = 10.0) -> None:
    """Wait until *check* gives something true.

    Raises:
        TimeoutError: It did not in time.
    """
    async with asyncio.timeout(deadline_s):
        while not check():  # noqa: ASYNC110  # what is waited for is state of the program, which sets no event
            await asyncio.sleep(0.005)
