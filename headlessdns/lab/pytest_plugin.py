"""A lab as a pytest fixture; installed with headlessdns, it is there in every test suite. I/O: through `Lab`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headlessdns.lab.client import Lab

MARKER = "headlessdns_lab"
SCOPE = "headlessdns_lab_scope"
MANIFESTS = "headlessdns_lab_manifests"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what an ini file can say."""
    parser.addini(MANIFESTS, "Manifests that each headlessdns_lab begins with.", type="paths", default=[])
    parser.addini(
        SCOPE, "How long a headlessdns_lab lives: function, class, module, package or session.", default="function"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    text = f"{MARKER}(*manifests, **options): what the fixture headlessdns_lab begins with; see headlessdns.lab.Lab"
    config.addinivalue_line("markers", text)


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    return config.getini(SCOPE)


@pytest.fixture(scope=_scope)
def headlessdns_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A cluster without containers: Kubernetes API, StatefulSet controller and DNS, each test its own.

    Paths of a marker are relative to the file of the test.
    """
    from headlessdns.lab import Lab

    marker = request.node.get_closest_marker(MARKER)
    manifests: list[Any] = list(request.config.getini(MANIFESTS))
    options: dict[str, Any] = {}
    if marker is not None:
        folder = request.node.path.parent
        manifests += [folder / one if isinstance(one, str) else one for one in marker.args]
        options = marker.kwargs
    with Lab(manifests, **options) as lab:
        yield lab
