"""A lab as a pytest fixture; installed with headlessdns, it is there in every test suite. I/O: through `Lab`.

Every test suite of a machine with headlessdns imports this, whether it uses it or not: so it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headlessdns.lab.client import Lab

MARKER = "headlessdns_lab"
SCOPE = "headlessdns_lab_scope"
SCOPES = ("function", "class", "module", "package", "session")
MANIFESTS = "headlessdns_lab_manifests"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what an ini file can say."""
    parser.addini(MANIFESTS, "Manifests that each headlessdns_lab begins with.", type="paths", default=[])
    parser.addini(SCOPE, f"How long a headlessdns_lab lives: {', '.join(SCOPES)}.", default="function")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and refuse a scope that is none.

    Raises:
        pytest.UsageError: It is none.
    """
    text = f"{MARKER}(*manifests, **options): what the fixture headlessdns_lab begins with; see headlessdns.lab.Lab"
    config.addinivalue_line("markers", text)
    scope = config.getini(SCOPE)
    if scope not in SCOPES:
        raise pytest.UsageError(f"{SCOPE}: found {scope!r}; expected one of {', '.join(SCOPES)}")


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    return config.getini(SCOPE)


@pytest.fixture(scope=_scope)
def headlessdns_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A cluster without containers: Kubernetes API, StatefulSet controller and DNS, each test its own.

    Paths of a marker are relative to the file of the test.
    """
    from headlessdns.errors import HeadlessDNSError
    from headlessdns.lab import Lab

    marker = request.node.get_closest_marker(MARKER)
    manifests: list[Any] = list(request.config.getini(MANIFESTS))
    options: dict[str, Any] = {}
    if marker is not None:
        folder = request.node.path.parent
        manifests += [folder / one if isinstance(one, str) else one for one in marker.args]
        options = marker.kwargs
    try:
        lab = Lab(manifests, **options)
    except (TypeError, ValueError, AttributeError) as error:
        pytest.fail(f"the marker {MARKER} cannot be used: {error}", pytrace=False)
    try:
        lab.__enter__()
    except HeadlessDNSError as error:  # what is wrong is in the manifests and options, not in this code
        pytest.fail(str(error), pytrace=False)
    try:
        yield lab
    finally:
        lab.__exit__(None, None, None)
