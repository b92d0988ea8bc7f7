"""Revisions of a set: their data, their names, and which one is current, new, or to be forgotten.

Data and names are equal to the reference's octet by octet (S22 to S26), so that a cluster can hand its StatefulSets
over to us and back without one pod restarted. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from headlessdns.controller.model import HASH_LABEL, Json, Metadata, Pod, Revision, StatefulSet

_SET_NAME_OCTETS = 223  # what is left of a set's name, so that name and hash fit 253
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # without vowels there are no words
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619  # FNV-1, 32 bits
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def template_data(template: Json) -> bytes:
    """Return the data of a revision that restores *template* (S22)."""
    return encode({"spec": {"template": {**template, "$patch": "replace"}}})


def encode(value: Any) -> bytes:
    """Return *value* as Go's encoding/json writes what it has read into interface{} values.

    Keys are sorted by their UTF-8 octets, every number is a float64, and <, >, & and the line separators are escaped.
    """
    return _encode(value).encode("utf-8", "replace")


def _encode(value: Any) -> str:
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: item[0].encode("utf-8", "replace"))
        return "{" + ",".join(f"{_encode_text(key)}:{_encode(each)}" for key, each in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_encode, value)) + "]"
    if isinstance(value, str):
        return _encode_text(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return encode_number(value)


def _encode_text(text: str) -> str:
    # Go writes \b and \f like Python since 1.22; what is no character has become U+FFFD.
    quoted = json.dumps(text, ensure_ascii=False)
    for character, escape in _ESCAPES.items():
        quoted = quoted.replace(character, escape)
    return quoted


def encode_number(number: float) -> str:
    """Return *number* as Go writes a float64: the shortest digits, an exponent below 1e-6 and from 1e21 on."""
    number = float(number)
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    mantissa, _, exponent_text = f"{number!r}".partition("e")
    digits = mantissa.lstrip("-").replace(".", "").lstrip("0")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    fraction = "" if fraction == "0" else fraction
    exponent = int(exponent_text or 0) + (len(whole) - 1 if whole != "0" else -1 - _leading_zeros(fraction))
    digits = digits.rstrip("0") or "0"
    sign = "-" if number < 0 else ""
    if -6 <= exponent < 21:
        return sign + _plain(digits, exponent)
    shown = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{shown}e{'-' if exponent < 0 else '+'}{abs(exponent)}"


def _leading_zeros(text: str) -> int:
    return len(text) - len(text.lstrip("0"))


def _plain(digits: str, exponent: int) -> str:
    """Return the number whose first of *digits* stands for 10 to the *exponent*."""
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    if len(digits) <= exponent + 1:
        return digits.ljust(exponent + 1, "0")
    return digits[: exponent + 1] + "." + digits[exponent + 1 :]


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
    """Return the ControllerRevision for the present template of *set*, as it is sent to the API."""
    data = template_data(set.template)
    hash = hash_of(data, collision_count)
    manifest: Json = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name_of(set.name, hash),
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


def canonical_data(revision: Revision) -> bytes:
    """Return the data of *revision* in the form in which data are compared."""
    return encode(json.loads(revision.data))


def template_of(revision: Revision) -> Json:
    """Return the pod template that *revision* restores.

    Raises:
        ValueError: Its data restore none.
    """
    return template_in(json.loads(revision.data), revision.name)


def template_in(data: Any, name: str) -> Json:
    """Return the pod template in the *data* of the revision *name*.

    Raises:
        ValueError: There is none.
    """
    template = data.get("spec", {}).get("template") if isinstance(data, dict) else None
    if not isinstance(template, dict):
        raise ValueError(f"ControllerRevision {name} holds no spec.template; delete it, or restore its data")
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
    data = template_data(set.template)
    create: Json | None = None
    renumber = None
    update_name = ""
    equal = next((one for one in reversed(known) if canonical_data(one) == data), None)
    if equal is None and known and is_restored_by(set.template, known[-1]):
        equal = known[-1]
    if equal is None:
        create = new_revision(set, number, collision_count)
        update_name, update_template = create["metadata"]["name"], set.template
    else:
        update_name, update_template = equal.name, template_of(equal)
        if equal is not known[-1]:
            renumber = Renumber(equal, number)
    current = next((one for one in known if one.name == set.status.current_revision), None)
    current_name, current_template = update_name, update_template
    if current is not None:
        current_name, current_template = current.name, template_of(current)
    return Choice(current_name, current_template, update_name, update_template, create, renumber, collision_count)


def is_restored_by(template: Json, revision: Revision) -> bool:
    """Tell whether *revision*, written by another version, means *template* all the same.

    A version that has come to know a default writes it into a template; one that has not, leaves it out. So empty
    values count for nothing here.
    """
    return bool(without_empty(template_of(revision)) == without_empty(template))


def without_empty(value: Any) -> Any:
    """Return *value* without members that are null or hold nothing, at any depth below a map."""
    if isinstance(value, dict):
        cleaned = {key: without_empty(each) for key, each in value.items()}
        return {key: each for key, each in cleaned.items() if each is not None and each not in ({}, [])}
    if isinstance(value, list):
        return [without_empty(each) for each in value]
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


def is_orphan(metadata: Metadata) -> bool:
    """Tell whether nobody manages the object."""
    return metadata.controller() is None
