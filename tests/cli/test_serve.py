"""`headlessdns serve` up to where the server begins, and what stops it before that."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headlessdns import app
from headlessdns.cli.main import main
from headlessdns.config import Listen, ServeConfig
from tests.cluster.api_server import write_kubeconfig
from tests.peers.process import wait_until
from tests.serving import Serve

HEADER = "apiVersion: headlessdns.io/v1alpha1\nkind: HeadlessDNSConfiguration\n"


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HEADLESSDNS_") or name == "KUBERNETES_SERVICE_HOST":
            monkeypatch.delenv(name)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[ServeConfig]:
    """The settings with which servers would have run; each says 0."""
    found: list[ServeConfig] = []

    def run(config: ServeConfig) -> int:
        found.append(config)
        return 0

    monkeypatch.setattr(app, "run", run)
    return found


def serve(*args: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(main, ["serve", *args], **kwargs)


def test_all_three_places(runs: list[ServeConfig], tmp_path: Path) -> None:
    """Flags, variables and the file of --config come together."""
    file = tmp_path / "headlessdns.yaml"
    file.write_text(f"{HEADER}manifests: [a]\nworkers: 3\nttl: 1\nzone: file.example\n")
    result = serve(
        "--config", str(file), "--listen", "127.0.0.1:1", "--listen", "[::1]:2", "--no-chaos",
        env={"HEADLESSDNS_TTL": "2", "HEADLESSDNS_ZONE": "variable.example"},
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (config,) = runs
    assert config.manifests == (Path("a"),)
    assert config.workers == 3
    assert config.ttl_s == 2
    assert config.zone == b"\x08variable\x07example\x00"
    assert config.listen == (Listen("127.0.0.1", 1), Listen("::1", 2))
    assert config.chaos is False
    assert config.server_id == socket.gethostname()


def test_file_by_variable(runs: list[ServeConfig], tmp_path: Path) -> None:
    """HEADLESSDNS_CONFIG names the file, too."""
    file = tmp_path / "headlessdns.yaml"
    file.write_text(f"{HEADER}manifests: a\n")
    assert serve(env={"HEADLESSDNS_CONFIG": str(file)}).exit_code == 0
    assert runs[0].manifests == (Path("a"),)


def test_exit_code_is_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is what the server ends with."""
    monkeypatch.setattr(app, "run", lambda config: 7)
    assert serve("--manifests", "a").exit_code == 7


def test_slip_in_a_variable(runs: list[ServeConfig]) -> None:
    """A variable that is nearly one of ours is told, and the server runs."""
    result = serve("--manifests", "a", "--log", "text", env={"HEADLESSDNS_WORKER": "2"})
    assert "HEADLESSDNS_WORKER is no setting and is passed over; did you mean HEADLESSDNS_WORKERS?" in result.stderr
    assert runs[0].workers == 1


def wrong_files(folder: Path) -> dict[str, str]:
    (folder / "folder").mkdir()
    (folder / "latin").write_bytes(b"# caf\xe9\n")
    return {
        "missing": "found No such file or directory; expected a file that can be read; correct --config or "
        "HEADLESSDNS_CONFIG",
        "folder": "found a folder; expected a file; name a file in it",
        "latin": "found octets that are no UTF-8; expected YAML in UTF-8; save the file as UTF-8 text",
    }


@pytest.mark.parametrize("name", ["missing", "folder", "latin"])
def test_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    """A configuration file that cannot be read is one line and exit code 2."""
    expected = wrong_files(tmp_path)[name]
    result = serve("--config", str(tmp_path / name))
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path / name}: {expected}\n")


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    env = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    command = [sys.executable, "-m", "headlessdns", "serve", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=env)


def test_no_source() -> None:
    """Without a source the program names the three ways, in one line."""
    done = run()
    assert done.returncode == 2
    assert done.stderr == (
        "headlessdns serve: found nothing to serve; expected --manifests PATH (files), --kubeconfig FILE (a cluster), "
        "or to run in a pod of the cluster; add one of the two flags\n"
    )


def test_every_fault_at_once() -> None:
    """Two wrong flags are two lines."""
    done = run("--manifests", "a", "--workers", "0", "--ttl", "x")
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["--workers", "--ttl"]


@pytest.mark.parametrize("chosen", [["--log", "json"], ["--log=json"], []], ids=["flag", "flag with =", "variable"])
def test_faults_are_json_where_the_log_is(chosen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a JSON log every fault before the start is a JSON line of the level error; the exit code stays."""
    if not chosen:
        monkeypatch.setenv("HEADLESSDNS_LOG", "json")
    done = run("--manifests", "a", "--workers", "0", "--ttl", "x", *chosen)
    assert (done.returncode, done.stdout) == (2, "")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"].partition(":")[0]) for line in lines] == [
        ("error", "--workers"),
        ("error", "--ttl"),
    ]
    done = run("--nonsense", *chosen)
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"].startswith("No such option")
    done = run("--manifests", "nowhere", "--listen", "127.0.0.1:0", "--http", "off", *chosen)
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"].startswith("nowhere: found nothing there")


def test_faults_are_json_where_the_file_says_so(tmp_path: Path) -> None:
    """A log that only the configuration file makes JSON is JSON once the file is read."""
    file = tmp_path / "headlessdns.yaml"
    file.write_text(f"{HEADER}manifests: nowhere\nlisten: 127.0.0.1:0\nhttp: off\nlog: json\n")
    done = run("--config", str(file))
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"].startswith("nowhere: found nothing there")


def test_the_flag_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text log stays text, whatever the variable says."""
    monkeypatch.setenv("HEADLESSDNS_LOG", "json")
    done = run("--log", "text", "--manifests", "a", "--workers", "0")
    assert done.stderr.startswith('--workers: found "0"')


# Leaving


def catches(pid: int, number: int) -> bool:
    """Tell whether the process *pid* has a handler for the signal *number*."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(found and int(found[1], 16) >> number - 1 & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is missing; it is there on Linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.2, 0.3, 0.5, 0.8])
def test_signals_during_the_start(number: signal.Signals, wait_s: float, tmp_path: Path) -> None:
    """From the first moment of the command on a signal ends it soon, with exit code 0 and without a word of trouble."""
    (tmp_path / "a.yaml").write_text(SERVICE)
    flags = ["--manifests", str(tmp_path), "--listen", "127.0.0.1:0", "--http", "off", "--lameduck", "0"]
    command = [sys.executable, "-m", "headlessdns", "serve", *flags, "--log", "text"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        # Python itself has a handler for SIGINT.
        wait_until(lambda: catches(process.pid, signal.SIGTERM), "a handler", 10)
        time.sleep(wait_s)  # that is the row: how far the start has come
        process.send_signal(number)
        assert process.wait(6) == 0
        assert process.stderr is not None
        assert not [line for line in process.stderr.read().splitlines() if " info " not in line]


def test_handlers_come_before_what_takes_time() -> None:
    """The handlers are there before the settings are even imported, and are gone when the command is over."""
    code = (
        "import signal, sys\n"
        "from headlessdns.cli import leaving, main\n"
        "real = leaving.at_once\n"
        "leaving.at_once = lambda: [print('headlessdns.config' in sys.modules), real()][1]\n"
        "main.main(['serve', '--workers', '0'], standalone_mode=False)\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "False\nTrue\n", done.stderr


def test_signals_while_the_api_server_is_silent(tmp_path: Path) -> None:
    """An API server that takes connections and says nothing holds nobody up who is told to leave."""
    with socket.create_server(("127.0.0.1", 0)) as api:
        api.settimeout(10)
        config = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{api.getsockname()[1]}")
        flags = ["--kubeconfig", str(config), "--listen", "127.0.0.1:0", "--http", "off", "--log", "text"]
        command = [sys.executable, "-m", "headlessdns", "serve", *flags]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = api.accept()
            with connection:
                assert connection.recv(4096).startswith(b"GET /version ")
                process.send_signal(signal.SIGTERM)
                assert process.wait(6) == 0
                assert process.stderr is not None
                assert process.stderr.read() == ""


def test_who_was_never_ready_leaves_at_once(tmp_path: Path) -> None:
    """Before the lists are there the start says that names are SERVFAIL, and nobody is kept waiting by the lameduck."""
    with socket.create_server(("127.0.0.1", 0)) as api:
        silent: list[socket.socket] = []

        def answer_versions() -> None:
            while True:
                try:
                    connection, _ = api.accept()
                except OSError:
                    return
                if connection.recv(4096).startswith(b"GET /version "):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                silent.append(connection)

        thread = threading.Thread(target=answer_versions, daemon=True)
        thread.start()
        config = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{api.getsockname()[1]}")
        with Serve("--kubeconfig", config, "--lameduck", "60") as server:
            until = "(UDP and TCP), with SERVFAIL until Services and EndpointSlices are listed"
            assert until in server.log.read_text()
            assert server.ask("nginx.default.svc.cluster.local")[0] == "SERVFAIL"
            assert server.process.stop(grace_s=5) == 0
        api.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in silent:
            connection.close()


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: nginx}\nspec: {clusterIP: None}\n"


def test_http_port_taken(tmp_path: Path) -> None:
    """A port for HTTP that another program has stops the start in one line."""
    (tmp_path / "a.yaml").write_text(SERVICE)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        http = f"127.0.0.1:{other.getsockname()[1]}"
        done = run("--manifests", str(tmp_path), "--listen", "127.0.0.1:0", "--http", http)
    assert done.returncode == 2
    assert done.stderr == (
        f"cannot serve http://{http}: another program is there; choose another port with --http, or --http off\n"
    )


def test_one_of_a_kind(tmp_path: Path) -> None:
    """One object is one object, two are objects."""
    (tmp_path / "a.yaml").write_text(SERVICE + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n")
    with Serve("--manifests", tmp_path) as server:
        counts = "read 1 Service, 0 EndpointSlices, 0 Pods; 1 object of other kinds was skipped"
        wait_until(lambda: counts in server.log.read_text(), counts, 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signals_end_it_well(number: signal.Signals, tmp_path: Path) -> None:
    """A server that is told to leave ends with exit code 0."""
    (tmp_path / "a.yaml").write_text(SERVICE)
    with Serve("--manifests", tmp_path) as server:
        os.kill(server.process.pid, number)
        assert server.process.stop(grace_s=10) == 0
