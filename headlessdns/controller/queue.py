"""The work queue: keys that want a sync, each at most once, never two syncs of one key at a time (S48).

How client-go does it: a key that is added while it is worked on waits until that is done, a key that is added twice is
worked on once, and one whose sync failed comes back later and later. So does this one, without threads. Bound to a
loop for waiting only; the time comes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY_S = 0.005
LAST_DELAY_S = 60.0


class WorkQueue(Generic[K]):
    """Keys that want a sync, the one that has waited longest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin empty; *clock* gives monotonic seconds."""
        self._clock = clock
        self._ready: deque[K] = deque()
        self._wanted: set[K] = set()  # in `_ready`, or added while worked on
        self._busy: set[K] = set()
        self._delayed: list[tuple[float, int, K]] = []
        self._due_s: dict[K, float] = {}  # the earliest time of each delayed key
        self._failures: dict[K, int] = {}
        self._number = itertools.count()
        self._idle: deque[asyncio.Future[None]] = deque()  # workers that wait; a key wakes one of them, not all
        self._timer: asyncio.TimerHandle | None = None  # for the first delayed key, while workers wait
        self._timer_s = 0.0  # when it rings

    def __len__(self) -> int:
        """Return how many keys wait for a worker; delayed ones do not."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Want a sync of *key*."""
        if key in self._wanted:
            return
        self._wanted.add(key)
        if key not in self._busy:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, delay_s: float) -> None:
        """Want a sync of *key* in *delay_s*; an earlier wish stands."""
        if delay_s <= 0:
            self.add(key)
            return
        due_s = self._clock() + delay_s
        known_s = self._due_s.get(key)
        if known_s is not None and known_s <= due_s:
            return
        self._due_s[key] = due_s
        heapq.heappush(self._delayed, (due_s, next(self._number), key))
        self._set_timer()

    def add_failed(self, key: K) -> float:
        """Want a sync of *key* once more, later with each failure in a row; return in how many seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s: float = min(FIRST_DELAY_S * 2.0 ** min(failures, 30), LAST_DELAY_S)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """End the row of failures of *key*."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and return it; `done` is to follow."""
        while True:
            self._promote()
            if self._ready:
                key = self._ready.popleft()
                self._wanted.discard(key)
                self._busy.add(key)
                return key
            await self._wait()

    def done(self, key: K) -> None:
        """Say that the sync of *key* is over."""
        self._busy.discard(key)
        if key in self._wanted:
            self._ready.append(key)
            self._wake()

    async def _wait(self) -> None:
        """Wait until there may be a key."""
        idle = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        self._set_timer()
        try:
            await idle
        except asyncio.CancelledError:
            if not idle.cancelled():
                self._wake()  # the key that it was woken for is left to another
            with contextlib.suppress(ValueError):  # `_wake` may have passed over it
                self._idle.remove(idle)
            raise

    def _wake(self) -> None:
        """Wake the worker that has waited longest."""
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                return

    def _set_timer(self) -> None:
        """See to it that somebody wakes when the first delayed key is due."""
        if not (self._delayed and self._idle):
            return
        due_s = self._delayed[0][0]
        if self._timer is not None:
            if self._timer_s <= due_s:
                return
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = self._idle[0].get_loop().call_later(max(due_s - self._clock(), 0.0), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._promote()
        self._set_timer()

    def _promote(self) -> None:
        """Want what is due."""
        now_s = self._clock()
        while self._delayed and self._delayed[0][0] <= now_s:
            due_s, _, key = heapq.heappop(self._delayed)
            if self._due_s.get(key) == due_s:  # else an earlier one has come before it
                del self._due_s[key]
                self.add(key)


class TokenBucket:
    """Limits requests: *qps* a second in the long run, *burst* at once."""

    def __init__(self, qps: float, burst: int, clock: Callable[[], float]) -> None:
        """Begin full. A *qps* of 0 means no limit."""
        self._qps = qps
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._updated_s = clock()

    def reserve_s(self) -> float:
        """Take one token and return in how many seconds it may be used."""
        if not self._qps:
            return 0.0
        now_s = self._clock()
        self._tokens = min(self._tokens + (now_s - self._updated_s) * self._qps, self._burst) - 1
        self._updated_s = now_s
        return max(-self._tokens / self._qps, 0.0)

    def try_take(self) -> bool:
        """Take a token if there is one, and tell whether there was."""
        if not self.reserve_s():
            return True
        self._tokens += 1
        return False
