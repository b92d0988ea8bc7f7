"""The settings: every form, the three places where a setting may be written, and every fault of them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns import config
from headlessdns.cluster.objects import Key
from headlessdns.config import CONTROLLER_SETTINGS, SETTINGS, ConfigFile, ControllerConfig, Listen, ServeConfig
from headlessdns.errors import ConfigError
from headlessdns.records.rules import PodNames

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
HEADER = "apiVersion: headlessdns.io/v1alpha1\nkind: HeadlessDNSConfiguration\n"
ROOT = Path(__file__).parents[1]

DEFAULTS = {
    "manifests": (),
    "kubeconfig": None,
    "context": None,
    "namespaces": (),
    "label_selector": "",
    "endpoints": "auto",
    "listen": (Listen("127.0.0.1", 1053),),
    "http": Listen("127.0.0.1", 9153),
    "workers": 1,
    "zone": b"\x07cluster\x05local\x00",
    "reverse": (),
    "pods": PodNames.VERIFIED,
    "endpoint_pod_names": False,
    "ttl_s": 5,
    "cluster_ip_ttl_s": 30,
    "negative_ttl_s": 5,
    "ns_name": None,
    "ns_address": (),
    "service": None,
    "resolver": None,
    "cookie_secret_file": None,
    "serial_file": None,
    "lameduck_s": 5.0,
    "server_id": "node-a",
    "chaos": True,
    "log": "auto",
}


def load(flags: dict[str, object] | None = None, environ: dict[str, str] | None = None, text: str = "") -> ServeConfig:
    file = ConfigFile("headlessdns.yaml", text) if text else None
    return config.load(flags or {}, {**IN_CLUSTER, **(environ or {})}, file, hostname="node-a")


def faults(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*args, **kwargs)
    return str(caught.value).split("\n")


def test_defaults() -> None:
    """Without flags, variables and file every setting has the value that is written here."""
    assert msgspec.structs.asdict(load()) == DEFAULTS


def test_table_and_fields_agree() -> None:
    """Each field has one setting, and each setting a field."""
    assert sorted(setting.field for setting in SETTINGS) == sorted(ServeConfig.__struct_fields__)


def test_example_is_the_defaults() -> None:
    """config/headlessdns.yaml holds every key, and its values are the defaults."""
    text = (ROOT / "config" / "headlessdns.yaml").read_text()
    assert load(text=text) == load()
    keys = {line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()}
    assert keys == {"apiVersion", "kind", *(setting.key for setting in SETTINGS)}


def load_controller(text: str | None = None, **flags: object) -> ControllerConfig:
    """Return the settings of a controller in a pod."""
    file = ConfigFile("controller.yaml", text) if text is not None else None
    return config.load_controller(flags, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, file)


def test_defaults_of_the_controller() -> None:
    """Without flags, variables and file every setting of the controller has the value that is written here."""
    assert msgspec.structs.asdict(load_controller()) == {
        "kubeconfig": None,
        "context": None,
        "namespaces": (),
        "statefulsets": "auto",
        "qps": 50,
        "burst": 100,
        "concurrent_syncs": 16,
        "elect": True,
        "lease_namespace": None,
        "lease_name": "headlessdns-controller",
        "dry_run": False,
        "http": Listen("127.0.0.1", 9154),
        "log": "auto",
    }


def test_example_of_the_controller_is_the_defaults() -> None:
    """config/controller.yaml holds every key, and its values are the defaults."""
    text = (ROOT / "config" / "controller.yaml").read_text()
    assert load_controller(text) == load_controller()
    keys = {line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()}
    assert keys == {"apiVersion", "kind", *(setting.key for setting in CONTROLLER_SETTINGS)}


def test_one_file_for_both() -> None:
    """A server and a controller may share a file: each passes over what is the other's, but for faults in it."""
    text = "apiVersion: headlessdns.io/v1alpha1\nkind: HeadlessDNSConfiguration\nqps: 7\nttl: 9\n"
    assert (load(text=text).ttl_s, load_controller(text).qps) == (9, 7)


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        pytest.param(
            {},
            {},
            "headlessdns controller: found no cluster; expected --kubeconfig FILE, or to run in a pod of the cluster; "
            "add the flag",
            id="no cluster",
        ),
        pytest.param(
            {"context": "prod"},
            {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
            "--context: found no kubeconfig that it could be in; expected both; add --kubeconfig FILE, or leave it out",
            id="a context without a file",
        ),
        pytest.param(
            {"qps": "-1", "kubeconfig": "f"},
            {},
            '--qps: found "-1"; expected requests a second, 0 to 100000; write a whole number in that range',
            id="no number",
        ),
        pytest.param(
            {"statefulsets": "maybe", "kubeconfig": "f"},
            {},
            '--statefulsets: found "maybe"; expected auto or always or never; leave it out for auto',
            id="no such word",
        ),
    ],
)
def test_faults_of_the_controller(flags: dict[str, object], environ: dict[str, str], expected: str) -> None:
    """What does not fit is told in one line."""
    with pytest.raises(ConfigError) as caught:
        config.load_controller(flags, environ)
    assert str(caught.value) == expected


# Forms

VALUES = {
    "path": ("kubeconfig", "/etc/kube/config", Path("/etc/kube/config")),
    "path with a tilde": ("kubeconfig", "~/config", Path("~/config").expanduser()),
    "several paths": ("manifests", ("a.yaml", "b"), (Path("a.yaml"), Path("b"))),
    "the same path twice": ("manifests", ("a", "a"), (Path("a"),)),
    "selector": ("label_selector", "app in (a, b),!canary", "app in (a, b),!canary"),
    "namespaces": ("namespaces", ("default", "prod-1"), ("default", "prod-1")),
    "endpoints": ("endpoints", "always", "always"),
    "listen on IPv4": ("listen", ("192.0.2.1:53",), (Listen("192.0.2.1", 53),)),
    "listen on IPv6, shortened": ("listen", ("[2001:db8:0::1]:53",), (Listen("2001:db8::1", 53),)),
    "listen on any port": ("listen", ("127.0.0.1:0", "127.0.0.1:0"), (Listen("127.0.0.1", 0),)),
    "listen everywhere is both families": ("listen", (":53",), (Listen("0.0.0.0", 53), Listen("::", 53))),
    "http elsewhere": ("http", "[::1]:8080", Listen("::1", 8080)),
    "http everywhere": ("http", ":9153", Listen("", 9153)),
    "http off": ("http", "off", None),
    "workers": ("workers", "64", 64),
    "zone is folded": ("zone", "K8S.Example.", b"\x03k8s\x07example\x00"),
    "networks": (
        "reverse",
        ("10.0.0.0/8", "fd00::/8"),
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
    ),
    "network inside another": ("reverse", ("10.96.0.0/12", "10.0.0.0/8"), (ipaddress.ip_network("10.0.0.0/8"),)),
    "pods": ("pods", "insecure", PodNames.INSECURE),
    "TTL 0": ("ttl_s", "0", 0),
    "the longest TTL": ("ttl_s", "2147483647", 2147483647),
    "name server outside the zone": ("ns_name", "ns1.example.com", b"\x03ns1\x07example\x03com\x00"),
    "name server's addresses": ("ns_address", ("192.0.2.53", "2001:DB8::53"), ("192.0.2.53", "2001:db8::53")),
    "our own Service": ("service", "dns/headlessdns", Key("dns", "headlessdns")),
    "resolver without a port": ("resolver", "192.0.2.1", Listen("192.0.2.1", 53)),
    "resolver on IPv6 without a port": ("resolver", "2001:db8::1", Listen("2001:db8::1", 53)),
    "resolver with a port": ("resolver", "[2001:db8::1]:5353", Listen("2001:db8::1", 5353)),
    "lameduck of half a second": ("lameduck_s", "0.5", 0.5),
    "server id": ("server_id", "dns-0 (rack 4)", "dns-0 (rack 4)"),
    "switch off": ("chaos", False, False),
    "log": ("log", "json", "json"),
}


@pytest.mark.parametrize(("field", "given", "value"), VALUES.values(), ids=VALUES.keys())
def test_form(field: str, given: object, value: object) -> None:
    """A value that is written right is understood."""
    assert getattr(load({field: given}), field) == value


FAULTS = {
    "empty path": ("kubeconfig", "", '--kubeconfig: found ""; expected a path; name a file'),
    "port alone": (
        "listen",
        ("53",),
        '--listen: found "53"; expected an address and a port; write :53 for every address of this machine, '
        "127.0.0.1:53 for itself alone",
    ),
    "address without a port": (
        "listen",
        ("::1",),
        '--listen: found "::1"; expected an address and a port; add the port: [::1]:1053',
    ),
    "IPv6 without brackets": (
        "listen",
        ("2001:db8::zz:53",),
        '--listen: found "2001:db8::zz:53"; expected an address and a port; put the IPv6 address in brackets: '
        "[2001:db8::1]:53",
    ),
    "IPv4 in brackets": (
        "listen",
        ("[127.0.0.1]:53",),
        '--listen: found "[127.0.0.1]:53"; expected an address and a port; IPv6 addresses, and they alone, stand in '
        "brackets",
    ),
    "empty brackets": (
        "listen",
        ("[]:53",),
        '--listen: found "[]:53"; expected an address and a port; IPv6 addresses, and they alone, stand in brackets',
    ),
    "a name": (
        "listen",
        ("localhost:53",),
        '--listen: found "localhost:53"; expected an address and a port; write 127.0.0.1:53 or [::1]:53',
    ),
    "another name": (
        "listen",
        ("dns.example:53",),
        '--listen: found "dns.example:53"; expected an address and a port; write an address, not a name',
    ),
    "port too high": (
        "listen",
        ("127.0.0.1:65536",),
        '--listen: found "127.0.0.1:65536"; expected an address and a port; the last port is 65535',
    ),
    "an interface": (
        "listen",
        ("[fe80::1%eth0]:53",),
        '--listen: found "[fe80::1%eth0]:53"; expected an address and a port; write an address, not a name',
    ),
    "http is a word": (
        "http",
        "no",
        '--http: found "no"; expected an address and a port, or off; write it as in 127.0.0.1:1053, [::1]:1053 or :53',
    ),
    "no worker": (
        "workers",
        "0",
        '--workers: found "0"; expected a number, 1 to 64; write a whole number in that range',
    ),
    "too many workers": (
        "workers",
        "65",
        '--workers: found "65"; expected a number, 1 to 64; write a whole number in that range',
    ),
    "half a worker": (
        "workers",
        "1.5",
        '--workers: found "1.5"; expected a number, 1 to 64; write a whole number in that range',
    ),
    "root as zone": ("zone", ".", '--zone: found "."; expected a domain name; write it as in cluster.local'),
    "zone without room for Services": (
        "zone",
        "a" * 63 + "." + "b" * 63,
        f'--zone: found "{"a" * 63}.{"b" * 12}...; expected a domain name; at most 123 octets, so that every Service '
        "has a name",
    ),
    "host bits": (
        "reverse",
        ("10.96.0.1/12",),
        '--reverse: found "10.96.0.1/12"; expected a network; there are bits set behind the prefix; 10.96.0.0/12 is '
        "the network that holds it",
    ),
    "no prefix": (
        "reverse",
        ("10.96.0.0",),
        '--reverse: found "10.96.0.0"; expected a network; add the length of the prefix; 10.96.0.0/32 is one host',
    ),
    "no network": (
        "reverse",
        ("x/8",),
        '--reverse: found "x/8"; expected a network; write it as in 10.96.0.0/12 or fd00::/8',
    ),
    "pods": (
        "pods",
        "on",
        '--pods: found "on"; expected verified or insecure or disabled; leave it out for verified',
    ),
    "negative TTL": (
        "ttl_s",
        "-1",
        '--ttl: found "-1"; expected seconds, 0 to 2147483647; write a whole number in that range',
    ),
    "TTL over 2^31": (
        "ttl_s",
        "2147483648",
        '--ttl: found "2147483648"; expected seconds, 0 to 2147483647; write a whole number in that range',
    ),
    "no address": (
        "ns_address",
        ("ns1",),
        '--ns-address: found "ns1"; expected an IP address; write it as in 192.0.2.53 or 2001:db8::53',
    ),
    "Service without a namespace": (
        "service",
        "dns",
        '--service: found "dns"; expected a namespace, a slash and the name of a Service; write it as in '
        "headlessdns/headlessdns",
    ),
    "namespace in capitals": (
        "namespaces",
        ("Prod",),
        '--namespace: found "Prod"; expected the name of a namespace; correct it, or leave it out for all namespaces',
    ),
    "resolver everywhere": (
        "resolver",
        ":53",
        '--resolver: found ":53"; expected an address, with or without a port; name an address, and a port from 1 on',
    ),
    "endless lameduck": (
        "lameduck_s",
        "inf",
        '--lameduck: found "inf"; expected seconds, 0 to 3600; write a number in that range',
    ),
    "server id that does not fit a TXT string": (
        "server_id",
        "x" * 256,
        f'--server-id: found "{"x" * 76}...; expected 1 to 255 printable ASCII characters; leave it out for the host '
        "name",
    ),
    "log": ("log", "xml", '--log: found "xml"; expected auto or text or json; leave it out for auto'),
}


@pytest.mark.parametrize(("field", "given", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_fault(field: str, given: object, fault: str) -> None:
    """A value that is written wrong is a fault with what was found, what was expected and what to do."""
    assert faults({field: given}) == [fault]


def test_selector_fault_says_where() -> None:
    """A label selector that is none is a fault that shows from where on."""
    (fault,) = faults({"label_selector": "app=web,="})
    assert fault.startswith('--label-selector: found "app=web,="; expected a label selector; ')
    assert "from '=' on" in fault


@given(st.sampled_from([setting.field for setting in SETTINGS]), st.text())
def test_any_text_is_a_value_or_a_fault(field: str, text: str) -> None:
    """Whatever text a setting gets, it is a value or a ConfigError, never another exception."""
    repeatable = {setting.field for setting in SETTINGS if setting.repeatable}
    try:
        load({field: (text,) if field in repeatable else text})
    except ConfigError as error:
        assert error.faults  # noqa: PT017  # both outcomes are right


# Places


def test_every_fault_is_told() -> None:
    """The faults of flags, variables and file come together, also of values that a stronger place replaces."""
    text = f"{HEADER}workers: 99\nzone: example.com\n"
    assert faults(
        {"listen": ("53", "x:y"), "workers": "2"}, {"HEADLESSDNS_TTL": "long", "HEADLESSDNS_ZONE": "a..b"}, text
    ) == [
        '--listen: found "53"; expected an address and a port; write :53 for every address of this machine, '
        "127.0.0.1:53 for itself alone",
        '--listen: found "x:y"; expected an address and a port; write it as in 127.0.0.1:1053, [::1]:1053 or :53',
        "HEADLESSDNS_ZONE: found \"a..b\"; expected a domain name; 'a..b' has an empty label, or a backslash that "
        "escapes nothing",
        'HEADLESSDNS_TTL: found "long"; expected seconds, 0 to 2147483647; write a whole number in that range',
        "headlessdns.yaml:3: workers: found 99; expected a number, 1 to 64; write a whole number in that range",
    ]


def test_faults_of_a_file_are_in_the_order_of_its_lines() -> None:
    """However they were found, faults of one file come in the order in which it is corrected."""
    text = (
        "ttl: x\nkind: Other\nnonsense: 1\napiVersion: headlessdns.io/v1alpha1\nzone: a..b\nttl: 2\n"
        "workers: 0\nlisten: ['53', 'x:y']\nmanifests: a\n"
    )
    assert [fault.partition(": found")[0] for fault in faults({}, text=text)] == [
        "headlessdns.yaml:2: kind",
        "headlessdns.yaml:3: nonsense",
        "headlessdns.yaml:5: zone",
        "headlessdns.yaml:6",
        "headlessdns.yaml:7: workers",
        "headlessdns.yaml:8: listen",
        "headlessdns.yaml:8: listen",
    ]


@pytest.mark.parametrize(
    "text", ["manifest: a\n", "- a\n", "a: [\n", "# nothing\n"], ids=["a slip", "a list", "broken", "empty"]
)
def test_a_broken_file_is_not_followed_by_what_follows_from_it(text: str) -> None:
    """Where the file is broken it is not said that there is nothing to serve: the source may stand in it."""
    file = ConfigFile("headlessdns.yaml", HEADER + text if text == "manifest: a\n" else text)
    with pytest.raises(ConfigError) as caught:
        config.load({}, {}, file)
    assert str(caught.value).startswith("headlessdns.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_a_long_label_is_shown_as_text() -> None:
    """A label that is too long is shown as a person wrote it, and not at full length."""
    (fault,) = faults({"zone": "a" * 64 + ".local"})
    assert fault.endswith(f'expected a domain name; label "{"a" * 60}..." has 64 octets, expected 1 to 63')


PLACES = {
    "default": ({}, {}, "", 5),
    "file over default": ({}, {}, "ttl: 6\n", 6),
    "variable over file": ({}, {"HEADLESSDNS_TTL": "7"}, "ttl: 6\n", 7),
    "flag over variable": ({"ttl_s": "8"}, {"HEADLESSDNS_TTL": "7"}, "ttl: 6\n", 8),
    "flag that is not given": ({"ttl_s": None}, {"HEADLESSDNS_TTL": "7"}, "ttl: 6\n", 7),
    "empty variable is not given": ({}, {"HEADLESSDNS_TTL": ""}, "ttl: 6\n", 6),
    "null is not given": ({}, {}, "ttl: null\n", 5),
}


@pytest.mark.parametrize(("flags", "environ", "text", "ttl_s"), PLACES.values(), ids=PLACES.keys())
def test_precedence(flags: dict[str, object], environ: dict[str, str], text: str, ttl_s: int) -> None:
    """A flag wins over a variable, a variable over the file, the file over the default."""
    assert load(flags, environ, HEADER + text).ttl_s == ttl_s


def test_lists_are_replaced_not_joined() -> None:
    """The strongest place gives the whole list."""
    text = HEADER + "listen: ['127.0.0.1:1', '127.0.0.1:2']\n"
    assert load(text=text).listen == (Listen("127.0.0.1", 1), Listen("127.0.0.1", 2))
    assert load({}, {"HEADLESSDNS_LISTEN": "127.0.0.1:3, [::1]:3"}, text).listen == (
        Listen("127.0.0.1", 3),
        Listen("::1", 3),
    )
    assert load({"listen": ("127.0.0.1:4",)}, {"HEADLESSDNS_LISTEN": "127.0.0.1:3"}, text).listen == (
        Listen("127.0.0.1", 4),
    )


def test_names_of_one_setting() -> None:
    """A flag, its variable and its key are made of the same words."""
    (setting,) = (setting for setting in SETTINGS if setting.field == "cluster_ip_ttl_s")
    assert (setting.flag, setting.variable, setting.key) == (
        "cluster-ip-ttl",
        "HEADLESSDNS_CLUSTER_IP_TTL",
        "clusterIpTtl",
    )


@pytest.mark.parametrize("text", ["true", "True"])
def test_switch_in_a_variable(text: str) -> None:
    """A switch is true or false in a variable, and a fault otherwise."""
    assert load({}, {"HEADLESSDNS_ENDPOINT_POD_NAMES": text}).endpoint_pod_names is True
    assert load({}, {"HEADLESSDNS_CHAOS": "false"}).chaos is False
    assert faults({}, {"HEADLESSDNS_CHAOS": "0"}) == [
        'HEADLESSDNS_CHAOS: found "0"; expected true or false; write one of the two'
    ]


def test_unknown_variables() -> None:
    """A variable that begins like ours is told, with the nearest setting; those of Service links are passed over."""
    environ = {
        "HEADLESSDNS_WORKER": "2",
        "HEADLESSDNS_IMAGE": "x",
        "HEADLESSDNS_CONFIG": "f",
        "HEADLESSDNS_ZONE": "z",
        "HEADLESSDNS_SERVICE_HOST": "10.96.0.53",
        "HEADLESSDNS_SERVICE_PORT_DNS_TCP": "53",
        "HEADLESSDNS_PORT": "udp://10.96.0.53:53",
        "HEADLESSDNS_PORT_53_UDP_ADDR": "10.96.0.53",
        "PATH": "/bin",
    }
    assert config.unknown_variables(environ) == [
        "HEADLESSDNS_IMAGE is no setting and is passed over",
        "HEADLESSDNS_WORKER is no setting and is passed over; did you mean HEADLESSDNS_WORKERS?",
    ]


# The file

FILES = {
    "nothing": (
        "# only a comment\n",
        "headlessdns.yaml: found nothing; "
        "expected apiVersion: headlessdns.io/v1alpha1 and settings; "
        "see config/headlessdns.yaml",
    ),
    "a list": (
        "- zone: a\n",
        "headlessdns.yaml: found a list; "
        "expected apiVersion: headlessdns.io/v1alpha1 and settings; "
        "see config/headlessdns.yaml",
    ),
    "no YAML": (
        HEADER + "zone: [\n",
        "headlessdns.yaml:4: found no YAML: expected the node content, but found '<stream end>'; "
        "expected one YAML document; "
        "correct the line",
    ),
    "two documents": (
        HEADER + "---\n" + HEADER,
        "headlessdns.yaml:3: found a second document; expected one YAML document; correct the line",
    ),
    "a control character": (
        HEADER + "zone: a\x00\n",
        "headlessdns.yaml: found unacceptable character #x0000: special characters are not allowed; "
        "expected one YAML document; "
        "correct the file",
    ),
    "a tag of Python": (
        HEADER + "zone: !!python/name:os.system\n",
        "headlessdns.yaml:3: found no YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/name:os.system'; "
        "expected one YAML document; "
        "correct the line",
    ),
    "another apiVersion": (
        HEADER.replace("v1alpha1", "v1"),
        'headlessdns.yaml:1: apiVersion: found "headlessdns.io/v1"; '
        "expected headlessdns.io/v1alpha1; "
        "write apiVersion: headlessdns.io/v1alpha1",
    ),
    "no kind": (
        "apiVersion: headlessdns.io/v1alpha1\n",
        "headlessdns.yaml: kind: found nothing; "
        "expected HeadlessDNSConfiguration; "
        "write kind: HeadlessDNSConfiguration",
    ),
    "unknown key": (
        HEADER + "worker: 2\n",
        "headlessdns.yaml:3: worker: found an unknown key; expected a setting; did you mean workers?",
    ),
    "the flag as key": (
        HEADER + "cluster-ip-ttl: 2\n",
        "headlessdns.yaml:3: cluster-ip-ttl: found an unknown key; expected a setting; did you mean clusterIpTtl?",
    ),
    "acronyms in capitals": (
        HEADER + "clusterIPTTL: 2\n",
        "headlessdns.yaml:3: clusterIPTTL: found an unknown key; expected a setting; did you mean clusterIpTtl?",
    ),
    "a key like no other": (
        HEADER + "quux: 2\n",
        "headlessdns.yaml:3: quux: found an unknown key; expected a setting; see config/headlessdns.yaml for every key",
    ),
    "a number as key": (
        HEADER + "53: 2\n",
        "headlessdns.yaml:3: 53: found an unknown key; expected a setting; see config/headlessdns.yaml for every key",
    ),
    "a key twice": (
        HEADER + "ttl: 1\nttl: 2\n",
        "headlessdns.yaml:4: found ttl a second time; expected each key once; keep the one that is meant",
    ),
    "a list where one value is due": (
        HEADER + "ttl: [1]\n",
        "headlessdns.yaml:3: ttl: found a list; expected seconds, 0 to 2147483647; write a whole number in that range",
    ),
    "a mapping": (
        HEADER + "zone: {a: b}\n",
        "headlessdns.yaml:3: zone: found a mapping; expected a domain name; write it as in cluster.local",
    ),
    "a truth value for a text": (
        HEADER + "namespace: [on]\n",
        "headlessdns.yaml:3: namespace: found true; "
        "expected the name of a namespace; "
        "put it in quotes, since YAML does not read it as text",
    ),
    "a number for a text": (
        HEADER + "serverId: 017\n",
        "headlessdns.yaml:3: serverId: found 15; "
        "expected 1 to 255 printable ASCII characters; "
        "put it in quotes, since YAML does not read it as text",
    ),
    "a truth value for a number": (
        HEADER + "workers: yes\n",
        "headlessdns.yaml:3: workers: found true; expected a number, 1 to 64; write a whole number in that range",
    ),
}


@pytest.mark.parametrize(("text", "fault"), FILES.values(), ids=FILES.keys())
def test_file_fault(text: str, fault: str) -> None:
    """What is wrong with the file is told with its line."""
    assert faults(text=text) == [fault]


READ = {
    "a number": ("workers: 2\n", "workers", 2),
    "a number in quotes": ("workers: '2'\n", "workers", 2),
    "a fraction": ("lameduck: 0.5\n", "lameduck_s", 0.5),
    "off without quotes, which YAML reads as false": ("http: off\n", "http", None),
    "a switch": ("chaos: no\n", "chaos", False),
    "one value where several may be": ("namespace: prod\n", "namespaces", ("prod",)),
    "an empty list": ("listen: []\n", "listen", (Listen("127.0.0.1", 1053),)),
}


@pytest.mark.parametrize(("text", "field", "value"), READ.values(), ids=READ.keys())
def test_file(text: str, field: str, value: object) -> None:
    """The file takes YAML's own scalars where they are meant."""
    assert getattr(load(text=HEADER + text), field) == value


@given(st.text())
def test_any_file_is_settings_or_faults(text: str) -> None:
    """Whatever is in the file, it is settings or a ConfigError, never another exception."""
    try:
        load(text=text)
    except ConfigError as error:
        assert error.faults  # noqa: PT017  # both outcomes are right


# What goes together


def test_no_source() -> None:
    """Outside a cluster, a server that is told no source names the three ways."""
    with pytest.raises(ConfigError) as caught:
        config.load({}, {})
    assert str(caught.value) == (
        "headlessdns serve: found nothing to serve; expected --manifests PATH (files), --kubeconfig FILE (a cluster), "
        "or to run in a pod of the cluster; add one of the two flags"
    )


SOURCES = {
    "in a cluster": ({}, IN_CLUSTER, None),
    "manifests": ({"manifests": ("a",)}, {}, None),
    "manifests in a cluster": ({"manifests": ("a",)}, IN_CLUSTER, None),
    "a kubeconfig with a context": ({"kubeconfig": "k", "context": "c"}, {}, None),
    "two at once": (
        {"manifests": ("a",)},
        {"HEADLESSDNS_KUBECONFIG": "k"},
        "--manifests: found it together with HEADLESSDNS_KUBECONFIG; expected manifests or a cluster; choose one and "
        "leave out the other",
    ),
    "a context of nothing": (
        {"context": "c"},
        IN_CLUSTER,
        "--context: found no kubeconfig that it could be in; expected both; add --kubeconfig FILE, or leave it out",
    ),
}


@pytest.mark.parametrize(("flags", "environ", "fault"), SOURCES.values(), ids=SOURCES.keys())
def test_sources(flags: dict[str, object], environ: dict[str, str], fault: str | None) -> None:
    """There is one source: manifests, a kubeconfig, or the cluster around the process."""
    if fault is None:
        config.load(flags, environ)
        return
    with pytest.raises(ConfigError) as caught:
        config.load(flags, environ)
    assert str(caught.value) == fault


OVERLAPS = {
    "a wildcard holds an address": (("127.0.0.1:53", "0.0.0.0:53"), "off", "--listen 0.0.0.0:53", "127.0.0.1:53"),
    "http on the port of DNS": ((":53",), "127.0.0.1:53", "--http 127.0.0.1:53", "0.0.0.0:53"),
    "http everywhere on the port of DNS": (("[::1]:53",), ":53", "--http [::]:53", "[::1]:53"),
}


@pytest.mark.parametrize(("listen", "http", "one", "other"), OVERLAPS.values(), ids=OVERLAPS.keys())
def test_overlapping_addresses(listen: tuple[str, ...], http: str, one: str, other: str) -> None:
    """Two addresses of which one would keep the other from being bound are a fault."""
    assert faults({"listen": listen, "http": http}) == [
        f"{one}: found the same as --listen {other}; expected another address or port; change one"
    ]


@pytest.mark.parametrize(
    ("listen", "http"),
    [
        pytest.param(("127.0.0.1:0",), "127.0.0.1:0", id="any free port"),
        pytest.param(("0.0.0.0:53", "[::1]:53"), "off", id="two families"),
        pytest.param(("127.0.0.1:53", "127.0.0.2:53"), "off", id="two addresses"),
        pytest.param((":53",), ":54", id="two ports"),
    ],
)
def test_addresses_side_by_side(listen: tuple[str, ...], http: str) -> None:
    """Addresses that can be bound together are no fault."""
    load({"listen": listen, "http": http})


def test_load_some() -> None:
    """Single settings can be had without a source, and a broken file is a fault all the same."""
    assert config.load_some(["zone", "manifests"], {}, {"HEADLESSDNS_ZONE": "k8s.example"}) == {
        "zone": b"\x03k8s\x07example\x00",
        "manifests": (),
    }
    with pytest.raises(ConfigError):
        config.load_some(["zone"], {}, {}, ConfigFile("f", "zone: a\n"))
