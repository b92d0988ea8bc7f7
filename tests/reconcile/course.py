"""A course through a tutorial: kubectl, what becomes of the pods, and what the DNS says of them."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.reversename

from tests.peers.process import wait_until
from tests.reconcile.stage import Play

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.reconcile.stage import Stage
    from tests.reconcile.timeline import Happening, Timeline
    from tests.serving import Serve

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
CLUSTER_IP = re.compile(r"^ *clusterIP: 10\..*\n", re.MULTILINE)
ORDER = ("create", "ready", "delete", "gone")
DEADLINE_S = 40.0
DNS_DEADLINE_S = 10.0
LOOK_S = 0.005

Json = dict[str, Any]
Answers = dict[str, list[str]]


class Course(Play):
    """One tutorial in a namespace of its own.

    What became of its pods is read step by step: `expect` begins where the last one ended.
    """

    def __init__(self, stage: Stage, timeline: Timeline, serve: Serve, namespace: str) -> None:
        super().__init__(stage, namespace)
        self.serve = serve
        self._timeline = timeline
        self._read = 0

    # Doing

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace and return what it prints."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def apply(self, example: str, edit: tuple[str, str] = ("", "")) -> str:
        """Apply one of the examples in this namespace, and leave the choice of cluster IPs to the API server.

        With *edit*, the first of the two texts, which is there once, is replaced by the second.
        """
        text = (EXAMPLES / example).read_text()
        text = CLUSTER_IP.sub("", text).replace("namespace: default", f"namespace: {self.namespace}")
        if edit[0]:
            assert text.count(edit[0]) == 1
            text = text.replace(*edit)
        return self.kubectl("apply", "-f", "-", stdin=text)

    def rolled_out(self, target: str) -> str:
        """Wait with `kubectl rollout status` and return the last thing that it says."""
        return self.kubectl("rollout", "status", target, "--timeout=50s").splitlines()[-1]

    def evict(self, pod: str) -> None:
        """Ask for the eviction of *pod*, as `kubectl drain` does.

        Raises:
            ApiError: It is refused.
        """
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        self.cluster.request("POST", self.path("pods", pod) + "/eviction", eviction)

    # Pods

    @property
    def happenings(self) -> list[Happening]:
        """What became of the pods so far."""
        return self._timeline.of(self.namespace)

    def expect(self, *lines: str, verbs: Sequence[str] = ORDER, in_order: bool = True) -> None:
        """Wait until *lines* are all that became of the pods since the last call.

        Args:
            lines: What is to have happened, such as `create web-0`.
            verbs: What is looked at.
            in_order: Whether the order matters.
        """
        wanted = list(lines) if in_order else sorted(lines)
        taken = 0

        def found() -> list[str]:
            nonlocal taken
            happenings = self.happenings[self._read :]
            taken = len(happenings)
            texts = [str(one) for one in happenings if one.verb in verbs]
            return texts if in_order else sorted(texts)

        with contextlib.suppress(TimeoutError):  # the difference says more
            wait_until(lambda: found() == wanted, "", DEADLINE_S)
        last = found()
        assert last == wanted, f"wanted {', '.join(wanted)}\nfound {', '.join(last)}"
        self._read += taken

    def expect_nothing(self) -> None:
        """See that nothing becomes of any pod; what does not come has to be waited for."""
        time.sleep(0.7)
        found = [str(one) for one in self.happenings[self._read :] if one.verb in ORDER]
        assert not found, f"found {', '.join(found)}"

    def fewest_ready(self, since: int) -> int:
        """Return the fewest pods that were ready and not on their way out from the happening of number *since* on."""
        ready: set[str] = set()
        fewest: list[int] = []
        for number, one in enumerate(self.happenings):
            if one.verb == "ready":
                ready.add(one.pod["metadata"]["uid"])
            elif one.verb in ("unready", "delete", "gone"):
                ready.discard(one.pod["metadata"]["uid"])
            if number >= since:
                fewest.append(len(ready))
        return min(fewest)

    def ready_s(self, uid: str) -> float:
        """Return when the watch said that the pod of *uid* is ready."""
        return next(one.at_s for one in self.happenings if one.verb == "ready" and one.pod["metadata"]["uid"] == uid)

    def each(self, *steps: str) -> dict[str, str]:
        """Return one value of each pod, by the pod's name; *steps* lead to it."""
        values = {}
        for pod in self.all("pods"):
            value: Any = pod
            for step in steps:
                value = value[int(step) if step.isdecimal() else step]
            values[pod["metadata"]["name"]] = str(value)
        return values

    def uids(self) -> dict[str, str]:
        """Return the pods' UIDs by name."""
        return self.each("metadata", "uid")

    def addresses(self) -> dict[str, str]:
        """Return the pods' addresses by name."""
        return self.each("status", "podIP")

    def images(self) -> dict[str, str]:
        """Return the images of the pods' first containers by name."""
        return self.each("spec", "containers", "0", "image")

    def claims(self) -> dict[str, str]:
        """Return the volumes that claims are bound to by the claims' names."""
        claims = self.all("persistentvolumeclaims")
        return {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in claims}

    # DNS

    def full(self, name: str) -> str:
        """Return the whole of a name that is written without namespace and zone."""
        return f"{name}.{self.namespace}.svc.cluster.local."

    def ask(self, name: str, qtype: str = "A") -> list[str]:
        """Return the records of a name of the namespace, or the RCODE where that is an error."""
        rcode, records = self.serve.ask(name if name.endswith(".") else self.full(name), qtype)
        return records if rcode == "NOERROR" else [rcode]

    def expect_names(self, service: str, ports: dict[str, int], pods: Sequence[str], absent: Sequence[str]) -> None:
        """Wait until the names of a headless Service are those of *pods*, and of no others.

        Args:
            service: The Service.
            ports: The numbers of its TCP ports by name.
            pods: Those that are to be found, with the addresses that the API server has for them.
            absent: Pods that are not to be found.
        """
        addresses = self.addresses()
        wanted: Answers = {f"{pod}.{service} A": [addresses[pod]] for pod in pods}
        wanted |= {f"{pod}.{service} A": ["NXDOMAIN"] for pod in absent}
        wanted |= {
            f"{dns.reversename.from_address(addresses[pod])} PTR": [self.full(f"{pod}.{service}")] for pod in pods
        }
        wanted[f"{service} A"] = sorted(addresses[pod] for pod in pods) or ["NXDOMAIN"]
        for name, port in ports.items():
            targets = sorted(f"0 100 {port} {self.full(f'{pod}.{service}')}" for pod in pods)
            wanted[f"_{name}._tcp.{service} SRV"] = targets or ["NXDOMAIN"]
        found: Answers = {}

        def is_as_wanted() -> bool:
            for question in wanted:
                name, qtype = question.split(" ")
                found[question] = self.ask(name, qtype)
            return found == wanted

        with contextlib.suppress(TimeoutError):  # the difference says more
            wait_until(is_as_wanted, "", DNS_DEADLINE_S)
        differences = [
            f"{key}: wanted {wanted[key]}, found {found[key]}" for key in wanted if found[key] != wanted[key]
        ]
        assert not differences, "\n".join(differences)

    @contextlib.contextmanager
    def following(self, name: str) -> Iterator[list[tuple[float, list[str]]]]:
        """Ask for the addresses of *name* again and again; gives the answers as they change, each with its time."""
        answers: list[tuple[float, list[str]]] = []
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(LOOK_S):
                with contextlib.suppress(dns.exception.Timeout):
                    answer = self.ask(name)
                    if not answers or answers[-1][1] != answer:
                        answers.append((time.monotonic(), answer))

        thread = threading.Thread(target=look, daemon=True, name=f"following {name}")
        thread.start()
        try:
            yield answers
        finally:
            is_over.set()
            thread.join(10)
