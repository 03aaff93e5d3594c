"""
Badges committed to a GitHub branch through the API, so that the workspace is never touched and no push can race.

Two refs take part. `refs/dt/badges/<branch>` is the register: for every badge what each job said last, see
`badge_register`. The branch itself is a picture of the register. A publisher first enters its badges into the register,
where a newer run's word stays, and then makes the branch equal to it, until nobody changed the register in between. So
whoever ends last leaves what all jobs say together on the branch, although a run whose badges look as before commits
nothing there.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from dt_action.errors import PublishingError
from dt_action.model.report import Badge
from dt_action.providers.badge_register import Register, read_register, write_register
from dt_action.providers.github_api import GitHubApi, Tip
from dt_action.providers.job import Job
from dt_action.providers.rest import ApiError, UncertainError

PATIENCE_S = 180.0
_REGISTER_FILE = "badges.json"
_MAX_REGISTER_BYTES = 4 << 20

_Result = TypeVar("_Result")


class BranchProtectedError(PublishingError):
    """The branch takes no commit from this token."""


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

    def publish(self, badges: Sequence[Badge], job: Job) -> str:
        """
        Show what `job` says together with what others say. Returns the commit, empty where none was needed.

        Raises ApiError, BranchProtectedError.
        """
        names = [badge.name for badge in badges]
        newest = self._insist(lambda: self._enter(badges, job)).files(names)
        while True:
            wanted = newest
            commit = self._insist(partial(self._show, wanted))
            newest = self._read_register()[1].files(names)
            if newest == wanted:
                return commit

    def _enter(self, badges: Sequence[Badge], job: Job) -> Register:
        tip, register = self._read_register()
        merged = register.with_(badges, job)
        if merged == register:
            return register
        commit = self.api.commit_files({_REGISTER_FILE: write_register(merged)}, "Badges of a run", tip)
        self._point(self._register_ref, commit, tip)
        return merged

    def _show(self, wanted: Mapping[str, str]) -> str:
        tip = self.api.tip(f"heads/{self.branch}")
        shown = self.api.file_shas(self.directory, tip.commit) if tip else {}
        stale = {name: text for name, text in wanted.items() if shown.get(name) != blob_sha(text)}
        if not stale:
            return ""
        paths = {f"{self.directory}/{name}".lstrip("/"): text for name, text in sorted(stale.items())}
        try:
            commit = self.api.commit_files(paths, "Update the test badges", tip, is_for_branch=True)
            self._point(f"heads/{self.branch}", commit, tip)
        except ApiError as error:
            if not _is_refused(error):
                raise
            raise BranchProtectedError(
                f"the branch {self.branch} takes no commit of badges: {error.message}",
                hint="set `badge_branch: dt-badges`, or let the token bypass the branch's rules",
            ) from None
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
        return tip, read_register(content if content and len(content) <= _MAX_REGISTER_BYTES else b"")

    def _insist(self, step: Callable[[], _Result]) -> _Result:
        """Do a step again from the start, that is from the new head, for as long as others win the race."""
        deadline = self.clock() + PATIENCE_S
        tries = 0
        while True:
            tries += 1
            try:
                return step()
            except ApiError as error:
                wait_s = self.jitter() * min(0.5 * 2.0**tries, 10.0)
                if not _is_lost_race(error) or self.clock() + wait_s > deadline:
                    raise
                self.sleep(wait_s)


def blob_sha(text: str) -> str:
    """The id that git gives a file with this text."""
    data = text.encode("utf-8")
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


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


def _is_refused(error: ApiError) -> bool:
    """
    True where the branch's own rules are in the way, whatever their words: there are many, and new ones every year.

    A token that may not write here at all is told so in one and the same sentence.
    """
    words = error.message.lower()
    if error.status == 409:
        return "rule violation" in words or "protected branch" in words
    of_token_or_request = ("not accessible by", "rate limit", "invalid request")
    return (
        error.status in (403, 422)
        and not _is_lost_race(error)
        and not any(others in words for others in of_token_or_request)
    )
