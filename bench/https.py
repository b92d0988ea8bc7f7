"""A client that costs next to nothing: ready-made requests over TLS, answers that are hardly looked at.

What is measured with it is the server, which gets the other core. I/O: sockets.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

DEADLINE_S = 120.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_RECORD_OCTETS = 16_384  # as much as TLS gives at once


class Address(NamedTuple):
    """Where a server is, and what it takes to be let in.

    Attributes:
        url: Such as ``https://127.0.0.1:6443``.
        token: A bearer token.
        authority: The certificates that vouch for it, PEM.
    """

    url: str
    token: str
    authority: str

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
        """Return a request in full."""
        head = [
            f"{method} {path} HTTP/1.1",
            f"Host: {urlsplit(self.url).netloc}",
            f"Authorization: Bearer {self.token}",
        ]
        head += ["User-Agent: bench/1", "Accept: application/json"]
        if body:
            head += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*head, "", ""]).encode() + body


class Connection:
    """One connection, which is kept alive.

    Attributes:
        answer: What came of the present answer, head and body.
    """

    def __init__(self, address: Address) -> None:
        where = urlsplit(address.url)
        assert where.hostname
        plain = socket.create_connection((where.hostname, where.port or 443))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cadata=address.authority)
        self.socket = context.wrap_socket(plain, server_hostname=where.hostname)
        self.socket.setblocking(False)
        self.answer = bytearray()
        self._end = 0

    def send(self, request: bytes) -> None:
        """Send *request*, which has to fit into the socket's buffer."""
        self.answer.clear()
        self._end = 0
        self.socket.send(request)

    def read(self) -> bytes:
        """Return what has come.

        Raises:
            EOFError: The server has hung up.
        """
        found = []
        with contextlib.suppress(ssl.SSLWantReadError):
            while octets := self.socket.recv(_RECORD_OCTETS):
                found.append(octets)
                if not self.socket.pending():
                    break
            else:
                raise EOFError("the server has hung up")
        return b"".join(found)

    def is_answered(self) -> bool:
        """Read, and tell whether the whole answer is there.

        Raises:
            RuntimeError: Its status is not 2xx.
        """
        self.answer += self.read()
        if not self._end and (head := self.answer.find(_HEAD_END)) > 0:
            if self.answer[9:10] != b"2":
                raise RuntimeError(self.answer.decode(errors="replace"))
            length = _LENGTH.search(self.answer, 0, head + 2)
            self._end = head + len(_HEAD_END) + int(length[1]) if length else -1
        if self._end < 0:
            return self.answer.endswith(_LAST_CHUNK)
        return 0 < self._end <= len(self.answer)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@contextlib.contextmanager
def connected(address: Address, count: int) -> Iterator[list[Connection]]:
    """Give so many connections."""
    connections = [Connection(address) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def until(connections: Iterable[Connection], is_done: Callable[[Connection], bool]) -> None:
    """Call *is_done* with each connection when something has come, until it has said so of all.

    Raises:
        TimeoutError: Nothing came for a long time.
    """
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            ready = selector.select(DEADLINE_S)
            if not ready:
                raise TimeoutError(f"nothing has come for {DEADLINE_S:g} s")
            for key, _ in ready:
                if is_done(key.data):
                    selector.unregister(key.fileobj)


def send_all(connections: list[Connection], requests: Iterable[bytes]) -> float:
    """Send all *requests*, one at a time on each connection, and return how many seconds it took."""
    waiting = iter(requests)
    started_s = time.perf_counter()
    busy = []
    for connection, request in zip(connections, waiting, strict=False):
        connection.send(request)
        busy.append(connection)

    def is_done(connection: Connection) -> bool:
        if not connection.is_answered():
            return False
        request = next(waiting, None)
        if request is not None:
            connection.send(request)
        return request is None

    until(busy, is_done)
    return time.perf_counter() - started_s


def ask(connection: Connection, request: bytes) -> bytes:
    """Send one request and return the answer, head and body."""
    connection.send(request)
    until([connection], Connection.is_answered)
    return bytes(connection.answer)
