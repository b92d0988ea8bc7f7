"""What the API server refuses of what pods and containers are given: environment, rights, DNS, host names. Pure.

Source: the validation of pods in Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.commonrules import items, subdomain_form
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.status import Fault as Cause

_Rules = Iterator[Cause]

# ---- Environment

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
# Fields that the API knows, and a variable cannot have.
_OTHER_FIELDS = ("metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase")
_MAPS = ("metadata.annotations", "metadata.labels")
_RESOURCES = tuple(f"{of}.{name}" for of in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory"))


def variable_source(variable: Json, field: str) -> _Rules:
    """Return what is wrong with where the value of *variable* comes from; *field* is that of the variable."""
    source = variable.get("valueFrom")
    if source is None:
        return
    where = f"{field}.valueFrom"
    found = [each for each in _SOURCES if source.get(each) is not None]
    for name in found:
        if name == "fieldRef":
            yield from _field_reference(source[name], f"{where}.{name}")
        elif name == "resourceFieldRef":
            yield from _resource_reference(source[name], f"{where}.{name}")
        elif name in {"configMapKeyRef", "secretKeyRef"}:
            yield from _key_reference(source[name], f"{where}.{name}")
    if not found:
        listed = ", ".join(f"`{each}`" for each in _SOURCES[:-1])
        yield causes.invalid(where, "", f"must specify one of: {listed} or `{_SOURCES[-1]}`")
    elif variable.get("value"):
        yield causes.invalid(where, "", "may not be specified when `value` is not empty")
    elif len(found) > 1:
        yield causes.invalid(where, "", "may not have more than one field specified at a time")


def _field_reference(reference: Json, field: str) -> _Rules:
    version, path = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not version or not path:
        yield causes.required(f"{field}.{'fieldPath' if version else 'apiVersion'}")
        return
    name, bracket, subscript = path.removesuffix("']").partition("['") if path.endswith("']") else (path, "", "")
    if version != "v1":
        wrong = f"unsupported pod version: {version}"
    elif bracket and name and name not in _MAPS:
        wrong = f"field label does not support subscript: {path}"
    elif not bracket and path not in {*_FIELDS, *_OTHER_FIELDS, "spec.host"}:
        wrong = f"field label not supported: {path}"
    elif not bracket:
        if path in _OTHER_FIELDS:
            yield causes.unsupported(f"{field}.fieldPath", path, _FIELDS)
        return
    else:
        key = subscript.lower() if name == "metadata.annotations" else subscript
        yield from (causes.invalid(field, key, each) for each in causes.qualified_name(key))
        return
    yield causes.invalid(f"{field}.fieldPath", path, f"error converting fieldPath: {wrong}")


def _resource_reference(reference: Json, field: str) -> _Rules:
    name = reference.get("resource") or ""
    if not name:
        yield causes.required(f"{field}.resource")
    elif name not in _RESOURCES and not name.startswith(("requests.hugepages-", "limits.hugepages-")):
        yield causes.unsupported(f"{field}.resource", name, _RESOURCES)


def _key_reference(reference: Json, field: str) -> _Rules:
    yield from subdomain_form(reference.get("name") or "", f"{field}.name")
    key = reference.get("key") or ""
    if not key:
        yield causes.required(f"{field}.key")
    else:
        yield from (causes.invalid(f"{field}.key", key, wrong) for wrong in causes.config_key(key))


def environment_sources(container: Json, field: str) -> _Rules:
    """Return what is wrong with the maps that a container has its environment from."""
    for index, source in enumerate(items(container, "envFrom")):
        here, prefix = f"{field}[{index}]", source.get("prefix") or ""
        if prefix:
            yield from (causes.invalid(f"{here}.prefix", prefix, wrong) for wrong in causes.environment_name(prefix))
        found = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in found:
            if not source[name].get("name"):
                yield causes.required(f"{here}.{name}.name")
            else:
                yield from subdomain_form(source[name]["name"], f"{here}.{name}.name")
        if not found:
            yield causes.invalid(field, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(found) > 1:
            yield causes.invalid(field, "", "may not have more than one field specified at a time")


# ---- Rights

_INT32_MAX = 2**31 - 1
_CHANGE_POLICIES = ("Always", "OnRootMismatch")
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")


def _ids(found: Json, field: str, *names: str) -> _Rules:
    for name in names:
        if found.get(name) is not None:
            yield from _id(found[name], f"{field}.{name}")


def _id(value: int, field: str) -> _Rules:
    if not 0 <= value <= _INT32_MAX:
        yield causes.invalid(field, value, f"must be between 0 and {_INT32_MAX}, inclusive")


def _seccomp(profile: Any, field: str) -> _Rules:
    if not isinstance(profile, dict):
        return
    kind = profile.get("type") or ""
    if not kind:
        yield causes.required(f"{field}.type", "type is required when seccompProfile is set")
    elif kind not in _SECCOMP:
        yield causes.unsupported(f"{field}.type", kind, _SECCOMP)
    if kind == "Localhost" and profile.get("localhostProfile") is None:
        yield causes.required(f"{field}.localhostProfile", "must be set when seccomp type is Localhost")


def container_rights(container: Json, field: str) -> _Rules:
    """Return what is wrong with the security context of a container."""
    found = container.get("securityContext")
    if not isinstance(found, dict):
        return
    yield from _ids(found, field, "runAsUser", "runAsGroup")
    yield from _seccomp(found.get("seccompProfile"), f"{field}.seccompProfile")
    if found.get("allowPrivilegeEscalation") is False:
        added = (found.get("capabilities") or {}).get("add") or ()
        begin = "cannot set `allowPrivilegeEscalation` to false and"
        if found.get("privileged"):
            yield causes.invalid(field, found, f"{begin} `privileged` to true")
        for _ in (each for each in added if each == "CAP_SYS_ADMIN"):
            yield causes.invalid(field, found, f"{begin} `capabilities.Add` CAP_SYS_ADMIN")


def pod_rights(spec: Json, field: str) -> _Rules:
    """Return what is wrong with the security context of a pod."""
    found = spec.get("securityContext")
    if not isinstance(found, dict):
        return
    yield from _ids(found, field, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(found.get("supplementalGroups") or ()):
        yield from _id(group, f"{field}.supplementalGroups[{index}]")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        wrong = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield causes.invalid(f"{field}.shareProcessNamespace", True, wrong)
    policy = found.get("fsGroupChangePolicy")
    if policy is not None and policy not in _CHANGE_POLICIES:
        yield causes.unsupported(f"{field}.fsGroupChangePolicy", policy, _CHANGE_POLICIES)
    yield from _seccomp(found.get("seccompProfile"), f"{field}.seccompProfile")


# ---- Names and the network

_MAX_NAME_SERVERS, _MAX_SEARCHES, _MAX_SEARCH_OCTETS = 3, 32, 2048


def host_network(spec: Json, field: str, *, is_pod: bool) -> _Rules:
    """Return what is wrong with the ports of a pod in its node's network; those of a template may be set later."""
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(items(spec, "containers")):
        for number, port in enumerate(items(container, "ports")):
            on_host = port.get("hostPort") or 0
            if (is_pod or on_host) and on_host != (port.get("containerPort") or 0):
                wrong = "must match `containerPort` when `hostNetwork` is true"
                yield causes.invalid(f"{field}.containers[{index}].ports[{number}].hostPort", on_host, wrong)


def dns(spec: Json, field: str) -> _Rules:
    """Return what is wrong with the resolver's configuration that a pod brings."""
    found = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if found is None:
            yield causes.required(field, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not found.get("nameservers"):
            wrong = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield causes.required(f"{field}.nameservers", wrong)
            return
    if not isinstance(found, dict):
        return
    servers, searches = found.get("nameservers") or [], found.get("searches") or []
    if len(servers) > _MAX_NAME_SERVERS:
        wrong = f"must not have more than {_MAX_NAME_SERVERS} nameservers"
        yield causes.invalid(f"{field}.nameservers", servers, wrong)
    for index, server in enumerate(servers):
        yield from (causes.invalid(f"{field}.nameservers[{index}]", server, wrong) for wrong in causes.ip(server))
    if len(searches) > _MAX_SEARCHES:
        wrong = f"must not have more than {_MAX_SEARCHES} search paths"
        yield causes.invalid(f"{field}.searches", searches, wrong)
    if len(" ".join(searches).encode()) > _MAX_SEARCH_OCTETS:
        wrong = f"must not have more than {_MAX_SEARCH_OCTETS} characters (including spaces) in the search list"
        yield causes.invalid(f"{field}.searches", searches, wrong)
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            yield from (causes.invalid(f"{field}.searches[{index}]", name, wrong) for wrong in causes.search_path(name))
    for index, option in enumerate(items(found, "options")):
        if not option.get("name"):
            yield causes.required(f"{field}.options[{index}]", "must not be empty")


def host_aliases(spec: Json, field: str) -> _Rules:
    """Return what is wrong with what a pod wants in its file of hosts."""
    for index, alias in enumerate(items(spec, "hostAliases")):
        here, address = f"{field}[{index}]", alias.get("ip") or ""
        yield from (causes.invalid(f"{here}.ip", address, wrong) for wrong in causes.ip(address))
        for number, name in enumerate(alias.get("hostnames") or ()):
            yield from subdomain_form(name, f"{here}.hostnames[{number}]")


def gates(spec: Json, field: str) -> _Rules:
    """Return what is wrong with the gates of a pod's readiness and scheduling."""
    for index, gate in enumerate(items(spec, "readinessGates")):
        name, here = gate.get("conditionType") or "", f"{field}.readinessGates[{index}].conditionType"
        yield from (causes.invalid(here, name, wrong) for wrong in causes.qualified_name(name))
    seen: set[str] = set()
    for index, gate in enumerate(items(spec, "schedulingGates")):
        name, here = gate.get("name") or "", f"{field}.schedulingGates[{index}]"
        yield from (causes.invalid(here, name, wrong) for wrong in causes.qualified_name(name))
        if name in seen:
            yield causes.duplicate(here, name)
        seen.add(name)
