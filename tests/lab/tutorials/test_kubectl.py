"""The whole course with the newest kubectl, step by step as people type it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.tutorials.conftest import World, opened
from tests.reconcile import test_tutorials as steps
from tests.reconcile.course import Course

# The steps are those of the controller's own course, on a real control plane: here they are taken on a lab.
vars().update({name: step for name, step in vars(steps).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A lab."""
    with opened() as found:
        yield found


def test_a_second_set_after_the_first(web: Course) -> None:
    """A set that is applied when another one is ready comes up beside it, and both are in the DNS."""
    web.expect_names("nginx", steps.WEB, steps.BOTH, absent=["web-2"])
    uids = web.uids()
    said = web.apply("kubia.yaml")
    assert "statefulset.apps/kubia created" in said.splitlines()
    web.wait_ready(3, "kubia")
    web.expect_names("kubia", {"http": 8080}, steps.KUBIA, absent=["kubia-3"])
    web.expect_names("nginx", steps.WEB, steps.BOTH, absent=["web-2"])
    assert web.uids().items() >= uids.items()
