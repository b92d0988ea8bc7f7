"""What each way through the course begins with; `world` is the module's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conftest import skip_or_fail
from tests.lab.tutorials.course import LabCourse
from tests.lab.tutorials.stage import LabDNS, LabStage
from tests.peers import PeerMissingError
from tests.peers.kubectls import BUILT
from tests.reconcile.test_tutorials import UP_TO_TWO, namespace_of
from tests.reconcile.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

World = tuple[LabStage, Timeline, LabDNS]


@contextmanager
def opened(*, is_reference: bool = False, kubectl: str = BUILT) -> Iterator[World]:
    """Give a lab with a kubectl of that version, what becomes of its pods, and its DNS."""
    try:
        stage = LabStage(is_reference=is_reference, kubectl=kubectl)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with stage:
        timeline = Timeline(stage.cluster)
        yield stage, timeline, LabDNS(stage.cluster.lab)
    timeline.join()


@pytest.fixture(scope="module")
def course_class() -> type[LabCourse]:
    """By which means the course is taken."""
    return LabCourse


@pytest.fixture
def course(world: World, course_class: type[LabCourse], request: pytest.FixtureRequest) -> Iterator[LabCourse]:
    """A course in a namespace of its own, named after the test."""
    course = course_class(*world, namespace_of(request))
    yield course
    course.close()


@pytest.fixture
def web(course: LabCourse) -> LabCourse:
    """A course whose first step is done: `web` has two replicas, which are ready."""
    course.apply("nginx.yaml")
    course.expect(*UP_TO_TWO)
    course.wait_ready(2)
    return course
