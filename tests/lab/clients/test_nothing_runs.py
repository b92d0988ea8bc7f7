"""What needs a container ends at once, and names what to type instead; what is named works."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.lab.clients.conftest import SET
from tests.lab.clients.running import Done, Kubectl, RunningLab
from tests.peers.process import wait_until
from tests.serving import Serve

SERVICE = {
    "metadata": {"name": "nginx"},
    "spec": {"clusterIP": "None", "selector": {"app": "nginx"}, "ports": [{"name": "web", "port": 80}]},
}
AT_ONCE_S = 5.0


@pytest.fixture(scope="module")
def dns(lab: RunningLab) -> Iterator[Serve]:
    """The DNS of the lab."""
    with Serve("--kubeconfig", lab.kubeconfig) as server:
        lab.api.api.dns_address = f"127.0.0.1:{server.port}"
        yield server


@pytest.fixture(scope="module")
def web(any_kubectl: Kubectl, dns: Serve) -> Kubectl:
    """A kubectl in the namespace `shop`, where web-0 and web-1 are ready and have names."""
    lab = any_kubectl.lab
    status, _ = lab.request("GET", "/api/v1/namespaces/shop")
    if status == 404:
        lab.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        lab.create("/api/v1/namespaces/shop/services", SERVICE)
        lab.create("/apis/apps/v1/namespaces/shop/statefulsets", SET)
    lab.wait_ready(2, namespace="shop")
    name = "web-1.nginx.shop.svc.cluster.local"
    wait_until(lambda: dns.ask(name)[1], f"{name} to be answered", 10)
    return any_kubectl.within("shop")


def attempt(kubectl: Kubectl, *arguments: str) -> Done:
    begun_s = time.monotonic()
    done = kubectl.attempt(*arguments)
    assert time.monotonic() - begun_s < AT_ONCE_S
    return done


def the_line(text: str) -> str:
    """Return the line that says it, without what kubectl puts before it; it is the only one that tells of the lab."""
    lines = [line for line in text.splitlines() if "of a lab" in line]
    (line,) = lines
    return line[re.search(r"(pod|service|node) \S+ is of a lab", line).start() :]  # type: ignore[union-attr]


def works(line: str, kubectl: Kubectl, dns: Serve) -> list[str]:
    """Do what *line* says and return the answers."""
    command = line.partition(": ")[2]
    if dig := re.fullmatch(r"dig @127\.0\.0\.1 -p (\d+) \+short (\S+)", command):
        assert int(dig[1]) == dns.port
        rcode, answers = dns.ask(dig[2])
        assert rcode == "NOERROR"
        return answers
    assert command.startswith("kubectl ")
    done = subprocess.run(
        [*kubectl.command(), *command.replace("'", "").split()[1:]], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def address(kubectl: Kubectl, pod: str) -> str:
    return str(kubectl.lab.get(f"/api/v1/namespaces/shop/pods/{pod}")["status"]["podIP"])


STATE = (
    "pod web-0 is of a lab and runs nothing, so it logs nothing; its state: "
    "kubectl get pod web-0 -n shop -o jsonpath='{.status.containerStatuses[*].state}'"
)
FORWARD = (
    "pod web-0 is of a lab and runs nothing, so it listens on no port; its address: "
    "kubectl get pod web-0 -n shop -o jsonpath='{.status.podIP}'"
)
OWN_NAME = (
    "pod web-0 is of a lab and runs nothing; its name: "
    "dig @127.0.0.1 -p {port} +short web-0.nginx.shop.svc.cluster.local"
)
ASKED = "pod web-0 is of a lab and runs nothing; ask for the name here: dig @127.0.0.1 -p {port} +short {name}"
WEB_1 = "web-1.nginx.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("arguments", "line", "name"),
    [
        (["logs", "web-0"], STATE, ""),
        (["logs", "sts/web"], STATE, ""),
        (["exec", "web-0", "--", "ls"], OWN_NAME, "web-0"),
        (["exec", "-i", "web-0", "--", "sh"], OWN_NAME, "web-0"),
        (["exec", "web-0", "--", "nslookup", "web-1.nginx"], ASKED, WEB_1),
        (["exec", "web-0", "--", "nslookup", "web-1.nginx.shop"], ASKED, WEB_1),
        (["exec", "web-0", "--", "dig", "+short", "web-1.nginx.shop.svc.cluster.local."], ASKED, WEB_1),
        (["exec", "web-0", "--", "getent", "hosts", "web-1.nginx.shop.svc"], ASKED, WEB_1),
        (["attach", "web-0"], OWN_NAME, "web-0"),
        (["debug", "web-0", "--image=busybox", "-c", "d"], OWN_NAME, "web-0"),
        (["port-forward", "pod/web-0", ":80"], FORWARD, ""),
        (["port-forward", "svc/nginx", ":80"], FORWARD, ""),
        (["get", "--raw", "/api/v1/namespaces/shop/pods/web-0:80/proxy/"], FORWARD, ""),
        (["cp", "kubeconfig", "web-0:/tmp/x"], OWN_NAME, "web-0"),
        (["cp", "web-0:/tmp/x", "x"], OWN_NAME, "web-0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_pod_that_runs_nothing(web: Kubectl, dns: Serve, arguments: list[str], line: str, name: str) -> None:
    """The command fails at once with one line, and what that line says to type gives an answer."""
    (web.home / "kubeconfig").touch()
    done = attempt(web, *arguments)
    assert (done.code, done.out) == (1, "")
    found = the_line(done.err)
    assert found == line.replace("{port}", str(dns.port)).replace("{name}", name)
    answers = works(found, web, dns)
    if "running" not in answers[0]:
        assert answers == [address(web, "web-1" if name == WEB_1 else "web-0")]


def test_a_line_and_nothing_else(web: Kubectl, dns: Serve) -> None:
    """Beside the line kubectl only says what has failed."""
    before = {"error: unable to upgrade connection: ", "Error from server (BadRequest): "}
    done = attempt(web, "exec", "web-0", "--", "ls")
    assert done.err in {f"{each}{OWN_NAME.replace('{port}', str(dns.port))}\n" for each in before}
    assert attempt(web, "logs", "web-0").err == f"Error from server (BadRequest): {STATE}\n"


def test_a_log_that_is_followed(web: Kubectl) -> None:
    """`logs -f` prints the line as the log, and ends: newer ones would ask again and again if it were refused."""
    assert attempt(web, "logs", "-f", "web-0") == (0, f"{STATE}\n", "")


def test_the_pod_of_a_tutorial(web: Kubectl, dns: Serve) -> None:
    """`run -i --rm … nslookup` ends, names the very question for the lab's DNS, and leaves no pod behind."""
    run = ["run", "box", "-i", "--rm", "--image=busybox", "--restart=Never", "--", "nslookup", "web-0.nginx"]
    begun_s = time.monotonic()
    done = web.attempt(*run)
    assert time.monotonic() - begun_s < AT_ONCE_S
    line = (
        "pod box is of a lab and runs nothing; ask for the name here: "
        f"dig @127.0.0.1 -p {dns.port} +short web-0.nginx.shop.svc.cluster.local"
    )
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith(line)
    assert works(line, web, dns) == [address(web, "web-0")]
    assert web("wait", "--for=delete", "pod/box", "--timeout=10s") in ("", "pod/box condition met\n")


def test_a_pod_without_a_name(web: Kubectl, dns: Serve) -> None:
    """Of a pod that has no name of its own the name of its address is given."""
    web("run", "plain", "--image=busybox")
    try:
        web("wait", "--for=condition=Ready", "pod/plain")
        found = the_line(attempt(web, "exec", "plain", "--", "sh").err)
        assert found == (
            f"pod plain is of a lab and runs nothing; its name: dig @127.0.0.1 -p {dns.port} +short "
            f"{address(web, 'plain').replace('.', '-')}.shop.pod.cluster.local"
        )
        wait_until(lambda: works(found, web, dns) == [address(web, "plain")], "the name of the address", 10)
    finally:
        web("delete", "pod", "plain", "--now")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            "/api/v1/namespaces/shop/services/http:nginx:web/proxy/",
            "service nginx is of a lab, where no pod listens; its addresses: "
            "kubectl get endpointslices -n shop -l kubernetes.io/service-name=nginx",
        ),
        (
            "/api/v1/nodes/node-1/proxy/metrics",
            "node node-1 is of a lab and no machine; its pods: "
            "kubectl get pods -A --field-selector spec.nodeName=node-1",
        ),
    ],
    ids=["a Service", "a node"],
)
def test_proxies_of_others(web: Kubectl, dns: Serve, path: str, line: str) -> None:
    """Neither Services nor nodes can be talked to."""
    done = attempt(web, "get", "--raw", path)
    assert the_line(done.err) == line
    assert works(line, web, dns)


def test_the_token_of_an_account(web: Kubectl) -> None:
    """`kubectl create token` says where the one token is."""
    attempt(web, "create", "serviceaccount", "robot")  # the lab is another kubectl's, too
    done = attempt(web, "create", "token", "robot")
    where = "kubectl config view --raw -o jsonpath='{.users[0].user.token}'"
    line = f"service account robot is of a lab, which knows one token: {where}"
    assert done.err == f"error: failed to create token: {line}\n"
    assert web("config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}")


def test_the_proxy_of_the_api(web: Kubectl) -> None:
    """`kubectl proxy` serves the API itself, without TLS and token."""
    with web.watch("proxy", "--port=0") as proxy:
        try:
            assert proxy.stdout
            first = proxy.stdout.readline()
            port = re.fullmatch(r"Starting to serve on 127\.0\.0\.1:(\d+)\n", first)
            assert port, first
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port[1]}/api/v1/namespaces/shop/pods/web-0", timeout=5) as response:
                assert b'"hostname":"web-0"' in response.read()
        finally:
            proxy.kill()
