"""headlessdns and CoreDNS read one API server and say the same, but for what the reviewed list of reasons allows.

About 310,000 questions to each: every name that the content may have and as many that it lacks, with every type, before
and after 500 changes; names that went with the changes are asked for again. Our server is asked in random letter case.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.conftest import skip_or_fail
from tests.coredns.asking import Question, Reply, ask_all, questions
from tests.coredns.compare import RULES, Content, Difference, differences, table
from tests.coredns.generator import (
    KINDS,
    after,
    changes,
    endpoint,
    endpoint_slice,
    generate,
    headless,
    key,
    namespace,
    port,
)
from tests.coredns.names import absent_names, owner_names, with_ancestors
from tests.coredns.server import PEER, CoreDNS
from tests.peers import PeerMissingError, find
from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE, RealCluster
from tests.serving import Serve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.coredns.generator import Manifest

SEED = 1
TYPES = ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "NS", "SOA", "MX", "HTTPS", "SVCB", "NAPTR", "ANY")
KIND_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
    "Pod": "/api/v1/pods",
}


class Phase(NamedTuple):
    """One comparison: the content that both servers saw, and what they said."""

    objects: list[Manifest]
    ours: dict[Question, Reply]
    theirs: dict[Question, Reply]
    differences: list[Difference]
    used: Counter[str]


class Trial:
    """One API server and the two servers that read it."""

    def __init__(self, cluster: RealCluster, ours: Serve, theirs: CoreDNS) -> None:
        self._cluster = cluster
        self._ports = (ours.port, theirs.port)
        self._markers = 0

    def compare(self, former: Iterable[Manifest] = ()) -> Phase:
        """Ask both for all names of the present content and of the *former* one, and for absent names."""
        self._wait_until_seen()
        objects = self._content()
        names = sorted(with_ancestors(owner_names([*objects, *former])))
        asked = questions([*names, *absent_names(names, random.Random(SEED))], TYPES)
        with ThreadPoolExecutor(2) as pool:
            ours, theirs = pool.map(ask_all, self._ports, (asked, asked), (random.Random(SEED), None))
        return Phase(objects, ours, theirs, *differences(ours, theirs, Content(objects)))

    def _content(self) -> list[Manifest]:
        """Return what the API server has, the objects of its own included."""
        return [
            {**item, "kind": kind}
            for kind, path in KIND_PATHS.items()
            for item in self._cluster.request("GET", path)["items"]
        ]

    def _wait_until_seen(self) -> None:
        """Wait until both servers have seen every change so far.

        Each watches every kind by itself, and in order. So one object of each kind is written now, after all others,
        and waited for: three names tell of them.
        """
        self._markers += 1
        space, bare = f"marker-{self._markers}", f"marker-{self._markers}-bare"
        address = f"10.250.0.{self._markers}"
        owner = headless(space, "marker", [port(80, "http")], selector=None)
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "marker", "namespace": space},
            "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "main"}]},
            "status": status,
        }
        endpoints = endpoint_slice(owner, "1", [endpoint(address, ready=True)], [port(80, "http")])
        for manifest in (namespace(space), namespace(bare), owner, endpoints, pod):
            self._cluster.create(manifest)
        asked = [
            Question(f"marker.{space}.svc.cluster.local", "A"),
            Question(f"{address.replace('.', '-')}.{space}.pod.cluster.local", "A"),
            Question(f"{bare}.svc.cluster.local", "A"),
        ]
        for where in self._ports:
            wait_until(
                lambda where=where: {reply.rcode for reply in ask_all(where, asked).values()} == {"NOERROR"},
                f"the marker objects to be answered on port {where}",
                deadline_s=30,
            )

    def change(self, objects: list[Manifest]) -> list[Manifest]:
        """Carry out 500 changes that begin at *objects*, and return what is then to be there."""
        written = changes(SEED, objects)
        for one in written:
            getattr(self._cluster, one.verb)(one.manifest)
        for one in written:
            if one.verb == "delete" and one.manifest["kind"] == "Namespace":
                self._cluster.wait_gone(one.manifest)
        return after(objects, written)


@pytest.fixture(scope="module")
def phases() -> dict[str, Phase]:
    """The comparison at first, and that after the changes."""
    try:
        find("coredns")
        cluster = RealCluster(controllers=("namespace-controller",))
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with cluster:
        objects = generate(SEED)
        cluster.create_all(objects)
        with (
            Serve("--kubeconfig", cluster.kubeconfig) as ours,
            CoreDNS(PEER, kubeconfig=cluster.kubeconfig) as theirs,
        ):
            trial = Trial(cluster, ours, theirs)
            first = trial.compare()
            assert_holds(first, objects)
            wanted = trial.change(objects)
            second = trial.compare(first.objects)
            assert_holds(second, wanted)
    return {"at first": first, "after the changes": second}


def assert_holds(phase: Phase, objects: list[Manifest]) -> None:
    """Make sure that the API server took *objects* as they are meant."""
    missing = {key(manifest) for manifest in objects} - {key(manifest) for manifest in phase.objects}
    assert not missing


PHASES = ["at first", "after the changes"]


@pytest.mark.parametrize("name", PHASES)
def test_no_difference_without_a_reason(phases: dict[str, Phase], name: str) -> None:
    """Every answer of ours is CoreDNS' answer, or what a rule of the list makes of it: RCODE, records and AA."""
    found = phases[name].differences
    shown = "\n".join(map(str, found[:20]))
    assert not found, f"{len(found)} differences, the first ones:\n{shown}"


def test_every_rule_is_needed(phases: dict[str, Phase], capsys: pytest.CaptureFixture[str]) -> None:
    """No rule of the list allows what never happens."""
    used = sum((phase.used for phase in phases.values()), Counter[str]())
    with capsys.disabled():
        asked = sum(len(phase.ours) for phase in phases.values())
        print(
            f"\nreasons for which CoreDNS and headlessdns differ, with the number of {asked} questions:\n{table(used)}"
        )
    assert [rule.name for rule in RULES if not used[rule.name]] == []


@pytest.mark.parametrize("name", PHASES)
def test_there_is_something_to_compare(phases: dict[str, Phase], name: str) -> None:
    """At least 200 Services of every kind, more than 1,000 answers with records, and as many denials as names."""
    phase = phases[name]
    services = [manifest["metadata"]["name"] for manifest in phase.objects if manifest["kind"] == "Service"]
    assert len(services) >= 200
    kinds = {kind for kind in KINDS if any(service.startswith(f"{kind}-") for service in services)}
    assert set(KINDS) - kinds == {"orphan-slice"}
    answered = Counter(question.qtype for question, reply in phase.ours.items() if reply.records)
    assert all(answered[qtype] > 50 for qtype in ("A", "AAAA", "SRV", "PTR", "CNAME"))
    assert sum(answered.values()) > 1000
    denied = {question.name for question, reply in phase.ours.items() if reply.rcode == "NXDOMAIN"}
    asked = {question.name for question in phase.ours}
    assert len(denied) > len(asked) / 2 * 0.99
