"""A lab in the place of a control plane: what the controller's own courses and scenarios ask of one, it gives."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import urllib3

from headlessdns.lab import Lab
from headlessdns.lab.kubelet import Kubelet
from tests.peers import find
from tests.peers.kubectls import BUILT
from tests.peers.kubectls import kubectl as find_kubectl
from tests.realcluster.cluster import RealCluster
from tests.reconcile.stage import REFERENCE, Stage
from tests.serving import Answering

if TYPE_CHECKING:
    from collections.abc import Sequence


BUDGETS = "disruption-controller"


class LabCluster(RealCluster):
    """A lab with the methods of a control plane.

    Args:
        without: Parts of the lab that are left out.
        kubectl: The version of kubectl.
        programs: Other programs that are started later.

    Raises:
        PeerMissingError: A program is not on this machine.
    """

    def __init__(self, without: Sequence[str] = (), kubectl: str = BUILT, programs: Sequence[str] = ()) -> None:
        self._programs = {"kubectl": find_kubectl(kubectl), **{name: find(name) for name in programs}}
        self._without = without
        self.processes = {}

    def _start(self) -> None:
        self.lab = Lab(nodes=2, start_delay_s=0.02, ready_delay_s=0.02, without=self._without)
        self.lab.__enter__()
        self.server, self.kubeconfig = self.lab.api_url, self.lab.kubeconfig
        config = json.loads(self.kubeconfig.read_text())
        self.token = config["users"][0]["user"]["token"]
        authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        self.ca_file.write_bytes(base64.b64decode(authority))
        self._http = urllib3.PoolManager(maxsize=8, ca_certs=str(self.ca_file), retries=False)

    def start_budgets(self) -> None:
        """Start the reference's controller of PodDisruptionBudgets beside a lab without the part `budgets`.

        Raises:
            PeerMissingError: It is not on this machine.
        """
        if BUDGETS not in self.processes:
            self._programs["kube-controller-manager"] = find("kube-controller-manager")
            self.start_manager(BUDGETS, [BUDGETS])

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that vouches for the lab's API."""
        return self.folder / "ca.crt"

    def stop(self) -> None:
        """End the programs, then the lab."""
        for process in self.processes.values():
            process.kill()
        if hasattr(self, "lab"):
            self.lab.__exit__(None, None, None)
        super().stop()

    def log_tails(self, lines: int = 15) -> str:
        """Return what the lab said last, and the end of every program's log."""
        return "\n".join([self.lab.log, super().log_tails(lines)])


class _Nodes:
    """The lab's pretend kubelet, from outside."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def lose_node(self, name: str) -> None:
        """Lose a node."""
        await asyncio.to_thread(self._lab.lose_node, name)

    async def recover_node(self, name: str) -> None:
        """Bring it back."""
        await asyncio.to_thread(self._lab.recover_node, name)


class LabStage(Stage):
    """A lab with its own controller, or with the reference in its place."""

    cluster: LabCluster

    def __init__(self, *, is_reference: bool = False, kubectl: str = BUILT) -> None:
        self._kubectl = kubectl
        super().__init__(is_reference=is_reference, starts_controller=False)

    def _make_cluster(self, controllers: Sequence[str]) -> RealCluster:
        if self.is_reference:
            return LabCluster(["controller"], self._kubectl, ["kube-controller-manager"])
        return LabCluster(kubectl=self._kubectl)

    async def _begin(self) -> None:
        await self._take_notes()
        self.kubelet = cast(Kubelet, _Nodes(self.cluster.lab))
        if self.is_reference:
            await asyncio.to_thread(self.start_reference)

    def start_reference(self) -> None:
        """Start the reference: its controller of StatefulSets alone."""
        self.cluster.start_manager(REFERENCE, [REFERENCE])


class LabDNS(Answering):
    """The DNS of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.port = lab.dns_address.port
