"""What Kubernetes does when an object is created, updated, patched or deleted. Pure: clock and random come in.

Source: k8s.io/apiserver `pkg/registry/generic/registry/store.go` and `rest`, and the strategies of the kinds.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from headlessdns.lab.api import crd, deleting, managed, notices, schemarules, services, typed, unknown, validation
from headlessdns.lab.api.checks import check_patched, check_readable, check_type, other_name, unreadable_patch
from headlessdns.lab.api.forms import (
    FIRST_STATUS,
    GATED,
    PROTECTION,
    copy_field,
    fold_string_data,
    is_over,
    is_set_of_fields,
    metadata_of,
    strip_empty,
    taint,
    timestamp,
    wanted,
    write_nulls,
)
from headlessdns.lab.api.kinds import DEFINITIONS, NAMESPACES, NODES, PODS, SECRETS, SERVICES, Json, Resource
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
)
from headlessdns.lab.api.store import Entry, ExistsError, Store
from headlessdns.lab.api.writes import Deletion, Options, Patch, Written

APPLY = "application/apply-patch+yaml"


_RANDOM_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, nothing that looks like another
_MAX_GENERATED, _RANDOM_LENGTH = 63, 5
_ATTEMPTS = 8  # to find a generated name that is free

# An update of these has to say which version it replaces.
_CONDITIONAL = frozenset({"poddisruptionbudgets.policy", "leases.coordination.k8s.io", DEFINITIONS})
# An update of one that is not there creates it.
_CREATED_BY_UPDATE = frozenset({"endpoints", "events", "leases.coordination.k8s.io", SERVICES})


_encode = msgspec.json.encode


class Rules:
    """The rules over one store.

    Attributes:
        store: The objects.
        registry: The resources.
        notices: What clients are to be told about what was written; whoever answers them takes it.
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
        self.notices: list[str] = []
        self._clock = clock
        self._rng = rng
        self._given = services.Given()
        for entry in store.entries(SERVICES):
            self._given.take(entry.object)
        for entry in store.entries(DEFINITIONS):
            registry.define(entry.name, crd.served(entry.object))

    @property
    def now(self) -> datetime:
        """The present time."""
        return self._clock()

    def new_uid(self) -> str:
        """Return a UID that no object has."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

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
        check_type(self.registry, resource, object)
        check_readable(resource, object)
        metadata = metadata_of(object)
        self._check_definition(resource, metadata)
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
                self._settle_service(resource, object, None, options)
                raise already_exists(resource, metadata["name"])
        self._check_namespace(resource, namespace, metadata)
        self._prepare_new(resource, object)
        if not is_applied:
            self._track(resource, None, object, options, "")
        self._settle_service(resource, object, None, options)
        validation.admit(resource, object)
        strip_empty(metadata)
        write_nulls(resource, object)
        self.notices += [*notices.about_new(resource), *notices.about(resource, object)]
        if options.dry_run:
            return Written(201, self.dry(object))
        return Written(201, self._commit_new(resource, object).octets)

    def _check_definition(self, resource: Resource, metadata: Json) -> None:
        if self.registry.custom(resource) is None:
            return
        definition = self.store.get(DEFINITIONS, "", resource.qualified)
        if definition is not None and definition.is_terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(resource, metadata.get("name") or "", why)

    def _prepare_new(self, resource: Resource, object: Json) -> None:
        """Bring a new object into the form in which it is stored, and validate it."""
        metadata = object["metadata"]
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
            metadata.pop(field, None)
        metadata["uid"] = self.new_uid()
        metadata["creationTimestamp"] = timestamp(self.now)
        if resource.has_generation:
            metadata["generation"] = 1
        custom = self.registry.custom(resource)
        if custom is not None:
            self._prepare_custom(custom, object, None)
            return
        name = resource.qualified
        if name in FIRST_STATUS:
            object["status"] = dict(FIRST_STATUS[name])
        if name == PODS and (object.get("spec") or {}).get("schedulingGates"):
            object["status"]["conditions"] = [{**GATED, "lastTransitionTime": timestamp(self.now)}]
        validation.default(resource, object)
        if name == NAMESPACES:
            metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")
            object.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        elif name == SECRETS:
            fold_string_data(object)
        elif name == NODES:
            taint(object)
        elif name in PROTECTION:
            finalizers = metadata.setdefault("finalizers", [])
            if PROTECTION[name] not in finalizers:
                finalizers.append(PROTECTION[name])
        elif name == DEFINITIONS:
            crd.settle(object, timestamp(self.now))
        if name != SERVICES:
            self._validate(resource, object, None)

    def _check_fields(self, resource: Resource, object: Json, options: Options, patch: Patch | None = None) -> None:
        """Drop fields that the kind does not have, and tell it or refuse the object, as the request wants it."""
        custom = self.registry.custom(resource)
        dropped = unknown.drop_unknown(resource, object, patch.touched if patch else None)
        if custom:
            dropped = [*crd.prune(custom.schema, object), *dropped]
        wrong = [*options.duplicates]
        wrong += [f'unknown field "{path}"' for path in (dropped if patch is None else sorted(dropped))]
        if not wrong or options.validation == "Ignore":
            return
        if options.validation == "Warn":
            self.notices += wrong
            return
        why = f"strict decoding error: {', '.join(wrong)}"
        if patch is not None:
            raise unreadable_patch(patch, why)
        kind = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(why if custom else f"{kind}: {why}")

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
        check_type(self.registry, resource, object)
        check_readable(resource, object)
        metadata = metadata_of(object)
        if metadata.get("name") != name:
            raise other_name(metadata.get("name"), name)
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
        patch: Patch | None = None,
    ) -> Written:
        """Write *object* over *entry* after it is made sure that it may be."""
        old = entry.object
        metadata, old_metadata = object["metadata"], old["metadata"]
        self._check_fields(resource, object, options, patch)
        self._check_preconditions(resource, entry, metadata, is_patch=patch is not None)
        self._restore_system_fields(resource, object, old)
        if subresource == "status":
            self._prepare_status(resource, object, old)
        else:
            self._prepare_update(resource, object, old)
        metadata = object["metadata"]
        if not is_applied:
            self._track(resource, old, object, options, subresource)
        if not subresource:
            self._settle_service(resource, object, old, options)
        strip_empty(metadata)
        write_nulls(resource, object)
        if not subresource:
            self.notices += notices.about(resource, object)
        if resource.has_generation and wanted(object) != wanted(old):
            metadata["generation"] = old_metadata.get("generation", 0) + 1
        metadata["resourceVersion"] = old_metadata["resourceVersion"]
        if object == old:
            return Written(200, entry.octets)
        if options.dry_run:
            return Written(200, self.dry(object))
        return Written(200, self.commit(resource, object, entry).octets)

    def commit(self, resource: Resource, object: Json, previous: Entry) -> Entry:
        """Write *object* in place of *previous*; it goes for good where only its finalizers held it."""
        if is_over(resource, object):
            entry = self.store.delete(
                resource.qualified, previous.namespace, previous.name, last=object, expected=previous.version
            )
            self.after_removal(resource, previous.object)
            return entry
        entry = self.store.update(resource.qualified, object, expected=previous.version)
        self._after_write(resource, object, previous)
        return entry

    def _check_preconditions(self, resource: Resource, entry: Entry, metadata: Json, *, is_patch: bool) -> None:
        uid = metadata.get("uid")
        if uid and uid != entry.uid and is_patch:
            fault = Fault("metadata.uid", "FieldValueInvalid", f'Invalid value: "{uid}": {_FIXED}')
            raise invalid(resource, entry.name, [fault])
        if uid and uid != entry.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {entry.uid}"
            raise conflict(resource, entry.name, why)
        version = metadata.get("resourceVersion")
        if version and version != "0":
            if not str(version).isdecimal():
                raise ApiError(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
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
            copy_field(object, old, "status")
        if custom is not None:
            self._prepare_custom(custom, object, old)
            return
        validation.default(resource, object)
        if resource.qualified == NAMESPACES:
            copy_field(object, old, "spec")
            labels = object["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = object["metadata"]["name"]
        elif resource.qualified == DEFINITIONS:
            crd.settle(object, timestamp(self.now))
        elif resource.qualified == SECRETS:
            fold_string_data(object)
        elif resource.qualified == PODS:
            validation.admit_again(object, old)
        if resource.qualified != SERVICES:
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
            self._prepare_custom(custom, object, old, is_status=True)
            return
        for field in set(old) | set(object):
            if field not in ("status", "metadata"):
                copy_field(object, old, field)
        copy_field(object["metadata"], old["metadata"], "ownerReferences")
        # All else is as it was stored. What the status of a Service is depends on its type.
        part = object if resource.qualified == SERVICES else {"status": object["status"]} if "status" in object else {}
        validation.default(resource, part, is_status=True)
        copy_field(object, part, "status")
        self._validate(resource, object, old)

    def _prepare_custom(self, custom: Custom, object: Json, old: Json | None, *, is_status: bool = False) -> None:
        object["apiVersion"] = f"{custom.resource.group}/{custom.storage_version}"
        if old is None and "status" in custom.resource.subresources:
            object.pop("status", None)
        crd.prune(custom.schema, object)
        crd.default(custom.schema, object)
        of_schema = crd.faults(custom.schema, custom.scale_paths, object, old, is_status=is_status)
        if why := schemarules.unreadable(of_schema):
            kind = custom.resource.kind
            raise bad_request(f'{kind} in version "{custom.resource.version}" cannot be handled as a {kind}: {why}')
        faults = validation.validate(custom.resource, object, old, of_schema=of_schema)
        if faults:
            raise invalid(custom.resource, object["metadata"].get("name") or "", _faults(faults))

    def _validate(self, resource: Resource, object: Json, old: Json | None) -> None:
        _refuse(resource, object, _faults(validation.validate(resource, object, old)))

    def _settle_service(self, resource: Resource, object: Json, old: Json | None, options: Options) -> None:
        """Give a Service what it is given and validate it; no manager owns what it is given: `_track` comes before."""
        if resource.qualified == SERVICES:
            _refuse(resource, object, services.settle(object, old, self._given, is_dry=options.dry_run))
            self._validate(resource, object, old)
            services.finish(object)

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
        live = self._in_version(resource, entry)
        object = apply_patch(content_type, live, change, resource)
        patch = check_patched(self.registry, resource, object, content_type, change)
        return self._replace_patched(resource, entry, object, options, subresource, patch=patch)

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
        if why := typed.undeclared(resource, change, self._schema(resource)):
            raise ApiError(500, "", why)
        metadata_of(change).setdefault("name", name)
        live = self._in_version(resource, entry) if entry else None
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
            if metadata_of(object).get("name") != name:
                raise other_name(object["metadata"].get("name"), name)
            if uid := object["metadata"].get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise conflict(resource, name, why)
            return self.create(resource, namespace, object, options, is_applied=True)
        return self._replace_patched(resource, entry, object, options, subresource, is_applied=True)

    def _in_version(self, resource: Resource, entry: Entry) -> Json:
        """Return an object in the version of *resource*, which need not be the one in which it is stored."""
        object = entry.object
        object["apiVersion"] = resource.group_version
        return object

    def _replace_patched(
        self,
        resource: Resource,
        entry: Entry,
        object: Json,
        options: Options,
        subresource: str,
        *,
        is_applied: bool = False,
        patch: Patch | None = None,
    ) -> Written:
        check_type(self.registry, resource, object)
        if is_applied:
            check_readable(resource, object)
        metadata = metadata_of(object)
        if metadata.get("name") != entry.name:
            raise other_name(metadata.get("name"), entry.name)
        self._settle_namespace(resource, entry.namespace, metadata)
        metadata.setdefault("resourceVersion", str(entry.version))
        return self._replace(resource, entry, object, options, subresource, is_applied=is_applied, patch=patch)

    # Delete

    def delete(self, resource: Resource, namespace: str, name: str, how: Deletion = Deletion()) -> Written:  # noqa: B008
        """Delete an object, or begin to.

        Raises:
            ApiError: It cannot be.
        """
        return deleting.delete(self, resource, namespace, name, how)

    # What a write brings with it

    def _after_write(self, resource: Resource, object: Json, previous: Entry | None) -> None:
        if resource.qualified == SERVICES:
            if previous is not None:
                self._given.give_back(previous.object)
            self._given.take(object)
        elif resource.qualified == DEFINITIONS:
            self.registry.define(object["metadata"]["name"], crd.served(object))

    def after_removal(self, resource: Resource, object: Json) -> None:
        """Give back what the removed *object* had."""
        if resource.qualified == SERVICES:
            self._given.give_back(object)
        elif resource.qualified == DEFINITIONS:
            self.registry.define(object["metadata"]["name"], [])

    def _track(self, resource: Resource, old: Json | None, object: Json, options: Options, subresource: str) -> None:
        """Write down who set which field."""
        manager = options.manager or "unknown"
        tracked = object["metadata"].get("managedFields") or ()
        stored = old["metadata"].get("managedFields") if old else None
        if tracked != stored and not all(
            one.get("fieldsV1") is None or is_set_of_fields(one["fieldsV1"]) for one in tracked
        ):
            del object["metadata"]["managedFields"]
        schema = self._schema(resource)
        now = timestamp(self.now)
        managed.track(old, object, manager, "Update", subresource, now, resource, schema=schema)

    def _schema(self, resource: Resource) -> Json | None:
        custom = self.registry.custom(resource)
        return custom.schema if custom else None

    def dry(self, object: Json) -> bytes:
        """Return the octets of an object that is not written."""
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


def _refuse(resource: Resource, object: Json, faults: list[Fault]) -> None:
    if faults:
        metadata = object["metadata"]
        raise invalid(resource, metadata.get("name") or metadata.get("generateName") or "", faults)


def _faults(causes: list[Any]) -> list[Fault]:
    return [Fault(cause.field, cause.reason, cause.message) for cause in causes]
