"""A loop whose clock jumps to the next timer when there is nothing to do: hours pass in no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumped_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.jumped_s


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self._loop.jumped_s += timeout
        return super().select(None if timeout is None else 0)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run *main*, which waits for nothing but time and itself."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
