"""What there is to see of a lab."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.view import MAX_ABSENT, Change, Headline, Row, View

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
LONG_AGO = "2025-12-31T23:00:00Z"
OLD, NEW = "web-old", "web-new"
UNREADY = "containers with unready status: [nginx]"


def a_set(replicas: int | None = 3, *, kind: str = "StatefulSet", status: Any = None, **spec: Any) -> dict[str, Any]:
    api_version = "apps/v1" if kind == "StatefulSet" else "headlessdns.io/v1alpha1"
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "serviceName": "nginx", **spec},
        "status": {"readyReplicas": 0, "currentRevision": OLD, "updateRevision": OLD, **(status or {})},
    }


def a_pod(
    ordinal: int,
    *,
    ready: bool = True,
    phase: str = "Running",
    terminating: str = "",
    since: str = LONG_AGO,
    revision: str = OLD,
    message: str = "",
    waiting: str = "",
    **spec: Any,
) -> dict[str, Any]:
    name = f"web-{ordinal}"
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": True}
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "creationTimestamp": LONG_AGO,
        "labels": {"controller-revision-hash": revision},
        "ownerReferences": [owner],
    }
    if terminating:
        metadata |= {"deletionTimestamp": terminating, "deletionGracePeriodSeconds": 30}
    ready_condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since, "message": message}
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": LONG_AGO}}
    container = {"name": "nginx", "image": "nginx", "imageID": "", "ready": ready, "restartCount": 0, "state": state}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"hostname": name, "subdomain": "nginx", "nodeName": "node-1", "containers": [{"name": "nginx"}]}
        | spec,
        "status": {
            "phase": phase,
            "podIPs": [{"ip": f"10.244.0.{ordinal + 2}"}],
            "conditions": [ready_condition],
            "containerStatuses": [container],
        },
    }


def shown(view: View, now_s: float = NOW_S) -> list[Change]:
    return view.changes(now_s)


def view_of(stateful_set: dict[str, Any] | None, *pods: dict[str, Any], now_s: float = NOW_S) -> View:
    view = View()
    if stateful_set is not None:
        resource = "statefulsets.apps" if stateful_set["kind"] == "StatefulSet" else "ordinalsets.headlessdns.io"
        view.take(resource, "ADDED", stateful_set)
    for pod in pods:
        view.take("pods", "ADDED", pod)
    view.changes(now_s)
    return view


def words(view: View) -> dict[str, str]:
    return {row.pod: row.waits_for for group in view.groups() for row in group.rows}


def test_row_says_all_of_a_pod() -> None:
    """A row has the set, the pod, its addresses, kubectl's word for its state, and its name in the DNS."""
    pod = a_pod(0)
    pod["status"]["podIPs"].append({"ip": "fd00::2"})
    [group] = view_of(a_set(1, status={"readyReplicas": 1}), pod).groups()
    name = "web-0.nginx.default.svc.cluster.local"
    assert group.rows == [Row("default/web", "web-0", "10.244.0.2, fd00::2", "Running", True, name, "", "")]
    assert group.head == Headline("StatefulSet", "default/web", 1, None, 1, "")


def test_name_follows_the_pod() -> None:
    """The name is made of the pod's host name and subdomain, and there is none without a subdomain."""
    view = view_of(a_set(2), a_pod(0, hostname="db", subdomain="other"), a_pod(1, subdomain=None))
    assert [row.name for row in view.groups()[0].rows] == ["db.other.default.svc.cluster.local", ""]


def test_name_of_a_pod_to_come_follows_the_set() -> None:
    """A pod that is still to be created has the name that it will have, where the set has a Service."""
    assert view_of(a_set(1)).names() == ["web-0.nginx.default.svc.cluster.local"]
    assert view_of(a_set(1, serviceName="")).names() == []


PARALLEL = {"podManagementPolicy": "Parallel"}
UPDATING = {"updateRevision": NEW}
AN_HOUR_LATE, JUST_NOW = LONG_AGO, "2026-01-01T00:00:20Z"

WORDS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, str]]] = {
    "each ordinal waits for the one before it": (
        a_set(3),
        [],
        {"web-0": "is to be created", "web-1": "waits for web-0", "web-2": "waits for web-1"},
    ),
    "parallel ordinals wait for none": (
        a_set(2, **PARALLEL),
        [],
        {"web-0": "is to be created", "web-1": "is to be created"},
    ),
    "the next is created once the one before it is ready": (
        a_set(2),
        [a_pod(0)],
        {"web-0": "", "web-1": "is to be created"},
    ),
    "an earlier one that broke holds up a later one": (
        a_set(3),
        [a_pod(0, ready=False), a_pod(1)],
        {"web-0": "it runs and is not ready", "web-1": "", "web-2": "waits for web-0"},
    ),
    "a pod that ends holds up the next one": (
        a_set(2),
        [a_pod(0, terminating=JUST_NOW)],
        {"web-0": "it is terminating", "web-1": "waits for web-0"},
    ),
    "ordinals begin where the set says": (
        a_set(2, ordinals={"start": 5}),
        [],
        {"web-5": "is to be created", "web-6": "waits for web-5"},
    ),
    "a pod that starts": (
        a_set(1),
        [a_pod(0, phase="Pending", ready=False)],
        {"web-0": "it is being started"},
    ),
    "which containers are not ready goes without saying": (
        a_set(1),
        [a_pod(0, ready=False, message=UNREADY)],
        {"web-0": "it runs and is not ready"},
    ),
    "what is not usual is said": (
        a_set(1),
        [a_pod(0, ready=False, message="the node is lost")],
        {"web-0": "it runs and is not ready (the node is lost)"},
    ),
    "an image that is not there": (
        a_set(1),
        [a_pod(0, phase="Pending", ready=False, waiting="ErrImagePull")],
        {"web-0": "image cannot be pulled"},
    ),
    "a pod that does not end": (
        a_set(1),
        [a_pod(0, terminating=AN_HOUR_LATE)],
        {"web-0": "it should have ended by now; its node node-1 may be lost"},
    ),
    "a pod that has to stay ready for a while": (
        a_set(2, minReadySeconds=10),
        [a_pod(0, since="2025-12-31T23:59:55Z")],
        {"web-0": "it is ready, and has to stay so for minReadySeconds", "web-1": "waits for web-0"},
    ),
    "a pod of an earlier template": (
        a_set(1, status=UPDATING),
        [a_pod(0)],
        {"web-0": "is to be replaced: the template has changed"},
    ),
    "a pod of the present template": (a_set(1, status=UPDATING), [a_pod(0, revision=NEW)], {"web-0": ""}),
    "pods below the partition stay": (
        a_set(2, status=UPDATING, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}),
        [a_pod(0), a_pod(1)],
        {"web-0": "", "web-1": "is to be replaced: the template has changed"},
    ),
    "pods of a set that replaces none stay": (
        a_set(1, status=UPDATING, updateStrategy={"type": "OnDelete"}),
        [a_pod(0)],
        {"web-0": ""},
    ),
    "the highest goes first": (
        a_set(1),
        [a_pod(0), a_pod(1), a_pod(10, terminating=JUST_NOW), a_pod(2)],
        {"web-0": "", "web-1": "is to go after web-2", "web-2": "is to go after web-10", "web-10": "it is terminating"},
    ),
    "parallel ones go together": (
        a_set(0, **PARALLEL),
        [a_pod(0), a_pod(1)],
        {"web-0": "is to go", "web-1": "is to go"},
    ),
    "replicas that are not said are one": (a_set(None), [], {"web-0": "is to be created"}),
}


@pytest.mark.parametrize(("stateful_set", "pods", "expected"), WORDS.values(), ids=WORDS.keys())
def test_words(stateful_set: dict[str, Any], pods: list[dict[str, Any]], expected: dict[str, str]) -> None:
    """Each row says what is still to happen, in the order of the ordinals, and nothing where all is well."""
    found = words(view_of(stateful_set, *pods))
    assert list(found.items()) == list(expected.items())


STALLED = {"type": "Stalled", "status": "True", "message": "web-1: image cannot be pulled"}
NAMELESS = {"type": "NamesServed", "status": "False", "message": "there is no Service nginx"}
WELL = [{"type": "Stalled", "status": "False", "message": "no"}, {"type": "NamesServed", "status": "True"}]
HEADS: dict[str, tuple[dict[str, Any], str, str]] = {
    "how far it is": (a_set(3, status={"readyReplicas": 2}), "StatefulSet default/web: 2 of 3 ready", ""),
    "how far an update is": (
        a_set(3, status={"readyReplicas": 3, "updateRevision": NEW, "updatedReplicas": 1}),
        "StatefulSet default/web: 3 of 3 ready, 1 of 3 updated",
        "",
    ),
    "an OrdinalSet": (a_set(1, kind="OrdinalSet"), "OrdinalSet default/web: 0 of 1 ready", ""),
    "stalled": (
        a_set(2, status={"conditions": [STALLED]}),
        "StatefulSet default/web: 0 of 2 ready",
        STALLED["message"],
    ),
    "without names": (
        a_set(1, status={"conditions": [NAMELESS, STALLED]}),
        "StatefulSet default/web: 0 of 1 ready",
        "web-1: image cannot be pulled; there is no Service nginx",
    ),
    "conditions that are well": (a_set(1, status={"conditions": WELL}), "StatefulSet default/web: 0 of 1 ready", ""),
}


@pytest.mark.parametrize(("stateful_set", "text", "trouble"), HEADS.values(), ids=HEADS.keys())
def test_head(stateful_set: dict[str, Any], text: str, trouble: str) -> None:
    """The head of a set says how far it is, and its trouble is what its conditions say."""
    [group] = view_of(stateful_set).groups()
    assert (group.head.text, group.head.trouble) == (text, trouble)


def test_only_what_changed_is_told() -> None:
    """Of ten pods the one that became ready is told, once."""
    view = view_of(a_set(10, **PARALLEL), *(a_pod(ordinal, ready=False) for ordinal in range(10)))
    view.take("pods", "MODIFIED", a_pod(4))
    [row] = shown(view)
    assert isinstance(row, Row)
    assert (row.pod, row.ready) == ("web-4", True)
    assert shown(view) == []


def test_what_passes_between_two_looks_is_not_told() -> None:
    """Events that cancel each other out are no change."""
    view = view_of(a_set(1), a_pod(0))
    view.take("pods", "MODIFIED", a_pod(0, ready=False))
    view.take("pods", "MODIFIED", a_pod(0))
    assert shown(view) == []


def test_answers_are_told() -> None:
    """What the DNS answers stands in the row of that name, and is told when it is another one."""
    view = view_of(a_set(2), a_pod(0), a_pod(1))
    view.answered("web-1.nginx.default.svc.cluster.local", "10.244.0.3")
    [row] = shown(view)
    assert isinstance(row, Row)
    assert (row.pod, row.answer) == ("web-1", "10.244.0.3")
    view.answered("web-1.nginx.default.svc.cluster.local", "10.244.0.3")
    view.answered("nobody.asked.for.this", "NXDOMAIN")
    assert shown(view) == []


def test_answers_of_before_are_forgotten() -> None:
    """A row that comes back, as its set was scaled down and up, was not asked for yet."""
    view = view_of(a_set(1), a_pod(0))
    view.answered("web-0.nginx.default.svc.cluster.local", "10.244.0.2")
    view.take("statefulsets.apps", "MODIFIED", a_set(0))
    view.take("pods", "DELETED", a_pod(0))
    gone = shown(view)
    assert [row.is_gone for row in gone if isinstance(row, Row)] == [True]
    view.take("statefulsets.apps", "MODIFIED", a_set(1))
    assert [row.answer for row in shown(view) if isinstance(row, Row)] == [""]


def test_time_alone_changes_what_is_said() -> None:
    """A pod that should have ended by now is told of without any event."""
    view = view_of(a_set(1), a_pod(0, terminating="2025-12-31T23:59:50Z"))
    assert words(view) == {"web-0": "it is terminating"}
    assert shown(view, NOW_S + 49) == []
    assert [row.waits_for for row in shown(view, NOW_S + 51) if isinstance(row, Row)] == [
        "it should have ended by now; its node node-1 may be lost"
    ]


def test_time_alone_makes_a_pod_available() -> None:
    """The next pod's turn comes when minReadySeconds are over, without any event."""
    view = view_of(a_set(2, minReadySeconds=10), a_pod(0, since="2025-12-31T23:59:55Z"))
    shown(view, NOW_S + 6)
    assert words(view) == {"web-0": "", "web-1": "is to be created"}


def test_deleted_set_stays_until_its_pods_are_gone() -> None:
    """A set that was deleted is told as such, and shown with its pods as long as there are some."""
    view = view_of(a_set(1), a_pod(0))
    view.take("statefulsets.apps", "DELETED", a_set(1))
    told = shown(view)
    assert [one.text for one in told if isinstance(one, Headline)] == ["StatefulSet default/web: deleted"]
    assert words(view) == {"web-0": "is to go"}
    view.take("pods", "DELETED", a_pod(0))
    assert [row.is_gone for row in shown(view) if isinstance(row, Row)] == [True]
    assert view.groups() == []
    assert view.names() == []


def test_pods_of_others_are_no_rows() -> None:
    """A pod that no set controls, or one that was let go, is not shown."""
    foreign, orphan = a_pod(1), a_pod(0)
    foreign["metadata"]["ownerReferences"][0]["kind"] = "ReplicaSet"
    view = view_of(a_set(0), foreign, orphan)
    assert list(words(view)) == ["web-0"]
    del orphan["metadata"]["ownerReferences"]
    view.take("pods", "MODIFIED", orphan)
    assert [row.is_gone for row in shown(view) if isinstance(row, Row)] == [True]


def test_pod_that_moves_to_another_set_moves() -> None:
    """A pod whose controller is another one is a row there and none here."""
    view = view_of(a_set(0), a_pod(0))
    moved = a_pod(0)
    moved["metadata"]["ownerReferences"][0]["kind"] = "OrdinalSet"
    view.take("ordinalsets.headlessdns.io", "ADDED", a_set(1, kind="OrdinalSet"))
    view.take("pods", "MODIFIED", moved)
    shown(view)
    assert [(group.head.kind, [row.pod for row in group.rows]) for group in view.groups()] == [
        ("OrdinalSet", ["web-0"]),
        ("StatefulSet", []),
    ]


def test_sets_stand_in_order() -> None:
    """Sets are ordered by namespace and name, whatever came first."""
    view = View()
    for namespace, name in (("b", "a"), ("a", "z"), ("a", "b")):
        one = a_set(0)
        one["metadata"] = {"namespace": namespace, "name": name}
        view.take("statefulsets.apps", "ADDED", one)
    shown(view)
    assert [group.head.set for group in view.groups()] == ["a/b", "a/z", "b/a"]


@pytest.mark.parametrize("replicas", [1000, 2_000_000_000])
def test_few_of_many_that_are_to_come_are_rows(replicas: int) -> None:
    """Of a huge set the next twenty pods are shown besides those that are there, in no time."""
    assert MAX_ABSENT == 20
    view = view_of(a_set(replicas, **PARALLEL), a_pod(3), a_pod(500))
    assert [row.pod for row in view.groups()[0].rows] == [*(f"web-{n}" for n in range(21)), "web-500"]


def test_other_kinds_are_passed_over() -> None:
    """Whatever is no set and no pod changes nothing."""
    view = view_of(a_set(1))
    view.take("services", "ADDED", {"metadata": {"name": "web", "namespace": "default"}})
    assert shown(view) == []
