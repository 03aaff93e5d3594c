"""Whatever a service links to is named from the repository's top, and commands from where the user stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

FAILING = "def test_add():\n    assert 1 == 2\n"
CONFIG = "[tool.pytest.ini_options]\naddopts = '-q'\n"


@dataclass(frozen=True)
class Layout:
    """Where things lie: the repository in the workspace, and in it the test, pytest's settings and the user."""

    repository: str
    test: str
    config: str
    start: str
    options: tuple[str, ...] = ()


LAYOUTS = {
    "all at the top": Layout("app", "tests/test_calc.py", "pyproject.toml", ""),
    "a project in a folder": Layout("app", "py/tests/test_calc.py", "py/pyproject.toml", "py"),
    "settings at the top, started below": Layout("app", "py/tests/test_calc.py", "pyproject.toml", "py"),
    "started at the top, settings below": Layout(
        "app", "py/tests/test_calc.py", "py/pytest.ini", "", ("--test-dir", "py")
    ),
    "settings above the repository": Layout("app", "tests/test_calc.py", "../pyproject.toml", ""),
    "checked out below the workspace": Layout("deep/er", "py/tests/test_calc.py", "py/pyproject.toml", "py"),
    "no settings": Layout("app", "py/tests/test_calc.py", "", "py"),
}


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def made(workspace: Path, layout: Layout) -> Path:
    top = workspace / layout.repository
    for name, text in (
        (layout.test, FAILING),
        (layout.config, CONFIG if layout.config.endswith(".toml") else "[pytest]\n"),
        ("CODEOWNERS", f"/{layout.test} @them\n"),
        (".gitignore", "test_reports/\n.dt_cache/\n__pycache__/\n.pytest_cache/\n"),
    ):
        if name:
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    return top / layout.start


def dt(start: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("DT_", "GITHUB", "CI", "GITLAB"))
    }
    return subprocess.run(
        [sys.executable, "-m", "dt_action", "run", "--workers", "1", *options],
        cwd=start,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), "PWD": str(start), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("layout", "is_linked"),
    [*((layout, False) for layout in LAYOUTS.values()), (LAYOUTS["a project in a folder"], True)],
    ids=[*LAYOUTS, "a project in a folder, through a link"],
)
def test_links_lead_to_the_file_in_the_repository_and_the_command_runs_the_test_again(
    tmp_path: Path, layout: Layout, is_linked: bool
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    start = made(workspace, layout)
    if is_linked:
        (tmp_path / "link").symlink_to(workspace)
        start = tmp_path / "link" / layout.repository / layout.start
    done = dt(
        start,
        *layout.options,
        *("--report-formats", "json", "ctrf", "codequality", "--provider", "gitlab"),
        CI_PROJECT_DIR=str(workspace),
        CI_JOB_URL="https://gitlab.example/jobs/5",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    reports = start / "test_reports"
    (junit,) = reports.glob("*.xml")
    (ctrf,) = reports.glob("*.ctrf.json")
    (own,) = reports.glob("*.codequality.json")
    (report,) = (path for path in reports.glob("test_report_*.json") if path.name.count(".") == 1)
    told = {
        "junit": ET.parse(junit).getroot().find(".//testcase").get("file"),  # type: ignore[union-attr]
        "ctrf": json.loads(ctrf.read_text())["results"]["tests"][0]["filePath"],
        "codequality": json.loads(own.read_text())[0]["location"]["path"],
        "gitlab": json.loads((reports / "gl-code-quality.json").read_text())[0]["location"]["path"],
    }
    assert told == dict.fromkeys(told, layout.test)
    owners = json.loads(report.read_text())["run"]["owners"]
    assert [owned["owners"] for owned in owners] == [["@them"]]
    again = re.search(r"again: python -m pytest '([^']+)'", done.stdout)
    assert again is not None
    repeated = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", again[1]],
        cwd=start,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed" in repeated.stdout, repeated.stdout + repeated.stderr


def test_links_to_artifacts_are_named_from_the_projects_folder(tmp_path: Path) -> None:
    start = made(tmp_path, LAYOUTS["a project in a folder"])
    dt(start, "--provider", "gitlab", CI_PROJECT_DIR=str(tmp_path / "app"), CI_JOB_URL="https://gitlab.example/jobs/5")
    links = json.loads((start / "test_reports" / "gl-annotations.json").read_text())["distributed_testing"]
    assert links[0]["external_link"]["url"].startswith(
        "https://gitlab.example/jobs/5/artifacts/file/py/test_reports/test_report_"
    )


def test_paths_are_right_where_git_does_not_want_to_tell_them(tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root meets a folder of somebody else's so")
    start = made(tmp_path, LAYOUTS["a project in a folder"])
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 1234, 1234)
    (tmp_path / "home").mkdir()
    dt(start, "--provider", "github", GITHUB_WORKSPACE=str(tmp_path), HOME=str(tmp_path / "home"))
    (junit,) = (start / "test_reports").glob("*.xml")
    assert 'file="py/tests/test_calc.py"' in junit.read_text()


def shown_by_gitlab(document: Path, top: Path, project: str) -> set[str | None]:
    """The files of a Cobertura document that GitLab finds in the repository, by the rule of its sax_document.rb."""
    known = set(git(top, "ls-files").split())
    root = ET.parse(document).getroot()
    parts = [(source.text or "").replace("\\", "/").split(f"{project}/", 1) for source in root.iter("source")]
    folders = [part[1] for part in parts if len(part) > 1 and part[1]]
    found: set[str | None] = set()
    for item in root.iter("class"):
        name = item.get("filename") or ""
        candidates = [f"{folder}/{name}" for folder in folders] if folders else [name]
        found.add(next((path for path in candidates if path in known), None))
    return found


@pytest.mark.parametrize("settings", ['source = ["pkg"]', "branch = true", 'source = ["."]'])
@pytest.mark.parametrize("folder", ["", "py"], ids=["top", "folder"])
def test_gitlab_finds_every_measured_file_as_in_coverage_pys_own_document(
    tmp_path: Path, settings: str, folder: str
) -> None:
    pytest.importorskip("coverage")
    top = tmp_path / "builds" / "team" / "app"
    start = top / folder
    for name, text in (
        ("pkg/__init__.py", ""),
        ("pkg/calc.py", "def add(a, b):\n    return a + b\n"),
        ("tests/test_calc.py", "from pkg.calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"),
        ("conftest.py", ""),
        ("pyproject.toml", f"[tool.coverage.run]\n{settings}\n"),
        (".gitignore", "test_reports/\n.dt_cache/\n__pycache__/\n.coverage\nplain.xml\n"),
    ):
        (start / name).parent.mkdir(parents=True, exist_ok=True)
        (start / name).write_text(text)
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    done = dt(start, "--coverage", "--coverage-formats", "xml")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (["run", "-m", "pytest", "-q", "-p", "no:dt"], ["xml", "-o", "plain.xml"]):
        subprocess.run([sys.executable, "-m", "coverage", *words], cwd=start, check=True, capture_output=True)
    ours, plain = ET.parse(start / "test_reports" / "coverage.xml"), ET.parse(start / "plain.xml")
    assert [item.text for item in ours.iter("source")] == [item.text for item in plain.iter("source")]
    shown = shown_by_gitlab(start / "test_reports" / "coverage.xml", top, "team/app")
    assert shown == shown_by_gitlab(start / "plain.xml", top, "team/app")
    assert None not in shown
    assert f"{folder}/pkg/calc.py".lstrip("/") in shown
