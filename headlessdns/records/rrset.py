"""RRsets and changes of a zone as values (RFC 2181 §5, RFC 9499). Pure."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from headlessdns import names
from headlessdns.cluster.objects import ObjectRef
from headlessdns.names import CanonicalName, IPAddress

MAX_TTL_S = 2**31 - 1  # RFC 2181 §8


class Type(IntEnum):
    """The RR types that we have data for (IANA DNS parameters)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33


class RRset(msgspec.Struct, frozen=True, gc=False):
    """The records of one owner name and type, which share a TTL (RFC 2181 §5.2).

    Attributes:
        owner: The owner name.
        type: The RR type; the class is always IN.
        ttl_s: Time to live, 0 to 2^31 - 1.
        rdatas: RDATA in octets, names in it uncompressed and in lower case. No two are equal.
        origins: For each of `rdatas`, the object that it came from.
    """

    owner: CanonicalName
    type: Type
    ttl_s: int
    rdatas: tuple[bytes, ...]
    origins: tuple[ObjectRef, ...] = ()

    def digest(self) -> int:
        """Return a 128-bit digest of the records; it does not depend on their order."""
        hashed = blake2b(digest_size=16)
        hashed.update(self.owner)
        hashed.update(b"%d %d " % (self.type, self.ttl_s))
        for rdata in sorted(self.rdatas):
            hashed.update(b"%d " % len(rdata))
            hashed.update(rdata)
        return int.from_bytes(hashed.digest(), "big")

    def same_records(self, other: RRset) -> bool:
        """Tell whether *other* says the same; where the records came from does not count."""
        return (self.type, self.ttl_s, self.rdatas, self.owner) == (other.type, other.ttl_s, other.rdatas, other.owner)


class Change(NamedTuple):
    """What one step changed in one zone; a journal can be built on it (RFC 1995 §4 has the same form).

    Attributes:
        apex: The zone.
        serial_before: SOA serial before.
        serial: SOA serial after.
        removed: RRsets as they were. An RRset that changed is in both lists.
        added: RRsets as they are now.
    """

    apex: CanonicalName
    serial_before: int
    serial: int
    removed: tuple[RRset, ...]
    added: tuple[RRset, ...]


class SRV(NamedTuple):
    """RDATA of an SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: CanonicalName


def address_rdata(address: IPAddress) -> tuple[Type, bytes]:
    """Return the type and RDATA of an address: A (RFC 1035 §3.4.1) or AAAA (RFC 3596 §2.2)."""
    return (Type.A if address.version == 4 else Type.AAAA), address.packed


def srv_rdata(srv: SRV) -> bytes:
    """Return the RDATA of *srv*; the target is never compressed (RFC 2782)."""
    return b"%b%b%b%b" % (
        srv.priority.to_bytes(2, "big"),
        srv.weight.to_bytes(2, "big"),
        srv.port.to_bytes(2, "big"),
        srv.target,
    )


def srv_target(rdata: bytes) -> CanonicalName:
    """Return the target in the RDATA of an SRV record."""
    return CanonicalName(rdata[6:])


def txt_rdata(*strings: str) -> bytes:
    """Return the RDATA of a TXT record; each of *strings* has at most 255 octets (RFC 1035 §3.3.14)."""
    return b"".join(bytes([len(string)]) + string for string in (text.encode() for text in strings))


def soa_rdata(mname: CanonicalName, rname: CanonicalName, serial: int, timers_s: tuple[int, int, int, int]) -> bytes:
    """Return the RDATA of an SOA record (RFC 1035 §3.3.13).

    Args:
        mname: The primary name server.
        rname: The mailbox of who is responsible.
        serial: The version of the zone, modulo 2^32.
        timers_s: REFRESH, RETRY, EXPIRE and MINIMUM.
    """
    return mname + rname + b"".join(number.to_bytes(4, "big") for number in (serial % 2**32, *timers_s))


def next_serial(previous: int, now_s: float) -> int:
    """Return a serial after *previous*: the Unix time where that is later, else one more (RFC 1982 §3).

    Zero is no serial but means that there was none, after which any time is later (also from 2038 on).
    """
    clock = int(now_s) % 2**32
    is_ahead = not previous or 0 < (clock - previous) % 2**32 < 2**31
    return (clock if is_ahead else (previous + 1) % 2**32) or 1


def describe(rrset: RRset) -> str:
    """Return the owner name and type of *rrset* for a person."""
    return f"{names.to_text(rrset.owner)} {rrset.type.name}"
