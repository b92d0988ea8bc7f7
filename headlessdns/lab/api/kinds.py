"""The kinds that the embedded API serves, as a table. Pure.

Source: discovery of kube-apiserver 1.36. CustomResourceDefinitions add resources of the same form at run time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]

# What resources are called in messages, and where they are kept.
NAMESPACES, NODES, PODS, SERVICES, SECRETS = "namespaces", "nodes", "pods", "services", "secrets"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Resource(NamedTuple):
    """One kind as the API serves it.

    Attributes:
        group: Empty for the core group.
        version: Such as v1.
        kind: Such as StatefulSet.
        plural: Its name in paths.
        singular: Its name for people.
        short_names: Further names that kubectl takes.
        namespaced: Whether its objects are in namespaces.
        categories: Such as all.
        subresources: Of status, scale, binding, eviction.
        has_generation: Whether metadata.generation counts changes of what is wanted.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    has_generation: bool = False

    @property
    def group_version(self) -> str:
        """As in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages: ``statefulsets.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def collection(self, namespace: str = "") -> str:
        """Return the path of all of them, or of those in *namespace*."""
        root = f"/apis/{self.group_version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


_STATUS = frozenset({"status"})
_ACCESS = "rbac.authorization.k8s.io"
_SCALED = frozenset({"status", "scale"})

RESOURCES: tuple[Resource, ...] = (
    Resource("", "v1", "Namespace", "namespaces", "namespace", ("ns",), namespaced=False, subresources=_STATUS),
    Resource("", "v1", "Node", "nodes", "node", ("no",), namespaced=False, subresources=_STATUS),
    Resource("", "v1", "Service", "services", "service", ("svc",), categories=("all",), subresources=_STATUS),
    Resource("", "v1", "Endpoints", "endpoints", "endpoints", ("ep",)),
    Resource(
        "",
        "v1",
        "Pod",
        "pods",
        "pod",
        ("po",),
        categories=("all",),
        subresources=frozenset({"status", "binding", "eviction"}),
        has_generation=True,
    ),
    Resource(
        "",
        "v1",
        "PersistentVolume",
        "persistentvolumes",
        "persistentvolume",
        ("pv",),
        namespaced=False,
        subresources=_STATUS,
    ),
    Resource(
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        ("pvc",),
        subresources=_STATUS,
    ),
    Resource("", "v1", "ConfigMap", "configmaps", "configmap", ("cm",)),
    Resource("", "v1", "Secret", "secrets", "secret"),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", ("sa",)),
    Resource("", "v1", "Event", "events", "event", ("ev",)),
    Resource(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        "statefulset",
        ("sts",),
        categories=("all",),
        subresources=_SCALED,
        has_generation=True,
    ),
    Resource("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision"),
    Resource(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        "deployment",
        ("deploy",),
        categories=("all",),
        subresources=_SCALED,
        has_generation=True,
    ),
    Resource(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        "replicaset",
        ("rs",),
        categories=("all",),
        subresources=_SCALED,
        has_generation=True,
    ),
    Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", has_generation=True),
    Resource(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
        ("netpol",),
        has_generation=True,
    ),
    Resource(_ACCESS, "v1", "Role", "roles", "role"),
    Resource(_ACCESS, "v1", "RoleBinding", "rolebindings", "rolebinding"),
    Resource(_ACCESS, "v1", "ClusterRole", "clusterroles", "clusterrole", namespaced=False),
    Resource(_ACCESS, "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", namespaced=False),
    Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", "storageclass", ("sc",), namespaced=False),
    Resource(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        ("pdb",),
        subresources=_STATUS,
        has_generation=True,
    ),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", "lease"),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "customresourcedefinition",
        ("crd", "crds"),
        namespaced=False,
        categories=("api-extensions",),
        subresources=_STATUS,
        has_generation=True,
    ),
)
