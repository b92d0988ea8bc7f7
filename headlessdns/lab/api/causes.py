"""What is wrong with a field, in the words of the API server, and the forms that names and values have. Pure.

Source: the field errors and the content checks of apimachinery 0.36.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from headlessdns.lab.api.status import Fault as Cause


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _with(title: str, detail: str) -> str:
    return f"{title}: {detail}" if detail else title


def invalid(field: str, value: Any, detail: str) -> Cause:
    """The value is malformed or does not fit the others."""
    return Cause(field, "FieldValueInvalid", _with(f"Invalid value: {_shown(value)}", detail))


def required(field: str, detail: str = "") -> Cause:
    """There is no value, and there must be one."""
    return Cause(field, "FieldValueRequired", _with("Required value", detail))


def forbidden(field: str, detail: str) -> Cause:
    """The value would be good elsewhere, or at another time."""
    return Cause(field, "FieldValueForbidden", _with("Forbidden", detail))


def unsupported(field: str, value: Any, values: Iterable[str]) -> Cause:
    """The value is none of *values*."""
    listed = ", ".join(f'"{each}"' for each in values)
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {listed}")


def duplicate(field: str, value: Any) -> Cause:
    """The value was there before."""
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def not_found(field: str, value: Any) -> Cause:
    """The value names something that is not there."""
    return Cause(field, "FieldValueNotFound", f"Not found: {_shown(value)}")


def too_long(field: str, most_octets: int) -> Cause:
    """The value has too many octets."""
    octets = "byte" if most_octets == 1 else "bytes"
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {most_octets} {octets}")


def too_many(field: str, count: int, most: int) -> Cause:
    """The list has too many items."""
    items = "item" if most == 1 else "items"
    return Cause(field, "FieldValueTooMany", f"Too many: {count}: must have at most {most} {items}")


# ---- Forms. Each function returns what is wrong, nothing where all is well.

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_KEY})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"

_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_KEY_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_CONFIG_KEY_RULE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
PERCENT_RULE = "a valid percent string must be a numeric string followed by an ending '%'"

PORT_RANGE = "must be between 1 and 65535, inclusive"
NOT_NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"


@lru_cache(maxsize=16_384)
def _matches(form: str, value: str) -> bool:
    return re.fullmatch(form, value, re.ASCII) is not None


def _by_form(rule: str, form: str, *examples: str) -> str:
    shown = " or ".join(f"'{each}', " for each in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{form}')"


def dns_label(value: str) -> list[str]:
    """A label of RFC 1123, at most 63 octets."""
    wrong = ["must be no more than 63 characters"] if len(value.encode()) > 63 else []
    if not _matches(_LABEL, value):
        dotted = _matches(_SUBDOMAIN, value)
        wrong.append("must not contain dots" if dotted else _by_form(_LABEL_RULE, _LABEL, "my-name", "123-abc"))
    return wrong


def dns_subdomain(value: str) -> list[str]:
    """Labels of RFC 1123 joined by dots, at most 253 octets."""
    wrong = ["must be no more than 253 characters"] if len(value.encode()) > 253 else []
    if not _matches(_SUBDOMAIN, value):
        wrong.append(_by_form(_SUBDOMAIN_RULE, _SUBDOMAIN, "example.com"))
    return wrong


_LOOSE_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_LOOSE_SUBDOMAIN = rf"{_LOOSE_LABEL}(\.{_LOOSE_LABEL})*"
_LOOSE_RULE = _SUBDOMAIN_RULE.replace("characters, '-'", "characters, '_', '-'")


def search_path(value: str) -> list[str]:
    """Labels as in a subdomain, which may have underscores as well."""
    wrong = ["must be no more than 253 characters"] if len(value.encode()) > 253 else []
    if not _matches(_LOOSE_SUBDOMAIN, value):
        wrong.append(_by_form(_LOOSE_RULE, _LOOSE_SUBDOMAIN, "example.com"))
    return wrong


_KEY_FORM = _by_form(_KEY_RULE, _KEY, "MyName", "my.name", "123-abc")


def path_segment(value: str) -> list[str]:
    """What can stand in a path between two slashes."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{each}'" for each in ("/", "%") if each in value]


def qualified_name(value: str) -> list[str]:
    """A label's key: a name, and before a slash a subdomain if any."""
    prefix, slash, name = value.rpartition("/")
    wrong = []
    if value.count("/") > 1:
        return [
            f"a valid label key {_KEY_FORM} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if slash:
        found = dns_subdomain(prefix) if prefix else ["must be non-empty"]
        # The API server counts the same octets under two names.
        wrong += [f"prefix part {each.replace('253 characters', '253 bytes')}" for each in found]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        wrong.append("name part must be no more than 63 bytes")
    if not _matches(_KEY, name):
        wrong.append(f"name part {_KEY_FORM}")
    return wrong


def label_value(value: str) -> list[str]:
    """The value of a label."""
    wrong = ["must be no more than 63 bytes"] if len(value.encode()) > 63 else []
    if not _matches(_VALUE, value):
        wrong.append(_by_form(_VALUE_RULE, _VALUE, "MyValue", "my_value", "12345"))
    return wrong


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap or a Secret."""
    wrong = ["must be no more than 253 characters"] if len(value.encode()) > 253 else []
    if not _matches(_CONFIG_KEY, value):
        wrong.append(_by_form(_CONFIG_KEY_RULE, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    elif value in {".", ".."}:
        wrong.append(f"must not be '{value}'")
    elif value.startswith(".."):
        wrong.append("must not start with '..'")
    return wrong


def environment_name(value: str) -> list[str]:
    """The name of an environment variable: anything that can be printed, but for ``=``."""
    if not value:
        return ["environment variable name must be non-empty"]
    if not _matches("[ -<>-~]+", value):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def header_name(value: str) -> list[str]:
    """The name of a header of HTTP."""
    if _matches("[-A-Za-z0-9]+", value):
        return []
    rule = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_by_form(rule, "[-A-Za-z0-9]+", "X-Header-Name")]


def port_name(value: str) -> list[str]:
    """The name of a container's port, as in an SRV record."""
    wrong = ["must be no more than 15 characters"] if len(value) > 15 else []
    if not _matches("[-a-z0-9]+", value):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in value:
        wrong.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def port_number(value: Any) -> list[str]:
    """A port from 1 to 65535."""
    return [] if isinstance(value, int) and 1 <= value <= 65535 else [PORT_RANGE]


def percent(value: str) -> list[str]:
    """Digits and a percent sign."""
    return [] if _matches("[0-9]+%", value) else [_by_form(PERCENT_RULE, "[0-9]+%", "1%", "93%")]


_NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def ip(value: str) -> list[str]:
    """An address of IPv4, whose parts may have leading zeros, or of IPv6."""
    return [] if sloppy_ip(value) is not None else [_NOT_AN_IP]


def cidr(value: str) -> list[str]:
    """A prefix of addresses; the address may have more bits set than the prefix has."""
    address, _, length = value.partition("/")
    found = sloppy_ip(address)
    if found is not None and _matches("[0-9]{1,9}", length) and int(length) <= found.max_prefixlen:
        return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def strict_ip(value: str) -> list[str]:
    """An address as it is written shortest."""
    found = sloppy_ip(value)
    if found is None:
        return [_NOT_AN_IP]
    if ":" not in value and str(found) != value:
        return ["must not have leading 0s"]
    if getattr(found, "ipv4_mapped", None):
        return ["must not be an IPv4-mapped IPv6 address"]
    return [] if str(found) == value else [f'must be in canonical form ("{found}")']


@lru_cache(maxsize=16_384)
def sloppy_ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that *value* says, None where it is none."""
    if _matches(r"[0-9]{1,20}(\.[0-9]{1,20}){3}", value):
        value = ".".join(str(int(part)) for part in value.split("."))
    if "%" in value:
        return None
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None
