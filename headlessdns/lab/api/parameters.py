"""What the parameters of requests mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headlessdns.lab.api import bodies, subresources
from headlessdns.lab.api.checks import SCHEME
from headlessdns.lab.api.deleting import POLICIES
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.messages import Request
from headlessdns.lab.api.patch import APPLY_PATCH, go_quoted
from headlessdns.lab.api.status import ApiError, Fault, bad_request, invalid
from headlessdns.lab.api.typed import wrong_value
from headlessdns.lab.api.writes import Deletion, Options

_encode = msgspec.json.encode
_MAX_MANAGER = 128  # octets


def options_of(request: Request, kind: str) -> Options:
    """Return how a write is meant.

    Raises:
        ApiError: A parameter has a value that it cannot have.
    """
    query = request.query
    # An apply has to say who it is; others are known by what they call themselves.
    is_apply = request.content_type.startswith(APPLY_PATCH)
    default_manager = "" if is_apply else request.user_agent.partition("/")[0]
    if not query:
        return Options(manager=default_manager)
    manager = query.get("fieldManager") or ""
    faults = [*_manager_faults(manager), *_dry_run_faults([query["dryRun"]] if "dryRun" in query else [])]
    validation = query.get("fieldValidation") or ""
    if validation not in ("", "Ignore", "Warn", "Strict"):
        faults.append(_unsupported("fieldValidation", validation, '"", "Ignore", "Strict", "Warn"'))
    if kind == "PatchOptions" and "force" in query and not is_apply:
        message = "Forbidden: may not be specified for non-apply patch"
        faults.append(Fault("force", "FieldValueForbidden", message))
    if faults:
        raise invalid_options(kind, faults)
    return Options(
        dry_run=bool(query.get("dryRun")),
        manager=manager or default_manager,
        force=is_set(query, "force"),
        validation=validation or "Warn",
    )


def with_duplicates(options: Options, request: Request, value: Any) -> Options:
    """Return *options* with the fields that were sent twice, where the request wants to hear of them.

    Args:
        options: The others.
        request: As it came.
        value: What was read from its body, as it was sent.
    """
    if options.validation == "Ignore":
        return options
    return options._replace(duplicates=bodies.duplicates(request.body, request.content_type, value))


def change_of(body: bytes, content_type: str, options: Options) -> Any:
    """Return what a patch says.

    Raises:
        ApiError: It cannot be read.
    """
    if content_type == APPLY_PATCH:
        change = bodies.decode_applied(body)
        twice = bodies.duplicates(body, bodies.YAML) if options.validation == "Strict" else ()
        if twice:
            raise bad_request(f"error strict decoding YAML: error converting YAML to JSON: {twice[0]}")
        return change
    try:
        return bodies.decode(body, content_type)
    except ApiError as error:
        if error.status == bodies.BAD_REQUEST:
            raise bad_request(f"error decoding patch: {str(error).rpartition('parse error: ')[2]}") from error
        raise


def deletion_of(request: Request, given: Json | None = None) -> Deletion:
    """Return how a deletion is meant: by its body, else by its parameters.

    Raises:
        ApiError: One of these has a value that it cannot have.
    """
    options: Json = dict(given or {})
    if given is None:
        if request.body:
            options = bodies.decode_object(request.body, request.content_type)
            kind, version = options.get("kind") or "DeleteOptions", options.get("apiVersion") or "v1"
            if kind != "DeleteOptions":
                raise bad_request(f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"')
            if found := wrong_value(subresources.DELETE_OPTIONS, options):
                raise bad_request(found.unmarshalled)
        else:
            options = dict(request.query)
    grace_s = options.get("gracePeriodSeconds")
    dry_run = options.get("dryRun", request.query.get("dryRun", []))
    dry_run = dry_run if isinstance(dry_run, list) else [dry_run]
    policy = options.get("propagationPolicy") or ""
    orphan = options.get("orphanDependents")
    faults = []
    if orphan is not None and policy:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        faults.append(Fault("propagationPolicy", "FieldValueInvalid", message))
    elif orphan is not None:
        policy = "Orphan" if orphan in (True, "true") else "Background"
    if policy and policy not in POLICIES:
        faults.append(_unsupported("propagationPolicy", policy, '"Foreground", "Background", "Orphan", "nil"'))
    faults += _dry_run_faults(dry_run)
    if faults:
        raise invalid_options("DeleteOptions", faults)
    preconditions = options.get("preconditions") or {}
    try:
        grace = int(grace_s) if grace_s not in (None, "") else None
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds: {grace_s} is no whole number") from error
    return Deletion(
        grace, policy, preconditions.get("uid") or "", preconditions.get("resourceVersion") or "", bool(dry_run)
    )


def _manager_faults(manager: str) -> list[Fault]:
    if len(manager.encode()) > _MAX_MANAGER:
        return [Fault("fieldManager", "FieldValueTooLong", f"Too long: may not be more than {_MAX_MANAGER} bytes")]
    for place, letter in enumerate(manager):
        if not letter.isprintable():
            message = f"invalid character U+{ord(letter):04X} (at position {len(manager[:place].encode())})"
            return [Fault("fieldManager", "FieldValueInvalid", f"Invalid value: {go_quoted(manager)}: {message}")]
    return []


def _dry_run_faults(values: list[Any]) -> list[Fault]:
    if not values or values == ["All"]:
        return []
    shown = _encode(values).decode()
    return [Fault("dryRun", "FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"')]


def _unsupported(field: str, value: str, supported: str) -> Fault:
    return Fault(field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {supported}')


def invalid_options(kind: str, faults: list[Fault]) -> ApiError:
    """Return the refusal of the options of *kind*."""
    return invalid(Resource("meta.k8s.io", "v1", kind, "", ""), "", faults)


def number_of(query: Mapping[str, str], name: str) -> int:
    """Return a parameter that is a number, 0 where it is not there or less.

    Raises:
        ApiError: It is no number.
    """
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return max(int(text), 0)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def is_set(query: Mapping[str, str], name: str) -> bool:
    """Tell whether a parameter that is true or false is there and not false."""
    return name in query and query[name].lower() not in ("0", "false")


def version_of(text: str) -> int:
    """Return the number of a resourceVersion, 0 where there is none.

    Raises:
        ValueError: It is none; the text says so as the API does.
    """
    if text and not text.isdecimal():
        reason = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ValueError(f'resourceVersion: Invalid value: "{text}": {reason}')
    return int(text or 0)


def list_faults(match: str, version: str, token: str) -> list[Fault]:
    """Return what is wrong with the parameters of a list."""
    faults = []
    if match:
        if not version:
            message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            faults.append(Fault("resourceVersionMatch", "FieldValueForbidden", message))
        if token:
            message = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
            faults.append(Fault("resourceVersionMatch", "FieldValueForbidden", message))
        if match not in ("Exact", "NotOlderThan"):
            faults.append(_unsupported("resourceVersionMatch", match, '"Exact", "NotOlderThan", ""'))
        elif match == "Exact" and version == "0":
            message = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            faults.append(Fault("resourceVersionMatch", "FieldValueForbidden", message))
    return faults


def watch_faults(initial: str, match: str) -> list[Fault]:
    """Return what is wrong with the parameters of a watch."""
    if initial and match != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return [Fault("resourceVersionMatch", "FieldValueForbidden", message)]
    if match and not initial:
        message = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [Fault("resourceVersionMatch", "FieldValueForbidden", message)]
    return []
