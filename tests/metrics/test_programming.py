"""The time from a change in the cluster to its answer."""

from __future__ import annotations

import pytest

from headlessdns.metrics.programming import BUCKETS_S, ProgrammingTimes, unix_time_s

NEW_YEAR_S = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        pytest.param("2026-01-01T00:00:00Z", NEW_YEAR_S, id="whole seconds"),
        pytest.param("2026-01-01T01:30:00+01:30", NEW_YEAR_S, id="another offset"),
        pytest.param("2026-01-01T00:00:00.25Z", NEW_YEAR_S + 0.25, id="a fraction"),
        pytest.param("2026-01-01T00:00:00.250000999Z", NEW_YEAR_S + 0.25, id="nanoseconds are cut"),
        pytest.param("2026-01-01T00:00:00", None, id="no offset is no time"),
        pytest.param("", None, id="empty"),
        pytest.param("yesterday", None, id="a word"),
    ],
)
def test_unix_time(text: str, time_s: float | None) -> None:
    """RFC 3339 is read to the microsecond; anything else is no time."""
    assert unix_time_s(text) == (None if time_s is None else pytest.approx(time_s, abs=1e-6))


def test_observe() -> None:
    """Each change counts in the bucket of the time that it took, by kind of Service."""
    times = ProgrammingTimes()
    for now_s in (NEW_YEAR_S + 0.002, NEW_YEAR_S + 0.004, NEW_YEAR_S + 1000):
        times.observe("headless_with_selector", "2026-01-01T00:00:00Z", now_s)
    times.observe("cluster_ip", "2026-01-01T00:00:00Z", NEW_YEAR_S + 1)
    headless = times.buckets["headless_with_selector"]
    assert {index: count for index, count in enumerate(headless) if count} == {1: 1, 2: 1, len(BUCKETS_S): 1}
    assert times.sums_s["headless_with_selector"] == pytest.approx(1000.006)
    assert sum(times.buckets["cluster_ip"]) == 1


def test_a_clock_that_is_behind() -> None:
    """A change from the future took no time."""
    times = ProgrammingTimes()
    times.observe("headless_with_selector", "2026-01-01T00:00:00Z", NEW_YEAR_S - 5)
    assert times.buckets["headless_with_selector"][0] == 1
    assert times.sums_s["headless_with_selector"] == 0


def test_no_annotation() -> None:
    """A slice without the annotation is not counted."""
    times = ProgrammingTimes()
    times.observe("headless_with_selector", "", NEW_YEAR_S)
    assert times.buckets == {}
