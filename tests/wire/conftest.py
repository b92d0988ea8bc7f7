"""A cluster that the tests of this folder ask; none of them changes it."""

from __future__ import annotations

import pytest

from headlessdns.records.rules import Settings
from tests.support import WEB, Cluster, endpoint, endpoint_slice, external, namespace, pod, service

NAMESERVER = ("192.0.2.53", "2001:db8::53")


def numbered(count: int) -> list[dict[str, object]]:
    """Return *count* endpoints ``pod-0``, ``pod-1`` ... from 10.1.0.0 on."""
    return [endpoint(f"10.{1 + (i >> 16)}.{i >> 8 & 255}.{i & 255}", f"pod-{i}") for i in range(count)]


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Services of every size: `nginx` of 2 endpoints, `ten`, `seventy`, `big` of 200 and `huge` of 6000."""
    sizes = {"ten": 10, "seventy": 70, "big": 200, "huge": 6000}
    dual = [
        endpoint_slice("dual", [endpoint("10.0.1.1", "a")]),
        endpoint_slice("dual", [endpoint("2001:db8::1", "a")], name="dual-6"),
    ]
    return Cluster(
        namespace(),
        namespace("empty"),
        service(),
        endpoint_slice(endpoints=[endpoint("10.0.0.1", "web-0"), endpoint("10.0.0.2", "web-1")]),
        service("dual"),
        *dual,
        *(service(name) for name in sizes),
        *(endpoint_slice(name, numbered(count)) for name, count in sizes.items()),
        service("kubernetes", cluster_ip="10.96.0.1", ports=[WEB]),
        external("out", "www.example.com"),
        external("inside", "web-0.nginx.default.svc.cluster.local"),
        external("to-big", "big.default.svc.cluster.local"),
        external("missing", "nope.default.svc.cluster.local"),
        pod("p", "10.244.0.1"),
        settings=Settings(ns_addresses=NAMESERVER),
    )
