"""The JSON reports that jobs left in directories, which may be a stranger's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.model.report import is_json_report
from dt_action.model.run import Run
from dt_action.reports.formats import run_json

MOST_FILES = 10_000


def find_parts(paths: Sequence[Path]) -> list[Path]:
    """
    The JSON reports named, or anywhere in the directories named, sorted.

    The directories may come from a stranger's pull request: links are not followed, and there may not be more than
    `MOST_FILES`. Raises ConfigurationError.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ConfigurationError(f"the reports {', '.join(map(str, missing))} do not exist")
    found = sorted({path for start in paths for path in _reports_in(start)})
    if len(found) > MOST_FILES:
        raise ConfigurationError(f"there are {len(found):,} reports; expected at most {MOST_FILES:,}")
    return found


def read_parts(
    paths: Iterable[Path], bring: Callable[[Run, Path], Run] = lambda run, folder: run
) -> tuple[list[Run], list[str]]:
    """
    The runs in the reports, and why others cannot be read, a sentence each.

    `bring` is given each run with the folder of its report, where the files lie that it links to.
    """
    runs: list[Run] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            runs.append(bring(run_json.read(_content(path), source=_named(path)), path.parent))
        except UnreadableError as error:
            unreadable.append(str(error))
        except OSError as error:
            unreadable.append(f"{_named(path)}: {error.strerror or error}")
    return runs, unreadable


def _reports_in(start: Path) -> Iterator[Path]:
    if start.is_file():
        yield start
        return
    for path in start.rglob("test_report_*.json"):
        if path.is_file() and not path.is_symlink() and is_json_report(path.name):
            yield path


def _named(path: Path) -> str:
    """With its folder, which has the job's name; the report's own name holds but the time."""
    return f"{path.parent.name}/{path.name}".lstrip("/")


def _content(path: Path) -> bytes:
    if path.stat().st_size > run_json.MAX_BYTES:
        raise UnreadableError(f"{_named(path)}: expected at most {run_json.MAX_BYTES:,} bytes")
    return path.read_bytes()
