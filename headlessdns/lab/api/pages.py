"""Lists in pages, each of them as the list was when it began. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from headlessdns.lab.api.parameters import invalid_options, list_faults, version_of
from headlessdns.lab.api.status import ApiError, bad_request, expired, too_large_version
from headlessdns.lab.api.store import Entry, ExpiredError, Store

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Page(NamedTuple):
    """Objects of a list, as they were after the write *version*."""

    version: int
    entries: list[Entry]


def page_of(store: Store, name: str, namespace: str, query: Mapping[str, str]) -> Page:
    """Return the objects that a list is about, as they are or as they were, from its continuation on.

    Args:
        store: The objects.
        name: Of the resource, such as ``statefulsets.apps``.
        namespace: Empty for all.
        query: The parameters of the list.

    Raises:
        ApiError: The parameters make no sense, or the version is not kept.
    """
    token = query.get("continue", "")
    wanted = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    faults = list_faults(match, wanted, token)
    if faults:
        raise invalid_options("ListOptions", faults)
    version = store.version
    if token and wanted not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    if token:
        at, last = _read_token(token)
        try:
            entries = store.entries_at(at, name, namespace)
        except ExpiredError as error:
            raise _expired_token(version, last) from error
        return Page(at, [entry for entry in entries if entry.key > last])
    try:
        number = version_of(wanted)
    except ValueError as error:
        raise bad_request(f"invalid resource version: {error}") from error
    if number > version:
        raise too_large_version(number, version)
    if match == "Exact":
        try:
            return Page(number, store.entries_at(number, name, namespace))
        except ExpiredError as error:
            raise expired("The resourceVersion for the provided list is too old.") from error
    return Page(version, store.entries(name, namespace))


def continue_token(version: int, last: str) -> str:
    """Return what goes on with a list of *version* after the key *last*."""
    return base64.urlsafe_b64encode(_encode({"v": "meta.k8s.io/v1", "rv": version, "start": last})).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        value = _decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(value["rv"]), str(value["start"])
    except (binascii.Error, ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
        raise bad_request("continue key is not valid") from error


def _expired_token(version: int, last: str) -> ApiError:
    """A list cannot be gone on with as it was; the token that comes with it goes on with it as it is."""
    error = expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.metadata = {"continue": continue_token(version, last)}
    return error
