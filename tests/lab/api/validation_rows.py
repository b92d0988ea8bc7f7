"""Objects, good and bad, whose treatment by a real API server is kept in ``golden/validation.json``."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

Json = dict[str, Any]


class Row(NamedTuple):
    """One request: *new* is created, or written over *old*. The id is unique and says what is special."""

    id: str
    new: Json
    old: Json | None = None


def merged(base: Json, changes: Json) -> Json:
    """Return *base* with *changes*; None takes a member away."""
    done = copy.deepcopy(base)
    for field, value in changes.items():
        if value is None:
            done.pop(field, None)
        elif isinstance(value, dict) and isinstance(done.get(field), dict):
            done[field] = merged(done[field], value)
        else:
            done[field] = copy.deepcopy(value)
    return done


def thing(kind: str, version: str = "v1", **fields: Any) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, **fields}


CONTAINER: Json = {"name": "web", "image": "nginx:1.27"}
TEMPLATE: Json = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
CLAIM: Json = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
SET = thing("StatefulSet", "apps/v1", spec={"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE})
POD = thing("Pod", spec={"containers": [CONTAINER]})
SERVICE = thing("Service", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
HEADLESS = merged(SERVICE, {"spec": {"clusterIP": "None"}})
SLICE = thing(
    "EndpointSlice",
    "discovery.k8s.io/v1",
    addressType="IPv4",
    endpoints=[{"addresses": ["10.0.0.1"]}],
    ports=[{"port": 80}],
)
REVISION = thing("ControllerRevision", "apps/v1", data={"spec": {"a": 1}}, revision=1)
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": "0001", "controller": True}
LONG = "a" * 64


def a_set(**spec: Any) -> Json:
    return merged(SET, {"spec": spec})


ORDINAL_SET: Json = {**SET, "apiVersion": "headlessdns.io/v1alpha1", "kind": "OrdinalSet"}


def ordinal(**spec: Any) -> Json:
    return merged(ORDINAL_SET, {"spec": spec})


def rolling(**fields: Any) -> Json:
    return ordinal(updateStrategy={"rollingUpdate": fields})


def set_pod(**spec: Any) -> Json:
    return merged(SET, {"spec": {"template": {"spec": spec}}})


def set_container(**fields: Any) -> Json:
    return set_pod(containers=[merged(CONTAINER, fields)])


def pod_with(**fields: Any) -> Json:
    return merged(POD, {"spec": {"containers": [merged(CONTAINER, fields)]}})


def service(**spec: Any) -> Json:
    return merged(SERVICE, {"spec": spec})


def a_slice(**fields: Any) -> Json:
    return merged(SLICE, fields)


def endpoint(**fields: Any) -> Json:
    return a_slice(endpoints=[{"addresses": ["10.0.0.1"], **fields}])


def claim(**spec: Any) -> Json:
    return merged(thing("PersistentVolumeClaim", spec=CLAIM["spec"]), {"spec": spec})


def named(base: Json, **metadata: Any) -> Json:
    return merged(base, {"metadata": metadata})


def change(what: str, base: Json, changes: Json) -> Row:
    return Row(what, merged(base, changes), base)


def set_claim(**spec: Any) -> Json:
    return a_set(volumeClaimTemplates=[merged(CLAIM, {"spec": spec})])


PROBE = {"httpGet": {"port": 80}}
IP_SERVICE = service(clusterIP="10.96.7.1", clusterIPs=["10.96.7.1"])

ROWS: tuple[Row, ...] = (
    # StatefulSets that are taken
    Row("set", SET),
    Row("set with an empty strategy", a_set(updateStrategy={})),
    Row("set with OnDelete", a_set(updateStrategy={"type": "OnDelete"})),
    Row("set with a partition", a_set(updateStrategy={"rollingUpdate": {"partition": 2}})),
    Row("set with RollingUpdate and no more", a_set(updateStrategy={"type": "RollingUpdate"})),
    Row(
        "set with all of its own fields",
        a_set(
            replicas=0,
            minReadySeconds=5,
            serviceName="web",
            podManagementPolicy="Parallel",
            revisionHistoryLimit=0,
            ordinals={"start": 3},
            persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"},
        ),
    ),
    Row("set with ordinals and no start", a_set(ordinals={})),
    Row("set with a negative history limit", a_set(revisionHistoryLimit=-1)),
    Row("set with a claim template", a_set(volumeClaimTemplates=[CLAIM])),
    Row("set with storage in other units", set_claim(resources={"requests": {"storage": "1024Mi"}})),
    Row(
        "set with resources in other units",
        set_container(
            resources={"limits": {"cpu": "1000m", "memory": "2048Ki"}, "requests": {"cpu": 0.5, "memory": "1e3"}},
        ),
    ),
    Row(
        "set with ports, env and probes",
        set_container(
            ports=[{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}],
            env=[
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y", "optional": False}}},
            ],
            readinessProbe=PROBE,
            livenessProbe={"tcpSocket": {"port": "http"}, "periodSeconds": 3},
            startupProbe={"exec": {"command": ["true"]}, "failureThreshold": 30},
            lifecycle={"preStop": {"httpGet": {"port": 80, "path": "/bye"}}},
            tty=False,
            stdin=True,
        ),
    ),
    Row(
        "set with volumes of many kinds",
        set_pod(
            volumes=[
                {"name": "a"},
                {"name": "b", "configMap": {"name": "x"}},
                {"name": "c", "secret": {"secretName": "x"}},
                {"name": "d", "hostPath": {"path": "/x"}},
                {"name": "e", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"name": "f", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                {"name": "g", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}},
                {"name": "h", "persistentVolumeClaim": {"claimName": "x"}},
            ]
        ),
    ),
    Row(
        "set with an init container and a sidecar",
        set_pod(
            initContainers=[
                {"name": "init", "image": "busybox"},
                {"name": "side", "image": "busybox:latest", "restartPolicy": "Always", "readinessProbe": PROBE},
            ]
        ),
    ),
    Row(
        "set whose pods have empty fields",
        set_pod(
            nodeName="",
            hostNetwork=False,
            nodeSelector={},
            tolerations=[],
            serviceAccountName="",
            securityContext=None,
        ),
    ),
    Row("set with a service account", set_pod(serviceAccountName="robot", automountServiceAccountToken=False)),
    Row("set with odd host names in its template", set_pod(hostname="Not a host", subdomain="nor_this")),
    Row(
        "set with affinity and spread",
        set_pod(
            affinity={
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}},
                    ]
                }
            },
            topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        ),
    ),
    Row(
        "set with a claim mounted",
        merged(
            a_set(volumeClaimTemplates=[CLAIM]),
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [{**CONTAINER, "volumeMounts": [{"name": "data", "mountPath": "/d"}]}],
                        }
                    }
                }
            },
        ),
    ),
    Row(
        "set of expressions",
        a_set(
            selector={
                "matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["web", "db"]},
                    {"key": "x", "operator": "DoesNotExist"},
                ]
            }
        ),
    ),
    Row(
        "set with labels, annotations and an owner",
        named(
            SET,
            labels={"a": "", "example.com/b": "C.d_e"},
            annotations={"Example.COM/x": "y"},
            ownerReferences=[OWNER],
        ),
    ),
    Row("set with a generated name", merged(SET, {"metadata": {"name": None, "generateName": "web-"}})),
    # StatefulSets that are refused
    Row("set named with dots", named(SET, name="web.a")),
    Row("set named with capitals", named(SET, name="Web")),
    Row("set with a name of 64", named(SET, name=LONG)),
    Row("set without a selector", a_set(selector=None)),
    Row("set with an empty selector", merged(a_set(selector=None), {"spec": {"selector": {}}})),
    Row("set whose selector selects other labels", a_set(selector={"matchLabels": {"app": "db"}})),
    Row("set with labels neither here nor there", merged(SET, {"spec": {"template": {"metadata": None}}})),
    Row("set with an operator that is none", a_set(selector={"matchExpressions": [{"key": "app", "operator": "Is"}]})),
    Row("set with In and no values", a_set(selector={"matchExpressions": [{"key": "app", "operator": "In"}]})),
    Row(
        "set with Exists and values",
        a_set(
            selector={"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["web"]}]},
        ),
    ),
    Row("set with a key that is none", a_set(selector={"matchLabels": {"app": "web", "a b": "c"}})),
    Row("set with a negative number of replicas", a_set(replicas=-1)),
    Row(
        "set with negative numbers everywhere",
        a_set(
            replicas=-1,
            minReadySeconds=-2,
            ordinals={"start": -3},
            updateStrategy={"rollingUpdate": {"partition": -4}},
        ),
    ),
    Row("set with an unknown policy", a_set(podManagementPolicy="Serial")),
    Row("set with an unknown strategy", a_set(updateStrategy={"type": "Recreate"})),
    Row("set with OnDelete and rollingUpdate", a_set(updateStrategy={"type": "OnDelete", "rollingUpdate": {}})),
    Row("set with an unknown retention", a_set(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Keep"})),
    Row("set with a service of dots", a_set(serviceName="web.default")),
    Row("set whose pods end", set_pod(restartPolicy="Never")),
    Row("set whose pods have an unknown policy", set_pod(restartPolicy="Sometimes")),
    Row("set with a deadline", set_pod(activeDeadlineSeconds=5)),
    Row("set without containers", set_pod(containers=[])),
    Row("set with a container without name and image", set_pod(containers=[{}])),
    Row("set with a container of capitals", set_container(name="Web")),
    Row("set with two containers of one name", set_pod(containers=[CONTAINER, CONTAINER])),
    Row("set with a bad pull policy", set_container(imagePullPolicy="Never ever")),
    Row("set with a mount of nothing", set_container(volumeMounts=[{"name": "data", "mountPath": "/d"}])),
    Row(
        "set with two mounts at one path",
        merged(
            set_pod(volumes=[{"name": "a"}]),
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [{**CONTAINER, "volumeMounts": [{"name": "a", "mountPath": "/d"}] * 2}],
                        }
                    }
                }
            },
        ),
    ),
    Row("set with two volumes of one name", set_pod(volumes=[{"name": "a"}, {"name": "a"}])),
    Row("set with a volume of two kinds", set_pod(volumes=[{"name": "a", "emptyDir": {}, "configMap": {"name": "x"}}])),
    Row("set with ports out of range", set_container(ports=[{"containerPort": 0}, {"containerPort": 65536}])),
    Row(
        "set with ports of bad names",
        set_container(
            ports=[{"containerPort": 1, "name": "a--b"}, {"containerPort": 2, "name": "Http"}],
        ),
    ),
    Row("set with a long port name", set_container(ports=[{"containerPort": 1, "name": "sixteen-letters-"}])),
    Row(
        "set with two ports of one name",
        set_container(
            ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}],
        ),
    ),
    Row("set with an unknown protocol", set_container(ports=[{"containerPort": 1, "protocol": "ICMP"}])),
    Row("set with a nameless variable", set_container(env=[{"name": "", "value": "x"}])),
    Row(
        "set with a variable of two values",
        set_container(
            env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        ),
    ),
    Row("set with a probe of nothing", set_container(livenessProbe={})),
    Row("set with a liveness probe that succeeds twice", set_container(livenessProbe={**PROBE, "successThreshold": 2})),
    Row("set with a claim template of no size", a_set(volumeClaimTemplates=[{"metadata": {"name": "d"}, "spec": {}}])),
    Row("set with a claim template of size zero", set_claim(resources={"requests": {"storage": "0"}})),
    Row("set with an unknown access mode", set_claim(accessModes=["ReadSometimes"])),
    Row(
        "set with a bad label value in its template",
        merged(
            SET,
            {
                "spec": {
                    "template": {
                        "metadata": {
                            "labels": {
                                "b": "c d",
                            }
                        }
                    }
                }
            },
        ),
    ),
    Row("set with a bad label", named(SET, labels={"-a": "b"})),
    Row("set with a long label", named(SET, labels={LONG: "b"})),
    Row("set with a long label value", named(SET, labels={"a": LONG})),
    Row("set with a label below a long name", named(SET, labels={f"{'a.' * 127}/x": "b"})),
    Row("config map with a long name", named(thing("ConfigMap"), name="a" * 254)),
    Row("config map with a long key", thing("ConfigMap", data={"a" * 254: ""})),
    Row("set with a label of two slashes", named(SET, labels={"a/b/c": "d"})),
    Row("set with a bad annotation", named(SET, annotations={"a b": "c"})),
    Row("set with two controllers", named(SET, ownerReferences=[OWNER, {**OWNER, "name": "two", "uid": "0002"}])),
    Row("set with an owner without kind and uid", named(SET, ownerReferences=[{"apiVersion": "v1", "name": "x"}])),
    Row("set with a finalizer without domain", named(SET, finalizers=["mine"])),
    Row("set with a bad finalizer", named(SET, finalizers=["a b/c"])),
    # Changes of StatefulSets
    change("set: replicas change", SET, {"spec": {"replicas": 3}}),
    change(
        "set: image changes", SET, {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "b"}]}}}}
    ),
    change("set: serviceName changes", SET, {"spec": {"serviceName": "other"}}),
    change("set: pod management changes", SET, {"spec": {"podManagementPolicy": "Parallel"}}),
    change("set: claim templates come", SET, {"spec": {"volumeClaimTemplates": [CLAIM]}}),
    change(
        "set: selector changes",
        SET,
        {
            "spec": {
                "selector": {"matchLabels": {"app": "web", "tier": "a"}},
                "template": {"metadata": {"labels": {"app": "web", "tier": "a"}}},
            }
        },
    ),
    change(
        "set: replicas become negative and the service another", SET, {"spec": {"replicas": -1, "serviceName": "b"}}
    ),
    change("set: the template no longer fits", SET, {"spec": {"template": {"metadata": {"labels": {"app": "db"}}}}}),
    change(
        "set: strategy, ordinals, retention and history change",
        SET,
        {
            "spec": {
                "updateStrategy": {"type": "OnDelete"},
                "ordinals": {"start": 1},
                "revisionHistoryLimit": 1,
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
                "minReadySeconds": 1,
            }
        },
    ),
    # Services
    Row("service", SERVICE),
    Row("headless service", HEADLESS),
    Row(
        "headless service without ports", merged(HEADLESS, {"spec": {"ports": None, "publishNotReadyAddresses": True}})
    ),
    Row(
        "service of two ports",
        service(
            ports=[
                {"name": "a", "port": 80, "targetPort": "http"},
                {"name": "b", "port": 53, "protocol": "UDP"},
            ]
        ),
    ),
    Row("service with affinity", service(sessionAffinity="ClientIP")),
    Row("service with empty lists", service(externalIPs=[], selector={}, externalName="")),
    Row("service: LoadBalancer", service(type="LoadBalancer")),
    Row("service: NodePort", service(type="NodePort")),
    Row(
        "service: ExternalName",
        merged(
            SERVICE,
            {
                "spec": {
                    "type": "ExternalName",
                    "externalName": "example.com.",
                    "ports": None,
                    "selector": None,
                }
            },
        ),
    ),
    Row("service named with a digit first", named(SERVICE, name="1web")),
    Row("service named with dots", named(SERVICE, name="web.a")),
    Row("service without ports", service(ports=None)),
    Row("service with ports without names", service(ports=[{"port": 80}, {"port": 81}])),
    Row("service with ports of one name", service(ports=[{"name": "a", "port": 80}, {"name": "a", "port": 81}])),
    Row("service with one port twice", service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 80}])),
    Row("service with ports out of range", service(ports=[{"port": 65536}])),
    Row("service with port 0", service(ports=[{"port": 0}])),
    Row("service with a long target port", service(ports=[{"port": 80, "targetPort": "sixteen-letters-"}])),
    Row("service with an unknown protocol", service(ports=[{"port": 80, "protocol": "ICMP"}])),
    Row("service with a bad appProtocol", service(ports=[{"port": 80, "appProtocol": "a b"}])),
    Row("service with a node port", service(ports=[{"port": 80, "nodePort": 30080}])),
    Row("service of an unknown type", service(type="Cluster")),
    Row("service with unknown affinity", service(sessionAffinity="Sticky")),
    Row(
        "service with too long affinity",
        service(
            sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}},
        ),
    ),
    Row("service with a cluster IP that is none", service(clusterIP="nowhere")),
    Row("service with None and an address", service(clusterIP="None", clusterIPs=["None", "10.96.9.9"])),
    Row(
        "service with two cluster IPs of one family",
        service(
            clusterIP="10.96.9.8",
            clusterIPs=["10.96.9.8", "10.96.9.9"],
            ipFamilyPolicy="PreferDualStack",
        ),
    ),
    Row("service with an unknown family", service(ipFamilies=["IPv5"])),
    Row("service with one family twice", service(ipFamilies=["IPv4", "IPv4"])),
    Row("service with an unknown family policy", service(ipFamilyPolicy="Both")),
    Row("service: NodePort and headless", merged(HEADLESS, {"spec": {"type": "NodePort"}})),
    Row("service: ExternalName without a name", merged(SERVICE, {"spec": {"type": "ExternalName", "ports": None}})),
    Row("service: ExternalName with a bad name", service(type="ExternalName", externalName="a_b")),
    Row(
        "service: ExternalName with an address",
        service(
            type="ExternalName",
            externalName="example.com",
            clusterIP="10.96.9.9",
        ),
    ),
    Row("service with a loopback external IP", service(externalIPs=["127.0.0.1", "nowhere"])),
    Row("service with an external policy", service(externalTrafficPolicy="Local")),
    Row("service with an unknown internal policy", service(internalTrafficPolicy="Near")),
    Row("service with an unknown distribution", service(trafficDistribution="Near")),
    Row("service with source ranges", service(loadBalancerSourceRanges=["10.0.0.0/8"])),
    Row("service with a bad selector", service(selector={"a": "b c"})),
    change("service: port changes", IP_SERVICE, {"spec": {"ports": [{"port": 81}]}}),
    change(
        "service: cluster IP changes",
        service(clusterIP="10.96.7.2", clusterIPs=["10.96.7.2"]),
        {
            "spec": {"clusterIP": "10.96.7.3", "clusterIPs": ["10.96.7.3"]},
        },
    ),
    change(
        "service: becomes headless",
        service(clusterIP="10.96.7.4", clusterIPs=["10.96.7.4"]),
        {
            "spec": {"clusterIP": "None", "clusterIPs": ["None"]},
        },
    ),
    change("service: selector of a headless one changes", HEADLESS, {"spec": {"selector": {"app": "b"}}}),
    # EndpointSlices
    Row("slice", SLICE),
    Row("slice with nothing in it", thing("EndpointSlice", "discovery.k8s.io/v1", addressType="IPv6")),
    Row(
        "slice with all of an endpoint",
        endpoint(
            hostname="web-0",
            nodeName="node-1",
            zone="a",
            conditions={"ready": True, "serving": False},
            hints={"forZones": [{"name": "a"}]},
            targetRef={"kind": "Pod", "name": "web-0", "namespace": "default"},
        ),
    ),
    Row("slice of FQDN", a_slice(addressType="FQDN", endpoints=[{"addresses": ["a.example.com"]}])),
    Row("slice of IPv6", a_slice(addressType="IPv6", endpoints=[{"addresses": ["fd00::1"]}])),
    Row("slice with two ports", a_slice(ports=[{"name": "a", "port": 1}, {"name": "b", "protocol": "UDP"}])),
    Row("slice without a type", a_slice(addressType=None)),
    Row("slice of an unknown type", a_slice(addressType="IPX")),
    Row("slice with an endpoint without addresses", endpoint(addresses=[])),
    Row("slice with 101 addresses", endpoint(addresses=[f"10.0.1.{number}" for number in range(101)])),
    Row("slice with an IPv6 address among IPv4", endpoint(addresses=["fd00::1"])),
    Row("slice with an IPv4 address among IPv6", a_slice(addressType="IPv6")),
    Row("slice with no address at all", endpoint(addresses=["nowhere"])),
    Row("slice with a long form of IPv6", a_slice(addressType="IPv6", endpoints=[{"addresses": ["FD00:0::1"]}])),
    Row(
        "slice with addresses of special use",
        endpoint(
            addresses=["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1"],
        ),
    ),
    Row("slice with a host name of dots", endpoint(hostname="a.b")),
    Row("slice with a bad node", endpoint(nodeName="Node_1")),
    Row("slice with ports of one name", a_slice(ports=[{"name": "a", "port": 1}, {"name": "a", "port": 2}])),
    Row("slice with ports without names", a_slice(ports=[{"port": 1}, {"port": 2}])),
    Row("slice with a port of a bad name", a_slice(ports=[{"name": "A_b", "port": 1}])),
    Row("slice with an unknown protocol", a_slice(ports=[{"port": 1, "protocol": "ICMP"}])),
    Row("slice with one zone hinted twice", endpoint(hints={"forZones": [{"name": "a"}, {"name": "a"}]})),
    Row("slice of FQDN with one label", a_slice(addressType="FQDN", endpoints=[{"addresses": ["a"]}])),
    Row("slice with 1001 endpoints", a_slice(endpoints=[{"addresses": ["10.0.0.1"]}] * 1001)),
    Row("slice with a name of dots", named(SLICE, name="a.b")),
    Row("slice with a bad name", named(SLICE, name="a_b")),
    change("slice: endpoints change", SLICE, {"endpoints": [{"addresses": ["10.0.0.2"]}]}),
    change("slice: type changes", a_slice(endpoints=[]), {"addressType": "IPv6"}),
    # ControllerRevisions
    Row("revision", REVISION),
    Row("revision 0", merged(REVISION, {"revision": None})),
    Row("revision with empty data", {**REVISION, "data": {}}),
    Row("revision without data", merged(REVISION, {"data": None})),
    Row("revision with a list", {**REVISION, "data": [1]}),
    Row("revision that is negative", {**REVISION, "revision": -1}),
    change("revision: number changes", REVISION, {"revision": 2}),
    change("revision: data changes", REVISION, {"data": {"spec": {"a": 2}}}),
    # Other kinds
    Row("pod", POD),
    Row("pod with limits", pod_with(resources={"limits": {"cpu": "1", "memory": "1Gi"}})),
    Row("pod with requests", pod_with(resources={"requests": {"cpu": "100m"}})),
    Row("pod that tolerates all", merged(POD, {"spec": {"tolerations": [{"operator": "Exists"}]}})),
    Row(
        "pod with the host's network", merged(pod_with(ports=[{"containerPort": 80}]), {"spec": {"hostNetwork": True}})
    ),
    Row("pod with a bad host name", merged(POD, {"spec": {"hostname": "a.b", "subdomain": "C"}})),
    Row("pod without an image", merged(POD, {"spec": {"containers": [{"name": "a"}]}})),
    Row("pod with init containers of one name", merged(POD, {"spec": {"initContainers": [CONTAINER]}})),
    Row("pod named with capitals", named(POD, name="Web")),
    change("pod: image changes", POD, {"spec": {"containers": [{**CONTAINER, "image": "nginx:2"}]}}),
    change("pod: labels change", POD, {"metadata": {"labels": {"a": "b"}}}),
    change("pod: a container comes", POD, {"spec": {"containers": [CONTAINER, {"name": "b", "image": "b"}]}}),
    change("pod: a deadline comes", POD, {"spec": {"activeDeadlineSeconds": 10}}),
    change("pod: a host name comes", POD, {"spec": {"hostname": "b"}}),
    Row("claim", claim()),
    Row("claim of the empty class", claim(storageClassName="")),
    Row("claim without modes and size", thing("PersistentVolumeClaim", spec={})),
    Row("claim of an unknown mode", claim(volumeMode="Tape")),
    change("claim: modes change", claim(), {"spec": {"accessModes": ["ReadWriteMany"]}}),
    change("claim: a volume comes", claim(), {"spec": {"volumeName": "pv"}}),
    Row("config map", thing("ConfigMap", data={"a": "", "b": "x"})),
    Row("config map with a bad key", thing("ConfigMap", data={"a b": ""})),
    change(
        "config map: changes though immutable",
        thing("ConfigMap", data={"a": "b"}, immutable=True),
        {
            "data": {"a": "c"},
        },
    ),
    Row("secret", thing("Secret", data={"a": "Yg=="})),
    change("secret: type changes", thing("Secret", data={"a": "Yg=="}), {"type": "example.com/x"}),
    Row("service account", thing("ServiceAccount")),
    Row("endpoints", thing("Endpoints", subsets=[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}])),
    Row("namespace", thing("Namespace")),
    Row("namespace of dots", named(thing("Namespace"), name="a.b")),
    Row("node", thing("Node")),
    Row("node with a namespace", named(thing("Node"), namespace="default")),
    Row(
        "volume",
        thing(
            "PersistentVolume",
            spec={
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1024Mi"},
                "hostPath": {"path": "/x"},
            },
        ),
    ),
    Row("storage class", thing("StorageClass", "storage.k8s.io/v1", provisioner="example.com/x")),
    Row("storage class without a provisioner", thing("StorageClass", "storage.k8s.io/v1")),
    Row("budget", thing("PodDisruptionBudget", "policy/v1", spec={"minAvailable": 1})),
    Row("budget that is negative", thing("PodDisruptionBudget", "policy/v1", spec={"minAvailable": -1})),
    Row("lease", thing("Lease", "coordination.k8s.io/v1", spec={"holderIdentity": "", "leaseDurationSeconds": 15})),
    Row("lease of no duration", thing("Lease", "coordination.k8s.io/v1", spec={"leaseDurationSeconds": 0})),
    Row("deployment", thing("Deployment", "apps/v1", spec=SET["spec"])),
    Row("deployment that selects nothing", thing("Deployment", "apps/v1", spec={"selector": {}, "template": TEMPLATE})),
    Row("replica set", thing("ReplicaSet", "apps/v1", spec=SET["spec"])),
    Row(
        "replica set that selects others",
        thing(
            "ReplicaSet",
            "apps/v1",
            spec={
                "selector": {"matchLabels": {"app": "db"}},
                "template": TEMPLATE,
            },
        ),
    ),
    # OrdinalSets: what their schema says in CEL
    Row("ordinal set named with dots", named(ORDINAL_SET, name="web.a")),
    Row("ordinal set with a name of 64", named(ORDINAL_SET, name=LONG)),
    Row("ordinal set with a negative number of replicas", ordinal(replicas=-1)),
    Row("ordinal set with an empty selector", merged(ordinal(selector=None), {"spec": {"selector": {}}})),
    Row("ordinal set without a selector", ordinal(selector=None)),
    Row("ordinal set whose selector selects other labels", ordinal(selector={"matchLabels": {"app": "db"}})),
    Row("ordinal set with an unknown policy", ordinal(podManagementPolicy="Serial")),
    Row("ordinal set with an unknown policy and negative replicas", ordinal(podManagementPolicy="x", replicas=-1)),
    Row(
        "ordinal set with OnDelete and rollingUpdate", ordinal(updateStrategy={"type": "OnDelete", "rollingUpdate": {}})
    ),
    Row("ordinal set with none unavailable", rolling(maxUnavailable=0)),
    Row("ordinal set with 0% unavailable", rolling(maxUnavailable="0%")),
    Row("ordinal set with 101% unavailable", rolling(maxUnavailable="101%")),
    Row("ordinal set with all but a percentage unavailable", rolling(maxUnavailable="half")),
    Row("ordinal set with negative numbers in its strategy", rolling(maxUnavailable=-1, partition=-1)),
    Row("ordinal set that reserves backwards", ordinal(reserveOrdinals=[1, "5-3"])),
    Row("ordinal set that reserves too many", ordinal(reserveOrdinals=["0-10000"])),
    Row("ordinal set that reserves -1", ordinal(reserveOrdinals=[-1])),
    Row("ordinal set with a service of dots", ordinal(serviceName="web.default")),
    Row(
        "ordinal set with a deadline",
        merged(ORDINAL_SET, {"spec": {"template": {"spec": {"activeDeadlineSeconds": 5}}}}),
    ),
    Row(
        "ordinal set with two containers of one name",
        merged(
            ORDINAL_SET,
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [CONTAINER, CONTAINER],
                        }
                    }
                }
            },
        ),
    ),
    Row("ordinal set with claim templates of one name", ordinal(volumeClaimTemplates=[CLAIM, CLAIM])),
    Row(
        "ordinal set with a claim template of size zero",
        ordinal(
            volumeClaimTemplates=[
                merged(CLAIM, {"spec": {"resources": {"requests": {"storage": "0"}}}}),
            ]
        ),
    ),
    Row(
        "ordinal set with a claim template named with dots",
        ordinal(
            volumeClaimTemplates=[
                merged(CLAIM, {"metadata": {"name": "a.b"}}),
            ]
        ),
    ),
    Row("ordinal set that ends beyond the last ordinal", ordinal(ordinals={"start": 2147483647}, replicas=2)),
    Row("ordinal set without time for progress", ordinal(progressDeadlineSeconds=0)),
    Row(
        "ordinal set with a key that is none",
        merged(
            ORDINAL_SET,
            {
                "spec": {
                    "template": {
                        "metadata": {
                            "labels": {
                                "a b": "c",
                            }
                        }
                    }
                }
            },
        ),
    ),
    Row(
        "ordinal set with In and no values", ordinal(selector={"matchExpressions": [{"key": "app", "operator": "In"}]})
    ),
    Row(
        "ordinal set with Exists and values",
        ordinal(
            selector={"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["web"]}]},
        ),
    ),
    change(
        "ordinal set: selector changes",
        ORDINAL_SET,
        {
            "spec": {
                "selector": {"matchLabels": {"tier": "a"}},
                "template": {"metadata": {"labels": {"tier": "a"}}},
            }
        },
    ),
    change("ordinal set: claim templates come", ORDINAL_SET, {"spec": {"volumeClaimTemplates": [CLAIM]}}),
    change(
        "ordinal set: storage shrinks",
        ordinal(volumeClaimTemplates=[CLAIM]),
        {
            "spec": {
                "volumeClaimTemplates": [
                    merged(CLAIM, {"spec": {"resources": {"requests": {"storage": "1023Mi"}}}}),
                ]
            }
        },
    ),
    change(
        "ordinal set: replicas and policy change",
        ORDINAL_SET,
        {
            "spec": {
                "replicas": 3,
                "podManagementPolicy": "Parallel",
            }
        },
    ),
)
