"""``headlessdns lab``: a cluster on a laptop, to look at. I/O: standard output, standard error, then all of the lab's.

On a terminal the sets are a table that lives; elsewhere each change is a line, of text or of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import queue
import shlex
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headlessdns import logs
from headlessdns.cli import options
from headlessdns.config import Listen, parse_listen

if TYPE_CHECKING:
    from rich.console import Console

    from headlessdns.lab.running import Running
    from headlessdns.lab.view import Change, Group

logger = logging.getLogger(__name__)

_REFRESH_HZ = 8
_LAST_LINES_S = 1.0  # for whoever reads to take what is left
_STANDARD_OUTPUT = 1
_FEW = 8
_PARTS = ("controller", "endpoints", "budgets", "accounts", "kubelet", "dns")
_WITHOUT_PODS = ("deployment/", "replicaset/")  # kinds that are only stored
_ZONE = "cluster.local"


class _Address(click.ParamType[Any]):
    """An address and a port."""

    name = "address"

    def __init__(self, *, loopback: bool = False) -> None:
        self._loopback = loopback

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Listen:
        """Return the address that *value* writes."""
        if isinstance(value, Listen):
            return value
        try:
            listen = parse_listen(str(value))
        except ValueError as error:
            self.fail(f"found {json.dumps(value)}; expected an address and a port; {error}", param, ctx)
        host = listen.host or "0.0.0.0"
        if self._loopback and not ipaddress.ip_address(host).is_loopback:
            remedy = f"write 127.0.0.1:{listen.port}; whoever reaches the lab's API may do everything in it"
            self.fail(f"found {json.dumps(value)}; expected a loopback address and a port; {remedy}", param, ctx)
        return Listen(host, listen.port)


class _Duration(click.ParamType[Any]):
    """A duration such as 500ms or 3s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return *value* in seconds."""
        from headlessdns.lab.pods import duration_s

        seconds = duration_s(str(value))
        if seconds is None:
            self.fail(f"found {json.dumps(value)}; expected a duration; write it as in 500ms, 3s or 1m30s", param, ctx)
        return seconds


class _Network(click.ParamType[Any]):
    """A network in CIDR form."""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value* where it is a network with room for pods."""
        try:
            network = ipaddress.ip_network(str(value))
        except ValueError as error:
            self.fail(f"found {json.dumps(value)} ({error}); expected a network as in 10.244.0.0/16", param, ctx)
        if network.num_addresses < 8:
            self.fail(f"found {json.dumps(value)}, which has no room for pods; expected a /29 or larger", param, ctx)
        return str(network)


@click.command(
    name="lab",
    cls=options.LoggingCommand,
    short_help="Try StatefulSets and their DNS without a cluster.",
    epilog="Trouble is made from another terminal: headlessdns lab ctl --help.",
)
@click.argument("manifests", nargs=-1, metavar="[MANIFEST]...")
@click.option(
    "--api",
    type=_Address(loopback=True),
    default="127.0.0.1:0",
    show_default="127.0.0.1:0, any port",
    metavar="ADDR:PORT",
    help="Serve the Kubernetes API here.",
)
@click.option(
    "--dns", type=_Address(), default="127.0.0.1:1053", show_default=True, metavar="ADDR:PORT", help="Answer DNS here."
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the kubeconfig here.  [default: in a folder of your own]",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the objects in this file, so that the lab survives a restart.  [default: in memory]",
)
@click.option("--nodes", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many nodes there are.")
@click.option(
    "--pod-cidr",
    "pod_cidrs",
    type=_Network(),
    multiple=True,
    default=("10.244.0.0/16",),
    show_default="10.244.0.0/16",
    metavar="NETWORK",
    help="Give pods addresses of this network; one of each family for dual stack.",
)
@click.option(
    "--start-delay",
    "start_delay_s",
    type=_Duration(),
    default="500ms",
    show_default=True,
    metavar="DURATION",
    help="From a pod's node to its start.",
)
@click.option(
    "--ready-delay",
    "ready_delay_s",
    type=_Duration(),
    default="500ms",
    show_default=True,
    metavar="DURATION",
    help="From its start to its being ready.",
)
@click.option(
    "--without",
    type=click.Choice(_PARTS),
    multiple=True,
    help="Leave a part out, to put your own in its place; repeatable.",
)
@click.option("--plain", is_flag=True, help="Print a line for each change instead of the table.")
@click.option(
    "--log",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    help="json prints each change as a JSON object, and logs so.  [default: text]",
)
@click.option("--until-input-ends", is_flag=True, hidden=True)
@click.pass_context
def command(
    ctx: click.Context, /, manifests: tuple[str, ...], plain: bool, log: str, until_input_ends: bool, **chosen: Any
) -> None:
    """Run a cluster on this machine, with nothing in its pods: API, nodes, controller and DNS, for kubectl and dig.

    MANIFEST: files and folders to apply at the start, as kubectl apply does; - is standard input.

    Exit codes: 0 after Ctrl-C or SIGTERM, 2 where a setting, a manifest, an address or the state file cannot be used;
    standard error then says why, a line for each fault.
    """
    is_json = log == options.JSON
    logs.set_up("json" if is_json else "text", level=logging.WARNING)
    _check(manifests, chosen["pod_cidrs"], until_input_ends=until_input_ends)
    from headlessdns.lab.running import LabConfig, Running  # it brings the HTTP server

    without = frozenset(chosen.pop("without"))
    config = LabConfig(manifests=manifests, without=without, **chosen)
    if is_json:
        show: _Show = _JSONLines()
    elif plain or not _can_draw():
        show = _TextLines()
    else:
        show = _LiveTable()
    # Before there is a loop: standard input may be a person who presses Ctrl-C instead of writing a manifest.
    lab = Running(config, show.changed)
    asyncio.run(_run(lab, show, until_input_ends=until_input_ends))
    with contextlib.suppress(OSError):  # a terminal whose window was closed
        sys.stderr.flush()
    os._exit(0)  # all is closed; one more Ctrl-C is not to end in the middle of the interpreter's end


def _can_draw() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def _check(manifests: Sequence[str], pod_cidrs: Sequence[str], *, until_input_ends: bool) -> None:
    versions = [ipaddress.ip_network(one).version for one in pod_cidrs]
    if len(set(versions)) < len(versions):
        raise click.UsageError(
            f"--pod-cidr: found {', '.join(pod_cidrs)}; expected one network of each family; leave out the others"
        )
    if until_input_ends and "-" in manifests:
        raise click.UsageError("standard input cannot be a manifest and say when to leave")


async def _run(lab: Running, show: _Show, *, until_input_ends: bool) -> None:
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            loop.add_signal_handler(number, leave.set)
    if until_input_ends:
        loop.add_reader(sys.stdin.fileno(), _watch_input, leave)
    starting = asyncio.create_task(lab.__aenter__())
    leaving = asyncio.create_task(leave.wait())
    await asyncio.wait([starting, leaving], return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        if starting.cancelled():
            return
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(await starting)
        if skipped := lab.applied.skipped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
            logger.warning("the lab has no such kinds, they were skipped: %s", kinds)
        if kept := [name for name in lab.applied.created if name.startswith(_WITHOUT_PODS)]:
            logger.warning("stored, and the lab makes no pods of them (a StatefulSet has pods): %s", ", ".join(kept))
        with show.showing(lab):
            await lab.until(leave)


def _watch_input(leave: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        leave.set()


# Ways to show it


class _Show:
    """Where changes go."""

    def changed(self, changes: list[Change]) -> None:
        """Show what changed."""

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        """Say hello, and show *lab* for as long as the context is open."""
        yield


class _Lines(_Show):
    """One line a change, on standard output.

    A thread writes them: who reads slowly, or has stopped reading, holds up neither the API nor the controller.
    """

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._early: list[Change] | None = []  # until hello was said
        self._is_read = True

    def changed(self, changes: list[Change]) -> None:
        if self._early is not None:
            self._early += changes
        elif self._is_read:
            self._put(map(self._line, changes))

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        writer = threading.Thread(target=self._write, name="standard output", daemon=True)
        writer.start()
        self._put(self._hello(lab))
        early, self._early = self._early or [], None
        self.changed(early)
        try:
            yield
        finally:
            self._lines.put(None)
            writer.join(_LAST_LINES_S)

    def _put(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text:
            self._lines.put(text)

    def _write(self) -> None:
        for text in iter(self._lines.get, None):
            octets = text.encode()
            try:
                while octets:
                    octets = octets[os.write(_STANDARD_OUTPUT, octets) :]
            except OSError as error:
                self._is_read = False
                if not isinstance(error, BrokenPipeError):  # who read it has gone, as head does
                    logger.warning("standard output: %s; the lab goes on without it", error.strerror)
                return

    def _hello(self, lab: Running) -> Iterator[str]:
        yield from ()

    def _line(self, change: Change) -> str:
        raise NotImplementedError


class _TextLines(_Lines):
    def _hello(self, lab: Running) -> Iterator[str]:
        yield from _hello(lab)
        yield ""

    def _line(self, change: Change) -> str:
        return _line(change, time.localtime())


def _line(change: Change, now: time.struct_time) -> str:
    clock = time.strftime("%H:%M:%S", now)
    from headlessdns.lab.view import Row

    if not isinstance(change, Row):
        return f"{clock} {change.text}" + (f"; {change.trouble}" if change.trouble else "")
    if change.is_gone:
        return f"{clock} {change.pod} is gone"
    ready = "ready" if change.ready else "not ready"
    parts = [change.pod, f"{change.phase or '-':17}", f"{change.address or '-':12}", f"{ready:9}"]
    if change.name:
        parts.append(f"{change.name}: {change.answer or 'not asked yet'}")
    if change.waits_for:
        parts.append(f"({change.waits_for})")
    return f"{clock} " + "  ".join(parts)


class _JSONLines(_Lines):
    def _hello(self, lab: Running) -> Iterator[str]:
        started = {
            "event": "started",
            "time": time.time(),
            "api": lab.api.url,
            "dns": str(lab.dns) if lab.dns else None,
            "kubeconfig": str(lab.kubeconfig),
            "nodes": lab.nodes,
            "created": lab.applied.created,
            "configured": lab.applied.configured,
            "skipped": dict(lab.applied.skipped),
        }
        yield json.dumps(started)

    def _line(self, change: Change) -> str:
        from headlessdns.lab.view import Row

        event = "set"
        if isinstance(change, Row):
            event = "gone" if change.is_gone else "changed"
        return json.dumps({"event": event, "time": time.time(), **change._asdict()})


class _LiveTable(_Show):
    """A table for each set, on a terminal; drawn by a thread, since a terminal can be stopped (Ctrl-S)."""

    def __init__(self) -> None:
        self._lab: Running | None = None
        self._groups: list[Group] = []
        self._wake = threading.Event()
        self._is_over = threading.Event()
        self._is_stale = False  # another size, or another program has written to the terminal

    def changed(self, changes: list[Change]) -> None:
        if self._lab is not None:
            self._groups = self._lab.view.groups()
            self._wake.set()

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        self._lab = lab
        self._groups = lab.view.groups()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGWINCH, signal.SIGCONT):
            loop.add_signal_handler(number, self._redraw)
        artist = threading.Thread(
            target=self._draw_while_seen, args=(list(_hello(lab)),), name="the table", daemon=True
        )
        artist.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._wake.set()
            artist.join(_LAST_LINES_S)
            logs.set_up("text", level=logging.WARNING)

    def _redraw(self) -> None:
        self._is_stale = True
        self._wake.set()

    def _draw_while_seen(self, hello: Sequence[str]) -> None:
        with contextlib.suppress(OSError):  # the window is closed; SIGHUP says so, too
            self._draw(hello)

    def _draw(self, hello: Sequence[str]) -> None:
        from rich.console import Console

        console = Console()
        while not self._is_over.is_set():
            for line in hello:
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._draw_until_stale(console)
            if not self._is_over.is_set():
                console.clear()

    def _draw_until_stale(self, console: Console) -> None:
        from rich.live import Live

        from headlessdns.lab.screen import tables

        self._is_stale = False
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            logs.set_up("text", level=logging.WARNING)  # onto the stream that leaves the table in its place
            while not (self._is_over.is_set() or self._is_stale):
                live.update(tables(self._groups, console.width, console.height - 1), refresh=True)
                self._is_over.wait(1 / _REFRESH_HZ)
                self._wake.wait()
                self._wake.clear()


def _hello(lab: Running) -> Iterator[str]:
    """Yield what runs where, and what to type next."""
    dns = f", DNS at {lab.dns} (UDP and TCP)" if lab.dns else ""
    yield f"Kubernetes API at {lab.api.url}{dns}"
    if lab.applied.created:
        yield f"created {_counted(lab.applied.created)}"
    if lab.applied.configured:
        yield f"there already, applied again: {_counted(lab.applied.configured)}"
    yield ""
    yield "In another terminal:"
    yield f"  export KUBECONFIG={shlex.quote(str(lab.kubeconfig))}"
    row = next((row for group in lab.view.groups() for row in group.rows), None)
    namespace = row.set.partition("/")[0] if row else "default"
    where = "" if namespace == "default" else f" -n {namespace}"
    yield f"  kubectl get pods -w{where}" + _missing("kubectl")
    if lab.dns:
        host, port = lab.dns
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        name = row.name if row and row.name else f"kubernetes.default.svc.{_ZONE}"
        if shutil.which("dig"):
            yield f"  dig @{host} -p {port} {name}"
        else:
            yield f"  {_own_command()} query --server {Listen(host, port)} {name}"
    if row:
        yield f"  kubectl delete pod {row.pod}{where}"
        yield f"  {_own_command()} lab ctl ready {row.pod} false{where}"
    kept = f"its objects in {lab.state}" if lab.state else "nothing behind"
    yield f"Ctrl-C ends the lab and leaves {kept}."


def _counted(objects: Sequence[str]) -> str:
    """Return all of *objects*, which are such as pod/web-0, or where these are many how many of each kind."""
    if len(objects) <= _FEW:
        return ", ".join(objects)
    kinds = Counter(one.partition("/")[0] for one in objects)
    return f"{len(objects)} objects: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _missing(program: str) -> str:
    return "" if shutil.which(program) else f"    (there is no {program} on your PATH yet)"


def _own_command() -> str:
    """Return how this program is called from any folder."""
    if shutil.which("headlessdns"):
        return "headlessdns"
    here = Path(sys.argv[0]).absolute()
    return str(here) if here.name == "headlessdns" else f"{sys.executable} -m headlessdns"
