"""Health and metrics over HTTP, in the parent's loop. I/O: a listening TCP socket.

| path | what it says |
|---|---|
| /livez | 200 as long as the loop turns |
| /readyz | 200 when names may be denied; 503 and the reason before that, and from SIGTERM on. Stale is ready. |
| /metrics | Prometheus' text format, or OpenMetrics where it is asked for |
| /zones | apex, serial, digest and counts of each zone as JSON, to compare replicas |
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator, Callable

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from headlessdns.errors import HeadlessDNSError
from headlessdns.metrics.collector import Facts, registry_of

_SHUTDOWN_S = 1.0  # what an open request gets at the end
_NOT_FOUND = "nothing here; there are /livez, /readyz, /metrics and /zones\n"


class Pages:
    """The pages of the endpoint."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts
        self._registry: CollectorRegistry = registry_of(facts)

    def application(self) -> web.Application:
        """Return the application."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/livez", self.livez),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                web.get("/zones", self.zones),
                web.route("*", "/{path:.*}", self.not_found),
            ]
        )
        return application

    async def livez(self, request: web.Request) -> web.Response:
        """Say that the loop turns."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """Say whether the server should get queries, and why not."""
        facts = self._facts()
        if facts.not_ready:
            return web.Response(status=503, text=f"{facts.not_ready}\n")
        return web.Response(
            text="ok, stale: the API is silent, answers go on from memory\n" if facts.is_stale else "ok\n"
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Render the metrics."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def zones(self, request: web.Request) -> web.Response:
        """Tell each zone's serial and digest."""
        body = msgspec.json.format(msgspec.json.encode({"zones": self._facts().zones})) + b"\n"
        return web.Response(body=body, content_type="application/json")

    async def not_found(self, request: web.Request) -> web.Response:
        """Name the pages that there are."""
        return web.Response(status=404, text=_NOT_FOUND)


@contextlib.asynccontextmanager
async def serve(address: tuple[str, int], facts: Callable[[], Facts]) -> AsyncIterator[str]:
    """Serve the pages for as long as the context is open; gives the address as a URL, with the port that was got.

    Args:
        address: Host literal, empty for every address, and port; 0 takes any.
        facts: Gives the present state; called in the loop, for each request.

    Raises:
        HeadlessDNSError: The address cannot be had; the text says what to do.
    """
    runner = web.AppRunner(Pages(facts).application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
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
