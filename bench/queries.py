"""CPU per query beside Knot DNS and CoreDNS, in one run: ``make bench``.

Every server has the same 20,070 endpoints: 100 headless Services of 100 pods, 10 of 1,000 and one of 70. Ours reads
manifests, Knot a zone file, CoreDNS' ``kubernetes`` plugin a real kube-apiserver. Server and load generator have a core
each; the load generator is dnsperf. CPU is what all processes of a server used between the first and the last query, by
/proc, divided by the queries that were answered.
Nothing is asserted about speed, only that every answer holds as many records as it should.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dns.message
import dns.query
import dns.rcode

from tests.coredns.server import PEER, CoreDNS
from tests.peers.process import Process, free_port
from tests.realcluster.cluster import RealCluster

NAMESPACE = "bench"
SERVICES, PODS, LARGE_SERVICES, LARGE_PODS, SEVENTY = 100, 100, 10, 1000, 70
ZONE = "cluster.local"
_COMPLETED = re.compile(r"Queries completed:\s+(\d+)")
_RATE = re.compile(r"Queries per second:\s+([\d.]+)")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Case(NamedTuple):
    """One kind of query."""

    name: str
    queries: list[str]
    answers: int
    rcode: str = "NOERROR"
    options: tuple[str, ...] = ()


class Figure(NamedTuple):
    """What one server did in one case."""

    user_us: float
    system_us: float
    rate: float

    @property
    def cpu_us(self) -> float:
        return self.user_us + self.system_us


def services() -> Iterator[tuple[str, list[str]]]:
    """Yield each Service with the addresses of its pods in the order of their ordinals."""
    for number in range(SERVICES):
        yield f"svc-{number}", [f"10.{number}.0.{pod}" for pod in range(PODS)]
    for number in range(LARGE_SERVICES):
        yield f"large-{number}", [f"10.{100 + number}.{pod // 250}.{pod % 250}" for pod in range(LARGE_PODS)]
    yield "seventy", [f"10.200.0.{pod}" for pod in range(SEVENTY)]


def manifests() -> list[dict[str, Any]]:
    """Return the cluster's objects."""
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    for name, addresses in services():
        metadata = {"name": name, "namespace": NAMESPACE}
        ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
        spec = {"clusterIP": "None", "ports": ports}
        objects.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        objects.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": [
                    {"addresses": [address], "hostname": f"web-{pod}", "conditions": {"ready": True}}
                    for pod, address in enumerate(addresses)
                ],
            }
        )
    return objects


def zone_file() -> str:
    """Return the same content as a master file."""
    lines = [
        f"$ORIGIN {ZONE}.",
        "$TTL 5",
        "@ SOA ns.dns hostmaster 1 7200 1800 86400 5",
        "@ NS ns.dns",
        "ns.dns A 127.0.0.1",
    ]
    for name, addresses in services():
        owner = f"{name}.{NAMESPACE}.svc"
        for pod, address in enumerate(addresses):
            lines.append(f"{owner} A {address}")
            lines.append(f"web-{pod}.{owner} A {address}")
            lines.append(f"_http._tcp.{owner} SRV 0 100 80 web-{pod}.{owner}")
    return "\n".join(lines) + "\n"


def cases() -> list[Case]:
    """Return what is asked."""
    owners = [f"{name}.{NAMESPACE}.svc.{ZONE}" for name, addresses in services() if len(addresses) == PODS]
    pods = [f"web-{pod}.{owner}" for owner in owners for pod in range(PODS)]
    large = [f"large-{number}.{NAMESPACE}.svc.{ZONE}" for number in range(LARGE_SERVICES)]
    tcp = ("-m", "tcp")
    return [
        Case("1 A, Services of 100", [f"{pod} A" for pod in pods], 1),
        Case("1 A, Services of 1,000", [f"web-{pod}.{owner} A" for owner in large for pod in range(LARGE_PODS)], 1),
        Case("NXDOMAIN", [f"no-{pod} A" for pod in pods], 0, "NXDOMAIN"),
        Case("AAAA NODATA", [f"{pod} AAAA" for pod in pods], 0),
        Case("70 A, EDNS 1232", [f"seventy.{NAMESPACE}.svc.{ZONE} A"], 70, options=("-e", "-b", "1232")),
        Case("100 A, TCP", [f"{owner} A" for owner in owners], 100, options=tcp),
        Case("100 SRV, TCP", [f"_http._tcp.{owner} SRV" for owner in owners], 100, options=tcp),
    ]


def descendants(pid: int) -> list[int]:
    """Return *pid* and its children; a server has no deeper family."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_ticks(pid: int) -> tuple[int, int]:
    """Return the user and system time of a server so far, in clock ticks."""
    user = system = 0
    for one in descendants(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user, system = user + int(fields[11]), system + int(fields[12])
    return user, system


def check(port: int, case: Case) -> None:
    """See that the first query of *case* is answered as it should be.

    Raises:
        SystemExit: It is not: the figures would compare different work.
    """
    name, _, qtype = case.queries[0].partition(" ")
    query = dns.message.make_query(name, qtype, use_edns=0 if case.options[:1] == ("-e",) else -1, payload=1232)
    ask = dns.query.tcp if "tcp" in case.options else dns.query.udp
    response = ask(query, "127.0.0.1", port=port, timeout=5)
    count = sum(len(rrset) for rrset in response.answer)
    rcode = dns.rcode.to_text(response.rcode())
    if (count, rcode) != (case.answers, case.rcode):
        sys.exit(f"{case.name}: expected {case.answers} records and {case.rcode}, got {count} and {rcode}")


def measure(port: int, pid: int, case: Case, seconds: float, folder: Path) -> Figure:
    """Put *case* to a server for *seconds* and return what it cost."""
    check(port, case)
    file = folder / "queries"
    file.write_text("\n".join(case.queries) + "\n")
    for one in descendants(pid):
        subprocess.run(["taskset", "-a", "-p", "-c", "0", str(one)], check=True, capture_output=True)
    before = cpu_ticks(pid)
    command = ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(file), "-q", "100"]
    run = subprocess.run([*command, "-l", str(seconds), *case.options], check=True, capture_output=True, text=True)
    after = cpu_ticks(pid)
    completed, rate = _COMPLETED.search(run.stdout), _RATE.search(run.stdout)
    if not completed or not rate or int(completed[1]) == 0:
        sys.exit(f"{case.name}: dnsperf completed nothing:\n{run.stdout}{run.stderr}")
    user, system = (
        1e6 * (end - start) / _TICKS_PER_S / int(completed[1]) for end, start in zip(after, before, strict=True)
    )
    return Figure(user, system, float(rate[1]))


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[tuple[int, int]]:
    """Run our server and yield its port and process id."""
    file = folder / "bench.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests()}))
    port = free_port()
    command = [sys.executable, "-m", "headlessdns", "serve", "--manifests", str(file), "--listen", f"127.0.0.1:{port}"]
    process = Process([*command, "--http", "off"], folder / "headlessdns.log")
    with running(process, port):
        yield port, process.pid


@contextlib.contextmanager
def knot(folder: Path) -> Iterator[tuple[int, int]]:
    """Run Knot DNS with one UDP and one TCP worker and yield its port and process id."""
    port = free_port()
    (folder / "zone").write_text(zone_file())
    (folder / "knot.conf").write_text(
        f"""\
server:
    rundir: {folder}
    user: {os.environ.get("USER") or "root"}
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-idle-timeout: 30
database:
    storage: {folder / "db"}
zone:
  - domain: {ZONE}
    file: {folder / "zone"}
    zonefile-sync: -1
    journal-content: none
"""
    )
    process = Process(["knotd", "-c", str(folder / "knot.conf")], folder / "knot.log")
    with running(process, port):
        yield port, process.pid


@contextlib.contextmanager
def coredns() -> Iterator[tuple[int, int]]:
    """Run CoreDNS on a real API server and yield its port and process id."""
    with RealCluster(controllers=()) as cluster:
        cluster.create_all(manifests())
        with CoreDNS(PEER, kubeconfig=cluster.kubeconfig) as server:
            yield server.port, server.process.pid


@contextlib.contextmanager
def running(process: Process, port: int) -> Iterator[None]:
    """Run *process* until its last Service is answered, and stop it in the end."""
    query = dns.message.make_query(f"seventy.{NAMESPACE}.svc.{ZONE}", "A")

    def answers() -> bool:
        try:
            return dns.query.udp(query, "127.0.0.1", port=port, timeout=0.5).rcode() == dns.rcode.NOERROR
        except (OSError, dns.exception.DNSException):
            return False

    process.start()
    try:
        process.wait_ready(answers, deadline_s=30)
        yield
    finally:
        process.stop()


def table(figures: dict[str, dict[str, Figure]], peers: Sequence[str]) -> str:
    """Return the figures as a Markdown table: microseconds of CPU per query, and queries per second."""
    names = ["headlessdns", *peers]
    head = ["query", *(f"{name}: user + sys us, qps" for name in names), *(f"ours / {peer}" for peer in peers)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for case, by_server in figures.items():
        cells = [case]
        for name in names:
            one = by_server[name]
            cells.append(f"{one.user_us:.1f} + {one.system_us:.1f}, {one.rate:,.0f}")
        cells += [f"{by_server['headlessdns'].cpu_us / by_server[peer].cpu_us:.2f}" for peer in peers]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure every case on every server and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many; the servers take turns")
    parser.add_argument("--without-coredns", action="store_true", help="spare the API server")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Figure]] = {case.name: {} for case in cases()}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headlessdns-bench-")))
        servers = {"headlessdns": stack.enter_context(ours(folder)), "Knot": stack.enter_context(knot(folder))}
        if not arguments.without_coredns:
            servers["CoreDNS"] = stack.enter_context(coredns())
        for _ in range(arguments.rounds):
            for case in cases():
                for name, (port, pid) in servers.items():
                    figure = measure(port, pid, case, arguments.seconds, folder)
                    best = figures[case.name].get(name)
                    if best is None or figure.cpu_us < best.cpu_us:
                        figures[case.name][name] = figure
    print(table(figures, [name for name in servers if name != "headlessdns"]))


if __name__ == "__main__":
    main()
