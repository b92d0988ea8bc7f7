"""What a request to an API server brings; apart from the client, whose libraries take a while to import. Pure."""

from __future__ import annotations

from typing import NamedTuple

REQUEST_TIMEOUT_S = 10.0  # of a request whose answer is read as a whole


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        status: The HTTP status.
        retry_after: The header of that name, empty where there is none.
        body: The body.
    """

    status: int
    retry_after: str
    body: bytes
