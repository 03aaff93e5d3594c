"""
Badges committed to a GitHub branch through the API, so that the workspace is never touched and no push can race.

Two refs take part. `refs/dt/badges/<branch>` is the register: for every badge its newest content and the run that said
so. The branch itself is a picture of the register. A publisher first enters its badges into the register, where a newer
run's entry stays, and then makes the branch equal to it, until nobody changed the register in between. So whoever
ends last leaves the newest of every badge on the branch, although a run whose badges look as before commits nothing
there.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from dt_action.errors import PublishingError
from dt_action.providers.github_api import GitHubApi, Tip
from dt_action.providers.rest import ApiError, UncertainError

PATIENCE_S = 180.0
_REGISTER_FILE = "badges.json"
_MAX_REGISTER_BYTES = 1 << 20

Order = tuple[int, int]
"""A run's id and attempt: a later run of the repository has a greater one."""


_Result = TypeVar("_Result")


class BranchProtectedError(PublishingError):
    """The branch takes no commit from this token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file in the register: its text, and the run that said so."""

    order: Order
    text: str


Register = Mapping[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """
    Publishes badges to `directory` of `branch`; the branch is made when there is none.

    Tries again for `PATIENCE_S` seconds with full jitter where others publish at the same time.
    """

    api: GitHubApi
    branch: str
    directory: str = ".github/badges"
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def publish(self, files: Mapping[str, bytes], order: Order) -> str:
        """
        Show `files` (UTF-8 by name) unless a newer run shows others. Returns the commit, empty where none was needed.

        Raises ApiError, BranchProtectedError.
        """
        texts = {name: content.decode("utf-8") for name, content in files.items()}
        newest = _only(files, self._insist(lambda: self._enter(texts, order)))
        while True:
            wanted: Register = newest
            commit = self._insist(partial(self._show, wanted))
            newest = _only(files, self._read_register()[1])
            if newest == wanted:
                return commit

    def _enter(self, files: Mapping[str, str], order: Order) -> Register:
        tip, register = self._read_register()
        mine = {
            name: Entry(order=order, text=text)
            for name, text in files.items()
            if name not in register or register[name].order <= order
        }
        merged = {**register, **mine}
        if merged == register:
            return register
        commit = self.api.commit_files({_REGISTER_FILE: _write_register(merged)}, "Badges of a run", tip)
        self._point(self._register_ref, commit, tip)
        return merged

    def _show(self, wanted: Register) -> str:
        tip = self.api.tip(f"heads/{self.branch}")
        shown = self.api.file_shas(self.directory, tip.commit) if tip else {}
        stale = {name: entry.text for name, entry in wanted.items() if shown.get(name) != blob_sha(entry.text)}
        if not stale:
            return ""
        paths = {f"{self.directory}/{name}": text for name, text in sorted(stale.items())}
        commit = self.api.commit_files(paths, "Update the test badges [skip ci]", tip)
        self._point(f"heads/{self.branch}", commit, tip)
        return commit

    def _point(self, ref: str, commit: str, tip: Tip | None) -> None:
        if tip is None:
            self.api.create_ref(ref, commit)
        else:
            self.api.move_ref(ref, commit)

    @property
    def _register_ref(self) -> str:
        return f"dt/badges/{self.branch}"

    def _read_register(self) -> tuple[Tip | None, Register]:
        tip = self.api.tip(self._register_ref)
        content = self.api.file(_REGISTER_FILE, tip.commit) if tip else None
        return tip, read_register(content or b"")

    def _insist(self, step: Callable[[], _Result]) -> _Result:
        """Do a step again from the start, that is from the new head, for as long as others win the race."""
        deadline = self.clock() + PATIENCE_S
        tries = 0
        while True:
            tries += 1
            try:
                return step()
            except ApiError as error:
                if _is_protected(error):
                    raise BranchProtectedError(
                        f"the branch {self.branch} takes no commit of badges: {error.message}",
                        hint="set `badge_branch: dt-badges`, or let the token bypass the branch's rules",
                    ) from None
                wait_s = self.jitter() * min(0.5 * 2.0**tries, 10.0)
                if not _is_lost_race(error) or self.clock() + wait_s > deadline:
                    raise
                self.sleep(wait_s)


def _only(names: Iterable[str], register: Register) -> Register:
    return {name: register[name] for name in names if name in register}


def blob_sha(text: str) -> str:
    """The id that git gives a file with this text."""
    data = text.encode("utf-8")
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def read_register(content: bytes) -> Register:
    """The register in a file; empty where it is missing, damaged or not ours."""
    if len(content) > _MAX_REGISTER_BYTES:
        return {}
    try:
        entries = json.loads(content)["badges"]
        return {
            str(name): Entry(order=(int(entry["run"]), int(entry["attempt"])), text=str(entry["text"]))
            for name, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _write_register(register: Register) -> str:
    entries = {
        name: {"run": entry.order[0], "attempt": entry.order[1], "text": entry.text}
        for name, entry in sorted(register.items())
    }
    return json.dumps({"badges": entries}, indent=1) + "\n"


def _is_lost_race(error: ApiError) -> bool:
    """
    409, a 422 that is not about the request itself, and an answer that never came: read the head again, then decide.

    The server says `Update is not a fast forward`, `Reference already exists` or, when it reads a stale copy,
    `Object does not exist`.
    """
    words = error.message.lower()
    stale = ("fast forward", "already exists", "does not exist", "is at", "reference update failed")
    return (
        isinstance(error, UncertainError)
        or error.status == 409
        or (error.status == 422 and any(word in words for word in stale))
    )


def _is_protected(error: ApiError) -> bool:
    words = error.message.lower()
    return error.status in (403, 409, 422) and any(
        word in words for word in ("protected branch", "rule violation", "required status check", "pull request")
    )
