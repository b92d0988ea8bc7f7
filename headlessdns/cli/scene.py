"""Sets, and what is there of them, from files: the stage of ``headlessdns plan``. I/O: reads files and standard input.

A set that is to be applied mostly comes without what the API server would add: its UID and its status are taken from
the set as it is, where that is among the files, or else from the owner references of its pods.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headlessdns.cluster import documents
from headlessdns.cluster.documents import Raw
from headlessdns.controller import model, validate
from headlessdns.controller.model import REVISION_LABEL, Json, Metadata, Pod, SetKey, SetKind
from headlessdns.controller.observed import Service
from headlessdns.controller.simulate import CLAIM, POD, REVISION, SET_KINDS, World
from headlessdns.errors import Fault, ManifestError

STANDARD_INPUT = "-"
_SERVICE = "Service"


def _read_service(raw: Json) -> Service:
    return msgspec.convert(raw, Service)


def _read_pod(raw: Json) -> Pod:
    """Return the pod that *raw* describes; raises ValueError where a time of it is none, or a claim has no name."""
    pod = model.read_pod(raw)
    metadata, status = pod.metadata, pod.status
    times = [metadata.creation_timestamp, metadata.deletion_timestamp, status.start_time]
    for text in (*times, *(condition.last_transition_time for condition in status.conditions or ())):
        if text:
            model.read_time(text)
    claims = [volume.persistent_volume_claim for volume in pod.spec.volumes or ()]
    if any(claim is not None and not claim.claim_name for claim in claims):
        raise ValueError("a volume has a persistentVolumeClaim without claimName")
    return pod


_READERS: dict[str, Callable[[Json], Any]] = {
    POD: _read_pod,
    CLAIM: model.read_claim,
    REVISION: model.read_revision,
    _SERVICE: _read_service,
}
_GROUPS = {
    POD: "v1",
    CLAIM: "v1",
    _SERVICE: "v1",
    REVISION: "apps/v1",
    **{kind.value: kind.api_version for kind in SetKind},
}


class Scene(NamedTuple):
    """What is on the stage.

    Attributes:
        keys: The sets to plan for, in the order of the files.
        worlds: What is there, by namespace.
        services: Services by namespace and name; None where no file has any, so that nothing is known of them.
    """

    keys: list[SetKey]
    worlds: dict[str, World]
    services: dict[tuple[str, str], Service] | None


def read(wanted: Sequence[str], there: Sequence[str], namespace: str, now_s: float) -> Scene:
    """Return what the files hold.

    Args:
        wanted: Files with the sets as they are to be; `-` is standard input.
        there: Files with what is there, sets as they are included.
        namespace: Of objects that do not say theirs.
        now_s: Unix time.

    Raises:
        ManifestError: With every fault of every file.
    """
    faults: list[Fault] = []
    new = [raw for path in wanted for raw in _objects(path, namespace, faults)]
    old = [raw for path in there for raw in _objects(path, namespace, faults)]
    faults += _faults_of(new, is_new=True)
    faults += _faults_of(old, is_new=False)
    faults += _twice(new, old)
    sets = [raw for raw in new if raw.value["kind"] in SET_KINDS]
    if not sets and not faults:
        expected = "a StatefulSet or an OrdinalSet"
        faults.append(Fault(", ".join(wanted), "no set", expected, "name the file that holds it with -f"))
    if faults:
        raise ManifestError(faults)
    return _build(sets, [raw.value for raw in (*new, *old) if raw not in sets], now_s)


# Files


def _objects(path: str, namespace: str, faults: list[Fault]) -> Iterator[Raw]:
    """Yield the objects in the file *path* that a plan depends on; their metadata have a namespace."""
    try:
        octets = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
    except OSError as error:
        faults.append(Fault(path, str(error.strerror), "a file that can be read", "correct the path"))
        return
    name = "standard input" if path == STANDARD_INPUT else path
    is_json = path.endswith(".json") or (path == STANDARD_INPUT and octets.lstrip()[:1] == b"{")
    found, broken = documents.decode_raw(octets, name, is_json=is_json)
    faults += broken
    for raw in found:
        kind, group = raw.value["kind"], raw.value["apiVersion"]
        if _GROUPS.get(kind) != group:
            if kind in SET_KINDS:
                remedy = f"write `apiVersion: {_GROUPS[kind]}`"
                faults.append(Fault(raw.place.where(("apiVersion",)), group, _GROUPS[kind], remedy))
            continue
        metadata = raw.value.get("metadata")
        if isinstance(metadata, dict):
            raw.value["metadata"] = {**metadata, "namespace": metadata.get("namespace") or namespace}
        yield raw


def _path(where: str) -> tuple[str | int, ...]:
    """Return the steps of a path such as ``spec.template.spec.containers[0].name``."""
    return tuple(int(index) if index.isdigit() else index or name for index, name in _STEP.findall(where))


_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


def _faults_of(objects: Sequence[Raw], *, is_new: bool) -> Iterator[Fault]:
    for raw in objects:
        value, place = raw
        if value["kind"] in SET_KINDS:
            # What the API server has let in is not judged again.
            for fault in validate.faults(value) if is_new else _metadata_faults(value):
                path = tuple(
                    int(index) if index.isdigit() else index or name for index, name in _STEP.findall(fault.where)
                )
                yield Fault(place.where(path), fault.found, fault.expected, fault.remedy)
            continue
        try:
            _READERS[value["kind"]](value)
        except ValueError as error:  # a msgspec.ValidationError is one
            expected = f"a {value['kind']} as the API server shows it"
            yield Fault(
                place.where(),
                f"a field that does not fit: {error}",
                expected,
                "see `kubectl explain` for the form of this field",
            )


def _metadata_faults(value: Json) -> list[Fault]:
    if isinstance(value.get("metadata"), dict) and isinstance(value["metadata"].get("name"), str):
        return [] if isinstance(value.get("spec"), dict) else [Fault("spec", "nothing", "a mapping", "write it")]
    return [Fault("metadata.name", "nothing", "a name", "write it")]


def _twice(new: Sequence[Raw], old: Sequence[Raw]) -> Iterator[Fault]:
    """Yield a fault for each object that is there twice; a set may be there as it is and as it is to be."""
    seen: dict[tuple[bool, str, str, str], str] = {}
    for is_old, objects in ((False, new), (True, old)):
        for value, place in objects:
            metadata, kind = value.get("metadata"), value["kind"]
            if not isinstance(metadata, dict) or not metadata.get("name"):
                continue
            key = (is_old and kind in SET_KINDS, kind, str(metadata["namespace"]), str(metadata["name"]))
            if key in seen:
                what = f"{kind} {key[2]}/{key[3]}, which is in {seen[key]} as well"
                yield Fault(place.where(), what, "each object once", "keep one of the two")
            seen.setdefault(key, place.where())


# The stage


def _build(sets: Sequence[Raw], others: Sequence[Json], now_s: float) -> Scene:
    keys = [_key(raw.value) for raw in sets]
    worlds = {namespace: World((), now_s, namespace) for namespace in dict.fromkeys(key.namespace for key in keys)}
    services = {_place(value): _read_service(value) for value in others if value["kind"] == _SERVICE}
    there = [value for value in others if value["kind"] in (POD, CLAIM, REVISION)]
    as_it_is = {_key(value): value for value in others if value["kind"] in SET_KINDS}
    for key, raw in zip(keys, sets, strict=True):
        world = worlds[key.namespace]
        if key in as_it_is:
            world.put(as_it_is[key])
        world.put(_completed(key, raw.value, there, is_known=key in as_it_is))
    for value in there:
        namespace = value["metadata"]["namespace"]
        if namespace in worlds:
            _stand_in(worlds[namespace], value)
            is_data = value["kind"] == REVISION  # there null is not the same as nothing
            worlds[namespace].put({"spec": {}, **(value if is_data else _without_nulls(value))})
    has_services = any(value["kind"] == _SERVICE for value in others)
    return Scene(keys, worlds, services if has_services else None)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _stand_in(world: World, value: Json) -> None:
    """Put the set that owns an object on the stage where it is not, or else the object would be garbage there."""
    owner = _metadata(value).controller()
    if owner is not None and owner.kind in SET_KINDS and world.get(owner.kind, owner.name) is None:
        world.put({"kind": owner.kind, "metadata": {"name": owner.name, "uid": owner.uid}, "spec": {}})


def _key(value: Json) -> SetKey:
    return SetKey(SetKind(value["kind"]), *_place(value))


def _place(value: Json) -> tuple[str, str]:
    return value["metadata"]["namespace"], value["metadata"]["name"]


def _metadata(value: Json) -> Metadata:
    return msgspec.convert(value["metadata"], Metadata)


def _completed(key: SetKey, value: Json, there: Sequence[Json], *, is_known: bool) -> Json:
    """Return a set with its defaults, and with the UID and the revision that its pods say it has."""
    done = validate.with_defaults(value)
    if is_known:
        return done
    owned = [one for one in there if one["metadata"]["namespace"] == key.namespace and _is_owned(one, key)]
    uids = Counter(owner.uid for one in owned if (owner := _metadata(one).controller()) is not None)
    if uids and "uid" not in done["metadata"]:
        done["metadata"]["uid"] = uids.most_common(1)[0][0]
    current = _current_revision(owned)
    if current and not done.get("status"):
        done["status"] = {"currentRevision": current}
    return done


def _is_owned(value: Json, key: SetKey) -> bool:
    owner = _metadata(value).controller()
    return owner is not None and (owner.kind, owner.name) == (key.kind.value, key.name)


def _current_revision(owned: Sequence[Json]) -> str:
    """Return the revision that a rollout, if there is one, leaves: the oldest that a pod has."""
    names = Counter((_metadata(one).labels or {}).get(REVISION_LABEL, "") for one in owned if one["kind"] == POD)
    numbers = {one["metadata"]["name"]: model.read_revision(one).revision for one in owned if one["kind"] == REVISION}
    known = [name for name in names if name in numbers]
    if known:
        return min(known, key=lambda name: numbers[name])
    return names.most_common(1)[0][0] if names else ""
