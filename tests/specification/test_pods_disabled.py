"""Names of pod addresses where there are none (D26)."""

from __future__ import annotations

from headlessdns.records.rules import PodNames, Settings
from tests.specification.rows import NAMESERVER, NS_FLAGS, Asker, Row, Zone, found, nodata, nxdomain, parametrize

ZONE = Zone((*NS_FLAGS, "--pods", "disabled"), Settings(ns_addresses=NAMESERVER, pods=PodNames.DISABLED))


@parametrize(
    nxdomain("D26-disabled-A-of-a-pod", "10-244-0-1.default.pod.cluster.local. A"),
    nxdomain("D26-disabled-namespace", "default.pod.cluster.local. A"),
    nodata("D26-disabled-pod", "pod.cluster.local. A"),
    nodata("D18-disabled-namespace-below-svc", "default.svc.cluster.local. A"),
    nodata("D18-disabled-empty-namespace-below-svc", "empty.svc.cluster.local. A"),
    found("D12-disabled-endpoint", "web-0.nginx A", "5 A 10.0.0.10"),
)
def test_disabled(asker: Asker, row: Row) -> None:
    """No name of an address is answered; everything else is."""
    asker.check(row)
