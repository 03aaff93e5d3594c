"""The programmatic face: the same run, with steps that a subclass changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dt_action import CICDIntegration
from dt_action.model.case import TestFile
from dt_action.model.event import Event
from dt_action.model.hardware import Clause, DeviceNeed, FileNeeds, Requirement
from dt_action.model.plan import Plan
from dt_action.model.report import Publication
from dt_action.model.run import Run


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_good.py").write_text("def test_good():\n    pass\n")
    (tmp_path / "tests/test_bad.py").write_text("def test_bad():\n    assert False\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_gives_the_exit_code_and_writes_the_reports(project: Path) -> None:
    integration = CICDIntegration(provider="generic", timeout=60, verbose=False)
    code = integration.run(test_dir="tests", output_dir="out", report_formats=["json", "md"])
    assert code == 1
    assert sorted(path.suffix for path in (project / "out").iterdir()) == [".json", ".md", ".xml"]


def test_files_and_patterns_narrow_the_run() -> None:
    assert CICDIntegration().run(test_files=[Path("tests/test_good.py")]) == 0
    assert CICDIntegration().run(test_dir="tests", test_pattern="test_g*.py") == 0


def test_it_runs_outside_the_main_thread_and_more_than_once() -> None:
    integration, codes = CICDIntegration(), []
    for _ in range(2):
        thread = threading.Thread(target=lambda: codes.append(integration.run(test_files=["tests/test_good.py"])))
        thread.start()
        thread.join()
    assert codes == [0, 0]


def test_a_mistake_is_told_and_gives_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert CICDIntegration(timeout="soon", provider="travis").run() == 4
    assert "2 problems" in capsys.readouterr().err


def test_overriding_discovery_changes_what_runs() -> None:
    class Good(CICDIntegration):
        def discover_tests(self) -> Sequence[TestFile]:
            return [file for file in super().discover_tests() if "good" in file.path]

    assert Good().run() == 0
    assert Good().run(test_dir="tests") == 0


def test_overriding_discovery_may_name_any_file_by_its_path(project: Path) -> None:
    (project / "checks.py").write_text("def test_elsewhere():\n    assert False\n")

    class Elsewhere(CICDIntegration):
        def discover_tests(self) -> Sequence[TestFile]:
            return ["checks.py"]  # type: ignore[list-item]  # as code without types would

    assert Elsewhere().run(test_dir="tests") == 1


def test_overriding_the_analysis_changes_where_a_test_may_run(capsys: pytest.CaptureFixture[str]) -> None:
    class NeedsTpu(CICDIntegration):
        def analyze_test_requirements(self, test_file: TestFile) -> FileNeeds:
            needed = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="tpu"),)),), enforced=True)
            return replace(super().analyze_test_requirements(test_file), default=needed)

    assert NeedsTpu().run(test_files=["tests/test_good.py"]) == 6
    assert "needs tpu" in capsys.readouterr().out


def test_overriding_the_submission_leaves_a_file_out() -> None:
    class Careful(CICDIntegration):
        def submit_test(self, test_file: TestFile, requirements: FileNeeds) -> FileNeeds | None:
            return None if "bad" in test_file.path else requirements

    assert Careful().run(test_dir="tests") == 0


def test_overriding_the_wait_sees_every_event_and_the_run() -> None:
    seen: list[str] = []

    class Watching(CICDIntegration):
        def wait_for_results(self, plan: Plan, events: Iterator[Event]) -> Run:
            def watched() -> Iterator[Event]:
                for event in events:
                    seen.append(type(event).__name__)
                    yield event

            return super().wait_for_results(plan, watched())

    assert Watching().run(test_files=["tests/test_good.py"]) == 0
    assert seen[-1] == "Ended"
    assert seen.count("CaseFinished") == 1


def test_overriding_the_report_and_its_publication_changes_what_is_told(project: Path) -> None:
    told: list[str] = []

    class Quiet(CICDIntegration):
        def generate_report(self, run: Run) -> Publication:
            return Publication(title=run.totals().line(), summary_markdown="")

        def report_to_ci_system(self, run: Run, publication: Publication) -> Sequence[str]:
            told.append(publication.title)
            return ["the service was not asked"]

    assert Quiet().run(test_files=["tests/test_good.py"]) == 0
    assert told == ["1 passed, 0 failed, 0 skipped"]
    assert not (project / "test_reports").exists()


def test_a_step_outside_a_run_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"call run\(\)"):
        CICDIntegration().discover_tests()
