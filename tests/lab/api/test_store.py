from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.api.store import Commit, ExistsError, ExpiredError, MissingError, StaleError, Store

Json = dict[str, Any]


def config_map(name: str, namespace: str = "ns", **more: Any) -> Json:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"namespace": namespace, "name": name, **more}}


def names(store: Store, namespace: str = "") -> list[str]:
    return [entry.name for entry in store.entries("configmaps", namespace)]


def events(store: Store, since: int) -> list[tuple[str, str, int]]:
    log = store.log("configmaps")
    return [(event.type, event.entry.name, event.version) for event in log.read(log.after(since))]


def test_every_write_has_the_next_version() -> None:
    """One counter over all resources gives every write its version, which stands in the object."""
    store = Store()
    first = store.create("configmaps", config_map("a"))
    second = store.create("secrets", {**config_map("b"), "kind": "Secret"})
    third = store.delete("configmaps", "ns", "a")
    assert (first.version, second.version, third.version) == (2, 3, 4)
    assert first.object["metadata"]["resourceVersion"] == "2"
    assert third.object["metadata"]["resourceVersion"] == "4"


def test_octets_begin_with_what_the_object_is() -> None:
    """Kind and version come first in the octets of an object, wherever they stood."""
    entry = Store().create("configmaps", {"metadata": {"name": "a"}, "apiVersion": "v1", "kind": "ConfigMap"})
    assert entry.octets == b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"2"}}'


def test_an_object_is_a_copy() -> None:
    """Whoever reads an object can change it without anybody else seeing that."""
    store = Store()
    store.create("configmaps", config_map("a"))
    entry = store.get("configmaps", "ns", "a")
    assert entry is not None
    entry.object["metadata"]["name"] = "b"
    assert entry.object["metadata"]["name"] == "a"


def test_refusals() -> None:
    """A name is taken once; what is not there or in another version is not written."""
    store = Store()
    version = store.create("configmaps", config_map("a")).version
    with pytest.raises(ExistsError):
        store.create("configmaps", config_map("a"))
    with pytest.raises(MissingError):
        store.update("configmaps", config_map("b"))
    with pytest.raises(MissingError):
        store.delete("configmaps", "other", "a")
    with pytest.raises(StaleError):
        store.update("configmaps", config_map("a"), expected=version + 1)
    with pytest.raises(StaleError):
        store.delete("configmaps", "ns", "a", expected=version - 1)
    assert store.version == version


def test_lists_are_in_the_order_of_their_keys() -> None:
    """A list is ordered by namespace and name, as text with a slash between them."""
    store = Store()
    for namespace, name in (("b", "a"), ("a", "z"), ("a-b", "m"), ("a", "c")):
        store.create("configmaps", config_map(name, namespace))
    assert [entry.key for entry in store.entries("configmaps")] == ["a-b/m", "a/c", "a/z", "b/a"]
    assert names(store, "a") == ["c", "z"]


def test_a_list_of_the_past() -> None:
    """Objects can be had as they were after a write, while the history reaches back to it."""
    store = Store()
    store.create("configmaps", config_map("a", labels={"v": "old"}))
    then = store.create("configmaps", config_map("b")).version
    store.update("configmaps", config_map("a", labels={"v": "new"}))
    store.delete("configmaps", "ns", "b")
    store.create("configmaps", config_map("c"))
    past = store.entries_at(then, "configmaps", "ns")
    assert [(entry.name, entry.labels) for entry in past] == [("a", {"v": "old"}), ("b", {})]
    assert names(store) == ["a", "c"]
    store.compact(then + 1)
    with pytest.raises(ExpiredError):
        store.entries_at(then, "configmaps")


def test_history() -> None:
    """A log tells what happened after a version, in order; a deletion has a version of its own."""
    store = Store()
    since = store.create("configmaps", config_map("a")).version
    store.update("configmaps", config_map("a", labels={"x": "y"}))
    store.create("configmaps", config_map("b"))
    store.delete("configmaps", "ns", "a")
    assert events(store, since) == [("MODIFIED", "a", 3), ("ADDED", "b", 4), ("DELETED", "a", 5)]
    assert events(store, store.version) == []


def test_an_event_is_encoded_once() -> None:
    """All who watch are given the same octets of an event."""
    store = Store()
    store.create("configmaps", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}})
    (event,) = store.log("configmaps").read(0)
    assert event.line == (
        b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1",'
        b'"metadata":{"name":"a","resourceVersion":"2"}}}\n'
    )
    assert event.line is event.line


@pytest.mark.parametrize(
    "bounds", [{"history_events": 4}, {"history_octets": 400}], ids=["by their number", "by their octets"]
)
def test_old_events_are_dropped(bounds: dict[str, int]) -> None:
    """A log drops its older half when it is full, and who asks for what is gone is told so."""
    store = Store(**bounds)
    for number in range(5):
        store.create("configmaps", config_map(f"a{number}"))
    with pytest.raises(ExpiredError):
        events(store, 1)
    with pytest.raises(ExpiredError):
        store.log("configmaps").read(0)
    assert [name for _, name, _ in events(store, 5)] == ["a4"]


def test_a_reader_keeps_its_place() -> None:
    """The number of an event stays the same while older ones are dropped."""
    store = Store()
    store.create("configmaps", config_map("a"))
    place = store.log("configmaps").end
    store.compact(store.version)
    store.create("configmaps", config_map("b"))
    assert [event.entry.name for event in store.log("configmaps").read(place)] == ["b"]


def test_the_journal_comes_first() -> None:
    """A write is handed to the journal before anybody can see it."""
    store = Store()
    seen: list[tuple[Commit, list[str], int]] = []
    store.journal = lambda commit: seen.append((commit, names(store), store.version))
    store.create("configmaps", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}})
    store.delete("configmaps", "", "a")
    octets = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"2"}}'
    assert seen == [
        (Commit(2, "configmaps", "", "a", octets), [], 1),
        (Commit(3, "configmaps", "", "a", None), ["a"], 2),
    ]


def test_a_journal_that_fails_undoes_the_write() -> None:
    """What the journal could not keep did not happen."""
    store = Store()

    def fail(commit: Commit) -> None:
        raise OSError("disk full")

    store.journal = fail
    with pytest.raises(OSError, match="disk full"):
        store.create("configmaps", config_map("a"))
    assert (names(store), store.version, events(store, 1)) == ([], 1, [])


def test_a_store_of_a_journal() -> None:
    """A store that begins with a journal has its objects, goes on with its versions, and has no history."""
    commits: list[Commit] = []
    store = Store()
    store.journal = commits.append
    for name in ("a", "b", "c"):
        store.create("configmaps", config_map(name))
    store.update("configmaps", config_map("a", labels={"x": "y"}))
    store.delete("configmaps", "ns", "b")
    for kept in (commits, store.commits()):
        again = Store(kept, version=store.version)
        assert names(again) == ["a", "c"]
        assert again.create("configmaps", config_map("d")).version == 7
        with pytest.raises(ExpiredError):
            events(again, 5)
        assert events(again, 6) == [("ADDED", "d", 7)]


def test_dependents() -> None:
    """Objects are found by the UID of their owner, and any object by its own, as long as they are there."""
    store = Store()
    store.create("configmaps", config_map("owner", uid="u1"))
    store.create("configmaps", config_map("a", uid="u2", ownerReferences=[{"uid": "u1"}]))
    assert [(resource, entry.name) for resource, entry in store.dependents("u1")] == [("configmaps", "a")]
    store.update("configmaps", config_map("a", uid="u2"))
    assert store.dependents("u1") == []
    assert [store.by_uid("u2") is not None, store.by_uid("u3") is not None] == [True, False]
    store.delete("configmaps", "ns", "a")
    assert store.by_uid("u2") is None
