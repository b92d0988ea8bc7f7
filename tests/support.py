"""What many tests share: objects from short forms, a cluster in memory, and a running server.

`Cluster` is the way from events to a table without a server; `Server` is the program itself. Both answer octets, so
that one row of a table can be asked of either.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, cast

import dns.flags
import dns.message
import msgspec

from headlessdns import names
from headlessdns.cluster import documents
from headlessdns.cluster.objects import (
    RESOURCES,
    Delete,
    Endpoints,
    EndpointSlice,
    Event,
    Forbid,
    Key,
    Kind,
    Namespace,
    Object,
    Pod,
    Put,
    Replace,
    Service,
)
from headlessdns.cluster.snapshot import Snapshot, Touched
from headlessdns.records.derive import Deriver
from headlessdns.records.rules import PodNames, Settings
from headlessdns.records.zone import Commit, Zones
from headlessdns.server.udp import learn_opt
from headlessdns.wire.answers import Delta, State, Table
from headlessdns.wire.compose import Composer
from headlessdns.wire.respond import Chase, Chased, Client, Identity, respond
from tests.serving import Serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

NOW_S = 1_800_000_000
IDENTITY = Identity(server_id="dns-0", version="headlessdns test", cookie_secret=bytes(range(32)))
CLIENT = Client(bytes((192, 0, 2, 1)))
_KINDS: dict[type, Kind] = {resource.struct: kind for kind, resource in RESOURCES.items()}


# Objects


def objects(text: str) -> list[Object]:
    """Return the objects of a multi-document YAML *text*."""
    decoded = documents.decode(text.encode(), "test.yaml")
    assert not decoded.faults, "\n".join(map(str, decoded.faults))
    return [found.object for found in decoded.found]


def metadata(name: str, namespace: str, **more: object) -> dict[str, object]:
    return {"name": name, "namespace": namespace, **more}


def service(
    name: str = "nginx", namespace: str = "default", *, ttl: str | None = None, cluster_ip: str = "None", **spec: object
) -> Service:
    """Return a Service, headless where nothing else is said."""
    annotations = {} if ttl is None else {"annotations": {"headlessdns.io/ttl": ttl}}
    value = {"metadata": metadata(name, namespace, **annotations), "spec": {"clusterIP": cluster_ip, **spec}}
    return msgspec.convert(value, Service)


def external(name: str, target: str, namespace: str = "default", **more: Any) -> Service:
    """Return a Service of type ExternalName."""
    return service(name, namespace, cluster_ip="", type="ExternalName", externalName=target, **more)


def endpoint(address: str, hostname: str | None = None, *, ready: bool | None = True, pod: str = "") -> dict[str, Any]:
    """Return an endpoint of a slice."""
    target = {"targetRef": {"kind": "Pod", "name": pod}} if pod else {}
    return {"addresses": [address], "hostname": hostname, "conditions": {"ready": ready}, **target}


def port(number: int | None, name: str = "", protocol: str = "TCP") -> dict[str, object]:
    return {"port": number, "name": name, "protocol": protocol}


WEB = port(80, "web")


def endpoint_slice(
    of: str = "nginx",
    endpoints: Iterable[dict[str, Any]] = (),
    *,
    name: str = "",
    namespace: str = "default",
    ports: Sequence[dict[str, object]] | None = (WEB,),
) -> EndpointSlice:
    """Return a slice of the Service *of*; its address type follows its first endpoint."""
    found = list(endpoints)
    value = {
        "metadata": metadata(name or f"{of}-1", namespace, labels={"kubernetes.io/service-name": of}),
        "addressType": "IPv6" if found and ":" in found[0]["addresses"][0] else "IPv4",
        "endpoints": found,
        "ports": ports,
    }
    return msgspec.convert(value, EndpointSlice)


def endpoints(of: str, *subsets: dict[str, object], namespace: str = "default") -> Endpoints:
    return msgspec.convert({"metadata": metadata(of, namespace), "subsets": subsets}, Endpoints)


def pod(name: str, *addresses: str, namespace: str = "default", phase: str = "Running") -> Pod:
    status = {"phase": phase, "podIP": addresses[0] if addresses else "", "podIPs": [{"ip": ip} for ip in addresses]}
    return msgspec.convert({"metadata": metadata(name, namespace), "status": status}, Pod)


def namespace(name: str = "default") -> Namespace:
    return msgspec.convert({"metadata": {"name": name}}, Namespace)


def kind_of(object: Object) -> Kind:
    return _KINDS[type(object)]


# A cluster in memory


class Cluster:
    """From events to a table, step by step, as the server does it."""

    def __init__(self, *objects: Object, settings: Settings | None = None, listed: Iterable[Kind] = Kind) -> None:
        """List *objects* of the kinds *listed*; nothing is listed of the others."""
        self.snapshot = Snapshot()
        self.zones = Zones(settings or Settings())
        self.deriver = Deriver(self.snapshot, self.zones)
        self.composer = Composer(self.zones)
        self.table = Table()
        self.is_stale = False
        self.now_s = NOW_S
        self.take(
            *(Replace(kind, [one for one in objects if kind_of(one) is kind]) for kind in Kind if kind in set(listed))
        )

    def take(self, *events: Event) -> Commit:
        """Make one step of *events*."""
        touched = Touched()
        for event in events:
            touched.update(self.snapshot.apply(event))
        self.deriver.update(touched)
        commit = self.zones.commit(self.now_s)
        self.table.apply(copied(self.composer.delta(self.state(), commit.names)))
        return commit

    def put(self, *objects: Object) -> Commit:
        return self.take(*(Put(kind_of(one), one) for one in objects))

    def delete(self, *objects: Object) -> Commit:
        return self.take(*(Delete(kind_of(one), one.metadata.key) for one in objects))

    def forbid(self, *kinds: Kind) -> Commit:
        return self.take(*(Forbid(kind, "forbidden") for kind in kinds))

    def state(self) -> State:
        settings = self.deriver.settings
        below, children = self.deriver.pending()
        insecure = settings.pod if settings.pods is PodNames.INSECURE else b""
        return State(
            self.composer.apexes(),
            self.deriver.is_ready(),
            self.is_stale,
            below,
            children,
            insecure,
            settings.endpoint_ttl_s,
        )

    def set_stale(self, is_stale: bool) -> None:
        self.is_stale = is_stale
        self.take()

    def whole_table(self) -> Table:
        """Return a table that was made at once of what the zones hold."""
        table = Table()
        table.apply(copied(self.composer.delta(self.state(), list(self.zones.all_names()))))
        return table

    def ask(self, qname: str, qtype: str, **options: Any) -> dns.message.Message:
        """Ask as `ask` does."""
        return ask(self.table, qname, qtype, **options)

    def records(self) -> set[str]:
        """Return every record but SOA and NS as text, as ``owner ttl type rdata`` with RDATA in hexadecimal."""
        return {
            f"{names.to_text(name)} {rrset.ttl_s} {rrset.type.name} {rdata.hex()}"
            for name in self.zones.all_names()
            for rrset in self.zones.rrsets(name).values()
            if rrset.type.name not in ("SOA", "NS")
            for rdata in rrset.rdatas
        }


def copied(delta: Delta) -> Delta:
    """Return *delta* as it comes out of a worker's feed."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=Delta)


def key(text: str) -> Key:
    """Return the key that ``namespace/name`` writes."""
    return Key(*text.split("/"))


# Messages


def exchange(
    table: Table,
    message: bytes,
    *,
    is_stream: bool = False,
    identity: Identity = IDENTITY,
    client: Client = CLIENT,
    now_s: int = NOW_S,
    chased: Chased | Callable[[Chase], Chased] | None = None,
) -> bytes | None:
    """Return the response to *message* as a worker finds it, having seen that the hot path and the long way agree.

    Args:
        table: What is answered.
        message: Any octets.
        is_stream: Over TCP.
        identity: What the server tells of itself.
        client: Who asks.
        now_s: Unix time.
        chased: What a resolver says of names outside our zones.
    """
    client = client._replace(is_stream=is_stream)
    slow = respond(message, table, identity, client, now_s)
    if isinstance(slow, Chase):
        found = chased(slow) if callable(chased) else chased or Chased()
        slow = respond(message, table, identity, client, now_s, found)
    assert not isinstance(slow, Chase)
    if is_stream:
        return slow
    if slow is not None and message[10:12] == b"\x00\x01":
        learn_opt(table, message, slow)
    fast = table.answer(message)
    if fast is not None:
        assert slow is not None
        assert unturned(fast) == unturned(slow)
    return slow if fast is None else fast


def unturned(message: bytes) -> tuple[bytes, bytes, list[bytes], bytes]:
    """Return header, question, the records of the answer section in a fixed order, and the rest of *message*."""
    end = end_of_name(message, 12) + 4
    at = end
    records = []
    for _ in range(int.from_bytes(message[6:8], "big")):
        after = end_of_record(message, at)
        records.append(message[at:after])
        at = after
    return message[:12], message[12:end], sorted(records), message[at:]


def end_of_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1


def end_of_record(message: bytes, at: int) -> int:
    fixed = end_of_name(message, at)
    return fixed + 10 + int.from_bytes(message[fixed + 8 : fixed + 10], "big")


def ask(table: Table, qname: str, qtype: str, *, is_stream: bool = False, **options: Any) -> dns.message.Message:
    """Return the response to a question, read by dnspython.

    Args:
        table: What is answered.
        qname: QNAME.
        qtype: QTYPE.
        is_stream: Over TCP.
        options: For ``dns.message.make_query``, such as ``use_edns=0``, ``payload=4096``, ``options=[...]``.
    """
    chased = options.pop("chased", None)
    identity = options.pop("identity", IDENTITY)
    query = dns.message.make_query(qname, qtype, **options)
    wire = exchange(table, query.to_wire(), is_stream=is_stream, chased=chased, identity=identity)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert query.is_response(response)
    return response


def header(
    id: int = 0x4D53, flags: int = 0, questions: int = 0, answers: int = 0, authorities: int = 0, additionals: int = 0
) -> bytes:
    """Return a header of 12 octets (RFC 1035 §4.1.1)."""
    return b"".join(number.to_bytes(2, "big") for number in (id, flags, questions, answers, authorities, additionals))


def question(qname: str | bytes, qtype: int = 1, qclass: int = 1) -> bytes:
    name = names.from_text(qname) if isinstance(qname, str) else qname
    return name + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")


def opt(size: int = 1232, *, version: int = 0, flags: int = 0, options: bytes = b"", rcode: int = 0) -> bytes:
    """Return an OPT record (RFC 6891 §6.1.2)."""
    fixed = b"\x00\x00\x29" + size.to_bytes(2, "big") + bytes((rcode, version)) + flags.to_bytes(2, "big")
    return fixed + len(options).to_bytes(2, "big") + options


def option(code: int, data: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


# A running server


class Server(Serve):
    """``headlessdns serve`` on a free port of 127.0.0.1, asked in octets."""

    def __init__(self, manifests: Path, *flags: str) -> None:
        super().__init__("--manifests", manifests, *flags)
        self._datagram: socket.socket | None = None
        self._stream: socket.socket | None = None

    def __enter__(self) -> Server:
        super().__enter__()
        self.address = ("127.0.0.1", self.port)
        try:
            self.process.wait_ready(self._is_up, 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *raised: Any) -> None:
        for one in (self._datagram, self._stream):
            if one:
                one.close()
        super().__exit__(*raised)

    def _is_up(self) -> bool:
        """Tell whether a question is answered over both protocols."""
        probe = header(questions=1) + question(".", 2)
        return self.udp(probe, 0.2) is not None and self.tcp(probe, 5) is not None

    def udp(self, message: bytes, timeout_s: float = 5) -> bytes | None:
        """Return the response over UDP, or None for silence. Responses to earlier messages are passed over."""
        found = self.udp_all([message], message[:2], timeout_s)
        return found[-1] if found and found[-1][:2] == message[:2] else None

    def udp_all(self, messages: Iterable[bytes], last_id: bytes, timeout_s: float = 5) -> list[bytes]:
        """Send *messages* and return every response until one has the ID *last_id*, or nothing more comes."""
        if self._datagram is None:
            self._datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._datagram.connect(self.address)
        deadline_s = time.monotonic() + timeout_s
        found: list[bytes] = []
        try:
            for message in messages:
                self._datagram.send(message)
            while (left_s := deadline_s - time.monotonic()) > 0:
                self._datagram.settimeout(left_s)
                found.append(self._datagram.recv(65535))
                if found[-1][:2] == last_id:
                    break
        except (TimeoutError, ConnectionRefusedError):
            pass
        return found

    def is_silent_over_udp(self, message: bytes) -> bool:
        """Tell whether *message* gets no response; a question behind it shows that the server has seen it."""
        probe = header(id=0xBEEF, questions=1) + question(".", 2)
        found = self.udp_all([message, probe], probe[:2])
        assert found, "the server does not answer"
        return len(found) == 1

    def tcp(self, message: bytes, timeout_s: float = 5) -> bytes | None:
        """Return the response over a TCP connection that is kept, or None where the server closed it."""
        for _ in range(2):  # the one that was kept may have been idle for too long
            try:
                if self._stream is None:
                    self._stream = socket.create_connection(self.address)
                self._stream.settimeout(timeout_s)
                self._stream.sendall(len(message).to_bytes(2, "big") + message)
                return _read(self._stream, int.from_bytes(_read(self._stream, 2), "big"))
            except (ConnectionError, EOFError):
                if self._stream is not None:
                    self._stream.close()
                self._stream = None
        return None


def _read(stream: socket.socket, size_octets: int) -> bytes:
    data = b""
    while len(data) < size_octets:
        more = stream.recv(size_octets - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def flags_of(message: dns.message.Message) -> set[str]:
    """Return the header flags that are set, as ``dig`` writes them."""
    return set(cast("str", dns.flags.to_text(message.flags)).lower().split())
