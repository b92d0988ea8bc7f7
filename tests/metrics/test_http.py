"""Health and metrics over a real socket."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message

import pytest
from aiohttp import web

from headlessdns.errors import HeadlessDNSError
from headlessdns.metrics import http
from headlessdns.metrics.collector import Facts, ZoneFacts

READY = Facts(
    version="1",
    not_ready="",
    zones=(ZoneFacts("cluster.local.", 7, "00ff", 12, 34),),
)


def get(path: str, facts: Callable[[], Facts] = lambda: READY, **kwargs: object) -> tuple[int, str, Message]:
    """Return status, text and headers of one request to a server of its own."""

    def fetch(url: str) -> tuple[int, str, Message]:
        request = urllib.request.Request(url + path, **kwargs)  # type: ignore[arg-type]
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, response.read().decode(), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    async def run() -> tuple[int, str, Message]:
        async with http.serve(("127.0.0.1", 0), http.pages_of_server(facts)) as url:
            return await asyncio.to_thread(fetch, url)

    return asyncio.run(run())


PAGES = {
    "alive": ("/livez", READY, 200, "ok\n"),
    "alive while not ready": ("/livez", Facts(version="1", not_ready="leaving"), 200, "ok\n"),
    "ready": ("/readyz", READY, 200, "ok\n"),
    "not ready says why": (
        "/readyz",
        Facts(version="1", not_ready="Services and EndpointSlices are not listed yet"),
        503,
        "Services and EndpointSlices are not listed yet\n",
    ),
    "stale is ready": (
        "/readyz",
        Facts(version="1", not_ready="", is_stale=True),
        200,
        "ok, stale: the API is silent, answers go on from memory\n",
    ),
    "elsewhere": ("/", READY, 404, "nothing here; there are /livez, /readyz, /metrics and /zones\n"),
    "below a page": ("/metrics/x", READY, 404, "nothing here; there are /livez, /readyz, /metrics and /zones\n"),
}


@pytest.mark.parametrize(("path", "facts", "status", "text"), PAGES.values(), ids=PAGES.keys())
def test_page(path: str, facts: Facts, status: int, text: str) -> None:
    """A page answers with a status and one line."""
    found = get(path, lambda: facts)
    assert found[:2] == (status, text)
    assert found[2]["Content-Type"] == "text/plain; charset=utf-8"


def test_metrics() -> None:
    """Prometheus gets its text format, or OpenMetrics where it asks for that."""
    status, text, headers = get("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "headlessdns_ready 1.0\n" in text
    _, text, headers = get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


def test_zones() -> None:
    """The zones come as JSON with what two replicas are compared by."""
    status, text, headers = get("/zones")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(text) == {
        "zones": [{"apex": "cluster.local.", "serial": 7, "digest": "00ff", "names": 12, "records": 34}]
    }


def test_writing_is_not_offered() -> None:
    """Only GET and HEAD are answered with a page."""
    assert get("/livez", method="HEAD")[0] == 200
    assert get("/livez", method="POST")[0] == 404


def test_port_taken() -> None:
    """A port that another program has is told in one line with what to do."""

    async def run(port: int) -> None:
        async with http.serve(("127.0.0.1", port), http.pages_of_server(lambda: READY)):
            raise AssertionError("unreachable")

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(HeadlessDNSError) as caught:
            asyncio.run(run(port))
    assert str(caught.value) == (
        f"cannot serve http://127.0.0.1:{port}: another program is there; choose another port with --http, or "
        "--http off"
    )


def test_address_of_another_machine() -> None:
    """An address that this machine lacks is told in one line with what to do."""

    async def run() -> None:
        async with http.serve(("192.0.2.1", 0), http.pages_of_server(lambda: READY)):
            raise AssertionError("unreachable")

    with pytest.raises(HeadlessDNSError) as caught:
        asyncio.run(run())
    assert str(caught.value) == (
        "cannot serve http://192.0.2.1:0: this machine has no such address; choose another with --http"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(
            errno.EACCES,
            "cannot serve http://[::1]:80: ports below 1024 need a right that this user lacks; choose another with "
            "--http",
            id="a privileged port",
        ),
        pytest.param(
            errno.ENOBUFS,
            "cannot serve http://[::1]:80: No buffer space available; choose another address with --http",
            id="anything else",
        ),
    ],
)
def test_refused_by_the_system(number: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses is told in one line with what to do."""

    async def refuse(self: web.TCPSite) -> None:
        raise OSError(number, os.strerror(number))

    async def run() -> None:
        async with http.serve(("::1", 80), http.pages_of_server(lambda: READY)):
            raise AssertionError("unreachable")

    monkeypatch.setattr(web.TCPSite, "start", refuse)
    with pytest.raises(HeadlessDNSError) as caught:
        asyncio.run(run())
    assert str(caught.value) == text


def test_port_is_free_afterwards() -> None:
    """After the context the port can be had again at once."""

    async def run() -> list[str]:
        async with http.serve(("127.0.0.1", 0), http.pages_of_server(lambda: READY)) as first:
            port = int(first.rpartition(":")[2])
        async with http.serve(("127.0.0.1", port), http.pages_of_server(lambda: READY)) as second:
            return [first, second]

    first, second = asyncio.run(run())
    assert first == second
