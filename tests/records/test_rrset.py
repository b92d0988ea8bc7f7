"""RRsets, RDATA in octets, serials and digests."""

from __future__ import annotations

import ipaddress

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.serial
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.cluster.objects import ObjectRef
from headlessdns.records import rrset
from headlessdns.records.rrset import SRV, RRset, Type

WEB_0 = names.from_text("web-0.nginx.default.svc.cluster.local")
SERVICE = ObjectRef("Service", "default", "nginx")
serials = st.integers(1, 2**32 - 1)


def text(type: Type, rdata: bytes) -> str:
    """Return *rdata* as dnspython reads it."""
    return dns.rdata.from_wire(dns.rdataclass.IN, int(type), rdata, 0, len(rdata)).to_text()


@pytest.mark.parametrize(
    ("type", "rdata", "expected"),
    [
        pytest.param(*rrset.address_rdata(ipaddress.ip_address("10.0.0.1")), "10.0.0.1", id="A"),
        pytest.param(*rrset.address_rdata(ipaddress.ip_address("2001:DB8::1")), "2001:db8::1", id="AAAA"),
        pytest.param(
            Type.SRV,
            rrset.srv_rdata(SRV(0, 100, 65535, WEB_0)),
            "0 100 65535 web-0.nginx.default.svc.cluster.local.",
            id="SRV",
        ),
        pytest.param(Type.TXT, rrset.txt_rdata("1.1.0"), '"1.1.0"', id="TXT"),
        pytest.param(Type.TXT, rrset.txt_rdata("a", "", "x" * 255), f'"a" "" "{"x" * 255}"', id="TXT-of-three-strings"),
        pytest.param(
            Type.SOA,
            rrset.soa_rdata(names.from_text("ns.x"), names.from_text("root.x"), 2**32 + 7, (1, 2, 3, 4)),
            "ns.x. root.x. 7 1 2 3 4",
            id="SOA-with-a-serial-modulo-2^32",
        ),
    ],
)
def test_rdata(type: Type, rdata: bytes, expected: str) -> None:
    """RDATA is what dnspython reads from it."""
    assert text(type, rdata) == expected


def test_srv_target() -> None:
    """The target stands behind priority, weight and port."""
    assert rrset.srv_target(rrset.srv_rdata(SRV(1, 2, 3, WEB_0))) == WEB_0


@pytest.mark.parametrize("type", Type)
def test_types(type: Type) -> None:
    """The numbers of the types are those of IANA."""
    assert dns.rdatatype.to_text(dns.rdatatype.RdataType(type)) == type.name


@pytest.mark.parametrize(
    ("previous", "now_s", "expected"),
    [
        pytest.param(0, 1_800_000_000.9, 1_800_000_000, id="the-clock-where-nothing-was"),
        pytest.param(1_700_000_000, 1_800_000_000, 1_800_000_000, id="the-clock-where-it-is-later"),
        pytest.param(1_800_000_000, 1_800_000_000, 1_800_000_001, id="twice-in-a-second"),
        pytest.param(1_800_000_005, 1_800_000_000, 1_800_000_006, id="the-clock-behind"),
        pytest.param(1_800_000_005, 1_700_000_000, 1_800_000_006, id="the-clock-far-behind"),
        pytest.param(2**32 - 1, 1_800_000_000, 1_800_000_000, id="over-the-end-to-the-clock"),
        pytest.param(0, 2**31 + 7, 2**31 + 7, id="the-clock-where-nothing-was-after-2038"),
        pytest.param(2**32 - 1, 2**32 - 1, 1, id="over-the-end-and-over-zero"),
        pytest.param(2**32 - 1, 2**32, 1, id="the-clock-at-zero"),
        pytest.param(2**32 - 5, 2**32 + 7, 7, id="the-clock-over-the-end"),
        pytest.param(100, 100 + 2**31, 101, id="half-the-circle-ahead-is-not-ahead"),
        pytest.param(100, 100 + 2**31 - 1, 99 + 2**31, id="just-below-half-the-circle-ahead"),
    ],
)
def test_next_serial(previous: int, now_s: float, expected: int) -> None:
    """The serial is the Unix time where that is ahead of the last one (RFC 1982), else one more."""
    assert rrset.next_serial(previous, now_s) == expected


@given(serials, st.integers(0, 2**33))
def test_serial_always_grows(previous: int, now_s: int) -> None:
    """A serial is always greater than the one before it, as RFC 1982 §3.2 compares."""
    serial = rrset.next_serial(previous, now_s)
    assert dns.serial.Serial(serial) > dns.serial.Serial(previous)
    assert serial != 0


def addresses(*rdatas: bytes, ttl_s: int = 5, type: Type = Type.A, owner: names.CanonicalName = WEB_0) -> RRset:
    return RRset(owner, type, ttl_s, rdatas, (SERVICE,) * len(rdatas))


ONE, TWO = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(addresses(ONE), id="a-record-less"),
        pytest.param(addresses(ONE, TWO, ttl_s=6), id="another-TTL"),
        pytest.param(addresses(ONE, TWO, type=Type.TXT), id="another-type"),
        pytest.param(addresses(ONE, TWO, owner=names.parent(WEB_0)), id="another-owner"),
        pytest.param(addresses(ONE, ONE), id="another-address"),
        pytest.param(addresses(ONE + TWO), id="the-same-octets-as-one-record"),
    ],
)
def test_digest_tells_apart(other: RRset) -> None:
    """What says something else has another digest."""
    assert addresses(ONE, TWO).digest() != other.digest()
    assert not addresses(ONE, TWO).same_records(other)


def test_digest_keeps_its_parts_apart() -> None:
    """TTL 5 with a record of 44 octets is not TTL 54 with one of 4 and more behind it."""
    rest = b"x" * 37
    assert addresses(b"aaaa" + b"37 " + rest, ttl_s=5).digest() != addresses(b"aaaa", rest, ttl_s=54).digest()


def test_digest_does_not_depend_on_order() -> None:
    """Two replicas that hold the records in another order have one digest."""
    assert addresses(ONE, TWO).digest() == addresses(TWO, ONE).digest()


def test_digest_is_that_of_every_version() -> None:
    """The digest of one RRset is fixed, so that replicas of different builds can be compared."""
    assert f"{addresses(ONE).digest():032x}" == "df06456f4feb9b33616d6b21ea7b6e25"


def test_origin_is_no_record() -> None:
    """Where records came from makes no difference to what is said."""
    moved = msgspec.structs.replace(addresses(ONE), origins=(ObjectRef("EndpointSlice", "default", "nginx-1"),))
    assert moved.same_records(addresses(ONE))
    assert moved.digest() == addresses(ONE).digest()


def test_describe() -> None:
    """A person reads owner name and type."""
    assert rrset.describe(addresses(ONE)) == "web-0.nginx.default.svc.cluster.local. A"
