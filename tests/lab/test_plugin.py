"""The fixture as a project sees it that has headlessdns installed: pytest on small files, in a process of its own."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432}]}
"""
SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: "example.org/db:1"}]}
"""
# Notes of each test which lab it had: two tests with one lab have one address of it.
WHICH = """
import pathlib
def note(lab):
    with pathlib.Path(__file__).with_name("labs").open("a") as file:
        file.write(lab.api_url + "\\n")
"""
HEAVY = ["aiohttp", "dnslib", "kubernetes", "rich", "trustme", "yaml", "asyncio"]


class Done(NamedTuple):
    """How a run of pytest has ended."""

    code: int
    out: str


class Project:
    """A folder with manifests and tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("manifests/service.yaml", SERVICE)
        self.write("manifests/set.yaml", SET)
        self.write("which.py", WHICH)
        self.configure()

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def configure(self, *lines: str) -> None:
        """Write the ini file."""
        self.write("pytest.ini", "\n".join(["[pytest]", "addopts = --strict-markers", "pythonpath = .", *lines, ""]))

    def run(self, *arguments: str) -> Done:
        """Run pytest."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120)
        return Done(done.returncode, done.stdout + done.stderr)

    @property
    def labs(self) -> list[str]:
        """The labs that tests have noted."""
        return (self.folder / "labs").read_text().split()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without tests."""
    return Project(tmp_path)


def test_the_plugin_is_installed() -> None:
    """Who installs headlessdns has the plugin."""
    found = [one.value for one in importlib.metadata.entry_points(group="pytest11") if one.name == "headlessdns_lab"]
    assert found == ["headlessdns.lab.pytest_plugin"]


def test_each_test_has_a_lab_of_its_own(project: Project) -> None:
    """Without a word about it, every test gets a lab, empty, and no two the same one."""
    project.write(
        "test_it.py",
        """
        from which import note

        def test_one(headlessdns_lab):
            note(headlessdns_lab)
            assert headlessdns_lab.request("GET", "/apis/apps/v1/statefulsets")["items"] == []

        def test_other(headlessdns_lab):
            note(headlessdns_lab)
        """,
    )
    done = project.run()
    assert done.code == 0, done.out
    assert len(set(project.labs)) == 2


def test_a_marker_says_what_to_begin_with(project: Project) -> None:
    """A marker names manifests, relative to the file of the test, objects, and options of the lab."""
    project.write("tests/more/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n")
    project.write(
        "tests/test_it.py",
        """
        import pytest

        CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "given"}}

        @pytest.mark.headlessdns_lab("../manifests", "more/config.yaml", CONFIG, nodes=5, pod_cidrs=["10.9.0.0/16"])
        def test_it(headlessdns_lab):
            headlessdns_lab.wait("db")
            assert headlessdns_lab.resolve("db-0.db") == ["10.9.0.2"]
            assert headlessdns_lab.nodes == ["node-1", "node-2", "node-3", "node-4", "node-5"]
            for name in ("other", "given"):
                headlessdns_lab.request("GET", f"/api/v1/namespaces/default/configmaps/{name}")
        """,
    )
    done = project.run()
    assert done.code == 0, done.out


def test_the_closest_marker_counts(project: Project) -> None:
    """A marker of the module is for all its tests but those that have one of their own."""
    project.write(
        "test_it.py",
        """
        import pytest

        pytestmark = pytest.mark.headlessdns_lab(nodes=1)

        def test_of_the_module(headlessdns_lab):
            assert len(headlessdns_lab.nodes) == 1

        @pytest.mark.headlessdns_lab(nodes=2)
        def test_of_its_own(headlessdns_lab):
            assert len(headlessdns_lab.nodes) == 2
        """,
    )
    done = project.run()
    assert done.code == 0, done.out


def test_manifests_of_the_ini_file(project: Project) -> None:
    """Manifests of the ini file, relative to it, are in every lab, before those of a marker."""
    project.configure("headlessdns_lab_manifests = manifests/service.yaml", "    manifests/set.yaml")
    project.write(
        "tests/test_it.py",
        """
        import pytest

        def test_without_a_marker(headlessdns_lab):
            assert headlessdns_lab.wait("db-0")["metadata"]["name"] == "db-0"

        @pytest.mark.headlessdns_lab({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "given"}})
        def test_with_a_marker(headlessdns_lab):
            assert headlessdns_lab.wait("db-0")["metadata"]["name"] == "db-0"
            headlessdns_lab.request("GET", "/api/v1/namespaces/default/configmaps/given")
        """,
    )
    done = project.run()
    assert done.code == 0, done.out


@pytest.mark.parametrize(
    ("scope", "labs"),
    [
        pytest.param("function", 4, id="function: one for each test"),
        pytest.param("class", 3, id="class: one for each class, and each test without"),
        pytest.param("module", 2, id="module: one for each file"),
        pytest.param("package", 1, id="package: one for each folder"),
        pytest.param("session", 1, id="session: one for all"),
    ],
)
def test_the_scope_of_the_ini_file(project: Project, scope: str, labs: int) -> None:
    """The ini file says how long a lab lives; a marker of a module counts where the module is within that."""
    project.configure(f"headlessdns_lab_scope = {scope}")
    project.write("tests/__init__.py", "")
    project.write("tests/which.py", WHICH)
    project.write(
        "tests/test_one.py",
        """
        from tests.which import note

        class TestIt:
            def test_one(self, headlessdns_lab):
                note(headlessdns_lab)

            def test_two(self, headlessdns_lab):
                note(headlessdns_lab)

        def test_three(headlessdns_lab):
            note(headlessdns_lab)
        """,
    )
    project.write(
        "tests/test_two.py",
        "from tests.which import note\n\ndef test_four(headlessdns_lab):\n    note(headlessdns_lab)\n",
    )
    done = project.run()
    assert done.code == 0, done.out
    noted = (project.folder / "tests" / "labs").read_text().split()
    assert [len(noted), len(set(noted))] == [4, labs]


def test_a_scope_that_is_none(project: Project) -> None:
    """A scope that does not exist is refused before any test."""
    project.configure("headlessdns_lab_scope = test")
    done = project.run()
    text = "headlessdns_lab_scope: found 'test'; expected one of function, class, module, package, session"
    assert [done.code, done.out.strip().splitlines()[-1]] == [4, f"ERROR: {text}"]


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        pytest.param("nodez=3", "got an unexpected keyword argument 'nodez'", id="an option that is none"),
        pytest.param("3", "not int", id="a manifest that is none"),
        pytest.param("nodes='many'", "'many' is not a valid integer", id="a value that is none"),
        pytest.param("'nowhere.yaml'", "nowhere.yaml", id="a file that is not there"),
        pytest.param(
            "{'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'Db'}, 'spec': {'clusterIP': 'None'}}",
            'the mappings: items[0].metadata.name: found Invalid value: "Db"',
            id="a faulty object",
        ),
    ],
)
def test_a_marker_that_cannot_be_used(project: Project, marker: str, text: str) -> None:
    """What is wrong with a marker is said in a few lines, without the plugin's own code."""
    project.write(
        "test_it.py",
        f"""
        import pytest

        @pytest.mark.headlessdns_lab({marker})
        def test_it(headlessdns_lab):
            pass
        """,
    )
    done = project.run("-q")
    assert done.code == 1
    assert text in done.out
    assert "Traceback" not in done.out
    assert "pytest_plugin.py" not in done.out


def test_the_lab_ends_with_a_failing_test(project: Project) -> None:
    """Where a test fails its lab is gone all the same, and the failure is the test's."""
    project.write(
        "test_it.py",
        """
        from which import note

        def test_it(headlessdns_lab):
            note(headlessdns_lab)
            assert headlessdns_lab.nodes == []

        def test_after_it():
            import pathlib, socket
            port = int(pathlib.Path(__file__).with_name("labs").read_text().rpartition(":")[2])
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0
        """,
    )
    done = project.run()
    assert done.code == 1
    assert re.search("1 failed, 1 passed", done.out), done.out


def test_the_fixture_within_an_event_loop(project: Project) -> None:
    """The fixture needs no plugin for event loops: a test may run one of its own."""
    project.write(
        "test_it.py",
        """
        import asyncio

        def test_it(headlessdns_lab):
            async def names():
                return await asyncio.to_thread(headlessdns_lab.resolve, "kubernetes")

            assert asyncio.run(names()) == ["10.96.0.1"]
        """,
    )
    done = project.run("-p", "no:asyncio", "-p", "no:anyio")
    assert done.code == 0, done.out


def test_who_does_not_use_it_does_not_pay(project: Project) -> None:
    """Loading the plugin brings no HTTP server, Kubernetes client, DNS library or event loop."""
    project.write(
        "test_it.py",
        f"""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.get_plugin("headlessdns_lab") is not None
            assert sys.modules.keys() & {set(HEAVY)} == set()
        """,
    )
    # Other plugins bring what they like.
    others = [one.name for one in importlib.metadata.entry_points(group="pytest11") if one.name != "headlessdns_lab"]
    done = project.run(*(part for name in others for part in ("-p", f"no:{name}")))
    assert done.code == 0, done.out


def test_what_pytest_says_of_it(project: Project) -> None:
    """`pytest --markers`, `--fixtures` and `--help` tell of the plugin."""
    assert "@pytest.mark.headlessdns_lab(*manifests, **options): what the fixture" in project.run("--markers").out
    assert "A cluster without containers: Kubernetes API," in project.run("--fixtures").out
    out = project.run("--help").out
    assert re.search(r"headlessdns_lab_scope \(string\):", out)
    assert re.search(r"headlessdns_lab_manifests \(paths\):", out)
