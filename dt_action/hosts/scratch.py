"""The temporary folder of a run: logs of slots, and what tests leave in `tmp_path`, kept for the last few runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

ENDED = "ended"
"""A file in the folder of a run that is over."""

DEAD_AFTER_S = 24 * 3600.0
KEPT_RUNS = 3
"""As many as pytest keeps, so that a failing test's `tmp_path` can still be looked at."""


def new_scratch() -> Path:
    """
    A new folder that only this user can read.

    pytest itself would number a folder for each process and delete old ones when the process ends, while everyone
    waits; here old runs are deleted aside, and not at all where the run is over sooner. Paths are short: a test may
    make a Unix socket in `tmp_path`, whose path must fit into 108 bytes.
    """
    ours = _ours()
    if ours is None:
        return Path(tempfile.mkdtemp(prefix="dt-"))
    scratch = Path(tempfile.mkdtemp(dir=ours, prefix=""))
    threading.Thread(target=_prune, args=(ours, scratch), daemon=True).start()
    return scratch


def end_scratch(scratch: Path) -> None:
    """The run is over: its folder may be deleted when newer ones have come."""
    with contextlib.suppress(OSError):
        (scratch / ENDED).touch()


def _ours() -> Path | None:
    """The folder of all of this user's runs; None where somebody else made one of that name."""
    folder = Path(tempfile.gettempdir()) / f"dt-of-{os.getuid() if hasattr(os, 'getuid') else 'me'}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    is_ours = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
    return folder if folder.is_dir() and not folder.is_symlink() and is_ours else None


def _prune(folder: Path, current: Path) -> None:
    """Delete all but the newest runs; one that has not ended is only taken for dead after a day."""
    with contextlib.suppress(OSError):
        runs = sorted(folder.iterdir(), key=lambda run: run.stat().st_mtime, reverse=True)
        for run in runs[KEPT_RUNS + 1 :]:
            age_s = time.time() - run.stat().st_mtime
            if run != current and ((run / ENDED).exists() or age_s > DEAD_AFTER_S):
                shutil.rmtree(run, ignore_errors=True)
