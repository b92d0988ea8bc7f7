"""Asking a real API server what is kept in ``tests/lab/api/golden``.

``HEADLESSDNS_WRITE_GOLDEN=1`` in the environment writes the answers anew instead of comparing them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from tests.lab.api import golden
from tests.peers.process import wait_until
from tests.realcluster.cluster import ApiError, RealCluster

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
WRITES = os.environ.get("HEADLESSDNS_WRITE_GOLDEN", "") not in {"", "0"}


def new_namespace(cluster: RealCluster, name: str) -> str:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def collection_of(manifest: Json, namespace: str) -> str:
    resource = golden.resource_of(manifest)
    return resource.collection(namespace if resource.namespaced else "")


def ask(
    cluster: RealCluster, method: str, path: str, body: object, content_type: str = "application/json"
) -> tuple[bool, Json]:
    """Return whether the request was granted, and the object or the Status."""
    try:
        return True, cluster.request(method, path, body, content_type)
    except ApiError as error:
        # The text is the status, the request and then the body.
        text = str(error)
        return False, json.loads(text[text.index("{") :])


def check(name: str, answers: dict[str, Json]) -> None:
    """Compare *answers* with those that are kept, or keep them."""
    if WRITES:
        golden.write(name, answers)
        return
    kept = golden.read(name)
    assert list(answers) == list(kept)
    for row, answer in answers.items():
        assert answer == kept[row], row


def define_ordinal_sets(cluster: RealCluster) -> None:
    """Serve OrdinalSets, where no test before has."""
    definition = yaml.safe_load((ROOT / "deploy" / "crd" / "ordinalsets.yaml").read_text())
    ask(cluster, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)

    def is_served() -> bool:
        try:
            cluster.request("GET", "/apis/headlessdns.io/v1alpha1/ordinalsets")
        except ApiError as error:
            if error.status not in {404, 429}:
                raise
            return False
        return True

    wait_until(is_served, "OrdinalSets to be served", deadline_s=20)
