"""The work queue and the token bucket, beside models that are too simple to be wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headlessdns.controller.queue import LAST_DELAY_S, TokenBucket, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Coroutine

KEYS = st.sampled_from("abcde")
WAIT_S = 5.0  # for what should come at once


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def run(coroutine: Coroutine[object, object, None]) -> None:
    """Run a test's coroutine, which has to end soon."""
    asyncio.run(asyncio.wait_for(coroutine, 30))


def ready(queue: WorkQueue[str]) -> list[str]:
    """Take what there is at once, without working on it."""

    async def take() -> list[str]:
        taken = []
        with contextlib.suppress(TimeoutError):
            while True:
                taken.append(await asyncio.wait_for(queue.get(), 0.001 if len(queue) == 0 else WAIT_S))
        return taken

    return asyncio.run(take())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock)


# One worker


def test_order(queue: WorkQueue[str]) -> None:
    """Keys come in the order in which they were added."""
    for key in "cab":
        queue.add(key)
    assert len(queue) == 3
    assert ready(queue) == ["c", "a", "b"]


def test_added_twice(queue: WorkQueue[str]) -> None:
    """A key that is added twice before its sync is synced once."""
    for key in "aba":
        queue.add(key)
    assert ready(queue) == ["a", "b"]


def test_added_while_worked_on(queue: WorkQueue[str]) -> None:
    """A key that is added while it is worked on comes once more, when that is done and not before."""
    queue.add("a")
    assert ready(queue) == ["a"]
    queue.add("a")
    queue.add("a")
    assert (len(queue), ready(queue)) == (0, [])
    queue.done("a")
    assert ready(queue) == ["a"]
    queue.done("a")
    assert ready(queue) == []


def test_delayed(queue: WorkQueue[str], clock: Clock) -> None:
    """A delayed key comes when it is due."""
    queue.add_after("a", 10)
    clock.now_s += 9.99
    assert (len(queue), ready(queue)) == (0, [])
    clock.now_s += 0.01
    assert ready(queue) == ["a"]


@pytest.mark.parametrize("delay_s", [0, -1])
def test_no_delay(queue: WorkQueue[str], delay_s: float) -> None:
    """A key without a delay comes at once."""
    queue.add_after("a", delay_s)
    assert ready(queue) == ["a"]


@pytest.mark.parametrize(
    ("delays_s", "due_s"),
    [
        pytest.param([10, 20], 10, id="a later wish changes nothing"),
        pytest.param([20, 10], 10, id="an earlier wish comes first"),
        pytest.param([10, 10], 10, id="the same twice"),
    ],
)
def test_delayed_twice(queue: WorkQueue[str], clock: Clock, delays_s: list[float], due_s: float) -> None:
    """Of two wishes the earlier counts, and the key comes once."""
    for delay_s in delays_s:
        queue.add_after("a", delay_s)
    clock.now_s += due_s
    assert ready(queue) == ["a"]
    queue.done("a")
    clock.now_s += 100
    assert ready(queue) == []


def test_delayed_while_worked_on(queue: WorkQueue[str], clock: Clock) -> None:
    """A key that becomes due while it is worked on comes when that is done."""
    queue.add("a")
    assert ready(queue) == ["a"]
    queue.add_after("a", 1)
    clock.now_s += 1
    assert ready(queue) == []
    queue.done("a")
    assert ready(queue) == ["a"]


def test_back_off(queue: WorkQueue[str]) -> None:
    """Each failure in a row doubles the delay, from 5 ms to a minute; a success ends the row, and so for each key."""
    delays_s = [queue.add_failed("a") for _ in range(60)]
    assert delays_s[:5] == [0.005, 0.01, 0.02, 0.04, 0.08]
    assert delays_s[13:16] == [40.96, LAST_DELAY_S, LAST_DELAY_S]
    assert delays_s[-1] == LAST_DELAY_S == 60.0
    assert queue.add_failed("b") == 0.005
    queue.forget("a")
    assert queue.add_failed("a") == 0.005
    queue.forget("never failed")


# Several workers


def test_a_worker_waits_for_a_key(queue: WorkQueue[str]) -> None:
    """A worker that waits gets a key when it is added."""

    async def scenario() -> None:
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not worker.done()
        queue.add("a")
        assert await asyncio.wait_for(worker, WAIT_S) == "a"

    run(scenario())


def test_a_worker_waits_for_another_to_be_done(queue: WorkQueue[str]) -> None:
    """A worker that waits gets a key that was added while it was worked on, when that is done."""

    async def scenario() -> None:
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not worker.done()
        queue.done("a")
        assert await asyncio.wait_for(worker, WAIT_S) == "a"

    run(scenario())


@pytest.mark.parametrize("before", [True, False], ids=["delayed before the worker waits", "delayed while it waits"])
def test_a_worker_waits_for_a_delayed_key(before: bool) -> None:
    """A worker that waits wakes when a delayed key is due, also when an earlier one is added meanwhile."""

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(asyncio.get_running_loop().time)
        if before:
            queue.add_after("late", 60)
            queue.add_after("early", 0.01)
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        if not before:
            queue.add_after("late", 60)
            queue.add_after("early", 0.01)
        assert await asyncio.wait_for(worker, WAIT_S) == "early"

    run(scenario())


def test_idle_workers_do_not_miss_what_a_busy_one_would_have_seen() -> None:
    """A delayed key wakes a worker though the one that waited first has left with another key."""

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(asyncio.get_running_loop().time)
        first, second = (asyncio.create_task(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        queue.add_after("later", 0.02)
        queue.add("now")
        assert await asyncio.wait_for(first, WAIT_S) == "now"
        assert await asyncio.wait_for(second, WAIT_S) == "later"

    run(scenario())


def test_delayed_keys_wake_one_worker_after_the_other() -> None:
    """While workers wait, each delayed key wakes one of them when it is due."""

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(asyncio.get_running_loop().time)
        workers = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        for number, key in enumerate("abc"):
            queue.add_after(key, 0.01 * (number + 1))
        assert [await asyncio.wait_for(worker, WAIT_S) for worker in workers] == ["a", "b", "c"]

    run(scenario())


def test_one_key_wakes_one_worker(queue: WorkQueue[str]) -> None:
    """A key wakes one of many workers; the others sleep on."""
    wakes = Counter[str]()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        workers = [asyncio.create_task(queue.get()) for _ in range(16)]
        await asyncio.sleep(0)
        call_soon = loop.call_soon

        def counted(callback: object, *args: object, **kwargs: object) -> object:
            wakes["callbacks"] += 1
            return call_soon(callback, *args, **kwargs)  # type: ignore[arg-type]

        loop.call_soon = counted  # type: ignore[assignment,method-assign]
        queue.add("a")
        await asyncio.sleep(0)
        loop.call_soon = call_soon  # type: ignore[method-assign]
        assert [worker.done() for worker in workers].count(True) == 1
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    run(scenario())
    assert wakes["callbacks"] <= 3


@pytest.mark.parametrize("order", ["cancelled, then added", "added, then cancelled"])
def test_a_cancelled_worker_takes_no_key_along(queue: WorkQueue[str], order: str) -> None:
    """A key that comes when a worker is cancelled goes to another worker."""

    async def scenario() -> None:
        first, second = (asyncio.create_task(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        if order.startswith("cancelled"):
            first.cancel()
            queue.add("a")
        else:
            queue.add("a")
            first.cancel()
        assert await asyncio.wait_for(second, WAIT_S) == "a"
        assert first.cancelled()
        queue.add("b")
        assert await asyncio.wait_for(queue.get(), WAIT_S) == "b"

    run(scenario())


def test_many_workers_and_many_keys() -> None:
    """Of keys that are added at any time, none is lost and none is worked on twice at a time."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[int] = WorkQueue(loop.time)
        wanted: dict[int, int] = {}  # the last wish for each key
        seen: dict[int, int] = {}  # the last wish that a sync began after
        busy: set[int] = set()
        progress = asyncio.Event()

        async def work() -> None:
            while True:
                key = await queue.get()
                assert key not in busy
                busy.add(key)
                seen[key] = wanted[key]
                progress.set()
                await asyncio.sleep(0.0001 * (key % 3))
                busy.discard(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(8)]
        for number in range(2000):
            key = number * 7 % 41
            wanted[key] = number
            if number % 3:
                queue.add(key)
            else:
                queue.add_after(key, 0.0005 * (number % 5))
            if not number % 16:
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while seen != wanted:
                    progress.clear()
                    await progress.wait()
        assert seen == wanted
        for worker in workers:
            worker.cancel()
        results = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)

    run(scenario())


class QueueMachine(RuleBasedStateMachine):
    """The queue beside a model: sets of keys that are wanted, due at a time, and worked on."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.wanted: list[str] = []  # in the order in which they may come
        self.again: set[str] = set()  # added while worked on
        self.busy: set[str] = set()
        self.due_s: dict[str, float] = {}

    def _want(self, key: str) -> None:
        if key in self.busy:
            self.again.add(key)
        elif key not in self.wanted:
            self.wanted.append(key)

    def _pass(self) -> None:
        for key in sorted(self.due_s, key=lambda key: self.due_s[key]):
            if self.due_s[key] <= self.clock.now_s:
                del self.due_s[key]
                self._want(key)

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self._want(key)

    @rule(key=KEYS, delay_s=st.integers(0, 5))
    def add_after(self, key: str, delay_s: int) -> None:
        self.queue.add_after(key, delay_s)
        if delay_s == 0:
            self._want(key)
        else:
            self.due_s[key] = min(self.due_s.get(key, 1e9), self.clock.now_s + delay_s)

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.clock.now_s += seconds

    @rule()
    def get(self) -> None:
        self._pass()
        key = self._get_now()
        if key is None:
            assert not self.wanted
            return
        assert key in self.wanted  # what falls due at the same time may come in any order
        assert key not in self.busy
        self.wanted.remove(key)
        self.busy.add(key)

    def _get_now(self) -> str | None:
        """What a worker gets at once; there is no loop in which it could wait."""
        getting = self.queue.get()
        try:
            getting.send(None)
        except StopIteration as stop:
            return str(stop.value)
        except RuntimeError:
            return None
        raise AssertionError("it waits without a loop")

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.busy)))
        self.queue.done(key)
        self.busy.discard(key)
        if key in self.again:
            self.again.discard(key)
            self.wanted.append(key)

    @invariant()
    def the_depth_is_right(self) -> None:
        due = {key for key, due_s in self.due_s.items() if due_s <= self.clock.now_s}
        assert len(self.wanted) - len(due) <= len(self.queue) <= len(self.wanted)


TestQueueMachine = QueueMachine.TestCase


# Requests


def test_burst_and_rate() -> None:
    """A full bucket lets a burst pass at once, then one request each 1/qps; the turns are in order."""
    clock = Clock()
    bucket = TokenBucket(50, 3, clock)
    assert [round(bucket.reserve_s(), 6) for _ in range(6)] == [0, 0, 0, 0.02, 0.04, 0.06]
    clock.now_s += 0.06
    assert round(bucket.reserve_s(), 6) == 0.02


def test_bucket_fills_no_further_than_its_burst() -> None:
    """After a long rest there is one burst, not more."""
    clock = Clock()
    bucket = TokenBucket(50, 3, clock)
    clock.now_s += 1e6
    assert [round(bucket.reserve_s(), 6) for _ in range(4)] == [0, 0, 0, 0.02]


def test_no_limit() -> None:
    """A rate of 0 is no limit."""
    bucket = TokenBucket(0, 1, Clock())
    assert [bucket.reserve_s() for _ in range(1000)] == [0.0] * 1000
    assert bucket.try_take()


def test_try_take() -> None:
    """Who does not want to wait leaves the bucket as it is when there is no token."""
    clock = Clock()
    bucket = TokenBucket(0.5, 2, clock)
    assert [bucket.try_take() for _ in range(5)] == [True, True, False, False, False]
    clock.now_s += 2
    assert [bucket.try_take() for _ in range(2)] == [True, False]


@given(
    qps=st.sampled_from([0.5, 1, 50, 1000]),
    burst=st.integers(1, 20),
    pauses_s=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate(qps: float, burst: int, pauses_s: list[float]) -> None:
    """In any stretch of time no more requests pass than a burst and what the rate gives."""
    clock = Clock()
    bucket = TokenBucket(qps, burst, clock)
    sent_s = []
    for pause_s in pauses_s:
        clock.now_s += pause_s
        sent_s.append(clock.now_s + bucket.reserve_s())
    assert sent_s == sorted(sent_s)
    for first in range(len(sent_s)):
        for last in range(first, len(sent_s)):
            assert last - first + 1 <= burst + qps * (sent_s[last] - sent_s[first]) + 1e-6
