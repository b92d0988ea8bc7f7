"""Manifests on disk: read at the start with every fault, and followed while they change. Does file I/O.

What is in a file is the subject of ``documents``; here it is which files there are, when they are read again, and
what is kept of a file that is broken.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import select
import stat
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headlessdns.cluster import documents, selectors
from headlessdns.cluster.documents import Decoded, Found, Note, Raw
from headlessdns.cluster.objects import Event, Key, Kind, Metadata, Namespace, Object, Replace
from headlessdns.errors import Fault, ManifestError

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_OCTETS = 64 * 1024 * 1024
POLL_INTERVAL_S = 0.4
SETTLE_S = 0.1  # two looks this far apart must be alike, so that a file is not read between truncating and writing
RACY_NS = 1_000_000_000  # a file this young may change once more without a new time stamp
PIPE_PATIENCE_S = 2.0
_SELECTED_KINDS = frozenset({Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.ENDPOINTS, Kind.POD})
_SHOWN_PER_WARNING = 8


class Manifests(msgspec.Struct):
    """What all manifests together say.

    Attributes:
        objects: Objects by kind, in the order of the files.
        skipped: How many objects of kinds that the DNS is not made from there are, by kind.
        warnings: What is allowed and yet may surprise, a line each.
        sources: For each object, file, line and document.
        store: The files behind it, for `watch_manifests`.
    """

    objects: dict[Kind, list[Object]]
    skipped: Counter[str]
    warnings: list[str]
    sources: dict[tuple[Kind, Key], str]
    store: Store

    def events(self) -> list[Event]:
        """Return one `Replace` for each kind, after which a snapshot is complete."""
        return [Replace(kind, self.objects[kind]) for kind in Kind]


def read(paths: Sequence[Path], *, namespaces: Iterable[str] = (), label_selector: str = "") -> Manifests:
    """Return what the files and folders *paths* hold.

    Args:
        paths: Files, and folders that are searched for ``*.yaml``, ``*.yml`` and ``*.json``. Hidden files and folders
            and links to folders are passed over, which suits the volume of a ConfigMap.
        namespaces: Only objects in these are kept; none means all.
        label_selector: Only Services, Endpoints, EndpointSlices and Pods that it selects are kept.

    Raises:
        ManifestError: With every fault of every file.
        ValueError: *label_selector* is none.
    """
    store = Store(paths, namespaces=namespaces, label_selector=label_selector)
    store.refresh()
    manifests, faults = store.assemble()
    if faults := store.faults() + faults:
        raise ManifestError(faults)
    return manifests


def read_raw(paths: Sequence[str]) -> list[Raw]:
    """Return every object in *paths*, of any kind, in the order of the files.

    Args:
        paths: Files and folders; `-` is standard input.

    Raises:
        ManifestError: With every fault of every file.
    """
    found, faults = gather_raw(paths)
    if faults:
        raise ManifestError(faults)
    return found


def gather_raw(paths: Sequence[str]) -> tuple[list[Raw], list[Fault]]:
    """Return what `read_raw` does, and what is wrong instead of raising it."""
    scan = _scan([path for path in paths if path != STANDARD_INPUT])
    faults = list(scan.faults)
    found: list[Raw] = []
    for name in [*scan.files, *(path for path in paths if path == STANDARD_INPUT)]:
        try:
            octets = sys.stdin.buffer.read() if name == STANDARD_INPUT else _octets(name)
        except OSError as error:
            faults.append(_path_fault(name, error))
            continue
        if fault := _size_fault(octets, name):
            faults.append(fault)
            continue
        is_json = name.endswith(".json") or (name == STANDARD_INPUT and octets.lstrip()[:1] == b"{")
        shown = "standard input" if name == STANDARD_INPUT else name
        objects, broken = documents.decode_raw(octets, shown, is_json=is_json)
        found += objects
        faults += broken
    return found, faults


class _Signature(NamedTuple):
    """What tells one state of a file from another without reading it."""

    device: int
    inode: int
    size_octets: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Signature:
        if not stat.S_ISREG(status.st_mode):  # a pipe such as <(helm template ...) can be read once only
            return cls(status.st_dev, status.st_ino, -1, 0)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class _File(msgspec.Struct):
    """A file as it was last read.

    Attributes:
        signature: Its state then.
        digest: A hash of its octets, None where it could not be read.
        good: What it held when it was last whole.
        faults: What is wrong with it now.
        is_racy: It was so young that its signature may not show the next change.
    """

    signature: _Signature
    digest: bytes | None
    good: Decoded
    faults: list[Fault]
    is_racy: bool


class _Scan(NamedTuple):
    """Which files there are, in order, and what is wrong with the paths themselves.

    Attributes:
        files: Each file with its state.
        faults: What is wrong.
        unseen: Paths that are missing or cannot be read, so that what is in them now is not known.
    """

    files: dict[str, _Signature]
    faults: tuple[Fault, ...]
    unseen: tuple[str, ...] = ()

    def may_hold(self, name: str) -> bool:
        """Tell whether the file *name* may still be there, at or below a path that could not be looked at."""
        return any(name == path or name.startswith(os.path.join(path, "")) for path in self.unseen)


class Store:
    """The files behind `Manifests`, with the last good content of each."""

    def __init__(self, paths: Sequence[Path], *, namespaces: Iterable[str] = (), label_selector: str = "") -> None:
        """Begin empty; see `read` for the arguments."""
        self._paths = [str(path) for path in paths]
        self._namespaces = frozenset(namespaces)
        self._selector = selectors.parse(label_selector)
        self._files: dict[str, _File] = {}
        self._scan = _Scan({}, ())

    def refresh(self, *, settle_s: float = 0.0) -> bool:
        """Read what changed and tell whether anything did, for better or worse.

        Args:
            settle_s: Wait until two looks this far apart are alike, one second at most.
        """
        scan = _scan(self._paths)
        deadline = time.monotonic() + 1.0
        while settle_s and scan != self._scan and time.monotonic() < deadline:
            time.sleep(settle_s)
            before, scan = scan, _scan(self._paths)
            if scan == before:
                break
        files = {name: file for name, file in self._files.items() if name not in scan.files and scan.may_hold(name)}
        changed = scan.faults != self._scan.faults or bool(self._files.keys() - scan.files.keys() - files.keys())
        for name, signature in scan.files.items():
            files[name], is_new = self._read_again(name, signature)
            changed |= is_new
        self._files, self._scan = files, scan
        return changed

    def _read_again(self, name: str, signature: _Signature) -> tuple[_File, bool]:
        """Return the file, and whether it differs from what was read before."""
        before = self._files.get(name)
        if before and before.signature == signature and not before.is_racy:
            return before, False
        is_racy = signature.modified_ns > time.time_ns() - RACY_NS
        try:
            octets = _octets(name)
        except OSError as error:
            fault = Fault(name, str(error.strerror), "a file that can be read", "grant the right to read it")
            good = before.good if before else Decoded()
            after = _File(signature, None, good, [fault], is_racy=True)  # a right that is granted changes no time stamp
            return after, before is None or before.faults != after.faults
        digest = hashlib.blake2b(octets, digest_size=16).digest()
        if before and before.digest == digest:
            return _File(signature, digest, before.good, before.faults, is_racy), False
        decoded = _decode(octets, name)
        good = before.good if before and decoded.faults else decoded
        return _File(signature, digest, good, decoded.faults, is_racy), True

    def faults(self) -> list[Fault]:
        """Return what is wrong with the paths and files now."""
        return [*self._scan.faults, *(fault for file in self._files.values() for fault in file.faults)]

    def broken_count(self) -> int:
        """Return how many files and paths are broken or gone, so that what was read of them before is in use."""
        return len({name for name, file in self._files.items() if file.faults}.union(self._scan.unseen))

    def assemble(self) -> tuple[Manifests, list[Fault]]:
        """Return the last good content of all files together, and a fault for each object that is there twice.

        The first of two counts. Namespaces that hold an object exist even where no manifest says so: few people write
        one for `default`.
        """
        objects: dict[Kind, list[Object]] = {kind: [] for kind in Kind}
        manifests = Manifests(objects, Counter(), [], {}, self)
        notes: defaultdict[Note, list[str]] = defaultdict(list)
        faults = []
        for file in self._files.values():
            manifests.skipped += file.good.skipped
            for found in file.good.found:
                identity = (found.kind, found.object.metadata.key)
                if identity in manifests.sources:
                    faults.append(_twice(found, manifests.sources[identity]))
                    continue
                manifests.sources[identity] = found.where
                if self._is_wanted(found):
                    _keep(found, objects, notes)
        _imply_namespaces(objects)
        manifests.warnings = [_warning(note, concerned) for note, concerned in notes.items()]
        return manifests, faults

    def _is_wanted(self, found: Found) -> bool:
        metadata = found.object.metadata
        namespace = metadata.name if found.kind is Kind.NAMESPACE else metadata.namespace
        if self._namespaces and namespace not in self._namespaces:
            return False
        return found.kind not in _SELECTED_KINDS or self._selector.matches(found.labels)


def _keep(found: Found, objects: dict[Kind, list[Object]], notes: defaultdict[Note, list[str]]) -> None:
    for note in found.notes:
        notes[note].append(str(found.object.metadata.key))
    if Note.NO_SERVICE_LABEL not in found.notes:
        objects[found.kind].append(found.object)


def _imply_namespaces(objects: dict[Kind, list[Object]]) -> None:
    known = {namespace.metadata.name for namespace in objects[Kind.NAMESPACE]}
    holding = {
        object.metadata.namespace: None for kind in Kind for object in objects[kind] if kind is not Kind.NAMESPACE
    }
    objects[Kind.NAMESPACE] += [Namespace(Metadata(name)) for name in holding if name not in known]


def _warning(note: Note, concerned: list[str]) -> str:
    more = len(concerned) - _SHOWN_PER_WARNING
    return f"{note.value}: {', '.join(concerned[:_SHOWN_PER_WARNING])}{f' and {more} more' if more > 0 else ''}"


def _twice(found: Found, first: str) -> Fault:
    what = f"{found.kind.value} {found.object.metadata.key}, which is in {first} as well"
    return Fault(found.where, what, "each object once", "keep one of the two")


def _size_fault(octets: bytes, name: str) -> Fault | None:
    if len(octets) > MAX_FILE_OCTETS:
        limit = f"at most {MAX_FILE_OCTETS // 2**20} MiB"
        return Fault(name, "more than that", limit, "split the file, one document after the other")
    if not octets.strip():
        return Fault(name, "an empty file", "at least one document", "write an object into it, or remove the file")
    return None


def _decode(octets: bytes, name: str) -> Decoded:
    if fault := _size_fault(octets, name):
        return Decoded(faults=[fault])
    return documents.decode(octets, name, is_json=name.endswith(".json"))


def _octets(name: str) -> bytes:
    """Return what the file *name* holds; of a pipe, all until its writers have closed it.

    Raises:
        OSError: It cannot be read.
    """
    with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:  # a pipe without a writer blocks
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            _await_writer(file.fileno(), name)
        os.set_blocking(file.fileno(), True)
        parts = []
        left = MAX_FILE_OCTETS + 1
        while left and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def _await_writer(pipe_fd: int, name: str) -> None:
    """Wait until something is written into a pipe; nobody would know why nothing happens, so it is logged."""
    poller = select.poll()
    poller.register(pipe_fd, select.POLLIN)
    if not poller.poll(PIPE_PATIENCE_S * 1000):
        logger.warning("%s is a pipe into which nobody has written; waiting for its content", name)
        poller.poll()


# Which files there are


def _scan(paths: Sequence[str]) -> _Scan:
    files: dict[str, _Signature] = {}
    real: set[str] = set()
    faults: list[Fault] = []
    unseen: list[str] = []

    def miss(path: str, error: OSError) -> None:
        unseen.append(path)
        faults.append(_path_fault(path, error))

    for path in paths:
        count = len(unseen)
        names = list(_files_of(path, miss))
        if not names and len(unseen) == count:
            faults.append(_empty_folder(path))
        for name in names:
            try:
                status = os.stat(name)
            except OSError as error:
                if name == path or not isinstance(error, FileNotFoundError):
                    miss(name, error)
                elif os.path.islink(name):
                    unseen.append(name)
                    faults.append(_broken_link(name))
                continue  # else gone since the folder was listed
            if name != path and not stat.S_ISREG(status.st_mode):
                continue
            if (target := os.path.realpath(name)) not in real:  # the same file under two names is one file
                real.add(target)
                files[name] = _Signature.of(status)
    return _Scan(files, tuple(faults), tuple(unseen))


def _files_of(path: str, miss: Callable[[str, OSError], None]) -> Iterator[str]:
    """Yield *path* itself, or the manifests in the folder that it is, in order."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=lambda error: miss(str(error.filename), error)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(folder, name)


_EMPTY_FOLDER = "a folder without manifests"


def _empty_folder(path: str) -> Fault:
    expected = "files that end in .yaml, .yml or .json"
    return Fault(path, _EMPTY_FOLDER, expected, "name the folder or file that holds them")


def _broken_link(name: str) -> Fault:
    return Fault(name, "a link that leads nowhere", "a file", "put back what it leads to, or remove it")


def _path_fault(path: str, error: OSError) -> Fault:
    if isinstance(error, FileNotFoundError):
        return Fault(path, "nothing there", "a file or a folder", "correct the path")
    return Fault(path, str(error.strerror), "a file or folder that can be read", "grant the right to read it")


# Following changes


async def watch_manifests(
    paths: Sequence[Path],
    apply: Callable[[list[Event]], None],
    *,
    since: Manifests | None = None,
    namespaces: Iterable[str] = (),
    label_selector: str = "",
    interval_s: float = POLL_INTERVAL_S,
    settle_s: float = SETTLE_S,
) -> None:
    """Look at the files for ever and hand on what they say after each change, within a second of it.

    Nothing is raised for a fault: what a broken file last held is kept, and so is what was in a path of *paths* that
    is gone or cannot be read; the faults are logged once per change. A file that is gone from a folder takes its
    objects with it.

    Args:
        paths: As for `read`.
        apply: Takes one `Replace` for each kind; what is equal to what was there touches nothing.
        since: What `read` returned, so that nothing is read a second time and no change between is missed.
        namespaces: As for `read`; not used with *since*.
        label_selector: As for `read`; not used with *since*.
        interval_s: How long to wait between two looks.
        settle_s: How long a changed file must stay as it is before it is read.
    """
    store = since.store if since else Store(paths, namespaces=namespaces, label_selector=label_selector)
    told: list[Fault] = []
    while True:
        # In a thread, since a slow disk and a large file must not hold up the loop.
        if await asyncio.to_thread(store.refresh, settle_s=settle_s):
            manifests, faults = await asyncio.to_thread(store.assemble)
            told = _tell(store.faults() + faults, told)
            apply(manifests.events())
        await asyncio.sleep(interval_s)


def _tell(faults: list[Fault], told: list[Fault]) -> list[Fault]:
    """Log the faults that are new, and that all are gone; return what is told now."""
    for fault in faults:
        if fault not in told:
            is_empty = fault.found == _EMPTY_FOLDER  # each file was taken out of it
            logger.warning("%s%s", fault, "" if is_empty else " (what was read before stays in use)")
    if told and not faults:
        logger.info("manifests are whole again")
    return faults
