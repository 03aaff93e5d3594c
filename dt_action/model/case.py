"""A test case, one attempt at it, and what came of all its attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from dt_action.model.hardware import NOTHING, Requirement

Outcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed", "timeout", "crashed", "lost"]
"""pytest's words, and three of ours: `timeout`, `crashed` (the process died under it), `lost` (never reported)."""

OUTCOMES: tuple[str, ...] = get_args(Outcome)
FAILING: frozenset[str] = frozenset({"failed", "error", "timeout", "crashed"})


MASK = "***"
"""What stands for a secret in all that is told, in the names of tests, too."""

OTHER_TYPE = "other"
"""What a user calls the test type of files that are of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    """A file of tests: its path relative to the root with forward slashes, and its test type."""

    __test__ = False  # pytest must not collect it

    path: str
    test_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCase:
    """
    One test. `id` is pytest's node id; `line` counts from 1, 0 when unknown.

    A file that pytest cannot collect is a case too: its path is the id.
    """

    __test__ = False

    id: str
    file: str
    line: int = 0
    test_type: str = ""
    markers: tuple[str, ...] = ()
    requirement: Requirement = NOTHING
    timeout_s: float | None = None

    @property
    def name(self) -> str:
        """The node id without its file: `TestA::test_x[1]`; the whole id for a file."""
        return self.id.removeprefix(self.file).removeprefix("::") or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """A name and a value that a test recorded: `record_property`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a test left: what it is called, where it lies below the output directory, and its size."""

    name: str
    path: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One execution of a case. `started_at` is Unix time in seconds, `duration_s` includes setup and teardown.

    `message` is one line (the assertion, the skip reason); `detail` is the traceback and may hold ANSI colours.
    `properties` are what the test recorded of itself.
    `reports` are pytest's own, on their way to the controller session; nobody keeps them.
    """

    outcome: Outcome
    duration_s: float = 0.0
    worker: str = ""
    slot: str = ""
    started_at: float = 0.0
    message: str = ""
    detail: str = ""
    stdout: str = ""
    stderr: str = ""
    properties: tuple[Property, ...] = ()
    reports: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_failing(self) -> bool:
        """True for an outcome that makes a run red."""
        return self.outcome in FAILING


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """
    What came of a case: its attempts, oldest first. The last one decides.

    `environment` is the leg of a matrix that it ran in, where a run holds results of several. `artifacts` are files
    that it left.
    """

    __test__ = False

    case: TestCase
    attempts: tuple[Attempt, ...] = field(default=())
    environment: str = ""
    artifacts: tuple[Artifact, ...] = ()

    @property
    def id(self) -> str:
        """What tells it from all others of its run: the case's id, and the environment where there are several."""
        return id_in(self.environment, self.case.id)

    @property
    def final(self) -> Attempt:
        """The attempt that decides; a `lost` one when the case never reported."""
        return self.attempts[-1] if self.attempts else LOST

    @property
    def outcome(self) -> Outcome:
        """The outcome of the deciding attempt."""
        return self.final.outcome

    @property
    def is_flaky(self) -> bool:
        """True where an attempt failed and the last one did not."""
        if len(self.attempts) < 2:
            return False
        return not self.final.is_failing and any(attempt.is_failing for attempt in self.attempts)

    @property
    def duration_s(self) -> float:
        """Seconds spent on all attempts."""
        if len(self.attempts) == 1:
            return self.attempts[0].duration_s
        return sum(attempt.duration_s for attempt in self.attempts)


def id_in(environment: str, case: str) -> str:
    """The id of a case's result in an environment; the case's own where the run has only one."""
    return f"{case} ({environment})" if environment else case


LOST = Attempt(outcome="lost", message="planned, but never reported")
