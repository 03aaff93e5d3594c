"""The action as GitHub would run it: by `act`, against the double of GitHub's API."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from act_rig import SECRET, Act, act, hub
from github_double import GitHubDouble
from publications import pull_request_event

__all__ = ["act", "hub"]


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


@pytest.mark.long
def test_an_unknown_test_type_is_one_clear_error_and_no_job(act: Act) -> None:
    code, log = act.push(
        """
        - uses: org/distributed-testing@v1
          with: {test_type: integratoin}
        """
    )
    assert code == 1
    assert "input test_type names 'integratoin'; expected all, or of integration, fault" in log
