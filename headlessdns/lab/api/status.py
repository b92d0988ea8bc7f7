"""What the API says when it refuses: a Status, in the words of kube-apiserver. Pure.

Source: answers of kube-apiserver 1.36, read side by side; k8s.io/apimachinery `metav1.Status`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headlessdns.errors import HeadlessDNSError
from headlessdns.lab.api.kinds import Json, Resource

_ONE_CAUSE = 1


class Fault(NamedTuple):
    """One field that is wrong.

    Attributes:
        field: Its path, such as ``spec.replicas``.
        reason: Such as FieldValueInvalid.
        message: Such as ``Invalid value: -1: must be greater than or equal to 0``.
    """

    field: str
    reason: str
    message: str


class ApiError(HeadlessDNSError):
    """A refusal.

    Attributes:
        status: The HTTP status.
        reason: The word for machines.
        details: About which object, and which of its fields.
        metadata: Of the Status.
        retry_after_s: When to try again; 0 says nothing about it.
    """

    def __init__(
        self, status: int, reason: str, message: str, details: Json | None = None, *, retry_after_s: int = 0
    ) -> None:
        self.status = status
        self.reason = reason
        self.details = details
        self.metadata: Json = {}
        self.retry_after_s = retry_after_s
        super().__init__(message)

    def document(self) -> Json:
        """Return it as the API sends it."""
        document: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.status,
        }
        if not self.reason:
            del document["reason"]
        if self.details is not None or self.retry_after_s:
            retry = {"retryAfterSeconds": self.retry_after_s} if self.retry_after_s else {}
            document["details"] = {**(self.details or {}), **retry}
        return document


def about(resource: Resource, name: str, *, kind: str = "", **more: Any) -> Json:
    """Return the details of a Status about one object; *kind* stands for the plural where that is not meant."""
    details: Json = {"name": name, "group": resource.group, "kind": kind or resource.plural, **more}
    return {key: value for key, value in details.items() if value}


def success(resource: Resource, name: str, uid: str) -> Json:
    """Return what a deletion answers when the object is not worth showing any more."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": about(resource, name, uid=uid),
    }


def not_found(resource: Resource, name: str) -> ApiError:
    """No such object."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', about(resource, name))


def no_such_resource() -> ApiError:
    """No such kind, or no such part of it."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """The resource does not do that."""
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
    )


def already_exists(resource: Resource, name: str) -> ApiError:
    """The name is taken."""
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', about(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """A precondition does not hold."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, about(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def bad_request(message: str) -> ApiError:
    """The request makes no sense."""
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Json] = ()) -> ApiError:
    """A rule of the API is against it."""
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, about(resource, name, causes=list(causes)))


def invalid(resource: Resource, name: str, faults: Iterable[Fault], *, kind: str = "") -> ApiError:
    """Fields of the object are wrong; *kind* is the one of the body where it is not the resource's."""
    kind = kind or resource.kind
    faults = list(faults)
    # What two checks say is a cause each, and stands in the message once.
    lines = list(dict.fromkeys(f"{one.field}: {one.message}" if one.field else one.message for one in faults))
    text = lines[0] if len(lines) == _ONE_CAUSE else f"[{', '.join(lines)}]"
    owner = f"{kind}.{resource.group}" if resource.group else kind
    causes = [{"reason": one.reason, "message": one.message, "field": one.field} for one in faults]
    details = about(resource, name, kind=kind, causes=causes)
    return ApiError(422, "Invalid", f'{owner} "{name}" is invalid: {text}', details)


def expired(message: str) -> ApiError:
    """The version that is asked for is not kept any more."""
    return ApiError(410, "Expired", message)


def too_large_version(wanted: int, present: int) -> ApiError:
    """A version that is yet to come."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {wanted}, current: {present}"
    return ApiError(504, "Timeout", f"Timeout: {message}", {"causes": [cause]}, retry_after_s=1)


def unauthorized() -> ApiError:
    """Nobody known."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def internal_error(why: str) -> ApiError:
    """The API cannot do what it should."""
    return ApiError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})
