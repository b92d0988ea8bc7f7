"""The conversation about one kind: what is asked, and what replies mean."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.cluster.objects import Delete, Event, Forbid, Key, Kind, Put, Replace
from headlessdns.cluster.watch import (
    PAGE_SIZE,
    TRANSITIONS,
    Backoff,
    ListWatch,
    Outcome,
    Pause,
    State,
    Wait,
    WatchStatus,
    is_stale,
    outcome_of,
)

NOW_S = 1000.0
SERVICE_NAME = "kubernetes.io/service-name"
RETRY_LATER = {"kind": "Status", "code": 429, "message": "too many", "details": {"retryAfterSeconds": 7}}


class Top(random.Random):
    """Chance that always falls on the largest value."""

    def random(self) -> float:
        return 1.0

    def randint(self, low: int, high: int) -> int:
        return high


def watch(kind: Kind = Kind.POD, namespace: str | None = None, **options: object) -> ListWatch:
    return ListWatch(kind, namespace, rng=Top(), **options)  # type: ignore[arg-type]  # by name


def paged(kind: Kind = Kind.POD, namespace: str | None = None) -> ListWatch:
    """Return a conversation with a server that has no streamed lists."""
    core = watch(kind, namespace)
    core.refused(422, status(422, "sendInitialEvents is forbidden"))
    return core


def item(name: str, version: int = 1, **more: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(version), **more}}


def event(type: str, object: object) -> bytes:
    return json.dumps({"type": type, "object": object}).encode() + b"\n"


def bookmark(version: int, *, ends_list: bool = False) -> bytes:
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if ends_list else {}
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version), **annotations}})


def status(code: int, message: str = "") -> bytes:
    return json.dumps({"kind": "Status", "code": code, "message": message}).encode()


def error(code: int, message: str = "") -> bytes:
    return event("ERROR", json.loads(status(code, message)))


def page(*names: str, version: int = 1, more: str | None = None) -> bytes:
    metadata = {"resourceVersion": str(version), "continue": more}
    return json.dumps({"metadata": metadata, "items": [item(name) for name in names]}).encode()


def stream(core: ListWatch, *lines: bytes) -> list[Event]:
    """Let the server reply with a stream of *lines*."""
    core.opened(NOW_S)
    return core.receive(b"".join(lines))


def reply(core: ListWatch, body: bytes) -> list[Event]:
    """Let the server reply with *body* and its end."""
    core.opened(NOW_S)
    return core.receive(body) + core.ended(NOW_S)


def shown(events: Iterable[Event]) -> list[str]:
    """Return *events* in short."""
    texts = []
    for one in events:
        match one:
            case Put(_, object):
                texts.append(f"put {object.metadata.name}")
            case Delete(_, key):
                texts.append(f"delete {key.name}")
            case Replace(_, objects, namespace):
                texts.append(f"replace {namespace}: {' '.join(object.metadata.name for object in objects)}")
            case Forbid(_, reason, namespace):
                texts.append(f"forbid {namespace}: {reason}")
    return texts


# What is asked


@pytest.mark.parametrize(
    ("kind", "namespace", "path"),
    [
        pytest.param(Kind.SERVICE, None, "/api/v1/services", id="core group"),
        pytest.param(Kind.ENDPOINT_SLICE, None, "/apis/discovery.k8s.io/v1/endpointslices", id="named group"),
        pytest.param(Kind.STATEFUL_SET, "prod", "/apis/apps/v1/namespaces/prod/statefulsets", id="one namespace"),
        pytest.param(Kind.NAMESPACE, None, "/api/v1/namespaces", id="not namespaced"),
    ],
)
def test_path(kind: Kind, namespace: str | None, path: str) -> None:
    """A kind is asked for where the API has it."""
    assert watch(kind, namespace).request().path == path


STREAMED = {
    "watch": "true",
    "allowWatchBookmarks": "true",
    "timeoutSeconds": "600",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
}


def test_list_is_asked_for_as_a_stream() -> None:
    """The first request is a watch that begins with every object, at the newest state."""
    request = watch().request()
    assert request.query == STREAMED
    assert (request.is_stream, request.verb) == (True, "watch")


def test_list_in_pages() -> None:
    """Where streamed lists are refused, pages of 500 are asked for one after the other, at the newest state."""
    core = paged()
    assert core.pause() == Pause(0.0)
    request = core.request()
    assert (request.query, request.is_stream, request.verb) == ({"limit": "500"}, False, "list")
    assert reply(core, page("a", "b", more="token")) == []
    assert core.request().query == {"limit": "500", "continue": "token"}
    assert shown(reply(core, page("c", version=5, more=""))) == ["replace None: a b c"]
    assert core.request().query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "600",
        "resourceVersion": "5",
    }


def test_watches_last_between_290_and_600_seconds() -> None:
    """How long a watch is to last is left to chance, so that replicas do not come back together."""
    lengths = {
        int(ListWatch(Kind.POD, rng=random.Random(seed)).request().query["timeoutSeconds"]) for seed in range(500)
    }
    assert min(lengths) >= 290
    assert max(lengths) <= 600
    assert len(lengths) > 100


@pytest.mark.parametrize(
    ("kind", "is_limited"),
    [
        pytest.param(Kind.SERVICE, True, id="Services"),
        pytest.param(Kind.ENDPOINT_SLICE, True, id="EndpointSlices"),
        pytest.param(Kind.ENDPOINTS, True, id="Endpoints"),
        pytest.param(Kind.POD, True, id="Pods"),
        pytest.param(Kind.NAMESPACE, False, id="not Namespaces"),
        pytest.param(Kind.STATEFUL_SET, False, id="not StatefulSets"),
    ],
)
def test_label_selector(kind: Kind, is_limited: bool) -> None:
    """A label selector goes with every request for the kinds that addresses come from."""
    core = watch(kind, label_selector="app in (a, b)")
    expected = "app in (a, b)" if is_limited else None
    assert core.request().query.get("labelSelector") == expected
    core.refused(400)
    assert core.request().query.get("labelSelector") == expected


# What streams say


def test_streamed_list() -> None:
    """Objects are held back until the bookmark that ends the list; then one event replaces all, and changes follow."""
    core = watch()
    assert stream(core, event("ADDED", item("a")), event("ADDED", item("b"))) == []
    assert not core.is_listed
    events = core.receive(bookmark(7, ends_list=True) + event("MODIFIED", item("a", 8)))
    assert shown(events) == ["replace None: a b", "put a"]
    assert core.is_listed
    core.ended(NOW_S)
    assert core.request().query["resourceVersion"] == "8"


def test_changes_before_the_list_is_complete() -> None:
    """What changes while a streamed list comes in is part of the list."""
    core = watch(Kind.ENDPOINT_SLICE)
    labels = {"labels": {SERVICE_NAME: "web"}}
    events = stream(
        core,
        event("ADDED", item("a", **labels)),
        event("ADDED", item("b", **labels)),
        event("ADDED", item("c", **labels)),
        event("MODIFIED", item("a", 2, **labels)),
        event("DELETED", item("b", 3, **labels)),
        event("MODIFIED", item("c", 4)),
        bookmark(4, ends_list=True),
    )
    assert shown(events) == ["replace None: a"]
    assert isinstance(events[0], Replace)
    assert events[0].objects[0].metadata.resource_version == "2"


def test_bookmark_that_ends_nothing() -> None:
    """A bookmark without the annotation does not end a list."""
    assert stream(watch(), event("ADDED", item("a")), bookmark(7)) == []


@pytest.mark.parametrize(
    ("lines", "expected", "version"),
    [
        pytest.param([event("ADDED", item("b", 11))], ["put b"], "11", id="added"),
        pytest.param([event("MODIFIED", item("a", 12))], ["put a"], "12", id="modified"),
        pytest.param([event("DELETED", item("a", 13))], ["delete a"], "13", id="deleted"),
        pytest.param([bookmark(14)], [], "14", id="bookmark"),
        pytest.param([event("RENAMED", item("a", 15))], [], "10", id="type of a later version"),
        pytest.param([b"\n", event("ADDED", item("b", 16))], ["put b"], "16", id="empty line"),
        pytest.param(
            [event("ADDED", {"metadata": {"name": 5}}), event("ADDED", item("b", 17))],
            ["put b"],
            "17",
            id="object that cannot be read, and the next one",
        ),
    ],
)
def test_watch_events(lines: list[bytes], expected: list[str], version: str) -> None:
    """Each line of a watch becomes an event, and the next watch begins behind it."""
    core = watch()
    stream(core, event("ADDED", item("a", 9)), bookmark(10, ends_list=True))
    assert shown(core.receive(b"".join(lines))) == expected
    core.ended(NOW_S)
    assert core.request().query["resourceVersion"] == version


def test_object_that_cannot_be_read_is_noted() -> None:
    """An object that breaks the API's own rules is passed over and noted, in streams and in pages."""
    core = watch()
    stream(core, event("ADDED", {"metadata": {"name": 5}}), bookmark(10, ends_list=True))
    assert len(core.skipped) == 1
    assert core.skipped[0].startswith("Expected `str`, got `int` - at `$.metadata.name`: ")
    core = paged()
    body = json.dumps({"metadata": {"resourceVersion": "3"}, "items": [{"metadata": {"name": 5}}, item("b")]}).encode()
    assert shown(reply(core, body)) == ["replace None: b"]
    assert core.skipped == ['Expected `str`, got `int` - at `$.metadata.name`: {"metadata": {"name": 5}}']


_BROKEN_TEXT = b'{"metadata": {"name": "\xff\xfe"}}'
_WITHOUT_NAME = b'{"metadata": {}}'


@pytest.mark.parametrize(
    ("object", "reason"),
    [
        pytest.param(_BROKEN_TEXT, "'utf-8' codec can't decode byte 0xff", id="no UTF-8"),
        pytest.param(_WITHOUT_NAME, "Object missing required field `name`", id="no name"),
    ],
)
def test_text_that_cannot_be_read(object: bytes, reason: str) -> None:
    """An object of broken text, or without a name, is noted and passed over; those beside it are taken."""
    line = b'{"type": "ADDED", "object": ' + object + b"}\n"
    core = listed()
    assert shown(core.receive(line + event("ADDED", item("b", 11)))) == ["put b"]
    assert [text.startswith(reason) for text in core.skipped] == [True]
    core = paged()
    body = page("b", version=3).replace(b'"items": [', b'"items": [' + object + b", ")
    assert shown(reply(core, body)) == ["replace None: b"]
    assert [text.startswith(reason) for text in core.skipped] == [True]


def test_brackets_without_end() -> None:
    """Values nested beyond measure pass like any other object that cannot be read; as a page they are no list."""
    nested = b"[" * 100_000 + b"]" * 100_000
    core = listed()
    line = b'{"type": "ADDED", "object": {"metadata": {"name": "a"}, "spec": ' + nested + b"}}\n"
    assert shown(core.receive(line + event("ADDED", item("b", 11)))) == ["put b"]
    assert len(core.skipped) == 1
    core = paged()
    assert reply(core, b'{"metadata": {}, "items": [' + nested + b"]}") == []
    assert core.last_error.startswith("a page that is no list: ")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({SERVICE_NAME: "web"}, ["put s"], id="of a Service"),
        pytest.param({}, ["delete s"], id="of none"),
        pytest.param(None, ["delete s"], id="without labels"),
        pytest.param({SERVICE_NAME: ""}, ["delete s"], id="empty label"),
    ],
)
def test_slices_without_a_service(labels: dict[str, str] | None, expected: list[str]) -> None:
    """A slice that names no Service is as good as gone: it may have named one before."""
    core = watch(Kind.ENDPOINT_SLICE)
    stream(core, bookmark(1, ends_list=True))
    assert shown(core.receive(event("MODIFIED", item("s", 2, labels=labels)))) == expected


def test_slices_without_a_service_are_not_listed() -> None:
    """Lists leave out slices that name no Service."""
    items = [item("a"), item("b", labels={SERVICE_NAME: "web"}), item("c", labels={"x": SERVICE_NAME})]
    core = watch(Kind.ENDPOINT_SLICE)
    events = stream(core, *(event("ADDED", one) for one in items), bookmark(1, ends_list=True))
    assert shown(events) == ["replace None: b"]
    core = paged(Kind.ENDPOINT_SLICE)
    body = json.dumps({"metadata": {"resourceVersion": "3"}, "items": items}).encode()
    assert shown(reply(core, body)) == ["replace None: b"]


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
def test_every_kind_is_decoded(kind: Kind) -> None:
    """Each kind is decoded into its own struct, from streams and pages, null for absent parts."""
    full = item("a", labels={SERVICE_NAME: "web", "app": "web"}, annotations=None, managedFields=[{"manager": "x"}])
    full |= {
        "apiVersion": "x",
        "kind": "x",
        "endpoints": None,
        "subsets": None,
        "ports": None,
        "spec": {},
        "status": {},
    }
    core = watch(kind, "default")
    [streamed] = stream(core, event("ADDED", full), bookmark(1, ends_list=True))
    core = paged(kind, "default")
    [listed] = reply(core, json.dumps({"metadata": {"resourceVersion": "1"}, "items": [full]}).encode())
    assert streamed == listed
    assert isinstance(listed, Replace)
    assert (listed.kind, listed.namespace, type(listed.objects[0]).__name__) == (kind, "default", kind.value)
    assert listed.objects[0].metadata.key == Key("default", "a")


CONVERSATION = b"".join(
    [
        event("ADDED", item("a")),
        event("ADDED", item("b", 2, annotations={"x": "é" * 50})),
        bookmark(3, ends_list=True),
        event("MODIFIED", item("a", 4)),
        event("DELETED", item("b", 5)),
        bookmark(6),
    ]
)


@given(cuts=st.lists(st.integers(0, len(CONVERSATION)), max_size=12).map(sorted))
def test_cuts_mean_nothing(cuts: list[int]) -> None:
    """However a stream is cut into chunks, it says the same."""
    core = watch()
    core.opened(NOW_S)
    events = []
    for begin, end in zip([0, *cuts], [*cuts, len(CONVERSATION)], strict=True):
        events += core.receive(CONVERSATION[begin:end])
    assert shown(events) == ["replace None: a b", "put a", "delete b"]
    core.ended(NOW_S)
    assert core.request().query["resourceVersion"] == "6"


# How requests end


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        pytest.param(400, "", Outcome.REFUSED, id="400"),
        pytest.param(401, "", Outcome.UNAUTHORIZED, id="401"),
        pytest.param(403, "", Outcome.FORBIDDEN, id="403"),
        pytest.param(404, "", Outcome.ABSENT, id="404"),
        pytest.param(410, "", Outcome.GONE, id="410"),
        pytest.param(422, "", Outcome.REFUSED, id="422"),
        pytest.param(429, "", Outcome.BUSY, id="429"),
        pytest.param(500, "", Outcome.BROKEN, id="500"),
        pytest.param(
            500,
            "storage is (re)initializing: RequestWatchProgress is disabled",
            Outcome.REFUSED,
            id="500 of an etcd that cannot end a streamed list",
        ),
        pytest.param(504, "Timeout: Too large resource version", Outcome.BROKEN, id="504"),
        pytest.param(302, "", Outcome.BROKEN, id="a redirect that leads nowhere"),
        pytest.param(0, "", Outcome.BROKEN, id="no code"),
    ],
)
def test_outcome_of(code: int, message: str, outcome: Outcome) -> None:
    """A status means the same as HTTP status and in an ERROR event."""
    assert outcome_of(code, message) is outcome


def test_every_outcome_has_a_transition() -> None:
    """In every state every outcome leads somewhere, and no list is complete for having failed."""
    assert set(TRANSITIONS) == set(product(State, Outcome))
    to_watch = {pair for pair, step in TRANSITIONS.items() if step.state is State.WATCH and pair[0] is not State.WATCH}
    assert to_watch == {(State.PAGED_LIST, Outcome.ENDED)}
    no_pause = {pair for pair, step in TRANSITIONS.items() if step.wait is Wait.NONE}
    assert no_pause == {
        (State.PAGED_LIST, Outcome.ENDED),
        (State.STREAMED_LIST, Outcome.REFUSED),
        (State.STREAMED_LIST, Outcome.SILENT),
    }


def listed(*, streams: bool = True) -> ListWatch:
    """Return a conversation whose list is complete and whose first watch is about to begin or has begun."""
    core = watch() if streams else paged()
    if streams:
        stream(core, bookmark(10, ends_list=True))
    else:
        reply(core, page(version=10))
        core.opened(NOW_S)
    return core


@pytest.mark.parametrize("streams", [True, False], ids=["streamed lists", "pages"])
@pytest.mark.parametrize("in_stream", [True, False], ids=["ERROR event", "HTTP status"])
def test_gone_lists_anew(streams: bool, in_stream: bool) -> None:
    """410 means that the state is compacted away: the list is fetched anew, at once for the first time."""
    core = listed(streams=streams)
    if in_stream:
        assert core.receive(error(410, "too old resource version")) == []
        assert core.is_over
        assert core.ended(NOW_S) == []
        assert (core.pause(), core.last_error) == (Pause(0.0), "410: too old resource version")
    else:
        core.ended(NOW_S + 60)
        core.opened(NOW_S + 60)
        core.receive(bookmark(11))
        core.ended(NOW_S + 120)
        assert core.refused(410, status(410)) == []
    assert core.request().query == (STREAMED if streams else {"limit": "500"})
    assert core.relists == 1


def test_gone_again_and_again_backs_off() -> None:
    """A list whose watch is gone at once is not fetched in a tight loop, though each list succeeds."""
    core = listed()
    pauses = []
    for _ in range(4):
        core.receive(error(410))
        pauses.append(core.pause().seconds)
        stream(core, bookmark(10, ends_list=True))
    assert pauses == [0.0, 3.2, 6.4, 12.8]


def test_gone_after_an_outage() -> None:
    """When the server is back and says 410, the list is fetched at once, however long the pauses had grown."""
    core = listed()
    for _ in range(6):
        core.lost("refused", NOW_S)
    assert core.pause().seconds == 30.0
    core.refused(410, status(410))
    assert core.pause() == Pause(0.0)


def test_continue_token_that_expired() -> None:
    """Where pages come too slowly for their token, all is asked for at once; the next list is in pages again."""
    core = paged()
    reply(core, page("a", more="token"))
    core.refused(410, status(410, "The provided continue parameter is too old"))
    assert core.request().query == {}
    assert shown(reply(core, page("b", "c", version=5))) == ["replace None: b c"]
    core.refused(410)
    assert core.request().query == {"limit": str(PAGE_SIZE)}


def test_page_that_broke_off_is_asked_for_again() -> None:
    """A failure in the midst of pages costs that page only."""
    core = paged()
    reply(core, page("a", more="token"))
    core.opened(NOW_S)
    core.receive(page("b")[:20])
    core.lost("reset", NOW_S)
    assert core.request().query == {"limit": "500", "continue": "token"}
    assert shown(reply(core, page("b", version=5))) == ["replace None: a b"]


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(lambda core: core.refused(400, status(400, "unknown parameter")), id="400"),
        pytest.param(lambda core: core.refused(422, status(422, "sendInitialEvents is forbidden")), id="422"),
        pytest.param(
            lambda core: stream(core, error(500, "etcdserver: RequestWatchProgress is disabled")), id="etcd too old"
        ),
        pytest.param(lambda core: stream(core) + core.silent(NOW_S), id="no end of the list"),
    ],
)
def test_streamed_lists_that_are_refused(refuse: object) -> None:
    """Where streamed lists are not offered, pages follow at once, now and ever after, and it is no trouble."""
    core = watch()
    assert callable(refuse)
    assert refuse(core) == []
    assert (core.pause(), core.last_error) == (Pause(0.0), "")
    assert core.request().query == {"limit": "500"}
    reply(core, page())
    core.refused(410)
    assert core.request().query == {"limit": "500"}


def test_no_reply_to_a_streamed_list() -> None:
    """A server that is silent before it replies is away, which says nothing about its streamed lists."""
    core = watch()
    assert core.silent(NOW_S) == []
    assert (core.pause(), core.last_error) == (Pause(1.6), "the server was silent for too long")
    assert core.request().query == STREAMED


def test_streamed_list_that_breaks_thrice_is_fetched_in_pages_once() -> None:
    """A server that cannot bring a streamed list to its end may still have pages; the next list is streamed again."""
    core = watch()
    for _ in range(2):
        stream(core, event("ADDED", item("x")), error(504, "Too large resource version"))
        assert core.request().query == STREAMED
    core.lost("reset", NOW_S)
    assert core.request().query == {"limit": "500"}
    assert shown(reply(core, page("a"))) == ["replace None: a"]
    core.refused(410)
    assert core.request().query == STREAMED


def test_streamed_list_that_broke_begins_anew() -> None:
    """What a broken streamed list brought is forgotten."""
    core = watch()
    stream(core, event("ADDED", item("a")))
    core.lost("reset", NOW_S)
    assert shown(stream(core, event("ADDED", item("b")), bookmark(3, ends_list=True))) == ["replace None: b"]


def test_watch_goes_on_after_a_break() -> None:
    """After a break the watch goes on behind the last event, and nothing is listed again."""
    core = listed()
    core.receive(event("ADDED", item("a", 11)) + b'{"type": "ADDED", "obj')
    core.lost("connection reset", NOW_S)
    assert core.last_error == "connection reset"
    assert core.request().query["resourceVersion"] == "11"
    assert shown(stream(core, event("ADDED", item("b", 12)))) == ["put b"]
    assert (core.last_error, core.relists) == ("", 0)


def test_streamed_list_that_ends_with_its_bookmark() -> None:
    """A server that closes the stream right after the list has its watch resumed at once from the bookmark."""
    core = listed()
    core.ended(NOW_S)
    assert core.pause() == Pause(0.0)
    assert core.request().query["resourceVersion"] == "10"


def test_open_watch_ends_the_trouble() -> None:
    """A watch that the server takes up again is well, before it has brought anything."""
    core = listed()
    core.lost("reset", NOW_S)
    core.opened(NOW_S)
    assert core.last_error == ""


def test_open_list_does_not_end_the_trouble() -> None:
    """A list is well when it is complete."""
    core = watch()
    core.lost("reset", NOW_S)
    core.opened(NOW_S)
    assert core.last_error == "reset"
    core.receive(bookmark(1, ends_list=True))
    assert core.last_error == ""


def test_page_of_several_lines() -> None:
    """A page may be written over several lines, as pretty-printed JSON is."""
    core = paged()
    body = json.dumps(json.loads(page("a")), indent=1).encode()
    assert shown(reply(core, body)) == ["replace None: a"]


def test_line_that_is_no_json_breaks_the_stream() -> None:
    """A line that is no JSON ends the stream; what follows it is not looked at."""
    core = listed()
    assert core.receive(b"<html>\n" + event("ADDED", item("a", 11))) == []
    assert core.is_over
    assert core.last_error.startswith("a line that is no JSON: ")
    assert core.request().query["resourceVersion"] == "10"


def test_page_that_is_no_list_breaks() -> None:
    """A page that is no list, such as a proxy's, is asked for again."""
    core = paged()
    assert reply(core, b"<html>") == []
    assert core.last_error.startswith("a page that is no list: ")
    assert core.pause().seconds == 3.2
    assert core.request().query == {"limit": "500"}


def test_silent_watch_lists_anew() -> None:
    """A watch without even a bookmark may be of a server whose state went back: the list is fetched anew, at once."""
    core = listed()
    assert core.silent(NOW_S) == []
    assert (core.pause(), core.request().query) == (Pause(0.0), STREAMED)


def test_silent_page_is_asked_for_again() -> None:
    """A page that does not come is asked for again."""
    core = paged()
    reply(core, page("a", more="token"))
    core.silent(NOW_S)
    assert core.request().query == {"limit": "500", "continue": "token"}
    assert core.last_error == "the server was silent for too long"


# Credentials and rights


def test_unauthorized() -> None:
    """After 401 credentials are read again and the request is sent at once, then with growing pauses."""
    core = watch()
    pauses = []
    for _ in range(3):
        assert core.refused(401, status(401, "Unauthorized")) == []
        pauses.append(core.pause())
    assert pauses == [Pause(0.0, True), Pause(3.2, True), Pause(6.4, True)]
    assert core.last_error == "HTTP 401: Unauthorized"
    assert core.request().query == STREAMED


@pytest.mark.parametrize(("code", "reason"), [(403, "forbidden"), (404, "absent")], ids=["403", "404"])
def test_kind_that_cannot_be_had(code: int, reason: str) -> None:
    """A kind that is forbidden or absent from the start is said to be so once, and asked for on and on."""
    core = watch(namespace="prod")
    assert shown(core.refused(code)) == [f"forbid prod: {reason}"]
    assert core.forbidden == reason
    for _ in range(8):
        assert core.refused(code) == []
    assert core.pause() == Pause(30.0)
    assert shown(stream(core, bookmark(3, ends_list=True))) == ["replace prod: "]
    assert core.forbidden == ""


def test_granted_where_it_is_not_served() -> None:
    """When the right to a forbidden kind is granted and the server then says 404, the kind is absent."""
    core = watch(Kind.ENDPOINT_SLICE)
    assert shown(core.refused(403)) == ["forbid None: forbidden"]
    assert shown(core.refused(404)) == ["forbid None: absent"]
    assert core.forbidden == "absent"


def test_refusal_is_believed_slowly_after_a_list() -> None:
    """A starting API server refuses for a moment what it granted: after a list only the third refusal counts."""
    core = listed()
    core.ended(NOW_S)
    assert core.refused(403) == []
    assert core.refused(403) == []
    core.opened(NOW_S)
    core.ended(NOW_S)
    assert core.request().query["resourceVersion"] == "10"
    for _ in range(2):
        assert core.refused(403) == []
    assert shown(core.refused(403)) == ["forbid None: forbidden"]
    assert core.request().query == STREAMED


# Pauses


@pytest.mark.parametrize(
    ("failures", "shortest_s", "longest_s"),
    [(1, 0.8, 1.6), (2, 1.6, 3.2), (3, 3.2, 6.4), (4, 6.4, 12.8), (5, 12.8, 25.6), (6, 15, 30), (5000, 15, 30)],
)
def test_backoff(failures: int, shortest_s: float, longest_s: float) -> None:
    """Pauses double from 0.8 s to 30 s, and half of each is left to chance."""
    pauses = [Backoff().pause_s(failures, random.Random(seed)) for seed in range(200)]
    assert shortest_s <= min(pauses) < shortest_s * 1.05
    assert longest_s * 0.95 < max(pauses) <= longest_s


def test_outage_backs_off_until_a_stream_is_healthy() -> None:
    """Pauses grow while the server is away and begin anew once a watch has brought something."""
    core = listed()
    pauses = []
    for _ in range(6):
        core.lost("refused", NOW_S)
        pauses.append(core.pause().seconds)
    assert pauses == [1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    core.opened(NOW_S)
    core.lost("reset", NOW_S + 1)
    assert core.pause().seconds == 30.0
    stream(core, bookmark(11))
    core.lost("reset", NOW_S + 1)
    assert core.pause().seconds == 1.6


def test_long_stream_is_healthy() -> None:
    """A stream that lived for 10 s ends a row of failures even if it brought nothing."""
    core = listed()
    for _ in range(3):
        core.lost("refused", NOW_S)
    core.opened(NOW_S)
    core.lost("reset", NOW_S + 10)
    assert core.pause().seconds == 1.6
    core.lost("refused", NOW_S + 3600)
    assert core.pause().seconds == 3.2


def test_silence_after_a_long_stream_is_the_first_failure() -> None:
    """A server without bookmarks has its quiet watches given up again and again: each time all is listed at once."""
    core = listed()
    for _ in range(3):
        core.opened(NOW_S)
        core.silent(NOW_S + 150)
        assert core.pause() == Pause(0.0)
        stream(core, bookmark(10, ends_list=True))


def test_watch_without_a_reply_is_not_healthy() -> None:
    """The time since a list came is not the life of a watch that the server never opened."""
    core = paged()
    core.lost("refused", NOW_S)
    core.lost("refused", NOW_S)
    reply(core, page("a", version=5))
    core.silent(NOW_S + 150)
    assert core.pause().seconds == 12.8


def test_watches_that_end_at_once_back_off() -> None:
    """A server that closes each watch as soon as it is open is not asked in a tight loop."""
    core = listed()
    pauses = []
    for _ in range(3):
        core.ended(NOW_S)
        pauses.append(core.pause().seconds)
        core.opened(NOW_S)
    assert pauses == [0.0, 3.2, 6.4]


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        pytest.param(b"", "5", 5.8, id="header"),
        pytest.param(json.dumps(RETRY_LATER).encode(), "", 7.8, id="Status object"),
        pytest.param(json.dumps(RETRY_LATER).encode(), "5", 5.8, id="both"),
        pytest.param(b"", "100000", 60.8, id="at most a minute"),
        pytest.param(b"", "Wed, 21 Oct 2026 07:28:00 GMT", 1.6, id="a date is not understood"),
        pytest.param(b"busy", "", 1.6, id="nothing said"),
        pytest.param(b'{"message": "\xff"}', "", 1.6, id="a body of broken text"),
        pytest.param(b"", "9" * 5000, 1.6, id="a number of thousands of digits"),
        pytest.param(b'{"details": {"retryAfterSeconds": -5}}', "", 0.8, id="less than nothing"),
    ],
)
def test_retry_after(body: bytes, header: str, seconds: float) -> None:
    """A busy server says how long to wait; a little chance is added."""
    core = watch()
    core.refused(429, body, header)
    assert core.pause().seconds == seconds


def test_retry_after_in_a_stream() -> None:
    """An ERROR event can say how long to wait, too."""
    core = listed()
    core.receive(event("ERROR", RETRY_LATER))
    assert core.pause().seconds == 7.8


def test_errors_are_told_in_words() -> None:
    """What went wrong is said with the server's own words, those of a proxy cut short."""
    core = watch()
    core.refused(503, b"<html>" + b"x" * 500)
    assert core.last_error == "HTTP 503: <html>" + "x" * 194
    core.refused(500, status(500, "etcd is away"))
    assert core.last_error == "HTTP 500: etcd is away"


@pytest.mark.parametrize(
    ("code", "said"), [(429, "HTTP 429: Too Many Requests"), (503, "HTTP 503: Service Unavailable"), (599, "HTTP 599")]
)
def test_a_server_that_gives_no_reason(code: int, said: str) -> None:
    """Where the server gives no reason the words of the HTTP status stand for one; none are made up."""
    core = ListWatch(Kind.POD)
    core.refused(code, b"")
    assert core.last_error == said
    core = listed()
    core.receive(event("ERROR", {"kind": "Status", "code": code}))
    assert core.last_error == said.removeprefix("HTTP ")


# Staleness


@pytest.mark.parametrize(
    ("status", "is_old"),
    [
        pytest.param(WatchStatus(Kind.SERVICE, None, True, True, 850.1), False, id="a word less than 150 s ago"),
        pytest.param(WatchStatus(Kind.SERVICE, None, True, True, 850.0), True, id="silent for 150 s"),
        pytest.param(WatchStatus(Kind.POD, None, False, True, 0.0), False, id="optional kind"),
        pytest.param(WatchStatus(Kind.SERVICE, None, True, False, 0.0), False, id="not listed yet"),
        pytest.param(WatchStatus(Kind.SERVICE, None, True, True, None), False, id="never a word"),
    ],
)
def test_is_stale(status: WatchStatus, is_old: bool) -> None:
    """Answers are stale when a required watch that was listed has been silent for 150 s."""
    fresh = WatchStatus(Kind.ENDPOINT_SLICE, None, True, True, NOW_S)
    assert is_stale([fresh, status], NOW_S) is is_old


def test_nothing_is_not_stale() -> None:
    """Without watches, as with manifests, nothing is stale."""
    assert not is_stale([], NOW_S)
