"""The few kinds that kubectl sends in protobuf, read into the JSON they mean. Pure.

kubectl writes JSON for what comes from files, but `create namespace`, `create service`, `create deployment` and the
like, evictions and events go as ``application/vnd.kubernetes.protobuf``. Only the fields below are known; a body with
another one is refused, so that nothing is lost silently.

Source: `generated.proto` of k8s.io/api and k8s.io/apimachinery v0.36; Protocol Buffers, "Encoding".
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import ApiError

MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _OCTETS, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    """One field: its name in JSON, what it is, and whether there are several of it.

    `kind` is str, int, bool, count and flag (an int and a bool that JSON leaves out where they are 0 and false), time,
    micro (a time with microseconds), map, bytesmap, IntOrString, or the name of a message.
    """

    name: str
    kind: str = "str"
    is_list: bool = False


_OBJECT_META = {
    1: _Field("name"),
    2: _Field("generateName"),
    3: _Field("namespace"),
    4: _Field("selfLink"),
    5: _Field("uid"),
    6: _Field("resourceVersion"),
    7: _Field("generation", "int"),
    8: _Field("creationTimestamp", "time"),
    9: _Field("deletionTimestamp", "time"),
    10: _Field("deletionGracePeriodSeconds", "int"),
    11: _Field("labels", "map"),
    12: _Field("annotations", "map"),
    13: _Field("ownerReferences", "OwnerReference", is_list=True),
    14: _Field("finalizers", is_list=True),
}
_META = _Field("metadata", "ObjectMeta")
_MESSAGES: dict[str, dict[int, _Field]] = {
    "ObjectMeta": _OBJECT_META,
    "OwnerReference": {
        1: _Field("kind"),
        3: _Field("name"),
        4: _Field("uid"),
        5: _Field("apiVersion"),
        6: _Field("controller", "bool"),
        7: _Field("blockOwnerDeletion", "bool"),
    },
    "ObjectReference": {
        1: _Field("kind"),
        2: _Field("namespace"),
        3: _Field("name"),
        4: _Field("uid"),
        5: _Field("apiVersion"),
        6: _Field("resourceVersion"),
        7: _Field("fieldPath"),
    },
    "LocalObjectReference": {1: _Field("name")},
    "Preconditions": {1: _Field("uid"), 2: _Field("resourceVersion")},
    "LabelSelector": {1: _Field("matchLabels", "map"), 2: _Field("matchExpressions", "Requirement", is_list=True)},
    "Requirement": {1: _Field("key"), 2: _Field("operator"), 3: _Field("values", is_list=True)},
    "NamespaceSpec": {1: _Field("finalizers", is_list=True)},
    "NamespaceStatus": {1: _Field("phase")},
    "EventSource": {1: _Field("component"), 2: _Field("host")},
    "EventSeries": {1: _Field("count", "int"), 2: _Field("lastObservedTime", "micro")},
    "ServiceSpec": {
        1: _Field("ports", "ServicePort", is_list=True),
        2: _Field("selector", "map"),
        3: _Field("clusterIP"),
        4: _Field("type"),
        5: _Field("externalIPs", is_list=True),
        7: _Field("sessionAffinity"),
        8: _Field("loadBalancerIP"),
        9: _Field("loadBalancerSourceRanges", is_list=True),
        10: _Field("externalName"),
        11: _Field("externalTrafficPolicy"),
        12: _Field("healthCheckNodePort", "count"),
        13: _Field("publishNotReadyAddresses", "flag"),
        17: _Field("ipFamilyPolicy"),
        18: _Field("clusterIPs", is_list=True),
        19: _Field("ipFamilies", is_list=True),
        20: _Field("allocateLoadBalancerNodePorts", "bool"),
        21: _Field("loadBalancerClass"),
        22: _Field("internalTrafficPolicy"),
        23: _Field("trafficDistribution"),
    },
    "ServicePort": {
        1: _Field("name"),
        2: _Field("protocol"),
        3: _Field("port", "int"),
        4: _Field("targetPort", "IntOrString"),
        5: _Field("nodePort", "count"),
        6: _Field("appProtocol"),
    },
    "ServiceStatus": {1: _Field("loadBalancer", "Empty")},
    "Empty": {},
    "PodTemplateSpec": {1: _META, 2: _Field("spec", "PodSpec")},
    "PodSpec": {
        2: _Field("containers", "Container", is_list=True),
        3: _Field("restartPolicy"),
        4: _Field("terminationGracePeriodSeconds", "int"),
        6: _Field("dnsPolicy"),
        7: _Field("nodeSelector", "map"),
        8: _Field("serviceAccountName"),
        9: _Field("serviceAccount"),
        10: _Field("nodeName"),
        11: _Field("hostNetwork", "flag"),
        12: _Field("hostPID", "flag"),
        13: _Field("hostIPC", "flag"),
        14: _Field("securityContext", "Empty"),
        16: _Field("hostname"),
        17: _Field("subdomain"),
        19: _Field("schedulerName"),
        20: _Field("initContainers", "Container", is_list=True),
        24: _Field("priorityClassName"),
    },
    "Container": {
        1: _Field("name"),
        2: _Field("image"),
        3: _Field("command", is_list=True),
        4: _Field("args", is_list=True),
        5: _Field("workingDir"),
        6: _Field("ports", "ContainerPort", is_list=True),
        7: _Field("env", "EnvVar", is_list=True),
        8: _Field("resources", "Empty"),
        13: _Field("terminationMessagePath"),
        14: _Field("imagePullPolicy"),
        16: _Field("stdin", "flag"),
        17: _Field("stdinOnce", "flag"),
        18: _Field("tty", "flag"),
        20: _Field("terminationMessagePolicy"),
    },
    "ContainerPort": {
        1: _Field("name"),
        2: _Field("hostPort", "count"),
        3: _Field("containerPort", "int"),
        4: _Field("protocol"),
        5: _Field("hostIP"),
    },
    "EnvVar": {1: _Field("name"), 2: _Field("value")},
    "DeploymentSpec": {
        1: _Field("replicas", "int"),
        2: _Field("selector", "LabelSelector"),
        3: _Field("template", "PodTemplateSpec"),
        4: _Field("strategy", "Strategy"),
        5: _Field("minReadySeconds", "count"),
        6: _Field("revisionHistoryLimit", "int"),
        7: _Field("paused", "flag"),
        9: _Field("progressDeadlineSeconds", "int"),
    },
    "Strategy": {1: _Field("type")},
    "DeploymentStatus": {
        1: _Field("observedGeneration", "count"),
        2: _Field("replicas", "count"),
        3: _Field("updatedReplicas", "count"),
        4: _Field("availableReplicas", "count"),
        5: _Field("unavailableReplicas", "count"),
        7: _Field("readyReplicas", "count"),
    },
    "PodDisruptionBudgetSpec": {
        1: _Field("minAvailable", "IntOrString"),
        2: _Field("selector", "LabelSelector"),
        3: _Field("maxUnavailable", "IntOrString"),
        4: _Field("unhealthyPodEvictionPolicy"),
    },
    "PodDisruptionBudgetStatus": {
        1: _Field("observedGeneration", "count"),
        3: _Field("disruptionsAllowed", "count"),
        4: _Field("currentHealthy", "count"),
        5: _Field("desiredHealthy", "count"),
        6: _Field("expectedPods", "count"),
    },
    # Those that stand alone
    "Namespace": {1: _META, 2: _Field("spec", "NamespaceSpec"), 3: _Field("status", "NamespaceStatus")},
    "ConfigMap": {
        1: _META,
        2: _Field("data", "map"),
        3: _Field("binaryData", "bytesmap"),
        4: _Field("immutable", "bool"),
    },
    "Secret": {
        1: _META,
        2: _Field("data", "bytesmap"),
        3: _Field("type"),
        4: _Field("stringData", "map"),
        5: _Field("immutable", "bool"),
    },
    "ServiceAccount": {
        1: _META,
        2: _Field("secrets", "ObjectReference", is_list=True),
        3: _Field("imagePullSecrets", "LocalObjectReference", is_list=True),
        4: _Field("automountServiceAccountToken", "bool"),
    },
    "Service": {1: _META, 2: _Field("spec", "ServiceSpec"), 3: _Field("status", "ServiceStatus")},
    "Deployment": {1: _META, 2: _Field("spec", "DeploymentSpec"), 3: _Field("status", "DeploymentStatus")},
    "PodDisruptionBudget": {
        1: _META,
        2: _Field("spec", "PodDisruptionBudgetSpec"),
        3: _Field("status", "PodDisruptionBudgetStatus"),
    },
    "Binding": {1: _META, 2: _Field("target", "ObjectReference")},
    "Eviction": {1: _META, 2: _Field("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {
        1: _Field("gracePeriodSeconds", "int"),
        2: _Field("preconditions", "Preconditions"),
        3: _Field("orphanDependents", "bool"),
        4: _Field("propagationPolicy"),
        5: _Field("dryRun", is_list=True),
    },
    "Event": {
        1: _META,
        2: _Field("involvedObject", "ObjectReference"),
        3: _Field("reason"),
        4: _Field("message"),
        5: _Field("source", "EventSource"),
        6: _Field("firstTimestamp", "time"),
        7: _Field("lastTimestamp", "time"),
        8: _Field("count", "int"),
        9: _Field("type"),
        10: _Field("eventTime", "micro"),
        11: _Field("series", "EventSeries"),
        12: _Field("action"),
        13: _Field("related", "ObjectReference"),
        14: _Field("reportingComponent"),
        15: _Field("reportingInstance"),
    },
    "Lease": {1: _META, 2: _Field("spec", "LeaseSpec")},
    "LeaseSpec": {
        1: _Field("holderIdentity"),
        2: _Field("leaseDurationSeconds", "int"),
        3: _Field("acquireTime", "micro"),
        4: _Field("renewTime", "micro"),
        5: _Field("leaseTransitions", "int"),
    },
}
_ALONE = frozenset(
    {
        "Namespace",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "Binding",
        "Eviction",
        "DeleteOptions",
        "Event",
        "Lease",
    }
)
_CORE_EVENT = "v1"  # events.k8s.io has an Event of another form


class _BrokenError(Exception):
    """The octets are no such message."""


def decode(body: bytes) -> Json | None:
    """Return the object of *body*, None where its kind or one of its fields is not known here.

    Raises:
        ApiError: The octets are no protobuf.
    """
    try:
        if not body.startswith(MAGIC):
            raise _BrokenError("it does not begin with k8s")
        unknown = dict(_fields(body[len(MAGIC) :]))
        type_meta = {number: _text(value) for number, value in _fields(_octets(unknown.get(1, b"")))}
        version, kind = type_meta.get(1, ""), type_meta.get(2, "")
        if kind not in _ALONE or (kind == "Event" and version != _CORE_EVENT):
            return None
        object = _message(_MESSAGES[kind], _octets(unknown.get(2, b"")))
        return None if object is None else {"kind": kind, "apiVersion": version, **object}
    except (_BrokenError, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ApiError(400, "BadRequest", f"the body is no protobuf of Kubernetes: {error}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _BrokenError("a number is too long")


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the numbers and values of the fields in *data*, in their order."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            found.append((number, value))
        elif wire in (_OCTETS, _FIXED32, _FIXED64):
            size, at = _varint(data, at) if wire == _OCTETS else (4 if wire == _FIXED32 else 8, at)
            if at + size > len(data):
                raise _BrokenError("it is cut short")
            found.append((number, data[at : at + size]))
            at += size
        else:
            raise _BrokenError(f"there is no wire type {wire}")
    return found


def _octets(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _BrokenError("a number stands where a message should")
    return value


def _text(value: int | bytes) -> str:
    return _octets(value).decode()


def _message(fields: dict[int, _Field], data: bytes) -> Json | None:
    """Return a message as JSON, without what is empty as Go leaves it out; None where a field is not known."""
    made: Json = {}
    for number, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            return None
        if field.kind in ("map", "bytesmap"):
            entry = dict(_fields(_octets(raw)))
            value: Any = entry.get(2, b"")
            shown = base64.b64encode(_octets(value)).decode() if field.kind == "bytesmap" else _text(value)
            made.setdefault(field.name, {})[_text(entry.get(1, b""))] = shown
            continue
        value = _value(field.kind, raw)
        if field.kind in _MESSAGES and value is None:
            return None
        if field.is_list:
            made.setdefault(field.name, []).append(value)
        elif value not in ("", None, {}) and (value or field.kind not in ("count", "flag")):
            made[field.name] = value
    return made


def _value(kind: str, raw: int | bytes) -> Any:
    if kind in _MESSAGES:
        return _message(_MESSAGES[kind], _octets(raw))
    if kind in ("time", "micro"):
        return _time(_octets(raw), is_micro=kind == "micro")
    if kind == "IntOrString":
        parts = dict(_fields(_octets(raw)))
        return _text(parts.get(3, b"")) if parts.get(1) else _value("int", parts.get(2, 0))
    if kind == "str":
        return _text(raw)
    if not isinstance(raw, int):
        raise _BrokenError("octets stand where a number should")
    if kind in ("bool", "flag"):
        return bool(raw)
    return raw - (1 << 64) if raw >> 63 else raw


def _time(data: bytes, *, is_micro: bool) -> str | None:
    found = dict(_fields(data))
    seconds, nanoseconds = _value("int", found.get(1, 0)), _value("int", found.get(2, 0))
    if not found:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OSError):
        return None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanoseconds // 1000:06}Z" if is_micro else f"{text}Z"
