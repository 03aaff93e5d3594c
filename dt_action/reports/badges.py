"""Badges of results that earlier steps left in files: JSON reports of dt, or counts in a small JSON of any tool."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.model.report import Badge, Standing, is_json_report
from dt_action.model.run import Conclusion
from dt_action.reports.formats import run_json, shields
from dt_action.reports.renderers.badge import (
    WHOLE,
    coverage_badge,
    name_of,
    standing_of,
    standings_by_type,
    status_badge,
    together,
)

MAX_BYTES = 256 << 20
_FOLDER = re.compile(r"test-results-(?P<type>[\w.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    What one file of results says: counts, the test type it is of (empty: all), and coverage in percent.

    `conclusion` is of these tests and `of_run` of the run they were in, where the file says so; without that, the
    counts and `is_whole` tell.
    """

    test_type: str
    passed: int
    failed: int
    skipped: int = 0
    is_whole: bool = True
    conclusion: Conclusion | None = None
    of_run: Conclusion | None = None
    coverage: float | None = None

    @property
    def standing(self) -> Standing:
        """These tests' standing."""
        return Standing(
            conclusion=self.conclusion or self._counted(),
            passed=self.passed,
            failed=self.failed,
            skipped=self.skipped,
        )

    @property
    def message(self) -> str:
        """The words on the badge."""
        return status_badge("", "", self.standing).message

    @property
    def color(self) -> str:
        """The colour on the badge."""
        return status_badge("", "", self.standing).color

    def _counted(self) -> Conclusion:
        if self.failed:
            return "failed"
        if not self.is_whole:
            return "incomplete"
        return "passed" if self.passed else "skipped" if self.skipped else "no-tests"


class BadgeGenerator:
    """
    Makes badges of results and writes them.

    A subclass that overrides `badges` adds, drops or changes some; `results` holds what was read.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = tuple(results)

    def badges(self) -> Sequence[Badge]:
        """
        `combined-status`, a `<type>-status` for each test type, and `coverage` where a result has it.

        Of several coverages the largest is told: together they cover at least that much.
        """
        made = [self.status_badge(WHOLE, "tests", [_of_run(result) for result in self.results])]
        for test_type in sorted({result.test_type for result in self.results} - {""}):
            of_type = [result for result in self.results if result.test_type == test_type]
            made.append(self.status_badge(name_of(test_type), test_type, of_type))
        measured = [result.coverage for result in self.results if result.coverage is not None]
        if measured:
            made.append(self.coverage_badge(max(measured)))
        return made

    def status_badge(self, name: str, label: str, results: Sequence[Result]) -> Badge:
        """One badge over several results."""
        return status_badge(name, label, together(result.standing for result in results))

    def coverage_badge(self, percent: float) -> Badge:
        """The badge of the coverage."""
        return coverage_badge(percent)

    def write(self, directory: Path) -> list[Path]:
        """Write endpoint JSON and an SVG for every badge, and return the paths. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, content in shields.files(self.badges()).items():
            (directory / name).write_bytes(content)
            paths.append(directory / name)
        return paths


def find_results(directory: Path) -> list[Path]:
    """
    The files of results in a directory: those in folders `test-results-<type>`, and the newest JSON report of others.

    Raises ConfigurationError where there is no such directory or nothing in it.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"--input-dir is {str(directory)!r}; expected a directory, found none")
    found = sorted(directory.glob("test-results-*/results.json"))
    found += [path for path in newest_reports(directory) if path.parent / "results.json" not in found]
    if not found:
        raise ConfigurationError(
            f"no results are in {str(directory)!r}; expected test-results-<type>/results.json or test_report_*.json",
            hint="run dt with --report-formats json first, and name its output directory",
        )
    return found


def newest_reports(directory: Path) -> list[Path]:
    """The newest JSON report of each folder below a directory, sorted by folder."""
    by_folder: dict[Path, Path] = {}
    for path in sorted(directory.rglob("test_report_*.json")):
        if is_json_report(path.name):
            by_folder[path.parent] = path  # the name holds the time, so that the last one is the newest
    return [*by_folder.values()]


def read_results(path: Path, *, test_type: str = "") -> Iterator[Result]:
    """
    What a file says: a JSON report of dt gives one result per test type, any other file of counts gives one.

    Raises UnreadableError.
    """
    folder = _FOLDER.fullmatch(path.parent.name)
    kind = test_type or (folder["type"] if folder else "")
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}") from None
    if content is None:
        raise UnreadableError(f"{path}: expected at most {MAX_BYTES:,} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: expected JSON, found something else ({error})") from None
    if isinstance(found, dict) and "schema_version" in found:
        yield from _of_report(content, str(path), kind)
    else:
        yield _of_counts(found, str(path), kind)


def _of_report(content: bytes, source: str, kind: str) -> Iterator[Result]:
    run = run_json.read(content, source=source)
    coverage = run.coverage.percent if run.coverage else None
    of_run = run.conclusion()
    whole = standing_of(run)
    by_type = {kind: whole} if kind else standings_by_type(run)
    typed = together(by_type.values())
    rest = Standing(  # the tests of no type
        conclusion=of_run,
        passed=whole.passed - typed.passed,
        failed=whole.failed - typed.failed,
        skipped=whole.skipped - typed.skipped,
    )
    if rest.passed or rest.failed or rest.skipped or not by_type:
        by_type = {"": rest, **by_type}
    for test_type, standing in by_type.items():
        yield Result(
            test_type=test_type,
            passed=standing.passed,
            failed=standing.failed,
            skipped=standing.skipped,
            conclusion=standing.conclusion,
            of_run=of_run,
            coverage=coverage,
        )
        coverage = None


def _of_run(result: Result) -> Result:
    """The result with the word of its run, in which more may have gone wrong than in its tests."""
    return replace(result, conclusion=result.of_run) if result.of_run else result


def _of_counts(found: Any, source: str, kind: str) -> Result:
    """Counts in an object or under its `summary` or `totals`, or a list of tests with an outcome or a status."""
    if not isinstance(found, dict):
        raise UnreadableError(f"{source}: expected an object with counts or a list of tests")
    counts = next((found[key] for key in ("summary", "totals") if isinstance(found.get(key), dict)), found)
    tests = found.get("tests") if isinstance(found.get("tests"), list) else found.get("results")
    if "passed" not in counts and isinstance(tests, list):
        words = [str(test.get("outcome") or test.get("status") or "") for test in tests if isinstance(test, dict)]
        passed = sum(word in ("passed", "completed", "success") for word in words)
        failed = sum(word in ("failed", "error", "timeout", "crashed") for word in words)
        skipped = sum(word in ("skipped", "xfailed", "pending") for word in words)
        return Result(test_type=kind, passed=passed, failed=failed, skipped=skipped, coverage=_percent(found))
    if "passed" not in counts and "failed" not in counts:
        raise UnreadableError(f"{source}: expected `passed` and `failed`, found neither")
    failed = _count(counts, "failed", source) + _count(counts, "errors", source) + _count(counts, "error", source)
    passed, skipped = _count(counts, "passed", source), _count(counts, "skipped", source)
    return Result(test_type=kind, passed=passed, failed=failed, skipped=skipped, coverage=_percent(found))


def _count(counts: Mapping[str, Any], name: str, source: str) -> int:
    value = counts.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnreadableError(f"{source}: expected a count as `{name}`, found {str(value)[:50]!r}")
    return value


def _percent(found: Mapping[str, Any]) -> float | None:
    value = found.get("coverage")
    if isinstance(value, dict):
        value = next((value[key] for key in ("percent", "percentage", "total", "line_rate") if key in value), None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return None
    return float(value)
