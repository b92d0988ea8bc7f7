"""What every test folder shares: real programs for a whole run, no silent skips, and a table of durations."""

from __future__ import annotations

import itertools
import logging
import os
import signal
from collections import defaultdict
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest

from headlessdns.logs import JSONFormatter, TextFormatter
from tests.peers import PeerMissingError
from tests.realcluster.cluster import RealCluster

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}

# Stage: the folders that belong to it, and what they may take in seconds where the built programs are cached.
# A folder that is named nowhere belongs to the first.
STAGES: dict[str, tuple[frozenset[str], int]] = {
    "unit": (frozenset(), 5 * 60),
    "specification and tools": (frozenset({"specification", "tools", "fuzz"}), 4 * 60),
    "real API server": (frozenset({"realcluster", "deploy"}), 10 * 60),
    "controller": (frozenset({"reconcile"}), 8 * 60),
    "lab": (frozenset({"lab"}), 12 * 60),
    "CoreDNS": (frozenset({"coredns"}), 5 * 60),
}

namespace_numbers = itertools.count(1)

# A machine that is shared makes any example slow once.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")

# A shell starts what it puts into the background with SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test, or fail it where CI has to have everything; *reason* names what is missing and how to get it."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[RealCluster]:
    """One control plane for all tests of the run."""
    try:
        cluster = RealCluster()
    except PeerMissingError as error:
        skip_or_fail(str(error))
    with cluster:
        yield cluster


@pytest.fixture
def namespace(real_cluster: RealCluster) -> str:
    """A namespace of the test's own."""
    name = f"test-{next(namespace_numbers)}"
    real_cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """What a command sets up for its log ends with its test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if isinstance(handler.formatter, (TextFormatter, JSONFormatter)):
            root.removeHandler(handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"nothing may skip in CI: {report.longrepr}"
    cluster = getattr(item, "funcargs", {}).get("real_cluster")
    if report.failed and isinstance(cluster, RealCluster):
        report.sections.append(("logs of the control plane", cluster.log_tails()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"nothing may skip in CI: {report.longrepr}"
    return report


def stage_of(path: Path, root: Path) -> str:
    """Return the stage of the test file at *path*."""
    folders = path.relative_to(root).parts
    names = (stage for stage, (members, _) in STAGES.items() if members.intersection(folders))
    return next(names, "unit")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    spent_s: defaultdict[str, float] = defaultdict(float)
    workers = set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent_s[stage_of(config.rootpath / report.nodeid.partition("::")[0], config.rootpath)] += (
                    report.duration
                )
                workers.add(getattr(report, "worker_id", ""))
    # Workers run side by side: a stage has taken its share of the time that all of them together had.
    count = max(len(workers), 1)
    terminalreporter.section("stages" if count == 1 else f"stages, by {count} workers")
    for stage, (_, budget_s) in STAGES.items():
        spent_s[stage] /= count
        verdict = "over its budget" if spent_s[stage] > budget_s else "of"
        terminalreporter.write_line(f"{stage:<24} {spent_s[stage]:6.1f} s {verdict} {budget_s} s")
