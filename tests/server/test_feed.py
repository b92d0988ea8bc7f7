"""A worker's end of the feed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from headlessdns.server import framing
from headlessdns.server.feed import Feed, ParentGoneError
from headlessdns.server.framing import FrameKind, Setup
from headlessdns.wire.answers import Answer, Apex, Delta, Node, State
from headlessdns.wire.respond import Identity

ZONE = b"\x07cluster\x05local\x00"
NAME = b"\x01a" + ZONE
SETUP = framing.encode(FrameKind.SETUP, Setup(Identity(server_id="me"), (("127.0.0.1", 53),)))
COMPLETE = framing.encode(FrameKind.COMPLETE)


def delta(*, is_ready: bool) -> bytes:
    state = State((Apex(ZONE, b"soa"),), is_ready)
    return framing.encode(FrameKind.DELTA, Delta(state, {NAME: Node(ZONE, {1: Answer(b"rr", 1)})}))


@pytest.fixture
def pair() -> Iterator[tuple[Feed, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Feed(ours), theirs


def test_a_step_that_comes_right_behind_the_first_table_is_applied(pair: tuple[Feed, socket.socket]) -> None:
    """A delta in the same octets as COMPLETE is in the table when loading ends, not when the next one comes."""
    feed, parent = pair
    parent.sendall(SETUP + delta(is_ready=False) + COMPLETE + delta(is_ready=True))
    setup = feed.load()
    assert setup.identity.server_id == "me"
    assert feed.table.state.is_ready
    assert NAME in feed.table.names


def test_what_comes_later_is_applied_without_waiting(pair: tuple[Feed, socket.socket]) -> None:
    """`apply_pending` takes what is there, half a frame included, and never blocks."""
    feed, parent = pair
    parent.sendall(SETUP + COMPLETE)
    feed.load()
    frame = delta(is_ready=True)
    parent.sendall(frame[:7])
    feed.apply_pending()
    assert not feed.table.state.is_ready
    parent.sendall(frame[7:])
    feed.apply_pending()
    assert feed.table.state.is_ready


def test_the_end_of_the_feed_means_that_the_parent_is_gone(pair: tuple[Feed, socket.socket]) -> None:
    """A worker whose parent is gone leaves, while it loads and later."""
    feed, parent = pair
    parent.sendall(SETUP + COMPLETE)
    feed.load()
    parent.close()
    with pytest.raises(ParentGoneError):
        feed.apply_pending()
    other, gone = socket.socketpair()
    with other:
        gone.close()
        with pytest.raises(ParentGoneError):
            Feed(other).load()


def test_a_large_step_is_no_silence(pair: tuple[Feed, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """While a large step is applied the worker gives signs of life; when it is done all of the step is there."""
    feed, parent = pair
    parent.sendall(SETUP + COMPLETE)
    feed.load()
    parent.recv(1000)
    monkeypatch.setattr("headlessdns.server.feed._NAMES_AT_ONCE", 3)
    monkeypatch.setattr("headlessdns.server.feed.REPORT_INTERVAL_S", 0)
    nodes: dict[bytes, Node | None] = {
        b"\x01%c" % letter + ZONE: Node(ZONE, {1: Answer(b"rr", 1)}) for letter in b"abcdefg"
    }
    parent.sendall(framing.encode(FrameKind.DELTA, Delta(State((Apex(ZONE, b"soa"),), True), nodes)))
    feed.apply_pending()
    assert parent.recv(1000) == framing.encode(FrameKind.REPORT) * 3
    assert feed.table.names.keys() == nodes.keys()
    assert feed.table.state.is_ready


def test_a_step_without_names_is_applied(pair: tuple[Feed, socket.socket]) -> None:
    """A step that changes only the state, such as staleness, arrives."""
    feed, parent = pair
    parent.sendall(SETUP + COMPLETE + framing.encode(FrameKind.DELTA, Delta(State((), True, True), {})))
    feed.load()
    assert feed.table.state.is_stale
