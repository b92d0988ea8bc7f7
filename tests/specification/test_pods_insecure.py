"""Names of pod addresses where the name itself is enough (D25, D26)."""

from __future__ import annotations

from headlessdns.records.rules import PodNames, Settings
from tests.specification.rows import NAMESERVER, NS_FLAGS, Asker, Row, Zone, found, nodata, nxdomain, parametrize

ZONE = Zone((*NS_FLAGS, "--pods", "insecure"), Settings(ns_addresses=NAMESERVER, pods=PodNames.INSECURE))
POD = "default.pod.cluster.local."


@parametrize(
    found("D26-insecure-A-of-a-pod", f"10-244-0-1.{POD} A", "5 A 10.244.0.1"),
    found("D26-insecure-A-of-no-pod", f"1-2-3-4.{POD} A", "5 A 1.2.3.4"),
    nodata("D26-insecure-other-family", f"1-2-3-4.{POD} AAAA"),
    nodata("D26-insecure-other-type", f"1-2-3-4.{POD} HTTPS"),
    nodata("D26-insecure-any-type-of-pod-has-no-CNAME", f"1-2-3-4.{POD} CNAME"),
    found("D26-insecure-AAAA", f"2001-db8--1.{POD} AAAA", "5 AAAA 2001:db8::1"),
    nodata("D26-insecure-IPv6-has-no-A", f"2001-db8--1.{POD} A"),
    found("D25-insecure-the-unspecified-address", f"--.{POD} AAAA", "5 AAAA ::"),
    found("D25-insecure-the-unspecified-address-with-its-zero", f"--0.{POD} AAAA", "5 AAAA ::"),
    found("D25-insecure-every-group", f"1-2-3-4-5-6-7-8.{POD} AAAA", "5 AAAA 1:2:3:4:5:6:7:8"),
    found("D26-insecure-letter-case-is-echoed", f"FD00--Ab.{POD} AAAA", "5 AAAA fd00::ab"),
    found("D26-insecure-namespace-without-pods", "1-2-3-4.empty.pod.cluster.local. A",
          "5 A 1.2.3.4"),
    nxdomain("D26-insecure-unknown-namespace", "1-2-3-4.nowhere.pod.cluster.local. A"),
    nxdomain("D26-insecure-no-namespace", "1-2-3-4.pod.cluster.local. A"),
    nxdomain("D26-insecure-not-below-svc", "1-2-3-4.default.svc.cluster.local. A"),
    nxdomain("D26-insecure-label-before-the-address", f"x.1-2-3-4.{POD} A"),
    nxdomain("D26-insecure-octet-over-255", f"1-2-3-256.{POD} A"),
    nxdomain("D26-insecure-octet-with-a-leading-zero", f"01-2-3-4.{POD} A"),
    nxdomain("D26-insecure-three-octets", f"1-2-3.{POD} A"),
    nxdomain("D26-insecure-five-octets", f"1-2-3-4-5.{POD} A"),
    nxdomain("D26-insecure-group-of-five-digits", f"2001-db8--12345.{POD} AAAA"),
    nxdomain("D26-insecure-scope", f"fe80--1%eth0.{POD} AAAA"),
    nxdomain("D26-insecure-IPv4-in-dots-inside-IPv6", rf"--ffff-1\.2\.3\.4.{POD} AAAA"),
    nxdomain("D26-insecure-no-address", f"hello.{POD} A"),
    nodata("D18-insecure-namespace", f"{POD} A"),
    nodata("D18-insecure-pod", "pod.cluster.local. A"),
)  # fmt: skip
def test_insecure(asker: Asker, row: Row) -> None:
    """The name of an address in a namespace that exists is answered by what it says."""
    asker.check(row)
