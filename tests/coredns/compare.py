"""What CoreDNS would say if it kept to our reading of the rules: its replies, changed by a reviewed list of reasons.

Every rule here stands for one way in which CoreDNS and headlessdns differ on purpose, and says who has which rule of
ARCHITECTURE.md (D1 to D26) or of the DNS on their side. A rule looks at what CoreDNS said and at the cluster's content,
never at what we said. Pure.

It goes in three steps, since an answer depends on others: the records of each answer; from what is left of them, which
names exist, and so NODATA or NXDOMAIN for questions without records; last, answers that are made of other answers.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.coredns.asking import Question, Record, Reply, folded
from tests.coredns.names import APEXES, ZONE, base_name, dashed, is_address, reverse_name, with_ancestors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.coredns.generator import Manifest

Records = frozenset[Record]
NOTHING: Records = frozenset()
SRV_NUMBERS = re.compile(r"\d+ \d+ (?=\d+ \S+$)")
NAME_SERVER = f"ns.dns.{ZONE}"
BASE_LABELS = len(base_name("service", "namespace").split("."))
IPV6_LABELS = 32 + 2  # nibbles, ip6, arpa (RFC 3596 §2.5)


class Content:
    """What the rules have to know of the cluster, by the name of a Service.

    Attributes:
        headless: Names of the headless Services.
        virtual: Names of the Services with cluster IPs.
        domains: Domain names that stand in a Service's slices in place of addresses.
        hostnames: Names of endpoints with a host name, each with the reverse name of its address.
        unready: Records of endpoints that are not ready of Services that publish such, by question.
        digits: The CNAME of an ExternalName that is an IPv4 address.
        zeros: AAAA records of pods whose address ends in ``::``.
    """

    def __init__(self, objects: Iterable[Manifest]) -> None:
        self.headless: set[str] = set()
        self.virtual: set[str] = set()
        self.domains: defaultdict[str, set[str]] = defaultdict(set)
        self.hostnames: set[tuple[str, str]] = set()
        self.unready: defaultdict[Question, set[Record]] = defaultdict(set)
        self.digits: set[Record] = set()
        self.zeros: set[Record] = set()
        objects = list(objects)
        self._publishing: set[str] = set()
        for kind, take in (
            ("Service", self._take_service),
            ("EndpointSlice", self._take_slice),
            ("Pod", self._take_pod),
        ):
            for manifest in objects:
                if manifest["kind"] == kind:
                    take(manifest)

    def _take_service(self, manifest: Manifest) -> None:
        base, spec = base_name(manifest["metadata"]["name"], manifest["metadata"]["namespace"]), manifest["spec"]
        if spec.get("type") == "ExternalName":
            if is_address(spec["externalName"]):
                self.digits.add(Record(base, "CNAME", f"{spec['externalName']}."))
        elif spec.get("clusterIP") == "None":
            self.headless.add(base)
            if spec.get("publishNotReadyAddresses"):
                self._publishing.add(base)
        else:
            self.virtual.add(base)

    def _take_slice(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        base = base_name(metadata["labels"]["kubernetes.io/service-name"], metadata["namespace"])
        for endpoint in manifest["endpoints"] or []:
            if manifest["addressType"] == "FQDN":
                self.domains[base].update(endpoint["addresses"])
                continue
            for address in endpoint["addresses"]:
                label = endpoint.get("hostname") or dashed(address)
                if endpoint.get("hostname"):
                    self.hostnames.add((f"{label}.{base}", reverse_name(address)))
                if base in self._publishing and endpoint["conditions"].get("ready") is False:
                    self._take_unready(base, f"{label}.{base}", address, manifest["ports"] or [])

    def _take_unready(self, base: str, owner: str, address: str, ports: list[Manifest]) -> None:
        address_type = "AAAA" if ":" in address else "A"
        found = [Record(base, address_type, address), Record(owner, address_type, address)]
        if (owner, reverse_name(address)) in self.hostnames:
            found.append(Record(reverse_name(address), "PTR", f"{owner}."))
        for port in ports:
            if port.get("port"):
                srv = f"0 100 {port['port']} {owner}."
                found.append(Record(base, "SRV", srv))
                if port.get("name"):
                    found.append(Record(f"_{port['name']}._{port['protocol'].lower()}.{base}", "SRV", srv))
        for record in found:
            self.unready[Question(record.owner, record.type)].add(record)

    def _take_pod(self, manifest: Manifest) -> None:
        for item in manifest.get("status", {}).get("podIPs", []):
            if item["ip"].endswith("::"):
                owner = f"{dashed(item['ip'])}.{manifest['metadata']['namespace']}.pod.{ZONE}"
                self.zeros.add(Record(owner, "AAAA", item["ip"]))


# ---- the rules: the records of an answer


class RecordRule(NamedTuple):
    """A reason for which the records of an answer differ.

    Attributes:
        name: What it is called in the list that is printed.
        reason: Who does what, and by which rule.
        edit: Gives the records that are right from question, CoreDNS' records and content; the same ones where the
            rule does not apply.
    """

    name: str
    reason: str
    edit: Callable[[Question, Records, Content], Records]


def _base(name: str) -> str:
    """Return the name of the Service that *name* is at or below, if it is in ``svc``."""
    return ".".join(name.split(".")[-BASE_LABELS:])


def _is_port(name: str) -> bool:
    first, _, rest = name.partition(".")
    return first.startswith("_") and rest.startswith("_")


def _drop_domains(question: Question, records: Records, content: Content) -> Records:
    domains = content.domains.get(_base(question.name), set())
    return frozenset(one for one in records if one.type != "CNAME" or folded(one.rdata) not in domains)


def _drop_below_pods(question: Question, records: Records, _content: Content) -> Records:
    found = re.fullmatch(rf".+\.[^.]+\.[^.]+\.pod\.{re.escape(ZONE)}", question.name)
    return NOTHING if found else records


def _drop_bare_ports(question: Question, records: Records, content: Content) -> Records:
    labels = question.name.split(".")
    is_pair = len(labels) == BASE_LABELS + 2 and _base(question.name) in content.headless | content.virtual
    return NOTHING if is_pair and not _is_port(question.name) else records


def _drop_addresses_of_ports(question: Question, records: Records, _content: Content) -> Records:
    return NOTHING if _is_port(question.name) and question.qtype in ("A", "AAAA") else records


def _drop_srv_of_addresses(question: Question, records: Records, content: Content) -> Records:
    is_service = question.name in content.headless | content.virtual or _is_port(question.name)
    return records if is_service or question.qtype != "SRV" else NOTHING


def _drop_ptr(is_wrong: Callable[[Question, str, Content], bool]) -> Callable[[Question, Records, Content], Records]:
    """Return a rule that drops the PTR records whose target, a name without its final dot, *is_wrong*."""

    def edit(question: Question, records: Records, content: Content) -> Records:
        return frozenset(
            one for one in records if one.type != "PTR" or not is_wrong(question, folded(one.rdata), content)
        )

    return edit


def _leads_nowhere(_question: Question, target: str, content: Content) -> bool:
    return _base(target) not in content.headless | content.virtual


def _is_behind_virtual(_question: Question, target: str, content: Content) -> bool:
    return _base(target) in content.virtual and _base(target) != target


def _has_no_hostname(question: Question, target: str, content: Content) -> bool:
    return _base(target) in content.headless and (target, question.name) not in content.hostnames


def _has_labels_too_many(question: Question, _target: str, _content: Content) -> bool:
    return question.name.endswith(".ip6.arpa") and len(question.name.split(".")) > IPV6_LABELS


def _add_unready(question: Question, records: Records, content: Content) -> Records:
    return records | content.unready.get(question, set())


def _add_zeros(question: Question, records: Records, content: Content) -> Records:
    return records | {one for one in content.zeros if question == (one.owner, one.type)}


def _add_digits(question: Question, records: Records, content: Content) -> Records:
    return records | {one for one in content.digits if question == (one.owner, one.type)}


def _even_srv(_question: Question, records: Records, _content: Content) -> Records:
    return frozenset(
        one._replace(rdata=SRV_NUMBERS.sub("0 100 ", one.rdata)) if one.type == "SRV" else one for one in records
    )


def _add_name_server(question: Question, records: Records, _content: Content) -> Records:
    if question.name in APEXES and question.qtype == "NS":
        return frozenset({Record(question.name, "NS", f"{NAME_SERVER}.")})
    if question == (NAME_SERVER, "A"):
        return frozenset({Record(NAME_SERVER, "A", "127.0.0.1")})
    return records


def _one_soa(question: Question, records: Records, _content: Content) -> Records:
    if question.qtype != "SOA" or question.name not in APEXES:
        return records
    return frozenset({Record(question.name, "SOA", f"{NAME_SERVER}. hostmaster.{ZONE}. * 7200 1800 86400 5")})


RECORD_RULES = (
    RecordRule(
        "domain names in slices",
        "CoreDNS makes a CNAME of each, beside the addresses of other slices, which RFC 1034 §3.6.2 forbids; the"
        " specification knows endpoints with addresses only (D10).",
        _drop_domains,
    ),
    RecordRule(
        "labels in front of a pod's address",
        "CoreDNS passes over whatever stands left of ADDRESS.NAMESPACE.pod; such a name has no pod (D26, D19).",
        _drop_below_pods,
    ),
    RecordRule(
        "ports without underscores",
        "CoreDNS answers http.tcp.SERVICE as if it were _http._tcp.SERVICE; RFC 2782 wants both underscores, and"
        " nothing else is there (D19).",
        _drop_bare_ports,
    ),
    RecordRule(
        "addresses at _port._protocol",
        "CoreDNS has A and AAAA beside the SRV records; the specification has SRV only (D7, D13), so we say NODATA.",
        _drop_addresses_of_ports,
    ),
    RecordRule(
        "SRV at endpoints and pods",
        "CoreDNS has SRV records at every name with an address; the specification does not ask for them (D5, D12).",
        _drop_srv_of_addresses,
    ),
    RecordRule(
        "labels in front of a reverse name",
        "CoreDNS passes over up to three labels more than the 32 of an IPv6 address (RFC 3596 §2.5, D19).",
        _drop_ptr(_has_labels_too_many),
    ),
    RecordRule(
        "PTR to names that do not exist",
        "CoreDNS leads back to endpoints whose Service is gone or an ExternalName, and denies those names itself.",
        _drop_ptr(_leads_nowhere),
    ),
    RecordRule(
        "PTR of endpoints behind a cluster IP",
        "The specification has PTR for endpoints of headless Services only (D15); CoreDNS has them for all, so that a"
        " StatefulSet's pod behind a second Service has two names.",
        _drop_ptr(_is_behind_virtual),
    ),
    RecordRule(
        "PTR of endpoints without a host name",
        "D15 asks for PTR where there is a host name; CoreDNS also leads back to names made of the address.",
        _drop_ptr(_has_no_hostname),
    ),
    RecordRule(
        "addresses published before they are ready",
        "publishNotReadyAddresses holds whoever wrote the slice (D4); CoreDNS trusts that the controller wrote ready.",
        _add_unready,
    ),
    RecordRule(
        "pods with an address that ends in ::",
        "A 0 follows the final dash (D25); CoreDNS does so for endpoints, but for pods wants a label that ends in a"
        " dash, which is no host name's.",
        _add_zeros,
    ),
    RecordRule(
        "ExternalName made of digits",
        "The API takes 192.0.2.7 for a name, and so do we (D16); CoreDNS takes it for an address and denies the"
        " Service.",
        _add_digits,
    ),
    RecordRule(
        "SRV priority and weight",
        "The specification leaves them open (D13): ours are 0 and 100, CoreDNS shares 100 out among the records.",
        _even_srv,
    ),
    RecordRule(
        "name server",
        "Each tells of itself: here CoreDNS is on loopback, which it does not count as an address, and has no NS.",
        _add_name_server,
    ),
    RecordRule(
        "SOA at the apex",
        "Serials are each server's own; CoreDNS names a server in each reverse zone, ours is the one of the forward"
        " zone.",
        _one_soa,
    ),
)


# ---- the rules: NODATA or NXDOMAIN


@dataclass
class Known:
    """What the first step found out, and what CoreDNS said itself.

    Attributes:
        theirs: CoreDNS' replies as they came.
        data: Names that have records, by what the first step left.
        above: Names that others with records are below.
        dropped: By name the rules that took away records of it.
        added: By name the rules that added some.
    """

    theirs: Mapping[Question, Reply]
    data: set[str] = field(default_factory=set)
    above: set[str] = field(default_factory=set)
    dropped: dict[str, set[str]] = field(default_factory=dict)
    added: dict[str, set[str]] = field(default_factory=dict)

    def exists(self, name: str) -> bool:
        """Whether *name* exists: it or a name below it has records, or CoreDNS says so without having had any."""
        if name in self.data or name in self.above:
            return True
        return self.theirs[Question(name, "A")].rcode == "NOERROR" and name not in self.dropped


class DenialRule(NamedTuple):
    """A reason for which a question without records gets NODATA from one and NXDOMAIN from the other.

    Attributes:
        name: What it is called in the list that is printed.
        reason: Who does what, and by which rule.
        denies: Whether NXDOMAIN is right; else NODATA is.
        applies: Tells from the question whether this is the reason why CoreDNS says the other.
    """

    name: str
    reason: str
    denies: bool
    applies: Callable[[Question, Known], bool]


DENIAL_RULES = (
    DenialRule(
        "empty non-terminals",
        "A name exists when one below it does (RFC 8020, D18); CoreDNS denies _tcp.SERVICE and the inner names of the"
        " reverse trees, and so tells resolvers that nothing is below.",
        False,
        lambda question, known: question.name in known.above and question.name not in known.data,
    ),
    DenialRule(
        "other types at names with records",
        "NODATA where a name has records of another type (D17); CoreDNS denies reverse names and dns-version to all"
        " types but their own.",
        False,
        lambda question, known: question.name in known.data and question.name not in known.added,
    ),
    DenialRule(
        "TXT at names without addresses",
        "CoreDNS denies to TXT what it calls NODATA for A: namespaces, svc, pod (D17, D18).",
        False,
        lambda question, known: question.qtype == "TXT" and known.exists(question.name),
    ),
    DenialRule(
        "SOA at names that do not exist",
        "CoreDNS says NODATA to SOA whatever the name is; NXDOMAIN holds for all types of a name (RFC 2308 §5, D19).",
        True,
        lambda question, known: question.qtype == "SOA" and not known.dropped.get(question.name),
    ),
)


# ---- the rules: answers made of others


class ComposedRule(NamedTuple):
    """A reason for which an answer that is made of other answers differs."""

    name: str
    reason: str


ALIAS = ComposedRule(
    "CNAME at every type",
    "A name with a CNAME answers every type with it and with what is at its end (RFC 1034 §4.3.2), and the RCODE is"
    " that of the end (RFC 6604 §3); CoreDNS has the CNAME only beside addresses that it found.",
)
ANY = ComposedRule("ANY", "We answer HINFO, or the CNAME where there is one (RFC 8482 §4.2); CoreDNS says NODATA.")
COMPOSED_RULES = (ALIAS, ANY)

Rule = RecordRule | DenialRule | ComposedRule
RULES: tuple[Rule, ...] = (*RECORD_RULES, *DENIAL_RULES, *COMPOSED_RULES)
HINFO = '"RFC8482" ""'


def expected(theirs: Mapping[Question, Reply], content: Content) -> tuple[dict[Question, Reply], Counter[str]]:
    """Return the replies that we should give, and how often each rule was needed for them.

    Args:
        theirs: CoreDNS' replies; every name was asked for with the same types.
        content: What both servers see.
    """
    used: Counter[str] = Counter()
    known = Known(theirs)
    edited = {question: _edited(question, reply, content, known, used) for question, reply in theirs.items()}
    known.data = {question.name for question, records in edited.items() if records}
    known.above = with_ancestors(name.partition(".")[2] for name in known.data if name not in APEXES)
    replies = {
        question: Reply(_rcode(question, records, known, used), records, theirs[question].is_authoritative)
        for question, records in edited.items()
    }
    return _composed(replies, known, used), used


def _edited(question: Question, reply: Reply, content: Content, known: Known, used: Counter[str]) -> Records:
    records = reply.records
    for rule in RECORD_RULES:
        edited = rule.edit(question, records, content)
        if edited != records:
            used[rule.name] += 1
            if len(edited) < len(records):
                known.dropped.setdefault(question.name, set()).add(rule.name)
            elif len(edited) > len(records):
                known.added.setdefault(question.name, set()).add(rule.name)
        records = edited
    return records


def _rcode(question: Question, records: Records, known: Known, used: Counter[str]) -> str:
    """Return the RCODE that goes with *records*; CoreDNS' own where no rule says why it should be another."""
    theirs = known.theirs[question].rcode
    if records or theirs not in ("NOERROR", "NXDOMAIN"):
        return "NOERROR" if records else theirs
    right = "NOERROR" if known.exists(question.name) else "NXDOMAIN"
    if theirs == right:
        return theirs
    for rule in DENIAL_RULES:
        if rule.denies == (right == "NXDOMAIN") and rule.applies(question, known):
            used[rule.name] += 1
            return right
    # The name was there for CoreDNS because of records that a rule took away, or the reverse.
    causes = (known.dropped if right == "NXDOMAIN" else known.added).get(question.name, set())
    used.update(causes)
    return right if causes else theirs


def _composed(replies: dict[Question, Reply], known: Known, used: Counter[str]) -> dict[Question, Reply]:
    aliases = {
        question.name: reply for question, reply in replies.items() if question.qtype == "CNAME" and reply.records
    }
    composed = {}
    for question, reply in replies.items():
        right, rule = reply, ALIAS
        if question.qtype == "ANY" and question.name in aliases:
            right, rule = reply._replace(records=aliases[question.name].records), ANY
        elif question.qtype == "ANY" and question.name in known.data:
            right, rule = reply._replace(records=frozenset({Record(question.name, "HINFO", HINFO)})), ANY
        elif question.qtype not in ("ANY", "CNAME") and question.name in aliases:
            right = _chain(question, replies, aliases)
        if right != reply:
            used[rule.name] += 1
        composed[question] = right
    return composed


def _chain(question: Question, replies: Mapping[Question, Reply], aliases: Mapping[str, Reply]) -> Reply:
    """Return all CNAMEs from *question* on and what is at their end; a loop, or an end elsewhere, has nothing there."""
    records: Records = NOTHING
    name = question.name
    while name in aliases:
        if aliases[name].records <= records:
            return Reply("NOERROR", records)
        records |= aliases[name].records
        (cname,) = aliases[name].records
        name = folded(cname.rdata)
    if not any(name.endswith(f".{apex}") for apex in APEXES):
        return Reply("NOERROR", records)
    end = replies[Question(name, question.qtype)]
    return end._replace(records=records | end.records)


class Difference(NamedTuple):
    """A question to which we should have said something else."""

    question: Question
    expected: Reply
    ours: Reply
    theirs: Reply

    def __str__(self) -> str:
        lines = [f"{self.question.name} {self.question.qtype}"]
        for who, reply in (("expected", self.expected), ("ours", self.ours), ("CoreDNS", self.theirs)):
            records = ", ".join(sorted(f"{one.owner} {one.type} {one.rdata}" for one in reply.records)) or "no records"
            flag = "" if reply.is_authoritative else ", not authoritative"
            lines.append(f"    {who:<9} {reply.rcode}{flag}: {records}")
        return "\n".join(lines)


def differences(
    ours: Mapping[Question, Reply], theirs: Mapping[Question, Reply], content: Content
) -> tuple[list[Difference], Counter[str]]:
    """Return what no rule explains, and how often each rule was needed."""
    right, used = expected(theirs, content)
    found = [
        Difference(question, reply, ours[question], theirs[question])
        for question, reply in right.items()
        if without_serial(ours[question]) != reply
    ]
    return found, used


def without_serial(reply: Reply) -> Reply:
    """Return *reply* with a star for the serial of its SOA record."""
    if not any(one.type == "SOA" for one in reply.records):
        return reply
    records = (
        one._replace(rdata=re.sub(r"^(\S+ \S+) \d+", r"\1 *", one.rdata)) if one.type == "SOA" else one
        for one in reply.records
    )
    return reply._replace(records=frozenset(records))


def table(used: Counter[str]) -> str:
    """Return the list of the rules with how often each was needed, and its reason."""
    lines: list[str] = []
    for rule in RULES:
        lines.append(f"{used[rule.name]:7}  {rule.name}")
        lines += textwrap.wrap(rule.reason, 110, initial_indent=" " * 11, subsequent_indent=" " * 11)
    return "\n".join(lines)
