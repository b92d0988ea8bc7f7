"""The wiring of ``headlessdns serve``: sources -> snapshot -> zones -> composed answers -> workers.

One asyncio program. Events that come together are one step; what a step changed is composed and sent to the workers as
one frame. A query never comes here. I/O: through the parts that it wires.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headlessdns import __version__, names
from headlessdns.cluster import manifests
from headlessdns.cluster.objects import EndpointSlice, Event, Kind, ObjectRef, Put
from headlessdns.cluster.snapshot import Snapshot, Touched
from headlessdns.cluster.watch import STALE_S, WatchStatus, is_stale
from headlessdns.config import ServeConfig
from headlessdns.errors import ConfigError, Fault
from headlessdns.metrics.collector import Facts, KindFacts, ZoneFacts
from headlessdns.metrics.programming import ProgrammingTimes
from headlessdns.names import CanonicalName
from headlessdns.records import derive, rules
from headlessdns.records.derive import Deriver
from headlessdns.records.rules import PodNames, Settings
from headlessdns.records.zone import Zones
from headlessdns.server import sockets
from headlessdns.server.framing import Setup
from headlessdns.server.mmsg import IS_AVAILABLE
from headlessdns.server.supervisor import Supervisor
from headlessdns.wire.answers import Delta, State
from headlessdns.wire.compose import Composer
from headlessdns.wire.edns import SECRET_OCTETS
from headlessdns.wire.respond import Identity

if TYPE_CHECKING:
    from headlessdns.cluster.follow import Api
    from headlessdns.server.outage import Outage

log = logging.getLogger(__name__)

_CHUNK_NAMES = 2000  # of a whole table, so that a worker that loads one still reports
_OWN_SOURCE = ObjectRef("Zone", "", "")
_REQUIRED = "Services and EndpointSlices"
_FIRST_ANSWER_S = 10.0
_STALE_CHECK_S = 1.0
_MAX_SERIAL = 2**32 - 1  # RFC 1982 §2
_SERIALS_AHEAD = 3600  # reserved at a time, so that the file is not written at every change


class Pipeline:
    """Everything between an event and a frame for the workers. Holds state, does no I/O.

    Attributes:
        snapshot: What the API says.
        zones: What the DNS is to say.
        changed_s: Unix time of the last step that changed a record; 0 before the first.
        is_stale: The API has been silent for too long; set from outside.
        programming: How long changes took from the cluster to the workers.
    """

    def __init__(self, config: ServeConfig, settings: Settings, serial: int) -> None:
        self.snapshot = Snapshot(config.namespaces)
        self.zones = Zones(settings, serial)
        self.changed_s = 0.0
        self.is_stale = False
        self.programming = ProgrammingTimes()
        self._triggers: list[EndpointSlice] = []
        self._own_service = config.service
        self._fixed_addresses = settings.ns_addresses
        self._own_addresses = settings.ns_addresses
        self._deriver = Deriver(self.snapshot, self.zones)
        self._composer = Composer(self.zones)
        self._touched = Touched()
        self._state: State | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the required kinds are listed, so that what is not there may be denied."""
        return self._deriver.is_ready()

    def take(self, event: Event) -> None:
        """Take in one event; `step` makes answers of it."""
        touched = self.snapshot.apply(event)
        self._touched.update(touched)
        if touched.services and isinstance(event, Put) and isinstance(event.object, EndpointSlice):
            self._triggers.append(event.object)

    def observe_programming(self, now_s: float) -> None:
        """Count how long the changes took that are out now."""
        for slice in self._triggers:
            service = self.snapshot.services.get(slice.service)
            annotations = slice.metadata.annotations
            if service is not None and annotations is not None:
                # Only the controller of Services with a selector writes the annotation.
                kind = "headless_with_selector" if rules.is_headless(service) else "cluster_ip"
                self.programming.observe(kind, annotations.last_change_trigger_time, now_s)
        self._triggers.clear()

    def step(self, now_s: float) -> Delta | None:
        """Return what changed for the workers since the last step, or None.

        Args:
            now_s: Unix time.
        """
        touched, self._touched = self._touched, Touched()
        self._deriver.update(touched)
        self._update_own_addresses()
        commit = self.zones.commit(now_s)
        if commit.changes:
            self.changed_s = now_s
        state = self._compose_state()
        if not commit.names and state == self._state:
            return None
        self._state = state
        return self._composer.delta(state, commit.names)

    def _update_own_addresses(self) -> None:
        if self._fixed_addresses or self._own_service is None:
            return
        addresses = derive.own_addresses(self.snapshot, self._own_service)
        if addresses and addresses != self._own_addresses:
            self._own_addresses = addresses
            settings = msgspec.structs.replace(self.zones.settings, ns_addresses=addresses)
            self.zones.set(_OWN_SOURCE, rules.server_rrsets(settings), rules.fixed_nodes(settings))

    def _compose_state(self) -> State:
        settings = self._deriver.settings
        pending, pending_children = self._deriver.pending()
        return State(
            self._composer.apexes(),
            self._deriver.is_ready(),
            self.is_stale,
            pending,
            pending_children,
            settings.pod if settings.pods is PodNames.INSECURE else b"",
            settings.endpoint_ttl_s,
        )

    def whole_table(self) -> Iterator[Delta]:
        """Yield the whole table as it is now, in parts."""
        assert self._state is not None  # a step comes before the workers
        every = self.zones.all_names()
        while chunk := list(itertools.islice(every, _CHUNK_NAMES)):
            yield self._composer.delta(self._state, chunk, with_borrowers=False)

    def example_name(self) -> CanonicalName | None:
        """Return a name to try: the shortest of the endpoints with a host name, since a person will type it."""
        found = [
            name
            for key, service in self.snapshot.services.items()
            if rules.is_headless(service)
            for slice in self.snapshot.slices(key)
            for endpoint in slice.endpoints or ()
            if endpoint.hostname and names.is_dns_label(endpoint.hostname)
            if self.zones.rrsets(
                name := names.below(self.zones.settings.svc, endpoint.hostname, key.name, key.namespace)
            )
        ]
        return min(found, key=lambda name: (len(name), name), default=None)


class Application:
    """A running server.

    Attributes:
        pipeline: From events to frames.
        supervisor: The workers.
        answers: Set once the workers answer.
        is_leaving: SIGTERM has come; answers go on for the lameduck time.
    """

    def __init__(self, config: ServeConfig, api: Api | None = None) -> None:
        """Bind, and read manifests, so that what is wrong shows before anything runs.

        Args:
            config: The settings.
            api: The API server where the program has one itself; else *config* says which.

        Raises:
            HeadlessDNSError: The server cannot start; the text says what to do.
        """
        self._config = config
        self._api = api
        self.answers = asyncio.Event()
        self._serials = SerialFile(config.serial_file)
        self._identity = _identity(config)
        self._manifests = None
        if config.manifests:
            self._manifests = manifests.read(
                config.manifests, namespaces=config.namespaces, label_selector=config.label_selector
            )
        self._listeners = sockets.bind_listeners(config.listen)
        self.addresses = [
            (listen.host, listener.getsockname()[1])
            for listen, listener in zip(config.listen, self._listeners, strict=True)
        ]
        self.pipeline = Pipeline(config, settings_of(config, self.addresses), self._serials.read())
        setup = Setup(self._identity, tuple(self.addresses), (), config.resolver)
        workers = config.workers if IS_AVAILABLE else 1
        self.supervisor = Supervisor(setup, self._listeners, workers, self.pipeline.whole_table)
        self.is_leaving = False
        self._outage: Outage | None = None
        if config.resolver is not None:
            from headlessdns.server.outage import Outage  # it needs dnslib

            self._outage = Outage(str(config.resolver))
        self._statuses: list[WatchStatus] = []
        self._flush: asyncio.Handle | None = None

    def take(self, event: Event) -> None:
        """Take in one event; all that come before the loop is free again are one step."""
        self.pipeline.take(event)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self._step)

    def _step(self) -> None:
        self._flush = None
        was_ready = self.pipeline.is_ready
        delta = self.pipeline.step(time.time())
        if delta is not None:
            self.supervisor.publish(delta)
            self._serials.reserve(max(self.pipeline.zones.serials.values()))
        self.pipeline.observe_programming(time.time())
        if self.pipeline.is_ready and not was_ready:
            gc.freeze()  # what the first lists brought stays; the collector need not walk it again and again
            log.info("ready: %s are listed", _REQUIRED)

    async def run(self, leave: asyncio.Event | None = None) -> int:
        """Serve until *leave* is set, and return the exit code.

        Without one, SIGTERM and SIGINT set it. They are handled here from when there are workers; before that nothing
        has to be ended in order.
        """
        takes_signals = leave is None
        leave = leave or asyncio.Event()
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            for listener in self._listeners:
                stack.callback(listener.close)
            http_url = await stack.enter_async_context(self._http())
            sources = await self._start_sources(stack)
            stack.push_async_callback(_cancel, sources)
            for number in (signal.SIGTERM, signal.SIGINT) if takes_signals else ():
                loop.add_signal_handler(number, leave.set)
            stack.push_async_callback(self.supervisor.stop)
            await self.supervisor.start()
            await self._first_answer(leave)
            self.answers.set()
            if not leave.is_set():
                self._say_hello(http_url)
            await self._until(leave, sources)
            self.is_leaving = True
            # Whoever was never ready was never asked either.
            lameduck_s = self._config.lameduck_s if self.pipeline.is_ready else 0.0
            log.info("leaving: not ready any more, answering on for %g s", lameduck_s)
            if lameduck_s:
                leave.clear()
                with contextlib.suppress(TimeoutError):  # a second signal cuts the wait short
                    await asyncio.wait_for(leave.wait(), lameduck_s)
        return 0

    async def _first_answer(self, leave: asyncio.Event) -> None:
        """Wait until every worker answers, for so long and unless we are to *leave*."""
        waits = [
            asyncio.create_task(self.supervisor.wait_complete(_FIRST_ANSWER_S)),
            asyncio.create_task(leave.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(waits)
        if not (leave.is_set() or self.supervisor.is_complete()):
            log.warning("not every worker answers after %g s; going on with those that do", _FIRST_ANSWER_S)

    @contextlib.asynccontextmanager
    async def _http(self) -> AsyncIterator[str]:
        """Serve metrics and health for as long as the context is open; yields the address, or nothing."""
        if self._config.http is None:
            yield ""
            return
        from headlessdns.metrics import http  # aiohttp costs 0.1 s; it is not needed without

        async with http.serve(self._config.http, http.pages_of_server(self.facts)) as url:
            yield url

    def facts(self) -> Facts:
        """Return the present state, for whoever asks over HTTP."""
        pipeline, zones = self.pipeline, self.pipeline.zones
        return Facts(
            version=__version__,
            not_ready=self._not_ready(),
            is_stale=pipeline.is_stale,
            reports=self.supervisor.reports(),
            zones=tuple(
                ZoneFacts(
                    names.to_text(apex),
                    zones.serials[apex],
                    zones.digest(apex),
                    zones.name_counts[apex],
                    zones.record_counts[apex],
                )
                for apex in zones.apexes
            ),
            kinds=tuple(self._kind_facts(kind, time.monotonic()) for kind in Kind),
            workers=self.supervisor.running(),
            worker_restarts=self.supervisor.restarts,
            changed_s=pipeline.changed_s,
            programming=pipeline.programming,
            broken_manifests=self._manifests.store.broken_count() if self._manifests else None,
        )

    def _kind_facts(self, kind: Kind, now_s: float) -> KindFacts:
        """Return what is known of *kind*; of several watches the one that was silent for longest counts."""
        statuses = [status for status in self._statuses if status.kind is kind]
        ages_s = [now_s - status.last_event_monotonic_s for status in statuses if status.last_event_monotonic_s]
        return KindFacts(
            kind.value,
            self.pipeline.snapshot.count(kind),
            max(ages_s, default=None),
            sum(status.restarts for status in statuses),
            any(status.forbidden for status in statuses),
        )

    def _not_ready(self) -> str:
        """Return why the server should get no queries, or nothing."""
        if self.is_leaving:
            return "leaving"
        if not self.pipeline.is_ready:
            return f"{_REQUIRED} are not listed yet"
        return "" if self.supervisor.running() else "no worker answers yet"

    async def _start_sources(self, stack: contextlib.AsyncExitStack) -> list[asyncio.Task[None]]:
        """Start what brings events, and take in those that are there already.

        Raises:
            ClusterError: The API server cannot be used.
        """
        config = self._config
        if self._manifests is not None:
            for event in self._manifests.events():
                self.pipeline.take(event)
            self._step()
            for line in self._manifests.warnings:
                log.warning("%s", line)
            watch = manifests.watch_manifests(config.manifests, self._take_all, since=self._manifests)
            return [asyncio.create_task(watch, name="manifests")]
        self._step()  # an empty table that says "not ready" is a table
        from headlessdns.cluster.reflector import Reflector
        from headlessdns.cluster.review import Reviewer

        api = self._api or await self._connect(stack)
        reviewer = Reviewer()

        def take(events: list[Event]) -> None:
            self._take_all(events)
            for line in reviewer.look(events):
                log.warning("%s", line)

        reflector = Reflector(
            api,
            take,
            namespaces=config.namespaces,
            label_selector=config.label_selector,
            pods=config.pods is PodNames.VERIFIED,
            endpoints=config.endpoints,
        )
        self._statuses = reflector.statuses
        return [asyncio.create_task(reflector.run(), name="the reflector")]

    async def _connect(self, stack: contextlib.AsyncExitStack) -> Api:
        from headlessdns.cluster.client import connect  # the kubernetes package costs 0.3 s; manifests do without

        # Inside a cluster an API server that is away comes back; until then SERVFAIL lets a forwarder look elsewhere.
        config = self._config
        client = await connect(config.kubeconfig, config.context, check=config.kubeconfig is not None)
        stack.push_async_callback(client.close)
        return client

    def _take_all(self, events: list[Event]) -> None:
        for event in events:
            self.take(event)

    async def _until(self, leave: asyncio.Event, sources: list[asyncio.Task[None]]) -> None:
        """Wait until *leave* is set. A source that ends is a bug, and is seen.

        Every second the age of the API's last word is looked at, and how the resolver is doing.
        """
        while not leave.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leave.wait(), _STALE_CHECK_S)
            self._note_staleness(time.monotonic())
            self._note_outage(time.monotonic())
            for source in sources:
                if source.done():
                    source.result()
                    raise AssertionError(f"{source.get_name()} has ended")

    def _note_staleness(self, now_s: float) -> None:
        """Tell the workers when the API falls silent, and when it speaks again."""
        is_now_stale = self.pipeline.is_ready and is_stale(self._statuses, now_s)
        if is_now_stale == self.pipeline.is_stale:
            return
        self.pipeline.is_stale = is_now_stale
        if is_now_stale:
            log.warning("stale: the API has been silent for %g s; answers go on from memory", STALE_S)
        else:
            log.info("the API speaks again; answers are up to date")
        self._step()

    def _note_outage(self, now_s: float) -> None:
        """Log when the resolver stops answering, and when it answers again."""
        if self._outage is None:
            return
        counts: Counter[str] = Counter()
        for report in self.supervisor.reports().values():
            counts.update(report.resolver)
        told = self._outage.note(counts, now_s)
        if told:
            log.log(logging.INFO if told.is_over else logging.WARNING, "%s", told.text)

    def _say_hello(self, http_url: str) -> None:
        """Tell a person what is served where, and what to try."""
        where = ", ".join(sockets.show(host, port) for host, port in self.addresses)
        zone = names.to_text(self.pipeline.zones.settings.zone).rstrip(".")
        so_far = "" if self.pipeline.is_ready else f", with SERVFAIL until {_REQUIRED} are listed"
        log.info("headlessdns %s answers %s on %s (UDP and TCP)%s", __version__, zone, where, so_far)
        if http_url:
            log.info("metrics and health on %s", http_url)
        if self._manifests is not None:
            skipped = sum(self._manifests.skipped.values())
            counts = ", ".join(
                _counted(self.pipeline.snapshot.count(kind), kind.value)
                for kind in (Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.POD)
            )
            were = "was" if skipped == 1 else "were"
            log.info("read %s; %s of other kinds %s skipped", counts, _counted(skipped, "object"), were)
        name = self.pipeline.example_name()
        if name is not None:
            host, port = self.addresses[0]
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            log.info("try: dig @%s -p %d %s", host, port, names.to_text(name).rstrip("."))


def settings_of(config: ServeConfig, addresses: list[tuple[str, int]]) -> Settings:
    """Return what *config* says about records.

    Args:
        config: The settings.
        addresses: Where the server listens; a concrete one is the name server's address where nothing else is known.
    """
    reverse = tuple(zone for network in config.reverse for zone in names.reverse_zones(network))
    own = config.ns_address
    if not own and config.service is None:
        own = tuple(dict.fromkeys(host for host, _ in addresses if not sockets.is_wildcard(host)))
    return Settings(
        zone=config.zone,
        reverse=tuple(dict.fromkeys(reverse)) or (names.IN_ADDR_ARPA, names.IP6_ARPA),
        pods=config.pods,
        endpoint_pod_names=config.endpoint_pod_names,
        endpoint_ttl_s=config.ttl_s,
        cluster_ip_ttl_s=config.cluster_ip_ttl_s,
        negative_ttl_s=config.negative_ttl_s,
        ns_name=config.ns_name or derive.default_ns_name(config.zone),
        ns_addresses=own,
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _identity(config: ServeConfig) -> Identity:
    return Identity(
        server_id=config.server_id,
        version=f"headlessdns {__version__}",
        is_chaos_on=config.chaos,
        cookie_secret=_cookie_secret(config.cookie_secret_file),
        has_resolver=config.resolver is not None,
    )


def _cookie_secret(path: Path | None) -> bytes:
    """Return the key of the cookies: from a file, so that replicas take each other's, else at random.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    if path is None:
        return secrets.token_bytes(SECRET_OCTETS)
    flag = "--cookie-secret-file"
    remedy = f"make one with: openssl rand -hex {SECRET_OCTETS} > {path}"
    try:
        octets = _read_small(flag, path)
    except FileNotFoundError as error:
        raise ConfigError([Fault(f"{flag} {path}", "no such file", "a file to read", remedy)]) from error
    if len(octets) == SECRET_OCTETS:
        return octets
    with contextlib.suppress(ValueError):
        decoded = bytes.fromhex(octets.decode("ascii", "replace"))
        if len(decoded) == SECRET_OCTETS:
            return decoded
    expected = f"{SECRET_OCTETS} octets, or {2 * SECRET_OCTETS} hexadecimal digits"
    found = f"{len(octets)} octets" if len(octets) < _SMALL_OCTETS else f"{_SMALL_OCTETS} octets or more"
    raise ConfigError([Fault(f"{flag} {path}", found, expected, remedy)])


_SMALL_OCTETS = 4096


def _read_small(flag: str, path: Path) -> bytes:
    """Return the beginning of the file *path* that *flag* names.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_SMALL_OCTETS)
    except FileNotFoundError:
        raise
    except OSError as error:
        if isinstance(error, IsADirectoryError):
            fault = Fault(f"{flag} {path}", "a folder", "a file", "name a file in it")
        else:
            remedy = "grant this user the right to read it, or name another file"
            fault = Fault(f"{flag} {path}", error.strerror or str(error), "a file to read", remedy)
        raise ConfigError([fault]) from error


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def run(config: ServeConfig) -> int:
    """Serve as *config* says and return the exit code.

    Raises:
        HeadlessDNSError: The server cannot start; the text says what to do.
    """
    gc.set_threshold(100_000, 20, 50)  # objects come in bulk and stay: the defaults would walk them over and over
    return asyncio.run(_run(config))


async def _run(config: ServeConfig) -> int:
    return await Application(config).run()


def _is_fifo(path: Path) -> bool:
    try:
        return path.is_fifo()
    except OSError:  # a folder above it may not be looked into, which opening it tells better
        return False


class SerialFile:
    """Remembers a serial that no earlier run has gone beyond, so that serials grow across restarts.

    The file holds a serial that is reserved ahead; without a file the clock alone has to do, which is enough for as
    long as zones change less than once a second on average.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._reserved = 0

    def read(self) -> int:
        """Return the reserved serial, 0 where there is none.

        Raises:
            ConfigError: The file cannot be read, or holds something else.
        """
        if self._path is None:
            return 0
        where = f"--serial-file {self._path}"
        if _is_fifo(self._path):  # to open it would be to wait for ever
            raise ConfigError([Fault(where, "a pipe", "a file", "name a file")])
        try:
            text = _read_small("--serial-file", self._path).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return 0
        if not text:
            return 0
        if not text.isdigit() or len(text) > len(str(_MAX_SERIAL)) or int(text) > _MAX_SERIAL:
            fault = Fault(where, json.dumps(text[:20]), f"one number, 0 to {_MAX_SERIAL}", "remove it to begin anew")
            raise ConfigError([fault])
        return int(text)

    def reserve(self, serial: int) -> None:
        """Make sure that *serial* is reserved; a disk that fails is logged, answers go on."""
        if self._path is None or serial < self._reserved:
            return
        self._reserved = serial + _SERIALS_AHEAD
        try:
            partial = self._path.with_name(self._path.name + ".new")
            partial.write_text(f"{self._reserved % 2**32}\n")
            partial.replace(self._path)
        except OSError as error:
            log.warning("cannot keep the serial in %s: %s; serials may go back after a restart", self._path, error)
