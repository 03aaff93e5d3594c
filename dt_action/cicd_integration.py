"""The programmatic face: a run as an object whose steps a subclass can change. The command line's twin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dt_action import pipeline
from dt_action.app.wiring import Wiring
from dt_action.cli import guarded
from dt_action.cli import main as run_command
from dt_action.cli.run import execute
from dt_action.model.case import TestFile
from dt_action.model.event import Event
from dt_action.model.hardware import FileNeeds
from dt_action.model.plan import Plan
from dt_action.model.report import Publication
from dt_action.model.run import Run
from dt_action.options import resolve

Words = Sequence[str]


class CICDIntegration:
    """
    Run the tests of a project and tell the CI service.

    What is left out (None) comes from the environment, the configuration file or the default, as on the command
    line. Durations are seconds, or text such as "5m".

        class Nightly(CICDIntegration):
            def discover_tests(self):
                return [file for file in super().discover_tests() if file.test_type != "stress"]

        sys.exit(Nightly(provider="github").run(test_dir="tests"))
    """

    def __init__(
        self,
        coordinator_url: str | None = None,
        api_key: str | None = None,
        provider: str | None = None,
        timeout: float | str | None = None,
        poll_interval: float | str | None = None,
        verbose: bool | None = None,
    ) -> None:
        self._given: dict[str, object] = {
            "coordinator": coordinator_url,
            "api_key": api_key,
            "provider": provider,
            "timeout_s": timeout,
            "poll_interval_s": poll_interval,
            "verbose": verbose,
        }
        self._wiring: Wiring | None = None
        self._files: Sequence[TestFile] = ()
        self._needs: Mapping[str, FileNeeds] = {}

    def run(
        self,
        test_dir: str | Path | None = None,
        test_pattern: str | None = None,
        test_files: Sequence[str | Path] | None = None,
        output_dir: str | Path | None = None,
        report_formats: Words | None = None,
    ) -> int:
        """
        Run, report and publish; the exit code of docs/exit-codes.md. Paths are relative to the working directory.

        An error is told on stderr and gives its exit code; none is raised.
        """
        asked: dict[str, object] = {
            "test_dir": None if test_dir is None else str(test_dir),
            "test_pattern": test_pattern,
            "test_files": None if test_files is None else [str(path) for path in test_files],
            "output_dir": None if output_dir is None else str(output_dir),
            "report_formats": report_formats,
        }
        environ = dict(os.environ)
        return guarded(lambda: self._run({**self._given, **asked}, environ), environ)

    def discover_tests(self) -> Sequence[TestFile]:
        """The files to run."""
        return self.wiring.discover()

    def analyze_test_requirements(self, test_file: TestFile) -> FileNeeds:
        """What the tests of a file need."""
        if not self._needs:  # all at once: files share what they import
            self._needs = self.wiring.analyze(self._files)
        found = self._needs.get(test_file.path)
        return self.wiring.analyze([test_file])[test_file.path] if found is None else found

    def submit_test(self, test_file: TestFile, requirements: FileNeeds) -> FileNeeds | None:
        """Hand a file over to be run with these requirements, or others; None leaves the file out."""
        return requirements

    def wait_for_results(self, plan: Plan, events: Iterator[Event]) -> Run:
        """Follow the fleet to its end. Nothing executes before the first event is asked for."""
        return self.wiring.collect(plan, events)

    def generate_report(self, run: Run) -> Publication:
        """Write the reports, and say what the CI service is to be told. The run is judged, and without secrets."""
        return self.wiring.report(run)

    def report_to_ci_system(self, run: Run, publication: Publication) -> Sequence[str]:
        """Tell the CI service; what it refused, in words."""
        return self.wiring.publish(run, publication)

    @property
    def wiring(self) -> Wiring:
        """The collaborators of the present run, for a step that needs one. Raises RuntimeError outside a run."""
        if self._wiring is None:
            raise RuntimeError("the steps of a CICDIntegration work while it runs; call run()")
        return self._wiring

    def _run(self, given: Mapping[str, object], environ: Mapping[str, str]) -> int:
        try:
            return execute(resolve(given, environ, Path.cwd()), environ, steps=self._steps)
        finally:
            self._wiring, self._files, self._needs = None, (), {}

    def _steps(self, wiring: Wiring) -> pipeline.Steps:
        self._wiring = wiring
        own = CICDIntegration
        wiring.names_files = (type(self).discover_tests, type(self).submit_test) != (
            own.discover_tests,
            own.submit_test,
        )
        return replace(
            wiring.steps(),
            discover=self._discover,
            analyze=self._analyze,
            plan=self._plan,
            collect=self.wait_for_results,
            report=self.generate_report,
            publish=self.report_to_ci_system,
        )

    def _discover(self) -> Sequence[TestFile]:
        """The subclass's files; a path alone is a file without a type."""
        found: Sequence[TestFile | str | Path] = self.discover_tests()
        return [file if isinstance(file, TestFile) else TestFile(path=Path(file).as_posix()) for file in found]

    def _analyze(self, files: Sequence[TestFile]) -> Mapping[str, FileNeeds]:
        self._files = files
        return {file.path: self.analyze_test_requirements(file) for file in files}

    def _plan(self, files: Sequence[TestFile], needs: Mapping[str, FileNeeds]) -> Plan:
        submitted = {file.path: self.submit_test(file, needs[file.path]) for file in files}
        taken = {path: requirements for path, requirements in submitted.items() if requirements is not None}
        return self.wiring.plan([file for file in files if file.path in taken], taken)


if __name__ == "__main__":
    sys.exit(run_command(["run", *sys.argv[1:]], os.environ))
