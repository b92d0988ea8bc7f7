"""What clients are told beside the answer, in the header Warning: what was done, and is yet worth a thought. Pure.

Source: RFC 7234 §5.5; k8s.io/kubernetes `pkg/api/pod/warnings.go` and `pkg/api/service/warnings.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from headlessdns.lab.api.kinds import Json, Resource

MAX_NOTICES = 50  # in one answer
DEPRECATED = {"endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}

_TEMPLATES = {
    "pods": ("spec",),
    "statefulsets.apps": ("spec", "template", "spec"),
    "deployments.apps": ("spec", "template", "spec"),
    "replicasets.apps": ("spec", "template", "spec"),
}

_WITHOUT_PODS = frozenset({"deployments.apps", "replicasets.apps"})


def about_new(resource: Resource) -> list[str]:
    """Return what there is to say of a kind when an object of it is created: that nothing will come of it."""
    if resource.qualified not in _WITHOUT_PODS:
        return []
    return [f"a lab stores a {resource.kind} and makes no pods of it; a StatefulSet has pods"]


def about(resource: Resource, object: Json) -> list[str]:
    """Return what there is to say about *object*, which was written."""
    path = _TEMPLATES.get(resource.qualified)
    if resource.qualified == "services":
        spec = object.get("spec") or {}
        if spec.get("externalName") and spec.get("type") != "ExternalName":
            return ['spec.externalName is ignored when spec.type is not "ExternalName"']
    if path is None:
        return []
    found: Any = object
    for step in path:
        found = found.get(step) or {}
    return list(islice(_of_pod(found, ".".join(path)), MAX_NOTICES))


def _of_pod(spec: Json, where: str) -> Iterator[str]:
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            here = f"{where}.{field}[{index}]"
            yield from _hidden_variables(container, here)
            yield from _double_ports(container, here)


def _double_ports(container: Json, where: str) -> Iterator[str]:
    seen: dict[tuple[Any, ...], str] = {}
    for index, port in enumerate(container.get("ports") or ()):
        here = f"{where}.ports[{index}]"
        key = port.get("containerPort"), port.get("protocol"), port.get("hostPort"), port.get("hostIP")
        if key in seen:
            yield f"{here}: duplicate port definition with {seen[key]}"
        seen.setdefault(key, here)


def _hidden_variables(container: Json, where: str) -> Iterator[str]:
    seen: dict[str, Json] = {}
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        # One that is made of what it was before is meant so.
        if name in seen and f"$({name})" not in str(variable.get("value") or ""):
            message = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{where}.env[{index}]: {message}"
        seen[name] = variable


def header(notice: str) -> str:
    """Return *notice* as the value of a header Warning."""
    text = "".join(letter if letter.isprintable() else " " for letter in notice)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'
