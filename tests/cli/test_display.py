"""Responses as text: dnspython composes them, dig's form is expected."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.cli import display
from headlessdns.errors import FormatError


def message(qname: str = "web-0.nginx.default.svc.cluster.local.", qtype: str = "A") -> dns.message.QueryMessage:
    query = dns.message.make_query(qname, qtype, id=7)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    assert isinstance(response, dns.message.QueryMessage)
    return response


def lines(response: dns.message.Message) -> list[str]:
    return list(display.lines(display.parse(response.to_wire())))


def test_whole_response() -> None:
    """A response with every section looks as dig prints it."""
    response = message("_web._tcp.nginx.default.svc.cluster.local.", "SRV")
    response.use_edns(0, payload=1232, options=[dns.edns.NSIDOption(b"dns-0")])
    owner = "_web._tcp.nginx.default.svc.cluster.local."
    target = "web-0.nginx.default.svc.cluster.local."
    response.answer.append(dns.rrset.from_text(owner, 5, "IN", "SRV", f"0 100 80 {target}"))
    response.authority.append(dns.rrset.from_text("cluster.local.", 5, "IN", "NS", "ns.dns.cluster.local."))
    response.additional.append(dns.rrset.from_text(target, 5, "IN", "A", "10.244.1.10"))
    assert lines(response) == [
        ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7",
        ";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 1, ADDITIONAL: 2",
        "",
        ";; OPT PSEUDOSECTION:",
        "; EDNS: version: 0, flags:; udp: 1232",
        '; NSID: 64 6e 73 2d 30 ("dns-0")',
        "",
        ";; QUESTION SECTION:",
        f";{owner}\t\tIN\tSRV",
        "",
        ";; ANSWER SECTION:",
        f"{owner}\t5\tIN\tSRV\t0 100 80 {target}",
        "",
        ";; AUTHORITY SECTION:",
        "cluster.local.\t5\tIN\tNS\tns.dns.cluster.local.",
        "",
        ";; ADDITIONAL SECTION:",
        f"{target}\t5\tIN\tA\t10.244.1.10",
    ]


RDATA = {
    "A": ("A", "10.0.0.1", "10.0.0.1"),
    "AAAA": ("AAAA", "2001:db8::1", "2001:db8::1"),
    "CNAME": ("CNAME", "db.example.com.", "db.example.com."),
    "CNAME with a dot in a label": ("CNAME", r"a\.b.example.", r"a\.b.example."),
    "PTR": ("PTR", "web-0.nginx.default.svc.cluster.local.", "web-0.nginx.default.svc.cluster.local."),
    "SOA": ("SOA", "ns.example. admin.example. 7 7200 1800 86400 5", "ns.example. admin.example. 7 7200 1800 86400 5"),
    "SRV": ("SRV", "0 100 80 web-0.example.", "0 100 80 web-0.example."),
    "TXT": ("TXT", r'"1.1.0" "a \"b\" \007"', r'"1.1.0" "a \"b\" \007"'),
    "HINFO": ("HINFO", '"RFC8482" ""', '"RFC8482" ""'),
    "MX": ("MX", "10 mail.example.", "10 mail.example."),
}


@pytest.mark.parametrize(("type", "text", "shown"), RDATA.values(), ids=RDATA.keys())
def test_rdata(type: str, text: str, shown: str) -> None:
    """The data of a record is in the form of a zone file."""
    response = message(qtype=type)
    response.answer.append(dns.rrset.from_text("x.example.", 5, "IN", type, text))
    assert display.short_lines(display.parse(response.to_wire())) == [shown]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        pytest.param(dns.edns.EDEOption(14, "not listed"), "; EDE: 14 (Not Ready): (not listed)", id="with text"),
        pytest.param(dns.edns.EDEOption(20), "; EDE: 20 (Not Authoritative)", id="without text"),
        pytest.param(dns.edns.EDEOption(4242, "x"), "; EDE: 4242: (x)", id="an unknown code"),
        pytest.param(dns.edns.EDEOption(0, "a\x1b[0m"), "; EDE: 0 (Other): (a.[0m)", id="no escape to the terminal"),
        pytest.param(dns.edns.GenericOption(65001, b"\x01\xff"), "; OPT=65001: 01 ff", id="another option"),
    ],
)
def test_options(option: dns.edns.Option, line: str) -> None:
    """Each EDNS option is a line."""
    response = message()
    response.use_edns(0, options=[option])
    assert line in lines(response)


def test_extended_rcode() -> None:
    """The upper bits of the RCODE come from OPT."""
    response = message()
    response.use_edns(0)
    response.set_rcode(dns.rcode.BADVERS)
    assert display.parse(response.to_wire()).rcode == 16
    assert lines(response)[0] == ";; ->>HEADER<<- opcode: QUERY, status: BADVERS, id: 7"


def test_without_question() -> None:
    """A bare header is shown as what it is."""
    found = list(display.lines(display.parse(b"\x00\x07\xa0\x04" + bytes(8))))
    assert found == [
        ";; ->>HEADER<<- opcode: NOTIFY, status: NOTIMP, id: 7",
        ";; flags: qr; QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0",
        "",
        ";; QUESTION SECTION:",
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [("A", 1), ("aaaa", 28), ("SRV", 33), ("https", 65), ("ANY", 255), ("TYPE65", 65), ("type4242", 4242)],
)
def test_type_number(text: str, number: int) -> None:
    """A type is written by its name or as TYPE and its number, in any case."""
    assert display.type_number(text) == number


@pytest.mark.parametrize("text", ["", "B", "TYPE", "TYPE65536", "TYPE-1", "65"])
def test_no_type(text: str) -> None:
    """Anything else is no type."""
    with pytest.raises(ValueError):
        display.type_number(text)


def test_type_name() -> None:
    """A type without a name is shown as RFC 3597 has it."""
    assert [display.type_name(number) for number in (1, 65, 4242)] == ["A", "HTTPS", "TYPE4242"]


WIRE = message().to_wire()


@given(
    st.binary() | st.binary().map(lambda tail: WIRE[:12] + tail) | st.integers(0, len(WIRE)).map(lambda end: WIRE[:end])
)
def test_any_octets_are_a_response_or_a_format_error(octets: bytes) -> None:
    """Whatever a server sends can be shown, or is a format error."""
    try:
        response = display.parse(octets)
    except FormatError:
        return
    assert list(display.lines(response))
