"""`headlessdns controller` as an operator meets it, up to where it needs a cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headlessdns.cli import controller as controller_command
from headlessdns.cli.main import main
from headlessdns.config import CONTROLLER_SETTINGS, ControllerConfig
from tests.cli.test_serve import catches
from tests.cluster.api_server import write_kubeconfig
from tests.peers.process import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "apiVersion: headlessdns.io/v1alpha1\nkind: HeadlessDNSConfiguration\n"
COMMAND = [sys.executable, "-m", "headlessdns", "controller"]


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HEADLESSDNS_") or name == "KUBERNETES_SERVICE_HOST":
            monkeypatch.delenv(name)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[ControllerConfig]:
    """The settings with which controllers would have run; each says 0."""
    found: list[ControllerConfig] = []

    async def run(settings: ControllerConfig) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr(controller_command, "_run", run)
    return found


def invoke(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(main, ["controller", *args], **kwargs)


def run(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, text=True, timeout=30, env={**os.environ, **(env or {})}
    )


# Settings


def test_help_names_every_setting() -> None:
    """--help shows each flag with its default, under its heading, and how to set it otherwise."""
    text = invoke("--help").output
    for setting in CONTROLLER_SETTINGS:
        assert f"--{setting.flag}" in text
    words = " ".join(text.split())
    assert "--statefulsets auto|always|never Reconcile StatefulSets where nobody else does" in words
    assert "[default: 50]" in words
    assert "--concurrent-syncs is HEADLESSDNS_CONCURRENT_SYNCS and concurrentSyncs" in words
    assert "Exit codes: 0 after SIGTERM or SIGINT, 2 where" in words
    assert not [line for line in text.splitlines() if len(line) > 80]


def test_help_in_one_line() -> None:
    """The list of commands says what it is for."""
    assert "controller  Keep the pods of StatefulSets and OrdinalSets." in CliRunner().invoke(main, ["--help"]).output


def test_all_three_places(runs: list[ControllerConfig], tmp_path: Path) -> None:
    """Flags, variables and the file of --config come together."""
    file = tmp_path / "headlessdns.yaml"
    file.write_text(f"{HEADER}kubeconfig: k\nqps: 7\nburst: 8\nstatefulsets: never\n")
    env = {"HEADLESSDNS_QPS": "9", "HEADLESSDNS_BURST": "10"}
    flags = ["--config", str(file), "--burst", "11", "--no-elect", "--namespace", "a", "--namespace", "b"]
    assert invoke(*flags, env=env).exit_code == 0
    (settings,) = runs
    assert (settings.qps, settings.burst, settings.statefulsets) == (9, 11, "never")
    assert settings.namespaces == ("a", "b")
    assert settings.elect is False
    assert settings.concurrent_syncs == 16
    assert str(settings.kubeconfig) == "k"


def test_slip_in_a_variable(runs: list[ControllerConfig]) -> None:
    """A variable that is nearly one of ours is told, and the controller runs."""
    result = invoke("--kubeconfig", "k", "--log", "text", env={"HEADLESSDNS_QBS": "2"})
    assert "HEADLESSDNS_QBS is no setting and is passed over; did you mean HEADLESSDNS_QPS?" in result.stderr
    assert runs


def test_no_cluster() -> None:
    """Without a cluster the program says what it needs, in one line."""
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "headlessdns controller: found no cluster; expected --kubeconfig FILE, or to run in a pod of the cluster; add "
        "the flag\n"
    )


WRONG = [
    pytest.param(["--qps", "fast"], '--qps: found "fast"; expected requests a second, 0 to 100000', id="no number"),
    pytest.param(["--qps", "-1"], '--qps: found "-1"; expected requests a second, 0 to 100000', id="negative"),
    pytest.param(["--burst", "0"], '--burst: found "0"; expected requests, 1 to 100000', id="no burst"),
    pytest.param(["--statefulsets", "maybe"], '--statefulsets: found "maybe"; expected', id="neither auto nor always"),
    pytest.param(["--lease-name", "A b"], '--lease-name: found "A b"; expected the name of a Lease', id="no name"),
    pytest.param(["--http", "here"], '--http: found "here"; expected', id="no address"),
    pytest.param(["--concurrent-syncs", "0"], '--concurrent-syncs: found "0"; expected sets, 1 to 1000', id="no sync"),
]


@pytest.mark.parametrize(("flags", "text"), WRONG)
def test_wrong_flags(flags: list[str], text: str) -> None:
    """A flag that cannot be used is one line that says what was found and expected, and exit code 2."""
    result = invoke("--kubeconfig", "k", *flags)
    assert result.exit_code == 2
    assert result.stderr.startswith(text)
    assert result.stderr.count("\n") == 1


def test_every_fault_at_once() -> None:
    """Two wrong flags are two lines, and JSON lines where the log is to be JSON."""
    flags = ["--kubeconfig", "k", "--qps", "x", "--burst", "0"]
    done = run(*flags)
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["--qps", "--burst"]
    done = run(*flags, "--log", "json")
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"].partition(":")[0]) for line in lines] == [
        ("error", "--qps"),
        ("error", "--burst"),
    ]


def test_unknown_flag() -> None:
    """A flag that there is not is told with those that are like it."""
    result = invoke("--kubeconfig", "k", "--dryrun")
    assert result.exit_code == 2
    assert "No such option" in result.stderr
    assert "--dry-run" in result.stderr


# The way to the API server


def test_no_such_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig that is not there is one line."""
    done = run("--kubeconfig", str(tmp_path / "nowhere"), "--http", "off")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "nowhere") in done.stderr


def test_api_server_away(tmp_path: Path) -> None:
    """An API server that is not there ends the start in one line that says what to do, and in JSON if wished."""
    url = f"http://127.0.0.1:{free_port()}"
    flags = ["--kubeconfig", str(write_kubeconfig(tmp_path / "config", url)), "--http", "off"]
    done = run(*flags)
    reason = f"{url} cannot be reached ("
    assert done.returncode == 2
    assert done.stderr.startswith(reason)
    assert "; start the API server, or correct the server in kubeconfig " in done.stderr
    assert done.stderr.count("\n") == 1
    done = run(*flags, "--log", "json")
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"].startswith(reason)


def test_http_port_taken(tmp_path: Path) -> None:
    """A port for HTTP that another program has stops the start in one line."""
    with silent_api() as url, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        http = f"127.0.0.1:{other.getsockname()[1]}"
        config = write_kubeconfig(tmp_path / "config", url)
        done = run("--kubeconfig", str(config), "--http", http)
    assert done.returncode == 2
    assert done.stderr == (
        f"cannot serve http://{http}: another program is there; choose another port with --http, or --http off\n"
    )


class silent_api:  # noqa: N801  # it is used as a function
    """An API server that answers /version and nothing else."""

    def __init__(self, *, answers_version: bool = True) -> None:
        self._answers_version = answers_version
        self._connections: list[socket.socket] = []
        self.asked = threading.Event()

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            if connection.recv(4096).startswith(b"GET /version ") and self._answers_version:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            self.asked.set()

    def __exit__(self, *error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for connection in self._connections:
            connection.close()


# Leaving

NUMBERS = [pytest.param(signal.SIGTERM, id="SIGTERM"), pytest.param(signal.SIGINT, id="SIGINT")]


@pytest.fixture
def unanswered() -> Iterator[tuple[silent_api, str]]:
    api = silent_api(answers_version=False)
    with api as url:
        yield api, url


@pytest.mark.parametrize("number", NUMBERS)
def test_signals_before_the_api_server_answers(
    number: signal.Signals, unanswered: tuple[silent_api, str], tmp_path: Path
) -> None:
    """An API server that takes connections and says nothing holds nobody up who is told to leave."""
    api, url = unanswered
    config = write_kubeconfig(tmp_path / "config", url)
    command = [*COMMAND, "--kubeconfig", str(config), "--http", "off", "--log", "text"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert api.asked.wait(10)
        process.send_signal(number)
        assert process.wait(6) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("number", NUMBERS)
def test_signals_before_anything_is_listed(number: signal.Signals, tmp_path: Path) -> None:
    """Lists and a Lease that do not come hold nobody up either."""
    with silent_api() as url:
        config = write_kubeconfig(tmp_path / "config", url)
        command = [*COMMAND, "--kubeconfig", str(config), "--http", "off", "--log", "text"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "headlessdns controller for" in process.stderr.readline()
            process.send_signal(number)
            assert process.wait(6) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is missing; it is there on Linux")
@pytest.mark.parametrize("wait_s", [0.0, 0.2, 0.5])
def test_signals_during_the_start(wait_s: float, tmp_path: Path) -> None:
    """From the first moment of the command on a signal ends it soon, with exit code 0 and without a word of trouble."""
    with silent_api(answers_version=False) as url:
        config = write_kubeconfig(tmp_path / "config", url)
        command = [*COMMAND, "--kubeconfig", str(config), "--http", "off", "--log", "text"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: catches(process.pid, signal.SIGTERM), "a handler", 10)
            time.sleep(wait_s)  # that is the row: how far the start has come
            process.send_signal(signal.SIGTERM)
            assert process.wait(6) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""


def test_own_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod the Lease is in the pod's namespace, elsewhere in `default`."""
    file = tmp_path / "namespace"
    monkeypatch.setattr(controller_command, "OWN_NAMESPACE", file)
    assert controller_command._own_namespace() == "default"
    file.write_text("dns\n")
    assert controller_command._own_namespace() == "dns"
    file.write_text("")
    assert controller_command._own_namespace() == "default"
