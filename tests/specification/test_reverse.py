"""Reverse zones of chosen networks (``--reverse CIDR``): PTR or a denial inside, REFUSED outside."""

from __future__ import annotations

from headlessdns import names
from headlessdns.records.rules import Settings
from tests.specification.rows import (
    NAMESERVER,
    NS_FLAGS,
    Asker,
    Row,
    Zone,
    found,
    nodata,
    nxdomain,
    parametrize,
    refused,
)

NETWORKS = ("10.96.0.0/15", "10.0.0.0/24", "2001:db8:2::/48", "10.0.12.1/32")
ZONE = Zone(
    (*NS_FLAGS, *(word for network in NETWORKS for word in ("--reverse", network))),
    Settings(
        ns_addresses=NAMESERVER,
        reverse=tuple(
            names.from_text(text)
            for text in (
                "96.10.in-addr.arpa",
                "97.10.in-addr.arpa",
                "0.0.10.in-addr.arpa",
                "2.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                "1.12.0.10.in-addr.arpa",
            )
        ),
    ),
)  # fmt: skip
NODE_0 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."


@parametrize(
    found("inside-cluster-ip", "1.0.96.10.in-addr.arpa. PTR", "30 PTR kubernetes"),
    found("inside-endpoint", "10.0.0.10.in-addr.arpa. PTR", "5 PTR web-0.nginx"),
    found("inside-IPv6", f"{NODE_0} PTR", "5 PTR node-0.both"),
    nxdomain("inside-address-of-nothing", "99.0.0.10.in-addr.arpa. PTR", soa="0.0.10.in-addr.arpa."),
    nxdomain("inside-the-last-address", "255.255.97.10.in-addr.arpa. PTR", soa="97.10.in-addr.arpa."),
    nxdomain("inside-the-first-address", "0.0.96.10.in-addr.arpa. PTR", soa="96.10.in-addr.arpa."),
    nodata("inside-another-type", "10.0.0.10.in-addr.arpa. TXT", soa="0.0.10.in-addr.arpa."),
    nodata("inside-apex", "96.10.in-addr.arpa. PTR", soa="96.10.in-addr.arpa."),
    nodata("inside-empty-non-terminal", "0.96.10.in-addr.arpa. A", soa="96.10.in-addr.arpa."),
    nxdomain("inside-IPv6-address-of-nothing", f"2{NODE_0[1:]} PTR", soa="2.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."),
    found("inside-NS", "96.10.in-addr.arpa. NS", "30 NS ns.dns.cluster.local.",
          additional=["ns.dns.cluster.local. 30 A 192.0.2.53", "ns.dns.cluster.local. 30 AAAA 2001:db8::53"]),
    found("edge-a-network-of-one-address", "1.12.0.10.in-addr.arpa. PTR", "5 PTR member-0.shared-a",
          "5 PTR member-0.shared-b"),
    nodata("edge-a-network-of-one-address-is-an-apex", "1.12.0.10.in-addr.arpa. A", soa="1.12.0.10.in-addr.arpa."),
    refused("edge-the-address-after-it", "2.12.0.10.in-addr.arpa. PTR"),
    refused("edge-the-address-before-the-network", "255.255.95.10.in-addr.arpa. PTR"),
    refused("edge-the-address-after-the-network", "0.0.98.10.in-addr.arpa. PTR"),
    refused("edge-the-address-after-the-smaller-network", "0.1.0.10.in-addr.arpa. PTR"),
    refused("outside-endpoint-that-exists", "1.2.0.10.in-addr.arpa. PTR"),
    refused("outside-above-the-networks", "10.in-addr.arpa. NS"),
    refused("outside-the-whole-zone", "in-addr.arpa. SOA"),
    refused("outside-IPv6", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR"),
    refused("outside-IPv6-above", "0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR"),
    found("forward-names-do-not-depend-on-it", "node-0.both A", "5 A 10.0.2.1"),
)  # fmt: skip
def test_reverse(asker: Asker, row: Row) -> None:
    """Inside the networks an address has its PTR or is denied with the SOA of its zone; outside it is refused."""
    asker.check(row)
