"""The three kinds of patch that change an object: JSON Patch, JSON Merge Patch, strategic merge patch. Pure.

Source: RFC 6902, RFC 6901, RFC 7386; kube-apiserver 1.36 for the strategic one and for the words of refusals.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import msgspec

from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.shapes import Fields, Shape, Shapes

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

MAX_OPERATIONS = 10_000

_ABSENT: Any = object()


class PatchError(Exception):
    """A patch is refused.

    Args:
        status: The HTTP status.
        reason: As in a Status object; empty where the API server gives none.
        message: As the API server words it.
        detail: What was wrong, in words that the API server writes into its log only.
    """

    def __init__(self, status: int, reason: str, message: str, detail: str = "") -> None:
        super().__init__(f"{message}: {detail}" if detail else message)
        self.status = status
        self.reason = reason
        self.message = message


def apply_patch(content_type: str, live: Json, patch: object, resource: Resource) -> Json:
    """Return *live* as *patch* leaves it; neither of the two is changed.

    Server-side apply is `managed.apply`.

    Args:
        content_type: Of the request, with or without parameters.
        live: The object as it is stored, defaults included.
        patch: The body, decoded.
        resource: The kind of *live*. One that is not built in takes no strategic merge patch.

    Raises:
        PatchError: The body is no patch of this kind, or does not fit the object.
    """
    content_type = content_type.partition(";")[0].strip()
    shapes = Shapes(resource)
    if content_type not in (_PATCHES_OF_CUSTOM if shapes.is_custom else _PATCHES):
        _refuse(415, "UnsupportedMediaType", _UNKNOWN_TO_CUSTOM if shapes.is_custom else "415: Unsupported Media Type")
    if content_type == JSON_PATCH:
        return _json_patch(live, patch)
    if not isinstance(patch, dict):
        _bad_request(f"{_decoding(content_type)}{_cannot_decode(patch, 'map[string]interface {}')}")
    change: Json = _copied(patch)
    if content_type == MERGE_PATCH:
        return _merged(_copy_of_stored(live), change)
    return _Strategic(shapes).merge_map(_copy_of_stored(live), change, ())


_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH)
_PATCHES_OF_CUSTOM = (JSON_PATCH, MERGE_PATCH)
_UNKNOWN_TO_CUSTOM = (
    "the body of the request was in an unknown format - accepted media types include: "
    f"{', '.join((*_PATCHES_OF_CUSTOM, APPLY_PATCH))}"
)


def _copied(value: Any) -> Any:
    """Return a copy of a JSON value; `copy.deepcopy` takes several times as long."""
    if isinstance(value, dict):
        return {field: _copied(each) for field, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _copy_of_stored(live: Json) -> Json:
    """Return a copy of what was read from JSON, in a tenth of the time."""
    copy: Json = _decode(_encode(live))
    return copy


def _refuse(status: int, reason: str, message: str, detail: str = "") -> NoReturn:
    raise PatchError(status, reason, message, detail)


def _bad_request(message: str) -> NoReturn:
    _refuse(400, "BadRequest", message)


def _does_not_fit(detail: str) -> NoReturn:
    _refuse(422, "Invalid", "the server rejected our request due to an error in our request", detail)


def _decoding(content_type: str) -> str:
    return "" if content_type == STRATEGIC_MERGE_PATCH else "error decoding patch: "


def _cannot_decode(value: object, into: str) -> str:
    return f"json: cannot unmarshal {_json_type(value)} into Go value of type {into}"


def _json_type(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool"}
    return names.get(type(value), "number")


# ---- RFC 6902


def _json_patch(live: Json, patch: object) -> Json:
    if not isinstance(patch, list):
        _bad_request(f"error decoding patch: {_cannot_decode(patch, '[]handlers.jsonPatchOp')}")
    for operation in patch:
        if not isinstance(operation, dict):
            _bad_request(f"error decoding patch: {_cannot_decode(operation, 'handlers.jsonPatchOp')}")
    if len(patch) > MAX_OPERATIONS:
        _refuse(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}",
        )
    document: Any = _copy_of_stored(live)
    for operation in patch:
        document = _operate(document, operation)
    if not isinstance(document, dict):
        _does_not_fit("the document is no object any more")
    return document


def _operate(document: Any, operation: Json) -> Any:
    """Return *document* after one operation; it is changed."""
    name = operation.get("op")
    if not isinstance(name, str) or name not in _OPERATIONS:
        _does_not_fit(f"Unexpected kind: {name}")
    if not isinstance(operation.get("path"), str):
        _does_not_fit(f"{name} operation failed to decode path")
    if name in {"move", "copy"} and not isinstance(operation.get("from"), str):
        _does_not_fit(f"{name} operation failed to decode from")
    if name == "replace" and not operation["path"]:
        return _copied(operation.get("value"))
    _OPERATIONS[name](document, operation)
    return document


def _add(document: Any, operation: Json) -> None:
    _put(document, operation["path"], _copied(operation.get("value")))


def _remove(document: Any, operation: Json) -> None:
    _take(document, operation["path"])


def _replace(document: Any, operation: Json) -> None:
    parent, key = _parent(document, operation["path"])
    if isinstance(parent, list):
        parent[_index(parent, key)] = _copied(operation.get("value"))
    else:
        # The API server takes a member that was not there, too.
        parent[key] = _copied(operation.get("value"))


def _move(document: Any, operation: Json) -> None:
    _put(document, operation["path"], _take(document, operation["from"]))


def _copy(document: Any, operation: Json) -> None:
    _put(document, operation["path"], _copied(_found(document, operation["from"])))


def _test(document: Any, operation: Json) -> None:
    found = _found(document, operation["path"]) if operation["path"] else document
    if not _equal(found, operation.get("value")):
        _does_not_fit(f"testing value {operation['path']} failed: test failed")


_OPERATIONS = {"add": _add, "remove": _remove, "replace": _replace, "move": _move, "copy": _copy, "test": _test}


def _parent(document: Any, path: str) -> tuple[Any, str]:
    """Return what holds the value at *path*, and its key there."""
    # What stands before the first slash is passed over, as the API server does.
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    if not steps:
        _does_not_fit(f"doc is missing path: {path}: missing value")
    *ways, key = steps
    found = document
    for step in ways:
        if isinstance(found, list):
            found = found[_index(found, step)]
        elif isinstance(found, dict):
            found = found.get(step)
        if not isinstance(found, dict | list):
            _does_not_fit(f"doc is missing path: {path}: missing value")
    return found, key


def _index(found: list[Any], key: str, end: int = 0) -> int:
    """Return the index that *key* says; a negative one counts from the end, which the API server allows."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", key, re.ASCII):
        _does_not_fit(f"value was not a proper array index: '{key}'")
    length = len(found) + end
    if not -length <= int(key) < length:
        _does_not_fit(f"Unable to access invalid index: {key}: invalid index referenced")
    return int(key) % length


def _found(document: Any, path: str) -> Any:
    parent, key = _parent(document, path)
    # A member that is missing is null here, for the API server.
    return parent[_index(parent, key)] if isinstance(parent, list) else parent.get(key)


def _put(document: Any, path: str, value: Any) -> None:
    parent, key = _parent(document, path)
    if isinstance(parent, dict):
        parent[key] = value
    elif key == "-":
        parent.append(value)
    else:
        parent.insert(_index(parent, key, end=1), value)


def _take(document: Any, path: str) -> Any:
    parent, key = _parent(document, path)
    if isinstance(parent, list):
        return parent.pop(_index(parent, key))
    if key not in parent:
        _does_not_fit(f"Unable to remove nonexistent key: {key}: missing value")
    return parent.pop(key)


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: 1 is not true, and 1 is 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


# ---- RFC 7386


def _merged(live: Any, patch: Json) -> Json:
    merged: Json = live if isinstance(live, dict) else {}
    for field, value in patch.items():
        if value is None:
            merged.pop(field, None)
        elif isinstance(value, dict):
            merged[field] = _merged(merged.get(field), value)
        else:
            merged[field] = value
    return merged


# ---- Strategic merge patch

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"

_BAD_ORDER = "invalid patch format of setElementOrder list"
_BAD_RETAIN_KEYS = "invalid patch format of retainKeys"


class _Strategic:
    """Merges patches into objects of one kind. What it is given, it may change."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def merge_map(self, live: Json, patch: Json, fields: Fields) -> Json:
        if _DIRECTIVE in patch:
            return _replaced(patch)
        if _RETAIN_KEYS in patch:
            _retain(live, patch)
        self._merge_ordered(live, patch, fields)
        for field, value in patch.items():
            if field.startswith(_DELETE_FROM):
                field = field.removeprefix(_DELETE_FROM)
                if isinstance(live.get(field), list) and isinstance(value, list):
                    live[field] = [each for each in live[field] if each not in value]
            elif value is None:
                live.pop(field, None)
            else:
                _set(live, field, self._merge_value(live.get(field), value, (*fields, field)))
        return live

    def _merge_value(self, live: Any, value: Any, fields: Fields) -> Any:
        shape = self._shapes.at(fields)
        if isinstance(live, dict) and isinstance(value, dict):
            return value if shape.patch_replaces else self.merge_map(live, value, fields)
        if isinstance(live, list) and isinstance(value, list):
            return self._merge_list(live, value, shape, fields)
        return _without_directives(_without_nulls(value))

    def _merge_list(self, live: list[Any], patch: list[Any], shape: Shape, fields: Fields) -> list[Any]:
        if shape.is_set:
            both = [*live, *patch]
            merged = [each for index, each in enumerate(both) if _find(both, each, "") == index]
            return _ordered(merged, patch, live, "")
        if not shape.merge_key:
            return patch
        live, patch, before = self._special_items(live, patch, shape.merge_key)
        merged = list(live)
        for item in patch:
            found = _find(merged, item, shape.merge_key)
            if found is None:
                merged.append(item)
            else:
                merged[found] = self.merge_map(merged[found], item, fields)
        return _ordered(merged, patch, before, shape.merge_key)

    def _special_items(
        self, live: list[Any], patch: list[Any], merge_key: str
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the live items that stay, the items to merge into them, and the items whose order counts."""
        _all_objects([*live, *patch], merge_key)
        plain, replaces = [], False
        for item in patch:
            directive = item.get(_DIRECTIVE)
            if directive is None:
                plain.append(item)
            elif directive == "delete":
                live = [each for each in live if not _same(each, item, merge_key)]
            elif directive == "replace":
                replaces = True
            elif directive == "merge":
                _fail("merging lists cannot yet be specified in the patch")
            else:
                _fail(f"unknown patch type: {directive} in map: {go_text(item)}")
        # As the API server does it: what replaces is taken as it is.
        return (plain, [], plain) if replaces else (live, plain, live)

    def _merge_ordered(self, live: Json, patch: Json, fields: Fields) -> None:
        """Merge the lists whose order the patch gives; they leave *patch*."""
        for directive in [field for field in patch if field.startswith(_ORDER)]:
            order = patch.pop(directive)
            field = directive.removeprefix(_ORDER)
            in_live, in_patch = live.get(field), patch.get(field)
            for found in (order, [] if in_live is None else in_live, [] if in_patch is None else in_patch):
                if not isinstance(found, list):
                    _fail(f"expected a []interface {{}}, but received a {_go_type(found)}")
            shape = self._shapes.at((*fields, field))
            _check_order(in_patch or [], order, shape.merge_key)
            if in_live is None and in_patch is None:
                continue
            if in_patch is None:
                merged = in_live or []
            elif in_live is None:
                merged = _without_directives(in_patch)
            else:
                merged = self._merge_list(list(in_live), in_patch, shape, (*fields, field))
            live[field] = _ordered(merged, order, in_live or [], shape.merge_key)
            patch.pop(field, None)


def _replaced(patch: Json) -> Json:
    directive = patch.pop(_DIRECTIVE)
    if directive == "replace":
        return patch
    if directive != "delete":
        _fail(f"unknown patch type: {directive} in map: {go_text({**patch, _DIRECTIVE: directive})}")
    return {}


def _retain(live: Json, patch: Json) -> None:
    kept = patch.pop(_RETAIN_KEYS)
    if not isinstance(kept, list):
        _bad_request(_BAD_RETAIN_KEYS)
    for field, value in patch.items():
        if value is not None and not field.startswith((_DELETE_FROM, _ORDER)) and field not in kept:
            _bad_request(_BAD_RETAIN_KEYS)
    for field in [field for field in live if field not in kept]:
        del live[field]


def _set(live: Json, field: str, value: Any) -> None:
    if value is _ABSENT:
        live.pop(field, None)
    else:
        live[field] = value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {field: _without_nulls(each) for field, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def _without_directives(value: Any) -> Any:
    """Return *value* without the objects in it that are a directive, `_ABSENT` where it is one itself."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return _ABSENT
        done = {field: _without_directives(each) for field, each in value.items()}
        return {field: each for field, each in done.items() if each is not _ABSENT}
    if isinstance(value, list):
        return [each for each in map(_without_directives, value) if each is not _ABSENT]
    return value


def _all_objects(items: list[Any], merge_key: str) -> None:
    for item in items:
        if not isinstance(item, dict):
            _fail(f"expected a map[string]interface {{}}, but received a {_go_type(item)}")
        if merge_key not in item and item.get(_DIRECTIVE) != "replace":
            _fail(f"map: {go_text(item)} does not contain declared merge key: {merge_key}")


def _same(one: Any, other: Any, merge_key: str) -> bool:
    if merge_key and isinstance(one, dict) and isinstance(other, dict):
        one, other = one.get(merge_key), other.get(merge_key)
    return _equal(one, other)


def _find(items: list[Any], item: Any, merge_key: str) -> int | None:
    return next((index for index, each in enumerate(items) if _same(each, item, merge_key)), None)


def _ordered(merged: list[Any], order: list[Any], before: list[Any], merge_key: str) -> list[Any]:
    """Return *merged* with what the patch names in the order of *order*, and the rest where it stood *before*."""
    named = [each for each in merged if _find(order, each, merge_key) is not None]
    others = [each for each in merged if _find(order, each, merge_key) is None]
    named.sort(key=lambda each: _find(order, each, merge_key) or 0)
    others.sort(key=lambda each: _place(before, each, merge_key))
    done: list[Any] = []
    while named and others:
        left, right = _place(before, others[0], merge_key), _place(before, named[0], merge_key)
        done.append(others.pop(0) if left < right < math.inf else named.pop(0))
    return [*done, *named, *others]


def _place(items: list[Any], item: Any, merge_key: str) -> float:
    found = _find(items, item, merge_key)
    return math.inf if found is None else found


def _check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Check that *order* has the items of *patch*, one after the other."""
    plain = [item for item in patch if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if not patch or not order:
        return
    if merge_key:
        _all_objects([*plain, *order], merge_key)
    left = iter(order)
    if not all(any(_same(item, each, merge_key) for each in left) for item in plain):
        _fail(f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n")


def _fail(message: str) -> NoReturn:
    # The API server knows no status for these and answers 500.
    _refuse(500, "", message)


def _go_type(value: object) -> str:
    names = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool", int: "int64"}
    return names.get(type(value), "float64")


def go_text(value: Any) -> str:
    """Return *value* as messages of the API server show objects: ``map[image:nginx name:web]``."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "<nil>" if value is None else str(value)


_NAMED_CONTROLS = dict(zip("\a\b\t\n\v\f\r", "abtnvfr", strict=True))
_GO_ESCAPES = str.maketrans(
    {chr(code): rf"\x{code:02x}" for code in (*range(32), 127)}
    | {letter: f"\\{name}" for letter, name in _NAMED_CONTROLS.items()}
    | {'"': '\\"', "\\": "\\\\"}
)


def go_quoted(text: str) -> str:
    """Return *text* in quotes, as messages of the API server show it."""
    return f'"{text.translate(_GO_ESCAPES)}"'
