"""`headlessdns lab` as people and scripts run it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headlessdns.cli import lab as cli_lab
from headlessdns.cli.main import main
from headlessdns.lab.view import Headline, Row
from tests.cli.lab_process import LabProcess, LabTerminal, children, command, environment, run, runs
from tests.peers.process import wait_until

ROOT = Path(__file__).parents[2]
NGINX = ROOT / "config" / "examples" / "nginx.yaml"
WEB_0, WEB_1 = (f"web-{ordinal}.nginx.default.svc.cluster.local" for ordinal in (0, 1))


def is_up(event: Any) -> bool:
    return bool(event.get("pod") == "web-1" and event["answer"] == event["address"] != "")


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "stderr")


# What it prints


def test_plain(tmp_path: Path) -> None:
    """Where standard output is no terminal it says what to type next, then a line for each change."""
    with LabProcess(tmp_path, NGINX) as lab:
        lab.until(lambda line: re.search(rf"web-1  Running +\S+ +ready +{WEB_1}: 10\.", line))
        api, dns = re.fullmatch(r"Kubernetes API at (\S+), DNS at (\S+) \(UDP and TCP\)", lab.lines[0]).groups()  # type: ignore[union-attr]
        assert lab.lines[1] == "created service/nginx, statefulset/web"
        folder = tmp_path / f"headlessdns-lab-{os.getuid()}"
        port = dns.rpartition(":")[2]
        hello = "\n".join(lab.lines)
        assert f"\n  export KUBECONFIG={folder / f'process-{lab.process.pid}.kubeconfig'}\n" in hello
        assert "\n  kubectl get pods -w" in hello
        assert re.search(rf"\n  (dig @127.0.0.1 -p {port}|\S.* query --server {re.escape(dns)}) {WEB_0}\n", hello)
        assert re.search(r"\n  \S.* lab ctl ready web-0 false\n", hello)
        assert "\nCtrl-C ends the lab and leaves nothing behind.\n" in hello
        assert api in next(folder.iterdir()).read_text()
        assert lab.end() == 0
        assert lab.said() == ""
    assert left_in(tmp_path) == []


def test_json(tmp_path: Path) -> None:
    """With --log json each line is an object: first where everything is, then sets and pods as they change."""
    with LabProcess(tmp_path, NGINX, "--log", "json", "--nodes", "2") as lab:
        started = lab.event(lambda event: True)
        assert started.keys() == {
            *("event", "time", "api", "dns", "kubeconfig", "nodes", "created", "configured", "skipped")
        }
        assert (started["event"], started["nodes"]) == ("started", ["node-1", "node-2"])
        assert (started["created"], started["configured"]) == (["service/nginx", "statefulset/web"], [])
        assert stat.S_IMODE(Path(started["kubeconfig"]).stat().st_mode) == 0o600
        row = lab.event(is_up)
        assert {key: row[key] for key in ("event", "set", "pod", "phase", "ready", "name", "waits_for")} == {
            "event": "changed",
            "set": "default/web",
            "pod": "web-1",
            "phase": "Running",
            "ready": True,
            "name": WEB_1,
            "waits_for": "",
        }
        heads = [json.loads(line) for line in lab.lines if json.loads(line)["event"] == "set"]
        assert [(head["kind"], head["set"], head["replicas"]) for head in heads[-1:]] == [
            ("StatefulSet", "default/web", 2)
        ]
        assert lab.end(signal.SIGTERM) == 0


LINES = {
    "a pod to come": (
        Row("default/web", "web-1", "", "", False, WEB_1, "", "waits for web-0"),
        f"12:00:00 web-1  -                  -             not ready  {WEB_1}: not asked yet  (waits for web-0)",
    ),
    "a pod at rest": (
        Row("default/web", "web-0", "10.244.0.2", "Running", True, WEB_0, "10.244.0.2", ""),
        f"12:00:00 web-0  Running            10.244.0.2    ready      {WEB_0}: 10.244.0.2",
    ),
    "no name": (
        Row("default/web", "web-0", "10.244.0.2", "Running", True, "", "", ""),
        "12:00:00 web-0  Running            10.244.0.2    ready    ",
    ),
    "gone": (Row("default/web", "web-1", "", "", False, WEB_1, "NXDOMAIN", ""), "12:00:00 web-1 is gone"),
    "a set": (
        Headline("StatefulSet", "default/web", 1, None, 2, ""),
        "12:00:00 StatefulSet default/web: 1 of 2 ready",
    ),
    "a set in trouble": (
        Headline("StatefulSet", "default/web", 1, 1, 2, "no Service"),
        "12:00:00 StatefulSet default/web: 1 of 2 ready, 1 of 2 updated; no Service",
    ),
    "a set that was deleted": (
        Headline("OrdinalSet", "default/web", 0, None, None, ""),
        "12:00:00 OrdinalSet default/web: deleted",
    ),
}


@pytest.mark.parametrize(("change", "expected"), LINES.values(), ids=LINES.keys())
def test_line(change: Any, expected: str) -> None:
    """A change is a line that begins with the time and the pod."""
    noon = time.strptime("12:00:00", "%H:%M:%S")
    assert cli_lab._line(change, noon).rstrip() == expected.rstrip()


def test_many_objects_are_counted() -> None:
    """A few objects are named, many are counted."""
    few = ["service/a", "pod/b"]
    assert cli_lab._counted(few) == "service/a, pod/b"
    many = [*(f"pod/p-{n}" for n in range(10)), "service/a"]
    assert cli_lab._counted(many) == "11 objects: 10 pod, 1 service"


def test_nobody_reads(tmp_path: Path) -> None:
    """When the reader of the lines goes away, as head does, or cannot take them, the lab goes on without a word."""
    lab = subprocess.Popen(
        command(NGINX, "--plain", "--dns", "127.0.0.1:0", "--kubeconfig", tmp_path / "kubeconfig"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    )
    assert lab.stdout is not None
    assert lab.stderr is not None
    lab.stdout.readline()
    lab.stdout.close()
    ctl = [*command("ctl"), "--help"]
    assert subprocess.run(ctl, capture_output=True, check=False).returncode == 0
    time.sleep(1.5)  # pods come up meanwhile, and are told of
    assert lab.poll() is None
    lab.send_signal(signal.SIGINT)
    assert (lab.wait(20), lab.stderr.read()) == (0, b"")
    lab.stderr.close()
    assert left_in(tmp_path) == []


def test_full_output(tmp_path: Path) -> None:
    """A disk that is full, where the lines are to go, is told once, and the lab goes on."""
    with Path("/dev/full").open("w") as full:
        lab = subprocess.Popen(
            command(NGINX, *("--plain", "--dns", "127.0.0.1:0")),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(tmp_path),
            text=True,
        )
    assert lab.stderr is not None
    assert "standard output: No space left on device; the lab goes on without it" in lab.stderr.readline()
    lab.send_signal(signal.SIGINT)
    assert (lab.wait(20), lab.stderr.read()) == (0, "")
    lab.stderr.close()


# On a terminal


def test_table(tmp_path: Path) -> None:
    """On a terminal there is a table that is drawn anew when the terminal gets another size; Ctrl-C ends it well."""
    with LabTerminal(tmp_path, NGINX) as lab:
        at = lab.until("StatefulSet default/web: 2 of 2 ready")
        at = lab.until("web-1", at)
        assert "names: POD.nginx.default.svc.cluster.local" in lab.text
        assert "Traceback" not in lab.text
        at = len(lab.text)
        lab.resize(160, 40)
        at = lab.until("Kubernetes API at", at)  # all of it, on a clear screen
        lab.until(f"{WEB_1}  ", at)
        lab.press(b"\x03")
        assert lab.process.wait(20) == 0
        assert lab.text.rfind("\x1b[?25h") > lab.text.rfind("\x1b[?25l")  # the cursor is back
    assert left_in(tmp_path) == []


def test_warnings_leave_the_table_in_place(tmp_path: Path) -> None:
    """What is skipped, and what is stored and no more, is told above the table."""
    (tmp_path / "job.yaml").write_text(
        "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}}\n"
        "---\n"
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata: {name: a}\n"
        "spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: "
        "[{name: c, image: i}]}}}\n"
    )
    with LabTerminal(tmp_path, tmp_path / "job.yaml") as lab:
        at = lab.until("the lab has no such kinds, they were skipped: 1 CronJob")
        lab.until("stored, and the lab makes no pods of them (a StatefulSet has pods): deployment/a", at)
        lab.until("No StatefulSet or OrdinalSet yet. In another terminal: kubectl apply -f FILE")
        lab.press(b"\x03\x03")
        assert lab.process.wait(20) == 0
        assert "Traceback" not in lab.text


def test_window_is_closed(tmp_path: Path) -> None:
    """A terminal that goes away takes the lab with it, which leaves nothing behind."""
    with LabTerminal(tmp_path, NGINX) as lab:
        lab.until("StatefulSet default/web")
        lab.hang_up()
        assert lab.process.wait(20) == 0
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_terminal_that_cannot_draw(term: str, tmp_path: Path) -> None:
    """A terminal that only prints gets lines."""
    with LabTerminal(tmp_path, NGINX, TERM=term) as lab:
        lab.until(f"{WEB_1}: 10.244.0.3")
        assert "\x1b" not in lab.text


def test_no_colors(tmp_path: Path) -> None:
    """NO_COLOR is obeyed, and a C locale does no harm."""
    with LabTerminal(tmp_path, NGINX, NO_COLOR="1", LC_ALL="C") as lab:
        lab.until("2 of 2 ready")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", lab.text)


# Its end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(number: signal.Signals, tmp_path: Path) -> None:
    """Each of these ends it with 0 and leaves no process, file or port, however impatient one is."""
    with LabProcess(tmp_path, NGINX, "--log", "json") as lab:
        started = lab.event(lambda event: event["event"] == "started")
        workers = children(lab.process.pid)
        assert workers
        lab.process.send_signal(number)
        assert lab.end(number) == 0
        assert lab.said() == ""
        assert [pid for pid in workers if runs(pid)] == []
    host, port = started["dns"].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((host, int(port)))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("wait_s", [0.3, 0.6, 0.9, 1.2, 1.6])
def test_signals_during_the_start(wait_s: float, tmp_path: Path) -> None:
    """Whenever Ctrl-C comes, the lab ends with 0, without a word, and nothing is left."""
    with LabProcess(tmp_path, NGINX) as lab:
        time.sleep(wait_s)
        assert lab.end() == 0
        assert lab.said() == ""
    assert left_in(tmp_path) == []


def test_while_somebody_is_to_type_a_manifest(tmp_path: Path) -> None:
    """Ctrl-C ends a lab that waits for its standard input."""
    lab = subprocess.Popen(
        command("-", "--dns", "127.0.0.1:0"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(tmp_path),
    )
    time.sleep(2)  # until it reads: nothing tells
    lab.send_signal(signal.SIGINT)
    assert lab.wait(20) == 0
    lab.communicate()


def test_nohup(tmp_path: Path) -> None:
    """Under nohup a terminal that is closed does not end the lab."""
    flags = command(NGINX, "--dns", "127.0.0.1:0")
    lab = subprocess.Popen(["nohup", *flags], stdout=subprocess.PIPE, env=environment(tmp_path), text=True)
    assert lab.stdout is not None
    assert lab.stdout.readline().startswith("Kubernetes API at")
    lab.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        lab.wait(0.5)
    lab.send_signal(signal.SIGTERM)
    assert lab.wait(20) == 0
    lab.stdout.close()


def test_kill(tmp_path: Path) -> None:
    """A lab that is killed takes its workers along; the next one has all that was there."""
    flags = (NGINX, "--log", "json", "--state", tmp_path / "lab.db", "--kubeconfig", tmp_path / "kubeconfig")
    with LabProcess(tmp_path, *flags) as lab:
        lab.event(is_up)
        workers = children(lab.process.pid)
        assert lab.end(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: not any(runs(pid) for pid in workers), "the workers' end", deadline_s=10)
    with LabProcess(tmp_path, *flags) as lab:
        started = lab.event(lambda event: event["event"] == "started")
        assert (started["created"], started["configured"]) == ([], ["service/nginx", "statefulset/web"])
        row = lab.event(is_up)
        assert row["address"] == "10.244.0.3"
        assert lab.end() == 0
    assert left_in(tmp_path) == ["lab.db"]


def test_state_of_another_lab(tmp_path: Path) -> None:
    """Two labs do not share a state file: the second says so."""
    state = tmp_path / "lab.db"
    with LabProcess(tmp_path, "--log", "json", "--state", state) as lab:
        lab.event(lambda event: event["event"] == "started")
        second = run(tmp_path, "--dns", "127.0.0.1:0", "--state", state)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"{state}: found that another program, likely another lab, has it open; expected one lab for one state file; "
        "stop the other one, or choose another file with --state\n"
    )


# What cannot be


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "an API for everybody": (("--api", "0.0.0.0:0"), "write 127.0.0.1:0; whoever reaches the lab's API may do every"),
    "an API for the network": (("--api", "192.0.2.1:6443"), "expected a loopback address and a port"),
    "no port": (("--dns", "127.0.0.1"), "expected an address and a port"),
    "a port too far": (("--dns", "127.0.0.1:65536"), "the last port is 65535"),
    "no nodes": (("--nodes", "0"), "0 is not in the range 1<=x<=1000"),
    "a delay without a unit": (("--start-delay", "5"), "write it as in 500ms, 3s or 1m30s"),
    "a network that is none": (("--pod-cidr", "10.0.0.1/16"), "expected a network as in 10.244.0.0/16"),
    "a network without room": (("--pod-cidr", "10.0.0.0/30"), "which has no room for pods; expected a /29 or larger"),
    "two of one family": (("--pod-cidr", "10.0.0.0/16", "--pod-cidr", "10.1.0.0/16"), "one network of each family"),
    "an unknown part": (("--without", "scheduler"), "'scheduler' is not one of"),
}


@pytest.mark.parametrize(("flags", "expected"), WRONG.values(), ids=WRONG.keys())
def test_wrong_setting(flags: tuple[str, ...], expected: str) -> None:
    """A setting that cannot be ends it with 2, before anything starts, and says what to write instead."""
    result = CliRunner().invoke(main, ["lab", *flags])
    assert result.exit_code == 2
    assert expected in result.output


def test_every_fault_at_once(tmp_path: Path) -> None:
    """All faults of all manifests are told, one a line, on standard error, and the exit code is 2."""
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "b.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n---\n"
        "apiVersion: apps/v1beta1\nkind: StatefulSet\nmetadata: {name: b}\n"
    )
    result = run(tmp_path, "--dns", "127.0.0.1:0", "a.yaml", "b.yaml", "c.yaml")
    assert (result.returncode, result.stdout) == (2, "")
    assert [line.partition(": found")[0] for line in result.stderr.splitlines()] == [
        "c.yaml",
        "a.yaml:2: document 1",
        "b.yaml:4: document 1: spec.prots",
        "b.yaml:6: document 2: apiVersion",
    ]
    assert left_in(tmp_path) == ["a.yaml", "b.yaml"]


def test_faults_are_json_where_changes_are(tmp_path: Path) -> None:
    """With --log json faults are objects, too, on standard error."""
    result = run(tmp_path, "--dns", "127.0.0.1:0", "--log", "json", "none.yaml")
    [line] = result.stderr.splitlines()
    assert (result.returncode, json.loads(line)["level"]) == (2, "error")
    assert json.loads(line)["message"].startswith("none.yaml: found nothing there")


def test_standard_input(tmp_path: Path) -> None:
    """A manifest may come from standard input, whose faults are called so."""
    result = run(tmp_path, "-", "--dns", "127.0.0.1:0", text="apiVersion: v1\nkind: Service\nmetadata: {}\n")
    assert result.returncode == 2
    assert result.stderr == (
        "standard input:3: document 1: metadata.name: found nothing; expected the object's name; write it\n"
    )


def test_home_is_left_alone(tmp_path: Path) -> None:
    """The kubeconfig of a person stays as it is, even where it is named."""
    config = tmp_path / ".kube" / "config"
    config.parent.mkdir()
    config.write_text("apiVersion: v1\nkind: Config\n")
    result = run(tmp_path, "--dns", "127.0.0.1:0", "--kubeconfig", config, KUBECONFIG=str(config))
    assert result.returncode == 2
    assert "found a file that no lab has written, which would be lost" in result.stderr
    assert config.read_text() == "apiVersion: v1\nkind: Config\n"


def test_file_that_is_named_like_a_command(tmp_path: Path) -> None:
    """`lab ctl` is a command; a manifest of that name is ./ctl."""
    (tmp_path / "ctl").write_text("apiVersion: v1\nkind: Service\nmetadata: {}\n")
    assert run(tmp_path, "./ctl", "--dns", "127.0.0.1:0").stderr.startswith("./ctl:3: document 1: metadata.name")
    assert "Make trouble in a lab" in run(tmp_path, "ctl").stderr


def test_help() -> None:
    """The help says what it does, its exit codes, and where trouble is made."""
    result = CliRunner().invoke(main, ["lab", "--help"])
    assert result.exit_code == 0
    for expected in ("Exit codes: 0 after Ctrl-C", "headlessdns lab ctl --help", "--state FILE"):
        assert expected in result.output
