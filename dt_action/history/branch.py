"""A history on a branch of the project's own repository, by plain git: so it works with every service that has git."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.errors import UnreadableError
from dt_action.history.codec import decode, encode
from dt_action.history.past import KnownPast
from dt_action.history.records import RunRecord, merged, records_of
from dt_action.history.stores import COMPACT_FROM, MOST_BYTES, Warn, bounded, warn_by_default
from dt_action.model.run import Run
from dt_action.workspace.git_command import GitError, output_of, run_git

SUBJECT = "Test history [skip ci]"
"""The first line of the one commit of such a branch; a branch whose tip says anything else is not ours to write to."""

PATIENCE_S = 60.0
_NO_REF = 2
_LOOKS = 10
_QUIETLY = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
_WHO = ("-c", "user.name=distributed-testing", "-c", "user.email=noreply@distributed-testing.invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tip:
    """What the branch holds: its commit (empty where there is no branch), and of each file git's mode, type and id."""

    commit: str = ""
    entries: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BranchHistory:
    """
    A history in the files of a branch, each run a file of its own, many files merged into one.

    The branch is a single commit without parents, so that it never grows beyond what it holds, and starts no
    workflow. A writer replaces it only where it still is what the writer has read (`--force-with-lease`), and else
    reads it again: so no writer loses another one's run. The working tree, the index and HEAD are not touched.

    `root` lies in the repository; the branch is that of its remote `origin`, or its own where it has no such remote.
    """

    root: Path
    branch: str
    warn: Warn = warn_by_default
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def load(self, environment: str = "") -> KnownPast:
        """See `ports.History`."""
        try:
            return KnownPast(merged(*self._records(self._tip()).values()), environment)
        except GitError as error:
            self.warn(f"the history on the branch {self.branch} is left out of account: {error}")
            return KnownPast(environment=environment)

    def record(self, run: Run, recorded: str = "") -> None:
        """See `ports.History`."""
        give_up_at = self.clock() + PATIENCE_S
        tries = 0
        try:
            while True:
                tip = self._tip()
                try:
                    self._push(self._commit(tip, encode(records_of(run, recorded))), tip)
                    return
                except GitError:
                    wait_s = self.jitter() * min(0.2 * 2.0**tries, 5.0)
                    was_overtaken = self._remote_commit() != tip.commit
                    if not (was_overtaken or tries == 0) or self.clock() + wait_s > give_up_at:
                        raise
                tries += 1
                self.sleep(wait_s)
        except GitError as error:
            self.warn(f"the history could not be kept on the branch {self.branch}: {error}")

    # --- reading --------------------------------------------------------------------------------------------------

    def _tip(self) -> _Tip:
        commit = self._remote_commit()
        for _ in range(_LOOKS):
            if not commit:
                return _Tip()
            if self._has(commit):
                break
            self._git(*_QUIETLY, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self._remote, self._ref)
            commit = self._remote_commit()  # it may have moved on between the question and the fetch
        self._expect_ours(commit)
        return _Tip(commit=commit, entries=self._entries(commit))

    def _remote_commit(self) -> str:
        """The commit of the branch; empty where there is no such branch."""
        done = self._run("ls-remote", "--exit-code", self._remote, self._ref)
        if done.returncode == _NO_REF:
            return ""
        told = (line.split("\t") for line in output_of(done).decode().splitlines())
        return next((line[0] for line in told if line[1:] == [self._ref]), "")

    def _has(self, commit: str) -> bool:
        return self._run("cat-file", "-e", f"{commit}^{{tree}}").returncode == 0

    def _expect_ours(self, commit: str) -> None:
        """A branch of code must not be replaced by a history, whatever its name was taken for."""
        head, _, message = self._git("cat-file", "commit", commit).decode("utf-8", "replace").partition("\n\n")
        if "\nparent " in f"\n{head}" or not message.startswith(SUBJECT):
            raise GitError("it holds commits that are no test history; name a branch of its own, such as dt-history")

    def _entries(self, commit: str) -> dict[str, tuple[str, str, str]]:
        entries = {}
        for line in self._git("ls-tree", "-z", commit).split(b"\0"):
            if line:
                about, _, name = line.partition(b"\t")
                mode, kind, id = about.decode().split()
                entries[os.fsdecode(name)] = mode, kind, id
        return entries

    def _records(self, tip: _Tip) -> dict[str, tuple[RunRecord, ...]]:
        """The records by file; a file that is not ours is left alone, with a warning."""
        ids = {name: id for name, (_, kind, id) in tip.entries.items() if kind == "blob" and name.endswith(".json")}
        known: dict[str, tuple[RunRecord, ...]] = {}
        for name, content in zip(ids, self._contents([*ids.values()]), strict=True):
            try:
                if len(content) > MOST_BYTES:
                    raise UnreadableError(f"expected at most {MOST_BYTES:,} bytes, found {len(content):,}")
                known[name] = decode(content)
            except UnreadableError as error:
                self.warn(f"the history in {name} on the branch {self.branch} is left out of account: {error}")
        return known

    def _contents(self, ids: Sequence[str]) -> list[bytes]:
        if not ids:
            return []
        told = self._git("cat-file", "--batch", stdin="\n".join(ids).encode() + b"\n")
        contents, place = [], 0
        for _ in ids:
            end = told.index(b"\n", place)
            size = int(told[place:end].split()[2])
            contents.append(told[end + 1 : end + 1 + size])
            place = end + size + 2
        return contents

    # --- writing --------------------------------------------------------------------------------------------------

    def _commit(self, tip: _Tip, content: bytes) -> str:
        """A commit of what the branch holds and `content`; many files become one."""
        entries = {**tip.entries, **self._blob(content)}
        names = [name for name, (_, kind, _) in entries.items() if kind == "blob" and name.endswith(".json")]
        if len(names) >= COMPACT_FROM:
            known = self._records(_Tip(entries=entries))
            whole = self._blob(bounded(merged(*known.values())))
            entries = {name: entry for name, entry in entries.items() if name not in known} | whole
        lines = (f"{mode} {kind} {id}\t".encode() + os.fsencode(name) for name, (mode, kind, id) in entries.items())
        tree = self._git("mktree", "-z", stdin=b"".join(line + b"\0" for line in lines)).decode().strip()
        return self._git(*_WHO, "commit-tree", tree, "-m", SUBJECT).decode().strip()

    def _blob(self, content: bytes) -> dict[str, tuple[str, str, str]]:
        """A file that is named by its content, so that equal ones are one."""
        id = self._git("hash-object", "-w", "--stdin", stdin=content).decode().strip()
        return {f"{hashlib.sha256(content).hexdigest()[:24]}.json": ("100644", "blob", id)}

    def _push(self, commit: str, tip: _Tip) -> None:
        lease = f"--force-with-lease={self._ref}:{tip.commit}"
        self._git("push", "--quiet", "--no-verify", lease, self._remote, f"{commit}:{self._ref}")

    # --- git ------------------------------------------------------------------------------------------------------

    @property
    def _ref(self) -> str:
        return f"refs/heads/{self.branch}"

    @property
    def _remote(self) -> str:
        """By its address, so that git moves no ref of its own that follows the remote."""
        done = self._run("remote", "get-url", "--push", "origin")
        return os.fsdecode(done.stdout).strip() if done.returncode == 0 else "."

    def _git(self, *words: str, stdin: bytes = b"") -> bytes:
        return output_of(self._run(*words, stdin=stdin))

    def _run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return run_git(self.root, *words, stdin=stdin)
