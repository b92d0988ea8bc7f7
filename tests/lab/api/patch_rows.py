"""Patches whose results on a real API server are kept in ``golden/patches.json``."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.lab.api.validation_rows import HEADLESS, ORDINAL_SET, SERVICE, SET, Json, merged, thing

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class PatchRow(NamedTuple):
    """*patch*, of the kind that *content_type* says, on *live*. The id is unique and says what is special."""

    id: str
    live: Json
    content_type: str
    patch: Any


FULL: Json = merged(
    SET,
    {
        "metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"x/y": "z"}},
        "spec": {
            "serviceName": "web",
            "template": {
                "metadata": {"annotations": {"p": "q"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "nginx:1",
                            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C"}],
                            "ports": [{"name": "http", "containerPort": 80}, {"name": "dns", "containerPort": 53}],
                            "args": ["x", "y"],
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                            "resources": {"limits": {"cpu": "1"}},
                        },
                        {"name": "side", "image": "busybox:1"},
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c"}}],
                    "tolerations": [{"key": "a", "operator": "Exists"}],
                    "imagePullSecrets": [{"name": "one"}],
                    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
                    "nodeSelector": {"disk": "ssd"},
                    "topologySpreadConstraints": [
                        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
                    ],
                },
            },
        },
    },
)
OWNED = merged(
    thing("ConfigMap", data={"a": "1", "b": "2"}),
    {
        "metadata": {
            "finalizers": ["example.com/one", "example.com/two"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": "0001"}],
        },
    },
)
PORTS = merged(
    SERVICE, {"spec": {"clusterIP": "None", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}}
)


def template(**spec: Any) -> Json:
    return {"spec": {"template": {"spec": spec}}}


def container(**fields: Any) -> Json:
    return template(containers=[{"name": "web", **fields}])


def operations(*steps: tuple[Any, ...]) -> list[Json]:
    """Return a JSON Patch of steps as (op, path), (op, path, value) or (op, path, from)."""
    made = []
    for name, path, *rest in steps:
        step = {"op": name, "path": path}
        if rest:
            step["from" if name in {"move", "copy"} else "value"] = rest[0]
        made.append(step)
    return made


_AT = "/spec/template/spec"

ROWS: tuple[PatchRow, ...] = (
    # RFC 6902
    *(
        PatchRow(f"json: {what}", live, JSON_PATCH, patch)
        for what, live, patch in (
            ("nothing", FULL, []),
            ("replace a number", FULL, operations(("replace", "/spec/replicas", 3))),
            ("add a label", FULL, operations(("add", "/metadata/labels/c", "3"))),
            ("add over a label", FULL, operations(("add", "/metadata/labels/a", "3"))),
            ("remove a label", FULL, operations(("remove", "/metadata/labels/a"))),
            ("a slash in a key", FULL, operations(("replace", "/metadata/annotations/x~1y", "new"))),
            ("add at the end", FULL, operations(("add", f"{_AT}/containers/0/args/-", "z"))),
            ("add at the front", FULL, operations(("add", f"{_AT}/containers/0/args/0", "w"))),
            ("remove from a list", FULL, operations(("remove", f"{_AT}/containers/0/env/1"))),
            ("remove the last by -1", FULL, operations(("remove", f"{_AT}/containers/0/env/-1"))),
            ("move", FULL, operations(("move", "/metadata/labels/c", "/metadata/labels/a"))),
            ("copy", FULL, operations(("copy", "/metadata/labels/c", "/metadata/labels/a"))),
            (
                "test and replace",
                FULL,
                operations(("test", "/metadata/labels/a", "1"), ("remove", "/metadata/labels/a")),
            ),
            ("test that fails", FULL, operations(("test", "/metadata/labels/a", "2"))),
            ("test of a missing member for null", FULL, operations(("test", "/metadata/labels/zzz", None))),
            ("test of an object", FULL, operations(("test", "/spec/selector", {"matchLabels": {"app": "web"}}))),
            ("remove what is not there", FULL, operations(("remove", "/metadata/labels/zzz"))),
            ("replace what is not there", FULL, operations(("replace", "/metadata/labels/zzz", "1"))),
            ("add below what is not there", FULL, operations(("add", "/metadata/zzz/a", "1"))),
            ("index out of range", FULL, operations(("add", f"{_AT}/containers/0/args/9", "z"))),
            ("index that is none", FULL, operations(("add", f"{_AT}/containers/0/args/one", "z"))),
            ("unknown operation", FULL, operations(("merge", "/metadata/labels/a", "z"))),
            ("no path", FULL, [{"op": "add", "value": 1}]),
            ("an object instead of a list", FULL, {"op": "add"}),
            ("a list of text", FULL, ["add"]),
            (
                "the first step of two is undone with the second",
                FULL,
                operations(
                    ("replace", "/spec/replicas", 3),
                    ("remove", "/spec/zzz"),
                ),
            ),
            ("replace an image", FULL, operations(("replace", f"{_AT}/containers/1/image", "busybox:2"))),
        )
    ),
    # RFC 7386
    *(
        PatchRow(f"merge: {what}", live, MERGE_PATCH, patch)
        for what, live, patch in (
            ("nothing", FULL, {}),
            ("a number", FULL, {"spec": {"replicas": 2}}),
            ("null takes away", FULL, {"metadata": {"labels": {"a": None, "c": "3"}}}),
            ("null for what is not there", FULL, {"metadata": {"labels": {"zzz": None}}}),
            ("null for a default", FULL, {"spec": {"replicas": None, "updateStrategy": None}}),
            ("a list replaces a list", FULL, container(image="nginx:2")),
            ("an object over nothing", FULL, {"spec": {"ordinals": {"start": 2}}}),
            ("nulls in an object over nothing", FULL, {"spec": {"ordinals": {"start": None}}}),
            ("a list", FULL, []),
            ("text", FULL, "text"),
            ("ports of a service", PORTS, {"spec": {"ports": [{"name": "b", "port": 82}]}}),
            ("data of a config map", OWNED, {"data": {"a": None, "c": "3"}}),
        )
    ),
    # Strategic merge patch
    *(
        PatchRow(f"strategic: {what}", live, STRATEGIC, patch)
        for what, live, patch in (
            ("nothing", FULL, {}),
            ("a number", FULL, {"spec": {"replicas": 2}}),
            ("an image by name", FULL, container(image="nginx:2")),
            ("a container comes", FULL, template(containers=[{"name": "new", "image": "a"}])),
            ("a container goes", FULL, template(containers=[{"name": "side", "$patch": "delete"}])),
            (
                "all containers are replaced",
                FULL,
                template(
                    containers=[
                        {"name": "new", "image": "a"},
                        {"$patch": "replace"},
                    ]
                ),
            ),
            ("a container without its name", FULL, template(containers=[{"image": "a"}])),
            (
                "a variable changes, one goes, one comes",
                FULL,
                container(
                    env=[
                        {"name": "B", "value": "20"},
                        {"name": "A", "$patch": "delete"},
                        {"name": "D", "value": "4"},
                    ]
                ),
            ),
            ("a port by its number", FULL, container(ports=[{"containerPort": 80, "name": "web"}])),
            ("args are replaced", FULL, container(args=["z"])),
            ("args go", FULL, container(args=None)),
            (
                "a mount by its path",
                FULL,
                container(volumeMounts=[{"mountPath": "/tmp", "readOnly": True, "name": "tmp"}]),
            ),
            (
                "the order of variables",
                FULL,
                container(
                    **{
                        "$setElementOrder/env": [{"name": "C"}, {"name": "A"}, {"name": "B"}],
                    }
                ),
            ),
            (
                "the order with a new variable",
                FULL,
                container(
                    **{
                        "$setElementOrder/env": [{"name": "D"}, {"name": "C"}, {"name": "A"}],
                        "env": [{"name": "D", "value": "4"}],
                    }
                ),
            ),
            (
                "an order that the list does not have",
                FULL,
                container(
                    **{
                        "$setElementOrder/env": [{"name": "A"}],
                        "env": [{"name": "D", "value": "4"}],
                    }
                ),
            ),
            ("an order that is no list", FULL, container(**{"$setElementOrder/env": "A"})),
            (
                "the order of containers, with one deleted",
                FULL,
                template(
                    **{
                        "$setElementOrder/containers": [{"name": "web"}, {"name": "new"}],
                        "containers": [{"name": "new", "image": "a"}, {"name": "side", "$patch": "delete"}],
                    }
                ),
            ),
            (
                "a volume keeps its keys",
                FULL,
                template(
                    volumes=[
                        {"name": "conf", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}},
                    ]
                ),
            ),
            ("a volume changes without retained keys", FULL, template(volumes=[{"name": "conf", "emptyDir": {}}])),
            (
                "retained keys that lack one",
                FULL,
                template(
                    volumes=[
                        {"name": "conf", "$retainKeys": ["name"], "emptyDir": {}},
                    ]
                ),
            ),
            ("retained keys that are no list", FULL, template(volumes=[{"name": "conf", "$retainKeys": "name"}])),
            ("tolerations are replaced", FULL, template(tolerations=[{"key": "b", "operator": "Exists"}])),
            ("secrets to pull with are merged", FULL, template(imagePullSecrets=[{"name": "two"}])),
            ("aliases by address", FULL, template(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["b"]}])),
            (
                "spread by its key",
                FULL,
                template(
                    topologySpreadConstraints=[
                        {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 2},
                    ]
                ),
            ),
            ("node selectors are merged", FULL, template(nodeSelector={"arch": "arm", "disk": None})),
            ("a map is replaced", FULL, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}),
            ("a map is deleted", FULL, {"metadata": {"annotations": {"$patch": "delete"}}}),
            ("an unknown directive", FULL, {"metadata": {"labels": {"$patch": "renew", "c": "3"}}}),
            ("an unknown directive in a list", FULL, template(containers=[{"name": "web", "$patch": "renew"}])),
            ("lists cannot be told to merge", FULL, template(containers=[{"name": "web", "$patch": "merge"}])),
            ("null for a default", FULL, {"spec": {"replicas": None}}),
            ("a limit", FULL, container(resources={"limits": {"memory": "1024Mi"}})),
            ("a list", FULL, []),
            ("ports of a service by number", PORTS, {"spec": {"ports": [{"port": 81, "targetPort": 8081}]}}),
            ("a port of a service goes", PORTS, {"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}),
            ("a selector is merged", HEADLESS, {"spec": {"selector": {"tier": "a"}}}),
            ("finalizers are merged", OWNED, {"metadata": {"finalizers": ["example.com/three", "example.com/one"]}}),
            (
                "a finalizer is taken out",
                OWNED,
                {
                    "metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/one"]},
                },
            ),
            (
                "the order of finalizers",
                OWNED,
                {
                    "metadata": {
                        "$setElementOrder/finalizers": ["example.com/two", "example.com/one"],
                    }
                },
            ),
            (
                "an owner by its UID",
                OWNED,
                {
                    "metadata": {
                        "ownerReferences": [
                            {"apiVersion": "v1", "kind": "Pod", "name": "two", "uid": "0002"},
                            {"uid": "0001", "$patch": "delete"},
                        ]
                    }
                },
            ),
            ("data of a config map", OWNED, {"data": {"a": None, "c": "3"}}),
        )
    ),
    PatchRow("no patch at all", FULL, "application/json", {}),
    # Custom resources
    PatchRow("custom: strategic is refused", ORDINAL_SET, STRATEGIC, {}),
    PatchRow("custom: no patch at all", ORDINAL_SET, "application/json", {}),
    PatchRow("custom: merge", ORDINAL_SET, MERGE_PATCH, {"spec": {"replicas": 2, "updateStrategy": None}}),
    PatchRow("custom: json", ORDINAL_SET, JSON_PATCH, operations(("add", "/spec/template/spec/priority", 7))),
)
