"""The log on standard error: text for people, or a JSON object a line for machines. I/O: standard error.

Whoever logs writes a sentence, and what a machine may want besides as ``extra={"fields": {...}}``: `key=value` behind
the sentence, or members of the object. Times are UTC, RFC 3339.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Literal, TextIO

_RESERVED = frozenset({"time", "level", "logger", "message", "exception"})


class TextFormatter(logging.Formatter):
    """``12:00:00.000 warning the message key=value``; the time is local, as people are."""

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as one line, and more for an exception."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        parts = [f"{clock}.{int(record.msecs):03d}", f"{record.levelname.lower():7}", record.getMessage()]
        parts += [f"{key}={_shown(value)}" for key, value in _fields(record).items()]
        if record.exc_info:
            parts[-1] += "\n" + self.formatException(record.exc_info)
        return " ".join(parts)


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and an exception's text where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as one line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        document: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _fields(record).items():
            document[f"{key}_" if key in _RESERVED else key] = value
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return fields


def _shown(value: object) -> str:
    """Return *value* so that the line can be taken apart again: in quotes where it has a blank or a quote."""
    text = str(value)
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)


def set_up(style: Literal["auto", "text", "json"], *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every record to standard error.

    Args:
        style: ``auto`` is text on a terminal and JSON elsewhere.
        level: From which level on.
        stream: Where to write instead of standard error.
    """
    stream = sys.stderr if stream is None else stream
    is_text = style == "text" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if is_text else JSONFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
