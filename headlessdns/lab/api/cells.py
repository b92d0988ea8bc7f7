"""What tables of all kinds are made of: columns, ages, and words for parts of objects. Pure.

Source: answers of kube-apiserver 1.36, with which the tests compare.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headlessdns.lab.api.kinds import Json

Cell = str | int | float | bool | None
Cells = list[Cell]


class Column(NamedTuple):
    """One column.

    Attributes:
        name: What kubectl prints in capitals.
        description: For people.
        priority: 0 is always shown, 1 with ``-o wide``.
        type: As in OpenAPI, or ``date``.
        format: ``name`` marks the object's name.
    """

    name: str
    description: str
    priority: int = 0
    type: str = "string"
    format: str = ""


class Kind(NamedTuple):
    """The columns of a kind, and its cells in their order: of an object at a Unix time."""

    columns: tuple[Column, ...]
    cells: Callable[[Json, float], Cells]


NAME = Column("Name", "The object's name, unique in its namespace.", format="name")
AGE = Column("Age", "For how long the object has existed.")
CONTAINERS = (
    Column("Containers", "The names of the template's containers.", 1),
    Column("Images", "The images of the template's containers.", 1),
)
SELECTOR = Column("Selector", "Which pods belong to it, by their labels.", 1)


# ---- reading objects


def at(one: Json, path: str, default: Any = None) -> Any:
    """Return what *one* has at *path*, a chain of names with dots; *default* where there is nothing, or null."""
    value: Any = one
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return default if value is None else value


def name_of(one: Json) -> str:
    """Return the name of an object."""
    return str(at(one, "metadata.name", ""))


def condition_of(one: Json, kind: str) -> Json:
    """Return the condition of type *kind*, an empty one where there is none."""
    found: Json = next((c for c in at(one, "status.conditions", []) if c.get("type") == kind), {})
    return found


# ---- times


def seconds(timestamp: str | None) -> float | None:
    """Return the Unix time of *timestamp* (RFC 3339); None where it is missing or no time."""
    if not timestamp:
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def duration(duration_s: float) -> str:
    """Return *duration_s* in two or three figures, such as ``5m12s``, ``3h``, ``6d4h``, ``2y11d``.

    Clocks differ, so up to 2 s before now count as now; what lies further ahead is ``<invalid>``.
    """
    whole_s = int(duration_s)
    if whole_s < 0:
        return "0s" if whole_s == -1 else "<invalid>"
    minutes, hours, days = whole_s // 60, whole_s // 3600, whole_s // 86400
    # Below the limit in seconds: the greater unit and, where it is no 0, the lesser one.
    for limit_s, text, rest in (
        (120, f"{whole_s}s", ""),
        (10 * 60, f"{minutes}m", f"{whole_s % 60}s"),
        (3 * 3600, f"{minutes}m", ""),
        (8 * 3600, f"{hours}h", f"{minutes % 60}m"),
        (48 * 3600, f"{hours}h", ""),
        (8 * 86400, f"{days}d", f"{hours % 24}h"),
        (2 * 365 * 86400, f"{days}d", ""),
        (8 * 365 * 86400, f"{days // 365}y", f"{days % 365}d"),
    ):
        if whole_s < limit_s:
            return text + rest if rest[:-1] not in {"", "0"} else text
    return f"{days // 365}y"


def since(timestamp: str | None, now_s: float) -> str:
    """Return the age of *timestamp* as `duration` says it."""
    moment_s = seconds(timestamp)
    return "<unknown>" if moment_s is None else duration(now_s - moment_s)


def age_of(one: Json, now_s: float) -> str:
    """Return for how long an object has existed."""
    return since(at(one, "metadata.creationTimestamp"), now_s)


# ---- words for parts of objects


def labels_text(labels: Json) -> str:
    """Return a map as ``a=1,b=2``, in the order of the keys."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


_OPERATORS = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}


def selector_text(selector: Json) -> str:
    """Return a label selector as ``a=1,b in (2,3),!c``, in the order of the keys; labels before expressions."""
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(sorted(expression.get("values") or []))
        parts.append((key, _OPERATORS[expression["operator"]].format(key, values)))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def containers_of(one: Json) -> Cells:
    """Return the names and the images of the containers in a template."""
    containers = at(one, "spec.template.spec.containers", [])
    return [",".join(c.get(field, "") for c in containers) for field in ("name", "image")]
