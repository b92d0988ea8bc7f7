"""The whole course with the `kubernetes` Python client; only what is about kubectl's own printing is left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.tutorials.client_course import ClientCourse
from tests.lab.tutorials.conftest import World, opened
from tests.lab.tutorials.course import LabCourse
from tests.reconcile import test_tutorials as steps

ABOUT_KUBECTL = {
    "test_kubectl_waits_for_available",
    "test_kubectl_get_and_describe",
    "test_describe_shows_the_events",
}
vars().update(
    {name: step for name, step in vars(steps).items() if name.startswith("test_") and name not in ABOUT_KUBECTL}
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A lab."""
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def course_class() -> type[LabCourse]:
    """By which means the course is taken."""
    return ClientCourse


def test_no_kubectl(web: ClientCourse) -> None:
    """A step that the client has no method for is not quietly done by kubectl."""
    with pytest.raises(AssertionError, match="no step of the course types"):
        web.kubectl("get", "pods")
