"""The rows of the specification: a question, and all that the response to it says, written out.

Names without a final dot are below ``default.svc.cluster.local.``, as in a zone file with that origin; a record
without an owner name is QNAME's. A row is asked of `Pure`, the table in memory, and of `Running`, the server itself
over UDP and TCP.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import msgspec
import pytest

from headlessdns.cluster import manifests
from headlessdns.records.rules import Settings
from headlessdns.wire import edns
from headlessdns.wire.respond import Chase, Chased
from tests import support

if TYPE_CHECKING:
    from collections.abc import Iterable

ORIGIN = dns.name.from_text("default.svc.cluster.local.")
MANIFESTS = Path(__file__).parent / "manifests"
NAMESERVER = ("192.0.2.53", "2001:db8::53")


class Row(NamedTuple):
    """A question and its response.

    Attributes:
        id: The rule, and what the row shows of it.
        ask: QNAME and QTYPE.
        answer: The records of the answer section: owner, TTL, type, RDATA; the owner is QNAME where it is left out.
        rcode: RCODE.
        soa: The owner of the only record of the authority section, or nothing.
        additional: The additional section without OPT.
        ordered: Whether the answer section has this very order.
        authoritative: Whether AA is set.
        ede: Extended error where the query has EDNS, or None.
    """

    id: str
    ask: str
    answer: tuple[str, ...] = ()
    rcode: str = "NOERROR"
    soa: str = ""
    additional: tuple[str, ...] = ()
    ordered: bool = False
    authoritative: bool = True
    ede: int | None = None


def found(id: str, ask: str, *answer: str, additional: Iterable[str] = (), ordered: bool = False) -> Row:
    return Row(id, ask, answer, additional=tuple(additional), ordered=ordered)


def nodata(id: str, ask: str, soa: str = "cluster.local.") -> Row:
    """A name that exists without the type (RFC 2308 §2.2)."""
    return Row(id, ask, soa=soa)


def nxdomain(id: str, ask: str, soa: str = "cluster.local.") -> Row:
    """A name that does not exist (RFC 2308 §2.1)."""
    return Row(id, ask, rcode="NXDOMAIN", soa=soa)


def refused(id: str, ask: str) -> Row:
    """A name that is not ours; EDE 20 is Not Authoritative (RFC 8914 §4.21)."""
    return Row(id, ask, rcode="REFUSED", authoritative=False, ede=20)


def parametrize(*rows: Row) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in rows])


class Zone(NamedTuple):
    """What a server is started with, said twice: as flags, and as the settings that they mean.

    Attributes:
        flags: Flags of ``headlessdns serve``.
        settings: The same for `Pure`.
        resolves: Whether names outside our zones can be asked for.
        soa: MNAME, RNAME and MINIMUM as they stand in every SOA.
    """

    flags: tuple[str, ...]
    settings: Settings
    resolves: bool = False
    soa: tuple[str, str, int] = ("ns.dns.cluster.local.", "hostmaster.cluster.local.", 5)


NS_FLAGS = tuple(word for address in NAMESERVER for word in ("--ns-address", address))
DEFAULT = Zone(NS_FLAGS, Settings(ns_addresses=NAMESERVER))


class Pure:
    """The table in memory; over UDP the hot path and the long way are both asked and compared."""

    def __init__(self, zone: Zone) -> None:
        self._cluster = support.Cluster(settings=zone.settings, listed=())
        self._cluster.take(*manifests.read([MANIFESTS]).events())
        self._identity = msgspec.structs.replace(support.IDENTITY, has_resolver=zone.resolves)

    def exchange(self, message: bytes, *, is_stream: bool) -> bytes | None:
        return support.exchange(
            self._cluster.table, message, is_stream=is_stream, identity=self._identity, chased=_resolved
        )


def _resolved(chase: Chase) -> Chased:
    """Return what `Resolver` says of *chase*, as the server reads it."""
    name = dns.name.from_wire(chase.target, 0)[0]
    rcode, rrset = _known(name, chase.qtype)
    if rcode is None:
        return Chased(rcode=dns.rcode.SERVFAIL, options=edns.compose_ede(edns.Ede.NO_REACHABLE_AUTHORITY))
    records = b"" if rrset is None else b"".join(_record(rrset, rdata) for rdata in rrset)
    return Chased(records, len(rrset or ()), rcode)


def _record(rrset: dns.rrset.RRset, rdata: dns.rdata.Rdata) -> bytes:
    octets = rdata.to_wire()
    return rrset.name.to_wire() + struct.pack("!HHIH", rrset.rdtype, 1, rrset.ttl, len(octets)) + octets


_OUTSIDE = {
    ("www.example.com.", "A"): ("www.example.com.", 300, "IN", "A", "198.51.100.7"),
    ("www.example.com.", "AAAA"): ("www.example.com.", 300, "IN", "AAAA", "2001:db8:cafe::7"),
}


def _known(name: dns.name.Name, qtype: int) -> tuple[int | None, dns.rrset.RRset | None]:
    """Return RCODE and RRset of a name outside our zones; no RCODE means silence."""
    if name.to_text() == "mute.example.com.":
        return None, None
    rdata = _OUTSIDE.get((name.to_text(), dns.rdatatype.to_text(qtype)))
    if rdata:
        return dns.rcode.NOERROR, dns.rrset.from_text(*rdata)
    return (dns.rcode.NOERROR if name.to_text() == "www.example.com." else dns.rcode.NXDOMAIN), None


class Resolver:
    """A resolver that knows ``www.example.com`` alone, and is silent about ``mute.example.com``."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._socket.getsockname())

    def __enter__(self) -> Resolver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            message, client = self._socket.recvfrom(4096)
            if not message:
                return
            query = dns.message.from_wire(message)
            rcode, rrset = _known(query.question[0].name, query.question[0].rdtype)
            if rcode is None:
                continue
            response = dns.message.make_response(query, recursion_available=True)
            response.set_rcode(dns.rcode.Rcode(rcode))
            if rrset is not None:
                response.answer.append(rrset)
            self._socket.sendto(response.to_wire(), client)


class Running:
    """The server, in processes of its own."""

    def __init__(self, zone: Zone) -> None:
        self._stack = ExitStack()
        flags = list(zone.flags)
        try:
            if zone.resolves:
                flags += ["--resolver", self._stack.enter_context(Resolver()).address]
            self._server = self._stack.enter_context(support.Server(MANIFESTS, *flags))
        except BaseException:
            self._stack.close()
            raise

    def exchange(self, message: bytes, *, is_stream: bool) -> bytes | None:
        return self._server.tcp(message) if is_stream else self._server.udp(message)

    def close(self) -> None:
        self._stack.close()


class Asker(NamedTuple):
    """How a row is asked."""

    of: Pure | Running
    zone: Zone
    is_stream: bool
    edns: bool

    def message(self, octets: bytes) -> dns.message.Message | None:
        """Return the response to *octets*, or None for silence."""
        response = self.of.exchange(octets, is_stream=self.is_stream)
        return None if response is None else dns.message.from_wire(response)

    def check(self, row: Row) -> None:
        """Ask what *row* asks, and see that the response is the one that it says."""
        qname, qtype = row.ask.split()
        query = dns.message.make_query(dns.name.from_text(qname, ORIGIN), qtype, use_edns=0 if self.edns else None)
        response = self.message(query.to_wire())
        assert response is not None, "silence"
        assert query.is_response(response)
        assert [str(one.name) for one in response.question] == [str(one.name) for one in query.question]
        assert dns.rcode.to_text(response.rcode()) == row.rcode
        assert support.flags_of(response) == {"qr", "rd"} | ({"aa"} if row.authoritative else set())
        answer = _texts(response.answer)
        expected = [_expanded(text, qname) for text in row.answer]
        assert (answer if row.ordered else sorted(answer)) == (expected if row.ordered else sorted(expected))
        assert _texts(response.authority) == ([self._soa(row.soa, response)] if row.soa else [])
        assert sorted(_texts(response.additional)) == sorted(_expanded(text, qname) for text in row.additional)
        self._check_edns(row, response)

    def _soa(self, owner: str, response: dns.message.Message) -> str:
        """Return the SOA that *response* should have; its serial is that of the clock, and is taken as it comes."""
        mname, rname, minimum_s = self.zone.soa
        serial = next((rdata.serial for rrset in response.authority for rdata in rrset if hasattr(rdata, "serial")), 0)
        return f"{owner} {minimum_s} SOA {mname} {rname} {serial} 7200 1800 86400 {minimum_s}"

    def _check_edns(self, row: Row, response: dns.message.Message) -> None:
        assert response.edns == (0 if self.edns else -1)
        if self.edns:
            assert response.payload == 1232
            errors = [option.code for option in response.options if isinstance(option, dns.edns.EDEOption)]
            assert errors == ([] if row.ede is None else [row.ede])


def _texts(section: list[dns.rrset.RRset]) -> list[str]:
    return [f"{one.name} {one.ttl} {dns.rdatatype.to_text(one.rdtype)} {rdata}" for one in section for rdata in one]


def _expanded(text: str, qname: str) -> str:
    """Return *text* with every name in full, as dnspython writes it."""
    if text.split()[0].isdigit():
        text = f"{qname} {text}"
    owner, ttl_s, rrtype, rdata = text.split(maxsplit=3)
    parsed = dns.rdata.from_text(dns.rdataclass.IN, rrtype, rdata, origin=ORIGIN, relativize=False)
    return f"{dns.name.from_text(owner, ORIGIN)} {ttl_s} {rrtype} {parsed}"
