"""One git command: it has a time limit, and without a terminal it asks nobody for a password."""

from __future__ import annotations

import subprocess
from pathlib import Path

TIMEOUT_S = 60.0


class GitError(Exception):
    """Git could not be run, or failed; the text is what it said."""


def run_git(root: Path, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run git in `root`, whatever it ends with. Raises GitError where it cannot be run, or takes too long."""
    try:
        return subprocess.run(
            ["git", *words],
            cwd=root,
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,  # so there is no terminal, and git says what it lacks
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run: {error}") from None


def output_of(done: subprocess.CompletedProcess[bytes]) -> bytes:
    """What git told. Raises GitError where it failed."""
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise GitError(said[-500:] or f"git {done.args[1]} ended with {done.returncode}")
    return done.stdout
