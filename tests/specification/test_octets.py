"""Questions whose octets are made to mislead: a suffix that is none, zero octets, pointers, labels that are no text."""

from __future__ import annotations

import pytest

from tests import support
from tests.specification.rows import Asker, Row, nxdomain, parametrize, refused


@parametrize(
    refused("one-label-that-ends-like-the-zone-in-octets", r"x\007cluster\005local. A"),
    refused("one-label-that-ends-like-a-service-in-octets", r"x\005nginx\007default\003svc\007cluster\005local. A"),
    nxdomain("zero-octet-in-the-first-label", r"a\000b.cluster.local. A"),
    nxdomain("zero-octet-at-the-end-of-a-label", r"web-0\000.nginx A"),
    nxdomain("zero-octet-after-a-known-name", r"\000.web-0.nginx A"),
    nxdomain("label-of-one-zero-octet", r"\000.cluster.local. A"),
    refused("zero-octet-in-the-label-of-the-zone", r"cluster\000.local. A"),
    nxdomain("dot-in-a-label", r"web-0\.nginx.default.svc.cluster.local. A"),
    nxdomain("space-in-a-label", r"web\032zero.nginx A"),
    nxdomain("octets-above-127", r"\195\182.nginx A"),
    nxdomain("octets-that-fold-to-others-outside-ASCII", r"\196\150.nginx A"),
    nxdomain("at-sign-is-no-folded-accent", r"web-0\064.nginx A"),
    nxdomain("a-bracket-is-no-folded-brace", r"\091.nginx A"),
)
def test_misleading_labels(asker: Asker, row: Row) -> None:
    """Names are compared label by label, and only the letters A to Z are folded."""
    asker.check(row)


ZONE_NAME = b"\x07cluster\x05local\x00"
A_IN = b"\x00\x01\x00\x01"


@pytest.mark.parametrize(
    ("qname", "tail"),
    [
        pytest.param(b"\xc0\x0c", A_IN, id="pointer-to-itself"),
        pytest.param(b"\x03web\xc0\x0c", A_IN, id="pointer-to-its-own-start"),
        pytest.param(b"\x05nginx\xc0\x00", A_IN, id="pointer-into-the-header"),
        pytest.param(b"\x05nginx\xff\xff", A_IN, id="pointer-past-the-end"),
        pytest.param(b"\x41bcluster" + ZONE_NAME, A_IN, id="extended-label-type"),
        pytest.param(b"\x80" + ZONE_NAME, A_IN, id="reserved-label-type"),
        pytest.param(b"\x0dxcluster\x05local\x00", A_IN, id="next-label-of-108-octets"),
        pytest.param(b"\x3fweb", A_IN, id="label-past-the-end"),
        pytest.param(b"\x03a\x00b", A_IN, id="zero-octet-and-no-root-label"),
        pytest.param(b"\x05nginx", b"", id="no-root-label"),
        pytest.param(ZONE_NAME, b"", id="no-QTYPE"),
        pytest.param(ZONE_NAME, b"\x00\x01\x00", id="half-of-QCLASS"),
        pytest.param(b"", b"", id="no-QNAME"),
        pytest.param((b"\x3f" + b"a" * 63) * 3 + b"\x30" + b"b" * 48 + ZONE_NAME, A_IN, id="name-of-256-octets"),
    ],
)
@pytest.mark.parametrize("edns", [False], indirect=True)
def test_broken_names(asker: Asker, qname: bytes, tail: bytes) -> None:
    """A QNAME that cannot be read, or is compressed, is FORMERR without a question (RFC 9619, RFC 8906 §3.1)."""
    message = support.header(flags=0x0100, questions=1) + qname + tail
    response = asker.of.exchange(message, is_stream=asker.is_stream)
    assert response == support.header(flags=0x8101)


@pytest.mark.parametrize("edns", [False], indirect=True)
def test_longest_name(asker: Asker) -> None:
    """A name of 255 octets is a name, and is denied like any other."""
    qname = (b"\x3f" + b"a" * 63) * 3 + b"\x2f" + b"b" * 47 + ZONE_NAME
    assert len(qname) == 255
    message = support.header(flags=0x0100, questions=1) + qname + A_IN
    response = asker.of.exchange(message, is_stream=asker.is_stream)
    assert response is not None
    assert response[:12] == support.header(flags=0x8503, questions=1, authorities=1)
    assert response[12:].startswith(qname + A_IN + b"\xc0\xfc\x00\x06\x00\x01")  # 0x0fc: where cluster.local begins
