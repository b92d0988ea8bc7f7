"""Manifests into an API, as ``kubectl apply`` does it, with every fault of every object. I/O: through the client.

What is new is created as kubectl creates it, so that a later ``kubectl apply`` of the same file, changed, finds what it
compares with. What is there already, in a lab whose state was kept, is applied by the server, after the fields that
kubectl had set were made its own: else what was taken out of a manifest would stay.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from headlessdns.cluster.answer import Answer
from headlessdns.cluster.documents import Raw
from headlessdns.errors import Fault, ManifestError
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import APPLY_PATCH
from headlessdns.lab.api.typed import wrong_value
from headlessdns.lab.kubelet import Api

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl-client-side-apply"
DEFAULT_NAMESPACE = "default"
_DEFINITION = "CustomResourceDefinition"
_FIRST = ("Namespace", _DEFINITION)  # what others need is applied before them
_QUERY = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
_CONFLICT_ATTEMPTS = 5

Path = tuple[str | int, ...]


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
        resources: What the API serves; looked at again after definitions of more.

    Raises:
        ManifestError: With every fault; what is right is there all the same.
        ClusterError: The API server does not answer.
    """
    applied = Applied([], [], Counter())
    served: dict[tuple[str, str], Resource] = {}
    faults: list[Fault] = []
    for raw in sorted(objects, key=lambda raw: _rank(raw.value["kind"])):
        version, kind = raw.value["apiVersion"], raw.value["kind"]
        if (version, kind) not in served:
            served = {(one.group_version, one.kind): one for one in resources}
        resource = served.get((version, kind))
        if resource is not None:
            faults += await _apply_one(api, raw, resource, applied)
        elif other := _other_version(served, version, kind):
            faults.append(Fault(raw.place.where(("apiVersion",)), version, other, f"write `apiVersion: {other}`"))
        elif right := _other_spelling(served, kind):
            faults.append(Fault(raw.place.where(("kind",)), kind, right, f"write `kind: {right}`"))
        else:
            applied.skipped[kind] += 1
    if faults:
        raise ManifestError(faults)
    return applied


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _other_spelling(served: Iterable[tuple[str, str]], kind: str) -> str:
    """Return the kind that differs from *kind* in the case of letters only; empty where there is none."""
    return next((known for _, known in served if known.lower() == kind.lower() and known != kind), "")


def _other_version(served: Iterable[tuple[str, str]], version: str, kind: str) -> str:
    """Return what to write instead of *version*: of its group, or of the one that took the kind over; else nothing."""
    others = sorted(one for one, its_kind in served if its_kind == kind)
    group = version.rpartition("/")[0]
    same = [one for one in others if one.rpartition("/")[0] == group]
    was_moved = "." not in group or group.endswith(".k8s.io")  # others may have a kind of the same name
    return next(iter(same or (others if was_moved else ())), "")


async def _apply_one(api: Api, raw: Raw, resource: Resource, applied: Applied) -> list[Fault]:
    metadata = raw.value.get("metadata")
    if not isinstance(metadata, dict):
        found = "nothing" if metadata is None else "something else"
        return [Fault(raw.place.where(("metadata",)), found, "a mapping with the object's name", "write it")]
    name, namespace = metadata.get("name"), metadata.get("namespace") or DEFAULT_NAMESPACE
    if not isinstance(name, str) or not name:
        found = "nothing" if name in (None, "") else f"{_word_for(name)} {msgspec.json.encode(name).decode()}"
        remedy = "write it" if found == "nothing" else "put it in quotes"
        return [Fault(raw.place.where(("metadata", "name")), found, "the object's name", remedy)]
    path = f"/apis/{resource.group_version}" if resource.group else f"/api/{resource.group_version}"
    body = raw.value
    if resource.namespaced:
        body = {**body, "metadata": {**metadata, "namespace": namespace}}
        path += f"/namespaces/{namespace}"
    path += f"/{resource.plural}"
    body = _with_last_applied(body)
    answer = await api.request("POST", path, body, query=_QUERY)
    made = applied.created
    if answer.status == 409 and _reason(answer) == "AlreadyExists":
        answer = await _apply_again(api, f"{path}/{name}", body)
        made = applied.configured
    if answer.status < 300:
        made.append(f"{resource.singular}/{name}")
        return []
    return list(_faults(answer, raw, resource))


async def _apply_again(api: Api, path: str, body: Json) -> Answer:
    for _ in range(_CONFLICT_ATTEMPTS):
        answer = await api.request("GET", path)
        if answer.status >= 300:
            return answer
        live = msgspec.json.decode(answer.body)
        fields = _taken_over(live["metadata"].get("managedFields") or [])
        if fields is not None:
            live["metadata"]["managedFields"] = fields
            answer = await api.request("PUT", path, live, query={"fieldManager": MANAGER})
            if answer.status == 409:
                continue
            if answer.status >= 300:
                return answer
        answer = await api.request("PATCH", path, body, query={**_QUERY, "force": "true"}, content_type=APPLY_PATCH)
        if answer.status != 409:
            return answer
    return answer


def _taken_over(entries: Sequence[Json]) -> list[Json] | None:
    """Return managedFields in which what kubectl wrote is what it applied; None where that is so already."""
    theirs = [one for one in entries if one.get("manager") == MANAGER and not one.get("subresource")]
    written = [one for one in theirs if one.get("operation") == "Update"]
    if not written:
        return None
    fields: Json = {}
    for one in theirs:
        _merge(fields, one.get("fieldsV1") or {})
    others = [one for one in entries if one not in theirs]
    return [*others, {**written[0], "operation": "Apply", "fieldsV1": fields}]


def _merge(into: Json, fields: Json) -> None:
    for key, below in fields.items():
        _merge(into.setdefault(key, {}), below)


def _with_last_applied(value: Json) -> Json:
    """Return *value* with the annotation that kubectl writes: all of it but that annotation, keys in order."""
    metadata = value["metadata"]
    annotations = metadata.get("annotations")
    if annotations is not None and not isinstance(annotations, dict):
        return value  # which the API refuses
    plain = {key: text for key, text in (annotations or {}).items() if key != LAST_APPLIED}
    octets = msgspec.json.encode({**value, "metadata": {**metadata, "annotations": plain}}, order="sorted")
    text = octets.decode().translate(_AS_GO_HAS_IT)
    return {**value, "metadata": {**metadata, "annotations": {**plain, LAST_APPLIED: text + "\n"}}}


_AS_GO_HAS_IT = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})  # they stand in strings only


# Faults

_UNKNOWN = re.compile(r'(unknown|duplicate) field "([^"]+)"')
_NO_NAMESPACE = re.compile(r'namespaces "([^"]+)" not found')
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


def _faults(answer: Answer, raw: Raw, resource: Resource) -> Iterator[Fault]:
    """Yield what is wrong, each at its line."""
    message, expected = _message(answer), f"a {resource.kind} that the API takes"
    if found := _UNKNOWN.findall(message):
        for word, field in found:
            remedy = f"correct its name, or take it out; see: kubectl explain {resource.singular} --recursive"
            yield Fault(
                raw.place.where(_path(field)), f"{_AN[word]} {word} field", f"a field of a {resource.kind}", remedy
            )
    elif wrong := wrong_value(resource, copy.deepcopy(raw.value)):
        text = msgspec.json.encode(wrong.value).decode()
        shown = f"{_word_for(wrong.value)} {text}" if len(text) <= _SHOWN_MAX else _JSON_TYPES.get(text[0], "a number")
        is_bare = wrong.wanted.form == "string" and isinstance(wrong.value, int | float)
        remedy = "put it in quotes" if is_bare else "correct it"
        yield Fault(raw.place.where(wrong.steps), shown, _WANTED.get(wrong.wanted.form, "something else"), remedy)
    elif match := _NO_NAMESPACE.search(message):
        remedy = "correct it, or add a Namespace to the manifests"
        yield Fault(raw.place.where(("metadata", "namespace")), match[1], "a namespace that is there", remedy)
    elif causes := [one for one in _details(answer).get("causes") or () if one.get("field")]:
        for cause in causes:
            yield Fault(raw.place.where(_path(cause["field"])), str(cause.get("message")), expected, "correct it")
    else:
        yield Fault(raw.place.where(()), message, expected, "correct the manifest")


_AN = {"unknown": "an", "duplicate": "a"}
_SHOWN_MAX = 60
_JSON_TYPES = {"{": "an object", "[": "a list", '"': "another text"}
_WANTED = {
    "struct": "an object",
    "map": "an object",
    "list": "a list",
    "string": "text",
    "bool": "true or false",
    "int32": "a whole number",
    "int64": "a whole number",
    "float64": "a number",
    "int-or-string": "a whole number, or text",
    "quantity": "a quantity, such as 500m, 2 or 1Gi",
    "bytes": "octets in base64",
    "time": "a time, such as 2026-01-02T03:04:05Z",
    "micro": "a time in microseconds, such as 2026-01-02T03:04:05.678901Z",
}


def _path(field: str) -> Path:
    """Return ``spec.ports[0].name`` as the steps that it has."""
    steps = ((match[1], match[2]) for match in _STEP.finditer(field))
    return tuple(plain or (int(index) if index.isdecimal() else index) for index, plain in steps)


def _word_for(value: object) -> str:
    if isinstance(value, bool):
        return "the truth value"
    return "the number" if isinstance(value, int | float) else "the value"


def _status(answer: Answer) -> Json:
    try:
        body: Any = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _reason(answer: Answer) -> str:
    return str(_status(answer).get("reason"))


def _details(answer: Answer) -> Json:
    return _status(answer).get("details") or {}


def _message(answer: Answer) -> str:
    return str(_status(answer).get("message") or f"HTTP {answer.status}").removesuffix("\n")
