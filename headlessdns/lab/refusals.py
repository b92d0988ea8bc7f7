"""What the API server says where it refuses. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headlessdns.cluster.answer import Answer


class _Cause(msgspec.Struct):
    reason: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    message: str | None = None
    details: _Details | None = None


class Refusal(NamedTuple):
    """Why a request was refused.

    Attributes:
        text: For people.
        is_of_ending_namespace: Whether nothing can be created there any more.
    """

    text: str
    is_of_ending_namespace: bool


def read_refusal(answer: Answer) -> Refusal:
    """Return what *answer* says, which may come from something in between, such as a proxy."""
    try:
        status = msgspec.json.decode(answer.body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        status = _Status(answer.body[:200].decode(errors="replace"))
    causes = status.details.causes if status.details else None
    is_ending = any(cause.reason == "NamespaceTerminating" for cause in causes or ())
    return Refusal(f"HTTP {answer.status}: {status.message}", is_ending)
