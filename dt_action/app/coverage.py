"""Coverage in a run's wiring: where slots put their data, and what the finished run says of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.errors import ConfigurationError, DtError
from dt_action.model.case import OTHER_TYPE
from dt_action.model.event import Notice
from dt_action.model.run import Run
from dt_action.options import Settings

if TYPE_CHECKING:
    from dt_action.fleets.coordinator_coverage import RemoteCoverage
    from dt_action.hosts.coverage_data import CoverageData


class Measurement:
    """Where the slots of one run put their coverage data, or where it is brought from other machines."""

    def __init__(self) -> None:
        self._elsewhere: CoverageData | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix="dt-coverage-"))
        self.data_file = self._scratch / ".coverage"

    def close(self) -> None:
        """Remove the slots' data files."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def data_files(self) -> list[Path]:
        """What the slots wrote."""
        return sorted(self._scratch.glob(f"**/{self.data_file.name}.*"))

    def remote(self) -> RemoteCoverage:
        """What brings it from other machines here."""
        from dt_action.fleets.coordinator_coverage import RemoteCoverage

        return RemoteCoverage(self.elsewhere())

    def elsewhere(self) -> CoverageData:
        """Where what is not measured by processes of this machine is brought."""
        from dt_action.hosts.coverage_data import CoverageData

        self._elsewhere = self._elsewhere or CoverageData(folder=self._scratch)
        return self._elsewhere

    def workspaces(self) -> tuple[str, ...]:
        """Where in containers and on other machines the project lay."""
        return tuple(sorted(self._elsewhere.workspaces)) if self._elsewhere else ()


def expect_possible(python: str) -> None:
    """
    Raises ConfigurationError where what slots measure elsewhere could not be combined here.

    Slots' processes would tell so at once, were they processes of this machine; now it would be known at the end only.
    """
    has_coverage = subprocess.run([python, "-c", "import coverage"], capture_output=True, check=False).returncode == 0
    if not has_coverage:
        raise ConfigurationError(
            f"--coverage combines here what the workers measured, and {python} has no coverage.py",
            hint=f"install it: {python} -m pip install coverage, or name an interpreter that has it with --python",
        )


def covered(
    run: Run,
    data_files: Sequence[Path],
    *,
    settings: Settings,
    python: str,
    change: Callable[[], tuple[str, Mapping[str, frozenset[int]] | None]],
    say: Callable[[str], None],
    workspaces: Sequence[str] = (),
) -> Run:
    """
    The run with the coverage that data files hold, whose documents are written; what keeps them from being is a notice.

    A shard only leaves its data: a share of the tests says little of the code, so that `dt report` combines the data
    of all shards and applies the limits. `change` gives the base, and the lines that changed since; `workspaces` are
    where the project lay on other machines.
    """
    from dt_action.judging import coverage_data

    shard, is_part = settings.shard, settings.shard is not None or settings.join is not None
    name = coverage_data.DATA_NAME
    if is_part:
        name = coverage_data.shard_data_name(shard.index, shard.count) if shard else coverage_data.JOINED_DATA_NAME
    try:
        combined = coverage_data.combine(
            data_files,
            root=settings.root,
            python=python,
            output_dir=settings.root / settings.output_dir,
            formats=() if is_part else settings.coverage_formats,
            name=name,
            workspaces=workspaces,
            has_contexts=settings.coverage_contexts,
            types=_files_by_type(run),
        )
    except (DtError, OSError) as error:
        # What one of several reports says of its own part is not theirs together.
        return replace(run, coverage=None, notices=(*run.notices, Notice(level="error", text=f"coverage: {error}")))
    for path in combined.written:
        say(f"coverage: {path.relative_to(settings.root) if path.is_relative_to(settings.root) else path}")
    coverage = None if is_part else combined.coverage
    if coverage is not None:
        base, changed = change()
        coverage = coverage if changed is None else coverage_data.with_patch(combined, changed, base)
    warnings = (Notice(level="warning", text=f"coverage: {text}") for text in (*combined.warnings, *_holes(run)))
    return replace(run, coverage=coverage, notices=(*run.notices, *warnings))


def _files_by_type(run: Run) -> Mapping[str, Sequence[str]]:
    files: dict[str, set[str]] = {}
    for result in run.results:
        files.setdefault(result.case.test_type or OTHER_TYPE, set()).add(result.case.file)
    return {name: sorted(paths) for name, paths in sorted(files.items())}


def _holes(run: Run) -> Iterator[str]:
    """A process that died has not saved what it measured last."""
    deaths = sum(attempt.outcome in ("crashed", "timeout") for result in run.results for attempt in result.attempts)
    if deaths:
        who = f"{deaths} processes of tests" if deaths > 1 else "a process of tests"
        yield f"{who} died; what it ran after it had saved last is missing"
