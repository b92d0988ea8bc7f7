"""What a scenario has led to, without all that cannot be equal on two clusters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.reconcile.stage import Play

Json = dict[str, Any]

_OURS_ONLY = ("conditions",)  # the reference sets none
_EVENTS_OURS_ONLY = ("GoverningServiceMissing", "NameConflict")  # warnings that the reference does not give
_COMBINED = "(combined from similar events): "  # client-go says so from the tenth on, and drops their messages
_CONFLICT = "the object has been modified"  # the reference tells of those, and whether they come is chance
# With claims that are to be deleted it tells of the conflict over a claim in place of the Pod's creation.
_IN_PLACE_OF_A_CREATION = re.compile(r"Update (Pod \S+ in StatefulSet \S+) failed error: .*" + _CONFLICT)
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "deletionTimestamp")


def _metadata(item: Json, names: dict[str, str]) -> Json:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _OF_THE_SERVER}
    owners = metadata.pop("ownerReferences", None)
    if owners is not None:
        metadata["ownerReferences"] = [
            {**owner, "uid": names.get(owner["uid"], "of another object")} for owner in owners
        ]
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {
        key: value for key, value in annotations.items() if not key.startswith("pv.kubernetes.io")
    }
    return metadata


def _pod(item: Json, names: dict[str, str]) -> Json:
    spec = {key: value for key, value in item["spec"].items() if key != "nodeName"}
    spec["volumes"] = [
        volume for volume in spec.get("volumes") or () if not volume["name"].startswith("kube-api-access-")
    ]
    return {"metadata": _metadata(item, names), "spec": spec, "phase": item["status"].get("phase")}


def _claim(item: Json, names: dict[str, str]) -> Json:
    spec = {key: value for key, value in item["spec"].items() if key != "volumeName"}
    return {"metadata": _metadata(item, names), "spec": spec}


def _revision(item: Json, names: dict[str, str]) -> Json:
    return {"metadata": _metadata(item, names), "data": item["data"], "revision": item["revision"]}


def _status(item: Json) -> Json:
    return {key: value for key, value in item.get("status", {}).items() if key not in _OURS_ONLY and value != 0}


def of(play: Play, *, with_events: bool = True) -> Json:
    """Return what there is at the end: pods, claims, revisions, statuses, and the events that were written."""
    sets = play.all("statefulsets")
    pods = play.all("pods")
    names = {item["metadata"]["uid"]: f"{item['kind']} {item['metadata']['name']}" for item in _with_kind(sets, pods)}
    outcome: Json = {
        "statuses": {item["metadata"]["name"]: _status(item) for item in sets},
        "pods": {item["metadata"]["name"]: _pod(item, names) for item in pods},
        "claims": {item["metadata"]["name"]: _claim(item, names) for item in play.all("persistentvolumeclaims")},
        "revisions": {item["metadata"]["name"]: _revision(item, names) for item in play.all("controllerrevisions")},
    }
    if with_events:
        outcome["events"] = _events(play)
    return outcome


def _events(play: Play) -> list[tuple[str, str, str]]:
    """Return type, reason and message of the events about sets."""
    found = set()
    for item in play.all("events"):
        if item["involvedObject"]["kind"] != "StatefulSet" or item["reason"] in _EVENTS_OURS_ONLY:
            continue
        if creation := _IN_PLACE_OF_A_CREATION.match(item["message"]):
            found.add(("Normal", "SuccessfulCreate", f"Create {creation[1]} successful"))
        elif _CONFLICT not in item["message"]:
            found.add((item["type"], item["reason"], _plain(item["message"], play.namespace)))
    return sorted(found)


def comparable(one: Json, other: Json) -> tuple[Json, Json]:
    """Return both outcomes; of events only types and reasons where one side has combined their messages."""
    if any(_COMBINED in message for outcome in (one, other) for _, _, message in outcome["events"]):
        kinds = [{"events": sorted({event[:2] for event in outcome["events"]})} for outcome in (one, other)]
        return {**one, **kinds[0]}, {**other, **kinds[1]}
    return one, other


def _with_kind(sets: list[Json], pods: list[Json]) -> list[Json]:
    return [{**item, "kind": "StatefulSet"} for item in sets] + [{**item, "kind": "Pod"} for item in pods]


def _plain(message: str, namespace: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID", message.replace(namespace, "NAMESPACE"))
