"""What the API server refuses of PersistentVolumes and StorageClasses. Pure.

Source: the validation of the core and storage kinds in Kubernetes 1.36. Of where a volume is, local paths, NFS and CSI
are looked at; other sources are only counted.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Any

from headlessdns.controller.quantities import canonical, parse
from headlessdns.lab.api import causes
from headlessdns.lab.api.commonrules import items, subdomain_form
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.placerules import node_selector
from headlessdns.lab.api.podrules import host_path, no_steps_back
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")

# ---- Volumes

_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
# In the order of the API server: the first is taken, and the others are refused.
_SOURCES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
_SHOWN_SOURCES = {"cephfs": "cephFS"}
_NEVER_TOO_MANY = "flexVolume"
_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_SOURCES_WITH_OPTIONS = frozenset(
    {
        "awsElasticBlockStore",
        "azureDisk",
        "azureFile",
        "cephfs",
        "cinder",
        "gcePersistentDisk",
        "glusterfs",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "quobyte",
        "rbd",
        "vsphereVolume",
    }
)


def volume(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a PersistentVolume."""
    spec = new.get("spec") or {}
    yield from _volume_spec(spec)
    if _OPTIONS in (new["metadata"].get("annotations") or {}) and not _SOURCES_WITH_OPTIONS & {*spec}:
        where = f"metadata.annotations.{_OPTIONS}"
        yield causes.forbidden(where, "may not specify mount options for this volume type")
    if old is not None:
        yield from _volume_spec(spec)  # the API server looks at it twice, and says so
        yield from _volume_change(spec, old.get("spec") or {})


def access_modes(modes: list[str], field: str) -> _Rules:
    """Return which access modes there are not, and whether one that goes alone is not alone."""
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield causes.unsupported(field, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len({*modes} & {*ACCESS_MODES}) > 1:
        yield causes.forbidden(field, "may not use ReadWriteOncePod with other access modes")


def _volume_spec(spec: Json) -> _Rules:
    if not spec.get("accessModes"):
        yield causes.required("spec.accessModes")
    yield from access_modes(spec.get("accessModes") or [], "spec.accessModes")
    yield from _capacity(spec.get("capacity"))
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in _RECLAIM_POLICIES:
        yield causes.unsupported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES)
    if spec.get("nodeAffinity") is not None:
        yield from _node_affinity(spec["nodeAffinity"], "spec.nodeAffinity")
    yield from _sources(spec)
    path = (spec.get("hostPath") or {}).get("path") or ""
    if policy == "Recycle" and path and posixpath.normpath(path) in {"/", "//"}:
        wrong = "may not be 'recycle' for a hostPath mount of '/'"
        yield causes.forbidden("spec.persistentVolumeReclaimPolicy", wrong)
    if spec.get("storageClassName"):
        yield from subdomain_form(spec["storageClassName"], "spec.storageClassName")
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        yield causes.unsupported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _attributes(spec)


def _capacity(capacity: Any) -> _Rules:
    where = "spec.capacity"
    if not capacity:
        yield causes.required(where)
    if not capacity or [*capacity] != ["storage"]:
        yield causes.unsupported(where, dict(sorted(capacity.items())) if capacity else None, ("storage",))
    for name in sorted(capacity or {}):
        quantity = capacity[name]
        number = parse(quantity) or Decimal(0)
        if number.to_integral_value(ROUND_CEILING) < 0:
            whole = int(number.to_integral_value(ROUND_CEILING))
            yield causes.invalid(f"{where}[{name}]", whole, "must be a valid resource quantity")
        if number <= 0:
            yield causes.invalid(f"{where}[{name}]", str(canonical(quantity)), "must be greater than zero")


def _sources(spec: Json) -> _Rules:
    count = 0
    for name in _SOURCES:
        source = spec.get(name)
        if source is None:
            continue
        if count and name != _NEVER_TOO_MANY:
            wrong = "may not specify more than 1 volume type"
            yield causes.forbidden(f"spec.{_SHOWN_SOURCES.get(name, name)}", wrong)
            continue
        count += 1
        if name in _SOURCE_RULES:
            yield from _SOURCE_RULES[name](source, f"spec.{name}")
        if name == "local" and spec.get("nodeAffinity") is None:
            yield causes.required("spec.nodeAffinity", "Local volume requires node affinity")
    if not count:
        yield causes.required("spec", "must specify a volume type")


def _nfs(source: Json, field: str) -> _Rules:
    path = source.get("path") or ""
    if not source.get("server"):
        yield causes.required(f"{field}.server")
    if not path:
        yield causes.required(f"{field}.path")
    if not path.startswith("/"):
        yield causes.invalid(f"{field}.path", path, "must be an absolute path")


def _local(source: Json, field: str) -> _Rules:
    if not source.get("path"):
        yield causes.required(f"{field}.path")
    else:
        yield from no_steps_back(source["path"], f"{field}.path")


_MAX_DRIVER_OCTETS = 63
_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")


def _csi(source: Json, field: str) -> _Rules:
    driver = source.get("driver") or ""
    if not driver:
        yield causes.required(f"{field}.driver")
    else:
        if len(driver.encode()) > _MAX_DRIVER_OCTETS:
            yield causes.too_long(f"{field}.driver", _MAX_DRIVER_OCTETS)
        wrong = causes.dns_subdomain(driver.lower())
        yield from (causes.invalid(f"{field}.driver", driver, each) for each in wrong)
    if not source.get("volumeHandle"):
        yield causes.required(f"{field}.volumeHandle")
    for name in _SECRETS:
        if source.get(name) is not None:
            empty = (each for each in ("name", "namespace") if not source[name].get(each))
            yield from (causes.required(f"{field}.{name}.{each}") for each in empty)


_SOURCE_RULES: dict[str, Callable[[Json, str], _Rules]] = {
    "hostPath": host_path,
    "nfs": _nfs,
    "local": _local,
    "csi": _csi,
}


def _attributes(spec: Json) -> _Rules:
    name, where = spec.get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
    if name is None:
        return
    if not name:
        yield causes.required(where, "an empty string is disallowed")
    else:
        yield from subdomain_form(name, where)
    if spec.get("csi") is None:
        yield causes.required("spec.csi", "has to be specified when using volumeAttributesClassName")


def _node_affinity(affinity: Json, field: str) -> _Rules:
    required = affinity.get("required")
    if required is None:
        yield causes.required(f"{field}.required", "must specify required node constraints")
        return
    yield from node_selector(required, f"{field}.required")


def _volume_change(spec: Json, before: Json) -> _Rules:
    sources, sources_before = ({name: each[name] for name in _SOURCES if name in each} for each in (spec, before))
    csi, csi_before = sources.get("csi"), sources_before.get("csi")
    if csi and csi_before and "controllerExpandSecretRef" not in csi_before:
        sources["csi"] = {name: value for name, value in csi.items() if name != "controllerExpandSecretRef"}
    if sources != sources_before:
        # The API server goes on with a difference of the two in the notation of Go.
        where = "spec.persistentvolumesource"
        yield causes.forbidden(where, f"{where} is immutable after creation\n")
    if spec.get("volumeMode") != before.get("volumeMode"):
        yield causes.invalid("volumeMode", spec.get("volumeMode"), causes.IMMUTABLE)
    affinity, affinity_before = spec.get("nodeAffinity"), before.get("nodeAffinity")
    if affinity_before is not None and affinity != affinity_before:
        wrong = f"{causes.IMMUTABLE}, except for updating from beta label to GA"
        yield causes.invalid("nodeAffinity", _shown_affinity(affinity), wrong)
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        wrong = "update from non-nil value to nil is forbidden"
        yield causes.forbidden("spec.volumeAttributesClassName", wrong)


def _shown_affinity(affinity: Json | None) -> Any:
    """Return an affinity as the API server has it inside."""
    if affinity is None:
        return None
    fields = {"MatchExpressions": "matchExpressions", "MatchFields": "matchFields"}
    terms = [
        {
            shown: [
                {"Key": one.get("key") or "", "Operator": one.get("operator") or "", "Values": one.get("values")}
                for one in items(term, field)
            ]
            or None
            for shown, field in fields.items()
        }
        for term in items(affinity.get("required") or {}, "nodeSelectorTerms")
    ]
    return {"Required": {"NodeSelectorTerms": terms}}


# ---- Classes

_CLASS_POLICIES = ("Delete", "Retain")
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
_MAX_PARAMETERS = 512
_MAX_PARAMETERS_OCTETS = 256 * 1024


def storage_class(new: Json, old: Json | None) -> _Rules:
    """Return what is wrong with a StorageClass."""
    provisioner = (new.get("provisioner") or "").lower()
    if not provisioner:
        yield causes.required("provisioner")
    else:
        wrong = causes.qualified_name(provisioner)
        yield from (causes.invalid("provisioner", provisioner, each) for each in wrong)
    yield from _parameters(new.get("parameters") or {})
    policy, mode = new.get("reclaimPolicy"), new.get("volumeBindingMode")
    if policy and policy not in _CLASS_POLICIES:
        yield causes.unsupported("reclaimPolicy", policy, _CLASS_POLICIES)
    if mode not in _BINDING_MODES:
        yield causes.unsupported("volumeBindingMode", mode, _BINDING_MODES)
    yield from _topologies(items(new, "allowedTopologies"))
    if old is not None:
        for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            value = new.get(field)
            if value != old.get(field):
                shown = dict(sorted(value.items())) if isinstance(value, dict) else value
                yield causes.invalid(field, shown, causes.IMMUTABLE)


def _parameters(parameters: Json) -> _Rules:
    if len(parameters) > _MAX_PARAMETERS:
        yield causes.too_long("parameters", _MAX_PARAMETERS)
        return
    if "" in parameters:
        yield causes.invalid("parameters", "", "field can not be empty.")
    if sum(len(f"{key}{value}".encode()) for key, value in parameters.items()) > _MAX_PARAMETERS_OCTETS:
        yield causes.too_long("parameters", _MAX_PARAMETERS_OCTETS)


def _topologies(terms: list[Json]) -> _Rules:
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(terms):
        field = f"allowedTopologies[{index}].matchLabelExpressions"
        found: dict[str, set[str]] = {}
        for number, one in enumerate(items(term, "matchLabelExpressions")):
            here, key, values = f"{field}[{number}]", one.get("key") or "", one.get("values") or []
            if not values:
                yield causes.required(f"{here}.values")
            for place, value in enumerate(values):
                if value in values[:place]:
                    yield causes.duplicate(f"{here}.values[{place}]", value)
            yield from (causes.invalid(f"{here}.key", key, wrong) for wrong in causes.qualified_name(key))
            if key in found:
                yield causes.duplicate(f"{here}.key", key)
            found[key] = {*values}
        yield from (causes.duplicate(field, "") for each in seen if each == found)
        seen.append(found)
