"""A cluster on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headlessdns.lab.client import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    """Import `Lab` when it is asked for: the lab itself does without it."""
    if name == "Lab":
        from headlessdns.lab.client import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
