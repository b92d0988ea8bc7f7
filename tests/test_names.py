"""Domain names as octets."""

from __future__ import annotations

import ipaddress

import dns.name
import dns.reversename
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.names import CanonicalName

labels = st.binary(min_size=1, max_size=63)
some_names = st.lists(labels, max_size=5).filter(lambda found: sum(map(len, found)) + len(found) <= 254)
addresses = st.ip_addresses()


def named(text: str) -> CanonicalName:
    """Return a name as dnspython writes it."""
    return CanonicalName(dns.name.from_text(text).to_wire().lower())


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        pytest.param("cluster.local", b"\x07cluster\x05local\x00", id="without-final-dot"),
        pytest.param("cluster.local.", b"\x07cluster\x05local\x00", id="with-final-dot"),
        pytest.param("Cluster.LOCAL", b"\x07cluster\x05local\x00", id="folded"),
        pytest.param("", b"\x00", id="nothing-is-the-root"),
        pytest.param(".", b"\x00", id="root"),
        pytest.param("a", b"\x01a\x00", id="one-label"),
        pytest.param(r"a\.b.c", b"\x03a.b\x01c\x00", id="escaped-dot"),
        pytest.param(r"a\..b", b"\x02a.\x01b\x00", id="escaped-dot-before-a-dot"),
        pytest.param(r"\..b", b"\x01.\x01b\x00", id="escaped-dot-alone"),
        pytest.param(r"a\\.b", b"\x02a\\\x01b\x00", id="escaped-backslash-before-a-dot"),
        pytest.param(r"\000\255.x", b"\x02\x00\xff\x01x\x00", id="octets-in-decimal"),
        pytest.param(r"\0651", b"\x02a1\x00", id="three-digits-and-no-more"),
        pytest.param("x" * 63 + ".y", b"\x3f" + b"x" * 63 + b"\x01y\x00", id="label-of-63-octets"),
        pytest.param("_web._tcp", b"\x04_web\x04_tcp\x00", id="underscores"),
    ],
)
def test_from_text(text: str, octets: bytes) -> None:
    """A name is read as zone files have it."""
    assert names.from_text(text) == octets


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("a..b", "empty label", id="empty-label"),
        pytest.param(".a", "empty label", id="empty-label-at-the-start"),
        pytest.param("a..", "empty label", id="empty-label-at-the-end"),
        pytest.param("..", "empty label", id="two-dots"),
        pytest.param("x" * 64, "64 octets, expected 1 to 63", id="label-of-64-octets"),
        pytest.param(".".join(["x" * 63] * 4), "257 octets, expected at most 255", id="name-of-257-octets"),
        pytest.param("bücher.example", "outside ASCII", id="not-ASCII"),
        pytest.param(r"a\256", r"over \\255", id="escape-over-255"),
        pytest.param("a\\", "backslash that escapes nothing", id="backslash-at-the-end"),
        pytest.param("a\\.b\\", "backslash that escapes nothing", id="backslash-at-the-end-of-two-labels"),
        pytest.param(r"a\12", "backslash that escapes nothing", id="two-digits"),
    ],
)
def test_from_text_refuses(text: str, complaint: str) -> None:
    """What is no name is refused with a reason."""
    with pytest.raises(ValueError, match=complaint):
        names.from_text(text)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        pytest.param(b"\x00", ".", id="root"),
        pytest.param(b"\x03web\x05nginx\x00", "web.nginx.", id="final-dot"),
        pytest.param(b"\x03a.b\x00", r"a\.b.", id="dot-in-a-label"),
        pytest.param(b"\x03a\\b\x00", r"a\\b.", id="backslash"),
        pytest.param(b'\x06a"();@$\x00'[:7] + b"\x00", r"a\"\(\)\;\@.", id="what-zone-files-mean-something-by"),
        pytest.param(b"\x04\x00 \x7f\xff\x00", r"\000\032\127\255.", id="octets-that-do-not-print"),
    ],
)
def test_to_text(octets: bytes, text: str) -> None:
    """A name is written as zone files have it."""
    assert names.to_text(octets) == text


@given(some_names)
def test_text_round_trip(found: list[bytes]) -> None:
    """What `to_text` writes, `from_text` reads, and dnspython reads the same from it."""
    name = names.join(found)
    text = names.to_text(name)
    assert names.from_text(text) == name
    assert dns.name.from_text(text).to_wire() == name


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    """Any text is a name that holds all limits, or a ValueError."""
    try:
        name = names.from_text(text)
    except ValueError:
        return
    assert len(name) <= 255
    assert dns.name.from_wire(name, 0)[1] == len(name)


@given(some_names)
def test_split_and_join(found: list[bytes]) -> None:
    """`split` undoes `join`, but for the letter case."""
    assert names.split(names.join(found)) == [label.lower() for label in found]


@pytest.mark.parametrize(
    ("given_labels", "parent"),
    [
        pytest.param([b""], names.ROOT, id="empty-label"),
        pytest.param([b"x" * 64], names.ROOT, id="label-of-64-octets"),
        pytest.param([b"x" * 63] * 3 + [b"x" * 62], names.ROOT, id="256-octets"),
        pytest.param([b"x" * 63] * 3, named("x" * 62), id="256-octets-with-the-parent"),
    ],
)
def test_join_refuses(given_labels: list[bytes], parent: CanonicalName) -> None:
    """No name breaks the limits of RFC 1035 §2.3.4."""
    with pytest.raises(ValueError, match="expected"):
        names.join(given_labels, parent)


def test_join_of_255_octets() -> None:
    """A name may have 255 octets, the root label counted."""
    assert len(names.join([b"x" * 63] * 3 + [b"x" * 61])) == 255


def test_below() -> None:
    """Labels stand before their parent."""
    assert names.below(named("svc.cluster.local"), "web-0", "nginx") == named("web-0.nginx.svc.cluster.local")


def test_fold() -> None:
    """Only A to Z are folded; length octets and letters outside ASCII stay (RFC 4343 §3)."""
    assert names.fold(b"\x03WeB\x02\xc4\xd6\x04@[`{\x00") == b"\x03web\x02\xc4\xd6\x04@[`{\x00"


@pytest.mark.parametrize(
    ("name", "parent"),
    [("web-0.nginx", "nginx"), ("nginx", "."), (".", ".")],
)
def test_parent(name: str, parent: str) -> None:
    """The parent has one label less, and the root is its own."""
    assert names.parent(named(name)) == named(parent)


@pytest.mark.parametrize(
    ("name", "apex", "is_below"),
    [
        pytest.param("cluster.local", "cluster.local", True, id="itself"),
        pytest.param("svc.cluster.local", "cluster.local", True, id="child"),
        pytest.param("local", "cluster.local", False, id="parent"),
        pytest.param("xcluster.local", "cluster.local", False, id="longer-label"),
        pytest.param(r"x\007cluster\005local", "cluster.local", False, id="equal-in-octets-alone"),
        pytest.param("cluster.local", ".", True, id="below-the-root"),
        pytest.param("a.b", "c.d", False, id="as-long-and-another"),
    ],
)
def test_is_at_or_below(name: str, apex: str, is_below: bool) -> None:
    """Names are compared label by label."""
    assert names.is_at_or_below(named(name), named(apex)) is is_below


@pytest.mark.parametrize("text", ["a", "0", "web-0", "a--b", "x" * 63, "xn--bcher-kva"])
def test_dns_labels(text: str) -> None:
    """Letters, digits and dashes, no dash at either end, 63 octets at most, make a label."""
    assert names.is_dns_label(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "a.b", "A", "under_score", "x" * 64, "ü", "a b", "a\n", "web-0\x00", "*", "٣"]
)
def test_no_dns_labels(text: str) -> None:
    """Anything else is none."""
    assert not names.is_dns_label(text)


def test_ordinal_order() -> None:
    """Host names are ordered by set and ordinal, not by their text."""
    hosts = ["web-10", "web-2", "web", "db-11", "web-0", "10-0-0-9", "web-2-1", "10-0-0-10", "web-x", "db-9"]
    assert sorted(hosts, key=names.ordinal_order) == [
        "10-0-0-9",
        "10-0-0-10",
        "db-9",
        "db-11",
        "web",
        "web-0",
        "web-2",
        "web-10",
        "web-2-1",
        "web-x",
    ]


@pytest.mark.parametrize(
    ("address", "label"),
    [
        pytest.param("10.0.0.1", "10-0-0-1", id="IPv4"),
        pytest.param("2001:DB8:0:0:0:0:0:1", "2001-db8--1", id="IPv6"),
        pytest.param("::", "--0", id="unspecified"),
        pytest.param("::1", "--1", id="loopback"),
        pytest.param("2001:db8::", "2001-db8--0", id="zeros-at-the-end"),
        pytest.param("1:2:3:4:5:6:7:8", "1-2-3-4-5-6-7-8", id="eight-groups"),
        pytest.param("::ffff:10.0.0.1", "--ffff-a00-1", id="IPv4-mapped"),
        pytest.param("::ffff:0.0.0.0", "--ffff-0-0", id="IPv4-mapped-zeros"),
    ],
)
def test_dashed(address: str, label: str) -> None:
    """An address becomes a label and back (D25)."""
    parsed = ipaddress.ip_address(address)
    assert names.dashed(parsed) == label
    assert names.undashed(label.encode()) == parsed


@given(addresses)
def test_dashed_round_trip(address: names.IPAddress) -> None:
    """The label of any address is one label and leads back to it."""
    label = names.dashed(address)
    assert len(label) <= 63
    assert "." not in label
    assert names.undashed(label.encode()) == address


@pytest.mark.parametrize(
    "label",
    [
        b"",
        b"-",
        b"---",
        b"10-0-0",
        b"10-0-0-256",
        b"010-0-0-1",
        b"10-0-0-0x1",
        b"web-0",
        b"1-2-3-4-5",
        b"--1--2",
        b"fe80--1%eth0",
        b"--ffff-10.0.0.1",
        b"10.0.0.1",
        b"FD00--1",
        b"2001-db8--10000",
        b"\xd9\xa1-2-3-4",  # a digit, but of another script
        b"\xff-1-2-3",
        b"10-0-0-1\n",
    ],
)
def test_no_dashed_address(label: bytes) -> None:
    """What is no address in lower case with dashes is none."""
    assert names.undashed(label) is None


@given(st.binary(max_size=63))
def test_undashed_any_label(label: bytes) -> None:
    """Any octets give an address or None."""
    found = names.undashed(label)
    assert found is None or isinstance(found, (ipaddress.IPv4Address, ipaddress.IPv6Address))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.96.0.1", "1.0.96.10.in-addr.arpa"),
        ("255.0.0.0", "0.0.0.255.in-addr.arpa"),
        ("2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
    ],
)
def test_reverse_name(address: str, name: str) -> None:
    """The reverse name has octets (IPv4) or nibbles (IPv6) backwards (RFC 1035 §3.5, RFC 3596 §2.5)."""
    assert names.reverse_name(ipaddress.ip_address(address)) == named(name)


@given(addresses)
def test_reverse_name_of_any_address(address: names.IPAddress) -> None:
    """Every reverse name is the one that dnspython has, and lies in the zone of every network around the address."""
    assume(address.version == 4 or address.ipv4_mapped is None)  # dnspython takes those for IPv4
    name = names.reverse_name(address)
    assert name == dns.reversename.from_address(str(address)).to_wire()
    for prefix in (0, 8, 20, 32):
        network = ipaddress.ip_network((address, prefix), strict=False)
        zones = names.reverse_zones(network)
        assert sum(names.is_at_or_below(name, zone) for zone in zones) == 1


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        pytest.param("0.0.0.0/0", ["in-addr.arpa"], id="all-of-IPv4"),
        pytest.param("::/0", ["ip6.arpa"], id="all-of-IPv6"),
        pytest.param("10.0.0.0/8", ["10.in-addr.arpa"], id="at-an-octet"),
        pytest.param("10.96.0.0/15", ["96.10.in-addr.arpa", "97.10.in-addr.arpa"], id="inside-an-octet"),
        pytest.param("192.0.2.4/31", ["4.2.0.192.in-addr.arpa", "5.2.0.192.in-addr.arpa"], id="two-addresses"),
        pytest.param("192.0.2.4/32", ["4.2.0.192.in-addr.arpa"], id="one-address"),
        pytest.param("fd00::/8", ["d.f.ip6.arpa"], id="at-a-nibble"),
        pytest.param("fd00::/7", ["c.f.ip6.arpa", "d.f.ip6.arpa"], id="inside-a-nibble"),
        pytest.param("2001:db8::/32", ["8.b.d.0.1.0.0.2.ip6.arpa"], id="IPv6-of-a-site"),
    ],
)
def test_reverse_zones(network: str, zones: list[str]) -> None:
    """A network is covered by the zones at the next octet or nibble."""
    parsed = ipaddress.ip_network(network, strict=False)
    assert names.reverse_zones(parsed) == [named(zone) for zone in zones]
