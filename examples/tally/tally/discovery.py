"""Who else is there: one question for the SRV records of a headless Service, then one for each member's address.

SRV and not A: the answer has the members' names, which outlive their addresses, and the port, which then stands in one
place, the Service. This module knows nothing of what the members do; it can be taken as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import dns.exception
import dns.name
import dns.resolver

ANSWER_WITHIN_S = 2.0


class DiscoveryError(Exception):
    """The DNS cannot tell who is there; whoever was there may still be."""


class Peer(NamedTuple):
    """One member.

    Attributes:
        name: The pod's name, such as ``tally-0``; it stays when the pod is made anew.
        address: Its address right now.
        port: Where it listens.
    """

    name: str
    address: str
    port: int


def find_peers(service: str, resolver: dns.resolver.Resolver, port_name: str = "peer") -> list[Peer]:
    """Return all members, by name; none where there are none yet.

    Ask again before each use, or every few seconds: members come and go, and their addresses change. The records have
    low TTLs, and asking is cheap.

    Args:
        service: The headless Service, such as ``tally``, in the pod's own namespace.
        resolver: Whom to ask. In a pod ``dns.resolver.Resolver()`` reads all that it needs from /etc/resolv.conf.
        port_name: The name of the Service's port.

    Raises:
        DiscoveryError: The DNS does not answer. That is not the same as nobody being there: go on with those you know.
    """
    # The first name of a pod's search list is its namespace. Asking there alone, and not along the whole list, spares
    # questions that nobody can answer, while nobody is there yet.
    namespace = resolver.search[0] if resolver.search else dns.name.root
    found = []
    for service_record in _ask(resolver, dns.name.from_text(f"_{port_name}._tcp.{service}", namespace), "SRV"):
        target: dns.name.Name = service_record.target
        addresses = _ask(resolver, target, "A") or _ask(resolver, target, "AAAA")
        if addresses:  # else it has gone since the first question
            found.append(Peer(target.labels[0].decode(), addresses[0].address, service_record.port))
    return sorted(found)


def _ask(resolver: dns.resolver.Resolver, name: dns.name.Name, rrtype: str) -> list:
    """Return the records; none where there is no such name, or nothing of that type at it."""
    try:
        return list(resolver.resolve(name, rrtype, lifetime=ANSWER_WITHIN_S))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise DiscoveryError(f"the DNS does not tell about {name} {rrtype}: {error}") from error
