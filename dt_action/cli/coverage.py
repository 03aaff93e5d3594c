"""Coverage in a run's wiring: where slots put their data, and what the finished run says of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from dt_action.errors import DtError
from dt_action.hosting import Measuring
from dt_action.model.event import Notice
from dt_action.model.run import Run
from dt_action.options import Settings


class Measurement:
    """The coverage of one run, from the slots' data files to the documents."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scratch = Path(tempfile.mkdtemp(prefix="dt-coverage-"))
        self.measuring = Measuring(
            data_file=self._scratch / ".coverage", has_contexts=settings.coverage_contexts and settings.coverage
        )

    def close(self) -> None:
        """Remove the slots' data files."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def added(
        self,
        run: Run,
        *,
        python: str,
        base: str,
        changed: Mapping[str, frozenset[int]] | None,
        say: Callable[[str], None],
    ) -> Run:
        """
        The run with its coverage, whose documents are written; what keeps them from being is a notice.

        A shard only leaves its data: a share of the tests says little of the code, so that whoever merges the shards
        combines it (`coverage_data.combine`) and applies the limits.
        """
        from dt_action import coverage_data

        settings, shard = self._settings, self._settings.shard
        try:
            combined = coverage_data.combine(
                sorted(self._scratch.glob(".coverage.*")),
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
        warnings = (Notice(level="warning", text=f"coverage: {text}") for text in combined.warnings)
        coverage = None if shard else combined.coverage
        if coverage is not None and changed is not None:
            coverage = coverage_data.with_patch(combined, changed, base)
        return replace(run, coverage=coverage, notices=(*run.notices, *warnings))
