"""EDNS: our OPT record, sizes, cookies, extended errors."""

from __future__ import annotations

import hashlib

import dns.edns
import dns.flags
import dns.message
import pytest

from headlessdns.errors import FormatError
from headlessdns.wire import edns
from headlessdns.wire.edns import Ede
from headlessdns.wire.parse import Opt, Rcode
from tests.support import header

SECRET = bytes(range(32))
PLAIN = Opt(1232, 0, False, ())


def read(record: bytes) -> dns.message.Message:
    """Return a response that has nothing but *record*, as dnspython reads it."""
    return dns.message.from_wire(header(flags=0x8000, additionals=1) + record)


@pytest.mark.parametrize(
    ("opt", "is_stream", "limit"),
    [
        pytest.param(None, False, 512, id="without-EDNS"),
        pytest.param(PLAIN._replace(size_octets=0), False, 512, id="0-means-512"),
        pytest.param(PLAIN._replace(size_octets=511), False, 512, id="511-means-512"),
        pytest.param(PLAIN._replace(size_octets=512), False, 512, id="512"),
        pytest.param(PLAIN._replace(size_octets=1000), False, 1000, id="the-client's-size"),
        pytest.param(PLAIN._replace(size_octets=1232), False, 1232, id="ours"),
        pytest.param(PLAIN._replace(size_octets=1233), False, 1232, id="never-more-than-ours"),
        pytest.param(PLAIN._replace(size_octets=65535), False, 1232, id="65535"),
        pytest.param(None, True, 65535, id="stream"),
        pytest.param(PLAIN, True, 65535, id="stream-with-EDNS"),
    ],
)
def test_response_limit(opt: Opt | None, is_stream: bool, limit: int) -> None:
    """A response has what the client takes, 512 at least, 1232 at most over UDP (RFC 6891 §6.2.3)."""
    assert edns.response_limit(opt, is_stream=is_stream) == limit


@pytest.mark.parametrize("size_octets", [0, 512, 4096, 65535])
def test_size_is_our_own(size_octets: int) -> None:
    """The size in our OPT record is what we take, not what the client said."""
    response = read(edns.compose_opt(PLAIN._replace(size_octets=size_octets)))
    assert (response.edns, response.payload, response.ednsflags) == (0, 1232, 0)


def test_do_is_copied() -> None:
    """DO is copied (RFC 6891 §6.1.4, RFC 3225 §3)."""
    assert read(edns.compose_opt(PLAIN._replace(wants_dnssec=True))).ednsflags == dns.flags.DO


def test_extended_rcode() -> None:
    """The upper 8 bits of the RCODE are in OPT (RFC 6891 §6.1.3), and our version is 0 whatever was asked."""
    response = read(edns.compose_opt(PLAIN._replace(version=1), Rcode.BADVERS))
    assert (response.rcode(), response.edns) == (dns.rcode.BADVERS, 0)


def test_extended_errors() -> None:
    """An extended error has a code, and text where there is something to say (RFC 8914)."""
    options = edns.compose_ede(Ede.STALE_ANSWER, "grüß") + edns.compose_ede(Ede.NOT_READY)
    response = read(edns.compose_opt(PLAIN, options=options))
    assert response.options == (dns.edns.EDEOption(3, "grüß"), dns.edns.EDEOption(14, None))


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("OTHER", 0),
        ("STALE_ANSWER", 3),
        ("NOT_READY", 14),
        ("STALE_NXDOMAIN_ANSWER", 19),
        ("NOT_AUTHORITATIVE", 20),
        ("NOT_SUPPORTED", 21),
    ],
)
def test_extended_error_codes(code: str, number: int) -> None:
    """The codes are those of IANA."""
    assert Ede[code] == number == dns.edns.EDECode[code]


@pytest.mark.parametrize("address", [bytes((192, 0, 2, 1)), bytes(16)], ids=["IPv4", "IPv6"])
def test_cookie_layout(address: bytes) -> None:
    """A cookie has RFC 9018's layout: client cookie, a private version, zeros, the time, a keyed hash."""
    made = edns.compose_cookie(b"abcdefgh", 2**32 + 0x01020304, address, SECRET)
    stamped = b"abcdefgh" + b"\xf8\x00\x00\x00" + b"\x01\x02\x03\x04"
    assert made[:20] == b"\x00\x0a\x00\x18" + stamped
    assert made[20:] == hashlib.blake2s(stamped + address, key=SECRET, digest_size=8).digest()


def test_cookies_differ() -> None:
    """Another client cookie, time, address or secret gives another hash."""
    base = (b"abcdefgh", 1_800_000_000, bytes(4), SECRET)
    others = [
        (b"abcdefgi", *base[1:]),
        (base[0], base[1] + 1, *base[2:]),
        (*base[:2], bytes((0, 0, 0, 1)), SECRET),
        (*base[:3], bytes(32)),
    ]
    hashes = {edns.compose_cookie(*one)[-8:] for one in (base, *others)}
    assert len(hashes) == 5


@pytest.mark.parametrize("length", [8, 16, 24, 39, 40])
def test_client_cookie(length: int) -> None:
    """The client's part is 8 octets, whatever a server's part says behind it (RFC 7873 §4)."""
    assert edns.client_cookie(PLAIN._replace(options=((10, bytes(range(length))),))) == bytes(range(8))


@pytest.mark.parametrize("length", [0, 1, 7, 9, 15, 41, 64])
def test_client_cookie_of_another_length(length: int) -> None:
    """A cookie of another length breaks the format (RFC 7873 §5.2.2)."""
    with pytest.raises(FormatError) as caught:
        edns.client_cookie(PLAIN._replace(options=((10, bytes(length)),)))
    assert caught.value.rcode == Rcode.FORMERR


def test_no_cookie() -> None:
    """A query need not have a cookie."""
    assert edns.client_cookie(PLAIN._replace(options=((3, b""),))) is None
