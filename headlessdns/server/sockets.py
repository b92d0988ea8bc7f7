"""Listening sockets. I/O: binds.

The TCP socket is bound first and without SO_REUSEPORT: it is the lock. With SO_REUSEPORT alone a second server of the
same user would bind silently and take part of the queries (socket(7)).
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from collections.abc import Sequence

from headlessdns.errors import HeadlessDNSError

_TRIES = 20  # for port 0: a port that is free on TCP may be taken on UDP
# Port 0 is one of these, below the range from which systems give ports to clients. One that sets SO_REUSEPORT (dig
# does) could be given a port of ours from that range, and would then get its own query back as the answer.
_ANY = range(20_000, 32_000)
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Linux; Python 3.14 names it
_RECEIVE_BUFFER_OCTETS = 4 << 20  # the kernel cuts this to net.core.rmem_max
_BACKLOG = 1024


class ListenError(HeadlessDNSError):
    """An address cannot be bound; the text says what to do."""


def is_wildcard(host: str) -> bool:
    """Tell whether *host* means every local address."""
    return host in ("0.0.0.0", "::")


def family(host: str) -> socket.AddressFamily:
    """Return the address family of the literal *host*."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def show(host: str, port: int) -> str:
    """Return an address for a person: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind_listeners(addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
    """Bind TCP on every address and see that UDP is free there, too.

    Args:
        addresses: Host literals and ports; port 0 takes any that is free on both.

    Raises:
        ListenError: An address cannot be had.
    """
    listeners: list[socket.socket] = []
    try:
        for host, port in addresses:
            listeners.append(_bind_pair(host, port))  # those bound so far are closed on an error
    except ListenError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bind_pair(host: str, port: int) -> socket.socket:
    for attempt in range(_TRIES):
        listener = _new_socket(host, port, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for TIME_WAIT
            if listener.family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port or random.choice(_ANY)))
            listener.listen(_BACKLOG)
            bound = listener.getsockname()[1]
            with socket.socket(family(host), socket.SOCK_DGRAM) as probe:
                if probe.family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, bound))
        except OSError as error:
            listener.close()
            if port == 0 and error.errno == errno.EADDRINUSE and attempt + 1 < _TRIES:
                continue
            raise ListenError(_explain(host, port, error)) from error
        return listener
    raise AssertionError("unreachable: the last attempt raises")


def _new_socket(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    try:
        return socket.socket(family(host), kind)
    except OSError as error:  # the kernel was started without IPv6
        raise ListenError(_explain(host, port, error)) from error


def _explain(host: str, port: int, error: OSError) -> str:
    where = show(host, port)
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: another server is there; stop it, or choose another port with --listen"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"cannot listen on {where}: ports below 1024 need a right that this user lacks; choose a port from 1024 "
            "on with --listen, or grant CAP_NET_BIND_SERVICE, or lower net.ipv4.ip_unprivileged_port_start"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {where}: this machine has no such address; --listen wants one of its own"
    if error.errno == errno.EAFNOSUPPORT:
        return f"cannot listen on {where}: this machine has no IPv6; choose an IPv4 address with --listen"
    return f"cannot listen on {where}: {error.strerror}; choose another address with --listen"


def bind_datagram(host: str, port: int) -> socket.socket:
    """Return a worker's own UDP socket on an address whose TCP side is bound; several workers share the port."""
    sock = socket.socket(family(host), socket.SOCK_DGRAM)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_OCTETS)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if is_wildcard(host) and sys.platform == "linux":
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock
