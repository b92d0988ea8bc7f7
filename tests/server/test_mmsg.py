"""Many datagrams per system call, over loopback."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from headlessdns.server import sockets
from headlessdns.server.mmsg import BATCH, IN_OCTETS, IS_AVAILABLE, OUT_OCTETS, DatagramBatch
from tests.peers.process import wait_until
from tests.server.serving import require_address

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="recvmmsg and sendmmsg are of 64-bit Linux; run it there")

BINDINGS = [
    pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
    pytest.param("::1", "::1", id="IPv6"),
    pytest.param("0.0.0.0", "127.0.0.1", id="IPv4 wildcard"),
    pytest.param("0.0.0.0", "127.0.0.7", id="IPv4 wildcard, another address"),
    pytest.param("::", "::1", id="IPv6 wildcard"),
]


class Served:
    """A server's socket with its batch, and clients that are connected to one of its addresses.

    A connected client takes datagrams only from the address that it asked.
    """

    def __init__(self, host: str, asked: str, stack: contextlib.ExitStack) -> None:
        require_address(asked)
        self.socket = stack.enter_context(sockets.bind_datagram(host, 0))
        self.batch = DatagramBatch(self.socket, is_wildcard=sockets.is_wildcard(host))
        self._asked = (asked, self.socket.getsockname()[1])
        self._stack = stack

    def client(self) -> socket.socket:
        client = self._stack.enter_context(socket.socket(self.socket.family, socket.SOCK_DGRAM))
        client.settimeout(5)
        client.connect(self._asked)
        return client

    def receive(self, count: int) -> list[bytes]:
        """Return the datagrams of one batch, when *count* have come."""
        lengths: list[int] = []
        wait_until(lambda: lengths or lengths.extend(self.batch.receive()), f"{count} datagrams", 5)
        assert len(lengths) == count
        return [bytes(self.batch.received[slot * IN_OCTETS :][:length]) for slot, length in enumerate(lengths)]

    def put(self, slot: int, datagram: bytes) -> None:
        """Lay *datagram* into an out slot."""
        self.batch.to_send[slot * OUT_OCTETS : slot * OUT_OCTETS + len(datagram)] = datagram
        self.batch.out_lengths[2 * slot + 1] = len(datagram)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(("host", "asked"), BINDINGS)
def test_more_than_one_batch_comes_in_several(stack: contextlib.ExitStack, host: str, asked: str) -> None:
    """150 datagrams come as 64, 64 and 22, in order and with their own lengths; then nothing is there."""
    served = Served(host, asked, stack)
    client = served.client()
    sent = [bytes([number]) * number for number in range(150)]
    for datagram in sent:
        client.send(datagram)
    assert served.receive(64) + served.receive(64) + served.receive(22) == sent
    assert served.batch.receive() == []


@pytest.mark.parametrize(("host", "asked"), BINDINGS)
def test_each_response_goes_to_its_client_from_the_address_that_was_asked(
    stack: contextlib.ExitStack, host: str, asked: str
) -> None:
    """Each of 64 clients gets the response to its own query, from where it sent that query, batch after batch."""
    served = Served(host, asked, stack)
    clients = [served.client() for _ in range(BATCH)]
    for turn in range(2):
        for number, client in enumerate(clients):
            client.send(bytes([turn, number]))
        for slot, query in enumerate(served.receive(BATCH)):
            served.put(slot, b"to " + query)
            served.batch.answer_from(slot, slot)
        assert served.batch.send(BATCH) == 0
        assert [client.recv(100) for client in clients] == [b"to " + bytes([turn, n]) for n in range(BATCH)]


@pytest.mark.parametrize(("host", "asked"), BINDINGS)
def test_a_response_may_go_out_of_another_slot(stack: contextlib.ExitStack, host: str, asked: str) -> None:
    """Where queries without a response lie in between, the others move up and still reach their clients."""
    served = Served(host, asked, stack)
    clients = [served.client() for _ in range(9)]
    for number, client in enumerate(clients):
        client.send(bytes([number]))
    out = 0
    for slot, query in enumerate(served.receive(9)):
        if slot % 3:
            served.put(out, query)
            served.batch.answer_from(out, slot)
            out += 1
    assert served.batch.send(out) == 0
    for number, client in enumerate(clients):
        client.settimeout(5 if number % 3 else 0.01)
        with contextlib.nullcontext() if number % 3 else pytest.raises(TimeoutError):
            assert client.recv(100) == bytes([number])


@pytest.mark.parametrize(("host", "asked"), BINDINGS)
def test_a_response_may_come_later(stack: contextlib.ExitStack, host: str, asked: str) -> None:
    """An envelope outlives the slot it was taken from, and a response sent to it disturbs none of the next batch."""
    served = Served(host, asked, stack)
    first, second, third = (served.client() for _ in range(3))
    first.send(b"1")
    second.send(b"2")
    served.receive(2)
    envelopes = [served.batch.envelope(slot) for slot in range(2)]
    third.send(b"3")
    served.receive(1)
    served.put(0, b"to the third")
    served.batch.answer_from(0, 0)
    assert served.batch.send(1) == 0
    assert served.batch.receive() == []
    assert served.batch.send_later(envelopes[1], b"to the second") == 0
    assert served.batch.send_later(envelopes[0], b"to the first") == 0
    assert (first.recv(100), second.recv(100)) == (b"to the first", b"to the second")
    assert third.recv(100) == b"to the third"
    third.send(b"4")
    assert served.receive(1) == [b"4"]
    served.put(0, b"again")
    served.batch.answer_from(0, 0)
    assert served.batch.send(1) == 0
    assert third.recv(100) == b"again"


@pytest.mark.parametrize(("host", "asked"), BINDINGS)
def test_a_client_is_known_by_its_address(stack: contextlib.ExitStack, host: str, asked: str) -> None:
    """The client's packed address has 4 or 16 octets."""
    served = Served(host, asked, stack)
    client = served.client()
    client.send(b"x")
    served.receive(1)
    assert served.batch.client(0) == socket.inet_pton(client.family, client.getsockname()[0])


SIZES = [
    pytest.param(b"", b"", id="none"),
    pytest.param(bytes(IN_OCTETS), bytes(IN_OCTETS), id="a full slot"),
    pytest.param(bytes(IN_OCTETS + 1), bytes(IN_OCTETS), id="one octet too many is cut off"),
    pytest.param(b"\xff" * 60000, b"\xff" * IN_OCTETS, id="a large datagram is cut off"),
]


@pytest.mark.parametrize(("sent", "expected"), SIZES)
def test_a_datagram_stays_in_its_slot(stack: contextlib.ExitStack, sent: bytes, expected: bytes) -> None:
    """A datagram that is longer than its slot is cut off, and the next one begins in its own."""
    served = Served("127.0.0.1", "127.0.0.1", stack)
    client = served.client()
    client.send(sent)
    client.send(b"next")
    assert served.receive(2) == [expected, b"next"]


def test_a_response_that_the_kernel_refuses_is_lost_alone(stack: contextlib.ExitStack) -> None:
    """Where one response cannot be sent, it is counted and those around it are sent."""
    served = Served("127.0.0.1", "127.0.0.1", stack)
    clients = [served.client() for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(bytes([number]))
    for slot, query in enumerate(served.receive(3)):
        served.put(slot, query)
    served.batch.addresses[28 + 4 : 28 + 8] = b"\xff\xff\xff\xff"  # a broadcast, which needs a right of its own
    assert served.batch.send(3) == 1
    assert [clients[0].recv(10), clients[2].recv(10)] == [b"\x00", b"\x02"]
    broadcast = socket.AF_INET.to_bytes(2, sys.byteorder) + bytes(2) + b"\xff" * 4 + bytes(8)
    assert served.batch.send_later((broadcast, b""), b"x") == 1
