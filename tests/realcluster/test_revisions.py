"""Revisions side by side with those of the real statefulset controller, and handed over to it and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headlessdns.controller import revisions
from headlessdns.controller.model import Json, Revision, read_set
from tests.conftest import skip_or_fail
from tests.peers import PeerMissingError
from tests.peers.process import wait_until
from tests.realcluster.cluster import ApiError, RealCluster, collection_path, object_path

INPUTS: list[Json] = json.loads((Path(__file__).parent.parent / "controller" / "golden" / "revisions.json").read_text())
REFUSED = {
    "keys are ordered by octets",
    "numbers beyond 2^53",
    "the largest and smallest numbers",
    "volume rbd",
    "set name of 223 octets",
    "set name of 224 octets",
    "set name of 253 octets",
}
ODD_ANNOTATIONS = {
    "a": "<\u2028>\x01\x7f\U0001f600",
    "b": "",
    "kubectl.kubernetes.io/last-applied-configuration": "{}\n",
}


class RawRevisions(msgspec.Struct):
    """A list of ControllerRevisions, their data as octets."""

    items: list[Revision]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    try:
        cluster = RealCluster(controllers=("statefulset-controller",))
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with cluster:
        yield cluster


def namespace_of(cluster: RealCluster, name: str) -> str:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def revisions_path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"


def revisions_of(cluster: RealCluster, namespace: str) -> list[Json]:
    """Return the revisions, the oldest first, without what the API server adds."""
    items: list[Json] = cluster.request("GET", revisions_path(namespace))["items"]
    for one in items:
        for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
            del one["metadata"][field]
        one |= {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
    return sorted(items, key=lambda one: (one["revision"], one["metadata"]["name"]))


def observed(cluster: RealCluster, namespace: str) -> list[Revision]:
    """Return the revisions as a controller of ours reads them, their data as the octets that came."""
    text = cluster.kubectl("get", "--raw", revisions_path(namespace))
    return msgspec.json.decode(text, type=RawRevisions).items


def write_revision(cluster: RealCluster, namespace: str, manifest: Json) -> None:
    """Create the revision in the octets that a controller of ours sends."""
    octets = revisions.encode(manifest).decode()
    cluster.kubectl("create", "--raw", revisions_path(namespace), "-f", "-", stdin=octets)


def stateful_set(namespace: str, name: str, *arguments: str) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "serviceName": "nginx",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "nginx", "args": list(arguments)}]},
            },
        },
    }


def is_taken(cluster: RealCluster, namespace: str, number: int, manifest: Json) -> bool:
    """Create the set with a name of its own, and tell whether it is valid."""
    name = manifest["metadata"]["name"]
    metadata = {
        "namespace": namespace,
        "name": f"web-{number}" if len(name) < 64 else name,
        "annotations": ODD_ANNOTATIONS,
    }
    try:
        cluster.create({**manifest, "metadata": metadata, "spec": {**manifest["spec"], "replicas": 0}})
    except ApiError as error:
        if error.status != 422:
            raise
        return False
    return True


def test_revisions_of_the_reference(cluster: RealCluster) -> None:
    """For whatever template the API takes, our revision and the reference's are the same, and we keep theirs."""
    namespace = namespace_of(cluster, "reference")
    names = {one["name"] for number, one in enumerate(INPUTS) if not is_taken(cluster, namespace, number, one["input"])}
    assert names == REFUSED

    accepted = len(INPUTS) - len(REFUSED)
    wait_until(lambda: len(observed(cluster, namespace)) == accepted, "a revision of each set", 20)
    theirs = {one["metadata"]["ownerReferences"][0]["name"]: one for one in revisions_of(cluster, namespace)}
    octets = {one.metadata.owner_references[0].name: one for one in observed(cluster, namespace)}  # type: ignore[index]
    for raw in cluster.request("GET", collection_path("StatefulSet", namespace))["items"]:
        ours = read_set({**raw, "kind": "StatefulSet"})
        assert revisions.new_revision(ours, 1, 0) == theirs[ours.name]
        assert revisions.data_of(ours) == bytes(octets[ours.name].data)
        choice = revisions.choose(ours, [octets[ours.name]], 0)
        assert (choice.create, choice.renumber) == (None, None)


def test_revisions_handed_over(cluster: RealCluster) -> None:
    """The reference takes our revisions for its own, older ones too, and renumbers them instead of making others."""
    namespace = namespace_of(cluster, "handed-over")
    manager = cluster.processes["kube-controller-manager"]
    names = []
    path = object_path(stateful_set(namespace, "web"))
    first, second = (stateful_set(namespace, "web", word) for word in ("<one> & \U0001f600\u2028", "<two>\x01"))
    manager.kill()
    try:
        for number, manifest in enumerate((first, second), start=1):
            served = cluster.create(manifest) if number == 1 else cluster.replace(manifest)
            ours = revisions.new_revision(read_set(served), number, 0)
            write_revision(cluster, namespace, ours)
            names.append(ours["metadata"]["name"])
        cluster.replace(first)
    finally:
        manager.start()

    def seen() -> Json | None:
        status: Json = cluster.request("GET", path)["status"]
        return status if status.get("observedGeneration") == 3 else None

    wait_until(seen, "the controller to look at the set", 30)
    kept = [(one["revision"], one["metadata"]["name"]) for one in revisions_of(cluster, namespace)]
    assert kept == [(2, names[1]), (3, names[0])]
    status = seen()
    assert status is not None
    assert status["updateRevision"] == names[0]


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/merge-patch+json", {"revision": 5}),
        ("application/strategic-merge-patch+json", {"metadata": {"labels": {"adopted": "yes"}}}),
    ],
    ids=["renumbered", "adopted"],
)
def test_our_revisions_can_be_patched(cluster: RealCluster, content_type: str, patch: Json) -> None:
    """A patch leaves the octets of our data as they are, which the API server insists on."""
    namespace = namespace_of(cluster, f"patched-{content_type.split('-')[0].split('/')[1]}")
    unmanaged = stateful_set(namespace, "web", "<&>\u2028\x7f\U0001f600")
    served = cluster.request("POST", f"{collection_path('StatefulSet', namespace)}?dryRun=All", unmanaged)
    ours = revisions.new_revision(read_set(served), 1, 0)
    del ours["metadata"]["ownerReferences"]
    write_revision(cluster, namespace, ours)
    path = f"{revisions_path(namespace)}/{ours['metadata']['name']}"
    cluster.request("PATCH", path, patch, content_type=content_type)
    assert [bytes(one.data) for one in observed(cluster, namespace)] == [revisions.data_of(read_set(served))]


def test_octets_that_cannot_be_patched(cluster: RealCluster) -> None:
    """Data that are sent in any other form than Go's can never be patched: that is why ours are sent as encoded."""
    namespace = namespace_of(cluster, "other-form")
    manifest = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "x"}, "revision": 1}
    octets = json.dumps(manifest)[:-1] + ',"data":{"spec": {"template": {}}}}'
    cluster.kubectl("create", "--raw", revisions_path(namespace), "-f", "-", stdin=octets)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        cluster.kubectl("patch", "controllerrevision", "x", f"--namespace={namespace}", "-p", '{"revision":2}')
    assert "field is immutable" in str(caught.value.__notes__)


def test_collision(cluster: RealCluster) -> None:
    """Where the name is taken by other data, both take the next one and leave the label of the first."""
    namespace = namespace_of(cluster, "collision")
    manifest = stateful_set(namespace, "web", "<one>")
    expected = cluster.request("POST", f"{collection_path('StatefulSet', namespace)}?dryRun=All", manifest)
    taken = revisions.new_revision(read_set(expected), 1, 0)
    foreign = {**taken, "data": {"other": 1}, "metadata": {"name": taken["metadata"]["name"]}}
    cluster.request("POST", revisions_path(namespace), foreign)
    served = cluster.create(manifest)
    path = object_path(manifest)
    wait_until(lambda: cluster.request("GET", path)["status"].get("collisionCount"), "the collision to be counted", 20)
    theirs = [one for one in revisions_of(cluster, namespace) if "ownerReferences" in one["metadata"]]
    assert theirs == [revisions.new_revision(read_set(served), 1, 1)]
