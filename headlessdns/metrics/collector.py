"""What Prometheus sees: one collector that renders the counters of the workers and the facts of the parent. Pure.

Names follow the conventions of Prometheus, and those of CoreDNS behind the prefix where it counts the same.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from headlessdns.metrics.counters import LATENCY_BUCKETS_S, SIZE_BUCKETS, SIZE_STEP_OCTETS, Report
from headlessdns.metrics.programming import BUCKETS_S, ProgrammingTimes

OTHER = "other"
# The types with a label of their own (IANA DNS parameters); all others share one, so that no client makes labels.
TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    35: "NAPTR",
    43: "DS",
    48: "DNSKEY",
    64: "SVCB",
    65: "HTTPS",
    251: "IXFR",
    252: "AXFR",
    255: "ANY",
}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class ZoneFacts(msgspec.Struct, frozen=True):
    """One zone.

    Attributes:
        apex: Its name as text.
        serial: SOA serial.
        digest: Equal on replicas that say the same; does not depend on order or serial.
        names: Names that exist.
        records: Records, SOA and NS at the apex included.
    """

    apex: str
    serial: int
    digest: str
    names: int
    records: int


class KindFacts(msgspec.Struct, frozen=True):
    """One kind of object.

    Attributes:
        kind: Its name in the API.
        objects: How many are known.
        age_s: Seconds since its watch last said anything; None where there is no watch.
        restarts: How often its watch was begun anew.
        is_forbidden: The API server forbids it.
    """

    kind: str
    objects: int
    age_s: float | None = None
    restarts: int = 0
    is_forbidden: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a server, read once for each request over HTTP.

    Attributes:
        version: Of this program.
        not_ready: Why the server is not ready, as one line; empty when it is.
        is_stale: The API has been silent for too long; answers go on.
        reports: What the workers counted, by protocol.
        zones: Our zones.
        kinds: The kinds of objects that are read.
        workers: Workers that answer now.
        worker_restarts: Workers that were replaced.
        changed_s: Unix time of the last change of a record; 0 before the first.
        programming: How long changes took.
        broken_manifests: Files and paths that are broken, so that what was read before is in use; None with a cluster.
    """

    version: str
    not_ready: str
    is_stale: bool = False
    reports: dict[str, Report] = {}
    zones: tuple[ZoneFacts, ...] = ()
    kinds: tuple[KindFacts, ...] = ()
    workers: int = 0
    worker_restarts: int = 0
    changed_s: float = 0.0
    programming: ProgrammingTimes | None = None
    broken_manifests: int | None = None


class FactsCollector(Collector):
    """Renders `Facts`, asked for anew at each scrape."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask for facts before the server has any."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        facts = self._facts()
        reports = [facts.reports[protocol] for protocol in sorted(facts.reports)]
        yield from _query_metrics(reports)
        yield from _zone_metrics(facts.zones)
        yield from _kind_metrics(facts.kinds)
        yield _programming_metric(facts.programming or ProgrammingTimes())
        yield from _server_metrics(facts)


def registry_of(facts: Callable[[], Facts]) -> CollectorRegistry:
    """Return a registry of our own with the one collector in it."""
    registry = CollectorRegistry()
    registry.register(FactsCollector(facts))
    return registry


def _query_metrics(reports: list[Report]) -> Iterator[Metric]:
    yield from _counts_by_kind(reports)
    duration = HistogramMetricFamily(
        "headlessdns_dns_request_duration_seconds",
        "Time from the receipt of a batch of queries to its last response, once for each response.",
        labels=["proto"],
    )
    size = HistogramMetricFamily("headlessdns_dns_response_size_bytes", "Octets of the responses.", labels=["proto"])
    sizes = [SIZE_STEP_OCTETS * (index + 1) for index in range(SIZE_BUCKETS - 1)]
    for report in reports:
        duration.add_metric([report.protocol], _cumulated(LATENCY_BUCKETS_S, report.latencies), report.latency_s)
        size.add_metric([report.protocol], _cumulated(sizes, report.sizes), report.size_octets)
    yield duration
    yield size
    yield _resolver_metric(reports)
    for field, name, help in _PLAIN_COUNTERS:
        family = CounterMetricFamily(f"headlessdns_dns_{name}", help, labels=["proto"])
        for report in reports:
            family.add_metric([report.protocol], getattr(report, field))
        yield family


def _resolver_metric(reports: list[Report]) -> Metric:
    family = CounterMetricFamily(
        "headlessdns_resolver_requests",
        "Questions to --resolver by what came of them: an RCODE, or why there was no answer.",
        labels=["proto", "result"],
    )
    for report in reports:
        for result, count in sorted(report.resolver.items()):
            family.add_metric([report.protocol, result], count)
    return family


_PLAIN_COUNTERS = (
    ("truncated", "truncated", "Responses with TC."),
    ("cut", "cut", "Answers over 64 KiB that were sent without their end."),
    ("dropped", "dropped", "Messages that got no response: no header, or a response themselves."),
    ("lost", "lost", "Responses that the kernel did not take."),
    ("refused", "refused_connections", "Connections closed because there were too many."),
)


def _counts_by_kind(reports: list[Report]) -> Iterator[Metric]:
    by_type: Counter[tuple[str, str, str]] = Counter()
    by_rcode: Counter[tuple[str, str, str, str]] = Counter()
    for report in reports:
        for (family, rcode, qtype), count in report.by_kind.items():
            type = TYPES.get(qtype, OTHER)
            by_type[report.protocol, str(family), type] += count
            by_rcode[report.protocol, str(family), type, RCODES.get(rcode, OTHER)] += count
    requests = CounterMetricFamily(
        "headlessdns_dns_requests",
        "Queries that got a response, by family (1 IPv4, 2 IPv6) and type.",
        labels=["proto", "family", "type"],
    )
    responses = CounterMetricFamily(
        "headlessdns_dns_responses",
        "Responses by family, type and RCODE (its low 4 bits).",
        labels=["proto", "family", "type", "rcode"],
    )
    for labels, count in sorted(by_type.items()):
        requests.add_metric(labels, count)
    for more_labels, count in sorted(by_rcode.items()):
        responses.add_metric(more_labels, count)
    yield requests
    yield responses


def _cumulated(edges: Sequence[float], counts: list[int]) -> list[tuple[str, float]]:
    """Return buckets as Prometheus has them: each holds those below it, the last is ``+Inf``."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for edge, count in zip([*map(float, edges), float("inf")], counts, strict=True):
        total += count
        buckets.append(("+Inf" if edge == float("inf") else repr(edge), total))
    return buckets


def _zone_metrics(zones: tuple[ZoneFacts, ...]) -> Iterator[Metric]:
    for field, help in (
        ("serial", "SOA serial; replicas differ."),
        ("records", "Records in the zone."),
        ("names", "Names that exist in the zone."),
    ):
        yield _gauge(f"zone_{field}", help, "zone", {zone.apex: getattr(zone, field) for zone in zones})
    digest = InfoMetricFamily(
        "headlessdns_zone_digest",
        "A digest of the zone's records; equal on replicas that say the same.",
        labels=["zone"],
    )
    for zone in zones:
        digest.add_metric([zone.apex], {"digest": zone.digest})
    yield digest


def _kind_metrics(kinds: tuple[KindFacts, ...]) -> Iterator[Metric]:
    yield _gauge("objects", "Objects that are known.", "kind", {one.kind: one.objects for one in kinds})
    watched = [one for one in kinds if one.age_s is not None]
    ages_s = {one.kind: one.age_s for one in watched if one.age_s is not None}
    yield _gauge("watch_age_seconds", "Time since the watch last said anything.", "kind", ages_s)
    restarts = CounterMetricFamily("headlessdns_watch_restarts", "How often the watch was begun anew.", labels=["kind"])
    for one in watched:
        restarts.add_metric([one.kind], one.restarts)
    yield restarts
    forbidden = {one.kind: int(one.is_forbidden) for one in kinds}
    yield _gauge("watch_forbidden", "1 where the API server forbids the kind.", "kind", forbidden)


def _programming_metric(times: ProgrammingTimes) -> Metric:
    family = HistogramMetricFamily(
        "headlessdns_kubernetes_dns_programming_duration_seconds",
        "Time from the change of a pod or Service to the answer that follows it.",
        labels=["service_kind"],
    )
    for kind in sorted(times.buckets):
        family.add_metric([kind], _cumulated(BUCKETS_S, times.buckets[kind]), times.sums_s[kind])
    return family


def _server_metrics(facts: Facts) -> Iterator[Metric]:
    changed = "Unix time of the last change of a record; 0 before the first."
    yield GaugeMetricFamily("headlessdns_last_change_timestamp_seconds", changed, value=facts.changed_s)
    yield GaugeMetricFamily("headlessdns_workers", "Workers that answer.", value=facts.workers)
    yield CounterMetricFamily("headlessdns_worker_restarts", "Workers that were replaced.", value=facts.worker_restarts)
    yield GaugeMetricFamily("headlessdns_stale", "1 while the API has been silent for too long.", value=facts.is_stale)
    yield GaugeMetricFamily("headlessdns_ready", "1 while /readyz says so.", value=not facts.not_ready)
    if facts.broken_manifests is not None:
        broken = "Files and paths of --manifests that are broken or gone; what was read of them before stays in use."
        yield GaugeMetricFamily("headlessdns_manifests_broken", broken, value=facts.broken_manifests)
    build = {"version": facts.version, "python": platform.python_version()}
    yield InfoMetricFamily("headlessdns_build", "What is running.", value=build)


def _gauge(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"headlessdns_{name}", help, labels=[label])
    for value in values:
        family.add_metric([value], values[value])
    return family
