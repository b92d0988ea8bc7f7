"""The comparison itself: what it takes for equal, and that nothing else slips through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.coredns.asking import Question, Record, Reply
from tests.coredns.compare import Content, differences
from tests.coredns.generator import endpoint, endpoint_slice, headless, port

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "web.shop.svc.cluster.local"
HOST = f"web-0.{BASE}"
PORT = f"_http._tcp.{BASE}"
REVERSE = "1.0.1.10.in-addr.arpa"
ABSENT = "absent.shop.svc.cluster.local"
TYPES = ("A", "AAAA", "SRV", "PTR", "CNAME", "SOA")

SERVICE = headless("shop", "web", [port(80, "http")])
CONTENT = Content([SERVICE, endpoint_slice(SERVICE, "1", [endpoint("10.1.0.1", "web-0")], [port(80, "http")])])


def replies(answers: dict[tuple[str, str], str], missing: set[str]) -> dict[Question, Reply]:
    """Return a reply to each type at each name: *answers*, else NXDOMAIN for the names *missing*, else NODATA."""
    found = {}
    for name in (BASE, HOST, f"_tcp.{BASE}", PORT, REVERSE, ABSENT):
        for qtype in TYPES:
            question = Question(name, qtype)
            rcode = "NXDOMAIN" if name in missing and qtype != "SOA" else "NOERROR"
            if question in answers:
                found[question] = Reply("NOERROR", frozenset({Record(name, qtype, answers[question])}))
            else:
                found[question] = Reply(rcode)
    return found


RIGHT = {
    (BASE, "A"): "10.1.0.1",
    (BASE, "SRV"): f"0 100 80 {HOST}.",
    (HOST, "A"): "10.1.0.1",
    (PORT, "SRV"): f"0 100 80 {HOST}.",
    (REVERSE, "PTR"): f"{HOST}.",
}
# What CoreDNS says to the same: SRV at the host, addresses at the port, and no _tcp.
THEIRS = replies(
    RIGHT | {(HOST, "SRV"): f"0 100 80 {HOST}.", (PORT, "A"): "10.1.0.1"}, {f"_tcp.{BASE}", REVERSE, ABSENT}
)


def ours() -> dict[Question, Reply]:
    return replies(RIGHT, {ABSENT}) | {Question(ABSENT, "SOA"): Reply("NXDOMAIN")}


def test_differences_of_the_list_are_none() -> None:
    """What the list allows is no difference, and each reason is counted once a question."""
    found, used = differences(ours(), THEIRS, CONTENT)
    assert found == []
    assert used == {
        "SRV at endpoints and pods": 1,
        "addresses at _port._protocol": 1,
        "empty non-terminals": 5,
        "other types at names with records": 4,
        "SOA at names that do not exist": 1,
    }


def without_records(reply: Reply) -> Reply:
    return reply._replace(records=frozenset())


def with_record(type: str, rdata: str) -> Callable[[Reply], Reply]:
    return lambda reply: reply._replace(records=reply.records | {Record(BASE, type, rdata)})


def denied(reply: Reply) -> Reply:
    return reply._replace(rcode="NXDOMAIN")


FAULTS = [
    pytest.param(Question(BASE, "A"), without_records, id="a record less"),
    pytest.param(Question(BASE, "A"), with_record("A", "10.1.0.2"), id="a record more"),
    pytest.param(Question(BASE, "AAAA"), with_record("A", "10.1.0.1"), id="a record of another type"),
    pytest.param(Question(BASE, "AAAA"), denied, id="NXDOMAIN for NODATA"),
    pytest.param(Question(BASE, "SOA"), denied, id="NXDOMAIN for NODATA to SOA"),
    pytest.param(Question(f"_tcp.{BASE}", "A"), denied, id="NXDOMAIN at an empty non-terminal"),
    pytest.param(Question(REVERSE, "A"), denied, id="NXDOMAIN for another type than PTR"),
    pytest.param(Question(ABSENT, "A"), lambda _: Reply("NOERROR"), id="NODATA for NXDOMAIN"),
    pytest.param(Question(ABSENT, "SOA"), lambda _: Reply("NOERROR"), id="NODATA for NXDOMAIN to SOA"),
    pytest.param(Question(HOST, "SRV"), with_record("SRV", f"0 100 80 {HOST}."), id="SRV at an endpoint"),
    pytest.param(Question(PORT, "A"), with_record("A", "10.1.0.1"), id="an address at a port"),
    pytest.param(Question(BASE, "A"), lambda reply: reply._replace(is_authoritative=False), id="AA not set"),
    pytest.param(Question(BASE, "A"), lambda reply: reply._replace(rcode="SERVFAIL"), id="SERVFAIL"),
    pytest.param(
        Question(BASE, "SRV"),
        lambda _: Reply("NOERROR", frozenset({Record(BASE, "SRV", f"0 50 80 {HOST}.")})),
        id="another weight than ours",
    ),
]


@pytest.mark.parametrize(("question", "fault"), FAULTS)
def test_a_fault_of_ours_is_a_difference(question: Question, fault: Callable[[Reply], Reply]) -> None:
    """A reply that is not what CoreDNS or a rule says is reported, and no other."""
    replies = ours()
    replies[question] = fault(replies[question])
    found, _ = differences(replies, THEIRS, CONTENT)
    assert [difference.question for difference in found] == [question]


@pytest.mark.parametrize(
    "question",
    [pytest.param(Question(*asked), id=f"{asked[1]} at {asked[0]}") for asked in RIGHT],
)
def test_a_record_that_coredns_lacks_is_a_difference(question: Question) -> None:
    """We may not have a record that CoreDNS does not have, unless a rule says so."""
    theirs = THEIRS | {question: Reply("NOERROR")}
    found, _ = differences(ours(), theirs, CONTENT)
    assert question in [difference.question for difference in found]
