"""Child processes of tests: started with a log file, awaited with a deadline, stopped whatever happens."""

from __future__ import annotations

import atexit
import random
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# Below the range from which Linux takes the source ports of connections (32768 and up). A port inside it can be lost
# while its server is down: a client that keeps trying may be given the very port as its own and meet itself.
FIRST_PORT, LAST_PORT = 20_000, 32_000


class ProcessError(Exception):
    """A child process ended or stayed silent; the text closes with the end of its log."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free for both TCP and UDP right now."""
    while True:
        port = random.randint(FIRST_PORT, LAST_PORT)
        with ExitStack() as stack:
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(check: Callable[[], object], what: str, deadline_s: float, step_s: float = 0.05) -> None:
    """Call *check* until it gives something true.

    Raises:
        TimeoutError: It did not within *deadline_s*; the text says *what* was awaited.
    """
    end = time.monotonic() + deadline_s
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:g} s in vain: {what}")
        time.sleep(step_s)


class Process:
    """One program with its arguments, which can be started, killed and started again.

    Its output is appended to one log file over all starts. It is killed when the interpreter ends, also by a signal
    where ``setpriv`` is at hand.
    """

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.command = [str(part) for part in command]
        self.name = self.command[0].rpartition("/")[2]
        self.log = log
        self._env = env
        self._cwd = cwd
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        assert self._child, f"{self.name} is not running"
        return self._child.pid

    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the child; it must not be running."""
        assert not self.running(), f"{self.name} is running already"
        # The kernel ends the child with the thread that started it, should the tests be killed.
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*guard, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
            )
        atexit.register(self.kill)

    def wait_ready(self, ready: Callable[[], object], deadline_s: float) -> None:
        """Wait until *ready* gives something true.

        Raises:
            ProcessError: The child ended, or was not ready within *deadline_s*.
        """

        def ready_or_ended() -> bool:
            return bool(ready()) or not self.running()

        try:
            wait_until(ready_or_ended, f"{self.name} to be ready", deadline_s)
        except TimeoutError as error:
            raise ProcessError(f"{error}\n{self.log_tail()}") from None
        if not self.running():
            code = self._child.returncode if self._child else None
            raise ProcessError(f"{self.name} ended with code {code}\n{self.log_tail()}")

    def stop(self, grace_s: float = 5) -> int | None:
        """Ask the child to end, kill it after *grace_s*, and return its exit code; None if it never ran."""
        if self._child is None:
            return None
        self._child.terminate()
        try:
            self._child.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        atexit.unregister(self.kill)
        return self._child.returncode

    def kill(self) -> None:
        """End the child at once, as a crash would."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        atexit.unregister(self.kill)

    def log_tail(self, lines: int = 40) -> str:
        """Return the last *lines* of the log, long ones cut."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- the end of {self.log} ---", *(line[:300] for line in text.splitlines()[-lines:])])
