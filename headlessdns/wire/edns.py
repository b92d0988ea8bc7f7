"""EDNS: our own OPT record, cookies, NSID and extended errors.

Source: RFC 6891 (EDNS), RFC 7873 and RFC 9018 (cookies), RFC 5001 (NSID), RFC 8914 (extended errors). Pure: the time,
the secret and the client's address come in as arguments.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2s

from headlessdns.errors import FormatError
from headlessdns.wire.parse import EDNS_DO, OPTION_COOKIE, Opt, Rcode

UDP_SIZE_OCTETS = 1232  # the largest that crosses every link unfragmented (DNS flag day 2020)
PLAIN_SIZE_OCTETS = 512  # RFC 1035 §4.2.1
STREAM_SIZE_OCTETS = 65535  # RFC 1035 §4.2.2
OPTION_NSID = 3
OPTION_EDE = 15
COOKIE_VERSION = b"\xf8\x00\x00\x00"  # a private version (RFC 9018 §4.4 lists 240 to 254): the hash is not SipHash
SECRET_OCTETS = 32


class Ede(IntEnum):
    """Extended DNS Error codes (RFC 8914 §4) that we send."""

    OTHER = 0
    STALE_ANSWER = 3
    NOT_READY = 14
    STALE_NXDOMAIN_ANSWER = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22
    NETWORK_ERROR = 23


def response_limit(opt: Opt | None, *, is_stream: bool) -> int:
    """Return how many octets the response may have (RFC 6891 §6.2.3: sizes below 512 mean 512)."""
    if is_stream:
        return STREAM_SIZE_OCTETS
    if opt is None:
        return PLAIN_SIZE_OCTETS
    return min(UDP_SIZE_OCTETS, max(PLAIN_SIZE_OCTETS, opt.size_octets))


def compose_opt(opt: Opt, rcode: int = Rcode.NOERROR, options: bytes = b"") -> bytes:
    """Return the OPT record of the response to a query that had *opt*: our size, version 0, DO copied."""
    flags = EDNS_DO if opt.wants_dnssec else 0
    return b"\x00\x00\x29%b%b\x00%b%b%b" % (
        UDP_SIZE_OCTETS.to_bytes(2, "big"),
        bytes((rcode >> 4,)),
        flags.to_bytes(2, "big"),
        len(options).to_bytes(2, "big"),
        options,
    )


def compose_option(code: int, data: bytes) -> bytes:
    """Return one EDNS option (RFC 6891 §6.1.2)."""
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def compose_ede(code: Ede, text: str = "") -> bytes:
    """Return an extended error option (RFC 8914 §2)."""
    return compose_option(OPTION_EDE, code.to_bytes(2, "big") + text.encode())


def compose_cookie(client_cookie: bytes, now_s: int, address: bytes, secret: bytes) -> bytes:
    """Return the COOKIE option for a client (RFC 9018 §4: client cookie, version, reserved, time, hash).

    Args:
        client_cookie: 8 octets.
        now_s: Unix time.
        address: The client's address, 4 or 16 octets.
        secret: `SECRET_OCTETS` octets, the same on all replicas that share a name.
    """
    stamped = client_cookie + COOKIE_VERSION + (now_s % 2**32).to_bytes(4, "big")
    mac = blake2s(stamped + address, key=secret, digest_size=8).digest()
    return compose_option(OPTION_COOKIE, stamped + mac)


def client_cookie(opt: Opt) -> bytes | None:
    """Return the client's part of the COOKIE option, or None where there is none.

    The server's part is not looked at: a bad or old one is never refused, a fresh one is sent back instead.

    Raises:
        FormatError: The option has another length than RFC 7873 §4 allows.
    """
    cookie = opt.option(OPTION_COOKIE)
    if cookie is None:
        return None
    if len(cookie) != 8 and not 16 <= len(cookie) <= 40:
        raise FormatError("a cookie has 8 or 16 to 40 octets")
    return cookie[:8]
