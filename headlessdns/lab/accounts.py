"""What each namespace has: a ServiceAccount `default` and a ConfigMap kube-root-ca.crt. Does network I/O and logs.

In a cluster kube-controller-manager makes them (`serviceaccount-controller`, `root-ca-certificate-publisher-controller`
of v1.36) as soon as there is a namespace, and again whenever they are deleted; the certificate is made right where it
was changed. So does this part; only further keys in that ConfigMap, and a missing description, are left alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any, NamedTuple

import msgspec

from headlessdns.cluster.watch import Backoff
from headlessdns.errors import ClusterError
from headlessdns.lab.kubelet import Api
from headlessdns.lab.mirror import Mirror
from headlessdns.lab.objects import Json, Key, Metadata, Write, patch
from headlessdns.lab.refusals import read_refusal
from headlessdns.lab.work import WorkQueue

logger = logging.getLogger(__name__)

_CERTIFICATE = "ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class _Status(msgspec.Struct):
    phase: str = ""


class Namespace(msgspec.Struct):
    """A namespace."""

    metadata: Metadata
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def is_active(self) -> bool:
        """Whether anything can be created in it."""
        return self.status.phase == "Active" and self.metadata.deletion_timestamp is None


class _Data(msgspec.Struct):
    certificate: str = msgspec.field(default="", name=_CERTIFICATE)


class Found(msgspec.Struct):
    """A ServiceAccount or a ConfigMap, as far as it is looked at."""

    metadata: Metadata
    data: _Data | None = None


class Given(NamedTuple):
    """An object that each namespace is given.

    Attributes:
        plural: The kind, as paths have it.
        name: Its name.
        body: The rest of it.
    """

    plural: str
    name: str
    body: Json


def given(root_certificate: str) -> list[Given]:
    """Return what each namespace is given; *root_certificate* is that of the API server's authority, PEM."""
    certificate = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt", "annotations": {"kubernetes.io/description": _DESCRIPTION}},
        "data": {_CERTIFICATE: root_certificate},
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    return [
        Given("serviceaccounts", "default", account),
        Given("configmaps", "kube-root-ca.crt", certificate),
    ]


def given_write(one: Given, namespace: Namespace, present: Found | None) -> Write | None:
    """Return the write that makes what a namespace is given as it should be; None where it is, or cannot be."""
    if not namespace.is_active:
        return None
    path = f"/api/v1/namespaces/{namespace.metadata.name}/{one.plural}"
    if present is None:
        return Write("POST", path, one.body)
    wanted = one.body.get("data")
    if wanted is None or (present.data is not None and present.data.certificate == wanted[_CERTIFICATE]):
        return None
    return patch(f"{path}/{one.name}", present.metadata, {"data": wanted})


class AccountController:
    """Gives each namespace what it is to have.

    Attributes:
        started: Set once it knows what there is and begins to work.
    """

    def __init__(
        self,
        api: Api,
        root_certificate: str,
        *,
        backoff: Backoff = Backoff(0.1, 10.0),  # noqa: B008  # immutable
    ) -> None:
        """Prepare; `run` starts it.

        Args:
            api: The API server.
            root_certificate: That of its authority, PEM.
            backoff: Pauses after requests that failed.
        """
        self.started = asyncio.Event()
        self._api = api
        self._backoff = backoff
        self._rng = random.Random()
        self._work: WorkQueue[str] = WorkQueue()
        self._failures: dict[str, int] = {}
        self._given = given(root_certificate)
        self._namespaces = Mirror(api, "/api/v1/namespaces", Namespace, self._namespace_changed, backoff=backoff)
        self._found = {
            one.plural: Mirror(api, f"/api/v1/{one.plural}", Found, self._object_changed, backoff=backoff)
            for one in self._given
        }

    async def run(self) -> None:
        """Do all of it until cancelled; faults of the server never end it."""
        mirrors: list[Mirror[Any]] = [self._namespaces, *self._found.values()]
        try:
            async with asyncio.TaskGroup() as tasks:
                for mirror in mirrors:
                    tasks.create_task(mirror.run())
                for mirror in mirrors:
                    await mirror.listed.wait()
                self.started.set()
                await self._work.serve(self._attend)
        finally:
            self._work.close()

    def _namespace_changed(self, before: Namespace | None, after: Namespace | None) -> None:
        if after is not None:
            self._work.add(after.metadata.name)

    def _object_changed(self, before: Found | None, after: Found | None) -> None:
        if before is not None and before.metadata.name in {one.name for one in self._given}:
            self._work.add(before.metadata.namespace)

    async def _attend(self, name: str) -> None:
        """Write what a namespace lacks."""
        namespace = self._namespaces.objects.get(Key("", name))
        if namespace is None:
            return
        try:
            for one in self._given:
                write = given_write(one, namespace, self._found[one.plural].objects.get(Key(name, one.name)))
                if write is not None:
                    await self._send(write)
        except ClusterError as error:
            logger.warning("%s; trying again", error)
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            self._work.add_later(name, self._backoff.pause_s(failures, self._rng))
        else:
            self._failures.pop(name, None)

    async def _send(self, write: Write) -> None:
        """Send *write*; what it collides with, the watches bring.

        Raises:
            ClusterError: It cannot be done, or nothing is known of it.
        """
        answer = await self._api.request(write.method, write.path, write.body, content_type=write.content_type)
        if answer.status < 300 or answer.status in (404, 409):
            return
        if answer.status == 401:
            await self._api.reauthenticate()
        refusal = read_refusal(answer)
        if not refusal.is_of_ending_namespace:
            raise ClusterError(f"{write.method} {write.path}: {refusal.text}")
