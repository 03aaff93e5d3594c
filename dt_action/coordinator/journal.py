"""The coordinator's log: one line for each thing that happened, as words and `name=value`, or as JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Literal, TextIO

LOG = logging.getLogger("dt.coordinator")
Format = Literal["text", "json"]

MOST_OF_VALUE = 300
"""What others say stands in a line only so far: names and reasons may come from hostile tests."""


def tell(what: str, *, level: int = logging.INFO, **about: Any) -> None:
    """Write a line: what happened, and `about` what. What is empty is left out."""
    if LOG.isEnabledFor(level):
        LOG.log(level, what, extra={"about": {name: value for name, value in about.items() if value not in ("", None)}})


def set_up(format: Format, stream: TextIO) -> None:
    """Write all logs to `stream`. uvicorn's own say little, and only what is wrong."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if format == "json" else _Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _shown(value: Any) -> str:
    """A value on one line, in quotes where it needs them."""
    text = str(value)[:MOST_OF_VALUE]
    return text if text.isascii() and text.isprintable() and not set(text) & set(' ="') else json.dumps(text)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        about = getattr(record, "about", {})
        words = [_at(record), record.levelname, record.getMessage(), *(f"{k}={_shown(v)}" for k, v in about.items())]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        about = {k: v if isinstance(v, (int, float)) else str(v)[:MOST_OF_VALUE] for k, v in _about(record).items()}
        told = {"at": _at(record), "level": record.levelname.lower(), "event": record.getMessage(), **about}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


def _about(record: logging.LogRecord) -> dict[str, Any]:
    about: dict[str, Any] = getattr(record, "about", {})
    return about


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=timezone.utc).isoformat(timespec="milliseconds")


class Refusals:
    """
    Refused requests in the log, one line each, but at most `most` a minute: whoever is refused could fill the disk.

    What was left out is counted, and said with the next line that is written.
    """

    def __init__(self, *, most: int = 300, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._begun, self._count, self._left_out = clock(), 0, 0

    def tell(self, *, status: int, reason: str, **about: Any) -> None:
        """One more."""
        if self._clock() - self._begun > 60.0:
            self._begun, self._count = self._clock(), 0
        self._count += 1
        if self._count > self._most:
            self._left_out += 1
            return
        if self._left_out:
            tell("refusals left out", level=logging.WARNING, count=self._left_out)
            self._left_out = 0
        level = logging.INFO if status in (404, 429, 503) else logging.WARNING
        tell("request refused", level=level, status=status, reason=reason, **about)
