"""Requests in, answers out: what the paths and parameters of the API mean. Reads no socket.

Source: Kubernetes, "API Concepts"; answers of kube-apiserver 1.36, read side by side.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from headlessdns.lab.api import bodies, discovery, first, notices, subresources, substitutes
from headlessdns.lab.api.checks import check_readable
from headlessdns.lab.api.collector import Collector
from headlessdns.lab.api.formats import ONLY_JSON, format_of, list_octets, partial, wants_yaml
from headlessdns.lab.api.kinds import NAMESPACES, Json, Resource
from headlessdns.lab.api.messages import JSON, Answer, Request, Stream, answer, health, no_page, refusal
from headlessdns.lab.api.pages import continue_token, page_of
from headlessdns.lab.api.parameters import (
    change_of,
    deletion_of,
    invalid_options,
    is_set,
    number_of,
    options_of,
    version_of,
    watch_faults,
    with_duplicates,
)
from headlessdns.lab.api.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, PatchError
from headlessdns.lab.api.registry import Registry
from headlessdns.lab.api.reviews import DISCOVERED_REVIEWS, REVIEWS, review
from headlessdns.lab.api.rules import Rules
from headlessdns.lab.api.schemas import OpenApi
from headlessdns.lab.api.selecting import Selection, select
from headlessdns.lab.api.status import (
    ApiError,
    bad_request,
    expired,
    method_not_allowed,
    no_such_resource,
    not_found,
    too_large_version,
)
from headlessdns.lab.api.store import Entry, ExpiredError, JournalError, Store
from headlessdns.lab.api.tables import table
from headlessdns.lab.api.watching import Show, Watch, error_line
from headlessdns.lab.api.writes import Written

_VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}

_PATCHES = frozenset({JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH})

_OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class _Call(NamedTuple):
    """A request for a resource."""

    request: Request
    resource: Resource
    namespace: str
    name: str
    subresource: str


class Api:
    """The embedded API.

    Attributes:
        store: Its objects.
        rules: What becomes of them.
        collector: What has to go; whoever runs the API runs it after each request.
        dns_address: Where the lab's DNS is asked, for what is told to people.
    """

    dns_address = "127.0.0.1:1053"

    def __init__(
        self,
        store: Store | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
        version: str = "v1.36.3",
    ) -> None:
        """Serve the objects of *store*.

        Args:
            store: None begins with none.
            clock: Gives the present time.
            rng: Makes UIDs and names.
            version: The Kubernetes that it says it is.
        """
        self.store = store if store is not None else Store()
        self._clock = clock
        self._rng = rng or random.Random()
        self._version_info = {**_VERSION, "gitVersion": version}
        self.rules = Rules(self.store, Registry(), clock, self._rng)
        self._documents_of = -1
        first.add_objects(self.rules)
        self.collector = Collector(self.rules)
        self._make_documents()

    @property
    def registry(self) -> Registry:
        """What is served."""
        return self.rules.registry

    def say_address(self, host: str, port: int) -> None:
        """Write down where the API is reached: the endpoints of the Service `kubernetes`.

        A loopback address is none that clients may give to endpoints; this one is true, so it is written all the same.

        Raises:
            JournalError: It could not be kept.
        """
        first.write_endpoints(self.rules, host, port)

    def handle(self, request: Request) -> Answer | Stream:
        """Answer *request*. Nothing is raised but bugs."""
        self.rules.notices.clear()
        try:
            answer = self._route(request)
        except ApiError as error:
            answer = refusal(error)
        except PatchError as error:
            details: Json | None = {} if error.status == 422 else None
            answer = refusal(ApiError(error.status, error.reason, error.message, details))
        except JournalError as error:
            answer = refusal(ApiError(500, "InternalError", f"Internal error occurred: {error}"))
        if isinstance(answer, Answer):
            if wants_yaml(request.accept) and answer.content_type.startswith(JSON):
                answer = answer._replace(body=bodies.yaml_of(answer.body), content_type=bodies.YAML)
            if self.rules.notices:
                answer = answer._replace(notices=tuple(self.rules.notices[: notices.MAX_NOTICES]))
        return answer

    def _route(self, request: Request) -> Answer | Stream:
        steps = request.path.strip("/").split("/")
        if steps[0] in ("api", "apis") and len(steps) > (2 if steps[0] == "api" else 3):
            return self._resource(request, steps)
        return self._page(request)

    # Pages

    def _page(self, request: Request) -> Answer:
        path = request.path.rstrip("/") or "/"
        if path.startswith(("/healthz", "/livez", "/readyz")):
            return health(path)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if self._documents_of != self.registry.changes:
            self._make_documents()
        if path.startswith("/openapi/v3"):
            place = path.removeprefix("/openapi/v3").strip("/")
            document = self._openapi.document(place) if place else self._openapi.index()
            return answer(200, document) if document is not None else no_page()
        if path == "/openapi/v2":
            return _openapi_v2(request.accept)
        if path == "/":
            return answer(200, {"paths": sorted(self._documents.plain)})
        if wants_yaml(request.accept) and path == "/version":
            raise ApiError(406, "NotAcceptable", ONLY_JSON, {})
        found = self._documents.answer(path, request.accept)
        return answer(200, found[1], found[0]) if found else no_page()

    def _make_documents(self) -> None:
        """Describe the resources that are served now."""
        resources = list(self.registry)
        self._documents = discovery.documents([*resources, *DISCOVERED_REVIEWS], self._version_info)
        customs = filter(None, (self.registry.custom(one) for one in resources))
        given = {(one.resource.group, one.resource.version, one.resource.kind): one.schema for one in customs}
        self._openapi = OpenApi(resources, given, self._version_info["gitVersion"])
        self._documents_of = self.registry.changes

    # Resources

    def _resource(self, request: Request, steps: list[str]) -> Answer | Stream:
        is_core = steps[0] == "api"
        group, version = ("", steps[1]) if is_core else (steps[1], steps[2])
        rest = steps[2:] if is_core else steps[3:]
        if rest[0] == "watch" and len(rest) > 1 and request.method == "GET":  # as clients wrote before ?watch=true
            rest, request = rest[1:], request._replace(query={**request.query, "watch": "true"})
        if asked := REVIEWS.get((group, version, rest[-1])):
            return review(request, asked)
        namespace = ""
        if rest[0] == NAMESPACES and is_core and (len(rest) < 3 or rest[2] in ("status", "finalize")):
            pass
        elif rest[0] == NAMESPACES and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource = self.registry.find(group, version, rest[0])
        if resource is None and request.method == "GET":
            resource = _NEVER_ANY.get((group, version, rest[0]))
        if resource is None:
            if not self.registry.has_group(group) or self.registry.is_custom(group):
                return no_page()
            raise no_such_resource()
        if namespace and not resource.namespaced:
            raise no_such_resource()
        name = rest[1] if len(rest) > 1 else ""
        call = _Call(request, resource, namespace, name, rest[2] if len(rest) > 2 else "")
        if name and resource.namespaced and not namespace:
            raise no_such_resource()
        return self._call(call)

    def _call(self, call: _Call) -> Answer | Stream:
        method = call.request.method
        if notice := notices.DEPRECATED.get(call.resource.qualified):
            self.rules.notices.append(notice)
        if not call.name:
            if method == "GET":
                return self._list_or_watch(call)
            if method == "POST" and bool(call.namespace) == call.resource.namespaced:
                return self._create(call)
            is_whole = bool(call.namespace) == call.resource.namespaced
            if method == "DELETE" and is_whole and call.resource.qualified != NAMESPACES:
                return self._delete_collection(call)
            raise method_not_allowed()
        if call.subresource and call.subresource != "status":
            return self._subresource(call)
        if call.subresource == "status" and "status" not in call.resource.subresources:
            raise no_such_resource()
        if method == "GET":
            if is_set(call.request.query, "watch"):
                return self._watch(call)
            self._check_version(call)
            return self._shown_one(call, 200, self._entry(call).octets)
        if method == "PUT":
            return self._update(call)
        if method == "PATCH":
            return self._patch(call)
        if method == "DELETE" and not call.subresource:
            return self._delete(call)
        raise method_not_allowed()

    def _check_version(self, call: _Call) -> None:
        """Refuse what cannot be at least as new as it is asked for."""
        try:
            wanted = version_of(call.request.query.get("resourceVersion", ""))
        except ValueError as error:
            raise ApiError(500, "", str(error)) from error
        if wanted > self.store.version:
            raise too_large_version(wanted, self.store.version)

    def _entry(self, call: _Call) -> Entry:
        entry = self.store.get(call.resource.qualified, call.namespace, call.name)
        if entry is None:
            raise not_found(call.resource, call.name)
        return entry

    # Writes

    def _create(self, call: _Call) -> Answer:
        options = options_of(call.request, "CreateOptions")
        object = self._sent(call)
        options = with_duplicates(options, call.request, object)
        return self._written(call, self.rules.create(call.resource, call.namespace, object, options))

    def _sent(self, call: _Call) -> Json:
        is_custom = self.registry.custom(call.resource) is not None
        request = call.request
        return bodies.decode_object(request.body, request.content_type, call.resource.kind, says_kind=is_custom)

    def _update(self, call: _Call) -> Answer:
        options = options_of(call.request, "UpdateOptions")
        object = self._sent(call)
        options = with_duplicates(options, call.request, object)
        written = self.rules.update(
            call.resource, call.namespace, call.name, object, options, subresource=call.subresource
        )
        return self._written(call, written)

    def _patch(self, call: _Call) -> Answer:
        request = call.request
        options = options_of(request, "PatchOptions")
        content_type = request.content_type.partition(";")[0].strip()
        if content_type not in _PATCHES:
            raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        change = change_of(request.body, content_type, options)
        if isinstance(change, dict) and content_type != APPLY_PATCH:
            options = with_duplicates(options, request._replace(content_type=JSON), change)
        written = self.rules.patch(
            call.resource, call.namespace, call.name, content_type, change, options, subresource=call.subresource
        )
        return self._written(call, written)

    def _delete(self, call: _Call) -> Answer:
        how = deletion_of(call.request)
        return self._written(call, self.rules.delete(call.resource, call.namespace, call.name, how))

    def _delete_collection(self, call: _Call) -> Answer:
        how = deletion_of(call.request)
        resource, namespace = call.resource, call.namespace
        selection = self._selection(call)
        test = selection.test()
        limit = number_of(call.request.query, "limit")
        entries = [entry for entry in self.store.entries(resource.qualified, namespace) if test(entry)]
        entries = entries[: limit or None]
        for entry in entries:
            if self.store.get(resource.qualified, namespace, entry.name) is not None:
                self.rules.delete(resource, namespace, entry.name, how)
        return Answer(200, self._list_body(resource, entries, {"resourceVersion": str(self.store.version)}))

    def _written(self, call: _Call, written: Written) -> Answer:
        return self._shown_one(call, written.status, written.octets)

    # Subresources

    def _subresource(self, call: _Call) -> Answer:
        request, resource, name = call.request, call.resource, call.name
        kind = call.subresource
        if kind in substitutes.SUBRESOURCES.get(resource.qualified, ()):
            return self._nothing_runs(call)
        if kind == "finalize" and resource.qualified == NAMESPACES and request.method == "PUT":
            return self._finalize(call)
        if kind not in resource.subresources:
            raise no_such_resource()
        if kind == "scale":
            return self._scale(call)
        if request.method != "POST":
            raise method_not_allowed()
        body = bodies.decode_object(request.body, request.content_type, kind.capitalize())
        if body.get("kind", kind.capitalize()) != kind.capitalize():
            what, version = body["kind"], (body.get("apiVersion") or "").rpartition("/")[2]
            raise bad_request(f'{what} in version "{version}" cannot be handled as a {kind.capitalize()}')
        if kind == "eviction":
            check_readable(subresources.EVICTION, body)
        if kind == "binding":
            options = options_of(request, "CreateOptions")
            written = subresources.bind(self.rules, resource, call.namespace, name, body, options)
        else:
            how = deletion_of(request, body.get("deleteOptions") or {})
            if request.query.get("dryRun"):
                how = how._replace(dry_run=True)
            written = subresources.evict(self.rules, resource, call.namespace, name, body, how)
        return Answer(written.status, written.octets)

    def _nothing_runs(self, call: _Call) -> Answer:
        """Answer what needs a machine with one line.

        That is the log itself where a client would follow it: kubectl 1.36 asks again and again if that is refused.
        Any other log is refused, or `kubectl run --rm` would wait for the pod to end.
        """
        resource, query = call.resource, call.request.query
        if call.subresource == substitutes.PROXY and ":" in call.name:  # [SCHEME:]NAME:PORT
            call = call._replace(name=call.name.split(":")[-2])
        if resource.qualified == "nodes":
            line = substitutes.of_node(call.name)
        elif resource.qualified == "serviceaccounts":
            self._entry(call)
            line = substitutes.of_account(call.name)
        elif resource.qualified == "services":
            self._entry(call)
            line = substitutes.of_service(call.name, call.namespace)
        else:
            getall: Callable[[str, list[str]], list[str]] | None = getattr(query, "getall", None)
            command = getall("command", []) if getall else [query["command"]] if "command" in query else []
            line = substitutes.of_pod(
                call.subresource, self._entry(call).object, command, self.dns_address, self._exists
            )
            if call.subresource == substitutes.LOG and query.get("follow") == "true":
                return Answer(200, f"{line}\n".encode(), "text/plain")
        raise bad_request(line)

    def _exists(self, resource: str, namespace: str, name: str) -> bool:
        return self.store.get(resource, namespace, name) is not None

    def _scale(self, call: _Call) -> Answer:
        request, resource, namespace, name = call.request, call.resource, call.namespace, call.name
        if request.method == "GET":
            return Answer(200, subresources.get_scale(self.rules, resource, namespace, name))
        if request.method == "PUT":
            options = options_of(request, "UpdateOptions")
            body = bodies.decode_object(request.body, request.content_type, "Scale")
            return Answer(*subresources.set_scale(self.rules, resource, namespace, name, body, options))
        if request.method == "PATCH":
            options = options_of(request, "PatchOptions")
            content_type = request.content_type.partition(";")[0].strip()
            change = change_of(request.body, content_type, options)
            return Answer(
                *subresources.patch_scale(self.rules, resource, namespace, name, content_type, change, options)
            )
        raise method_not_allowed()

    def _finalize(self, call: _Call) -> Answer:
        """Take a namespace's own finalizers as the body has them; one that is left without any goes."""
        body = bodies.decode_object(call.request.body, call.request.content_type)
        entry = self._entry(call)
        object = entry.object
        object.setdefault("spec", {})["finalizers"] = (body.get("spec") or {}).get("finalizers") or []
        return Answer(200, self.rules.commit(call.resource, object, entry).octets)

    # Lists

    def _selection(self, call: _Call) -> Selection:
        query = call.request.query
        custom = self.registry.custom(call.resource)
        field_selector = query.get("fieldSelector", "")
        if call.name:
            field_selector = f"metadata.name={call.name}"
        return select(
            call.resource,
            call.namespace,
            query.get("labelSelector", ""),
            field_selector,
            custom.selectable if custom else (),
        )

    def _list_or_watch(self, call: _Call) -> Answer | Stream:
        if is_set(call.request.query, "watch"):
            return self._watch(call)
        return self._list(call)

    def _list(self, call: _Call) -> Answer:
        resource, query = call.resource, call.request.query
        selection = self._selection(call)
        number_of(query, "timeoutSeconds")
        page = page_of(self.store, resource.qualified, call.namespace, query)
        entries = page.entries
        if not selection.is_everything:
            entries = list(filter(selection.test(), entries))
        metadata: Json = {"resourceVersion": str(page.version)}
        if self.registry.custom(resource):
            metadata["continue"] = ""
        limit = number_of(query, "limit")
        if limit and len(entries) > limit:
            metadata["continue"] = continue_token(page.version, entries[limit - 1].key)
            if selection.is_everything:
                metadata["remainingItemCount"] = len(entries) - limit
            entries = entries[:limit]
        format = format_of(call.request.accept)
        if format == "Table":
            objects = [entry.object for entry in entries]
            return answer(200, self._table(call, objects, list_metadata=metadata))
        if format == "PartialObjectMetadata":
            items = [partial(entry.octets) for entry in entries]
            return Answer(200, list_octets("PartialObjectMetadataList", "meta.k8s.io/v1", metadata, items))
        return Answer(200, self._list_body(resource, entries, metadata))

    def _list_body(self, resource: Resource, entries: list[Entry], metadata: Json) -> bytes:
        if self.registry.custom(resource):
            items = [self._in_served_version(resource, entry.octets) for entry in entries]
        else:
            # Items of a list do not say what they are.
            start = len(f'{{"kind":"{resource.kind}","apiVersion":"{resource.group_version}",')
            items = [b"{" + entry.octets[start:] for entry in entries]
        kind = f"{resource.kind}List"
        return list_octets(kind, resource.group_version, metadata, items)

    # Watches

    def _watch(self, call: _Call) -> Answer | Stream:
        query = call.request.query
        wanted = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents", "")
        faults = watch_faults(initial, query.get("resourceVersionMatch", ""))
        if faults:
            raise invalid_options("ListOptions", faults)
        selection = self._selection(call)
        try:
            number = version_of(wanted)
        except ValueError as error:
            raise ApiError(500, "", str(error)) from error
        if initial == "true" and number > self.store.version:
            raise too_large_version(number, self.store.version)
        from_start = initial == "true" or (wanted in ("", "0") and initial != "false")
        since = None if from_start else (self.store.version if wanted in ("", "0") else number)
        bookmarks = is_set(query, "allowWatchBookmarks")
        timeout_s = number_of(query, "timeoutSeconds") or self._rng.uniform(1800, 3600)
        try:
            watch = Watch(
                self.store,
                call.resource,
                selection,
                since=since,
                show=self._show(call),
                bookmarks=bookmarks,
                announce_end=initial == "true" and bookmarks,
            )
        except ExpiredError as error:
            return Answer(200, error_line(expired(str(error))))
        return Stream(watch, timeout_s)

    # What clients are shown

    def _show(self, call: _Call) -> Show | None:
        """Return what makes of an object what the client of a watch takes; None where that is the object."""
        format = format_of(call.request.accept)
        if format == "Table":
            return self._table_show(call)
        if format == "PartialObjectMetadata":
            return lambda octets: partial(octets)
        custom = self.registry.custom(call.resource)
        if custom and custom.storage_version != call.resource.version:
            return lambda octets: self._in_served_version(call.resource, octets)
        return None

    def _table_show(self, call: _Call) -> Show:
        is_first = True

        def show(octets: bytes) -> bytes:
            nonlocal is_first
            object = _decode(octets)
            if "uid" not in object["metadata"]:  # a bookmark: the row of an object without anything
                return _encode(self._table(call, [object], with_columns=False, is_bookmark=True))
            shown = self._table(call, [object], with_columns=is_first)
            is_first = False
            return _encode(shown)

        return show

    def _shown_one(self, call: _Call, status: int, octets: bytes) -> Answer:
        format = format_of(call.request.accept)
        if format and status < 300 and not octets.startswith(b'{"kind":"Status"'):
            if format == "Table":
                return answer(status, self._table(call, [_decode(octets)]))
            return Answer(status, partial(octets))
        return Answer(status, self._in_served_version(call.resource, octets))

    def _in_served_version(self, resource: Resource, octets: bytes) -> bytes:
        custom = self.registry.custom(resource)
        if custom is None or custom.storage_version == resource.version:
            return octets
        object = _decode(octets)
        if "/" in object.get("apiVersion", ""):
            object["apiVersion"] = resource.group_version
        return _encode(object)

    def _table(self, call: _Call, objects: list[Json], *, is_bookmark: bool = False, **more: Any) -> Json:
        custom = self.registry.custom(call.resource)
        include = call.request.query.get("includeObject", "Metadata")
        if is_bookmark and include == "None":
            include = "Metadata"
        columns = custom.printer_columns if custom else ()
        now_s = self._clock().timestamp()
        return table(call.resource, objects, now_s, include_object=include, printer_columns=columns, **more)


# Of these there are none and can be none, but the reference disruption controller looks for them.
_NEVER_ANY = {
    ("", "v1", "replicationcontrollers"): Resource(
        "", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller"
    )
}


def _openapi_v2(accept: str) -> Answer:
    """Return the older form, which describes nothing: kubectl asks for it before it takes apart a List."""
    if _OPENAPI_V2_PROTOBUF in accept:
        # Field 1 says swagger 2.0; field 2 has a title and a version. With its @ it would be no media type.
        return Answer(200, b"\x0a\x032.0\x12\x09\x0a\x03lab\x12\x020.", _OPENAPI_V2_PROTOBUF.replace("@", "."))
    return answer(200, {"swagger": "2.0", "info": {"title": "lab", "version": "0."}, "paths": {}})
