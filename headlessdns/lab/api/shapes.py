"""How two versions of an object come together: which lists are maps by a key, which are sets, what is one value. Pure.

Source: the OpenAPI document of kube-apiserver 1.36 (x-kubernetes-list-type, list-map-keys, map-type, patch-merge-key).
A field that the table does not know is merged field by field if it is an object, and is one value if it is a list. A
CustomResourceDefinition says the same in its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from headlessdns.lab.api.kinds import RESOURCES, Json, Resource

_encode = msgspec.json.Encoder().encode

Fields = tuple[str, ...]
"""The names of fields from the root to here; items of lists and their keys are no step."""


class Shape(NamedTuple):
    """How the values of one field come together.

    Attributes:
        keys: Of a list that is a map: the fields that tell its items apart.
        merge_key: The field by which a strategic merge patch tells items apart; empty where it replaces the list.
        is_set: A list of values, each at most once.
        is_atomic: An object that is one value.
        patch_replaces: A strategic merge patch replaces the object.
        has_atomic_items: Each item of the list is one value.
        key_defaults: What a key is where the item lacks it.
    """

    keys: tuple[str, ...] = ()
    merge_key: str = ""
    is_set: bool = False
    is_atomic: bool = False
    patch_replaces: bool = False
    has_atomic_items: bool = False
    key_defaults: tuple[tuple[str, Any], ...] = ()


_GRANULAR = Shape()
_ATOMIC = Shape(is_atomic=True)
_SET = Shape(is_set=True)


def _by(*keys: str) -> Shape:
    return Shape(keys=keys, merge_key=keys[0])


# By the name of the field, or by its parent's and its own where one name means several things.
_SHAPES: dict[str, Shape] = {
    "metadata.finalizers": _SET,
    "ownerReferences": _by("uid")._replace(has_atomic_items=True),
    "conditions": _by("type"),
    # Pods and their templates
    "containers": _by("name"),
    "initContainers": _by("name"),
    "ephemeralContainers": _by("name"),
    "volumes": _by("name"),
    "env": _by("name"),
    "volumeMounts": _by("mountPath"),
    "volumeDevices": _by("devicePath"),
    "containers.ports": _by("containerPort", "protocol"),
    "initContainers.ports": _by("containerPort", "protocol"),
    "ephemeralContainers.ports": _by("containerPort", "protocol"),
    "resources.claims": Shape(keys=("name",)),
    "spec.imagePullSecrets": _by("name")._replace(has_atomic_items=True),
    "hostAliases": _by("ip"),
    "topologySpreadConstraints": _by("topologyKey", "whenUnsatisfiable"),
    "schedulingGates": _by("name"),
    "resourceClaims": _by("name"),
    "resourceClaimStatuses": _by("name"),
    "allocatedResourcesStatus": _by("name"),
    "podIPs": _by("ip"),
    "hostIPs": Shape(merge_key="ip"),
    # Others
    "spec.ports": _by("port", "protocol"),
    "status.addresses": _by("type"),
    "endpoints.addresses": _SET,
    "podCIDRs": _SET,
    "ServiceAccount.secrets": _by("name")._replace(has_atomic_items=True),
    # Objects that are one value
    **dict.fromkeys(
        (
            "nodeSelector",
            "labelSelector",
            "namespaceSelector",
            "claimRef",
            "configMapKeyRef",
            "secretKeyRef",
            "fieldRef",
            "fileKeyRef",
            "resourceFieldRef",
            "secretRef",
            "controllerExpandSecretRef",
            "controllerPublishSecretRef",
            "nodeExpandSecretRef",
            "nodePublishSecretRef",
            "nodeStageSecretRef",
            "dataSource",
            "involvedObject",
            "related",
            "targetRef",
            "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
            "nodeAffinity.required",
            "preference",
            "ControllerRevision.data",
        ),
        _ATOMIC,
    ),
    "selector": _ATOMIC,
    "PodDisruptionBudget.spec.selector": Shape(is_atomic=True, patch_replaces=True),
}
_LAST_NAMES = frozenset(name.rpartition(".")[2] for name in _SHAPES)  # most fields are not among them

# Read only where a field of this name is really a list of that form: keys that may be left out, and what they then are.
_KEY_DEFAULTS = {"protocol": "TCP"}

_CUSTOM: dict[str, Shape] = {"metadata.finalizers": _SET, "metadata.ownerReferences": _SHAPES["ownerReferences"]}


class Shapes:
    """The shapes of the fields of one kind.

    Args:
        resource: The kind.
        schema: Of a custom resource: its ``openAPIV3Schema``. Without one its lists are one value each.
    """

    def __init__(self, resource: Resource, schema: Json | None = None) -> None:
        self.is_custom = resource.kind not in _BUILT_IN.get(resource.group, frozenset())
        self._kind = resource.kind
        self._schema = schema or {}

    def at(self, fields: Fields) -> Shape:
        """Return how the values of this field come together."""
        if not fields:
            return _GRANULAR
        if not self.is_custom:
            return self._built_in(fields)
        if fields[0] == "metadata":
            return _CUSTOM.get(".".join(fields), _GRANULAR)
        return _shape_in_schema(self._schema_at(fields))

    def is_named(self, fields: Fields) -> bool:
        """Tell whether the schema names this field, so that it is no key of a free map."""
        if not self.is_custom or fields[0] in {"metadata", "apiVersion", "kind"}:
            return True
        return fields[-1] in _items(self._schema_at(fields[:-1])).get("properties", {})

    def _built_in(self, fields: Fields) -> Shape:
        if fields[-1] not in _LAST_NAMES:
            return _GRANULAR
        parent = fields[-2] if len(fields) > 1 else self._kind
        for name in (f"{self._kind}.{'.'.join(fields)}", f"{parent}.{fields[-1]}", fields[-1]):
            if name in _SHAPES:
                return _SHAPES[name]
        return _GRANULAR

    def _schema_at(self, fields: Fields) -> Json:
        schema = self._schema
        for field in fields[:-1]:
            schema = _items(_below(schema, field))
        return _below(schema, fields[-1]) if fields else schema


def _below(schema: Json, field: str) -> Json:
    found = schema.get("properties", {}).get(field) or schema.get("additionalProperties")
    return found if isinstance(found, dict) else {}


def _items(schema: Json) -> Json:
    items = schema.get("items")
    return items if schema.get("type") == "array" and isinstance(items, dict) else schema


def _shape_in_schema(schema: Json) -> Shape:
    list_type = schema.get("x-kubernetes-list-type")
    if list_type == "map":
        keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        fields = _items(schema).get("properties") or {}
        defaults = tuple((key, fields[key]["default"]) for key in keys if "default" in fields.get(key, {}))
        return Shape(keys=keys, key_defaults=defaults)
    return Shape(is_set=list_type == "set", is_atomic=schema.get("x-kubernetes-map-type") == "atomic")


def item_key(shape: Shape, item: Any) -> str:
    """Return the path element of one item of a list: ``k:{"name":"web"}`` or ``v:"a"``.

    A key that the item lacks is null, as validation will say.
    """
    if shape.is_set or not isinstance(item, Mapping):
        return f"v:{_compact(item)}"
    if len(shape.keys) == 1 and isinstance(value := item.get(shape.keys[0]), str):
        return f'k:{{"{shape.keys[0]}":{_compact(value)}}}'
    defaults = {**_KEY_DEFAULTS, **dict(shape.key_defaults)}
    return f"k:{_compact({key: item.get(key, defaults.get(key)) for key in sorted(shape.keys)})}"


def _compact(value: Any) -> str:
    return _encode(value).decode()


_BUILT_IN: dict[str, frozenset[str]] = {
    group: frozenset(each.kind for each in RESOURCES if each.group == group) for group in {r.group for r in RESOURCES}
}
_BUILT_IN["autoscaling"] = frozenset({"Scale"})  # a subresource
