"""Objects by resource, namespace and name, their versions and what happened to them. Pure.

An object is kept as the octets that are sent for it: whoever reads it decodes a copy of its own, whoever sends it sends
these octets, and what happened is encoded once for all who watch. One counter gives every write its version. The last
events of each resource are kept; who asks for older ones is told that they are gone, and lists anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import NamedTuple

import msgspec

from headlessdns.errors import HeadlessDNSError
from headlessdns.lab.api.kinds import Json

HISTORY_EVENTS = 20_000  # of one resource
HISTORY_OCTETS = 64 * 2**20

_encode = msgspec.json.Encoder().encode

# What a real API server escapes in every string, as Go does. It matters where octets are compared: the StatefulSet
# controller of kube-controller-manager does not know its own revision again if it reads back a bare ">".
_ESCAPES = ((b"<", rb"\u003c"), (b">", rb"\u003e"), (b"&", rb"\u0026"))
_decode = msgspec.json.Decoder().decode
_version_of = attrgetter("version")


class ExistsError(HeadlessDNSError):
    """The name is taken."""


class MissingError(HeadlessDNSError):
    """There is no such object."""


class StaleError(HeadlessDNSError):
    """The object is not in the version that was expected."""


class JournalError(HeadlessDNSError):
    """The journal could not keep a write, so it did not happen."""


class ExpiredError(HeadlessDNSError):
    """The history does not reach back to that version.

    Attributes:
        oldest: The first version that it reaches back to.
    """

    def __init__(self, version: int, oldest: int) -> None:
        self.oldest = oldest
        super().__init__(f"too old resource version: {version} ({oldest})")


class Entry:
    """One object in one version.

    Attributes:
        version: Of the write that made it.
        octets: The object as JSON.
        namespace: Empty for what is in none.
        name: Of the object.
        uid: Of the object.
        labels: Of the object.
        owners: The UIDs in its ownerReferences.
        is_terminating: Whether it has a deletionTimestamp.
    """

    __slots__ = ("is_terminating", "labels", "name", "namespace", "octets", "owners", "uid", "version")

    def __init__(self, version: int, octets: bytes, metadata: Json) -> None:
        self.version = version
        self.octets = octets
        self.namespace: str = metadata.get("namespace") or ""
        self.name: str = metadata["name"]
        self.uid: str = metadata.get("uid") or ""
        self.labels: dict[str, str] = metadata.get("labels") or {}
        owners = metadata.get("ownerReferences")
        self.owners: tuple[str, ...] = tuple(str(one.get("uid")) for one in owners) if owners else ()
        self.is_terminating = "deletionTimestamp" in metadata

    @property
    def object(self) -> Json:
        """A copy of the object that belongs to the caller."""
        copy: Json = _decode(self.octets)
        return copy

    @property
    def key(self) -> str:
        """What lists are ordered by."""
        return f"{self.namespace}/{self.name}"


class Event:
    """What happened to one object.

    Attributes:
        version: Of the write.
        type: ADDED, MODIFIED or DELETED.
        entry: The object afterwards; of a deletion its last state, in the version of the deletion.
        previous: The object before.
    """

    __slots__ = ("_line", "entry", "previous", "type", "version")

    def __init__(self, type: str, entry: Entry, previous: Entry | None) -> None:
        self.version = entry.version
        self.type = type
        self.entry = entry
        self.previous = previous
        self._line = b""

    @property
    def line(self) -> bytes:
        """The event as a watch sends it, encoded once."""
        if not self._line:
            self._line = event_line(self.type, self.entry.octets)
        return self._line


def event_line(type: str, octets: bytes) -> bytes:
    """Return an event about the object *octets* as a watch sends it."""
    return b'{"type":"%s","object":%s}\n' % (type.encode(), octets)


class Commit(NamedTuple):
    """A write that counts, as a journal keeps it.

    Attributes:
        version: Of the write.
        resource: Such as ``statefulsets.apps``.
        namespace: Empty for what is in none.
        name: Of the object.
        octets: The object as JSON, None where it was deleted.
    """

    version: int
    resource: str
    namespace: str
    name: str
    octets: bytes | None


class Log:
    """The last events of one resource.

    An event has a number that stays the same while older ones are dropped, so a reader keeps a number and asks for
    what came since.
    """

    def __init__(self, version: int, max_events: int, max_octets: int) -> None:
        self.compacted = version  # events up to here are gone
        self._events: list[Event] = []
        self._first = 0
        self._octets = 0
        self._max_events = max_events
        self._max_octets = max_octets

    @property
    def end(self) -> int:
        """The number of the next event."""
        return self._first + len(self._events)

    def add(self, event: Event) -> None:
        """Append *event*, and drop the older half when there are too many."""
        self._events.append(event)
        self._octets += len(event.entry.octets)
        if len(self._events) > self._max_events or self._octets > self._max_octets:
            self._drop(len(self._events) // 2 or 1)

    def compact(self, version: int) -> None:
        """Drop the events up to *version*."""
        self._drop(bisect_right(self._events, version, key=_version_of))
        self.compacted = max(self.compacted, version)

    def after(self, version: int) -> int:
        """Return the number of the first event after *version*.

        Raises:
            ExpiredError: It may be gone.
        """
        if version < self.compacted:
            raise ExpiredError(version, self.compacted)
        return self._first + bisect_right(self._events, version, key=_version_of)

    def read(self, number: int, limit: int | None = None) -> list[Event]:
        """Return up to *limit* events from *number* on.

        Raises:
            ExpiredError: Some of them are gone.
        """
        start = number - self._first
        if start < 0:
            raise ExpiredError(number, self._first)
        return self._events[start:] if limit is None else self._events[start : start + limit]

    def _drop(self, count: int) -> None:
        if count:
            self.compacted = self._events[count - 1].version
            self._octets -= sum(len(event.entry.octets) for event in self._events[:count])
            del self._events[:count]
            self._first += count


class Store:
    """All objects.

    Attributes:
        version: Of the last write.
        journal: Takes each write before any other part of the program learns of it; what it raises, a `JournalError`
            where it could not keep it, undoes the write.
        listeners: Called after each write with its resource.
    """

    def __init__(
        self,
        commits: Iterable[Commit] = (),
        *,
        version: int = 1,
        history_events: int = HISTORY_EVENTS,
        history_octets: int = HISTORY_OCTETS,
    ) -> None:
        """Begin with what *commits* say, in their order; there is no history of them.

        Args:
            commits: What a journal has kept.
            version: The version to go on from, where the commits do not reach it.
            history_events: How many events of a resource are kept.
            history_octets: How large the objects in these may be together.
        """
        self.version = version
        self.journal: Callable[[Commit], None] | None = None
        self.listeners: list[Callable[[str, Event], None]] = []
        self._entries: dict[str, dict[str, Entry]] = {}
        self._logs: dict[str, Log] = {}
        self._dependents: dict[str, dict[tuple[str, str], None]] = {}
        self._by_uid: dict[str, tuple[str, str]] = {}
        self._history = history_events, history_octets
        for commit in commits:
            self._restore(commit)
        self._oldest = self.version

    # What there is

    def get(self, resource: str, namespace: str, name: str) -> Entry | None:
        """Return one object, None where there is none."""
        entries = self._entries.get(resource)
        return entries.get(f"{namespace}/{name}") if entries else None

    def entries(self, resource: str, namespace: str = "") -> list[Entry]:
        """Return the objects of *resource*, all or those in *namespace*, in the order of their keys."""
        entries = self._entries.get(resource, {})
        keys = [key for key in entries if key.startswith(f"{namespace}/")] if namespace else list(entries)
        keys.sort()
        return [entries[key] for key in keys]

    def entries_at(self, version: int, resource: str, namespace: str = "") -> list[Entry]:
        """Return the objects as they were after the write *version*.

        Raises:
            ExpiredError: That is too long ago.
        """
        log = self.log(resource)
        entries = {entry.key: entry for entry in self.entries(resource, namespace)}
        for event in reversed(log.read(log.after(version))):
            if namespace and event.entry.namespace != namespace:
                continue
            if event.previous is None:
                entries.pop(event.entry.key, None)
            else:
                entries[event.entry.key] = event.previous
        return [entries[key] for key in sorted(entries)]

    def count(self, resource: str) -> int:
        """Return how many objects of *resource* there are."""
        return len(self._entries.get(resource, ()))

    def log(self, resource: str) -> Log:
        """Return the last events of *resource*."""
        log = self._logs.get(resource)
        if log is None:
            log = self._logs[resource] = Log(self._oldest, *self._history)
        return log

    def dependents(self, uid: str) -> list[tuple[str, Entry]]:
        """Return the resources and objects whose ownerReferences name *uid*."""
        found = []
        for resource, key in self._dependents.get(uid, ()):
            found.append((resource, self._entries[resource][key]))
        return found

    def by_uid(self, uid: str) -> tuple[str, Entry] | None:
        """Return the resource and the object with *uid*, None where it is gone."""
        where = self._by_uid.get(uid)
        return (where[0], self._entries[where[0]][where[1]]) if where else None

    def everything(self) -> Iterable[tuple[str, Entry]]:
        """Yield each resource with each of its objects."""
        for resource, entries in self._entries.items():
            for entry in list(entries.values()):
                yield resource, entry

    def commits(self) -> list[Commit]:
        """Return what a new journal has to begin with, so that a `Store` of it has the same objects."""
        found = [
            Commit(entry.version, resource, entry.namespace, entry.name, entry.octets)
            for resource, entry in self.everything()
        ]
        return sorted(found, key=_version_of)

    # What changes

    def create(self, resource: str, object: Json) -> Entry:
        """Add *object*, which gets its resourceVersion written into it.

        Raises:
            ExistsError: There is one of its name.
        """
        metadata = object["metadata"]
        key = f"{metadata.get('namespace') or ''}/{metadata['name']}"
        if key in self._entries.setdefault(resource, {}):
            raise ExistsError(key)
        return self._commit("ADDED", resource, object, None)

    def update(self, resource: str, object: Json, *, expected: int | None = None) -> Entry:
        """Replace an object by *object*, which gets its resourceVersion written into it.

        Args:
            resource: Such as ``pods``.
            object: With its namespace and name.
            expected: The version that is to be replaced; None means any.

        Raises:
            MissingError: There is none of its name.
            StaleError: It is in another version.
        """
        metadata = object["metadata"]
        previous = self._present(resource, metadata.get("namespace") or "", metadata["name"], expected)
        return self._commit("MODIFIED", resource, object, previous)

    def delete(
        self, resource: str, namespace: str, name: str, *, last: Json | None = None, expected: int | None = None
    ) -> Entry:
        """Remove an object and return its last state, in the version of its deletion.

        Args:
            resource: Such as ``pods``.
            namespace: Empty for what is in none.
            name: Of the object.
            last: Its last state, where that is not the present one.
            expected: The version that is to be removed; None means any.

        Raises:
            MissingError: There is none of its name.
            StaleError: It is in another version.
        """
        previous = self._present(resource, namespace, name, expected)
        return self._commit("DELETED", resource, previous.object if last is None else last, previous)

    def compact(self, version: int) -> None:
        """Forget what happened up to *version*, in all resources."""
        for log in self._logs.values():
            log.compact(version)

    def _present(self, resource: str, namespace: str, name: str, expected: int | None) -> Entry:
        entry = self.get(resource, namespace, name)
        if entry is None:
            raise MissingError(f"{namespace}/{name}")
        if expected is not None and entry.version != expected:
            raise StaleError(f"{namespace}/{name}: {entry.version}")
        return entry

    def _commit(self, type: str, resource: str, object: Json, previous: Entry | None) -> Entry:
        version = self.version + 1
        metadata = object["metadata"]
        metadata["resourceVersion"] = str(version)
        # What an object is comes first: lists, whose items do not say it, cut it off.
        octets = _escaped(_encode({"kind": object["kind"], "apiVersion": object["apiVersion"], **object}))
        entry = Entry(version, octets, metadata)
        is_deletion = type == "DELETED"
        if self.journal is not None:
            kept = None if is_deletion else octets
            self.journal(Commit(version, resource, entry.namespace, entry.name, kept))
        self.version = version
        self._put(resource, entry, previous, is_deletion=is_deletion)
        event = Event(type, entry, previous)
        self.log(resource).add(event)
        for listener in self.listeners:
            listener(resource, event)
        return entry

    def _put(self, resource: str, entry: Entry, previous: Entry | None, *, is_deletion: bool) -> None:
        key = entry.key
        for uid in previous.owners if previous else ():
            holders = self._dependents[uid]
            holders.pop((resource, key), None)
            if not holders:
                del self._dependents[uid]
        if is_deletion:
            del self._entries[resource][key]
            self._by_uid.pop(entry.uid, None)
            return
        self._entries.setdefault(resource, {})[key] = entry
        self._by_uid[entry.uid] = resource, key
        for uid in entry.owners:
            self._dependents.setdefault(uid, {})[resource, key] = None

    def _restore(self, commit: Commit) -> None:
        previous = self.get(commit.resource, commit.namespace, commit.name)
        if commit.octets is not None:
            object = _decode(commit.octets)
            self._put(
                commit.resource, Entry(commit.version, commit.octets, object["metadata"]), previous, is_deletion=False
            )
        elif previous is not None:
            self._put(commit.resource, previous, previous, is_deletion=True)
        self.version = max(self.version, commit.version)


def _escaped(octets: bytes) -> bytes:
    """Return JSON whose strings are escaped as Go does it; outside of strings there are no such characters."""
    for character, escape in _ESCAPES:
        octets = octets.replace(character, escape)
    return octets
