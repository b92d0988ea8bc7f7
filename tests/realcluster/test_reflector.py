"""The watches against a real kube-apiserver."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from headlessdns.cluster.client import connect
from headlessdns.cluster.objects import Event, Kind, Replace
from headlessdns.cluster.reflector import Reflector
from headlessdns.cluster.snapshot import Snapshot
from headlessdns.cluster.watch import Backoff
from tests.cluster.waiting import until
from tests.peers.process import wait_until
from tests.realcluster.cluster import Manifest, RealCluster


def service(namespace: str, name: str, **labels: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]},
    }


class Watched:
    """What a reflector makes of a cluster."""

    def __init__(self, *namespaces: str) -> None:
        self.snapshot = Snapshot(namespaces)
        self.replaced: list[Kind] = []
        self.reflector: Reflector

    def apply(self, events: list[Event]) -> None:
        self.replaced += [one.kind for one in events if isinstance(one, Replace)]
        for one in events:
            self.snapshot.apply(one)

    def services(self, namespace: str) -> list[str]:
        return sorted(key.name for key in self.snapshot.services if key.namespace == namespace)

    async def until_services(self, namespace: str, *names: str, deadline_s: float = 10.0) -> None:
        await until(lambda: self.services(namespace) == sorted(names), deadline_s)


@asynccontextmanager
async def watching(kubeconfig: Path, *namespaces: str, **options: Any) -> AsyncIterator[Watched]:
    watched = Watched(*namespaces)
    client = await connect(kubeconfig)
    watched.reflector = Reflector(
        client, watched.apply, namespaces=namespaces, **{"backoff": Backoff(0.05, 0.5), **options}
    )
    task = asyncio.create_task(watched.reflector.run())
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def converse(kubeconfig: Path, talk: Callable[[Watched], Awaitable[None]], *namespaces: str, **options: Any) -> None:
    async def run() -> None:
        async with watching(kubeconfig, *namespaces, **options) as watched:
            await talk(watched)

    asyncio.run(run())


RESOURCES = ("services", "endpointslices.discovery.k8s.io", "statefulsets.apps")


def account(cluster: RealCluster, namespace: str, resources: str) -> Path:
    """Return the kubeconfig of a new ServiceAccount `dns` that may list and watch *resources* in *namespace*."""
    where = f"--namespace={namespace}"
    cluster.kubectl("create", "serviceaccount", "dns", where)
    cluster.kubectl("create", "role", "dns", where, "--verb=list,watch", resources)
    cluster.kubectl("create", "rolebinding", "dns", where, "--role=dns", f"--serviceaccount={namespace}:dns")
    kubeconfig = cluster.service_account_kubeconfig(namespace, "dns")
    # A grant counts when the API server's own watch has brought it.
    for resource in RESOURCES:
        wait_until(lambda: may_list(cluster, resource, where, kubeconfig), f"the right to list {resource}", 10)  # noqa: B023
    return kubeconfig


def may_list(cluster: RealCluster, resource: str, where: str, kubeconfig: Path) -> bool:
    with suppress(subprocess.CalledProcessError):
        cluster.kubectl("get", resource, where, kubeconfig=kubeconfig)
        return True
    return False


async def away(act: Callable[..., Any], *arguments: Any) -> Any:
    """Call a blocking part of the harness beside the loop."""
    return await asyncio.to_thread(act, *arguments)


def test_list_and_watch(real_cluster: RealCluster, namespace: str) -> None:
    """A real API server streams its lists, and each change of an object arrives."""
    real_cluster.create(service(namespace, "a"))

    async def talk(watched: Watched) -> None:
        await until(lambda: watched.snapshot.listed == set(Kind) - {Kind.ENDPOINTS})
        assert watched.services(namespace) == ["a"]
        await away(real_cluster.create, service(namespace, "b"))
        await watched.until_services(namespace, "a", "b")
        await away(real_cluster.delete, service(namespace, "a"))
        await watched.until_services(namespace, "b")

        def slices() -> int:  # of use are those that name their Service; those of namespaces that go away go one by one
            query = "labelSelector=kubernetes.io/service-name"
            return len(real_cluster.request("GET", f"/apis/discovery.k8s.io/v1/endpointslices?{query}")["items"])

        await until(lambda: watched.snapshot.count(Kind.ENDPOINT_SLICE) == slices())
        assert len(watched.replaced) == len(watched.reflector.statuses) == 5
        assert all(status.restarts == 0 and not status.last_error for status in watched.reflector.statuses)

    converse(real_cluster.kubeconfig, talk)


def test_endpoints_always(real_cluster: RealCluster, namespace: str) -> None:
    """Endpoints, which a real API server marks as deprecated, can be watched all the same."""

    async def talk(watched: Watched) -> None:
        await until(lambda: watched.snapshot.listed == set(Kind))

    converse(real_cluster.kubeconfig, talk, endpoints="always")


def test_label_selector(real_cluster: RealCluster, namespace: str) -> None:
    """The API server selects by label, and an object that no longer matches is gone."""
    real_cluster.create_all(
        [service(namespace, "a", app="web"), service(namespace, "b", app="db"), service(namespace, "c")]
    )

    async def talk(watched: Watched) -> None:
        await watched.until_services(namespace, "a")
        changed = await away(real_cluster.request, "GET", f"/api/v1/namespaces/{namespace}/services/a")
        changed["metadata"]["labels"] = {"app": "db"}
        await away(real_cluster.replace, changed)
        await watched.until_services(namespace)

    converse(real_cluster.kubeconfig, talk, label_selector="app in (web, front),!canary")


def test_rights_in_one_namespace(real_cluster: RealCluster, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """With a Role its namespace is watched; what the Role leaves out is told once, and watched when it is granted."""
    where = f"--namespace={namespace}"
    kubeconfig = account(real_cluster, namespace, f"--resource={','.join(RESOURCES)}")
    real_cluster.kubectl("create", "role", "pods", where, "--verb=list,watch", "--resource=pods")
    grant = ["create", "rolebinding", "pods", where, "--role=pods", f"--serviceaccount={namespace}:dns"]

    async def talk(watched: Watched) -> None:
        await until(lambda: watched.snapshot.listed == {Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.STATEFUL_SET})
        await until(lambda: Kind.POD in watched.snapshot.unavailable)
        await away(real_cluster.kubectl, *grant)
        await until(lambda: Kind.POD in watched.snapshot.listed)
        assert watched.snapshot.unavailable == {Kind.NAMESPACE, Kind.ENDPOINTS}

    caplog.set_level(logging.INFO, logger="headlessdns")
    converse(kubeconfig, talk, namespace)
    assert f"pods in namespace {namespace}: the API server grants list and watch now" in caplog.messages
    [warning] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert f'cannot watch resource "pods" in API group "" in the namespace "{namespace}"' in warning
    rule = '{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}'
    assert warning.endswith(f"add to the Role in namespace {namespace}: {rule}")


def test_token_of_a_deleted_service_account(real_cluster: RealCluster, namespace: str) -> None:
    """When its token no longer counts the watch asks for credentials, and takes them from the kubeconfig."""
    where = f"--namespace={namespace}"
    kubeconfig = account(real_cluster, namespace, f"--resource={','.join(RESOURCES)},pods")

    async def talk(watched: Watched) -> None:
        await until(lambda: Kind.SERVICE in watched.snapshot.listed)
        # The token is bound to the account's uid: one of the same name has to get another.
        await away(real_cluster.kubectl, "delete", "serviceaccount", "dns", where)
        await away(real_cluster.kubectl, "create", "serviceaccount", "dns", where)
        await away(real_cluster.stop_apiserver)
        real_cluster.start_apiserver()  # in this thread: a child ends with the one that started it
        await until(lambda: any(status.last_error.startswith("HTTP 401") for status in watched.reflector.statuses))
        await away(real_cluster.service_account_kubeconfig, namespace, "dns")
        await away(real_cluster.create, service(namespace, "a"))
        await watched.until_services(namespace, "a", deadline_s=30)

    converse(kubeconfig, talk, namespace)


def test_apiserver_killed_and_back(real_cluster: RealCluster, namespace: str) -> None:
    """While the API server is away nothing is forgotten; afterwards the watch goes on, with or without a new list."""
    real_cluster.create(service(namespace, "a"))

    async def talk(watched: Watched) -> None:
        await watched.until_services(namespace, "a")
        await away(real_cluster.stop_apiserver)
        try:
            await until(lambda: all(status.last_error for status in watched.reflector.statuses))
            assert watched.services(namespace) == ["a"]
        finally:
            real_cluster.start_apiserver()  # in this thread: a child ends with the one that started it
        await away(real_cluster.create, service(namespace, "b"))
        await watched.until_services(namespace, "a", "b", deadline_s=30)
        assert watched.snapshot.unavailable == {Kind.ENDPOINTS}

    converse(real_cluster.kubeconfig, talk)


def test_compaction(real_cluster: RealCluster, namespace: str) -> None:
    """When the history is compacted away the server says 410, and what happened meanwhile comes with a new list."""
    real_cluster.create_all([service(namespace, "a"), service(namespace, "b")])

    async def talk(watched: Watched) -> None:
        await watched.until_services(namespace, "a", "b")
        replaced = len(watched.replaced)
        await away(real_cluster.stop_apiserver)
        try:
            await until(lambda: all(status.last_error for status in watched.reflector.statuses))
            await away(real_cluster.compact_etcd)
        finally:
            real_cluster.start_apiserver()  # in this thread: a child ends with the one that started it
        await away(real_cluster.delete, service(namespace, "a"))
        await away(real_cluster.create, service(namespace, "c"))
        await watched.until_services(namespace, "b", "c", deadline_s=30)
        assert Kind.SERVICE in watched.replaced[replaced:]

    converse(real_cluster.kubeconfig, talk)


def test_pages(real_cluster: RealCluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in pages, with continue tokens of a real API server, is whole."""
    real_cluster.create_all(service(namespace, f"s{number}") for number in range(7))
    monkeypatch.setattr("headlessdns.cluster.watch.PAGE_SIZE", 3)

    async def talk(watched: Watched) -> None:
        await watched.until_services(namespace, *(f"s{number}" for number in range(7)))
        assert watched.replaced.count(Kind.SERVICE) == 1

    # A streamed list that may not be silent for any time at all is given up, and pages follow.
    converse(real_cluster.kubeconfig, talk, streamed_list_timeout_s=0.0)


def test_server_without_streamed_lists(namespace_of_old_server: tuple[RealCluster, str]) -> None:
    """An API server whose gate WatchList is closed refuses streamed lists, and pages take their place."""
    cluster, namespace = namespace_of_old_server

    async def talk(watched: Watched) -> None:
        await watched.until_services(namespace, "a")
        await away(cluster.create, service(namespace, "b"))
        await watched.until_services(namespace, "a", "b")

    converse(cluster.kubeconfig, talk)


@pytest.fixture
def namespace_of_old_server(real_cluster: RealCluster) -> Any:
    """A control plane of its own, as the gate is a flag; *real_cluster* says whether there can be one."""
    with RealCluster(controllers=(), apiserver_flags=["--feature-gates=WatchList=false"]) as cluster:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old"}})
        cluster.create(service("old", "a"))
        yield cluster, "old"
