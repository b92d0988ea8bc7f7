"""One query and its response, over the network as a resolver would do it. I/O: UDP and TCP sockets.

dnslib composes the query; what the response says is the subject of `display`.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

import dnslib

from headlessdns import names
from headlessdns.config import Listen
from headlessdns.errors import HeadlessDNSError
from headlessdns.names import CanonicalName
from headlessdns.wire.edns import OPTION_NSID, UDP_SIZE_OCTETS
from headlessdns.wire.parse import HEADER_OCTETS, TC

UDP_TRIES = 3
_MAX_DATAGRAM_OCTETS = 65535


class NoReplyError(HeadlessDNSError):
    """The server did not answer; the text says how that looked from here."""


class Received(NamedTuple):
    """A response.

    Attributes:
        message: Its octets.
        seconds: From sending to receipt, of the last exchange.
        is_stream: It came over TCP.
        was_truncated: UDP had been tried, and TC was set.
    """

    message: bytes
    seconds: float
    is_stream: bool
    was_truncated: bool = False


def compose_query(qname: CanonicalName, qtype: int) -> bytes:
    """Return a query for *qname* with a random ID, EDNS and a wish for the server's identifier (RFC 5001)."""
    question = dnslib.DNSQuestion(dnslib.DNSLabel(names.split(qname)), qtype)
    query = dnslib.DNSRecord(dnslib.DNSHeader(id=secrets.randbits(16), rd=1), q=question)
    query.add_ar(dnslib.EDNS0(udp_len=UDP_SIZE_OCTETS, opts=[dnslib.EDNSOption(OPTION_NSID, b"")]))
    return bytes(query.pack())


def exchange(server: Listen, query: bytes, timeout_s: float, *, is_stream: bool = False) -> Received:
    """Send *query* and return its response: over UDP, and again over TCP where that is truncated.

    Args:
        server: Whom to ask.
        query: A whole message.
        timeout_s: For each of the tries, three of them over UDP.
        is_stream: Ask over TCP at once.

    Raises:
        NoReplyError: Nothing came that answers the query.
    """
    with _as_no_reply(server):
        if is_stream:
            return _over_tcp(server, query, timeout_s)
        received = _over_udp(server, query, timeout_s)
        if received.message[2] & TC >> 8:
            return _over_tcp(server, query, timeout_s)._replace(was_truncated=True)
        return received


@contextlib.contextmanager
def _as_no_reply(server: Listen) -> Iterator[None]:
    try:
        yield
    except ConnectionRefusedError as error:
        raise NoReplyError(f"no server is at {server}; start one with `headlessdns serve`, or name another") from error
    except TimeoutError as error:
        raise NoReplyError(f"{server} did not answer in time") from error
    except EOFError as error:
        raise NoReplyError(f"{server} closed the connection without an answer") from error
    except OSError as error:
        raise NoReplyError(f"{server} cannot be asked: {error.strerror or error}") from error


def _family(server: Listen) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server.host else socket.AF_INET


def _over_udp(server: Listen, query: bytes, timeout_s: float) -> Received:
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.connect(tuple(server))  # so that the kernel drops what others send, and tells of a closed port
        for _ in range(UDP_TRIES):
            started_s = time.monotonic()
            sock.send(query)
            with contextlib.suppress(TimeoutError):
                while True:
                    sock.settimeout(_left_s(started_s, timeout_s))
                    message = sock.recv(_MAX_DATAGRAM_OCTETS)
                    if _answers(message, query):
                        return Received(message, time.monotonic() - started_s, is_stream=False)
    raise TimeoutError


def _over_tcp(server: Listen, query: bytes, timeout_s: float) -> Received:
    started_s = time.monotonic()
    with socket.socket(_family(server), socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect(tuple(server))
        sock.sendall(struct.pack("!H", len(query)) + query)
        (length,) = struct.unpack("!H", _receive(sock, 2, started_s, timeout_s))
        message = _receive(sock, length, started_s, timeout_s)
    if not _answers(message, query):
        raise EOFError
    return Received(message, time.monotonic() - started_s, is_stream=True)


def _receive(sock: socket.socket, octets: int, started_s: float, timeout_s: float) -> bytes:
    data = b""
    while len(data) < octets:
        sock.settimeout(_left_s(started_s, timeout_s))
        more = sock.recv(octets - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _left_s(started_s: float, timeout_s: float) -> float:
    left_s = started_s + timeout_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _answers(message: bytes, query: bytes) -> bool:
    """Tell whether *message* is a response with the ID of *query*."""
    return len(message) >= HEADER_OCTETS and message[:2] == query[:2] and bool(message[2] & 0x80)
