"""Manifests on disk: which files are read, what they say together, and how changes are followed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from headlessdns.cluster import manifests
from headlessdns.cluster.manifests import Store, read, watch_manifests
from headlessdns.cluster.objects import RESOURCES, Event, Kind, Replace
from headlessdns.cluster.snapshot import Snapshot
from headlessdns.errors import ManifestError
from tests.cluster.waiting import until
from tests.peers.process import wait_until


def manifest(kind: str, name: str = "web", namespace: str = "default", labels: str = "{}", **more: str) -> str:
    version = {kind.value: RESOURCES[kind].group_version for kind in Kind}.get(kind, "v1")
    fields = "".join(f"{field}: {value}\n" for field, value in more.items())
    head = (
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}\n"
    )
    return head + fields


HEADLESS = {"spec": "{clusterIP: None}"}


def keys(found: manifests.Manifests, kind: Kind) -> list[str]:
    return [str(object.metadata.key) for object in found.objects[kind]]


def faults(*paths: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read(paths)
    return [str(fault) for fault in caught.value.faults]


# Which files


def test_folders_are_searched(tmp_path: Path) -> None:
    """YAML and JSON files are read from folders and those within; hidden ones and other files are passed over."""
    for name in ("a.yaml", "b.yml", "in/side/d.yaml", ".hidden.yaml", ".git/e.yaml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manifest("Pod", path.stem.strip(".")))
    (tmp_path / "c.json").write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}')
    assert keys(read([tmp_path]), Kind.POD) == ["default/a", "default/b", "default/c", "default/d"]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    """Pipes, and folders that are named like files, are passed over in folders."""
    (tmp_path / "a.yaml").write_text(manifest("Pod"))
    os.mkfifo(tmp_path / "c.yaml")
    (tmp_path / "d.yaml").mkdir()
    assert keys(read([tmp_path]), Kind.POD) == ["default/web"]


def test_files_may_have_any_name(tmp_path: Path) -> None:
    """A file that is named itself is read whatever it is called, as YAML unless it ends in .json."""
    (tmp_path / ".hidden.txt").write_text(manifest("Pod", "a"))
    assert keys(read([tmp_path / ".hidden.txt"]), Kind.POD) == ["default/a"]


def test_file_that_is_met_twice_is_one(tmp_path: Path) -> None:
    """A file under several paths and links is read once."""
    (tmp_path / "a.yaml").write_text(manifest("Pod"))
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    assert keys(read([tmp_path, tmp_path / "a.yaml"]), Kind.POD) == ["default/web"]


def config_map_volume(folder: Path, version: str, name: str) -> None:
    """Write the files of a ConfigMap volume as the kubelet does: a folder behind a link that is moved in one step."""
    (folder / version).mkdir(parents=True)
    (folder / version / "pod.yaml").write_text(manifest("Pod", name))
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    with suppress(FileExistsError):
        (folder / "pod.yaml").symlink_to("..data/pod.yaml")


def test_volume_of_a_config_map(tmp_path: Path) -> None:
    """The volume of a ConfigMap is read through its links, each file once, before and after an update."""
    config_map_volume(tmp_path, "..2026_1", "one")
    store = Store([tmp_path])
    store.refresh()
    assert keys(store.assemble()[0], Kind.POD) == ["default/one"]
    config_map_volume(tmp_path, "..2026_2", "two")
    assert store.refresh()
    assert keys(store.assemble()[0], Kind.POD) == ["default/two"]


def test_link_that_leads_nowhere(tmp_path: Path) -> None:
    """A link that leads nowhere is a fault at the start, and keeps what it led to later, until it is gone as well."""
    path = tmp_path / "a.yaml"
    path.symlink_to("content")
    fault = f"{path}: found a link that leads nowhere; expected a file; put back what it leads to, or remove it"
    (tmp_path / "b.yaml").write_text(manifest("Pod", "b"))
    assert faults(tmp_path) == [fault]
    (tmp_path / "content").write_text(manifest("Pod"))
    store = Store([tmp_path])
    store.refresh()
    (tmp_path / "content").unlink()
    assert store.refresh()
    assert list(map(str, store.faults())) == [fault]
    assert sorted(keys(store.assemble()[0], Kind.POD)) == ["default/b", "default/web"]
    path.unlink()
    assert store.refresh()
    assert (store.faults(), keys(store.assemble()[0], Kind.POD)) == ([], ["default/b"])


def test_pipe_without_a_writer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pipe into which nobody has written yet is waited for, and the log says so."""
    monkeypatch.setattr(manifests, "PIPE_PATIENCE_S", 0.01)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read_pods: list[list[str]] = []
    thread = threading.Thread(target=lambda: read_pods.append(keys(read([pipe]), Kind.POD)))
    thread.start()
    wait_until(lambda: bool(caplog.messages), "a line in the log", 5)
    assert caplog.messages == [f"{pipe} is a pipe into which nobody has written; waiting for its content"]
    with pipe.open("w") as writer:
        writer.write(manifest("Pod", "one"))
        writer.flush()
        writer.write("---\n" + manifest("Pod", "two"))
    thread.join(5)
    assert read_pods == [["default/one", "default/two"]]


def test_pipe_is_read_once() -> None:
    """A pipe, such as the shell makes of <(helm template ...), is read at the start and never again."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, manifest("Pod").encode()), os.close(writer)))
    thread.start()
    try:
        store = Store([Path(f"/dev/fd/{reader}")])
        assert store.refresh()
        thread.join()
        assert not store.refresh()
        assert keys(store.assemble()[0], Kind.POD) == ["default/web"]
    finally:
        os.close(reader)


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that cannot be read is a fault at the start, and keeps its last good content later."""
    path = tmp_path / "a.yaml"
    path.symlink_to("/proc/self/mem")  # nobody may read its first octet, not even root
    fault = f"{path}: found Input/output error; expected a file that can be read; grant the right to read it"
    assert faults(tmp_path) == [fault]
    path.unlink()
    path.write_text(manifest("Pod"))
    store = Store([tmp_path])
    store.refresh()
    path.unlink()
    path.symlink_to("/proc/self/mem")
    assert store.refresh()
    assert not store.refresh()
    assert list(map(str, store.faults())) == [fault]
    assert keys(store.assemble()[0], Kind.POD) == ["default/web"]


# What they say together


def test_every_fault_of_every_file_at_once(tmp_path: Path) -> None:
    """All that is wrong is said in one error: paths, files, documents, and objects that are there twice."""
    (tmp_path / "a.yaml").write_text(manifest("Pod") + "---\n" + manifest("Pod", "A"))
    (tmp_path / "b.yaml").write_text("kind: [")
    (tmp_path / "c.yaml").write_text(manifest("Pod", "x") + "---\n" + manifest("Pod"))
    (tmp_path / "d.yaml").write_text(" \n")
    (tmp_path / "empty").mkdir()
    name = "DNS labels of a-z, 0-9 and dashes, joined by dots, 253 characters at most"
    assert faults(tmp_path, tmp_path / "none", tmp_path / "empty") == [
        f"{tmp_path}/none: found nothing there; expected a file or a folder; correct the path",
        f"{tmp_path}/empty: found a folder without manifests; expected files that end in .yaml, .yml or .json; "
        "name the folder or file that holds them",
        f'{tmp_path}/a.yaml:7: document 2: metadata.name: found "A"; expected {name}; rename it',
        f"{tmp_path}/b.yaml:2: document 1: found something else (column 1); expected node content; "
        "correct the line, or the one before it",
        f"{tmp_path}/d.yaml: found an empty file; expected at least one document; "
        "write an object into it, or remove the file",
        f"{tmp_path}/c.yaml:5: document 2: found Pod default/web, which is in {tmp_path}/a.yaml:1: document 1 as well; "
        "expected each object once; keep one of the two",
    ]


def test_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is a fault and is not parsed."""
    monkeypatch.setattr(manifests, "MAX_FILE_OCTETS", 2**20)
    (tmp_path / "a.yaml").write_bytes(b"[" * (2**20 + 1))
    [fault] = faults(tmp_path)
    assert fault.endswith("found more than that; expected at most 1 MiB; split the file, one document after the other")


def test_events_complete_a_snapshot(tmp_path: Path) -> None:
    """After the events every kind is listed, those with no object too."""
    (tmp_path / "a.yaml").write_text(manifest("Service", **HEADLESS))
    snapshot = Snapshot()
    for event in read([tmp_path]).events():
        snapshot.apply(event)
    assert snapshot.listed == set(Kind)
    assert [str(key) for key in snapshot.services] == ["default/web"]


def test_namespaces_are_implied(tmp_path: Path) -> None:
    """A namespace exists where a manifest says so, or where an object is in it."""
    (tmp_path / "a.yaml").write_text(
        manifest("Pod", namespace="one")
        + "---\n"
        + manifest("Namespace", "two")
        + "---\n"
        + manifest("Pod", "b", "two")
    )
    assert keys(read([tmp_path]), Kind.NAMESPACE) == ["two", "one"]


FIELDS = {"Service": HEADLESS, "EndpointSlice": {"addressType": "IPv4"}, "Endpoints": {}, "Pod": {}, "StatefulSet": {}}
LABELS = {"prod": "{app: web, kubernetes.io/service-name: web}", "test": "{kubernetes.io/service-name: web}"}
MIXED = "---\n".join(
    [manifest(kind, kind.lower(), space, LABELS[space], **FIELDS[kind]) for space in LABELS for kind in FIELDS]
    + [manifest("Namespace", "test"), manifest("ConfigMap")]
)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        pytest.param({}, {kind: {"prod", "test"} for kind in Kind}, id="all"),
        pytest.param({"namespaces": ["test"]}, {kind: {"test"} for kind in Kind}, id="one namespace"),
        pytest.param(
            {"label_selector": "app=web"},
            {
                Kind.SERVICE: {"prod"},
                Kind.ENDPOINT_SLICE: {"prod"},
                Kind.ENDPOINTS: {"prod"},
                Kind.POD: {"prod"},
                Kind.STATEFUL_SET: {"prod", "test"},
                Kind.NAMESPACE: {"prod", "test"},
            },
            id="label selector: what the DNS has addresses from",
        ),
    ],
)
def test_filters(tmp_path: Path, options: dict[str, str], kept: dict[Kind, set[str]]) -> None:
    """Namespaces and a label selector leave objects out as they do against an API server."""
    (tmp_path / "a.yaml").write_text(MIXED)
    found = read([tmp_path], **options)  # type: ignore[arg-type]  # by name
    spaces = {
        kind: {object.metadata.namespace or object.metadata.name for object in found.objects[kind]} for kind in Kind
    }
    assert spaces == kept
    assert found.skipped == Counter({"ConfigMap": 1})


def test_warnings(tmp_path: Path) -> None:
    """What may surprise is said once, with the objects concerned, eight of them at most."""
    services = "---\n".join(manifest("Service", f"s{number}") for number in range(10))
    (tmp_path / "a.yaml").write_text(services + "---\n" + manifest("EndpointSlice", addressType="IPv4"))
    found = read([tmp_path])
    assert found.warnings == [
        "no clusterIP is written and there is no API server to allocate one, so these have no address: "
        "default/s0, default/s1, default/s2, default/s3, default/s4, default/s5, default/s6, default/s7 and 2 more",
        "EndpointSlices without the label kubernetes.io/service-name belong to no Service and are skipped: default/web",
    ]
    assert found.objects[Kind.ENDPOINT_SLICE] == []
    assert found.skipped == Counter({"EndpointSlice without the label kubernetes.io/service-name": 1})


def test_sources(tmp_path: Path) -> None:
    """Each object knows the file and line that it came from."""
    (tmp_path / "a.yaml").write_text(manifest("ConfigMap") + "---\n" + manifest("Pod"))
    [(identity, where)] = read([tmp_path]).sources.items()
    assert (identity[0], str(identity[1]), where) == (Kind.POD, "default/web", f"{tmp_path}/a.yaml:5: document 2")


# Changes


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    """A look at files that are as they were changes nothing."""
    path = tmp_path / "a.yaml"
    path.write_text(manifest("Pod"))
    old_s = time.time() - 60
    os.utime(path, (old_s, old_s))
    store = Store([tmp_path])
    assert store.refresh()
    octets = path.read_bytes()
    path.write_bytes(octets.replace(b"web", b"abc"))
    os.utime(path, (old_s, old_s))  # unseen: same size, same time, same file
    assert not store.refresh()


def test_change_within_one_time_stamp(tmp_path: Path) -> None:
    """A young file is read again, since a further change may leave its time stamp as it is."""
    path = tmp_path / "a.yaml"
    path.write_text(manifest("Pod", "one"))
    before = path.stat()
    store = Store([tmp_path])
    store.refresh()
    path.write_text(manifest("Pod", "two"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.refresh()
    assert keys(store.assemble()[0], Kind.POD) == ["default/two"]


def test_touched_file_is_no_change(tmp_path: Path) -> None:
    """A new time stamp on the same octets changes nothing."""
    path = tmp_path / "a.yaml"
    path.write_text(manifest("Pod"))
    store = Store([tmp_path])
    store.refresh()
    os.utime(path, (1, 1))
    assert not store.refresh()


def test_broken_file_keeps_its_last_good_content(tmp_path: Path) -> None:
    """While a file is broken, empty or half written, what it last held stays; when it is gone, its objects go."""
    path = tmp_path / "a.yaml"
    (tmp_path / "b.yaml").write_text(manifest("Pod", "b"))
    path.write_text(manifest("Pod", "one"))
    store = Store([tmp_path])
    store.refresh()
    for broken in (manifest("Pod", "two") + "---\nkind: Po", ""):
        path.write_text(broken)
        assert store.refresh()
        assert len(store.faults()) == len({fault.where for fault in store.faults()}) > 0
        assert store.broken_count() == 1
        assert keys(store.assemble()[0], Kind.POD) == ["default/one", "default/b"]
    path.write_text(manifest("Pod", "two"))
    assert store.refresh()
    assert (store.faults(), store.broken_count()) == ([], 0)
    assert keys(store.assemble()[0], Kind.POD) == ["default/two", "default/b"]
    path.unlink()
    assert store.refresh()
    assert keys(store.assemble()[0], Kind.POD) == ["default/b"]


@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "file"])
def test_path_that_is_gone_keeps_its_last_good_content(tmp_path: Path, is_folder: bool) -> None:
    """When a path of the command line itself is gone, what it held stays, until it is back and says otherwise."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.yaml").write_text(manifest("Pod", "one"))
    path = folder if is_folder else folder / "a.yaml"
    store = Store([path])
    store.refresh()
    folder.rename(tmp_path / "away")
    assert store.refresh()
    assert list(map(str, store.faults())) == [
        f"{path}: found nothing there; expected a file or a folder; correct the path"
    ]
    assert keys(store.assemble()[0], Kind.POD) == ["default/one"]
    assert store.broken_count() == 1
    assert not store.refresh()
    (tmp_path / "away" / "a.yaml").write_text(manifest("Pod", "two"))
    (tmp_path / "away").rename(folder)
    assert store.refresh()
    assert store.faults() == []
    assert keys(store.assemble()[0], Kind.POD) == ["default/two"]


def test_folder_that_cannot_be_read_keeps_its_last_good_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a folder within a folder cannot be read, what was in it stays, and its neighbours are followed."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.yaml").write_text(manifest("Pod", "one"))
    (tmp_path / "b.yaml").write_text(manifest("Pod", "two"))
    store = Store([tmp_path])
    store.refresh()
    scandir = os.scandir

    def refuse(path: str) -> object:  # root may read every folder, so that no mode of it will do
        if path == str(inner):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (tmp_path / "b.yaml").unlink()
    assert store.refresh()
    assert list(map(str, store.faults())) == [
        f"{inner}: found Permission denied; expected a file or folder that can be read; grant the right to read it"
    ]
    assert keys(store.assemble()[0], Kind.POD) == ["default/one"]


class Followed:
    """A snapshot that follows a folder."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.calls: list[list[Event]] = []

    def apply(self, events: list[Event]) -> None:
        self.calls.append(events)
        for event in events:
            self.snapshot.apply(event)

    async def until_pods(self, *names: str) -> float:
        """Wait until the pods are *names* and return how long that took."""
        begin = time.monotonic()
        await until(lambda: {key.name for key in self.snapshot.pods} == set(names))
        return time.monotonic() - begin


@asynccontextmanager
async def following(folder: Path, since: manifests.Manifests | None = None) -> AsyncIterator[Followed]:
    followed = Followed()
    task = asyncio.create_task(watch_manifests([folder], followed.apply, since=since))
    try:
        yield followed
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_changes_are_handed_on_within_a_second(tmp_path: Path) -> None:
    """A file that is written, replaced, added or removed is followed within a second, each time as one step."""

    async def run() -> list[float]:
        async with following(tmp_path, read([tmp_path])) as followed:
            times_s = []
            (tmp_path / "a.yaml").write_text(manifest("Pod", "one"))
            times_s.append(await followed.until_pods("one"))
            (tmp_path / "new").write_text(manifest("Pod", "two"))
            (tmp_path / "new").rename(tmp_path / "a.yaml")
            times_s.append(await followed.until_pods("two"))
            (tmp_path / "b.yaml").write_text(manifest("Pod", "three"))
            times_s.append(await followed.until_pods("two", "three"))
            (tmp_path / "a.yaml").unlink()
            times_s.append(await followed.until_pods("three"))
        assert all({type(event) for event in call} == {Replace} for call in followed.calls)
        assert [len(call) for call in followed.calls] == [len(Kind)] * 4
        return times_s

    (tmp_path / "a.yaml").write_text(manifest("Pod", "zero"))
    assert max(asyncio.run(run())) < 1.0


def test_change_between_reading_and_following(tmp_path: Path) -> None:
    """A change after the first reading is not missed."""

    async def run() -> None:
        first = read([tmp_path])
        (tmp_path / "a.yaml").write_text(manifest("Pod", "two"))
        async with following(tmp_path, first) as followed:
            await followed.until_pods("two")

    (tmp_path / "a.yaml").write_text(manifest("Pod", "one"))
    asyncio.run(run())


def test_following_from_nothing(tmp_path: Path) -> None:
    """Without a first reading the files are handed on at once."""

    async def run() -> None:
        async with following(tmp_path) as followed:
            await followed.until_pods("one")

    (tmp_path / "a.yaml").write_text(manifest("Pod", "one"))
    asyncio.run(run())


def test_faults_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken file is logged once with the message of the start, and so is that all is whole again."""

    async def run() -> None:
        async with following(tmp_path) as followed:
            await followed.until_pods("one")
            (tmp_path / "a.yaml").write_text("kind: [")
            await until(lambda: len(caplog.messages) == 1)
            (tmp_path / "b.yaml").write_text(manifest("Pod", "two"))
            await followed.until_pods("one", "two")
            (tmp_path / "a.yaml").write_text(manifest("Pod", "one"))
            await until(lambda: len(caplog.messages) == 2)

    caplog.set_level(logging.INFO, logger="headlessdns")
    (tmp_path / "a.yaml").write_text(manifest("Pod", "one"))
    asyncio.run(run())
    assert caplog.messages == [
        f"{tmp_path}/a.yaml:2: document 1: found something else (column 1); expected node content; "
        "correct the line, or the one before it (what was read before stays in use)",
        "manifests are whole again",
    ]


def test_emptied_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the last file is taken out of a folder its objects go, and the log does not claim that they stay."""

    async def run() -> None:
        async with following(tmp_path) as followed:
            await followed.until_pods("one")
            (tmp_path / "a.yaml").unlink()
            await followed.until_pods()

    (tmp_path / "a.yaml").write_text(manifest("Pod", "one"))
    asyncio.run(run())
    assert caplog.messages == [
        f"{tmp_path}: found a folder without manifests; expected files that end in .yaml, .yml or .json; "
        "name the folder or file that holds them"
    ]


def test_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """A file is read when two looks are alike, so that no state between truncating and writing is seen."""
    path = tmp_path / "a.yaml"
    path.write_text(manifest("Pod", "one"))
    store = Store([tmp_path])
    store.refresh()
    written = threading.Event()

    def write() -> None:
        with path.open("w") as file:
            for name in ("two", "three", "four"):
                file.write(f"---\n{manifest('Pod', name)}")
                file.flush()
                written.set()
                time.sleep(0.02)  # the writer's pace is the subject

    writer = threading.Thread(target=write)
    writer.start()
    written.wait()
    assert store.refresh(settle_s=0.1)
    writer.join()
    assert keys(store.assemble()[0], Kind.POD) == ["default/two", "default/three", "default/four"]
