"""What the console shows while tests run: one line that changes on a terminal, few plain lines in a CI log."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import TextIO

from dt_action.model.event import (
    CaseFinished,
    CaseStarted,
    CaseUnplaced,
    Ended,
    Event,
    FileCollected,
    FileSkipped,
    FilesKnown,
    Notice,
    WorkerJoined,
)
from dt_action.reports.formats.text import one_line, seconds, strip_ansi
from dt_action.reports.renderers.colors import paint

FAILURES_TOLD = 100
"""Failures that are told as they happen; the rest waits for the end, so that a broken build stays readable."""
_REDRAW_EVERY_S = 0.1
_LINE_EVERY_S = 30.0
_LINES_PER_RUN = 10
_STEP_TAKES_S = 1.0
"""A tenth of a run that took less gets no line: a short run is over before anybody has read how far it is."""


class Progress:
    """
    Listens to the events of a run.

    `clock` gives seconds that only grow. `is_terminal` chooses between the changing line and plain lines. `files`
    is how many files are planned, from which the number of tests is guessed until all are collected. `tells_all` gives
    every case a line, not only the failing ones.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Callable[[], float],
        is_terminal: bool,
        color: bool = False,
        width: int = 80,
        files: int = 0,
        tells_all: bool = False,
    ) -> None:
        self._stream, self._clock, self._is_terminal = stream, clock, is_terminal
        self._color, self._width, self._files, self._tells_all = color, width, files, tells_all
        self._began = self._shown_at = clock()
        self._shown_share = 0.0
        self._known = self._done = self._failing = self._skipped = 0
        self._collected: set[str] = set()  # a file is told once for each slot that collects it
        self._running: dict[tuple[str, str], tuple[str, float]] = {}
        self._status = ""

    def __call__(self, event: Event) -> None:
        """Show what `event` changes."""
        if isinstance(event, CaseStarted):
            self._running[event.worker, event.slot] = (event.case, self._clock())
        elif isinstance(event, CaseFinished):
            self._finished(event)
        elif isinstance(event, FileCollected):
            self._collected.add(event.file)
            self._known += len(event.cases)
        elif isinstance(event, FileSkipped):
            self._collected.add(event.file)
        elif isinstance(event, CaseUnplaced):
            self._done += 1
        elif isinstance(event, Notice):
            style = {"info": "dim", "warning": "yellow", "error": "red"}[event.level]
            self._say(f"{paint(event.level, style, color=self._color)}: {one_line(event.text)}")
        elif isinstance(event, FilesKnown) and self._tells_all:
            for way in _ways(event):
                self._say(paint(way, "dim", color=self._color))
        elif isinstance(event, WorkerJoined):
            about = f", {one_line(event.environment)}" if event.environment else ""
            self._say(f"{one_line(event.worker)}: {event.slots} slot{'s' * (event.slots != 1)}{about}")
        elif isinstance(event, Ended):
            self.close()
            return
        self.tick()

    def tick(self) -> None:
        """Show the time that passed, where enough of it has."""
        now = self._clock()
        if self._is_terminal:
            if now - self._shown_at >= _REDRAW_EVERY_S:
                self._shown_at = now
                self._draw(now)
            return
        share = self._share()
        is_next_step = int(share * _LINES_PER_RUN) > int(self._shown_share * _LINES_PER_RUN) and share < 1
        if (is_next_step and now - self._shown_at >= _STEP_TAKES_S) or now - self._shown_at >= _LINE_EVERY_S:
            self._shown_at, self._shown_share = now, share
            self._stream.write(self._counts(now) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Take the changing line away; a second call does nothing."""
        self._erase()
        self._stream.flush()

    def _finished(self, event: CaseFinished) -> None:
        self._running.pop((event.attempt.worker, event.attempt.slot), None)
        attempt = event.attempt
        if not event.will_retry:
            self._done += 1
            self._failing += attempt.is_failing
            self._skipped += attempt.outcome in ("skipped", "xfailed")
        if not attempt.is_failing:
            if self._tells_all:
                self._say(f"{attempt.outcome.upper()} {one_line(event.case.id)} ({seconds(attempt.duration_s)})")
            return
        if self._failing <= FAILURES_TOLD:
            word = paint("RETRY", "yellow", color=self._color) if event.will_retry else ""
            word = word or paint(attempt.outcome.upper(), "red", color=self._color)
            message = f" - {one_line(attempt.message, 160)}" if attempt.message else ""
            self._say(f"{word} {one_line(event.case.id)}{message} ({seconds(attempt.duration_s)})")
        if self._failing == FAILURES_TOLD and not event.will_retry:
            self._say("further failures are told at the end")

    def _total(self) -> int:
        """The tests there will be: known once each file is collected, until then in proportion to the files."""
        if self._files > len(self._collected) > 0:
            return max(round(self._known * self._files / len(self._collected)), self._known, self._done)
        return max(self._known, self._done)

    def _share(self) -> float:
        total = self._total()
        return self._done / total if total and (self._collected or not self._files) else 0.0

    def _counts(self, now: float) -> str:
        about = "~" if self._files > len(self._collected) else ""
        parts = [f"{int(100 * self._share()):3}%  {self._done:,} of {about}{self._total():,} tests"]
        if self._failing:
            parts.append(paint(f"{self._failing:,} failed", "red", color=self._color))
        if self._skipped:
            parts.append(f"{self._skipped:,} skipped")
        return ", ".join([*parts, seconds(now - self._began)])

    def _draw(self, now: float) -> None:
        status = self._counts(now)
        room = self._width - 1 - _columns_of(strip_ansi(status))
        if self._running and room > 12:
            case, since = min(self._running.values(), key=lambda item: item[1])
            waited = now - since
            text = f"{one_line(case)} ({seconds(waited)})" if waited >= 1 else one_line(case)
            status += "  " + paint(_fit(text, room - 2), "dim", color=self._color)
        elif room < 0:
            status = _fit(strip_ansi(status), self._width - 1)
        if status != self._status:
            self._stream.write(f"\r\x1b[K{status}")
            self._stream.flush()
            self._status = status

    def _say(self, line: str) -> None:
        self._erase()
        self._stream.write(line + "\n")
        self._stream.flush()

    def _erase(self) -> None:
        if self._status:
            self._stream.write("\r\x1b[K")
            self._status = ""


def _ways(known: FilesKnown) -> Iterator[str]:
    """How the tests are collected, and what runs beside them, with the reasons."""
    if known.controller:
        yield f"a controller session runs beside the slots: {'; '.join(map(one_line, known.controller))}"
    if known.whole:
        yield f"all tests are collected before the first one runs: {'; '.join(map(one_line, known.whole))}"
    else:
        yield "each file is collected in its turn: nothing here looks at all tests"


def _columns_of(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _fit(text: str, columns: int) -> str:
    """`text` in at most `columns` columns; the end of a test's id says more than its beginning."""
    if _columns_of(text) <= columns:
        return text
    kept: list[str] = []
    left = columns - 1
    for character in reversed(text):
        left -= _columns_of(character)
        if left < 0:
            break
        kept.append(character)
    return "…" + "".join(reversed(kept)) if columns > 0 else ""
