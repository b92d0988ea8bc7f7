"""Random and mutated packets, the same ones for the same seed, and what no response to them may do."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from headlessdns import names
from tests.support import end_of_name, end_of_record, header, opt, option, question

if TYPE_CHECKING:
    from collections.abc import Iterator

_BELOW_DEFAULT = ("nope", "nginx", "web-0.nginx", "_web._tcp.nginx", "zk-headless", "anonymous", "kubernetes", "loop-a")
_WHOLE = (
    *(".", "local", "cluster.local", "svc.cluster.local", "default.svc.cluster.local", "dns-version.cluster.local"),
    *("10.0.0.10.in-addr.arpa", "10.in-addr.arpa", "9.9.9.9.in-addr.arpa", "ip6.arpa", "version.bind", "id.server"),
    *("10-244-0-1.default.pod.cluster.local", "www.example.com", "inside.default.svc.cluster.local"),
    *("out.default.svc.cluster.local", "missing.default.svc.cluster.local"),
)
QNAMES = (*(f"{name}.default.svc.cluster.local" for name in _BELOW_DEFAULT), *_WHOLE)
NAMES = [names.from_text(text) for text in QNAMES]
QTYPES = (1, 1, 28, 28, 33, 2, 6, 12, 16, 5, 65, 255, 251, 252, 41, 250, 0, 65535)
_COOKIES = (option(10, b"12345678"), option(10, bytes(24)), option(10, b"1"))
OPTIONS = (b"", b"", *_COOKIES, option(3), option(8, bytes(7)), option(12, bytes(40)))


def query(rng: random.Random) -> bytes:
    """Return a query that is mostly well-formed."""
    body = question(rng.choice(NAMES), rng.choice(QTYPES), rng.choice((1, 1, 1, 1, 1, 3, 255, 0)))
    flags = rng.choice((0, 0x0100, 0x0100, 0x0120, 0x0130, 0x0200, 0x0040))
    if rng.random() < 0.5:
        return header(rng.getrandbits(16), flags, 1) + body
    sizes = (512, 1232, 4096, 0, rng.getrandbits(16))
    record = opt(
        rng.choice(sizes),
        version=rng.choice((0, 0, 0, 0, 1)),
        flags=rng.choice((0, 0, 0x8000, 0x00FF)),
        options=b"".join(rng.choices(OPTIONS, k=rng.randrange(3))),
    )
    return header(rng.getrandbits(16), flags, 1, 0, 0, 1) + body + record


def _flip(rng: random.Random, packet: bytearray) -> None:
    for _ in range(rng.randint(1, 4)):
        packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, packet: bytearray) -> None:
    for _ in range(rng.randint(1, 3)):
        packet[rng.randrange(len(packet))] = rng.choice((0, 1, 12, 63, 64, 0x29, 0x41, 0xC0, 0xFF, rng.getrandbits(8)))


def _cut(rng: random.Random, packet: bytearray) -> None:
    del packet[rng.randrange(len(packet)) :]


def _insert(rng: random.Random, packet: bytearray) -> None:
    at = rng.randrange(len(packet) + 1)
    packet[at:at] = rng.randbytes(rng.randint(1, 8))


def _append(rng: random.Random, packet: bytearray) -> None:
    packet += rng.randbytes(rng.randint(1, 64))


def _repeat(rng: random.Random, packet: bytearray) -> None:
    start = rng.randrange(len(packet))
    packet += packet[start : start + rng.randint(1, 60)]


def _point(rng: random.Random, packet: bytearray) -> None:
    at = rng.randrange(12, max(13, len(packet)))
    packet[at : at + 2] = bytes((0xC0 | rng.randrange(2), rng.randrange(64)))


def _counts(rng: random.Random, packet: bytearray) -> None:
    packet[4:12] = b"".join(rng.choice((0, 0, 1, 2, 65535)).to_bytes(2, "big") for _ in range(4))


def _case(rng: random.Random, packet: bytearray) -> None:
    for at in range(12, len(packet)):
        if 0x61 <= packet[at] <= 0x7A and rng.random() < 0.5:
            packet[at] ^= 0x20


MUTATIONS = (_flip, _flip, _set, _cut, _insert, _append, _repeat, _point, _counts, _case)


def packets(count: int, seed: int = 8906) -> Iterator[bytes]:
    """Yield *count* packets: a tenth random octets, a tenth whole queries, the rest mutated ones."""
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.randrange(10)
        if kind == 0:
            yield rng.randbytes(rng.choice((0, 1, 11, 12, 13, 30, 100, 512, rng.randrange(1500))))
            continue
        packet = bytearray(query(rng))
        for _ in range(0 if kind == 1 else rng.randint(1, 3)):
            if packet:
                rng.choice(MUTATIONS)(rng, packet)
        yield bytes(packet)


def fault(packet: bytes, response: bytes | None, *, is_stream: bool = False) -> str:
    """Return what is wrong with *response* as a response to *packet*, or nothing."""
    must_be_silent = len(packet) < 12 or bool(packet[2] & 0x80)
    if response is None:
        return "" if must_be_silent else "silence where something was asked"
    if must_be_silent:
        return "a reply to what is no query"
    if response[:2] != packet[:2]:
        return "another ID"
    if not response[2] & 0x80:
        return "no response"
    if (response[2] ^ packet[2]) & 0x79:
        return "another OPCODE or RD"
    limit = 65535 if is_stream else limit_octets(packet)
    if len(response) > limit:
        return f"{len(response)} octets where {limit} are taken"
    return "" if walks(response) else "sections that do not end with the message"


def limit_octets(packet: bytes) -> int:
    """Return how many octets a response to *packet* may have over UDP: what its OPT record says, if it has one."""
    if packet[4:12] != b"\x00\x01\x00\x00\x00\x00\x00\x01":
        return 1232 if packet[4:12] == b"\x00\x00\x00\x00\x00\x00\x00\x01" else 512
    try:
        end = end_of_name(packet, 12) + 4
    except IndexError:
        return 512
    if packet[end : end + 3] != b"\x00\x00\x29":
        return 512
    return min(1232, max(512, int.from_bytes(packet[end + 3 : end + 5], "big")))


def walks(response: bytes) -> bool:
    """Tell whether the sections of *response* have the records that its header counts, and nothing follows them."""
    questions, *records = (int.from_bytes(response[at : at + 2], "big") for at in range(4, 12, 2))
    at = 12
    try:
        for _ in range(questions):
            at = end_of_name(response, at) + 4
        for _ in range(sum(records)):
            at = end_of_record(response, at)
    except IndexError:
        return False
    return at == len(response)
