"""Many questions to one server at once, over UDP, and what it says to each.

Queries are composed by hand and replies without an answer section are not parsed, since half a million of them have
to go by in a minute; whatever holds records is read by dnspython. Does network I/O.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Sequence

IN_FLIGHT = 64  # questions at a time: their replies fit into the buffer of a socket
PATIENCE_S = 2.0  # until what has no reply yet is asked again
ATTEMPTS = 3
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"  # 1232 octets, no flags, no options (RFC 6891 §6.1.2)
AA, TC = 0x04, 0x02  # in the third octet of a message


class Question(NamedTuple):
    """An owner name without its final dot, in lower case, and a type as text."""

    name: str
    qtype: str


class Record(NamedTuple):
    """A record of an answer section without its TTL; the owner in lower case and without its final dot."""

    owner: str
    type: str
    rdata: str


class Reply(NamedTuple):
    """What two servers are to agree on."""

    rcode: str
    records: frozenset[Record] = frozenset()
    is_authoritative: bool = True


class SilenceError(Exception):
    """A server did not answer; the text says how many questions, and one of them."""


def ask_all(port: int, questions: Sequence[Question], case: random.Random | None = None) -> dict[Question, Reply]:
    """Return the reply of the server on *port* of 127.0.0.1 to each of *questions*.

    A truncated reply is asked for again over TCP.

    Args:
        port: Where the server listens, over UDP and TCP.
        questions: What to ask.
        case: Turns letters of the names into upper case by chance, as resolvers do against spoofing; None for none.

    Raises:
        SilenceError: A question had no reply after three attempts.
    """
    replies: dict[Question, Reply] = {}
    names = {question.name for question in questions}
    wires = {name: _in_any_case(dns.name.from_text(name).to_wire(), case) for name in names}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(("127.0.0.1", port))
        for start in range(0, len(questions), IN_FLIGHT):
            batch = {
                number: (question, wires[question.name] + dns.rdatatype.from_text(question.qtype).to_bytes(2) + b"\0\1")
                for number, question in enumerate(questions[start : start + IN_FLIGHT], start % 0x8000)
            }
            for question, query, message in _exchange(datagrams, batch):
                if message[2] & TC:
                    message = _over_tcp(port, query)
                replies[question] = _read(message)
    return replies


def _in_any_case(wire: bytes, case: random.Random | None) -> bytes:
    """Return the name *wire* with letters in upper case by chance; length octets are below the letters."""
    if case is None:
        return wire
    return bytes(octet - 32 if 97 <= octet <= 122 and case.random() < 0.5 else octet for octet in wire)


def _exchange(
    datagrams: socket.socket, batch: dict[int, tuple[Question, bytes]]
) -> Iterator[tuple[Question, bytes, bytes]]:
    """Send each of *batch*, by message id, and yield question, query and reply as they come."""
    waiting = dict(batch)
    for _ in range(ATTEMPTS):
        for number, (_, wire) in waiting.items():
            datagrams.send(_query(number, wire))
        deadline_s = time.monotonic() + PATIENCE_S
        while waiting and (left_s := deadline_s - time.monotonic()) > 0:
            datagrams.settimeout(left_s)
            try:
                message = datagrams.recv(65535)
            except TimeoutError:
                break
            found = waiting.get(int.from_bytes(message[:2]))
            if found is None or not message[2] & 0x80:
                continue  # a second reply to what was asked twice
            question, wire = found
            # Whatever it says, a reply repeats the question to the letter (RFC 5452 §9.1 makes resolvers look).
            assert message[4:6] == b"\0\1", f"{question}: no question in the reply {message.hex()}"
            assert message[12 : 12 + len(wire)] == wire, f"{question}: another question in the reply {message.hex()}"
            del waiting[int.from_bytes(message[:2])]
            yield question, _query(0, wire), message
        if not waiting:
            return
    raise SilenceError(f"{len(waiting)} questions without a reply, one of them {next(iter(waiting.values()))[0]}")


def _query(number: int, question: bytes) -> bytes:
    return struct.pack("!6H", number, 0, 1, 0, 0, 1) + question + OPT


def _over_tcp(port: int, query: bytes) -> bytes:
    return dns.query.tcp(dns.message.from_wire(query), "127.0.0.1", port=port, timeout=5).to_wire()


def _read(message: bytes) -> Reply:
    is_authoritative = bool(message[2] & AA)
    if message[6:8] == b"\0\0":
        return Reply(dns.rcode.to_text(dns.rcode.Rcode(message[3] & 15)), frozenset(), is_authoritative)
    parsed = dns.message.from_wire(message)
    records = (
        Record(folded(rrset.name.to_text()), dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())
        for rrset in parsed.answer
        for rdata in rrset
    )
    return Reply(dns.rcode.to_text(parsed.rcode()), frozenset(records), is_authoritative)


def folded(name: str) -> str:
    """Return *name* in lower case and without its final dot."""
    return name.lower().rstrip(".")


def questions(names: Iterable[str], qtypes: Sequence[str]) -> list[Question]:
    """Return each of *names* with each of *qtypes*."""
    return [Question(name, qtype) for name in names for qtype in qtypes]
