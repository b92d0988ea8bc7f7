"""`headlessdns lab ctl`: trouble from another terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headlessdns.cli.main import main
from tests.cli.lab_process import LabProcess, environment
from tests.cluster.api_server import ApiServer, Reply, item, page, write_kubeconfig

MANIFEST = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: nginx, namespace: shop}
spec: {clusterIP: None, selector: {app: nginx}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: shop}
spec:
  serviceName: nginx
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx, image: nginx}]}
"""


class Lab:
    """A lab with the pod web-0 in the namespace shop."""

    def __init__(self, process: LabProcess) -> None:
        self.kubeconfig = process.event(lambda event: event["event"] == "started")["kubeconfig"]
        self.process = process
        self.until(lambda row: row["answer"] == row["address"] != "")

    def until(self, wanted: Callable[[Mapping[str, Any]], object]) -> Mapping[str, Any]:
        """Return the next row that is wanted."""
        return self.process.event(lambda event: event["event"] == "changed" and wanted(event))

    def ctl(self, *words: str) -> str:
        """Return what a command says that does what is wanted."""
        result = invoke(*words, "--kubeconfig", self.kubeconfig)
        assert result.exit_code == 0, result.output
        return result.output


def invoke(*words: str, **env: str | None) -> Result:
    nothing = dict.fromkeys(("KUBECONFIG", "KUBERNETES_SERVICE_HOST"))
    return CliRunner().invoke(main, ["lab", "ctl", *words], env={**nothing, **env})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "shop.yaml").write_text(MANIFEST)
    with LabProcess(folder, folder / "shop.yaml", "--log", "json", "--nodes", "1") as process:
        yield Lab(process)
        assert process.end() == 0


def test_ready(lab: Lab) -> None:
    """A pod is not ready and leaves the DNS, then it is ready again and comes back."""
    assert lab.ctl("ready", "web-0", "false", "-n", "shop") == "pod/web-0 is not ready from now on\n"
    row = lab.until(lambda row: row["answer"] == "NXDOMAIN")
    assert (row["phase"], row["ready"], row["waits_for"]) == ("Running", False, "it runs and is not ready")
    assert lab.ctl("ready", "pod/web-0", "-n", "shop") == "pod/web-0 may be ready again\n"
    lab.until(lambda row: row["ready"] and row["answer"] == row["address"])


FAILURES = {
    "": ("CrashLoop", "CrashLoopBackOff", "a container crashes again and again"),
    "imagepullbackoff": ("ImagePullBackOff", "ImagePullBackOff", "image cannot be pulled"),
}


@pytest.mark.parametrize(("how", "expected"), FAILURES.items(), ids=["as is usual", "its image"])
def test_fail(how: str, expected: tuple[str, str, str], lab: Lab) -> None:
    """A pod fails in the way that is wanted until it recovers."""
    said, phase, words = expected
    output = lab.ctl("fail", "web-0", *([how] if how else []), "-n", "shop")
    assert output == f"pod/web-0 fails from now on: {said}\n"
    row = lab.until(lambda row: row["phase"] == phase)
    assert row["waits_for"] == words
    assert lab.ctl("recover", "web-0", "-n", "shop") == "pod/web-0 is left alone again\n"
    lab.until(lambda row: row["ready"])


def test_node(lab: Lab) -> None:
    """A node is lost with its pods, and comes back; kind and name in one word, as kubectl prints them, will do."""
    assert lab.ctl("lose-node", "node/node-1") == "node/node-1 is lost\n"
    lab.until(lambda row: not row["ready"])
    assert lab.ctl("recover", "node-1") == "node/node-1 is back\n"
    lab.until(lambda row: row["ready"])


def test_found_as_kubectl_finds_it(lab: Lab) -> None:
    """The variable KUBECONFIG says which lab it is."""
    result = invoke("recover", "node-1", KUBECONFIG=lab.kubeconfig)
    assert (result.exit_code, result.output) == (0, "node/node-1 is back\n")


MISSING = {
    "a pod of another namespace": (("ready", "web-0"), "there is no pod web-0 in namespace default; see: kubectl get"),
    "a pod": (("fail", "web-7", "-n", "shop"), "there is no pod web-7 in namespace shop; see: kubectl get pods -A"),
    "a node": (("lose-node", "web-0"), "there is no node web-0; see: kubectl get nodes"),
    "both": (
        ("recover", "node-7"),
        "there is no pod node-7 in namespace default, and no node node-7; see: kubectl get pods,nodes",
    ),
    "a name that is a path": (("lose-node", "../pods?x"), "there is no node ../pods?x; see: kubectl get nodes"),
}


@pytest.mark.parametrize(("words", "expected"), MISSING.values(), ids=MISSING.keys())
def test_missing(words: tuple[str, ...], expected: str, lab: Lab) -> None:
    """What is not there is said in a line, with what shows what is, and the exit code is 2."""
    result = invoke(*words, "--kubeconfig", lab.kubeconfig)
    assert result.exit_code == 2
    assert result.output.startswith(expected)
    assert len(result.output.splitlines()) == 1


def test_no_lab(tmp_path: Path) -> None:
    """Without a kubeconfig, or with one that is gone, it says how to name one."""
    result = invoke("ready", "web-0", HOME=str(tmp_path))
    assert result.exit_code == 2
    assert "add --kubeconfig FILE, or set KUBECONFIG as for kubectl" in result.output
    result = invoke("ready", "web-0", KUBECONFIG=str(tmp_path / "gone"))
    assert result.exit_code == 2
    assert "there is no such file; correct it, or add --kubeconfig FILE" in result.output


def test_other_cluster(tmp_path: Path) -> None:
    """A cluster that is no lab is left alone."""

    async def ask() -> tuple[int | None, str, list[str]]:
        node = item("node-1", status={"nodeInfo": {"kubeletVersion": "v1.36.0"}})
        async with ApiServer({"/version": [Reply(body={})], "/api/v1/nodes": [page(node)]}) as server:
            kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "headlessdns", "lab", "ctl", "fail", "web-0", "--kubeconfig", kubeconfig),
                stderr=asyncio.subprocess.PIPE,
                env=environment(tmp_path),
            )
            _, errors = await process.communicate()
            return process.returncode, errors.decode(), server.paths()

    code, errors, paths = asyncio.run(ask())
    assert code == 2
    assert "is no lab (its kubelets are v1.36.0); set KUBECONFIG as the lab said at its start" in errors
    assert set(paths) <= {"/version", "/api/v1/nodes"}


@pytest.mark.parametrize("words", [("--help",), ("ready", "--help"), ("fail", "--help"), ("recover", "--help")])
def test_help(words: tuple[str, ...]) -> None:
    """Each command has a help that needs no lab."""
    result = invoke(*words)
    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_wrong_words(tmp_path: Path) -> None:
    """What cannot be meant is refused before a lab is looked for."""
    for words, expected in (
        (("ready", "web-0", "perhaps"), "'perhaps' is not a valid boolean"),
        (("fail", "web-0", "Explode"), "'Explode' is not one of CrashLoop, ImagePullBackOff, Failed"),
        (("explode",), "No such command 'explode'"),
    ):
        result = invoke(*words, HOME=str(tmp_path), PATH=os.environ["PATH"])
        assert result.exit_code == 2
        assert expected in result.output
