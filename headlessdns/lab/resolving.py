"""One name, asked as an application would: UDP, TCP where the answer is truncated. I/O: the network."""

from __future__ import annotations

import dnslib

from headlessdns.errors import ClusterError

TIMEOUT_S = 3.0
SEARCH = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
NDOTS = 5
_NXDOMAIN, _REFUSED = 3, 5


def resolve(server: tuple[str, int], name: str, rrtype: str) -> list[str]:
    """Return the data of the records of that type, sorted, without dots at the end of names; none where there are none.

    Args:
        server: Whom to ask: address and port.
        name: With a dot at the end it is whole; else it is searched for as in a pod of the namespace ``default``.
        rrtype: Such as A.

    Raises:
        ClusterError: There is no answer, or one that says neither that there is such a name nor that there is none.
        ValueError: There is no such type.
    """
    if rrtype not in dnslib.QTYPE.reverse:
        raise ValueError(f"{rrtype} is no type of records that can be asked for; write it as in A, AAAA, SRV or PTR")
    for qname in candidates(name):
        if found := _ask(server, qname, rrtype):
            return found
    return []


def candidates(name: str) -> list[str]:
    """Return the whole names that a resolver tries, in order: those of the search list of a pod, with ``ndots:5``."""
    if name.endswith("."):
        return [name.rstrip(".")]
    found = [f"{name}.{suffix}" for suffix in SEARCH]
    return [name, *found] if name.count(".") >= NDOTS else [*found, name]


def _ask(server: tuple[str, int], qname: str, rrtype: str) -> list[str]:
    host, port = server
    query = dnslib.DNSRecord.question(qname, rrtype)
    try:
        octets = query.send(host, port, timeout=TIMEOUT_S, ipv6=":" in host)
        reply = dnslib.DNSRecord.parse(octets)
        if reply.header.tc:
            reply = dnslib.DNSRecord.parse(query.send(host, port, tcp=True, timeout=TIMEOUT_S, ipv6=":" in host))
    except (OSError, dnslib.DNSError) as error:
        raise ClusterError(f"the lab's DNS at {host} port {port} does not answer {qname} {rrtype}: {error}") from error
    rcode = reply.header.rcode
    if rcode == _REFUSED:  # not of its zones: whoever asks a cluster's DNS would be sent elsewhere
        return []
    if rcode not in (0, _NXDOMAIN):
        raise ClusterError(f"the lab's DNS answers {qname} {rrtype} with {dnslib.RCODE.get(rcode)}")
    wanted = getattr(dnslib.QTYPE, rrtype)
    return sorted(str(one.rdata).rstrip(".") for one in reply.rr if one.rtype == wanted)
