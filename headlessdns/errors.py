"""The error tree. Bad input from outside is an exception where we start, a value where we serve.

Pure. ``FormatError`` never leaves ``wire/``: it carries the RCODE to answer with. ``ConfigError`` and
``ManifestError`` gather every fault before they are raised, so that one run shows all of them.
"""

from __future__ import annotations

import msgspec


class HeadlessDNSError(Exception):
    """The root of every error that this program raises on purpose."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with an input: where, what was found, what was expected, what to do."""

    where: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}; {self.remedy}"


class InputError(HeadlessDNSError):
    """Input that cannot be used, with every fault in it.

    Attributes:
        faults: At least one fault, in the order of the input.
    """

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


class ConfigError(InputError):
    """A flag, an environment variable or the configuration file cannot be used."""


class ManifestError(InputError):
    """A manifest cannot be used."""


class ClusterError(HeadlessDNSError):
    """The Kubernetes API cannot be reached or refuses; the text says what to do. The cause is kept."""


class FormatError(HeadlessDNSError):
    """A DNS message breaks its format.

    Attributes:
        rcode: The RCODE to answer with (RFC 1035 §4.1.1, RFC 6891 §9).
    """

    def __init__(self, reason: str, rcode: int = 1) -> None:
        self.rcode = rcode
        super().__init__(reason)
