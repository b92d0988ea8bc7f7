"""Reading the octets of a query: header, question, OPT.

Source: RFC 1035 §4.1, RFC 6891 §6.1, RFC 8906 (whatever comes gets an answer). Whole messages in, values out. Pure.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from headlessdns.errors import FormatError
from headlessdns.names import MAX_LABEL_OCTETS, MAX_NAME_OCTETS

HEADER_OCTETS = 12  # RFC 1035 §4.1.1
QR, OPCODE, AA, TC, RD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100
EDNS_DO = 0x8000  # RFC 6891 §6.1.3


class Rcode(IntEnum):
    """Response codes (RFC 1035 §4.1.1, RFC 6891 §9)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class QType(IntEnum):
    """Types that a question can have beyond those that we have data for."""

    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


class QClass(IntEnum):
    """Classes that are answered (RFC 1035 §3.2.4 and §3.2.5)."""

    IN = 1
    CH = 3
    ANY = 255


class Opt(NamedTuple):
    """An OPT record of a query (RFC 6891 §6.1.2).

    Attributes:
        size_octets: The largest UDP response that the client takes, as it said it.
        version: EDNS version.
        wants_dnssec: The DO flag, which is copied.
        options: Option codes with their octets, in the order of the query.
    """

    size_octets: int
    version: int
    wants_dnssec: bool
    options: tuple[tuple[int, bytes], ...]

    def option(self, code: int) -> bytes | None:
        """Return the octets of the first option *code*, or None."""
        return next((data for found, data in self.options if found == code), None)


class Query(NamedTuple):
    """A well-formed query with one question, or none (RFC 7873 §5.4).

    Attributes:
        id: Its ID, 2 octets.
        flags: The second 16 bits of the header.
        question: QNAME as it came, QTYPE and QCLASS; empty where QDCOUNT is 0.
        qtype: QTYPE.
        qclass: QCLASS.
        opt: The OPT record, or None.
    """

    id: bytes
    flags: int
    question: bytes
    qtype: int
    qclass: int
    opt: Opt | None

    @property
    def qname(self) -> bytes:
        """QNAME in lower case, the form of every key."""
        return self.question[:-4].lower()


def parse_query(message: bytes) -> Query:
    """Return what *message* asks. The caller has seen to header length, QR and OPCODE.

    Raises:
        FormatError: The message breaks the format; its RCODE says what to answer.
    """
    flags, questions, answers, authorities, additionals = (
        int.from_bytes(message[at : at + 2], "big") for at in range(2, HEADER_OCTETS, 2)
    )
    if questions > 1:
        raise FormatError("more than one question (RFC 9619)")
    end = HEADER_OCTETS
    qtype = qclass = 0
    if questions:
        end = _name_end(message, end) + 4
        if end > len(message):
            raise FormatError("the question is cut off")
        qtype, qclass = int.from_bytes(message[end - 4 : end - 2], "big"), int.from_bytes(message[end - 2 : end], "big")
    question = message[HEADER_OCTETS:end]
    if answers or (authorities and qtype != QType.IXFR):  # IXFR carries the SOA that the client has (RFC 1995 §3)
        raise FormatError("a query has no answer or authority section")
    if authorities:
        return Query(message[:2], flags, question, qtype, qclass, None)  # IXFR, which is refused unread
    opt = None
    for _ in range(additionals):
        if opt is not None:
            raise FormatError("more than one record in the additional section")
        opt, end = _parse_opt(message, end)
    if end != len(message):
        raise FormatError("octets after the message")
    if not questions and (opt is None or opt.option(OPTION_COOKIE) is None):
        raise FormatError("no question, and no cookie that would need none")
    return Query(message[:2], flags, question, qtype, qclass, opt)


OPTION_COOKIE = 10  # RFC 7873 §4


def find_opt(message: bytes) -> Opt | None:
    """Return the first OPT record of a *message* that cannot be answered, without its options; None without one.

    Whoever sends EDNS is answered with EDNS, faults included (RFC 6891 §6.1.1, §7). The message is walked as far as it
    can be read; what breaks its format elsewhere does not matter.
    """
    questions, answers, authorities, additionals = (
        int.from_bytes(message[at : at + 2], "big") for at in range(4, HEADER_OCTETS, 2)
    )
    before = answers + authorities
    if not additionals or questions + before + additionals > _MAX_WALKED:
        return None
    position = HEADER_OCTETS
    try:
        for _ in range(questions):
            position = _any_name_end(message, position) + 4
        for index in range(before + additionals):
            fixed = _any_name_end(message, position)
            end = fixed + 10 + int.from_bytes(message[fixed + 8 : fixed + 10], "big")
            if end > len(message) or fixed + 10 > len(message):
                return None
            if index >= before and message[position : position + 3] == b"\x00\x00\x29":
                size = int.from_bytes(message[fixed + 2 : fixed + 4], "big")
                wants_dnssec = bool(int.from_bytes(message[fixed + 6 : fixed + 8], "big") & EDNS_DO)
                return Opt(size, message[fixed + 5], wants_dnssec, ())
            position = end
    except FormatError:
        pass
    return None


_MAX_WALKED = 32  # questions and records; nobody who means well sends more


def _any_name_end(message: bytes, position: int) -> int:
    """Return the offset behind the name at *position*, which may end in a pointer."""
    while position < len(message) and (length := message[position]):
        if length >= 0xC0:
            return position + 2
        if length > MAX_LABEL_OCTETS:
            break
        position += 1 + length
    if position >= len(message) or message[position]:
        raise FormatError("a name that cannot be read")
    return position + 1


def question_end(message: bytes) -> int:
    """Return where the question section of *message* ends, or 0 where its one question cannot be read."""
    try:
        end = _name_end(message, HEADER_OCTETS) + 4
    except FormatError:
        return 0
    return end if message[4:6] == b"\x00\x01" and end <= len(message) else 0


def _name_end(message: bytes, position: int) -> int:
    """Return the offset behind the uncompressed name at *position*."""
    start = position
    while position < len(message) and (length := message[position]):
        if length > MAX_LABEL_OCTETS:
            raise FormatError("a pointer or unknown label type in QNAME")
        position += 1 + length
    if position >= len(message):
        raise FormatError("a name is cut off")
    if position + 1 - start > MAX_NAME_OCTETS:
        raise FormatError("a name is over 255 octets")
    return position + 1


def _parse_opt(message: bytes, at: int) -> tuple[Opt, int]:
    """Return the OPT record at *at* and the offset behind it."""
    fixed = message[at : at + 11]
    if len(fixed) < 11 or fixed[:3] != b"\x00\x00\x29":
        raise FormatError("the additional section of a query holds an OPT record, or nothing")
    end = at + 11 + int.from_bytes(fixed[9:11], "big")
    if end > len(message):
        raise FormatError("the OPT record is cut off")
    options = []
    position = at + 11
    while position < end and not fixed[6]:  # another version than 0 may write options in another way
        length = int.from_bytes(message[position + 2 : position + 4], "big")
        data = message[position + 4 : position + 4 + length]
        position += 4 + length
        if position > end:
            raise FormatError("an EDNS option is cut off")
        options.append((int.from_bytes(message[position - 4 - length : position - 2 - length], "big"), data))
    size = int.from_bytes(fixed[3:5], "big")
    wants_dnssec = bool(int.from_bytes(fixed[7:9], "big") & EDNS_DO)
    return Opt(size, fixed[6], wants_dnssec, tuple(options)), end
