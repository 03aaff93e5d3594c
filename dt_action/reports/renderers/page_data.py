"""What the HTML report's script works with: every test in columns, packed so that 100,000 of them stay small."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

from dt_action.model.case import FAILING, OUTCOMES, Attempt, TestResult
from dt_action.model.run import Run
from dt_action.reports.formats.text import cut_middle, encodable, plain, size

DETAILS_CHARACTERS = 8_000_000
"""For all traces and logs in the page together; the JSON report has them whole."""
TRACE_CHARACTERS = 30_000
SEVERITY = ("crashed", "timeout", "error", "failed", "lost", "xpassed", "xfailed", "skipped", "passed")
"""The order of the outcomes when a reader sorts by them: the worst first."""


def data_blocks(run: Run) -> str:
    """
    Two `<script>` elements with gzipped JSON in base64, so that no text in them can end them.

    The second one holds what only an opened test needs, and is unpacked when the first one is.
    """
    details = _details(run)
    return _block("data", {**columns(run), "detailed": list(details)}) + "\n" + _block("details", details)


def columns(run: Run) -> dict[str, Any]:
    """
    The tests by column. Times are whole milliseconds, `start` counts from the first start, -1 where there is none.

    `file`, `worker`, `slot`, `type`, `needs` and `message` are places in the list of that name under `names`.
    `retried` has the last attempt's milliseconds of each row with several attempts, `known` why a failure of a row does
    not make the run red, and `fresh` the rows that fail and did not before. `left` has name, address and size of the
    files that the test of a row left, `paths` the ways between where dt was started and pytest's root.
    """
    indexes: dict[str, dict[str, int]] = {
        key: {"": 0} for key in ("file", "worker", "slot", "type", "needs", "message")
    }
    table: dict[str, list[Any]] = {key: [] for key in ("name", "outcome", "duration", "line", "start", *indexes)}
    origin = _first_start(run)
    numbers = {outcome: number for number, outcome in enumerate(OUTCOMES)}
    needs: dict[int, str] = {}
    for result in run.results:
        case, final = result.case, result.final
        if id(case.requirement) not in needs:
            needs[id(case.requirement)] = "" if case.requirement.needs_nothing else str(case.requirement)
        table["name"].append(case.name)
        table["outcome"].append(numbers[final.outcome])
        table["duration"].append(_milliseconds(result.duration_s))
        table["line"].append(case.line)
        table["start"].append(_milliseconds(final.started_at - origin) if final.started_at else -1)
        texts = (case.file, final.worker, final.slot, case.test_type, needs[id(case.requirement)], final.message[:300])
        for (key, index), text in zip(indexes.items(), texts, strict=True):
            table[key].append(index.setdefault(text, len(index)))
    table["name"] = [plain(name) for name in table["name"]]
    return {
        "outcomes": OUTCOMES,
        "order": SEVERITY,
        "failing": [outcome in FAILING for outcome in OUTCOMES],
        "names": {key: [plain(text) for text in index] for key, index in indexes.items()},
        "retried": {
            row: _milliseconds(result.final.duration_s)
            for row, result in enumerate(run.results)
            if len(result.attempts) > 1
        },
        **_failures_apart(run),
        "left": {
            row: [[plain(item.name), quote(item.path), size(item.bytes)] for item in result.artifacts]
            for row, result in enumerate(run.results)
            if result.artifacts
        },
        "paths": [run.paths.fro, run.paths.back] if run.paths else ["", ""],
        **table,
    }


def _failures_apart(run: Run) -> dict[str, Any]:
    reasons = {item.id: "; ".join(filter(None, (item.reason, item.owner, item.issue))) for item in run.tolerated}
    new = frozenset(run.change.new_failures if run.change and run.change.against else ())
    failing = [(row, result.id) for row, result in enumerate(run.results) if result.final.is_failing]
    return {
        "known": {row: plain(reasons[id])[:300] for row, id in failing if id in reasons},
        "fresh": [row for row, id in failing if id in new and id not in reasons],
    }


def _block(name: str, value: Any) -> str:
    packed = gzip.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), compresslevel=6, mtime=0)
    encoded = base64.b64encode(packed).decode("ascii")
    return f'<script id="{name}" type="application/octet-stream;base64">{encoded}</script>'


def _details(run: Run) -> dict[int, list[dict[str, Any]]]:
    """All attempts of the tests of which one failed, by row; each gets an equal share of the room."""
    rows: dict[int, TestResult] = {
        row: result
        for row, result in enumerate(run.results)
        if any(attempt.is_failing or attempt.outcome == "xfailed" for attempt in result.attempts)
    }
    attempts = sum(len(result.attempts) for result in rows.values())
    limit = min(DETAILS_CHARACTERS // max(attempts, 1), TRACE_CHARACTERS)
    return {row: [_attempt(attempt, limit) for attempt in result.attempts] for row, result in rows.items()}


def _attempt(attempt: Attempt, limit: int) -> dict[str, Any]:
    texts = {
        "message": cut_middle(attempt.message, limit // 4),
        "detail": cut_middle(attempt.detail, limit),
        "stdout": cut_middle(attempt.stdout, limit // 4),
        "stderr": cut_middle(attempt.stderr, limit // 4),
    }
    told = {"outcome": attempt.outcome, "ms": _milliseconds(attempt.duration_s), "worker": plain(attempt.worker)}
    return told | {key: encodable(text) for key, text in texts.items() if text}


def _first_start(run: Run) -> float:
    starts = (
        attempt.started_at for result in run.results for attempt in result.attempts[-1:] if attempt.started_at > 0
    )
    return min(starts, default=0.0)


def _milliseconds(duration_s: float) -> int:
    try:
        return round(1_000 * duration_s)
    except (ValueError, OverflowError):
        return 0
