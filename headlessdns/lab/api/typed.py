"""Values of a wrong type, in the words of the API server, which has several ways to read an object. Pure.

The types are those of the schemas, which take half a second to make once.

Source: Go, `encoding/json` and `time`; k8s.io/apimachinery `runtime.DefaultUnstructuredConverter`;
sigs.k8s.io/structured-merge-diff `typed/validate.go`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import msgspec

from headlessdns.controller.quantities import parse
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import go_text
from headlessdns.lab.api.schemas import (
    INT_OR_STRING,
    MICRO_TIME,
    OBJECT_META,
    QUANTITY,
    TIME,
    built_in_schemas,
    package,
)

_NOT_A_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
# The schemas do not say how wide a whole number is. All but these have 32 bits.
_INT64 = frozenset(
    {
        "activeDeadlineSeconds",
        "deletionGracePeriodSeconds",
        "expirationSeconds",
        "fsGroup",
        "generation",
        "gid",
        "gracePeriodSeconds",
        "maxItems",
        "maxLength",
        "maxProperties",
        "minItems",
        "minLength",
        "minProperties",
        "observedGeneration",
        "revision",
        "runAsGroup",
        "runAsUser",
        "seconds",
        "sizeBytes",
        "supplementalGroups",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "uid",
    }
)
_BITS = {"int32": 31, "int64": 63}


def _reference(name: str) -> Json:
    return {"$ref": name}


_TEXT: Json = {"type": "string"}
_META: Json = _reference(OBJECT_META)
# Kinds that are only sent, which no resource has.
_SENT: dict[str, Json] = {
    "Binding": {"metadata": _META, "target": _reference("io.k8s.api.core.v1.ObjectReference")},
    "Eviction": {"metadata": _META, "deleteOptions": _reference("DeleteOptions")},
    "Scale": {"metadata": _META, "spec": _reference("ScaleSpec"), "status": _reference("ScaleStatus")},
    "ScaleSpec": {"replicas": {"type": "integer"}},
    "ScaleStatus": {"replicas": {"type": "integer"}, "selector": _TEXT},
    "Preconditions": {"uid": {**_TEXT, "go": "types.UID"}, "resourceVersion": _TEXT},
    "DeleteOptions": {
        "gracePeriodSeconds": {"type": "integer"},
        "preconditions": _reference("Preconditions"),
        "orphanDependents": {"type": "boolean"},
        "propagationPolicy": {**_TEXT, "go": "v1.DeletionPropagation"},
        "dryRun": {"type": "array", "items": _TEXT},
    },
}
_ALONE = frozenset({"Binding", "Eviction", "Scale", "DeleteOptions"})
_OWN_KIND: Json = {"apiVersion": _TEXT, "kind": _TEXT}


# Types


@dataclass(eq=False)
class Type:
    """What a value has to be.

    Attributes:
        form: struct, map, list, or what a single value is; empty takes anything.
        go: Its name in Go.
        fields: Of a struct.
        inner: The type of the items of a list, or of the values of a map; None takes anything.
        keys: The fields that tell the items of a list apart; None where their places do.
        is_open: Whether a struct takes further fields.
    """

    form: str = ""
    go: str = ""
    fields: dict[str, Type] = field(default_factory=dict)
    inner: Type | None = None
    keys: tuple[str, ...] | None = None
    is_open: bool = False


_VALUE_FORMS = {QUANTITY: "quantity", INT_OR_STRING: "int-or-string", TIME: "time", MICRO_TIME: "micro"}
_SCHEMA = f"{package('apiextensions.k8s.io')}JSONSchemaProps"
_SCHEMA_OR = f"{_SCHEMA}Or"  # an array of them, true or false, or names
_SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}


@cache
def _named(name: str) -> Type:
    """Return the type of the schema of that name. One that leads to itself is found half made."""
    type = Type(go=f"v1.{name.rpartition('.')[2]}")
    _NAMED_SO_FAR[name] = type
    sent = _SENT.get(name)
    if sent is not None:
        schema: Json = {"type": "object", "properties": sent | (_OWN_KIND if name in _ALONE else {})}
    else:
        schema = built_in_schemas().get(name, {})
    if name in _VALUE_FORMS:
        type.form = _VALUE_FORMS[name]
    elif name.startswith(_SCHEMA_OR):
        type.form, type.inner = "schema", _NAMED_SO_FAR.get(_SCHEMA) or _named(_SCHEMA)
    elif schema.get("properties"):
        type.form = "struct"
        type.fields = {key: _type(each, key) for key, each in schema["properties"].items()}
    del _NAMED_SO_FAR[name]
    return type


_NAMED_SO_FAR: dict[str, Type] = {}


def _type(schema: Json, name: str = "") -> Type:
    """Return the type of a value of *schema*; *name* is the field that has it."""
    reference = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf") or () if "$ref" in each), "")
    if reference:
        target = str(reference).rpartition("/")[2]
        return _NAMED_SO_FAR.get(target) or _named(target)
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items") or {}, name)
        keys = {
            "map": tuple(schema.get("x-kubernetes-list-map-keys") or ()),
            "set": (),
        }.get(str(schema.get("x-kubernetes-list-type")))
        return Type("list", f"[]{inner.go}", inner=inner, keys=keys)
    if kind == "object" and "additionalProperties" in schema:
        additional = schema["additionalProperties"]
        inner = _type(additional if isinstance(additional, dict) else {}, name)
        return Type("map", f"map[string]{inner.go}", inner=inner)
    if kind == "integer":
        width = "int64" if name in _INT64 else "int32"
        return Type(width, width)
    if kind == "string" and schema.get("format") == "byte":
        return Type("bytes", "[]uint8")
    form = _SCALARS.get(str(kind), "")
    return Type(form, schema.get("go") or form)


def type_of(resource: Resource) -> Type | None:
    """Return the type of a built-in kind, or of one that is only sent; of others None."""
    name = f"{package(resource.group)}{resource.kind}"
    if resource.kind in _ALONE:
        return _named(resource.kind)
    return _named(name) if name in built_in_schemas() else None


def metadata_type() -> Type:
    """Return the type of an object's metadata."""
    return _named(OBJECT_META)


# Reading


class Wrong(NamedTuple):
    """A value that cannot be read.

    Attributes:
        value: As it came.
        wanted: The type that it should be of.
        path: The fields down to it, without places in lists and keys of maps.
        steps: The fields down to it, with places in lists and keys of maps.
        owner: The structure that has the last of these fields.
        said: What else is wrong with a value whose JSON type is right.
    """

    value: Any
    wanted: Type
    path: tuple[str, ...] = ()
    steps: tuple[str | int, ...] = ()
    owner: str = ""
    said: str = ""

    @property
    def unmarshalled(self) -> str:
        """In the words of a decoder of JSON."""
        if self.said:
            return self.said
        names = {dict: "object", list: "array", str: "string", bool: "bool"}
        kind = names.get(type(self.value), "number")
        is_number = kind == "number" and self.wanted.form in _BITS
        shown = f"number {go_text(self.value)}" if is_number else kind
        go = {"time": "string", "micro": "string"}.get(self.wanted.form, self.wanted.go)
        place = f"struct field {'.'.join((self.owner, *self.path))}" if self.path else "value"
        return f"json: cannot unmarshal {shown} into Go {place} of type {go}"

    @property
    def restored(self) -> str:
        """In the words of what makes an object of a tree of values, as after a strategic merge patch."""
        wanted, kind = self.wanted, _GO_KINDS.get(type(self.value), "string")
        if self.said or wanted.form in ("time", "micro", "quantity", "int-or-string"):
            return self.unmarshalled
        if wanted.form == "struct":
            return f"cannot restore struct from: {kind}"
        if wanted.form in ("map", "list", "bytes"):
            return f"cannot restore {'map' if wanted.form == 'map' else 'slice'} from {kind}"
        if wanted.form == "string" and kind in ("int64", "float64"):
            return f"cannot convert {kind} to string"
        return f"unrecognized type: {wanted.form}"


_GO_KINDS = {dict: "map", list: "slice", str: "string", bool: "bool", int: "int64", float: "float64"}


def wrong_type(resource: Resource, object: Json) -> str:
    """Return why the API server could not read *object*, a message for 400; empty where it could.

    Args:
        resource: A built-in kind, or one that is only sent. Of others only the metadata is looked at; all else their
            schemas say.
        object: As it was sent.
    """
    found = wrong_value(resource, object)
    what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    return f"{what}: {found.unmarshalled}" if found else ""


def wrong_value(resource: Resource, object: Json) -> Wrong | None:
    """Return the first value of *object* that could not be read, as `wrong_type`.

    As in Go, null means the same as nothing: null fields are dropped, and null among the items of a list or the values
    of a map becomes the zero value. *object* is changed so.
    """
    type = type_of(resource)
    if type is not None:
        return _wrong(type, object)
    return _wrong(metadata_type(), object.get("metadata"))


def _wrong(type: Type, value: Any) -> Wrong | None:
    if value is None:
        return None
    read = _READERS.get(type.form)
    return read(type, value) if read else None


def _wrong_struct(type: Type, value: Any) -> Wrong | None:
    if not isinstance(value, dict):
        return Wrong(value, type)
    fields = type.fields
    has_null = False
    for name, each in value.items():
        known = fields.get(name)
        if each is None:
            has_null = True
        elif known is not None and not (known.form == "string" and isinstance(each, str)):  # as most are
            read = _READERS.get(known.form)
            found = read(known, each) if read else None
            if found is not None:
                owner = found.owner or type.go.rpartition(".")[2]
                return found._replace(path=(name, *found.path), steps=(name, *found.steps), owner=owner)
    if has_null:
        for name in [name for name, each in value.items() if each is None and name in fields]:
            del value[name]
    return None


def _wrong_map(type: Type, value: Any) -> Wrong | None:
    return _wrong_inside(type, value, list(value)) if isinstance(value, dict) else Wrong(value, type)


def _wrong_list(type: Type, value: Any) -> Wrong | None:
    if not isinstance(value, list):
        return Wrong(value, type)
    if type.go != "[]v1.Container":
        return _wrong_inside(type, value, range(len(value)))
    # The pods of a set have the same containers.
    octets = _encode(value)
    if octets in _READABLE_CONTAINERS:
        return None
    found = _wrong_inside(type, value, range(len(value)))
    if found is None and b"null" not in octets and len(octets) <= _REMEMBERED_OCTETS:
        if len(_READABLE_CONTAINERS) >= _REMEMBERED:
            _READABLE_CONTAINERS.clear()
        _READABLE_CONTAINERS.add(octets)
    return found


_REMEMBERED, _REMEMBERED_OCTETS = 256, 16_384
_READABLE_CONTAINERS: set[bytes] = set()
_encode = msgspec.json.Encoder().encode


def _wrong_inside(type: Type, value: Any, places: Iterable[Any]) -> Wrong | None:
    inner = type.inner
    read = _READERS.get(inner.form) if inner else None
    if inner is None or read is None:
        return None
    for place in places:
        if value[place] is None:
            zero = _ZEROS.get(inner.form)
            value[place] = zero() if zero else None
        elif (found := read(inner, value[place])) is not None:
            return found._replace(steps=(place, *found.steps))
    return None


_ZEROS: dict[str, Callable[[], Any]] = {
    "struct": dict,
    "map": dict,
    "list": list,
    "string": str,
    "bytes": str,
    "bool": bool,
    "int32": int,
    "int64": int,
    "int-or-string": int,
    "float64": int,
    "quantity": lambda: "0",
}


def _wrong_schema(type: Type, value: Any) -> Wrong | None:
    if isinstance(value, dict) and type.inner:
        return _wrong_struct(type.inner, value)
    is_misfit = type.go.endswith("OrBool") and not isinstance(value, bool)
    return Wrong(value, type, said="boolean or JSON schema expected") if is_misfit else None


def _wrong_string(type: Type, value: Any) -> Wrong | None:
    return None if isinstance(value, str) else Wrong(value, type)


def _wrong_bool(type: Type, value: Any) -> Wrong | None:
    return None if isinstance(value, bool) else Wrong(value, type)


def _wrong_integer(type: Type, value: Any) -> Wrong | None:
    limit = 1 << _BITS[type.form]
    fits = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    return None if fits else Wrong(value, type)


def _wrong_number(type: Type, value: Any) -> Wrong | None:
    return None if isinstance(value, int | float) and not isinstance(value, bool) else Wrong(value, type)


def _wrong_int_or_string(type: Type, value: Any) -> Wrong | None:
    return None if isinstance(value, str) else _wrong_integer(_INT32, value)


_INT32 = Type("int32", "int32")


def _wrong_quantity(type: Type, value: Any) -> Wrong | None:
    return None if parse(value) is not None else Wrong(value, type, said=_NOT_A_QUANTITY)


def _wrong_bytes(type: Type, value: Any) -> Wrong | None:
    if not isinstance(value, str):
        return Wrong(value, type)
    text = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        good = re.match(r"[A-Za-z0-9+/]*", value)
        at = good.end() if good else 0
        return Wrong(value, type, said=f"illegal base64 data at input byte {at}")
    return None


def _wrong_time(type: Type, value: Any) -> Wrong | None:
    if not isinstance(value, str):
        return Wrong(value, type)
    is_micro = type.form == "micro"
    if (_MICRO_SHAPE if is_micro else _TIME_SHAPE).fullmatch(value):
        return None
    layout = _MICRO_LAYOUT if is_micro else _TIME_LAYOUT
    said = f'parsing time "{value}" as "{"".join(one for one, _ in layout)}": '
    rest = value
    for element, shape in layout:
        fits = re.match(shape, rest)
        if not fits:
            return Wrong(value, type, said=f'{said}cannot parse "{rest}" as "{element}"')
        rest = rest[fits.end() :]
    if rest:
        return Wrong(value, type, said=f'parsing time "{value}": extra text: "{rest}"')
    names = ("year", "month", "day", "hour", "minute", "second")
    numbers = [int(text) for text in re.findall(r"\d+", value)[:6]]
    limits = ((0, 9999), (1, 12), (1, 31), (0, 23), (0, 59), (0, 59))
    what = next((name for name, n, (low, high) in zip(names, numbers, limits, strict=True) if not low <= n <= high), "")
    return Wrong(value, type, said=f'parsing time "{value}": {what} out of range') if what else None


_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_ZONE = r"(?:Z|[+-]\d\d:\d\d)"
_TIME_SHAPE = re.compile(rf"{_DATE}(?:\.\d+)?{_ZONE}")
_MICRO_SHAPE = re.compile(rf"{_DATE}\.\d{{6}}{_ZONE}")
_DIGITS = r"\d\d"
_SECONDS = [("2006", r"\d{4}"), ("-", "-"), ("01", _DIGITS), ("-", "-"), ("02", _DIGITS), ("T", "T"), ("15", _DIGITS)]
_SECONDS += [(":", ":"), ("04", _DIGITS), (":", ":")]
_TIME_LAYOUT = [*_SECONDS, ("05", r"\d\d(?:\.\d+)?"), ("Z07:00", _ZONE)]
_MICRO_LAYOUT = [*_SECONDS, ("05", _DIGITS), (".000000", r"\.\d{6}"), ("Z07:00", _ZONE)]

_READERS: dict[str, Callable[[Type, Any], Wrong | None]] = {
    "struct": _wrong_struct,
    "map": _wrong_map,
    "schema": _wrong_schema,
    "list": _wrong_list,
    "string": _wrong_string,
    "bool": _wrong_bool,
    "int32": _wrong_integer,
    "int64": _wrong_integer,
    "float64": _wrong_number,
    "int-or-string": _wrong_int_or_string,
    "quantity": _wrong_quantity,
    "bytes": _wrong_bytes,
    "time": _wrong_time,
    "micro": _wrong_time,
}


# Applying


def undeclared(resource: Resource, object: Json, schema: Json | None = None) -> str:
    """Return why an apply could not take *object*, empty where it could; fields that are not known are wrong too.

    Args:
        resource: Its kind.
        object: As it was applied.
        schema: Of a custom kind.
    """
    type = type_of(resource) if schema is None else _custom_type(schema)
    found = list(_undeclared(type, object)) if type is not None else []
    if not found:
        return ""
    metadata = object.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    version = resource.group_version if resource.group else f"/{resource.version}"
    name = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {version}, Kind={resource.kind}"
    why = found[0] if len(found) == 1 else "\n  ".join(("errors:", *found))
    return f"failed to create typed patch object ({name}): {why}"


def _custom_type(schema: Json) -> Type:
    made = _of_custom_schema(schema)
    made.form = "struct"
    made.fields |= {"apiVersion": Type("string"), "kind": Type("string"), "metadata": metadata_type()}
    return made


def _of_custom_schema(schema: Json) -> Type:
    if schema.get("x-kubernetes-int-or-string"):
        return Type("int-or-string")
    is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    properties, additional = schema.get("properties"), schema.get("additionalProperties")
    kind = str(schema.get("type"))
    if kind == "object" and isinstance(additional, dict):
        return Type("map", inner=_of_custom_schema(additional))
    if kind == "object" and (properties or not (is_open or additional)):
        fields = {name: _of_custom_schema(each) for name, each in (properties or {}).items()}
        if schema.get("x-kubernetes-embedded-resource"):
            fields |= {"apiVersion": Type("string"), "kind": Type("string"), "metadata": Type()}
        return Type("struct", fields=fields, is_open=is_open)
    if kind == "array":
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        by_type = {"map": keys, "set": ()}.get(str(schema.get("x-kubernetes-list-type")))
        return Type("list", inner=_of_custom_schema(schema.get("items") or {}), keys=by_type)
    return Type({"integer": "int64", "number": "float64", "string": "string", "boolean": "bool"}.get(kind, ""))


def _undeclared(type: Type, value: Any) -> Iterator[str]:
    """Yield what is wrong, each with the path to it."""
    if value is None or type.form in ("", "schema"):
        return
    if type.form in ("struct", "map"):
        yield from _undeclared_fields(type, value)
    elif type.form == "list":
        yield from _undeclared_items(type, value)
    elif type.form in ("int32", "int64", "float64"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f": expected numeric (int or float), got {_GO_TYPES.get(_kind(value), 'string')}"
    elif type.form == "bool":
        if not isinstance(value, bool):
            yield f": expected boolean, got &{{{go_text(value)}}}"
    elif type.form in ("int-or-string", "quantity"):
        if isinstance(value, dict | list):
            yield f": expected any scalar, got &{{{go_text(value)}}}"
    elif not isinstance(value, str):
        yield f": expected string, got &value.valueUnstructured{{Value:{_go_source(value)}}}"


def _undeclared_fields(type: Type, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f": expected map, got &{{{go_text(value)}}}"
        return
    for name in sorted(value):
        inner = type.inner if type.form == "map" else type.fields.get(name)
        if inner is not None:
            yield from (f".{name}{each}" for each in _undeclared(inner, value[name]))
        elif type.form == "struct" and not type.is_open:
            yield f".{name}: field not declared in schema"
            return


def _undeclared_items(type: Type, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f": expected list, got &{{{go_text(value)}}}"
        return
    for index, item in enumerate(value):
        place = f"[{index}]"
        if type.keys and isinstance(item, dict):
            keys = [f"{key}={_go_source(item[key])}" for key in sorted(type.keys) if key in item]
            place = f"[{','.join(keys)}]"
        elif type.keys:
            yield f": element {index}: associative list with keys may not have non-map elements"
            return
        elif type.keys == () and not isinstance(item, dict | list):
            place = f"[={_go_source(item)}]"
        if type.inner is not None:
            yield from (f"{place}{each}" for each in _undeclared(type.inner, item))


_GO_TYPES = {"map": "map[string]interface {}", "slice": "[]interface {}"}
_GO_TYPES |= {name: name for name in ("string", "bool", "int64", "float64")}


def _kind(value: Any) -> str:
    return _GO_KINDS.get(type(value), "string")


def _go_source(value: Any) -> str:
    """Return *value* as it would stand in a source of Go."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_source, value))}}}"
    if isinstance(value, dict):
        pairs = [f"{_go_source(key)}:{_go_source(value[key])}" for key in sorted(value)]
        return f"map[string]interface {{}}{{{', '.join(pairs)}}}"
    return go_text(value)
