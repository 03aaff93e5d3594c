"""
Writes docs/report.schema.json, the JSON Schema of the JSON report, from the model that the report is written from.

`python tools/report_schema.py` writes the file; a test compares it, and holds real reports against it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from dt_action.model.case import Outcome
from dt_action.model.run import Run
from dt_action.reports.formats.run_json import SCHEMA_VERSION

TARGET = Path(__file__).parent.parent / "docs/report.schema.json"

NOT_WRITTEN = ("reports",)
"""Fields of an attempt that only travel between a run's processes."""

_TEXT, _SECONDS, _COUNT = {"type": "string"}, {"type": "number", "minimum": 0}, {"type": "integer", "minimum": 0}


def schema() -> dict[str, Any]:
    """The schema of one report. New keys may come without a new version, so that none is forbidden."""
    kinds = TypeAdapter(Run).json_schema(ref_template="#/$defs/{model}")
    shapes = {name: _plain(shape) for name, shape in kinds.pop("$defs").items()}
    run = _plain(kinds)
    result, case, attempt = shapes.pop("TestResult"), shapes["TestCase"], shapes["Attempt"]
    for name in ("id", "results"):
        run["properties"].pop(name)
    run["required"] = [name for name in run.get("required", ()) if name in run["properties"]]
    for name in NOT_WRITTEN:
        attempt["properties"].pop(name)
    test = {
        "type": "object",
        "description": "One test with all its attempts.",
        "properties": {
            "id": _TEXT,
            "outcome": {"enum": [*get_args(Outcome)]},
            "duration_s": _SECONDS,
            **{name: case["properties"][name] for name in ("file", "line", "test_type", "markers", "timeout_s")},
            **dict.fromkeys(("worker", "slot", "message", "requirement"), _TEXT),
            "flaky": {"type": "boolean"},
            "needs": {"$ref": "#/$defs/Requirement"},
            **{name: result["properties"][name] for name in ("attempts", "environment", "artifacts")},
        },
        "required": ["id", "outcome", "duration_s", "file", "attempts"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "JSON report of distributed-testing",
        "description": "Times are in seconds. In `run` and `attempts` a value that is its default is left out.",
        "type": "object",
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "tool": {
                "type": "object",
                "properties": {"name": _TEXT, "version": _TEXT},
                "required": ["name", "version"],
            },
            "run_id": _TEXT,
            "conclusion": _TEXT,
            "summary": _TEXT,
            "totals": {"type": "object", "additionalProperties": _COUNT, "required": ["total"]},
            "slots": _COUNT,
            "lower_bound_s": _SECONDS,
            "run": run,
            "tests": {"type": "array", "items": test},
        },
        "required": ["schema_version", "tool", "run_id", "conclusion", "summary", "totals", "run", "tests"],
        "$defs": shapes,
    }


def _plain(shape: Any) -> Any:
    """A part of the schema without what only pydantic's forms need; lines of a description are joined."""
    if isinstance(shape, list):
        return [_plain(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    kept = {key: _plain(item) for key, item in shape.items() if key != "title" or not isinstance(item, str)}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].split())
    return kept


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
