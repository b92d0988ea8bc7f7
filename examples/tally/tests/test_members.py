"""Members that run, and find each other through the lab's DNS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import Ensemble
from tally.counter import total
from tally.member import Member

from headlessdns.lab import Lab

ALL = ["tally-0", "tally-1", "tally-2"]


def ask(member: Member, path: str, *, method: str = "GET") -> tuple[int, dict[str, object]]:
    """Send one request and return status and answer."""
    host, port = member.address
    request = urllib.request.Request(f"http://{host}:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, {}


def test_members_agree(headlessdns_lab: Lab, ensemble: Ensemble) -> None:
    """What any member has counted is in the total of every member."""
    headlessdns_lab.wait("tally")
    members = [ensemble.start(name) for name in ALL]
    headlessdns_lab.wait(lambda: all(member.is_ready for member in members))
    for member, times in zip(members, (1, 2, 4), strict=True):
        for _ in range(times):
            assert ask(member, "/add", method="POST") == (204, {})
    headlessdns_lab.wait(lambda: all(ask(member, "/total") == (200, {"total": 7}) for member in members))


def test_a_member_has_its_count_back(headlessdns_lab: Lab, ensemble: Ensemble) -> None:
    """A member that starts anew has its count from its peers before it is ready to count on."""
    headlessdns_lab.wait("tally")
    first, _, third = (ensemble.start(name) for name in ALL)
    headlessdns_lab.wait(lambda: first.is_ready)
    first.add()
    headlessdns_lab.wait(lambda: third.counts == {"tally-0": 1})
    again = ensemble.start("tally-0")  # in the place of the first one, and knowing nothing
    headlessdns_lab.wait(lambda: again.is_ready)
    again.add()
    headlessdns_lab.wait(lambda: third.counts == {"tally-0": 2})


def test_a_lone_member_among_three_is_not_ready(headlessdns_lab: Lab, ensemble: Ensemble) -> None:
    """A member that finds two peers, neither of which answers, does not count; with one of them it does."""
    headlessdns_lab.wait("tally")
    first = ensemble.start("tally-0")
    first.ask_peers()
    assert ask(first, "/ready")[0] == 503
    assert ask(first, "/add", method="POST")[0] == 503
    ensemble.start("tally-1")
    headlessdns_lab.wait(lambda: ask(first, "/ready") == (200, {"ready": True}))
    assert ask(first, "/add", method="POST")[0] == 204


def test_a_new_member_hears_of_all(headlessdns_lab: Lab, ensemble: Ensemble) -> None:
    """After scaling up, a new member knows what the others know; after scaling down, its count is not lost."""
    headlessdns_lab.scale("tally", 2)
    headlessdns_lab.wait("tally")
    members = [ensemble.start(name) for name in ("tally-0", "tally-1")]
    headlessdns_lab.wait(lambda: all(member.is_ready for member in members))
    members[0].add()
    headlessdns_lab.scale("tally", 3)
    headlessdns_lab.wait("tally")
    third = ensemble.start("tally-2")
    headlessdns_lab.wait(lambda: third.is_ready and total(third.counts) == 1)
    third.add()
    headlessdns_lab.wait(lambda: all(total(member.counts) == 2 for member in members))
    headlessdns_lab.scale("tally", 2)
    headlessdns_lab.wait("tally")
    assert [total(member.counts) for member in members] == [2, 2]


def test_counting_goes_on_without_a_lost_node(headlessdns_lab: Lab, ensemble: Ensemble) -> None:
    """When a member no longer answers, the others go on, and a new one starts."""
    headlessdns_lab.wait("tally")
    headlessdns_lab.lose_node(headlessdns_lab.pod("tally-2")["spec"]["nodeName"])
    first, second = ensemble.start("tally-0"), ensemble.start("tally-1")  # and no tally-2
    headlessdns_lab.wait(lambda: first.is_ready and second.is_ready)
    first.add()
    headlessdns_lab.wait(lambda: total(second.counts) == 1)


def test_members_start_before_their_service(headlessdns_lab: Lab, ensemble: Ensemble) -> None:
    """A member that finds nobody counts alone, and tells those who come later."""
    headlessdns_lab.scale("tally", 0)
    headlessdns_lab.wait("tally")
    first = ensemble.start("tally-0")
    headlessdns_lab.wait(lambda: first.is_ready)
    first.add()
    headlessdns_lab.scale("tally", 2)
    headlessdns_lab.wait("tally")
    second = ensemble.start("tally-1")
    headlessdns_lab.wait(lambda: second.is_ready and total(second.counts) == 1)


@pytest.mark.parametrize("path", ["/", "/counts/tally-0"])
def test_what_a_member_does_not_serve(path: str) -> None:
    """Other paths are not found."""
    with Member("tally-0", list) as member:
        assert ask(member, path)[0] == 404
        assert ask(member, path, method="POST")[0] == 404


def test_the_command() -> None:
    """`python -m tally` runs a member, says where it listens, and leaves with SIGTERM."""
    command = [sys.executable, "-m", "tally", "--name", "tally-0", "--listen", "127.0.0.1:0"]
    folder = Path(__file__).parents[1]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("tally-0 listens on http://127.0.0.1:")
        with urllib.request.urlopen(f"{line.split()[-1]}/total", timeout=5) as response:
            assert json.load(response) == {"total": 0}
        process.terminate()
        assert process.wait(10) == 0
