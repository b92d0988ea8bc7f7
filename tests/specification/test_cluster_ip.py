"""Services with virtual addresses (D6 to D9)."""

from __future__ import annotations

from tests.specification.rows import Asker, Row, found, nodata, nxdomain, parametrize


@parametrize(
    found("D6-A", "kubernetes A", "30 A 10.96.0.1"),
    nodata("D6-no-AAAA-without-an-IPv6-address", "kubernetes AAAA"),
    found("D6-dual-stack-A", "dual A", "30 A 10.96.0.7"),
    found("D6-dual-stack-AAAA", "dual AAAA", "30 AAAA fd00:96::7"),
    found("D6-IPv6-only-AAAA-in-another-spelling", "six AAAA", "30 AAAA fd00:96::8"),
    nodata("D6-IPv6-only-has-no-A", "six A"),
    found("D6-type-LoadBalancer", "many A", "30 A 10.96.0.9"),
    found("D6-without-ready-endpoints", "idle A", "30 A 10.96.0.11"),
    found("D6-ttl-by-annotation", "slow A", "120 A 10.96.0.12"),
    found("D7-named-port", "_https._tcp.kubernetes SRV", "30 SRV 0 100 443 kubernetes",
          additional=["kubernetes 30 A 10.96.0.1"]),
    found("D7-dual-stack-glue", "_http._tcp.dual SRV", "30 SRV 0 100 80 dual",
          additional=["dual 30 A 10.96.0.7", "dual 30 AAAA fd00:96::7"]),
    found("D7-UDP", "_dns._udp.many SRV", "30 SRV 0 100 53 many", additional=["many 30 A 10.96.0.9"]),
    found("D7-SCTP", "_s1._sctp.many SRV", "30 SRV 0 100 38412 many", additional=["many 30 A 10.96.0.9"]),
    nxdomain("D7-named-port-of-another-protocol", "_dns._tcp.many SRV"),
    nxdomain("D7-the-number-is-no-name", "_443._tcp.kubernetes SRV"),
    found("D7-the-service-port-not-the-target-port", "_http._tcp.backed SRV", "30 SRV 0 100 80 backed",
          additional=["backed 30 A 10.96.0.10"]),
    nxdomain("D7-unnamed-port-has-no-protocol-label", "_tcp.unnamed SRV"),
    found("D7-ttl-by-annotation", "_http._tcp.slow SRV", "120 SRV 0 100 80 slow",
          additional=["slow 120 A 10.96.0.12"]),
    found("bare-SRV-of-an-unnamed-port", "unnamed SRV", "30 SRV 0 100 5432 unnamed",
          additional=["30 A 10.96.0.8"]),
    found("bare-SRV-of-every-port", "many SRV", "30 SRV 0 100 80 many", "30 SRV 0 100 53 many",
          "30 SRV 0 100 38412 many", additional=["30 A 10.96.0.9"], ordered=True),
    found("D8-PTR", "1.0.96.10.in-addr.arpa. PTR", "30 PTR kubernetes"),
    found("D8-dual-stack-PTR", "7.0.96.10.in-addr.arpa. PTR", "30 PTR dual"),
    found("D8-IPv6-PTR", "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa. PTR",
          "30 PTR dual"),
    found("D8-ttl-by-annotation", "12.0.96.10.in-addr.arpa. PTR", "120 PTR slow"),
    nxdomain("D8-address-of-no-service", "99.0.96.10.in-addr.arpa. PTR", soa="in-addr.arpa."),
    nodata("D17-address-yet-to-come-A", "young A"),
    nodata("D17-address-yet-to-come-SRV", "young SRV"),
    nodata("D17-address-yet-to-come-named-port", "_web._tcp.young SRV"),
    nodata("D17-address-yet-to-come-named-port-UDP", "_dns._udp.young SRV"),
    nodata("D18-address-yet-to-come-protocol", "_tcp.young SRV"),
    nxdomain("D19-address-yet-to-come-port-of-another-protocol", "_dns._tcp.young SRV"),
    nxdomain("D19-address-yet-to-come-endpoint", "app-0.young A"),
    found("D9-endpoint-with-a-host-name", "app-0.backed A", "5 A 10.0.50.1"),
    found("D9-endpoint-without-a-host-name", "10-0-50-2.backed A", "5 A 10.0.50.2"),
    nxdomain("D9-endpoint-that-is-not-ready", "app-2.backed A"),
    found("D9-endpoints-are-not-in-the-list", "backed A", "30 A 10.96.0.10"),
    nxdomain("D9-endpoints-have-no-PTR", "1.50.0.10.in-addr.arpa. PTR", soa="in-addr.arpa."),
)  # fmt: skip
def test_cluster_ip(asker: Asker, row: Row) -> None:
    """A Service answers its virtual addresses, SRV for its ports, and PTR back to its name."""
    asker.check(row)
