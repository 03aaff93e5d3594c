"""What a fleet tells while it executes a plan, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dt_action.model.case import Attempt, TestCase
from dt_action.model.hardware import Capability
from dt_action.model.plan import Divided


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJoined:
    """A machine takes part, with `slots` places. `cache` is where pytest there keeps what it remembers."""

    worker: str
    slots: int
    capability: Capability
    environment: str = ""
    cache: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesKnown:
    """
    Every file that pytest itself would collect. A planned file that is not among them holds no tests for it.

    `whole` says why all tests were collected before the first one ran; it is empty where each file has its turn.
    `controller` says why a controller session runs beside the slots; it is empty where there is none.
    """

    files: tuple[str, ...]
    whole: tuple[str, ...] = ()
    controller: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCollected:
    """
    A slot collected a file; `cases` are those told for the first time.

    Of a file that shards divide, these are the shard's own; `divided` tells how many there are besides.
    """

    file: str
    cases: tuple[TestCase, ...]
    duration_s: float = 0.0
    worker: str = ""
    slot: str = ""
    divided: Divided | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSkipped:
    """A file that skipped itself while it was collected (`pytest.skip(allow_module_level=True)`)."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseStarted:
    """A case began to run. `at` is Unix time in seconds."""

    case: str
    worker: str
    slot: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFinished:
    """An attempt ended; `will_retry` tells that another one follows."""

    case: TestCase
    attempt: Attempt
    will_retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseUnplaced:
    """No worker, present or expected, can run the case. `case.id` is a file's path where its cases are not known."""

    case: TestCase
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should read once, such as a slot that died between two tests."""

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """A piece of a file that a case left, see `model.slot_protocol.Artifact`; `slot` is where it ran."""

    case: str
    slot: str
    tries: int = 0
    name: str = ""
    data: str = ""
    is_first: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyRecorded:
    """A test or fixture recorded a property of the whole session."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """pytest recorded a warning in `file`; `case` is the test's id, empty outside of tests."""

    category: str
    text: str
    file: str
    line: int = 0
    case: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDependent:
    """
    Tests of a file failed as they were dealt out, and pass as plain pytest runs them.

    `was_split` tells that they ran in several processes; else it was what ran before them.
    """

    file: str
    was_split: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureIsSingle:
    """Only one process can have the fixture at a time, and tests of `file` use it."""

    fixture: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOver:
    """
    A session of pytest ended, a slot's or the controller's, with pytest's exit status.

    `is_gate` tells that a plugin or conftest made it so, and not the tests' outcomes. `exit_code` is one that
    `pytest.exit`, or a plugin in its last hooks, asked for. `summary` is what plugins print at the end, `error` the
    traceback of what they raised.
    """

    session: str
    status: int
    is_gate: bool = False
    exit_code: int | None = None
    summary: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """
    The fleet is done; nothing follows. `status` is `completed` when all was tried, whatever the outcomes.

    `reason` says why it was not completed; `is_wanted` tells that the tests or an option ended it. `makespan_s` runs
    from the first slot asked for to the end of the last case.
    """

    status: Literal["completed", "cancelled", "timeout", "stopped"]
    reason: str = ""
    is_wanted: bool = False
    makespan_s: float = 0.0


Event: TypeAlias = (
    WorkerJoined
    | FilesKnown
    | FileCollected
    | FileSkipped
    | CaseStarted
    | CaseFinished
    | CaseUnplaced
    | LeftBehind
    | PropertyRecorded
    | Warned
    | OrderDependent
    | FixtureIsSingle
    | SessionOver
    | Notice
    | Ended
)


def abandon(events: Iterator[Event]) -> None:
    """Leave a stream of events before its end: a generator is closed, so that its fleet stops; others just end."""
    close = getattr(events, "close", None)
    if close is not None:
        close()
