"""One comment that many jobs write, at the same moment if it must be, and none loses another one's line."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from dt_action.model.run import Run
from dt_action.providers.board import Board, Entry, board_in
from dt_action.providers.rest import ApiError, UncertainError
from dt_action.providers.settings import CommentMode

KEY = "results"
"""What our comments are called in their marks."""

PATIENCE_S = 300.0
STALE_S = 30.0
"""Nobody takes so long for one turn; whose turn it has been for so long was killed in it."""

SETTLE_S = 2.0
"""Where a service has no turns: so long after a write, everybody who had read before it has written, too."""

_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment of ours: its id and its text."""

    id: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn with a comment: its id, and whether it is ours or somebody else's."""

    id: int
    is_ours: bool


class NoTurnsError(Exception):
    """The service, or this token, cannot take turns."""


class Thread(Protocol):
    """
    The comments of one pull or merge request. Every method may raise ApiError.

    A turn is something that the service gives to one caller at a time, such as one kind of reaction to a comment.
    """

    def ours(self) -> Sequence[Comment]:
        """The comments that a token like this one wrote and that begin with a mark of ours, oldest first."""

    def create(self, body: str) -> Comment:
        """A new comment, which `ours` may not list yet."""

    def read(self, comment: int) -> str | None:
        """The text of a comment; None where it is gone."""

    def update(self, comment: int, body: str) -> None:
        """Replace the text of a comment."""

    def delete(self, comment: int) -> None:
        """Delete a comment; one that is gone already is fine."""

    def take_turn(self, comment: int) -> Turn:
        """The turn that is ours from now on, or that of who has it. Raises NoTurnsError."""

    def lasts(self, comment: int, turn: int) -> bool:
        """False where that turn has ended."""

    def end_turn(self, comment: int, turn: int) -> bool:
        """End a turn. False where it had ended before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a comment stands: what its links lead to, how long it may be, and what a shortened text says of that."""

    budget_bytes: int
    note: str
    server_url: str = ""
    repository: str = ""

    def body(self, board: Board) -> str:
        """The board as a comment."""
        return board.body(KEY, self.budget_bytes, self.note, server_url=self.server_url, repository=self.repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Adds a job's line to the comment that all jobs share. Raises ApiError where the service refuses."""

    thread: Thread
    page: Page
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def publish(self, entry: Entry, *, may_create: bool) -> Board | None:
        """
        Write `entry` into the comment, which is made where there is none and `may_create` says so.

        Returns the board that stands there now, None where nothing was written. A comment that is there is always kept
        whole and true. An entry that is older than what the comment tells changes nothing.
        """
        deadline = self.clock() + PATIENCE_S
        while True:
            comments = self.thread.ours()
            if not comments:
                if not may_create:
                    return None
                made = self._create(entry)
                others = (comment for comment in self.thread.ours() if comment.id != made.id)
                comments = sorted((made, *others), key=lambda comment: comment.id)
                if len(comments) == 1 and _holds(comments[0].body, entry):
                    return Board.from_entries([entry])
            elif len(comments) == 1 and (board := self._stands_already(comments[0], entry)):
                return board
            written = self._add(comments, entry, deadline) if comments else None
            if written is not None:
                return written
            if self.clock() > deadline:
                raise ApiError("the comment could not be written: others did so all the time", status=0)

    def _stands_already(self, comment: Comment, entry: Entry) -> Board | None:
        """The board where the comment is what it would be with the entry in it."""
        board = (board_in(comment.body, KEY) or Board()).with_(entry)
        return board if self.page.body(board) == comment.body else None

    def _create(self, entry: Entry) -> Comment:
        try:
            return self.thread.create(self.page.body(Board.from_entries([entry])))
        except UncertainError:
            made = next((comment for comment in self.thread.ours() if _holds(comment.body, entry)), None)
            if made is None:
                raise
            return made

    def _add(self, comments: Sequence[Comment], entry: Entry, deadline: float) -> Board | None:
        """One try with the oldest comment, in our turn; None where it is gone, or the turn was taken from us."""
        first = comments[0].id
        try:
            turn = self._turn(first, deadline)
        except NoTurnsError:
            return self._add_and_look_again(entry)
        try:
            written = self._write(comments, entry)
        except BaseException as error:
            with suppress(ApiError):
                self.thread.end_turn(first, turn)
            if isinstance(error, ApiError) and error.status == 404 and self.thread.read(first) is None:
                return None  # deleted since it was read
            raise
        return written if self.thread.end_turn(first, turn) else None

    def _write(self, comments: Sequence[Comment], entry: Entry) -> Board | None:
        """Join what the comments say now, and the entry, into the oldest one; the others are copies then."""
        first, *copies = comments
        body = self.thread.read(first.id)
        if body is None:
            return None
        boards = [board_in(text, KEY) or Board() for text in (body, *(copy.body for copy in copies))]
        board = boards[0].join(*boards[1:]).with_(entry)
        wanted = self.page.body(board)
        if wanted != body:
            self.thread.update(first.id, wanted)
        for copy in copies:
            self.thread.delete(copy.id)
        return board

    def _turn(self, comment: int, deadline: float) -> int:
        """Wait for our turn, and no longer than anybody who is alive may take for one."""
        tries = 0
        while True:
            turn = self.thread.take_turn(comment)
            if turn.is_ours:
                return turn.id
            since = self.clock()
            while self.thread.lasts(comment, turn.id):
                if self.clock() - since > STALE_S:
                    self.thread.end_turn(comment, turn.id)
                    break
                self.sleep((0.5 + self.jitter()) * min(2.0**tries, 4.0))
                tries += 1
            if self.clock() > deadline:
                raise ApiError("the comment could not be written: others did so all the time", status=0)

    def _add_and_look_again(self, entry: Entry) -> Board | None:
        """
        Without turns: write, wait for those who had read before that to have written, and look whether our line stands.

        None where the comment is gone.
        """
        for _ in range(_ROUNDS):
            comments = self.thread.ours()
            if not comments:
                return None
            if len(comments) == 1 and _holds(comments[0].body, entry):
                return board_in(comments[0].body, KEY)
            self._write(comments, entry)
            self.sleep(SETTLE_S * (1.0 + self.jitter()))
        raise ApiError(f"the comment was overwritten by others {_ROUNDS} times", status=0)


def is_news(mode: CommentMode, run: Run, entry: Entry) -> bool:
    """
    Whether a pull request without a comment gets one.

    `changes`: where something is not as it should be. `failures`: where a test fails. A comment that is there is kept
    true in any case.
    """
    if mode == "changes":
        return not (entry.is_good or (entry.conclusion == "no-tests" and run.selection is not None))
    return mode == "always" or run.totals().failing > 0


def _holds(body: str, entry: Entry) -> bool:
    """True where the text tells of the entry, or of a newer one in its place; how much of its words is no matter."""
    board = board_in(body, KEY)
    return board is not None and _without_words(board.with_(entry)) == _without_words(board)


def _without_words(board: Board) -> list[Entry]:
    return [replace(entry, text="") for entry in board.entries]
