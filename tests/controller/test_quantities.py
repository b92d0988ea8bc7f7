"""Quantities as the API server writes them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from headlessdns.controller.quantities import canonical, parse


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        (1, "1"),
        (0.5, "500m"),
        ("1024Mi", "1Gi"),
        ("1023Ki", "1023Ki"),
        ("0.5Gi", "512Mi"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1e3", "1e3"),
        ("12e4", "120e3"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1000m", "-1"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("no quantity", "no quantity"),
        (None, None),
    ],
)
def test_a_quantity_is_stored_in_its_shortest_form(written: object, stored: object) -> None:
    """Every row is what a real API server stores, as far as it takes the quantity."""
    assert canonical(written) == stored


@pytest.mark.parametrize("wrong", ["", "1.5.2", "1x", "Gi", True, [], "1e1000"])
def test_what_is_no_quantity_has_no_number(wrong: object) -> None:
    """Such a value is nothing, and no error."""
    assert parse(wrong) is None


def test_units_are_powers_of_1000_and_1024() -> None:
    """k is 1000 and Ki is 1024."""
    assert (parse("2k"), parse("2Ki"), parse("2m")) == (Decimal(2000), Decimal(2048), Decimal("0.002"))


# What claims ask for

QUANTITIES = [
    ("0", 0),
    ("1", 1),
    ("10Gi", 10737418240),
    ("1Ki", 1024),
    ("3Mi", 3145728),
    ("1Ti", 1099511627776),
    ("1Pi", 1125899906842624),
    ("1Ei", 1152921504606846976),
    ("1k", 1000),
    ("500M", 500000000),
    ("1G", 1000000000),
    ("2T", 2000000000000),
    ("1P", 1000000000000000),
    ("1E", 1000000000000000000),
    ("1e3", 1000),
    ("1E3", 1000),
    ("12e+2", 1200),
    ("1.5Gi", 1610612736),
    (".5k", 500),
    ("1.", 1),
    ("100m", Fraction(1, 10)),
    ("1u", Fraction(1, 1000000)),
    ("1n", Fraction(1, 1000000000)),
    ("25e-1", Fraction(5, 2)),
    ("0.1", Fraction(1, 10)),
    ("9007199254740993", 9007199254740993),
]


@pytest.mark.parametrize(("text", "expected"), QUANTITIES)
def test_read_exactly(text: str, expected: Fraction) -> None:
    """A quantity is read exactly, whatever its unit."""
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "1gi", "1K", "1 Gi", "1Gi ", "1e", "1e9999", "0x10", "1.2.3", "\u0661"])
def test_no_quantities(text: str) -> None:
    """What is no quantity is none."""
    assert parse(text) is None


def test_less_than_nothing() -> None:
    """A quantity may be negative; whether it makes sense is for whoever asked."""
    assert parse("-1Gi") == -1073741824
