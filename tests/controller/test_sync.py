"""Whole syncs against an API server in memory; what is seen of it is brought up to date by the test."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from headlessdns.cluster.answer import Answer
from headlessdns.controller import conditions
from headlessdns.controller.apply import Applier, SlotError, WriteError
from headlessdns.controller.model import SetKey, SetKind
from headlessdns.controller.observed import Observed, Watched
from headlessdns.controller.queue import TokenBucket, WorkQueue
from headlessdns.controller.run import CODECS
from headlessdns.controller.sync import Syncer
from headlessdns.errors import ClusterError, HeadlessDNSError
from tests.controller.memory_api import MemoryClient, MemoryServer, refusal
from tests.controller.support import KEY, NOW_S, ORDERED, PARALLEL, claim_template, owner, raw_set, template
from tests.controller.test_apply import Told

Json = dict[str, Any]
APPS = "/apis/apps/v1/namespaces/default"
CORE = "/api/v1/namespaces/default"
SET = f"{APPS}/statefulsets/web"
PLURALS = {kind: codec.resource.plural for kind, codec in CODECS.items()}


class Bench:
    """One set, its syncer, and what it has seen."""

    def __init__(self, **spec: Any) -> None:
        self.now_s = 0.0
        self.may_write = True
        self.server = MemoryServer()
        self.told = Told()
        self.observed = Observed(lambda: self.now_s)
        self.queue: WorkQueue[SetKey] = WorkQueue(lambda: self.now_s)
        bucket = TokenBucket(0, 1, lambda: self.now_s)
        self.applier = Applier(
            MemoryClient(self.server), self.observed, bucket, self.told, lambda: 5.0 if self.may_write else 0.0
        )
        self.syncer = Syncer(
            self.observed,
            self.queue,
            self.applier,
            self.told,
            conditions.notes,
            lambda: NOW_S + self.now_s,
            lambda: self.now_s,
        )
        service = {"metadata": {"name": "nginx"}, "spec": {"clusterIP": "None", "selector": {"app": "nginx"}}}
        self.server.add(f"{CORE}/services", service)
        raw = raw_set(**{"replicas": 2, **spec})
        self.server.add(f"{APPS}/statefulsets", {**raw, "status": {}})
        self.see()

    def see(self) -> None:
        """See everything as it is."""
        for kind, plural in PLURALS.items():
            found = self.server.of(plural).values()
            read = CODECS[kind].object
            self.observed.replace(kind, None, [read(msgspec.json.encode(one)) for one in found])

    def sync(self) -> str:
        return asyncio.run(self.syncer.sync(KEY))

    def settle(self) -> None:
        """Sync until nothing moves."""
        for _ in range(100):
            before = len(self.server.sent)
            self.sync()
            is_moving = self.server.run_kubelet()
            self.see()
            if not is_moving and len(self.server.sent) == before:
                return
        raise AssertionError("it never settles")

    def work(self, seconds: float = 0.2) -> None:
        """Let a worker take what is in the queue."""

        async def run() -> None:
            async with self.syncer.working(1):
                await asyncio.sleep(seconds)

        asyncio.run(run())

    def take_writes(self) -> list[str]:
        """Return what was written since the last call."""
        found = self.server.writes()
        self.server.sent.clear()
        return found

    def refuse(self, method: str, part: str, answer: Answer | BaseException, times: int = 1) -> None:
        """Refuse the next requests whose path holds *part*."""
        left = [answer] * times

        def faults(asked: str, path: str, do: Callable[[], Answer]) -> Answer | None:
            if asked == method and part in path and left:
                found = left.pop()
                if isinstance(found, BaseException):
                    raise found
                return found
            return None

        self.server.faults = faults

    @property
    def status(self) -> Json:
        return cast(Json, self.server.objects[SET]["status"])

    def condition(self, type: str) -> tuple[str, str]:
        """Return status and reason of a condition."""
        (found,) = (one for one in self.status["conditions"] if one["type"] == type)
        return found["status"], found["reason"]

    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.told.events]


def test_first_sync() -> None:
    """The first sync writes the template down, creates the first pod and writes the status, in this order."""
    bench = Bench()
    assert bench.sync() == "done"
    revision, pod, status = bench.take_writes()
    assert revision == "POST default/controllerrevisions 201"
    assert pod == "POST default/pods 201"
    assert status == "PATCH default/statefulsets/web/status 200"
    assert bench.status["observedGeneration"] == 7


# Own writes


def test_own_writes_are_awaited() -> None:
    """A set whose own writes are not seen yet is put aside: nothing is planned from old news."""
    bench = Bench()
    bench.sync()
    bench.take_writes()
    assert bench.sync() == "unseen"
    assert bench.take_writes() == []
    bench.see()
    assert bench.sync() == "done"


def test_deletions_are_awaited_by_uid() -> None:
    """After a deletion the pod counts as there until it is seen to be on its way out, or to be another one."""
    bench = Bench()
    bench.settle()
    bench.server.change(SET, {"spec": {"replicas": 1}})
    bench.see()
    bench.take_writes()
    bench.sync()
    assert "DELETE default/pods/web-1 200" in bench.take_writes()
    assert bench.sync() == "unseen"
    bench.see()
    assert bench.sync() == "done"


def test_a_write_is_not_awaited_for_ever() -> None:
    """What is not seen within ten seconds is given up: the plan is made from what is there."""
    bench = Bench()
    bench.sync()
    bench.now_s = 9.9
    assert bench.sync() == "unseen"
    bench.now_s = 10.1
    with pytest.raises(HeadlessDNSError):  # the old news leads to conflicts, and to nothing worse
        bench.sync()
    assert len(bench.server.of("pods")) == 1


def test_put_aside_is_taken_up_again() -> None:
    """A set that was put aside comes back by itself when its time is over."""
    bench = Bench()
    bench.sync()
    bench.sync()
    bench.now_s = 10.1
    bench.queue._promote()
    assert len(bench.queue) == 1


# Failures


def test_status_and_history_behind_a_failure() -> None:
    """When a pod cannot be replaced, the status is written all the same, and history is cut (S26, S44)."""
    bench = Bench(history_limit=0)
    bench.settle()
    for image in ("v2", "v3"):
        bench.server.change(SET, {"spec": {"template": template(image)}})
        bench.see()
        if image == "v2":
            bench.settle()
    bench.take_writes()
    bench.refuse("DELETE", "/pods/", refusal(403, "Forbidden", "no"), 1)
    with pytest.raises(SlotError, match="no"):
        bench.sync()
    assert [line.rpartition("/")[0] for line in bench.take_writes()] == [
        "POST default",
        "DELETE default/pods",
        "PATCH default/statefulsets/web",
    ]
    assert bench.status["updatedReplicas"] == 0
    assert bench.status["currentReplicas"] == 2
    bench.see()
    bench.settle()
    assert len(bench.server.of("controllerrevisions")) == 1


def test_history_is_cut_behind_a_failure() -> None:
    """A revision beyond the limit is deleted in a sync whose step fails (S26)."""
    bench = Bench(history_limit=0)
    bench.settle()
    bench.refuse("DELETE", "controllerrevisions", refusal(500, "InternalError", "broken"), 100)
    bench.server.change(SET, {"spec": {"template": template("v2")}})
    bench.see()
    for _ in range(10):
        with contextlib.suppress(WriteError):
            bench.sync()
        bench.server.run_kubelet()
        bench.see()
    assert len(bench.server.of("controllerrevisions")) == 2
    bench.server.change(SET, {"spec": {"replicas": 3}})
    bench.see()
    bench.server.faults = lambda method, path, do: (
        None if path.endswith("/status") else refusal(403, "Forbidden", f"no {method}")
    )
    with pytest.raises(SlotError, match="no POST"):  # the first of both
        bench.sync()
    bench.see()
    bench.take_writes()
    bench.refuse("POST", "/pods", refusal(403, "Forbidden", "no"))
    with pytest.raises(SlotError):
        bench.sync()
    assert [line.partition("/")[2].split("/")[0] for line in bench.take_writes()] == [
        "pods 403",
        "statefulsets",
        "controllerrevisions",
    ]
    assert len(bench.server.of("controllerrevisions")) == 1


def test_the_first_error_is_told() -> None:
    """Of several things that go wrong in a sync the first is the one that is said."""
    bench = Bench()
    bench.refuse("POST", "/pods", refusal(403, "Forbidden", "no quota"))
    faults = bench.server.faults
    bench.server.faults = lambda method, path, do: (
        refusal(409, "Conflict", "modified") if path.endswith("/status") else faults(method, path, do)
    )
    with pytest.raises(SlotError, match="no quota"):
        bench.sync()


def test_a_failure_stands_in_the_status() -> None:
    """A request that was refused makes the set Stalled, in the server's words, until it is done."""
    bench = Bench()
    bench.refuse("POST", "/pods", refusal(403, "Forbidden", "exceeded quota"))
    with pytest.raises(SlotError):
        bench.sync()
    assert bench.condition("Stalled") == ("True", "RequestFailed")
    assert any("exceeded quota" in one["message"] for one in bench.status["conditions"])
    bench.see()
    bench.settle()
    assert bench.condition("Stalled") == ("False", "NothingInTheWay")


def test_a_conflict_is_no_failure() -> None:
    """That a pod has changed since it was seen makes no set Stalled: the next sync knows more."""
    bench = Bench()
    bench.settle()
    bench.server.change(SET, {"spec": {"replicas": 1}})
    bench.see()
    bench.server.change(f"{CORE}/pods/web-1", {"metadata": {"annotations": {"a": "b"}}})
    with pytest.raises(SlotError) as raised:
        bench.sync()
    assert raised.value.is_conflict
    assert bench.condition("Stalled")[1] != "RequestFailed"
    bench.see()
    bench.settle()
    assert list(bench.server.of("pods")) == ["web-0"]


@pytest.mark.parametrize("part", ["/controllerrevisions", "/persistentvolumeclaims", "/pods", "/status"])
@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_a_lost_answer(policy: str, part: str) -> None:
    """A write that was done and whose answer was lost is found in the next sync; nothing comes twice."""
    bench = Bench(policy=policy, claims=[claim_template()])
    lost: list[str] = []

    def faults(method: str, path: str, do: Callable[[], Answer]) -> Answer | None:
        if method != "GET" and part in path and not lost:
            lost.append(path)
            do()
            raise ClusterError("no answer")
        return None

    bench.server.faults = faults
    with pytest.raises(HeadlessDNSError):
        bench.sync()
    assert lost
    with contextlib.suppress(HeadlessDNSError):
        bench.sync()  # it may be tried again before it is seen
    bench.now_s += 11
    bench.see()
    bench.settle()
    assert sorted(bench.server.of("pods")) == ["web-0", "web-1"]
    assert len(bench.server.of("controllerrevisions")) == 1
    assert sorted(bench.server.of("persistentvolumeclaims")) == ["www-web-0", "www-web-1"]
    assert bench.status["readyReplicas"] == 2
    assert not [line for line in bench.server.writes() if line.startswith("DELETE")]


# Revisions


def test_taken_name_of_a_revision() -> None:
    """Where another object has the name of a new revision, the next name is taken, and the count stands in the status.

    S24.
    """
    bench = Bench()
    bench.sync()
    (name,) = bench.server.of("controllerrevisions")
    other = Bench()
    taken = {"metadata": {"name": name, "ownerReferences": [owner("uid-of-another")]}, "data": {}, "revision": 1}
    other.server.add(f"{APPS}/controllerrevisions", taken)
    other.see()
    other.sync()
    assert len(other.server.of("controllerrevisions")) == 2
    assert other.status["collisionCount"] == 1
    assert other.status["updateRevision"] != name
    assert other.status["updateRevision"] in other.server.of("controllerrevisions")


def test_names_of_revisions_run_out() -> None:
    """When one name after the other is taken, the sync says what to do instead of trying for ever."""
    bench = Bench()
    bench.refuse("POST", "/controllerrevisions", refusal(409, "AlreadyExists", "already exists"), 100)
    there = Answer(200, "", b'{"metadata": {"name": "a"}, "data": {}}')
    faults = bench.server.faults
    bench.server.faults = lambda method, path, do: (
        there if method == "GET" and "controllerrevisions" in path else faults(method, path, do)
    )
    with pytest.raises(HeadlessDNSError, match="20 revisions are taken by others"):
        bench.sync()
    assert len(bench.server.sent) == 20


# What never ends a worker

ERRORS = [
    pytest.param(refusal(500, "InternalError", "broken"), "trying again in 0.005 s", id="refused"),
    pytest.param(ClusterError("no answer"), "no answer; trying again in 0.005 s", id="unanswered"),
    pytest.param(RuntimeError("a slip"), "a defect in this program; trying again in 0.005 s", id="a defect"),
    pytest.param(Answer(200, "", b"no JSON"), "a defect in this program; trying again", id="an answer that is none"),
]


@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_no_error_ends_a_worker(error: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong is logged, the key comes back later, and the worker goes on."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.refuse("POST", "/controllerrevisions", error)
    bench.queue.add(KEY)
    bench.work()
    assert text in caplog.text
    assert bench.syncer.metrics.syncs["failed"] == 1
    bench.now_s = 1.0
    bench.work()
    assert bench.syncer.metrics.syncs["done"] == 1


def test_failures_come_back_later_and_later(caplog: pytest.LogCaptureFixture) -> None:
    """The delay doubles with each failure in a row, and begins anew behind a success."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.refuse("POST", "/controllerrevisions", refusal(500, "InternalError", "broken"), 3)
    for now_s in range(5):
        bench.now_s = float(now_s)
        bench.queue.add(KEY)
        bench.work(0.02)
        bench.see()
    delays = [record.getMessage().rpartition("in ")[2] for record in caplog.records if "trying" in record.getMessage()]
    assert delays == ["0.005 s", "0.01 s", "0.02 s"]
    bench.server.change(SET, {"spec": {"replicas": 3, "template": template("v2")}})
    bench.see()
    bench.refuse("POST", "/controllerrevisions", refusal(500, "InternalError", "broken"))
    bench.queue.add(KEY)
    bench.work(0.02)
    assert "trying again in 0.005 s" in caplog.records[-1].getMessage()


def test_a_set_that_has_just_vanished(caplog: pytest.LogCaptureFixture) -> None:
    """A set that was deleted while its pods stay is no failure, and the log is quiet."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.settle()
    bench.server.change(SET, {"spec": {"replicas": 1}})
    bench.see()
    bench.server.objects.pop(SET)
    caplog.clear()
    bench.queue.add(KEY)
    bench.work(0.02)
    assert caplog.records == []
    assert bench.syncer.metrics.syncs["failed"] == 0
    bench.see()
    assert bench.sync() == "done"


def test_what_is_said_about_a_set_goes_with_it() -> None:
    """A set that is gone leaves nothing behind in the metrics."""
    bench = Bench()
    bench.sync()
    assert bench.syncer.metrics.unavailable == {KEY: 2}
    assert list(bench.syncer.metrics.waits) == [KEY]
    bench.see()
    bench.server.remove(SET)
    bench.see()
    bench.sync()
    assert bench.syncer.metrics.unavailable == {}
    assert bench.syncer.metrics.waits == {}


def test_a_set_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """A set that is none is told once, and not tried again until it changes."""
    bench = Bench()
    bench.server.change(SET, {"spec": {"replicas": "many"}})
    bench.see()
    assert bench.sync() == "done"
    assert bench.sync() == "done"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "StatefulSet default/web cannot be read" in caplog.text
    assert bench.take_writes() == []


def test_a_set_that_is_not_valid(caplog: pytest.LogCaptureFixture) -> None:
    """A set that asks for what cannot be is told once, says so in its status, and nothing else is touched."""
    bench = Bench()
    bench.settle()
    bench.take_writes()
    bench.server.change(SET, {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}})
    bench.see()
    before = dict(bench.status)
    bench.sync()
    bench.see()
    bench.sync()
    assert [one for one in bench.reasons() if one == "Invalid"] == ["Invalid"]
    assert caplog.text.count("Invalid") == 1
    assert bench.take_writes() == ["PATCH default/statefulsets/web/status 200"]
    assert {**bench.status, "conditions": 0} == {**before, "conditions": 0}
    assert bench.condition("Stalled") == ("True", "Invalid")


def test_kinds_of_others_are_left_alone() -> None:
    """A set of a kind that is not ours to reconcile is not touched."""
    bench = Bench()
    bench.syncer.kinds = frozenset({SetKind.ORDINAL_SET})
    assert bench.sync() == "done"
    assert bench.take_writes() == []


# The lease


def test_without_the_lease_nothing_follows() -> None:
    """When the lease could have run out in the midst of a sync, not even the status is written, nor is it a failure."""
    bench = Bench()

    def faults(method: str, path: str, do: Callable[[], Answer]) -> Answer | None:
        bench.may_write = "/pods" not in path
        return None

    bench.server.faults = faults
    bench.queue.add(KEY)
    bench.work(0.02)
    assert bench.take_writes() == ["POST default/controllerrevisions 201", "POST default/pods 201"]
    assert bench.syncer.metrics.syncs == {"done": 0, "failed": 0, "unseen": 0}


def test_a_renewal_that_was_late_loses_no_set() -> None:
    """A set that was given up for the lease comes back, since it may be ours again without anybody having lost it."""
    bench = Bench()
    bench.may_write = False
    bench.queue.add(KEY)
    bench.work(0.02)
    bench.may_write = True
    bench.now_s = 1.1
    bench.work(0.02)
    assert bench.syncer.metrics.syncs["done"] == 1


def test_syncs_that_have_begun_are_finished() -> None:
    """When work is to end, a sync on its way goes to its end, and nothing else begins."""
    bench = Bench()
    going = asyncio.Event()

    async def run() -> None:
        async with bench.syncer.working(1):
            bench.queue.add(KEY)
            await going.wait()
            bench.queue.add(KEY._replace(name="another"))

    def faults(method: str, path: str, do: Callable[[], Answer]) -> Answer | None:
        going.set()
        return None

    bench.server.faults = faults
    asyncio.run(run())
    assert len(bench.take_writes()) == 3
    assert bench.syncer.metrics.syncs["done"] == 1
    assert len(bench.queue) == 1


# What is measured


def test_how_long_a_set_has_waited() -> None:
    """The clock of a wait begins anew with each pod that is waited for."""
    bench = Bench()
    bench.sync()
    first = bench.syncer.metrics.waits[KEY][1]
    bench.see()
    bench.now_s = 5.0
    bench.sync()
    assert bench.syncer.metrics.waits[KEY][1] in (first, first + 5)  # by name, then by the pod that has come
    bench.see()
    bench.now_s = 6.0
    bench.server.run_kubelet()
    bench.see()
    bench.sync()
    assert bench.syncer.metrics.waits[KEY][1] == NOW_S + 6
    bench.see()
    bench.now_s = 7.0
    bench.sync()
    bench.see()
    bench.now_s = 8.0
    bench.sync()
    assert bench.syncer.metrics.waits[KEY][1] == NOW_S + 7
    bench.see()
    bench.settle()
    assert bench.syncer.metrics.waits == {}
    assert bench.syncer.metrics.unavailable == {KEY: 0}


def test_a_warning_is_given_once() -> None:
    """What is wrong with the names is told once for as long as it is wrong, and again when it comes back."""
    bench = Bench()
    bench.server.remove(f"{CORE}/services/nginx")
    bench.see()
    bench.settle()
    assert bench.reasons().count("GoverningServiceMissing") == 1
    service = {"metadata": {"name": "nginx"}, "spec": {"clusterIP": "None", "selector": {"app": "nginx"}}}
    bench.server.add(f"{CORE}/services", service)
    bench.see()
    bench.settle()
    bench.server.remove(f"{CORE}/services/nginx")
    bench.see()
    bench.settle()
    assert bench.reasons().count("GoverningServiceMissing") == 2


def test_nothing_is_written_at_rest() -> None:
    """A set that is as it is wanted costs no request."""
    bench = Bench()
    bench.settle()
    bench.take_writes()
    bench.server.reads.clear()
    for _ in range(3):
        bench.now_s += 100
        bench.sync()
    assert bench.take_writes() == []
    assert bench.server.reads == []


def test_watched_kinds_are_those_of_the_api() -> None:
    """What the bench shows to the syncer is every kind that is watched."""
    assert set(PLURALS) == set(Watched)
