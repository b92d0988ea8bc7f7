"""Quantities as the API server writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from headlessdns.lab.api.quantities import canonical, parse


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
