"""The conditions of a set, as `kubectl get -o yaml`, `kubectl describe` and `kubectl wait` show and take them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.controller import conditions
from headlessdns.controller.actions import Wait, WaitKind
from headlessdns.controller.conditions import Notes, name_faults, notes
from headlessdns.controller.explain import foreign_trouble
from headlessdns.controller.model import Status, read_pod, read_set
from headlessdns.controller.observed import UNSEEN_SERVICE, Service
from tests.controller.support import NOW_S, owner, pods, raw_pod, raw_set, time_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headlessdns.controller.model import Pod, StatefulSet

Json = dict[str, Any]

HEADLESS = msgspec.convert(
    {"metadata": {"name": "nginx"}, "spec": {"clusterIP": "None", "selector": {"app": "nginx"}}}, Service
)
LONG_AGO = "2026-01-01T00:00:00Z"
ALL_READY = "0 v1 ready, 1 v1 ready, 2 v1 ready"
MEND = "nothing is deleted; mend the template or delete the pod"


def service(**spec: Any) -> Service:
    return msgspec.convert({"metadata": {"name": "nginx"}, "spec": spec}, Service)


def status(updated: int = 3, ready: int = 3, available: int | None = None, replicas: int = 3, **fields: Any) -> Status:
    return Status(
        observed_generation=7,
        replicas=replicas,
        ready_replicas=ready,
        available_replicas=ready if available is None else available,
        current_replicas=updated,
        updated_replicas=updated,
        current_revision="v1",
        update_revision="v1",
        **fields,
    )


def by_name(text: str) -> dict[str, Pod]:
    return {pod.name: pod for pod in pods(text)}


def a_set(before: tuple[Json, ...] | list[Json] = (), old: Status | None = None, **options: Any) -> StatefulSet:
    """The set `web` of three pods with *before* and *old* in its status."""
    spec = options.pop("spec", {})
    raw = raw_set(**options)
    raw["spec"] |= spec
    raw["status"] |= msgspec.to_builtins(status() if old is None else old) | {"conditions": list(before)}
    return read_set(raw)


def noted(
    set: StatefulSet,
    now: Status,
    found: str | Mapping[str, Pod] = ALL_READY,
    *,
    wait: Wait | None = None,
    error: str = "",
    service: Service | None = HEADLESS,
    after_s: float = 0,
) -> Notes:
    there = by_name(found) if isinstance(found, str) else found
    return notes(set, now, wait, error, there, service, NOW_S + after_s)


def shown(made: Notes, type: str) -> tuple[str, str, str]:
    """A condition's status, reason and message."""
    (found,) = [one for one in made.conditions if one["type"] == type]
    return found["status"], found["reason"], found["message"]


def image_pull(state_at_s: float = -240) -> Wait:
    raw = raw_pod("1 v1 pending")
    raw["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": time_at(state_at_s)}]
    raw["status"]["containerStatuses"] = [{"name": "nginx", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    return Wait(WaitKind.POD_READY, "web-1", read_pod(raw))


# All of them


def test_all_is_well() -> None:
    """A set that is complete has four conditions, with the fields that apps/v1 keeps, and nothing to warn of."""
    made = noted(a_set(), status())
    assert made == Notes(
        (
            {
                "type": "Available",
                "status": "True",
                "reason": "AllPodsAvailable",
                "message": "3 of 3 pods are available",
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            },
            {
                "type": "Progressing",
                "status": "True",
                "reason": "RolloutComplete",
                "message": "3 of 3 pods are of revision v1",
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            },
            {
                "type": "Stalled",
                "status": "False",
                "reason": "NothingInTheWay",
                "message": "nothing is waited for",
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            },
            {
                "type": "NamesServed",
                "status": "True",
                "reason": "GoverningServiceFits",
                "message": "the governing Service names the pods",
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            },
        ),
        (),
        None,
    )


def test_conditions_of_others() -> None:
    """Conditions of others stay as they are and where they are, whatever fields they have; ours are there once."""
    theirs = {"type": "BackedUp", "status": "True", "observedGeneration": 3, "extra": {"a": [1]}}
    also_theirs = {"type": "Audited", "status": "Unknown"}
    stale = {"type": "Stalled", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z", "odd": 1}
    made = noted(a_set([theirs, stale, also_theirs, stale]), status())
    assert [one["type"] for one in made.conditions] == [
        "BackedUp",
        "Stalled",
        "Audited",
        "Available",
        "Progressing",
        "NamesServed",
    ]
    assert made.conditions[0] == theirs
    assert made.conditions[2] == also_theirs
    assert made.conditions[1] == {
        "type": "Stalled",
        "status": "False",
        "reason": "NothingInTheWay",
        "message": "nothing is waited for",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(None, "2027-01-15T08:00:00Z", id="a new condition: now"),
        pytest.param(
            {"status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z", id="same"
        ),
        pytest.param(
            {"status": "True", "reason": "Other", "message": "other", "lastTransitionTime": LONG_AGO},
            LONG_AGO,
            id="the same with other words",
        ),
        pytest.param(
            {"status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}, "2027-01-15T08:00:00Z", id="other"
        ),
        pytest.param(
            {"status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z"}, "2027-01-15T08:00:00Z", id="?"
        ),
        pytest.param({"status": "True"}, "2027-01-15T08:00:00Z", id="no time"),
        pytest.param({"status": "True", "lastTransitionTime": None}, "2027-01-15T08:00:00Z", id="a time of null"),
    ],
)
def test_time_of_the_last_transition(before: Json | None, expected: str) -> None:
    """The time changes when the status does, and never with the reason or the message."""
    known = [{"type": "Available", **before}] if before else []
    made = noted(a_set(known), status(), after_s=0.9)
    (available,) = [one for one in made.conditions if one["type"] == "Available"]
    assert available["lastTransitionTime"] == expected


# Available


AVAILABLE: dict[str, tuple[dict[str, Any], str, tuple[str, str, str]]] = {
    "all are": ({}, ALL_READY, ("True", "AllPodsAvailable", "3 of 3 pods are available")),
    "one is not ready": (
        {},
        "0 v1 ready, 1 v1 was-ready, 2 v1 ready",
        ("False", "PodsUnavailable", "2 of 3 pods are available"),
    ),
    "one is missing": ({}, "0 v1 ready, 2 v1 ready", ("False", "PodsUnavailable", "2 of 3 pods are available")),
    "one is on its way out, though it is ready": (
        {},
        "0 v1 ready, 1 v1 ready leaving, 2 v1 ready",
        ("False", "PodsUnavailable", "2 of 3 pods are available"),
    ),
    "one has ended, though it is ready": (
        {},
        "0 v1 ready, 1 v1 Failed-and-ready, 2 v1 ready",
        ("False", "PodsUnavailable", "2 of 3 pods are available"),
    ),
    "one has not been ready for long enough": (
        {"min_ready_s": 5},
        "0 v1 ready, 1 v1 ready-for-2s, 2 v1 ready",
        ("False", "PodsUnavailable", "2 of 3 pods are available"),
    ),
    "just long enough": (
        {"min_ready_s": 9},
        "0 v1 ready, 1 v1 ready-for-9s, 2 v1 ready",
        ("True", "AllPodsAvailable", "3 of 3 pods are available"),
    ),
    "of a superseded revision is available, too": (
        {},
        "0 v1 ready, 1 v0 ready, 2 v1 ready",
        ("True", "AllPodsAvailable", "3 of 3 pods are available"),
    ),
    "none are wanted": ({"replicas": 0}, "", ("True", "AllPodsAvailable", "0 of 0 pods are available")),
}


@pytest.mark.parametrize(("options", "found", "expected"), AVAILABLE.values(), ids=AVAILABLE.keys())
def test_available(options: dict[str, Any], found: str, expected: tuple[str, str, str]) -> None:
    """Available is true when every pod that is wanted can be counted on, whatever else the counts include."""
    made = noted(a_set(**options), status(), found)
    assert shown(made, "Available") == expected


def test_foreign_pods_are_not_available() -> None:
    """A ready pod of somebody else that has our name does not count."""
    foreign = read_pod(raw_pod("1 v1 ready", ownerReferences=[owner("uid-of-another", name="other")]))
    made = noted(a_set(), status(), {**by_name(ALL_READY), "web-1": foreign})
    assert shown(made, "Available") == ("False", "PodsUnavailable", "2 of 3 pods are available")


# Progressing


PROGRESSING: dict[str, tuple[dict[str, Any], Status, tuple[str, str, str]]] = {
    "complete": ({}, status(), ("True", "RolloutComplete", "3 of 3 pods are of revision v1")),
    "under way": (
        {},
        status(updated=1),
        (
            "True",
            "RolloutInProgress",
            "1 of 3 pods are of revision v1; the last step forward was at 2027-01-15T08:00:00Z",
        ),
    ),
    "a pod is not available": (
        {},
        status(ready=2),
        (
            "True",
            "RolloutInProgress",
            "3 of 3 pods are of revision v1; the last step forward was at 2027-01-15T08:00:00Z",
        ),
    ),
    "a pod too many": (
        {},
        status(replicas=4, updated=4),
        (
            "True",
            "RolloutInProgress",
            "4 of 3 pods are of revision v1; the last step forward was at 2027-01-15T08:00:00Z",
        ),
    ),
    "paused on the way": (
        {"annotations": {"headlessdns.io/paused": "true"}},
        status(updated=1),
        ("Unknown", "RolloutPaused", "paused; 1 of 3 pods are of revision v1"),
    ),
    "paused with nothing to do": (
        {"annotations": {"headlessdns.io/paused": "true"}},
        status(),
        ("True", "RolloutComplete", "3 of 3 pods are of revision v1"),
    ),
    "the canary of a partition is there": (
        {"partition": 2},
        status(updated=1),
        (
            "True",
            "RolloutComplete",
            "1 of 3 pods are of revision v1; the first 2 stay as they are (partition 2)",
        ),
    ),
    "the canary of a partition is not there": (
        {"partition": 2},
        status(updated=0),
        (
            "True",
            "RolloutInProgress",
            "0 of 3 pods are of revision v1; the first 2 stay as they are (partition 2); "
            "the last step forward was at 2027-01-15T08:00:00Z",
        ),
    ),
    "a partition above all": (
        {"partition": 9},
        status(updated=0),
        ("True", "RolloutComplete", "0 of 3 pods are of revision v1; the first 3 stay as they are (partition 9)"),
    ),
    "OnDelete has nothing to do by itself": (
        {"strategy": "OnDelete"},
        status(updated=1),
        (
            "True",
            "RolloutComplete",
            "1 of 3 pods are of revision v1; each of the others becomes so when it is deleted (OnDelete)",
        ),
    ),
    "no pods": ({"replicas": 0}, status(0, 0, 0, 0), ("True", "RolloutComplete", "0 of 0 pods are of revision v1")),
}


@pytest.mark.parametrize(("options", "now", "expected"), PROGRESSING.values(), ids=PROGRESSING.keys())
def test_progressing(options: dict[str, Any], now: Status, expected: tuple[str, str, str]) -> None:
    """Progressing says how far a rollout is, and is unknown while it is paused."""
    assert shown(noted(a_set(**options), now), "Progressing") == expected


def under_way(at_s: float, reason: str = "RolloutInProgress", message: str | None = None) -> list[Json]:
    text = f"1 of 3 pods are of revision v1; the last step forward was at {time_at(at_s)}"
    return [
        {"type": "Progressing", "status": "True", "reason": reason, "message": text if message is None else message}
    ]


def test_deadline() -> None:
    """Ten minutes after the last step Progressing is false, and until then it is known when that will be."""
    now = status(updated=1)
    one_before = noted(a_set(under_way(-599), now), now)
    assert shown(one_before, "Progressing")[:2] == ("True", "RolloutInProgress")
    assert one_before.again_s == 1
    made = noted(a_set(under_way(-600), now), now)
    assert shown(made, "Progressing") == (
        "False",
        "ProgressDeadlineExceeded",
        "no step forward within 600 s; 1 of 3 pods are of revision v1; "
        "the last step forward was at 2027-01-15T07:50:00Z",
    )
    assert made.again_s is None


def test_deadline_of_an_ordinal_set() -> None:
    """An OrdinalSet chooses its deadline."""
    raw = raw_set()
    raw |= {"kind": "OrdinalSet", "apiVersion": "headlessdns.io/v1alpha1"}
    raw["spec"]["progressDeadlineSeconds"] = 60
    now = status(updated=1)
    raw["status"] |= {**msgspec.to_builtins(now), "conditions": under_way(-60)}
    assert shown(noted(read_set(raw), now), "Progressing")[1] == "ProgressDeadlineExceeded"


STEPS = {
    "nothing": (status(updated=1), status(updated=1), 1.0),
    "another generation": (msgspec.structs.replace(status(updated=1), observed_generation=6), status(updated=1), 600.0),
    "another revision": (msgspec.structs.replace(status(updated=1), update_revision="v0"), status(updated=1), 600.0),
    "one more of the revision": (status(updated=1), status(updated=2), 600.0),
    "one more ready": (status(1, ready=1), status(1, ready=2, available=1), 600.0),
    "one more available": (status(1, ready=3, available=1), status(1, ready=3, available=2), 600.0),
    "one more pod": (status(1, replicas=2, ready=2), status(1, replicas=3, ready=2), 600.0),
    "one pod less": (status(1, replicas=4), status(1, replicas=3), 600.0),
    "one less of the revision is no step forward": (status(updated=2), status(updated=1), 1.0),
    "one less ready is no step forward": (status(1, ready=3), status(1, ready=2), 1.0),
}


@pytest.mark.parametrize(("old", "now", "deadline_in_s"), STEPS.values(), ids=STEPS.keys())
def test_steps_put_the_deadline_off(old: Status, now: Status, deadline_in_s: float) -> None:
    """A step forward puts the deadline off, a step back does not."""
    assert noted(a_set(under_way(-599), old), now).again_s == deadline_in_s


@pytest.mark.parametrize(
    ("before", "deadline_in_s"),
    [
        pytest.param([], 600, id="nothing was known"),
        pytest.param(under_way(-9999, "RolloutComplete"), 600, id="it was complete"),
        pytest.param(under_way(-9999, "RolloutPaused"), 600, id="it was paused"),
        pytest.param(under_way(0, message="somebody wrote this"), 600, id="no time in the message"),
        pytest.param(under_way(0, message=None) + under_way(-9999), None, id="the last of two counts"),
        pytest.param(
            under_way(0, message="the last step forward was at 2027-99-99T08:00:00Z"), 600, id="no time at all"
        ),
        pytest.param([{"type": "Progressing", "status": "True", "reason": "RolloutInProgress"}], 600, id="no message"),
        pytest.param(under_way(-9999, "ProgressDeadlineExceeded"), None, id="the deadline has passed"),
    ],
)
def test_a_rollout_begins(before: list[Json], deadline_in_s: float | None) -> None:
    """The time begins when a set that was complete or paused goes on, and goes on where another leader left it."""
    now = status(updated=1)
    assert noted(a_set(before, now), now).again_s == deadline_in_s


# Stalled


def test_stalled_on_an_image() -> None:
    """What a set waits for is said with the pod, the reason, the age and the next step."""
    made = noted(a_set(), status(ready=1), wait=image_pull())
    assert shown(made, "Stalled") == (
        "True",
        "ImagePullBackOff",
        f"waiting for web-1: image cannot be pulled, 4 min; {MEND}",
    )
    assert made.again_s == 240  # then it is 8 min


def waits(text: str, kind: WaitKind = WaitKind.POD_READY) -> Wait:
    (pod,) = pods(text)
    return Wait(kind, pod.name, pod)


CREATED = Wait(WaitKind.POD_READY, "web-1")
INVALID = Wait(WaitKind.INVALID, detail="reserveOrdinals has 'x'; expected a number, or a range such as 3-5")
STALLED: dict[str, tuple[Wait | None, str, tuple[str, str, str], float | None]] = {
    "nothing": (None, "", ("False", "NothingInTheWay", "nothing is waited for"), None),
    "a pod that is being created": (
        CREATED,
        "",
        ("False", "PodPending", "waiting for web-1: it is being created"),
        None,
    ),
    "a pod that has to stay ready": (
        waits("1 v1 ready-for-2s", WaitKind.POD_AVAILABLE),
        "",
        (
            "False",
            "PodNotAvailable",
            "waiting for web-1: it is ready, and has to stay so for minReadySeconds",
        ),
        58,
    ),
    "a pod that has ended": (
        waits("1 v1 Failed", WaitKind.POD_TERMINAL),
        "",
        ("False", "PodEnded", "waiting for web-1: it has ended (Failed); it is replaced"),
        None,
    ),
    "a claim": (
        Wait(WaitKind.CLAIM_GONE, "web-1", None, "www-web-1"),
        "",
        (
            "False",
            "ClaimTerminating",
            "waiting for web-1: its claim is being deleted: www-web-1; it goes when no pod uses it any more",
        ),
        None,
    ),
    "a request that was refused": (
        None,
        'pods "web-1" is forbidden: exceeded quota',
        (
            "True",
            "RequestFailed",
            'the last request failed, and is tried again: pods "web-1" is forbidden: exceeded quota',
        ),
        None,
    ),
    "a pod that cannot be created": (
        CREATED,
        'pods "web-1" is forbidden: exceeded quota',
        (
            "True",
            "RequestFailed",
            "waiting for web-1: it is being created; "
            'the last request failed, and is tried again: pods "web-1" is forbidden: exceeded quota',
        ),
        None,
    ),
    "a broken pod, and a request that was refused": (
        image_pull(),
        "too many requests",
        (
            "True",
            "ImagePullBackOff",
            f"waiting for web-1: image cannot be pulled, 4 min; {MEND}; "
            "the last request failed, and is tried again: too many requests",
        ),
        240,
    ),
    "a set that is not valid": (
        INVALID,
        "",
        (
            "True",
            "Invalid",
            "reserveOrdinals has 'x'; expected a number, or a range such as 3-5; nothing is done; correct it",
        ),
        None,
    ),
}


@pytest.mark.parametrize(("wait", "error", "expected", "again_s"), STALLED.values(), ids=STALLED.keys())
def test_stalled(wait: Wait | None, error: str, expected: tuple[str, str, str], again_s: float | None) -> None:
    """Stalled is true where waiting does not help, and says what does."""
    made = noted(a_set(), status(), wait=wait, error=error)
    assert (shown(made, "Stalled"), made.again_s) == (expected, again_s)


def test_stalled_when_the_deadline_has_passed() -> None:
    """A pod that is merely not ready counts as stalled once the deadline has passed, with a next step."""
    now = status(updated=1, ready=2)
    made = noted(a_set(under_way(-600), now), now, wait=waits("1 v1 was-ready"))
    assert shown(made, "Stalled") == (
        "True",
        "PodNotReady",
        "waiting for web-1: it runs and is not ready, 1 min; see `kubectl describe pod web-1 -n default`",
    )


def test_stalled_by_a_foreign_pod() -> None:
    """A pod of somebody else on our name is said to be the reason, rather than that ours is being created."""
    foreign = read_pod(
        raw_pod("1 v1 ready", ownerReferences=[owner("uid-of-another", name="other", kind="ReplicaSet")])
    )
    made = noted(a_set(), status(), {"web-1": foreign}, wait=CREATED, error='pods "web-1" already exists')
    assert shown(made, "Stalled") == (
        "True",
        "NameConflict",
        "waiting for web-1: a Pod web-1 exists and belongs to ReplicaSet other; delete it, then ours is created; "
        'the last request failed, and is tried again: pods "web-1" already exists',
    )


def test_not_stalled_by_a_pod_that_goes() -> None:
    """A pod of an earlier set of the name that is being deleted is only waited for."""
    former = read_pod(raw_pod("1 v1 ready", ownerReferences=[owner("uid-of-former")], deletionTimestamp=time_at(-1)))
    now = status(updated=1, ready=2)
    made = noted(a_set(under_way(-5), now), now, {"web-1": former}, wait=CREATED)
    assert shown(made, "Stalled")[0] == "False"
    trouble = foreign_trouble(a_set(), former)
    assert trouble.words == "a Pod web-1 exists and belongs to an earlier StatefulSet web"
    assert (trouble.is_stuck, trouble.remedy) == (False, "it is being deleted, then ours is created")


def test_an_invalid_set_claims_nothing() -> None:
    """While a set is not valid, nobody is told that it is available or complete."""
    made = noted(a_set(), status(), wait=INVALID)
    assert shown(made, "Available") == ("Unknown", "Invalid", "not known while the set is not valid")
    assert shown(made, "Progressing") == ("False", "Invalid", "nothing is done while the set is not valid")
    message = "whether the governing Service fits is not known: the set is invalid"
    assert shown(made, "NamesServed") == ("Unknown", "Invalid", message)
    assert made.warnings == ()


def test_where_services_are_not_seen_nothing_is_said_of_them() -> None:
    """Without the right to list Services nobody is told that one is missing."""
    made = noted(a_set(), status(), service=UNSEEN_SERVICE)
    message = "whether the governing Service fits is not known: there are no rights to list Services"
    assert shown(made, "NamesServed") == ("Unknown", "ServicesNotSeen", message)
    assert made.warnings == ()


# Names


LONG = "w" * 53
NAME_FAULTS: dict[str, tuple[dict[str, Any], Service | None, list[tuple[str, str]]]] = {
    "a headless Service that selects the pods": ({}, HEADLESS, []),
    "no serviceName": (
        {"serviceName": ""},
        None,
        [
            (
                "NoServiceName",
                "spec.serviceName is empty, so the pods have no names in the DNS; create the set anew with one",
            )
        ],
    ),
    "no Service": (
        {},
        None,
        [
            (
                "GoverningServiceMissing",
                "Service default/nginx does not exist, so the pods have no names in the DNS; "
                "create it with clusterIP: None",
            )
        ],
    ),
    "a Service with an address": (
        {},
        service(clusterIP="10.96.0.7", selector={"app": "nginx"}),
        [
            (
                "GoverningServiceNotHeadless",
                "Service default/nginx is not headless: its own name gives 10.96.0.7, not the pods; "
                "create it anew with clusterIP: None",
            )
        ],
    ),
    "a Service without an address": (
        {},
        service(selector={"app": "nginx"}),
        [
            (
                "GoverningServiceNotHeadless",
                "Service default/nginx is not headless: its own name gives no address, not the pods; "
                "create it anew with clusterIP: None",
            )
        ],
    ),
    "an ExternalName": (
        {},
        service(type="ExternalName", selector={"app": "other"}),
        [
            (
                "GoverningServiceNotHeadless",
                "Service default/nginx is an ExternalName and names no pods; create it anew with clusterIP: None",
            )
        ],
    ),
    "a selector of other pods": (
        {},
        service(clusterIP="None", selector={"tier": "back", "app": "ngnix"}),
        [
            (
                "SelectorMissesPods",
                "Service default/nginx selects app=ngnix,tier=back, which the pod template does not have; "
                "correct one of the two",
            )
        ],
    ),
    "no selector": (
        {},
        service(clusterIP="None", selector=None),
        [
            (
                "SelectorMissesPods",
                "Service default/nginx has no selector, so no pod is in it unless somebody writes EndpointSlices; "
                "give it one",
            )
        ],
    ),
    "two faults of one Service": (
        {},
        service(clusterIP="10.96.0.7", selector={"app": "ngnix"}),
        [
            (
                "GoverningServiceNotHeadless",
                "Service default/nginx is not headless: its own name gives 10.96.0.7, not the pods; "
                "create it anew with clusterIP: None",
            ),
            (
                "SelectorMissesPods",
                "Service default/nginx selects app=ngnix, which the pod template does not have; correct one of the two",
            ),
        ],
    ),
}


@pytest.mark.parametrize(("spec", "found", "expected"), NAME_FAULTS.values(), ids=NAME_FAULTS.keys())
def test_governing_service(spec: Json, found: Service | None, expected: list[tuple[str, str]]) -> None:
    """What breaks names is an event each, and the condition says all of it."""
    made = noted(a_set(spec=spec), status(), service=found)
    assert list(made.warnings) == expected
    if expected:
        assert shown(made, "NamesServed") == ("False", expected[0][0], "; ".join(message for _, message in expected))


NAMES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a name of 52 octets": ("w" * 52, {}, ""),
    "a name of 53 octets": (
        "w" * 53,
        {},
        f"{'w' * 53} has 53 octets; with the hash of a revision that makes a label of more than 63, with which no pod "
        "can be created; create the set anew with a name of at most 52",
    ),
    "name and ordinal of 63 octets": (
        "w" * 52,
        {"replicas": 1, "start": 2147483647},
        "",
    ),
    "name and highest ordinal of 64 octets": (
        "w" * 61,
        {"replicas": 11},
        f"{'w' * 61}-10 has 64 octets, and a host name at most 63, so this pod cannot be created; "
        "create the set anew with a shorter name",
    ),
    "name and highest ordinal of 63 octets": (
        "w" * 61,
        {"replicas": 10},
        f"{'w' * 61} has 61 octets; with the hash of a revision that makes a label of more than 63, with which no pod "
        "can be created; create the set anew with a name of at most 52",
    ),
    "no pods": ("w" * 52, {"replicas": 0}, ""),
}


@pytest.mark.parametrize(("name", "options", "message"), NAMES.values(), ids=NAMES.keys())
def test_long_names(name: str, options: dict[str, Any], message: str) -> None:
    """A name is too long where the host name of the highest ordinal or the label of a revision would be."""
    raw = raw_set(**options)
    raw["metadata"]["name"] = name
    assert name_faults(read_set(raw), {}, HEADLESS) == ([("NameTooLong", message)] if message else [])


OTHER = {"metadata": {"labels": {"app": "other"}}}
FOREIGN: dict[str, tuple[Json, str]] = {
    "ours": ({}, ""),
    "of another set": (
        {"ownerReferences": [owner("uid-of-another", name="other")]},
        "a Pod web-0 exists and belongs to StatefulSet other; delete it, then ours is created",
    ),
    "of a former set of the name": (
        {"ownerReferences": [owner("uid-of-former")]},
        "a Pod web-0 exists and belongs to an earlier StatefulSet web; the garbage collector deletes it, "
        "then ours is created",
    ),
    "of a former set of the name, on its way out": (
        {"ownerReferences": [owner("uid-of-former")], "deletionTimestamp": time_at(-1)},
        "",
    ),
    "an orphan that is about to be adopted": ({"ownerReferences": []}, ""),
    "an orphan on its way out": ({"ownerReferences": [], "deletionTimestamp": time_at(-1)}, ""),
    "an orphan with other labels": (
        {"ownerReferences": [], "labels": {"app": "other"}},
        "a Pod web-0 exists and belongs to nobody, and its labels are not the set's; delete it, then ours is created",
    ),
    "owned, but managed by nobody": (
        {"ownerReferences": [owner("uid-of-another", controller=False)], "labels": {"app": "other"}},
        "a Pod web-0 exists and belongs to nobody, and its labels are not the set's; delete it, then ours is created",
    ),
}


@pytest.mark.parametrize(("metadata", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_pods(metadata: Json, message: str) -> None:
    """A pod in the way is told with its owner; one that is ours, or is about to be, is not."""
    found = {"web-0": read_pod(raw_pod("0 v1 ready", **metadata))}
    assert name_faults(a_set(), found, HEADLESS) == ([("NameConflict", message)] if message else [])


def test_only_the_first_foreign_pod_is_told() -> None:
    """Hundreds of pods in the way are one warning."""
    theirs = {"ownerReferences": [owner("uid-of-another", name="other")]}
    found = {f"web-{n}": read_pod(raw_pod(f"{n} v1 ready", **theirs)) for n in range(200)}
    assert [reason for reason, _ in name_faults(a_set(), found, HEADLESS)] == ["NameConflict"]


# Stability


SITUATIONS: dict[str, tuple[dict[str, Any], Status, Wait | None, str]] = {
    "complete": ({}, status(), None, ""),
    "under way": ({}, status(updated=1), waits("1 v1 was-ready"), ""),
    "stalled": ({}, status(ready=1), image_pull(), ""),
    "refused": ({}, status(ready=1), CREATED, "no"),
    "invalid": ({}, status(), INVALID, ""),
    "paused": ({"annotations": {"headlessdns.io/paused": "true"}}, status(updated=1), None, ""),
}


@pytest.mark.parametrize(("options", "now", "wait", "error"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_conditions_are_stable(options: dict[str, Any], now: Status, wait: Wait | None, error: str) -> None:
    """The same state gives the same conditions until a time that is told, so that no status is written in between."""
    first = noted(a_set(old=now, **options), now, wait=wait, error=error)
    for part in (0.1, 0.5, 0.99):
        after_s = part * (first.again_s if first.again_s is not None else 1e6)
        later = noted(a_set(first.conditions, now, **options), now, wait=wait, error=error, after_s=after_s)
        assert later.conditions == first.conditions
        assert later.warnings == first.warnings
    if first.again_s is not None:
        then = noted(a_set(first.conditions, now, **options), now, wait=wait, error=error, after_s=first.again_s)
        assert then.conditions != first.conditions


def test_a_stalled_set_writes_its_status_seldom() -> None:
    """In a day a set that is stuck changes its conditions twelve times: the deadline, and an age for each step."""
    now = status(ready=1)
    wait = image_pull(0)
    made = noted(a_set(old=now), now, wait=wait)
    changes, after_s = 0, 0.0
    while made.again_s is not None and after_s + made.again_s <= 86400:
        after_s += made.again_s
        later = noted(a_set(made.conditions, now), now, wait=wait, after_s=after_s)
        changes += later.conditions != made.conditions
        made = later
    assert changes == 12
    assert shown(made, "Stalled")[2] == f"waiting for web-1: image cannot be pulled, 1 day; {MEND}"


states = st.sampled_from(["ready", "pending", "was-ready", "never-ready", "Failed", "ready-for-2s", "unknown"])


@given(
    found=st.lists(states, max_size=3),
    now=st.builds(status, *[st.integers(0, 3)] * 3),
    old=st.builds(status, *[st.integers(0, 3)] * 3),
    which=st.sampled_from([None, CREATED, INVALID, image_pull(), waits("1 v1 was-ready")]),
    error=st.sampled_from(["", "refused"]),
    min_ready_s=st.sampled_from([0, 5]),
)
def test_any_situation_settles(
    found: list[str], now: Status, old: Status, which: Wait | None, error: str, min_ready_s: int
) -> None:
    """Whatever the situation, the conditions that were written are the ones that would be written next."""
    text = ", ".join(f"{ordinal} v1 {state}" for ordinal, state in enumerate(found))
    first = noted(a_set(old=old, min_ready_s=min_ready_s), now, text, wait=which, error=error)
    again = noted(a_set(first.conditions, now, min_ready_s=min_ready_s), now, text, wait=which, error=error)
    assert again.conditions == first.conditions
    assert [one["type"] for one in again.conditions] == ["Available", "Progressing", "Stalled", "NamesServed"]
    for one in again.conditions:
        assert set(one) == {"type", "status", "reason", "message", "lastTransitionTime"}
        assert one["status"] in ("True", "False", "Unknown")
        assert one["reason"].isalnum()
        assert one["message"]


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(SITUATIONS)), ids=lambda name: name)
def test_from_one_situation_to_the_next(first: str, second: str) -> None:
    """What a condition says depends on the state, not on what it was before, but for the times in it."""
    options, now, wait, error = SITUATIONS[second]
    _, before, wait_before, error_before = SITUATIONS[first]
    there = noted(a_set(old=before), before, wait=wait_before, error=error_before)
    fresh = noted(a_set(old=now, **options), now, wait=wait, error=error)
    made = noted(a_set(there.conditions, before, **options), now, wait=wait, error=error)
    for type in conditions.OURS:
        assert shown(made, type) == shown(fresh, type)
