"""``headlessdns serve``: checks the settings and runs the server. I/O: standard error, then all that `app` does."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from headlessdns import config, logs
from headlessdns.cli import options
from headlessdns.cli.main import EXIT_INPUT
from headlessdns.errors import HeadlessDNSError

logger = logging.getLogger(__name__)
_LOG_VARIABLE = "HEADLESSDNS_LOG"
_JSON: Final = "json"


class _Command(options.SectionedCommand):
    """A command whose faults are JSON lines where the log is to be JSON."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        wants_json = _wants_json(args, os.environ)
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not wants_json:
                raise
            _log_faults(error.format_message())
            raise click.exceptions.Exit(error.exit_code) from error
        ctx.meta[_JSON] = wants_json
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeadlessDNSError as error:
            if not ctx.meta[_JSON]:
                raise
            _log_faults(str(error))
            ctx.exit(EXIT_INPUT)


def _wants_json(args: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tell whether the log is to be JSON, as far as that can be told of what may be wrong."""
    chosen = environ.get(_LOG_VARIABLE, "")
    for index, arg in enumerate(args):
        if arg == "--log":
            chosen = args[index + 1] if index + 1 < len(args) else ""
        elif arg.startswith("--log="):
            chosen = arg.removeprefix("--log=")
    return chosen == _JSON


def _log_faults(text: str) -> None:
    logs.set_up(_JSON)
    for line in text.splitlines():
        logger.error("%s", line)


@click.command(
    name="serve",
    cls=_Command,
    epilog=options.WAYS,
    short_help="Answer DNS for a cluster, or for manifests.",
)
@options.settings_options(config.SETTINGS)
@click.pass_context
def command(ctx: click.Context, /, config_file: str | None, **flags: object) -> None:
    """Answer DNS for the Services and pods of a cluster, or of manifests.

    In a pod it serves the cluster around it; elsewhere --kubeconfig or --manifests says what to serve.

    Exit codes: 0 after SIGTERM or SIGINT, 2 where the settings, the manifests, the cluster or an address cannot be
    used; standard error then says why, a line for each fault.
    """
    settings = options.load(flags, config_file, socket.gethostname())
    logs.set_up(settings.log)
    for line in config.unknown_variables(os.environ):
        logger.warning("%s", line)
    from headlessdns import app  # it brings the HTTP server and the Kubernetes client

    ctx.meta[_JSON] = settings.log == _JSON
    ctx.exit(app.run(settings))
