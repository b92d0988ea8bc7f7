"""Random and mutated packets: no crash, no hang, no reply to a reply, no reply over 512 octets or the EDNS size.

``FUZZ_PACKETS`` is how many are sent (50,000 where it is not set), ``FUZZ_SEED`` chooses others.
"""

from __future__ import annotations

import os
import socket
import time
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.packets import fault, packets
from tests.specification.rows import DEFAULT, MANIFESTS, Pure
from tests.support import Server, header, question

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = int(os.environ.get("FUZZ_PACKETS", "50000"))
SEED = int(os.environ.get("FUZZ_SEED", "8906"))
BURST = 64  # queries on their way at a time, so that no buffer of the kernel overflows
A = question("web-0.nginx.default.svc.cluster.local")
ADDRESS = b"\x0a\x00\x00\x0a"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(MANIFESTS) as running:
        yield running


def is_well(response: bytes | None) -> bool:
    """Tell whether *response* has the address of web-0."""
    return response is not None and response[3] & 15 == 0 and ADDRESS in response


@pytest.mark.timeout(0)
@pytest.mark.parametrize("is_stream", [False, True], ids=["UDP", "TCP"])
def test_table(is_stream: bool) -> None:
    """Whatever comes, the table gives a sound response or silence, and both ways give the same."""
    pure = Pure(DEFAULT)
    for packet in packets(COUNT if not is_stream else COUNT // 5, SEED):
        response = pure.exchange(packet, is_stream=is_stream)
        assert not fault(packet, response, is_stream=is_stream), packet.hex()
    assert is_well(pure.exchange(header(questions=1) + A, is_stream=is_stream))


@pytest.mark.timeout(0)
def test_server_over_udp(server: Server) -> None:
    """A running server answers every packet as soundly, is well behind it, and its worker was never replaced."""
    found = packets(COUNT, SEED + 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(server.address)
        sock.settimeout(10)
        while burst := list(islice(found, BURST)):
            check_burst(sock, burst)
    assert is_well(server.udp(header(questions=1) + A))
    assert "a new one starts" not in server.log.read_text()


def check_burst(sock: socket.socket, burst: list[bytes]) -> None:
    """Send *burst*, each packet under an ID of its own, and check each response; a last question closes it."""
    numbered = {}
    for number, packet in enumerate(burst):
        if len(packet) >= 2:
            packet = number.to_bytes(2, "big") + packet[2:]
            numbered[packet[:2]] = packet
        sock.send(packet)
    last = header(id=0xFFFF, questions=1) + A
    sock.send(last)
    while (response := sock.recv(65535))[:2] != last[:2]:
        packet = numbered.pop(response[:2], None)
        assert packet is not None, f"a second reply: {response.hex()}"
        assert not fault(packet, response), packet.hex()
    assert is_well(response)
    for packet in numbered.values():
        assert not fault(packet, None), packet.hex()


@pytest.mark.timeout(0)
def test_server_over_tcp(server: Server) -> None:
    """Over TCP a packet is answered or its connection is closed, and the next connection is served."""
    for packet in packets(COUNT // 25, SEED + 2):
        response = server.tcp(packet)
        assert not fault(packet, response, is_stream=True), packet.hex()
    assert is_well(server.tcp(header(questions=1) + A))
    assert "a new one starts" not in server.log.read_text()


def test_broken_streams(server: Server) -> None:
    """Octets that are no messages at all leave the server well: lengths without a message, messages without an end."""
    http = b"GET / HTTP/1.1\r\n\r\n"
    for octets in (b"\x00", b"\x00\x00", b"\xff\xff", b"\x00\x0c" + bytes(5), b"\x00\x00" * 1000, http):
        with socket.create_connection(server.address, 5) as stream:
            stream.sendall(octets)
            stream.shutdown(socket.SHUT_WR)
            stream.settimeout(10)
            started_s = time.monotonic()
            try:
                while stream.recv(65535):
                    pass
            except ConnectionError:
                pass
            assert time.monotonic() - started_s < 8
    assert is_well(server.tcp(header(questions=1) + A))


def test_packets_are_the_same_for_a_seed() -> None:
    """A failure can be had again: the same seed gives the same packets, another one others."""
    assert list(packets(200, 1)) == list(packets(200, 1))
    assert list(packets(200, 1)) != list(packets(200, 2))


def test_packets_are_of_every_kind() -> None:
    """The packets hold whole queries, broken ones, responses and what is too short."""
    found = list(packets(5000, SEED))
    assert sum(len(packet) < 12 for packet in found) > 100
    assert sum(len(packet) >= 12 and bool(packet[2] & 0x80) for packet in found) > 100
    pure = Pure(DEFAULT)
    rcodes = [response[3] & 15 for packet in found if (response := pure.exchange(packet, is_stream=False))]
    assert {rcode: rcodes.count(rcode) > 50 for rcode in (0, 1, 3, 4, 5)} == dict.fromkeys((0, 1, 3, 4, 5), True)


@pytest.mark.parametrize(
    ("packet", "response", "expected"),
    [
        pytest.param(header(flags=0x8000), header(flags=0x8000), "a reply to what is no query", id="reply-to-a-reply"),
        pytest.param(header()[:11], header(flags=0x8000), "a reply to what is no query", id="reply-to-a-stub"),
        pytest.param(header(questions=1) + A, None, "silence where something was asked", id="silence"),
        pytest.param(header(questions=1) + A, header(id=1, flags=0x8000), "another ID", id="another-ID"),
        pytest.param(header(questions=1) + A, header(), "no response", id="QR"),
        pytest.param(header(questions=1) + A, header(flags=0x8800), "another OPCODE or RD", id="OPCODE"),
        pytest.param(header(questions=1) + A, header(flags=0x8000) + bytes(501), "513 octets where 512", id="512"),
        pytest.param(header(questions=1) + A, header(flags=0x8000) + b"\x00", "sections that do not end", id="more"),
        pytest.param(header(questions=1) + A, header(flags=0x8000, answers=1), "sections that do not end", id="less"),
        pytest.param(header(questions=1) + A, header(flags=0x8000), "", id="sound"),
    ],
)
def test_faults_are_found(packet: bytes, response: bytes | None, expected: str) -> None:
    """The check that all of this rests on finds each fault."""
    assert fault(packet, response).startswith(expected)
    assert bool(fault(packet, response)) == bool(expected)
