"""What is odd about the objects of an API server, in the words that manifests have for it. Pure.

Admission lets more through than the DNS can say: an annotation is any text. Each fault of an object is told once, and
again when it comes back.
"""

from __future__ import annotations

from collections.abc import Iterable

from headlessdns.cluster import documents
from headlessdns.cluster.objects import Delete, Event, Key, Kind, Object, Put, Replace

MAX_LINES = 20  # at a time; thousands of objects from one template have one fault


class Reviewer:
    """Looks at objects as they come, and remembers what it has said of them."""

    def __init__(self) -> None:
        self._told: dict[tuple[Kind, Key], list[str]] = {}

    def look(self, events: Iterable[Event]) -> list[str]:
        """Return a line for each fault that *events* bring and that was not there before."""
        lines: list[str] = []
        for event in events:
            if isinstance(event, Put):
                self._look_at(event.kind, event.object, lines)
            elif isinstance(event, Delete):
                self._told.pop((event.kind, event.key), None)
            elif isinstance(event, Replace):
                self._forget_others(event)
                for object in event.objects:
                    self._look_at(event.kind, object, lines)
        more = len(lines) - MAX_LINES
        return lines if more <= 0 else [*lines[:MAX_LINES], f"and {more} more such faults in other objects"]

    def _look_at(self, kind: Kind, object: Object, lines: list[str]) -> None:
        key = kind, object.metadata.key
        found = documents.review(object)
        if not found:
            self._told.pop(key, None)
            return
        told = self._told.get(key, [])
        lines += [line for line in found if line not in told]
        self._told[key] = found

    def _forget_others(self, event: Replace) -> None:
        """Forget the objects that a complete list does not have any more."""
        present = {object.metadata.key for object in event.objects}
        gone = [
            (kind, key)
            for kind, key in self._told
            if kind is event.kind and key not in present and event.namespace in (None, key.namespace)
        ]
        for one in gone:
            del self._told[one]
