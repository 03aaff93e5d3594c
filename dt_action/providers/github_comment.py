"""The comments of a GitHub pull request, as jobs share one of them; never somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

from dt_action.providers.board import board_in
from dt_action.providers.github_api import COMMENT_BYTES, GitHubApi
from dt_action.providers.github_api import Comment as ApiComment
from dt_action.providers.rest import ApiError
from dt_action.providers.shared_comment import KEY, Comment, NoTurnsError, Page, Turn

PAGE = Page(budget_bytes=COMMENT_BYTES, note="*Shortened: the whole report is in the job's summary.*")

_TURN = "eyes"
_WRITERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


class GitHubThread:
    """
    The comments of one pull request.

    A turn is this token's reaction with eyes: GitHub gives a user one of a kind for each comment, and says whether it
    is a new one. It makes no noise, and a person sees that somebody is at work.
    """

    def __init__(self, api: GitHubApi, number: int, token: str) -> None:
        self._api = api
        self._number = number
        self._token = token

    def ours(self) -> Sequence[Comment]:
        """See `shared_comment.Thread`."""
        found = [
            Comment(id=comment.id, body=comment.body)
            for comment in self._api.comments(self._number)
            if board_in(comment.body, KEY) is not None and _may_be_ours(comment, self._token)
        ]
        return sorted(found, key=lambda comment: comment.id)

    def create(self, body: str) -> Comment:
        """See `shared_comment.Thread`."""
        made = self._api.create_comment(self._number, body)
        return Comment(id=made.id, body=made.body)

    def read(self, comment: int) -> str | None:
        """See `shared_comment.Thread`."""
        found = self._api.comment(comment)
        return found.body if found else None

    def update(self, comment: int, body: str) -> None:
        """See `shared_comment.Thread`."""
        self._api.update_comment(comment, body)

    def delete(self, comment: int) -> None:
        """See `shared_comment.Thread`."""
        self._api.delete_comment(comment)

    def take_turn(self, comment: int) -> Turn:
        """See `shared_comment.Thread`."""
        try:
            turn, is_new = self._api.react(comment, _TURN)
        except ApiError as error:
            if error.status in (403, 404, 422):
                raise NoTurnsError from error
            raise
        return Turn(id=turn, is_ours=is_new)

    def lasts(self, comment: int, turn: int) -> bool:
        """See `shared_comment.Thread`."""
        return self._api.has_reaction(comment, _TURN, turn)

    def end_turn(self, comment: int, turn: int) -> bool:
        """See `shared_comment.Thread`."""
        return self._api.remove_reaction(comment, turn)


def _may_be_ours(comment: ApiComment, token: str) -> bool:
    """An app's token (`ghs_`, such as GITHUB_TOKEN) writes as a bot, a person's as somebody who may write here."""
    if token.startswith("ghs_"):
        return comment.is_bot
    if token.startswith(("ghp_", "github_pat_", "gho_")):
        return not comment.is_bot and comment.association in _WRITERS
    return comment.is_bot or comment.association in _WRITERS
