"""Domain names as octets: folding, text, reverse names and the labels that Kubernetes allows.

Source: RFC 1035 §3.1 and §2.3.4 (form and limits), RFC 4343 (case), RFC 3596 §2.5 (ip6.arpa),
RFC 1123 §2.1 (host names), RFC 9499 (terms). Pure.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NewType

CanonicalName = NewType("CanonicalName", bytes)
"""An owner name: length-prefixed labels in lower case, root label last, no compression (RFC 4034 §6.2)."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

ROOT = CanonicalName(b"\x00")
MAX_LABEL_OCTETS = 63  # RFC 1035 §2.3.4
MAX_NAME_OCTETS = 255  # RFC 1035 §2.3.4, length octets and root label included

IN_ADDR_ARPA = CanonicalName(b"\x07in-addr\x04arpa\x00")
IP6_ARPA = CanonicalName(b"\x03ip6\x04arpa\x00")

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")  # RFC 1123 §2.1, lower case as Kubernetes has it
_ORDINAL = re.compile(r"(.*)-([0-9]+)\Z", re.DOTALL)
_DASHED = re.compile(rb"[0-9a-f-]+\Z")
_LABEL_TEXT = r"(?:\\[0-9]{3}|\\[^0-9]|[^.\\])+"  # RFC 1035 §5.1
_NAME_TEXT = re.compile(rf"{_LABEL_TEXT}(?:\.{_LABEL_TEXT})*\.?", re.DOTALL)


def fold(name: bytes) -> CanonicalName:
    """Return *name*, whole and uncompressed, with its ASCII letters in lower case (RFC 4343 §3).

    Length octets are at most 63, below ``A``, so they stay as they are.
    """
    return CanonicalName(name.lower())


def from_text(text: str) -> CanonicalName:
    r"""Return the name that *text* writes, with or without its final dot.

    Understands ``\.`` and ``\DDD`` of RFC 1035 §5.1, so that it undoes `to_text`.

    Raises:
        ValueError: A label is empty or over 63 octets, the name is over 255, a character is not ASCII, or a
            backslash escapes nothing.
    """
    if text in ("", "."):
        return ROOT
    if not _NAME_TEXT.fullmatch(text):
        raise ValueError(f"{text!r} has an empty label, or a backslash that escapes nothing")
    return join([_unescape(label) for label in re.findall(_LABEL_TEXT, text, re.DOTALL)])


def _unescape(label: str) -> bytes:
    try:
        return re.sub(
            rb"\\([0-9]{3}|.)",
            lambda found: bytes([int(found[1])]) if len(found[1]) == 3 else found[1],
            label.encode("ascii"),
            flags=re.DOTALL,
        )
    except UnicodeEncodeError:
        raise ValueError(f"{label!r} has a character outside ASCII; write it as an A-label (xn--...)") from None
    except ValueError:
        raise ValueError(f"{label!r} has an escape over \\255") from None


def join(labels: list[bytes], parent: CanonicalName = ROOT) -> CanonicalName:
    """Return the name of *labels* below *parent*.

    Raises:
        ValueError: A label is empty or over 63 octets, or the name is over 255 octets.
    """
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL_OCTETS:
            raise ValueError(f"label {_shown(label)} has {len(label)} octets, expected 1 to {MAX_LABEL_OCTETS}")
    name = b"".join(bytes([len(label)]) + label for label in labels) + parent
    if len(name) > MAX_NAME_OCTETS:
        raise ValueError(f"name has {len(name)} octets, expected at most {MAX_NAME_OCTETS}")
    return fold(name)


def _shown(label: bytes) -> str:
    text = _escape(label)
    return f'"{text}"' if len(text) <= MAX_LABEL_OCTETS else f'"{text[: MAX_LABEL_OCTETS - 3]}..."'


def below(parent: CanonicalName, *labels: str) -> CanonicalName:
    """Return the name of ASCII *labels* below *parent*; raises ValueError as `join` does."""
    return join([label.encode("ascii") for label in labels], parent)


def split(name: bytes) -> list[bytes]:
    """Return the labels of a whole, uncompressed *name*, the root label left out."""
    labels = []
    position = 0
    while length := name[position]:
        labels.append(name[position + 1 : position + 1 + length])
        position += 1 + length
    return labels


def to_text(name: bytes) -> str:
    r"""Return *name* as in a zone file: with its final dot, odd octets as ``\DDD`` (RFC 1035 §5.1)."""
    return "".join(_escape(label) + "." for label in split(name)) or "."


def _escape(label: bytes) -> str:
    return "".join(
        "\\" + chr(octet) if octet in b'."\\();@$' else chr(octet) if 0x20 < octet < 0x7F else f"\\{octet:03d}"
        for octet in label
    )


def parent(name: CanonicalName) -> CanonicalName:
    """Return *name* without its first label. The root is its own parent."""
    return CanonicalName(name[1 + name[0] :]) if name != ROOT else ROOT


def is_at_or_below(name: CanonicalName, apex: CanonicalName) -> bool:
    """Tell whether *name* is *apex* or has it as an ancestor, label by label."""
    while len(name) > len(apex):
        name = parent(name)
    return name == apex


def is_dns_label(text: str) -> bool:
    """Tell whether *text* may be a host name's label: RFC 1123 §2.1 in lower case, 1 to 63 octets (D23)."""
    return _DNS_LABEL.match(text) is not None


def ordinal_order(hostname: str) -> tuple[str, int]:
    """Return a sort key that puts ``web-2`` before ``web-10``; a name without an ordinal comes first."""
    found = _ORDINAL.match(hostname)
    return (found[1], int(found[2])) if found else (hostname, -1)


def dashed(address: IPAddress) -> str:
    """Return *address* as one label: dots or colons as dashes, ``::`` as ``--``, a 0 after a final colon (D25)."""
    text = str(address)
    if address.version == 6 and address.ipv4_mapped:
        # Python writes ::ffff:10.0.0.1 with dots from 3.13 on and without before; all versions are to give one name.
        text = "::ffff:{:x}:{:x}".format(*divmod(int(address.ipv4_mapped), 2**16))
    label = text.replace(".", "-").replace(":", "-")
    return label + "0" if label.endswith("-") else label


def undashed(label: bytes) -> IPAddress | None:
    """Return the address that *label* writes with dashes, or None; other spellings than that of `dashed` count."""
    if not _DASHED.match(label):  # no scope (fe80--1%eth0), no IPv4 in dots
        return None
    try:
        text = label.decode("ascii")
        if text.count("-") == 3 and "--" not in text:
            return ipaddress.IPv4Address(text.replace("-", "."))
        return ipaddress.IPv6Address(text.replace("-", ":"))
    except ValueError:
        return None


def reverse_name(address: IPAddress) -> CanonicalName:
    """Return the name under which *address* has its PTR (RFC 1035 §3.5, RFC 3596 §2.5)."""
    if address.version == 4:
        return join([b"%d" % octet for octet in reversed(address.packed)], IN_ADDR_ARPA)
    return join([nibble.encode() for nibble in reversed(address.packed.hex())], IP6_ARPA)


def reverse_zones(network: IPNetwork) -> list[CanonicalName]:
    """Return the reverse zones that cover *network*, cut at octets (IPv4) or nibbles (IPv6).

    A prefix inside an octet gives several zones: 10.96.0.0/12 gives 96.10 to 111.10.in-addr.arpa.
    """
    step = 8 if network.version == 4 else 4
    prefix = -(-network.prefixlen // step) * step
    zones = []
    for subnet in network.subnets(new_prefix=prefix):
        drop = (network.max_prefixlen - prefix) // step
        labels = split(reverse_name(subnet.network_address))[drop:]
        zones.append(join(labels))
    return zones
