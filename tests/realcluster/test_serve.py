"""`headlessdns serve` on a real API server, with the ServiceAccount and the rights that ``deploy/`` grants."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.exception
import pytest

from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import Manifest, RealCluster
from tests.realcluster.test_cluster import pod, service
from tests.serving import Serve

ROOT = Path(__file__).parents[2]
OUTAGE_S = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    """A control plane of this module's own: its API server is killed now and then."""
    try:
        own = RealCluster()
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with own:
        own.kubectl("apply", "-k", str(ROOT / "deploy" / "base"))
        yield own


@pytest.fixture(scope="module")
def kubeconfig(cluster: RealCluster) -> Path:
    """What the Deployment's pods have: the ServiceAccount's token, and with it the rights of the ClusterRole."""
    return cluster.service_account_kubeconfig("headlessdns", "headlessdns")


@pytest.fixture(scope="module")
def server(cluster: RealCluster, kubeconfig: Path) -> Iterator[Serve]:
    with Serve("--kubeconfig", kubeconfig, "--service", "headlessdns/headlessdns", http=True) as serve:
        wait_until(lambda: serve.ask("kubernetes.default.svc.cluster.local")[0] == "NOERROR", "the first list", 20)
        yield serve


_numbers = iter(range(1, 1000))


@pytest.fixture
def space(cluster: RealCluster) -> str:
    name = f"serve-{next(_numbers)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def headless(namespace: str, name: str = "db") -> Manifest:
    """Return a headless Service without a selector, whose slices are ours to make."""
    metadata = {"name": name, "namespace": namespace}
    spec = {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def slice_of(namespace: str, name: str, pods: dict[str, str], service_name: str = "db", **fields: Any) -> Manifest:
    """Return a slice by hand: host names with their addresses."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service_name}},
        "addressType": "IPv4",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "hostname": hostname, "conditions": {"ready": True}}
            for hostname, address in pods.items()
        ],
        **fields,
    }


def becomes(server: Serve, name: str, qtype: str, expected: tuple[str, list[str]], deadline_s: float = 10) -> None:
    """Wait until a question is answered as expected."""
    seen: list[tuple[str, list[str]]] = []

    def is_so() -> bool:
        seen.append(server.ask(name, qtype))
        return seen[-1] == expected

    try:
        wait_until(is_so, f"{name} {qtype} to be {expected}", deadline_s, step_s=0.01)
    except TimeoutError as error:
        raise AssertionError(f"{error}; the last answer was {seen[-1]}") from None


def test_pods_come_change_and_go(cluster: RealCluster, server: Serve, space: str) -> None:
    """Created, changed and deleted pods are followed through the real slice controller, in every kind of record."""
    base = f"web.{space}.svc.cluster.local"
    assert server.ask(f"web-0.{base}") == ("NXDOMAIN", [])
    cluster.create_all([service(space), pod(space, "10.20.0.7")])
    becomes(server, f"web-0.{base}", "A", ("NOERROR", ["10.20.0.7"]))
    becomes(server, base, "A", ("NOERROR", ["10.20.0.7"]))
    assert server.ask(f"web-0.{base}", "AAAA") == ("NOERROR", [])
    assert server.ask(f"_http._tcp.{base}", "SRV", tcp=True) == ("NOERROR", [f"0 100 80 web-0.{base}."])
    assert server.ask("7.0.20.10.in-addr.arpa", "PTR") == ("NOERROR", [f"web-0.{base}."])
    becomes(server, f"10-20-0-7.{space}.pod.cluster.local", "A", ("NOERROR", ["10.20.0.7"]))
    assert server.ask(f"{space}.svc.cluster.local") == ("NOERROR", [])
    cluster.write_status(pod(space, "10.20.0.8"))
    becomes(server, f"web-0.{base}", "A", ("NOERROR", ["10.20.0.8"]))
    assert server.ask("7.0.20.10.in-addr.arpa", "PTR") == ("NXDOMAIN", [])
    not_ready = pod(space, "10.20.0.8")
    not_ready["status"]["conditions"][0]["status"] = "False"
    cluster.write_status(not_ready)
    becomes(server, f"web-0.{base}", "A", ("NXDOMAIN", []))
    becomes(server, base, "A", ("NXDOMAIN", []))
    cluster.delete(pod(space, "10.20.0.8"))
    cluster.delete(service(space))
    becomes(server, f"10-20-0-8.{space}.pod.cluster.local", "A", ("NXDOMAIN", []))


def test_the_name_server_is_our_own_service(server: Serve) -> None:
    """With --service the name server's address is the cluster IP that deploy/ asks for."""
    becomes(server, "ns.dns.cluster.local", "A", ("NOERROR", ["10.96.0.53"]))


def test_a_moved_endpoint_is_never_missed(cluster: RealCluster, server: Serve, space: str) -> None:
    """While endpoints move from slice to slice, added there before they are removed here, no name is ever denied."""
    base = f"db.{space}.svc.cluster.local"
    pods = {f"db-{number}": f"10.21.0.{number}" for number in range(20)}
    everything = sorted(pods.values())
    cluster.create_all([headless(space), slice_of(space, "db-a", pods), slice_of(space, "db-b", {})])
    becomes(server, base, "A", ("NOERROR", everything))
    over = threading.Event()
    wrong: list[tuple[str, list[str]]] = []
    asked = 0

    def watch() -> None:
        nonlocal asked
        while not over.is_set():
            for number in (0, 7, 19):
                answer = server.ask(f"db-{number}.{base}")
                asked += 1
                if answer != ("NOERROR", [f"10.21.0.{number}"]):
                    wrong.append(answer)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for source, target in (("db-a", "db-b"), ("db-b", "db-a")) * 5:
            cluster.replace(slice_of(space, target, pods))
            cluster.replace(slice_of(space, source, {}))
        becomes(server, base, "A", ("NOERROR", everything))
    finally:
        over.set()
        watcher.join()
    assert asked > 20
    assert wrong == []


def test_a_slice_that_changes_its_service_moves_its_names(cluster: RealCluster, server: Serve, space: str) -> None:
    """A slice whose label names another Service takes its endpoints there."""
    first, second = f"db-0.db.{space}.svc.cluster.local", f"db-0.dc.{space}.svc.cluster.local"
    cluster.create_all([headless(space), headless(space, "dc"), slice_of(space, "one", {"db-0": "10.22.0.1"})])
    becomes(server, first, "A", ("NOERROR", ["10.22.0.1"]))
    cluster.replace(slice_of(space, "one", {"db-0": "10.22.0.1"}, service_name="dc"))
    becomes(server, second, "A", ("NOERROR", ["10.22.0.1"]))
    assert server.ask(first) == ("NXDOMAIN", [])


def test_answers_never_stop_while_the_api_server_is_away(cluster: RealCluster, server: Serve, space: str) -> None:
    """The API server is killed for 20 s: each question is answered as before, and what changed after is caught up."""
    name = f"db-0.db.{space}.svc.cluster.local"
    cluster.create_all([headless(space), slice_of(space, "db", {"db-0": "10.23.0.1"})])
    becomes(server, name, "A", ("NOERROR", ["10.23.0.1"]))
    wrong: list[object] = []
    asked = 0
    cluster.stop_apiserver()
    try:
        until_s = time.monotonic() + OUTAGE_S
        while time.monotonic() < until_s:
            try:
                answer: object = server.ask(name)
            except (OSError, dns.exception.Timeout) as error:
                answer = error
            asked += 1
            if answer != ("NOERROR", ["10.23.0.1"]):
                wrong.append(answer)
            time.sleep(0.02)  # paces the questions; nothing is awaited
    finally:
        cluster.start_apiserver()
    assert asked > 100
    assert wrong == []
    cluster.replace(slice_of(space, "db", {"db-0": "10.23.0.2"}))
    becomes(server, name, "A", ("NOERROR", ["10.23.0.2"]), deadline_s=45)  # back-off goes up to 30 s


def test_what_was_missed_over_a_compaction_is_caught_up(cluster: RealCluster, server: Serve, space: str) -> None:
    """When history is compacted while the watch is away (410 Gone), all is listed anew, and deletions are seen."""
    base = f"db.{space}.svc.cluster.local"
    cluster.create_all([headless(space), slice_of(space, "db", {"db-0": "10.24.0.1", "db-1": "10.24.0.2"})])
    # Each watch has a back-off of its own: of the outage before, that of Services may not be over yet.
    becomes(server, base, "A", ("NOERROR", ["10.24.0.1", "10.24.0.2"]), deadline_s=45)
    cluster.replace(slice_of(space, "db", {"db-0": "10.24.0.1"}))
    becomes(server, base, "A", ("NOERROR", ["10.24.0.1"]))
    cluster.stop_apiserver()
    cluster.compact_etcd()
    cluster.start_apiserver()
    cluster.delete(slice_of(space, "db", {}))
    cluster.create(slice_of(space, "db-new", {"db-2": "10.24.0.3"}))
    becomes(server, base, "A", ("NOERROR", ["10.24.0.3"]), deadline_s=45)
    assert server.ask(f"db-1.{base}") == ("NXDOMAIN", [])
    assert server.ask("1.0.24.10.in-addr.arpa", "PTR") == ("NXDOMAIN", [])


def test_two_replicas_say_the_same(cluster: RealCluster, kubeconfig: Path, server: Serve) -> None:
    """A second server with the same objects has the same digests, whatever its serials."""

    def digests(url: str) -> list[str]:
        with urllib.request.urlopen(f"{url}/zones", timeout=5) as page:
            return sorted(line.strip() for line in page.read().decode().splitlines() if "digest" in line)

    with Serve("--kubeconfig", kubeconfig, "--service", "headlessdns/headlessdns", http=True) as other:
        wait_until(lambda: digests(server.url) == digests(other.url), "equal digests", 20)
        assert len(digests(other.url)) == 3


def test_a_role_is_enough_for_one_namespace(cluster: RealCluster, space: str) -> None:
    """With --namespace a Role suffices; names of other namespaces do not exist, and nothing stays pending."""
    rules = "services,pods,endpointslices.discovery.k8s.io,statefulsets.apps"
    cluster.kubectl("create", "serviceaccount", "reader", "-n", space)
    cluster.kubectl("create", "role", "reader", "-n", space, "--verb=list,watch", f"--resource={rules}")
    cluster.kubectl("create", "rolebinding", "reader", "-n", space, "--role=reader", f"--serviceaccount={space}:reader")
    cluster.create_all([headless(space), slice_of(space, "db", {"db-0": "10.25.0.1"})])
    account = cluster.service_account_kubeconfig(space, "reader")
    with Serve("--kubeconfig", account, "--namespace", space) as serve:
        becomes(serve, f"db-0.db.{space}.svc.cluster.local", "A", ("NOERROR", ["10.25.0.1"]))
        becomes(serve, f"{space}.svc.cluster.local", "A", ("NOERROR", []))
        becomes(serve, "default.svc.cluster.local", "A", ("NXDOMAIN", []))
        becomes(serve, "kubernetes.default.svc.cluster.local", "A", ("NXDOMAIN", []))


def test_optional_rights_may_be_missing(cluster: RealCluster, space: str) -> None:
    """Without rights to Pods, Namespaces and StatefulSets the rest is served, and one warning each names the rule."""
    cluster.kubectl("create", "serviceaccount", "poor", "-n", space)
    resources = "services,endpointslices.discovery.k8s.io"
    cluster.kubectl("create", "clusterrole", f"poor-{space}", "--verb=list,watch", f"--resource={resources}")
    binding = ("--clusterrole", f"poor-{space}", f"--serviceaccount={space}:poor")
    cluster.kubectl("create", "clusterrolebinding", f"poor-{space}", *binding)
    cluster.create_all([headless(space), slice_of(space, "db", {"db-0": "10.26.0.1"})])
    with Serve("--kubeconfig", cluster.service_account_kubeconfig(space, "poor")) as serve:
        becomes(serve, f"db-0.db.{space}.svc.cluster.local", "A", ("NOERROR", ["10.26.0.1"]))
        becomes(serve, "10-26-0-1.default.pod.cluster.local", "A", ("NXDOMAIN", []), deadline_s=30)
        becomes(serve, f"{space}.svc.cluster.local", "A", ("NOERROR", []), deadline_s=30)
        becomes(serve, "no-such-namespace.svc.cluster.local", "A", ("NXDOMAIN", []), deadline_s=30)
        log = serve.log.read_text()
    for resource in ("pods", "namespaces", "statefulsets"):
        warnings = [line for line in log.splitlines() if f"warning {resource}:" in line]
        assert len(warnings) == 1, (resource, warnings)
        assert "list" in warnings[0]
        assert f'resources: ["{resource}"]' in warnings[0]


def test_rights_that_are_granted_later(cluster: RealCluster, space: str) -> None:
    """A binding that is made while the server runs is noticed: pod address names and empty namespaces then answer."""
    cluster.kubectl("create", "serviceaccount", "late", "-n", space)
    required = "services,endpointslices.discovery.k8s.io"
    optional = "pods,namespaces,statefulsets.apps"
    for role, resources in ((f"first-{space}", required), (f"later-{space}", optional)):
        cluster.kubectl("create", "clusterrole", role, "--verb=list,watch", f"--resource={resources}")

    def bind(role: str) -> None:
        account = f"--serviceaccount={space}:late"
        cluster.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", account)

    bind(f"first-{space}")
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"empty-{space}"}})
    cluster.create_all([headless(space), slice_of(space, "db", {"db-0": "10.27.0.1"}), pod(space, "10.27.0.1")])
    address_name = f"10-27-0-1.{space}.pod.cluster.local"
    with Serve("--kubeconfig", cluster.service_account_kubeconfig(space, "late")) as serve:
        becomes(serve, f"db-0.db.{space}.svc.cluster.local", "A", ("NOERROR", ["10.27.0.1"]), deadline_s=30)
        becomes(serve, address_name, "A", ("NXDOMAIN", []), deadline_s=30)
        becomes(serve, f"empty-{space}.svc.cluster.local", "A", ("NXDOMAIN", []), deadline_s=30)
        bind(f"later-{space}")
        becomes(serve, address_name, "A", ("NOERROR", ["10.27.0.1"]), deadline_s=45)  # asked again every 30 s at most
        becomes(serve, f"empty-{space}.svc.cluster.local", "A", ("NOERROR", []), deadline_s=45)
        wait_until(lambda: "statefulsets: the API server grants" in serve.log.read_text(), "the last right", 45)
        for resource in ("pods", "namespaces", "statefulsets"):
            assert serve.log.read_text().count(f"info    {resource}: the API server grants list and watch now") == 1


def test_without_the_required_rights_nothing_is_denied(cluster: RealCluster, space: str) -> None:
    """Where Services are forbidden every name stays SERVFAIL with EDE 14, and a forwarder can turn elsewhere."""
    cluster.kubectl("create", "serviceaccount", "nobody", "-n", space)
    with Serve("--kubeconfig", cluster.service_account_kubeconfig(space, "nobody"), http=True) as serve:
        wait_until(lambda: "services" in serve.log.read_text(), "the warning", 20)
        assert serve.ask("kubernetes.default.svc.cluster.local") == ("SERVFAIL", [])
        assert serve.extended_errors("kubernetes.default.svc.cluster.local") == [14]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{serve.url}/readyz", timeout=5)
