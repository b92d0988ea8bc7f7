"""`headlessdns serve` up to where the server begins, and what stops it before that."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headlessdns import app
from headlessdns.cli.main import main
from headlessdns.config import Listen, ServeConfig
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
        "folder": "found Is a directory; expected a file that can be read; correct --config or HEADLESSDNS_CONFIG",
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signals_end_it_well(number: signal.Signals, tmp_path: Path) -> None:
    """A server that is told to leave ends with exit code 0."""
    (tmp_path / "a.yaml").write_text(SERVICE)
    with Serve("--manifests", tmp_path) as server:
        os.kill(server.process.pid, number)
        assert server.process.stop(grace_s=10) == 0
