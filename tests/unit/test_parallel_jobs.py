"""A job that is one of several copies runs its share without being told to; a leg of a matrix runs everything."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from dt_action.options import resolve

GITLAB = {"GITLAB_CI": "true", "CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4"}
AZURE = {"SYSTEM_JOBPOSITIONINPHASE": "2", "SYSTEM_TOTALJOBSINPHASE": "4"}
BITBUCKET = {"BITBUCKET_PARALLEL_STEP": "1", "BITBUCKET_PARALLEL_STEP_COUNT": "2"}


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        ({**GITLAB, "CI_JOB_NAME": "tests 2/4"}, "2/4"),
        ({**GITLAB, "CI_JOB_NAME": "tests: [2/4]"}, "2/4"),  # as gitlab-ci-local names it
        ({**GITLAB, "CI_JOB_NAME": "tests: [integration, all]"}, None),
        ({**GITLAB, "CI_JOB_NAME": "tests"}, None),
        ({"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"}, None),
        ({"BUILDKITE_PARALLEL_JOB": "0", "BUILDKITE_PARALLEL_JOB_COUNT": "3"}, "1/3"),
        ({"CIRCLE_NODE_INDEX": "2", "CIRCLE_NODE_TOTAL": "3"}, "3/3"),
        ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "1"}, None),
        ({**AZURE, "SYSTEM_PARALLELEXECUTIONTYPE": "MultiMachine"}, "2/4"),
        ({**AZURE, "SYSTEM_PARALLELEXECUTIONTYPE": "MultiConfiguration"}, None),
        ({"SEMAPHORE_JOB_INDEX": "1", "SEMAPHORE_JOB_COUNT": "2"}, "1/2"),
        ({"BUILDKITE_PARALLEL_JOB": "nine", "BUILDKITE_PARALLEL_JOB_COUNT": "3"}, None),
        ({"BUILDKITE_PARALLEL_JOB": "3", "BUILDKITE_PARALLEL_JOB_COUNT": "3"}, None),
    ],
)
def test_what_the_ci_service_says_is_the_shard(environ: dict[str, str], shard: str | None, tmp_path: Path) -> None:
    found = resolve({}, environ, tmp_path).shard
    assert (str(found) if found else None) == shard


@pytest.mark.parametrize(
    ("pipelines", "shard"),
    [
        ("- parallel: [{step: {name: a, script: [dt run]}}, {step: {name: b, script: [dt run]}}]", "2/2"),
        ("- parallel: {fail-fast: true, steps: [{step: {script: [dt run]}}, {step: {script: [dt run]}}]}", "2/2"),
        ("- parallel: [{step: {script: [ruff check]}}, {step: {script: [dt run]}}]", None),
        ("- step: {script: [dt run]}", None),
        ("- {", None),
    ],
)
def test_steps_of_bitbucket_are_shards_only_where_they_are_alike(
    pipelines: str, shard: str | None, tmp_path: Path
) -> None:
    text = dedent(f"pipelines:\n  default:\n    {pipelines}\n")
    (tmp_path / "bitbucket-pipelines.yml").write_text(text)
    found = resolve({}, {**BITBUCKET, "BITBUCKET_CLONE_DIR": str(tmp_path)}, tmp_path).shard
    assert (str(found) if found else None) == shard


def test_what_a_person_says_outranks_it(tmp_path: Path) -> None:
    environ = {"CIRCLE_NODE_INDEX": "2", "CIRCLE_NODE_TOTAL": "3"}
    assert resolve({}, {**environ, "DT_SHARD": "1/1"}, tmp_path).shard is None
    assert str(resolve({"shard": "5/6"}, environ, tmp_path).shard) == "5/6"
    (tmp_path / "dt.yml").write_text("shard: 1/1\n")
    assert resolve({}, environ, tmp_path).shard is None


def test_where_it_came_from_is_told(tmp_path: Path) -> None:
    settings = resolve({}, {"CIRCLE_NODE_INDEX": "2", "CIRCLE_NODE_TOTAL": "3"}, tmp_path)
    assert settings.told_by("shard") == "the parallel jobs of CircleCI (CIRCLE_NODE_INDEX)"
