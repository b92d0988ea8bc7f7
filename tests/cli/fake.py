"""A DNS server of a test's own: it says what the test wants, right or wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import dns.flags
import dns.message

from headlessdns.config import Listen


def reply_to(query: bytes, *, truncated: bool = False) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(query))
    if truncated:
        response.flags |= dns.flags.TC
    return response.to_wire()


Handle = Callable[[bytes], list[bytes]]


def on_udp(sock: socket.socket, handle: Handle) -> None:
    """Answer until an empty datagram comes."""
    while True:
        query, address = sock.recvfrom(4096)
        if not query:
            return
        for message in handle(query):
            sock.sendto(message, address)


def on_tcp(sock: socket.socket, handle: Handle) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = sock.accept()
            with connection:
                query = connection.recv(4096)[2:]
                for data in handle(query):
                    connection.sendall(data)


@contextlib.contextmanager
def server(udp: Handle | None = None, tcp: Handle | None = None) -> Iterator[Listen]:
    """Serve on one port of both protocols; TCP hands out raw octets."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        stream.bind(("127.0.0.1", 0))
        stream.listen()
        port = stream.getsockname()[1]
        datagram.bind(("127.0.0.1", port))
        threads = [
            threading.Thread(target=serve, args=(sock, handle))
            for serve, sock, handle in ((on_udp, datagram, udp), (on_tcp, stream, tcp))
            if handle
        ]
        for thread in threads:
            thread.start()
        try:
            yield Listen("127.0.0.1", port)
        finally:
            stream.shutdown(socket.SHUT_RDWR)
            datagram.sendto(b"", ("127.0.0.1", port))
            for thread in threads:
                thread.join()


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message
