"""A running server beside an API server that falls silent, and one that grants a right later."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import tests.serving
from headlessdns.cluster.objects import Kind
from tests.cluster import impatient_serve
from tests.cluster.api_server import (
    PATHS,
    ApiServer,
    Reply,
    Stream,
    bookmark,
    event,
    item,
    status,
    streamed_list,
    write_kubeconfig,
)
from tests.peers.process import Process, wait_until
from tests.serving import Serve

SERVICES, PODS = PATHS[Kind.SERVICE], PATHS[Kind.POD]
NAMESPACES, STATEFUL_SETS = PATHS[Kind.NAMESPACE], PATHS[Kind.STATEFUL_SET]
API, ABSENT = "api.default.svc.cluster.local", "absent.default.svc.cluster.local"
POD = "10-244-1-10.default.pod.cluster.local"
STALE_S = 2.5
BOOKMARK_INTERVAL_S = 0.1


def service(address: str, version: int = 1) -> dict[str, Any]:
    return item("api", version, spec={"clusterIP": address})


class Line:
    """A TCP relay on 127.0.0.1 that can fall silent: connections stay open, and nothing passes."""

    def __init__(self, target_port: int) -> None:
        self.passes = asyncio.Event()
        self.passes.set()
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.read(65536):
                await self.passes.wait()
                writer.write(octets)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    def stop(self) -> None:
        """Take no connection any more; those that are open end with their tasks."""
        assert self._server is not None
        self._server.close()


class Api:
    """An API server and the line to it, in a thread of their own, since questions to the DNS block."""

    def __init__(self, scripts: dict[str, list[Reply | Stream]]) -> None:
        self.server = ApiServer(scripts)
        self.line: Line
        self._versions = itertools.count(100)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Api:
        self._thread.start()
        self._run(self.server.start())
        self.line = Line(self.server.port)
        self._run(self.line.start())
        self.soon(self._beat)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _beat(self) -> None:
        """Send a bookmark now and then, as API servers do to idle watches."""
        for path in PATHS.values():
            self.server.send(path, bookmark(next(self._versions)))
        self._loop.call_later(BOOKMARK_INTERVAL_S, self._beat)

    def change(self, service: dict[str, Any]) -> None:
        """Change the Service, for those who watch it and for those who list it."""
        self.server.scripts[SERVICES] = [streamed_list(service)]
        self.server.send(SERVICES, event("MODIFIED", service))

    async def _end(self) -> None:
        self.line.stop()
        await self.server.stop()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def soon(self, act: Callable[..., object], *arguments: object) -> None:
        """Call *act* in the server's thread."""
        self._loop.call_soon_threadsafe(act, *arguments)


@pytest.fixture
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `Serve` run the program with the limits that the test asks for."""

    def process(command: list[str], log: Path) -> Process:
        assert command[1:3] == ["-m", "headlessdns"]
        return Process([sys.executable, "-m", impatient_serve.__name__, *map(str, request.param), *command[3:]], log)

    monkeypatch.setattr(tests.serving, "Process", process)


@pytest.fixture
def api() -> Iterator[Api]:
    with Api({SERVICES: [streamed_list(service("10.96.0.1"))]}) as running:
        yield running


def metrics(serve: Serve, name: str) -> dict[str, float]:
    """Return the values of the metric *name* by what follows the name."""
    with urllib.request.urlopen(f"{serve.url}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    pairs = (line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith(name))
    return {labels: float(value) for labels, value in pairs}


def logged(serve: Serve, text: str) -> int:
    return serve.log.read_text().count(text)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param((STALE_S, 60, 0.2), id="the watches of before go on"),
        pytest.param((STALE_S, 1.0, 0.2), id="the watches are given up meanwhile, and all is listed anew"),
    ],
    indirect=True,
)
@pytest.mark.usefixtures("limits")
def test_api_server_that_falls_silent(tmp_path: Path, api: Api) -> None:
    """While the API server is silent, not closed, answers go on and say that they may be old, until it speaks again."""
    silence = f"stale: the API has been silent for {STALE_S} s; answers go on from memory"
    config = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{api.line.port}")
    with Serve("--kubeconfig", config, http=True) as serve:
        wait_until(lambda: serve.ask(API) == ("NOERROR", ["10.96.0.1"]), "the first list", 10)
        wait_until(lambda: serve.ask(ABSENT) == ("NXDOMAIN", []), "the Namespaces", 10)
        assert (serve.extended_errors(API), serve.extended_errors(ABSENT)) == ([], [])
        assert metrics(serve, "headlessdns_stale") == {"": 0.0}

        api.soon(api.line.passes.clear)
        api.soon(api.change, service("10.96.0.2", 5))
        answers = []

        def is_stale() -> bool:
            answers.append(serve.ask(API))
            return metrics(serve, "headlessdns_stale") == {"": 1.0}

        wait_until(is_stale, "staleness", 10)
        wait_until(lambda: serve.extended_errors(API) == [3], "EDE 3", 5)
        assert serve.extended_errors(ABSENT) == [19]
        answers += [serve.ask(API), serve.ask(API, tcp=True)]
        assert set(map(repr, answers)) == {"('NOERROR', ['10.96.0.1'])"}
        assert serve.ask(ABSENT) == ("NXDOMAIN", [])
        assert logged(serve, silence) == 1

        api.soon(api.line.passes.set)
        wait_until(lambda: serve.ask(API) == ("NOERROR", ["10.96.0.2"]), "the change of meanwhile", 10)
        wait_until(lambda: serve.extended_errors(API) == [], "the end of EDE 3", 10)
        assert serve.extended_errors(ABSENT) == []
        assert metrics(serve, "headlessdns_stale") == {"": 0.0}
        assert logged(serve, silence) == logged(serve, "the API speaks again; answers are up to date") == 1


def test_rights_that_are_granted_later(tmp_path: Path, api: Api) -> None:
    """Kinds that are forbidden at the start are asked for again, and their names answer once they are granted."""
    denied = {path: [status(403, "no")] for path in (PODS, NAMESPACES, STATEFUL_SETS)}
    granted = {
        PODS: [streamed_list(item("web-0", status={"phase": "Running", "podIP": "10.244.1.10"}))],
        NAMESPACES: [streamed_list(*({"metadata": {"name": name}} for name in ("default", "empty")))],
        STATEFUL_SETS: [streamed_list()],
    }
    config = write_kubeconfig(tmp_path / "config", api.server.url)
    api.server.scripts |= denied
    with Serve("--kubeconfig", config, http=True) as serve:
        wait_until(lambda: logged(serve, "forbids list and watch") == 3, "the refusals", 10)
        wait_until(lambda: serve.ask(POD) == ("NXDOMAIN", []), "pod names to be off", 10)
        assert serve.ask("default.svc.cluster.local") == ("NOERROR", [])
        assert serve.ask("empty.svc.cluster.local") == ("NXDOMAIN", [])
        api.soon(api.server.scripts.update, granted)
        wait_until(lambda: serve.ask(POD) == ("NOERROR", ["10.244.1.10"]), "the pod's name", 15)
        wait_until(lambda: serve.ask("empty.svc.cluster.local") == ("NOERROR", []), "the namespace", 15)
        wait_until(lambda: not any(metrics(serve, "headlessdns_watch_forbidden").values()), "all rights", 15)
        for resource in ("pods", "namespaces", "statefulsets"):
            assert logged(serve, f"warning {resource}: ") == 1
            assert logged(serve, f"info    {resource}: the API server grants list and watch now") == 1


def test_objects_that_are_odd_are_told(tmp_path: Path, api: Api) -> None:
    """What the API server lets in and the DNS cannot say is one warning an object, however often it comes."""
    odd = item("api", 2, spec={"clusterIP": "10.96.0.1"})
    odd["metadata"]["annotations"] = {"headlessdns.io/ttl": "abc"}
    warning = 'warning Service default/api: metadata.annotations["headlessdns.io/ttl"]: found "abc"; expected seconds'
    api.server.scripts[SERVICES] = [streamed_list(odd)]
    with Serve("--kubeconfig", write_kubeconfig(tmp_path / "config", api.server.url)) as serve:
        wait_until(lambda: logged(serve, warning) == 1, "the warning", 10)
        api.soon(api.change, {**odd, "spec": {"clusterIP": "10.96.0.2"}})
        wait_until(lambda: serve.ask(API) == ("NOERROR", ["10.96.0.2"]), "the change", 10)
        assert logged(serve, warning) == 1
