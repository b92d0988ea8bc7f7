"""The real programs that tests run beside headlessdns, and where they are found.

A program is looked for in ``KUBEBUILDER_ASSETS`` (the folder of Kubernetes' own test tools), then in a cache outside
the clone. ``make peers`` builds what is missing into that cache; looking for a program never builds it, since the first
build takes minutes. Reads the environment and the disk.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent.parent / "realcluster"
HOW_TO_GET = "run `make peers` (about 6 minutes the first time), or set KUBEBUILDER_ASSETS to a folder that has it"


@dataclass(frozen=True)
class Peer:
    """One program: the folder of its Go module below ``tests/realcluster``, and its package there."""

    module: str
    package: str


PEERS = {
    "etcd": Peer(module="etcd", package="."),
    "kube-apiserver": Peer(module=".", package="./kube-apiserver"),
    "kube-controller-manager": Peer(module=".", package="./kube-controller-manager"),
    "kubectl": Peer(module=".", package="./kubectl"),
    "coredns": Peer(module="coredns", package="."),
}


class PeerMissingError(Exception):
    """A program is not on this machine; the text says which and how to get it."""


def cache_root() -> Path:
    """Return the folder that outlives clones: ``$XDG_CACHE_HOME/headlessdns``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headlessdns"


def cache_bin() -> Path:
    """Return the folder of the built programs.

    Its name is a digest of every file that decides what is built, so that a clone of another version of the project
    neither uses these programs nor overwrites them.
    """
    digest = hashlib.sha256()
    for source in sorted(p for p in MODULES.rglob("*") if p.name in {"go.mod", "go.sum", "main.go"}):
        digest.update(f"{source.relative_to(MODULES)}\n".encode() + source.read_bytes())
    return cache_root() / digest.hexdigest()[:16] / "bin"


def find(name: str) -> Path:
    """Return the program called *name*.

    Raises:
        PeerMissingError: It is in none of the places.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for folder in ([Path(assets)] if assets else []) + [cache_bin()]:
        if os.access(folder / name, os.X_OK):
            return folder / name
    raise PeerMissingError(f"{name} is missing: {HOW_TO_GET}")
