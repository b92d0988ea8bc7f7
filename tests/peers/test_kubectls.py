"""kubectl of several versions is found where it was fetched to, and comes whole out of its wheel."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.peers import PeerMissingError
from tests.peers.kubectls import VERSIONS, kubectl, target, unpack


def test_versions() -> None:
    """The oldest and the newest supported version are among them."""
    assert VERSIONS == ("1.29", "1.35", "1.36")


def test_missing_version_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lacks a kubectl is told which one and how to get it; once it is there it is found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PeerMissingError, match=r"^kubectl 1\.29 is missing: run `python -m tests\.peers\.kubectls`"):
        kubectl("1.29")
    target("1.29").parent.mkdir(parents=True)
    target("1.29").write_text("#!/bin/sh\n")
    target("1.29").chmod(0o755)
    assert kubectl("1.29") == target("1.29")


def zipped(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, content)
    return archive.getvalue()


def test_unpack() -> None:
    """The program lies in an archive, in a package, in the wheel."""
    layer = zipped("kubectl/kubectl", b"the program")
    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as file:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer)
        file.addfile(entry, io.BytesIO(layer))
    assert unpack(zipped("aws_cdk/x/_jsii/x@1.0.jsii.tgz", package.getvalue())) == b"the program"
