"""The parts of objects that have a form of their own: scale, binding and eviction. Pure.

Source: k8s.io/kubernetes `pkg/registry/apps/statefulset/storage`, `pkg/registry/core/pod/storage`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from headlessdns.controller.model import selects
from headlessdns.lab.api.cells import selector_text
from headlessdns.lab.api.checks import check_patched, check_readable
from headlessdns.lab.api.forms import timestamp
from headlessdns.lab.api.kinds import PODS, Json, Resource
from headlessdns.lab.api.patch import apply_patch
from headlessdns.lab.api.rules import Rules
from headlessdns.lab.api.status import MODIFIED, ApiError, Fault, bad_request, conflict, invalid, not_found
from headlessdns.lab.api.store import Entry
from headlessdns.lab.api.typed import undeclared
from headlessdns.lab.api.writes import Deletion, Options, Written

SCALE = Resource("autoscaling", "v1", "Scale", "scales", "scale")
BINDING = Resource("", "v1", "Binding", "bindings", "binding")
DELETE_OPTIONS = Resource("", "v1", "DeleteOptions", "", "")
EVICTION = Resource("policy", "v1", "Eviction", "evictions", "eviction")
BUDGETS = "poddisruptionbudgets.policy"

_PATHS = (("spec", "replicas"), ("status", "replicas"), ())
_encode = msgspec.json.encode
_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


# Scale


def scale_of(rules: Rules, resource: Resource, entry: Entry) -> Json:
    """Return the Scale of an object."""
    object = entry.object
    paths = _scale_paths(rules, resource)
    metadata = object["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    spec_replicas = _at(object, paths[0]) or 0
    if rules.registry.custom(resource):
        selector = _at(object, paths[2]) if paths[2] else ""
    else:
        selector = selector_text((object.get("spec") or {}).get("selector") or {})
    status: Json = {"replicas": _at(object, paths[1]) or 0}
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": spec_replicas} if spec_replicas else {},
        "status": status,
    }


def get_scale(rules: Rules, resource: Resource, namespace: str, name: str) -> bytes:
    """Return the Scale of the object of that name.

    Raises:
        ApiError: There is none.
    """
    return _encode(scale_of(rules, resource, _entry(rules, resource, namespace, name)))


def set_scale(rules: Rules, resource: Resource, namespace: str, name: str, scale: Json, options: Options) -> Written:
    """Write the replicas of *scale* into the object of that name.

    Raises:
        ApiError: It cannot be.
    """
    entry = _entry(rules, resource, namespace, name)
    if scale.get("kind", "Scale") != "Scale":
        raise bad_request("the body is no Scale")
    check_readable(SCALE, scale)
    metadata = scale.get("metadata") or {}
    if metadata.get("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    version = metadata.get("resourceVersion")
    if version and str(version) != str(entry.version):
        raise conflict(resource, name, MODIFIED)
    uid = metadata.get("uid")
    if uid and uid != entry.uid:
        raise conflict(
            resource, name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {entry.uid}"
        )
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(SCALE, name, [Fault("spec.replicas", "FieldValueInvalid", message)])
    object = entry.object
    target = object
    *steps, last = _scale_paths(rules, resource)[0]
    for step in steps:
        target = target.setdefault(step, {})
    target[last] = replicas
    written = rules.update(resource, namespace, name, object, options, subresource="scale")
    if options.dry_run:
        shown = Entry(entry.version, b"", object["metadata"])
        shown.octets = written.octets
        return Written(200, _encode(scale_of(rules, resource, shown)))
    return Written(200, get_scale(rules, resource, namespace, name))


def patch_scale(
    rules: Rules, resource: Resource, namespace: str, name: str, content_type: str, change: Any, options: Options
) -> Written:
    """Patch the Scale of the object of that name.

    Raises:
        ApiError: It cannot be.
    """
    live = scale_of(rules, resource, _entry(rules, resource, namespace, name))
    live["spec"].setdefault("replicas", 0)
    if content_type == "application/apply-patch+yaml":
        if why := undeclared(SCALE, change):
            raise ApiError(500, "", why)
        patched = live | {"spec": change.get("spec") or {}}
    else:
        # Of a custom resource a scale takes the patches that this one takes.
        patched = apply_patch(content_type, live, change, resource if rules.registry.custom(resource) else SCALE)
        check_patched(rules.registry, SCALE, patched, content_type, change)
    return set_scale(rules, resource, namespace, name, patched, options)


def _scale_paths(rules: Rules, resource: Resource) -> tuple[tuple[str, ...], ...]:
    custom = rules.registry.custom(resource)
    return custom.scale_paths if custom and custom.scale_paths else _PATHS


def _at(object: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        object = object.get(step) if isinstance(object, dict) else None
    return object


# Binding


def bind(rules: Rules, resource: Resource, namespace: str, name: str, binding: Json, options: Options) -> Written:
    """Give a pod its node.

    Raises:
        ApiError: It has one, or is about to go, or is not there.
    """
    check_readable(BINDING, binding)
    metadata = binding.get("metadata") or {}
    _check_name(name, metadata, "Binding")
    wanted = binding.get("target") or {}
    if wanted.get("kind", "Node") not in ("", "Node"):
        why = f'target.kind: Unsupported value: "{wanted["kind"]}": supported values: "Node", "<empty>"'
        raise ApiError(500, "", why)
    entry = _entry(rules, resource, namespace, name)
    object = entry.object
    target = wanted.get("name")
    binding_resource = resource._replace(plural="pods/binding", kind="Binding")
    if not target:
        raise invalid(
            binding_resource, metadata.get("name") or "", [Fault("target.name", "FieldValueRequired", "Required value")]
        )
    if entry.is_terminating:
        raise conflict(binding_resource, name, f"pod {name} is being deleted, cannot be assigned to a host")
    spec = object.setdefault("spec", {})
    if spec.get("nodeName"):
        raise conflict(binding_resource, name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise conflict(binding_resource, name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = target
    status = object.setdefault("status", {})
    rest = [one for one in status.get("conditions") or () if one.get("type") != "PodScheduled"]
    status["conditions"] = [
        *rest,
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp(rules.now)},
    ]
    if metadata.get("annotations"):
        object["metadata"].setdefault("annotations", {}).update(metadata["annotations"])
    if not options.dry_run:
        rules.commit(resource, object, entry)
    return Written(201, _encode(_SUCCESS))


# Eviction


def evict(rules: Rules, resource: Resource, namespace: str, name: str, eviction: Json, how: Deletion) -> Written:
    """Delete a pod unless a PodDisruptionBudget is against it.

    How many pods may be gone is worked out from the pods: what the budget's status says may be behind.

    Raises:
        ApiError: A budget is against it, or it is not there.
    """
    _check_name(name, eviction.get("metadata") or {}, "Eviction")
    entry = _entry(rules, resource, namespace, name)
    pod = entry.object
    is_ended = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded", "Pending")
    if not is_ended and not entry.is_terminating:
        budgets = [one for one in rules.store.entries(BUDGETS, namespace) if _covers(one.object, entry)]
        if len(budgets) > 1:
            message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise ApiError(500, "", message)
        for budget in budgets:
            _check_budget(rules, budget.object, namespace, _is_ready(pod))
    rules.delete(resource, namespace, name, how)
    return Written(201, _encode(_SUCCESS))


def _check_name(name: str, metadata: Json, kind: str) -> None:
    if metadata.get("name") and metadata["name"] != name:
        raise bad_request(f"name in URL does not match name in {kind} object")


def _check_budget(rules: Rules, budget: Json, namespace: str, is_ready: bool) -> None:
    pods = [one for one in rules.store.entries(PODS, namespace) if _covers(budget, one)]
    healthy = sum(1 for one in pods if not one.is_terminating and _is_ready(one.object))
    spec = budget.get("spec") or {}
    total = _expected(rules, pods)
    if spec.get("maxUnavailable") is not None:
        wanted = max(total - _share(spec["maxUnavailable"], total), 0)
    else:
        wanted = _share(spec.get("minAvailable", 1), total)
    if healthy > wanted or (
        not is_ready and (healthy >= wanted or spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow")
    ):
        return
    name = budget["metadata"]["name"]
    cause = {
        "reason": "DisruptionBudget",
        "message": f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently",
    }
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    raise ApiError(429, "TooManyRequests", message, {"causes": [cause]})


def _expected(rules: Rules, pods: list[Entry]) -> int:
    """Return how many pods there are to be: what their owners want, and each one that has none."""
    total = 0
    seen: set[str] = set()
    for pod in pods:
        found = next(filter(None, (rules.store.by_uid(uid) for uid in pod.owners)), None)
        if found is None:
            total += 1
        elif found[1].uid not in seen:
            seen.add(found[1].uid)
            total += (found[1].object.get("spec") or {}).get("replicas", 1)
    return total


def _share(value: Any, total: int) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(int(value[:-1]) * total / 100)
    return int(value)


def _covers(budget: Json, pod: Entry) -> bool:
    return selects((budget.get("spec") or {}).get("selector"), pod.labels)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _entry(rules: Rules, resource: Resource, namespace: str, name: str) -> Entry:
    entry = rules.store.get(resource.qualified, namespace, name)
    if entry is None:
        raise not_found(resource, name)
    return entry
