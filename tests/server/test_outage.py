"""When the log says that the resolver does not answer, and that it does again."""

from __future__ import annotations

from headlessdns.server.outage import Outage, Told

REMEDY = "names that lead outside our zones are SERVFAIL; see that it runs and answers this host, or correct --resolver"
BACK = Told(True, "the resolver 192.0.2.1:53 answers again")


def began(found: str) -> Told:
    return Told(False, f"the resolver 192.0.2.1:53 does not answer ({found}): {REMEDY}")


def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    """However long it lasts, an outage is one warning, and its end one line."""
    outage = Outage("192.0.2.1:53")
    assert outage.note({"NOERROR": 0, "timeout": 0}, 0) is None
    assert outage.note({"NOERROR": 0, "timeout": 3, "REFUSED": 1}, 1) == began("timeout 3 times, REFUSED")
    assert outage.note({"NOERROR": 0, "timeout": 9, "REFUSED": 9}, 2) is None
    assert outage.note({"NOERROR": 0, "timeout": 99, "REFUSED": 9}, 3600) is None
    assert outage.note({"NOERROR": 1, "timeout": 99, "REFUSED": 9}, 3601) == BACK
    assert outage.note({"NOERROR": 2, "timeout": 99, "REFUSED": 9}, 3602) is None


def test_a_resolver_that_comes_and_goes_is_told_once_a_minute() -> None:
    """A second outage within a minute is not told, a later one is."""
    outage = Outage("192.0.2.1:53")
    assert outage.note({"network error": 1}, 0) == began("network error")
    assert outage.note({"NXDOMAIN": 1, "network error": 1}, 1) == BACK
    assert outage.note({"NXDOMAIN": 1, "network error": 2}, 59) is None
    assert outage.note({"NXDOMAIN": 1, "network error": 3}, 60) == began("network error")


def test_one_name_that_fails_is_no_outage() -> None:
    """While the resolver answers others, one name that it cannot resolve is not told, nor that we ask too much."""
    outage = Outage("192.0.2.1:53")
    assert outage.note({"NOERROR": 1, "SERVFAIL": 5}, 1) is None
    assert outage.note({"NOERROR": 1, "SERVFAIL": 5, "overload": 7}, 2) is None
