"""What a lab says where it has no machine to answer: nothing runs in its pods, and what does instead. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headlessdns.lab.api.kinds import Json

ZONE = "cluster.local"
LOG, EXEC, ATTACH, FORWARD, PROXY = "log", "exec", "attach", "portforward", "proxy"
DEBUG = "ephemeralcontainers"
TOKEN = "token"
SUBRESOURCES = {
    "pods": frozenset({LOG, EXEC, ATTACH, FORWARD, PROXY, DEBUG}),
    "services": frozenset({PROXY}),
    "nodes": frozenset({PROXY}),
    "serviceaccounts": frozenset({TOKEN}),
}

# Programs whose last argument that is no option is a name to look up.
_ASKING = frozenset({"nslookup", "dig", "host", "ping", "getent", "kdig"})

# Tells whether there is an object: of this resource, in this namespace, with this name.
Exists = Callable[[str, str, str], bool]


def of_pod(subresource: str, pod: Json, command: Sequence[str], dns: str, exists: Exists) -> str:
    """Return one line: that nothing runs in *pod*, and what to type instead.

    Args:
        subresource: One of its `SUBRESOURCES`.
        pod: The pod.
        command: What was to be run in it; empty where the request does not say.
        dns: Address and port of the lab's DNS.
        exists: Tells what there is, since only names that exist are of use.
    """
    metadata = pod["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    says = f"pod {name} is of a lab and runs nothing"
    get = f"kubectl get pod {name} -n {namespace}"
    if subresource != EXEC:
        command = [*command, *_own_command(pod)]
    asked = _asked_name(command, namespace, exists)
    if asked:
        return f"{says}; ask for the name here: {_dig(dns)} {asked}"
    if subresource == LOG:
        return f"{says}, so it logs nothing; its state: {get} -o jsonpath='{{.status.containerStatuses[*].state}}'"
    if subresource in (FORWARD, PROXY):
        return f"{says}, so it listens on no port; its address: {get} -o jsonpath='{{.status.podIP}}'"
    own = _own_name(pod, exists)
    if own:
        return f"{says}; its name: {_dig(dns)} {own}"
    return f"{says}; its state: {get} -o jsonpath='{{.status}}'"


def of_service(name: str, namespace: str) -> str:
    """Return one line: that nothing listens behind a Service, and how its addresses are found."""
    slices = f"kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={name}"
    return f"service {name} is of a lab, where no pod listens; its addresses: {slices}"


def of_node(name: str) -> str:
    """Return one line: that there is no such machine, and how its pods are found."""
    pods = f"kubectl get pods -A --field-selector spec.nodeName={name}"
    return f"node {name} is of a lab and no machine; its pods: {pods}"


def of_account(name: str) -> str:
    """Return one line: that there is one token for all, and where it is."""
    token = "kubectl config view --raw -o jsonpath='{.users[0].user.token}'"
    return f"service account {name} is of a lab, which knows one token: {token}"


def _dig(dns: str) -> str:
    host, _, port = dns.rpartition(":")
    return f"dig @{host.strip('[]')} -p {port} +short"


def _own_name(pod: Json, exists: Exists) -> str:
    """Return a name of *pod* that the DNS knows; empty where there is none."""
    namespace, spec = pod["metadata"]["namespace"], pod.get("spec") or {}
    hostname, subdomain = spec.get("hostname"), spec.get("subdomain")
    if hostname and subdomain and exists("services", namespace, subdomain):
        return f"{hostname}.{subdomain}.{namespace}.svc.{ZONE}"
    address = str((pod.get("status") or {}).get("podIP") or "")
    return f"{address.replace('.', '-').replace(':', '-')}.{namespace}.pod.{ZONE}" if address else ""


def _own_command(pod: Json) -> list[str]:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return [*(containers[0].get("command") or ()), *(containers[0].get("args") or ())]


def _asked_name(command: Sequence[str], namespace: str, exists: Exists) -> str:
    """Return the whole name that *command* would look up in a pod of *namespace*; empty where it looks nothing up."""
    if not command or command[0].rpartition("/")[2] not in _ASKING:
        return ""
    names = [word for word in command[1:] if word[:1] not in ("-", "+", "@") and not word.isupper()]
    names = [word for word in names if word not in ("hosts", "ahosts") and not word.isdecimal()]
    if not names:
        return ""
    name = names[0].rstrip(".")
    labels = name.split(".")
    if name.endswith(ZONE):
        return name
    if labels[-1] == "svc":
        return f"{name}.{ZONE}"
    if len(labels) > 1 and exists("services", labels[-1], labels[-2]):  # nginx.default, web-0.nginx.default
        return f"{name}.svc.{ZONE}"
    return f"{name}.{namespace}.svc.{ZONE}" if exists("services", namespace, labels[-1]) else name
