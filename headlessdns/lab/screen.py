"""A lab as tables for a terminal, made with rich: as wide and as high as there is room. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from headlessdns.lab.view import NOT_ASKED, Group, Row

NO_SETS = "No StatefulSet or OrdinalSet yet. In another terminal: kubectl apply -f FILE"
_GOOD, _SLOW, _BAD, _DIM = "green", "yellow", "red", "dim"
_CHROME_LINES = 4  # of a table: title, head, the line below it, a blank line
_FEW_ROWS = 3  # a table with fewer is not worth its place
_GAP = 2  # between two columns
_WORDS_WIDTH = 18  # what sentences need to be read
_AT_REST = {"Running": _GOOD, "Completed": _SLOW}
_FAILING = ("Error", "Failed", "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "Evicted", "Unknown")


class _Column(NamedTuple):
    """A column.

    Attributes:
        title: Its head.
        text: What it says of a row.
        style: How it says it.
        min_width: So that it does not jump when its longest word changes.
    """

    title: str
    text: Callable[[Row], str]
    style: Callable[[Row], str]
    min_width: int = 0


def _answer_style(row: Row) -> str:
    return _GOOD if row.answer == row.address and row.address else _SLOW


def _phase_style(row: Row) -> str:
    return _BAD if row.phase.removeprefix("Init:") in _FAILING else _AT_REST.get(row.phase, _SLOW)


_POD = _Column("pod", lambda row: row.pod, lambda row: "bold")
_ADDRESS = _Column("address", lambda row: row.address or "-", lambda row: "", 10)
_PHASE = _Column("phase", lambda row: row.phase or "-", _phase_style, len("ContainerCreating"))
_READY = _Column("ready", lambda row: "yes" if row.ready else "no", lambda row: _GOOD if row.ready else _SLOW)
_NAME = _Column("name", lambda row: row.name or "-", lambda row: "")
_ANSWER = _Column("the DNS answers", lambda row: _shown_answer(row), _answer_style, 10)
_WORDS = _Column("what is going on", lambda row: row.waits_for, lambda row: "")
# The first that fits is taken. Where the name has no column, a line above the table says how names are made.
_LAYOUTS = (
    (_POD, _ADDRESS, _PHASE, _READY, _NAME, _ANSWER, _WORDS),
    (_POD, _ADDRESS, _PHASE, _READY, _ANSWER, _WORDS),
    (_POD, _PHASE, _READY, _ANSWER, _WORDS),
    (_POD, _PHASE, _ANSWER),
)


def _shown_answer(row: Row) -> str:
    if not row.name:
        return "-"
    return "not asked yet" if row.answer == NOT_ASKED else row.answer


def tables(groups: Sequence[Group], width: int, height_lines: int) -> RenderableType:
    """Return one table for each set.

    Args:
        groups: The sets.
        width: How wide all of it may be.
        height_lines: How high; sets and rows for which there is no room are counted, those at rest first.
    """
    if not groups:
        return Text(NO_SETS, style=_DIM)
    shown = _fitting_groups(groups, max(height_lines // (_CHROME_LINES + _FEW_ROWS), 1))
    columns = _layout(shown, width)
    lines = height_lines - len(shown) * _CHROME_LINES - (len(shown) < len(groups))
    if _NAME not in columns:
        lines -= len(shown)
    rooms = _share([len(group.rows) for group in shown], lines)
    parts = [_table(group, columns, room) for group, room in zip(shown, rooms, strict=True)]
    if len(shown) < len(groups):
        parts.append(Text(f"and {len(groups) - len(shown)} more sets: make the window higher", style=_DIM))
    return Stack(*parts)


def _fitting_groups(groups: Sequence[Group], count: int) -> Sequence[Group]:
    if len(groups) <= count:
        return groups
    order = sorted(range(len(groups)), key=lambda number: _is_at_rest(groups[number]))  # those that move come first
    return [groups[number] for number in sorted(order[:count])]


def _is_at_rest(group: Group) -> bool:
    return not group.head.trouble and all(_is_row_at_rest(row) for row in group.rows)


def _is_row_at_rest(row: Row) -> bool:
    return not row.waits_for and row.answer == row.address


def _share(wanted: Sequence[int], lines: int) -> list[int]:
    """Return how many rows each table gets: as many as it has, and where that is too much, as many as others."""
    given = [0] * len(wanted)
    open_ones = list(range(len(wanted)))
    while open_ones:
        share = max(lines // len(open_ones), _FEW_ROWS)
        small = [number for number in open_ones if wanted[number] <= share]
        for number in small or open_ones:
            given[number] = min(wanted[number], share)
            lines -= given[number]
        open_ones = [number for number in open_ones if number not in small] if small else []
    return given


def _layout(groups: Sequence[Group], width: int) -> Sequence[_Column]:
    """Return the most columns that fit beside words that can be read, the same for all sets."""
    rows = [row for group in groups for row in group.rows]
    for columns in _LAYOUTS:
        needed = [max(column.min_width, *(cell_len(column.text(row)) for row in rows), 0) for column in columns[:-1]]
        title_widths = [max(map(len, column.title.split())) for column in columns[:-1]]
        needed = [max(pair) for pair in zip(needed, title_widths, strict=True)]
        if sum(needed) + _GAP * len(needed) + _WORDS_WIDTH <= width:
            return columns
    return _LAYOUTS[-1]


def _table(group: Group, columns: Sequence[_Column], room: int) -> RenderableType:
    parts: list[RenderableType] = [Text(group.head.text, style="bold")]
    if _NAME not in columns and (pattern := _name_pattern(group.rows)):
        parts.append(Text(f"names: {pattern}", style=_DIM))
    shown, left_out = _fitting_rows(group.rows, room)
    if shown:
        parts.append(_rows(columns, shown))
    if left_out:
        parts.append(Text(f"and {left_out} more", style=_DIM))
    if group.head.trouble:
        parts.append(Text(group.head.trouble, style=_BAD))
    # The last line is empty, so that a terminal has room there for the ^C that it shows.
    return Stack(*parts, Text(""))


def _rows(columns: Sequence[_Column], rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), expand=False)
    for column in columns:
        is_wide = column is _WORDS
        table.add_column(
            column.title,
            overflow="fold" if column in (_WORDS, _ANSWER) else "ellipsis",
            no_wrap=column not in (_WORDS, _ANSWER, _ADDRESS),
            min_width=None if is_wide else column.min_width,
            header_style="",
        )
    for row in rows:
        table.add_row(*(Text(column.text(row), style=column.style(row)) for column in columns))
    return table


def _name_pattern(rows: Sequence[Row]) -> str:
    """Return how the names of *rows* are made from their pods', or the first name where they are not."""
    named = [row for row in rows if row.name]
    if not named:
        return ""
    rest = named[0].name.removeprefix(named[0].pod)
    is_usual = all(row.name == row.pod + rest for row in named)
    return f"POD{rest}" if is_usual else named[0].name


def _fitting_rows(rows: list[Row], room: int) -> tuple[list[Row], int]:
    """Return the rows that are shown and how many are not: where there are too many, those at rest go first."""
    if len(rows) <= room:
        return rows, 0
    order = sorted(range(len(rows)), key=lambda number: _is_row_at_rest(rows[number]))
    kept = sorted(order[: max(room - 1, 1)])
    return [rows[number] for number in kept], len(rows) - len(kept)
