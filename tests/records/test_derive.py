"""From events to zones: what an event touches is derived again, and everything else stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headlessdns import names
from headlessdns.cluster.objects import Delete, Event, Forbid, Kind, Object, Put, Replace
from headlessdns.cluster.snapshot import Snapshot
from headlessdns.records import derive
from headlessdns.records.rules import PodNames, Settings
from tests.support import (
    WEB,
    Cluster,
    endpoint,
    endpoint_slice,
    endpoints,
    external,
    key,
    kind_of,
    namespace,
    pod,
    port,
    service,
)

if TYPE_CHECKING:
    from headlessdns.cluster.objects import Key
    from headlessdns.wire.answers import Answer, Table

WEB_0 = endpoint("10.0.0.1", "web-0")
WEB_1 = endpoint("10.0.0.2", "web-1")
FORBIDDEN = [Kind.POD, Kind.NAMESPACE, Kind.ENDPOINTS, Kind.STATEFUL_SET]


def name(text: str) -> names.CanonicalName:
    return names.from_text(f"{text}.cluster.local")


def addresses(cluster: Cluster, text: str) -> list[str]:
    """Return the IPv4 addresses of a name below ``default.svc.cluster.local``."""
    found = cluster.zones.rrsets(name(f"{text}.default.svc"))
    return [".".join(map(str, rdata)) for type, rrset in found.items() if type == 1 for rdata in rrset.rdatas]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(namespace(), service(), endpoint_slice(endpoints=[WEB_0, WEB_1]))


def test_slice_before_its_service() -> None:
    """It does not matter whether a Service or its slice is seen first."""
    cluster = Cluster(namespace())
    cluster.put(endpoint_slice(endpoints=[WEB_0]))
    assert addresses(cluster, "nginx") == []
    cluster.put(service())
    assert addresses(cluster, "nginx") == ["10.0.0.1"]


def test_service_goes_and_comes_back(cluster: Cluster) -> None:
    """Without its Service a slice has no names; when the Service is back they are."""
    cluster.delete(service())
    assert addresses(cluster, "web-0.nginx") == []
    assert not cluster.zones.exists(name("nginx.default.svc"))
    cluster.put(service())
    assert addresses(cluster, "web-0.nginx") == ["10.0.0.1"]


def test_slice_moves_to_another_service(cluster: Cluster) -> None:
    """A slice whose label changes leaves the one Service and joins the other."""
    cluster.put(service("other"))
    cluster.put(endpoint_slice("other", [WEB_0], name="nginx-1"))
    assert addresses(cluster, "nginx") == []
    assert addresses(cluster, "other") == ["10.0.0.1"]


def test_endpoint_moves_between_slices(cluster: Cluster) -> None:
    """While an endpoint is moved, the new slice written first, its name is there after every step."""
    steps = [
        endpoint_slice(endpoints=[WEB_1], name="nginx-2"),
        endpoint_slice(endpoints=[WEB_0], name="nginx-1"),
        endpoint_slice(endpoints=[WEB_1, WEB_0], name="nginx-2"),
        endpoint_slice(endpoints=[], name="nginx-1"),
    ]
    for step in steps:
        cluster.put(step)
        assert addresses(cluster, "web-0.nginx") == ["10.0.0.1"]
        assert addresses(cluster, "web-1.nginx") == ["10.0.0.2"]
        assert sorted(addresses(cluster, "nginx")) == ["10.0.0.1", "10.0.0.2"]


def test_move_is_no_change(cluster: Cluster) -> None:
    """An endpoint that is moved to another slice in one step changes no record, and so no serial."""
    commit = cluster.put(endpoint_slice(endpoints=[WEB_0], name="nginx-2"), endpoint_slice(endpoints=[WEB_1]))
    assert commit.changes == []


def test_address_moves_between_host_names() -> None:
    """An address that changes its host name changes the glue of an SRV whose records stay as they are."""
    hosts = [endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "a"), endpoint("10.0.0.3", "b")]
    cluster = Cluster(namespace(), service(), endpoint_slice(endpoints=hosts))
    hosts[1] = endpoint("10.0.0.2", "b")
    cluster.put(endpoint_slice(endpoints=hosts))
    for owner in ("_web._tcp.nginx", "nginx"):
        response = cluster.ask(f"{owner}.default.svc.cluster.local.", "SRV")
        assert {str(rrset.name)[0]: len(rrset) for rrset in response.additional} == {"a": 1, "b": 2}


def test_endpoints_count_until_there_is_a_slice() -> None:
    """Endpoints stand in for slices, and only for as long as there is none."""
    old = endpoints("nginx", {"addresses": [{"ip": "192.0.2.1"}], "ports": [WEB]})
    cluster = Cluster(namespace(), service(), old)
    assert addresses(cluster, "nginx") == ["192.0.2.1"]
    cluster.put(endpoint_slice(endpoints=[WEB_0]))
    assert addresses(cluster, "nginx") == ["10.0.0.1"]
    cluster.delete(endpoint_slice())
    assert addresses(cluster, "nginx") == ["192.0.2.1"]
    cluster.delete(old)
    assert addresses(cluster, "nginx") == []


def test_types_of_a_service_change(cluster: Cluster) -> None:
    """A Service that becomes another type gives up every record of the first."""
    owner = name("nginx.default.svc")
    cluster.put(external("nginx", "www.example.com"))
    assert [type.name for type in cluster.zones.rrsets(owner)] == ["CNAME"]
    assert addresses(cluster, "web-0.nginx") == []
    cluster.put(service(cluster_ip="10.96.0.1"))
    assert addresses(cluster, "nginx") == ["10.96.0.1"]
    cluster.put(service())
    assert sorted(addresses(cluster, "nginx")) == ["10.0.0.1", "10.0.0.2"]


def test_a_service_waits_for_its_address() -> None:
    """A Service whose address is yet to come exists without data, gets data with it, and goes with the object."""
    cluster = Cluster(namespace())
    owner = name("nginx.default.svc")
    for address in ("", "not-an-address"):
        cluster.put(service(cluster_ip=address, ports=[port(80, "web")]))
        assert (cluster.zones.exists(owner), cluster.zones.rrsets(owner)) == (True, {})
        assert cluster.zones.exists(name("_web._tcp.nginx.default.svc"))
    cluster.put(service(cluster_ip="10.96.0.1"))
    assert addresses(cluster, "nginx") == ["10.96.0.1"]
    assert not cluster.zones.exists(name("_web._tcp.nginx.default.svc"))
    cluster.put(service(cluster_ip=""))
    assert cluster.zones.exists(owner)
    cluster.put(external("nginx", "a..b"))
    assert not cluster.zones.exists(owner)
    cluster.put(service(cluster_ip=""))
    cluster.delete(service())
    assert not cluster.zones.exists(owner)


def test_namespaces_come_and_go() -> None:
    """A namespace exists with its Namespace object, or with a name below it."""
    cluster = Cluster(namespace("a"))
    assert cluster.zones.exists(name("a.svc"))
    assert cluster.zones.exists(name("a.pod"))
    cluster.put(service(namespace="a"), endpoint_slice(namespace="a", endpoints=[WEB_0]))
    cluster.delete(namespace("a"))
    assert cluster.zones.exists(name("a.svc"))
    assert not cluster.zones.exists(name("a.pod"))
    cluster.delete(service(namespace="a"))
    assert not cluster.zones.exists(name("a.svc"))


def test_namespaces_that_cannot_be_listed() -> None:
    """Where Namespaces are forbidden, one exists for as long as an object is in it."""
    cluster = Cluster(service(namespace="a"), listed=set(Kind) - {Kind.NAMESPACE})
    assert not cluster.zones.exists(name("a.svc"))
    cluster.forbid(Kind.NAMESPACE)
    assert cluster.zones.exists(name("a.svc"))
    assert cluster.zones.exists(name("a.pod"))
    cluster.put(pod("p", namespace="b"))
    assert cluster.zones.exists(name("b.svc"))
    cluster.delete(service(namespace="a"), pod("p", namespace="b"))
    assert not cluster.zones.exists(name("a.svc"))
    assert not cluster.zones.exists(name("b.svc"))
    assert not cluster.zones.exists(name("b.pod"))


def test_namespaces_that_can_be_listed_after_all() -> None:
    """Once Namespaces are listed, they alone say which exist."""
    cluster = Cluster(service(namespace="a"), listed=set(Kind) - {Kind.NAMESPACE})
    cluster.forbid(Kind.NAMESPACE)
    cluster.take(Replace(Kind.NAMESPACE, [namespace("c")]))
    assert not cluster.zones.exists(name("a.svc"))
    assert cluster.zones.exists(name("c.svc"))


def test_pods_that_cannot_be_listed() -> None:
    """Where Pods are forbidden, no name of an address is answered, and namespaces are none below `pod`."""
    cluster = Cluster(namespace(), pod("p", "10.0.0.1"))
    assert cluster.zones.exists(name("10-0-0-1.default.pod"))
    cluster.forbid(Kind.POD)
    assert cluster.deriver.settings.pods is PodNames.DISABLED
    assert not cluster.zones.exists(name("10-0-0-1.default.pod"))
    assert not cluster.zones.exists(name("default.pod"))
    assert cluster.zones.exists(name("default.svc"))
    cluster.take(Replace(Kind.POD, [pod("p", "10.0.0.1")]))
    assert cluster.deriver.settings.pods is PodNames.VERIFIED
    assert cluster.zones.exists(name("10-0-0-1.default.pod"))
    assert cluster.zones.exists(name("default.pod"))


def test_insecure_pods_need_no_pods() -> None:
    """Names that hold their address do not depend on whether Pods can be listed."""
    cluster = Cluster(namespace(), settings=Settings(pods=PodNames.INSECURE), listed=set(Kind) - {Kind.POD})
    cluster.forbid(Kind.POD)
    assert cluster.deriver.settings.pods is PodNames.INSECURE
    assert cluster.zones.exists(name("default.pod"))


@pytest.mark.parametrize(
    ("listed", "forbidden", "ready"),
    [
        ((), (), False),
        ((Kind.SERVICE,), (), False),
        ((Kind.ENDPOINT_SLICE,), (), False),
        ((Kind.SERVICE, Kind.ENDPOINT_SLICE), (), True),
        ((Kind.SERVICE, Kind.ENDPOINT_SLICE), FORBIDDEN, True),
        ((Kind.POD, Kind.NAMESPACE, Kind.ENDPOINTS, Kind.STATEFUL_SET), (), False),
        ((Kind.SERVICE, Kind.ENDPOINTS), (), False),
        ((Kind.SERVICE, Kind.ENDPOINTS), (Kind.ENDPOINT_SLICE,), True),
        ((Kind.SERVICE,), (Kind.ENDPOINT_SLICE,), False),
        ((Kind.ENDPOINTS,), (Kind.ENDPOINT_SLICE,), False),
    ],
)
def test_ready(listed: tuple[Kind, ...], forbidden: list[Kind], ready: bool) -> None:
    """Services and slices decide readiness, Endpoints where the API server has no slices."""
    cluster = Cluster(listed=listed)
    cluster.forbid(*forbidden)
    assert cluster.deriver.is_ready() is ready


ALL_BELOW = {"pod": "Pods"}
BOTH = {"svc": "Namespaces", "pod": "Namespaces"}


@pytest.mark.parametrize(
    ("pods", "missing", "forbidden", "below", "children"),
    [
        (PodNames.VERIFIED, [], [], {}, {}),
        (PodNames.VERIFIED, [Kind.POD], [], {"pod": "Pods"}, {}),
        (PodNames.VERIFIED, [Kind.POD], [Kind.POD], {}, {}),
        (PodNames.VERIFIED, [Kind.NAMESPACE], [], {}, {"svc": "Namespaces", "pod": "Namespaces"}),
        (PodNames.VERIFIED, [Kind.NAMESPACE], [Kind.NAMESPACE], {}, {}),
        (PodNames.VERIFIED, [Kind.POD, Kind.NAMESPACE], [], ALL_BELOW, BOTH),
        (PodNames.INSECURE, [Kind.POD, Kind.NAMESPACE], [], {"pod": "Namespaces"}, {"svc": "Namespaces"}),
        (PodNames.DISABLED, [Kind.POD, Kind.NAMESPACE], [], {}, {"svc": "Namespaces"}),
        (PodNames.VERIFIED, [Kind.STATEFUL_SET, Kind.ENDPOINTS], [], {}, {}),
    ],
)
def test_pending(
    pods: PodNames, missing: list[Kind], forbidden: list[Kind], below: dict[str, str], children: dict[str, str]
) -> None:
    """Only names that need a kind which is not listed yet wait for it."""
    cluster = Cluster(settings=Settings(pods=pods), listed=set(Kind) - set(missing))
    cluster.forbid(*forbidden)
    expected = tuple({name(text): kind for text, kind in one.items()} for one in (below, children))
    assert cluster.deriver.pending() == expected


def test_own_addresses() -> None:
    """The name server's addresses are the cluster IPs of its own Service, once that is known."""
    snapshot = Snapshot()
    assert derive.own_addresses(snapshot, None) == ()
    assert derive.own_addresses(snapshot, key("dns/headlessdns")) == ()
    snapshot.apply(Put(Kind.SERVICE, service("headlessdns", "dns", cluster_ip="10.96.0.10")))
    assert derive.own_addresses(snapshot, key("dns/headlessdns")) == ("10.96.0.10",)


def test_default_ns_name() -> None:
    """The name server's name is ``ns.dns`` below the zone where the operator gave none."""
    assert derive.default_ns_name(names.from_text("example.org")) == names.from_text("ns.dns.example.org")


# Whatever happens, the result is that of beginning anew

hosts = st.sampled_from([None, "web-0", "web-1", "Web-1"])
some_endpoints = st.lists(
    st.builds(
        endpoint,
        st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]),
        hosts,
        ready=st.sampled_from([True, False, None]),
        pod=st.sampled_from(["", "web-0"]),
    ),
    max_size=3,
)
namespaces = st.sampled_from(["default", "other"])
service_names = st.sampled_from(["nginx", "db"])
some_ports = st.sampled_from([None, [], [WEB], [WEB, port(53, "dns", "UDP")], [port(81)]])
TARGETS = [
    "nginx.default.svc.cluster.local",
    "db.default.svc.cluster.local",
    "db.other.svc.cluster.local",
    "web-0.nginx.default.svc.cluster.local",
    "default.svc.cluster.local",
    "cluster.local",
    "1.0.0.10.in-addr.arpa",
    "www.example.com",
]
ttls = st.sampled_from([None, "7"])
cluster_ips = st.sampled_from(["10.96.0.1", "10.0.0.1"])
services = st.one_of(
    st.builds(service, service_names, namespaces, publishNotReadyAddresses=st.booleans(), ttl=ttls),
    st.builds(service, service_names, namespaces, cluster_ip=cluster_ips, ports=st.just([WEB]), ttl=ttls),
    st.builds(external, service_names, st.sampled_from(TARGETS), namespaces),
)
slices = st.builds(
    endpoint_slice,
    service_names,
    some_endpoints,
    name=st.sampled_from(["one", "two", "three"]),
    namespace=namespaces,
    ports=some_ports,
)
subsets = st.sampled_from(["10.0.0.1", "192.0.2.1"]).map(
    lambda ip: {"addresses": [{"ip": ip, "hostname": "web-0"}], "ports": [WEB]}
)
old_endpoints = st.builds(endpoints, service_names, subsets, namespace=namespaces)
pods = st.builds(
    pod,
    st.sampled_from(["p", "q"]),
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    namespace=namespaces,
    phase=st.sampled_from(["Running", "Succeeded"]),
)
objects = st.one_of(services, slices, slices, old_endpoints, pods, st.builds(namespace, namespaces))


def replace_of(kind: Kind, objects: list[Object]) -> Replace:
    """Return a list of *kind*: what is of another kind left out, and of two with one key the last."""
    return Replace(kind, list({one.metadata.key: one for one in objects if kind_of(one) is kind}.values()))


events = st.one_of(
    objects.map(lambda one: Put(kind_of(one), one)),
    objects.map(lambda one: Put(kind_of(one), one)),
    objects.map(lambda one: Delete(kind_of(one), one.metadata.key)),
    st.builds(replace_of, st.sampled_from(Kind), st.lists(objects, max_size=4)),
    st.builds(Forbid, st.sampled_from(FORBIDDEN), st.just("forbidden")),
)


class Model:
    """What there is after some events, kept in the simplest way."""

    def __init__(self) -> None:
        self.objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in Kind}
        self.listed = set(Kind)
        self.forbidden: set[Kind] = set()

    def take(self, event: Event) -> None:
        match event:
            case Put(kind, object):
                self.objects[kind][object.metadata.key] = object
            case Delete(kind, key):
                self.objects[kind].pop(key, None)
            case Replace(kind, objects):
                self.objects[kind] = {one.metadata.key: one for one in objects}
                self.listed.add(kind)
                self.forbidden.discard(kind)
            case Forbid(kind):
                self.forbidden.add(kind)

    def rebuilt(self, settings: Settings) -> Cluster:
        """Return a cluster that has seen nothing but the end, the last objects first."""
        found = [one for kind in reversed(Kind) for one in reversed(self.objects[kind].values())]
        cluster = Cluster(*found, settings=settings)
        cluster.forbid(*self.forbidden)
        return cluster


def contents(table: Table, *, with_soa: bool) -> dict[str, Any]:
    """Return all that *table* answers from, in a form that can be compared."""

    def comparable(answer: Answer | None) -> Any:
        return answer and (answer.records, answer.extra, answer.count, answer.outcome, answer.soa_apex, answer.target)

    hits = {
        key: comparable(hit.answer) for key, hit in table.hits.items() if with_soa or key[-4:] != b"\x00\x06\x00\x01"
    }
    return {
        "hits": hits,
        "names": {
            name: (found.apex, frozenset(found.types), comparable(found.alias)) for name, found in table.names.items()
        },
        "counts": {key: hit.counts for key, hit in table.hits.items()},
        "state": (table.state.is_ready, table.state.pending, table.state.pending_children, table.state.insecure_pods),
        "apexes": {name: apex.soa if with_soa else b"" for name, apex in table.apexes.items()},
    }


@given(st.lists(st.lists(events, min_size=1, max_size=4), max_size=10), st.sampled_from(PodNames), st.booleans())
@settings(max_examples=250, deadline=None)
def test_updated_equals_rebuilt(steps: list[list[Event]], pods: PodNames, pod_names: bool) -> None:
    """After any events, records, existence, digests and composed answers are those of a server that began anew."""
    chosen = Settings(pods=pods, endpoint_pod_names=pod_names, ns_addresses=("10.96.0.10",))
    cluster, model = Cluster(settings=chosen), Model()
    for step in steps:
        cluster.now_s += 1
        cluster.take(*step)
        for event in step:
            model.take(event)
    rebuilt = model.rebuilt(chosen)
    assert cluster.records() == rebuilt.records()
    assert set(cluster.zones.all_names()) == set(rebuilt.zones.all_names())
    assert [cluster.zones.digest(apex) for apex in cluster.zones.apexes] == [
        rebuilt.zones.digest(apex) for apex in rebuilt.zones.apexes
    ]
    assert contents(cluster.table, with_soa=False) == contents(rebuilt.table, with_soa=False)
    assert contents(cluster.table, with_soa=True) == contents(cluster.whole_table(), with_soa=True)


@given(st.lists(events, max_size=12))
@settings(max_examples=100, deadline=None)
def test_events_are_levels(happened: list[Event]) -> None:
    """An event that comes twice changes nothing the second time."""
    cluster = Cluster()
    for event in happened:
        cluster.take(event)
        again = cluster.take(event)
        assert (again.names, again.changes) == (set(), [])


def test_ports_that_no_api_server_lets_in() -> None:
    """A port that SRV cannot name is passed over; the other ports, and the addresses, are served."""
    cluster = Cluster(namespace(), service())
    odd = [port(-1, "a"), port(65536, "b"), port(80, "c", "x" * 300), port(81, "d", "tçp"), port(82, "e")]
    cluster.put(endpoint_slice(endpoints=[WEB_0], ports=odd))
    assert addresses(cluster, "web-0.nginx") == ["10.0.0.1"]
    below = sorted(names.to_text(one) for one in cluster.zones.all_names() if b"_" in one)
    assert below == ["_e._tcp.nginx.default.svc.cluster.local.", "_tcp.nginx.default.svc.cluster.local."]
