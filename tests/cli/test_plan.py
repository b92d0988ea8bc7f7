"""`headlessdns plan`: what a file would do to the pods that are there, as golden text."""

from __future__ import annotations

import copy
import datetime
import json
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headlessdns.cli import plan as cli_plan
from headlessdns.cli.main import main

Json = dict[str, Any]
NOW_S = 1_800_000_000

SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: nginx
  replicas: 3
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx, image: "nginx:1.27"}]}
"""
UID = "6d8f7c1e-0000-4000-8000-000000000001"
OWNER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": UID, "controller": True}


def ago(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(NOW_S - seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(autouse=True)
def _at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_plan, "time", types.SimpleNamespace(time=lambda: float(NOW_S)))


def pod(ordinal: int, *, revision: str = "web-old", ready: bool = True, unready_s: float = 3600, **more: Any) -> Json:
    """A pod that runs; *more* goes into its metadata, or its status where it is `status`."""
    status = more.pop("status", {})
    name = f"web-{ordinal}"
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": ago(unready_s)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-of-{name}",
            "creationTimestamp": ago(3600),
            "labels": {
                "app": "nginx",
                "statefulset.kubernetes.io/pod-name": name,
                "controller-revision-hash": revision,
            },
            "ownerReferences": [OWNER],
            **more,
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "nginx", "image": "nginx"}]},
        "status": {"phase": "Running", "startTime": ago(3600), "conditions": [condition], **status},
    }


def broken(ordinal: int, reason: str = "ImagePullBackOff", **more: Any) -> Json:
    waiting = [{"name": "nginx", "state": {"waiting": {"reason": reason}}}]
    return pod(ordinal, ready=False, status={"phase": "Pending", "containerStatuses": waiting}, **more)


SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "nginx", "namespace": "default"},
    "spec": {"clusterIP": "None", "selector": {"app": "nginx"}},
}


def plan(*args: str | Path, **kwargs: Any) -> Any:
    return CliRunner().invoke(main, ["plan", *map(str, args)], **kwargs)


class Files:
    """Files in a folder of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = folder / "now.yaml"
        self.wanted = folder / "new.yaml"
        self.want()

    def want(self, **spec: Any) -> None:
        """Write the set with other fields; *image* is that of its container."""
        raw = yaml.safe_load(SET)
        image = spec.pop("image", None)
        if image:
            raw["spec"]["template"]["spec"]["containers"][0]["image"] = image
        metadata = spec.pop("metadata", {})
        raw["metadata"] |= metadata
        raw["kind"] = spec.pop("kind", raw["kind"])
        raw["apiVersion"] = spec.pop("apiVersion", raw["apiVersion"])
        raw["spec"] |= spec
        self.wanted.write_text(yaml.safe_dump(raw))

    def there(self, *objects: Json) -> None:
        """Write a List as `kubectl get -o yaml` gives it."""
        self.now.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": copy.deepcopy(objects)}))

    def plan(self, *args: str) -> list[str]:
        done = plan("-f", self.wanted, "--pods", self.now, *args)
        assert (done.exit_code, done.stderr) == (0, "")
        return str(done.stdout).splitlines()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def revision(name: str, number: int, image: str) -> Json:
    """A revision as the reference writes it for the set in a cluster."""
    container = {
        "name": "nginx",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    template = {
        "$patch": "replace",
        "metadata": {"labels": {"app": "nginx"}},
        "spec": {
            "containers": [container],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-of-{name}",
            "labels": {"app": "nginx"},
            "ownerReferences": [OWNER],
        },
        "data": {"spec": {"template": template}},
        "revision": number,
    }


HISTORY = [revision("web-old", 1, "nginx:1.27"), revision("web-new", 2, "nginx:1.28")]


def three(revision: str = "web-old") -> list[Json]:
    return [pod(ordinal, revision=revision) for ordinal in range(3)]


CLAIM: Json = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "www-web-0", "namespace": "default", "uid": "uid-of-www-web-0"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    "status": {"phase": "Bound"},
}


def with_claim(raw: Json) -> Json:
    raw["spec"]["volumes"] = [{"name": "www", "persistentVolumeClaim": {"claimName": "www-web-0"}}]
    return raw


# What is there, what is wanted, the flags, and what is printed
GOLDEN: dict[str, tuple[list[Json], Json, str, str]] = {
    "nothing is there": (
        [],
        {},
        "",
        """\
StatefulSet default/web: 3 pods wanted, none there
  create ControllerRevision web-cbf9db4f7 (number 1)
  create Pod web-0 (revision web-cbf9db4f7)
  wait for web-0 to be ready
""",
    ),
    "nothing changes": (
        [*three(), HISTORY[0]],
        {},
        "",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
  nothing to do
""",
    ),
    "nothing changes, step by step": (
        [*three(), HISTORY[0]],
        {},
        "--steps 5",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
nothing is left to do: 3 there, 3 ready (3 of web-old)
""",
    ),
    "another image": (
        [*three(), HISTORY[0]],
        {"image": "nginx:1.29"},
        "",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
  create ControllerRevision web-7cf578fb75 (number 2)
  delete Pod web-2: it is of a superseded revision
""",
    ),
    "another image, step by step": (
        [*three(), HISTORY[0]],
        {"image": "nginx:1.29"},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
step 1
  create ControllerRevision web-7cf578fb75 (number 2)
  delete Pod web-2: it is of a superseded revision
step 2: web-2 has ended
  create Pod web-2 (revision web-7cf578fb75)
step 3: web-2 is ready
  delete Pod web-1: it is of a superseded revision
step 4: web-1 has ended
  create Pod web-1 (revision web-7cf578fb75)
step 5: web-1 is ready
  delete Pod web-0: it is of a superseded revision
step 6: web-0 has ended
  create Pod web-0 (revision web-7cf578fb75)
then: web-0 is ready
nothing is left to do after 6 steps: 3 there, 3 ready (3 of web-7cf578fb75)
""",
    ),
    "two steps of it": (
        [*three(), HISTORY[0]],
        {"image": "nginx:1.29"},
        "--steps 2",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
step 1
  create ControllerRevision web-7cf578fb75 (number 2)
  delete Pod web-2: it is of a superseded revision
step 2: web-2 has ended
  create Pod web-2 (revision web-7cf578fb75)
stopped after 2 steps: there is more to do
""",
    ),
    "back to an earlier image": (
        [*three("web-new"), *HISTORY],
        {},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-new)
step 1
  make ControllerRevision web-old the newest again (number 3)
  delete Pod web-2: it is of a superseded revision
step 2: web-2 has ended
  create Pod web-2 (revision web-old)
step 3: web-2 is ready
  delete Pod web-1: it is of a superseded revision
step 4: web-1 has ended
  create Pod web-1 (revision web-old)
step 5: web-1 is ready
  delete Pod web-0: it is of a superseded revision
step 6: web-0 has ended
  create Pod web-0 (revision web-old)
then: web-0 is ready
nothing is left to do after 6 steps: 3 there, 3 ready (3 of web-old)
""",
    ),
    "a rollout that is on its way": (
        [
            pod(0, revision="web-old"),
            pod(1, revision="web-new", ready=False, unready_s=5),
            pod(2, revision="web-new"),
            *HISTORY,
        ],
        {"image": "nginx:1.28"},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 2 ready (2 of web-new, 1 of web-old)
step 1: web-1 is ready
  delete Pod web-0: it is of a superseded revision
step 2: web-0 has ended
  create Pod web-0 (revision web-new)
then: web-0 is ready
nothing is left to do after 2 steps: 3 there, 3 ready (3 of web-new)
""",
    ),
    "a canary": (
        [*three(), HISTORY[0]],
        {"image": "nginx:1.29", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
step 1
  create ControllerRevision web-7cf578fb75 (number 2)
  delete Pod web-2: it is of a superseded revision
step 2: web-2 has ended
  create Pod web-2 (revision web-7cf578fb75)
then: web-2 is ready
nothing is left to do after 2 steps: 3 there, 3 ready (1 of web-7cf578fb75, 2 of web-old)
""",
    ),
    "OnDelete": (
        [*three(), *HISTORY],
        {"image": "nginx:1.28", "updateStrategy": {"type": "OnDelete"}},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
nothing is left to do: 3 there, 3 ready (3 of web-old)
""",
    ),
    "fewer pods": (
        [*three(), HISTORY[0]],
        {"replicas": 1},
        "--steps 100",
        """\
StatefulSet default/web: 1 pod wanted, 3 there, 3 ready (3 of web-old)
step 1
  delete Pod web-2: its ordinal is not wanted any more
step 2: web-2 has ended
  delete Pod web-1: its ordinal is not wanted any more
then: web-1 has ended
nothing is left to do after 2 steps: 1 there, 1 ready (1 of web-old)
""",
    ),
    "more pods at once": (
        [*three(), HISTORY[0]],
        {"replicas": 12, "podManagementPolicy": "Parallel"},
        "--steps 100",
        """\
StatefulSet default/web: 12 pods wanted, 3 there, 3 ready (3 of web-old)
step 1
  create Pod web-3 (revision web-old)
  create Pod web-4 (revision web-old)
  create Pod web-5 (revision web-old)
  create Pod web-6 (revision web-old)
  create Pod web-7 (revision web-old)
  create Pod web-8 (revision web-old)
  create Pod web-9 (revision web-old)
  create Pod web-10 (revision web-old)
  create Pod web-11 (revision web-old)
then: web-3, web-4, web-5, web-6, web-7, web-8 and 3 more are ready
nothing is left to do after 1 step: 12 there, 12 ready (12 of web-old)
""",
    ),
    "pods that have to stay ready": (
        [pod(0), pod(1, revision="web-old", unready_s=3), HISTORY[0]],
        {"minReadySeconds": 10},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 2 there, 2 ready (2 of web-old)
step 1: 8 s have passed
  create Pod web-2 (revision web-old)
then: web-2 is ready; 11 s have passed
nothing is left to do after 1 step: 3 there, 3 ready (3 of web-old)
""",
    ),
    "a bad image that is mended": (
        [pod(0), pod(1), broken(2, revision="web-new"), *HISTORY],
        {"image": "nginx:1.29"},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 2 ready (1 of web-new, 2 of web-old)
step 1
  create ControllerRevision web-7cf578fb75 (number 3)
  delete Pod web-2: it is of a superseded revision, was never ready, and holds the rollout up
step 2: web-2 has ended
  create Pod web-2 (revision web-7cf578fb75)
step 3: web-2 is ready
  delete Pod web-1: it is of a superseded revision
step 4: web-1 has ended
  create Pod web-1 (revision web-7cf578fb75)
step 5: web-1 is ready
  delete Pod web-0: it is of a superseded revision
step 6: web-0 has ended
  create Pod web-0 (revision web-7cf578fb75)
then: web-0 is ready
nothing is left to do after 6 steps: 3 there, 3 ready (3 of web-7cf578fb75)
""",
    ),
    "a bad image that is not mended": (
        [pod(0), pod(1), broken(2, revision="web-new"), *HISTORY],
        {"image": "nginx:1.28"},
        "",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 2 ready (1 of web-new, 2 of web-old)
  wait for web-2: image cannot be pulled; nothing is deleted; mend the template or delete the pod
""",
    ),
    "a bad image that is not mended, step by step": (
        [pod(0), pod(1), broken(2, revision="web-new"), *HISTORY],
        {"image": "nginx:1.28"},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 2 ready (1 of web-new, 2 of web-old)
it stays so: wait for web-2: image cannot be pulled; nothing is deleted; mend the template or delete the pod
""",
    ),
    "a bad image, and nobody heals": (
        [pod(0), pod(1), broken(2, revision="web-new"), *HISTORY],
        {"image": "nginx:1.29", "metadata": {"annotations": {"headlessdns.io/no-heal": "true"}}},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 2 ready (1 of web-new, 2 of web-old)
step 1
  create ControllerRevision web-7cf578fb75 (number 3)
it stays so after 1 step: wait for web-2: image cannot be pulled; nothing is deleted; mend the template or delete \
the pod
""",
    ),
    "a template whose pods never become ready": (
        [*three(), HISTORY[0]],
        {
            "template": {
                "metadata": {"labels": {"app": "nginx"}, "annotations": {"lab.headlessdns.io/ready": "false"}},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:1.29"}]},
            }
        },
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
step 1
  create ControllerRevision web-65ddc5c4ff (number 2)
  delete Pod web-2: it is of a superseded revision
step 2: web-2 has ended
  create Pod web-2 (revision web-65ddc5c4ff)
it stays so after 2 steps: wait for web-2: it runs and is not ready
""",
    ),
    "a lost node": (
        [pod(0), pod(1), pod(2, deletionTimestamp=ago(600)), HISTORY[0]],
        {},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 3 ready (3 of web-old)
it stays so: wait for web-2: it should have ended by now; its node node-1 may be lost; bring the node back; or, \
once it is certain that nothing runs there any more, delete the Node object or run `kubectl delete pod web-2 -n \
default --force`
""",
    ),
    "a failed pod": (
        [pod(0), pod(1, ready=False, status={"phase": "Failed", "reason": "Evicted"}), pod(2), HISTORY[0]],
        {},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 3 there, 2 ready (3 of web-old)
step 1
  delete Pod web-1: it has ended and will not run again
step 2: web-1 has ended
  create Pod web-1 (revision web-old)
then: web-1 is ready
nothing is left to do after 2 steps: 3 there, 3 ready (3 of web-old)
""",
    ),
    "a pod that is long not ready": (
        [pod(0), pod(1, ready=False), HISTORY[0]],
        {},
        "--steps 100",
        """\
StatefulSet default/web: 3 pods wanted, 2 there, 1 ready (2 of web-old)
it stays so: wait for web-1: it runs and is not ready
""",
    ),
    "claims that go with their pods": (
        [with_claim(pod(0)), CLAIM, HISTORY[0]],
        {
            "replicas": 0,
            "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
            "volumeClaimTemplates": [{"metadata": {"name": "www"}, "spec": CLAIM["spec"]}],
        },
        "--steps 9",
        """\
StatefulSet default/web: 0 pods wanted, 1 there, 1 ready (1 of web-old)
step 1
  let PersistentVolumeClaim www-web-0 belong to Pod web-0, with which it is deleted
  delete Pod web-0: its ordinal is not wanted any more
then: web-0 has ended
nothing is left to do after 1 step: none there
""",
    ),
    "an orphan": (
        [pod(0, ownerReferences=[])],
        {"replicas": 1, "metadata": {"uid": UID}},
        "",
        """\
StatefulSet default/web: 1 pod wanted, none there
  adopt Pod web-0: nobody owns it, and its name and labels are the set's
  create ControllerRevision web-cbf9db4f7 (number 1)
  delete Pod web-0: it is of a superseded revision
""",
    ),
    "a pod in the way": (
        [pod(0, ownerReferences=[{**OWNER, "name": "other", "uid": "another"}])],
        {"replicas": 1, "metadata": {"uid": UID}},
        "--steps 3",
        """\
StatefulSet default/web: 1 pod wanted, none there
  warning NameConflict: a Pod web-0 exists and belongs to StatefulSet other; delete it, then ours is created
step 1
  create ControllerRevision web-cbf9db4f7 (number 1)
it stays so after 1 step: refused: Pod "web-0" already exists
""",
    ),
    "pods of other sets are nothing to it": (
        [
            {
                **pod(0, ready=False, unready_s=5),
                "metadata": {"name": "db-0", "ownerReferences": [{**OWNER, "name": "db", "uid": "db"}]},
            },
            SERVICE,
        ],
        {"replicas": 1},
        "--steps 3",
        """\
StatefulSet default/web: 1 pod wanted, none there
step 1
  create ControllerRevision web-cbf9db4f7 (number 1)
  create Pod web-0 (revision web-cbf9db4f7)
then: web-0 is ready
nothing is left to do after 1 step: 1 there, 1 ready (1 of web-cbf9db4f7)
""",
    ),
    "a Service that is missing": (
        [{**SERVICE, "metadata": {"name": "other"}}],
        {"replicas": 0},
        "",
        """\
StatefulSet default/web: 0 pods wanted, none there
  warning GoverningServiceMissing: Service default/nginx does not exist, so the pods have no names in the DNS; \
create it with clusterIP: None
  create ControllerRevision web-cbf9db4f7 (number 1)
""",
    ),
    "a Service that is there": (
        [SERVICE],
        {"replicas": 0},
        "",
        """\
StatefulSet default/web: 0 pods wanted, none there
  create ControllerRevision web-cbf9db4f7 (number 1)
""",
    ),
    "an OrdinalSet": (
        [],
        {"kind": "OrdinalSet", "apiVersion": "headlessdns.io/v1alpha1", "reserveOrdinals": [1], "replicas": 2},
        "--steps 9",
        """\
OrdinalSet default/web: 2 pods wanted, none there
step 1
  create ControllerRevision web-848bb4dd84 (number 1)
  create Pod web-0 (revision web-848bb4dd84)
step 2: web-0 is ready
  create Pod web-2 (revision web-848bb4dd84)
then: web-2 is ready
nothing is left to do after 2 steps: 2 there, 2 ready (2 of web-848bb4dd84)
""",
    ),
    "an annotation that says nothing": (
        [],
        {"metadata": {"annotations": {"headlessdns.io/max-unavailable": "x"}}},
        "",
        """\
StatefulSet default/web: 3 pods wanted, none there
  do nothing until it is corrected: maxUnavailable is 'x'; expected a number from 1 on, or 1% to 100%
""",
    ),
}


@pytest.mark.parametrize(("there", "wanted", "flags", "text"), GOLDEN.values(), ids=GOLDEN.keys())
def test_golden(files: Files, there: list[Json], wanted: Json, flags: str, text: str) -> None:
    """What the controller would do is printed as a person would say it, and ends with how it ends."""
    files.there(*there)
    files.want(**wanted)
    assert files.plan(*flags.split()) == text.splitlines()


def test_nothing_but_a_set(files: Files) -> None:
    """Without --pods nothing is there yet."""
    done = plan("-f", files.wanted)
    assert done.stdout.splitlines() == [
        "StatefulSet default/web: 3 pods wanted, none there",
        "  create ControllerRevision web-cbf9db4f7 (number 1)",
        "  create Pod web-0 (revision web-cbf9db4f7)",
        "  wait for web-0 to be ready",
    ]


def test_everything_in_one_file(files: Files) -> None:
    """What is there may stand in the file of the set, and be JSON."""
    file = files.folder / "all.json"
    items = [yaml.safe_load(SET), *three(), HISTORY[0]]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert plan("-f", file).stdout.splitlines()[1:] == ["  nothing to do"]


def test_typed_lists(files: Files) -> None:
    """The items of a PodList are Pods, though they do not say so."""
    items = [{key: part for key, part in one.items() if key not in ("kind", "apiVersion")} for one in three()]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "PodList", "items": items})
    files.now.write_text(f"{text}---\n{yaml.safe_dump(HISTORY[0])}")
    assert files.plan()[1:] == ["  nothing to do"]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(flag: str) -> None:
    """The help says what the command is for, with an example."""
    done = plan(flag)
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: main plan [OPTIONS]\n")
    assert "\n    headlessdns plan -f new.yaml --pods now.yaml --steps 100\n" in done.stdout


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_standard_input(files: Files, form: str) -> None:
    """What is there may come from a pipe."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [*three(), HISTORY[0]]}
    text = yaml.safe_dump(listed) if form == "yaml" else json.dumps(listed)
    done = plan("-f", files.wanted, "--pods", "-", input=text)
    assert done.stdout.splitlines()[1:] == ["  nothing to do"]


def test_the_set_as_it_is(files: Files) -> None:
    """The set as it is lends its UID and status to the one that is to be; the pods are its own."""
    live = yaml.safe_load(SET)
    live["metadata"] |= {"namespace": "default", "uid": UID, "generation": 3}
    live["status"] = {"currentRevision": "web-old", "updateRevision": "web-new", "currentReplicas": 2}
    files.there(live, *three(), *HISTORY)
    files.want(
        image="nginx:1.28", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}, replicas=4
    )
    assert files.plan("--steps", "1") == [
        "StatefulSet default/web: 4 pods wanted, 3 there, 3 ready (3 of web-old)",
        "step 1",
        "  create Pod web-3 (revision web-new)",
        "then: web-3 is ready",
        "nothing is left to do after 1 step: 4 there, 4 ready (1 of web-new, 3 of web-old)",
    ]


def test_pods_of_a_former_set(files: Files) -> None:
    """Where the set as it is says its UID, pods of another UID are not its own."""
    live = yaml.safe_load(SET)
    live["metadata"] |= {"namespace": "default", "uid": UID}
    files.there(live, pod(0, ownerReferences=[{**OWNER, "uid": "former"}]), HISTORY[0])
    expected = "  warning NameConflict: a Pod web-0 exists and belongs to an earlier StatefulSet web; "
    assert files.plan()[1].startswith(expected)


def test_a_claim_of_a_former_pod(files: Files) -> None:
    """A claim that goes with an earlier pod is garbage, and is made anew with the pod."""
    former = {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "former", "controller": True}
    claim = copy.deepcopy(CLAIM)
    claim["metadata"]["ownerReferences"] = [former]
    files.there(claim, HISTORY[0])
    files.want(
        replicas=1,
        metadata={"uid": UID},
        persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"},
        volumeClaimTemplates=[{"metadata": {"name": "www"}, "spec": CLAIM["spec"]}],
    )
    assert files.plan()[1:] == [
        "  wait for web-0: its claim still belongs to an earlier pod: www-web-0; the garbage collector removes it"
    ]
    assert files.plan("--steps", "9")[1:4] == [
        "step 1",
        "  create PersistentVolumeClaim www-web-0 (1Gi) for Pod web-0",
        "  create Pod web-0 (revision web-old; claim www-web-0)",
    ]


def test_a_missing_pod_below_the_partition(files: Files) -> None:
    """Without the set as it is, the oldest revision that a pod has counts as the current one."""
    files.there(pod(0), pod(2, revision="web-new"), *HISTORY)
    files.want(image="nginx:1.28", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert files.plan()[1:] == ["  create Pod web-1 (revision web-old)", "  wait for web-1 to be ready"]


def test_several_sets(files: Files) -> None:
    """Each set has a paragraph of its own."""
    other = SET.replace("name: web", "name: db")
    files.wanted.write_text(f"{SET}---\n{other}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n")
    lines = plan("-f", files.wanted).stdout.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "StatefulSet default/web: 3 pods wanted, none there",
        "",
        "StatefulSet default/db: 3 pods wanted, none there",
    ]


def test_namespace(files: Files) -> None:
    """Objects that do not say their namespace are in the one that a flag names; pods elsewhere are nothing to them."""
    files.there(*three())
    assert files.plan("-n", "shop")[0] == "StatefulSet shop/web: 3 pods wanted, none there"


def test_nobody_writes_anything(files: Files) -> None:
    """The files stay as they are, and so does what is printed when it is asked for again."""
    files.there(*three(), HISTORY[0])
    files.want(image="nginx:1.29")
    before = (files.now.read_bytes(), files.wanted.read_bytes())
    assert files.plan("--steps", "9") == files.plan("--steps", "9")
    assert (files.now.read_bytes(), files.wanted.read_bytes()) == before


# What is wrong


def test_every_fault_at_once(files: Files) -> None:
    """All faults of all files are listed with file and line, and nothing is printed."""
    files.wanted.write_text(
        """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: Web}
spec:
  replicas: -1
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx}]}
"""
    )
    files.now.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n---\nkind: Pod\nkind: Pod\n")
    done = plan("-f", files.wanted, "--pods", files.now)
    assert (done.exit_code, done.stdout) == (2, "")
    assert [line.partition("; expected")[0] for line in done.stderr.splitlines()] == [
        f"{files.now}:6: document 2: found the key kind twice in one mapping",
        f"{files.wanted}:3: document 1: metadata.name: found 'Web'",
        f"{files.wanted}:5: document 1: spec.replicas: found -1",
        f"{files.wanted}:9: document 1: spec.template.spec.containers[0].image: found nothing",
        f"{files.now}:1: document 1: found a field that does not fit: Expected `str`, got `int` - at `$.metadata.name`",
    ]


FAULTS: dict[str, tuple[str, str]] = {
    "no set": ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", "{file}: found no set"),
    "nothing": ("", "{file}: found no set"),
    "a set of another group": (
        SET.replace("apps/v1", "apps/v1beta1"),
        "{file}:1: document 1: apiVersion: found apps/v1beta1",
    ),
    "the same set twice": (
        f"{SET}---\n{SET}",
        "{file}:12: document 2: found StatefulSet default/web, which is in {file}:1: document 1 as well",
    ),
    "no mapping": ("- 1\n", "{file}:1: document 1: found a list"),
    "no kind": ("apiVersion: v1\n", "{file}:1: document 1: kind: found nothing"),
    "a list that is none": (
        "apiVersion: v1\nkind: List\nitems: {a: 1}\n",
        "{file}:3: document 1: items: found a mapping",
    ),
    "no metadata": (
        "apiVersion: apps/v1\nkind: StatefulSet\nspec: {}\n",
        "{file}:1: document 1: metadata.name: found nothing",
    ),
}


@pytest.mark.parametrize(("text", "found"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(files: Files, text: str, found: str) -> None:
    """A fault says where it is and what was found."""
    files.wanted.write_text(text)
    done = plan("-f", files.wanted)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].partition("; expected")[0] == found.format(file=files.wanted)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param([], "Missing option '-f'", id="no file"),
        pytest.param(
            ["-f", "/nowhere/at-all.yaml"], "/nowhere/at-all.yaml: found No such file", id="a file that is not there"
        ),
        pytest.param(["-f", "x", "--steps", "0"], "0 is not in the range", id="no steps"),
    ],
)
def test_wrong_flags(args: list[str], message: str) -> None:
    """What cannot be used ends with exit code 2 and says why."""
    done = plan(*args)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_time_that_is_none(files: Files) -> None:
    """A pod with a time that nobody can read is a fault of its file."""
    files.there(pod(0, creationTimestamp="yesterday"))
    done = plan("-f", files.wanted, "--pods", files.now)
    assert done.exit_code == 2
    assert "items[0]: found a field that does not fit: Invalid isoformat string: 'yesterday'" in done.stderr


def test_a_claim_without_a_name(files: Files) -> None:
    """A pod whose volume is a claim without a name is a fault of its file."""
    odd = pod(0)
    odd["spec"]["volumes"] = [{"name": "www", "persistentVolumeClaim": {}}]
    files.there(odd)
    done = plan("-f", files.wanted, "--pods", files.now)
    assert (done.exit_code, "a volume has a persistentVolumeClaim without claimName" in done.stderr) == (2, True)


def test_nulls_are_nothing(files: Files) -> None:
    """What is null in a pod is the same as if it were not there."""
    odd = with_claim(pod(0))
    odd["spec"]["volumes"] += [{"name": "tmp", "persistentVolumeClaim": None}]
    odd["status"]["containerStatuses"] = None
    files.there(odd, HISTORY[0])
    files.want(replicas=1)
    assert files.plan("--steps", "2")[1:] == ["nothing is left to do: 1 there, 1 ready (1 of web-old)"]


def test_set_as_it_is_without_a_name(files: Files) -> None:
    """A set as it is has to have a name and a specification, and is not judged further."""
    files.there({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}})
    done = plan("-f", files.wanted, "--pods", files.now)
    assert done.exit_code == 2
    assert "items[0].spec: found nothing; expected a mapping; write it" in done.stderr
    files.there({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {}})
    done = plan("-f", files.wanted, "--pods", files.now)
    assert "items[0].metadata.name: found nothing; expected a name; write it" in done.stderr
