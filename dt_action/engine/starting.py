"""Why a process did not start, or died, in words that say what to do."""

from __future__ import annotations

import re

from dt_action.engine.actions import Refuse
from dt_action.model.slot_protocol import Died

USAGE_ERROR = 4
"""pytest.ExitCode.USAGE_ERROR."""

_CONFTEST = re.compile(r"while loading conftest '(?P<path>[^'\n]+)'")


def conftest_of(died: Died) -> str:
    """The conftest file that kept pytest from starting, relative to where the tests lie; empty where it was none."""
    found = _CONFTEST.search(died.log_tail)
    return _within(found["path"], died.root) if found else ""


def last_words(died: Died) -> str:
    """The last line that the process printed, else how it ended."""
    return died.log_tail.strip().rpartition("\n")[2] or died.reason


def crash_detail(log_tail: str) -> str:
    """The part of a dead process's output that says why: from faulthandler's report on, else the last lines."""
    start = log_tail.rfind("Fatal Python error")
    return log_tail[start:] if start >= 0 else "\n".join(log_tail.splitlines()[-20:])


def refusal(died: Died, *, python: str, worker: str, exit_code: int | None = None) -> Refuse:
    """
    Nowhere can pytest be started for this run: what `python` on the last `worker` said, and what to do.

    `exit_code` is pytest's own where it ended by itself. A usage error is one of those that a hint can help with.
    """
    said = died.log_tail.strip() or "nothing"
    if died.how == "unmade":
        return Refuse(
            message=f"{died.reason} on {worker}, and there is no other worker: {died.log_tail}",
            hint="has its disk room, and do --requirements and --setup work there?",
        )
    if "No module named 'pytest'" in said:
        return Refuse(
            message=f"{python} has no pytest",
            hint=f"install it (`{python} -m pip install pytest`), or name the tests' interpreter with --python",
        )
    if "coverage cannot be imported" in said:
        return Refuse(
            message=f"--coverage needs coverage.py in the tests' environment, and {python} has none; it said:\n{said}",
            hint=f"install it: {python} -m pip install coverage",
        )
    if "coverage cannot be measured" in said:
        return Refuse(message=said, hint="check the project's settings for coverage.py (docs/coverage.md)")
    if exit_code is not None and exit_code != USAGE_ERROR:
        return Refuse(
            message=f"pytest ended by itself, with exit code {exit_code}; it said:\n{said}", exit_code=exit_code
        )
    return Refuse(
        message=f"pytest did not start ({died.reason}); it said:\n{said}",
        hint="check --test-dir, --pytest-args, pytest.ini",
    )


def _within(path: str, root: str) -> str:
    """`path` as seen from `root`, with forward slashes."""
    path, root = path.replace("\\", "/"), root.replace("\\", "/").rstrip("/")
    return path.removeprefix(f"{root}/") if root else path
