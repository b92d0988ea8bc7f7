"""Custom resources, good and bad by their schema; ``golden/customs.json`` keeps what a real API server makes of them.

One definition has a field for each thing that schemas can ask for. A second one is stricter than it was when its
objects came.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.lab.api import golden

Json = dict[str, Any]
Ask = Callable[[str, str, Json], tuple[bool, Json]]
"""Takes a method, a path and a body; tells whether the request was granted, and returns the answer."""

GROUP, VERSION = "example.com", "v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Row(NamedTuple):
    """One request: an object with *spec* is created, or written over the one with *old*. The id says what is special.

    With *status* the status of the one with *old* is written; *fields* are beside spec.
    """

    id: str
    spec: Any
    old: Any = None
    status: Any = None
    fields: Mapping[str, Any] = {}


def definition(kind: str, properties: Json, **version: Any) -> Json:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": properties}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }


def an_object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def an_array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


INTEGER, STRING = {"type": "integer"}, {"type": "string"}

# Of each format: texts that have it, and texts that have it not.
FORMATS: dict[str, tuple[list[str], list[str]]] = {
    "bsonobjectid": (["507f1f77bcf86cd799439011"], ["507f1f77bcf86cd79943901", ""]),
    "uri": (["https://[::1]:8080/a?b=c", "/a", "mailto:a@b.c"], ["a", "http://a b/", "http://a/%zz"]),
    "email": (["a@b.c", '"A, B" <a@b>', "a@[192.0.2.1]"], ["a", "a@", "a..b@c"]),
    "hostname": (["a.example", "x-y", "café.example"], ["my-host", "a_b.example", "a.example1"]),
    "ipv4": (["192.0.2.1", "192.0.2.01", "::ffff:192.0.2.1"], ["192.0.2", "::1", "192.0.2.256"]),
    "ipv6": (["2001:db8::1", "::ffff:192.0.2.1"], ["192.0.2.1", "2001:db8::1%eth0"]),
    "cidr": (["192.0.2.0/24", "2001:db8::/32", "192.0.2.1/08"], ["192.0.2.0", "192.0.2.0/33"]),
    "mac": (["01:23:45:67:89:ab", "0123.4567.89ab", "01-23-45-67-89-AB"], ["01:23:45:67:89", "01:23-45:67:89:ab"]),
    "uuid": (["A8098C1A-F86E-11DA-BD1A-00112444BE1E", "a8098c1af86e11dabd1a00112444be1e"], ["a8098c1a"]),
    "uuid3": (["bcd02e22-68f0-3046-a512-327cca9def8f"], ["bcd02e22-68f0-4046-a512-327cca9def8f"]),
    "uuid4": (["025b0d74-00a2-4048-bf57-227c5111bb34"], ["025b0d74-00a2-4048-cf57-227c5111bb34"]),
    "uuid5": (["886313e1-3b8a-5372-9b90-0c9aee199e5d"], ["886313e1-3b8a-4372-9b90-0c9aee199e5d"]),
    "isbn": (["0321751043", "978-0321751041"], ["0321751044", ""]),
    "isbn10": (["3 401 01319 X"], ["978-0321751041"]),
    "isbn13": (["978-0321751041"], ["0321751043", "9780321751042"]),
    "creditcard": (["4111-1111-1111-1111"], ["4111-1111-1111-1112"]),
    "ssn": (["111-11-1111", "111 11 1111"], ["111111111"]),
    "hexcolor": (["#FFFFFF", "fff"], ["#ffff"]),
    "rgbcolor": (["rgb(0, 31,255)"], ["rgb(0,31,256)", "rgb(01,2,3)"]),
    "byte": (["TQ==", "TWFu"], ["TQ=", "a_b-", ""]),
    "password": (["", "\U0001f600"], []),
    "date": (["2024-02-29", "0000-02-29"], ["2023-02-29", "2024-2-29"]),
    "duration": (["1.5h", "22 ns", "1 day and 5", "0"], ["1", "1 fortnight"]),
    "date-time": (["2024-02-29T23:59:59.5Z", "2024-02-29t00:00:00+99:99"], ["foo", "2024-02-29T24:00:00Z"]),
    "datetime": (["2024-02-29T23:59:59Z"], ["2024-02-29T23:59:60Z", "2024-02-29 23:59:59Z"]),
    "k8s-short-name": (["a-b"], ["a.b", "A", "a" * 64]),
    "k8s-long-name": (["a.b", f"{'a' * 100}.b"], ["a..b", "A.b"]),
    "nonsense": (["", "anything"], []),
}

PROPERTIES: Json = {
    "metadata": an_object(name={"type": "string", "maxLength": 12}),
    "spec": an_object(
        mode=STRING,
        size={"type": "integer", "minimum": 1, "maximum": 5},
        host={"type": "string", "pattern": "^[a-z]+$", "maxLength": 4, "minLength": 2},
        tags=an_array(STRING, **{"maxItems": 2, "x-kubernetes-list-type": "set"}),
        any={"type": "object", "additionalProperties": INTEGER, "minProperties": 1, "maxProperties": 2},
        port={"x-kubernetes-int-or-string": True},
        when={"type": "string", "format": "date-time"},
        formats=an_object(**{name: an_array({"type": "string", "format": name}) for name in FORMATS}),
        int32={"type": "integer", "format": "int32"},
        int64={"type": "integer", "format": "int64"},
        float={"type": "number", "format": "float"},
        share={"type": "number", "minimum": 0.5, "maximum": 1.5, "exclusiveMaximum": True, "exclusiveMinimum": True},
        step={"type": "integer", "multipleOf": 5},
        tenth={"type": "number", "multipleOf": 0.1},
        flag={"type": "boolean"},
        choice={"type": "string", "enum": ["a", "b"], "maxLength": 3},
        level={"type": "integer", "enum": [1, 2]},
        parts=an_array(
            {
                "type": "object",
                "required": ["name", "port"],
                "properties": {"name": STRING, "port": {"type": "integer", "default": 1}, "more": STRING},
            },
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"], "minItems": 1},
        ),
        named=an_array(
            {"type": "object", "required": ["name"], "properties": {"name": STRING}},
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
        single=an_array(STRING, maxItems=1),
        numbers=an_array(INTEGER, **{"x-kubernetes-list-type": "set"}),
        sets={"type": "object", "additionalProperties": an_array(STRING, **{"x-kubernetes-list-type": "set"})},
        amount={
            "x-kubernetes-int-or-string": True,
            "anyOf": [INTEGER, STRING],
            "pattern": "^[0-9]+%?$",
            "maximum": 100,
        },
        either={"type": "object", **an_object(a=INTEGER, b=STRING), "oneOf": [{"required": [x]} for x in "ab"]},
        nearest={
            "type": "object",
            **an_object(a=INTEGER),
            "anyOf": [{"minProperties": 3}, {"properties": {"a": {"minimum": 5}}}, {"maxProperties": 0}],
        },
        both={"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}]},
        some={"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": -10}]},
        other={"type": "string", "not": {"enum": ["no"]}},
        perhaps={"type": "string", "nullable": True, "maxLength": 1},
        pattern={"type": "string", "pattern": "^[[:alpha:]]+$"},
        template={
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        free={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        items=an_array(an_object(size=INTEGER, tags=an_array(STRING, **{"x-kubernetes-list-type": "set"}))),
        replicas=INTEGER,
        selector=STRING,
    )
    | {"required": ["mode"]},
    "status": an_object(
        replicas={"x-kubernetes-preserve-unknown-fields": True},
        phase={"type": "string", "enum": ["Good", "Bad"]},
        size={"type": "integer", "maximum": 5},
        selector={"x-kubernetes-preserve-unknown-fields": True},
        tags=an_array(STRING, **{"x-kubernetes-list-type": "set"}),
    ),
}
SUBRESOURCES: Json = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}
SAMPLES = definition("Sample", PROPERTIES, subresources=SUBRESOURCES)


def spec(**fields: Any) -> Json:
    return {"mode": "a", **fields}


def row(id: str, **fields: Any) -> Row:
    return Row(id, spec(**fields))


ROWS: tuple[Row, ...] = (
    row("nothing but what is required"),
    Row("without what is required", {}),
    Row("a text for spec", "x"),
    Row("null for spec", None),
    Row("no name of its own that fits", spec(), fields={"metadata": {"name": "a" * 13}}),
    row(
        "many faults",
        size=9,
        host="ABCDEF",
        tags=["a", "a", "b"],
        any={"a": "x"},
        port=[],
    ),
    *(row(f"format {name}: has it", formats={name: good}) for name, (good, _) in FORMATS.items()),
    *(row(f"format {name}: has it not", formats={name: bad}) for name, (_, bad) in FORMATS.items() if bad),
    row("format: a time that is none", when="foo"),
    *(
        row(f"format: a time that is {kind}", when=value)
        for kind, value in {"a number": 5, "true": True, "an object": {}, "a list": [], "a fraction": 1.5}.items()
    ),
    row("text: too long, with no look at its pattern", host="ABCDEF"),
    row("text: too short, with no look at its pattern", host="A"),
    row("text: against its pattern", host="ABC"),
    row("text: a line's end after it", host="ab\n"),
    row("text: long in octets", host="éé"),
    row("text: with quotes and controls", host='a"\x01'),
    row("text: a class with a name", pattern="aé"),
    row("text: a class with a name that fits", pattern="aZ"),
    *(
        row(f"type: {kind} for {field}", **{field: value})
        for field in ("size", "host", "flag", "tags", "any", "port", "share", "amount", "choice")
        for kind, value in {
            "a number": 5,
            "a fraction": 1.25,
            "a text": "x",
            "true": True,
            "a list": [],
            "an object": {"a": 1},
        }.items()
    ),
    *(row(f"type: null for {field}", **{field: None}) for field in ("size", "perhaps", "mode", "choice")),
    row("type: null in a list", tags=[None], numbers=[1, None]),
    row("type: null for what is not declared", any={"a": None}),
    row("number: 1.0 for a whole one", size=1.0),
    row("number: too small", size=0),
    row("number: too large", size=6),
    row("number: more than 32 bits", int32=2**31),
    row("number: less than 32 bits", int32=-(2**31) - 1),
    row("number: a text for one of 32 bits", int32="x"),
    row("number: true for one of 32 bits", int32=True),
    row("number: a fraction for one of 32 bits", int32=1.5),
    row("number: more than 64 bits", int64=2**63),
    row("number: more than 64 bits without a format", size=2**63),
    row("number: more than a float", float=1e39),
    row("number: a float", float=1.5),
    row("number: at its exclusive bounds", share=0.5),
    row("number: at its other exclusive bound", share=1.5),
    row("number: large and small", share=1e21),
    row("number: a little more than nothing", share=0.00001),
    row("number: a million and more", share=1234567.5),
    row("number: a hundred thousand and more", share=123456.5),
    row("number: a whole one for a fraction", share=1),
    row("number: too large a whole one for a fraction", share=2),
    row("number: no multiple", step=7),
    row("number: a multiple", step=10),
    row("number: no multiple of a tenth", tenth=0.35),
    row("number: a multiple of a tenth", tenth=0.3),
    row("number: a whole one, which is no multiple of a fraction", tenth=1),
    row("enum: none of them", choice="c"),
    row("enum: none of them and too long", choice="long"),
    row("enum: none of the numbers", level=3),
    row("enum: a text among numbers", level="1"),
    row("enum: one of the numbers", level=2),
    row("list: too short", parts=[]),
    row("list: too long", tags=["a", "b", "c"]),
    row("list: an item without its key", parts=[{"port": 1}]),
    row("list: items of one key", parts=[{"name": "a"}, {"name": "a", "port": 1}, {"name": "b"}, {"name": "a"}]),
    row("list: items of one simple key", named=[{"name": "a"}, {"name": "a"}, {"name": "a"}]),
    row("list: items without a simple key", named=[{}, {}]),
    row("list: no object in a map", named=["x", {"name": "a"}]),
    row("list: more than one", single=["a", "b"]),
    row("list: one number three times", numbers=[1, 2, 1, 1]),
    row("list: one number as a fraction", numbers=[1, 1.0]),
    row("list: doubles below any name", sets={"a": ["x", "x"]}),
    row("list: faults deep down", items=[{"size": 1}, {"size": "x", "tags": ["a", "a"]}, 5]),
    row("object: too small", any={}),
    row("object: too large", any={"a": 1, "b": 2, "c": 3}),
    row("object: faults of its fields and of its size", any={"a": 1, "b": "x", "c": 3}),
    row("object: any fields", free={"a": [1, {"b": None}]}),
    row("a number or a text: neither", port={}),
    row("a number or a text: null", port=None),
    row("a number or a text: a number too large", amount=101),
    row("a number or a text: a bad text", amount="x%"),
    row("a number or a text: a list, against all alternatives", amount=[]),
    row("alternatives: both of one", either={"a": 1, "b": "x"}),
    row("alternatives: none of one", either={}),
    row("alternatives: one of one", either={"a": 1}),
    row("alternatives: one of all", both="a"),
    row("alternatives: none of all", both="c"),
    row("alternatives: all of all", both="ab"),
    row("alternatives: none of any", some=0),
    row("alternatives: one of any", some=-11),
    row("alternatives: none of any, of which one looks further", nearest={"a": 3}),
    row("alternatives: what must not be", other="no"),
    row("alternatives: what may be", other="yes"),
    row("embedded: empty", template={}),
    row("embedded: a version that is no text", template={"apiVersion": 1, "kind": "Pod"}),
    row("embedded: a kind that is no text", template={"apiVersion": "v1", "kind": ["Pod"]}),
    row("embedded: empty texts", template={"apiVersion": "", "kind": ""}),
    row("embedded: bad texts", template={"apiVersion": "a/b/c", "kind": "A.b"}),
    row("embedded: good", template={"apiVersion": "v1", "kind": "Pod", "spec": {"a": 1}}),
    row("scale: negative", replicas=-1),
    row("scale: too many", replicas=2**31),
    row("scale: a text", replicas="a"),
    row("scale: a fraction", replicas=1.5),
    Row("update: good", spec(size=2), old=spec(size=1)),
    Row("update: bad", spec(size=9, host="A"), old=spec(size=1)),
    Row("update: doubles", spec(tags=["a", "a"]), old=spec(tags=["a"])),
    Row("status: good", None, old=spec(), status={"replicas": 1, "phase": "Good"}),
    Row("status: bad", None, old=spec(), status={"replicas": 1, "phase": "Ugly", "size": 6}),
    Row("status: doubles", None, old=spec(), status={"replicas": 1, "tags": ["a", "a"]}),
    Row("status: negative replicas", None, old=spec(), status={"replicas": -1}),
    Row("status: replicas that are a text", None, old=spec(), status={"replicas": "a"}),
    Row("status: replicas that are a list", None, old=spec(), status={"replicas": ["a", {"b": 1}]}),
    Row("status: replicas that are null", None, old=spec(), status={"replicas": None, "selector": None}),
    Row("status: a selector that is a number", None, old=spec(), status={"replicas": 1, "selector": 5}),
    Row("status: a text", None, old=spec(), status="x"),
)

# ---- A definition that becomes stricter

LOOSE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STRICT = an_object(
    size={"type": "integer", "maximum": 5},
    any={"type": "object", "additionalProperties": {"type": "integer", "maximum": 5}},
    tags=an_array({"type": "string", "maxLength": 1}, **{"x-kubernetes-list-type": "set"}),
    parts=an_array(
        an_object(name=STRING, size={"type": "integer", "maximum": 5}, other=INTEGER) | {"required": ["name"]},
        **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
    other=INTEGER,
) | {"required": ["needed"], "maxProperties": 3}
STRICT["properties"]["needed"] = INTEGER
OLD = {"size": 9, "any": {"a": 9, "b": 1}, "tags": ["long", "long"], "parts": [{"name": "x", "size": 9}]}


def old(**changes: Any) -> Json:
    return {**copy.deepcopy(OLD), **changes}


STRICTER_ROWS: tuple[Row, ...] = (
    Row("nothing changes", old(), old()),
    Row("a good field comes", old(needed=1), old()),
    Row("a good field comes, and what is needed is not there", old(other=1), old()),
    Row("a bad field changes", old(needed=1, size=8), old()),
    Row("a good value of a map changes", old(needed=1, any={"a": 9, "b": 2}), old()),
    Row("a bad value of a map changes", old(needed=1, any={"a": 8, "b": 1}), old()),
    Row("a good item comes", old(needed=1, parts=[{"name": "y"}, {"name": "x", "size": 9}]), old()),
    Row("a good field of a bad item comes", old(needed=1, parts=[{"name": "x", "size": 9, "other": 1}]), old()),
    Row("a bad field of a bad item changes", old(needed=1, parts=[{"name": "x", "size": 8}]), old()),
    Row("an item of a bad set comes", old(needed=1, tags=["long", "long", "b", "b"]), old()),
    Row("a bad set changes its order", old(needed=1, tags=["long", "a"]), old()),
    Row("doubles come to a bad set without any", {"needed": 1, "tags": ["a", "a"]}, {"tags": ["a"]}),
)


def stricters(spec: Json) -> Json:
    return definition("Stricter", {"spec": spec})


# ---- Asking


def place(kind: str, namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{kind.lower()}s"


def manifest(kind: str, name: str, spec: Any, fields: Mapping[str, Any]) -> Json:
    base: Json = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return copy.deepcopy({**base, **fields})


def answer(ask: Ask, namespace: str, row: Row) -> Json:
    """Return what the API server makes of *row*, without storing it."""
    path = place("Sample", namespace)
    if row.old is None:
        return shown(*ask("POST", f"{path}?dryRun=All", manifest("Sample", "a", row.spec, row.fields)))
    granted, before = ask("POST", path, manifest("Sample", "a", row.old, {}))
    assert granted, (row.id, before)
    if row.status is None:
        found = ask("PUT", f"{path}/a?dryRun=All", {**before, "spec": row.spec})
    else:
        found = ask("PUT", f"{path}/a/status?dryRun=All", {**before, "status": row.status})
    ask("DELETE", f"{path}/a", {})
    return shown(*found)


def stricter_answer(ask: Ask, namespace: str, number: int) -> Json:
    """Return what the API server makes of the update in row *number*, without storing it."""
    path = f"{place('Stricter', namespace)}/r{number}"
    granted, before = ask("GET", path, {})
    assert granted
    return shown(*ask("PUT", f"{path}?dryRun=All", {**before, "spec": STRICTER_ROWS[number].spec}))


def shown(granted: bool, found: Json) -> Json:
    """Return what counts of an answer: the order of causes does not, since Go's maps have none."""
    if granted:
        return {"object": golden.stored(found, found)}
    done = golden.refusal(found)
    causes = done.get("causes", [])
    if len(causes) > 1:
        head, mark, rest = done["message"].partition(" is invalid: ")
        lines = [f"{cause['field']}: {cause['message']}" for cause in causes]
        # Each is told once.
        assert rest == f"[{', '.join(dict.fromkeys(lines))}]"
        done["message"] = f"{head}{mark}{', '.join(sorted(set(lines)))}"
        done["causes"] = sorted(causes, key=lambda cause: (cause["field"], cause["message"]))
    return done
