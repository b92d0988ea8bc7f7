"""Tables: cells of objects as people read them. That they are those of kube-apiserver is tested beside it."""

from __future__ import annotations

from typing import Any

import pytest

from headlessdns.lab.api import jsonpath
from headlessdns.lab.api.cells import duration, since
from headlessdns.lab.api.kinds import RESOURCES, Resource
from headlessdns.lab.api.tables import KINDS, table

Json = dict[str, Any]
BY_KIND = {resource.kind: resource for resource in RESOURCES}
SET = Resource("headlessdns.io", "v1alpha1", "OrdinalSet", "ordinalsets", "ordinalset")

# 2026-11-21 12:00:00 UTC; what the tests look at was made 90 s before.
NOW_S = 1_795_262_400
MADE = "2026-11-21T11:58:30Z"


def made(kind: str, name: str = "web", **fields: Any) -> Json:
    metadata = {"name": name, "creationTimestamp": MADE, "resourceVersion": "7"} | fields.pop("metadata", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def status(state: Json, **fields: Any) -> Json:
    return {"name": "c", "restartCount": 0, "ready": False, "state": state, **fields}


def pod(*containers: Json, phase: str = "Running", metadata: Json | None = None, **fields: Any) -> Json:
    spec = {"containers": [{"name": "c"}] * max(1, len(containers)), **fields.pop("spec", {})}
    told = {"phase": phase, "containerStatuses": list(containers), **fields}
    return made("Pod", "web-0", metadata=metadata or {}, spec=spec, status=told)


RUNS: Json = {"running": {}}
READY = status(RUNS, ready=True)
LOOP: Json = {"waiting": {"reason": "CrashLoopBackOff"}}
ERROR: Json = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-21T11:56:00Z"}}
OLDER: Json = {"terminated": {"exitCode": 1, "finishedAt": "2026-11-21T10:00:00Z"}}
PREPARES: Json = {"waiting": {"reason": "PodInitializing"}}
DONE: Json = {"terminated": {"exitCode": 0, "reason": "Completed"}}
TERMINATING = {"deletionTimestamp": "2026-11-21T12:00:30Z"}
TWO_INITS = {"initContainers": [{"name": "a"}, {"name": "b"}]}
SIDECAR = {"initContainers": [{"name": "c", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        pytest.param(pod(READY), ["1/1", "Running", "0"], id="ready"),
        pytest.param(pod(phase="Pending"), ["0/1", "Pending", "0"], id="not on a node yet"),
        pytest.param(pod(READY, status(RUNS)), ["1/2", "Running", "0"], id="one of two ready"),
        pytest.param(
            pod(status(LOOP, restartCount=3, lastState=ERROR)),
            ["0/1", "CrashLoopBackOff", "3 (4m ago)"],
            id="crash loop",
        ),
        pytest.param(pod(status(ERROR), phase="Failed"), ["0/1", "Error", "0"], id="failed"),
        pytest.param(pod(status(DONE), phase="Succeeded"), ["0/1", "Completed", "0"], id="completed"),
        pytest.param(pod(READY, status(DONE)), ["1/2", "NotReady", "0"], id="one completed, not Ready"),
        pytest.param(
            pod(phase="Pending", spec=TWO_INITS, initContainerStatuses=[status({"waiting": {}})]),
            ["0/1", "Init:0/2", "0"],
            id="first init container",
        ),
        pytest.param(
            pod(phase="Pending", spec=TWO_INITS, initContainerStatuses=[status(DONE), status(ERROR, restartCount=1)]),
            ["0/1", "Init:Error", "1"],
            id="second init container failed",
        ),
        pytest.param(
            pod(READY, spec=SIDECAR, initContainerStatuses=[status(RUNS, ready=True, started=True, restartCount=2)]),
            ["2/2", "Running", "2"],
            id="sidecar counts",
        ),
        pytest.param(
            pod(status(RUNS, restartCount=1, lastState=OLDER), status(RUNS, restartCount=1, lastState=ERROR)),
            ["0/2", "Running", "2 (4m ago)"],
            id="the latest of several restarts",
        ),
        pytest.param(
            pod(status(RUNS, lastState=ERROR)), ["0/1", "Running", "0"], id="ended once, counted as no restart"
        ),
        pytest.param(
            pod(status(ERROR), status(LOOP)), ["0/2", "Error", "0"], id="the first container has the last word"
        ),
        pytest.param(pod(status(DONE), status(ERROR)), ["0/2", "Error", "0"], id="an error is not hidden by Completed"),
        pytest.param(
            pod(phase="Pending", spec=TWO_INITS, initContainerStatuses=[status(PREPARES), status(PREPARES)]),
            ["0/1", "Init:0/2", "0"],
            id="init containers are prepared",
        ),
        pytest.param(
            pod(READY, spec=TWO_INITS, initContainerStatuses=[status(DONE, restartCount=5), status(DONE)]),
            ["1/1", "Running", "0"],
            id="restarts of init containers that are done do not count",
        ),
        pytest.param(pod(READY, metadata=TERMINATING), ["1/1", "Terminating", "0"], id="terminating"),
        pytest.param(
            pod(status(DONE), phase="Succeeded", metadata=TERMINATING),
            ["0/1", "Completed", "0"],
            id="ended, not yet gone",
        ),
        pytest.param(pod(READY, metadata=TERMINATING, reason="NodeLost"), ["1/1", "Unknown", "0"], id="node lost"),
        pytest.param(
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            ["0/1", "SchedulingGated", "0"],
            id="scheduling gate",
        ),
    ],
)
def test_pod_words(given: Json, cells: list[str]) -> None:
    """READY, STATUS and RESTARTS of a pod say how it is."""
    assert table(BY_KIND["Pod"], [given], NOW_S)["rows"][0]["cells"][1:4] == cells


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        pytest.param(
            pod(READY, spec={"nodeName": "node-1"}, podIPs=[{"ip": "10.244.1.10"}]),
            ["web-0", "1/1", "Running", "0", "90s", "10.244.1.10", "node-1", "<none>", "<none>"],
            id="pod",
        ),
        pytest.param(
            made(
                "Service", spec={"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80, "protocol": "TCP"}]}
            ),
            ["web", "ClusterIP", "None", "<none>", "80/TCP", "90s", "<none>"],
            id="headless service",
        ),
        pytest.param(
            made(
                "Endpoints", subsets=[{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]
            ),
            ["web", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", "90s"],
            id="endpoints",
        ),
        pytest.param(
            made("EndpointSlice", addressType="IPv4", endpoints=[{"addresses": ["10.0.0.1"]}], ports=[]),
            ["web", "IPv4", "<unset>", "10.0.0.1", "90s"],
            id="slice without ports",
        ),
        pytest.param(
            made(
                "StatefulSet",
                spec={"replicas": 3, "template": {"spec": {"containers": [{"name": "nginx", "image": "nginx:1"}]}}},
                status={"readyReplicas": 2},
            ),
            ["web", "2/3", "90s", "nginx", "nginx:1"],
            id="set",
        ),
        pytest.param(
            made(
                "ControllerRevision",
                revision=2,
                metadata={
                    "ownerReferences": [
                        {"apiVersion": "v1", "kind": "Pod", "name": "other"},
                        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": True},
                    ]
                },
            ),
            ["web", "statefulset.apps/web", 2, "90s"],
            id="revision",
        ),
        pytest.param(
            made(
                "PersistentVolumeClaim",
                spec={"volumeName": "pv-1", "storageClassName": "fast", "volumeMode": "Filesystem"},
                status={"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
            ),
            ["web", "Bound", "pv-1", "1Gi", "RWO", "fast", "<unset>", "90s", "Filesystem"],
            id="claim",
        ),
        pytest.param(
            made(
                "Node",
                metadata={"labels": {"node-role.kubernetes.io/control-plane": ""}},
                spec={"unschedulable": True},
                status={"conditions": [{"type": "Ready", "status": "True"}]},
            ),
            ["web", "Ready,SchedulingDisabled", "control-plane", "90s", "", *["<none>"] * 2, *["<unknown>"] * 3],
            id="node",
        ),
        pytest.param(
            made("Node", metadata={"labels": {"node-role.kubernetes.io/db": "", "kubernetes.io/role": "a"}}, status={}),
            ["web", "Unknown", "a,db", "90s", "", *["<none>"] * 2, *["<unknown>"] * 3],
            id="node with roles, not heard of",
        ),
        pytest.param(
            made(
                "Event",
                involvedObject={"kind": "StatefulSet", "name": "web"},
                lastTimestamp="2026-11-21T11:59:50Z",
                type="Normal",
                reason="SuccessfulCreate",
                message="create Pod web-0 ",
            ),
            ["10s", "Normal", "SuccessfulCreate", "statefulset/web", "", "", "create Pod web-0", "<unknown>", 1, "web"],
            id="event",
        ),
        pytest.param(
            made(
                "Service",
                spec={"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], "externalIPs": ["192.0.2.3"]},
                status={"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "a.example.com"}]}},
            ),
            ["web", "LoadBalancer", "10.96.0.9", "192.0.2.2,a.example.com,192.0.2.3", "<none>", "90s", "<none>"],
            id="balanced service",
        ),
        pytest.param(
            pod(READY, podIP="10.244.1.11"),
            ["web-0", "1/1", "Running", "0", "90s", "10.244.1.11", "<none>", "<none>", "<none>"],
            id="pod with its address in the old field alone",
        ),
        pytest.param(
            made("Endpoints", subsets=[{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}]),
            ["web", "[fd00::1]:80", "90s"],
            id="IPv6 endpoints",
        ),
        pytest.param(
            made(
                "ReplicaSet",
                spec={
                    "replicas": 2,
                    "selector": {
                        "matchLabels": {"b": "1"},
                        "matchExpressions": [
                            {"key": "a", "operator": "In", "values": ["z", "y"]},
                            {"key": "c", "operator": "DoesNotExist"},
                        ],
                    },
                },
            ),
            ["web", 2, 0, 0, "90s", "", "", "a in (y,z),b=1,!c"],
            id="replica set, its selector in order",
        ),
        pytest.param(
            made("PersistentVolumeClaim", status={"phase": "Pending", "capacity": {"storage": "1Gi"}}),
            ["web", "Pending", "", "", "", "", "<unset>", "90s", "<unset>"],
            id="claim without a volume",
        ),
        pytest.param(
            made("Node", status={"conditions": [{"type": "Ready", "status": "Unknown"}]}),
            ["web", "NotReady", "<none>", "90s", "", *["<none>"] * 2, *["<unknown>"] * 3],
            id="node that is lost",
        ),
        pytest.param(made("CustomResourceDefinition"), ["web", MADE], id="definition shows a time, not an age"),
    ],
)
def test_cells(given: Json, cells: list[Any]) -> None:
    """The cells of a kind are in the order of its columns."""
    assert table(BY_KIND[given["kind"]], [given], NOW_S)["rows"][0]["cells"] == cells


@pytest.mark.parametrize("resource", RESOURCES, ids=[r.qualified for r in RESOURCES])
def test_every_kind_takes_an_empty_object(resource: Resource) -> None:
    """Each served kind has columns of its own, and a row with as many cells for an object with metadata alone."""
    assert (resource.group, resource.kind) in KINDS
    bare = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": {"resourceVersion": "9"}}
    found = table(resource, [bare], NOW_S)
    assert len(found["rows"][0]["cells"]) == len(found["columnDefinitions"])


# Lists of custom resources come with a `continue` that says nothing.
METADATA = {"resourceVersion": "12", "continue": ""}


def test_whole_table() -> None:
    """A Table has the metadata of the list, columns, and rows that name their objects."""
    found = table(BY_KIND["ServiceAccount"], [made("ServiceAccount")], NOW_S, list_metadata=METADATA)
    assert found == {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "12"},
        "columnDefinitions": [
            {
                "name": "Name",
                "type": "string",
                "format": "name",
                "description": "The object's name, unique in its namespace.",
                "priority": 0,
            },
            {
                "name": "Age",
                "type": "string",
                "format": "",
                "description": "For how long the object has existed.",
                "priority": 0,
            },
        ],
        "rows": [
            {
                "cells": ["web", "90s"],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"name": "web", "creationTimestamp": MADE, "resourceVersion": "7"},
                },
            }
        ],
    }


def test_include_object() -> None:
    """A row has its whole object or none where that is asked for."""
    one = made("ServiceAccount")
    for include, wanted in (("Object", one), ("None", None)):
        assert table(BY_KIND["ServiceAccount"], [one], NOW_S, include_object=include)["rows"][0]["object"] == wanted


def test_later_events_have_no_columns() -> None:
    """Without columns the table says null, and has the object's own resource version."""
    found = table(BY_KIND["ServiceAccount"], [made("ServiceAccount")], NOW_S, with_columns=False)
    assert found["columnDefinitions"] is None
    assert found["metadata"] == {"resourceVersion": "7"}


def test_finished_pod_is_marked() -> None:
    """The row of a pod that has ended says so, and others say nothing."""
    rows = table(BY_KIND["Pod"], [pod(phase="Succeeded"), pod(phase="Failed"), pod()], NOW_S)["rows"]
    assert [[(c["type"], c["reason"]) for c in row.get("conditions", [])] for row in rows] == [
        [("Completed", "Succeeded")],
        [("Completed", "Failed")],
        [],
    ]


CUSTOM = made(
    "OrdinalSet",
    spec={"replicas": 3, "paused": True, "when": "2026-11-21T11:00:00Z"},
    status={"ready": 2, "note": "<b>"},
)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        pytest.param({"type": "integer", "jsonPath": ".spec.replicas"}, 3, id="integer"),
        pytest.param({"type": "string", "jsonPath": ".spec.replicas"}, "3", id="integer as text"),
        pytest.param({"type": "string", "jsonPath": ".spec.paused"}, "true", id="boolean as text"),
        pytest.param({"type": "boolean", "jsonPath": ".spec.paused"}, True, id="boolean"),
        pytest.param({"type": "date", "jsonPath": ".spec.when"}, "60m", id="date"),
        pytest.param({"type": "date", "jsonPath": ".metadata.name"}, "<invalid>", id="no date"),
        pytest.param({"type": "integer", "jsonPath": ".spec.paused"}, None, id="of another type"),
        pytest.param({"type": "string", "jsonPath": ".spec.missing"}, None, id="missing"),
        pytest.param(
            {"type": "string", "jsonPath": ".status"}, '{"note":"\\u003cb\\u003e","ready":2}', id="map as text"
        ),
        pytest.param({"type": "string", "jsonPath": "(broken"}, None, id="no path"),
    ],
)
def test_custom_cells(column: Json, cell: Any) -> None:
    """A printer column shows what its path finds, as its type."""
    found = table(SET, [CUSTOM], NOW_S, printer_columns=[{"name": "X", **column}])
    assert found["rows"][0]["cells"] == ["web", cell]
    assert [(c["name"], c["type"]) for c in found["columnDefinitions"]] == [("Name", "string"), ("X", column["type"])]


def test_custom_resource_without_columns() -> None:
    """A custom resource without printer columns shows name and age."""
    found = table(SET, [CUSTOM], NOW_S)
    assert [(c["name"], c["type"]) for c in found["columnDefinitions"]] == [("Name", "string"), ("Age", "date")]
    assert found["rows"][0]["cells"] == ["web", "90s"]


MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-2, "<invalid>"),
        (-1.5, "0s"),
        (-0.5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (5 * MINUTE_S + 12, "5m12s"),
        (10 * MINUTE_S + 59, "10m"),
        (3 * HOUR_S - 1, "179m"),
        (3 * HOUR_S, "3h"),
        (4 * HOUR_S + 30 * MINUTE_S, "4h30m"),
        (8 * HOUR_S + 30 * MINUTE_S, "8h"),
        (2 * DAY_S - 1, "47h"),
        (2 * DAY_S, "2d"),
        (6 * DAY_S + 4 * HOUR_S, "6d4h"),
        (8 * DAY_S + 4 * HOUR_S, "8d"),
        (730 * DAY_S - 1, "729d"),
        (730 * DAY_S, "2y"),
        (741 * DAY_S, "2y11d"),
        (8 * 365 * DAY_S, "8y"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    """A duration has two or three figures."""
    assert duration(seconds) == words


def test_since() -> None:
    """Times with and without fractions are read; where there is none the age is unknown."""
    assert since("2026-11-21T11:59:59.123456Z", NOW_S) == "0s"
    assert since("2026-11-21T11:59:50Z", NOW_S) == "10s"
    assert since("2026-11-21T13:59:50+02:00", NOW_S) == "10s"
    assert since(None, NOW_S) == "<unknown>"


LIST = {"l": [{"t": "a", "n": 1}, {"t": "b", "n": 2, "s": {"t": "c"}}], "m": {"x.y": 1, "z": None}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".l[1].t", ["b"]),
        (".l[-1].t", ["b"]),
        (".l[5].t", []),
        (".l[*].t", ["a", "b"]),
        (".l[0:1].t", ["a"]),
        (".l[1:].t", ["b"]),
        ('.l[?(@.t=="b")].n', [2]),
        (".l[?(@.t!='b')].n", [1]),
        (".l[?(@.n>=2)].t", ["b"]),
        (".l[?( @.n < 2 )].t", ["a"]),
        (".l[?(@.s)].t", ["b"]),
        (".l[?(@.s>1)].t", []),
        (".l[?(@.s.t=='c')].t", ["b"]),
        (r".m.x\.y", [1]),
        (r".m['x\.y']", [1]),
        (".m.z", [None]),
        (".m.*", [1, None]),
        ("$..t", ["a", "b", "c"]),
        (".l.t", []),
    ],
)
def test_path(path: str, found: list[Any]) -> None:
    """A path gives all that is there, in order."""
    assert list(jsonpath.values(path, LIST)) == found


@pytest.mark.parametrize("path", ["name", ".l[", ".l[?(@.n>x)]", ".a b[x]"])
def test_broken_path(path: str) -> None:
    """What is no path is refused with its text."""
    with pytest.raises(jsonpath.PathError, match="expected"):
        jsonpath.parse(path)
