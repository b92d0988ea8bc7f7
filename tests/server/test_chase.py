"""CNAME targets outside our zones: what is asked of a resolver, and what of its answers is passed on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.server import chase as module
from headlessdns.server.background import BackgroundResolver
from headlessdns.server.chase import Found, Resolver, compose_question, read_response, respond_chased
from headlessdns.wire.parse import Rcode
from headlessdns.wire.respond import Chase, Chased
from tests.peers.process import wait_until
from tests.server.resolver import Asked, ScriptedResolver
from tests.support import (
    CLIENT,
    Cluster,
    endpoint,
    endpoint_slice,
    external,
    header,
    namespace,
    question,
    service,
)
from tests.support import IDENTITY as WITHOUT_RESOLVER

if TYPE_CHECKING:
    from collections.abc import Callable

A, SOA, AAAA, SRV = 1, 6, 28, 33
IDENTITY = WITHOUT_RESOLVER.__class__(has_resolver=True)
WWW = Chase(names.from_text("www.example.com"), A)
ANSWER = "www.example.com. 60 IN A 192.0.2.1"


def records(chased: Chased) -> list[str]:
    """Return what was found as zone file lines, read by dnspython."""
    query = dns.message.make_query("x.", "A").to_wire()
    wire = query[:6] + chased.record_count.to_bytes(2, "big") + query[8:] + chased.records
    message = dns.message.from_wire(wire, ignore_trailing=False)
    return [line for rrset in message.answer for line in rrset.to_text().splitlines()]


def look_up(
    script: Callable[[Asked], list[bytes]], *chases: Chase, timeout_s: float = 1, delay_s: float = 0
) -> tuple[list[Chased], list[str]]:
    """Return what is found for each of *chases*, asked at once, and what the resolver was asked."""

    async def main(address: tuple[str, int]) -> list[Chased]:
        resolver = Resolver(address, timeout_s)
        return await asyncio.gather(*(resolver.look_up(chase) for chase in chases))

    with ScriptedResolver(script, delay_s) as resolver:
        return asyncio.run(main(resolver.address)), resolver.asked


# What is asked


def test_a_question_is_recursive_and_plain() -> None:
    """The resolver is asked for the target with RD and without OPT, under another ID each time."""
    questions = [dns.message.from_wire(compose_question(Chase(WWW.target, AAAA))) for _ in range(20)]
    assert {message.question[0].to_text() for message in questions} == {"www.example.com. IN AAAA"}
    assert {(message.flags, message.edns) for message in questions} == {(0x0100, -1)}
    assert len({message.id for message in questions}) > 15


# What is passed on

ROWS = [
    pytest.param(A, [ANSWER], "NOERROR", [ANSWER], id="an address"),
    pytest.param(A, ["www.example.com. 9 IN A 192.0.2.1", "www.example.com. 9 IN A 192.0.2.2"], "NOERROR", 2, id="two"),
    pytest.param(
        A,
        [
            "www.example.com. 9 IN CNAME a.example.net.",
            "a.example.net. 8 IN CNAME b.c.a.example.net.",
            "b.c.a.example.net. 7 IN A 192.0.2.3",
        ],
        "NOERROR",
        [
            "www.example.com. 9 IN CNAME a.example.net.",
            "a.example.net. 8 IN CNAME b.c.a.example.net.",
            "b.c.a.example.net. 7 IN A 192.0.2.3",
        ],
        id="a chain of CNAMEs",
    ),
    pytest.param(A, ["www.example.com. 9 IN CNAME gone.example."], "NXDOMAIN", 1, id="a chain into nothing"),
    pytest.param(AAAA, [], "NOERROR", [], id="NODATA"),
    pytest.param(A, [], "NXDOMAIN", [], id="NXDOMAIN"),
    pytest.param(
        SOA,
        ["www.example.com. 9 IN SOA ns.www.example.com. me.www.example.com. 1 2 3 4 5"],
        "NOERROR",
        1,
        id="SOA, whose names are compressed",
    ),
    pytest.param(SRV, ["www.example.com. 9 IN SRV 1 2 3 a.www.example.com."], "NOERROR", 1, id="SRV"),
    pytest.param(15, ["www.example.com. 9 IN MX 1 mx.www.example.com."], "NOERROR", 1, id="MX"),
    pytest.param(2, ["www.example.com. 9 IN NS ns.www.example.com."], "NOERROR", 1, id="NS"),
    pytest.param(16, ['www.example.com. 9 IN TXT "a b" "c"'], "NOERROR", 1, id="TXT"),
    pytest.param(65, ['www.example.com. 9 IN HTTPS 1 . alpn="h2"'], "NOERROR", 1, id="HTTPS"),
    pytest.param(65280, ["www.example.com. 9 IN TYPE65280 \\# 3 abcdef"], "NOERROR", 1, id="an unknown type"),
]


@pytest.mark.parametrize(("qtype", "answer", "rcode", "expected"), ROWS)
def test_an_answer_section_is_passed_on(qtype: int, answer: list[str], rcode: str, expected: list[str] | int) -> None:
    """Records, their number and the RCODE go on; names are whole, since pointers would point elsewhere."""
    (found,), asked = look_up(lambda query: [query.response(*answer, rcode=rcode)], Chase(WWW.target, qtype))
    assert sorted(records(found)) == sorted(answer)
    assert found.record_count == (expected if isinstance(expected, int) else len(expected))
    assert found.rcode == dns.rcode.from_text(rcode)
    assert len(asked) == 1


UNUSABLE = [
    pytest.param(lambda query: [], "timeout", id="silence"),
    pytest.param(lambda query: [query.response(rcode="SERVFAIL")], "SERVFAIL", id="SERVFAIL"),
    pytest.param(lambda query: [query.response(ANSWER, rcode="REFUSED")], "REFUSED", id="REFUSED"),
    pytest.param(lambda query: [query.response(rcode="NOTIMP")], "other", id="NOTIMP"),
    pytest.param(lambda query: [b""], "timeout", id="no octets"),
    pytest.param(lambda query: [query.response(ANSWER)[:-1]], "unreadable", id="cut short"),
    pytest.param(lambda query: [query.message.to_wire()], "timeout", id="our query sent back"),
    pytest.param(lambda query: [query.response(ANSWER)[2:]], "timeout", id="another ID"),
    pytest.param(lambda query: [query.response(ANSWER).replace(b"\x03www", b"\x03ftp")], "timeout", id="another name"),
    pytest.param(
        lambda query: [query.response(ANSWER).replace(b"\x03com\x00\x00\x01", b"\x03com\x00\x00\x1c", 1)],
        "timeout",
        id="another type",
    ),
    pytest.param(
        lambda query: [query.response(tc=True)] if not query.is_stream else [query.message.to_wire()],
        "network error",
        id="cut, and no response over TCP",
    ),
    pytest.param(
        lambda query: [query.response(tc=True)] if not query.is_stream else [b"xx" + query.response(ANSWER)[2:]],
        "network error",
        id="cut, and another ID over TCP",
    ),
    pytest.param(
        lambda query: [query.response(tc=True)] if not query.is_stream else [],
        "network error",
        id="cut, and the connection closed over TCP",
    ),
    pytest.param(lambda query: [query.response(ANSWER)[:28] + b"\xc0\x1c" * 20], "timeout", id="pointers in a circle"),
]
ERRORS = {
    "timeout": (22, "the resolver does not answer"),
    "SERVFAIL": (22, "the resolver answers SERVFAIL"),
    "REFUSED": (22, "the resolver answers REFUSED"),
    "other": (22, "the resolver answers with an error"),
    "network error": (23, "the resolver cannot be reached"),
    "unreadable": (23, "the resolver's answer cannot be read"),
    "overload": (0, "too many questions wait for the resolver"),
}


def failed(result: str) -> Chased:
    """Return what is known after a failure: SERVFAIL, and an extended error (RFC 8914 §2)."""
    code, text = ERRORS[result]
    octets = code.to_bytes(2, "big") + text.encode()
    return Chased(rcode=2, options=b"\x00\x0f" + len(octets).to_bytes(2, "big") + octets)


@pytest.mark.parametrize(("script", "result"), UNUSABLE)
def test_what_is_no_answer_is_servfail_with_the_reason(script: Callable[[Asked], list[bytes]], result: str) -> None:
    """Silence, failure, garbage and answers to other questions give SERVFAIL and its reason, within the time limit."""
    start_s = time.monotonic()
    (found,), _ = look_up(script, WWW, timeout_s=0.3)
    assert found == failed(result)
    assert time.monotonic() - start_s < 2.5


def test_a_resolver_that_is_not_there_is_servfail_at_once() -> None:
    """A resolver whose port is closed is a network error, at once."""
    start_s = time.monotonic()
    assert asyncio.run(Resolver(("127.0.0.1", 9)).look_up(WWW)) == failed("network error")
    assert time.monotonic() - start_s < 0.5


def test_questions_are_counted_by_what_came_of_them() -> None:
    """Each question that was sent is counted under its RCODE or its failure; what is known already is not asked."""
    rcodes = iter(["NOERROR", "NXDOMAIN", "REFUSED", "NOTIMP"])

    async def main(address: tuple[str, int]) -> dict[str, int]:
        resolver = Resolver(address, 0.3)
        assert set(resolver.results.values()) == {0}
        for number in [0, 1, 2, 3, 4, 0]:
            await resolver.look_up(Chase(names.from_text(f"{number}.example.com"), A))
        return {result: count for result, count in resolver.results.items() if count}

    def script(query: Asked) -> list[bytes]:
        rcode = next(rcodes, None)
        return [query.response(rcode=rcode)] if rcode else []

    with ScriptedResolver(script) as resolver:
        counted = asyncio.run(main(resolver.address))
    assert counted == {"NOERROR": 1, "NXDOMAIN": 1, "REFUSED": 1, "other": 1, "timeout": 1}


# Denials

DENIAL_SOA = "example.com. 900 IN SOA ns.example.com. me.example.com. 1 2 3 4 {minimum}"


def with_soa(query: Asked, minimum_s: int, *answer: str, rcode: str = "NOERROR") -> bytes:
    response = dns.message.from_wire(query.response(*answer, rcode=rcode))
    owner, ttl, qclass, qtype, rdata = DENIAL_SOA.format(minimum=minimum_s).split(None, 4)
    response.authority.append(dns.rrset.from_text(owner, int(ttl), qclass, qtype, rdata))
    response.authority.append(dns.rrset.from_text(owner, 9, "IN", "NS", "ns.example.com."))
    return response.to_wire()


DENIALS = [
    pytest.param([], "NXDOMAIN", 60, 60, id="NXDOMAIN: the TTL is MINIMUM where that is less"),
    pytest.param([], "NOERROR", 60, 60, id="NODATA"),
    pytest.param(["www.example.com. 9 IN CNAME a.example.com."], "NOERROR", 60, 60, id="NODATA behind a CNAME"),
    pytest.param([], "NXDOMAIN", 86400, 300, id="a day: 5 minutes"),
    pytest.param([ANSWER], "NOERROR", 60, None, id="an answer: no SOA"),
]


@pytest.mark.parametrize(("answer", "rcode", "minimum_s", "ttl_s"), DENIALS)
def test_a_denial_brings_its_soa(answer: list[str], rcode: str, minimum_s: int, ttl_s: int | None) -> None:
    """The SOA record of a denial goes on, whole and alone, so that a forwarder can keep the denial (RFC 2308 §5)."""
    asked = Asked(dns.message.make_query("www.example.com", "A"), False)
    found = read_response(with_soa(asked, minimum_s, *answer, rcode=rcode))
    assert found is not None
    soa = found.chased._replace(records=found.chased.soa, record_count=int(ttl_s is not None))
    expected = [DENIAL_SOA.format(minimum=minimum_s).replace("900", str(ttl_s))] if ttl_s else []
    assert records(soa) == expected


def test_the_soa_of_a_denial_counts_down() -> None:
    """While a denial is kept the TTL of its SOA record counts down, and it is not kept for longer than that."""
    asked = Asked(dns.message.make_query("www.example.com", "A"), False)
    found = read_response(with_soa(asked, 3))
    assert found is not None
    assert found.keep_s == 3
    soa = found.aged(2).soa
    assert records(Chased(soa, 1)) == [DENIAL_SOA.format(minimum=3).replace("900", "1")]


def test_answers_to_others_are_passed_over() -> None:
    """A response with another ID or question is not taken, and the right one behind it is."""

    def script(query: Asked) -> list[bytes]:
        right = query.response(ANSWER)
        other_id = bytes([right[0] ^ 1]) + right[1:]
        return [other_id, right.replace(b"\x03www", b"\x03ftp", 1), query.message.to_wire(), b"x", right]

    (found,), _ = look_up(script, WWW)
    assert records(found) == [ANSWER]


def test_a_case_that_changed_is_no_other_question() -> None:
    """A resolver may spell the name as it likes (RFC 4343)."""
    (found,), _ = look_up(lambda query: [query.response(ANSWER).replace(b"\x03www", b"\x03WwW", 1)], WWW)
    assert [line.lower() for line in records(found)] == [ANSWER.lower()]


def test_a_cut_answer_is_asked_again_over_tcp() -> None:
    """TC leads to the same question over TCP, whatever the cut answer held."""
    many = [f"www.example.com. 60 IN A 192.0.2.{host}" for host in range(1, 200)]

    def script(query: Asked) -> list[bytes]:
        return [query.response(*many)] if query.is_stream else [query.response(many[0], tc=True)]

    (found,), asked = look_up(script, WWW)
    assert sorted(records(found)) == sorted(many)
    assert asked == ["www.example.com A", "www.example.com A TCP"]


@given(st.binary(max_size=200))
def test_any_octets_give_records_or_none(octets: bytes) -> None:
    """Whatever a resolver sends is read, or cannot be; nothing is raised."""
    head = header(1, 0x8180, questions=1, answers=2) + question("www.example.com")
    for message in (octets, head + octets, head + b"\xc0\x0c" + octets):
        found = read_response(message)
        assert found is None or isinstance(found, Found)


def test_pointers_without_end_give_none() -> None:
    """A name of more pointers than the parser can follow cannot be read."""
    head = header(1, 0x8180, questions=1, answers=2) + question("x") + b"\x00\xff\x00" + bytes(6)
    begin = len(head) + 2
    offsets = [12, *range(begin, begin + 2 * 2999, 2)]  # each pointer leads to the one before it
    chain = b"".join((0xC000 + offset).to_bytes(2, "big") for offset in offsets)
    address = bytes.fromhex("0001 0001 00000000 0004 c0000201")
    message = head + len(chain).to_bytes(2, "big") + chain + chain[-2:] + address
    with pytest.raises(RecursionError):
        dnslib.DNSRecord.parse(message)
    assert read_response(message) is None


# What is kept


def test_equal_questions_are_asked_once() -> None:
    """Equal questions that come while one is under way share its answer; other types are other questions."""
    found, asked = look_up(lambda query: [query.response(ANSWER)], *[WWW] * 20, Chase(WWW.target, AAAA), delay_s=0.1)
    assert [records(one) for one in found[:20]] == [[ANSWER]] * 20
    assert sorted(asked) == ["www.example.com A", "www.example.com AAAA"]


def test_too_many_questions_at_once_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of different questions under way the others give SERVFAIL, at once."""
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 3)
    chases = [Chase(names.from_text(f"{number}.example.com"), A) for number in range(5)]
    found, asked = look_up(
        lambda query: [query.response(f"{query.qname}. 5 IN A 192.0.2.1")], *chases, timeout_s=3, delay_s=0.05
    )
    assert [one.record_count for one in found[:3]] == [1, 1, 1]
    assert found[3:] == [failed("overload")] * 2
    assert len(asked) == 3


def test_an_answer_is_kept_for_its_ttl() -> None:
    """An answer is kept for the least of its TTLs, which count down meanwhile; then it is asked for again."""
    lines = ["www.example.com. 60 IN CNAME a.example.net.", "a.example.net. 10 IN A 192.0.2.1"]
    clock_s = [1000.0]

    async def main(address: tuple[str, int]) -> list[list[str]]:
        resolver = Resolver(address, clock=lambda: clock_s[0])
        seen = []
        for clock_s[0] in (1000.0, 1003.5, 1009.9, 1010.0):  # the clock that the resolver reads
            seen.append(records(await resolver.look_up(WWW)))
        return seen

    with ScriptedResolver(lambda query: [query.response(*lines)]) as resolver:
        seen = asyncio.run(main(resolver.address))
    aged = ["www.example.com. 57 IN CNAME a.example.net.", "a.example.net. 7 IN A 192.0.2.1"]
    old = ["www.example.com. 51 IN CNAME a.example.net.", "a.example.net. 1 IN A 192.0.2.1"]
    assert seen == [lines, aged, old, lines]
    assert resolver.asked == ["www.example.com A"] * 2


KEPT = [
    pytest.param([], "NOERROR", 5, id="NODATA: 5 s"),
    pytest.param([], "NXDOMAIN", 5, id="NXDOMAIN: 5 s"),
    pytest.param([], "SERVFAIL", 5, id="a failure: 5 s"),
    pytest.param(["www.example.com. 0 IN A 192.0.2.1"], "NOERROR", 0, id="TTL 0: not at all"),
    pytest.param(["www.example.com. 90000 IN A 192.0.2.1"], "NOERROR", 300, id="a day: 5 minutes"),
]


@pytest.mark.parametrize(("lines", "rcode", "expected_s"), KEPT)
def test_how_long_an_answer_is_kept(lines: list[str], rcode: str, expected_s: int) -> None:
    """Answers are kept for their TTL and at most 300 s, denials and failures for 5 s."""
    asked = Asked(dns.message.make_query("www.example.com", "A"), False)
    found = read_response(asked.response(*lines, rcode=rcode))
    assert found is not None
    assert found.keep_s == expected_s


def test_silence_is_not_kept() -> None:
    """A resolver that said nothing is asked again by the next query."""

    async def main(address: tuple[str, int]) -> list[int]:
        resolver = Resolver(address, 0.1)
        return [(await resolver.look_up(WWW)).record_count for _ in range(2)]

    with ScriptedResolver(lambda query: [query.response(ANSWER)] if len(resolver.asked) > 1 else []) as resolver:
        assert asyncio.run(main(resolver.address)) == [0, 1]


# What is sent


def cluster(target: str) -> Cluster:
    return Cluster(
        namespace(), service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]), external("db", target)
    )


DB = header(7, 0x0100, questions=1) + question("db.default.svc.cluster.local")
FOUND = Chased(WWW.target + bytes.fromhex("0001 0001 0000003c 0004 c0000201"), 1)

CHANGES = [
    pytest.param("www.example.com", "NOERROR", ["www.example.com.", "192.0.2.1"], id="the same target: what was found"),
    pytest.param("other.example.com", "SERVFAIL", ["other.example.com."], id="another target: SERVFAIL"),
    pytest.param(
        "web-0.nginx.default.svc.cluster.local",
        "NOERROR",
        ["web-0.nginx.default.svc.cluster.local.", "10.0.0.1"],
        id="a target of ours: its address",
    ),
]


@pytest.mark.parametrize(("target", "rcode", "expected"), CHANGES)
def test_what_was_found_belongs_to_its_target(target: str, rcode: str, expected: list[str]) -> None:
    """Where the name leads elsewhere when the resolver has answered, what it said of the old target is not sent."""
    response = respond_chased(DB, cluster(target).table, IDENTITY, CLIENT, WWW, FOUND)
    assert response is not None
    message = dns.message.from_wire(response)
    assert dns.rcode.to_text(message.rcode()) == rcode
    assert [record.to_text() for rrset in message.answer for record in rrset] == expected


def test_an_rcode_of_the_resolver_is_ours() -> None:
    """NXDOMAIN at the end of the chain is the RCODE of the response (RFC 6604), with the CNAME in it."""
    response = respond_chased(DB, cluster("www.example.com").table, IDENTITY, CLIENT, WWW, Chased(rcode=Rcode.NXDOMAIN))
    assert response is not None
    message = dns.message.from_wire(response)
    assert message.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.to_text() for rrset in message.answer] == [
        "db.default.svc.cluster.local. 5 IN CNAME www.example.com."
    ]


# In the background


def test_results_of_the_background_wake_the_loop() -> None:
    """What the thread finds can be collected when its socket is readable, each with the token it was asked with."""
    with ScriptedResolver(lambda query: [query.response(ANSWER)], delay_s=0.05) as scripted:
        resolver: BackgroundResolver[int] = BackgroundResolver(scripted.address)
        assert resolver.known(WWW) is None
        for token in range(3):
            resolver.submit(WWW, token)
        assert resolver.collect() == []
        collected: list[tuple[int, Chased]] = []
        wait_until(lambda: len(collected) == 3 or collected.extend(resolver.collect()), "three results", 5)
        assert [(token, records(chased)) for token, chased in collected] == [(token, [ANSWER]) for token in range(3)]
        known = resolver.known(WWW)
        assert known is not None
        assert records(known) == [ANSWER]
        resolver.close()
    assert scripted.asked == ["www.example.com A"]


def test_too_many_that_wait_get_servfail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When as many queries wait as may, the next is told at once that there are too many."""
    monkeypatch.setattr("headlessdns.server.background.MAX_WAITING", 2)
    with ScriptedResolver(lambda query: [query.response(ANSWER)]) as scripted:
        resolver: BackgroundResolver[int] = BackgroundResolver(scripted.address)
        for token in range(2):
            resolver.submit(WWW, token)
        assert resolver.known(Chase(WWW.target, AAAA)) == failed("overload")
        assert resolver.results["overload"] == 1
        collected: list[tuple[int, Chased]] = []
        wait_until(lambda: len(collected) == 2 or collected.extend(resolver.collect()), "two results", 5)
        assert resolver.known(Chase(WWW.target, AAAA)) is None
        resolver.close()
