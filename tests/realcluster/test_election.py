"""Leader election on a real kube-apiserver, with short times."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headlessdns.cluster.client import connect
from headlessdns.controller.election import Elector, Times, clock_s
from tests.cluster.waiting import until
from tests.peers.process import wait_until
from tests.realcluster.cluster import ApiError, RealCluster

SHORT = Times(lease_duration_s=3, renew_deadline_s=2.0, retry_s=0.4)
NAME = "controller"


def lease_path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}"


class Candidate:
    """An elector with a connection of its own, and when it gained and lost."""

    def __init__(self, api: Any, namespace: str, identity: str) -> None:
        self.api = api
        self.told: list[tuple[str, float]] = []
        self.elector = Elector(
            api,
            namespace,
            NAME,
            identity,
            times=SHORT,
            on_gained=lambda: self.told.append(("gained", clock_s())),
            on_lost=lambda: self.told.append(("lost", clock_s())),
        )
        self.task = asyncio.create_task(self.elector.run())

    async def kill(self) -> None:
        """End it without a word to the server."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def candidates(kubeconfig: Path, namespace: str, *identities: str) -> AsyncIterator[list[Candidate]]:
    found = [Candidate(await connect(kubeconfig), namespace, identity) for identity in identities]
    try:
        yield found
    finally:
        for candidate in found:
            await candidate.kill()
            await candidate.api.close()


def elect(
    cluster: RealCluster, namespace: str, talk: Callable[[Candidate, Candidate], Awaitable[None]]
) -> dict[str, Any]:
    """Let *talk* go on with a leader and another candidate, and return the spec of the Lease behind it."""

    async def run() -> None:
        async with candidates(cluster.kubeconfig, namespace, "a", "b") as both:
            await until(lambda: any(one.told for one in both))
            both.sort(key=lambda one: not one.told)
            leader, other = both
            await until(lambda: other.elector.holder)
            assert leader.elector.may_write()
            assert not other.elector.may_write()
            await talk(leader, other)

    asyncio.run(run())
    spec: dict[str, Any] = cluster.request("GET", lease_path(namespace))["spec"]
    return spec


def test_one_of_two_leads(real_cluster: RealCluster, namespace: str) -> None:
    """Of two that begin together one leads, and longer than a lease lasts."""

    async def talk(leader: Candidate, other: Candidate) -> None:
        await asyncio.sleep(4)
        assert leader.elector.may_write()
        assert [what for what, _ in leader.told] == ["gained"]
        assert other.told == []

    spec = elect(real_cluster, namespace, talk)
    assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (3, 0)
    assert spec["acquireTime"] < spec["renewTime"]


def test_hand_over_on_release(real_cluster: RealCluster, namespace: str) -> None:
    """A released Lease goes to the other one within about the retry period."""

    async def talk(leader: Candidate, other: Candidate) -> None:
        released_s = clock_s()
        await leader.elector.release()
        await leader.task
        await until(lambda: other.told)
        [(what, at_s)] = other.told
        assert what == "gained"
        assert at_s - released_s < 2.0  # far below the lease, and with patience for a busy machine
        assert not leader.elector.may_write()

    assert elect(real_cluster, namespace, talk)["leaseTransitions"] == 1


def test_last_release_leaves_no_holder(real_cluster: RealCluster, namespace: str) -> None:
    """The API server takes the released Lease as it is written: without a holder, for one second."""

    async def talk(leader: Candidate, other: Candidate) -> None:
        await other.elector.release()
        await leader.elector.release()

    spec = elect(real_cluster, namespace, talk)
    assert spec.get("holderIdentity", "") == ""
    assert spec["leaseDurationSeconds"] == 1


def test_hand_over_on_kill(real_cluster: RealCluster, namespace: str) -> None:
    """The Lease of a leader that is gone goes to the other one when it has run out, and no sooner."""

    async def talk(leader: Candidate, other: Candidate) -> None:
        await leader.kill()
        deadline = leader.elector.deadline
        await until(lambda: other.told, 3 + 2 * 0.4 + 5)
        [(_, at_s)] = other.told
        assert at_s >= deadline + 1  # the lease lasts a second longer than the renew deadline
        assert not leader.elector.may_write()

    assert elect(real_cluster, namespace, talk)["leaseTransitions"] == 1


def test_deleted_lease_is_created_by_its_holder(real_cluster: RealCluster, namespace: str) -> None:
    """When the Lease is deleted its holder creates it again and leads on."""

    async def talk(leader: Candidate, other: Candidate) -> None:
        await asyncio.to_thread(real_cluster.request, "DELETE", lease_path(namespace))

        def exists() -> bool:
            try:
                return bool(real_cluster.request("GET", lease_path(namespace)))
            except ApiError:
                return False

        await asyncio.to_thread(wait_until, exists, "the Lease again", 10)
        assert [what for what, _ in leader.told] == ["gained"]
        assert other.told == []

    elect(real_cluster, namespace, talk)


def test_api_server_that_is_away(real_cluster: RealCluster, namespace: str) -> None:
    """While the API server is away nobody leads; when it is back one does."""

    async def talk(leader: Candidate, other: Candidate) -> None:
        await asyncio.to_thread(real_cluster.stop_apiserver)
        try:
            await until(lambda: [what for what, _ in leader.told] == ["gained", "lost"])
            await asyncio.sleep(2)
            assert not leader.elector.may_write()
            assert not other.elector.may_write()
        finally:
            real_cluster.start_apiserver()  # in this thread: a child ends with the one that started it
        await until(lambda: leader.elector.may_write() or other.elector.may_write(), 20)
        assert not (leader.elector.may_write() and other.elector.may_write())

    elect(real_cluster, namespace, talk)


# Says at each line of its input whether it may write, the first time when it may.
CHILD = """
import asyncio, sys
from pathlib import Path
from headlessdns.cluster.client import connect
from headlessdns.controller.election import Elector, Times

async def main(kubeconfig, namespace, name):
    api = await connect(Path(kubeconfig))
    elector = Elector(
        api, namespace, name, "child", times=Times(3, 2.0, 0.4), on_gained=lambda: print(True, flush=True)
    )
    def answer():
        sys.stdin.readline()
        print(elector.may_write(), flush=True)
    asyncio.get_running_loop().add_reader(sys.stdin, answer)
    await elector.run()

asyncio.run(main(*sys.argv[1:]))
"""


def test_stopped_process_does_not_write_when_it_wakes(real_cluster: RealCluster, namespace: str) -> None:
    """A leader that is stopped by SIGSTOP, and wakes when another leads, begins no write."""

    async def run() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            str(real_cluster.kubeconfig),
            namespace,
            NAME,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            async with asyncio.timeout(60):
                assert await child.stdout.readline() == b"True\n"
                async with candidates(real_cluster.kubeconfig, namespace, "other") as [other]:
                    await until(lambda: other.elector.holder == "child")
                    child.stdin.write(b"\n")
                    assert await child.stdout.readline() == b"True\n"
                    os.kill(child.pid, signal.SIGSTOP)
                    child.stdin.write(b"\n")  # waits there for the moment when it wakes
                    await until(other.elector.may_write, 20)
                    os.kill(child.pid, signal.SIGCONT)
                    assert await child.stdout.readline() == b"False\n"
                    await asyncio.sleep(1)
                    child.stdin.write(b"\n")
                    assert await child.stdout.readline() == b"False\n"
                    assert other.elector.may_write()
        finally:
            child.kill()
            await child.wait()

    asyncio.run(run())


def test_missing_right_is_named(real_cluster: RealCluster, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """What RBAC forbids is told with its verb and the rule that grants it, and the election goes on when it does."""
    where = f"--namespace={namespace}"
    real_cluster.kubectl("create", "serviceaccount", "controller", where)
    kubeconfig = real_cluster.service_account_kubeconfig(namespace, "controller")

    def grant() -> None:
        role = ["--verb=get,create,update", "--resource=leases.coordination.k8s.io"]
        real_cluster.kubectl("create", "role", "controller", where, *role)
        subject = f"--serviceaccount={namespace}:controller"
        real_cluster.kubectl("create", "rolebinding", "controller", where, "--role=controller", subject)

    async def run() -> None:
        async with candidates(kubeconfig, namespace, "a") as [a]:
            await until(lambda: caplog.messages)
            assert not a.elector.may_write()
            await asyncio.to_thread(grant)
            await until(a.elector.may_write, 20)

    caplog.set_level(logging.INFO, logger="headlessdns")
    asyncio.run(run())
    start = f"Lease {namespace}/controller: the API server forbids get of leases.coordination.k8s.io controller "
    rule = '{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"]}'
    assert caplog.messages[0].startswith(f"{start}in namespace {namespace} (")
    assert caplog.messages[0].endswith(f"to grant it add to the Role in namespace {namespace}: {rule}; trying again")
    assert f"Lease {namespace}/controller: this process leads" in caplog.messages
