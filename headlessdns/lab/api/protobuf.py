"""Bodies in protobuf, read into the JSON they mean. Pure but for its table, a file of the package.

kubectl writes JSON for what comes from files, but `create namespace`, `create service`, evictions, events and the like
go as ``application/vnd.kubernetes.protobuf``, and kube-controller-manager and many an operator write nothing else.
`protobuf_fields.txt` has the fields of Kubernetes 1.36; a body with another one is refused, so that nothing is lost
silently. Definitions of custom resources are not among them: clients write these as JSON.

Source: Protocol Buffers, "Encoding"; the tags of the types of k8s.io/api, from which the table is made.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import ApiError

MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _OCTETS, _FIXED32 = 0, 1, 2, 5
_ANY_VERSION = "*"


class _Field(NamedTuple):
    """One field of a message.

    Attributes:
        name: In JSON; + where JSON has the fields of its message among those around it.
        kind: A type of Go, or the name of a message.
        plural: A list, a map, or nothing of the kind.
        is_told: Whether JSON has it where it is empty: as Go does it for pointers, and without omitempty.
    """

    name: str
    kind: str
    plural: str = ""
    is_told: bool = False


_Messages = dict[str, dict[int, _Field]]


@cache
def _table() -> tuple[dict[tuple[str, str], str], _Messages]:
    """Return the message of each version and kind, and the fields of each message by their numbers."""
    kinds: dict[tuple[str, str], str] = {}
    messages: _Messages = {}
    fields: dict[int, _Field] = {}
    for line in resources.files(__package__).joinpath("protobuf_fields.txt").read_text().splitlines():
        match line.split():
            case ["#", *_]:
                pass
            case ["=", version, kind, message]:
                kinds[version, kind] = message
            case [message]:
                fields = messages[message] = {}
            case [number, name, kind]:
                plural = kind[:2] if kind[:2] in ("[]", "{}") else ""
                fields[int(number)] = _Field(name, kind[len(plural) :].rstrip("!"), plural, kind.endswith("!"))
    return kinds, messages


class _BrokenError(Exception):
    """The octets are no such message."""


class _UnknownError(Exception):
    """There is a field that is not in the table."""


def decode(body: bytes) -> Json | None:
    """Return the object of *body*, None where its kind or one of its fields is not known here.

    Raises:
        ApiError: The octets are no protobuf.
    """
    try:
        if not body.startswith(MAGIC):
            raise _BrokenError("it does not begin with k8s")
        unknown = dict(_fields(body[len(MAGIC) :]))
        type_meta = {number: _text(value) for number, value in _fields(_octets(unknown.get(1, b"")))}
        version, kind = type_meta.get(1, ""), type_meta.get(2, "")
        kinds, _ = _table()
        message = kinds.get((version, kind)) or kinds.get((_ANY_VERSION, kind))
        if message is None:
            return None
        return {"kind": kind, "apiVersion": version, **_message(message, _octets(unknown.get(2, b"")))}
    except _UnknownError:
        return None
    except (_BrokenError, IndexError, ValueError, OverflowError, RecursionError) as error:
        raise ApiError(400, "BadRequest", f"the body is no protobuf of Kubernetes: {error}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _BrokenError("a number is too long")


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the numbers and values of the fields in *data*, in their order."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            found.append((number, value))
        elif wire in (_OCTETS, _FIXED32, _FIXED64):
            size, at = _varint(data, at) if wire == _OCTETS else (4 if wire == _FIXED32 else 8, at)
            if at + size > len(data):
                raise _BrokenError("it is cut short")
            found.append((number, data[at : at + size]))
            at += size
        else:
            raise _BrokenError(f"there is no wire type {wire}")
    return found


def _octets(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _BrokenError("a number stands where a message should")
    return value


def _text(value: int | bytes) -> str:
    return _octets(value).decode()


def _message(name: str, data: bytes) -> Json:
    """Return a message as JSON, without what is empty as Go leaves it out."""
    fields = _table()[1][name]
    made: Json = {}
    for number, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            raise _UnknownError(f"{name} has no field {number}")
        if field.plural == "{}":
            entry = dict(_fields(_octets(raw)))
            made.setdefault(field.name, {})[_text(entry.get(1, b""))] = _value(field.kind, entry.get(2, b""))
            continue
        value = _value(field.kind, raw)
        if field.plural:
            made.setdefault(field.name, []).append(value)
        elif field.name == "+":
            made.update(value)
        elif value is not None and (value or field.is_told):
            made[field.name] = value
    return made


def _value(kind: str, raw: int | bytes) -> Any:
    """Return one value as JSON has it."""
    if kind == "string":
        return _text(raw)
    if kind in ("bool", "int"):
        return _number(raw) if kind == "int" else bool(_number(raw))
    data = _octets(raw)
    match kind:
        case "bytes":
            return base64.b64encode(data).decode()
        case "meta.Time" | "meta.MicroTime":
            return _time(data, is_micro=kind == "meta.MicroTime")
        case "meta.FieldsV1" | "runtime.RawExtension":
            return json.loads(_octets(dict(_fields(data)).get(1, b"null")))
        case "resource.Quantity":
            return _text(dict(_fields(data)).get(1, b""))
        case "intstr.IntOrString":
            parts = dict(_fields(data))
            return _text(parts.get(3, b"")) if parts.get(1) else _number(parts.get(2, 0))
    return _message(kind, data)


def _number(raw: int | bytes) -> int:
    if not isinstance(raw, int):
        raise _BrokenError("octets stand where a number should")
    return raw - (1 << 64) if raw >> 63 else raw


def _time(data: bytes, *, is_micro: bool) -> str | None:
    found = dict(_fields(data))
    if not found:
        return None
    seconds, nanoseconds = _number(found.get(1, 0)), _number(found.get(2, 0))
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OSError, OverflowError):
        return None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanoseconds // 1000:06}Z" if is_micro else f"{text}Z"
