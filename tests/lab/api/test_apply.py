"""Server-side apply and the fields of managers, against the kept answers of a real API server."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headlessdns.lab.api import crd, managed
from headlessdns.lab.api.kinds import Resource
from headlessdns.lab.api.patch import PatchError, apply_patch
from headlessdns.lab.api.status import ApiError, invalid
from headlessdns.lab.api.validation import admit, default, validate
from tests.lab.api import golden
from tests.lab.api.apply_rows import APPLY, CREATE, TALKS, Step, Talk
from tests.lab.api.asking import Asking
from tests.lab.api.test_validation import SCHEMA

Json = dict[str, Any]

ANSWERS = golden.read("applies")
NOW = "2026-02-03T04:05:06Z"


class Api:
    """One object, written as the embedded API writes it."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.schema = SCHEMA if resource.kind == "OrdinalSet" else None
        self.object: Json | None = None

    def write(self, step: Step) -> Json:
        """Return what the API answers."""
        before = copy.deepcopy(self.object)
        try:
            after, conflicts = self.changed(step)
        except ApiError as error:
            return golden.refusal(error.document())
        except PatchError as error:
            reason = {"reason": error.reason} if error.reason else {}
            return {"code": error.status, "message": error.message, **reason}
        assert self.object == before, "what is stored is changed"
        if conflicts:
            return golden.refusal(managed.conflict_status(conflicts))
        self.object = after
        return {"object": golden.with_managers(after, after)}

    def changed(self, step: Step) -> tuple[Json, list[managed.Conflict]]:
        resource, live = self.resource, self.object
        if step.kind == APPLY:
            after, conflicts = managed.apply(
                live,
                step.body,
                step.manager,
                step.force,
                resource,
                NOW,
                subresource=step.subresource,
                schema=self.schema,
            )
            if not conflicts:
                after = self.settled(after, step)
            return after, conflicts
        if step.kind == CREATE:
            after = copy.deepcopy(step.body)
        else:
            assert live is not None
            after = apply_patch(step.kind, live, step.body, resource)
        after = self.settled(after, step)
        managed.track(live, after, step.manager, "Update", step.subresource, NOW, resource, schema=self.schema)
        if step.kind == CREATE:
            admit(resource, after)
        return after, []

    def settled(self, after: Json, step: Step) -> Json:
        """Return the object with its defaults, and what the subresource does not write as it was."""
        after["metadata"].setdefault("namespace", "default")
        if "status" in self.resource.subresources:
            kept = (self.object or {}).get("status")
            if step.subresource:
                after["spec"] = copy.deepcopy((self.object or {})["spec"])
            elif kept is not None:
                after["status"] = copy.deepcopy(kept)
        default(self.resource, after)
        if self.schema is not None:
            crd.default(self.schema, after)
        causes = validate(self.resource, after, self.object)
        if causes:
            raise invalid(self.resource, "web", causes)
        return after


class ServiceApi:
    """The whole API with one Service, for what Services are given without any manager."""

    def __init__(self, first: Json) -> None:
        self._api, self._first = Asking(), first

    def write(self, step: Step) -> Json:
        """Return what the API answers."""
        path, query = "/api/v1/namespaces/default/services", f"fieldManager={step.manager}"
        if step.kind == CREATE:
            granted, found = self._api.ask("POST", f"{path}?{query}", step.body)
        else:
            force = "&force=true" if step.force else ""
            subresource = f"/{step.subresource}" if step.subresource else ""
            granted, found = self._api.ask("PATCH", f"{path}/web{subresource}?{query}{force}", step.body, step.kind)
        return {"object": golden.with_managers(found, self._first)} if granted else golden.refusal(found)


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.id)
def test_fields_are_set_owned_and_refused_as_on_a_real_api_server(talk: Talk) -> None:
    """After every write the object and its managers, or the refusal, are what a real API server answered."""
    first = talk.steps[0].body
    resource = golden.resource_of({**first, "apiVersion": first["apiVersion"].replace("v2", "v1")})
    api = ServiceApi(first) if resource.kind == "Service" else Api(resource)
    for step, answer in zip(talk.steps, ANSWERS[talk.id]["answers"], strict=True):
        assert api.write(step) == answer
