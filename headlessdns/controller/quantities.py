"""Quantities of resources in the form in which the API server writes them. Pure.

Source: resource.Quantity of apimachinery 0.36. ``1000m`` is written ``1``, ``1024Mi`` is written ``1Gi``.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Any

_FORM = re.compile(
    r"([+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}))(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?)|[eE]([+-]?[0-9]{1,2}))\Z",
    re.ASCII,
)
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIXES = {power: suffix for suffix, power in _DECIMAL.items()}
_SMALLEST = Decimal("1e-9")


def parse(quantity: Any) -> Decimal | None:
    """Return the number that *quantity* stands for, None where it is no quantity."""
    found = _FORM.match(str(quantity)) if isinstance(quantity, int | float | str) else None
    if found is None or isinstance(quantity, bool):
        return None
    number, suffix, exponent = found.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent))
    if suffix.endswith("i"):
        return Decimal(number) * Decimal(1024 ** _BINARY.index(suffix))
    return Decimal(number).scaleb(_DECIMAL[suffix])


def canonical(quantity: Any) -> Any:
    """Return *quantity* as the API server writes it, itself where it is no quantity."""
    is_short = isinstance(quantity, str) and len(quantity) < 32
    return _canonical_text(quantity) if is_short else _canonical(quantity)


def _canonical(quantity: Any) -> Any:
    number = parse(quantity)
    if number is None:
        return quantity
    text = str(quantity)
    if not number:
        return "0"
    if text.endswith("i") and not -1024 < number < 1024:
        return _binary(number.to_integral_value(ROUND_CEILING))
    shown, power = _thousands(number.quantize(_SMALLEST, ROUND_CEILING))
    if re.search("[eE][+-]?[0-9]", text):
        return f"{shown}e{power}" if power else str(shown)
    return f"{shown}{_SUFFIXES[power]}"


# The same few are written again and again.
_canonical_text = lru_cache(maxsize=4096)(_canonical)


def _binary(number: Decimal) -> str:
    whole, power = int(number), 0
    while whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def _thousands(number: Decimal) -> tuple[int, int]:
    """Return the shortest whole number and the power of ten, a multiple of three, that make *number*."""
    whole, power = int(number.scaleb(9)), -9
    while whole % 1000 == 0 and power < 18:
        whole, power = whole // 1000, power + 3
    return whole, power
