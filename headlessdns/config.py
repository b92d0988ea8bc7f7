"""The settings of the commands: one table, from which come the flags, the environment variables and the file.

A setting that is new needs a row in `SETTINGS` and a field in `ServeConfig`, or in `CONTROLLER_SETTINGS` and
`ControllerConfig`. Whichever way a value comes, it is text
(or a YAML scalar that is made text) and goes through the same form, so that all three refuse the same things with the
same words. Precedence: flag, environment variable, file, default. Every fault of all three is gathered. Pure.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import math
import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from headlessdns import names
from headlessdns.cluster import selectors
from headlessdns.cluster.objects import Key
from headlessdns.errors import ConfigError, Fault
from headlessdns.names import CanonicalName, IPAddress, IPNetwork
from headlessdns.records.rrset import MAX_TTL_S
from headlessdns.records.rules import PodNames

API_VERSION = "headlessdns.io/v1alpha1"
KIND = "HeadlessDNSConfiguration"
PREFIX = "HEADLESSDNS_"
FILE_VARIABLE = PREFIX + "CONFIG"
IN_CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"  # the kubelet sets it in every pod
DNS_PORT = 53
MAX_WORKERS = 64
MAX_LAMEDUCK_S = 3600.0
MAX_ZONE_OCTETS = 255 - 2 * 64 - 4  # so that <service>.<namespace>.svc.<zone> has room for two labels of 63 octets
_SHOWN_OCTETS = 80


class Listen(NamedTuple):
    """An address to listen on or to ask: an IP literal and a port. Port 0 takes any; an empty host is every address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ServeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the operator chose, checked.

    Attributes:
        manifests: Files and folders to read instead of a cluster; none with a cluster.
        kubeconfig: How to reach a cluster from outside; None inside one.
        context: Which context of the kubeconfig, None for its current one.
        namespaces: The only namespaces to watch; none means all.
        label_selector: Selects Services, Endpoints, EndpointSlices and Pods; empty selects all.
        endpoints: Whether Endpoints are watched although the API server has EndpointSlices.
        listen: Where DNS is answered, over UDP and TCP. No two overlap.
        http: Where health and metrics are served; None for nowhere.
        workers: How many processes answer over UDP.
        zone: Apex of the forward zone.
        reverse: Networks whose reverse zones are ours, none of them inside another; none means all of IPv4 and IPv6.
        pods: How the address names of pods are answered.
        endpoint_pod_names: Name an endpoint without a host name after its pod.
        ttl_s: TTL of whatever follows endpoints.
        cluster_ip_ttl_s: TTL of what follows a cluster IP.
        negative_ttl_s: TTL of what is not there.
        ns_name: The name server's name; None for ``ns.dns`` below the zone.
        ns_address: The name server's addresses; none for the cluster IPs of `service`.
        service: Our own Service.
        resolver: Who is asked for targets of ExternalName outside our zones.
        cookie_secret_file: Holds the key of the DNS cookies; None for a random one per start.
        serial_file: Remembers serials across restarts.
        lameduck_s: How long answers go on after SIGTERM.
        server_id: What NSID and ``id.server`` tell.
        chaos: Whether the CHAOS names are answered.
        log: How the log is written; ``auto`` is text on a terminal and JSON elsewhere.
    """

    manifests: tuple[Path, ...]
    kubeconfig: Path | None
    context: str | None
    namespaces: tuple[str, ...]
    label_selector: str
    endpoints: Literal["auto", "always"]
    listen: tuple[Listen, ...]
    http: Listen | None
    workers: int
    zone: CanonicalName
    reverse: tuple[IPNetwork, ...]
    pods: PodNames
    endpoint_pod_names: bool
    ttl_s: int
    cluster_ip_ttl_s: int
    negative_ttl_s: int
    ns_name: CanonicalName | None
    ns_address: tuple[str, ...]
    service: Key | None
    resolver: Listen | None
    cookie_secret_file: Path | None
    serial_file: Path | None
    lameduck_s: float
    server_id: str
    chaos: bool
    log: Literal["auto", "text", "json"]


class ControllerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the operator of a controller chose, checked.

    Attributes:
        kubeconfig: How to reach a cluster from outside; None inside one.
        context: Which context of the kubeconfig, None for its current one.
        namespaces: The only namespaces to reconcile; none means all.
        statefulsets: Whether StatefulSets are reconciled; ``auto`` where nobody else does.
        qps: Requests a second in the long run; 0 for no limit.
        burst: Requests at once.
        concurrent_syncs: How many sets are synced at once.
        elect: Whether one of several controllers has to be elected.
        lease_namespace: Where the Lease is, and the canary; None for the namespace that this runs in.
        lease_name: The name of the Lease.
        dry_run: Whether actions are only printed.
        http: Where health and metrics are served; None for nowhere.
        log: How the log is written; ``auto`` is text on a terminal and JSON elsewhere.
    """

    kubeconfig: Path | None
    context: str | None
    namespaces: tuple[str, ...]
    statefulsets: Literal["auto", "always", "never"]
    qps: int
    burst: int
    concurrent_syncs: int
    elect: bool
    lease_namespace: str | None
    lease_name: str
    dry_run: bool
    http: Listen | None
    log: Literal["auto", "text", "json"]


# Forms: how a value is written


class UnfitError(ValueError):
    """A value that its form does not take, with a remedy that fits it better than the form's own."""


class Form(NamedTuple):
    """How the values of some settings are written.

    Attributes:
        parse: Gives the value of a text; raises ValueError, or `UnfitError` with a remedy.
        expected: What a fault says was expected.
        remedy: What a fault says is to be done.
        scalars: YAML scalars that are taken besides text.
    """

    parse: Callable[[str], Any]
    expected: str
    remedy: str
    scalars: tuple[type, ...] = ()


def _require(is_right: bool, remedy: str = "") -> None:
    if not is_right:
        raise UnfitError(remedy) if remedy else ValueError


def _path(text: str) -> Path:
    _require(text != "")
    return Path(os.path.expanduser(text))


def _word(text: str) -> str:
    _require(text.strip() != "" and text.isprintable())
    return text


def _namespace(text: str) -> str:
    _require(names.is_dns_label(text))
    return text


def _selector(text: str) -> str:
    try:
        selectors.parse(text)
    except ValueError as error:
        raise UnfitError(str(error)) from None
    return text


def _address(text: str) -> str:
    address = ipaddress.ip_address(text)
    _require(address.version == 4 or address.scope_id is None, "leave out the interface behind %")
    return str(address)


def is_address(text: str) -> bool:
    """Tell whether *text* is an IP address, in brackets or not."""
    try:
        _address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def parse_address(text: str) -> IPAddress:
    """Return the IP address that *text* writes, in brackets or not; raises ValueError where it is none."""
    return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))


_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})\Z")


def parse_listen(text: str) -> Listen:
    """Return the address that *text* writes; its host is empty for ``:53``."""
    found = _HOST_AND_PORT.match(text)
    if found is None:
        raise UnfitError(_listen_remedy(text))
    bracketed, plain, port = found[1], found[2], int(found[3])
    _require(port <= 65535, "the last port is 65535")
    host = plain if bracketed is None else bracketed
    _require(host != "localhost", f"write 127.0.0.1:{port} or [::1]:{port}")
    _require(host == "" or is_address(host), "write an address, not a name")
    _require((":" in host) == (bracketed is not None), "IPv6 addresses, and they alone, stand in brackets")
    return Listen(_address(host) if host else "", port)


def _listen_remedy(text: str) -> str:
    if text.isascii() and text.isdigit():
        return f"write :{text} for every address of this machine, 127.0.0.1:{text} for itself alone"
    if is_address(text):
        return f"add the port: {Listen(text.strip('[]'), 1053)}"
    if text.count(":") > 1:
        return "put the IPv6 address in brackets: [2001:db8::1]:53"
    return "write it as in 127.0.0.1:1053, [::1]:1053 or :53"


def _listens(text: str) -> tuple[Listen, ...]:
    """Return one address, or both wildcards for ``:53``."""
    listen = parse_listen(text)
    return (listen,) if listen.host else (Listen("0.0.0.0", listen.port), Listen("::", listen.port))


def _listen_or_off(text: str) -> Listen | None:
    return None if text in ("off", "false") else parse_listen(text)  # YAML reads a bare `off` as false


def parse_server(text: str) -> Listen:
    """Return the server that *text* names: ``ADDRESS`` or ``ADDRESS:PORT``, port 53 where there is none.

    Raises:
        ValueError: It names none.
    """
    if is_address(text):
        return Listen(_address(text.strip("[]")), DNS_PORT)
    listen = parse_listen(text)
    _require(listen.host != "" and listen.port > 0, "name an address, and a port from 1 on")
    return listen


def _zone(text: str) -> CanonicalName:
    zone = _name(text)
    _require(len(zone) <= MAX_ZONE_OCTETS, f"at most {MAX_ZONE_OCTETS} octets, so that every Service has a name")
    return zone


def _name(text: str) -> CanonicalName:
    try:
        name = names.from_text(text)
    except ValueError as error:
        raise UnfitError(str(error)) from None
    _require(name != names.ROOT)
    return name


def _network(text: str) -> IPNetwork:
    address, slash, _ = text.partition("/")
    if not slash and is_address(text):
        raise UnfitError(
            f"add the length of the prefix; {address}/{ipaddress.ip_address(text).max_prefixlen} is one host"
        )
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        right = ipaddress.ip_network(text, strict=False)  # raises where it is no network at all
        raise UnfitError(f"there are bits set behind the prefix; {right} is the network that holds it") from None


def _service(text: str) -> Key:
    namespace, _, name = text.partition("/")
    _require(names.is_dns_label(namespace) and names.is_dns_label(name))
    return Key(namespace, name)


def _server_id(text: str) -> str:
    _require(text.isascii() and text.isprintable() and 0 < len(text) <= 255)
    return text


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _one_of(*words: str) -> Form:
    def parse(text: str) -> str:
        _require(text in words)
        return text

    return Form(parse, " or ".join(words), f"leave it out for {words[0]}")


def _integer(lowest: int, highest: int, unit: str) -> Form:
    def parse(text: str) -> int:
        _require(re.fullmatch(r"[0-9]{1,10}", text) is not None)
        number = int(text)
        _require(lowest <= number <= highest)
        return number

    return Form(parse, f"{unit}, {lowest} to {highest}", "write a whole number in that range", (int,))


def _lameduck(text: str) -> float:
    number = float(text)
    _require(math.isfinite(number) and 0 <= number <= MAX_LAMEDUCK_S)
    return number


_PODS = _one_of(*(pods.value for pods in PodNames))
_PATH = Form(_path, "a path", "name a file")
_SECONDS = _integer(0, MAX_TTL_S, "seconds")
BOOLEAN = Form(_boolean, "true or false", "write one of the two", (bool,))


# The table


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        field: Its field in `ServeConfig`.
        flag: Its flag without the dashes, from which the variable and the key in the file follow.
        section: Under which heading ``--help`` has it.
        metavar: What ``--help`` shows for the value.
        form: How a value is written.
        default: The default as text; None means that there is none.
        repeatable: Whether there may be several; the field is a tuple then.
        help: What it is for.
        shown_default: What ``--help`` says where `default` does not tell.
    """

    field: str
    flag: str
    section: str
    metavar: str
    form: Form
    default: str | None = None
    repeatable: bool = False
    help: str
    shown_default: str = ""

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.flag.upper().replace("-", "_")

    @property
    def key(self) -> str:
        """The key in the file."""
        first, *rest = self.flag.split("-")
        return first + "".join(word.capitalize() for word in rest)


SOURCE, LISTENING, RECORDS, SERVER = "Source", "Listening", "Records", "Server"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        field="manifests",
        flag="manifests",
        section=SOURCE,
        metavar="PATH",
        form=_PATH,
        repeatable=True,
        help="Take the objects from this file or folder of manifests, and follow its changes. Repeatable.",
    ),
    Setting(
        field="kubeconfig",
        flag="kubeconfig",
        section=SOURCE,
        metavar="FILE",
        form=_PATH,
        help="Take the objects from the cluster that this kubeconfig leads to.",
    ),
    Setting(
        field="context",
        flag="context",
        section=SOURCE,
        metavar="NAME",
        form=Form(_word, "the name of a context", "see `kubectl config get-contexts`"),
        help="Which context of the kubeconfig.",
        shown_default="its current one",
    ),
    Setting(
        field="namespaces",
        flag="namespace",
        section=SOURCE,
        metavar="NAME",
        form=Form(_namespace, "the name of a namespace", "correct it, or leave it out for all namespaces"),
        repeatable=True,
        help="Watch this namespace only; a Role is enough then. Repeatable.",
        shown_default="all",
    ),
    Setting(
        field="label_selector",
        flag="label-selector",
        section=SOURCE,
        metavar="SELECTOR",
        form=Form(_selector, "a label selector", "write it as in app=web,tier in (a, b)"),
        default="",
        help="Take only the Services, Endpoints, EndpointSlices and Pods that it selects.",
    ),
    Setting(
        field="endpoints",
        flag="endpoints",
        section=SOURCE,
        metavar="auto|always",
        form=_one_of("auto", "always"),
        default="auto",
        help="Watch Endpoints only where the API server has no EndpointSlices, or always.",
    ),
    Setting(
        field="listen",
        flag="listen",
        section=LISTENING,
        metavar="ADDRESS:PORT",
        form=Form(_listens, "an address and a port", "write it as in 127.0.0.1:1053, [::1]:1053 or :53"),
        default="127.0.0.1:1053",
        repeatable=True,
        help="Answer DNS here, over UDP and TCP; :53 is every address, IPv4 and IPv6; port 0 is any. Repeatable.",
    ),
    Setting(
        field="http",
        flag="http",
        section=LISTENING,
        metavar="ADDRESS:PORT|off",
        form=Form(_listen_or_off, "an address and a port, or off", "write it as in 127.0.0.1:9153", (bool,)),
        default="127.0.0.1:9153",
        help="Serve /livez, /readyz, /metrics and /zones here.",
    ),
    Setting(
        field="workers",
        flag="workers",
        section=LISTENING,
        metavar="N",
        form=_integer(1, MAX_WORKERS, "a number"),
        default="1",
        help="Processes that answer over UDP; each holds the whole table.",
    ),
    Setting(
        field="resolver",
        flag="resolver",
        section=LISTENING,
        metavar="ADDRESS[:PORT]",
        form=Form(parse_server, "an address, with or without a port", "write it as in 192.0.2.1 or [2001:db8::1]:53"),
        help="Ask this resolver for the targets of ExternalName Services outside our zones.",
        shown_default="only the CNAME is sent",
    ),
    Setting(
        field="zone",
        flag="zone",
        section=RECORDS,
        metavar="NAME",
        form=Form(_zone, "a domain name", "write it as in cluster.local"),
        default="cluster.local",
        help="The zone below which everything is named.",
    ),
    Setting(
        field="reverse",
        flag="reverse",
        section=RECORDS,
        metavar="CIDR",
        form=Form(_network, "a network", "write it as in 10.96.0.0/12 or fd00::/8"),
        repeatable=True,
        help="Answer reverse names of this network and refuse those of others. Repeatable.",
        shown_default="all",
    ),
    Setting(
        field="pods",
        flag="pods",
        section=RECORDS,
        metavar="|".join(pods.value for pods in PodNames),
        form=_PODS._replace(parse=PodNames),
        default="verified",
        help="Answer 10-0-0-1.NAMESPACE.pod names when a pod has the address, always, or never.",
    ),
    Setting(
        field="endpoint_pod_names",
        flag="endpoint-pod-names",
        section=RECORDS,
        metavar="",
        form=BOOLEAN,
        default="false",
        help="Name an endpoint without a host name after its pod instead of its address.",
    ),
    Setting(
        field="ttl_s",
        flag="ttl",
        section=RECORDS,
        metavar="SECONDS",
        form=_SECONDS,
        default="5",
        help="TTL of records that follow endpoints; the annotation headlessdns.io/ttl of a Service wins.",
    ),
    Setting(
        field="cluster_ip_ttl_s",
        flag="cluster-ip-ttl",
        section=RECORDS,
        metavar="SECONDS",
        form=_SECONDS,
        default="30",
        help="TTL of records that follow a cluster IP.",
    ),
    Setting(
        field="negative_ttl_s",
        flag="negative-ttl",
        section=RECORDS,
        metavar="SECONDS",
        form=_SECONDS,
        default="5",
        help="How long a resolver may remember that a name is not there.",
    ),
    Setting(
        field="ns_name",
        flag="ns-name",
        section=RECORDS,
        metavar="NAME",
        form=Form(_name, "a domain name", "write it as in ns.dns.cluster.local"),
        help="The name server's own name.",
        shown_default="ns.dns below the zone",
    ),
    Setting(
        field="ns_address",
        flag="ns-address",
        section=RECORDS,
        metavar="ADDRESS",
        form=Form(_address, "an IP address", "write it as in 192.0.2.53 or 2001:db8::53"),
        repeatable=True,
        help="The name server's own address. Repeatable.",
        shown_default="the cluster IPs of --service",
    ),
    Setting(
        field="service",
        flag="service",
        section=RECORDS,
        metavar="NAMESPACE/NAME",
        form=Form(_service, "a namespace, a slash and the name of a Service", "write it as in headlessdns/headlessdns"),
        help="Our own Service, whose cluster IPs are the name server's addresses.",
    ),
    Setting(
        field="server_id",
        flag="server-id",
        section=SERVER,
        metavar="TEXT",
        form=Form(_server_id, "1 to 255 printable ASCII characters", "leave it out for the host name"),
        help="What NSID and id.server tell of this server.",
        shown_default="the host name",
    ),
    Setting(
        field="chaos",
        flag="chaos",
        section=SERVER,
        metavar="",
        form=BOOLEAN,
        default="true",
        help="Answer id.server, hostname.bind, version.server and version.bind.",
    ),
    Setting(
        field="cookie_secret_file",
        flag="cookie-secret-file",
        section=SERVER,
        metavar="FILE",
        form=_PATH,
        help="Key of the DNS cookies, 32 octets or 64 hexadecimal digits; give replicas the same.",
        shown_default="random at each start",
    ),
    Setting(
        field="serial_file",
        flag="serial-file",
        section=SERVER,
        metavar="FILE",
        form=_PATH,
        help="Remember the SOA serial here, so that it grows across restarts.",
        shown_default="the clock alone",
    ),
    Setting(
        field="lameduck_s",
        flag="lameduck",
        section=SERVER,
        metavar="SECONDS",
        form=Form(_lameduck, f"seconds, 0 to {MAX_LAMEDUCK_S:.0f}", "write a number in that range", (int, float)),
        default="5",
        help="After SIGTERM, be not ready and answer on for so long.",
    ),
    Setting(
        field="log",
        flag="log",
        section=SERVER,
        metavar="auto|text|json",
        form=_one_of("auto", "text", "json"),
        default="auto",
        help="How the log on standard error is written; auto is text on a terminal and JSON elsewhere.",
    ),
)

CONTROLLER = "Controller"
_CONTROLLER_ONLY: tuple[Setting, ...] = (
    Setting(
        field="statefulsets",
        flag="statefulsets",
        section=CONTROLLER,
        metavar="auto|always|never",
        form=_one_of("auto", "always", "never"),
        default="auto",
        help="Reconcile StatefulSets where nobody else does, always, or never; OrdinalSets are always reconciled.",
    ),
    Setting(
        field="qps",
        flag="qps",
        section=CONTROLLER,
        metavar="N",
        form=_integer(0, 100_000, "requests a second"),
        default="50",
        help="Send so many requests a second in the long run; 0 for no limit.",
    ),
    Setting(
        field="burst",
        flag="burst",
        section=CONTROLLER,
        metavar="N",
        form=_integer(1, 100_000, "requests"),
        default="100",
        help="Send so many requests at once before --qps counts.",
    ),
    Setting(
        field="concurrent_syncs",
        flag="concurrent-syncs",
        section=CONTROLLER,
        metavar="N",
        form=_integer(1, 1000, "sets"),
        default="16",
        help="Sync so many sets at once.",
    ),
    Setting(
        field="elect",
        flag="elect",
        section=CONTROLLER,
        metavar="",
        form=BOOLEAN,
        default="true",
        help="Work only while holding the Lease, so that of several controllers one works.",
    ),
    Setting(
        field="lease_namespace",
        flag="lease-namespace",
        section=CONTROLLER,
        metavar="NAME",
        form=Form(_namespace, "the name of a namespace", "correct it, or leave it out for our own namespace"),
        help="Keep the Lease, and the canary of --statefulsets auto, here.",
        shown_default="the namespace of the pod, else default",
    ),
    Setting(
        field="lease_name",
        flag="lease-name",
        section=CONTROLLER,
        metavar="NAME",
        form=Form(_namespace, "the name of a Lease", "write a DNS label"),
        default="headlessdns-controller",
        help="The name of the Lease.",
    ),
    Setting(
        field="dry_run",
        flag="dry-run",
        section=CONTROLLER,
        metavar="",
        form=BOOLEAN,
        default="false",
        help="Print what would be done, and do nothing.",
    ),
)
_SHARED = ("kubeconfig", "context", "namespaces", "http", "log")
CONTROLLER_HTTP = "127.0.0.1:9154"  # beside a server on the same machine
CONTROLLER_SETTINGS: tuple[Setting, ...] = (
    *(
        msgspec.structs.replace(
            setting,
            default=CONTROLLER_HTTP if setting.field == "http" else setting.default,
            help="Serve /livez, /readyz and /metrics here." if setting.field == "http" else setting.help,
        )
        for setting in SETTINGS
        if setting.field in _SHARED
    ),
    *_CONTROLLER_ONLY,
)
ALL_SETTINGS = (*SETTINGS, *_CONTROLLER_ONLY)
_BY_FIELD = {setting.field: setting for setting in ALL_SETTINGS}
_BY_KEY = {setting.key: setting for setting in ALL_SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in ALL_SETTINGS}
_SERVICE_LINK = re.compile(
    r"_SERVICE_HOST\Z|_SERVICE_PORT|_PORT(?:\Z|_)"
)  # what kubelets set for a Service of our name


# The sources: each gives, by field, where values were written and the values

_Value = str | bool | int | float | None
_Written = dict[str, tuple[str, tuple[object, ...]]]


class ConfigFile(NamedTuple):
    """The configuration file: its name for faults, and its text."""

    name: str
    text: str


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: ConfigFile | None = None,
    *,
    hostname: str = "",
) -> ServeConfig:
    """Return the settings of a server.

    Args:
        flags: By field: text, a tuple of texts where repeatable, a bool for a switch; None or () is not given.
        environ: Environment variables; an empty one is not given.
        file: The configuration file.
        hostname: The host's name, which is the default of `server_id`.

    Raises:
        ConfigError: With every fault of all three, and of what does not go together.
    """
    faults: list[Fault] = []
    written = _gathered(flags, environ, file, faults)
    is_file_whole = not faults  # else what seems to be missing may stand in it
    values = {setting.field: _value(setting, written, hostname, faults) for setting in SETTINGS}
    faults += _source_faults(values, written, environ, must_have_one=is_file_whole)
    values["reverse"] = _without_overlaps(values["reverse"])
    faults += _listen_faults(values["listen"], values["http"])
    if faults:
        raise ConfigError(_in_order(faults, file))
    return ServeConfig(**values)


def _in_order(faults: list[Fault], file: ConfigFile | None) -> list[Fault]:
    """Return each of *faults* once, those of the file last and in the order of its lines."""

    def line(fault: Fault) -> int:
        if file is None or not fault.where.startswith(f"{file.name}:"):
            return -1
        found = _LINE.match(fault.where, len(file.name))
        return int(found[1]) if found else 0

    return sorted(dict.fromkeys(faults), key=line)


_LINE = re.compile(r":([0-9]+)(?::|\Z)")


def load_controller(
    flags: Mapping[str, object], environ: Mapping[str, str], file: ConfigFile | None = None
) -> ControllerConfig:
    """Return the settings of a controller; what the file says for a server is checked and does not matter.

    Raises:
        ConfigError: With every fault of all three sources, and of what does not go together.
    """
    faults: list[Fault] = []
    written = _gathered(flags, environ, file, faults)
    values = {setting.field: _value(setting, written, "", faults) for setting in CONTROLLER_SETTINGS}
    if values["context"] is not None and values["kubeconfig"] is None:
        faults.append(
            Fault("--context", "no kubeconfig that it could be in", "both", "add --kubeconfig FILE, or leave it out")
        )
    elif values["kubeconfig"] is None and not environ.get(IN_CLUSTER_VARIABLE):
        faults.append(
            Fault(
                "headlessdns controller",
                "no cluster",
                "--kubeconfig FILE, or to run in a pod of the cluster",
                "add the flag",
            )
        )
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return ControllerConfig(**values)


def load_some(
    fields: Iterable[str], flags: Mapping[str, object], environ: Mapping[str, str], file: ConfigFile | None = None
) -> dict[str, Any]:
    """Return the values of *fields* alone; whether there is a source does not matter.

    Raises:
        ConfigError: As `load` does, for faults in anything that was written.
    """
    faults: list[Fault] = []
    written = _gathered(flags, environ, file, faults)
    values = {field: _value(_BY_FIELD[field], written, "", faults) for field in fields}
    if faults:
        raise ConfigError(_in_order(faults, file))
    return values


def _gathered(
    flags: Mapping[str, object], environ: Mapping[str, str], file: ConfigFile | None, faults: list[Fault]
) -> list[_Written]:
    """Return what is written in the three sources, the strongest first."""
    in_file = _read_file(file, faults) if file else {}
    return [_from_flags(flags), _from_environment(environ), in_file]


def _from_flags(flags: Mapping[str, object]) -> _Written:
    written: _Written = {}
    for field, value in flags.items():
        if value is None or value == ():
            continue
        where = "--" + _BY_FIELD[field].flag
        written[field] = where, (tuple(value) if isinstance(value, (tuple, list)) else (value,))
    return written


def _from_environment(environ: Mapping[str, str]) -> _Written:
    written: _Written = {}
    for setting in ALL_SETTINGS:
        text = environ.get(setting.variable, "").strip()
        if text:
            parts = [part.strip() for part in text.split(",")] if setting.repeatable else [text]
            written[setting.field] = setting.variable, tuple(part for part in parts if part)
    return written


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a line for each variable that begins like ours and is none, which is no fault but may be a slip.

    Those that Kubernetes sets in pods for a Service whose name begins like ours are passed over.
    """
    suffixes = [variable.removeprefix(PREFIX) for variable in _BY_VARIABLE]
    lines = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _BY_VARIABLE or name == FILE_VARIABLE or _SERVICE_LINK.search(name):
            continue
        near = difflib.get_close_matches(name.removeprefix(PREFIX), suffixes, 1)
        lines.append(
            f"{name} is no setting and is passed over" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")
        )
    return lines


def _value(setting: Setting, written: list[_Written], hostname: str, faults: list[Fault]) -> Any:
    """Return the strongest value of *setting*; what weaker sources say is checked as well."""
    found = [_parsed(setting, *source[setting.field], faults) for source in written if setting.field in source]
    if found:
        return found[0]
    if setting.field == "server_id":
        return hostname
    if setting.default is None:
        return () if setting.repeatable else None
    return _parsed(setting, "default", (setting.default,), faults)


def _parsed(setting: Setting, where: str, given: tuple[object, ...], faults: list[Fault]) -> Any:
    values: list[Any] = []
    form = setting.form
    for item in given:
        if not isinstance(item, (str, *form.scalars)) or (isinstance(item, bool) and bool not in form.scalars):
            faults.append(Fault(where, _shown(item), form.expected, _scalar_remedy(item, form)))
            continue
        text = str(item).lower() if isinstance(item, bool) else str(item)
        try:
            value = form.parse(text)
        except (ValueError, KeyError) as error:
            remedy = str(error) if isinstance(error, UnfitError) else form.remedy
            faults.append(Fault(where, _shown(item), form.expected, remedy))
            continue
        values += value if form.parse is _listens else [value]
    if setting.repeatable:
        return tuple(dict.fromkeys(values))
    return values[0] if values else None


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN_OCTETS else text[: _SHOWN_OCTETS - 3] + "..."


def _scalar_remedy(item: object, form: Form) -> str:
    if isinstance(item, (dict, list)) or form.scalars:
        return form.remedy
    return "put it in quotes, since YAML does not read it as text"


# The file


def _read_file(file: ConfigFile, faults: list[Fault]) -> _Written:
    """Return what is written in *file*; a key without a value (null) counts as left out."""
    import yaml  # only who has a file pays for it

    try:
        loader = yaml.SafeLoader(file.text)
        node = loader.get_single_node()
        document = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        found = "a second document" if "single document" in str(error.context) else f"no YAML: {error.problem}"
        faults.append(Fault(f"{file.name}:{line}", found, "one YAML document", "correct the line"))
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        faults.append(Fault(file.name, str(error).partition("\n")[0], "one YAML document", "correct the file"))
        return {}
    if not isinstance(document, dict):
        found = "nothing" if document is None else _shown(document)
        faults.append(Fault(file.name, found, f"apiVersion: {API_VERSION} and settings", "see config/headlessdns.yaml"))
        return {}
    lines = _lines(node)
    faults += _duplicates(file.name, node)
    faults += _header_faults(file.name, document, lines)
    return _settings_in(file.name, document, lines, faults)


def _keys(node: Any) -> Iterator[tuple[str, int]]:
    for key, _ in node.value:
        yield str(key.value), key.start_mark.line + 1


def _lines(node: Any) -> dict[str, int]:
    return dict(_keys(node))


def _duplicates(name: str, node: Any) -> Iterator[Fault]:
    seen: set[str] = set()
    for key, line in _keys(node):
        if key in seen:
            yield Fault(f"{name}:{line}", f"{key} a second time", "each key once", "keep the one that is meant")
        seen.add(key)


def _header_faults(name: str, document: dict[object, object], lines: dict[str, int]) -> Iterator[Fault]:
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.get(key) != expected:
            found = _shown(document[key]) if key in document else "nothing"
            where = f"{name}:{lines[key]}" if key in document else name
            yield Fault(f"{where}: {key}", found, expected, f"write {key}: {expected}")


def _settings_in(name: str, document: dict[object, object], lines: dict[str, int], faults: list[Fault]) -> _Written:
    written: _Written = {}
    for key, value in document.items():
        if key in ("apiVersion", "kind"):
            continue
        where = f"{name}:{lines.get(str(key), 1)}: {key}"
        setting = _BY_KEY.get(key) if isinstance(key, str) else None
        if setting is None:
            faults.append(Fault(where, "an unknown key", "a setting", _key_remedy(str(key))))
        elif isinstance(value, list) and setting.repeatable:
            written[setting.field] = where, tuple(value)
        elif value is not None:
            written[setting.field] = where, (value,)
    return {field: found for field, found in written.items() if found[1]}


def _key_remedy(key: str) -> str:
    plain = {re.sub("[-_]", "", known).lower(): known for known in _BY_KEY}
    near = difflib.get_close_matches(re.sub("[-_]", "", key).lower(), plain, 1)
    return f"did you mean {plain[near[0]]}?" if near else "see config/headlessdns.yaml for every key"


# What has to go together


def _source_faults(
    values: Mapping[str, Any], written: list[_Written], environ: Mapping[str, str], *, must_have_one: bool
) -> Iterator[Fault]:
    given = {
        field: next(source[field][0] for source in written if field in source)
        for field in ("manifests", "kubeconfig", "context")
        if any(field in source for source in written)
    }
    if "manifests" in given and "kubeconfig" in given:
        both = f"it together with {given['kubeconfig']}"
        yield Fault(given["manifests"], both, "manifests or a cluster", "choose one and leave out the other")
    elif "context" in given and "kubeconfig" not in given:
        yield Fault(
            given["context"], "no kubeconfig that it could be in", "both", "add --kubeconfig FILE, or leave it out"
        )
    elif must_have_one and not given and not environ.get(IN_CLUSTER_VARIABLE):
        yield Fault(
            "headlessdns serve",
            "nothing to serve",
            "--manifests PATH (files), --kubeconfig FILE (a cluster), or to run in a pod of the cluster",
            "add one of the two flags",
        )


def _without_overlaps(networks: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
    return tuple(
        one
        for one in networks
        if not any(one != other and one.version == other.version and one.subnet_of(other) for other in networks)  # type: ignore[arg-type]  # of one version
    )


def _listen_faults(listens: tuple[Listen, ...], http: Listen | None) -> Iterator[Fault]:
    """Yield a fault for each pair of addresses that cannot both be bound: equal, or one of them a wildcard."""
    wanted = [("--listen", listen) for listen in listens]
    if http is not None:
        hosts = [http.host] if http.host else ["0.0.0.0", "::"]
        wanted += [("--http", Listen(host, http.port)) for host in hosts]
    for index, (flag, one) in enumerate(wanted):
        for _, other in wanted[:index]:
            if one.port and one.port == other.port and _overlap(one.host, other.host):
                yield Fault(f"{flag} {one}", f"the same as --listen {other}", "another address or port", "change one")


def _overlap(one: str, other: str) -> bool:
    wildcards = {"0.0.0.0", "::"}
    return (":" in one) == (":" in other) and (one == other or bool(wildcards & {one, other}))
