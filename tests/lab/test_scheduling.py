"""Which nodes take a pod. The reasons are those of kube-scheduler 1.36."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headlessdns.lab.objects import Node, Pod
from headlessdns.lab.scheduling import Placed, choose

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
CORDON = "node.kubernetes.io/unschedulable"
WEB = {"matchLabels": {"app": "web"}}

# Two nodes in zone a, one in zone b.
ZONES = {"node-1": "a", "node-2": "a", "node-3": "b"}


def node(name: str, *, labels: Json | None = None, **spec: Any) -> Node:
    both = {HOST: name, ZONE: ZONES[name], **(labels or {})}
    return msgspec.convert({"metadata": {"name": name, "labels": both}, "spec": spec}, Node)


def pod(name: str = "web-0", *, app: str = "web", namespace: str = "default", **spec: Any) -> Pod:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": app}}
    whole = {"metadata": metadata, "spec": {"containers": [{"name": "main"}], **spec}}
    return msgspec.convert(whole, Pod)


def nodes(**changes: Node) -> list[Node]:
    """Return the three nodes, some of them otherwise; `node_2` changes node-2."""
    return [changes.get(name.replace("-", "_")) or node(name) for name in ZONES]


def affinity(kind: str, *terms: Json) -> Json:
    return {"affinity": {kind: {REQUIRED: list(terms)}}}


def node_affinity(*terms: Json) -> Json:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


def where(key: str, operator: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def term(topology: str = HOST, selector: Json | None = WEB, **more: Any) -> Json:
    return {"topologyKey": topology, "labelSelector": selector, **more}


def spread(skew: int = 1, topology: str = HOST, **more: Any) -> Json:
    one = {"maxSkew": skew, "topologyKey": topology, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB, **more}
    return {"topologySpreadConstraints": [one]}


TAINT = {"key": "disk", "value": "slow", "effect": "NoSchedule"}
ALL = ["node-1", "node-2", "node-3"]

# What is asked; the pods that are there with their nodes; the nodes, where they differ; takers and trouble.
Case = tuple[Json, list[tuple[str, Pod]], dict[str, Node], list[str], str]
CASES: dict[str, Case] = {
    "nothing is asked": ({}, [("node-1", pod())], {}, ALL, ""),
    "a node is cordoned": (
        {},
        [],
        {"node_2": node("node-2", unschedulable=True, taints=[{"key": CORDON, "effect": "NoSchedule"}])},
        ["node-1", "node-3"],
        "1 node(s) were unschedulable",
    ),
    "a cordon is tolerated": (
        {"tolerations": [{"key": CORDON, "operator": "Exists", "effect": "NoSchedule"}]},
        [],
        {"node_2": node("node-2", unschedulable=True, taints=[{"key": CORDON, "effect": "NoSchedule"}])},
        ALL,
        "",
    ),
    "a node is tainted": (
        {},
        [],
        {"node_1": node("node-1", taints=[TAINT])},
        ["node-2", "node-3"],
        "1 node(s) had untolerated taint(s)",
    ),
    "a taint that only prefers others": (
        {},
        [],
        {"node_1": node("node-1", taints=[{**TAINT, "effect": "PreferNoSchedule"}])},
        ALL,
        "",
    ),
    "a taint is tolerated by its value": (
        {"tolerations": [{"key": "disk", "operator": "Equal", "value": "slow", "effect": "NoSchedule"}]},
        [],
        {"node_1": node("node-1", taints=[TAINT])},
        ALL,
        "",
    ),
    "a taint of another value is not": (
        {"tolerations": [{"key": "disk", "value": "old"}]},
        [],
        {"node_1": node("node-1", taints=[TAINT])},
        ["node-2", "node-3"],
        "1 node(s) had untolerated taint(s)",
    ),
    "a taint of another effect is not": (
        {"tolerations": [{"key": "disk", "operator": "Exists", "effect": "NoExecute"}]},
        [],
        {"node_1": node("node-1", taints=[TAINT])},
        ["node-2", "node-3"],
        "1 node(s) had untolerated taint(s)",
    ),
    "everything is tolerated": (
        {"tolerations": [{"operator": "Exists"}]},
        [],
        {"node_1": node("node-1", taints=[TAINT, {"key": "x", "effect": "NoExecute"}])},
        ALL,
        "",
    ),
    "a node selector": (
        {"nodeSelector": {ZONE: "b"}},
        [],
        {},
        ["node-3"],
        "2 node(s) didn't match Pod's node affinity/selector",
    ),
    "a node selector that no node meets": (
        {"nodeSelector": {"disk": "fast"}},
        [],
        {},
        [],
        "3 node(s) didn't match Pod's node affinity/selector",
    ),
    "node affinity: any of the terms": (
        node_affinity(where(HOST, "In", "node-1"), where(ZONE, "NotIn", "a")),
        [],
        {},
        ["node-1", "node-3"],
        "1 node(s) didn't match Pod's node affinity/selector",
    ),
    "node affinity: all of a term": (
        node_affinity(
            {"matchExpressions": [*where(ZONE, "In", "a")["matchExpressions"], {"key": "ssd", "operator": "Exists"}]}
        ),
        [],
        {"node_2": node("node-2", labels={"ssd": ""})},
        ["node-2"],
        "2 node(s) didn't match Pod's node affinity/selector",
    ),
    "node affinity: numbers": (
        node_affinity(where("disks", "Gt", "3")),
        [],
        {"node_1": node("node-1", labels={"disks": "10"}), "node_2": node("node-2", labels={"disks": "3"})},
        ["node-1"],
        "2 node(s) didn't match Pod's node affinity/selector",
    ),
    "node affinity: by name": (
        node_affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]}),
        [],
        {},
        ["node-2"],
        "2 node(s) didn't match Pod's node affinity/selector",
    ),
    "node affinity: an empty term": (
        node_affinity({}),
        [],
        {},
        [],
        "3 node(s) didn't match Pod's node affinity/selector",
    ),
    "one a node: two are there": (
        affinity("podAntiAffinity", term()),
        [("node-1", pod("web-1")), ("node-3", pod("web-2"))],
        {},
        ["node-2"],
        "2 node(s) didn't match pod anti-affinity rules",
    ),
    "one a zone": (
        affinity("podAntiAffinity", term(ZONE)),
        [("node-1", pod("web-1"))],
        {},
        ["node-3"],
        "2 node(s) didn't match pod anti-affinity rules",
    ),
    "apart from pods of its own namespace only": (
        affinity("podAntiAffinity", term()),
        [("node-1", pod("web-1", namespace="other"))],
        {},
        ALL,
        "",
    ),
    "apart from pods of a namespace that is named": (
        affinity("podAntiAffinity", term(namespaces=["other"])),
        [("node-1", pod("web-1", namespace="other")), ("node-2", pod("web-1"))],
        {},
        ["node-2", "node-3"],
        "1 node(s) didn't match pod anti-affinity rules",
    ),
    "those that are there want to be apart": (
        {},
        [("node-1", pod("db-0", app="db", **affinity("podAntiAffinity", term())))],
        {},
        ["node-2", "node-3"],
        "1 node(s) didn't satisfy existing pods anti-affinity rules",
    ),
    "together with others": (
        affinity("podAffinity", term(ZONE, {"matchLabels": {"app": "db"}})),
        [("node-1", pod("db-0", app="db"))],
        {},
        ["node-1", "node-2"],
        "1 node(s) didn't match pod affinity rules",
    ),
    "together with others that are not there": (
        affinity("podAffinity", term(ZONE, {"matchLabels": {"app": "db"}})),
        [],
        {},
        [],
        "3 node(s) didn't match pod affinity rules",
    ),
    "together with its own kind, as the first": (affinity("podAffinity", term(ZONE)), [], {}, ALL, ""),
    "together with its own kind, as the second": (
        affinity("podAffinity", term(ZONE)),
        [("node-3", pod("web-1"))],
        {},
        ["node-3"],
        "2 node(s) didn't match pod affinity rules",
    ),
    "spread over nodes": (
        spread(),
        [("node-1", pod("web-1")), ("node-2", pod("web-2"))],
        {},
        ["node-3"],
        "2 node(s) didn't match pod topology spread constraints",
    ),
    "spread over nodes with room": (spread(2), [("node-1", pod("web-1"))], {}, ALL, ""),
    "spread over zones": (
        spread(1, ZONE),
        [("node-2", pod("web-1"))],
        {},
        ["node-3"],
        "2 node(s) didn't match pod topology spread constraints",
    ),
    "spread over a label that a node lacks": (
        spread(1, "rack"),
        [],
        {"node_1": node("node-1", labels={"rack": "x"})},
        ["node-1"],
        "2 node(s) didn't match pod topology spread constraints (missing required label)",
    ),
    "spread over more domains than there are": (
        spread(1, ZONE, minDomains=3),
        [("node-1", pod("web-1")), ("node-3", pod("web-2"))],
        {},
        [],
        "3 node(s) didn't match pod topology spread constraints",
    ),
    "spread if it can be": (
        spread(whenUnsatisfiable="ScheduleAnyway"),
        [("node-1", pod("web-1"))],
        {},
        ALL,
        "",
    ),
    "each node for a reason of its own": (
        {"nodeSelector": {ZONE: "a"}, **affinity("podAntiAffinity", term())},
        [("node-1", pod("web-1"))],
        {"node_2": node("node-2", unschedulable=True)},
        [],
        "1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match pod anti-affinity rules, "
        "1 node(s) were unschedulable",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_choose(case: Case) -> None:
    """The nodes that take a pod are those that nothing which is required speaks against, and the rest is said."""
    asked, there, changes, takers, trouble = case
    placed = [Placed(other, name) for name, other in there]
    assert choose(pod(**asked), nodes(**changes), placed, lambda _: True) == (takers, trouble)


def test_a_node_that_nobody_hears_of() -> None:
    """A node that is not up takes no pod, whatever that tolerates."""
    tolerant = pod(tolerations=[{"operator": "Exists"}])
    found = choose(tolerant, nodes(), [], lambda node: node.metadata.name != "node-2")
    assert found == (["node-1", "node-3"], "1 node(s) had untolerated taint(s)")
