"""What Node objects say."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.nodes import host_ip, is_up, node_write
from headlessdns.lab.objects import Node
from tests.lab.making import at, node

LOST = {"lab.headlessdns.io/lost": "true"}
UNREACHABLE = [
    {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-02T12:00:00Z"},
    {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule", "timeAdded": "2026-01-02T12:00:00Z"},
]


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


def healthy(number: int = 0) -> dict[str, Any]:
    """Return the status that a node of ours has in the end."""
    write = node_write("node-1", number, node(), at(0))
    assert write is not None
    return dict(write.body["status"])


def test_created() -> None:
    """A node that does not exist is created."""
    write = node_write("node-1", 0, None, at(0))
    assert write is not None
    assert write[:2] == ("POST", "/api/v1/nodes")
    assert write.body["metadata"]["name"] == "node-1"


def test_ready() -> None:
    """A node says that it is Ready and where it is, once."""
    write = node_write("node-1", 1, node(), at(0))
    assert write is not None
    assert write.path == "/api/v1/nodes/node-1/status"
    assert write.body["metadata"] == {"uid": "n1", "resourceVersion": "3"}
    status = write.body["status"]
    assert conditions(status) == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert status["addresses"][0] == {"type": "InternalIP", "address": "198.18.0.2"}
    assert node_write("node-1", 1, node(status), at(60)) is None


def test_taint_of_a_new_node_is_taken_off() -> None:
    """The taint that an API server puts on a new node goes, and those of others stay."""
    taints = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, {"key": "mine", "effect": "NoExecute"}]
    write = node_write("node-1", 0, node(taints=taints), at(0))
    assert write is not None
    assert write.path == "/api/v1/nodes/node-1"
    assert write.body["spec"] == {"taints": [{"key": "mine", "effect": "NoExecute"}]}


def test_lost() -> None:
    """A lost node is tainted as unreachable, and nothing is known of its conditions."""
    write = node_write("node-1", 0, node(healthy(), annotations=LOST), at(0))
    assert write is not None
    assert write.body["spec"] == {"taints": UNREACHABLE}
    write = node_write("node-1", 0, node(healthy(), annotations=LOST, taints=UNREACHABLE), at(5))
    assert write is not None
    assert set(conditions(write.body["status"]).values()) == {"Unknown"}
    ready = write.body["status"]["conditions"][-1]
    assert ready["reason"] == "NodeStatusUnknown"
    assert ready["lastTransitionTime"] == "2026-01-02T12:00:05Z"
    assert ready["lastHeartbeatTime"] == "2026-01-02T12:00:00Z"  # when it was heard of last


def test_recovered() -> None:
    """A node that is not lost any more loses its taints."""
    write = node_write("node-1", 0, node(healthy(), taints=UNREACHABLE), at(0))
    assert write is not None
    assert write.body["spec"] == {"taints": []}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param(node(healthy()), True, id="ready"),
        pytest.param(node(), False, id="not-ready"),
        pytest.param(node(healthy(), annotations=LOST), False, id="lost"),
        pytest.param(node(healthy(), unschedulable=True), True, id="cordoned"),
    ],
)
def test_is_up(what: Node, expected: bool) -> None:
    """A node is up when it is Ready, whatever else keeps pods away."""
    assert is_up(what) is expected


def test_host_addresses() -> None:
    """Each node has an address of its own."""
    assert [host_ip(number) for number in (0, 1, 255)] == ["198.18.0.1", "198.18.0.2", "198.18.1.0"]
