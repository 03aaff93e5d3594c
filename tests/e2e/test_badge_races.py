"""Badges on one branch from many publishers at once, over real HTTP."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from github_double import Fault, GitHubDouble

from dt_action.model.report import Badge
from dt_action.providers.github_api import GitHubApi, connect
from dt_action.providers.github_badges import BranchProtectedError, Publisher
from dt_action.providers.rest import Rest
from dt_action.reports.formats import shields

PUBLISHERS = 20


def publisher(github: GitHubDouble, branch: str = "main") -> Publisher:
    """One with the real logic and no long pauses."""
    api = connect(github.url, "team/app", "ghs_write", write_pause_s=0)
    return Publisher(api=api, branch=branch, sleep=lambda wait_s: time.sleep(wait_s / 50), jitter=random.random)


def status(name: str, message: str) -> dict[str, bytes]:
    return shields.files([Badge(name=name, label=name, message=message, color="brightgreen")])


def message_of(github: GitHubDouble, name: str, branch: str = "main") -> str:
    found = json.loads(github.repository.files(branch)[f".github/badges/{name}.json"])
    return str(found["message"])


def commits_on(github: GitHubDouble, branch: str = "main") -> int:
    return len(github.repository.ancestry(github.repository.refs[f"heads/{branch}"])) - 1


def test_twenty_publishers_at_once_lose_nothing_and_leave_the_newest(github: GitHubDouble) -> None:
    orders = list(range(1, PUBLISHERS + 1))
    random.Random(4).shuffle(orders)

    def publish(order: int) -> str:
        files = status("combined-status", f"run {order}") | status(f"type-{order}-status", f"own {order}")
        return publisher(github).publish(files, (order, 1))

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        list(pool.map(publish, orders))
    assert message_of(github, "combined-status") == f"run {PUBLISHERS}"
    assert [message_of(github, f"type-{order}-status") for order in orders] == [f"own {order}" for order in orders]
    assert 1 <= commits_on(github) <= 2 * PUBLISHERS
    assert github.repository.files("main")["README.md"] == b"# app\n"


def test_an_older_run_that_ends_last_changes_nothing_although_the_newer_one_had_nothing_to_commit(
    github: GitHubDouble,
) -> None:
    publisher(github).publish(status("combined-status", "passing"), (5, 1))
    before = commits_on(github)
    assert publisher(github).publish(status("combined-status", "passing"), (7, 1)) == ""
    assert commits_on(github) == before
    assert publisher(github).publish(status("combined-status", "failing"), (6, 1)) == ""
    assert message_of(github, "combined-status") == "passing"


@pytest.mark.parametrize("seed", range(5))
def test_publishers_of_only_two_messages_still_leave_the_newest(github: GitHubDouble, seed: int) -> None:
    """Most of them find nothing to commit, which is where a rule without a register goes wrong."""
    order = random.Random(seed)
    orders = list(range(1, 9))
    order.shuffle(orders)
    words = {number: order.choice(["passing", "failing"]) for number in orders}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: publisher(github).publish(status("combined-status", words[n]), (n, 1)), orders))
    assert message_of(github, "combined-status") == words[8]


def test_a_newer_run_that_had_nothing_to_commit_wins_over_an_older_one_that_was_just_committing(
    github: GitHubDouble,
) -> None:
    """The older one read the register before the newer one was in it, and commits after the newer one has looked."""
    publisher(github).publish(status("combined-status", "passing"), (5, 1))
    newer: list[str] = []

    class Slow(GitHubApi):
        def move_ref(self, ref: str, commit: str) -> None:
            if ref == "heads/main" and not newer:
                newer.append(publisher(github).publish(status("combined-status", "passing"), (7, 1)))
            super().move_ref(ref, commit)

    rest = Rest(url=github.url, headers={"Authorization": "Bearer ghs_write"}, write_pause_s=0)
    Publisher(api=Slow(rest, "team/app"), branch="main").publish(status("combined-status", "failing"), (6, 1))
    assert newer == [""]
    assert message_of(github, "combined-status") == "passing"


def test_a_later_attempt_of_the_same_run_wins_over_the_first(github: GitHubDouble) -> None:
    publisher(github).publish(status("combined-status", "failing"), (5, 1))
    publisher(github).publish(status("combined-status", "passing"), (5, 2))
    publisher(github).publish(status("combined-status", "failing"), (5, 1))
    assert message_of(github, "combined-status") == "passing"


def test_all_files_are_one_commit_that_starts_no_workflow(github: GitHubDouble) -> None:
    files = status("combined-status", "ok") | status("stress-status", "ok")
    commit = publisher(github).publish(files, (5, 1))
    assert commits_on(github) == 1
    assert "[skip ci]" in github.repository.commits[commit]["message"]


def test_a_branch_that_is_missing_is_made_without_the_codes_history(github: GitHubDouble) -> None:
    publisher(github, "dt-badges").publish(status("combined-status", "ok"), (5, 1))
    assert commits_on(github, "dt-badges") == 0
    assert set(github.repository.files("dt-badges")) == {
        ".github/badges/combined-status.json",
        ".github/badges/combined-status.svg",
    }


def test_a_protected_branch_is_told_with_what_to_set_instead(github: GitHubDouble) -> None:
    github.repository.protected.add("main")
    with pytest.raises(BranchProtectedError, match="takes no commit of badges") as caught:
        publisher(github).publish(status("combined-status", "ok"), (5, 1))
    assert "badge_branch: dt-badges" in caught.value.hint


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
    publisher(github).publish(status("combined-status", "ok"), (5, 1))
    assert message_of(github, "combined-status") == "ok"


def test_a_damaged_register_is_replaced(github: GitHubDouble, tmp_path: Path) -> None:
    publisher(github).publish(status("combined-status", "one"), (5, 1))
    api = connect(github.url, "team/app", "ghs_write", write_pause_s=0)
    tip = api.tip("dt/badges/main")
    api.move_ref("dt/badges/main", api.commit_files({"badges.json": "{broken"}, "x", tip))
    publisher(github).publish(status("combined-status", "two"), (4, 1))
    assert message_of(github, "combined-status") == "two"
