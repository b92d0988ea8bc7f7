"""Real programs are found where they should be, and processes of tests end with them."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.peers import MODULES, PEERS, PeerMissingError, cache_bin, find
from tests.peers.__main__ import linker_flags, version, wanted_go
from tests.peers.process import FIRST_PORT, LAST_PORT, Process, ProcessError, free_port, wait_until


def program(folder: Path, name: str, mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(mode)
    return folder / name


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no other place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return cache_bin()


def test_assets_come_before_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in KUBEBUILDER_ASSETS is taken first; what that folder lacks is looked for in the cache."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    cached = program(cache, "etcd")
    assert find("etcd") == cached
    assert find("etcd") != program(tmp_path / "assets", "etcd", mode=0o644)
    (tmp_path / "assets" / "etcd").chmod(0o755)
    assert find("etcd") == tmp_path / "assets" / "etcd"


def test_missing_program_is_named_with_its_remedy(cache: Path) -> None:
    """Whoever lacks a program is told which one and how to get it."""
    with pytest.raises(PeerMissingError, match=r"^kubectl is missing: run `make peers`"):
        find("kubectl")


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_is_pinned(name: str) -> None:
    """Each program is a main package of a module that has checksums."""
    peer = PEERS[name]
    assert (MODULES / peer.module / "go.sum").is_file()
    assert (MODULES / peer.module / peer.package / "main.go").is_file()


def test_versions() -> None:
    """The pinned versions are those that the documentation names."""
    assert wanted_go() == (1, 26, 0)
    assert "version.gitVersion=v1.36.3 " in linker_flags()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("go1.26.6\n", (1, 26, 6), id="a release"),
        pytest.param("1.26", (1, 26, 0), id="the go line of a go.mod"),
        pytest.param("devel", (), id="no numbers"),
    ],
)
def test_go_version(text: str, numbers: tuple[int, ...]) -> None:
    """A Go version is read as its three numbers."""
    assert version(text) == numbers


def test_free_port_is_not_given_to_clients() -> None:
    """A server's port is below those that Linux gives to connections."""
    assert FIRST_PORT <= free_port() <= LAST_PORT < 32_768


def test_process_that_ends_shows_its_log(tmp_path: Path) -> None:
    """A process that ends before it is ready is an error with what it said."""
    process = Process([sys.executable, "-c", "print('no such flag'); raise SystemExit(3)"], tmp_path / "log")
    process.start()
    with pytest.raises(ProcessError, match=r"ended with code 3\n(?s:.*)no such flag"):
        process.wait_ready(lambda: False, deadline_s=20)


def test_process_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    """A process that is not ready in time is an error, and can be stopped."""
    process = Process(["sleep", "60"], tmp_path / "log")
    process.start()
    with pytest.raises(ProcessError, match=r"waited 0\.1 s in vain: sleep to be ready"):
        process.wait_ready(lambda: False, deadline_s=0.1)
    assert process.stop() == -15
    assert not process.running()


def log_is(process: Process, text: str) -> bool:
    return process.log.read_text() == text


def test_process_can_be_started_again(tmp_path: Path) -> None:
    """A killed process starts anew, and its log goes on."""
    process = Process(["sh", "-c", "echo begun; exec sleep 60"], tmp_path / "log")
    for log in ("begun\n", "begun\nbegun\n"):
        process.start()
        wait_until(partial(log_is, process, log), f"the log to be {log!r}", deadline_s=20)
        process.kill()
        assert not process.running()


def test_wait_until_gives_up_in_time() -> None:
    """Waiting ends at the deadline and says what was awaited."""
    started_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"waited 0\.2 s in vain: Godot"):
        wait_until(lambda: False, "Godot", deadline_s=0.2)
    assert time.monotonic() - started_s < 5
