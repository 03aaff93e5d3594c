"""The lines that a diff adds, and what git says of a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dt_action.workspace.git import Git, parse_diff

DIFF = b"""diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -1,0 +2,2 @@ def f():
+x
+++ b/not-a-file
@@ -9 +11 @@
-old
+new
@@ -20,3 +21,0 @@
---- a
-b
-c
diff --git a/gone.py b/gone.py
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git "a/\\303\\274 b.py" "b/\\303\\274 b.py"
--- "a/\\303\\274 b.py"
+++ "b/\\303\\274 b.py"
@@ -0,0 +1 @@
+x
\\ No newline at end of file
"""


def test_added_lines_are_read_and_text_that_looks_like_a_header_is_not() -> None:
    assert parse_diff(DIFF) == {"a.py": {2, 3, 11}, "ü b.py": {1}}


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def paths(repository: Git, base: str) -> list[str]:
    changes = repository.changes(base)
    assert changes is not None
    return [change.path for change in changes]


def test_a_branch_is_compared_with_where_it_left(tmp_path: Path) -> None:
    git(tmp_path, "init", "-b", "main")
    (tmp_path / "a.py").write_text("1\n2\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    repository = Git(tmp_path)
    first = repository.commit()
    git(tmp_path, "checkout", "-b", "feature")
    (tmp_path / "a.py").write_text("1\nnew\n2\n")
    git(tmp_path, "commit", "-am", "two")
    git(tmp_path, "checkout", "main")
    (tmp_path / "b.py").write_text("later\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "three")
    git(tmp_path, "checkout", "feature")
    assert repository.branch() == "feature"
    assert repository.merge_base("main") == first
    assert repository.ancestors("HEAD")[1:] == (first,)
    assert repository.changed_lines(first) == {"a.py": {2}}
    (tmp_path / "new.py").write_text("x")
    assert paths(repository, first) == ["a.py", "new.py"]
    blobs = [change.blob for change in repository.changes(first) or () if change.blob]
    assert repository.contents(["1" * 40, *blobs]) == {blobs[0]: b"1\n2\n"}
    assert repository.commit() == repository.resolve("HEAD"), "an untracked file is no edit"
    (tmp_path / "a.py").write_text("edited")
    assert repository.commit() == ""


def test_a_folder_below_the_top_sees_changes_above_it_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "-b", "main")
    (tmp_path / "python").mkdir()
    (tmp_path / "python/a.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    (tmp_path / "python/a.py").write_text("1\n2\n")
    (tmp_path / "other.py").write_text("1\n2\n")
    below = Git(tmp_path / "python")
    assert below.prefix() == "python/"
    assert below.changed_lines("HEAD") == {"a.py": {2}}
    assert paths(below, "HEAD") == ["../other.py", "a.py"]


def test_without_a_repository_git_knows_nothing(tmp_path: Path) -> None:
    nowhere = Git(tmp_path)
    assert nowhere.commit() == nowhere.branch() == nowhere.merge_base("main") == nowhere.prefix() == ""
    assert nowhere.changes("main") is nowhere.changed_lines("main") is None
    assert nowhere.ancestors("abc") == ("abc",)


def test_a_ref_is_never_an_option(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert Git(tmp_path).changes("--output=stolen") is None
    assert not (tmp_path / "stolen").exists()
