"""Frames between the parent and its workers."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.metrics.counters import Counters
from headlessdns.server import framing
from headlessdns.server.framing import FrameKind, FrameReader, Setup
from headlessdns.wire.answers import Answer, Apex, Delta, Node, State
from headlessdns.wire.respond import Identity

ZONE = b"\x07cluster\x05local\x00"

ROWS = [
    pytest.param(FrameKind.COMPLETE, None, b"\x00\x00\x00\x01\x02", id="no payload"),
    pytest.param(FrameKind.REPORT, None, b"\x00\x00\x00\x01\x03", id="a sign of life"),
    pytest.param(FrameKind.SETUP, 1, b"\x00\x00\x00\x02\x00\x01", id="length counts kind and payload"),
    pytest.param(FrameKind.DELTA, b"ab", b"\x00\x00\x00\x05\x01\xc4\x02ab", id="payload is msgpack"),
]


@pytest.mark.parametrize(("kind", "payload", "octets"), ROWS)
def test_a_frame_is_length_kind_and_payload(kind: FrameKind, payload: object, octets: bytes) -> None:
    """A frame is 4 octets of length, 1 of kind, and msgpack."""
    assert framing.encode(kind, payload) == octets
    assert FrameReader().feed(octets) == [(kind, octets[5:])]


@given(
    frames=st.lists(st.tuples(st.sampled_from(FrameKind), st.none() | st.binary(max_size=300)), max_size=20),
    cuts=st.lists(st.integers(min_value=0), max_size=20),
)
def test_any_chunking_gives_the_same_frames(frames: list[tuple[FrameKind, bytes | None]], cuts: list[int]) -> None:
    """However the octets of a feed come apart, the same frames come out, in order."""
    octets = b"".join(framing.encode(kind, payload) for kind, payload in frames)
    expected = [(kind, b"" if payload is None else msgspec.msgpack.encode(payload)) for kind, payload in frames]
    edges = sorted({cut % (len(octets) + 1) for cut in cuts} | {0, len(octets)})
    reader = FrameReader()
    found = [frame for start, end in itertools.pairwise(edges) for frame in reader.feed(octets[start:end])]
    assert found == expected


def test_an_unfinished_frame_is_kept() -> None:
    """Octets of a frame that is not whole yet give nothing, and are not lost."""
    reader = FrameReader()
    octets = framing.encode(FrameKind.DELTA, bytes(100))
    assert [reader.feed(octets[at : at + 1]) for at in range(len(octets) - 1)] == [[]] * (len(octets) - 1)
    assert reader.feed(octets[-1:] + octets) == [(FrameKind.DELTA, octets[5:])] * 2


IDENTITY = Identity(server_id="dns-0", has_resolver=True)
SETUP = Setup(IDENTITY, (("::1", 53), ("127.0.0.1", 53)), (7, 8), ("10.0.0.1", 53))
STATE = State((Apex(ZONE, b"soa"),), True, False, {b"\x01a\x00": "Pods"}, {}, b"\x03pod\x00", 7)
NODE = Node(ZONE, {1: Answer(b"rr", 2, 1, b"glue", 1, 3, ZONE, ZONE)}, Answer(b"", 0))
DELTA = Delta(STATE, {ZONE: NODE, b"\x00": None})


def test_what_is_encoded_is_decoded() -> None:
    """Set-up, deltas and reports come out as they went in."""
    counters = Counters("udp")
    counters.count(1, [bytes(12) + b"\x00\x00\x01\x00\x01"], 0.001)
    rows = [
        (framing.decode_setup, FrameKind.SETUP, SETUP),
        (framing.decode_delta, FrameKind.DELTA, DELTA),
        (framing.decode_report, FrameKind.REPORT, counters.report()),
    ]
    for decode, kind, value in rows:
        ((found, payload),) = FrameReader().feed(framing.encode(kind, value))
        assert (found, decode(payload)) == (kind, value)
