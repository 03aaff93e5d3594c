"""What tests leave comes back: files of tests that pass, fail and crash, and the properties that they record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

TESTS = {
    "tests/test_left.py": """
import os
import pathlib

import pytest

LEFT = pathlib.Path(os.environ.get("DT_ARTIFACTS", "."))

def test_passes(dt_artifacts):
    (dt_artifacts / "note.txt").write_text("all is well")

def test_fails(tmp_path, record_property):
    record_property("requirement", "REQ-7")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "state.json").write_text("{}")
    (LEFT / "screen.png").write_bytes(bytes(range(256)) * 1000)
    assert 0

def test_leaves_nothing(tmp_path, record_testsuite_property):
    record_testsuite_property("firmware", "2.1")
    (tmp_path / "x").write_text("of a test that passes")

@pytest.mark.parametrize("name", ["a/../../../up", "<img src=x>"])
def test_with_a_name(name, dt_artifacts):
    (dt_artifacts / "log.txt").write_text("the token is s3cr3t-t0ken")

def test_skips(dt_artifacts):
    (dt_artifacts / "why.txt").write_text("no reason")
    pytest.skip("no")
""",
    "tests/test_dies.py": """
import os

def test_dies(dt_artifacts):
    (dt_artifacts / "last.log").write_text("the last words")
    os._exit(3)
""",
    "tests/test_again.py": """
import pathlib

TRIES = []

def test_at_the_second_try(dt_artifacts):
    TRIES.append(1)
    (dt_artifacts / "try.txt").write_text(f"try {len(TRIES)}")
    assert len(TRIES) == 2
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in TESTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def dt(project: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("DT_", "GITHUB", "CI", "GITLAB"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "dt_action", *words],
        cwd=project,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done


def run(project: Path, *options: str, **environ: str) -> dict[str, Any]:
    dt(project, "run", "--report-formats", "json,xml,ctrf,html", *options, **environ)
    return report(project / "test_reports")


def report(folder: Path) -> dict[str, Any]:
    """The newest JSON report there."""
    found = [path for path in folder.glob("test_report_*.json") if path.name.count(".") == 1]
    value: dict[str, Any] = json.loads(max(found).read_text())
    return value


def left_by(run: dict[str, Any], folder: Path) -> dict[str, dict[str, bytes]]:
    """Each test's files by name."""
    return {
        result["id"].rpartition("::")[2]: {
            item["name"]: (folder / item["path"]).read_bytes() for item in result["artifacts"]
        }
        for result in run["tests"]
        if result.get("artifacts")
    }


def test_files_of_all_tests_come_back_to_the_test_that_left_them(project: Path) -> None:
    left = left_by(run(project, "--workers", "2", "--retries", "0"), project / "test_reports")
    assert left.pop("test_passes") == {"note.txt": b"all is well"}
    assert left.pop("test_skips") == {"why.txt": b"no reason"}
    failed = left.pop("test_fails")
    assert failed["screen.png"] == bytes(range(256)) * 1000, "a file larger than one message"
    assert failed["tmp_path/sub/state.json"] == b"{}"
    assert left.pop("test_dies") == {"last.log": b"the last words"}
    assert left.pop("test_at_the_second_try") == {"try.txt": b"try 1"}
    assert len(left) == 2, "two names that are hostile, and nothing of a tmp_path of a test that passes"


def test_each_try_keeps_its_files(project: Path) -> None:
    left = left_by(run(project, "--retries", "1"), project / "test_reports")
    assert left["test_at_the_second_try"] == {"try.txt": b"try 1", "try 2/try.txt": b"try 2"}
    assert {name for name in left["test_fails"] if name.startswith("try 2/")}


def test_nothing_that_tests_are_called_leads_out_of_the_folder(project: Path) -> None:
    before = set(project.parent.iterdir())
    left = run(project, DT_TOKEN="s3cr3t-t0ken")
    folder = project / "test_reports"
    for result in left["tests"]:
        for item in result.get("artifacts", ()):
            assert (folder / item["path"]).resolve().is_relative_to(folder.resolve())
    assert set(project.parent.iterdir()) == before
    texts = [path.read_bytes() for path in folder.rglob("log.txt")]
    assert len(texts) == 2
    assert not any(b"s3cr3t" in text for text in texts), "a secret is masked in files, too"


def test_properties_stand_in_all_documents(project: Path) -> None:
    found = run(project)
    folder = project / "test_reports"
    assert found["run"]["properties"] == [{"name": "firmware", "value": "2.1"}]
    attempts = {result["id"].rpartition("::")[2]: result["attempts"][-1] for result in found["tests"]}
    assert attempts["test_fails"]["properties"] == [{"name": "requirement", "value": "REQ-7"}]

    (junit,) = folder.glob("*.xml")
    root = ET.parse(junit).getroot()
    assert [(p.get("name"), p.get("value")) for p in root.iter("property")][:1] == [("firmware", "2.1")]
    case = next(case for case in root.iter("testcase") if case.get("name") == "test_fails")
    assert [(p.get("name"), p.get("value")) for p in case.iter("property")] == [("requirement", "REQ-7")]
    attached = [line for text in case.iter("system-out") for line in (text.text or "").splitlines() if "[[ATT" in line]
    assert len(attached) == 2, "what Jenkins and GitLab take for links"

    (ctrf,) = folder.glob("*ctrf*.json")
    test = next(t for t in json.loads(ctrf.read_text())["results"]["tests"] if t["name"].endswith("test_fails"))
    assert {item["name"] for item in test["attachments"]} == {"screen.png", "tmp_path/sub/state.json"}
    assert all((project / item["path"]).is_file() for item in test["attachments"])


def test_a_report_of_many_jobs_brings_the_files_of_all(project: Path, tmp_path: Path) -> None:
    for name in TESTS:
        part = Path(name).stem
        dt(project, "run", "--test-files", name, "--report-formats", "json", "--output-dir", f"parts/{part}")
    dt(project, "report", "parts", "--report-formats", "json,html", "--output-dir", "whole")
    left = left_by(report(project / "whole"), project / "whole")
    assert left["test_passes"] == {"note.txt": b"all is well"}
    assert left["test_dies"] == {"last.log": b"the last words"}
    (page,) = (project / "whole").glob("*.html")
    assert "screen.png" in page.read_text()


def test_a_report_of_a_stranger_reads_no_file_of_ours(project: Path) -> None:
    (project / "private.txt").write_text("not for everybody")
    dt(project, "run", "--test-files", "tests/test_left.py", "--report-formats", "json", "--output-dir", "parts/a")
    (path,) = (project / "parts/a").glob("test_report_*.json")
    told = json.loads(path.read_text())
    for result in told["tests"]:
        for item, place in zip(
            result.get("artifacts", ()), ["../../private.txt", str(project / "private.txt")], strict=False
        ):
            item["path"] = place
    path.write_text(json.dumps(told))
    dt(project, "report", "parts", "--report-formats", "json", "--output-dir", "whole")
    assert not [
        found for found in (project / "whole").rglob("*") if found.is_file() and b"everybody" in found.read_bytes()
    ]


def test_there_is_a_limit_and_the_run_says_what_was_left_out(project: Path) -> None:
    found = run(project, "--artifacts-limit", "1k")
    left = left_by(found, project / "test_reports")
    assert "screen.png" not in left["test_fails"]
    assert "tmp_path/sub/state.json" in left["test_fails"], "the small ones first"
    assert any("screen.png" in notice["text"] for notice in found["run"]["notices"])


def test_none_are_kept_where_none_are_wanted(project: Path) -> None:
    found = run(project, "--artifacts-limit", "0")
    assert not left_by(found, project / "test_reports")
    outcomes = {result["id"].rpartition("::")[2]: result["attempts"][-1]["outcome"] for result in found["tests"]}
    assert outcomes["test_passes"] == "passed", "the fixture is there all the same"
