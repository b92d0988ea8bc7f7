"""``examples/tally``: its own test suite, run as whoever copies it would run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TALLY = ROOT / "examples" / "tally"


@pytest.mark.timeout(300)
def test_its_tests_pass(tmp_path: Path) -> None:
    """Copied out of this repository, the example passes its tests with nothing but what it names."""
    copy = tmp_path / "tally"
    shutil.copytree(TALLY, copy, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--strict-markers"]
    # headlessdns is found where it is for these tests, installed or not.
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, env=env, timeout=280)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    counts = re.search(r"(\d+) passed in", done.stdout)
    assert counts
    assert int(counts[1]) >= 18
    assert " skipped" not in done.stdout


def test_its_manifests_are_valid() -> None:
    """Every object fits the schemas of Kubernetes, and the set's Service is one of them."""
    found = list(yaml.safe_load_all((TALLY / "manifests" / "tally.yaml").read_text()))
    for one in found:
        kubernetes_validate.validate(one, "1.36", strict=True)
    assert [(one["kind"], one["metadata"]["name"]) for one in found] == [
        ("Service", "tally"),
        ("Service", "tally-read"),
        ("StatefulSet", "tally"),
    ]
    assert found[2]["spec"]["serviceName"] == "tally"


def test_its_links_lead_somewhere() -> None:
    """Every link of the READMEs leads to a file or a folder."""
    for readme in (TALLY / "README.md", TALLY.parent / "README.md"):
        links = re.findall(r"\]\(([^)#]+)", readme.read_text())
        assert links
        assert [link for link in links if not (readme.parent / link).exists()] == []
