"""A worker's end of the feed: its set-up, its table, and the report that says it is alive.

I/O: one stream socket, shared with the parent. Its end of file means that the parent is gone.
"""

from __future__ import annotations

import socket
import time

from headlessdns.metrics.counters import Counters
from headlessdns.server import framing
from headlessdns.server.framing import FrameKind, FrameReader, Setup
from headlessdns.wire.answers import Delta, Table

REPORT_INTERVAL_S = 0.5
_READ_OCTETS = 1 << 20
_NAMES_AT_ONCE = 10_000  # take about 0.1 s


class ParentGoneError(Exception):
    """The feed has ended: nobody keeps this worker's table up to date any more."""


class Feed:
    """Keeps *table* up to date."""

    def __init__(self, sock: socket.socket) -> None:
        self.table = Table()
        self.socket = sock
        self._reader = FrameReader()
        self._next_report_s = 0.0

    def load(self) -> Setup:
        """Block until set-up and a complete table have come, and return the set-up."""
        setup = None
        is_complete = False
        while setup is None or not is_complete:
            self.report(None)
            for kind, payload in self._reader.feed(self._receive()):
                if kind == FrameKind.SETUP:
                    setup = framing.decode_setup(payload)
                elif kind == FrameKind.DELTA:  # those behind the complete table, too: they came with it
                    self._apply(payload)
                elif kind == FrameKind.COMPLETE:
                    is_complete = True
        self.socket.setblocking(False)
        self._next_report_s = 0.0  # the first report says that we answer: at once
        return setup

    def apply_pending(self) -> None:
        """Apply every whole frame that has come; never blocks.

        Raises:
            ParentGoneError: The feed has ended.
        """
        while True:
            try:
                data = self._receive()
            except BlockingIOError:
                return
            for kind, payload in self._reader.feed(data):
                if kind == FrameKind.DELTA:
                    self._apply(payload)
            if len(data) < _READ_OCTETS:
                return

    def _apply(self, payload: bytes) -> None:
        """Apply one step, with signs of life if it is a large one. Nobody is answered meanwhile: it stays one step."""
        delta = framing.decode_delta(payload)
        names = list(delta.nodes.items())
        for at in range(0, len(names) or 1, _NAMES_AT_ONCE):
            self.table.apply(Delta(delta.state, dict(names[at : at + _NAMES_AT_ONCE])))
            self.report(None)

    def _receive(self) -> bytes:
        """Return what has come.

        Raises:
            BlockingIOError: Nothing has, and the socket does not block.
            ParentGoneError: The feed has ended.
        """
        try:
            data = self.socket.recv(_READ_OCTETS)
        except ConnectionError as error:  # it left with a report of ours unread
            raise ParentGoneError from error
        if not data:
            raise ParentGoneError
        return data

    def report(self, counters: Counters | None) -> None:
        """Send *counters* and so a sign of life, if it is time."""
        now_s = time.monotonic()
        if now_s < self._next_report_s:
            return
        self._next_report_s = now_s + REPORT_INTERVAL_S
        if counters:
            counters.cut = self.table.cut
        report = counters.report(self.table.kinds) if counters else None
        try:
            self.socket.send(framing.encode(FrameKind.REPORT, report), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return  # the parent is busy; it will see the next one
        except OSError as error:
            raise ParentGoneError from error
