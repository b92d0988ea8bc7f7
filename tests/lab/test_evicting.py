"""Which pods a taint drives from their node, and when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headlessdns.lab.evicting import stays_s
from headlessdns.lab.objects import Node, Pod

Json = dict[str, Any]
TAINT = {"key": "disk", "value": "slow", "effect": "NoExecute"}
LOST = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
EXISTS = {"key": "disk", "operator": "Exists"}


@pytest.mark.parametrize(
    ("taints", "tolerations", "expected"),
    [
        pytest.param([], [], None, id="no taint"),
        pytest.param([{**TAINT, "effect": "NoSchedule"}], [], None, id="a taint that only keeps others away"),
        pytest.param([TAINT], [], 0.0, id="a taint"),
        pytest.param([TAINT], [EXISTS], None, id="tolerated for good"),
        pytest.param([TAINT], [{**EXISTS, "tolerationSeconds": 30}], 30.0, id="tolerated for a while"),
        pytest.param([TAINT], [{**EXISTS, "tolerationSeconds": -5}], 0.0, id="tolerated for less than no time"),
        pytest.param([TAINT], [{**EXISTS, "effect": "NoSchedule"}], 0.0, id="another effect is tolerated"),
        pytest.param([TAINT], [{"key": "disk", "value": "slow"}], None, id="its value is tolerated"),
        pytest.param([TAINT], [{"key": "disk", "value": "fast"}], 0.0, id="another value is tolerated"),
        pytest.param([TAINT], [{"operator": "Exists"}], None, id="all is tolerated"),
        pytest.param([TAINT, {**TAINT, "key": "b"}], [EXISTS], 0.0, id="one of two is not tolerated"),
        pytest.param(
            [TAINT, LOST],
            [{**EXISTS, "tolerationSeconds": 400}, {"key": LOST["key"], "operator": "Exists", "tolerationSeconds": 50}],
            50.0,
            id="the shorter of two times",
        ),
        pytest.param([LOST], [], 300.0, id="a lost node, of which the pod says nothing"),
        pytest.param([LOST], [{"operator": "Exists"}], None, id="a lost node, for one that tolerates all"),
    ],
)
def test_stays(taints: list[Json], tolerations: list[Json], expected: float | None) -> None:
    """A pod stays as long as it tolerates every taint, which is at once over where it does not tolerate one."""
    metadata = {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1"}
    spec = {"containers": [], "tolerations": tolerations}
    pod = msgspec.convert({"metadata": metadata, "spec": spec}, Pod)
    node = msgspec.convert({"metadata": metadata, "spec": {"taints": taints}}, Node)
    assert stays_s(pod, node) == expected
