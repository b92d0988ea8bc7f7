"""What of a custom resource is against its schema, in the words of the API server. Pure.

Types, formats, bounds, lengths, patterns, enums, required fields, alternatives (allOf, anyOf, oneOf, not), lists that
are sets or maps, and embedded objects; rules in CEL are done elsewhere. What an update leaves as it was may stay wrong.
Fields of an object are looked at in the order of their names, where an API server has them in any order.

Source: kube-openapi `validation/validate`, apiextensions-apiserver 0.36 `apiserver/validation`, `apiserver/schema`.
"""

from __future__ import annotations

import json
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

from headlessdns.lab.api import causes
from headlessdns.lab.api.kinds import Json
from headlessdns.lab.api.patch import go_quoted, go_text
from headlessdns.lab.api.status import Fault
from headlessdns.lab.api.stringformats import checker

_Faults = Iterator[Fault]
_NOWHERE = "<nil>"  # how faults that are about no field call it
ABSENT: Any = object()
"""In place of an old value where there was none."""
_INT64, _INT32 = range(-(2**63), 2**63), range(-(2**31), 2**31)


def faults(schema: Json, value: Any, old: Any = ABSENT, place: str = "") -> list[Fault]:
    """Return what of *value* is against *schema*.

    Args:
        schema: The structural schema of an object, or of its status.
        value: With defaults, and without fields that the schema does not know.
        old: What it was before, for an update.
        place: Where *value* is in the object; messages name fields from there on.
    """
    found = _check(schema, value, "", ABSENT).faults
    if found and old is not ABSENT:
        found = _check(schema, value, "", old).faults
    return [fault._replace(field=_full_path(place, fault.field.removeprefix("."))) for fault in found]


def _full_path(place: str, field: str) -> str:
    return ".".join(filter(None, (place, field))) or _NOWHERE


class _Result:
    """What is wrong with a value, each thing once, and how many checks it passed: the nearest alternative is told."""

    __slots__ = ("faults", "passed")

    def __init__(self, *faults: Fault, passed: int = 0) -> None:
        self.faults = list(faults)
        self.passed = passed

    def add(self, fault: Fault) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def take(self, other: _Result) -> None:
        if other.faults:
            for fault in other.faults:
                self.add(fault)
        self.passed += other.passed


# ---- Values, as Go reads and shows them


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if value in _INT64 else "number"
    return "null" if value is None else "number"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return go_quoted(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return _shown_number(value)


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _shown_number(number: float) -> str:
    if isinstance(number, int) and number in _INT64:
        return str(number)
    found = Decimal(repr(_float(number)))
    if -4 <= found.adjusted() < 6:
        return f"{found.normalize():f}"
    mantissa, power = f"{found.normalize():e}".split("e")
    return f"{mantissa}e{int(power):+03}"


_MAX_EXACT = 2**53 - 1
_EPSILON = 1e-9


def _is_whole(number: float) -> bool:
    """Tell whether *number* is next to a whole one."""
    if not -_MAX_EXACT <= number <= _MAX_EXACT:
        return False
    whole = math.trunc(number)
    return number == whole or (whole != 0 and abs(number - whole) / (abs(number) + abs(whole)) < _EPSILON)


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal; in Python True is 1."""
    if {_kind(one), _kind(other)} <= {"integer", "number"}:
        return bool(one == other)
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _wrong(reason: str, title: str, path: str, value: Any, detail: str) -> Fault:
    return Fault(path, reason, f"{title}: {_shown(value)}: {detail}")


def _invalid(path: str, value: Any, detail: str) -> Fault:
    return _wrong("FieldValueInvalid", "Invalid value", path, value, f"{path} in body {detail}")


def _about_nothing(detail: str) -> Fault:
    return Fault("", "FieldValueInvalid", f'Invalid value: "": {detail}')


# ---- One value


def _types(schema: Json) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


_NUMBER_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def _format(schema: Json, types: tuple[str, ...]) -> str:
    """Return the format of *schema*, empty where it is none that API servers know for its type."""
    format = schema.get("format")
    if not format:
        return ""
    kind = types[0] if len(types) == 1 else "string"
    known = format in _NUMBER_FORMATS.get(kind, ()) or (kind == "string" and checker(format) is not None)
    return format if known else ""


def _check(schema: Json, value: Any, path: str, old: Any) -> _Result:
    """Return what is wrong with *value*, nothing where it is as it was."""
    found = _check_anew(schema, value, path, old)
    if found.faults and old is not ABSENT and _same(value, old):
        return _Result(passed=found.passed)
    return found


def _check_anew(schema: Json, value: Any, path: str, old: Any) -> _Result:
    types, kind = _types(schema), _kind(value)
    format = _format(schema, types)
    found = _Result()
    if types or format or value is None:
        fault = _type_fault(schema, types, format, kind, value, path)
        if fault is None:
            found.passed += 1
        else:
            found.add(fault)
    if value is None:
        _add_enum(found, schema.get("enum"), value, path)
        return found
    if kind == "number":
        value = _float(value)
    found.passed += 2 if types or format else 1
    if not _ALTERNATIVES.isdisjoint(schema):
        _add_alternatives(found, schema, value, path, old)
    found.passed += 1
    if kind == "string":
        found.passed += 1
        _add_text(found, schema, value, path)
        if format and (is_good := checker(format)) is not None:
            found.passed += 1
            if not is_good(value):
                found.add(_typed(path, value, f"{format}: {go_quoted(value)}"))
    elif kind in _NUMBER_FORMATS:
        found.passed += 2
        _add_number(found, schema, types, format, value, path)
    elif kind == "array":
        found.passed += 2
        _add_list(found, schema, value, path, old)
    if "enum" in schema:
        _add_enum(found, schema["enum"], value, path)
    found.passed += 2
    if kind == "object":
        found.passed += 1
        _add_object(found, schema, value, path, old)
    return found


_GO_FORMATS = {"integer": "int64", "number": "float64"}


def _type_fault(schema: Json, types: tuple[str, ...], format: str, kind: str, value: Any, path: str) -> Fault | None:
    wanted, shown = ",".join(types), kind
    if kind == "null":
        is_good = not types or bool(schema.get("nullable"))
    else:
        is_good = kind in types or (kind == "integer" and "number" in types)
        is_good = is_good or (kind == "number" and "integer" in types and _is_whole(value))
        if format and kind in {"string", "array"}:
            is_good = is_good or not {"integer", "number"} & {*types}
        elif format:
            wanted, shown = format, _GO_FORMATS.get(kind, "")
    return None if is_good else _typed(path, shown, f'{wanted}: "{shown}"')


def _typed(path: str, value: str, wanted: str) -> Fault:
    return _wrong("FieldValueTypeInvalid", "Invalid value", path, value, f"{path} in body must be of type {wanted}")


def _add_enum(found: _Result, values: list[Any] | None, value: Any, path: str) -> None:
    if not values or any(_same(value, one) for one in values if one is not None):
        return
    listed = ", ".join(go_quoted(one if isinstance(one, str) else _shown(one)) for one in values)
    shown = "" if value is None else value
    detail = f"supported values: {listed}"
    found.add(_wrong("FieldValueNotSupported", "Unsupported value", path, shown, detail))


def _add_text(found: _Result, schema: Json, text: str, path: str) -> None:
    """Add the first thing that is wrong with a text."""
    most, least, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if most is not None and len(text) > most:
        found.add(causes.too_long(path, most))
    elif least is not None and len(text) < least:
        found.add(_invalid(path, text, f"should be at least {least} chars long"))
    elif pattern and not _fits(pattern, text):
        found.add(_invalid(path, text, f"should match '{pattern}'"))


def _add_number(found: _Result, schema: Json, types: tuple[str, ...], format: str, number: float, path: str) -> None:
    is_whole = _kind(number) == "integer"
    if len(types) == 1 and not _is_in_range(types[0], format, number):
        how = f"with format {format} in" if format else "(default format) in"
        found.add(_about_nothing(f"Checked value must be of type {types[0]} {how} {path}"))
    factor, least, most = (schema.get(field) for field in ("multipleOf", "minimum", "maximum"))
    # With a whole number the bounds are whole numbers, too.
    factor, least, most = (int(one) if is_whole and one is not None else one for one in (factor, least, most))
    if factor is not None and factor <= 0:
        wrong = f"factor MultipleOf declared for {path} must be positive: {_shown_number(factor)}"
        found.add(causes.invalid(path, factor, wrong))
    elif factor is not None and not _is_multiple(number, factor, is_whole=is_whole):
        found.add(_invalid(path, number, f"should be a multiple of {_shown_number(factor)}"))
    if least is not None and (number <= least if schema.get("exclusiveMinimum") else number < least):
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        found.add(_invalid(path, number, f"should be {words} {_shown_number(least)}"))
    if most is not None and (number >= most if schema.get("exclusiveMaximum") else number > most):
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        found.add(_invalid(path, number, f"should be {words} {_shown_number(most)}"))


def _is_multiple(number: float, factor: float, *, is_whole: bool) -> bool:
    if is_whole:
        return number % factor == 0
    return _is_whole(1 / factor * number if factor < 1 else number / factor)


def _is_in_range(type: str, format: str, number: float) -> bool:
    if type == "integer":
        numbers = _INT32 if format == "int32" else _INT64
        return numbers.start <= number < numbers.stop and math.trunc(number) == number
    if format == "float":
        try:
            struct.pack("<f", number)
        except OverflowError:
            return False
    return math.isfinite(number)


def _add_list(found: _Result, schema: Json, values: list[Any], path: str, old: Any) -> None:
    items = schema.get("items")
    if isinstance(items, dict):
        before = _old_items(schema, old)
        for index, value in enumerate(values):
            was = before.get(_key(schema, value), ABSENT) if before else ABSENT
            found.take(_check(items, value, f"{path}[{index}]", was))
    count, least, most = len(values), schema.get("minItems"), schema.get("maxItems")
    if least is not None and count < least:
        found.add(_invalid(path, count, f"should have at least {least} items"))
    if most is not None and count > most:
        found.add(causes.too_many(path, count, most))


def _old_items(schema: Json, old: Any) -> dict[str, Any]:
    """Return the items that a list had, by their keys; those of other lists than maps are not told apart."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return {}
    return {_key(schema, one): one for one in old}


def _key(schema: Json, item: Any) -> str:
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    return json.dumps([item.get(key) for key in keys] if isinstance(item, dict) else None)


def _add_object(found: _Result, schema: Json, value: Json, path: str, old: Any) -> None:
    before = old if isinstance(old, dict) else {}
    count, least, most = len(value), schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and count < least:
        found.add(_invalid(path, count, f"should have at least {least} properties"))
    if most is not None and count > most:
        found.add(causes.too_many(path, count, most))
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if isinstance(additional, dict):
        for name in sorted(value.keys() - properties.keys()):
            found.take(_check(additional, value[name], f"{path}.{name}", before.get(name, ABSENT)))
    for name in sorted(properties.keys() & value.keys()):
        here = f"{path}.{name}" if path else name
        found.take(_check(properties[name], value[name], here, before.get(name, ABSENT)))
    for name in schema.get("required") or ():
        if name not in value:
            found.add(causes.required(f"{path}.{name}"))


# ---- Alternatives


_ALTERNATIVES = frozenset({"anyOf", "oneOf", "allOf", "not"})


def _add_alternatives(found: _Result, schema: Json, value: Any, path: str, old: Any) -> None:
    some, one, all_of, none = (schema.get(field) for field in ("anyOf", "oneOf", "allOf", "not"))
    if some:
        _take_any(found, [_check_anew(each, value, path, old) for each in some], path)
    if one:
        _take_one(found, [_check_anew(each, value, path, old) for each in one], path)
    if all_of:
        _take_all(found, [_check_anew(each, value, path, old) for each in all_of], path)
    if isinstance(none, dict) and not _check_anew(none, value, path, old).faults:
        found.add(_about_nothing(f'"{path}" must not validate the schema (not)'))


def _nearest(results: list[_Result]) -> _Result:
    return max(results, key=lambda result: result.passed)  # of equals the first


def _take_any(found: _Result, results: list[_Result], path: str) -> None:
    good = next((result for result in results if not result.faults), None)
    if good is None:
        found.add(_about_nothing(f'"{path}" must validate at least one schema (anyOf)'))
    found.take(good or _nearest(results))


def _take_one(found: _Result, results: list[_Result], path: str) -> None:
    good = [result for result in results if not result.faults]
    if len(good) == 1:
        found.take(good[0])
        return
    count = f"{len(good)} valid alternatives" if good else "none valid"
    found.add(_about_nothing(f'"{path}" must validate one and only one schema (oneOf). Found {count}'))
    if not good:
        found.take(_nearest(results))


def _take_all(found: _Result, results: list[_Result], path: str) -> None:
    for result in results:
        found.take(result)
    bad = [result for result in results if result.faults]
    if bad:
        more = ". None validated" if len(bad) == len(results) else ""
        found.add(_about_nothing(f'"{path}" must validate all the schemas (allOf){more}'))


# ---- Patterns

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
# An escape, a named class, a set of letters, or an end: all that Go and Python do not mean alike, and what may hide it.
_PIECE = re.compile(r"\\z|\\.|\[:(\w+):\]|\[\^?\]?|\]|\$", re.DOTALL)


def _fits(pattern: str, text: str) -> bool:
    form = _form(pattern)
    return form is None or form.search(text) is not None


@lru_cache(maxsize=4096)
def _form(pattern: str) -> re.Pattern[str] | None:
    """Return *pattern*, which is in Go's notation; None where Python has no word for it: nothing is against it then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes in classes, which Go does not have either
        try:
            return re.compile("".join(_pieces(pattern)), re.ASCII)
        except (re.error, ValueError, OverflowError, RecursionError):
            return None


def wrong_pattern(pattern: str) -> str:
    """Return why *pattern* is no regular expression of Go; empty where it is one, or where that is not known here.

    Brackets that do not pair, operators that repeat nothing, and what other engines have and Go has not.
    """
    opened, at, repeats = 0, 0, False
    while at < len(pattern):
        rest, letter = pattern[at:], pattern[at]
        if rest.startswith(r"\Q"):
            at = (pattern.find(r"\E", at) + 2) if r"\E" in rest else len(pattern)
        elif found := _REFERENCE.match(rest):
            return f"invalid escape sequence: `{found[0]}`"
        elif letter == "\\":
            at += 2
        elif letter == "[":
            found = _SET.match(rest)
            if found is None:
                return f"missing closing ]: `{rest}`"
            at += found.end()
        elif found := _LOOK.match(rest):
            is_behind = found[0][2] == "<"
            return f"invalid named capture: `{rest}`" if is_behind else f"{_PERL}: `{found[0]}`"
        elif found := _FLAGS.match(rest):
            at += found.end()
            continue
        elif rest.startswith("(?"):
            found = _GROUP.match(rest)
            if found is None:
                return ""
            opened += 1
            at += found.end()
        elif letter == "(":
            opened += 1
            at += 1
        elif letter == ")":
            if not opened:
                return f"unexpected ): `{pattern}`"
            opened -= 1
            at += 1
        elif letter in "*+?" and not repeats:
            return f"missing argument to repetition operator: `{letter}{'?' if rest[1:2] == '?' else ''}`"
        else:
            at += 1
        repeats = letter not in "(|"
    return f"missing closing ): `{pattern}`" if opened else ""


_REFERENCE = re.compile(r"\\(?:[1-7](?![0-7])|[89])")
_SET = re.compile(r"\[(?:\^|(?!\^))(?:\]|(?!\]))(?:\\.|\[:\^?\w+:\]|[^\\\]])*\]", re.DOTALL)
_LOOK = re.compile(r"\(\?<?[=!]")
_FLAGS = re.compile(r"\(\?[imsU-]+\)")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|[imsU-]*:)")
_PERL = "invalid or unsupported Perl syntax"


def _pieces(pattern: str) -> Iterator[str]:
    is_in_set, end = False, 0
    for found in _PIECE.finditer(pattern):
        piece = found[0]
        yield pattern[end : found.start()]
        end = found.end()
        if found[1] and is_in_set:
            piece = _CLASSES.get(found[1], piece)
        elif piece == "]":
            is_in_set = False
        elif piece.startswith("["):
            if is_in_set:
                piece, is_in_set = rf"\{piece}", not piece.endswith("]")
            else:
                is_in_set = True
        elif piece == r"\z" or (piece == "$" and not is_in_set):
            piece = r"\Z"  # in Python `$` is good before a last line's end, too
        yield piece
    yield pattern[end:]


# ---- Scale, embedded objects, and lists of different items


def scale_faults(paths: tuple[tuple[str, ...], ...], object: Json, *, is_status: bool = False) -> _Faults:
    """Return what is wrong with the numbers and the selector that /scale shows.

    Args:
        paths: Of the replicas that are wanted, of those there are, and of the selector, if there is one.
        object: The custom resource.
        is_status: Only its status is written.
    """
    for path in paths[1 if is_status else 0 : 2]:
        yield from _scale_fault(object, path, "int64", 0)
    if len(paths) > 2 and paths[2]:
        yield from _scale_fault(object, paths[2], "string", "")


def _scale_fault(object: Json, path: tuple[str, ...], wanted: str, zero: Any) -> _Faults:
    value: Any = object
    for depth, step in enumerate(path):
        if not isinstance(value, dict):
            if value is not None:
                yield _not_accessible(path, path[: depth + 1], value, "map[string]interface{}", zero)
            return
        if step not in value:
            return
        value = value[step]
    field = f".{'.'.join(path)}"
    if _kind(value) != {"int64": "integer", "string": "string"}[wanted]:
        yield _not_accessible(path, path, value, wanted, zero)
    elif wanted == "int64" and value < 0:
        yield causes.invalid(field, value, "should be a non-negative integer")
    elif wanted == "int64" and value not in _INT32:
        yield causes.invalid(field, value, f"should be less than or equal to {_INT32.stop - 1}")


_GO_TYPES = {
    "object": "map[string]interface {}",
    "array": "[]interface {}",
    "string": "string",
    "boolean": "bool",
    "integer": "int64",
    "number": "float64",
    "null": "<nil>",
}


def _not_accessible(path: tuple[str, ...], there: tuple[str, ...], value: Any, wanted: str, zero: Any) -> Fault:
    what = f".{'.'.join(there)} accessor error: {go_text(value)} is of the type {_GO_TYPES[_kind(value)]}"
    return causes.invalid(f".{'.'.join(path)}", zero, f"{what}, expected {wanted}")


def unreadable(found: Iterable[Fault]) -> str:
    """Return the one of several faults for which an object cannot even be read, empty where it can."""
    bad = (one for one in found if one.message.endswith(f": {_NO_TEXT}"))
    return next((f"{one.field}: {one.message}" for one in bad), "")


def embedded_faults(schema: Json, value: Any, path: str = "") -> _Faults:
    """Return what is wrong with the apiVersion and the kind of objects in *value*; their metadata are not looked at."""
    if isinstance(value, dict):
        if schema.get("x-kubernetes-embedded-resource"):
            yield from _embedded(value, path)
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for name in sorted(value):
            if name in properties:
                yield from embedded_faults(properties[name], value[name], f"{path}.{name}" if path else name)
            elif isinstance(additional, dict):
                yield from embedded_faults(additional, value[name], f"{path}[{name}]")
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from embedded_faults(schema["items"], item, f"{path}[{index}]")


_NO_TEXT = "must be a string"


def _embedded(value: Json, path: str) -> _Faults:
    for field in ("apiVersion", "kind"):
        if field not in value:
            yield causes.required(f"{path}.{field}")
    for field, check in (("apiVersion", _wrong_version), ("kind", _wrong_kind)):
        if field in value:
            found = value[field]
            wrong = _NO_TEXT if not isinstance(found, str) else check(found) if found else "must not be empty"
            if wrong:
                yield causes.invalid(f"{path}.{field}", found, wrong)


def _wrong_version(version: str) -> str:
    return f"unexpected GroupVersion string: {version}" if version.count("/") > 1 else ""


_KIND = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KIND_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    f"and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_KIND}')"
)


def _wrong_kind(kind: str) -> str:
    wrong = ["must be no more than 63 characters"] if len(kind.encode()) > 63 else []
    wrong += [_KIND_RULE] if re.fullmatch(_KIND, kind.lower()) is None else []
    return f"may have mixed case, but should otherwise match: {','.join(wrong)}" if wrong else ""


def double_items(schema: Json, value: Any, path: str = "") -> _Faults:
    """Return the items of lists that are there before, in sets or by their keys."""
    if isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for name in sorted(value):
            if isinstance(additional, dict):
                yield from double_items(additional, value[name], f"{path}[{name}]")
            if name in properties:
                yield from double_items(properties[name], value[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        check = _LISTS.get(schema.get("x-kubernetes-list-type") or "")
        if check is not None:
            yield from check(schema, value, path)
        if isinstance(schema.get("items"), dict):
            for index, item in enumerate(value):
                yield from double_items(schema["items"], item, f"{path}[{index}]")


def _doubles_in_set(schema: Json, values: list[Any], path: str) -> _Faults:
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        shown = f"{_kind(value)} {json.dumps(value, sort_keys=True)}"
        seen[shown] = seen.get(shown, 0) + 1
        if seen[shown] == 2:  # a third one is not told
            yield Fault(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def _doubles_in_map(schema: Json, values: list[Any], path: str) -> _Faults:
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, dict):
            wrong = "must be an object for an array of list-type map"
            yield _wrong("FieldValueInvalid", "Invalid value", f"{path}[{index}]", value, wrong)
            return
    names = schema.get("x-kubernetes-list-map-keys") or ()
    keys = [{name: value[name] for name in names if name in value} for value in (one or {} for one in values)]
    yield from _doubles_in_set(schema, keys, path)


_LISTS: dict[str, Callable[[Json, list[Any], str], _Faults]] = {"set": _doubles_in_set, "map": _doubles_in_map}
