"""Label selectors: the text form that ``kubectl -l`` and the API's ``labelSelector`` take.

Source: Kubernetes, "Labels and Selectors". Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_REQUIREMENT = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<absent_key>[^\s,=!()]+)
      | (?P<key>[^\s,=!()]+)\s*(?:
            (?P<operator>==?|!=)\s*(?P<value>[^\s,=!()]*)
          | \s(?P<set_operator>in|notin)\s*\((?P<values>[^()]*)\)
        )?
    )\s*(?:,|\Z)""",
    re.VERBOSE,
)


class Requirement(NamedTuple):
    """One condition on one label.

    Attributes:
        key: The label.
        values: What its value is compared with; None asks only whether the label is there.
        wanted: Whether the condition is to hold or to fail.
    """

    key: str
    values: frozenset[str] | None
    wanted: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether *labels* meet it. A label that is not there has no value, so ``!=`` and ``notin`` hold."""
        found = self.key in labels and (self.values is None or labels[self.key] in self.values)
        return found is self.wanted


class Selector(NamedTuple):
    """Requirements that must all hold; none selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether *labels* meet every requirement."""
        return all(requirement.holds(labels) for requirement in self.requirements)


EVERYTHING = Selector()


def parse(text: str) -> Selector:
    """Return the selector that *text* writes, such as ``app=web,tier in (a, b),!canary``.

    Raises:
        ValueError: The text is no selector; says where it stops being one.
    """
    requirements = []
    position = 0
    while text[position:].strip():
        found = _REQUIREMENT.match(text, position)
        if found is None:
            raise ValueError(
                f"{text!r} is no label selector from {text[position:].strip()!r} on; "
                "expected requirements such as app=web, app!=web, app in (a, b), app notin (a), app or !app"
            )
        requirements.append(_requirement(found))
        position = found.end()
    if text.rstrip().endswith(","):
        raise ValueError(f"{text!r} ends in a comma; leave it out")
    return Selector(tuple(requirements))


def to_text(selector: Selector) -> str:
    """Return the text of *selector*, which `parse` reads again."""
    return ",".join(map(_requirement_text, selector.requirements))


def _requirement_text(requirement: Requirement) -> str:
    key, values, wanted = requirement
    if values is None:
        return key if wanted else f"!{key}"
    if wanted and len(values) == 1:
        return f"{key}={next(iter(values))}"
    return f"{key} {'in' if wanted else 'notin'} ({','.join(sorted(values))})"


def _requirement(found: re.Match[str]) -> Requirement:
    if found["absent"]:
        return Requirement(found["absent_key"], None, wanted=False)
    if found["operator"]:
        return Requirement(found["key"], frozenset({found["value"]}), wanted=found["operator"] != "!=")
    if found["set_operator"]:
        values = frozenset(value.strip() for value in found["values"].split(","))
        return Requirement(found["key"], values, wanted=found["set_operator"] == "in")
    return Requirement(found["key"], None, wanted=True)
