"""The parent's side of the workers: starts them, feeds them, and replaces those that die, hang or fall behind.

I/O: processes, one socket pair each. A worker is a fresh interpreter, not a fork of this one: no threads, locks or
imports come along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import msgspec

from headlessdns.metrics.counters import Report, merged
from headlessdns.server import framing
from headlessdns.server.framing import FrameKind, FrameReader, Setup
from headlessdns.wire.answers import Delta

log = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
_CHECK_S = 0.25
_FIRST_RESTART_S, _LAST_RESTART_S = 0.1, 5.0
_HEALTHY_S = 10.0  # a worker that lived this long is restarted at once again
_FEED_OCTETS = 64 << 20  # beyond what the first table needs
_LEAVE_S = 1.0


class _Worker(asyncio.Protocol):
    """One worker process and the parent's end of its feed."""

    def __init__(
        self, module: str, setup: Setup, pass_fds: tuple[int, ...], on_first_report: Callable[[], None]
    ) -> None:
        self.module = module
        self.name = module.rpartition(".")[2]
        self.started_s = self.heard_s = time.monotonic()
        self.report: Report | None = None
        self.allowed_octets = _FEED_OCTETS
        self.transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", module, str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(), *pass_fds), stdin=subprocess.DEVNULL)
        self._setup = setup
        self._on_first_report = on_first_report

    async def connect(self, table: Iterable[Delta]) -> None:
        """Send set-up and a whole table."""
        await asyncio.get_running_loop().create_connection(lambda: self, sock=self._socket)
        assert self.transport is not None  # `connection_made` has run
        self.transport.write(framing.encode(FrameKind.SETUP, self._setup))
        for delta in table:
            self.transport.write(framing.encode(FrameKind.DELTA, delta))
        self.transport.write(framing.encode(FrameKind.COMPLETE))
        self.allowed_octets = _FEED_OCTETS + self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        for kind, payload in self._reader.feed(data):
            if kind == FrameKind.REPORT and payload:
                is_first, self.report = self.report is None, framing.decode_report(payload)
                if is_first:
                    self._on_first_report()

    def complaint(self) -> str:
        """Return what is wrong with the worker, or nothing."""
        status = self.process.poll()
        if status is not None:
            return f"ended with status {status}"
        if time.monotonic() - self.heard_s > HEARTBEAT_S:
            return f"has been silent for {HEARTBEAT_S:.0f} s"
        if self.transport and self.transport.get_write_buffer_size() > self.allowed_octets:
            return "does not take its feed"
        return ""

    def end(self) -> None:
        """Close the feed, which makes a sound worker leave."""
        if self.transport:
            self.transport.abort()
        else:
            self._socket.close()

    def kill(self) -> None:
        """Make sure that the process is gone."""
        self.end()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Supervisor:
    """Keeps every worker running and up to date.

    Attributes:
        restarts: Workers replaced so far.
    """

    def __init__(
        self,
        setup: Setup,
        listeners: list[socket.socket],
        udp_workers: int,
        whole_table: Callable[[], Iterator[Delta]],
    ) -> None:
        """Prepare; nothing is started.

        Args:
            setup: What every worker has to know.
            listeners: Listening TCP sockets; they stay open here, so that a new stream worker takes up the queue.
            udp_workers: How many.
            whole_table: Gives the whole table as it is now, in parts.
        """
        self.restarts = 0
        self._listeners = listeners
        self._setup = setup
        self._whole_table = whole_table
        self._modules = ["headlessdns.server.udp"] * udp_workers + ["headlessdns.server.stream"]
        self._workers: list[_Worker | None] = [None] * len(self._modules)
        self._delays_s = [_FIRST_RESTART_S] * len(self._modules)
        self._gone_reports: list[Report] = []
        self._complete = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._restarting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start every worker and begin to watch over them."""
        for index in range(len(self._modules)):
            await self._start(index)
        self._task = asyncio.create_task(self._watch())

    async def _start(self, index: int) -> None:
        module = self._modules[index]
        fds = tuple(listener.fileno() for listener in self._listeners) if module.endswith("stream") else ()
        worker = _Worker(module, msgspec.structs.replace(self._setup, listener_fds=fds), fds, self._note_report)
        self._workers[index] = worker
        await worker.connect(self._whole_table())

    def _note_report(self) -> None:
        if self.is_complete():
            self._complete.set()

    async def wait_complete(self, timeout_s: float) -> bool:
        """Wait until every worker has answered once, and tell whether that came true in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), timeout_s)
        return self._complete.is_set()

    def publish(self, delta: Delta) -> None:
        """Send one step to every worker; one that is starting gets it behind its table."""
        frame = framing.encode(FrameKind.DELTA, delta)
        for worker in self._workers:
            if worker and worker.transport and not worker.transport.is_closing():
                worker.transport.write(frame)

    def running(self) -> int:
        """Return how many workers answer: their table is complete and they report."""
        return sum(1 for worker in self._workers if worker and worker.report is not None)

    def is_complete(self) -> bool:
        """Tell whether every worker answers."""
        return self.running() == len(self._modules)

    def reports(self) -> dict[str, Report]:
        """Return the sum of all counters by protocol, those of workers that are gone included."""
        present = [worker.report for worker in self._workers if worker and worker.report]
        return merged([*self._gone_reports, *present])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            for index, worker in enumerate(self._workers):
                if worker is not None and (complaint := worker.complaint()):
                    self._replace(index, worker, complaint)

    def _replace(self, index: int, worker: _Worker, complaint: str) -> None:
        lived_s = time.monotonic() - worker.started_s
        delay_s = _FIRST_RESTART_S if lived_s > _HEALTHY_S else self._delays_s[index]
        self._delays_s[index] = min(delay_s * 2, _LAST_RESTART_S)
        log.warning("the %s worker %s; a new one starts in %.1f s", worker.name, complaint, delay_s)
        worker.kill()
        self.restarts += 1
        if worker.report:
            self._gone_reports = list(merged([*self._gone_reports, worker.report]).values())
        self._workers[index] = None

        async def restart() -> None:
            await asyncio.sleep(delay_s)
            await self._start(index)

        task = asyncio.create_task(restart())
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def stop(self) -> None:
        """End every worker and wait until it is gone."""
        for task in (self._task, *self._restarting):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        workers = [worker for worker in self._workers if worker]
        for worker in workers:
            worker.end()
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(worker.process.wait, _LEAVE_S)
        for worker in workers:
            worker.kill()
