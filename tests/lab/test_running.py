"""A whole lab in one process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headlessdns.config import Listen
from headlessdns.errors import HeadlessDNSError, InputError, ManifestError
from headlessdns.lab import running
from headlessdns.lab.running import LabConfig, Running
from headlessdns.lab.view import Change, Row

ROOT = Path(__file__).parents[2]
NGINX = str(ROOT / "config" / "examples" / "nginx.yaml")
QUICK: dict[str, Any] = {"start_delay_s": 0.0, "ready_delay_s": 0.0}
ALL = frozenset(running.PARTS)


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubeconfigs go into a folder of the test's own."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def lab(
    *manifests: str | Path, on_change: Callable[[list[Change]], None] = lambda changes: None, **more: Any
) -> Running:
    config: dict[str, Any] = {"manifests": tuple(map(str, manifests)), "dns": Listen("127.0.0.1", 0), **QUICK, **more}
    return Running(LabConfig(**config), on_change)


def own_folder(folder: Path) -> Path:
    return folder / f"headlessdns-lab-{os.getuid()}"


def test_from_manifest_to_answer(tmp_path: Path) -> None:
    """A StatefulSet that is applied at the start comes up in order, and each row ends with what the DNS answers."""

    async def run() -> list[Row]:
        told: list[Row] = []
        done = asyncio.Event()

        def take(changes: list[Change]) -> None:
            told.extend(one for one in changes if isinstance(one, Row))
            if told and told[-1].pod == "web-1" and told[-1].answer == told[-1].address != "":
                done.set()

        async with lab(NGINX, on_change=take) as one:
            assert one.applied.created == ["service/nginx", "statefulset/web"]
            async with asyncio.timeout(30):
                await done.wait()
            assert one.kubeconfig == own_folder(tmp_path) / f"process-{os.getpid()}.kubeconfig"
            assert stat.S_IMODE(one.kubeconfig.stat().st_mode) == 0o600
            assert stat.S_IMODE(one.kubeconfig.parent.stat().st_mode) == 0o700
            assert json.loads(one.kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == one.api.url
        return told

    told = asyncio.run(run())
    first_ready = {row.pod: number for number, row in reversed(list(enumerate(told))) if row.ready}
    assert first_ready["web-0"] < next(number for number, row in enumerate(told) if row.pod == "web-1" and row.phase)
    assert told[0].pod == "web-0"
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_the_api(tmp_path: Path) -> None:
    """Each part can be left out: without all of them there is an API, and pods stay as they were made."""

    async def run() -> None:
        async with lab(NGINX, without=ALL) as one:
            assert one.dns is None
            assert [row.waits_for for group in one.view.groups() for row in group.rows] == [
                "is to be created",
                "waits for web-0",
            ]
            for what in ("nodes", "serviceaccounts", "configmaps"):
                answer = await one.api.client().request("GET", f"/api/v1/{what}")
                assert json.loads(answer.body)["items"] == []

    asyncio.run(run())


def test_a_part_that_ends_is_seen() -> None:
    """A part that fails takes the lab with it, and its error is raised; a lab that is left ends its parts in order."""
    ended: list[str] = []

    async def fail() -> None:
        raise ConnectionError("no more")

    async def last(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(name)

    async def run(part: Any) -> None:
        async with lab(without=ALL) as one:
            one._run("other", last("other"))
            one._run("the part", part)
            async with asyncio.timeout(10):
                await one.until(asyncio.Event())

    with pytest.raises(ConnectionError, match="no more"):
        asyncio.run(run(fail()))
    with pytest.raises(AssertionError, match="the part has ended"):
        asyncio.run(run(asyncio.sleep(0)))
    assert ended == ["other", "other"]


def test_the_dns_ends_before_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that leave in order have the API until they are gone, and one that does not leave is not waited for."""
    monkeypatch.setattr(running, "_LEAVING_S", 0.1)
    seen: list[str] = []

    async def dns(one: Running) -> None:
        await one._leave.wait()
        answer = await one.api.client().request("GET", "/api/v1/namespaces/default")
        seen.append(f"{answer.status}, kubeconfig {'there' if one.kubeconfig.exists() else 'gone'}")

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")

    async def run() -> None:
        async with lab(without=ALL) as one:
            one._run("the DNS", dns(one))
            one._run("the controller", stubborn())
            await asyncio.sleep(0)

    asyncio.run(run())
    assert seen == ["200, kubeconfig gone", "cancelled"]


def test_leaving_in_the_middle_of_the_start(tmp_path: Path) -> None:
    """A start that is broken off, wherever that is, leaves no task and no file behind."""

    async def run(steps: int) -> bool:
        one = lab(NGINX, without=frozenset({"dns"}))
        starting = asyncio.create_task(one.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        is_done = starting.done()
        starting.cancel()
        await asyncio.wait([starting])
        if is_done:
            await one.__aexit__(None, None, None)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return is_done

    asyncio.run(run(0))
    for steps in (1, 3, 6, 10, 20, 40, 80):
        asyncio.run(run(steps))
        assert list(tmp_path.iterdir()) == []


BROKEN = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n"


def test_faults_of_all_files_at_once(tmp_path: Path) -> None:
    """A file that is no YAML, one that is not there and one with an unknown field are told together."""
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "b.yaml").write_text(BROKEN)

    async def run() -> None:
        async with lab(tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"):
            pass

    with pytest.raises(ManifestError) as caught:
        asyncio.run(run())
    assert [str(fault).partition(": found")[0] for fault in caught.value.faults] == [
        f"{tmp_path / 'c.yaml'}",
        f"{tmp_path / 'a.yaml'}:2: document 1",
        f"{tmp_path / 'b.yaml'}:4: document 1: spec.prots",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "b.yaml"]


def test_faults_leave_the_state_alone(tmp_path: Path) -> None:
    """Of manifests with a fault nothing is kept in the state file, not even what is right."""
    (tmp_path / "b.yaml").write_text(f"{BROKEN}---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: right}}}}")

    async def start(*manifests: Path) -> list[str]:
        async with lab(*manifests, state=tmp_path / "lab.db", without=ALL) as one:
            return [entry.name for entry in one.api.store.entries("configmaps") if entry.namespace == "default"]

    with pytest.raises(ManifestError):
        asyncio.run(start(tmp_path / "b.yaml"))
    assert "right" not in asyncio.run(start())


def test_state_survives(tmp_path: Path) -> None:
    """With a state file the sets of the last time are there, are applied again, and come up without being made anew."""

    async def run() -> tuple[list[str], list[str], str]:
        async with lab(NGINX, state=tmp_path / "lab.db", without=ALL) as one:
            [entry] = one.api.store.entries("statefulsets.apps")
            return one.applied.created, one.applied.configured, entry.uid

    created, configured, uid = asyncio.run(run())
    assert (created, configured) == (["service/nginx", "statefulset/web"], [])
    assert asyncio.run(run()) == ([], ["service/nginx", "statefulset/web"], uid)


def a_link(path: Path) -> None:
    path.symlink_to("/dev/full")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a kubeconfig of a cluster": (
        lambda path: path.write_text("apiVersion: v1\nkind: Config\nclusters: [{name: lab}]\n"),
        "found a file that no lab has written, which would be lost; expected no file yet, or one of an earlier lab",
    ),
    "one in JSON": (
        lambda path: path.write_text('{"clusters": [{"name": "lab"}, {"name": "production"}]}'),
        "found a file that no lab has written",
    ),
    "other octets": (lambda path: path.write_bytes(b"\xff\xfe"), "found a file that cannot be read"),
    "a folder": (lambda path: path.mkdir(), "found a folder"),
    "a pipe": (os.mkfifo, "found a device, pipe or socket"),
    "a device that never ends": (a_link, "found a device, pipe or socket"),
}


@pytest.mark.parametrize(("make", "expected"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_kubeconfig(make: Callable[[Path], object], expected: str, tmp_path: Path) -> None:
    """What is no kubeconfig of a lab is never written over, nor removed."""
    path = tmp_path / "config"
    make(path)
    before = path.lstat()

    async def run() -> None:
        async with lab(kubeconfig=path, without=ALL):
            pass

    with pytest.raises(InputError) as caught:
        asyncio.run(run())
    assert str(caught.value).startswith(f"--kubeconfig {path}: {expected}")
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


def test_kubeconfig_where_it_cannot_be(tmp_path: Path) -> None:
    """A folder that is not there is told."""

    async def run() -> None:
        async with lab(kubeconfig=tmp_path / "none" / "config", without=ALL):
            pass

    with pytest.raises(InputError, match="none/config: found No such file or directory; expected a place to write to"):
        asyncio.run(run())


def test_kubeconfig_of_a_later_lab_stays(tmp_path: Path) -> None:
    """A lab writes over the kubeconfig of an earlier one, which leaves it alone when it ends."""

    async def run() -> None:
        path = tmp_path / "config"
        async with lab(kubeconfig=path, without=ALL):
            later = lab(kubeconfig=path, without=ALL)
            await later.__aenter__()
        assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == later.api.url
        await later.__aexit__(None, None, None)
        assert not path.exists()

    asyncio.run(run())


NAMES = {
    "the usual address": (Listen("127.0.0.1", 1053), frozenset[str](), "1053"),
    "another address": (Listen("127.0.0.2", 1053), frozenset[str](), "127.0.0.2-1053"),
    "IPv6": (Listen("::1", 1053), frozenset[str](), "__1-1053"),
    "any port": (Listen("127.0.0.1", 0), frozenset[str](), f"process-{os.getpid()}"),
    "no DNS": (Listen("127.0.0.1", 1053), frozenset({"dns"}), f"process-{os.getpid()}"),
}


@pytest.mark.parametrize(("dns", "without", "expected"), NAMES.values(), ids=NAMES.keys())
def test_name_of_the_kubeconfig(dns: Listen, without: frozenset[str], expected: str) -> None:
    """Labs that can run side by side have kubeconfigs of different names; the same again has the same."""
    assert running._name_of(LabConfig(dns=dns, without=without)) == expected


def test_what_killed_labs_left_is_swept(tmp_path: Path) -> None:
    """The kubeconfig of a process that is no more is removed by the next lab, that of one that lives is not."""
    folder = own_folder(tmp_path)
    folder.mkdir(mode=0o700)
    process = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(process, 0)
    for name in (f"process-{process}", f"process-{os.getppid()}", "1053", "process-x"):
        (folder / f"{name}.kubeconfig").touch()

    async def run() -> None:
        async with lab(without=ALL):
            pass

    asyncio.run(run())
    assert sorted(path.stem for path in folder.iterdir()) == sorted([f"process-{os.getppid()}", "1053", "process-x"])


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_folder_of_somebody_else(kind: str, tmp_path: Path) -> None:
    """A folder that others could look into is not used: the kubeconfig would be theirs."""
    folder = own_folder(tmp_path)
    if kind == "open to others":
        folder.mkdir()
        folder.chmod(0o755)
    elif kind == "a link":
        folder.symlink_to(tmp_path)
    else:
        folder.touch()

    async def run() -> None:
        async with lab(without=ALL):
            pass

    with pytest.raises(HeadlessDNSError, match="say where to write with --kubeconfig FILE"):
        asyncio.run(run())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_busy_dns_port(kind: socket.SocketKind, tmp_path: Path) -> None:
    """A port that is taken is told with the flag that chooses another, and nothing is left behind."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]

        async def run() -> None:
            async with lab(dns=Listen("127.0.0.1", port)):
                pass

        with pytest.raises(HeadlessDNSError) as caught:
            asyncio.run(run())
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: another server is there; stop it, or choose another port with --dns"
    )
    assert list(tmp_path.iterdir()) == []


def test_busy_api_port() -> None:
    """So is the port of the API."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def run() -> None:
            async with lab(api=Listen("127.0.0.1", port)):
                pass

        with pytest.raises(HeadlessDNSError) as caught:
            asyncio.run(run())
    assert str(caught.value) == (
        f"cannot serve the API at 127.0.0.1 port {port}: Address already in use; choose another with --api, or port 0"
    )


def test_too_busy_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that does not come up within its time ends, and says so."""
    monkeypatch.setattr(running, "START_S", 0.0)

    async def run() -> None:
        async with lab():
            pass

    with pytest.raises(HeadlessDNSError, match="the lab has not started within 0 s; this machine is too busy"):
        asyncio.run(run())


TURNS = {
    "all where there are few": (["a", "b"], 1, 3, ["a", "b"], 0),
    "none": ([], 5, 3, [], 0),
    "from where it was": (["a", "b", "c", "d"], 1, 2, ["b", "c"], 3),
    "over the end": (["a", "b", "c", "d"], 3, 2, ["d", "a"], 5),
    "beyond the end": (["a", "b", "c", "d"], 5, 2, ["b", "c"], 3),
}


@pytest.mark.parametrize(("names", "position", "count", "expected", "next"), TURNS.values(), ids=TURNS.keys())
def test_turns(names: list[str], position: int, count: int, expected: list[str], next: int) -> None:
    """Where there are too many names to ask for at once they take turns."""
    assert running._turn(names, position, count) == (expected, next)
