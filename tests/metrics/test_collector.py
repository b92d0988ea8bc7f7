"""The metrics as Prometheus reads them, parsed by its own library."""

from __future__ import annotations

import platform

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from headlessdns.metrics.collector import Facts, KindFacts, ZoneFacts, registry_of
from headlessdns.metrics.counters import Report
from headlessdns.metrics.programming import ProgrammingTimes

UDP = Report(
    protocol="udp",
    by_kind={(1, 0, 1): 5, (1, 3, 1): 2, (2, 0, 28): 1, (1, 5, 4242): 1, (1, 4, 4243): 1, (1, 9, 1): 1},
    sizes=[3, 5, *[0] * 18, 2],
    size_octets=4321,
    latencies=[0, 4, 6, *[0] * 10],
    latency_s=0.0005,
    dropped=7,
    lost=8,
    truncated=9,
    resolver={"NOERROR": 3, "network error": 1, "timeout": 0},
)
TCP = Report("tcp", {(1, 0, 1): 1}, [1, *[0] * 20], 60, [1, *[0] * 12], 0.000_01, refused=3)


def programming() -> ProgrammingTimes:
    times = ProgrammingTimes()
    times.observe("headless_with_selector", "2026-01-01T00:00:00Z", 1_767_225_600.02)
    return times


FACTS = Facts(
    version="1.2.3",
    not_ready="",
    is_stale=True,
    reports={"udp": UDP, "tcp": TCP},
    zones=(ZoneFacts("cluster.local.", 1_767_225_600, "00ff", 12, 34), ZoneFacts("in-addr.arpa.", 1, "aa", 2, 3)),
    kinds=(KindFacts("Service", 8, 1.5, 2), KindFacts("Pod", 0, None, 0, True)),
    workers=2,
    worker_restarts=1,
    changed_s=1_767_225_601.5,
    programming=programming(),
    broken_manifests=3,
)

SAMPLES = {
    "headlessdns_dns_requests_total{family=1,proto=udp,type=A}": 8,
    "headlessdns_dns_requests_total{family=2,proto=udp,type=AAAA}": 1,
    "headlessdns_dns_requests_total{family=1,proto=udp,type=other}": 2,
    "headlessdns_dns_requests_total{family=1,proto=tcp,type=A}": 1,
    "headlessdns_dns_responses_total{family=1,proto=udp,rcode=NOERROR,type=A}": 5,
    "headlessdns_dns_responses_total{family=1,proto=udp,rcode=NXDOMAIN,type=A}": 2,
    "headlessdns_dns_responses_total{family=1,proto=udp,rcode=REFUSED,type=other}": 1,
    "headlessdns_dns_responses_total{family=1,proto=udp,rcode=other,type=A}": 1,
    "headlessdns_dns_response_size_bytes_bucket{le=64.0,proto=udp}": 3,
    "headlessdns_dns_response_size_bytes_bucket{le=128.0,proto=udp}": 8,
    "headlessdns_dns_response_size_bytes_bucket{le=1280.0,proto=udp}": 8,
    "headlessdns_dns_response_size_bytes_bucket{le=+Inf,proto=udp}": 10,
    "headlessdns_dns_response_size_bytes_count{proto=udp}": 10,
    "headlessdns_dns_response_size_bytes_sum{proto=udp}": 4321,
    "headlessdns_dns_request_duration_seconds_bucket{le=1e-05,proto=udp}": 0,
    "headlessdns_dns_request_duration_seconds_bucket{le=2e-05,proto=udp}": 4,
    "headlessdns_dns_request_duration_seconds_bucket{le=0.25,proto=udp}": 10,
    "headlessdns_dns_request_duration_seconds_bucket{le=+Inf,proto=udp}": 10,
    "headlessdns_dns_request_duration_seconds_sum{proto=udp}": 0.0005,
    "headlessdns_dns_truncated_total{proto=udp}": 9,
    "headlessdns_dns_dropped_total{proto=udp}": 7,
    "headlessdns_dns_lost_total{proto=udp}": 8,
    "headlessdns_dns_refused_connections_total{proto=tcp}": 3,
    "headlessdns_resolver_requests_total{proto=udp,result=NOERROR}": 3,
    "headlessdns_resolver_requests_total{proto=udp,result=network error}": 1,
    "headlessdns_resolver_requests_total{proto=udp,result=timeout}": 0,
    "headlessdns_zone_serial{zone=cluster.local.}": 1_767_225_600,
    "headlessdns_zone_records{zone=cluster.local.}": 34,
    "headlessdns_zone_names{zone=cluster.local.}": 12,
    "headlessdns_zone_names{zone=in-addr.arpa.}": 2,
    "headlessdns_zone_digest_info{digest=00ff,zone=cluster.local.}": 1,
    "headlessdns_objects{kind=Service}": 8,
    "headlessdns_objects{kind=Pod}": 0,
    "headlessdns_watch_age_seconds{kind=Service}": 1.5,
    "headlessdns_watch_restarts_total{kind=Service}": 2,
    "headlessdns_watch_forbidden{kind=Service}": 0,
    "headlessdns_watch_forbidden{kind=Pod}": 1,
    "headlessdns_kubernetes_dns_programming_duration_seconds_bucket{le=0.01,service_kind=headless_with_selector}": 0,
    "headlessdns_kubernetes_dns_programming_duration_seconds_bucket{le=0.025,service_kind=headless_with_selector}": 1,
    "headlessdns_kubernetes_dns_programming_duration_seconds_count{service_kind=headless_with_selector}": 1,
    "headlessdns_last_change_timestamp_seconds{}": 1_767_225_601.5,
    "headlessdns_manifests_broken{}": 3,
    "headlessdns_workers{}": 2,
    "headlessdns_worker_restarts_total{}": 1,
    "headlessdns_stale{}": 1,
    "headlessdns_ready{}": 1,
    f"headlessdns_build_info{{python={platform.python_version()},version=1.2.3}}": 1,
}


def samples(facts: Facts) -> dict[str, float]:
    """Return every sample by its name and labels."""
    text = generate_latest(registry_of(lambda: facts)).decode()
    return {
        f"{one.name}{{{','.join(f'{name}={one.labels[name]}' for name in sorted(one.labels))}}}": one.value
        for family in parse(text)
        for one in family.samples
    }


@pytest.mark.parametrize(("sample", "value"), SAMPLES.items(), ids=SAMPLES.keys())
def test_sample(sample: str, value: float) -> None:
    """Each fact has its sample."""
    assert samples(FACTS)[sample] == pytest.approx(value)


def test_no_watch_has_no_age() -> None:
    """A kind that is not watched has no age, rather than one that an alert would fire on."""
    assert [sample for sample in samples(FACTS) if "watch_age" in sample] == [
        "headlessdns_watch_age_seconds{kind=Service}"
    ]


def test_no_manifests_are_not_broken() -> None:
    """With a cluster there is no metric for manifests."""
    assert "headlessdns_manifests_broken{}" not in samples(Facts(version="1", not_ready=""))


def test_every_metric_is_ours() -> None:
    """Every name has the prefix, and nothing else is in the registry."""
    assert all(sample.startswith("headlessdns_") for sample in samples(FACTS))


def test_openmetrics() -> None:
    """The strict reader of OpenMetrics accepts the page."""
    text = generate_openmetrics(registry_of(lambda: FACTS)).decode()
    assert {family.name for family in parse_openmetrics(text)} >= {"headlessdns_dns_requests", "headlessdns_build"}


def test_before_anything_is_known() -> None:
    """A server that has just begun has a page, too, and is not ready."""
    found = samples(Facts(version="1", not_ready="Services are not listed yet"))
    assert found["headlessdns_ready{}"] == 0
    assert found["headlessdns_last_change_timestamp_seconds{}"] == 0


def test_facts_are_asked_for_at_each_scrape() -> None:
    """Two scrapes see two states."""
    states = iter([Facts(version="1", not_ready="", workers=1), Facts(version="1", not_ready="", workers=2)])
    registry = registry_of(lambda: next(states))
    assert b"headlessdns_workers 1.0" in generate_latest(registry)
    assert b"headlessdns_workers 2.0" in generate_latest(registry)
