"""Manifests as text: what is found in them, and what is said of faults."""

from __future__ import annotations

import json
from collections import Counter
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headlessdns.cluster import documents
from headlessdns.cluster.documents import Decoded, Note
from headlessdns.cluster.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Key,
    Kind,
    Labels,
    Metadata,
    Namespace,
    Ordinals,
    Pod,
    PodIP,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
    StatefulSet,
    StatefulSetSpec,
)


def decode(text: str, *, is_json: bool = False) -> Decoded:
    return documents.decode(dedent(text).encode(), "f.json" if is_json else "f.yaml", is_json=is_json)


def faults(text: str, *, is_json: bool = False) -> list[str]:
    return [str(fault) for fault in decode(text, is_json=is_json).faults]


def found(text: str) -> list[object]:
    decoded = decode(text)
    assert decoded.faults == []
    return [one.object for one in decoded.found]


def document(kind: str, api_version: str = "v1", name: str = "web", **fields: object) -> str:
    """Return a document with one field a line, each value in the flow style that JSON is."""
    head = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in {**head, **fields}.items())


SLICE = {"metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4"}
SLICES = "discovery.k8s.io/v1"


# What is found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            """
            apiVersion: v1
            kind: Service
            metadata:
              name: nginx
              namespace: prod
            spec:
              clusterIP: None
              selector: {app: nginx}
              ports: [{name: web, port: 80}]
            """,
            [
                Service(
                    Metadata("nginx", "prod"),
                    ServiceSpec(cluster_ip="None", ports=(ServicePort(80, "web", "TCP"),)),
                )
            ],
            id="Service",
        ),
        pytest.param(
            """
            apiVersion: v1
            kind: Namespace
            metadata: {name: prod, namespace: ignored}
            """,
            [Namespace(Metadata("prod", ""))],
            id="Namespace has no namespace",
        ),
        pytest.param(
            """
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            endpoints: [{addresses: [10.0.0.1], hostname: web-0}]
            ports: [{name: http, port: 80}]
            """,
            [
                EndpointSlice(
                    Metadata("web-x", "default", labels=Labels("web")),
                    "IPv4",
                    (Endpoint(("10.0.0.1",), hostname="web-0"),),
                    (EndpointPort("http", "TCP", 80),),
                )
            ],
            id="EndpointSlice, namespace default",
        ),
        pytest.param(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: web-0}
            status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
            """,
            [
                Pod(
                    Metadata("web-0", "default"),
                    PodStatus("Running", "10.0.0.1", (PodIP("10.0.0.1"), PodIP("fd00::1"))),
                )
            ],
            id="Pod",
        ),
        pytest.param(
            """
            apiVersion: apps/v1
            kind: StatefulSet
            metadata: {name: web}
            spec: {replicas: 3, serviceName: nginx, ordinals: {start: 5}}
            """,
            [StatefulSet(Metadata("web", "default"), StatefulSetSpec(3, "nginx", Ordinals(5)))],
            id="StatefulSet",
        ),
        pytest.param(
            """
            apiVersion: v1
            kind: List
            items:
            - {apiVersion: v1, kind: Namespace, metadata: {name: one}}
            - {apiVersion: v1, kind: Namespace, metadata: {name: two}}
            """,
            [Namespace(Metadata("one")), Namespace(Metadata("two"))],
            id="List is unpacked",
        ),
        pytest.param(
            """
            apiVersion: v1
            kind: NamespaceList
            items: [{metadata: {name: one}}, {metadata: {name: two}}]
            """,
            [Namespace(Metadata("one")), Namespace(Metadata("two"))],
            id="typed list gives its items version and kind",
        ),
        pytest.param("apiVersion: v1\nkind: List\nitems:", [], id="List without items"),
        pytest.param("---\n# nothing\n---\n\n---\n", [], id="empty documents"),
        pytest.param("", [], id="no document"),
        pytest.param(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: null, labels: null, annotations: null}
            spec: {clusterIP: null, ports: null, type: null, clusterIPs: null}
            """,
            [
                Service(
                    Metadata("web", "default", labels=None, annotations=None),
                    ServiceSpec(cluster_ip=None, cluster_ips=None, ports=None),
                )
            ],
            id="null is left out",
        ),
        pytest.param(
            """
            apiVersion: v1
            kind: Namespace
            metadata: &anchor {name: one}
            ---
            apiVersion: v1
            kind: Namespace
            metadata: {<<: &two {name: two}, <<: {namespace: x}, creationTimestamp: 2026-01-01T00:00:00Z, name: three}
            """,
            [Namespace(Metadata("one")), Namespace(Metadata("three"))],
            id="anchors, merge keys that are overridden, dates",
        ),
    ],
)
def test_found(text: str, expected: list[object]) -> None:
    """Objects of the kinds that the DNS is made from come out as the API would give them."""
    assert found(text) == expected


def test_date_in_an_annotation_stays_text() -> None:
    """A date without quotes is text, as it is for kubectl."""
    [service] = found(
        """
        apiVersion: v1
        kind: Service
        metadata: {name: web, annotations: {endpoints.kubernetes.io/last-change-trigger-time: 2026-01-01T00:00:00Z}}
        """
    )
    assert isinstance(service, Service)
    assert service.metadata.annotations is not None
    assert service.metadata.annotations.last_change_trigger_time == "2026-01-01T00:00:00Z"


def test_keys_that_are_no_text() -> None:
    """Keys that YAML reads as numbers or truth values are text, as they are for kubectl: `on` is `true`."""
    labels = "{on: a, No: b, 5: c, 1.5: d, ~: e, !!binary eA==: f}"
    [one] = decode(f"{{apiVersion: v1, kind: Pod, 7: x, metadata: {{name: web, labels: {labels}}}}}").found
    assert one.labels == {"true": "a", "false": "b", "5": "c", "1.5": "d", "~": "e", "eA==": "f"}


def test_other_kinds_are_counted_and_skipped() -> None:
    """Kinds that the DNS does not use, a Service of another group among them, are counted and not looked into."""
    text = """
        {apiVersion: v1, kind: ConfigMap, metadata: 5}
        ---
        {apiVersion: v1, kind: ConfigMap}
        ---
        {apiVersion: serving.knative.dev/v1, kind: Service, spec: 1}
        ---
        {apiVersion: v1, kind: ConfigMapList, items: 1}
        ---
        {apiVersion: extensions/v1beta1, kind: Deployment}
    """
    decoded = decode(text)
    assert decoded.faults == []
    assert decoded.found == []
    assert decoded.skipped == Counter({"ConfigMap": 2, "Service": 1, "ConfigMapList": 1, "Deployment": 1})


def test_where_and_labels() -> None:
    """An object is found with file, line and document, and with all its labels."""
    text = "---\n---\n" + document("Pod", metadata={"name": "web", "labels": {"app": "web", "x": "y"}})
    [one] = decode(text).found
    assert (one.where, one.labels) == ("f.yaml:3: document 2", {"app": "web", "x": "y"})


def test_json() -> None:
    """JSON files hold one value after the other."""
    decoded = decode('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one"}}\n' * 2, is_json=True)
    assert [one.object for one in decoded.found] == [Namespace(Metadata("one"))] * 2
    assert [one.where for one in decoded.found] == ["f.json: document 1", "f.json: document 2"]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        pytest.param(document("Service"), Note.NO_CLUSTER_IP, id="no clusterIP"),
        pytest.param(
            document("Service", spec={"type": "LoadBalancer"}), Note.NO_CLUSTER_IP, id="no clusterIP, LoadBalancer"
        ),
        pytest.param(document("Service", spec={"clusterIP": "None"}), None, id="headless"),
        pytest.param(document("Service", spec={"clusterIP": "10.96.0.1"}), None, id="clusterIP"),
        pytest.param(
            document("Service", spec={"type": "ExternalName", "externalName": "a.example"}), None, id="ExternalName"
        ),
        pytest.param(
            document("Service", spec={"type": "ExternalName", "externalName": "192.0.2.1"}),
            Note.NUMERIC_EXTERNAL_NAME,
            id="ExternalName of digits",
        ),
        pytest.param(document("EndpointSlice", SLICES, addressType="IPv4"), Note.NO_SERVICE_LABEL, id="no label"),
        pytest.param(
            document("EndpointSlice", SLICES, **SLICE, endpoints=[{"addresses": ["10.0.0.1"], "hostname": "a" * 64}]),
            Note.ODD_HOSTNAME,
            id="hostname of 64 characters",
        ),
        pytest.param(
            document("EndpointSlice", SLICES, **SLICE, endpoints=[{"addresses": ["10.0.0.1"], "hostname": "a" * 63}]),
            None,
            id="hostname of 63 characters",
        ),
    ],
)
def test_notes(text: str, note: Note | None) -> None:
    """What is allowed and surprising is noted."""
    [one] = decode(text).found
    assert one.notes == ((note,) if note else ())


def test_slice_without_service_is_counted() -> None:
    """A slice that names no Service counts as skipped."""
    decoded = decode(document("EndpointSlice", SLICES, addressType="IPv4"))
    assert decoded.skipped == Counter({"EndpointSlice without the label kubernetes.io/service-name": 1})


# Faults

_DNS_LABEL = "a DNS label: a-z, 0-9 and dashes, 1 to 63 characters, no dash at either end"
_DNS_NAME = "DNS labels of a-z, 0-9 and dashes, joined by dots, 253 characters at most"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "a: [1\nb: 2",
            [
                "f.yaml:2: document 1: found something else (column 2); expected ',' or ']'; "
                "correct the line, or the one before it"
            ],
            id="YAML syntax",
        ),
        pytest.param(
            "a: 1\n\tb: 2",
            [
                "f.yaml:2: document 1: found a tab character that violates indentation (column 1); expected YAML; "
                "correct the line, or the one before it"
            ],
            id="tab",
        ),
        pytest.param(
            "a: !!int x",
            ["f.yaml:1: document 1: found a tag whose text does not fit it; expected plain YAML; leave the tag out"],
            id="tag that does not fit",
        ),
        pytest.param(
            "a: !thing x",
            [
                "f.yaml:1: document 1: found could not determine a constructor for the tag '!thing' (column 4); "
                "expected YAML; correct the line, or the one before it"
            ],
            id="unknown tag",
        ),
        pytest.param(
            "[a, b]",
            [
                "f.yaml:1: document 1: found a list; expected a mapping with apiVersion, kind and metadata; "
                "write one object per document"
            ],
            id="not a mapping",
        ),
        pytest.param(
            "metadata: {name: web}",
            [
                "f.yaml:1: document 1: apiVersion: found nothing; expected text; write the object's apiVersion",
                "f.yaml:1: document 1: kind: found nothing; expected text; write the object's kind",
            ],
            id="no apiVersion and no kind",
        ),
        pytest.param(
            "apiVersion: 1\nkind: [Service]",
            [
                "f.yaml:1: document 1: apiVersion: found 1; expected text; write the object's apiVersion",
                "f.yaml:2: document 1: kind: found a list; expected text; write the object's kind",
            ],
            id="apiVersion and kind that are no text",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Service",
            ["f.yaml:1: document 1: metadata: found nothing; expected a value; write it; it is required"],
            id="no metadata",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Service\nmetadata: {generateName: a}",
            ["f.yaml:3: document 1: metadata.name: found nothing; expected a value; write it; it is required"],
            id="no name",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Service\nmetadata: web",
            [
                'f.yaml:3: document 1: metadata: found "web"; expected a mapping; '
                "see `kubectl explain` for the form of this field"
            ],
            id="metadata of the wrong type is one fault",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: yes",
            [
                "f.yaml:4: document 1: metadata.name: found true; expected text; put it in quotes; "
                "YAML reads yes, no, on, off, true and false as truth values"
            ],
            id="yes is a truth value",
        ),
        pytest.param(
            document("Service", metadata={"name": "web", "annotations": {"headlessdns.io/ttl": 5}}),
            [
                'f.yaml:3: document 1: metadata.annotations["headlessdns.io/ttl"]: found 5; expected text; '
                'put it in quotes: "5"'
            ],
            id="a number where text is wanted",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - port: 0080",
            [
                'f.yaml:6: document 1: spec.ports[0].port: found "0080"; expected a whole number; '
                "write the number without quotes, letters and leading zeros"
            ],
            id="a number with leading zeros",
        ),
        pytest.param(
            document("Service", spec={"publishNotReadyAddresses": "maybe"}),
            ['f.yaml:4: document 1: spec.publishNotReadyAddresses: found "maybe"; expected true or false; write it so'],
            id="text where a truth value is wanted",
        ),
        pytest.param(
            document("Service", spec={"ports": [{"name": 1, "port": "x"}, {"port": 70000}, "p", {"protocol": "TCP"}]}),
            [
                'f.yaml:4: document 1: spec.ports[0].name: found 1; expected text; put it in quotes: "1"',
                'f.yaml:4: document 1: spec.ports[0].port: found "x"; expected a whole number; '
                "write the number without quotes, letters and leading zeros",
                'f.yaml:4: document 1: spec.ports[2]: found "p"; expected a mapping; '
                "see `kubectl explain` for the form of this field",
                "f.yaml:4: document 1: spec.ports[3].port: found nothing; expected a value; write it; it is required",
                "f.yaml:4: document 1: spec.ports[1].port: found 70000; expected a port number, 1 to 65535; "
                "write the port that is listened on",
            ],
            id="every fault of an object, types and values",
        ),
        pytest.param(
            document("StatefulSet", "apps/v1beta1"),
            [
                "f.yaml:1: document 1: apiVersion: found StatefulSet in apps/v1beta1; expected apps/v1; "
                "write `apiVersion: apps/v1` and give it spec.selector, which apps/v1 requires"
            ],
            id="apps/v1beta1",
        ),
        pytest.param(
            document("StatefulSet", "apps/v1beta2"),
            [
                "f.yaml:1: document 1: apiVersion: found StatefulSet in apps/v1beta2; expected apps/v1; "
                "write `apiVersion: apps/v1`; the fields are the same"
            ],
            id="apps/v1beta2",
        ),
        pytest.param(
            document("StatefulSet", "extensions/v1beta1"),
            [
                "f.yaml:1: document 1: apiVersion: found StatefulSet in extensions/v1beta1; expected apps/v1; "
                "write `apiVersion: apps/v1` and give it spec.selector, which apps/v1 requires"
            ],
            id="extensions/v1beta1",
        ),
        pytest.param(
            document("EndpointSlice", "discovery.k8s.io/v1beta1"),
            [
                "f.yaml:1: document 1: apiVersion: found EndpointSlice in discovery.k8s.io/v1beta1; expected "
                "discovery.k8s.io/v1; write `apiVersion: discovery.k8s.io/v1` and `zone` instead of the topology label "
                "of endpoints"
            ],
            id="discovery.k8s.io/v1beta1",
        ),
        pytest.param(
            document("StatefulSet", "v1"),
            [
                "f.yaml:1: document 1: apiVersion: found StatefulSet in v1; expected apps/v1; "
                "write `apiVersion: apps/v1`"
            ],
            id="another group",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n- 5\n- {apiVersion: v1, kind: Pod}",
            [
                "f.yaml:4: document 1: items[0]: found a List in a List; expected an object; put its items into the "
                "outer List",
                "f.yaml:6: document 1: items[1]: found 5; expected a mapping with apiVersion, kind and metadata; "
                "write one object per document",
                "f.yaml:7: document 1: items[2].metadata: found nothing; expected a value; write it; it is required",
            ],
            id="items of a List",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems: {a: b}",
            ["f.yaml:3: document 1: items: found a mapping; expected a list; write each item after a dash"],
            id="items that are no list",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, name: b}\n---\nkind: Pod\nkind: Pod\n---\n[]",
            [
                "f.yaml:3: document 1: found the key name twice in one mapping; expected each key once; "
                "keep the one that is meant",
                "f.yaml:6: document 2: found the key kind twice in one mapping; expected each key once; "
                "keep the one that is meant",
                "f.yaml:8: document 3: found a list; expected a mapping with apiVersion, kind and metadata; "
                "write one object per document",
            ],
            id="keys twice, and the documents behind them",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: &spec [*spec]",
            [
                "f.yaml:4: document 1: spec: found a list; expected a mapping; "
                "see `kubectl explain` for the form of this field"
            ],
            id="an anchor that holds itself",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems:\n- &pod {apiVersion: v1, kind: Pod, metadata: {name: 5}}\n- *pod",
            [
                'f.yaml:4: document 1: items[0].metadata.name: found 5; expected text; put it in quotes: "5"',
                'f.yaml:4: document 1: items[1].metadata.name: found 5; expected text; put it in quotes: "5"',
            ],
            id="a fault under an anchor that is used twice",
        ),
        pytest.param(
            "? [a]\n: b",
            [
                "f.yaml:1: document 1: found unhashable key (column 3); expected YAML; "
                "correct the line, or the one before it"
            ],
            id="a key that is a list",
        ),
        pytest.param(
            "[" * 100_000,
            ["f.yaml: found values nested hundreds deep; expected a Kubernetes manifest; take the file out"],
            id="nested without end",
        ),
    ],
)
def test_yaml_faults(text: str, expected: list[str]) -> None:
    """Every fault says file, line, document and field, what was found, what was expected, and what to do."""
    assert faults(text) == expected


@pytest.mark.parametrize(
    ("kind", "fields", "field", "shown", "expected"),
    [
        pytest.param("Service", {"metadata": {"name": "Web"}}, "metadata.name", '"Web"', _DNS_LABEL, id="capitals"),
        pytest.param(
            "Service", {"metadata": {"name": "a.b"}}, "metadata.name", '"a.b"', _DNS_LABEL, id="dot in a Service"
        ),
        pytest.param("Service", {"metadata": {"name": ""}}, "metadata.name", '""', _DNS_LABEL, id="empty name"),
        pytest.param("Namespace", {"metadata": {"name": "a_b"}}, "metadata.name", '"a_b"', _DNS_LABEL, id="underscore"),
        pytest.param(
            "Endpoints", {"metadata": {"name": "-a"}}, "metadata.name", '"-a"', _DNS_LABEL, id="dash in front"
        ),
        pytest.param(
            "Pod", {"metadata": {"name": "a..b"}}, "metadata.name", '"a..b"', _DNS_NAME, id="two dots in a Pod"
        ),
        pytest.param(
            "StatefulSet",
            {"metadata": {"name": "a" * 254}},
            "metadata.name",
            f'"{"a" * 76}...',
            _DNS_NAME,
            id="254 long",
        ),
        pytest.param(
            "Pod",
            {"metadata": {"name": "a", "namespace": "A"}},
            "metadata.namespace",
            '"A"',
            _DNS_LABEL,
            id="namespace",
        ),
        pytest.param(
            "Service",
            {"metadata": {"name": "a", "annotations": {"headlessdns.io/ttl": "2147483648"}}},
            'metadata.annotations["headlessdns.io/ttl"]',
            '"2147483648"',
            "seconds, 0 to 2147483647",
            id="TTL over RFC 2181",
        ),
        pytest.param(
            "Service",
            {"metadata": {"name": "a", "annotations": {"headlessdns.io/ttl": "5s"}}},
            'metadata.annotations["headlessdns.io/ttl"]',
            '"5s"',
            "seconds, 0 to 2147483647",
            id="TTL with a unit",
        ),
        pytest.param(
            "Service",
            {"spec": {"type": "Headless"}},
            "spec.type",
            '"Headless"',
            "ClusterIP, NodePort, LoadBalancer or ExternalName",
            id="type of Service",
        ),
        pytest.param(
            "Service",
            {"spec": {"type": "ExternalName", "externalName": "a b"}},
            "spec.externalName",
            '"a b"',
            "a domain name such as db.example.com, in lower case",
            id="externalName with a blank",
        ),
        pytest.param(
            "Service",
            {"spec": {"type": "ExternalName"}},
            "spec.externalName",
            '""',
            "a domain name such as db.example.com, in lower case",
            id="no externalName",
        ),
        pytest.param(
            "Service",
            {"spec": {"clusterIP": "none"}},
            "spec.clusterIP",
            '"none"',
            'an IP address, or "None"',
            id="none in small letters",
        ),
        pytest.param(
            "Service",
            {"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.256"]}},
            "spec.clusterIPs[1]",
            '"10.0.0.256"',
            'an IP address, or "None"',
            id="clusterIPs",
        ),
        pytest.param(
            "Service",
            {"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}},
            "spec.clusterIPs[0]",
            '"10.0.0.2"',
            "the same as clusterIP",
            id="clusterIP and clusterIPs disagree",
        ),
        pytest.param(
            "Service",
            {"spec": {"ports": [{"port": 0}]}},
            "spec.ports[0].port",
            "0",
            "a port number, 1 to 65535",
            id="port 0",
        ),
        pytest.param(
            "Service",
            {"spec": {"ports": [{"port": 1, "name": "My"}]}},
            "spec.ports[0].name",
            '"My"',
            _DNS_LABEL,
            id="name of a port",
        ),
        pytest.param(
            "Service",
            {"spec": {"ports": [{"port": 1, "protocol": "tcp"}]}},
            "spec.ports[0].protocol",
            '"tcp"',
            "TCP, UDP or SCTP",
            id="protocol",
        ),
        pytest.param(
            "EndpointSlice",
            {**SLICE, "addressType": "IP", "endpoints": [{"addresses": ["x"]}]},
            "addressType",
            '"IP"',
            "IPv4, IPv6 or FQDN",
            id="addressType",
        ),
        pytest.param(
            "EndpointSlice",
            {**SLICE, "endpoints": [{"addresses": ["10.0.0.1", "::1"]}]},
            "endpoints[0].addresses[1]",
            '"::1"',
            "an IPv4 address, as addressType says",
            id="IPv6 in an IPv4 slice",
        ),
        pytest.param(
            "EndpointSlice",
            {**SLICE, "addressType": "IPv6", "endpoints": [{"addresses": ["fe80::1%eth0"]}]},
            "endpoints[0].addresses[0]",
            '"fe80::1%eth0"',
            "an IPv6 address, as addressType says",
            id="IPv6 with a zone",
        ),
        pytest.param(
            "EndpointSlice",
            {**SLICE, "addressType": "FQDN", "endpoints": [{"addresses": ["a b"]}]},
            "endpoints[0].addresses[0]",
            '"a b"',
            "a domain name, as addressType says",
            id="FQDN",
        ),
        pytest.param(
            "EndpointSlice",
            {**SLICE, "endpoints": [{"addresses": ["010.0.0.1"]}]},
            "endpoints[0].addresses[0]",
            '"010.0.0.1"',
            "an IPv4 address, as addressType says",
            id="leading zero",
        ),
        pytest.param(
            "EndpointSlice",
            {**SLICE, "ports": [{"port": 65536}]},
            "ports[0].port",
            "65536",
            "a port number, 1 to 65535",
            id="port of a slice",
        ),
        pytest.param(
            "Endpoints",
            {"subsets": [{"addresses": [{"ip": ""}]}]},
            "subsets[0].addresses[0].ip",
            '""',
            "an IP address",
            id="Endpoints address",
        ),
        pytest.param(
            "Endpoints",
            {"subsets": [{"notReadyAddresses": [{"ip": "x"}]}]},
            "subsets[0].notReadyAddresses[0].ip",
            '"x"',
            "an IP address",
            id="Endpoints address that is not ready",
        ),
        pytest.param(
            "Endpoints",
            {"subsets": [{"ports": [{"port": -1}]}]},
            "subsets[0].ports[0].port",
            "-1",
            "a port number, 1 to 65535",
            id="Endpoints port",
        ),
        pytest.param("Pod", {"status": {"podIP": "x"}}, "status.podIP", '"x"', "an IP address", id="podIP"),
        pytest.param(
            "Pod",
            {"status": {"podIPs": [{"ip": "::1"}, {"ip": "x"}]}},
            "status.podIPs[1].ip",
            '"x"',
            "an IP address",
            id="podIPs",
        ),
        pytest.param("StatefulSet", {"spec": {"replicas": -1}}, "spec.replicas", "-1", "0 or more", id="replicas"),
        pytest.param(
            "StatefulSet", {"spec": {"serviceName": "a.b"}}, "spec.serviceName", '"a.b"', _DNS_LABEL, id="serviceName"
        ),
        pytest.param(
            "StatefulSet",
            {"spec": {"ordinals": {"start": -1}}},
            "spec.ordinals.start",
            "-1",
            "0 or more",
            id="ordinals",
        ),
    ],
)
def test_value_faults(kind: str, fields: dict[str, object], field: str, shown: str, expected: str) -> None:
    """A value that the API server would refuse, or that no record can hold, is refused."""
    version = {"EndpointSlice": SLICES, "StatefulSet": "apps/v1"}.get(kind, "v1")
    [fault] = decode(document(kind, version, **fields)).faults
    assert fault.where.partition(": document 1: ")[2] == field
    assert (fault.found, fault.expected) == (shown, expected)
    assert fault.remedy


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        pytest.param("Service", {"metadata": {"name": "a" * 63}}, id="name of 63 characters"),
        pytest.param("Service", {"metadata": {"name": "1a"}}, id="name with a digit in front"),
        pytest.param("Pod", {"metadata": {"name": "a.b-c"}}, id="dots in a Pod"),
        pytest.param("Service", {"metadata": {"name": "a", "annotations": {"headlessdns.io/ttl": "0"}}}, id="TTL 0"),
        pytest.param(
            "Service",
            {"metadata": {"name": "a", "annotations": {"headlessdns.io/ttl": "2147483647"}}},
            id="largest TTL",
        ),
        pytest.param("Service", {"spec": {"type": "ExternalName", "externalName": "a.example."}}, id="final dot"),
        pytest.param(
            "Service", {"spec": {"clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.0.0.1"]}}, id="dual stack"
        ),
        pytest.param(
            "Service", {"spec": {"ports": [{"port": 65535}, {"port": 1, "name": ""}]}}, id="port without a name"
        ),
        pytest.param(
            "EndpointSlice", {**SLICE, "ports": [{"port": None, "name": None, "protocol": None}]}, id="any port"
        ),
        pytest.param("EndpointSlice", {**SLICE, "endpoints": None, "ports": None}, id="empty slice"),
        pytest.param("Pod", {"status": {"phase": "Pending"}}, id="pod without address"),
        pytest.param("StatefulSet", {"spec": {"replicas": 0, "serviceName": ""}}, id="no replicas, no Service"),
    ],
)
def test_values_at_the_edge(kind: str, fields: dict[str, object]) -> None:
    """What the API server takes is taken."""
    version = {"EndpointSlice": SLICES, "StatefulSet": "apps/v1"}.get(kind, "v1")
    assert faults(document(kind, version, **fields)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '{"kind": "Pod",\n1}',
            [
                "f.json:2: document 1: found Expecting property name enclosed in double quotes (column 1); "
                "expected JSON; correct the line"
            ],
            id="syntax",
        ),
        pytest.param(
            '{"a": 1, "a": 2, "b": {"c": 1, "c": 2}} 5',
            [
                "f.json: document 1: found the key c twice in one object; expected each key once; "
                "keep the one that is meant",
                "f.json: document 1: found the key a twice in one object; expected each key once; "
                "keep the one that is meant",
                "f.json: document 2: found 5; expected a mapping with apiVersion, kind and metadata; "
                "write one object per document",
            ],
            id="keys twice, and the values behind them",
        ),
        pytest.param(
            "[" * 100_000,
            [
                "f.json: found values nested or written beyond measure; expected a Kubernetes manifest; "
                "take the file out"
            ],
            id="nested without end",
        ),
        pytest.param(
            '{"a": ' + "9" * 5000 + "}",
            [
                "f.json: found values nested or written beyond measure; expected a Kubernetes manifest; "
                "take the file out"
            ],
            id="number of thousands of digits",
        ),
        pytest.param(
            '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}} 5',
            [
                'f.json: document 1: metadata.name: found 1; expected text; put it in quotes: "1"',
                "f.json: document 2: found 5; expected a mapping with apiVersion, kind and metadata; "
                "write one object per document",
            ],
            id="faults in several values",
        ),
    ],
)
def test_json_faults(text: str, expected: list[str]) -> None:
    """JSON is checked as YAML is; it knows no lines behind its syntax."""
    assert faults(text, is_json=True) == expected


@pytest.mark.parametrize("is_json", [False, True], ids=["YAML", "JSON"])
def test_octets_that_are_no_text(is_json: bool) -> None:
    """A file in another encoding is one fault."""
    [fault] = documents.decode(b'{"a": "\xff\xfe"}', "f", is_json=is_json).faults
    assert fault.remedy == "save the file as UTF-8 text"


def test_faults_of_one_object_have_an_end() -> None:
    """An object with thousands of faults shows the first fifty."""
    text = document("Service", spec={"ports": [{"port": "x"} for _ in range(3000)]})
    assert len(decode(text).faults) == 50


def test_python_parser_checks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyYAML that was built without libyaml finds and refuses the same."""
    monkeypatch.setattr(documents, "_Loader", documents._PythonLoader)
    text = document("Pod", metadata={"name": "a", "creationTimestamp": "x"}) + "\n---\na: 1\na: 2\n---\n" + "[" * 5000
    decoded = decode(text)
    assert [one.object.metadata.key for one in decoded.found] == [Key("default", "a")]
    assert [fault.expected for fault in decoded.faults] == ["each key once", "a Kubernetes manifest"]


# Properties

_FIELDS = [
    *("metadata", "name", "namespace", "labels", "annotations", "headlessdns.io/ttl", "spec", "status", "kind", "type"),
    *("ports", "port", "clusterIP", "clusterIPs", "items", "addresses", "addressType", "endpoints", "hostname", "ip"),
    *("targetRef", "subsets", "podIP", "podIPs", "replicas", "ordinals", "start", "conditions", "protocol"),
]
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 70000, 1.5, "", "a", "A b", "10.0.0.1", "None", "\x85", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(octets=st.binary(max_size=200), is_json=st.booleans())
def test_any_octets(octets: bytes, is_json: bool) -> None:
    """Any octets give objects or faults, and nothing is raised."""
    documents.decode(octets, "f", is_json=is_json)


@given(
    kind=st.sampled_from([*Kind]),
    fields=st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=5),
    meta=st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=3),
)
def test_any_fields(kind: Kind, fields: dict[str, Any], meta: dict[str, Any]) -> None:
    """An object of any fields is found or has faults, in YAML as in JSON."""
    version = {Kind.ENDPOINT_SLICE: SLICES, Kind.STATEFUL_SET: "apps/v1"}.get(kind, "v1")
    value = {"metadata": {"name": "a", **meta}, **fields, "apiVersion": version, "kind": kind.value}
    as_json = documents.decode(json.dumps(value).encode(), "f", is_json=True)
    as_yaml = documents.decode(yaml.safe_dump(value).encode(), "f")
    assert len(as_json.found) == (not as_json.faults)
    # msgspec reads fields in the order of the mapping, which YAML was dumped without.
    assert sorted(fault.found for fault in as_yaml.faults) == sorted(fault.found for fault in as_json.faults)
    assert [one.object for one in as_yaml.found] == [one.object for one in as_json.found]
