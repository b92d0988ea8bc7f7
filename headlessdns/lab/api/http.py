"""The embedded API on a loopback socket: TLS, the token, bodies in, answers and watches out. Does network I/O."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import logging
import os
import secrets
import ssl
import tempfile
from collections.abc import AsyncGenerator
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

import trustme
from aiohttp import web

from headlessdns.errors import HeadlessDNSError
from headlessdns.lab.api import notices
from headlessdns.lab.api.bodies import MAX_OCTETS
from headlessdns.lab.api.local import LocalClient
from headlessdns.lab.api.messages import Answer, Request, Stream, refusal
from headlessdns.lab.api.schemas import built_in_schemas
from headlessdns.lab.api.server import Api
from headlessdns.lab.api.status import ApiError, unauthorized
from headlessdns.lab.api.store import Event, JournalError, Store

logger = logging.getLogger(__name__)

BOOKMARK_INTERVAL_S = 60.0
LAST_BOOKMARK_S = 2.0  # before the end of a watch
STALLED_S = 30.0  # a watcher that takes nothing for so long is cut off
COLLECT_AT_ONCE = 200  # objects that are looked at before others have their turn
_MAX_HEAD = 1 << 20  # octets of a request line, and of a header, as with a real API server
COLLECT_AGAIN_S = 1.0  # after writes could not be kept

_PATHS_WITHOUT_TOKEN = frozenset({"/healthz", "/livez", "/readyz", "/version"})


class EmbeddedApi:
    """The embedded API, for as long as the context is open.

    Attributes:
        api: What answers.
        url: Where it is reached.
        token: What clients show.
        authority: The certificate of its own authority, PEM.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        store: Store | None = None,
        api: Api | None = None,
        bookmark_interval_s: float = BOOKMARK_INTERVAL_S,
        stalled_s: float = STALLED_S,
    ) -> None:
        """Prepare it.

        Args:
            host: A loopback address.
            port: 0 takes any.
            store: Its objects; None begins with none.
            api: What answers; None makes it over *store*.
            bookmark_interval_s: How often watches that take bookmarks get one.
            stalled_s: How long a watcher may take nothing.

        Raises:
            HeadlessDNSError: *host* is not loopback.
        """
        if not _is_loopback(host):
            raise HeadlessDNSError(
                f"{host} is no loopback address; whoever reaches the lab's API may do everything in it"
            )
        self.api = api or Api(store)
        self.url = ""
        self.token = secrets.token_urlsafe(24)
        self.authority = b""
        self._host = host
        self._port = port
        self._bookmark_interval_s = bookmark_interval_s
        self._stalled_s = stalled_s
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._bearer = f"Bearer {self.token}".encode()
        self._runner: web.ServerRunner | None = None
        self._collecting: asyncio.Handle | None = None
        self._is_closing = False

    @property
    def store(self) -> Store:
        """Its objects."""
        return self.api.store

    async def __aenter__(self) -> EmbeddedApi:
        # Half a second's work, which else the first write would wait for, and all others with it.
        await asyncio.to_thread(built_in_schemas)
        context = self._make_certificates()
        self.store.listeners.append(self._wake)
        server = web.Server(
            self._respond, access_log=None, handler_cancellation=True, max_line_size=_MAX_HEAD, max_field_size=_MAX_HEAD
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=context)
        starting = asyncio.ensure_future(site.start())
        try:
            await asyncio.shield(starting)
        except OSError as error:
            await self._runner.cleanup()
            raise HeadlessDNSError(
                f"cannot serve the API at {self._host} port {self._port}: {os.strerror(error.errno or 0)}; "
                "choose another with --api, or port 0"
            ) from error
        except asyncio.CancelledError:
            await asyncio.wait([starting])  # cut short, it would leave a socket that listens
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        self.url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        with contextlib.suppress(JournalError):
            self.api.say_address(host, port)
        self._collect_soon()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.set()
        if self._collecting is not None:
            self._collecting.cancel()
        self.store.listeners.remove(self._wake)
        if self._runner is not None:
            await self._hang_up(self._runner)

    async def _hang_up(self, runner: web.ServerRunner) -> None:
        """End all connections; TLS would wait for a farewell of the other side, for which there is no time."""
        connections = runner.server.connections if runner.server is not None else []
        transports = [one.transport for one in connections if one.transport is not None]
        await runner.cleanup()
        for transport in transports:
            transport.abort()
        for _ in range(2):  # of the loop's turns: one for the abort, one for the socket
            await asyncio.sleep(0)

    # For the rest of the program

    def client(self, user_agent: str = "headlessdns") -> LocalClient:
        """Return a client for parts of this program; *user_agent* is who wrote, in managedFields."""
        return LocalClient(self, user_agent)

    def kubeconfig_text(self, namespace: str = "default") -> str:
        """Return a kubeconfig with the token, and *namespace* as the default one."""
        cluster = {"server": self.url, "certificate-authority-data": base64.b64encode(self.authority).decode()}
        context = {"cluster": "lab", "user": "lab", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": {"token": self.token}}],
            "contexts": [{"name": "lab", "context": context}],
            "current-context": "lab",
        }
        return json.dumps(config, indent=2) + "\n"

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> None:
        """Write a kubeconfig that only its owner can read; it is complete as soon as it is there."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # of mode 0600
        try:
            with os.fdopen(handle, "w") as file:
                file.write(self.kubeconfig_text(namespace))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def ask(self, request: Request) -> Answer | Stream:
        """Answer *request*, and see to it that what has to go goes."""
        answer = self.api.handle(request)
        if not self.api.collector.is_idle:
            self._collect_soon()
        return answer

    async def follow(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        """Yield what a watch has to say, until its time is over or it is cut off."""
        watch = stream.watch
        loop = asyncio.get_running_loop()
        end_s = loop.time() + stream.timeout_s
        # The last bookmark comes before the end, so that a client that asks at once goes on from there.
        next_bookmark_s = loop.time() + min(
            self._bookmark_interval_s, max(stream.timeout_s - LAST_BOOKMARK_S, 0.0) or 1e9
        )
        woken = asyncio.Event()
        watchers = self._watchers.setdefault(watch.resource.qualified, set())
        watchers.add(woken)
        try:
            while not watch.is_over and not self._is_closing:
                woken.clear()
                while lines := watch.read():
                    yield lines
                now_s = loop.time()
                if watch.bookmarks and now_s >= next_bookmark_s:
                    next_bookmark_s = now_s + self._bookmark_interval_s
                    if now_s < end_s - LAST_BOOKMARK_S < next_bookmark_s:
                        next_bookmark_s = end_s - LAST_BOOKMARK_S
                    yield watch.bookmark()
                if now_s >= end_s:
                    return
                if watch.has_more or watch.is_over:
                    continue
                until_s = min(end_s, next_bookmark_s) if watch.bookmarks else end_s
                timer = loop.call_at(until_s, woken.set)
                try:
                    await woken.wait()
                finally:
                    timer.cancel()
        finally:
            watchers.discard(woken)

    # Inside

    def _make_certificates(self) -> ssl.SSLContext:
        authority = trustme.CA()
        self.authority = authority.cert_pem.bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1", "::1", self._host).configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _wake(self, resource: str, event: Event) -> None:
        for watcher in self._watchers.get(resource, ()):
            watcher.set()

    def _collect_soon(self) -> None:
        if self._collecting is None and not self._is_closing:
            self._collecting = asyncio.get_running_loop().call_soon(self._collect)

    def _collect(self) -> None:
        self._collecting = None
        try:
            self.api.collector.run(COLLECT_AT_ONCE)
        except JournalError:
            self._collecting = asyncio.get_running_loop().call_later(COLLECT_AGAIN_S, self._collect)
            return
        if not self.api.collector.is_idle:
            self._collect_soon()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._is_known(request):
            return _response(refusal(unauthorized()))
        try:
            body = await _body(request)
        except ApiError as error:
            return _response(refusal(error))
        headers = request.headers
        query = request.query if request.query_string else {}
        question = Request(
            request.method,
            request.path,
            query,
            body,
            headers.get("Content-Type", ""),
            headers.get("Accept", ""),
            headers.get("User-Agent", ""),
        )
        try:
            answer = self.ask(question)
        except Exception as error:
            logger.exception("%s %s", question.method, question.path)
            message = f"Internal error occurred: {type(error).__name__}: {error}"
            return _response(refusal(ApiError(500, "InternalError", message)))
        if isinstance(answer, Answer):
            return _response(answer)
        return await self._stream(request, answer)

    def _is_known(self, request: web.BaseRequest) -> bool:
        if request.path in _PATHS_WITHOUT_TOKEN:
            return True
        shown = request.headers.get("Authorization", "").encode(errors="replace")
        return hmac.compare_digest(shown, self._bearer)

    async def _stream(self, request: web.BaseRequest, stream: Stream) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        await response.prepare(request)
        lines = self.follow(stream)
        try:
            async for chunk in lines:
                async with asyncio.timeout(self._stalled_s):
                    await response.write(chunk)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()  # cut off; nothing was skipped, and the client begins anew from what it has
            return response
        finally:
            await lines.aclose()
        if stream.watch.is_over:
            if request.transport is not None:
                request.transport.abort()
            return response
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response


async def _body(request: web.BaseRequest) -> bytes:
    """Return the body of *request*.

    Raises:
        ApiError: It is too large.
    """
    if not request.can_read_body:
        return b""
    chunks, size = [], 0
    if (request.content_length or 0) > MAX_OCTETS:
        raise _too_large()
    if request.content.is_eof():  # it came with the head
        body = request.content.read_nowait()
        if len(body) > MAX_OCTETS:
            raise _too_large()
        return body
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > MAX_OCTETS:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_OCTETS}")


def _response(answer: Answer) -> web.Response:
    headers = {"Content-Type": answer.content_type, "Cache-Control": "no-cache, private", **answer.headers}
    response = web.Response(body=answer.body, status=answer.status, headers=headers)
    for notice in answer.notices:
        response.headers.add("Warning", notices.header(notice))
    return response


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
