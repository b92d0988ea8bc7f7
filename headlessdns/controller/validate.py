"""What the API server adds to a set and what it refuses, known without one (S51, S52).

An API server checks a StatefulSet itself, and an OrdinalSet by the schema in ``deploy/crd``. This is the same table for
sets that come from a file, and for those that were stored under an older schema. Of a pod template and of claim
templates it knows what a set depends on: labels, names, images, volumes and mounts, access modes, storage. The rest is
judged when a pod or a claim is created. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from headlessdns import names
from headlessdns.controller.model import MAX_ORDINAL, Json, SetKind, read_ordinals, read_selector
from headlessdns.errors import Fault


class _Rule(NamedTuple):
    """What is expected.

    Attributes:
        expected: In our words.
        remedy: What to do.
        says: What the API server says, where that is not the same.
    """

    expected: str
    remedy: str
    says: str = ""


_Broken = tuple[str, Any, _Rule]
"""The path of a field, its value (None where there is none) and the rule that it breaks."""

_NOT_NEGATIVE = _Rule("0 or more", "correct it", "must be greater than or equal to 0")
_POSITIVE = _Rule("1 or more", "correct it, or leave it out", "must be greater than or equal to 1")
_INT32 = _Rule(f"a number from {-MAX_ORDINAL - 1} to {MAX_ORDINAL}", "correct it")
_DNS_LABEL = _Rule("a DNS label: a-z, 0-9 and dashes, 1 to 63 characters, no dash at either end", "rename it")
_NEEDED = _Rule("a value", "write one", "Required value")
_ONLY_ROLLING = _Rule(
    "nothing with OnDelete",
    "leave it out, or set type to RollingUpdate",
    "only allowed for updateStrategy 'RollingUpdate'",
)
_SELECTOR = _Rule(
    "at least one label", "select the template's labels with matchLabels", "empty selector is invalid for {kind}"
)
_SELECTED = _Rule("labels that spec.selector selects", "let them agree", "`selector` does not match template `labels`")
_VALUES = _Rule("a value", "write one", "must be specified when `operator` is 'In' or 'NotIn'")
_NO_VALUES = _Rule("none", "leave them out", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
_LABEL_KEY = _Rule(
    "a label's name: letters, digits, '-', '_' and '.', at most 63, and before a '/' a DNS name if any", "rename it"
)
_LABEL_VALUE = _Rule("at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends", "correct it")
_NO_DEADLINE = _Rule(
    "nothing", "leave it out; a set replaces what ends", "activeDeadlineSeconds in {kind} is not Supported"
)
_UNIQUE = _Rule("a name of its own", "rename one of the two", "Duplicate value")
_MOUNTED = _Rule("a volume or a claim template of that name", "add one, or leave the mount out", "Not found")
_STORAGE = _Rule('a quantity above zero, such as "10Gi"', "correct it", "must be greater than zero")
_PERCENT = _Rule(
    "a number from 1 on, or 1% to 100%",
    "correct it",
    "a valid percent string must be a numeric string followed by an ending '%'",
)
_NOT_ZERO = _PERCENT._replace(says="cannot be 0")
_AT_MOST_ALL = _PERCENT._replace(says="must not be greater than 100%")
_RESERVED = _Rule('an ordinal, or a range of at most 10,000 such as "3-5"', "correct it")
_IN_RANGE = _Rule(f"ordinals up to {MAX_ORDINAL}", "lower ordinals.start or replicas")
_TYPE = {
    dict: _Rule("a map", "correct it"),
    list: _Rule("a list", "correct it"),
    str: _Rule("text", "put it in quotes"),
    int: _Rule("a whole number", "write it without quotes and fraction"),
    bool: _Rule("true or false", "write it without quotes"),
    int | str: _Rule("a whole number or text", "correct it"),
}


def _one_of(*words: str, says: str = "") -> _Rule:
    shown = " or ".join((", ".join(words[:-1]), words[-1])) if words[1:] else words[0]
    listed = ", ".join(f'"{word}"' for word in words)
    return _Rule(shown, "write one of these", says or f"supported values: {listed}")


# A path is the names of fields joined by dots; "[]" stands for each item of a list and "*" for each value of a map.
# Those above stand before those below.
_TYPES: tuple[tuple[str, Any], ...] = (
    ("metadata", dict),
    ("metadata.name", str),
    ("metadata.namespace", str),
    ("metadata.labels", dict),
    ("metadata.labels.*", str),
    ("metadata.annotations", dict),
    ("metadata.annotations.*", str),
    ("spec", dict),
    ("spec.replicas", int),
    ("spec.minReadySeconds", int),
    ("spec.revisionHistoryLimit", int),
    ("spec.serviceName", str),
    ("spec.podManagementPolicy", str),
    ("spec.ordinals", dict),
    ("spec.ordinals.start", int),
    ("spec.updateStrategy", dict),
    ("spec.updateStrategy.type", str),
    ("spec.updateStrategy.rollingUpdate", dict),
    ("spec.updateStrategy.rollingUpdate.partition", int),
    ("spec.updateStrategy.rollingUpdate.maxUnavailable", int | str),
    ("spec.persistentVolumeClaimRetentionPolicy", dict),
    ("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", str),
    ("spec.persistentVolumeClaimRetentionPolicy.whenScaled", str),
    ("spec.selector", dict),
    ("spec.selector.matchLabels", dict),
    ("spec.selector.matchLabels.*", str),
    ("spec.selector.matchExpressions", list),
    ("spec.selector.matchExpressions.[]", dict),
    ("spec.selector.matchExpressions.[].key", str),
    ("spec.selector.matchExpressions.[].operator", str),
    ("spec.selector.matchExpressions.[].values", list),
    ("spec.selector.matchExpressions.[].values.[]", str),
    ("spec.template", dict),
    ("spec.template.metadata", dict),
    ("spec.template.metadata.labels", dict),
    ("spec.template.metadata.labels.*", str),
    ("spec.template.metadata.annotations", dict),
    ("spec.template.metadata.annotations.*", str),
    ("spec.template.spec", dict),
    ("spec.template.spec.restartPolicy", str),
    ("spec.template.spec.activeDeadlineSeconds", int),
    *(
        row
        for group in ("containers", "initContainers")
        for row in (
            (f"spec.template.spec.{group}", list),
            (f"spec.template.spec.{group}.[]", dict),
            (f"spec.template.spec.{group}.[].name", str),
            (f"spec.template.spec.{group}.[].image", str),
            (f"spec.template.spec.{group}.[].volumeMounts", list),
            (f"spec.template.spec.{group}.[].volumeMounts.[]", dict),
            (f"spec.template.spec.{group}.[].volumeMounts.[].name", str),
            (f"spec.template.spec.{group}.[].volumeDevices", list),
            (f"spec.template.spec.{group}.[].volumeDevices.[]", dict),
            (f"spec.template.spec.{group}.[].volumeDevices.[].name", str),
        )
    ),
    ("spec.template.spec.volumes", list),
    ("spec.template.spec.volumes.[]", dict),
    ("spec.template.spec.volumes.[].name", str),
    ("spec.volumeClaimTemplates", list),
    ("spec.volumeClaimTemplates.[]", dict),
    ("spec.volumeClaimTemplates.[].metadata", dict),
    ("spec.volumeClaimTemplates.[].metadata.name", str),
    ("spec.volumeClaimTemplates.[].spec", dict),
    ("spec.volumeClaimTemplates.[].spec.accessModes", list),
    ("spec.volumeClaimTemplates.[].spec.accessModes.[]", str),
    ("spec.volumeClaimTemplates.[].spec.resources", dict),
    ("spec.volumeClaimTemplates.[].spec.resources.requests", dict),
    ("spec.volumeClaimTemplates.[].spec.resources.requests.storage", int | str),
)
_TYPES_OF_ORDINAL_SET: tuple[tuple[str, Any], ...] = (
    ("spec.reserveOrdinals", list),
    ("spec.reserveOrdinals.[]", int | str),
    ("spec.paused", bool),
    ("spec.claimGrowth", str),
    ("spec.progressDeadlineSeconds", int),
)

_NUMBERS = {
    "spec.replicas": _NOT_NEGATIVE,
    "spec.minReadySeconds": _NOT_NEGATIVE,
    "spec.ordinals.start": _NOT_NEGATIVE,
    "spec.updateStrategy.rollingUpdate.partition": _NOT_NEGATIVE,
    "spec.revisionHistoryLimit": None,  # a negative one keeps all
}
_RETENTION = ("Retain", "Delete")
_WORDS = {
    "spec.podManagementPolicy": ("OrderedReady", "Parallel"),
    "spec.updateStrategy.type": ("RollingUpdate", "OnDelete"),
    "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": _RETENTION,
    "spec.persistentVolumeClaimRetentionPolicy.whenScaled": _RETENTION,
    "spec.template.spec.restartPolicy": ("Always",),
}
_WORDS_OF_ORDINAL_SET = {"spec.claimGrowth": ("Never", "Expand")}
# For StatefulSets two of them are refused in other words, and one under the name of the map around it.
_MUST_BE = ("spec.podManagementPolicy", "spec.updateStrategy.type")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")

_LABEL_PREFIX = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_LABEL_TEXT = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
_QUANTITY = re.compile(
    r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]+)?\Z", re.ASCII
)


def faults(set_json: Json) -> list[Fault]:
    """Return what an API server would refuse of *set_json*, nothing where it would accept it.

    Args:
        set_json: A StatefulSet or an OrdinalSet, with or without its defaults.

    Raises:
        ValueError: It is of another kind.
    """
    kind = SetKind(set_json.get("kind"))
    broken = list(_types(set_json, kind)) or list(_rules(set_json, kind))
    return [
        Fault(where, "nothing" if found is None else repr(found), rule.expected, _remedy(rule, kind))
        for where, found, rule in broken
    ]


def has_types(set_json: Json) -> bool:
    """Tell whether every field of *set_json* that `faults` looks at has the type that the API gives it."""
    return not any(_types(set_json, SetKind(set_json.get("kind"))))


def _remedy(rule: _Rule, kind: SetKind) -> str:
    if not rule.says:
        return rule.remedy
    shown_kind = kind.value if rule is _NO_DEADLINE else kind.value.lower()
    return f"{rule.remedy}; the API server says: {rule.says.format(kind=shown_kind)}"


def _at(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Return what stands at *path*, each with its own path. Members that are null are not there."""
    found = [("", value)]
    for step in path.split("."):
        found = [each for where, parent in found for each in _children(where, parent, step)]
    return iter(found)


def _children(where: str, parent: Any, step: str) -> Iterator[tuple[str, Any]]:
    if step == "[]":
        if isinstance(parent, list):
            yield from ((f"{where}[{index}]", each) for index, each in enumerate(parent))
    elif isinstance(parent, dict):
        if step == "*":
            yield from ((f"{where}[{key}]", each) for key, each in parent.items())
        elif parent.get(step) is not None:
            yield f"{where}.{step}" if where else step, parent[step]


def _types(set_json: Json, kind: SetKind) -> Iterator[_Broken]:
    own = _TYPES_OF_ORDINAL_SET if kind is SetKind.ORDINAL_SET else ()
    for path, expected in (*_TYPES, *own):
        for where, value in _at(set_json, path):
            is_bool_for_number = isinstance(value, bool) and expected is not bool
            if not isinstance(value, expected) or is_bool_for_number:
                yield where, value, _TYPE[expected]


def _rules(set_json: Json, kind: SetKind) -> Iterator[_Broken]:
    """Return every rule that *set_json*, all of whose types are right, breaks."""
    metadata, spec = set_json.get("metadata") or {}, set_json.get("spec") or {}
    yield from _metadata(metadata)
    yield from _numbers(set_json, kind)
    yield from _words(set_json, kind)
    yield from _strategy(spec.get("updateStrategy") or {})
    if spec.get("serviceName") and not names.is_dns_label(spec["serviceName"]):
        yield "spec.serviceName", spec["serviceName"], _DNS_LABEL
    yield from _selector(spec)
    claim_templates = spec.get("volumeClaimTemplates") or []
    yield from _template(spec.get("template") or {}, {_name(template) for template in claim_templates})
    yield from _claim_templates(claim_templates)
    if kind is SetKind.ORDINAL_SET:
        yield from _extras(spec, claim_templates)


def _metadata(metadata: Json) -> Iterator[_Broken]:
    name = metadata.get("name") or ""
    if not name and not metadata.get("generateName"):
        yield "metadata.name", None, _NEEDED
    elif name and not names.is_dns_label(name):
        yield "metadata.name", name, _DNS_LABEL
    yield from _labels("metadata.labels", metadata.get("labels") or {})
    yield from _annotations("metadata.annotations", metadata.get("annotations") or {})


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(_LABEL_TEXT.match(name)) and (not slash or bool(_LABEL_PREFIX.match(prefix)))


def _is_label_value(value: str) -> bool:
    return not value or bool(_LABEL_TEXT.match(value))


def _labels(where: str, labels: Mapping[str, str]) -> Iterator[_Broken]:
    for key, value in labels.items():
        if not _is_label_key(key):
            yield where, key, _LABEL_KEY
        if not _is_label_value(value):
            yield where, value, _LABEL_VALUE


def _annotations(where: str, annotations: Mapping[str, str]) -> Iterator[_Broken]:
    for key in annotations:
        if not _is_label_key(key.lower()):  # an annotation's prefix may have capitals
            yield where, key, _LABEL_KEY


def _numbers(set_json: Json, kind: SetKind) -> Iterator[_Broken]:
    rules: dict[str, _Rule | None] = dict(_NUMBERS)
    if kind is SetKind.ORDINAL_SET:
        rules["spec.progressDeadlineSeconds"] = _POSITIVE
    for path, rule in rules.items():
        for where, value in _at(set_json, path):
            if not -MAX_ORDINAL - 1 <= value <= MAX_ORDINAL:
                yield where, value, _INT32
            elif rule is not None and value < (1 if rule is _POSITIVE else 0):
                yield where, value, rule


def _words(set_json: Json, kind: SetKind) -> Iterator[_Broken]:
    is_ordinal_set = kind is SetKind.ORDINAL_SET
    for path, words in {**_WORDS, **(_WORDS_OF_ORDINAL_SET if is_ordinal_set else {})}.items():
        for where, value in _at(set_json, path):
            if value in words or (value == "" and not is_ordinal_set):  # empty is left out, in apps/v1
                continue
            if path in _MUST_BE and not is_ordinal_set:
                says = "must be " + " or ".join(f"'{word}'" for word in words)
                yield where.removesuffix(".type"), value, _one_of(*words, says=says)
            else:
                yield where, value, _one_of(*words)


def _strategy(strategy: Json) -> Iterator[_Broken]:
    rolling_update = strategy.get("rollingUpdate")
    if rolling_update is None:
        return
    where = "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") == "OnDelete":
        yield where, rolling_update, _ONLY_ROLLING
    rule = _max_unavailable_rule(rolling_update.get("maxUnavailable"))
    if rule is not None:
        yield f"{where}.maxUnavailable", rolling_update["maxUnavailable"], rule


def _max_unavailable_rule(value: int | str | None) -> _Rule | None:
    """Return the rule that *value* breaks."""
    if value is None:
        return None
    if isinstance(value, int):
        return _NOT_NEGATIVE if value < 0 else _NOT_ZERO if not value else None
    if not re.fullmatch(r"[0-9]+%", value, re.ASCII):
        return _PERCENT
    percent = int(value[:-1][-18:])
    return _NOT_ZERO if not percent else _AT_MOST_ALL if percent > 100 else None


def _selector(spec: Json) -> Iterator[_Broken]:
    selector = spec.get("selector")
    if selector is None:
        yield "spec.selector", None, _NEEDED
        return
    expressions = selector.get("matchExpressions") or []
    if not selector.get("matchLabels") and not expressions:
        yield "spec.selector", selector, _SELECTOR
    yield from _labels("spec.selector.matchLabels", selector.get("matchLabels") or {})
    for index, expression in enumerate(expressions):
        yield from _expression(f"spec.selector.matchExpressions[{index}]", expression)
    try:
        found = read_selector(selector)
    except ValueError:
        return  # said already
    metadata = (spec.get("template") or {}).get("metadata") or {}
    labels = metadata.get("labels") or {}
    if not found.matches(labels):
        yield "spec.template.metadata.labels", labels or None, _SELECTED


def _expression(where: str, expression: Json) -> Iterator[_Broken]:
    operator, values = expression.get("operator"), expression.get("values") or []
    if not _is_label_key(expression.get("key") or ""):
        yield f"{where}.key", expression.get("key"), _LABEL_KEY
    if operator not in _OPERATORS:
        yield f"{where}.operator", operator, _one_of(*_OPERATORS)
    elif operator.endswith("In") and not values:
        yield f"{where}.values", None, _VALUES
    elif not operator.endswith("In") and values:
        yield f"{where}.values", values, _NO_VALUES
    for index, value in enumerate(values):
        if not _is_label_value(value):
            yield f"{where}.values[{index}]", value, _LABEL_VALUE


def _template(template: Json, claim_names: set[str]) -> Iterator[_Broken]:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from _labels("spec.template.metadata.labels", metadata.get("labels") or {})
    yield from _annotations("spec.template.metadata.annotations", metadata.get("annotations") or {})
    where = "spec.template.spec"
    if spec.get("activeDeadlineSeconds") is not None:
        yield f"{where}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], _NO_DEADLINE
    if not spec.get("containers"):
        yield f"{where}.containers", None, _NEEDED
    # A claim takes the place of a volume of its name.
    volumes = [volume.get("name") or "" for volume in spec.get("volumes") or []]
    yield from _doubles(volumes, f"{where}.volumes", ".name", claim_names)
    mountable = {*volumes, *claim_names}
    for group in ("initContainers", "containers"):
        containers = spec.get(group) or []
        for index, container in enumerate(containers):
            yield from _container(f"{where}.{group}[{index}]", container, mountable)
        yield from _doubles([each.get("name") or "" for each in containers], f"{where}.{group}", ".name")


def _container(where: str, container: Json, mountable: set[str]) -> Iterator[_Broken]:
    if not container.get("name"):
        yield f"{where}.name", None, _NEEDED
    elif not names.is_dns_label(container["name"]):
        yield f"{where}.name", container["name"], _DNS_LABEL
    if not container.get("image"):
        yield f"{where}.image", None, _NEEDED
    for group in ("volumeMounts", "volumeDevices"):
        for index, mount in enumerate(container.get(group) or []):
            name = mount.get("name") or ""
            if name not in mountable:
                yield f"{where}.{group}[{index}].name", name or None, _MOUNTED


def _doubles(found: Iterable[str], where: str, field: str, passed: Iterable[str] = ()) -> Iterator[_Broken]:
    """Return the names that were there before, but for those *passed* over."""
    before: Counter[str] = Counter()
    for index, name in enumerate(found):
        if before[name] and name not in passed:
            yield f"{where}[{index}]{field}", name, _UNIQUE
        before[name] += 1


def _name(claim_template: Json) -> str:
    return (claim_template.get("metadata") or {}).get("name") or ""


def _claim_templates(templates: list[Json]) -> Iterator[_Broken]:
    for index, template in enumerate(templates):
        where = f"spec.volumeClaimTemplates[{index}]"
        spec = template.get("spec") or {}
        if not _name(template):
            yield f"{where}.metadata.name", None, _NEEDED
        elif not names.is_dns_label(_name(template)):
            yield f"{where}.metadata.name", _name(template), _DNS_LABEL
        if not spec.get("accessModes"):
            yield f"{where}.spec.accessModes", None, _NEEDED
        storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if storage is None:
            yield f"{where}.spec.resources.requests.storage", None, _NEEDED
        elif not _is_above_zero(storage):
            yield f"{where}.spec.resources.requests.storage", storage, _STORAGE


def _is_above_zero(quantity: int | str) -> bool:
    found = _QUANTITY.match(str(quantity))
    return found is not None and found[1] != "-" and bool(found[2].strip("0."))


def _extras(spec: Json, claim_templates: list[Json]) -> Iterator[_Broken]:
    """Return the rules of an OrdinalSet's own, and those that apps/v1 lacks."""
    for index, part in enumerate(spec.get("reserveOrdinals") or []):
        if not _is_reserved(part):
            yield f"spec.reserveOrdinals[{index}]", part, _RESERVED
    yield from _doubles(map(_name, claim_templates), "spec.volumeClaimTemplates", ".metadata.name")
    start = (spec.get("ordinals") or {}).get("start") or 0
    replicas = 1 if spec.get("replicas") is None else spec["replicas"]
    if start <= MAX_ORDINAL >= replicas and start + replicas > MAX_ORDINAL + 1:
        yield "spec.replicas", replicas, _IN_RANGE


def _is_reserved(part: int | str) -> bool:
    try:
        read_ordinals([part])
    except ValueError:
        return False
    return True


# Defaults

_DEFAULTS: Json = {"replicas": 1, "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10}
_DEFAULT_RETENTION = {"whenDeleted": "Retain", "whenScaled": "Retain"}
_DEFAULTS_OF_ORDINAL_SET: Json = {"claimGrowth": "Never", "progressDeadlineSeconds": 600}

_ABSENT: tuple[Any, ...] = (None,)
_EMPTY: tuple[Any, ...] = (None, "")
_ZERO: tuple[Any, ...] = (None, 0)

_HTTP_GET = {"path": "/", "scheme": "HTTP"}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_FIELD = {"apiVersion": "v1"}
_MODE = {"defaultMode": 0o644}

# What an API server adds inside of the templates of a StatefulSet: where, what counts as left out, what is added.
_TEMPLATE_DEFAULTS: tuple[tuple[str, tuple[Any, ...], Json], ...] = (
    (
        "template.spec",
        _EMPTY,
        {
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
    ),
    *(
        row
        for group in ("template.spec.containers.[]", "template.spec.initContainers.[]")
        for row in (
            (
                group,
                _EMPTY,
                {
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "resources": {},
                },
            ),
            (f"{group}.ports.[]", _EMPTY, {"protocol": "TCP"}),
            (f"{group}.env.[].valueFrom.fieldRef", _EMPTY, _FIELD),
            (f"{group}.lifecycle.postStart.httpGet", _EMPTY, _HTTP_GET),
            (f"{group}.lifecycle.preStop.httpGet", _EMPTY, _HTTP_GET),
            *(
                each
                for probe in ("livenessProbe", "readinessProbe", "startupProbe")
                for each in (
                    (f"{group}.{probe}", _ZERO, _PROBE),
                    (f"{group}.{probe}.httpGet", _EMPTY, _HTTP_GET),
                    (f"{group}.{probe}.grpc", _ABSENT, {"service": ""}),
                )
            ),
        )
    ),
    ("template.spec.volumes.[].hostPath", _ABSENT, {"type": ""}),
    ("template.spec.volumes.[].secret", _ABSENT, _MODE),
    ("template.spec.volumes.[].configMap", _ABSENT, _MODE),
    ("template.spec.volumes.[].downwardAPI", _ABSENT, _MODE),
    ("template.spec.volumes.[].downwardAPI.items.[].fieldRef", _EMPTY, _FIELD),
    ("template.spec.volumes.[].projected", _ABSENT, _MODE),
    ("template.spec.volumes.[].projected.sources.[].serviceAccountToken", _ABSENT, {"expirationSeconds": 3600}),
    ("template.spec.volumes.[].projected.sources.[].downwardAPI.items.[].fieldRef", _EMPTY, _FIELD),
    ("template.spec.volumes.[].ephemeral.volumeClaimTemplate.spec", _ABSENT, {"volumeMode": "Filesystem"}),
    ("volumeClaimTemplates.[]", _EMPTY, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {}}),
    ("volumeClaimTemplates.[].spec", _ABSENT, {"volumeMode": "Filesystem"}),
    ("volumeClaimTemplates.[].status", _EMPTY, {"phase": "Pending"}),
)


class _Node(NamedTuple):
    """The rows of `_TEMPLATE_DEFAULTS` at one path, and the nodes of those that go on from there."""

    rows: list[tuple[tuple[Any, ...], Json]]
    below: dict[str, _Node]


def _tree_of(rows: Iterable[tuple[str, tuple[Any, ...], Json]]) -> _Node:
    root = _Node([], {})
    for path, absent, defaults in rows:
        node = root
        for step in path.split("."):
            node = node.below.setdefault(step, _Node([], {}))
        node.rows.append((absent, defaults))
    return root


_TEMPLATE_TREE = _tree_of(_TEMPLATE_DEFAULTS)  # so that an object is walked once


def _default_below(node: _Node, found: Any) -> None:
    """Add what is missing in *found* and below. Members that are null are not there."""
    for absent, defaults in node.rows:
        _fill(found, defaults, absent)
    if not node.below:
        return
    if isinstance(found, list):
        if items := node.below.get("[]"):
            for item in found:
                _default_below(items, item)
    elif isinstance(found, dict):  # which has fewer members than could be there: there are thirty kinds of volumes
        for step, value in found.items():
            if value is not None and (below := node.below.get(step)) is not None:
                _default_below(below, value)


def _copied(value: Any) -> Any:
    """Return a copy of a JSON value; `copy.deepcopy` takes several times as long."""
    if isinstance(value, dict):
        return {field: _copied(each) for field, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def with_defaults(set_json: Json) -> Json:
    """Return *set_json* as an API server would store it, so that revisions made from it have the names they have there.

    An API server of another version may know other defaults. Quantities stay as they are written ("1000m" and "1" are
    the same to an API server), and volumes of storage systems that came with Kubernetes once get no defaults. The
    templates of an OrdinalSet are stored as written.

    Args:
        set_json: A StatefulSet or an OrdinalSet without `faults`.

    Raises:
        ValueError: It is of another kind.
    """
    done: Json = _copied(set_json)
    add_defaults(done)
    return done


def add_defaults(set_json: Json) -> None:
    """Bring *set_json* into the form of `with_defaults`, in place.

    Raises:
        ValueError: It is of another kind.
    """
    kind = SetKind(set_json.get("kind"))
    spec: Json = set_json["spec"]
    is_ordinal_set = kind is SetKind.ORDINAL_SET
    absent = _ABSENT if is_ordinal_set else _EMPTY
    _fill(spec, _DEFAULTS, absent)
    _fill(spec, {"persistentVolumeClaimRetentionPolicy": {}}, absent)
    _fill(spec["persistentVolumeClaimRetentionPolicy"], _DEFAULT_RETENTION, absent)
    _default_strategy(spec, kind)
    if is_ordinal_set:
        _fill(spec, _DEFAULTS_OF_ORDINAL_SET, absent)
        return
    _default_below(_TEMPLATE_TREE, spec)
    _default_images(spec["template"]["spec"])


def _fill(found: Json, defaults: Json, absent: tuple[Any, ...]) -> None:
    for field, value in defaults.items():
        if found.get(field) in absent:
            found[field] = _copied(value)


def _default_strategy(spec: Json, kind: SetKind) -> None:
    strategy = spec.get("updateStrategy")
    # An empty strategy is no strategy, but for a schema, which cannot say so.
    if strategy is None or (kind is SetKind.STATEFUL_SET and not strategy.get("type")):
        rolling_update = (strategy or {}).get("rollingUpdate")
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling_update or {}}
    strategy = spec["updateStrategy"]
    _fill(strategy, {"type": "RollingUpdate"}, _ABSENT)
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        _fill(strategy["rollingUpdate"], {"partition": 0}, _ABSENT)
    if spec.get("ordinals") is not None:
        _fill(spec["ordinals"], {"start": 0}, _ABSENT)


def _default_images(pod_spec: Json) -> None:
    for group in ("containers", "initContainers"):
        for container in pod_spec.get(group) or []:
            _fill(container, {"imagePullPolicy": _pull_policy(container.get("image") or "")}, _EMPTY)
    for volume in pod_spec.get("volumes") or []:
        sources = [field for field, value in volume.items() if field != "name" and value is not None]
        if not sources:
            volume["emptyDir"] = {}
        if volume.get("image") is not None:
            _fill(volume["image"], {"pullPolicy": _pull_policy(volume["image"].get("reference") or "")}, _EMPTY)
    if pod_spec.get("serviceAccountName") or pod_spec.get("serviceAccount"):  # two names of one field
        account = pod_spec.get("serviceAccountName") or pod_spec["serviceAccount"]
        pod_spec |= {"serviceAccountName": account, "serviceAccount": account}


def _pull_policy(image: str) -> str:
    """Return when to pull *image*: always where its tag is, or means, ``latest``."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"
