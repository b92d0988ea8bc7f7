"""How writes are meant, and what they answer. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple


class Options(NamedTuple):
    """How a write is meant.

    Attributes:
        dry_run: Do all but write.
        manager: Who writes.
        force: Whether an apply takes fields over from others.
        validation: Of unknown fields, which are dropped: Strict refuses them, Warn tells them, Ignore does not.
        duplicates: What is to be said of fields that were sent twice.
    """

    dry_run: bool = False
    manager: str = ""
    force: bool = False
    validation: str = "Warn"
    duplicates: tuple[str, ...] = ()


class Patch(NamedTuple):
    """What a patch did, for messages.

    Attributes:
        content_type: Its kind.
        change: As it was sent.
        octets: The object that it made.
    """

    content_type: str
    change: Any
    octets: bytes

    @property
    def touched(self) -> Collection[str] | None:
        """The fields of the object that may have changed, its metadata among them; None where it can be any."""
        return self.change if isinstance(self.change, dict) else None


class Deletion(NamedTuple):
    """How a deletion is meant.

    Attributes:
        grace_s: Seconds that a pod gets; None means what it asks for itself.
        policy: Background, Foreground or Orphan; empty means what the object says.
        uid: The UID that it must have; empty means any.
        version: The resourceVersion that it must have; empty means any.
        dry_run: Do all but write.
    """

    grace_s: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


class Written(NamedTuple):
    """What a write answers.

    Attributes:
        status: The HTTP status.
        octets: The object, or a Status.
    """

    status: int
    octets: bytes
