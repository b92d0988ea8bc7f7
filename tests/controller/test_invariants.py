"""What holds whatever goes wrong: two controllers with old views, lost answers and dying pods, step by step.

Each controller is one course of writes at a time, begun from a view that may be old, except that its own answered
writes are in it. Between any two writes anything can happen: the other controller writes, pods come, fail and go, the
user edits the set. What a plan may do is judged here from the raw objects of its view, not by the planner's own rules.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headlessdns.controller.actions import (
    AdoptRevision,
    Cause,
    CreateClaim,
    CreatePod,
    CreateRevision,
    DeletePod,
    DeleteRevision,
    GrowClaim,
    RenumberRevision,
    SetClaimOwners,
)
from headlessdns.controller.model import Json, StatefulSet, ordinal_of, read_time
from headlessdns.controller.simulate import KINDS, Course, Outcome, RefusedError, View, World, Write, WriteStatus
from tests.controller.support import KEY, NOW_S, ORDERED, PARALLEL, claim_template, raw_set, there

RETENTIONS = [None, ("Delete", "Retain"), ("Retain", "Delete"), ("Delete", "Delete")]
IMAGES = ["v1", "v2", "bad"]
LAST_IMAGE = "v9"
SYNCS_TO_SETTLE = 150
_KIND_OF: dict[type, str] = {
    **dict.fromkeys((CreateClaim, SetClaimOwners, GrowClaim), "PersistentVolumeClaim"),
    **dict.fromkeys((AdoptRevision, CreateRevision, DeleteRevision, RenumberRevision), "ControllerRevision"),
    WriteStatus: "StatefulSet",
}

controllers = st.integers(0, 1)
lags = st.tuples(*[st.integers(0, 8)] * len(KINDS))
fates = st.sampled_from(["done", "done", "done", "done", "refused", "lost"])
NO_LAG = (0,) * len(KINDS)


class Sync(NamedTuple):
    """A sync on its way, and the write that it is about to send."""

    course: Course
    view: View
    planned_s: float
    set: StatefulSet
    write: Write


class Controller:
    """One controller: at most one sync at a time, and from where on its view has its own writes."""

    def __init__(self) -> None:
        self.sync: Sync | None = None
        self.outcome: Outcome | None = None
        self.seen = dict.fromkeys(KINDS, 0)
        self.moves: list[Write] = []


class Cluster(RuleBasedStateMachine):
    """One set, two controllers, a kubelet, a garbage collector and a user."""

    policy: ClassVar[str] = ORDERED

    @initialize(
        retention=st.sampled_from(RETENTIONS),
        replicas=st.integers(1, 4),
        image=st.sampled_from(IMAGES),
        rounds=st.integers(0, 16),
    )
    def begin_cluster(self, retention: tuple[str, str] | None, replicas: int, image: str, rounds: int) -> None:
        self.options: dict[str, Any] = {
            "image": image,
            "replicas": replicas,
            "retention": retention,
            "policy": self.policy,
            "claims": [claim_template("www")],
            "history_limit": 1,
        }
        self.world = World(now_s=NOW_S)
        self.controllers = [Controller(), Controller()]
        self.deleted_claims: set[str] = set()
        self.once_ready: set[str] = set()
        self.was_made_anew = False
        self._edit()
        self.views = [self.world.view()]
        self.go_on(rounds)

    # Controllers

    @rule(rounds=st.integers(1, 6))
    def go_on(self, rounds: int) -> None:
        """Nothing goes wrong for a while."""
        for _ in range(rounds):
            self._go_one_round()

    def _go_one_round(self) -> bool:
        """Sync from a fresh view, and let pods come one step further; tell whether anything happened."""
        controller = self.controllers[0]
        self._finish(controller)
        self._begin(controller, NO_LAG)
        self._finish(controller)
        self.world.now_s += 20
        is_moving = self.world.run_kubelet()
        self._note()
        self.world.collect_garbage()
        self._note()
        outcome = controller.outcome
        return is_moving or outcome is None or bool(outcome.done or outcome.failures)

    @rule(number=controllers, lags=lags)
    def begin_sync(self, number: int, lags: tuple[int, ...]) -> None:
        """A controller plans from what it has seen."""
        self._begin(self.controllers[number], lags)

    @rule(number=controllers, lags=lags, fates=st.lists(fates, max_size=8))
    def sync(self, number: int, lags: tuple[int, ...], fates: list[str]) -> None:
        """A whole sync, some of whose writes fail."""
        controller = self.controllers[number]
        self._begin(controller, lags)
        for fate in fates:
            self._write(controller, fate)
            self._note()
        self._finish(controller)

    def _begin(self, controller: Controller, lags: tuple[int, ...]) -> None:
        """Begin a sync from a view of which any kind may be late, but not behind the controller's own writes."""
        if controller.sync is not None:
            return
        controller.outcome = None
        last = len(self.views) - 1
        view = {
            kind: self.views[max(last - lag, controller.seen[kind], 0)][kind]
            for kind, lag in zip(KINDS, lags, strict=True)
        }
        if "web" not in view["StatefulSet"]:
            return
        course = self.world.course(KEY, view)
        controller.moves = []
        self._advance(controller, course, view, self.world.now_s, None)

    @rule(number=controllers, fate=fates)
    def write(self, number: int, fate: str) -> None:
        """A write is done, or refused, or done and its answer lost."""
        self._write(self.controllers[number], fate)
        self._note()

    @rule(number=controllers)
    def finish_sync(self, number: int) -> None:
        """A sync goes through to its end."""
        self._finish(self.controllers[number])

    @rule(number=controllers)
    def crash(self, number: int) -> None:
        """A controller forgets all; the next one in its place has listed everything."""
        self.controllers[number] = Controller()
        self.controllers[number].seen = dict.fromkeys(KINDS, len(self.views) - 1)

    def _finish(self, controller: Controller) -> None:
        while controller.sync is not None:
            self._write(controller, "done")
            self._note()

    def _write(self, controller: Controller, fate: str) -> None:
        if controller.sync is None:
            return
        course, view, planned_s, set, write = controller.sync
        answer: RefusedError | None = RefusedError("InternalError", "refused")
        if fate != "refused":
            self._judge(controller)
            try:
                self.world.apply(set, write)
            except RefusedError as error:
                answer = error
            else:
                controller.moves.append(write)
                if isinstance(write, DeletePod) and write.cause is Cause.HEAL:
                    assert write.pod.metadata.uid not in self.once_ready
                answer = None
        if fate == "lost":
            answer = RefusedError("Timeout", "no answer")
        if answer is None:
            controller.seen[_KIND_OF.get(type(write), "Pod")] = len(self.views)
        self._advance(controller, course, view, planned_s, answer)

    def _advance(
        self, controller: Controller, course: Course, view: View, planned_s: float, answer: RefusedError | None
    ) -> None:
        try:
            set, write = course.send(answer)
        except StopIteration as stop:
            controller.sync, controller.outcome = None, stop.value
        else:
            controller.sync = Sync(course, view, planned_s, set, write)

    # The kubelet, the garbage collector, time

    @rule()
    def run_kubelet(self) -> None:
        """Every pod comes one step further."""
        self.world.now_s += 5
        self.world.run_kubelet()
        self._note()

    @rule(
        index=st.integers(0, 9),
        what=st.sampled_from(["start", "ready", "unready", "Failed", "Succeeded", "delete", "finish", "force"]),
    )
    def happen_to_pod(self, index: int, what: str) -> None:
        """One pod starts, gets ready, gets sick, ends, is evicted, deleted or forced away."""
        names = self.world.names("Pod")
        if not names:
            return
        name = names[index % len(names)]
        raw = there(self.world, "Pod", name)
        phase, is_ready = raw["status"]["phase"], _is_ready(raw)
        self.world.now_s += 1
        if what == "start" and phase == "Pending":
            self.world.start(name)
        elif what == "ready" and phase == "Running" and _image(raw) != "bad" and not is_ready:
            self.world.report_ready(name)
        elif what == "unready" and is_ready:
            self.world.report_ready(name, ready=False)
        elif what in ("Failed", "Succeeded") and phase == "Running":
            self.world.end(name, what)
        elif what in ("delete", "force"):
            self.world.delete("Pod", name)
        if what in ("finish", "force"):
            self.world.finish_deletion(name)
        self._note()

    @rule()
    def collect_garbage(self) -> None:
        """The garbage collector comes round."""
        self.world.collect_garbage()
        self._note()

    # The user

    @rule(
        change=st.one_of(
            st.fixed_dictionaries({"replicas": st.integers(0, 4)}),
            st.fixed_dictionaries({"image": st.sampled_from(IMAGES)}),
            st.fixed_dictionaries({"partition": st.sampled_from([None, 0, 1, 2, 7])}),
            st.fixed_dictionaries({"strategy": st.sampled_from(["RollingUpdate", "OnDelete"])}),
            st.fixed_dictionaries({"start": st.integers(0, 2)}),
            st.fixed_dictionaries({"min_ready_s": st.sampled_from([0, 12])}),
            st.fixed_dictionaries(
                {
                    "annotations": st.sampled_from(
                        [
                            {},
                            {"headlessdns.io/paused": "true"},
                            {"headlessdns.io/max-unavailable": "2"},
                            {"headlessdns.io/reserve-ordinals": "1"},
                        ]
                    )
                }
            ),
        )
    )
    def edit(self, change: dict[str, Any]) -> None:
        """The user edits the set."""
        self.options |= change
        self._edit()
        self._note()

    @rule(index=st.integers(0, 9))
    def delete_claim(self, index: int) -> None:
        """The user deletes a claim."""
        names = self.world.names("PersistentVolumeClaim")
        if names:
            self.deleted_claims.add(names[index % len(names)])
            self.world.delete("PersistentVolumeClaim", names[index % len(names)])
            self._note()

    @precondition(lambda self: not self.was_made_anew)
    @rule()
    def make_anew(self) -> None:
        """The user deletes the set without its pods, and creates it again."""
        self.was_made_anew = True
        self.world.delete("StatefulSet", "web", orphans=True)
        self._note()
        self._edit()
        self._note()

    def _edit(self) -> None:
        raw = raw_set(**self.options)
        del raw["status"]
        for field in ("uid", "resourceVersion", "generation"):
            del raw["metadata"][field]
        if self.options["image"] == "bad":
            raw["spec"]["template"]["metadata"]["annotations"] = {"lab.headlessdns.io/fail": "CrashLoop"}
        self.world.put(raw)

    # What has to hold

    def _note(self) -> None:
        """Remember how things are now, and judge the step that led here."""
        before, after = self.views[-1], self.world.view()
        self.views.append(after)
        for name, raw in after["Pod"].items():
            former = before["Pod"].get(name)
            assert former is None or former["metadata"]["uid"] == raw["metadata"]["uid"], f"{name} was never gone"
            if _is_ready(raw):
                self.once_ready.add(raw["metadata"]["uid"])
        lost = set(before["PersistentVolumeClaim"]) - set(after["PersistentVolumeClaim"]) - self.deleted_claims
        retention = self.options["retention"]
        if retention is None or (retention == ("Delete", "Retain") and not self.was_made_anew):
            assert not lost, f"{lost} lost under {retention}"

    @invariant()
    def one_pod_of_each_identity(self) -> None:
        labels = [
            raw["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] for raw in self.views[-1]["Pod"].values()
        ]
        assert len(labels) == len(set(labels))

    def _judge(self, controller: Controller) -> None:
        """Judge a write that is about to be sent by what its controller saw."""
        assert controller.sync is not None
        _, view, planned_s, _, write = controller.sync
        if isinstance(write, CreatePod | DeletePod):
            seen = Seen(view, planned_s)
            seen.judge(write)
            if self.policy == ORDERED and not seen.may_do_several:
                assert not any(isinstance(move, CreatePod | DeletePod) for move in controller.moves), "one at a time"

    def teardown(self) -> None:
        """When faults stop, one controller brings the set to where it is wanted in a bounded number of syncs."""
        if not hasattr(self, "world"):
            return
        self._finish(self.controllers[1])  # the other one is never heard of again
        self.options |= {"image": LAST_IMAGE, "partition": 0, "strategy": "RollingUpdate", "annotations": {}}
        self._edit()
        self._note()
        for _ in range(SYNCS_TO_SETTLE):
            if not self._go_one_round() and not self._break_deadlock():
                break
        else:
            raise AssertionError(f"not settled: {self.controllers[0].outcome}")
        self._check_settled()

    def _break_deadlock(self) -> bool:
        """Delete the highest of several broken pods that are to go: as in the reference, it waits for the lowest (S34).

        Nothing else is moving when this is called. Returns whether there were several.
        """
        pods = self.world.view()["Pod"]
        broken = sorted(
            (name for name in pods if name not in self._wanted() and not _is_ready(pods[name])), key=ordinal_of
        )
        if len(broken) < 2 or self.policy != ORDERED:
            return False
        self.world.delete("Pod", broken[-1])
        self._note()
        return True

    def _wanted(self) -> list[str]:
        start = self.options.get("start") or 0
        return [f"web-{ordinal}" for ordinal in range(start, start + self.options["replicas"])]

    def _check_settled(self) -> None:
        replicas, names = self.options["replicas"], self._wanted()
        view = self.world.view()
        assert sorted(view["Pod"]) == names
        set_uid = view["StatefulSet"]["web"]["metadata"]["uid"]
        for name in names:
            raw = view["Pod"][name]
            assert (_image(raw), _is_ready(raw)) == (LAST_IMAGE, True)
            claim = view["PersistentVolumeClaim"][f"www-{name}"]["metadata"]
            owned = (self.options["retention"] or ("", ""))[0] == "Delete"
            assert [owner["uid"] for owner in claim.get("ownerReferences") or ()] == [set_uid] * owned
        status = view["StatefulSet"]["web"]["status"]
        counts = {field: status[field] for field in status if field.endswith("eplicas")}
        assert set(counts.values()) == {replicas}, counts
        assert len(counts) == 5
        assert status["currentRevision"] == status["updateRevision"]
        assert len(view["ControllerRevision"]) <= 2


class Seen:
    """What a controller saw, read from the raw objects."""

    def __init__(self, view: View, now_s: float) -> None:
        self._now_s = now_s
        raw = view["StatefulSet"]["web"]
        self._spec: Json = raw["spec"]
        self._annotations: Json = raw["metadata"].get("annotations") or {}
        self._image = _image(self._spec["template"])
        reserved = self._annotations.get("headlessdns.io/reserve-ordinals", "")
        ordinals = range((self._spec.get("ordinals") or {}).get("start", 0), 99)
        self._wanted = [ordinal for ordinal in ordinals if str(ordinal) != reserved][: self._spec["replicas"]]
        uid = raw["metadata"]["uid"]
        self._pods = {ordinal_of(name): pod for name, pod in view["Pod"].items() if _is_of(pod, uid)}
        self.may_do_several = "headlessdns.io/max-unavailable" in self._annotations

    def judge(self, write: CreatePod | DeletePod) -> None:
        """Say no to what is out of order, or has no reason."""
        is_ordered = self._spec["podManagementPolicy"] == ORDERED
        if isinstance(write, CreatePod):
            ordinal = ordinal_of(write.manifest["metadata"]["name"])
            assert ordinal in self._wanted
            assert not is_ordered or all(self._is_available(one) for one in self._wanted if one < ordinal)
            return
        ordinal = ordinal_of(write.pod.name)
        pod = self._pods[ordinal]
        seen = (pod["metadata"]["uid"], pod["metadata"]["resourceVersion"])
        assert seen == (write.pod.metadata.uid, write.pod.metadata.resource_version)
        assert "deletionTimestamp" not in pod["metadata"], "deleted twice"
        {
            Cause.TERMINAL: self._judge_terminal,
            Cause.SCALE_DOWN: self._judge_scale_down,
            Cause.UPDATE: self._judge_update,
            Cause.HEAL: self._judge_heal,
        }[write.cause](ordinal, pod)
        if is_ordered:
            self._judge_order(write.cause, ordinal)

    def _judge_terminal(self, ordinal: int, pod: Json) -> None:
        assert ordinal in self._wanted
        assert pod["status"]["phase"] in ("Failed", "Succeeded")

    def _judge_scale_down(self, ordinal: int, pod: Json) -> None:
        assert ordinal not in self._wanted

    def _judge_update(self, ordinal: int, pod: Json) -> None:
        strategy = self._spec["updateStrategy"]
        assert strategy["type"] == "RollingUpdate"
        assert "headlessdns.io/paused" not in self._annotations
        assert _image(pod) != self._image
        assert self._wanted.index(ordinal) >= (strategy.get("rollingUpdate") or {}).get("partition", 0)
        above = [one for one in self._wanted if one > ordinal]
        assert self.may_do_several or all(
            self._is_available(one) and _image(self._pods[one]) == self._image for one in above
        )

    def _judge_heal(self, ordinal: int, pod: Json) -> None:
        assert self._spec["podManagementPolicy"] == ORDERED
        assert "headlessdns.io/paused" not in self._annotations
        assert self._spec["updateStrategy"]["type"] == "RollingUpdate"
        assert ordinal in self._wanted
        assert not _is_ready(pod)

    def _judge_order(self, cause: Cause, ordinal: int) -> None:
        below = [one for one in self._wanted if one < ordinal]
        if cause in (Cause.TERMINAL, Cause.HEAL):
            assert all(self._is_available(one) for one in below)
            return
        assert all(self._is_available(one) for one in self._wanted)
        condemned = [one for one in self._pods if one not in self._wanted]
        if cause is Cause.SCALE_DOWN:
            assert ordinal == max(condemned)
            return
        assert not condemned

    def _is_available(self, ordinal: int) -> bool:
        pod = self._pods.get(ordinal)
        if pod is None or "deletionTimestamp" in pod["metadata"] or pod["status"]["phase"] != "Running":
            return False
        since = [read_time(one["lastTransitionTime"]) for one in pod["status"]["conditions"] if one["status"] == "True"]
        return bool(since) and since[0] + self._spec["minReadySeconds"] <= self._now_s


def _image(raw: Json) -> str:
    return str(raw["spec"]["containers"][0]["image"])


def _is_ready(raw: Json) -> bool:
    return any(one["status"] == "True" for one in raw["status"].get("conditions") or ())


def _is_of(raw: Json, uid: str) -> bool:
    """Tell whether the set owns the pod, or is to adopt it; what nobody owns and is leaving stays nobody's."""
    owners = [one["uid"] for one in raw["metadata"].get("ownerReferences") or () if one.get("controller")]
    return owners == [uid] or not (owners or "deletionTimestamp" in raw["metadata"])


class ParallelCluster(Cluster):
    """The same with podManagementPolicy Parallel."""

    policy = PARALLEL


_SETTINGS = settings(
    max_examples=250,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOrdered = Cluster.TestCase
TestOrdered.settings = _SETTINGS
TestParallel = ParallelCluster.TestCase
TestParallel.settings = _SETTINGS
