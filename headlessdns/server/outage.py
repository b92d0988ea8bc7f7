"""Outages of the resolver, seen in what the workers counted. Pure.

One name that cannot be resolved is no outage: while others get answers nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headlessdns.server.chase import ANSWERS, OVERLOAD

PAUSE_S = 60.0  # between one warning and the next, so that a resolver that comes and goes does not fill the log


class Told(NamedTuple):
    """What is to be logged: that an outage began, or that it is over."""

    is_over: bool
    text: str


class Outage:
    """Whether the resolver answers, by the sums of `chase.Resolver.results`."""

    def __init__(self, address: str) -> None:
        """Begin with a resolver that is sound; *address* is for people."""
        self._address = address
        self._counts: dict[str, int] = {}
        self._is_on = False
        self._told_s = -PAUSE_S

    def note(self, counts: Mapping[str, int], now_s: float) -> Told | None:
        """Return what is to be said of the questions that were counted since the last call.

        Args:
            counts: All questions so far by what came of them.
            now_s: The monotonic clock.
        """
        new = {result: count - self._counts.get(result, 0) for result, count in counts.items()}
        self._counts = dict(counts)
        failures = {result: count for result, count in new.items() if count and result not in (*_ANSWERS, OVERLOAD)}
        if any(new.get(answer) for answer in _ANSWERS):
            if not self._is_on:
                return None
            self._is_on = False
            return Told(True, f"the resolver {self._address} answers again")
        if not failures or self._is_on or now_s - self._told_s < PAUSE_S:
            return None
        self._is_on, self._told_s = True, now_s
        found = ", ".join(f"{result} {count} times" if count > 1 else result for result, count in failures.items())
        return Told(
            False,
            f"the resolver {self._address} does not answer ({found}): names that lead outside our zones are SERVFAIL; "
            "see that it runs and answers this host, or correct --resolver",
        )


_ANSWERS = frozenset(ANSWERS.values())
