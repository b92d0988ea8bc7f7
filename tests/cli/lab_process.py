"""`headlessdns lab` as a child process of a test's own, in a temporary folder of its own."""

from __future__ import annotations

import json
import os
import pty
import queue
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl
from pathlib import Path
from types import TracebackType
from typing import Any

DEADLINE_S = 60.0
_LOOK_S = 0.1
QUICK = ("--dns", "127.0.0.1:0", "--start-delay", "0s", "--ready-delay", "0s")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment without kubeconfigs of anybody, whose temporary files are in *folder*."""
    kept = {name: text for name, text in os.environ.items() if name in ("PATH", "CI", "PYTHONPATH")}
    return {**kept, "TMPDIR": str(folder), "HOME": str(folder), "TERM": "xterm", **more}


def command(*flags: str | Path) -> list[str]:
    return [sys.executable, "-m", "headlessdns", "lab", *map(str, flags)]


def run(folder: Path, *flags: str | Path, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run a lab that is to end by itself."""
    return subprocess.run(
        command(*flags),
        input=text,
        capture_output=True,
        text=True,
        env=environment(folder, **more),
        cwd=folder,
        timeout=DEADLINE_S,
        check=False,
    )


class LabProcess:
    """A lab whose lines are read as they come, for as long as the context is open.

    Attributes:
        process: The process.
        lines: What it printed so far.
    """

    def __init__(self, folder: Path, *flags: str | Path, quick: bool = True, **more: str) -> None:
        self._folder = folder
        self._flags = [*flags, *(QUICK if quick else ())]
        self._environment = environment(folder, **more)
        self._coming: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.lines: list[str] = []

    def __enter__(self) -> LabProcess:
        self.errors = (self._folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            [*command(*self._flags), "--until-input-ends"],  # it is to go with a test that is killed
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=self._environment,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._coming.put(line.removesuffix("\n"))

    def until(self, wanted: Callable[[str], object]) -> str:
        """Return the first line from now on that is wanted."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._coming.get(timeout=max(deadline_s - time.monotonic(), 0.0))
            except queue.Empty:
                raise AssertionError(f"it never came: {self.lines} {self.said()}") from None
            self.lines.append(line)
            if wanted(line):
                return line

    def event(self, wanted: Callable[[Mapping[str, Any]], object]) -> dict[str, Any]:
        """Return the first JSON object from now on that is wanted."""
        found: dict[str, Any] = json.loads(self.until(lambda line: wanted(json.loads(line))))
        return found

    def said(self) -> str:
        """Return what it wrote to standard error so far."""
        return (self._folder / "stderr").read_text()

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Let it end and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


class LabTerminal:
    """A lab on a terminal of its own."""

    def __init__(self, folder: Path, *flags: str | Path, width: int = 100, height: int = 40, **more: str) -> None:
        self._flags = [*flags, *QUICK]
        self._environment = environment(folder, **more)
        self._size = (width, height)
        self._text = ""
        self._changed = threading.Condition()
        self._is_hung_up = threading.Event()

    def __enter__(self) -> LabTerminal:
        self._own, theirs = pty.openpty()
        self._resize(theirs, *self._size)
        self.process = subprocess.Popen(
            command(*self._flags),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environment,
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._is_hung_up.set()
        self._reader.join()

    def _read(self) -> None:
        while not self._is_hung_up.is_set():
            if not select.select([self._own], [], [], _LOOK_S)[0]:
                continue
            try:
                octets = os.read(self._own, 65536)
            except OSError:  # the last one who had it open has gone
                break
            with self._changed:
                self._text += octets.decode()
                self._changed.notify_all()
        os.close(self._own)

    @property
    def text(self) -> str:
        """All that was written to the terminal, with its control codes."""
        with self._changed:
            return self._text

    def until(self, wanted: str, after: int = 0) -> int:
        """Wait for *wanted* behind position *after* and return where it ends."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted in self._text[after:], DEADLINE_S), self._text[after:]
            return self._text.index(wanted, after) + len(wanted)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, as a person does with the mouse."""
        self._resize(self._own, width, height)

    def hang_up(self) -> None:
        """Let the terminal be no more, as when its window is closed."""
        self._is_hung_up.set()
        self._reader.join()

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._own, keys)

    def _resize(self, terminal: int, width: int, height: int) -> None:
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def children(pid: int) -> list[int]:
    """Return the processes that *pid* has started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def runs(pid: int) -> bool:
    """Tell whether there is such a process, and not only what is left of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
