"""Manifests into an API, as ``kubectl apply`` does it, with every fault of every object. I/O: through the client.

What is new is created as kubectl creates it, so that a later ``kubectl apply`` of the same file, changed, finds what it
compares with; what is there already, in a lab whose state was kept, is applied by the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headlessdns.cluster.client import Answer
from headlessdns.cluster.documents import Raw
from headlessdns.errors import Fault, ManifestError
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import APPLY_PATCH
from headlessdns.lab.kubelet import Api

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl-client-side-apply"
DEFAULT_NAMESPACE = "default"
_FIRST = ("Namespace", "CustomResourceDefinition")  # what others need is applied before them


class Applied(NamedTuple):
    """What became of manifests.

    Attributes:
        created: Objects that were made.
        configured: Objects that were there.
        skipped: How many of kinds that the lab does not have, by kind.
    """

    created: list[str]
    configured: list[str]
    skipped: Counter[str]


async def apply(api: Api, objects: Sequence[Raw], resources: Iterable[Resource]) -> Applied:
    """Apply *objects*.

    Args:
        api: The API server.
        objects: As the files have them.
        resources: What the API serves.

    Raises:
        ManifestError: With every fault; what is right is there all the same.
        ClusterError: The API server does not answer.
    """
    applied = Applied([], [], Counter())
    served = {(one.group_version, one.kind): one for one in resources}
    faults: list[Fault] = []
    for raw in sorted(objects, key=lambda raw: _rank(raw.value["kind"])):
        resource = served.get((raw.value["apiVersion"], raw.value["kind"]))
        if resource is None:
            others = sorted(version for version, kind in served if kind == raw.value["kind"])
            if others:
                remedy = f"write `apiVersion: {others[0]}`"
                faults.append(Fault(raw.place.where(("apiVersion",)), raw.value["apiVersion"], others[0], remedy))
            else:
                applied.skipped[raw.value["kind"]] += 1
            continue
        faults += await _apply_one(api, raw, resource, applied)
    if faults:
        raise ManifestError(faults)
    return applied


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


async def _apply_one(api: Api, raw: Raw, resource: Resource, applied: Applied) -> list[Fault]:
    value, where = raw.value, raw.place.where(())
    given = value.get("metadata")
    metadata: Json = dict(given) if isinstance(given, dict) else {}
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        return [Fault(raw.place.where(("metadata", "name")), "nothing", "the object's name", "write it")]
    path = f"/apis/{resource.group_version}" if resource.group else f"/api/{resource.group_version}"
    if resource.namespaced:
        metadata.setdefault("namespace", DEFAULT_NAMESPACE)
        path += f"/namespaces/{metadata['namespace']}"
    path += f"/{resource.plural}"
    wanted = {**value, "metadata": metadata}
    wanted.pop("status", None)
    annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: _last_applied(wanted)}
    body = {**value, "metadata": {**metadata, "annotations": annotations}}
    shown = f"{resource.singular}/{name}"
    answer = await api.request("POST", path, body, query={"fieldManager": MANAGER, "fieldValidation": "Strict"})
    if answer.status == 409:
        query = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
        answer = await api.request("PATCH", f"{path}/{name}", body, query=query, content_type=APPLY_PATCH)
        if answer.status < 300:
            applied.configured.append(shown)
            return []
    if answer.status < 300:
        applied.created.append(shown)
        return []
    return [Fault(where, _message(answer), f"a {resource.kind} that the API takes", "correct the manifest")]


def _last_applied(value: Json) -> str:
    """Return what kubectl writes: the manifest without that annotation itself, keys in order, and a line's end."""
    metadata = value["metadata"]
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    plain = {**value, "metadata": {**metadata, "annotations": annotations}}
    return msgspec.json.encode(plain, order="sorted").decode() + "\n"


def _message(answer: Answer) -> str:
    try:
        body: Any = msgspec.json.decode(answer.body)
        return str(body["message"]).removesuffix("\n")
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"HTTP {answer.status}"
