"""The resolver of `chase` for a loop that is not asyncio's: it runs in a thread, and results wake the loop.

I/O: a thread, a socket pair.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import threading
from typing import Generic, TypeVar

from headlessdns.server.chase import Resolver
from headlessdns.wire.respond import Chase, Chased

T = TypeVar("T")
MAX_WAITING = 4096  # queries; beyond that it is SERVFAIL, at once


class BackgroundResolver(Generic[T]):
    """Looks names up in a thread.

    Attributes:
        wake: Readable when there are results to `collect`.
        results: As `Resolver.results`.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.wake, self._waker = socket.socketpair()
        self.wake.setblocking(False)
        self._waker.setblocking(False)
        self._results: collections.deque[tuple[T, Chased]] = collections.deque()
        self._waiting = 0  # submitted and not collected
        self._resolver = Resolver(address)
        self.results = self._resolver.results
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="resolver")
        self._thread.start()

    def known(self, chase: Chase) -> Chased | None:
        """Return what can be said of *chase* at once: what is known of it, or that too many wait."""
        known = self._resolver.known(chase)
        return self._resolver.overloaded() if known is None and self._waiting >= MAX_WAITING else known

    def submit(self, chase: Chase, token: T) -> None:
        """Look *chase* up; *token* comes back with the result."""
        self._waiting += 1
        asyncio.run_coroutine_threadsafe(self._run(chase, token), self._loop)

    async def _run(self, chase: Chase, token: T) -> None:
        self._results.append((token, await self._resolver.look_up(chase)))
        with contextlib.suppress(BlockingIOError):  # full means that the loop will wake anyway
            self._waker.send(b"\x00")

    def collect(self) -> list[tuple[T, Chased]]:
        """Return the results since the last call; never blocks."""
        with contextlib.suppress(BlockingIOError):
            self.wake.recv(4096)
        results = []
        with contextlib.suppress(IndexError):
            while True:
                results.append(self._results.popleft())
        self._waiting -= len(results)
        return results

    def close(self) -> None:
        """End the thread; what is under way is lost."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.wake.close()
        self._waker.close()
