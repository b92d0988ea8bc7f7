"""Names of pod addresses where a pod has to have them, the default (D25, D26)."""

from __future__ import annotations

from tests.specification.rows import Asker, Row, found, nodata, nxdomain, parametrize

POD = "default.pod.cluster.local."


@parametrize(
    found("D26-verified-A", f"10-244-0-1.{POD} A", "5 A 10.244.0.1"),
    nodata("D26-verified-other-family", f"10-244-0-1.{POD} AAAA"),
    found("D26-verified-dual-stack-A", f"10-244-0-2.{POD} A", "5 A 10.244.0.2"),
    found("D26-verified-dual-stack-AAAA", f"fd00-244--2.{POD} AAAA", "5 AAAA fd00:244::2"),
    found("D26-verified-podIP-alone", f"10-244-0-6.{POD} A", "5 A 10.244.0.6"),
    found("D26-verified-two-pods-on-the-host-network", f"192-0-2-10.{POD} A", "5 A 192.0.2.10"),
    found("D26-verified-upper-case", f"FD00-244--2.{POD} AAAA", "5 AAAA fd00:244::2"),
    nxdomain("D26-verified-no-pod-has-it", f"10-244-0-99.{POD} A"),
    nxdomain("D26-verified-pod-that-has-succeeded", f"10-244-0-3.{POD} A"),
    nxdomain("D26-verified-pod-that-has-failed", f"10-244-0-4.{POD} A"),
    nxdomain("D26-verified-pod-of-another-namespace", f"10-244-0-9.{POD} A"),
    found("D26-verified-in-its-own-namespace", "10-244-0-9.other.pod.cluster.local. A",
          "5 A 10.244.0.9"),
    nxdomain("D26-verified-unknown-namespace", "10-244-0-1.nowhere.pod.cluster.local. A"),
    nxdomain("D26-verified-label-before-the-address", f"x.10-244-0-1.{POD} A"),
    nxdomain("D26-verified-address-in-dots", f"10.244.0.1.{POD} A"),
    nxdomain("D26-verified-pod-name", f"one.{POD} A"),
    nxdomain("D26-verified-no-address", f"10-244-0.{POD} A"),
    found("D25-verified-a-zero-follows-a-final-dash", f"2001-db8-244--0.{POD} AAAA", "5 AAAA 2001:db8:244::"),
    nxdomain("D25-verified-without-the-zero", f"2001-db8-244--.{POD} AAAA"),
    found("D25-verified-every-group", f"2001-db8-0-1-2-3-4-5.{POD} AAAA", "5 AAAA 2001:db8:0:1:2:3:4:5"),
    found("D25-verified-two-dashes-at-the-start", f"--5.{POD} AAAA", "5 AAAA ::5"),
)  # fmt: skip
def test_verified(asker: Asker, row: Row) -> None:
    """The name of an address is answered when a running pod of that namespace has the address."""
    asker.check(row)
