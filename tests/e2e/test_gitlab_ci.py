"""GitLab's include, component and the guide's own job, and the blocks of docs/gitlab.md, run by gitlab-ci-local."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from documented import blocks

TEMPLATE = "include:\n  - local: gitlab/distributed-testing.yml\n"


class GitLabRunner:
    """Runs the pipeline of a project."""

    def __init__(self, program: str, project: Path) -> None:
        self.program, self.project = program, project

    def run(self, text: str, *words: str, pipeline: int = 1) -> subprocess.CompletedProcess[str]:
        (self.project / ".gitlab-ci.yml").write_text(text)
        for command in ("add -A", "commit -q --allow-empty -m pipeline"):
            subprocess.run(["git", *command.split()], cwd=self.project, check=True)
        return self.again(*words, pipeline=pipeline)

    def again(self, *words: str, pipeline: int = 1) -> subprocess.CompletedProcess[str]:
        """Run jobs at the commit that is there."""
        command = [self.program, "--pull-policy", "if-not-present", "--no-color"]
        command += ["--variable", f"CI_PIPELINE_ID={pipeline}", *words]
        return subprocess.run(command, cwd=self.project, capture_output=True, text=True, check=False, timeout=500)

    def artifacts(self, job: str) -> Path:
        """The folder of the reports of the job whose name holds `job`."""
        kept = self.project / ".gitlab-ci-local" / "artifacts"
        names = [path for path in kept.iterdir() if job in path.name]
        return next(path.parent for folder in names for path in folder.rglob("test_report_*.xml"))

    def reports(self, job: str) -> list[dict[str, Any]]:
        """The JSON reports of the jobs whose name holds `job`, the oldest first."""
        kept = self.project / ".gitlab-ci-local" / "artifacts"
        found = [path for folder in kept.iterdir() if job in folder.name for path in folder.rglob("test_report_*.json")]
        return [json.loads(path.read_bytes()) for path in sorted(found, key=lambda path: path.name)]


@pytest.fixture
def runner(client: Callable[[str], str], image: str, project: Path, export: Path) -> GitLabRunner:
    helper = ["docker", "image", "inspect", "firecow/gitlab-ci-local-util:latest"]
    if subprocess.run(helper, capture_output=True, check=False).returncode != 0:
        pytest.skip("the helper image of gitlab-ci-local is not here; tests/e2e/setup.sh makes it")
    for folder in ("gitlab", "templates"):
        subprocess.run(["cp", "-r", str(export / folder), str(project)], check=True)
    (project / ".gitignore").write_text(".gitlab-ci-local/\n")
    return GitLabRunner(client("gitlab-ci-local"), project)


def write(project: Path, files: Mapping[str, str]) -> None:
    for path in project.glob("tests/*/*.py"):
        path.unlink()
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)


def test_the_include_leaves_every_report_that_gitlab_reads(runner: GitLabRunner) -> None:
    done = runner.run(TEMPLATE, "distributed-testing")
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


def test_parallel_jobs_are_shards_without_an_option_and_one_report_has_their_coverage(runner: GitLabRunner) -> None:
    tests = {f"tests/test_{n}.py": f"from shop import price\n\ndef test_{n}(): assert price({n})\n" for n in range(8)}
    source = "def price(n):\n    if n > 5:\n        return 10\n    return 1\n"
    settings = "[run]\nsource = .\nomit = tests/*\n"
    write(runner.project, {"shop.py": source, "conftest.py": "", ".coveragerc": settings, **tests})
    text = TEMPLATE + (
        "distributed-testing:\n  parallel: 4\n  variables: {DT_PART: 'true', DT_COVERAGE: 'true'}\n"
        "distributed-testing-report:\n  extends: .distributed-testing-report\n  variables: {DT_FAIL_UNDER: '100'}\n"
    )
    done = runner.run(text)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "shard 3/4 by the parallel jobs of GitLab (CI_NODE_INDEX)" in done.stdout
    shards = runner.reports("distributed-testingOi")  # how it writes `: [1/4]` in a name
    assert [len(report["tests"]) for report in shards] == [2, 2, 2, 2]
    (merged,) = runner.reports("distributed-testing-report")
    assert merged["summary"] == "8 passed, 0 failed, 0 skipped"
    assert merged["run"]["coverage"]["statements"] == 4
    covered = ET.parse(runner.artifacts("distributed-testing-report") / "coverage.xml").getroot()
    assert covered.attrib["line-rate"] == "1"


@pytest.mark.long
def test_a_leg_is_compared_with_its_own_history(runner: GitLabRunner) -> None:
    """Two legs, each with a test that fails from the start: nothing is new in the second pipeline."""
    text = TEMPLATE + (
        "distributed-testing:\n  parallel:\n    matrix:\n      - DT_TEST_TYPE: [integration, stress]\n"
        "  variables: {DT_FAIL_ON: regressions}\n"
    )
    bad = "def test_bad(): assert 0\n"
    write(runner.project, {"tests/integration/test_i.py": bad, "tests/stress/test_s.py": bad})
    first = runner.run(text)
    assert first.returncode == 1
    second = runner.run(text, pipeline=2)
    assert second.returncode == 0, second.stdout[-4000:]
    assert second.stdout.count("Known failures: 1") == 2, second.stdout[-4000:]


@pytest.mark.long
def test_a_job_that_is_retried_runs_only_what_failed(runner: GitLabRunner) -> None:
    flaky = "import os\n\ndef test_flaky(): assert os.environ.get('FIXED')\ndef test_a(): ...\ndef test_b(): ...\n"
    write(runner.project, {"tests/test_a.py": flaky})
    assert runner.run(TEMPLATE, "distributed-testing").returncode == 1
    retried = runner.again("distributed-testing", "--variable", "FIXED=1")
    assert retried.returncode == 0, retried.stdout[-3000:]
    assert "running again what is left of 1 files: 1" in retried.stdout
    last = runner.reports("distributed-testing")[-1]
    assert (last["summary"], last["totals"]["flaky"]) == ("3 passed, 0 failed, 0 skipped", 1)
    other_pipeline = runner.again("distributed-testing", pipeline=2)
    assert other_pipeline.returncode == 1, "another pipeline runs everything"


def test_the_component_runs_its_test_types_in_parallel_jobs_and_reports_once(runner: GitLabRunner) -> None:
    done = runner.run(
        """
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/distributed-testing@$CI_COMMIT_SHA
    inputs:
      job-prefix: lab
      test-types: [integration, stress]
      shards: ["1/2", "2/2"]
      timeout: 5m
"""
    )
    log = done.stdout + done.stderr
    assert "PASS  lab-tests: [integration,all,1/2]" in log, log[-3000:]
    assert "lab-tests: [stress,all,2/2]" in log
    (merged,) = runner.reports("lab-report")
    assert merged["summary"] == "1 passed, 1 failed, 0 skipped"
    assert "FAIL  lab-report" in log


@pytest.mark.long
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


BLOCKS = [
    pytest.param(number, marks=() if number == 0 else pytest.mark.long)
    for number in range(len(blocks("gitlab.md", "yaml")))
]


@pytest.mark.parametrize("number", BLOCKS)
def test_a_documented_block_runs(number: int, runner: GitLabRunner) -> None:
    """As it is printed, but for where `org/` is: the files of this checkout."""
    text = blocks("gitlab.md", "yaml")[number]
    project = "  - project: org/distributed-testing\n    ref: v1\n    file: gitlab/"
    component = "org/distributed-testing/distributed-testing@1"
    text = text.replace(project, "  - local: gitlab/")
    text = text.replace(component, "$CI_PROJECT_PATH/distributed-testing@$CI_COMMIT_SHA")
    assert "org/" not in text
    done = runner.run(text)
    log = done.stdout + done.stderr
    counts = "0 passed, 0 failed, 0 skipped" if "hardware: [cuda]" in text else "1 failed, 0 skipped"
    assert counts in log, log[-3000:]
    assert done.returncode == 1
