"""What is logged of objects of an API server that are not as the DNS wants them."""

from __future__ import annotations

import msgspec
import pytest

from headlessdns.cluster.objects import RESOURCES, Delete, Key, Kind, Put, Replace
from headlessdns.cluster.review import Reviewer

META = {"name": "db", "namespace": "default"}
SLICE = {"metadata": {**META, "labels": {"kubernetes.io/service-name": "db"}}, "addressType": "IPv4"}


def put(kind: Kind, value: object) -> Put:
    return Put(kind, msgspec.convert(value, RESOURCES[kind].struct))


def service(name: str = "db", ttl: str = "", **spec: object) -> Put:
    annotations = {"headlessdns.io/ttl": ttl} if ttl else {}
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    return put(Kind.SERVICE, {"metadata": metadata, "spec": {"clusterIP": "None", **spec}})


TTL = 'expected seconds, 0 to 2147483647; write whole seconds in quotes, such as "30"'
ROWS = [
    pytest.param(
        service(ttl="abc"),
        [f'Service default/db: metadata.annotations["headlessdns.io/ttl"]: found "abc"; {TTL}'],
        id="a TTL that is no number",
    ),
    pytest.param(
        service(ttl="-5"),
        [f'Service default/db: metadata.annotations["headlessdns.io/ttl"]: found "-5"; {TTL}'],
        id="a negative TTL",
    ),
    pytest.param(
        service(clusterIP="", type="ExternalName", externalName="a..b"),
        [
            'Service default/db: spec.externalName: found "a..b"; expected a domain name such as db.example.com, in '
            "lower case; write where it leads"
        ],
        id="externalName",
    ),
    pytest.param(
        service(clusterIP="", type="ExternalName", externalName="192.0.2.1"),
        ["externalName is an address, which DNS takes for a name that does not exist: default/db"],
        id="externalName that is an address",
    ),
    pytest.param(
        service(clusterIP="not-an-ip"),
        ['Service default/db: spec.clusterIP: found "not-an-ip"; expected an IP address, or "None"; correct it'],
        id="clusterIP",
    ),
    pytest.param(
        put(Kind.ENDPOINT_SLICE, {**SLICE, "endpoints": [{"addresses": ["10.0.0.1"], "hostname": "a" * 64}]}),
        ["a hostname is no DNS label, so its endpoint is named by its address: default/db"],
        id="a host name of 64 octets",
    ),
    pytest.param(
        put(Kind.ENDPOINT_SLICE, {**SLICE, "endpoints": [{"addresses": ["x"]}]}),
        [
            'EndpointSlice default/db: endpoints[0].addresses[0]: found "x"; expected an IPv4 address, as addressType '
            "says; correct it, or move it to a slice of its own type"
        ],
        id="an address",
    ),
    pytest.param(
        put(Kind.POD, {"metadata": META, "status": {"podIP": "x"}}),
        ['Pod default/db: status.podIP: found "x"; expected an IP address; correct it'],
        id="an address of a pod",
    ),
    pytest.param(service(clusterIP=""), [], id="an address that is yet to come"),
    pytest.param(service(clusterIP=None, clusterIPs=None, ports=None), [], id="nulls"),
    pytest.param(put(Kind.ENDPOINT_SLICE, {**SLICE, "endpoints": None, "ports": None}), [], id="a slice of nulls"),
    pytest.param(put(Kind.POD, {"metadata": META, "status": None}), [], id="a pod of nulls"),
    pytest.param(put(Kind.STATEFUL_SET, {"metadata": META}), [], id="a StatefulSet"),
    pytest.param(put(Kind.NAMESPACE, {"metadata": {"name": "default"}}), [], id="a namespace"),
    pytest.param(put(Kind.ENDPOINTS, {"metadata": META, "subsets": None}), [], id="Endpoints of nulls"),
]


@pytest.mark.parametrize(("event", "lines"), ROWS)
def test_what_is_said(event: Put, lines: list[str]) -> None:
    """What is wrong with an object is said in the words that manifests have for it."""
    assert Reviewer().look([event]) == lines


def test_a_fault_is_said_once() -> None:
    """A fault is said when it comes, and when it comes back: after it was mended, or the object was gone."""
    reviewer = Reviewer()
    bad, worse, good = service(ttl="abc"), service(ttl="abc", clusterIP="x"), service()
    assert len(reviewer.look([bad])) == 1
    assert reviewer.look([bad, Replace(Kind.SERVICE, [bad.object])]) == []
    assert [line.partition(": found")[0] for line in reviewer.look([worse])] == ["Service default/db: spec.clusterIP"]
    for mended in (good, Delete(Kind.SERVICE, Key("default", "db")), Replace(Kind.SERVICE, [])):
        assert reviewer.look([mended]) == []
        assert len(reviewer.look([bad])) == 1
    elsewhere = [Replace(Kind.SERVICE, [], "other"), Replace(Kind.POD, [])]
    assert reviewer.look([*elsewhere, bad]) == []


def test_many_faults_are_a_few_lines() -> None:
    """A list with thousands of odd objects gives twenty lines, and how many there are besides."""
    lines = Reviewer().look([Replace(Kind.SERVICE, [service(f"s-{n}", ttl="x").object for n in range(1000)])])
    assert (len(lines), lines[-1]) == (21, "and 980 more such faults in other objects")
