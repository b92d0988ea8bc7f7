"""Binding: what is a lock, what is shared, and what a person is told when an address cannot be had."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from headlessdns.server import sockets
from headlessdns.server.sockets import ListenError
from tests.peers.process import free_port
from tests.server.serving import require_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listen(stack: contextlib.ExitStack, *addresses: tuple[str, int]) -> list[int]:
    """Bind *addresses* and return the ports."""
    listeners = sockets.bind_listeners(addresses)
    for listener in listeners:
        stack.callback(listener.close)
    return [listener.getsockname()[1] for listener in listeners]


HOSTS = [pytest.param(host, id=host) for host in ("127.0.0.1", "0.0.0.0", "::1", "::")]


@pytest.mark.parametrize("host", HOSTS)
def test_port_0_is_one_that_is_free_for_both(stack: contextlib.ExitStack, host: str) -> None:
    """With port 0 a port is found that UDP can have, too."""
    require_address(host)
    (port,) = listen(stack, (host, 0))
    assert port
    with sockets.bind_datagram(host, port) as datagram:
        assert datagram.getsockname()[:2] == (host, port)


@pytest.mark.parametrize("host", HOSTS)
def test_workers_share_the_port_of_udp(stack: contextlib.ExitStack, host: str) -> None:
    """Several workers bind the same UDP port."""
    require_address(host)
    (port,) = listen(stack, (host, 0))
    for _ in range(3):
        stack.enter_context(sockets.bind_datagram(host, port))


def test_both_wildcards_go_together(stack: contextlib.ExitStack) -> None:
    """0.0.0.0 and :: bind the same port, each for its family only."""
    require_address("::1")
    (port,) = listen(stack, ("0.0.0.0", 0))
    assert listen(stack, ("::", port)) == [port]
    stack.enter_context(sockets.bind_datagram("0.0.0.0", port))
    stack.enter_context(sockets.bind_datagram("::", port))


def test_any_port_is_none_of_those_that_clients_get(stack: contextlib.ExitStack) -> None:
    """Port 0 is one below those that Linux gives to clients: one that shares its port would get its query back."""
    ports = listen(stack, *[("127.0.0.1", 0)] * 50)
    assert all(20_000 <= port < 32_000 for port in ports)
    assert len(set(ports)) == 50


TAKEN = "another server is there; stop it, or choose another port with --listen"
OTHERS: list[object] = [
    pytest.param(lambda stack, port: listen(stack, ("127.0.0.1", port)), id="a server like ours"),
    pytest.param(lambda stack, port: listen(stack, ("0.0.0.0", port)), id="a server like ours on every address"),
    pytest.param(
        lambda stack, port: stack.enter_context(socket.create_server(("127.0.0.1", port))), id="TCP of another program"
    ),
    pytest.param(lambda stack, port: stack.enter_context(bound(socket.SOCK_DGRAM, port)), id="UDP of another program"),
    pytest.param(
        lambda stack, port: stack.enter_context(sockets.bind_datagram("127.0.0.1", port)),
        id="UDP of workers without a server",
    ),
]


def bound(kind: socket.SocketKind, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", port))
    return sock


@pytest.mark.parametrize("take", OTHERS)
def test_a_port_that_is_taken_is_said_to_be(
    stack: contextlib.ExitStack, take: Callable[[contextlib.ExitStack, int], object]
) -> None:
    """A port that another program has over UDP or TCP cannot be had, and one line says so."""
    port = free_port()
    take(stack, port)
    with pytest.raises(ListenError) as caught:
        sockets.bind_listeners([("127.0.0.1", port)])
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: {TAKEN}"


def test_what_was_bound_before_a_fault_is_given_back(stack: contextlib.ExitStack) -> None:
    """When the second address cannot be had the first is free again."""
    first, second = free_port(), free_port()
    listen(stack, ("127.0.0.1", second))
    with pytest.raises(ListenError):
        sockets.bind_listeners([("127.0.0.1", first), ("127.0.0.1", second)])
    assert listen(stack, ("127.0.0.1", first)) == [first]


def test_a_port_is_free_at_once_after_its_server(stack: contextlib.ExitStack) -> None:
    """A connection of an earlier server that lingers (TIME_WAIT) does not keep a new one from the port."""
    (listener,) = sockets.bind_listeners([("127.0.0.1", 0)])
    port = listener.getsockname()[1]
    with listener, socket.create_connection(("127.0.0.1", port)) as client:
        connection, _ = listener.accept()
        connection.close()  # the side that closes first lingers
        assert client.recv(1) == b""
    assert listen(stack, ("127.0.0.1", port)) == [port]


def test_an_address_of_another_machine_is_said_to_be(stack: contextlib.ExitStack) -> None:
    """An address that this machine does not have cannot be listened on."""
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:1053: this machine has no such address"):
        listen(stack, ("192.0.2.1", 1053))


EXPLAINED = [
    pytest.param(("::1", 53), errno.EACCES, "cannot listen on [::1]:53: ports below 1024 need a right", id="EACCES"),
    pytest.param(("127.0.0.1", 53), errno.EPERM, "cannot listen on 127.0.0.1:53: ports below 1024", id="EPERM"),
    pytest.param(("::", 53), errno.EAFNOSUPPORT, "cannot listen on [::]:53: this machine has no IPv6", id="no IPv6"),
    pytest.param(("::", 53), errno.EMFILE, "cannot listen on [::]:53: Too many open files", id="anything else"),
]


@pytest.mark.parametrize(("address", "number", "expected"), EXPLAINED)
def test_each_fault_is_one_line_that_says_what_to_do(address: tuple[str, int], number: int, expected: str) -> None:
    """The text names the address and the reason, ends with what to do, and is one line."""
    text = sockets._explain(*address, OSError(number, "Too many open files"))
    assert text.startswith(expected)
    assert "--listen" in text
    assert "\n" not in text


def test_a_kernel_without_ipv6_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even a socket can be had, the same kind of error is raised."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr("headlessdns.server.sockets.socket.socket", refuse)
    with pytest.raises(ListenError, match="this machine has no IPv6"):
        sockets.bind_listeners([("::1", 53)])


SHOWN = [
    pytest.param("127.0.0.1", 53, "127.0.0.1:53", id="IPv4"),
    pytest.param("::1", 53, "[::1]:53", id="IPv6 in brackets"),
]


@pytest.mark.parametrize(("host", "port", "expected"), SHOWN)
def test_an_address_is_shown_as_people_write_it(host: str, port: int, expected: str) -> None:
    """An IPv6 address stands in brackets before its port."""
    assert sockets.show(host, port) == expected
