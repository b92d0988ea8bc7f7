"""Bodies of requests: JSON, YAML, and protobuf for the few kinds of which kubectl sends nothing else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import yaml

from headlessdns.lab.api import protobuf
from headlessdns.lab.api.status import ApiError, bad_request

_encode = msgspec.json.Encoder().encode

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
MAX_OCTETS = 3 * 2**20

_decode = msgspec.json.Decoder().decode


class _Loader(yaml.SafeLoader):
    """Takes what looks like a date for text, as JSON would have it."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def decode(body: bytes, content_type: str) -> Any:
    """Return the value of *body*.

    Raises:
        ApiError: It cannot be read, or not be taken in that form.
    """
    content_type = content_type.partition(";")[0].strip().lower()
    if content_type in (YAML, APPLY) and body.lstrip()[:1] != b"{":
        return _yaml(body)
    if content_type == PROTOBUF and (object := protobuf.decode(body)) is not None:
        return object
    if content_type == PROTOBUF or (content_type and not content_type.endswith(("json", "yaml", "*/*"))):
        accepted = ", ".join((JSON, YAML, PROTOBUF))
        raise ApiError(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {accepted}",
        )
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def decode_object(body: bytes, content_type: str, kind: str = "", *, says_kind: bool = False) -> dict[str, Any]:
    """Return the object that *body* is.

    Args:
        body: As it came.
        content_type: As it came.
        kind: What it is to be; empty where that is clear.
        says_kind: Whether the object has to say that itself.

    Raises:
        ApiError: It cannot be read, or is something else.
    """
    try:
        value = decode(body, content_type)
    except ApiError as error:
        raise _unrecognized(kind, str(error), body) if error.status == BAD_REQUEST else error from error
    if not isinstance(value, dict):
        what = f"Go value of type {_ANY_KIND}"
        raise _unrecognized(kind, f"{_NO_KIND}: json: cannot unmarshal {_json_name(value)} into {what}", body)
    for field in ("apiVersion", "kind"):
        given = value.get(field)
        if not isinstance(given, str | None):
            what = f"Go struct field .{field} of type string"
            raise _unrecognized(kind, f"{_NO_KIND}: json: cannot unmarshal {_json_name(given)} into {what}", body)
    if says_kind and not value.get("kind"):
        raise _unrecognized(kind, f"Object 'Kind' is missing in '{body.decode(errors='replace')}'", body)
    return value


def decode_applied(body: bytes) -> dict[str, Any]:
    """Return the object that is applied.

    Raises:
        ApiError: It cannot be read, or is no object.
    """
    value = _applied(body)
    if not isinstance(value, dict):
        what = f"cannot unmarshal {_json_name(value)} into Go value of type map[string]interface {{}}"
        raise bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: json: {what}")
    return value


def _applied(body: bytes) -> Any:
    """Return the value of YAML, which is mostly JSON."""
    if body.startswith(b"{"):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _decode(body)
    return _yaml(body, "error decoding YAML: ")


def duplicates(body: bytes, content_type: str, value: Any = None) -> tuple[str, ...]:
    """Return what the API server says of the fields that *body* has twice; *value* is what was read from it."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == PROTOBUF:
        return ()
    if media_type == YAML:
        return _twice_in_yaml(body)
    if (value is not None and _has_as_many_fields(body, value)) or not _has_duplicates(body):
        return ()
    found: list[str] = []
    _walk_pairs(json.loads(body, object_pairs_hook=_Pairs), "", found)
    return tuple(f'duplicate field "{path}"' for path in found)


def _twice_in_yaml(body: bytes) -> tuple[str, ...]:
    if body.startswith(b"{") and not duplicates(body, JSON):
        return ()
    found: list[str] = []
    nodes: list[Any] = [yaml.compose(body, _Loader)]
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    found.append(f'  line {key.start_mark.line + 1}: key "{key.value}" already set in map')
                seen.add(key.value)
                nodes.append(value)
    return ("\n".join(["yaml: unmarshal errors:", *found]),) if found else ()


# With one of these in it, a text need not have one `":` for each field.
_UNLIKE_OURS = (b'" ', b'"\n', b'"\t', b'"\r', b"\\u00")


def _has_as_many_fields(body: bytes, value: Any) -> bool:
    """Tell whether *body* surely has no more fields than *value*, where what is there twice is there once."""
    if any(each in body for each in _UNLIKE_OURS):
        return False
    return body.count(b'":') == _encode(value).count(b'":')


def _has_duplicates(body: bytes) -> bool:
    seen: list[list[tuple[str, Any]]] = []
    json.loads(body, object_pairs_hook=seen.append)
    return any(len(dict(pairs)) != len(pairs) for pairs in seen)


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON as it was written."""


def _walk_pairs(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen = set()
        for name, each in value:
            where = f"{path}.{name}" if path else name
            if name in seen:
                found.append(where)
            seen.add(name)
            _walk_pairs(each, where, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk_pairs(item, f"{path}[{index}]", found)


def yaml_of(octets: bytes) -> bytes:
    """Return JSON as YAML."""
    return yaml.safe_dump(_decode(octets), allow_unicode=True).encode()


BAD_REQUEST = 400
_NO_KIND = "couldn't get version/kind; json parse error"
_ANY_KIND = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_SHOWN_OCTETS = 30


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}
    return names.get(type(value), "number")


def _unrecognized(kind: str, why: str, body: bytes) -> ApiError:
    if not kind:
        return bad_request(why)
    shown = body[:_SHOWN_OCTETS].decode(errors="replace") if body.startswith(b"{") else body[:_SHOWN_OCTETS].hex()
    shown += " ..." if len(body) > _SHOWN_OCTETS else ""
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({shown or '<empty>'})")


def _with_text_keys(value: Any) -> Any:
    """Return *value* with the keys as JSON has them: ``yes:`` is "true", as in YAML 1.1."""
    if isinstance(value, dict):
        made = {}
        for key, each in value.items():
            text = key if isinstance(key, str) else json.dumps(key)
            made[text] = _with_text_keys(each)
        return made
    return [_with_text_keys(each) for each in value] if isinstance(value, list) else value


def _yaml(body: bytes, before: str = "") -> Any:
    try:
        return _with_text_keys(yaml.load(body, _Loader))  # a SafeLoader
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise bad_request(f"{before}error converting YAML to JSON: yaml: {' '.join(str(error).split())}") from error
