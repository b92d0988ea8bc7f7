"""What a real API server answered: ``validation.json``, ``patches.json`` and ``applies.json``."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from headlessdns.lab.api.kinds import RESOURCES, Resource

Json = dict[str, Any]

FOLDER = Path(__file__).parent

# What differs from one server and one moment to another.
NOISE = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
# Admission protects claims and volumes, and taints nodes; the controllers that undo this are not in a lab.
PROTECTIONS = (["kubernetes.io/pvc-protection"], ["kubernetes.io/pv-protection"])
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
# What a dry run shows for an address that is to be given out: it is the same each time, as its node ports are.
DRY_ADDRESSES = ("10.96.0.0", "fd00:96::")
GIVEN = "<given>"
NODE_PORTS = range(30_086, 32_768)  # those that are given out; smaller ones are asked for


def read(name: str) -> dict[str, Json]:
    found: dict[str, Json] = json.loads((FOLDER / f"{name}.json").read_text())
    return {row: in_order(answer) for row, answer in found.items()}


def write(name: str, answers: dict[str, Json]) -> None:
    """Keep *answers*, one row a line."""
    rows = ",\n".join(f"{json.dumps(row)}: {json.dumps(answer)}" for row, answer in answers.items())
    (FOLDER / f"{name}.json").write_text(f"{{\n{rows}\n}}\n")


def resource_of(manifest: Json) -> Resource:
    group, _, version = manifest["apiVersion"].rpartition("/")
    if manifest["kind"] == "OrdinalSet":
        return Resource(group, version, "OrdinalSet", "ordinalsets", "ordinalset", subresources=frozenset({"status"}))
    return next(each for each in RESOURCES if (each.group, each.kind) == (group, manifest["kind"]))


def stored(answer: Json, sent: Json) -> Json:
    """Return an object without what no two answers to *sent* have in common."""
    done = copy.deepcopy(answer)
    metadata = done["metadata"]
    for field in NOISE:
        metadata.pop(field, None)
    if "namespace" in metadata:
        metadata["namespace"] = "default"
    if "generateName" in metadata:
        metadata.pop("name", None)
    if metadata.get("finalizers") in PROTECTIONS:
        del metadata["finalizers"]
    if done["kind"] == "Node" and done["spec"].get("taints") == [NOT_READY]:
        del done["spec"]["taints"]
    if done["kind"] == "PersistentVolume":
        done["status"].pop("lastPhaseTransitionTime", None)
    if done["kind"] == "Service":
        hide_given(done["spec"], sent["spec"])
    return done


def hide_given(spec: Json, asked: Json) -> None:
    """Write what a Service was given without asking for it as ``<given>``, in place."""
    known = {"None", *DRY_ADDRESSES, asked.get("clusterIP"), *asked.get("clusterIPs", ())}
    if "clusterIPs" in spec:
        spec["clusterIPs"] = [one if one in known else GIVEN for one in spec["clusterIPs"]]
        spec["clusterIP"] = spec["clusterIP"] if spec["clusterIP"] in known else GIVEN
    if spec.get("healthCheckNodePort") in NODE_PORTS:
        spec["healthCheckNodePort"] = GIVEN
    for port in spec.get("ports", ()):
        if port.get("nodePort") in NODE_PORTS:
            port["nodePort"] = GIVEN


def refusal(status: Json) -> Json:
    """Return what counts of a Status; differences in the notation of Go, which come after a line's end, do not."""
    done: Json = {"code": status["code"], "message": without_difference(status["message"])}
    if status.get("reason"):
        done["reason"] = status["reason"]
    causes = (status.get("details") or {}).get("causes")
    if causes:
        done["causes"] = [{**each, "message": without_difference(each["message"])} for each in causes]
    if done["code"] == 409:  # managers come in any order
        done["causes"].sort(key=lambda cause: (cause["field"], cause["message"]))
    return in_order(done)


def in_order(answer: Json) -> Json:
    """Return a refusal of a custom resource with its causes in order, an object as it is: schemas are walked in any."""
    message, found, _ = answer.get("message", "").partition(" is invalid: [")
    if not (found and message.startswith("OrdinalSet.")):
        return answer
    causes = sorted(answer["causes"], key=lambda cause: (cause["field"], cause["message"]))
    texts = [f"{cause['field']}: {cause['message']}" for cause in causes]
    return {**answer, "causes": causes, "message": f"{message} is invalid: [{', '.join(texts)}]"}


def without_difference(message: str) -> str:
    known = ("negative)\n", "bound claims\n", "after creation\n")
    for mark in known:
        before, found, _ = message.partition(mark)
        if found:
            return before + mark
    return message


def with_managers(answer: Json, sent: Json) -> Json:
    """Return an object with its managers, whose times and whose order by time no two answers have in common."""
    managers = answer["metadata"].get("managedFields", [])
    done = stored(answer, sent)
    entries = [{field: value for field, value in entry.items() if field != "time"} for entry in managers]
    done["metadata"]["managedFields"] = sorted(
        entries, key=lambda entry: (entry["operation"], entry["manager"], entry.get("subresource", ""))
    )
    return done
