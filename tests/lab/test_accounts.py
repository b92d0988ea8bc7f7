"""What each namespace is given, against an API server without a socket, and in a lab."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headlessdns.cluster.answer import Answer
from headlessdns.errors import ClusterError
from headlessdns.lab import Lab
from headlessdns.lab.accounts import AccountController
from tests.cluster.waiting import until
from tests.lab.fake_api import BROKEN, FakeApi, Json
from tests.lab.quick_loop import run

NAMESPACES = "/api/v1/namespaces"
ACCOUNTS = "/api/v1/namespaces/shop/serviceaccounts"
ACCOUNT = f"{ACCOUNTS}/default"
CONFIG = "/api/v1/namespaces/shop/configmaps/kube-root-ca.crt"
GIVEN = [ACCOUNT, CONFIG]


def namespace(name: str = "shop", phase: str = "Active") -> Json:
    return {"metadata": {"name": name}, "status": {"phase": phase}}


@asynccontextmanager
async def running(api: FakeApi) -> AsyncIterator[None]:
    controller = AccountController(api, "CERTIFICATE")
    task = asyncio.create_task(controller.run())
    await controller.started.wait()
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def play(course: Callable[[FakeApi], Awaitable[None]], api: FakeApi | None = None) -> None:
    """Let *course* happen to an API server with the namespace shop."""

    async def main() -> None:
        server = api or FakeApi()
        server.add(NAMESPACES, namespace())
        async with running(server):
            await course(server)

    run(main())


async def quiet() -> None:
    """Let all have its turn that has something to do now."""
    for _ in range(200):
        await asyncio.sleep(0)


def given(api: FakeApi) -> list[str]:
    return [path for path in api.objects if path.count("/") == 6]


def test_what_is_given() -> None:
    """A namespace gets a ServiceAccount and the certificate of the API server's authority, and one that comes later."""

    async def course(api: FakeApi) -> None:
        await until(lambda: len(given(api)) == 2)
        assert [(method, path) for method, path, _ in api.requests] == [
            ("POST", "/api/v1/namespaces/shop/serviceaccounts"),
            ("POST", "/api/v1/namespaces/shop/configmaps"),
        ]
        assert api.objects[ACCOUNT]["kind"] == "ServiceAccount"
        assert api.objects[CONFIG]["data"] == {"ca.crt": "CERTIFICATE"}
        api.add(NAMESPACES, namespace("later"))
        await until(lambda: len(given(api)) == 4)
        api.change(f"{NAMESPACES}/later", {"metadata": {"labels": {"a": "1"}}})
        await quiet()
        assert len(api.requests) == 4

    play(course)


@pytest.mark.parametrize("path", GIVEN, ids=["ServiceAccount", "ConfigMap"])
def test_what_was_deleted_comes_back(path: str) -> None:
    """What was deleted is given anew; others of the same kinds are left alone."""

    async def course(api: FakeApi) -> None:
        await until(lambda: given(api) == GIVEN)
        api.add(ACCOUNTS, {"metadata": {"name": "mine"}})
        api.remove(f"{ACCOUNTS}/mine")
        await quiet()
        api.requests.clear()
        api.remove(path)
        await until(lambda: path in api.objects)
        assert [path for _, path, _ in api.requests] == [path.rpartition("/")[0]]

    play(course)


def test_what_came_about_unseen() -> None:
    """What is there at the start is not given again, and what was deleted while no watch was open is."""
    api = FakeApi()
    api.add(ACCOUNTS, {"metadata": {"name": "default"}})

    async def course(api: FakeApi) -> None:
        await until(lambda: given(api) == GIVEN)
        assert [path for _, path, _ in api.requests] == ["/api/v1/namespaces/shop/configmaps"]
        api.compact()
        api.end_watches(BROKEN)
        api.remove(ACCOUNT)
        await until(lambda: ACCOUNT in api.objects)

    play(course, api)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"data": {"ca.crt": "of another lab"}}, id="another certificate"),
        pytest.param({"data": None}, id="no certificate"),
    ],
)
def test_the_certificate_is_made_right(change: Json) -> None:
    """A certificate that was changed is made right, by a write that counts for that very version only."""

    async def course(api: FakeApi) -> None:
        await until(lambda: given(api) == GIVEN)
        api.change(CONFIG, {"metadata": {"labels": {"a": "1"}}})
        await quiet()
        assert len(api.requests) == 2
        api.change(CONFIG, change)
        version = api.objects[CONFIG]["metadata"]["resourceVersion"]
        await until(lambda: api.objects[CONFIG].get("data") == {"ca.crt": "CERTIFICATE"})
        assert api.requests[-1][2]["metadata"]["resourceVersion"] == version

    play(course)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": {"phase": "Terminating"}}, id="phase"),
        pytest.param({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}}, id="deletion"),
    ],
)
def test_a_namespace_that_ends(change: Json) -> None:
    """A namespace that is being deleted is given nothing any more."""

    async def course(api: FakeApi) -> None:
        await until(lambda: given(api) == GIVEN)
        api.change(f"{NAMESPACES}/shop", change)
        api.remove(ACCOUNT)
        await quiet()
        assert len(api.requests) == 2

    play(course)


class Refusing(FakeApi):
    """It refuses to create: a namespace ends of which the watch has not told."""

    def _post(self, path: str, body: Json) -> Answer:
        cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
        status = {"kind": "Status", "code": 403, "message": "forbidden", "details": {"causes": [cause]}}
        return Answer(403, "", msgspec.json.encode(status))


def test_a_namespace_that_ends_unseen(caplog: pytest.LogCaptureFixture) -> None:
    """That nothing can be created in a namespace that ends is no trouble, and is not tried again."""

    async def course(api: FakeApi) -> None:
        await asyncio.sleep(60)
        assert len(api.requests) == 2

    play(course, Refusing())
    assert caplog.records == []


@pytest.mark.parametrize(
    ("refusals", "renewals", "lines"),
    [
        pytest.param([409], 0, 0, id="conflict"),
        pytest.param([500, ClusterError("no reply")], 0, 2, id="server error, no reply"),
        pytest.param([401], 1, 1, id="unauthorized"),
    ],
)
def test_refused_writes(
    refusals: list[int | ClusterError], renewals: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What is refused is tried again after a while, and the log says so; what is there already is not."""

    async def course(api: FakeApi) -> None:
        await until(lambda: CONFIG in api.objects, 60)
        assert (ACCOUNT in api.objects) == bool(lines)
        assert api.renewals == renewals

    api = FakeApi()
    api.refusals[ACCOUNTS] = refusals
    with caplog.at_level(logging.WARNING):
        play(course, api)
    assert len(caplog.records) == lines
    assert all(record.getMessage().endswith("; trying again") for record in caplog.records)


# In a lab

SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def find(lab: Lab, path: str) -> Any:
    found: Any = lab.request("GET", path)
    return found


def test_namespaces_of_a_lab(tmp_path: Path) -> None:
    """All namespaces of a lab have what they are given; one is gone soon after its deletion; all survives a restart."""
    state = tmp_path / "lab.db"
    with Lab([SHOP], state=state) as lab:
        accounts = f"{NAMESPACES}/{{}}/serviceaccounts"
        lab.wait(lambda: len(find(lab, "/api/v1/serviceaccounts")["items"]) == 5)
        lab.wait(lambda: len(find(lab, "/api/v1/configmaps")["items"]) == 5)
        lab.request("DELETE", f"{accounts.format('shop')}/default")
        lab.wait(lambda: find(lab, accounts.format("shop"))["items"])
        lab.request("DELETE", f"{NAMESPACES}/shop")
        lab.wait(lambda: len(find(lab, NAMESPACES)["items"]) == 4, 5)
        before = find(lab, f"{accounts.format('default')}/default")["metadata"]["uid"]
        certificate = find(lab, f"{NAMESPACES}/default/configmaps/kube-root-ca.crt")["data"]["ca.crt"]
    with Lab(state=state) as lab:
        assert find(lab, f"{accounts.format('default')}/default")["metadata"]["uid"] == before
        path = f"{NAMESPACES}/default/configmaps/kube-root-ca.crt"
        lab.wait(lambda: find(lab, path)["data"]["ca.crt"] != certificate)  # each lab has an authority of its own


def test_a_lab_without_accounts() -> None:
    """Without this part nothing is given; a pod that names no ServiceAccount runs all the same."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}}
    with Lab([{**pod, "spec": {"containers": [{"name": "main", "image": "nginx:1"}]}}], without=["accounts"]) as lab:
        lab.wait("one")
        assert find(lab, "/api/v1/serviceaccounts")["items"] == []
        assert find(lab, "/api/v1/configmaps")["items"] == []
