"""The kept answers of an API server to good and bad objects are those of a real one."""

from __future__ import annotations

import copy
from typing import Any

from tests.lab.api import golden
from tests.lab.api.type_rows import ROWS as TYPE_ROWS
from tests.lab.api.validation_rows import ROWS, Row
from tests.realcluster.cluster import RealCluster
from tests.realcluster.golden import ask, check, collection_of, define_ordinal_sets, new_namespace

Json = dict[str, Any]


def test_every_kept_answer_to_an_object_is_that_of_a_real_api_server(bare_cluster: RealCluster) -> None:
    """The table of good and bad objects says what a real API server makes of them."""
    define_ordinal_sets(bare_cluster)
    namespace = new_namespace(bare_cluster, "validated")
    check("validation", {row.id: answer(bare_cluster, namespace, row) for row in ROWS})


def test_every_kept_answer_to_a_wrong_type_is_that_of_a_real_api_server(bare_cluster: RealCluster) -> None:
    """The table of wrong types says how a real API server refuses them."""
    namespace = new_namespace(bare_cluster, "typed")
    check("types", {name: refused(bare_cluster, namespace, manifest) for name, manifest in TYPE_ROWS.items()})


def refused(cluster: RealCluster, namespace: str, manifest: Json) -> Json:
    granted, status = ask(cluster, "POST", f"{collection_of(manifest, namespace)}?dryRun=All", manifest)
    assert not granted
    return golden.refusal(status)


def answer(cluster: RealCluster, namespace: str, row: Row) -> Json:
    """Return what the API server makes of the object, without storing it."""
    path = collection_of(row.new, namespace)
    if row.old is None:
        granted, found = ask(cluster, "POST", f"{path}?dryRun=All", row.new)
        return {"object": golden.stored(found, row.new)} if granted else golden.refusal(found)
    granted, before = ask(cluster, "POST", path, row.old)
    assert granted, (row.id, before)
    here = f"{path}/{before['metadata']['name']}"
    new = copy.deepcopy(row.new)
    new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
    granted, found = ask(cluster, "PUT", f"{here}?dryRun=All", new)
    remove(cluster, here)
    return {"object": golden.stored(found, row.new)} if granted else golden.refusal(found)


def remove(cluster: RealCluster, path: str) -> None:
    """Delete the object at once; finalizers protect claims and volumes, and their controllers do not run."""
    cluster.request("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    if "/persistentvolume" in path:
        cluster.request("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
