"""Badges on one branch from many publishers at once, over real HTTP."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from github_double import Fault, GitHubDouble

from dt_action.model.report import Badge, Standing
from dt_action.model.run import Conclusion
from dt_action.providers.github_api import GitHubApi, connect
from dt_action.providers.github_badges import BranchProtectedError, Publisher
from dt_action.providers.job import Job
from dt_action.providers.rest import ApiError, Rest
from dt_action.reports.renderers.badge import coverage_badge, status_badge

PUBLISHERS = 20


def publisher(github: GitHubDouble, branch: str = "main") -> Publisher:
    """One with the real logic and no long pauses."""
    api = connect(github.url, "team/app", "ghs_write", write_pause_s=0)
    return Publisher(api=api, branch=branch, sleep=lambda wait_s: time.sleep(wait_s / 50), jitter=random.random)


def status(name: str, message: str) -> list[Badge]:
    return [Badge(name=name, label=name, message=message, color="brightgreen")]


def job(run: int, attempt: int = 1, key: str = "unit", workflow: str = "CI") -> Job:
    return Job(key=key, workflow=workflow, run=run, attempt=attempt)


def standing(said: Conclusion, passed: int = 0, failed: int = 0, name: str = "combined-status") -> list[Badge]:
    return [status_badge(name, "tests", Standing(conclusion=said, passed=passed, failed=failed))]


def message_of(github: GitHubDouble, name: str, branch: str = "main") -> str:
    found = json.loads(github.repository.files(branch)[f".github/badges/{name}.json"])
    return str(found["message"])


def commits_on(github: GitHubDouble, branch: str = "main") -> int:
    return len(github.repository.ancestry(github.repository.refs[f"heads/{branch}"])) - 1


def test_twenty_publishers_at_once_lose_nothing_and_leave_the_newest(github: GitHubDouble) -> None:
    orders = list(range(1, PUBLISHERS + 1))
    random.Random(4).shuffle(orders)

    def publish(order: int) -> str:
        files = status("combined-status", f"run {order}") + status(f"type-{order}-status", f"own {order}")
        return publisher(github).publish(files, job(order))

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        list(pool.map(publish, orders))
    assert message_of(github, "combined-status") == f"run {PUBLISHERS}"
    assert [message_of(github, f"type-{order}-status") for order in orders] == [f"own {order}" for order in orders]
    assert 1 <= commits_on(github) <= 2 * PUBLISHERS
    assert github.repository.files("main")["README.md"] == b"# app\n"


def test_an_older_run_that_ends_last_changes_nothing_although_the_newer_one_had_nothing_to_commit(
    github: GitHubDouble,
) -> None:
    publisher(github).publish(status("combined-status", "passing"), job(5))
    before = commits_on(github)
    assert publisher(github).publish(status("combined-status", "passing"), job(7)) == ""
    assert commits_on(github) == before
    assert publisher(github).publish(status("combined-status", "failing"), job(6)) == ""
    assert message_of(github, "combined-status") == "passing"


@pytest.mark.parametrize("seed", range(5))
def test_publishers_of_only_two_messages_still_leave_the_newest(github: GitHubDouble, seed: int) -> None:
    """Most of them find nothing to commit, which is where a rule without a register goes wrong."""
    order = random.Random(seed)
    orders = list(range(1, 9))
    order.shuffle(orders)
    words = {number: order.choice(["passing", "failing"]) for number in orders}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: publisher(github).publish(status("combined-status", words[n]), job(n)), orders))
    assert message_of(github, "combined-status") == words[8]


def test_a_newer_run_that_had_nothing_to_commit_wins_over_an_older_one_that_was_just_committing(
    github: GitHubDouble,
) -> None:
    """The older one read the register before the newer one was in it, and commits after the newer one has looked."""
    publisher(github).publish(status("combined-status", "passing"), job(5))
    newer: list[str] = []

    class Slow(GitHubApi):
        def move_ref(self, ref: str, commit: str) -> None:
            if ref == "heads/main" and not newer:
                newer.append(publisher(github).publish(status("combined-status", "passing"), job(7)))
            super().move_ref(ref, commit)

    rest = Rest(url=github.url, headers={"Authorization": "Bearer ghs_write"}, write_pause_s=0)
    Publisher(api=Slow(rest, "team/app"), branch="main").publish(status("combined-status", "failing"), job(6))
    assert newer == [""]
    assert message_of(github, "combined-status") == "passing"


def test_a_later_attempt_of_the_same_run_wins_over_the_first(github: GitHubDouble) -> None:
    publisher(github).publish(status("combined-status", "failing"), job(5))
    publisher(github).publish(status("combined-status", "passing"), job(5, 2))
    publisher(github).publish(status("combined-status", "failing"), job(5))
    assert message_of(github, "combined-status") == "passing"


def test_jobs_of_one_run_add_up_and_the_worst_colours_the_badge(github: GitHubDouble) -> None:
    publisher(github).publish(standing("failed", passed=2, failed=1), job(5, key="unit"))
    publisher(github).publish(standing("passed", passed=9), job(5, key="ui"))
    publisher(github).publish(standing("passed", passed=4), job(3, key="nightly", workflow="Nightly"))
    assert shown(github) == ("15 passed, 1 failed", "red")
    publisher(github).publish(standing("passed", passed=3), job(5, 2, key="unit"))
    assert shown(github) == ("16 passed", "brightgreen")


def test_a_newer_run_is_not_green_before_the_job_that_was_red_has_ended_in_it(github: GitHubDouble) -> None:
    publisher(github).publish(standing("failed", failed=1), job(5, key="slow"))
    publisher(github).publish(standing("passed", passed=9), job(6, key="quick"))
    assert shown(github)[1] == "red"
    publisher(github).publish(standing("passed", passed=1), job(6, key="slow"))
    assert shown(github) == ("10 passed", "brightgreen")


def test_a_job_that_is_gone_is_forgotten_after_two_runs_of_its_workflow(github: GitHubDouble) -> None:
    publisher(github).publish(standing("failed", failed=1), job(5, key="removed"))
    for run in (6, 7):
        assert shown(github)[1] == "red"
        publisher(github).publish(standing("passed", passed=1), job(run, key="kept"))
    assert shown(github) == ("1 passed", "brightgreen")


def test_the_largest_coverage_is_told_and_a_badge_of_somebodys_own_as_it_was_said_last(github: GitHubDouble) -> None:
    publisher(github).publish([coverage_badge(80.0), *status("docs", "built")], job(5, key="a"))
    publisher(github).publish([coverage_badge(70.0), *status("docs", "broken")], job(5, key="b"))
    assert (message_of(github, "coverage"), message_of(github, "docs")) == ("80%", "broken")


def shown(github: GitHubDouble) -> tuple[str, str]:
    found = json.loads(github.repository.files("main")[".github/badges/combined-status.json"])
    return found["message"], found["color"]


@pytest.mark.parametrize(("token", "keeps_quiet"), [("ghs_write", False), ("ghp_person", True)])
def test_all_files_are_one_commit_that_starts_no_workflow(github: GitHubDouble, token: str, keeps_quiet: bool) -> None:
    """A job's own token starts none anyway, and the words would keep a tag on that commit from starting any."""
    api = connect(github.url, "team/app", token, write_pause_s=0)
    commit = Publisher(api=api, branch="main").publish(
        status("combined-status", "ok") + status("stress-status", "ok"), job(5)
    )
    assert commits_on(github) == 1
    assert ("[skip ci]" in github.repository.commits[commit]["message"]) == keeps_quiet


def test_a_branch_that_is_missing_is_made_without_the_codes_history(github: GitHubDouble) -> None:
    publisher(github, "dt-badges").publish(status("combined-status", "ok"), job(5))
    assert commits_on(github, "dt-badges") == 0
    assert set(github.repository.files("dt-badges")) == {
        ".github/badges/combined-status.json",
        ".github/badges/combined-status.svg",
    }


@pytest.mark.parametrize(
    ("status_code", "words"),
    [
        (422, "Repository rule violations found: Changes must be made through a pull request."),
        (409, "Repository rule violations found"),
        (422, "At least 1 approving review is required by reviewers with write access."),
        (422, "Commits must have verified signatures."),
        (422, "Protected branch update failed for refs/heads/main."),
        (422, 'Required status check "build" is expected.'),
        (422, "Waiting on code owner review from team/app."),
        (403, "You're not authorized to push to this branch. Visit https://docs.github.com/ for more information."),
        (422, "Words that GitHub will think of next year"),
    ],
)
def test_a_protected_branch_is_told_with_what_to_set_instead_whatever_its_words(
    github: GitHubDouble, status_code: int, words: str
) -> None:
    github.faults.append(Fault("PATCH", "heads/main", status_code, words, times=99))
    with pytest.raises(BranchProtectedError, match="takes no commit of badges") as caught:
        publisher(github).publish(status("combined-status", "ok"), job(5))
    assert "badge_branch: dt-badges" in caught.value.hint
    assert words in str(caught.value)


def test_a_token_that_may_not_write_is_not_taken_for_a_protected_branch(github: GitHubDouble) -> None:
    api = connect(github.url, "team/app", "ghs_read", write_pause_s=0)
    with pytest.raises(ApiError, match="Resource not accessible by integration"):
        Publisher(api=api, branch="main").publish(status("combined-status", "ok"), job(5))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH", "heads", 409, "is at X but expected Y", times=3),
        Fault("PATCH", "heads", 422, "Update is not a fast forward", times=3),
        Fault("PATCH", "heads", 502, times=2, after_doing=True),
        Fault("POST", "git/refs", 502, after_doing=True),
        Fault("POST", "git/trees", 502, times=2),
    ],
    ids=lambda fault: f"{fault.method} {fault.path} {fault.status}",
)
def test_conflicts_and_lost_answers_end_in_the_right_badge(github: GitHubDouble, fault: Fault) -> None:
    github.faults.append(Fault(**vars(fault)))
    publisher(github).publish(status("combined-status", "ok"), job(5))
    assert message_of(github, "combined-status") == "ok"


def test_a_damaged_register_is_replaced(github: GitHubDouble, tmp_path: Path) -> None:
    publisher(github).publish(status("combined-status", "one"), job(5))
    api = connect(github.url, "team/app", "ghs_write", write_pause_s=0)
    tip = api.tip("dt/badges/main")
    api.move_ref("dt/badges/main", api.commit_files({"badges.json": "{broken"}, "x", tip))
    publisher(github).publish(status("combined-status", "two"), job(4))
    assert message_of(github, "combined-status") == "two"
