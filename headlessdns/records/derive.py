"""From the observed cluster to the zones: the rules run again for what an event touched, and for nothing else. Pure."""

from __future__ import annotations

import msgspec

from headlessdns import names
from headlessdns.cluster.objects import Key, Kind, ObjectRef
from headlessdns.cluster.snapshot import Snapshot, Touched
from headlessdns.records import rules
from headlessdns.records.rules import PodNames, Settings
from headlessdns.records.zone import Zones

REQUIRED = (Kind.SERVICE, Kind.ENDPOINT_SLICE)


class Deriver:
    """Keeps zones equal to what the rules say of a snapshot."""

    def __init__(self, snapshot: Snapshot, zones: Zones) -> None:
        self._snapshot = snapshot
        self._zones = zones
        self._wanted = zones.settings
        self.settings = self._effective_settings()

    def _effective_settings(self) -> Settings:
        """Return the settings with pod names off where pods cannot be had."""
        if self._wanted.pods is PodNames.VERIFIED and Kind.POD in self._snapshot.unavailable:
            return msgspec.structs.replace(self._wanted, pods=PodNames.DISABLED)
        return self._wanted

    def update(self, touched: Touched) -> None:
        """Bring the zones up to date with what was *touched* in the snapshot."""
        if touched.kinds:
            touched = self._with_kinds(touched)
        for key in touched.services:
            self._update_service(key)
        for key in touched.pods:
            pod = self._snapshot.pods.get(key)
            rrsets = rules.pod_rrsets(pod, self.settings) if pod else ()
            self._zones.set(ObjectRef("Pod", *key), rrsets)
        for namespace in touched.namespaces:
            nodes = rules.namespace_nodes(namespace, self.settings) if self._namespace_exists(namespace) else ()
            self._zones.set(ObjectRef("Namespace", "", namespace), (), nodes)

    def _update_service(self, key: Key) -> None:
        service = self._snapshot.services.get(key)
        source = ObjectRef("Service", *key)
        if service is None:
            self._zones.set(source, ())
            return
        slices, endpoints = self._snapshot.slices(key), self._snapshot.endpoints.get(key)
        rrsets = rules.service_rrsets(service, slices, endpoints, self.settings)
        self._zones.set(source, rrsets, rules.service_nodes(service, self.settings))

    def _with_kinds(self, touched: Touched) -> Touched:
        """Return *touched* with all that depends on a kind having been listed, or being out of reach."""
        before, self.settings = self.settings, self._effective_settings()
        everything = Touched()
        everything.update(touched)
        if Kind.NAMESPACE in touched.kinds or before != self.settings:
            everything.namespaces.update(self._snapshot.populated())
            everything.namespaces.update(key.name for key in self._snapshot.namespaces)
        if before != self.settings:
            everything.pods.update(self._snapshot.pods)
        return everything

    def _namespace_exists(self, namespace: str) -> bool:
        if Kind.NAMESPACE in self._snapshot.unavailable:
            return self._snapshot.is_populated(namespace)
        return Key("", namespace) in self._snapshot.namespaces

    def is_ready(self) -> bool:
        """Tell whether the kinds are listed without which nothing may be denied."""
        return all(kind in self._snapshot.listed for kind in REQUIRED) or self._uses_endpoints()

    def _uses_endpoints(self) -> bool:
        """Tell whether Endpoints stand in for slices, which this API server does not serve."""
        snapshot = self._snapshot
        return (
            Kind.SERVICE in snapshot.listed
            and Kind.ENDPOINT_SLICE in snapshot.unavailable
            and Kind.ENDPOINTS in snapshot.listed
        )

    def pending(self) -> tuple[dict[bytes, str], dict[bytes, str]]:
        """Return the names below which nothing may be denied yet, and those of whose children only that holds.

        Each comes with the kind that it waits for.
        """
        settings, snapshot = self.settings, self._snapshot
        below: dict[bytes, str] = {}
        children: dict[bytes, str] = {}
        if settings.pods is PodNames.VERIFIED and not snapshot.is_settled(Kind.POD):
            below[settings.pod] = "Pods"
        if not snapshot.is_settled(Kind.NAMESPACE):
            children[settings.svc] = "Namespaces"
            if settings.pods is PodNames.INSECURE:
                below[settings.pod] = "Namespaces"
            elif settings.pods is PodNames.VERIFIED:
                children[settings.pod] = "Namespaces"
        return below, children


def own_addresses(snapshot: Snapshot, service: Key | None) -> tuple[str, ...]:
    """Return the cluster IPs of our own Service, which are the name server's addresses; none while it is unknown."""
    found = snapshot.services.get(service) if service else None
    return rules.cluster_ips(found) if found else ()


def default_ns_name(zone: names.CanonicalName) -> names.CanonicalName:
    """Return the name server's name where the operator gave none; the one that CoreDNS uses."""
    return names.below(zone, "ns", "dns")
