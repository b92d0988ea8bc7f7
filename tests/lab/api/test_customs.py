"""What the embedded API makes of custom resources, against the kept answers of a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.api.schemarules import wrong_pattern
from tests.lab.api import custom_rows, golden
from tests.lab.api.asking import Asking
from tests.lab.api.custom_rows import DEFINITIONS, ROWS, STRICTER_ROWS, Row

Json = dict[str, Any]

ANSWERS = golden.read("customs")


@pytest.fixture(scope="module")
def ask() -> custom_rows.Ask:
    ask = Asking().ask
    assert ask("POST", DEFINITIONS, custom_rows.SAMPLES)[0]
    loose = custom_rows.stricters(custom_rows.LOOSE)
    granted, defined = ask("POST", DEFINITIONS, loose)
    assert granted
    for number, row in enumerate(STRICTER_ROWS):
        object = custom_rows.manifest("Stricter", f"r{number}", row.old, {})
        assert ask("POST", custom_rows.place("Stricter", "default"), object)[0]
    strict = {**defined, "spec": custom_rows.stricters(custom_rows.STRICT)["spec"]}
    assert ask("PUT", f"{DEFINITIONS}/{defined['metadata']['name']}", strict)[0]
    return ask


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_custom_resource_is_taken_or_refused_as_by_a_real_api_server(ask: custom_rows.Ask, row: Row) -> None:
    """The object, or every cause and the message, is what a real API server answered."""
    assert custom_rows.answer(ask, "default", row) == ANSWERS[row.id]


@pytest.mark.parametrize("number", range(len(STRICTER_ROWS)), ids=lambda number: STRICTER_ROWS[number].id)
def test_what_was_wrong_before_may_stay_as_in_a_real_api_server(ask: custom_rows.Ask, number: int) -> None:
    """Of an update under a schema that has become stricter, only what it changes is looked at."""
    id = f"stricter: {STRICTER_ROWS[number].id}"
    assert custom_rows.stricter_answer(ask, "default", number) == ANSWERS[id]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("^[^[]+$", ""),
        ("[]a[]", ""),
        (r"[\]]\Q[\E(?:a|b)*?", ""),
        ("(?i)^*$", ""),
        (r"\10", ""),
        ("(" * 500 + ")" * 500, ""),
        ("a{99999999999999999999}", ""),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("a|*?b", "missing argument to repetition operator: `*?`"),
        ("x[^]a", "missing closing ]: `[^]a`"),
        ("((a)", "missing closing ): `((a)`"),
        ("(a))", "unexpected ): `(a))`"),
        ("a(?!b)", "invalid or unsupported Perl syntax: `(?!`"),
    ],
)
def test_wrong_pattern(pattern: str, why: str) -> None:
    """What Go cannot read as a regular expression is told in its words; where that is not certain, nothing is."""
    assert wrong_pattern(pattern) == why
