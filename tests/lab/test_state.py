from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import resource
import shutil
import sqlite3
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from headlessdns.lab.api import http
from headlessdns.lab.api.http import EmbeddedApi
from headlessdns.lab.api.messages import Answer, Request
from headlessdns.lab.api.server import Api
from headlessdns.lab.api.store import Commit, JournalError, Store
from headlessdns.lab.state import StateError, StateFile

Json = dict[str, Any]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NOBODY = 65534

# An embedded API with a state file; it says where it is, and serves until it is killed.
SERVER = """
import asyncio, json, resource, sys
from pathlib import Path
from headlessdns.lab.api.http import EmbeddedApi
from headlessdns.lab.state import StateFile

async def main():
    with StateFile(Path(sys.argv[1])) as state:
        async with EmbeddedApi(store=state.store) as api:
            print(json.dumps([api.url, api.token, api.authority.decode()]), flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""

# Four writes by a process that kills itself before the statement of a number; it says how many of them were done.
DYING = """
import os, signal, sqlite3, sys
from pathlib import Path

class Dying(sqlite3.Connection):
    def execute(self, *arguments):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Dying, **options)
from headlessdns.lab.state import StateFile

def write(path):
    store = StateFile(path).open()
    map = lambda name, data: {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}
    for done, step in enumerate((
        lambda: store.create("configmaps", map("a", {"x": "1"})),
        lambda: store.update("configmaps", map("a", {"x": "2"})),
        lambda: store.create("configmaps", map("b", {})),
        lambda: store.delete("configmaps", "", "a"),
    ), 1):
        step()
        with open(f"{path}.done", "w") as file:
            file.write(str(done))
    os._exit(0)

for number in range(1, 1000):
    child = os.fork()
    if not child:
        left = number
        write(Path(sys.argv[1], str(number)))
    if os.waitpid(child, 0)[1] == 0:
        print(number)
        break
"""


def ask(api: Api, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Json]:
    octets = b"" if body is None else json.dumps(body).encode()
    answer = api.handle(Request(method, path, query, octets, "application/json"))
    assert isinstance(answer, Answer)
    return answer.status, json.loads(answer.body)


def config_map(name: str, **more: Any) -> Json:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, **more}


def contents(store: Store) -> dict[str, Json]:
    return {entry.name: entry.object.get("data") for entry in store.entries("configmaps")}


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab.db"


@contextmanager
def full(state: StateFile) -> Iterator[None]:
    """Let there be no room for a further page of the file."""
    database = state._database
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    yield
    database.execute("PRAGMA max_page_count = 1000000")


def _refuse_deletions(state: StateFile) -> None:
    state._database.execute("CREATE TEMP TRIGGER t BEFORE UPDATE ON last BEGIN SELECT RAISE(ABORT, 'no'); END")


def _take_deletions(state: StateFile) -> None:
    state._database.execute("DROP TRIGGER t")


# Restarts


def test_a_new_file(path: Path) -> None:
    """A file that is not there is made, and it begins like a lab without a file."""
    with StateFile(path) as state:
        assert (state.store.commits(), state.store.version) == ([], 1)
    assert path.exists()


def test_an_empty_file(path: Path) -> None:
    """An empty file is taken."""
    path.touch()
    with StateFile(path) as state:
        state.store.create("configmaps", config_map("a"))
    with StateFile(path) as state:
        assert contents(state.store) == {"a": None}


def test_only_the_owner_reads(path: Path) -> None:
    """The file and its log have mode 0600, whatever the umask and the mode before."""
    before = os.umask(0)
    try:
        with StateFile(path) as state:
            state.store.create("secrets", {**config_map("a"), "kind": "Secret"})
            assert (mode_of(path), mode_of(Path(f"{path}-wal"))) == ("0o600", "0o600")
    finally:
        os.umask(before)
    path.chmod(0o644)
    with StateFile(path):
        assert mode_of(path) == "0o600"


def test_objects_survive(path: Path) -> None:
    """After a restart each object is what it was, down to uid and resourceVersion, and what was deleted is gone."""
    with StateFile(path) as state:
        api = Api(state.store)
        for name in ("a", "b", "c"):
            assert ask(api, "POST", CONFIG_MAPS, config_map(name))[0] == 201
        assert ask(api, "PUT", f"{CONFIG_MAPS}/a", config_map("a", data={"x": "\u00e4"}))[0] == 200
        assert ask(api, "DELETE", f"{CONFIG_MAPS}/b")[0] == 200
        before = ask(api, "GET", CONFIG_MAPS)
        everything = state.store.commits()
    with StateFile(path) as state:
        api = Api(state.store)
        assert ask(api, "GET", CONFIG_MAPS) == before
        assert [one["metadata"]["name"] for one in before[1]["items"]] == ["a", "c"]
        assert before[1]["items"][0]["data"] == {"x": "\u00e4"}
        assert state.store.commits() == everything


def test_no_version_is_given_twice(path: Path) -> None:
    """Versions go on after the last write, also where that was a deletion and nothing is left of it."""
    for version in (2, 4, 6):
        with StateFile(path) as state:
            assert state.store.create("configmaps", config_map("a")).version == version
            assert state.store.delete("configmaps", "", "a").version == version + 1
    with StateFile(path) as state:
        assert (state.store.version, state.store.commits()) == (7, [])


def test_history_is_gone(path: Path) -> None:
    """A watch from before the last write is told 410 after a restart, one from the last write on goes on."""
    with StateFile(path) as state:
        api = Api(state.store)
        ask(api, "POST", CONFIG_MAPS, config_map("a"))
        old = state.store.version
        ask(api, "POST", CONFIG_MAPS, config_map("b"))
        last = state.store.version
    with StateFile(path) as state:
        api = Api(state.store)
        _, error = ask(api, "GET", CONFIG_MAPS, watch="1", resourceVersion=str(old))
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
        stream = api.handle(Request("GET", CONFIG_MAPS, {"watch": "1", "resourceVersion": str(last)}))
        assert not isinstance(stream, Answer)
        ask(api, "POST", CONFIG_MAPS, config_map("c"))
        event = json.loads(stream.watch.read())
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "c")


def test_what_follows_from_objects(path: Path) -> None:
    """After a restart custom resources are served, cluster IPs stay taken, and namespaces that go are gone on with."""
    definition = {
        "metadata": {"name": "shirts.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "shirts", "kind": "Shirt"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": {"type": "object", "properties": {"color": {"type": "string"}}}},
                        }
                    },
                }
            ],
        },
    }
    service = {"metadata": {"name": "web"}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 80}]}}
    shirts = "/apis/example.com/v1/namespaces/default/shirts"
    shirt = {"apiVersion": "example.com/v1", "kind": "Shirt", "metadata": {"name": "s"}, "spec": {"color": "blue"}}
    with StateFile(path) as state:
        api = Api(state.store)
        places = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert ask(api, "POST", places, definition)[0] == 201
        assert ask(api, "POST", shirts, shirt)[0] == 201
        assert ask(api, "POST", "/api/v1/namespaces/default/services", service)[0] == 201
        assert ask(api, "POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})[0] == 201
        ask(api, "POST", "/api/v1/namespaces/going/configmaps", config_map("inside"))
        assert ask(api, "DELETE", "/api/v1/namespaces/going")[0] == 200
    with StateFile(path) as state:
        api = Api(state.store)
        assert ask(api, "GET", f"{shirts}/s")[1]["spec"] == {"color": "blue"}
        service["metadata"]["name"] = "other"
        status, answer = ask(api, "POST", "/api/v1/namespaces/default/services", service)
        assert (status, "10.96.7.7" in answer["message"]) == (422, True)
        api.collector.run()
        assert ask(api, "GET", "/api/v1/namespaces/going")[0] == 404
        assert contents(state.store) == {}


# Kills


class Server:
    """An embedded API with a state file in a process of its own; it is killed at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        command = [sys.executable, "-c", SERVER, str(path)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(self._process.communicate()[1].decode())
        self.url, self.token, authority = json.loads(line)
        self._context = ssl.create_default_context(cadata=authority)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._context)
        return aiohttp.ClientSession(self.url, connector=connector, headers={"Authorization": f"Bearer {self.token}"})

    @property
    def log_octets(self) -> int:
        """How large the log beside the file is."""
        return Path(f"{self._path}-wal").stat().st_size

    def limit(self, octets: int) -> None:
        """Let no file of the process grow beyond *octets*."""
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Writer:
    """Writes ConfigMaps of its own, one request after the other, and keeps what was answered.

    Attributes:
        answered: The last answered state of each name: uid, resourceVersion and data, None where it was deleted.
        pending: The write that was not answered: its name, and the data that it wanted, None for a deletion.
        newest: The highest resourceVersion in an answer.
    """

    def __init__(self, number: int, rng: random.Random) -> None:
        self._number = number
        self._rng = rng
        self._values = itertools.count()
        self.answered: dict[str, tuple[str, str, Json] | None] = {}
        self.pending: tuple[str, Json | None] | None = None
        self.newest = 0

    async def write(self, client: aiohttp.ClientSession) -> None:
        """Do one write.

        Raises:
            aiohttp.ClientError: Nothing was answered.
        """
        name = f"map-{self._number}-{self._rng.randrange(8)}"
        present = self.answered.get(name)
        wanted: Json | None = {"value": str(next(self._values)), "filling": "x" * self._rng.choice((1, 100, 9000))}
        if present is None:
            method, place, status = "POST", CONFIG_MAPS, 201
        else:
            method, place, status = "PUT", f"{CONFIG_MAPS}/{name}", 200
            if self._rng.random() < 0.4:
                method, wanted = "DELETE", None
        self.pending = name, wanted
        body = None if wanted is None else config_map(name, data=wanted)
        async with client.request(method, place, json=body) as response:
            answer = await response.json()
        assert response.status == status, answer
        self.pending = None
        if wanted is None:
            self.answered[name] = None
            return
        metadata = answer["metadata"]
        self.answered[name] = metadata["uid"], metadata["resourceVersion"], answer["data"]
        self.newest = int(metadata["resourceVersion"])

    def check(self, found: dict[str, tuple[str, str, Json]]) -> None:
        """Compare with what there is; a write without an answer may have happened or not, and is settled by it."""
        for name, state in self.answered.items():
            if self.pending is None or name != self.pending[0]:
                assert found.get(name) == state, name
        if self.pending is None:
            return
        name, wanted = self.pending
        there, before = found.get(name), self.answered.get(name)
        if there != before:
            assert (there[2] if there else None) == wanted, name
            if there and before:
                assert there[0] == before[0]
        self.answered[name] = there
        self.pending = None


async def _write_until_killed(server: Server, writers: list[Writer], rng: random.Random) -> int:
    """Let *writers* write, kill the server at a random time, and return how many answers there were."""
    count, enough = 0, asyncio.Event()
    limit = rng.randrange(40, 160)

    async def write(writer: Writer, client: aiohttp.ClientSession) -> None:
        nonlocal count
        with suppress(aiohttp.ClientError, ConnectionError):
            while True:
                await writer.write(client)
                count += 1
                if count >= limit:
                    enough.set()

    async with asyncio.timeout(60), server.session() as client, asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(write(writer, client))
        await enough.wait()
        await asyncio.sleep(rng.random() * 0.02)  # anywhere in a write
        server.kill()
    return count


async def _found(server: Server) -> tuple[int, dict[str, tuple[str, str, Json]]]:
    async with server.session() as client, client.get(CONFIG_MAPS) as response:
        answer = await response.json()
    items = {
        one["metadata"]["name"]: (one["metadata"]["uid"], one["metadata"]["resourceVersion"], one["data"])
        for one in answer["items"]
    }
    return int(answer["metadata"]["resourceVersion"]), items


@pytest.mark.parametrize("seed", [1, 2])
def test_a_kill_loses_no_answered_write(path: Path, seed: int) -> None:
    """Writes that were answered before kill -9 are there afterwards, deletions too, and versions only grow."""
    rng = random.Random(seed)
    writers = [Writer(number, random.Random(seed * 100 + number)) for number in range(6)]
    newest = 0
    for _ in range(5):
        with Server(path) as server:
            version, found = asyncio.run(_found(server))
            assert version >= newest
            for writer in writers:
                writer.check(found)
            assert set(found) <= {name for writer in writers for name in writer.answered}
            assert asyncio.run(_write_until_killed(server, writers, rng)) >= 40
        newest = max(writer.newest for writer in writers)
        assert newest > version
    with Server(path) as server:
        version, found = asyncio.run(_found(server))
    for writer in writers:
        writer.check(found)
    assert len(found) > 5
    assert version >= newest


def test_a_kill_before_each_statement(tmp_path: Path) -> None:
    """Wherever a kill falls, from the first opening on, the file has all writes that were done and at most one more."""
    states = [
        (1, {}),
        (2, {"a": {"x": "1"}}),
        (3, {"a": {"x": "2"}}),
        (4, {"a": {"x": "2"}, "b": {}}),
        (5, {"b": {}}),
    ]
    command = [sys.executable, "-c", DYING, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    statements = int(done.stdout)
    assert statements > 10
    seen = []
    for number in range(1, statements + 1):
        path = tmp_path / str(number)
        said = Path(f"{path}.done")
        writes = int(said.read_text()) if said.exists() else 0
        with StateFile(path) as state:
            assert (state.store.version, contents(state.store)) in states[writes : writes + 2], number
        seen.append(writes)
    assert sorted(set(seen)) == [0, 1, 2, 3, 4]


# Writes that fail


def test_a_full_disk(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A write for which there is no room is refused with the reason and did not happen; reads go on."""
    big = {"x": "y" * 20_000}
    with StateFile(path) as state:
        api = Api(state.store)
        ask(api, "POST", CONFIG_MAPS, config_map("a"))
        before = ask(api, "GET", CONFIG_MAPS)
        with full(state):
            for method, place, name in (("POST", "", "b"), ("PUT", "/a", "a"), ("POST", "", "c")):
                assert ask(api, method, CONFIG_MAPS + place, config_map(name, data=big)) == (
                    500,
                    {
                        "kind": "Status",
                        "apiVersion": "v1",
                        "metadata": {},
                        "status": "Failure",
                        "message": f"Internal error occurred: the write could not be kept in the state file {path}: "
                        "database or disk is full (SQLITE_FULL)",
                        "reason": "InternalError",
                        "code": 500,
                    },
                )
            assert ask(api, "GET", CONFIG_MAPS) == before
            assert ask(api, "GET", f"{CONFIG_MAPS}/b")[0] == 404
        status, answer = ask(api, "POST", CONFIG_MAPS, config_map("d", data=big))
        assert (status, int(answer["metadata"]["resourceVersion"])) == (
            201,
            int(before[1]["metadata"]["resourceVersion"]) + 1,
        )
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (
            logging.ERROR,
            f"the write could not be kept in the state file {path}: database or disk is full (SQLITE_FULL); "
            "writes are refused until this is mended, reads go on",
        ),
        (logging.WARNING, f"the state file {path} takes writes again"),
    ]
    with StateFile(path) as state:
        assert contents(state.store) == {"a": None, "d": big}


def test_a_deletion_that_fails(path: Path) -> None:
    """An object whose deletion could not be kept is there, before and after a restart."""
    with StateFile(path) as state:
        state.store.create("configmaps", config_map("a"))
        _refuse_deletions(state)
        with pytest.raises(JournalError, match=r": no \(SQLITE_CONSTRAINT_TRIGGER\)$"):
            state.store.delete("configmaps", "", "a")
        assert contents(state.store) == {"a": None}
        _take_deletions(state)
        state.store.create("configmaps", config_map("b"))
    with StateFile(path) as state:
        assert contents(state.store) == {"a": None, "b": None}


def test_what_has_to_go_goes_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be collected because its deletion could not be kept is collected when it can be."""
    monkeypatch.setattr(http, "COLLECT_AGAIN_S", 0.01)

    async def scene(state: StateFile) -> None:
        async with asyncio.timeout(20), EmbeddedApi(store=state.store) as embedded:
            client = embedded.client()

            async def create(name: str, **metadata: Any) -> str:
                body = {"metadata": {"name": name, **metadata}}
                answer = await client.request("POST", CONFIG_MAPS, body)
                return str(json.loads(answer.body)["metadata"]["uid"])

            uid = await create("owner")
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
            await client.request("DELETE", f"{CONFIG_MAPS}/owner")
            _refuse_deletions(state)
            failed = asyncio.Event()
            monkeypatch.setattr(state.store, "journal", _telling(state.store.journal, failed))
            for name in ("first", "second"):
                await create(name, ownerReferences=[reference])
                await failed.wait()
                failed.clear()
            assert set(contents(state.store)) == {"first", "second"}
            both_gone = asyncio.Event()
            state.store.listeners.append(lambda *_: None if contents(state.store) else both_gone.set())
            _take_deletions(state)
            await both_gone.wait()

    with StateFile(path) as state:
        asyncio.run(scene(state))


def _telling(journal: Callable[[Commit], None] | None, failed: asyncio.Event) -> Callable[[Commit], None]:
    """Return *journal*, which sets *failed* when it fails."""
    assert journal

    def keep(commit: Commit) -> None:
        try:
            journal(commit)
        except JournalError:
            failed.set()
            raise

    return keep


def test_a_disk_that_fails_and_heals(path: Path) -> None:
    """A lab whose file cannot grow answers writes with 500 and reads as before, and goes on when it can."""

    async def scene(server: Server) -> list[int]:
        statuses = []
        async with asyncio.timeout(30), server.session() as client:

            async def create(name: str) -> None:
                async with client.post(CONFIG_MAPS, json=config_map(name, data={"x": "y" * 50_000})) as response:
                    statuses.append(response.status)
                    if response.status == 500:
                        assert "disk I/O error (SQLITE_IOERR_WRITE)" in (await response.json())["message"]

            await create("a")
            server.limit(server.log_octets + 10_000)
            await create("b")
            await create("c")
            assert set((await _found(server))[1]) == {"a"}
            server.limit(resource.RLIM_INFINITY)
            await create("d")
        return statuses

    with Server(path) as server:
        assert asyncio.run(scene(server)) == [201, 500, 500, 201]
    with Server(path) as server:
        assert set(asyncio.run(_found(server))[1]) == {"a", "d"}


def test_a_closed_file(path: Path) -> None:
    """A write after the file was closed is refused."""
    state = StateFile(path)
    store = state.open()
    state.close()
    with pytest.raises(JournalError, match=r"Cannot operate on a closed database"):
        store.create("configmaps", config_map("a"))
    assert contents(store) == {}


# Files that are refused

ONE_OF_OURS = "a state file of headlessdns lab, an empty file, or none yet"
CHOOSE = "choose another file with --state"


def written(path: Path, count: int = 40) -> bytes:
    """Make a state file with objects in it and return its octets."""
    with StateFile(path) as state:
        for number in range(count):
            state.store.create("configmaps", config_map(f"map-{number}", data={"x": "y" * 1000}))
    return path.read_bytes()


def _text(path: Path) -> None:
    path.write_text("kind: ConfigMap\n" * 100)


def _one_octet(path: Path) -> None:
    path.write_bytes(b"x")


def _foreign(path: Path) -> None:
    """A database of another program that was killed: part of it is in the log beside it."""
    origin = path.with_name("origin")
    database = sqlite3.connect(origin)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE objects (version, resource, namespace, name, octets)")
    for suffix in ("", "-wal"):
        shutil.copy(f"{origin}{suffix}", f"{path}{suffix}")
    database.close()


def _newer(path: Path) -> None:
    written(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 2")
    database.close()


def _cut(path: Path) -> None:
    path.write_bytes(written(path)[:20_000])


def _overwritten(path: Path) -> None:
    octets = written(path)
    path.write_bytes(octets[:8192] + bytes(8192) + octets[16384:])


def _without_index(path: Path) -> None:
    octets = written(path)
    database = sqlite3.connect(path)
    (number,) = database.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index'").fetchone()
    database.close()
    path.write_bytes(octets[: (number - 1) * 4096] + bytes(4096) + octets[number * 4096 :])


def _statement(statement: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        written(path)
        database = sqlite3.connect(path, isolation_level=None)
        database.execute(statement)
        database.close()

    return make


REFUSED = {
    "a text": (_text, f"found a file of another kind; expected {ONE_OF_OURS}; {CHOOSE}"),
    "one octet": (_one_octet, f"found a file of another kind; expected {ONE_OF_OURS}; {CHOOSE}"),
    "a folder": (Path.mkdir, "found a folder; expected a file; name a file in it, such as --state {path}/lab.db"),
    "a pipe": (os.mkfifo, f"found a device, pipe or socket; expected {ONE_OF_OURS}; {CHOOSE}"),
    "a database of another program": (
        _foreign,
        f"found an SQLite database of another program; expected {ONE_OF_OURS}; {CHOOSE}",
    ),
    "a file of a newer headlessdns": (
        _newer,
        "found state of format 2; expected format 1; use the version of headlessdns that wrote it, or " + CHOOSE,
    ),
    "a file that was cut": (
        _cut,
        "found damage (database disk image is malformed); expected whole state; bring back a copy of it, or " + CHOOSE,
    ),
    "a file that is zeros in the middle": (_overwritten, "found damage ("),
    "a file whose index is zeros": (_without_index, "found damage ("),
    "an object that is no JSON": (
        _statement("UPDATE objects SET octets = x'7b' WHERE name = 'map-7'"),
        "found damage (DecodeError: ",
    ),
    "an object without metadata": (
        _statement("UPDATE objects SET octets = CAST('{}' AS BLOB) WHERE name = 'map-7'"),
        "found damage (KeyError: 'metadata')",
    ),
    "a file without its last version": (_statement("DELETE FROM last"), "found damage (TypeError: "),
    "a file without its objects": (_statement("DROP TABLE objects"), "found damage (no such table: objects)"),
}


@pytest.mark.parametrize(("make", "text"), REFUSED.values(), ids=list(REFUSED))
def test_refused(path: Path, make: Callable[[Path], None], text: str) -> None:
    """What is none of our files, or damaged, is refused with a word on what to do, and stays as it was."""
    make(path)
    before = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    with pytest.raises(StateError) as caught:
        StateFile(path).open()
    assert str(caught.value).startswith(f"{path}: " + text.replace("{path}", str(path)))
    assert {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()} == before


def test_no_such_folder(tmp_path: Path) -> None:
    """A file in a folder that is not there is refused, and the folder is not made."""
    path = tmp_path / "labs" / "lab.db"
    with pytest.raises(StateError) as caught:
        StateFile(path).open()
    text = f"{path}: found no folder {tmp_path}/labs; expected one that is there; make it, or {CHOOSE}"
    assert (str(caught.value), path.parent.exists()) == (text, False)


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may not write everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


READ_ONLY = {
    "a folder for a new file": (False, 0o555, 0o600, ""),
    "a folder with a file of ours": (True, 0o555, 0o600, ""),
    "a file of ours": (True, 0o777, 0o400, "/lab.db"),
}


@pytest.mark.parametrize(("exists", "folder_mode", "mode", "what"), READ_ONLY.values(), ids=list(READ_ONLY))
def test_read_only(exists: bool, folder_mode: int, mode: int, what: str) -> None:
    """What cannot be written is told at the start."""
    folder = Path(tempfile.mkdtemp(prefix="headlessdns-state-"))
    path = folder / "lab.db"
    try:
        if exists:
            written(path)
            path.chmod(mode)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, -1)
        folder.chmod(folder_mode)
        with nobody(), pytest.raises(StateError) as caught:
            StateFile(path).open()
        assert str(caught.value) == (
            f"{path}: found that {folder}{what} cannot be read and written; "
            f"expected a file and a folder that can be read and written; change its mode, or {CHOOSE}"
        )
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_disk_that_takes_nothing(path: Path) -> None:
    """A file of ours that could be read only is refused at the start, not at the first write."""
    written(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        with pytest.raises(StateError) as caught:
            StateFile(path).open()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == (
        f"{path}: found that the disk fails; expected one that reads and writes; see the system's log, or {CHOOSE}"
    )


@pytest.mark.parametrize("is_same_process", [False, True], ids=["in another process", "in the same process"])
def test_a_second_lab(path: Path, is_same_process: bool) -> None:
    """A file that a lab has open is refused to a second one; when the first has ended it can be taken."""
    text = (
        f"{path}: found that another program, likely another lab, has it open; expected one lab for one state file; "
        f"stop the other one, or {CHOOSE}"
    )
    with StateFile(path) if is_same_process else Server(path):
        for _ in range(2):  # the first attempt takes no lock away
            with pytest.raises(StateError) as caught:
                StateFile(path).open()
            assert str(caught.value) == text
        if is_same_process:
            with pytest.raises(AssertionError, match="likely another lab"):
                Server(path)
    with StateFile(path):
        pass
