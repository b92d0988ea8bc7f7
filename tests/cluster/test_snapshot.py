"""The observed state of the cluster: what events change, and what they touch."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.cluster.objects import (
    RESOURCES,
    Delete,
    EndpointSlice,
    Event,
    Forbid,
    Key,
    Kind,
    Object,
    ObjectRef,
    Put,
    Replace,
)
from headlessdns.cluster.snapshot import Snapshot, Touched

WEB = Key("default", "web")
SERVICE_NAME = "kubernetes.io/service-name"


def made(kind: Kind, name: str = "web", namespace: str = "default", version: int = 1, **more: object) -> Object:
    """Return an object of *kind*; `service` is the Service of a slice, the rest are its fields."""
    labels = {SERVICE_NAME: more.pop("service")} if "service" in more else {}
    metadata = {"name": name, "resourceVersion": str(version), "labels": labels}
    metadata["namespace"] = "" if kind is Kind.NAMESPACE else namespace
    return msgspec.convert({"metadata": metadata, **more}, RESOURCES[kind].struct)


def put(kind: Kind, name: str = "web", namespace: str = "default", version: int = 1, **more: object) -> Put:
    return Put(kind, made(kind, name, namespace, version, **more))


def slice_of(service: str, name: str = "s", version: int = 1, **more: object) -> Put:
    return put(Kind.ENDPOINT_SLICE, name, version=version, service=service, **more)


def filled(*events: Event, namespaces: tuple[str, ...] = ()) -> Snapshot:
    snapshot = Snapshot(namespaces)
    for event in events:
        snapshot.apply(event)
    return snapshot


NEW = {"default"}
IP_1 = {"endpoints": [{"addresses": ["10.0.0.1"]}]}
IP_2 = {"endpoints": [{"addresses": ["10.0.0.2"]}]}


@pytest.mark.parametrize(
    ("before", "event", "touched"),
    [
        pytest.param([], put(Kind.SERVICE), Touched({WEB}, namespaces=NEW), id="first object of a namespace"),
        pytest.param([put(Kind.POD)], put(Kind.SERVICE), Touched({WEB}), id="further object of a namespace"),
        pytest.param([put(Kind.SERVICE)], put(Kind.SERVICE), Touched(), id="the same again"),
        pytest.param([put(Kind.SERVICE)], put(Kind.SERVICE, version=2), Touched(), id="another version of the same"),
        pytest.param(
            [put(Kind.SERVICE)], put(Kind.SERVICE, version=2, spec={"clusterIP": "None"}), Touched({WEB}), id="a change"
        ),
        pytest.param([], put(Kind.ENDPOINTS), Touched({WEB}, namespaces=NEW), id="Endpoints touch their Service"),
        pytest.param([], put(Kind.POD), Touched(pods={WEB}, namespaces=NEW), id="Pod"),
        pytest.param([], put(Kind.NAMESPACE, "prod"), Touched(namespaces={"prod"}), id="Namespace"),
        pytest.param([], put(Kind.STATEFUL_SET), Touched(namespaces=NEW), id="StatefulSet"),
        pytest.param([], slice_of("web"), Touched({WEB}, namespaces=NEW), id="slice touches its Service"),
        pytest.param(
            [slice_of("web", **IP_1)], slice_of("web", version=2, **IP_1), Touched(), id="slice without a change"
        ),
        pytest.param(
            [slice_of("web", **IP_1)], slice_of("web", version=2, **IP_2), Touched({WEB}), id="slice that changes"
        ),
        pytest.param(
            [slice_of("web")],
            slice_of("db", version=2),
            Touched({WEB, Key("default", "db")}),
            id="slice that moves to another Service",
        ),
        pytest.param(
            [slice_of("web")],
            Delete(Kind.ENDPOINT_SLICE, Key("default", "s")),
            Touched({WEB}, namespaces=NEW),
            id="gone",
        ),
        pytest.param([], Delete(Kind.SERVICE, WEB), Touched(), id="unknown object is gone"),
        pytest.param(
            [put(Kind.SERVICE), put(Kind.POD)], Delete(Kind.POD, WEB), Touched(pods={WEB}), id="one of several is gone"
        ),
        pytest.param([], Replace(Kind.POD, []), Touched(kinds={Kind.POD}), id="empty list"),
        pytest.param([Replace(Kind.POD, [])], Replace(Kind.POD, []), Touched(), id="empty list again"),
        pytest.param(
            [Replace(Kind.POD, [made(Kind.POD), made(Kind.POD, "a")])],
            Replace(Kind.POD, [made(Kind.POD, version=9), made(Kind.POD, "b")]),
            Touched(pods={Key("default", "a"), Key("default", "b")}),
            id="list: what is equal is not touched",
        ),
        pytest.param(
            [put(Kind.POD, "a", "one"), put(Kind.POD, "b", "two")],
            Replace(Kind.POD, [], "one"),
            Touched(pods={Key("one", "a")}, namespaces={"one"}),
            id="list of one namespace",
        ),
        pytest.param([], Forbid(Kind.POD, "forbidden"), Touched(kinds={Kind.POD}), id="forbidden"),
        pytest.param([Forbid(Kind.POD, "forbidden")], Forbid(Kind.POD, "forbidden"), Touched(), id="forbidden again"),
        pytest.param(
            [Replace(Kind.POD, []), Forbid(Kind.POD, "forbidden")],
            Replace(Kind.POD, []),
            Touched(kinds={Kind.POD}),
            id="granted",
        ),
    ],
)
def test_touched(before: list[Event], event: Event, touched: Touched) -> None:
    """An event touches what it changed, and nothing else."""
    found = filled(*before).apply(event)
    assert found == touched
    assert bool(found) is (touched != Touched())


def test_touched_is_added_up() -> None:
    """What several events touched is added up."""
    touched = Touched({WEB}, namespaces={"a"})
    touched.update(Touched({WEB, Key("a", "b")}, {WEB}, {"b"}, {Kind.POD}))
    assert touched == Touched({WEB, Key("a", "b")}, {WEB}, {"a", "b"}, {Kind.POD})


def test_newest_version_is_kept() -> None:
    """An object that is equal in all that counts is kept with its newer version, in a slice's Service too."""
    snapshot = filled(slice_of("web"), slice_of("web", version=2))
    assert [one.metadata.resource_version for one in snapshot.slices(WEB)] == ["2"]


def test_slices_of_a_service() -> None:
    """The slices of a Service come by name; one that moved away or is gone is not among them."""
    snapshot = filled(slice_of("web", "b"), slice_of("web", "c"), slice_of("web", "a"), slice_of("db", "d"))
    assert [one.metadata.name for one in snapshot.slices(WEB)] == ["a", "b", "c"]
    snapshot.apply(slice_of("db", "b"))
    snapshot.apply(Delete(Kind.ENDPOINT_SLICE, Key("default", "c")))
    assert [one.metadata.name for one in snapshot.slices(WEB)] == ["a"]
    assert [one.metadata.name for one in snapshot.slices(Key("default", "db"))] == ["b", "d"]
    assert snapshot.slices(Key("default", "none")) == []
    assert snapshot.count(Kind.ENDPOINT_SLICE) == 3


def test_populated_namespaces() -> None:
    """A namespace is populated while an object is in it; a Namespace itself is not in it."""
    snapshot = filled(put(Kind.NAMESPACE, "empty"), put(Kind.POD, namespace="a"), put(Kind.SERVICE, namespace="a"))
    assert list(snapshot.populated()) == ["a"]
    snapshot.apply(Delete(Kind.POD, Key("a", "web")))
    assert snapshot.is_populated("a")
    snapshot.apply(Delete(Kind.SERVICE, Key("a", "web")))
    assert not snapshot.is_populated("a")
    assert not snapshot.is_populated("empty")


def test_listed_when_every_namespace_is() -> None:
    """Of several watched namespaces each must be listed; a kind without namespaces is listed at once."""
    snapshot = filled(Replace(Kind.POD, [], "a"), namespaces=("a", "b"))
    assert not snapshot.is_settled(Kind.POD)
    snapshot.apply(Replace(Kind.POD, [], "b"))
    assert snapshot.is_settled(Kind.POD)
    snapshot.apply(Replace(Kind.NAMESPACE, []))
    assert snapshot.listed == {Kind.POD, Kind.NAMESPACE}


def test_forbidden_in_one_namespace() -> None:
    """A kind cannot be had while one watched namespace forbids it, whatever the others grant, in any order."""
    snapshot = filled(Forbid(Kind.POD, "forbidden", "a"), Replace(Kind.POD, [], "b"), namespaces=("a", "b"))
    assert snapshot.unavailable == {Kind.POD}
    assert snapshot.is_settled(Kind.POD)
    assert snapshot.apply(Replace(Kind.POD, [], "a")) == Touched(kinds={Kind.POD})
    assert snapshot.unavailable == set()


def test_unwatched_until_it_is_listed() -> None:
    """A kind that was not watched is available once it is listed, in a namespace too."""
    snapshot = filled(Forbid(Kind.ENDPOINTS, "unwatched"), Replace(Kind.ENDPOINTS, [], "a"), namespaces=("a",))
    assert snapshot.unavailable == set()


def test_what_is_known_of_a_forbidden_kind_is_kept() -> None:
    """A kind that is forbidden later keeps what was known of it."""
    snapshot = filled(Replace(Kind.POD, [made(Kind.POD)]), Forbid(Kind.POD, "forbidden"))
    assert list(snapshot.pods) == [WEB]


def test_keys_in_words() -> None:
    """Keys and references are written as kubectl writes them."""
    assert (str(Key("default", "web")), str(Key("", "prod"))) == ("default/web", "prod")
    assert str(ObjectRef("Pod", "default", "web-0")) == "Pod default/web-0"


def test_slice_without_labels_has_no_service() -> None:
    """A slice whose labels are null belongs to no Service."""
    bare = msgspec.convert({"metadata": {"name": "s", "namespace": "a", "labels": None}}, EndpointSlice)
    assert bare.service == Key("a", "")


NAMES = st.sampled_from(["a", "b", "c"])
SPACES = st.sampled_from(["x", "y"])


@st.composite
def changes(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from([Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.POD]))
    if draw(st.integers(0, 5)) == 0:
        names = draw(st.lists(NAMES, unique=True))
        return Replace(kind, [draw(objects(kind, name, "x")) for name in names], "x")
    name, namespace = draw(NAMES), draw(SPACES)
    if draw(st.booleans()):
        return Delete(kind, Key(namespace, name))
    return Put(kind, draw(objects(kind, name, namespace)))


@st.composite
def objects(draw: st.DrawFn, kind: Kind, name: str, namespace: str) -> Object:
    version = draw(st.integers(1, 9))
    if kind is Kind.ENDPOINT_SLICE:
        return made(kind, name, namespace, version, service=draw(NAMES), endpoints=draw(st.sampled_from([None, []])))
    return made(kind, name, namespace, version)


@given(st.lists(changes(), max_size=30))
def test_updated_equals_rebuilt(events: list[Event]) -> None:
    """A snapshot after any events equals one that is made at once of what is left."""
    updated = filled(*events)
    stores = {
        Kind.SERVICE: updated.services,
        Kind.POD: updated.pods,
        Kind.ENDPOINT_SLICE: {
            one.metadata.key: one
            for namespace in "xy"
            for service in "abc"
            for one in updated.slices(Key(namespace, service))
        },
    }
    rebuilt = filled(*(Put(kind, object) for kind, store in stores.items() for object in store.values()))  # type: ignore[attr-defined]  # each is a dict
    assert rebuilt.services == updated.services
    assert rebuilt.pods == updated.pods
    assert sorted(rebuilt.populated()) == sorted(updated.populated())
    for kind in stores:
        assert rebuilt.count(kind) == updated.count(kind)
    for namespace in "xy":
        for service in "abc":
            assert rebuilt.slices(Key(namespace, service)) == updated.slices(Key(namespace, service))


@given(st.lists(changes(), max_size=20), st.lists(changes(), max_size=5))
def test_what_is_not_touched_is_as_it_was(before: list[Event], after: list[Event]) -> None:
    """Slices of a Service that no event touched are the ones of before, versions aside."""
    snapshot = filled(*before)
    known = {Key(namespace, name): snapshot.slices(Key(namespace, name)) for namespace in "xy" for name in "abc"}
    touched = Touched()
    for event in after:
        touched.update(snapshot.apply(event))
    for service, slices in known.items():
        if service not in touched.services:
            assert [(one.metadata.key, one.endpoints) for one in snapshot.slices(service)] == [
                (one.metadata.key, one.endpoints) for one in slices
            ]
