"""What Prometheus sees of the controller: one collector over plain counters. Pure.

Names follow the conventions of Prometheus; what kube-controller-manager counts too has its words behind the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from headlessdns import __version__
from headlessdns.controller.model import SetKind
from headlessdns.controller.observed import Watched

if TYPE_CHECKING:
    from headlessdns.controller.run import Controller

PREFIX = "headlessdns_controller_"


class ControllerCollector(Collector):
    """Renders a controller's counters."""

    def __init__(self, controller: Controller, now_s: Callable[[], float], monotonic_s: Callable[[], float]) -> None:
        """Take the controller, Unix time and monotonic seconds."""
        self._controller = controller
        self._now_s = now_s
        self._monotonic_s = monotonic_s

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        controller = self._controller
        yield InfoMetricFamily(f"{PREFIX}build", "The version.", value={"version": __version__})
        yield _gauge("leader", "1 while this process may write.", controller.is_leader)
        yield _gauge("ready", "1 when all that is required is listed.", controller.is_ready)
        kinds = GaugeMetricFamily(
            f"{PREFIX}reconciled", "1 where sets of this kind are reconciled by the leader.", labels=["kind"]
        )
        for set_kind in SetKind:
            kinds.add_metric([set_kind.value], float(set_kind in controller.syncer.kinds))
        yield kinds
        yield from self._syncs()
        yield from self._sets()
        yield from self._watches()

    def _syncs(self) -> Iterator[Metric]:
        syncs = CounterMetricFamily(f"{PREFIX}syncs", "Syncs of sets, by outcome.", labels=["outcome"])
        for outcome, count in self._controller.syncer.metrics.syncs.items():
            syncs.add_metric([outcome], count)
        yield syncs
        seconds = CounterMetricFamily(f"{PREFIX}sync_seconds", "Time spent in syncs, waits for answers included.")
        seconds.add_metric([], self._controller.syncer.metrics.seconds)
        yield seconds
        yield _gauge("queue_depth", "Sets that wait for a sync.", len(self._controller.queue))
        actions = CounterMetricFamily(
            f"{PREFIX}requests", "Requests, by verb, kind of object and result.", labels=["verb", "kind", "result"]
        )
        for (verb, kind, result), count in sorted(self._controller.applier.counts.done.items()):
            actions.add_metric([verb, kind, result], count)
        yield actions
        dropped = CounterMetricFamily(f"{PREFIX}events_dropped", "Events about sets that were not written.")
        dropped.add_metric([], self._controller.recorder.dropped)
        yield dropped

    def _sets(self) -> Iterator[Metric]:
        metrics = self._controller.syncer.metrics
        unavailable = GaugeMetricFamily(
            f"{PREFIX}unavailable_replicas",
            "Pods that are wanted and not available.",
            labels=["kind", "namespace", "name"],
        )
        for key, count in sorted(metrics.unavailable.items(), key=lambda item: str(item[0])):
            unavailable.add_metric([key.kind.value, key.namespace, key.name], count)
        yield unavailable
        since_s = min((since_s for _, since_s in metrics.waits.values()), default=None)
        age_s = 0.0 if since_s is None else self._now_s() - since_s
        yield _gauge("oldest_wait_seconds", "Age of the oldest rollout that waits for something.", max(age_s, 0.0))

    def _watches(self) -> Iterator[Metric]:
        objects = GaugeMetricFamily(f"{PREFIX}objects", "Objects that are known.", labels=["kind"])
        for kind in Watched:
            objects.add_metric([kind.value], self._controller.observed.count(kind))
        yield objects
        age = GaugeMetricFamily(
            f"{PREFIX}watch_age_seconds", "Since a watch last said anything.", labels=["kind", "namespace"]
        )
        restarts = CounterMetricFamily(
            f"{PREFIX}watch_restarts", "How often a watch was begun anew.", labels=["kind", "namespace"]
        )
        for status in self._controller.statuses:
            labels = [status.kind.value, status.namespace or ""]
            if status.last_event_monotonic_s is not None:
                age.add_metric(labels, self._monotonic_s() - status.last_event_monotonic_s)
            restarts.add_metric(labels, status.restarts)
        yield age
        yield restarts


def _gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, help)
    family.add_metric([], float(value))
    return family


def registry_of(
    controller: Controller, now_s: Callable[[], float], monotonic_s: Callable[[], float]
) -> CollectorRegistry:
    """Return a registry with the one collector in it."""
    registry = CollectorRegistry()
    registry.register(ControllerCollector(controller, now_s, monotonic_s))
    return registry
