"""The log: lines for people, and JSON for machines."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from headlessdns import logs


@pytest.fixture(autouse=True)
def _keep_root() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(style: str, stream: io.StringIO | None = None) -> str:
    """Return what three records look like; the one below INFO is left out."""
    stream = stream or io.StringIO()
    logs.set_up(style, stream=stream)  # type: ignore[arg-type]  # each of the three
    logger = logging.getLogger("headlessdns.test")
    logger.debug("too small")
    logger.info("listed %d", 3)
    logger.warning("lost", extra={"fields": {"kind": "Pod", "reason": 'a "b"', "time": 1}})
    return stream.getvalue()


def test_text() -> None:
    """People get the time, the level, the sentence, and fields that can be taken apart again."""
    first, second = written("text").splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} info    listed 3", first)
    assert re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} warning lost kind=Pod reason="a \\"b\\"" time=1', second)


def test_json() -> None:
    """Machines get one object a line with the time in UTC; a field never hides what is ours."""
    first, second = (json.loads(line) for line in written("json").splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {"level": "info", "logger": "headlessdns.test", "message": "listed 3"}
    assert second.pop("time") != 1
    assert second == {
        "level": "warning",
        "logger": "headlessdns.test",
        "message": "lost",
        "kind": "Pod",
        "reason": 'a "b"',
        "time_": 1,
    }


def test_time_is_utc() -> None:
    """The time of JSON is UTC, whatever the machine's zone is."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "m", (), None)
    record.created, record.msecs = 1_767_225_600.25, 250.0
    assert json.loads(logs.JSONFormatter().format(record))["time"] == "2026-01-01T00:00:00.250Z"


def test_auto() -> None:
    """Auto is text on a terminal and JSON elsewhere."""
    assert "info    listed 3" in written("auto", Terminal())
    assert json.loads(written("auto").splitlines()[0])["message"] == "listed 3"


@pytest.mark.parametrize("style", ["text", "json"])
def test_exception(style: str) -> None:
    """An exception is in the log with its traceback, in JSON on the same line."""
    stream = io.StringIO()
    logs.set_up(style, stream=stream)  # type: ignore[arg-type]
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("x").exception("a bug")
    text = stream.getvalue()
    assert "Traceback" in text
    assert "KeyError: 'gone'" in text
    if style == "json":
        assert len(text.splitlines()) == 1


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream the log goes to standard error and nothing to standard output."""
    logs.set_up("text")
    logging.getLogger("x").info("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err
    assert sys.stderr is not None
