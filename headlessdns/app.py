"""The wiring of ``headlessdns serve``: sources -> snapshot -> zones -> composed answers -> workers.

One asyncio program. Events that come together are one step; what a step changed is composed and sent to the workers as
one frame. A query never comes here. I/O: through the parts that it wires.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headlessdns import __version__, names
from headlessdns.cluster.objects import Event, Kind, ObjectRef
from headlessdns.cluster.snapshot import Snapshot, Touched
from headlessdns.config import ServeConfig
from headlessdns.errors import ConfigError, Fault
from headlessdns.names import CanonicalName
from headlessdns.records import derive, rules
from headlessdns.records.derive import Deriver
from headlessdns.records.rrset import Type
from headlessdns.records.rules import PodNames, Settings
from headlessdns.records.zone import Zones
from headlessdns.server import sockets
from headlessdns.server.framing import Setup
from headlessdns.server.supervisor import Supervisor
from headlessdns.wire.answers import Delta, State
from headlessdns.wire.compose import Composer
from headlessdns.wire.edns import SECRET_OCTETS
from headlessdns.wire.respond import Identity

log = logging.getLogger(__name__)

_CHUNK_NAMES = 2000  # of a whole table, so that a worker that loads one still reports
_OWN_SOURCE = ObjectRef("Zone", "", "")
_SERIALS_AHEAD = 3600  # reserved at a time, so that the file is not written at every change


class Pipeline:
    """Everything between an event and a frame for the workers. Holds state, does no I/O.

    Attributes:
        snapshot: What the API says.
        zones: What the DNS is to say.
        changed_s: Unix time of the last step that changed a record; 0 before the first.
    """

    def __init__(self, config: ServeConfig, settings: Settings, serial: int) -> None:
        self.snapshot = Snapshot(config.namespaces)
        self.zones = Zones(settings, serial)
        self.changed_s = 0.0
        self.is_stale = False
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
        self._touched.update(self.snapshot.apply(event))

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
        """Return a name to try: an endpoint with a host name of a headless Service."""
        for key in sorted(self.snapshot.services):
            if not rules.is_headless(self.snapshot.services[key]):
                continue
            for slice in self.snapshot.slices(key):
                for endpoint in slice.endpoints or ():
                    name = names.below(self.zones.settings.svc, endpoint.hostname or "-", key.name, key.namespace)
                    if self.zones.rrsets(name):
                        return name
        return None
