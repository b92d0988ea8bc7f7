"""A Dockerfile carried out in plain folders, where there is no Docker: COPY and RUN for real, the rest noted down.

An image is a folder here, its absolute paths are rewritten to lie in that folder, and the base image's Python is the
one that runs the tests. Only the instructions that our Dockerfile uses are known. Reads and writes the disk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# An absolute path in a command line; a slash inside a word (3.13/x, https://) is none.
ABSOLUTE_PATH = re.compile(r"""(?<![^\s="':])/(?=\w)""")


@dataclass
class Instruction:
    """One instruction, its continued lines joined."""

    name: str
    text: str

    def words(self) -> list[str]:
        """The operands, written as words or as a JSON list."""
        words = json.loads(self.text) if self.text.startswith("[") else self.text.split()
        return [str(word) for word in words]


@dataclass
class Stage:
    """What FROM begins: the base image, and of each kind of instruction the last or all of what was said."""

    base: str
    name: str = ""
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    exposed: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def parse(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile in order, without comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [Instruction(name, rest.strip()) for name, rest in pairs]


def assignments(text: str) -> dict[str, str]:
    """Return the pairs of `NAME=value NAME="a value"`."""
    return {name: quoted or plain for name, quoted, plain in re.findall(r'([\w.]+)=(?:"([^"]*)"|(\S*))', text)}


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps *path* (relative, slashes) out of the context: the last fitting pattern decides."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    result = False
    for pattern in patterns:
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, prefix) for prefix in prefixes):
            result = not pattern.startswith("!")
    return result


def context_files(project: Path) -> list[str]:
    """Return what Docker would send to the builder: all files below *project* but those that .dockerignore excludes."""
    lines = (line.strip() for line in (project / ".dockerignore").read_text().splitlines())
    patterns = [line for line in lines if line and not line.startswith("#")]
    found = []
    for folder, folders, files in os.walk(project):
        here = os.path.relpath(folder, project)
        # Clones and environments are large: not entered, unless a pattern lets something of theirs in again.
        if here == ".":
            again = {line[1:].split("/")[0] for line in patterns if line.startswith("!")}
            folders[:] = [name for name in folders if name in again or not ignored(name, patterns)]
        found += [os.path.normpath(os.path.join(here, name)) for name in files]
    return sorted(path for path in found if not ignored(path, patterns))


class Builder:
    """Carries out a Dockerfile below *folder*; ``root`` is the file system of the stage that is being built."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.root = folder / "root"
        self._done = folder / "done"
        self._tools = folder / "tools"
        self._context = folder / "context"
        self.stages: list[Stage] = []
        self._make_tools()
        for path in context_files(project):
            self._copy_path(project / path, self._context / path)

    def _make_tools(self) -> None:
        """Stand in for the two programs of the base image. On a bare Debian they have other names, or no pip at all."""
        self._tools.mkdir(parents=True)
        base = getattr(sys, "_base_executable", sys.executable)
        for name, command in {"python": f"'{base}'", "pip": f"'{sys.executable}' -m pip"}.items():
            (self._tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (self._tools / name).chmod(0o755)

    @staticmethod
    def _copy_path(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def build(self, instructions: list[Instruction]) -> Stage:
        """Carry out all *instructions* and return the last stage, whose files are then below ``root``.

        Raises:
            subprocess.CalledProcessError: A RUN failed; what it printed is in ``output``.
        """
        for instruction in instructions:
            getattr(self, f"_{instruction.name.lower()}")(instruction)
        return self.stages[-1]

    def run(self, command: list[str], cwd: Path) -> str:
        """Run *command* in the finished image, with its environment and no other, and return what it prints."""
        env = {name: self._inside(value).replace("$PATH", os.defpath) for name, value in self.stages[-1].env.items()}
        program = shutil.which(command[0], path=env["PATH"])
        assert program, f"{command[0]} is not on the image's PATH"
        assert program.startswith(str(self.root)), f"{program} is not of the image"
        done = subprocess.run([program, *command[1:]], env=env, cwd=cwd, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _inside(self, text: str) -> str:
        return ABSOLUTE_PATH.sub(f"{self.root}/", text)

    def _place(self, path: str) -> Path:
        """Return where *path* of the image lies, a relative one being one of WORKDIR's."""
        return self.root / os.path.normpath(os.path.join(self.stages[-1].workdir, path)).lstrip("/")

    # ---- the instructions

    def _from(self, instruction: Instruction) -> None:
        if self.stages:
            # Each stage is built at the same path, as in a container: what a stage wrote about itself stays true.
            self._done.mkdir(exist_ok=True)
            self.root.rename(self._done / self.stages[-1].name)
        self.root.mkdir()
        base, *rest = instruction.words()
        self.stages.append(Stage(base, name=rest[1] if rest else ""))

    def _workdir(self, instruction: Instruction) -> None:
        self.stages[-1].workdir = instruction.text
        self._place(".").mkdir(parents=True, exist_ok=True)

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.words()
        origin = self._context
        if sources[0].startswith("--from="):
            origin = self._done / sources.pop(0).removeprefix("--from=")
        for source in sources:
            path = origin / source.lstrip("/")
            # A folder's content is copied, a file goes below a target that ends in a slash.
            into = self._place(target) / path.name if target.endswith("/") and path.is_file() else self._place(target)
            self._copy_path(path, into)

    def _run(self, instruction: Instruction) -> None:
        env = os.environ | {"PATH": f"{self._tools}:{os.environ['PATH']}"}
        # Neither reaches into an image, and each would change what is installed there.
        env = {name: value for name, value in env.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
        subprocess.run(
            ["sh", "-ec", self._inside(instruction.text)],
            cwd=self._place("."),
            env=env,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _env(self, instruction: Instruction) -> None:
        self.stages[-1].env |= assignments(instruction.text)

    def _arg(self, instruction: Instruction) -> None:
        self.stages[-1].arguments |= assignments(instruction.text)

    def _label(self, instruction: Instruction) -> None:
        self.stages[-1].labels |= assignments(instruction.text)

    def _user(self, instruction: Instruction) -> None:
        self.stages[-1].user = instruction.text

    def _expose(self, instruction: Instruction) -> None:
        self.stages[-1].exposed += instruction.words()

    def _entrypoint(self, instruction: Instruction) -> None:
        self.stages[-1].entrypoint = instruction.words()

    def _cmd(self, instruction: Instruction) -> None:
        self.stages[-1].command = instruction.words()
