"""A history on a branch of a real repository: several writers at once, and branches that are not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from past_samples import result, run_of

from dt_action.history.branch import PATIENCE_S, BranchHistory
from dt_action.history.stores import COMPACT_FROM

BRANCH = "dt-history"
ENVIRON = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{f"GIT_{who}_{what}": "dt@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, env=ENVIRON)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on `main`."""
    bare = tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    seed = clone(tmp_path, bare, "seed")
    (seed / "code.py").write_text("x = 1\n")
    git(seed, "add", "-A")
    git(seed, "commit", "-q", "-m", "first")
    git(seed, "push", "-q", "origin", "HEAD:main")
    return bare


def clone(tmp_path: Path, bare: Path, name: str, *options: str) -> Path:
    git(tmp_path, "clone", "-q", *options, bare.as_uri(), name)
    return tmp_path / name


def commits(bare: Path, branch: str = BRANCH) -> int:
    return int(git(bare, "rev-list", "--count", branch))


def files(bare: Path) -> list[str]:
    return git(bare, "ls-tree", "--name-only", BRANCH).split()


def ids(store: BranchHistory) -> set[str]:
    return {record.id for record in store.load().records}


def strict(root: Path) -> BranchHistory:
    """A store of which no warning is expected, with short pauses."""

    def refuse(text: str) -> None:
        raise AssertionError(text)

    return BranchHistory(root, BRANCH, refuse, sleep=lambda _: None)


def test_no_branch_is_an_empty_past_and_the_first_run_makes_it(tmp_path: Path, origin: Path) -> None:
    one, other = clone(tmp_path, origin, "one"), clone(tmp_path, origin, "other", "--depth=1")
    assert strict(one).load().records == ()
    strict(one).record(run_of(result("a.py::x", duration_s=2.0), id="1", at=1.0))
    strict(other).record(run_of(result("b.py::y", "failed"), id="2", at=2.0))
    past = strict(one).load()
    assert past.duration_s("a.py::x") == 2.0
    assert past.failed_last() == {"b.py::y"}


def test_nothing_that_is_checked_out_is_touched_and_the_branch_does_not_grow(tmp_path: Path, origin: Path) -> None:
    root = clone(tmp_path, origin, "one")
    (root / "code.py").write_text("x = 2\n")
    git(root, "add", "code.py")
    (root / "untracked.py").write_text("")
    before = git(root, "status", "--porcelain=v2", "--branch"), git(root, "for-each-ref", "refs/heads", "refs/remotes")
    for number in range(4):
        strict(root).record(run_of(result("a.py::x"), id=f"r{number}", at=float(number)))
    after = git(root, "status", "--porcelain=v2", "--branch"), git(root, "for-each-ref", "refs/heads", "refs/remotes")
    assert after == before
    assert commits(origin) == 1
    assert len(files(origin)) == 4


def test_many_files_become_one_and_no_run_is_lost(tmp_path: Path, origin: Path) -> None:
    store = strict(clone(tmp_path, origin, "one"))
    for number in range(COMPACT_FROM + 3):
        store.record(run_of(result("a.py::x"), id=f"r{number}", at=float(number)))
    assert len(files(origin)) == 1 + 3
    assert ids(store) == {f"r{number}" for number in range(COMPACT_FROM + 3)}


@pytest.mark.parametrize("clones", [1, 6], ids=["in one clone", "each in its own clone"])
def test_writers_at_once_lose_no_run(tmp_path: Path, origin: Path, clones: int) -> None:
    roots = [clone(tmp_path, origin, f"clone{number}") for number in range(clones)]
    told: list[str] = []

    def write(number: int) -> None:
        store = BranchHistory(roots[number % clones], BRANCH, told.append)
        store.record(run_of(result(f"t{number}.py::x"), id=f"r{number}", at=float(number)))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(12)))
    assert told == []
    assert ids(strict(roots[0])) == {f"r{number}" for number in range(12)}
    assert commits(origin) == 1


def test_a_writer_that_was_overtaken_between_reading_and_pushing_reads_again(tmp_path: Path, origin: Path) -> None:
    slow, quick = clone(tmp_path, origin, "slow"), clone(tmp_path, origin, "quick")
    overtaken: list[int] = []

    class Slow(BranchHistory):
        def _push(self, commit, tip) -> None:  # type: ignore[no-untyped-def]
            if len(overtaken) < 3:
                overtaken.append(1)
                strict(quick).record(run_of(result("q.py::x"), id=f"q{len(overtaken)}", at=len(overtaken)))
            super()._push(commit, tip)

    Slow(slow, BRANCH, sleep=lambda _: None).record(run_of(result("s.py::x"), id="s", at=9.0))
    assert ids(strict(quick)) == {"q1", "q2", "q3", "s"}


def test_a_branch_of_code_is_never_replaced(tmp_path: Path, origin: Path) -> None:
    root = clone(tmp_path, origin, "one")
    before = git(origin, "rev-parse", "main")
    told: list[str] = []
    store = BranchHistory(root, "main", told.append, sleep=lambda _: None)
    assert store.load().records == ()
    store.record(run_of(result("a.py::x")))
    assert git(origin, "rev-parse", "main") == before
    assert len(told) == 2
    assert all("no test history" in text for text in told)


def test_foreign_and_corrupt_files_on_the_branch_are_left_alone_with_a_warning(tmp_path: Path, origin: Path) -> None:
    root = clone(tmp_path, origin, "one")
    strict(root).record(run_of(result("a.py::x"), id="1", at=1.0))
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], input=b'{"version": 99', cwd=origin, capture_output=True, check=True
    )
    listing = git(origin, "ls-tree", BRANCH) + f"\n100644 blob {blob.stdout.decode().strip()}\tbroken.json\n"
    tree = subprocess.run(["git", "mktree"], input=listing.encode(), cwd=origin, capture_output=True, check=True)
    commit = git(origin, "commit-tree", tree.stdout.decode().strip(), "-m", "Test history [skip ci]")
    git(origin, "update-ref", f"refs/heads/{BRANCH}", commit)
    told: list[str] = []
    store = BranchHistory(root, BRANCH, told.append)
    assert ids(store) == {"1"}
    assert ["broken.json" in text for text in told] == [True]
    for number in range(COMPACT_FROM):
        store.record(run_of(result("a.py::x"), id=f"r{number}", at=float(number)))
    assert "broken.json" in files(origin)
    assert len(ids(store)) == COMPACT_FROM + 1


def test_a_remote_that_takes_nothing_or_is_away_is_a_warning(tmp_path: Path, origin: Path) -> None:
    root = clone(tmp_path, origin, "one")
    hook = origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    told: list[str] = []
    store = BranchHistory(root, BRANCH, told.append, sleep=lambda _: None)
    store.record(run_of(result("a.py::x")))
    assert "could not be kept" in told[0]
    assert "this branch is protected" in told[0]
    origin.rename(tmp_path / "gone.git")
    assert store.load().records == ()
    assert "left out of account" in told[1]


def test_a_writer_that_is_overtaken_for_ever_gives_up(tmp_path: Path, origin: Path) -> None:
    root = clone(tmp_path, origin, "one")
    now, told = [0.0], []

    class Unlucky(BranchHistory):
        def _push(self, commit, tip) -> None:  # type: ignore[no-untyped-def]
            now[0] += PATIENCE_S / 3
            strict(root).record(run_of(result("q.py::x"), id=f"q{now[0]}", at=now[0]))
            super()._push(commit, tip)

    Unlucky(root, BRANCH, told.append, sleep=lambda _: None, clock=lambda: now[0]).record(run_of(result("a.py::x")))
    assert len(told) == 1
    assert len(ids(strict(root))) >= 3


def test_a_repository_without_a_remote_keeps_the_branch_itself(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "lonely")
    store = strict(tmp_path / "lonely")
    store.record(run_of(result("a.py::x"), id="1"))
    assert ids(store) == {"1"}
    assert git(tmp_path / "lonely", "branch", "--list", "--format=%(refname:short)") == BRANCH


def test_no_repository_at_all_is_a_warning(tmp_path: Path) -> None:
    told: list[str] = []
    BranchHistory(tmp_path, BRANCH, told.append).record(run_of(result("a.py::x")))
    assert len(told) == 1


def test_runs_in_clones_of_their_own_know_each_other_by_the_branch(tmp_path: Path, origin: Path) -> None:
    for name, text in (("one", "def test_a(): pass\n"), ("other", "def test_a(): assert 0\n")):
        root = clone(tmp_path, origin, name)
        (root / "test_a.py").write_text(text)
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", name)
        git(root, "push", "-q", "origin", "HEAD:main")
        told = dt_run(root, "--history", f"branch:{BRANCH}")
    assert "New failures: 1" in told.stdout, told.stdout + told.stderr
    assert not (root / ".dt_cache/history").exists()
    refused = dt_run(root, "--history", "branch:not..a branch")
    assert refused.returncode == 4
    assert "expected the name of a branch" in refused.stderr


def dt_run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dt_action", "run", "--report-formats", "json", *options]
    environ = {name: value for name, value in ENVIRON.items() if not name.startswith(("DT_", "GITHUB_", "CI"))}
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environ)
