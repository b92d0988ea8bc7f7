from __future__ import annotations

import json
import random
from typing import Any

import pytest

from headlessdns.lab.api import notices
from headlessdns.lab.api.kinds import RESOURCES
from headlessdns.lab.api.messages import Answer, Request
from headlessdns.lab.api.server import Api
from headlessdns.lab.api.watching import Watch

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def told(path: str, body: Any, **query: str) -> tuple[str, ...]:
    text = body if isinstance(body, str) else json.dumps(body)
    answer = Api(rng=random.Random(1)).handle(Request("POST", path, query, text.encode(), "application/json"))
    assert isinstance(answer, Answer)
    assert answer.status == 201, answer.body
    return answer.notices


def pod(**container: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b", **container}]}}


@pytest.mark.parametrize(
    ("path", "body", "query", "expected"),
    [
        pytest.param(
            CONFIG_MAPS,
            '{"metadata":{"name":"a","x":1},"data":{"a":"b","a":"c"},"wish":2}',
            {"fieldValidation": "Warn"},
            ('duplicate field "data.a"', 'unknown field "metadata.x"', 'unknown field "wish"'),
            id="fields that are sent twice or that nobody knows, where the request wants to be warned",
        ),
        pytest.param(
            CONFIG_MAPS,
            {"metadata": {"name": "a"}, "wish": 2},
            {"fieldValidation": "Ignore"},
            (),
            id="nothing of unknown fields where the request ignores them",
        ),
        pytest.param(
            "/api/v1/namespaces/default/endpoints",
            {"metadata": {"name": "a"}},
            {},
            ("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",),
            id="that Endpoints are deprecated",
        ),
        pytest.param(
            "/api/v1/namespaces/default/services",
            {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}], "externalName": "example.org"}},
            {},
            ('spec.externalName is ignored when spec.type is not "ExternalName"',),
            id="that an external name has no effect",
        ),
        pytest.param(
            "/api/v1/namespaces/default/pods",
            pod(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)"}]),
            {},
            ('spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',),
            id="that a variable hides another one, unless it is made of it",
        ),
        pytest.param(
            "/api/v1/namespaces/default/pods",
            pod(ports=[{"containerPort": 80}, {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]),
            {},
            ("spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",),
            id="that a port is there twice",
        ),
    ],
)
def test_what_is_told(path: str, body: Any, query: dict[str, str], expected: tuple[str, ...]) -> None:
    """An answer says in Warning headers what was done and is yet worth a thought."""
    assert told(path, body, **query) == expected


def test_the_next_answer_tells_nothing_of_the_last_one() -> None:
    """What was told belongs to one answer."""
    api = Api(rng=random.Random(1))
    first = api.handle(Request("GET", "/api/v1/endpoints"))
    second = api.handle(Request("GET", "/api/v1/pods"))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert [len(first.notices), len(second.notices)] == [1, 0]


def test_what_nothing_comes_of() -> None:
    """Whoever creates a Deployment is told that it will have no pods, and told once."""
    api = Api(rng=random.Random(1))
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}
    spec["template"]["spec"] = {"containers": [{"name": "c", "image": "i"}]}
    body = json.dumps({"metadata": {"name": "a"}, "spec": spec}).encode()
    path = "/apis/apps/v1/namespaces/default/deployments"
    api.handle(Request("POST", "/api/v1/namespaces", body=b'{"metadata": {"name": "default"}}'))
    made, replaced = api.handle(Request("POST", path, body=body)), api.handle(Request("PUT", f"{path}/a", body=body))
    assert isinstance(made, Answer)
    assert isinstance(replaced, Answer)
    assert (made.status, replaced.status) == (201, 200)
    assert list(made.notices) == ["a lab stores a Deployment and makes no pods of it; a StatefulSet has pods"]
    assert list(replaced.notices) == []


def test_header() -> None:
    """A header has code 299, no agent, and its text in quotes, on one line."""
    assert notices.header('unknown field "a\\b"\nx') == '299 - "unknown field \\"a\\\\b\\" x"'


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.kind)
def test_the_bookmark_of_a_table_has_the_row_of_an_object_without_anything(resource: Any) -> None:
    """A watch as a Table has one row in each bookmark, with as many cells as there are columns."""
    api = Api(rng=random.Random(1))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    query = {"watch": "true", "allowWatchBookmarks": "true"}
    stream = api.handle(Request("GET", resource.collection(), query, accept=accept))
    assert not isinstance(stream, Answer)
    watch: Watch = stream.watch
    event = json.loads(watch.bookmark())
    listed = api.handle(Request("GET", resource.collection(), accept=accept))
    assert isinstance(listed, Answer)
    columns = json.loads(listed.body)["columnDefinitions"]
    assert event["type"] == "BOOKMARK"
    assert [len(row["cells"]) for row in event["object"]["rows"]] == [len(columns)]
    assert event["object"]["rows"][0]["object"]["metadata"] == {"resourceVersion": str(api.store.version)}
