"""What plain pytest remembers at the end of a session, for its next `--lf`, written for the slots, which do not."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dt_action.model.run import Run

LAST_FAILED = "v/cache/lastfailed"
NODE_IDS = "v/cache/nodeids"

_GITIGNORE = "# Created by pytest automatically.\n*\n"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by pytest.\n"


def remember(folder: Path, run: Run) -> None:
    """
    Bring pytest's cache in `folder` up to date with what the run tells (_pytest/cacheprovider.py).

    A test that passed or was skipped leaves the list of the last failures, one that failed enters it. Best effort, as
    in pytest: a cache that cannot be read counts as empty, one that cannot be written stays as it is.
    """
    ran = [result for result in run.results if result.attempts]
    if not ran:
        return
    failed = _read(folder / LAST_FAILED, dict)
    before = dict(failed)
    for result in ran:
        if result.final.is_failing:
            failed[result.case.id] = True
        else:
            failed.pop(result.case.id, None)
            failed.pop(result.case.file, None)  # it could not be collected then, and was now
    known = set(_read(folder / NODE_IDS, list))
    with contextlib.suppress(OSError, UnicodeError):
        if failed != before:
            _write(folder, LAST_FAILED, failed)
        _write(folder, NODE_IDS, sorted({*known, *_node_ids(run)}))


def _node_ids(run: Run) -> Iterable[str]:
    return (result.case.id for result in run.results if result.case.id != result.case.file)


def _read(file: Path, kind: Any) -> Any:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, kind):
            return found
    return kind()


def _write(folder: Path, name: str, value: Any) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text(_GITIGNORE, encoding="utf-8")
        (folder / "CACHEDIR.TAG").write_text(_TAG, encoding="ascii")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
    new.replace(file)
