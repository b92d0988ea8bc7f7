"""What Kubernetes does when an object is created, updated, patched or deleted. Pure: clock and random come in.

Source: k8s.io/apiserver `pkg/registry/generic/registry/store.go` and `rest`, and the strategies of the kinds.
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from headlessdns.lab.api import crd, managed, services, unknown, validation
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import apply_patch
from headlessdns.lab.api.registry import Custom, Registry
from headlessdns.lab.api.status import (
    MODIFIED,
    ApiError,
    Fault,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
    success,
)
from headlessdns.lab.api.store import Entry, ExistsError, Store

NAMESPACES, NODES, PODS, SERVICES, SECRETS = "namespaces", "nodes", "pods", "services", "secrets"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
APPLY = "application/apply-patch+yaml"

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"  # finalizers
POLICIES = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": ""}

PERMANENT_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
_RANDOM_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, nothing that looks like another
_MAX_GENERATED, _RANDOM_LENGTH = 63, 5
_ATTEMPTS = 8  # to find a generated name that is free

# What the status of a new object is, whatever its author says; of kinds that are not here it stays as it came.
_FIRST_STATUS: dict[str, Json] = {
    NAMESPACES: {"phase": "Active"},
    SERVICES: {"loadBalancer": {}},
    PODS: {"phase": "Pending"},
    "persistentvolumeclaims": {"phase": "Pending"},
    "persistentvolumes": {"phase": "Pending"},
    "statefulsets.apps": {"replicas": 0, "availableReplicas": 0},
    "deployments.apps": {},
    "replicasets.apps": {"replicas": 0},
    "poddisruptionbudgets.policy": {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    },
}
# Finalizers that admission gives to new objects.
_PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}
# An update of these has to say which version it replaces.
_CONDITIONAL = frozenset({"poddisruptionbudgets.policy", "leases.coordination.k8s.io", DEFINITIONS})
# An update of one that is not there creates it.
_CREATED_BY_UPDATE = frozenset({"endpoints", "events", "leases.coordination.k8s.io", SERVICES})
# What a deletion answers is the object, for others a Status.
_SHOWN_WHEN_DELETED = frozenset({PODS, SERVICES, "serviceaccounts", "persistentvolumeclaims", "persistentvolumes"})

_TIMES_OF_CONDITIONS = {
    PODS: ("lastProbeTime", "lastTransitionTime"),
    NODES: ("lastHeartbeatTime", "lastTransitionTime"),
    "statefulsets.apps": ("lastTransitionTime",),
    "replicasets.apps": ("lastTransitionTime",),
    "deployments.apps": ("lastTransitionTime", "lastUpdateTime"),
}
_NOT_READY = "node.kubernetes.io/not-ready"

_encode = msgspec.json.encode


class Options(NamedTuple):
    """How a write is meant.

    Attributes:
        dry_run: Do all but write.
        manager: Who writes.
        force: Whether an apply takes fields over from others.
        validation: Strict refuses unknown fields, Warn drops them; Ignore and nothing keep them.
    """

    dry_run: bool = False
    manager: str = ""
    force: bool = False
    validation: str = ""


class Deletion(NamedTuple):
    """How a deletion is meant.

    Attributes:
        grace_s: Seconds that a pod gets; None means what it asks for itself.
        policy: Background, Foreground or Orphan; empty means what the object says.
        uid: The UID that it must have; empty means any.
        version: The resourceVersion that it must have; empty means any.
        dry_run: Do all but write.
    """

    grace_s: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


class Written(NamedTuple):
    """What a write answers.

    Attributes:
        status: The HTTP status.
        octets: The object, or a Status.
    """

    status: int
    octets: bytes


def timestamp(moment: datetime) -> str:
    """Return *moment* as the API writes it: whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Rules:
    """The rules over one store.

    Attributes:
        store: The objects.
        registry: The resources.
    """

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], datetime], rng: random.Random) -> None:
        """Take the objects there are.

        Args:
            store: The objects.
            registry: The resources, to which those of stored CustomResourceDefinitions are added.
            clock: Gives the present time.
            rng: Makes UIDs and generated names.
        """
        self.store = store
        self.registry = registry
        self._clock = clock
        self._rng = rng
        self._addresses = services.Addresses()
        for entry in store.entries(SERVICES):
            self._take_addresses(entry.object)
        for entry in store.entries(DEFINITIONS):
            registry.define(entry.name, crd.served(entry.object))

    @property
    def now(self) -> datetime:
        """The present time."""
        return self._clock()

    # Create

    def create(
        self,
        resource: Resource,
        namespace: str,
        object: Json,
        options: Options = Options(),  # noqa: B008
        *,
        is_applied: bool = False,
    ) -> Written:
        """Add *object*, which may be changed, in *namespace*.

        Raises:
            ApiError: It cannot be.
        """
        _check_type(resource, object)
        metadata = _metadata(object)
        self._check_fields(resource, object, options)
        self._settle_namespace(resource, namespace, metadata)
        if metadata.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        generated = not metadata.get("name") and bool(metadata.get("generateName"))
        attempts = _ATTEMPTS if generated else 1
        for attempt in range(attempts):
            if generated:
                metadata["name"] = self._generated_name(metadata["generateName"])
            taken = self.store.get(resource.qualified, namespace, metadata.get("name") or "")
            if taken is None:
                break
            if attempt == attempts - 1:
                self._check_namespace(resource, namespace, metadata)
                self._prepare_new(resource, object)  # what is invalid is told before what is taken
                raise already_exists(resource, metadata["name"])
        self._check_namespace(resource, namespace, metadata)
        self._prepare_new(resource, object)
        if not is_applied:
            self._track(resource, None, object, options, "")
        validation.admit(resource, object)
        _strip_empty(metadata)
        _write_null_times(resource, object)
        if options.dry_run:
            return Written(201, self._dry(object))
        return Written(201, self._commit_new(resource, object).octets)

    def _prepare_new(self, resource: Resource, object: Json) -> None:
        """Bring a new object into the form in which it is stored, and validate it."""
        metadata = object["metadata"]
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        metadata["creationTimestamp"] = timestamp(self.now)
        if resource.has_generation:
            metadata["generation"] = 1
        custom = self.registry.custom(resource)
        if custom is not None:
            self._prepare_custom(custom, object, None)
            return
        name = resource.qualified
        if name in _FIRST_STATUS:
            object["status"] = dict(_FIRST_STATUS[name])
        validation.default(resource, object)
        if name == NAMESPACES:
            metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")
            object.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        elif name == SECRETS:
            _fold_string_data(object)
        elif name == NODES:
            _taint(object)
        elif name in _PROTECTION:
            finalizers = metadata.setdefault("finalizers", [])
            if _PROTECTION[name] not in finalizers:
                finalizers.append(_PROTECTION[name])
        elif name == DEFINITIONS:
            crd.settle(object, timestamp(self.now))
        self._validate(resource, object, None)

    def _check_fields(self, resource: Resource, object: Json, options: Options) -> None:
        """Refuse fields that the kind does not have, or drop them, as the request wants it."""
        if options.validation not in ("Strict", "Warn"):
            return
        custom = self.registry.custom(resource)
        dropped = crd.prune(custom.schema, object) if custom else unknown.drop_unknown(resource, object)
        if dropped and options.validation == "Strict":
            why = ", ".join(f'unknown field "{path}"' for path in dropped)
            kind = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
            raise bad_request(
                f"{kind}: strict decoding error: {why}" if not custom else f"strict decoding error: {why}"
            )

    def _commit_new(self, resource: Resource, object: Json) -> Entry:
        try:
            entry = self.store.create(resource.qualified, object)
        except ExistsError as error:
            raise already_exists(resource, object["metadata"]["name"]) from error
        self._after_write(resource, object, None)
        return entry

    def _generated_name(self, prefix: str) -> str:
        letters = "".join(self._rng.choice(_RANDOM_LETTERS) for _ in range(_RANDOM_LENGTH))
        return str(prefix)[: _MAX_GENERATED - _RANDOM_LENGTH] + letters

    def _settle_namespace(self, resource: Resource, namespace: str, metadata: Json) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.get("namespace") not in (None, "", namespace):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace

    def _check_namespace(self, resource: Resource, namespace: str, metadata: Json) -> None:
        """Refuse a new object in a namespace that is not there, or that is about to go."""
        if not resource.namespaced:
            return
        entry = self.store.get(NAMESPACES, "", namespace)
        if entry is None:
            known = self.registry.find("", "v1", NAMESPACES)
            assert known is not None
            raise not_found(known, namespace)
        if entry.is_terminating:
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(resource, metadata.get("name") or "", why, [cause])

    # Update

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        object: Json,
        options: Options = Options(),  # noqa: B008
        *,
        subresource: str = "",
    ) -> Written:
        """Replace an object by *object*, which may be changed; only its status where *subresource* says so.

        Of a scale the whole object is given, and managedFields say that it was written by way of its scale.

        Raises:
            ApiError: It cannot be.
        """
        _check_type(resource, object)
        metadata = _metadata(object)
        if (metadata.setdefault("name", name) or "") != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        self._settle_namespace(resource, namespace, metadata)
        entry = self.store.get(resource.qualified, namespace, name)
        if entry is None:
            if resource.qualified in _CREATED_BY_UPDATE and not subresource and not metadata.get("uid"):
                metadata.pop("resourceVersion", None)
                return self.create(resource, namespace, object, options)
            raise not_found(resource, name)
        return self._replace(resource, entry, object, options, subresource)

    def _replace(
        self,
        resource: Resource,
        entry: Entry,
        object: Json,
        options: Options,
        subresource: str,
        *,
        is_applied: bool = False,
    ) -> Written:
        """Write *object* over *entry* after it is made sure that it may be."""
        old = entry.object
        metadata, old_metadata = object["metadata"], old["metadata"]
        self._check_fields(resource, object, options)
        self._check_preconditions(resource, entry, metadata)
        self._restore_system_fields(resource, object, old)
        if subresource == "status":
            self._prepare_status(resource, object, old)
        else:
            self._prepare_update(resource, object, old)
        metadata = object["metadata"]
        if not is_applied:
            self._track(resource, old, object, options, subresource)
        _strip_empty(metadata)
        _write_null_times(resource, object)
        if resource.has_generation and _wanted(object) != _wanted(old):
            metadata["generation"] = old_metadata.get("generation", 0) + 1
        metadata["resourceVersion"] = old_metadata["resourceVersion"]
        if object == old:
            return Written(200, entry.octets)
        if options.dry_run:
            return Written(200, self._dry(object))
        return Written(200, self.commit(resource, object, entry).octets)

    def commit(self, resource: Resource, object: Json, previous: Entry) -> Entry:
        """Write *object* in place of *previous*; it goes for good where only its finalizers held it."""
        if _is_over(resource, object):
            entry = self.store.delete(
                resource.qualified, previous.namespace, previous.name, last=object, expected=previous.version
            )
            self._after_removal(resource, object)
            return entry
        entry = self.store.update(resource.qualified, object, expected=previous.version)
        self._after_write(resource, object, previous)
        return entry

    def _check_preconditions(self, resource: Resource, entry: Entry, metadata: Json) -> None:
        uid = metadata.get("uid")
        if uid and uid != entry.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {entry.uid}"
            raise conflict(resource, entry.name, why)
        version = metadata.get("resourceVersion")
        if version and version != "0":
            if not str(version).isdecimal():
                fault = Fault("metadata.resourceVersion", "FieldValueInvalid", f'Invalid value: "{version}"')
                raise invalid(resource, entry.name, [fault])
            if int(version) != entry.version:
                raise conflict(resource, entry.name, MODIFIED)
        elif resource.qualified in _CONDITIONAL or self.registry.custom(resource):
            message = "Invalid value: 0: must be specified for an update"
            fault = Fault("metadata.resourceVersion", "FieldValueInvalid", message)
            raise invalid(resource, entry.name, [fault], kind=resource.plural)

    def _restore_system_fields(self, resource: Resource, object: Json, old: Json) -> None:
        """Take from *old* what clients cannot write."""
        metadata, old_metadata = object["metadata"], old["metadata"]
        faults = [
            Fault(f"metadata.{field}", "FieldValueInvalid", f"Invalid value: {json.dumps(metadata[field])}: {_FIXED}")
            for field in ("deletionTimestamp", "deletionGracePeriodSeconds")
            if metadata.get(field) is not None and metadata[field] != old_metadata.get(field)
        ]
        if faults:
            raise invalid(resource, old_metadata["name"], faults)
        for field in _SYSTEM_FIELDS:
            if field in old_metadata:
                metadata[field] = old_metadata[field]
            else:
                metadata.pop(field, None)

    def _prepare_update(self, resource: Resource, object: Json, old: Json) -> None:
        custom = self.registry.custom(resource)
        has_status = "status" in resource.subresources
        if has_status:
            _copy_field(object, old, "status")
        if custom is not None:
            self._prepare_custom(custom, object, old)
            return
        validation.default(resource, object)
        if resource.qualified == NAMESPACES:
            _copy_field(object, old, "spec")
            labels = object["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = object["metadata"]["name"]
        elif resource.qualified == DEFINITIONS:
            crd.settle(object, timestamp(self.now))
        self._validate(resource, object, old)

    def _prepare_status(self, resource: Resource, object: Json, old: Json) -> None:
        custom = self.registry.custom(resource)
        if custom is not None:
            metadata = object["metadata"]
            object_status = object.get("status")
            managed = metadata.get("managedFields")
            object.clear()
            object.update(old)
            object["metadata"] = dict(old["metadata"])
            object.pop("status", None)
            if managed:
                object["metadata"]["managedFields"] = managed
            if object_status is not None:
                object["status"] = object_status
            self._prepare_custom(custom, object, old)
            return
        for field in set(old) | set(object):
            if field not in ("status", "metadata"):
                _copy_field(object, old, field)
        _copy_field(object["metadata"], old["metadata"], "ownerReferences")
        validation.default(resource, object)
        self._validate(resource, object, old, "status")

    def _prepare_custom(self, custom: Custom, object: Json, old: Json | None) -> None:
        object["apiVersion"] = f"{custom.resource.group}/{custom.storage_version}"
        if old is None and "status" in custom.resource.subresources:
            object.pop("status", None)
        crd.prune(custom.schema, object)
        crd.default(custom.schema, object)
        of_schema = [*crd.validate(custom.schema, object), *crd.scale_faults(custom.scale_paths, object)]
        faults = validation.validate(custom.resource, object, old, of_schema=of_schema)
        if faults:
            raise invalid(custom.resource, object["metadata"].get("name") or "", _faults(faults))

    def _validate(self, resource: Resource, object: Json, old: Json | None, subresource: str = "") -> None:
        is_service = resource.qualified == SERVICES and not subresource
        if is_service and old is not None:
            services.keep(object, old)
        faults = _faults(validation.validate(resource, object, old))
        if is_service and not faults:
            faults = services.settle(object, old, self._addresses)
        if faults:
            metadata = object["metadata"]
            raise invalid(resource, metadata.get("name") or metadata.get("generateName") or "", faults)

    # Patch

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        content_type: str,
        change: Any,
        options: Options = Options(),  # noqa: B008
        *,
        subresource: str = "",
    ) -> Written:
        """Change an object as *change* says.

        Raises:
            ApiError: It cannot be.
        """
        entry = self.store.get(resource.qualified, namespace, name)
        if content_type == APPLY:
            return self._apply(resource, namespace, name, entry, change, options, subresource)
        if entry is None:
            raise not_found(resource, name)
        live = entry.object
        object = apply_patch(content_type, live, change, resource)
        return self._replace_patched(resource, entry, object, options, subresource)

    def _apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        entry: Entry | None,
        change: Any,
        options: Options,
        subresource: str,
    ) -> Written:
        if not options.manager:
            raise invalid(_PATCH_OPTIONS, "", [Fault("fieldManager", "FieldValueRequired", _NO_MANAGER)])
        if not isinstance(change, dict):
            raise bad_request("the applied configuration is no object")
        _metadata(change).setdefault("name", name)
        live = entry.object if entry else None
        object, conflicts = managed.apply(
            live,
            change,
            options.manager,
            options.force,
            resource,
            timestamp(self.now),
            subresource=subresource,
            schema=self._schema(resource),
        )
        if conflicts:
            status = managed.conflict_status(conflicts)
            raise ApiError(status["code"], status["reason"], status["message"], status["details"])
        if entry is None:
            if subresource:
                raise not_found(resource, name)
            if _metadata(object).get("name") != name:
                raise _other_name(object["metadata"].get("name"), name)
            return self.create(resource, namespace, object, options, is_applied=True)
        return self._replace_patched(resource, entry, object, options, subresource, is_applied=True)

    def _replace_patched(
        self,
        resource: Resource,
        entry: Entry,
        object: Json,
        options: Options,
        subresource: str,
        *,
        is_applied: bool = False,
    ) -> Written:
        _check_type(resource, object)
        metadata = _metadata(object)
        if metadata.get("name") != entry.name:
            raise _other_name(metadata.get("name"), entry.name)
        self._settle_namespace(resource, entry.namespace, metadata)
        metadata.setdefault("resourceVersion", str(entry.version))
        return self._replace(resource, entry, object, options, subresource, is_applied=is_applied)

    # Delete

    def delete(self, resource: Resource, namespace: str, name: str, how: Deletion = Deletion()) -> Written:  # noqa: B008
        """Delete an object, or begin to.

        Raises:
            ApiError: It cannot be.
        """
        entry = self.store.get(resource.qualified, namespace, name)
        if entry is None:
            raise not_found(resource, name)
        _check_deletion(resource, entry, how)
        object = entry.object
        if resource.qualified == NAMESPACES:
            return self._delete_namespace(resource, entry, object, how)
        metadata = object["metadata"]
        _settle_policy(metadata, how.policy)
        if resource.qualified == DEFINITIONS:
            crd.hold(metadata)
        grace_s = _grace_s(resource, object, how)
        if grace_s:
            return self._delete_later(resource, entry, object, grace_s, how)
        if metadata.get("finalizers"):
            return self._delete_when_released(resource, entry, object, how)
        if how.dry_run:
            last = entry
        else:
            if resource.qualified == PODS:
                self._mark(object)
                if object != entry.object:
                    # That the time is up is an event of its own, before the end.
                    object = self.store.update(resource.qualified, object).object
            last = self.store.delete(resource.qualified, namespace, name, last=object)
            self._after_removal(resource, object)
        if resource.qualified in _SHOWN_WHEN_DELETED:
            return Written(200, last.octets)
        return Written(200, _encode(success(resource, name, entry.uid)))

    def _delete_namespace(self, resource: Resource, entry: Entry, object: Json, how: Deletion) -> Written:
        if entry.name in PERMANENT_NAMESPACES:
            raise forbidden(resource, entry.name, "this namespace may not be deleted")
        if entry.is_terminating:
            return Written(200, entry.octets)
        object["metadata"]["deletionTimestamp"] = timestamp(self.now)
        object.setdefault("status", {})["phase"] = "Terminating"
        return Written(200, self._commit_unless_dry(resource, object, entry, how))

    def _delete_later(self, resource: Resource, entry: Entry, object: Json, grace_s: int, how: Deletion) -> Written:
        """Mark a pod for its kubelet; a second request can only make it sooner."""
        metadata = object["metadata"]
        if entry.is_terminating:
            present_s = metadata.get("deletionGracePeriodSeconds") or 0
            if how.grace_s is None or grace_s >= present_s:
                return Written(200, entry.octets)
            begun = datetime.fromisoformat(metadata["deletionTimestamp"]) - timedelta(seconds=present_s)
        else:
            begun = self.now
            if "generation" in metadata:
                metadata["generation"] += 1
        metadata["deletionTimestamp"] = timestamp(begun + timedelta(seconds=grace_s))
        metadata["deletionGracePeriodSeconds"] = grace_s
        return Written(200, self._commit_unless_dry(resource, object, entry, how))

    def _delete_when_released(self, resource: Resource, entry: Entry, object: Json, how: Deletion) -> Written:
        """Mark an object that finalizers hold."""
        self._mark(object)
        if object == entry.object:
            return Written(200, entry.octets)
        return Written(200, self._commit_unless_dry(resource, object, entry, how))

    def _mark(self, object: Json) -> None:
        """Write into *object* that it goes now."""
        metadata = object["metadata"]
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = timestamp(self.now)
            if "generation" in metadata:
                metadata["generation"] += 1
        metadata["deletionGracePeriodSeconds"] = 0

    def _commit_unless_dry(self, resource: Resource, object: Json, entry: Entry, how: Deletion) -> bytes:
        if how.dry_run:
            return self._dry(object)
        return self.commit(resource, object, entry).octets

    # What a write brings with it

    def _after_write(self, resource: Resource, object: Json, previous: Entry | None) -> None:
        if resource.qualified == SERVICES:
            if previous is not None:
                self._addresses.give_back(previous.object["spec"].get("clusterIPs") or ())
            self._take_addresses(object)
        elif resource.qualified == DEFINITIONS:
            self.registry.define(object["metadata"]["name"], crd.served(object))

    def _after_removal(self, resource: Resource, object: Json) -> None:
        if resource.qualified == SERVICES:
            self._addresses.give_back((object.get("spec") or {}).get("clusterIPs") or ())
        elif resource.qualified == DEFINITIONS:
            self.registry.define(object["metadata"]["name"], [])

    def _take_addresses(self, service: Json) -> None:
        metadata = service["metadata"]
        self._addresses.take(service["spec"].get("clusterIPs") or (), f"{metadata['namespace']}/{metadata['name']}")

    def _track(self, resource: Resource, old: Json | None, object: Json, options: Options, subresource: str) -> None:
        """Write down who set which field."""
        manager = options.manager or "unknown"
        schema = self._schema(resource)
        now = timestamp(self.now)
        managed.track(old, object, manager, "Update", subresource, now, resource, schema=schema)

    def _schema(self, resource: Resource) -> Json | None:
        custom = self.registry.custom(resource)
        return custom.schema if custom else None

    def _dry(self, object: Json) -> bytes:
        return _encode({"kind": object["kind"], "apiVersion": object["apiVersion"], **object})


_PATCH_OPTIONS = Resource("meta.k8s.io", "v1", "PatchOptions", "", "")
_NO_MANAGER = "Required value: is required for apply patch"

_FIXED = "field is immutable"
_SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "selfLink",
)


def _check_type(resource: Resource, object: Json) -> None:
    """Make sure that *object* is of the resource's kind; one that says nothing is."""
    version, kind = object.get("apiVersion"), object.get("kind")
    if version and version != resource.group_version:
        wanted = resource.group_version
        raise bad_request(f"the API version in the data ({version}) does not match the expected API version ({wanted})")
    if kind and kind != resource.kind:
        raise bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}')
    object["apiVersion"], object["kind"] = resource.group_version, resource.kind


def _other_name(name: object, wanted: str) -> ApiError:
    return bad_request(f"the name of the object ({name}) does not match the name on the URL ({wanted})")


def _metadata(object: Json) -> Json:
    metadata = object.get("metadata")
    if metadata is None:
        metadata = object["metadata"] = {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata is no object")
    result: Json = metadata
    return result


def _strip_empty(metadata: Json) -> None:
    """Leave out what is empty, as Go does, so that what means the same is the same."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def _write_null_times(resource: Resource, object: Json) -> None:
    """Write the times of conditions that nobody set, which Go does not leave out."""
    for field in _TIMES_OF_CONDITIONS.get(resource.qualified, ()):
        for condition in (object.get("status") or {}).get("conditions") or ():
            condition.setdefault(field, None)


def _copy_field(object: Json, old: Json, field: str) -> None:
    if field in old:
        object[field] = old[field]
    else:
        object.pop(field, None)


def _wanted(object: Json) -> Json:
    wanted = {field: value for field, value in object.items() if field not in ("metadata", "status")}
    if object["kind"] == "EndpointSlice":
        wanted["labels"] = object["metadata"].get("labels")
    return wanted


def _is_over(resource: Resource, object: Json) -> bool:
    metadata = object["metadata"]
    if "deletionTimestamp" not in metadata or resource.qualified == NAMESPACES:
        return False
    return not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def _faults(causes: list[Any]) -> list[Fault]:
    return [Fault(cause.field, cause.reason, cause.message) for cause in causes]


def _check_deletion(resource: Resource, entry: Entry, how: Deletion) -> None:
    """Make sure that the object is the one that is meant."""
    for text, wanted, found, end in (
        ("UID", how.uid, entry.uid, "deleted and then recreated"),
        ("ResourceVersion", how.version, str(entry.version), "modified"),
    ):
        if wanted and wanted != found:
            why = f"the {text} in the precondition ({wanted}) does not match the {text} in record ({found})"
            kind = resource._replace(plural=resource.kind)
            raise conflict(kind, entry.name, f"{why}. The object might have been {end}")


def _fold_string_data(secret: Json) -> None:
    for key, value in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()


def _taint(node: Json) -> None:
    """Keep pods off a new node until its kubelet, or who watches over it, says that it is ready."""
    taints = node.setdefault("spec", {}).setdefault("taints", [])
    if not any(taint.get("key") == _NOT_READY for taint in taints):
        taints.append({"key": _NOT_READY, "effect": "NoSchedule"})


def _settle_policy(metadata: Json, policy: str) -> None:
    """Let the finalizers say what the deletion wants for the object's dependents."""
    if not policy:
        return
    finalizers = [one for one in metadata.get("finalizers") or () if one not in (FOREGROUND, ORPHAN)]
    if POLICIES[policy]:
        finalizers.append(POLICIES[policy])
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _grace_s(resource: Resource, object: Json, how: Deletion) -> int:
    """Return how long a pod may take to end: nothing where no kubelet has it, or its containers have ended."""
    if resource.qualified != PODS:
        return 0
    spec = object.get("spec") or {}
    if not spec.get("nodeName") or (object.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    asked = spec.get("terminationGracePeriodSeconds", 30) if how.grace_s is None else how.grace_s
    return 1 if asked < 0 else int(asked)
