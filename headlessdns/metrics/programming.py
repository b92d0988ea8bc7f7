"""How long a change took from the cluster to the DNS: the programming latency that Kubernetes has an objective for.

The endpoints controllers write the time of the pod or Service that made them act into the annotation
``endpoints.kubernetes.io/last-change-trigger-time``; what passed since then is observed when the change is out. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import datetime

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_MAX_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")  # datetime has microseconds, RFC 3339 whatever one likes


class ProgrammingTimes:
    """A histogram of seconds for each kind of Service.

    Attributes:
        buckets: By kind of Service, such as ``headless_with_selector``: counts by `BUCKETS_S`, and one bucket more.
        sums_s: By kind of Service, the sum of what was observed.
    """

    def __init__(self) -> None:
        self.buckets: dict[str, list[int]] = {}
        self.sums_s: dict[str, float] = {}

    def observe(self, service_kind: str, trigger_time: str, now_s: float) -> None:
        """Count one change.

        Args:
            service_kind: The kind of Service.
            trigger_time: The annotation, RFC 3339; one that is empty or no time is passed over.
            now_s: Unix time. A clock that is behind the cluster's counts as no time at all.
        """
        began_s = unix_time_s(trigger_time)
        if began_s is None:
            return
        seconds = max(now_s - began_s, 0.0)
        buckets = self.buckets.setdefault(service_kind, [0] * (len(BUCKETS_S) + 1))
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.sums_s[service_kind] = self.sums_s.get(service_kind, 0.0) + seconds


def unix_time_s(text: str) -> float | None:
    """Return the Unix time of an RFC 3339 time, None where *text* is none."""
    try:
        time = datetime.fromisoformat(_MAX_FRACTION.sub(r"\1", text))
    except ValueError:
        return None
    return None if time.tzinfo is None else time.timestamp()
