"""Whole controllers on an API server in memory: when they begin, what they leave alone, how they leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from headlessdns.cluster.answer import Answer
from headlessdns.controller import run as controller_run
from headlessdns.controller.election import Elector, Times
from headlessdns.controller.model import SetKind
from headlessdns.controller.run import Controller
from headlessdns.errors import ClusterError
from tests.cluster.waiting import until
from tests.controller.memory_api import MemoryClient, MemoryServer, refusal
from tests.controller.support import PARALLEL, raw_set

Json = dict[str, Any]
SETS = "/apis/apps/v1/namespaces/default/statefulsets"
ORDINAL_SETS = "/apis/headlessdns.io/v1alpha1/namespaces/default/ordinalsets"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/controller"
BOTH, OURS = frozenset(SetKind), frozenset({SetKind.ORDINAL_SET})


def web(kind: str = "StatefulSet", **spec: Any) -> Json:
    raw = {**raw_set(**{"replicas": 2, **spec}), "kind": kind, "status": {}}
    raw["metadata"] = {**raw["metadata"], "uid": f"uid-of-{kind}"}
    return raw


class Kubelet:
    """Lets pods of a server become ready."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self._server.run_kubelet()
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        self._task.cancel()


class Forbidding(MemoryClient):
    """A client that may not list and watch some kinds."""

    def __init__(self, server: MemoryServer, *forbidden: str) -> None:
        super().__init__(server)
        self.forbidden = set(forbidden)

    def get(self, path: str, query: Any) -> Any:
        plural = path.rpartition("/")[2]
        if plural not in self.forbidden:
            return super().get(path, query)
        return _Refusal(plural)


class _Refusal:
    """A reply that says no."""

    status = 403
    retry_after = ""

    def __init__(self, plural: str) -> None:
        self._message = f'{plural} is forbidden: User "a" cannot list resource "{plural}"'

    async def __aenter__(self) -> _Refusal:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def body(self) -> bytes:
        return msgspec.json.encode({"kind": "Status", "code": 403, "message": self._message})


def play(talk: Callable[[MemoryServer, Controller, asyncio.Event], Awaitable[None]], **options: Any) -> MemoryServer:
    """Let *talk* go on with a controller that runs, and return the server behind its end."""
    server = MemoryServer()

    async def run() -> None:
        options.setdefault("qps", 0)
        client = options.pop("client", MemoryClient)(server)
        if options.pop("elect", False):
            times = Times(lease_duration_s=3, renew_deadline_s=2.0, retry_s=0.2)
            options["elector"] = lambda gained, lost: Elector(
                client, "default", "controller", "us", times=times, on_gained=gained, on_lost=lost
            )
        controller = Controller(client, **options)
        leave = asyncio.Event()
        kubelet = Kubelet(server)
        task = asyncio.create_task(controller.run(leave))
        try:
            await asyncio.wait_for(talk(server, controller, leave), 20)
        finally:
            leave.set()
            await asyncio.wait_for(task, 20)
            kubelet.stop()

    asyncio.run(run())
    return server


def ready_pods(server: MemoryServer) -> list[str]:
    return sorted(name for name, pod in server.of("pods").items() if pod.get("status", {}).get("phase") == "Running")


def test_sets_of_both_kinds_are_reconciled() -> None:
    """What is there at the start and what comes later becomes as it is wanted, of either kind."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: ready_pods(server) == ["web-0", "web-1"])
        db = web("OrdinalSet")
        db["apiVersion"] = "headlessdns.io/v1alpha1"
        db["metadata"] = {**db["metadata"], "name": "db", "namespace": "default"}
        server.add(ORDINAL_SETS, db)
        await until(lambda: ready_pods(server) == ["db-0", "db-1", "web-0", "web-1"])

    server = play(talk)
    assert server.of("statefulsets")["web"]["status"]["readyReplicas"] == 2


def test_one_namespace_only() -> None:
    """With a namespace given, the requests and the sets of others are none of ours."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        await until(lambda: controller.is_ready)
        assert {status.namespace for status in controller.statuses} == {"default", "prod"}
        assert len(controller.statuses) == 12

    play(talk, namespaces=["default", "prod", "default"])


# Ready or not


def test_missing_rights_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """A kind that is needed and forbidden is told once with the rule that grants it, and nothing is done."""
    caplog.set_level(logging.INFO)

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: "pods (forbidden)" in controller.not_ready)
        assert controller.not_ready == "the API server does not give pods (forbidden)"
        assert not controller.is_ready
        await asyncio.sleep(0.1)
        assert server.sent == []

    play(talk, client=lambda server: Forbidding(server, "pods"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert 'cannot list resource "pods"); nothing is done; to grant it add to the ClusterRole: ' in warnings[0]
    assert warnings[0].endswith('{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}')


def test_services_can_be_done_without(caplog: pytest.LogCaptureFixture) -> None:
    """Services are looked at, where they may be, and needed for nothing."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: ready_pods(server) == ["web-0", "web-1"])
        assert controller.is_ready

    play(talk, client=lambda server: Forbidding(server, "services"))
    assert "whether governing Services fit is not known" in caplog.text


def test_what_is_not_listed_yet() -> None:
    """Before the lists are there the reason names the kinds that are missing."""
    controller = Controller(MemoryClient(MemoryServer()), namespaces=["default"])
    assert controller.not_ready == "not begun yet"
    controller._watches()
    assert controller.not_ready == (
        "not listed yet: statefulsets in namespace default, ordinalsets in namespace default, pods in namespace "
        "default, persistentvolumeclaims in namespace default, controllerrevisions in namespace default, services in "
        "namespace default"
    )


# Who else reconciles StatefulSets


def quick_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CANARY_S", "CANARY_RETRY_S", "CANARY_AGAIN_S"):
        monkeypatch.setattr(controller_run, name, 0.2)
    monkeypatch.setattr(controller_run, "CANARY_LOOK_S", 0.02)


def adopt_canaries(server: MemoryServer) -> None:
    """Be a StatefulSet controller."""
    for name in server.of("statefulsets"):
        if name.startswith("headlessdns-canary-"):
            server.change(f"{SETS}/{name}", {"status": {"observedGeneration": 1}})


def canaries(server: MemoryServer) -> list[str]:
    return [name for name in server.of("statefulsets") if name.startswith("headlessdns-canary-")]


def test_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks after the canary StatefulSets are ours; the canary is gone, and was not reconciled by us."""
    quick_canary(monkeypatch)

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: ready_pods(server) == ["web-0", "web-1"])
        assert controller.syncer.kinds == BOTH
        assert controller.rival == ""

    server = play(talk, statefulsets="auto")
    assert list(server.of("statefulsets")) == ["web"]
    made = [one.body for one in server.sent if one.method == "POST" and one.path == SETS]
    assert [one["spec"]["replicas"] for one in made] == [0]
    assert [name.rpartition("-")[0] for name in server.of("controllerrevisions")] == ["web"]


def test_somebody_else(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where the cluster's own controller is on, StatefulSets are left alone and the log and an event say why;

    OrdinalSets are reconciled all the same, and StatefulSets, too, once it is off.
    """
    quick_canary(monkeypatch)

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        def faults(method: str, path: str, do: Any) -> None:
            if method == "GET":
                adopt_canaries(server)

        server.faults = faults
        server.add(SETS, web())
        await until(lambda: controller.rival)
        assert controller.rival.startswith("the cluster's own StatefulSet controller is on; start kube-controller-ma")
        assert controller.syncer.kinds == OURS
        assert server.of("pods") == {}
        await until(lambda: server.of("events"))
        server.faults = lambda method, path, do: None
        await until(lambda: ready_pods(server) == ["web-0", "web-1"])
        assert controller.rival == ""

    server = play(talk, statefulsets="auto")
    assert caplog.text.count("only OrdinalSets are reconciled") == 1
    reasons = [one["reason"] for one in server.of("events").values() if "StatefulSets" in one["reason"]]
    assert reasons == ["StatefulSetsNotReconciled"]
    assert canaries(server) == []


REFUSED = [
    pytest.param(
        "POST", 403, "the canary StatefulSet cannot be created in default (HTTP 403)", id="creation forbidden"
    ),
    pytest.param("POST", 404, "the canary StatefulSet cannot be created in default (HTTP 404)", id="no namespace"),
    pytest.param("GET", 403, "the canary StatefulSet cannot be read in default (HTTP 403)", id="reading forbidden"),
    pytest.param("GET", 404, "it cannot be read: no", id="deleted by somebody"),
    pytest.param("POST", 500, "it cannot be created: no", id="server broken"),
]


@pytest.mark.parametrize(("method", "status", "reason"), REFUSED)
def test_canary_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, method: str, status: int, reason: str) -> None:
    """Where the canary cannot be looked after, StatefulSets are left alone, and it is tried again."""
    quick_canary(monkeypatch)

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        def faults(asked: str, path: str, do: Any) -> Answer | None:
            return refusal(status, "", "no") if asked == method and path.startswith(SETS) else None

        server.faults = faults
        server.add(SETS, web())
        await until(lambda: controller.rival)
        assert reason in controller.rival
        await asyncio.sleep(0.1)
        assert server.of("pods") == {}
        server.faults = lambda method, path, do: None
        await until(lambda: ready_pods(server) == ["web-0", "web-1"])

    assert canaries(play(talk, statefulsets="auto")) == []


def test_canaries_of_the_dead_are_cleared_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary of a process that was killed is deleted by the next one."""
    quick_canary(monkeypatch)

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, {**web(), "metadata": {"name": "headlessdns-canary-dead"}})
        await until(lambda: controller.syncer.kinds == BOTH)

    assert canaries(play(talk, statefulsets="auto")) == []


def test_canary_when_we_leave() -> None:
    """Who leaves in the midst of it takes its canary away."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        await until(lambda: canaries(server))

    assert canaries(play(talk, statefulsets="auto")) == []


def test_never() -> None:
    """With `never` StatefulSets are not even watched."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: controller.is_ready)
        await asyncio.sleep(0.1)
        assert controller.syncer.kinds == OURS
        assert "StatefulSet" not in {status.kind.value for status in controller.statuses}

    assert play(talk, statefulsets="never").sent == []


# Leaving


def test_leaving_releases_the_lease() -> None:
    """Who leaves gives the Lease up behind its last write."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: ready_pods(server) == ["web-0", "web-1"])

    server = play(talk, elect=True)
    assert server.objects[LEASE]["spec"]["holderIdentity"] == ""
    writes = [one for one in server.sent if "/events" not in one.path]
    assert writes[-1].path == LEASE


def test_leaving_in_the_midst_of_a_long_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that would take long goes no further; what was on its way has its answer before the Lease is given up."""
    monkeypatch.setattr(controller_run, "LEAVE_S", 0.1)
    started_s = 0.0

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        nonlocal started_s
        server.add(SETS, web(replicas=500, policy=PARALLEL))
        await until(lambda: len(server.of("pods")) > 3)
        started_s = asyncio.get_running_loop().time()
        leave.set()
        await until(lambda: server.objects[LEASE]["spec"]["holderIdentity"] == "", 2)

    server = play(talk, elect=True, qps=20, burst=4)
    assert len(server.of("pods")) < 50
    released = max(number for number, one in enumerate(server.sent) if one.path == LEASE)
    assert not [one for one in server.sent[released:] if "/pods" in one.path]


def test_leaving_before_anything_is_there() -> None:
    """Who is told to leave while the API server says nothing leaves at once."""

    class Silent(MemoryClient):
        async def request(self, *args: Any, **more: Any) -> Answer:
            raise ClusterError("no answer")

        def get(self, path: str, query: Any) -> Any:
            raise ClusterError("no answer")

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        await asyncio.sleep(0.05)
        assert not controller.is_ready

    play(talk, client=Silent, elect=True)


def test_what_is_measured_of_sets_ends_with_the_lead() -> None:
    """Who leads no more says nothing of sets: the next leader does."""

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web())
        await until(lambda: controller.syncer.metrics.unavailable)
        controller._lost()
        await until(lambda: not controller.syncer.metrics.unavailable)
        controller._gained()
        await until(lambda: controller.syncer.metrics.unavailable)

    play(talk)


# A dry run


def test_dry_run_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A dry run says once what would be done, and sends no write, no event and no Lease."""
    caplog.set_level(logging.INFO)

    async def talk(server: MemoryServer, controller: Controller, leave: asyncio.Event) -> None:
        server.add(SETS, web(annotations={"note": "a"}))
        await until(lambda: "would create Pod web-0" in caplog.text)
        server.change(f"{SETS}/web", {"metadata": {"annotations": {"note": "b"}}})
        await asyncio.sleep(0.1)

    server = play(talk, dry_run=True, statefulsets="auto")
    assert server.sent == []
    assert caplog.text.count("StatefulSet default/web: would create Pod web-0 (revision web-") == 1
    assert "GoverningServiceMissing" in caplog.text
