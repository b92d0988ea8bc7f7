"""What the API server refuses of pods and of their templates. Pure.

Source: the validation of pods in Kubernetes 1.36, as far as a lab goes: containers, images, names, ports, volumes
and their mounts, the policies, and what of a pod may change; the modules beside this one have more.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Set
from functools import lru_cache
from typing import Any

import msgspec

from headlessdns.lab.api import causes, handlerrules, placerules, resourcerules, settingrules
from headlessdns.lab.api.commonrules import annotation_causes, items, label_causes, label_form, subdomain_form
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_INT32_MAX = 2**31 - 1
_DROPPED_LIFECYCLE = {"stopSignal"}  # which the API server knows behind a feature gate only
_CONTAINER_POLICIES = ("Always", "Never", "OnFailure")
_OF_CONTAINERS = ("containers", "initContainers", "terminationGracePeriodSeconds")  # what their rules look at
_REMEMBERED_OCTETS = 16_384

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_CHANGEABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def template(found: Json, field: str) -> Iterator[Cause]:
    """Return what is wrong with the template of pods at *field*."""
    metadata = found.get("metadata") or {}
    yield from label_causes(metadata.get("labels"), f"{field}.labels")
    yield from annotation_causes(metadata.get("annotations"), f"{field}.annotations")
    spec = found.get("spec") or {}
    yield from pod_spec(spec, f"{field}.spec")
    if spec.get("ephemeralContainers"):
        yield causes.forbidden(f"{field}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(spec: Json, field: str, *, is_pod: bool = False) -> Iterator[Cause]:
    """Return what is wrong with the spec at *field* of a pod or of a template of pods, defaults included."""
    volumes: set[str] = set()
    yield from _volumes(spec, f"{field}.volumes", volumes)
    octets = _encode({name: spec.get(name) for name in _OF_CONTAINERS})
    if len(octets) > _REMEMBERED_OCTETS:
        yield from _of_containers(spec, field, volumes)
    else:
        yield from _remembered_causes(octets, field, frozenset(volumes))
    yield from settingrules.host_network(spec, field, is_pod=is_pod)
    yield from _word(spec, field, "restartPolicy", _RESTART_POLICIES)
    yield from _word(spec, field, "dnsPolicy", _DNS_POLICIES)
    yield from label_causes(spec.get("nodeSelector"), f"{field}.nodeSelector")
    yield from settingrules.pod_rights(spec, f"{field}.securityContext")
    yield from placerules.affinity(spec.get("affinity"), f"{field}.affinity")
    yield from settingrules.dns(spec, f"{field}.dnsConfig")
    yield from settingrules.gates(spec, field)
    yield from placerules.spreading(spec, f"{field}.topologySpreadConstraints")
    for name, check in (("serviceAccountName", subdomain_form), ("nodeName", subdomain_form)):
        if spec.get(name):
            yield from check(spec[name], f"{field}.{name}")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _INT32_MAX:
        where = f"{field}.activeDeadlineSeconds"
        yield causes.invalid(where, deadline, f"must be between 1 and {_INT32_MAX}, inclusive")
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            yield from label_form(spec[name], f"{field}.{name}")
    yield from placerules.tolerations(spec, f"{field}.tolerations")
    yield from settingrules.host_aliases(spec, f"{field}.hostAliases")


def _of_containers(spec: Json, field: str, volumes: Set[str]) -> Iterator[Cause]:
    yield from _containers(spec, field, volumes)
    yield from _init_containers(spec, field, volumes)


# The pods of a set have the same containers.
@lru_cache(maxsize=256)
def _remembered_causes(octets: bytes, field: str, volumes: frozenset[str]) -> tuple[Cause, ...]:
    return tuple(_of_containers(_decode(octets), field, volumes))


def _word(found: Json, field: str, name: str, words: tuple[str, ...]) -> Iterator[Cause]:
    if not found.get(name):
        yield causes.required(f"{field}.{name}")
    elif found[name] not in words:
        yield causes.unsupported(f"{field}.{name}", found[name], words)


def _volumes(spec: Json, field: str, good: set[str]) -> Iterator[Cause]:
    for index, volume in enumerate(items(spec, "volumes")):
        where, name = f"{field}[{index}]", volume.get("name") or ""
        wrong = list(_volume(volume, where))
        if not name:
            wrong.append(causes.required(f"{where}.name"))
        wrong += label_form(name, f"{where}.name") if name else ()
        if name in good:
            wrong.append(causes.duplicate(f"{where}.name", name))
        if not wrong:
            good.add(name)
        yield from wrong


# In the order of the API server: the first is taken, and the others are refused.
_VOLUME_SOURCES = (
    "emptyDir",
    "hostPath",
    "secret",
    "nfs",
    "iscsi",
    "persistentVolumeClaim",
    "downwardAPI",
    "fc",
    "configMap",
    "projected",
    "csi",
    "ephemeral",
    "image",
)


def _volume(volume: Json, field: str) -> Iterator[Cause]:
    known = [name for name in _VOLUME_SOURCES if name in volume]
    sources = known + [name for name in volume if name != "name" and name not in known]
    if not sources:
        yield causes.required(field, "must specify a volume type")
    for name in sources[1:]:
        yield causes.forbidden(f"{field}.{name}", "may not specify more than 1 volume type")
    claim = volume.get("persistentVolumeClaim")
    if isinstance(claim, dict) and not claim.get("claimName"):
        yield causes.required(f"{field}.persistentVolumeClaim.claimName")
    config = volume.get("configMap")
    if isinstance(config, dict) and not config.get("name"):
        yield causes.required(f"{field}.configMap.name")
    secret = volume.get("secret")
    if isinstance(secret, dict) and not secret.get("secretName"):
        yield causes.required(f"{field}.secret.secretName")
    if isinstance(volume.get("hostPath"), dict):
        yield from host_path(volume["hostPath"], f"{field}.hostPath")


_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)


def host_path(found: Json, field: str) -> Iterator[Cause]:
    """Return what is wrong with a path on a node as the source of a volume."""
    if not found.get("path"):
        yield causes.required(f"{field}.path")
        return
    yield from no_steps_back(found["path"], f"{field}.path")
    if found.get("type") is not None and found["type"] not in _HOST_PATH_TYPES:
        yield causes.unsupported(f"{field}.type", found["type"], _HOST_PATH_TYPES)


def no_steps_back(path: str, field: str) -> Iterator[Cause]:
    """Return whether *path* leads back."""
    if ".." in path.split("/"):
        yield causes.invalid(field, path, "must not contain '..'")


def _containers(spec: Json, field: str, volumes: Set[str]) -> Iterator[Cause]:
    where = f"{field}.containers"
    containers = items(spec, "containers")
    if not containers:
        yield causes.required(where)
        return
    seen: set[str] = set()
    for index, container in enumerate(containers):
        here, name = f"{where}[{index}]", container.get("name") or ""
        yield from _container(container, here, volumes)
        if name in seen:
            yield causes.duplicate(f"{here}.name", name)
        seen.add(name)
        yield from handlerrules.hooks(container, here, spec.get("terminationGracePeriodSeconds"))
        yield from handlerrules.probes(container, here)
        if container.get("restartPolicy") is not None and container["restartPolicy"] not in _CONTAINER_POLICIES:
            yield causes.unsupported(f"{here}.restartPolicy", container["restartPolicy"], _CONTAINER_POLICIES)
    yield from _host_ports(containers, where)


def _init_containers(spec: Json, field: str, volumes: Set[str]) -> Iterator[Cause]:
    seen = {each.get("name") for each in items(spec, "containers")}
    for index, container in enumerate(items(spec, "initContainers")):
        here, name = f"{field}.initContainers[{index}]", container.get("name") or ""
        yield from _container(container, here, volumes)
        if name and name in seen:
            yield causes.duplicate(f"{here}.name", name)
        seen.add(name)
        if container.get("restartPolicy") == "Always":
            yield from handlerrules.hooks(container, here, spec.get("terminationGracePeriodSeconds"))
            yield from handlerrules.probes(container, here)
            continue
        for each in ("lifecycle", *handlerrules.PROBES):
            if container.get(each) is not None and container[each].keys() != _DROPPED_LIFECYCLE:
                words = "may not be set for init containers without restartPolicy=Always"
                yield causes.forbidden(f"{here}.{each}", words)


def _container(container: Json, field: str, volumes: Set[str]) -> Iterator[Cause]:
    if not container.get("name"):
        yield causes.required(f"{field}.name")
    else:
        yield from label_form(container["name"], f"{field}.name")
    if not container.get("image"):
        yield causes.required(f"{field}.image")
    yield from _word(container, field, "terminationMessagePolicy", _MESSAGE_POLICIES)
    yield from _ports(container, f"{field}.ports")
    for index, variable in enumerate(items(container, "env")):
        yield from _variable(variable, f"{field}.env[{index}]")
    yield from settingrules.environment_sources(container, f"{field}.envFrom")
    yield from _mounts(container, f"{field}.volumeMounts", volumes)
    yield from _devices(container, f"{field}.volumeDevices", volumes)
    yield from _word(container, field, "imagePullPolicy", _PULL_POLICIES)
    yield from resourcerules.requirements(container.get("resources") or {}, f"{field}.resources")
    yield from settingrules.container_rights(container, f"{field}.securityContext")


def _ports(container: Json, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(items(container, "ports")):
        here, name = f"{field}[{index}]", port.get("name") or ""
        wrong = causes.port_name(name) if name else []
        yield from (causes.invalid(f"{here}.name", name, each) for each in wrong)
        if name and not wrong:
            if name in seen:
                yield causes.duplicate(f"{here}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            yield causes.required(f"{here}.containerPort")
        for which in ("containerPort", "hostPort"):
            number = port.get(which)
            if number:
                yield from (causes.invalid(f"{here}.{which}", number, each) for each in causes.port_number(number))
        yield from _word(port, here, "protocol", PROTOCOLS)


def _host_ports(containers: list[Json], field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(items(container, "ports")):
            if port.get("hostPort"):
                shown = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if shown in seen:
                    yield causes.duplicate(f"{field}[{index}].ports[{number}].hostPort", shown)
                seen.add(shown)


def _variable(variable: Json, field: str) -> Iterator[Cause]:
    name = variable.get("name") or ""
    if not name:
        yield causes.required(f"{field}.name")
    else:
        yield from (causes.invalid(f"{field}.name", name, each) for each in causes.environment_name(name))
    yield from settingrules.variable_source(variable, field)


def _mounts(container: Json, field: str, volumes: Set[str]) -> Iterator[Cause]:
    devices = {each.get("name"): each.get("devicePath") for each in items(container, "volumeDevices")}
    seen: set[str] = set()
    for index, mount in enumerate(items(container, "volumeMounts")):
        here, name, path = f"{field}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield causes.required(f"{here}.name")
        if name not in volumes:
            yield causes.not_found(f"{here}.name", name)
        if not path:
            yield causes.required(f"{here}.mountPath")
        if path in seen:
            yield causes.invalid(f"{here}.mountPath", path, "must be unique")
        seen.add(path)
        if name in devices:
            yield causes.invalid(f"{here}.name", name, "must not already exist in volumeDevices")
        if path in devices.values():
            yield causes.invalid(f"{here}.mountPath", path, "must not already exist as a path in volumeDevices")


def _devices(container: Json, field: str, volumes: Set[str]) -> Iterator[Cause]:
    for index, device in enumerate(items(container, "volumeDevices")):
        here, name = f"{field}[{index}]", device.get("name") or ""
        if not name:
            yield causes.required(f"{here}.name")
        if name not in volumes:
            yield causes.not_found(f"{here}.name", name)
        if not device.get("devicePath"):
            yield causes.required(f"{here}.devicePath")


def pod_change(new: Json, old: Json) -> Iterator[Cause]:
    """Return what of the spec of a pod has changed and may not."""
    for group in ("containers", "initContainers"):
        if len(items(new, group)) != len(items(old, group)):
            yield causes.forbidden(f"spec.{group}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(items(new, group)):
            image = container.get("image") or ""
            if not image:
                yield causes.required(f"spec.{group}[{index}].image")
            if image.strip() != image:
                wrong = "must not have leading or trailing whitespace"
                yield causes.invalid(f"spec.{group}[{index}].image", image, wrong)
    yield from _deadline_change(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    yield from _toleration_change(items(new, "tolerations"), items(old, "tolerations"))
    gates = [each.get("name") for each in items(old, "schedulingGates")]
    for index, gate in enumerate(items(new, "schedulingGates")):
        if gate.get("name") not in gates:
            wrong = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield causes.forbidden(f"spec.schedulingGates[{index}].name", wrong)
    if _without_changeable(new, old) != old:
        # The API server goes on with a difference of the two in the notation of Go.
        yield causes.forbidden("spec", f"pod updates may not change fields other than {_CHANGEABLE}\n")


def _deadline_change(new: Any, old: Any) -> Iterator[Cause]:
    where = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            yield causes.invalid(where, None, "must not update from a positive integer to nil value")
    elif not 0 <= new <= _INT32_MAX:
        yield causes.invalid(where, new, f"must be between 0 and {_INT32_MAX}, inclusive")
    elif old is not None and old < new:
        yield causes.invalid(where, new, "must be less than or equal to previous value")


def _toleration_change(new: list[Json], old: list[Json]) -> Iterator[Cause]:
    def timeless(toleration: Json) -> Json:
        return {field: value for field, value in toleration.items() if field != "tolerationSeconds"}

    left = [timeless(each) for each in new]
    if any(timeless(each) not in left for each in old):
        wrong = "existing toleration can not be modified except its tolerationSeconds"
        yield causes.forbidden("spec.tolerations", wrong)


def _without_changeable(new: Json, old: Json) -> Json:
    """Return *new* with the fields of *old* that may change."""
    done = copy.deepcopy(new)
    for group in ("containers", "initContainers"):
        for container, before in zip(items(done, group), items(old, group), strict=True):
            container["image"] = before.get("image")
    fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and done.get("terminationGracePeriodSeconds") == 1:
        fields.append("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        fields.append("nodeSelector")
    for field in fields:
        done.pop(field, None)
        if field in old:
            done[field] = old[field]
    return done


def addresses(status: Json, before: Json) -> Iterator[Cause]:
    """Yield what is wrong with the addresses in the *status* of a pod; those that it had *before* may stay."""
    if status.get("podIPs") == before.get("podIPs"):
        return
    found = [str(each.get("ip", "")) for each in items(status, "podIPs")]
    known = {each.get("ip") for each in items(before, "podIPs")}
    for index, address in enumerate(found):
        if address not in known:
            where = f"status.podIPs[{index}]"
            yield from (causes.invalid(where, address, wrong) for wrong in causes.ip(address))
    families = {ip.version for address in found if (ip := causes.sloppy_ip(address)) is not None}
    if len(found) > 1 and (len(families) < 2 or len(found) > 2):
        shown = [{"IP": address} for address in found]
        yield causes.invalid("status.podIPs", shown, "may specify no more than one IP for each IP family")
