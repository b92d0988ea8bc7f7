"""Objects, good and bad, whose treatment by a real API server is kept in ``golden/validation.json``."""

from __future__ import annotations

import base64
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
VOLUME = thing(
    "PersistentVolume",
    spec={"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}},
)
NODE_TERM: Json = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}
ON_A_NODE: Json = {"required": {"nodeSelectorTerms": [NODE_TERM]}}
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


def pod_resources(requests: Json, limits: Json) -> Json:
    return pod_with(resources={"requests": requests, "limits": limits})


def volume(**spec: Any) -> Json:
    return merged(VOLUME, {"spec": spec})


def storage_class(**fields: Any) -> Json:
    return merged(thing("StorageClass", "storage.k8s.io/v1", provisioner="example.com/x"), fields)


def budget(**spec: Any) -> Json:
    return thing("PodDisruptionBudget", "policy/v1", spec=spec)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(kind: str, **data: str) -> Json:
    return thing(
        "Secret", type=kind, data={key.replace("__", ".").replace("_", "-"): encoded(data[key]) for key in data}
    )


def change(what: str, base: Json, changes: Json) -> Row:
    return Row(what, merged(base, changes), base)


def set_claim(**spec: Any) -> Json:
    return a_set(volumeClaimTemplates=[merged(CLAIM, {"spec": spec})])


def node_ports(*ports: Json) -> Json:
    return service(type="NodePort", ports=list(ports))


def balancer(base: Json = SERVICE, **spec: Any) -> Json:
    return merged(base, {"spec": {"type": "LoadBalancer", **spec}})


DNS_PORTS: tuple[Json, ...] = ({"name": "tcp", "port": 53}, {"name": "udp", "port": 53, "protocol": "UDP"})
NODE_PORT = merged(node_ports({"port": 80, "nodePort": 30054}), {"spec": {"externalTrafficPolicy": "Cluster"}})
LOCAL = balancer(externalTrafficPolicy="Local")
BALANCER = balancer(
    LOCAL,
    ports=[{"port": 80, "nodePort": 30054}],
    allocateLoadBalancerNodePorts=True,
    loadBalancerClass="example.com/a",
    healthCheckNodePort=30053,
)
EXTERNAL = service(type="ExternalName", externalName="a.b")
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
    Row("service: NodePort of two ports", node_ports({"name": "a", "port": 80}, {"name": "b", "port": 81})),
    Row("service: NodePort of a port of two protocols", node_ports(*DNS_PORTS)),
    Row(
        "service: NodePort of a port of two protocols, one node port asked for",
        node_ports(DNS_PORTS[0], {**DNS_PORTS[1], "nodePort": 30051}),
    ),
    Row(
        "service: NodePort of a port of two protocols with a node port each",
        node_ports({**DNS_PORTS[0], "nodePort": 30052}, {**DNS_PORTS[1], "nodePort": 30051}),
    ),
    Row(
        "service: NodePort of two ports with one node port",
        node_ports({"name": "a", "port": 80, "nodePort": 30051}, {"name": "b", "port": 81, "nodePort": 30051}),
    ),
    Row("service: NodePort of one port twice", node_ports({"name": "a", "port": 80}, {"name": "b", "port": 80})),
    Row("service: NodePort without ports", service(type="NodePort", ports=None)),
    Row("service: NodePort with a health check", service(type="NodePort", healthCheckNodePort=30053)),
    Row("service: NodePort of node port 0", node_ports({"port": 80, "nodePort": 0})),
    Row("service: LoadBalancer with local traffic", LOCAL),
    Row("service: LoadBalancer with local traffic and a health check", balancer(LOCAL, healthCheckNodePort=30053)),
    Row("service: LoadBalancer with a bad health check", balancer(LOCAL, healthCheckNodePort=70000)),
    Row("service: LoadBalancer with a health check but no local traffic", balancer(healthCheckNodePort=30053)),
    Row("service: LoadBalancer without node ports", balancer(LOCAL, allocateLoadBalancerNodePorts=False)),
    Row(
        "service: LoadBalancer without node ports but for one",
        balancer(
            allocateLoadBalancerNodePorts=False,
            ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30051}],
        ),
    ),
    Row("service: LoadBalancer with a bad class", balancer(loadBalancerClass="a b")),
    Row("service: LoadBalancer with bad source ranges", balancer(loadBalancerSourceRanges=["10.0.0.0/8", "10/8"])),
    Row("service with a class", service(loadBalancerClass="example.com/a")),
    Row("service that says whether it has node ports", service(allocateLoadBalancerNodePorts=True)),
    Row("service: ExternalName with a port", EXTERNAL),
    Row(
        "service: ExternalName with a node port",
        merged(EXTERNAL, {"spec": {"ports": [{"port": 80, "nodePort": 30051}]}}),
    ),
    Row("service of both families", service(ipFamilyPolicy="PreferDualStack")),
    Row("service of both families, IPv6 first", service(ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv6"])),
    Row(
        "service of two addresses without a policy",
        service(clusterIP="10.96.9.8", clusterIPs=["10.96.9.8", "fd00:96::9:8"]),
    ),
    Row("service of two families and a policy for one", service(ipFamilies=["IPv4", "IPv6"])),
    Row("service with an address outside of the range", service(clusterIP="10.97.0.1")),
    Row("service with the address of the range", service(clusterIP="10.96.0.0")),
    Row("headless service without a selector", merged(HEADLESS, {"spec": {"selector": None}})),
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
    change("service: NodePort becomes ClusterIP", NODE_PORT, {"spec": {"type": "ClusterIP"}}),
    change(
        "service: NodePort becomes ClusterIP with another node port",
        NODE_PORT,
        {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30055}]}},
    ),
    change(
        "service: NodePort becomes ClusterIP with another policy",
        NODE_PORT,
        {"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}},
    ),
    change(
        "service: NodePort becomes ClusterIP with external IPs",
        merged(NODE_PORT, {"spec": {"externalIPs": ["192.0.2.1"]}}),
        {"spec": {"type": "ClusterIP"}},
    ),
    change(
        "service: NodePort becomes ExternalName", NODE_PORT, {"spec": {"type": "ExternalName", "externalName": "a.b"}}
    ),
    change("service: NodePort becomes LoadBalancer", NODE_PORT, {"spec": {"type": "LoadBalancer"}}),
    change(
        "service: NodePort becomes LoadBalancer without node ports",
        node_ports({"port": 80}),
        {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}},
    ),
    change("service: the node port stays", node_ports({"port": 80}), {"spec": {"ports": [{"port": 81}]}}),
    change("service: a port is renamed", node_ports({"port": 80}), {"spec": {"ports": [{"port": 80, "name": "a"}]}}),
    change(
        "service: a port comes",
        node_ports({"name": "a", "port": 80}),
        {"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "UDP"}]}},
    ),
    change(
        "service: two ports get one node port",
        NODE_PORT,
        {
            "spec": {
                "ports": [{"name": "a", "port": 80, "nodePort": 30055}, {"name": "b", "port": 81, "nodePort": 30055}]
            }
        },
    ),
    change(
        "service: two protocols get one node port",
        NODE_PORT,
        {"spec": {"ports": [{**DNS_PORTS[0], "nodePort": 30055}, {**DNS_PORTS[1], "port": 54, "nodePort": 30055}]}},
    ),
    change("service: LoadBalancer becomes ClusterIP", BALANCER, {"spec": {"type": "ClusterIP"}}),
    change("service: LoadBalancer becomes NodePort", BALANCER, {"spec": {"type": "NodePort"}}),
    change(
        "service: LoadBalancer becomes ClusterIP with all else changed",
        BALANCER,
        {
            "spec": {
                "type": "ClusterIP",
                "allocateLoadBalancerNodePorts": False,
                "loadBalancerClass": "example.com/b",
                "externalTrafficPolicy": "Cluster",
                "healthCheckNodePort": 30055,
            }
        },
    ),
    change("service: LoadBalancer changes its class", BALANCER, {"spec": {"loadBalancerClass": "b c"}}),
    change("service: LoadBalancer changes its health check", BALANCER, {"spec": {"healthCheckNodePort": 30055}}),
    change("service: LoadBalancer keeps its health check", LOCAL, {"metadata": {"labels": {"a": "b"}}}),
    change("service: LoadBalancer gets local traffic", balancer(), {"spec": {"externalTrafficPolicy": "Local"}}),
    change(
        "service: LoadBalancer loses local traffic",
        balancer(LOCAL, healthCheckNodePort=30054),
        {"spec": {"externalTrafficPolicy": "Cluster"}},
    ),
    change("service: ClusterIP becomes NodePort", SERVICE, {"spec": {"type": "NodePort"}}),
    change("service: ClusterIP becomes LoadBalancer", SERVICE, {"spec": LOCAL["spec"]}),
    change(
        "service: ClusterIP with an address becomes ExternalName",
        IP_SERVICE,
        {"spec": {"type": "ExternalName", "externalName": "a.b"}},
    ),
    change(
        "service: ClusterIP becomes ExternalName with an address",
        SERVICE,
        {"spec": {"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.7.9"}},
    ),
    change("service: ExternalName becomes NodePort", EXTERNAL, {"spec": {"type": "NodePort"}}),
    change("service: ExternalName becomes ClusterIP", EXTERNAL, {"spec": {"type": "ClusterIP", "clusterIP": "None"}}),
    change("service: gets both families", SERVICE, {"spec": {"ipFamilyPolicy": "PreferDualStack"}}),
    change(
        "service: goes back to one family",
        service(ipFamilyPolicy="PreferDualStack"),
        {"spec": {"ipFamilyPolicy": "SingleStack"}},
    ),
    change(
        "service: loses a family without its policy",
        service(ipFamilyPolicy="PreferDualStack"),
        {"spec": {"ipFamilies": ["IPv4"]}},
    ),
    change("service: headless becomes NodePort", HEADLESS, {"spec": {"type": "NodePort"}}),
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
    # Requests and limits
    Row("pod with a request above its limit", pod_resources({"cpu": "1"}, {"cpu": "500m"})),
    Row("pod with a request at its limit in other units", pod_resources({"cpu": 0.5}, {"cpu": "500m"})),
    Row("pod with a request of memory above its limit", pod_resources({"memory": "1Gi"}, {"memory": "1000M"})),
    Row("pod with a negative limit", pod_with(resources={"limits": {"cpu": "-1"}})),
    Row("pod with a negative request", pod_with(resources={"requests": {"memory": "-1Ki"}})),
    Row("pod with a resource of no kind", pod_with(resources={"requests": {"tape": "1"}})),
    Row("pod with a limit for a resource of no kind", pod_with(resources={"limits": {"tape": "1"}})),
    Row("pod with a resource of quotas", pod_with(resources={"requests": {"pods": "1"}})),
    Row("pod with a resource of a bad name", pod_with(resources={"requests": {"a b": "1"}})),
    Row("pod with a resource of Kubernetes", pod_with(resources={"requests": {"kubernetes.io/x": "1"}})),
    Row("pod with devices", pod_resources({"example.com/gpu": 2}, {"example.com/gpu": 2})),
    Row("pod with less devices than may be", pod_resources({"example.com/gpu": 1}, {"example.com/gpu": 2})),
    Row("pod with more devices than may be", pod_resources({"example.com/gpu": 3}, {"example.com/gpu": 2})),
    Row("pod with devices and no limit", pod_with(resources={"requests": {"example.com/gpu": 1}})),
    Row("pod with half a device", pod_with(resources={"limits": {"example.com/gpu": "500m"}})),
    Row("pod with devices of a quota", pod_with(resources={"limits": {"requests.example.com/gpu": "1"}})),
    Row(
        "pod with huge pages",
        pod_resources({"cpu": 1, "hugepages-2Mi": "4Mi"}, {"cpu": 1, "hugepages-2Mi": "4Mi"}),
    ),
    Row("pod with huge pages alone", pod_with(resources={"limits": {"hugepages-2Mi": "4Mi"}})),
    Row("pod with half a huge page", pod_resources({"cpu": 1}, {"cpu": 1, "hugepages-2Mi": "1Mi"})),
    Row("pod with ephemeral storage", pod_resources({"ephemeral-storage": "2Gi"}, {"ephemeral-storage": "1Gi"})),
    Row("set with a request above its limit", set_container(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}})),
    Row(
        "set with an init container's request above its limit",
        set_pod(
            initContainers=[
                {"name": "a", "image": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "999m"}}}
            ]
        ),
    ),
    Row(
        "pod with an odd path of its node",
        merged(POD, {"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/a/../b"}}]}}),
    ),
    Row(
        "pod with an odd type of path of its node",
        merged(POD, {"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/a", "type": "Tape"}}]}}),
    ),
    # Budgets
    Row("budget above all", budget(minAvailable="150%")),
    Row("budget of all", budget(minAvailable="100%")),
    Row("budget of more than all unavailable", budget(maxUnavailable="101%")),
    Row("budget of a text", budget(minAvailable="half")),
    Row("budget of a negative percentage", budget(maxUnavailable="-1%")),
    Row("budget of a percentage with a fraction", budget(maxUnavailable="1.5%")),
    Row("budget of none unavailable", budget(maxUnavailable=0)),
    Row("budget of a negative number unavailable", budget(maxUnavailable=-1)),
    Row("budget of both", budget(minAvailable=1, maxUnavailable="150%", selector={"matchLabels": {"a": "b"}})),
    Row("budget of both without a selector", budget(minAvailable=1, maxUnavailable=1)),
    Row("budget of neither", budget()),
    Row("budget with an unknown policy", budget(minAvailable=1, unhealthyPodEvictionPolicy="Never")),
    Row("budget with a policy", budget(minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")),
    Row("budget with a bad selector", budget(minAvailable=1, selector={"matchLabels": {"a": "b c"}})),
    change("budget: becomes bad", budget(minAvailable=1), {"spec": {"minAvailable": "101%"}}),
    # Volumes
    Row("volume without a source", volume(hostPath=None)),
    Row("volume with two sources", volume(nfs={"server": "a", "path": "/b"})),
    Row(
        "volume with three sources", volume(nfs={"server": "a", "path": "/b"}, csi={"driver": "a", "volumeHandle": "b"})
    ),
    Row("volume without a capacity", volume(capacity=None)),
    Row("volume with no storage", merged(volume(capacity=None), {"spec": {"capacity": {"iops": "1"}}})),
    Row("volume with more than storage", volume(capacity={"iops": "1"})),
    Row("volume of size zero", volume(capacity={"storage": "0"})),
    Row("volume of a negative size", volume(capacity={"storage": "-1Gi"})),
    Row("volume without modes", volume(accessModes=None)),
    Row("volume with an unknown mode", volume(accessModes=["ReadSometimes"])),
    Row("volume with a mode that goes alone", volume(accessModes=["ReadWriteOncePod", "ReadWriteOnce"])),
    Row("volume with an unknown policy", volume(persistentVolumeReclaimPolicy="Burn")),
    Row("volume that deletes", volume(persistentVolumeReclaimPolicy="Delete", storageClassName="fast")),
    Row("volume that recycles the root", volume(persistentVolumeReclaimPolicy="Recycle", hostPath={"path": "/."})),
    Row("volume with a bad class", volume(storageClassName="A_b")),
    Row("volume with an unknown form", volume(volumeMode="Tape")),
    Row("volume without a path", volume(hostPath={"path": ""})),
    Row("volume with a path back", volume(hostPath={"path": "/a/.."})),
    Row("volume with a path of an unknown type", volume(hostPath={"type": "Tape"})),
    Row("volume of NFS with nothing", volume(hostPath=None, nfs={"server": "", "path": ""})),
    Row("volume of NFS with a short path", volume(hostPath=None, nfs={"server": "a", "path": "b"})),
    Row("volume of NFS", volume(hostPath=None, nfs={"server": "a", "path": "/b"})),
    Row("volume of a node", volume(hostPath=None, local={"path": "/x"}, nodeAffinity=ON_A_NODE)),
    Row("volume of no node", volume(hostPath=None, local={"path": "/x"})),
    Row("volume of a node with a path back", volume(hostPath=None, local={"path": ".."}, nodeAffinity=ON_A_NODE)),
    Row("volume of a node without a path", volume(hostPath=None, local={"path": ""}, nodeAffinity=ON_A_NODE)),
    Row("volume with no term for its node", volume(nodeAffinity={"required": {"nodeSelectorTerms": []}})),
    Row("volume with no word for its node", volume(nodeAffinity={})),
    Row(
        "volume with bad terms for its node",
        volume(
            nodeAffinity={
                "required": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {"key": "a", "operator": "In"},
                                {"key": "a", "operator": "Exists", "values": ["b"]},
                                {"key": "a", "operator": "Gt", "values": ["1", "2"]},
                                {"key": "a b", "operator": "Is", "values": ["c d"]},
                            ],
                            "matchFields": [
                                {"key": "metadata.name", "operator": "In", "values": ["a", "b"]},
                                {"key": "metadata.uid", "operator": "Exists"},
                                {"key": "metadata.name", "operator": "In", "values": ["A_b"]},
                            ],
                        }
                    ]
                }
            }
        ),
    ),
    Row("volume of CSI", volume(hostPath=None, csi={"driver": "Example.com", "volumeHandle": "a"})),
    Row("volume of CSI with nothing", volume(hostPath=None, csi={"driver": "", "volumeHandle": ""})),
    Row("volume of CSI with a long bad driver", volume(hostPath=None, csi={"driver": f"{LONG}_", "volumeHandle": "a"})),
    Row(
        "volume of CSI with a secret of no name",
        volume(hostPath=None, csi={"driver": "a", "volumeHandle": "a", "nodePublishSecretRef": {"namespace": "b"}}),
    ),
    Row("volume with a class of attributes", volume(volumeAttributesClassName="gold")),
    Row("volume with an empty class of attributes", volume(volumeAttributesClassName="")),
    Row(
        "volume with options for its mount",
        named(VOLUME, annotations={"volume.beta.kubernetes.io/mount-options": "ro"}),
    ),
    change("volume: source changes", VOLUME, {"spec": {"hostPath": {"path": "/y"}}}),
    change("volume: form changes", VOLUME, {"spec": {"volumeMode": "Block"}}),
    change(
        "volume: capacity and policy change",
        VOLUME,
        {"spec": {"capacity": {"storage": "2Gi"}, "persistentVolumeReclaimPolicy": "Delete"}},
    ),
    change("volume: becomes bad", VOLUME, {"spec": {"capacity": {"storage": "0"}}}),
    change(
        "volume: node changes",
        volume(nodeAffinity=ON_A_NODE),
        {
            "spec": {
                "nodeAffinity": {
                    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}
                }
            }
        },
    ),
    change("volume: a node comes", VOLUME, {"spec": {"nodeAffinity": ON_A_NODE}}),
    # Classes
    Row("storage class with an unknown policy", storage_class(reclaimPolicy="Foo")),
    Row("storage class that recycles", storage_class(reclaimPolicy="Recycle")),
    Row("storage class with an empty policy", storage_class(reclaimPolicy="")),
    Row("storage class with an unknown binding", storage_class(volumeBindingMode="Later")),
    Row("storage class with a bad provisioner", storage_class(provisioner="a b/c")),
    Row("storage class with a provisioner of capitals", storage_class(provisioner="Example.COM/X")),
    Row("storage class with parameters", storage_class(parameters={"a": "", "b c": "d"})),
    Row("storage class with a parameter of no name", storage_class(parameters={"": "a"})),
    Row("storage class with 513 parameters", storage_class(parameters={f"a{n}": "" for n in range(513)})),
    Row("storage class with long parameters", storage_class(parameters={"a": "b" * 256 * 1024})),
    Row(
        "storage class with topologies",
        storage_class(allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}]),
    ),
    Row(
        "storage class with bad topologies",
        storage_class(
            allowedTopologies=[
                {"matchLabelExpressions": [{"key": "z", "values": ["a", "a"]}, {"key": "z", "values": []}]},
                {"matchLabelExpressions": [{"key": "a b", "values": ["a"]}]},
                {"matchLabelExpressions": [{"key": "a b", "values": ["a"]}]},
            ]
        ),
    ),
    change("storage class: parameters change", storage_class(parameters={"b": "1"}), {"parameters": {"a": "2"}}),
    change("storage class: parameters go", storage_class(parameters={"b": "1"}), {"parameters": None}),
    change("storage class: provisioner changes", storage_class(), {"provisioner": "example.com/y"}),
    change("storage class: policy changes", storage_class(), {"reclaimPolicy": "Retain"}),
    change("storage class: binding changes", storage_class(), {"volumeBindingMode": "WaitForFirstConsumer"}),
    change("storage class: may grow", storage_class(), {"allowVolumeExpansion": True, "mountOptions": ["ro"]}),
    change("storage class: policy becomes bad", storage_class(), {"reclaimPolicy": "Foo"}),
    # Secrets and ConfigMaps
    Row("secret of TLS", secret("kubernetes.io/tls", tls__crt="", tls__key="")),
    Row("secret of TLS without a key", secret("kubernetes.io/tls", tls__crt="a")),
    Row("secret of TLS with nothing", thing("Secret", type="kubernetes.io/tls")),
    Row("secret of dockercfg", secret("kubernetes.io/dockercfg", __dockercfg="{}")),
    Row("secret of dockercfg without it", secret("kubernetes.io/dockercfg", a="b")),
    *(
        Row(f"secret of Docker's JSON: {text!r}", secret("kubernetes.io/dockerconfigjson", __dockerconfigjson=text))
        for text in (
            '{"auths": {}}',
            "null",
            "",
            "{",
            "x",
            "truthy",
            "5",
            '"a"',
            "[1]",
            "[1 2]",
            "[1,]",
            '{"a" 1}',
            '{"a": 1 "b": 2}',
            '{"a": [1}',
            "{a: 1}",
            "{} {}",
            '{"a": "b\n"}',
            '{"a": "b',
        )
    ),
    Row("secret of Docker's JSON without it", thing("Secret", type="kubernetes.io/dockerconfigjson")),
    Row("secret of a user", secret("kubernetes.io/basic-auth", password="a")),
    Row("secret of no user", secret("kubernetes.io/basic-auth", a="b")),
    Row("secret of SSH", secret("kubernetes.io/ssh-auth", ssh_privatekey="a")),
    Row("secret of SSH with an empty key", secret("kubernetes.io/ssh-auth", ssh_privatekey="")),
    Row("secret of an account", secret("kubernetes.io/service-account-token")),
    Row(
        "secret of a named account",
        named(secret("kubernetes.io/service-account-token"), annotations={"kubernetes.io/service-account.name": "a"}),
    ),
    Row("secret of a type of its own", secret("example.com/x", a="b")),
    Row("secret with a bad key", thing("Secret", data={"a b": ""})),
    Row("secret of one MiB", thing("Secret", data={"a": encoded("a" * 1024 * 1024)})),
    Row("secret of more than one MiB", thing("Secret", data={"a": encoded("a" * (1024 * 1024 + 1))})),
    change(
        "secret: changes though immutable", thing("Secret", data={"a": "Yg=="}, immutable=True), {"data": {"a": "Yw=="}}
    ),
    change("secret: becomes mutable", thing("Secret", data={"a": "Yg=="}, immutable=True), {"immutable": False}),
    change(
        "secret: becomes mutable by its lack", thing("Secret", data={"a": "Yg=="}, immutable=True), {"immutable": None}
    ),
    change(
        "secret: becomes immutable", thing("Secret", data={"a": "Yg=="}), {"immutable": True, "data": {"a": "Yw=="}}
    ),
    change(
        "secret: labels change though immutable", thing("Secret", immutable=True), {"metadata": {"labels": {"a": "b"}}}
    ),
    change(
        "secret: type changes to one that needs more",
        thing("Secret", data={"a": "Yg=="}),
        {"type": "kubernetes.io/tls"},
    ),
    change(
        "secret: needed data go", secret("kubernetes.io/tls", tls__crt="", tls__key=""), {"data": {"tls.key": None}}
    ),
    Row("secret of plain text", thing("Secret", stringData={"a": "b"}, data={"c": "Yg=="})),
    change("secret: plain text comes", thing("Secret", data={"a": "Yg=="}), {"stringData": {"b": "c"}}),
    change("secret: plain text changes though immutable", thing("Secret", immutable=True), {"stringData": {"b": "c"}}),
    Row("config map with one key twice", thing("ConfigMap", data={"a": "b"}, binaryData={"a": "Yg=="})),
    Row("config map with a bad binary key", thing("ConfigMap", binaryData={"a b": "Yg=="})),
    Row("config map of more than one MiB", thing("ConfigMap", data={"a": "b" * 1024 * 1024}, binaryData={"b": "Yg=="})),
    Row("config map with two keys of two dots", thing("ConfigMap", data={"..": ""}, binaryData={"..a": ""})),
    change(
        "config map: binary data come though immutable",
        thing("ConfigMap", immutable=True),
        {"binaryData": {"a": "Yg=="}},
    ),
    change("config map: becomes mutable", thing("ConfigMap", immutable=True), {"immutable": False}),
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
