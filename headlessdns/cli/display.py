"""A response as text, in the form that ``dig`` prints. dnslib parses it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dnslib

from headlessdns import names
from headlessdns.errors import FormatError
from headlessdns.names import CanonicalName
from headlessdns.wire.edns import OPTION_EDE, OPTION_NSID

OPT = 41
_FLAGS = {"qr": 0x8000, "aa": 0x0400, "tc": 0x0200, "rd": 0x0100, "ra": 0x0080, "ad": 0x0020, "cd": 0x0010}
_OPCODES = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE"}
_RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    16: "BADVERS",
    23: "BADCOOKIE",
}
# RFC 8914 §4, those that an authoritative server or a forwarder in front of it sends.
_EDE = {
    0: "Other",
    3: "Stale Answer",
    14: "Not Ready",
    15: "Blocked",
    18: "Prohibited",
    19: "Stale NXDOMAIN Answer",
    20: "Not Authoritative",
    21: "Not Supported",
    22: "No Reachable Authority",
    23: "Network Error",
}
_CLASSES = {1: "IN", 3: "CH", 255: "ANY"}


class Record(NamedTuple):
    """One record, ready to be shown."""

    owner: CanonicalName
    type: int
    rr_class: int
    ttl_s: int
    rdata: str


class Response(NamedTuple):
    """A response, taken apart.

    Attributes:
        rcode: Its RCODE, the upper bits from OPT included.
        header: The first two lines.
        opt: Lines for the OPT record, none where there is none.
        question: QNAME, QTYPE and QCLASS of each question.
        sections: Answer, authority and additional section, OPT left out.
        size_octets: Of the message.
    """

    rcode: int
    header: list[str]
    opt: list[str]
    question: list[tuple[CanonicalName, int, int]]
    sections: dict[str, list[Record]]
    size_octets: int


def type_name(type: int) -> str:
    """Return the name of an RR type, ``TYPE4242`` where it has none (RFC 3597 §5)."""
    name = {number: name for name, number in dnslib.QTYPE.reverse.items()}.get(type)
    return str(name) if name else f"TYPE{type}"


def type_number(name: str) -> int:
    """Return the number of an RR type that is written as in ``A``, ``srv`` or ``TYPE65``.

    Raises:
        ValueError: There is no such type.
    """
    name = name.upper()
    known = dnslib.QTYPE.reverse.get(name)
    if known is not None:
        return int(known)
    number = int(name.removeprefix("TYPE"))
    if not name.startswith("TYPE") or not 0 <= number <= 65535:
        raise ValueError(name)
    return number


def parse(message: bytes) -> Response:
    """Take *message* apart.

    Raises:
        FormatError: It breaks the format.
    """
    try:
        parsed = dnslib.DNSRecord.parse(message)
        return _response(parsed, message)
    except (dnslib.DNSError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(f"the response cannot be read: {error}") from error


def _response(parsed: Any, message: bytes) -> Response:
    opt = next((record for record in parsed.ar if record.rtype == OPT), None)
    flags = int.from_bytes(message[2:4], "big")
    rcode = flags & 15 | (opt.edns_rcode << 4 if opt else 0)
    opcode = flags >> 11 & 15
    counts = [int.from_bytes(message[at : at + 2], "big") for at in range(4, 12, 2)]
    shown = zip(("QUERY", "ANSWER", "AUTHORITY", "ADDITIONAL"), counts, strict=True)
    header = [
        f";; ->>HEADER<<- opcode: {_OPCODES.get(opcode, f'RESERVED{opcode}')}, status: {rcode_name(rcode)}, "
        f"id: {int.from_bytes(message[:2], 'big')}",
        f";; flags: {' '.join(name for name, bit in _FLAGS.items() if flags & bit)}; "
        + ", ".join(f"{name}: {count}" for name, count in shown),
    ]
    return Response(
        rcode,
        header,
        list(_opt_lines(opt)) if opt else [],
        [(_name(one.qname), one.qtype, one.qclass) for one in parsed.questions],
        {
            section: [_record(record) for record in records if record.rtype != OPT]
            for section, records in (("ANSWER", parsed.rr), ("AUTHORITY", parsed.auth), ("ADDITIONAL", parsed.ar))
        },
        len(message),
    )


def rcode_name(rcode: int) -> str:
    """Return the name of an RCODE."""
    return _RCODES.get(rcode, f"RESERVED{rcode}")


def _opt_lines(opt: Any) -> Iterator[str]:
    flags = " do" if opt.edns_do else ""
    yield f"; EDNS: version: {opt.edns_ver}, flags:{flags}; udp: {opt.edns_len}"
    for option in opt.rdata:
        data = bytes(option.data)
        if option.code == OPTION_NSID:
            yield f'; NSID: {data.hex(" ")} ("{_printable(data)}")'
        elif option.code == OPTION_EDE:
            code = int.from_bytes(data[:2], "big")
            known = f" ({_EDE[code]})" if code in _EDE else ""
            text = f": ({_printable(data[2:])})" if data[2:] else ""
            yield f"; EDE: {code}{known}{text}"
        else:
            yield f"; OPT={option.code}: {data.hex(' ')}"


def _printable(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "." for letter in text)


def _name(label: Any) -> CanonicalName:
    return names.join(list(label.label))


def _record(record: Any) -> Record:
    show = _RDATA.get(record.rtype, str)
    return Record(_name(record.rname), record.rtype, record.rclass, record.ttl, show(record.rdata))


def _strings(data: list[bytes]) -> str:
    """Return character strings in quotes (RFC 1035 §5.1)."""
    return " ".join('"' + "".join(map(_letter, one)) + '"' for one in data)


def _letter(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def _hinfo(rdata: Any) -> str:
    data: bytes = rdata.data
    at, parts = 0, []
    while at < len(data):
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return _strings(parts)


def _soa(rdata: Any) -> str:
    return " ".join([_text(rdata.mname), _text(rdata.rname), *(str(number) for number in rdata.times)])


def _text(label: Any) -> str:
    return names.to_text(_name(label))


# dnslib does not escape dots and blanks inside labels, and has no HINFO.
_RDATA: dict[int, Callable[[Any], str]] = {
    2: lambda rdata: _text(rdata.label),
    5: lambda rdata: _text(rdata.label),
    6: _soa,
    12: lambda rdata: _text(rdata.label),
    13: _hinfo,
    16: lambda rdata: _strings(rdata.data),
    33: lambda rdata: f"{rdata.priority} {rdata.weight} {rdata.port} {_text(rdata.target)}",
}


def rdata_text(type: int, rdata: bytes) -> str:
    """Return RDATA of an address, an SRV or a name, uncompressed, as `Record.rdata` has it."""
    if type in (1, 28):
        return str(ipaddress.ip_address(rdata))
    if type == 33:
        numbers = [str(int.from_bytes(rdata[at : at + 2], "big")) for at in (0, 2, 4)]
        return " ".join([*numbers, names.to_text(rdata[6:])])
    return names.to_text(rdata)


def lines(response: Response) -> Iterator[str]:
    """Yield the whole of *response* as ``dig`` has it."""
    yield from response.header
    if response.opt:
        yield from ("", ";; OPT PSEUDOSECTION:", *response.opt)
    yield from ("", ";; QUESTION SECTION:")
    for qname, qtype, qclass in response.question:
        yield f";{names.to_text(qname)}\t\t{_class_name(qclass)}\t{type_name(qtype)}"
    for section, records in response.sections.items():
        if records:
            yield from ("", f";; {section} SECTION:")
            yield from map(_line, records)


def _line(record: Record) -> str:
    owner = names.to_text(record.owner)
    return f"{owner}\t{record.ttl_s}\t{_class_name(record.rr_class)}\t{type_name(record.type)}\t{record.rdata}"


def _class_name(rr_class: int) -> str:
    return _CLASSES.get(rr_class, f"CLASS{rr_class}")


def short_lines(response: Response) -> list[str]:
    """Return what ``dig +short`` prints: the data of the answer section."""
    return [record.rdata for record in response.sections["ANSWER"]]
