"""The seams of the program: what `pipeline` asks of a part that has several implementations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from dt_action.model.build import Build
from dt_action.model.case import TestFile
from dt_action.model.event import Event
from dt_action.model.hardware import FileNeeds
from dt_action.model.plan import Plan
from dt_action.model.report import Publication
from dt_action.model.run import Run


class Analyzer(Protocol):
    """Works out what the tests of files need, without importing them."""

    def analyze(self, files: Sequence[TestFile]) -> Mapping[str, FileNeeds]:
        """The needs by path. A file that cannot be read or parsed gets needs of nothing and a finding."""


class Fleet(Protocol):
    """Where tests execute."""

    def execute(self, plan: Plan) -> Iterator[Event]:
        """
        Run the plan and tell what happens, as it happens; the last event is `Ended`.

        Closing the iterator cancels the run and leaves no process behind. Raises FleetError where the fleet cannot
        be reached or refuses the plan.
        """


class Renderer(Protocol):
    """Turns a run into a document. Pure: the same run gives the same bytes."""

    format: str
    suffix: str

    def render(self, run: Run) -> bytes:
        """The document, UTF-8."""


class Provider(Protocol):
    """A CI service: it says which build this is, and shows what came of it."""

    name: str

    def build(self) -> Build:
        """The build that the environment describes."""

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """
        Show the run. Idempotent: a second call updates what the first one made.

        Returns what the service refused, in words; never raises for that.
        """


class Past(Protocol):
    """What earlier runs say of a test."""

    def duration_s(self, case: str) -> float | None:
        """The seconds a case is expected to take, or None when it was never seen."""

    def cases_of(self, file: str) -> Mapping[str, float]:
        """The known cases of a file by id, and their seconds."""


class History(Protocol):
    """Remembers runs."""

    def load(self) -> Past:
        """What is known; a missing, corrupt or foreign store is an empty past with a warning, never an error."""

    def record(self, run: Run) -> None:
        """Add a run. Best effort: a store that cannot be written is a warning."""
