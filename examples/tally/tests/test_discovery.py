"""Discovery against the lab: what happens to a StatefulSet, and who is found then."""

from __future__ import annotations

import socket

import dns.resolver
import pytest
from tally.discovery import DiscoveryError, Peer, find_peers

from headlessdns.lab import Lab

ALL = ["tally-0", "tally-1", "tally-2"]


def names(peers: list[Peer]) -> list[str]:
    """Return the names of *peers*."""
    return [peer.name for peer in peers]


def test_every_member_is_found(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """Members are found by name, with the addresses of their pods and the port of the Service."""
    headlessdns_lab.wait("tally")
    addresses = [headlessdns_lab.pod(name)["status"]["podIP"] for name in ALL]
    assert find_peers("tally", resolver) == [
        Peer("tally-0", addresses[0], 7700),
        Peer("tally-1", addresses[1], 7700),
        Peer("tally-2", addresses[2], 7700),
    ]


@pytest.mark.headlessdns_lab(start_delay_s=0.5)
def test_who_starts_first_finds_nobody(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """Before any pod has an address nobody is found, which is no error; nor is a Service that is not there yet."""
    headlessdns_lab.scale("tally", 0)
    headlessdns_lab.wait(lambda: find_peers("tally", resolver) == [])
    assert find_peers("not-applied-yet", resolver) == []
    headlessdns_lab.scale("tally", 1)
    assert names(headlessdns_lab.wait(lambda: find_peers("tally", resolver))) == ["tally-0"]


def test_members_come_and_go(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """Who asks again sees new members, and no longer sees those that are gone."""
    for replicas, expected in ((5, [*ALL, "tally-3", "tally-4"]), (2, ["tally-0", "tally-1"])):
        headlessdns_lab.scale("tally", replicas)
        headlessdns_lab.wait("tally")
        headlessdns_lab.wait(lambda expected=expected: names(find_peers("tally", resolver)) == expected)


def test_a_member_that_is_not_ready(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """Its peers find a member that is not ready, the clients' Service does not have it."""
    headlessdns_lab.wait("tally")
    ready = sorted(headlessdns_lab.pod(name)["status"]["podIP"] for name in ("tally-0", "tally-2"))
    headlessdns_lab.set_ready("tally-1", False)
    headlessdns_lab.wait(lambda: headlessdns_lab.resolve("tally-read") == ready)
    assert names(find_peers("tally", resolver)) == ALL


def test_a_member_that_moves(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """A pod that is made anew is found at its new address, under the name that it had."""
    headlessdns_lab.wait("tally")
    (before,) = [peer for peer in find_peers("tally", resolver) if peer.name == "tally-1"]
    headlessdns_lab.delete_pod("tally-1")

    def has_moved() -> bool:
        return any(peer.name == "tally-1" and peer.address != before.address for peer in find_peers("tally", resolver))

    headlessdns_lab.wait(has_moved)
    headlessdns_lab.wait("tally")
    (after,) = [peer for peer in find_peers("tally", resolver) if peer.name == "tally-1"]
    assert after == Peer("tally-1", headlessdns_lab.pod("tally-1")["status"]["podIP"], 7700)


def test_members_on_a_lost_node(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """Clients no longer see members of a lost node; peers still do, and have to bear that they do not answer."""
    headlessdns_lab.wait("tally")
    every = headlessdns_lab.resolve("tally-read")
    lost = headlessdns_lab.pod("tally-0")
    headlessdns_lab.lose_node(lost["spec"]["nodeName"])
    headlessdns_lab.wait(lambda: lost["status"]["podIP"] not in headlessdns_lab.resolve("tally-read"))
    assert names(find_peers("tally", resolver)) == ALL
    headlessdns_lab.recover_node(lost["spec"]["nodeName"])
    headlessdns_lab.wait(lambda: headlessdns_lab.resolve("tally-read") == every)


def test_no_answer_is_not_nobody(resolver: dns.resolver.Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the DNS does not answer, who is there is not known, which is an error."""
    monkeypatch.setattr("tally.discovery.ANSWER_WITHIN_S", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver.port = silent.getsockname()[1]
        with pytest.raises(DiscoveryError, match=r"the DNS does not tell about _peer\._tcp\.tally\.default\."):
            find_peers("tally", resolver)


@pytest.mark.headlessdns_lab(pod_cidrs=["fd00:10:244::/64"])
def test_members_with_ipv6(headlessdns_lab: Lab, resolver: dns.resolver.Resolver) -> None:
    """In a cluster of IPv6 members are found all the same."""
    headlessdns_lab.request(
        "PATCH",
        "/api/v1/namespaces/default/services/tally",
        {"spec": {"ipFamilies": ["IPv6"]}},
        content_type="application/merge-patch+json",
    )
    headlessdns_lab.wait(lambda: names(find_peers("tally", resolver)) == ALL)
    assert find_peers("tally", resolver)[0].address == headlessdns_lab.pod("tally-0")["status"]["podIP"]
