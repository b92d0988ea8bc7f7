"""What kubectl of several versions makes of our discovery, tables and OpenAPI, without a store behind them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headlessdns.lab.api.kinds import RESOURCES, Resource
from tests.conftest import skip_or_fail
from tests.lab.api.serving import Showing
from tests.peers import PeerMissingError
from tests.peers.kubectls import VERSIONS, kubectl

Json = dict[str, Any]
SET = Resource("headlessdns.io", "v1alpha1", "OrdinalSet", "ordinalsets", "ordinalset", ("os",), has_generation=True)
SCHEMA = {
    "type": "object",
    "description": "A set of pods with ordinals.",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "description": "What is wanted.",
            "properties": {"replicas": {"type": "integer", "description": "How many pods."}},
        }
    },
}
MADE = (datetime.now(UTC) - timedelta(days=3, minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(ordinal: int) -> Json:
    revision = {"controller-revision-hash": "web-7d4c"}
    name = f"web-{ordinal}"
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": MADE, "labels": revision},
        "spec": {"nodeName": "node-1", "containers": [{"name": "nginx", "image": "nginx:1"}]},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": f"10.244.1.{ordinal + 10}"}],
            "containerStatuses": [{"name": "nginx", "ready": True, "restartCount": 0, "state": {"running": {}}}],
        },
    }


VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3", "platform": "linux/amd64"}
Attempt = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def showing() -> Iterator[Showing]:
    schemas = {(SET.group, SET.version, SET.kind): SCHEMA}
    with Showing([*RESOURCES, SET], [pod(0), pod(1)], schemas, VERSION) as server:
        yield server


@pytest.fixture(scope="module", params=VERSIONS)
def attempt(request: pytest.FixtureRequest, showing: Showing, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    """Run a kubectl with a cache of its own, whatever comes of it."""
    try:
        program = kubectl(request.param)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    home: Path = tmp_path_factory.mktemp("home")

    def call(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        showing.requests.clear()
        command: list[str | Path] = [program, f"--server={showing.url}", f"--cache-dir={home / 'cache'}", *arguments]
        env = {"HOME": str(home), "NO_PROXY": "127.0.0.1"}
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, env=env)

    return call


@pytest.fixture(scope="module")
def run(attempt: Attempt) -> Run:
    """Run a kubectl; a warning or an error is a failure."""

    def call(*arguments: str, stdin: str | None = None) -> str:
        done = attempt(*arguments, stdin=stdin)
        assert done.stderr == ""
        assert done.returncode == 0
        return done.stdout

    return call


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_version(run: Run) -> None:
    """The server has a version."""
    assert json.loads(run("get", "--raw", "/version"))["gitVersion"] == "v1.36.3"


def test_api_versions(run: Run) -> None:
    """Every group and version is listed."""
    assert run("api-versions").splitlines() == [
        "apiextensions.k8s.io/v1",
        "apps/v1",
        "coordination.k8s.io/v1",
        "discovery.k8s.io/v1",
        "headlessdns.io/v1alpha1",
        "networking.k8s.io/v1",
        "policy/v1",
        "rbac.authorization.k8s.io/v1",
        "storage.k8s.io/v1",
        "v1",
    ]


def test_api_resources(run: Run) -> None:
    """Every kind has its short names, its version, and its scope, and those of `all` are found by it."""
    found = words(run("api-resources", "--no-headers"))
    assert len(found) == 26
    assert ["pods", "po", "v1", "true", "Pod"] in found
    assert [
        "customresourcedefinitions",
        "crd,crds",
        "apiextensions.k8s.io/v1",
        "false",
        "CustomResourceDefinition",
    ] in found
    assert ["ordinalsets", "os", "headlessdns.io/v1alpha1", "true", "OrdinalSet"] in found
    everything = run("api-resources", "--categories=all", "-o", "name").split()
    assert everything == ["pods", "services", "deployments.apps", "replicasets.apps", "statefulsets.apps"]


def test_discovery_is_short(run: Run, showing: Showing) -> None:
    """All groups are learned in two requests."""
    run("api-resources", "--cached=false")
    assert sorted(line.partition("?")[0] for line in showing.requests) == ["GET /api", "GET /apis"]


def test_get(run: Run) -> None:
    """`get` prints the table's columns, and further ones with -o wide, -L and --show-labels."""
    assert words(run("get", "pods")) == [
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        ["web-0", "1/1", "Running", "0", "3d"],
        ["web-1", "1/1", "Running", "0", "3d"],
    ]
    wide = words(run("get", "po", "-o", "wide"))
    assert " ".join(wide[0]) == "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    assert wide[1] == ["web-0", "1/1", "Running", "0", "3d", "10.244.1.10", "node-1", "<none>", "<none>"]
    labelled = words(run("get", "pods", "-L", "controller-revision-hash"))
    assert labelled[0][-1] == "CONTROLLER-REVISION-HASH"
    assert labelled[1][-1] == "web-7d4c"
    assert words(run("get", "pods", "--show-labels"))[1][-1] == "controller-revision-hash=web-7d4c"
    assert run("get", "pods", "-o", "name") == "pod/web-0\npod/web-1\n"
    assert words(run("get", "pods", "--sort-by=.metadata.name", "--no-headers"))[0][0] == "web-0"


def test_explain_kind(run: Run) -> None:
    """`explain` describes a kind with its fields and their types."""
    lines = run("explain", "pod").splitlines()
    assert lines[:2] == ["KIND:       Pod", "VERSION:    v1"]
    assert "  metadata\t<ObjectMeta>" in lines
    assert "  spec\t<PodSpec>" in lines


def test_explain_recursive(run: Run) -> None:
    """`explain --recursive` goes down to the last field."""
    lines = [line.strip() for line in run("explain", "statefulset.spec.template", "--recursive").splitlines()]
    assert lines[:3] == ["GROUP:      apps", "KIND:       StatefulSet", "VERSION:    v1"]
    assert "FIELD: template <PodTemplateSpec>" in lines
    for field in (
        "containers\t<[]Container> -required-",
        "containerPort\t<integer> -required-",
        "limits\t<map[string]Quantity>",
        "port\t<IntOrString> -required-",
        "creationTimestamp\t<string>",
    ):
        assert field in lines


def test_explain_custom(run: Run) -> None:
    """`explain` describes a custom resource from the schema of its definition."""
    lines = run("explain", "ordinalset.spec").splitlines()
    assert [line for line in lines if line.strip()] == [
        "GROUP:      headlessdns.io",
        "KIND:       OrdinalSet",
        "VERSION:    v1alpha1",
        "FIELD: spec <Object>",
        "DESCRIPTION:",
        "    What is wanted.",
        "FIELDS:",
        "  replicas\t<integer>",
        "    How many pods.",
    ]
    assert "  spec\t<Object> -required-" in run("explain", "ordinalset").splitlines()


SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nginx"}, "spec": {"ports": [{"port": 80}]}}
ORDINAL_SET = {"apiVersion": "headlessdns.io/v1alpha1", "kind": "OrdinalSet", "metadata": {"name": "web"}}


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        pytest.param(SERVICE, "service/nginx", id="built in"),
        pytest.param(ORDINAL_SET, "ordinalset.headlessdns.io/web", id="custom"),
    ],
)
def test_create_dry_run(run: Run, showing: Showing, manifest: Json, name: str) -> None:
    """`create --dry-run=client` finds the kind and writes nothing."""
    assert run("create", "--dry-run=client", "-f", "-", stdin=json.dumps(manifest)) == f"{name} created (dry run)\n"
    assert not [line for line in showing.requests if not line.startswith("GET ")]


def test_create_dry_run_at_the_server(attempt: Attempt, showing: Showing) -> None:
    """`create --dry-run=server` learns from our document that writes can be tried and checked, and asks for both."""
    assert "NotFound" in attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(SERVICE)).stderr
    (written,) = [line for line in showing.requests if not line.startswith("GET ")]
    assert written.startswith("POST /api/v1/namespaces/default/services?dryRun=All")
    assert "fieldValidation=Strict" in written
