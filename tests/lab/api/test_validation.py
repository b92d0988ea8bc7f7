"""What the embedded API makes of good and bad objects, against the kept answers of a real API server."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from headlessdns.lab.api import crd
from headlessdns.lab.api.typed import wrong_type
from headlessdns.lab.api.validation import default
from tests.lab.api import golden
from tests.lab.api.asking import Asking
from tests.lab.api.type_rows import ROWS as TYPE_ROWS
from tests.lab.api.validation_rows import ROWS, Row

Json = dict[str, Any]

ROOT = Path(__file__).parents[3]
DEFINITION: Json = yaml.safe_load((ROOT / "deploy" / "crd" / "ordinalsets.yaml").read_text())
SCHEMA: Json = DEFINITION["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

ANSWERS = golden.read("validation")


def brought_in(manifest: Json) -> Json:
    """Return the object as the API has it before it is stored."""
    resource, done = golden.resource_of(manifest), copy.deepcopy(manifest)
    if resource.namespaced:
        done["metadata"].setdefault("namespace", "default")
    else:
        done["metadata"].pop("namespace", None)
    default(resource, done)
    if resource.kind == "OrdinalSet":
        crd.default(SCHEMA, done)
    return done


def answer(row: Row) -> Json:
    """Return what the whole API says: what admission adds is a part of it, as the order of its checks is."""
    api, resource = Asking(), golden.resource_of(row.new)
    if resource.kind == "OrdinalSet":
        assert api.ask("POST", DEFINITIONS, DEFINITION)[0]
    path, new = resource.collection("default" if resource.namespaced else ""), copy.deepcopy(row.new)
    if row.old is None:
        granted, found = api.ask("POST", f"{path}?dryRun=All", new)
    else:
        granted, before = api.ask("POST", path, row.old)
        assert granted
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        granted, found = api.ask("PUT", f"{path}/{before['metadata']['name']}?dryRun=All", new)
    return {"object": golden.stored(found, row.new)} if granted else golden.refusal(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_an_object_is_defaulted_or_refused_as_a_real_api_server_does(row: Row) -> None:
    """The stored object, or every cause and the message, is what a real API server answered."""
    assert answer(row) == ANSWERS[row.id]


TYPES = golden.read("types")


@pytest.mark.parametrize("name", TYPE_ROWS)
def test_a_value_of_a_wrong_type_is_refused_as_a_real_api_server_does(name: str) -> None:
    """The message is what a real API server answered with 400."""
    manifest = TYPE_ROWS[name]
    message = wrong_type(golden.resource_of(manifest), manifest)
    assert {"code": 400, "message": message, "reason": "BadRequest"} == TYPES[name]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_what_is_refused_for_other_reasons_has_no_wrong_type(row: Row) -> None:
    """Objects that can be read, good or bad, have no value of a wrong type."""
    assert wrong_type(golden.resource_of(row.new), row.new) == ""


@pytest.mark.parametrize("row", [row for row in ROWS if "object" in ANSWERS[row.id]], ids=lambda row: row.id)
def test_defaults_change_nothing_the_second_time(row: Row) -> None:
    """An object that has its defaults stays as it is."""
    once = brought_in(row.new)
    twice = copy.deepcopy(once)
    default(golden.resource_of(row.new), twice)
    assert twice == once
