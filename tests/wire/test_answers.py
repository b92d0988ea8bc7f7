"""The table and the hot path: what is answered at once, what is left to the long way, and that both say the same."""

from __future__ import annotations

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.cluster.objects import Kind
from headlessdns.records.rules import PodNames, Settings
from headlessdns.server.udp import learn_opt
from headlessdns.wire.answers import TALLY_SIZE, Answer, Delta, Hit, Node, State, Table, compose_counts
from headlessdns.wire.respond import Identity, respond
from tests.support import (
    CLIENT,
    IDENTITY,
    NOW_S,
    WEB,
    Cluster,
    endpoint,
    endpoint_slice,
    exchange,
    external,
    header,
    namespace,
    opt,
    option,
    pod,
    question,
    service,
)

RD = 0x0100
ZONE = "default.svc.cluster.local"
WEB_0 = question(f"web-0.nginx.{ZONE}")
OPT = opt(1232)


def plain(body: bytes, flags: int = RD) -> bytes:
    return header(flags=flags, questions=1) + body


def with_opt(body: bytes, record: bytes = OPT) -> bytes:
    return header(flags=RD, questions=1, additionals=1) + body + record


def taught(table: Table, record: bytes = OPT, body: bytes = WEB_0) -> None:
    """Let *table* see a query with *record*, as a worker does."""
    message = with_opt(body, record)
    response = respond(message, table, IDENTITY, CLIENT, NOW_S)
    assert isinstance(response, bytes)
    learn_opt(table, message, response)


@pytest.fixture
def small() -> Cluster:
    """A cluster of the test's own, which it may change."""
    return Cluster(namespace(), service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]))


AT_ONCE = {
    "one-address": WEB_0,
    "letter-case": question(names.from_text(f"web-0.nginx.{ZONE}").upper()),
    "list": question(f"nginx.{ZONE}"),
    "SRV-with-glue": question(f"_web._tcp.nginx.{ZONE}", 33),
    "PTR": question("1.0.0.10.in-addr.arpa", 12),
    "SOA": question("cluster.local", 6),
    "NS": question("cluster.local", 2),
    "TXT": question("dns-version.cluster.local", 16),
    "CNAME": question(f"out.{ZONE}", 5),
    "chain-with-data": question(f"inside.{ZONE}"),
    "NODATA": question(f"web-0.nginx.{ZONE}", 28),
    "NODATA-at-an-empty-non-terminal": question(f"_tcp.nginx.{ZONE}"),
    "NODATA-of-a-type-whose-octet-is-a-letter": question(f"web-0.nginx.{ZONE}", 65),
    "NODATA-at-the-apex": question("cluster.local"),
    "NODATA-in-a-reverse-zone": question("10.in-addr.arpa", 12),
    "NXDOMAIN": question(f"nope.{ZONE}"),
    "NXDOMAIN-in-a-reverse-zone": question("1.2.3.4.in-addr.arpa", 12),
    "NXDOMAIN-in-upper-case": question(names.from_text(f"nope.{ZONE}").upper()),
}


@pytest.mark.parametrize("body", [pytest.param(body, id=id) for id, body in AT_ONCE.items()])
@pytest.mark.parametrize("flags", [0, RD, RD | 0x20, RD | 0x30, 0x10])
def test_answered_at_once(cluster: Cluster, body: bytes, flags: int) -> None:
    """A plain question for what is known, or is not there, is answered at once, and as the long way answers it."""
    assert cluster.table.answer(plain(body, flags)) is not None
    assert exchange(cluster.table, plain(body, flags)) is not None


@pytest.mark.parametrize("body", [pytest.param(body, id=id) for id, body in AT_ONCE.items()])
@pytest.mark.parametrize("record", [OPT, opt(4096), opt(512), opt(0), opt(1232, flags=0x8000)])
def test_answered_at_once_with_opt(cluster: Cluster, body: bytes, record: bytes) -> None:
    """The same holds with an OPT record that was seen before."""
    taught(cluster.table, record)
    assert exchange(cluster.table, with_opt(body, record)) is not None
    assert cluster.table.answer(with_opt(body, record)) is not None


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(header(questions=1), id="no-question"),
        pytest.param(plain(WEB_0, 0x8000), id="a-response"),
        pytest.param(plain(WEB_0, RD | 0x0200), id="TC"),
        pytest.param(plain(WEB_0, RD | 0x0040), id="Z"),
        pytest.param(plain(WEB_0, 0x2800), id="another-opcode"),
        pytest.param(header(questions=2) + WEB_0 + WEB_0, id="two-questions"),
        pytest.param(header(questions=1, answers=1) + WEB_0, id="an-answer"),
        pytest.param(plain(WEB_0 + b"\x00"), id="a-trailing-octet"),
        pytest.param(plain(WEB_0[:-1]), id="cut-off"),
        pytest.param(plain(WEB_0[:4]), id="no-root-label"),
        pytest.param(with_opt(WEB_0, opt(777)), id="an-OPT-record-that-was-not-seen"),
        pytest.param(with_opt(WEB_0, opt(options=option(10, bytes(8)))), id="a-cookie"),
        pytest.param(with_opt(WEB_0, opt(version=1)), id="EDNS-1"),
        pytest.param(with_opt(WEB_0, b""), id="no-OPT-where-one-is-counted"),
        pytest.param(plain(question(f"nginx.{ZONE}", 255)), id="ANY"),
        pytest.param(plain(question("cluster.local", 252)), id="AXFR"),
        pytest.param(plain(question("nope.cluster.local", 249)), id="TKEY"),
        pytest.param(plain(question("version.bind", 16, 3)), id="CHAOS"),
        pytest.param(plain(question(f"web-0.nginx.{ZONE}", 1, 255)), id="class-ANY"),
        pytest.param(plain(question(f"out.{ZONE}")), id="a-chain-that-leaves"),
        pytest.param(plain(question(f"missing.{ZONE}")), id="a-chain-that-ends-nowhere"),
        pytest.param(plain(question("example.com")), id="not-ours"),
        pytest.param(plain(question(".", 2)), id="the-root"),
        pytest.param(plain(question(f"big.{ZONE}")), id="more-than-512-octets"),
        pytest.param(plain(question(r"x\007cluster\005local")), id="the-apex-in-octets-alone"),
        pytest.param(plain(question(r"a\000.cluster.local")), id="a-zero-octet-in-a-label"),
        pytest.param(plain(b"\xc0\x0c\x00\x01\x00\x01"), id="a-pointer"),
        pytest.param(plain(b"\x41x" + question("cluster.local")), id="a-label-of-another-type"),
        pytest.param(plain(b"\x03a\x00\x00\x01\x00\x01"), id="a-zero-octet-and-no-root-label"),
    ],
)
def test_left_to_the_long_way(cluster: Cluster, message: bytes) -> None:
    """What is unusual, or not ours, or does not fit, is not answered at once."""
    taught(cluster.table)
    assert cluster.table.answer(message) is None


def test_not_ready() -> None:
    """Nothing is answered at once until Services and slices are listed."""
    cluster = Cluster(listed=[Kind.SERVICE])
    assert cluster.table.answer(plain(question("cluster.local", 6))) is None


def test_pending_kinds_hold_denials_alone() -> None:
    """While a kind is awaited no name is denied at once, but NODATA and answers go on."""
    listed = set(Kind) - {Kind.POD}
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]), listed=listed)
    assert cluster.table.answer(plain(question(f"nope.{ZONE}"))) is None
    assert cluster.table.answer(plain(WEB_0)) is not None
    assert cluster.table.answer(plain(question(f"web-0.nginx.{ZONE}", 28))) is not None


def test_insecure_pods_hold_denials() -> None:
    """Where names of addresses answer from themselves, a miss is for the long way."""
    cluster = Cluster(namespace(), settings=Settings(pods=PodNames.INSECURE))
    assert cluster.table.answer(plain(question("nope.cluster.local"))) is None
    assert cluster.table.answer(plain(question("pod.cluster.local"))) is not None


def test_opt_records_are_forgotten_when_stale(small: Cluster) -> None:
    """Once the API is silent every response with OPT has to say so, and when it is back none has."""
    taught(small.table)
    assert small.table.answer(with_opt(WEB_0)) is not None
    small.set_stale(True)
    taught(small.table)
    assert small.table.answer(with_opt(WEB_0)) is None
    assert small.table.answer(plain(WEB_0)) is not None
    small.set_stale(False)
    taught(small.table)
    assert small.table.answer(with_opt(WEB_0)) is not None


def test_opt_records_outlive_a_step(small: Cluster) -> None:
    """A change of the zone does not make the OPT records be learned again."""
    taught(small.table)
    small.put(service("other", cluster_ip="10.96.0.7"))
    assert small.table.answer(with_opt(WEB_0)) is not None


def test_odd_opt_records_do_not_crowd_out_the_usual_one(small: Cluster) -> None:
    """However many OPT records are sent, the usual one is learned again at once, and memory is bounded."""
    for size in range(3000, 6000):
        taught(small.table, opt(size))
    taught(small.table)
    assert small.table.answer(with_opt(WEB_0)) is not None
    assert len(small.table._opts) <= 1024


def test_only_plain_opt_records_are_learned(small: Cluster) -> None:
    """An OPT record with options, of another version or with an extended RCODE is never answered at once."""
    odd = [opt(options=option(3)), opt(version=1), opt(rcode=1), opt(options=option(10, bytes(8))), opt()[:-1]]
    for record in odd:
        message = with_opt(WEB_0, record)
        response = respond(message, small.table, IDENTITY, CLIENT, NOW_S)
        assert isinstance(response, bytes)
        learn_opt(small.table, message, response)
        assert small.table.answer(message) is None


def test_responses_with_options_are_not_learned(small: Cluster) -> None:
    """A response with an extended error teaches nothing."""
    message = with_opt(question("example.com"))
    response = respond(message, small.table, IDENTITY, CLIENT, NOW_S)
    assert isinstance(response, bytes)
    learn_opt(small.table, message, response)
    assert small.table.answer(with_opt(WEB_0)) is None


def test_a_question_that_looks_like_opt_is_not_learned(small: Cluster) -> None:
    """The end of an echoed question is never taken for the OPT record of the response."""
    forged = b"\x06\x00\x00\x29\xff\xff\x00" + b"\x00" + b"\x80\x00" + b"\x00\x00"
    message = header(questions=1, answers=1, additionals=1) + forged + opt()
    response = respond(message, small.table, IDENTITY, CLIENT, NOW_S)
    assert isinstance(response, bytes)
    assert response[-11:] == forged[1:]
    learn_opt(small.table, message, response)
    assert small.table.answer(with_opt(WEB_0)) is None


@pytest.mark.parametrize("size", [512, 600, 1232, 4096])
def test_limit_with_opt(cluster: Cluster, size: int) -> None:
    """The size that the client takes is kept at once as on the long way."""
    taught(cluster.table, opt(size))
    for name in ("nginx", "ten", "seventy", "big"):
        for qtype in (1, 33):
            response = exchange(cluster.table, with_opt(question(f"{name}.{ZONE}", qtype), opt(size)))
            assert response is not None
            assert len(response) <= min(size, 1232)


def test_list_turns() -> None:
    """Each answer begins one record further, and each list turns on its own."""
    slice = endpoint_slice(endpoints=[endpoint(f"10.0.0.{host}", "a") for host in (1, 2, 3)])
    cluster = Cluster(namespace(), service(), slice)
    firsts = []
    for _ in range(4):
        response = cluster.table.answer(plain(question(f"nginx.{ZONE}")))
        assert response is not None
        firsts.append([rdata.to_text() for rdata in dns.message.from_wire(response).answer[0]])
        cluster.table.answer(plain(question(f"a.nginx.{ZONE}")))
    assert firsts == [
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        ["10.0.0.2", "10.0.0.3", "10.0.0.1"],
        ["10.0.0.3", "10.0.0.1", "10.0.0.2"],
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    ]


def test_longest_soa_that_fits() -> None:
    """A SOA that might not fit beside the longest question leaves denials to the long way, which keeps the limit."""
    zone = names.from_text(".".join(["z" * 60, "y" * 49]))
    cluster = Cluster(namespace(), settings=Settings(zone=zone, ns_name=names.below(zone, "n" * 40)))
    longest = names.join([b"x" * 63, b"x" * 63, b"x" * 14], zone)
    assert len(longest) == 255
    assert cluster.table.answer(plain(question(longest))) is None
    assert cluster.table.answer(plain(question(zone))) is None
    for message in (plain(question(longest)), with_opt(question(longest), opt(512))):
        response = exchange(cluster.table, message)
        assert response is not None
        assert len(response) <= 512
        assert response[2] & 0x02  # TC: the SOA is over TCP
        whole = exchange(cluster.table, message, is_stream=True)
        assert whole is not None
        assert not whole[2] & 0x02
        assert len(dns.message.from_wire(whole).authority) == 1


def test_every_soa_that_fits_is_sent_at_once() -> None:
    """However long the name server's name, a denial that is made at once has 512 octets at most, and may have all."""
    zone = names.from_text("z" * 60)
    longest = names.join([b"x" * 63, b"x" * 63, b"x" * 62, b"x"], zone)
    assert len(longest) == 255
    sizes = set()
    for length in range(1, 64):
        chosen = Settings(zone=zone, ns_name=names.below(zone, "n" * length, "n" * 40))
        table = Cluster(namespace(), settings=chosen).table
        taught(table, opt(512), question(zone, 6))
        response = table.answer(with_opt(question(longest), opt(512)))
        sizes.add(len(response) if response else None)
    assert max(size for size in sizes if size) == 512
    assert None in sizes


def test_usual_soa_fits() -> None:
    """With the usual names every denial fits 512 octets, and is made at once."""
    cluster = Cluster(namespace())
    longest = names.join([b"x" * 63] * 3 + [b"x" * 47], names.from_text("cluster.local"))
    taught(cluster.table)
    for message in (plain(question(longest)), with_opt(question(longest))):
        response = cluster.table.answer(message)
        assert response is not None
        assert len(response) <= 512


@pytest.mark.parametrize(
    ("name", "apex"),
    [
        ("cluster.local", "cluster.local"),
        ("a.b.cluster.local", "cluster.local"),
        ("1.in-addr.arpa", "in-addr.arpa"),
        ("local", None),
        (".", None),
        (r"x\007cluster\005local", None),
        ("cluster.locax", None),
    ],
)
def test_find_apex(cluster: Cluster, name: str, apex: str | None) -> None:
    """A name is in the zone that it ends with, label by label."""
    found = cluster.table.find_apex(names.from_text(name))
    assert (found.name if found else None) == (names.from_text(apex) if apex else None)


def test_names_that_go(small: Cluster) -> None:
    """A name that is gone is denied at once, and nothing of it stays."""
    assert small.table.answer(plain(WEB_0)) is not None
    small.delete(service())
    response = small.table.answer(plain(WEB_0))
    assert response is not None
    assert response[3] & 15 == 3
    assert not [key for key in small.table.hits if key.startswith(names.from_text(f"web-0.nginx.{ZONE}"))]


def test_types_that_go(small: Cluster) -> None:
    """A name that changes its types answers the new ones, and the old ones no more."""
    small.put(external("nginx", f"web-0.nginx.{ZONE}"))
    small.put(service(cluster_ip="fd00::1", ports=[WEB]))
    response = small.ask(f"nginx.{ZONE}", "A")
    assert response.answer == []
    assert [str(rdata) for rdata in small.ask(f"nginx.{ZONE}", "AAAA").answer[0]] == ["fd00::1"]


def test_node_that_comes_again(small: Cluster) -> None:
    """A delta may bring a name as it is, or take one that is unknown."""
    node = Node(names.from_text("cluster.local"), {1: Answer(b"", 0)})
    for nodes in ({b"\x01a\x00": node}, {b"\x01a\x00": node}, {b"\x01a\x00": None}, {b"\x01a\x00": None}):
        small.table.apply(Delta(small.table.state, nodes))
    assert b"\x01a\x00" not in small.table.names
    assert b"\x01a\x00\x00\x01\x00\x01" not in small.table.hits


def test_empty_table_answers_nothing() -> None:
    """A table without zones is silent at once, and refuses on the long way."""
    table = Table()
    table.apply(Delta(State((), is_ready=True), {}))
    assert table.answer(plain(WEB_0)) is None
    response = respond(plain(WEB_0), table, Identity(), CLIENT, NOW_S)
    assert isinstance(response, bytes)
    assert response[3] & 15 == 5


@pytest.mark.parametrize(
    ("answers", "additionals", "octets"),
    [
        (1, 0, b"\x00\x01\x00\x01\x00\x00\x00\x00"),
        (2, 3, b"\x00\x01\x00\x02\x00\x00\x00\x03"),
        (70_000, 65_536, b"\x00\x01\xff\xff\x00\x00\xff\xff"),
    ],
)
def test_compose_counts(answers: int, additionals: int, octets: bytes) -> None:
    """Counts stand behind the one question; those that no message can hold are cut."""
    assert compose_counts(answers, additionals) == octets


def test_tally() -> None:
    """What is answered at once is counted by RCODE and QTYPE, and what is left to the long way is not."""
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0")]))
    asked = {
        (0, 1): [WEB_0, question(f"nginx.{ZONE}")],
        (0, 33): [question(f"nginx.{ZONE}", 33)],
        (0, 28): [question(f"web-0.nginx.{ZONE}", 28), question("svc.cluster.local", 28)],
        (3, 28): [question("nope.cluster.local", 28)],
        (3, 1): [question("nope.cluster.local")],
    }
    for body in [one for bodies in asked.values() for one in bodies]:
        assert cluster.table.answer(plain(body)) is not None
    assert cluster.table.answer(plain(question("example.com"))) is None
    counted = {kind: cluster.table.tally[place] for place, kind in enumerate(cluster.table.kinds)}
    assert {kind: count for kind, count in counted.items() if count} == {kind: len(one) for kind, one in asked.items()}
    assert sum(cluster.table.tally) == 7
    assert cluster.table.cut == 0


def test_tally_has_a_last_place_for_all_the_rest(small: Cluster) -> None:
    """However many types are asked for, a tally keeps its size, and nothing that is answered goes uncounted."""
    table = small.table
    for qtype in range(1000, 1000 + TALLY_SIZE):
        assert table.answer(plain(question(f"nginx.{ZONE}", qtype))) is not None
    assert len(table.tally) == TALLY_SIZE
    assert sum(table.tally) == TALLY_SIZE
    assert table.tally[-1] > 0
    assert len(table.kinds) < TALLY_SIZE


def test_turning_costs_no_copies() -> None:
    """A list that turns holds its records twice; one record, or records of several sizes, are held once."""
    counts = (b"", b"")
    assert len(Hit(Answer(bytes(48), 3, 16), counts, 0).body) == 96
    assert len(Hit(Answer(bytes(16), 1, 16), counts, 0).body) == 16
    assert len(Hit(Answer(bytes(48), 3, 0, bytes(5), 1), counts, 0).body) == 53


# The hot path and the long way agree, whatever is asked

BELOW_ZONE = """nginx web-0.nginx _tcp.nginx _web._tcp.nginx dual a.dual ten big kubernetes _web._tcp.kubernetes
    out inside to-big missing nope x.web-0.nginx"""
WHOLE = """. example.com cluster.local svc.cluster.local default.svc.cluster.local empty.svc.cluster.local
    dns-version.cluster.local ns.dns.cluster.local 10-244-0-1.default.pod.cluster.local
    in-addr.arpa 9.in-addr.arpa 1.0.0.10.in-addr.arpa"""
known = st.sampled_from([*(f"{text}.{ZONE}" for text in BELOW_ZONE.split()), *WHOLE.split()]).map(names.from_text)
odd_labels = st.lists(st.binary(min_size=1, max_size=12), max_size=3)
below_apex = odd_labels.map(lambda labels: names.join(labels, names.from_text("cluster.local")))
qtypes = st.sampled_from([*(int(one) for one in dns.rdatatype.RdataType), 0, 65280])
records = st.none() | st.builds(
    opt,
    st.sampled_from([0, 511, 512, 1000, 1232, 1400, 65535]),
    version=st.sampled_from([0, 0, 0, 1]),
    flags=st.sampled_from([0, 0x8000, 0x0001]),
    options=st.sampled_from([b"", b"", option(3), option(10, b"12345678"), option(10, b"1"), option(100, b"x")]),
)


def spelled(name: bytes, upper: list[bool]) -> bytes:
    """Return *name* with some of its letters in upper case."""
    return bytes(
        octet - 32 if 97 <= octet <= 122 and upper[at % len(upper)] else octet for at, octet in enumerate(name)
    )


@given(
    name=known | below_apex,
    upper=st.lists(st.booleans(), min_size=1, max_size=8),
    qtype=qtypes,
    qclass=st.sampled_from([1, 1, 1, 1, 3, 4, 255, 254]),
    flags=st.sampled_from([0, RD, RD | 0x20, RD | 0x10, 0x0200, 0x0040, 0x0001]),
    record=records,
    is_stream=st.booleans(),
)
@settings(max_examples=1500, deadline=None)
def test_ways_agree(
    cluster: Cluster,
    name: bytes,
    upper: list[bool],
    qtype: int,
    qclass: int,
    flags: int,
    record: bytes | None,
    is_stream: bool,
) -> None:
    """Whatever is asked, both ways give the same octets, turned lists apart, and dnspython reads them."""
    body = question(spelled(name, upper), qtype, qclass) + (record or b"")
    message = header(flags=flags, questions=1, additionals=1 if record else 0) + body
    response = exchange(cluster.table, message, is_stream=is_stream)
    assert response is not None
    read = dns.message.from_wire(response)
    assert response[12 : 12 + len(name) + 4] == body[: len(name) + 4]
    assert len(response) <= (65535 if is_stream else 512 if record is None else 1232)
    assert (read.edns >= 0) is (record is not None)
    assert read.flags & RD == flags & RD


def test_pods_are_known_names(cluster: Cluster) -> None:
    """Names of pod addresses are in the table like any other."""
    assert pod("p", "10.244.0.1").metadata.key in cluster.snapshot.pods
    assert cluster.table.answer(plain(question("10-244-0-1.default.pod.cluster.local"))) is not None
