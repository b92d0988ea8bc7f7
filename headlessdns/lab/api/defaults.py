"""What the API server adds to an object and how it writes it: defaults, canonical quantities, no empty fields. Pure.

Source: the defaulting functions, types and admission plugins of Kubernetes 1.36 (S51 for StatefulSets). Cluster IPs,
names, UIDs, times and what admission takes from other objects are the business of the caller.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from headlessdns.controller import validate as sets
from headlessdns.controller.quantities import canonical
from headlessdns.lab.api.kinds import RESOURCES, Json, Resource

_CONTAINERS = (dict, list)  # a union would be made anew each time
_BUILT_IN = frozenset((each.group, each.kind) for each in RESOURCES)


def default(resource: Resource, object: Json, *, is_status: bool = False) -> None:
    """Bring *object* into the form that the API server stores, in place.

    Call it for what a client sent, before `validate`. Custom resources stay as they are: their schema says what is
    missing. What has a wrong type stays as well.

    Args:
        resource: The kind.
        object: Status included, if there is one.
        is_status: Whether the status alone is new; *object* may have nothing else then.
    """
    if (resource.group, resource.kind) not in _BUILT_IN or resource.kind == "CustomResourceDefinition":
        return
    _drop_empty(object, resource.kind)  # quantities have their canonical form then, too
    if not isinstance(object.get("spec", {}), dict) or not isinstance(object.get("status", {}), dict):
        return
    found = _DEFAULTS.get(resource.kind)
    if is_status:
        found = _DEFAULTS_OF_STATUS.get(resource.kind, found)
    if found is not None:
        found(object)
    for condition in _each(_part(object, "status") if "status" in object else {}, "conditions"):
        for field in _TIMES_OF_CONDITIONS.get(resource.kind, ()):
            condition.setdefault(field, None)


def admit(resource: Resource, object: Json) -> None:
    """Add to *object* what admission adds when it is created, in place, after `default`; no manager owns it."""
    if (resource.group, resource.kind) != ("", "Pod") or not isinstance(object.get("spec"), dict):
        return
    spec = object["spec"]
    _fill(spec, priority=0, preemptionPolicy="PreemptLowerPriority")
    _tolerate(spec)
    _fill(_part(object, "status"), phase="Pending", qosClass=_qos_class(spec))


def admit_again(pod: Json, old: Json) -> None:
    """Add to *pod* what admission adds when it is written over *old*, in place, after `default`."""
    spec, before = pod.get("spec"), old.get("spec") or {}
    if not isinstance(spec, dict):
        return
    _fill(spec, **{field: before[field] for field in ("priority", "preemptionPolicy") if field in before})
    _tolerate(spec)


# ---- Empty values and quantities

# Maps of a user's own keys: their values stay, whatever they are; without keys the map goes.
_MAPS = frozenset(
    {
        "annotations",
        "labels",
        "matchLabels",
        "nodeSelector",
        "data",
        "stringData",
        "binaryData",
        "parameters",
        "limits",
        "requests",
        "capacity",
        "allocatable",
        "overhead",
        "allocatedResources",
        "allocatedResourceStatuses",
        "volumeAttributes",
        "deprecatedTopology",
        "disruptedPods",
        "fieldsV1",
        "userAnnotations",
    }
)
_FALSE_IS_NOTHING = frozenset(
    {
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "paused",
        "publishNotReadyAddresses",
        "readOnly",
        "stdin",
        "stdinOnce",
        "tty",
        "unschedulable",
    }
)
_ZERO_IS_NOTHING = frozenset(
    {
        "generation",
        "healthCheckNodePort",
        "hostPort",
        "initialDelaySeconds",
        "minReadySeconds",
        "nodePort",
        "observedGeneration",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "fullyLabeledReplicas",
        "unavailableReplicas",
        "sizeBytes",
        "count",
        "signal",
    }
)
# Text that may be empty, by its name or by its parent's and its own.
_EMPTY_IS_SOMETHING = frozenset(
    {
        "name",
        "key",
        "service",
        "storageClassName",
        "volumeAttributesClassName",
        "loadBalancerClass",
        "runtimeClassName",
        "holderIdentity",
        "appProtocol",
        "apiGroup",
        "mountPath",
        "devicePath",
        "claimName",
        "topologyKey",
        "operator",
        "address",
        "addressType",
        "ip",
        "kind",
        "path",
        "NetworkPolicy.spec.ingress.ports.port",
        "NetworkPolicy.spec.ingress.ports.protocol",
        "NetworkPolicy.spec.egress.ports.port",
        "NetworkPolicy.spec.egress.ports.protocol",
        "endpoints.hostname",
        "endpoints.nodeName",
        "endpoints.zone",
        "addresses.nodeName",
        "hostPath.type",
        "httpHeaders.value",
        "sysctls.value",
        "options.value",
        "StatefulSet.spec.serviceName",
        "StorageClass.reclaimPolicy",
        "containerStatuses.image",
        "containerStatuses.imageID",
        "initContainerStatuses.image",
        "initContainerStatuses.imageID",
        "conditions.type",
        "conditions.status",
        "PodDisruptionBudget.status.conditions.message",
        "Service.status.conditions.message",
        "Event.reportingComponent",
        "Event.reportingInstance",
        *(
            f"nodeInfo.{field}"
            for field in (
                "architecture",
                "bootID",
                "containerRuntimeVersion",
                "kernelVersion",
                "kubeProxyVersion",
                "kubeletVersion",
                "machineID",
                "operatingSystem",
                "osImage",
                "systemUUID",
            )
        ),
    }
)
_QUANTITIES = frozenset({"limits", "requests", "capacity", "allocatable", "overhead", "allocatedResources"})
_EMPTY_PATH_IS_NOTHING = frozenset({"httpGet.path"})


def _drop_empty(object: Json, kind: str) -> None:
    for field, value in list(object.items()):
        if kind == "ControllerRevision" and field == "data":
            continue
        if not value:
            if _is_nothing(value, field, kind, kind, f"{kind}.{field}"):
                del object[field]
        elif field != "data" and isinstance(value, dict | list):
            _drop_below(value, field, kind, f"{kind}.{field}")


def _drop_below(value: Json | list[Any], name: str, kind: str, path: str) -> None:
    if isinstance(value, list):
        for item in value:
            if isinstance(item, _CONTAINERS):
                _drop_below(item, name, kind, path)
    elif name in _QUANTITIES:
        for field, quantity in value.items():
            value[field] = canonical(quantity)
    elif name not in _MAPS and path != "Service.spec.selector":
        empty = []
        for field, below in value.items():
            if field == "sizeLimit":
                value[field] = canonical(below)
            if not below:
                if _is_nothing(below, field, name, kind, f"{path}.{field}"):
                    empty.append(field)
            elif isinstance(below, _CONTAINERS):
                _drop_below(below, field, kind, f"{path}.{field}")
        for field in empty:
            del value[field]


def _is_nothing(value: Any, field: str, parent: str, kind: str, path: str) -> bool:
    """Tell whether an empty *value* is left out."""
    if value is None:
        return True
    if value == "":
        if f"{parent}.{field}" in _EMPTY_PATH_IS_NOTHING or (parent == "metadata" and field == "name"):
            return True
        return not {field, f"{parent}.{field}", path} & _EMPTY_IS_SOMETHING
    if value is False:
        return field in _FALSE_IS_NOTHING
    if value == 0 and not isinstance(value, bool | str):
        return field in _ZERO_IS_NOTHING and path != "Pod.status.observedGeneration"
    if value == []:
        return True
    return value == {} and (field in _MAPS or path == "Service.spec.selector")


# ---- Defaults by kind

# Times that are written even where they are not known.
_TIMES_OF_CONDITIONS = {
    "Pod": ("lastProbeTime", "lastTransitionTime"),
    "PersistentVolumeClaim": ("lastProbeTime", "lastTransitionTime"),
    "Node": ("lastHeartbeatTime", "lastTransitionTime"),
    "Deployment": ("lastUpdateTime", "lastTransitionTime"),
    "ReplicaSet": ("lastTransitionTime",),
    "StatefulSet": ("lastTransitionTime",),
}


def _fill(object: Json, **defaults: Any) -> None:
    for field, value in defaults.items():
        if object.get(field) is None:
            object[field] = value.copy() if isinstance(value, dict | list) else value  # none is deeper


def _part(object: Json, field: str) -> Json:
    """Return the object at *field*, made where there is none; what has another type is left alone."""
    if object.get(field) is None:
        object[field] = {}
    found = object[field]
    return found if isinstance(found, dict) else {}


def _each(object: Json, field: str) -> Iterator[Json]:
    found = object.get(field)
    if isinstance(found, list):
        yield from (item for item in found if isinstance(item, dict))


def _add_set_defaults(spec: Json) -> None:
    """Add its defaults to the spec of a StatefulSet, as far as it has no wrong type."""
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        sets.add_defaults({"kind": "StatefulSet", "spec": spec})


def _add_pod_defaults(spec: Json) -> None:
    """Add its defaults to the spec of a pod or of its template."""
    # StatefulSets have the table of these; what they add around the template is thrown away.
    _add_set_defaults({"template": {"spec": spec}})
    for field in ("containers", "initContainers"):
        for container in _each(spec, field):
            _fill(container, resources={})


def _template(object: Json) -> None:
    spec = _part(object, "spec")
    template = _part(spec, "template")
    _part(template, "metadata")
    _add_pod_defaults(_part(template, "spec"))


def _stateful_set(object: Json) -> None:
    spec = _part(object, "spec")
    _part(_part(spec, "template"), "metadata")
    _part(spec["template"], "spec")
    if isinstance(spec.get("volumeClaimTemplates"), list):
        for template in _each(spec, "volumeClaimTemplates"):
            _part(template, "metadata")
            _part(_part(template, "spec"), "resources")
    _add_set_defaults(spec)
    _fill(spec, serviceName="")
    _fill(_part(object, "status"), replicas=0, availableReplicas=0)


def _deployment(object: Json) -> None:
    spec = _part(object, "spec")
    _template(object)
    strategy = _part(spec, "strategy")
    _fill(strategy, type="RollingUpdate")
    if strategy.get("type") == "RollingUpdate":
        _fill(_part(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _part(object, "status")


def _replica_set(object: Json) -> None:
    _template(object)
    _fill(object["spec"], replicas=1)
    _fill(_part(object, "status"), replicas=0)


_ALWAYS_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def _agree_on_addresses(pod: Json) -> None:
    """Let both fields of a pod's status that have its address say the same; the older one is right."""
    status = pod.get("status") or {}
    address, addresses = status.get("podIP"), status.get("podIPs") or []
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address:
        status["podIP"] = addresses[0].get("ip", "")


def _pod(object: Json) -> None:
    _agree_on_addresses(object)
    spec = _part(object, "spec")
    _add_pod_defaults(spec)
    _fill(spec, enableServiceLinks=True)
    for group in ("containers", "initContainers"):
        for container in _each(spec, group):
            _default_requests(_part(container, "resources"))
            if spec.get("hostNetwork"):
                for port in _each(container, "ports"):
                    _fill(port, hostPort=port.get("containerPort"))
    _part(object, "status")


def _default_requests(resources: Json) -> None:
    limits = resources.get("limits")
    if isinstance(limits, dict) and isinstance(resources.get("requests", {}), dict):
        resources["requests"] = {**limits, **resources.get("requests", {})}


def _tolerate(spec: Json) -> None:
    """A pod stays for 300 s on a node that is not ready or not to be reached, where it does not say otherwise."""
    tolerations = spec.get("tolerations", [])
    if not isinstance(tolerations, list):
        return
    for key in _ALWAYS_TOLERATED:
        if not any(_tolerates(each, key) for each in tolerations if isinstance(each, dict)):
            more = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations = [*tolerations, more]
    spec["tolerations"] = tolerations


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key") in {key, None} and toleration.get("effect") in {"NoExecute", None}


_COUNTED = frozenset({"cpu", "memory"})


def _qos_class(spec: Json) -> str:
    requested, guaranteed = False, True
    for group in ("containers", "initContainers"):
        for container in _each(spec, group):
            resources = container.get("resources") or {}
            if not resources.get("requests") and not resources.get("limits"):
                guaranteed = False
                continue
            requests, limits = (
                {name: canonical(each) for name, each in (resources.get(field) or {}).items() if canonical(each) != "0"}
                for field in ("requests", "limits")
            )
            requested = requested or bool(_COUNTED & {*requests, *limits})
            guaranteed = guaranteed and {*limits} >= _COUNTED
            guaranteed = guaranteed and all(requests.get(each, limits[each]) == limits[each] for each in _COUNTED)
    return "BestEffort" if not requested else "Guaranteed" if guaranteed else "Burstable"


def _service(object: Json) -> None:
    spec = _part(object, "spec")
    _fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        _fill(_part(_part(spec, "sessionAffinityConfig"), "clientIP"), timeoutSeconds=10800)
    for port in _each(spec, "ports"):
        _fill(port, protocol="TCP")
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port", 0)
    kind = spec["type"]
    is_external = kind in {"NodePort", "LoadBalancer"} or (kind == "ClusterIP" and spec.get("externalIPs"))
    if is_external:
        _fill(spec, externalTrafficPolicy="Cluster")
    if kind in {"NodePort", "LoadBalancer", "ClusterIP"}:
        _fill(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)
    balancer = _part(_part(object, "status"), "loadBalancer")
    for way in _each(balancer, "ingress") if kind == "LoadBalancer" else ():
        if way.get("ip"):
            _fill(way, ipMode="VIP")


def _endpoint_slice(object: Json) -> None:
    for port in _each(object, "ports"):
        _fill(port, name="", protocol="TCP")
    for endpoint in _each(object, "endpoints"):
        _fill(endpoint, conditions={}, addresses=[])
    # Both are always written, even where there are none.
    object.setdefault("endpoints", None)
    object.setdefault("ports", None)


def _endpoints(object: Json) -> None:
    for subset in _each(object, "subsets"):
        for port in _each(subset, "ports"):
            _fill(port, protocol="TCP")


def _namespace(object: Json) -> None:
    metadata = _part(object, "metadata")
    if metadata.get("name"):
        _part(metadata, "labels")["kubernetes.io/metadata.name"] = metadata["name"]
    finalizers = _part(object, "spec").get("finalizers") or []
    if "kubernetes" not in finalizers and not metadata.get("deletionTimestamp"):
        object["spec"]["finalizers"] = [*finalizers, "kubernetes"]
    _fill(_part(object, "status"), phase="Active")


_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def _agree_on_prefixes(node: Json) -> None:
    """Let both fields of a Node that have the addresses of its pods say the same; the older one is right."""
    spec = node.get("spec") or {}
    prefix, prefixes = spec.get("podCIDR"), spec.get("podCIDRs") or []
    if prefix and (not prefixes or prefixes[0] != prefix):
        spec["podCIDRs"] = [prefix]
    elif prefixes and not prefix:
        spec["podCIDR"] = prefixes[0]


def _node(object: Json) -> None:
    _agree_on_prefixes(object)
    _part(object, "spec")
    status = _part(object, "status")
    _fill(_part(_part(status, "daemonEndpoints"), "kubeletEndpoint"), Port=0)
    _fill(_part(status, "nodeInfo"), **dict.fromkeys(_NODE_INFO, ""))
    if status.get("capacity"):
        _fill(status, allocatable=status["capacity"])


def _claim(object: Json) -> None:
    spec = _part(object, "spec")
    _part(spec, "resources")
    _fill(spec, volumeMode="Filesystem")
    _fill(_part(object, "status"), phase="Pending")


def _volume(object: Json) -> None:
    _fill(_part(object, "spec"), persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    path = object["spec"].get("hostPath")
    if isinstance(path, dict):
        _fill(path, type="")
    _fill(_part(object, "status"), phase="Pending")


def _storage_class(object: Json) -> None:
    _fill(object, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _secret(object: Json) -> None:
    _fill(object, type="Opaque")


def _budget(object: Json) -> None:
    _part(object, "spec")
    _fill(_part(object, "status"), currentHealthy=0, desiredHealthy=0, disruptionsAllowed=0, expectedPods=0)


def _lease(object: Json) -> None:
    _part(object, "spec")


def _policy(object: Json) -> None:
    spec = _part(object, "spec")
    _part(spec, "podSelector")
    for way in ("ingress", "egress"):
        for rule in _each(spec, way):
            for port in _each(rule, "ports"):
                _fill(port, protocol="TCP")
    _fill(spec, policyTypes=["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _binding(object: Json) -> None:
    role = _part(object, "roleRef")
    role["apiGroup"] = role.get("apiGroup") or _ACCESS
    for subject in _each(object, "subjects"):
        if not subject.get("apiGroup"):
            subject.pop("apiGroup", None)
            if subject.get("kind") in {"User", "Group"}:
                subject["apiGroup"] = _ACCESS


_ACCESS = "rbac.authorization.k8s.io"


def _revision(object: Json) -> None:
    _fill(object, revision=0)


def _event(object: Json) -> None:
    _part(object, "source")
    _part(object, "involvedObject")
    _fill(object, firstTimestamp=None, lastTimestamp=None, eventTime=None, reportingComponent="", reportingInstance="")


_DEFAULTS: dict[str, Callable[[Json], None]] = {
    "StatefulSet": _stateful_set,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Pod": _pod,
    "Service": _service,
    "EndpointSlice": _endpoint_slice,
    "Endpoints": _endpoints,
    "Namespace": _namespace,
    "Node": _node,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "StorageClass": _storage_class,
    "Secret": _secret,
    "PodDisruptionBudget": _budget,
    "Lease": _lease,
    "ControllerRevision": _revision,
    "Event": _event,
    "NetworkPolicy": _policy,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
}
# Those whose status needs less.
_DEFAULTS_OF_STATUS: dict[str, Callable[[Json], None]] = {"Pod": _agree_on_addresses}
