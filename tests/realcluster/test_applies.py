"""What is kept about who set which field is what a real API server says."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.lab.api import golden
from tests.lab.api.apply_rows import CREATE, TALKS, Step, Talk
from tests.realcluster.cluster import RealCluster
from tests.realcluster.golden import ask, check, collection_of, define_ordinal_sets, new_namespace

Json = dict[str, Any]


def test_every_kept_conversation_is_that_with_a_real_api_server(bare_cluster: RealCluster) -> None:
    """The conversations say what a real API server answers."""
    define_ordinal_sets(bare_cluster)
    namespace = new_namespace(bare_cluster, "applied")
    names = {talk.id: f"applied-{number}" for number, talk in enumerate(TALKS)}
    check("applies", {talk.id: answers(bare_cluster, namespace, talk, names[talk.id]) for talk in TALKS})


def answers(cluster: RealCluster, namespace: str, talk: Talk, name: str) -> Json:
    """Return what the API server says to each step; the object has a name of its own there."""
    first = talk.steps[0].body
    path = collection_of({**first, "apiVersion": first["apiVersion"].replace("v2", "v1")}, namespace)
    found = []
    for step in talk.steps:
        body = copy.deepcopy(step.body)
        if isinstance(body, dict) and "kind" in body:
            body["metadata"]["name"] = name
        granted, answer = ask(cluster, *request(step, path, name), body, content_type(step))
        answer = json.loads(json.dumps(answer).replace(name, "web"))
        if granted:
            found.append({"object": golden.with_managers(answer, first)})
        else:
            found.append(golden.refusal(answer))
    return {"answers": found}


def content_type(step: Step) -> str:
    return "application/json" if step.kind == CREATE else step.kind


def request(step: Step, path: str, name: str) -> tuple[str, str]:
    if step.kind == CREATE:
        return "POST", f"{path}?fieldManager={step.manager}"
    subresource = f"/{step.subresource}" if step.subresource else ""
    force = "&force=true" if step.force else ""
    return "PATCH", f"{path}/{name}{subresource}?fieldManager={step.manager}{force}"
