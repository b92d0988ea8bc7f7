"""What Kubernetes does when an object is deleted. Pure.

Source: k8s.io/apiserver `pkg/registry/rest/delete.go`; k8s.io/kubernetes `pkg/registry/core/pod/strategy.go`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from headlessdns.lab.api import crd
from headlessdns.lab.api.forms import timestamp
from headlessdns.lab.api.kinds import DEFINITIONS, NAMESPACES, PODS, SERVICES, Json, Resource
from headlessdns.lab.api.status import conflict, forbidden, not_found, success
from headlessdns.lab.api.store import Entry
from headlessdns.lab.api.writes import Deletion, Written

if TYPE_CHECKING:
    from headlessdns.lab.api.rules import Rules

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"  # finalizers


POLICIES = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": ""}


PERMANENT_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


# What a deletion answers is the object, for others a Status.
_SHOWN_WHEN_DELETED = frozenset({PODS, SERVICES, "serviceaccounts", "persistentvolumeclaims", "persistentvolumes"})


_encode = msgspec.json.encode


def delete(rules: Rules, resource: Resource, namespace: str, name: str, how: Deletion = Deletion()) -> Written:  # noqa: B008
    """Delete an object, or begin to.

    Raises:
        ApiError: It cannot be.
    """
    entry = rules.store.get(resource.qualified, namespace, name)
    if entry is None:
        raise not_found(resource, name)
    _check_deletion(resource, entry, how)
    object = entry.object
    if resource.qualified == NAMESPACES:
        return _delete_namespace(rules, resource, entry, object, how)
    metadata = object["metadata"]
    _settle_policy(metadata, how.policy)
    if resource.qualified == DEFINITIONS:
        crd.hold(metadata)
    grace_s = _grace_s(resource, object, how)
    if grace_s:
        return _delete_later(rules, resource, entry, object, grace_s, how)
    if metadata.get("finalizers"):
        return _delete_when_released(rules, resource, entry, object, how)
    if how.dry_run:
        last = entry
    else:
        if resource.qualified == PODS:
            _mark(rules, object)
            if object != entry.object:
                # That the time is up is an event of its own, before the end.
                object = rules.store.update(resource.qualified, object).object
        last = rules.store.delete(resource.qualified, namespace, name, last=object)
        rules.after_removal(resource, object)
    if resource.qualified in _SHOWN_WHEN_DELETED:
        return Written(200, last.octets)
    return Written(200, _encode(success(resource, name, entry.uid)))


def _delete_namespace(rules: Rules, resource: Resource, entry: Entry, object: Json, how: Deletion) -> Written:
    if entry.name in PERMANENT_NAMESPACES:
        raise forbidden(resource, entry.name, "this namespace may not be deleted")
    if entry.is_terminating:
        return Written(200, entry.octets)
    object["metadata"]["deletionTimestamp"] = timestamp(rules.now)
    object.setdefault("status", {})["phase"] = "Terminating"
    return Written(200, _commit_unless_dry(rules, resource, object, entry, how))


def _delete_later(rules: Rules, resource: Resource, entry: Entry, object: Json, grace_s: int, how: Deletion) -> Written:
    """Mark a pod for its kubelet; a second request can only make it sooner."""
    metadata = object["metadata"]
    if entry.is_terminating:
        present_s = metadata.get("deletionGracePeriodSeconds") or 0
        if how.grace_s is None or grace_s >= present_s:
            return Written(200, entry.octets)
        begun = datetime.fromisoformat(metadata["deletionTimestamp"]) - timedelta(seconds=present_s)
    else:
        begun = rules.now
        if "generation" in metadata:
            metadata["generation"] += 1
    metadata["deletionTimestamp"] = timestamp(begun + timedelta(seconds=grace_s))
    metadata["deletionGracePeriodSeconds"] = grace_s
    return Written(200, _commit_unless_dry(rules, resource, object, entry, how))


def _delete_when_released(rules: Rules, resource: Resource, entry: Entry, object: Json, how: Deletion) -> Written:
    """Mark an object that finalizers hold."""
    _mark(rules, object)
    if object == entry.object:
        return Written(200, entry.octets)
    return Written(200, _commit_unless_dry(rules, resource, object, entry, how))


def _mark(rules: Rules, object: Json) -> None:
    """Write into *object* that it goes now."""
    metadata = object["metadata"]
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = timestamp(rules.now)
        if "generation" in metadata:
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = 0


def _commit_unless_dry(rules: Rules, resource: Resource, object: Json, entry: Entry, how: Deletion) -> bytes:
    if how.dry_run:
        return rules.dry(object)
    return rules.commit(resource, object, entry).octets


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
