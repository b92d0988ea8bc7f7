"""Conversations about who set which field; what a real API server says is kept in ``golden/applies.json``."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.lab.api.patch_rows import FULL, JSON_PATCH, MERGE_PATCH, STRATEGIC, container, operations, template
from tests.lab.api.validation_rows import HEADLESS, ORDINAL_SET, POD, SERVICE, SET, Json, merged, thing

CREATE = "create"
APPLY = "application/apply-patch+yaml"


class Step(NamedTuple):
    """One write: *kind* is `CREATE`, `APPLY` or the content type of another patch."""

    kind: str
    manager: str
    body: Any
    force: bool = False
    subresource: str = ""


class Talk(NamedTuple):
    """Writes to one object, one after the other. The id is unique and says what it is about."""

    id: str
    steps: tuple[Step, ...]


def apply(manager: str, body: Json, force: bool = False, subresource: str = "") -> Step:
    return Step(APPLY, manager, body, force, subresource)


def less(base: Json, *fields: str) -> Json:
    return {field: value for field, value in base.items() if field not in fields}


def with_spec(**spec: Any) -> Json:
    return merged(SET, {"spec": spec})


def only(base: Json, **fields: Any) -> Json:
    """Return the head of *base* with these fields alone."""
    return {"apiVersion": base["apiVersion"], "kind": base["kind"], "metadata": {"name": "web"}, **fields}


CONFIG = thing("ConfigMap", data={"a": "1", "b": "2"})
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CLIENT_SIDE = merged(SET, {"spec": {"replicas": 2}})
ANNOTATED = merged(CLIENT_SIDE, {"metadata": {"annotations": {LAST_APPLIED: json.dumps(CLIENT_SIDE) + "\n"}}})
SIDE = {"name": "side", "image": "busybox:1"}
OTHER_IMAGE = container(image="nginx:2")
LABELLED = merged(SET, {"metadata": {"labels": {"a": "1"}}})
NODE_SERVICE = merged(SERVICE, {"spec": {"type": "NodePort"}})
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": "0001"}

TALKS: tuple[Talk, ...] = (
    Talk(
        "an apply creates, changes and takes back",
        (
            apply("one", with_spec(replicas=2)),
            apply("one", with_spec(replicas=3)),
            apply("one", with_spec(replicas=3)),
            apply("one", SET),
        ),
    ),
    Talk("an apply of much", (apply("one", FULL), apply("one", with_spec(serviceName="web")))),
    Talk(
        "two managers want different numbers",
        (
            apply("one", with_spec(replicas=2)),
            apply("two", only(SET, spec={"replicas": 3})),
            apply("two", only(SET, spec={"replicas": 3}), force=True),
            apply("one", with_spec(replicas=2)),
            apply("one", SET),
        ),
    ),
    Talk(
        "two managers want the same",
        (
            apply("one", with_spec(replicas=2)),
            apply("two", only(SET, spec={"replicas": 2})),
            apply("one", SET),
            apply("two", only(SET)),
        ),
    ),
    Talk(
        "several conflicts with two managers",
        (
            apply("one", with_spec(replicas=2)),
            Step(STRATEGIC, "editor", OTHER_IMAGE),
            apply("two", merged(only(SET, spec={"replicas": 5}), container(image="nginx:3"))),
        ),
    ),
    Talk(
        "a change by hand is in the way",
        (
            apply("one", with_spec(replicas=2)),
            Step(MERGE_PATCH, "scaler", {"spec": {"replicas": 7}}),
            apply("one", with_spec(replicas=2)),
            apply("one", SET),
        ),
    ),
    Talk(
        "an apply over what was created",
        (
            Step(CREATE, "maker", with_spec(replicas=2)),
            apply("one", with_spec(replicas=2)),
            apply("one", with_spec(replicas=4)),
            apply("one", with_spec(replicas=4), force=True),
        ),
    ),
    Talk(
        "kubectl goes from client side to server side",
        (
            Step(CREATE, "kubectl-client-side-apply", ANNOTATED),
            apply("kubectl", merged(CLIENT_SIDE, container(image="nginx:2"))),
        ),
    ),
    Talk(
        "kubectl goes to server side, but somebody scaled",
        (
            Step(CREATE, "kubectl-client-side-apply", ANNOTATED),
            Step(MERGE_PATCH, "scaler", {"spec": {"replicas": 7}}),
            apply("kubectl", merged(CLIENT_SIDE, container(image="nginx:2"))),
            apply("kubectl", merged(CLIENT_SIDE, container(image="nginx:2")), force=True),
        ),
    ),
    Talk(
        "client side apply over server side",
        (
            apply("kubectl", CLIENT_SIDE),
            Step(
                STRATEGIC, "kubectl-client-side-apply", merged(OTHER_IMAGE, {"metadata": {"annotations": {"x": "y"}}})
            ),
        ),
    ),
    Talk(
        "containers of two managers",
        (
            apply("one", SET),
            apply("two", merged(only(SET), template(containers=[SIDE]))),
            apply("one", with_spec(replicas=2)),
            apply("two", only(SET)),
        ),
    ),
    Talk(
        "variables of two managers",
        (
            apply("one", merged(SET, container(image="nginx:1", env=[{"name": "A", "value": "1"}]))),
            apply("two", merged(only(SET), container(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]))),
            apply("one", merged(SET, container(image="nginx:1"))),
            apply("two", only(SET)),
        ),
    ),
    Talk(
        "order of what is applied",
        (
            apply("one", merged(SET, template(containers=[{"name": name, "image": name} for name in "abc"]))),
            apply("one", merged(SET, template(containers=[{"name": name, "image": name} for name in "dcab"]))),
            apply("one", merged(SET, template(containers=[{"name": name, "image": name} for name in "bd"]))),
        ),
    ),
    Talk(
        "ports by number and protocol",
        (
            apply("one", merged(SET, container(image="a", ports=[{"containerPort": 53}]))),
            apply("two", merged(only(SET), container(ports=[{"containerPort": 53, "protocol": "UDP"}]))),
            apply("two", merged(only(SET), container(ports=[{"containerPort": 53, "protocol": "TCP", "name": "dns"}]))),
        ),
    ),
    Talk(
        "labels of two managers",
        (
            apply("one", LABELLED),
            apply("two", merged(only(SET), {"metadata": {"labels": {"b": "2"}}})),
            apply("one", SET),
            apply("two", only(SET)),
        ),
    ),
    Talk(
        "what is one value has one owner",
        (
            apply(
                "one", merged(SET, template(nodeSelector={"a": "1"}, tolerations=[{"key": "a", "operator": "Exists"}]))
            ),
            apply("two", merged(only(SET), template(nodeSelector={"b": "2"}))),
            apply("two", merged(only(SET), template(tolerations=[{"key": "b", "operator": "Exists"}])), force=True),
            apply("one", SET),
        ),
    ),
    Talk(
        "finalizers and owners",
        (
            apply("one", merged(CONFIG, {"metadata": {"finalizers": ["example.com/a"], "ownerReferences": [OWNER]}})),
            apply(
                "two",
                merged(
                    only(CONFIG),
                    {
                        "metadata": {
                            "finalizers": ["example.com/b"],
                            "ownerReferences": [{**OWNER, "name": "two", "uid": "0002"}],
                        }
                    },
                ),
            ),
            apply("one", CONFIG),
            apply("two", only(CONFIG)),
        ),
    ),
    Talk(
        "data of a config map",
        (
            apply("one", CONFIG),
            Step(MERGE_PATCH, "editor", {"data": {"b": None, "c": "3"}}),
            apply("one", CONFIG),
            apply("one", only(CONFIG, data={"a": "1"})),
            apply("one", only(CONFIG)),
        ),
    ),
    Talk(
        "ports of a service",
        (
            apply("one", HEADLESS),
            apply(
                "two",
                merged(only(HEADLESS), {"spec": {"ports": [{"port": 81, "name": "b"}, {"port": 80, "name": "a"}]}}),
            ),
            apply("two", only(HEADLESS)),
        ),
    ),
    Talk(
        "what a service is given has no manager",
        (
            Step(CREATE, "maker", NODE_SERVICE),
            apply("one", merged(only(NODE_SERVICE), {"spec": {"ports": [{"port": 80, "nodePort": 30071}]}})),
            Step(STRATEGIC, "editor", {"spec": {"type": "ClusterIP"}}),
            Step(STRATEGIC, "editor", {"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}),
            apply("one", merged(only(NODE_SERVICE), {"spec": {"ports": [{"port": 80}]}})),
            Step(MERGE_PATCH, "maker", {"spec": {"type": "ExternalName", "externalName": "a.b"}}),
            apply("one", only(NODE_SERVICE, spec={"type": "NodePort", "ports": [{"port": 80}]})),
            apply("one", only(NODE_SERVICE, spec={"type": "NodePort", "ports": [{"port": 80}]}), force=True),
        ),
    ),
    Talk(
        "an applied service of both families",
        (
            apply("one", merged(NODE_SERVICE, {"spec": {"ipFamilyPolicy": "PreferDualStack"}})),
            apply("one", NODE_SERVICE),
            apply("one", only(NODE_SERVICE, spec={"ports": [{"port": 80}]})),
            apply("two", only(NODE_SERVICE, spec={"clusterIP": "None", "ports": [{"port": 80}]})),
            apply("two", only(NODE_SERVICE, spec={"ports": [{"port": 81, "name": "b"}, {"port": 80, "name": "a"}]})),
        ),
    ),
    Talk(
        "the status is another subresource",
        (
            Step(CREATE, "maker", POD),
            Step(
                STRATEGIC,
                "kubelet",
                {"status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}},
                subresource="status",
            ),
            Step(STRATEGIC, "kubelet", {"metadata": {"labels": {"a": "b"}}}),
            Step(
                STRATEGIC,
                "kubelet",
                {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
                subresource="status",
            ),
            apply(
                "one", only(POD, status={"conditions": [{"type": "Ready", "status": "False"}]}), subresource="status"
            ),
            apply("one", only(POD, status={"message": "x"}), subresource="status"),
        ),
    ),
    Talk(
        "managers are reset",
        (
            Step(CREATE, "maker", CONFIG),
            Step(MERGE_PATCH, "editor", {"metadata": {"managedFields": [{}]}}),
            Step(MERGE_PATCH, "editor", {"data": {"c": "3"}}),
            apply("one", CONFIG),
        ),
    ),
    Talk(
        "managers are written",
        (
            Step(CREATE, "maker", CONFIG),
            Step(
                JSON_PATCH,
                "editor",
                operations(
                    (
                        "replace",
                        "/metadata/managedFields",
                        [
                            {
                                "manager": "two",
                                "operation": "Apply",
                                "apiVersion": "v1",
                                "fieldsType": "FieldsV1",
                                "time": "2026-01-01T00:00:00Z",
                                "fieldsV1": {"f:data": {"f:a": {}}},
                            }
                        ],
                    )
                ),
            ),
            apply("two", only(CONFIG)),
        ),
    ),
    Talk(
        "what nobody owns stays, within what another still has",
        (
            Step(CREATE, "maker", merged(SET, container(image="nginx:1", args=["x"]))),
            Step(
                JSON_PATCH,
                "editor",
                operations(
                    (
                        "replace",
                        "/metadata/managedFields",
                        [
                            {
                                "manager": "one",
                                "operation": "Apply",
                                "apiVersion": "apps/v1",
                                "fieldsType": "FieldsV1",
                                "time": "2026-01-01T00:00:00Z",
                                "fieldsV1": {
                                    "f:spec": {
                                        "f:template": {
                                            "f:spec": {
                                                "f:containers": {
                                                    'k:{"name":"web"}': {".": {}, "f:name": {}, "f:image": {}},
                                                }
                                            }
                                        }
                                    }
                                },
                            }
                        ],
                    )
                ),
            ),
            apply("two", merged(only(SET), container(image="nginx:1"))),
            apply("one", merged(only(SET), template(containers=[SIDE]))),
        ),
    ),
    Talk(
        "conflicts in the order of the tree",
        (
            apply("one", merged(SET, merged(container(image="a", args=["x"]), template(nodeSelector={"a": "1"})))),
            apply(
                "two", merged(only(SET), merged(container(image="b", args=["y"]), template(nodeSelector={"b": "1"})))
            ),
        ),
    ),
    Talk(
        "fields go with a write",
        (
            Step(CREATE, "maker", CONFIG),
            Step(MERGE_PATCH, "editor", {"data": {"a": "9"}}),
            Step(MERGE_PATCH, "third", {"data": None}),
        ),
    ),
    Talk("an apply of another version", (apply("one", {**CONFIG, "apiVersion": "v2"}),)),
    Talk(
        "an apply of one key twice",
        (apply("one", merged(SET, container(image="a", env=[{"name": "A"}, {"name": "A"}]))),),
    ),
    Talk("an apply of an item without its key", (apply("one", merged(SET, template(containers=[{"image": "a"}]))),)),
    Talk("an apply that brings managers", (apply("one", merged(CONFIG, {"metadata": {"managedFields": []}})),)),
    Talk(
        "an ordinal set",
        (
            apply("one", ORDINAL_SET),
            apply("two", merged(only(ORDINAL_SET), template(containers=[SIDE]))),
            apply("two", merged(only(ORDINAL_SET), container(image="nginx:9"))),
            apply("two", only(ORDINAL_SET)),
            Step(MERGE_PATCH, "editor", {"spec": {"replicas": 3, "ordinals": {"start": 1}}}),
            Step(
                MERGE_PATCH,
                "controller",
                {"status": {"replicas": 3, "conditions": [{"type": "A", "status": "True"}]}},
                subresource="status",
            ),
            apply("one", merged(ORDINAL_SET, {"spec": {"replicas": 1}}), force=True),
        ),
    ),
)
