"""`headlessdns query`, from manifests and of a running server."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headlessdns.cli import source
from headlessdns.cli.main import main
from tests.cli.fake import server
from tests.serving import Serve

MANIFEST = """\
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec: {clusterIP: None}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec: {serviceName: nginx, replicas: 2}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: nginx-1, labels: {kubernetes.io/service-name: nginx}}
addressType: IPv4
ports: [{name: web, port: 80}]
endpoints:
  - {addresses: [10.244.1.10], hostname: web-0}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: nginx-2, labels: {kubernetes.io/service-name: nginx}}
addressType: IPv4
ports: [{name: web, port: 80}]
endpoints:
  - {addresses: [10.244.2.10], hostname: web-1}
"""
MANY = (
    "apiVersion: v1\nkind: Service\nmetadata: {name: many}\nspec: {clusterIP: None}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: many-1, labels: {kubernetes.io/service-name: many}}\naddressType: IPv4\nendpoints:\n"
) + "".join(f"  - {{addresses: [10.1.0.{number}], hostname: many-{number}}}\n" for number in range(200))
WEB_0 = "web-0.nginx.default.svc.cluster.local"


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HEADLESSDNS_") or name == "KUBERNETES_SERVICE_HOST":
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifests") / "nginx.yaml"
    path.write_text(MANIFEST)
    return path


def query(*args: str | Path, **kwargs: Any) -> Any:
    return CliRunner().invoke(main, ["query", *map(str, args)], **kwargs)


def without_id(text: str) -> list[str]:
    return re.sub(r"id: \d+", "id: 0", text).splitlines()


# From manifests


def test_report(file: Path) -> None:
    """A report has what dig prints, where the record came from, and which ordinals its StatefulSet has."""
    result = query("--manifests", file, WEB_0)
    assert result.exit_code == 0
    assert without_id(result.stdout) == [
        ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 0",
        ";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1",
        "",
        ";; OPT PSEUDOSECTION:",
        "; EDNS: version: 0, flags:; udp: 1232",
        "",
        ";; QUESTION SECTION:",
        f";{WEB_0}.\t\tIN\tA",
        "",
        ";; ANSWER SECTION:",
        f"{WEB_0}.\t5\tIN\tA\t10.244.1.10",
        "",
        ";; ORIGINS:",
        f"; {WEB_0}. A: EndpointSlice default/nginx-1 ({file}:11: document 3)",
        "",
        ";; StatefulSet default/web: ordinals 0 to 1, serviceName nginx",
        "",
        f";; SOURCE: {file}",
        ";; MSG SIZE  rcvd: 82",
    ]


def test_origins_of_several_slices(file: Path) -> None:
    """Records of one name that came from several objects have a line each."""
    lines = query("--manifests", file, "nginx.default.svc.cluster.local").stdout.splitlines()
    assert [line for line in lines if line.startswith("; nginx.")] == [
        f"; nginx.default.svc.cluster.local. A 10.244.1.10: EndpointSlice default/nginx-1 ({file}:11: document 3)",
        f"; nginx.default.svc.cluster.local. A 10.244.2.10: EndpointSlice default/nginx-2 ({file}:19: document 4)",
    ]


def test_origins_of_two_services(tmp_path: Path) -> None:
    """A pod that two Services select has a PTR from each, and each says so."""
    (tmp_path / "a.yaml").write_text(f"{MANIFEST}---\n{MANIFEST.replace('nginx', 'other').replace('web}', 'web2}')}")
    lines = query("--manifests", tmp_path, "10.244.1.10").stdout.splitlines()
    assert [re.sub(r" \(.*\)", "", line) for line in lines if " PTR web-0." in line] == [
        "; 10.1.244.10.in-addr.arpa. PTR web-0.nginx.default.svc.cluster.local.: EndpointSlice default/nginx-1",
        "; 10.1.244.10.in-addr.arpa. PTR web-0.other.default.svc.cluster.local.: EndpointSlice default/other-1",
    ]


def test_origins_of_a_part(tmp_path: Path) -> None:
    """Where a list is too long for any message, only the records that are in the answer have a line."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "big"}, "spec": {"clusterIP": "None"}}
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"big-{part}", "labels": {"kubernetes.io/service-name": "big"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [f"10.{part}.{n >> 8}.{n & 255}"]} for n in range(2100)],
        }
        for part in range(2)
    ]
    (tmp_path / "big.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, *slices]}))
    lines = query("--manifests", tmp_path, "big.default.svc.cluster.local").stdout.splitlines()
    records = [line for line in lines if "\tIN\tA\t" in line]
    assert 4000 < len(records) < 4200
    assert len([line for line in lines if line.startswith("; big.")]) == len(records)


def test_origins_of_the_additional_section(file: Path) -> None:
    """An SRV answer says where its records and its targets' addresses came from."""
    lines = query("--manifests", file, "_web._tcp.nginx.default.svc.cluster.local", "srv").stdout.splitlines()
    origins = [re.sub(r" \(.*\)", "", line) for line in lines[lines.index(";; ORIGINS:") + 1 :] if line[:2] == "; "]
    service = "nginx.default.svc.cluster.local."
    assert origins == [
        f"; _web._tcp.{service} SRV 0 100 80 web-0.{service}: EndpointSlice default/nginx-1",
        f"; _web._tcp.{service} SRV 0 100 80 web-1.{service}: EndpointSlice default/nginx-2",
        f"; web-0.{service} A: EndpointSlice default/nginx-1",
        f"; web-1.{service} A: EndpointSlice default/nginx-2",
    ]


SHORT = {
    "A by default": ([WEB_0], "10.244.1.10\n", 0),
    "a type": ([WEB_0, "AAAA"], "", 0),
    "any case": ([WEB_0.upper(), "a"], "10.244.1.10\n", 0),
    "a final dot": ([f"{WEB_0}."], "10.244.1.10\n", 0),
    "an address is asked for by PTR": (["10.244.1.10"], f"{WEB_0}.\n", 0),
    "an address with -x": (["-x", "10.244.1.10"], f"{WEB_0}.\n", 0),
    "an address with PTR": (["10.244.1.10", "PTR"], f"{WEB_0}.\n", 0),
    "an address as a name": (["10.244.1.10", "A"], "", 1),
    "a name that is not there": ([f"x.{WEB_0}"], "", 1),
    "a setting": (["--zone", "k8s.example", "web-0.nginx.default.svc.k8s.example"], "10.244.1.10\n", 0),
}


@pytest.mark.parametrize(("args", "text", "code"), SHORT.values(), ids=SHORT.keys())
def test_short(file: Path, args: list[str], text: str, code: int) -> None:
    """--short prints the data alone; the exit code is 0 for NOERROR and 1 for another RCODE."""
    result = query("--manifests", file, "--short", *args)
    assert (result.stdout, result.exit_code) == (text, code), result.output


SETS = {
    "an ordinal that is not of the set": (
        "web-2.nginx.default",
        {},
        ";; StatefulSet default/web: ordinals 0 to 1, 2 is not one of them, serviceName nginx",
    ),
    "a set that starts at 5": (
        "web-5.nginx.default",
        {"replicas: 2": "replicas: 2, ordinals: {start: 5}"},
        ";; StatefulSet default/web: ordinals 5 to 6, serviceName nginx",
    ),
    "a set of one, where nothing else is said": (
        "web-0.nginx.default",
        {", replicas: 2": ""},
        ";; StatefulSet default/web: ordinals 0 to 0, serviceName nginx",
    ),
    "a set that is scaled down": (
        "web-0.nginx.default",
        {"replicas: 2": "replicas: 0"},
        ";; StatefulSet default/web: no ordinals, replicas is 0, serviceName nginx",
    ),
    "another namespace": ("web-0.nginx.prod", {}, None),
    "a name without an ordinal": ("web.nginx.default", {}, None),
    "an ordinal as no set writes it": ("web-00.nginx.default", {}, None),
    "a Service": ("nginx.default", {}, None),
    "a name below a pod": ("x.web-0.nginx.default", {}, None),
    "a label too many": ("web-0.nginx.default.x", {}, None),
}


@pytest.mark.parametrize(("name", "changes", "line"), SETS.values(), ids=SETS.keys())
def test_stateful_set(name: str, changes: dict[str, str], line: str | None, tmp_path: Path) -> None:
    """A pod's name comes with the ordinals of its StatefulSet, whether the pod is there or not."""
    text = MANIFEST
    for old, new in changes.items():
        text = text.replace(old, new)
    (tmp_path / "a.yaml").write_text(text)
    lines = query("--manifests", tmp_path, f"{name}.svc.cluster.local").stdout.splitlines()
    assert [one for one in lines if one.startswith(";; StatefulSet")] == ([line] if line else [])


HINTS = {
    "a pod in default": ("web-0.nginx", WEB_0),
    "a Service in default": ("nginx", "nginx.default.svc.cluster.local"),
    "without svc and zone": ("web-0.nginx.default", WEB_0),
    "without the zone": ("web-0.nginx.default.svc", WEB_0),
    "nothing alike": ("example.com", None),
    "inside the zone": ("web-9.nginx.default.svc.cluster.local", None),
    "too long for a hint": (".".join(["a" * 63] * 3 + ["b" * 61]), None),
}


@pytest.mark.parametrize(("name", "meant"), HINTS.values(), ids=HINTS.keys())
def test_did_you_mean(file: Path, name: str, meant: str | None) -> None:
    """A name that a pod's search list would have completed is refused with the whole name."""
    result = query("--manifests", file, name)
    assert result.exit_code == 1
    hints = [line for line in result.stdout.splitlines() if "did you mean" in line]
    expected = f";; {name}. is not in the zone cluster.local.; did you mean {meant}?"
    assert hints == ([expected] if meant else [])


WRONG = {
    "a type": (["a", "foo"], "'foo' is no RR type; write it as in A, SRV or TYPE65"),
    "a name": (["a..b"], "empty label"),
    "a name outside ASCII": (["caf\xe9.example"], "write it as an A-label"),
    "-x without an address": (["-x", "a"], "'a' is no IP address, which -x asks for."),
    "a server": (["--server", "ns1", "a"], "'ns1' is no server; write it as in 127.0.0.1:1053 or [::1]:1053"),
    "no time": (["--timeout", "0", "a"], "--timeout"),
    "manifests that are not there": (["--manifests", "/nowhere", "a"], "/nowhere: found nothing there"),
    "a kubeconfig that is not there": (["--kubeconfig", "/nowhere", "a"], "kubeconfig /nowhere: there is no such file"),
    "a setting": (["--manifests", "x", "--ttl", "-1", "a"], '--ttl: found "-1"'),
}


@pytest.mark.parametrize(("args", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input(args: list[str], message: str) -> None:
    """Wrong input is said on standard error, with exit code 2 and no traceback."""
    result = query(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_source_by_variable(file: Path) -> None:
    """Manifests that a variable names are a source, too, and --server wins over it."""
    environ = {"HEADLESSDNS_MANIFESTS": str(file)}
    assert query("--short", WEB_0, env=environ).stdout == "10.244.1.10\n"
    assert query("--server", "127.0.0.1:1", WEB_0, env=environ).exit_code == 9


# Of a server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "nginx.yaml").write_text(MANIFEST)
    (folder / "many.yaml").write_text(MANY)
    with Serve("--manifests", folder, "--server-id", "dns-0") as running:
        yield f"127.0.0.1:{running.port}"


def test_server_report(served: str) -> None:
    """A report of a server has its identifier, its time and the size of its response."""
    result = query("--server", served, WEB_0)
    assert result.exit_code == 0
    lines = without_id(result.stdout)
    assert lines[:12] == [
        ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 0",
        ";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1",
        "",
        ";; OPT PSEUDOSECTION:",
        "; EDNS: version: 0, flags:; udp: 1232",
        '; NSID: 64 6e 73 2d 30 ("dns-0")',
        "",
        ";; QUESTION SECTION:",
        f";{WEB_0}.\t\tIN\tA",
        "",
        ";; ANSWER SECTION:",
        f"{WEB_0}.\t5\tIN\tA\t10.244.1.10",
    ]
    assert re.fullmatch(r";; Query time: \d+\.\d msec", lines[13])
    assert lines[14] == f";; SERVER: {served.replace(':', '#')} (UDP)"
    assert re.fullmatch(r";; WHEN: \w{3} \w{3} \d\d \d\d:\d\d:\d\d \S+ \d{4}", lines[15])
    assert lines[16:] == [";; MSG SIZE  rcvd: 91"]


def notes(text: str) -> list[str]:
    """Return the lines from the origins on, without those that tell times and sizes."""
    lines = text.splitlines()
    return [
        line
        for line in lines[lines.index(";; ORIGINS:") + 1 :]
        if line and not line.startswith((";; Query time", ";; WHEN", ";; MSG SIZE"))
    ]


def test_origins_of_what_a_server_says(served: str, file: Path) -> None:
    """With a server and manifests the answer is the server's, and each record has the object that it came from."""
    result = query("--server", served, "--manifests", file, WEB_0)
    assert result.exit_code == 0
    assert f"{WEB_0}.\t5\tIN\tA\t10.244.1.10" in result.stdout.splitlines()
    assert notes(result.stdout) == [
        f"; {WEB_0}. A: EndpointSlice default/nginx-1 ({file}:11: document 3)",
        ";; StatefulSet default/web: ordinals 0 to 1, serviceName nginx",
        f";; SERVER: {served.replace(':', '#')} (UDP)",
        f";; SOURCE: {file}",
    ]


def test_records_of_a_server_whose_origin_is_unknown(served: str, tmp_path: Path) -> None:
    """A record of the server that the objects do not give is said to be unknown, and so is one of another address."""
    other = tmp_path / "other.yaml"
    other.write_text(MANIFEST.partition("---\napiVersion: discovery")[0])
    unknown = f"unknown, {other} has nothing that gives it"
    assert notes(query("--server", served, "--manifests", other, WEB_0).stdout)[0] == (
        f"; {WEB_0}. A 10.244.1.10: {unknown}"
    )
    other.write_text(MANIFEST.replace("10.244.2.10", "10.244.2.99"))
    lines = notes(query("--server", served, "--manifests", other, "nginx.default.svc.cluster.local").stdout)
    assert lines[:2] == [
        f"; nginx.default.svc.cluster.local. A 10.244.1.10: EndpointSlice default/nginx-1 ({other}:11: document 3)",
        f"; nginx.default.svc.cluster.local. A 10.244.2.10: {unknown}",
    ]
    soa = notes(query("--server", served, "--manifests", other, "cluster.local", "SOA").stdout)
    assert soa[0] == "; cluster.local. SOA: Zone cluster.local."
    any_lines = notes(query("--server", served, "--manifests", other, WEB_0, "ANY").stdout)
    assert any_lines[0] == f'; {WEB_0}. HINFO "RFC8482" "": {unknown}'


def test_no_origin_without_records(served: str, file: Path) -> None:
    """A denial has no origins, and a server that does not answer is told although the objects would."""
    result = query("--server", served, "--manifests", file, "nope.default.svc.cluster.local")
    assert result.exit_code == 1
    assert ";; ORIGINS:" not in result.stdout
    assert query("--server", "127.0.0.1:1", "--manifests", file, WEB_0).exit_code == 9


def test_truncated(served: str) -> None:
    """A list that does not fit UDP is had over TCP, whole."""
    result = query("--server", served, "many.default.svc.cluster.local")
    assert ";; flags: qr aa rd; QUERY: 1, ANSWER: 200, AUTHORITY: 0, ADDITIONAL: 1" in result.stdout.splitlines()
    assert ";; Truncated over UDP, asked again over TCP." in result.stdout
    assert f";; SERVER: {served.replace(':', '#')} (TCP)" in result.stdout


def test_tcp(served: str) -> None:
    """--tcp asks over TCP at once."""
    result = query("--server", served, "--tcp", WEB_0)
    assert f";; SERVER: {served.replace(':', '#')} (TCP)" in result.stdout
    assert "Truncated" not in result.stdout


def test_server_hint(served: str) -> None:
    """A server is asked for what a short name could have meant."""
    result = query("--server", served, "web-0.nginx")
    assert result.exit_code == 1
    assert '; EDE: 20 (Not Authoritative)\n; NSID: 64 6e 73 2d 30 ("dns-0")' in result.stdout
    assert f";; web-0.nginx. is not in the zone cluster.local.; did you mean {WEB_0}?" in result.stdout


def test_no_reply() -> None:
    """Where no server is, the exit code is 9 and standard error says so."""
    result = query("--server", "127.0.0.1:1", WEB_0)
    assert (result.exit_code, result.stdout) == (9, "")
    assert result.stderr == ";; no server is at 127.0.0.1:1; start one with `headlessdns serve`, or name another\n"


def test_garbage() -> None:
    """A response that cannot be read is told on standard error, with exit code 1."""
    with server(udp=lambda query: [query[:2] + b"\x84\x00\x00\x01" + bytes(6)]) as where:
        result = query("--server", where, WEB_0, "--timeout", "5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(";; the response cannot be read: ")


def test_server_that_falls_silent() -> None:
    """The response is shown although the server says nothing more when it is asked for a hint."""
    seen: list[bytes] = []

    def once(asked: bytes) -> list[bytes]:
        seen.append(asked)
        return [asked[:2] + b"\x84\x05" + asked[4:]] if len(seen) == 1 else []

    with server(udp=once) as where:
        result = query("--server", where, "nginx", "--timeout", "0.1")
    assert result.exit_code == 1
    assert "status: REFUSED" in result.stdout
    assert "did you mean" not in result.stdout


# From a cluster


class Api(BaseHTTPRequestHandler):
    """An API server that lists two objects in one page each; it does not know streamed lists, and nothing changes."""

    protocol_version = "HTTP/1.1"
    forbidden: str = ""
    slow: str = ""
    over = threading.Event()

    def do_GET(self) -> None:
        path, _, parameters = self.path.partition("?")
        plural = path.rpartition("/")[2]
        if plural == self.forbidden:
            self.send(403, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": f"{plural} is forbidden"})
        elif "sendInitialEvents" in parameters:
            self.send(422, {"kind": "Status", "code": 422, "reason": "Invalid", "message": "sendInitialEvents"})
        elif "watch=" in parameters or plural == self.slow:
            self.over.wait(30)
            self.close_connection = True
        elif plural == "version":
            self.send(200, {"major": "1"})
        else:
            items = [one for one in CLUSTER if one["kind"].lower() + "s" == plural]
            self.send(200, {"kind": "List", "metadata": {"resourceVersion": "7"}, "items": items})

    def send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


CLUSTER = [one for one in yaml.safe_load_all(MANIFEST) if one["metadata"]["name"] != "nginx-2"]
for one in CLUSTER:
    one["metadata"]["namespace"] = "default"


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kubeconfig that leads to an API server of the test's own."""
    monkeypatch.setattr(Api, "over", threading.Event())
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        path = tmp_path / "kubeconfig"
        url = f"http://127.0.0.1:{server.server_port}"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
            "contexts: [{name: test, context: {cluster: test, user: test}}]\n"
            f"clusters: [{{name: test, cluster: {{server: '{url}'}}}}]\n"
            "users: [{name: test, user: {token: secret}}]\n"
        )
        yield path
        Api.over.set()
        server.shutdown()
        thread.join()


def test_cluster(kubeconfig: Path) -> None:
    """With a kubeconfig the cluster is listed once, and the answer is from it."""
    result = query("--kubeconfig", kubeconfig, WEB_0)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert f"{WEB_0}.\t5\tIN\tA\t10.244.1.10" in lines
    assert f"; {WEB_0}. A: EndpointSlice default/nginx-1" in lines
    assert ";; StatefulSet default/web: ordinals 0 to 1, serviceName nginx" in lines
    assert re.fullmatch(r";; SOURCE: http://127\.0\.0\.1:\d+", lines[-2])


def test_forbidden_kind(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that is forbidden is warned of, and done without."""
    monkeypatch.setattr(Api, "forbidden", "statefulsets")
    result = query("--kubeconfig", kubeconfig, "--short", WEB_0)
    assert (result.exit_code, result.stdout) == (0, "10.244.1.10\n")
    assert "statefulsets: the API server forbids list and watch" in result.stderr


def test_list_that_does_not_come(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that does not come in time is named, instead of an answer that may be wrong."""
    monkeypatch.setattr(Api, "slow", "services")
    monkeypatch.setattr(source, "LIST_S", 0.7)
    result = query("--kubeconfig", kubeconfig, WEB_0)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+: not listed within 0\.7 s: Services; try again\n", result.stderr)
