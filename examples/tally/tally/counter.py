"""The counter itself: what each member has counted, by member. Pure.

Everybody adds under the own name only, so of two counts of one member the higher one is the later one, and members can
hear of each other's in any order and as often as they like (a grow-only counter).
"""

from __future__ import annotations

Counts = dict[str, int]


def merged(one: Counts, other: Counts) -> Counts:
    """Return what somebody knows who knows both."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in one.keys() | other.keys()}


def total(counts: Counts) -> int:
    """Return what all members together have counted."""
    return sum(counts.values())
