"""Leader election: rows for the decisions, many electors on a simulated API server, and the shell in virtual time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import logging
import random
import re
import selectors
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headlessdns.cluster.answer import Answer
from headlessdns.controller.election import Election, Elector, Request, Times, clock_s, micro_time, own_identity
from headlessdns.errors import ClusterError

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/dns/leases"
LEASE = f"{COLLECTION}/controller"
NOON_US = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
NOON = "2026-01-01T12:00:00.000000Z"


def lease(holder: str | None = "b", version: str = "7", **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "controller", "namespace": "dns", "resourceVersion": version},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "leaseTransitions": 4,
            "acquireTime": "2026-01-01T08:00:00.000000Z",
            "renewTime": "2026-01-01T09:00:00.000000Z",
            **spec,
        },
    }


def status(code: int, message: str = "") -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "code": code, "message": message}


class Talk:
    """A candidate `a`, what it asks, and a clock that a test sets."""

    def __init__(self, times: Times | None = None) -> None:
        self.now_s = 1000.0
        self.wall_us = NOON_US
        self.core = Election("dns", "controller", "a", times or Times(), random.Random(0))

    def ask(self) -> Request:
        request = self.core.request(self.now_s, self.wall_us)
        assert request is not None
        return request

    def answer(self, code: int, body: object) -> None:
        self.core.answered(code, body if isinstance(body, bytes) else json.dumps(body).encode(), self.now_s)

    def hear(self, code: int, body: object) -> Request:
        """Ask, and be answered."""
        request = self.ask()
        self.answer(code, body)
        return request

    def win(self) -> None:
        """Take a Lease that nobody holds; from now, 1000 s, we lead."""
        self.hear(200, lease(""))
        request = self.ask()
        self.answer(200, {**request.body, "metadata": {"resourceVersion": "8"}} if request.body else None)

    def renewed(self, version: str = "9") -> None:
        request = self.ask()
        assert request.method == "PUT"
        assert request.body is not None
        self.answer(200, {**request.body, "metadata": {"resourceVersion": version}})

    def pause_s(self) -> float:
        return self.core.pause_s(self.now_s)


# What is asked


def test_first_request_reads() -> None:
    """A candidate begins by reading the Lease, and takes at most half of the renew deadline for it."""
    assert Talk().ask() == Request("GET", LEASE, None, 5.0)


def test_missing_lease_is_created() -> None:
    """Where there has never been a Lease it is created at once."""
    talk = Talk()
    talk.hear(*status(404))
    assert talk.pause_s() == 0
    assert talk.ask() == Request(
        "POST",
        COLLECTION,
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "controller", "namespace": "dns"},
            "spec": {
                "holderIdentity": "a",
                "leaseDurationSeconds": 15,
                "leaseTransitions": 0,
                "acquireTime": NOON,
                "renewTime": NOON,
            },
        },
        5.0,
    )


@pytest.mark.parametrize(
    ("spec", "transitions"),
    [
        pytest.param(lease("")["spec"], 5, id="released"),
        pytest.param(lease(None)["spec"], 5, id="no holder"),
        pytest.param({}, 1, id="empty spec"),
        pytest.param(None, 1, id="no spec"),
        pytest.param({"holderIdentity": "", "leaseTransitions": None}, 1, id="null transitions"),
    ],
)
def test_lease_that_nobody_holds_is_taken(spec: object, transitions: int) -> None:
    """A Lease without a holder is taken at once, and the transition is counted."""
    talk = Talk()
    talk.hear(200, lease() | {"spec": spec})
    assert talk.pause_s() == 0
    request = talk.ask()
    assert (request.method, request.path) == ("PUT", LEASE)
    assert request.body is not None
    assert request.body["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "leaseTransitions": transitions,
        "acquireTime": NOON,
        "renewTime": NOON,
    }


def test_what_others_wrote_into_the_lease_stays() -> None:
    """Metadata with the version to replace, and fields of the spec that we do not know, go back as they came."""
    talk = Talk()
    found = lease("", version="123", strategy="OldestEmulationVersion")
    found["metadata"]["labels"] = {"app": "x"}
    talk.hear(200, found)
    body = talk.ask().body
    assert body is not None
    assert body["metadata"] == {
        "name": "controller",
        "namespace": "dns",
        "resourceVersion": "123",
        "labels": {"app": "x"},
    }
    assert body["spec"]["strategy"] == "OldestEmulationVersion"


def test_renewal_replaces_at_once_what_we_wrote() -> None:
    """A leader renews without reading, and keeps the time and the number of its acquisition."""
    talk = Talk()
    talk.win()
    talk.now_s, talk.wall_us = 1002.0, NOON_US + 2_000_000
    request = talk.ask()
    assert request.method == "PUT"
    assert request.body is not None
    assert request.body["metadata"] == {"resourceVersion": "8"}
    assert request.body["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "leaseTransitions": 5,
        "acquireTime": NOON,
        "renewTime": "2026-01-01T12:00:02.000000Z",
    }


@pytest.mark.parametrize(
    ("wall_us", "expected"),
    [
        pytest.param(NOON_US, "2026-01-01T12:00:00.000001Z", id="stands still"),
        pytest.param(NOON_US - 3_600_000_000, "2026-01-01T12:00:00.000001Z", id="jumps back"),
        pytest.param(NOON_US + 3_600_000_000, "2026-01-01T13:00:00.000000Z", id="jumps ahead"),
    ],
)
def test_each_renewal_changes_the_lease(wall_us: int, expected: str) -> None:
    """renewTime grows whatever the wall clock does: others know by the change that the leader is alive."""
    talk = Talk()
    talk.win()
    talk.wall_us = wall_us
    body = talk.ask().body
    assert body is not None
    assert body["spec"]["renewTime"] == expected


@pytest.mark.parametrize(
    ("us", "expected"),
    [
        pytest.param(0, "1970-01-01T00:00:00.000000Z", id="epoch"),
        pytest.param(NOON_US + 42, "2026-01-01T12:00:00.000042Z", id="with leading zeros"),
        pytest.param(4_102_444_799_999_999, "2099-12-31T23:59:59.999999Z", id="all digits"),
    ],
)
def test_micro_time(us: int, expected: str) -> None:
    """Times in a Lease have six digits behind the point and are UTC."""
    assert micro_time(us) == expected


@pytest.mark.parametrize(
    ("passed_s", "expected_s"),
    [
        pytest.param(0.0, 5.0, id="just renewed: half of the renew deadline"),
        pytest.param(4.0, 5.0, id="enough left"),
        pytest.param(7.0, 3.0, id="what is left until the renew deadline"),
        pytest.param(10.0, 5.0, id="lost, as a candidate"),
    ],
)
def test_time_out_of_a_renewal(passed_s: float, expected_s: float) -> None:
    """No request of a leader lasts beyond its renew deadline."""
    talk = Talk()
    talk.win()
    talk.now_s += passed_s
    assert talk.ask().timeout_s == expected_s


# Who may write, and for how long


@pytest.mark.parametrize(
    ("passed_s", "expected_s"),
    [
        pytest.param(0.0, 15.0, id="just renewed: until the lease runs out"),
        pytest.param(4.0, 11.0, id="later"),
        pytest.param(9.5, 5.5, id="shortly before the renew deadline"),
        pytest.param(10.0, 0.0, id="at the renew deadline"),
        pytest.param(100.0, 0.0, id="long after"),
    ],
)
def test_writes_end_before_the_lease_does(passed_s: float, expected_s: float) -> None:
    """Writes begin until the renew deadline, and end until the lease duration after the last renewal was sent."""
    talk = Talk()
    talk.win()
    talk.now_s += passed_s
    assert talk.core.write_timeout_s(talk.now_s) == expected_s
    assert talk.core.leads(talk.now_s) == (expected_s > 0)


def test_lease_counts_from_the_sending() -> None:
    """What a renewal grants is reckoned from when it was sent, however late its answer comes."""
    talk = Talk()
    talk.hear(200, lease(""))
    request = talk.ask()
    talk.now_s = 1004.0
    talk.answer(200, request.body)
    assert talk.core.deadline_s == 1010.0
    assert talk.core.write_timeout_s(talk.now_s) == 11.0


def test_answer_behind_the_deadline_grants_nothing() -> None:
    """Whoever was stopped while its renewal was under way does not lead when it reads that it succeeded."""
    talk = Talk()
    talk.hear(200, lease(""))
    request = talk.ask()
    talk.now_s = 1010.0
    talk.answer(200, request.body)
    assert not talk.core.leads(talk.now_s)


def test_nobody_leads_by_reading() -> None:
    """A Lease that names us, as a write whose answer was lost leaves it, is renewed before we lead."""
    talk = Talk()
    talk.hear(200, lease("a"))
    assert not talk.core.leads(talk.now_s)
    assert talk.pause_s() == 0
    assert talk.ask().method == "PUT"


def test_another_holder_ends_it() -> None:
    """A leader that reads another name in the Lease leads no more, whatever the time."""
    talk = Talk()
    talk.win()
    talk.hear(*status(409))
    talk.hear(200, lease("b"))
    assert not talk.core.leads(talk.now_s)
    assert talk.core.holder == "b"


# When a Lease may be taken from another


def method_behind(talk: Talk, found: object, now_s: float) -> str:
    """Read *found* at *now_s*, and say what is asked next."""
    talk.now_s = now_s
    assert talk.hear(200, found).method == "GET"
    return talk.ask().method


@pytest.mark.parametrize(
    ("duration_s", "watched_s", "expected"),
    [
        pytest.param(15, 14.999, "GET", id="not yet"),
        pytest.param(15, 15.0, "PUT", id="run out"),
        pytest.param(60, 59.0, "GET", id="the holder's duration counts, not ours"),
        pytest.param(60, 60.0, "PUT", id="a longer one run out"),
        pytest.param(1, 1.0, "PUT", id="a shorter one run out"),
        pytest.param(None, 14.0, "GET", id="without a duration ours counts"),
        pytest.param(None, 15.0, "PUT", id="without a duration, run out"),
    ],
)
def test_lease_runs_out_before_our_eyes(duration_s: int | None, watched_s: float, expected: str) -> None:
    """Another's Lease is taken when we have seen it unchanged for its duration, however old its renewTime is."""
    talk = Talk()
    talk.hear(200, lease(leaseDurationSeconds=duration_s))
    assert method_behind(talk, lease(leaseDurationSeconds=duration_s), 1000.0 + watched_s) == expected


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(lease(renewTime="2026-01-01T09:00:02.000000Z"), "GET", id="renewed"),
        pytest.param(lease(renewTime="2025-01-01T09:00:00.000000Z"), "GET", id="renewed by a clock that jumped back"),
        pytest.param(lease("c"), "GET", id="taken by a third one"),
        pytest.param(lease(version="9"), "PUT", id="only touched: a new version of the same spec"),
    ],
)
def test_a_change_of_the_spec_begins_the_wait_anew(second: object, expected: str) -> None:
    """Each change of the spec, and no other one, is a sign of life of its holder."""
    talk = Talk()
    talk.hear(200, lease())
    talk.now_s = 1014.0
    talk.hear(200, second)
    assert method_behind(talk, second, 1016.0) == expected


def test_deleted_lease_is_not_free_yet() -> None:
    """A Lease that was held and is deleted is created when its holder has stopped writing for lack of it."""
    talk = Talk()
    talk.hear(200, lease(leaseDurationSeconds=20))
    talk.now_s = 1002.0
    talk.hear(*status(404))
    assert talk.pause_s() > 0
    talk.now_s = 1021.9
    talk.hear(*status(404))
    talk.now_s = 1022.0
    assert talk.hear(*status(404)).method == "GET"
    assert talk.ask().method == "POST"


def test_leader_creates_its_deleted_lease_at_once() -> None:
    """A leader whose Lease was deleted creates it again while it leads, and leads on."""
    talk = Talk()
    talk.win()
    talk.now_s = 1002.0
    talk.hear(*status(404))
    assert talk.pause_s() == 0
    request = talk.ask()
    assert request.method == "POST"
    talk.answer(201, request.body)
    assert talk.core.deadline_s == 1012.0


def test_former_leader_does_not_create_a_deleted_lease() -> None:
    """A leader that could not renew in time takes a deleted Lease for another's."""
    talk = Talk()
    talk.win()
    talk.now_s = 1040.0
    assert talk.hear(*status(404)).method == "PUT"
    assert talk.pause_s() > 0
    assert talk.ask().method == "GET"


# What goes wrong


def test_conflict_is_read_at_once_but_not_for_ever() -> None:
    """Behind a conflict the Lease is read at once; behind a second one in a row after a pause."""
    talk = Talk()
    talk.win()
    assert talk.hear(*status(409)).method == "PUT"
    assert talk.pause_s() == 0
    assert talk.hear(200, lease("a", version="10")).method == "GET"
    assert talk.hear(*status(409)).method == "PUT"
    assert talk.pause_s() > 1
    assert talk.hear(200, lease("a", version="11")).method == "GET"
    talk.renewed()
    talk.hear(*status(409))
    assert talk.pause_s() == 0


def test_lost_answer_is_read_after() -> None:
    """A write without an answer may have been done: the Lease is read before it is written again."""
    talk = Talk()
    talk.win()
    talk.ask()
    talk.core.unanswered("the connection broke off")
    assert talk.core.trouble == (0, "", "the connection broke off")
    assert talk.core.leads(talk.now_s)
    assert talk.hear(200, lease("a", version="9")).method == "GET"
    assert talk.core.trouble is not None
    talk.renewed()
    assert talk.core.trouble is None


RULE = '{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"]}'


@pytest.mark.parametrize(
    ("path", "code", "body", "expected"),
    [
        pytest.param(
            [],
            403,
            status(403, "no")[1],
            "the API server forbids get of leases.coordination.k8s.io controller in namespace dns (no); "
            f"nothing is written without it; to grant it add to the Role in namespace dns: {RULE}",
            id="get forbidden",
        ),
        pytest.param(
            [status(404)],
            403,
            status(403, "no")[1],
            "the API server forbids create of leases.coordination.k8s.io controller in namespace dns (no); "
            f"nothing is written without it; to grant it add to the Role in namespace dns: {RULE}",
            id="create forbidden",
        ),
        pytest.param(
            [(200, lease(""))],
            403,
            status(403, "no")[1],
            "the API server forbids update of leases.coordination.k8s.io controller in namespace dns (no); "
            f"nothing is written without it; to grant it add to the Role in namespace dns: {RULE}",
            id="update forbidden",
        ),
        pytest.param(
            [status(404)],
            404,
            status(404, 'namespaces "dns" not found')[1],
            "there is no namespace dns for the Lease controller; create it",
            id="no namespace",
        ),
        pytest.param(
            [],
            503,
            b"<html>\nbusy</html>",
            "the API server answers 503 to get of leases.coordination.k8s.io controller in namespace dns: "
            "<html> busy</html>",
            id="a proxy's page",
        ),
        pytest.param(
            [],
            200,
            b"welcome",
            "the API server's answer is no Lease (JSON is malformed: invalid character (byte 0))",
            id="no JSON",
        ),
        pytest.param(
            [],
            200,
            {"kind": "Status"},
            "the API server's answer is no Lease (Object missing required field `metadata`)",
            id="no Lease",
        ),
    ],
)
def test_refusals_say_what_to_do(path: list[tuple[int, Any]], code: int, body: object, expected: str) -> None:
    """What the API server refuses is told in one line, and tried again after a pause."""
    talk = Talk()
    for answer in path:
        talk.hear(*answer)
    talk.hear(code, body)
    assert talk.core.trouble is not None
    assert (talk.core.trouble.status, talk.core.trouble.text) == (code, expected)
    assert 1.5 <= talk.pause_s() <= 2.0
    assert talk.ask().method == "GET"


def test_trouble_ends_when_another_leads() -> None:
    """A candidate that can read who leads has no trouble."""
    talk = Talk()
    talk.hear(*status(500))
    talk.hear(200, lease("b"))
    assert talk.core.trouble is None


# Pauses


def test_pauses_differ_within_the_retry_period() -> None:
    """Pauses are three quarters to all of the retry period, by chance."""
    talk = Talk()
    talk.hear(200, lease())
    pauses = [talk.pause_s() for _ in range(1000)]
    assert 1.5 <= min(pauses) < 1.51
    assert 1.99 < max(pauses) <= 2.0


def test_pause_ends_when_the_lead_does() -> None:
    """A leader in trouble wakes when its renew deadline is over, to say so."""
    talk = Talk()
    talk.win()
    talk.now_s = 1009.5
    talk.ask()
    talk.core.unanswered("")
    assert talk.pause_s() == pytest.approx(0.51)


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(Times(10, 10.0, 2.0), id="the lease is no longer than the renew deadline"),
        pytest.param(Times(15, 2.0, 2.0), id="the renew deadline is no longer than the retry period"),
        pytest.param(Times(15, 10.0, 0.0), id="no pauses"),
    ],
)
def test_unsafe_times_are_refused(times: Times) -> None:
    """Times in the wrong order are an error."""
    with pytest.raises(ValueError, match="expected each to be longer than the next"):
        Talk(times)


# Release


def test_release_of_a_held_lease() -> None:
    """A leader that resigns writes nothing more, and leaves the Lease without a holder for one second."""
    talk = Talk()
    talk.win()
    talk.core.resign()
    assert not talk.core.leads(talk.now_s)
    request = talk.ask()
    assert request.method == "PUT"
    assert request.body is not None
    assert request.body["metadata"] == {"resourceVersion": "8"}
    assert request.body["spec"] == {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "leaseTransitions": 5,
        "acquireTime": NOON,
        "renewTime": "2026-01-01T12:00:00.000001Z",
    }
    talk.answer(200, request.body)
    assert not talk.core.may_hold
    assert talk.core.request(talk.now_s, talk.wall_us) is None


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param([], id="nothing was asked"),
        pytest.param([(200, lease("b"))], id="another holds it"),
        pytest.param([(200, lease(""))], id="nobody holds it"),
        pytest.param([status(404)], id="there is none"),
    ],
)
def test_nothing_to_release(heard: list[tuple[int, Any]]) -> None:
    """A candidate that never wrote has nothing to release."""
    talk = Talk()
    for answer in heard:
        talk.hear(*answer)
    talk.core.resign()
    assert talk.core.request(talk.now_s, talk.wall_us) is None


def test_renewal_under_way_when_we_resign() -> None:
    """A renewal whose answer comes behind the resignation is released, too, and lets nobody lead again."""
    talk = Talk()
    talk.win()
    request = talk.ask()
    talk.core.resign()
    talk.answer(200, request.body)
    assert not talk.core.leads(talk.now_s)
    body = talk.ask().body
    assert body is not None
    assert body["spec"]["holderIdentity"] == ""


def test_lost_acquisition_is_released() -> None:
    """Whoever resigns without knowing whether its write was done reads the Lease, and releases it if it is named."""
    talk = Talk()
    talk.hear(200, lease(""))
    talk.ask()
    talk.core.unanswered("")
    talk.core.resign()
    assert talk.hear(200, lease("a", version="11")).method == "GET"
    request = talk.ask()
    assert request.body is not None
    assert (request.method, request.body["metadata"]["resourceVersion"]) == ("PUT", "11")


def test_lease_of_another_is_not_released() -> None:
    """Whoever resigns leaves a Lease alone that another has taken meanwhile."""
    talk = Talk()
    talk.win()
    talk.core.resign()
    talk.hear(*status(409))
    talk.hear(200, lease("b"))
    assert talk.core.request(talk.now_s, talk.wall_us) is None


# Several of them, on a simulated API server


class Server:
    """The Leases of an API server: one Lease, its versions, and preconditions."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.broken = 0  # the status that it answers to everything, when not 0

    def _store(self, new: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.version += 1
        self.lease = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self.version)}}
        return 200, self.lease

    def handle(self, method: str, body: Any) -> tuple[int, bytes]:
        code, answer = self._answer(method, body)
        return code, json.dumps(answer).encode()

    def _answer(self, method: str, body: Any) -> tuple[int, dict[str, Any]]:
        if self.broken:
            return status(self.broken, "broken")
        if method == "POST":
            return status(409) if self.lease else self._store(json.loads(json.dumps(body)))
        if self.lease is None:
            return status(404)
        if method == "GET":
            return 200, self.lease
        assert method == "PUT"
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            return status(409)
        if body == self.lease:
            return 200, self.lease  # a write that changes nothing makes no new version
        return self._store(json.loads(json.dumps(body)))

    def touch(self) -> None:
        """Let somebody set a label."""
        if self.lease:
            self._store(
                {**self.lease, "metadata": {**self.lease["metadata"], "labels": {"touched": str(self.version)}}}
            )


class Path(NamedTuple):
    """What a network does to a request and to its answer.

    Attributes:
        there_s: Until the server has it.
        back_s: From there until the answer is back.
        is_lost: The request is lost.
        is_answer_lost: The answer is.
    """

    there_s: float = 0.01
    back_s: float = 0.01
    is_lost: bool = False
    is_answer_lost: bool = False


GOOD = Path()
EPSILON_S = 1e-6


class Member:
    """A process with an `Election`: it does what `Elector.run` does, but can be stopped between any two steps."""

    def __init__(self, world: World, identity: str, offset_s: float, seed: int) -> None:
        self.core = Election("dns", "controller", identity, Times(), random.Random(seed))
        self.world = world
        self.offset_s = offset_s
        self.wall_offset_us = 0
        self.wall_stands_at: int | None = None
        self.path = GOOD
        self.is_frozen = False
        self.is_gone = False
        self.releases_left: int | None = None
        self.has_seen_lease = False
        self.led = False
        self.gained: list[float] = []
        self.writes_until_s = float("-inf")
        self._asked = 0  # the number of the request that is out; answers to others come too late
        self._late: list[tuple[bool, int, Callable[[], None]]] = []

    # ---- clocks

    def now_s(self) -> float:
        return self.world.now_s + self.offset_s

    def wall_us(self) -> int:
        if self.wall_stands_at is not None:
            return self.wall_stands_at
        return NOON_US + self.wall_offset_us + int(self.world.now_s * 1_000_000)

    # ---- steps

    def later(self, delay_s: float, step: Callable[[], None], *, is_answer: bool = False) -> None:
        def run() -> None:
            if self.is_gone:
                return
            if self.is_frozen:
                self._late.append((not is_answer, len(self._late), run))
                return
            step()

        self.world.later(delay_s, run)

    def turn(self) -> None:
        request = self.core.request(self.now_s(), self.wall_us())
        if request is None:
            return
        self._asked += 1
        number, path = self._asked, self.path

        def arrives() -> None:
            code, body = self.world.server.handle(request.method, request.body)
            if not path.is_answer_lost:
                self.later(path.back_s, lambda: self._answered(number, code, body), is_answer=True)

        if not path.is_lost:
            self.world.later(path.there_s, arrives)
        self.later(request.timeout_s, lambda: self._timed_out(number))

    def _answered(self, number: int, code: int, body: bytes) -> None:
        if number == self._asked:
            self._asked += 1
            self.has_seen_lease |= code in (200, 201)
            self.core.answered(code, body, self.now_s())
            self._go_on()

    def _timed_out(self, number: int) -> None:
        if number == self._asked:
            self._asked += 1
            self.core.unanswered("no answer")
            self._go_on()

    def _go_on(self) -> None:
        if self.releases_left is None:
            self.later(self.core.pause_s(self.now_s()), self.turn)
        elif self.releases_left:
            self.releases_left -= 1
            self.turn()

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on. Answers that lie there come before timers, which is the worst order: a late success still counts."""
        self.is_frozen = False
        late, self._late = sorted(self._late, key=lambda entry: entry[:2]), []
        for _, _, step in late:
            step()

    def release(self) -> None:
        """Resign, as `Elector.release` does; all writes have ended."""
        self.core.resign()
        self.writes_until_s = self.world.now_s
        if self.releases_left is None:
            self.releases_left = 4
            self.turn()

    def may_write(self) -> bool:
        return self.core.leads(self.now_s())


class World:
    """True time, a server, members, and what must hold at any time."""

    def __init__(self, members: int, seed: int = 0) -> None:
        self.now_s = 0.0
        self.server = Server()
        self.numbers = itertools.count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.rng = random.Random(seed)
        self.members = [self.join() for _ in range(members)]
        self.former: list[Member] = []

    def join(self) -> Member:
        number = next(self.numbers)
        member = Member(self, f"m{number}", self.rng.uniform(-1e6, 1e6), self.rng.randrange(2**32))
        self.later(0.1 * number if number < 3 else 0.0, member.turn)
        return member

    def replace(self, member: Member) -> None:
        """Start another process in the place of *member*."""
        self.former.append(member)
        self.members[self.members.index(member)] = self.join()

    def later(self, delay_s: float, step: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now_s + delay_s, next(self.numbers), step))

    def pass_time(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.events and self.events[0][0] <= end_s:
            self.now_s, _, step = heapq.heappop(self.events)
            step()
            self.check()
        self.now_s = end_s
        self.check()

    def check(self) -> None:
        everyone = [*self.members, *self.former]
        for member in everyone:
            if member.is_gone or not member.may_write():
                member.led = False
                continue
            if not member.led:
                member.gained.append(self.now_s)
                for other in everyone:
                    if other is not member:
                        assert other.writes_until_s <= self.now_s + EPSILON_S, "another's writes may be under way"
            member.led = True
            ends_s = self.now_s + member.core.write_timeout_s(member.now_s())
            member.writes_until_s = max(member.writes_until_s, ends_s)
        assert sum(member.led for member in everyone) <= 1, "two may write"

    def leaders(self) -> list[Member]:
        return [member for member in self.members if member.may_write()]


@pytest.mark.parametrize("members", [1, 2, 3])
def test_one_leads_and_stays(members: int) -> None:
    """Without faults one leads within the time of three requests, and for ever."""
    world = World(members)
    world.pass_time(0.5)
    [leader] = world.leaders()
    world.pass_time(3600)
    assert [member.gained for member in world.members if member.gained] == [leader.gained]
    assert len(leader.gained) == 1


def test_release_hands_over_within_one_retry_period() -> None:
    """When a leader releases the Lease another one leads within the retry period and the time of three requests."""
    for seed in range(50):
        world = World(2, seed)
        world.pass_time(20 + seed / 10)
        [leader] = world.leaders()
        leader.release()
        released_s = world.now_s
        world.pass_time(2.1)
        [successor] = world.leaders()
        assert successor is not leader
        assert successor.gained[0] - released_s <= 2.0 + 3 * 0.02
        assert world.server.lease is not None
        assert world.server.lease["spec"]["leaseTransitions"] == 1


def test_crash_hands_over_when_the_lease_has_run_out() -> None:
    """When a leader is killed another one leads when it has seen nothing for the lease duration, not before."""
    for seed in range(50):
        world = World(2, seed)
        world.pass_time(20 + seed / 10)
        [leader] = world.leaders()
        leader.is_gone = True
        killed_s = world.now_s
        world.pass_time(20)
        [successor] = world.leaders()
        assert 15.0 - 2.1 <= successor.gained[0] - killed_s <= 15.0 + 2 * 2.0 + 0.1
        assert world.server.lease is not None
        assert world.server.lease["spec"]["leaseTransitions"] == 1


SLOW = Path(0.15, 0.15)  # so that requests are under way at many of the points


def stopped(point: int, stopped_s: float) -> tuple[World, Member, Member]:
    """Stop a leader at one of 200 points of 10 s, in which it renews five times, for *stopped_s*; then it wakes."""
    world = World(2, seed=point)
    for member in world.members:
        member.path = SLOW
    world.pass_time(20 + point * 0.05)
    [former] = world.leaders()
    [rival] = [member for member in world.members if member is not former]
    former.freeze()  # here it has planned a write
    world.pass_time(stopped_s)
    return world, former, rival


def test_stopped_leader_begins_no_write() -> None:
    """A leader that is stopped between plan and send, while another takes over, sends nothing when it wakes."""
    for point in range(200):
        world, former, rival = stopped(point, 60.0)
        assert former.core.write_timeout_s(former.now_s()) == 0, point  # its writer wakes first
        assert rival.may_write(), point
        former.thaw()
        assert former.core.write_timeout_s(former.now_s()) == 0, point  # or what lay in sockets and timers comes first
        world.pass_time(60)
        assert world.leaders() == [rival], point
        assert len(former.gained) == 1, point


@pytest.mark.parametrize("stopped_s", [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 20.0])
def test_leader_that_is_stopped_for_about_the_lease(stopped_s: float) -> None:
    """Whenever a leader wakes, it or another one leads, never both, and no write of one is under way for the other."""
    for point in range(0, 200, 4):
        world, former, _ = stopped(point, stopped_s)
        former.thaw()
        world.pass_time(30)
        assert len(world.leaders()) == 1


def test_leader_that_is_stopped_for_a_moment_writes_on() -> None:
    """A stop of one second costs nothing, and what is written then ends before the lease does."""
    for point in range(200):
        world, former, _ = stopped(point, 1.0)
        assert 5.0 < former.core.write_timeout_s(former.now_s()) < 14.01
        former.thaw()
        world.pass_time(30)
        assert world.leaders() == [former]
        assert len(former.gained) == 1


ms = st.integers(min_value=1, max_value=20_000).map(lambda number: number / 1000)
delays = st.sampled_from([0.001, 0.01, 0.3, 1.0, 3.0, 4.9, 5.1, 9.0, 14.0, 30.0])
paths = st.builds(Path, delays, delays, st.booleans(), st.booleans()) | st.builds(Path, delays, delays)
indices = st.integers(min_value=0, max_value=2)


class Electors(RuleBasedStateMachine):
    """Two or three electors among faults of every kind."""

    world: World

    @initialize(members=st.integers(min_value=2, max_value=3), seed=st.integers(min_value=0, max_value=1000))
    def begin(self, members: int, seed: int) -> None:
        self.world = World(members, seed)
        self.is_deleted = False

    def member(self, index: int) -> Member:
        return self.world.members[index % len(self.world.members)]

    @rule(seconds=ms | st.sampled_from([2.0, 5.0, 10.0, 15.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(index=indices)
    def freeze(self, index: int) -> None:
        self.member(index).freeze()

    @rule()
    def freeze_leader(self) -> None:
        for leader in self.world.leaders():
            leader.freeze()

    @rule(index=indices)
    def thaw(self, index: int) -> None:
        self.member(index).thaw()

    @rule(index=indices, path=paths)
    def spoil_network(self, index: int, path: Path) -> None:
        self.member(index).path = path

    @rule(index=indices)
    def mend_network(self, index: int) -> None:
        self.member(index).path = GOOD

    @rule(code=st.sampled_from([0, 0, 403, 409, 429, 500]))
    def spoil_server(self, code: int) -> None:
        self.world.server.broken = code

    @rule()
    def touch(self) -> None:
        self.world.server.touch()

    @rule(index=indices, seconds=st.integers(min_value=-(10**8), max_value=10**8))
    def jump_wall_clock(self, index: int, seconds: int) -> None:
        self.member(index).wall_offset_us = seconds * 1_000_000

    @rule(index=indices)
    def stop_wall_clock(self, index: int) -> None:
        self.member(index).wall_stands_at = NOON_US

    @rule(index=indices)
    def crash(self, index: int) -> None:
        member = self.member(index)
        member.is_gone = True
        self.world.replace(member)

    @precondition(lambda self: not self.member(0).is_frozen)
    @rule()
    def release(self) -> None:
        member = self.member(0)
        member.release()
        self.world.replace(member)

    @precondition(lambda self: not self.is_deleted and all(member.has_seen_lease for member in self.world.members))
    @rule()
    def delete(self) -> None:
        """Delete the Lease that all know; whoever has not seen it cannot know that it was there."""
        self.is_deleted = True
        self.world.server.lease = None
        self.world.pass_time(20.0)

    @invariant()
    def at_most_one_may_write(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """When faults stop one leads, and stays."""
        if not hasattr(self, "world"):
            return
        self.world.server.broken = 0
        for member in self.world.members:
            member.path = GOOD
            member.thaw()
        # What is under way may take 30 s and change the Lease once more; then it runs out.
        self.world.pass_time(30 + 30 + 15 + 2 * 2 + 5)
        leaders = self.world.leaders()
        assert len(leaders) == 1
        self.world.pass_time(60)
        assert self.world.leaders() == leaders


Electors.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class TestElectors(Electors.TestCase):  # type: ignore[misc, valid-type]
    """Never two that may write, and one again when faults stop."""


# The shell, in virtual time


class JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Does not wait: time jumps to the next timer."""

    now_s = 5000.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nothing will ever happen again"
        self.now_s += max(timeout, 0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only where everybody waits."""

    def __init__(self) -> None:
        self.selector = JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now_s


def run(talk: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(talk)


def now_s() -> float:
    return asyncio.get_running_loop().time()


class Called(NamedTuple):
    at_s: float
    method: str
    timeout_s: float


class FakeApi:
    """The connection of one elector to *server*; it can be slow, or dead."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.delay_s = 0.01
        self.is_dead = False
        self.is_busy = False
        self.calls: list[Called] = []
        self.renewals = 0

    async def request(self, method: str, path: str, body: Any = None, *, timeout_s: float) -> Answer:
        assert not self.is_busy, "one request at a time"
        self.calls.append(Called(now_s(), method, timeout_s))
        self.is_busy = True
        try:
            async with asyncio.timeout(timeout_s):
                if self.is_dead:
                    await asyncio.Event().wait()
                await asyncio.sleep(self.delay_s)
                code, answer = self.server.handle(method, body)
        except TimeoutError as error:
            raise ClusterError(f"no answer within {timeout_s:g} s") from error
        finally:
            self.is_busy = False
        return Answer(code, "", answer)

    async def reauthenticate(self) -> None:
        self.renewals += 1
        self.server.broken = 0


class Candidate:
    """An elector, its connection, and what it calls back."""

    def __init__(self, server: Server, identity: str, times: Times | None = None) -> None:
        self.api = FakeApi(server)
        self.told: list[tuple[str, float]] = []  # what, and when
        self.elector = Elector(
            self.api,
            "dns",
            "controller",
            identity,
            times=times or Times(),
            on_gained=lambda: self.told.append(("gained", now_s())),
            on_lost=lambda: self.told.append(("lost", now_s())),
            clock=now_s,
            wall_clock_ns=lambda: NOON_US * 1000,
            rng=random.Random(identity),
        )
        self.task = asyncio.create_task(self.elector.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def candidates(*identities: str, server: Server | None = None) -> AsyncIterator[list[Candidate]]:
    server = server or Server()
    found = [Candidate(server, identity) for identity in identities]
    try:
        yield found
    finally:
        for candidate in found:
            await candidate.end()


def test_elector_leads_and_renews() -> None:
    """An elector that is alone says once that it leads, and renews within each retry period."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            begin_s = now_s()
            assert not a.elector.may_write()
            assert a.elector.write_timeout_s() == 0
            await asyncio.sleep(60)
            assert a.told == [("gained", pytest.approx(begin_s + 0.02))]
            assert a.elector.may_write()
            assert a.elector.holder == "a"
            assert 12.9 < a.elector.write_timeout_s() <= 15
            assert a.elector.deadline - now_s() == pytest.approx(a.elector.write_timeout_s() - 5)
            renewals = [call.at_s for call in a.api.calls if call.method == "PUT"]
            pauses = [later - earlier for earlier, later in itertools.pairwise(renewals)]
            assert all(1.5 <= pause <= 2.02 for pause in pauses)
            assert len(pauses) > 28

    run(talk())


def test_elector_that_is_cut_off_says_so() -> None:
    """A leader without answers stops writing 10 s after it sent its last renewal; the other leads after 15 s."""

    async def talk() -> None:
        async with candidates("a", "b") as [a, b]:
            await asyncio.sleep(30)
            assert [len(a.told), len(b.told)] == [1, 0]
            await asyncio.sleep(a.api.calls[-1].at_s + 1 - now_s())
            last_s = a.api.calls[-1].at_s
            a.api.is_dead = True
            await asyncio.sleep(last_s + 9.99 - now_s())
            assert a.elector.may_write()
            await asyncio.sleep(0.02)
            assert not a.elector.may_write()
            await asyncio.sleep(0.02)
            [_, (what, at_s)] = a.told
            assert (what, at_s) == ("lost", pytest.approx(last_s + 10, abs=0.02))
            attempts = [call for call in a.api.calls if last_s < call.at_s < last_s + 10]
            assert len(attempts) >= 2
            assert all(call.at_s + call.timeout_s <= last_s + 10.000001 for call in attempts)
            await asyncio.sleep(10)
            [(what, at_s)] = b.told
            assert what == "gained"
            assert last_s + 15 <= at_s <= last_s + 15 + 2 * 2.1
            assert not a.elector.may_write()

    run(talk())


def test_elector_that_was_stopped_says_so_before_it_leads_again() -> None:
    """A process that slept past its deadline says that it lost before it wins again, though nobody took over."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            await asyncio.sleep(10)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.selector.now_s += 60
            assert not a.elector.may_write()
            assert a.elector.write_timeout_s() == 0
            await asyncio.sleep(1)
            assert [what for what, _ in a.told] == ["gained", "lost", "gained"]

    run(talk())


def test_release_by_the_elector() -> None:
    """A release stops writes at once, ends `run`, and lets the other one lead within the retry period."""

    async def talk() -> None:
        async with candidates("a", "b") as [a, b]:
            await asyncio.sleep(30)
            released_s = now_s()
            release = asyncio.create_task(a.elector.release())
            await asyncio.sleep(0)
            assert not a.elector.may_write()
            await release
            await asyncio.wait_for(a.task, 0.1)
            assert a.told[1:] == [("lost", released_s)]
            await asyncio.sleep(2.1)
            [(what, at_s)] = b.told
            assert what == "gained"
            assert at_s - released_s <= 2.0 + 4 * 0.01

    run(talk())


def test_release_while_a_renewal_is_under_way() -> None:
    """A release waits for the renewal that is out, and takes back what that one writes."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            await asyncio.sleep(10)
            a.api.delay_s = 1.0
            await asyncio.sleep(a.api.calls[-1].at_s + 2.1 - now_s())
            assert a.api.calls[-1].at_s + 1.0 > now_s()
            await a.elector.release()
            await a.task
            assert a.api.server.lease is not None
            assert a.api.server.lease["spec"]["holderIdentity"] == ""
            assert not a.elector.may_write()

    run(talk())


def test_release_behind_a_cancelled_run() -> None:
    """A Lease can also be released when `run` was cancelled in the middle of a renewal."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            await asyncio.sleep(10)
            a.api.delay_s = 1.0
            await asyncio.sleep(a.api.calls[-1].at_s + 2.1 - now_s())
            await a.end()
            assert a.elector.may_write()
            await a.elector.release()
            assert [call.method for call in a.api.calls[-2:]] == ["GET", "PUT"]
            assert a.api.server.lease is not None
            assert a.api.server.lease["spec"]["holderIdentity"] == ""

    run(talk())


def test_release_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A release to a dead server ends after half of the renew deadline, and says what follows."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            await asyncio.sleep(10)
            a.api.is_dead = True
            begin_s = now_s()
            await a.elector.release()
            assert now_s() - begin_s == pytest.approx(5.0)

    run(talk())
    warning = "Lease dns/controller could not be released; the next leader waits until it runs out"
    assert warning in caplog.messages


def test_release_of_nothing_asks_nothing() -> None:
    """A candidate that does not lead goes without a word."""

    async def talk() -> None:
        async with candidates("a", "b") as [a, b]:
            await asyncio.sleep(30)
            asked = len(b.api.calls)
            await b.elector.release()
            await b.task
            assert len(b.api.calls) == asked
            assert b.told == []
            assert a.elector.may_write()

    run(talk())


def test_release_gives_up_on_refusals() -> None:
    """A release that is refused is tried a few times and then left."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            await asyncio.sleep(10)
            a.api.server.broken = 500
            asked = len(a.api.calls)
            await a.elector.release()
            assert len(a.api.calls) - asked == 4

    run(talk())


def test_refused_credentials_are_read_again() -> None:
    """When the server refuses the credentials they are read again."""

    async def talk() -> None:
        server = Server()
        server.broken = 401
        async with candidates("a", server=server) as [a]:
            await asyncio.sleep(3)
            assert a.api.renewals == 1
            assert a.elector.may_write()

    run(talk())


def test_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Who leads is told when it changes, and a trouble once, with its end."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            a.api.server.broken = 403
            await asyncio.sleep(20)
            a.api.server.broken = 0
            await asyncio.sleep(20)
            await a.elector.release()

    caplog.set_level(logging.INFO, logger="headlessdns")
    run(talk())
    assert caplog.messages == [
        "Lease dns/controller: the API server forbids get of leases.coordination.k8s.io controller in namespace dns "
        "(broken); nothing is written without it; to grant it add to the Role in namespace dns: "
        '{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"]}; trying again',
        "Lease dns/controller: held by a",
        "Lease dns/controller: it can be read and written again",
        "Lease dns/controller: this process leads",
        "Lease dns/controller: this process leads no more",
    ]


def test_right_to_create_that_is_missing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Where the Lease may be read but not be created there is one warning, not one for each attempt."""

    class Reading(Server):
        def _answer(self, method: str, body: Any) -> tuple[int, dict[str, Any]]:
            return status(403, "no") if method == "POST" else super()._answer(method, body)

    async def talk() -> None:
        async with candidates("a", server=Reading()):
            await asyncio.sleep(20)

    run(talk())
    [warning] = caplog.messages
    assert "the API server forbids create of leases.coordination.k8s.io controller in namespace dns (no)" in warning


def test_silence_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A server that does not answer is told once, though the time-outs become shorter towards the deadline."""

    async def talk() -> None:
        async with candidates("a") as [a]:
            await asyncio.sleep(10)
            a.api.is_dead = True
            await asyncio.sleep(60)
            assert len({call.timeout_s for call in a.api.calls}) > 1

    run(talk())
    assert caplog.messages == ["Lease dns/controller: no answer within 5 s; trying again"]


def test_identity_is_of_one_process_only() -> None:
    """An identity names the host, and differs each time."""
    first, second = own_identity(), own_identity()
    assert re.fullmatch(re.escape(socket.gethostname()) + "_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    assert first != second


def test_clock_counts_suspended_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the one that goes on while the machine is suspended, where there is one."""
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {7: 123.0}.__getitem__)
    assert clock_s() == 123.0
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    monkeypatch.setattr(time, "monotonic", lambda: 45.0)
    assert clock_s() == 45.0
