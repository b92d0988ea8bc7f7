"""The image: linted, carried out in a plain folder, and small."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import headlessdns
from tests.deploy.dockerfile import Builder, Stage, context_files, ignored, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "Dockerfile"

# What pip says where no package index can be reached.
NO_INDEX = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError|Network is unreachable")

IGNORED = [
    pytest.param("pyproject.toml", False, id="a-file-let-in-again"),
    pytest.param("headlessdns/names.py", False, id="below-a-folder-let-in-again"),
    pytest.param("headlessdns/wire/__pycache__/a.pyc", True, id="a-folder-of-that-name-anywhere"),
    pytest.param("tests/test_a.py", True, id="below-an-excluded-folder"),
    pytest.param(".git/config", True, id="below-a-hidden-folder"),
]


@dataclass
class Image:
    """A finished build: its last stage, and where its files are."""

    stage: Stage
    builder: Builder

    @property
    def root(self) -> Path:
        return self.builder.root


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    builder = Builder(PROJECT, folder)
    try:
        stage = builder.build(parse(DOCKERFILE.read_text()))
    except subprocess.CalledProcessError as error:
        if NO_INDEX.search(error.output):
            pytest.skip("no package index can be reached: connect to one, or point pip at a mirror (PIP_INDEX_URL)")
        pytest.fail(f"{error.cmd[-1]}\n{error.output}")
    yield Image(stage, builder)
    # pytest keeps the folders of its last three runs, and this one is large.
    shutil.rmtree(folder)


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile breaks no rule of hadolint, and has the labels that .hadolint.yaml asks for."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("path", "expected"), IGNORED)
def test_dockerignore(path: str, expected: bool) -> None:
    """Of two patterns that fit a path the later one decides, and a folder's fate is that of all below it."""
    patterns = ["*", "!pyproject.toml", "!headlessdns", "**/__pycache__"]
    assert ignored(path, patterns) is expected


def test_the_context_holds_the_package_and_what_it_is_built_from(tmp_path: Path) -> None:
    """Docker is sent the package, its metadata and its licence, and nothing that is compiled, tested or hidden."""
    kept = [
        "LICENSE",
        "README.md",
        "deploy/crd/ordinalsets.yaml",
        "headlessdns/py.typed",
        "headlessdns/wire/parse.py",
        "pyproject.toml",
    ]
    left = [
        ".git/HEAD",
        ".venv/bin/python",
        "Makefile",
        "deploy/base/service.yaml",
        "headlessdns/wire/__pycache__/parse.pyc",
        "tests/test_a.py",
    ]
    for path in kept + left:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    shutil.copy(PROJECT / ".dockerignore", tmp_path)
    assert context_files(tmp_path) == kept


def test_both_stages_share_their_python(image: Image) -> None:
    """The environment is built by the Python that runs it, or its interpreter would be missing."""
    assert [stage.base for stage in image.builder.stages] == ["python:3.13-slim", "python:3.13-slim"]


def test_the_image_runs_the_server_as_an_unprivileged_user(image: Image) -> None:
    """The image starts `headlessdns serve` as user 65532 and names the ports that the Deployment uses."""
    stage = image.stage
    assert stage.user == "65532:65532"
    assert stage.exposed == ["1053/udp", "1053/tcp", "9153/tcp"]
    assert (stage.entrypoint, stage.command) == (["headlessdns"], ["serve"])


def test_the_image_says_what_it_is(image: Image) -> None:
    """The OCI labels give title, licence, version and revision, and the version is the package's."""
    assert image.stage.labels == {
        "org.opencontainers.image.title": "headlessdns",
        "org.opencontainers.image.description": "DNS for StatefulSets: answers for headless Services "
        "from the Kubernetes API",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": "${VERSION}",
        "org.opencontainers.image.revision": "${REVISION}",
    }
    assert image.stage.arguments == {"VERSION": headlessdns.__version__, "REVISION": "unknown"}


def test_the_image_holds_the_environment_alone(image: Image) -> None:
    """What the build needed (sources, pip) stayed behind in its stage."""
    assert sorted(path.name for path in image.root.iterdir()) == ["opt"]
    assert not (image.root / "opt/headlessdns/bin/pip").exists()
    assert not list(image.root.glob("opt/headlessdns/lib/python*/site-packages/pip"))


def test_the_image_is_small(image: Image) -> None:
    """The environment takes less than 200 MB, most of it the `kubernetes` package."""
    size_octets = sum(path.lstat().st_size for path in image.root.rglob("*"))
    assert size_octets < 200_000_000


def test_the_image_holds_the_definition_of_ordinal_sets(image: Image) -> None:
    """A lab in a container knows OrdinalSets as one from a clone does."""
    (packed,) = image.root.glob("opt/headlessdns/lib/python*/site-packages/headlessdns/lab/ordinalsets.yaml")
    assert packed.read_bytes() == (PROJECT / "deploy/crd/ordinalsets.yaml").read_bytes()


def test_the_image_needs_no_writing_at_run_time(image: Image) -> None:
    """Every module of the package is compiled already, so a read-only file system costs nothing at each start."""
    (package,) = image.root.glob("opt/headlessdns/lib/python*/site-packages/headlessdns")
    modules = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    compiled = {
        path.relative_to(package).parent.parent / path.name.split(".")[0] for path in package.rglob("__pycache__/*.pyc")
    }
    assert modules
    assert modules <= compiled


def test_the_installed_command_runs(image: Image, tmp_path: Path) -> None:
    """The entry point starts from any folder, with the image's environment only, and knows its version."""
    assert headlessdns.__version__ in image.builder.run([*image.stage.entrypoint, "--version"], cwd=tmp_path)


def test_the_default_command_exists(image: Image, tmp_path: Path) -> None:
    """CMD is a command of the installed program."""
    assert "--config" in image.builder.run([*image.stage.entrypoint, *image.stage.command, "--help"], cwd=tmp_path)
