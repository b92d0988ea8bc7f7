"""A whole lab in one process: the API, the pretend kubelet, the slices, the controller, the DNS. I/O: all of theirs.

How others do it: envtest starts a real API server and etcd, and leaves out who would run pods; kind and minikube bring
containers; KWOK pretends nodes in a cluster that is there. Here one process has all of it, nothing is downloaded and
nothing is run, and the parts talk to the API without a socket between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import ipaddress
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from headlessdns import config
from headlessdns.app import Application
from headlessdns.cluster import manifests
from headlessdns.cluster.documents import Raw, decode_raw
from headlessdns.config import Listen
from headlessdns.controller.run import Controller
from headlessdns.errors import Fault, HeadlessDNSError, InputError, ManifestError
from headlessdns.lab import applying
from headlessdns.lab.accounts import AccountController
from headlessdns.lab.api.http import EmbeddedApi
from headlessdns.lab.api.store import Event
from headlessdns.lab.applying import Applied
from headlessdns.lab.asking import Asker
from headlessdns.lab.disruption import DisruptionController
from headlessdns.lab.endpoints import EndpointController
from headlessdns.lab.expiry import expire_events
from headlessdns.lab.kubelet import Kubelet
from headlessdns.lab.state import StateFile
from headlessdns.lab.view import PODS, SETS, Change, View

START_S = 20.0  # for all parts to begin their work
_AGAIN_S = (0.03, 0.1, 0.3)  # after a change the DNS is asked again: what it says follows soon
_IDLE_S = 2.0
_NAME_S = 0.001  # for each name between two questions
_NAMES_AT_ONCE = 500  # more take turns
_NAMES_AT_REST = 20  # while nothing happens; the DNS is not to be busy with this
_GATHER_S = 0.05  # changes are told together: nobody reads what stood there for a millisecond
_LEAVING_S = 10.0  # for parts to end in order
# What names and addresses come from.
_MOVES_NAMES = frozenset({PODS, "services", "endpointslices.discovery.k8s.io", "namespaces", *SETS})
_CRD = "ordinalsets.yaml"
_OF_PROCESS = "process-"


class LabConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab is to be.

    Attributes:
        manifests: Files and folders to apply at the start; ``-`` is standard input, which is read by `Running()`.
        api: Where the API is served.
        dns: Where DNS is answered.
        kubeconfig: Where it is written; None chooses a place in a folder of the user's own.
        state: Where objects are kept; None keeps them in memory.
        nodes: How many nodes there are.
        pod_cidrs: Where pods have their addresses from.
        start_delay_s: How long a pod takes to start.
        ready_delay_s: How long it then takes to become ready.
        without: Parts that are left out: controller, endpoints, budgets, accounts, kubelet or dns.
    """

    manifests: tuple[str, ...] = ()
    api: Listen = Listen("127.0.0.1", 0)
    dns: Listen = Listen("127.0.0.1", 1053)
    kubeconfig: Path | None = None
    state: Path | None = None
    nodes: int = 3
    pod_cidrs: tuple[str, ...] = ("10.244.0.0/16",)
    start_delay_s: float = 0.5
    ready_delay_s: float = 0.5
    without: frozenset[str] = frozenset()


PARTS = ("controller", "endpoints", "budgets", "accounts", "kubelet", "dns")


class Running:
    """A lab, for as long as the context is open.

    Attributes:
        api: The API.
        dns: Where DNS is answered; None without it.
        kubeconfig: The file to reach the API with.
        applied: What became of the manifests.
        view: What there is to see.
        nodes: The names of the nodes.
        state: Where objects are kept; None where they are not.
    """

    api: EmbeddedApi
    applied: Applied
    kubeconfig: Path

    def __init__(self, config: LabConfig, on_change: Callable[[list[Change]], None] = lambda changes: None) -> None:
        """Prepare: read the manifests, which takes a while where they are large or typed by hand.

        Args:
            config: What it is to be.
            on_change: Is told what changes in what there is to see.
        """
        self._config = config
        self._wanted, self._faults = manifests.gather_raw(config.manifests)
        self._on_change = on_change
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[Any]] = []
        self._asker: Asker | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._leave = asyncio.Event()
        self._happened = asyncio.Event()
        self.dns: Listen | None = None
        self.view = View()
        self.state = config.state
        self.nodes = [f"node-{number}" for number in range(1, config.nodes + 1)]

    async def __aenter__(self) -> Running:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def until(self, leave: asyncio.Event) -> None:
        """Wait until *leave* is set. A part that ends before is a bug, and is raised."""
        leaving = asyncio.create_task(leave.wait())
        await asyncio.wait([leaving, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError(f"{task.get_name()} has ended")

    # Starting

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start all parts, then apply the manifests.

        Raises:
            HeadlessDNSError: Something of it cannot be; nothing is left behind.
        """
        if self._faults or self._config.state is not None:
            await self._rehearse()
        store = None
        if self._config.state is not None:
            store = stack.enter_context(StateFile(self._config.state)).store
        dns_config = _dns_config(self._config)
        self.api = await stack.enter_async_context(EmbeddedApi(*self._config.api, store=store))
        stack.push_async_callback(self._end)
        self._see_all()
        self.api.store.listeners.append(self._take)
        client = self.api.client("headlessdns-lab")
        await applying.apply(client, _own_definitions(), self.api.api.registry)
        started = self._start_parts(dns_config)
        self._write_kubeconfig(stack)
        self.applied = await applying.apply(client, self._wanted, self.api.api.registry)
        try:
            async with asyncio.timeout(START_S):
                await self._all_started(started)
        except TimeoutError as error:
            raise HeadlessDNSError(f"the lab has not started within {START_S:g} s; this machine is too busy") from error
        if self.dns is not None:
            self._asker = Asker(self.dns)
            await self._asker.open()
        self._run("the view", self._keep_looking())
        self._run("the end of events", expire_events(self.api.store))
        self._tell()

    async def _rehearse(self) -> None:
        """Find all faults of the manifests at once, before anything is kept.

        Raises:
            ManifestError: There are some.
        """
        faults = list(self._faults)
        api = EmbeddedApi()  # is never served
        client = api.client("headlessdns-lab")
        await applying.apply(client, _own_definitions(), api.api.registry)
        try:
            await applying.apply(client, self._wanted, api.api.registry)
        except ManifestError as error:
            faults += error.faults
        if faults:
            raise ManifestError(faults)

    async def _all_started(self, started: Sequence[asyncio.Event]) -> None:
        everything = asyncio.gather(*(event.wait() for event in started))
        try:
            await asyncio.wait([everything, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done():
                    task.result()
        finally:
            everything.cancel()
            await asyncio.gather(everything, return_exceptions=True)

    def _start_parts(self, dns_config: config.ServeConfig) -> list[asyncio.Event]:
        """Start what is wanted and return the events that tell when it works."""
        settings, started = self._config, []
        if "dns" not in settings.without:
            dns = _dns(dns_config, self.api)
            self.dns = Listen(*dns.addresses[0])
            self.api.api.dns_address = str(self.dns)
            self._run("the DNS", dns.run(self._leave))
            started.append(dns.answers)
        if "kubelet" not in settings.without:
            kubelet = Kubelet(
                self.api.client("kubelet"),
                nodes=self.nodes,
                pod_cidrs=settings.pod_cidrs,
                start_delay_s=settings.start_delay_s,
                ready_delay_s=settings.ready_delay_s,
            )
            self._run("the pretend kubelet", kubelet.run())
            started.append(kubelet.started)
        if "endpoints" not in settings.without:
            endpoints = EndpointController(self.api.client("endpointslice-controller"))
            self._run("the slices", endpoints.run())
            started.append(endpoints.started)
        if "budgets" not in settings.without:
            budgets = DisruptionController(self.api.client("disruption-controller"))
            self._run("the budgets", budgets.run())
            started.append(budgets.started)
        if "accounts" not in settings.without:
            accounts = AccountController(self.api.client("serviceaccount-controller"), self.api.authority.decode())
            self._run("the accounts", accounts.run())
            started.append(accounts.started)
        if "controller" not in settings.without:
            controller = Controller(self.api.client("headlessdns-controller"), qps=0)
            self._run("the controller", controller.run(self._leave))
        return started

    def _run(self, name: str, part: Coroutine[Any, Any, object]) -> None:
        self._tasks.append(asyncio.create_task(part, name=name))

    async def _end(self) -> None:
        """End all parts: those that leave in order do so, the others are cancelled."""
        self._leave.set()
        if self._telling is not None:
            self._telling.cancel()
        in_order = [task for task in self._tasks if task.get_name() in ("the DNS", "the controller")]
        for task in self._tasks:
            if task not in in_order:
                task.cancel()
        if in_order:
            _, late = await asyncio.wait(in_order, timeout=_LEAVING_S)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._asker is not None:
            self._asker.close()

    def _write_kubeconfig(self, stack: contextlib.AsyncExitStack) -> None:
        stack.callback(self._remove_kubeconfig)
        path = self._config.kubeconfig or _own_folder() / f"{_name_of(self._config)}.kubeconfig"
        _check_free(path)
        try:
            try:
                self.api.write_kubeconfig(path)
            except FileNotFoundError:
                if self._config.kubeconfig is not None:
                    raise
                _own_folder()  # another lab has ended this moment, and has removed it
                self.api.write_kubeconfig(path)
        except OSError as error:
            fault = Fault(f"--kubeconfig {path}", error.strerror or str(error), "a place to write to", "choose another")
            raise InputError([fault]) from error
        self.kubeconfig = path.absolute()

    def _remove_kubeconfig(self) -> None:
        path: Path | None = getattr(self, "kubeconfig", None)
        with contextlib.suppress(OSError, ValueError):
            if path is not None and self.api.token in path.read_text():  # else another lab has written there since
                path.unlink()
        if self._config.kubeconfig is None:
            with contextlib.suppress(OSError, HeadlessDNSError):
                _own_folder().rmdir()  # where no other lab is

    # What there is to see

    def _see_all(self) -> None:
        for resource in (*SETS, PODS):
            for entry in self.api.store.entries(resource):
                self.view.take(resource, "ADDED", entry.object)

    def _take(self, resource: str, event: Event) -> None:
        if resource in SETS or resource == PODS:
            self.view.take(resource, event.type, event.entry.object)
            self._tell_soon()
        if resource in _MOVES_NAMES:
            self._happened.set()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_GATHER_S, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if changes := self.view.changes(time.time()):
            self._on_change(changes)

    async def _keep_looking(self) -> None:
        """Ask for the names of all rows: soon after each change, and now and then."""
        with_ipv6 = any(ipaddress.ip_network(one, strict=False).version == 6 for one in self._config.pod_cidrs)
        pauses, position = list(_AGAIN_S), 0
        while True:
            names = self.view.names() if self._asker is not None else []
            some, position = _turn(names, position, _NAMES_AT_ONCE if pauses else _NAMES_AT_REST)
            if self._asker is not None:
                for name, answer in (await self._asker.ask(some, with_ipv6=with_ipv6)).items():
                    self.view.answered(name, answer)
            self._tell()
            if pauses:
                # Where there are many names, asking is not to be most of what the lab does.
                await asyncio.sleep(max(pauses.pop(0), _NAME_S * len(names)))
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._happened.wait(), _IDLE_S)
            if self._happened.is_set():
                self._happened.clear()
                pauses = [*_AGAIN_S, *(_AGAIN_S[-1:] * (len(names) // _NAMES_AT_ONCE))]  # all have their turn


def _turn(names: Sequence[str], position: int, count: int) -> tuple[Sequence[str], int]:
    """Return the next *count* of *names* from *position* on, in a circle, and where to go on."""
    if len(names) <= count:
        return names, 0
    position %= len(names)
    return [*names, *names][position : position + count], position + count


def _dns(settings: config.ServeConfig, api: EmbeddedApi) -> Application:
    try:
        return Application(settings, api.client("headlessdns-dns"))
    except HeadlessDNSError as error:
        raise HeadlessDNSError(str(error).replace("--listen", "--dns")) from error


def _dns_config(settings: LabConfig) -> config.ServeConfig:
    """Return the settings of the DNS server: those of a cluster, at the lab's address."""
    flags: Mapping[str, object] = {
        "kubeconfig": "the lab's own",
        "listen": (str(settings.dns),),
        "http": "off",
        "workers": "1",
        "lameduck_s": "0",
    }
    return config.load(flags, {}, hostname="lab")


def _own_definitions() -> list[Raw]:
    """Return the definition of OrdinalSets: beside this file in a wheel, in ``deploy/crd`` of a clone."""
    packed = importlib.resources.files("headlessdns.lab") / _CRD
    file = packed if packed.is_file() else Path(__file__).parents[2] / "deploy" / "crd" / _CRD
    found, faults = decode_raw(file.read_bytes(), _CRD)
    assert not faults
    return found


def _own_folder() -> Path:
    """Return the folder for kubeconfigs of this user, which no other can look into.

    Raises:
        HeadlessDNSError: It cannot be made, or somebody else has made it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    remedy = "say where to write with --kubeconfig FILE"
    try:
        base = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
        folder = base / f"headlessdns-lab-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise HeadlessDNSError(f"no folder for the kubeconfig can be made: {error.strerror}; {remedy}") from error
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or not stat.S_ISDIR(status.st_mode):
        raise HeadlessDNSError(f"{folder} is not a folder of this user alone; {remedy}")
    _sweep(folder)
    return folder


def _name_of(settings: LabConfig) -> str:
    """Return a name that no other lab of now has, the same at the next start where the DNS port is chosen."""
    host, port = settings.dns
    if "dns" in settings.without or not port:
        return f"{_OF_PROCESS}{os.getpid()}"
    return str(port) if host == "127.0.0.1" else f"{host.replace(':', '_')}-{port}"


def _sweep(folder: Path) -> None:
    """Remove what labs have left that were killed; the others are overwritten by the next one at their port."""
    for path in folder.glob(f"{_OF_PROCESS}*.kubeconfig"):
        with contextlib.suppress(OSError, ValueError):
            try:
                os.kill(int(path.stem.removeprefix(_OF_PROCESS)), 0)
            except ProcessLookupError:
                path.unlink()


def _check_free(path: Path) -> None:
    """Refuse a file that is not a kubeconfig of a lab: it would be lost.

    Raises:
        InputError: There is one.
    """
    where = f"--kubeconfig {path}"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # to read it might never end
            found = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise InputError([Fault(where, found, "no file yet", "choose another")])
        text = path.read_text()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Fault(where, "a file that cannot be read", "no file yet", "choose another")]) from error
    try:
        is_ours = [one["name"] for one in json.loads(text)["clusters"]] == ["lab"]
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if text.strip() and not is_ours:
        found = "a file that no lab has written, which would be lost"
        raise InputError([Fault(where, found, "no file yet, or one of an earlier lab", "choose another")])
