"""Objects made small: what the controller reads of them stays, and equal parts are one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.controller import explain, model
from headlessdns.controller.slim import Pool, slim

Json = dict[str, Any]
TIME = "2026-11-21T08:00:00Z"
OWNER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": True}


def raw_pod(name: str, **status: Any) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-of-{name}",
            "resourceVersion": "7",
            "creationTimestamp": TIME,
            "labels": {"app": "web", "statefulset.kubernetes.io/pod-name": name},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "nodeName": "node-1",
            "volumes": [
                {"name": "www", "persistentVolumeClaim": {"claimName": f"www-{name}"}},
                {"name": "token", "projected": {"sources": []}},
            ],
        },
        "status": {
            "phase": "Running",
            "startTime": TIME,
            "conditions": [
                {"type": "Initialized", "status": "True", "lastTransitionTime": TIME},
                {"type": "Ready", "status": "True", "lastTransitionTime": TIME},
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": TIME},
            ],
            "containerStatuses": [{"name": "nginx", "state": {"running": {"startedAt": TIME}}}],
            **status,
        },
    }


def read(raw: Json) -> model.Pod:
    return model.POD.decode(msgspec.json.encode(raw))


def test_what_is_kept_of_a_pod() -> None:
    """Of a pod its identity, claims and readiness are kept; volumes and conditions that nobody reads are not."""
    pod = read(raw_pod("web-0"))
    slim(pod, Pool())
    assert msgspec.to_builtins(pod) == {
        "metadata": {
            "name": "web-0",
            "namespace": "shop",
            "uid": "uid-of-web-0",
            "resourceVersion": "7",
            "creationTimestamp": TIME,
            "deletionTimestamp": None,
            "labels": {"app": "web", "statefulset.kubernetes.io/pod-name": "web-0"},
            "ownerReferences": (OWNER,),
        },
        "spec": {
            "nodeName": "node-1",
            "volumes": ({"name": "www", "persistentVolumeClaim": {"claimName": "www-web-0"}},),
        },
        "status": {
            "phase": "Running",
            "reason": None,
            "message": None,
            "startTime": TIME,
            "conditions": (
                {"type": "Ready", "status": "True", "lastTransitionTime": TIME, "reason": None, "message": None},
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": TIME, "reason": None, "message": None},
            ),
            "initContainerStatuses": None,
            "containerStatuses": ({"name": "nginx", "restartCount": 0, "state": {"waiting": None}},),
        },
        "was_ready": False,
    }


def test_what_two_pods_share() -> None:
    """Two pods of one set share their owner, node, namespace, labels and containers, and each its own times."""
    pool = Pool()
    one, other = read(raw_pod("web-0")), read(raw_pod("web-1"))
    for pod in (one, other):
        slim(pod, pool)
    assert one.metadata.owner_references is other.metadata.owner_references
    assert one.metadata.namespace is other.metadata.namespace
    assert one.spec.node_name is other.spec.node_name
    assert one.status.container_statuses is other.status.container_statuses
    assert one.metadata.labels is not None
    assert other.metadata.labels is not None
    assert [a is b for a, b in zip(one.metadata.labels, other.metadata.labels, strict=True)] == [True, True]
    assert one.metadata.labels["app"] is other.metadata.labels["app"]
    assert one.metadata.labels["statefulset.kubernetes.io/pod-name"] is one.metadata.name
    ready = one.condition("Ready")
    assert ready is not None
    assert ready.last_transition_time is one.status.start_time is one.metadata.creation_timestamp


CLAIM = {
    "metadata": {"name": "www-web-0", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
    "status": {"phase": "Bound"},
}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"spec": {"storageClassName": "slow", "resources": {"requests": {"storage": "1Gi"}}}}, id="class"),
        pytest.param({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}}, id="size"),
        pytest.param({"spec": {"resources": {"requests": None}}}, id="nothing is asked for"),
        pytest.param({"spec": {}}, id="no resources"),
        pytest.param({"metadata": {"name": "x", "labels": {"app": "db"}}}, id="labels"),
        pytest.param({"metadata": {"name": "x"}}, id="no labels"),
        pytest.param({"status": {"phase": "Pending"}}, id="phase"),
    ],
)
def test_claims(other: Json) -> None:
    """Claims that differ stay different, whatever they share."""
    pool = Pool()
    first, same, different = (model.read_claim(raw) for raw in (CLAIM, CLAIM, CLAIM | other))
    for claim in (first, same, different):
        slim(claim, pool)
    assert first.spec is same.spec
    assert first.metadata.labels is same.metadata.labels
    assert first == model.read_claim(CLAIM)
    assert different == model.read_claim(CLAIM | other)


def test_a_revision_lets_its_list_go() -> None:
    """The data of a revision are a copy of their own, not a window on the list that they came in."""
    page = msgspec.json.encode({"metadata": {"name": "web-1"}, "data": {"spec": {"x": "y" * 100}}, "revision": 3})
    revision = model.REVISION.decode(page)
    before = revision.data
    slim(revision, Pool())
    assert revision.data is not before
    assert bytes(revision.data) == bytes(before)
    assert revision.data.copy() is revision.data


def test_a_pool_stays_small() -> None:
    """A pool that is full begins anew, and what was shared before stays as it is."""
    pool = Pool(limit=100)
    for number in range(1000):
        raw = raw_pod(f"web-{number}")
        raw["metadata"]["labels"]["n"] = f"value-{number}"
        pod = read(raw)
        slim(pod, pool)
        assert pod.labels["n"] == f"value-{number}"
    assert len(pool.known) < 120


conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "PodScheduled", "Initialized"]),
            "status": st.sampled_from(["True", "False"]),
        },
        optional={
            "lastTransitionTime": st.sampled_from([None, TIME, "2026-11-21T07:00:00Z"]),
            "message": st.sampled_from([None, "no room"]),
            "reason": st.sampled_from([None, "Unschedulable", "SchedulingGated"]),
        },
    ),
    max_size=3,
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("ab")},
        optional={
            "state": st.sampled_from(
                [None, {}, {"running": {}}, {"waiting": {"reason": "ErrImagePull"}}, {"waiting": {"reason": None}}]
            )
        },
    ),
    max_size=2,
)


@given(
    phase=st.sampled_from([None, "Pending", "Running", "Failed", "Unknown"]),
    conditions=st.none() | conditions,
    init=st.none() | containers,
    usual=st.none() | containers,
    deleted=st.sampled_from([None, TIME]),
)
def test_any_pod_means_the_same(
    phase: str | None, conditions: list[Json] | None, init: list[Json] | None, usual: list[Json] | None, deleted: Any
) -> None:
    """Whatever is asked of a pod, the answer is the same before and after."""
    raw = raw_pod("web-0", phase=phase, conditions=conditions, initContainerStatuses=init, containerStatuses=usual)
    raw["metadata"]["deletionTimestamp"] = deleted
    whole, small = read(raw), read(raw)
    slim(small, Pool())
    now_s = 1_800_000_000
    assert explain.trouble_of(small, now_s) == explain.trouble_of(whole, now_s)
    assert small.is_running_and_ready == whole.is_running_and_ready
    assert small.available_in_s(5, now_s) == whole.available_in_s(5, now_s)
    assert small.metadata == whole.metadata
    assert small.phase == whole.phase
