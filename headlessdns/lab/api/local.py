"""The embedded API for parts of the same program: the interface of `cluster.client.ApiClient`, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from headlessdns.cluster.answer import REQUEST_TIMEOUT_S, Answer
from headlessdns.lab.api.messages import Request, Stream

if TYPE_CHECKING:
    from headlessdns.lab.api.http import EmbeddedApi


class LocalReply:
    """A reply whose body comes in chunks.

    Attributes:
        status: The HTTP status.
        retry_after: The header of that name, empty where there is none.
    """

    def __init__(self, status: int, retry_after: str, chunks: Callable[[], AsyncIterator[bytes]]) -> None:
        self.status = status
        self.retry_after = retry_after
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; how it is cut means nothing."""
        return self._chunks()

    async def body(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self._chunks()])


class LocalClient:
    """A client of an API in this loop.

    Attributes:
        host: The URL at which others reach the same API.
    """

    def __init__(self, api: EmbeddedApi, user_agent: str = "headlessdns") -> None:
        self.host = api.url
        self._api = api
        self._user_agent = user_agent

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[LocalReply]:
        """Send a GET and give its reply, whatever its status."""
        answer = self._api.ask(Request("GET", path, query, user_agent=self._user_agent))
        if isinstance(answer, Stream):
            stream = self._api.follow(answer)
            try:
                yield LocalReply(200, "", lambda: stream)
            finally:
                await stream.aclose()
            return
        body = answer.body

        async def whole() -> AsyncIterator[bytes]:
            yield body

        yield LocalReply(answer.status, answer.headers.get("Retry-After", ""), whole)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Answer:
        """Send one request and return its whole answer, whatever its status; it cannot take long."""
        del timeout_s
        octets = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = self._api.ask(Request(method, path, query or {}, octets, content_type, user_agent=self._user_agent))
        assert not isinstance(answer, Stream), "a watch is asked for with get()"
        await asyncio.sleep(0)  # others have their turn, as with a socket
        return Answer(answer.status, answer.headers.get("Retry-After", ""), answer.body)

    async def check(self) -> None:
        """Do nothing: it is there."""

    async def reauthenticate(self) -> None:
        """Do nothing: nobody asks who this is."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""
