"""Draw docs/lab.svg: the table of a lab that runs, at the moment in which a pod that was deleted is not there yet.

``python docs/picture.py FILE`` writes FILE. I/O: a lab on ports of this machine, and the file.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path

from rich.console import Console

from headlessdns.config import Listen
from headlessdns.lab.api.local import LocalClient
from headlessdns.lab.running import LabConfig, Running
from headlessdns.lab.screen import tables
from headlessdns.lab.view import Change, Group, Row

MANIFEST = Path(__file__).parents[1] / "config" / "examples" / "nginx.yaml"
SET = "/apis/apps/v1/namespaces/default/statefulsets/web"
TITLE = "headlessdns lab"
WIDTH, HEIGHT_LINES = 110, 24
DEADLINE_S = 60.0
_FONT_FACE = re.compile(r"\s*@font-face \{[^}]*\}")  # the picture is to load nothing from elsewhere


class _Waiting:
    """A lab's changes, for whoever waits for one."""

    def __init__(self) -> None:
        self.lab: Running | None = None
        self._changed = asyncio.Event()

    def note(self, changes: list[Change]) -> None:
        self._changed.set()

    async def rows(self, *wanted: tuple[str, bool]) -> list[Group]:
        """Return the sets once their pods have these words for their states, are ready or not, and the DNS agrees."""
        while True:
            self._changed.clear()
            groups = self.lab.view.groups() if self.lab is not None else []
            rows = [row for group in groups for row in group.rows]
            if tuple((row.phase, row.ready) for row in rows) == wanted and all(map(_is_settled, rows)):
                return groups
            await self._changed.wait()


def _is_settled(row: Row) -> bool:
    return row.answer == (row.address if row.ready and row.phase != "Terminating" else "NXDOMAIN")


async def moment() -> list[Group]:
    """Return the sets of a lab in which web-1 is being replaced and the next pod waits for it."""
    waiting = _Waiting()
    async with (
        asyncio.timeout(DEADLINE_S),
        Running(LabConfig(manifests=(str(MANIFEST),), dns=Listen("127.0.0.1", 0)), waiting.note) as lab,
    ):
        waiting.lab = lab
        client = lab.api.client("picture")
        await _scale(client, 3)
        await waiting.rows(*[("Running", True)] * 3)
        await client.request("DELETE", "/api/v1/namespaces/default/pods/web-1")
        await _scale(client, 4)
        return await waiting.rows(("Running", True), ("Terminating", False), ("Running", True), ("", False))


async def _scale(client: LocalClient, replicas: int) -> None:
    await client.request("PATCH", SET, {"spec": {"replicas": replicas}}, content_type="application/merge-patch+json")


def draw(groups: list[Group]) -> str:
    """Return the picture of *groups* as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(tables(groups, WIDTH, HEIGHT_LINES))
    return _FONT_FACE.sub("", console.export_svg(title=TITLE, unique_id="lab"))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(asyncio.run(moment())))
