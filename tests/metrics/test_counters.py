"""Counting responses in a worker, and adding up what several workers counted."""

from __future__ import annotations

import msgspec
import pytest

from headlessdns.metrics.counters import LATENCY_BUCKETS_S, Counters, Report, merged

QNAME = b"\x05web-0\x05nginx\x00"
A, AAAA, SRV = 1, 28, 33
NOERROR, FORMERR, NXDOMAIN = 0, 1, 3


def response(rcode: int = NOERROR, qtype: int = A, *, size: int = 64, flags: int = 0x84) -> bytes:
    head = b"\x00\x07" + bytes((flags, rcode)) + b"\x00\x01\x00\x01\x00\x00\x00\x00"
    message = head + QNAME + qtype.to_bytes(2, "big") + b"\x00\x01"
    return message.ljust(size, b"\xff")


def test_kinds() -> None:
    """Responses are counted by family, RCODE and QTYPE."""
    counters = Counters("udp")
    counters.count(1, [response(), response(), response(NXDOMAIN), response(qtype=SRV)], 0.0)
    counters.count(2, [response()], 0.0)
    assert counters.report().by_kind == {
        (1, NOERROR, A): 2,
        (1, NXDOMAIN, A): 1,
        (1, NOERROR, SRV): 1,
        (2, NOERROR, A): 1,
    }


def test_flags_beside_rcode() -> None:
    """RA, AD and CD, which share an octet with RCODE, make no kinds of their own."""
    counters = Counters("udp")
    counters.count(1, [response(0x80 | NXDOMAIN), response(0x30 | NXDOMAIN)], 0.0)
    assert counters.report().by_kind == {(1, NXDOMAIN, A): 2}


def test_without_question() -> None:
    """A response without a question, such as a bare FORMERR, has QTYPE 0, whatever its ID and its OPT record are."""
    counters = Counters("udp")
    counters.count(1, [b"\x00\x07\x84\x01" + bytes(8)], 0.0)
    counters.count(1, [b"\x00\x01\x84\x00" + bytes(7) + b"\x01" + b"\x00\x00\x29\x04\xd0" + bytes(6)], 0.0)
    assert counters.report().by_kind == {(1, FORMERR, 0): 1, (1, NOERROR, 0): 1}


def test_tallies() -> None:
    """What the table counted into a tally is added under the RCODE and QTYPE of each place."""
    counters = Counters("udp")
    counters.count(1, [response()], 0.0)
    counters.tallies = {1: [3, 0, 2, 0], 2: [0, 1]}
    assert counters.report([(NOERROR, A), (NOERROR, AAAA), (NXDOMAIN, A)]).by_kind == {
        (1, NOERROR, A): 4,
        (1, NXDOMAIN, A): 2,
        (2, NOERROR, AAAA): 1,
    }


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        pytest.param(12, 0, id="a bare header is in the first bucket"),
        pytest.param(64, 0, id="64 octets are in the bucket up to 64"),
        pytest.param(65, 1, id="65 octets are in the bucket up to 128"),
        pytest.param(512, 7, id="512 octets are in the bucket up to 512"),
        pytest.param(1280, 19, id="1280 octets are in the last closed bucket"),
        pytest.param(1281, 20, id="1281 octets are in the open bucket"),
        pytest.param(65535, 20, id="the largest message is in the open bucket"),
    ],
)
def test_sizes(size: int, bucket: int) -> None:
    """A bucket holds the sizes up to its edge."""
    counters = Counters("tcp")
    counters.count(1, [response(size=size)[:size]], 0.0)
    report = counters.report()
    assert [index for index, count in enumerate(report.sizes) if count] == [bucket]
    assert (len(report.sizes), report.size_octets) == (21, size)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0.0, 0, id="no time"),
        pytest.param(0.000_01, 0, id="an edge belongs to the bucket below"),
        pytest.param(0.000_011, 1, id="above an edge"),
        pytest.param(9.0, 12, id="above the last edge"),
    ],
)
def test_latency(seconds: float, bucket: int) -> None:
    """Each response of a batch counts with the time of the whole batch."""
    counters = Counters("udp")
    counters.count(1, [response()] * 3, seconds)
    report = counters.report()
    assert [(index, count) for index, count in enumerate(report.latencies) if count] == [(bucket, 3)]
    assert len(report.latencies) == len(LATENCY_BUCKETS_S) + 1
    assert report.latency_s == pytest.approx(3 * seconds)


def test_truncated() -> None:
    """Responses with TC are counted."""
    counters = Counters("udp")
    counters.count(1, [response(flags=0x86), response(), response(flags=0x82)], 0.0)
    assert counters.report().truncated == 2


def test_report_crosses_the_feed() -> None:
    """A report is the same after it went through msgpack."""
    counters = Counters("udp")
    counters.dropped, counters.lost, counters.refused = 1, 2, 3
    counters.resolver = {"NOERROR": 4, "timeout": 0}
    counters.count(2, [response(NXDOMAIN, AAAA)], 0.001)
    report = counters.report()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=Report) == report


def test_merged() -> None:
    """Reports are added up by protocol, and stay as they were."""
    one, two, stream = Counters("udp"), Counters("udp"), Counters("tcp")
    one.count(1, [response(), response(size=100)], 0.001)
    two.count(1, [response(flags=0x86), response(NXDOMAIN)], 0.002)
    one.dropped, two.dropped, two.lost, stream.refused = 1, 2, 4, 5
    one.resolver, two.resolver = {"NOERROR": 4, "timeout": 0}, {"NOERROR": 1, "timeout": 2}
    reports = [one.report(), two.report(), stream.report()]
    before = [msgspec.msgpack.encode(report) for report in reports]
    sums = merged(reports)
    assert set(sums) == {"udp", "tcp"}
    assert sums["udp"].by_kind == {(1, NOERROR, A): 3, (1, NXDOMAIN, A): 1}
    assert sums["udp"].sizes[:2] == [3, 1]
    assert sums["udp"].size_octets == 292
    assert sums["udp"].latencies[6:8] == [2, 2]
    assert sums["udp"].latency_s == pytest.approx(0.006)
    assert (sums["udp"].dropped, sums["udp"].lost, sums["udp"].truncated, sums["udp"].refused) == (3, 4, 1, 0)
    assert (sums["tcp"].refused, sums["tcp"].by_kind) == (5, {})
    assert (sums["udp"].resolver, sums["tcp"].resolver) == ({"NOERROR": 5, "timeout": 2}, {})
    assert [msgspec.msgpack.encode(report) for report in reports] == before
