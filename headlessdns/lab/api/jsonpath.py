"""The JSONPath of `additionalPrinterColumns`: names, indices, slices, wildcards, filters, descent. Pure.

Source: the syntax that Kubernetes documents for kubectl, without `range`, `end` and unions.
"""

from __future__ import annotations

import json
import operator
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}

_STEP = re.compile(
    r"""
      \.\.(?P<deep>(?:[^.\[\\]|\\.)+)                        # any descendant of that name
    | \.(?P<name>(?:[^.\[\\]|\\.)+)                          # a field; a backslash takes the next character as it is
    | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]           # a field, in quotes
    | \[\?\(\s*@(?P<left>[^=!<>]*?)\s*(?:(?P<operator>[=!]=|[<>]=?)\s*(?P<literal>.*?))?\s*\)\]   # a filter
    | \[(?P<index>-?\d+)\]
    | \[(?P<slice>-?\d*:-?\d*|\*)\]
    """,
    re.VERBOSE,
)


class PathError(ValueError):
    """The text is no path of this subset."""


class Step(NamedTuple):
    """One step: which group of the pattern it is, its text, and of a filter the comparison and the value."""

    kind: str
    text: str
    comparison: str = ""
    value: Any = None


@lru_cache(maxsize=256)
def parse(path: str) -> tuple[Step, ...]:
    """Return the steps of *path*, such as ``.status.conditions[?(@.type=="Ready")].status``.

    Raises:
        PathError: It is no path of this subset.
    """
    steps, position = [], 0
    path = path.removeprefix("$")
    while position < len(path):
        found = _STEP.match(path, position)
        if not found:
            raise PathError(f"{path[position:]!r} in {path!r}: expected a name, an index, a slice or a filter")
        steps.append(_step(found))
        position = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    kind = found.lastgroup or ""
    if found["left"] is not None:
        literal = _literal(found["literal"]) if found["operator"] else None
        return Step("filter", found["left"], found["operator"] or "", literal)
    text = found[kind]
    return Step("name" if kind == "quoted" else kind, re.sub(r"\\(.)", r"\1", text))


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        raise PathError(f"{text!r}: expected a text in quotes, a number, true or false") from None


def values(path: str, root: Any) -> Iterator[Any]:
    """Yield what *root* has at *path*, in order; nothing where a step finds nothing.

    Raises:
        PathError: *path* is no path of this subset.
    """
    found = [root]
    for step in parse(path):
        found = [value for one in found for value in _STEPS[step.kind](one, step)]
    yield from found


def first(path: str, root: Any) -> Any:
    """Return the first value at *path*; None where there is none, or *path* is no path of this subset."""
    try:
        return next(values(path, root), None)
    except PathError:
        return None


def _field(one: Any, step: Step) -> list[Any]:
    if step.text == "*":
        return list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
    return [one[step.text]] if isinstance(one, dict) and step.text in one else []


def _descendants(one: Any, step: Step) -> list[Any]:
    inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return _field(one, step) + [value for child in inner for value in _descendants(child, step)]


def _item(one: Any, step: Step) -> list[Any]:
    index = int(step.text)
    return [one[index]] if isinstance(one, list) and -len(one) <= index < len(one) else []


def _slice(one: Any, step: Step) -> list[Any]:
    if step.text == "*":
        return _field(one, step)
    start, _, stop = step.text.partition(":")
    return one[int(start) if start else None : int(stop) if stop else None] if isinstance(one, list) else []


def _holds(one: Any, step: Step) -> bool:
    left = next(values(step.text, one), None)
    if not step.comparison:
        return left is not None
    try:
        return OPERATORS[step.comparison](left, step.value)
    except TypeError:
        return False


def _filter(one: Any, step: Step) -> list[Any]:
    return [item for item in one if _holds(item, step)] if isinstance(one, list) else []


_STEPS: dict[str, Callable[[Any, Step], list[Any]]] = {
    "deep": _descendants,
    "name": _field,
    "index": _item,
    "slice": _slice,
    "filter": _filter,
}
