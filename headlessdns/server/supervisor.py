"""The parent's side of the workers: starts them, feeds them, and replaces those that die, hang or fall behind.

I/O: processes, one socket pair each. A worker is a fresh interpreter, not a fork of this one: no threads, locks or
imports come along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import msgspec

from headlessdns import names
from headlessdns.metrics.counters import Report, merged
from headlessdns.server import framing
from headlessdns.server.framing import FrameKind, FrameReader, Setup
from headlessdns.wire.answers import Delta

log = logging.getLogger(__name__)

_CHECK_S = 0.25
_EXIT_S = 0.02  # between the end of a worker's feed and the end of the worker
_NOT_FOR_WORKERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Patience(NamedTuple):
    """How long the supervisor waits, and for what.

    Attributes:
        start_s: For a new worker's first sign of life: a cold disk and a busy machine are no fault of it.
        heartbeat_s: For the next one.
        feed_octets: Unread octets beyond the first table that are too many,
        behind_s: if they do not become fewer within this time.
        first_restart_s: Before a worker that did not live long is replaced; doubled each time.
        last_restart_s: The longest such pause.
        healthy_s: A worker that lived this long is replaced at once.
        leave_s: For workers to leave by themselves when we do.
    """

    start_s: float = 30.0
    heartbeat_s: float = 2.0
    feed_octets: int = 64 << 20
    behind_s: float = 1.0
    first_restart_s: float = 0.1
    last_restart_s: float = 5.0
    healthy_s: float = 10.0
    leave_s: float = 1.0


class _Worker(asyncio.Protocol):
    """One worker process and the parent's end of its feed."""

    def __init__(
        self, module: str, setup: Setup, pass_fds: tuple[int, ...], patience: Patience, note: Callable[[], None]
    ) -> None:
        """Start the process.

        Args:
            module: What it runs.
            setup: What it has to know.
            pass_fds: Descriptors that it inherits.
            patience: How long to wait for it.
            note: Called when the worker has something new to say: its first report, or its end.

        Raises:
            OSError: There are no more processes or descriptors to be had.
        """
        self.module = module
        self.name = module.rpartition(".")[2]
        self.started_s = self.heard_s = time.monotonic()
        self.report: Report | None = None
        self.transport: asyncio.Transport | None = None
        self._patience = patience
        self._has_spoken = False
        self._cut_s = math.inf  # when its feed ended
        self._allowed_octets = patience.feed_octets
        self._least_octets = math.inf  # unread since there are too many
        self._progress_s = self.started_s
        self._reader = FrameReader()
        self._setup = setup
        self._note = note
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = _start_process(module, theirs.fileno(), pass_fds)
            except OSError:
                self._socket.close()
                raise

    async def connect(self) -> None:
        """Open the feed with the set-up."""
        await asyncio.get_running_loop().create_connection(lambda: self, sock=self._socket)
        assert self.transport is not None  # `connection_made` has run
        self.transport.write(framing.encode(FrameKind.SETUP, self._setup))

    def send(self, frame: bytes) -> None:
        """Send one frame, unless the feed has ended."""
        if self.transport and not self.transport.is_closing():
            self.transport.write(frame)

    def complete(self) -> None:
        """Say that the whole table is sent."""
        self.send(framing.encode(FrameKind.COMPLETE))
        if self.transport:
            self._allowed_octets += self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        self._has_spoken = True
        for kind, payload in self._reader.feed(data):
            if kind == FrameKind.REPORT and payload:
                is_first, self.report = self.report is None, framing.decode_report(payload)
                if is_first:
                    self._note()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cut_s = time.monotonic()
        self._note()

    def excuse(self, silence_s: float) -> None:
        """Count no more than *silence_s* of silence so far: nobody was there to listen."""
        self.heard_s = max(self.heard_s, time.monotonic() - silence_s)

    def complaint(self) -> str:
        """Return what is wrong with the worker, or nothing."""
        status = self.process.poll()
        if status is not None:
            return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if time.monotonic() - self._cut_s > _CHECK_S:
            return "has closed its feed"
        limit_s = self._patience.heartbeat_s if self._has_spoken else self._patience.start_s
        if time.monotonic() - self.heard_s > limit_s:
            return f"has been silent for {limit_s:g} s"
        return "does not take its feed" if self._is_behind() else ""

    def _is_behind(self) -> bool:
        """Tell whether too much of the feed is unread, and has not become less for a while.

        One large step alone, or many while we do not come to sending them, are no fault of the worker.
        """
        unread_octets = self.transport.get_write_buffer_size() if self.transport else 0
        is_too_much = unread_octets > self._allowed_octets
        if not is_too_much or unread_octets < self._least_octets:
            self._progress_s = time.monotonic()
        self._least_octets = min(unread_octets, self._least_octets) if is_too_much else math.inf
        return time.monotonic() - self._progress_s > self._patience.behind_s

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


def _start_process(module: str, feed_fd: int, pass_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Start *module* in a fresh interpreter that finds modules where this one does, and not in the working directory.

    It is born deaf to Ctrl-C, which the whole process group gets: the parent decides when the workers leave.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)  # a new process has the mask of its parent
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(feed_fd)],
            pass_fds=(feed_fd, *pass_fds),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
        patience: Patience | None = None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            setup: What every worker has to know.
            listeners: Listening TCP sockets; they stay open here, so that a new stream worker takes up the queue.
            udp_workers: How many.
            whole_table: Gives the whole table as it is now, in parts.
            patience: How long to wait for workers.
        """
        self.restarts = 0
        self._patience = patience or Patience()
        self._listeners = listeners
        self._setup = setup
        self._whole_table = whole_table
        self._modules = ["headlessdns.server.udp"] * udp_workers + ["headlessdns.server.stream"]
        self._workers: list[_Worker | None] = [None] * len(self._modules)
        self._delays_s = [self._patience.first_restart_s] * len(self._modules)
        self._gone_reports: list[Report] = []
        self._complete = asyncio.Event()
        self._news = asyncio.Event()  # a worker has something to say
        self._has_told_of_aliases = False
        self._task: asyncio.Task[None] | None = None
        self._restarting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start every worker and begin to watch over them."""
        self._send_table([await self._start(index) for index in range(len(self._modules))])
        self._task = asyncio.create_task(self._watch())

    async def _start(self, index: int) -> _Worker:
        """Start one worker; what is published from now on reaches it, its table does not yet."""
        module = self._modules[index]
        fds = tuple(listener.fileno() for listener in self._listeners) if module.endswith("stream") else ()
        setup = msgspec.structs.replace(self._setup, listener_fds=fds)
        worker = _Worker(module, setup, fds, self._patience, self._note)
        self._workers[index] = worker
        await worker.connect()
        return worker

    def _send_table(self, workers: Sequence[_Worker]) -> None:
        """Send the whole table, which is composed once, however many *workers* there are."""
        for delta in self._whole_table():
            frame = framing.encode(FrameKind.DELTA, delta)
            for worker in workers:
                worker.send(frame)
        for worker in workers:
            worker.complete()

    def _note(self) -> None:
        self._news.set()
        if self.is_complete():
            self._complete.set()

    async def wait_complete(self, timeout_s: float) -> bool:
        """Wait until every worker has answered once, and tell whether that came true in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), timeout_s)
        return self._complete.is_set()

    def publish(self, delta: Delta) -> None:
        """Send one step to every worker; one that is starting gets it behind its table."""
        self._tell_of_aliases(delta)
        frame = framing.encode(FrameKind.DELTA, delta)
        for worker in self._workers:
            if worker:
                worker.send(frame)

    def _tell_of_aliases(self, delta: Delta) -> None:
        """Say once that an ExternalName leads to where no worker can follow."""
        if self._setup.resolver is not None or self._has_told_of_aliases:
            return
        for name, node in delta.nodes.items():
            alias = node.alias if node is not None else None
            if alias is not None and alias.target and not alias.soa_apex:
                self._has_told_of_aliases = True
                log.warning(
                    "%s is a CNAME to %s, which is not ours: without --resolver only the CNAME is sent, for this name "
                    "and any other such; clients behind a forwarder then find no address",
                    names.to_text(name),
                    names.to_text(alias.target),
                )
                return

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
        checked_s = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_S):
                    await self._news.wait()
            if self._news.is_set():
                self._news.clear()
                await asyncio.sleep(_EXIT_S)
            held_up_s = time.monotonic() - checked_s - _CHECK_S
            checked_s = time.monotonic()
            for index, worker in enumerate(self._workers):
                if worker is None:
                    continue
                if held_up_s > self._patience.heartbeat_s / 2:  # we were stopped or busy: the silence may be ours
                    worker.excuse(self._patience.heartbeat_s / 2)
                if complaint := worker.complaint():
                    self._replace(index, worker, complaint)

    def _replace(self, index: int, worker: _Worker, complaint: str) -> None:
        is_healthy = time.monotonic() - worker.started_s > self._patience.healthy_s
        if is_healthy:
            self._delays_s[index] = self._patience.first_restart_s
        delay_s = 0.0 if is_healthy else self._next_delay_s(index)
        when = f"in {delay_s:g} s" if delay_s else "at once"
        log.warning("the %s worker %s; a new one starts %s", worker.name, complaint, when)
        worker.kill()
        self.restarts += 1
        if worker.report:
            self._gone_reports = list(merged([*self._gone_reports, worker.report]).values())
        self._workers[index] = None
        task = asyncio.create_task(self._restart(index, delay_s))
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    def _next_delay_s(self, index: int) -> float:
        delay_s = self._delays_s[index]
        self._delays_s[index] = min(delay_s * 2, self._patience.last_restart_s)
        return delay_s

    async def _restart(self, index: int, delay_s: float) -> None:
        """Start a worker after *delay_s*, however often that takes."""
        while True:
            await asyncio.sleep(delay_s)
            try:
                self._send_table([await self._start(index)])
                return
            except OSError as error:
                delay_s = self._next_delay_s(index)
                log.error("no worker can be started: %s; trying again in %g s", error.strerror, delay_s)

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
                await asyncio.to_thread(worker.process.wait, self._patience.leave_s)
        for worker in workers:
            worker.kill()
