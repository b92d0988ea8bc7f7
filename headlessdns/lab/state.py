"""The objects of a lab in a file, so that it survives a restart. Does disk I/O.

The file is an SQLite database with one row for each object and the version of the last write. Each write of the store
is a transaction of its own, in the write-ahead log before anybody learns of it. So whatever kills the process, what was
answered is there afterwards. The system may keep the log in its memory for a while (``synchronous=NORMAL``): when the
power fails or the kernel stops, the last writes can be missing, the file is whole all the same. An fsync for each write
would keep these too, and would make a write as slow as the disk.

The file holds Secrets: only its owner can read it. ``FILE-wal`` beside it is its log and belongs to it until the lab
has ended.

Source: SQLite, "Write-Ahead Logging" and "PRAGMA Statements".
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from headlessdns.errors import Fault, InputError
from headlessdns.lab.api.store import Commit, JournalError, Store

logger = logging.getLogger(__name__)

APPLICATION_ID = int.from_bytes(b"hdns", "big")
FORMAT = 1  # the user_version of the files that are written and read

_EXPECTED = "a state file of headlessdns lab, an empty file, or none yet"
_WRITABLE = "a file and a folder that can be read and written"
_CHOOSE = "choose another file with --state"

_SCHEMA = (
    "CREATE TABLE objects (version INTEGER NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL,"
    " name TEXT NOT NULL, octets BLOB NOT NULL, UNIQUE (resource, namespace, name))",
    "CREATE TABLE last (version INTEGER NOT NULL)",
    "INSERT INTO last VALUES (1)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)
# It says nothing new and is written all the same, unlike an UPDATE: a file that takes no write is told at the start.
_WRITE_AGAIN = f"PRAGMA user_version = {FORMAT}"
_ALL = "SELECT version, resource, namespace, name, octets FROM objects ORDER BY version"
# The parameters are those of a `Commit`, in its order.
_PUT = (
    "INSERT INTO objects (version, resource, namespace, name, octets) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (resource, namespace, name) DO UPDATE SET version = excluded.version, octets = excluded.octets"
)
_REMOVE = "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?"
_SET_LAST = "UPDATE last SET version = ?"

# By primary result code: what was found, what was expected, what to do.
_FAULTS = {
    sqlite3.SQLITE_BUSY: (
        "that another program, likely another lab, has it open",
        "one lab for one state file",
        f"stop the other one, or {_CHOOSE}",
    ),
    sqlite3.SQLITE_READONLY: ("that it cannot be written", _WRITABLE, _CHOOSE),
    sqlite3.SQLITE_CANTOPEN: ("that it or the log beside it cannot be opened", _WRITABLE, _CHOOSE),
    sqlite3.SQLITE_IOERR: ("that the disk fails", "one that reads and writes", f"see the system's log, or {_CHOOSE}"),
    sqlite3.SQLITE_FULL: ("no room on the disk", "some", f"make room there, or {_CHOOSE}"),
    sqlite3.SQLITE_NOTADB: ("a file of another kind", _EXPECTED, _CHOOSE),
}
_PRIMARY = 0xFF  # of an extended result code


class StateError(InputError):
    """The state file cannot be used."""


class StateFile:
    """The objects of one lab in one file, from `open` to `close`, or while the context is open.

    The store, and with it the file, is used by one thread at a time.

    Attributes:
        path: Of the file.
        store: The objects; each of its writes is in the file before it counts.
    """

    store: Store

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is looked at yet."""
        self.path = Path(path).absolute()
        self._database: sqlite3.Connection
        self._is_failing = False

    def __enter__(self) -> StateFile:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> Store:
        """Take the file for this lab alone and return the objects in it; a file that is not there is made.

        Raises:
            StateError: It is in use, is none of ours, is damaged, or cannot be read and written. It is left as it was.
        """
        try:
            self._look()
            self._database = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._take()
                self.store = self._load()
                self._database.execute(_WRITE_AGAIN)
            except BaseException:
                self._database.close()
                raise
        except sqlite3.Error as error:
            raise self._error(*_explain(error)) from error
        except OSError as error:
            raise self._error(error.strerror or str(error), _WRITABLE, _CHOOSE) from error
        self.store.journal = self._keep
        return self.store

    def close(self) -> None:
        """Give the file free; a write that comes later is refused."""
        self._database.close()

    # Opening

    def _look(self) -> None:
        """Refuse what is none of ours, without a change to it; make the file where there is none."""
        folder = self.path.parent
        if not folder.is_dir():
            raise self._error(f"no folder {folder}", "one that is there", f"make it, or {_CHOOSE}")
        self._check_access(folder)
        try:
            present = self.path.stat()
        except FileNotFoundError:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            return
        if stat.S_ISDIR(present.st_mode):
            raise self._error("a folder", "a file", f"name a file in it, such as --state {self.path / 'lab.db'}")
        if not stat.S_ISREG(present.st_mode):
            raise self._error("a device, pipe or socket", _EXPECTED, _CHOOSE)
        self._check_access(self.path)
        if present.st_size:
            self._check_kind()
        if stat.S_IMODE(present.st_mode) & 0o077:
            self.path.chmod(0o600)

    def _check_access(self, place: Path) -> None:
        # SQLite would open a file that cannot be written for reading, and fail later.
        if not os.access(place, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise self._error(f"that {place} cannot be read and written", _WRITABLE, f"change its mode, or {_CHOOSE}")

    def _check_kind(self) -> None:
        # To SQLite an immutable file is one to which nothing is done, not even the clearing up that a foreign program
        # left to itself. It is read by SQLite and not by us, because whoever closes a file gives up all locks that
        # his process has on it (POSIX, fcntl), those of an open lab included; SQLite takes care of that.
        database = sqlite3.connect(f"{self.path.as_uri()}?immutable=1", uri=True, isolation_level=None)
        try:
            kind, format, pages = (_value(database, f"PRAGMA {name}") for name in _HEADER)
        finally:
            database.close()
        if not pages:  # too short for a database
            raise self._error(*_FAULTS[sqlite3.SQLITE_NOTADB])
        if kind != APPLICATION_ID:
            raise self._error("an SQLite database of another program", _EXPECTED, _CHOOSE)
        if format != FORMAT:
            remedy = f"use the version of headlessdns that wrote it, or {_CHOOSE}"
            raise self._error(f"state of format {format}", f"format {FORMAT}", remedy)

    def _take(self) -> None:
        """Lock the file until it is closed, and put into it what belongs into a new one."""
        execute = self._database.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        with self._database:
            execute("BEGIN EXCLUSIVE")
            if not _value(self._database, "SELECT count(*) FROM sqlite_master"):
                for statement in _SCHEMA:
                    execute(statement)
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")

    def _load(self) -> Store:
        database = self._database
        if (found := _value(database, "PRAGMA integrity_check(1)")) != "ok":
            raise self._damaged(found)
        try:
            version = _value(database, "SELECT version FROM last")
            with closing(database.execute(_ALL)) as rows:  # an open one would keep the file open, and locked
                return Store(map(Commit._make, rows), version=version)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error

    def _damaged(self, found: str) -> StateError:
        return self._error(*_damaged(found))

    def _error(self, found: str, expected: str, remedy: str) -> StateError:
        return StateError([Fault(str(self.path), found, expected, remedy)])

    # Writing

    def _keep(self, commit: Commit) -> None:
        """Write *commit* into the file.

        Raises:
            JournalError: That is not possible; the file is as before.
        """
        try:
            if commit.octets is None:
                self._remove(commit)
            else:
                self._database.execute(_PUT, commit)
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            refusal = JournalError(f"the write could not be kept in the state file {self.path}: {error} ({name})")
            if not self._is_failing:
                self._is_failing = True
                logger.error("%s; writes are refused until this is mended, reads go on", refusal)
            raise refusal from error
        if self._is_failing:
            self._is_failing = False
            logger.warning("the state file %s takes writes again", self.path)

    def _remove(self, commit: Commit) -> None:
        """Remove an object; no row has the version of its removal, so that is kept by itself."""
        execute = self._database.execute
        with self._database:  # commits, or rolls back
            execute("BEGIN")
            execute(_REMOVE, (commit.resource, commit.namespace, commit.name))
            execute(_SET_LAST, (commit.version,))


_HEADER = ("application_id", "user_version", "page_count")


def _value(database: sqlite3.Connection, question: str) -> Any:
    """Return the first value of the answer to *question*."""
    return database.execute(question).fetchone()[0]


def _explain(error: sqlite3.Error) -> tuple[str, str, str]:
    """Return what was found, what was expected and what to do when the file could not be opened."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    return _FAULTS.get(code) or _damaged(str(error))


def _damaged(found: str) -> tuple[str, str, str]:
    return f"damage ({found})", "whole state", f"bring back a copy of it, or {_CHOOSE}"
