"""Reading queries: header, question, OPT."""

from __future__ import annotations

import dns.edns
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headlessdns.errors import FormatError
from headlessdns.wire.parse import Opt, QType, Query, Rcode, parse_query, question_end
from tests.support import header, opt, option, question

NAME = b"\x05nginx\x07cluster\x05local\x00"
A = question(NAME)
PLAIN = header(questions=1) + A
EXTRA = header(questions=1, additionals=1) + A
COOKIE = option(10, b"12345678")
RECORD = NAME + b"\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
TSIG = NAME + b"\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00"


def query(flags: int = 0x0100, **expected: object) -> Query:
    """Return the query for A of `NAME` with ID 4d53."""
    plain = Query(b"\x4d\x53", flags, A, 1, 1, None)
    return plain._replace(**expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(header(flags=0x0100, questions=1) + A, query(), id="plain"),
        pytest.param(header(flags=0x0777, questions=1) + A, query(0x0777), id="odd-flags"),
        pytest.param(
            header(questions=1) + question(NAME.upper(), 65, 255),
            query(0, question=question(NAME.upper(), 65, 255), qtype=65, qclass=255),
            id="letter-case-type-and-class-as-they-came",
        ),
        pytest.param(
            header(questions=1) + question(".", 2),
            query(0, question=b"\x00\x00\x02\x00\x01", qtype=2),
            id="the-root",
        ),
        pytest.param(
            EXTRA + opt(4096),
            query(0, opt=Opt(4096, 0, False, ())),
            id="OPT",
        ),
        pytest.param(
            EXTRA + opt(0, flags=0xFFFF, rcode=255),
            query(0, opt=Opt(0, 0, True, ())),
            id="OPT-with-every-flag",
        ),
        pytest.param(
            EXTRA + opt(options=option(3) + COOKIE + option(65535, b"x") + option(3, b"y")),
            query(0, opt=Opt(1232, 0, False, ((3, b""), (10, b"12345678"), (65535, b"x"), (3, b"y")))),
            id="OPT-with-options-in-their-order",
        ),
        pytest.param(
            EXTRA + opt(version=1, options=b"\xff"),
            query(0, opt=Opt(1232, 1, False, ())),
            id="options-of-another-version-are-not-read",
        ),
        pytest.param(
            header(additionals=1) + opt(options=COOKIE),
            query(0, question=b"", qtype=0, qclass=0, opt=Opt(1232, 0, False, ((10, b"12345678"),))),
            id="no-question-with-a-cookie-RFC-7873",
        ),
        pytest.param(
            header(questions=1, authorities=1) + question(NAME, 251) + RECORD,
            query(0, question=question(NAME, 251), qtype=251),
            id="IXFR-with-the-SOA-that-the-client-has",
        ),
    ],
)
def test_queries(message: bytes, expected: Query) -> None:
    """A query is read as it came."""
    assert parse_query(message) == expected


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(header(), "no question", id="no-question"),
        pytest.param(header(additionals=1) + opt(), "no question", id="no-question-and-no-cookie"),
        pytest.param(header(additionals=1) + opt(version=1, options=COOKIE), "no question", id="no-question-in-EDNS-1"),
        pytest.param(header(questions=2) + A + A, "more than one question", id="two-questions"),
        pytest.param(header(questions=65535) + A, "more than one question", id="65535-questions"),
        pytest.param(header(questions=1), "a name is cut off", id="question-missing"),
        pytest.param(header(questions=1) + NAME[:-1], "a name is cut off", id="no-root-label"),
        pytest.param(header(questions=1) + NAME[:3], "a name is cut off", id="label-cut-off"),
        pytest.param(header(questions=1) + A[:-1], "the question is cut off", id="QCLASS-cut-off"),
        pytest.param(header(questions=1) + NAME, "the question is cut off", id="no-QTYPE"),
        pytest.param(header(questions=1) + b"\xc0\x0c" + A[-4:], "a pointer", id="pointer"),
        pytest.param(header(questions=1) + b"\x03www\xc0\x0c" + A[-4:], "a pointer", id="pointer-behind-a-label"),
        pytest.param(header(questions=1) + b"\x40" + A, "unknown label type", id="label-type-01"),
        pytest.param(header(questions=1) + b"\x80" + A, "unknown label type", id="label-type-10"),
        pytest.param(header(questions=1) + b"\x01a" * 128 + b"\x00" + A[-4:], "over 255", id="257-octets"),
        pytest.param(
            header(questions=1) + b"\x01a" * 126 + b"\x02bb\x00" + A[-4:], "over 255", id="name-of-256-octets"
        ),
        pytest.param(header(questions=1, answers=1) + A + RECORD, "no answer", id="answer-section"),
        pytest.param(header(questions=1, authorities=1) + A + RECORD, "authority section", id="authority-section"),
        pytest.param(
            header(questions=1, answers=1, authorities=1) + question(NAME, 251) + RECORD * 2,
            "no answer",
            id="IXFR-with-an-answer",
        ),
        pytest.param(EXTRA + RECORD, "OPT record, or", id="additional-that-is-no-OPT"),
        pytest.param(EXTRA + TSIG, "OPT record, or", id="TSIG"),
        pytest.param(EXTRA + NAME + opt()[1:], "OPT record, or", id="OPT-of-another-owner"),
        pytest.param(EXTRA, "OPT record, or", id="additional-missing"),
        pytest.param(EXTRA + opt()[:-1], "OPT record, or", id="OPT-cut-off"),
        pytest.param(header(questions=1, additionals=2) + A + opt() + opt(), "more than one", id="two-OPT"),
        pytest.param(header(questions=1, additionals=2) + A + opt() + TSIG, "more than one", id="OPT-and-TSIG"),
        pytest.param(EXTRA + opt(options=COOKIE)[:-1], "OPT record is cut off", id="options-cut-off"),
        pytest.param(EXTRA + opt(options=option(10, b"123456789")[:-1]), "option is", id="option-longer-than-OPT"),
        pytest.param(EXTRA + opt(options=b"\x00\x0a\x00"), "option is", id="option-without-length"),
        pytest.param(EXTRA + opt(options=b"\x00"), "option is", id="option-of-one-octet"),
        pytest.param(PLAIN + b"\x00", "octets after", id="trailing-octet"),
        pytest.param(PLAIN + opt(), "octets after", id="OPT-that-is-not-counted"),
        pytest.param(EXTRA + opt() + b"\x00", "octets after", id="octet-behind-OPT"),
    ],
)
def test_broken_queries(message: bytes, reason: str) -> None:
    """A query that breaks the format is refused with a reason, as FORMERR."""
    with pytest.raises(FormatError, match=reason) as caught:
        parse_query(message)
    assert caught.value.rcode == Rcode.FORMERR


def test_longest_name() -> None:
    """QNAME may have 255 octets."""
    name = b"\x01a" * 127 + b"\x00"
    assert parse_query(header(questions=1) + question(name)).question[:-4] == name


def test_qname_is_folded() -> None:
    """QNAME is folded for keys, the question stays as it came."""
    found = parse_query(header(questions=1) + question(NAME.upper()))
    assert found.qname == NAME
    assert found.question[:-4] == NAME.upper()


def test_first_option_counts() -> None:
    """Of several options with one code the first counts (RFC 7873 §5.2.1 for cookies)."""
    found = Opt(1232, 0, False, ((10, b"one"), (3, b""), (10, b"two")))
    assert (found.option(10), found.option(3), found.option(4)) == (b"one", b"", None)


@pytest.mark.parametrize(
    ("message", "end"),
    [
        pytest.param(header(questions=1) + A, 12 + len(A), id="plain"),
        pytest.param(PLAIN + b"more", 12 + len(A), id="more-behind-it"),
        pytest.param(header(questions=1) + A[:-1], 0, id="cut-off"),
        pytest.param(header(questions=1) + b"\xc0\x0c" + A[-4:], 0, id="pointer"),
        pytest.param(header(questions=2) + A + A, 0, id="two-questions"),
        pytest.param(header() + A, 0, id="a-question-that-is-not-counted"),
        pytest.param(header(questions=1), 0, id="no-question"),
    ],
)
def test_question_end(message: bytes, end: int) -> None:
    """The end of the one question is found where it can be read."""
    assert question_end(message) == end


@given(st.binary(max_size=80), st.tuples(*[st.integers(0, 2)] * 4))
@settings(max_examples=500, deadline=None)
def test_any_octets(body: bytes, counts: tuple[int, int, int, int]) -> None:
    """Any octets behind a header give a query that dnspython reads alike, or FORMERR."""
    message = header(0, 0x0100, *counts) + body
    try:
        found = parse_query(message)
    except FormatError:
        return
    if found.qtype == QType.IXFR:
        return
    if found.opt and found.opt.version:
        return
    read = dns.message.from_wire(message)
    assert len(read.question) == (1 if found.question else 0)
    if found.question:
        assert read.question[0].name.to_wire() == found.question[:-4]
        assert (read.question[0].rdtype, read.question[0].rdclass) == (found.qtype, found.qclass)
    assert (read.edns == 0) is (found.opt is not None)


@given(
    st.lists(st.binary(min_size=1, max_size=63), max_size=3),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.none() | st.lists(st.tuples(st.integers(20, 65535), st.binary(max_size=20)), max_size=3),
)
@settings(deadline=None)
def test_any_query(labels: list[bytes], qtype: int, payload: int, options: list[tuple[int, bytes]] | None) -> None:
    """Whatever dnspython asks is read with its question, size and options."""
    if qtype in (249, 250, 251, 252, 255):
        qtype = 1
    made = dns.message.make_query(dns.name.Name([*labels, b""]), qtype)
    if options is not None:
        made.use_edns(0, payload=payload, options=[dns.edns.GenericOption(*one) for one in options])
    found = parse_query(made.to_wire())
    assert found.question[:-4] == made.question[0].name.to_wire()
    assert found.qtype == qtype
    if options is None:
        assert found.opt is None
    else:
        assert found.opt == Opt(payload, 0, False, tuple(options))
