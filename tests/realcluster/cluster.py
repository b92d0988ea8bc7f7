"""A Kubernetes control plane on loopback: etcd, kube-apiserver and, where asked for, kube-controller-manager.

No scheduler and no kubelet run: a pod has a node if its manifest names one, and is Ready when a test writes that. RBAC
decides who may do what; the harness itself is a member of ``system:masters``, to whom everything is allowed.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import ssl
import subprocess
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3

from tests.peers import find
from tests.peers.process import Process, ProcessError, free_port, wait_until
from tests.realcluster.keys import signing_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

SERVICE_RANGES = ("10.96.0.0/16", "fd00:96::/108")
ISSUER = "https://kubernetes.default.svc.cluster.local"

# The address at which the API server says it can be reached. It is written into the slice of the Service `kubernetes`,
# where a loopback address is refused, and the API server would otherwise take one of the machine's own.
ADVERTISED = "192.0.2.1"

CONTROLLERS = (
    "endpointslice-controller",
    "endpoints-controller",
    "garbage-collector-controller",
    "namespace-controller",
)

# The one machine of the cluster. The endpointslice controller passes over pods whose node does not exist.
NODE = "node-1"

Manifest = dict[str, Any]

# Where the objects of a kind are found.
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Endpoints": "/api/v1/namespaces/{namespace}/endpoints",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "StatefulSet": "/apis/apps/v1/namespaces/{namespace}/statefulsets",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "ControllerRevision": "/apis/apps/v1/namespaces/{namespace}/controllerrevisions",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
}


class ApiError(Exception):
    """The API server refused a request of the harness."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


def base64_text(octets: bytes) -> str:
    """Return *octets* in base64, as kubeconfigs and etcd's JSON want them."""
    return base64.b64encode(octets).decode()


def collection_path(kind: str, namespace: str = "") -> str:
    """Return the path at which objects of *kind* are created and listed."""
    return COLLECTIONS[kind].format(namespace=namespace)


def object_path(manifest: Manifest) -> str:
    """Return the path of the object that *manifest* describes."""
    metadata = manifest["metadata"]
    return f"{collection_path(manifest['kind'], metadata.get('namespace', ''))}/{metadata['name']}"


def answers_ok(url: str) -> bool:
    """Whether *url* answers 200 within a second.

    Certificates are not looked at: of no matter for a question of health, and before its first start the API server
    has none that could be trusted.
    """
    https = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
    try:
        with opener.open(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class RealCluster:
    """A control plane that lives as long as the ``with`` block.

    Args:
        controllers: The controllers that kube-controller-manager runs; with none of them it is not started.
        apiserver_flags: Further flags for kube-apiserver.

    Raises:
        PeerMissingError: A program is not on this machine.
        ProcessError: A program did not become ready; the text closes with the end of its log.
    """

    def __init__(self, controllers: Sequence[str] = CONTROLLERS, apiserver_flags: Sequence[str] = ()) -> None:
        self._controllers = tuple(controllers)
        self._apiserver_flags = tuple(apiserver_flags)
        self._programs = {name: find(name) for name in ("etcd", "kube-apiserver", "kubectl")}
        if controllers:
            self._programs["kube-controller-manager"] = find("kube-controller-manager")
        self.token = secrets.token_hex(16)
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> RealCluster:
        self.folder = Path(tempfile.mkdtemp(prefix="headlessdns-cluster-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- life

    def _start(self) -> None:
        self._write_credentials()
        self._start_etcd()
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.processes["kube-apiserver"] = self._process("kube-apiserver", self._apiserver_arguments())
        self._http = urllib3.PoolManager(maxsize=8, ca_certs=str(self.ca_file), retries=False)
        self.start_apiserver()
        self.kubeconfig = self.write_kubeconfig("admin", self.token)
        self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        if self._controllers:
            self.start_manager("kube-controller-manager", self._controllers)

    def _write_credentials(self) -> None:
        private, public = signing_key()
        (self.folder / "sa.key").write_text(private)
        (self.folder / "sa.pub").write_text(public)
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')

    def _process(self, name: str, arguments: Iterable[str]) -> Process:
        return Process([self._programs[name], *arguments], self.folder / f"{name}.log")

    def _start_etcd(self) -> None:
        self._etcd = f"http://127.0.0.1:{free_port()}"
        etcd = self._process(
            "etcd",
            [
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={self._etcd}",
                f"--advertise-client-urls={self._etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
                "--unsafe-no-fsync",
            ],
        )
        self.processes["etcd"] = etcd
        etcd.start()
        etcd.wait_ready(lambda: answers_ok(f"{self._etcd}/health"), deadline_s=30)

    def _apiserver_arguments(self) -> list[str]:
        return [
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--advertise-address={ADVERTISED}",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--service-cluster-ip-range={','.join(SERVICE_RANGES)}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.folder / 'sa.pub'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            # Pods would else wait for a ServiceAccount `default`, which a controller makes that does not run here.
            "--disable-admission-plugins=ServiceAccount",
            *self._apiserver_flags,
        ]

    def start_manager(self, name: str, controllers: Iterable[str], qps: int = 500, flags: Sequence[str] = ()) -> None:
        """Start a kube-controller-manager that runs *controllers*; *name* is its own among the processes.

        It sends at most *qps* requests a second for each controller; *flags* are further ones.
        """
        port = free_port()
        arguments = [
            f"--kubeconfig={self.kubeconfig}",
            "--authentication-skip-lookup",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
            f"--controllers={','.join(controllers)}",
            f"--kube-api-qps={qps}",
            f"--kube-api-burst={2 * qps}",
            *flags,
        ]
        program = self._programs["kube-controller-manager"]
        manager = Process([program, *arguments], self.folder / f"{name}.log")
        self.processes[name] = manager
        manager.start()
        manager.wait_ready(lambda: answers_ok(f"https://127.0.0.1:{port}/healthz"), deadline_s=60)

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready: port, certificate and objects are as before."""
        apiserver = self.processes["kube-apiserver"]
        apiserver.start()
        apiserver.wait_ready(lambda: answers_ok(f"{self.server}/readyz"), deadline_s=60)

    def stop_apiserver(self) -> None:
        """Kill the API server, as a crash would: every connection to it breaks."""
        self.processes["kube-apiserver"].kill()

    def compact_etcd(self) -> int:
        """Drop the history of all objects and return the first revision that is left.

        With the API server stopped before and started after, every watch and every continued list from before
        meets 410. A running API server still has the history of a while in memory.
        """
        # A revision that no client has seen, or the newest bookmark would still be fresh enough.
        revision = self._etcd_call("kv/put", key=base64_text(b"compacted"), value="")["header"]["revision"]
        self._etcd_call("kv/compaction", revision=revision, physical=True)
        return int(revision)

    def _etcd_call(self, path: str, **fields: object) -> Any:
        with urllib3.PoolManager(retries=False) as http:
            response = http.request("POST", f"{self._etcd}/v3/{path}", json=fields, timeout=10)
        if response.status != 200:
            raise ProcessError(f"etcd answers {response.status} to {path}: {response.data.decode()}")
        return response.json()

    def stop(self) -> None:
        """Stop all programs, the users of one before it, and remove what they wrote."""
        for process in reversed(self.processes.values()):
            # etcd would end in peace, but what it keeps is thrown away.
            process.kill()
        if hasattr(self, "_http"):
            self._http.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tails(self, lines: int = 15) -> str:
        """Return the end of every program's log, for the report of a failing test."""
        return "\n".join(process.log_tail(lines) for process in self.processes.values())

    # ---- credentials

    @property
    def ca_file(self) -> Path:
        """The certificates that vouch for the API server, which it made when it first started."""
        return self.folder / "certificates" / "apiserver.crt"

    def write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        """Write a kubeconfig that holds *token*, with one context called *name*, and return its path."""
        authority = base64_text(self.ca_file.read_bytes())
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": {"server": self.server, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": "real", "user": name, "namespace": namespace}}],
            "current-context": name,
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config, indent=2))
        path.chmod(0o600)
        return path

    def service_account_kubeconfig(self, namespace: str, name: str, duration: str = "1h") -> Path:
        """Return a kubeconfig with a token of the ServiceAccount *name*, which must exist.

        What may be done with it is what RBAC grants to that ServiceAccount; its default namespace is *namespace*.
        """
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", f"--duration={duration}").strip()
        return self.write_kubeconfig(f"{namespace}-{name}", token, namespace)

    # ---- objects

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl as the administrator, or with *kubeconfig*, and return what it prints.

        Raises:
            subprocess.CalledProcessError: It failed; its complaint is in the notes of the exception.
        """
        command = [str(self._programs["kubectl"]), f"--kubeconfig={kubeconfig or self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr)
            raise
        return done.stdout

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Ask the API server as the administrator and return the decoded answer. Safe to call from threads.

        Raises:
            ApiError: The status was not 2xx.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        response = self._http.request(method, self.server + path, body=data, headers=headers, timeout=30)
        if not 200 <= response.status < 300:
            raise ApiError(response.status, f"{method} {path}: {response.data.decode(errors='replace')}")
        return response.json() if response.data else None

    def create(self, manifest: Manifest) -> Manifest:
        """Create the object and, where *manifest* has a status, write that too; return the object."""
        metadata = manifest["metadata"]
        path = collection_path(manifest["kind"], metadata.get("namespace", ""))
        created: Manifest = self.request("POST", path, manifest)
        return self.write_status(manifest) if "status" in manifest else created

    def replace(self, manifest: Manifest) -> Manifest:
        """Write *manifest* over the object of its name, whatever version that has, status included."""
        replaced: Manifest = self.request("PUT", object_path(manifest), manifest)
        return self.write_status(manifest) if "status" in manifest else replaced

    def write_status(self, manifest: Manifest) -> Manifest:
        """Merge the status of *manifest* into the object's, as a kubelet or a controller would; return the object."""
        path = f"{object_path(manifest)}/status"
        merged: Manifest = self.request(
            "PATCH", path, {"status": manifest["status"]}, content_type="application/merge-patch+json"
        )
        return merged

    def delete(self, manifest: Manifest) -> None:
        """Delete the object at once; a namespace goes with all that is in it, which takes its controller a moment."""
        at_once = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        if manifest["kind"] != "Namespace":
            self.request("DELETE", object_path(manifest), at_once)
            return
        self.request("DELETE", object_path(manifest))
        # A pod that has a node would wait for its kubelet to stop it, and the namespace for the pod.
        self.request("DELETE", collection_path("Pod", manifest["metadata"]["name"]), at_once)

    def create_all(self, manifests: Iterable[Manifest]) -> None:
        """Create many objects, eight at a time: the namespaces before all else."""
        manifests = list(manifests)
        for batch in (
            [m for m in manifests if m["kind"] == "Namespace"],
            [m for m in manifests if m["kind"] != "Namespace"],
        ):
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(self.create, batch))

    def exists(self, manifest: Manifest) -> bool:
        """Whether the API server has an object of this kind and name."""
        try:
            self.request("GET", object_path(manifest))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def wait_gone(self, manifest: Manifest, deadline_s: float = 30) -> None:
        """Wait until the object is deleted for good."""
        what = f"{manifest['kind']} {manifest['metadata']['name']} to be gone"
        wait_until(lambda: not self.exists(manifest), what, deadline_s)
