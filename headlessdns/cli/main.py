"""The command ``headlessdns``: a group whose commands are imported when they are called. I/O: standard error.

``headlessdns --version`` must not pay for an HTTP server and a Kubernetes client.
"""

from __future__ import annotations

import importlib

import click

from headlessdns import __version__
from headlessdns.cli import leaving
from headlessdns.errors import HeadlessDNSError

_COMMANDS = {
    "controller": "headlessdns.cli.controller",
    "lab": "headlessdns.cli.lab",
    "plan": "headlessdns.cli.plan",
    "query": "headlessdns.cli.query",
    "rollout": "headlessdns.cli.rollout",
    "serve": "headlessdns.cli.serve",
}
EXIT_INPUT = 2  # what click has for unknown flags, too


class _Commands(click.Group):
    """Commands that are modules with a `command` in them; an error raised on purpose becomes lines, no traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[:2] == ["lab", "ctl"]:  # all other arguments of lab are manifests
            return "lab ctl", _load("headlessdns.cli.ctl"), args[2:]
        if args[:1] in (["serve"], ["controller"], ["lab"]):
            ctx.call_on_close(leaving.at_once())  # before its imports, which take a while
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        return _load(module)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except HeadlessDNSError as error:
            click.echo(str(error), err=True)
            ctx.exit(EXIT_INPUT)


def _load(module: str) -> click.Command:
    command = importlib.import_module(module).command
    assert isinstance(command, click.Command)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headlessdns")
def main() -> None:
    """DNS for StatefulSets: names that are there when the pods are, and reasons when they are not."""
