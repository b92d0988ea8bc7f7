"""What has been seen: indexes beside a rebuilt one, which sets an event concerns, and own writes that are unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headlessdns.controller import model
from headlessdns.controller.model import Claim, Metadata, Pod, Revision, SetKey, SetKind
from headlessdns.controller.observed import (
    EXPECTATION_S,
    UNSEEN_SERVICE,
    Observed,
    Service,
    SetRecord,
    Watched,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headlessdns.controller.observed import Object

Json = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observed(clock: Clock) -> Observed:
    """Two StatefulSets, `web` and `web-db`, and an OrdinalSet `web`, in one namespace; `web` in another."""
    made = Observed(clock)
    for kind, namespace, name in SETS:
        made.put(kind, stateful_set(kind, namespace, name))
    return made


def metadata(namespace: str, name: str, version: int = 1, owner: str = "", **fields: Any) -> Json:
    references = [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": owner, "controller": True}]
    return {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-of-{name}",
        "resourceVersion": str(version),
        "ownerReferences": references if owner else None,
        **fields,
    }


SETS = [
    (Watched.STATEFUL_SET, "shop", "web"),
    (Watched.STATEFUL_SET, "shop", "web-db"),
    (Watched.ORDINAL_SET, "shop", "web"),
    (Watched.STATEFUL_SET, "lab", "web"),
]
SHOP_WEB = SetKey(SetKind.STATEFUL_SET, "shop", "web")
SHOP_WEB_DB = SetKey(SetKind.STATEFUL_SET, "shop", "web-db")
SHOP_ORDINAL_WEB = SetKey(SetKind.ORDINAL_SET, "shop", "web")
LAB_WEB = SetKey(SetKind.STATEFUL_SET, "lab", "web")


def uid_of(kind: Watched, namespace: str, name: str) -> str:
    return f"{kind.value}/{namespace}/{name}"


WEB_UID, WEB_DB_UID, ORDINAL_UID, LAB_UID = (uid_of(*one) for one in SETS)


def stateful_set(kind: Watched, namespace: str, name: str, version: int = 1, **more: Any) -> SetRecord:
    """A set as an item of a list has it: without its kind and version."""
    raw = {
        "metadata": metadata(namespace, name, version, uid=more.get("uid", uid_of(kind, namespace, name))),
        "spec": {
            "serviceName": more.get("service", "nginx"),
            "replicas": more.get("replicas", 1),
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "nginx", "image": "nginx"}]},
            },
        },
    }
    return SetRecord(msgspec.convert(raw["metadata"], Metadata), json.dumps(raw).encode())


def pod(namespace: str, name: str, version: int = 1, owner: str = "", **fields: Any) -> Pod:
    return model.read_pod({"metadata": metadata(namespace, name, version, owner, **fields)})


def claim(namespace: str, name: str, version: int = 1) -> Claim:
    return model.read_claim({"metadata": metadata(namespace, name, version)})


def revision(namespace: str, name: str, version: int = 1, owner: str = "") -> Revision:
    return model.read_revision({"metadata": metadata(namespace, name, version, owner), "data": {}, "revision": 1})


def service(namespace: str, name: str, version: int = 1) -> Service:
    return msgspec.convert({"metadata": metadata(namespace, name, version)}, Service)


def names(objects: Iterable[Pod | Revision]) -> list[str]:
    return sorted(one.name for one in objects)


# Which sets an event concerns


CONCERNED: dict[str, tuple[Watched, Object, set[SetKey]]] = {
    "a set itself": (Watched.STATEFUL_SET, stateful_set(*SETS[0], version=2), {SHOP_WEB}),
    "an OrdinalSet itself": (Watched.ORDINAL_SET, stateful_set(*SETS[2], version=2), {SHOP_ORDINAL_WEB}),
    "a pod of a set": (Watched.POD, pod("shop", "web-0", owner=WEB_UID), {SHOP_WEB, SHOP_ORDINAL_WEB}),
    "a pod of a set with a dash": (Watched.POD, pod("shop", "web-db-0", owner=WEB_DB_UID), {SHOP_WEB_DB}),
    "a pod of a set, of any name": (Watched.POD, pod("shop", "other", owner=WEB_UID), {SHOP_WEB}),
    "a pod of somebody else in the way of one": (
        Watched.POD,
        pod("lab", "web-0", owner="uid-of-another"),
        {LAB_WEB},
    ),
    "a pod of somebody else": (Watched.POD, pod("lab", "db-0", owner="uid-of-another"), set()),
    "an orphan that bears a name of one": (Watched.POD, pod("lab", "web-7"), {LAB_WEB}),
    "an orphan of no ordinal": (Watched.POD, pod("lab", "web"), set()),
    "an orphan elsewhere": (Watched.POD, pod("other", "web-0"), set()),
    "a claim of a set": (Watched.CLAIM, claim("lab", "www-web-0"), {LAB_WEB}),
    "a claim whose template has a dash": (Watched.CLAIM, claim("lab", "my-data-web-11"), {LAB_WEB}),
    "a claim that two sets may have": (
        Watched.CLAIM,
        claim("shop", "www-web-db-0"),
        {SHOP_WEB_DB},
    ),
    "a claim of two kinds": (Watched.CLAIM, claim("shop", "www-web-0"), {SHOP_WEB, SHOP_ORDINAL_WEB}),
    "a claim without an ordinal": (Watched.CLAIM, claim("lab", "www-web"), set()),
    "a claim without a template": (Watched.CLAIM, claim("lab", "web-0"), set()),
    "a claim of nobody": (Watched.CLAIM, claim("lab", "www-db-0"), set()),
    "a revision of a set": (Watched.REVISION, revision("shop", "web-1", owner=WEB_UID), {SHOP_WEB}),
    "a revision of nobody": (Watched.REVISION, revision("shop", "web-1"), set()),
    "a governing Service": (Watched.SERVICE, service("lab", "nginx"), {LAB_WEB}),
    "a Service of several": (Watched.SERVICE, service("shop", "nginx"), {SHOP_WEB, SHOP_WEB_DB, SHOP_ORDINAL_WEB}),
    "another Service": (Watched.SERVICE, service("lab", "redis"), set()),
}


@pytest.mark.parametrize(("kind", "object", "expected"), CONCERNED.values(), ids=CONCERNED.keys())
def test_concerned(observed: Observed, kind: Watched, object: Object, expected: set[SetKey]) -> None:
    """An object concerns the sets that own it, may adopt it, are in its way, or depend on it, coming and going."""
    assert observed.put(kind, object) == expected
    seen = object.metadata
    assert observed.put(kind, msgspec.structs.replace(object, metadata=msgspec.structs.replace(seen))) == set()
    if kind not in (Watched.STATEFUL_SET, Watched.ORDINAL_SET):
        assert observed.delete(kind, seen.namespace, seen.name) == expected
        assert observed.delete(kind, seen.namespace, seen.name) == set()


def test_pod_changes_hands(observed: Observed) -> None:
    """A pod that is adopted or given up concerns the old and the new owner."""
    observed.put(Watched.POD, pod("shop", "x-0", owner=WEB_DB_UID))
    assert observed.put(Watched.POD, pod("shop", "x-0", 2, owner=WEB_UID)) == {SHOP_WEB_DB, SHOP_WEB}
    assert observed.put(Watched.POD, pod("shop", "x-0", 3)) == {SHOP_WEB}
    assert observed.put(Watched.POD, pod("shop", "x-0", 4)) == set()


def test_set_goes(observed: Observed) -> None:
    """A set that goes concerns itself, and no event concerns it any more."""
    assert observed.delete(Watched.STATEFUL_SET, "lab", "web") == {LAB_WEB}
    assert observed.put(Watched.POD, pod("lab", "web-0", owner=LAB_UID)) == set()
    assert observed.set(LAB_WEB) is None
    assert LAB_WEB not in observed.set_keys()


def test_set_is_made_anew(observed: Observed) -> None:
    """A set of the same name with another UID owns nothing of what its predecessor owned."""
    observed.put(Watched.POD, pod("lab", "web-0", owner=LAB_UID))
    observed.put(Watched.STATEFUL_SET, stateful_set(*SETS[3], version=2, uid="new"))
    found = observed.set(LAB_WEB)
    assert found is not None
    assert names(observed.pods(found)) == []
    assert len(observed.set_keys()) == 4
    observed.put(Watched.POD, pod("lab", "web-1", owner="new"))
    assert names(observed.pods(found)) == ["web-1"]


def test_owners_elsewhere(observed: Observed) -> None:
    """An object that names an owner in another namespace is nothing to that owner."""
    assert observed.put(Watched.POD, pod("lab", "web-db-0", owner=WEB_DB_UID)) == set()
    assert observed.put(Watched.POD, pod("shop", "web-db-0", owner=WEB_DB_UID)) == {SHOP_WEB_DB}
    observed.delete(Watched.POD, "lab", "web-db-0")
    found = observed.set(SHOP_WEB_DB)
    assert found is not None
    assert names(observed.pods(found)) == ["web-db-0"]


# What is given out


def test_pods_of_a_set(observed: Observed) -> None:
    """A set is given its pods and the orphans of its namespace, and of a name the pod, whosever it is."""
    observed.put(Watched.POD, pod("shop", "web-0", owner=WEB_UID))
    observed.put(Watched.POD, pod("shop", "web-db-0", owner=WEB_DB_UID))
    observed.put(Watched.POD, pod("shop", "stray"))
    observed.put(Watched.POD, pod("lab", "far"))
    web = observed.set(SHOP_WEB)
    assert web is not None
    assert names(observed.pods(web)) == ["stray", "web-0"]
    foreign = observed.pod("shop", "web-db-0")
    assert foreign is not None
    assert foreign.name == "web-db-0"
    assert observed.pod("lab", "web-db-0") is None
    assert observed.count(Watched.POD) == 4


def test_members_of_a_list_are_read(observed: Observed) -> None:
    """A set is read though an item of a list does not say its kind, and so is one that does."""
    found = observed.set(SHOP_ORDINAL_WEB)
    assert found is not None
    assert (found.key, found.service_name) == (SHOP_ORDINAL_WEB, "nginx")
    record = stateful_set(*SETS[0], version=2, replicas=7)
    raw = {"apiVersion": "apps/v1", "kind": "StatefulSet", **json.loads(record.octets)}
    observed.put(Watched.STATEFUL_SET, SetRecord(record.metadata, json.dumps(raw).encode()))
    found = observed.set(SHOP_WEB)
    assert found is not None
    assert (found.key, found.replicas) == (SHOP_WEB, 7)


def test_equal_octets_of_two_kinds(observed: Observed) -> None:
    """A StatefulSet and an OrdinalSet that are written alike are two sets."""
    record = stateful_set(*SETS[0], version=5)
    observed.put(Watched.STATEFUL_SET, record)
    observed.put(Watched.ORDINAL_SET, SetRecord(msgspec.structs.replace(record.metadata), record.octets))
    kinds = [found.kind for key in (SHOP_WEB, SHOP_ORDINAL_WEB) if (found := observed.set(key)) is not None]
    assert kinds == [SetKind.STATEFUL_SET, SetKind.ORDINAL_SET]


def test_a_set_that_cannot_be_read(observed: Observed) -> None:
    """A set with fields of other types is an error when it is read, and nothing before."""
    record = stateful_set(*SETS[0], version=2)
    octets = record.octets.replace(b'"resourceVersion": "2"', b'"resourceVersion": 2')
    assert observed.put(Watched.STATEFUL_SET, SetRecord(record.metadata, octets)) == {SHOP_WEB}
    with pytest.raises(msgspec.ValidationError):
        observed.set(SHOP_WEB)


def test_list(observed: Observed) -> None:
    """A list replaces what was known in its scope, and concerns the sets of what is new, changed or gone."""
    for name, owner in (("web-0", WEB_UID), ("web-1", WEB_UID), ("web-db-0", WEB_DB_UID)):
        observed.put(Watched.POD, pod("shop", name, owner=owner))
    observed.put(Watched.POD, pod("lab", "web-0", owner=LAB_UID))
    same = pod("shop", "web-db-0", owner=WEB_DB_UID)
    assert observed.replace(Watched.POD, "shop", [same]) == {SHOP_WEB, SHOP_ORDINAL_WEB}
    assert observed.count(Watched.POD) == 2
    assert observed.replace(Watched.POD, None, [same]) == {LAB_WEB}
    assert observed.replace(Watched.POD, None, [same, pod("lab", "web-5", owner=LAB_UID)]) == {LAB_WEB}
    assert observed.replace(Watched.POD, None, []) == {SHOP_WEB_DB, LAB_WEB}
    assert observed.count(Watched.POD) == 0


def test_objects_without_versions(observed: Observed) -> None:
    """An object that has no version, as from a file, counts as changed each time."""
    bare = {"name": "web-0", "namespace": "lab", "uid": "x", "labels": {"a": "1"}}
    for _ in range(2):
        assert observed.put(Watched.POD, model.read_pod({"metadata": bare})) == {LAB_WEB}


# Own writes


def written(version: int, name: str = "web-0", **fields: Any) -> Metadata:
    return msgspec.convert(metadata("lab", name, version, **fields), Metadata)


def test_creation_is_awaited(observed: Observed) -> None:
    """A set whose new pod has not been seen is put aside until it has been."""
    observed.expect(LAB_WEB, Watched.POD, written(7))
    (waiting,) = observed.unseen(LAB_WEB)
    assert (waiting.kind, waiting.namespace, waiting.name, waiting.version) == (Watched.POD, "lab", "web-0", 7)
    assert observed.unseen(SHOP_WEB) == []
    observed.put(Watched.POD, pod("lab", "web-0", 7, owner=LAB_UID))
    assert observed.unseen(LAB_WEB) == []


def test_update_is_awaited(observed: Observed) -> None:
    """An update has been seen when its version or a later one has; an earlier one is not enough."""
    observed.put(Watched.POD, pod("lab", "web-0", 7, owner=LAB_UID))
    observed.expect(LAB_WEB, Watched.POD, written(9))
    observed.put(Watched.POD, pod("lab", "web-0", 8, owner=LAB_UID))
    assert len(observed.unseen(LAB_WEB)) == 1
    observed.put(Watched.POD, pod("lab", "web-0", 10, owner=LAB_UID))
    assert observed.unseen(LAB_WEB) == []


def test_numbers_are_compared(observed: Observed) -> None:
    """Version 10 is later than version 9, though its text is not."""
    observed.expect(LAB_WEB, Watched.POD, written(10))
    observed.put(Watched.POD, pod("lab", "web-0", 9, owner=LAB_UID))
    assert len(observed.unseen(LAB_WEB)) == 1


def test_seen_before_the_answer(observed: Observed) -> None:
    """A write whose event came before its answer is not awaited."""
    observed.put(Watched.POD, pod("lab", "web-0", 7, owner=LAB_UID))
    observed.expect(LAB_WEB, Watched.POD, written(7))
    assert observed.unseen(LAB_WEB) == []


def test_gone_before_it_was_awaited(observed: Observed) -> None:
    """A pod that came and went before its creation was answered is not awaited for ever."""
    observed.put(Watched.POD, pod("lab", "web-0", 7, owner=LAB_UID))
    observed.delete(Watched.POD, "lab", "web-0")
    observed.expect(LAB_WEB, Watched.POD, written(7))
    assert observed.unseen(LAB_WEB) == []


def test_gone_while_it_is_awaited(observed: Observed) -> None:
    """What is later in the same namespace shows that a write has been seen, though its object is gone."""
    observed.expect(LAB_WEB, Watched.POD, written(7))
    observed.put(Watched.POD, pod("shop", "web-9", 8))  # namespaces may be watched one by one
    observed.put(Watched.REVISION, revision("lab", "web-9", 8))
    assert len(observed.unseen(LAB_WEB)) == 1
    observed.put(Watched.POD, pod("lab", "other", 8))
    assert observed.unseen(LAB_WEB) == []


@pytest.mark.parametrize(
    "event",
    [
        pytest.param("gone", id="the pod is gone"),
        pytest.param("leaving", id="the pod is on its way out"),
        pytest.param("another", id="another pod has its name"),
    ],
)
def test_deletion_is_awaited(observed: Observed, event: str) -> None:
    """A deletion has been seen when the pod is gone, on its way out, or another one."""
    there = pod("lab", "web-0", 7, owner=LAB_UID)
    observed.put(Watched.POD, there)
    observed.expect(LAB_WEB, Watched.POD, there.metadata, is_deletion=True)
    observed.put(Watched.POD, pod("lab", "other", 99))
    observed.put(Watched.POD, pod("lab", "web-0", 8, owner=LAB_UID))
    assert len(observed.unseen(LAB_WEB)) == 1
    if event == "gone":
        observed.delete(Watched.POD, "lab", "web-0")
    elif event == "leaving":
        observed.put(Watched.POD, pod("lab", "web-0", 9, owner=LAB_UID, deletionTimestamp="2027-01-15T08:00:00Z"))
    else:
        observed.put(Watched.POD, pod("lab", "web-0", 9, owner=LAB_UID, uid="another"))
    assert observed.unseen(LAB_WEB) == []


def test_writes_expire(observed: Observed, clock: Clock) -> None:
    """A write that is not seen for ten seconds is awaited no more; what is there counts."""
    observed.expect(LAB_WEB, Watched.POD, written(7))
    clock.now_s += 5
    observed.expect(LAB_WEB, Watched.CLAIM, written(7, "www-web-0"))
    clock.now_s += EXPECTATION_S - 5 - 0.1
    assert len(observed.unseen(LAB_WEB)) == 2
    clock.now_s += 0.1
    assert [one.name for one in observed.unseen(LAB_WEB)] == ["www-web-0"]
    clock.now_s += 5
    assert observed.unseen(LAB_WEB) == []


def test_several_writes(observed: Observed) -> None:
    """A set waits for the last of its writes."""
    for number in range(3):
        observed.expect(LAB_WEB, Watched.POD, written(7 + number, f"web-{number}"))
    observed.put(Watched.POD, pod("lab", "web-1", 8, owner=LAB_UID))
    assert [one.name for one in observed.unseen(LAB_WEB)] == ["web-2"]


def test_versions_of_no_number_are_not_awaited(observed: Observed) -> None:
    """A version that is no number cannot be compared, so only a deletion is awaited by it."""
    observed.expect(LAB_WEB, Watched.POD, written(7, resourceVersion="abc"))
    assert observed.unseen(LAB_WEB) == []


# Memory


def test_nothing_is_left_of_what_is_gone(clock: Clock) -> None:
    """Of thousands of sets and namespaces that came and went, nothing is kept."""
    observed = Observed(clock)
    for number in range(3000):
        namespace, uid = f"namespace-{number}", f"uid-{number}"
        observed.put(Watched.STATEFUL_SET, stateful_set(Watched.STATEFUL_SET, namespace, "web", uid=uid))
        objects: list[tuple[Watched, Object]] = [
            (Watched.POD, pod(namespace, "web-0", owner=uid)),
            (Watched.POD, pod(namespace, "stray")),
            (Watched.REVISION, revision(namespace, "web-1", owner=uid)),
            (Watched.CLAIM, claim(namespace, "www-web-0")),
        ]
        for kind, object in objects:
            observed.put(kind, object)
        for kind, object in objects:
            observed.delete(kind, namespace, object.metadata.name)
        observed.delete(Watched.STATEFUL_SET, namespace, "web")
    assert [observed.count(kind) for kind in Watched] == [0] * 6
    groups = [len(groups) for groups in observed._by_owner.values()]
    groups += [len(store.by_namespace) for store in observed._stores.values()]
    assert groups == [0] * 8
    assert max(len(store.latest) for store in observed._stores.values()) <= 1001


POD_OF_3_KB = """
    {"metadata": {"name": "%(set)s-%(n)d", "generateName": "%(set)s-", "namespace": "%(namespace)s",
      "uid": "%(number)08d-1b6f-4c6a-9c1e-0c1f5f3f7a11", "resourceVersion": "%(number)d",
      "creationTimestamp": "%(time)s",
      "labels": {"app": "%(set)s", "app.kubernetes.io/name": "nginx", "apps.kubernetes.io/pod-index": "%(n)d",
        "controller-revision-hash": "%(set)s-6c5f8b9d7c", "statefulset.kubernetes.io/pod-name": "%(set)s-%(n)d"},
      "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "%(set)s", "uid": "uid-of-%(set)s",
        "controller": true, "blockOwnerDeletion": true}]},
    "spec": {"nodeName": "node-%(node)d", "volumes": [
        {"name": "www", "persistentVolumeClaim": {"claimName": "www-%(set)s-%(n)d"}},
        {"name": "kube-api-access-x7k2p", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}],
      "containers": [{"name": "nginx", "image": "nginx", "args": ["%(args)s"]}]},
    "status": {"phase": "Running", "startTime": "%(time)s", "conditions": [
        {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "%(time)s"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": "%(time)s"},
        {"type": "Ready", "status": "True", "lastTransitionTime": "%(time)s"},
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": "%(time)s"},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "%(time)s"}],
      "containerStatuses": [{"name": "nginx", "ready": true, "restartCount": 0, "image": "nginx",
        "state": {"running": {"startedAt": "%(time)s"}}}]}}
"""


def fill(sets: int, pods_each: int) -> Observed:
    """A cluster of *sets* with their pods, from JSON of 3 KB each."""
    observed = Observed(lambda: 0.0)
    for index in range(sets):
        namespace, name = f"namespace-{index % 500}", f"web-{index}"
        record = stateful_set(Watched.STATEFUL_SET, namespace, name, uid=f"uid-of-{name}")
        record.octets += b" " * (3000 - len(record.octets))
        observed.put(Watched.STATEFUL_SET, record)
        for n in range(pods_each):
            number = index * pods_each + n
            words = {
                "set": name,
                "n": n,
                "namespace": namespace,
                "number": number,
                "node": number % 2000,
                "args": "x" * 800,
                "time": f"2026-11-21T{number % 24:02d}:{number % 60:02d}:{number * 7 % 60:02d}Z",
            }
            observed.put(Watched.POD, model.POD.decode((POD_OF_3_KB % words).encode()))
    return observed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux says how much memory is in use")
def test_memory() -> None:
    """A cluster of 1,000 sets and 10,000 pods takes less than 25 MB: ten times as much will fit in 250 MB."""
    code = (
        "from tests.controller.test_observed import fill\n"
        "def used(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "few = fill(10, 10); before = used(); many = fill(1000, 10); print(used() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert 5_000_000 < int(done.stdout) < 25_000_000


# Any order of events


UIDS = st.sampled_from(["", WEB_UID, WEB_DB_UID, "uid-of-another"])


class ObservedMachine(RuleBasedStateMachine):
    """What has been seen, beside the objects themselves and what is built from them anew."""

    @initialize()
    def begin(self) -> None:
        self.observed = Observed(lambda: 0.0)
        self.objects: dict[tuple[Watched, str, str], Object] = {}
        self.version = 0
        for kind, namespace, name in SETS:
            self._put(kind, stateful_set(kind, namespace, name, self._next()))

    def _next(self) -> int:
        self.version += 1
        return self.version

    def _put(self, kind: Watched, object: Object) -> set[SetKey]:
        self.objects[kind, object.metadata.namespace, object.metadata.name] = object
        return self.observed.put(kind, object)

    @rule(
        kind=st.sampled_from([Watched.POD, Watched.REVISION]),
        namespace=st.sampled_from(["shop", "lab"]),
        name=st.sampled_from(["web-0", "web-1", "web-db-0", "stray"]),
        owner=UIDS,
    )
    def put(self, kind: Watched, namespace: str, name: str, owner: str) -> None:
        make = pod if kind is Watched.POD else revision
        before = self.objects.get((kind, namespace, name))
        concerned = self._put(kind, make(namespace, name, self._next(), owner))
        owners = {owner}
        if before is not None and (reference := before.metadata.controller()) is not None:
            owners.add(reference.uid)
        known = {(key.kind, key.namespace, key.name) for key in concerned}
        for (set_kind, set_namespace, set_name), _ in list(self.objects.items()):
            if set_kind in (Watched.STATEFUL_SET, Watched.ORDINAL_SET):
                found = self.objects[set_kind, set_namespace, set_name]
                if found.metadata.uid in owners and set_namespace == namespace:
                    assert (SetKey(SetKind(set_kind.value), set_namespace, set_name)) in known

    @rule(which=st.sampled_from(SETS), uid=st.sampled_from(["", "made-anew"]))
    def put_set(self, which: tuple[Watched, str, str], uid: str) -> None:
        kind, namespace, name = which
        uids = {"uid": f"{uid}-{uid_of(*which)}"} if uid else {}
        assert SetKey(SetKind(kind.value), namespace, name) in self._put(
            kind, stateful_set(kind, namespace, name, self._next(), **uids)
        )

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.objects:
            kind, namespace, name = data.draw(
                st.sampled_from(sorted(self.objects, key=lambda one: (one[0].value, *one[1:])))
            )
            del self.objects[kind, namespace, name]
            self.observed.delete(kind, namespace, name)

    @rule(data=st.data(), kind=st.sampled_from([Watched.POD, Watched.REVISION]), scope=st.sampled_from([None, "shop"]))
    def list(self, data: st.DataObject, kind: Watched, scope: str | None) -> None:
        in_scope = [key for key in self.objects if key[0] is kind and scope in (None, key[1])]
        kept = [key for key in in_scope if data.draw(st.booleans())]
        for key in in_scope:
            if key not in kept:
                del self.objects[key]
        self.observed.replace(kind, scope, [self.objects[key] for key in kept])

    @invariant()
    def it_is_what_is_built_anew(self) -> None:
        rebuilt = Observed(lambda: 0.0)
        for (kind, _, _), object in self.objects.items():
            rebuilt.put(kind, object)
        assert sorted(map(str, self.observed.set_keys())) == sorted(map(str, rebuilt.set_keys()))
        for kind in Watched:
            assert self.observed.count(kind) == rebuilt.count(kind)
        for key in rebuilt.set_keys():
            mine, theirs = self.observed.set(key), rebuilt.set(key)
            assert mine is not None
            assert theirs is not None
            assert mine.metadata == theirs.metadata
            assert shown(self.observed.pods(mine)) == shown(rebuilt.pods(theirs))
            assert shown(self.observed.revisions(mine)) == shown(rebuilt.revisions(theirs))


def shown(objects: Iterable[Pod | Revision]) -> list[tuple[str, str]]:
    return sorted((one.name, one.metadata.resource_version) for one in objects)


TestObservedMachine = ObservedMachine.TestCase
TestObservedMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@given(st.text(alphabet="0123456789x-", max_size=8))
def test_any_version(text: str) -> None:
    """Any text may be a version; what is no number is older than every number."""
    observed = Observed(lambda: 0.0)
    observed.put(Watched.POD, pod("lab", "web-0", resourceVersion=text))
    observed.expect(LAB_WEB, Watched.POD, written(10**9))
    assert len(observed.unseen(LAB_WEB)) == 1


# Services that are not to be seen


def test_nothing_is_known_of_services_before_they_are_listed(observed: Observed) -> None:
    """Where Services are not listed, one that governs a set is unseen, not missing; their list concerns every set."""
    assert observed.service("default", "nginx") is UNSEEN_SERVICE
    concerned = observed.replace(Watched.SERVICE, None, [])
    assert concerned == set(observed.set_keys())
    assert observed.service("default", "nginx") is None
    assert observed.replace(Watched.SERVICE, None, []) == set()


def test_services_of_one_namespace(observed: Observed) -> None:
    """Where the Services of one namespace are listed, those of another are unseen."""
    observed.replace(Watched.SERVICE, "default", [])
    assert observed.service("default", "nginx") is None
    assert observed.service("other", "nginx") is UNSEEN_SERVICE


# Pods that were Ready


def test_a_pod_that_was_ready_is_known_as_such(observed: Observed) -> None:
    """That a pod has been Ready is remembered for as long as it is that pod, and not for the next one of its name."""

    def seen(version: int, status: str, uid: str = "a") -> bool:
        raw = {
            "metadata": {"name": "web-0", "namespace": "default", "uid": uid, "resourceVersion": str(version)},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
        }
        observed.put(Watched.POD, model.read_pod(raw))
        pod = observed.pod("default", "web-0")
        assert pod is not None
        return pod.was_ready

    assert [seen(1, "False"), seen(2, "True"), seen(3, "False"), seen(4, "False", "b")] == [False, True, True, False]
