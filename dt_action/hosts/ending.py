"""Ending processes with all that they started, and how one ended, in words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

TAIL_BYTES = 16 * 1024
UNKNOWN = 1 << 16
"""Stands for the exit code of a process whose parent is gone, so that nobody can know it."""

IS_WINDOWS = sys.platform == "win32"

RUNS_VARIABLE = "_DT_RUN_IDS"
"""Every process of a run inherits it; it tells what a test left behind, even after it made itself a daemon."""


def ending_of(code: int) -> str:
    """How a process ended, in words: by its exit code, or the negative number of the signal that killed it."""
    if code == UNKNOWN:
        return "the process ended, and nobody can tell how"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the process died of {signal.Signals(-code).name}"
    return f"the process exited with code {code}"


def tail_of(log: Path) -> str:
    """The last of what a process printed."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def kill_group(pid: int) -> None:
    """End a process group."""
    if pid == 0:  # it was never started
        return
    if IS_WINDOWS:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def kill_marked(mark: str) -> None:
    """End what left its process group: on Linux, every process that has the mark in its environment."""
    prefix, ours = f"{RUNS_VARIABLE}=".encode("ascii"), mark.encode("ascii")
    for entry in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            marks = [line.removeprefix(prefix).split(b",") for line in variables if line.startswith(prefix)]
            if any(ours in some for some in marks) and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)
