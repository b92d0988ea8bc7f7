"""Endpoints named after their pods (D3, ``--endpoint-pod-names``)."""

from __future__ import annotations

from headlessdns.records.rules import Settings
from tests.specification.rows import NAMESERVER, NS_FLAGS, Asker, Row, Zone, found, nxdomain, parametrize

ZONE = Zone((*NS_FLAGS, "--endpoint-pod-names"), Settings(ns_addresses=NAMESERVER, endpoint_pod_names=True))


@parametrize(
    found("D3-pod-name", "deploy-5d4f-abcde.anonymous A", "5 A 10.0.7.1"),
    nxdomain("D3-pod-name-instead-of-the-address", "10-0-7-1.anonymous A"),
    found("D3-pod-name-PTR", "1.7.0.10.in-addr.arpa. PTR", "5 PTR deploy-5d4f-abcde.anonymous"),
    found("D3-pod-name-of-64-octets", "10-0-7-2.anonymous A", "5 A 10.0.7.2"),
    found("D3-pod-name-with-dots", "10-0-7-3.anonymous A", "5 A 10.0.7.3"),
    found("D3-target-that-is-no-pod", "10-0-7-4.anonymous A", "5 A 10.0.7.4"),
    nxdomain("D3-name-of-a-target-that-is-no-pod", "vm-1.anonymous A"),
    found("D3-host-name-before-the-pod-name", "named.anonymous A", "5 A 10.0.7.5"),
    nxdomain("D3-no-pod-name-beside-a-host-name", "deploy-5d4f-fghij.anonymous A"),
    found("D3-SRV", "_web._tcp.anonymous SRV",
          *(f"5 SRV 0 100 80 {target}.anonymous"
            for target in ("10-0-7-2", "10-0-7-3", "10-0-7-4", "deploy-5d4f-abcde", "named")),
          additional=["10-0-7-2.anonymous 5 A 10.0.7.2", "10-0-7-3.anonymous 5 A 10.0.7.3",
                      "10-0-7-4.anonymous 5 A 10.0.7.4",
                      "deploy-5d4f-abcde.anonymous 5 A 10.0.7.1", "named.anonymous 5 A 10.0.7.5"]),
)  # fmt: skip
def test_pod_names(asker: Asker, row: Row) -> None:
    """An endpoint without a host name has the name of its pod, where that is a label."""
    asker.check(row)
