"""The table of composed answers, and the hot path: one look-up on octets, and out.

How others do it: Knot DNS looks a name up in a trie and composes the response from stored RRsets; CoreDNS works each
answer out from the cluster's objects. Here a response was composed when the cluster changed, and a query costs a
dictionary look-up. This module is plain, fully typed Python so that mypyc can compile it. Pure.

Key of an answer: QNAME in lower case, QTYPE, QCLASS. The response echoes the question as it came (so the letter case
a resolver adds against spoofing is kept) and its records point at the question's name, so one composed answer serves
every spelling. What is not a plain question for what is in the table leaves for `respond`.
"""

from __future__ import annotations

from array import array

import msgspec

HEADER_OCTETS = 12
CLASS_IN = b"\x00\x01"
MAX_LABEL_OCTETS = 63
# What 512 octets leave for SOA beside a header, the longest question, a pointer and an OPT record.
_LONGEST_SOA_OCTETS = 512 - HEADER_OCTETS - (255 + 4) - 2 - 11
TALLY_SIZE = 512  # places for RCODE and QTYPE; what comes after shares the last
_OPT_CACHE_SIZE = 1024  # distinct OPT records without options: sizes and the DO flag
# What a plain query has in octets 2 to 11 -> what its response has in octets 2 and 3 (RCODE 0), and whether OPT
# follows. RD is copied; AD and CD, which a client may set, are cleared (RFC 4035 §3.1.6 has no use for them here).
_PLAIN: dict[bytes, tuple[int, bool]] = {
    bytes((rd, low, 0, 1, 0, 0, 0, 0, 0, opt)): (rd, bool(opt))
    for rd in (0, 1)
    for low in (0x00, 0x10, 0x20, 0x30)
    for opt in (0, 1)
}
_FLAGS_OK = (b"\x84\x00", b"\x85\x00")  # QR, AA; with RD
_FLAGS_NXDOMAIN = (b"\x84\x03", b"\x85\x03")
_COUNTS_NEGATIVE = (b"\x00\x01\x00\x00\x00\x01\x00\x00", b"\x00\x01\x00\x00\x00\x01\x00\x01")


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The composed answer to one question.

    Attributes:
        records: Answer section. Owner names are 0xC00C, a pointer to the question's name.
        count: Records in it.
        stride: Octets of each record where the list rotates, else 0.
        extra: Additional section, which is left out first where room is short.
        extra_count: Records in it.
        outcome: RCODE of a CNAME chain's end (RFC 6604); 0 otherwise.
        soa_apex: Zone whose SOA belongs in the authority section, for a chain that ends in it without data; else empty.
        target: The end of a CNAME chain without data, in the zone `soa_apex` or outside ours; else empty.
    """

    records: bytes
    count: int
    stride: int = 0
    extra: bytes = b""
    extra_count: int = 0
    outcome: int = 0
    soa_apex: bytes = b""
    target: bytes = b""


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is answered at one owner name.

    Attributes:
        apex: The zone it is in.
        answers: By QTYPE. They are whole: no SOA goes with them, and nothing has to be asked of others.
        alias: The answer for every other type where the name is a CNAME; None means NODATA.
    """

    apex: bytes
    answers: dict[int, Answer]
    alias: Answer | None = None


class Apex(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A zone: its name, and its SOA record without the owner name."""

    name: bytes
    soa: bytes


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What holds for every answer.

    Attributes:
        apexes: Our zones.
        is_ready: Services and slices are listed; until then nothing is denied.
        is_stale: The API has been silent for too long.
        pending: Names below which nothing may be denied yet, since a kind is not listed, with what it waits for.
        pending_children: The same for names one label below only.
        insecure_pods: The name below which `<address>.<namespace>` answers from itself; empty for nowhere.
        insecure_ttl_s: TTL of such an answer.
    """

    apexes: tuple[Apex, ...]
    is_ready: bool = False
    is_stale: bool = False
    pending: dict[bytes, str] = {}
    pending_children: dict[bytes, str] = {}
    insecure_pods: bytes = b""
    insecure_ttl_s: int = 5


class Delta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One step: owner names with their new node, or None where the name is gone."""

    state: State
    nodes: dict[bytes, Node | None]


class Hit:
    """An answer as the hot path wants it.

    Attributes:
        body: Answer and additional section. Where the list rotates, the answer section twice.
        span: Octets of the answer section where it rotates, else 0.
        size: Octets of both sections as they are sent.
        stride: Octets of one record where it rotates.
        counts: The four counts of the header, without OPT and with it.
        kind: Place in a tally.
        answer: What it was made of.
    """

    __slots__ = ("_edges", "_next", "answer", "body", "counts", "kind", "size", "span", "stride")

    def __init__(self, answer: Answer, counts: tuple[bytes, bytes], kind: int) -> None:
        self.answer = answer
        self.span = len(answer.records) if answer.stride and answer.count > 1 else 0
        self.body = answer.records * 2 if self.span else answer.records + answer.extra
        self.size = self.span or len(self.body)
        self.stride = answer.stride
        self.counts = counts
        self.kind = kind
        self._next = 0
        self._edges: array[int] | None = None

    def turn(self) -> bytes:
        """Return the answer section of a list that rotates, beginning one record further at each call.

        Every answer turns on its own: a client that asks for A and AAAA in pairs would move a common counter by two,
        and a list of two would stand still.
        """
        start = self._next
        self._next = (start + self.stride) % self.span
        return self.body[start : start + self.span]

    def edges(self) -> array[int]:
        """Return where each record of the answer section begins, and where the last one ends.

        They are found when first asked for: who cuts a list of thousands must not walk all of it at each query.
        """
        if self._edges is None:
            records = self.answer.records
            self._edges = array("L", [0])
            end = 0
            while end < len(records):  # owner name (a pointer), type, class and TTL have 10 octets
                end += 12 + int.from_bytes(records[end + 10 : end + 12], "big")
                self._edges.append(end)
        return self._edges


class Existing:
    """A name that exists: its types, its zone, and the answer of a CNAME to every other type."""

    __slots__ = ("alias", "apex", "types")

    def __init__(self, apex: bytes, types: tuple[bytes, ...], alias: Answer | None) -> None:
        self.apex = apex
        self.types = types
        self.alias = alias


class Table:
    """What a worker answers from.

    Attributes:
        tally: Counts what `answer` answers, by kind; a worker lays its own here.
        kinds: RCODE and QTYPE of each place of a tally.
        cut: How many answers did not fit 64 KiB.
    """

    def __init__(self) -> None:
        self.cut = 0
        self.tally = new_tally()
        self.kinds: list[tuple[int, int]] = []
        self._kinds: dict[bytes, int] = {}  # RCODE octet and QTYPE -> place
        self.state = State(())
        self.apexes: dict[bytes, Apex] = {}
        self.hits: dict[bytes, Hit] = {}
        self.names: dict[bytes, Existing] = {}
        self._turn = 0
        self._soa_fits = True  # every SOA fits a negative response to every question, in 512 octets
        self._may_deny = False  # a miss inside our zones is NXDOMAIN, whatever its name
        self._apex_lengths: frozenset[int] = frozenset()
        self._opts: dict[bytes, tuple[int, bytes]] = {}
        self._counts: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self._existing: dict[tuple[bytes, tuple[bytes, ...]], Existing] = {}

    def apply(self, delta: Delta) -> None:
        """Take in one step."""
        if delta.state.is_stale:
            self._opts.clear()  # every response with OPT is to say so, which is for `respond`
        self.state = delta.state
        self._set_apexes(delta.state.apexes)
        state = self.state
        self._soa_fits = all(len(apex.soa) <= _LONGEST_SOA_OCTETS for apex in state.apexes)
        self._may_deny = self._soa_fits and not (state.pending or state.pending_children or state.insecure_pods)
        for name, node in delta.nodes.items():
            self._drop(name)
            if node is not None:
                self._put(name, node)

    def _set_apexes(self, apexes: tuple[Apex, ...]) -> None:
        for apex in apexes:
            known = self.apexes.get(apex.name)
            if known is None or known.soa != apex.soa:
                self.apexes[apex.name] = apex
        self._apex_lengths = frozenset(map(len, self.apexes))

    def _drop(self, name: bytes) -> None:
        existing = self.names.pop(name, None)
        if existing is not None:
            for qtype in existing.types:
                del self.hits[name + qtype + CLASS_IN]

    def _put(self, name: bytes, node: Node) -> None:
        types = tuple(qtype.to_bytes(2, "big") for qtype in node.answers)
        for qtype, answer in zip(types, node.answers.values(), strict=True):
            counts = answer.count, answer.extra_count
            if counts not in self._counts:
                self._counts[counts] = compose_counts(*counts), compose_counts(counts[0], counts[1] + 1)
            self.hits[name + qtype + CLASS_IN] = Hit(answer, self._counts[counts], self._kind(b"\x00" + qtype))
        if node.alias is not None:
            self.names[name] = Existing(node.apex, types, node.alias)
            return
        alike = node.apex, types
        if alike not in self._existing:
            self._existing[alike] = Existing(node.apex, types, None)
        self.names[name] = self._existing[alike]

    def _kind(self, kind: bytes) -> int:
        """Return the place in a tally of *kind*, RCODE octet and QTYPE."""
        place = self._kinds.get(kind)
        if place is None:
            if len(self.kinds) < TALLY_SIZE - 1:
                self.kinds.append((kind[0], int.from_bytes(kind[1:], "big")))
                self._kinds[kind] = place = len(self.kinds) - 1
            else:
                place = TALLY_SIZE - 1
        return place

    def next_turn(self) -> int:
        """Return a number that grows by one a call: where the next list that does not fit begins."""
        self._turn += 1
        return self._turn

    def find_apex(self, name: bytes) -> Apex | None:
        """Return our zone that *name*, whole and folded, is in, or None."""
        position = 0
        while True:
            if len(name) - position in self._apex_lengths:
                apex = self.apexes.get(name[position:])
                if apex is not None:
                    return apex
            if not name[position]:
                return None
            position += 1 + name[position]

    def learn_opt(self, record: bytes, limit_octets: int, response: bytes) -> None:
        """Remember which OPT record answers the OPT record *record*, which has no options."""
        if len(self._opts) >= _OPT_CACHE_SIZE:
            self._opts.clear()  # else whoever sends 1024 odd ones keeps the usual one out for ever
        if not self.state.is_stale:
            self._opts[record] = limit_octets, response

    def answer(self, message: bytes) -> bytes | None:
        """Return the UDP response to *message*, or None where `respond` has to look at it.

        Args:
            message: A whole message as it came; any octets.
        """
        plain = _PLAIN.get(message[2:12])
        if plain is None or not self.state.is_ready:
            return None
        rd, has_opt = plain
        # The first zero octet is the root label. A zero inside a label cuts the key short: no owner name holds one,
        # so it is a miss, and a miss walks the labels.
        end = message.find(b"\x00", HEADER_OCTETS) + 5
        if has_opt:
            known = self._opts.get(message[end:])
            if known is None:
                return None
            limit, opt = known
        elif len(message) != end:
            return None
        else:
            limit, opt = 512, b""
        # Only QNAME is folded: QTYPE 65 (HTTPS) is the octet "A", and lower() would make it 97.
        qname = message[HEADER_OCTETS : end - 4].lower()
        hit = self.hits.get(qname + message[end - 4 : end])
        if hit is not None:
            if end + hit.size + len(opt) > limit:
                return None
            self.tally[hit.kind] += 1
            body = hit.turn() if hit.span else hit.body
            return message[:2] + _FLAGS_OK[rd] + hit.counts[has_opt] + message[HEADER_OCTETS:end] + body + opt
        return self._negative(message, qname, end, rd, opt)

    def _negative(self, message: bytes, qname: bytes, end: int, rd: int, opt: bytes) -> bytes | None:
        """Return the response to a question without an answer: NODATA, or NXDOMAIN inside our zones (RFC 2308 §2)."""
        if message[end - 2 : end] != CLASS_IN or b"\x00\xf9" <= message[end - 4 : end - 2] <= b"\x00\xff":
            return None  # another class, or a meta type (RFC 6895 §3.1)
        existing = self.names.get(qname)
        if existing is not None:
            if existing.alias is not None or not self._soa_fits:
                return None
            apex = self.apexes[existing.apex]
            flags = _FLAGS_OK[rd]
        else:
            if not self._may_deny:
                return None
            position = 0
            found = None
            size = len(qname)
            while length := qname[position]:
                if length > MAX_LABEL_OCTETS:
                    return None
                position += 1 + length
                if position >= size:
                    return None  # a zero octet inside a label
                if found is None and size - position in self._apex_lengths:
                    found = self.apexes.get(qname[position:])
            if found is None or size > 255:
                return None
            apex = found
            flags = _FLAGS_NXDOMAIN[rd]
        kind = flags[1:] + message[end - 4 : end - 2]
        place = self._kinds.get(kind)
        self.tally[self._kind(kind) if place is None else place] += 1
        # The owner of SOA is a pointer into the question, to where the apex begins.
        pointer = (0xC000 + HEADER_OCTETS + len(qname) - len(apex.name)).to_bytes(2, "big")
        counts = _COUNTS_NEGATIVE[1 if opt else 0]
        return message[:2] + flags + counts + message[HEADER_OCTETS:end] + pointer + apex.soa + opt


def new_tally() -> list[int]:
    """Return an empty tally."""
    return [0] * TALLY_SIZE


def compose_counts(answers: int, additionals: int) -> bytes:
    """Return the four counts of a header with one question and no authority section; counts above 65535 are cut."""
    return (
        b"\x00\x01" + min(answers, 65535).to_bytes(2, "big") + b"\x00\x00" + min(additionals, 65535).to_bytes(2, "big")
    )
