"""What becomes of pods, and what their status says."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.objects import Key, Now, Pod, Write
from headlessdns.lab.pods import (
    Pace,
    Run,
    Stage,
    admit,
    advance,
    back_off_s,
    binding,
    claim_trouble,
    collection_write,
    duration_s,
    learn,
    lost_write,
    status_write,
    terminate,
    unschedulable_write,
    wish_of,
)
from tests.lab.making import at, claim, pod

Json = dict[str, Any]

PACE = Pace(start_s=2, ready_s=3, termination_s=5, back_off_s=10)


class Life:
    """A pod that is looked at from time to time."""

    def __init__(self, **fields: Any) -> None:
        self.pod = pod(**fields)
        self.run: Run = admit(("10.244.0.2", "fd00:244::2"), at(0))
        self.wait_s: float | None = None

    def look(self, now: Now, **annotations: str) -> Json:
        """Let the time come to *now*, with these annotations, and return the status."""
        self.pod.metadata.annotations = {f"lab.headlessdns.io/{name}": value for name, value in annotations.items()}
        wish = wish_of(self.pod, PACE)
        if self.pod.metadata.deletion_timestamp:
            self.wait_s = terminate(self.pod, self.run, PACE, now)
        else:
            self.wait_s = advance(self.run, wish, PACE, now)
        if write := status_write(self.pod, self.run, wish, PACE, "198.18.0.1", now):
            assert write.path == "/api/v1/namespaces/shop/pods/web-0/status"
            self.pod.status = {**self.pod.status, **write.body["status"]}
        return self.pod.status


def condition(status: Json, kind: str) -> Json:
    return next(one for one in status["conditions"] if one["type"] == kind)


def statuses(status: Json) -> Json:
    return {one["type"]: one["status"] for one in status["conditions"]}


def state(status: Json) -> tuple[str, str]:
    """Return the state of the first container and its reason."""
    [(name, detail)] = status["containerStatuses"][0]["state"].items()
    return name, detail.get("reason", "")


def test_creating() -> None:
    """An admitted pod has its addresses, and its containers are being created."""
    life = Life()
    status = life.look(at(0))
    assert status["phase"] == "Pending"
    assert status["startTime"] == "2026-01-02T12:00:00Z"
    assert status["podIP"] == "10.244.0.2"
    assert status["podIPs"] == [{"ip": "10.244.0.2"}, {"ip": "fd00:244::2"}]
    assert (status["hostIP"], status["hostIPs"]) == ("198.18.0.1", [{"ip": "198.18.0.1"}])
    assert state(status) == ("waiting", "ContainerCreating")
    assert statuses(status) == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
    ready = condition(status, "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [nginx]")
    assert life.wait_s == 2


def test_running_then_ready() -> None:
    """Containers run after the one delay and are ready after the other, and each transition has its time."""
    life = Life()
    assert life.look(at(1.9))["phase"] == "Pending"
    assert life.wait_s == pytest.approx(0.1)
    status = life.look(at(2))
    assert status["phase"] == "Running"
    assert life.wait_s == 3
    container = status["containerStatuses"][0]
    assert container["state"] == {"running": {"startedAt": "2026-01-02T12:00:02Z"}}
    assert (container["ready"], container["started"], container["restartCount"]) == (False, True, 0)
    assert container["imageID"].startswith("nginx:1@sha256:")
    assert container["containerID"].startswith("lab://")
    status = life.look(at(5))
    assert condition(status, "Ready") == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-01-02T12:00:05Z",
    }
    assert condition(status, "PodScheduled")["lastTransitionTime"] == "2026-01-02T12:00:01Z"
    assert status["containerStatuses"][0]["ready"] is True
    assert life.wait_s is None


def test_said_once() -> None:
    """What the status says already is not written again."""
    life = Life()
    life.look(at(0))
    life.look(at(5))
    life.look(at(10))
    wish = wish_of(life.pod, PACE)
    assert status_write(life.pod, life.run, wish, PACE, "198.18.0.1", at(99)) is None


def test_write_names_its_version() -> None:
    """A status is written over the very version that was seen, and over no other pod of that name."""
    write = status_write(pod(), admit((), at(0)), wish_of(pod(), PACE), PACE, "198.18.0.1", at(0))
    assert write is not None
    assert write.body["metadata"] == {"uid": "u1", "resourceVersion": "7"}
    assert write.content_type == "application/merge-patch+json"
    assert "podIP" not in write.body["status"]


def test_others_conditions_are_kept() -> None:
    """Conditions that others wrote, and what they wrote into ours, stay."""
    old = [
        {"type": "example.com/gate", "status": "True"},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "then", "observedGeneration": 2},
    ]
    life = Life(status={"conditions": old})
    assert life.look(at(0))["conditions"][:2] == old


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3s", 3),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("0s", 0),
        ("", None),
        ("3", None),
        ("soon", None),
        ("-3s", None),
        ("3s ", None),
        ("9" * 400 + "s", None),
    ],
)
def test_duration(text: str, seconds: float | None) -> None:
    """Durations are written as Kubernetes writes them; anything else is none."""
    assert duration_s(text) == seconds


def test_start_delay() -> None:
    """A pod's own delay counts, and one that cannot be read does not."""
    life = Life()
    life.look(at(0), **{"start-delay": "1m"})
    assert life.wait_s == 60
    life.look(at(1), **{"start-delay": "a while"})
    assert life.wait_s == 1


def test_not_ready_on_purpose() -> None:
    """A running pod is not ready while its annotation says so, and ready again at once."""
    life = Life()
    life.look(at(2))
    assert statuses(life.look(at(9), ready="false"))["Ready"] == "False"
    assert life.pod.status["phase"] == "Running"
    assert statuses(life.look(at(10)))["Ready"] == "True"
    status = life.look(at(11), ready="false")
    assert condition(status, "Ready")["lastTransitionTime"] == "2026-01-02T12:00:11Z"
    assert status["containerStatuses"][0]["ready"] is False
    assert condition(life.look(at(12)), "ContainersReady")["lastTransitionTime"] == "2026-01-02T12:00:12Z"


def test_image_cannot_be_pulled() -> None:
    """A pod whose image cannot be pulled stays Pending, with an error first and then a back-off, until it is mended."""
    life = Life()
    status = life.look(at(2), fail="ImagePullBackOff")
    assert (status["phase"], state(status)) == ("Pending", ("waiting", "ErrImagePull"))
    assert "not found" in status["containerStatuses"][0]["state"]["waiting"]["message"]
    assert life.wait_s == 10
    status = life.look(at(12), fail="ImagePullBackOff")
    assert (status["phase"], state(status)) == ("Pending", ("waiting", "ImagePullBackOff"))
    message = status["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith('Back-off pulling image "nginx:1": ErrImagePull: ')
    assert status["podIP"] == "10.244.0.2"
    assert life.wait_s is None
    status = life.look(at(20))
    assert (status["phase"], state(status)) == ("Running", ("running", ""))
    assert status["containerStatuses"][0]["restartCount"] == 0


def test_crash_loop() -> None:
    """Containers that crash are started again, after pauses that double, and flip the readiness of their pod."""
    life = Life()
    crash = {"fail": "CrashLoop"}
    assert life.look(at(2), **crash)["phase"] == "Running"
    assert statuses(life.look(at(5), **crash))["Ready"] == "True"
    assert life.wait_s == 10
    status = life.look(at(15), **crash)
    assert (status["phase"], state(status)) == ("Running", ("waiting", "CrashLoopBackOff"))
    assert statuses(status)["Ready"] == "False"
    container = status["containerStatuses"][0]
    assert container["state"]["waiting"]["message"] == (
        "back-off 10s restarting failed container=nginx pod=web-0_shop(u1)"
    )
    assert container["lastState"]["terminated"] == {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-01-02T12:00:02Z",
        "finishedAt": "2026-01-02T12:00:15Z",
    }
    assert life.wait_s == 10
    container = life.look(at(25), **crash)["containerStatuses"][0]
    assert container["state"] == {"running": {"startedAt": "2026-01-02T12:00:25Z"}}
    assert container["restartCount"] == 1
    life.look(at(28), **crash)
    container = life.look(at(38), **crash)["containerStatuses"][0]
    assert container["state"]["waiting"]["message"].startswith("back-off 20s ")
    assert life.wait_s == 20


def test_crash_loop_mended() -> None:
    """Containers that shall not crash any more run at once."""
    life = Life()
    life.look(at(2), fail="CrashLoop")
    life.look(at(15), fail="CrashLoop")
    status = life.look(at(16))
    assert state(status) == ("running", "")
    assert status["containerStatuses"][0]["restartCount"] == 1
    assert statuses(life.look(at(19)))["Ready"] == "True"
    assert life.wait_s is None


@pytest.mark.parametrize(("restarts", "pause_s"), [(0, 10), (1, 20), (4, 160), (5, 300), (10_000, 300)])
def test_back_off(restarts: int, pause_s: float) -> None:
    """The pause doubles up to 30 times the first one."""
    assert back_off_s(restarts, PACE) == pause_s


def test_long_back_off_in_words() -> None:
    """A pause of minutes is written as one."""
    life = Life()
    life.run.restarts = 3
    life.run.stage = Stage.CRASHED
    waiting = life.look(at(1), fail="CrashLoop")["containerStatuses"][0]["state"]["waiting"]
    assert waiting["message"].startswith("back-off 1m20s ")


def test_failed() -> None:
    """A pod that failed stays so, whatever its annotations say afterwards."""
    life = Life()
    status = life.look(at(2), fail="Failed")
    assert (status["phase"], state(status)) == ("Failed", ("terminated", "Error"))
    assert status["containerStatuses"][0]["state"]["terminated"] == {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-01-02T12:00:02Z",
        "finishedAt": "2026-01-02T12:00:02Z",
    }
    assert statuses(status)["PodReadyToStartContainers"] == "False"
    assert condition(status, "Ready")["reason"] == "PodFailed"
    assert life.look(at(9)) == status
    assert life.wait_s is None


ORDER = [
    ("", "", "Running"),
    ("", "ImagePullBackOff", "ErrImagePull"),
    ("", "Failed", "Error"),
    ("ImagePullBackOff", "CrashLoop", "Running"),
    ("ImagePullBackOff", "Failed", "Error"),
    ("CrashLoop", "ImagePullBackOff", "ErrImagePull"),
    ("CrashLoop", "Failed", "Error"),
]


@pytest.mark.parametrize(("before", "after", "reason"), ORDER)
def test_from_one_trouble_to_another(before: str, after: str, reason: str) -> None:
    """A change of the annotation counts at once."""
    life = Life()
    life.look(at(2), fail=before)
    life.look(at(15), fail=before)
    status = life.look(at(16), fail=after)
    name, why = state(status)
    assert (why or name.title()) == reason
    assert status["containerStatuses"][0]["state"].get("terminated", {"exitCode": 1})["exitCode"] == 1


def test_running_pod_that_loses_its_image() -> None:
    """A pod that ran before is Running still while its image cannot be pulled, and was started again when it can."""
    life = Life()
    life.look(at(2))
    status = life.look(at(6), fail="ImagePullBackOff")
    assert (status["phase"], state(status)) == ("Running", ("waiting", "ErrImagePull"))
    assert life.look(at(7))["containerStatuses"][0]["restartCount"] == 1


def test_new_container_id_at_each_start() -> None:
    """A container that is started again is another container."""
    life = Life()
    first = life.look(at(2), fail="CrashLoop")["containerStatuses"][0]["containerID"]
    life.look(at(15), fail="CrashLoop")
    assert life.look(at(16))["containerStatuses"][0]["containerID"] != first


def test_init_containers() -> None:
    """Init containers are done before the others start, and sidecars go on with them."""
    init = [{"name": "init", "image": "busybox"}, {"name": "proxy", "image": "envoy", "restartPolicy": "Always"}]
    life = Life(init_containers=init)
    status = life.look(at(0))
    assert state(status) == ("waiting", "PodInitializing")
    initialized = condition(status, "Initialized")
    assert (initialized["status"], initialized["reason"]) == ("False", "ContainersNotInitialized")
    assert initialized["message"] == "containers with incomplete status: [init proxy]"
    status = life.look(at(2))
    done, sidecar = status["initContainerStatuses"]
    assert done["state"]["terminated"]["reason"] == "Completed"
    assert (done["ready"], done["restartCount"]) == (True, 0)
    assert "running" in sidecar["state"]
    assert statuses(status)["Initialized"] == "True"


def test_readiness_gates() -> None:
    """A pod with a readiness gate is Ready when somebody has opened it."""
    life = Life(readiness_gates=[{"conditionType": "example.com/up"}])
    life.look(at(2))
    status = life.look(at(5))
    assert condition(status, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert statuses(status)["ContainersReady"] == "True"
    life.pod.status["conditions"].append({"type": "example.com/up", "status": "True"})
    assert statuses(life.look(at(6)))["Ready"] == "True"


@pytest.mark.parametrize(
    ("grace_s", "lasts_s"),
    [pytest.param(30, 5, id="as-long-as-set"), pytest.param(2, 2, id="no-longer-than-its-grace-period")],
)
def test_termination(grace_s: int, lasts_s: float) -> None:
    """A deleted pod is not ready while its containers end, which takes no longer than its grace period."""
    life = Life()
    life.look(at(2))
    assert statuses(life.look(at(5)))["Ready"] == "True"
    life.pod.metadata.deletion_timestamp = "2026-01-02T12:00:40Z"
    life.pod.metadata.deletion_grace_period_seconds = grace_s
    status = life.look(at(10))
    assert (status["phase"], state(status)) == ("Running", ("running", ""))
    assert statuses(status)["Ready"] == "False"
    assert life.wait_s == lasts_s
    status = life.look(at(10 + lasts_s))
    assert (status["phase"], state(status)) == ("Succeeded", ("terminated", "Completed"))
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["startedAt"]) == (0, "2026-01-02T12:00:02Z")
    assert ended["finishedAt"] == f"2026-01-02T12:00:{10 + lasts_s}Z"
    assert condition(status, "Ready")["reason"] == "PodCompleted"
    assert life.wait_s is None


# After a restart


def relearn(life: Life, now: Now) -> Run:
    run = learn(life.pod, PACE, now)
    assert run is not None
    return run


def test_not_admitted_before() -> None:
    """A pod that was never admitted has nothing to be learnt."""
    assert learn(pod({"phase": "Pending"}), PACE, at(0)) is None


def test_learn_creating() -> None:
    """A delay that began before a restart is not begun anew, and the addresses stay."""
    life = Life()
    life.look(at(0))
    run = relearn(life, at(1.5))
    assert (run.stage, run.addresses) == (Stage.CREATING, ("10.244.0.2", "fd00:244::2"))
    assert advance(run, wish_of(life.pod, PACE), PACE, at(1.5)) == pytest.approx(0.5)


def test_learn_ready() -> None:
    """A ready pod stays ready across a restart, even where the clock was set back, and nothing is written."""
    life = Life()
    life.look(at(2))
    life.look(at(5))
    for now in (at(60), at(-60)):
        life.run = relearn(life, now)
        before = life.pod.status
        assert life.look(now) == before


@pytest.mark.parametrize(
    ("failure", "seconds", "stage"),
    [
        ("ImagePullBackOff", 2, Stage.PULLING),
        ("ImagePullBackOff", 12, Stage.PULL_BACK_OFF),
        ("CrashLoop", 15, Stage.CRASHED),
        ("Failed", 2, Stage.ENDED),
    ],
)
def test_learn_trouble(failure: str, seconds: float, stage: Stage) -> None:
    """Trouble goes on after a restart."""
    life = Life()
    life.look(at(2), fail=failure)
    status = life.look(at(seconds), fail=failure)
    run = relearn(life, at(seconds))
    assert (run.stage, run.last) == (stage, life.run.last)
    life.run = run
    assert life.look(at(seconds + 1), fail=failure) == status


def test_learn_restarts() -> None:
    """The count of restarts goes on after a restart of our own."""
    life = Life()
    life.look(at(2), fail="CrashLoop")
    life.look(at(15), fail="CrashLoop")
    life.look(at(25), fail="CrashLoop")
    life.run = relearn(life, at(26))
    life.look(at(38), fail="CrashLoop")
    assert life.look(at(39))["containerStatuses"][0]["restartCount"] == 2


# Pods that are not ours to run


@pytest.mark.parametrize(
    ("claims", "trouble"),
    [
        pytest.param([], 'persistentvolumeclaim "www-web-0" not found', id="missing"),
        pytest.param([claim()], "pod has unbound immediate PersistentVolumeClaims", id="not-bound"),
        pytest.param([claim({"phase": "Bound"})], "", id="bound"),
        pytest.param(
            [claim({"phase": "Bound"}, deletionTimestamp="2026-01-02T12:00:00Z")],
            'persistentvolumeclaim "www-web-0" is being deleted',
            id="terminating",
        ),
    ],
)
def test_claim_trouble(claims: list[Any], trouble: str) -> None:
    """A pod waits for claims that are missing, not bound, or about to go."""
    mounts = pod(volumes=[{"persistentVolumeClaim": {"claimName": "www-web-0"}}, {"name": "tmp"}]).claims()
    assert mounts == [Key("shop", "www-web-0")]
    assert claim_trouble(mounts, {one.metadata.key: one for one in claims}) == trouble


@pytest.mark.parametrize(
    ("nodes", "message"),
    [(2, "0/2 nodes are available: it rains."), (0, "no nodes available to schedule pods")],
)
def test_unschedulable(nodes: int, message: str) -> None:
    """A pod without a node says why, once."""
    write = unschedulable_write(pod(), nodes, "it rains", at(0))
    assert write is not None
    scheduled = condition(write.body["status"], "PodScheduled")
    assert (scheduled["status"], scheduled["reason"], scheduled["message"]) == ("False", "Unschedulable", message)
    assert unschedulable_write(pod(write.body["status"]), nodes, "it rains", at(9)) is None


def test_binding() -> None:
    """A pod is given its node by name, and no other pod of its name is."""
    write = binding(pod(), "node-2")
    assert write.path == "/api/v1/namespaces/shop/pods/web-0/binding"
    assert write.body["metadata"]["uid"] == "u1"
    assert write.body["target"]["name"] == "node-2"


def test_lost() -> None:
    """A ready pod on a lost node is not Ready any more; all else about it stays as it was."""
    status = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}]}
    write = lost_write(pod(status), at(0))
    assert write is not None
    assert list(write.body["status"]) == ["conditions"]
    assert statuses(write.body["status"]) == {"Ready": "False", "ContainersReady": "True"}
    assert lost_write(pod(write.body["status"]), at(1)) is None
    assert lost_write(pod(), at(1)) is None


def sent(write: Write) -> tuple[str, str]:
    return write.method, write.path.rpartition("/")[2]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param(pod({"phase": "Running"}), ("PATCH", "status"), id="it-fails-first"),
        pytest.param(pod({"phase": "Failed"}), ("DELETE", "web-0"), id="then-it-is-deleted"),
        pytest.param(pod({"phase": "Succeeded"}), ("DELETE", "web-0"), id="one-that-had-ended"),
    ],
)
def test_collection(what: Pod, expected: tuple[str, str]) -> None:
    """A pod whose node is gone fails, and is deleted by force."""
    write = collection_write(what, at(0))
    assert sent(write) == expected
    if write.method == "DELETE":
        assert write.body["gracePeriodSeconds"] == 0
        assert write.body["preconditions"] == {"uid": "u1"}
    else:
        assert write.body["status"]["phase"] == "Failed"
        assert condition(write.body["status"], "DisruptionTarget")["reason"] == "DeletionByPodGC"
