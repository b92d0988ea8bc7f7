"""OpenAPI v3 of what is served: for ``kubectl explain``, for apply, and for clients that check fields. Pure.

The schemas of the built-in kinds are made at run time from the models of the `kubernetes` package, which describe every
field; nothing of them is kept here but what the models leave out. They load with the first document that needs them.
Names and extensions are those of kube-apiserver 1.36, with which the tests compare.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from headlessdns import __version__
from headlessdns.lab.api.discovery import verbs
from headlessdns.lab.api.kinds import RESOURCES
from headlessdns.lab.api.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from headlessdns.lab.api.kinds import Json, Resource
    from headlessdns.lab.api.shapes import Fields, Shape

    GroupVersionKind = tuple[str, str, str]

_REF = "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CORE = "io.k8s.api.core.v1."
OBJECT_META = f"{_META}ObjectMeta"

# The packages whose names differ from their group's.
_PACKAGES = {"": _CORE, "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."}

_META_TYPES = frozenset(
    {"Condition", "LabelSelector", "LabelSelectorRequirement", "ManagedFieldsEntry", "ObjectMeta", "OwnerReference"}
)
# Types of the core that its own served kinds do not lead to.
_CORE_MODELS = ("V1PodTemplate", "V1TopologySelectorTerm")
# The models of the `kubernetes` package whose names say their group, since several groups have the type.
_MODEL_PREFIX = re.compile(r"(?:Core|Discovery|Apiextensions|Rbac)?V1(?=[A-Z])")

# ---- what the models do not say

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME, MICRO_TIME = f"{_META}Time", f"{_META}MicroTime"
FIELDS, RAW = f"{_META}FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension"
_EXTENSIONS = _PACKAGES["apiextensions.k8s.io"]

# Types that are no models: of one value, or of any form.
VALUE_TYPES: dict[str, Json] = {
    QUANTITY: {
        "description": "A quantity with a unit, such as 100m, 1Gi or 2.",
        "oneOf": [{"type": "string"}, {"type": "number"}],
    },
    INT_OR_STRING: {
        "description": "A number, or a text such as a name or a percentage.",
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    TIME: {"description": "A time by RFC 3339, in seconds.", "type": "string", "format": "date-time"},
    MICRO_TIME: {"description": "A time by RFC 3339, in microseconds.", "type": "string", "format": "date-time"},
    FIELDS: {"description": "A set of fields, as a tree of their names.", "type": "object"},
    RAW: {"description": "Any object.", "type": "object"},
    f"{_EXTENSIONS}JSON": {"description": "Any value."},
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": {"description": "A schema, or several."},
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": {"description": "A schema, true, or false."},
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": {"description": "A schema, or names of fields."},
}

# By "Type.field" or by the field alone: what the models call str, datetime or object.
FIELD_TYPES: dict[str, str] = {
    **dict.fromkeys(
        ("allocatable", "allocatedResources", "capacity", "limits", "overhead", "requests", "divisor", "sizeLimit"),
        QUANTITY,
    ),
    **dict.fromkeys(("maxSurge", "maxUnavailable", "minAvailable", "targetPort", "port"), INT_OR_STRING),
    **dict.fromkeys(("eventTime", "lastObservedTime", "acquireTime", "renewTime"), MICRO_TIME),
    "fieldsV1": FIELDS,
    "ControllerRevision.data": RAW,
    **dict.fromkeys(("default", "example", "enum"), f"{_EXTENSIONS}JSON"),
    "JSONSchemaProps.items": f"{_EXTENSIONS}JSONSchemaPropsOrArray",
    **dict.fromkeys(("additionalItems", "additionalProperties"), f"{_EXTENSIONS}JSONSchemaPropsOrBool"),
    "dependencies": f"{_EXTENSIONS}JSONSchemaPropsOrStringArray",
}
_SIMPLE: dict[str, Json] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "bytes": {"type": "string", "format": "byte"},
    "bytearray": {"type": "string", "format": "byte"},
    "datetime": {"allOf": [{"$ref": f"{_REF}{TIME}"}]},
}
_OPEN = frozenset({"str", "object", "datetime"})

# By "Type.field", where a strategic merge does otherwise than merge by a key, or replace what has none.
_STRATEGIES = {
    "PodSpec.volumes": "merge,retainKeys",
    "PodSpec.resourceClaims": "merge,retainKeys",
    "PodStatus.resourceClaimStatuses": "merge,retainKeys",
    "DeploymentSpec.strategy": "retainKeys",
    "ObjectMeta.finalizers": "merge",
    "NodeSpec.podCIDRs": "merge",
}


# ---- schemas of the built-in kinds


class _Types:
    """The models that the built-in kinds lead to, as schemas by their name."""

    def __init__(self) -> None:
        self._models: Any = importlib.import_module("kubernetes.client.models")
        self.schemas: dict[str, Json] = dict(VALUE_TYPES)
        self._names: dict[str, str] = {}
        core = [resource for resource in RESOURCES if not resource.group]
        for resource in core:
            self._add_kind(resource)
        for model in _CORE_MODELS:
            self._add(model, _CORE, Shapes(core[0]), ())
        for resource in RESOURCES:
            if resource.group:
                self._add_kind(resource)

    def _add_kind(self, resource: Resource) -> None:
        model = f"V1{resource.kind}"
        if not hasattr(self._models, model):
            model = f"{resource.group.partition('.')[0].title() or 'Core'}{model}"
        name = self._add(model, package(resource.group), Shapes(resource), ())
        self.schemas[name]["x-kubernetes-group-version-kind"] = [kind_of(resource)]

    def _add(self, model: str, home: str, shapes: Shapes, path: Fields) -> str:
        """Add *model* with all that it leads to, and return its name; one that is known stays as it is.

        Args:
            model: A class of the `kubernetes` package.
            home: The package of the kind that led here, to which the type belongs unless it is a common one.
            shapes: What is known of the fields of that kind.
            path: The fields that led here.
        """
        if model in self._names:
            return self._names[model]
        short = _MODEL_PREFIX.sub("", model)
        name = self._names[model] = f"{_META if short in _META_TYPES else home}{short}"
        found = getattr(self._models, model)
        properties: Json = {}
        schema: Json = {"description": _class_text(found), "type": "object", "properties": properties}
        self.schemas[name] = schema
        required = []
        for attribute, kind in found.openapi_types.items():
            field = found.attribute_map[attribute]
            told = found.model_fields.get(attribute) or found.model_fields[f"var_{attribute.lstrip('_')}"]
            properties[field] = self._property(f"{short}.{field}", kind, told.description, home, shapes, (*path, field))
            required += [field] if told.is_required() else []
        if required:
            schema["required"] = sorted(required)
        return name

    def _property(
        self, owned: str, kind: str, description: str | None, home: str, shapes: Shapes, path: Fields
    ) -> Json:
        schema = self._value(owned, kind, home, shapes, path)
        described: Json = {"description": description} if description else {}
        return described | schema | _merging(owned, schema, shapes.at(path))

    def _value(self, owned: str, kind: str, home: str, shapes: Shapes, path: Fields) -> Json:
        """Return the schema of *kind* as the models write it: str, V1Pod, List[...], Dict[str, ...]."""
        outer, _, inner = kind.removesuffix("]").partition("[")
        if outer == "List":
            return {"type": "array", "items": self._value(owned, inner, home, shapes, path)}
        if outer == "Dict":
            value = self._value(owned, inner.partition(", ")[2], home, shapes, path)
            return {"type": "object", "additionalProperties": value}
        if kind in _OPEN:
            name = FIELD_TYPES.get(owned) or FIELD_TYPES.get(owned.partition(".")[2])
            return _reference(name) if name else _SIMPLE.get(kind, {"type": "object"})
        return _SIMPLE.get(kind) or _reference(self._add(kind, home, shapes, path))


def package(group: str) -> str:
    """Return what the names of the schemas of a built-in group begin with."""
    return _PACKAGES.get(group) or f"io.k8s.api.{group.partition('.')[0]}.v1."


def kind_of(resource: Resource) -> Json:
    """Return the extension that says which kind a schema or an operation is about."""
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _reference(name: str) -> Json:
    # Beside $ref nothing else counts, so what else there is to say stands beside allOf.
    return {"allOf": [{"$ref": f"{_REF}{name}"}]}


def _class_text(model: Any) -> str:
    """Return what the model says of itself: the docstring up to its list of attributes."""
    text = (model.__doc__ or "").partition("Attributes:")[0]
    return " ".join(text.split())


def _merging(owned: str, schema: Json, shape: Shape) -> Json:
    """Return the extensions that say how two values of the field come together."""
    strategy = _STRATEGIES.get(owned)
    found: Json = {}
    if schema.get("type") == "array":
        has_objects = "allOf" in schema["items"]
        found["x-kubernetes-list-type"] = "set" if shape.is_set else "atomic"
        if has_objects and shape.keys:
            found |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(shape.keys)}
        if has_objects and shape.merge_key:
            found["x-kubernetes-patch-merge-key"] = shape.merge_key
            strategy = strategy or "merge"
    elif shape.patch_replaces:
        strategy = "replace"
    return found | ({"x-kubernetes-patch-strategy": strategy} if strategy else {})


@cache
def built_in_schemas() -> dict[str, Json]:
    """Return the schemas of all built-in kinds by their name. Made once; not to be changed."""
    return _Types().schemas


# ---- schemas of custom resources


def custom_name(resource: Resource) -> str:
    """Return the name of a custom resource's schema: ``io.headlessdns.v1alpha1.OrdinalSet``."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _custom_schema(resource: Resource, given: Json) -> Json:
    """Return the schema of a CustomResourceDefinition with what every object has."""
    common: Json = {
        "apiVersion": {"description": "The group and version that this is written in.", "type": "string"},
        "kind": {"description": "What this is.", "type": "string"},
        "metadata": {"description": "Name, labels and the like.", **_reference(OBJECT_META)},
    }
    properties = (given.get("properties") or {}) | common
    return {**given, "properties": properties, "x-kubernetes-group-version-kind": [kind_of(resource)]}


# ---- paths

_WRITE_PARAMETERS = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
_PATCH_PARAMETERS = {**_WRITE_PARAMETERS, "force": "boolean"}
_SELECT_PARAMETERS = {
    "continue": "string",
    "fieldSelector": "string",
    "labelSelector": "string",
    "limit": "integer",
    "resourceVersion": "string",
    "resourceVersionMatch": "string",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
}
_LIST_PARAMETERS = {**_SELECT_PARAMETERS, "allowWatchBookmarks": "boolean", "watch": "boolean"}
_DELETE_PARAMETERS = {"dryRun": "string", "gracePeriodSeconds": "integer", "propagationPolicy": "string"}

# Method: the action, and the parameters of the query.
_COLLECTION = {
    "get": ("list", _LIST_PARAMETERS),
    "post": ("post", _WRITE_PARAMETERS),
    "delete": ("deletecollection", _DELETE_PARAMETERS | _SELECT_PARAMETERS),
}
_OBJECT = {
    "get": ("get", {}),
    "put": ("put", _WRITE_PARAMETERS),
    "patch": ("patch", _PATCH_PARAMETERS),
    "delete": ("delete", _DELETE_PARAMETERS),
}
# The verbs of actions that are called otherwise.
_VERBS = {"post": "create", "put": "update"}
_PART = {method: _OBJECT[method] for method in ("get", "put", "patch")}
_ACT = {"post": ("post", _WRITE_PARAMETERS)}
# Subresource: its methods, and its kind where that is not its resource's.
_SUBRESOURCES: dict[str, tuple[dict[str, tuple[str, dict[str, str]]], Json]] = {
    "status": (_PART, {}),
    "scale": (_PART, {"group": "autoscaling", "version": "v1", "kind": "Scale"}),
    "binding": (_ACT, {"group": "", "version": "v1", "kind": "Binding"}),
    "eviction": (_ACT, {"group": "policy", "version": "v1", "kind": "Eviction"}),
}
_PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_STRATEGIC = "application/strategic-merge-patch+json"


def _parameter(name: str, kind: str, place: str = "query") -> Json:
    return {"name": name, "in": place, "schema": {"type": kind}} | ({"required": True} if place == "path" else {})


def _operation(method: str, action: str, parameters: Mapping[str, str], kind: Json, schema: Json | None) -> Json:
    body: Json = {"schema": schema or {"type": "object"}}
    found: Json = {
        "responses": {"200": {"description": "OK", "content": {"application/json": body}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    }
    if parameters:
        found["parameters"] = [_parameter(name, parameters[name]) for name in sorted(parameters)]
    if method in {"post", "put"}:
        found["requestBody"] = {"required": True, "content": {"application/json": body}}
    return found


def _operations(
    methods: Mapping[str, tuple[str, Mapping[str, str]]], path: str, kind: Json, schema: Json | None, *, custom: bool
) -> Json:
    found: Json = {}
    for method, (action, parameters) in methods.items():
        one = _operation(method, action, parameters, kind, None if action in _WITHOUT_OBJECT else schema)
        if method == "patch":
            types = _PATCH_TYPES if custom else (*_PATCH_TYPES, _STRATEGIC)
            content = {media_type: {"schema": {"type": "object"}} for media_type in types}
            one["requestBody"] = {"required": True, "content": content}
        found[method] = one
    if names := re.findall(r"{(\w+)}", path):
        found["parameters"] = [_parameter(name, "string", "path") for name in names]
    return found


_WITHOUT_OBJECT = frozenset({"list", "delete", "deletecollection"})


def _paths(resource: Resource, name: str, *, custom: bool) -> Iterator[tuple[str, Json]]:
    """Yield each path of *resource* with its operations."""
    kind, schema = kind_of(resource), {"$ref": f"{_REF}{name}"}
    collection = resource.collection("{namespace}" if resource.namespaced else "")
    one = f"{collection}/{{name}}"
    places = [(collection, _COLLECTION), (one, _OBJECT)]
    if resource.namespaced and "list" in verbs(resource):
        places.append((resource.collection(), {"get": _COLLECTION["get"]}))
    for path, methods in places:
        able = {method: told for method, told in methods.items() if _VERBS.get(told[0], told[0]) in verbs(resource)}
        if able:
            yield path, _operations(able, path, kind, schema, custom=custom)
    for subresource in sorted(resource.subresources):
        methods, other = _SUBRESOURCES[subresource]
        path = f"{one}/{subresource}"
        yield path, _operations(methods, path, other or kind, None if other else schema, custom=custom)


# ---- documents


class OpenApi:
    """The documents of one set of resources.

    Args:
        resources: Built-in and custom ones.
        custom_schemas: By group, version and kind: the ``openAPIV3Schema`` of each custom resource.
        server_version: As the documents say it, such as v1.36.3.
    """

    def __init__(
        self, resources: Iterable[Resource], custom_schemas: Mapping[GroupVersionKind, Json], server_version: str
    ) -> None:
        self._custom = dict(custom_schemas)
        self._server_version = server_version
        self._resources: dict[str, list[Resource]] = {}
        for resource in resources:
            place = f"apis/{resource.group_version}" if resource.group else f"api/{resource.version}"
            self._resources.setdefault(place, []).append(resource)
        self._documents: dict[str, Json] = {}

    def index(self) -> Json:
        """Return the answer to ``/openapi/v3``: where each document is, with a hash that changes when it does."""
        places = {
            place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={self.hash(place)}"} for place in self._resources
        }
        return {"paths": places}

    def hash(self, place: str) -> str:
        """Return a digest of all that decides the document at *place*, which need not be made for it."""
        given = [
            (list(map(str, one[:7])), sorted(one.subresources), self._given(one)) for one in self._resources[place]
        ]
        text = json.dumps([__version__, version("kubernetes"), self._server_version, given], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest().upper()

    def document(self, place: str) -> Json | None:
        """Return the document at ``/openapi/v3/`` *place*, such as ``apis/apps/v1``; None where nothing is served."""
        if place not in self._resources:
            return None
        if place not in self._documents:
            self._documents[place] = self._make(self._resources[place])
        return self._documents[place]

    def _given(self, resource: Resource) -> Json | None:
        return self._custom.get((resource.group, resource.version, resource.kind))

    def _make(self, resources: Iterable[Resource]) -> Json:
        known = built_in_schemas()
        paths: Json = {}
        schemas: dict[str, Json] = {}
        for resource in resources:
            given = self._given(resource)
            name = custom_name(resource) if given is not None else f"{package(resource.group)}{resource.kind}"
            if given is not None:
                schemas[name] = _custom_schema(resource, given)
                _collect(schemas[name], known, schemas)
            elif name in known:
                _collect(_reference(name), known, schemas)
            else:
                schemas[name] = {"type": "object", "x-kubernetes-group-version-kind": [kind_of(resource)]}
            paths.update(_paths(resource, name, custom=given is not None))
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._server_version},
            "paths": dict(sorted(paths.items())),
            "components": {"schemas": dict(sorted(schemas.items()))},
        }


def _collect(schema: Any, known: Mapping[str, Json], found: dict[str, Json]) -> None:
    """Add to *found* every schema of *known* that *schema* leads to."""
    if isinstance(schema, list):
        for item in schema:
            _collect(item, known, found)
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                name = value.removeprefix(_REF)
                if name in known and name not in found:
                    found[name] = known[name]
                    _collect(known[name], known, found)
            else:
                _collect(value, known, found)
