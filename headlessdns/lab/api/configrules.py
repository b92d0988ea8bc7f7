"""What the API server refuses of ConfigMaps and Secrets. Pure.

Source: the validation of the core kinds in Kubernetes 1.36. Keys are looked at in their order, where an API server has
them in any order.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from headlessdns.lab.api import causes
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]
_MAX_OCTETS = 1024 * 1024


def config_map(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a ConfigMap."""
    yield from _kept(new, old, ("data", "binaryData"))
    data, octets = new.get("data") or {}, new.get("binaryData") or {}
    for key in sorted(data):
        yield from (causes.invalid(f"data[{key}]", key, wrong) for wrong in causes.config_key(key))
        if key in octets:
            yield causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in sorted(octets):
        yield from (causes.invalid(f"binaryData[{key}]", key, wrong) for wrong in causes.config_key(key))
    if sum(len(str(text).encode()) for text in data.values()) + _size_octets(octets) > _MAX_OCTETS:
        yield causes.too_long("[]", _MAX_OCTETS)  # so the API server calls the whole object


def secret(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a Secret whose plain texts are in its data."""
    if old is not None and new.get("type") != old.get("type"):
        yield causes.invalid("type", new.get("type"), causes.IMMUTABLE)
    yield from _kept(new, old, ("data",))
    data = new.get("data") or {}
    for key in sorted(data):
        yield from (causes.invalid(f"data[{key}]", key, wrong) for wrong in causes.config_key(key))
    if _size_octets(data) > _MAX_OCTETS:
        yield causes.too_long("data", _MAX_OCTETS)
    yield from _of_type(new, data)


def _size_octets(data: Json) -> int:
    # Four letters stand for three octets, or for as many less as they end in `=`.
    return sum(len(text) // 4 * 3 - text[-2:].count("=") for text in map(str, data.values()))


def _kept(new: Json, old: Json | None, fields: tuple[str, ...]) -> _Rules:
    if old is None or not old.get("immutable"):
        return
    for field in ("immutable", *fields):
        if new.get(field) != old.get(field):
            yield causes.forbidden(field, "field is immutable when `immutable` is set")


_ACCOUNT = "kubernetes.io/service-account.name"
_JSON_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
_PAIR = ("username", "password")


def _of_type(new: Json, data: Json) -> _Rules:
    kind = new.get("type")
    if kind == "kubernetes.io/service-account-token":
        if not (new["metadata"].get("annotations") or {}).get(_ACCOUNT):
            yield causes.required(f"metadata.annotations[{_ACCOUNT}]")
    elif kind in _JSON_KEYS:
        key = _JSON_KEYS[kind]
        if key not in data:
            yield causes.required(f"data[{key}]")
        elif wrong := _wrong_json(data[key]):
            yield causes.invalid(f"data[{key}]", "<secret contents redacted>", wrong)
    elif kind == "kubernetes.io/basic-auth":
        if not data.keys() & {*_PAIR}:
            yield from (causes.required(f"data[{key}]") for key in _PAIR)
    elif kind == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            yield causes.required("data[ssh-privatekey]")
    elif kind == "kubernetes.io/tls":
        yield from (causes.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data)


# ---- JSON that is none, as Go tells it

_KINDS = {str: "string", int: "number", float: "number", bool: "bool", list: "array"}
_WORDS = {"t": "true", "f": "false", "n": "null"}
_PLACES = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
}


def _wrong_json(encoded: str) -> str:
    """Return why octets in base64 are no JSON object, empty where they are one or null."""
    text = base64.b64decode(encoded).decode(errors="replace")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        return _syntax_error(text, error)
    except ValueError as error:
        return str(error)
    if value is None or isinstance(value, dict):
        return ""
    return f"json: cannot unmarshal {_KINDS[type(value)]} into Go value of type map[string]interface {{}}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character '{name.lstrip('-')[0]}' {'in numeric literal' if name[0] == '-' else _VALUE}")


_VALUE = "looking for beginning of value"


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    place, at = _PLACES.get(error.msg, _VALUE), error.pos
    if error.msg.startswith("Illegal trailing comma"):  # as Python 3.13 tells it; Go minds what comes after
        at = text.index(text[at + 1 :].lstrip()[0], at + 1)
        place = _PLACES["Expecting property name enclosed in double quotes"] if text[at] == "}" else _VALUE
    if error.msg == "Expecting value" and text[at : at + 1] in _WORDS:
        word = _WORDS[text[at]]
        good = next(count for count in range(len(word) + 1) if text[at : at + count + 1] != word[: count + 1])
        place, at = f"in literal {word} (expecting '{word[good]}')", at + good
    elif error.msg == "Expecting ',' delimiter":
        place = "after array element" if _is_in_array(text[:at]) else "after object key:value pair"
    if at >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    return f"invalid character {_quoted(text[at])} {place}"


def _is_in_array(text: str) -> bool:
    """Tell whether the innermost thing that *text*, the start of a JSON text, leaves open is an array."""
    opened: list[str] = []
    is_string = is_escaped = False
    for letter in text:
        if is_string:
            is_string, is_escaped = letter != '"' or is_escaped, letter == "\\" and not is_escaped
        elif letter == '"':
            is_string = True
        elif letter in "[{":
            opened.append(letter)
        elif letter in "]}":
            opened.pop()
    return opened[-1:] == ["["]


def _quoted(letter: str) -> str:
    shown: dict[Any, str] = {"'": r"'\''", '"': "'\"'", "\\": r"'\\'"}
    return shown.get(letter) or f"'{json.dumps(letter, ensure_ascii=False)[1:-1]}'"
