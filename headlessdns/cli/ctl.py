"""``headlessdns lab ctl``: trouble on purpose, from another terminal. I/O: the API of the lab, standard output.

All of it is annotations, which the pretend kubelet obeys; ``kubectl annotate`` does the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click
import msgspec

from headlessdns.cli import kubeconfig
from headlessdns.errors import ClusterError

if TYPE_CHECKING:
    from headlessdns.cluster.client import ApiClient

_FAILURES = ("CrashLoop", "ImagePullBackOff", "Failed")
_MERGE_PATCH = "application/merge-patch+json"
_F = TypeVar("_F", bound=Callable[..., object])


@click.group(name="ctl", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make trouble in a lab, and end it.

    The lab is found as kubectl finds it: by --kubeconfig, or the variable KUBECONFIG that the lab says at its start.
    Exit codes: 0 done, 2 where the lab, the pod or the node cannot be found; standard error says why.
    """


def _access(takes_namespace: bool = True) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        if takes_namespace:
            function = click.option("-n", "--namespace", metavar="NAME", help="Where the pod is.  [default: default]")(
                function
            )
        return click.option(
            "--kubeconfig",
            "file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="The lab's kubeconfig.  [default: that of the variable KUBECONFIG]",
        )(function)

    return decorate


class _Failure(click.ParamType[str]):
    """How a pod fails, in any case of letters."""

    name = "failure"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = {name.lower(): name for name in _FAILURES}.get(value.lower(), "")
        if not known:
            self.fail(f"{value!r} is not one of {', '.join(_FAILURES)}", param, ctx)
        return known


@command.command()
@click.argument("pod")
@click.argument("ready", type=click.BOOL, default=True, metavar="[true|false]")
@_access()
def ready(pod: str, ready: bool, namespace: str | None, file: Path | None) -> None:
    """Let POD be ready, or not: it stays in its node's care, and leaves the DNS."""
    value = None if ready else "false"
    _annotate_pod(file, namespace, pod, {"lab.headlessdns.io/ready": value})
    pod = _bare(pod, "pod/")
    click.echo(f"pod/{pod} {'may be ready again' if ready else 'is not ready from now on'}")


@command.command()
@click.argument("pod")
@click.argument("how", type=_Failure(), default=_FAILURES[0], metavar=f"[{'|'.join(_FAILURES)}]")
@_access()
def fail(pod: str, how: str, namespace: str | None, file: Path | None) -> None:
    """Let POD fail: CrashLoop (without a word more), ImagePullBackOff, or Failed, which is for good."""
    _annotate_pod(file, namespace, pod, {"lab.headlessdns.io/fail": how})
    pod = _bare(pod, "pod/")
    click.echo(f"pod/{pod} fails from now on: {how}")


@command.command(name="lose-node")
@click.argument("node")
@_access(takes_namespace=False)
def lose_node(node: str, file: Path | None) -> None:
    """Lose NODE: nothing on it starts, stops, or finishes its deletion any more."""
    node = _bare(node, "node/")
    lost: dict[str, str | None] = {"lab.headlessdns.io/lost": "true"}
    _run(file, None, lambda api, _: _patch(api, _path("nodes", node), f"node {node}", lost))
    click.echo(f"node/{node} is lost")


@command.command()
@click.argument("what", metavar="POD|NODE")
@_access()
def recover(what: str, namespace: str | None, file: Path | None) -> None:
    """End all trouble of a pod, or bring a lost node back.

    A pod that has Failed stays so: its controller replaces it.
    """
    click.echo(_run(file, namespace, lambda api, space: _recover(api, what, space)))


async def _recover(api: ApiClient, what: str, namespace: str) -> str:
    name = _bare(what, "pod/", "node/")
    pod_path, node_path = _path("pods", name, namespace), _path("nodes", name)
    if not what.startswith("node/") and (await api.request("GET", pod_path)).status == 200:
        await _patch(api, pod_path, f"pod {name}", {"lab.headlessdns.io/ready": None, "lab.headlessdns.io/fail": None})
        return f"pod/{name} is left alone again"
    if not what.startswith("pod/") and (await api.request("GET", node_path)).status == 200:
        await _patch(api, node_path, f"node {name}", {"lab.headlessdns.io/lost": None})
        return f"node/{name} is back"
    raise ClusterError(
        f"there is no pod {name} in namespace {namespace}, and no node {name}; see: kubectl get pods,nodes"
    )


def _annotate_pod(file: Path | None, namespace: str | None, name: str, annotations: dict[str, str | None]) -> None:
    name = _bare(name, "pod/")

    async def annotate(api: ApiClient, space: str) -> None:
        await _patch(api, _path("pods", name, space), f"pod {name} in namespace {space}", annotations)

    _run(file, namespace, annotate)


def _bare(name: str, *prefixes: str) -> str:
    """Return *name* without its kind, as kubectl prints it."""
    return next((name.removeprefix(prefix) for prefix in prefixes if name.startswith(prefix)), name)


def _path(plural: str, name: str, namespace: str = "") -> str:
    where = f"namespaces/{quote(namespace, safe='')}/" if namespace else ""
    return f"/api/v1/{where}{plural}/{quote(name, safe='')}"


async def _patch(api: ApiClient, path: str, what: str, annotations: dict[str, str | None]) -> None:
    body = {"metadata": {"annotations": annotations}}
    answer = await api.request("PATCH", path, body, content_type=_MERGE_PATCH)
    if answer.status == 404:
        plural = path.rsplit("/", 2)[1]
        raise ClusterError(f"there is no {what}; see: kubectl get {plural}" + (" -A" if plural == "pods" else ""))
    if answer.status >= 300:
        try:
            message = msgspec.json.decode(answer.body)["message"]
        except (msgspec.DecodeError, KeyError, TypeError):
            message = f"HTTP {answer.status}"
        raise ClusterError(f"{what}: {message}")


def _run(file: Path | None, namespace: str | None, work: Callable[[ApiClient, str], Any]) -> Any:
    access = kubeconfig.find(file, None, namespace, os.environ, _home())

    async def run() -> Any:
        api = await access.connect()
        try:
            await _check_lab(api)
            return await work(api, access.namespace)
        finally:
            await api.close()

    return asyncio.run(run())


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user that the system does not know
        return Path("/")


async def _check_lab(api: ApiClient) -> None:
    """Refuse a cluster that is no lab: its pods do not care for annotations.

    Raises:
        ClusterError: It is none.
    """
    nodes = msgspec.json.decode((await api.request("GET", "/api/v1/nodes", query={"limit": "1"})).body)
    versions = [one.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "") for one in nodes.get("items", ())]
    if versions and versions[0] != "headlessdns-lab":
        raise ClusterError(
            f"the cluster at {api.host} is no lab (its kubelets are {versions[0]}); "
            "set KUBECONFIG as the lab said at its start, or add --kubeconfig FILE"
        )
