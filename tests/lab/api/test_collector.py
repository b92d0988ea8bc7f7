from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from headlessdns.lab.api.collector import Collector, Delete, Disown, Finish, Release, Target, decide
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.messages import Request
from headlessdns.lab.api.server import Api
from headlessdns.lab.api.store import Entry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Cluster:
    """An API whose collector runs only when a test says so."""

    def __init__(self) -> None:
        self.api = Api(clock=lambda: NOW, rng=random.Random(1))
        self.store = self.api.store
        self.api.collector.run()

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        octets = b"" if body is None else msgspec.json.encode(body)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self.api.handle(Request(method, path, {}, octets, kind))
        found: Json = msgspec.json.decode(answer.body)  # type: ignore[union-attr]
        return found

    def create(self, name: str, *owners: Json, **metadata: Any) -> Json:
        references = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            for owner in owners
        ]
        body = {"metadata": {"name": name, "ownerReferences": references, **metadata}}
        return self.ask("POST", "/api/v1/namespaces/default/configmaps", body)

    def delete(self, name: str, policy: str = "Background") -> Json:
        return self.ask("DELETE", f"/api/v1/namespaces/default/configmaps/{name}", {"propagationPolicy": policy})

    def names(self) -> list[str]:
        return [entry.name for entry in self.store.entries("configmaps", "default")]

    def entry(self, name: str, resource: str = "configmaps", namespace: str = "default") -> Entry:
        entry = self.store.get(resource, namespace, name)
        assert entry is not None
        return entry

    def decisions(self, name: str) -> list[Any]:
        return list(decide(self.store, self.api.registry, "configmaps", self.entry(name)))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def target(object: Json) -> Target:
    return Target("configmaps", "default", object["metadata"]["name"], object["metadata"]["uid"])


def test_a_dependent_goes_with_its_last_owner(cluster: Cluster) -> None:
    """An object whose owners are all gone is deleted, one that never had any is not."""
    owner = cluster.create("owner")
    dependent = cluster.create("a", owner)
    cluster.create("b")
    assert cluster.decisions("a") == []
    cluster.delete("owner")
    assert cluster.decisions("a") == [Delete(target(dependent))]
    cluster.api.collector.run()
    assert cluster.names() == ["b"]


def test_a_dependent_of_two_loses_one(cluster: Cluster) -> None:
    """An object that has another owner only loses its reference."""
    one, two = cluster.create("one"), cluster.create("two")
    dependent = cluster.create("a", one, two)
    cluster.delete("one")
    assert cluster.decisions("a") == [Disown(target(dependent), frozenset({one["metadata"]["uid"]}))]
    cluster.api.collector.run()
    references = cluster.entry("a").object["metadata"]["ownerReferences"]
    assert [reference["name"] for reference in references] == ["two"]


def test_dependents_of_dependents(cluster: Cluster) -> None:
    """Deletion goes down through all generations."""
    first = cluster.create("first")
    second = cluster.create("second", first)
    cluster.create("third", second)
    cluster.delete("first")
    cluster.api.collector.run()
    assert cluster.names() == []


def test_orphans(cluster: Cluster) -> None:
    """An owner that is deleted as orphaning lets go of its dependents and then goes."""
    owner = cluster.create("owner")
    dependent = cluster.create("a", owner)
    cluster.delete("owner", "Orphan")
    uid = owner["metadata"]["uid"]
    assert cluster.decisions("owner") == [
        Disown(target(dependent), frozenset({uid})),
        Release(target(owner), "orphan"),
    ]
    cluster.api.collector.run()
    assert cluster.names() == ["a"]
    assert "ownerReferences" not in cluster.entry("a").object["metadata"]


def test_foreground(cluster: Cluster) -> None:
    """An owner that is deleted in the foreground waits until its dependents are gone."""
    owner = cluster.create("owner")
    cluster.create("a", owner, finalizers=["example.com/hold"])
    cluster.delete("owner", "Foreground")
    cluster.api.collector.run()
    assert cluster.names() == ["a", "owner"]
    assert cluster.entry("a").is_terminating
    cluster.ask("PATCH", "/api/v1/namespaces/default/configmaps/a", {"metadata": {"finalizers": None}})
    cluster.api.collector.run()
    assert cluster.names() == []


def test_an_owner_in_another_namespace_is_none(cluster: Cluster) -> None:
    """An owner is in the namespace of its dependents; anywhere else it does not count."""
    owner = cluster.ask("POST", "/api/v1/namespaces/kube-system/configmaps", {"metadata": {"name": "owner"}})
    cluster.create("a", owner)
    cluster.api.collector.run()
    assert cluster.names() == []


def test_a_namespace_goes_when_it_is_empty(cluster: Cluster) -> None:
    """A namespace that is deleted takes along what is in it, and waits for what finalizers hold."""
    cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    body = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}
    cluster.ask("POST", "/api/v1/namespaces/n/configmaps", body)
    cluster.ask("POST", "/api/v1/namespaces/n/secrets", {"metadata": {"name": "b"}})
    cluster.ask("DELETE", "/api/v1/namespaces/n")
    cluster.api.collector.run()
    assert cluster.store.get("secrets", "n", "b") is None
    assert cluster.entry("a", namespace="n").is_terminating
    assert cluster.entry("n", "namespaces", "").is_terminating
    cluster.ask("PATCH", "/api/v1/namespaces/n/configmaps/a", {"metadata": {"finalizers": None}})
    entry = cluster.entry("n", "namespaces", "")
    assert list(decide(cluster.store, cluster.api.registry, "namespaces", entry)) == [
        Finish(Target("namespaces", "", "n", entry.uid))
    ]
    cluster.api.collector.run()
    assert cluster.store.get("namespaces", "", "n") is None


def test_what_was_left_over_is_collected_after_a_restart(cluster: Cluster) -> None:
    """A collector that begins looks at all that is there."""
    owner = cluster.create("owner")
    cluster.create("a", owner)
    cluster.delete("owner")
    fresh = Collector(cluster.api.rules)
    fresh.run()
    assert cluster.names() == []


def test_work_can_be_cut_into_pieces(cluster: Cluster) -> None:
    """The collector looks at so many objects as it is told, and goes on where it was."""
    owner = cluster.create("owner")
    for name in "abc":
        cluster.create(name, owner)
    cluster.api.collector.run()
    cluster.delete("owner")
    cluster.api.collector.run(1)
    assert len(cluster.names()) == 2
    cluster.api.collector.run()
    assert cluster.api.collector.is_idle
    assert cluster.names() == []


def test_a_definition_that_another_finalizer_holds_is_let_alone() -> None:
    """A definition loses its own finalizer once; then it waits for the others, and nothing happens."""
    cluster = Cluster()
    definition = {
        "metadata": {"name": "wishes.example.org", "finalizers": ["example.org/hold"]},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "wishes", "kind": "Wish"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.ask("POST", path, definition)
    cluster.ask("DELETE", f"{path}/wishes.example.org")
    cluster.api.collector.run(10)
    entry = cluster.entry("wishes.example.org", "customresourcedefinitions.apiextensions.k8s.io", "")
    assert entry.object["metadata"]["finalizers"] == ["example.org/hold"]
    assert cluster.api.collector.is_idle


def test_a_large_namespace_goes_in_small_steps() -> None:
    """No step deletes more objects than it may, so that others are served in between; in the end all are gone."""
    cluster = Cluster()
    cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "large"}})
    for number in range(25):
        cluster.ask("POST", "/api/v1/namespaces/large/secrets", {"metadata": {"name": f"s-{number}"}})
    cluster.ask("DELETE", "/api/v1/namespaces/large")
    left = []
    while not cluster.api.collector.is_idle:
        cluster.api.collector.run(10)
        left.append(cluster.store.count("secrets"))
    assert left == [15, 5, 0]
    assert cluster.store.get("namespaces", "", "large") is None
