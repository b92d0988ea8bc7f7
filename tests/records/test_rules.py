"""The rules: which RRsets a Service, a Pod, a Namespace or the server itself gives.

What the specification says is in ``tests/specification``; here are the corners that manifests cannot hold.
"""

from __future__ import annotations

from typing import Any

import dns.rdata
import dns.rdataclass
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.cluster.objects import Endpoints, EndpointSlice, ObjectRef, Pod, Service
from headlessdns.records import rules
from headlessdns.records.rrset import RRset
from headlessdns.records.rules import PodNames, Settings
from tests import support
from tests.support import WEB, endpoint, endpoint_slice, external, port, service

SETTINGS = Settings()
LONG_ZONE = names.from_text(".".join(["x" * 60, "y" * 59]))  # 122 octets, with the longest names 255


def texts(rrsets: list[RRset]) -> list[str]:
    """Return the records as ``owner TTL type RDATA``, names below ``default.svc.cluster.local.`` cut short."""
    found = []
    for rrset in rrsets:
        for rdata in rrset.rdatas:
            parsed = dns.rdata.from_wire(dns.rdataclass.IN, int(rrset.type), rdata, 0, len(rdata))
            found.append(f"{names.to_text(rrset.owner)} {rrset.ttl_s} {rrset.type.name} {parsed}")
    return [text.replace(".default.svc.cluster.local.", "") for text in found]


def derived(of: Service, *slices: EndpointSlice, endpoints: Endpoints | None = None, **more: Any) -> list[str]:
    return texts(rules.service_rrsets(of, list(slices), endpoints, Settings(**more)))


@pytest.mark.parametrize(
    ("annotation", "ttl_s"),
    [
        (None, 5),
        ("", 5),
        ("0", 0),
        ("30", 30),
        ("007", 7),
        ("2147483647", 2**31 - 1),
        ("2147483648", 5),
        ("-1", 5),
        ("+1", 5),
        ("1.5", 5),
        (" 1", 5),
        ("1s", 5),
        ("1_0", 5),
        ("٣", 5),
        ("²", 5),
        ("9" * 5000, 5),
    ],
)
def test_ttl_annotation(annotation: str | None, ttl_s: int) -> None:
    """The annotation is the TTL where it is a number that a TTL can be (RFC 2181 §8), else the default stays."""
    assert rules.ttl_s(service(ttl=annotation), 5) == ttl_s


def test_no_annotations() -> None:
    """The API may write null for the annotations."""
    found = msgspec.convert({"metadata": {"name": "a", "namespace": "b", "annotations": None}}, Service)
    assert rules.ttl_s(found, 5) == 5


@pytest.mark.parametrize(
    ("spec", "headless", "addresses"),
    [
        ({"clusterIP": "None"}, True, ()),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, True, ()),
        ({"clusterIPs": ["None"]}, True, ()),
        ({"clusterIP": "10.96.0.1"}, False, ("10.96.0.1",)),
        ({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"]}, False, ("10.96.0.1", "fd00::1")),
        ({"clusterIP": "", "clusterIPs": []}, False, ()),
        ({"clusterIP": None, "clusterIPs": None}, False, ()),
        ({}, False, ()),
        ({"type": "ExternalName", "clusterIP": "10.96.0.1", "externalName": "x"}, False, ()),
    ],
)
def test_cluster_ips(spec: dict[str, Any], headless: bool, addresses: tuple[str, ...]) -> None:
    """A Service is headless, has virtual addresses, or has none yet."""
    found = msgspec.convert({"metadata": {"name": "a", "namespace": "b"}, "spec": spec}, Service)
    assert rules.is_headless(found) is headless
    assert rules.cluster_ips(found) == addresses


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("Upper", "default"), ("x" * 64, "default"), ("a.b", "default"), ("", "default"), ("nginx", "a_b"), ("nginx", "")],
)
def test_names_that_are_no_labels(name: str, namespace: str) -> None:
    """A Service or Namespace whose name is no label has no names."""
    assert derived(service(name, namespace), endpoint_slice(endpoints=[endpoint("10.0.0.1", "a")])) == []
    assert namespace == "default" or rules.namespace_nodes(namespace, SETTINGS) == []
    assert namespace == "default" or rules.pod_rrsets(support.pod("p", "10.0.0.1", namespace=namespace), SETTINGS) == []


@pytest.mark.parametrize(
    "address",
    ["", "www.example.com", "10.0.0", "10.0.0.256", "10.0.0.1/32", "10.0.0.1\x00", "::g", "1:2:3", "\u0663.0.0.1"],
)
def test_addresses_that_are_none(address: str) -> None:
    """An endpoint whose address is none has no records, and the others keep theirs."""
    found = derived(service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "a"), endpoint(address, "b")]))
    assert sorted(found) == [
        "1.0.0.10.in-addr.arpa. 5 PTR a.nginx",
        "_web._tcp.nginx 5 SRV 0 100 80 a.nginx",
        "a.nginx 5 A 10.0.0.1",
        "nginx 5 A 10.0.0.1",
        "nginx 5 SRV 0 100 80 a.nginx",
    ]


def test_endpoint_of_two_addresses() -> None:
    """Every address of an endpoint counts, whether or not a consumer may look at the first alone."""
    two = {**endpoint("10.0.0.1", "a"), "addresses": ["10.0.0.1", "10.0.0.2"]}
    assert "a.nginx 5 A 10.0.0.2" in derived(service(), endpoint_slice(endpoints=[two]))


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param({"endpoints": None}, id="endpoints-null"),
        pytest.param({"endpoints": [{"addresses": None}]}, id="addresses-null"),
        pytest.param({"endpoints": [{"addresses": []}]}, id="no-addresses"),
        pytest.param({}, id="no-endpoints"),
    ],
)
def test_slices_without_endpoints(nothing: dict[str, Any]) -> None:
    """A slice may hold nothing, however the API writes that."""
    empty = {"metadata": {"name": "nginx-1", "namespace": "default"}, "ports": None, **nothing}
    assert derived(service(), msgspec.convert(empty, EndpointSlice)) == []


def test_null_conditions_and_ports() -> None:
    """Null conditions are ready (D4), null ports are none."""
    one = {**endpoint("10.0.0.1", "a"), "conditions": None}
    found = derived(service(), endpoint_slice(endpoints=[one], ports=None))
    assert found == ["nginx 5 A 10.0.0.1", "a.nginx 5 A 10.0.0.1", "1.0.0.10.in-addr.arpa. 5 PTR a.nginx"]


@pytest.mark.parametrize(
    ("of", "owners"),
    [
        pytest.param(port(80, "x" * 62), ["_" + "x" * 62 + "._tcp.nginx", "nginx"], id="name-of-62-octets"),
        pytest.param(port(80, "x" * 63), ["nginx"], id="name-of-63-octets-has-no-room-for-its-underscore"),
        pytest.param(port(80, ""), ["nginx"], id="no-name"),
        pytest.param({"port": 80, "name": None, "protocol": None}, ["nginx"], id="null-name-and-protocol"),
        pytest.param(port(None, "web"), [], id="no-number"),
        pytest.param(port(0, "web"), [], id="number-0"),
        pytest.param({"port": 80, "name": "Web"}, ["_web._tcp.nginx", "nginx"], id="upper-case-is-folded"),
        pytest.param(port(65535, "web", "UDP"), ["_web._udp.nginx", "nginx"], id="the-last-port"),
        pytest.param(port(65536, "web"), [], id="number-above-65535"),
        pytest.param(port(-1, "web"), [], id="negative-number"),
        pytest.param(port(80, "wéb"), ["nginx"], id="name-outside-ascii"),
        pytest.param(port(80, "web", "x" * 63), ["nginx"], id="protocol-of-63-octets"),
        pytest.param(port(80, "web", "x" * 300), ["nginx"], id="protocol-of-300-octets"),
        pytest.param(port(80, "web", "tçp"), ["nginx"], id="protocol-outside-ascii"),
    ],
)
def test_srv_owners(of: dict[str, Any], owners: list[str]) -> None:
    """A port has SRV at `_name._protocol` where both fit a label, and at the Service where its number is a port's."""
    found = derived(service(), endpoint_slice(endpoints=[endpoint("10.0.0.1", "a")], ports=[of]))
    assert [text.split()[0] for text in found if " SRV " in text] == owners
    found = derived(service(cluster_ip="10.96.0.1", ports=[{"name": "", "protocol": "TCP", **_set_only(of)}]))
    assert [text.split()[0] for text in found if " SRV " in text] == owners


def _set_only(of: dict[str, Any]) -> dict[str, Any]:
    """Return a port of a slice as one of a Service, which has a number and no null."""
    return {"port": of["port"] or 0} | {key: value for key, value in of.items() if value is not None}


def test_names_over_255_octets() -> None:
    """A name that is too long cannot be asked for; it is left out, and nothing points at it."""
    long = service("s" * 63, "n" * 63)
    host, short = endpoint("10.0.0.1", "h" * 63), endpoint("10.0.0.2", "a")
    slice = endpoint_slice("s" * 63, [host, short], namespace="n" * 63)
    rrsets = rules.service_rrsets(long, [slice], None, Settings(zone=LONG_ZONE))
    owner = names.below(LONG_ZONE, "s" * 63, "n" * 63, "svc")
    assert len(owner) == 254
    assert {(rrset.owner, rrset.type.name) for rrset in rrsets} == {(owner, "A")}
    assert len(rrsets[0].rdatas) == 2


def test_longest_zone_has_room_for_namespaces_and_pods() -> None:
    """The longest zone that may be chosen still has names for every namespace and pod."""
    chosen = Settings(zone=LONG_ZONE)
    assert len(rules.namespace_nodes("n" * 63, chosen)) == 2
    pod = support.pod("p", "2001:db8:1111:2222:3333:4444:5555:6666", namespace="n" * 63)
    (rrset,) = rules.pod_rrsets(pod, chosen)
    assert len(rrset.owner) <= 255


@pytest.mark.parametrize(
    ("target", "cname"),
    [
        ("www.example.com", ["ext 5 CNAME www.example.com."]),
        ("WWW.Example.COM.", ["ext 5 CNAME www.example.com."]),
        ("localhost", ["ext 5 CNAME localhost."]),
        ("", []),
        (".", []),
        ("a..b", []),
        ("x" * 64, []),
        (".".join(["x" * 63] * 4), []),
        ("bücher.example", []),
        ("a\\", []),
    ],
)
def test_external_names(target: str, cname: list[str]) -> None:
    """ExternalName is a CNAME in lower case where it is a name, else nothing."""
    assert derived(external("ext", target)) == cname


def test_external_name_null() -> None:
    """ExternalName may be null."""
    assert derived(service("ext", cluster_ip="", type="ExternalName", externalName=None)) == []


def test_external_name_has_no_endpoints() -> None:
    """Slices that are left of an earlier type do not mix with a CNAME, which stands alone (RFC 1034 §3.6.2)."""
    slice = endpoint_slice("ext", [endpoint("10.0.0.1", "a")])
    assert derived(external("ext", "www.example.com"), slice) == ["ext 5 CNAME www.example.com."]


def test_service_without_an_address_yet() -> None:
    """While the API server has not given it an address, a Service has its endpoints' names and no others."""
    of = service(cluster_ip="", ports=[WEB])
    assert derived(of, endpoint_slice(endpoints=[endpoint("10.0.0.1", "a")])) == ["a.nginx 5 A 10.0.0.1"]
    assert derived(of) == []


@pytest.mark.parametrize(
    ("hostname", "pod", "pod_names", "label"),
    [
        (None, "", False, "10-0-0-1"),
        ("", "", False, "10-0-0-1"),
        ("Web-0", "", False, "web-0"),
        ("a_b", "p", False, "10-0-0-1"),
        ("a_b", "p", True, "p"),
        (None, "p", True, "p"),
        (None, "p", False, "10-0-0-1"),
        (None, "x" * 63, True, "x" * 63),
        (None, "x" * 64, True, "10-0-0-1"),
        ("web-0", "p", True, "web-0"),
    ],
)
def test_labels(hostname: str | None, pod: str, pod_names: bool, label: str) -> None:
    """The label of an endpoint is its host name, its pod's name where that is wanted, or its address (D3, D23)."""
    found = rules.ready_endpoints(
        service(),
        [endpoint_slice(endpoints=[endpoint("10.0.0.1", hostname, pod=pod)])],
        None,
        Settings(endpoint_pod_names=pod_names),
    )
    assert [one.label for one in found] == [label]
    assert [one.is_named for one in found] == [label != "10-0-0-1"]


def test_order_of_endpoints() -> None:
    """Endpoints stand in the order of their ordinals, those of one name in that of their addresses."""
    hosts = [
        ("10.0.0.9", "web-10"),
        ("10.0.0.8", "web-2"),
        ("10.0.0.7", None),
        ("10.0.0.10", None),
        ("10.0.0.6", "web-2"),
    ]
    found = rules.ready_endpoints(
        service(), [endpoint_slice(endpoints=[endpoint(*host) for host in hosts])], None, SETTINGS
    )
    assert [(one.label, one.packed[3]) for one in found] == [
        ("10-0-0-7", 7),
        ("10-0-0-10", 10),
        ("web-2", 6),
        ("web-2", 8),
        ("web-10", 9),
    ]


def test_origins() -> None:
    """Each record says which object it came from; of equal ones, the first slice by name."""
    first = endpoint_slice(endpoints=[endpoint("10.0.0.1", "a")], name="one")
    second = endpoint_slice(endpoints=[endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")], name="two")
    rrsets = rules.service_rrsets(service(), [first, second], None, SETTINGS)
    found = {names.to_text(rrset.owner).partition(".")[0]: rrset.origins for rrset in rrsets if rrset.type.name == "A"}
    one, two = (ObjectRef("EndpointSlice", "default", slice) for slice in ("one", "two"))
    assert found == {"nginx": (one, two), "a": (one,), "b": (two,)}
    assert all(len(rrset.origins) == len(rrset.rdatas) for rrset in rrsets)
    assert str(one) == "EndpointSlice default/one"


def test_endpoints_origin() -> None:
    """Records of Endpoints say so, and those of a virtual address name the Service."""
    old = support.endpoints("nginx", {"addresses": [{"ip": "10.0.0.1"}], "ports": [WEB]})
    rrsets = rules.service_rrsets(service(), [], old, SETTINGS)
    assert {origin for rrset in rrsets for origin in rrset.origins} == {ObjectRef("Endpoints", "default", "nginx")}
    rrsets = rules.service_rrsets(service(cluster_ip="10.96.0.1"), [], None, SETTINGS)
    assert {origin for rrset in rrsets for origin in rrset.origins} == {ObjectRef("Service", "default", "nginx")}


@pytest.mark.parametrize(
    ("subset", "addresses"),
    [
        ({"addresses": None, "notReadyAddresses": None, "ports": None}, []),
        ({}, []),
        ({"addresses": [{"ip": "10.0.0.1"}]}, ["10.0.0.1"]),
        ({"addresses": [{"ip": "no address"}, {"ip": "10.0.0.1"}]}, ["10.0.0.1"]),
        ({"notReadyAddresses": [{"ip": "10.0.0.1"}]}, []),
    ],
)
def test_endpoints_subsets(subset: dict[str, Any], addresses: list[str]) -> None:
    """Endpoints give their ready addresses, however the API writes empty lists."""
    found = derived(service(), endpoints=support.endpoints("nginx", subset))
    assert [text.split()[-1] for text in found if text.startswith("nginx 5 A ")] == addresses
    assert derived(service(), endpoints=msgspec.convert({"metadata": {"name": "x"}, "subsets": None}, Endpoints)) == []


def written(value: dict[str, Any]) -> Pod:
    return msgspec.convert({"metadata": {"name": "p", "namespace": "default"}, **value}, Pod)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (support.pod("p", "10.0.0.1"), ["10-0-0-1.default.pod.cluster.local. 5 A 10.0.0.1"]),
        (support.pod("p", "10.0.0.1", "10.0.0.1"), ["10-0-0-1.default.pod.cluster.local. 5 A 10.0.0.1"]),
        (support.pod("p", "10.0.0.1", "nonsense", ""), ["10-0-0-1.default.pod.cluster.local. 5 A 10.0.0.1"]),
        (support.pod("p", "fd00::1"), ["fd00--1.default.pod.cluster.local. 5 AAAA fd00::1"]),
        (support.pod("p", "10.0.0.1", phase="Unknown"), ["10-0-0-1.default.pod.cluster.local. 5 A 10.0.0.1"]),
        (support.pod("p", "10.0.0.1", phase="Succeeded"), []),
        (support.pod("p", "10.0.0.1", phase="Failed"), []),
        (support.pod("p"), []),
        (written({}), []),
        (written({"status": None}), []),
        (
            written({"status": {"podIP": "10.0.0.1", "podIPs": None}}),
            ["10-0-0-1.default.pod.cluster.local. 5 A 10.0.0.1"],
        ),
    ],
)
def test_pods(pod: Pod, expected: list[str]) -> None:
    """A pod has a name for each of its addresses while its containers run (D26)."""
    assert texts(rules.pod_rrsets(pod, SETTINGS)) == expected


@pytest.mark.parametrize("pods", [PodNames.INSECURE, PodNames.DISABLED])
def test_pods_have_no_records_unless_verified(pods: PodNames) -> None:
    """Only verified names are records."""
    assert rules.pod_rrsets(support.pod("p", "10.0.0.1"), Settings(pods=pods)) == []


@pytest.mark.parametrize(
    ("pods", "nodes"),
    [
        (PodNames.VERIFIED, ["default.svc.cluster.local.", "default.pod.cluster.local."]),
        (PodNames.INSECURE, ["default.svc.cluster.local.", "default.pod.cluster.local."]),
        (PodNames.DISABLED, ["default.svc.cluster.local."]),
    ],
)
def test_namespace_nodes(pods: PodNames, nodes: list[str]) -> None:
    """A namespace exists below `svc`, and below `pod` where pods have names (D18)."""
    assert [names.to_text(node) for node in rules.namespace_nodes("default", Settings(pods=pods))] == nodes


@pytest.mark.parametrize(
    ("ns_name", "nodes"),
    [
        ("ns.dns.cluster.local", {"ns.dns.cluster.local."}),
        ("ns.example.com", set()),
        ("cluster.local", set()),
    ],
)
def test_fixed_nodes(ns_name: str, nodes: set[str]) -> None:
    """The zones, `svc` and `pod`, and the name server's name where it is ours, exist whatever the cluster holds."""
    chosen = Settings(reverse=(names.IP6_ARPA,), ns_name=names.from_text(ns_name))
    always = {"cluster.local.", "svc.cluster.local.", "pod.cluster.local.", "ip6.arpa."}
    assert {names.to_text(node) for node in rules.fixed_nodes(chosen)} == always | nodes


def test_server_records() -> None:
    """The server says its addresses and the version of the specification."""
    chosen = Settings(ns_addresses=("10.96.0.10", "fd00::a", "10.96.0.10", "nonsense"))
    assert texts(rules.server_rrsets(chosen)) == [
        "ns.dns.cluster.local. 30 A 10.96.0.10",
        "ns.dns.cluster.local. 30 AAAA fd00::a",
        'dns-version.cluster.local. 28800 TXT "1.1.0"',
    ]


def test_apex_records() -> None:
    """Each apex has SOA and NS; SOA's TTL is its MINIMUM (RFC 2308 §5)."""
    chosen = Settings(negative_ttl_s=2, cluster_ip_ttl_s=90)
    assert texts(rules.apex_rrsets(names.IN_ADDR_ARPA, 7, chosen)) == [
        "in-addr.arpa. 2 SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 2",
        "in-addr.arpa. 90 NS ns.dns.cluster.local.",
    ]


any_text = st.text(max_size=70) | st.sampled_from(["web-0", "10.0.0.1", "::1", "Web-0", "x" * 64, "None"])
any_endpoints = st.lists(
    st.fixed_dictionaries(
        {"addresses": st.none() | st.lists(any_text, max_size=2)},
        optional={
            "hostname": st.none() | any_text,
            "conditions": st.none() | st.fixed_dictionaries({}, optional={"ready": st.none() | st.booleans()}),
            "targetRef": st.fixed_dictionaries({"kind": st.sampled_from(["Pod", "Node"]), "name": any_text}),
        },
    ),
    max_size=4,
)
ports = st.lists(
    st.fixed_dictionaries(
        {
            "port": st.none() | st.integers(-1, 65536),
            "name": st.none() | st.sampled_from(["", "web", "x" * 63, "a-b", "ä"]),
        },
        optional={"protocol": st.sampled_from([None, "TCP", "UDP", "SCTP", "x" * 63, "ä"])},
    ),
    max_size=3,
)


@given(
    found=any_endpoints,
    of=st.none() | ports,
    publish=st.booleans(),
    pod_names=st.booleans(),
    zone=st.sampled_from([SETTINGS.zone, LONG_ZONE]),
)
@settings(max_examples=300, deadline=None)
def test_any_slice(
    found: list[dict[str, Any]],
    of: list[dict[str, Any]] | None,
    publish: bool,
    pod_names: bool,
    zone: names.CanonicalName,
) -> None:
    """Whatever a slice holds, each record has a name to ask for, a target that exists, and is there once."""
    slice = msgspec.convert(
        {"metadata": {"name": "nginx-1", "namespace": "default"}, "endpoints": found, "ports": of}, EndpointSlice
    )
    chosen = Settings(endpoint_pod_names=pod_names, zone=zone)
    rrsets = rules.service_rrsets(service(publishNotReadyAddresses=publish), [slice], None, chosen)
    owners = {rrset.owner for rrset in rrsets}
    for rrset in rrsets:
        assert names.join(names.split(rrset.owner)) == rrset.owner
        assert len(set(rrset.rdatas)) == len(rrset.rdatas) == len(rrset.origins) > 0
        for rdata in rrset.rdatas:
            parsed = dns.rdata.from_wire(dns.rdataclass.IN, int(rrset.type), rdata, 0, len(rdata))
            assert parsed.to_wire() == rdata
            target = getattr(parsed, "target", None)
            assert target is None or target.to_wire() in owners
    assert len({(rrset.owner, rrset.type) for rrset in rrsets}) == len(rrsets)
