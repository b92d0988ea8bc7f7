"""A lab as a person sees it in a terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from headlessdns.lab.screen import tables
from headlessdns.lab.view import Group, Headline, Row

DOMAIN = "nginx.default.svc.cluster.local"


def a_row(ordinal: int, *, set: str = "web", **fields: object) -> Row:
    """A pod at rest."""
    pod, address = f"{set}-{ordinal}", f"10.244.0.{ordinal + 2}"
    row = Row(f"default/{set}", pod, address, "Running", True, f"{pod}.{DOMAIN}", address, "")
    return row._replace(**fields)  # type: ignore[arg-type]


def a_group(rows: list[Row], *, set: str = "web", trouble: str = "") -> Group:
    return Group(Headline("StatefulSet", f"default/{set}", 1, None, len(rows), trouble), rows)


def drawn(groups: list[Group], width: int, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, legacy_windows=False)
    console.print(tables(groups, width, height))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())


UNREADY = a_row(1, ready=False, answer="NXDOMAIN", waits_for="it runs and is not ready")
ABSENT = a_row(2, address="", phase="", ready=False, answer="", waits_for="waits for web-1")
COURSE = [a_group([a_row(0), UNREADY, ABSENT])]

WIDE = """\
StatefulSet default/web: 1 of 3 ready
pod    address     phase              ready  name                                   the DNS answers  what is going on
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
web-0  10.244.0.2  Running            yes    web-0.nginx.default.svc.cluster.local  10.244.0.2
web-1  10.244.0.3  Running            no     web-1.nginx.default.svc.cluster.local  NXDOMAIN         it runs and is not ready
web-2  -           -                  no     web-2.nginx.default.svc.cluster.local  not asked yet    waits for web-1"""  # noqa: E501
MIDDLE = """\
StatefulSet default/web: 1 of 3 ready
names: POD.nginx.default.svc.cluster.local
pod    address     phase              ready  the DNS answers  what is going on
──────────────────────────────────────────────────────────────────────────────────────
web-0  10.244.0.2  Running            yes    10.244.0.2
web-1  10.244.0.3  Running            no     NXDOMAIN         it runs and is not ready
web-2  -           -                  no     not asked yet    waits for web-1"""
NARROW = """\
StatefulSet default/web: 1 of 3 ready
names: POD.nginx.default.svc.cluster.local
pod    address     phase              ready  the DNS answers  what is going on
────────────────────────────────────────────────────────────────────────────────
web-0  10.244.0.2  Running            yes    10.244.0.2
web-1  10.244.0.3  Running            no     NXDOMAIN         it runs and is not
                                                              ready
web-2  -           -                  no     not asked yet    waits for web-1"""
NARROWER = """\
StatefulSet default/web: 1 of 3 ready
names: POD.nginx.default.svc.cluster.local
pod    phase              ready  the DNS answers  what is going on
────────────────────────────────────────────────────────────────────
web-0  Running            yes    10.244.0.2
web-1  Running            no     NXDOMAIN         it runs and is not
                                                  ready
web-2  -                  no     not asked yet    waits for web-1"""
NARROWEST = """\
StatefulSet default/web: 1 of 3 ready
names: POD.nginx.default.svc.cluster.local
pod    phase              the DNS answers
─────────────────────────────────────────
web-0  Running            10.244.0.2
web-1  Running            NXDOMAIN
web-2  -                  not asked yet"""


@pytest.mark.parametrize(
    ("width", "expected"), [(160, WIDE), (100, MIDDLE), (80, NARROW), (68, NARROWER), (50, NARROWEST)]
)
def test_width(width: int, expected: str) -> None:
    """As many columns are shown as there is room for; how names are made stands above where they have no column."""
    assert drawn(COURSE, width) == expected


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 160])
def test_no_line_is_too_long(width: int) -> None:
    """Whatever the width, no line goes beyond it: a terminal would break it and the table would be in ruins."""
    rows = [a_row(0, address="10.244.0.2, fd00:10:244::2", answer="10.244.0.2, fd00:10:244::2"), UNREADY]
    text = drawn([a_group(rows, trouble="the whole set is stalled, for a reason that takes some words")], width)
    assert max(map(len, text.splitlines())) <= width


def test_pods_with_names_of_their_own() -> None:
    """Where a name is not made of its pod's, one name is shown as it is."""
    rows = [a_row(0, name="db.other.default.svc.cluster.local"), a_row(1)]
    assert "names: db.other.default.svc.cluster.local" in drawn([a_group(rows)], 80)


def test_no_names() -> None:
    """A set without a Service has no names, and nothing is asked for."""
    text = drawn([a_group([a_row(0, name="", answer="")])], 80)
    assert "names:" not in text
    assert text.splitlines()[-1].split() == ["web-0", "10.244.0.2", "Running", "yes", "-"]


def test_no_sets() -> None:
    """Where there is nothing, the screen says what to do."""
    assert drawn([], 100) == "No StatefulSet or OrdinalSet yet. In another terminal: kubectl apply -f FILE"


def test_trouble_of_a_set() -> None:
    """What is wrong with a set stands below its rows."""
    text = drawn([a_group([a_row(0)], trouble="web-0: image cannot be pulled")], 100)
    assert text.splitlines()[-1] == "web-0: image cannot be pulled"


def test_rows_at_rest_make_room() -> None:
    """Of more pods than fit those are shown that something is going on with, in their order, then others; all count."""
    rows = [a_row(ordinal) for ordinal in range(100)]
    rows[70] = rows[70]._replace(waits_for="it is terminating")
    rows[40] = rows[40]._replace(answer="NXDOMAIN")
    text = drawn([a_group(rows)], 160, height=9)
    pods = [line.split()[0] for line in text.splitlines()[3:-1]]
    assert (pods, text.splitlines()[-1]) == (["web-0", "web-1", "web-40", "web-70"], "and 96 more")


def test_height_is_shared() -> None:
    """A small set leaves its room to a large one."""
    groups = [a_group([a_row(0, set="a")], set="a"), a_group([a_row(n, set="b") for n in range(30)], set="b")]
    text = drawn(groups, 160, height=24)
    assert [text.count(f"\n{name}-") for name in "ab"] == [1, 14]
    assert "and 16 more" in text
    assert len(text.splitlines()) <= 24


def test_more_sets_than_fit() -> None:
    """Sets for which there is no room are counted, and those that something is going on in are not among them."""
    groups = [a_group([a_row(0, set=f"s{n}")], set=f"s{n}") for n in range(9)]
    groups[7] = a_group([a_row(0, set="s7", waits_for="it is terminating")], set="s7")
    text = drawn(groups, 160, height=16)
    assert [line for line in text.splitlines() if line.startswith("StatefulSet")] == [
        "StatefulSet default/s0: 1 of 1 ready",
        "StatefulSet default/s7: 1 of 1 ready",
    ]
    assert text.splitlines()[-1] == "and 7 more sets: make the window higher"


def test_a_thousand_pods_are_drawn_in_no_time() -> None:
    """A large set costs a sort, not the square of its size: what is not shown is not laid out."""
    groups = [a_group([a_row(ordinal, waits_for="is to be created") for ordinal in range(20_000)])]
    before_s = time.process_time()
    drawn(groups, 160, height=24)
    assert time.process_time() - before_s < 2.0


STYLES = {
    "at rest": (a_row(0), "\x1b[32mRunning", "\x1b[32myes", "\x1b[32m10.244.0.2"),
    "not ready": (UNREADY, "\x1b[32mRunning", "\x1b[33mno", "\x1b[33mNXDOMAIN"),
    "failing": (a_row(0, phase="CrashLoopBackOff"), "\x1b[31mCrashLoopBackOff"),
    "failing at its start": (a_row(0, phase="Init:Error"), "\x1b[31mInit:Error"),
    "an answer of before": (a_row(0, answer="10.244.0.9"), "\x1b[33m10.244.0.9"),
}


@pytest.mark.parametrize("row", STYLES.values(), ids=STYLES.keys())
def test_styles(row: tuple[Row, *tuple[str, ...]]) -> None:
    """What is well is green, what moves yellow, what fails red."""
    console = Console(
        file=io.StringIO(), width=160, force_terminal=True, color_system="standard", _environ={}, legacy_windows=False
    )
    console.print(tables([a_group([row[0]])], 160, 20))
    assert isinstance(console.file, io.StringIO)
    for expected in row[1:]:
        assert expected in console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_last_line_is_empty(width: int) -> None:
    """The cursor ends where a line begins: the ^C that a terminal shows there must not move the next drawing."""
    console = Console(file=io.StringIO(), width=width, height=40)
    lines = console.render_lines(tables(COURSE, width, 39), console.options, pad=False)
    assert "".join(segment.text for segment in lines[-1]) == ""
