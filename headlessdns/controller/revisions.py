"""Revisions of a set: their data, their names, and which one is current, new, or to be forgotten.

Data and names are equal to the reference's octet by octet (S22 to S26), so that a cluster can hand its StatefulSets
over to us and back without one pod restarted. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from headlessdns.controller.model import HASH_LABEL, Json, Pod, Revision, StatefulSet

_SET_NAME_OCTETS = 223  # what is left of a set's name, so that name and hash fit 253
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # without vowels there are no words
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619  # FNV-1, 32 bits
_ESCAPES: dict[str | int, str] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_LONE_SURROGATES: dict[str | int, str] = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_QUOTED = str.maketrans(_ESCAPES | _LONE_SURROGATES)
_quote = json.JSONEncoder(ensure_ascii=False).encode
_CACHED = 1000  # sets, and data that are not in our form


# Data and names


@lru_cache(maxsize=_CACHED)
def data_of(set: StatefulSet) -> bytes:
    """Return the data of a revision that restores the present template of *set* (S22)."""
    return template_data(set.template)


def template_data(template: Json) -> bytes:
    """Return the data of a revision that restores *template* (S22).

    The API keeps these octets as they are sent, and compares them where a revision is patched. So a manifest that holds
    them is to be sent in the form that `encode` gives it.
    """
    return encode({"spec": {"template": {**template, "$patch": "replace"}}})


def encode(value: Any) -> bytes:
    """Return *value* as Go's encoding/json writes what it has read into interface{} values.

    Keys are in order, every number is a float64, and <, >, & and the line separators are escaped.

    Raises:
        ValueError: A number is beyond a float64.
    """
    return _encode(value).encode()


def _encode(value: Any) -> str:
    if isinstance(value, str):
        return _encode_text(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_encode_text(key)}:{_encode(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_encode, value)) + "]"
    if value is None or isinstance(value, bool):
        return _quote(value)
    return encode_number(value)


def _encode_text(text: str) -> str:
    return _quote(text).translate(_QUOTED)


def encode_number(number: float) -> str:
    """Return *number* as Go writes a float64: the shortest digits, an exponent below 1e-6 and from 1e21 on.

    Raises:
        ValueError: It is beyond a float64.
    """
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a number is beyond a float64")
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    # Python finds the same digits, but takes to an exponent below 1e-4 and from 1e16 on.
    shortest = repr(number)
    if 1e-6 <= abs(number) < 1e21:
        return f"{Decimal(shortest):f}".removesuffix(".0")
    mantissa, _, exponent = shortest.partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def hash_of(data: bytes, collision_count: int) -> str:
    """Return the hash in a revision's name (S23)."""
    value = _FNV_OFFSET
    for octet in data + str(collision_count).encode():
        value = value * _FNV_PRIME & 0xFFFFFFFF ^ octet
    return "".join(_SAFE_LETTERS[ord(digit) % len(_SAFE_LETTERS)] for digit in str(value))


def name_of(set_name: str, hash: str) -> str:
    """Return the name of a revision."""
    return f"{set_name[:_SET_NAME_OCTETS]}-{hash}"


def new_revision(set: StatefulSet, number: int, collision_count: int) -> Json:
    """Return the ControllerRevision for the present template of *set*; it is to be sent as `encode` writes it."""
    data = data_of(set)
    # A name that turns out to be taken is changed without its label, until the status knows of the collision.
    hash = hash_of(data, set.status.collision_count or 0)
    manifest: Json = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name_of(set.name, hash_of(data, collision_count)),
            "namespace": set.namespace,
            "labels": {**((set.template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: hash},
            "ownerReferences": [msgspec.to_builtins(set.reference())],
        },
        "data": json.loads(data),
        "revision": number,
    }
    if set.annotations:
        manifest["metadata"]["annotations"] = dict(set.annotations)
    return manifest


def holds(revision: Revision, data: bytes) -> bool:
    """Tell whether *revision* holds *data*, in whatever form it was written."""
    octets = bytes(revision.data)
    return octets == data or _canonical(octets) == data


@lru_cache(maxsize=_CACHED)
def _canonical(octets: bytes) -> bytes:
    return encode(json.loads(octets))


def template_of(revision: Revision) -> Json:
    """Return the pod template that *revision* restores.

    Raises:
        ValueError: Its data restore none.
    """
    template = _template_in(bytes(revision.data))
    if template is None:
        raise ValueError(f"ControllerRevision {revision.name} holds no spec.template; delete it, or restore its data")
    return template


def _template_in(octets: bytes) -> Json | None:
    data = json.loads(octets)
    spec = data.get("spec") if isinstance(data, dict) else None
    template = spec.get("template") if isinstance(spec, dict) else None
    if not isinstance(template, dict):
        return None
    return {key: value for key, value in template.items() if key != "$patch"}


# Which revision is which


class Renumber(NamedTuple):
    """An older revision that becomes the newest: a rollback (S24)."""

    revision: Revision
    number: int


class Choice(NamedTuple):
    """The revisions of a sync.

    Attributes:
        current_name: What pods below the partition are made from.
        current_template: The pod template of it.
        update_name: What the other pods are made from.
        update_template: The pod template of it.
        create: The revision to create first.
        renumber: The revision to renumber first.
        collision_count: For the status.
    """

    current_name: str
    current_template: Json
    update_name: str
    update_template: Json
    create: Json | None
    renumber: Renumber | None
    collision_count: int


def in_order(revisions: Sequence[Revision]) -> list[Revision]:
    """Return *revisions*, the oldest first (S24)."""
    return sorted(revisions, key=lambda one: (one.revision, one.metadata.creation_timestamp or "", one.name))


def choose(set: StatefulSet, revisions: Sequence[Revision], collision_count: int) -> Choice:
    """Return what is current and what is new (S24, S25).

    Args:
        set: The set.
        revisions: Those that it owns.
        collision_count: Of its status, or higher where a name has just turned out to be taken.

    Raises:
        ValueError: The data of a revision cannot be used.
    """
    known = in_order(revisions)
    number = known[-1].revision + 1 if known else 1
    update = _restoring(set, known)
    create: Json | None = None
    renumber = None
    if update is None:
        create = new_revision(set, number, collision_count)
        update_name = create["metadata"]["name"]
    else:
        update_name = update.name
        renumber = Renumber(update, number) if update is not known[-1] else None
    current = next((one for one in known if one.name == set.status.current_revision), None)
    current_name, current_template = update_name, set.template
    if current is not None and current.name != update_name:
        current_name, current_template = current.name, template_of(current)
    return Choice(current_name, current_template, update_name, set.template, create, renumber, collision_count)


def _restoring(set: StatefulSet, known: Sequence[Revision]) -> Revision | None:
    """Return which of *known*, the newest last, restores the present template of *set*."""
    data = data_of(set)
    for revision in reversed(known):
        if holds(revision, data):
            return revision
    return known[-1] if known and _means(bytes(known[-1].data), set) else None


@lru_cache(maxsize=_CACHED)
def _means(octets: bytes, set: StatefulSet) -> bool:
    """Tell whether *octets*, which another version wrote as data, mean the template of *set* all the same.

    Versions differ in whether they write members that are not set (`creationTimestamp: null`, `resources: {}`).
    """
    restored = _template_in(octets)
    return restored is not None and template_data(without_unset(restored)) == template_data(without_unset(set.template))


_NEVER_UNSET = frozenset({"metadata", "resources"})  # {} is the same as none; for a selector, it is everything


def without_unset(value: Any) -> Any:
    """Return *value* without what a reader into typed fields cannot tell from a member that is not there."""
    if isinstance(value, dict):
        cleaned = {key: without_unset(each) for key, each in value.items() if each is not None}
        return {key: each for key, each in cleaned.items() if each or key not in _NEVER_UNSET}
    if isinstance(value, list):
        return [without_unset(each) for each in value]
    return value


def to_forget(
    set: StatefulSet, revisions: Sequence[Revision], pods: Sequence[Pod], live_names: Sequence[str]
) -> list[Revision]:
    """Return the revisions beyond the history limit, the oldest first (S26).

    Args:
        set: The set.
        revisions: Those that it owns.
        pods: Its pods; what they were made from stays.
        live_names: The current and the new one.
    """
    if set.history_limit < 0:
        return []
    live = {*live_names, *(pod.revision for pod in pods)}
    dead = [one for one in in_order(revisions) if one.name not in live]
    return dead[: max(len(dead) - set.history_limit, 0)]
