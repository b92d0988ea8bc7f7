"""The lab with kube-controller-manager's StatefulSet controller in the place of its own: the course is the same.

Taken twice: the tutorials' steps, whose expectations stand written, and scenarios that run on both labs at once, after
which order, labels, owners, names of revisions and statuses are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import skip_or_fail
from tests.lab.tutorials.conftest import World, opened
from tests.lab.tutorials.stage import LabStage
from tests.peers import PeerMissingError
from tests.reconcile import test_side_by_side as scenarios
from tests.reconcile import test_tutorials as steps
from tests.reconcile.stage import Play

# Only ours has a condition to wait for.
OURS_ONLY = {"test_kubectl_waits_for_available"}
vars().update({name: step for name, step in vars(steps).items() if name.startswith("test_") and name not in OURS_ONLY})

# One for each thing that the steps above do not do, or whose traces in the API they do not look at. None about owners
# of claims: here claims are bound within milliseconds, and whether the reference meets that with a conflict is chance.
COMPARED: list[Callable[[Play], None]] = [
    scenarios.create_with_claims,
    scenarios.scale,
    scenarios.rolling_update_with_scaling,
    scenarios.rollback,
    scenarios.canary,
    scenarios.on_delete,
    scenarios.start_ordinal,
    scenarios.lower_pod_deleted_while_higher_is_unready,
    scenarios.failed_pod,
    scenarios.lost_node,
    scenarios.orphaned_and_adopted_with_another_template,
    scenarios.pod_relabelled,
    scenarios.history_limit,
]
PARALLEL: list[Callable[[Play], None]] = [scenarios.scale_parallel, scenarios.rolling_update_parallel]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A lab with the reference."""
    with opened(is_reference=True) as found:
        yield found


@pytest.fixture(scope="module")
def stages(world: World) -> Iterator[list[LabStage]]:
    """That lab, and one with its own controller."""
    try:
        ours = LabStage()
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with ours:
        yield [world[0], ours]


@pytest.mark.parametrize("scenario", COMPARED, ids=lambda scenario: scenario.__name__.replace("_", "-"))
def test_the_same_in_order(stages: list[LabStage], scenario: Callable[[Play], None]) -> None:
    """Pods are created and deleted in the same order, and all that is left is equal."""
    expected, found = scenarios.on_both(stages, scenario, in_order=True)
    assert expected["course"]
    for part in ("course", *expected):
        assert found[part] == expected[part], part


@pytest.mark.parametrize("scenario", PARALLEL, ids=lambda scenario: scenario.__name__.replace("_", "-"))
def test_the_same_in_any_order(stages: list[LabStage], scenario: Callable[[Play], None]) -> None:
    """Where pods need not wait for each other, the same are created and deleted, and all that is left is equal."""
    expected, found = scenarios.on_both(stages, scenario, in_order=False)
    assert expected["course"]
    for part in ("course", *expected):
        assert found[part] == expected[part], part
