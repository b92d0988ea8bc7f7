from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.resolver
import pytest

from headlessdns.errors import ClusterError, HeadlessDNSError
from headlessdns.lab import Lab, client
from headlessdns.lab.resolving import candidates
from tests.peers.process import wait_until

ROOT = Path(__file__).parents[2]
NGINX = ROOT / "config" / "examples" / "nginx.yaml"
WEB_0, WEB_1 = "web-0.nginx.default.svc.cluster.local.", "web-1.nginx.default.svc.cluster.local."
SERVICES = "/api/v1/namespaces/default/services"
SETS = "/apis/apps/v1/namespaces/default/statefulsets"
DEADLINE_S = 20.0

Json = dict[str, Any]


def service(name: str = "db", **spec: Any) -> Json:
    """Return a headless Service with one port."""
    ports = [{"name": "sql", "port": 5432}]
    wanted = {"clusterIP": "None", "selector": {"app": name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": wanted}


def stateful_set(name: str = "db", replicas: int = 2, **spec: Any) -> Json:
    """Return a set whose Service has its name."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "example.org/db:1"}]}}
    wanted = {"serviceName": name, "replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {**wanted, **spec}}


def pod(name: str) -> Json:
    """Return a pod that nobody owns and no Service selects."""
    spec = {"containers": [{"name": "main", "image": "example.org/db:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def nginx() -> Iterator[Lab]:
    """A lab for tests that change nothing; both pods are ready."""
    with Lab(NGINX) as lab:
        lab.wait("web")
        yield lab


@pytest.fixture(scope="module")
def empty() -> Iterator[Lab]:
    """A lab for tests that clear up behind them."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def db(empty: Lab) -> Iterator[Lab]:
    """A lab with two pods, which are ready."""
    empty.request("POST", SERVICES, service())
    empty.request("POST", SETS, stateful_set())
    empty.wait("db")
    yield empty
    for path in (f"{SETS}/db", f"{SERVICES}/db"):
        empty.request("DELETE", path)
    empty.wait(lambda: not names_of_pods(empty))


def ask(lab: Lab, name: str, rrtype: str = "A") -> list[str]:
    """Return what dnspython reads in the response: the records' data, sorted; the RCODE where that is an error."""
    response = dns.query.udp(dns.message.make_query(name, rrtype), lab.dns_address.host, 3, lab.dns_address.port)
    if response.rcode():
        return [dns.rcode.to_text(response.rcode())]
    return sorted(str(one) for rrset in response.answer for one in rrset)


def becomes(find: Callable[[], object], wanted: object) -> None:
    """Wait until what is found is what is wanted."""
    seen: list[object] = []

    def is_so() -> bool:
        seen[:] = [find()]
        return seen[0] == wanted

    try:
        wait_until(is_so, "", DEADLINE_S)
    except TimeoutError:
        assert seen[0] == wanted


def uid(lab: Lab, name: str) -> str:
    """Return the UID of a pod, nothing while there is none."""
    try:
        return str(lab.pod(name)["metadata"]["uid"])
    except ClusterError:
        return ""


# What is there


def test_what_a_lab_tells(nginx: Lab) -> None:
    """A lab tells where its API and its DNS are, both on loopback, how to reach the API, and its nodes' names."""
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+", nginx.api_url)
    assert nginx.dns_address.host == "127.0.0.1"
    assert nginx.nodes == ["node-1", "node-2", "node-3"]
    assert nginx.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert json.loads(nginx.kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == nginx.api_url


def test_the_dns_of_a_lab_is_a_cluster_s(nginx: Lab) -> None:
    """What another resolver reads in the lab's DNS is what the API has."""
    addresses = [nginx.pod(name)["status"]["podIP"] for name in ("web-0", "web-1")]
    assert [ask(nginx, WEB_0), ask(nginx, WEB_1)] == [[addresses[0]], [addresses[1]]]
    assert ask(nginx, "nginx.default.svc.cluster.local.") == sorted(addresses)
    assert ask(nginx, "_web._tcp.nginx.default.svc.cluster.local.", "SRV") == [f"0 100 80 {WEB_0}", f"0 100 80 {WEB_1}"]
    assert ask(nginx, "web-2.nginx.default.svc.cluster.local.") == ["NXDOMAIN"]


def test_requests(nginx: Lab) -> None:
    """Any request can be sent to the API, with parameters, and its answer is decoded."""
    found = nginx.request("GET", "/api/v1/namespaces/default/pods", query={"limit": "1"})
    assert [found["kind"], len(found["items"]), found["metadata"]["remainingItemCount"]] == ["PodList", 1, 1]
    made = nginx.request("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    assert made["status"] == {"phase": "Active"}
    assert nginx.request("GET", "/healthz") == "ok"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        pytest.param(
            lambda lab: lab.pod("none"),
            'GET /api/v1/namespaces/default/pods/none: pods "none" not found',
            id="a pod that is not there",
        ),
        pytest.param(
            lambda lab: lab.delete_pod("none", "kube-system"),
            'DELETE /api/v1/namespaces/kube-system/pods/none: pods "none" not found',
            id="to be deleted, in another namespace",
        ),
        pytest.param(
            lambda lab: lab.set_ready("none", False),
            'PATCH /api/v1/namespaces/default/pods/none: pods "none" not found',
            id="to be unready",
        ),
        pytest.param(
            lambda lab: lab.lose_node("node-9"),
            'PATCH /api/v1/nodes/node-9: nodes "node-9" not found',
            id="a node that is not there",
        ),
        pytest.param(
            lambda lab: lab.scale("none", 3),
            "there is no StatefulSet or OrdinalSet default/none",
            id="a set that is not there",
        ),
    ],
)
def test_what_is_not_there(nginx: Lab, call: Callable[[Lab], object], text: str) -> None:
    """What is asked of an object that is not there is refused, by name."""
    with pytest.raises(ClusterError) as refused:
        call(nginx)
    assert str(refused.value) == text


def test_a_lab_that_has_not_been_entered() -> None:
    """Outside of its context a lab says how it is used."""
    with pytest.raises(ClusterError, match=re.escape("use it as in `with Lab(...) as lab:`")):
        Lab().pod("web-0")


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("web-0.nginx", [WEB_0], id="pod and Service"),
        pytest.param("web-0.nginx.default", [WEB_0], id="with the namespace"),
        pytest.param("web-0.nginx.default.svc", [WEB_0], id="without the zone"),
        pytest.param("web-0.nginx.default.svc.cluster.local", [WEB_0], id="whole"),
        pytest.param(WEB_0, [WEB_0], id="whole, with its dot"),
        pytest.param("nginx", [WEB_0, WEB_1], id="the Service"),
        pytest.param("web-0.nginx.", [], id="not searched for, with a dot"),
        pytest.param("web-0.nginx.other", [], id="of another namespace"),
        pytest.param("web-9.nginx", [], id="of no pod"),
        pytest.param("example.org.", [], id="outside of the zone"),
    ],
)
def test_a_name_is_searched_for_as_in_a_pod(nginx: Lab, name: str, expected: list[str]) -> None:
    """Names are completed with the search list of a pod in the namespace `default`; none has no records."""
    assert nginx.resolve(name) == sorted(address for whole in expected for address in ask(nginx, whole))


@pytest.mark.parametrize(
    ("name", "rrtype", "expected"),
    [
        pytest.param(
            "_web._tcp.nginx", "SRV", [f"0 100 80 {WEB_0[:-1]}", f"0 100 80 {WEB_1[:-1]}"], id="SRV, by its short name"
        ),
        pytest.param("_https._tcp.nginx", "SRV", [], id="SRV of no port"),
        pytest.param("nginx", "AAAA", [], id="AAAA in a lab with IPv4 only"),
        pytest.param("kubernetes", "A", ["10.96.0.1"], id="the API's own Service"),
    ],
)
def test_types_of_records(nginx: Lab, name: str, rrtype: str, expected: list[str]) -> None:
    """Records of a type are given as text, sorted; names in them have no dot at the end."""
    assert nginx.resolve(name, rrtype) == expected


def test_an_address_back_to_its_name(nginx: Lab) -> None:
    """PTR gives the name of the pod that has the address."""
    reverse = ".".join(reversed(nginx.pod("web-1")["status"]["podIP"].split(".")))
    assert nginx.resolve(f"{reverse}.in-addr.arpa.", "PTR") == [WEB_1[:-1]]


def test_a_type_that_is_none(nginx: Lab) -> None:
    """A type that does not exist is refused."""
    with pytest.raises(ValueError, match=r"^SVR is no type of records that can be asked for; write it as in A, AAAA,"):
        nginx.resolve("nginx", "SVR")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            "a.b",
            ["a.b.default.svc.cluster.local", "a.b.svc.cluster.local", "a.b.cluster.local", "a.b"],
            id="few dots: the search list first",
        ),
        pytest.param(
            "a.b.c.d.e.f",
            [
                "a.b.c.d.e.f",
                "a.b.c.d.e.f.default.svc.cluster.local",
                "a.b.c.d.e.f.svc.cluster.local",
                "a.b.c.d.e.f.cluster.local",
            ],
            id="five dots: as it is first",
        ),
        pytest.param("a.b.", ["a.b"], id="a dot at the end: as it is"),
    ],
)
def test_candidates(name: str, expected: list[str]) -> None:
    """The order in which names are tried is that of `ndots:5`."""
    assert candidates(name) == expected


def test_a_large_service_is_asked_for_over_tcp() -> None:
    """An answer that UDP has no room for comes whole."""
    with Lab([service(), stateful_set(replicas=40, podManagementPolicy="Parallel")]) as lab:
        lab.wait("db", 60)
        name = "db.default.svc.cluster.local."
        query = dns.message.make_query(name, "A", use_edns=False)
        assert dns.query.udp(query, lab.dns_address.host, 3, lab.dns_address.port).flags & dns.flags.TC
        response = dns.query.tcp(query, lab.dns_address.host, 3, lab.dns_address.port)
        addresses = sorted(str(one) for rrset in response.answer for one in rrset)
        assert len(addresses) == 40
        assert lab.resolve("db") == addresses
        assert len(lab.resolve("_sql._tcp.db", "SRV")) == 40


@pytest.mark.parametrize(
    ("networks", "families", "expected"),
    [
        pytest.param(["fd00:10:244::/64"], ["IPv6"], {"A": 0, "AAAA": 2}, id="IPv6"),
        pytest.param(["10.244.0.0/16", "fd00:10:244::/64"], ["IPv4", "IPv6"], {"A": 2, "AAAA": 2}, id="dual stack"),
    ],
)
def test_families(networks: list[str], families: list[str], expected: dict[str, int]) -> None:
    """Pods have an address of each network, and a set is waited for until the DNS has all of them."""
    policy = "PreferDualStack" if len(families) > 1 else "SingleStack"
    with Lab([service(ipFamilies=families, ipFamilyPolicy=policy), stateful_set()], pod_cidrs=networks) as lab:
        lab.wait("db")
        name = "db.default.svc.cluster.local."
        answered = {rrtype: ask(lab, name, rrtype) for rrtype in ("A", "AAAA")}
        assert {rrtype: len(answer) for rrtype, answer in answered.items()} == expected
        pods = [lab.pod(name)["status"]["podIPs"] for name in ("db-0", "db-1")]
        assert sorted(one["ip"] for ips in pods for one in ips) == sorted(answered["A"] + answered["AAAA"])
        assert {rrtype: lab.resolve("db", rrtype) for rrtype in ("A", "AAAA")} == answered


def test_the_dns_where_it_is_wanted() -> None:
    """The DNS can be at an address of one's choice, also one of IPv6."""
    with Lab(NGINX, dns="[::1]:0") as lab:
        lab.wait("web-0")
        assert lab.dns_address.host == "::1"
        assert lab.resolve("web-0.nginx") == [lab.pod("web-0")["status"]["podIP"]] == ask(lab, WEB_0)


# Trouble


def test_a_pod_that_is_not_ready(db: Lab) -> None:
    """A pod that is not ready leaves the DNS, and comes back under its name once it is ready again."""
    both = sorted(db.pod(name)["status"]["podIP"] for name in ("db-0", "db-1"))
    db.set_ready("db-0", False)
    becomes(lambda: ask(db, "db-0.db.default.svc.cluster.local."), ["NXDOMAIN"])
    becomes(lambda: ask(db, "db.default.svc.cluster.local."), [db.pod("db-1")["status"]["podIP"]])
    db.set_ready("db-0", True)
    db.wait("db-0")
    assert ask(db, "db.default.svc.cluster.local.") == both


@pytest.mark.parametrize(
    ("how", "phase", "reason"),
    [
        pytest.param("CrashLoop", "Running", "CrashLoopBackOff", id="crashing again and again"),
        pytest.param("ImagePullBackOff", "Pending", "ImagePullBackOff", id="an image that is not there"),
    ],
)
def test_a_pod_that_fails(db: Lab, how: str, phase: str, reason: str) -> None:
    """A pod fails until it is mended; its name is gone for so long."""
    if how == "ImagePullBackOff":  # what has its image already needs none
        db.scale("db", 3)
        becomes(lambda: "db-2" in names_of_pods(db), True)
        name = "db-2"
    else:
        name = "db-1"
    db.fail(name, how)

    def waiting() -> list[str]:
        status = db.pod(name)["status"]
        states = [one["state"].get("waiting", {}) for one in status.get("containerStatuses") or ()]
        return [status["phase"], *(state.get("reason", "") for state in states)]

    becomes(waiting, [phase, reason])
    becomes(lambda: ask(db, f"{name}.db.default.svc.cluster.local."), ["NXDOMAIN"])
    db.mend(name)
    db.wait(name)
    assert ask(db, f"{name}.db.default.svc.cluster.local.") == [db.pod(name)["status"]["podIP"]]


def names_of_pods(lab: Lab) -> list[str]:
    """Return the names of the pods of `default`."""
    found = lab.request("GET", "/api/v1/namespaces/default/pods")["items"]
    return sorted(one["metadata"]["name"] for one in found)


def test_a_pod_that_fails_for_good_is_replaced(db: Lab) -> None:
    """A pod that has failed is replaced by one of the same name."""
    before = uid(db, "db-1")
    db.fail("db-1", "Failed")
    db.wait(lambda: uid(db, "db-1") not in ("", before))
    db.wait("db")
    assert names_of_pods(db) == ["db-0", "db-1"]


def test_a_lost_node(db: Lab) -> None:
    """Pods of a lost node leave the DNS and cannot finish their deletion; with the node they come back."""
    node, before = db.pod("db-0")["spec"]["nodeName"], uid(db, "db-0")
    db.lose_node(node)
    becomes(lambda: ask(db, "db-0.db.default.svc.cluster.local."), ["NXDOMAIN"])
    db.delete_pod("db-0")
    with pytest.raises(TimeoutError, match="pod db-0 is being deleted"):
        db.wait("db-0", 0.5)
    assert uid(db, "db-0") == before
    db.recover_node(node)
    db.wait(lambda: uid(db, "db-0") not in ("", before))
    db.wait("db")
    assert ask(db, "db-0.db.default.svc.cluster.local.") == [db.pod("db-0")["status"]["podIP"]]


def test_scaling_and_deleting(db: Lab) -> None:
    """A set is scaled up and down, and a pod that is deleted comes back with another address."""
    db.scale("db", 4)
    db.wait("db")
    assert names_of_pods(db) == ["db-0", "db-1", "db-2", "db-3"]
    db.scale("db", 1)
    db.wait("db")
    assert names_of_pods(db) == ["db-0"]
    becomes(lambda: ask(db, "db-1.db.default.svc.cluster.local."), ["NXDOMAIN"])
    before = uid(db, "db-0")
    db.delete_pod("db-0")
    db.wait(lambda: uid(db, "db-0") not in ("", before))
    db.wait("db-0")
    assert ask(db, "db-0.db.default.svc.cluster.local.") == [db.pod("db-0")["status"]["podIP"]]


def test_an_ordinal_set(empty: Lab) -> None:
    """OrdinalSets are waited for and scaled as StatefulSets are."""
    wanted = stateful_set(ordinals={"start": 3})
    wanted["apiVersion"], wanted["kind"] = "headlessdns.io/v1alpha1", "OrdinalSet"
    with Lab([service(), wanted]) as lab:
        assert lab.wait("db")["kind"] == "OrdinalSet"
        assert names_of_pods(lab) == ["db-3", "db-4"]
        lab.scale("db", 1)
        lab.wait("db")
        assert names_of_pods(lab) == ["db-3"]


# Waiting


def test_what_waiting_gives(nginx: Lab) -> None:
    """Waiting gives the set, the pod, or what the function returns."""
    found = nginx.wait("web")
    assert [found["kind"], found["status"]["readyReplicas"]] == ["StatefulSet", 2]
    assert nginx.wait("web-0")["metadata"]["name"] == "web-0"
    assert nginx.wait(lambda: nginx.resolve("web-1.nginx")) == ask(nginx, WEB_1)


def test_a_set_that_is_applied_later(nginx: Lab) -> None:
    """A set can be waited for before it is there."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(nginx.wait, "late", 20)
        nginx.request("POST", SERVICES, service("late"))
        nginx.request("POST", SETS, stateful_set("late"))
        assert waiting.result()["status"]["readyReplicas"] == 2
    assert ask(nginx, "late-1.late.default.svc.cluster.local.") == [nginx.pod("late-1")["status"]["podIP"]]


def test_a_pod_without_a_name_is_waited_for_until_it_is_ready() -> None:
    """A pod without a governing Service has no name that could be waited for."""
    with Lab([pod("alone"), stateful_set("nameless", 1)]) as lab:
        assert lab.wait("alone")["status"]["phase"] == "Running"
        assert lab.wait("nameless")["status"]["readyReplicas"] == 1


def test_an_unready_pod_of_a_service_that_publishes_it() -> None:
    """A pod's name may be there before the pod is ready; waiting is for both."""
    with Lab([service(publishNotReadyAddresses=True), stateful_set(replicas=1)]) as lab:
        lab.wait("db")
        lab.set_ready("db-0", False)
        with pytest.raises(TimeoutError, match="pod db-0 is Running and not ready"):
            lab.wait("db-0", 0.5)
        assert ask(lab, "db-0.db.default.svc.cluster.local.") == [lab.pod("db-0")["status"]["podIP"]]


@pytest.mark.parametrize(
    ("until", "text"),
    [
        pytest.param(
            "none", "waited 0.2 s for default/none: there is no set and no pod of that name", id="nothing there"
        ),
        pytest.param(lambda: 3 < 2, "waited 0.2 s for <lambda>: it returned False", id="a function"),
        pytest.param(
            "pending",
            "waited 0.2 s for default/pending: pod pending is Pending and not ready",
            id="a pod that cannot start",
        ),
        pytest.param(
            "stuck",
            "waited 0.2 s for default/stuck: {'replicas': 1, 'readyReplicas': 0, 'updatedReplicas': 1} instead of"
            " {'replicas': 2, 'readyReplicas': 2, 'updatedReplicas': 2}; waiting for stuck-0: it runs and is not ready"
            " (containers with unready status: [main])",
            id="a set whose first pod is not ready",
        ),
    ],
)
def test_waiting_in_vain(nginx: Lab, until: Any, text: str) -> None:
    """Who waits too long is told how long it was, what for, and what was found."""
    if until == "pending" and "pending" not in names_of_pods(nginx):
        asks_much = pod("pending")
        asks_much["spec"]["volumes"] = [{"name": "www", "persistentVolumeClaim": {"claimName": "none"}}]
        nginx.request("POST", "/api/v1/namespaces/default/pods", asks_much)
    if until == "stuck":
        stuck = stateful_set("stuck")
        stuck["spec"]["template"]["metadata"]["annotations"] = {"lab.headlessdns.io/ready": "false"}
        nginx.request("POST", SETS, stuck)
        becomes(lambda: [one["type"] for one in conditions(nginx, "stuck") if one["type"] == "Stalled"], ["Stalled"])
    with pytest.raises(TimeoutError) as late:
        nginx.wait(until, 0.2)
    assert str(late.value).splitlines()[0] == text


def conditions(lab: Lab, name: str) -> list[Json]:
    """Return the conditions of a set."""
    found: list[Json] = lab.request("GET", f"{SETS}/{name}").get("status", {}).get("conditions", [])
    return found


def test_the_log_says_what_became_of_the_pods() -> None:
    """Below what was missing stands what the lab said last, for people to read."""
    with Lab([service(), stateful_set(replicas=1)]) as lab:
        lab.wait("db")
        address = lab.pod("db-0")["status"]["podIP"]
        whole = f"db-0 Running {address} ready db-0.db.default.svc.cluster.local = {address}"
        lab.wait(lambda: whole in lab.log.splitlines())
        with pytest.raises(TimeoutError, match=re.escape(whole)):
            lab.wait("none", 0)


# Manifests


def test_manifests_of_all_kinds(tmp_path: Path) -> None:
    """Files, folders and mappings are applied together; what the lab has no kind for is passed over."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "service.json").write_text(json.dumps(service()))
    route = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "db"}}
    (folder / "ingress.json").write_text(json.dumps(route))
    with Lab([folder, str(NGINX), stateful_set()]) as lab:
        lab.wait("db")
        lab.wait("web")
        assert lab.resolve("_sql._tcp.db", "SRV") == [
            "0 100 5432 db-0.db.default.svc.cluster.local",
            "0 100 5432 db-1.db.default.svc.cluster.local",
        ]
        assert "the lab has no such kinds, they were skipped: 1 Ingress" in lab.log


def test_a_generator_of_mappings() -> None:
    """Objects may come one by one."""
    with Lab(one for one in [service(), stateful_set(replicas=1)]) as lab:
        assert lab.wait("db-0")["spec"]["subdomain"] == "db"


def test_faulty_manifests(tmp_path: Path) -> None:
    """A lab with faulty manifests does not start, and says each fault with its place."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\nspec: {replicas: 1}\n")
    with pytest.raises(HeadlessDNSError) as refused, Lab([bad, service(), service("Wrong_Name")]):
        pass
    head, *lines = str(refused.value).splitlines()
    assert head == "the lab has not started:"
    assert [line.partition(": found ")[0] for line in lines] == [
        f"error: {bad}:4: document 1: spec.selector",
        f"error: {bad}:4: document 1: spec.template.metadata.labels",
        f"error: {bad}:4: document 1: spec.template.spec.containers",
        "error: the mappings: items[1].metadata.name",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param({"manifests": "nowhere.yaml"}, "nowhere.yaml", id="a file that is not there"),
        pytest.param({"dns": "127.0.0.1:99999"}, "127.0.0.1:99999", id="a port that is none"),
        pytest.param({"pod_cidrs": ["10.244.0.0/33"]}, "10.244.0.0/33", id="a network that is none"),
        pytest.param({"nodes": 0}, "nodes", id="no node"),
        pytest.param({"without": ["dnS"]}, "dnS", id="a part that is none"),
    ],
)
def test_settings_that_cannot_be(arguments: Json, text: str) -> None:
    """A setting that cannot be is told when the lab is started."""
    with pytest.raises(HeadlessDNSError) as refused, Lab(**arguments):
        pass
    assert text in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_dns_port_that_is_taken() -> None:
    """An address that somebody else has is named."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(HeadlessDNSError, match=f"127.0.0.1:{port}"), Lab(dns=f"127.0.0.1:{port}"):
            pass


# Parts, state


def test_without_the_controller() -> None:
    """A lab without its controller waits for another one to make pods."""
    with (
        Lab([service(), stateful_set()], without=["controller"]) as lab,
        pytest.raises(TimeoutError, match="no controller has seen it yet"),
    ):
        lab.wait("db", 0.5)


def test_without_the_dns() -> None:
    """A lab without DNS has no address of it, and a set is ready when its pods are."""
    with Lab([service(), stateful_set()], without=["dns"]) as lab:
        assert lab.wait("db")["status"]["readyReplicas"] == 2
        assert not hasattr(lab, "dns_address")
        with pytest.raises(ClusterError, match="this lab has no DNS"):
            lab.resolve("db")


def test_a_lab_that_is_kept(tmp_path: Path) -> None:
    """With a state file the pods of the last time are there again, with their names and addresses."""
    state = tmp_path / "state.db"
    with Lab([service(), stateful_set()], state=state) as lab:
        lab.wait("db")
        lab.scale("db", 3)
        lab.wait("db")
        before = {name: uid(lab, name) for name in names_of_pods(lab)}
        addresses = lab.resolve("db")
    assert list(before) == ["db-0", "db-1", "db-2"]
    with Lab(state=state) as lab:
        lab.wait("db")
        assert {name: uid(lab, name) for name in names_of_pods(lab)} == before
        assert ask(lab, "db.default.svc.cluster.local.") == addresses


# Coming and going

CHILD = """
import sys
from headlessdns.lab import Lab
with Lab(sys.argv[1]) as lab:
    lab.wait("web-0")
    print(lab._process.pid, lab.dns_address.port, lab.api_url.rpartition(":")[2], lab.kubeconfig, flush=True)
    sys.stdin.read()
"""


def group(pid: int) -> set[int]:
    """Return the processes of the process group of *pid* that have not ended."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, leader = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has gone meanwhile
            continue
        if int(leader) == pid and state != "Z":
            found.add(int(path.parent.name))
    return found


def is_free(port: int, kind: socket.SocketKind) -> bool:
    """Whether *port* can be taken."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_child(folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """Start a Python that opens a lab with *folder* for its temporary files, and return what it says."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(NGINX)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert child.stdout is not None
    return child, child.stdout.readline().split()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, which Linux has")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_who_started_it_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    """A lab whose starter is killed leaves with all its processes; its ports are free and no file is left."""
    child, (pid, dns_port, api_port, kubeconfig) = start_child(tmp_path)
    try:
        processes = group(int(pid))
        assert len(processes) >= 2  # the lab and a worker of its DNS
        assert Path(kubeconfig).parent == tmp_path
        child.send_signal(number)
        child.communicate(timeout=DEADLINE_S)
        wait_until(lambda: not group(int(pid)), f"{processes} to end", DEADLINE_S)
    finally:
        child.kill()
        child.communicate()
    assert is_free(int(dns_port), socket.SOCK_DGRAM)
    assert is_free(int(dns_port), socket.SOCK_STREAM)
    assert is_free(int(api_port), socket.SOCK_STREAM)
    assert sorted(tmp_path.iterdir()) == []


def test_a_lab_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its context closes, a lab's process, its threads, its ports and its files are gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    threads = set(threading.enumerate())
    with Lab([service(), stateful_set()]) as lab:
        lab.wait("db")
        process = lab._process
        assert process is not None
        assert os.listdir(tmp_path)
    assert process.returncode == 0
    assert not group(process.pid)
    assert os.listdir(tmp_path) == []
    assert set(threading.enumerate()) == threads
    assert is_free(lab.dns_address.port, socket.SOCK_DGRAM)
    with pytest.raises(ClusterError, match="the lab's API does not answer"):
        lab.pod("db-0")


def test_a_lab_that_does_not_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that cannot start has no process and no file left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    threads = set(threading.enumerate())
    lab = Lab([service("Wrong_Name")])
    with pytest.raises(HeadlessDNSError), lab:
        pass
    assert lab._process is None
    assert os.listdir(tmp_path) == []
    assert set(threading.enumerate()) == threads


def test_a_lab_that_is_too_slow_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits in vain for a lab to start is told so, and it is not there afterwards."""
    monkeypatch.setattr(client, "START_S", 0.01)
    lab = Lab()
    with pytest.raises(HeadlessDNSError, match=r"^the lab has not started"), lab:
        pass
    assert lab._process is None


def test_a_lab_that_dies_is_noticed() -> None:
    """A lab that was killed answers no more, that is said, and the context closes all the same."""
    with Lab() as lab:
        process = lab._process
        assert process is not None
        process.kill()
        process.wait()
        with pytest.raises(ClusterError, match="the lab's API does not answer"):
            lab.wait("web")
        wait_until(lambda: not group(process.pid), "the workers to leave", DEADLINE_S)


def test_a_lab_can_be_opened_again() -> None:
    """The same lab can be opened once more; nothing of the first time is there."""
    lab = Lab([service(), stateful_set(replicas=1)])
    with lab:
        first = lab.wait("db-0")["metadata"]["uid"]
    with lab:
        assert lab.wait("db-0")["metadata"]["uid"] != first


def test_two_labs_at_once(nginx: Lab) -> None:
    """Two labs know nothing of each other."""
    with Lab([service(), stateful_set(replicas=1)]) as other:
        other.wait("db")
        assert names_of_pods(other) == ["db-0"]
        assert "db-0" not in names_of_pods(nginx)
        assert ask(nginx, "db-0.db.default.svc.cluster.local.") == ["NXDOMAIN"]
        assert other.api_url != nginx.api_url
        assert other.dns_address != nginx.dns_address


def test_within_a_running_event_loop() -> None:
    """A lab needs no event loop and disturbs none."""

    async def use() -> list[str]:
        with Lab([service(), stateful_set(replicas=1)]) as lab:
            lab.wait("db-0")
            return await asyncio.to_thread(lab.resolve, "db-0.db")

    assert asyncio.run(use()) == ["10.244.0.2"]


def test_from_many_threads(nginx: Lab) -> None:
    """Threads may use one lab at the same time."""
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: (nginx.pod("web-0")["status"]["podIP"], nginx.resolve("web-0.nginx")), range(40))
        )
    (address,) = ask(nginx, WEB_0)
    assert found == [(address, [address])] * 40


def test_ctrl_c_in_the_body() -> None:
    """Ctrl-C leaves the body as everywhere, and the lab with it."""
    processes = []

    def interrupted() -> None:
        with Lab() as lab:
            processes.append(lab._process)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.returncode for process in processes if process] == [0]


def test_the_class_brings_no_heavy_imports() -> None:
    """Who imports the class does not wait for an HTTP server, a Kubernetes client or a DNS library."""
    program = textwrap.dedent("""
        import sys
        import headlessdns.lab
        print(sorted({"aiohttp", "kubernetes", "dnslib", "yaml", "rich", "trustme", "asyncio"} & set(sys.modules)))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
