"""Lists as kubectl shows them: the rows and columns of a ``meta.k8s.io/v1`` Table. Pure.

The server decides what ``kubectl get`` prints; a client that asks for a Table gets cells, and each kind has its own.
Columns of priority 1 are those of ``-o wide``. Source: answers of kube-apiserver 1.36, with which the tests compare.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from headlessdns.lab.api import jsonpath
from headlessdns.lab.api.cells import (
    AGE,
    CONTAINERS,
    NAME,
    SELECTOR,
    Column,
    Kind,
    age_of,
    at,
    condition_of,
    containers_of,
    duration,
    labels_text,
    name_of,
    seconds,
    selector_text,
    since,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headlessdns.lab.api.cells import Cell, Cells
    from headlessdns.lab.api.kinds import Json, Resource

MEDIA_TYPE = "application/json;as=Table;v=v1;g=meta.k8s.io"

# The row says to kubectl that nothing more will come of this pod.
FINISHED = {"Succeeded": "The pod has ended, and all is well.", "Failed": "The pod has ended, and something failed."}

SHOWN_ENDPOINTS = 3


def table(
    resource: Resource,
    objects: Sequence[Json],
    now_s: float,
    *,
    include_object: str = "Metadata",
    with_columns: bool = True,
    list_metadata: Json | None = None,
    printer_columns: Sequence[Json] = (),
) -> Json:
    """Return the Table of *objects*.

    Args:
        resource: What they are.
        objects: In the order of the rows, each with apiVersion and kind.
        now_s: Unix time from which ages count.
        include_object: What each row says of its object, as in the query: None, Metadata, or Object.
        with_columns: False for all but the first event of a watch.
        list_metadata: The metadata of the list; None where one object was asked for or is watched.
        printer_columns: Of a custom resource, `additionalPrinterColumns` of its version. Without them it shows its
            name and age.
    """
    kind = KINDS.get((resource.group, resource.kind))
    columns, cells = (kind.columns, kind.cells) if kind else _custom(printer_columns)
    if list_metadata is None:
        list_metadata = {key: value for key, value in _one(objects).items() if key == "resourceVersion"}
    # Lists of custom resources say `continue: ""`, which a Table leaves out.
    metadata = {key: value for key, value in list_metadata.items() if value}
    head: Json = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    rows = [_row(resource, one, cells(one, now_s), include_object) for one in objects]
    return head | {"columnDefinitions": [_definition(c) for c in columns] if with_columns else None, "rows": rows}


def _one(objects: Sequence[Json]) -> Json:
    metadata: Json = objects[0]["metadata"] if len(objects) == 1 else {}
    return metadata


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _row(resource: Resource, one: Json, cells: Cells, include_object: str) -> Json:
    row: Json = {"cells": cells}
    phase = at(one, "status.phase")
    if resource.kind == "Pod" and phase in FINISHED:
        row["conditions"] = [{"type": "Completed", "status": "True", "reason": phase, "message": FINISHED[phase]}]
    if include_object == "Object":
        row["object"] = one
    elif include_object == "None":
        row["object"] = None
    else:
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": one.get("metadata") or {},
        }
    return row


def _first_ones(texts: Sequence[str], nothing: str) -> str:
    shown = ",".join(texts[:SHOWN_ENDPOINTS]) or nothing
    more = len(texts) - SHOWN_ENDPOINTS
    return f"{shown} + {more} more..." if more > 0 else shown


_ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _access_modes(modes: Iterable[str]) -> str:
    given = set(modes)
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in given)


# ---- pods


def _is_sidecar(container: Json) -> bool:
    """Whether an init container goes on beside the others."""
    return container.get("restartPolicy") == "Always"


def _ended(terminated: Json) -> str:
    """Return why a container ended, in one word."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


class _Restarts(NamedTuple):
    total: int = 0
    last_s: float = 0

    def plus(self, status: Json) -> _Restarts:
        ended_s = seconds(at(status, "lastState.terminated.finishedAt")) or 0
        return _Restarts(self.total + status.get("restartCount", 0), max(self.last_s, ended_s))

    def text(self, now_s: float) -> str:
        return f"{self.total} ({duration(now_s - self.last_s)} ago)" if self.total and self.last_s else f"{self.total}"


class _PodState(NamedTuple):
    """What is gathered of a pod's containers on the way."""

    word: str
    ready: int = 0
    restarts: _Restarts = _Restarts()


def _waiting_init(status: Json, index: int, total: int) -> str:
    """Return the word for a pod that waits for its init container number *index*."""
    state = status.get("state") or {}
    if state.get("terminated") is not None:
        return "Init:" + _ended(state["terminated"])
    reason = at(state, "waiting.reason", "")
    return f"Init:{reason}" if reason not in {"", "PodInitializing"} else f"Init:{index}/{total}"


def _init_state(one: Json, word: str) -> tuple[_PodState, _Restarts, bool]:
    """Return what the init containers say, the restarts of sidecars alone, and whether the pod still waits for one."""
    specs = {c["name"]: c for c in at(one, "spec.initContainers", [])}
    ready, restarts, of_sidecars = 0, _Restarts(), _Restarts()
    for index, status in enumerate(at(one, "status.initContainerStatuses", [])):
        sidecar = _is_sidecar(specs.get(status.get("name"), {}))
        restarts = restarts.plus(status)
        if sidecar:
            of_sidecars = of_sidecars.plus(status)
        terminated = at(status, "state.terminated")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and status.get("started"):
            ready += bool(status.get("ready"))
            continue
        return _PodState(_waiting_init(status, index, len(specs)), ready, restarts), of_sidecars, True
    return _PodState(word, ready, restarts), of_sidecars, False


def _main_state(one: Json, before: _PodState) -> _PodState:
    """Return what the containers say; the first one with something to say has the last word."""
    word, ready, restarts = before
    running, failure = False, ""
    for status in reversed(at(one, "status.containerStatuses", [])):
        restarts = restarts.plus(status)
        state = status.get("state") or {}
        if at(state, "waiting.reason"):
            word = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            word = _ended(state["terminated"])
            failure = word if state["terminated"].get("exitCode") else failure
        elif status.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if word == "Completed":
        if running and condition_of(one, "Ready").get("status") == "True":
            word = "Running"
        else:
            word = failure or ("NotReady" if running else word)
    return _PodState(word, ready, restarts)


def _pod_state(one: Json) -> _PodState:
    phase = at(one, "status.phase", "")
    word = at(one, "status.reason", "") or phase
    if condition_of(one, "PodScheduled").get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    state, of_sidecars, waits = _init_state(one, word)
    if not waits or condition_of(one, "Initialized").get("status") == "True":
        state = _main_state(one, state._replace(restarts=of_sidecars))
    if at(one, "metadata.deletionTimestamp"):
        if at(one, "status.reason") == "NodeLost":
            return state._replace(word="Unknown")
        if phase not in FINISHED:
            return state._replace(word="Terminating")
    return state


def pod_word(one: Json) -> str:
    """Return the word that kubectl has for the state of a pod: Running, Terminating, ImagePullBackOff."""
    return _pod_state(one).word


def _readiness_gates(one: Json) -> str:
    gates = at(one, "spec.readinessGates", [])
    passed = sum(condition_of(one, gate["conditionType"]).get("status") == "True" for gate in gates)
    return f"{passed}/{len(gates)}" if gates else "<none>"


def _pod(one: Json, now_s: float) -> Cells:
    state = _pod_state(one)
    total = len(at(one, "spec.containers", [])) + sum(map(_is_sidecar, at(one, "spec.initContainers", [])))
    addresses = at(one, "status.podIPs", []) or [{"ip": at(one, "status.podIP", "")}]
    return [
        name_of(one),
        f"{state.ready}/{total}",
        state.word,
        state.restarts.text(now_s),
        age_of(one, now_s),
        addresses[0].get("ip") or "<none>",
        at(one, "spec.nodeName", "") or "<none>",
        at(one, "status.nominatedNodeName", "") or "<none>",
        _readiness_gates(one),
    ]


# ---- Services and what is behind them


def _external_addresses(one: Json) -> str:
    kind = at(one, "spec.type", "ClusterIP")
    if kind == "ExternalName":
        return str(at(one, "spec.externalName", ""))
    given = list(at(one, "spec.externalIPs", []))
    if kind == "LoadBalancer":
        ingress = at(one, "status.loadBalancer.ingress", [])
        balanced = sorted({i.get("ip") or i.get("hostname") or "" for i in ingress} - {""})
        return ",".join(balanced + given) or "<pending>"
    return ",".join(given) or "<none>"


def _port(port: Json) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def _service(one: Json, now_s: float) -> Cells:
    addresses = at(one, "spec.clusterIPs", []) or [at(one, "spec.clusterIP", "")]
    return [
        name_of(one),
        at(one, "spec.type", "ClusterIP"),
        addresses[0] or "<none>",
        _external_addresses(one),
        ",".join(map(_port, at(one, "spec.ports", []))) or "<none>",
        age_of(one, now_s),
        labels_text(at(one, "spec.selector", {})) or "<none>",
    ]


def _host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _subset_endpoints(subset: Json) -> list[str]:
    addresses = [a["ip"] for a in subset.get("addresses") or []]
    ports = subset.get("ports") or []
    return [_host_port(a, port["port"]) for port in ports for a in addresses] if ports else addresses


def _endpoints(one: Json, now_s: float) -> Cells:
    subsets = one.get("subsets") or []
    texts = [text for subset in subsets for text in _subset_endpoints(subset)]
    return [name_of(one), _first_ones(texts, "") if subsets else "<none>", age_of(one, now_s)]


def _slice_port(port: Json) -> str:
    number, name = port.get("port"), port.get("name")
    return str(number) if number is not None else name if name is not None else "*"


def _endpoint_slice(one: Json, now_s: float) -> Cells:
    addresses = [a for endpoint in one.get("endpoints") or [] for a in endpoint.get("addresses") or []]
    return [
        name_of(one),
        one.get("addressType", ""),
        _first_ones([_slice_port(p) for p in one.get("ports") or []], "<unset>"),
        _first_ones(addresses, "<unset>"),
        age_of(one, now_s),
    ]


# ---- workloads


def _stateful_set(one: Json, now_s: float) -> Cells:
    ready = f"{at(one, 'status.readyReplicas', 0)}/{at(one, 'spec.replicas', 0)}"
    return [name_of(one), ready, age_of(one, now_s), *containers_of(one)]


def _deployment(one: Json, now_s: float) -> Cells:
    return [
        name_of(one),
        f"{at(one, 'status.readyReplicas', 0)}/{at(one, 'spec.replicas', 0)}",
        at(one, "status.updatedReplicas", 0),
        at(one, "status.availableReplicas", 0),
        age_of(one, now_s),
        *containers_of(one),
        selector_text(at(one, "spec.selector", {})),
    ]


def _replica_set(one: Json, now_s: float) -> Cells:
    return [
        name_of(one),
        at(one, "spec.replicas", 0),
        at(one, "status.replicas", 0),
        at(one, "status.readyReplicas", 0),
        age_of(one, now_s),
        *containers_of(one),
        selector_text(at(one, "spec.selector", {})) or "<none>",
    ]


def _controller(one: Json) -> str:
    for owner in at(one, "metadata.ownerReferences", []):
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            kind = owner["kind"].lower()
            return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return "<none>"


def _controller_revision(one: Json, now_s: float) -> Cells:
    return [name_of(one), _controller(one), one.get("revision", 0), age_of(one, now_s)]


def _disruption_budget(one: Json, now_s: float) -> Cells:
    limits = [str(at(one, f"spec.{limit}", "N/A")) for limit in ("minAvailable", "maxUnavailable")]
    return [name_of(one), *limits, at(one, "status.disruptionsAllowed", 0), age_of(one, now_s)]


# ---- storage


def _phase(one: Json) -> str:
    return "Terminating" if at(one, "metadata.deletionTimestamp") else str(at(one, "status.phase", ""))


def _storage_class(one: Json) -> str:
    # Before there was a field for it, an annotation named the class; it still comes first.
    old = (at(one, "metadata.annotations", {})).get("volume.beta.kubernetes.io/storage-class")
    return str(at(one, "spec.storageClassName", "") if old is None else old)


def _volume(one: Json, now_s: float) -> Cells:
    claim = at(one, "spec.claimRef")
    return [
        name_of(one),
        at(one, "spec.capacity.storage", "0"),
        _access_modes(at(one, "spec.accessModes", [])),
        at(one, "spec.persistentVolumeReclaimPolicy", ""),
        _phase(one),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class(one),
        at(one, "spec.volumeAttributesClassName", "<unset>"),
        at(one, "status.reason", ""),
        age_of(one, now_s),
        at(one, "spec.volumeMode", "<unset>"),
    ]


def _claim(one: Json, now_s: float) -> Cells:
    volume = at(one, "spec.volumeName", "")
    return [
        name_of(one),
        _phase(one),
        volume,
        at(one, "status.capacity.storage", "0") if volume else "",
        _access_modes(at(one, "status.accessModes", [])) if volume else "",
        _storage_class(one),
        at(one, "spec.volumeAttributesClassName", "<unset>"),
        age_of(one, now_s),
        at(one, "spec.volumeMode", "<unset>"),
    ]


_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _class(one: Json, now_s: float) -> Cells:
    annotations = at(one, "metadata.annotations", {})
    is_default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return [
        f"{name_of(one)} (default)" if is_default else name_of(one),
        one.get("provisioner", ""),
        at(one, "reclaimPolicy", "Delete"),
        at(one, "volumeBindingMode", "Immediate"),
        at(one, "allowVolumeExpansion", False),
        age_of(one, now_s),
    ]


# ---- nodes, namespaces and the rest

_ROLE = "kubernetes.io/role"
_ROLE_PREFIX = "node-role.kubernetes.io/"


def _roles(one: Json) -> str:
    labels = at(one, "metadata.labels", {})
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    return ",".join(sorted((roles | {labels.get(_ROLE, "")}) - {""})) or "<none>"


def _node_status(one: Json) -> str:
    ready = condition_of(one, "Ready").get("status")
    word = "Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if at(one, "spec.unschedulable") else word


def _node_address(one: Json, kind: str) -> str:
    found = (a["address"] for a in at(one, "status.addresses", []) if a.get("type") == kind)
    return next(found, "<none>")


def _node(one: Json, now_s: float) -> Cells:
    info = at(one, "status.nodeInfo", {})
    kernel = info.get("kernelVersion") or "<unknown>"
    return [
        name_of(one),
        _node_status(one),
        _roles(one),
        age_of(one, now_s),
        info.get("kubeletVersion", ""),
        _node_address(one, "InternalIP"),
        _node_address(one, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        f"{kernel} ({info['architecture']})" if info.get("architecture") else kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _namespace(one: Json, now_s: float) -> Cells:
    return [name_of(one), at(one, "status.phase", ""), age_of(one, now_s)]


def _config_map(one: Json, now_s: float) -> Cells:
    return [name_of(one), len(at(one, "data", {})) + len(at(one, "binaryData", {})), age_of(one, now_s)]


def _secret(one: Json, now_s: float) -> Cells:
    return [name_of(one), one.get("type", ""), len(at(one, "data", {})), age_of(one, now_s)]


def _named(one: Json, now_s: float) -> Cells:
    return [name_of(one), age_of(one, now_s)]


def _lease(one: Json, now_s: float) -> Cells:
    return [name_of(one), at(one, "spec.holderIdentity", ""), age_of(one, now_s)]


def _created(one: Json, now_s: float) -> Cells:
    return [name_of(one), at(one, "metadata.creationTimestamp", "")]


def _binding(one: Json, now_s: float) -> Cells:
    names: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in at(one, "subjects", []):
        name, namespace = subject.get("name", ""), subject.get("namespace", "")
        if subject.get("kind") in names:
            names[subject["kind"]].append(f"{namespace}/{name}" if subject["kind"] == "ServiceAccount" else name)
    role = f"{at(one, 'roleRef.kind', '')}/{at(one, 'roleRef.name', '')}"
    return [name_of(one), role, age_of(one, now_s), *(", ".join(each) for each in names.values())]


def _policy(one: Json, now_s: float) -> Cells:
    return [name_of(one), selector_text(at(one, "spec.podSelector", {})) or "<none>", age_of(one, now_s)]


def _event_source(one: Json) -> str:
    component = at(one, "source.component", "") or one.get("reportingComponent", "")
    instance = at(one, "source.host", "") or one.get("reportingInstance", "")
    return f"{component}, {instance}" if instance else component


def _event(one: Json, now_s: float) -> Cells:
    first = since(one.get("firstTimestamp") or one.get("eventTime"), now_s)
    last = since(one.get("lastTimestamp"), now_s) if one.get("lastTimestamp") else first
    count = one.get("count") or 1
    if series := one.get("series"):
        last, count = since(series.get("lastObservedTime"), now_s), series.get("count", 0)
    name = at(one, "involvedObject.name", "")
    kind = at(one, "involvedObject.kind", "").lower()
    return [
        last,
        one.get("type", ""),
        one.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        at(one, "involvedObject.fieldPath", ""),
        _event_source(one),
        at(one, "message", "").strip(),
        first,
        count,
        name_of(one),
    ]


# ---- custom resources


# Go's JSON can be put into HTML as it is.
_HTML_SAFE = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def _custom_text(value: Any) -> str:
    if isinstance(value, dict | list):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.translate(_HTML_SAFE)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _custom_date(value: Any, now_s: float) -> str | None:
    if not isinstance(value, str):
        return None
    return since(value, now_s) if not value or seconds(value) is not None else "<invalid>"


def _custom_cell(column: Json, one: Json, now_s: float) -> Cell:
    """Return the first value at the column's path, if it is of the column's type; None otherwise."""
    value = jsonpath.first(column["jsonPath"], one)
    kind = column["type"]
    if value is None:
        return None
    if kind == "string":
        return _custom_text(value)
    if kind == "date":
        return _custom_date(value, now_s)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if kind == "integer" else value


def _custom(printer_columns: Sequence[Json]) -> tuple[tuple[Column, ...], Callable[[Json, float], Cells]]:
    if not printer_columns:
        return (NAME, AGE._replace(type="date")), _named

    def cells(one: Json, now_s: float) -> Cells:
        return [name_of(one), *(_custom_cell(column, one, now_s) for column in printer_columns)]

    columns = [
        Column(
            c["name"],
            c.get("description") or f"Custom resource definition column (in JSONPath format): {c['jsonPath']}",
            c.get("priority", 0),
            c["type"],
            c.get("format", ""),
        )
        for c in printer_columns
    ]
    return (NAME, *columns), cells


# ---- the kinds


_READY = Column("Ready", "How many pods are ready, of how many wanted.")
_ACCESS = "rbac.authorization.k8s.io"
_CREATED_AT = Column("Created At", "When it was made.", type="date")
_OF_BINDINGS = (
    NAME,
    Column("Role", "The role that is given."),
    AGE,
    Column("Users", "The users that have it.", 1),
    Column("Groups", "The groups that have it.", 1),
    Column("ServiceAccounts", "The accounts that have it.", 1),
)
_VOLUME_ATTRIBUTES = Column("VolumeAttributesClass", "The class of attributes that can still be changed.")
_VOLUME_MODE = Column("VolumeMode", "Filesystem, or a raw Block device.", 1)

KINDS: dict[tuple[str, str], Kind] = {
    ("", "Pod"): Kind(
        (
            NAME,
            Column("Ready", "How many containers are ready, of how many."),
            Column("Status", "The state of all containers in one word."),
            Column("Restarts", "How often containers were started again, and when last."),
            AGE,
            Column("IP", "The pod's first address.", 1),
            Column("Node", "The node that runs it.", 1),
            Column("Nominated Node", "The node that others are asked to leave for it.", 1),
            Column("Readiness Gates", "How many further conditions are true, of how many.", 1),
        ),
        _pod,
    ),
    ("", "Service"): Kind(
        (
            NAME,
            Column("Type", "ClusterIP, NodePort, LoadBalancer or ExternalName."),
            Column("Cluster-IP", "Its first address in the cluster; None where it is headless."),
            Column("External-IP", "Where it can be reached from outside."),
            Column("Port(s)", "Its ports, with those of the nodes."),
            AGE,
            SELECTOR,
        ),
        _service,
    ),
    ("", "Endpoints"): Kind((NAME, Column("Endpoints", "The first addresses and ports."), AGE), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Kind(
        (
            NAME,
            Column("AddressType", "IPv4, IPv6 or FQDN."),
            Column("Ports", "The first ports."),
            Column("Endpoints", "The first addresses."),
            AGE,
        ),
        _endpoint_slice,
    ),
    ("apps", "StatefulSet"): Kind((NAME, _READY, AGE, *CONTAINERS), _stateful_set),
    ("apps", "ControllerRevision"): Kind(
        (
            NAME,
            Column("Controller", "What the revision belongs to."),
            Column("Revision", "Its number; a higher one is newer."),
            AGE,
        ),
        _controller_revision,
    ),
    ("apps", "Deployment"): Kind(
        (
            NAME,
            _READY,
            Column("Up-to-date", "How many pods have the present template."),
            Column("Available", "How many pods have been ready for long enough."),
            AGE,
            *CONTAINERS,
            SELECTOR,
        ),
        _deployment,
    ),
    ("apps", "ReplicaSet"): Kind(
        (
            NAME,
            Column("Desired", "How many pods are wanted.", type="integer"),
            Column("Current", "How many pods there are.", type="integer"),
            Column("Ready", "How many pods are ready.", type="integer"),
            AGE,
            *CONTAINERS,
            SELECTOR,
        ),
        _replica_set,
    ),
    ("policy", "PodDisruptionBudget"): Kind(
        (
            NAME,
            Column("Min Available", "How many pods must be left."),
            Column("Max Unavailable", "How many pods may be missing."),
            Column("Allowed Disruptions", "How many pods may be evicted now.", type="integer"),
            AGE,
        ),
        _disruption_budget,
    ),
    ("", "PersistentVolume"): Kind(
        (
            NAME,
            Column("Capacity", "Its size."),
            Column("Access Modes", "How it can be mounted."),
            Column("Reclaim Policy", "What becomes of it without its claim."),
            Column("Status", "Whether it is bound to a claim."),
            Column("Claim", "The claim that has it."),
            Column("StorageClass", "Its class."),
            _VOLUME_ATTRIBUTES,
            Column("Reason", "What went wrong, in one word."),
            AGE,
            _VOLUME_MODE,
        ),
        _volume,
    ),
    ("", "PersistentVolumeClaim"): Kind(
        (
            NAME,
            Column("Status", "Whether it has a volume."),
            Column("Volume", "The volume that it has."),
            Column("Capacity", "The size of that volume."),
            Column("Access Modes", "How that volume can be mounted."),
            Column("StorageClass", "The class that it asks for."),
            _VOLUME_ATTRIBUTES,
            AGE,
            _VOLUME_MODE,
        ),
        _claim,
    ),
    ("storage.k8s.io", "StorageClass"): Kind(
        (
            NAME,
            Column("Provisioner", "What makes its volumes."),
            Column("ReclaimPolicy", "What becomes of a volume without its claim."),
            Column("VolumeBindingMode", "When a claim gets its volume."),
            Column("AllowVolumeExpansion", "Whether volumes can grow."),
            AGE,
        ),
        _class,
    ),
    ("", "Node"): Kind(
        (
            NAME,
            Column("Status", "Whether it is ready, and takes pods."),
            Column("Roles", "What its labels say that it is for."),
            AGE,
            Column("Version", "The version of its kubelet."),
            Column("Internal-IP", "Its address in the cluster.", 1),
            Column("External-IP", "Its address outside.", 1),
            Column("OS-Image", "Its operating system.", 1),
            Column("Kernel-Version", "Its kernel and machine.", 1),
            Column("Container-Runtime", "What runs its containers.", 1),
        ),
        _node,
    ),
    ("", "Namespace"): Kind((NAME, Column("Status", "Active or Terminating."), AGE), _namespace),
    ("", "ConfigMap"): Kind((NAME, Column("Data", "How many keys it has."), AGE), _config_map),
    ("", "Secret"): Kind(
        (NAME, Column("Type", "What it is for."), Column("Data", "How many keys it has."), AGE), _secret
    ),
    ("", "ServiceAccount"): Kind((NAME, AGE), _named),
    ("", "Event"): Kind(
        (
            Column("Last Seen", "When it happened last."),
            Column("Type", "Normal or Warning."),
            Column("Reason", "What happened, in one word."),
            Column("Object", "To what it happened."),
            Column("Subobject", "To which part of it.", 1),
            Column("Source", "Who says so.", 1),
            Column("Message", "What happened, for people."),
            Column("First Seen", "When it happened first.", 1),
            Column("Count", "How often it happened.", 1),
            NAME._replace(priority=1),
        ),
        _event,
    ),
    ("coordination.k8s.io", "Lease"): Kind((NAME, Column("Holder", "Who has it now."), AGE), _lease),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Kind((NAME, _CREATED_AT), _created),
    ("networking.k8s.io", "NetworkPolicy"): Kind(
        (NAME, Column("Pod-Selector", "Which pods it is about, by their labels."), AGE), _policy
    ),
    (_ACCESS, "Role"): Kind((NAME, _CREATED_AT), _created),
    (_ACCESS, "ClusterRole"): Kind((NAME, _CREATED_AT), _created),
    (_ACCESS, "RoleBinding"): Kind(_OF_BINDINGS, _binding),
    (_ACCESS, "ClusterRoleBinding"): Kind(_OF_BINDINGS, _binding),
}
