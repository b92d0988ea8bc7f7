"""A zone of another name, with its own name server and TTLs (``--zone``, ``--ns-name``, ``--ttl`` and the like)."""

from __future__ import annotations

from headlessdns import names
from headlessdns.records.rules import Settings
from tests.specification.rows import Asker, Row, Zone, found, nodata, nxdomain, parametrize, refused

ZONE = Zone(
    ("--zone", "k8s.example.org", "--ns-name", "dns.example.net", "--ns-address", "192.0.2.53", "--ttl", "7",
     "--cluster-ip-ttl", "90", "--negative-ttl", "2"),
    Settings(
        zone=names.from_text("k8s.example.org"),
        ns_name=names.from_text("dns.example.net"),
        ns_addresses=("192.0.2.53",),
        endpoint_ttl_s=7,
        cluster_ip_ttl_s=90,
        negative_ttl_s=2,
    ),
    soa=("dns.example.net.", "hostmaster.k8s.example.org.", 2),
)  # fmt: skip
APEX = "k8s.example.org."
HERE = f"default.svc.{APEX}"


@parametrize(
    found("ttl-of-endpoints", f"web-0.nginx.{HERE} A", "7 A 10.0.0.10"),
    found("ttl-of-cluster-ips", f"kubernetes.{HERE} A", "90 A 10.96.0.1"),
    found("ttl-of-endpoints-behind-a-cluster-ip", f"app-0.backed.{HERE} A", "7 A 10.0.50.1"),
    found("ttl-by-annotation-wins", f"shared-b.{HERE} A", "60 A 10.0.12.1"),
    found("ttl-of-external-names", f"number.{HERE} CNAME", "7 CNAME 192.0.2.1."),
    found("ttl-of-pod-names", f"10-244-0-1.default.pod.{APEX} A", "7 A 10.244.0.1"),
    found("ttl-of-pointers", "10.0.0.10.in-addr.arpa. PTR", f"7 PTR web-0.nginx.{HERE}"),
    found("NS-outside-the-zone-has-no-glue", f"{APEX} NS", "90 NS dns.example.net."),
    found("D2-version", f"dns-version.{APEX} TXT", '28800 TXT "1.1.0"'),
    nxdomain("ttl-of-denials", f"nope.{HERE} A", soa=APEX),
    nodata("ttl-of-denied-types", f"nginx.{HERE} AAAA", soa=APEX),
    nxdomain("D19-no-default-name-server-is-left", f"dns.{APEX} A", soa=APEX),
    refused("not-ours-the-usual-zone", "nginx.default.svc.cluster.local. A"),
    refused("not-ours-the-name-server", "dns.example.net. A"),
)  # fmt: skip
def test_other_zone(asker: Asker, row: Row) -> None:
    """Everything is below the chosen zone, with the chosen TTLs, and the name server may be outside."""
    asker.check(row)
