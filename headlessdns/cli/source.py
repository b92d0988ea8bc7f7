"""Answers straight from manifests or a cluster, without a server, and where each record came from.

I/O: reads files, or lists a cluster once; then it answers as a worker of the server would.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headlessdns import names
from headlessdns.app import Pipeline, settings_of
from headlessdns.cli import display
from headlessdns.cli.display import Response
from headlessdns.cluster import manifests
from headlessdns.cluster.objects import Event, Key, ObjectRef, StatefulSet
from headlessdns.config import ServeConfig
from headlessdns.errors import ClusterError
from headlessdns.names import CanonicalName
from headlessdns.records.rrset import Type
from headlessdns.records.rules import PodNames
from headlessdns.wire.answers import Table
from headlessdns.wire.respond import Client, Identity, respond

if TYPE_CHECKING:
    from headlessdns.cluster.reflector import Reflector

_OF_THE_ZONE = frozenset({Type.SOA, Type.TXT})  # the server's own, whose data differs from replica to replica
LIST_S = 30.0  # within which a cluster has to be listed
_ORDINAL = re.compile(r"(.+)-(0|[1-9][0-9]{0,9})\Z")
_NOBODY = Client(b"\x7f\x00\x00\x01", is_stream=True)


class Source:
    """What a server with these settings would answer now.

    Attributes:
        description: Where it is from, for a person.
    """

    def __init__(self, config: ServeConfig) -> None:
        """Read or list everything.

        Raises:
            HeadlessDNSError: It cannot be had; the text says what to do.
        """
        settings = settings_of(config, [(listen.host, listen.port) for listen in config.listen])
        self._pipeline = Pipeline(config, settings, 0)
        self._places: dict[tuple[str, Key], str] = {}
        if config.manifests:
            self.description = ", ".join(map(str, config.manifests))
            self._read(config)
        else:
            self.description = asyncio.run(_list(config, self._pipeline))
        self._table = Table()
        delta = self._pipeline.step(time.time())
        assert delta is not None  # the first step always says something
        self._table.apply(delta)

    def _read(self, config: ServeConfig) -> None:
        found = manifests.read(config.manifests, namespaces=config.namespaces, label_selector=config.label_selector)
        for event in found.events():
            self._pipeline.take(event)
        self._places = {(kind.value, key): place for (kind, key), place in found.sources.items()}

    def answer(self, query: bytes) -> bytes:
        """Return the response to *query*, a well-formed message; nothing is cut, as over TCP."""
        response = respond(query, self._table, Identity(), _NOBODY, int(time.time()))
        assert isinstance(response, bytes)  # a query gets a response, and without a resolver at once
        return response

    def origins(self, response: Response, *, is_ours: bool = True) -> Iterator[str]:
        """Yield lines that say which object each record of *response* came from.

        Args:
            response: What was answered.
            is_ours: By this source; records of others may be unknown here, and a line says so.
        """
        shown: dict[tuple[CanonicalName, int], set[str]] = {}
        for section in ("ANSWER", "ADDITIONAL"):
            for record in response.sections[section]:
                shown.setdefault((record.owner, record.type), set()).add(record.rdata)
        for (owner, type), rdatas in shown.items():
            yield from self._rrset_origins(owner, type, rdatas, is_ours)

    def _rrset_origins(self, owner: CanonicalName, type: int, rdatas: set[str], is_ours: bool) -> Iterator[str]:
        title = f"; {names.to_text(owner)} {display.type_name(type)}"
        rrset = next((rrset for key, rrset in self._pipeline.zones.rrsets(owner).items() if key == type), None)
        origins: dict[str, ObjectRef] = {}
        if rrset is not None:
            texts = [display.rdata_text(type, rdata) for rdata in rrset.rdatas]
            origins = dict(zip(texts, rrset.origins, strict=True))
        is_whole = is_ours or type in _OF_THE_ZONE or rdatas <= origins.keys()
        if is_whole and len(set(origins.values())) == 1:
            yield f"{title}: {self._place(next(iter(origins.values())))}"
            return
        for text, origin in origins.items():
            if text in rdatas:
                yield f"{title} {text}: {self._place(origin)}"
        if not is_ours:
            for text in sorted(rdatas - origins.keys()):
                yield f"{title} {text}: unknown, {self.description} has nothing that gives it"

    def _place(self, origin: ObjectRef) -> str:
        place = self._places.get((origin.kind, Key(origin.namespace, origin.name)))
        return f"{origin} ({place})" if place else str(origin)

    def stateful_set(self, qname: CanonicalName) -> str:
        """Return a line about the StatefulSet that the pod *qname* would be of; empty where there is none."""
        svc = self._pipeline.zones.settings.svc
        if not names.is_at_or_below(qname, svc):
            return ""
        labels = names.split(qname)[: -len(names.split(svc))]
        pod = _ORDINAL.match(labels[0].decode("ascii", "replace")) if len(labels) == 3 else None
        if pod is None:
            return ""
        key = Key(labels[2].decode("ascii", "replace"), pod[1])
        found = self._pipeline.snapshot.stateful_sets.get(key)
        return _ordinals_line(found, int(pod[2])) if found else ""


def _ordinals_line(stateful_set: StatefulSet, ordinal: int) -> str:
    spec = stateful_set.spec
    start = spec.ordinals.start if spec.ordinals else 0
    replicas = 1 if spec.replicas is None else spec.replicas
    ordinals = f"ordinals {start} to {start + replicas - 1}" if replicas else "no ordinals, replicas is 0"
    outside = "" if start <= ordinal < start + replicas or not replicas else f", {ordinal} is not one of them"
    service = f", serviceName {spec.service_name}" if spec.service_name else ""
    return f";; StatefulSet {stateful_set.metadata.key}: {ordinals}{outside}{service}"


async def _list(config: ServeConfig, pipeline: Pipeline) -> str:
    """List the cluster once into *pipeline*, and return the API server's address.

    Raises:
        ClusterError: It cannot be reached, or not everything came in time.
    """
    from headlessdns.cluster.client import connect  # the kubernetes package costs 0.3 s; manifests do without
    from headlessdns.cluster.reflector import Reflector

    news = asyncio.Event()

    def take(events: list[Event]) -> None:
        for event in events:
            pipeline.take(event)
        news.set()

    client = await connect(config.kubeconfig, config.context)
    try:
        reflector = Reflector(
            client,
            take,
            namespaces=config.namespaces,
            label_selector=config.label_selector,
            pods=config.pods is PodNames.VERIFIED,
            endpoints=config.endpoints,
        )
        watching = asyncio.create_task(reflector.run())
        try:
            async with asyncio.timeout(LIST_S):
                while not _is_complete(reflector):
                    await news.wait()
                    news.clear()
        except TimeoutError:
            raise ClusterError(_incomplete(client.host, reflector)) from None
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    finally:
        await client.close()
    return client.host


def _is_complete(reflector: Reflector) -> bool:
    """Tell whether every watch has what it can have; there is none before the reflector runs."""
    return bool(reflector.statuses) and all(status.listed or status.forbidden for status in reflector.statuses)


def _incomplete(host: str, reflector: Reflector) -> str:
    missing = [
        f"{status.kind.value}s{f' ({status.last_error})' if status.last_error else ''}"
        for status in reflector.statuses
        if not (status.listed or status.forbidden)
    ]
    return f"{host}: not listed within {LIST_S:g} s: {', '.join(missing)}; try again"
