"""The controller of slices and Endpoints against an API server without a socket, in a loop whose clock jumps."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from headlessdns.cluster.answer import Answer
from headlessdns.errors import ClusterError
from headlessdns.lab.endpoints import EndpointController
from tests.cluster.waiting import until
from tests.lab.backing import T0, T1, T2, T3
from tests.lab.fake_api import FakeApi, Json
from tests.lab.quick_loop import run

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/shop/pods"
SERVICES = "/api/v1/namespaces/shop/services"
ENDPOINTS = "/api/v1/namespaces/shop/endpoints"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"
LABELS = {
    "kubernetes.io/service-name": "nginx",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
}


class Api(FakeApi):
    """It also gives out names, loses answers, and keeps news of one kind back."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_back = ""
        self.lost_answers = 0
        self.answer_s = 0.0
        self.terminating = False
        self._names = itertools.count(1)
        self._kept: list[bytes] = []

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        answer = await super().request(method, path, body, **options)
        if self.answer_s:
            await asyncio.sleep(self.answer_s)
        if self.lost_answers:
            self.lost_answers -= 1
            raise ClusterError("the connection broke off")
        return answer

    def _post(self, path: str, body: Json) -> Answer:
        if self.terminating:
            cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
            status = {"kind": "Status", "code": 403, "message": "forbidden", "details": {"causes": [cause]}}
            return Answer(403, "", msgspec.json.encode(status))
        metadata = dict(body["metadata"])
        if "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{next(self._names)}"
        return super()._post(path, {**body, "metadata": metadata})

    def _store(self, event: str, path: str, object: Json) -> None:
        _, _, rest = path.partition("/namespaces/")
        if rest:
            object = {**object, "metadata": {**object["metadata"], "namespace": rest.split("/")[0]}}
        if path.split("/")[-2] != self.kept_back:
            super()._store(event, path, object)
            return
        watchers, self._watchers = self._watchers, {}
        super()._store(event, path, object)
        self._watchers = watchers
        self._kept.append(self._history[-1][2])

    def let_go(self) -> None:
        """Tell what was kept back."""
        for queue, kind in self._watchers.items():
            if kind == self.kept_back:
                for line in self._kept:
                    queue.put_nowait(line)
        self.kept_back = ""


class Lab:
    """A controller and its API."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def service(self, name: str = "nginx", **spec: Any) -> None:
        spec = {"clusterIP": "None", "ipFamilies": ["IPv4"], "selector": {"app": "nginx"}, **spec}
        self.api.add(SERVICES, {"metadata": {"name": name, "creationTimestamp": T0}, "spec": spec})

    def pod(self, number: int, *, since: str = T1, app: str = "nginx", node: str = "node-1") -> None:
        body = {
            "metadata": {"name": f"web-{number}", "labels": {"app": app}},
            "spec": {"nodeName": node, "hostname": f"web-{number}", "subdomain": "nginx", "containers": []},
        }
        self.api.add(PODS, body)
        self.status(number, since=since)

    def status(self, number: int, *, ready: bool = True, since: str = T1) -> None:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
        status = {"phase": "Running", "podIPs": [{"ip": f"10.244.0.{number}"}], "conditions": [condition]}
        self.api.change(f"{PODS}/web-{number}", {"status": status})

    def all(self, path: str) -> dict[str, Json]:
        return {at.rpartition("/")[2]: one for at, one in self.api.objects.items() if at.rpartition("/")[0] == path}

    @property
    def slices(self) -> list[Json]:
        return list(self.all(SLICES).values())

    def lines(self, service: str = "nginx") -> list[str]:
        """Return name, zone and conditions of each endpoint in the slices of a Service."""
        return sorted(
            " ".join(
                [
                    one["targetRef"]["name"],
                    *([one["zone"]] if "zone" in one else []),
                    *(name for name, value in one["conditions"].items() if value),
                ]
            )
            for slice in self.slices
            if slice["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for one in slice["endpoints"]
        )

    def addresses(self, service: str = "nginx") -> list[str]:
        """Return the ready addresses in the Endpoints of a Service."""
        found = self.all(ENDPOINTS).get(service, {}).get("subsets") or []
        return [one["ip"] for subset in found for one in subset.get("addresses", ())]

    async def settled(self, *lines: str, service: str = "nginx") -> None:
        """Wait until the slices of a Service say so, and its Endpoints too."""
        ready = sum(" ready" in line for line in lines)
        await until(
            lambda: self.lines(service) == list(lines) and len(self.addresses(service)) == ready,
            60,
        )

    async def quiet(self) -> None:
        """Let all have its turn that has something to do now."""
        for _ in range(200):
            await asyncio.sleep(0)

    def writes(self) -> list[str]:
        """Return what was written since the last call."""
        made = [f"{method} {path.rpartition('/shop/')[2]}" for method, path, _ in self.api.requests]
        self.api.requests.clear()
        return made


@asynccontextmanager
async def running(api: Api) -> AsyncIterator[Lab]:
    controller = EndpointController(api)
    task = asyncio.create_task(controller.run())
    await controller.started.wait()
    try:
        yield Lab(api)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def with_nodes() -> Api:
    api = Api()
    api.add(NODES, {"metadata": {"name": "node-1"}})
    return api


def in_lab(play: Callable[[Lab], Awaitable[None]], api: Api | None = None) -> None:
    """Let *play* happen to a lab that has one node."""

    async def main() -> None:
        async with running(api or with_nodes()) as lab:
            await play(lab)

    run(main())


def test_what_is_there_is_brought_up_to_date_once() -> None:
    """At its start it writes what is missing, and a second one finds nothing to do."""
    api = with_nodes()
    Lab(api).service()
    Lab(api).pod(1)

    async def play(lab: Lab) -> None:
        await lab.settled("web-1 ready serving")
        assert lab.writes() == ["POST endpointslices", "POST endpoints"]

    async def nothing(lab: Lab) -> None:
        await lab.quiet()
        assert lab.writes() == []

    in_lab(play, api)
    in_lab(nothing, api)


def test_a_course_takes_no_time_and_no_needless_write() -> None:
    """Each change of a pod is one write into a slice and one into Endpoints, at once."""

    async def play(lab: Lab) -> None:
        loop = asyncio.get_running_loop()
        lab.service()
        await lab.quiet()
        assert lab.writes() == ["POST endpointslices", "POST endpoints"]
        started_s = loop.time()
        changes: list[tuple[Callable[[], None], str]] = [
            (lambda: lab.pod(1), "web-1 ready serving"),
            (lambda: lab.status(1, ready=False, since=T2), "web-1"),
            (lambda: lab.status(1, since=T3), "web-1 ready serving"),
        ]
        for change, line in changes:
            change()
            await lab.quiet()
            assert lab.lines() == [line]
            assert lab.writes() == ["PATCH endpointslices/nginx-1", "PATCH endpoints/nginx"]
        lab.api.change(f"{PODS}/web-1", {"metadata": {"annotations": {"a": "b"}}})
        await lab.quiet()
        assert lab.writes() == []
        lab.api.remove(f"{PODS}/web-1")
        await lab.quiet()
        assert (lab.lines(), lab.addresses()) == ([], [])
        assert loop.time() == started_s

    in_lab(play)


def test_a_pod_changes_hands() -> None:
    """A pod whose labels change leaves the slices of one Service and comes into those of the other."""

    async def play(lab: Lab) -> None:
        lab.service()
        lab.service("db", selector={"app": "db"})
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        lab.api.change(f"{PODS}/web-1", {"metadata": {"labels": {"app": "db"}}})
        await lab.settled("web-1 ready serving", service="db")
        await lab.settled()

    in_lab(play)


def test_a_node_comes_and_gets_a_zone() -> None:
    """A pod waits for its node to exist; a zone that the node is given is in the slices at once."""

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1, node="node-2")
        await until(lambda: lab.addresses() == ["10.244.0.1"])
        assert lab.lines() == []
        lab.api.add(NODES, {"metadata": {"name": "node-2"}})
        await lab.settled("web-1 ready serving")
        lab.api.change(f"{NODES}/node-2", {"metadata": {"labels": {"topology.kubernetes.io/zone": "zone-b"}}})
        await lab.settled("web-1 zone-b ready serving")
        lab.api.remove(f"{NODES}/node-2")
        await until(lambda: lab.lines() == [])

    in_lab(play)


def test_a_service_goes() -> None:
    """Endpoints go with their Service; slices are left to the garbage collector."""

    async def play(lab: Lab) -> None:
        lab.service()
        await lab.quiet()
        lab.writes()
        lab.api.remove(f"{SERVICES}/nginx")
        await lab.quiet()
        assert lab.writes() == ["DELETE endpoints/nginx"]
        assert len(lab.slices) == 1

    in_lab(play)


def test_endpoints_without_a_service() -> None:
    """Endpoints without a Service that are there at the start go; those that come later are somebody's and stay."""
    api = with_nodes()
    api.add(ENDPOINTS, {"metadata": {"name": "left"}})
    api.add(
        ENDPOINTS, {"metadata": {"name": "lock", "annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}}
    )

    async def play(lab: Lab) -> None:
        await until(lambda: list(lab.all(ENDPOINTS)) == ["lock"])
        lab.api.add(ENDPOINTS, {"metadata": {"name": "mine"}})
        await lab.quiet()
        lab.service("mine", selector=None)
        await lab.quiet()
        assert list(lab.all(ENDPOINTS)) == ["lock", "mine"]

    in_lab(play, api)


def test_endpoints_made_by_hand_are_repeated() -> None:
    """A slice says what Endpoints say that somebody makes, follows them, and goes when the Service begins to select."""

    async def play(lab: Lab) -> None:
        lab.service(selector=None)
        lab.api.add(ENDPOINTS, {"metadata": {"name": "nginx"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}]}]})
        await lab.quiet()
        lab.api.change(f"{ENDPOINTS}/nginx", {"subsets": [{"addresses": [{"ip": "192.0.2.2"}]}]})
        await lab.quiet()
        assert [one["endpoints"] for one in lab.slices] == [
            [{"addresses": ["192.0.2.2"], "conditions": {"ready": True}}]
        ]
        lab.api.change(f"{SLICES}/nginx-1", {"endpoints": []})
        await lab.quiet()
        assert lab.writes() == [
            "POST endpointslices",
            "PATCH endpointslices/nginx-1",
            "PATCH endpointslices/nginx-1",
        ]
        lab.pod(1)
        lab.api.change(f"{SERVICES}/nginx", {"spec": {"selector": {"app": "nginx"}}})
        await lab.quiet()
        assert lab.lines() == ["web-1 ready serving"]
        assert lab.writes() == ["POST endpointslices", "PATCH endpoints/nginx", "DELETE endpointslices/nginx-1"]

    in_lab(play)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda api: api.remove(f"{ENDPOINTS}/nginx"), id="the Endpoints go"),
        pytest.param(lambda api: api.remove(f"{SERVICES}/nginx"), id="the Service goes"),
        pytest.param(
            lambda api: api.change(
                f"{ENDPOINTS}/nginx", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}
            ),
            id="they are to be skipped",
        ),
    ],
)
def test_what_repeats_nothing_goes(change: Callable[[Api], None]) -> None:
    """The slice of Endpoints goes with them, with their Service, and when they are not to be repeated."""

    async def play(lab: Lab) -> None:
        lab.service(selector=None)
        lab.api.add(ENDPOINTS, {"metadata": {"name": "nginx"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}]}]})
        await lab.quiet()
        assert len(lab.slices) == 1
        change(lab.api)
        await lab.quiet()
        assert lab.slices == []

    in_lab(play)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda api: api.change(f"{SLICES}/nginx-1", {"endpoints": []}), id="a slice is emptied"),
        pytest.param(lambda api: api.remove(f"{SLICES}/nginx-1"), id="a slice is deleted"),
        pytest.param(
            lambda api: api.change(f"{SLICES}/nginx-1", {"metadata": {"labels": dict.fromkeys(LABELS, "x")}}),
            id="a slice is given away",
        ),
        pytest.param(lambda api: api.change(f"{ENDPOINTS}/nginx", {"subsets": None}), id="Endpoints are emptied"),
        pytest.param(lambda api: api.remove(f"{ENDPOINTS}/nginx"), id="Endpoints are deleted"),
        pytest.param(
            lambda api: api.add(
                SLICES, {"metadata": {"name": "more", "labels": LABELS}, "addressType": "IPv4", "endpoints": []}
            ),
            id="a slice too many",
        ),
    ],
)
def test_what_others_write_is_mended(change: Callable[[Api], None]) -> None:
    """Slices and Endpoints that others changed are made right again."""

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        await lab.quiet()
        change(lab.api)
        await lab.quiet()
        await lab.settled("web-1 ready serving")
        assert "more" not in lab.all(SLICES)

    in_lab(play)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        pytest.param(409, False, id="a conflict, without a word"),
        pytest.param(404, False, id="it is gone, without a word"),
        pytest.param(401, True, id="new credentials are needed"),
        pytest.param(500, True, id="the server is broken"),
        pytest.param(ClusterError("no answer"), True, id="no answer"),
    ],
)
@pytest.mark.parametrize("path", [f"{SLICES}/nginx-1", f"{ENDPOINTS}/nginx"])
def test_a_refused_write_is_tried_again(
    path: str, refusal: int | ClusterError, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A write that is refused is tried again soon, and the time of its change is not lost."""
    caplog.set_level(logging.WARNING)

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        lab.api.refusals[path] = [refusal]
        lab.status(1, ready=False, since=T2)
        started_s = asyncio.get_running_loop().time()
        await until(lambda: lab.lines() == ["web-1"] and lab.addresses() == [])
        assert asyncio.get_running_loop().time() - started_s < 0.1
        assert lab.api.objects[path]["metadata"]["annotations"] == {TRIGGERED: T2}
        assert lab.api.renewals == (refusal == 401)

    in_lab(play)
    assert bool(caplog.records) is told
    assert all("; trying again" in record.message for record in caplog.records)


def test_pauses_grow_until_a_write_is_done() -> None:
    """A write that is refused again and again is tried less and less often; after one that was done, soon again."""

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        took_s = []
        for refusals, is_ready in ((6, False), (1, True)):
            lab.api.refusals[f"{ENDPOINTS}/nginx"] = [409] * refusals
            started_s = asyncio.get_running_loop().time()
            lab.status(1, ready=is_ready, since=T2)
            await lab.settled("web-1 ready serving" if is_ready else "web-1")
            took_s.append(asyncio.get_running_loop().time() - started_s)
        assert 1.26 < took_s[0] < 2.6
        assert 0.02 < took_s[1] < 0.05

    in_lab(play)


def test_a_deletion_of_what_is_gone_is_done() -> None:
    """Endpoints that somebody else deleted first are gone all the same."""

    async def play(lab: Lab) -> None:
        lab.service()
        await lab.quiet()
        lab.writes()
        lab.api.refusals[f"{ENDPOINTS}/nginx"] = [404]
        lab.api.remove(f"{SERVICES}/nginx")
        await lab.quiet()
        lab.api.remove(f"{ENDPOINTS}/nginx")
        await asyncio.sleep(30)
        assert lab.writes() == ["DELETE endpoints/nginx"]

    in_lab(play)


def test_a_namespace_that_ends(caplog: pytest.LogCaptureFixture) -> None:
    """In a namespace that is being deleted nothing can be made, and nothing is tried again or told."""

    async def play(lab: Lab) -> None:
        lab.api.terminating = True
        lab.service()
        await asyncio.sleep(30)
        assert lab.writes() == ["POST endpointslices", "POST endpoints"]

    in_lab(play)
    assert not caplog.records


@pytest.mark.parametrize("body", [b"[]", b"\xff", b'{"metadata": 1}'])
def test_an_answer_that_cannot_be_read(
    body: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is no object is told, and what was written is found by the watch."""
    api = with_nodes()
    answers = [Answer(201, "", body), Answer(502, "", body)]
    real = api._post

    def post(path: str, made: Json) -> Answer:
        answer = real(path, made)
        return answers.pop() if answers else answer

    monkeypatch.setattr(api, "_post", post)

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        assert len(lab.slices) == 1

    in_lab(play, api)
    assert caplog.records


def test_an_answer_that_is_lost() -> None:
    """A slice whose creation was not confirmed is found by the watch, and there is no second one."""

    async def play(lab: Lab) -> None:
        lab.api.lost_answers = 1
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        assert len(lab.slices) == 1

    in_lab(play)


@pytest.mark.parametrize("plural", ["endpointslices", "endpoints"])
def test_own_writes_are_awaited(plural: str) -> None:
    """Before the watch has brought its own writes it plans no further ones; then it goes on at once."""

    async def play(lab: Lab) -> None:
        lab.service()
        await lab.quiet()
        lab.api.kept_back = plural
        lab.pod(1)
        await lab.quiet()
        lab.writes()
        lab.pod(2)
        await lab.quiet()
        assert lab.writes() == []
        now_s = asyncio.get_running_loop().time()
        lab.api.let_go()
        await lab.quiet()
        assert lab.lines() == ["web-1 ready serving", "web-2 ready serving"]
        assert lab.addresses() == ["10.244.0.1", "10.244.0.2"]
        assert lab.writes() == ["PATCH endpointslices/nginx-1", "PATCH endpoints/nginx"]
        assert asyncio.get_running_loop().time() == now_s

    in_lab(play)


def test_news_that_are_faster_than_the_answer() -> None:
    """A write that the watch has brought before its answer is not waited for."""

    async def play(lab: Lab) -> None:
        lab.api.answer_s = 0.01
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        await asyncio.sleep(1)
        started_s = asyncio.get_running_loop().time()
        lab.status(1, ready=False, since=T2)
        await lab.settled("web-1")
        lab.status(1, since=T3)
        await lab.settled("web-1 ready serving")
        assert asyncio.get_running_loop().time() - started_s < 0.1

    in_lab(play)


def test_a_deletion_of_its_own_is_awaited() -> None:
    """A deletion that the watch has not brought yet is not asked for twice."""

    async def play(lab: Lab) -> None:
        lab.service(ipFamilies=["IPv4", "IPv6"])
        await lab.quiet()
        lab.writes()
        lab.api.kept_back = "endpointslices"
        lab.api.change(f"{SERVICES}/nginx", {"spec": {"ipFamilies": ["IPv4"]}})
        await lab.quiet()
        assert lab.writes() == ["DELETE endpointslices/nginx-2"]
        lab.pod(1)
        await lab.quiet()
        assert lab.writes() == []
        lab.api.let_go()
        await lab.quiet()
        assert lab.lines() == ["web-1 ready serving"]

    in_lab(play)


def test_own_writes_are_not_awaited_for_ever() -> None:
    """A write that the watch does not bring in ten seconds is forgotten: what is there counts."""

    async def play(lab: Lab) -> None:
        lab.service()
        await lab.quiet()
        lab.api.kept_back = "endpoints"
        lab.pod(1)
        await lab.quiet()
        lab.pod(2)
        started_s = asyncio.get_running_loop().time()
        await until(lambda: lab.lines() == ["web-1 ready serving", "web-2 ready serving"], 30)
        assert 9.9 < asyncio.get_running_loop().time() - started_s < 10.1

    in_lab(play)


def test_a_slice_that_finalizers_hold_is_gone_for_us() -> None:
    """A slice that finalizers keep after its deletion holds nothing up."""

    async def play(lab: Lab) -> None:
        lab.service(ipFamilies=["IPv4", "IPv6"])
        await lab.quiet()
        lab.api.change(f"{SLICES}/nginx-2", {"metadata": {"finalizers": ["x/y"]}})
        await lab.quiet()
        lab.api.change(f"{SERVICES}/nginx", {"spec": {"ipFamilies": ["IPv4"]}})
        await lab.quiet()
        started_s = asyncio.get_running_loop().time()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        assert asyncio.get_running_loop().time() - started_s < 1

    in_lab(play)


def test_a_service_is_made_anew() -> None:
    """A Service that was deleted and made again is a new one: its first write has the time when it was made."""

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1, since=T2)
        await lab.settled("web-1 ready serving")
        lab.status(1, since=T3)
        await lab.quiet()
        lab.api.remove(f"{SERVICES}/nginx")
        lab.service()
        await until(lambda: len(lab.slices) == 1 and lab.slices[0]["metadata"]["name"] == "nginx-2")
        await lab.settled("web-1 ready serving")
        assert lab.slices[0]["metadata"]["annotations"] == {TRIGGERED: T0}

    in_lab(play)


def test_a_list_is_taken_anew() -> None:
    """What came while no watch was open is in the next list."""

    async def play(lab: Lab) -> None:
        lab.service()
        lab.pod(1)
        await lab.settled("web-1 ready serving")
        other = lab.api.objects[f"{PODS}/web-1"]
        status = {**other["status"], "podIPs": [{"ip": "10.244.0.2"}]}
        lab.api.hide(PODS, {**other, "metadata": {"name": "web-2", "labels": {"app": "nginx"}}, "status": status})
        lab.api.compact()
        lab.api.end_watches()
        await lab.settled("web-1 ready serving", "web-2 ready serving")

    in_lab(play)


def test_many_pods_at_once() -> None:
    """250 pods that come at once are in three slices, with few writes."""

    async def play(lab: Lab) -> None:
        lab.service()
        await lab.quiet()
        for number in range(1, 251):
            lab.pod(number)
        await until(lambda: len(lab.lines()) == 250 and len(lab.addresses()) == 250)
        assert sorted(len(one["endpoints"]) for one in lab.slices)[1:] == [100, 100]
        assert len(lab.writes()) < 30

    in_lab(play)
