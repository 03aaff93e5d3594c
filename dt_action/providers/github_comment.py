"""One comment on a GitHub pull request: found again, updated, never somebody else's, never an older run's."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from dt_action.model.run import Run
from dt_action.providers.github_api import COMMENT_BYTES, Comment, GitHubApi
from dt_action.providers.rest import UncertainError
from dt_action.providers.settings import CommentMode
from dt_action.reports.formats.markdown_fit import fit

_MARK = re.compile(
    r"<!-- distributed-testing key=(?P<key>\S+) order=(?P<run>\d+)\.(?P<attempt>\d+) state=(?P<state>[0-9a-f]+) -->"
)
_WRITERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
_NOTE = "*Shortened: the whole report is in the job's summary.*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """
    The hidden first line of our comment.

    `key` tells several comments of one pull request apart, `order` is the run's id and attempt, `state` a digest of
    what is not as it should be.
    """

    key: str
    order: tuple[int, int]
    state: str

    def __str__(self) -> str:
        return f"<!-- distributed-testing key={self.key} order={self.order[0]}.{self.order[1]} state={self.state} -->"

    @classmethod
    def of(cls, body: str) -> Mark | None:
        """The mark at the start of a comment; None where it does not begin with one."""
        found = _MARK.match(body)
        if found is None:
            return None
        return cls(key=found["key"], order=(int(found["run"]), int(found["attempt"])), state=found["state"])


def key_of(text: str) -> str:
    """A word that can stand in a mark."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-") or "results"


def state_of(run: Run) -> str:
    """A digest of the conclusion and of every test that is not simply fine; equal for runs that tell the same."""
    odd = sorted(
        f"{result.outcome} {result.case.id}{' flaky' if result.is_flaky else ''}"
        for result in run.results
        if result.is_flaky or result.outcome not in ("passed", "skipped", "xfailed")
    )
    odd += sorted(f"unplaced {unplaced.case.id}" for unplaced in run.unplaced)
    odd += sorted(f"missing {name}" for name in (*run.missing_shards, *run.uncollected))
    text = "\n".join([run.conclusion(), *odd])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


_ALL_FINE = hashlib.sha256(b"passed").hexdigest()[:16]


def is_wanted(mode: CommentMode, run: Run, state: str, existing: Mark | None) -> bool:
    """
    Whether to write now.

    `always`: yes. `changes`: where this run says something else than the comment does; without a comment, where it
    is not all fine. `failures`: where it failed; a comment that exists is kept true in any case.
    """
    if mode == "off":
        return False
    if mode == "always":
        return True
    if mode == "failures":
        return existing is not None or run.totals().failing > 0
    return state != (existing.state if existing else _ALL_FINE)


def publish_comment(
    api: GitHubApi, number: int, mark: Mark, markdown: str, mode: CommentMode, run: Run, token: str
) -> None:
    """Write, update or leave the comment, and delete later copies of it. Raises ApiError."""
    mine = _ours(api, number, mark, token)
    existing = Mark.of(mine[0].body) if mine else None
    if existing is not None and existing.order > mark.order:
        return
    if not is_wanted(mode, run, mark.state, existing):
        return
    body = f"{mark}\n{fit(markdown, COMMENT_BYTES - 200, _NOTE)}"
    if mine:
        api.update_comment(mine[0].id, body)
    else:
        try:
            api.create_comment(number, body)
        except UncertainError:
            if not _ours(api, number, mark, token):
                raise
        mine = _ours(api, number, mark, token)
    for copy in mine[1:]:
        api.delete_comment(copy.id)


def _ours(api: GitHubApi, number: int, mark: Mark, token: str) -> list[Comment]:
    """The comments that begin with our mark and that a token of this kind can have written, oldest first."""
    found = []
    for comment in api.comments(number):
        theirs = Mark.of(comment.body)
        if theirs is not None and theirs.key == mark.key and _may_be_ours(comment, token):
            found.append(comment)
    return sorted(found, key=lambda comment: comment.id)


def _may_be_ours(comment: Comment, token: str) -> bool:
    """An app's token (`ghs_`, such as GITHUB_TOKEN) writes as a bot, a person's as somebody who may write here."""
    if token.startswith("ghs_"):
        return comment.is_bot
    if token.startswith(("ghp_", "github_pat_", "gho_")):
        return not comment.is_bot and comment.association in _WRITERS
    return comment.is_bot or comment.association in _WRITERS
