"""The objects that every cluster has from the beginning. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from headlessdns.lab.api.forms import timestamp
from headlessdns.lab.api.kinds import NAMESPACES, SERVICES, Json
from headlessdns.lab.api.rules import Rules

_NAME = "kubernetes"


def add_objects(rules: Rules) -> None:
    """Create what every cluster has, where it is not there."""
    namespaces = rules.registry.find("", "v1", NAMESPACES)
    services = rules.registry.find("", "v1", SERVICES)
    assert namespaces is not None
    assert services is not None
    for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
        if rules.store.get(NAMESPACES, "", name) is None:
            rules.create(namespaces, "", {"metadata": {"name": name}})
    if rules.store.get(SERVICES, "default", _NAME) is None:
        service = {
            "metadata": {"name": _NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "clusterIP": "10.96.0.1",
                "clusterIPs": ["10.96.0.1"],
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
        }
        rules.create(services, "default", service)


def write_endpoints(rules: Rules, host: str, port: int) -> None:
    """Write the Endpoints and the EndpointSlice of the Service of the API, which is reached at *host* and *port*.

    They are written past the rules, which refuse the loopback addresses at which a lab is reached.
    """
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    endpoints: Json = {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": host}], "ports": ports}],
    }
    endpoint_slice: Json = {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"labels": {"kubernetes.io/service-name": _NAME}, "generation": 1},
        "addressType": f"IPv{ip_address(host).version}",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": ports,
    }
    for resource, object in (("endpoints", endpoints), ("endpointslices.discovery.k8s.io", endpoint_slice)):
        _put(rules, resource, object)


def _put(rules: Rules, resource: str, object: Json) -> None:
    metadata: Json = {
        "name": _NAME,
        "namespace": "default",
        "uid": rules.new_uid(),
        "creationTimestamp": timestamp(rules.now),
        **object["metadata"],
    }
    entry = rules.store.get(resource, "default", _NAME)
    if entry is None:
        rules.store.create(resource, object | {"metadata": metadata})
        return
    old = entry.object
    changed = old | {field: value for field, value in object.items() if field != "metadata"}
    if changed != old:
        rules.store.update(resource, changed)
