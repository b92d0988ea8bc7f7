"""Label and field selectors of requests. Pure.

Source: the fields that kube-apiserver 1.36 takes for each kind; k8s.io/apimachinery `fields`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from headlessdns.cluster import selectors
from headlessdns.lab.api import causes
from headlessdns.lab.api.kinds import RESOURCES, Json, Resource
from headlessdns.lab.api.status import ApiError, bad_request
from headlessdns.lab.api.store import Entry

_OF_ALL = ("metadata.name", "metadata.namespace")

# Resource: the fields that can be selected besides those of all.
FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicasets.apps": ("status.replicas",),
}

_ZERO = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}
_TERM = re.compile(r"^(?P<field>[^=!]+)(?P<operator>==?|!=)(?P<value>.*)$")


class _Term(NamedTuple):
    path: tuple[str, ...]
    value: str
    wanted: bool


class Selection(NamedTuple):
    """Which objects a request is about.

    Attributes:
        labels: What their labels must meet.
        namespace: Theirs; empty means any.
        name: Theirs; empty means any.
        terms: What further fields must be.
    """

    labels: selectors.Selector
    namespace: str = ""
    name: str = ""
    terms: tuple[_Term, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether it leaves out nothing but other namespaces."""
        return not (self.labels.requirements or self.name or self.terms)

    def test(self) -> Callable[[Entry], bool]:
        """Return the function that tells whether an object is meant; the cheap questions come first."""
        labels, namespace, name, terms = self
        tests: list[Callable[[Entry], bool]] = []
        if namespace:
            tests.append(lambda entry: entry.namespace == namespace)
        if name:
            tests.append(lambda entry: entry.name == name)
        if labels.requirements:
            tests.append(lambda entry: labels.matches(entry.labels))
        if terms:
            tests.append(lambda entry: _meets(entry.object, terms))
        if len(tests) == 1:
            return tests[0]
        return lambda entry: all(test(entry) for test in tests)


def select(
    resource: Resource, namespace: str, label_selector: str, field_selector: str, extra_fields: tuple[str, ...] = ()
) -> Selection:
    """Return what the parameters of a request select.

    Raises:
        ApiError: A selector cannot be read, or names a field that cannot be selected.
    """
    try:
        labels = selectors.parse(label_selector)
    except ValueError as error:
        raise bad_request(f"unable to parse requirement: {error}") from error
    for requirement in labels.requirements:
        _check_requirement(requirement)
    name = ""
    terms = []
    for text in filter(None, field_selector.split(",")):
        found = _TERM.match(text)
        if found is None:
            raise bad_request(f"invalid selector: '{field_selector}'; can't understand '{text}'")
        field, value, wanted = found["field"], found["value"], found["operator"] != "!="
        if field not in (*_OF_ALL, *FIELDS.get(resource.qualified, ()), *extra_fields):
            raise _unknown(resource, field)
        if field == "metadata.name" and wanted and not name:
            name = value
        else:
            terms.append(_Term(tuple(field.split(".")), value, wanted))
    return Selection(labels, namespace, name, tuple(terms))


def _check_requirement(requirement: selectors.Requirement) -> None:
    for wrong in causes.qualified_name(requirement.key):
        raise bad_request(f"unable to parse requirement: <nil>: Invalid value: {json.dumps(requirement.key)}: {wrong}")
    for place, value in enumerate(sorted(requirement.values or ())):
        for wrong in causes.label_value(value):
            where = f"values[{place}][{requirement.key}]"
            raise bad_request(f"unable to parse requirement: {where}: Invalid value: {json.dumps(value)}: {wrong}")


def _unknown(resource: Resource, field: str) -> ApiError:
    is_built_in = any(one.group == resource.group for one in RESOURCES)
    if resource.qualified in FIELDS or not is_built_in:
        return bad_request(f"field label not supported: {field}")
    return bad_request(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _meets(object: Json, terms: tuple[_Term, ...]) -> bool:
    return all((_field(object, term.path) == term.value) is term.wanted for term in terms)


def _field(object: Json, path: tuple[str, ...]) -> str:
    value: Any = object
    if path == ("source",):
        path = ("source", "component")
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return _ZERO.get(".".join(path), "")
    return str(value).lower() if isinstance(value, bool) else str(value)
