"""The GitHub provider against a double that enforces the official API description and the real limits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from github_double import Fault, GitHubDouble
from publications import publication_of, pull_request_event, push_event, run_of

from dt_action.model.report import Badge
from dt_action.providers.github import GitHub
from dt_action.providers.github_api import GitHubApi, connect
from dt_action.providers.settings import Settings

HEAD = "a" * 40


class Job:
    """A step of a job on a runner: its environment, its files and its log."""

    def __init__(self, double: GitHubDouble, tmp_path: Path, event: Path, **environ: str) -> None:
        self.log: list[str] = []
        self.waits: list[float] = []
        self.summary = tmp_path / "summary.md"
        self.output = tmp_path / "output.txt"
        self.environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": double.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "team/app",
            "GITHUB_SHA": "c" * 40,
            "GITHUB_RUN_ID": "1000",
            "GITHUB_RUN_NUMBER": "5",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_REF_NAME": "main",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            **environ,
        }

    def provider(self, token: str = "ghs_write", **settings: Any) -> GitHub:
        return GitHub(self.environ, Settings(token=token, **settings), write=self.log.append, connect_api=self._connect)

    def _connect(self, url: str, repository: str, token: str) -> GitHubApi:
        return connect(url, repository, token, sleep=self.waits.append, write_pause_s=0)


@pytest.fixture
def job(github: GitHubDouble, tmp_path: Path) -> Job:
    return Job(github, tmp_path, pull_request_event(tmp_path))


def test_the_build_is_the_pull_requests_head_and_not_the_merge_commit(job: Job) -> None:
    build = job.provider().build()
    assert (build.commit, build.base_commit, build.pull_request, build.branch) == (HEAD, "b" * 40, 7, "feature")
    assert build.url == "https://github.example/team/app/actions/runs/1000/attempts/1"
    assert not build.is_default_branch


def test_a_push_to_the_default_branch_is_told_as_such(github: GitHubDouble, tmp_path: Path) -> None:
    build = Job(github, tmp_path, push_event(tmp_path)).provider().build()
    assert build.is_default_branch
    assert build.commit == "c" * 40
    assert build.base_commit == ""


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"pull_request": 3, "repository": []}', b"\xff\xfe"])
def test_a_damaged_event_file_gives_a_build_and_no_error(github: GitHubDouble, tmp_path: Path, content: bytes) -> None:
    event = tmp_path / "event.json"
    event.write_bytes(content)
    build = Job(github, tmp_path, event).provider().build()
    assert (build.commit, build.pull_request) == ("c" * 40, None)


def test_a_hundred_and_twenty_annotations_go_to_the_jobs_own_check_in_three_requests(
    github: GitHubDouble, job: Job
) -> None:
    github.repository.checks[42] = {"id": 42, "name": "test", "head_sha": HEAD, "output": {}, "status": "in_progress"}
    github.repository.annotations[42] = []
    run = run_of("failed", "passed")
    provider = job.provider(check_run_id=42, comment="off")
    assert provider.publish(run, publication_of(run, annotations=120)) == []
    assert len(github.repository.annotations[42]) == 120
    sent = [len(call.body["output"]["annotations"]) for call in github.calls("PATCH", "check-runs/42")]
    assert sent == [50, 50, 20, 0]
    assert github.repository.checks[42]["status"] == "in_progress"  # the runner concludes its own check
    assert job.log == []


def test_publishing_twice_adds_no_annotation_twice_and_makes_no_second_check(github: GitHubDouble, job: Job) -> None:
    run = run_of("failed")
    told = publication_of(run, annotations=58)
    alike = replace(told.annotations[0], title="failed: test[a name that was cut")  # two tests, one title and line
    told = replace(told, annotations=(*told.annotations, alike, alike))
    for _ in range(2):
        assert job.provider(check_name="dt", comment="always").publish(run, told) == []
    assert [(check["name"], check["conclusion"]) for check in github.repository.checks.values()] == [("dt", "failure")]
    assert [len(items) for items in github.repository.annotations.values()] == [60]
    assert len(github.repository.comments) == 1


def test_a_bad_gateway_after_the_work_was_done_duplicates_nothing(github: GitHubDouble, job: Job) -> None:
    github.faults += [
        Fault("POST", r"/check-runs$", 502, after_doing=True),
        Fault("PATCH", r"/check-runs/", 502, after_doing=True),
        Fault("POST", r"/comments$", 504, after_doing=True),
    ]
    run = run_of("failed")
    refused = job.provider(check_name="dt", comment="always").publish(run, publication_of(run, annotations=70))
    assert refused == []
    assert [len(items) for items in github.repository.annotations.values()] == [70]
    assert len(github.repository.checks) == 1
    assert len(github.repository.comments) == 1


def test_a_check_that_may_not_be_annotated_falls_back_to_one_of_our_own(github: GitHubDouble, job: Job) -> None:
    github.faults.append(Fault("GET", r"/check-runs/42/annotations", 403, "Resource not accessible by integration"))
    run = run_of("failed")
    assert job.provider(check_run_id=42, comment="off").publish(run, publication_of(run, annotations=3)) == []
    assert [check["name"] for check in github.repository.checks.values()] == ["Distributed Testing"]


@pytest.mark.parametrize("token", ["ghs_nochecks", "ghp_person", "ghs_read"])
def test_without_the_permission_ten_annotations_go_to_the_log(github: GitHubDouble, job: Job, token: str) -> None:
    run = run_of("failed")
    refused = job.provider(token, check_run_id=42, comment="off").publish(run, publication_of(run, annotations=25))
    assert refused == []
    assert len(job.log) == 10
    assert job.log[0] == "::error file=test_a.py,line=1,title=test_0::boom"
    assert "16 more are in the job's summary" in job.log[-1]
    assert github.repository.checks == {}


def test_a_fork_with_a_read_only_token_gets_a_summary_outputs_and_words_but_no_error(
    github: GitHubDouble, tmp_path: Path
) -> None:
    job = Job(github, tmp_path, pull_request_event(tmp_path, fork=True))
    run = run_of("failed")
    refused = job.provider("ghs_read", comment="always").publish(run, publication_of(run, annotations=2))
    assert len(refused) == 1
    assert refused[0].startswith("the comment: POST repos/team/app/issues/7/comments: 403 Resource not accessible")
    assert "fork" in refused[0]
    assert "0 passed, 1 failed" in job.summary.read_text()
    assert "conclusion<<" in job.output.read_text()
    assert len(job.log) == 2


def test_a_wrong_token_is_told_once_for_each_place_and_never_shown(github: GitHubDouble, job: Job) -> None:
    run = run_of("failed")
    refused = job.provider("ghs_wrong", comment="always").publish(run, publication_of(run, annotations=2))
    assert [words.split(":")[0] for words in refused] == ["the comment"]
    assert "401 Bad credentials" in refused[0]
    assert "ghs_wrong" not in " ".join(refused)


def test_a_comment_among_hundreds_is_found_and_only_our_own_is_changed(github: GitHubDouble, job: Job) -> None:
    repository = github.repository
    run = run_of("failed")
    for number in range(130):
        repository.add_comment(7, f"remark {number}", "somebody", is_bot=False)
    job.provider(comment="always").publish(run, publication_of(run, summary="first"))
    ours = repository.comments[-1]
    forged = repository.add_comment(7, ours["body"], "stranger", is_bot=False, association="NONE")
    quoted = repository.add_comment(7, "> " + ours["body"], "maintainer", is_bot=False)
    before = (forged["body"], quoted["body"])
    job.provider(comment="always").publish(run, publication_of(run, summary="second"))
    assert "second" in ours["body"]
    assert (forged["body"], quoted["body"]) == before
    assert len(repository.comments) == 133


def test_a_label_of_any_letters_is_one_short_line_in_a_checks_name(github: GitHubDouble, job: Job) -> None:
    run = run_of("failed")
    for label in ("a\nb", "\ud800", "x" * 3_000, "🐧"):
        assert job.provider(check_name="dt", environment=label).publish(run, publication_of(run)) == []
    names = [check["name"] for check in github.repository.checks.values()]
    assert names == ["dt (a b)", "dt (\ufffd)", f"dt ({'x' * 195}…", "dt (🐧)"]


def test_a_commit_is_not_called_green_where_other_code_was_tested(github: GitHubDouble, job: Job) -> None:
    """`pull_request_target` without a `ref` checks the target out."""
    run = replace(run_of("passed"), untested_commit=HEAD)
    assert job.provider(check_name="dt", comment="always").publish(run, publication_of(run, "## ✅ passed: 1\n")) == []
    assert [check["conclusion"] for check in github.repository.checks.values()] == ["neutral"]
    body = github.repository.comments[0]["body"]
    assert "not tested: what was checked out does not hold commit `aaaaaaa`" in body
    assert "✅" not in body


def test_a_late_comment_of_an_older_run_is_not_written(github: GitHubDouble, job: Job) -> None:
    run = run_of("failed")
    job.environ["GITHUB_RUN_ID"] = "2000"
    job.provider(comment="always").publish(run, publication_of(run, summary="new"))
    job.environ["GITHUB_RUN_ID"] = "1999"
    job.provider(comment="always").publish(run, publication_of(run, summary="old"))
    assert "new" in github.repository.comments[0]["body"]


@pytest.mark.parametrize(
    ("mode", "runs", "bodies"),
    [
        ("changes", ["passed"], []),
        ("changes", ["failed", "passed"], ["1 passed"]),
        ("failures", ["passed"], []),
        ("failures", ["failed", "passed"], ["1 passed"]),
        ("always", ["passed"], ["1 passed"]),
        ("off", ["failed"], []),
    ],
)
def test_the_comments_mode_says_when_to_write(
    github: GitHubDouble, job: Job, mode: Any, runs: list[Any], bodies: list[str]
) -> None:
    for outcome in runs:
        run = run_of(outcome)
        job.provider(comment=mode).publish(run, publication_of(run))
    found = [comment["body"] for comment in github.repository.comments]
    assert len(found) == len(bodies)
    assert all(words in body for words, body in zip(bodies, found, strict=True))


def test_a_comment_that_says_the_same_is_left_alone_in_the_mode_changes(github: GitHubDouble, job: Job) -> None:
    run = run_of("failed")
    for _ in range(3):
        job.provider(comment="changes").publish(run, publication_of(run))
    assert len(github.calls("POST", "/comments")) == 1
    assert github.calls("PATCH", "/comments") == []


def test_a_summary_too_long_for_a_comment_and_a_check_is_cut_in_bytes(github: GitHubDouble, job: Job) -> None:
    rows = "".join(f"| test_{n} | ü€😀 |\n" for n in range(20_000))
    summary = f"# Tests\n\n1 failed\n\n<details><summary>All</summary>\n\n| a | b |\n| - | - |\n{rows}\n</details>\n"
    run = run_of("failed")
    refused = job.provider(check_name="dt", comment="always").publish(run, publication_of(run, summary=summary))
    assert refused == []
    body = github.repository.comments[0]["body"]
    assert len(body.encode()) <= 60_000
    assert body.rstrip().endswith("*Shortened: the whole report is in the job's summary.*")
    assert "</details>" in body or "<details>" not in body


def test_what_is_in_the_summary_already_counts_towards_its_mebibyte(job: Job) -> None:
    job.summary.write_bytes(b"x" * 1_040_000)
    run = run_of("failed")
    summary = "# Tests\n\n1 failed\n\n" + "".join(f"- line {n} ü\n" for n in range(5_000))
    assert job.provider(comment="off").publish(run, publication_of(run, summary=summary)) == []
    content = job.summary.read_bytes()
    assert 1_040_000 < len(content) <= 1024 * 1024
    assert "Shortened" in content.decode()[-200:]


def test_a_full_summary_is_told_and_left_as_it_is(job: Job) -> None:
    job.summary.write_bytes(b"x" * 1_048_000)
    run = run_of("failed")
    refused = job.provider(comment="off").publish(run, publication_of(run))
    assert len(refused) == 1
    assert refused[0].startswith("the job's summary: 1,048,000 of its 1,048,576 bytes are used already")
    assert job.summary.stat().st_size == 1_048_000


def test_a_rate_limit_with_retry_after_is_waited_for(github: GitHubDouble, job: Job) -> None:
    github.faults.append(Fault("POST", "/comments", 403, "secondary rate limit", {"retry-after": "7"}))
    run = run_of("failed")
    assert job.provider(comment="always").publish(run, publication_of(run)) == []
    assert 7 <= job.waits[0] < 9
    assert len(github.repository.comments) == 1


def test_a_429_without_retry_after_waits_a_minute_and_then_longer(github: GitHubDouble, job: Job) -> None:
    github.faults.append(Fault("POST", "/comments", 429, "You have exceeded a secondary rate limit", times=2))
    run = run_of("failed")
    assert job.provider(comment="always").publish(run, publication_of(run)) == []
    assert [round(wait) // 60 for wait in job.waits] == [1, 2]


def test_a_rate_limit_of_an_hour_is_told_instead_of_waited_for(github: GitHubDouble, job: Job) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999"}
    github.faults.append(Fault("POST", "/comments", 403, "API rate limit exceeded", headers))
    run = run_of("failed")
    refused = job.provider(comment="always").publish(run, publication_of(run))
    assert job.waits == []
    assert "the rate limit did not end in time" in refused[0]


def test_an_outage_is_a_warning_and_the_summary_is_there(github: GitHubDouble, job: Job) -> None:
    for method in ("GET", "POST", "PATCH"):
        github.faults.append(Fault(method, "", 503, "Service Unavailable", times=99))
    run = run_of("failed")
    refused = job.provider(check_name="dt", comment="always").publish(run, publication_of(run, annotations=1))
    assert [words.split(":")[0] for words in refused] == ["the annotations", "the comment"]
    assert job.summary.exists()
    assert len(job.log) == 1


def test_a_server_that_cannot_be_reached_is_told_without_its_address(job: Job) -> None:
    job.environ["GITHUB_API_URL"] = "http://127.0.0.1:1"
    run = run_of("failed")
    refused = job.provider(comment="always").publish(run, publication_of(run))
    assert "was not answered" in refused[0]


def test_a_workflow_run_finds_the_forks_pull_request_by_its_head_commit(github: GitHubDouble, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    source = {"head_sha": HEAD, "head_branch": "f", "head_repository": {"full_name": "stranger/app"}}
    event.write_text(json.dumps({"workflow_run": source, "repository": {"default_branch": "main"}}))
    github.repository.add_pull(3, HEAD, state="closed")
    github.repository.add_pull(4, HEAD, base="stranger/app")
    github.repository.add_pull(9, HEAD)
    job = Job(github, tmp_path, event)
    run = run_of("failed")
    assert job.provider(comment="always").publish(run, publication_of(run)) == []
    assert [comment["issue"] for comment in github.repository.comments] == [9]
    assert not job.provider().build().is_default_branch


def test_enterprise_server_without_a_summary_is_no_refusal(job: Job) -> None:
    del job.environ["GITHUB_STEP_SUMMARY"]
    run = run_of("passed")
    assert job.provider(comment="off").publish(run, publication_of(run)) == []


def test_badges_are_committed_from_the_default_branch_alone(github: GitHubDouble, tmp_path: Path) -> None:
    badges = (Badge(name="combined-status", label="tests", message="1 passed", color="brightgreen"),)
    run = run_of("passed")
    publication = publication_of(run, badges=badges)
    Job(github, tmp_path, pull_request_event(tmp_path)).provider(badges=True).publish(run, publication)
    assert ".github/badges/combined-status.json" not in github.repository.files("main")
    Job(github, tmp_path, push_event(tmp_path)).provider(badges=True).publish(run, publication)
    files = github.repository.files("main")
    assert b"1 passed" in files[".github/badges/combined-status.json"]
    assert files[".github/badges/combined-status.svg"].startswith(b"<svg")
    assert files["README.md"] == b"# app\n"


def test_hostile_names_cannot_become_commands_or_outputs(job: Job) -> None:
    run = run_of("failed", names="test_a.py::x\n::set-output name=passed::9\nconclusion=passed")
    publication = publication_of(run)
    hostile = publication.annotations or publication_of(run, annotations=1).annotations
    evil = type(hostile[0])(
        path="a,b:c%.py\n", line=0, level="failure", title="::error::x\n::warning::y", message="m\r\n::error::z%0A"
    )
    publication = type(publication)(title="t", summary_markdown="s", annotations=(evil,))
    job.provider("", comment="off").publish(run, publication)
    assert job.log == [
        "::error file=a%2Cb%3Ac%25.py%0A,line=1,title=%3A%3Aerror%3A%3Ax%0A%3A%3Awarning%3A%3Ay::m%0D%0A::error::z%250A"
    ]
