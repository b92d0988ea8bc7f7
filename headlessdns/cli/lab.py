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
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from headlessdns import logs
from headlessdns.cli import options
from headlessdns.config import Listen, parse_listen

if TYPE_CHECKING:
    from headlessdns.lab.running import LabConfig, Running
    from headlessdns.lab.view import Row

logger = logging.getLogger(__name__)

_REFRESH_HZ = 8
_PARTS = ("controller", "endpoints", "kubelet", "dns")
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
    from headlessdns.lab.running import LabConfig  # it brings the HTTP server

    without = frozenset(chosen.pop("without"))
    config = LabConfig(manifests=manifests, without=without, **chosen)
    if is_json:
        show: _Show = _JSONLines(sys.stdout)
    elif plain or not sys.stdout.isatty():
        show = _TextLines(sys.stdout)
    else:
        show = _LiveTable()
    ctx.exit(asyncio.run(_run(config, show, until_input_ends=until_input_ends)))


def _check(manifests: Sequence[str], pod_cidrs: Sequence[str], *, until_input_ends: bool) -> None:
    versions = [ipaddress.ip_network(one).version for one in pod_cidrs]
    if len(set(versions)) < len(versions):
        raise click.UsageError(
            f"--pod-cidr: found {', '.join(pod_cidrs)}; expected one network of each family; leave out the others"
        )
    if until_input_ends and "-" in manifests:
        raise click.UsageError("standard input cannot be a manifest and say when to leave")


async def _run(config: LabConfig, show: _Show, *, until_input_ends: bool) -> int:
    from headlessdns.lab.running import Running

    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, leave.set)
    if until_input_ends:
        loop.add_reader(sys.stdin.fileno(), _watch_input, leave)
    lab = Running(config, show.changed)
    starting = asyncio.create_task(lab.__aenter__())
    leaving = asyncio.create_task(leave.wait())
    await asyncio.wait([starting, leaving], return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return 0
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(await starting)
        if skipped := lab.applied.skipped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
            logger.warning("the lab has no such kinds, they were skipped: %s", kinds)
        with show.showing(lab):
            await lab.until(leave)
    return 0


def _watch_input(leave: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        leave.set()


# Ways to show it


class _Show:
    """Where changes go."""

    def changed(self, rows: list[Row]) -> None:
        """Show that *rows* changed."""

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        """Say hello, and show *lab* for as long as the context is open."""
        yield


class _TextLines(_Show):
    """One line a change."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[str] | None = []  # until hello was said

    def changed(self, rows: list[Row]) -> None:
        lines = [_line(row, time.localtime()) for row in rows]
        if self._waiting is not None:
            self._waiting += lines
        else:
            _print(self._out, lines)

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        _print(self._out, [*_hello(lab), "", *(self._waiting or ())])
        self._waiting = None
        yield


def _line(row: Row, now: time.struct_time) -> str:
    clock = time.strftime("%H:%M:%S", now)
    if not row.phase and not row.waits_for:
        return f"{clock} {row.pod} is gone"
    parts = [row.pod, row.phase or "-", row.address or "-", "ready" if row.ready else "not ready"]
    if row.name:
        parts.append(f"{row.name} = {row.answer or '?'}")
    if row.waits_for:
        parts.append(f"({row.waits_for})")
    return " ".join([clock, *parts])


class _JSONLines(_Show):
    """One JSON object a change."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[str] | None = []

    def changed(self, rows: list[Row]) -> None:
        lines = [
            json.dumps(
                {"event": "changed" if row.phase or row.waits_for else "gone", "time": time.time(), **row._asdict()}
            )
            for row in rows
        ]
        if self._waiting is not None:
            self._waiting += lines
        else:
            _print(self._out, lines)

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        started = {
            "event": "started",
            "time": time.time(),
            "api": lab.api.url,
            "dns": str(lab.dns) if lab.dns else None,
            "kubeconfig": str(lab.kubeconfig.absolute()),
            "nodes": lab.nodes,
            "created": lab.applied.created,
            "configured": lab.applied.configured,
            "skipped": dict(lab.applied.skipped),
        }
        _print(self._out, [json.dumps(started), *(self._waiting or ())])
        self._waiting = None
        yield


class _LiveTable(_Show):
    """A table for each set, on a terminal."""

    @contextlib.contextmanager
    def showing(self, lab: Running) -> Iterator[None]:
        from rich.console import Console
        from rich.live import Live

        from headlessdns.lab.screen import tables

        console = Console()
        for line in _hello(lab):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        with Live(
            get_renderable=lambda: tables(lab.view.groups(), console.height - 1),
            console=console,
            refresh_per_second=_REFRESH_HZ,
            vertical_overflow="crop",
        ):
            logs.set_up("text", level=logging.WARNING)  # onto the stream that leaves the table in its place
            yield


def _print(out: TextIO, lines: Sequence[str]) -> None:
    try:
        for line in lines:
            out.write(line + "\n")
        out.flush()
    except BrokenPipeError:  # who read it has gone; the lab goes on
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # else the interpreter complains at its end


def _hello(lab: Running) -> Iterator[str]:
    """Yield what runs where, and what to type next."""
    dns = f", DNS at {lab.dns} (UDP and TCP)" if lab.dns else ""
    yield f"Kubernetes API at {lab.api.url}{dns}"
    if lab.applied.created:
        yield f"created {', '.join(lab.applied.created)}"
    if lab.applied.configured:
        yield f"there already, applied again: {', '.join(lab.applied.configured)}"
    yield ""
    yield "In another terminal:"
    yield f"  export KUBECONFIG={lab.kubeconfig.absolute()}"
    yield "  kubectl get pods -w" + _missing("kubectl")
    name = next(iter(lab.view.names()), f"kubernetes.default.svc.{_ZONE}")
    pod = name.partition(".")[0] if lab.view.names() else ""
    if lab.dns:
        host, port = lab.dns
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        if shutil.which("dig"):
            yield f"  dig @{host} -p {port} {name}"
        else:
            yield f"  {_own_command()} query --server {Listen(host, port)} {name}"
    if pod:
        yield f"  kubectl delete pod {pod}"
        yield f"  {_own_command()} lab ctl ready {pod} false"
    yield "Ctrl-C ends the lab and leaves nothing behind."


def _missing(program: str) -> str:
    return "" if shutil.which(program) else f"    (there is no {program} on your PATH yet)"


def _own_command() -> str:
    """Return how this program is called from any folder."""
    if shutil.which("headlessdns"):
        return "headlessdns"
    here = Path(sys.argv[0]).absolute()
    return str(here) if here.name == "headlessdns" else f"{sys.executable} -m headlessdns"
