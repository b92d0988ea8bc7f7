"""The generated content is what the comparison needs it to be."""

from __future__ import annotations

import random

import pytest

from tests.coredns.generator import KINDS, NAMESPACES, after, changes, generate, key
from tests.coredns.names import absent_names, owner_names

SEEDS = [pytest.param(seed, id=f"seed {seed}") for seed in range(5)]


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_same_content(seed: int) -> None:
    """Content and changes depend on the seed alone."""
    assert generate(seed) == generate(seed)
    assert changes(seed, generate(seed)) == changes(seed, generate(seed))
    assert generate(seed) != generate(seed + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_content_has_each_kind_often(seed: int) -> None:
    """There are at least 200 Services, and each kind six times; no two objects and no two cluster IPs are the same."""
    objects = generate(seed)
    services = [m for m in objects if m["kind"] == "Service"]
    assert len(services) >= 200
    names = [m["metadata"]["name"] for m in objects if m["kind"] in {"Service", "EndpointSlice"}]
    for kind in KINDS:
        assert len({name for name in names if name.startswith(f"{kind}-")}) >= 6
    assert len({key(m) for m in objects}) == len(objects)
    ips = [ip for m in services for ip in m["spec"].get("clusterIPs", [])]
    assert len(set(ips)) == len(ips) > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_each_change_fits_what_is_there(seed: int) -> None:
    """Nothing is created twice, nothing absent is written or deleted, and no namespace is missing."""
    objects = generate(seed)
    written = changes(seed, objects)
    assert len(written) == 500
    for number, change in enumerate(written):
        before = {key(m) for m in after(objects, written[:number])}
        assert (key(change.manifest) in before) == (change.verb != "create")
        space = key(change.manifest)[1]
        assert space in NAMESPACES or not space or ("Namespace", "", space) in before
    assert {(change.verb, change.manifest["kind"]) for change in written} == {
        ("create", "EndpointSlice"),
        ("create", "Namespace"),
        ("create", "Pod"),
        ("create", "Service"),
        ("delete", "EndpointSlice"),
        ("delete", "Namespace"),
        ("delete", "Pod"),
        ("delete", "Service"),
        ("replace", "EndpointSlice"),
        ("replace", "Service"),
    }


def test_owner_names_of_a_service_and_its_slice() -> None:
    """Every name that a headless Service of two ports and two endpoints may have is listed."""
    service = {
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "None", "ports": [{"port": 80, "name": "http", "protocol": "TCP"}]},
    }
    made = {
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"port": 53, "protocol": "UDP"}],
        "endpoints": [{"addresses": ["10.1.0.7"], "hostname": "web-0"}, {"addresses": ["fd00::"]}],
    }
    assert set(owner_names([service, made])) == {
        "cluster.local",
        "svc.cluster.local",
        "pod.cluster.local",
        "ns.dns.cluster.local",
        "dns-version.cluster.local",
        "in-addr.arpa",
        "ip6.arpa",
        "web.shop.svc.cluster.local",
        "_tcp.web.shop.svc.cluster.local",
        "_http._tcp.web.shop.svc.cluster.local",
        "_udp.web.shop.svc.cluster.local",
        "web-0.web.shop.svc.cluster.local",
        "10-1-0-7.web.shop.svc.cluster.local",
        "fd00--0.web.shop.svc.cluster.local",
        "7.0.1.10.in-addr.arpa",
        "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_absent_names_are_as_many_and_absent(seed: int) -> None:
    """There is an absent name for each that exists, and none of them is both."""
    names = owner_names(generate(seed))
    absent = absent_names(names, random.Random(seed))
    assert len(absent) == len(names)
    assert not set(absent) & set(names)
