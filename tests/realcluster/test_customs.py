"""The kept answers of an API server to good and bad custom resources are those of a real one."""

from __future__ import annotations

from typing import Any

from tests.lab.api import custom_rows
from tests.lab.api.custom_rows import DEFINITIONS, ROWS, STRICTER_ROWS
from tests.peers.process import wait_until
from tests.realcluster.cluster import ApiError, RealCluster
from tests.realcluster.golden import ask, check, new_namespace

Json = dict[str, Any]


def test_every_kept_answer_to_a_custom_resource_is_that_of_a_real_api_server(bare_cluster: RealCluster) -> None:
    """The table of good and bad custom resources says what a real API server makes of them."""
    namespace = new_namespace(bare_cluster, "customs")

    def asked(method: str, path: str, body: Json) -> tuple[bool, Json]:
        return ask(bare_cluster, method, path, None if method == "GET" else body)

    assert asked("POST", DEFINITIONS, custom_rows.SAMPLES)[0]
    granted, defined = asked("POST", DEFINITIONS, custom_rows.stricters(custom_rows.LOOSE))
    assert granted
    for kind in ("Sample", "Stricter"):
        wait_until_served(bare_cluster, custom_rows.place(kind, namespace))
    path = custom_rows.place("Stricter", namespace)
    for number, row in enumerate(STRICTER_ROWS):
        assert asked("POST", path, custom_rows.manifest("Stricter", f"r{number}", row.old, {}))[0]
    tighten(asked, path, defined["metadata"]["name"])
    answers = {row.id: custom_rows.answer(asked, namespace, row) for row in ROWS}
    for number, row in enumerate(STRICTER_ROWS):
        answers[f"stricter: {row.id}"] = custom_rows.stricter_answer(asked, namespace, number)
    check("customs", answers)


def wait_until_served(cluster: RealCluster, path: str) -> None:
    def is_served() -> bool:
        try:
            cluster.request("GET", path)
        except ApiError as error:
            if error.status not in {404, 429}:
                raise
            return False
        return True

    wait_until(is_served, f"{path} to be served", deadline_s=20)


def tighten(asked: custom_rows.Ask, path: str, name: str) -> None:
    """Make the schema strict, and wait until the server goes by it."""

    def is_written() -> bool:
        _, defined = asked("GET", f"{DEFINITIONS}/{name}", {})
        strict = {**defined, "spec": custom_rows.stricters(custom_rows.STRICT)["spec"]}
        return asked("PUT", f"{DEFINITIONS}/{name}", strict)[0]

    def is_strict() -> bool:
        return not asked("POST", f"{path}?dryRun=All", custom_rows.manifest("Stricter", "probe", {"size": 9}, {}))[0]

    wait_until(is_written, "the definition to be written", deadline_s=20)
    wait_until(is_strict, "the schema to be strict", deadline_s=20)
