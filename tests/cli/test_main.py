"""The command `headlessdns` as a whole: versions, help, exit codes, and that it starts quickly."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from headlessdns import __version__
from headlessdns.cli import main as cli
from headlessdns.cli.main import main
from headlessdns.errors import ClusterError, ConfigError, Fault


@pytest.mark.parametrize(
    "command", [["headlessdns"], [sys.executable, "-m", "headlessdns"]], ids=["the script", "python -m"]
)
def test_version(command: list[str]) -> None:
    """Both ways of starting tell the version."""
    if command == ["headlessdns"]:
        command = [sys.executable.rpartition("/")[0] + "/headlessdns"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"headlessdns, version {__version__}\n"


def test_quick_start() -> None:
    """Neither the version nor a query to a server loads the Kubernetes client or the HTTP server."""
    code = (
        "import sys, headlessdns.cli.main\n"
        "light = set(sys.modules)\n"
        "import headlessdns.cli.query, headlessdns.cli.serve\n"
        "print(*sorted({'dnslib', 'msgspec', 'yaml', 'kubernetes', 'aiohttp'} & light))\n"
        "print(*sorted({'yaml', 'kubernetes', 'aiohttp', 'asyncio', 'prometheus_client'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "msgspec\n\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [[], ["serve"], ["query"]], ids=["headlessdns", "serve", "query"])
def test_help(command: list[str], flag: str) -> None:
    """Each command has help under both flags."""
    result = CliRunner().invoke(main, [*command, flag])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


@pytest.mark.parametrize("command", ["serve", "query", "controller", "plan"])
def test_help_is_whole(command: str) -> None:
    """What the list of commands says of each is a whole sentence."""
    lines = CliRunner().invoke(main, ["--help"], terminal_width=80).output.splitlines()
    (line,) = [line for line in lines if line.startswith(f"  {command} ")]
    assert line.endswith(".")
    assert not line.endswith("...")


def test_help_has_sections() -> None:
    """The settings stand under their headings, with their defaults, and --config and --help come last."""
    text = CliRunner().invoke(main, ["serve", "--help"], terminal_width=200).output
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == ["Source", "Listening", "Records", "Server", "Options"]
    assert re.search(r"--listen ADDRESS:PORT +Answer DNS here, .* \[default: 127\.0\.0\.1:1053\]", text)
    assert re.search(r"--chaos / --no-chaos +Answer id\.server", text)
    assert "HEADLESSDNS_CLUSTER_IP_TTL" in text


WRONG = {
    "no command of ours": (["sevre"], "No such command 'sevre'"),
    "no flag of ours": (["serve", "--zoen", "x"], "No such option '--zoen'"),
    "an argument too many": (["serve", "x"], "unexpected extra argument"),
    "no name": (["query"], "Missing argument 'NAME'"),
}


@pytest.mark.parametrize(("args", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_command_line(args: list[str], message: str) -> None:
    """What click cannot take ends with exit code 2 and a message."""
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert message in result.stderr


RAISED = {
    "faults, a line each": (
        ConfigError([Fault("a", "b", "c", "d"), Fault("e", "f", "g", "h")]),
        "a: found b; expected c; d\ne: found f; expected g; h\n",
    ),
    "a cluster": (ClusterError("no API server is there"), "no API server is there\n"),
}


@pytest.mark.parametrize(("error", "text"), RAISED.values(), ids=RAISED.keys())
def test_errors_raised_on_purpose(error: Exception, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours is its text on standard error and exit code 2."""

    @click.command("query")
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli.main, "get_command", lambda ctx, name: failing)
    result = CliRunner().invoke(main, ["query"])
    assert (result.exit_code, result.stderr, result.stdout) == (2, text, "")


def test_a_bug_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody raised on purpose is not swallowed."""

    @click.command("query")
    def failing() -> None:
        raise KeyError("bug")

    monkeypatch.setattr(cli.main, "get_command", lambda ctx, name: failing)
    assert isinstance(CliRunner().invoke(main, ["query"]).exception, KeyError)
