"""`headlessdns rollout`: what it says, and what it does to sets of both kinds on a real API server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from headlessdns.cli import kubeconfig, rollout
from headlessdns.cli.main import main
from headlessdns.cli.rollout import Past, Progress, RolloutError, Target, progress_of
from headlessdns.controller.model import Json, Metadata, Revision, SetKind, read_set
from headlessdns.errors import ClusterError
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.reconcile.sets import OrdinalSets, Sets
from tests.reconcile.stage import Stage
from tests.reconcile.test_ordinalset import CRD, oset
from tests.reconcile.test_side_by_side import FAIL, web

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("StatefulSet", "OrdinalSet")
SETS: dict[str, type[Sets]] = {"StatefulSet": Sets, "OrdinalSet": OrdinalSets}


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["rollout", *arguments], env=env)


# ---- how far it is

STATUS = {
    "observedGeneration": 3,
    "replicas": 3,
    "readyReplicas": 3,
    "availableReplicas": 3,
    "currentReplicas": 3,
    "updatedReplicas": 3,
    "currentRevision": "web-1",
    "updateRevision": "web-1",
}
STALLED = {"type": "Stalled", "status": "True", "reason": "ImagePullBackOff", "message": "waiting for web-2: no image"}
CALM = {"type": "Stalled", "status": "False", "reason": "NothingInTheWay", "message": "nothing is waited for"}
EXCEEDED = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no step"}
PAUSED = {"type": "Progressing", "status": "Unknown", "reason": "RolloutPaused", "message": "paused; 0 of 3 pods"}


def set_json(kind: str = "StatefulSet", spec: Json | None = None, **status: Any) -> Json:
    manifest = web(3) if kind == "StatefulSet" else oset(3)
    manifest["metadata"] |= {"namespace": "default", "uid": "u", "generation": 3, "resourceVersion": "7"}
    rolling = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}
    return {**manifest, "spec": {**manifest["spec"], **rolling, **(spec or {})}, "status": {**STATUS, **status}}


def partition(number: int) -> Json:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}}


TYPE_ONLY = {"updateStrategy": {"type": "RollingUpdate"}}
PROGRESS = [
    pytest.param({}, {}, Progress("partitioned roll out complete: 3 new pods have been updated...", True), id="done"),
    pytest.param(
        {},
        {"observedGeneration": 2},
        Progress("Waiting for statefulset spec update to be observed..."),
        id="an earlier specification",
    ),
    pytest.param(
        {}, {"observedGeneration": 0}, Progress("Waiting for statefulset spec update to be observed..."), id="no status"
    ),
    pytest.param(
        {},
        {"readyReplicas": 1, "conditions": [STALLED]},
        Progress("Waiting for 2 pods to be ready...", waits="ImagePullBackOff: waiting for web-2: no image"),
        id="pods that are not ready, and why",
    ),
    pytest.param(
        {},
        {"readyReplicas": 1, "conditions": [CALM]},
        Progress("Waiting for 2 pods to be ready..."),
        id="nothing is in the way",
    ),
    pytest.param(
        {},
        {"updatedReplicas": 1, "conditions": [CALM, PAUSED]},
        Progress(
            "Waiting for partitioned roll out to finish: 1 out of 3 new pods have been updated...",
            waits="paused; 0 of 3 pods",
        ),
        id="paused",
    ),
    pytest.param(
        {},
        {"readyReplicas": 2, "conditions": [STALLED, EXCEEDED]},
        Progress(
            "Waiting for 1 pods to be ready...",
            waits="ImagePullBackOff: waiting for web-2: no image",
            failure='statefulset "web" exceeded its progress deadline',
        ),
        id="the deadline has passed",
    ),
    pytest.param(
        {},
        {"observedGeneration": 2, "readyReplicas": 2, "conditions": [EXCEEDED]},
        Progress("Waiting for statefulset spec update to be observed..."),
        id="the deadline of an earlier specification",
    ),
    pytest.param(
        partition(2),
        {"updatedReplicas": 0},
        Progress("Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated..."),
        id="a partition",
    ),
    pytest.param(
        partition(2),
        {"updatedReplicas": 1, "updateRevision": "web-2"},
        Progress("partitioned roll out complete: 1 new pods have been updated...", True),
        id="a partition that is done",
    ),
    pytest.param(
        TYPE_ONLY,
        {"updatedReplicas": 2, "updateRevision": "web-2"},
        Progress("waiting for statefulset rolling update to complete 2 pods at revision web-2..."),
        id="without rollingUpdate",
    ),
    pytest.param(
        TYPE_ONLY,
        {},
        Progress("statefulset rolling update complete 3 pods at revision web-1...", True),
        id="without rollingUpdate, done",
    ),
    pytest.param(
        {"updateStrategy": {"type": "OnDelete"}},
        {},
        Progress("", failure="rollout status is only available for RollingUpdate strategy type"),
        id="OnDelete",
    ),
    pytest.param(
        {"replicas": 200_000},
        {},
        Progress("", failure='statefulset "web" is not valid: spec.replicas is 200000; expected at most 100000'),
        id="a set that is not valid",
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("spec", "status", "expected"), PROGRESS)
def test_progress(spec: Json, status: Json, expected: Progress, kind: str) -> None:
    """How far a rollout is stands in the counts, what it waits for in the conditions."""
    words = {"StatefulSet": "statefulset", "OrdinalSet": "ordinalset"}
    line, failure = (text.replace("statefulset", words[kind]) for text in (expected.line, expected.failure))
    assert progress_of(read_set(set_json(kind, spec, **status))) == expected._replace(line=line, failure=failure)


# ---- revisions


def past(number: int, template: Json, cause: str = "") -> Past:
    data = json.dumps({"spec": {"template": {**template, "$patch": "replace"}}}).encode()
    return Past(Revision(Metadata(f"web-{number}"), msgspec.Raw(data), number), cause)


WEB = Target(SetKind.STATEFUL_SET, "web")


def test_history_table() -> None:
    """The table has kubectl's columns, as wide as the longest number needs."""
    rows = [past(2, {}), past(1000000000, {}, "kubectl apply")]
    assert rollout.history_lines(WEB, rows) == [
        "statefulset.apps/web ",
        "REVISION    CHANGE-CAUSE",
        "2           <none>",
        "1000000000  kubectl apply",
    ]


def test_no_history() -> None:
    """A set whose controller has not written a revision yet has none."""
    assert rollout.history_lines(Target(SetKind.ORDINAL_SET, "web"), []) == [
        "ordinalset.headlessdns.io/web ",
        "No rollout history found.",
    ]


def test_template_of_a_revision() -> None:
    """The template of a revision is printed as YAML, without what only the controller needs."""
    template = {"spec": {"containers": [{"name": "é"}]}, "metadata": {"labels": {"app": "web"}}}
    assert rollout.template_lines(WEB, past(2, template, "because")) == [
        "statefulset.apps/web with revision #2",
        "Change-Cause: because",
        "Pod Template:",
        "  spec:",
        "    containers:",
        "    - name: é",
        "  metadata:",
        "    labels:",
        "      app: web",
    ]


def test_template_comes_back_in_its_octets() -> None:
    """What is restored is what the revision holds: no number is written anew, no escape, no null is lost."""
    data = rb'{"spec":{"template":{"$patch":"replace","a":{"n":-0,"m":1e+21,"x":null,"t":"\u003c\u00e9"},"b":[1.50]}}}'
    revision = Revision(Metadata("web-1"), msgspec.Raw(data), 1)
    assert rollout.template_octets(revision) == rb'{"a":{"n":-0,"m":1e+21,"x":null,"t":"\u003c\u00e9"},"b":[1.50]}'


def test_previous_revision() -> None:
    """The way back leads to the newest revision that is not what the set has now, in whatever form it was written."""
    set = read_set(set_json())
    unset = {**set.template, "metadata": {**set.template["metadata"], "creationTimestamp": None}}
    older, newer = past(1, {"spec": {}}), past(2, {"spec": {"a": 1}})
    assert rollout.previous([older, newer, past(3, set.template)], set) is newer
    assert rollout.previous([older, newer, past(3, unset)], set) is newer
    assert rollout.previous([older, past(2, set.template), past(3, {"spec": {"b": 1}})], set).revision.revision == 3
    with pytest.raises(RolloutError, match="error: no last revision to roll back to"):
        rollout.previous([past(3, set.template)], set)


def test_only_own_revisions() -> None:
    """Revisions of others that bear the same labels do not count, and the order is that of the numbers."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": True}
    items = [
        {"metadata": {"name": f"web-{name}", "ownerReferences": owners}, "data": {}, "revision": number}
        for name, number, owners in (
            ("a", 3, [owner]),
            ("b", 1, [owner]),
            ("c", 2, []),
            ("d", 4, [{**owner, "uid": "x"}]),
        )
    ]
    found = rollout.read_history(json.dumps({"items": items}).encode(), "u")
    assert [one.revision.name for one in found] == ["web-b", "web-a"]


# ---- the command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["status"], "Missing argument 'KIND/NAME'", id="no set"),
        pytest.param(["status", "web"], "Name one set, as in statefulset/web", id="no kind"),
        pytest.param(["status", "sts/"], "Name one set", id="no name"),
        pytest.param(["status", "sts/web/0"], "Name one set", id="too many parts"),
        pytest.param(["undo", "sts/a", "sts/b"], "Name one set", id="two sets"),
        pytest.param(["history", "deployment/web"], "'deployment' is no kind of set", id="another kind"),
        pytest.param(["status", "sts/web", "--timeout=5"], "'5' is no duration; write it as in 30s", id="no unit"),
        pytest.param(["undo", "sts/web", "--to-revision=-1"], "-1 is not in the range", id="a negative revision"),
    ],
)
def test_wrong_command_line(arguments: list[str], message: str) -> None:
    """What cannot be meant ends with exit code 2 and says what to write."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("0s", 0.0), ("30s", 30.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("250ms", 0.25)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are written as kubectl takes them."""
    assert rollout._Duration().convert(text, None, None) == seconds


# ---- which cluster


def write_config(path: Path, contexts: dict[str, Json], current: str = "") -> Path:
    listed = [{"name": name, "context": context} for name, context in contexts.items()]
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"kind": "Config", "contexts": listed, "current-context": current}))
    return path


class Asked(NamedTuple):
    """What flags and environment say; paths are below the test's folder."""

    flag: str = ""
    context: str | None = None
    namespace: str | None = None
    variable: str = ""


@pytest.mark.parametrize(
    ("asked", "file", "namespace"),
    [
        pytest.param(Asked(), "home/.kube/config", "homely", id="the user's own"),
        pytest.param(Asked(variable="b"), "b", "default", id="KUBECONFIG"),
        pytest.param(Asked(flag="a", variable="b"), "a", "shop", id="a flag before KUBECONFIG"),
        pytest.param(Asked(flag="a", namespace="other"), "a", "other", id="a namespace"),
        pytest.param(Asked(flag="a", context="two"), "a", "bank", id="a context"),
        pytest.param(Asked(variable="b:a"), "b", "default", id="the first that has a current context"),
        pytest.param(Asked(variable="b:a", context="two"), "a", "bank", id="the first that has the context"),
        pytest.param(Asked(variable="none:a"), "a", "shop", id="a file that is not there is passed over"),
        pytest.param(Asked(flag="none"), "none", "default", id="a flag that names no file; connecting says so"),
    ],
)
def test_kubeconfig(asked: Asked, file: str, namespace: str, tmp_path: Path) -> None:
    """The kubeconfig and the namespace are those that kubectl would take."""
    (tmp_path / "home").mkdir()
    write_config(tmp_path / "home/.kube/config", {"h": {"namespace": "homely"}}, "h")
    write_config(tmp_path / "a", {"one": {"namespace": "shop"}, "two": {"namespace": "bank"}}, "one")
    write_config(tmp_path / "b", {"three": {"cluster": "c"}}, "three")
    environ = {"KUBECONFIG": ":".join(str(tmp_path / part) for part in asked.variable.split(":") if part)}
    flag = tmp_path / asked.flag if asked.flag else None
    access = kubeconfig.find(flag, asked.context, asked.namespace, environ, tmp_path / "home")
    assert access == (tmp_path / file, asked.context, namespace)


@pytest.mark.parametrize(
    ("environ", "context", "message"),
    [
        pytest.param({}, None, "there is no kubeconfig, and this is no pod of a cluster", id="nothing"),
        pytest.param({"KUBECONFIG": "/none"}, None, "KUBECONFIG names /none, and there is no such file", id="no file"),
        pytest.param({"KUBERNETES_SERVICE_HOST": "h"}, "x", "--context x: there is no kubeconfig", id="in a pod"),
    ],
)
def test_no_kubeconfig(environ: dict[str, str], context: str | None, message: str, tmp_path: Path) -> None:
    """Where there is no cluster to be found one line says what to add."""
    with pytest.raises(ClusterError, match=message):
        kubeconfig.find(None, context, None, environ, tmp_path)


def test_in_a_pod(tmp_path: Path) -> None:
    """In a pod without a kubeconfig its ServiceAccount is taken."""
    assert kubeconfig.find(None, None, "shop", {"KUBERNETES_SERVICE_HOST": "h"}, tmp_path) == (None, None, "shop")


# ---- a real API server


class Ground(NamedTuple):
    """A control plane with our controller, and what was said before the API server knew OrdinalSets."""

    stage: Stage
    unserved: Result


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A control plane with our controller, which knows OrdinalSets by now."""
    try:
        stage = Stage(is_reference=False, starts_controller=False)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        unserved = run("history", "oset/web", "--kubeconfig", str(stage.cluster.kubeconfig))
        stage.cluster.kubectl("apply", "-k", str(CRD))
        stage.cluster.kubectl("wait", "--for=condition=Established", "crd/ordinalsets.headlessdns.io")
        stage.start_controller()
        yield Ground(stage, unserved)


class Rollout:
    """One set, and the command in its namespace."""

    def __init__(self, ground: Ground, kind: str, name: str) -> None:
        self.kind = kind
        self.play = SETS[kind](ground.stage, f"{name}-{kind.lower()}")
        self.ref = f"{kind.lower()}/web"
        group = {"StatefulSet": "apps", "OrdinalSet": "headlessdns.io"}[kind]
        self.shown = f"{kind.lower()}.{group}/web"

    def make(self, replicas: int = 2, **spec: Any) -> None:
        self.play.create(oset(replicas, **spec) if self.kind == "OrdinalSet" else web(replicas, **spec))
        self.play.wait_ready(replicas)

    def image(self, image: str) -> None:
        self.play.image(image)
        self.play.wait_rolled_out(2)

    def run(self, command: str, *arguments: str) -> Result:
        config = str(self.play.cluster.kubeconfig)
        return run(command, self.ref, f"--namespace={self.play.namespace}", *arguments, env={"KUBECONFIG": config})

    def kubectl(self, command: str, *arguments: str) -> str:
        return self.play.kubectl("rollout", command, self.ref, *arguments)

    def revisions(self) -> list[tuple[str, int]]:
        found = [(item["metadata"]["name"], item["revision"]) for item in self.play.all("controllerrevisions")]
        return sorted(found, key=lambda one: one[1])


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, ground: Ground) -> Rollout:
    """A set of two pods, of either kind."""
    name = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    rollout = Rollout(ground, request.param, name)
    rollout.make()
    return rollout


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_status_of_what_is_done(made: Rollout) -> None:
    """Of a rollout that is done `status` says so at once, and for a StatefulSet in kubectl's words."""
    result = made.run("status")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "partitioned roll out complete: 2 new pods have been updated...\n"
    if made.kind == "StatefulSet":
        assert result.stdout == made.kubectl("status")


def test_status_waits(made: Rollout) -> None:
    """`status` follows a rollout to its end."""
    made.play.image("example.org/web:2")
    result = made.run("status", "--timeout=30s")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "partitioned roll out complete: 2 new pods have been updated..."
    assert set(made.play.images().values()) == {"example.org/web:2"}


def break_it(made: Rollout) -> None:
    made.play.patch(
        "statefulsets", "web", {"spec": {"template": {"metadata": {"annotations": {FAIL: "ImagePullBackOff"}}}}}
    )
    made.play.wait(lambda: made.play.condition("Stalled").get("reason") == "ImagePullBackOff", "a broken pod")


def test_status_says_what_is_waited_for(made: Rollout) -> None:
    """`status` says what a rollout waits for, and gives up when its time is over."""
    break_it(made)
    result = made.run("status", "--timeout=100ms")
    assert (result.exit_code, result.stderr) == (1, "error: timed out waiting for the condition\n")
    line, waits = result.stdout.splitlines()
    assert line == "Waiting for 1 pods to be ready..."
    assert waits.startswith("  ImagePullBackOff: waiting for web-1: image cannot be pulled")
    for flag in ("--no-watch", "--watch=false", "-w=false"):
        assert made.run("status", flag).exit_code == 0


def test_status_after_the_deadline(ground: Ground) -> None:
    """When the progress deadline has passed `status` is in vain, and says why."""
    made = Rollout(ground, "OrdinalSet", "deadline")
    made.make(progressDeadlineSeconds=2)
    break_it(made)
    result = made.run("status", "--timeout=30s")
    assert (result.exit_code, result.stderr) == (1, 'error: ordinalset "web" exceeded its progress deadline\n')
    assert "waiting for web-1: image cannot be pulled" in result.stdout


def test_history(made: Rollout) -> None:
    """`history` lists revisions as kubectl does, and prints the template of one."""
    made.play.patch("statefulsets", "web", {"metadata": {"annotations": {"kubernetes.io/change-cause": "a new image"}}})
    made.image("example.org/web:2")
    result = made.run("history")
    assert result.exit_code == 0
    assert plain(result.stdout) == [made.shown, "REVISION  CHANGE-CAUSE", "1         <none>", "2         a new image"]
    if made.kind == "StatefulSet":
        assert plain(made.kubectl("history")) == [*plain(result.stdout), ""]
    first = made.run("history", "--revision=1").stdout.splitlines()
    assert first[:2] == [f"{made.shown} with revision #1", "Pod Template:"]
    printed = yaml.safe_load("\n".join(first[2:]))
    assert printed["spec"]["containers"][0]["image"] == "example.org/web:1"
    assert printed["metadata"]["annotations"] == {"note": "a < b & c > d"}


def test_undo(made: Rollout) -> None:
    """`undo` brings the revision before back: it is renumbered, and no new one is made."""
    made.image("example.org/web:2")
    (first, _), (second, _) = made.revisions()
    result = made.run("undo")
    assert (result.exit_code, result.stdout) == (0, f"{made.shown} rolled back\n")
    made.play.wait_rolled_out(2)
    assert made.revisions() == [(second, 2), (first, 3)]
    assert set(made.play.images().values()) == {"example.org/web:1"}
    assert made.run("undo").exit_code == 0
    made.play.wait_rolled_out(2)
    assert made.revisions() == [(first, 3), (second, 4)]


def test_undo_to_a_revision(made: Rollout) -> None:
    """`undo --to-revision` brings any revision back, and leaves the set alone that has it already."""
    for version in (2, 3):
        made.image(f"example.org/web:{version}")
    first, second, third = (name for name, _ in made.revisions())
    assert made.run("undo", "--to-revision=1").stdout == f"{made.shown} rolled back\n"
    made.play.wait_rolled_out(2)
    assert made.revisions() == [(second, 2), (third, 3), (first, 4)]
    generation = made.play.get("statefulsets", "web")["metadata"]["generation"]
    result = made.run("undo", "--to-revision=4")
    said = f"{made.shown} skipped rollback (current template already matches revision 4)\n"
    assert (result.exit_code, result.stdout) == (0, said)
    assert made.play.get("statefulsets", "web")["metadata"]["generation"] == generation


def test_undo_of_a_template_that_nobody_knows(ground: Ground) -> None:
    """What no version of Kubernetes has in a pod template comes back as it was, numbers and nulls included."""
    made = Rollout(ground, "OrdinalSet", "unknown")
    manifest = oset(2)
    odd: Json = {
        "large": 9007199254740993,
        "small": 1e-7,
        "half": 0.5,
        "nothing": None,
        "text": "<é\u2028>",
        "list": [[], {}],
    }
    manifest["spec"]["template"]["spec"]["oddities"] = odd
    made.play.create(manifest)
    made.play.wait_ready(2)
    (before,) = made.revisions()
    made.image("example.org/web:2")
    assert made.run("undo").exit_code == 0
    made.play.wait_rolled_out(2)
    found = made.play.get("statefulsets", "web")["spec"]["template"]["spec"]["oddities"]
    # A revision holds float64 numbers.
    assert found == {**odd, "large": 9007199254740992}
    assert made.revisions()[1] == (before[0], 3)
    assert len(made.revisions()) == 2


def test_undo_while_the_status_is_written(made: Rollout) -> None:
    """A status that is written between look and change is no obstacle; another template is."""
    made.image("example.org/web:2")
    stage, play = made.play.stage, made.play

    async def late(change: Json, path: str) -> str:
        async def meddle() -> None:
            answer = await client.request("PATCH", path, change, content_type="application/merge-patch+json")
            assert answer.status == 200

        client = await stage.connect()
        target = Target(SetKind(made.kind), "web")
        rollouts = rollout.Rollouts(client, target, play.namespace)
        seen = await rollouts.set()
        history = await rollouts.history(seen)
        await meddle()
        await rollouts.restore(seen, history[0])
        return "done"

    path = play.path("statefulsets", "web")
    assert stage.await_(late({"metadata": {"labels": {"meddled": "once"}}}, path)) == "done"
    play.wait_rolled_out(2)
    with pytest.raises(RolloutError, match="has just been changed by somebody else"):
        stage.await_(late({"spec": {"replicas": 1}}, path))


@pytest.mark.parametrize("kind", KINDS)
def test_no_such_revision(ground: Ground, kind: str) -> None:
    """A revision that is not there is one line and exit code 2."""
    made = Rollout(ground, kind, "no-revision")
    made.make(1)
    missing = "error: unable to find specified revision 9 in history; there are: 1\n"
    for arguments, message in (
        (("undo", "--to-revision=9"), missing),
        (("history", "--revision=9"), missing),
        (("undo",), "error: no last revision to roll back to\n"),
    ):
        result = made.run(*arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)


@pytest.mark.parametrize("command", ["status", "history", "undo"])
def test_no_such_set(ground: Ground, command: str) -> None:
    """A set that is not there is one line in the API server's words."""
    config = {"KUBECONFIG": str(ground.stage.cluster.kubeconfig)}
    result = run(command, "oset", "web", env=config)
    said = 'Error from server (NotFound): ordinalsets.headlessdns.io "web" not found\n'
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)


def test_a_kind_that_is_not_served(ground: Ground) -> None:
    """An API server that does not know OrdinalSets is told from one that has none of the name."""
    said = "error: the API server does not know OrdinalSets; apply deploy/crd to it first\n"
    assert (ground.unserved.exit_code, ground.unserved.stderr) == (2, said)


def test_no_rights(ground: Ground) -> None:
    """Who has no rights is told which one is missing."""
    cluster = ground.stage.cluster
    cluster.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "default"}}
    )
    config = cluster.service_account_kubeconfig("default", "nobody")
    result = run("status", "sts/web", "--kubeconfig", str(config))
    assert result.exit_code == 2
    assert result.stderr == (
        'Error from server (Forbidden): statefulsets.apps "web" is forbidden: User '
        '"system:serviceaccount:default:nobody" cannot get resource "statefulsets" in API group "apps" in the '
        'namespace "default"\n'
    )


def test_as_a_program(ground: Ground) -> None:
    """The script does what the tests call, and ends with its exit code."""
    made = Rollout(ground, "OrdinalSet", "program")
    made.make(1)
    script = [str(Path(sys.executable).parent / "headlessdns"), "rollout", "status", "oset/web"]
    where = ["-n", made.play.namespace, "--kubeconfig", str(made.play.cluster.kubeconfig)]
    done = subprocess.run([*script, *where], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "partitioned roll out complete: 1 new pods have been updated...\n"
