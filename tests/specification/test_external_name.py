"""ExternalName: the CNAME, what follows it inside our zones, and what a resolver says of the rest (D16)."""

from __future__ import annotations

from headlessdns.records.rules import Settings
from tests.specification.rows import NAMESERVER, NS_FLAGS, Asker, Row, Zone, found, parametrize

ZONE = Zone(NS_FLAGS, Settings(ns_addresses=NAMESERVER), resolves=True)
WEB_0 = "web-0.nginx 5 A 10.0.0.10"


@parametrize(
    found("D16-CNAME", "out CNAME", "5 CNAME www.example.com."),
    found("D16-a-final-dot-changes-nothing", "dotted CNAME", "5 CNAME www.example.com."),
    found("D16-an-address-is-taken-for-a-name", "number CNAME", "5 CNAME 192.0.2.1."),
    found("D16-ttl-by-annotation", "lasting CNAME", "3600 CNAME www.example.com."),
    found("inside-CNAME-alone-where-it-is-asked-for", "inside CNAME", "5 CNAME web-0.nginx"),
    found("inside-followed", "inside A", "5 CNAME web-0.nginx", WEB_0, ordered=True),
    found("inside-list-followed", "list A", "5 CNAME nginx", "nginx 5 A 10.0.0.10", "nginx 5 A 10.0.0.11"),
    found("inside-chain-followed", "chain.other.svc.cluster.local. A", "5 CNAME inside",
          "inside 5 CNAME web-0.nginx", WEB_0, ordered=True),
    found("inside-SRV-followed", "list SRV", "5 CNAME nginx", "nginx 5 SRV 0 100 80 web-0.nginx",
          "nginx 5 SRV 0 100 80 web-1.nginx", ordered=True),
    found("inside-pointer-followed", "to-reverse PTR", "5 CNAME 10.0.0.10.in-addr.arpa.",
          "10.0.0.10.in-addr.arpa. 5 PTR web-0.nginx", ordered=True),
    Row("inside-NODATA", "inside AAAA", ("5 CNAME web-0.nginx",), soa="cluster.local."),
    Row("inside-NODATA-of-another-type", "inside HTTPS", ("5 CNAME web-0.nginx",), soa="cluster.local."),
    Row("inside-NODATA-after-a-chain", "chain.other.svc.cluster.local. MX",
        ("5 CNAME inside", "inside 5 CNAME web-0.nginx"), soa="cluster.local.", ordered=True),
    Row("inside-NODATA-in-another-zone", "to-reverse A", ("5 CNAME 10.0.0.10.in-addr.arpa.",), soa="in-addr.arpa."),
    Row("inside-NODATA-of-a-name-without-data", "to-node A", ("5 CNAME empty.svc.cluster.local.",),
        soa="cluster.local."),
    Row("inside-NODATA-at-the-apex", "to-apex A", ("5 CNAME cluster.local.",), soa="cluster.local."),
    Row("inside-missing-RFC-6604", "missing A", ("5 CNAME nope",), rcode="NXDOMAIN", soa="cluster.local."),
    Row("inside-missing-RFC-6604-AAAA", "missing AAAA", ("5 CNAME nope",), rcode="NXDOMAIN", soa="cluster.local."),
    found("inside-missing-CNAME-itself-exists", "missing CNAME", "5 CNAME nope"),
    Row("inside-not-ready-is-missing", "asleep-too A", ("5 CNAME asleep",), rcode="NXDOMAIN", soa="cluster.local."),
    found("inside-loop-ends", "loop-a A", "5 CNAME loop-b", "loop-b 5 CNAME loop-a", ordered=True),
    found("inside-loop-to-itself-ends", "self A", "5 CNAME self"),
    found("outside-followed", "out A", "5 CNAME www.example.com.", "www.example.com. 300 A 198.51.100.7", ordered=True),
    found("outside-AAAA-followed", "out AAAA", "5 CNAME www.example.com.", "www.example.com. 300 AAAA 2001:db8:cafe::7",
          ordered=True),
    found("outside-after-a-chain", "out-again A", "5 CNAME out", "out 5 CNAME www.example.com.",
          "www.example.com. 300 A 198.51.100.7", ordered=True),
    found("outside-NODATA", "out MX", "5 CNAME www.example.com."),
    Row("outside-missing", "gone A", ("5 CNAME gone.example.com.",), rcode="NXDOMAIN"),
    Row("outside-missing-CNAME-itself-exists", "gone CNAME", ("5 CNAME gone.example.com.",)),
)  # fmt: skip
def test_external_name(asker: Asker, row: Row) -> None:
    """ExternalName is a CNAME, which is followed as far as our zones or the resolver go."""
    asker.check(row)


@parametrize(Row("outside-silence", "mute A", ("5 CNAME mute.example.com.",), rcode="SERVFAIL", ede=22))
def test_silent_resolver(asker: Asker, row: Row) -> None:
    """Where the resolver says nothing in time, it is SERVFAIL with EDE 22: nobody said that there is no address."""
    asker.check(row)
