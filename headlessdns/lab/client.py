"""A lab for tests: `Lab` starts ``headlessdns lab`` in a process of its own and talks to it. I/O: that, HTTPS and DNS.

It needs nothing but the standard library until a name is asked for, and no event loop: it works in any test.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

from headlessdns.errors import ClusterError, HeadlessDNSError

START_S = 60.0  # on a busy machine
LEAVE_S = 10.0
POLL_S = 0.02
_KEPT_LINES = 100
_KEPT_CHANGES = 30
_MERGE_PATCH = "application/merge-patch+json"
_READY = "lab.headlessdns.io/ready"
_FAIL = "lab.headlessdns.io/fail"
_LOST = "lab.headlessdns.io/lost"
_SETS = {"statefulsets": "/apis/apps/v1", "ordinalsets": "/apis/headlessdns.io/v1alpha1"}

T = TypeVar("T")


class Address(NamedTuple):
    """An IP address and a port."""

    host: str
    port: int


class Lab:
    """A cluster for as long as the context is open, with pods that come up quickly and run nothing.

    ::

        with Lab("manifests/") as lab:
            lab.wait("web")
            assert lab.resolve("web-0.nginx") == [lab.pod("web-0")["status"]["podIP"]]

    Attributes:
        api_url: Where the Kubernetes API is served.
        kubeconfig: The file to reach it with.
        dns_address: Where DNS is answered, over UDP and TCP.
        nodes: The names of the nodes.
    """

    api_url: str
    kubeconfig: Path
    dns_address: Address
    nodes: list[str]

    def __init__(
        self,
        manifests: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Mapping[str, Any]] = (),
        *,
        start_delay_s: float = 0.05,
        ready_delay_s: float = 0.05,
        nodes: int = 3,
        pod_cidrs: Iterable[str] = ("10.244.0.0/16",),
        dns: str = "127.0.0.1:0",
        state: str | os.PathLike[str] | None = None,
        without: Iterable[str] = (),
    ) -> None:
        """Prepare; the context starts it.

        Args:
            manifests: What to apply at the start: files, folders, and objects as mappings.
            start_delay_s: How long a pod takes to start.
            ready_delay_s: How long it then takes to become ready.
            nodes: How many nodes there are.
            pod_cidrs: Where pods have their addresses from; one network of each family for dual stack.
            dns: Where to answer DNS; port 0 takes any.
            state: Where to keep the objects; None keeps them in memory.
            without: Parts to leave out: controller, endpoints, budgets, accounts, kubelet or dns.
        """
        given = [manifests] if isinstance(manifests, str | os.PathLike) else list(manifests)
        self._files = [os.fspath(one) for one in given if not isinstance(one, Mapping)]
        self._objects = [dict(one) for one in given if isinstance(one, Mapping)]
        self._flags = [
            *("--log", "json", "--until-input-ends", "--dns", dns, "--nodes", str(nodes)),
            *("--start-delay", f"{start_delay_s * 1000:.0f}ms", "--ready-delay", f"{ready_delay_s * 1000:.0f}ms"),
            *(part for network in pod_cidrs for part in ("--pod-cidr", network)),
            *(part for name in without for part in ("--without", name)),
            *(("--state", os.fspath(state)) if state is not None else ()),
        ]
        self._token = ""
        self._context = ssl.create_default_context()
        self._process: subprocess.Popen[str] | None = None
        self._stack = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changes: deque[str] = deque(maxlen=_KEPT_CHANGES)

    # The process

    def __enter__(self) -> Lab:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _new_file(self, suffix: str) -> Path:
        """Return an empty file that only this user can read; it is removed with the lab."""
        number, name = tempfile.mkstemp(suffix, "headlessdns-lab-")
        os.close(number)
        path = Path(name)
        self._stack.callback(path.unlink, missing_ok=True)
        return path

    def _start(self) -> None:
        """Start the process and wait until all of it works.

        Raises:
            HeadlessDNSError: It does not; the text is what it said.
        """
        files = list(self._files)
        given = None
        if self._objects:
            given = self._new_file(".json")
            given.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": self._objects}))
            files.append(str(given))
        kubeconfig = self._new_file(".kubeconfig")
        command = [sys.executable, "-P", "-m", "headlessdns", "lab", *self._flags]
        command += ["--kubeconfig", str(kubeconfig), "--", *files]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # it leaves when this ends: with us, however we end
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the tests
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        started: deque[dict[str, Any]] = deque()
        is_known = threading.Event()
        self._listen(self._process.stdout, lambda line: self._hear(line, started, is_known), is_known.set)
        self._listen(self._process.stderr, self._said.append)
        if not is_known.wait(START_S) or not started:
            self._stop()
            said = self.log if given is None else self.log.replace(f"{given}: document 1: ", "the mappings: ")
            raise HeadlessDNSError(f"the lab has not started:\n{said}")
        if given is not None:
            given.unlink()  # now, and not at the end only: should this process be killed, nothing is left behind
        facts = started[0]
        self.api_url = facts["api"]
        self.kubeconfig = Path(facts["kubeconfig"])
        if facts["dns"]:
            host, _, port = facts["dns"].rpartition(":")
            self.dns_address = Address(host.strip("[]"), int(port))
        self.nodes = facts["nodes"]
        config = json.loads(self.kubeconfig.read_text())
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        self._token = config["users"][0]["user"]["token"]

    def _listen(self, stream: Any, hear: Callable[[str], object], ended: Callable[[], object] = lambda: None) -> None:
        def run() -> None:
            for line in stream:
                hear(line.rstrip("\n"))
            ended()

        thread = threading.Thread(target=run, daemon=True, name="headlessdns lab")
        thread.start()
        self._threads.append(thread)

    def _hear(self, line: str, started: deque[dict[str, Any]], is_known: threading.Event) -> None:
        event = _decoded(line)
        if event.get("event") == "started":
            started.append(event)
            is_known.set()
        else:
            self._changes.append(line)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for thread in self._threads:
                thread.join(LEAVE_S)
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()
        self._threads.clear()
        self._stack.close()

    @property
    def log(self) -> str:
        """What the lab said last: its log, and what changed, a line each."""
        return "\n".join([*map(_message, self._said), *map(_change, self._changes)])

    # The API

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request to the API and return what it answers, decoded.

        Args:
            method: Such as GET.
            path: Such as ``/api/v1/namespaces/default/pods``.
            body: What is encoded as JSON; None for none.
            query: Parameters.
            content_type: Of the body; a patch says here what it is.

        Raises:
            ClusterError: It refuses, or does not answer.
        """
        status, answer = self._send(method, path, body, query=query, content_type=content_type)
        if status >= 300:
            message = answer.get("message") if isinstance(answer, dict) else answer
            raise ClusterError(f"{method} {path}: {message}")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        """Send one request and return the status and what is answered, decoded; a text where that is no JSON.

        Raises:
            ClusterError: There is no answer.
        """
        if not hasattr(self, "api_url"):
            raise ClusterError("the lab has not started: use it as in `with Lab(...) as lab:`")
        where = urlsplit(self.api_url)
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "headlessdns-tests"}
        if body is not None:
            headers["Content-Type"] = content_type
        connection = http.client.HTTPSConnection(where.hostname or "", where.port, timeout=30, context=self._context)
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"the lab's API does not answer: {error}\n{self.log}") from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text.decode(errors="replace")

    def _find(self, path: str) -> dict[str, Any] | None:
        """Return what is at *path*; None where nothing is.

        Raises:
            ClusterError: The API refuses, or does not answer.
        """
        status, answer = self._send("GET", path)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status >= 300:
            raise ClusterError(f"GET {path}: {answer.get('message') if isinstance(answer, dict) else answer}")
        return answer  # type: ignore[no-any-return]

    def pod(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Return a pod.

        Raises:
            ClusterError: There is none.
        """
        found: dict[str, Any] = self.request("GET", _pod_path(name, namespace))
        return found

    def delete_pod(self, name: str, namespace: str = "default") -> None:
        """Delete a pod; its controller makes it anew.

        Raises:
            ClusterError: There is none.
        """
        self.request("DELETE", _pod_path(name, namespace))

    def scale(self, name: str, replicas: int, namespace: str = "default") -> None:
        """Give a StatefulSet or OrdinalSet another number of replicas.

        Raises:
            ClusterError: There is none.
        """
        found = self._set(name, namespace)
        if found is None:
            raise ClusterError(f"there is no StatefulSet or OrdinalSet {namespace}/{name}")
        self.request("PATCH", found[0], {"spec": {"replicas": replicas}}, content_type=_MERGE_PATCH)

    # Trouble

    def set_ready(self, pod: str, ready: bool, namespace: str = "default") -> None:
        """Let a pod be ready, or not, whatever else happens to it.

        Raises:
            ClusterError: There is no such pod.
        """
        self._annotate_pod(pod, namespace, _READY, None if ready else "false")

    def fail(self, pod: str, how: str = "CrashLoop", namespace: str = "default") -> None:
        """Let a pod fail.

        Args:
            pod: Its name.
            how: CrashLoop, ImagePullBackOff, or Failed, which is for good.
            namespace: Where it is.

        Raises:
            ClusterError: There is no such pod.
        """
        self._annotate_pod(pod, namespace, _FAIL, how)

    def mend(self, pod: str, namespace: str = "default") -> None:
        """End what `fail` began.

        Raises:
            ClusterError: There is no such pod.
        """
        self._annotate_pod(pod, namespace, _FAIL, None)

    def lose_node(self, name: str) -> None:
        """Lose a node: nothing on it starts, stops, or finishes its deletion any more.

        Raises:
            ClusterError: There is no such node.
        """
        self._annotate(f"/api/v1/nodes/{name}", _LOST, "true")

    def recover_node(self, name: str) -> None:
        """Bring a lost node back, with all that ran on it.

        Raises:
            ClusterError: There is no such node.
        """
        self._annotate(f"/api/v1/nodes/{name}", _LOST, None)

    def _annotate_pod(self, pod: str, namespace: str, key: str, value: str | None) -> None:
        self._annotate(_pod_path(pod, namespace), key, value)

    def _annotate(self, path: str, key: str, value: str | None) -> None:
        self.request("PATCH", path, {"metadata": {"annotations": {key: value}}}, content_type=_MERGE_PATCH)

    # Names

    def resolve(self, name: str, rrtype: str = "A") -> list[str]:
        """Return what the lab's DNS answers for a name: the records' data, sorted; nothing where there are none.

        Args:
            name: As in a pod of the namespace ``default``: ``web-0.nginx``, ``nginx.other``, or whole.
            rrtype: Such as A, AAAA, SRV or PTR.

        Raises:
            ClusterError: The DNS does not answer, or with another RCODE than NOERROR and NXDOMAIN.
        """
        from headlessdns.lab import resolving

        if not hasattr(self, "dns_address"):
            raise ClusterError("this lab has no DNS: it was left out, or the lab has not started")
        return resolving.resolve(self.dns_address, name, rrtype)

    # Waiting

    def wait(
        self, until: str | Callable[[], T], timeout_s: float = 30.0, *, namespace: str = "default"
    ) -> T | dict[str, Any]:
        """Wait, and return what was waited for.

        Args:
            until: The name of a set, whose rollout is then complete, with all its pods ready and in the DNS; or of a
                pod, which is then ready and, where it has a name, in the DNS; or what returns something true.
            timeout_s: How long.
            namespace: Where the set or pod is.

        Raises:
            TimeoutError: It was not so in time; the text says what was found.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            why = ""
            if callable(until):
                if found := until():
                    return found
                why = f"it returned {found!r}"
            else:
                object, why = self._look(until, namespace)
                if not why:
                    return object
            if time.monotonic() >= end_s:
                name = getattr(until, "__name__", "it") if callable(until) else f"{namespace}/{until}"
                raise TimeoutError(f"waited {timeout_s:g} s for {name}: {why}\n{self.log}")
            time.sleep(POLL_S)

    def _look(self, name: str, namespace: str) -> tuple[dict[str, Any], str]:
        """Return the set or the pod with that name, and what is missing; empty where nothing is."""
        set = self._set(name, namespace)
        if set is None:
            pod = self._find(_pod_path(name, namespace))
            if pod is None:
                return {}, "there is no set and no pod of that name"
            return pod, self._missing_of_pod(pod)
        _, found = set
        spec, status = found["spec"], found.get("status") or {}
        replicas = spec.get("replicas", 1)
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return found, "no controller has seen it yet"
        counts = {key: status.get(key) or 0 for key in ("replicas", "readyReplicas", "updatedReplicas")}
        partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
        expected = {"replicas": replicas, "readyReplicas": replicas, "updatedReplicas": max(replicas - partition, 0)}
        if counts["updatedReplicas"] < expected["updatedReplicas"] or any(
            counts[key] != expected[key] for key in ("replicas", "readyReplicas")
        ):
            stalled = [one["message"] for one in status.get("conditions") or () if one["type"] == "Stalled"]
            return found, "; ".join([f"{counts} instead of {expected}", *stalled])
        start = (spec.get("ordinals") or {}).get("start") or 0
        for ordinal in range(start, start + replicas):
            pod = self._find(_pod_path(f"{name}-{ordinal}", namespace))
            why = self._missing_of_pod(pod) if pod is not None else f"there is no pod {name}-{ordinal}"
            if why:
                return found, why
        return found, ""

    def _missing_of_pod(self, pod: dict[str, Any]) -> str:
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
        name = metadata["name"]
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        if "deletionTimestamp" in metadata:
            return f"pod {name} is being deleted"
        if conditions.get("Ready") != "True":
            return f"pod {name} is {status.get('phase') or 'Pending'} and not ready"
        if not spec.get("subdomain") or not hasattr(self, "dns_address"):
            return ""
        fqdn = f"{spec.get('hostname') or name}.{spec['subdomain']}.{metadata['namespace']}.svc.cluster.local"
        expected = sorted(one["ip"] for one in status.get("podIPs") or ())
        types = sorted({"AAAA" if ":" in address else "A" for address in expected})
        answered = sorted(address for rrtype in types for address in self.resolve(f"{fqdn}.", rrtype))
        if answered == expected or not self._is_headless(metadata["namespace"], spec["subdomain"]):
            return ""
        return f"the DNS answers {answered} for {fqdn} instead of {expected}"

    def _is_headless(self, namespace: str, service: str) -> bool:
        """Tell whether names come of that Service; where there is none, nothing is to be waited for."""
        found = self._find(f"/api/v1/namespaces/{namespace}/services/{service}")
        return found is not None and found["spec"].get("clusterIP") == "None"

    def _set(self, name: str, namespace: str) -> tuple[str, dict[str, Any]] | None:
        """Return path and object of the set of that name; None where there is none."""
        for plural, root in _SETS.items():
            path = f"{root}/namespaces/{namespace}/{plural}/{name}"
            if (found := self._find(path)) is not None:
                return path, found
        return None


def _pod_path(name: str, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def _decoded(line: str) -> dict[str, Any]:
    """Return the JSON object that *line* is; an empty one where it is something else, such as part of a traceback."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(line: str) -> str:
    """Return what a line of the log says."""
    record = _decoded(line)
    return f"{record['level']}: {record['message']}" if {"level", "message"} <= record.keys() else line


def _change(line: str) -> str:
    """Return what a line says of a pod or a set, for people to read."""
    row = _decoded(line)
    if row.get("event") == "set":
        counts = f"{row.get('ready')} of {row.get('replicas')} ready"
        return f"{row.get('set')}: {counts} {row.get('trouble') or ''}".rstrip()
    if not row.get("pod"):
        return line
    parts = [row["pod"], row.get("phase") or "-", row.get("address") or "-"]
    parts.append("ready" if row.get("ready") else "not ready")
    if row.get("name"):
        parts.append(f"{row['name']} = {row.get('answer') or '?'}")
    if row.get("waits_for"):
        parts.append(f"({row['waits_for']})")
    return " ".join(parts)
