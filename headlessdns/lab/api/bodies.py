"""Bodies of requests: JSON, YAML, and protobuf for the few kinds of which kubectl sends nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from headlessdns.lab.api import protobuf
from headlessdns.lab.api.status import ApiError, bad_request

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
MAX_OCTETS = 3 * 2**20

_decode = msgspec.json.Decoder().decode


class _Loader(yaml.SafeLoader):
    """Takes what looks like a date for text, as JSON would have it."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def decode(body: bytes, content_type: str) -> Any:
    """Return the value of *body*.

    Raises:
        ApiError: It cannot be read, or not be taken in that form.
    """
    content_type = content_type.partition(";")[0].strip().lower()
    if content_type in (YAML, APPLY) and body.lstrip()[:1] != b"{":
        return _yaml(body)
    if content_type == PROTOBUF and (object := protobuf.decode(body)) is not None:
        return object
    if content_type == PROTOBUF or (content_type and not content_type.endswith(("json", "yaml", "*/*"))):
        accepted = ", ".join((JSON, YAML, PROTOBUF))
        raise ApiError(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {accepted}",
        )
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def decode_object(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the object that *body* is.

    Raises:
        ApiError: It cannot be read, or is something else.
    """
    value = decode(body, content_type)
    if not isinstance(value, dict):
        what = type(value).__name__
        raise bad_request(f"couldn't get version/kind; json parse error: the body is no object but of type {what}")
    return value


def _yaml(body: bytes) -> Any:
    try:
        return yaml.load(body, _Loader)  # a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise bad_request(f"error converting YAML to JSON: {' '.join(str(error).split())}") from error
