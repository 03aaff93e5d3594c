from __future__ import annotations

import json
from pathlib import Path

import pytest

from dt_action.errors import ConfigurationError
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.coverage import Coverage
from dt_action.model.report import Annotation, Document, Publication
from dt_action.model.run import Run
from dt_action.providers import detect, make
from dt_action.providers.gitlab import GitLab
from dt_action.providers.settings import Settings

MERGE_REQUEST = {
    "GITLAB_CI": "true",
    "CI_PROJECT_ID": "12",
    "CI_PROJECT_PATH": "team/app",
    "CI_API_V4_URL": "https://gitlab.example/api/v4",
    "CI_COMMIT_SHA": "merged",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "pushed",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": "base",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_PIPELINE_ID": "99",
    "CI_JOB_URL": "https://gitlab.example/team/app/-/jobs/5",
}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"GITLAB_CI": "false", "CI_JOB_ID": "1", "CI_PROJECT_PATH": "a/b"}, "gitlab"),
        ({"JENKINS_URL": "http://j"}, "jenkins"),
        ({"CI": "true"}, "generic"),
        ({}, "generic"),
    ],
)
def test_the_service_is_known_by_its_environment(environ: dict[str, str], name: str) -> None:
    assert detect(environ) == name


def test_a_provider_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match="expected one of github, gitlab, jenkins, generic"):
        make("travis", {}, Settings(), write=print)


def test_gitlab_tells_the_commit_that_was_pushed_and_not_the_merged_one() -> None:
    build = make("gitlab", MERGE_REQUEST, Settings(), write=print).build()
    assert (build.commit, build.base_commit, build.branch, build.pull_request) == ("pushed", "base", "feature", 7)
    assert not build.is_default_branch


def test_a_schedule_runs_on_githubs_default_branch_although_its_event_does_not_name_it(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"schedule": "0 3 * * *"}')
    environ = {"GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_REF_NAME": "trunk"}
    assert (
        make("github", environ | {"GITHUB_EVENT_NAME": "schedule"}, Settings(), write=print).build().is_default_branch
    )
    assert not make("github", environ, Settings(), write=print).build().is_default_branch


def test_gitlabs_default_branch_is_told() -> None:
    environ = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_BEFORE_SHA": "0" * 40}
    build = make("gitlab", environ, Settings(), write=print).build()
    assert build.is_default_branch
    assert build.base_commit == ""


@pytest.mark.parametrize(
    "url", ["git@host:team/app.git", "https://user:secret@host/team/app.git", "ssh://git@host/team/app"]
)
def test_jenkins_names_the_repository_without_the_password_in_its_address(url: str) -> None:
    environ = {"GIT_URL": url, "CHANGE_ID": "3", "CHANGE_BRANCH": "f", "BUILD_NUMBER": "8", "GIT_COMMIT": "c"}
    build = make("jenkins", environ, Settings(), write=print).build()
    assert (build.repository, build.pull_request, build.run_number, build.branch) == ("team/app", 3, 8, "f")


def a_run() -> Run:
    case = TestCase(id="tests/test_a.py::test", file="tests/test_a.py", line=4)
    result = TestResult(case=case, attempts=(Attempt(outcome="failed", message="boom"),))
    return Run(id="r", results=(result,), coverage=Coverage(statements=200, covered=150), makespan_s=2.0)


def a_publication() -> Publication:
    remark = Annotation(path="tests/test_a.py", line=4, level="failure", title="test", message="boom")
    report = Document(name="test_report_1.html", format="html", content=b"x")
    return Publication(title="t", summary_markdown="# t", documents=(report,), annotations=(remark,))


def test_gitlab_is_left_its_reports_under_fixed_names(tmp_path: Path) -> None:
    log: list[str] = []
    settings = Settings(output_dir=str(tmp_path))
    assert GitLab(MERGE_REQUEST, settings, write=log.append).publish(a_run(), a_publication()) == []
    quality = json.loads((tmp_path / "gl-code-quality.json").read_bytes())
    assert quality[0]["location"] == {"path": "tests/test_a.py", "lines": {"begin": 4}}
    assert "DT_RESULT_FAILED=1\n" in (tmp_path / "dt.env").read_text()
    assert log == ["TOTAL 200 50 75.0%"]


def test_jenkins_is_left_the_totals_and_a_full_disk_is_only_told(tmp_path: Path) -> None:
    provider = make("jenkins", {}, Settings(output_dir=str(tmp_path / "out")), write=print)
    assert list(provider.publish(a_run(), a_publication())) == []
    assert "DT_RESULT_CONCLUSION=failed\n" in (tmp_path / "out" / "dt.env").read_text()
    (tmp_path / "file").write_text("")
    refused = make("jenkins", {}, Settings(output_dir=str(tmp_path / "file")), write=print).publish(
        a_run(), a_publication()
    )
    assert refused[0].startswith("the totals for the build's description")
