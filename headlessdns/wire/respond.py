"""The long way from a query to its response: everything that is not one look-up.

Each step cites what it follows. Nothing is raised past `respond`: a broken message becomes FORMERR or silence. UDP,
TCP and ``headlessdns query`` all call this one function; the hot path of `answers` gives the same octets sooner. Pure.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import NamedTuple

import msgspec

from headlessdns import names
from headlessdns.errors import FormatError
from headlessdns.records.rrset import Type, txt_rdata
from headlessdns.wire import edns
from headlessdns.wire.answers import CLASS_IN, Answer, Apex, Hit, Table
from headlessdns.wire.edns import Ede
from headlessdns.wire.parse import (
    AA,
    HEADER_OCTETS,
    OPCODE,
    QR,
    RD,
    TC,
    QClass,
    QType,
    Query,
    Rcode,
    find_opt,
    parse_query,
    question_end,
)

_CNAME = Type.CNAME.to_bytes(2, "big")
HINFO, HINFO_TTL_S = 13, 3789  # RFC 1035 §3.3.2; the TTL of the example in RFC 8482 §4.2
_CHAOS_NAMES = {
    names.from_text("id.server"): "server_id",
    names.from_text("hostname.bind"): "server_id",
    names.from_text("version.server"): "version",
    names.from_text("version.bind"): "version",
}


class Identity(msgspec.Struct, frozen=True):
    """What the server tells of itself.

    Attributes:
        server_id: NSID (RFC 5001), `id.server` and `hostname.bind` (RFC 4892).
        version: `version.bind` and `version.server`.
        is_chaos_on: Whether the CHAOS names are answered at all.
        cookie_secret: Key of the cookies, 32 octets.
        has_resolver: Whether CNAME targets outside our zones can be asked for.
    """

    server_id: str = ""
    version: str = ""
    is_chaos_on: bool = True
    cookie_secret: bytes = bytes(edns.SECRET_OCTETS)
    has_resolver: bool = False


class Client(NamedTuple):
    """Who asks: the packed address, 4 or 16 octets, and whether over a stream."""

    address: bytes
    is_stream: bool = False


class Chased(NamedTuple):
    """What a resolver said of a CNAME target outside our zones.

    Attributes:
        records: Records in octets, owner names uncompressed; empty where nothing was found in time.
        record_count: How many.
        rcode: Its RCODE, which becomes ours (RFC 6604 §3).
        soa: The SOA record of a denial in octets, uncompressed: how long a cache may keep it (RFC 2308 §5).
        options: EDNS options that say why there is nothing.
    """

    records: bytes = b""
    record_count: int = 0
    rcode: int = 0
    soa: bytes = b""
    options: bytes = b""


class Chase(NamedTuple):
    """The response waits for a name outside our zones; `respond` is called again with what was found."""

    target: bytes
    qtype: int


class _Reply(NamedTuple):
    """A response in the making."""

    rcode: int
    flags: int = 0
    answer: bytes = b""
    answer_count: int = 0
    authority: bytes = b""
    authority_count: int = 0
    extra: bytes = b""
    extra_count: int = 0
    stride: int = 0
    options: bytes = b""
    hit: Hit | None = None  # what `answer` was copied from, where it is no CNAME chain


def respond(
    message: bytes, table: Table, identity: Identity, client: Client, now_s: int, chased: Chased | None = None
) -> bytes | Chase | None:
    """Return the response to *message*.

    Args:
        message: The whole message as it came; any octets.
        table: What is answered.
        identity: What the server tells of itself.
        client: Who asks.
        now_s: Unix time, for cookies.
        chased: What was found after a `Chase`; without records it means that nothing was found in time.

    Returns:
        Octets to send, None for silence, or a `Chase` where a name outside our zones has to be asked for first.
    """
    if len(message) < HEADER_OCTETS or message[2] & (QR >> 8):
        return None  # no header to answer to, or a response: never answered, else two servers talk for ever
    if message[2] & (OPCODE >> 8):
        return _bare(message, Rcode.NOTIMP)  # RFC 8906 §3.1.4: an unknown opcode gets an answer
    try:
        query = parse_query(message)
    except FormatError as error:
        return _bare(message, error.rcode)
    if query.opt and query.opt.version:
        return _finish(query, _Reply(Rcode.BADVERS), table, client)  # RFC 6891 §6.1.3
    try:
        cookie = edns.client_cookie(query.opt) if query.opt else None
    except FormatError as error:
        return _finish(query, _Reply(error.rcode), table, client)  # RFC 7873 §5.2.2, with OPT as RFC 6891 §6.1.1 wants
    reply = _reply(query, table, identity, client, chased)
    if isinstance(reply, Chase):
        return reply
    options = reply.options
    if query.opt and query.opt.option(edns.OPTION_NSID) is not None and identity.server_id:
        options += edns.compose_option(edns.OPTION_NSID, identity.server_id.encode())
    if cookie is not None:
        options += edns.compose_cookie(cookie, now_s, client.address, identity.cookie_secret)
    return _finish(query, reply._replace(options=options), table, client)


def _bare(message: bytes, rcode: int) -> bytes:
    """Return a header with *rcode*, and what can be read of two things.

    They are the question, by which a forwarder matches, and OPT, which is answered with OPT (RFC 6891 §6.1.1, §7).
    """
    opcode_and_rd = message[2] & ((OPCODE | RD) >> 8)
    is_query = not message[2] & (OPCODE >> 8)
    end = question_end(message) if is_query else 0
    question = message[HEADER_OCTETS:end] if end else b""
    found = find_opt(message)
    opt = edns.compose_opt(found) if found else b""
    flags = bytes(((QR >> 8) | opcode_and_rd, rcode))
    return message[:2] + flags + struct.pack("!4H", bool(question), 0, 0, bool(opt)) + question + opt


def _reply(query: Query, table: Table, identity: Identity, client: Client, chased: Chased | None) -> _Reply | Chase:
    if not query.question:
        return _Reply(Rcode.NOERROR)  # RFC 7873 §5.4: a cookie is asked for, nothing else
    if query.qclass == QClass.CH:
        return _chaos(query, identity)
    if query.qclass not in (QClass.IN, QClass.ANY):
        return _Reply(Rcode.REFUSED)
    apex = table.find_apex(query.qname)
    if apex is None:
        return _Reply(Rcode.REFUSED, options=edns.compose_ede(Ede.NOT_AUTHORITATIVE))
    if query.qtype in (QType.AXFR, QType.IXFR):
        return _Reply(Rcode.REFUSED, options=edns.compose_ede(Ede.NOT_SUPPORTED, "zone transfer is not offered"))
    if not table.state.is_ready:
        return _not_ready("Services and EndpointSlices are not listed yet")
    found = _look_up(query, apex, table, identity, client, chased)
    if isinstance(found, Chase) or query.qclass == QClass.IN:
        return found
    return found._replace(flags=found.flags & ~AA)  # QCLASS * is never authoritative (RFC 1034 §6.2)


def _not_ready(reason: str) -> _Reply:
    return _Reply(Rcode.SERVFAIL, options=edns.compose_ede(Ede.NOT_READY, reason))


def _look_up(
    query: Query, apex: Apex, table: Table, identity: Identity, client: Client, chased: Chased | None
) -> _Reply | Chase:
    """Return what the zones say of the question: an answer, NODATA or NXDOMAIN (RFC 1034 §4.3.2, RFC 2308 §2)."""
    hit = table.hits.get(query.qname + query.qtype.to_bytes(2, "big") + CLASS_IN)
    if hit is not None:
        return _positive(hit.answer, query, table, identity, chased, hit)
    existing = table.names.get(query.qname)
    if existing is not None and existing.types and query.qtype == QType.ANY:
        # RFC 8482 §4.2: nothing is made up where there is a CNAME, which is all that there is, then.
        alias = table.hits.get(query.qname + _CNAME + CLASS_IN)
        return _positive(alias.answer, query, table, identity, chased) if alias else _minimal_any()
    if existing is not None and existing.alias is not None:
        return _positive(existing.alias, query, table, identity, chased)
    if existing is None:
        waiting = _waits_for(query.qname, table)
        if waiting:
            return _not_ready(f"{waiting} are not listed yet")
        synthesized = _insecure_pod(query, table)
        if synthesized is not None:
            return synthesized
    rcode = Rcode.NXDOMAIN if existing is None else Rcode.NOERROR
    soa = _pointer_to_apex(query.qname, apex) + apex.soa
    return _Reply(rcode, AA, authority=soa, authority_count=1, options=_stale(table, rcode))


def _pointer_to_apex(qname: bytes, apex: Apex) -> bytes:
    return (0xC000 + HEADER_OCTETS + len(qname) - len(apex.name)).to_bytes(2, "big")


def _stale(table: Table, rcode: int) -> bytes:
    """Return the extended error that says how old the answer may be (RFC 8914 §4.4, §4.20), or nothing."""
    if not table.state.is_stale:
        return b""
    code = Ede.STALE_NXDOMAIN_ANSWER if rcode == Rcode.NXDOMAIN else Ede.STALE_ANSWER
    return edns.compose_ede(code, "the Kubernetes API is silent")


def _positive(
    answer: Answer, query: Query, table: Table, identity: Identity, chased: Chased | None, hit: Hit | None = None
) -> _Reply | Chase:
    """Return *answer*, turned if it is that of a *hit* which rotates, and with what was *chased* behind it."""
    records = hit.turn() if hit and hit.span else answer.records
    count, rcode = answer.count, answer.outcome
    waiting = _waits_for(answer.target, table) if rcode == Rcode.NXDOMAIN else ""
    if waiting:
        return _not_ready(f"{waiting} are not listed yet")
    if answer.target and not answer.soa_apex:
        if chased is None and identity.has_resolver:
            return Chase(answer.target, query.qtype)
        if chased is not None:
            records, count, rcode = records + chased.records, count + chased.record_count, chased.rcode
    reply = _Reply(rcode, AA, records, count, extra=answer.extra, extra_count=answer.extra_count, stride=answer.stride)
    options, soa = _stale(table, rcode), b""
    if answer.soa_apex:
        soa = answer.soa_apex + table.apexes[answer.soa_apex].soa
    elif answer.target and chased is not None:
        options, soa = options + chased.options, chased.soa
    is_chain = answer.records[2:4] == _CNAME
    return reply._replace(
        authority=soa, authority_count=1 if soa else 0, options=options, hit=None if is_chain else hit
    )


def _waits_for(qname: bytes, table: Table) -> str:
    """Return which kind has to be listed before *qname* may be denied, or nothing."""
    state = table.state
    if not (state.pending or state.pending_children):
        return ""
    above = qname[1 + qname[0] :]
    if above in state.pending_children:
        return state.pending_children[above]
    while above and above != b"\x00":
        if above in state.pending:
            return state.pending[above]
        above = above[1 + above[0] :]
    return ""


def _insecure_pod(query: Query, table: Table) -> _Reply | None:
    """Return the answer that a pod's address name holds in itself (D26, pods insecure), or None."""
    state = table.state
    qname = query.qname
    namespace = qname[1 + qname[0] :]
    if not state.insecure_pods or namespace not in table.names:
        return None
    if namespace[1 + namespace[0] :] != state.insecure_pods:
        return None
    address = names.undashed(qname[1 : 1 + qname[0]])
    if address is None:
        return None
    is_wanted = query.qtype == (Type.A if address.version == 4 else Type.AAAA)
    if not is_wanted:
        apex = table.find_apex(qname)
        assert apex is not None  # `namespace` is in our zone
        soa = _pointer_to_apex(qname, apex) + apex.soa
        return _Reply(Rcode.NOERROR, AA, authority=soa, authority_count=1, options=_stale(table, Rcode.NOERROR))
    record = _record(query.qtype, state.insecure_ttl_s, address.packed)
    return _Reply(Rcode.NOERROR, AA, record, 1, options=_stale(table, Rcode.NOERROR))


def _minimal_any() -> _Reply:
    """Return HINFO instead of everything (RFC 8482 §4.2)."""
    return _Reply(Rcode.NOERROR, AA, _record(HINFO, HINFO_TTL_S, txt_rdata("RFC8482", "")), 1)


def _record(type: int, ttl_s: int, rdata: bytes, rr_class: int = QClass.IN) -> bytes:
    """Return a record of the question's name in octets (RFC 1035 §3.2.1)."""
    return b"\xc0\x0c" + struct.pack("!HHIH", type, rr_class, ttl_s, len(rdata)) + rdata


def _chaos(query: Query, identity: Identity) -> _Reply:
    """Answer the names that identify a server (RFC 4892), REFUSED where they are switched off or unknown."""
    field = _CHAOS_NAMES.get(names.fold(query.qname))
    text = getattr(identity, field) if field and identity.is_chaos_on else ""
    if not text:
        return _Reply(Rcode.REFUSED)
    if query.qtype not in (Type.TXT, QType.ANY):
        return _Reply(Rcode.NOERROR, AA)
    return _Reply(Rcode.NOERROR, AA, _record(Type.TXT, 0, txt_rdata(text), QClass.CH), 1)


def _finish(query: Query, reply: _Reply, table: Table, client: Client) -> bytes:
    """Compose the message and cut it to what the client takes: first the glue, then options, then the rest with TC.

    RFC 2181 §9: TC says that *required* records are missing, so the loss of glue or options does not set it. What is
    cut over TCP has nowhere to go (§3 of RFC 7766), so TC is not set there, and an extended error tells of it.
    """
    limit = edns.response_limit(query.opt, is_stream=client.is_stream)
    flags = QR | reply.flags | (query.flags & (OPCODE | RD)) | (reply.rcode & 15)
    opt = edns.compose_opt(query.opt, reply.rcode, reply.options) if query.opt else b""
    answer, count = reply.answer, reply.answer_count
    authority, authority_count = reply.authority, reply.authority_count
    extra, extra_count = reply.extra, reply.extra_count
    room = limit - HEADER_OCTETS - len(query.question) - len(authority) - len(opt)
    if len(answer) + len(extra) > room:
        extra, extra_count = b"", 0
    if len(answer) > room and query.opt and not client.is_stream:
        room += len(opt)
        opt = edns.compose_opt(query.opt, reply.rcode)
        room -= len(opt)
    if room < 0:  # SOA of a name server with a very long name
        room += len(authority)
        authority, authority_count = b"", 0
        flags |= TC
    if len(answer) > room:
        if client.is_stream and query.opt:
            note = edns.compose_ede(Ede.OTHER, f"{count} records do not fit a message of {limit} octets")
            opt, room = edns.compose_opt(query.opt, reply.rcode, reply.options + note), room - len(note)
        answer, count = _subset(reply, room, 0 if client.is_stream else table.next_turn())
        if client.is_stream:
            table.cut += 1
        else:
            flags |= TC
    counts = (1 if query.question else 0, count, authority_count, extra_count + (1 if opt else 0))
    return query.id + struct.pack("!5H", flags, *counts) + query.question + answer + authority + extra + opt


def _subset(reply: _Reply, room_octets: int, turn: int) -> tuple[bytes, int]:
    """Return as many whole records of the answer section as fit, and their number.

    A list that rotates has had its turn already. Any other begins where *turn* says, so that every record is sent some
    time, and goes on at its start. A CNAME chain is kept from its start on, since the rest hangs on that.
    """
    records = reply.answer
    if reply.stride:
        count = room_octets // reply.stride
        return records[: count * reply.stride], count
    if reply.hit is None:
        end = count = 0
        while (next_end := _record_end(records, end)) <= room_octets:  # there is more than fits, so this ends
            end, count = next_end, count + 1
        return records[:end], count
    edges = reply.hit.edges()
    total = len(edges) - 1
    first = turn % total
    last = bisect_right(edges, edges[first] + room_octets) - 1
    taken = records[edges[first] : edges[last]]
    again = bisect_right(edges, room_octets - len(taken)) - 1 if last == total else 0
    return taken + records[: edges[again]], last - first + again


def _record_end(records: bytes, at: int) -> int:
    """Return where the record at *at* ends; its owner name is a pointer, or whole."""
    while (length := records[at]) and length < 0xC0:
        at += 1 + length
    at += 2 if length else 1
    return at + 10 + int.from_bytes(records[at + 8 : at + 10], "big")
