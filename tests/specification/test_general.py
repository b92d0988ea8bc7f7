"""What holds for the whole zone: letter case, version, apex, existence, what is not ours (D1, D2, D5, D17 to D21)."""

from __future__ import annotations

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from headlessdns.cluster import manifests
from tests import support
from tests.specification.rows import DEFAULT, MANIFESTS, Asker, Row, found, nodata, nxdomain, parametrize, refused

NS_GLUE = ("ns.dns.cluster.local. 30 A 192.0.2.53", "ns.dns.cluster.local. 30 AAAA 2001:db8::53")


@parametrize(
    found("D1-upper-case", "WEB-0.NGINX.DEFAULT.SVC.CLUSTER.LOCAL. A", "5 A 10.0.0.10"),
    found("D1-mixed-case", "wEb-0.NgInX.dEfAuLt.SvC.cLuStEr.LoCaL. A", "5 A 10.0.0.10"),
    nodata("D1-mixed-case-without-the-type", "wEb-0.NgInX.dEfAuLt.SvC.ClUsTeR.lOcAl. AAAA", soa="ClUsTeR.lOcAl."),
    nxdomain("D1-mixed-case-of-a-missing-name", "nO.dEfAuLt.SvC.ClUsTeR.lOcAl. A", soa="ClUsTeR.lOcAl."),
    found("D1-mixed-case-in-a-reverse-name", "10.0.0.10.IN-addr.ARPA. PTR", "5 PTR web-0.nginx"),
    found("D2-version-of-the-specification", "dns-version.cluster.local. TXT", '28800 TXT "1.1.0"'),
    nodata("D2-version-has-no-address", "dns-version.cluster.local. A"),
    found("D5-a-service-of-the-same-name-elsewhere", "web-0.nginx.other.svc.cluster.local. A", "5 A 10.0.200.1"),
)  # fmt: skip
def test_general(asker: Asker, row: Row) -> None:
    """Names match in any letter case, which the response echoes, and the zone says which version it follows."""
    asker.check(row)


@parametrize(
    found("apex-NS", "cluster.local. NS", "30 NS ns.dns.cluster.local.", additional=NS_GLUE),
    found("apex-NS-of-a-reverse-zone", "in-addr.arpa. NS", "30 NS ns.dns.cluster.local.", additional=NS_GLUE),
    found("apex-NS-of-the-other-reverse-zone", "ip6.arpa. NS", "30 NS ns.dns.cluster.local.", additional=NS_GLUE),
    found("apex-address-of-the-name-server", "ns.dns.cluster.local. A", NS_GLUE[0]),
    found("apex-IPv6-address-of-the-name-server", "ns.dns.cluster.local. AAAA", NS_GLUE[1]),
    nodata("apex-has-no-address", "cluster.local. A"),
    nodata("apex-has-no-IPv6-address", "cluster.local. AAAA"),
    nodata("apex-has-no-text", "cluster.local. TXT"),
    nodata("apex-of-a-reverse-zone-has-no-pointer", "in-addr.arpa. PTR", soa="in-addr.arpa."),
    nodata("apex-has-no-key", "cluster.local. DNSKEY"),
    nodata("apex-has-no-signature-of-its-parent", "cluster.local. DS"),
)  # fmt: skip
def test_apex(asker: Asker, row: Row) -> None:
    """The apex has SOA and NS, and the name server's own name has its addresses."""
    asker.check(row)


@pytest.mark.parametrize("apex", ["cluster.local.", "in-addr.arpa.", "ip6.arpa.", "CLUSTER.local."])
def test_soa(asker: Asker, apex: str) -> None:
    """Each zone has one SOA; its TTL is its MINIMUM (RFC 2308 §5), and its serial the Unix time of the last change."""
    query = dns.message.make_query(apex, "SOA", use_edns=0 if asker.edns else None)
    response = asker.message(query.to_wire())
    assert response is not None
    (rrset,) = response.answer
    (soa,) = rrset
    assert support.flags_of(response) == {"qr", "aa", "rd"}
    assert (str(rrset.name), rrset.ttl) == (apex, 5)
    assert (str(soa.mname), str(soa.rname)) == ("ns.dns.cluster.local.", "hostmaster.cluster.local.")
    assert (soa.refresh, soa.retry, soa.expire, soa.minimum) == (7200, 1800, 86400, 5)
    assert soa.serial >= 1_763_000_000
    assert response.authority == []


@parametrize(
    nodata("D17-IPv4-only-has-no-AAAA", "web-0.nginx AAAA"),
    nodata("D17-IPv6-only-has-no-A", "six-0.v6only A"),
    nodata("D17-service-list-of-one-family", "nginx AAAA"),
    nodata("D17-service-has-no-text", "nginx TXT"),
    nodata("D17-service-has-no-mail", "nginx MX"),
    nodata("D17-endpoint-has-no-service-binding", "web-0.nginx SVCB"),
    nodata("D17-service-has-no-HTTPS-record", "nginx HTTPS"),
    nodata("D17-cluster-ip-has-no-HTTPS-record", "kubernetes HTTPS"),
    nodata("D17-no-alias", "nginx CNAME"),
    nodata("D17-no-name-server-below-the-apex", "nginx NS"),
    nodata("D17-no-SOA-below-the-apex", "nginx SOA"),
    nodata("D17-a-type-that-nobody-knows", "nginx TYPE65280"),
    nodata("D17-type-0", "nginx TYPE0"),
    nodata("D17-service-name-of-a-port-has-no-address", "_web._tcp.nginx A"),
    nodata("D17-endpoint-has-no-SRV", "web-0.nginx SRV"),
    nodata("D18-svc", "svc.cluster.local. A"),
    nodata("D18-svc-NS", "svc.cluster.local. NS"),
    nodata("D18-pod", "pod.cluster.local. A"),
    nodata("D18-namespace", "default.svc.cluster.local. A"),
    nodata("D18-namespace-below-pod", "default.pod.cluster.local. A"),
    nodata("D18-namespace-without-objects", "empty.svc.cluster.local. AAAA"),
    nodata("D18-namespace-without-objects-below-pod", "empty.pod.cluster.local. AAAA"),
    nodata("D18-protocol-label-of-a-headless-service", "_tcp.nginx A"),
    nodata("D18-protocol-label-SRV", "_tcp.nginx SRV"),
    nodata("D18-protocol-label-of-a-cluster-ip-service", "_tcp.kubernetes AAAA"),
    nodata("D18-protocol-label-UDP", "_udp.protocols A"),
    nodata("D18-above-the-name-server", "dns.cluster.local. A"),
    nodata("D18-inside-a-reverse-name", "0.10.in-addr.arpa. PTR", soa="in-addr.arpa."),
    nodata("D18-first-label-of-reverse-names", "10.in-addr.arpa. NS", soa="in-addr.arpa."),
    nodata("D18-inside-an-IPv6-reverse-name", "8.b.d.0.1.0.0.2.ip6.arpa. A", soa="ip6.arpa."),
    nxdomain("D19-unknown-service", "nope A"),
    nxdomain("D19-unknown-service-AAAA", "nope AAAA"),
    nxdomain("D19-unknown-service-SRV", "nope SRV"),
    nxdomain("D19-unknown-service-HTTPS", "nope HTTPS"),
    nxdomain("D19-unknown-namespace", "nowhere.svc.cluster.local. A"),
    nxdomain("D19-service-in-an-unknown-namespace", "nginx.nowhere.svc.cluster.local. A"),
    nxdomain("D19-service-in-a-namespace-without-objects", "nginx.empty.svc.cluster.local. A"),
    nxdomain("D19-unknown-endpoint", "web-9.nginx A"),
    nxdomain("D19-below-an-endpoint", "x.web-0.nginx A"),
    nxdomain("D19-unknown-port", "_nope._tcp.nginx SRV"),
    nxdomain("D19-port-of-another-protocol", "_web._udp.nginx SRV"),
    nxdomain("D19-unused-protocol", "_udp.nginx A"),
    nxdomain("D19-port-without-underscores", "web.tcp.nginx SRV"),
    nxdomain("D19-wildcard", "*.nginx A"),
    nxdomain("D19-below-the-apex", "nope.cluster.local. A"),
    nxdomain("D19-apex-twice", "cluster.local.cluster.local. A"),
    nxdomain("D19-with-the-search-list-of-a-pod", "nginx.default.svc.cluster.local.other.svc.cluster.local. A"),
    nxdomain("D19-slice-without-a-service", "orphan A"),
    nxdomain("D19-endpoint-without-a-service", "o-0.orphan A"),
    nxdomain("D19-label-of-63-octets", f"{'x' * 63}.nginx A"),
    nxdomain("D19-name-of-255-octets", f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 47}.cluster.local. A"),
    nxdomain("D19-many-labels", f"{'a.' * 120}cluster.local. A"),
    refused("not-ours-another-domain", "example.com. A"),
    refused("not-ours-the-parent-of-the-zone", "local. A"),
    refused("not-ours-the-root", ". A"),
    refused("not-ours-the-root-servers-which-forwarders-probe-for", ". NS"),
    refused("not-ours-ends-like-the-zone", "xcluster.local. A"),
    refused("not-ours-the-parent-of-the-reverse-zones", "arpa. SOA"),
    refused("not-ours-another-child-of-the-parent", "e164.arpa. NS"),
    refused("not-ours-the-zone-in-the-middle", "cluster.local.example.com. A"),
)  # fmt: skip
def test_existence(asker: Asker, row: Row) -> None:
    """A name without the type is NODATA, one that is not there NXDOMAIN, both with SOA; one of others is REFUSED."""
    asker.check(row)


def test_negative_ttl(asker: Asker) -> None:
    """D20: what is denied may be remembered for 5 s, which SOA's TTL and its MINIMUM both say (RFC 2308 §3)."""
    for qname in ("nope.default.svc.cluster.local.", "svc.cluster.local."):
        query = dns.message.make_query(qname, "A", use_edns=0 if asker.edns else None)
        response = asker.message(query.to_wire())
        assert response is not None
        (rrset,) = response.authority
        assert (rrset.ttl, rrset[0].minimum) == (5, 5)


def test_address_types_agree(asker: Asker) -> None:
    """D21: for every name of the zone and for names around it, A and AAAA agree on whether it exists."""
    cluster = support.Cluster(settings=DEFAULT.settings, listed=())
    cluster.take(*manifests.read([MANIFESTS]).events())
    known = [dns.name.from_wire(name, 0)[0] for name in cluster.zones.all_names()]
    absent = [dns.name.from_text("x", name) for name in known if len(name.to_wire()) < 250]
    assert len(known) > 250
    for qname in known + absent:
        rcodes = set()
        for qtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            query = dns.message.make_query(qname, qtype, use_edns=0 if asker.edns else None)
            response = asker.message(query.to_wire())
            assert response is not None
            rcodes.add(dns.rcode.to_text(response.rcode()))
        assert len(rcodes) == 1, qname
        outcome = "NXDOMAIN" if qname in absent else "NOERROR"
        if not {dns.rdatatype.CNAME} & {rrset.rdtype for rrset in response.answer}:
            assert rcodes == {outcome}, qname
