"""The watches of a program, in conversation with an API server over HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from headlessdns.cluster.client import connect
from headlessdns.cluster.objects import Event, Forbid, Kind, Replace
from headlessdns.cluster.reflector import Reflector
from headlessdns.cluster.snapshot import Snapshot
from headlessdns.cluster.watch import Backoff, WatchStatus
from tests.cluster.api_server import (
    PATHS,
    ApiServer,
    Reply,
    Stream,
    bookmark,
    error,
    event,
    item,
    page,
    status,
    streamed_list,
    write_kubeconfig,
)
from tests.cluster.waiting import until

SERVICES, SLICES, ENDPOINTS = PATHS[Kind.SERVICE], PATHS[Kind.ENDPOINT_SLICE], PATHS[Kind.ENDPOINTS]
PODS, NAMESPACES, STATEFUL_SETS = PATHS[Kind.POD], PATHS[Kind.NAMESPACE], PATHS[Kind.STATEFUL_SET]
QUICK = Backoff(0.001, 0.02)

Script = dict[str, list[Reply | Stream]]


class Watched:
    """A server, the reflector that watches it, and what came of it."""

    def __init__(self, server: ApiServer, namespaces: tuple[str, ...]) -> None:
        self.server = server
        self.snapshot = Snapshot(namespaces)
        self.batches: list[list[Event]] = []
        self.reflector: Reflector

    def apply(self, events: list[Event]) -> None:
        self.batches.append(events)
        for one in events:
            self.snapshot.apply(one)

    def events(self, *types: type) -> list[Event]:
        return [one for batch in self.batches for one in batch if isinstance(one, types or object)]

    def pods(self) -> list[str]:
        return sorted(key.name for key in self.snapshot.pods)

    async def until_pods(self, *names: str) -> None:
        await until(lambda: self.pods() == sorted(names))

    def status(self, kind: Kind) -> WatchStatus:
        [found] = [one for one in self.reflector.statuses if one.kind is kind]
        return found


@asynccontextmanager
async def watching(folder: Path, server: ApiServer, **options: Any) -> AsyncIterator[Watched]:
    watched = Watched(server, tuple(options.get("namespaces", ())))
    client = await connect(write_kubeconfig(folder / "config", server.url), check=False)
    watched.reflector = Reflector(client, watched.apply, **{"backoff": QUICK, **options})
    task = asyncio.create_task(watched.reflector.run())
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def converse(folder: Path, script: Script, talk: Callable[[Watched], Awaitable[None]], **options: Any) -> None:
    """Let a reflector watch a server that plays *script*, while *talk* goes on."""

    async def run() -> None:
        async with ApiServer(script) as server, watching(folder, server, **options) as watched:
            await talk(watched)

    asyncio.run(run())


# Lists and watches


def test_streamed_list_and_watch(tmp_path: Path) -> None:
    """A list comes as one event for each kind, changes follow, and no kind is asked for twice."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a", "b")
        await until(lambda: len(watched.server.asked) == 5)
        watched.server.send(PODS, event("MODIFIED", item("a", 3)) + event("DELETED", item("b", 4)))
        watched.server.send(PODS, event("ADDED", item("c", 5)))
        await watched.until_pods("a", "c")
        await until(lambda: watched.snapshot.listed == set(Kind) - {Kind.ENDPOINTS})
        assert sorted(watched.server.paths()) == sorted([SERVICES, SLICES, PODS, NAMESPACES, STATEFUL_SETS])
        assert len(watched.events(Replace)) == 5
        assert watched.status(Kind.POD).listed
        assert [one.restarts for one in watched.reflector.statuses] == [0] * 5

    converse(tmp_path, {PODS: [streamed_list(item("a"), item("b"))]}, talk)


def test_pages_and_watch(tmp_path: Path) -> None:
    """Where streamed lists are refused, the list comes in pages and is one event all the same."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a", "b", "c")
        assert len([one for one in watched.events(Replace) if isinstance(one, Replace) and one.kind is Kind.POD]) == 1
        await until(lambda: len(watched.server.queries(PODS)) == 4)
        first, second, third, fourth = watched.server.queries(PODS)
        assert first["sendInitialEvents"] == "true"
        assert second == {"limit": "500"}
        assert third == {"limit": "500", "continue": "to/ken+=="}
        assert fourth["resourceVersion"] == "9"
        watched.server.send(PODS, event("ADDED", item("d", 10)))
        await watched.until_pods("a", "b", "c", "d")

    pages = [page(item("a"), item("b"), more="to/ken+=="), page(item("c"), version=9)]
    converse(tmp_path, {PODS: [status(422, "sendInitialEvents is forbidden"), *pages, Stream()]}, talk)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(status(400, "unknown parameter"), id="400"),
        pytest.param(
            Stream((error(500, "RequestWatchProgress is disabled"),), end=True), id="ERROR event of an old etcd"
        ),
        pytest.param(Stream((error(500, "RequestWatchProgress is disabled"),)), id="ERROR event, the stream left open"),
        pytest.param(Stream((event("ADDED", item("x")),)), id="a watch that never ends its list"),
        pytest.param(Stream(), id="a watch that says nothing at all"),
    ],
)
def test_server_without_streamed_lists(tmp_path: Path, refusal: Reply | Stream) -> None:
    """However a server fails to stream a list, pages take its place."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        assert watched.server.queries(PODS)[1] == {"limit": "500"}

    converse(tmp_path, {PODS: [refusal, page(item("a")), Stream()]}, talk, streamed_list_timeout_s=0.05)


def test_lines_in_pieces(tmp_path: Path) -> None:
    """Lines may come octet by octet, and one line may be of several megabytes."""
    text = b"".join(streamed_list(item("a")).chunks)
    pieces = tuple(text[place : place + 1] for place in range(len(text)))

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        huge = item("b", 2)
        huge["metadata"]["managedFields"] = "x" * 3_000_000
        watched.server.send(PODS, event("ADDED", huge) + event("DELETED", item("a", 3)))
        await watched.until_pods("b")

    converse(tmp_path, {PODS: [Stream(pieces)]}, talk)


def test_object_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An object that breaks the API's own rules is logged and passed over; the others come."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("b")

    converse(tmp_path, {PODS: [streamed_list({"metadata": {"name": 5}}, item("b"))]}, talk)
    [told] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told.startswith("pods: an object that cannot be read is passed over: Expected `str`, got `int` - at ")


# Failures


@pytest.mark.parametrize(
    "end",
    [
        pytest.param([Stream((error(410, "too old resource version"),))], id="ERROR event"),
        pytest.param([Stream(end=True), status(410, "too old resource version")], id="HTTP status"),
    ],
)
def test_gone(tmp_path: Path, end: list[Reply | Stream]) -> None:
    """After 410 the list is fetched anew: what is gone goes, what is new comes, and nothing is empty in between."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("b", "c")
        assert [
            len(one.objects) for one in watched.events(Replace) if isinstance(one, Replace) and one.kind is Kind.POD
        ] == [2, 2]

    first = streamed_list(item("a"), item("b"))
    script: Script = {PODS: [first._replace(end=True), *end, streamed_list(item("b", 5), item("c", 6), version=7)]}
    converse(tmp_path, script, talk)


def test_busy_server(tmp_path: Path) -> None:
    """A server that says 429 is asked again after the time that it names."""

    async def talk(watched: Watched) -> None:
        begin = time.monotonic()
        await watched.until_pods("a")
        assert time.monotonic() - begin >= 1.0

    converse(tmp_path, {PODS: [status(429, "too many", **{"Retry-After": "1"}), streamed_list(item("a"))]}, talk)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(status(500, "etcd is away"), id="500"),
        pytest.param(Reply(503, b"<html>no</html>"), id="503 of a proxy"),
        pytest.param(Reply(200, b"<html>no</html>\n"), id="a page of a captive portal"),
        pytest.param(Stream(breaks=True), id="a connection that breaks"),
        pytest.param(Stream((event("ADDED", item("x")),), end=True), id="a list that ends early"),
        pytest.param(Stream((b"{}\n",), end=True), id="JSON that is no event"),
    ],
)
def test_failing_server(tmp_path: Path, failure: Reply | Stream) -> None:
    """A server that fails is asked again, and the failure is told in the status until it is over."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        assert watched.status(Kind.POD).last_error == ""

    converse(tmp_path, {PODS: [failure, failure, streamed_list(item("a"))]}, talk)


def test_server_killed_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the server is away nothing is touched; when it is back the watch goes on where it was."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        await until(lambda: watched.snapshot.listed == set(Kind) - {Kind.ENDPOINTS})
        batches = len(watched.batches)
        await watched.server.stop()
        await until(lambda: watched.status(Kind.POD).last_error)
        silent_since = watched.status(Kind.POD).last_event_monotonic_s
        await until(lambda: watched.status(Kind.POD).restarts >= 3)
        assert watched.status(Kind.POD).last_event_monotonic_s == silent_since
        watched.server.scripts[PODS] = [Stream((event("ADDED", item("b", 3)),))]
        await watched.server.start()
        await watched.until_pods("a", "b")
        assert [len(batch) for batch in watched.batches[batches:]] == [1]
        assert watched.server.queries(PODS)[-1]["resourceVersion"] == "2"
        assert watched.status(Kind.POD).last_error == ""

    caplog.set_level(logging.INFO, logger="headlessdns")
    converse(tmp_path, {PODS: [streamed_list(item("a"), version=2)]}, talk)
    told = [message for message in caplog.messages if message.startswith("pods: ")]
    assert told[0] == "pods: 1 listed"
    assert told[-1] == "pods: the watch is back"
    assert 3 <= len(told) <= 4  # the break, then the refused connections, each once
    assert all(message.endswith("; trying again") for message in told[1:-1])


def test_silent_watch_is_taken_for_dead(tmp_path: Path) -> None:
    """A watch that is silent for longer than the time-out is given up, and the list is fetched anew."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("b")
        assert watched.server.queries(PODS)[1]["sendInitialEvents"] == "true"

    converse(tmp_path, {PODS: [streamed_list(item("a")), streamed_list(item("b"))]}, talk, read_timeout_s=1.0)


def test_slow_server_is_waited_for(tmp_path: Path) -> None:
    """Every word begins the time-out anew: a watch lives as long as something comes in time."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        for version in range(2, 7):
            await asyncio.sleep(0.4)  # the server's pace is the subject
            watched.server.send(PODS, bookmark(version))
        assert len(watched.server.queries(PODS)) == 1

    converse(tmp_path, {PODS: [streamed_list(item("a"))]}, talk, read_timeout_s=1.5)


def test_watch_that_ends_in_order(tmp_path: Path) -> None:
    """A watch that the server ends goes on behind its last event; a reconnect is a word of the server."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        heard = watched.status(Kind.POD).last_event_monotonic_s
        watched.server.send(PODS, None)
        await until(lambda: len(watched.server.queries(PODS)) == 2)
        await until(lambda: watched.status(Kind.POD).last_event_monotonic_s != heard)
        assert watched.server.queries(PODS)[1]["resourceVersion"] == "4"
        assert watched.status(Kind.POD).restarts == 1

    converse(tmp_path, {PODS: [streamed_list(item("a"), version=4), Stream()]}, talk)


def test_list_that_is_never_complete_is_no_news(tmp_path: Path) -> None:
    """While a new list fails again and again nothing newer is known, however much of it the server sends."""

    async def talk(watched: Watched) -> None:
        await until(lambda: len(watched.server.queries(PODS)) >= 3)
        heard = watched.status(Kind.POD).last_event_monotonic_s
        await until(lambda: len(watched.server.queries(PODS)) >= 8)
        assert heard is not None
        assert watched.status(Kind.POD).last_event_monotonic_s == heard
        assert watched.pods() == ["a"]

    whole = Stream((*streamed_list(item("a")).chunks, error(410)))
    partial = Stream((event("ADDED", item("b")),), breaks=True)
    refused_page = Reply(200, b'{"metadata": {}')
    converse(tmp_path, {PODS: [whole, partial, partial, partial, refused_page, partial]}, talk)


def test_bug_in_apply_is_seen(tmp_path: Path) -> None:
    """What the receiver raises ends the reflector: it is a bug, not a fault of the server."""

    def apply(events: list[Event]) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with ApiServer() as server:
            client = await connect(write_kubeconfig(tmp_path / "config", server.url))
            try:
                await Reflector(client, apply, endpoints="always").run()
            finally:
                await client.close()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    assert caught.group_contains(ZeroDivisionError)


# Credentials and rights


def test_token_that_expired(tmp_path: Path) -> None:
    """After 401 the token file is read again, for every watch, and nothing else changes."""

    async def run() -> None:
        token = tmp_path / "token"
        token.write_text("old")
        async with ApiServer({PODS: [streamed_list(item("a")), Stream((event("ADDED", item("b", 2)),))]}) as server:
            server.tokens = {"old"}
            config = write_kubeconfig(tmp_path / "config", server.url, {"tokenFile": str(token)})
            client = await connect(config)
            watched = Watched(server, ())
            watched.reflector = Reflector(client, watched.apply, backoff=QUICK)
            task = asyncio.create_task(watched.reflector.run())
            await watched.until_pods("a")
            await until(lambda: len(server.asked) == 6)
            server.tokens = {"new"}
            for path in PATHS.values():
                server.send(path, None)
            await until(lambda: watched.status(Kind.POD).last_error == "HTTP 401: Unauthorized")
            token.write_text("new")
            await watched.until_pods("a", "b")
            await until(lambda: all(one.last_error == "" for one in watched.reflector.statuses))
            task.cancel()
            await asyncio.wait([task])
            await client.close()
            assert len(watched.events(Replace)) == 5

    asyncio.run(run())


def test_credentials_that_cannot_be_renewed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A kubeconfig that is broken when new credentials are needed is told, and read again until it is whole."""

    async def talk(watched: Watched) -> None:
        await watched.until_pods("a")
        config = tmp_path / "config"
        text = config.read_text()
        config.write_text("")
        watched.server.tokens = {"other"}
        watched.server.send(PODS, None)
        await until(lambda: any("the file is empty" in message for message in caplog.messages))
        await until(lambda: len(watched.server.queries(PODS)) >= 8)
        assert [message.partition("; trying")[0] for message in caplog.messages] == [
            "pods: HTTP 401: Unauthorized",
            f"pods: kubeconfig {config}: the file is empty; write one with `kubectl config view --raw`",
        ]
        config.write_text(text.replace("secret", "other"))
        await until(lambda: watched.status(Kind.POD).last_error == "")

    converse(tmp_path, {PODS: [streamed_list(item("a")), Stream()]}, talk)


def test_forbidden(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A kind that is forbidden is told once, with the rule to add, and is watched when the right is granted."""
    words = 'pods is forbidden: User "dns" cannot watch resource "pods" in API group "" at the cluster scope'

    async def talk(watched: Watched) -> None:
        await until(lambda: watched.snapshot.unavailable == {Kind.POD, Kind.ENDPOINTS})
        await until(lambda: len(watched.server.queries(PODS)) >= 4)
        assert watched.status(Kind.POD).forbidden == "forbidden"
        watched.server.scripts[PODS] = [streamed_list(item("a"))]
        await watched.until_pods("a")
        assert watched.snapshot.unavailable == {Kind.ENDPOINTS}
        assert watched.status(Kind.POD).forbidden == ""

    caplog.set_level(logging.INFO, logger="headlessdns")
    converse(tmp_path, {PODS: [status(403, words)]}, talk)
    granted = caplog.messages.index("pods: the API server grants list and watch now")
    assert caplog.messages[granted + 1] == "pods: 1 listed"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"pods: the API server forbids list and watch (HTTP 403: {words}); names made of pod addresses are not "
        'answered; to grant it add to the ClusterRole: {apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}'
    ]


def test_forbidden_in_a_namespace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In watched namespaces a Role is what is missing."""

    async def talk(watched: Watched) -> None:
        await until(lambda: Kind.STATEFUL_SET in watched.snapshot.unavailable)

    path = "/apis/apps/v1/namespaces/prod/statefulsets"
    converse(tmp_path, {path: [status(403, "no")]}, talk, namespaces=["prod"])
    (told,) = [message for message in caplog.messages if "forbids" in message]
    assert told.endswith(
        "which pods a StatefulSet wants is not known; to grant it add to the Role in namespace prod: "
        '{apiGroups: ["apps"], resources: ["statefulsets"], verbs: ["list", "watch"]}'
    )


# What is watched


def test_endpoints_stand_in_for_slices(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where EndpointSlices are not served, Endpoints are watched and required; until they are served after all."""

    async def talk(watched: Watched) -> None:
        await until(lambda: Kind.ENDPOINTS in watched.snapshot.listed)
        assert [str(key) for key in watched.snapshot.endpoints] == ["default/web"]
        assert Kind.ENDPOINT_SLICE in watched.snapshot.unavailable
        assert Kind.ENDPOINTS not in watched.snapshot.unavailable
        assert (watched.status(Kind.ENDPOINTS).required, watched.status(Kind.ENDPOINT_SLICE).required) == (True, False)
        watched.server.scripts[SLICES] = [streamed_list()]
        await until(lambda: Kind.ENDPOINT_SLICE in watched.snapshot.listed)
        assert (watched.status(Kind.ENDPOINTS).required, watched.status(Kind.ENDPOINT_SLICE).required) == (False, True)
        assert watched.server.paths().count(ENDPOINTS) == 1

    caplog.set_level(logging.INFO, logger="headlessdns")
    converse(tmp_path, {SLICES: [status(404, "not found")], ENDPOINTS: [streamed_list(item("web"))]}, talk)
    assert (
        "endpointslices: the API server does not serve discovery.k8s.io/v1 (HTTP 404: not found); "
        "Endpoints are watched instead"
    ) in caplog.messages
    assert "endpointslices: the API server serves discovery.k8s.io/v1 now" in caplog.messages


def test_endpoints_stand_in_when_the_right_to_slices_was_missing(tmp_path: Path) -> None:
    """Where EndpointSlices turn out not to be served once the right to them is granted, Endpoints are watched."""

    async def talk(watched: Watched) -> None:
        await until(lambda: Kind.ENDPOINTS in watched.snapshot.listed)
        assert watched.server.queries(SLICES)[:1]
        assert watched.status(Kind.ENDPOINT_SLICE).forbidden == "absent"

    converse(tmp_path, {SLICES: [status(403, "no"), status(404, "not found")]}, talk)


@pytest.mark.parametrize(
    ("options", "paths", "unwatched"),
    [
        pytest.param({}, [SERVICES, SLICES, PODS, NAMESPACES, STATEFUL_SETS], [Kind.ENDPOINTS], id="all but Endpoints"),
        pytest.param(
            {"endpoints": "always"},
            [SERVICES, SLICES, ENDPOINTS, PODS, NAMESPACES, STATEFUL_SETS],
            [],
            id="Endpoints always",
        ),
        pytest.param(
            {"pods": False}, [SERVICES, SLICES, NAMESPACES, STATEFUL_SETS], [Kind.ENDPOINTS, Kind.POD], id="no Pods"
        ),
        pytest.param(
            {"namespaces": ["a", "b", "a"], "pods": False},
            [
                "/api/v1/namespaces/a/services",
                "/api/v1/namespaces/b/services",
                "/apis/apps/v1/namespaces/a/statefulsets",
                "/apis/apps/v1/namespaces/b/statefulsets",
                "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices",
                "/apis/discovery.k8s.io/v1/namespaces/b/endpointslices",
            ],
            [Kind.ENDPOINTS, Kind.POD, Kind.NAMESPACE],
            id="namespaces",
        ),
    ],
)
def test_what_is_watched(tmp_path: Path, options: dict[str, Any], paths: list[str], unwatched: list[Kind]) -> None:
    """Only what is wanted is watched, and for the rest nothing is waited."""

    async def talk(watched: Watched) -> None:
        await until(lambda: watched.snapshot.listed == set(Kind) - set(unwatched))
        assert sorted(watched.server.paths()) == sorted(paths)
        assert watched.events(Forbid) == [Forbid(kind, "unwatched") for kind in unwatched]
        required = {(one.kind, one.required) for one in watched.reflector.statuses if one.required}
        assert required == {(Kind.SERVICE, True), (Kind.ENDPOINT_SLICE, True)}

    converse(tmp_path, {}, talk, **options)


def test_label_selector(tmp_path: Path) -> None:
    """A label selector arrives at the server as it was written, for the kinds that it limits."""
    selector = "app in (a,b),tier!=front end/ä+&"

    async def talk(watched: Watched) -> None:
        await until(lambda: len(watched.server.asked) == 5)
        limited = {one.path for one in watched.server.asked if one.query.get("labelSelector") == selector}
        assert limited == {SERVICES, SLICES, PODS}

    converse(tmp_path, {}, talk, label_selector=selector)
