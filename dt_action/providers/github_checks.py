"""
Annotations on GitHub, where they are seen: on the job's own check, on a check run of ours, or as log commands.

A check run of ours may be asked for by many jobs of a commit under one name. Each of them makes one, which holds its
annotations and, out of sight, its line. The one that has the very name is a picture of all lines, and says what the
worst of them says. A job first makes its own and then brings the picture up to date, until nobody added a line in
between: so whoever ends last leaves them all. No check run is ever unfinished, since each is made concluded.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dt_action.model.report import Annotation
from dt_action.model.run import Conclusion
from dt_action.providers.board import Board, Entry, board_in
from dt_action.providers.github_api import (
    ANNOTATIONS_PER_REQUEST,
    CHECK_NAME_CHARS,
    CHECK_TEXT_BYTES,
    CheckOutput,
    CheckRun,
    GitHubApi,
    annotation_key,
)
from dt_action.providers.job import key_of
from dt_action.providers.rest import UncertainError
from dt_action.reports.formats.markdown_fit import fit
from dt_action.reports.formats.text import one_line

CONCLUSIONS: dict[Conclusion, str] = {
    "passed": "success",
    "failed": "failure",
    "incomplete": "failure",
    "cancelled": "cancelled",
    "timeout": "timed_out",
    "skipped": "neutral",
    "no-tests": "neutral",
}
"""What a run's conclusion is called on a check run; what is incomplete, or ran nothing, can never look green."""

PATIENCE_S = 180.0
_ROUNDS = 3
_NOTE = "*Shortened: the whole report is in the job's summary.*"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A check run of one job, and what the job says."""

    run: CheckRun
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCheck:
    """A check run of our own, or several, at a commit. `url` is where it leads to, beside its own page."""

    api: GitHubApi
    name: str
    commit: str
    url: str
    server_url: str = ""
    repository: str = ""
    clock: Callable[[], float] = time.monotonic

    def publish(self, entry: Entry, annotations: Sequence[Annotation]) -> str:
        """
        Show what a job says. Returns the page; empty where a later attempt at the job has been shown already.

        Raises ApiError: a personal token cannot write checks, a read-only one neither.
        """
        entry = replace(entry, commit=self.commit)
        lines = self._lines()
        board = Board.from_entries(line.entry for line in lines).with_(entry)
        if entry.name not in {other.name for other in board.entries}:
            return ""
        run = self._mine(lines, entry) or self._create(lines, board, entry)
        output = CheckOutput(
            title=run.title or board.title(), summary=run.summary, text=run.text, annotations=annotations
        )
        try:
            _append(self.api, run.id, output)
        finally:
            self._bring_up_to_date(_Line(run=run, entry=entry))
        return run.url

    def _create(self, lines: Sequence[_Line], board: Board, entry: Entry) -> CheckRun:
        is_picture = not any(line.run.name == self.name for line in self._standing(lines, board))
        shown = board if is_picture else Board.from_entries([entry])
        name = self.name if is_picture else one_line(f"{self.name}: {entry.title}", CHECK_NAME_CHARS)
        output = replace(
            self._picture(shown), text=Board.from_entries([entry]).body(self._key, CHECK_TEXT_BYTES, _NOTE)
        )
        conclusion = CONCLUSIONS[shown.conclusion]
        try:
            return self.api.create_check_run(name, self.commit, _external_id(entry), self.url, output, conclusion)
        except UncertainError:
            mine = self._mine(self._lines(), entry)
            if mine is None:
                raise
            return mine

    def _bring_up_to_date(self, mine: _Line) -> None:
        """
        Until what is shown is what there is. `mine` is there even where the service does not list it yet.

        A service may keep a text otherwise than it was sent: what came of our words last time is what they look like.
        """
        deadline = self.clock() + PATIENCE_S
        kept: dict[tuple[int, CheckOutput, str], CheckOutput] = {}
        while self.clock() < deadline:
            lines = self._lines()
            if mine.run.id not in {line.run.id for line in lines}:
                lines.append(replace(mine, run=self.api.check_run(mine.run.id)))
            board = Board.from_entries(line.entry for line in lines)
            wanted, conclusion = self._picture(board), CONCLUSIONS[board.conclusion]
            stale = [
                line.run
                for line in self._standing(lines, board)
                if line.run.name == self.name
                and not _shows(line.run, kept.get((line.run.id, wanted, conclusion), wanted), conclusion)
            ]
            if not stale:
                return
            for run in stale:
                now = self.api.update_check_run(run.id, replace(wanted, text=run.text), conclusion)
                kept[run.id, wanted, conclusion] = CheckOutput(title=now.title, summary=now.summary)

    def _lines(self) -> list[_Line]:
        found = []
        for run in self.api.check_runs(self.commit):
            board = board_in(run.text, self._key)
            found += [_Line(run=run, entry=entry) for entry in (board.entries if board else ())]
        return found

    def _standing(self, lines: Sequence[_Line], board: Board) -> list[_Line]:
        """The check runs of attempts that no later one has replaced."""
        names = {entry.name for entry in board.entries}
        return [line for line in lines if line.entry.name in names]

    def _mine(self, lines: Sequence[_Line], entry: Entry) -> CheckRun | None:
        return next((line.run for line in lines if line.run.external_id == _external_id(entry)), None)

    def _picture(self, board: Board) -> CheckOutput:
        summary = board.markdown(CHECK_TEXT_BYTES, _NOTE, server_url=self.server_url, repository=self.repository)
        return CheckOutput(title=board.title(), summary=summary)

    @property
    def _key(self) -> str:
        return key_of(self.name)


def annotate_job(api: GitHubApi, check_id: int, output: CheckOutput) -> None:
    """Put annotations on the check that the runner made for this very job. Raises ApiError, such as 403."""
    _append(api, check_id, output)
    api.update_check_run(check_id, replace(output, annotations=(), summary=_fitted(output.summary)))


def _append(api: GitHubApi, check_id: int, output: CheckOutput) -> None:
    """
    Send the annotations that the check run does not show yet, 50 a request, since every request appends.

    Looking first makes a second publication, and a request whose answer was lost, add nothing twice.
    """
    output = replace(output, summary=_fitted(output.summary))
    for round_ in range(1, _ROUNDS + 1):
        missing = _missing(output.annotations, api.annotation_keys(check_id))
        try:
            for start in range(0, len(missing), ANNOTATIONS_PER_REQUEST):
                some = missing[start : start + ANNOTATIONS_PER_REQUEST]
                api.update_check_run(check_id, replace(output, annotations=some))
            return
        except UncertainError:
            if round_ == _ROUNDS:
                raise


def _fitted(summary: str) -> str:
    return fit(summary, CHECK_TEXT_BYTES, _NOTE)


def _external_id(entry: Entry) -> str:
    return f"dt:{entry.run}:{entry.attempt}:{entry.key}:{key_of(entry.writer)}"


def _shows(run: CheckRun, wanted: CheckOutput, conclusion: str) -> bool:
    return (run.title, run.summary.strip(), run.conclusion) == (wanted.title, wanted.summary.strip(), conclusion)


def _missing(annotations: Sequence[Annotation], shown: Counter[tuple[str, int, str]]) -> list[Annotation]:
    """
    Those that are not shown yet; of several that look the same, as many as there are more than shown.

    Tests with long names, such as the cases of one parametrised test, may well have one title and one line.
    """
    left = Counter(shown)
    missing = []
    for annotation in annotations:
        key = annotation_key(annotation)
        if left[key] > 0:
            left[key] -= 1
        else:
            missing.append(annotation)
    return missing
