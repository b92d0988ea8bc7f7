"""Patches, against the kept results of a real API server."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from headlessdns.lab.api import crd
from headlessdns.lab.api.kinds import Resource
from headlessdns.lab.api.patch import PatchError, apply_patch
from headlessdns.lab.api.validation import default, status_of_invalid, validate
from tests.lab.api import golden
from tests.lab.api.asking import Asking
from tests.lab.api.patch_rows import ROWS, PatchRow
from tests.lab.api.test_validation import SCHEMA, brought_in

Json = dict[str, Any]

RESULTS = golden.read("patches")


def result_of_service(row: PatchRow) -> Json:
    """Return what the whole API says: what Services are given is a part of it."""
    api, path = Asking(), "/api/v1/namespaces/default/services"
    assert api.ask("POST", path, row.live)[0]
    granted, found = api.ask("PATCH", f"{path}/web?dryRun=All", row.patch, row.content_type)
    return {"object": golden.stored(found, row.live)} if granted else golden.refusal(found)


def result(row: PatchRow) -> Json:
    if row.live["kind"] == "Service":
        return result_of_service(row)
    resource, live = golden.resource_of(row.live), brought_in(row.live)
    before, patch = copy.deepcopy(live), copy.deepcopy(row.patch)
    try:
        done = apply_patch(row.content_type, live, row.patch, resource)
    except PatchError as error:
        found: Json = {"code": error.status, "message": error.message}
        return found | ({"reason": error.reason} if error.reason else {})
    finally:
        assert (live, row.patch) == (before, patch), "what was given is changed"
    default(resource, done)
    if resource.kind == "OrdinalSet":
        crd.default(SCHEMA, done)
    causes = validate(resource, done, live)
    if causes:
        return golden.refusal(status_of_invalid(resource, "web", causes))
    return {"object": golden.stored(done, row.live)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_patch_does_what_it_does_on_a_real_api_server(row: PatchRow) -> None:
    """The object afterwards, or the refusal, is what a real API server answered."""
    assert result(row) == RESULTS[row.id]


CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", "configmap")


def test_a_tilde_in_a_json_pointer_is_written_as_tilde_zero() -> None:
    """RFC 6901: ~1 is a slash and ~0 a tilde, and ~01 is ~1."""
    live = {"data": {"a~b": "1", "~1": "2", "/": "3"}}
    patch = [{"op": "remove", "path": "/data/a~0b"}, {"op": "remove", "path": "/data/~01"}]
    assert apply_patch("application/json-patch+json", live, patch, CONFIG_MAP) == {"data": {"/": "3"}}


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [(1, 1.0, True), (1, True, False), (0, False, False), ({"a": [1]}, {"a": [1]}, True), ([1, 2], [2, 1], False)],
)
def test_a_test_of_json_patch_compares_json(one: Any, other: Any, is_equal: bool) -> None:
    """Numbers are equal by value, and a bool is no number."""
    try:
        apply_patch(
            "application/json-patch+json", {"a": one}, [{"op": "test", "path": "/a", "value": other}], CONFIG_MAP
        )
        found = True
    except PatchError:
        found = False
    assert found is is_equal


def test_too_many_operations_are_refused() -> None:
    """A JSON Patch of more than 10,000 operations is too large."""
    patch = [{"op": "test", "path": "/a", "value": 1}] * 10_001
    with pytest.raises(PatchError, match="maximum operations in a JSON patch is 10000, got 10001") as caught:
        apply_patch("application/json-patch+json", {"a": 1}, patch, CONFIG_MAP)
    assert caught.value.status == 413


JSON_VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-2, 9)
    | strategies.sampled_from(["", "a", "/a", "-"]),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from(
                ["a", "env", "name", "$patch", "$retainKeys", "$setElementOrder/env", "op", "path"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(
    content_type=strategies.sampled_from(
        [f"application/{kind}+json" for kind in ("json-patch", "merge-patch", "strategic-merge-patch")]
    ),
    live=strategies.dictionaries(strategies.sampled_from(["a", "env", "name"]), JSON_VALUES),
    patch=JSON_VALUES,
)
def test_any_patch_gives_an_object_or_a_refusal(content_type: str, live: Json, patch: object) -> None:
    """Whatever is sent, the answer is an object or a refusal."""
    with contextlib.suppress(PatchError):
        assert isinstance(apply_patch(content_type, live, patch, CONFIG_MAP), dict)
