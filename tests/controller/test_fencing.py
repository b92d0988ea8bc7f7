"""A leader that is stopped between plan and send, and wakes when another one has taken over.

Two whole controllers, with their electors, on one API server in memory. Each has an event loop of its own, which is
turned step by step, and both have one clock, which only the test turns: a controller whose loop is not turned is a
process that was stopped (SIGSTOP).
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import pytest

from headlessdns.controller.election import Elector
from headlessdns.controller.run import Controller
from tests.controller.memory_api import MemoryClient, MemoryServer, Sent
from tests.controller.support import NOW_S, claim_template, template

Json = dict[str, Any]

POINTS = 200
STOPPED_S = 40.0
RENEW_DEADLINE_S = 10.0  # the defaults of the election
SET = "/apis/apps/v1/namespaces/default/statefulsets/web"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
ORIGIN_S = 1000.0


class Clock:
    def __init__(self) -> None:
        self.now_s = ORIGIN_S

    def __call__(self) -> float:
        return self.now_s


class Loop(asyncio.SelectorEventLoop):
    """A loop that is turned by hand, and whose time is a clock's."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock
        super().__init__()

    def time(self) -> float:
        return self._now()

    def turn(self) -> None:
        """Run what is ready."""
        self.call_soon(self.stop)
        self.run_forever()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ready now."""
        return not self._ready  # type: ignore[attr-defined]  # of asyncio.BaseEventLoop

    @property
    def next_s(self) -> float:
        """When something will be."""
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        return min(timers, default=float("inf"))


class Process:
    """One controller, as if it were a process."""

    def __init__(self, server: MemoryServer, clock: Clock, name: str) -> None:
        self.loop = Loop(clock)
        self.client = MemoryClient(server, name)

        def elector(on_gained: Any, on_lost: Any) -> Elector:
            return Elector(
                self.client,
                "kube-system",
                "controller",
                name,
                on_gained=on_gained,
                on_lost=on_lost,
                clock=clock,
                wall_clock_ns=lambda: int((NOW_S + clock()) * 1e9),
                rng=random.Random(name),
            )

        self.controller = Controller(
            self.client, qps=0, elector=elector, clock=lambda: NOW_S + clock(), monotonic_clock=clock
        )
        self.leave = asyncio.Event()
        self._task = self.loop.create_task(self.controller.run(self.leave))

    @property
    def is_syncing(self) -> bool:
        """Whether a sync has begun and is not over."""
        return bool(self.controller.queue._busy)

    def end(self) -> None:
        """Cancel everything."""
        self._task.cancel()
        while not self._task.done():
            self.loop.turn()
        for _ in range(5):
            self.loop.turn()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class Scene:
    """An API server, a kubelet and controllers, some of which may be stopped."""

    def __init__(self, objects: dict[str, Json] | None = None) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)
        self.processes: dict[str, Process] = {}
        self.stopped: set[str] = set()
        for path, found in sorted(
            (objects or {}).items(), key=lambda item: int(item[1]["metadata"]["resourceVersion"])
        ):
            self.server.add(path.rpartition("/")[0], copy.deepcopy(found))

    def start(self, name: str) -> None:
        self.processes[name] = Process(self.server, self.clock, name)

    def turn(self) -> None:
        """Turn every loop that is not stopped; where all are idle, let the kubelet work, or time pass."""
        loops = [process.loop for name, process in self.processes.items() if name not in self.stopped]
        for loop in loops:
            loop.turn()
        if all(loop.is_idle for loop in loops) and not self.server.run_kubelet():
            soonest_s = min(loop.next_s for loop in loops)
            self.clock.now_s = max(self.clock.now_s, min(soonest_s, self.clock.now_s + 1))

    def run_for(self, seconds: float) -> None:
        until_s = self.clock.now_s + seconds
        while self.clock.now_s < until_s:
            self.turn()

    def end(self) -> None:
        for process in self.processes.values():
            process.end()


@contextmanager
def scene(objects: dict[str, Json] | None = None) -> Iterator[Scene]:
    found = Scene(objects)
    try:
        yield found
    finally:
        found.end()


def web(image: str, replicas: int) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "uid": "uid-of-web", "generation": 1},
        "spec": {
            "replicas": replicas,
            "serviceName": "nginx",
            "selector": {"matchLabels": {"app": "nginx"}},
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": template(image),
            "volumeClaimTemplates": [claim_template("www")],
        },
        "status": {},
    }


@cache
def rolled_out() -> dict[str, Json]:
    """The objects of four pods at v1."""
    with scene() as found:
        found.server.add(SET.rpartition("/")[0], web("v1", 4))
        found.start("a")
        found.run_for(20)
        assert sorted(images(found)) == ["web-0 v1", "web-1 v1", "web-2 v1", "web-3 v1"]
        return {
            path: one for path, one in found.server.objects.items() if "/leases/" not in path and "/events/" not in path
        }


def images(found: Scene) -> list[str]:
    return [f"{name} {pod['spec']['containers'][0]['image']}" for name, pod in found.server.of("pods").items()]


def begin(found: Scene) -> None:
    """Let `a` lead, `b` wait, and the user ask for another image and two more pods."""
    found.start("a")
    while not found.processes["a"].controller.is_leader:
        found.turn()
    found.start("b")
    found.run_for(3)
    found.server.sent.clear()
    found.server.change(SET, {"spec": {"replicas": 6, "template": template("v2")}})


@cache
def busy_turns() -> tuple[int, ...]:
    """The turns of the leader's loop in the midst of a sync, from the user's wish on until it is fulfilled."""
    with scene(rolled_out()) as found:
        begin(found)
        turns = []
        for number in range(100_000):
            if found.processes["a"].is_syncing:
                turns.append(number)
            found.turn()
            if found.clock.now_s > ORIGIN_S + 12:
                break
        assert sorted(images(found)) == [f"web-{ordinal} v2" for ordinal in range(6)]
        return tuple(turns)


class Course(NamedTuple):
    """What a stopped leader led to.

    Attributes:
        late: What it sent when the other one held the Lease.
    """

    sent: list[Sent]
    late: list[Sent]


@cache
def run_course(point: int) -> Course:
    """Stop the leader at *point* of its busy turns, let the other one go on, wake the first, and look."""
    turns = busy_turns()
    with scene(rolled_out()) as found:
        begin(found)
        for _ in range(turns[point * len(turns) // POINTS]):
            found.turn()
        assert found.processes["a"].is_syncing
        found.stopped.add("a")
        found.run_for(STOPPED_S / 2)
        assert found.processes["b"].controller.is_leader
        found.server.change(SET, {"spec": {"replicas": 5, "template": template("v3")}})
        found.run_for(STOPPED_S / 2)
        assert sorted(images(found)) == [f"web-{ordinal} v3" for ordinal in range(5)]
        mark = len(found.server.sent)
        found.stopped.clear()
        found.run_for(20)
        check_at_rest(found)
        return Course(found.server.sent, [one for one in found.server.sent[mark:] if one.client == "a"])


def check_at_rest(found: Scene) -> None:
    """Everything is as the user wants it, and the set says so."""
    assert sorted(images(found)) == [f"web-{ordinal} v3" for ordinal in range(5)]
    status = found.server.objects[SET]["status"]
    counts = ("replicas", "readyReplicas", "updatedReplicas", "currentReplicas", "availableReplicas")
    assert [status[field] for field in counts] == [5, 5, 5, 5, 5]
    assert status["currentRevision"] == status["updateRevision"]
    assert status["observedGeneration"] == found.server.objects[SET]["metadata"]["generation"] == 3
    assert sorted(found.server.of("persistentvolumeclaims")) == [f"www-web-{ordinal}" for ordinal in range(6)]


def check_fence(sent: list[Sent]) -> None:
    """Nobody begins a write later than the renew deadline after the begin of its last renewal that succeeded."""
    renewed_s: dict[str, float] = {}
    for one in sent:
        if one.path.startswith(LEASES):
            if one.status < 300 and one.body["spec"]["holderIdentity"] == one.client:
                renewed_s[one.client] = one.begun_s
        elif "/events" not in one.path:
            assert one.begun_s < renewed_s.get(one.client, ORIGIN_S) + RENEW_DEADLINE_S, str(one)


def check_harmless(late: list[Sent]) -> None:
    """Of what comes late, only what fits the object as it is now is done."""
    for one in late:
        if one.path.startswith(LEASES) or "/events" in one.path or one.method == "POST":
            continue
        named = one.body["preconditions"] if one.method == "DELETE" else one.body["metadata"]
        assert {"uid", "resourceVersion"} <= named.keys(), str(one)
        if one.status < 300:
            assert one.before is not None
            seen = one.before["metadata"]
            assert (named["uid"], named["resourceVersion"]) == (seen["uid"], seen["resourceVersion"])


def test_the_course_has_enough_points() -> None:
    """The leader's syncs of the rollout take more turns of its loop than there are points to stop it at."""
    assert len(busy_turns()) >= POINTS


@pytest.mark.parametrize("part", range(10))
def test_a_leader_that_was_stopped(part: int) -> None:
    """Stopped at any of 200 points between plan and send, it begins nothing behind its deadline, and what was on its
    way does no harm: nobody's pod is deleted for another one's, no status is overwritten, and all ends well.
    """
    for point in range(part, POINTS, 10):
        course = run_course(point)
        check_fence(course.sent)
        check_harmless(course.late)
        deleted = [one for one in course.sent if one.method == "DELETE" and one.status < 300]
        assert not [str(one) for one in deleted if image_of(one.before) == "v3"]


def image_of(found: Json | None) -> str:
    return str(found["spec"]["containers"][0]["image"]) if found and "containers" in found.get("spec", {}) else ""


def test_points_at_which_a_write_was_on_its_way() -> None:
    """At a tenth of those points or more a write that had begun comes when another one leads, and meets a conflict."""
    refused = [
        {one.method for one in run_course(point).late if one.status == 409 and not one.path.startswith(LEASES)}
        for point in range(POINTS)
    ]
    assert sum(map(bool, refused)) >= POINTS / 10
    assert set().union(*refused) >= {"DELETE", "PATCH"}
