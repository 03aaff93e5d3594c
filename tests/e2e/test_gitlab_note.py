"""The note of a merge request: found among all, only ever our own, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gitlab_double import GitLabDouble, serving
from publications import gitlab_job, publication_of, run_of

from dt_action.model.run import Run


@pytest.fixture
def gitlab() -> Iterator[GitLabDouble]:
    with serving(GitLabDouble()) as double:
        yield double


def publish(gitlab: GitLabDouble, tmp_path: Path, run: Run, **settings: Any) -> list[str]:
    return list(gitlab_job(gitlab, tmp_path, "test", **settings).publish(run, publication_of(run)))


def test_a_merge_request_gets_one_note_among_hundreds_and_it_is_updated(gitlab: GitLabDouble, tmp_path: Path) -> None:
    remarks = [gitlab.add_note(f"remark {number}", 5) for number in range(250)]
    gitlab.unreadable = {note["id"] for note in remarks[:40]}
    forged = gitlab.add_note("<!-- distributed-testing key=results -->", 5)
    for outcome in ("failed", "passed"):
        assert publish(gitlab, tmp_path, run_of(outcome)) == []
    assert len(gitlab.notes) == 252
    assert "1 passed, 0 failed" in gitlab.notes[-1]["body"]
    assert forged["body"] == "<!-- distributed-testing key=results -->"


def test_a_refused_note_is_told_with_what_kind_of_token_it_needs(gitlab: GitLabDouble, tmp_path: Path) -> None:
    gitlab.refuses = 403
    (refused,) = publish(gitlab, tmp_path, run_of("failed"))
    assert refused.startswith("the merge request's note: POST projects/12/merge_requests/7/notes: 403")
    assert "project access token" in refused
    assert "glpat" not in refused


@pytest.mark.parametrize("outcome", ["passed", "skipped"])
def test_no_note_is_written_where_all_is_fine_from_the_start(
    gitlab: GitLabDouble, tmp_path: Path, outcome: Any
) -> None:
    assert publish(gitlab, tmp_path, run_of(outcome), comment="changes") == []
    assert gitlab.notes == []


def test_the_note_says_whose_results_it_shows_where_jobs_share_it(gitlab: GitLabDouble, tmp_path: Path) -> None:
    publish(gitlab, tmp_path, run_of("failed"), environment="integration all")
    assert publish(gitlab, tmp_path, run_of("passed"), environment="stress all") == []
    body = gitlab.notes[0]["body"]
    assert body.splitlines()[1] == "## ❌ failed: 1 passed, 1 failed, 0 skipped"
    assert "`test (integration all)`" in body
    assert "`test (stress all)`" in body


def test_a_pipeline_that_ends_late_does_not_replace_a_newer_ones_result(gitlab: GitLabDouble, tmp_path: Path) -> None:
    publish(gitlab, tmp_path, run_of("failed"), pipeline=99)
    publish(gitlab, tmp_path, run_of("passed"), pipeline=98)
    assert "0 passed, 1 failed" in gitlab.notes[0]["body"]


def test_a_branch_pipeline_and_one_of_the_merge_request_each_have_their_lines_in_its_note(
    gitlab: GitLabDouble, tmp_path: Path
) -> None:
    assert publish(gitlab, tmp_path, run_of("failed"), is_branch_pipeline=True) == []
    assert publish(gitlab, tmp_path, run_of("passed"), pipeline=100) == []
    (note,) = gitlab.notes
    assert "❌ failed: 1 passed, 1 failed" in note["body"]
    assert "`test (push)`" in note["body"]
    assert "`test (merge_request_event)`" in note["body"]


def test_a_job_that_was_tried_again_replaces_its_first_try(gitlab: GitLabDouble, tmp_path: Path) -> None:
    publish(gitlab, tmp_path, run_of("failed"), job_id=500)
    publish(gitlab, tmp_path, run_of("passed"), job_id=501)
    publish(gitlab, tmp_path, run_of("failed"), job_id=500)
    assert "1 passed, 0 failed" in gitlab.notes[0]["body"]
