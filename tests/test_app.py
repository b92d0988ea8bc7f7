"""The wiring: readiness, staleness, our own address, serials, and a change on disk that is answered."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import msgspec
import pytest

from headlessdns import names
from headlessdns.app import Pipeline, SerialFile, _cookie_secret, settings_of
from headlessdns.cluster.objects import RESOURCES, Forbid, Key, Kind, Put, Replace
from headlessdns.config import ServeConfig, load
from headlessdns.errors import ConfigError
from headlessdns.wire.answers import Table
from headlessdns.wire.respond import Client, Identity, respond

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_800_000_000


def settings(*flags: str) -> ServeConfig:
    given: dict[str, object] = {"manifests": ("unused",)}
    for flag in flags:
        name, _, value = flag.partition("=")
        given[name] = (value,) if name in ("namespace", "listen", "ns_address") else value
    return load(given, {}, hostname="test")


def make(kind: Kind, namespace: str, name: str, **fields: Any) -> Put:
    labels = fields.pop("labels", {})
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return Put(kind, msgspec.convert({"metadata": metadata, **fields}, RESOURCES[kind].struct))


class Served:
    """A pipeline whose frames go into a table, as they do in a worker."""

    def __init__(self, config: ServeConfig) -> None:
        self.pipeline = Pipeline(config, settings_of(config, [("127.0.0.1", 53)]), 0)
        self.table = Table()
        self.step()

    def step(self, *events: Any) -> bool:
        for event in events:
            self.pipeline.take(event)
        delta = self.pipeline.step(NOW)
        if delta is not None:
            self.table.apply(delta)
        return delta is not None

    def list_required(self) -> None:
        self.step(Replace(Kind.SERVICE, []), Replace(Kind.ENDPOINT_SLICE, []))

    def list_all(self) -> None:
        self.step(*(Replace(kind, []) for kind in Kind))

    def ask(self, name: str, qtype: str = "A") -> dns.message.Message:
        query = dns.message.make_query(name, qtype, use_edns=0).to_wire()
        response = respond(query, self.table, Identity(), Client(b"\x7f\x00\x00\x01"), NOW)
        assert isinstance(response, bytes)
        return dns.message.from_wire(response)

    def rcode(self, name: str, qtype: str = "A") -> str:
        return dns.rcode.to_text(self.ask(name, qtype).rcode())

    def errors(self, name: str) -> list[int]:
        return [int(option.code) for option in self.ask(name).options if option.otype == 15]


@pytest.fixture
def served() -> Served:
    return Served(settings())


def test_nothing_is_denied_before_services_and_slices_are_listed(served: Served) -> None:
    """Until both required kinds are listed every name of ours is SERVFAIL with EDE 14, and others are refused."""
    served.step(Replace(Kind.SERVICE, []))
    assert served.rcode("web-0.nginx.default.svc.cluster.local") == "SERVFAIL"
    assert served.errors("web-0.nginx.default.svc.cluster.local") == [14]
    assert served.rcode("1.0.0.10.in-addr.arpa", "PTR") == "SERVFAIL"
    assert served.rcode("cluster.local", "SOA") == "SERVFAIL"
    assert served.rcode("example.com") == "REFUSED"
    served.step(Replace(Kind.ENDPOINT_SLICE, []))
    assert served.rcode("web-0.nginx.default.svc.cluster.local") == "NXDOMAIN"
    assert served.rcode("cluster.local", "SOA") == "NOERROR"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("10-0-0-1.default.pod.cluster.local", "SERVFAIL", "NXDOMAIN"),
        ("default.pod.cluster.local", "SERVFAIL", "NXDOMAIN"),
        ("default.svc.cluster.local", "SERVFAIL", "NXDOMAIN"),
        ("nginx.default.svc.cluster.local", "NXDOMAIN", "NXDOMAIN"),
        ("pod.cluster.local", "NOERROR", "NOERROR"),
        ("svc.cluster.local", "NOERROR", "NOERROR"),
    ],
)
def test_optional_kinds_hold_back_only_denials_that_need_them(
    served: Served, name: str, before: str, after: str
) -> None:
    """While Pods and Namespaces are not listed, only a denial that needs them is SERVFAIL."""
    served.list_required()
    assert served.rcode(name) == before
    served.list_all()
    assert served.rcode(name) == after


def test_forbidden_pods_switch_pod_names_off(served: Served) -> None:
    """Where Pods are forbidden, pod address names are denied instead of held back for ever."""
    served.list_required()
    served.step(Forbid(Kind.POD, "forbidden"), Replace(Kind.NAMESPACE, []))
    assert served.rcode("10-0-0-1.default.pod.cluster.local") == "NXDOMAIN"


def test_forbidden_namespaces_exist_by_what_is_in_them(served: Served) -> None:
    """Where Namespaces are forbidden, one exists when an object in it does."""
    served.list_required()
    served.step(Forbid(Kind.NAMESPACE, "forbidden"), Replace(Kind.POD, []))
    assert served.rcode("default.svc.cluster.local") == "NXDOMAIN"
    served.step(make(Kind.POD, "default", "web-0", status={"podIP": "10.0.0.1"}))
    assert served.rcode("default.svc.cluster.local") == "NOERROR"
    assert served.rcode("10-0-0-1.default.pod.cluster.local") == "NOERROR"


def test_stale_answers_say_so(served: Served) -> None:
    """When the API is silent the answers go on, with EDE 3, and 19 on NXDOMAIN."""
    served.list_all()
    served.step(make(Kind.SERVICE, "default", "api", spec={"clusterIP": "10.96.0.9"}))
    served.pipeline.is_stale = True
    assert served.step()
    assert served.errors("api.default.svc.cluster.local") == [3]
    assert served.errors("no.default.svc.cluster.local") == [19]
    assert served.rcode("api.default.svc.cluster.local") == "NOERROR"
    served.pipeline.is_stale = False
    served.step()
    assert served.errors("api.default.svc.cluster.local") == []


def test_an_event_that_changes_nothing_sends_nothing(served: Served) -> None:
    """The same object twice is one step: level, not edge."""
    served.list_all()
    event = make(Kind.SERVICE, "default", "api", spec={"clusterIP": "10.96.0.9"})
    assert served.step(event)
    serial = served.pipeline.zones.serials[names.from_text("cluster.local")]
    assert not served.step(event)
    assert served.pipeline.zones.serials[names.from_text("cluster.local")] == serial


def test_the_name_server_has_the_address_of_its_own_service() -> None:
    """With --service the name server's address is that Service's cluster IP, as soon as it is known."""
    served = Served(settings("service=dns/headlessdns"))
    served.list_all()
    assert served.ask("ns.dns.cluster.local").answer == []
    served.step(make(Kind.SERVICE, "dns", "headlessdns", spec={"clusterIP": "10.96.0.53"}))
    assert [str(rdata) for rdata in served.ask("ns.dns.cluster.local").answer[0]] == ["10.96.0.53"]
    glue = served.ask("cluster.local", "NS").additional
    assert [str(rdata) for rdata in glue[0]] == ["10.96.0.53"]


def test_without_a_service_the_listening_address_is_the_name_servers() -> None:
    """On a laptop the name server's address is the one that it listens on."""
    served = Served(settings())
    served.list_all()
    assert [str(rdata) for rdata in served.ask("ns.dns.cluster.local").answer[0]] == ["127.0.0.1"]


def test_serials_grow_across_restarts(tmp_path: Path) -> None:
    """A serial that was reserved is never gone below, even by a clock that went back."""
    file = tmp_path / "serial"
    first = SerialFile(file)
    assert first.read() == 0
    first.reserve(4_000_000_000)
    assert SerialFile(file).read() > 4_000_000_000


SERIALS = [
    pytest.param(b"soon", '"soon"', id="a word"),
    pytest.param(b"-5", '"-5"', id="a negative number"),
    pytest.param(b"4294967296", '"4294967296"', id="over 32 bits"),
    pytest.param(b"9" * 5000, '"99999999999999999999"', id="thousands of digits"),
    pytest.param("\N{SUPERSCRIPT TWO}".encode(), '"\\ufffd\\ufffd"', id="a digit outside ASCII"),
]


@pytest.mark.parametrize(("octets", "shown"), SERIALS)
def test_a_broken_serial_file_is_told(tmp_path: Path, octets: bytes, shown: str) -> None:
    """A serial file with something else in it stops the start."""
    file = tmp_path / "serial"
    file.write_bytes(octets)
    with pytest.raises(ConfigError) as caught:
        SerialFile(file).read()
    expected = "expected one number, 0 to 4294967295; remove it to begin anew"
    assert str(caught.value) == f"--serial-file {file}: found {shown}; {expected}"


def test_an_empty_serial_file_is_a_beginning(tmp_path: Path) -> None:
    """A serial file without anything in it counts as none, and serials wrap at 32 bits (RFC 1982 §2)."""
    file = tmp_path / "serial"
    file.write_bytes(b" \n")
    assert SerialFile(file).read() == 0
    SerialFile(file).reserve(2**32 - 1)
    assert SerialFile(file).read() == 3599


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who may not read all, as root may."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("what", ["a file", "a folder above it"])
@pytest.mark.parametrize("flag", ["--serial-file", "--cookie-secret-file"])
def test_files_that_may_not_be_read(tmp_path: Path, what: str, flag: str) -> None:
    """A file that this user may not read is one line that says so."""
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_text("1")
    (file if what == "a file" else file.parent).chmod(0)
    tmp_path.chmod(0o755)
    read = SerialFile(file).read if flag == "--serial-file" else lambda: _cookie_secret(file)
    try:
        with as_nobody(), pytest.raises(ConfigError) as caught:
            read()
    finally:
        file.parent.chmod(0o700)
    remedy = "grant this user the right to read it, or name another file"
    assert str(caught.value) == f"{flag} {file}: found Permission denied; expected a file to read; {remedy}"


def test_folders_and_pipes_are_no_files(tmp_path: Path) -> None:
    """A folder, and a pipe where something has to be kept, are told with the remedy that fits."""
    with pytest.raises(ConfigError) as caught:
        SerialFile(tmp_path).read()
    assert str(caught.value) == f"--serial-file {tmp_path}: found a folder; expected a file; name a file in it"
    with pytest.raises(ConfigError) as caught:
        _cookie_secret(tmp_path)
    assert str(caught.value) == f"--cookie-secret-file {tmp_path}: found a folder; expected a file; name a file in it"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError) as caught:
        SerialFile(tmp_path / "pipe").read()
    assert str(caught.value) == f"--serial-file {tmp_path}/pipe: found a pipe; expected a file; name a file"


@pytest.mark.parametrize(("octets", "shown"), [(b"x", "1 octets"), (bytes(9999), "4096 octets or more")])
def test_a_cookie_secret_of_another_size(tmp_path: Path, octets: bytes, shown: str) -> None:
    """A key of another size is told with how to make one; 32 octets and 64 digits are taken."""
    file = tmp_path / "secret"
    file.write_bytes(octets)
    with pytest.raises(ConfigError) as caught:
        _cookie_secret(file)
    assert str(caught.value) == (
        f"--cookie-secret-file {file}: found {shown}; expected 32 octets, or 64 hexadecimal digits; make one with: "
        f"openssl rand -hex 32 > {file}"
    )
    for right in (bytes(range(32)), bytes(range(32)).hex().encode() + b"\n"):
        file.write_bytes(right)
        assert _cookie_secret(file) == bytes(range(32))


def test_a_disk_that_fails_does_not_stop_the_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A serial that cannot be kept is logged."""
    SerialFile(tmp_path / "gone" / "serial").reserve(1)
    assert "cannot keep the serial" in caplog.text


def slice_of(address: str) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata: {{name: nginx, namespace: default}}
spec: {{clusterIP: None}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: nginx-1, namespace: default, labels: {{kubernetes.io/service-name: nginx}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}], hostname: web-0}}]
"""


def test_a_change_on_disk_is_answered_within_a_second(tmp_path: Path) -> None:
    """`serve` follows its manifests, survives a broken one, and leaves with 0 on SIGTERM."""
    file = tmp_path / "nginx.yaml"
    file.write_text(slice_of("10.0.0.1"))
    command = [sys.executable, "-m", "headlessdns", "serve", "--manifests", str(tmp_path), "--lameduck", "0"]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--http", "off", "--log", "text"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "answers cluster.local" in line)
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found
            port = int(found[1])

            def addresses() -> list[str]:
                query = dns.message.make_query("web-0.nginx.default.svc.cluster.local", "A")
                response = dns.query.udp(query, "127.0.0.1", port=port, timeout=2)
                assert response.flags & dns.flags.AA
                return [str(rdata) for rrset in response.answer for rdata in rrset]

            assert addresses() == ["10.0.0.1"]
            file.write_text(slice_of("10.0.0.2"))
            changed_s = time.monotonic()
            while addresses() != ["10.0.0.2"]:
                assert time.monotonic() - changed_s < 5, "the change was never answered"
                time.sleep(0.02)
            took_s = time.monotonic() - changed_s
            file.write_text("kind: [")
            line = next(line for line in process.stderr if "nginx.yaml" in line)
            assert "stays in use" in line
            assert addresses() == ["10.0.0.2"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert took_s < 1.5  # a second is promised; the machine may be busy


def test_key_is_what_service_means() -> None:
    """--service takes NAMESPACE/NAME."""
    assert settings("service=dns/headlessdns").service == Key("dns", "headlessdns")
