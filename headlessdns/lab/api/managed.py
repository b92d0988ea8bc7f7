"""Who set which field: server-side apply, and ``metadata.managedFields`` for all other writes. Pure.

Source: structured-merge-diff v6 and the field manager of kube-apiserver 1.36. A set of fields is a set of paths; a path
is a tuple of elements as FieldsV1 writes them: ``f:spec``, ``k:{"name":"web"}``, ``v:"a"``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import PatchError
from headlessdns.lab.api.shapes import Fields, Shape, Shapes, item_key

Path = tuple[str, ...]
Paths = frozenset[Path]

MAX_UPDATERS = 10
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_ABSENT: Any = object()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_REMEMBERED_OCTETS = 16_384
_CONTAINERS = (dict, list)  # a union would be made anew each time

# What everybody sets is nobody's.
_UNTRACKED: Paths = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{field}")
            for field in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    }
)

_UNTRACKED_VALUES = tuple(_UNTRACKED - {("f:metadata",)})

# Structures that every object of the kind has, even an empty one. Elsewhere what comes is a field that is set.
_ALWAYS: dict[str, tuple[Fields, ...]] = {
    "": (("metadata",), ("spec",), ("status",)),
    "StatefulSet": (
        ("spec", "template"),
        ("spec", "template", "metadata"),
        ("spec", "template", "spec"),
        ("spec", "updateStrategy"),
    ),
    "Deployment": (
        ("spec", "template"),
        ("spec", "template", "metadata"),
        ("spec", "template", "spec"),
        ("spec", "strategy"),
    ),
    "ReplicaSet": (("spec", "template"), ("spec", "template", "metadata"), ("spec", "template", "spec")),
    "PersistentVolumeClaim": (("spec", "resources"),),
    "Service": (("status", "loadBalancer"),),
    "Node": (("status", "daemonEndpoints"), ("status", "daemonEndpoints", "kubeletEndpoint"), ("status", "nodeInfo")),
}


class Manager(NamedTuple):
    """What tells one entry of managedFields from another. An applier is the same whatever version it applies."""

    name: str
    operation: str
    version: str
    subresource: str


class Conflict(NamedTuple):
    """A field that another manager has set to something else.

    Attributes:
        manager: In the words of the API server: ``"helm"``, or ``"kubectl-edit" using apps/v1``.
        path: As ``.spec.template.spec.containers[name="web"].image``.
    """

    manager: str
    path: str


class _Entry:
    """The fields of one manager: a tree as FieldsV1 has it, a set of paths, or both; each is made when it is needed."""

    __slots__ = ("_paths", "_tree", "time", "version")

    def __init__(self, paths: Paths | None, time: str, version: str, tree: Json | None = None) -> None:
        self.time = time
        self.version = version
        self._paths = paths
        self._tree = tree

    @property
    def paths(self) -> Paths:
        if self._paths is None:
            self._paths = frozenset(_paths_in(self._tree or {}, ()))
        return self._paths

    @property
    def tree(self) -> Json:
        if self._tree is None:
            self._tree = _tree(self._paths or ())
        return self._tree

    @property
    def is_empty(self) -> bool:
        return not (self._tree if self._paths is None else self._paths)

    def in_order(self) -> _Entry:
        """Return the same fields with a tree made anew."""
        return _Entry(self.paths, self.time, self.version)

    def at(self, time: str) -> _Entry:
        """Return the same fields with another time."""
        return _Entry(self._paths, time, self.version, self._tree)

    def has_any(self, paths: Iterable[Path]) -> bool:
        """Tell whether one of *paths* is among the fields. Few are looked up in the tree, which is there already."""
        if self._paths is None:
            return any(_is_in(self._tree or {}, path) for path in paths)
        return not self._paths.isdisjoint(paths)

    def without(self, paths: Paths) -> _Entry:
        """Return the fields but *paths*."""
        return _Entry(self.paths - paths, self.time, self.version) if self.has_any(paths) else self

    def has_all(self, paths: Iterable[Path]) -> bool:
        """Tell whether all of *paths* are among the fields."""
        return all(_is_in(self.tree, path) for path in paths)


_Managers = dict[Manager, _Entry]


def apply(
    live: Json | None,
    applied: Json,
    manager: str,
    force: bool,
    resource: Resource,
    now: str,
    *,
    subresource: str = "",
    schema: Json | None = None,
) -> tuple[Json, list[Conflict]]:
    """Return the object that server-side apply makes, and what it would take from others without *force*.

    With conflicts the object is *live* as it was, and the answer is `conflict_status`. Nothing is defaulted: fields
    that leave may get their defaults back from the caller.

    Args:
        live: The stored object; None creates it.
        applied: The body of the request, decoded.
        manager: The query's fieldManager.
        force: Whether to take fields from others.
        resource: The kind.
        now: RFC 3339, for managedFields.
        subresource: Such as status.
        schema: Of a custom resource: its openAPIV3Schema.

    Raises:
        PatchError: *applied* is of another kind or version, brings managedFields, or has two items of one key.
    """
    shapes = Shapes(resource, schema)
    _check(applied, resource, shapes)
    tracker = _Tracker(shapes, resource, subresource, now)
    before = _without_managers(live)
    managers = _read(live["metadata"].get("managedFields") if live is not None else None)
    if live is not None and not managers:
        first = tracker.updated({"metadata": {}}, before, {}, "before-first-apply", "")
        managers = {key: entry.at(now) for key, entry in first.items()}
    identity = Manager(manager, "Apply", "", subresource)
    after, new_managers, conflicts = tracker.applied(before, applied, managers, identity, force)
    if conflicts and manager == "kubectl":
        allowed = tracker.last_applied(before)
        if allowed is not None and all(path in allowed for _, path in conflicts):
            after, new_managers, conflicts = tracker.applied(before, applied, managers, identity, True)
        elif allowed is not None:
            conflicts = [(who, path) for who, path in conflicts if path not in allowed]
    if conflicts:
        assert live is not None
        return live, [Conflict(_shown(who, managers), _path_text(path)) for who, path in conflicts]
    # A copy. Of a custom kind the schema says which nulls are values.
    after = _without_nulls(after) if schema is None else copy.deepcopy(after)
    if manager == "kubectl" and LAST_APPLIED in (after["metadata"].get("annotations") or {}):
        after["metadata"]["annotations"][LAST_APPLIED] = _last_applied_text(applied)
    _write(after, new_managers)
    return after, []


def track(
    before: Json | None,
    after: Json,
    manager: str,
    operation: str,
    subresource: str,
    now: str,
    resource: Resource,
    *,
    schema: Json | None = None,
) -> None:
    """Keep ``metadata.managedFields`` of *after* right, in place, for a create, an update or a patch.

    Call it when *after* has its defaults, before it is stored. Entries that the request itself brings are kept, which
    is how clients move fields from one manager to another; an empty list clears them.

    Args:
        before: The stored object; None for a create.
        after: The object that is to be stored, as the request left it.
        manager: The query's fieldManager, or the part of User-Agent before the slash.
        operation: ``Update``; anything else does nothing.
        subresource: Such as status, whose entry is apart.
        now: RFC 3339.
        resource: The kind.
        schema: Of a custom resource: its openAPIV3Schema.
    """
    brought = after["metadata"].pop("managedFields", None)
    stored = (before or {}).get("metadata", {}).get("managedFields")
    if operation != "Update":
        if stored:
            after["metadata"]["managedFields"] = stored
        return
    if not subresource and brought in ([], [{}]):
        return
    managers = _read(stored)
    if not subresource and brought != stored:
        # What a client wrote may be in another order.
        managers = {key: entry.in_order() for key, entry in _read(brought).items()} or managers
    if before is not None and not managers:
        return
    tracker = _Tracker(Shapes(resource, schema), resource, subresource, now)
    if before is None and not managers:
        _write(after, tracker.created(after, manager, subresource))
        return
    _write(after, tracker.updated(_without_managers(before), after, managers, manager, subresource))


def _without_managers(object: Json | None) -> Json:
    """Return *object* without its managedFields, and what is as good as none where there is no object."""
    if object is None:
        return {"metadata": {}}
    fields = {key: value for key, value in object.items() if value is not None or key not in _NULLS_OF_NOBODY}
    metadata = {key: value for key, value in object["metadata"].items() if key != "managedFields"}
    return {**fields, "metadata": metadata}


_NULLS_OF_NOBODY = frozenset({"rules"})  # of roles: shown where there are none


def conflict_status(conflicts: list[Conflict]) -> Json:
    """Return the Status with which the API server refuses an apply that would take fields from others."""
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: conflict with {conflicts[0].manager}: {conflicts[0].path}"
    else:
        lines = []
        for manager in sorted({each.manager for each in conflicts}):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {each.path}" for each in conflicts if each.manager == manager]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {each.manager}", "field": each.path}
        for each in conflicts
    ]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Conflict",
        "details": {"causes": causes},
        "code": 409,
    }


def _check(applied: Json, resource: Resource, shapes: Shapes) -> None:
    version, kind = applied.get("apiVersion") or "/", applied.get("kind") or ""
    shown = version if "/" in version else f"/{version}"
    if (version, kind) != (resource.group_version, resource.kind):
        raise PatchError(400, "BadRequest", f"invalid object type: {shown}, Kind={kind}")
    metadata = applied.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise PatchError(400, "BadRequest", "metadata.managedFields must be nil")
    doubles = list(_doubles(applied, shapes, (), ()))
    if doubles:
        why = doubles[0] if len(doubles) == 1 else "\n  ".join(("errors:", *doubles))
        owner = metadata if isinstance(metadata, dict) else {}
        what = f"{owner.get('namespace', '')}/{owner.get('name', '')}; {shown}, Kind={kind}"
        raise PatchError(500, "", f"failed to create typed patch object ({what}): {why}")


def _doubles(value: Any, shapes: Shapes, names: Fields, path: Path) -> Iterator[str]:
    """Return the keys that stand twice in a list."""
    shape = shapes.at(names)
    if isinstance(value, dict) and not shape.is_atomic:
        for field, below in value.items():
            yield from _doubles(below, shapes, (*names, field), (*path, f"f:{field}"))
    elif isinstance(value, list) and (shape.keys or shape.is_set):
        seen: set[str] = set()
        for key, item in _items(value, shape):
            if key in seen:
                yield f"{_path_text(path)}: duplicate entries for key {_step_text(key)}"
            seen.add(key)
            for field, below in item.items() if isinstance(item, dict) else ():
                yield from _doubles(below, shapes, (*names, field), (*path, key, f"f:{field}"))


# ---- Sets of fields


def fields_of(value: Json, shapes: Shapes) -> Paths:
    """Return the fields that *value* sets."""
    return frozenset(_fields(value, shapes, (), ()))


def _fields(value: Any, shapes: Shapes, path: Path, names: Fields) -> Iterator[Path]:
    shape = shapes.at(names)
    if isinstance(value, dict) and not shape.is_atomic:
        for field, below in value.items():
            here, name = (*path, f"f:{field}"), (*names, field)
            yield from _fields(below, shapes, here, name)
            if below is None or below == {} or not shapes.is_named(name):
                yield here
    elif isinstance(value, list) and (shape.keys or shape.is_set):
        for key, item in _items(value, shape):
            yield (*path, key)
            if not shape.has_atomic_items:
                yield from _fields_of_item(item, shapes, (*path, key), names)
    else:
        yield path


def _fields_of_item(item: Any, shapes: Shapes, path: Path, names: Fields) -> Iterator[Path]:
    if isinstance(item, dict):
        for field, below in item.items():
            here, name = (*path, f"f:{field}"), (*names, field)
            yield from _fields(below, shapes, here, name)
            if below is None or below == {} or not shapes.is_named(name):
                yield here


def _items(value: list[Any], shape: Shape) -> list[tuple[str, Any]]:
    return [(item_key(shape, item), item) for item in value]


def _whole(value: Any, shapes: Shapes, names: Fields) -> Json:
    """Return the tree of all that *value* sets, itself included."""
    if not value or not isinstance(value, _CONTAINERS):
        return {}
    shape = shapes.at(names)
    tree: Json = {".": {}}
    if isinstance(value, dict):
        if shape.is_atomic:
            return {}
        _add_fields(tree, value, shapes, names)
        return tree
    if not (shape.keys or shape.is_set):
        return {}
    for key, item in sorted(dict(_items(value, shape)).items()):
        tree[key] = {}
        if item and isinstance(item, dict) and not shape.has_atomic_items:
            tree[key] = {".": {}}
            _add_fields(tree[key], item, shapes, names)
    return tree


def _add_fields(tree: Json, value: Json, shapes: Shapes, names: Fields) -> None:
    for field in sorted(value):
        below = value[field]
        is_deep = below and isinstance(below, _CONTAINERS)
        tree[f"f:{field}"] = _whole(below, shapes, (*names, field)) if is_deep else {}


# The pods of a set have the same containers. Nobody may change what this returns.
@lru_cache(maxsize=256)
def _remembered_tree(octets: bytes, resource: Resource, names: Fields) -> Json:
    return _whole(_decode(octets), Shapes(resource), names)


class _Comparison(NamedTuple):
    removed: set[Path]
    modified: set[Path]
    added: set[Path]

    def without(self, shapes_filter: tuple[Path, ...]) -> _Comparison:
        return _Comparison(*(set(_outside(each, shapes_filter)) for each in self))


def _outside(paths: Iterable[Path], prefixes: tuple[Path, ...]) -> Iterator[Path]:
    return (path for path in paths if not any(path[: len(prefix)] == prefix for prefix in prefixes))


def _compare(left: Any, right: Any, shapes: Shapes, path: Path, names: Fields, found: _Comparison) -> None:
    """Gather what is removed, changed and added from *left* to *right*; either may be `_ABSENT`."""
    if left == right:
        return
    shape = shapes.at(names)
    sides = [side for side in (left, right) if side is not _ABSENT and side is not None]
    if all(isinstance(side, dict) for side in sides) and any(sides) and not shape.is_atomic:
        for field in dict.fromkeys([*(_map(left)), *(_map(right))]):
            below = (_map(left).get(field, _ABSENT), _map(right).get(field, _ABSENT))
            _compare(*below, shapes, (*path, f"f:{field}"), (*names, field), found)
    elif all(isinstance(side, list) for side in sides) and any(sides) and (shape.keys or shape.is_set):
        _compare_lists(left, right, shapes, path, names, found)
    elif left is not _ABSENT and right is not _ABSENT and left != right:
        found.modified.add(path)
    if left is _ABSENT:
        found.added.add(path)
    elif right is _ABSENT:
        found.removed.add(path)


def _compare_lists(left: Any, right: Any, shapes: Shapes, path: Path, names: Fields, found: _Comparison) -> None:
    shape = shapes.at(names)
    lefts, rights = (dict(_items(side or [], shape)) if isinstance(side, list) else {} for side in (left, right))
    for key in dict.fromkeys([*lefts, *rights]):
        one, other, here = lefts.get(key, _ABSENT), rights.get(key, _ABSENT), (*path, key)
        is_object = isinstance(one, dict) or isinstance(other, dict)
        if is_object and not shape.has_atomic_items:
            for field in dict.fromkeys([*_map(one), *_map(other)]):
                below = (_map(one).get(field, _ABSENT), _map(other).get(field, _ABSENT))
                _compare(*below, shapes, (*here, f"f:{field}"), (*names, field), found)
        elif one is not _ABSENT and other is not _ABSENT and one != other:
            found.modified.add(here)
        if one is _ABSENT:
            found.added.add(here)
        elif other is _ABSENT:
            found.removed.add(here)


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _merge(live: Any, applied: Any, shapes: Shapes, names: Fields) -> Any:
    shape = shapes.at(names)
    if isinstance(live, dict) and isinstance(applied, dict) and not shape.is_atomic:
        return _merge_maps(live, applied, shapes, names)
    if isinstance(live, list) and isinstance(applied, list) and (shape.keys or shape.is_set):
        return _merge_lists(live, applied, shape, shapes, names)
    if applied is None and isinstance(live, dict | list) and live:
        return live
    return live if applied is _ABSENT else applied


def _merge_maps(live: Json, applied: Json, shapes: Shapes, names: Fields) -> Json:
    merged = dict(live)
    for field, value in applied.items():
        merged[field] = _merge(live.get(field, _ABSENT), value, shapes, (*names, field))
    return merged


def _merge_lists(live: list[Any], applied: list[Any], shape: Shape, shapes: Shapes, names: Fields) -> list[Any]:
    """Return the live items with the applied ones merged in, which keep their own order among each other."""
    lefts, rights = _items(live, shape), _items(applied, shape)
    live_items, waiting = dict(lefts), dict(rights)
    shared = [key for key, _ in rights if key in live_items]
    merged: list[Any] = []

    def take(key: str) -> None:
        item, old = waiting.pop(key), live_items.get(key, _ABSENT)
        is_object = isinstance(item, dict) and isinstance(old, dict) and not shape.has_atomic_items
        merged.append(_merge_maps(old, item, shapes, names) if is_object else item)
        if key in shared:
            shared.remove(key)

    applied_keys = {key for key, _ in rights}
    for key, item in lefts:
        if key not in applied_keys:
            merged.append(item)
        elif key in waiting and shared and shared[0] == key:
            while waiting:
                first = next(iter(waiting))
                take(first)
                if first == key:
                    break
    for key in list(waiting):
        take(key)
    return merged


def _without(value: Any, paths: Paths, shapes: Shapes, names: Fields) -> Any:
    """Return *value* without what stands at *paths*; null where nothing is left of it, so that it still has owners."""
    below: dict[str, set[Path]] = {}
    for path in paths:
        if path:
            below.setdefault(path[0], set()).add(path[1:])
    shape = shapes.at(names)
    if not below or not isinstance(value, dict | list) or not value:
        return value
    if isinstance(value, dict) and not shape.is_atomic:
        return _map_without(value, below, shapes, names)
    if isinstance(value, list) and (shape.keys or shape.is_set):
        items = []
        for key, item in _items(value, shape):
            found = below.get(key, set())
            if () not in found:
                items.append(_item_without(item, found, shapes, names))
        return items or None
    return None


def _map_without(value: Json, below: dict[str, set[Path]], shapes: Shapes, names: Fields) -> Json | None:
    kept = {}
    for field, each in value.items():
        found = below.get(f"f:{field}", set())
        if () not in found:
            kept[field] = _without(each, frozenset(found), shapes, (*names, field))
    return kept or None


def _item_without(item: Any, paths: set[Path], shapes: Shapes, names: Fields) -> Any:
    if not paths or not isinstance(item, dict):
        return item
    below: dict[str, set[Path]] = {}
    for path in paths:
        below.setdefault(path[0], set()).add(path[1:])
    return _map_without(item, below, shapes, names)


def _with_parents(paths: Iterable[Path], shapes: Shapes) -> Paths:
    """Return *paths* and the named fields on the way to them."""
    done = set(paths)
    for path in list(done):
        for end in range(len(path) - 1, 0, -1):
            parent = path[:end]
            if parent[-1].startswith("f:") and shapes.is_named(_names(parent)):
                done.add(parent)
    return frozenset(done)


def _names(path: Path) -> Fields:
    return tuple(step[2:] for step in path if step.startswith("f:"))


# ---- Managers


class _Tracker:
    """Works out managers for one request."""

    def __init__(self, shapes: Shapes, resource: Resource, subresource: str, now: str) -> None:
        self._shapes = shapes
        self._resource = resource
        self._reset = _reset_fields(resource, shapes.is_custom, subresource)
        self._now = now
        always = () if shapes.is_custom else _ALWAYS.get(resource.kind, ())
        self._always = (*_ALWAYS[""], *always)

    def applied(
        self, live: Json, applied: Json, managers: _Managers, identity: Manager, force: bool
    ) -> tuple[Json, _Managers, list[tuple[Manager, Path]]]:
        version = self._resource.group_version
        config = {key: value for key, value in applied.items() if value is not None}
        merged = _merge(live, config, self._shapes, ())
        last = managers.get(identity)
        own = frozenset(_outside(fields_of(config, self._shapes), self._reset))
        managers = {**managers, identity: _Entry(own, last.time if last else "", version)}
        after = merged
        if last is not None and not last.is_empty:
            after = self._pruned(merged, managers, last.paths)
        managers, _, conflicts = self._taken(live, after, managers, identity, force)
        if conflicts and not force:
            return live, managers, conflicts
        tracked = own - _UNTRACKED
        managers.pop(identity, None)
        if tracked:
            time = self._now if after != live else (last.time if last else "")
            managers[identity] = _Entry(tracked, time, version)
        return after, managers, []

    def updated(self, before: Json, after: Json, managers: _Managers, manager: str, subresource: str) -> _Managers:
        version = self._resource.group_version
        identity = Manager(manager, "Update", version, subresource)
        old = managers.get(identity)
        managers, compared, _ = self._taken(before, after, managers, identity, True)
        changed = frozenset(compared.modified | compared.added)
        tracked = changed - _UNTRACKED
        gone = (changed | compared.removed) - tracked
        if old is not None and tracked and old.has_all(tracked) and not old.has_any(gone):
            managers[identity] = old.at(self._now)  # nothing that it had not set before
        elif tracked:
            managers[identity] = _Entry(tracked | (old.paths - gone if old else frozenset()), self._now, version)
        elif old is not None and old.has_any(gone):
            managers[identity] = old.without(gone)
        return _capped({other: entry for other, entry in managers.items() if not entry.is_empty})

    def created(self, after: Json, manager: str, subresource: str) -> _Managers:
        """Return the one manager of a new object: what `updated` says of one that was nothing before, sooner."""
        tree = self._added(self._filled({"metadata": {}}), self._filled(after), ())
        for *parents, last in (*self._reset, *_UNTRACKED_VALUES):
            here = tree.get(parents[0], {}) if parents else tree
            here.pop(last, None)
        if not tree.get("f:metadata"):
            tree.pop("f:metadata", None)
        if not tree:
            return {}
        version = self._resource.group_version
        return {Manager(manager, "Update", version, subresource): _Entry(None, self._now, version, tree)}

    def _added(self, left: Json, right: Json, names: Fields) -> Json:
        """Return the tree of what *right* sets that *left*, which has structures only, does not."""
        tree = {}
        for field in sorted(right):
            value, here = right[field], (*names, field)
            if field not in left:
                is_deep = value and isinstance(value, _CONTAINERS)
                tree[f"f:{field}"] = _whole(value, self._shapes, here) if is_deep else {}
                continue
            before = left[field]
            if isinstance(before, dict):
                if below := self._added(before, value, here):
                    tree[f"f:{field}"] = below
            elif before != value:
                tree[f"f:{field}"] = {key: each for key, each in self._of_list(value, here).items() if key != "."}
        return tree

    def _of_list(self, value: Any, names: Fields) -> Json:
        octets = _encode(value)
        if self._shapes.is_custom or len(octets) > _REMEMBERED_OCTETS:
            return _whole(value, self._shapes, names)
        return _remembered_tree(octets, self._resource, names)

    def last_applied(self, live: Json) -> Paths | None:
        """Return the fields that client-side apply set and nobody changed since, None where it was not used."""
        text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        try:
            config = json.loads(text or "")
        except (TypeError, ValueError):
            return None
        if not isinstance(config, dict) or config.get("apiVersion") != self._resource.group_version:
            return None
        compared = self._compared(config, live)
        return fields_of(config, self._shapes) - compared.modified - compared.added - compared.removed

    def _compared(self, before: Json, after: Json) -> _Comparison:
        found = _Comparison(set(), set(), set())
        _compare(self._filled(before), self._filled(after), self._shapes, (), (), found)
        return found

    def _filled(self, value: Json) -> Json:
        """Return *value* with the structures that are always there, where it is an object of the API at all."""
        filled = dict(value)
        if self._shapes.is_custom:
            return filled
        for fields in self._always:
            found = filled
            for field in fields:
                below = found.get(field)
                found[field] = dict(below) if isinstance(below, dict) else {}
                found = found[field]
        if self._resource.kind == "StatefulSet":
            filled["spec"].setdefault("serviceName", "")
        pod_spec = filled["spec"] if self._resource.kind == "Pod" else filled["spec"].get("template", {}).get("spec")
        if isinstance(pod_spec, dict):
            pod_spec.setdefault("containers", None)
        return filled

    def _taken(
        self, before: Json, after: Json, managers: _Managers, identity: Manager | None, force: bool
    ) -> tuple[_Managers, _Comparison, list[tuple[Manager, Path]]]:
        """Take from the others what changed; without *force* say only what that would be."""
        compared = self._compared(before, after).without(self._reset)
        changed = compared.modified | compared.added
        conflicts = [] if force else self._conflicts(managers, identity, changed)
        if conflicts:
            return managers, compared, conflicts
        gone = frozenset(changed | compared.removed)
        left = {other: entry if other == identity else entry.without(gone) for other, entry in managers.items()}
        return {other: entry for other, entry in left.items() if not entry.is_empty}, compared, []

    def _conflicts(
        self, managers: _Managers, identity: Manager | None, changed: set[Path]
    ) -> list[tuple[Manager, Path]]:
        return [
            (other, path)
            for other in sorted(managers)
            if other != identity
            for path in sorted(managers[other].paths & changed, key=_order)
        ]

    def _pruned(self, merged: Json, managers: _Managers, last: Paths) -> Json:
        """Return *merged* without what this manager applied last time, not now, and no other has."""
        shapes = self._shapes
        last = _with_parents(last, shapes)
        pruned = _removed(merged, last, shapes)
        everything = _with_parents(fields_of(merged, shapes), shapes)
        owned = _with_parents({path for entry in managers.values() for path in entry.paths}, shapes)
        left = _with_parents(fields_of(pruned, shapes), shapes)
        pruned = _removed(merged, everything - left - owned, shapes)
        left = _with_parents(fields_of(pruned, shapes), shapes)
        return _removed(merged, (everything - left) & last, shapes)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {field: _without_nulls(each) for field, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _order(path: Path) -> tuple[tuple[bool, str], ...]:
    """Return what *path* is sorted by: the API server names the leaves of a branch before its branches."""
    return (*((True, step) for step in path[:-1]), (False, path[-1]))


def _removed(value: Json, paths: Paths, shapes: Shapes) -> Json:
    return dict(_without(value, paths, shapes, ()) or {})


def _reset_fields(resource: Resource, is_custom: bool, subresource: str) -> tuple[Path, ...]:
    """Return what a write to the object, or to its status, leaves alone."""
    if "status" not in resource.subresources:
        return ()
    if subresource != "status":
        return (("f:status",),)
    if is_custom:
        return (("f:metadata",), ("f:spec",))
    if resource.kind == "Pod":
        return (("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences"))
    return (("f:spec",),)


def _capped(managers: _Managers) -> _Managers:
    """Put the oldest updaters together where there are too many."""
    updaters = sorted((m for m in managers if m.operation == "Update"), key=lambda m: (managers[m].time, m))
    excess = len(updaters) - MAX_UPDATERS
    if excess <= 0:
        return managers
    oldest = updaters[: excess + 1]
    last = managers[oldest[-1]]
    paths = frozenset().union(*(managers[each].paths for each in oldest))
    kept = {each: entry for each, entry in managers.items() if each not in oldest}
    bucket = Manager("ancient-changes", "Update", last.version, "")
    return {**kept, bucket: _Entry(paths, last.time, last.version)}


# ---- The form of managedFields


def _read(entries: Any) -> _Managers:
    found: _Managers = {}
    for entry in entries if isinstance(entries, list) else []:
        operation = entry.get("operation")
        if operation not in {"Apply", "Update"} or entry.get("fieldsType") != "FieldsV1" or not entry.get("apiVersion"):
            return {}
        version = entry["apiVersion"]
        identity = Manager(
            entry.get("manager", ""), operation, "" if operation == "Apply" else version, entry.get("subresource", "")
        )
        found[identity] = _Entry(None, entry.get("time", ""), version, entry.get("fieldsV1") or {})
    return found


def _paths_in(tree: Json, path: Path) -> Iterator[Path]:
    for key, below in tree.items():
        if key == ".":
            yield path
        elif below:
            yield from _paths_in(below, (*path, key))
        else:
            yield (*path, key)


def _is_in(tree: Json, path: Path) -> bool:
    """Tell whether *path* is one of the `_paths_in` *tree*."""
    for step in path:
        below = tree.get(step)
        if below is None:
            return False
        tree = below
    return not tree or "." in tree


def _tree(paths: Iterable[Path]) -> Json:
    paths = set(paths)
    tree: Json = {}
    for path in sorted(paths):
        here = tree
        for end, step in enumerate(path, start=1):
            here = here.setdefault(step, {})
            if end < len(path) and path[:end] in paths:
                here.setdefault(".", {})
    return tree


def _write(after: Json, managers: _Managers) -> None:
    metadata = after["metadata"]
    metadata.pop("managedFields", None)
    ordered = sorted(managers, key=lambda each: (each.operation, managers[each].time, each))
    entries = [_entry(each, managers[each]) for each in ordered]
    if entries:
        metadata["managedFields"] = entries


def _entry(manager: Manager, entry: _Entry) -> Json:
    found: Json = {"manager": manager.name, "operation": manager.operation, "apiVersion": entry.version}
    if entry.time:
        found["time"] = entry.time
    found |= {"fieldsType": "FieldsV1", "fieldsV1": entry.tree}
    if manager.subresource:
        found["subresource"] = manager.subresource
    return found


def _shown(manager: Manager, managers: _Managers) -> str:
    shown = json.dumps(manager.name, ensure_ascii=False)
    if manager.subresource:
        shown += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        # The time is no part of what tells managers apart, and so it is never shown.
        shown += f" using {managers[manager].version}"
    return shown


def _path_text(path: Path) -> str:
    return "".join(_step_text(step) for step in path)


def _step_text(step: str) -> str:
    kind, _, rest = step.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    keys = json.loads(rest)
    shown = ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
    return f"[{shown}]"


def _last_applied_text(applied: Json) -> str:
    config = {**applied, "metadata": dict(applied["metadata"])}
    if annotations := config["metadata"].get("annotations"):
        config["metadata"]["annotations"] = {key: annotations[key] for key in annotations if key != LAST_APPLIED}
    text = json.dumps(config, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"
