"""The notes of a GitLab merge request, as jobs share one of them; only those of the token's own user are touched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from urllib.parse import quote

from dt_action.providers.board import board_in
from dt_action.providers.rest import ApiError, Rest, understood
from dt_action.providers.shared_comment import KEY, Comment, NoTurnsError, Page, Turn

PAGE = Page(budget_bytes=60_000, note="*Shortened: see the job.*")
"""A note may have 1,000,000 characters; one that long helps nobody."""

_TURN = "eyes"
_TRIES = 5


class GitLabThread:
    """
    The notes of one merge request.

    A turn is this user's award of eyes. GitLab refuses a second one, but two at the very same moment may both be taken;
    of those the older one counts.
    """

    def __init__(self, rest: Rest, project: str, number: str) -> None:
        self._rest = rest
        self._notes = f"projects/{quote(project, safe='')}/merge_requests/{quote(number)}/notes"

    @cached_property
    @understood
    def _me(self) -> int:
        return int(self._rest.get("user")["id"])

    @understood
    def ours(self) -> Sequence[Comment]:
        """See `shared_comment.Thread`."""
        found = []
        for note in self._rest.pages(self._notes, sort="asc"):
            body = str(note.get("body") or "")
            if note["author"]["id"] == self._me and board_in(body, KEY) is not None:
                found.append(Comment(id=int(note["id"]), body=body))
        return sorted(found, key=lambda comment: comment.id)

    @understood
    def create(self, body: str) -> Comment:
        """See `shared_comment.Thread`."""
        made = self._rest.request("POST", self._notes, json={"body": body})
        return Comment(id=int(made["id"]), body=str(made.get("body") or ""))

    @understood
    def read(self, comment: int) -> str | None:
        """See `shared_comment.Thread`."""
        listed = next((found.body for found in self.ours() if found.id == comment), None)
        if listed is not None:
            return listed
        try:  # what was just made may not be listed yet
            return str(self._rest.get(f"{self._notes}/{comment}").get("body") or "")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def update(self, comment: int, body: str) -> None:
        """See `shared_comment.Thread`."""
        self._rest.request("PUT", f"{self._notes}/{comment}", json={"body": body}, repeatable=True)

    def delete(self, comment: int) -> None:
        """See `shared_comment.Thread`."""
        self._delete(f"{self._notes}/{comment}")

    def take_turn(self, comment: int) -> Turn:
        """See `shared_comment.Thread`."""
        for _ in range(_TRIES):  # who had it may have ended it between our question and our look
            mine = self._award(comment)
            turns = self._turns(comment)
            if turns:
                if mine is not None and mine != turns[0]:
                    self.end_turn(comment, mine)
                return Turn(id=turns[0], is_ours=mine == turns[0])
        raise NoTurnsError

    def lasts(self, comment: int, turn: int) -> bool:
        """See `shared_comment.Thread`."""
        try:
            return turn in self._turns(comment)
        except NoTurnsError:
            return False

    def end_turn(self, comment: int, turn: int) -> bool:
        """See `shared_comment.Thread`."""
        return self._delete(f"{self._notes}/{comment}/award_emoji/{turn}")

    @understood
    def _award(self, comment: int) -> int | None:
        """The id of a new award; None where there is one already, which GitLab calls 404 Award Emoji ... taken."""
        path = f"{self._notes}/{comment}/award_emoji"
        try:
            return int(self._rest.answer("POST", path, json={"name": _TURN}, is_spaced=False)[1]["id"])
        except ApiError as error:
            if error.status in (0, 400, 404, 409, 422) or error.status >= 500:
                return None
            raise NoTurnsError from error

    @understood
    def _turns(self, comment: int) -> list[int]:
        """The ids of this user's awards to a note, the oldest first. Raises NoTurnsError."""
        try:
            awards = [*self._rest.pages(f"{self._notes}/{comment}/award_emoji")]
        except ApiError as error:
            if error.status in (401, 403, 404):
                raise NoTurnsError from error
            raise
        return sorted(int(item["id"]) for item in awards if item["name"] == _TURN and item["user"]["id"] == self._me)

    def _delete(self, path: str) -> bool:
        try:
            self._rest.answer("DELETE", path, repeatable=True, is_spaced=False)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True
