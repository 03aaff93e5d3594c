"""What a fleet tells while it executes a plan, in the order in which it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from dt_action.model.case import Attempt, TestCase
from dt_action.model.hardware import Capability
from dt_action.model.plan import Divided


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJoined:
    """A machine takes part, with `slots` places."""

    worker: str
    slots: int
    capability: Capability
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesKnown:
    """Every file that pytest itself would collect. A planned file that is not among them holds no tests for it."""

    files: tuple[str, ...]


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
    """No worker, present or promised, can run the case. `case.id` is a file's path where its cases are not known."""

    case: TestCase
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should read once, such as a slot that died between two tests."""

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """
    The fleet is done; nothing follows. `status` is `completed` when all was tried, whatever the outcomes.

    `reason` says why it was not completed. `makespan_s` runs from the first slot asked for to the end of the last case.
    """

    status: Literal["completed", "cancelled", "timeout", "stopped"]
    reason: str = ""
    makespan_s: float = 0.0


Event: TypeAlias = (
    WorkerJoined | FilesKnown | FileCollected | FileSkipped | CaseStarted | CaseFinished | CaseUnplaced | Notice | Ended
)
