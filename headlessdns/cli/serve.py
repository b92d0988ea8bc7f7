"""``headlessdns serve``: checks the settings and runs the server. I/O: standard error, then all that `app` does."""

from __future__ import annotations

import logging
import os
import socket

import click

from headlessdns import config, logs
from headlessdns.cli import options

logger = logging.getLogger(__name__)


@click.command(
    name="serve",
    cls=options.LoggingCommand,
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

    ctx.meta[options.JSON] = settings.log == options.JSON
    ctx.exit(app.run(settings))
