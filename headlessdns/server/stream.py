"""The stream worker: DNS over TCP from the same table (RFC 7766).

Queries may be pipelined and are answered in order, several responses in one write. A connection that is idle for 10 s,
sends a message for longer than 3 s or does not take its responses within 5 s is closed, as is one beyond 100 of a
client or 2,000 in all. What a connection can make us hold is bounded: nothing is read while a whole query waits. I/O:
TCP, the feed. Started as ``python -m headlessdns.server.stream FD``.
"""

from __future__ import annotations

import asyncio
import gc
import math
import resource
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from headlessdns.metrics.counters import Counters
from headlessdns.server.feed import REPORT_INTERVAL_S, Feed, ParentGoneError
from headlessdns.wire.answers import Table
from headlessdns.wire.respond import Chase, Client, Identity, respond

if TYPE_CHECKING:
    from headlessdns.server.chase import Resolver

_READ_OCTETS = 16 << 10  # at a time
_WRITE_OCTETS = 64 << 10  # of responses at a time; the last one may go beyond
_OWN_DESCRIPTORS = 64  # that are no connections


class Limits(NamedTuple):
    """What clients may take up.

    Attributes:
        idle_s: Between one query and the next; RFC 7766 §6.2.3 wants seconds, not minutes.
        read_s: From the first octet of a message to its last.
        write_s: Until all that was answered is taken.
        connections: In all.
        connections_per_client: Of one address.
        sweep_s: How often overdue connections are looked for.
    """

    idle_s: float = 10.0
    read_s: float = 3.0
    write_s: float = 5.0
    connections: int = 2000
    connections_per_client: int = 100
    sweep_s: float = 0.5


class Server:
    """All connections of the worker.

    Attributes:
        catch_up: Brings the table up to date; called before each answer.
        resolver: Asked for names outside our zones; None where none is set.
    """

    def __init__(self, table: Table, identity: Identity, limits: Limits | None = None) -> None:
        self.table = table
        self.identity = identity
        self.limits = limits or Limits()
        self.counters = Counters("tcp")
        self.connections: set[Connection] = set()
        self.per_client: Counter[bytes] = Counter()
        self.catch_up: Callable[[], None] = lambda: None
        self.resolver: Resolver | None = None
        self.read_buffer = memoryview(bytearray(_READ_OCTETS))  # for all: what is read is taken out at once

    def sweep(self) -> None:
        """Close the connections whose time is over, and come back."""
        now_s = time.monotonic()
        for connection in [one for one in self.connections if one.deadline_s < now_s]:
            connection.close()
        asyncio.get_running_loop().call_later(self.limits.sweep_s, self.sweep)

    def admit(self, connection: Connection, address: bytes) -> bool:
        """Count *connection* in and tell whether there is room for it."""
        self.connections.add(connection)
        self.per_client[address] += 1
        limits = self.limits
        return len(self.connections) <= limits.connections and self.per_client[address] <= limits.connections_per_client

    def forget(self, connection: Connection, address: bytes) -> None:
        """Count *connection* out."""
        self.connections.discard(connection)
        self.per_client[address] -= 1
        if not self.per_client[address]:
            del self.per_client[address]


class Connection(asyncio.BufferedProtocol):
    """One connection: octets in, responses out in the order of the queries.

    Attributes:
        deadline_s: When it is to be closed, by the monotonic clock.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._client = Client(bytes(4), True)
        self._family = 1
        self._received = bytearray()  # what is not answered yet
        self._turn: asyncio.Handle | None = None  # queries wait for the other connections to have theirs
        self._chase: asyncio.Task[None] | None = None  # a query waits for a name outside our zones
        self._is_paused = False  # the client does not take its responses
        self.deadline_s = time.monotonic() + server.limits.idle_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it where there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        host = str((transport.get_extra_info("peername") or ("0.0.0.0", 0))[0]).partition("%")[0]
        self._family = 2 if ":" in host else 1
        self._client = Client(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host), True)
        self._transport.set_write_buffer_limits(high=0)  # `pause_writing` as soon as anything stays unsent
        if not self._server.admit(self, self._client.address):
            self._server.counters.refused += 1
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._server.forget(self, self._client.address)
        if self._turn:
            self._turn.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._server.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take octets in and answer what is whole."""
        if not self._received:
            self._set_deadline(self._server.limits.read_s)
        self._received += self._server.read_buffer[:nbytes]
        if self._has_query():
            self._answer()

    def pause_writing(self) -> None:
        """Stop answering: the client does not take its responses."""
        self._is_paused = True
        self._set_deadline(self._server.limits.write_s)

    def resume_writing(self) -> None:
        """Go on."""
        self._is_paused = False
        self._go_on()

    def close(self) -> None:
        """Close at once; what is unsent is lost."""
        if self._transport:
            self._transport.abort()

    def _set_deadline(self, seconds: float) -> None:
        self.deadline_s = time.monotonic() + seconds

    def _has_query(self) -> bool:
        received = self._received
        return len(received) >= 2 and len(received) >= 2 + int.from_bytes(received[:2], "big")

    def _answer(self) -> None:
        """Answer what is whole, in one write, up to an amount; then it is the turn of others."""
        self._turn = None
        server, received = self._server, self._received
        server.catch_up()
        started_s = time.perf_counter()
        now_s = int(time.time())
        responses: list[bytes] = []
        out = bytearray()
        position = 0
        is_dns = True
        while len(received) - position >= 2 and len(out) < _WRITE_OCTETS:
            end = position + 2 + int.from_bytes(received[position : position + 2], "big")
            if end > len(received):
                break
            message = bytes(received[position + 2 : end])
            position = end
            response = respond(message, server.table, server.identity, self._client, now_s)
            if isinstance(response, Chase):
                self._chase = asyncio.create_task(self._answer_later(message, response))
                break
            if response is None:
                is_dns = False
                break
            out += len(response).to_bytes(2, "big") + response
            responses.append(response)
        del received[:position]
        self._send(out, responses, started_s)
        if is_dns:
            self._go_on()
        else:  # whoever speaks like this has no use for more
            server.counters.dropped += 1
            self._finish()

    def _send(self, out: bytearray, responses: list[bytes], started_s: float) -> None:
        if responses and self._transport:
            self._transport.write(out)
            self._server.counters.count(self._family, responses, time.perf_counter() - started_s)

    async def _answer_later(self, message: bytes, chase: Chase) -> None:
        """Answer one query when the resolver has spoken; those behind it wait, since order is kept."""
        from headlessdns.server.chase import respond_chased  # needs dnslib; imported only where a resolver is set

        server = self._server
        started_s = time.perf_counter()
        assert server.resolver is not None  # `Identity.has_resolver` is set with it
        chased = await server.resolver.look_up(chase)
        self._chase = None
        if self._transport is None or self._transport.is_closing():
            return
        server.catch_up()
        response = respond_chased(message, server.table, server.identity, self._client, chase, chased)
        if response is not None:
            out = bytearray(len(response).to_bytes(2, "big") + response)
            self._send(out, [response], started_s)
        self._go_on()

    def _go_on(self) -> None:
        """Decide what comes next: the other queries, or more octets.

        Nothing is read while a query waits, so the end of what the client sends is seen when all is answered and taken.
        """
        transport, limits = self._transport, self._server.limits
        if transport is None or transport.is_closing():
            return
        if self._chase is not None:
            self.deadline_s = math.inf  # it has a time limit of its own
            transport.pause_reading()
        elif self._is_paused:
            transport.pause_reading()  # `pause_writing` has set the deadline
        elif self._has_query():
            transport.pause_reading()
            self._set_deadline(limits.idle_s)
            self._turn = asyncio.get_running_loop().call_soon(self._answer)
        else:
            self._set_deadline(limits.read_s if self._received else limits.idle_s)
            transport.resume_reading()

    def _finish(self) -> None:
        """Close when all is sent."""
        self._set_deadline(self._server.limits.write_s)
        if self._transport:
            self._transport.close()


async def serve(feed: Feed) -> None:
    """Serve until the feed ends.

    Raises:
        ParentGoneError: The feed has ended.
    """
    setup = feed.load()
    gc.freeze()  # the table stays; the collector need not walk it again and again
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    limits = Limits()
    server = Server(feed.table, setup.identity, limits._replace(connections=_connections(limits.connections)))
    if setup.resolver:
        from headlessdns.server.chase import Resolver

        server.resolver = Resolver(setup.resolver)
        server.counters.resolver = server.resolver.results

    def catch_up() -> None:
        try:
            feed.apply_pending()
        except (ParentGoneError, OSError):
            loop.remove_reader(feed.socket)
            if not gone.done():
                gone.set_exception(ParentGoneError())

    server.catch_up = catch_up
    loop.add_reader(feed.socket, catch_up)
    for fd in setup.listener_fds:
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        await loop.create_server(lambda: Connection(server), sock=listener, backlog=1024)
    server.sweep()
    while not gone.done():
        feed.report(server.counters)
        await asyncio.wait([gone], timeout=REPORT_INTERVAL_S)
    gone.result()


def _connections(wanted: int) -> int:
    """Return for how many connections there are descriptors, having asked for as many as *wanted* need.

    A login shell has 1,024, of which the kernel lets a process have more if it only asks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (OSError, ValueError):  # a system may refuse what it has named as possible
            needed = soft
    return min(wanted, max(needed - _OWN_DESCRIPTORS, 1))


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
