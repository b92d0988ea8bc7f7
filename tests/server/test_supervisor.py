"""Workers that are started, fed, watched over and replaced: real processes below the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, cast

import dns.asyncquery
import dns.exception
import dns.message
import pytest

from headlessdns.server import framing, sockets
from headlessdns.server.framing import FrameKind, Setup
from headlessdns.server.supervisor import Patience, Supervisor
from tests.server.serving import children, command_line, descriptors, framed, has_ended, read_message
from tests.support import (
    IDENTITY,
    Cluster,
    copied,
    endpoint,
    endpoint_slice,
    external,
    header,
    namespace,
    question,
    service,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from headlessdns.cluster.objects import Object
    from headlessdns.wire.answers import Delta

WEB_0 = "web-0.nginx.default.svc.cluster.local"
DEADLINE_S = 15
COUNTS = [pytest.param(1, id="one UDP worker"), pytest.param(2, id="two UDP workers")]
KINDS = [pytest.param("udp", id="UDP"), pytest.param("stream", id="stream")]


def web(address: str) -> Object:
    """Return the slice that gives web-0 its *address*."""
    return endpoint_slice(endpoints=[endpoint(address, "web-0")])


class Supervised:
    """A supervisor with its workers, and the cluster that feeds them."""

    def __init__(self, udp_workers: int, patience: Patience) -> None:
        self.cluster = Cluster(namespace(), service(), web("10.0.0.1"))
        self.listeners = sockets.bind_listeners([("127.0.0.1", 0)])
        self.address = cast("tuple[str, int]", self.listeners[0].getsockname())
        self.supervisor = Supervisor(
            Setup(IDENTITY, (self.address,)), self.listeners, udp_workers, self.whole_table, patience
        )

    def whole_table(self) -> Iterator[Delta]:
        names = list(self.cluster.zones.all_names())
        for at in range(0, len(names), 3):
            yield copied(self.cluster.composer.delta(self.cluster.state(), names[at : at + 3], with_borrowers=False))

    def put(self, *objects: Object) -> None:
        """Make one step of *objects* and publish it."""
        commit = self.cluster.put(*objects)
        self.supervisor.publish(self.cluster.composer.delta(self.cluster.state(), commit.names))

    def workers(self, kind: str = "") -> list[int]:
        """Return the process ids of the workers, ``udp`` or ``stream`` or all."""
        return [pid for pid in children(os.getpid()) if f"headlessdns.server.{kind}" in command_line(pid)]

    async def ask(self, kind: str = "udp", qname: str = WEB_0, timeout_s: float = 5) -> list[str]:
        """Return the addresses of *qname* over UDP or TCP from a port of its own."""
        query = dns.message.make_query(qname, "A")
        send = dns.asyncquery.udp if kind == "udp" else dns.asyncquery.tcp
        response = await send(query, self.address[0], timeout_s, self.address[1])
        return [record.to_text() for rrset in response.answer for record in rrset]

    async def answers(self, kind: str = "udp") -> bool:
        """Tell whether a query is answered soon."""
        with contextlib.suppress(OSError, EOFError, dns.exception.Timeout):
            return bool(await self.ask(kind, timeout_s=0.2))
        return False

    async def until(self, check: Callable[[], object], what: str) -> float:
        """Wait until *check* gives something true and return the seconds that it took."""
        start_s = time.monotonic()
        while time.monotonic() - start_s < DEADLINE_S:
            if check():
                return time.monotonic() - start_s
            await asyncio.sleep(0.01)
        raise AssertionError(f"waited in vain: {what}")

    async def until_complete(self, restarts: int) -> float:
        """Wait until *restarts* workers have been replaced and all answer."""
        return await self.until(
            lambda: self.supervisor.restarts >= restarts and self.supervisor.is_complete(), "every worker answers"
        )


@contextlib.asynccontextmanager
async def supervised(udp_workers: int = 1, patience: Patience | None = None) -> AsyncIterator[Supervised]:
    one = Supervised(udp_workers, patience or Patience())
    try:
        await one.supervisor.start()
        assert await one.supervisor.wait_complete(DEADLINE_S)
        yield one
    finally:
        await one.supervisor.stop()
        for listener in one.listeners:
            listener.close()


def run(test: Callable[[Supervised], Awaitable[None]], udp_workers: int = 1, patience: Patience | None = None) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), supervised(udp_workers, patience) as one:
            await test(one)

    asyncio.run(main())


# Starting and feeding


@pytest.mark.parametrize("udp_workers", COUNTS)
def test_every_worker_has_the_table_and_each_step(udp_workers: int) -> None:
    """All workers answer from the whole table, and from each step that is published after it."""

    async def test(one: Supervised) -> None:
        assert len(one.workers("udp")) == udp_workers
        assert len(one.workers("stream")) == 1
        for turn, address in enumerate(["10.0.0.1", "10.0.0.2", "10.0.0.3"]):
            if turn:
                one.put(web(address))
            # The kernel spreads clients over the workers by their ports.
            seen = [await one.ask(kind) for kind in ["udp"] * 16 + ["tcp"] * 4]
            assert seen == [[address]] * 20
        assert one.supervisor.restarts == 0

    run(test, udp_workers)


def test_a_worker_binds_when_its_table_is_complete() -> None:
    """A worker with half a table has no UDP socket, so nobody gets a wrong denial from it."""
    cluster = Cluster(namespace(), service(), web("10.0.0.1"))
    listener = sockets.bind_listeners([("127.0.0.1", 0)])[0]
    address = listener.getsockname()
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "headlessdns.server.udp", str(theirs.fileno())]
    with ours, listener, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        try:
            theirs.close()
            ours.settimeout(DEADLINE_S)
            ours.sendall(framing.encode(FrameKind.SETUP, Setup(IDENTITY, (address,))))
            names = list(cluster.zones.all_names())
            ours.sendall(framing.encode(FrameKind.DELTA, cluster.composer.delta(cluster.state(), names)))
            assert ours.recv(100) == framing.encode(FrameKind.REPORT)  # it loads
            time.sleep(0.3)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(address)  # without SO_REUSEPORT: nobody else has it
            ours.sendall(framing.encode(FrameKind.COMPLETE))
            while len(ours.recv(10_000)) < 20:
                pass  # a report with counters says that it answers
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(DEADLINE_S)
                client.sendto(header(1, questions=1) + question(WEB_0), address)
                assert client.recv(512)[-4:] == bytes((10, 0, 0, 1))
            ours.close()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def test_a_stream_worker_leaves_without_a_word() -> None:
    """A stream worker that has reported for a while ends with exit code 0 and says nothing when its feed ends."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "headlessdns.server.stream", str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as process:
        try:
            theirs.close()
            ours.settimeout(DEADLINE_S)
            ours.sendall(framing.encode(FrameKind.SETUP, Setup(IDENTITY, ())) + framing.encode(FrameKind.COMPLETE))
            for _ in range(4):  # reports in an interval each, the wait between them given up as often
                assert ours.recv(10_000)
            ours.close()
            _, said = process.communicate(timeout=DEADLINE_S)
            assert (process.returncode, said) == (0, b"")
        finally:
            process.kill()


def test_workers_find_modules_where_we_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file in the working directory is not taken for a module of the program."""
    folder = tmp_path_factory.mktemp("cwd")
    (folder / "msgspec.py").write_text("raise SystemExit('the wrong module')")

    async def test(one: Supervised) -> None:
        assert await one.ask() == ["10.0.0.1"]

    with contextlib.chdir(folder):
        run(test)


# Replacing


@pytest.mark.parametrize("udp_workers", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_dies_is_replaced_while_others_answer(
    kind: str, udp_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """After kill -9 of any worker the others go on at once, and it is replaced within 3 s."""

    async def test(one: Supervised) -> None:
        other = "stream" if kind == "udp" else "udp"
        for number, pid in enumerate(one.workers(kind)):
            os.kill(pid, signal.SIGKILL)
            assert await one.ask(other) == ["10.0.0.1"]
            assert await one.until_complete(number + 1) < 3
            assert await one.ask(kind) == ["10.0.0.1"]
            assert pid not in one.workers()
            assert f"the {kind} worker was ended by SIGKILL; a new one starts in 0.1 s" in caplog.text

    run(test, udp_workers, Patience(last_restart_s=0.1))


def test_a_new_worker_has_the_steps_that_it_missed() -> None:
    """What changes while a worker is being replaced is in the new one's table."""

    async def test(one: Supervised) -> None:
        os.kill(one.workers("udp")[0], signal.SIGKILL)
        for number in range(2, 60):
            one.put(web(f"10.0.0.{number}"))
            await asyncio.sleep(0.02)
        await one.until_complete(1)
        assert await one.ask() == ["10.0.0.59"]

    run(test)


def test_connections_in_the_queue_outlive_the_stream_worker() -> None:
    """A client that connects while no stream worker is there waits, and is answered by the next one."""

    async def test(one: Supervised) -> None:
        (pid,) = one.workers("stream")
        os.kill(pid, signal.SIGKILL)
        await one.until(lambda: has_ended(pid), "the worker has ended")
        with socket.create_connection(one.address, 1) as client:
            client.sendall(framed(header(5, questions=1) + question(WEB_0)))
            client.settimeout(DEADLINE_S)
            assert (await asyncio.to_thread(read_message, client))[-4:] == bytes((10, 0, 0, 1))

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_hangs_is_replaced(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that is stopped, and so silent for 2 s, is replaced within 4 s."""

    async def test(one: Supervised) -> None:
        (pid,) = one.workers(kind)
        os.kill(pid, signal.SIGSTOP)
        taken_s = await one.until_complete(1)
        assert 1.4 < taken_s < 4
        assert await one.ask(kind) == ["10.0.0.1"]
        assert pid not in one.workers()
        assert f"the {kind} worker has been silent for 2 s" in caplog.text

    run(test)


def test_a_worker_that_does_not_take_its_feed_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose feed fills is replaced before its silence would be noticed; the steps are in the new one."""

    async def test(one: Supervised) -> None:
        (pid,) = one.workers("udp")
        os.kill(pid, signal.SIGSTOP)
        hosts = [endpoint(f"10.1.{host // 200}.{host % 200}", f"web-{host}") for host in range(500)]
        commit = one.cluster.put(endpoint_slice(endpoints=hosts))
        step = one.cluster.composer.delta(one.cluster.state(), commit.names)
        for _ in range(100):  # more than a socket pair holds
            one.supervisor.publish(step)
        assert await one.until_complete(1) < 8
        assert "the udp worker does not take its feed" in caplog.text
        assert await one.ask() == ["10.1.0.0"]
        assert await one.ask("tcp") == ["10.1.0.0"]
        assert one.supervisor.restarts == 1

    run(test, patience=Patience(heartbeat_s=60, feed_octets=1 << 20, behind_s=0.5))


def test_our_own_absence_is_no_silence_of_workers() -> None:
    """When parent and worker were stopped together (a laptop that slept, a paused container) no worker is replaced."""

    async def test(one: Supervised) -> None:
        pids = one.workers()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.2)  # noqa: ASYNC251  # the loop is to stand still
        # The workers come back a moment later than we do.
        asyncio.get_running_loop().call_later(0.2, lambda: [os.kill(pid, signal.SIGCONT) for pid in pids])
        await asyncio.sleep(1.2)
        assert one.supervisor.restarts == 0
        assert one.workers() == pids
        assert await one.ask() == ["10.0.0.1"]

    run(test)


def test_a_long_step_of_ours_is_no_silence_of_workers() -> None:
    """When the parent is busy for longer than a heartbeat no worker is replaced."""

    async def test(one: Supervised) -> None:
        time.sleep(1.3)  # noqa: ASYNC251  # the loop is to stand still
        await asyncio.sleep(0.6)
        assert one.supervisor.restarts == 0

    run(test, patience=Patience(heartbeat_s=1))


def test_a_worker_has_more_time_for_its_first_word(caplog: pytest.LogCaptureFixture) -> None:
    """A new worker may be silent for longer than one that has spoken, and not for ever."""

    async def main() -> None:
        one = Supervised(1, Patience(start_s=3, heartbeat_s=1))
        try:
            await one.supervisor.start()
            (pid,) = one.workers("udp")
            os.kill(pid, signal.SIGSTOP)
            assert 2.5 < await one.until(lambda: pid not in one.workers("udp"), "the worker is replaced") < 6
            assert "the udp worker has been silent for 3 s" in caplog.text
        finally:
            await one.supervisor.stop()
            for listener in one.listeners:
                listener.close()

    asyncio.run(main())


# Starting fails


def test_a_worker_that_cannot_bind_is_tried_again_with_patience(caplog: pytest.LogCaptureFixture) -> None:
    """While another program has the UDP port a worker is tried again after doubled pauses; once it is free it runs."""

    async def main() -> None:
        one = Supervised(1, Patience(first_restart_s=0.2, last_restart_s=0.8))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
                thief.bind(one.address)
                await one.supervisor.start()
                await one.until(lambda: one.supervisor.restarts == 4, "the fourth restart")
                pauses = [record.message.rpartition("starts ")[2] for record in caplog.records]
                assert pauses[:4] == ["in 0.2 s", "in 0.4 s", "in 0.8 s", "in 0.8 s"]
                assert await one.ask("tcp") == ["10.0.0.1"]
            await one.until_complete(4)
            assert await one.ask() == ["10.0.0.1"]
        finally:
            await one.supervisor.stop()
            for listener in one.listeners:
                listener.close()

    asyncio.run(main())


def test_a_worker_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no process can be had (no memory, no descriptors) it is tried again until it can."""

    async def test(one: Supervised) -> None:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        os.kill(one.workers("udp")[0], signal.SIGKILL)
        await one.until(lambda: caplog.text.count("no worker can be started: No such file") >= 2, "two attempts")
        assert await one.ask("tcp") == ["10.0.0.1"]
        monkeypatch.undo()
        await one.until_complete(1)
        assert await one.ask() == ["10.0.0.1"]

    run(test)


# Counting


def test_counters_outlive_their_worker() -> None:
    """The sums by protocol go on growing when a worker is replaced."""

    async def test(one: Supervised) -> None:
        def counted() -> int:
            report = one.supervisor.reports().get("udp")
            return sum(report.by_kind.values()) if report else 0

        for round_ in range(1, 4):
            for _ in range(5):
                await one.ask()
            await one.until(lambda expected=5 * round_: counted() == expected, "every query is counted")
            os.kill(one.workers("udp")[0], signal.SIGKILL)
            await one.until_complete(round_)
        assert counted() == 15

    run(test)


# Leaving


def test_nothing_is_left_behind() -> None:
    """When the supervisor has stopped its workers are gone, and its descriptors closed."""
    before = descriptors(os.getpid())

    async def test(one: Supervised) -> None:
        with_workers = descriptors(os.getpid())
        for number in range(1, 6):
            os.kill(one.workers("udp")[0], signal.SIGKILL)
            await one.until_complete(number)
        assert descriptors(os.getpid()) == with_workers

    run(test, patience=Patience(last_restart_s=0.1))
    assert descriptors(os.getpid()) == before
    assert not [pid for pid in children(os.getpid()) if "headlessdns.server" in command_line(pid)]


def test_a_worker_that_hangs_does_not_keep_us(caplog: pytest.LogCaptureFixture) -> None:
    """When we leave, a worker that does not is killed after a second."""
    start_s = 0.0

    async def test(one: Supervised) -> None:
        nonlocal start_s
        os.kill(one.workers("udp")[0], signal.SIGSTOP)
        start_s = time.monotonic()

    run(test)
    assert time.monotonic() - start_s < 3
    assert not [pid for pid in children(os.getpid()) if "headlessdns.server" in command_line(pid)]


def test_we_may_leave_while_a_worker_is_being_replaced() -> None:
    """Leaving between the end of a worker and the start of the next one leaves nothing behind."""

    async def test(one: Supervised) -> None:
        os.kill(one.workers("udp")[0], signal.SIGKILL)
        await one.until(lambda: one.supervisor.restarts == 1, "the restart has begun")

    run(test, patience=Patience(first_restart_s=5))
    assert not [pid for pid in children(os.getpid()) if "headlessdns.server" in command_line(pid)]


# Names outside our zones


def published(*objects: Object, resolver: tuple[str, int] | None = None) -> Supervisor:
    """Return a supervisor without workers that was given the whole table of *objects*, twice."""
    cluster = Cluster(namespace(), *objects)
    supervisor = Supervisor(Setup(IDENTITY, (), (), resolver), [], 1, lambda: iter(()))
    for _ in range(2):
        supervisor.publish(cluster.composer.delta(cluster.state(), list(cluster.zones.all_names())))
    return supervisor


WITHOUT_RESOLVER = (
    "db.default.svc.cluster.local. is a CNAME to db.example.com., which is not ours: without --resolver only the CNAME "
    "is sent, for this name and any other such; clients behind a forwarder then find no address"
)


def test_a_name_that_leads_outside_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without a resolver the log says once that only the CNAME is sent, and names one that it is so for."""
    with caplog.at_level(logging.WARNING):
        published(external("db", "db.example.com"))
    assert [record.message for record in caplog.records] == [WITHOUT_RESOLVER]


SILENT = [
    pytest.param([external("db", "db.example.com")], ("127.0.0.1", 53), id="a resolver is set"),
    pytest.param([service(), web("10.0.0.1")], None, id="no ExternalName"),
    pytest.param([service(), web("10.0.0.1"), external("db", WEB_0)], None, id="a target of ours"),
    pytest.param([external("db", "no.default.svc.cluster.local")], None, id="a target of ours that is not there"),
]


@pytest.mark.parametrize(("objects", "resolver"), SILENT)
def test_nothing_is_said_where_every_name_can_be_followed(
    objects: list[Object], resolver: tuple[str, int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a resolver is set, or no name leads outside, the log says nothing."""
    published(*objects, resolver=resolver)
    assert caplog.records == []
