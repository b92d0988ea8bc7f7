"""The connection to an API server: configuration, credentials and TLS of the `kubernetes` package, raw replies.

Does network and file I/O. Foreign errors end here: each becomes a `ClusterError` whose one line says what to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
import msgspec
import yaml
from kubernetes.aio.client import ApiClient as _UntypedClient
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config import load_kube_config as _untyped_load
from kubernetes.aio.config.incluster_config import InClusterConfigLoader as _UntypedLoader

from headlessdns import __version__
from headlessdns.cluster.answer import REQUEST_TIMEOUT_S, Answer
from headlessdns.errors import ClusterError

CONNECT_TIMEOUT_S = 10.0
KEEP_ALIVE_IDLE_S, KEEP_ALIVE_INTERVAL_S, KEEP_ALIVE_PROBES = 30, 10, 3  # a dead peer is noticed within a minute
FAREWELL_S = 0.5
RENEWED_LATELY_S = 1.0  # several watches meet the end of one token at once
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

# What the loaders raise for a kubeconfig that is no kubeconfig: they read its fields unchecked.
_LOADER_ERRORS = (ConfigException, OSError, yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError)

# These carry no types.
_KubernetesClient: Any = _UntypedClient
_InClusterConfigLoader: Any = _UntypedLoader
_load_kube_config: Any = _untyped_load

_Load = Callable[[Configuration], Awaitable[None]]


class Reply:
    """A reply whose body comes in chunks.

    Attributes:
        status: The HTTP status.
        retry_after: The header of that name, empty where there is none.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.retry_after = response.headers.get("Retry-After", "")
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; how it is cut means nothing."""
        async for chunk in self._response.content.iter_any():
            yield chunk

    async def body(self) -> bytes:
        """Return the whole body."""
        return await self._response.read()


class ApiClient:
    """One API server, with the credentials to ask it.

    Attributes:
        host: Its URL.
    """

    def __init__(self, configuration: Configuration, load: _Load, source: str) -> None:
        """Take a loaded *configuration*; *load* fills one again, and *source* names where it comes from.

        Raises:
            ClusterError: The certificates in it cannot be used.
        """
        # Python 3.13 refuses certificates without an authority key identifier, which clusters have and Go accepts.
        configuration.disable_strict_ssl_verification = True
        try:
            self._client = _KubernetesClient(configuration)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ClusterError(f"{source}: its certificates cannot be used: {error}; correct them") from error
        self._client.user_agent = f"headlessdns/{__version__}"
        self._client.set_default_header("Accept", "application/json")
        # Compressing costs more CPU on both sides than it saves within a data centre.
        self._client.set_default_header("Accept-Encoding", "identity")
        self.host = str(configuration.host)
        self._configuration = configuration
        self._connector: aiohttp.TCPConnector | None = None
        self._proxy = _proxy_of_environment(self.host)
        self._load = load
        self._source = source
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._renewal = asyncio.Lock()
        self._renewed_s = -RENEWED_LATELY_S

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Reply]:
        """Send a GET and give its reply, whatever its status. Only connecting has a time limit.

        Raises:
            ClusterError: There was no reply, or its body broke off; the body of the ``async with`` may raise it too.
        """
        response = await self._send(path, query)
        try:
            yield Reply(response)
        except (aiohttp.ClientError, OSError) as error:
            raise ClusterError(self._explain(error)) from error
        finally:
            _hang_up(response)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Answer:
        """Send one request and return its whole answer, whatever its status.

        Args:
            method: POST, PUT, PATCH, DELETE or GET.
            path: From the root of the API server.
            body: What is sent as JSON, or None; octets are sent as they are.
            query: Parameters, not yet encoded.
            content_type: The kind of a patch.
            timeout_s: For all of it; connecting included.

        Raises:
            ClusterError: There was no answer in time, or it broke off. The server may have done it all the same.
        """
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._send(path, query or {}, method, body, content_type)
                try:
                    return Answer(response.status, response.headers.get("Retry-After", ""), await response.read())
                finally:
                    _hang_up(response)
        except TimeoutError as error:
            raise ClusterError(f"{self.host} does not answer {method} {path} within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ClusterError(self._explain(error)) from error

    async def _send(
        self, path: str, query: Mapping[str, str], method: str = "GET", body: Any = None, content_type: str = ""
    ) -> aiohttp.ClientResponse:
        """Send a request and return what is known once its headers are there.

        Raises:
            ClusterError: There was no reply.
        """
        try:
            # Looks whether the token is still good, and reads it again from its file, or from the exec plugin.
            method, url, headers, _, _ = await self._client.param_serialize(
                method, path, query_params=list(query.items()), auth_settings=["BearerToken"]
            )
            if content_type:
                headers["Content-Type"] = content_type
        except _LOADER_ERRORS as error:
            raise ClusterError(f"{self._source}: its token cannot be read again: {_reason(error)}") from error
        self._keep_connections_alive()
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        try:
            response: aiohttp.ClientResponse = await self._session().request(
                method, url, data=_octets(body), headers=headers, timeout=timeout, **self._options()
            )
        except (aiohttp.ClientError, OSError) as error:
            raise ClusterError(self._explain(error)) from error
        except ValueError as error:  # aiohttp does not send a header of several lines
            remedy = "take line breaks out of its token"
            raise ClusterError(f"{self._source}: no request can be made with it: {error}; {remedy}") from error
        return response

    def _session(self) -> aiohttp.ClientSession:
        """Return the session of the `kubernetes` package; its own requests would write a body anew as other octets."""
        rest = self._client.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()
        session: aiohttp.ClientSession = rest.pool_manager
        return session

    def _options(self) -> dict[str, Any]:
        rest = self._client.rest_client
        options = {
            "server_hostname": self._configuration.tls_server_name,
            "proxy": rest.proxy or self._proxy,
            "proxy_headers": rest.proxy_headers,
        }
        return {name: value for name, value in options.items() if value}

    async def check(self) -> None:
        """Make sure that the server replies and takes the credentials.

        Raises:
            ClusterError: It does not, and what to do.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S), self.get("/version", {}) as reply:
                body = await reply.body()
        except TimeoutError as error:
            raise ClusterError(self._explain(error)) from error
        if reply.status == 401:
            raise ClusterError(
                f"{self.host} refuses the credentials of {self._source} (401); renew its token or client certificate"
            )
        if reply.status == 200 and not _is_mapping(body):
            raise ClusterError(
                f"{self.host} answers, but not with JSON as a Kubernetes API does; correct the server in {self._source}"
            )

    async def reauthenticate(self) -> None:
        """Read the credentials again: token files, the kubeconfig, the exec plugin.

        Raises:
            ClusterError: They cannot be read.
        """
        async with self._renewal:
            if time.monotonic() - self._renewed_s < RENEWED_LATELY_S:
                return
            fresh = Configuration()
            await self._load(fresh)
            self._configuration.api_key.update(fresh.api_key)
            if fresh.cert_file:
                try:
                    self._client.rest_client.ssl_context.load_cert_chain(fresh.cert_file, fresh.key_file)
                except OSError as error:
                    raise ClusterError(f"{self._source}: its client certificate cannot be used: {error}") from error
            self._renewed_s = time.monotonic()

    async def close(self) -> None:
        """Close every connection.

        A request that was cancelled before its reply began says farewell to the server by TLS, for which aiohttp does
        not wait; a moment is given to that, so that nothing outlives the loop.
        """
        await self._client.close()
        if self._connector is not None:
            await self._connector.close()
        end_s = time.monotonic() + FAREWELL_S
        while any(made.fileno() >= 0 for made in self._sockets) and time.monotonic() < end_s:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.005)

    def _keep_connections_alive(self) -> None:
        """Give the client our connector, once: its own has no TCP keep-alive. Needs a running loop."""
        if self._connector is None:
            context = self._client.rest_client.ssl_context
            self._connector = aiohttp.TCPConnector(limit=0, ssl=context, socket_factory=self._socket)
            # With `trust_env` aiohttp reads the environment and ~/.netrc in a thread, twice for each request.
            self._configuration.client_session_kwargs = {
                "connector": self._connector,
                "trust_env": False,
                "cookie_jar": aiohttp.DummyCookieJar(),
            }

    def _socket(self, address: Any) -> socket.socket:
        made = _socket(address)
        self._sockets.add(made)
        return made

    def _explain(self, error: Exception) -> str:
        """Return one line that says what happened and what to do."""
        for kind, text in _EXPLANATIONS.items():
            if isinstance(error, kind):
                return text.format(host=self.host, reason=_reason(error), source=self._source)
        return f"{self.host}: {type(error).__name__}: {_reason(error)}"


_EXPLANATIONS: dict[type[Exception], str] = {  # the first that fits counts
    aiohttp.ClientConnectorCertificateError: (
        "{host}: its certificate is not trusted ({reason}); correct certificate-authority or server in {source}, "
        "or set tls-server-name where only the name differs"
    ),
    aiohttp.ClientConnectorDNSError: "{host}: its name does not resolve; correct the server in {source}",
    aiohttp.ClientConnectorSSLError: "{host}: TLS fails ({reason}); correct the server or the certificates in {source}",
    aiohttp.ClientConnectorError: (
        "{host} cannot be reached ({reason}); start the API server, or correct the server in {source}"
    ),
    aiohttp.ClientOSError: "{host}: the connection broke off ({reason})",
    aiohttp.ServerDisconnectedError: "{host}: the connection broke off ({reason})",
    aiohttp.ClientPayloadError: "{host}: the connection broke off ({reason})",
    aiohttp.InvalidURL: "{host} is no URL; correct the server in {source}",
    TimeoutError: f"{{host}} does not reply within {CONNECT_TIMEOUT_S:.0f} s; correct the server in {{source}}, "
    "or let the network through",
}


def _is_mapping(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _proxy_of_environment(url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for *url*, as kubectl has it."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def _octets(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End a reply that may have more to come; a body read to its end has given its connection back already."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()  # a farewell of TLS would wait for the server's, and outlive the loop
    response.close()


def _reason(error: Exception) -> str:
    """Return what the system says about *error*, without the library's words around it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, aiohttp.ClientPayloadError):
        return "in the middle of a reply"  # the library says it with the name of an error and a status that nobody sent
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = text.replace("File does not exists", "there is no such file")  # as the kubernetes package has it
    return " ".join(text.split())


def _socket(address: Any) -> socket.socket:
    """Return a socket for *address* (as of ``getaddrinfo``) that notices a peer that is gone without a word."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE_OPTIONS:
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


_KEEP_ALIVE_OPTIONS = [
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_ALIVE_IDLE_S),  # Linux; elsewhere the system's own idle time stands
        ("TCP_KEEPINTVL", KEEP_ALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEP_ALIVE_PROBES),
    )
    if hasattr(socket, name)
]


# Configuration


async def connect(
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    check: bool = True,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> ApiClient:
    """Return a client for the API server of *kubeconfig*, or of the cluster that this runs in.

    Args:
        kubeconfig: A file; None means the ServiceAccount that Kubernetes gives to a pod.
        context: A context in that file; None means its current one.
        check: Whether to ask the server once, so that faults are told here.
        environ: Where a pod's KUBERNETES_SERVICE_HOST stands.
        service_account: Where a pod's token and CA certificate are.

    Raises:
        ClusterError: It cannot be used; one line that says what to do.
    """
    if kubeconfig is None:
        load, source = _in_cluster(environ, service_account), f"the ServiceAccount in {service_account}"
    else:
        load, source = _from_kubeconfig(kubeconfig, context), f"kubeconfig {kubeconfig}"
    configuration = Configuration()
    await load(configuration)
    client = ApiClient(configuration, load, source)
    if check:
        try:
            await client.check()
        except BaseException:
            await client.close()
            raise
    return client


def _in_cluster(environ: Mapping[str, str], service_account: Path) -> _Load:
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        raise ClusterError("not in a cluster, and no kubeconfig is given; add --kubeconfig FILE, or --manifests PATH")
    loader = _InClusterConfigLoader(str(service_account / "token"), str(service_account / "ca.crt"), environ=environ)

    async def load(configuration: Configuration) -> None:
        try:
            loader.load_and_set(configuration)
        except _LOADER_ERRORS as error:
            remedy = "let the pod have its token (automountServiceAccountToken), or add --kubeconfig FILE"
            raise ClusterError(f"{service_account}: {_reason(error)}; {remedy}") from error

    return load


def _from_kubeconfig(kubeconfig: Path, context: str | None) -> _Load:
    async def load(configuration: Configuration) -> None:
        wanted = _check_kubeconfig(kubeconfig, context)
        try:
            with _errors_of_plugins() as complaints:
                loader = await _load_kube_config(str(kubeconfig), wanted, configuration, persist_config=False)
        except _LOADER_ERRORS as error:
            raise ClusterError(
                f"kubeconfig {kubeconfig}: context {wanted}: {_reason(error)}; correct the file"
            ) from error
        if complaints and not {"token", "cert_file"} & {name for name, value in vars(loader).items() if value}:
            raise ClusterError(f"kubeconfig {kubeconfig}: context {wanted}: {complaints[0]}; run that command by hand")

    return load


def _check_kubeconfig(kubeconfig: Path, context: str | None) -> str:
    """Return the context to use.

    Raises:
        ClusterError: The file or the context cannot be used.
    """
    document = _read_kubeconfig(kubeconfig)
    contexts = {
        str(entry["name"]): entry.get("context") or {}
        for entry in document.get("contexts") or ()
        if isinstance(entry, dict) and "name" in entry
    }
    choice = f"choose one with --context: {', '.join(sorted(contexts))}" if contexts else "it holds no context at all"
    wanted = context or document.get("current-context")
    if not wanted:
        raise ClusterError(f"kubeconfig {kubeconfig}: it names no current-context; {choice}")
    if wanted not in contexts:
        raise ClusterError(f"kubeconfig {kubeconfig}: there is no context {wanted}; {choice}")
    for role, section in (("cluster", "clusters"), ("user", "users")):
        name = contexts[wanted].get(role)
        if name not in [entry.get("name") for entry in document.get(section) or () if isinstance(entry, dict)]:
            raise ClusterError(
                f"kubeconfig {kubeconfig}: context {wanted} names the {role} {name or '(none)'}, which is not among "
                f"its {section}; correct the file"
            )
    return str(wanted)


def _read_kubeconfig(kubeconfig: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(kubeconfig.read_bytes())
    except FileNotFoundError as error:
        raise ClusterError(f"kubeconfig {kubeconfig}: there is no such file; correct --kubeconfig") from error
    except IsADirectoryError as error:
        raise ClusterError(f"kubeconfig {kubeconfig}: it is a folder; name the file in it") from error
    except PermissionError as error:
        raise ClusterError(f"kubeconfig {kubeconfig}: {error.strerror}; grant the right to read it") from error
    except OSError as error:
        raise ClusterError(f"kubeconfig {kubeconfig}: {error.strerror}; correct --kubeconfig") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ClusterError(f"kubeconfig {kubeconfig}: it is no YAML ({reason}); correct the file") from error
    if not document:
        raise ClusterError(f"kubeconfig {kubeconfig}: the file is empty; write one with `kubectl config view --raw`")
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise ClusterError(f"kubeconfig {kubeconfig}: it is no kubeconfig (kind: Config); correct --kubeconfig")
    return document


@contextmanager
def _errors_of_plugins() -> Any:
    """Collect what the loader only logs: that an exec plugin failed."""
    complaints: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            complaints.append(" ".join(record.getMessage().split()))
        return record.levelno < logging.ERROR

    logger = logging.getLogger("kubernetes.aio.config.kube_config")
    logger.addFilter(keep)
    try:
        yield complaints
    finally:
        logger.removeFilter(keep)
