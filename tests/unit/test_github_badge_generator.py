from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.github_badge_generator import Badge, BadgeGenerator, main, read_results
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.change import Tolerated
from dt_action.model.coverage import Coverage
from dt_action.model.run import Run, SkippedFile
from dt_action.reports.formats import run_json, shields
from dt_action.reports.renderers.badge import badges


def results(tmp_path: Path, **by_type: dict[str, Any]) -> Path:
    for name, content in by_type.items():
        folder = tmp_path / f"test-results-{name}"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(content))
    return tmp_path


def shown(path: Path) -> tuple[str, str]:
    badge = json.loads(path.read_text())
    assert set(badge) == {"schemaVersion", "label", "message", "color"}  # shields.io refuses any other key
    return badge["message"], badge["color"]


def test_the_guides_call_writes_a_badge_for_all_for_each_type_and_for_coverage(tmp_path: Path) -> None:
    source = results(
        tmp_path / "in",
        integration={"summary": {"total": 5, "passed": 4, "failed": 1}, "coverage": {"percent": 99.96}},
        stress={"total": 3, "passed": 3, "failed": 0, "coverage": 12},
    )
    assert main(["--input-dir", str(source), "--output-dir", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == [
        "combined-status.json",
        "coverage.json",
        "integration-status.json",
        "stress-status.json",
    ]
    assert shown(tmp_path / "out" / "combined-status.json") == ("7 passed, 1 failed", "red")
    assert shown(tmp_path / "out" / "stress-status.json") == ("3 passed", "brightgreen")
    assert shown(tmp_path / "out" / "coverage.json") == ("99.9%", "brightgreen")
    assert (tmp_path / "out" / "coverage.svg").read_text().startswith("<svg")


def test_files_of_one_type_make_one_badge(tmp_path: Path) -> None:
    source = results(tmp_path / "in", a={"passed": 1, "failed": 0}, b={"passed": 2, "failed": 0})
    files = [str(path) for path in sorted(source.rglob("results.json"))]
    assert main(["--input", *files, "--output", str(tmp_path / "x.json"), "--type", "fault"]) == 0
    assert shown(tmp_path / "x.json") == ("3 passed", "brightgreen")
    assert json.loads((tmp_path / "x.json").read_text())["label"] == "fault"


def a_report(folder: Path, *outcomes: Any, name: str = "test_report_1.json", **more: Any) -> Path:
    cases = [
        TestResult(
            case=TestCase(id=f"t.py::t{n}", file="t.py", test_type="stress" if n % 2 else ""),
            attempts=(Attempt(outcome=outcome),),
        )
        for n, outcome in enumerate(outcomes)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(run_json.write(Run(id="r", results=tuple(cases), **more)))
    return path


def test_a_report_of_dt_tells_its_types_itself(tmp_path: Path) -> None:
    a_report(tmp_path / "in", "passed", "failed", "passed")
    main(["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")])
    assert shown(tmp_path / "out" / "stress-status.json") == ("0 passed, 1 failed", "red")
    assert shown(tmp_path / "out" / "combined-status.json") == ("2 passed, 1 failed", "red")


def test_of_several_reports_in_one_folder_the_newest_counts(tmp_path: Path) -> None:
    a_report(tmp_path / "in", "failed", name="test_report_20260101_000000.json")
    a_report(tmp_path / "in", "passed", name="test_report_20260102_000000.json")
    main(["--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")])
    assert shown(tmp_path / "out" / "combined-status.json") == ("1 passed", "brightgreen")


def test_what_is_not_whole_or_empty_never_looks_green(tmp_path: Path) -> None:
    whole = read_results(a_report(tmp_path / "a", "passed", missing_shards=("2/2",)))
    assert [(result.message, result.color) for result in whole] == [("incomplete", "orange")]
    empty = results(tmp_path / "b", x={"passed": 0, "failed": 0})
    (nothing,) = read_results(empty / "test-results-x" / "results.json")
    assert (nothing.message, nothing.color) == ("no tests", "lightgrey")


@pytest.mark.parametrize(
    ("outcomes", "more"),
    [
        (["passed", "failed"], {"tolerated": (Tolerated(id="t.py::t1", reason="in quarantine"),)}),
        (["passed", "passed"], {"breaches": ("coverage is 50 %",)}),
        (["failed", "passed"], {"breaches": ("coverage is 50 %",)}),
        (["passed", "passed"], {"missing_shards": ("2/2",)}),
        (["passed", "lost"], {}),
        (["passed", "passed"], {"uncollected": ("x.py",)}),
        (["passed", "passed"], {"status": "cancelled"}),
        (["passed", "passed"], {"status": "timeout"}),
        (["passed", "passed"], {"coverage": Coverage(statements=3, covered=2)}),
        (["skipped", "skipped"], {}),
        ([], {"skipped_files": (SkippedFile(path="a.py", reason="no torch"),)}),
        ([], {}),
    ],
    ids=str,
)
def test_the_badges_of_a_report_are_those_of_the_run_that_wrote_it(
    tmp_path: Path, outcomes: list[Any], more: dict[str, Any]
) -> None:
    path = a_report(tmp_path, *outcomes, **more)
    of_run = badges(run_json.read(path.read_bytes(), source="r"))
    assert sorted(BadgeGenerator([*read_results(path)]).badges(), key=repr) == sorted(of_run, key=repr)


def test_a_subclass_can_add_a_badge(tmp_path: Path) -> None:
    class WithDocs(BadgeGenerator):
        def badges(self) -> list[Badge]:
            return [*super().badges(), Badge(name="docs", label="docs", message="built", color="blue")]

    source = results(tmp_path / "in", a={"passed": 1, "failed": 0})
    main(["--input-dir", str(source), "--output-dir", str(tmp_path / "out")], WithDocs)
    assert shown(tmp_path / "out" / "docs.json") == ("built", "blue")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"passed": -1}', '{"passed": "many"}', '{"passed": true}', "[" * 100_000, "\x00"]
)
def test_a_file_that_says_nothing_is_told_by_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UnreadableError, match=r"results\.json"):
        list(read_results(path))


@pytest.mark.parametrize("words", [[], ["--input-dir", "nowhere"], ["--input-dir", ".", "--input", "x"]])
def test_a_call_that_cannot_be_right_is_a_configuration_error(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        main(words)


def test_hostile_words_stay_words_in_a_picture() -> None:
    badge = Badge(name="x", label="<script>", message='"&\x1b[31m', color="url(javascript:1)")
    picture = shields.svg(badge).decode()
    assert "<script>" not in picture
    assert "javascript" not in picture
