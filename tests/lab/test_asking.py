"""What the DNS answers right now, asked over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dnslib
import pytest

from headlessdns.config import Listen
from headlessdns.lab import asking
from headlessdns.lab.asking import Asker

Respond = Callable[[dns.message.Message], list[bytes]]
NAME = "web-0.nginx.default.svc.cluster.local"


class _Server(asyncio.DatagramProtocol):
    """A DNS server that says what a test wants."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(str(query.question[0]))
        for response in self.respond(query):
            self.transport.sendto(response, addr)


def _rrset(name: str, ttl: str, rdclass: str, rdtype: str, rdata: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(name, int(ttl), rdclass, rdtype, rdata)


def reply(query: dns.message.Message, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    for record in records:
        response.answer.append(_rrset(*record.split()))
    return response.to_wire()


async def ask(
    respond: Respond, *names: str, with_ipv6: bool = False, rounds: int = 1
) -> tuple[list[dict[str, str]], list[str]]:
    """Return what is found in each round, and what was asked."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: _Server(respond), local_addr=("127.0.0.1", 0))
    asker = Asker(Listen(*transport.get_extra_info("sockname")))
    await asker.open()
    try:
        return [await asker.ask(names, with_ipv6=with_ipv6) for _ in range(rounds)], server.asked
    finally:
        asker.close()
        transport.close()


def of_type(query: dns.message.Message, a: str = "", aaaa: str = "") -> list[bytes]:
    """Answer with an A or an AAAA record, as asked."""
    kind = query.question[0].rdtype.name
    address = a if kind == "A" else aaaa
    return [reply(query, *([f"{query.question[0].name} 5 IN {kind} {address}"] if address else []))]


REPLIES: dict[str, tuple[Respond, bool, str]] = {
    "an address": (lambda query: of_type(query, "10.0.0.1"), False, "10.0.0.1"),
    "both families": (lambda query: of_type(query, "10.0.0.1", "fd00::1"), True, "10.0.0.1, fd00::1"),
    "only one family": (lambda query: of_type(query, "", "fd00::1"), True, "fd00::1"),
    "no record": (of_type, True, "NODATA"),
    "no such name": (lambda query: [reply(query, rcode=dns.rcode.NXDOMAIN)], True, "NXDOMAIN"),
    "a failure": (lambda query: [reply(query, rcode=dns.rcode.SERVFAIL)], False, "SERVFAIL"),
    "a CNAME on the way": (
        lambda query: [reply(query, f"{NAME}. 5 IN CNAME a.example.", "a.example. 5 IN A 10.0.0.1")],
        False,
        "10.0.0.1",
    ),
    "octets that are no message": (lambda query: [query.to_wire()[:2] + b"\0"], False, "no DNS message"),
    "a response to somebody else first": (
        lambda query: [b"\0\0" + query.to_wire()[2:], b"", *of_type(query, "10.0.0.1")],
        False,
        "10.0.0.1",
    ),
    "the same response twice": (lambda query: of_type(query, "10.0.0.1") * 2, False, "10.0.0.1"),
}


@pytest.mark.parametrize(("respond", "with_ipv6", "expected"), REPLIES.values(), ids=REPLIES.keys())
def test_reply(respond: Respond, with_ipv6: bool, expected: str) -> None:
    """A reply is its addresses, NODATA where there are none, or the RCODE."""
    found, asked = asyncio.run(ask(respond, NAME, with_ipv6=with_ipv6))
    assert found == [{NAME: expected}]
    assert asked == [f"{NAME}. IN A", f"{NAME}. IN AAAA"][: 1 + with_ipv6]


def test_each_name_is_asked_once_a_round() -> None:
    """Every round asks for every name anew, once, however often it stands there."""
    names = [f"n{number}.example" for number in range(250)]
    found, asked = asyncio.run(ask(lambda query: of_type(query, "10.0.0.1"), *names, *names, rounds=2))
    assert found == [dict.fromkeys(names, "10.0.0.1")] * 2
    assert sorted(asked) == sorted(f"{name}. IN A" for name in names * 2)


def test_another_answer_is_another_answer() -> None:
    """What was remembered of the last reply is not taken for a new one."""
    addresses = iter(["10.0.0.1", "10.0.0.1", "10.0.0.2"])
    found, _ = asyncio.run(ask(lambda query: of_type(query, next(addresses)), NAME, rounds=3))
    assert [one[NAME] for one in found] == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]


def test_one_datagram_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets no reply asks once more."""
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.05)
    lost = iter([True])
    found, asked = asyncio.run(ask(lambda query: [] if next(lost, False) else of_type(query, "10.0.0.1"), NAME))
    assert (found, len(asked)) == ([{NAME: "10.0.0.1"}], 2)


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is told as such, after two attempts."""
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.05)
    found, asked = asyncio.run(ask(lambda query: [], NAME))
    assert (found, len(asked)) == ([{NAME: "no answer"}], 2)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server is, the refusal of the port is no error."""
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.05)

    async def run() -> dict[str, str]:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        place = Listen(*transport.get_extra_info("sockname"))
        transport.close()
        await asyncio.sleep(0)
        asker = Asker(place)
        await asker.open()
        try:
            return await asker.ask([NAME])
        finally:
            asker.close()

    assert asyncio.run(run()) == {NAME: "no answer"}


@pytest.mark.parametrize("name", [f"{'a' * 64}.example", ".".join(["a" * 60] * 5)], ids=["label", "name"])
def test_names_that_no_query_can_hold(name: str) -> None:
    """A name that is too long is told, and does not keep others from being asked for."""
    found, _ = asyncio.run(ask(lambda query: of_type(query, "10.0.0.1"), name, NAME))
    assert found == [{name: "no name that can be asked for", NAME: "10.0.0.1"}]


def test_replies_that_do_not_change_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read a reply is what costs; one that is the same octet by octet is read once, and its ID does not count."""
    read: list[bytes] = []
    parse = dnslib.DNSRecord.parse

    def note(octets: bytes) -> object:
        read.append(octets)
        return parse(octets)

    monkeypatch.setattr(dnslib.DNSRecord, "parse", note)
    asyncio.run(ask(lambda query: of_type(query, "10.0.0.1"), NAME, rounds=5))
    assert len(read) == 1
