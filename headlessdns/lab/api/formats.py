"""In which form a client wants to be answered. Pure."""

from __future__ import annotations

import msgspec

from headlessdns.lab.api import bodies
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.messages import JSON
from headlessdns.lab.api.status import ApiError

_encode = msgspec.json.encode
_decode = msgspec.json.decode


ONLY_JSON = "406: Not Acceptable\n\nAvailable representations: application/json"


NOT_ACCEPTABLE = (
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
    "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
    "application/vnd.kubernetes.protobuf;stream=watch"
)


def format_of(accept: str) -> str:
    """Return Table or PartialObjectMetadata where a client prefers that, empty where it wants the objects.

    Raises:
        ApiError: It takes nothing that is to be had.
    """
    if not accept or accept == JSON or accept.startswith("*/*"):
        return ""
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        if media not in (JSON, bodies.YAML, "*/*", "application/*"):
            continue
        given = dict(part.partition("=")[::2] for part in parameters)
        kind = given.get("as", "")
        if not kind:
            return ""
        if given.get("g") == "meta.k8s.io" and given.get("v") == "v1":
            if kind == "Table":
                return "Table"
            if kind.startswith("PartialObjectMetadata"):
                return "PartialObjectMetadata"
    raise ApiError(406, "NotAcceptable", NOT_ACCEPTABLE, {})


def wants_yaml(accept: str) -> bool:
    """Tell whether YAML is what *accept* takes first."""
    return accept.startswith(bodies.YAML)


def list_octets(kind: str, version: str, metadata: Json, items: list[bytes]) -> bytes:
    """Return a list of *items*, each an object."""
    head = _encode({"kind": kind, "apiVersion": version, "metadata": metadata})
    return b'%s,"items":[%s]}\n' % (head[:-1], b",".join(items))


def partial(octets: bytes) -> bytes:
    """Return the metadata of an object only."""
    metadata = _decode(octets)["metadata"]
    return _encode({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
