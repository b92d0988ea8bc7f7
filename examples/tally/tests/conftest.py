"""What the tests share: a resolver as a pod has it, and members that run on this machine."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import dns.name
import dns.resolver
import pytest
from tally.discovery import Peer, find_peers
from tally.member import Member

from headlessdns.lab import Lab


@pytest.fixture
def resolver(headlessdns_lab: Lab) -> dns.resolver.Resolver:
    """What ``dns.resolver.Resolver()`` reads out of /etc/resolv.conf in a pod, with the lab's DNS for the cluster's."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [headlessdns_lab.dns_address.host]
    resolver.port = headlessdns_lab.dns_address.port
    resolver.search = [
        dns.name.from_text(suffix) for suffix in ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
    ]
    return resolver


class Ensemble:
    """Members on this machine, each for one pod of the lab.

    They find each other through the lab's DNS as they would in a cluster. Only that pods' addresses lead nowhere here:
    so a peer is reached at the port where the member of that name listens, and a pod without a member is one that does
    not answer.
    """

    def __init__(self, resolver: dns.resolver.Resolver) -> None:
        self._resolver = resolver
        self._stack = contextlib.ExitStack()
        self.members: dict[str, Member] = {}

    def start(self, name: str) -> Member:
        """Start the member *name*."""
        peers = functools.partial(find_peers, "tally", self._resolver)
        member = Member(name, peers, locate=self._locate, interval_s=0.05)
        self.members[name] = self._stack.enter_context(member)
        return member

    def _locate(self, peer: Peer) -> tuple[str, int]:
        if peer.name not in self.members:
            raise ConnectionRefusedError(f"{peer.name} does not run")
        return self.members[peer.name].address

    def stop(self) -> None:
        """Stop all members."""
        self._stack.close()


@pytest.fixture
def ensemble(resolver: dns.resolver.Resolver) -> Iterator[Ensemble]:
    """No member yet."""
    ensemble = Ensemble(resolver)
    yield ensemble
    ensemble.stop()
