"""List and watch of one kind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from headlessdns.cluster.watch import Backoff
from headlessdns.lab.mirror import Mirror
from headlessdns.lab.objects import Key, Pod
from tests.cluster.waiting import until
from tests.lab.fake_api import BROKEN, CUT, FakeApi, FakeReply, Json, whole
from tests.lab.quick_loop import run

PODS = "/api/v1/namespaces/shop/pods"


def manifest(name: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "nginx"}]}}


class Mirrored:
    """A mirror and what it said."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.said: list[tuple[str, str]] = []
        self.mirror = Mirror(api, "/api/v1/pods", Pod, self.changed, backoff=Backoff(1, 8), read_timeout_s=150)

    def changed(self, before: Pod | None, after: Pod | None) -> None:
        one = after or before
        assert one is not None
        what = "new" if before is None else "gone" if after is None else "changed"
        self.said.append((one.metadata.name, what))

    def names(self) -> list[str]:
        assert all(key == Key("shop", one.metadata.name) for key, one in self.mirror.objects.items())
        return sorted(key.name for key in self.mirror.objects)


@asynccontextmanager
async def mirrored(api: FakeApi) -> AsyncIterator[Mirrored]:
    made = Mirrored(api)
    task = asyncio.create_task(made.mirror.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def converse(talk: Callable[[Mirrored], Awaitable[None]], *names: str) -> FakeApi:
    """Let *talk* have a mirror of pods with these *names*."""

    async def main() -> FakeApi:
        api = FakeApi()
        for name in names:
            api.add(PODS, manifest(name))
        async with mirrored(api) as made:
            await asyncio.wait_for(made.mirror.listed.wait(), 60)
            await talk(made)
        return api

    return run(main())


def test_list_and_watch() -> None:
    """What is listed is there, and so is each change after it."""

    async def talk(made: Mirrored) -> None:
        assert made.names() == ["a", "b"]
        made.api.add(PODS, manifest("c"))
        made.api.change(f"{PODS}/a", {"spec": {"nodeName": "node-1"}})
        made.api.remove(f"{PODS}/b")
        await until(lambda: len(made.said) == 5)
        assert made.said == [("a", "new"), ("b", "new"), ("c", "new"), ("a", "changed"), ("b", "gone")]
        assert made.names() == ["a", "c"]

    converse(talk, "a", "b")


def test_pages() -> None:
    """A long list comes in pages."""

    async def talk(made: Mirrored) -> None:
        assert len(made.mirror.objects) == 1001

    assert converse(talk, *(f"web-{number}" for number in range(1001))).lists == 3


@pytest.mark.parametrize("how", [CUT, BROKEN], ids=["in-order", "broken-off"])
def test_watch_ends(how: bytes) -> None:
    """A watch that ends goes on where it ended, without a list."""

    async def talk(made: Mirrored) -> None:
        await asyncio.sleep(1)
        made.api.end_watches(how)
        made.api.add(PODS, manifest("b"))
        await until(lambda: made.names() == ["a", "b"])

    assert converse(talk, "a").lists == 1


def test_version_too_old() -> None:
    """Where the history is gone there is a new list, and only what differs is said."""

    async def talk(made: Mirrored) -> None:
        await asyncio.sleep(1)
        made.api.end_watches(BROKEN)
        made.api.remove(f"{PODS}/a")
        made.api.add(PODS, manifest("c"))
        made.api.compact()
        await until(lambda: made.names() == ["b", "c"], 60)
        assert made.said == [("a", "new"), ("b", "new"), ("a", "gone"), ("c", "new")]

    assert converse(talk, "a", "b").lists == 2


def test_silence() -> None:
    """A watch that is silent for too long is not believed: all is listed anew."""

    async def talk(made: Mirrored) -> None:
        await asyncio.sleep(100)
        assert made.api.lists == 1
        await asyncio.sleep(60)
        assert made.api.lists == 2

    converse(talk, "a")


def test_quick_ends_have_pauses() -> None:
    """A server that ends every watch at once is not asked without pauses."""

    async def talk(made: Mirrored) -> None:
        asked = 0
        for _ in range(6000):
            asked += bool(made.api.watches)
            made.api.end_watches()
            await asyncio.sleep(0.01)
        assert 5 < asked < 40

    converse(talk)


class OddApi(FakeApi):
    """An API server that answers lists with what it is given, as long as it has any."""

    def __init__(self, *odd: tuple[int, AsyncIterator[bytes]]) -> None:
        super().__init__()
        self.odd = list(odd)

    @asynccontextmanager
    async def get(self, path: str, query: dict[str, str]) -> AsyncIterator[FakeReply]:  # type: ignore[override]
        if self.odd and "watch" not in query:
            yield FakeReply(*self.odd.pop(0))
            return
        async with super().get(path, query) as reply:
            yield reply


async def text(octets: bytes) -> AsyncIterator[bytes]:
    yield octets


def survives(*odd: tuple[int, AsyncIterator[bytes]]) -> OddApi:
    """Return an API that answered oddly and was listed all the same."""

    async def main() -> OddApi:
        api = OddApi(*odd)
        api.add(PODS, manifest("a"))
        async with mirrored(api) as made:
            await until(made.names, 60)
        return api

    return run(main())


def test_refused_lists(caplog: pytest.LogCaptureFixture) -> None:
    """A list that is refused is tried again, with new credentials where they were refused, and each trouble is told."""
    with caplog.at_level(logging.WARNING):
        odd = [
            (500, whole({"message": "etcd is away"})),
            (500, whole({"message": "etcd is away"})),
            (401, text(b"\xff")),
            (200, text(b"<html>")),
        ]
        api = survives(*odd)
    assert api.renewals == 1
    assert [record.getMessage() for record in caplog.records][:2] == [
        "pods: HTTP 500: etcd is away; trying again",
        "pods: HTTP 401: \ufffd; trying again",
    ]
    assert len(caplog.records) == 3


def test_unreadable_object(caplog: pytest.LogCaptureFixture) -> None:
    """An object that cannot be read does not stop the others."""

    async def main() -> None:
        items = [
            {"metadata": {"name": 7}},
            {"metadata": {"name": "a", "namespace": "shop"}, "spec": {"containers": []}},
        ]
        api = OddApi((200, whole({"metadata": {"resourceVersion": "100"}, "items": items})))
        async with mirrored(api) as made:
            await until(made.names)
            assert made.names() == ["a"]

    run(main())
    assert "cannot be read is passed over" in caplog.text


def test_broken_line() -> None:
    """A line that is no event ends the watch, which then goes on from where it was."""

    async def talk(made: Mirrored) -> None:
        await asyncio.sleep(1)
        made.api.tell(b"what?\n")
        await until(lambda: not made.api.watches)
        made.api.add(PODS, manifest("b"))
        await until(lambda: made.names() == ["a", "b"])

    assert converse(talk, "a").lists == 1


def test_unknown_event() -> None:
    """An event of a kind that a later version may add is passed over."""

    async def talk(made: Mirrored) -> None:
        await asyncio.sleep(1)
        made.api.tell(b'{"type": "NEWS", "object": {"metadata": {"resourceVersion": "101"}}}\n')
        made.api.add(PODS, manifest("b"))
        await until(lambda: made.names() == ["a", "b"])
        assert made.api.watches == 1

    converse(talk, "a")


def test_bookmark() -> None:
    """A bookmark moves the version from which a watch goes on."""

    async def talk(made: Mirrored) -> None:
        await asyncio.sleep(1)
        made.api.compact()
        made.api.tell(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "%d"}}}\n' % 102)
        await asyncio.sleep(1)
        made.api.end_watches()
        await asyncio.sleep(10)

    assert converse(talk, "a").lists == 1
