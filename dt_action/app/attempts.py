"""Earlier attempts in a run's wiring: with `--rerun-failed` a run takes from them what need not run again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dt_action.app.artifacts import Artifacts
from dt_action.app.parts import find_parts, read_parts
from dt_action.discovery.globs import slashes
from dt_action.discovery.pytest_config import read_pytest_config
from dt_action.judging import rerun
from dt_action.judging.coverage_data import shard_data_files
from dt_action.model.build import Build
from dt_action.model.event import Notice
from dt_action.model.plan import Plan
from dt_action.model.run import Run
from dt_action.options import Settings, secret_values
from dt_action.reports.redaction import Redactor


class Attempts:
    """The earlier attempts at a run, and what they leave to it. Where nothing can be taken from them, all runs."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], build: Callable[[], Build], say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._build = build
        self._say = say
        self._earlier: Run | None = None
        self._notices: tuple[Notice, ...] = ()
        self._named: rerun.Named = str

    def narrowed(self, plan: Plan, shard: str = "") -> Plan:
        """What of the plan failed, died or never ran before; `shard` names the share of a plan that is not cut."""
        places = self._places()
        artifacts = Artifacts.from_settings(self._settings, self._environ)
        runs, unreadable = read_parts(find_parts(places), artifacts.brought) if places else ([], [])
        self._notices = tuple(Notice(level="warning", text=text) for text in unreadable)
        self._named = self._names()
        earlier = rerun.earlier_attempt(runs, plan, self._build(), self._named, shard)
        if isinstance(earlier, str):
            self._say(f"everything runs: {earlier}")
            return plan
        self._earlier = earlier
        left = rerun.still_to_run(earlier, plan, self._named)
        self._say(f"running again what is left of {len(plan.files)} files: {len(left.files)}")
        return left

    def continued(self, run: Run) -> Run:
        """The run together with what came before, in whose report secrets are masked, in the names of tests, too."""
        if self._earlier is None:
            return replace(run, notices=(*run.notices, *self._notices))
        masked = Redactor(secret_values(self._settings, self._environ)).run(run)
        both = rerun.continued(self._earlier, masked, self._named)
        return replace(both, notices=(*both.notices, *self._notices))

    def data_files(self) -> list[Path]:
        """The coverage data that earlier attempts left."""
        return [path for place in self._places() for path in shard_data_files(place)] if self._earlier else []

    def _places(self) -> Sequence[Path]:
        """The directories that are there: the first attempt finds none."""
        named = (self._settings.root / name for name in self._settings.rerun_failed)
        return [path for path in named if path.exists()]

    def _names(self) -> Callable[[str], str]:
        """How pytest names a file: from its root directory, which may lie above ours or below."""
        settings = self._settings
        start = [settings.root / settings.test_dir] if settings.test_dir else []
        rootdir = read_pytest_config(settings.root, start, settings.pytest_args, self._environ).rootdir

        def named(path: str) -> str:
            try:
                return slashes(os.path.relpath(settings.root / path, rootdir))
            except ValueError:  # Windows, on two drives
                return path

        return named
