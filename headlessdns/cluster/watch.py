"""List and watch of one kind as a conversation without a socket: what to ask next, and what the replies mean.

Source: Kubernetes API concepts ("Efficient detection of changes", "Streaming lists", "Retrieving large results sets in
chunks"), v1.36. Pure: the time and a random generator come in, requests, pauses and events go out.

A list comes as a stream where the server offers it, else in pages; then changes are watched from where the list ended.
Lists are always asked for at the newest state, never at resourceVersion 0: after an outage a server's cache may be
older than what we have answered from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from headlessdns.cluster.objects import (
    RESOURCES,
    Delete,
    Endpoints,
    EndpointSlice,
    Event,
    Forbid,
    Key,
    Kind,
    Metadata,
    Namespace,
    Object,
    Pod,
    Put,
    Replace,
    Resource,
    Service,
    StatefulSet,
)

PAGE_SIZE = 500
MIN_WATCH_S, MAX_WATCH_S = (
    290,
    600,
)  # how long a watch is asked to last; spread, so that replicas do not return together
MAX_RETRY_AFTER_S = 60.0
HEALTHY_S = 10.0  # a stream that lived this long ends a row of failures
STALE_S = 150.0  # idle watches get a bookmark about every minute
BROKEN_STREAMED_LISTS = 3  # then one list in pages, which needs less of the server
REFUSALS_TO_BELIEVE = 3  # a starting API server refuses for a moment what it granted before
SELECTED_KINDS = frozenset({Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.ENDPOINTS, Kind.POD})


class State(Enum):
    """What is asked of the server."""

    STREAMED_LIST = auto()  # a watch that begins with every object
    PAGED_LIST = auto()
    WATCH = auto()


class Outcome(Enum):
    """How a request ended."""

    ENDED = auto()  # the server closed the stream in order
    BROKEN = auto()  # no connection, no reply, 5xx, or no JSON
    BUSY = auto()  # 429
    UNAUTHORIZED = auto()  # 401
    FORBIDDEN = auto()  # 403
    ABSENT = auto()  # 404
    GONE = auto()  # 410: that state is compacted away
    REFUSED = auto()  # other 4xx, such as a parameter that the server does not know
    SILENT = auto()  # nothing came for too long


class Wait(Enum):
    """How long to pause before the next request."""

    NONE = auto()
    SECOND_TIME = auto()  # back-off, but not for the first failure in a row
    BACK_OFF = auto()


class Step(NamedTuple):
    """What follows an outcome: the next state (None: list anew) and the pause before it."""

    state: State | None
    wait: Wait


_LIST_ANEW = None
TRANSITIONS: dict[tuple[State, Outcome], Step] = {
    (State.STREAMED_LIST, Outcome.ENDED): Step(State.STREAMED_LIST, Wait.BACK_OFF),
    (State.STREAMED_LIST, Outcome.BROKEN): Step(State.STREAMED_LIST, Wait.BACK_OFF),
    (State.STREAMED_LIST, Outcome.BUSY): Step(State.STREAMED_LIST, Wait.BACK_OFF),
    (State.STREAMED_LIST, Outcome.UNAUTHORIZED): Step(State.STREAMED_LIST, Wait.SECOND_TIME),
    (State.STREAMED_LIST, Outcome.FORBIDDEN): Step(State.STREAMED_LIST, Wait.BACK_OFF),
    (State.STREAMED_LIST, Outcome.ABSENT): Step(State.STREAMED_LIST, Wait.BACK_OFF),
    (State.STREAMED_LIST, Outcome.GONE): Step(State.STREAMED_LIST, Wait.BACK_OFF),
    (State.STREAMED_LIST, Outcome.REFUSED): Step(State.PAGED_LIST, Wait.NONE),
    (State.STREAMED_LIST, Outcome.SILENT): Step(State.PAGED_LIST, Wait.NONE),  # it takes the list for a plain watch
    (State.PAGED_LIST, Outcome.ENDED): Step(State.WATCH, Wait.NONE),
    (State.PAGED_LIST, Outcome.BROKEN): Step(State.PAGED_LIST, Wait.BACK_OFF),  # the same page again
    (State.PAGED_LIST, Outcome.BUSY): Step(State.PAGED_LIST, Wait.BACK_OFF),
    (State.PAGED_LIST, Outcome.UNAUTHORIZED): Step(State.PAGED_LIST, Wait.SECOND_TIME),
    (State.PAGED_LIST, Outcome.FORBIDDEN): Step(_LIST_ANEW, Wait.BACK_OFF),
    (State.PAGED_LIST, Outcome.ABSENT): Step(_LIST_ANEW, Wait.BACK_OFF),
    (State.PAGED_LIST, Outcome.GONE): Step(_LIST_ANEW, Wait.SECOND_TIME),  # the continue token is too old
    (State.PAGED_LIST, Outcome.REFUSED): Step(_LIST_ANEW, Wait.BACK_OFF),
    (State.PAGED_LIST, Outcome.SILENT): Step(State.PAGED_LIST, Wait.BACK_OFF),
    (State.WATCH, Outcome.ENDED): Step(State.WATCH, Wait.SECOND_TIME),
    (State.WATCH, Outcome.BROKEN): Step(State.WATCH, Wait.BACK_OFF),
    (State.WATCH, Outcome.BUSY): Step(State.WATCH, Wait.BACK_OFF),
    (State.WATCH, Outcome.UNAUTHORIZED): Step(State.WATCH, Wait.SECOND_TIME),
    (State.WATCH, Outcome.FORBIDDEN): Step(State.WATCH, Wait.BACK_OFF),
    (State.WATCH, Outcome.ABSENT): Step(State.WATCH, Wait.BACK_OFF),
    (State.WATCH, Outcome.GONE): Step(_LIST_ANEW, Wait.SECOND_TIME),
    (State.WATCH, Outcome.REFUSED): Step(_LIST_ANEW, Wait.BACK_OFF),
    # An API server whose etcd was set back waits, without a bookmark, for the state that we ask from.
    (State.WATCH, Outcome.SILENT): Step(_LIST_ANEW, Wait.SECOND_TIME),
}

_OUTCOMES = {
    401: Outcome.UNAUTHORIZED,
    403: Outcome.FORBIDDEN,
    404: Outcome.ABSENT,
    410: Outcome.GONE,
    429: Outcome.BUSY,
}
# An etcd before 3.4.31 or 3.5.13 cannot tell the API server when a streamed list is complete.
_NO_STREAMED_LISTS = "RequestWatchProgress is disabled"


def outcome_of(status: int, message: str = "") -> Outcome:
    """Return what an HTTP *status*, or the code of a Status object, means."""
    if _NO_STREAMED_LISTS in message:
        return Outcome.REFUSED
    return _OUTCOMES.get(status, Outcome.REFUSED if 400 <= status < 500 else Outcome.BROKEN)


class Backoff(NamedTuple):
    """Pauses that double with each failure in a row, from *min_s* to *max_s*, half of each by chance."""

    min_s: float = 0.8
    max_s: float = 30.0

    def pause_s(self, failures: int, rng: random.Random) -> float:
        """Return the pause after that many *failures* in a row, the first being 1."""
        floor_s = min(self.min_s * 2.0 ** min(failures - 1, 30), self.max_s / 2)
        return floor_s * (1 + rng.random())


class Request(NamedTuple):
    """A GET to send.

    Attributes:
        path: From the root of the API server.
        query: Parameters, not yet encoded.
        is_stream: The reply has no end that could be waited for.
        verb: What RBAC calls it.
    """

    path: str
    query: dict[str, str]
    is_stream: bool
    verb: str


class Pause(NamedTuple):
    """What to do before the next request: wait, and get new credentials where the old ones were refused."""

    seconds: float = 0.0
    reauthenticate: bool = False


# What is read of replies

_T = TypeVar("_T")


class _ListMetadata(msgspec.Struct, rename="camel", gc=False):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, Generic[_T]):
    metadata: _ListMetadata
    items: list[_T] | None


class _WatchEvent(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Headed(msgspec.Struct, gc=False):
    metadata: Metadata


class _BookmarkAnnotations(msgspec.Struct, gc=False):
    initial_events_end: str = msgspec.field(default="", name="k8s.io/initial-events-end")


class _BookmarkMetadata(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(name="resourceVersion")
    annotations: _BookmarkAnnotations | None = None


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _BookmarkMetadata


class _StatusDetails(msgspec.Struct, gc=False):
    retry_after_s: int | None = msgspec.field(default=None, name="retryAfterSeconds")


class _Status(msgspec.Struct, gc=False):
    code: int = 0
    message: str | None = ""
    details: _StatusDetails | None = None


class Codec(NamedTuple):
    """How objects of one kind are found and read.

    Attributes:
        resource: Where they are.
        object: Reads one; what it gives has a `metadata` with `key` and `resource_version`.
        page: Reads a page of them; None reads them one by one.
        marker: Octets that an object of use holds somewhere.
        is_of_use: Looks at one that was read.
    """

    resource: Resource
    object: Callable[[bytes | msgspec.Raw], Any]
    page: Callable[[bytes], _Page[Any]] | None = None
    marker: bytes = b""
    is_of_use: Callable[[Any], bool] = lambda object: True


def _codec(kind: Kind, struct: type[_T]) -> Codec:
    return Codec(RESOURCES[kind], msgspec.json.Decoder(struct).decode, msgspec.json.Decoder(_Page[struct]).decode)  # type: ignore[valid-type]  # a type made at run time


_SERVICE_NAME_LABEL = b'"kubernetes.io/service-name"'
CODECS: dict[Kind, Codec] = {
    Kind.SERVICE: _codec(Kind.SERVICE, Service),
    # A slice that names no Service is of no use; most of those need not be read to see it.
    Kind.ENDPOINT_SLICE: _codec(Kind.ENDPOINT_SLICE, EndpointSlice)._replace(
        marker=_SERVICE_NAME_LABEL, is_of_use=lambda slice: bool(slice.service.name)
    ),
    Kind.ENDPOINTS: _codec(Kind.ENDPOINTS, Endpoints),
    Kind.POD: _codec(Kind.POD, Pod),
    Kind.NAMESPACE: _codec(Kind.NAMESPACE, Namespace),
    Kind.STATEFUL_SET: _codec(Kind.STATEFUL_SET, StatefulSet),
}
_WATCH_EVENT = msgspec.json.Decoder(_WatchEvent)
_HEADED = msgspec.json.Decoder(_Headed)
_BOOKMARK = msgspec.json.Decoder(_Bookmark)
_STATUS = msgspec.json.Decoder(_Status)
_RAW_PAGE = msgspec.json.Decoder(_Page[msgspec.Raw])
# What msgspec raises for text that is no UTF-8, and for brackets without end, is not among its own errors.
_UNREADABLE = (msgspec.ValidationError, UnicodeDecodeError, RecursionError)
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_MAX_DIGITS = 9  # of a number of seconds; Python refuses to read thousands of them


class ListWatch:
    """The conversation about one kind, in one namespace or all.

    The caller sends `request()`, then calls `opened` and `receive` and `ended` for a reply with status 200, `refused`
    for another status, `lost` where there was none, hands on the events that each returns, and waits for `pause()`.
    A stream whose `is_over` turns true is to be closed.

    Attributes:
        state: What is asked next.
        is_over: The stream said that it ends.
        is_listed: A list was complete at least once.
        forbidden: Why the kind cannot be had now, empty where it can.
        last_error: What went wrong last, empty since all is well.
        relists: Lists begun after the first was complete.
        skipped: Objects that could not be read, for the log; the caller empties it.
    """

    def __init__(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
        rng: random.Random | None = None,
        codec: Codec | None = None,
        streams_lists: bool = True,
    ) -> None:
        """Begin with a list of *kind* in *namespace*, all namespaces where None.

        With a *codec* it may be any kind, and its events hold what the codec reads. Where *streams_lists* is false,
        lists come in pages only.
        """
        self.kind = kind
        self._codec = codec or CODECS[kind]
        self.namespace = namespace
        self.state = State.STREAMED_LIST if streams_lists else State.PAGED_LIST
        self.is_over = False
        self.is_listed = False
        self.forbidden: Literal["", "forbidden", "absent"] = ""
        self.last_error = ""
        self.relists = 0
        self.skipped: list[str] = []
        self._label_selector = label_selector if kind in SELECTED_KINDS else ""
        self._backoff = backoff
        self._rng = rng or random.Random()
        self._streams_lists = streams_lists
        self._page_size = PAGE_SIZE
        self._resource_version = ""
        self._continue = ""
        self._objects: dict[Key, Object] = {}
        self._parts: list[bytes] = []
        self._pause = Pause()
        self._failures = 0
        self._gone_in_a_row = 0
        self._refusals = 0
        self._opened_s: float | None = None

    @property
    def resource(self) -> Resource:
        """Where the kind is found in the API."""
        return self._codec.resource

    def request(self) -> Request:
        """Return what to ask now."""
        resource = self.resource
        root = "/apis" if "/" in resource.group_version else "/api"
        scope = f"/namespaces/{self.namespace}" if self.namespace is not None else ""
        path = f"{root}/{resource.group_version}{scope}/{resource.plural}"
        query = {"labelSelector": self._label_selector} if self._label_selector else {}
        if self.state is State.PAGED_LIST:
            if self._page_size:
                query["limit"] = str(self._page_size)
            if self._continue:
                query["continue"] = self._continue
            return Request(path, query, is_stream=False, verb="list")
        query |= {"watch": "true", "allowWatchBookmarks": "true"}
        query["timeoutSeconds"] = str(self._rng.randint(MIN_WATCH_S, MAX_WATCH_S))
        if self.state is State.STREAMED_LIST:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = self._resource_version
        return Request(path, query, is_stream=True, verb="watch")

    def pause(self) -> Pause:
        """Return what to do before the next request."""
        return self._pause

    def opened(self, now_s: float) -> None:
        """Take in that the server replies with status 200 at *now_s*."""
        self._opened_s = now_s
        self._parts = []
        self.is_over = False
        self._refusals = 0
        if self.state is State.WATCH:
            self.last_error = ""

    def receive(self, octets: bytes) -> list[Event]:
        """Take in some *octets* of a body, cut anywhere, and return what they say."""
        if self.state is State.PAGED_LIST:
            self._parts.append(octets)
            return []
        first, *others = octets.split(b"\n")
        self._parts.append(first)
        events: list[Event] = []
        for rest in others:
            line = b"".join(self._parts)
            self._parts = [rest]
            if line and not self.is_over:
                self._take_line(line, events)
        return events

    def ended(self, now_s: float) -> list[Event]:
        """Take in that the body ended in order at *now_s*."""
        if self.is_over:
            return []
        if self.state is State.PAGED_LIST:
            body, self._parts = b"".join(self._parts), []
            return self._take_page(body)
        self._forgive(now_s)
        return self._conclude(
            Outcome.ENDED, "" if self.state is State.WATCH else "the list ended before it was complete"
        )

    def refused(self, status: int, body: bytes = b"", retry_after: str = "") -> list[Event]:
        """Take in a reply with another *status* than 200, its body, and its Retry-After header."""
        try:
            decoded = _STATUS.decode(body)
        except _NO_JSON:  # something in between, such as a proxy
            decoded = _Status(message=body[:200].decode(errors="replace").strip())
        message = decoded.message or ""
        retry_after_s = decoded.details.retry_after_s if decoded.details else None
        # Its other form, a date, is not what API servers send.
        if retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= _MAX_DIGITS:
            retry_after_s = int(retry_after)
        return self._conclude(outcome_of(status, message), _said(f"HTTP {status}", status, message), retry_after_s)

    def lost(self, reason: str, now_s: float) -> list[Event]:
        """Take in that there was no reply, or that it broke off at *now_s*."""
        self._forgive(now_s)
        return self._conclude(Outcome.BROKEN, reason)

    def silent(self, now_s: float) -> list[Event]:
        """Take in at *now_s* that nothing came for too long, not even a bookmark."""
        is_open = self._opened_s is not None
        self._forgive(now_s)
        # Without even a reply there is no telling what the server makes of a streamed list.
        outcome = Outcome.SILENT if is_open or self.state is not State.STREAMED_LIST else Outcome.BROKEN
        return self._conclude(outcome, "the server was silent for too long")

    # Lines and pages

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        try:
            event = _WATCH_EVENT.decode(line)
            _HANDLERS.get(event.type, ListWatch._take_unknown)(self, event, events)
        except _UNREADABLE as error:
            self._skip(line, error)
        except msgspec.DecodeError as error:
            events += self._conclude(Outcome.BROKEN, f"a line that is no JSON: {error}; is this an API server?")

    def _take_put(self, event: _WatchEvent, events: list[Event]) -> None:
        codec = self._codec
        if codec.marker and codec.marker not in bytes(event.object):
            self._take_delete(event, events)  # of no use, and it may have had the label before
            return
        object = codec.object(event.object)
        if not codec.is_of_use(object):
            self._take_delete(event, events)
            return
        self._advance(object.metadata.resource_version)
        if self.state is State.STREAMED_LIST:
            self._objects[object.metadata.key] = object
        else:
            events.append(Put(self.kind, object))

    def _take_delete(self, event: _WatchEvent, events: list[Event]) -> None:
        metadata = _HEADED.decode(event.object).metadata
        self._advance(metadata.resource_version)
        if self.state is State.STREAMED_LIST:
            self._objects.pop(metadata.key, None)
        else:
            events.append(Delete(self.kind, metadata.key))

    def _take_bookmark(self, event: _WatchEvent, events: list[Event]) -> None:
        metadata = _BOOKMARK.decode(event.object).metadata
        if self.state is State.STREAMED_LIST:
            if metadata.annotations and metadata.annotations.initial_events_end == "true":
                self._resource_version = metadata.resource_version
                events.append(self._list_complete())
                self.state = State.WATCH
            return
        self._advance(metadata.resource_version)

    def _take_error(self, event: _WatchEvent, events: list[Event]) -> None:
        status = _STATUS.decode(event.object)
        message = status.message or ""
        retry_after_s = status.details.retry_after_s if status.details else None
        events += self._conclude(
            outcome_of(status.code, message), _said(str(status.code), status.code, message), retry_after_s
        )

    def _take_unknown(self, event: _WatchEvent, events: list[Event]) -> None:
        """Pass over a type that a later version may add."""

    def _take_page(self, body: bytes) -> list[Event]:
        try:
            page = self._decode_page(body)
        except _NO_JSON as error:
            return self._conclude(Outcome.BROKEN, f"a page that is no list: {error}; is this an API server?")
        self._objects |= {object.metadata.key: object for object in page.items or () if self._codec.is_of_use(object)}
        self._continue = page.metadata.continue_ or ""
        self._pause = Pause()
        self._opened_s = None
        if self._continue:
            return []
        self._resource_version = page.metadata.resource_version
        self._page_size = PAGE_SIZE
        self.state = State.WATCH
        return [self._list_complete()]

    def _decode_page(self, body: bytes) -> _Page[Any]:
        if self._codec.page is not None:
            try:
                return self._codec.page(body)
            except _UNREADABLE:
                pass  # one object is not as the API describes it: they are read one by one
        raw = _RAW_PAGE.decode(body)
        objects = []
        for item in raw.items or ():
            try:
                objects.append(self._codec.object(item))
            except _UNREADABLE as error:
                self._skip(bytes(item), error)
        return _Page(raw.metadata, objects)

    def _list_complete(self) -> Event:
        objects, self._objects = list(self._objects.values()), {}
        self.is_listed = True
        self.forbidden = ""
        self.last_error = ""
        return Replace(self.kind, objects, self.namespace)

    def _skip(self, text: bytes, error: Exception) -> None:
        """Note an object that is not as the API describes it: one of them must not stop the others."""
        self.skipped.append(f"{error}: {text[:200].decode(errors='replace')}")

    def _advance(self, resource_version: str) -> None:
        """Note that all up to *resource_version* is known, and that the stream is sound."""
        if resource_version:
            self._resource_version = resource_version
        if self.state is State.WATCH:
            self._failures = self._gone_in_a_row = 0
            self.last_error = ""

    # What follows

    def _forgive(self, now_s: float) -> None:
        """End a row of failures where the stream that ends at *now_s* lived for long."""
        if self._opened_s is not None and now_s - self._opened_s >= HEALTHY_S:
            self._failures = self._gone_in_a_row = 0

    def _conclude(self, outcome: Outcome, reason: str, retry_after_s: float | None = None) -> list[Event]:
        """Move on after *outcome* and return what it says about the kind itself."""
        self.is_over = True
        self._opened_s = None
        step = TRANSITIONS[self.state, outcome]
        if self.state is State.STREAMED_LIST:
            self._objects = {}  # pages already fetched are kept, a broken stream begins anew
        falls_back = step.state is State.PAGED_LIST and self.state is State.STREAMED_LIST
        if reason and not falls_back:
            self.last_error = reason
        if outcome is Outcome.GONE and self.state is State.PAGED_LIST:
            self._page_size = 0  # pages come too slowly for this server: all at once
        self._streams_lists &= not falls_back
        if outcome is Outcome.GONE and self.state is State.WATCH:
            # The server replies again, and what is known is old: what failed while it was away counts no more.
            self._gone_in_a_row += 1
            self._failures = self._gone_in_a_row
        else:
            self._failures += 1
        self._pause = self._pause_for(step.wait, outcome, retry_after_s)
        events = self._believe(outcome)
        if step.state is _LIST_ANEW or events:
            self._list_anew()
        elif (
            outcome is Outcome.BROKEN and self.state is State.STREAMED_LIST and self._failures >= BROKEN_STREAMED_LISTS
        ):
            self.state = State.PAGED_LIST
        else:
            self.state = step.state
        return events

    def _pause_for(self, wait: Wait, outcome: Outcome, retry_after_s: float | None) -> Pause:
        reauthenticate = outcome is Outcome.UNAUTHORIZED
        if wait is Wait.NONE or (wait is Wait.SECOND_TIME and self._failures == 1):
            return Pause(0.0, reauthenticate)
        if retry_after_s is not None:
            return Pause(
                min(max(retry_after_s, 0.0), MAX_RETRY_AFTER_S) + self._rng.random() * self._backoff.min_s,
                reauthenticate,
            )
        return Pause(self._backoff.pause_s(self._failures, self._rng), reauthenticate)

    def _believe(self, outcome: Outcome) -> list[Event]:
        """Return that the kind cannot be had, once: at once before the first list, later when it is said repeatedly.

        A right that is granted on a server that does not serve the kind turns "forbidden" into "absent".
        """
        if outcome not in (Outcome.FORBIDDEN, Outcome.ABSENT):
            return []
        self._refusals += 1
        reason: Literal["forbidden", "absent"] = "forbidden" if outcome is Outcome.FORBIDDEN else "absent"
        if self.forbidden == reason or (self.is_listed and self._refusals < REFUSALS_TO_BELIEVE):
            return []
        self.forbidden = reason
        return [Forbid(self.kind, self.forbidden, self.namespace)]

    def _list_anew(self) -> None:
        self.relists += self.is_listed
        self._objects = {}
        self._continue = ""
        self.state = State.STREAMED_LIST if self._streams_lists else State.PAGED_LIST


_HANDLERS = {
    "ADDED": ListWatch._take_put,
    "MODIFIED": ListWatch._take_put,
    "DELETED": ListWatch._take_delete,
    "BOOKMARK": ListWatch._take_bookmark,
    "ERROR": ListWatch._take_error,
}


def _said(text: str, status: int, message: str) -> str:
    """Return what the server said, or what *status* means where it gave no reason."""
    phrase = message or {one.value: one.phrase for one in HTTPStatus}.get(status, "")
    return f"{text}: {phrase}" if phrase else text


# How a watch is doing


class WatchStatus(msgspec.Struct):
    """How the watch of one kind, in one namespace or all, is doing; for metrics and readiness.

    Attributes:
        kind: What is watched.
        namespace: Where; None is everywhere.
        required: Whether readiness and staleness depend on it.
        listed: A list was complete at least once.
        last_event_monotonic_s: When a list was complete, a watch was opened, or an event or bookmark came last; None
            before the first.
        restarts: How often a stream ended after the first list, in order or not.
        last_error: What went wrong last, empty since all is well.
        forbidden: `forbidden` or `absent` where the kind cannot be had now, else empty.
    """

    kind: Kind
    namespace: str | None
    required: bool
    listed: bool = False
    last_event_monotonic_s: float | None = None
    restarts: int = 0
    last_error: str = ""
    forbidden: str = ""


def is_stale(statuses: Iterable[WatchStatus], now_s: float, *, limit_s: float = STALE_S) -> bool:
    """Tell whether a required watch that was listed once has been silent for *limit_s*: what we know may be old."""
    return any(
        status.required
        and status.listed
        and status.last_event_monotonic_s is not None
        and now_s - status.last_event_monotonic_s >= limit_s
        for status in statuses
    )
