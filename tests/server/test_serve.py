"""The server as its users run it: starting, answering under load and among drops, signals, and leaving."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.conftest import skip_or_fail
from tests.peers.process import free_port, wait_until
from tests.server.serving import (
    WEB_0,
    WEB_0_ADDRESS,
    Serving,
    children,
    command,
    environment,
    framed,
    has_ended,
    read_message,
    require_address,
)
from tests.support import header, question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAVE_S = 5
QUERY = header(0x1234, questions=1) + question(WEB_0)
RESPONSE_END = bytes((10, 244, 1, 10))
COUNTS = [pytest.param("1", id="one UDP worker"), pytest.param("2", id="two UDP workers")]


def addresses(response: dns.message.Message) -> list[str]:
    return [record.address for rrset in response.answer for record in rrset if record.rdtype == 1]


def run(*flags: str, around: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    return subprocess.run(
        [*around, *command(*flags)], env=environment(), capture_output=True, text=True, timeout=30, check=False
    )


# Starting


def test_a_second_server_on_the_port_stops() -> None:
    """A second server on the port ends with exit code 2 and one clear line, and the first goes on."""
    with Serving() as first:
        host, port = first.address
        for flags in (["--listen", f"{host}:{port}"], ["--listen", f"0.0.0.0:{port}"]):
            second = run(*flags)
            assert second.returncode == 2
            assert second.stdout == ""
            assert second.stderr == (
                f"cannot listen on {flags[1]}: another server is there; stop it, or choose another port with --listen\n"
            )
        assert addresses(first.udp()) == [WEB_0_ADDRESS]


def test_a_udp_port_of_another_program_is_not_taken() -> None:
    """Where another program has the UDP port the server ends with exit code 2, although TCP is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        port = free_port()
        other.bind(("127.0.0.1", port))
        ended = run("--listen", f"127.0.0.1:{port}")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"cannot listen on 127.0.0.1:{port}: another server is there")
    assert ended.stderr.count("\n") == 1


def without_rights() -> tuple[str, ...]:
    """Return a command that runs another one in a network of its own, without the right to bind low ports."""
    for program in ("unshare", "setpriv"):
        if not shutil.which(program):
            skip_or_fail(f"{program} is missing: apt-get install util-linux")
    unshare = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--net")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        skip_or_fail("no network namespace can be made: run as root, or with kernel.unprivileged_userns_clone=1")
    drop = "-net_bind_service"
    return (*unshare, "setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}")


def test_a_privileged_port_needs_a_right() -> None:
    """Port 53 without the right to bind it ends with exit code 2 and one line that names three ways out."""
    ended = run("--listen", "0.0.0.0:53", around=without_rights())
    assert ended.stderr == (
        "cannot listen on 0.0.0.0:53: ports below 1024 need a right that this user lacks; choose a port from 1024 on "
        "with --listen, or grant CAP_NET_BIND_SERVICE, or lower net.ipv4.ip_unprivileged_port_start\n"
    )
    assert ended.returncode == 2


def test_an_address_of_another_machine_stops() -> None:
    """An address that is not local ends with exit code 2 and one line."""
    ended = run("--listen", "192.0.2.1:1053")
    assert ended.returncode == 2
    assert ended.stderr == (
        "cannot listen on 192.0.2.1:1053: this machine has no such address; --listen wants one of its own\n"
    )


def test_port_0_is_said() -> None:
    """With port 0 the log names the port, and both protocols are there when it does."""
    with Serving("--listen", "127.0.0.2:0") as server:
        (first, one), (second, other) = server.addresses
        assert (first, second) == ("127.0.0.1", "127.0.0.2")
        for host, port in ((first, one), (second, other)):
            query = dns.message.make_query(WEB_0, "A")
            assert addresses(dns.query.udp(query, host, 5, port)) == [WEB_0_ADDRESS]
            assert addresses(dns.query.tcp(query, host, 5, port)) == [WEB_0_ADDRESS]


# Answering


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with Serving("--workers", "2") as server:
        yield server


ASKED = [
    pytest.param("0.0.0.0", "127.0.0.1", id="IPv4"),
    pytest.param("0.0.0.0", "127.0.0.7", id="IPv4, another address of the machine"),
    pytest.param("[::]", "::1", id="IPv6"),
]


@pytest.mark.parametrize(("listen", "asked"), ASKED)
def test_a_wildcard_replies_from_the_address_that_was_asked(listen: str, asked: str) -> None:
    """A client that takes responses only from where it asked gets one from a server on every address."""
    require_address(asked)
    with Serving(listen=f"{listen}:0") as server:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            family = socket.AF_INET6 if ":" in asked else socket.AF_INET
            with socket.socket(family, kind) as client:
                client.settimeout(5)
                client.connect((asked, server.address[1]))
                client.sendall(QUERY if kind is socket.SOCK_DGRAM else framed(QUERY))
                response = client.recv(512) if kind is socket.SOCK_DGRAM else read_message(client)
                assert response[-4:] == RESPONSE_END


def test_both_families_at_once() -> None:
    """``:PORT`` listens on IPv4 and IPv6."""
    require_address("::1")
    port = free_port()
    with Serving(listen=f":{port}") as server:
        assert server.addresses == [("0.0.0.0", port), ("::", port)]
        for host in ("127.0.0.1", "::1"):
            query = dns.message.make_query(WEB_0, "A")
            assert addresses(dns.query.udp(query, host, 5, port)) == [WEB_0_ADDRESS]
            assert addresses(dns.query.tcp(query, host, 5, port)) == [WEB_0_ADDRESS]


NEVER_ANSWERED = [b"", b"\x00", QUERY[:11], QUERY[:2] + b"\x80" + QUERY[3:], bytes(2) + b"\xff" * 500]
LISTENS = [
    pytest.param("127.0.0.1", id="IPv4"),
    pytest.param("0.0.0.0", id="IPv4 wildcard"),
    pytest.param("[::1]", id="IPv6"),
    pytest.param("[::]", id="IPv6 wildcard"),
]


@pytest.mark.parametrize("listen", LISTENS)
def test_what_is_dropped_in_a_batch_moves_no_answer(listen: str) -> None:
    """Of 300 datagrams that lie ready at once every third is dropped, and each query is answered to its asker."""
    asked = "::1" if ":" in listen else "127.0.0.1"
    require_address(asked)
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with Serving(listen=f"{listen}:0") as server, contextlib.ExitStack() as stack:
        (worker,) = server.workers("udp")
        for _ in range(2):  # the second time the slots have been used
            os.kill(worker, signal.SIGSTOP)  # so that they come as few batches
            clients = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(300)]
            for number, client in enumerate(clients):
                client.settimeout(5)
                client.connect((asked, server.address[1]))
                id = number.to_bytes(2, "big")
                client.send(id + QUERY[2:] if number % 3 else NEVER_ANSWERED[number % 5])
            os.kill(worker, signal.SIGCONT)
            for number, client in enumerate(clients):
                if number % 3:
                    response = client.recv(512)
                    assert (int.from_bytes(response[:2], "big"), response[-4:]) == (number, RESPONSE_END)
                else:
                    client.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        client.recv(512)


def test_both_udp_workers_answer(server: Serving) -> None:
    """With two workers queries from many ports are spread over both, which the kernel shows by their CPU time."""
    workers = server.workers("udp")
    assert len(workers) == 2
    before = [_cpu_ticks(pid) for pid in workers]
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        for _ in range(200):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(QUERY, ("127.0.0.1", server.address[1]))
                assert client.recv(512)[-4:] == RESPONSE_END
        if all(_cpu_ticks(pid) > ticks + 1 for pid, ticks in zip(workers, before, strict=True)):
            return
    raise AssertionError("one worker got nothing")


def _cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_garbage_is_no_reason_to_stop(server: Serving) -> None:
    """After 20,000 datagrams of noise over UDP, and noise over TCP, the same workers answer."""
    workers = server.workers()
    noise = os.urandom(1 << 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(20_000):
            at = number * 7 % 60_000
            client.sendto(noise[at : at + number % 600], ("127.0.0.1", server.address[1]))
    for number in range(50):
        with server.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(noise[number : number + 3000])
    for asked in (server.udp, server.tcp):
        assert patiently(asked) == [WEB_0_ADDRESS]
    assert server.workers() == workers


def patiently(asked: Callable[[], dns.message.Message]) -> list[str]:
    """Ask until an answer comes: behind a flood the kernel may drop a query, and a resolver would ask again."""
    for _ in range(10):
        with contextlib.suppress(dns.exception.Timeout):
            return addresses(asked())
    raise AssertionError("no answer to 10 queries")


def test_100_connections_a_client_and_2000_in_all(server: Serving) -> None:
    """100 connections of a client are taken and one more is not; 2,000 in all are taken and one more is not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with contextlib.ExitStack() as stack:
        for client in range(1, 21):
            for _ in range(100):
                stack.enter_context(server.connect(f"127.0.1.{client}"))
            if client in (1, 20):
                with server.connect(f"127.0.1.{client}") as one_too_many:
                    assert one_too_many.recv(1) == b""
        with server.connect("127.0.1.21") as one_too_many, contextlib.suppress(ConnectionResetError):
            assert one_too_many.recv(1) == b""
        with server.connect("127.0.1.1") as one_too_many, contextlib.suppress(ConnectionResetError):
            assert one_too_many.recv(1) == b""
        assert addresses(server.udp()) == [WEB_0_ADDRESS]

    def answers() -> bool:
        with contextlib.suppress(OSError, EOFError):
            return addresses(server.tcp()) == [WEB_0_ADDRESS]
        return False

    wait_until(answers, "connections are taken again", 5)


# Workers


@pytest.mark.parametrize("workers", COUNTS)
def test_every_worker_is_replaced_under_queries(workers: str) -> None:
    """While each worker in turn is killed queries are answered again within 3 s, and never with a denial."""
    with Serving("--workers", workers) as server:
        wrong: list[str] = []
        gaps: list[float] = []
        stop = threading.Event()

        def ask() -> None:
            last_s = time.monotonic()
            while not stop.is_set():
                with contextlib.suppress(OSError, dns.exception.Timeout):
                    response = server.udp(timeout_s=0.1)
                    if addresses(response) != [WEB_0_ADDRESS]:
                        wrong.append(response.to_text())
                    gaps.append(time.monotonic() - last_s)
                    last_s = time.monotonic()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for number, pid in enumerate(server.workers(), 1):
                os.kill(pid, signal.SIGKILL)
                server.await_log("was ended by SIGKILL", count=number)
                wait_until(lambda: len(server.workers()) == int(workers) + 1, "the worker is replaced", 5)
        finally:
            time.sleep(0.5)
            stop.set()
            thread.join()
        assert wrong == []
        assert max(gaps) < 3
        assert not [pid for pid in children(server.process.pid) if has_ended(pid)], "zombies"


@pytest.mark.parametrize("workers", COUNTS)
def test_workers_leave_when_the_parent_is_killed(workers: str) -> None:
    """After kill -9 of the parent every worker is gone within 1 s, and the port is free."""
    with Serving("--workers", workers) as server:
        pids = server.workers()
        assert len(pids) == int(workers) + 1
        server.process.kill()
        start_s = time.monotonic()
        wait_until(lambda: all(map(has_ended, pids)), "workers leave", 5, 0.01)
        assert time.monotonic() - start_s < 1
        with Serving(listen=f"127.0.0.1:{server.address[1]}") as next_server:
            assert addresses(next_server.tcp()) == [WEB_0_ADDRESS]
        assert "Traceback" not in server.logged()


def test_a_new_manifest_reaches_a_replaced_worker(tmp_path: Path) -> None:
    """What changed on disk while a worker was being replaced is answered by the new one."""
    manifest = tmp_path / "objects.yaml"
    text = SERVICE + SLICE.format(address="10.0.0.1")
    manifest.write_text(text)
    with Serving(manifests=manifest) as server:
        assert addresses(server.udp()) == ["10.0.0.1"]
        os.kill(server.workers("udp")[0], signal.SIGKILL)
        manifest.write_text(text.replace("10.0.0.1", "10.0.0.2"))

        def answered() -> bool:
            with contextlib.suppress(OSError, dns.exception.Timeout):
                return addresses(server.udp(timeout_s=0.1)) == ["10.0.0.2"]
            return False

        wait_until(answered, "the new address", 5)
        assert addresses(server.tcp()) == ["10.0.0.2"]


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: nginx, namespace: default}
spec: {clusterIP: None}
---
"""
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: nginx-1, namespace: default, labels: {{kubernetes.io/service-name: nginx}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}], hostname: web-0}}]
"""


# Signals


def ended(server: Serving) -> int:
    """Return the exit code of a server that is leaving, and see that it left nothing behind."""
    child = server.process._child
    assert child is not None
    return child.wait(LEAVE_S)


def test_sigterm_answers_on_and_then_ends() -> None:
    """After SIGTERM answers go on over both protocols until the lameduck time is over; the exit code is 0."""
    with Serving("--lameduck", "1") as server:
        workers = server.workers()
        os.kill(server.process.pid, signal.SIGTERM)
        start_s = time.monotonic()
        server.await_log("leaving: not ready any more, answering on for 1 s")
        answered = 0
        while time.monotonic() - start_s < 0.8:
            assert addresses(server.udp()) == [WEB_0_ADDRESS]
            assert addresses(server.tcp()) == [WEB_0_ADDRESS]
            answered += 1
        assert answered > 10
        assert ended(server) == 0
        assert 0.9 < time.monotonic() - start_s < 3
        assert all(map(has_ended, workers))
        assert "Traceback" not in server.logged()


@pytest.mark.parametrize("number", [pytest.param(one, id=one.name) for one in (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_cuts_the_wait_short(number: signal.Signals) -> None:
    """A second SIGTERM or SIGINT ends the lameduck time; the exit code is still 0."""
    with Serving("--lameduck", "60") as server:
        os.kill(server.process.pid, signal.SIGTERM)
        server.await_log("answering on for 60 s")
        os.kill(server.process.pid, number)
        assert ended(server) == 0


def test_ctrl_c_ends_the_server_and_nothing_else_is_said() -> None:
    """Ctrl-C, which goes to the whole process group, ends the server with exit code 0 and without a traceback."""
    with in_a_group() as (process, log):
        wait_until(lambda: "UDP and TCP" in log.read_text(), "the server is up", 30)
        workers = children(process.pid)
        assert len(workers) == 2
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(LEAVE_S) == 0
        assert all(map(has_ended, workers))
        lines = log.read_text().splitlines()
        assert lines[-1].endswith("leaving: not ready any more, answering on for 0 s")
        assert not [line for line in lines if "Traceback" in line or "KeyboardInterrupt" in line]


def test_signals_to_workers_are_for_the_parent(server: Serving) -> None:
    """SIGTERM, SIGINT and SIGHUP that reach workers (a service manager sends them to all) do not end them."""
    workers = server.workers()
    for pid in workers:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
    time.sleep(0.3)  # what does not happen cannot be awaited
    assert server.workers() == workers
    assert addresses(server.udp()) == addresses(server.tcp()) == [WEB_0_ADDRESS]


MOMENTS_S = (0.05, 0.2, 0.35, 0.45, 0.6, 0.8)


@pytest.mark.parametrize("number", [pytest.param(one, id=one.name) for one in (signal.SIGTERM, signal.SIGINT)])
def test_a_signal_while_starting_leaves_nothing_behind(number: signal.Signals) -> None:
    """Whenever a signal comes while the server starts, it ends soon, leaves no worker, and no worker complains."""
    for moment_s in MOMENTS_S:
        with in_a_group() as (process, log):
            time.sleep(moment_s)
            workers = children(process.pid)
            os.killpg(process.pid, number)
            code = process.wait(LEAVE_S)
            wait_until(lambda pids=workers: all(map(has_ended, pids)), "workers leave", 1)
            said = log.read_text()
            assert "headlessdns.server" not in said.replace("headlessdns.server.supervisor", ""), said
            if "UDP and TCP" in said:
                assert code == 0, said


@contextlib.contextmanager
def in_a_group() -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a server that leads a process group, as a shell does, and yield it with its log."""
    with tempfile.TemporaryDirectory(prefix="headlessdns-test-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command("--listen", "127.0.0.1:0"), stderr=stderr, env=environment(), process_group=0
            )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()
