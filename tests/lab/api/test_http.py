from __future__ import annotations

import asyncio
import io
import json
import os
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from headlessdns.cluster.client import connect
from headlessdns.errors import HeadlessDNSError
from headlessdns.lab.api.http import EmbeddedApi
from headlessdns.lab.api.store import Store

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def run(scene: Callable[[EmbeddedApi], Awaitable[None]], **arguments: Any) -> None:
    async def play() -> None:
        async with asyncio.timeout(20), EmbeddedApi(**arguments) as api:
            await scene(api)

    asyncio.run(play())


async def create(api: EmbeddedApi, name: str, **more: Any) -> None:
    answer = await api.client().request("POST", CONFIG_MAPS, {"metadata": {"name": name}, **more})
    assert answer.status == 201, answer.body


def session(api: EmbeddedApi, token: str | None = None) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cadata=api.authority.decode())
    headers = {"Authorization": f"Bearer {api.token if token is None else token}"}
    return aiohttp.ClientSession(api.url, connector=aiohttp.TCPConnector(ssl=context), headers=headers)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield json.loads(line)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token(token: str) -> None:
    """Without the token, or with another one, the answer is 401 and a Status."""

    async def scene(api: EmbeddedApi) -> None:
        async with session(api, token) as client, client.get(CONFIG_MAPS) as response:
            assert response.status == 401
            assert await response.json() == {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "Unauthorized",
                "reason": "Unauthorized",
                "code": 401,
            }
        async with session(api, token) as client, client.get("/readyz") as response:
            assert (response.status, await response.text()) == (200, "ok")

    run(scene)


def test_only_loopback() -> None:
    """An address that others could reach is refused."""
    with pytest.raises(HeadlessDNSError, match="is no loopback address"):
        EmbeddedApi("0.0.0.0")


def test_a_port_that_is_taken() -> None:
    """A port where another program is says what to do."""

    async def scene(api: EmbeddedApi) -> None:
        port = int(api.url.rpartition(":")[2])
        with pytest.raises(HeadlessDNSError, match="choose another with --api"):
            async with EmbeddedApi(port=port):
                pass

    run(scene)


def test_kubeconfig(tmp_path: Path) -> None:
    """The kubeconfig can be read by its owner only, and leads the project's own client to the API."""

    async def scene(api: EmbeddedApi) -> None:
        path = tmp_path / "kubeconfig"
        api.write_kubeconfig(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["kubeconfig"]
        client = await connect(path)
        try:
            answer = await client.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
        finally:
            await client.close()
        assert answer.status == 201
        assert api.store.get("configmaps", "default", "a") is not None

    run(scene)


def test_a_long_request() -> None:
    """A request line of 9,000 octets and a header of 60,000 are answered, as a real API server does."""

    async def scene(api: EmbeddedApi) -> None:
        async with session(api) as client:
            for query, headers in (("a" * 9_000, {}), ("", {"X-Long": "a" * 60_000})):
                async with client.get(f"{CONFIG_MAPS}?{query}", headers=headers) as response:
                    assert response.status == 200

    run(scene)


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_a_huge_body(chunked: bool) -> None:
    """A body of more than 3 MiB is refused with a Status."""

    async def scene(api: EmbeddedApi) -> None:
        body = b"x" * (3 * 2**20 + 1)

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        async with session(api) as client:
            data = chunks() if chunked else io.BytesIO(body)
            async with client.post(CONFIG_MAPS, data=data, headers={"Content-Type": "application/json"}) as response:
                assert response.status == 413
                assert (await response.json())["message"] == "Request entity too large: limit is 3145728"

    run(scene)


def test_all_watchers_see_all_events_in_order() -> None:
    """Five watchers, over the socket and within the program, are told of every write in its order."""

    async def scene(api: EmbeddedApi) -> None:
        query = {"watch": "true", "resourceVersion": str(api.store.version)}
        wanted = [f"a{number:03}" for number in range(300)]

        async def names(chunks: AsyncIterator[bytes]) -> list[str]:
            seen: list[str] = []
            async for event in lines(chunks):
                seen.append(event["object"]["metadata"]["name"])
                if len(seen) == len(wanted):
                    break
            return seen

        async def remote() -> list[str]:
            async with session(api) as client, client.get(CONFIG_MAPS, params=query) as response:
                return await names(response.content.iter_any())

        async def local() -> list[str]:
            async with api.client().get(CONFIG_MAPS, query) as reply:
                return await names(reply.chunks())

        watching = [asyncio.create_task(one()) for one in (remote, remote, remote, local, local)]
        for name in wanted:
            await create(api, name)
        assert await asyncio.gather(*watching) == [wanted] * 5

    run(scene)


def test_a_watch_from_a_forgotten_version_is_told_so() -> None:
    """A watch from a version that the history does not reach is one ERROR event: 410, Expired."""

    async def scene(api: EmbeddedApi) -> None:
        since = str(api.store.version)
        await create(api, "a")
        await create(api, "b")
        api.store.compact(api.store.version)
        async with api.client().get(CONFIG_MAPS, {"watch": "true", "resourceVersion": since}) as reply:
            (event,) = [event async for event in lines(reply.chunks())]
        assert reply.status == 200
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        assert event["object"]["message"].startswith("too old resource version: ")

    run(scene)


def test_a_list_that_goes_on_from_a_forgotten_version() -> None:
    """A page of a list whose history is gone is refused with a token that goes on without it."""

    async def scene(api: EmbeddedApi) -> None:
        client = api.client()
        for name in "abc":
            await create(api, name)
        first = json.loads((await client.request("GET", CONFIG_MAPS, query={"limit": "2"})).body)
        await create(api, "d")
        api.store.compact(api.store.version)
        token = first["metadata"]["continue"]
        answer = await client.request("GET", CONFIG_MAPS, query={"limit": "2", "continue": token})
        status = json.loads(answer.body)
        assert (answer.status, status["reason"]) == (410, "Expired")
        token = status["metadata"]["continue"]
        rest = json.loads((await client.request("GET", CONFIG_MAPS, query={"continue": token})).body)
        assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]

    run(scene)


def test_a_slow_watcher_is_cut_off() -> None:
    """A watcher that takes nothing loses its connection before an event would be left out."""

    async def scene(api: EmbeddedApi) -> None:
        query = {"watch": "true", "resourceVersion": str(api.store.version)}
        async with session(api) as client, client.get(CONFIG_MAPS, params=query) as response:
            await asyncio.sleep(0)
            for number in range(600):
                await create(api, f"a{number:03}", data={"k": "x" * 100_000})
            await asyncio.sleep(0.6)
            seen: list[str] = []

            async def read() -> None:
                async for event in lines(response.content.iter_any()):
                    seen.append(event["object"]["metadata"]["name"])

            with pytest.raises(aiohttp.ClientPayloadError):
                await read()
        assert seen == [f"a{number:03}" for number in range(len(seen))]
        assert len(seen) < 600

    run(scene, stalled_s=0.3)


def test_a_watcher_that_the_history_has_left_behind_is_cut_off() -> None:
    """A watcher that comes for its next event when that is gone is cut off, not told of a later one."""

    async def scene(api: EmbeddedApi) -> None:
        query = {"watch": "true", "resourceVersion": str(api.store.version)}
        async with api.client().get(CONFIG_MAPS, query) as reply:
            chunks = lines(reply.chunks())
            await create(api, "a")
            assert (await anext(chunks))["object"]["metadata"]["name"] == "a"
            for number in range(30):
                api.api.rules.create(
                    api.api.registry.find("", "v1", "configmaps"),  # type: ignore[arg-type]
                    "default",
                    {"metadata": {"name": f"b{number}"}},
                )
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)

    run(scene, store=Store(history_events=8))


def test_bookmarks() -> None:
    """A watch that takes bookmarks is told from time to time how far it is, and once shortly before its end."""

    async def scene(api: EmbeddedApi) -> None:
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "1"}
        query["resourceVersion"] = str(api.store.version)
        async with api.client().get(CONFIG_MAPS, query) as reply:
            events = [event async for event in lines(reply.chunks())]
        assert {event["type"] for event in events} == {"BOOKMARK"}
        assert len(events) >= 3
        assert events[0]["object"] == {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(api.store.version)},
        }

    run(scene, bookmark_interval_s=0.2)


def test_what_has_to_go_goes_by_itself() -> None:
    """Dependents of a deleted owner are gone without anybody asking for it."""

    async def scene(api: EmbeddedApi) -> None:
        client = api.client()
        await create(api, "owner")
        owner = api.store.get("configmaps", "default", "owner")
        assert owner is not None
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid}
        body = {"metadata": {"name": "a", "ownerReferences": [reference]}}
        assert (await client.request("POST", CONFIG_MAPS, body)).status == 201
        query = {"watch": "true", "resourceVersion": str(api.store.version), "fieldSelector": "metadata.name=a"}
        async with client.get(CONFIG_MAPS, query) as reply:
            await client.request("DELETE", f"{CONFIG_MAPS}/owner")
            assert (await anext(lines(reply.chunks())))["type"] == "DELETED"

    run(scene)


def test_the_end_of_the_api_ends_its_watches() -> None:
    """Closing the API does not wait for watchers."""

    async def scene() -> None:
        async with asyncio.timeout(10):
            async with EmbeddedApi() as api:
                reply = api.client().get(CONFIG_MAPS, {"watch": "true", "resourceVersion": "0"})
                watching = await reply.__aenter__()
            assert [chunk async for chunk in watching.chunks()] == []
            await reply.__aexit__(None, None, None)

    asyncio.run(scene())


def test_where_the_api_is_reached() -> None:
    """The endpoints of the Service `kubernetes` have the address and the port of the API, also after a restart."""
    store = Store()

    async def scene(api: EmbeddedApi) -> None:
        port = int(api.url.rpartition(":")[2])
        client = api.client()
        answer = await client.request("GET", "/api/v1/namespaces/default/endpoints/kubernetes")
        assert json.loads(answer.body)["subsets"] == [
            {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
        ]
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
        found = json.loads((await client.request("GET", path)).body)
        assert found["endpoints"] == [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
        assert found["ports"] == [{"name": "https", "port": port, "protocol": "TCP"}]

    run(scene, store=store)
    run(scene, store=store)


def test_warnings_are_headers() -> None:
    """Each thing that is told is a header Warning of its own."""

    async def scene(api: EmbeddedApi) -> None:
        async with session(api) as client:
            body = {"metadata": {"name": "a"}, "one": 1, "two": 2}
            async with client.post(f"{CONFIG_MAPS}?fieldValidation=Warn", json=body) as response:
                assert response.headers.getall("Warning") == [
                    '299 - "unknown field \\"one\\""',
                    '299 - "unknown field \\"two\\""',
                ]

    run(scene)
