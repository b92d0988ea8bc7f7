"""Label selectors as text."""

from __future__ import annotations

import pytest

from headlessdns.cluster import selectors

WEB = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        pytest.param("", {}, True, id="nothing selects everything"),
        pytest.param("  ", WEB, True, id="blanks are nothing"),
        pytest.param("app=web", WEB, True, id="equal"),
        pytest.param("app == web", WEB, True, id="two signs of equality, blanks"),
        pytest.param("app=db", WEB, False, id="another value"),
        pytest.param("app=web", {}, False, id="equal asks for the label"),
        pytest.param("app=", {"app": ""}, True, id="empty value"),
        pytest.param("app!=db", WEB, True, id="unequal"),
        pytest.param("app!=web", WEB, False, id="unequal, and it is equal"),
        pytest.param("app!=web", {}, True, id="unequal holds without the label"),
        pytest.param("app in (db, web)", WEB, True, id="one of several"),
        pytest.param("app in (db)", WEB, False, id="none of several"),
        pytest.param("app in(db,web)", WEB, True, id="in without a blank behind it"),
        pytest.param("app notin (db, cache)", WEB, True, id="notin"),
        pytest.param("app notin (db, web)", WEB, False, id="notin, and it is in"),
        pytest.param("app notin (db)", {}, True, id="notin holds without the label"),
        pytest.param("tier", WEB, True, id="exists"),
        pytest.param("canary", WEB, False, id="exists, and does not"),
        pytest.param("!canary", WEB, True, id="absent"),
        pytest.param("! tier", WEB, False, id="absent, and it is there"),
        pytest.param("app=web,tier in (front,back),!canary", WEB, True, id="all of several requirements"),
        pytest.param("app=web,tier=back", WEB, False, id="one of several requirements fails"),
        pytest.param("example.com/in=in", {"example.com/in": "in"}, True, id="a prefix, and the word in"),
    ],
)
def test_matches(text: str, labels: dict[str, str], selected: bool) -> None:
    """A selector selects what kubectl -l would."""
    assert selectors.parse(text).matches(labels) is selected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("app=web,", "'app=web,' ends in a comma; leave it out", id="comma at the end"),
        pytest.param("app=web,,tier", "from ',tier' on", id="two commas"),
        pytest.param("app=(web)", "from 'app=(web)' on", id="parentheses behind an equals sign"),
        pytest.param("app in web", "from 'app in web' on", id="in without parentheses"),
        pytest.param("=web", "from '=web' on", id="no key"),
        pytest.param("a=b c=d", "from 'a=b c=d' on", id="no comma between"),
    ],
)
def test_faults(text: str, complaint: str) -> None:
    """What is no selector is refused with the place from which it is none."""
    with pytest.raises(ValueError) as caught:
        selectors.parse(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["app=web", "app=web,tier in (a,b)", "app notin (a)", "app", "!app", ""],
)
def test_text_of_a_selector(text: str) -> None:
    """What is written of a selector is what was read."""
    assert selectors.to_text(selectors.parse(text)) == text
