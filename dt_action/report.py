"""Reads a JSON report back, for programs that work on results: `for result in load("report.json").results: ...`."""

from __future__ import annotations

import os
from pathlib import Path

from dt_action.errors import UnreadableError
from dt_action.model.run import Run
from dt_action.reports.formats import run_json

__all__ = ["Run", "load"]


def load(path: str | os.PathLike[str]) -> Run:
    """
    The run that a JSON report tells of, with every type checked; docs/report.schema.json describes the file.

    Raises UnreadableError where the file is missing, is cut short, is no such report or is of another schema version.
    """
    source = os.fspath(path)
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise UnreadableError(f"{source}: expected a JSON report, {error.strerror or error}") from None
    return run_json.read(content, source=source)
