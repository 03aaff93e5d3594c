"""What a change is compared with, in real repositories as CI services check them out."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dt_action.app.base import build_of_checkout, find_base, untested_commit
from dt_action.model.build import Build
from dt_action.workspace.git import Git

WHO = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main")


class Repository:
    """A clone with a remote `origin`, of which only the refs are kept; each commit is called by a letter."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q")
        self.commit("A")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *WHO, *words], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, name: str, content: str = "") -> str:
        (self.root / f"{name}.py").write_text(content or f"{name} = 1\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", name)
        self.git("tag", name)
        return self.git("rev-parse", "HEAD")

    def merge(self, name: str, other: str, message: str = "") -> str:
        self.git("merge", "-q", "--no-ff", "-m", message or f"Merge {other}", other)
        self.git("tag", name)
        return self.git("rev-parse", "HEAD")

    def id(self, name: str) -> str:
        return self.git("rev-parse", f"{name}^{{commit}}")

    def name_of(self, commit: str) -> str:
        return self.git("describe", "--tags", "--exact-match", commit) if commit else ""

    def at_origin(self, branch: str, name: str) -> None:
        self.git("update-ref", f"refs/remotes/origin/{branch}", self.id(name))

    def base(self, build: Build) -> str:
        found, _ = build_of_checkout(build, Git(self.root))
        return self.name_of(find_base(found, Git(self.root)).commit)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """main: A-B-C; feature left it at A with F1-F2, and is checked out merged into C as M."""
    made = Repository(tmp_path / "r")
    made.git("checkout", "-q", "-b", "feature")
    made.commit("F1")
    made.commit("F2")
    made.git("checkout", "-q", "main")
    made.commit("B")
    made.commit("C")
    made.git("checkout", "-q", "--detach")
    made.merge("M", "F2")
    return made


def pull(repository: Repository, base: str = "A", head: str = "F2", **more: object) -> Build:
    values = {"commit": repository.id(head), "base_commit": repository.id(base), "base_branch": "main", **more}
    return Build(provider="github", pull_request=7, **values)  # type: ignore[arg-type]


def test_the_merge_that_the_service_made_names_the_base_and_not_the_event(repository: Repository) -> None:
    assert repository.base(pull(repository, base="A")) == "C"


def test_the_base_is_known_by_its_id_where_the_clone_has_nothing_but_the_merge(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("branch", "merged", "M")
    repository.git(
        "clone", "-q", "--depth", "1", "-b", "merged", f"file://{repository.root}", str(tmp_path / "shallow")
    )
    git = Git(tmp_path / "shallow")
    found = find_base(pull(repository), git)
    assert found.commit == repository.id("C")
    assert "git says: fatal: Not a valid" in found.problem
    assert "`with:` and `fetch-depth: 0`" in found.problem
    assert git.changed_lines(found.commit) is None


@pytest.mark.parametrize(
    ("service", "words"), [("gitlab", "`GIT_DEPTH: 0`"), ("jenkins", "shallow"), ("x", "unshallow")]
)
def test_each_service_has_its_own_way_to_fetch_more(
    repository: Repository, tmp_path: Path, service: str, words: str
) -> None:
    repository.git("branch", "merged", "M")
    repository.git(
        "clone", "-q", "--depth", "1", "-b", "merged", f"file://{repository.root}", str(tmp_path / "shallow")
    )
    assert words in find_base(replace(pull(repository), provider=service), Git(tmp_path / "shallow")).problem


def test_a_head_that_is_checked_out_itself_left_where_it_left(repository: Repository) -> None:
    repository.git("checkout", "-q", "F2")
    assert repository.base(pull(repository, base="C")) == "A"


def test_what_a_branch_took_over_from_its_target_is_not_its_change(repository: Repository) -> None:
    """The event remembers A; the branch merged B, and main went on to C."""
    repository.git("checkout", "-q", "F2")
    head = repository.merge("F3", "B")
    repository.at_origin("main", "C")
    assert repository.base(pull(repository, base="A", head="F3")) == "B"
    assert head == repository.id("F3")


def test_a_branch_whose_newest_commit_is_a_merge_of_its_target_is_no_merge_of_the_service(
    repository: Repository,
) -> None:
    repository.git("checkout", "-q", "F2")
    repository.merge("F3", "C")
    assert repository.base(pull(repository, base="C", head="F3")) == "C"


def test_a_target_merged_by_hand_before_the_tests_is_the_base(repository: Repository) -> None:
    repository.git("checkout", "-q", "F2")
    repository.merge("H", "C")
    assert repository.base(pull(repository, base="A", head="F2")) == "C"


def test_a_run_after_the_pull_request_was_merged_still_has_its_change(repository: Repository) -> None:
    repository.at_origin("main", "M")
    repository.git("checkout", "-q", "F2")
    assert repository.base(pull(repository, base="A")) == "A"


def test_a_merge_queue_is_compared_with_its_own_base(repository: Repository) -> None:
    """The group before it, M, is in no branch yet; this one rebased two commits onto that."""
    repository.git("checkout", "-q", "M")
    repository.commit("Q1")
    repository.commit("Q2")
    repository.at_origin("main", "C")
    assert repository.base(pull(repository, base="M", head="Q2")) == "M"


def test_a_merged_results_pipeline_of_gitlab_is_compared_with_what_it_merges_into(repository: Repository) -> None:
    build = replace(pull(repository, base="A"), provider="gitlab", checked_out=repository.id("M"))
    assert repository.base(build) == "C"


def push(repository: Repository, head: str, before: str = "", **more: object) -> Build:
    base = repository.id(before) if before and len(before) < 5 else before
    values = {"commit": repository.id(head), "base_commit": base, "branch": "feature", "default_branch": "main", **more}
    return Build(provider="github", **values)  # type: ignore[arg-type]


def test_a_push_is_compared_with_what_the_branch_was_before(repository: Repository) -> None:
    repository.git("checkout", "-q", "C")
    assert repository.base(push(repository, "C", before="A", branch="main", is_default_branch=True)) == "A"


def test_the_first_push_of_a_branch_is_compared_with_where_it_left_the_default_branch(repository: Repository) -> None:
    repository.at_origin("main", "C")
    repository.git("checkout", "-q", "F2")
    assert repository.base(push(repository, "F2")) == "A"


@pytest.mark.parametrize("before", ["F2", "0123456789012345678901234567890123456789"])
def test_a_forced_push_is_compared_with_where_it_left_and_not_with_what_it_threw_away(
    repository: Repository, before: str
) -> None:
    """F2 is still known, the other one not even that."""
    repository.at_origin("main", "C")
    repository.git("checkout", "-q", "B")
    repository.commit("R1")
    repository.commit("R2")
    assert repository.base(push(repository, "R2", before=before, is_forced=True)) == "B"


def test_a_forced_push_of_the_default_branch_is_compared_with_the_commit_before(repository: Repository) -> None:
    repository.at_origin("main", "C")
    repository.git("checkout", "-q", "C")
    build = push(repository, "C", before="0" * 39 + "1", branch="main", is_default_branch=True, is_forced=True)
    assert repository.base(build) == "B"


def jenkins(repository: Repository, commit: str, **more: object) -> Build:
    values = {"commit": repository.id(commit), "base_branch": "main", "pull_request": 7, **more}
    return Build(provider="jenkins", **values)  # type: ignore[arg-type]


def test_a_pull_request_on_jenkins_is_compared_with_its_target(repository: Repository) -> None:
    repository.at_origin("main", "C")
    repository.git("checkout", "-q", "F2")
    assert repository.base(jenkins(repository, "F2")) == "A"


@pytest.mark.parametrize("knows_target", [True, False])
def test_a_merge_that_jenkins_made_is_compared_with_its_target_and_is_of_the_commit_that_was_pushed(
    repository: Repository, knows_target: bool
) -> None:
    repository.git("checkout", "-q", "C")
    repository.merge("J", "F2", f"Merge commit '{repository.id('F2')}' into HEAD")
    if knows_target:
        repository.at_origin("main", "C")
    build = jenkins(repository, "J")
    found, said = build_of_checkout(build, Git(repository.root))
    assert (repository.name_of(found.commit), said) == ("F2", "")
    assert repository.base(build) == "C"


def test_a_merge_that_somebody_pushed_to_a_pull_request_is_not_taken_for_one_of_jenkins(repository: Repository) -> None:
    repository.git("checkout", "-q", "F2")
    repository.merge("F3", "B")
    repository.at_origin("main", "C")
    build = jenkins(repository, "F3")
    assert repository.name_of(build_of_checkout(build, Git(repository.root))[0].commit) == "F3"
    assert repository.base(build) == "B"


def test_another_ref_checked_out_than_the_events_is_noticed_and_told_for_what_it_is(repository: Repository) -> None:
    """`pull_request_target` checks the target out, not the pull request."""
    repository.git("checkout", "-q", "C")
    found, said = build_of_checkout(pull(repository), Git(repository.root))
    assert repository.name_of(found.commit) == "C"
    assert f"{repository.id('C')[:12]}, not {repository.id('F2')[:12]}" in said
    assert untested_commit(pull(repository), Git(repository.root)) == repository.id("F2")
    scheduled = replace(pull(repository), branch="main", is_default_branch=True)  # and a step checked out feature
    assert not build_of_checkout(scheduled, Git(repository.root))[0].is_default_branch
    for name in ("M", "F2"):
        repository.git("checkout", "-q", name)
        assert build_of_checkout(pull(repository), Git(repository.root)) == (pull(repository), "")
    repository.commit("formatted")  # by the job itself, on top of what was pushed
    assert build_of_checkout(pull(repository), Git(repository.root))[1]
    assert untested_commit(pull(repository), Git(repository.root)) == ""


def test_what_lies_here_says_nothing_of_a_build_that_is_not_checked_out(repository: Repository) -> None:
    """A workflow that publishes a fork's results has the default branch checked out."""
    repository.git("checkout", "-q", "C")
    stranger = Build(provider="github", commit="f" * 40)
    assert find_base(stranger, Git(repository.root)).commit == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root meets a folder of others so")
def test_dubious_ownership_is_told_in_gits_own_words_with_the_line_to_add(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    os.chown(repository.root, 1234, 1234)
    found = find_base(Build(provider="github", commit="c" * 40, base_commit="b" * 40), Git(repository.root))
    assert found.commit == "b" * 40
    assert "detected dubious ownership" in found.problem
    assert f"git config --global --add safe.directory {repository.root}" in found.problem


def test_without_a_repository_or_git_nothing_is_known_and_the_reason_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not a git repository" in find_base(Build(), Git(tmp_path)).problem
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git cannot be run" in find_base(Build(), Git(tmp_path)).problem


def test_an_edited_tree_is_compared_with_its_newest_commit(repository: Repository) -> None:
    repository.git("checkout", "-q", "C")
    assert repository.base(Build()) == "B"
    (repository.root / "A.py").write_text("edited = 1\n")
    assert repository.base(Build()) == "C"


class TestMoves:
    """Renames and moves are not new code."""

    CODE = "".join(f"def f{n}(x):\n    return x + {n}\n\n\n" for n in range(30))

    @pytest.mark.parametrize(
        "config", [(), ("diff.renames", "false"), ("diff.noprefix", "true"), ("diff.renameLimit", "1")]
    )
    def test_a_moved_file_has_only_the_lines_that_were_edited_in_it(
        self, tmp_path: Path, config: tuple[str, ...]
    ) -> None:
        made = Repository(tmp_path / "r")
        if config:
            made.git("config", *config)
        made.commit("legacy", self.CODE)
        base = made.commit("other", self.CODE.replace("x", "y"))
        (made.root / "pkg").mkdir()
        made.git("mv", "legacy.py", "pkg/core.py")
        made.git("mv", "other.py", "pkg/ünï code.py")
        text = (made.root / "pkg" / "core.py").read_text()
        (made.root / "pkg" / "core.py").write_text(text.replace("x + 3\n", "x + 3 + 0\n"))
        made.commit("moved")
        changed = Git(made.root).changed_lines(base)
        assert changed == {"moved.py": {1}, "pkg/core.py": {14}}
        assert Git(made.root).renamed(base) == {"legacy.py": "pkg/core.py", "other.py": "pkg/ünï code.py"}

    def test_a_file_that_was_moved_into_the_projects_folder_is_not_new_there(self, tmp_path: Path) -> None:
        made = Repository(tmp_path / "r")
        base = made.commit("legacy", self.CODE)
        (made.root / "py").mkdir()
        made.git("mv", "legacy.py", "py/core.py")
        (made.root / "py" / "new.py").write_text("a = 1\n")
        made.commit("moved")
        assert Git(made.root / "py").changed_lines(base) == {"new.py": {1}}
