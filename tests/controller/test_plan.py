"""What a plan does about pods: the scenarios of the reference's unit tests, and what goes beyond them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from headlessdns.controller.actions import Cause, CreateRevision, DeletePod, RenumberRevision, Wait, WaitKind
from headlessdns.controller.model import Status, read_pod, read_set
from headlessdns.controller.plan import Plan, has_news, status_after, was_never_ready
from tests.controller.support import (
    HISTORY,
    NOW_S,
    ORDERED,
    PARALLEL,
    annotated,
    claim,
    claim_template,
    in_words,
    owner,
    planned,
    pod_owner,
    pod_with_claims,
    pods,
    raw_pod,
    raw_set,
    revision,
    web,
    words,
)


class Row(NamedTuple):
    """What is there, and what each policy does about it."""

    id: str
    options: dict[str, Any]
    found: str
    ordered: list[str]
    parallel: list[str]


def both(id: str, options: dict[str, Any], found: str, expected: list[str]) -> Row:
    return Row(id, options, found, expected, expected)


CREATE = [
    Row("nothing is there", {}, "", ["create web-0 v1"], ["create web-0 v1", "create web-1 v1", "create web-2 v1"]),
    Row("the first is pending", {}, "0 v1 pending", [], ["create web-1 v1", "create web-2 v1"]),
    Row("the first runs and is not ready", {}, "0 v1 never-ready", [], ["create web-1 v1", "create web-2 v1"]),
    Row("the first is ready", {}, "0 v1 ready", ["create web-1 v1"], ["create web-1 v1", "create web-2 v1"]),
    Row(
        "a phase that nobody knows is not running",
        {},
        "0 v1 unknown",
        [],
        ["create web-1 v1", "create web-2 v1"],
    ),
    both("all are ready", {}, "0 v1 ready, 1 v1 ready, 2 v1 ready", []),
    Row("S33: what is above does not matter", {}, "1 v1 never-ready, 2 v1 was-ready", *[["create web-0 v1"]] * 2),
    Row("S33: only what is below matters", {}, "0 v1 ready, 2 v1 pending", *[["create web-1 v1"]] * 2),
    Row("a terminating pod holds its name", {"replicas": 1}, "0 v1 ready leaving", [], []),
    Row("a terminating pod holds up those above", {}, "0 v1 ready leaving, 1 v1 ready", [], ["create web-2 v1"]),
    Row(
        "a terminating pod holds up scaling",
        {"replicas": 5},
        "0 v1 ready leaving, 1 v1 ready, 2 v1 ready",
        [],
        ["create web-3 v1", "create web-4 v1"],
    ),
    Row(
        "0, 2 and 4 of 5 are gone",
        {"replicas": 5},
        "1 v1 ready, 3 v1 ready",
        ["create web-0 v1"],
        ["create web-0 v1", "create web-2 v1", "create web-4 v1"],
    ),
    Row(
        "from ordinals.start on",
        {"start": 2},
        "",
        ["create web-2 v1"],
        ["create web-2 v1", "create web-3 v1", "create web-4 v1"],
    ),
    both("no replicas said is one", {"replicas": None}, "", ["create web-0 v1"]),
    both("no replicas", {"replicas": 0}, "", []),
]

TERMINAL = [
    both(f"{phase}: {text}", {"replicas": 2}, found.format(phase), expected)
    for phase in ("Failed", "Succeeded")
    for text, found, expected in (
        ("deleted", "0 v1 {}, 1 v1 ready", ["delete web-0 TERMINAL"]),
        ("deleted once", "0 v1 {} leaving, 1 v1 ready", []),
        ("deleted above a ready one", "0 v1 ready, 1 v1 {}", ["delete web-1 TERMINAL"]),
    )
] + [
    Row(
        "those above wait for the end of one below",
        {"replicas": 2},
        "0 v1 Failed",
        ["delete web-0 TERMINAL"],
        ["delete web-0 TERMINAL", "create web-1 v1"],
    ),
    Row(
        "nothing is removed while one that is kept has ended",
        {"replicas": 1},
        "0 v1 Failed leaving, 1 v1 ready",
        [],
        ["delete web-1 SCALE_DOWN"],
    ),
    Row(
        "one that has ended above the range goes",
        {"replicas": 1},
        "0 v1 ready, 1 v1 Failed",
        *[["delete web-1 SCALE_DOWN"]] * 2,
    ),
]

SCALE_DOWN = [
    Row(
        "from the highest",
        {"replicas": 1},
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["delete web-2 SCALE_DOWN"],
        ["delete web-2 SCALE_DOWN", "delete web-1 SCALE_DOWN"],
    ),
    Row(
        "by number, not by name",
        {"replicas": 0},
        "9 v1 ready, 10 v1 ready",
        ["delete web-10 SCALE_DOWN"],
        ["delete web-10 SCALE_DOWN", "delete web-9 SCALE_DOWN"],
    ),
    Row(
        "to nothing",
        {"replicas": 0},
        "0 v1 ready, 1 v1 ready",
        ["delete web-1 SCALE_DOWN"],
        ["delete web-1 SCALE_DOWN", "delete web-0 SCALE_DOWN"],
    ),
    Row(
        "one at a time", {"replicas": 1}, "0 v1 ready, 1 v1 ready, 2 v1 ready leaving", [], ["delete web-1 SCALE_DOWN"]
    ),
    Row(
        "what is kept has to be ready",
        {"replicas": 2},
        "0 v1 ready, 1 v1 was-ready, 2 v1 ready",
        [],
        ["delete web-2 SCALE_DOWN"],
    ),
    Row(
        "what is kept has to be there",
        {"replicas": 2},
        "0 v1 ready, 2 v1 ready",
        ["create web-1 v1"],
        ["create web-1 v1", "delete web-2 SCALE_DOWN"],
    ),
    Row(
        "what is kept must not be leaving",
        {"replicas": 2},
        "0 v1 ready, 1 v1 ready leaving, 2 v1 ready",
        [],
        ["delete web-2 SCALE_DOWN"],
    ),
    Row(
        "S34: a sound one goes though one below is sick",
        {"replicas": 1},
        "0 v1 ready, 1 v1 was-ready, 2 v1 ready",
        ["delete web-2 SCALE_DOWN"],
        ["delete web-2 SCALE_DOWN", "delete web-1 SCALE_DOWN"],
    ),
    Row(
        "S34: the only sick one goes",
        {"replicas": 1},
        "0 v1 ready, 1 v1 ready, 2 v1 was-ready",
        ["delete web-2 SCALE_DOWN"],
        ["delete web-2 SCALE_DOWN", "delete web-1 SCALE_DOWN"],
    ),
    Row(
        "S34: a sick one waits for a sick one below",
        {"replicas": 1},
        "0 v1 ready, 1 v1 was-ready, 2 v1 was-ready",
        [],
        ["delete web-2 SCALE_DOWN", "delete web-1 SCALE_DOWN"],
    ),
    Row(
        "S34: a sick one waits for one below that is leaving",
        {"replicas": 1},
        "0 v1 ready, 1 v1 ready leaving, 2 v1 was-ready",
        [],
        ["delete web-2 SCALE_DOWN"],
    ),
    Row(
        "ordinals.start up: first what is to come",
        {"start": 2},
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["create web-3 v1"],
        ["create web-3 v1", "create web-4 v1", "delete web-1 SCALE_DOWN", "delete web-0 SCALE_DOWN"],
    ),
    Row(
        "ordinals.start up: then what is to go, the highest first",
        {"start": 2},
        "0 v1 ready, 1 v1 ready, 2 v1 ready, 3 v1 ready, 4 v1 ready",
        ["delete web-1 SCALE_DOWN"],
        ["delete web-1 SCALE_DOWN", "delete web-0 SCALE_DOWN"],
    ),
    Row(
        "ordinals.start taken away",
        {"replicas": 2},
        "2 v1 ready, 3 v1 ready",
        ["create web-0 v1"],
        ["create web-0 v1", "create web-1 v1", "delete web-3 SCALE_DOWN", "delete web-2 SCALE_DOWN"],
    ),
]

UPDATE = [
    both("the highest first", {}, "0 v1 ready, 1 v1 ready, 2 v1 ready", ["delete web-2 UPDATE"]),
    both("one at a time", {}, "0 v1 ready, 1 v1 ready, 2 v1 ready leaving", []),
    both("recreated from the new template", {}, "0 v1 ready, 1 v1 ready", ["create web-2 v2"]),
    both("waits until it is ready", {}, "0 v1 ready, 1 v1 ready, 2 v2 never-ready", []),
    both("then the next", {}, "0 v1 ready, 1 v1 ready, 2 v2 ready", ["delete web-1 UPDATE"]),
    both("in the end nothing", {}, "0 v2 ready, 1 v2 ready, 2 v2 ready", []),
    Row(
        "S27: a low one comes back new",
        {},
        "1 v1 ready, 2 v1 ready",
        ["create web-0 v2"],
        ["create web-0 v2", "delete web-2 UPDATE"],
    ),
    both(
        "a revision that nobody knows is superseded", {}, "0 v1 ready, 1 v1 ready, 2 v0 ready", ["delete web-2 UPDATE"]
    ),
    Row(
        "Parallel replaces one that is broken, too",
        {},
        "0 v1 ready, 1 v1 ready, 2 v1 was-ready",
        [],
        ["delete web-2 UPDATE"],
    ),
    Row(
        "Parallel does not wait for one below",
        {},
        "0 v1 was-ready, 1 v1 ready, 2 v2 ready",
        [],
        ["delete web-1 UPDATE"],
    ),
    Row(
        "scaling comes first; Parallel goes on",
        {"replicas": 2},
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["delete web-2 SCALE_DOWN"],
        ["delete web-2 SCALE_DOWN", "delete web-1 UPDATE"],
    ),
    both("one that has ended is deleted once", {}, "0 v1 ready, 1 v1 ready, 2 v1 Failed", ["delete web-2 TERMINAL"]),
    both(
        "one that has ended holds up those below",
        {},
        "0 v1 ready, 1 v1 ready, 2 v2 Failed-and-ready",
        ["delete web-2 TERMINAL"],
    ),
    both("partition: from it on", {"partition": 1}, "0 v1 ready, 1 v1 ready, 2 v2 ready", ["delete web-1 UPDATE"]),
    both("partition: not below", {"partition": 1}, "0 v1 ready, 1 v2 ready, 2 v2 ready", []),
    both("partition: below comes back old", {"partition": 2}, "1 v1 ready, 2 v2 ready", ["create web-0 v1"]),
    both("partition: the last below comes back old", {"partition": 2}, "0 v1 ready, 2 v2 ready", ["create web-1 v1"]),
    both(
        "partition: the first from it on comes back new",
        {"partition": 2},
        "0 v1 ready, 1 v1 ready",
        ["create web-2 v2"],
    ),
    both("partition: all", {"partition": 3}, "0 v1 ready, 1 v1 ready, 2 v1 ready", []),
    both("S36: partition beyond the replicas", {"partition": 9}, "0 v1 ready, 1 v1 ready, 2 v1 ready", []),
    both(
        "partition counts from ordinals.start",
        {"partition": 1, "start": 5},
        "5 v1 ready, 6 v1 ready, 7 v2 ready",
        ["delete web-6 UPDATE"],
    ),
    both(
        "partition counts from ordinals.start, and ends there",
        {"partition": 1, "start": 5},
        "5 v1 ready, 6 v2 ready, 7 v2 ready",
        [],
    ),
    both(
        "partition from ordinals.start: old",
        {"partition": 1, "start": 5},
        "6 v2 ready, 7 v2 ready",
        ["create web-5 v1"],
    ),
    both(
        "partition from ordinals.start: new",
        {"partition": 1, "start": 5},
        "5 v1 ready, 7 v2 ready",
        ["create web-6 v2"],
    ),
    both("OnDelete deletes nothing", {"strategy": "OnDelete"}, "0 v1 ready, 1 v1 ready, 2 v1 ready", []),
    both(
        "S29: OnDelete creates new ones",
        {"strategy": "OnDelete", "current_replicas": 3},
        "1 v1 ready, 2 v1 ready",
        ["create web-0 v2"],
    ),
    both(
        "S28: without rollingUpdate currentReplicas are old",
        {"partition": None, "current_replicas": 2},
        "0 v1 ready, 2 v2 ready",
        ["create web-1 v1"],
    ),
    both(
        "S28: without rollingUpdate the others are new",
        {"partition": None, "current_replicas": 2},
        "0 v1 ready, 1 v1 ready",
        ["create web-2 v2"],
    ),
    both(
        "S28: currentReplicas count from ordinals.start",
        {"partition": None, "current_replicas": 2, "start": 5},
        "5 v1 ready, 7 v2 ready",
        ["create web-6 v1"],
    ),
    both(
        "without rollingUpdate all are replaced",
        {"partition": None, "current_replicas": 3},
        "0 v1 ready, 1 v2 ready, 2 v2 ready",
        ["delete web-0 UPDATE"],
    ),
    both(
        "with rollingUpdate currentReplicas do not matter",
        {"current_replicas": 3},
        "0 v1 ready, 1 v1 ready",
        ["create web-2 v2"],
    ),
]

MIN_READY = [
    both("ready for long enough", {}, "0 v1 ready-for-9s, 1 v1 ready, 2 v1 ready", ["delete web-2 UPDATE"]),
    Row("the next waits", {"image": "v1"}, "0 v1 ready-for-2s", [], ["create web-1 v1", "create web-2 v1"]),
    both("an update waits", {}, "0 v1 ready, 1 v1 ready, 2 v2 ready-for-2s", []),
    Row(
        "scaling down waits for what is kept",
        {"replicas": 2, "image": "v1"},
        "0 v1 ready, 1 v1 ready-for-2s, 2 v1 ready",
        [],
        ["delete web-2 SCALE_DOWN"],
    ),
    Row(
        "scaling down waits for one below that goes, too",
        {"replicas": 1, "image": "v1"},
        "0 v1 ready, 1 v1 was-ready, 2 v1 ready-for-2s",
        [],
        ["delete web-2 SCALE_DOWN", "delete web-1 SCALE_DOWN"],
    ),
    both(
        "OnDelete creates without waiting for those above",
        {"strategy": "OnDelete"},
        "0 v1 ready, 2 v1 ready-for-2s",
        ["create web-1 v2"],
    ),
]

SIX = "0 v1 ready, 1 v1 ready, 2 v1 ready, 3 v1 ready, 4 v1 ready, 5 v1 ready"
TWO = {"replicas": 6, "annotations": annotated(max_unavailable="2")}
BUDGET = [
    both("two at once", TWO, SIX, ["delete web-5 UPDATE", "delete web-4 UPDATE"]),
    both("two at once from the partition on", {**TWO, "partition": 5}, SIX, ["delete web-5 UPDATE"]),
    Row(
        "Parallel recreates both, OrderedReady one after the other",
        TWO,
        "0 v1 ready, 1 v1 ready, 2 v1 ready, 3 v1 ready",
        ["create web-4 v2"],
        ["create web-4 v2", "create web-5 v2"],
    ),
    Row(
        "one that is leaving is one of the two",
        TWO,
        SIX.replace("5 v1 ready", "5 v1 ready leaving"),
        [],
        ["delete web-4 UPDATE"],
    ),
    Row(
        "one below the partition that is leaving is one of the two",
        {**TWO, "partition": 3},
        SIX.replace("1 v1 ready", "1 v1 ready leaving"),
        [],
        ["delete web-5 UPDATE"],
    ),
    Row(
        "two that are leaving are both",
        TWO,
        SIX.replace("5 v1 ready", "5 v1 ready leaving").replace("3 v1 ready", "3 v1 ready leaving"),
        [],
        [],
    ),
    Row(
        "three that are leaving are more than both",
        TWO,
        SIX.replace("5 v1 ready", "5 v1 ready leaving")
        .replace("4 v1 ready", "4 v1 ready leaving")
        .replace("3 v1 ready", "3 v1 ready leaving"),
        [],
        [],
    ),
    Row(
        "one that is new and not ready is one of the two",
        TWO,
        SIX.replace("5 v1 ready", "5 v2 never-ready"),
        [],
        ["delete web-4 UPDATE"],
    ),
    Row(
        "one that is missing is one of the two",
        TWO,
        SIX.replace(", 5 v1 ready", ""),
        ["create web-5 v2"],
        ["create web-5 v2", "delete web-4 UPDATE"],
    ),
    Row(
        "broken ones go first and are not counted against themselves",
        TWO,
        SIX.replace("0 v1 ready", "0 v1 was-ready")
        .replace("2 v1 ready", "2 v1 was-ready")
        .replace("3 v1 ready", "3 v1 was-ready"),
        [],
        ["delete web-3 UPDATE", "delete web-2 UPDATE", "delete web-0 UPDATE"],
    ),
    Row(
        "what broken ones leave of the budget goes to sound ones",
        TWO,
        SIX.replace("2 v1 ready", "2 v1 was-ready"),
        [],
        ["delete web-2 UPDATE", "delete web-5 UPDATE"],
    ),
    Row(
        "broken ones below the partition stay, and count",
        {**TWO, "partition": 3},
        SIX.replace("2 v1 ready", "2 v1 was-ready"),
        [],
        ["delete web-5 UPDATE"],
    ),
    Row(
        "one that has ended counts and is deleted once",
        TWO,
        SIX.replace("2 v1 ready", "2 v1 Failed-and-ready"),
        ["delete web-2 TERMINAL"],
        ["delete web-2 TERMINAL", "delete web-5 UPDATE"],
    ),
    both(
        "a percentage is rounded down",
        {**TWO, "annotations": annotated(max_unavailable="49%")},
        SIX,
        [
            "delete web-5 UPDATE",
            "delete web-4 UPDATE",
        ],
    ),
    both(
        "a percentage is at least one",
        {**TWO, "annotations": annotated(max_unavailable="1%")},
        SIX,
        ["delete web-5 UPDATE"],
    ),
    both(
        "all at once",
        {**TWO, "annotations": annotated(max_unavailable="100%")},
        "0 v1 ready, 1 v2 ready, 2 v2 ready, 3 v2 ready, 4 v1 ready, 5 v1 ready",
        ["delete web-5 UPDATE", "delete web-4 UPDATE", "delete web-0 UPDATE"],
    ),
    both("not on OnDelete", {**TWO, "strategy": "OnDelete"}, SIX, []),
    both("not while paused", {**TWO, "annotations": annotated(max_unavailable="2", paused="true")}, SIX, []),
]

STUCK = "0 v1 ready, 1 v1 ready, 2 v2 never-ready"
MENDED: dict[str, Any] = {"image": "v3"}
HEAL = [
    Row("the template was mended", MENDED, STUCK, ["delete web-2 HEAL"], ["delete web-2 UPDATE"]),
    Row("the template was rolled back", {"image": "v1"}, STUCK, ["delete web-2 HEAL"], ["delete web-2 UPDATE"]),
    Row(
        "one that waits for its node",
        MENDED,
        STUCK.replace("never-ready", "pending"),
        ["delete web-2 HEAL"],
        ["delete web-2 UPDATE"],
    ),
    Row(
        "only the first that is stuck",
        MENDED,
        "0 v2 never-ready, 1 v2 never-ready, 2 v2 never-ready",
        ["delete web-0 HEAL"],
        ["delete web-2 UPDATE"],
    ),
    both("not one of the right revision", {"image": "v2"}, STUCK, []),
    Row("not one that was ready", MENDED, STUCK.replace("never", "was"), [], ["delete web-2 UPDATE"]),
    Row(
        "not one that is ready, but not for long enough",
        {**MENDED, "min_ready_s": 5},
        STUCK.replace("never-ready", "ready-for-2s"),
        [],
        ["delete web-2 UPDATE"],
    ),
    both("not one that is leaving", MENDED, STUCK + " leaving", []),
    Row("not with no-heal", {**MENDED, "annotations": annotated(no_heal="true")}, STUCK, [], ["delete web-2 UPDATE"]),
    both("not while paused", {**MENDED, "annotations": annotated(paused="true")}, STUCK, []),
    both("not on OnDelete", {**MENDED, "strategy": "OnDelete"}, STUCK, []),
    both(
        "not one below the partition at its right revision",
        {**MENDED, "partition": 3},
        "0 v1 ready, 1 v1 never-ready, 2 v1 ready",
        [],
    ),
    Row(
        "one below the partition at a wrong revision",
        {**MENDED, "partition": 3},
        "0 v1 ready, 1 v2 never-ready, 2 v1 ready",
        ["delete web-1 HEAL"],
        [],
    ),
]

PAUSED = {"annotations": annotated(paused="true")}
PAUSE = [
    both("nothing is replaced", PAUSED, "0 v1 ready, 1 v1 ready, 2 v1 ready", []),
    both("what is missing is created", PAUSED, "0 v1 ready, 1 v1 ready", ["create web-2 v2"]),
    both(
        "what is too much is removed",
        {**PAUSED, "replicas": 2},
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["delete web-2 SCALE_DOWN"],
    ),
    both("what has ended is replaced", PAUSED, "0 v1 ready, 1 v1 ready, 2 v1 Failed", ["delete web-2 TERMINAL"]),
    both(
        "false is not paused",
        {"annotations": annotated(paused="false")},
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["delete web-2 UPDATE"],
    ),
]

RESERVED = {"annotations": annotated(reserve_ordinals="1")}
RESERVE = [
    Row("is passed over", RESERVED, "0 v1 ready", ["create web-2 v1"], ["create web-2 v1", "create web-3 v1"]),
    both(
        "with one replica less only that one goes",
        {**RESERVED, "replicas": 2},
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["delete web-1 SCALE_DOWN"],
    ),
    Row(
        "with as many replicas another comes first",
        RESERVED,
        "0 v1 ready, 1 v1 ready, 2 v1 ready",
        ["create web-3 v1"],
        ["create web-3 v1", "delete web-1 SCALE_DOWN"],
    ),
    Row(
        "ranges",
        {"annotations": annotated(reserve_ordinals="0-2, 4")},
        "",
        ["create web-3 v1"],
        ["create web-3 v1", "create web-5 v1", "create web-6 v1"],
    ),
    both(
        "a partition counts what is not passed over",
        {**RESERVED, "partition": 2, "image": "v2"},
        "0 v1 ready, 2 v1 ready, 3 v1 ready",
        ["delete web-3 UPDATE"],
    ),
    both("a partition, done", {**RESERVED, "partition": 2, "image": "v2"}, "0 v1 ready, 2 v1 ready, 3 v2 ready", []),
]


def rows(image: str, table: list[Row], **defaults: Any) -> list[Any]:
    """The rows of *table* under both policies, with *image* as the wanted template where a row has no other."""
    return [
        pytest.param(
            {"image": image, **defaults, **row.options, "policy": policy}, row.found, expected, id=f"{policy}: {row.id}"
        )
        for row in table
        for policy, expected in ((ORDERED, row.ordered), (PARALLEL, row.parallel))
    ]


def check(options: dict[str, Any], found: str, expected: list[str]) -> None:
    set = web(**options)
    assert words(planned(set, found)) == expected
    assert words(planned(set, reversed(pods(found)))) == expected, "the order of observation matters"


@pytest.mark.parametrize(("options", "found", "expected"), rows("v1", CREATE))
def test_creates_in_order(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """OrderedReady creates the lowest missing pod once all below are available, Parallel creates all."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v1", TERMINAL))
def test_replaces_what_has_ended(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """A Failed or Succeeded pod is deleted, so that it can be created again."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v1", SCALE_DOWN))
def test_scales_down_in_order(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """OrderedReady removes the highest pod once all that are kept are available, Parallel removes all."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v2", UPDATE))
def test_updates_in_order(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """One superseded pod after the other is replaced, the highest first, down to the partition."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v2", MIN_READY, min_ready_s=5))
def test_respects_min_ready_seconds(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """A pod counts once it has been ready for minReadySeconds."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v2", BUDGET))
def test_max_unavailable(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """As many pods are replaced at once as may be unavailable; broken ones first, and for nothing."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v1", HEAL))
def test_heals(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """A superseded pod that was never ready and holds a rollout up is replaced."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v2", PAUSE))
def test_paused(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """A paused set replaces no superseded pods, and does everything else."""
    check(options, found, expected)


@pytest.mark.parametrize(("options", "found", "expected"), rows("v1", RESERVE))
def test_reserve_ordinals(options: dict[str, Any], found: str, expected: list[str]) -> None:
    """Reserved ordinals are passed over."""
    check(options, found, expected)


def test_a_shift_of_current_replicas_heals_the_right_revision() -> None:
    """Without rollingUpdate a stuck pod below currentReplicas is right at the current revision."""
    set = web("v3", partition=None, current_replicas=2)
    assert words(planned(set, "0 v1 ready, 1 v1 never-ready")) == []
    assert words(planned(set, "0 v1 ready, 1 v2 never-ready")) == ["delete web-1 HEAL"]


@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_a_name_with_leading_zeros(policy: str) -> None:
    """web-01 holds the place of web-1: no update can rename it, so the fault is told and nothing is created."""
    made = planned(web(replicas=2, policy=policy), "0 v1 ready, web-01 v1 ready")
    assert words(made) == ["refuse web-01 Update: pod web-01 is in the place of web-1; delete it"]


@pytest.mark.parametrize(
    "found", ["0 v1 ready, 1 v1 ready, web-01 v1 ready", "0 v1 ready, web-01 v1 ready, 1 v1 ready"]
)
@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_a_name_with_leading_zeros_gives_way(policy: str, found: str) -> None:
    """web-1 counts where web-01 is there as well."""
    made = planned(web(replicas=2, policy=policy), found)
    assert words(made) == []
    assert made.status is not None
    assert made.status.replicas == 2


@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_an_ordinal_beyond_32_bits_is_ignored(policy: str) -> None:
    """A pod whose number is no ordinal is neither removed nor counted."""
    made = planned(web(replicas=1, policy=policy), "0 v1 ready, web-2147483648 v1 ready")
    assert words(made) == []
    assert made.status is not None
    assert made.status.replicas == 1


# Steps


def test_a_parallel_phase_is_a_burst() -> None:
    """Creations and removals of a Parallel set go at once, those of OrderedReady one by one."""
    assert [step.is_burst for step in planned(web(policy=PARALLEL)).steps] == [True]
    assert [step.is_burst for step in planned(web()).steps] == [False]
    removal = planned(web(policy=PARALLEL, replicas=0), "0 v1 ready, 1 v1 ready")
    assert [(step.is_burst, len(step.slots)) for step in removal.steps] == [(True, 2)]


@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_an_update_is_never_a_burst(policy: str) -> None:
    """Superseded pods are deleted one by one, so that a refusal ends it: the order is the reference's."""
    made = planned(web("v2", **TWO, policy=policy), SIX)
    assert [(step.is_burst, len(step.slots)) for step in made.steps] == [(False, 2)]


# Being deleted, faults, broken history


@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_a_set_being_deleted_only_counts(policy: str) -> None:
    """A set on its way out creates, deletes, adopts and releases nothing; its status goes on."""
    orphan = read_pod(raw_pod("1 v1 ready", ownerReferences=[]))
    stranger = read_pod(raw_pod("2 v1 ready", labels={"app": "other"}))
    found = [*pods("0 v1 Failed, 7 v1 ready"), orphan, stranger]
    made = planned(web("v2", policy=policy, deleting=True), found, history=(*HISTORY, revision("v0", 0, owners=[])))
    assert (words(made), made.adopt, made.claim_pods) == ([], (), ())
    assert made.status is not None
    assert (made.status.replicas, made.status.ready_replicas) == (2, 1)


def test_a_set_being_deleted_counts_all_that_it_owns() -> None:
    """As in the reference, a name that is no ordinal counts while the set is on its way out, and only then."""
    for deleting, expected in ((False, 1), (True, 2)):
        made = planned(web(replicas=1, deleting=deleting), "0 v1 ready, web-2147483648 v1 ready")
        assert made.status is not None
        assert made.status.replicas == expected


def test_a_fault_stops_everything() -> None:
    """A set that we cannot follow is left alone, its status included."""
    made = planned(web(annotations=annotated(max_unavailable="some")), "0 v1 Failed, 9 v1 ready")
    assert made._replace(wait=None) == Plan()
    assert made.wait is not None
    assert made.wait.kind is WaitKind.INVALID
    assert "some" in made.wait.detail


def test_every_fault_is_said() -> None:
    """All that is wrong with a set is said at once."""
    made = planned(web(annotations=annotated(max_unavailable="0", reserve_ordinals="x")))
    assert made.wait is not None
    assert made.wait.detail.count("; ") >= 1


def test_a_revision_without_template_stops_everything() -> None:
    """Where the current template cannot be read, no pod is created from another one."""
    broken = revision("v1", 1)
    broken.data = type(broken.data)(b'{"spec": {}}')
    made = planned(web("v2"), "0 v1 ready", history=(broken, HISTORY[1]))
    assert (words(made), made.status, made.forget) == ([], None, ())
    assert made.wait is not None
    assert made.wait.kind is WaitKind.INVALID
    assert "v1" in made.wait.detail


# Claims

WWW = {"claims": [claim_template("www")], "replicas": 1}
TWO_CLAIMS = {"claims": [claim_template("www"), claim_template("data")], "replicas": 1}
LEAVING = {"deletionTimestamp": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
class TestClaims:
    def test_are_created_before_the_pod(self, policy: str) -> None:
        """All claims of a pod come before it, in the order of the templates."""
        made = planned(web(**TWO_CLAIMS, policy=policy))
        assert words(made) == ["claim www-web-0", "claim data-web-0", "create web-0 v1"]
        assert len(made.steps[0].slots) == 1

    def test_that_are_there_are_taken_as_they_are(self, policy: str) -> None:
        """A claim of the right name is used, whatever it asks for."""
        made = planned(web(**TWO_CLAIMS, policy=policy), claims=[claim("www-web-0", storage="9Ti")])
        assert words(made) == ["claim data-web-0", "create web-0 v1"]

    def test_on_their_way_out_hold_up_the_pod(self, policy: str) -> None:
        """A pod is not created on a claim that is being deleted; the missing ones are created all the same."""
        made = planned(web(**TWO_CLAIMS, policy=policy), claims=[claim("www-web-0", **LEAVING)])
        assert words(made) == ["claim data-web-0", "refuse web-0 Create: pvc www-web-0 is being deleted"]
        assert made.wait == Wait(WaitKind.CLAIM_GONE, "web-0", None, "www-web-0")

    def test_on_their_way_out_are_all_named(self, policy: str) -> None:
        """Several claims that are being deleted are one error, in the reference's form."""
        found = [claim("www-web-0", **LEAVING), claim("data-web-0", **LEAVING)]
        made = planned(web(**TWO_CLAIMS, policy=policy), claims=found)
        assert words(made) == ["refuse web-0 Create: [pvc www-web-0 is being deleted, pvc data-web-0 is being deleted]"]

    def test_of_a_pending_pod_come_back(self, policy: str) -> None:
        """A claim that a pending pod lacks is created again."""
        made = planned(web(**WWW, policy=policy), [pod_with_claims("0 v1 pending", "www")])
        assert words(made) == ["claim www-web-0"]

    def test_of_a_pending_pod_that_is_leaving_come_back(self, policy: str) -> None:
        """As the reference does, even while the pod is on its way out."""
        made = planned(web(**WWW, policy=policy), [pod_with_claims("0 v1 pending leaving", "www")])
        assert words(made) == ["claim www-web-0"]

    def test_of_a_pending_pod_on_their_way_out(self, policy: str) -> None:
        """A pending pod whose claim is being deleted is an error without an event about the pod."""
        made = planned(
            web(**WWW, policy=policy), [pod_with_claims("0 v1 pending", "www")], claims=[claim("www-web-0", **LEAVING)]
        )
        assert words(made) == ["refuse web-0 : pvc www-web-0 is being deleted"]
        assert made.wait is not None
        assert made.wait.kind is WaitKind.CLAIM_GONE

    def test_of_a_pending_pod_on_their_way_out_hold_up_all_else(self, policy: str) -> None:
        """Neither owners nor labels are mended before all claims are there."""
        set = web(**TWO_CLAIMS, policy=policy, retention=("Delete", "Retain"))
        pod = pod_with_claims("0 v1 pending", "www", labels={"app": "nginx", "controller-revision-hash": "v1"})
        found = [claim("www-web-0", **LEAVING), claim("data-web-0")]
        assert words(planned(set, [pod], claims=found)) == ["refuse web-0 : pvc www-web-0 is being deleted"]

    def test_of_a_running_pod_do_not_come_back(self, policy: str) -> None:
        """Whoever runs has its volume."""
        assert words(planned(web(**WWW, policy=policy), [pod_with_claims("0 v1 ready", "www")])) == []

    def test_a_pod_without_its_volume_is_updated(self, policy: str) -> None:
        """A volume that does not point to the claim is set right, the missing claim is created before."""
        made = planned(web(**WWW, policy=policy), "0 v1 ready")
        assert words(made) == ["claim www-web-0", "update web-0 www-web-0"]

    def test_a_pod_without_its_volume_and_a_claim_on_its_way_out(self, policy: str) -> None:
        """The update of a pod fails where its claim is being deleted."""
        made = planned(web(**WWW, policy=policy), "0 v1 ready", claims=[claim("www-web-0", **LEAVING)])
        assert words(made) == ["refuse web-0 Update: pvc www-web-0 is being deleted"]

    def test_a_pod_without_its_label_is_updated(self, policy: str) -> None:
        """A pod that does not say its name gets both identity labels."""
        pod = read_pod(raw_pod("0 v1 ready", labels={"app": "nginx", "controller-revision-hash": "v1"}))
        assert words(planned(web(replicas=1, policy=policy), [pod])) == [
            "update web-0 apps.kubernetes.io/pod-index statefulset.kubernetes.io/pod-name"
        ]

    def test_a_former_pods_claim_holds_up_the_new_pod(self, policy: str) -> None:
        """S15: with whenScaled Delete, a claim that goes with an earlier pod of the name is waited for, silently."""
        set = web(**TWO_CLAIMS, policy=policy, retention=("Retain", "Delete"))
        stale = pod_owner("web-0", "former")
        made = planned(set, claims=[claim("www-web-0", stale), claim("data-web-0", stale, **LEAVING)])
        assert words(made) == []
        assert made.wait == Wait(WaitKind.FORMER_CLAIM, "web-0", None, "www-web-0, data-web-0")

    def test_a_former_pods_claim_holds_up_nothing_under_retain(self, policy: str) -> None:
        """S15: with whenScaled Retain such a claim is used, and left as it is."""
        set = web(**WWW, policy=policy, retention=("Delete", "Retain"))
        made = planned(set, claims=[claim("www-web-0", pod_owner("web-0", "former"))])
        assert [text.split(":")[0] for text in words(made)] == ["create web-0 v1", "tell ConflictingController"]


def test_a_former_pods_claim_stops_only_its_own_pod_in_parallel() -> None:
    """S15: Parallel goes on with the other pods."""
    set = web(**{**WWW, "replicas": 2}, policy=PARALLEL, retention=("Retain", "Delete"))
    made = planned(set, claims=[claim("www-web-0", pod_owner("web-0", "former"))])
    assert words(made) == ["claim www-web-1", "create web-1 v1"]


def test_a_pod_without_volume_and_label_waits_for_readiness_in_order() -> None:
    """S6: OrderedReady mends a pod only past the gates of readiness."""
    pod = read_pod(raw_pod("0 v1 never-ready", labels={"app": "nginx", "controller-revision-hash": "v1"}))
    assert words(planned(web(replicas=1), [pod])) == []
    assert words(planned(web(replicas=1, policy=PARALLEL), [pod])) == [
        "update web-0 apps.kubernetes.io/pod-index statefulset.kubernetes.io/pod-name"
    ]


def test_a_pending_pod_is_mended_once_in_parallel() -> None:
    """A pending pod's claims are seen to once, though mending comes right behind."""
    set = web(**WWW, policy=PARALLEL, retention=("Delete", "Retain"))
    pod = read_pod(raw_pod("0 v1 pending"))
    assert words(planned(set, [pod], claims=[claim("www-web-0")])) == [
        f"own www-web-0 StatefulSet/{web().metadata.uid}",
        "update web-0 www-web-0",
    ]
    assert words(planned(set, [pod])) == ["claim www-web-0", "update web-0 www-web-0"]


def test_a_stuck_pod_is_healed_though_its_claim_is_on_its_way_out() -> None:
    """Healing does not wait for claims: the pod itself may be what holds one."""
    pod = pod_with_claims("0 v2 pending", "www")
    assert words(planned(web("v3", **WWW), [pod], claims=[claim("www-web-0", **LEAVING)])) == ["delete web-0 HEAL"]


# Owners of claims

SET_OWNS = "StatefulSet/uid-of-web"
OWNERS = [
    # retention (whenDeleted, whenScaled), owners of the claim of web-0 (kept), of web-1 (condemned), what is done
    (None, [], [], []),
    (("Retain", "Retain"), [], [], []),
    (("Retain", "Retain"), [owner()], [pod_owner("web-1")], ["own www-web-0", "update web-0", "own www-web-1"]),
    (("Delete", "Retain"), [], [], [f"own www-web-0 {SET_OWNS}", "update web-0", f"own www-web-1 {SET_OWNS}"]),
    (("Delete", "Retain"), [owner()], [owner()], []),
    (("Retain", "Delete"), [], [], ["own www-web-1 Pod/uid-of-web-1"]),
    (("Retain", "Delete"), [pod_owner("web-0")], [pod_owner("web-1")], ["own www-web-0", "update web-0"]),
    (
        ("Delete", "Delete"),
        [],
        [],
        [f"own www-web-0 {SET_OWNS}", "update web-0", "own www-web-1 Pod/uid-of-web-1"],
    ),
    (("Delete", "Delete"), [owner()], [pod_owner("web-1")], []),
    (("Delete", "Delete"), [owner()], [owner()], ["own www-web-1 Pod/uid-of-web-1"]),
]


@pytest.mark.parametrize(("retention", "kept", "condemned", "expected"), OWNERS)
@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_owners_follow_the_retention_policy(
    policy: str, retention: Any, kept: list[Any], condemned: list[Any], expected: list[str]
) -> None:
    """S13, S16: claims belong to the set, to a pod that is to go, or to nobody; set right before the pod goes."""
    made = planned(
        web(**WWW, retention=retention, policy=policy),
        [pod_with_claims("0 v1 ready", "www"), pod_with_claims("1 v1 ready", "www")],
        claims=[claim("www-web-0", *kept), claim("www-web-1", *condemned)],
    )
    assert words(made) == [*expected, "delete web-1 SCALE_DOWN"]


@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_owners_at_creation(policy: str) -> None:
    """Claims that are there are given to the set after its pod is created; those just created at the next sync."""
    set = web(**TWO_CLAIMS, policy=policy, retention=("Delete", "Retain"))
    assert words(planned(set, claims=[claim("data-web-0")])) == [
        "claim www-web-0",
        "create web-0 v1",
        f"own data-web-0 {SET_OWNS}",
    ]


STRANGER = {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "u", "controller": True}
CONFLICT = (
    "tell ConflictingController: PersistentVolumeClaim www-web-0 has a conflicting OwnerReference that acts as a "
    "manging controller, the retention policy is ignored for this claim"
)
CONFLICTS = [
    ("a new pod: told", "", [STRANGER], ["create web-0 v1", CONFLICT]),
    ("a pending pod: told", "0 v1 pending", [STRANGER], [CONFLICT]),
    ("a running pod: nothing to do", "0 v1 ready", [STRANGER], []),
    (
        "a running pod: ours is taken away",
        "0 v1 ready",
        [STRANGER, owner(controller=False)],
        [
            CONFLICT,
            "own www-web-0 Other/u",
            "update web-0",
        ],
    ),
    ("a running pod: an earlier set's is left", "0 v1 ready", [owner("former")], []),
]


@pytest.mark.parametrize(
    ("found", "owners", "expected"), [row[1:] for row in CONFLICTS], ids=[row[0] for row in CONFLICTS]
)
def test_another_controller_of_a_claim(found: str, owners: list[Any], expected: list[str]) -> None:
    """S14: where another controller owns a claim, the policy cannot hold, and that is told."""
    there = [pod_with_claims(found, "www")] if found else []
    set = web(**WWW, retention=("Delete", "Retain"))
    assert words(planned(set, there, claims=[claim("www-web-0", *owners)])) == expected


def test_another_controller_is_fine_under_retain() -> None:
    """S14: with Retain for both it does not matter who owns a claim."""
    assert words(planned(web(**WWW), claims=[claim("www-web-0", STRANGER)])) == ["create web-0 v1"]


# Growth

GROWS = {"annotations": annotated(claim_growth="true"), "claims": [claim_template("www", "2Gi")], "replicas": 2}
GROWTH = [
    ("less: asked for more", {}, {}, ["grow www-web-0 to 2Gi", "grow www-web-1 to 2Gi"]),
    ("equal in another unit: left", {}, {"storage": "2048Mi"}, []),
    ("more: left, never shrunk", {}, {"storage": "3Gi"}, []),
    ("a little less", {}, {"storage": "2147483647"}, ["grow www-web-0 to 2Gi", "grow www-web-1 to 2Gi"]),
    ("not bound yet: left", {}, {"phase": "Pending"}, []),
    ("on its way out: left", {}, LEAVING, []),
    ("not asked for: left", {"annotations": {}}, {}, []),
    ("no quantity: left", {}, {"storage": "much"}, []),
]


@pytest.mark.parametrize(("options", "fields", "expected"), [row[1:] for row in GROWTH], ids=[row[0] for row in GROWTH])
@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_growth(policy: str, options: dict[str, Any], fields: dict[str, Any], expected: list[str]) -> None:
    """With claim growth, claims that ask for less storage than their template ask for as much."""
    made = planned(
        web(**{**GROWS, **options}, policy=policy),
        [pod_with_claims("0 v1 ready", "www"), pod_with_claims("1 v1 ready", "www")],
        claims=[claim("www-web-0", **fields), claim("www-web-1", **fields), claim("www-web-2", **fields)],
    )
    assert words(made) == expected
    assert [len(slot) for step in made.steps for slot in step.slots] == [1] * len(expected)


def test_growth_waits_for_nothing_and_comes_last() -> None:
    """A pod that cannot run for want of space does not hold up growth, and growth holds up no pod."""
    found = [pod_with_claims("0 v1 was-ready", "www")]
    assert words(planned(web(**GROWS), found, claims=[claim("www-web-0")])) == ["grow www-web-0 to 2Gi"]
    assert words(planned(web(**GROWS), claims=[claim("www-web-0")])) == ["create web-0 v1", "grow www-web-0 to 2Gi"]


def test_no_growth_for_a_set_being_deleted() -> None:
    """A set on its way out changes no claim."""
    found = [pod_with_claims("0 v1 ready", "www")]
    assert words(planned(web(**GROWS, deleting=True), found, claims=[claim("www-web-0")])) == []


# Ownership of pods

POD_OWNERS = [
    ("ours", {}, [], [0]),
    ("nobody's: adopted", {"ownerReferences": []}, ["adopt web-0"], [0]),
    (
        "nobody's, with an owner that is no controller: adopted",
        {"ownerReferences": [owner("x", controller=False)]},
        ["adopt web-0"],
        [0],
    ),
    ("nobody's, other labels: ignored", {"ownerReferences": [], "labels": {"app": "x"}}, [], []),
    ("nobody's, other name: ignored", {"ownerReferences": [], "name": "db-0"}, [], []),
    ("nobody's, a name without number: ignored", {"ownerReferences": [], "name": "web-a"}, [], []),
    ("nobody's, a longer name: ignored", {"ownerReferences": [], "name": "web-a-0"}, [], []),
    ("nobody's, leaving: ignored", {"ownerReferences": [], **LEAVING}, [], []),
    ("somebody else's: ignored", {"ownerReferences": [owner("other")]}, [], []),
    ("ours, other labels: released", {"labels": {"app": "x"}}, ["release web-0"], []),
    ("ours, other name: released", {"name": "db-0"}, ["release db-0"], []),
    ("ours, leaving, other labels: released", {"labels": {"app": "x"}, **LEAVING}, ["release web-0"], []),
    ("ours, leaving", LEAVING, [], [0]),
]


@pytest.mark.parametrize(
    ("metadata", "expected", "counted"), [row[1:] for row in POD_OWNERS], ids=[row[0] for row in POD_OWNERS]
)
def test_pods_change_hands(metadata: dict[str, Any], expected: list[str], counted: list[int]) -> None:
    """S17: matching pods of nobody are adopted, owned ones that do not match any more are released."""
    made = planned(web(), [read_pod(raw_pod("0 v1 pending", **metadata))])
    assert [in_words(action) for action in made.claim_pods] == expected
    assert made.status is not None
    assert made.status.replicas == len(counted)
    assert words(made) == ([] if counted else ["create web-0 v1"])


def test_revisions_are_adopted() -> None:
    """S19: matching revisions of nobody are adopted, those of others are ignored."""
    history = (
        revision("v1", 1, owners=[]),
        revision("v2", 2, owners=[], labels={"app": "x"}),
        revision("v3", 3, owners=[owner("other")]),
    )
    made = planned(web("v2"), "0 v1 ready", history=history)
    assert [in_words(action) for action in made.adopt] == ["adopt v1"]
    assert isinstance(made.revision, CreateRevision)
    assert made.revision.manifest["revision"] == 2


# Revisions

REVISIONS = [
    ("the first", "v1", [], "write down v1 as 1"),
    ("known", "v1", [("v1", 1)], None),
    ("a new one", "v2", [("v1", 1)], "write down v2 as 2"),
    ("a rollback", "v1", [("v1", 1), ("v2", 2)], "renumber v1 to 3"),
    ("a rollback, done", "v1", [("v1", 3), ("v2", 2)], None),
]


@pytest.mark.parametrize(
    ("image", "history", "expected"), [row[1:] for row in REVISIONS], ids=[row[0] for row in REVISIONS]
)
def test_the_revision_of_the_template(image: str, history: list[tuple[str, int]], expected: str | None) -> None:
    """S24: a template is written down once; an earlier one is renumbered."""
    made = planned(web(image), history=[revision(name, number) for name, number in history])
    assert (in_words(made.revision) if made.revision else None) == expected
    assert made.revision is None or isinstance(made.revision, CreateRevision | RenumberRevision)


def test_a_collision_gives_another_name() -> None:
    """S24: the count of collisions is part of the name, and goes into the status."""
    names, counts = [], []
    for count in (None, 3):
        made = planned(web("v9", status={"collisionCount": 2}), collision_count=count)
        assert isinstance(made.revision, CreateRevision)
        assert made.status is not None
        names.append(made.revision.manifest["metadata"]["name"])
        counts.append(made.status.collision_count)
    assert names[0] != names[1]
    assert counts == [2, 3]


FORGET = [
    ("within the limit", 2, "", []),
    ("beyond: the oldest", 1, "", ["forget r1"]),
    ("none but the live ones", 0, "", ["forget r1", "forget r2"]),
    ("a negative limit keeps all", -1, "", []),
    ("what a pod was made from stays", 0, "0 r1 ready", ["forget r2"]),
    ("what a pod beyond the range was made from stays", 0, "9 r2 ready", ["forget r1"]),
]


@pytest.mark.parametrize(("limit", "found", "expected"), [row[1:] for row in FORGET], ids=[row[0] for row in FORGET])
def test_history_is_cut(limit: int, found: str, expected: list[str]) -> None:
    """S26: what is beyond the limit is forgotten, the oldest first; live revisions stay."""
    history = [revision(name, number) for name, number in (("v2", 4), ("r2", 2), ("r1", 1), ("v1", 3))]
    made = planned(web("v2", history_limit=limit), found, history=history)
    assert [in_words(action) for action in made.forget] == expected


def test_history_is_ten_long() -> None:
    """S51: ten old revisions are kept where nothing is said."""
    history = [revision(f"r{number}", number) for number in range(1, 12)] + [revision("v1", 12)]
    assert [in_words(action) for action in planned(web(), history=history).forget] == ["forget r1"]


# Status

ZERO: dict[str, Any] = {
    "observed_generation": 7,
    "replicas": 0,
    "ready_replicas": 0,
    "available_replicas": 0,
    "current_replicas": 0,
    "updated_replicas": 0,
    "current_revision": "v1",
    "update_revision": "v2",
    "collision_count": 0,
}
COUNTS = [
    ("nothing", "", {}),
    ("not taken in yet", "0 v1 unseen", {}),
    ("pending", "0 v1 pending", {"replicas": 1, "current_replicas": 1}),
    ("not ready", "0 v1 never-ready", {"replicas": 1, "current_replicas": 1}),
    ("ready", "0 v2 ready", {"replicas": 1, "ready_replicas": 1, "available_replicas": 1, "updated_replicas": 1}),
    ("ready, not for long enough", "0 v2 ready-for-2s", {"replicas": 1, "ready_replicas": 1, "updated_replicas": 1}),
    ("leaving", "0 v1 ready leaving", {"replicas": 1, "ready_replicas": 1, "available_replicas": 1}),
    ("ended", "0 v1 Failed", {"replicas": 1, "current_replicas": 1}),
    ("ended and still ready", "0 v1 Failed-and-ready", {"replicas": 1, "current_replicas": 1}),
    (
        "beyond the range",
        "9 v1 ready",
        {
            "replicas": 1,
            "ready_replicas": 1,
            "available_replicas": 1,
            "current_replicas": 1,
        },
    ),
    ("of another revision", "0 v0 ready", {"replicas": 1, "ready_replicas": 1, "available_replicas": 1}),
]


@pytest.mark.parametrize(("found", "expected"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS])
@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_the_status_counts_what_is_seen(policy: str, found: str, expected: dict[str, Any]) -> None:
    """S41, S42: counts are made anew from what is seen; what is created by the plan is not in them."""
    made = planned(web("v2", min_ready_s=5, policy=policy), found)
    assert made.status == Status(**{**ZERO, **expected})


def test_a_lost_current_revision_is_the_new_one() -> None:
    """S25: where the current revision does not exist, the new one takes its place, and both counts are equal."""
    made = planned(web("v2", current="gone"), "0 v2 ready")
    assert made.status is not None
    assert (made.status.current_revision, made.status.update_revision) == ("v2", "v2")
    assert (made.status.current_replicas, made.status.updated_replicas) == (1, 1)


DONE = Status(
    7, replicas=3, ready_replicas=3, available_replicas=3, current_replicas=0, updated_replicas=3,
    current_revision="v1", update_revision="v2",
)  # fmt: skip
AFTER = [
    # id, options, changes to DONE, deleted, expected currentRevision and currentReplicas
    ("done", {}, {}, [], ("v2", 3)),
    ("done though not available", {}, {"available_replicas": 0}, [], ("v2", 3)),
    ("one is not updated", {}, {"updated_replicas": 2, "current_replicas": 1}, [], ("v1", 1)),
    ("one is not ready", {}, {"ready_replicas": 2}, [], ("v1", 0)),
    ("one is too many", {}, {"replicas": 4}, [], ("v1", 0)),
    ("S43: not with a partition that leaves old ones", {"partition": 1}, {"updated_replicas": 2}, [], ("v1", 0)),
    ("S43: with a partition that leaves none", {"partition": 3}, {}, [], ("v2", 3)),
    ("S43: not with OnDelete", {"strategy": "OnDelete"}, {}, [], ("v1", 0)),
    ("S36: an update takes one off", {}, {"current_replicas": 3, "updated_replicas": 0}, [("v1", "UPDATE")], ("v1", 2)),
    ("two updates take two off", {}, {"current_replicas": 3, "updated_replicas": 0}, [("v1", "UPDATE")] * 2, ("v1", 1)),
    (
        "S36: whatever the pod was made from",
        {},
        {"current_replicas": 2, "updated_replicas": 0},
        [("v0", "UPDATE")],
        (
            "v1",
            1,
        ),
    ),
    ("never below zero", {}, {"current_replicas": 0, "updated_replicas": 2}, [("v0", "UPDATE")], ("v1", 0)),
    ("a healed one that was counted", {}, {"current_replicas": 1, "updated_replicas": 2}, [("v1", "HEAL")], ("v1", 0)),
    ("a healed one that was not", {}, {"current_replicas": 1, "updated_replicas": 2}, [("v0", "HEAL")], ("v1", 1)),
    ("one that has ended", {}, {"current_replicas": 1, "updated_replicas": 2}, [("v1", "TERMINAL")], ("v1", 1)),
    ("one too many", {}, {"current_replicas": 1, "updated_replicas": 2}, [("v1", "SCALE_DOWN")], ("v1", 1)),
]


@pytest.mark.parametrize(
    ("options", "changes", "deleted", "expected"), [row[1:] for row in AFTER], ids=[row[0] for row in AFTER]
)
def test_the_status_after_a_sync(
    options: dict[str, Any], changes: dict[str, Any], deleted: list[tuple[str, str]], expected: tuple[str, int]
) -> None:
    """A deleted superseded pod is not current any more; when all are new and ready, the new revision is current."""
    observed = Status(**{**{field: getattr(DONE, field) for field in DONE.__struct_fields__}, **changes})
    actions = [DeletePod(pods(f"0 {name} ready")[0], Cause[cause]) for name, cause in deleted]
    after = status_after(web("v2", **options), observed, actions)
    assert (after.current_revision, after.current_replicas) == expected
    assert after.updated_replicas == observed.updated_replicas


NEWS = [
    ("nothing", {}, False),
    ("a newer generation", {"observed_generation": 8}, True),
    ("an older generation", {"observed_generation": 6}, False),
    ("collisions alone", {"collision_count": 4}, False),
    *[
        (field, {field: value}, True)
        for field, value in (
            ("replicas", 9),
            ("ready_replicas", 9),
            ("available_replicas", 9),
            ("current_replicas", 9),
            ("updated_replicas", 9),
            ("current_revision", "x"),
            ("update_revision", "x"),
        )
    ],
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in NEWS], ids=[row[0] for row in NEWS])
def test_a_status_is_written_when_it_has_news(changes: dict[str, Any], *, expected: bool) -> None:
    """S44: a newer generation, or a count or revision that differs."""
    new = Status(**{**{field: getattr(DONE, field) for field in DONE.__struct_fields__}, **changes})
    assert has_news(DONE, new) is expected


AGAIN = [
    ("no minReadySeconds", 0, "0 v1 ready-for-2s", None),
    ("all available", 5, "0 v1 ready", None),
    ("the rest of the time", 5, "0 v1 ready-for-2s", 3.0),
    ("the least rest of several", 30, "0 v1 ready-for-2s, 1 v1 ready-for-9s, 2 v1 ready", 21.0),
    ("nobody is ready", 5, "0 v1 never-ready", None),
]


@pytest.mark.parametrize(
    ("min_ready_s", "found", "expected"), [row[1:] for row in AGAIN], ids=[row[0] for row in AGAIN]
)
def test_looks_again_when_the_next_is_available(min_ready_s: int, found: str, expected: float | None) -> None:
    """S46: the next look is due when the earliest pod will have been ready for long enough."""
    assert planned(web(min_ready_s=min_ready_s), found).again_s == expected


def test_looks_again_where_no_time_is_known() -> None:
    """S46: without the time of a pod's readiness the next look is minReadySeconds away."""
    raw = raw_pod("0 v1 ready")
    del raw["status"]["conditions"][0]["lastTransitionTime"]
    assert planned(web(min_ready_s=5), [read_pod(raw)]).again_s == 5.0


# Waiting

WAITS = [
    ("done", "v1", "0 v1 ready, 1 v1 ready, 2 v1 ready", None),
    ("a pod that is not there yet", "v1", "0 v1 ready", (WaitKind.POD_READY, "web-1")),
    ("a pod that is not ready", "v1", "0 v1 ready, 1 v1 never-ready", (WaitKind.POD_READY, "web-1")),
    ("a pod that is not ready for long enough", "v1", "0 v1 ready-for-2s", (WaitKind.POD_AVAILABLE, "web-0")),
    ("a pod on its way out", "v1", "0 v1 ready leaving", (WaitKind.POD_GONE, "web-0")),
    ("a pod that has ended", "v1", "0 v1 Failed", (WaitKind.POD_TERMINAL, "web-0")),
    ("a stuck pod that is healed", "v2", "0 v1 never-ready", (WaitKind.POD_READY, "web-0")),
]


@pytest.mark.parametrize(("image", "found", "expected"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS])
@pytest.mark.parametrize("policy", [ORDERED, PARALLEL])
def test_says_what_it_waits_for(policy: str, image: str, found: str, expected: tuple[WaitKind, str] | None) -> None:
    """The lowest pod that holds things up is named."""
    wait = planned(web(image, min_ready_s=5, policy=policy), found).wait
    assert (None if wait is None else (wait.kind, wait.pod_name)) == expected


def test_says_which_condemned_pod_it_waits_for() -> None:
    """Scaling down in order names the pod that it waits for."""
    wait = planned(web(replicas=0), "0 v1 ready, 1 v1 ready leaving").wait
    assert wait is not None
    assert (wait.kind, wait.pod_name) == (WaitKind.POD_GONE, "web-1")


# Never ready

NEVER = [
    ("no condition", None, None, True),
    ("false since the start", -60, ("False", -60), True),
    ("false since 2 s after the start", -60, ("False", -58), True),
    ("false since 3 s after the start", -60, ("False", -57), False),
    ("false, start unknown", None, ("False", -60), False),
    ("true", -60, ("True", -60), False),
]


@pytest.mark.parametrize(("start_s", "ready", "expected"), [row[1:] for row in NEVER], ids=[row[0] for row in NEVER])
def test_whether_a_pod_was_ever_ready(start_s: int | None, ready: tuple[str, int] | None, *, expected: bool) -> None:
    """A Ready condition that has been false since the pod's start was never true."""
    raw = raw_pod("0 v1 pending")
    if start_s is not None:
        raw["status"]["startTime"] = read_back(start_s)
    if ready is not None:
        raw["status"]["conditions"] = [
            {"type": "Ready", "status": ready[0], "lastTransitionTime": read_back(ready[1])},
        ]
    assert was_never_ready(read_pod(raw)) is expected


def test_a_pod_that_was_seen_ready_was_ready() -> None:
    """What was seen counts for more than the times of conditions, which have whole seconds."""
    pod = read_pod({"metadata": {"name": "web-0"}, "status": {"phase": "Running"}})
    assert was_never_ready(pod)
    pod.was_ready = True
    assert not was_never_ready(pod)


def read_back(offset_s: int) -> str:
    minute, second = divmod(offset_s, 60)
    assert NOW_S == 1_800_000_000  # 2027-01-15T08:00:00Z
    return f"2027-01-15T07:{60 + minute:02}:{second:02}Z"


def test_an_ordinal_set_says_the_same_in_fields() -> None:
    """What annotations say of a StatefulSet, fields say of an OrdinalSet."""
    raw = raw_set("v2", replicas=6)
    raw |= {"apiVersion": "headlessdns.io/v1alpha1", "kind": "OrdinalSet"}
    raw["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 2
    raw["spec"]["reserveOrdinals"] = [5]
    six = SIX.replace("5 v1", "6 v1")
    assert words(planned(read_set(raw), six)) == ["delete web-6 UPDATE", "delete web-4 UPDATE"]
    raw["spec"]["paused"] = True
    assert words(planned(read_set(raw), six)) == []
