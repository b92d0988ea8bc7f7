"""Conversations with an API server, as data, and what two servers answered to the same one side by side.

A conversation is a list of steps in `conversations/*.yaml`, in a namespace of its own. A step:

| field | what it is |
|---|---|
| ask | method and path; `{ns}` is the namespace, `{name}` whatever a step before kept under that name |
| body | what is sent; a text goes as it is, all else as JSON |
| type, accept | headers |
| status | the one to come |
| expect | what the answer has at least: see `missing` |
| keep | name: path in the answer, to use it in later steps |
| until | ask again until status and expectations are met: what a controller does takes a moment |
| differs | true where nothing is compared, only status and expectations |

The answer to a watch (`watch=true` in the path) is a list of its events.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import urllib3
import yaml

FOLDER = Path(__file__).with_name("conversations")
DEADLINE_S = 15.0
ABSENT = "<absent>"

Json = Any


class Conversation(NamedTuple):
    name: str
    steps: list[dict[str, Any]]


class Exchange(NamedTuple):
    """What one step brought.

    Attributes:
        ask: The request.
        status: The HTTP status.
        answer: The body: JSON as it is, a list of events for a watch, else text.
        faults: What was expected and did not come.
        is_compared: Whether the other server has to say the same.
    """

    ask: str
    status: int
    answer: Json
    faults: list[str]
    is_compared: bool


def conversations() -> list[Conversation]:
    """Return all of them; a name is used once."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text()) if path.name != "differences.yaml" else ():
            found.append(Conversation(entry["name"], entry["steps"]))
    assert len({one.name for one in found}) == len(found)
    return found


class Server:
    """An API server to talk to."""

    def __init__(self, url: str, token: str, authority: bytes) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "talk/1"}
        self._http = urllib3.PoolManager(ca_cert_data=authority.decode(), retries=False, maxsize=4)

    def ask(self, step: dict[str, Any], known: dict[str, str]) -> tuple[int, Json]:
        method, _, path = _filled(step["ask"], known).partition(" ")
        body = step.get("body")
        headers = {**self._headers, "Accept": step.get("accept", "application/json")}
        data = None
        if body is not None:
            headers["Content-Type"] = step.get("type", "application/json")
            text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
            data = _filled(text, known).encode()
        response = self._http.request(method, self._url + path, body=data, headers=headers, timeout=30)
        return response.status, _decoded(response.data, is_watch="watch=true" in path and response.status == 200)

    def close(self) -> None:
        self._http.clear()


def _filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), text)


def _decoded(body: bytes, *, is_watch: bool) -> Json:
    try:
        if is_watch:
            return [json.loads(line) for line in body.splitlines()]
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def hold(conversation: Conversation, server: Server, namespace: str) -> list[Exchange]:
    """Hold *conversation* with *server*, in *namespace*, which is created."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    status, answer = server.ask({"ask": "POST /api/v1/namespaces", "body": body}, {})
    assert status == 201, answer
    known = {"ns": namespace}
    exchanges = []
    for step in conversation.steps:
        end = time.monotonic() + DEADLINE_S
        while True:
            status, answer = server.ask(step, known)
            faults = _faults(step, status, answer, known)
            if not faults or not step.get("until") or time.monotonic() > end:
                break
            time.sleep(0.05)
        for name, path in step.get("keep", {}).items():
            known[name] = str(at(answer, path))
        exchanges.append(Exchange(step["ask"], status, answer, faults, not step.get("differs")))
    return exchanges


def _faults(step: dict[str, Any], status: int, answer: Json, known: dict[str, str]) -> list[str]:
    faults = [] if status == step["status"] else [f"status {status}, expected {step['status']}: {_short(answer)}"]
    if "expect" in step and not faults:
        faults += missing(_filled_all(step["expect"], known), answer, "")
    return faults


def _filled_all(value: Json, known: dict[str, str]) -> Json:
    if isinstance(value, dict):
        return {key: _filled_all(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled_all(inner, known) for inner in value]
    return _filled(value, known) if isinstance(value, str) else value


def at(value: Json, path: str) -> Json:
    """Return what is at a path such as ``items.0.metadata.name``."""
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value.get(step, "")
    return value


def missing(wanted: Json, found: Json, path: str) -> list[str]:
    """Say what of *wanted* is not in *found*.

    An object may have further fields, a list has exactly these items; null says that a field is not there, a text
    between slashes is a regular expression for the whole text.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        faults = []
        for key, value in wanted.items():
            where = f"{path}.{key}" if path else key
            if value is None:
                faults += [f"{where}: is there: {_short(found[key])}"] if key in found else []
            elif key not in found:
                faults.append(f"{where}: not there, expected {_short(value)}")
            else:
                faults += missing(value, found[key], where)
        return faults
    if isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            return [f"{path}: {len(found)} items, expected {len(wanted)}: {_short(found)}"]
        return [
            fault
            for index, pair in enumerate(zip(wanted, found, strict=True))
            for fault in missing(*pair, f"{path}[{index}]")
        ]
    if isinstance(wanted, str) and len(wanted) > 1 and wanted[0] == wanted[-1] == "/":
        return (
            [] if re.fullmatch(wanted[1:-1], str(found), re.DOTALL) else [f"{path}: {_short(found)}, expected {wanted}"]
        )
    return [] if wanted == found and type(wanted) is type(found) else [f"{path}: {_short(found)}, expected {wanted!r}"]


def _short(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) < 300 else f"{text[:300]}..."


# Side by side

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_AGE = re.compile(r"\d{1,2}s")
_ADDRESS = re.compile(r"10\.96\.\d+\.\d+|fd00:96::[0-9a-f:]+")
_NODE_PORTS = range(30_086, 32_768)  # those that are given out; smaller ones are asked for
_SHOWN_NODE_PORT = re.compile(r":3[0-2]\d{3}/")
_DROPPED = ("managedFields",)
_VERSIONS = ("resourceVersion", "continue")


def normal(value: Json) -> Json:
    """Return *value* without what differs between any two runs."""
    if isinstance(value, dict):
        made = {key: normal(inner) for key, inner in value.items() if key not in _DROPPED}
        for key in _VERSIONS:
            if made.get(key):
                made[key] = f"<{key}>"
        for key in ("nodePort", "healthCheckNodePort"):
            if made.get(key) in _NODE_PORTS:
                made[key] = "<node port>"
        return made
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    if isinstance(value, str):
        if _AGE.fullmatch(value):
            return "<age>"
        # A list of faults: the real server finds those of a map in any order.
        before, listed, faults = value.partition("errors:\n  ")
        value = before + listed + "\n  ".join(sorted(faults.split("\n  ")))
        value = _SHOWN_NODE_PORT.sub(":<node port>/", value)
        text = _ADDRESS.sub("<address>", _TIME.sub("<time>", _UID.sub("<uid>", value)))
        return re.sub(r"(\w-)[bcdf-hj-np-tv-z2-9]{5}\b", r"\1<random>", text)
    return value


def differences(real: Json, ours: Json, path: str = "") -> list[str]:
    """Say where *ours* is not what the *real* server said."""
    if isinstance(real, dict) and isinstance(ours, dict):
        found = []
        for key in sorted(real.keys() | ours.keys()):
            where = f"{path}.{key}" if path else key
            found += differences(real.get(key, ABSENT), ours.get(key, ABSENT), where)
        return found
    if isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        return [
            line
            for index, pair in enumerate(zip(real, ours, strict=True))
            for line in differences(*pair, f"{path}[{index}]")
        ]
    return [] if real == ours else [f"{path or 'body'}: {_short(real)} | {_short(ours)}"]


def compare(real: list[Exchange], ours: list[Exchange]) -> list[str]:
    """Say in which answers two servers differ: ``ASK: path: real | ours``."""
    lines = []
    for one, other in zip(real, ours, strict=True):
        if not one.is_compared:
            continue
        if one.status != other.status:
            lines.append(f"{one.ask}: status: {one.status} | {other.status} {_short(other.answer)}")
        lines += [f"{one.ask}: {line}" for line in differences(normal(one.answer), normal(other.answer))]
    return lines


class Difference(NamedTuple):
    """Differences that were looked at and are meant.

    Attributes:
        pattern: A regular expression that a line of `compare` matches from its beginning.
        reason: Why it is as it is.
    """

    pattern: str
    reason: str


def reviewed() -> list[Difference]:
    """Return the list of them."""
    entries = yaml.safe_load((FOLDER / "differences.yaml").read_text()) or []
    return [Difference(entry["pattern"], entry["reason"]) for entry in entries]


def unreviewed(lines: list[str]) -> list[str]:
    """Return the *lines* that no reviewed difference explains."""
    known = [re.compile(one.pattern) for one in reviewed()]
    return [line for line in lines if not any(pattern.match(line) for pattern in known)]


def main(wanted: str) -> None:
    """Hold the conversations whose name has *wanted* in it with both servers, and print what is wrong."""
    import logging

    from tests.lab.api.embedded import Embedded
    from tests.realcluster.cluster import RealCluster

    logging.disable()  # what goes wrong is in the answers
    with RealCluster() as cluster, Embedded() as embedded:
        real = Server(cluster.server, cluster.token, cluster.ca_file.read_bytes())
        ours = Server(embedded.url, embedded.token, embedded.authority)
        count = good = 0
        for number, conversation in enumerate(conversations()):
            if wanted not in conversation.name:
                continue
            count += 1
            said, answered = (hold(conversation, server, f"talk-{number}") for server in (real, ours))
            lines = [f"  real: {one.ask}: {fault}" for one in said for fault in one.faults]
            lines += [f"  ours: {one.ask}: {fault}" for one in answered for fault in one.faults]
            lines += [f"  {line}" for line in unreviewed(compare(said, answered))]
            good += not lines
            if lines:
                print(f"- {conversation.name}", *lines, sep="\n")
        print(f"{good} of {count} agree")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
