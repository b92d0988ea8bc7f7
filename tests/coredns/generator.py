"""Cluster content of every kind that a DNS server may meet, and changes to it: pure functions of a seed.

The objects are manifests that an API server accepts as they are: cluster IPs are of 10.96.0.0/16 and fd00:96::/108, and
slices are made here, as a controller or a careless person would make them, since no controller is to change them.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Manifest = dict[str, Any]
Key = tuple[str, str, str]

# The last two are labels of the DNS schema too, which must not confuse anybody; one namespace stays empty.
NAMESPACES = ("default", "shop", "data", "team-a", "team-b", "x", "empty", "svc", "pod")
EMPTY_NAMESPACE = "empty"

NODE = "node-1"


@dataclass(frozen=True)
class Change:
    """One write to the API server."""

    verb: Literal["create", "replace", "delete"]
    manifest: Manifest


def key(manifest: Manifest) -> Key:
    """Return what tells the object from all others: kind, namespace, name."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def generate(seed: int, services: int = 300) -> list[Manifest]:
    """Return namespaces, *services* Services of all kinds in turn with their EndpointSlices, and Pods."""
    maker = Maker(seed)
    objects = [namespace(name) for name in NAMESPACES if name != "default"]
    kinds = list(KINDS)
    for number in range(services):
        objects += maker.service_of(kinds[number % len(kinds)], number)
    objects += [maker.pod(number) for number in range(40)]
    return objects


def changes(seed: int, objects: Iterable[Manifest], count: int = 500) -> list[Change]:
    """Return *count* writes, each valid after those before it, that begin at *objects*."""
    history = History(seed, objects)
    while len(history.changes) < count:
        history.step()
    return history.changes[:count]


def after(objects: Iterable[Manifest], written: Iterable[Change]) -> list[Manifest]:
    """Return what is there once *written* was carried out on *objects*."""
    state = {key(manifest): manifest for manifest in objects}
    for change in written:
        apply(state, change)
    return list(state.values())


def apply(state: dict[Key, Manifest], change: Change) -> None:
    """Carry out *change* on *state*: with a namespace goes all that is in it."""
    if change.verb != "delete":
        state[key(change.manifest)] = change.manifest
        return
    kind, _, name = key(change.manifest)
    del state[key(change.manifest)]
    if kind == "Namespace":
        for inside in [k for k in state if k[1] == name]:
            del state[inside]


# ---- single objects


def namespace(name: str) -> Manifest:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(space: str, name: str, **spec: Any) -> Manifest:
    """Return a Service with the fields *spec*."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": spec}


def headless(space: str, name: str, ports: list[Manifest], families: str = "4", **spec: Any) -> Manifest:
    """Return a headless Service for the IP *families* ``4``, ``6`` or both, with a selector unless *spec* takes it."""
    spec = {"clusterIP": "None", "selector": {"app": name}, "ports": ports, **family_fields(families), **spec}
    return service(space, name, **{field: value for field, value in spec.items() if value is not None})


def family_fields(families: str) -> Manifest:
    """Return the fields of a Service that say which IP families it has, the first one first."""
    policy = "SingleStack" if len(families) == 1 else "RequireDualStack"
    return {"ipFamilies": [f"IPv{family}" for family in families], "ipFamilyPolicy": policy}


def port(number: int, name: str = "", protocol: str = "TCP") -> Manifest:
    """Return a port of a Service or of a slice; without *name* it is an unnamed one."""
    return {"port": number, "protocol": protocol} | ({"name": name} if name else {})


def endpoint(address: str, hostname: str = "", **conditions: bool) -> Manifest:
    """Return an endpoint; conditions that are not named are unknown (nil)."""
    made: Manifest = {"addresses": [address], "conditions": conditions, "nodeName": NODE}
    return made | ({"hostname": hostname} if hostname else {})


def endpoint_slice(owner: Manifest, suffix: str, endpoints: list[Manifest], ports: list[Manifest] | None) -> Manifest:
    """Return a slice of the Service *owner*, of the IP family of its first endpoint, else IPv4."""
    metadata = owner["metadata"]
    name = metadata["name"]
    labels = {"kubernetes.io/service-name": name}
    if owner["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    address = endpoints[0]["addresses"][0] if endpoints else "0.0.0.0"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name[:40]}-{suffix}", "namespace": metadata["namespace"], "labels": labels},
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": endpoints,
        "ports": ports or [],
    }


def inside(owner: Manifest) -> str:
    """Return the name of the Service *owner* in the cluster's zone."""
    return f"{owner['metadata']['name']}.{owner['metadata']['namespace']}.svc.cluster.local"


class Maker:
    """Makes objects from chance; addresses are never given twice, save where a kind wants that."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._numbers = {"v4": 0, "v6": 0, "cluster": 0, "slice": 0}

    def _next(self, what: str) -> int:
        self._numbers[what] += 1
        return self._numbers[what]

    def v4(self) -> str:
        """Return a fresh pod address."""
        number = self._next("v4")
        return f"10.{1 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"

    def v6(self) -> str:
        """Return a fresh pod address; every tenth ends in zeros, so that its text ends in ``::``."""
        number = self._next("v6")
        return f"fd00:1:{number:x}::" if number % 10 == 0 else f"fd00:1::{number:x}"

    def cluster_ips(self, families: str) -> list[str]:
        """Return a fresh cluster IP of each of *families*."""
        number = self._next("cluster")
        of_family = {"4": f"10.96.{1 + number // 250}.{1 + number % 250}", "6": f"fd00:96::{0x100 + number:x}"}
        return [of_family[family] for family in families]

    def suffix(self) -> str:
        """Return a name ending that no other slice has."""
        return f"{self._next('slice'):04x}"

    def some(self, low: int, high: int, family: str = "4", hostname: str = "", start: int = 0) -> list[Manifest]:
        """Return *low* to *high* Ready endpoints, called ``hostname-START`` and so on where *hostname* is given."""
        address = self.v4 if family == "4" else self.v6
        return [
            endpoint(address(), f"{hostname}-{start + index}" if hostname else "", ready=True)
            for index in range(self.rng.randint(low, high))
        ]

    def slice_of(self, owner: Manifest, endpoints: list[Manifest], ports: list[Manifest] | None = None) -> Manifest:
        """Return a slice of *owner*, with the Service's ports where none are given."""
        own = [port(p["port"], p.get("name", ""), p["protocol"]) for p in owner["spec"].get("ports", [])]
        return endpoint_slice(owner, self.suffix(), endpoints, own if ports is None else ports)

    def slices_of(self, owner: Manifest, endpoints: list[Manifest], count: int) -> list[Manifest]:
        """Return *endpoints* dealt out to *count* slices."""
        return [self.slice_of(owner, endpoints[part::count]) for part in range(count)]

    def service_of(self, kind: str, number: int) -> list[Manifest]:
        """Return a Service of *kind* and its slices, in a namespace of chance."""
        space = self.rng.choice([name for name in NAMESPACES if name != EMPTY_NAMESPACE])
        return KINDS[kind](self, space, f"{kind}-{number}")

    def pod(self, number: int) -> Manifest:
        """Return a Pod with addresses: most run, some are over and have lost their claim to them."""
        space = self.rng.choice([name for name in NAMESPACES if name != EMPTY_NAMESPACE])
        addresses = self.rng.choice([[self.v4()], [self.v6()], [self.v4(), self.v6()]])
        phase = self.rng.choice(["Running", "Running", "Running", "Pending", "Succeeded", "Failed"])
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "namespace": space},
            "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "main"}]},
            "status": {"phase": phase, "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]},
        }

    # ---- the kinds of Services: headless

    def stateful(self, space: str, name: str) -> list[Manifest]:
        """A StatefulSet's governing Service: host names with ordinals."""
        owner = headless(space, name, [port(80, "http")])
        return [owner, self.slice_of(owner, self.some(1, 6, hostname="web"))]

    def several_slices(self, space: str, name: str) -> list[Manifest]:
        """Ordinals that pass from two to three digits, dealt out to three slices."""
        owner = headless(space, name, [port(9042, "cql")])
        return [owner, *self.slices_of(owner, self.some(6, 12, hostname="db", start=95), 3)]

    def high_ordinals(self, space: str, name: str) -> list[Manifest]:
        """Ordinals that begin far above zero."""
        owner = headless(space, name, [port(80, "http")])
        return [owner, self.slice_of(owner, self.some(2, 4, hostname="late", start=2147483640))]

    def dual_stack(self, space: str, name: str) -> list[Manifest]:
        """Every host has an address of each family, in slices of their own."""
        owner = headless(space, name, [port(80, "http")], families="64")
        first = self.some(2, 4, hostname="dual")
        second = [endpoint(self.v6(), host["hostname"], ready=True) for host in first]
        return [owner, self.slice_of(owner, first), self.slice_of(owner, second)]

    def mixed_families(self, space: str, name: str) -> list[Manifest]:
        """Some hosts have only an IPv4 address, others only an IPv6 one."""
        owner = headless(space, name, [port(80, "http")], families="46")
        first, second = self.some(1, 3, hostname="four"), self.some(1, 3, family="6", hostname="six")
        return [owner, self.slice_of(owner, first), self.slice_of(owner, second)]

    def six_only(self, space: str, name: str) -> list[Manifest]:
        """IPv6 alone, without host names."""
        owner = headless(space, name, [port(80, "http")], families="6")
        return [owner, self.slice_of(owner, self.some(1, 12, family="6"))]

    def no_hostnames(self, space: str, name: str) -> list[Manifest]:
        """A Deployment behind a headless Service."""
        owner = headless(space, name, [port(8080, "http")])
        return [owner, self.slice_of(owner, self.some(1, 5))]

    def some_hostnames(self, space: str, name: str) -> list[Manifest]:
        """Endpoints with and without host names in one slice."""
        owner = headless(space, name, [port(8080, "http")])
        return [owner, self.slice_of(owner, self.some(1, 3, hostname="named") + self.some(1, 3))]

    def no_selector(self, space: str, name: str) -> list[Manifest]:
        """A slice made by hand for a Service that selects nothing."""
        owner = headless(space, name, [port(5432, "postgres")], selector=None)
        return [owner, self.slice_of(owner, self.some(1, 3) + self.some(1, 1, hostname="primary"))]

    def no_ports(self, space: str, name: str) -> list[Manifest]:
        """A headless Service without ports."""
        owner = headless(space, name, [])
        return [owner, self.slice_of(owner, self.some(1, 3, hostname="mute"))]

    def unnamed_port(self, space: str, name: str) -> list[Manifest]:
        """A single port without a name."""
        owner = headless(space, name, [port(6379)])
        return [owner, self.slice_of(owner, self.some(1, 3, hostname="cache"))]

    def many_ports(self, space: str, name: str) -> list[Manifest]:
        """Several ports of each protocol, and a target port that differs from the Service's."""
        ports = [port(53, "dns", "UDP"), port(53, "dns-tcp"), port(9153, "metrics"), port(3868, "diameter", "SCTP")]
        owner = headless(space, name, ports)
        target = [*ports[:2], port(19153, "metrics"), ports[3]]
        return [owner, self.slice_of(owner, self.some(1, 3, hostname="node"), target)]

    def ports_by_slice(self, space: str, name: str) -> list[Manifest]:
        """A named target port that two versions of the pods resolve differently; a third slice names no number."""
        owner = headless(space, name, [port(80, "http")])
        slices = [self.slice_of(owner, self.some(1, 2, hostname=f"v{n}"), [port(8000 + n, "http")]) for n in (1, 2)]
        any_number = {"name": "http", "protocol": "TCP"}
        return [owner, *slices, self.slice_of(owner, self.some(1, 1, hostname="v3"), [any_number])]

    def foreign_port(self, space: str, name: str) -> list[Manifest]:
        """A slice made by hand with a port that its Service does not have."""
        owner = headless(space, name, [port(80, "http")], selector=None)
        return [owner, self.slice_of(owner, self.some(1, 2, hostname="hand"), [port(81, "admin")])]

    def conditions(self, space: str, name: str) -> list[Manifest]:
        """Every combination of ready, serving and terminating that a controller writes, and none at all."""
        owner = headless(space, name, [port(80, "http")])
        states: list[dict[str, bool]] = [
            {"ready": True, "serving": True, "terminating": False},
            {"ready": False, "serving": False, "terminating": False},
            {"ready": False, "serving": True, "terminating": True},
            {"ready": False, "serving": False, "terminating": True},
            {"serving": True},
            {},
        ]
        return [owner, self.slice_of(owner, [endpoint(self.v4(), f"s-{n}", **s) for n, s in enumerate(states)])]

    def none_ready(self, space: str, name: str) -> list[Manifest]:
        """Endpoints, of which none is ready."""
        owner = headless(space, name, [port(80, "http")])
        return [owner, self.slice_of(owner, [endpoint(self.v4(), f"wait-{n}", ready=False) for n in range(2)])]

    def no_endpoints(self, space: str, name: str) -> list[Manifest]:
        """A slice without endpoints, as the controller leaves it when the last pod went."""
        owner = headless(space, name, [port(80, "http")])
        return [owner, self.slice_of(owner, [])]

    def no_slices(self, space: str, name: str) -> list[Manifest]:
        """A headless Service alone."""
        return [headless(space, name, [port(80, "http")])]

    def publish_not_ready(self, space: str, name: str) -> list[Manifest]:
        """Pods that are published before they are Ready: the controller calls them ready in the slice."""
        owner = headless(space, name, [port(80, "http")], publishNotReadyAddresses=True)
        early = endpoint(self.v4(), "early-0", ready=True, serving=False, terminating=False)
        ending = endpoint(self.v4(), "early-1", ready=True, serving=True, terminating=True)
        return [owner, self.slice_of(owner, [early, ending])]

    def publish_by_hand(self, space: str, name: str) -> list[Manifest]:
        """The same in slices made by hand, which say what is: one is ready, one is not, one is ending."""
        ports = [port(80, "http"), port(161, "snmp", "UDP")]
        owner = headless(space, name, ports, publishNotReadyAddresses=True, selector=None)
        bare = [endpoint(self.v4(), ready=False)]
        states = [{"ready": True}, {"ready": False}, {"ready": False, "serving": True, "terminating": True}]
        named = [endpoint(self.v4(), f"hand-{n}", **s) for n, s in enumerate(states)]
        return [owner, self.slice_of(owner, named), self.slice_of(owner, bare)]

    def same_endpoint_twice(self, space: str, name: str) -> list[Manifest]:
        """Endpoints that stand in two slices while they are moved."""
        owner = headless(space, name, [port(80, "http")])
        moving = self.some(2, 4, hostname="move")
        return [owner, self.slice_of(owner, moving), self.slice_of(owner, copy.deepcopy(moving[1:]))]

    def same_hostname(self, space: str, name: str) -> list[Manifest]:
        """Several endpoints with one host name."""
        owner = headless(space, name, [port(80, "http")])
        return [owner, self.slice_of(owner, [endpoint(self.v4(), "twin", ready=True) for _ in range(3)])]

    def many_addresses(self, space: str, name: str) -> list[Manifest]:
        """An endpoint with more addresses than the one whose meaning is defined."""
        owner = headless(space, name, [port(80, "http")], selector=None)
        wide = endpoint(self.v4(), "wide", ready=True)
        wide["addresses"].append(self.v4())
        return [owner, self.slice_of(owner, [wide, *self.some(1, 2)])]

    def shared_addresses(self, space: str, name: str) -> list[Manifest]:
        """Two headless Services over the same pods, which have host names in only one of them."""
        owner = headless(space, name, [port(80, "http")])
        other = headless(space, f"{name}-all", [port(80, "http")])
        named = self.some(1, 3, hostname="both")
        bare = [{field: value for field, value in host.items() if field != "hostname"} for host in named]
        return [owner, self.slice_of(owner, named), other, self.slice_of(other, copy.deepcopy(bare))]

    def governed_and_client(self, space: str, name: str) -> list[Manifest]:
        """A StatefulSet behind two Services: the governing one, and one with a virtual address for its clients."""
        owner = headless(space, name, [port(2888, "server"), port(3888, "election")])
        named = self.some(1, 3, hostname="zk")
        client = self._with_ips(space, f"{name}-client", "4", [port(2181, "client")])[0]
        bare = [{field: value for field, value in host.items() if field != "hostname"} for host in named]
        return [owner, self.slice_of(owner, named), client, self.slice_of(client, bare)]

    def address_hostname(self, space: str, name: str) -> list[Manifest]:
        """Host names that look like addresses: an endpoint's own, and that of another one."""
        owner = headless(space, name, [port(80, "http")])
        own, other, plain = self.v4(), self.v4(), self.v4()
        named = [endpoint(own, own.replace(".", "-")), endpoint(other, plain.replace(".", "-")), endpoint(plain)]
        return [owner, self.slice_of(owner, named)]

    def digits(self, space: str, name: str) -> list[Manifest]:
        """A Service and hosts whose names begin with a digit."""
        owner = headless(space, name, [port(80, "80-http")])
        return [owner, self.slice_of(owner, self.some(1, 2, hostname="0"))]

    def longest_names(self, space: str, name: str) -> list[Manifest]:
        """A Service and a host whose labels have 63 octets, and ports whose labels have 63 and would have 64."""
        ports = [port(80, "a-port-name-15c"), port(81, "p".ljust(62, "q")), port(82, "p".ljust(63, "q"))]
        owner = headless(space, name.ljust(63, "x"), ports)
        return [owner, self.slice_of(owner, [endpoint(self.v4(), "h".ljust(63, "9"), ready=True)])]

    def large(self, space: str, name: str) -> list[Manifest]:
        """More endpoints than fit into a UDP response."""
        owner = headless(space, name, [port(80, "http")])
        return [owner, *self.slices_of(owner, self.some(110, 130, hostname="many"), 2)]

    def domain_slice(self, space: str, name: str) -> list[Manifest]:
        """A slice of the address type FQDN, which the API still takes."""
        owner = headless(space, name, [port(80, "http")], selector=None)
        made = self.slice_of(owner, [endpoint("backend.example.net", ready=True)])
        return [owner, made | {"addressType": "FQDN"}, self.slice_of(owner, self.some(1, 2, hostname="near"))]

    # ---- the kinds of Services: others

    def cluster_ip(self, space: str, name: str) -> list[Manifest]:
        """The usual Service."""
        return self._with_ips(space, name, "4", [port(80, "http")])

    def cluster_ip_dual(self, space: str, name: str) -> list[Manifest]:
        """A virtual address of each family, IPv6 first."""
        return self._with_ips(space, name, "64", [port(80, "http"), port(443, "https")])

    def cluster_ip_six(self, space: str, name: str) -> list[Manifest]:
        """A virtual IPv6 address alone."""
        return self._with_ips(space, name, "6", [port(80, "http")])

    def cluster_ip_unnamed(self, space: str, name: str) -> list[Manifest]:
        """A virtual address with a port that has no name."""
        return self._with_ips(space, name, "4", [port(80)])

    def cluster_ip_many_ports(self, space: str, name: str) -> list[Manifest]:
        """Ports of several protocols on one virtual address, two of them with one number."""
        return self._with_ips(space, name, "46", [port(53, "dns", "UDP"), port(53, "dns-tcp"), port(9153, "metrics")])

    def cluster_ip_idle(self, space: str, name: str) -> list[Manifest]:
        """A virtual address behind which nothing runs."""
        return self._with_ips(space, name, "4", [port(80, "http")])[:1]

    def cluster_ip_hostnames(self, space: str, name: str) -> list[Manifest]:
        """A StatefulSet whose Service has a virtual address."""
        made = self._with_ips(space, name, "4", [port(80, "http")])
        for number, host in enumerate(made[1]["endpoints"]):
            host["hostname"] = f"web-{number}"
        return made

    def node_port(self, space: str, name: str) -> list[Manifest]:
        """A Service that nodes answer for too."""
        return self._with_ips(space, name, "4", [port(80, "http")], type="NodePort")

    def load_balancer(self, space: str, name: str) -> list[Manifest]:
        """A Service with an address outside, which is none of the cluster's names."""
        made = self._with_ips(space, name, "4", [port(80, "http")], type="LoadBalancer")
        made[0]["status"] = {"loadBalancer": {"ingress": [{"ip": f"203.0.113.{self.rng.randint(1, 250)}"}]}}
        return made

    def external_name(self, space: str, name: str) -> list[Manifest]:
        """A Service that stands for a name outside."""
        return [service(space, name, type="ExternalName", externalName=f"{name}.example.org")]

    def external_name_ports(self, space: str, name: str) -> list[Manifest]:
        """A Service that stands for a name outside, with a port."""
        ports = [port(443, "https")]
        return [service(space, name, type="ExternalName", externalName="www.example.org.", ports=ports)]

    def external_name_inside(self, space: str, name: str) -> list[Manifest]:
        """A Service that stands for another one of the cluster."""
        owner = headless(space, f"{name}-target", [port(80, "http")])
        alias = service(space, name, type="ExternalName", externalName=inside(owner))
        return [owner, self.slice_of(owner, self.some(1, 3, hostname="real")), alias]

    def external_name_chain(self, space: str, name: str) -> list[Manifest]:
        """A Service that stands for one that stands for a third, which has addresses."""
        made = self._with_ips(space, f"{name}-target", "46", [port(80, "http")])
        second = service(space, f"{name}-second", type="ExternalName", externalName=inside(made[0]))
        return [*made, second, service(space, name, type="ExternalName", externalName=inside(second))]

    def external_name_loop(self, space: str, name: str) -> list[Manifest]:
        """Two Services that stand for each other."""
        first, second = service(space, name), service(space, f"{name}-back")
        first["spec"] = {"type": "ExternalName", "externalName": inside(second)}
        second["spec"] = {"type": "ExternalName", "externalName": inside(first)}
        return [first, second]

    def external_name_address(self, space: str, name: str) -> list[Manifest]:
        """An address where a name is expected, which the API takes for a name."""
        return [service(space, name, type="ExternalName", externalName=f"192.0.2.{self.rng.randint(1, 250)}")]

    def external_name_nowhere(self, space: str, name: str) -> list[Manifest]:
        """A Service that stands for a name that the cluster should have and does not."""
        return [service(space, name, type="ExternalName", externalName="gone.shop.svc.cluster.local")]

    def orphan_slice(self, space: str, name: str) -> list[Manifest]:
        """A slice whose Service does not exist, with addresses that nobody else has."""
        return [self.slice_of(headless(space, name, [port(80, "http")]), self.some(1, 2, hostname="orphan"))]

    def _with_ips(self, space: str, name: str, families: str, ports: list[Manifest], **spec: Any) -> list[Manifest]:
        ips = self.cluster_ips(families)
        fields = {"clusterIP": ips[0], "clusterIPs": ips, **family_fields(families), "selector": {"app": name}}
        owner = service(space, name, ports=ports, **fields, **spec)
        return [owner, *(self.slice_of(owner, self.some(1, 3, family=family)) for family in families)]


KINDS: dict[str, Callable[[Maker, str, str], list[Manifest]]] = {
    "stateful": Maker.stateful,
    "several-slices": Maker.several_slices,
    "high-ordinals": Maker.high_ordinals,
    "dual-stack": Maker.dual_stack,
    "mixed-families": Maker.mixed_families,
    "six-only": Maker.six_only,
    "no-hostnames": Maker.no_hostnames,
    "some-hostnames": Maker.some_hostnames,
    "no-selector": Maker.no_selector,
    "no-ports": Maker.no_ports,
    "unnamed-port": Maker.unnamed_port,
    "many-ports": Maker.many_ports,
    "ports-by-slice": Maker.ports_by_slice,
    "foreign-port": Maker.foreign_port,
    "conditions": Maker.conditions,
    "none-ready": Maker.none_ready,
    "no-endpoints": Maker.no_endpoints,
    "no-slices": Maker.no_slices,
    "publish-not-ready": Maker.publish_not_ready,
    "publish-by-hand": Maker.publish_by_hand,
    "same-endpoint-twice": Maker.same_endpoint_twice,
    "same-hostname": Maker.same_hostname,
    "many-addresses": Maker.many_addresses,
    "shared-addresses": Maker.shared_addresses,
    "governed-and-client": Maker.governed_and_client,
    "address-hostname": Maker.address_hostname,
    "0-digits": Maker.digits,
    "longest-names": Maker.longest_names,
    "large": Maker.large,
    "domain-slice": Maker.domain_slice,
    "cluster-ip": Maker.cluster_ip,
    "cluster-ip-dual": Maker.cluster_ip_dual,
    "cluster-ip-six": Maker.cluster_ip_six,
    "cluster-ip-unnamed": Maker.cluster_ip_unnamed,
    "cluster-ip-many-ports": Maker.cluster_ip_many_ports,
    "cluster-ip-idle": Maker.cluster_ip_idle,
    "cluster-ip-hostnames": Maker.cluster_ip_hostnames,
    "node-port": Maker.node_port,
    "load-balancer": Maker.load_balancer,
    "external-name": Maker.external_name,
    "external-name-ports": Maker.external_name_ports,
    "external-name-inside": Maker.external_name_inside,
    "external-name-chain": Maker.external_name_chain,
    "external-name-loop": Maker.external_name_loop,
    "external-name-address": Maker.external_name_address,
    "external-name-nowhere": Maker.external_name_nowhere,
    "orphan-slice": Maker.orphan_slice,
}


class History:
    """A cluster's content over time: each step appends the writes of one thing that happens."""

    def __init__(self, seed: int, objects: Iterable[Manifest]) -> None:
        self.changes: list[Change] = []
        self._state = {key(manifest): manifest for manifest in objects}
        # Addresses and names from well above those that the objects have.
        self._maker = Maker(seed)
        self._maker._numbers = dict.fromkeys(self._maker._numbers, 20_000)
        self._rng = self._maker.rng
        self._number = 10_000

    def step(self) -> None:
        """Let one thing happen, the everyday ones most often."""
        happenings, weights = zip(*HAPPENINGS, strict=True)
        self._rng.choices(happenings, weights)[0](self)

    def _write(self, verb: Literal["create", "replace", "delete"], manifest: Manifest) -> None:
        change = Change(verb, manifest)
        apply(self._state, change)
        self.changes.append(change)

    def _any(self, kind: str) -> Manifest:
        """Return a copy of some object of *kind*, to be changed and written."""
        return copy.deepcopy(self._rng.choice([m for m in self._state.values() if m["kind"] == kind]))

    def scale_up(self) -> None:
        """An endpoint is added to a slice, with a host name where the others have one."""
        chosen = self._any("EndpointSlice")
        if chosen["addressType"] == "FQDN":
            return
        address = self._maker.v4() if chosen["addressType"] == "IPv4" else self._maker.v6()
        named = chosen["endpoints"] and chosen["endpoints"][-1].get("hostname")
        hostname = f"{named[:40]}-{len(chosen['endpoints'])}" if named else ""
        chosen["endpoints"].append(endpoint(address, hostname, ready=True))
        self._write("replace", chosen)

    def scale_down(self) -> None:
        """An endpoint goes."""
        chosen = self._any("EndpointSlice")
        if chosen["endpoints"]:
            chosen["endpoints"].pop(self._rng.randrange(len(chosen["endpoints"])))
            self._write("replace", chosen)

    def turn_readiness(self) -> None:
        """A ready endpoint stops being so, or the reverse."""
        chosen = self._any("EndpointSlice")
        if chosen["endpoints"]:
            conditions = self._rng.choice(chosen["endpoints"])["conditions"]
            conditions["ready"] = not conditions.get("ready", True)
            self._write("replace", chosen)

    def new_address(self) -> None:
        """A pod comes back under its name with another address."""
        chosen = self._any("EndpointSlice")
        if chosen["endpoints"] and chosen["addressType"] == "IPv4":
            self._rng.choice(chosen["endpoints"])["addresses"] = [self._maker.v4()]
            self._write("replace", chosen)

    def move_endpoint(self) -> None:
        """An endpoint moves to a new slice: added there before it is removed here."""
        chosen = self._any("EndpointSlice")
        if not chosen["endpoints"]:
            return
        target = copy.deepcopy(chosen)
        target["metadata"]["name"] += f"-{self._maker.suffix()}"
        target["endpoints"] = [chosen["endpoints"].pop()]
        self._write("create", target)
        self._write("replace", chosen)

    def delete_slice(self) -> None:
        """A slice goes with all its endpoints."""
        self._write("delete", self._any("EndpointSlice"))

    def new_service(self) -> None:
        """A Service of some kind appears, its slices before or after it."""
        self._number += 1
        made = self._maker.service_of(self._rng.choice(list(KINDS)), self._number)
        spaces = {name for kind, _, name in self._state if kind == "Namespace"} | {"default"}
        if made[0]["metadata"]["namespace"] in spaces:
            self._rng.shuffle(made)
            for manifest in made:
                self._write("create", manifest)

    def delete_service(self) -> None:
        """A Service goes; its slices stay behind, or go too."""
        chosen = self._any("Service")
        self._write("delete", chosen)
        if self._rng.random() < 0.7:
            _, space, name = key(chosen)
            labels = {"kubernetes.io/service-name": name}
            for manifest in [m for m in self._state.values() if m["kind"] == "EndpointSlice"]:
                metadata = manifest["metadata"]
                if metadata["namespace"] == space and labels.items() <= metadata["labels"].items():
                    self._write("delete", manifest)

    def revive_service(self) -> None:
        """A Service is deleted and made again as another kind: headless becomes ClusterIP and the reverse."""
        chosen = self._any("Service")
        if chosen["spec"].get("type", "ClusterIP") != "ClusterIP":
            return
        _, space, name = key(chosen)
        ports = chosen["spec"].get("ports") or [port(80, "http")]
        self._write("delete", chosen)
        if chosen["spec"]["clusterIP"] == "None":
            self._write("create", self._maker._with_ips(space, name, "4", ports)[0])
        else:
            self._write("create", headless(space, name, ports))

    def change_ports(self) -> None:
        """A Service gets another port, or its ports other names."""
        chosen = self._any("Service")
        if chosen["spec"].get("type", "ClusterIP") != "ClusterIP":
            return
        self._number += 1
        chosen["spec"]["ports"] = [port(80, "http"), port(1 + self._number % 60_000, f"p{self._number}")]
        self._write("replace", chosen)

    def point_elsewhere(self) -> None:
        """An ExternalName gets another target."""
        chosen = self._any("Service")
        if chosen["spec"].get("type") == "ExternalName":
            self._number += 1
            chosen["spec"]["externalName"] = f"n{self._number}.example.com"
            self._write("replace", chosen)

    def become_external(self) -> None:
        """A headless Service becomes an ExternalName, in place."""
        chosen = self._any("Service")
        if chosen["spec"].get("clusterIP") == "None":
            _, space, name = key(chosen)
            self._write("replace", service(space, name, type="ExternalName", externalName="moved.example.com"))

    def new_pod(self) -> None:
        """A Pod appears with its address."""
        self._number += 1
        made = self._maker.pod(self._number)
        if ("Namespace", "", made["metadata"]["namespace"]) in self._state:
            self._write("create", made)

    def delete_pod(self) -> None:
        """A Pod goes."""
        self._write("delete", self._any("Pod"))

    def new_namespace(self) -> None:
        """A namespace appears with a Service in it."""
        self._number += 1
        name = f"new-{self._number}"
        self._write("create", namespace(name))
        for manifest in self._maker.stateful(name, "web"):
            self._write("create", manifest)

    def delete_namespace(self) -> None:
        """A namespace goes with all that is in it, for good; the oldest ones stay."""
        chosen = self._any("Namespace")
        if chosen["metadata"]["name"] not in NAMESPACES:
            self._write("delete", chosen)


# What happens, and how often for each other thing that does.
HAPPENINGS: tuple[tuple[Callable[[History], None], int], ...] = (
    (History.scale_up, 20),
    (History.scale_down, 20),
    (History.turn_readiness, 30),
    (History.new_address, 20),
    (History.move_endpoint, 10),
    (History.delete_slice, 5),
    (History.new_service, 20),
    (History.delete_service, 10),
    (History.revive_service, 6),
    (History.change_ports, 10),
    (History.point_elsewhere, 10),
    (History.become_external, 4),
    (History.new_pod, 5),
    (History.delete_pod, 4),
    (History.new_namespace, 5),
    (History.delete_namespace, 6),
)
