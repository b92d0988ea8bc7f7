"""The basic course with the oldest kubectl that is supported: up, down, update, away and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.tutorials.conftest import World, opened
from tests.reconcile import test_tutorials as steps

OLDEST = "1.29"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A lab."""
    with opened(kubectl=OLDEST) as found:
        yield found


test_web_comes_up_in_order = steps.test_web_comes_up_in_order
test_kubectl_waits_for_available = steps.test_kubectl_waits_for_available
test_kubectl_get_and_describe = steps.test_kubectl_get_and_describe
test_describe_shows_the_events = steps.test_describe_shows_the_events
test_deleted_pods_come_back_in_order = steps.test_deleted_pods_come_back_in_order
test_a_set_made_anew_adopts_its_pods = steps.test_a_set_made_anew_adopts_its_pods
test_scaling_up_and_down = steps.test_scaling_up_and_down
test_an_image_is_changed = steps.test_an_image_is_changed
test_rollout_history_undo_and_restart = steps.test_rollout_history_undo_and_restart
