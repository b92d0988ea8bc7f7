"""An API server in memory with what the controller relies on: names, versions, preconditions, ownership, watches.

`MemoryServer` holds the objects, `MemoryClient` is one client's connection to it. It is no copy of the planner's own
simulation: requests come as they would by HTTP, and are judged by method, path and body alone.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from headlessdns.cluster.answer import Answer
from headlessdns.errors import ClusterError

Json = dict[str, Any]
WAY_STEPS = 4  # of the loop, that a request is on its way, and its answer
POD_KIND, SET_KIND = "pods", "statefulsets"


class Sent(NamedTuple):
    """A request as the server got it, and what came of it.

    Attributes:
        begun_s: When the client began it, by the clock of the server.
        at_s: When it was delivered.
        before: The object of its path until then.
    """

    client: str
    method: str
    path: str
    body: Any
    content_type: str
    begun_s: float
    at_s: float
    before: Json | None
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.path.rpartition('/namespaces/')[2]} {self.status}"


def answer(status: int, body: Json, retry_after: str = "") -> Answer:
    return Answer(status, retry_after, msgspec.json.encode(body))


def refusal(status: int, reason: str, message: str, retry_after: str = "") -> Answer:
    return answer(status, {"kind": "Status", "code": status, "reason": reason, "message": message}, retry_after)


def merge(target: Any, change: Any, *, is_strategic: bool = False, field: str = "") -> Any:
    """Apply a merge patch (RFC 7386); a strategic one merges owner references by UID."""
    if is_strategic and field == "ownerReferences":
        return merge_owners(target or [], change)
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value, is_strategic=is_strategic, field=name)
    return merged


def merge_owners(owners: list[Json], changes: list[Json]) -> list[Json]:
    merged = {owner["uid"]: owner for owner in owners}
    for change in changes:
        if change.get("$patch") == "delete":
            merged.pop(change["uid"], None)
        else:
            merged[change["uid"]] = change
    return list(merged.values())


class MemoryServer:
    """Objects by path.

    Attributes:
        objects: All there is.
        sent: Every request but GET, in the order of delivery.
        reads: Every GET of one object.
        faults: Asked at each delivery, with method and path; what it returns is the answer, an error is raised. It may
            call `do` first: then the request is done and its answer lost.
    """

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.objects: dict[str, Json] = {}
        self.sent: list[Sent] = []
        self.reads: list[str] = []
        self.faults: Callable[[str, str, Callable[[], Answer]], Answer | None] = lambda method, path, do: None
        self.clock = clock
        self._version = 100
        self._uids = itertools.count(1)
        self._history: list[tuple[int, str, bytes]] = []
        self._watchers: list[tuple[str, asyncio.Queue[bytes]]] = []

    # What tests do

    def add(self, path: str, manifest: Json) -> Json:
        """Create an object in the collection at *path*, as it is."""
        made = copy.deepcopy(manifest)
        made["metadata"].setdefault("uid", f"uid-{next(self._uids)}")
        made["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        if "/namespaces/" in path:
            made["metadata"]["namespace"] = path.split("/namespaces/")[1].split("/")[0]
        return self._store("ADDED", f"{path}/{made['metadata']['name']}", made)

    def change(self, path: str, patch: Json) -> Json:
        """Merge *patch* into the object at *path*; a changed spec gets a new generation."""
        before = self.objects[path]
        made = merge(before, patch)
        if made.get("spec") != before.get("spec"):
            metadata = made["metadata"]
            made["metadata"] = {**metadata, "generation": metadata.get("generation", 1) + 1}
        return self._store("MODIFIED", path, made)

    def remove(self, path: str) -> None:
        """Drop an object."""
        self._store("DELETED", path, self.objects[path])

    def of(self, plural: str) -> dict[str, Json]:
        """Return the objects of a kind by name."""
        return {path.rpartition("/")[2]: found for path, found in self.objects.items() if path.split("/")[-2] == plural}

    def writes(self, *, but: str = "/events") -> list[str]:
        """Return every request in short, without those to paths that hold *but*."""
        return [str(one) for one in self.sent if but not in one.path]

    def run_kubelet(self) -> bool:
        """Bring every pod one step further; tell whether there was anything to do."""
        has_moved = False
        for path, pod in list(self.objects.items()):
            if path.split("/")[-2] != POD_KIND:
                continue
            if pod["metadata"].get("deletionTimestamp"):
                self.remove(path)
            elif pod.get("status", {}).get("phase") == "Pending":
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                self.change(path, {"status": {"phase": "Running", "conditions": [ready]}})
            else:
                continue
            has_moved = True
        return has_moved

    # What clients do

    def deliver(self, client: str, method: str, path: str, body: Any, content_type: str, begun_s: float) -> Answer:
        """Do a request and return its answer; raises ClusterError where that is lost."""
        if isinstance(body, bytes):
            body = msgspec.json.decode(body)
        before = copy.deepcopy(self.objects.get(path.removesuffix("/status")))

        def do() -> Answer:
            return self._do(method, path, copy.deepcopy(body), content_type)

        status = 0
        try:
            found = self.faults(method, path, do) or do()
            status = found.status
            return found
        finally:
            if method == "GET":
                self.reads.append(path)
            else:
                self.sent.append(Sent(client, method, path, body, content_type, begun_s, self.clock(), before, status))

    def _do(self, method: str, path: str, body: Any, content_type: str) -> Answer:
        if method == "POST":
            return self._create(path, body)
        target = path.removesuffix("/status")
        name = target.rpartition("/")[2]
        found = self.objects.get(target)
        if found is None:
            return refusal(404, "NotFound", f'{target.split("/")[-2]} "{name}" not found')
        if method == "GET":
            return answer(200, found)
        metadata = (body or {}).get("preconditions" if method == "DELETE" else "metadata", {})
        for field in ("uid", "resourceVersion"):
            if metadata.get(field, found["metadata"][field]) != found["metadata"][field]:
                return refusal(409, "Conflict", f'Operation cannot be fulfilled on "{name}": {field} differs')
        if method == "DELETE":
            return self._delete(target, found)
        made = body if method == "PUT" else merge(found, body, is_strategic="strategic" in content_type)
        made = {**found, "status": made["status"]} if path != target else {**made, "status": found.get("status", {})}
        made["metadata"] = {**made["metadata"], "uid": found["metadata"]["uid"]}
        return answer(200, self._store("MODIFIED", target, made))

    def _create(self, path: str, body: Json) -> Answer:
        name = body["metadata"]["name"]
        if f"{path}/{name}" in self.objects:
            return refusal(409, "AlreadyExists", f'{path.rpartition("/")[2]} "{name}" already exists')
        if path.endswith(f"/{POD_KIND}"):
            body["status"] = {"phase": "Pending"}
        return answer(201, self.add(path, body))

    def _delete(self, path: str, found: Json) -> Answer:
        if path.split("/")[-2] != POD_KIND:
            self.remove(path)
        elif not found["metadata"].get("deletionTimestamp"):
            self.change(path, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z"}})
        return answer(200, {})

    def _store(self, event: str, path: str, made: Json) -> Json:
        self._version += 1
        made["metadata"] = {**made["metadata"], "resourceVersion": str(self._version)}
        if event == "DELETED":
            self.objects.pop(path, None)
        else:
            self.objects[path] = made
        line = msgspec.json.encode({"type": event, "object": made}) + b"\n"
        plural = path.split("/")[-2]
        self._history.append((self._version, plural, line))
        for kind, queue in self._watchers:
            if kind == plural:
                queue.put_nowait(line)
        return made

    # Watches

    async def stream(self, plural: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        if "sendInitialEvents" in query:
            for found in self.of(plural).values():
                queue.put_nowait(msgspec.json.encode({"type": "ADDED", "object": found}) + b"\n")
            metadata = {"resourceVersion": str(self._version), "annotations": {"k8s.io/initial-events-end": "true"}}
            queue.put_nowait(msgspec.json.encode({"type": "BOOKMARK", "object": {"metadata": metadata}}) + b"\n")
        else:
            since = int(query["resourceVersion"])
            for version, kind, line in self._history:
                if version > since and kind == plural:
                    queue.put_nowait(line)
        watcher = (plural, queue)
        self._watchers.append(watcher)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(watcher)


class _Reply:
    status = 200
    retry_after = ""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self._chunks])


class MemoryClient:
    """A connection to a server, for a client of that name."""

    def __init__(self, server: MemoryServer, name: str = "a") -> None:
        self.server = server
        self.name = name

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[_Reply]:
        yield _Reply(self.server.stream(path.rpartition("/")[2], query))

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        begun_s = self.server.clock()
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(WAY_STEPS):
                    await asyncio.sleep(0)
                found = self.server.deliver(self.name, method, path, body, content_type, begun_s)
                for _ in range(WAY_STEPS):
                    await asyncio.sleep(0)
                return found
        except TimeoutError as error:
            raise ClusterError("no answer in time") from error

    async def reauthenticate(self) -> None:
        pass
