"""Which nodes take a pod, and why the others do not. Pure.

Source: Kubernetes, "Assigning Pods to Nodes", "Taints and Tolerations" and "Pod Topology Spread Constraints"; the
filters and messages of v1.36 `pkg/scheduler/framework/plugins`. Of what is required all counts but resources and ports,
which every machine here has enough of. What is only preferred does not count, and no pod gives way to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from headlessdns.controller.model import selects
from headlessdns.lab.objects import Json, Node, Pod

UNSCHEDULABLE = "node(s) were unschedulable"
TAINTED = "node(s) had untolerated taint(s)"
NOT_SELECTED = "node(s) didn't match Pod's node affinity/selector"
SPREAD = "node(s) didn't match pod topology spread constraints"
SPREAD_UNLABELLED = f"{SPREAD} (missing required label)"
APART = "node(s) didn't match pod anti-affinity rules"
TOGETHER = "node(s) didn't match pod affinity rules"
OTHERS_APART = "node(s) didn't satisfy existing pods anti-affinity rules"

_CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

Labels = Mapping[str, str]


class Verdict(NamedTuple):
    """What becomes of a pod that has no node.

    Attributes:
        takers: The names of the nodes that it can go to, in order.
        trouble: Why it can go to no other, as the scheduler says it: `2 REASON, 1 ANOTHER`.
    """

    takers: list[str]
    trouble: str


class Placed(NamedTuple):
    """A pod that has a node, or is about to have it."""

    pod: Pod
    node: str


def choose(pod: Pod, nodes: Iterable[Node], placed: list[Placed], is_up: Callable[[Node], bool]) -> Verdict:
    """Tell which nodes take *pod*.

    Args:
        pod: It has no node yet.
        nodes: All there are.
        placed: The pods that are on them and have not ended.
        is_up: Whether a node is heard of.
    """
    known = list(nodes)
    filters = (
        _Tolerates(pod, is_up).reason,
        _Selects(pod).reason,
        _Spreads(pod, known, placed).reason,
        _Affinity(pod, known, placed).reason,
    )
    takers: list[str] = []
    reasons: Counter[str] = Counter()
    for node in known:
        reason = next((found for filter in filters if (found := filter(node))), "")
        if reason:
            reasons[reason] += 1
        else:
            takers.append(node.metadata.name)
    return Verdict(sorted(takers), ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items())))


def asks_of_others(pod: Pod) -> bool:
    """Tell whether it matters to *pod* which pods are there already."""
    return bool(pod.spec.affinity or pod.spec.topology_spread_constraints)


def is_apart(pod: Pod) -> bool:
    """Tell whether *pod*, once it is there, keeps others away."""
    return any(_terms(pod, "podAntiAffinity"))


# The filters, in the order in which they are asked: a node is left out for the reason of the first.


class _Tolerates:
    """Cordons and taints."""

    def __init__(self, pod: Pod, is_up: Callable[[Node], bool]) -> None:
        self._tolerations = pod.spec.tolerations or []
        self._is_up = is_up

    def reason(self, node: Node) -> str:
        if node.spec.unschedulable and not self._is_tolerated(_CORDONED):
            return UNSCHEDULABLE
        # A cordon is a taint, too, which says nothing new.
        taints = [taint for taint in node.spec.taints or () if taint.get("key") != _CORDONED["key"]]
        bad = any(taint.get("effect") in _KEEPS_AWAY and not self._is_tolerated(taint) for taint in taints)
        return TAINTED if bad or not self._is_up(node) else ""

    def _is_tolerated(self, taint: Json) -> bool:
        return any(tolerates(toleration, taint) for toleration in self._tolerations)


def tolerates(toleration: Json, taint: Json) -> bool:
    """Tell whether a pod with *toleration* does not mind *taint*."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    is_any = toleration.get("operator") == "Exists"
    return is_any or (toleration.get("value") or "") == (taint.get("value") or "")


class _Selects:
    """What the pod asks of its node's labels."""

    def __init__(self, pod: Pod) -> None:
        self._selector = pod.spec.node_selector or {}
        required = (_part(pod, "nodeAffinity").get(_REQUIRED)) or {}
        self._terms: list[Json] | None = required.get("nodeSelectorTerms")

    def reason(self, node: Node) -> str:
        labels = node.metadata.labels or {}
        is_selected = self._selector.items() <= labels.items()
        is_wanted = self._terms is None or any(_meets(term, node.metadata.name, labels) for term in self._terms)
        return "" if is_selected and is_wanted else NOT_SELECTED


def _meets(term: Json, name: str, labels: Labels) -> bool:
    """Tell whether a node meets all of a NodeSelectorTerm; nothing meets an empty one."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    of_fields = {"metadata.name": name}
    return all(_holds(one, labels) for one in expressions) and all(_holds(one, of_fields) for one in fields)


def _holds(expression: Json, labels: Labels) -> bool:
    key, values = str(expression.get("key")), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case "Gt" | "Lt" as operator:
            try:
                found, bound = int(labels[key]), int(values[0])
            except (KeyError, IndexError, ValueError):
                return False
            return found > bound if operator == "Gt" else found < bound
    return False


class _Spreads:
    """That pods are spread evenly over domains: nodes, zones."""

    def __init__(self, pod: Pod, nodes: list[Node], placed: list[Placed]) -> None:
        constraints = pod.spec.topology_spread_constraints or []
        self._constraints = [one for one in constraints if one.get("whenUnsatisfiable") == "DoNotSchedule"]
        if not self._constraints:
            return
        selects = _Selects(pod)
        keys = [str(one.get("topologyKey")) for one in self._constraints]
        # Nodes that the pod cannot go to do not count, unless `nodeAffinityPolicy` says so.
        by_name = {
            node.metadata.name: node.metadata.labels or {}
            for node in nodes
            if not selects.reason(node) and all(key in (node.metadata.labels or {}) for key in keys)
        }
        self._counts: list[Counter[str]] = []
        self._own: list[bool] = []
        for one, key in zip(self._constraints, keys, strict=True):
            counts: Counter[str] = Counter({labels[key]: 0 for labels in by_name.values()})
            same = _same_labels(one, pod)
            for other, node in placed:
                if node in by_name and not other.metadata.deletion_timestamp and same(other):
                    counts[by_name[node][key]] += 1
            self._counts.append(counts)
            self._own.append(same(pod))

    def reason(self, node: Node) -> str:
        labels = node.metadata.labels or {}
        for index, one in enumerate(self._constraints):
            key, counts = str(one.get("topologyKey")), self._counts[index]
            if key not in labels:
                return SPREAD_UNLABELLED
            least = min(counts.values(), default=0)
            if len(counts) < (one.get("minDomains") or 1):
                least = 0
            if counts[labels[key]] + self._own[index] - least > (one.get("maxSkew") or 1):
                return SPREAD
        return ""


def _same_labels(constraint: Json, pod: Pod) -> Callable[[Pod], bool]:
    """Return the test for the pods of a spread constraint: of one namespace, with the labels that it selects."""
    own = pod.metadata.labels or {}
    keys = [key for key in constraint.get("matchLabelKeys") or () if key in own]

    def test(other: Pod) -> bool:
        labels = other.metadata.labels or {}
        return (
            other.metadata.namespace == pod.metadata.namespace
            and selects(constraint.get("labelSelector"), labels)
            and all(labels.get(key) == own[key] for key in keys)
        )

    return test


class _Affinity:
    """That pods are together with some, and apart from others, on a node or in a zone."""

    def __init__(self, pod: Pod, nodes: list[Node], placed: list[Placed]) -> None:
        self._labels = {node.metadata.name: node.metadata.labels or {} for node in nodes}
        self._together = list(_terms(pod, "podAffinity"))
        self._domains = [self._of_all(term, pod, placed) for term in self._together]
        # The first of those that want to be together goes anywhere.
        self._is_first = not any(self._domains) and all(_selects(term, pod, pod) for term in self._together)
        self._apart = [(term, self._of_all(term, pod, placed)) for term in _terms(pod, "podAntiAffinity")]
        self._kept_apart: set[tuple[str, str]] = set()
        for other, node in placed:
            for term in _terms(other, "podAntiAffinity"):
                if _selects(term, other, pod):
                    self._kept_apart.update(self._domain(term, node))

    def reason(self, node: Node) -> str:
        labels = node.metadata.labels or {}
        for term, domains in zip(self._together, self._domains, strict=True):
            key = str(term.get("topologyKey"))
            if key not in labels or not (self._is_first or (key, labels[key]) in domains):
                return TOGETHER
        if any(domains & labels.items() for _, domains in self._apart):
            return APART
        return OTHERS_APART if self._kept_apart & labels.items() else ""

    def _of_all(self, term: Json, pod: Pod, placed: list[Placed]) -> set[tuple[str, str]]:
        """Return the domains in which pods are that *term* of *pod* selects."""
        return {domain for other, node in placed if _selects(term, pod, other) for domain in self._domain(term, node)}

    def _domain(self, term: Json, node: str) -> Iterator[tuple[str, str]]:
        key, labels = str(term.get("topologyKey")), self._labels.get(node, {})
        if key in labels:
            yield key, labels[key]


def _terms(pod: Pod, kind: str) -> Iterable[Json]:
    return _part(pod, kind).get(_REQUIRED) or ()


def _part(pod: Pod, kind: str) -> Json:
    return (pod.spec.affinity or {}).get(kind) or {}


def _selects(term: Json, pod: Pod, other: Pod) -> bool:
    """Tell whether *term*, which *pod* has, selects *other*. Labels of namespaces are not known: they select all."""
    namespaces = term.get("namespaces") or []
    if term.get("namespaceSelector") is None and not namespaces:
        namespaces = [pod.metadata.namespace]
    is_here = term.get("namespaceSelector") is not None or other.metadata.namespace in namespaces
    if not is_here:
        return False
    own, labels = pod.metadata.labels or {}, other.metadata.labels or {}
    same = all(labels.get(key) == own[key] for key in term.get("matchLabelKeys") or () if key in own)
    unlike = all(labels.get(key) != own[key] for key in term.get("mismatchLabelKeys") or () if key in own)
    return same and unlike and selects(term.get("labelSelector"), labels)
