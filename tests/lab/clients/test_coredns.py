"""The real CoreDNS with the embedded API as its cluster: a second opinion on what the lab's objects mean."""

from __future__ import annotations

from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest

from tests.conftest import skip_or_fail
from tests.coredns.server import PEER, CoreDNS
from tests.lab.clients.conftest import SET
from tests.lab.clients.running import RunningLab
from tests.lab.clients.test_nothing_runs import SERVICE
from tests.peers import PeerMissingError
from tests.peers.process import wait_until

BASE = "nginx.default.svc.cluster.local"
WEB = "/apis/apps/v1/namespaces/default/statefulsets/web"
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def coredns(lab: RunningLab) -> Iterator[CoreDNS]:
    try:
        server = CoreDNS(PEER, kubeconfig=lab.kubeconfig)
    except PeerMissingError as error:
        skip_or_fail(str(error))
    lab.create("/api/v1/namespaces/default/services", SERVICE)
    lab.create("/apis/apps/v1/namespaces/default/statefulsets", SET)
    lab.wait_ready(2)
    with server:
        yield server


def ask(server: CoreDNS, name: str, qtype: str = "A") -> tuple[str, list[str]]:
    """Return RCODE and data, sorted; CoreDNS makes up weights of its own, so SRV is without them."""
    response = server.query(dns.message.make_query(name, qtype))
    data = [str(one) for rrset in response.answer for one in rrset]
    if qtype == "SRV":
        data = [" ".join(text.split()[2:]) for text in data]
    return dns.rcode.to_text(response.rcode()), sorted(data)


def becomes(server: CoreDNS, name: str, qtype: str, expected: tuple[str, list[str]]) -> None:
    seen: list[object] = []

    def is_so() -> bool:
        seen[:] = [ask(server, name, qtype)]
        return seen[0] == expected

    try:
        wait_until(is_so, f"{name} {qtype} to be {expected}", 15)
    except TimeoutError as error:
        raise AssertionError(f"{error}; it was {seen[0]}") from None


def address(lab: RunningLab, pod: str) -> str:
    return str(lab.get(f"{PODS}/{pod}")["status"]["podIP"])


def test_answers(lab: RunningLab, coredns: CoreDNS) -> None:
    """CoreDNS finds each pod, all of them under the Service's name, and their ports."""
    zero, one = address(lab, "web-0"), address(lab, "web-1")
    becomes(coredns, f"web-0.{BASE}", "A", ("NOERROR", [zero]))
    becomes(coredns, f"web-1.{BASE}", "A", ("NOERROR", [one]))
    becomes(coredns, BASE, "A", ("NOERROR", sorted([zero, one])))
    becomes(coredns, f"_web._tcp.{BASE}", "SRV", ("NOERROR", [f"80 web-0.{BASE}.", f"80 web-1.{BASE}."]))
    reverse = ".".join(reversed(one.split("."))) + ".in-addr.arpa"
    becomes(coredns, reverse, "PTR", ("NOERROR", [f"web-1.{BASE}."]))
    becomes(coredns, "kubernetes.default.svc.cluster.local", "A", ("NOERROR", ["10.96.0.1"]))
    becomes(coredns, f"{zero.replace('.', '-')}.default.pod.cluster.local", "A", ("NOERROR", [zero]))
    assert ask(coredns, f"web-2.{BASE}") == ("NXDOMAIN", [])


def test_changes(lab: RunningLab, coredns: CoreDNS) -> None:
    """CoreDNS follows pods that come, change their address, and go."""
    lab.patch(WEB, {"spec": {"replicas": 3}})
    lab.wait_ready(3)
    becomes(coredns, f"web-2.{BASE}", "A", ("NOERROR", [address(lab, "web-2")]))
    before = lab.get(f"{PODS}/web-1")
    lab.request("DELETE", f"{PODS}/web-1")
    wait_until(
        lambda: (
            lab.request("GET", f"{PODS}/web-1")[1].get("metadata", {}).get("uid")
            not in (None, before["metadata"]["uid"])
        ),
        "a new web-1",
        10,
    )
    lab.wait_ready(3)
    assert address(lab, "web-1") != before["status"]["podIP"]
    becomes(coredns, f"web-1.{BASE}", "A", ("NOERROR", [address(lab, "web-1")]))
    lab.patch(WEB, {"spec": {"replicas": 1}})
    becomes(coredns, f"web-2.{BASE}", "A", ("NXDOMAIN", []))
    becomes(coredns, BASE, "A", ("NOERROR", [address(lab, "web-0")]))


def test_no_complaints(coredns: CoreDNS) -> None:
    """CoreDNS has logged no error and no warning about its cluster."""
    lines = coredns.process.log.read_text().splitlines()
    assert any("CoreDNS-" in line for line in lines)
    assert [line for line in lines if "[ERROR]" in line or "[WARNING]" in line or line[:1] in ("E", "W")] == []
