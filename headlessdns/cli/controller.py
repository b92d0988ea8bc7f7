"""``headlessdns controller``: checks the settings and runs the controller. I/O: standard error, then all it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headlessdns import config, logs
from headlessdns.cli import options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headlessdns.cluster.client import ApiClient
    from headlessdns.config import ControllerConfig
    from headlessdns.controller.run import Controller

logger = logging.getLogger(__name__)
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@click.command(
    name="controller",
    cls=options.LoggingCommand,
    epilog=options.CONTROLLER_WAYS,
    short_help="Keep the pods of StatefulSets and OrdinalSets.",
)
@options.settings_options(config.CONTROLLER_SETTINGS)
@click.pass_context
def command(ctx: click.Context, /, config_file: str | None, **flags: object) -> None:
    """Keep the pods of StatefulSets and OrdinalSets as they are wanted.

    StatefulSets are reconciled where the cluster's own controller is off (--controllers=*,-statefulset-controller of
    kube-controller-manager); OrdinalSets, whose CRD is deploy/crd, anywhere.

    Exit codes: 0 after SIGTERM or SIGINT, 2 where the settings or the cluster cannot be used; standard error then says
    why, a line for each fault.
    """
    settings = config.load_controller(flags, os.environ, options.read_file(config_file))
    logs.set_up(settings.log)
    ctx.meta[options.JSON] = settings.log == options.JSON
    for line in config.unknown_variables(os.environ):
        logger.warning("%s", line)
    ctx.exit(asyncio.run(_run(settings)))


async def _run(settings: ControllerConfig) -> int:
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    from headlessdns.cluster.client import connect  # it brings the Kubernetes client

    # Inside a cluster an API server that is away comes back.
    connecting = asyncio.create_task(
        connect(settings.kubeconfig, settings.context, check=settings.kubeconfig is not None)
    )
    client = await _unless(leave, connecting)
    if client is None:
        return 0
    try:
        controller = _make(settings, client)
        async with _http(settings, controller) as url:
            _say_hello(settings, client.host, url)
            await controller.run(leave)
    finally:
        await client.close()
    return 0


async def _unless(leave: asyncio.Event, connecting: asyncio.Task[ApiClient]) -> ApiClient | None:
    """Return the client, or None where we are told to leave before the API server has answered."""
    leaving = asyncio.create_task(leave.wait())
    await asyncio.wait([leaving, connecting], return_when=asyncio.FIRST_COMPLETED)
    if connecting.done():
        leaving.cancel()
        return await connecting
    connecting.cancel()
    await asyncio.wait([connecting])
    return None


def _make(settings: ControllerConfig, client: ApiClient) -> Controller:
    from headlessdns.controller.election import Elector, own_identity
    from headlessdns.controller.run import Controller

    namespace = settings.lease_namespace or _own_namespace()

    def elector(on_gained: Callable[[], None], on_lost: Callable[[], None]) -> Elector:
        return Elector(client, namespace, settings.lease_name, own_identity(), on_gained=on_gained, on_lost=on_lost)

    return Controller(
        client,
        namespaces=settings.namespaces,
        statefulsets=settings.statefulsets,
        own_namespace=namespace,
        workers=settings.concurrent_syncs,
        qps=settings.qps,
        burst=settings.burst,
        elector=elector if settings.elect and not settings.dry_run else None,
        dry_run=settings.dry_run,
    )


def _own_namespace() -> str:
    """Return the namespace of the pod that this runs in, else `default`."""
    with contextlib.suppress(OSError):
        return OWN_NAMESPACE.read_text().strip() or "default"
    return "default"


@contextlib.asynccontextmanager
async def _http(settings: ControllerConfig, controller: Controller) -> AsyncIterator[str]:
    """Serve metrics and health for as long as the context is open; yields the address, or nothing."""
    if settings.http is None:
        yield ""
        return
    from headlessdns.controller.metrics import registry_of
    from headlessdns.metrics import http

    def health() -> http.Health:
        return http.Health(controller.not_ready, controller.rival and f"only OrdinalSets: {controller.rival}")

    pages = http.Pages(health, registry_of(controller, time.time, time.monotonic))
    async with http.serve(settings.http, pages) as url:
        yield url


def _say_hello(settings: ControllerConfig, host: str, url: str) -> None:
    logger.info("headlessdns controller for %s", host)
    if settings.dry_run:
        logger.info("a dry run: nothing is written")
    if url:
        logger.info("metrics and health on %s", url)
