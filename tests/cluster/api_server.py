"""An API server of a few lines: it plays a script over real HTTP, so that tests hold a conversation with it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from aiohttp import web

from headlessdns.cluster.objects import RESOURCES

KINDS = {
    f"/{'apis' if '/' in resource.group_version else 'api'}/{resource.group_version}/{resource.plural}": kind
    for kind, resource in RESOURCES.items()
}
PATHS = {kind: path for path, kind in KINDS.items()}


class Reply(NamedTuple):
    """A whole reply."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = {}


class Stream(NamedTuple):
    """A reply that goes on: *chunks*, then what `ApiServer.send` adds, until the client or the server ends it.

    Attributes:
        chunks: Octets, each flushed by itself.
        end: Whether the stream ends in order behind them.
        breaks: Whether the connection breaks behind them.
    """

    chunks: tuple[bytes, ...] = ()
    end: bool = False
    breaks: bool = False


class Asked(NamedTuple):
    """A request as it came."""

    path: str
    query: dict[str, str]
    headers: Mapping[str, str]


def item(name: str, version: int = 1, **more: object) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(version)}, **more}


def event(type: str, object: object) -> bytes:
    return json.dumps({"type": type, "object": object}).encode() + b"\n"


def bookmark(version: int, *, ends_list: bool = False) -> bytes:
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if ends_list else {}
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version), **annotations}})


def error(code: int, message: str = "") -> bytes:
    return event("ERROR", {"kind": "Status", "code": code, "message": message})


def page(*items: object, version: int = 1, more: str = "") -> Reply:
    return Reply(body={"metadata": {"resourceVersion": str(version), "continue": more}, "items": items})


def status(code: int, message: str = "", **headers: str) -> Reply:
    return Reply(code, {"kind": "Status", "code": code, "message": message}, headers)


def streamed_list(*items: object, version: int = 1) -> Stream:
    return Stream((*(event("ADDED", one) for one in items), bookmark(version, ends_list=True)))


def as_page(stream: Stream) -> Reply | Stream:
    """Return a streamed list, where *stream* is a whole one, as a page."""
    events = [json.loads(chunk) for chunk in stream.chunks if chunk.startswith(b"{") and chunk.endswith(b"}\n")]
    if not events or "annotations" not in events[-1]["object"].get("metadata", {}):
        return stream
    version = events[-1]["object"]["metadata"]["resourceVersion"]
    return page(*(one["object"] for one in events[:-1]), version=int(version))


class ApiServer:
    """An API server on 127.0.0.1 that lives as long as the ``async with`` block.

    For each path it plays the steps of its script, one for each request, and the last of them for ever. A path
    without a script has an empty list, streamed, and a quiet watch. Who asks for pages gets a streamed list as one.

    Attributes:
        scripts: The steps that are left, by path.
        asked: Every request that came.
        tokens: Bearer tokens that are taken; None takes every request.
    """

    def __init__(
        self, scripts: Mapping[str, list[Reply | Stream]] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.scripts = dict(scripts or {})
        self.asked: list[Asked] = []
        self.tokens: set[str] | None = None
        self.port = 0
        self._tls = tls
        self._streams: defaultdict[str, list[asyncio.Queue[bytes | None]]] = defaultdict(list)
        self._transports: set[asyncio.Transport] = set()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> ApiServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        server = web.Server(self._handle, handler_cancellation=True)  # type: ignore[arg-type]  # a handler it is
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Break every connection."""
        for transport in self._transports:
            with suppress(AttributeError):  # of Python 3.11.2, where TLS was closed twice before
                transport.abort()
        self._transports.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def queries(self, path: str) -> list[dict[str, str]]:
        return [one.query for one in self.asked if one.path == path]

    def send(self, path: str, octets: bytes | None) -> None:
        """Write *octets* into the open streams of *path*; None ends them in order."""
        for queue in self._streams[path]:
            queue.put_nowait(octets)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            self._transports.add(request.transport)
        self.asked.append(Asked(request.path, dict(request.query), request.headers))
        token = request.headers.get("Authorization", "").rpartition(" ")[2]
        if self.tokens is not None and token not in self.tokens:
            return self._whole(status(401, "Unauthorized"))
        script = self.scripts.get(request.path) or [Reply(body={}) if request.path == "/version" else streamed_list()]
        step = script[0]
        if len(script) > 1:
            del script[0]
        if isinstance(step, Stream) and "watch" not in request.query:
            step = as_page(step)
        if isinstance(step, Reply):
            return self._whole(step)
        return await self._stream(request, step)

    def _whole(self, reply: Reply) -> web.Response:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        return web.Response(status=reply.status, body=body, headers=reply.headers)

    async def _stream(self, request: web.BaseRequest, stream: Stream) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams[request.path].append(queue)
        try:
            await response.prepare(request)
            for chunk in stream.chunks:
                await response.write(chunk)
            if stream.breaks and request.transport is not None:
                request.transport.abort()
            if not stream.end and not stream.breaks:
                while (octets := await queue.get()) is not None:
                    await response.write(octets)
        finally:
            self._streams[request.path].remove(queue)
        with suppress(ConnectionError):
            await response.write_eof()
        return response


def write_kubeconfig(path: Path, server: str, user: Mapping[str, object] | None = None, **cluster: object) -> Path:
    """Write a kubeconfig with one context, *main*, and return its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "main", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "main", "user": {"token": "secret"} if user is None else dict(user)}],
        "contexts": [{"name": "main", "context": {"cluster": "main", "user": "main"}}],
        "current-context": "main",
    }
    path.write_text(json.dumps(config))
    return path
