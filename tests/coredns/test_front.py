"""A real CoreDNS in front of headlessdns, with the blocks of ``deploy/coredns``, and a real API server behind both.

TTLs are a second here, so that what CoreDNS keeps does not hide who answers. Who does is told by the weights of SRV
records: ours have 100 each, and CoreDNS' own ``kubernetes`` plugin shares 100 out among six addresses of three pods.
"""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.conftest import skip_or_fail
from tests.coredns.front import PATIENCE_S, Front, said, timed, weights
from tests.coredns.generator import endpoint, endpoint_slice, headless, namespace, port, service
from tests.coredns.names import reverse_name
from tests.peers import PeerMissingError, find
from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.coredns.generator import Manifest
    from tests.realcluster.cluster import RealCluster

SPACE = "front"
ZONES = {"cluster-zone": "cluster.local", "own-zone": "headless.local"}
BIG = 100  # endpoints: 1.6 KB of A records
# Without the first nothing may be answered. The server may read the others from the start, since a kind that is
# forbidden is done without.
REQUIRED, OPTIONAL = "services,endpointslices.discovery.k8s.io", "pods,namespaces,statefulsets.apps"

OURS, ITS_OWN = {"100"}, {"16"}

Answer = tuple[str, list[str]]


def content() -> list[Manifest]:
    """Services of each kind that matters to a forwarder; the slices are made by hand."""
    web = headless(SPACE, "web", [port(80, "http")], families="46", selector=None)
    big = headless(SPACE, "big", [port(80, "http")], selector=None)
    idle = headless(SPACE, "idle", [port(80, "http")], selector=None)
    late = headless(SPACE, "late", [port(80, "http")], selector=None)
    vip = service(SPACE, "vip", ports=[port(443, "https")], clusterIP="10.96.0.99")
    four = [endpoint(f"10.20.0.{n + 1}", f"web-{n}", ready=True) for n in range(3)]
    six = [endpoint(f"fd00:20::{n + 1}", f"web-{n}", ready=True) for n in range(3)]
    many = [endpoint(f"10.21.0.{n + 1}", f"big-{n}", ready=True) for n in range(BIG)]
    aliases = {"outside": "www.example.org"}
    aliases |= {f"inside-{file}": f"web.{SPACE}.svc.{zone}" for file, zone in ZONES.items()}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": SPACE},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "main"}]},
        "status": {"phase": "Running", "podIP": "10.20.0.1", "podIPs": [{"ip": "10.20.0.1"}]},
    }
    return [
        namespace(SPACE),
        *(
            web,
            endpoint_slice(web, "4", four, web["spec"]["ports"]),
            endpoint_slice(web, "6", six, web["spec"]["ports"]),
        ),
        *(big, endpoint_slice(big, "1", many, big["spec"]["ports"])),
        *(idle, endpoint_slice(idle, "1", [endpoint("10.22.0.1", "idle-0", ready=False)], idle["spec"]["ports"])),
        *(late, vip, pod),
        *(service(SPACE, name, type="ExternalName", externalName=target) for name, target in aliases.items()),
    ]


WEB_A = ["A 10.20.0.1", "A 10.20.0.2", "A 10.20.0.3"]
WEB_AAAA = ["AAAA fd00:20::1", "AAAA fd00:20::2", "AAAA fd00:20::3"]
SRV_NAME = "_http._tcp.web.front.svc.ZONE"
WEB_SRV = [f"SRV 0 100 80 web-{n}.web.front.svc.ZONE." for n in range(3)]
NOTHING: list[str] = []

# Name, type, RCODE, records; ZONE and FILE stand for the variant's.
ANSWERS = {
    "A of a pod": ("web-0.web.front.svc.ZONE", "A", "NOERROR", ["A 10.20.0.1"]),
    "AAAA of a pod": ("web-2.web.front.svc.ZONE", "AAAA", "NOERROR", ["AAAA fd00:20::3"]),
    "A of a headless Service": ("web.front.svc.ZONE", "A", "NOERROR", WEB_A),
    "AAAA of a headless Service": ("web.front.svc.ZONE", "AAAA", "NOERROR", WEB_AAAA),
    "A of a ClusterIP": ("vip.front.svc.ZONE", "A", "NOERROR", ["A 10.96.0.99"]),
    "SRV of a port": (SRV_NAME, "SRV", "NOERROR", WEB_SRV),
    "SRV of a Service": ("web.front.svc.ZONE", "SRV", "NOERROR", WEB_SRV),
    "SRV of a ClusterIP": ("_https._tcp.vip.front.svc.ZONE", "SRV", "NOERROR", ["SRV 0 100 443 vip.front.svc.ZONE."]),
    "A of a pod's address": ("10-20-0-1.front.pod.ZONE", "A", "NOERROR", ["A 10.20.0.1"]),
    "ExternalName inside": ("inside-FILE.front.svc.ZONE", "A", "NOERROR", [*WEB_A, "CNAME web.front.svc.ZONE."]),
    "ExternalName outside": ("outside.front.svc.ZONE", "A", "NOERROR", ["A 192.0.2.80", "CNAME www.example.org."]),
    "NXDOMAIN of a Service": ("absent.front.svc.ZONE", "A", "NXDOMAIN", NOTHING),
    "NXDOMAIN of a pod": ("web-3.web.front.svc.ZONE", "AAAA", "NXDOMAIN", NOTHING),
    "NXDOMAIN while none is ready": ("idle.front.svc.ZONE", "A", "NXDOMAIN", NOTHING),
    "NODATA of a pod": ("web-0.web.front.svc.ZONE", "MX", "NOERROR", NOTHING),
    "NODATA of a ClusterIP": ("vip.front.svc.ZONE", "AAAA", "NOERROR", NOTHING),
}
# The block of the own zone has no reverse zones.
REVERSE = {
    "PTR of a pod": ("1.0.20.10.in-addr.arpa", "PTR", "NOERROR", ["PTR web-0.web.front.svc.ZONE."]),
    "PTR of a pod, IPv6": (reverse_name("fd00:20::2"), "PTR", "NOERROR", ["PTR web-1.web.front.svc.ZONE."]),
    "PTR of a ClusterIP": ("99.0.96.10.in-addr.arpa", "PTR", "NOERROR", ["PTR vip.front.svc.ZONE."]),
    "PTR of no pod": ("9.0.20.10.in-addr.arpa", "PTR", "NXDOMAIN", NOTHING),
    "PTR outside our ranges": ("80.2.0.192.in-addr.arpa", "PTR", "NOERROR", ["PTR www.example.org."]),
}

TRANSPORTS = [pytest.param(False, id="UDP"), pytest.param(True, id="TCP")]
ROWS = {"cluster-zone": ANSWERS | REVERSE, "own-zone": ANSWERS}


@pytest.fixture(scope="module")
def cluster(real_cluster: RealCluster) -> RealCluster:
    """The API server with our content, and a ServiceAccount that may not read Services until a test says so."""
    real_cluster.create_all(content())
    real_cluster.kubectl("create", "serviceaccount", SPACE, f"--namespace={SPACE}")
    for role, resources in (("front-required", REQUIRED), ("front-optional", OPTIONAL)):
        real_cluster.kubectl("create", "clusterrole", role, "--verb=list,watch", f"--resource={resources}")
    grant(real_cluster, "front-optional")
    return real_cluster


def grant(cluster: RealCluster, role: str) -> None:
    """Give the ServiceAccount the rights of *role*."""
    account = f"--serviceaccount={SPACE}:{SPACE}"
    cluster.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", account)


@contextlib.contextmanager
def front_with(file: str, cluster: RealCluster) -> Iterator[Front]:
    try:
        find("coredns")
    except PeerMissingError as error:
        skip_or_fail(str(error))
    flags = ["--ttl", "1", "--cluster-ip-ttl", "1", "--reverse", "10.0.0.0/8", "--reverse", "fd00::/8"]
    with Front(file, ZONES[file], cluster.kubeconfig, *flags) as front:
        wait_until(lambda: who_answers(front) == OURS, "CoreDNS to hand on our answer", deadline_s=15)
        yield front


@pytest.fixture(scope="module")
def cluster_zone(cluster: RealCluster) -> Iterator[Front]:
    with front_with("cluster-zone", cluster) as front:
        yield front


@pytest.fixture(scope="module")
def own_zone(cluster: RealCluster) -> Iterator[Front]:
    with front_with("own-zone", cluster) as front:
        yield front


@pytest.fixture(params=ROWS)
def front(request: pytest.FixtureRequest) -> Front:
    """Each of the two variants."""
    found: Front = request.getfixturevalue(request.param.replace("-", "_"))
    return found


def filled_in(row: tuple[str, str, str, list[str]], front: Front) -> tuple[str, str, Answer]:
    """Return name, type and answer of *row* for the variant of *front*."""
    file = next(file for file, zone in ZONES.items() if zone == front.zone)
    name, qtype, rcode, records = row
    fill = [text.replace("ZONE", front.zone).replace("FILE", file) for text in (name, *records)]
    return fill[0], qtype, (rcode, sorted(fill[1:]))


def who_answers(front: Front) -> set[str]:
    """Return the weights of SRV records, which tell: `OURS` or `ITS_OWN`."""
    return weights(front.query(SRV_NAME.replace("ZONE", front.zone), "SRV"))


# ---- while all is well


@pytest.mark.parametrize("tcp", TRANSPORTS)
@pytest.mark.parametrize(
    ("variant", "row"), [pytest.param(file, row, id=f"{file}-{row}") for file, rows in ROWS.items() for row in rows]
)
def test_coredns_hands_on_our_answer(variant: str, row: str, tcp: bool, request: pytest.FixtureRequest) -> None:
    """CoreDNS answers with our RCODE and our records."""
    front = request.getfixturevalue(variant.replace("-", "_"))
    name, qtype, answer = filled_in(ROWS[variant][row], front)
    assert front.ask(name, qtype, tcp=tcp) == answer


@pytest.mark.parametrize("row", [row for row in ANSWERS if row.startswith(("NXDOMAIN", "NODATA"))])
def test_a_denial_comes_with_soa(front: Front, row: str) -> None:
    """What is not there is denied with the SOA of our zone, which may be remembered for a second at most."""
    name, qtype, (rcode, _) = filled_in(ANSWERS[row], front)
    response = front.query(name, qtype)
    assert dns.rcode.to_text(response.rcode()) == rcode
    (soa,) = response.authority
    assert (soa.name.to_text(), soa.rdtype) == (f"{front.zone}.", dns.rdatatype.SOA)
    assert soa.ttl <= 1


def test_targets_come_along(front: Front) -> None:
    """The additional section that CoreDNS hands on has the addresses of the SRV targets."""
    response = front.query(SRV_NAME.replace("ZONE", front.zone), "SRV")
    glue = {(rrset.name.to_text(), str(rdata)) for rrset in response.additional for rdata in rrset}
    assert (f"web-0.web.front.svc.{front.zone}.", "10.20.0.1") in glue
    assert (f"web-0.web.front.svc.{front.zone}.", "fd00:20::1") in glue
    assert len(glue) == 6


def test_answers_are_kept_for_their_ttl(front: Front) -> None:
    """CoreDNS' cache takes our answers and our denials."""
    for row in ("A of a pod", "NXDOMAIN of a pod"):
        name, qtype, answer = filled_in(ANSWERS[row], front)
        before = front.metric("coredns_cache_hits_total")
        for _ in range(6):
            assert front.ask(name, qtype) == answer
        # Of six in a row one or two may fall to the end of a second.
        assert front.metric("coredns_cache_hits_total") - before >= 4


def test_a_new_pod_is_found_soon(cluster: RealCluster, cluster_zone: Front, own_zone: Front) -> None:
    """A name that was denied a moment ago, and is in CoreDNS' cache, is found when TTL and cache time have passed."""
    fronts = (cluster_zone, own_zone)
    for front in fronts:
        assert front.ask(f"late-0.late.front.svc.{front.zone}", "A") == ("NXDOMAIN", [])
    owner = headless(SPACE, "late", [port(80, "http")], selector=None)
    cluster.create(endpoint_slice(owner, "1", [endpoint("10.23.0.1", "late-0", ready=True)], [port(80, "http")]))
    for front in fronts:
        wait_until(
            lambda front=front: front.ask(f"late-0.late.front.svc.{front.zone}", "A") == ("NOERROR", ["A 10.23.0.1"]),
            "the new pod",
            deadline_s=4,
        )


# ---- sizes and letters


@pytest.mark.parametrize("qtype", ["A", "SRV"])
@pytest.mark.parametrize(
    ("payload", "limit"), [pytest.param(None, 512, id="no EDNS"), pytest.param(1232, 1232, id="EDNS 1232")]
)
def test_what_is_too_large_is_asked_again_over_tcp(front: Front, qtype: str, payload: int | None, limit: int) -> None:
    """A client that cannot take the answer over UDP gets TC and no more octets than it takes, and all over TCP."""
    response = front.query(f"big.front.svc.{front.zone}", qtype, payload=payload)
    assert response.flags & dns.flags.TC
    assert len(response.to_wire()) <= limit
    response = front.query(f"big.front.svc.{front.zone}", qtype, payload=payload, tcp=True)
    assert not response.flags & dns.flags.TC
    assert len(said(response)[1]) == BIG


def test_a_client_with_a_large_buffer_gets_all_over_udp(front: Front) -> None:
    """CoreDNS fetches over TCP what we would not send over UDP, for a client that can take it."""
    response = front.query(f"big.front.svc.{front.zone}", "A", payload=4096)
    assert not response.flags & dns.flags.TC
    assert len(said(response)[1]) == BIG


@pytest.mark.parametrize("tcp", TRANSPORTS)
def test_letter_case_is_kept(front: Front, tcp: bool) -> None:
    """The question comes back in the letters it was asked in, from us and from CoreDNS' cache; so does a denial."""
    for label, answer in (("wEb-1", ("NOERROR", ["A 10.20.0.2"])), ("WeB-9", ("NXDOMAIN", NOTHING))):
        for name in (f"{label}.WEB.fRont.sVc.{front.zone}.", f"{label}.web.FRONT.svc.{front.zone.upper()}."):
            response = front.query(name, "A", tcp=tcp)
            assert response.question[0].name.to_text() == name
            assert said(response) == answer


def test_options_of_clients_do_no_harm(front: Front) -> None:
    """What `dig` sends by itself, a cookie, and an option that nobody knows are no reason for another answer."""
    options = [dns.edns.CookieOption(bytes(range(8)), b""), dns.edns.GenericOption(65001, b"?")]
    response = front.query(f"web-0.web.front.svc.{front.zone}", "AAAA", options=options)
    assert said(response) == ("NOERROR", ["AAAA fd00:20::1"])
    assert 65001 not in [option.otype for option in response.options]


@pytest.mark.parametrize("tcp", TRANSPORTS)
def test_the_health_probe_of_a_forwarder_is_answered(front: Front, tcp: bool) -> None:
    """`. NS` with RD set, by which CoreDNS asks whether we are alive, is answered at once."""
    send = dns.query.tcp if tcp else dns.query.udp
    probe = dns.message.make_query(".", "NS")
    response = send(probe, "127.0.0.1", port=front.port, timeout=0.5)
    assert response.rcode() == dns.rcode.REFUSED


# ---- when we are down


def ask_round(front: Front) -> None:
    """Ask for every name of the cluster's zone at once, half of them over TCP.

    Each has to be answered in time and rightly, but for the weights of SRV records.
    """
    asked = [filled_in(row, front) for row in ROWS["cluster-zone"].values()]
    transports = [bool(number % 2) for number in range(len(asked))]
    with ThreadPoolExecutor(len(asked)) as pool:
        names, qtypes, answers = zip(*asked, strict=True)
        replies = list(pool.map(partial(timed, front), names, qtypes, transports))
    for name, qtype, (rcode, records), (found, found_records, took_s) in zip(
        names, qtypes, answers, replies, strict=True
    ):
        assert (name, qtype, found, even(found_records)) == (name, qtype, rcode, even(records))
        assert took_s <= PATIENCE_S, f"{name} {qtype} took {took_s:.1f} s"


def even(records: list[str]) -> list[str]:
    """Return *records* with SRV records left without priority and weight."""
    return [" ".join(("SRV", *record.split()[3:])) if record.startswith("SRV ") else record for record in records]


def ask_until(front: Front, wanted: set[str], deadline_s: float) -> None:
    """Ask round after round until SRV records have the weights *wanted*, and once more."""

    def is_there() -> bool:
        ask_round(front)
        return who_answers(front) == wanted

    wait_until(is_there, f"SRV records with a weight of {wanted}", deadline_s)
    ask_round(front)


def test_when_we_are_killed_coredns_answers_itself(cluster_zone: Front) -> None:
    """Every name is answered within 3 s from the moment that our server is killed, and by us when it is back."""
    ask_until(cluster_zone, OURS, deadline_s=10)
    cluster_zone.kill()
    try:
        ask_until(cluster_zone, ITS_OWN, deadline_s=10)
    finally:
        cluster_zone.stop()
        cluster_zone.wait_port_free()
        cluster_zone.start()
    ask_until(cluster_zone, OURS, deadline_s=10)


def test_when_we_hang_coredns_answers_itself(cluster_zone: Front) -> None:
    """Every name is answered within 3 s while our processes take packets and say nothing, and by us afterwards."""
    ask_until(cluster_zone, OURS, deadline_s=10)
    pids = [cluster_zone.serve.process.pid, *children(cluster_zone.serve.process.pid)]
    assert len(pids) == 3  # a UDP worker and the stream worker
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        ask_until(cluster_zone, ITS_OWN, deadline_s=15)
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    ask_until(cluster_zone, OURS, deadline_s=15)


def children(pid: int) -> list[int]:
    """Return the processes that the main thread of *pid* started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_while_we_are_not_ready_coredns_answers_itself(cluster: RealCluster, cluster_zone: Front) -> None:
    """As long as we may not list Services we say SERVFAIL with EDE 14, and CoreDNS answers; then we do."""
    cluster_zone.stop()
    cluster_zone.wait_port_free()
    cluster_zone.start(cluster.service_account_kubeconfig(SPACE, SPACE))
    try:
        name = f"web-0.web.front.svc.{cluster_zone.zone}"
        assert cluster_zone.ours_says(name, "A") == ("SERVFAIL", [14])
        ask_until(cluster_zone, ITS_OWN, deadline_s=10)
        assert cluster_zone.ours_says(name, "A") == ("SERVFAIL", [14])
        grant(cluster, "front-required")
        ask_until(cluster_zone, OURS, deadline_s=40)
    finally:
        cluster_zone.stop()
        cluster_zone.wait_port_free()
        cluster_zone.start()


def test_a_zone_of_our_own_fails_at_once_and_comes_back(own_zone: Front) -> None:
    """While we are down names of the own zone are SERVFAIL without a wait, and answered soon after our return."""
    name, qtype, answer = filled_in(ANSWERS["A of a pod"], own_zone)
    own_zone.kill()
    try:
        own_zone.wait_port_free()
        wait_until(lambda: own_zone.ask(name, qtype) != answer, "what CoreDNS kept to be over", deadline_s=5)
        rcode, _, took_s = timed(own_zone, name, qtype, tcp=False)
        assert rcode == "SERVFAIL"
        assert took_s < 1
    finally:
        own_zone.stop()
        own_zone.start()
    wait_until(lambda: own_zone.ask(name, qtype) == answer, "our answer", deadline_s=5)
