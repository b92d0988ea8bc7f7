"""Events: what is written, what is counted, what is held back, and what an API server that refuses changes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.cluster.answer import Answer
from headlessdns.controller.events import NORMAL, WARNING, Recorder, Source, Subject
from headlessdns.controller.model import read_set
from headlessdns.errors import ClusterError
from tests.controller.support import raw_set

if TYPE_CHECKING:
    from headlessdns.controller.model import StatefulSet

EVENTS = "/api/v1/namespaces/default/events"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Api:
    """An API server that keeps events. `fail` is what it says instead of the next answers."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.fail: list[int | Exception] = []
        self.is_silent = False
        self.has_news = asyncio.Event()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        if self.is_silent:
            await asyncio.Event().wait()
        self.requests.append((method, path.removeprefix(EVENTS), content_type))
        if self.fail:
            failure = self.fail.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return Answer(failure, "", b'{"message":"no"}')
        if method == "POST":
            self.events[body["metadata"]["name"]] = json.loads(json.dumps(body))
            self.has_news.set()
            return Answer(201, "", b"{}")
        name = path.rpartition("/")[2]
        if name not in self.events:
            return Answer(404, "", b"{}")
        self.events[name] |= body
        return Answer(200, "", b"{}")

    def written(self) -> list[tuple[str, str, int]]:
        return [(event["reason"], event["message"], event["count"]) for event in self.events.values()]


def a_set(name: str = "web", kind: str = "StatefulSet") -> StatefulSet:
    raw = raw_set()
    raw["kind"] = kind
    raw["metadata"] |= {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "42"}
    return read_set(raw)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(api: Api, clock: Clock) -> Recorder:
    return Recorder(api, clock)


def flush(recorder: Recorder, timeout_s: float = 5) -> None:
    asyncio.run(recorder.flush(timeout_s))


def tell(recorder: Recorder, times: int = 1, message: str = "no room", reason: str = "FailedCreate") -> None:
    for _ in range(times):
        recorder.tell(a_set(), WARNING, reason, message)
    flush(recorder)


@pytest.mark.parametrize(
    ("kind", "api_version"), [("StatefulSet", "apps/v1"), ("OrdinalSet", "headlessdns.io/v1alpha1")]
)
def test_what_is_written(api: Api, recorder: Recorder, kind: str, api_version: str) -> None:
    """An event names the set, the component and the time, and has a name that no other event has."""
    recorder.tell(a_set(kind=kind), NORMAL, "SuccessfulCreate", "Create Pod web-0 in StatefulSet web successful")
    flush(recorder)
    ((name, event),) = api.events.items()
    assert api.requests == [("POST", "", "application/json")]
    assert re.fullmatch(r"web\.[0-9a-f]{16}", name)
    time = event["firstTimestamp"]
    assert re.fullmatch(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z", time)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {
            "apiVersion": api_version,
            "kind": kind,
            "namespace": "default",
            "name": "web",
            "uid": "uid-of-web",
            "resourceVersion": "42",
        },
        "type": "Normal",
        "reason": "SuccessfulCreate",
        "message": "Create Pod web-0 in StatefulSet web successful",
        "source": {"component": "headlessdns-controller"},
        "reportingComponent": "headlessdns-controller",
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def test_parts_of_an_object(api: Api, recorder: Recorder) -> None:
    """An event may name a part of its object and the machine that tells it; of two parts the same is told twice."""
    pod = ("v1", "Pod", "default", "web-0", "u1", "7")
    kubelet = Source("kubelet", "node-1")
    for container in ("nginx", "sidecar"):
        recorder.record(
            Subject(*pod, f"spec.containers{{{container}}}"), kubelet, NORMAL, "Created", "Container created"
        )
    recorder.record(Subject(*pod), Source("default-scheduler"), NORMAL, "Created", "Container created")
    flush(recorder)
    assert [
        (one["involvedObject"].get("fieldPath"), one["source"], one["reportingComponent"], one.get("reportingInstance"))
        for one in api.events.values()
    ] == [
        ("spec.containers{nginx}", {"component": "kubelet", "host": "node-1"}, "kubelet", "node-1"),
        ("spec.containers{sidecar}", {"component": "kubelet", "host": "node-1"}, "kubelet", "node-1"),
        (None, {"component": "default-scheduler"}, "default-scheduler", None),
    ]


def test_objects_in_no_namespace(api: Api, recorder: Recorder) -> None:
    """Events about what is in no namespace are in the default one, and name none."""
    recorder.record(Subject("v1", "Node", "", "node-1", "u1", "7"), Source("kubelet"), NORMAL, "NodeReady", "x")
    flush(recorder)
    (event,) = api.events.values()
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "node-1",
        "uid": "u1",
        "resourceVersion": "7",
    }


def test_names_are_in_the_order_of_time(api: Api, recorder: Recorder) -> None:
    """Events about one object are listed in their order, even those of one second: their names say when."""
    for number in range(20):
        recorder.tell(a_set(), NORMAL, "SuccessfulCreate", str(number))
    flush(recorder)
    assert [api.events[name]["message"] for name in sorted(api.events)] == [str(number) for number in range(20)]


def test_the_time_is_when_it_was_told(api: Api, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that had to wait has the time when it came about, also where it is counted only."""
    monkeypatch.setattr("time.time_ns", lambda: 1_767_355_200 * 10**9 + 999_999_999)
    recorder.tell(a_set(), NORMAL, "SuccessfulCreate", "x")
    monkeypatch.setattr("time.time_ns", lambda: 1_767_355_205 * 10**9)
    recorder.tell(a_set(), NORMAL, "SuccessfulCreate", "x")
    monkeypatch.undo()
    flush(recorder)
    (event,) = api.events.values()
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2026-01-02T12:00:00Z", "2026-01-02T12:00:05Z")


def test_long_messages(api: Api, recorder: Recorder) -> None:
    """A message is cut at 1024 characters, the most that an API server may take."""
    tell(recorder, message="x" * 2000)
    assert api.written() == [("FailedCreate", "x" * 1024, 1)]


def test_the_same_again(api: Api, recorder: Recorder) -> None:
    """What is said again is counted, in the event that is there."""
    tell(recorder, times=3)
    assert api.written() == [("FailedCreate", "no room", 3)]
    (name,) = api.events
    patch = ("PATCH", f"/{name}", "application/merge-patch+json")
    assert api.requests == [("POST", "", "application/json"), patch, patch]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((a_set(), WARNING, "FailedCreate", "no quota"), id="message"),
        pytest.param((a_set(), WARNING, "FailedDelete", "no room"), id="reason"),
        pytest.param((a_set(), NORMAL, "FailedCreate", "no room"), id="type"),
        pytest.param((a_set("db"), WARNING, "FailedCreate", "no room"), id="set"),
    ],
)
def test_not_the_same(api: Api, recorder: Recorder, other: tuple[StatefulSet, str, str, str]) -> None:
    """What differs in its set, type, reason or message is another event."""
    tell(recorder)
    recorder.tell(*other)
    flush(recorder)
    assert [count for _, _, count in api.written()] == [1, 1]


def test_order(api: Api, recorder: Recorder) -> None:
    """Events are written in the order in which they were told."""
    for number in range(5):
        recorder.tell(a_set(), NORMAL, "SuccessfulCreate", str(number))
    flush(recorder)
    assert [message for _, message, _ in api.written()] == ["0", "1", "2", "3", "4"]


def test_the_same_much_later(api: Api, recorder: Recorder, clock: Clock) -> None:
    """After ten minutes of silence the same is news; before, it is counted, however long it goes on."""
    tell(recorder)
    for _ in range(3):
        clock.now_s += 600
        tell(recorder)
    assert api.written() == [("FailedCreate", "no room", 4)]
    clock.now_s += 600.1
    tell(recorder)
    assert api.written() == [("FailedCreate", "no room", 4), ("FailedCreate", "no room", 1)]


def test_an_event_has_expired(api: Api, recorder: Recorder) -> None:
    """Where the event to be counted is gone, a new one is written, and that is counted from then on."""
    tell(recorder, times=2)
    api.events.clear()
    tell(recorder, times=2)
    assert api.written() == [("FailedCreate", "no room", 2)]
    assert recorder.dropped == 0


# What is held back


def test_spam(api: Api, recorder: Recorder, clock: Clock) -> None:
    """Of one set, 25 events are written at once, then one each five minutes; the rest is dropped and counted."""
    for number in range(30):
        tell(recorder, message=str(number))
    assert len(api.events) == 25
    assert recorder.dropped == 5
    clock.now_s += 300
    tell(recorder, message="30")
    tell(recorder, message="31")
    assert [message for _, message, _ in api.written()][25:] == ["30"]


def test_spam_of_one_set_holds_up_no_other(api: Api, recorder: Recorder) -> None:
    """Who has much to say of one set may still speak of another."""
    tell(recorder, times=30)
    recorder.tell(a_set("db"), WARNING, "FailedCreate", "no room")
    flush(recorder)
    assert [event["involvedObject"]["name"] for event in api.events.values()] == ["web", "db"]


def test_successes_hide_no_failure(api: Api, recorder: Recorder) -> None:
    """After hundreds of successes a failure is still written."""
    for number in range(300):
        recorder.tell(a_set(), NORMAL, "SuccessfulCreate", str(number))
    tell(recorder)
    assert len(api.events) == 26
    assert api.written()[-1] == ("FailedCreate", "no room", 1)


def test_the_queue_is_full(api: Api, recorder: Recorder) -> None:
    """Of more than a thousand events that wait, the last are dropped; nobody waits for an event."""
    for number in range(1003):
        recorder.tell(a_set(f"web-{number}"), NORMAL, "SuccessfulCreate", "x")
    assert recorder.dropped == 3
    flush(recorder)
    assert len(api.events) == 1000


def test_many_sets(recorder: Recorder) -> None:
    """Of thousands of sets that have had events, the latest are remembered."""
    for number in range(5000):
        recorder.tell(a_set(f"web-{number}"), NORMAL, "SuccessfulCreate", "x")
        if not number % 500:
            flush(recorder)
    flush(recorder)
    assert len(recorder._written) == len(recorder._buckets) == 4096


# What goes wrong


@pytest.mark.parametrize(
    "failure", [403, 409, 422, 500, ClusterError("no answer")], ids=["403", "409", "422", "500", "no answer"]
)
@pytest.mark.parametrize("before", [0, 1], ids=["at the first", "at the second"])
def test_refused(api: Api, recorder: Recorder, failure: int | Exception, before: int) -> None:
    """What is refused or not answered is dropped and counted, and the same is tried anew the next time."""
    tell(recorder, times=before)
    api.fail = [failure]
    tell(recorder)
    assert recorder.dropped == 1
    tell(recorder)
    assert api.written()[-1] == ("FailedCreate", "no room", 1)


def test_expired_and_refused(api: Api, recorder: Recorder) -> None:
    """An event that has expired and cannot be written anew is dropped."""
    tell(recorder)
    api.events.clear()
    api.fail = [404, 403]
    tell(recorder)
    assert (recorder.dropped, api.events) == (1, {})


def test_in_the_background(api: Api, recorder: Recorder) -> None:
    """While it runs, events are written as they are told, and a refusal does not end it."""

    async def scenario() -> None:
        running = asyncio.create_task(recorder.run())
        api.fail = [ClusterError("no answer")]
        recorder.tell(a_set(), WARNING, "FailedCreate", "1")
        recorder.tell(a_set(), WARNING, "FailedCreate", "2")
        await asyncio.wait_for(api.has_news.wait(), 5)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    assert api.written() == [("FailedCreate", "2", 1)]


def test_flush_ends(api: Api, recorder: Recorder) -> None:
    """Who leaves does not wait for an API server that is silent."""
    api.is_silent = True
    for number in range(3):
        recorder.tell(a_set(), WARNING, "FailedCreate", str(number))
    flush(recorder, timeout_s=0.02)
    assert api.events == {}
    assert recorder.dropped == 3


@given(
    told=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from([0, 1, 400, 601])), max_size=40
    ),
    fails=st.lists(st.sampled_from([0, 0, 403, 404]), max_size=60),
)
def test_every_event_is_written_or_dropped(told: list[tuple[str, str, int]], fails: list[int]) -> None:
    """Whatever is told and refused, the counts of the events and what was dropped add up."""
    api, clock = Api(), Clock()
    recorder = Recorder(api, clock)
    for name, message, pause_s in told:
        clock.now_s += pause_s
        if fails and (status := fails.pop()):
            api.fail = [status]
        recorder.tell(a_set(name), WARNING, "FailedCreate", message)
        flush(recorder)
        api.fail = []
    assert sum(count for _, _, count in api.written()) + recorder.dropped == len(told)
