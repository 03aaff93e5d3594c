"""What the HTML report's script works with: every test in columns, packed so that 100,000 of them stay small."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from dt_action.formats.text import cut_middle, plain
from dt_action.model.case import OUTCOMES, Attempt
from dt_action.model.run import Run

TRACE_CHARACTERS = 30_000
STDIO_CHARACTERS = 10_000
DETAILED = 2_000
"""Failing tests whose traces and logs the page holds; the JSON report has them all."""


class _Index:
    """Distinct values in the order in which they came, so that a column holds small numbers."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, value: str) -> int:
        place = self._places.get(value)
        if place is None:
            place = self._places[value] = len(self.values)
            self.values.append(value)
        return place


def data_block(run: Run) -> str:
    """The `<script>` element that holds the columns: JSON, gzipped, in base64, so that no text in it can end it."""
    packed = gzip.compress(json.dumps(columns(run), separators=(",", ":")).encode("ascii"), compresslevel=6, mtime=0)
    encoded = base64.b64encode(packed).decode("ascii")
    return f'<script id="data" type="application/octet-stream;base64">{encoded}</script>'


def columns(run: Run) -> dict[str, Any]:
    """
    The tests by column. Times are whole milliseconds, `start` counts from the first start.

    `file`, `worker`, `slot`, `type`, `needs` and `message` are places in the list of the same name under `names`.
    `extra` holds by row what few tests have: earlier attempts, traces, logs.
    """
    indexes = {key: _Index() for key in ("file", "worker", "slot", "type", "needs", "message")}
    for index in indexes.values():
        index.place("")
    starts = [result.attempts[-1].started_at for result in run.results if result.attempts]
    origin = min((start for start in starts if start > 0), default=0.0)
    table: dict[str, list[Any]] = {key: [] for key in ("name", "outcome", "duration", "line", "start", *indexes)}
    needs_words: dict[int, str] = {}
    for result in run.results:
        case, final = result.case, result.final
        requirement = case.requirement
        words = needs_words.get(id(requirement))
        if words is None:
            words = needs_words[id(requirement)] = "" if requirement.needs_nothing else str(requirement)
        table["name"].append(plain(case.name))
        table["outcome"].append(OUTCOMES.index(final.outcome))
        table["duration"].append(_milliseconds(result.duration_s))
        table["line"].append(case.line)
        table["start"].append(_milliseconds(final.started_at - origin) if final.started_at else -1)
        texts = (case.file, final.worker, final.slot, case.test_type, words, final.message[:500])
        for (key, index), text in zip(indexes.items(), texts, strict=True):
            table[key].append(index.place(plain(text)))
    return {
        "outcomes": OUTCOMES,
        "names": {key: index.values for key, index in indexes.items()},
        "extra": _extra(run),
        **table,
    }


def _extra(run: Run) -> dict[int, Any]:
    """The attempts of tests that failed, were flaky or wrote something on the way to failing."""
    extra: dict[int, Any] = {}
    for row, result in enumerate(run.results):
        if len(extra) == DETAILED:
            break
        if any(attempt.is_failing for attempt in result.attempts):
            extra[row] = [_attempt(attempt) for attempt in result.attempts]
    return extra


def _attempt(attempt: Attempt) -> dict[str, Any]:
    texts = {
        "message": cut_middle(attempt.message, 2_000),
        "detail": cut_middle(attempt.detail, TRACE_CHARACTERS),
        "stdout": cut_middle(attempt.stdout, STDIO_CHARACTERS),
        "stderr": cut_middle(attempt.stderr, STDIO_CHARACTERS),
    }
    told = {"outcome": attempt.outcome, "ms": _milliseconds(attempt.duration_s), "worker": plain(attempt.worker)}
    return told | {key: text for key, text in texts.items() if text}


def _milliseconds(duration_s: float) -> int:
    try:
        return round(1_000 * duration_s)
    except (ValueError, OverflowError):
        return 0
