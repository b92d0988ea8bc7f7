"""The stream worker: DNS over TCP from the same table (RFC 7766).

Queries may be pipelined and are answered in order, several responses in one write. A connection that is idle for 10 s,
sends a message for longer than 3 s or does not take its response within 5 s is closed, as is one beyond 100 of a client
or 2,000 in all. I/O: TCP, the feed. Started as ``python -m headlessdns.server.stream FD``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections import Counter
from typing import cast

from headlessdns.metrics.counters import Counters
from headlessdns.server.feed import REPORT_INTERVAL_S, Feed, ParentGoneError
from headlessdns.wire.respond import Chase, Chased, Client, Identity, respond

IDLE_S = 10.0  # RFC 7766 §6.2.3 wants seconds, not minutes
READ_S = 3.0
WRITE_S = 5.0
MAX_CONNECTIONS = 2000
MAX_CONNECTIONS_PER_CLIENT = 100
_SWEEP_S = 0.5
_LARGEST_OCTETS = 2 + 65535


class Server:
    """All connections of the worker."""

    def __init__(self, feed: Feed, identity: Identity) -> None:
        self.table = feed.table
        self.identity = identity
        self.counters = Counters("tcp")
        self.connections: set[Connection] = set()
        self.per_client: Counter[bytes] = Counter()
        self.resolver: object = None

    async def look_up(self, chase: Chase) -> Chased:
        """Ask the resolver."""
        from headlessdns.server.chase import Resolver  # needs dnslib; imported only where a resolver is set

        return await cast(Resolver, self.resolver).look_up(chase)

    def sweep(self) -> None:
        """Close the connections whose time is over."""
        now_s = time.monotonic()
        for connection in [one for one in self.connections if one.deadline_s < now_s]:
            connection.close()
        asyncio.get_running_loop().call_later(_SWEEP_S, self.sweep)


class Connection(asyncio.Protocol):
    """One connection: octets in, responses out in the order of the queries."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._chase: asyncio.Task[None] | None = None
        self._address = b""
        self._family = 1
        self.deadline_s = time.monotonic() + IDLE_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it where there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        host = str((transport.get_extra_info("peername") or ("0.0.0.0", 0))[0]).partition("%")[0]
        self._family = 2 if ":" in host else 1
        self._address = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        server = self._server
        server.connections.add(self)
        server.per_client[self._address] += 1
        if len(server.connections) > MAX_CONNECTIONS or server.per_client[self._address] > MAX_CONNECTIONS_PER_CLIENT:
            server.counters.refused += 1
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        server = self._server
        server.connections.discard(self)
        server.per_client[self._address] -= 1
        if not server.per_client[self._address]:
            del server.per_client[self._address]
        if self._chase:
            self._chase.cancel()

    def data_received(self, data: bytes) -> None:
        """Take octets in and answer what is whole."""
        if not self._buffer:
            self.deadline_s = time.monotonic() + READ_S
        self._buffer += data
        self._answer()

    def eof_received(self) -> bool:
        """Keep our half open until what was asked is answered."""
        if self._chase is None and not self._is_paused:
            return False
        self.deadline_s = time.monotonic() + WRITE_S
        return True

    def pause_writing(self) -> None:
        """Stop reading: the client does not take its responses."""
        self._is_paused = True
        self.deadline_s = time.monotonic() + WRITE_S
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._is_paused = False
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()
            self._answer()

    def close(self) -> None:
        """Close at once; what is unsent is lost."""
        if self._transport:
            self._transport.abort()

    def _answer(self) -> None:
        """Answer every whole message in the buffer, in one write as far as the client takes it."""
        started_s = time.perf_counter()
        transport, buffer, server = self._transport, self._buffer, self._server
        if transport is None or self._chase is not None:
            return
        answered: list[bytes] = []
        position = 0
        out = bytearray()
        while len(buffer) - position >= 2:
            end = position + 2 + int.from_bytes(buffer[position : position + 2], "big")
            if end > len(buffer) or len(out) >= _LARGEST_OCTETS:
                break
            message = bytes(buffer[position + 2 : end])
            position = end
            response = respond(message, server.table, server.identity, Client(self._address, True), int(time.time()))
            if isinstance(response, Chase):
                self._chase = asyncio.create_task(self._answer_later(message, response))
                break
            if response is None:  # no DNS query: whoever speaks like this has no use for more
                server.counters.dropped += 1
                transport.write(bytes(out))
                transport.close()
                return
            out += len(response).to_bytes(2, "big") + response
            answered.append(response)
        if position:
            del buffer[:position]
            self.deadline_s = time.monotonic() + (READ_S if buffer else IDLE_S)
        if out:
            transport.write(bytes(out))
            server.counters.count(self._family, answered, time.perf_counter() - started_s)
            has_more = len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2], "big")
            if has_more and not self._is_paused and self._chase is None:
                asyncio.get_running_loop().call_soon(self._answer)

    async def _answer_later(self, message: bytes, chase: Chase) -> None:
        server = self._server
        chased = await server.look_up(chase)
        response = respond(
            message, server.table, server.identity, Client(self._address, True), int(time.time()), chased
        )
        self._chase = None
        if isinstance(response, bytes) and self._transport and not self._transport.is_closing():
            self._transport.write(len(response).to_bytes(2, "big") + response)
            server.counters.count(self._family, [response], 0.0)
            self._answer()


async def serve(feed: Feed) -> None:
    """Serve until the feed ends.

    Raises:
        ParentGoneError: The feed has ended.
    """
    setup = feed.load()
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    server = Server(feed, setup.identity)
    if setup.resolver:
        from headlessdns.server.chase import Resolver

        server.resolver = Resolver(setup.resolver)

    def on_feed() -> None:
        try:
            feed.apply_pending()
        except (ParentGoneError, OSError):
            loop.remove_reader(feed.socket)
            if not gone.done():
                gone.set_exception(ParentGoneError())

    loop.add_reader(feed.socket, on_feed)
    for fd in setup.listener_fds:
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        await loop.create_server(lambda: Connection(server), sock=listener, backlog=1024)
    server.sweep()
    while not gone.done():
        feed.report(server.counters)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(gone), REPORT_INTERVAL_S)


def main() -> int:
    """Run the stream worker on the feed whose descriptor is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when we leave
    try:
        asyncio.run(serve(Feed(socket.socket(fileno=int(sys.argv[1])))))
    except ParentGoneError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
