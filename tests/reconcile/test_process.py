"""`headlessdns controller` as processes on a real API server: stopped, killed, asked to leave, in the midst of work."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import Process, free_port
from tests.reconcile.stage import Play, Stage
from tests.reconcile.test_hand_over import uids
from tests.reconcile.test_side_by_side import PARALLEL, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]
LEASE_S, RETRY_S = 15, 2


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A control plane on which nobody takes care of StatefulSets yet."""
    try:
        stage = Stage(is_reference=False, starts_controller=False)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        yield stage


class Controllers:
    """Controllers of one test, which stand for a Lease of their own."""

    def __init__(self, play: Play, folder: Path) -> None:
        self._play = play
        self._folder = folder
        self.processes: list[Process] = []

    def start(self, *flags: str, kubeconfig: Path | None = None, elect: bool = True) -> Process:
        """Start one more and return it."""
        number = len(self.processes)
        lease = ["--lease-namespace", self._play.namespace, "--lease-name", "lease"] if elect else ["--no-elect"]
        command = [
            sys.executable, "-m", "headlessdns", "controller",
            "--kubeconfig", str(kubeconfig or self._play.cluster.kubeconfig),
            "--namespace", self._play.namespace, "--statefulsets", "always",
            "--http", f"127.0.0.1:{free_port()}", "--log", "text", *lease, *flags,
        ]  # fmt: skip
        process = Process(command, self._folder / f"controller-{number}.log")
        process.start()
        self.processes.append(process)
        return process

    def start_leader(self, *flags: str) -> Process:
        """Start one and wait until it leads."""
        process = self.start(*flags)
        wait_log(process, "this process leads")
        return process

    def holder(self) -> str:
        """Return who holds the Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._play.namespace}/leases/lease"
        return str(self._play.cluster.request("GET", path)["spec"].get("holderIdentity") or "")


@pytest.fixture
def play(stage: Stage, request: pytest.FixtureRequest) -> Play:
    """A namespace of the test's own."""
    name = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    return Play(stage, f"{name}-{random.randrange(10**6)}")


@pytest.fixture
def controllers(play: Play, tmp_path: Path) -> Iterator[Controllers]:
    """The controllers of the test; they end with it."""
    found = Controllers(play, tmp_path)
    try:
        yield found
    finally:
        for process in found.processes:
            with contextlib.suppress(AssertionError, ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()


def wait_log(process: Process, text: str, deadline_s: float = 30) -> None:
    process.wait_ready(lambda: text in process.log.read_text(), deadline_s)


def restarts(play: Play) -> dict[str, int]:
    """Return how often each pod was deleted."""
    deleted = [line.split()[1] for line in play.decisions if line.startswith("delete")]
    return {name: deleted.count(name) for name in deleted}


def test_stopped_leader(controllers: Controllers, play: Play) -> None:
    """A leader that is stopped in the midst of a rollout is replaced when its lease has run out; woken up, it does no
    harm, says that it leads no more, and waits.
    """
    first = controllers.start_leader()
    play.create(web(6))
    play.wait_ready(6)
    second = controllers.start()
    wait_log(second, "held by")
    play.image("example.org/web:2")
    play.wait(lambda: restarts(play).get("web-4"), "the rollout to come to web-4")
    os.kill(first.pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    wait_log(second, "this process leads", LEASE_S + 2 * RETRY_S + 3)
    assert LEASE_S - RETRY_S - 1 < time.monotonic() - stopped_s < LEASE_S + RETRY_S + 2
    play.wait_rolled_out(6)
    before = uids(play), restarts(play), play.status()
    os.kill(first.pid, signal.SIGCONT)
    wait_log(first, "this process leads no more")
    wait_log(first, "held by", 10)
    play.wait_quiet(2 * RETRY_S)
    assert (uids(play), restarts(play), play.status()) == before
    assert restarts(play) == {f"web-{ordinal}": 1 for ordinal in range(6)}
    assert "defect" not in first.log.read_text() + second.log.read_text()
    assert first.running()


def test_leader_that_leaves(controllers: Controllers, play: Play) -> None:
    """A leader that is told to leave in the midst of a rollout ends with 0, and the next one leads within 3 seconds."""
    first = controllers.start_leader()
    play.create(web(5))
    play.wait_ready(5)
    second = controllers.start()
    wait_log(second, "held by")
    play.image("example.org/web:2")
    play.wait(lambda: restarts(play).get("web-3"), "the rollout to come to web-3")
    os.kill(first.pid, signal.SIGTERM)
    told_s = time.monotonic()
    wait_log(second, "this process leads", 10)
    assert time.monotonic() - told_s < 3
    assert first.stop(5) == 0
    play.wait_rolled_out(5)
    assert restarts(play) == {f"web-{ordinal}": 1 for ordinal in range(5)}
    assert controllers.holder() != ""
    assert second.stop(5) == 0
    assert controllers.holder() == ""


def test_leader_that_leaves_a_long_sync(controllers: Controllers, play: Play) -> None:
    """A sync of many pods does not keep a leader that is told to leave: it is gone soon, and the next one goes on."""
    first = controllers.start_leader("--qps", "5", "--burst", "10")
    play.create(web(40, **PARALLEL))
    play.wait(lambda: len(play.all("pods")) > 5, "some pods")
    os.kill(first.pid, signal.SIGTERM)
    told_s = time.monotonic()
    assert first.stop(10) == 0
    assert time.monotonic() - told_s < 4
    assert len(play.all("pods")) < 40
    assert controllers.holder() == ""
    controllers.start_leader("--qps", "0")
    play.wait_ready(40)
    assert restarts(play) == {}


def test_killed_between_claim_and_pod(controllers: Controllers, play: Play) -> None:
    """Killed when a claim is there and its pod is not, the next one creates the pod with that claim."""
    # The quota lets the claims in, and not the pods.
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    quotas = f"/api/v1/namespaces/{play.namespace}/resourcequotas"
    play.cluster.request("POST", quotas, quota)
    status = {"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}}
    play.cluster.request("PATCH", f"{quotas}/none/status", status, "application/merge-patch+json")
    first = controllers.start(elect=False)
    play.create(web(2, claims=True))
    play.wait(lambda: "exceeded quota" in first.log.read_text(), "the claim to be there, and the pod not")
    first.kill()
    (claim,) = play.all("persistentvolumeclaims")
    assert play.all("pods") == []
    play.cluster.request("DELETE", f"{quotas}/none")
    second = controllers.start(elect=False)
    play.wait_ready(2)
    claims = {one["metadata"]["name"]: one["metadata"]["uid"] for one in play.all("persistentvolumeclaims")}
    assert claims["www-web-0"] == claim["metadata"]["uid"]
    assert sorted(claims) == ["www-web-0", "www-web-1"]
    assert restarts(play) == {}
    assert second.stop(5) == 0


def test_killed_again_and_again(controllers: Controllers, play: Play) -> None:
    """Killed at five moments of a rollout, each time at once replaced, every pod is restarted once and no more."""
    rng = random.Random(5)
    process = controllers.start("--qps", "20", elect=False)
    play.create(web(6, claims=True))
    play.wait_ready(6)
    claims = {one["metadata"]["uid"] for one in play.all("persistentvolumeclaims")}
    play.image("example.org/web:2")
    for stop in range(5):
        play.wait(lambda: len(restarts(play)) > stop, f"restart {stop + 1}")  # noqa: B023  # it is called at once
        time.sleep(rng.uniform(0, 0.12))  # that is the moment
        process.kill()
        process = controllers.start("--qps", "20", elect=False)
    play.wait_rolled_out(6)
    play.wait_quiet()
    assert restarts(play) == {f"web-{ordinal}": 1 for ordinal in range(6)}
    assert {one["metadata"]["uid"] for one in play.all("persistentvolumeclaims")} == claims
    revisions = [(item["revision"], item["metadata"]["name"]) for item in play.all("controllerrevisions")]
    assert sorted(number for number, _ in revisions) == [1, 2]
