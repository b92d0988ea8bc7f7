"""DNS over TCP: the connections of a stream worker, with clients on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, cast

import dns.message
import dns.rcode
import pytest

from headlessdns.server.stream import Connection, Limits, Server
from headlessdns.wire.respond import Chase, Chased
from tests.server.serving import framed
from tests.support import IDENTITY, Cluster, endpoint, endpoint_slice, external, header, namespace, question, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WEB_0 = "web-0.nginx.default.svc.cluster.local"
MANY = "many.default.svc.cluster.local"  # 4,000 addresses
MANY_OCTETS = 64048
OUTSIDE = "outside.default.svc.cluster.local"
AXFR, IXFR = 252, 251
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")

CLUSTER = Cluster(
    namespace(),
    service(),
    endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]),
    service("many"),
    *(
        endpoint_slice(
            "many", [endpoint(f"10.1.{part}.{host}") for host in range(1, 201)], name=f"many-{part}", ports=()
        )
        for part in range(20)
    ),
    external("outside", "www.example.com"),
)


class Client:
    """One connection to the server under test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    def close(self) -> None:
        self.writer.transport.abort()

    async def read(self) -> dns.message.Message:
        """Return the next response."""
        return dns.message.from_wire(await self.read_octets())

    async def read_octets(self) -> bytes:
        """Return the next response.

        Raises:
            EOFError: The server has closed the connection.
        """
        length = int.from_bytes(await self.reader.readexactly(2), "big")
        return await self.reader.readexactly(length)

    async def ask(self, qname: str = WEB_0, id: int = 1) -> dns.message.Message:
        self.send(query(qname, id))
        return await self.read()

    async def lifetime_s(self) -> float:
        """Return the seconds until the server closes the connection without another octet."""
        start_s = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert await self.reader.read() == b""
        return time.monotonic() - start_s


class Running:
    """The server and how to reach it."""

    def __init__(self, server: Server, port: int, stack: contextlib.AsyncExitStack) -> None:
        self.server, self._port, self._stack = server, port, stack

    async def connect(self, source: str = "127.0.0.1", *, read_limit: int = 1 << 16) -> Client:
        client = Client(
            *await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0), limit=read_limit)
        )
        self._stack.callback(client.close)
        return client

    async def connect_narrow(self) -> Client:
        """Return a client that reads nothing, over a connection whose kernel buffers are as small as may be."""
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        reader, writer = await asyncio.open_connection(sock=sock)
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        client = Client(reader, writer)
        self._stack.callback(client.close)
        return client


@contextlib.asynccontextmanager
async def running(limits: Limits | None, resolver: object, *, is_narrow: bool) -> AsyncIterator[Running]:
    identity = IDENTITY if resolver is None else IDENTITY.__class__(has_resolver=True)
    server = Server(CLUSTER.table, identity, limits)
    server.resolver = resolver  # type: ignore[assignment]  # of the same shape
    listening = socket.create_server(("127.0.0.1", 0))
    if is_narrow:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), sock=listening)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        server.sweep()
        yield Running(server, listener.sockets[0].getsockname()[1], stack)
    for connection in server.connections:
        connection.close()
    await until(lambda: not server.connections)


async def until(check: Callable[[], object]) -> None:
    """Wait until *check* gives something true; the test's own time limit ends it."""
    for _ in range(3000):
        if check():
            return
        await asyncio.sleep(0.01)


def query(qname: str = WEB_0, id: int = 1, qtype: int = 1) -> bytes:
    return framed(header(id, questions=1) + question(qname, qtype))


def run(
    test: Callable[[Running], Awaitable[None]],
    limits: Limits | None = None,
    resolver: object = None,
    *,
    is_narrow: bool = False,
) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), running(limits, resolver, is_narrow=is_narrow) as server:
            await test(server)

    asyncio.run(main())


def addresses(response: dns.message.Message) -> list[str]:
    return [record.address for rrset in response.answer for record in rrset]


# Framing and order


def test_queries_in_one_segment_are_answered_in_order() -> None:
    """100 queries that come at once get 100 responses, in the order of the queries."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(b"".join(query(id=id) for id in range(100)))
        responses = [await client.read() for _ in range(100)]
        assert [response.id for response in responses] == list(range(100))
        assert {tuple(addresses(response)) for response in responses} == {("10.0.0.1",)}

    run(test)


def test_a_query_may_come_apart_anywhere() -> None:
    """Two queries whose octets come apart at any place are both answered."""
    octets = query(id=1) + query("no.default.svc.cluster.local", id=2)

    async def halves(server: Running, at: int) -> list[tuple[int, int]]:
        client = await server.connect()
        client.send(octets[:at])
        await asyncio.sleep(0.005)
        client.send(octets[at:])
        responses = [await client.read() for _ in range(2)]
        client.close()
        return [(response.id, response.rcode()) for response in responses]

    async def test(server: Running) -> None:
        expected = [(1, dns.rcode.NOERROR), (2, dns.rcode.NXDOMAIN)]
        for at in range(1, len(octets)):
            assert await halves(server, at) == expected, at

    run(test)


def test_octet_by_octet_is_as_good_as_at_once() -> None:
    """A query that comes in single octets is answered."""

    async def test(server: Running) -> None:
        client = await server.connect()
        for octet in query():
            client.send(bytes([octet]))
            await asyncio.sleep(0.001)
        assert addresses(await client.read()) == ["10.0.0.1"]

    run(test)


def test_others_have_their_turn_between_the_queries_of_one() -> None:
    """A client that asks much at once does not keep others waiting until all of it is answered."""

    async def test(server: Running) -> None:
        greedy, modest = await server.connect(), await server.connect()
        await modest.ask()
        greedy.send(query(MANY) * 200 + query(id=7))  # 12 MB of responses
        assert len(addresses(await greedy.read())) == 4000
        await modest.ask()
        assert any(connection._received for connection in server.server.connections), "all of it was answered before"
        left = [await greedy.read_octets() for _ in range(200)]
        assert [len(response) for response in left] == [MANY_OCTETS] * 199 + [71]
        assert dns.message.from_wire(left[-1]).id == 7

    run(test)


# What is refused, and what is no DNS


@pytest.mark.parametrize("qtype", [pytest.param(AXFR, id="AXFR"), pytest.param(IXFR, id="IXFR")])
def test_a_zone_transfer_is_refused(qtype: int) -> None:
    """AXFR and IXFR of our zone are REFUSED, and the connection stays open."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(query("cluster.local", qtype=qtype))
        assert (await client.read()).rcode() == dns.rcode.REFUSED
        assert (await client.ask()).rcode() == dns.rcode.NOERROR

    run(test)


NO_DNS = [
    pytest.param(framed(b""), id="a message of no octets"),
    pytest.param(framed(bytes(11)), id="less than a header"),
    pytest.param(framed(header(flags=0x8000, questions=1) + question(WEB_0)), id="a response"),
    pytest.param(b"\x00\x10" + b"\xff" * 100, id="all ones"),
]


@pytest.mark.parametrize("octets", NO_DNS)
def test_whoever_sends_no_query_is_closed(octets: bytes) -> None:
    """What came before a message that is no query is answered; then the connection is closed, and it is counted."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(query(id=5) + octets + query(id=6))
        assert (await client.read()).id == 5
        assert await client.lifetime_s() < 1
        assert server.server.counters.report().dropped == 1
        assert server.server.counters.report().by_kind == {(1, 0, 1): 1}

    run(test)


def test_a_message_of_65535_octets_is_answered() -> None:
    """The longest message that a length prefix allows is read, and is FORMERR."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(framed(header(9, questions=1) + question(WEB_0) + bytes(65535 - 12 - 43)))
        response = await client.read()
        assert (response.id, response.rcode()) == (9, dns.rcode.FORMERR)
        assert (await client.ask()).rcode() == dns.rcode.NOERROR

    run(test)


# Time limits

SHORT = Limits(idle_s=0.3, read_s=0.15, write_s=0.2, sweep_s=0.01)
LONG = Limits(idle_s=20, read_s=20, write_s=20, sweep_s=0.01)

SILENCES = [
    pytest.param(LONG._replace(idle_s=0.3), b"", id="nothing at all: idle"),
    pytest.param(LONG._replace(idle_s=0.3), query(), id="a query: idle"),
    pytest.param(LONG._replace(read_s=0.3), b"\x00", id="one octet: read"),
    pytest.param(LONG._replace(read_s=0.3), b"\xff\xff", id="a length: read"),
    pytest.param(LONG._replace(read_s=0.3), b"\xff\xff" + bytes(1000), id="the begin of a message: read"),
    pytest.param(LONG._replace(read_s=0.3), query() + b"\x00", id="a query and one octet: read"),
    pytest.param(LONG._replace(read_s=0.3), b"GET / HTTP/1.1\r\nHost: dns\r\n\r\n", id="another protocol: read"),
]


@pytest.mark.parametrize(("limits", "octets"), SILENCES)
def test_silence_is_closed_when_its_time_is_over(limits: Limits, octets: bytes) -> None:
    """A connection is closed when it has been idle, or has not finished a message, for as long as the limit says."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(octets)
        if octets.startswith(query()):
            await client.read()
        assert 0.25 < await client.lifetime_s() < 1.5

    run(test, limits)


def test_a_query_now_and_then_keeps_a_connection() -> None:
    """Each query begins the idle time anew."""

    async def test(server: Running) -> None:
        client = await server.connect()
        for _ in range(6):
            await asyncio.sleep(0.1)
            await client.ask()
        assert await client.lifetime_s() > 0.2

    run(test, SHORT)


def test_octets_that_trickle_do_not_keep_a_connection() -> None:
    """The time for a message runs from its first octet, not from its last."""

    async def test(server: Running) -> None:
        client = await server.connect()
        for octet in query()[:-1]:
            client.send(bytes([octet]))
            await asyncio.sleep(0.02)
            if not server.server.connections:
                break
        assert not server.server.connections, "the connection outlived a query that took 1.1 s"

    run(test, SHORT)


@pytest.mark.parametrize("count", [pytest.param(2, id="128 KB"), pytest.param(500, id="32 MB")])
def test_whoever_does_not_take_responses_is_closed(count: int) -> None:
    """A client that asks and never reads is closed when the time for writing is over, however little it is."""

    async def test(server: Running) -> None:
        client = await server.connect_narrow()
        client.send(query(MANY) * count)
        await until(lambda: server.server.connections)
        start_s = time.monotonic()
        await until(lambda: not server.server.connections)
        assert 0.15 < time.monotonic() - start_s < 5

    run(test, LONG._replace(write_s=0.2), is_narrow=True)


def test_a_slow_reader_gets_everything() -> None:
    """A client that takes its responses slowly, but takes them, gets all of them whole."""

    async def test(server: Running) -> None:
        client = await server.connect(read_limit=1 << 12)
        client.send(query(MANY) * 100)
        for _ in range(100):
            assert len(await client.read_octets()) == MANY_OCTETS
            await asyncio.sleep(0.005)
        assert (await client.ask()).rcode() == dns.rcode.NOERROR

    run(test, LONG._replace(write_s=2))


# Half-close


@pytest.mark.parametrize(
    ("qname", "count", "octets"),
    [pytest.param(WEB_0, 100, 71, id="short responses"), pytest.param(MANY, 200, MANY_OCTETS, id="12 MB")],
)
def test_a_client_that_has_said_all_gets_its_responses(qname: str, count: int, octets: int) -> None:
    """A client that closes its sending side gets every response, and then the end of the connection at once."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(query(qname) * count)
        client.writer.write_eof()
        assert [len(await client.read_octets()) for _ in range(count)] == [octets] * count
        assert await client.lifetime_s() < 1

    run(test, LONG)


def test_a_client_that_leaves_in_the_middle_of_a_query_is_forgotten() -> None:
    """The end of the connection inside a message closes it at once."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(query()[:-3])
        client.writer.write_eof()
        assert await client.lifetime_s() < 1
        assert not server.server.connections

    run(test, LONG)


# How many


def test_connections_of_one_client_are_limited() -> None:
    """One connection too many of a client is closed at once and counted; those before it and other clients go on."""

    async def test(server: Running) -> None:
        clients = [await server.connect() for _ in range(3)]
        assert await (await server.connect()).lifetime_s() < 1
        for client in clients:
            await client.ask()
        await (await server.connect("127.0.0.2")).ask()
        assert server.server.counters.report().refused == 1
        clients[0].writer.close()
        await until(lambda: len(server.server.connections) == 3)
        await (await server.connect()).ask()

    run(test, LONG._replace(connections_per_client=3))


def test_connections_in_all_are_limited() -> None:
    """One connection too many of all clients together is closed at once, whoever opened it."""

    async def test(server: Running) -> None:
        clients = [await server.connect(host) for host in HOSTS for _ in range(2)]
        assert await (await server.connect("127.0.0.4")).lifetime_s() < 1
        for client in clients:
            await client.ask()
        assert server.server.counters.report().refused == 1

    run(test, LONG._replace(connections=6, connections_per_client=2))


def test_what_ended_is_not_counted() -> None:
    """A client that opens and closes connections one after the other never meets its limit."""

    async def test(server: Running) -> None:
        for _ in range(20):
            client = await server.connect()
            await client.ask()
            client.writer.close()
            await until(lambda: not server.server.connections)
        assert not server.server.per_client
        assert server.server.counters.report().refused == 0

    run(test, LONG._replace(connections_per_client=1))


# The feed, and names outside our zones


def test_the_table_is_brought_up_to_date_before_each_answer() -> None:
    """What the feed has brought is applied before a query is answered, although its socket was not looked at yet."""

    async def test(server: Running) -> None:
        client = await server.connect()
        steps = []
        server.server.catch_up = lambda: steps.append(len(steps))
        await client.ask()
        assert steps == [0]
        client.send(query() * 2)
        await client.read()
        await client.read()
        assert len(steps) in (2, 3)

    run(test)


class SlowResolver:
    """Finds one address after a while."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self.asked = 0

    async def look_up(self, chase: Chase) -> Chased:
        self.asked += 1
        await asyncio.sleep(self._delay_s)
        rdata = b"\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\xc0\x00\x02\x01"
        return Chased(chase.target + rdata, 1)


def test_queries_behind_one_that_waits_keep_their_order() -> None:
    """A query for a name outside our zones holds up those behind it on its connection, and no other connection."""

    async def test(server: Running) -> None:
        client, other = await server.connect(), await server.connect()
        client.send(query(OUTSIDE, 1) + query(WEB_0, 2) + query(OUTSIDE, 3))
        start_s = time.monotonic()
        await other.ask()
        assert time.monotonic() - start_s < 0.2
        responses = [await client.read() for _ in range(3)]
        assert [response.id for response in responses] == [1, 2, 3]
        assert [addresses(response) for response in responses[1:2]] == [["10.0.0.1"]]
        assert [record.to_text() for record in responses[0].answer[1]] == ["192.0.2.1"]

    run(test, LONG, SlowResolver(0.3))


def test_a_client_that_has_said_all_gets_what_it_waits_for() -> None:
    """A client that closes its sending side while a name is asked for gets that response, too."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(query(OUTSIDE, 1) + query(WEB_0, 2))
        client.writer.write_eof()
        assert [(await client.read()).id for _ in range(2)] == [1, 2]
        assert await client.lifetime_s() < 1

    run(test, LONG, SlowResolver(0.2))


def test_a_client_that_leaves_while_a_name_is_asked_for_is_forgotten() -> None:
    """A connection that ends while its query waits leaves nothing behind."""

    async def test(server: Running) -> None:
        client = await server.connect()
        client.send(query(OUTSIDE))
        await asyncio.sleep(0.05)
        client.writer.transport.abort()
        await until(lambda: not server.server.connections)
        assert (await (await server.connect()).ask()).rcode() == dns.rcode.NOERROR

    run(test, LONG, SlowResolver(0.2))


@pytest.mark.parametrize(
    "queries",
    [
        pytest.param(query(OUTSIDE), id="a name is asked for"),
        pytest.param(query(MANY), id="a response is not taken"),
        pytest.param(query(MANY) * 500, id="responses are not taken"),
    ],
)
def test_what_a_client_sends_ahead_is_bounded(queries: bytes) -> None:
    """While a query cannot be answered nothing more is read, so a client cannot fill the server's memory."""

    async def test(server: Running) -> None:
        client = await server.connect_narrow()
        client.send(queries)
        await asyncio.sleep(0.2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while sent < 64 << 20:
                    client.send(query() * 10_000)
                    await client.writer.drain()
                    sent += len(query()) * 10_000
        assert sent < 32 << 20  # what the kernel holds
        (connection,) = server.server.connections
        assert len(connection._received) < 128 << 10

    run(test, LONG, SlowResolver(20), is_narrow=True)


# Descriptors

ASK_FOR_DESCRIPTORS = """\
import resource
from headlessdns.server import stream
print(stream._connections(2000), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
DESCRIPTORS = [
    pytest.param("ulimit -S -n 1024", "2000 2064", id="a login shell's 1,024 are raised"),
    pytest.param("ulimit -S -n 3000", "2000 3000", id="what is enough stays"),
    pytest.param("ulimit -S -n 1024 && ulimit -H -n 2064", "2000 2064", id="exactly enough"),
    pytest.param("ulimit -n 1024", "960 1024 1024", id="where no more may be had, fewer connections are taken"),
    pytest.param("ulimit -n 64", "1 64 64", id="next to none"),
]


@pytest.mark.parametrize(("limit", "expected"), DESCRIPTORS)
def test_as_many_descriptors_are_asked_for_as_connections_need(limit: str, expected: str) -> None:
    """The worker raises its soft limit of descriptors, or takes as many connections as there are descriptors for."""
    command = ["sh", "-c", f'{limit} && exec "$@"', "-", sys.executable, "-c", ASK_FOR_DESCRIPTORS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(expected), done.stdout
