"""The connection to an API server: configuration, credentials, TLS, and what is said where it fails."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

import headlessdns
from headlessdns.cluster import client
from headlessdns.cluster.client import ApiClient, connect
from headlessdns.errors import ClusterError
from tests.cluster.api_server import ApiServer, Reply, Stream, status, write_kubeconfig

# A self-signed certificate for the name kubernetes.example, and its key. It vouches for nothing outside these tests.
CERTIFICATE = Path(__file__).with_name("server.pem")


def run(
    talk: Callable[[ApiServer], Awaitable[Any]],
    *,
    script: dict[str, list[Reply | Stream]] | None = None,
    tls: bool = False,
) -> Any:
    """Let *talk* go on beside a server, and return what it returns."""
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)

    async def beside() -> Any:
        async with ApiServer(script, context) as server:
            return await talk(server)

    return asyncio.run(beside())


@asynccontextmanager
async def connected(*arguments: Any, **options: Any) -> AsyncIterator[ApiClient]:
    api = await connect(*arguments, **options)
    try:
        yield api
    finally:
        await api.close()


def complaint(*arguments: Any, **options: Any) -> str:
    """Return the one line that a failing `connect` says."""

    async def attempt() -> None:
        async with connected(*arguments, **options):
            pass

    with pytest.raises(ClusterError) as caught:
        asyncio.run(attempt())
    text = str(caught.value)
    assert "\n" not in text
    return text


async def ask(api: ApiClient, path: str = "/version") -> int:
    async with api.get(path, {}) as reply:
        await reply.body()
        return reply.status


# Kubeconfigs that cannot be used


def whole(cluster: str, user: str = "token: t") -> str:
    """Return a kubeconfig that lacks nothing, with these fields of its cluster and its user."""
    return (
        "{current-context: a, contexts: [{name: a, context: {cluster: k, user: u}}], "
        f"clusters: [{{name: k, cluster: {{{cluster}}}}}], users: [{{name: u, user: {{{user}}}}}]}}"
    )


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        pytest.param("", None, "the file is empty; write one with `kubectl config view --raw`", id="empty"),
        pytest.param("a: [", None, "it is no YAML (", id="no YAML"),
        pytest.param("[1]", None, "it is no kubeconfig (kind: Config); correct --kubeconfig", id="a list"),
        pytest.param("kind: Pod", None, "it is no kubeconfig (kind: Config); correct --kubeconfig", id="a manifest"),
        pytest.param(
            "kind: Config", None, "it names no current-context; it holds no context at all", id="nothing in it"
        ),
        pytest.param(
            "contexts: [{name: b, context: {}}, {name: a, context: {}}]",
            None,
            "it names no current-context; choose one with --context: a, b",
            id="no current context",
        ),
        pytest.param(
            "{current-context: b, contexts: [{name: b, context: {}}, {name: a, context: {}}]}",
            "c",
            "there is no context c; choose one with --context: a, b",
            id="unknown context",
        ),
        pytest.param(
            "{current-context: c, contexts: [{name: a, context: {}}]}",
            None,
            "there is no context c; choose one with --context: a",
            id="unknown current context",
        ),
        pytest.param(
            "{current-context: a, contexts: [{name: a, context: {cluster: k, user: u}}]}",
            None,
            "context a names the cluster k, which is not among its clusters; correct the file",
            id="unknown cluster",
        ),
        pytest.param(
            "{current-context: a, contexts: [{name: a, context: {cluster: k}}], clusters: [{name: k, cluster: {}}]}",
            None,
            "context a names the user (none), which is not among its users; correct the file",
            id="no user",
        ),
        pytest.param(
            whole("server: 'https://127.0.0.1:1', certificate-authority: none.crt"),
            None,
            "context a: there is no such file: ",
            id="no certificate file",
        ),
        pytest.param(
            whole("server: 'https://127.0.0.1:1', certificate-authority-data: bm8="),
            None,
            "its certificates cannot be used: ",
            id="certificate that is none",
        ),
        pytest.param(
            whole("server: 'http://127.0.0.1:1'", "exec: {command: 'false', apiVersion: v}"),
            None,
            "context a: exec: process returned 1; run that command by hand",
            id="exec plugin that fails",
        ),
        pytest.param(
            whole("server: 'http://127.0.0.1:1'", "exec: {command: /none, apiVersion: v}"),
            None,
            "context a: [Errno 2] No such file or directory: '/none'; run that command by hand",
            id="exec plugin that is not there",
        ),
    ],
)
def test_kubeconfig_faults(tmp_path: Path, text: str, context: str | None, expected: str) -> None:
    """A kubeconfig that cannot be used is refused in one line that names the file and says what to do."""
    path = tmp_path / "config"
    path.write_text(text)
    said = complaint(path, context)
    assert said.startswith(f"kubeconfig {path}: {expected}")


def test_missing_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig that is not there is said to be so."""
    assert complaint(tmp_path / "no") == f"kubeconfig {tmp_path}/no: there is no such file; correct --kubeconfig"


def test_unreadable_kubeconfig() -> None:
    """A kubeconfig that cannot be read is said to be so."""
    path = Path("/proc/self/mem")  # nobody may read its first octet, not even root
    assert complaint(path) == f"kubeconfig {path}: Input/output error; correct --kubeconfig"


def test_folder_for_a_kubeconfig(tmp_path: Path) -> None:
    """A folder is said to be one."""
    assert complaint(tmp_path) == f"kubeconfig {tmp_path}: it is a folder; name the file in it"


def test_kubeconfig_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubeconfig that this user may not read is said to be so."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    path = tmp_path / "config"
    assert complaint(path) == f"kubeconfig {path}: Permission denied; grant the right to read it"


def test_outside_of_a_cluster() -> None:
    """Without a kubeconfig and outside of a cluster there is no API server, and the line says what to add."""
    assert complaint(environ={}) == (
        "not in a cluster, and no kubeconfig is given; add --kubeconfig FILE, or --manifests PATH"
    )


def test_pod_without_token(tmp_path: Path) -> None:
    """A pod whose token is not mounted is said to be so."""
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    assert complaint(environ=environ, service_account=tmp_path) == (
        f"{tmp_path}: Service token file does not exist.; let the pod have its token (automountServiceAccountToken), "
        "or add --kubeconfig FILE"
    )


# Servers that cannot be used


def test_nobody_listens(tmp_path: Path) -> None:
    """An API server that is not there is said to be so, and which file says where it should be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}")
    assert complaint(config) == (
        f"http://127.0.0.1:{port} cannot be reached (Connect call failed ('127.0.0.1', {port})); start the API server, "
        f"or correct the server in kubeconfig {config}"
    )


def test_unknown_name(tmp_path: Path) -> None:
    """A server whose name does not resolve is said to be so."""
    config = write_kubeconfig(tmp_path / "config", "http://api.invalid:6443")
    assert complaint(config) == (
        f"http://api.invalid:6443: its name does not resolve; correct the server in kubeconfig {config}"
    )


def test_server_that_is_no_url(tmp_path: Path) -> None:
    """A server that is no URL is said to be so."""
    config = write_kubeconfig(tmp_path / "config", "http://")
    assert complaint(config) == f"http: is no URL; correct the server in kubeconfig {config}"


def test_server_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing is given up after a while."""
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert "does not reply within 10 s; correct the server" in complaint(config)


def test_server_that_hangs_up(tmp_path: Path) -> None:
    """A server that closes the connection without a word is wrapped like every other fault."""

    async def talk(server: ApiServer) -> str:
        with pytest.raises(ClusterError) as caught:
            await connect(write_kubeconfig(tmp_path / "config", server.url))
        return str(caught.value).removeprefix(server.url)

    said = run(talk, script={"/version": [Stream(breaks=True)]})
    assert said == ": the connection broke off (in the middle of a reply)"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<!doctype html><title>Welcome</title>", id="a web page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'["v1"]', id="JSON of another form"),
        pytest.param(b'"\xff"', id="no UTF-8"),
    ],
)
def test_server_of_another_kind(tmp_path: Path, body: bytes) -> None:
    """A server that answers something else than an API server would is said to be none."""

    async def talk(server: ApiServer) -> tuple[str, str]:
        with pytest.raises(ClusterError) as caught:
            await connect(write_kubeconfig(tmp_path / "config", server.url))
        return str(caught.value), server.url

    said, url = run(talk, script={"/version": [Reply(body=body)]})
    assert said == (
        f"{url} answers, but not with JSON as a Kubernetes API does; correct the server in kubeconfig {tmp_path}/config"
    )


def test_refused_credentials(tmp_path: Path) -> None:
    """Credentials that the server refuses are said to be so."""

    async def talk(server: ApiServer) -> tuple[str, str]:
        server.tokens = {"other"}
        with pytest.raises(ClusterError) as caught:
            await connect(write_kubeconfig(tmp_path / "config", server.url))
        return str(caught.value), server.url

    said, url = run(talk)
    assert said == (
        f"{url} refuses the credentials of kubeconfig {tmp_path}/config (401); renew its token or client certificate"
    )


def test_forbidden_version_is_contact(tmp_path: Path) -> None:
    """A server that shows its version to nobody is there all the same."""

    async def talk(server: ApiServer) -> None:
        async with connected(write_kubeconfig(tmp_path / "config", server.url)) as api:
            assert await ask(api) == 403

    run(talk, script={"/version": [status(403, "no")]})


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        pytest.param({}, "self-signed certificate", id="unknown authority"),
        pytest.param(
            {"certificate-authority": str(CERTIFICATE)},
            "IP address mismatch, certificate is not valid for '127.0.0.1'.",
            id="another name",
        ),
    ],
)
def test_certificate_that_is_not_trusted(tmp_path: Path, cluster: dict[str, object], reason: str) -> None:
    """A certificate that is not trusted is said to be so, with the reason and what to set."""

    async def talk(server: ApiServer) -> tuple[str, str]:
        with pytest.raises(ClusterError) as caught:
            await connect(write_kubeconfig(tmp_path / "config", server.url, **cluster))
        return str(caught.value), server.url

    said, url = run(talk, tls=True)
    assert said == (
        f"{url}: its certificate is not trusted ({reason}); correct certificate-authority or server in kubeconfig "
        f"{tmp_path}/config, or set tls-server-name where only the name differs"
    )


def test_server_without_tls(tmp_path: Path) -> None:
    """A server that speaks no TLS where it is expected is said to be so."""

    async def talk(server: ApiServer) -> str:
        with pytest.raises(ClusterError) as caught:
            await connect(write_kubeconfig(tmp_path / "config", server.url.replace("http:", "https:")))
        return str(caught.value)

    said = run(talk)
    assert ": TLS fails (" in said
    assert said.endswith(f"correct the server or the certificates in kubeconfig {tmp_path}/config")


# Servers that can be used


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(
            {"certificate-authority": str(CERTIFICATE), "tls-server-name": "kubernetes.example"}, id="tls-server-name"
        ),
        pytest.param({"insecure-skip-tls-verify": True}, id="insecure-skip-tls-verify"),
    ],
)
def test_tls(tmp_path: Path, cluster: dict[str, object]) -> None:
    """TLS is spoken as the kubeconfig says."""

    async def talk(server: ApiServer) -> None:
        async with connected(write_kubeconfig(tmp_path / "config", server.url, **cluster)) as api:
            assert await ask(api) == 200

    run(talk, tls=True)


def test_context(tmp_path: Path) -> None:
    """A context that is named takes the place of the current one."""

    async def talk(server: ApiServer) -> None:
        path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
        config = json.loads(path.read_text())
        config["clusters"].append({"name": "other", "cluster": {"server": server.url}})
        config["contexts"].append({"name": "other", "context": {"cluster": "other", "user": "main"}})
        path.write_text(json.dumps(config))
        async with connected(path, "other") as api:
            assert api.host == server.url

    run(talk)


def test_headers(tmp_path: Path) -> None:
    """Requests carry the token and our name, and ask for plain JSON."""

    async def talk(server: ApiServer) -> None:
        async with connected(write_kubeconfig(tmp_path / "config", server.url)):
            [asked] = server.asked
        assert asked.path == "/version"
        assert asked.headers["Authorization"] == "Bearer secret"
        assert asked.headers["User-Agent"] == f"headlessdns/{headlessdns.__version__}"
        assert asked.headers["Accept"] == "application/json"
        assert asked.headers["Accept-Encoding"] == "identity"

    run(talk)


def test_connections_are_kept_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection has TCP keep-alive, so that a server that is gone without a word is noticed."""
    made: list[socket.socket] = []
    original = client._socket
    monkeypatch.setattr(client, "_socket", lambda address: made.append(original(address)) or made[-1])

    async def talk(server: ApiServer) -> None:
        async with connected(write_kubeconfig(tmp_path / "config", server.url)) as api:
            assert await ask(api) == 200
            [used] = made
            assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30

    run(talk)


# New credentials


def in_cluster(folder: Path, port: int) -> dict[str, Any]:
    (folder / "token").write_text("old")
    (folder / "ca.crt").write_bytes(CERTIFICATE.read_bytes())
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    return {"environ": environ, "service_account": folder}


def test_service_account(tmp_path: Path) -> None:
    """In a cluster the pod's token and CA are used; after 401 the token is read again."""

    async def talk(server: ApiServer) -> None:
        async with connected(check=False, **in_cluster(tmp_path, server.port)) as api:
            # The certificate of this test has a name and no address.
            api._configuration.tls_server_name = "kubernetes.example"
            server.tokens = {"old"}
            assert (api.host, await ask(api)) == (server.url, 200)
            server.tokens = {"new"}
            (tmp_path / "token").write_text("new")
            assert await ask(api) == 401
            await api.reauthenticate()
            assert await ask(api) == 200

    run(talk, tls=True)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(b"one\ntwo", "no request can be made with it: .*; take line breaks out of its token", id="lines"),
        pytest.param(b"\xff", "its token cannot be read again: .*can't decode byte 0xff", id="no text"),
        pytest.param(b"", "its token cannot be read again: Token file exists but empty", id="empty"),
    ],
)
def test_token_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: bytes, reason: str) -> None:
    """A token file that holds no token later is told, and the next token in it is taken."""

    class Impatient(InClusterConfigLoader):  # type: ignore[misc]  # it carries no types
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._token_refresh_period = timedelta(0)

    monkeypatch.setattr(client, "_InClusterConfigLoader", Impatient)

    async def talk(server: ApiServer) -> None:
        async with connected(check=False, **in_cluster(tmp_path, server.port)) as api:
            api._configuration.tls_server_name = "kubernetes.example"
            (tmp_path / "token").write_bytes(octets)
            with pytest.raises(ClusterError, match=f"the ServiceAccount in {tmp_path}: {reason}"):
                await ask(api)
            (tmp_path / "token").write_text("new")
            server.tokens = {"new"}
            assert await ask(api) == 200

    run(talk, tls=True)


def plugin(folder: Path, tokens: list[str]) -> dict[str, object]:
    """Return the `exec` part of a kubeconfig: a program that gives the next of *tokens* at each start."""
    for number, token in enumerate(tokens):
        (folder / f"token-{number}").write_text(
            json.dumps(
                {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
            )
        )
    program = folder / "plugin"
    program.write_text(f'#!/bin/sh\ncd {folder}\necho >> starts\nexec cat "token-$(($(wc -l < starts) - 1))"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"command": str(program), "apiVersion": "client.authentication.k8s.io/v1"}}


def test_exec_plugin(tmp_path: Path) -> None:
    """An exec plugin gives the token, and after 401 it is run again, once for all watches that meet it."""

    async def talk(server: ApiServer) -> None:
        config = write_kubeconfig(tmp_path / "config", server.url, plugin(tmp_path, ["one", "two"]))
        server.tokens = {"one"}
        async with connected(config) as api:
            server.tokens = {"two"}
            assert await ask(api) == 401
            await asyncio.gather(*(api.reauthenticate() for _ in range(5)))
            assert await ask(api) == 200
        assert (tmp_path / "starts").read_text() == "\n\n"

    run(talk)


def test_credentials_that_cannot_be_read_again(tmp_path: Path) -> None:
    """A kubeconfig that is broken later is told, and what was read before stays in use."""

    async def talk(server: ApiServer) -> None:
        config = write_kubeconfig(tmp_path / "config", server.url)
        async with connected(config) as api:
            config.write_text("")
            with pytest.raises(ClusterError, match="the file is empty"):
                await api.reauthenticate()
            assert await ask(api) == 200

    run(talk)


def test_client_certificate(tmp_path: Path) -> None:
    """A client certificate is read again with the other credentials, and a broken one is told."""

    async def talk(server: ApiServer) -> None:
        certificate = tmp_path / "client.pem"
        certificate.write_bytes(CERTIFICATE.read_bytes())
        user = {"client-certificate": str(certificate), "client-key": str(certificate)}
        options = {"certificate-authority": str(CERTIFICATE), "tls-server-name": "kubernetes.example"}
        async with connected(write_kubeconfig(tmp_path / "config", server.url, user, **options)) as api:
            await api.reauthenticate()
            assert await ask(api) == 200
            certificate.write_text("broken")
            api._renewed_s = -10.0
            with pytest.raises(ClusterError, match="its client certificate cannot be used"):
                await api.reauthenticate()

    run(talk, tls=True)


def test_time_limit_of_the_caller_passes(tmp_path: Path) -> None:
    """A time limit around a request stays a TimeoutError: the caller set it and knows what it means."""

    async def talk(server: ApiServer) -> None:
        async with connected(write_kubeconfig(tmp_path / "config", server.url)) as api:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), api.get("/silent", {}) as reply:
                    await reply.body()

    run(talk, script={"/silent": [Stream()]})
