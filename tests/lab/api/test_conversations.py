"""The same conversations with the embedded API and with a real kube-apiserver."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from tests.lab.api.embedded import Embedded
from tests.lab.api.talk import (
    Conversation,
    Server,
    compare,
    conversations,
    differences,
    hold,
    missing,
    reviewed,
    unreviewed,
)
from tests.realcluster.cluster import RealCluster

numbers = itertools.count(1)
ALL = conversations()


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    with Embedded() as embedded:
        server = Server(embedded.url, embedded.token, embedded.authority)
        yield server
        server.close()


@pytest.fixture(scope="module")
def real(real_cluster: RealCluster) -> Iterator[Server]:
    server = Server(real_cluster.server, real_cluster.token, real_cluster.ca_file.read_bytes())
    yield server
    server.close()


@pytest.mark.parametrize("conversation", ALL, ids=lambda one: one.name)
def test_embedded(conversation: Conversation, ours: Server) -> None:
    """The embedded API answers as the conversation expects."""
    exchanges = hold(conversation, ours, f"alone-{next(numbers)}")
    assert [fault for exchange in exchanges for fault in exchange.faults] == []


@pytest.mark.parametrize("conversation", ALL, ids=lambda one: one.name)
def test_as_the_real_one(conversation: Conversation, ours: Server, real: Server) -> None:
    """A real kube-apiserver answers as the conversation expects, and the embedded API says the same word for word."""
    namespace = f"talk-{next(numbers)}"
    said, answered = hold(conversation, real, namespace), hold(conversation, ours, namespace)
    assert [fault for exchange in said for fault in exchange.faults] == []
    assert unreviewed(compare(said, answered)) == []


def test_each_reviewed_difference_has_its_reason() -> None:
    """Every pattern of the reviewed list is a regular expression and has a reason."""
    for difference in reviewed():
        assert re.compile(difference.pattern)
        assert difference.reason.endswith(".")


@pytest.mark.parametrize(
    ("wanted", "found", "faults"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, [], id="an object may have further fields"),
        pytest.param({"a": 1}, {"a": 2}, ["a: 2, expected 1"], id="a value that differs"),
        pytest.param({"a": 1}, {}, ["a: not there, expected 1"], id="a field that is not there"),
        pytest.param({"a": None}, {"a": 1}, ["a: is there: 1"], id="null says that a field is not there"),
        pytest.param([1], [1, 2], [": 2 items, expected 1: [1, 2]"], id="a list has exactly these items"),
        pytest.param({"a": "/b+/"}, {"a": "bb"}, [], id="a regular expression"),
        pytest.param({"a": True}, {"a": 1}, ["a: 1, expected True"], id="true is not 1"),
    ],
)
def test_missing(wanted: object, found: object, faults: list[str]) -> None:
    """What is expected and not there is told by its path."""
    assert missing(wanted, found, "") == faults


def test_differences() -> None:
    """Two answers differ where a field is other, or in one of them only."""
    assert differences({"a": [{"b": 1}], "c": 2}, {"a": [{"b": 3}], "d": 4}) == [
        "a[0].b: 1 | 3",
        'c: 2 | "<absent>"',
        'd: "<absent>" | 4',
    ]
