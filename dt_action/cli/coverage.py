"""Coverage in a run's wiring: where slots put their data, and what the finished run says of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dt_action.errors import DtError
from dt_action.hosting import Measuring
from dt_action.model.event import Notice
from dt_action.model.run import Run
from dt_action.options import Settings


class Measurement:
    """Where the slots of one run put their coverage data."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scratch = Path(tempfile.mkdtemp(prefix="dt-coverage-"))
        self.measuring = Measuring(
            data_file=self._scratch / ".coverage", has_contexts=settings.coverage_contexts and settings.coverage
        )

    def close(self) -> None:
        """Remove the slots' data files."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def data_files(self) -> list[Path]:
        """What the slots wrote."""
        return sorted(self._scratch.glob(f"{self.measuring.data_file.name}.*"))


def covered(
    run: Run,
    data_files: Sequence[Path],
    *,
    settings: Settings,
    python: str,
    change: Callable[[], tuple[str, Mapping[str, frozenset[int]] | None]],
    say: Callable[[str], None],
) -> Run:
    """
    The run with the coverage that data files hold, whose documents are written; what keeps them from being is a notice.

    A shard only leaves its data: a share of the tests says little of the code, so that `dt report` combines the data
    of all shards and applies the limits. `change` gives the base, and the lines that changed since.
    """
    from dt_action import coverage_data

    shard = settings.shard
    try:
        combined = coverage_data.combine(
            data_files,
            root=settings.root,
            python=python,
            output_dir=settings.root / settings.output_dir,
            formats=() if shard else settings.coverage_formats,
            name=coverage_data.shard_data_name(shard.index, shard.count) if shard else coverage_data.DATA_NAME,
            has_contexts=settings.coverage_contexts,
        )
    except (DtError, OSError) as error:
        return replace(run, notices=(*run.notices, Notice(level="error", text=f"coverage: {error}")))
    for path in combined.written:
        say(f"coverage: {path.relative_to(settings.root) if path.is_relative_to(settings.root) else path}")
    coverage = None if shard else combined.coverage
    if coverage is not None:
        base, changed = change()
        coverage = coverage if changed is None else coverage_data.with_patch(combined, changed, base)
    warnings = (Notice(level="warning", text=f"coverage: {text}") for text in combined.warnings)
    return replace(run, coverage=coverage, notices=(*run.notices, *warnings))
