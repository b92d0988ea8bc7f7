"""The kept results of patches are those of a real API server."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.api import golden
from tests.lab.api.patch_rows import ROWS
from tests.realcluster.cluster import RealCluster
from tests.realcluster.golden import ask, check, collection_of, define_ordinal_sets, new_namespace

Json = dict[str, Any]


def test_every_kept_result_of_a_patch_is_that_of_a_real_api_server(bare_cluster: RealCluster) -> None:
    """The table of patches says what a real API server makes of them."""
    define_ordinal_sets(bare_cluster)
    namespace = new_namespace(bare_cluster, "patched")
    paths: dict[int, str] = {}
    answers = {}
    for row in ROWS:
        if id(row.live) not in paths:
            path = collection_of(row.live, namespace)
            name = f"patched-{len(paths)}"
            live = {**row.live, "metadata": {**row.live["metadata"], "name": name}}
            bare_cluster.request("POST", path, live)
            paths[id(row.live)] = f"{path}/{name}"
        where = paths[id(row.live)]
        granted, found = ask(bare_cluster, "PATCH", f"{where}?dryRun=All", row.patch, row.content_type)
        found = json.loads(json.dumps(found).replace(where.rpartition("/")[2], "web"))
        answers[row.id] = {"object": golden.stored(found, row.live)} if granted else golden.refusal(found)
    check("patches", answers)
