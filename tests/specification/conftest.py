"""How the rows of this folder are asked: of the table in memory and of a running server, over UDP and TCP, with EDNS
and without."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.specification.rows import DEFAULT, Asker, Pure, Running, Zone

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRANSPORTS = ("pure-udp", "pure-tcp", "udp", "tcp")


@pytest.fixture(scope="module")
def zone(request: pytest.FixtureRequest) -> Zone:
    """What the module's server is started with: its ``ZONE``."""
    return getattr(request.module, "ZONE", DEFAULT)


@pytest.fixture(scope="module")
def pure(zone: Zone) -> Pure:
    return Pure(zone)


@pytest.fixture(scope="module")
def running(zone: Zone) -> Iterator[Running]:
    with ExitStack() as stack:
        server = Running(zone)
        stack.callback(server.close)
        yield server


@pytest.fixture(params=_TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[pytest.param(False, id="plain"), pytest.param(True, id="edns")])
def edns(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def asker(request: pytest.FixtureRequest, zone: Zone, transport: str, edns: bool) -> Asker:
    """How this test asks."""
    where = "pure" if transport.startswith("pure") else "running"
    return Asker(request.getfixturevalue(where), zone, transport.endswith("tcp"), edns)
