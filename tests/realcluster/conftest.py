"""A control plane without controllers, for tests in which nobody else may write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.realcluster.cluster import RealCluster


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[RealCluster]:
    """An API server that only answers: nothing is collected, filled in or scheduled behind its back."""
    try:
        cluster = RealCluster(controllers=())
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with cluster:
        yield cluster
