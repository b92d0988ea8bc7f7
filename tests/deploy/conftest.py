"""The programs that the tests of this folder run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.peers import PeerMissingError, find

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """Return the path of a real program by its name; where there is none the test is skipped."""

    def program(name: str) -> Path:
        try:
            return find(name)
        except PeerMissingError as error:
            pytest.skip(str(error))

    return program
