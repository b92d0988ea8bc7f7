"""Manifests as text: YAML or JSON documents in, objects and faults out.

Source: YAML 1.1 as kubectl reads it, RFC 8259, the Kubernetes API reference v1.36 for what a field may hold. Pure.
Every fault of a file is gathered, since a user corrects a file once rather than once per fault.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar, NamedTuple

import msgspec
import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from headlessdns import names
from headlessdns.cluster.objects import (
    RESOURCES,
    Endpoints,
    EndpointSlice,
    Kind,
    Namespace,
    Object,
    Pod,
    Service,
    StatefulSet,
)
from headlessdns.errors import Fault

Path = tuple[str | int, ...]
"""Where a value stands in a document: keys of mappings and indexes of lists, from the outside in."""

MAX_FAULTS_PER_OBJECT = 50
DEFAULT_NAMESPACE = "default"

_KINDS = {kind.value: kind for kind in Kind}
# A kind of ours in one of these groups is ours in another version; in any other group (a Service of Knative) it is not.
_BUILT_IN_GROUPS = frozenset({"", "apps", "extensions", "discovery.k8s.io"})
_NO_SERVICE = "EndpointSlice without the label kubernetes.io/service-name"


class Note(Enum):
    """Something that is allowed and yet may surprise; the value is said once, before the objects concerned."""

    NO_CLUSTER_IP = "no clusterIP is written and there is no API server to allocate one, so these have no address"
    NO_SERVICE_LABEL = (
        "EndpointSlices without the label kubernetes.io/service-name belong to no Service and are skipped"
    )
    NUMERIC_EXTERNAL_NAME = "externalName is an address, which DNS takes for a name that does not exist"
    ODD_HOSTNAME = "a hostname is no DNS label, so its endpoint is named by its address"


class Found(msgspec.Struct, frozen=True):
    """An object and where it stands.

    Attributes:
        kind: What it is.
        object: The fields that are read.
        where: File, line and document, for people.
        labels: All its labels, which a label selector asks for.
        notes: What is surprising about it.
    """

    kind: Kind
    object: Object
    where: str
    labels: Mapping[str, str]
    notes: tuple[Note, ...] = ()


class Decoded(msgspec.Struct):
    """What one file holds.

    Attributes:
        found: Objects that the DNS is made from, in the order of the file.
        skipped: How many objects of other kinds there are, by kind.
        faults: What is wrong; the objects concerned are not in `found`.
    """

    found: list[Found] = msgspec.field(default_factory=list)
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    faults: list[Fault] = msgspec.field(default_factory=list)


def decode(octets: bytes, name: str, *, is_json: bool = False) -> Decoded:
    """Return what the file *name* holds, given its *octets*; nothing is raised."""
    decoded = Decoded()
    documents = _json_documents if is_json else _yaml_documents
    for value, place in documents(octets, name, decoded.faults):
        _take(value, place, decoded)
    return decoded


# Where a value stands, for people


class _Place(NamedTuple):
    """A document, or an item of the List in it."""

    file: str
    number: int
    node: yaml.Node | None = None
    prefix: Path = ()

    def where(self, path: Path = ()) -> str:
        """Return file, line (YAML only), document and field."""
        path = self.prefix + path
        line = f":{_line(self.node, path)}" if self.node else ""
        field = f": {_field(path)}" if path else ""
        return f"{self.file}{line}: document {self.number}{field}"

    def fault(self, path: Path, found: str, expected: str, remedy: str) -> Fault:
        return Fault(self.where(path), found, expected, remedy)


def _line(node: yaml.Node, path: Path) -> int:
    """Return the line, from 1, of the deepest value on *path* that exists."""
    for step in path:
        child = _child(node, step)
        if child is None:
            break
        node = child
    return int(node.start_mark.line) + 1


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    return None


def _field(path: Path) -> str:
    """Return *path* as people write it: ``spec.ports[0].port``, with quotes around keys that hold a dot."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", step):
            text += f".{step}"
        else:
            text += f'["{step}"]'
    return text.removeprefix(".")


def _shown(value: object) -> str:
    """Return *value* as found in a document, short enough for one line."""
    text = _WORDS.get(type(value)) or json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


_WORDS: dict[type, str] = {dict: "a mapping", list: "a list", set: "a set", bytes: "octets"}


# YAML and JSON

_KEEP_ONE = "keep the one that is meant"  # YAML and JSON would silently take the last


class _Checks(Composer):
    """What both YAML loaders do beyond YAML: keys are unique, keys are text and dates stay text as in kubectl.

    Attributes:
        twice: Where the document composed last has a key that its mapping has already.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in Resolver.yaml_implicit_resolvers.items()
    }
    twice: list[yaml.ScalarNode]

    def compose_document(self) -> yaml.Node | None:
        self.twice = []
        return super().compose_document()

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                _make_text(key)
                if key.value in seen:
                    self.twice.append(key)
                seen.add(key.value)
        return node


_KEY_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "binary", "timestamp"))


def _make_text(key: yaml.ScalarNode) -> None:
    """Make text of a key such as `5` or `on`, since JSON has no other keys; of `on` kubectl makes `true`."""
    if key.tag == "tag:yaml.org,2002:bool":
        key.value = "true" if SafeConstructor.bool_values.get(key.value.lower()) else "false"
    if key.tag in _KEY_TAGS:
        key.tag = "tag:yaml.org,2002:str"


class _PythonLoader(_Checks, yaml.SafeLoader):
    """The parser of PyYAML, where it came without libyaml."""


_Loader: type[Any] = _PythonLoader

if yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]  # PyYAML has no other public place for it

    class _FastLoader(_Checks, CParser, SafeConstructor, Resolver):
        """The parser of libyaml below a composer in Python.

        The composer of libyaml recurses in C: 100,000 brackets overflow the stack and end the process. In Python
        they raise RecursionError.
        """

        def __init__(self, stream: bytes) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    _Loader = _FastLoader

# What constructors of PyYAML raise at an explicit tag whose text does not fit, such as `!!int x`.
_MISFITS = (ValueError, LookupError, TypeError, AttributeError)


def _yaml_documents(octets: bytes, file: str, faults: list[Fault]) -> Iterator[tuple[Any, _Place]]:
    number = 0
    try:
        loader = _Loader(octets)
        while loader.check_node():
            number += 1
            node = loader.get_node()
            place = _Place(file, number, node)
            if loader.twice:
                faults += [_twice(key, file, number) for key in loader.twice]
                continue
            try:
                value = loader.construct_document(node)
            except yaml.YAMLError as error:
                faults.append(_syntax_fault(error, file, number))
                continue
            except _MISFITS:
                faults.append(place.fault((), "a tag whose text does not fit it", "plain YAML", "leave the tag out"))
                continue
            if value is not None:  # nothing between two separators, or comments only
                yield value, place
    except yaml.YAMLError as error:
        faults.append(_syntax_fault(error, file, max(number, 1)))
    except RecursionError:
        faults.append(Fault(file, "values nested hundreds deep", "a Kubernetes manifest", "take the file out"))


def _twice(key: yaml.ScalarNode, file: str, number: int) -> Fault:
    where = f"{file}:{key.start_mark.line + 1}: document {number}"
    return Fault(where, f"the key {key.value} twice in one mapping", "each key once", _KEEP_ONE)


# What libyaml says where it is no name of what was found.
_LACKS = "did not find expected "
_YAML_WORDS = {
    "mapping values are not allowed in this context": (
        "a colon where no mapping can begin",
        "quotes around text, or the indentation of the lines before",
    ),
}


def _syntax_fault(error: yaml.YAMLError, file: str, number: int) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{file}:{mark.line + 1}: document {number}" if mark else f"{file}: document {number}"
    if mark:
        problem = (getattr(error, "problem", None) or str(error)).removeprefix("found ")
        found, expected = _YAML_WORDS.get(problem, (problem, "YAML"))
        if problem.startswith(_LACKS):
            found, expected = "something else", problem.removeprefix(_LACKS)
        column = f"(column {mark.column + 1})"
        return Fault(where, f"{found} {column}", expected, "correct the line, or the one before it")
    return Fault(where, " ".join(str(error).split()), "YAML in UTF-8", "save the file as UTF-8 text")


def _json_documents(octets: bytes, file: str, faults: list[Fault]) -> Iterator[tuple[Any, _Place]]:
    """Yield the values of *octets*, one after the other as ``kubectl`` takes them."""
    number = 1
    twice: list[str] = []

    def note_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return value

    try:
        text = octets.decode("utf-8-sig")
        decoder = json.JSONDecoder(object_pairs_hook=note_twice)
        position = _skip_space(text, 0)
        while position < len(text):
            twice.clear()
            value, position = decoder.raw_decode(text, position)
            place = _Place(file, number)
            if twice:
                found = "the key {} twice in one object"
                faults += [place.fault((), found.format(key), "each key once", _KEEP_ONE) for key in twice]
            else:
                yield value, place
            number += 1
            position = _skip_space(text, position)
    except UnicodeDecodeError:
        faults.append(Fault(file, "octets that are no UTF-8", "JSON in UTF-8", "save the file as UTF-8 text"))
    except json.JSONDecodeError as error:
        where = f"{file}:{error.lineno}: document {number}"
        faults.append(Fault(where, f"{error.msg} (column {error.colno})", "JSON", "correct the line"))
    except (RecursionError, ValueError):  # ValueError: an integer of thousands of digits
        faults.append(
            Fault(file, "values nested or written beyond measure", "a Kubernetes manifest", "take the file out")
        )


_SPACE = re.compile(r"[ \t\r\n]*")


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


# Objects of any kind, as they are written


class Raw(NamedTuple):
    """An object of any kind.

    Attributes:
        value: All of it; an item of a typed list has the kind of its list.
        place: Where it stands; `place.where(path)` says it for people.
    """

    value: dict[str, Any]
    place: _Place


def decode_raw(octets: bytes, name: str, *, is_json: bool = False) -> tuple[list[Raw], list[Fault]]:
    """Return every object that the file *name* holds, given its *octets*, and what is wrong; nothing is raised."""
    faults: list[Fault] = []
    found: list[Raw] = []
    documents = _json_documents if is_json else _yaml_documents
    for value, place in documents(octets, name, faults):
        _take_raw(value, place, found, faults)
    return found, faults


def _take_raw(
    value: Any, place: _Place, found: list[Raw], faults: list[Fault], implied: tuple[str, str] = ("", "")
) -> None:
    if not isinstance(value, dict):
        expected = "a mapping with apiVersion, kind and metadata"
        faults.append(place.fault((), _shown(value), expected, "write one object per document"))
        return
    head = {key: value.get(key) or default for key, default in zip(("apiVersion", "kind"), implied, strict=True)}
    missing = _head_faults(head, place)
    if missing:
        faults += missing
        return
    items = value.get("items") or []
    if not head["kind"].endswith("List") or place.prefix:
        found.append(Raw({**value, **head}, place))
    elif not isinstance(items, list):
        faults.append(place.fault(("items",), _shown(items), "a list", "write each item after a dash"))
    else:
        of = ("", "") if head["kind"] == "List" else (head["apiVersion"], head["kind"].removesuffix("List"))
        for index, item in enumerate(items):
            _take_raw(item, place._replace(prefix=("items", index)), found, faults, of)


# From a document to objects


def _take(value: Any, place: _Place, decoded: Decoded, implied: tuple[str, str] | None = None) -> None:
    """Add the object, or the items of the List, that *value* is; *implied* are apiVersion and kind of a typed list."""
    if not isinstance(value, dict):
        expected = "a mapping with apiVersion, kind and metadata"
        decoded.faults.append(place.fault((), _shown(value), expected, "write one object per document"))
        return
    head = implied or ("", "")
    api_version, kind = (value.get(key) or default for key, default in zip(("apiVersion", "kind"), head, strict=True))
    missing = _head_faults({"apiVersion": api_version, "kind": kind}, place)
    if missing:
        decoded.faults += missing
    elif kind.endswith("List") and (kind == "List" or kind.removesuffix("List") in _KINDS):
        _take_items(value, api_version, kind, place, decoded, nested=bool(place.prefix))
    elif kind not in _KINDS or api_version.rpartition("/")[0] not in _BUILT_IN_GROUPS:
        decoded.skipped[kind] += 1
    else:
        _take_object(value, api_version, _KINDS[kind], place, decoded)


def _head_faults(head: dict[str, Any], place: _Place) -> list[Fault]:
    return [
        place.fault((key,), _shown(text) if text else "nothing", "text", f"write the object's {key}")
        for key, text in head.items()
        if not text or not isinstance(text, str)
    ]


def _take_items(value: Any, api_version: str, kind: str, place: _Place, decoded: Decoded, *, nested: bool) -> None:
    items = value.get("items") or []
    if nested:
        decoded.faults.append(place.fault((), f"a {kind} in a List", "an object", "put its items into the outer List"))
        return
    if not isinstance(items, list):
        decoded.faults.append(place.fault(("items",), _shown(items), "a list", "write each item after a dash"))
        return
    implied = None if kind == "List" else (api_version, kind.removesuffix("List"))
    for index, item in enumerate(items):
        _take(item, place._replace(prefix=("items", index)), decoded, implied)


def _take_object(value: dict[str, Any], api_version: str, kind: Kind, place: _Place, decoded: Decoded) -> None:
    expected = RESOURCES[kind].group_version
    if api_version != expected:
        remedy = f"write `apiVersion: {expected}`" + _MOVED.get((api_version, kind), "")
        decoded.faults.append(place.fault(("apiVersion",), f"{kind.value} in {api_version}", expected, remedy))
        return
    object, faults = _convert(value, kind, place)
    broken = {path for path, _ in faults}
    if object is not None:
        faults += [(path, fault) for path, fault in _broken_rules(object, place) if not _is_below(path, broken)]
    if faults or object is None:
        decoded.faults += [fault for _, fault in faults]
        return
    if isinstance(object, EndpointSlice) and not object.service.name:
        decoded.skipped[_NO_SERVICE] += 1
    labels = value["metadata"].get("labels")
    where = place.where()
    decoded.found.append(Found(kind, object, where, labels if isinstance(labels, dict) else {}, _notes(object)))


_MOVED = {
    ("extensions/v1beta1", Kind.STATEFUL_SET): " and give it spec.selector, which apps/v1 requires",
    ("apps/v1beta1", Kind.STATEFUL_SET): " and give it spec.selector, which apps/v1 requires",
    ("apps/v1beta2", Kind.STATEFUL_SET): "; the fields are the same",
    ("discovery.k8s.io/v1beta1", Kind.ENDPOINT_SLICE): " and `zone` instead of the topology label of endpoints",
}


def _is_below(path: Path, others: set[Path]) -> bool:
    return any(path[:length] in others for length in range(1, len(path) + 1))


# Types

_EXPECTED = {
    "str": ("text", ""),
    "int": ("a whole number", 1),
    "bool": ("true or false", False),
    "array": ("a list", []),
    "object": ("a mapping", {}),
}
_MISMATCH = re.compile(r"Expected `(?P<type>\w+)[^`]*`, got `\w+`(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)


def _convert(value: Any, kind: Kind, place: _Place) -> tuple[Object | None, list[tuple[Path, Fault]]]:
    """Return the object and each of its type faults.

    msgspec stops at the first fault; it is noted, put right in a copy, and the rest is read again. A null counts as
    a field that is left out, as it does for the API server.
    """
    struct = RESOURCES[kind].struct
    faults: list[tuple[Path, Fault]] = []
    patched: set[Path] = set()
    original = value
    for _ in range(10 * MAX_FAULTS_PER_OBJECT):
        try:
            object = msgspec.convert(value, struct)
        except msgspec.ValidationError as error:
            if value is original:
                value = copy.deepcopy(value)
            path, fault = _put_right(value, str(error), place)
            if fault and not _is_below(path, patched):
                faults.append((path, fault))
                patched.add(path)
            if len(faults) == MAX_FAULTS_PER_OBJECT:
                return None, faults
            continue
        object.metadata.namespace = (
            (object.metadata.namespace or DEFAULT_NAMESPACE) if RESOURCES[kind].namespaced else ""
        )
        return object, faults
    return None, faults


def _put_right(value: Any, message: str, place: _Place) -> tuple[Path, Fault | None]:
    """Change *value* so that what *message* complains of is gone; return where, and the fault unless it was a null."""
    if missing := _MISSING.match(message):
        parent = _path(missing["path"] or "", value)
        path = (*parent, missing["field"])
        _at(value, parent)[missing["field"]] = _PLACEHOLDERS[missing["field"]]
        return path, place.fault(path, "nothing", "a value", "write it; it is required")
    mismatch = _MISMATCH.match(message)
    if mismatch is None:
        raise AssertionError(f"msgspec says it in another way now: {message}")
    path = _path(mismatch["path"] or "", value)
    parent, last = _at(value, path[:-1]), path[-1]
    found = parent[last]
    if found is None and isinstance(parent, dict):
        del parent[last]
        return path, None
    word, parent[last] = _EXPECTED[mismatch["type"]]
    return path, place.fault(path, _shown(found), word, _type_remedy(mismatch["type"], found))


_PLACEHOLDERS: dict[str, Any] = {"metadata": {"name": "-"}, "name": "-", "port": 1, "addresses": [], "ip": ""}


def _type_remedy(expected: str, found: object) -> str:
    if expected == "str" and isinstance(found, bool):
        return "put it in quotes; YAML reads yes, no, on, off, true and false as truth values"
    if expected == "str" and isinstance(found, (int, float)):
        return f'put it in quotes: "{found}"'
    if expected == "int" and isinstance(found, str):
        return "write the number without quotes, letters and leading zeros"
    return "write it so" if expected in ("int", "bool") else "see `kubectl explain` for the form of this field"


def _path(text: str, value: Any) -> Path:
    """Return the steps of a path that msgspec wrote, such as ``.spec.ports[0].port``; keys may hold dots."""
    steps: list[str | int] = []
    while text:
        index = re.match(r"\[(\d+)\]", text)
        if index:
            step: str | int = int(index[1])
            text = text[index.end() :]
        else:
            step = max((key for key in value if isinstance(key, str) and text.startswith(f".{key}")), key=len)
            text = text[1 + len(step) :]
        steps.append(step)
        value = value[step]
    return tuple(steps)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


# Rules for values


class _Rule(NamedTuple):
    """What a value must be."""

    holds: Callable[[Any], bool]
    expected: str
    remedy: str


_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
MAX_TTL_S = 2**31 - 1  # RFC 2181 §8
MAX_SUBDOMAIN_OCTETS = 253  # RFC 1123 as Kubernetes counts it, without length octets


def is_subdomain(text: str) -> bool:
    """Tell whether *text* is a DNS subdomain as Kubernetes has it: RFC 1123 in lower case, 253 octets at most."""
    return len(text) <= MAX_SUBDOMAIN_OCTETS and _SUBDOMAIN.match(text) is not None


def _is_domain(text: str) -> bool:
    return is_subdomain(text.removesuffix(".")) and all(len(label) <= 63 for label in text.split("."))


def _is_ip(text: str) -> bool:
    return _is_ipv4(text) or _is_ipv6(text)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def _is_ttl(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) is not None and int(text) <= MAX_TTL_S


def _one_of(*words: str) -> _Rule:
    return _Rule(lambda word: word in words, " or ".join((", ".join(words[:-1]), words[-1])), "write one of these")


_LABEL = _Rule(
    names.is_dns_label,
    "a DNS label: a-z, 0-9 and dashes, 1 to 63 characters, no dash at either end",
    "rename it; the name is part of DNS names",
)
_NAME = _Rule(is_subdomain, "DNS labels of a-z, 0-9 and dashes, joined by dots, 253 characters at most", "rename it")
_PORT_NAME = _Rule(
    lambda text: not text or names.is_dns_label(text),
    "a DNS label: a-z, 0-9 and dashes, 1 to 63 characters, no dash at either end",
    "rename it; SRV records are found by it",
)
_PORT = _Rule(lambda port: 1 <= port <= 65535, "a port number, 1 to 65535", "write the port that is listened on")
_PROTOCOL = _one_of("TCP", "UDP", "SCTP")
_CLUSTER_IP = _Rule(lambda text: text in ("", "None") or _is_ip(text), 'an IP address, or "None"', "correct it")
_IP = _Rule(lambda text: not text or _is_ip(text), "an IP address", "correct it")
_AS_CLUSTER_IP = ("the same as clusterIP", "make them agree, or leave clusterIPs out")
_SERVICE_TYPE = _one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_EXTERNAL_NAME = _Rule(_is_domain, "a domain name such as db.example.com, in lower case", "write where it leads")
_TTL = _Rule(_is_ttl, f"seconds, 0 to {MAX_TTL_S}", 'write whole seconds in quotes, such as "30"')
_COUNT = _Rule(lambda count: count >= 0, "0 or more", "correct it")
_ADDRESS = {
    "IPv4": _Rule(
        _is_ipv4, "an IPv4 address, as addressType says", "correct it, or move it to a slice of its own type"
    ),
    "IPv6": _Rule(
        _is_ipv6, "an IPv6 address, as addressType says", "correct it, or move it to a slice of its own type"
    ),
    "FQDN": _Rule(
        _is_domain, "a domain name, as addressType says", "correct it, or move it to a slice of its own type"
    ),
}
_ADDRESS_TYPE = _one_of(*_ADDRESS)

_Checked = tuple[Path, Any, _Rule]


def _broken_rules(object: Object, place: _Place) -> Iterator[tuple[Path, Fault]]:
    for path, value, rule in _RULES[type(object)](object):
        if not rule.holds(value):
            yield path, place.fault(path, _shown(value), rule.expected, rule.remedy)


def review(object: Object) -> list[str]:
    """Return what is wrong with, and surprising about, an *object* that an API server let in, a line each."""
    metadata = object.metadata
    faults = [
        Fault(f"{type(object).__name__} {metadata.key}: {_field(path)}", _shown(value), rule.expected, rule.remedy)
        for path, value, rule in _RULES[type(object)](object)
        if not rule.holds(value)
    ]
    notes = [f"{note.value}: {metadata.key}" for note in _notes(object) if note in _NOTES_IN_CLUSTERS]
    return [*map(str, faults[:MAX_FAULTS_PER_OBJECT]), *notes]


_NOTES_IN_CLUSTERS = frozenset({Note.NUMERIC_EXTERNAL_NAME, Note.ODD_HOSTNAME})


def _meta(object: Object, name: _Rule) -> Iterator[_Checked]:
    yield ("metadata", "name"), object.metadata.name, name
    if object.metadata.namespace:
        yield ("metadata", "namespace"), object.metadata.namespace, _LABEL


def _service_rules(service: Service) -> Iterator[_Checked]:
    spec = service.spec
    yield from _meta(service, _LABEL)
    annotations = service.metadata.annotations
    if annotations and annotations.ttl_s:
        yield ("metadata", "annotations", "headlessdns.io/ttl"), annotations.ttl_s, _TTL
    yield ("spec", "type"), spec.type, _SERVICE_TYPE
    if spec.type == "ExternalName":
        yield ("spec", "externalName"), spec.external_name or "", _EXTERNAL_NAME
    yield ("spec", "clusterIP"), spec.cluster_ip or "", _CLUSTER_IP
    for index, address in enumerate(spec.cluster_ips or ()):
        yield ("spec", "clusterIPs", index), address, _CLUSTER_IP
    if spec.cluster_ip and spec.cluster_ips:
        yield ("spec", "clusterIPs", 0), spec.cluster_ips[0], _Rule(spec.cluster_ip.__eq__, *_AS_CLUSTER_IP)
    for index, port in enumerate(spec.ports or ()):
        yield from _port_rules(("spec", "ports", index), port.name, port.port, port.protocol)


def _port_rules(path: Path, name: str | None, port: int | None, protocol: str | None) -> Iterator[_Checked]:
    yield (*path, "name"), name, _PORT_NAME
    if port is not None:
        yield (*path, "port"), port, _PORT
    yield (*path, "protocol"), protocol or "TCP", _PROTOCOL


def _slice_rules(slice: EndpointSlice) -> Iterator[_Checked]:
    yield from _meta(slice, _NAME)
    yield ("addressType",), slice.address_type, _ADDRESS_TYPE
    rule = _ADDRESS.get(slice.address_type)
    for index, endpoint in enumerate(slice.endpoints or ()):
        for position, address in enumerate(endpoint.addresses or ()):
            if rule:
                yield ("endpoints", index, "addresses", position), address, rule
    for index, port in enumerate(slice.ports or ()):
        yield from _port_rules(("ports", index), port.name, port.port, port.protocol)


def _endpoints_rules(endpoints: Endpoints) -> Iterator[_Checked]:
    yield from _meta(endpoints, _LABEL)
    for index, subset in enumerate(endpoints.subsets or ()):
        lists = {"addresses": subset.addresses, "notReadyAddresses": subset.not_ready_addresses}
        for field, addresses in lists.items():
            for position, address in enumerate(addresses or ()):
                yield ("subsets", index, field, position, "ip"), address.ip, _ENDPOINT_IP
        for position, port in enumerate(subset.ports or ()):
            yield from _port_rules(("subsets", index, "ports", position), port.name, port.port, port.protocol)


_ENDPOINT_IP = _Rule(_is_ip, "an IP address", "correct it")


def _pod_rules(pod: Pod) -> Iterator[_Checked]:
    yield from _meta(pod, _NAME)
    if pod.status:
        yield ("status", "podIP"), pod.status.pod_ip, _IP
        for index, address in enumerate(pod.status.pod_ips or ()):
            yield ("status", "podIPs", index, "ip"), address.ip, _IP


def _namespace_rules(namespace: Namespace) -> Iterator[_Checked]:
    yield from _meta(namespace, _LABEL)


def _stateful_set_rules(stateful_set: StatefulSet) -> Iterator[_Checked]:
    spec = stateful_set.spec
    yield from _meta(stateful_set, _NAME)
    if spec.service_name:
        yield ("spec", "serviceName"), spec.service_name, _LABEL
    if spec.replicas is not None:
        yield ("spec", "replicas"), spec.replicas, _COUNT
    if spec.ordinals:
        yield ("spec", "ordinals", "start"), spec.ordinals.start, _COUNT


_RULES: dict[type, Callable[[Any], Iterator[_Checked]]] = {
    Service: _service_rules,
    EndpointSlice: _slice_rules,
    Endpoints: _endpoints_rules,
    Pod: _pod_rules,
    Namespace: _namespace_rules,
    StatefulSet: _stateful_set_rules,
}


def _notes(object: Object) -> tuple[Note, ...]:
    notes = []
    if isinstance(object, Service):
        spec = object.spec
        if spec.type != "ExternalName" and not spec.cluster_ip and not spec.cluster_ips:
            notes.append(Note.NO_CLUSTER_IP)
        if spec.type == "ExternalName" and _is_ip((spec.external_name or "").removesuffix(".")):
            notes.append(Note.NUMERIC_EXTERNAL_NAME)
    if isinstance(object, EndpointSlice):
        if not object.service.name:
            notes.append(Note.NO_SERVICE_LABEL)
        if any(end.hostname and not names.is_dns_label(end.hostname) for end in object.endpoints or ()):
            notes.append(Note.ODD_HOSTNAME)
    return tuple(notes)
