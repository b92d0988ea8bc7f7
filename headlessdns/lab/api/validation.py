"""What the API server refuses of an object, in its words. Pure.

Source: the validation of Kubernetes 1.36 (S52, S53 for StatefulSets and ControllerRevisions). In full for StatefulSet,
ControllerRevision and PodDisruptionBudget; an OrdinalSet as its schema in ``deploy/crd`` says. Services, endpoints,
Pods, what is stored, and what holds configuration have modules of their own. Of other kinds: names, labels,
annotations, owners, what is required, and what may not change. What has a wrong type is refused before, when the body
is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headlessdns.controller.quantities import parse
from headlessdns.lab.api import (
    accessrules,
    causes,
    configrules,
    definitions,
    endpointrules,
    noderules,
    podrules,
    servicerules,
    storagerules,
)
from headlessdns.lab.api.commonrules import (
    annotation_causes,
    items,
    label_causes,
    label_form,
    selector_causes,
    subdomain_form,
)
from headlessdns.lab.api.defaults import admit, admit_again, default
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.ordinalsets import ordinal_set
from headlessdns.lab.api.status import Fault as Cause
from headlessdns.lab.api.status import invalid

__all__ = ["Cause", "admit", "admit_again", "default", "status_of_invalid", "validate"]

_Rules = Iterator[Cause]


def validate(resource: Resource, new: Json, old: Json | None, of_schema: Iterable[Cause] = ()) -> list[Cause]:
    """Return why the API server would refuse *new*, nothing where it would take it.

    Args:
        resource: The kind.
        new: The object with its `default`; a namespace and a name are set.
        old: The stored object for an update; None for a create. A status is looked at where it changes.
        of_schema: Of a custom resource: what its schema says, rules in CEL left out. Those of OrdinalSets are
            looked at here, unless the schema says that a field is missing or of a wrong type.
    """
    found = list(_metadata(resource, new, old))
    key = (resource.group, resource.kind)
    if key == ("headlessdns.io", "OrdinalSet"):
        return ordinal_set(new, old, [*found, *of_schema])
    rules = _RULES.get(key)
    if rules is not None:
        found += rules(new, old)
    return [*found, *of_schema]


def status_of_invalid(resource: Resource, name: str, found: list[Cause]) -> Json:
    """Return the Status of an object that is refused: 422, every cause in one message."""
    return invalid(resource, name, found).document()


# ---- Metadata

_LABEL_NAMES = frozenset({("apps", "StatefulSet"), ("", "Service"), ("", "Namespace")})


def _metadata(resource: Resource, new: Json, old: Json | None) -> _Rules:
    metadata = new.get("metadata") or {}
    check = causes.dns_label if (resource.group, resource.kind) in _LABEL_NAMES else causes.dns_subdomain
    if resource.group == accessrules.GROUP:
        check = causes.path_segment
    # What StatefulSets and Services are called is looked at when they come, not later.
    if old is None or resource.kind not in {"StatefulSet", "Service"}:
        yield from _name(metadata, check)
    if resource.namespaced:
        if not metadata.get("namespace"):
            yield causes.required("metadata.namespace")
        else:
            yield from label_form(metadata["namespace"], "metadata.namespace")
    elif metadata.get("namespace"):
        yield causes.forbidden("metadata.namespace", "not allowed on this type")
    yield from label_causes(metadata.get("labels"), "metadata.labels")
    yield from annotation_causes(metadata.get("annotations"), "metadata.annotations")
    yield from _owners(items(metadata, "ownerReferences"))
    yield from _finalizers(metadata.get("finalizers") or [])
    if old is not None:
        yield from _metadata_change(metadata, old.get("metadata") or {})


def _name(metadata: Json, check: Callable[[str], list[str]]) -> _Rules:
    prefix, name = metadata.get("generateName") or "", metadata.get("name") or ""
    if prefix:
        whole = f"{prefix[:-2]}a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        yield from (causes.invalid("metadata.generateName", prefix, wrong) for wrong in check(whole))
    if not name:
        yield causes.required("metadata.name", "name or generateName is required")
    else:
        yield from (causes.invalid("metadata.name", name, wrong) for wrong in check(name))


def _owners(owners: list[Json]) -> _Rules:
    where = "metadata.ownerReferences"
    controller = ""
    for owner in owners:
        if not owner.get("apiVersion"):
            yield causes.invalid(f"{where}.apiVersion", "", "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield causes.invalid(f"{where}.{field}", "", "must not be empty")
        if owner.get("controller"):
            name = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                both = f"{controller} and {name}"
                wrong = f'Only one reference can have Controller set to true. Found "true" in references for {both}'
                yield causes.invalid(where, [_owner(each) for each in owners], wrong)
            controller = controller or name


def _owner(owner: Json) -> Json:
    order = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return {field: owner[field] for field in order if field in owner}


def _finalizers(finalizers: list[str]) -> _Rules:
    where = "metadata.finalizers"
    for name in finalizers:
        yield from (causes.invalid(where, name, wrong) for wrong in causes.qualified_name(name))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        yield causes.invalid(where, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")
    for index, name in enumerate(finalizers):
        if "/" not in name and name not in {"orphan", "foregroundDeletion", "kubernetes"}:
            wrong = "name is neither a standard finalizer name nor is it fully qualified"
            yield causes.invalid(f"{where}[{index}]", name, wrong)


def _metadata_change(new: Json, old: Json) -> _Rules:
    if old.get("deletionTimestamp"):
        more = [each for each in new.get("finalizers") or [] if each not in (old.get("finalizers") or [])]
        if more:
            wrong = f"no new finalizers can be added if the object is being deleted, found new finalizers {_go(more)}"
            yield causes.forbidden("metadata.finalizers", wrong)
    for field in ("name", "namespace", "uid"):
        if new.get(field) != old.get(field) and old.get(field):
            yield causes.invalid(f"metadata.{field}", new.get(field, ""), causes.IMMUTABLE)


def _go(names: Iterable[str]) -> str:
    return "[]string{" + ", ".join(json.dumps(name) for name in names) + "}"


# ---- Selectors and quantities


def _selects(selector: Json, labels: Json) -> bool | None:
    """Tell whether *selector* matches, None where it is no selector."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if causes.qualified_name(key) or causes.label_value(value):
            return None
        if labels.get(key) != value:
            return False
    checks = {
        "In": lambda key, values: key in labels and labels[key] in values,
        "NotIn": lambda key, values: key not in labels or labels[key] not in values,
        "Exists": lambda key, values: key in labels,
        "DoesNotExist": lambda key, values: key not in labels,
    }
    matches = True
    for expression in items(selector, "matchExpressions"):
        operator, values = expression.get("operator") or "", expression.get("values") or []
        key = expression.get("key") or ""
        if operator not in checks or bool(values) != operator.endswith("In") or causes.qualified_name(key):
            return None
        matches = matches and checks[operator](key, values)
    return matches


def _shown_selector(selector: Json) -> Json:
    """Return *selector* with its fields in the order of the API server."""
    shown: Json = {}
    if selector.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(selector["matchLabels"].items()))
    if selector.get("matchExpressions"):
        order = ("key", "operator", "values")
        shown["matchExpressions"] = [
            {field: each.get(field, "") for field in order if field != "values" or each.get(field)}
            for each in items(selector, "matchExpressions")
        ]
    return shown


def _not_negative(found: Json, field: str, *names: str) -> _Rules:
    for name in names:
        value = found.get(name)
        if isinstance(value, int) and value < 0:
            yield causes.invalid(f"{field}.{name}" if field else name, value, causes.NOT_NEGATIVE)


# ---- StatefulSet

_SET_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_SET_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_RETENTION = ("Retain", "Delete")


def _stateful_set(new: Json, old: Json | None) -> _Rules:
    spec = new.get("spec") or {}
    if old is None:
        yield from _set_spec(spec, "spec")
        return
    before = old.get("spec") or {}
    # What was stored under older rules may stay as it is.
    tolerated = any(True for _ in _set_spec(before, "", is_update=True))
    yield from _set_spec(spec, "spec", is_update=True, skips_template=tolerated)
    fixed, fixed_before = (
        {field: value for field, value in each.items() if field not in _SET_CHANGEABLE} for each in (spec, before)
    )
    if fixed != fixed_before:
        yield causes.forbidden("spec", _SET_FORBIDDEN)
    if new.get("status") != old.get("status"):
        yield from _set_status(new, old)


def _set_spec(spec: Json, field: str, is_update: bool = False, skips_template: bool = False) -> _Rules:
    policy = spec.get("podManagementPolicy")
    if policy not in {"OrderedReady", "Parallel"}:
        yield causes.invalid(f"{field}.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _update_strategy(spec.get("updateStrategy") or {}, f"{field}.updateStrategy")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        if retention and retention.get(name) not in _RETENTION:
            where = f"{field}.persistentVolumeClaimRetentionPolicy.{name}"
            yield causes.unsupported(where, retention.get(name), _RETENTION)
    claims = items(spec, "volumeClaimTemplates")
    if not is_update:
        for index, claim in enumerate(claims):
            yield from _claim_spec(claim.get("spec") or {}, f"{field}.volumeClaimTemplates[{index}].spec")
    yield from _not_negative(spec, field, "replicas", "minReadySeconds")
    yield from _not_negative(spec.get("ordinals") or {}, f"{field}.ordinals", "start")
    if not is_update and spec.get("serviceName"):
        yield from label_form(spec["serviceName"], f"{field}.serviceName")
    yield from _set_template(spec, field, claims, skips_template)


def _update_strategy(strategy: Json, field: str) -> _Rules:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    shown = None
    if rolling is not None:
        shown = {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}
    if kind not in {"RollingUpdate", "OnDelete"}:
        wrong = "must be 'RollingUpdate' or 'OnDelete'"
        yield causes.invalid(field, {"Type": kind, "RollingUpdate": shown}, wrong)
    elif rolling is not None and kind == "OnDelete":
        yield causes.invalid(f"{field}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    elif rolling is not None:
        yield from _not_negative(rolling, f"{field}.rollingUpdate", "partition")
        yield from _max_unavailable(rolling.get("maxUnavailable"), f"{field}.rollingUpdate.maxUnavailable")


def _max_unavailable(value: Any, field: str) -> _Rules:
    """Return what is wrong with maxUnavailable, which API servers drop whose gate for it is off."""
    if value is None:
        return
    yield from _number_or_percent(value, field)
    if (_percentage(value) if isinstance(value, str) else value) == 0:
        yield causes.invalid(field, value, "cannot be 0")


def _number_or_percent(value: int | str, field: str) -> _Rules:
    """Return what keeps *value* from being a number that is not negative, or a percentage of 100% at most."""
    if isinstance(value, str):
        yield from (causes.invalid(field, value, wrong) for wrong in causes.percent(value))
        if _percentage(value) > 100:
            yield causes.invalid(field, value, "must not be greater than 100%")
    elif value < 0:
        yield causes.invalid(field, value, causes.NOT_NEGATIVE)


def _percentage(text: str) -> int:
    return 0 if causes.percent(text) else int(text[:-1][-18:])


def _set_template(spec: Json, field: str, claims: list[Json], skips_template: bool) -> _Rules:
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    matches: bool | None = False
    if selector is None:
        yield causes.required(f"{field}.selector")
    else:
        yield from selector_causes(selector, f"{field}.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield causes.invalid(f"{field}.selector", {}, "empty selector is invalid for statefulset")
        matches = _selects(selector, labels)
    if matches is None:
        yield causes.invalid(f"{field}.selector", _shown_selector(selector or {}), "")
    else:
        if not matches:
            wrong = "`selector` does not match template `labels`"
            yield causes.invalid(f"{field}.template.metadata.labels", labels or None, wrong)
        if not skips_template:
            yield from podrules.template(_with_claims(template, claims), f"{field}.template")
        yield from label_causes(labels, f"{field}.template.labels")
        annotations = (template.get("metadata") or {}).get("annotations")
        yield from annotation_causes(annotations, f"{field}.template.annotations")
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        yield causes.unsupported(f"{field}.template.spec.restartPolicy", pod.get("restartPolicy", ""), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        where = f"{field}.template.spec.activeDeadlineSeconds"
        yield causes.forbidden(where, "activeDeadlineSeconds in StatefulSet is not Supported")


def _with_claims(template: Json, claims: list[Json]) -> Json:
    """Return *template* as pods get it: claims take the place of volumes, and names of hosts are the set's."""
    spec = {
        name: value for name, value in (template.get("spec") or {}).items() if name not in {"hostname", "subdomain"}
    }
    names = list(dict.fromkeys((claim.get("metadata") or {}).get("name") or "" for claim in claims))
    if names:
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name or "claim"}} for name in names]
        spec["volumes"] = volumes + [each for each in items(spec, "volumes") if each.get("name") not in names]
    return {**template, "spec": spec}


_SET_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")


def _set_status(new: Json, old: Json) -> _Rules:
    status = new.get("status") or {}
    yield from _not_negative(status, "status", *_SET_COUNTS, "observedGeneration", "collisionCount")
    replicas = status.get("replicas", 0)
    for name in _SET_COUNTS[1:]:
        if status.get(name, 0) > replicas:
            yield causes.invalid(f"status.{name}", status.get(name, 0), "cannot be greater than status.replicas")
    available = status.get("availableReplicas", 0)
    if available > status.get("readyReplicas", 0):
        yield causes.invalid("status.availableReplicas", available, "cannot be greater than status.readyReplicas")
    count, before = status.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (count or 0) < before:
        yield causes.invalid("status.collisionCount", count or 0, "cannot be decremented")


# ---- ControllerRevision


def _revision(new: Json, old: Json | None) -> _Rules:
    yield from _not_negative(new, "", "revision")
    data = new.get("data")
    if old is not None:
        if data != old.get("data"):
            yield causes.invalid("data", data, causes.IMMUTABLE)
    elif data is None:
        yield causes.required("data", "data is mandatory")
    elif not isinstance(data, dict):
        yield causes.required("data", "data must be a valid JSON object")


# ---- Claims

_CLAIM_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
)


def _claim_spec(spec: Json, field: str) -> _Rules:
    modes = spec.get("accessModes") or []
    if not modes:
        yield causes.required(f"{field}.accessModes", "at least 1 access mode is required")
    if isinstance(spec.get("selector"), dict):
        yield from selector_causes(spec["selector"], f"{field}.selector")
    yield from storagerules.access_modes(modes, f"{field}.accessModes")
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    number, where = parse(storage), f"{field}.resources[storage]"
    if number is None:
        yield causes.required(where)
    elif number <= 0:
        yield causes.invalid(where, str(storage), "must be greater than zero")
    if spec.get("storageClassName"):
        yield from subdomain_form(spec["storageClassName"], f"{field}.storageClassName")
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in storagerules.VOLUME_MODES:
        yield causes.unsupported(f"{field}.volumeMode", spec["volumeMode"], storagerules.VOLUME_MODES)


def _claim(new: Json, old: Json | None) -> _Rules:
    spec = new.get("spec") or {}
    yield from _claim_spec(spec, "spec")
    if old is None:
        return
    before = old.get("spec") or {}
    free = {"volumeName"} if not before.get("volumeName") else set()
    if (new.get("status") or {}).get("phase") == "Bound":
        free |= {"resources", "volumeAttributesClassName"}
    if "storageClassName" not in before:
        free.add("storageClassName")
    fixed, fixed_before = ({k: v for k, v in each.items() if k not in free} for each in (spec, before))
    if fixed != fixed_before:
        # The API server goes on with a difference of the two in the notation of Go.
        yield causes.forbidden("spec", _CLAIM_IMMUTABLE)
    sizes = [parse(((each.get("resources") or {}).get("requests") or {}).get("storage")) for each in (spec, before)]
    capacity = parse(((old.get("status") or {}).get("capacity") or {}).get("storage", 0))
    size, size_before = sizes
    if size is not None and size_before is not None and size < size_before and size <= (capacity or 0):
        yield causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    if spec.get("volumeMode") != before.get("volumeMode"):
        yield causes.invalid("volumeMode", spec.get("volumeMode"), causes.IMMUTABLE)


# ---- Others


def _pod(new: Json, old: Json | None) -> _Rules:
    spec, before = new.get("spec") or {}, (old or {}).get("spec")
    if old is not None:
        yield from podrules.addresses(new.get("status") or {}, old.get("status") or {})
    if old is not None and spec == before:
        return  # it was looked at when it came
    yield from podrules.pod_spec(spec, "spec", is_pod=True)
    if old is not None:
        yield from podrules.pod_change(spec, before or {})


def _workload(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a Deployment or a ReplicaSet."""
    spec, kind = new.get("spec") or {}, new.get("kind") or ""
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    yield from _not_negative(spec, "spec", "replicas", "minReadySeconds")
    if selector is None:
        yield causes.required("spec.selector")
    else:
        yield from selector_causes(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            name = {"Deployment": "deployment", "ReplicaSet": "replicaset"}.get(kind, "")
            yield causes.invalid("spec.selector", {}, f"empty selector is invalid for {name}")
        elif _selects(selector, labels) is False:
            wrong = "`selector` does not match template `labels`"
            yield causes.invalid("spec.template.metadata.labels", labels or None, wrong)
    yield from podrules.template(template, "spec.template")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy != "Always":
        yield causes.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
    if old is not None and selector != (old.get("spec") or {}).get("selector"):
        yield causes.invalid("spec.selector", _shown_selector(selector or {}), causes.IMMUTABLE)


_EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def _budget(new: Json, old: Json | None) -> _Rules:
    spec = new.get("spec") or {}
    both = [spec.get("minAvailable"), spec.get("maxUnavailable")]
    policy = spec.get("unhealthyPodEvictionPolicy")
    if None not in both:
        shown = {
            "MinAvailable": both[0],
            "Selector": _shown_selector(spec["selector"]) if spec.get("selector") is not None else None,
            "MaxUnavailable": both[1],
            "UnhealthyPodEvictionPolicy": policy,
        }
        yield causes.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for field, value in zip(("minAvailable", "maxUnavailable"), both, strict=True):
        if value is not None:
            yield from _number_or_percent(value, f"spec.{field}")
    if isinstance(spec.get("selector"), dict):
        yield from selector_causes(spec["selector"], "spec.selector")
    if policy is not None and policy not in _EVICTION_POLICIES:
        yield causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, _EVICTION_POLICIES)
    status = new.get("status") or {}
    if old is not None and status != old.get("status"):
        yield from _not_negative(status, "status", *_COUNTS_OF_BUDGETS)


_COUNTS_OF_BUDGETS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _event(new: Json, old: Json | None) -> _Rules:
    namespace = new["metadata"].get("namespace") or ""
    about = (new.get("involvedObject") or {}).get("namespace") or ""
    # What is in no namespace has its events in the default one.
    if about != namespace and (about or namespace not in ("default", "kube-system")):
        yield causes.invalid("involvedObject.namespace", about, "does not match event.namespace")


def _lease(new: Json, old: Json | None) -> _Rules:
    spec = new.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if isinstance(duration, int) and duration <= 0:
        yield causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    if isinstance(transitions, int) and transitions < 0:
        yield causes.invalid("spec.leaseTransitions", transitions, causes.NOT_NEGATIVE)


def _namespace(new: Json, old: Json | None) -> _Rules:
    phase = (new.get("status") or {}).get("phase", "")
    wanted, how = ("Terminating", "not empty") if new["metadata"].get("deletionTimestamp") else ("Active", "empty")
    if old is not None and phase != wanted and phase != (old.get("status") or {}).get("phase"):
        yield causes.invalid("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` is {how}")


def _definition(new: Json, old: Json | None) -> _Rules:
    yield from definitions.faults(new)
    if old is not None:
        yield from definitions.change_faults(new, old)


_RULES: dict[tuple[str, str], Callable[[Json, Json | None], _Rules]] = {
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "ControllerRevision"): _revision,
    ("apps", "Deployment"): _workload,
    ("apps", "ReplicaSet"): _workload,
    ("", "Service"): servicerules.service,
    ("discovery.k8s.io", "EndpointSlice"): endpointrules.endpoint_slice,
    ("", "Endpoints"): endpointrules.endpoints,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): storagerules.volume,
    ("", "Namespace"): _namespace,
    ("", "Node"): noderules.node,
    ("", "Pod"): _pod,
    ("", "ConfigMap"): configrules.config_map,
    ("", "Secret"): configrules.secret,
    ("storage.k8s.io", "StorageClass"): storagerules.storage_class,
    ("policy", "PodDisruptionBudget"): _budget,
    ("coordination.k8s.io", "Lease"): _lease,
    ("", "Event"): _event,
    ("networking.k8s.io", "NetworkPolicy"): accessrules.network_policy,
    (accessrules.GROUP, "Role"): accessrules.role,
    (accessrules.GROUP, "ClusterRole"): accessrules.role,
    (accessrules.GROUP, "RoleBinding"): accessrules.binding,
    (accessrules.GROUP, "ClusterRoleBinding"): accessrules.binding,
}
