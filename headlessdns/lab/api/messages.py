"""Requests and answers as they are meant, whatever carries them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import ApiError
from headlessdns.lab.api.watching import Watch

JSON = "application/json"


_encode = msgspec.json.encode


class Request(NamedTuple):
    """A request.

    Attributes:
        method: Such as GET.
        path: Decoded.
        query: The parameters, decoded; of several of one name the first.
        body: As it came.
        content_type: Of the body.
        accept: What the client takes.
        user_agent: Who asks.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    user_agent: str = ""


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        status: The HTTP status.
        body: Its octets.
        content_type: Of the body.
        headers: Further ones.
        notices: What the client is told beside it.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = {}
    notices: tuple[str, ...] = ()


class Stream(NamedTuple):
    """An answer that goes on.

    Attributes:
        watch: What it says.
        timeout_s: When it ends.
    """

    watch: Watch
    timeout_s: float


def answer(status: int, object: Json, content_type: str = JSON) -> Answer:
    """Return the answer that *object* is."""
    return Answer(status, _encode(object), content_type)


def refusal(error: ApiError) -> Answer:
    """Return the answer that *error* is."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    return Answer(error.status, _encode(error.document()), JSON, headers)


def no_page() -> Answer:
    """Return the answer where there is nothing at a path."""
    return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")


_CHECKS = ("ping", "log", "etcd")  # what is told of a server's health one by one


def health(path: str) -> Answer:
    """Return the answer to a question for health at *path*, which begins with one of its three names."""
    _, _, check = path[1:].partition("/")
    if path[1:].partition("/")[0] not in ("healthz", "livez", "readyz") or (check and check not in _CHECKS):
        return no_page()
    return Answer(200, b"ok", "text/plain; charset=utf-8")
