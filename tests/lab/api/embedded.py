"""The embedded API in a thread of its own, for tests that talk to it over its socket."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any

from headlessdns.lab.api.http import EmbeddedApi


class Embedded:
    """Runs for as long as the ``with`` block; arguments are those of `EmbeddedApi`."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._started = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> Embedded:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        try:
            async with EmbeddedApi(**self._arguments) as self.api:
                self.url, self.token, self.authority = self.api.url, self.api.token, self.api.authority
                self._started.set()
                await self._leave.wait()
        except BaseException as error:
            self._error = error
            self._started.set()
            raise
