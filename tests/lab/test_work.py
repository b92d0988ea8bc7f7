"""Keys that wait for their turn."""

from __future__ import annotations

import asyncio

from headlessdns.lab.work import WorkQueue
from tests.lab.quick_loop import run


def test_each_key_once() -> None:
    """A key that is added twice has one turn."""

    async def talk() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for key in "aba":
            queue.add(key)
        assert [await queue.take(), await queue.take()] == ["a", "b"]

    run(talk())


def test_again_after_its_turn() -> None:
    """A key that is added during its turn comes again when that is over, not before."""

    async def talk() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        await queue.take()
        queue.add("a")
        queue.add("b")
        assert await queue.take() == "b"
        queue.done("a")
        assert await queue.take() == "a"
        queue.done("a")
        queue.add("c")
        assert await queue.take() == "c"

    run(talk())


def test_later() -> None:
    """A key comes when its time is there; the time that was asked for last counts."""

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue()
        begun_s = loop.time()
        queue.add_later("a", 5)
        queue.add_later("b", 3)
        queue.add_later("a", 1)
        assert (await queue.take(), loop.time() - begun_s) == ("a", 1)
        assert (await queue.take(), loop.time() - begun_s) == ("b", 3)

    run(talk())


def test_turn_drops_the_later_one() -> None:
    """A key that has its turn in between does not come at the later time, and neither does one after the end."""

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue()
        queue.add_later("a", 5)
        queue.add("a")
        await queue.take()
        queue.done("a")
        queue.add_later("b", 7)
        begun_s = loop.time()
        assert (await queue.take(), loop.time() - begun_s) == ("b", 7)
        queue.add_later("c", 1)
        queue.close()
        queue.add("d")
        await asyncio.sleep(2)
        assert await queue.take() == "d"

    run(talk())
