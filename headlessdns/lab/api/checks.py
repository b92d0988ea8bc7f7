"""What of a body cannot be read, before any rule looks at it. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from headlessdns.lab.api import typed
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import STRATEGIC_MERGE_PATCH, go_text
from headlessdns.lab.api.registry import Registry
from headlessdns.lab.api.status import ApiError, Fault, bad_request, invalid
from headlessdns.lab.api.writes import Patch

_encode = msgspec.json.encode


_NO_RESOURCE = Resource("", "", "", "", "")


# Versions that are not served any more, and that the real server knows all the same.
OLD_VERSIONS = frozenset(
    {
        "apps/v1beta1",
        "apps/v1beta2",
        "coordination.k8s.io/v1beta1",
        "discovery.k8s.io/v1beta1",
        "policy/v1beta1",
        "storage.k8s.io/v1beta1",
    }
)


SCHEME = "pkg/runtime/scheme.go:111"  # how the real server calls the list of its kinds


def check_type(registry: Registry, resource: Resource, object: Json) -> None:
    """Make sure that *object* is of the resource's kind; one that says nothing is.

    Raises:
        ApiError: It is of another one.
    """
    version, kind = object.get("apiVersion"), object.get("kind")
    what = f'{kind or resource.kind} in version "{str(version or resource.version).rpartition("/")[2]}"'
    if version and version != resource.group_version:
        if version not in OLD_VERSIONS and version not in {one.group_version for one in registry}:
            known = f'no kind "{kind or resource.kind}" is registered for version "{version}" in scheme "{SCHEME}"'
            raise bad_request(f"{what} cannot be handled as a {resource.kind}: {known}")
        wanted = resource.group_version
        raise bad_request(f"the API version in the data ({version}) does not match the expected API version ({wanted})")
    if kind and kind != resource.kind:
        raise bad_request(f"{what} cannot be handled as a {resource.kind}")
    object["apiVersion"], object["kind"] = resource.group_version, resource.kind


def check_readable(resource: Resource, object: Json) -> None:
    """Refuse values whose type is not the one of their field.

    Raises:
        ApiError: One is not.
    """
    if why := typed.wrong_type(resource, object):
        raise bad_request(why)


def check_patched(registry: Registry, resource: Resource, object: Json, content_type: str, change: Any) -> Patch:
    """Refuse what a patch has made of an object where it is of another kind, or a value not of its field's type.

    A strategic merge patch is made for one kind, so that it cannot change it.

    Raises:
        ApiError: That is so.
    """
    patch = Patch(content_type, change, _encode(object))
    is_strategic = content_type == STRATEGIC_MERGE_PATCH
    touched = patch.touched
    part = object if touched is None else {name: object[name] for name in touched if name in object}
    found = typed.wrong_value(resource, part)
    if found is not None:
        raise unreadable_patch(patch, found.restored if is_strategic else found.unmarshalled)
    if is_strategic:
        object["apiVersion"], object["kind"] = resource.group_version, resource.kind
    elif registry.custom(resource) is None and (why := _other_kind(registry, resource, object)):
        raise unreadable_patch(patch, why)
    return patch


def _other_kind(registry: Registry, resource: Resource, object: Json) -> str:
    version, kind = (object.get("apiVersion") or resource.group_version), (object.get("kind") or resource.kind)
    if (version, kind) == (resource.group_version, resource.kind):
        return ""
    if (version, kind) not in {(one.group_version, one.kind) for one in registry}:
        return f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"'
    short, group = version.rpartition("/")[2], resource.group.partition(".")[0] or "core"
    return f"converting ({short}.{kind}) to ({group}.{resource.kind}): unknown conversion"


def unreadable_patch(patch: Patch, why: str) -> ApiError:
    """Return the refusal of a patch for which the object cannot be read any more."""
    is_strategic = patch.content_type == STRATEGIC_MERGE_PATCH
    shown = json.dumps(go_text(patch.change) if is_strategic else patch.octets.decode(), ensure_ascii=False)
    return invalid(_NO_RESOURCE, "", [Fault("patch", "FieldValueInvalid", f"Invalid value: {shown}: {why}")])


def other_name(name: object, wanted: str) -> ApiError:
    """Return the refusal of an object that is called otherwise than its path says, or nothing at all."""
    if not name:
        return bad_request(f"the name of the object ({wanted} based on URL) was undeterminable: name must be provided")
    return bad_request(f"the name of the object ({name}) does not match the name on the URL ({wanted})")
