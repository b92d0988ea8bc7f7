"""A course on a lab: all that is asked of its DNS is asked with `dig` and busybox, too."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.conftest import skip_or_fail
from tests.reconcile.course import Course

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = {"dig": "bind9-dnsutils", "busybox": "busybox"}


def tool(name: str) -> str:
    """Return where the program *name* is."""
    found = shutil.which(name)
    if found is None:
        skip_or_fail(f"{name} is missing: apt-get install {PACKAGES[name]}")
    return found


class LabCourse(Course):
    """One tutorial in a namespace of its own of a lab."""

    def close(self) -> None:
        """End what the course has opened."""

    def dig(self, name: str) -> list[str]:
        """Return the addresses of *name* as `dig +short` prints them; none where there are none."""
        command = [tool("dig"), "@127.0.0.1", "-p", str(self.serve.port), "+short", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return sorted(done.stdout.split())

    def nslookup(self, name: str) -> tuple[int, list[str]]:
        """Return the exit code of busybox' `nslookup`, and the addresses that it prints behind the server's own."""
        command = [tool("busybox"), "nslookup", "-type=a", name, f"127.0.0.1:{self.serve.port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        _, _, answers = done.stdout.partition("\n\n")
        prefix = "Address: "
        return done.returncode, sorted(line[len(prefix) :] for line in answers.splitlines() if line.startswith(prefix))

    def expect_names(self, service: str, ports: dict[str, int], pods: Sequence[str], absent: Sequence[str]) -> None:
        """Wait as any course does, with dnspython; then see that the other programs find the same."""
        super().expect_names(service, ports, pods, absent)
        addresses = self.addresses()
        for pod in pods:
            name = self.full(f"{pod}.{service}")
            assert self.dig(name) == [addresses[pod]]
            assert self.nslookup(name) == (0, [addresses[pod]])
        for pod in absent:
            name = self.full(f"{pod}.{service}")
            assert self.dig(name) == []
            assert self.nslookup(name) == (1, [])
