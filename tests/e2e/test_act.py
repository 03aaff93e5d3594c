"""The action and the reusable workflow as GitHub would run them: by `act`, against the double of GitHub's API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest
from github_double import GitHubDouble, serving
from publications import pull_request_event

HERE = Path(__file__).parent
WORKFLOW = HERE.parent.parent / ".github" / "workflows" / "distributed-testing.yml"
SECRET = "hunter2-and-some-more"


@pytest.fixture
def hub(engine: str) -> Iterator[GitHubDouble]:
    """The double, where containers find it."""
    with serving(GitHubDouble(), host="0.0.0.0") as double:
        double.url = double.url.replace("0.0.0.0", engine)
        yield double
    assert double.violations == []


class Act:
    """Runs workflows of a project."""

    def __init__(self, program: str, project: Path, export: Path, double: GitHubDouble, artifacts: Path) -> None:
        self.program, self.project, self.export, self.double = program, project, export, double
        self.artifacts = artifacts

    def run(self, event: str, *words: str, token: str = "ghs_write") -> subprocess.CompletedProcess[str]:
        cache = Path.home() / ".cache" / "act"
        pinned = set(
            re.findall(r"uses: (actions/(?:upload-artifact|download-artifact|cache)\S*@\w+)", WORKFLOW.read_text())
        )
        local = [f"org/distributed-testing@v1={self.export}"]
        for use in pinned:
            name, _, commit = use.partition("@")
            owner, repository, *_ = name.split("/")
            local.append(f"{owner}/{repository}@{commit}={HERE / 'actions' / repository}")
        command = [
            *(self.program, event, "-P", "ubuntu-latest=-self-hosted", "--pull=false"),
            *("--env", f"GITHUB_API_URL={self.double.url}", "--env", f"DT_E2E_ARTIFACTS={self.artifacts}"),
            *("-s", f"GITHUB_TOKEN={token}", "-s", f"LEAK={SECRET}"),
            *("--container-options", f"-v {cache}:{cache}"),
            *(word for use in sorted(local) for word in ("--local-repository", use)),
            *words,
        ]
        return subprocess.run(
            command, cwd=self.project, capture_output=True, text=True, check=False, timeout=500, env=dict(os.environ)
        )

    def commit(self, name: str, text: str) -> None:
        path = self.project / ".github" / "workflows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for command in ("add -A", f"commit -q -m {name}"):
            subprocess.run(["git", *command.split()], cwd=self.project, check=True)

    def push(self, steps: str) -> tuple[int, str]:
        """Push a workflow whose one job checks the project out and takes these steps: its exit code and log."""
        job = "on: [push]\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n"
        self.commit("tests.yml", job + indent(dedent(steps), " " * 6))
        done = self.run("push", "-W", ".github/workflows/tests.yml")
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def act(
    client: Callable[[str], str], image: str, project: Path, export: Path, hub: GitHubDouble, tmp_path: Path
) -> Act:
    return Act(client("act"), project, export, hub, tmp_path / "artifacts")


def test_a_passing_and_a_failing_job_and_their_outputs(act: Act, hub: GitHubDouble, tmp_path: Path) -> None:
    act.commit(
        "tests.yml",
        """
        on: [push, pull_request]
        jobs:
          passing:
            runs-on: ubuntu-latest
            steps:
              - uses: actions/checkout@v4
              - id: dt
                uses: org/distributed-testing@v1
                with: {test_dir: tests/integration, comment: "off"}
              - run: echo "read back ${{ steps.dt.outputs.conclusion }} ${{ steps.dt.outputs.passed }}"
          failing:
            runs-on: ubuntu-latest
            steps:
              - uses: actions/checkout@v4
              - id: dt
                uses: org/distributed-testing@v1
                env: {LEAK: "${{ secrets.LEAK }}"}
                with: {test_dir: tests, comment: always, check_name: Tests, redact: LEAK}
              - if: always()
                run: |
                  echo "read back ${{ steps.dt.outputs.conclusion }} ${{ steps.dt.outputs.failed }}"
                  ls "${{ steps.dt.outputs.report_junit }}"
                  if grep -rq "hunter2" test_reports; then echo "found $((40 + 2))"; fi
        """,
    )
    event = pull_request_event(tmp_path)
    done = act.run("pull_request", "-e", str(event))
    log = done.stdout + done.stderr
    assert done.returncode == 1, log
    assert "read back passed 1" in log
    assert "read back failed 1" in log
    assert "1 passed, 1 failed, 0 skipped" in log
    assert SECRET not in log
    assert "found 42" not in log
    repository = hub.repository
    assert [(check["name"], check["conclusion"]) for check in repository.checks.values()] == [("Tests", "failure")]
    assert [
        (item["path"], item["annotation_level"]) for items in repository.annotations.values() for item in items
    ] == [("tests/stress/test_bad.py", "failure")]
    assert len(repository.comments) == 1
    assert SECRET not in json.dumps([call.body for call in hub.received])
    assert (
        "injected" not in re.sub(r"\|.*", "", log).replace("::error::injected", "", 0)
        or "❗  ::error::injected" not in log
    )


def test_without_a_container_the_action_runs_on_the_jobs_own_python(act: Act) -> None:
    code, log = act.push(
        """
        - run: python3 -m venv .venv && echo "$PWD/.venv/bin" >>"$GITHUB_PATH"
        - id: dt
          uses: org/distributed-testing/composite@v1
          with: {test_dir: tests/integration, comment: "off"}
        - run: echo "read back ${{ steps.dt.outputs.conclusion }} ${{ steps.dt.outputs.passed }}"
        """
    )
    assert code == 0, log
    assert "read back passed 1" in log


def test_the_reusable_workflow_plans_runs_the_matrix_and_reports_once(
    act: Act, hub: GitHubDouble, tmp_path: Path
) -> None:
    act.project.joinpath(".github", "workflows").mkdir(parents=True)
    shutil.copy(WORKFLOW, act.project / ".github" / "workflows" / "distributed-testing.yml")
    act.commit(
        "all.yml",
        """
        on: [push, pull_request]
        jobs:
          tests:
            uses: ./.github/workflows/distributed-testing.yml
            with: {test_type: all, comment: always}
            secrets: inherit
        """,
    )
    words = ("-e", str(pull_request_event(tmp_path)), "-W", ".github/workflows/all.yml")
    done = act.run("pull_request", *words)
    log = done.stdout + done.stderr
    assert done.returncode == 1, log[-3000:]
    parts = sorted(path.name for path in act.artifacts.iterdir())
    assert parts == ["dt-part-integration-1", "dt-part-stress-1", "test-report"]
    comments = [comment["body"] for comment in hub.repository.comments]
    assert len(comments) == 1
    assert "1 passed, 1 failed" in comments[0]


def test_an_unknown_test_type_is_one_clear_error_and_no_job(act: Act) -> None:
    code, log = act.push(
        """
        - uses: org/distributed-testing@v1
          with: {test_type: integratoin}
        """
    )
    assert code == 1
    assert "input test_type names 'integratoin'; expected all, or of integration, fault" in log
