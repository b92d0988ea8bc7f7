"""What each namespace is given by the lab's part, beside what the real kube-controller-manager gives it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from headlessdns.cluster.client import connect
from headlessdns.lab.accounts import AccountController
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import RealCluster

Json = dict[str, Any]

REFERENCE = ("serviceaccount-controller", "root-ca-certificate-publisher-controller")
ACCOUNT, CONFIG = "serviceaccounts/default", "configmaps/kube-root-ca.crt"
OF_THE_SERVER = ("uid", "namespace", "resourceVersion", "creationTimestamp", "managedFields")
DEADLINE_S = 20.0


class Given:
    """A namespace and what it was given."""

    def __init__(self, cluster: RealCluster, name: str) -> None:
        self._cluster = cluster
        self._namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self._path = f"/api/v1/namespaces/{name}"
        cluster.create(self._namespace)

    def object(self, path: str) -> Json:
        """Return what was given at *path*; an empty object where nothing is."""
        plural, _, name = path.partition("/")
        items = self._cluster.request("GET", f"{self._path}/{plural}")["items"]
        return next((one for one in items if one["metadata"]["name"] == name), {})

    def plain(self, path: str) -> Json:
        """Return that without what no two objects have in common."""
        found = self.object(path)
        metadata = {key: value for key, value in found["metadata"].items() if key not in OF_THE_SERVER}
        return {**found, "metadata": metadata}

    def course(self) -> dict[str, Json]:
        """Wait for what is given, spoil it, wait again, and return it."""
        wait_until(lambda: self.object(ACCOUNT) and self.object(CONFIG), "what is given", DEADLINE_S)
        old = self.object(ACCOUNT)["metadata"]["uid"], self.object(CONFIG)["metadata"]["uid"]
        self._cluster.request("DELETE", f"{self._path}/{ACCOUNT}")
        wait_until(lambda: self.object(ACCOUNT) and self.object(CONFIG), "the ServiceAccount", DEADLINE_S)
        patch = {"data": {"ca.crt": "spoilt"}}
        kind = "application/merge-patch+json"
        self._cluster.request("PATCH", f"{self._path}/{CONFIG}", patch, content_type=kind)
        wait_until(lambda: self.object(CONFIG)["data"]["ca.crt"] != "spoilt", "the certificate", DEADLINE_S)
        assert self.object(ACCOUNT)["metadata"]["uid"] != old[0]
        assert self.object(CONFIG)["metadata"]["uid"] == old[1]
        return {path: self.plain(path) for path in (ACCOUNT, CONFIG)}

    def end(self) -> None:
        """Delete the namespace, and wait until it is gone."""
        self._cluster.delete(self._namespace)
        wait_until(
            lambda: self._namespace["metadata"]["name"] not in self._cluster.kubectl("get", "namespaces", "-o", "name"),
            "the end of the namespace",
            DEADLINE_S,
        )


def test_what_is_given_is_what_the_reference_gives() -> None:
    """Namespaces are given the same, get it back when it is deleted or changed, and end as with the reference."""
    try:
        cluster = RealCluster(("namespace-controller",))
    except PeerMissingError as error:
        skip_or_fail(str(error))

    async def ours(certificate: str) -> dict[str, Json]:
        client = await connect(cluster.kubeconfig)
        task = asyncio.create_task(AccountController(client, certificate).run())
        try:
            return await asyncio.to_thread(_course, cluster, "ours")
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await client.close()

    with cluster:
        made = asyncio.run(ours(cluster.ca_file.read_text()))
        flags = [f"--root-ca-file={cluster.ca_file}"]
        cluster.start_manager("reference", REFERENCE, flags=flags)
        assert made == _course(cluster, "reference")


def _course(cluster: RealCluster, name: str) -> dict[str, Json]:
    given = Given(cluster, name)
    found = given.course()
    given.end()
    return found
