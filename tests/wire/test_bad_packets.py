"""What is answered to broken and odd packets: the table of ``docs/bad-packets.md``, in its order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from headlessdns.wire.edns import compose_cookie
from tests.specification.rows import DEFAULT, MANIFESTS, Pure
from tests.support import CLIENT, IDENTITY, NOW_S, Server, exchange, header, opt, option, question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import Cluster

DOCUMENT = Path(__file__).parents[2] / "docs" / "bad-packets.md"
NAME = "web-0.nginx.default.svc.cluster.local"
CNAME = "out.default.svc.cluster.local"
A = question(NAME)
RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x0a"
TSIG = b"\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00"
SILENCE = None
QR, AA, RD = 0x8000, 0x0400, 0x0100
FORMERR, NXDOMAIN, NOTIMP, REFUSED = 1, 3, 4, 5


class Packet(NamedTuple):
    """A packet, and what is expected: nothing, or the first 4 octets after the ID and what else is to hold."""

    octets: bytes
    flags: int | None
    holds: Callable[[bytes], bool] = lambda response: True


def counts(response: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(response[at : at + 2], "big") for at in range(4, 12, 2))


def header_alone(response: bytes) -> bool:
    return len(response) == 12 and counts(response) == (0, 0, 0, 0)


def question_alone(response: bytes) -> bool:
    return counts(response) == (1, 0, 0, 0) and response[12:] == A


def opt_alone(response: bytes) -> bool:
    return counts(response) == (0, 0, 0, 1) and response[12:] == opt()


def question_and_opt(response: bytes) -> bool:
    return counts(response) == (1, 0, 0, 1) and response[12:] == A + opt()


def answered(response: bytes) -> bool:
    return counts(response)[:3] == (1, 1, 0) and response[12 : 12 + len(A)] == A


def answered_with_opt(response: bytes) -> bool:
    return answered(response) and response.endswith(opt())


def bad_version(response: bytes) -> bool:
    return counts(response) == (1, 0, 0, 1) and response.endswith(opt(rcode=1))


def no_records(response: bytes) -> bool:
    return counts(response) == (1, 0, 0, 0)


def denied(response: bytes) -> bool:
    return counts(response)[1:3] == (0, 1)


def plain(flags: int = RD, **sections: int) -> bytes:
    return header(flags=flags, questions=1, **sections)


def opcode(number: int, *, body: bytes = b"") -> bytes:
    return header(flags=RD | number << 11, questions=1 if body else 0) + body


def has_fresh_cookie(response: bytes) -> bool:
    """The client's cookie, our version, a time, a hash: 24 octets, the only option and the end of the message."""
    return response[-39:-16] == opt(options=option(10, bytes(24)))[:11] + b"\x00\x0a\x00\x18clientck"


ANSWERED = QR | AA | RD
EDNS = plain(additionals=1)
COOKIE = option(10, b"clientck")
BAD_SERVER_COOKIE = option(10, b"clientck" + b"\x01\x00\x00\x00" + bytes(12))

# The input as the document names it -> packets of that kind.
PACKETS: dict[str, list[Packet]] = {
    "fewer than 12 octets": [Packet(header(questions=1)[:length], SILENCE) for length in (0, 1, 2, 11)],
    "QR set": [
        Packet(plain(QR | RD) + A, SILENCE),
        Packet(header(flags=QR | FORMERR), SILENCE),
        Packet(header(flags=QR | 4 << 11, questions=1) + A, SILENCE),
    ],
    "OPCODE other than QUERY": [
        *(Packet(opcode(number), QR | RD | number << 11 | NOTIMP, header_alone) for number in range(1, 16)),
        *(Packet(opcode(number, body=A), QR | RD | number << 11 | NOTIMP, header_alone) for number in (1, 4, 5, 6)),
        *(
            Packet(header(flags=RD | number << 11, questions=questions, answers=2 * questions, additionals=1)
                   + (A + 2 * RECORD) * questions + opt(4096, options=COOKIE),
                   QR | RD | number << 11 | NOTIMP, opt_alone)
            for number in (2, 5, 15) for questions in (0, 1)
        ),
    ],
    "QDCOUNT 0": [
        Packet(header(flags=RD), QR | RD | FORMERR, header_alone),
        Packet(header(flags=RD, additionals=1) + opt(), QR | RD | FORMERR, opt_alone),
    ],
    "QDCOUNT 0 with a cookie": [
        Packet(header(flags=RD, additionals=1) + opt(options=COOKIE), QR | RD, has_fresh_cookie),
    ],
    "QDCOUNT above 1": [
        Packet(header(flags=RD, questions=2) + A + A, QR | RD | FORMERR, header_alone),
        Packet(header(flags=RD, questions=65535) + A, QR | RD | FORMERR, header_alone),
        Packet(header(flags=RD, questions=2, additionals=1) + A + A + opt(), QR | RD | FORMERR, opt_alone),
        Packet(header(flags=RD, questions=33, additionals=1) + A * 33 + opt(), QR | RD | FORMERR, header_alone),
    ],
    "TC set": [Packet(plain(RD | 0x0200) + A, ANSWERED, answered)],
    "AA, RA, Z or an RCODE set": [
        *(Packet(plain(RD | flag) + A, ANSWERED, answered) for flag in (AA, 0x0080, 0x0040, 0x000F)),
        Packet(plain(0x07FF) + A, ANSWERED, answered),
    ],
    "AD or CD set": [Packet(plain(RD | flag) + A, ANSWERED, answered) for flag in (0x0020, 0x0010, 0x0030)],
    "RD clear": [Packet(plain(0) + A, QR | AA, answered)],
    "ANCOUNT above 0": [
        Packet(plain(answers=1) + A + RECORD, QR | RD | FORMERR, question_alone),
        Packet(plain(answers=1, additionals=1) + A + RECORD + opt(), QR | RD | FORMERR, question_and_opt),
        Packet(plain(answers=1, additionals=1) + A + opt(), QR | RD | FORMERR, question_alone),
    ],
    "NSCOUNT above 0": [
        Packet(plain(authorities=1) + A + RECORD, QR | RD | FORMERR, question_alone),
        Packet(plain(authorities=1, additionals=1) + A + RECORD + opt(), QR | RD | FORMERR, question_and_opt),
    ],
    "a record in the additional section that is no OPT": [
        Packet(plain(additionals=1) + A + RECORD, QR | RD | FORMERR, question_alone),
        Packet(plain(additionals=2) + A + opt() + RECORD, QR | RD | FORMERR, question_and_opt),
        Packet(plain(additionals=2) + A + RECORD + opt(), QR | RD | FORMERR, question_and_opt),
    ],
    "TSIG": [
        Packet(plain(additionals=1) + A + TSIG, QR | RD | FORMERR, question_alone),
        Packet(plain(additionals=2) + A + opt() + TSIG, QR | RD | FORMERR, question_and_opt),
    ],
    "two OPT records": [Packet(plain(additionals=2) + A + opt() + opt(), QR | RD | FORMERR, question_and_opt)],
    "OPT of another owner than the root": [
        Packet(plain(additionals=1) + A + b"\x01x" + opt(), QR | RD | FORMERR, question_alone),
    ],
    "an EDNS option that is cut off": [
        Packet(EDNS + A + opt(options=b"\x00\x0a\x00\x08"), QR | RD | FORMERR, question_and_opt),
    ],
    "octets after the message": [
        Packet(plain() + A + b"\x00", QR | RD | FORMERR, question_alone),
        Packet(EDNS + A + opt() + b"\x00", QR | RD | FORMERR, question_and_opt),
        Packet(plain() + A + opt(), QR | RD | FORMERR, question_alone),
    ],
    "a message that is cut off in the question": [
        Packet((plain() + A)[:length], QR | RD | FORMERR, header_alone) for length in range(12, 12 + len(A))
    ],
    "a message that is cut off behind the question": [
        Packet((EDNS + A + opt(options=COOKIE))[: 12 + len(A) + length], QR | RD | FORMERR, question_alone)
        for length in range(23)
    ],
    "a compression pointer in QNAME": [
        Packet(plain() + b"\xc0\x0c" + A[-4:], QR | RD | FORMERR, header_alone),
        Packet(plain() + b"\x03www\xc0\x00" + A[-4:], QR | RD | FORMERR, header_alone),
        Packet(EDNS + b"\x03www\xc0\x0c" + A[-4:] + opt(), QR | RD | FORMERR, opt_alone),
    ],
    "a label of another type or a name over 255 octets": [
        Packet(plain() + b"\x41x" + A, QR | RD | FORMERR, header_alone),
        Packet(plain() + b"\x80" + A, QR | RD | FORMERR, header_alone),
        Packet(plain() + b"\x01a" * 128 + b"\x00" + A[-4:], QR | RD | FORMERR, header_alone),
    ],
    "QCLASS ANY": [
        Packet(plain() + question(NAME, 1, 255), QR | RD, lambda response: counts(response)[:3] == (1, 1, 0)),
        Packet(plain() + question("nope.cluster.local", 1, 255), QR | RD | NXDOMAIN, denied),
    ],
    "QCLASS CH": [
        Packet(plain() + question("version.bind", 16, 3), ANSWERED, lambda response: b"headlessdns" in response),
        Packet(plain() + question("id.server", 1, 3), ANSWERED, no_records),
        Packet(plain() + question(NAME, 1, 3), QR | RD | REFUSED, no_records),
    ],
    "another QCLASS": [
        Packet(plain() + question(NAME, 1, number), QR | RD | REFUSED, no_records)
        for number in (0, 2, 4, 254, 65280, 65535)
    ],
    "EDNS version above 0": [
        Packet(EDNS + A + opt(version=1), QR | RD, bad_version),
        Packet(EDNS + A + opt(version=255), QR | RD, bad_version),
        Packet(EDNS + A + opt(version=1, options=b"\x01"), QR | RD, bad_version),
        Packet(EDNS + A + opt(version=1, options=option(10, b"1")), QR | RD, bad_version),
    ],
    "an unknown EDNS option": [
        Packet(EDNS + A + opt(options=option(number, b"hello")), ANSWERED, answered_with_opt)
        for number in (0, 5, 8, 9, 100, 65001, 65535)
    ],
    "unknown EDNS flags": [
        Packet(EDNS + A + opt(flags=0x7FFF), ANSWERED, lambda response: response.endswith(opt())),
        Packet(EDNS + A + opt(flags=0xFFFF), ANSWERED, lambda response: response.endswith(opt(flags=0x8000))),
    ],
    "EDNS size below 512": [
        Packet(EDNS + A + opt(size), ANSWERED, answered_with_opt)
        for size in (0, 1, 511)
    ],
    "a cookie of 1 to 7, 9 to 15 or more than 40 octets": [
        Packet(EDNS + A + opt(options=option(10, bytes(size))), QR | RD | FORMERR,
               lambda response: counts(response) == (1, 0, 0, 1) and response.endswith(opt()))
        for size in (0, 1, 7, 9, 15, 41)
    ],
    "a server cookie that is old, wrong or another server's": [
        Packet(EDNS + A + opt(options=BAD_SERVER_COOKIE), ANSWERED, has_fresh_cookie),
        Packet(EDNS + A + opt(options=compose_cookie(b"clientck", 1, bytes(4), bytes(32))), ANSWERED, has_fresh_cookie),
    ],
    "QTYPE AXFR or IXFR": [
        Packet(plain() + question("cluster.local", 252), QR | RD | REFUSED),
        Packet(plain() + question("cluster.local", 251), QR | RD | REFUSED),
        Packet(plain(authorities=1) + question("cluster.local", 251) + RECORD, QR | RD | REFUSED),
    ],
    "QTYPE ANY": [
        Packet(plain() + question(NAME, 255), ANSWERED, lambda response: b"\x07RFC8482\x00" in response),
        Packet(plain() + question(CNAME, 255), ANSWERED,
               lambda response: counts(response) == (1, 1, 0, 0) and response[12 + len(question(CNAME)):][:6]
               == b"\xc0\x0c\x00\x05\x00\x01"),
        Packet(plain() + question("svc.cluster.local", 255), ANSWERED, denied),
        Packet(plain() + question("nope.cluster.local", 255), ANSWERED | NXDOMAIN, denied),
    ],
    "QTYPE 0, OPT, TSIG, MAILB or one that nobody knows": [
        Packet(plain() + question(NAME, number), ANSWERED, denied)
        for number in (0, 41, 249, 250, 253, 254, 65280, 65535)
    ],
    "a name that is not ours": [
        Packet(plain() + question(name, 1), QR | RD | REFUSED, no_records)
        for name in ("example.com", "local", "arpa", ".")
    ],
    "`. NS`": [Packet(plain() + question(".", 2), QR | RD | REFUSED, no_records)],
}  # fmt: skip
ROWS = [
    pytest.param(packet, id=f"{input}-{number}")
    for input, packets in PACKETS.items()
    for number, packet in enumerate(packets)
]


def check(packet: Packet, response: bytes | None) -> None:
    if packet.flags is None:
        assert response is None
        return
    assert response is not None
    assert response[:2] == packet.octets[:2]
    assert f"{int.from_bytes(response[2:4], 'big'):04x}" == f"{packet.flags:04x}"
    assert packet.holds(response), response


@pytest.fixture(scope="module")
def pure() -> Pure:
    return Pure(DEFAULT)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(MANIFESTS) as running:
        yield running


@pytest.mark.parametrize("packet", ROWS)
@pytest.mark.parametrize("is_stream", [False, True], ids=["UDP", "TCP"])
def test_packets(pure: Pure, packet: Packet, is_stream: bool) -> None:
    """A packet of this kind is answered as the document says, by the hot path and the long way alike."""
    check(packet, pure.exchange(packet.octets, is_stream=is_stream))


@pytest.mark.parametrize("packet", ROWS)
def test_packets_over_udp(server: Server, packet: Packet) -> None:
    """The running server answers such a packet over UDP."""
    if packet.flags is None:
        assert server.is_silent_over_udp(packet.octets)
    else:
        check(packet, server.udp(packet.octets))


@pytest.mark.parametrize("packet", ROWS)
def test_packets_over_tcp(server: Server, packet: Packet) -> None:
    """The running server answers such a packet over TCP, or closes the connection."""
    check(packet, server.tcp(packet.octets))


def test_document_has_every_row() -> None:
    """The document has a line for each kind of packet, in the order of this file."""
    lines = re.findall(r"^\| (.+?) +\|", DOCUMENT.read_text(), re.MULTILINE)
    assert [line for line in lines if line not in ("Packet", "---")] == list(PACKETS)


def test_cookies_are_those_of_the_client(cluster: Cluster) -> None:
    """A fresh cookie is made for the client's own address and the present time."""
    message = EDNS + question("nginx.default.svc.cluster.local") + opt(options=BAD_SERVER_COOKIE)
    response = exchange(cluster.table, message)
    assert response is not None
    assert response.endswith(compose_cookie(b"clientck", NOW_S, CLIENT.address, IDENTITY.cookie_secret))
