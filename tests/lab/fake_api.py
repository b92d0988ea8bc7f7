"""An API server without a socket: the few kinds, verbs and rules that the pretend kubelet meets."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from headlessdns.cluster.answer import Answer
from headlessdns.errors import ClusterError

Json = dict[str, Any]

CUT = b""  # ends a watch in order
BROKEN = b"\0"  # breaks it off


class FakeReply:
    def __init__(self, status: int, chunks: AsyncIterator[bytes]) -> None:
        self.status = status
        self.retry_after = ""
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self._chunks])


async def whole(body: Json) -> AsyncIterator[bytes]:
    yield msgspec.json.encode(body)


def refusal(status: int, message: str) -> Answer:
    return Answer(status, "", msgspec.json.encode({"kind": "Status", "code": status, "message": message}))


def merge(target: Any, change: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


class FakeApi:
    """Objects by path, with versions, UIDs, watches, finalizers and graceful deletion.

    `requests` has all that was asked to be written, `refusals` answers the next writes to a path.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.refusals: dict[str, list[int | ClusterError]] = {}
        self.lists = 0
        self.renewals = 0
        self.at_once = self.most_at_once = 0
        self._history: list[tuple[int, str, bytes]] = []
        self._oldest = 0
        self._version = 100
        self._uids = itertools.count(1)
        self._watchers: dict[asyncio.Queue[bytes], str] = {}

    # What tests do

    def add(self, path: str, object: Json) -> Json:
        """Create *object* in the collection at *path*."""
        made = copy.deepcopy(object)
        made["metadata"] |= {"uid": f"uid-{next(self._uids)}"}
        if "/namespaces/" in path:
            made["metadata"]["namespace"] = path.split("/")[4]
        self._store("ADDED", f"{path}/{object['metadata']['name']}", made)
        return made

    def change(self, path: str, patch: Json) -> None:
        """Patch the object at *path*, its status too."""
        self._store("MODIFIED", path, merge(self.objects[path], patch))

    def hide(self, path: str, object: Json) -> None:
        """Create *object* without a word to any watch."""
        watchers, self._watchers = self._watchers, {}
        self.add(path, object)
        self._watchers = watchers

    def remove(self, path: str) -> None:
        """Drop the object at *path*, whatever holds it."""
        self._store("DELETED", path, self.objects[path])

    def end_watches(self, how: bytes = CUT) -> None:
        """End all watches, in order or not."""
        for queue in self._watchers:
            queue.put_nowait(how)

    def tell(self, line: bytes) -> None:
        """Write *line* into all watches."""
        for queue in self._watchers:
            queue.put_nowait(line)

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._watchers)

    def compact(self) -> None:
        """Forget all history: who has not seen the newest version must list anew."""
        self._version += 1
        self._oldest = self._version

    # What clients do

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[FakeReply]:
        plural = path.rpartition("/")[2]
        if "watch" not in query:
            self.lists += 1
            items = [object for at, object in self.objects.items() if at.split("/")[-2] == plural]
            first = int(query.get("continue", "0"))
            end = first + int(query["limit"])
            metadata = {"resourceVersion": str(self._version), "continue": str(end) if end < len(items) else None}
            yield FakeReply(200, whole({"metadata": metadata, "items": items[first:end]}))
            return
        since = int(query["resourceVersion"])
        if since < self._oldest:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            yield FakeReply(200, whole_line({"type": "ERROR", "object": gone}))
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        for version, kind, line in self._history:
            if version > since and kind == plural:
                queue.put_nowait(line)
        self._watchers[queue] = plural
        try:
            yield FakeReply(200, self._stream(queue))
        finally:
            del self._watchers[queue]

    async def _stream(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        while True:
            line = await queue.get()
            if line == CUT:
                return
            if line == BROKEN:
                raise ClusterError("the connection broke off")
            yield line[:7]  # cut anywhere
            yield line[7:]

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if method != "GET":
            self.requests.append((method, path, body))
        if self.refusals.get(path):
            refused = self.refusals[path].pop(0)
            if isinstance(refused, ClusterError):
                raise refused
            return refusal(refused, "no")
        return getattr(self, f"_{method.lower()}")(path, body)  # type: ignore[no-any-return]

    async def reauthenticate(self) -> None:
        self.renewals += 1

    def _get(self, path: str, body: Any) -> Answer:
        return self._found(path)

    def _post(self, path: str, body: Json) -> Answer:
        collection, _, subresource = path.rpartition("/")
        if subresource == "binding":
            if self.objects[collection]["spec"].get("nodeName"):
                return refusal(409, "pod is already assigned to a node")
            self.change(collection, {"spec": {"nodeName": body["target"]["name"]}})
            return self._found(collection, 201)
        if f"{path}/{body['metadata']['name']}" in self.objects:
            return refusal(409, "already exists")
        self.add(path, body)
        return self._found(f"{path}/{body['metadata']['name']}", 201)

    def _patch(self, path: str, body: Json) -> Answer:
        path, _, is_status = path.partition("/status")
        del is_status
        if path not in self.objects:
            return refusal(404, "not found")
        metadata = self.objects[path]["metadata"]
        for field in ("uid", "resourceVersion"):
            if body.get("metadata", {}).get(field, metadata[field]) != metadata[field]:
                return refusal(409, f"{field} differs")
        self._store("MODIFIED", path, merge(self.objects[path], body))
        return self._found(path)

    def _delete(self, path: str, body: Json) -> Answer:
        if path not in self.objects:
            return refusal(404, "not found")
        object = copy.deepcopy(self.objects[path])
        metadata = object["metadata"]
        if body.get("preconditions", {}).get("uid", metadata["uid"]) != metadata["uid"]:
            return refusal(409, "uid differs")
        grace_s = body.get("gracePeriodSeconds", 30)
        if not object.get("spec", {}).get("nodeName") or "/pods/" not in path:
            grace_s = 0
        if grace_s or metadata.get("finalizers"):
            metadata |= {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": grace_s}
            self._store("MODIFIED", path, object)
        else:
            self.remove(path)
        return Answer(200, "", b"{}")

    def _found(self, path: str, status: int = 200) -> Answer:
        if path not in self.objects:
            return refusal(404, "not found")
        return Answer(status, "", msgspec.json.encode(self.objects[path]))

    def _store(self, event: str, path: str, object: Json) -> None:
        self._version += 1
        metadata = {**object["metadata"], "resourceVersion": str(self._version)}
        object = {"status": {}, **object, "metadata": metadata}
        is_over = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
        if event == "DELETED" or (is_over and not metadata.get("deletionGracePeriodSeconds")):
            event = "DELETED"
            self.objects.pop(path, None)
        else:
            self.objects[path] = object
        line = msgspec.json.encode({"type": event, "object": object}) + b"\n"
        plural = path.split("/")[-2]
        self._history.append((self._version, plural, line))
        for queue, kind in self._watchers.items():
            if kind == plural:
                queue.put_nowait(line)


async def whole_line(event: Json) -> AsyncIterator[bytes]:
    yield msgspec.json.encode(event) + b"\n"
