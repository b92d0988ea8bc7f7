"""What the API server refuses of an object, in its words. Pure.

Source: the validation of Kubernetes 1.36 (S52, S53 for StatefulSets and ControllerRevisions). In full for StatefulSet,
ControllerRevision, Service, EndpointSlice and PodDisruptionBudget; an OrdinalSet as its schema in ``deploy/crd`` says.
Pods, what is stored, and ConfigMaps and Secrets have modules of their own. Of other kinds: names, labels, annotations,
owners, what is required, and what may not change. What has a wrong type is refused before, when the body is read.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from headlessdns.controller.quantities import parse
from headlessdns.lab.api import causes, configrules, definitions, podrules, storagerules
from headlessdns.lab.api.defaults import admit, admit_again, default
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.ordinalsets import ordinal_set
from headlessdns.lab.api.podrules import annotation_causes, items, label_causes, label_form, subdomain_form
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


def _selector(selector: Json, field: str) -> _Rules:
    yield from label_causes(selector.get("matchLabels"), f"{field}.matchLabels")
    for index, expression in enumerate(items(selector, "matchExpressions")):
        here, operator, values = (
            f"{field}.matchExpressions[{index}]",
            expression.get("operator"),
            expression.get("values"),
        )
        if operator in {"In", "NotIn"}:
            if not values:
                yield causes.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                wrong = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield causes.forbidden(f"{here}.values", wrong)
        else:
            yield causes.invalid(f"{here}.operator", operator or "", "not a valid selector operator")
        key = expression.get("key") or ""
        yield from (causes.invalid(f"{here}.key", key, wrong) for wrong in causes.qualified_name(key))
        for number, value in enumerate(values or []):
            yield from (causes.invalid(f"{here}.values[{number}]", value, wrong) for wrong in causes.label_value(value))


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
        yield from _selector(selector, f"{field}.selector")
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
            yield causes.invalid(f"status.{name}", status[name], "cannot be greater than status.replicas")
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


# ---- Service

_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")


def _is_headless(service: Json) -> bool:
    return _cluster_ips(service) == ["None"]


def _cluster_ips(service: Json) -> list[str]:
    return list((service.get("spec") or {}).get("clusterIPs") or ())


def _service(new: Json, old: Json | None) -> _Rules:
    spec = new.get("spec") or {}
    if old is not None:
        yield from _service_change(new, old)
    yield from _topology(new["metadata"].get("annotations") or {})
    headless = _is_headless(new)
    kind = spec.get("type")
    ports = items(spec, "ports")
    if not ports and not headless and kind != "ExternalName":
        yield causes.required("spec.ports")
    yield from _service_type(spec, headless)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        yield from _service_port(port, f"spec.ports[{index}]", len(ports) > 1, seen)
    yield from label_causes(spec.get("selector"), "spec.selector")
    yield from _affinity(spec)
    yield from address_causes(spec)
    for index, address in enumerate(spec.get("externalIPs") or []):
        yield from _endpoint_ip(address, f"spec.externalIPs[{index}]")
    if kind not in _SERVICE_TYPES:
        yield causes.unsupported("spec.type", kind, _SERVICE_TYPES)
    yield from _double_ports(ports, kind)
    yield from _source_ranges(spec, new["metadata"].get("annotations") or {})
    yield from _policies(spec, kind)
    yield from _balancer_status(new)


_HINTS, _TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def _topology(annotations: Json) -> _Rules:
    hints, mode = annotations.get(_HINTS), annotations.get(_TOPOLOGY)
    if hints is not None and mode is not None and hints != mode:
        wrong = f"must match annotations[{_HINTS}] when both are specified"
        yield causes.invalid(f"metadata.annotations[{_TOPOLOGY}]", mode, wrong)


def _service_type(spec: Json, headless: bool) -> _Rules:
    kind = spec.get("type")
    if kind in {"LoadBalancer", "NodePort"} and headless:
        yield causes.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield causes.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        yield from subdomain_form(name, "spec.externalName")
    else:
        yield causes.required("spec.externalName")


def _service_port(port: Json, field: str, needs_name: bool, seen: set[str]) -> _Rules:
    name = port.get("name") or ""
    if needs_name and not name:
        yield causes.required(f"{field}.name")
    elif name:
        yield from label_form(name, f"{field}.name")
        if name in seen:
            yield causes.duplicate(f"{field}.name", name)
        seen.add(name)
    number = port.get("port", 0)
    yield from (causes.invalid(f"{field}.port", number, wrong) for wrong in causes.port_number(number))
    if port.get("protocol") not in podrules.PROTOCOLS:
        yield causes.unsupported(f"{field}.protocol", port.get("protocol"), podrules.PROTOCOLS)
    yield from podrules.port_or_name(port.get("targetPort", 0), f"{field}.targetPort")
    if port.get("appProtocol") is not None:
        found = port["appProtocol"]
        yield from (causes.invalid(f"{field}.appProtocol", found, wrong) for wrong in causes.qualified_name(found))


def _affinity(spec: Json) -> _Rules:
    affinity = spec.get("sessionAffinity")
    if affinity not in {"ClientIP", "None"}:
        yield causes.unsupported("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    elif affinity == "ClientIP":
        timeout = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < timeout <= 86400:
            where = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            yield causes.invalid(where, timeout, "must be greater than 0 and less than 86400")


def address_causes(spec: Json) -> _Rules:
    """Yield why the cluster IPs and IP families in the *spec* of a Service are no good."""
    if spec.get("type") == "ExternalName":
        return
    cluster_ips = _cluster_ips({"spec": spec})
    first = spec.get("clusterIP") or ""
    where = "spec.clusterIPs"
    if first and not cluster_ips:
        yield causes.required(where)
    elif first and cluster_ips[0] != first:
        yield causes.invalid(where, cluster_ips, "first value must match `clusterIP`")
    elif not first and cluster_ips:
        yield causes.invalid(where, cluster_ips, "must be empty when `clusterIP` is not specified")
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield causes.unsupported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            yield causes.duplicate(f"spec.ipFamilies[{index}]", family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        yield causes.unsupported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    bad = list(_bad_cluster_ips(cluster_ips))
    yield from bad
    if len(cluster_ips) > 2:
        yield causes.invalid(where, cluster_ips, "may only hold up to 2 values")
    if bad or cluster_ips == ["None"]:
        return
    parsed = [causes.sloppy_ip(address) for address in cluster_ips]
    versions = [found.version for found in parsed if found is not None]
    if len(versions) > 1 and len(set(versions)) == 1:
        yield causes.invalid(where, cluster_ips, "may specify no more than one IP for each IP family")
    for index, (address, family, version) in enumerate(zip(cluster_ips, families, versions, strict=False)):
        if family in _FAMILIES and family != f"IPv{version}":
            wrong = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield causes.invalid(f"{where}[{index}]", address, wrong)


def _bad_cluster_ips(cluster_ips: list[str]) -> _Rules:
    for index, address in enumerate(cluster_ips):
        if index == 0 and address == "None":
            if len(cluster_ips) > 1:
                yield causes.invalid("spec.clusterIPs", cluster_ips, "'None' must be the first and only value")
            continue
        where = f"spec.clusterIPs[{index}]"
        yield from (causes.invalid(where, address, wrong) for wrong in causes.ip(address))


def _endpoint_ip(address: str, field: str, is_strict: bool = False) -> _Rules:
    return (causes.invalid(field, address, wrong) for wrong in _wrong_endpoint_ip(address, is_strict))


# A cluster has the same addresses again and again.
@lru_cache(maxsize=16_384)
def _wrong_endpoint_ip(address: str, is_strict: bool) -> tuple[str, ...]:
    wrong = causes.strict_ip(address) if is_strict else causes.ip(address)
    found = None if wrong else causes.sloppy_ip(address)
    if found is None:
        return tuple(wrong)
    is_local_multicast = any(found in each for each in _LOCAL_MULTICAST if each.version == found.version)
    uses = (
        (found.is_unspecified, f"may not be unspecified ({address})"),
        (found.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (found.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (is_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    )
    return tuple(message for is_so, message in uses if is_so)


_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _double_ports(ports: list[Json], kind: Any) -> _Rules:
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                where = f"spec.ports[{index}].nodePort"
                yield causes.forbidden(where, "may not be used when `type` is 'ClusterIP'")
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("nodePort"))
        if key[1] and key in seen:
            yield causes.duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
        seen.add(key)
    seen = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port", 0))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            yield causes.duplicate(f"spec.ports[{index}]", shown)
        seen.add(key)


def is_external(spec: Json) -> bool:
    """Tell whether a Service with this *spec* is reached from outside of the cluster."""
    kind = spec.get("type")
    return kind in {"LoadBalancer", "NodePort"} or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def _policies(spec: Json, kind: Any) -> _Rules:
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        yield causes.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED)
    yield from _balancer_class(spec)
    external = spec.get("externalTrafficPolicy")
    if external and not is_external(spec):
        wrong = "may only be set for externally-accessible services"
        yield causes.invalid("spec.externalTrafficPolicy", external, wrong)
    elif is_external(spec) and external not in _POLICIES:
        yield causes.unsupported("spec.externalTrafficPolicy", external, _POLICIES)
    yield from _health_check(spec.get("healthCheckNodePort", 0), kind == "LoadBalancer" and external == "Local")
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in _POLICIES:
        yield causes.unsupported("spec.internalTrafficPolicy", internal, _POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield causes.unsupported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)


def _balancer_class(spec: Json) -> _Rules:
    name = spec.get("loadBalancerClass")
    if name is not None and spec.get("type") != "LoadBalancer":
        yield causes.forbidden("spec.loadBalancerClass", _ONLY_BALANCED)
    elif name is not None:
        yield from (causes.invalid("spec.loadBalancerClass", name, wrong) for wrong in causes.qualified_name(name))


def _health_check(port: int, is_needed: bool) -> _Rules:
    where = "spec.healthCheckNodePort"
    if port and not is_needed:
        wrong = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield causes.invalid(where, port, wrong)
    elif is_needed and not port:
        yield causes.required(where)
    elif is_needed:
        yield from (causes.invalid(where, port, wrong) for wrong in causes.port_number(port))


_SOURCES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def _source_ranges(spec: Json, annotations: Json) -> _Rules:
    """Source ranges stand in a list or in an annotation."""
    ranges, text = spec.get("loadBalancerSourceRanges"), annotations.get(_SOURCES)
    if ranges:
        where = "spec.LoadBalancerSourceRanges"
        named = [(f"{where}[{index}]", each) for index, each in enumerate(ranges)]
    elif text is not None:
        where = f"metadata.annotations[{_SOURCES}]"
        named = [(where, each) for each in text.split(",")] if text.strip() else []
    else:
        return
    if spec.get("type") != "LoadBalancer":
        yield causes.forbidden(where, _ONLY_BALANCED)
    for field, each in named:
        yield from (causes.invalid(field, each.strip(), wrong) for wrong in causes.cidr(each.strip()))


def _balancer_status(new: Json) -> _Rules:
    where = "status.loadBalancer.ingress"
    ways = items((new.get("status") or {}).get("loadBalancer") or {}, "ingress")
    if ways and (new.get("spec") or {}).get("type") != "LoadBalancer":
        yield causes.forbidden(where, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, way in enumerate(ways):
        yield from _way_in(way, f"{where}[{index}]")


def _way_in(way: Json, where: str) -> _Rules:
    address, name, mode = way.get("ip") or "", way.get("hostname") or "", way.get("ipMode")
    if address:
        yield from (causes.invalid(f"{where}.ip", address, wrong) for wrong in causes.ip(address))
    if mode is not None and not address:
        yield causes.forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")
    elif mode is not None and mode not in {"Proxy", "VIP"}:
        yield causes.unsupported(f"{where}.ipMode", mode, ("Proxy", "VIP"))
    elif mode is None and address:
        yield causes.required(f"{where}.ipMode", "must be specified when `ip` is set")
    if name:
        yield from subdomain_form(name, f"{where}.hostname")
        if causes.sloppy_ip(name):
            yield causes.invalid(f"{where}.hostname", name, "must be a DNS name, not an IP address")


def _service_change(new: Json, old: Json) -> _Rules:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    yield from _address_change(new, old)
    is_balanced = spec.get("type") == before.get("type") == "LoadBalancer"
    if is_balanced and spec.get("loadBalancerClass") != before.get("loadBalancerClass"):
        yield causes.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), _ONCE)
    yield from _balancer_class(spec)
    is_local = spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") == "Local"
    if is_balanced and is_local and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        yield causes.forbidden("spec.healthCheckNodePort", causes.IMMUTABLE)


def _address_change(new: Json, old: Json) -> _Rules:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in {spec.get("type"), before.get("type")}:
        return
    if not (_is_headless(new) and _is_headless(old)):
        yield from _cluster_ip_change(spec, _cluster_ips(new), _cluster_ips(old))
    if not _is_headless(new) and not _is_headless(old):
        yield from _family_change(spec, spec.get("ipFamilies") or [], before.get("ipFamilies") or [])


_ONCE = "may not change once set"


def _cluster_ip_change(spec: Json, ips: list[str], before: list[str]) -> _Rules:
    where = "spec.clusterIPs"
    if len(ips) == len(before):
        for index, (address, other) in enumerate(zip(ips, before, strict=True)):
            if address != other:
                yield causes.invalid(f"{where}[{index}]", ips, _ONCE)
        return
    if not ips:
        yield causes.invalid(f"{where}[0]", None, "primary clusterIP can not be unset")
    elif before and ips[0] != before[0]:
        yield causes.invalid(f"{where}[0]", ips, _ONCE)
    if len(before) > len(ips) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        wrong = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        yield causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), wrong)


def _family_change(spec: Json, families: list[str], before: list[str]) -> _Rules:
    where = "spec.ipFamilies[0]"
    if len(families) == len(before):
        yield from (
            causes.invalid(where, families, _ONCE) for one, other in zip(families, before, strict=True) if one != other
        )
        return
    if families and before and families[0] != before[0]:
        yield causes.invalid(where, spec.get("clusterIPs"), _ONCE)
    if len(before) > len(families) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        wrong = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        yield causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), wrong)


# ---- EndpointSlice

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_PORTS = 20_000
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_TOPOLOGY_LABELS = 16
_MAX_HINTS = 8


def _endpoint_slice(new: Json, old: Json | None) -> _Rules:
    address_type = new.get("addressType") or ""
    if not address_type:
        yield causes.required("addressType")
    elif address_type not in _ADDRESS_TYPES:
        yield causes.unsupported("addressType", address_type, _ADDRESS_TYPES)
    yield from _slice_ports(items(new, "ports"))
    endpoints = items(new, "endpoints")
    if old is None or endpoints != items(old, "endpoints"):
        yield from _slice_endpoints(endpoints, address_type)
    if old is not None and address_type != old.get("addressType"):
        yield causes.invalid("addressType", address_type, causes.IMMUTABLE)


def _slice_ports(ports: list[Json]) -> _Rules:
    if len(ports) > _MAX_PORTS:
        yield causes.too_many("ports", len(ports), _MAX_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here, name = f"ports[{index}]", port.get("name") or ""
        if name:
            yield from label_form(name, f"{here}.name")
        if name in seen:
            yield causes.duplicate(f"{here}.name", name)
        seen.add(name)
        if port.get("protocol") not in podrules.PROTOCOLS:
            yield causes.unsupported(f"{here}.protocol", port.get("protocol"), podrules.PROTOCOLS)
        if port.get("appProtocol") is not None:
            found = port["appProtocol"]
            yield from (causes.invalid(f"{here}.appProtocol", found, wrong) for wrong in causes.qualified_name(found))


def _slice_endpoints(endpoints: list[Json], address_type: str) -> _Rules:
    if len(endpoints) > _MAX_ENDPOINTS:
        yield causes.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        here = f"endpoints[{index}]"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield causes.required(f"{here}.addresses", "must contain at least 1 address")
        elif len(addresses) > _MAX_ADDRESSES:
            yield causes.too_many(f"{here}.addresses", len(addresses), _MAX_ADDRESSES)
        for number, address in enumerate(addresses):
            yield from _slice_address(address, address_type, f"{here}.addresses", number)
        if endpoint.get("nodeName") is not None:
            yield from subdomain_form(endpoint["nodeName"], f"{here}.nodeName")
        topology = endpoint.get("deprecatedTopology") or {}
        if len(topology) > _MAX_TOPOLOGY_LABELS:
            yield causes.too_many(f"{here}.deprecatedTopology", len(topology), _MAX_TOPOLOGY_LABELS)
        yield from label_causes(topology, f"{here}.deprecatedTopology")
        if endpoint.get("hostname") is not None:
            yield from label_form(endpoint["hostname"], f"{here}.hostname")
        yield from _hints(endpoint.get("hints") or {}, f"{here}.hints")


def _endpoints(new: Json, old: Json | None) -> _Rules:
    for index, subset in enumerate(items(new, "subsets")):
        here = f"subsets[{index}]"
        ready, others = items(subset, "addresses"), items(subset, "notReadyAddresses")
        if not ready and not others:
            yield causes.required(here, "must specify `addresses` or `notReadyAddresses`")
        for field, addresses in (("addresses", ready), ("notReadyAddresses", others)):
            for number, address in enumerate(addresses):
                yield from _endpoint_address(address, f"{here}.{field}[{number}]")
        ports = items(subset, "ports")
        for number, port in enumerate(ports):
            yield from _endpoint_port(port, f"{here}.ports[{number}]", needs_name=len(ports) > 1)


def _endpoint_address(address: Json, field: str) -> _Rules:
    ip = address.get("ip") or ""
    wrong = causes.ip(ip)
    yield from (causes.invalid(f"{field}.ip", ip, each) for each in wrong)
    if address.get("hostname"):
        yield from label_form(address["hostname"], f"{field}.hostname")
    if address.get("nodeName") is not None:
        yield from subdomain_form(address["nodeName"], f"{field}.nodeName")
    if wrong:
        yield causes.invalid(f"{field}.ip", ip, "must be a valid IP address")
    else:
        yield from _endpoint_ip(ip, f"{field}.ip")


def _endpoint_port(port: Json, field: str, *, needs_name: bool) -> _Rules:
    if port.get("name"):
        yield from label_form(port["name"], f"{field}.name")
    elif needs_name:
        yield causes.required(f"{field}.name")
    yield from (
        causes.invalid(f"{field}.port", port.get("port") or 0, wrong) for wrong in causes.port_number(port.get("port"))
    )
    if port.get("protocol") not in podrules.PROTOCOLS:
        yield causes.unsupported(f"{field}.protocol", port.get("protocol"), podrules.PROTOCOLS)
    if port.get("appProtocol") is not None:
        found = port["appProtocol"]
        yield from (causes.invalid(f"{field}.appProtocol", found, wrong) for wrong in causes.qualified_name(found))


def _slice_address(address: str, address_type: str, field: str, number: int) -> _Rules:
    here = f"{field}[{number}]"
    if address_type == "FQDN":
        yield from _fqdn(address, here)
        return
    if address_type not in {"IPv4", "IPv6"}:
        return
    is_v6 = address_type == "IPv6"
    found = causes.sloppy_ip(address)
    if found is not None and found.version != (6 if is_v6 else 4) and not (is_v6 and causes.strict_ip(address)):
        yield causes.invalid(field, address, f"must be an {address_type} address")
    yield from _endpoint_ip(address, here, is_v6)


def _fqdn(name: str, field: str) -> _Rules:
    if not name:
        yield causes.required(field)
        return
    whole = name.removesuffix(".")
    wrong = causes.dns_subdomain(whole)
    if wrong:
        yield causes.invalid(field, whole, ",".join(wrong))
    elif "." not in whole:
        yield causes.invalid(field, whole, "should be a domain with at least two segments separated by dots")
    else:
        bad = next((part for part in whole.split(".") if causes.dns_label(part)), None)
        if bad is not None:
            yield causes.invalid(field, bad, ",".join(causes.dns_label(bad)))


def _hints(hints: Json, field: str) -> _Rules:
    for name, check in (("forZones", causes.label_value), ("forNodes", causes.dns_subdomain)):
        found = items(hints, name)
        if len(found) > _MAX_HINTS:
            yield causes.too_many(f"{field}.{name}", len(found), _MAX_HINTS)
            return
        seen: set[str] = set()
        for index, hint in enumerate(found):
            here, value = f"{field}.{name}[{index}].name", hint.get("name") or ""
            if value in seen:
                yield causes.duplicate(here, value)
            seen.add(value)
            yield from (causes.invalid(here, value, wrong) for wrong in check(value))


# ---- Claims

_CLAIM_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
)


def _claim_spec(spec: Json, field: str) -> _Rules:
    modes = spec.get("accessModes") or []
    if not modes:
        yield causes.required(f"{field}.accessModes", "at least 1 access mode is required")
    if isinstance(spec.get("selector"), dict):
        yield from _selector(spec["selector"], f"{field}.selector")
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
    if old is not None and spec == before:
        return  # it was looked at when it came
    yield from podrules.pod_spec(spec, "spec")
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
        yield from _selector(selector, "spec.selector")
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
        yield from _selector(spec["selector"], "spec.selector")
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


def _definition(new: Json, old: Json | None) -> _Rules:
    return definitions.faults(new)


_RULES: dict[tuple[str, str], Callable[[Json, Json | None], _Rules]] = {
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "ControllerRevision"): _revision,
    ("apps", "Deployment"): _workload,
    ("apps", "ReplicaSet"): _workload,
    ("", "Service"): _service,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("", "Endpoints"): _endpoints,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): storagerules.volume,
    ("", "Pod"): _pod,
    ("", "ConfigMap"): configrules.config_map,
    ("", "Secret"): configrules.secret,
    ("storage.k8s.io", "StorageClass"): storagerules.storage_class,
    ("policy", "PodDisruptionBudget"): _budget,
    ("coordination.k8s.io", "Lease"): _lease,
    ("", "Event"): _event,
}
