"""Leaving while nothing runs yet: SIGTERM and SIGINT end the process at once, with exit code 0. I/O: signals.

It imports next to nothing, so that it is there before what takes its time. Once there are workers the server has its
own way of leaving.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def at_once() -> Callable[[], None]:
    """Let both signals end the process at once, and return what undoes that."""
    before = [(number, signal.signal(number, _leave)) for number in _NUMBERS]

    def undo() -> None:
        for number, handler in before:
            signal.signal(number, handler)

    return undo


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # an exception could be lost in whatever the signal came into
