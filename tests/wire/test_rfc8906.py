"""The probes of RFC 8906 §8, which find servers that fail to answer: asked of the table and of a running server.

The names of the tests are those of the compliance checkers that send these probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from tests.specification.rows import DEFAULT, MANIFESTS, Pure
from tests.support import Server, flags_of, header, opt, option, question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[bytes], dns.message.Message]

ZONE = "cluster.local"
SOA = question(ZONE, 6)
BADVERS = (dns.rcode.BADVERS, 0, 0, [])  # RCODE, EDNS version, flags, options
# Those of the checkers: what IANA has assigned, and some that nobody has.
TYPES = [
    *("A", "NS", "MD", "MF", "CNAME", "MB", "MG", "MR", "NULL", "WKS", "PTR", "HINFO", "MINFO", "MX", "TXT", "RP"),
    *("AFSDB", "X25", "ISDN", "RT", "NSAP", "NSAP_PTR", "SIG", "KEY", "PX", "GPOS", "AAAA", "LOC", "NXT", "SRV"),
    *("NAPTR", "KX", "CERT", "A6", "DNAME", "APL", "DS", "SSHFP", "IPSECKEY", "RRSIG", "NSEC", "DNSKEY", "DHCID"),
    *("NSEC3", "NSEC3PARAM", "TLSA", "SMIMEA", "HIP", "NINFO", "CDS", "CDNSKEY", "OPENPGPKEY", "CSYNC", "ZONEMD"),
    *("SVCB", "HTTPS", "SPF", "NID", "L32", "L64", "LP", "EUI48", "EUI64", "URI", "CAA", "AVC", "AMTRELAY"),
    *("TYPE1000", "TYPE65280", "TYPE65534"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(MANIFESTS) as running:
        yield running


@pytest.fixture(scope="module")
def pure() -> Pure:
    return Pure(DEFAULT)


@pytest.fixture(params=["pure-udp", "pure-tcp", "udp", "tcp"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return a function that asks and has the response read; silence fails the test."""
    transport = str(request.param)
    is_stream = transport.endswith("tcp")

    def asked(message: bytes) -> dns.message.Message:
        if transport.startswith("pure"):
            response = request.getfixturevalue("pure").exchange(message, is_stream=is_stream)
        else:
            running = request.getfixturevalue("server")
            response = (running.tcp if is_stream else running.udp)(message)
        assert response is not None, "silence"
        assert response[:2] == message[:2]
        return dns.message.from_wire(response)

    return asked


def plain(body: bytes = SOA, flags: int = 0, **counts: int) -> bytes:
    return header(flags=flags, questions=1, **counts) + body


def edns(record: bytes, body: bytes = SOA, flags: int = 0) -> bytes:
    return plain(body + record, flags, additionals=1)


def is_soa_answer(response: dns.message.Message) -> bool:
    """Tell whether *response* answers the SOA of the zone with authority."""
    return (
        dns.rcode.to_text(response.rcode()) == "NOERROR"
        and [rrset.rdtype for rrset in response.answer] == [dns.rdatatype.SOA]
        and bool(response.flags & dns.flags.AA)
    )


def codes(response: dns.message.Message) -> list[int]:
    return [int(one.otype) for one in response.options]


def test_dns(ask: Ask) -> None:
    """dns: a plain SOA query (§8.1)."""
    response = ask(plain())
    assert is_soa_answer(response)
    assert flags_of(response) == {"qr", "aa"}
    assert response.edns == -1


@pytest.mark.parametrize("qtype", TYPES)
def test_types(ask: Ask, qtype: str) -> None:
    """Every type gets an answer at a name that exists (§8.1): no data, with SOA, and no error."""
    response = ask(plain(question("svc.cluster.local", dns.rdatatype.from_text(qtype))))
    assert (dns.rcode.to_text(response.rcode()), response.answer) == ("NOERROR", [])
    assert [rrset.rdtype for rrset in response.authority] == [dns.rdatatype.SOA]


@pytest.mark.parametrize("qtype", TYPES)
def test_types_of_an_absent_name(ask: Ask, qtype: str) -> None:
    """Every type of a name that does not exist is NXDOMAIN, so that types never disagree on existence."""
    response = ask(plain(question("absent.cluster.local", dns.rdatatype.from_text(qtype))))
    assert (dns.rcode.to_text(response.rcode()), response.answer) == ("NXDOMAIN", [])


FLAGS = {"AA": 0x0400, "TC": 0x0200, "RD": 0x0100, "RA": 0x0080, "Z": 0x0040, "AD": 0x0020, "CD": 0x0010}


@pytest.mark.parametrize("flag", [pytest.param(value, id=name) for name, value in FLAGS.items()])
def test_flags(ask: Ask, flag: int) -> None:
    """Each header flag alone (§8.1): answered, and only RD comes back."""
    response = ask(plain(flags=flag))
    assert is_soa_answer(response)
    assert flags_of(response) == {"qr", "aa"} | ({"rd"} if flag == FLAGS["RD"] else set())


@pytest.mark.parametrize("opcode", range(1, 16))
def test_opcodes(ask: Ask, opcode: int) -> None:
    """Each opcode that is not supported (§8.1) is NOTIMP, with the opcode and without AA."""
    for message in (header(flags=opcode << 11), plain(flags=opcode << 11)):
        response = ask(message)
        assert (response.rcode(), response.opcode()) == (dns.rcode.NOTIMP, opcode)
        assert flags_of(response) == {"qr"}
        assert response.answer + response.authority == []


def test_edns(ask: Ask) -> None:
    """edns: EDNS version 0 (§8.2)."""
    response = ask(edns(opt(4096)))
    assert is_soa_answer(response)
    assert (response.edns, response.payload, response.ednsflags, codes(response)) == (0, 1232, 0, [])


def test_edns1(ask: Ask) -> None:
    """edns1: EDNS version 1 is BADVERS, with OPT of version 0 and without an answer (§8.2)."""
    response = ask(edns(opt(4096, version=1)))
    assert (response.rcode(), response.edns, response.answer) == (dns.rcode.BADVERS, 0, [])
    assert flags_of(response) == {"qr"}


def test_ednsopt(ask: Ask) -> None:
    """ednsopt: an unknown option is ignored and not echoed (§8.2)."""
    response = ask(edns(opt(4096, options=option(100))))
    assert is_soa_answer(response)
    assert codes(response) == []


def test_ednsflags(ask: Ask) -> None:
    """ednsflags: an unknown EDNS flag is ignored and not echoed (§8.2)."""
    response = ask(edns(opt(4096, flags=0x0080)))
    assert is_soa_answer(response)
    assert response.ednsflags == 0


def test_edns1opt(ask: Ask) -> None:
    """edns1opt: version 1 with an unknown option is BADVERS without the option (§8.2)."""
    response = ask(edns(opt(4096, version=1, options=option(100))))
    assert (response.rcode(), response.edns, codes(response)) == (dns.rcode.BADVERS, 0, [])


def test_edns1flags(ask: Ask) -> None:
    """edns1flags: version 1 with an unknown flag is BADVERS without the flag (§8.2)."""
    response = ask(edns(opt(4096, version=1, flags=0x0080)))
    assert (response.rcode(), response.edns, response.ednsflags & 0xFFFF) == (dns.rcode.BADVERS, 0, 0)


def test_edns1flagsopt(ask: Ask) -> None:
    """edns1flagsopt: version 1 with an unknown flag and an unknown option is BADVERS without both (§8.2)."""
    response = ask(edns(opt(4096, version=1, flags=0x0080, options=option(100))))
    assert (response.rcode(), response.edns, response.ednsflags & 0xFFFF, codes(response)) == BADVERS


def test_do(ask: Ask) -> None:
    """do: DO is copied, and there are no signatures to send (§8.2)."""
    response = ask(edns(opt(4096, flags=0x8000)))
    assert is_soa_answer(response)
    assert response.ednsflags == dns.flags.DO


def test_edns1do(ask: Ask) -> None:
    """edns1do: version 1 with DO is BADVERS (§8.2)."""
    response = ask(edns(opt(4096, version=1, flags=0x8000)))
    assert (response.rcode(), response.edns) == (dns.rcode.BADVERS, 0)


@pytest.mark.parametrize(
    ("code", "data", "expected"),
    [
        pytest.param(3, b"", [3], id="NSID"),
        pytest.param(8, b"\x00\x01\x00\x00", [], id="client-subnet"),
        pytest.param(9, b"", [], id="expire"),
        pytest.param(10, b"12345678", [10], id="cookie"),
        pytest.param(11, b"", [], id="keepalive"),
        pytest.param(12, bytes(20), [], id="padding"),
        pytest.param(15, b"\x00\x00", [], id="extended-error-in-a-query"),
    ],
)
def test_known_options(ask: Ask, code: int, data: bytes, expected: list[int]) -> None:
    """Each option that is known elsewhere (§8.2) is answered where we know it and ignored where we do not."""
    response = ask(edns(opt(4096, options=option(code, data))))
    assert is_soa_answer(response)
    assert codes(response) == expected


def test_optlist(ask: Ask) -> None:
    """optlist: NSID, EXPIRE, COOKIE and client-subnet together (§8.2)."""
    options = option(3) + option(9) + option(10, b"12345678") + option(8, b"\x00\x01\x00\x00")
    response = ask(edns(opt(4096, options=options)))
    assert is_soa_answer(response)
    assert sorted(codes(response)) == [3, 10]


def test_docookie(ask: Ask) -> None:
    """docookie: DO and a cookie together."""
    response = ask(edns(opt(4096, flags=0x8000, options=option(10, b"12345678"))))
    assert is_soa_answer(response)
    assert (response.ednsflags, codes(response)) == (dns.flags.DO, [10])


def test_edns_at_512(ask: Ask) -> None:
    """edns@512: a client that takes 512 octets gets no more, and OPT even where it does not fit all."""
    response = ask(edns(opt(512), question("_sql._tcp.db.default.svc.cluster.local", 33)))
    assert dns.rcode.to_text(response.rcode()) == "NOERROR"
    assert (response.edns, response.payload) == (0, 1232)
    assert len(response.answer[0]) == 4


def test_ednstcp(ask: Ask) -> None:
    """ednstcp: EDNS over TCP as over UDP; whichever is asked, nothing is cut that fits."""
    response = ask(edns(opt(512, flags=0x8000), question("cluster.local", 2)))
    assert not response.flags & dns.flags.TC
    assert response.edns == 0


@pytest.mark.parametrize("qclass", [0, 2, 4, 5, 254, 65280, 65534, 65535])
def test_classes(ask: Ask, qclass: int) -> None:
    """Classes that are not served are refused, not passed over in silence (§3.1)."""
    response = ask(plain(question(ZONE, 6, qclass)))
    assert (response.rcode(), response.answer) == (dns.rcode.REFUSED, [])


def test_zone_of_others(ask: Ask) -> None:
    """A zone of others is refused, not passed over in silence (§3.1)."""
    response = ask(plain(question("example.com", 6)))
    assert (response.rcode(), response.answer, flags_of(response)) == (dns.rcode.REFUSED, [], {"qr"})
