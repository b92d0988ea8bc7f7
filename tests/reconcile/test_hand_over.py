"""A cluster hands its StatefulSets over to us and back, at rest and in the middle of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headlessdns.controller.run import Controller
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.reconcile.stage import Play, Stage
from tests.reconcile.test_side_by_side import PARALLEL, READY, web

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A control plane on which nobody takes care of StatefulSets yet."""
    try:
        stage = Stage(is_reference=False, starts_controller=False)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        yield stage


def uids(play: Play) -> dict[str, str]:
    """Return the UID of each pod."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in play.all("pods")}


def revisions(play: Play) -> list[tuple[str, int]]:
    """Return name and number of each revision."""
    return [(item["metadata"]["name"], item["revision"]) for item in play.all("controllerrevisions")]


class Side:
    """One of the two controllers, to be started and stopped."""

    def __init__(self, stage: Stage, *, is_ours: bool) -> None:
        self._stage = stage
        self._is_ours = is_ours

    def start(self) -> None:
        if self._is_ours:
            self._stage.start_controller()
        else:
            self._stage.start_reference()

    def stop(self) -> None:
        if self._is_ours:
            self._stage.stop_controller()
        else:
            self._stage.stop_reference()


TO_US, FROM_US = (False, True), (True, False)
DIRECTIONS = [pytest.param(*TO_US, id="to us"), pytest.param(*FROM_US, id="from us")]


@pytest.mark.parametrize(("first_is_ours", "second_is_ours"), DIRECTIONS)
@pytest.mark.parametrize("spec", [pytest.param({}, id="ordered"), pytest.param(PARALLEL, id="parallel")])
def test_at_rest_nothing_happens(stage: Stage, spec: Json, first_is_ours: bool, second_is_ours: bool) -> None:
    """Whoever takes over restarts no pod, makes no revision and changes no claim."""
    first, second = Side(stage, is_ours=first_is_ours), Side(stage, is_ours=second_is_ours)
    kind = "parallel" if spec else "ordered"
    play = Play(stage, f"rest-{kind}-{'from' if first_is_ours else 'to'}")
    first.start()
    play.create(web(3, claims=True, **spec))
    play.wait_ready(3)
    play.image("example.org/web:2")
    play.wait_rolled_out(3)
    first.stop()
    before = uids(play), revisions(play), play.status()["currentRevision"]
    second.start()
    try:
        play.patch("statefulsets", "web", {"spec": {"revisionHistoryLimit": 7}})  # something to be seen
        play.wait_ready(3)
        play.wait_quiet()
        assert (uids(play), revisions(play), play.status()["currentRevision"]) == before
    finally:
        second.stop()


@pytest.mark.parametrize(("first_is_ours", "second_is_ours"), DIRECTIONS)
def test_a_rollout_goes_on(stage: Stage, first_is_ours: bool, second_is_ours: bool) -> None:
    """In the middle of a rollout the other goes on where the first was: no pod is replaced twice, none is forgotten."""
    first, second = Side(stage, is_ours=first_is_ours), Side(stage, is_ours=second_is_ours)
    play = Play(stage, f"rollout-{'from' if first_is_ours else 'to'}")
    first.start()
    play.create(web(4))
    play.wait_ready(4)
    old_revision = play.status()["updateRevision"]
    play.annotate_pod("web-1", READY, "false")  # the rollout will wait for it when it comes to web-1... or before
    play.wait_status(readyReplicas=3)
    play.annotate_pod("web-1", READY, None)
    play.wait_ready(4)
    partition = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    play.patch("statefulsets", "web", {"spec": partition})
    play.image("example.org/web:2")
    play.wait_status(updatedReplicas=2, readyReplicas=4)
    first.stop()
    halfway, halfway_revisions = uids(play), revisions(play)
    new_revision = play.status()["updateRevision"]
    second.start()
    try:
        none = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}
        play.patch("statefulsets", "web", {"spec": none})
        play.wait_rolled_out(4)
        after = uids(play)
        assert {name: after[name] == halfway[name] for name in after} == {
            "web-0": False,
            "web-1": False,
            "web-2": True,
            "web-3": True,
        }
        assert revisions(play) == halfway_revisions
        status = play.status()
        assert status["currentRevision"] == status["updateRevision"] == new_revision != old_revision
        decisions = [line for line in play.decisions if line.startswith("delete")]
        assert decisions == ["delete web-3", "delete web-2", "delete web-1", "delete web-0"]
    finally:
        second.stop()


def test_beside_the_reference_we_leave_statefulsets_alone(stage: Stage) -> None:
    """With `auto` we find the cluster's own controller by a canary, say so, and touch no StatefulSet."""
    play = Play(stage, "rival")
    stage.start_reference()
    try:
        stage.start_controller(lambda api: Controller(api, qps=0, statefulsets="auto"))
        assert stage.controller is not None
        controller = stage.controller
        play.wait(lambda: controller.rival, "our controller to see the other")
        play.create(web(2))
        play.wait_ready(2)
        assert not controller.applier.counts.done
        sets = stage.cluster.request("GET", "/apis/apps/v1/namespaces/default/statefulsets")["items"]
        assert not sets
    finally:
        stage.stop_controller()
        stage.stop_reference()


def test_alone_we_take_statefulsets_on(stage: Stage) -> None:
    """With `auto` and nobody else there, StatefulSets are reconciled once the canary has shown it."""
    play = Play(stage, "alone")
    play.create(web(2))
    stage.start_controller(lambda api: Controller(api, qps=0, statefulsets="auto"))
    try:
        play.wait_ready(2)
    finally:
        stage.stop_controller()
