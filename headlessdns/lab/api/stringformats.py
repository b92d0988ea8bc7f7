"""Which texts have the string formats that schemas of custom resources can ask for. Pure.

Source: the formats that apiextensions-apiserver 0.36 knows, by the checks of kube-openapi `validation/strfmt`. Of a URI
and of an e-mail address the rules of Go's parsers hold, but for groups of addresses, which are no good here.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from headlessdns.lab.api import causes


def checker(format: str) -> Callable[[str], bool] | None:
    """Return what tells whether a text has *format*, None where API servers do not know it."""
    return _CHECKERS.get(format.replace("-", ""))


def _matching(form: str) -> Callable[[str], bool]:
    return partial(_matches, re.compile(form, re.ASCII))


def _matches(form: re.Pattern[str], text: str) -> bool:
    return form.fullmatch(text) is not None


# ---- Names and addresses

_HOST_SHAPE = re.compile(r"[as](-?[as]{0,62})?|([as]([-as]{0,61}[as])?\.)+a{2,63}")
_MAX_HOST_OCTETS, _MAX_LABEL_OCTETS = 255, 63


def _is_hostname(text: str) -> bool:
    """A name without dots has a hyphen at its second place or nowhere; letters and symbols of all scripts are good."""
    octets = [len(label.encode()) for label in text.split(".")]
    is_short = sum(octets) + len(octets) - 1 <= _MAX_HOST_OCTETS and max(octets) <= _MAX_LABEL_OCTETS
    return is_short and _HOST_SHAPE.fullmatch("".join(map(_letter_class, text))) is not None


def _letter_class(letter: str) -> str:
    if letter in "-.":
        return letter
    category = unicodedata.category(letter)
    return "a" if category[0] == "L" else "s" if category[0] == "S" or letter in "0123456789" else "x"


def _is_ipv4(text: str) -> bool:
    return "." in text and causes.sloppy_ip(text) is not None


def _is_ipv6(text: str) -> bool:
    found = causes.sloppy_ip(text)
    return found is not None and found.version == 6


def _is_cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    found = causes.sloppy_ip(address)
    if found is None or not slash or re.fullmatch("[0-9]{1,7}", length) is None:
        return False
    return int(length) <= found.max_prefixlen


_HEX = "[0-9a-fA-F]"
_OCTET = f"{_HEX}{{2}}"
_OCTETS_OF_MAC = (6, 8, 20)
_MAC = "|".join(
    form
    for count in _OCTETS_OF_MAC
    for form in (
        f"{_OCTET}(:{_OCTET}){{{count - 1}}}",
        f"{_OCTET}(-{_OCTET}){{{count - 1}}}",
        rf"{_HEX}{{4}}(\.{_HEX}{{4}}){{{count // 2 - 1}}}",
    )
)

_ATEXT = r"[^\x00-\x20\x7f()<>\[\]:;@\\,\".]"
_WORD = r"[^\x00-\x20\x7f()<>\[\]:;@\\,\"]++"  # in one go: what fits in many ways takes forever not to fit
_DOT_ATOM = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_QUOTED = r'"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])+"'
_COMMENTS = r"(?:[ \t]*\([^()\\]*\))*[ \t]*"
_SPEC = rf"[ \t]*(?:{_DOT_ATOM}|{_QUOTED})@[ \t]*(?:{_DOT_ATOM}|\[(?P<ip>[^\]]*)\])"
_SPEC_AFTER_NAME = _SPEC.replace("?P<ip>", "?P<other_ip>")
_EMAIL = re.compile(rf"(?:{_SPEC}|[ \t]*(?:(?:{_WORD}|{_QUOTED}){_COMMENTS})*+<{_SPEC_AFTER_NAME}>){_COMMENTS}")


def _is_email(text: str) -> bool:
    found = _EMAIL.fullmatch(text)
    if found is None:
        return False
    literal = found["ip"] if found["ip"] is not None else found["other_ip"]
    return literal is None or (not causes.ip(literal) and causes.strict_ip(literal) != ["must not have leading 0s"])


_SCHEME = re.compile("([A-Za-z][-+.A-Za-z0-9]*):")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_USER = re.compile(r"[-A-Za-z0-9._:~!$&'()*+,;=%@]*")
_HOST = re.compile(r"""(?:[-A-Za-z0-9_.~!$&'()*+,;=:<>"\]]|[^\x00-\x7f]|%25|%[89A-Fa-f][0-9A-Fa-f])*""")
_ZONE = re.compile(r"""(?:[-A-Za-z0-9_.~!$&'()*+,;=:<>"]|[^\x00-\x7f]|%[0-9A-Fa-f]{2})+""")
_PORT = re.compile("(?::[0-9]*)?")


def _is_uri(text: str) -> bool:
    """An absolute URI, or a path from the root."""
    if not text or any(letter < " " or letter == "\x7f" for letter in text):
        return False
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    rest = text[found.end() :] if found else text
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        return bool(scheme) or text == "*"
    if scheme and rest.startswith("//"):
        authority, _, rest = rest[2:].partition("/")
        if not _is_authority(authority, scheme):
            return False
    return _BAD_ESCAPE.search(rest) is None


def _is_authority(authority: str, scheme: str) -> bool:
    user, _, host = authority.rpartition("@")
    if _USER.fullmatch(user) is None or _BAD_ESCAPE.search(user):
        return False
    if host.startswith("["):
        inside, bracket, port = host[1:].rpartition("]")
        address, percent, zone = inside.partition("%25")
        found = causes.sloppy_ip(address) if bracket else None
        is_address = found is not None and found.version == 6 and (_ZONE.fullmatch(zone) or not percent)
        return bool(is_address) and _PORT.fullmatch(port) is not None
    # Some schemes have several hosts, each with a port: only what comes after the last colon is one.
    name, colon, port = host.partition(":") if scheme in {"http", "https"} else host.rpartition(":")
    if not colon:
        name, port = host, ""
    return _HOST.fullmatch(name) is not None and re.fullmatch("[0-9]*", port) is not None


# ---- Numbers with a check digit

_CARD = re.compile(
    r"4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35[0-9]{3})[0-9]{11}"
)


def _is_credit_card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    if _CARD.fullmatch(digits) is None:
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_isbn10(text: str) -> bool:
    digits = _without_hyphens(text)
    if re.fullmatch("[0-9]{9}[0-9X]", digits) is None:
        return False
    return sum(place * (10 if digit == "X" else int(digit)) for place, digit in enumerate(digits, 1)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = _without_hyphens(text)
    if re.fullmatch("[0-9]{13}", digits) is None:
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _without_hyphens(text: str) -> str:
    return re.sub(r"[-\t\n\f\r ]+", "", text)


# ---- Times

_DAY = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile("([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[-+][0-9]{2}:[0-9]{2})")
_GO_DURATION = re.compile(r"[-+]?((?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_GO_PART = re.compile("([0-9.]+)([^0-9.]+)")
_PART = re.compile("([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)")
_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_UNITS = frozenset({"ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"})
_LONG_UNITS = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_MAX_INT64 = 2**63 - 1


def _is_date(text: str) -> bool:
    found = _DAY.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    # The leap years come again after 400 years; Python has no year 0.
    return 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 400, month)[1]


def _is_date_time(text: str) -> bool:
    """Seconds are 59 at most; what comes after another ``t`` is not looked at."""
    date, *times = text.lower().split("t")
    found = _CLOCK.fullmatch(times[0]) if times else None
    return found is not None and _is_date(date) and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _is_duration(text: str) -> bool:
    """As Go writes them, or any text that has a number with a unit in it."""
    if text in {"0", "+0", "-0"}:
        return True
    found = _GO_DURATION.fullmatch(text)
    if found is not None:
        length_ns = sum(Decimal(number) * _NS[unit] for number, unit in _GO_PART.findall(found[1]))
        if length_ns <= _MAX_INT64:
            return True
    parts = _PART.findall(text)
    if any(int(number[-30:]) > _MAX_INT64 or len(number) > 30 for number, _ in parts):
        return False
    return any(unit.lower() in _UNITS or unit.lower().startswith(_LONG_UNITS) for _, unit in parts)


# ---- All formats

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SHADE = r"[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*"
_QUANTUM = "[A-Za-z0-9+/]"


def _uuid(third: str, fourth: str) -> Callable[[str], bool]:
    return _matching(f"{_HEX}{{8}}-?{_HEX}{{4}}-?{third}-?{fourth}-?{_HEX}{{12}}")


_CHECKERS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matching(f"{_HEX}{{24}}"),
    "uri": _is_uri,
    "email": _is_email,
    "hostname": _is_hostname,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
    "cidr": _is_cidr,
    "mac": _matching(_MAC),
    "uuid": _uuid(f"{_HEX}{{4}}", f"{_HEX}{{4}}"),
    "uuid3": _uuid(f"3{_HEX}{{3}}", f"{_HEX}{{4}}"),
    "uuid4": _uuid(f"4{_HEX}{{3}}", f"[89abAB]{_HEX}{{3}}"),
    "uuid5": _uuid(f"5{_HEX}{{3}}", f"[89abAB]{_HEX}{{3}}"),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "creditcard": _is_credit_card,
    # By its length of 11 one of the separators at least is there.
    "ssn": lambda text: len(text) == 11 and re.fullmatch("[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}", text) is not None,
    "hexcolor": _matching(f"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _matching(rf"rgb\({_SHADE},{_SHADE},{_SHADE}\)"),
    "byte": _matching(f"({_QUANTUM}{{4}})*({_QUANTUM}{{2}}==|{_QUANTUM}{{3}}=|{_QUANTUM}{{4}})"),
    "password": lambda text: True,
    "date": _is_date,
    "duration": _is_duration,
    "datetime": _is_date_time,
    "k8sshortname": lambda text: len(text) <= 63 and re.fullmatch(_LABEL, text) is not None,
    "k8slongname": lambda text: len(text) <= 253 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", text) is not None,
}
