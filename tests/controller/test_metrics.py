"""The metrics of the controller, read back by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from headlessdns import __version__
from headlessdns.controller.actions import WaitKind
from headlessdns.controller.metrics import registry_of
from headlessdns.controller.model import SetKey, SetKind
from headlessdns.controller.observed import Watched
from headlessdns.controller.run import Controller
from tests.controller.memory_api import MemoryClient, MemoryServer
from tests.controller.support import KEY, NOW_S, pods

MONOTONIC_S = 500.0
OTHER = SetKey(SetKind.ORDINAL_SET, "prod", "db")


def controller() -> Controller:
    return Controller(MemoryClient(MemoryServer()), statefulsets="auto", namespaces=["default"])


def samples(found: Controller) -> dict[str, float]:
    """Return every sample by its name and labels."""
    text = generate_latest(registry_of(found, lambda: NOW_S, lambda: MONOTONIC_S)).decode()
    found_samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix("headlessdns_controller_")
            found_samples[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found_samples


AT_FIRST = {
    f"build_info{{version={__version__}}}": 1,
    "leader": 1,
    "ready": 0,
    "reconciled{kind=StatefulSet}": 0,
    "reconciled{kind=OrdinalSet}": 1,
    "syncs_total{outcome=done}": 0,
    "syncs_total{outcome=failed}": 0,
    "syncs_total{outcome=unseen}": 0,
    "sync_seconds_total": 0,
    "queue_depth": 0,
    "events_dropped_total": 0,
    "oldest_wait_seconds": 0,
    "objects{kind=StatefulSet}": 0,
    "objects{kind=OrdinalSet}": 0,
    "objects{kind=Pod}": 0,
    "objects{kind=PersistentVolumeClaim}": 0,
    "objects{kind=ControllerRevision}": 0,
    "objects{kind=Service}": 0,
}


def test_before_anything_has_happened() -> None:
    """Every family without labels of objects is there from the start."""
    assert samples(controller()) == AT_FIRST


def test_what_has_happened() -> None:
    """What the parts counted stands under its name and labels."""
    found = controller()
    metrics = found.syncer.metrics
    metrics.syncs |= {"done": 5, "failed": 2, "unseen": 1}
    metrics.seconds = 1.5
    metrics.unavailable |= {KEY: 3, OTHER: 0}
    metrics.waits |= {KEY: ((WaitKind.POD_READY, "a"), NOW_S - 60.0), OTHER: ((WaitKind.POD_GONE, "b"), NOW_S - 5.0)}
    found.applier.counts.add("create", "Pod", "done")
    found.applier.counts.add("create", "Pod", "done")
    found.applier.counts.add("delete", "Pod", "Conflict")
    found.recorder.dropped = 4
    found.queue.add(KEY)
    found.observed.put(Watched.POD, pods("0 v1 ready")[0])
    found.syncer.kinds = frozenset(SetKind)
    found._watches()
    status = found.statuses[2]
    status.last_event_monotonic_s, status.restarts = MONOTONIC_S - 7, 3
    changed = {
        "syncs_total{outcome=done}": 5,
        "syncs_total{outcome=failed}": 2,
        "syncs_total{outcome=unseen}": 1,
        "sync_seconds_total": 1.5,
        "unavailable_replicas{kind=StatefulSet,name=web,namespace=default}": 3,
        "unavailable_replicas{kind=OrdinalSet,name=db,namespace=prod}": 0,
        "oldest_wait_seconds": 60,
        "requests_total{kind=Pod,result=done,verb=create}": 2,
        "requests_total{kind=Pod,result=Conflict,verb=delete}": 1,
        "events_dropped_total": 4,
        "queue_depth": 1,
        "objects{kind=Pod}": 1,
        "reconciled{kind=StatefulSet}": 1,
        "watch_age_seconds{kind=Pod,namespace=default}": 7,
        "watch_restarts_total{kind=Pod,namespace=default}": 3,
        **{
            f"watch_restarts_total{{kind={kind},namespace=default}}": 0
            for kind in ("StatefulSet", "OrdinalSet", "PersistentVolumeClaim", "ControllerRevision", "Service")
        },
    }
    assert samples(found) == AT_FIRST | changed


def test_a_clock_that_was_set_back() -> None:
    """No wait has a negative age."""
    found = controller()
    found.syncer.metrics.waits[KEY] = ((WaitKind.POD_READY, "a"), NOW_S + 60.0)
    assert samples(found)["oldest_wait_seconds"] == 0


def test_a_leader_that_is_not() -> None:
    """Without the Lease the gauge says so."""
    found = controller()
    found._write_timeout_s = lambda: 0.0  # type: ignore[method-assign]  # the lease is gone
    assert samples(found)["leader"] == 0
