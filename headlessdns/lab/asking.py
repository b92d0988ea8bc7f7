"""What the lab's DNS answers right now, asked over UDP as anybody would. Does network I/O."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import NamedTuple, cast

import dnslib

from headlessdns.config import Listen

TIMEOUT_S = 1.0
NO_ANSWER = "no answer"
_TYPES = (dnslib.QTYPE.A, dnslib.QTYPE.AAAA)


class _Question(NamedTuple):
    name: str
    qtype: int


class Asker(asyncio.DatagramProtocol):
    """Asks one server, many names at once."""

    def __init__(self, server: Listen) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[int, asyncio.Future[str | list[str]]] = {}

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
        questions = [_Question(name, qtype) for name in dict.fromkeys(names) for qtype in types]
        replies = await asyncio.gather(*(self._ask(one) for one in questions))
        found: dict[str, str | list[str]] = {}
        for question, reply in zip(questions, replies, strict=True):
            before = found.get(question.name)
            if isinstance(before, list) and isinstance(reply, list):
                before += reply
            elif not isinstance(before, list) or not before:
                found[question.name] = reply
        return {
            name: reply if isinstance(reply, str) else ", ".join(reply) or "NODATA" for name, reply in found.items()
        }

    async def _ask(self, question: _Question) -> str | list[str]:
        """Return the addresses, or why there are none."""
        assert self._transport is not None
        while (id := secrets.randbits(16)) in self._waiting:
            pass
        query = dnslib.DNSRecord(dnslib.DNSHeader(id=id), q=dnslib.DNSQuestion(question.name, question.qtype))
        reply: asyncio.Future[str | list[str]] = asyncio.get_running_loop().create_future()
        self._waiting[id] = reply
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    self._transport.sendto(query.pack())
                    return await reply
            return NO_ANSWER
        finally:
            del self._waiting[id]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take in a response."""
        try:
            record = dnslib.DNSRecord.parse(data)
        except (dnslib.DNSError, UnicodeDecodeError):
            return
        reply = self._waiting.get(record.header.id)
        if reply is None or reply.done():
            return
        if record.header.rcode:
            reply.set_result(dnslib.RCODE.get(record.header.rcode))
        else:
            reply.set_result([str(one.rdata) for one in record.rr if one.rtype in _TYPES])

    def error_received(self, exc: Exception) -> None:
        """Let the question run into its time-out: nobody listens there any more."""
