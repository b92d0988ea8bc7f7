"""Which of several controllers writes: leader election on a Lease of coordination.k8s.io/v1.

`Election` decides and is pure: the time and what the API server answers are arguments. `Elector` sends its requests
and lets time pass: network I/O, clocks, logs.

What makes it safe, if all clocks run equally fast, whatever they show:

- A leader may write until the renew deadline after it *sent* the last renewal that succeeded. The server did it later
  than that, and another controller saw it later still.
- Another controller takes the Lease only when it has itself watched it stand unchanged for the whole lease duration,
  which is longer. Wall-clock times in the Lease are for people; nobody reckons with them.
- A write to the Lease names the version it replaces, so of two controllers that write at once one meets a conflict.
- What the leader has begun to write ends, by its time-out, before the lease does.

What no election can rule out: a process stops between its last look at `may_write` and the sending of the request; a
request lies about in the server long after its sender gave it up; a whole virtual machine is halted, and its clocks
with it; somebody deletes the Lease, and a controller that has never seen it starts. So deletions and updates carry UID
and resourceVersion, and creations collide by name.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from headlessdns.cluster.answer import Answer
from headlessdns.controller.model import Json
from headlessdns.errors import ClusterError

logger = logging.getLogger(__name__)

SHORTEST_PAUSE = 0.75  # of the retry period; the rest is by chance, so that controllers do not ask in step
BEHIND_DEADLINE_S = 0.01  # timers may fire a little early
RELEASE_REQUESTS = 4  # read, write, and both once more behind a conflict

_VERBS = {"GET": "get", "POST": "create", "PUT": "update"}


class Times(NamedTuple):
    """How long things last; the defaults are those of Kubernetes' own controllers.

    Attributes:
        lease_duration_s: Others wait for so long before they take a Lease that is not renewed.
        renew_deadline_s: The leader stops writing when it could not renew for so long.
        retry_s: The longest pause between two looks at the Lease, or two renewals.
    """

    lease_duration_s: int = 15
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    @property
    def call_timeout_s(self) -> float:
        """The longest time for one request: a renewal that hangs leaves time for another one."""
        return self.renew_deadline_s / 2


DEFAULT_TIMES = Times()


class Request(NamedTuple):
    """What to ask the API server.

    Attributes:
        method: The HTTP method.
        path: From the root of the API server.
        body: A Lease, or None.
        timeout_s: For the whole answer; without one by then, tell `Election.unanswered`.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    body: Json | None
    timeout_s: float


class Trouble(NamedTuple):
    """Why the Lease cannot be had, or not be read.

    Attributes:
        status: The HTTP status, 0 where there was no answer.
        verb: What was asked; empty where there was no answer.
        text: One line.
    """

    status: int
    verb: str
    text: str


class _Lease(msgspec.Struct):
    """A Lease; what we do not know in it stays as it is."""

    metadata: Json
    spec: Json | None = None


class _Status(msgspec.Struct):
    message: str | None = None


class Election:
    """One candidate's part in an election. Pure: `now_s` is seconds of a clock that never jumps, `wall_us` Unix time.

    Ask `request`, send it, tell its end by `answered` or `unanswered`, wait for `pause_s`, and again. One request is
    out at a time.

    Attributes:
        identity: Who we are in the Lease.
        holder: Who holds the Lease as last seen; empty where nobody does.
        trouble: Why the last attempt failed; None where it did not.
        deadline_s: From then on nothing may be written; minus infinity where we do not lead.
        may_hold: A Lease that names us may stand.
    """

    def __init__(
        self, namespace: str, name: str, identity: str, times: Times = DEFAULT_TIMES, rng: random.Random | None = None
    ) -> None:
        """Stand for the Lease *name* in *namespace*.

        Raises:
            ValueError: *times* are not in the order that makes the election safe.
        """
        if not 0 < times.retry_s < times.renew_deadline_s < times.lease_duration_s:
            raise ValueError(
                f"lease duration {times.lease_duration_s} s, renew deadline {times.renew_deadline_s:g} s, retry period "
                f"{times.retry_s:g} s: expected each to be longer than the next"
            )
        self.identity = identity
        self.holder = ""
        self.trouble: Trouble | None = None
        self.deadline_s = float("-inf")
        self.may_hold = False
        self._times = times
        self._namespace = namespace
        self._name = name
        self._rng = rng or random.Random()
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._lease: _Lease | None = None  # as last seen
        self._since_s = float("-inf")  # when we first saw its spec as it is
        self._duration_s = float(times.lease_duration_s)  # of the last holder that we saw
        self._sent_s = float("-inf")  # when the request that is out was made
        self._method = ""  # of the request that was made last
        self._writes_next = False  # what was seen allows us to write; if not, the next request reads
        self._is_in_haste = True
        self._had_conflict = False  # behind the last write that was in order
        self._is_resigning = False
        self._renewed_us = 0

    # ---- what it is for

    def leads(self, now_s: float) -> bool:
        """Tell whether writes may begin now."""
        return now_s < self.deadline_s

    def write_timeout_s(self, now_s: float) -> float:
        """Return within how many seconds a write that begins now has to end: 0 where none may begin."""
        if not self.leads(now_s):
            return 0.0
        return self.deadline_s - self._times.renew_deadline_s + self._times.lease_duration_s - now_s

    # ---- what to ask

    def request(self, now_s: float, wall_us: int) -> Request | None:
        """Return the next request; None where we have resigned and hold nothing any more.

        Args:
            now_s: Before the request is sent: what it grants is reckoned from here.
            wall_us: Unix time in microseconds, to be shown in the Lease.
        """
        if self._is_resigning and not self.may_hold:
            return None
        is_write, self._writes_next = self._writes_next, False  # of a write without an answer nobody knows the outcome
        self._sent_s = now_s
        left_s = self.deadline_s - now_s
        timeout_s = min(self._times.call_timeout_s, left_s) if left_s > 0 else self._times.call_timeout_s
        if not is_write:
            self._method = "GET"
            return Request("GET", f"{self._path}/{self._name}", None, timeout_s)
        self.may_hold = True
        body: Json = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(wall_us),
        }
        if self._lease is None:
            self._method = "POST"
            return Request("POST", self._path, body, timeout_s)
        self._method = "PUT"
        body["metadata"] = self._lease.metadata  # with the resourceVersion that this replaces
        return Request("PUT", f"{self._path}/{self._name}", body, timeout_s)

    def _spec(self, wall_us: int) -> Json:
        # It grows even where the clock stands still or jumps back: others see by the change that we are there.
        self._renewed_us = max(wall_us, self._renewed_us + 1)
        now = micro_time(self._renewed_us)
        before = self._spec_seen() or {}
        if self._is_resigning:
            return {**before, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
        spec = {
            **before,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._times.lease_duration_s,
            "renewTime": now,
        }
        if self.holder != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = 0 if self._lease is None else int(before.get("leaseTransitions") or 0) + 1
        return spec

    # ---- what came of it

    def answered(self, status: int, body: bytes, now_s: float) -> None:
        """Take the answer to the last request, which is there at *now_s*."""
        self._is_in_haste = False
        if status in (200, 201):
            try:
                lease = msgspec.json.decode(body, type=_Lease)
            except msgspec.MsgspecError as error:
                self.trouble = Trouble(status, self._verb, f"the API server's answer is no Lease ({error})")
                return
            self._saw(lease, now_s)
        elif status == 404 and self._method != "POST":
            self._saw(None, now_s)
        elif status == 409:
            # Somebody else wrote. If that goes on, there is more to it than a race.
            self._is_in_haste, self._had_conflict = not self._had_conflict, True
        else:
            self.trouble = Trouble(status, self._verb, self._refusal(status, body))

    def unanswered(self, reason: str) -> None:
        """Take that the last request had no answer; it may have been done all the same."""
        self._is_in_haste = False
        self.trouble = Trouble(0, "", reason)

    def _saw(self, lease: _Lease | None, now_s: float) -> None:
        """Take what stands on the API server, None where there is no Lease."""
        is_written = self._method != "GET" and lease is not None
        self._remember(lease, now_s)
        is_ours = self.may_hold = self.holder == self.identity
        if self._is_resigning:
            self._writes_next = self._is_in_haste = is_ours
        elif is_written:
            self.deadline_s = self._sent_s + self._times.renew_deadline_s
            self._writes_next = True
            self._settle()
        else:
            if self.holder and not is_ours:
                self.deadline_s = float("-inf")
            self._writes_next = self._is_in_haste = self._is_free(now_s)
            if not self._writes_next:
                self._settle()

    def _settle(self) -> None:
        """Note that there is nothing to be done before the next pause."""
        self.trouble, self._had_conflict = None, False

    def _remember(self, lease: _Lease | None, now_s: float) -> None:
        before, is_gone = self._spec_seen(), self._lease is not None and lease is None
        self._lease = lease
        spec = self._spec_seen()
        # Only the spec counts: a label that somebody sets is no sign of life of the holder.
        if spec != before or is_gone:
            self._since_s = now_s
        self.holder = str((spec or {}).get("holderIdentity") or "")
        if spec and self.holder:
            self._duration_s = float(spec.get("leaseDurationSeconds") or self._times.lease_duration_s)

    def _is_free(self, now_s: float) -> bool:
        """Tell whether we may take the Lease, or hold it already."""
        if self.holder == self.identity or self.leads(now_s):
            return True
        if self._lease is not None and not self.holder:
            return True  # it was released
        # A Lease that we know and that is missing was deleted, and its holder need not know yet. If we have never
        # seen one, this began an infinite time ago.
        return now_s - self._since_s >= self._duration_s

    def _spec_seen(self) -> Json | None:
        return None if self._lease is None else self._lease.spec

    @property
    def _verb(self) -> str:
        return _VERBS[self._method]

    def _refusal(self, status: int, body: bytes) -> str:
        try:
            message = msgspec.json.decode(body, type=_Status).message or ""
        except msgspec.MsgspecError:
            message = " ".join(body[:200].decode(errors="replace").split())
        what = f"{self._verb} of leases.coordination.k8s.io {self._name} in namespace {self._namespace}"
        if status == 403:
            return (
                f"the API server forbids {what} ({message}); nothing is written without it; to grant it add to the "
                f'Role in namespace {self._namespace}: {{apiGroups: ["coordination.k8s.io"], resources: ["leases"], '
                f'verbs: ["get", "create", "update"]}}'
            )
        if status == 404:
            return f"there is no namespace {self._namespace} for the Lease {self._name}; create it"
        return f"the API server answers {status} to {what}: {message}"

    # ---- when to go on

    def pause_s(self, now_s: float) -> float:
        """Return how long to wait before the next request; never past the moment when we cease to lead."""
        if self._is_in_haste:
            return 0.0
        pause_s = self._times.retry_s * self._rng.uniform(SHORTEST_PAUSE, 1.0)
        return min(pause_s, self.deadline_s - now_s + BEHIND_DEADLINE_S) if self.leads(now_s) else pause_s

    def resign(self) -> None:
        """Lead no more, and stand no more. `request` gives what is needed to let the next one begin at once."""
        self._is_resigning = True
        self.deadline_s = float("-inf")


def micro_time(us: int) -> str:
    """Return a Unix time in microseconds as a MicroTime of the Kubernetes API."""
    seconds, micro = divmod(us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micro:06}Z"


# The shell


class Api(Protocol):
    """What the elector needs of a client; `client.ApiClient` is one."""

    async def request(self, method: str, path: str, body: Any = None, *, timeout_s: float) -> Answer:
        """Send one request and return its whole answer; raises ClusterError."""

    async def reauthenticate(self) -> None:
        """Read the credentials again; raises ClusterError."""


def own_identity() -> str:
    """Return a name that no other process has, nor this one after its next start."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def clock_s() -> float:
    """Return seconds of a clock that never jumps and, on Linux, goes on while the machine is suspended.

    CLOCK_MONOTONIC, Python's `time.monotonic`, stands still meanwhile: a laptop or a machine that is woken again would
    take itself for the leader while another one has long taken over.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _nothing() -> None:
    pass


class Elector:
    """Stands for election as long as `run` runs.

    Ask `write_timeout_s` (or `may_write`) immediately before each write is sent, with nothing awaited in between.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        times: Times = DEFAULT_TIMES,
        on_gained: Callable[[], None] = _nothing,
        on_lost: Callable[[], None] = _nothing,
        clock: Callable[[], float] = clock_s,
        wall_clock_ns: Callable[[], int] = time.time_ns,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare to stand for the Lease *name* in *namespace*.

        Args:
            api: The API server.
            namespace: Of the Lease.
            name: Of the Lease; it is created where it is missing.
            identity: Who we are, as of `own_identity`; no two processes may have the same.
            times: How long things last.
            on_gained: Called in the loop when writes may begin.
            on_lost: Called in the loop when they may not any more. It can come late, `may_write` never does.
            clock: Gives seconds; it may begin anywhere, but must not jump nor stand still.
            wall_clock_ns: Gives the Unix time that the Lease shows to people.
            rng: Spreads the pauses.

        Raises:
            ValueError: *times* are not in the order that makes the election safe.
        """
        self._api = api
        self._core = Election(namespace, name, identity, times, rng)
        self._lease = f"Lease {namespace}/{name}"
        self._times = times
        self._callbacks = {True: on_gained, False: on_lost}
        self._clock = clock
        self._wall_clock_ns = wall_clock_ns
        self._turn = asyncio.Lock()  # one request at a time
        self._ended = asyncio.Event()
        self._told_leads = False
        self._told_holder = ""
        self._told_trouble: tuple[int, str] | None = None

    @property
    def holder(self) -> str:
        """The identity of the leader as last seen; empty where there is none."""
        return self._core.holder

    @property
    def deadline(self) -> float:
        """When we cease to lead unless we renew, in seconds of the clock; minus infinity where we do not lead."""
        return self._core.deadline_s

    def may_write(self) -> bool:
        """Tell whether a write may begin now."""
        return self._core.leads(self._clock())

    def write_timeout_s(self) -> float:
        """Return the longest time-out for a write that begins now; 0 where none may begin.

        While we lead it is more than the difference of lease duration and renew deadline, 5 s by default.
        """
        return self._core.write_timeout_s(self._clock())

    async def run(self) -> None:
        """Stand for election, and lead, until released or cancelled. Faults of the server never end it.

        When it is cancelled we may write until `deadline`; others take over when the lease has run out.
        """
        while not self._ended.is_set():
            self._tell()  # if we were stopped, we say that we lost before we try to win again
            await self._exchange()
            self._tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._core.pause_s(self._clock())):
                    await self._ended.wait()

    async def release(self) -> None:
        """End `run`, and let the next leader begin at once. Takes at most half of the renew deadline.

        `may_write` is false from the call on. Call it when the last write has its answer: whoever comes next does not
        wait for it.
        """
        self._core.resign()
        self._ended.set()
        self._tell()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._times.call_timeout_s):
                for _ in range(RELEASE_REQUESTS):
                    if not await self._exchange():
                        return
        if self._core.may_hold:
            logger.warning("%s could not be released; the next leader waits until it runs out", self._lease)

    async def _exchange(self) -> bool:
        """Send what is to be asked and take the answer; false where nothing is to be asked any more."""
        async with self._turn:
            request = self._core.request(self._clock(), self._wall_clock_ns() // 1000)
            if request is None:
                return False
            try:
                answer = await self._api.request(
                    request.method, request.path, request.body, timeout_s=request.timeout_s
                )
            except ClusterError as error:
                self._core.unanswered(str(error))
                return True
            self._core.answered(answer.status, answer.body, self._clock())
            if answer.status == 401:
                with suppress(ClusterError, TimeoutError):  # the next attempt says what is wrong
                    async with asyncio.timeout(request.timeout_s):
                        await self._api.reauthenticate()
            return True

    def _tell(self) -> None:
        """Log what is new, each trouble once, and call back."""
        core = self._core
        if core.holder != self._told_holder:
            self._told_holder = core.holder
            logger.info("%s: %s", self._lease, f"held by {core.holder}" if core.holder else "nobody holds it")
        trouble = None if core.trouble is None else (core.trouble.status, core.trouble.verb)
        if trouble != self._told_trouble:
            self._told_trouble = trouble
            if core.trouble is None:
                logger.info("%s: it can be read and written again", self._lease)
            else:
                logger.warning("%s: %s; trying again", self._lease, core.trouble.text)
        leads = core.leads(self._clock())
        if leads != self._told_leads:
            self._told_leads = leads
            logger.info("%s: %s", self._lease, "this process leads" if leads else "this process leads no more")
            self._callbacks[leads]()
