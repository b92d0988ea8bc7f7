"""CNAME targets outside our zones, asked of a resolver off the hot path.

Neither CoreDNS' forward plugin nor a stub resolver follows a CNAME in an answer that it got, so an ExternalName would
resolve to nothing. I/O: one UDP socket, or TCP where the answer is cut; `headlessdns.wire` decides what is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time

import dnslib

from headlessdns import names
from headlessdns.names import CanonicalName
from headlessdns.wire.parse import Rcode
from headlessdns.wire.respond import Chase, Chased

TIMEOUT_S = 1.0  # a forwarder in front gives up after 2 s
MAX_IN_FLIGHT = 512  # beyond that only the CNAME is sent, at once
CACHE_SIZE = 4096
NEGATIVE_TTL_S = 5
_NOTHING = Chased()
_MAX_TTL_S = 300


class Resolver:
    """Asks one recursive resolver; answers are kept for their TTL, equal questions in flight are asked once."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._in_flight: dict[Chase, asyncio.Task[Chased]] = {}
        self._cache: dict[Chase, tuple[float, Chased]] = {}

    async def look_up(self, chase: Chase) -> Chased:
        """Return what the resolver says of *chase*; nothing when it does not say it in time. Never raises."""
        known = self._cache.get(chase)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        task = self._in_flight.get(chase)
        if task is None:
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return _NOTHING
            task = asyncio.create_task(self._ask(chase))
            self._in_flight[chase] = task
            task.add_done_callback(lambda _: self._in_flight.pop(chase, None))
        return await asyncio.shield(task)

    async def _ask(self, chase: Chase) -> Chased:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._exchange(compose_question(chase))
                chased, ttl_s = read_response(response)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, dnslib.DNSError, ValueError, IndexError):
            return _NOTHING
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[chase] = time.monotonic() + min(ttl_s, _MAX_TTL_S), chased
        return chased

    async def _exchange(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (host, port))  # the kernel drops what others send; the port is random
            await loop.sock_sendall(sock, query)
            while True:
                response = await loop.sock_recv(sock, 65535)
                if response[:2] == query[:2] and response[12 : len(query)].lower() == query[12:].lower():
                    break
        if not response[2] & 0x02:
            return response
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return await reader.readexactly(length)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def compose_question(chase: Chase) -> bytes:
    """Return a recursive query for *chase* with a random ID."""
    header = struct.pack("!6H", secrets.randbits(16), 0x0100, 1, 0, 0, 0)
    return header + chase.target + struct.pack("!2H", chase.qtype, 1)


def read_response(response: bytes) -> tuple[Chased, int]:
    """Return the answer section of *response* and the seconds for which it may be kept.

    Raises:
        dnslib.DNSError: The response breaks the format.
    """
    message = dnslib.DNSRecord.parse(response)
    rcode = int(message.header.rcode)
    if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return _NOTHING, NEGATIVE_TTL_S
    records = b""
    ttls = [NEGATIVE_TTL_S] if not message.rr else []
    for record in message.rr:
        records += _uncompressed(record)
        ttls.append(int(record.ttl))
    return Chased(records, len(message.rr), rcode), min(ttls)


def _uncompressed(record: dnslib.RR) -> bytes:
    """Return *record* in octets with no pointer in it: they would point into the resolver's message."""
    owner = _name(record.rname)
    if isinstance(record.rdata, dnslib.CNAME):  # PTR and NS are the same class to dnslib
        rdata: bytes = _name(record.rdata.label)
    elif isinstance(record.rdata, dnslib.SRV):
        srv = record.rdata
        rdata = struct.pack("!3H", srv.priority, srv.weight, srv.port) + _name(srv.target)
    elif isinstance(record.rdata, dnslib.MX):
        rdata = struct.pack("!H", record.rdata.preference) + _name(record.rdata.label)
    else:
        buffer = dnslib.label.DNSBuffer()
        record.rdata.pack(buffer)
        rdata = bytes(buffer.data)
    return owner + struct.pack("!HHIH", record.rtype, record.rclass, record.ttl, len(rdata)) + rdata


def _name(label: dnslib.DNSLabel) -> CanonicalName:
    return names.join(list(label.label))
