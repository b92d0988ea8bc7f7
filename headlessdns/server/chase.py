"""CNAME targets outside our zones, asked of a resolver off the hot path.

Neither CoreDNS' forward plugin nor a stub resolver follows a CNAME in an answer that it got, so an ExternalName would
resolve to nothing. I/O: one UDP socket a question, or TCP where the answer is cut; `headlessdns.wire` decides what is
sent.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

import dnslib
from dnslib.label import DNSBuffer  # `dnslib.label` itself is a function of that name

from headlessdns.records.rrset import Type
from headlessdns.wire import edns
from headlessdns.wire.answers import Table
from headlessdns.wire.edns import Ede
from headlessdns.wire.parse import Rcode
from headlessdns.wire.respond import Chase, Chased, Client, Identity, respond

TIMEOUT_S = 1.0  # a forwarder in front gives up after 2 s
MAX_IN_FLIGHT = 512  # different questions; beyond that it is SERVFAIL, at once
CACHE_SIZE = 4096
NEGATIVE_TTL_S = 5
_MAX_TTL_S = 300
_TTL_AT = 4  # behind the owner name: type, class, TTL (RFC 1035 §3.2.1)


def _failed(code: Ede, text: str) -> Chased:
    """Return that nothing is known of a target, and why.

    The CNAME alone with NOERROR would say that there is no address, which is not true and would be kept (RFC 2308 §5).
    """
    return Chased(rcode=Rcode.SERVFAIL, options=edns.compose_ede(code, text))


# What came of a question, by the words that the metrics have for it.
ANSWERS = {int(rcode): rcode.name for rcode in (Rcode.NOERROR, Rcode.NXDOMAIN)}
_REFUSALS = {int(rcode): rcode.name for rcode in (Rcode.SERVFAIL, Rcode.REFUSED)}
OTHER, TIMEOUT, NETWORK_ERROR, UNREADABLE, OVERLOAD = "other", "timeout", "network error", "unreadable", "overload"
FAILURES = {
    "SERVFAIL": _failed(Ede.NO_REACHABLE_AUTHORITY, "the resolver answers SERVFAIL"),
    "REFUSED": _failed(Ede.NO_REACHABLE_AUTHORITY, "the resolver answers REFUSED"),
    OTHER: _failed(Ede.NO_REACHABLE_AUTHORITY, "the resolver answers with an error"),
    TIMEOUT: _failed(Ede.NO_REACHABLE_AUTHORITY, "the resolver does not answer"),
    NETWORK_ERROR: _failed(Ede.NETWORK_ERROR, "the resolver cannot be reached"),
    UNREADABLE: _failed(Ede.NETWORK_ERROR, "the resolver's answer cannot be read"),
    OVERLOAD: _failed(Ede.OTHER, "too many questions wait for the resolver"),
}
RESULTS = (*ANSWERS.values(), *FAILURES)
MOVED = _failed(Ede.OTHER, "the name leads elsewhere by now")


class Found(NamedTuple):
    """What a resolver said, and how long it may be kept.

    Attributes:
        chased: What is sent.
        ttls: Each TTL in ``chased.records``: its offset and its seconds.
        keep_s: For how long all of it is true.
        soa_ttls: The TTL in ``chased.soa``, if that is there.
        result: Which of `RESULTS` it is.
    """

    chased: Chased
    ttls: tuple[tuple[int, int], ...] = ()
    keep_s: int = NEGATIVE_TTL_S
    soa_ttls: tuple[tuple[int, int], ...] = ()
    result: str = "NOERROR"

    def aged(self, age_s: int) -> Chased:
        """Return what is sent *age_s* seconds later: TTLs count down, else they would begin anew at every hand."""
        chased = self.chased
        return chased._replace(
            records=_aged(chased.records, self.ttls, age_s), soa=_aged(chased.soa, self.soa_ttls, age_s)
        )


def _aged(octets: bytes, ttls: tuple[tuple[int, int], ...], age_s: int) -> bytes:
    records = bytearray(octets)
    for at, ttl_s in ttls:
        records[at : at + 4] = max(ttl_s - age_s, 0).to_bytes(4, "big")
    return bytes(records)


class Resolver:
    """Asks one recursive resolver; answers are kept for their TTL, equal questions in flight are asked once.

    Attributes:
        results: How many questions came to what, by `RESULTS`; every key is there from the beginning.
    """

    def __init__(
        self, address: tuple[str, int], timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._clock = clock
        self.results = dict.fromkeys(RESULTS, 0)
        self._in_flight: dict[Chase, asyncio.Task[Chased]] = {}
        self._cache: dict[Chase, tuple[float, Found]] = {}

    def known(self, chase: Chase) -> Chased | None:
        """Return what is known of *chase* already, or None. Safe to call from another thread."""
        kept = self._cache.get(chase)
        if kept is None:
            return None
        since_s, found = kept
        age_s = self._clock() - since_s
        return found.aged(int(age_s)) if age_s < found.keep_s else None

    async def look_up(self, chase: Chase) -> Chased:
        """Return what the resolver says of *chase*, or why it says nothing. Never raises."""
        known = self.known(chase)
        if known is not None:
            return known
        task = self._in_flight.get(chase)
        if task is None:
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return self.overloaded()
            task = asyncio.create_task(self._ask(chase))
            self._in_flight[chase] = task
            task.add_done_callback(lambda _: self._in_flight.pop(chase, None))
        return await asyncio.shield(task)

    def overloaded(self) -> Chased:
        """Return what is said of a question that is not asked, since too many wait."""
        return self._fail(OVERLOAD)

    def _fail(self, result: str) -> Chased:
        self.results[result] += 1
        return FAILURES[result]

    async def _ask(self, chase: Chase) -> Chased:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._exchange(compose_question(chase))
        except TimeoutError:
            return self._fail(TIMEOUT)
        except (OSError, asyncio.IncompleteReadError):
            return self._fail(NETWORK_ERROR)
        found = read_response(response)
        if found is None:
            return self._fail(UNREADABLE)
        self.results[found.result] += 1
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[chase] = self._clock(), found
        return found.chased

    async def _exchange(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (host, port))  # the kernel drops what others send; the port is random
            await loop.sock_sendall(sock, query)
            while not _answers(response := await loop.sock_recv(sock, 65535), query):
                pass
        return await self._exchange_stream(query) if response[2] & 0x02 else response

    async def _exchange_stream(self, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            response = await reader.readexactly(length)
        finally:
            writer.transport.abort()  # nothing is under way any more that could be lost
        if not _answers(response, query):
            raise ConnectionError("the resolver answered another question")
        return response


def _answers(response: bytes, query: bytes) -> bool:
    """Tell whether *response* is one to *query*: the ID, a response, the question (RFC 5452 §9.1)."""
    is_response = len(response) >= len(query) and bool(response[2] & 0x80)
    return is_response and response[:2] == query[:2] and response[12 : len(query)].lower() == query[12:].lower()


def compose_question(chase: Chase) -> bytes:
    """Return a recursive query for *chase* with a random ID."""
    header = struct.pack("!6H", secrets.randbits(16), 0x0100, 1, 0, 0, 0)
    return header + chase.target + struct.pack("!2H", chase.qtype, 1)


def read_response(response: bytes) -> Found | None:
    """Return the answer section of *response*, and the SOA record of a denial; None where it cannot be read."""
    try:
        message = dnslib.DNSRecord.parse(response)
        rcode = int(message.header.rcode)
        if rcode not in ANSWERS:
            result = _REFUSALS.get(rcode, OTHER)
            return Found(FAILURES[result], result=result)
        records, ttls = _plain(message.rr)
        soa, soa_ttls = _plain(_denial(message))
    except Exception:  # it raises many kinds on malformed octets, RecursionError among them
        return None
    kept_s = [ttl_s for _, ttl_s in ttls + soa_ttls]
    keep_s = min(*kept_s, _MAX_TTL_S) if ttls else min(*kept_s, NEGATIVE_TTL_S, _MAX_TTL_S)
    return Found(Chased(records, len(ttls), rcode, soa), ttls, keep_s, soa_ttls, ANSWERS[rcode])


def _denial(message: dnslib.DNSRecord) -> list[dnslib.RR]:
    """Return the SOA record of a denial (RFC 2308 §2), its TTL the time for which the denial may be kept."""
    if any(record.rtype == message.q.qtype for record in message.rr):
        return []
    found = [record for record in message.auth if record.rtype == Type.SOA][:1]
    for record in found:
        record.ttl = min(record.ttl, record.rdata.times[-1], _MAX_TTL_S)
    return found


def _plain(records: list[dnslib.RR]) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """Return *records* in octets, names uncompressed, with the offset and the seconds of each TTL."""
    octets = bytearray()
    ttls = []
    for record in records:
        buffer = _PlainBuffer()
        record.pack(buffer)
        owner = _PlainBuffer()
        owner.encode_name(record.rname)
        ttls.append((len(octets) + len(owner) + _TTL_AT, int(record.ttl)))
        octets += buffer.data
    return bytes(octets), tuple(ttls)


class _PlainBuffer(DNSBuffer):  # type: ignore[misc]  # dnslib ships no types
    """Composes without pointers: they would point into the resolver's message."""

    def encode_name(self, name: dnslib.DNSLabel) -> None:
        self.encode_name_nocompress(name)


def respond_chased(
    message: bytes, table: Table, identity: Identity, client: Client, chase: Chase, chased: Chased
) -> bytes | None:
    """Return the response to a query that waited for *chase*.

    The table may have changed meanwhile; what was found is sent only if the name still leads to the same target, and
    a target that is new is for the next query to find.
    """
    now_s = int(time.time())
    again = respond(message, table, identity, client, now_s)
    if isinstance(again, Chase):
        again = respond(message, table, identity, client, now_s, chased if again == chase else MOVED)
    assert not isinstance(again, Chase)  # with `chased` given there is nothing to ask for
    return again
