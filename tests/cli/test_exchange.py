"""One exchange with a server, as a resolver would have it; the servers here are sockets of the test."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import pytest

from headlessdns import names
from headlessdns.cli import exchange
from headlessdns.cli.exchange import NoReplyError
from headlessdns.config import Listen
from tests.cli.fake import framed, reply_to, server

NAME = names.from_text("web-0.nginx.default.svc.cluster.local")
QUERY = exchange.compose_query(NAME, 1)


def test_query() -> None:
    """A query asks one question, with EDNS, and for the server's identifier."""
    query = dns.message.from_wire(QUERY)
    assert [str(one) for one in query.question] == ["web-0.nginx.default.svc.cluster.local. IN A"]
    assert (query.edns, query.payload, query.flags) == (0, 1232, dns.flags.RD)
    assert [(int(option.otype), option.to_wire()) for option in query.options] == [(3, b"")]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(".", id="root"),
        pytest.param(r"a\.b.c", id="a dot in a label"),
        pytest.param(".".join(["a" * 63] * 3 + ["b" * 61]), id="255 octets"),
    ],
)
def test_odd_names(name: str) -> None:
    """Every name that can be written can be asked for."""
    query = dns.message.from_wire(exchange.compose_query(names.from_text(name), 28))
    assert query.question[0].name == dns.name.from_text(name)


def test_over_udp() -> None:
    """The response comes over UDP where it fits."""
    with server(udp=lambda query: [reply_to(query)]) as where:
        received = exchange.exchange(where, QUERY, 5)
    assert received.message == reply_to(QUERY)
    assert (received.is_stream, received.was_truncated) == (False, False)
    assert 0 < received.seconds < 5


def test_truncated() -> None:
    """A truncated response is asked for again over TCP."""
    with server(lambda query: [reply_to(query, truncated=True)], lambda query: [framed(reply_to(query))]) as where:
        received = exchange.exchange(where, QUERY, 5)
    assert received.message == reply_to(QUERY)
    assert (received.is_stream, received.was_truncated) == (True, True)


def test_tcp_at_once() -> None:
    """Over TCP nothing is sent over UDP, and a response may come in pieces."""
    reply = framed(reply_to(QUERY))
    with server(tcp=lambda query: [reply[:1], reply[1:5], reply[5:]]) as where:
        received = exchange.exchange(where, QUERY, 5, is_stream=True)
    assert received.message == reply_to(QUERY)
    assert (received.is_stream, received.was_truncated) == (True, False)


def test_strangers_are_passed_over() -> None:
    """A message with another ID, a query and a fragment of a header are no response to ours."""
    other = reply_to(b"\x00\x00" + QUERY[2:] if QUERY[:2] != b"\x00\x00" else b"\x00\x01" + QUERY[2:])
    with server(udp=lambda query: [other, query, query[:2], reply_to(query)]) as where:
        assert exchange.exchange(where, QUERY, 5).message == reply_to(QUERY)


def test_a_lost_datagram() -> None:
    """A query that is lost is sent again, three times in all."""
    seen: list[bytes] = []

    def third_only(query: bytes) -> list[bytes]:
        seen.append(query)
        return [reply_to(query)] if len(seen) == 3 else []

    with server(udp=third_only) as where:
        exchange.exchange(where, QUERY, 0.1)
    assert seen == [QUERY] * 3


def no_reply(where: Listen, **options: bool) -> str:
    with pytest.raises(NoReplyError) as caught:
        exchange.exchange(where, QUERY, 0.1, **options)
    return str(caught.value)


def test_silence() -> None:
    """A server that says nothing over UDP or TCP did not answer in time."""
    with server(udp=lambda query: []) as where:
        assert no_reply(where) == f"{where} did not answer in time"
        assert no_reply(where, is_stream=True) == f"{where} did not answer in time"


@pytest.mark.parametrize("is_stream", [False, True], ids=["UDP", "TCP"])
def test_nobody_there(is_stream: bool) -> None:
    """A port where nobody listens is told at once."""
    with server() as where:
        pass
    assert no_reply(where, is_stream=is_stream) == (
        f"no server is at {where}; start one with `headlessdns serve`, or name another"
    )


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"\x00"], id="half a length"),
        pytest.param([b"\x00\x40abc"], id="a part of the message"),
        pytest.param([framed(b"\x00" * 12)], id="something else"),
    ],
)
def test_closed_without_an_answer(sent: list[bytes]) -> None:
    """A connection that closes before a whole response is no reply."""
    with server(tcp=lambda query: sent) as where:
        assert no_reply(where, is_stream=True) == f"{where} closed the connection without an answer"


def test_address_that_cannot_be_asked() -> None:
    """What the system refuses is told in its words."""
    where = Listen("255.255.255.255", 53)  # a broadcast, which an ordinary socket may not send
    assert no_reply(where) == "255.255.255.255:53 cannot be asked: Permission denied"
