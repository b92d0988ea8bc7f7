"""Requests in, answers out: what the paths and parameters of the API mean. Reads no socket.

Source: Kubernetes, "API Concepts"; answers of kube-apiserver 1.36, read side by side.
"""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from headlessdns.lab.api import bodies, discovery, subresources
from headlessdns.lab.api.collector import Collector
from headlessdns.lab.api.kinds import Json, Resource
from headlessdns.lab.api.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, PatchError
from headlessdns.lab.api.registry import Registry
from headlessdns.lab.api.rules import NAMESPACES, POLICIES, Deletion, Options, Rules, Written
from headlessdns.lab.api.schemas import OpenApi
from headlessdns.lab.api.selecting import Selection, select
from headlessdns.lab.api.status import (
    ApiError,
    Fault,
    bad_request,
    expired,
    invalid,
    method_not_allowed,
    no_such_resource,
    not_found,
    too_large_version,
)
from headlessdns.lab.api.store import Entry, ExpiredError, Store
from headlessdns.lab.api.tables import table
from headlessdns.lab.api.watching import Show, Watch, error_line

JSON = "application/json"
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

# What a lab has no machine for, and what does instead.
_NOTHING_RUNS = {
    "log": "has no logs; ask for its state: kubectl get pod {name} -o yaml",
    "exec": "runs no command; ask for names from this machine: "
    "dig @127.0.0.1 {name}.<service>.{namespace}.svc.cluster.local",
    "attach": "has nothing to attach to; ask for its state: kubectl get pod {name} -o yaml",
    "portforward": "listens on no port; ask for its address: kubectl get pod {name} -o jsonpath='{{.status.podIP}}'",
    "proxy": "serves nothing; ask for the addresses: kubectl get endpointslices -n {namespace}",
}

_PATCHES = frozenset({JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH})

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Request(NamedTuple):
    """A request.

    Attributes:
        method: Such as GET.
        path: Decoded.
        query: The parameters, decoded; of several of one name the first.
        body: As it came.
        content_type: Of the body.
        accept: What the client takes.
        user_agent: Who asks.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    user_agent: str = ""


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        status: The HTTP status.
        body: Its octets.
        content_type: Of the body.
        headers: Further ones.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = {}


class Stream(NamedTuple):
    """An answer that goes on.

    Attributes:
        watch: What it says.
        timeout_s: When it ends.
    """

    watch: Watch
    timeout_s: float


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
    """

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
        _add_first_objects(self.rules)
        self.collector = Collector(self.rules)
        self._make_documents()

    @property
    def registry(self) -> Registry:
        """What is served."""
        return self.rules.registry

    def handle(self, request: Request) -> Answer | Stream:
        """Answer *request*. Nothing is raised but bugs."""
        try:
            return self._route(request)
        except ApiError as error:
            return refusal(error)
        except PatchError as error:
            details: Json | None = {} if error.status == 422 else None
            return refusal(ApiError(error.status, error.reason, error.message, details))

    def _route(self, request: Request) -> Answer | Stream:
        steps = request.path.strip("/").split("/")
        if steps[0] in ("api", "apis") and len(steps) > (2 if steps[0] == "api" else 3):
            return self._resource(request, steps)
        return self._page(request)

    # Pages

    def _page(self, request: Request) -> Answer:
        path = request.path.rstrip("/") or "/"
        if path in ("/healthz", "/livez", "/readyz") or path.startswith(("/livez/", "/readyz/", "/healthz/")):
            return Answer(200, b"ok", "text/plain; charset=utf-8")
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if self._documents_of != self.registry.changes:
            self._make_documents()
        if path.startswith("/openapi/v3"):
            place = path.removeprefix("/openapi/v3").strip("/")
            document = self._openapi.document(place) if place else self._openapi.index()
            return _answer(200, document) if document is not None else _no_page()
        if path == "/":
            return _answer(200, {"paths": sorted(self._documents.plain)})
        found = self._documents.answer(path, request.accept)
        return _answer(200, found[1], found[0]) if found else _no_page()

    def _make_documents(self) -> None:
        """Describe the resources that are served now."""
        resources = list(self.registry)
        self._documents = discovery.documents([*resources, *_DISCOVERED_REVIEWS], self._version_info)
        customs = filter(None, (self.registry.custom(one) for one in resources))
        given = {(one.resource.group, one.resource.version, one.resource.kind): one.schema for one in customs}
        self._openapi = OpenApi(resources, given, self._version_info["gitVersion"])
        self._documents_of = self.registry.changes

    # Resources

    def _resource(self, request: Request, steps: list[str]) -> Answer | Stream:
        is_core = steps[0] == "api"
        group, version = ("", steps[1]) if is_core else (steps[1], steps[2])
        rest = steps[2:] if is_core else steps[3:]
        if review := _REVIEWS.get((group, version, rest[-1])):
            return self._review(request, review)
        namespace = ""
        if rest[0] == NAMESPACES and is_core and (len(rest) < 3 or rest[2] in ("status", "finalize")):
            pass
        elif rest[0] == NAMESPACES and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource = self.registry.find(group, version, rest[0])
        if resource is None:
            if not self.registry.has_group(group):
                return _no_page()
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
            if call.request.query.get("watch") in ("true", "1"):
                return self._watch(call)
            return self._shown_one(call, 200, self._entry(call).octets)
        if method == "PUT":
            return self._update(call)
        if method == "PATCH":
            return self._patch(call)
        if method == "DELETE" and not call.subresource:
            return self._delete(call)
        raise method_not_allowed()

    def _entry(self, call: _Call) -> Entry:
        entry = self.store.get(call.resource.qualified, call.namespace, call.name)
        if entry is None:
            raise not_found(call.resource, call.name)
        return entry

    # Writes

    def _create(self, call: _Call) -> Answer:
        options = _options(call.request, "CreateOptions")
        object = bodies.decode_object(call.request.body, call.request.content_type)
        return self._written(call, self.rules.create(call.resource, call.namespace, object, options))

    def _update(self, call: _Call) -> Answer:
        options = _options(call.request, "UpdateOptions")
        object = bodies.decode_object(call.request.body, call.request.content_type)
        written = self.rules.update(
            call.resource, call.namespace, call.name, object, options, subresource=call.subresource
        )
        return self._written(call, written)

    def _patch(self, call: _Call) -> Answer:
        request = call.request
        options = _options(request, "PatchOptions")
        content_type = request.content_type.partition(";")[0].strip()
        if content_type not in _PATCHES:
            raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        change = bodies.decode(request.body, content_type)
        written = self.rules.patch(
            call.resource, call.namespace, call.name, content_type, change, options, subresource=call.subresource
        )
        return self._written(call, written)

    def _delete(self, call: _Call) -> Answer:
        how = _deletion(call.request)
        return self._written(call, self.rules.delete(call.resource, call.namespace, call.name, how))

    def _delete_collection(self, call: _Call) -> Answer:
        how = _deletion(call.request)
        resource, namespace = call.resource, call.namespace
        selection = self._selection(call)
        test = selection.test()
        entries = [entry for entry in self.store.entries(resource.qualified, namespace) if test(entry)]
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
        if kind in _NOTHING_RUNS and resource.qualified in ("pods", "services", "nodes"):
            if resource.qualified != "nodes":
                self._entry(call)
            what = _NOTHING_RUNS[kind].format(name=name, namespace=call.namespace)
            raise bad_request(f"{resource.singular} {name} is of a lab, where nothing runs: it {what}")
        if kind == "finalize" and resource.qualified == NAMESPACES and request.method == "PUT":
            return self._finalize(call)
        if kind not in resource.subresources:
            raise no_such_resource()
        if kind == "scale":
            return self._scale(call)
        if request.method != "POST":
            raise method_not_allowed()
        body = bodies.decode_object(request.body, request.content_type)
        if kind == "binding":
            options = _options(request, "CreateOptions")
            written = subresources.bind(self.rules, resource, call.namespace, name, body, options)
        else:
            how = _deletion(request, body.get("deleteOptions") or {})
            if request.query.get("dryRun"):
                how = how._replace(dry_run=True)
            written = subresources.evict(self.rules, resource, call.namespace, name, body, how)
        return Answer(written.status, written.octets)

    def _scale(self, call: _Call) -> Answer:
        request, resource, namespace, name = call.request, call.resource, call.namespace, call.name
        if request.method == "GET":
            return Answer(200, subresources.get_scale(self.rules, resource, namespace, name))
        if request.method == "PUT":
            options = _options(request, "UpdateOptions")
            body = bodies.decode_object(request.body, request.content_type)
            return Answer(*subresources.set_scale(self.rules, resource, namespace, name, body, options))
        if request.method == "PATCH":
            options = _options(request, "PatchOptions")
            content_type = request.content_type.partition(";")[0].strip()
            change = bodies.decode(request.body, content_type)
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
        if not object["spec"]["finalizers"] and entry.is_terminating:
            last = self.store.delete(NAMESPACES, "", call.name, last=object)
            return Answer(200, last.octets)
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
        if call.request.query.get("watch") in ("true", "1"):
            return self._watch(call)
        return self._list(call)

    def _list(self, call: _Call) -> Answer:
        resource, query = call.resource, call.request.query
        selection = self._selection(call)
        page = self._page_of(call)
        entries = page.entries
        if not selection.is_everything:
            entries = list(filter(selection.test(), entries))
        metadata: Json = {"resourceVersion": str(page.version)}
        if self.registry.custom(resource):
            metadata["continue"] = ""
        limit = _number(query, "limit")
        if limit and len(entries) > limit:
            metadata["continue"] = _continue_token(page.version, entries[limit - 1].key)
            if selection.is_everything:
                metadata["remainingItemCount"] = len(entries) - limit
            entries = entries[:limit]
        format = _format(call.request.accept)
        if format == "Table":
            objects = [entry.object for entry in entries]
            return _answer(200, self._table(call, objects, list_metadata=metadata))
        if format == "PartialObjectMetadata":
            items = [_partial(entry.octets, within_list=False) for entry in entries]
            return Answer(200, _list_octets("PartialObjectMetadataList", "meta.k8s.io/v1", metadata, items))
        return Answer(200, self._list_body(resource, entries, metadata))

    def _page_of(self, call: _Call) -> _Page:
        """Return the objects that a list is about, as they are or as they were, from its continuation on."""
        resource, query = call.resource, call.request.query
        name, namespace = resource.qualified, call.namespace
        token = query.get("continue", "")
        wanted = query.get("resourceVersion", "")
        match = query.get("resourceVersionMatch", "")
        faults = _list_faults(match, wanted, token)
        if faults:
            raise _invalid_options("ListOptions", faults)
        version = self.store.version
        if token:
            at, last = _read_token(token)
            try:
                entries = self.store.entries_at(at, name, namespace)
            except ExpiredError as error:
                raise _expired_token(version, last) from error
            return _Page(at, [entry for entry in entries if entry.key > last])
        try:
            number = _version_number(wanted)
        except ValueError as error:
            raise bad_request(f"invalid resource version: {error}") from error
        if number > version:
            raise too_large_version(number, version)
        if match == "Exact":
            try:
                return _Page(number, self.store.entries_at(number, name, namespace))
            except ExpiredError as error:
                raise expired("The resourceVersion for the provided list is too old.") from error
        return _Page(version, self.store.entries(name, namespace))

    def _list_body(self, resource: Resource, entries: list[Entry], metadata: Json) -> bytes:
        if self.registry.custom(resource):
            items = [self._in_served_version(resource, entry.octets) for entry in entries]
        else:
            # Items of a list do not say what they are.
            start = len(f'{{"kind":"{resource.kind}","apiVersion":"{resource.group_version}",')
            items = [b"{" + entry.octets[start:] for entry in entries]
        kind = f"{resource.kind}List"
        return _list_octets(kind, resource.group_version, metadata, items)

    # Watches

    def _watch(self, call: _Call) -> Answer | Stream:
        query = call.request.query
        wanted = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents", "")
        faults = _watch_faults(initial, query.get("resourceVersionMatch", ""))
        if faults:
            raise _invalid_options("ListOptions", faults)
        selection = self._selection(call)
        try:
            number = _version_number(wanted)
        except ValueError as error:
            raise ApiError(500, "", str(error)) from error
        if initial == "true" and number > self.store.version:
            raise too_large_version(number, self.store.version)
        from_start = initial == "true" or (wanted in ("", "0") and initial != "false")
        since = None if from_start else (self.store.version if wanted in ("", "0") else number)
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        timeout_s = _number(query, "timeoutSeconds") or self._rng.uniform(1800, 3600)
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
        format = _format(call.request.accept)
        if format == "Table":
            return self._table_show(call)
        if format == "PartialObjectMetadata":
            return lambda octets: _partial(octets, within_list=False)
        custom = self.registry.custom(call.resource)
        if custom and custom.storage_version != call.resource.version:
            return lambda octets: self._in_served_version(call.resource, octets)
        return None

    def _table_show(self, call: _Call) -> Show:
        is_first = True

        def show(octets: bytes) -> bytes:
            nonlocal is_first
            object = _decode(octets)
            if "uid" not in object["metadata"]:  # a bookmark
                shown = self._table(call, [], with_columns=False, list_metadata=object["metadata"])
                shown["rows"] = []
                return _encode(shown)
            shown = self._table(call, [object], with_columns=is_first)
            is_first = False
            return _encode(shown)

        return show

    def _shown_one(self, call: _Call, status: int, octets: bytes) -> Answer:
        format = _format(call.request.accept)
        if format and status < 300 and not octets.startswith(b'{"kind":"Status"'):
            if format == "Table":
                return _answer(status, self._table(call, [_decode(octets)]))
            return Answer(status, _partial(octets, within_list=False))
        return Answer(status, self._in_served_version(call.resource, octets))

    def _in_served_version(self, resource: Resource, octets: bytes) -> bytes:
        custom = self.registry.custom(resource)
        if custom is None or custom.storage_version == resource.version:
            return octets
        object = _decode(octets)
        if "/" in object.get("apiVersion", ""):
            object["apiVersion"] = resource.group_version
        return _encode(object)

    def _table(self, call: _Call, objects: list[Json], **more: Any) -> Json:
        custom = self.registry.custom(call.resource)
        include = call.request.query.get("includeObject", "Metadata")
        columns = custom.printer_columns if custom else ()
        now_s = self._clock().timestamp()
        return table(call.resource, objects, now_s, include_object=include, printer_columns=columns, **more)

    # Reviews

    def _review(self, request: Request, resource: Resource) -> Answer:
        """Answer who one is and what one may do: everything. A protobuf body need not be read for that."""
        kind = resource.kind
        if request.method != "POST":
            raise method_not_allowed()
        body: Any = {}
        if request.content_type.partition(";")[0] != bodies.PROTOBUF:
            body = bodies.decode_object(request.body, request.content_type)
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        status = {
            "SelfSubjectAccessReview": {"allowed": True, "reason": "whoever has the lab's token may do everything"},
            "SelfSubjectRulesReview": {
                "resourceRules": [everything],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": False,
            },
            "SelfSubjectReview": {
                "userInfo": {"username": "lab", "groups": ["system:masters", "system:authenticated"]}
            },
        }[kind]
        object = {"kind": kind, "apiVersion": resource.group_version, "metadata": {}, "spec": body.get("spec") or {}}
        if kind == "SelfSubjectReview":
            del object["spec"]
        return _answer(201, {**object, "status": status})


class _Page(NamedTuple):
    version: int
    entries: list[Entry]


_AUTHORIZATION = "authorization.k8s.io"
_REVIEWS: dict[tuple[str, str, str], Resource] = {
    (one.group, one.version, one.plural): one
    for one in (
        Resource(
            _AUTHORIZATION,
            "v1",
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            "selfsubjectaccessreview",
            namespaced=False,
        ),
        Resource(
            _AUTHORIZATION,
            "v1",
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
            "selfsubjectrulesreview",
            namespaced=False,
        ),
        Resource(
            "authentication.k8s.io",
            "v1",
            "SelfSubjectReview",
            "selfsubjectreviews",
            "selfsubjectreview",
            namespaced=False,
        ),
    )
}


# The other one is asked for by its path; discovery would say that it can be listed.
_DISCOVERED_REVIEWS = [one for one in _REVIEWS.values() if one.group == _AUTHORIZATION]


# Answers


def _answer(status: int, object: Json, content_type: str = JSON) -> Answer:
    return Answer(status, _encode(object), content_type)


def refusal(error: ApiError) -> Answer:
    """Return the answer that *error* is."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    return Answer(error.status, _encode(error.document()), JSON, headers)


def _no_page() -> Answer:
    return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")


def _list_octets(kind: str, version: str, metadata: Json, items: list[bytes]) -> bytes:
    head = _encode({"kind": kind, "apiVersion": version, "metadata": metadata})
    return b'%s,"items":[%s]}\n' % (head[:-1], b",".join(items))


def _partial(octets: bytes, *, within_list: bool) -> bytes:
    metadata = _decode(octets)["metadata"]
    return _encode({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})


def _format(accept: str) -> str:
    """Return Table or PartialObjectMetadata where a client prefers that, empty where it wants the objects.

    Raises:
        ApiError: It takes nothing that is to be had.
    """
    if not accept or accept == JSON or accept.startswith("*/*"):
        return ""
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        if media not in (JSON, "*/*", "application/*"):
            continue
        given = dict(part.partition("=")[::2] for part in parameters)
        kind = given.get("as", "")
        if not kind:
            return ""
        if given.get("g") == "meta.k8s.io" and given.get("v") == "v1":
            if kind == "Table":
                return "Table"
            if kind.startswith("PartialObjectMetadata"):
                return "PartialObjectMetadata"
    raise ApiError(406, "NotAcceptable", _NOT_ACCEPTABLE, {})


_NOT_ACCEPTABLE = (
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
    "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
    "application/vnd.kubernetes.protobuf;stream=watch"
)


# Parameters


def _options(request: Request, kind: str) -> Options:
    """Return how a write is meant.

    Raises:
        ApiError: A parameter has a value that it cannot have.
    """
    query = request.query
    # An apply has to say who it is; others are known by what they call themselves.
    is_apply = request.content_type.startswith(APPLY_PATCH)
    default_manager = "" if is_apply else request.user_agent.partition("/")[0]
    if not query:
        return Options(manager=default_manager)
    faults = _dry_run_faults([query["dryRun"]] if query.get("dryRun") else [])
    validation = query.get("fieldValidation") or ""
    if validation not in ("", "Ignore", "Warn", "Strict"):
        faults.append(_unsupported("fieldValidation", validation, '"", "Ignore", "Strict", "Warn"'))
    if faults:
        raise _invalid_options(kind, faults)
    return Options(
        dry_run=bool(query.get("dryRun")),
        manager=query.get("fieldManager") or default_manager,
        force=query.get("force") in ("true", "1"),
        validation=validation,
    )


def _deletion(request: Request, given: Json | None = None) -> Deletion:
    """Return how a deletion is meant: by its body, else by its parameters.

    Raises:
        ApiError: One of these has a value that it cannot have.
    """
    options: Json = dict(given or {})
    if given is None:
        if request.body:
            options = bodies.decode_object(request.body, request.content_type)
            kind = options.get("kind", "DeleteOptions")
            if kind != "DeleteOptions":
                raise bad_request(f'unexpected kind "{kind}"; a deletion takes DeleteOptions')
        else:
            options = dict(request.query)
    grace_s = options.get("gracePeriodSeconds")
    dry_run = options.get("dryRun") or request.query.get("dryRun") or []
    dry_run = dry_run if isinstance(dry_run, list) else [dry_run]
    policy = options.get("propagationPolicy") or ""
    orphan = options.get("orphanDependents")
    if orphan is not None:
        policy = policy or ("Orphan" if orphan in (True, "true") else "Background")
    faults = _dry_run_faults(dry_run)
    if policy and policy not in POLICIES:
        supported = '"Foreground", "Background", "Orphan", "nil"'
        faults.append(_unsupported("propagationPolicy", policy, supported))
    if faults:
        raise _invalid_options("DeleteOptions", faults)
    preconditions = options.get("preconditions") or {}
    try:
        grace = int(grace_s) if grace_s not in (None, "") else None
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds: {grace_s} is no whole number") from error
    return Deletion(
        grace, policy, preconditions.get("uid") or "", preconditions.get("resourceVersion") or "", bool(dry_run)
    )


def _dry_run_faults(values: list[Any]) -> list[Fault]:
    if not values or values == ["All"]:
        return []
    shown = _encode(values).decode()
    return [Fault("dryRun", "FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"')]


def _unsupported(field: str, value: str, supported: str) -> Fault:
    return Fault(field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {supported}')


def _invalid_options(kind: str, faults: list[Fault]) -> ApiError:
    return invalid(Resource("meta.k8s.io", "v1", kind, "", ""), "", faults)


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return max(int(text), 0)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def _version_number(text: str) -> int:
    """Return the number of a resourceVersion, 0 where there is none.

    Raises:
        ValueError: It is none; the text says so as the API does.
    """
    if text and not text.isdecimal():
        reason = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ValueError(f'resourceVersion: Invalid value: "{text}": {reason}')
    return int(text or 0)


def _list_faults(match: str, version: str, token: str) -> list[Fault]:
    faults = []
    if match:
        if not version:
            message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            faults.append(Fault("resourceVersionMatch", "FieldValueForbidden", message))
        if token:
            message = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
            faults.append(Fault("resourceVersionMatch", "FieldValueForbidden", message))
        if match not in ("Exact", "NotOlderThan"):
            faults.append(_unsupported("resourceVersionMatch", match, '"Exact", "NotOlderThan", ""'))
        elif match == "Exact" and version == "0":
            message = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            faults.append(Fault("resourceVersionMatch", "FieldValueForbidden", message))
    return faults


def _watch_faults(initial: str, match: str) -> list[Fault]:
    if initial and match != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return [Fault("resourceVersionMatch", "FieldValueForbidden", message)]
    if match and not initial:
        message = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [Fault("resourceVersionMatch", "FieldValueForbidden", message)]
    return []


def _continue_token(version: int, last: str) -> str:
    return base64.urlsafe_b64encode(_encode({"v": "meta.k8s.io/v1", "rv": version, "start": last})).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        value = _decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(value["rv"]), str(value["start"])
    except (binascii.Error, ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
        raise bad_request("continue key is not valid") from error


def _expired_token(version: int, last: str) -> ApiError:
    """A list cannot be gone on with as it was; the token that comes with it goes on with it as it is."""
    error = expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.metadata = {"continue": _continue_token(version, last)}
    return error


# The first objects


def _add_first_objects(rules: Rules) -> None:
    """Create what every cluster has, where it is not there."""
    namespaces = rules.registry.find("", "v1", NAMESPACES)
    services = rules.registry.find("", "v1", "services")
    assert namespaces is not None
    assert services is not None
    for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
        if rules.store.get(NAMESPACES, "", name) is None:
            rules.create(namespaces, "", {"metadata": {"name": name}})
    if rules.store.get("services", "default", "kubernetes") is None:
        service = {
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "clusterIP": "10.96.0.1",
                "clusterIPs": ["10.96.0.1"],
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
        }
        rules.create(services, "default", service)
