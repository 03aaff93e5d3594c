"""GitLab's include, component and the guide's own job, run by gitlab-ci-local in containers."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest


class GitLabRunner:
    """Runs the pipeline of a project."""

    def __init__(self, program: str, project: Path) -> None:
        self.program, self.project = program, project

    def run(self, text: str, *words: str) -> subprocess.CompletedProcess[str]:
        (self.project / ".gitlab-ci.yml").write_text(text)
        for command in ("add -A", "commit -q -m pipeline"):
            subprocess.run(["git", *command.split()], cwd=self.project, check=True)
        command = [self.program, "--pull-policy", "if-not-present", "--no-color", *words]
        return subprocess.run(command, cwd=self.project, capture_output=True, text=True, check=False, timeout=500)

    def artifacts(self, job: str) -> Path:
        """The folder of the reports of the job whose name holds `job`."""
        kept = self.project / ".gitlab-ci-local" / "artifacts"
        return next(path for path in kept.iterdir() if job in path.name) / "test_reports"


@pytest.fixture
def runner(client: Callable[[str], str], image: str, project: Path, export: Path) -> GitLabRunner:
    helper = ["docker", "image", "inspect", "firecow/gitlab-ci-local-util:latest"]
    if subprocess.run(helper, capture_output=True, check=False).returncode != 0:
        pytest.skip("the helper image of gitlab-ci-local is not here; tests/e2e/setup.sh makes it")
    for folder in ("gitlab", "templates"):
        subprocess.run(["cp", "-r", str(export / folder), str(project)], check=True)
    return GitLabRunner(client("gitlab-ci-local"), project)


def test_the_include_leaves_every_report_that_gitlab_reads(runner: GitLabRunner) -> None:
    done = runner.run("include:\n  - local: gitlab/distributed-testing.yml\n", "distributed-testing")
    assert "1 passed, 1 failed, 0 skipped" in done.stdout + done.stderr
    assert done.returncode == 1
    reports = runner.artifacts("distributed-testing")
    suites = ET.parse(next(reports.glob("test_report_*.xml"))).getroot()
    assert len(suites.findall(".//testcase")) == 2
    quality = json.loads((reports / "gl-code-quality.json").read_bytes())
    assert [(item["location"]["path"], item["severity"]) for item in quality] == [("tests/stress/test_bad.py", "major")]
    links = json.loads((reports / "gl-annotations.json").read_bytes())
    assert links["distributed_testing"][0]["external_link"]["url"].endswith(".html")
    assert "DT_RESULT_FAILED=1" in (reports / "dt.env").read_text()


def test_the_component_runs_its_test_types_in_parallel_jobs(runner: GitLabRunner) -> None:
    done = runner.run(
        """
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/distributed-testing@$CI_COMMIT_SHA
    inputs:
      job-prefix: lab
      test-types: [integration, stress]
      timeout: 5m
"""
    )
    log = done.stdout + done.stderr
    assert "PASS  lab-tests: [integration,all]" in log
    assert "FAIL  lab-tests: [stress,all]" in log
    assert "DT_RESULT_PASSED=1" in (runner.artifacts("integration") / "dt.env").read_text()
    assert "DT_RESULT_FAILED=1" in (runner.artifacts("stress") / "dt.env").read_text()


def test_the_guides_job_works_with_only_the_modules_name_changed(runner: GitLabRunner, export: Path) -> None:
    """Its image cannot be had here, so another Python stands in; there is no coordinator, so none is named."""
    subprocess.run(["cp", "-r", str(export / "dt_action"), str(runner.project)], check=True)
    text = (export / "gitlab" / "examples" / "guide.gitlab-ci.yml").read_text()
    assert "image: python:3.10-slim" in text
    lines = [
        line
        for line in text.replace("python:3.10-slim", "python:3.13-slim").splitlines()
        if "--coordinator" not in line and "--api-key" not in line
    ]
    done = runner.run("\n".join(lines) + "\n", "distributed_tests")
    assert "1 passed, 1 failed, 0 skipped" in done.stdout + done.stderr
    kinds = {path.suffix for path in runner.artifacts("distributed_tests").glob("test_report_*")}
    assert kinds == {".json", ".md", ".html", ".xml"}
