"""What git says of the working tree. Every answer may be that git does not know: a shallow clone, no repository."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dt_action.workspace.git_command import GitError, run_git

MOST_ANCESTORS = 200
_NOT_RUN = 127
_RENAMES = ("--find-renames", "-l0")
_HUNK = re.compile(rb"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """
    A file that differs between a base and later. `path` is relative to the root.

    `blob` is the id of its content in the base, `later` that of another commit's; empty where there is none, or where
    it is the working tree's. `is_there` tells that it is not gone.
    """

    path: str
    blob: str = ""
    later: str = ""
    is_there: bool = True


@dataclass(frozen=True, slots=True)
class Git:
    """The repository that holds `root`. Nothing is fetched or changed."""

    root: Path

    def commit(self) -> str:
        """The commit of HEAD, empty where the working tree has changes to tracked files that it does not hold."""
        if self._text("status", "--porcelain", "--untracked-files=no") != "":
            return ""
        return self._text("rev-parse", "--verify", "--quiet", "HEAD") or ""

    def branch(self) -> str:
        """The branch that is checked out; empty where none is."""
        return self._text("symbolic-ref", "--short", "--quiet", "HEAD") or ""

    def merge_base(self, ref: str) -> str:
        """The commit from which HEAD left `ref`; empty where git cannot tell."""
        return self._text("merge-base", _as_commit(ref), "HEAD") or ""

    def is_ancestor(self, earlier: str, later: str) -> bool:
        """True where `later` holds `earlier`, or is it; False where git cannot tell."""
        return self._run("merge-base", "--is-ancestor", _as_commit(earlier), _as_commit(later)).returncode == 0

    def parents(self, ref: str) -> tuple[str, ...]:
        """The parents of a commit, also those that a shallow clone does not hold."""
        told = self._output("cat-file", "commit", _as_commit(ref)) or b""
        head = told.partition(b"\n\n")[0].decode("utf-8", "replace").splitlines()
        return tuple(line.split()[1] for line in head if line.startswith("parent "))

    def subject(self, ref: str) -> str:
        """The first line of a commit's message."""
        return self._text("log", "-1", "--format=%s", _as_commit(ref)) or ""

    def is_shallow(self) -> bool:
        """True for a clone that does not hold all commits."""
        return self._text("rev-parse", "--is-shallow-repository") == "true"

    def trouble(self) -> str:
        """Why git says nothing at all here, in its own words and with what to do; empty where it is at work."""
        done = self._run("rev-parse", "--git-dir")
        if done.returncode == 0:
            return ""
        return f"git says: {_words(done.stderr) or f'nothing, and ends with {done.returncode}'}"

    def words_about(self, ref: str) -> str:
        """What git says of a commit that is not here."""
        return _words(self._run("merge-base", _as_commit(ref), "HEAD").stderr)

    def ancestors(self, commit: str) -> tuple[str, ...]:
        """`commit` and the commits before it on its own branch, the nearest first; only itself where unknown."""
        listed = self._text("rev-list", "--first-parent", f"--max-count={MOST_ANCESTORS}", _as_commit(commit))
        return tuple(listed.split()) if listed else (commit,)

    def resolve(self, ref: str) -> str:
        """The commit that `ref` names; empty where it is not here."""
        return self._text("rev-parse", "--verify", "--quiet", _as_commit(ref)) or ""

    def is_branch_name(self, name: str) -> bool:
        """True for what git takes as the name of a branch."""
        return bool(self._text("check-ref-format", "--branch", name)) and not name.startswith("-")

    def prefix(self) -> str:
        """Where `root` lies in its repository, such as `python/`; empty at the top."""
        return self._text("rev-parse", "--show-prefix") or ""

    def top(self) -> Path:
        """
        The top of the repository; `root` where there is none.

        Where git does not want to tell, because the repository is somebody else's, it is where `.git` lies.
        """
        found = self._text("rev-parse", "--show-toplevel")
        if found:
            return Path(found)
        root = self.root.resolve()
        return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), self.root)

    def changes(self, base: str) -> tuple[Changed, ...] | None:
        """
        The files of the whole repository that differ from `base`, deleted and untracked ones, too.

        None where git cannot tell.
        """
        tracked = self._differing(_as_commit(base))
        untracked = self._output("ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/")
        if tracked is None:
            return None
        prefix = self.prefix()
        names = [os.fsdecode(name) for name in (untracked or b"").split(b"\0") if name]
        new = (Changed(path=_seen_from(prefix, name), is_there=True) for name in names)
        return tuple(sorted([*tracked, *new], key=lambda item: item.path))

    def changes_between(self, base: str, later: str) -> tuple[Changed, ...] | None:
        """The files of the whole repository that differ between two commits; None where git cannot tell."""
        return self._differing(_as_commit(base), _as_commit(later))

    def _differing(self, *commits: str) -> tuple[Changed, ...] | None:
        told = self._output("diff", "--raw", "--no-abbrev", "--no-renames", "-z", *commits, "--")
        if told is None:
            return None
        prefix, found = self.prefix(), []
        fields = iter(told.split(b"\0"))
        for about in fields:
            if about:
                _, _, before, after, status = about.decode("ascii").split()
                found.append(
                    Changed(
                        path=_seen_from(prefix, os.fsdecode(next(fields))),
                        blob=before if before.strip("0") else "",
                        later=after if after.strip("0") else "",
                        is_there=status != "D",
                    )
                )
        return tuple(found)

    def contents(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """The contents of blobs by id, as far as they are here."""
        if not blobs:
            return {}
        told = self._output("cat-file", "--batch", stdin="\n".join(blobs).encode("ascii") + b"\n")
        contents: dict[str, bytes] = {}
        place = 0
        for blob in blobs if told else ():
            assert told is not None  # noqa: S101 - for the reader and mypy
            end = told.index(b"\n", place)
            about = told[place:end].split()
            place = end + 1
            if about[-1] != b"missing":
                size = int(about[2])
                contents[blob] = told[place : place + size]
                place += size + 1
        return contents

    def changed_lines(self, base: str) -> Mapping[str, frozenset[int]] | None:
        """
        The lines (from 1) of each file under `root` that are new or edited since `base`; None where unknown.

        A file that was moved or renamed, from wherever in the repository, is not new: only what was edited in it is.
        """
        diff = self._output(
            *("-c", "core.quotePath=false", "diff", "--unified=0", "--no-color", "--no-ext-diff", *_RENAMES),
            *("--diff-filter=AMR", "--src-prefix=a/", "--dst-prefix=b/", _as_commit(base), "--"),
        )
        if diff is None:
            return None
        prefix = self.prefix()
        return {path.removeprefix(prefix): lines for path, lines in parse_diff(diff).items() if path.startswith(prefix)}

    def renamed(self, base: str) -> Mapping[str, str]:
        """The new path of each file that was moved since `base`, by its old one, from the repository's top."""
        told = self._output("diff", "--name-status", "-z", "--diff-filter=R", *_RENAMES, _as_commit(base), "--") or b""
        words = [os.fsdecode(word) for word in told.split(b"\0")]
        return dict(zip(words[1::3], words[2::3], strict=False))

    def _text(self, *words: str) -> str | None:
        output = self._output(*words)
        return None if output is None else os.fsdecode(output).strip()

    def _output(self, *words: str, stdin: bytes | None = None) -> bytes | None:
        done = self._run(*words, stdin=stdin)
        return done.stdout if done.returncode == 0 else None

    def _run(self, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        try:
            return run_git(self.root, *words, stdin=stdin or b"")
        except GitError as error:
            return subprocess.CompletedProcess(words, _NOT_RUN, b"", str(error).encode())


def parse_diff(diff: bytes) -> dict[str, frozenset[int]]:
    """The added lines by file of a `git diff --unified=0 --dst-prefix=b/`."""
    added: dict[str, set[int]] = {}
    file, left = "", 0
    for line in diff.split(b"\n"):
        if left:
            left -= line[:1] in (b"+", b"-")
            continue
        if line.startswith(b"+++ "):
            name = line[4:].rstrip(b"\t\r")
            file = _unquoted(name).removeprefix("b/") if name != b"/dev/null" else ""
        elif hunk := _HUNK.match(line):
            start, count = int(hunk[1]), int(hunk[2] or b"1")
            removed = line.split(b" ")[1].partition(b",")[2]
            left = count + (int(removed) if removed else 1)
            if file:
                added.setdefault(file, set()).update(range(start, start + count))
    return {name: frozenset(lines) for name, lines in added.items()}


def _seen_from(prefix: str, path: str) -> str:
    """A path below the repository's top as it is seen from a folder there, such as `python/`."""
    return path.removeprefix(prefix) if path.startswith(prefix) else posixpath.relpath(path, prefix or ".")


def _words(said: bytes) -> str:
    """git's words on one line."""
    return " ".join(said.decode("utf-8", "replace").split())


def _unquoted(name: bytes) -> str:
    """git puts names with quotes, backslashes or control characters in C's quotes."""
    if not name.startswith(b'"'):
        return os.fsdecode(name)
    return os.fsdecode(name[1:-1].decode("unicode_escape").encode("latin-1"))


def _as_commit(ref: str) -> str:
    """A ref that cannot be taken for an option, and that names a commit."""
    return f"{ref.lstrip('-')}^{{commit}}"
