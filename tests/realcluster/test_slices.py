"""The lab's EndpointSlices and Endpoints beside those of the real kube-controller-manager, on a real API server each.

Every step is done on both; `settle` says what slices are to hold then, and looks whether both sides are equal in all
that can be equal on two clusters.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from headlessdns.cluster.client import connect
from headlessdns.lab.endpoints import EndpointController
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import NODE, RealCluster

Json = dict[str, Any]

ZONED_NODE = "node-2"  # in zone-b
REFERENCE = (
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "endpoints-controller",
    "garbage-collector-controller",
)
MERGE_PATCH = "application/merge-patch+json"
DEADLINE_S = 20.0
T1, T2, T3, T4 = (f"2026-01-01T00:0{minute}:00Z" for minute in range(1, 5))
OF_THE_SERVER = ("uid", "name", "namespace", "resourceVersion", "generation", "creationTimestamp", "managedFields")
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"

numbers = itertools.count(1)


class Running:
    """Our controller beside the test, in a thread of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(),))

    def __enter__(self) -> Running:
        self._thread.start()
        self._started.result(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(timeout=30)
        self._loop.close()

    async def _main(self) -> None:
        client = await connect(self._kubeconfig)
        try:
            controller = EndpointController(client)
            self._task = asyncio.create_task(controller.run())
            await controller.started.wait()
            self._started.set_result(None)
            with suppress(asyncio.CancelledError):
                await self._task
        finally:
            await client.close()


class Side:
    """One namespace of one cluster, and what became of it."""

    def __init__(self, cluster: RealCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def path(self, plural: str, name: str = "") -> str:
        root = "/apis/discovery.k8s.io/v1" if plural == "endpointslices" else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def request(self, method: str, plural: str, name: str = "", body: Json | None = None) -> Json:
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        answer: Json = self.cluster.request(method, self.path(plural, name), body, content_type=kind)
        return answer

    def all(self, plural: str) -> list[Json]:
        items: list[Json] = self.request("GET", plural)["items"]
        return items

    def slices(self) -> list[Json]:
        return self.all("endpointslices")

    def summary(self) -> list[str]:
        """Return a line for each endpoint: `NAME ADDRESSES PORTS CONDITIONS`."""
        return sorted(line for one in self.slices() for line in summary_of(one))

    def outcome(self, *, with_times: bool) -> Json:
        """Return all that can be equal on two clusters."""
        services = self.all("services")
        names = {
            one["metadata"]["uid"]: f"{kind} {one['metadata']['name']}"
            for kind, items in (
                ("Service", services),
                ("Pod", self.all("pods")),
                ("Endpoints", self.all("endpoints")),
            )
            for one in items
        }
        born = {one["metadata"]["creationTimestamp"] for one in services} if with_times else None
        plain = [self._plain_slice(one, names, born) for one in self.slices()]
        endpoints = [
            in_order({"ports": one["ports"], "family": one["addressType"], "endpoint": endpoint})
            for one in plain
            for endpoint in one["endpoints"]
        ]
        return {
            "heads": in_order([one["metadata"] for one in plain]),
            "endpoints": sorted(endpoints, key=repr),
            "slices": sorted(plain, key=repr),
            "Endpoints": [self._plain_endpoints(one, names, born) for one in self.all("endpoints")],
        }

    def _plain_slice(self, one: Json, names: dict[str, str], born: set[str] | None) -> Json:
        endpoints = [self._with_plain_ref(endpoint, names) for endpoint in one["endpoints"] or ()]
        return {
            "metadata": self._plain_metadata(one["metadata"], names, born),
            "addressType": one["addressType"],
            "ports": in_order(one["ports"] or []),
            "endpoints": in_order(endpoints),
        }

    def _plain_endpoints(self, one: Json, names: dict[str, str], born: set[str] | None) -> Json:
        subsets = [
            {
                "ports": subset.get("ports", []),
                "ready": [self._with_plain_ref(address, names) for address in subset.get("addresses", ())],
                "not": [self._with_plain_ref(address, names) for address in subset.get("notReadyAddresses", ())],
            }
            for subset in one.get("subsets") or ()
        ]
        metadata = {"name": one["metadata"]["name"], **self._plain_metadata(one["metadata"], names, born)}
        return {"metadata": metadata, "subsets": in_order(subsets)}

    def _with_plain_ref(self, one: Json, names: dict[str, str]) -> Json:
        ref = one.get("targetRef")
        if ref is None:
            return one
        assert ref["namespace"] == self.namespace
        ref = {**ref, "uid": names.get(ref["uid"], "of another object"), "namespace": "ours"}
        return {**one, "targetRef": ref}

    def _plain_metadata(self, metadata: Json, names: dict[str, str], born: set[str] | None) -> Json:
        plain = {key: value for key, value in metadata.items() if key not in OF_THE_SERVER}
        owners = plain.pop("ownerReferences", [])
        if any(owner["kind"] == "Endpoints" for owner in owners):
            plain.pop("generateName", None)  # of a slice that repeats them the reference wipes it with its first update
        annotations = dict(plain.pop("annotations", {}))
        if born is None:
            annotations.pop(TRIGGERED, None)
        elif annotations.get(TRIGGERED) in born:
            annotations[TRIGGERED] = "when the Service was made"
        return {
            **plain,
            "annotations": annotations,
            "owners": [{**owner, "uid": names.get(owner["uid"], "of another object")} for owner in owners],
        }


def together(outcome: Json) -> Json:
    """Return an outcome without its slices: what they hold together, and the different heads that they have."""
    heads = [head for number, head in enumerate(outcome["heads"]) if head not in outcome["heads"][:number]]
    return {"heads": heads, "endpoints": outcome["endpoints"], "Endpoints": outcome["Endpoints"]}


def summary_of(one: Json) -> list[str]:
    ports = ",".join(sorted(f"{port['name']}={port['port']}/{port['protocol']}" for port in one["ports"] or ()))
    return [
        " ".join(
            [
                endpoint.get("hostname", "-"),
                ",".join(endpoint["addresses"]),
                ports or "-",
                *(name for name, value in endpoint["conditions"].items() if value),
            ]
        )
        for endpoint in one["endpoints"] or ()
    ]


def in_order(value: Any) -> Any:
    """Return JSON in which no order counts."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return sorted((in_order(one) for one in value), key=repr)
    return value


class Both:
    """The same namespace under the reference and under our controller."""

    def __init__(self, reference: RealCluster, ours: RealCluster) -> None:
        name = f"slices-{next(numbers)}"
        self.reference = Side(reference, name)
        self.ours = Side(ours, name)
        self.sides = (self.reference, self.ours)

    def do(self, method: str, plural: str, name: str = "", body: Json | None = None) -> None:
        for side in self.sides:
            side.request(method, plural, name, body)

    def service(self, name: str = "nginx", *, labels: Json | None = None, **spec: Any) -> None:
        """Create a Service that selects app=NAME; it is headless unless *spec* says otherwise."""
        spec = {"clusterIP": "None", "selector": {"app": name}, **spec}
        metadata = {"name": name, "labels": labels or {}}
        self.do("POST", "services", "", {"kind": "Service", "metadata": metadata, "spec": spec})

    def edit(self, plural: str, name: str, **changes: Any) -> None:
        self.do("PATCH", plural, name, changes)

    def pod(self, name: str, number: int, *, ready: str = "", app: str = "nginx", **fields: Any) -> None:
        """Create a pod with the address 10.244.0.NUMBER; *ready* is since when it is so."""
        for side in self.sides:
            create_pod(side, name, number, ready, app, **fields)

    def pods(self, made: Iterable[int]) -> None:
        """Create pods that are ready."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            jobs = [(side, number) for number in made for side in self.sides]
            list(pool.map(lambda job: create_pod(job[0], f"web-{job[1]}", job[1], T1, "nginx"), jobs))

    def remove(self, removed: Iterable[int]) -> None:
        """Delete pods at once."""
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        with ThreadPoolExecutor(max_workers=8) as pool:
            jobs = [(side, number) for number in removed for side in self.sides]
            list(pool.map(lambda job: job[0].request("DELETE", "pods", f"web-{job[1]}", now), jobs))

    def status(self, name: str, number: int, *, ready: bool, since: str, phase: str = "Running") -> None:
        body = {"status": status(number, since if ready else "", since, phase)}
        for side in self.sides:
            path = side.path("pods", f"{name}/status")
            side.cluster.request("PATCH", path, body, content_type=MERGE_PATCH)

    def settle(self, *lines: str, with_times: bool = False) -> Json:
        """Wait until slices say so on both sides, and both are equal; return the outcome.

        Equal times of changes can be asked for where one change came at a time: the reference forgets them when it
        has to try again, which is chance.
        """
        return self.wait(lambda side: side.summary() == sorted(lines), repr(lines), with_times=with_times)

    def settle_gone(self) -> Json:
        """Wait until nothing is left on either side."""
        return self.wait(lambda side: not side.slices() and not side.all("endpoints"), "nothing")

    def settle_count(self, endpoints: int) -> Json:
        """Wait until slices have that many endpoints on both sides, and hold the same together.

        How more than one slice's worth is distributed depends on what came at once.
        """
        return self.wait(lambda side: len(side.summary()) == endpoints, f"{endpoints} endpoints", take=together)

    def wait(
        self,
        is_right: Callable[[Side], bool],
        what: str,
        *,
        take: Callable[[Json], Json] = lambda outcome: outcome,
        with_times: bool = False,
    ) -> Json:
        """Wait until it *is_right* on both sides, and what we *take* of both outcomes is equal; return ours."""
        outcomes: list[Json] = []

        def check() -> bool:
            if not all(is_right(side) for side in self.sides):
                return False
            outcomes[:] = [take(side.outcome(with_times=with_times)) for side in self.sides]
            return outcomes[0] == outcomes[1]

        try:
            wait_until(check, what, DEADLINE_S)
        except TimeoutError:
            if not outcomes:
                reference, ours = (side.summary() for side in self.sides)
                pytest.fail(f"wanted {what}\nthe reference {reference}\nours          {ours}")
            assert outcomes[1] == outcomes[0]
        return outcomes[1]


def status(number: int, ready: str, since: str, phase: str = "Running", ip6: bool = True) -> Json:
    high, low = divmod(number, 250)
    return {
        "phase": phase,
        "podIP": f"10.244.{high}.{low}",
        "podIPs": [{"ip": f"10.244.{high}.{low}"}, *([{"ip": f"fd00:244::{number:x}"}] if ip6 else [])],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}],
    }


def create_pod(side: Side, name: str, number: int, ready: str, app: str, **fields: Any) -> None:
    ports = fields.pop("ports", [{"name": "web", "containerPort": 80}])
    container = {"name": "main", "image": "nginx:1", "ports": ports}
    spec = {
        "nodeName": NODE,
        "hostname": name,
        "subdomain": "nginx",
        "terminationGracePeriodSeconds": 600,  # longer than any test: nobody ends pods here but the test
        "containers": [container],
        **fields,
    }
    side.request("POST", "pods", "", {"kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": spec})
    body = {"status": status(number, ready, ready or T1)}
    side.cluster.request("PATCH", side.path("pods", f"{name}/status"), body, content_type=MERGE_PATCH)


@pytest.fixture(scope="module")
def clusters() -> Iterator[tuple[RealCluster, RealCluster]]:
    """A control plane with the reference, and one with our controller in its place."""
    try:
        reference, ours = RealCluster(REFERENCE), RealCluster(("garbage-collector-controller",))
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with reference, ours, Running(ours.kubeconfig):
        for cluster in (reference, ours):
            labels = {"topology.kubernetes.io/zone": "zone-b"}
            cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": ZONED_NODE, "labels": labels}})
        yield reference, ours


@pytest.fixture
def both(clusters: tuple[RealCluster, RealCluster]) -> Both:
    return Both(*clusters)


WEB = [{"name": "http", "port": 80, "targetPort": "web"}]


def test_pods_come_and_go(both: Both) -> None:
    """A pod is in the slices from its address to its end, with what it says about itself at each moment."""
    both.service(ports=WEB, labels={"app": "nginx", "tier": "front"})
    both.settle(with_times=True)
    assert len(both.ours.slices()) == 1
    both.pod("web-0", 1)
    both.settle("web-0 10.244.0.1 http=80/TCP", with_times=True)
    both.status("web-0", 1, ready=True, since=T2)
    outcome = both.settle("web-0 10.244.0.1 http=80/TCP ready serving", with_times=True)
    assert outcome["slices"] == [
        {
            "metadata": {
                "generateName": "nginx-",
                "labels": {
                    "app": "nginx",
                    "tier": "front",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    "kubernetes.io/service-name": "nginx",
                    "service.kubernetes.io/headless": "",
                },
                "annotations": {TRIGGERED: T2},
                "owners": [
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "name": "nginx",
                        "uid": "Service nginx",
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "endpoints": [
                {
                    "addresses": ["10.244.0.1"],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                    "hostname": "web-0",
                    "nodeName": NODE,
                    "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "ours", "uid": "Pod web-0"},
                }
            ],
        }
    ]
    both.pod("web-1", 2, ready=T3, nodeName=ZONED_NODE)
    outcome = both.settle(
        "web-0 10.244.0.1 http=80/TCP ready serving", "web-1 10.244.0.2 http=80/TCP ready serving", with_times=True
    )
    assert [one.get("zone") for one in outcome["slices"][0]["endpoints"]] == [None, "zone-b"]
    both.status("web-0", 1, ready=False, since=T4)
    both.settle("web-0 10.244.0.1 http=80/TCP", "web-1 10.244.0.2 http=80/TCP ready serving", with_times=True)
    both.do("DELETE", "pods", "web-1")
    both.settle("web-0 10.244.0.1 http=80/TCP", "web-1 10.244.0.2 http=80/TCP serving terminating", with_times=True)
    both.remove([1])
    both.settle("web-0 10.244.0.1 http=80/TCP", with_times=True)
    both.status("web-0", 1, ready=True, since=T4)
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving", with_times=True)
    both.status("web-0", 1, ready=False, since=T4, phase="Failed")
    both.settle(with_times=True)


def test_host_names_are_given_in_the_governing_service_only(both: Both) -> None:
    """A pod has its host name in the Service that its subdomain names, and in no other that selects it."""
    both.service(ports=WEB)
    both.service("other", selector={"app": "nginx"}, ports=WEB)
    both.pod("web-0", 1, ready=T1)
    both.pod("web-1", 2, ready=T1, hostname="")
    both.settle(
        "web-0 10.244.0.1 http=80/TCP ready serving",
        "- 10.244.0.1 http=80/TCP ready serving",
        "- 10.244.0.2 http=80/TCP ready serving",
        "- 10.244.0.2 http=80/TCP ready serving",
    )


def test_a_service_is_edited(both: Both) -> None:
    """Labels, ports, selector and publishNotReadyAddresses of a Service are in its slices and Endpoints."""
    both.service(ports=WEB, labels={"tier": "front"})
    both.pod("web-0", 1)
    both.pod("web-1", 2, ready=T1)
    both.settle("web-0 10.244.0.1 http=80/TCP", "web-1 10.244.0.2 http=80/TCP ready serving")
    both.edit("services", "nginx", metadata={"labels": {"tier": None, "team": "a"}})
    outcome = both.wait(lambda side: side.slices()[0]["metadata"]["labels"].get("team") == "a", "the new label")
    assert "tier" not in outcome["slices"][0]["metadata"]["labels"]
    both.edit("services", "nginx", spec={"publishNotReadyAddresses": True})
    both.settle("web-0 10.244.0.1 http=80/TCP ready", "web-1 10.244.0.2 http=80/TCP ready serving")
    both.do("DELETE", "pods", "web-1")
    both.settle("web-0 10.244.0.1 http=80/TCP ready", "web-1 10.244.0.2 http=80/TCP ready serving terminating")
    both.edit("services", "nginx", spec={"publishNotReadyAddresses": False})
    both.settle("web-0 10.244.0.1 http=80/TCP", "web-1 10.244.0.2 http=80/TCP serving terminating")
    both.edit("services", "nginx", spec={"ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9}]})
    both.settle(
        "web-0 10.244.0.1 http=8080/TCP,metrics=9/TCP",
        "web-1 10.244.0.2 http=8080/TCP,metrics=9/TCP serving terminating",
    )
    both.pod("db-0", 3, ready=T1, app="db")
    both.edit("services", "nginx", spec={"selector": {"app": "db"}})
    both.settle("db-0 10.244.0.3 http=8080/TCP,metrics=9/TCP ready serving")
    both.edit("pods", "web-0", metadata={"labels": {"app": "db"}})
    both.settle(
        "db-0 10.244.0.3 http=8080/TCP,metrics=9/TCP ready serving", "web-0 10.244.0.1 http=8080/TCP,metrics=9/TCP"
    )
    both.edit("services", "nginx", spec={"selector": None})
    both.status("web-0", 1, ready=True, since=T2)  # of no consequence any more
    both.service("db", ports=WEB)
    both.settle(
        "db-0 10.244.0.3 http=8080/TCP,metrics=9/TCP ready serving",
        "web-0 10.244.0.1 http=8080/TCP,metrics=9/TCP",
        "db-0 10.244.0.3 http=8080/TCP,metrics=9/TCP ready",  # the Endpoints stay, and are repeated
        "web-0 10.244.0.1 http=8080/TCP,metrics=9/TCP",
        "- 10.244.0.3 http=80/TCP ready serving",
        "- 10.244.0.1 http=80/TCP ready serving",
    )
    both.do("DELETE", "services", "nginx")
    both.do("DELETE", "services", "db")
    both.settle_gone()


def test_ports_are_looked_up_in_each_pod(both: Both) -> None:
    """Pods whose named ports have other numbers are in slices of their own; sidecars' ports count, missing ones not."""
    ports = [*WEB, {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP", "appProtocol": "example.com/d"}]
    sidecar = {
        "name": "side",
        "image": "s:1",
        "restartPolicy": "Always",
        "ports": [{"name": "dns", "containerPort": 5353, "protocol": "UDP"}],
    }
    both.service(ports=ports)
    both.pod("web-0", 1, ready=T1)
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving")
    both.pod("web-1", 2, ready=T1, ports=[{"name": "web", "containerPort": 8080}])
    both.pod("web-2", 3, ready=T1, initContainers=[sidecar])
    both.pod("web-3", 4, ready=T1, ports=[{"name": "dns", "containerPort": 1}])  # the name, but of TCP
    both.pod("web-4", 5, ready=T1)
    outcome = both.settle(
        "web-0 10.244.0.1 http=80/TCP ready serving",
        "web-1 10.244.0.2 http=8080/TCP ready serving",
        "web-2 10.244.0.3 dns=5353/UDP,http=80/TCP ready serving",
        "web-3 10.244.0.4 - ready serving",
        "web-4 10.244.0.5 http=80/TCP ready serving",
    )
    assert len(outcome["slices"]) == 4
    both.remove([1, 2, 3, 0])
    both.settle("web-4 10.244.0.5 http=80/TCP ready serving")


def test_a_headless_service_without_ports(both: Both) -> None:
    """A headless Service without ports has the addresses of its pods, ready or not."""
    both.service()
    both.settle()
    both.pod("web-0", 1, ready=T1)
    both.settle("web-0 10.244.0.1 - ready serving")
    both.pod("web-1", 2)
    both.settle("web-0 10.244.0.1 - ready serving", "web-1 10.244.0.2 -")
    both.remove([0, 1])
    both.settle()


def test_two_families(both: Both) -> None:
    """Each address family has slices of its own, and a Service that gives one up has them no more."""
    both.service(clusterIP="", ports=WEB)
    both.pod("web-0", 1, ready=T1)
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving")
    both.edit("services", "nginx", spec={"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]})
    outcome = both.settle("web-0 10.244.0.1 http=80/TCP ready serving", "web-0 fd00:244::1 http=80/TCP ready serving")
    assert [one["addressType"] for one in outcome["slices"]] == ["IPv4", "IPv6"]
    assert all("service.kubernetes.io/headless" not in one["metadata"]["labels"] for one in outcome["slices"])
    # It keeps its first family, and with it its cluster IP.
    for side in both.sides:
        one = side.request("GET", "services", "nginx")["spec"]
        spec = {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"], "clusterIPs": one["clusterIPs"][:1]}
        side.request("PATCH", "services", "nginx", {"spec": spec})
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving")


def test_a_headless_service_of_ipv6(both: Both) -> None:
    """A Service of IPv6 alone has the pods' second addresses, in slices and Endpoints."""
    both.service(ports=WEB, ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"])
    both.pod("web-0", 1, ready=T1)
    outcome = both.settle("web-0 fd00:244::1 http=80/TCP ready serving")
    assert [one["ip"] for one in outcome["Endpoints"][0]["subsets"][0]["ready"]] == ["fd00:244::1"]


@pytest.mark.parametrize("distribution", ["PreferClose", "PreferSameZone", "PreferSameNode"])
def test_traffic_distribution(both: Both, distribution: str) -> None:
    """Endpoints that are ready say for which zone or node they are, where the Service wants traffic to stay near."""
    both.service(clusterIP="", ports=WEB, trafficDistribution=distribution)
    both.pod("web-0", 1, ready=T1)
    both.pod("web-1", 2, ready=T1, nodeName=ZONED_NODE)
    both.pod("web-2", 3, nodeName=ZONED_NODE)
    lines = (
        "web-0 10.244.0.1 http=80/TCP ready serving",
        "web-1 10.244.0.2 http=80/TCP ready serving",
        "web-2 10.244.0.3 http=80/TCP",
    )
    outcome = both.settle(*lines)
    hints = [one.get("hints", {}) for one in outcome["slices"][0]["endpoints"]]
    of_node = distribution == "PreferSameNode"
    assert hints == [
        {"forNodes": [{"name": NODE}]} if of_node else {},
        {"forZones": [{"name": "zone-b"}]} | ({"forNodes": [{"name": ZONED_NODE}]} if of_node else {}),
        {},
    ]
    both.edit("services", "nginx", spec={"trafficDistribution": None})
    outcome = both.wait(lambda side: not any(one.get("hints") for one in side.slices()[0]["endpoints"]), "no hints")
    assert outcome["slices"][0]["endpoints"][0]["hostname"] == "web-0"


def test_a_pod_whose_node_does_not_exist(both: Both) -> None:
    """Such a pod is in no slice, unless the Service publishes all addresses; Endpoints have it in any case."""
    node = f"late-{next(numbers)}"
    both.service(ports=WEB)
    both.pod("web-0", 1, ready=T1, nodeName=node)
    outcome = both.settle()
    assert outcome["Endpoints"][0]["subsets"][0]["ready"][0]["ip"] == "10.244.0.1"
    both.edit("services", "nginx", spec={"publishNotReadyAddresses": True})
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving")
    both.edit("services", "nginx", spec={"publishNotReadyAddresses": False})
    both.settle()
    for side in both.sides:
        side.cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving")


def test_what_others_write_into_slices_is_mended(both: Both) -> None:
    """An endpoint that was taken out by hand comes back, a deleted slice too; slices of others are left alone."""
    both.service(ports=WEB)
    both.pod("web-0", 1, ready=T1)
    line = "web-0 10.244.0.1 http=80/TCP ready serving"
    both.settle(line)
    versions = {}
    for side in both.sides:
        name = side.slices()[0]["metadata"]["name"]
        versions[side] = side.request("PATCH", "endpointslices", name, {"endpoints": []})["metadata"]["resourceVersion"]
    both.wait(lambda side: side.slices()[0]["metadata"]["resourceVersion"] != versions[side], "mended slices")
    both.settle(line)
    for side in both.sides:
        side.request("DELETE", "endpointslices", side.slices()[0]["metadata"]["name"])
    both.settle(line)
    own = {
        "kind": "EndpointSlice",
        "metadata": {"name": "mine", "labels": {"kubernetes.io/service-name": "nginx"}},
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [],
    }
    both.do("POST", "endpointslices", "", own)
    both.pod("web-1", 2, ready=T1)
    both.settle(line, "web-1 10.244.0.2 http=80/TCP ready serving")
    assert [one["metadata"]["name"] for one in both.ours.slices()].count("mine") == 1


def test_a_service_is_made_anew(both: Both) -> None:
    """A Service that takes the name of one that went at once has slices of its own."""
    both.service(ports=WEB)
    both.pod("web-0", 1, ready=T1)
    line = "web-0 10.244.0.1 http=80/TCP ready serving"
    both.settle(line)
    both.do("DELETE", "services", "nginx")
    both.service(ports=WEB, labels={"made": "anew"})
    outcome = both.settle(line)
    assert [one["metadata"]["owners"][0]["uid"] for one in outcome["slices"]] == ["Service nginx"]


def test_hand_made_endpoints_are_left_alone_until_their_service_goes(both: Both) -> None:
    """Endpoints that were made before their Service, which selects nothing, stay as they are, and go with it."""
    subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}
    both.do("POST", "endpoints", "", {"kind": "Endpoints", "metadata": {"name": "db"}, "subsets": [subset]})
    both.service("db", selector=None, ports=WEB)
    both.service(ports=WEB)
    both.pod("web-0", 1, ready=T1)
    wait_until(lambda: all(side.summary() for side in both.sides), "the other Service's slice", DEADLINE_S)
    for side in both.sides:
        assert side.request("GET", "endpoints", "db")["subsets"][0]["addresses"] == [{"ip": "192.0.2.7"}]
    both.do("DELETE", "services", "db")
    both.settle("web-0 10.244.0.1 http=80/TCP ready serving")


def hand_made(*subsets: Json, **metadata: Any) -> Json:
    """Return the Endpoints db."""
    return {"kind": "Endpoints", "metadata": {"name": "db", **metadata}, "subsets": list(subsets)}


DB_PORT = {"name": "sql", "port": 5432, "protocol": "TCP"}
DB = {
    "addresses": [{"ip": "192.0.2.1", "hostname": "db-0", "nodeName": NODE}, {"ip": "2001:db8::1", "hostname": "db-0"}],
    "notReadyAddresses": [{"ip": "192.0.2.2", "hostname": "db-1"}],
    "ports": [DB_PORT],
}


def test_hand_made_endpoints_are_repeated(both: Both) -> None:
    """Slices repeat the Endpoints of a Service without a selector, and follow them until these or the Service go."""
    both.service("db", selector=None)
    both.do("POST", "endpoints", "", hand_made(DB, labels={"tier": "back"}, annotations={"a": "1"}))
    db_0, db_1 = "db-0 192.0.2.1 sql=5432/TCP ready", "db-1 192.0.2.2 sql=5432/TCP"
    outcome = both.settle(db_0, "db-0 2001:db8::1 sql=5432/TCP ready", db_1)
    assert [one["owners"][0]["uid"] for one in outcome["heads"]] == ["Endpoints db"] * 2
    assert outcome["heads"][0]["labels"]["tier"] == "back"
    addresses = [{"ip": "192.0.2.1", "hostname": "db-0"}, {"ip": "192.0.2.2", "hostname": "db-1"}]
    both.edit("endpoints", "db", subsets=[{"addresses": addresses, "ports": [DB_PORT]}])
    both.settle(db_0, f"{db_1} ready")
    both.edit("endpoints", "db", metadata={"labels": {"tier": None, "more": "1"}, "annotations": {"a": "2"}})
    outcome = both.wait(lambda side: any("more" in one["metadata"]["labels"] for one in side.slices()), "labels")
    assert [one["annotations"] for one in outcome["heads"]] == [{"a": "2"}]
    both.edit("endpoints", "db", metadata={"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}})
    both.settle()
    both.edit("endpoints", "db", metadata={"labels": {"endpointslice.kubernetes.io/skip-mirror": None}})
    both.settle(db_0, f"{db_1} ready")
    both.do("DELETE", "endpoints", "db")
    both.settle()
    both.do("POST", "endpoints", "", hand_made({"addresses": addresses[:1]}))
    both.settle("db-0 192.0.2.1 - ready")
    both.do("DELETE", "services", "db")
    both.settle_gone()


@pytest.mark.parametrize(
    ("subsets", "lines"),
    [
        pytest.param(
            [
                {"addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": [{"port": 80}]},
                {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"name": "admin", "port": 81, "protocol": "UDP"}]},
            ],
            ["- 192.0.2.1 =80/TCP ready", "- 192.0.2.1 admin=81/UDP ready", "- 192.0.2.2 =80/TCP ready"],
            id="an address in two subsets",
        ),
        pytest.param(
            [
                {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"name": "http", "port": 80}]},
                {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"name": "admin", "port": 81}]},
            ],
            ["- 192.0.2.1 admin=81/TCP,http=80/TCP ready"],
            id="subsets of equal addresses",
        ),
        pytest.param(
            [
                {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]},
                {"notReadyAddresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": [{"port": 80}]},
            ],
            ["- 192.0.2.1 =80/TCP", "- 192.0.2.2 =80/TCP"],
            id="not ready in one of two subsets",
        ),
        pytest.param(
            [
                {"addresses": [{"ip": "192.0.2.1"}]},
                {"addresses": [{"ip": "2001:db8:0::1"}], "ports": [{"port": 80, "appProtocol": "http"}]},
            ],
            ["- 192.0.2.1 - ready", "- 2001:db8::1 =80/TCP ready"],
            id="a subset without ports",
        ),
    ],
)
def test_subsets_of_all_shapes_are_repeated(both: Both, subsets: list[Json], lines: list[str]) -> None:
    """Whatever the subsets are, slices say the same on both sides."""
    both.service("db", selector=None)
    both.do("POST", "endpoints", "", hand_made(*subsets))
    both.settle(*lines)


def test_a_selector_comes_and_goes(both: Both) -> None:
    """Slices that repeat Endpoints go when the Service selects; those of its pods are repeated when it does no more."""
    both.service("db", selector=None)
    both.do("POST", "endpoints", "", hand_made(DB))
    both.wait(lambda side: len(side.summary()) == 3, "all of the Endpoints")
    both.pod("web-0", 1, ready=T1)
    both.edit("services", "db", spec={"selector": {"app": "nginx"}})
    of_pods = ("- 10.244.0.1 - ready serving", "- fd00:244::1 - ready serving")
    both.settle(*of_pods)
    both.edit("services", "db", spec={"selector": None})
    both.settle(*of_pods, "- 10.244.0.1 - ready")


def test_what_others_write_into_slices_of_endpoints_is_mended(both: Both) -> None:
    """A slice that repeats Endpoints is made right again, whoever changed or deleted it."""
    both.service("db", selector=None)
    both.do("POST", "endpoints", "", hand_made({"addresses": [{"ip": "192.0.2.1"}]}))
    line = "- 192.0.2.1 - ready"
    both.settle(line)
    for side in both.sides:
        side.request("PATCH", "endpointslices", side.slices()[0]["metadata"]["name"], {"endpoints": []})
    both.settle(line)
    for side in both.sides:
        side.request("DELETE", "endpointslices", side.slices()[0]["metadata"]["name"])
    both.settle(line)


def test_more_pods_than_fit_into_a_slice(both: Both) -> None:
    """250 pods, 160 fewer, 30 more: together the slices hold the same, and none has more than 100."""
    both.service(ports=WEB)
    both.pods(range(250))
    both.settle_count(250)
    sizes = [len(one["endpoints"]) for one in both.ours.slices()]
    assert len(sizes) in (3, 4)
    assert max(sizes) <= 100
    both.remove(range(20, 180))
    both.settle_count(90)
    both.pods(range(300, 330))
    both.settle_count(120)
    assert len(both.ours.slices()) <= 4
    both.do("DELETE", "services", "nginx")
    both.settle_gone()
