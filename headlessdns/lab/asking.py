"""What the lab's DNS answers right now, asked over UDP as anybody would. Does network I/O."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import NamedTuple, cast

import dnslib
from dnslib.label import DNSLabelError

from headlessdns.config import Listen

TIMEOUT_S = 1.0
ATTEMPTS = 2  # a datagram may be lost
NO_ANSWER = "no answer"
_TYPES = (dnslib.QTYPE.A, dnslib.QTYPE.AAAA)
_AT_ONCE = 100  # more may not fit into the buffer of a socket
_MAX_REMEMBERED = 20_000
_ID_OCTETS = 2

Reply = str | list[str]  # the RCODE, or addresses


class _Question(NamedTuple):
    name: str
    qtype: int


class Asker(asyncio.DatagramProtocol):
    """Asks one server, many names at once. A reply that is the same as the last one, octet by octet, is not read."""

    def __init__(self, server: Listen) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._queries: dict[_Question, bytes] = {}
        self._last: dict[_Question, tuple[bytes, Reply]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def open(self) -> None:
        """Make the socket."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, remote_addr=(self._server.host, self._server.port))

    def close(self) -> None:
        """Close it; what is asked gets no answer."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, names: Sequence[str], *, with_ipv6: bool = False) -> dict[str, str]:
        """Return for each of *names* its addresses, joined by commas, or the RCODE, or that there is no answer.

        Args:
            names: Without the dot at the end.
            with_ipv6: Whether AAAA is asked for, too.
        """
        types = _TYPES if with_ipv6 else _TYPES[:1]
        if len(self._queries) > _MAX_REMEMBERED:  # names come and go
            self._queries.clear()
            self._last.clear()
        questions = [_Question(name, qtype) for name in dict.fromkeys(names) for qtype in types]
        replies = await asyncio.gather(*(self._ask(one) for one in questions))
        by_name: dict[str, list[Reply]] = {}
        for question, reply in zip(questions, replies, strict=True):
            by_name.setdefault(question.name, []).append(reply)
        return {name: _joined(found) for name, found in by_name.items()}

    async def _ask(self, question: _Question) -> Reply:
        """Return the addresses, or why there are none."""
        try:
            query = self._queries.get(question) or _query(question)
        except (dnslib.DNSError, DNSLabelError, UnicodeError):
            return "no name that can be asked for"
        self._queries[question] = query
        async with self._turn:
            for _ in range(ATTEMPTS):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUT_S):
                        return self._read(question, await self._send(query))
        return NO_ANSWER

    async def _send(self, query: bytes) -> bytes:
        """Send *query*, which is without its ID, and return the response without it."""
        while (id := secrets.token_bytes(_ID_OCTETS)) in self._waiting:
            pass
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[id] = reply
        try:
            assert self._transport is not None
            self._transport.sendto(id + query)
            return await reply
        finally:
            del self._waiting[id]

    def _read(self, question: _Question, response: bytes) -> Reply:
        last = self._last.get(question)
        if last is not None and last[0] == response:
            return last[1]
        try:
            record = dnslib.DNSRecord.parse(bytes(_ID_OCTETS) + response)
        except (dnslib.DNSError, DNSLabelError, UnicodeError):
            return "no DNS message"
        rcode = record.header.rcode
        addresses = [str(one.rdata) for one in record.rr if one.rtype in _TYPES]
        reply: Reply = dnslib.RCODE.get(rcode) if rcode else addresses
        self._last[question] = response, reply
        return reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take in a response."""
        reply = self._waiting.get(data[:_ID_OCTETS])
        if reply is not None and not reply.done():
            reply.set_result(data[_ID_OCTETS:])

    def error_received(self, exc: Exception) -> None:
        """Let the question run into its time-out: nobody listens there any more."""


def _query(question: _Question) -> bytes:
    query = dnslib.DNSRecord(q=dnslib.DNSQuestion(question.name, question.qtype))
    return bytes(query.pack()[_ID_OCTETS:])


def _joined(replies: Sequence[Reply]) -> str:
    """Return all addresses, or else what was said first."""
    addresses = [address for reply in replies if not isinstance(reply, str) for address in reply]
    words = [reply for reply in replies if isinstance(reply, str)]
    return ", ".join(addresses) or (words[0] if words else "NODATA")
