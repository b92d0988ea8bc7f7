"""Keys that wait for their turn: each at most once, never twice at a time, now or later. Needs a running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, NoReturn, TypeVar

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """A queue of keys.

    A key that is added while it is worked on comes again afterwards. A key waits for at most one later time: what is
    asked last counts, and a turn in between drops it, since that turn says anew how long to wait.
    """

    def __init__(self) -> None:
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._taken: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K) -> None:
        """Let *key* have its turn."""
        if key in self._taken:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: K, delay_s: float) -> None:
        """Let *key* have its turn in *delay_s*."""
        self._forget_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(delay_s, self._ring, key)

    async def take(self) -> K:
        """Wait for a key whose turn it is; `done` must follow."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._taken.add(key)
        self._forget_timer(key)
        return key

    def done(self, key: K) -> None:
        """End the turn of *key*."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def serve(self, attend: Callable[[K], Awaitable[None]]) -> NoReturn:
        """Give each key its turn, for ever; several of these share the keys."""
        while True:
            key = await self.take()
            try:
                await attend(key)
            finally:
                self.done(key)

    def close(self) -> None:
        """Forget all that was to come later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _ring(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _forget_timer(self, key: K) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
