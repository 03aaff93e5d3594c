"""Twenty jobs that write at once to one comment, one note, one check and one badge branch, over real HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from github_double import Fault, GitHubDouble
from gitlab_double import GitLabDouble
from gitlab_double import serving as serving_gitlab
from publications import github_job, gitlab_job, publication_of, pull_request_event, push_event, run_of

from dt_action.model.case import Outcome
from dt_action.model.run import Run
from dt_action.providers import shared_comment
from dt_action.providers.github_api import connect
from dt_action.providers.github_comment import GitHubThread
from dt_action.reports.renderers.badge import badges

JOBS = 20


def outcome_of(number: int) -> Outcome:
    return "failed" if number in (3, 11) else "passed"


def a_run(number: int) -> Run:
    run = run_of(outcome_of(number), "passed", names=f"test_{number}.py::test")
    return Run(id=f"run-{number}", results=run.results, makespan_s=1.0)


def all_at_once(work: Callable[[int], Any]) -> list[Any]:
    """Every job starts its work at the same moment."""
    barrier = threading.Barrier(JOBS)

    def one(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(one, range(JOBS)))


def rows(text: str) -> set[str]:
    """The jobs that have a line."""
    return set(re.findall(r"^\| \[?`([^`]+)`", text, re.MULTILINE))


NAMES = {f"job{number}" for number in range(JOBS)}


def test_one_comment_holds_the_lines_of_all_jobs_and_the_worst_is_its_heading(
    github: GitHubDouble, tmp_path: Path
) -> None:
    event = pull_request_event(tmp_path)

    def publish(number: int) -> list[str]:
        run = a_run(number)
        provider = github_job(github, event, f"job{number}", comment="always")
        return list(provider.publish(run, publication_of(run, summary=f"## result\n\nwords of job {number}\n")))

    assert all_at_once(publish) == [[]] * JOBS
    (comment,) = github.repository.comments
    assert comment["body"].splitlines()[1] == "## ❌ failed: 38 passed, 2 failed, 0 skipped"
    assert rows(comment["body"]) == NAMES
    assert all(f"words of job {number}\n" in comment["body"] for number in range(JOBS))
    assert github.repository.reactions == {}


def test_one_check_holds_the_lines_of_all_jobs_and_concludes_as_the_worst(github: GitHubDouble, tmp_path: Path) -> None:
    event = pull_request_event(tmp_path)

    def publish(number: int) -> list[str]:
        run = a_run(number)
        provider = github_job(github, event, f"job{number}", check_name="Tests")
        return list(provider.publish(run, publication_of(run, annotations=int(outcome_of(number) == "failed"))))

    assert all_at_once(publish) == [[]] * JOBS
    checks = list(github.repository.checks.values())
    assert len(checks) == JOBS
    shown = [check for check in checks if check["name"] == "Tests"]
    assert shown
    for check in shown:
        assert (check["status"], check["conclusion"]) == ("completed", "failure")
        assert rows(check["output"]["summary"]) == NAMES
        assert check["output"]["title"] == "20 jobs: 38 passed, 2 failed, 0 skipped"
    assert sum(len(items) for items in github.repository.annotations.values()) == 2
    others = {check["name"]: check["conclusion"] for check in checks if check["name"] != "Tests"}
    assert others.get("Tests: job3", "failure") == "failure"
    assert others.get("Tests: job5", "success") == "success"


def test_one_badge_branch_holds_what_all_jobs_say_together(github: GitHubDouble, tmp_path: Path) -> None:
    event = push_event(tmp_path)

    def publish(number: int) -> list[str]:
        run = a_run(number)
        provider = github_job(github, event, f"job{number}", badges=True)
        return list(provider.publish(run, publication_of(run, badges=badges(run))))

    assert all_at_once(publish) == [[]] * JOBS
    badge = json.loads(github.repository.files("main")[".github/badges/combined-status.json"])
    assert (badge["message"], badge["color"]) == ("38 passed, 2 failed", "red")


@pytest.fixture
def gitlab() -> Iterator[GitLabDouble]:
    with serving_gitlab(GitLabDouble()) as double:
        yield double


@pytest.mark.parametrize("lets_two_in", [False, True])
def test_one_note_holds_the_lines_of_all_jobs_and_the_worst_is_its_heading(
    gitlab: GitLabDouble, tmp_path: Path, lets_two_in: bool
) -> None:
    gitlab.lets_two_in = lets_two_in

    def publish(number: int) -> list[str]:
        run = a_run(number)
        return list(gitlab_job(gitlab, tmp_path, f"job{number}").publish(run, publication_of(run)))

    assert all_at_once(publish) == [[]] * JOBS
    (note,) = gitlab.notes
    assert note["body"].splitlines()[1] == "## ❌ failed: 38 passed, 2 failed, 0 skipped"
    assert rows(note["body"]) == NAMES
    assert gitlab.awards == {}


def test_where_a_service_has_no_turns_a_line_that_was_overwritten_is_written_again(
    gitlab: GitLabDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gitlab.has_awards = False
    waited: list[float] = []

    def publish(name: str, interfere: Callable[[], None] = lambda: None) -> list[str]:
        run = a_run(3 if name == "unit" else 0)
        provider = gitlab_job(gitlab, tmp_path, name)

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                interfere()

        provider._sleep = sleep
        return list(provider.publish(run, publication_of(run)))

    publish("ui")
    before = gitlab.notes[0]["body"]

    def overwrite() -> None:
        gitlab.notes[0]["body"] = before

    assert publish("unit", overwrite) == []
    assert rows(gitlab.notes[0]["body"]) == {"unit", "ui"}
    assert all(shared_comment.SETTLE_S <= seconds <= 2 * shared_comment.SETTLE_S for seconds in waited)


def test_whose_turn_it_was_when_it_was_killed_holds_nobody_up_for_ever(github: GitHubDouble, tmp_path: Path) -> None:
    event, run = pull_request_event(tmp_path), a_run(3)
    github_job(github, event, "ui", comment="always").publish(a_run(0), publication_of(a_run(0)))
    number = github.repository.comments[0]["id"]
    dead = {"id": 7, "comment": number, "content": "eyes", "user": {"login": "github-actions[bot]", "type": "Bot"}}
    github.repository.reactions[7] = dead
    clock = iter(range(0, 10_000, 5))
    api = connect(github.url, "team/app", "ghs_write", write_pause_s=0)
    provider = github_job(github, event, "unit", comment="always")
    entry = provider._entry(run, publication_of(run), provider.build())
    waited: list[float] = []
    writer = shared_comment.Writer(
        thread=GitHubThread(api, 7, "ghs_write"),
        page=shared_comment.Page(budget_bytes=60_000, note="*Shortened.*"),
        clock=lambda: float(next(clock)),
        sleep=waited.append,
    )
    board = writer.publish(entry, may_create=True)
    assert board is not None
    assert board.conclusion == "failed"
    assert len(waited) >= 4
    assert github.repository.reactions == {}


def test_a_job_that_was_killed_in_the_middle_of_its_turn_ends_it(github: GitHubDouble, tmp_path: Path) -> None:
    event = pull_request_event(tmp_path)
    github_job(github, event, "ui", comment="always").publish(a_run(0), publication_of(a_run(0)))
    provider = github_job(github, event, "unit", comment="always")
    api: Any = provider._api

    def terminated(*_: object) -> None:
        raise KeyboardInterrupt  # what SIGTERM becomes

    api.update_comment = terminated
    with pytest.raises(KeyboardInterrupt):
        provider.publish(a_run(3), publication_of(a_run(3)))
    assert github.repository.reactions == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH", r"/check-runs/", 403, "Resource not accessible by integration", times=99),
        Fault("PATCH", r"/check-runs/", 503, "Service Unavailable", times=99),
        Fault("GET", r"/annotations", 500, "Server Error", times=99),
        Fault("POST", r"/check-runs$", 502, after_doing=True),
    ],
    ids=lambda fault: f"{fault.method} {fault.status}",
)
def test_a_check_that_was_begun_is_concluded_whatever_is_refused_after_that(
    github: GitHubDouble, tmp_path: Path, fault: Fault
) -> None:
    github.faults.append(fault)
    run = a_run(3)
    github_job(github, pull_request_event(tmp_path), "unit", check_name="Tests").publish(
        run, publication_of(run, annotations=120)
    )
    (check,) = github.repository.checks.values()
    assert (check["status"], check["conclusion"]) == ("completed", "failure")


def test_a_check_is_concluded_also_where_the_job_is_terminated_while_it_annotates(
    github: GitHubDouble, tmp_path: Path
) -> None:
    provider = github_job(github, pull_request_event(tmp_path), "unit", check_name="Tests")
    api: Any = provider._api

    def terminated(*_: object) -> None:
        raise KeyboardInterrupt

    api.annotation_keys = terminated
    with pytest.raises(KeyboardInterrupt):
        provider.publish(a_run(3), publication_of(a_run(3), annotations=3))
    assert [check["conclusion"] for check in github.repository.checks.values()] == ["failure"]


def test_a_second_attempt_replaces_its_own_first_one_in_check_comment_and_badge(
    github: GitHubDouble, tmp_path: Path
) -> None:
    event, push = pull_request_event(tmp_path), push_event(tmp_path)

    def publish(job: str, number: int, attempt: int, run_id: int = 1000) -> None:
        run = Run(id=f"{job}-{attempt}-{run_id}", results=a_run(number).results)
        told = publication_of(run, badges=badges(run))
        how = {"attempt": attempt, "run_id": run_id}
        github_job(github, event, job, check_name="Tests", comment="always", **how).publish(run, told)
        github_job(github, push, job, badges=True, **how).publish(run, told)

    def shown() -> tuple[str, str, str]:
        newest = [check for check in github.repository.checks.values() if check["name"] == "Tests"][-1]
        badge = json.loads(github.repository.files("main")[".github/badges/combined-status.json"])
        return newest["conclusion"], github.repository.comments[0]["body"].splitlines()[1][:4], badge["color"]

    publish("unit", 3, 1)
    publish("ui", 0, 1)
    assert shown() == ("failure", "## ❌", "red")
    publish("ui", 0, 2)
    assert shown() == ("failure", "## ❌", "red")
    publish("unit", 0, 2)
    assert shown() == ("success", "## ✅", "brightgreen")
    publish("unit", 3, 1)  # the first attempt, which took its time
    publish("ui", 3, 1, run_id=999)
    assert shown() == ("success", "## ✅", "brightgreen")


def test_steps_legs_and_workflows_are_told_apart_without_any_option(github: GitHubDouble, tmp_path: Path) -> None:
    event = pull_request_event(tmp_path)
    places = [
        {"GITHUB_ACTION": "__run"},
        {"GITHUB_ACTION": "__run_2"},
        {"leg": '{"python": "3.12", "os": "linux"}'},
        {"leg": '{"python": "3.13", "os": "linux"}'},
        {"GITHUB_WORKFLOW": "Nightly"},
        {"GITHUB_WORKFLOW_REF": "team/app/.github/workflows/other.yml@refs/pull/7/merge"},
    ]
    for number, place in enumerate(places):
        provider = github_job(github, event, "test", comment="always", leg=place.get("leg", ""))
        provider._environ = {**provider._environ, **{key: text for key, text in place.items() if key != "leg"}}
        run = a_run(3 if number == 0 else 0)
        again = Run(id=f"run-{number}", results=run.results)
        assert provider.publish(again, publication_of(again)) == []
    body = github.repository.comments[0]["body"]
    assert body.splitlines()[1] == "## ❌ failed: 11 passed, 1 failed, 0 skipped"
    assert {"CI / test (3.12, linux)", "CI / test (3.13, linux)", "Nightly / test"} < rows(body)


def test_legs_that_nothing_tells_apart_both_stand_with_a_word_about_labels(
    github: GitHubDouble, tmp_path: Path
) -> None:
    event = pull_request_event(tmp_path)
    red, green = a_run(3), a_run(0)
    assert github_job(github, event, "test", comment="always").publish(red, publication_of(red)) == []
    (told,) = github_job(github, event, "test", comment="always").publish(green, publication_of(green))
    assert "`label`" in told
    assert github.repository.comments[0]["body"].splitlines()[1].startswith("## ❌ failed: 3 passed, 1 failed")


def test_two_comments_that_two_first_jobs_made_at_once_become_one(github: GitHubDouble, tmp_path: Path) -> None:
    event = pull_request_event(tmp_path)
    for number, job in ((3, "unit"), (0, "ui")):
        other = GitHubDouble()
        other.repository.ids = github.repository.ids
        run = a_run(number)
        provider = github_job(github, event, job, comment="always")
        hidden, github.repository.comments = github.repository.comments, []
        provider.publish(run, publication_of(run))
        github.repository.comments = hidden + github.repository.comments
    assert len(github.repository.comments) == 2
    run = a_run(5)
    github_job(github, event, "gpu", comment="always").publish(run, publication_of(run))
    (comment,) = github.repository.comments
    assert rows(comment["body"]) == {"unit", "ui", "gpu"}
    assert comment["body"].splitlines()[1].startswith("## ❌")


@pytest.mark.parametrize("lag", [1, 2])
def test_a_service_that_lists_what_was_made_only_later_gets_one_comment_and_one_check(
    github: GitHubDouble, tmp_path: Path, lag: int
) -> None:
    github.repository.lists_lag = lag
    provider = github_job(github, pull_request_event(tmp_path), "unit", check_name="Tests", comment="always")
    assert provider.publish(a_run(3), publication_of(a_run(3), annotations=2)) == []
    (comment,), (check,) = github.repository.comments, github.repository.checks.values()
    assert comment["body"].startswith("<!-- distributed-testing")
    assert (check["conclusion"], check["output"]["title"]) == ("failure", "1 passed, 1 failed, 0 skipped")


def test_a_check_that_does_not_keep_every_character_is_written_once_for_what_there_is(
    github: GitHubDouble, tmp_path: Path
) -> None:
    """Words that never come back as they were sent are no reason to send them until one's patience ends."""
    github.repository.keeps_no_astral = True
    event = pull_request_event(tmp_path)
    for job in ("unit", "ui"):
        run = a_run(3)
        told = publication_of(run, summary="## failed \U0001f600\n\nwords \U0001f680\n")
        assert github_job(github, event, job, check_name="Tests").publish(run, told) == []
    assert len(github.calls("PATCH", "/check-runs/")) <= 4
    shown = next(check for check in github.repository.checks.values() if check["name"] == "Tests")
    assert rows(shown["output"]["summary"]) == {"unit", "ui"}


def test_a_comment_that_is_deleted_while_it_is_written_is_made_anew(github: GitHubDouble, tmp_path: Path) -> None:
    event = pull_request_event(tmp_path)
    github_job(github, event, "ui", comment="always").publish(a_run(0), publication_of(a_run(0)))
    provider = github_job(github, event, "unit", comment="always")
    api: Any = provider._api
    update = api.update_comment

    def deleted_meanwhile(number: int, body: str) -> None:
        github.repository.comments.clear()
        api.update_comment = update
        update(number, body)

    api.update_comment = deleted_meanwhile
    assert provider.publish(a_run(3), publication_of(a_run(3))) == []
    assert github.repository.comments[0]["body"].splitlines()[1].startswith("## ❌ failed") or (
        "failed" in github.repository.comments[0]["body"]
    )


def workflow_run_event(tmp_path: Path, name: str, run_id: int, trigger: str = "pull_request") -> Path:
    """The event of a workflow that publishes what another one, `name`, left."""
    event = {
        "repository": {"full_name": "team/app", "default_branch": "main"},
        "workflow_run": {
            "id": run_id,
            "name": name,
            "path": f".github/workflows/{name.lower()}.yml",
            "event": trigger,
            "head_sha": "a" * 40,
            "head_branch": "patch-1",
            "head_repository": {"full_name": "stranger/app"},
        },
    }
    path = tmp_path / f"{name}-{run_id}.json"
    path.write_text(json.dumps(event))
    return path


def test_one_workflow_that_publishes_for_two_others_keeps_the_word_of_each(
    github: GitHubDouble, tmp_path: Path
) -> None:
    github.repository.add_pull(7, "a" * 40, repo="stranger/app", branch="patch-1")
    for name, run_id, number in (("Unit", 900, 3), ("UI", 901, 0)):
        event = workflow_run_event(tmp_path, name, run_id)
        provider = github_job(github, event, "publish", run_id=2000 + run_id, comment="always", check_name="Tests")
        assert provider.publish(a_run(number), publication_of(a_run(number))) == []
    body = github.repository.comments[0]["body"]
    assert body.splitlines()[1].startswith("## ❌ failed: 3 passed, 1 failed")
    assert rows(body) == {"Unit / publish", "UI / publish"}
    assert [c["conclusion"] for c in github.repository.checks.values() if c["name"] == "Tests"] == ["failure"]


def test_a_push_and_a_pull_request_of_one_commit_do_not_answer_for_one_another_in_its_check(
    github: GitHubDouble, tmp_path: Path
) -> None:
    """The one tests the commit, the other what it makes of its target."""
    event = pull_request_event(tmp_path)
    for trigger, run_id, number in (("push", 1000, 3), ("pull_request", 1001, 0)):
        provider = github_job(github, event, "unit", run_id=run_id, check_name="Tests")
        provider._environ = {**provider._environ, "GITHUB_EVENT_NAME": trigger}
        assert provider.publish(a_run(number), publication_of(a_run(number))) == []
    shown = next(check for check in github.repository.checks.values() if check["name"] == "Tests")
    assert shown["conclusion"] == "failure"
    assert rows(shown["output"]["summary"]) == {"unit (push)", "unit (pull_request)"}


def test_two_calls_of_one_reusable_workflow_are_told_apart_by_what_github_calls_their_jobs(
    github: GitHubDouble, tmp_path: Path
) -> None:
    """`GITHUB_JOB` is `report` in both; when only one of them runs again, the other one's red stays."""
    event = pull_request_event(tmp_path)

    def publish(check: int, name: str, number: int, attempt: int) -> list[str]:
        made = {"id": check, "name": name, "head_sha": "a" * 40, "output": {}, "status": "in_progress"}
        github.repository.checks[check] = {"conclusion": None, **made}
        github.repository.annotations[check] = []
        run = Run(id=f"{name}-{attempt}", results=a_run(number).results)
        provider = github_job(github, event, "report", comment="always", check_run_id=check, attempt=attempt)
        return list(provider.publish(run, publication_of(run)))

    assert publish(1, "api / report", 3, 1) == publish(2, "web / report", 11, 1) == []
    assert publish(3, "api / report", 0, 2) == []
    body = github.repository.comments[0]["body"]
    assert body.splitlines()[1].startswith("## ❌ failed: 3 passed, 1 failed")
    assert rows(body) == {"api / report", "web / report"}
