"""A watch: a place in the history of a resource, and the lines to send from there on. Pure.

A watch keeps no events of its own. Whoever falls behind what the history holds is cut off: nothing is ever skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.selecting import Selection
from headlessdns.lab.api.status import ApiError
from headlessdns.lab.api.store import Entry, Event, ExpiredError, Store, event_line

MAX_EVENTS = 1_000  # at a time
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Show = Callable[[bytes], bytes]  # the octets of an object -> what a client is sent for them
_encode = msgspec.json.encode


def error_line(error: ApiError) -> bytes:
    """Return the event that ends a watch with *error*."""
    return _encode({"type": "ERROR", "object": error.document()}) + b"\n"


class Watch:
    """One watch.

    Attributes:
        resource: What is watched.
        bookmarks: Whether the client wants to know from time to time how far it is.
        is_over: Whether nothing more will come.
    """

    def __init__(
        self,
        store: Store,
        resource: Resource,
        selection: Selection,
        *,
        since: int | None,
        show: Show | None = None,
        bookmarks: bool = False,
        announce_end: bool = False,
    ) -> None:
        """Begin after the version *since*; None means with what there is.

        Args:
            store: The objects.
            resource: What is watched.
            selection: Which of them.
            since: The version that the client has seen.
            show: What a client is sent for an object; None means its octets.
            bookmarks: Whether the client takes bookmarks.
            announce_end: Whether a bookmark marks the end of what there is.

        Raises:
            ExpiredError: The history does not reach back to *since*.
        """
        self.resource = resource
        self.bookmarks = bookmarks
        self.is_over = False
        self._store = store
        self._log = store.log(resource.qualified)
        self._since = 0 if since is None else since
        self._next = self._log.end if since is None else self._log.after(since)
        self._test = None if selection.is_everything and not selection.namespace else selection.test()
        self._show = show
        self._initial: list[bytes] = []
        if since is None:
            entries = store.entries(resource.qualified, selection.namespace)
            chosen = entries if self._test is None else filter(self._test, entries)
            self._initial = [self._line("ADDED", entry.octets) for entry in chosen]
            if announce_end:
                self._initial.append(self.bookmark(is_initial_end=True))

    def read(self) -> bytes:
        """Return the lines to send now, none where nothing happened."""
        if self._initial:
            lines, self._initial = self._initial[:MAX_EVENTS], self._initial[MAX_EVENTS:]
            return b"".join(lines)
        if self.is_over:
            return b""
        try:
            events = self._log.read(self._next, MAX_EVENTS)
        except ExpiredError:
            self.is_over = True
            return b""
        self._next += len(events)
        if self._test is None and self._show is None:
            return b"".join([event.line for event in events if event.version > self._since])
        return b"".join([self._lines_of(event) for event in events if event.version > self._since])

    @property
    def has_more(self) -> bool:
        """Whether `read` has something to say at once."""
        return bool(self._initial) or (not self.is_over and self._next < self._log.end)

    def bookmark(self, *, is_initial_end: bool = False) -> bytes:
        """Return a line that says how far the client is."""
        metadata: Json = {"resourceVersion": str(self._store.version)}
        if is_initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        object: Json = {"kind": self.resource.kind, "apiVersion": self.resource.group_version, "metadata": metadata}
        octets = _encode(object)
        return event_line("BOOKMARK", self._show(octets) if self._show else octets)

    def _line(self, type: str, octets: bytes) -> bytes:
        return event_line(type, self._show(octets) if self._show else octets)

    def _lines_of(self, event: Event) -> bytes:
        """Return what *event* means to this client: an object that is not selected any more is deleted to it."""
        test = self._test
        before = event.previous is not None and (test is None or test(event.previous))
        if event.type == "DELETED":
            return self._line("DELETED", event.entry.octets) if before else b""
        after = test is None or test(event.entry)
        if after:
            if self._show is None and before == (event.type == "MODIFIED"):
                return event.line
            return self._line("MODIFIED" if before else "ADDED", event.entry.octets)
        if before and event.previous is not None:
            return self._line("DELETED", _in_version(event.previous, event.version))
        return b""


def _in_version(entry: Entry, version: int) -> bytes:
    object: dict[str, Any] = entry.object
    object["metadata"]["resourceVersion"] = str(version)
    return _encode(object)
