"""A lab as a table for a terminal, made with rich. Pure but for what rich asks of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from headlessdns.lab.view import Group, Row

_COLUMNS = ("pod", "address", "phase", "ready", "name", "the DNS answers", "waits for")
_CHROME_LINES = 5  # of a table: title, lines and head
_GOOD, _BAD, _DIM = "green", "red", "dim"


def tables(groups: Sequence[Group], height_lines: int) -> RenderableType:
    """Return one table for each set.

    Args:
        groups: The sets.
        height_lines: How high all of it may be; what does not fit is counted.
    """
    if not groups:
        return Text("No StatefulSet or OrdinalSet yet. Apply one: kubectl apply -f FILE", style=_DIM)
    room = max(height_lines // len(groups) - _CHROME_LINES, 3)
    return Stack(*(_table(group, room) for group in groups))


def _table(group: Group, room: int) -> RenderableType:
    table = Table(title=Text(group.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, expand=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column in ("pod", "phase"))
    shown, left_out = _fitting(group.rows, room)
    for row in shown:
        table.add_row(*_cells(row))
    if left_out:
        table.add_row(Text(f"and {left_out} more", style=_DIM))
    if group.trouble:
        return Stack(table, Text(f"  stalled: {group.trouble}\n", style=_BAD))
    return table


def _fitting(rows: list[Row], room: int) -> tuple[list[Row], int]:
    """Return the rows that are shown and how many are not: where there are too many, those that wait come first."""
    if len(rows) <= room:
        return rows, 0
    waiting = [row for row in rows if row.waits_for or row.answer != row.address]
    others = [row for row in rows if row not in waiting]
    kept = {row.pod for row in [*waiting, *others][: room - 1]}
    return [row for row in rows if row.pod in kept], len(rows) - len(kept)


def _cells(row: Row) -> Iterator[Text]:
    yield Text(row.pod, style="bold")
    yield Text(row.address or "-")
    yield Text(row.phase or "-", style=_GOOD if row.phase == "Running" else "yellow")
    yield Text("yes", style=_GOOD) if row.ready else Text("no", style="yellow")
    yield Text(row.name or "-")
    yield Text(row.answer or "-", style=_GOOD if row.answer and row.answer == row.address else "yellow")
    yield Text(row.waits_for)
