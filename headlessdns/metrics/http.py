"""Health and metrics over HTTP, in the loop of the program. I/O: a listening TCP socket.

| path | what it says |
|---|---|
| /livez | 200 as long as the loop turns |
| /readyz | 200 when the program can do its work; 503 and the reason where it cannot |
| /metrics | Prometheus' text format, or OpenMetrics where it is asked for |

`serve` has one more page: /zones, with apex, serial, digest and counts of each zone as JSON, to compare replicas. Its
/readyz says 200 when names may be denied, stale or not, and 503 before that and from SIGTERM on.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from headlessdns.errors import HeadlessDNSError
from headlessdns.metrics.collector import Facts, registry_of

_SHUTDOWN_S = 1.0  # what an open request gets at the end


class Health(NamedTuple):
    """Whether the program can do its work.

    Attributes:
        not_ready: Why it cannot; empty where it can.
        note: What is to be said although it can.
    """

    not_ready: str = ""
    note: str = ""


class Pages:
    """The pages of the endpoint."""

    def __init__(
        self,
        health: Callable[[], Health],
        registry: CollectorRegistry,
        documents: Mapping[str, Callable[[], Any]] | None = None,
    ) -> None:
        """Take what gives the present state; all of it is called in the loop, for each request.

        Args:
            health: What /readyz says.
            registry: What /metrics renders.
            documents: Further pages by path, each a value that is shown as JSON.
        """
        self._health = health
        self._registry = registry
        self._documents = documents or {}

    def application(self) -> web.Application:
        """Return the application."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/livez", self.livez),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                *(web.get(path, self.document) for path in self._documents),
                web.route("*", "/{path:.*}", self.not_found),
            ]
        )
        return application

    async def livez(self, request: web.Request) -> web.Response:
        """Say that the loop turns."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """Say whether the program can do its work, and why not."""
        health = self._health()
        if health.not_ready:
            return web.Response(status=503, text=f"{health.not_ready}\n")
        return web.Response(text=f"ok, {health.note}\n" if health.note else "ok\n")

    async def metrics(self, request: web.Request) -> web.Response:
        """Render the metrics."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def document(self, request: web.Request) -> web.Response:
        """Show one of the further pages."""
        body = msgspec.json.format(msgspec.json.encode(self._documents[request.path]())) + b"\n"
        return web.Response(body=body, content_type="application/json")

    async def not_found(self, request: web.Request) -> web.Response:
        """Name the pages that there are."""
        *most, last = ("/livez", "/readyz", "/metrics", *self._documents)
        return web.Response(status=404, text=f"nothing here; there are {', '.join(most)} and {last}\n")


def pages_of_server(facts: Callable[[], Facts]) -> Pages:
    """Return the pages of ``headlessdns serve``."""

    def health() -> Health:
        now = facts()
        return Health(now.not_ready, "stale: the API is silent, answers go on from memory" if now.is_stale else "")

    return Pages(health, registry_of(facts), {"/zones": lambda: {"zones": facts().zones}})


@contextlib.asynccontextmanager
async def serve(address: tuple[str, int], pages: Pages) -> AsyncIterator[str]:
    """Serve *pages* for as long as the context is open; gives the address as a URL, with the port that was got.

    Args:
        address: Host literal, empty for every address, and port; 0 takes any.
        pages: What is served.

    Raises:
        HeadlessDNSError: The address cannot be had; the text says what to do.
    """
    runner = web.AppRunner(pages.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *address).start()
        except OSError as error:
            raise HeadlessDNSError(_explain(address, error)) from error
        yield _url(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _explain(address: tuple[str, int], error: OSError) -> str:
    where = _url(*address)
    if error.errno == errno.EADDRINUSE:
        return f"cannot serve {where}: another program is there; choose another port with --http, or --http off"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"cannot serve {where}: ports below 1024 need a right that this user lacks; choose another with --http"
    if error.errno in (errno.EADDRNOTAVAIL, None):  # asyncio of Python 3.13 keeps the number to itself
        return f"cannot serve {where}: this machine has no such address; choose another with --http"
    return f"cannot serve {where}: {error.strerror}; choose another address with --http"
