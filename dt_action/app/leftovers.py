"""Reports that an earlier build left where this one writes its own: a CI service would read both as one build's."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from dt_action.model.build import Build


def remove_reports_of_other_builds(directory: Path, build: Build) -> None:
    """
    Remove the documents of each JSON report in `directory` that is another build's.

    Jenkins keeps the workspace, and its `junit` step reads every file of a pattern. What several runs of one build
    left, what a person's own runs left, and files that are not ours stay.
    """
    if not build.run_id:
        return
    for path in directory.glob("test_report_*.json"):
        if path.name.count(".") == 1 and _build_of(path) not in ("", build.run_id):
            for document in directory.glob(f"{path.stem}[.-]*"):
                with contextlib.suppress(OSError):
                    document.unlink()


def _build_of(path: Path) -> str:
    """The id of the build that wrote a report; empty where that cannot be told."""
    try:
        told = json.loads(path.read_bytes())["run"]["build"]["run_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return told if isinstance(told, str) else ""
