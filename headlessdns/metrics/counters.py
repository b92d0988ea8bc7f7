"""What a worker counts: plain integers, sent whole to the parent every half second. Pure.

A metrics library costs 0.5 to 1 us a call, a tenth of a query; here an answer from the table costs one list increment,
sizes are counted and latency is observed once per batch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import msgspec

LATENCY_BUCKETS_S = (0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)
SIZE_STEP_OCTETS = 64  # each bucket of sizes but the last
SIZE_BUCKETS = 21  # up to 64, 128 ... 1280 octets, and all that is larger


class Report(msgspec.Struct):
    """What was counted since the worker began.

    Attributes:
        protocol: ``udp`` or ``tcp``.
        by_kind: Responses by family (1 IPv4, 2 IPv6), RCODE (low 4 bits) and QTYPE (0 where unknown).
        sizes: Responses by octets, in steps of `SIZE_STEP_OCTETS`, the last bucket open.
        size_octets: Sum of all sizes.
        latencies: Responses by the time that their batch took, one bucket more than `LATENCY_BUCKETS_S`.
        latency_s: Sum over all responses of the time that their batch took.
        dropped: Queries that got silence.
        lost: Responses that the kernel refused.
        truncated: Responses with TC.
        refused: Connections that were one too many.
        cut: Answers that do not fit 64 KiB, sent without their end.
        resolver: Questions to the resolver by what came of them; empty without one.
    """

    protocol: str
    by_kind: dict[tuple[int, int, int], int] = {}
    sizes: list[int] = []
    size_octets: int = 0
    latencies: list[int] = []
    latency_s: float = 0.0
    dropped: int = 0
    lost: int = 0
    truncated: int = 0
    refused: int = 0
    cut: int = 0
    resolver: dict[str, int] = {}


class Counters:
    """The counters of one worker."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.dropped = 0
        self.lost = 0
        self.refused = 0
        self.cut = 0
        self.resolver: dict[str, int] = {}  # the resolver counts into it
        self._truncated = 0
        self.tallies: dict[int, list[int]] = {1: [], 2: []}  # by family; the table counts into them
        self._by_family: dict[int, dict[bytes, int]] = {1: {}, 2: {}}  # flags' second octet and QTYPE -> responses
        self._sizes: Counter[int] = Counter()
        self._latencies = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self._latency_s = 0.0

    def count(self, family: int, responses: list[bytes], seconds: float) -> None:
        """Count *responses* that went out together.

        Args:
            family: 1 for IPv4, 2 for IPv6.
            responses: Whole messages.
            seconds: From the receipt of their queries to the last response.
        """
        self.count_kinds(family, responses)
        self.observe(responses, seconds)

    def observe(self, responses: list[bytes], seconds: float) -> None:
        """Count sizes and latency of *responses*; their kinds are in a tally already."""
        self._sizes.update(map(len, responses))
        self._latencies[bisect_left(LATENCY_BUCKETS_S, seconds)] += len(responses)
        self._latency_s += seconds * len(responses)

    def count_kinds(self, family: int, responses: list[bytes]) -> None:
        """Count RCODE, QTYPE and TC of *responses* by looking at them."""
        by_kind = self._by_family[family]
        for response in responses:
            end = response.find(b"\x00", 12) + 1
            kind = response[3:4] + response[end : end + 2] if response[5] else response[3:4]  # QDCOUNT is 1 or 0
            by_kind[kind] = by_kind.get(kind, 0) + 1
            if response[2] & 2:
                self._truncated += 1

    def report(self, places: Sequence[tuple[int, int]] = ()) -> Report:
        """Return everything counted so far.

        Args:
            places: RCODE and QTYPE of each place of a tally.
        """
        by_kind: dict[tuple[int, int, int], int] = {}
        for family, kinds in self._by_family.items():
            for kind, count in kinds.items():
                key = family, kind[0] & 15, int.from_bytes(kind[1:3], "big") if len(kind) == 3 else 0
                by_kind[key] = by_kind.get(key, 0) + count
        for family, tally in self.tallies.items():
            for (rcode, qtype), count in zip(places, tally, strict=False):  # a tally has room to spare
                if count:
                    by_kind[family, rcode, qtype] = by_kind.get((family, rcode, qtype), 0) + count
        sizes = [0] * SIZE_BUCKETS
        for size, count in self._sizes.items():
            sizes[min((size - 1) // SIZE_STEP_OCTETS, SIZE_BUCKETS - 1)] += count
        return Report(
            self.protocol,
            by_kind,
            sizes,
            sum(size * count for size, count in self._sizes.items()),
            list(self._latencies),
            self._latency_s,
            self.dropped,
            self.lost,
            self._truncated,
            self.refused,
            self.cut,
            dict(self.resolver),
        )


def merged(reports: list[Report]) -> dict[str, Report]:
    """Return the sum of *reports* by protocol."""
    sums: dict[str, Report] = {}
    for report in reports:
        into = sums.setdefault(
            report.protocol,
            Report(report.protocol, {}, [0] * SIZE_BUCKETS, 0, [0] * (len(LATENCY_BUCKETS_S) + 1)),
        )
        for key, count in report.by_kind.items():
            into.by_kind[key] = into.by_kind.get(key, 0) + count
        into.sizes = [one + other for one, other in zip(into.sizes, report.sizes, strict=True)]
        into.latencies = [one + other for one, other in zip(into.latencies, report.latencies, strict=True)]
        into.size_octets += report.size_octets
        into.latency_s += report.latency_s
        into.dropped += report.dropped
        into.lost += report.lost
        into.truncated += report.truncated
        into.refused += report.refused
        into.cut += report.cut
        for result, count in report.resolver.items():
            into.resolver[result] = into.resolver.get(result, 0) + count
    return sums
