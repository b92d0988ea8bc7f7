"""RRsets into composed answers, ahead of time.

Source: RFC 1035 §4.1.4 (compression), RFC 2782 (SRV targets stay whole), RFC 1034 §4.3.2 (a CNAME is followed),
RFC 6604 (the RCODE is that of the chain's end). Pure.

Knot DNS composes at query time from RRsets that lie ready, and so can compress across the message; here a message is
composed once per change, and the only pointers are those that hold for every spelling and flag: to the question's name
and to a name inside the answer section, both at fixed offsets since the question's length is part of the key.
"""

from __future__ import annotations

from collections.abc import Iterable

from headlessdns import names
from headlessdns.names import CanonicalName
from headlessdns.records.rrset import RRset, Type, srv_target
from headlessdns.records.zone import Zones
from headlessdns.wire.answers import HEADER_OCTETS, Answer, Apex, Delta, Node, State
from headlessdns.wire.parse import Rcode

OWNER_IS_QNAME = b"\xc0\x0c"  # a pointer to offset 12, where the question begins
LAST_POINTER = 0x3FFF  # a pointer has 14 bits
MAX_CHAIN = 8  # CNAMEs that are followed inside our zones; a loop ends here
_ROTATING = frozenset({Type.A, Type.AAAA})


class Composer:
    """Composes what changed, and what depends on it.

    The answer of an SRV holds its targets' addresses, and that of a CNAME the records of its target. So each composed
    name is remembered under the names that it borrowed from.
    """

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self._borrowers: dict[CanonicalName, set[CanonicalName]] = {}
        self._borrowed: dict[CanonicalName, frozenset[CanonicalName]] = {}

    def apexes(self) -> tuple[Apex, ...]:
        """Return every zone with its present SOA."""
        found = []
        for apex in self._zones.apexes:
            soa = self._zones.rrsets(apex)[Type.SOA]
            found.append(Apex(apex, _records(soa)[0][len(OWNER_IS_QNAME) :]))
        return tuple(found)

    def delta(self, state: State, changed: Iterable[CanonicalName], *, with_borrowers: bool = True) -> Delta:
        """Return the nodes of *changed* names and of those that borrowed from them."""
        nodes: dict[bytes, Node | None] = {}
        for name in self._with_borrowers(changed) if with_borrowers else changed:
            nodes[name] = self._node(name) if self._zones.exists(name) else None
            if nodes[name] is None:
                self._remember(name, frozenset())
        return Delta(state, nodes)

    def _with_borrowers(self, changed: Iterable[CanonicalName]) -> set[CanonicalName]:
        every = set(changed)
        queue = list(every)
        while queue:
            name = queue.pop()
            # An SRV list borrows from many children of its Service and is kept under their parent, once.
            for source in (name, names.parent(name)):
                new = self._borrowers.get(source, set()) - every
                every |= new
                queue.extend(new)
        return every

    def _node(self, name: CanonicalName) -> Node:
        apex = self._zones.apex_of(name)
        assert apex is not None  # every existing name is in a zone
        rrsets = self._zones.rrsets(name)
        alias = rrsets.get(Type.CNAME)
        if alias is not None:
            return self._alias_node(name, apex, alias)
        lenders: set[CanonicalName] = set()
        answers = {int(type): self._answer(rrset, lenders) for type, rrset in rrsets.items()}
        self._remember(name, frozenset(lenders))
        return Node(apex, answers)

    def _remember(self, name: CanonicalName, lenders: frozenset[CanonicalName]) -> None:
        before = self._borrowed.get(name, frozenset())
        for lender in before - lenders:
            self._borrowers[lender].discard(name)
            if not self._borrowers[lender]:
                del self._borrowers[lender]
        for lender in lenders - before:
            self._borrowers.setdefault(lender, set()).add(name)
        if lenders:
            self._borrowed[name] = lenders
        else:
            self._borrowed.pop(name, None)

    def _answer(self, rrset: RRset, lenders: set[CanonicalName]) -> Answer:
        records = _records(rrset)
        if rrset.type in _ROTATING:
            return Answer(b"".join(records), len(records), len(records[0]))
        if rrset.type not in (Type.SRV, Type.NS):
            return Answer(b"".join(records), len(records))
        extra, extra_count = self._glue(rrset, records, lenders)
        return Answer(b"".join(records), len(records), 0, extra, extra_count)

    def _glue(self, rrset: RRset, records: list[bytes], lenders: set[CanonicalName]) -> tuple[bytes, int]:
        """Return the addresses of the targets in *rrset*, for the additional section, and their number."""
        offset = HEADER_OCTETS + len(rrset.owner) + 4
        glue: dict[CanonicalName, list[bytes]] = {}
        for rdata, record in zip(rrset.rdatas, records, strict=True):
            offset += len(record)
            target = srv_target(rdata) if rrset.type is Type.SRV else CanonicalName(rdata)
            if target in glue or self._zones.apex_of(target) is None:
                continue
            lenders.add(target if names.is_at_or_below(rrset.owner, target) else names.parent(target))
            start = offset - len(target)
            owner = OWNER_IS_QNAME if target == rrset.owner else _pointer(start) if start <= LAST_POINTER else target
            found = self._zones.rrsets(target)
            glue[target] = [
                record for type in (Type.A, Type.AAAA) if type in found for record in _records(found[type], owner)
            ]
        flat = [record for records in glue.values() for record in records]
        return b"".join(flat), len(flat)

    def _alias_node(self, name: CanonicalName, apex: CanonicalName, alias: RRset) -> Node:
        """Return the node of a name that is a CNAME: the chain, with the records at its end for each type there."""
        chain = _records(alias)
        position = HEADER_OCTETS + len(name) + 4
        seen = {name}
        while True:
            owner = _pointer(position + len(b"".join(chain)) - len(alias.rdatas[0]))
            target = CanonicalName(alias.rdatas[0])
            found = self._zones.rrsets(target)
            following = found.get(Type.CNAME)
            is_loop = following is not None and (target in seen or len(seen) > MAX_CHAIN)
            seen.add(target)
            if following is None or is_loop:
                break
            alias = following
            chain += _records(alias, owner)
        self._remember(name, frozenset(seen - {name}))
        cname = Answer(_records(self._zones.rrsets(name)[Type.CNAME])[0], 1)
        so_far = b"".join(chain)
        end = self._zones.apex_of(target)
        if is_loop:
            return Node(apex, {int(Type.CNAME): cname}, Answer(so_far, len(chain)))
        if end is None:
            return Node(apex, {int(Type.CNAME): cname}, Answer(so_far, len(chain), target=target))
        outcome = Rcode.NOERROR if self._zones.exists(target) else Rcode.NXDOMAIN
        without_data = Answer(so_far, len(chain), outcome=outcome, soa_apex=end, target=target)
        answers = {int(Type.CNAME): cname}
        for type, rrset in found.items():
            records = _records(rrset, owner)
            answers[int(type)] = Answer(so_far + b"".join(records), len(chain) + len(records))
        return Node(apex, answers, without_data)


def _pointer(offset: int) -> bytes:
    return (0xC000 | offset).to_bytes(2, "big")


def _records(rrset: RRset, owner: bytes = OWNER_IS_QNAME) -> list[bytes]:
    """Return each record of *rrset* in octets, *owner* written as given (RFC 1035 §3.2.1)."""
    head = owner + b"%b\x00\x01%b" % (rrset.type.to_bytes(2, "big"), rrset.ttl_s.to_bytes(4, "big"))
    return [head + len(rdata).to_bytes(2, "big") + rdata for rdata in rrset.rdatas]
