"""What has to go because something else went: dependents of owners, and what is in a namespace. Pure.

`decide` looks at one object and says what is to be done about it and around it; `Collector` keeps what is to be looked
at and does what was decided. A decision looks at all there is, so a lost or a doubled look costs nothing.

Source: Kubernetes, "Garbage Collection"; k8s.io/kubernetes `pkg/controller/garbagecollector` and `namespace`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from headlessdns.lab.api import crd
from headlessdns.lab.api.deleting import FOREGROUND, ORPHAN
from headlessdns.lab.api.kinds import DEFINITIONS, NAMESPACES, Json
from headlessdns.lab.api.registry import Registry
from headlessdns.lab.api.rules import Rules
from headlessdns.lab.api.status import ApiError
from headlessdns.lab.api.store import Entry, Event, JournalError, Store
from headlessdns.lab.api.writes import Deletion


class Target(NamedTuple):
    """Which object."""

    resource: str
    namespace: str
    name: str
    uid: str


class Delete(NamedTuple):
    """Delete an object; *policy* is empty where it says itself what becomes of its dependents."""

    target: Target
    policy: str = ""


class Disown(NamedTuple):
    """Take the references to *uids* off an object."""

    target: Target
    uids: frozenset[str]


class Release(NamedTuple):
    """Take a finalizer off an object."""

    target: Target
    finalizer: str


class Finish(NamedTuple):
    """Let go of a namespace in which nothing is left."""

    target: Target


Action = Delete | Disown | Release | Finish


def decide(store: Store, registry: Registry, resource: str, entry: Entry) -> Iterator[Action]:
    """Yield what is to be done now because of how *entry*, which exists, stands."""
    if resource == NAMESPACES and entry.is_terminating:
        yield from _namespace(store, registry, entry)
    elif resource == DEFINITIONS and entry.is_terminating:
        yield from _definition(store, entry)
    if entry.is_terminating:
        yield from _owner(store, resource, entry)
    if entry.owners:
        yield from _dependent(store, resource, entry)


def _namespace(store: Store, registry: Registry, entry: Entry) -> Iterator[Action]:
    is_empty = True
    for resource in {one.qualified for one in registry if one.namespaced}:
        for inside in store.entries(resource, entry.name):
            is_empty = False
            if not inside.is_terminating:
                yield Delete(_target(resource, inside))
    if is_empty:
        yield Finish(_target(NAMESPACES, entry))


def _definition(store: Store, entry: Entry) -> Iterator[Action]:
    objects = store.entries(entry.name)  # a definition is called like its resource: plural.group
    for one in objects:
        if not one.is_terminating:
            yield Delete(_target(entry.name, one))
    if not objects and crd.FINALIZER in _finalizers(entry):
        yield Release(_target(DEFINITIONS, entry), crd.FINALIZER)


def _owner(store: Store, resource: str, entry: Entry) -> Iterator[Action]:
    finalizers = entry.object["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        for kind, dependent in store.dependents(entry.uid):
            yield Disown(_target(kind, dependent), frozenset({entry.uid}))
        yield Release(_target(resource, entry), ORPHAN)
    elif FOREGROUND in finalizers:
        is_blocked = False
        for kind, dependent in store.dependents(entry.uid):
            references = dependent.object["metadata"].get("ownerReferences") or ()
            is_blocked |= any(one.get("uid") == entry.uid and one.get("blockOwnerDeletion") for one in references)
            if not dependent.is_terminating and not _has_other_owner(store, dependent):
                has_dependents = bool(store.dependents(dependent.uid))
                yield Delete(_target(kind, dependent), "Foreground" if has_dependents else "")
        if not is_blocked:
            yield Release(_target(resource, entry), FOREGROUND)


def _dependent(store: Store, resource: str, entry: Entry) -> Iterator[Action]:
    """A dependent goes with its last owner; one that has another owner loses the reference only."""
    if entry.is_terminating:
        return
    gone = frozenset(uid for uid in entry.owners if _is_gone(store, entry, uid))
    if not gone:
        return
    if len(gone) == len(entry.owners):
        yield Delete(_target(resource, entry), "")
    else:
        yield Disown(_target(resource, entry), gone)


def _is_gone(store: Store, dependent: Entry, uid: str) -> bool:
    """An owner is to be in the namespace of its dependents, or in none."""
    found = store.by_uid(uid)
    return found is None or found[1].namespace not in ("", dependent.namespace)


def _has_other_owner(store: Store, dependent: Entry) -> bool:
    """Tell whether an owner stays that waits for nothing."""
    for uid in dependent.owners:
        found = store.by_uid(uid)
        if found and not (found[1].is_terminating and FOREGROUND in _finalizers(found[1])):
            return True
    return False


def _finalizers(entry: Entry) -> list[str]:
    return entry.object["metadata"].get("finalizers") or []


def _target(resource: str, entry: Entry) -> Target:
    return Target(resource, entry.namespace, entry.name, entry.uid)


class Collector:
    """Does what `decide` says, for every object that a change may concern."""

    def __init__(self, rules: Rules) -> None:
        """Look at everything there is, and from then on at what changes."""
        self._rules = rules
        self._store = rules.store
        self._waiting: dict[Target, None] = {}
        for resource, entry in self._store.everything():
            self._notice(resource, entry)
        self._store.listeners.append(self._heed)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to look at."""
        return not self._waiting

    def run(self, limit: int | None = None) -> None:
        """Look at objects and do up to about *limit* things; all of them by default, also what comes up on the way.

        Raises:
            JournalError: A write could not be kept; its object is still to be looked at.
        """
        done = 0
        while self._waiting and (limit is None or done < limit):
            target = next(iter(self._waiting))
            del self._waiting[target]
            done += 1
            entry = self._find(target)
            if entry is None:
                continue
            actions = list(islice(decide(self._store, self._rules.registry, target.resource, entry), limit))
            if len(actions) == limit:
                self._waiting[target] = None  # there may be more
            done += len(actions)
            try:
                for action in actions:
                    self._do(action)
            except JournalError:
                self._waiting[target] = None
                raise

    def _heed(self, resource: str, event: Event) -> None:
        entry = event.entry
        if event.type == "DELETED":
            for kind, dependent in self._store.dependents(entry.uid):
                self._waiting[_target(kind, dependent)] = None
        elif entry.is_terminating or entry.owners:
            self._notice(resource, entry)
        if event.type == "DELETED" or entry.is_terminating or event.previous is not None:
            self._notice_holders(resource, event)

    def _notice(self, resource: str, entry: Entry) -> None:
        if entry.is_terminating or entry.owners:
            self._waiting[_target(resource, entry)] = None

    def _notice_holders(self, resource: str, event: Event) -> None:
        """Look again at what waits for this object to go: its owners, its namespace, its definition."""
        previous = event.previous or event.entry
        for uid in {*event.entry.owners, *previous.owners}:
            owner = self._store.by_uid(uid)
            if owner and owner[1].is_terminating:
                self._waiting[_target(*owner)] = None
        if event.type != "DELETED":
            return
        for kind, name in ((NAMESPACES, event.entry.namespace), (DEFINITIONS, resource)):
            holder = self._store.get(kind, "", name) if name else None
            if holder and holder.is_terminating:
                self._waiting[_target(kind, holder)] = None

    def _find(self, target: Target) -> Entry | None:
        entry = self._store.get(target.resource, target.namespace, target.name)
        return entry if entry is not None and entry.uid == target.uid else None

    def _do(self, action: Action) -> None:
        entry = self._find(action.target)
        resource = self._rules.registry.stored(action.target.resource)
        if entry is None or resource is None:
            return
        if isinstance(action, Delete):
            try:
                self._rules.delete(resource, entry.namespace, entry.name, Deletion(policy=action.policy, uid=entry.uid))
            except ApiError:
                return  # a rule is against it; it stays until that changes
        elif isinstance(action, Finish):
            object = entry.object
            if object.setdefault("spec", {}).pop("finalizers", None) or not object["metadata"].get("finalizers"):
                self._rules.commit(resource, object, entry)  # it goes, unless finalizers of others hold it
        else:
            object = entry.object
            _change(object["metadata"], action)
            self._rules.commit(resource, object, entry)


def _change(metadata: Json, action: Disown | Release) -> None:
    if isinstance(action, Release):
        field, rest = "finalizers", [one for one in metadata.get("finalizers") or () if one != action.finalizer]
    else:
        references = metadata.get("ownerReferences") or ()
        field, rest = "ownerReferences", [one for one in references if one.get("uid") not in action.uids]
    if rest:
        metadata[field] = rest
    else:
        metadata.pop(field, None)
