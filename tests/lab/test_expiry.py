"""How long events live in a lab, in a loop whose clock jumps."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from headlessdns.lab.api.store import JournalError, Store
from headlessdns.lab.expiry import expire_events
from tests.lab.quick_loop import run

HOUR_S = 3600.0


def names(store: Store, resource: str = "events") -> list[str]:
    return [entry.name for entry in store.entries(resource)]


def create(store: Store, name: str, resource: str = "events") -> None:
    store.create(resource, {"apiVersion": "v1", "kind": "Any", "metadata": {"namespace": "default", "name": name}})


def test_events_go_after_an_hour() -> None:
    """An event goes an hour after its last write, a minute sooner or later, and nothing else does."""

    async def main() -> None:
        store = Store()
        task = asyncio.create_task(expire_events(store))
        create(store, "once")
        create(store, "again")
        create(store, "pod", "pods")
        await asyncio.sleep(HOUR_S / 2)
        store.update(
            "events", {"apiVersion": "v1", "kind": "Any", "metadata": {"namespace": "default", "name": "again"}}
        )
        await asyncio.sleep(HOUR_S / 2 - 120)
        assert names(store) == ["again", "once"]
        await asyncio.sleep(240)
        assert names(store) == ["again"]
        await asyncio.sleep(HOUR_S / 2)
        assert names(store) == []
        assert names(store, "pods") == ["pod"]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(main())


def test_a_disk_that_takes_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Events that cannot be deleted stay, the log says why, and they go when that is over."""

    async def main() -> None:
        store = Store()
        create(store, "once")
        delete, fails = store.delete, [True]

        def refuse(*arguments: str) -> None:
            if fails:
                raise JournalError("the disk is full")
            delete(*arguments)

        monkeypatch.setattr(store, "delete", refuse)
        task = asyncio.create_task(expire_events(store))
        await asyncio.sleep(HOUR_S + 30)
        assert names(store) == ["once"]
        assert [record.getMessage() for record in caplog.records] == ["old events stay: the disk is full"]
        fails.clear()
        await asyncio.sleep(60)
        assert names(store) == []
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(main())
