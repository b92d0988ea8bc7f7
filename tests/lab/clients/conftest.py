"""A lab for each module, and in it a kubectl of each version with a namespace of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.lab.clients.running import Kubectl, RunningLab
from tests.peers import PeerMissingError
from tests.peers.kubectls import kubectl as find_kubectl

OLDEST, NEWEST = "1.29", "1.36"
SET = {
    "metadata": {"name": "web"},
    "spec": {
        "serviceName": "nginx",
        "replicas": 2,
        "selector": {"matchLabels": {"app": "nginx"}},
        "template": {
            "metadata": {"labels": {"app": "nginx"}},
            "spec": {"containers": [{"name": "nginx", "image": "nginx:1.29"}]},
        },
    },
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """A whole lab without DNS."""
    with RunningLab() as running:
        yield running


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def any_kubectl(request: pytest.FixtureRequest, lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl whose cache of discovery outlives a test."""
    try:
        program = find_kubectl(request.param)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    home: Path = tmp_path_factory.mktemp("home")
    return Kubectl(program, lab, home)


@pytest.fixture
def kubectl(any_kubectl: Kubectl) -> Kubectl:
    """The same in a namespace of the test's own."""
    namespace = f"test-{next(_numbers)}"
    any_kubectl.lab.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    return any_kubectl.within(namespace)


@pytest.fixture(scope="module")
def filled(any_kubectl: Kubectl) -> Kubectl:
    """A kubectl in a namespace in which the pods web-0 and web-1 run; only for tests that change nothing."""
    lab, namespace = any_kubectl.lab, f"filled-{next(_numbers)}"
    lab.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    lab.create(f"/apis/apps/v1/namespaces/{namespace}/statefulsets", SET)
    lab.wait_ready(2, namespace=namespace)
    return any_kubectl.within(namespace)
