"""A server that only shows: documents of discovery, OpenAPI and fixed lists over plain HTTP, for kubectl to read."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from types import TracebackType
from typing import Any

from aiohttp import web

from headlessdns.lab.api import discovery, tables
from headlessdns.lab.api.kinds import Resource
from headlessdns.lab.api.schemas import OpenApi

Json = dict[str, Any]


class Showing:
    """Serves *objects* of *resources* while the ``with`` block lasts; nothing can be written."""

    def __init__(
        self,
        resources: list[Resource],
        objects: list[Json],
        custom_schemas: dict[tuple[str, str, str], Json],
        version_info: Json,
    ) -> None:
        self._resources = resources
        self._objects = objects
        self._documents = discovery.documents(resources, version_info)
        self._openapi = OpenApi(resources, custom_schemas, version_info["gitVersion"])
        self.requests: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Showing:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> str:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        return f"http://{host}:{port}"

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(f"{request.method} {request.path_qs}")
        accept = request.headers.get("Accept", "")
        found = self._documents.answer(request.path, accept) if request.method == "GET" else None
        if found:
            content_type, body = found
            return web.Response(text=json.dumps(body), headers={"Content-Type": content_type})
        if request.path == "/openapi/v3":
            return web.json_response(self._openapi.index())
        if document := self._openapi.document(request.path.removeprefix("/openapi/v3/")):
            return web.json_response(document)
        for resource in self._resources:
            place = resource.collection("default" if resource.namespaced else "")
            if request.method == "GET" and request.path in {place, resource.collection()}:
                return self._list(resource, request.query, "as=Table" in accept)
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        return web.json_response({**status, "message": request.path}, status=404)

    def _list(self, resource: Resource, query: Any, as_table: bool) -> web.Response:
        found = [one for one in self._objects if one["kind"] == resource.kind]
        metadata = {"resourceVersion": "1"}
        if as_table:
            include = query.get("includeObject", "Metadata")
            return web.json_response(
                tables.table(resource, found, time.time(), include_object=include, list_metadata=metadata)
            )
        kind = {"kind": f"{resource.kind}List", "apiVersion": resource.group_version}
        return web.json_response({**kind, "metadata": metadata, "items": found})
