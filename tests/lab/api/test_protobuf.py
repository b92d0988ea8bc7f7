from __future__ import annotations

import pytest

from headlessdns.lab.api.kinds import RESOURCES, Resource
from headlessdns.lab.api.protobuf import decode
from headlessdns.lab.api.status import ApiError

# What kubectl 1.36 sends for `kubectl create namespace foo`, and for `kubectl create configmap a --from-literal=k=v`.
NAMESPACE = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x0d\x0a\x07\x0a\x03foo\x42\x00\x12\x00\x1a\x00"
CONFIG_MAP = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x0f\x0a\x05\x0a\x01a\x42\x00\x12\x06\x0a\x01k\x12\x01v"


def message(kind: bytes, raw: bytes, version: bytes = b"v1") -> bytes:
    meta = b"\x0a" + bytes([len(version)]) + version + b"\x12" + bytes([len(kind)]) + kind
    return b"k8s\0\x0a" + bytes([len(meta)]) + meta + b"\x12" + bytes([len(raw)]) + raw


@pytest.mark.parametrize(
    ("body", "object"),
    [
        pytest.param(
            NAMESPACE,
            {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "foo"}, "spec": {}, "status": {}},
            id="a Namespace",
        ),
        pytest.param(
            CONFIG_MAP,
            {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}},
            id="a ConfigMap",
        ),
        pytest.param(
            message(b"Secret", b"\x12\x06\x0a\x01k\x12\x01v\x28\x01"),
            {"kind": "Secret", "apiVersion": "v1", "data": {"k": "dg=="}, "immutable": True},
            id="octets are base64 in JSON",
        ),
        pytest.param(
            message(b"DeleteOptions", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x2a\x03All"),
            {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": -1, "dryRun": ["All"]},
            id="a negative number, and a list",
        ),
        pytest.param(
            message(b"Event", b"\x32\x06\x08\xa5\xeb\xdc\xca\x06\x40\x03"),
            {"kind": "Event", "apiVersion": "v1", "firstTimestamp": "2026-01-02T03:04:05Z", "count": 3},
            id="a time",
        ),
        pytest.param(
            message(
                b"Service",
                b"\x12\x26\x0a\x12\x0a\x00\x12\x03TCP\x18\x50\x22\x05\x08\x00\x10\xb8\x08\x28\x00"
                b"\x0a\x0e\x18\x51\x22\x08\x08\x01\x10\x00\x1a\x02db\x28\x05\x68\x00\x1a\x02\x0a\x00",
            ),
            {
                "kind": "Service",
                "apiVersion": "v1",
                "spec": {
                    "ports": [
                        {"protocol": "TCP", "port": 80, "targetPort": 1080},
                        {"port": 81, "targetPort": "db", "nodePort": 5},
                    ]
                },
                "status": {"loadBalancer": {}},
            },
            id="ports by number and by name, and no zeros that JSON leaves out",
        ),
        pytest.param(
            message(b"PodDisruptionBudget", b"\x12\x06\x0a\x04\x08\x00\x10\x00\x1a\x02\x18\x00", b"policy/v1"),
            {
                "kind": "PodDisruptionBudget",
                "apiVersion": "policy/v1",
                "spec": {"minAvailable": 0},
                "status": {"disruptionsAllowed": 0},
            },
            id="a zero that was said, and one that JSON has, too",
        ),
        pytest.param(message(b"Namespace", b"\x7a\x00"), None, id="a field that is not known"),
        pytest.param(message(b"Wish", b""), None, id="a kind that is not known"),
        pytest.param(message(b"Event", b"", b"events.k8s.io/v2"), None, id="a version that is not known"),
        pytest.param(
            message(b"Pod", b"\x12\x0a\x0a\x08\x0a\x01\x65\x12\x03\x9a\x06\x00"),
            None,
            id="a field within a field that is not known",
        ),
        pytest.param(
            message(b"Pod", b"\x12\x09\x0a\x07\x0a\x01\x65\x12\x02\x12\x00"),
            {"kind": "Pod", "apiVersion": "v1", "spec": {"volumes": [{"name": "e", "emptyDir": {}}]}},
            id="a field whose message stands for its level, and an empty one that was said",
        ),
        pytest.param(
            message(b"ControllerRevision", b'\x12\x09\x0a\x07{"a":1}\x18\x00', b"apps/v1"),
            {"kind": "ControllerRevision", "apiVersion": "apps/v1", "data": {"a": 1}, "revision": 0},
            id="JSON within",
        ),
    ],
)
def test_decode(body: bytes, object: dict[str, object] | None) -> None:
    """What kubectl sends in protobuf is read as the JSON it means, or not at all."""
    assert decode(body) == object


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.kind)
def test_every_kind_is_known(resource: Resource) -> None:
    """An object without anything is read of each kind that is served, but for definitions, which nobody sends so."""
    found = decode(message(resource.kind.encode(), b"", resource.group_version.encode()))
    expected = {"kind": resource.kind, "apiVersion": resource.group_version}
    assert found == (None if resource.kind == "CustomResourceDefinition" else expected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        NAMESPACE[:-5],
        b"k8s\0\x0a\xff",
        b"k8s\0\x0b",
        b"k8s\0\x08" + b"\xff" * 11,
        b"k8s\0\x0a\x02\x08\x01",
    ],
    ids=[
        "empty",
        "something else",
        "cut short",
        "cut in a length",
        "a group",
        "an endless number",
        "a number for a text",
    ],
)
def test_broken(body: bytes) -> None:
    """Octets that are no protobuf are refused as a bad request."""
    with pytest.raises(ApiError) as refused:
        decode(body)
    assert refused.value.status == 400
