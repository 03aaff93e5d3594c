"""A small document that several jobs share without a server: a ref of the project's repository, replaced as a whole."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.errors import FleetError
from dt_action.workspace.git_command import GitError, output_of, run_git

PREFIX = "refs/dt/queue/"
"""No branch and no tag: such refs start no pipeline, and no clone fetches them."""

KEPT_S = 35 * 86400.0
"""As long as a job can be run again: https://docs.github.com/actions/managing-workflow-runs/re-running-workflows-and-jobs."""

PATIENCE_S = 120.0
MOST_REFS = 200
_NAME = "document.json"
_LOOKS = 50
_QUIETLY = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
_WHO = ("-c", "user.name=distributed-testing", "-c", "user.email=noreply@distributed-testing.invalid")


@dataclass(slots=True, kw_only=True)
class SharedRef:
    """
    The document under a ref of the remote `origin`, or of the repository itself where it has no such remote.

    A writer replaces it only where it still is what the writer has read (`--force-with-lease`), and else reads it
    again: of all that write at once, each one's change is made to what the one before left. Neither the working tree
    nor any ref of the clone is touched. `took_s` gathers the seconds that reading and writing took.
    """

    root: Path
    name: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    took_s: list[float] = field(default_factory=list)

    def update(self, change: Callable[[bytes], bytes | None]) -> bytes:
        """
        Replace the document by what `change` makes of it (empty bytes where there is none); None leaves it as it is.

        Returns what stands there then. Raises FleetError where the remote cannot be reached or refuses.
        """
        started, wait_s = self.clock(), 0.1
        while True:
            try:
                commit, content = self._read()
                changed = change(content)
                if changed is None:
                    return content
                if not commit:
                    self._remove_old()
                self._git("push", "--quiet", "--no-verify", self._lease(commit), self._remote, self._moved_to(changed))
                self.took_s.append(self.clock() - started)
                return changed
            except GitError as error:
                if self.clock() - started > PATIENCE_S or not self._was_overtaken(commit):
                    raise FleetError(
                        f"the queue {self._ref} cannot be written to: {error}",
                        hint="the job must be allowed to push to the repository (docs/shards.md)",
                    ) from error
            self.sleep(wait_s * random.random())  # noqa: S311 - so that not all try again at once
            wait_s = min(2 * wait_s, 3.0)

    def _read(self) -> tuple[str, bytes]:
        """The ref's commit and document; empty where there is none."""
        try:
            for _ in range(_LOOKS):
                commit = self._remote_commit()
                if not commit:
                    return "", b""
                if self._has(commit):
                    return commit, self._git("cat-file", "blob", f"{commit}:{_NAME}")
                self._fetch(self._ref)  # it may move on between the question and the fetch
            raise GitError("it changes all the time")
        except GitError as error:
            raise FleetError(
                f"the queue {self._ref} cannot be read: {error}", hint="--join needs a git remote that this job reaches"
            ) from error

    def _has(self, commit: str) -> bool:
        try:
            self._git("cat-file", "-e", f"{commit}^{{tree}}")
        except GitError:
            return False
        return True

    def _fetch(self, *refs: str) -> None:
        words = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head")
        self._git(*_QUIETLY, "fetch", *words, self._remote, *refs)

    def _remote_commit(self) -> str:
        lines = self._git("ls-remote", self._remote, self._ref).decode().splitlines()
        return next((line.split("\t")[0] for line in lines if line.endswith(f"\t{self._ref}")), "")

    def _was_overtaken(self, commit: str) -> bool:
        try:
            return self._remote_commit() != commit
        except GitError:
            return False

    def _moved_to(self, content: bytes) -> str:
        blob = self._git("hash-object", "-w", "--stdin", stdin=content).decode().strip()
        tree = self._git("mktree", "-z", stdin=f"100644 blob {blob}\t{_NAME}\0".encode()).decode().strip()
        commit = self._git(*_WHO, "commit-tree", tree, "-m", "Tests that jobs share").decode().strip()
        return f"{commit}:{self._ref}"

    def _lease(self, commit: str) -> str:
        return f"--force-with-lease={self._ref}:{commit}"

    def _remove_old(self) -> None:
        """Whoever begins a queue takes away those of long ago; what cannot be, stays."""
        try:
            listed = self._git("ls-remote", self._remote, f"{PREFIX}*").decode().splitlines()[:MOST_REFS]
            refs = [line.split("\t") for line in listed]
            if not refs:
                return
            self._fetch(*(name for _, name in refs))
            old = [name for commit, name in refs if time.time() - self._committed_at(commit) > KEPT_S]
            if old:
                self._git("push", "--quiet", "--no-verify", self._remote, *(f":{name}" for name in old))
        except (GitError, ValueError):
            return

    def _committed_at(self, commit: str) -> float:
        return float(self._git("show", "-s", "--format=%ct", commit))

    @property
    def _ref(self) -> str:
        return PREFIX + self.name

    @property
    def _remote(self) -> str:
        try:
            return os.fsdecode(self._git("remote", "get-url", "--push", "origin")).strip()
        except GitError:
            return "."

    def _git(self, *words: str, stdin: bytes = b"") -> bytes:
        return output_of(run_git(self.root, *words, stdin=stdin))
