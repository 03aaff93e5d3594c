"""A slot without a process: what `dt_action.runner.session` does with commands, as steps that a simulation takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCase:
    """
    A test. `outcomes` are those of its attempts in turn, the last one for all that follow; `crashed` ends the process.
    """

    id: str
    duration_s: float = 0.0
    group: str = ""
    outcomes: tuple[str, ...] = ("passed",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFile:
    """A test file. So many first attempts to import it end the process; `error` tells that it cannot be collected."""

    cases: tuple[SimulatedCase, ...] = ()
    collect_s: float = 0.0
    crashes: int = 0
    error: bool = False


@dataclass(slots=True)
class Suite:
    """The files by path, and how often each case and import was tried so far, over all slots."""

    files: Mapping[str, SimulatedFile]
    tries: dict[str, int] = field(default_factory=dict)

    def next_outcome(self, case: SimulatedCase) -> str:
        """What the attempt that begins now will come to."""
        outcomes = case.outcomes
        return outcomes[-1] if len(outcomes) == 1 else outcomes[min(self.count(case.id), len(outcomes)) - 1]

    def count(self, name: str) -> int:
        """Count one more try of a case or file."""
        self.tries[name] = self.tries.get(name, 0) + 1
        return self.tries[name]


@dataclass(frozen=True, slots=True)
class Told:
    """The slot tells `message`."""

    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Works:
    """The slot is busy for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Waits:
    """The slot waits for a command."""


@dataclass(frozen=True, slots=True)
class Dies:
    """The process ends under what it was doing."""


Step: TypeAlias = Told | Works | Waits | Dies
Steps: TypeAlias = Generator[Step, None, Any]
WAITS, DIES = Waits(), Dies()


class SimulatedSlot:
    """Put commands into `inbox`, and take `steps`; a slot that waits goes on when something is in its inbox."""

    def __init__(self, suite: Suite) -> None:
        self.inbox: deque[dict[str, Any]] = deque()
        self.running = ""
        self.steps: Steps = self._live()
        self._suite = suite
        self._units: deque[dict[str, Any]] = deque()
        self._queue: deque[SimulatedCase] = deque()
        self._credit = 0
        self._seen = 0
        self._stopping = False
        self._resting = False

    def _live(self) -> Steps:
        yield Told(
            {"e": "ready", "files": list(self._suite.files), "base": ".", "rootdir": ".", "python": "3", "pytest": "9"}
        )
        while (yield from self._may_start()):
            yield from self._run_case(self._queue.popleft())

    def _apply_waiting(self) -> None:
        while self.inbox:
            self._apply(self.inbox.popleft())

    def _apply(self, command: dict[str, Any]) -> None:
        self._seen += 1
        match command["op"]:
            case "run":
                self._units.extend(command["units"])
                self._credit += command["credit"]
                self._resting = False
            case "recall":
                self._credit = 0
            case "go":
                self._credit += command["credit"]
            case "drop":
                cases, files = set(command["cases"]), set(command["files"])
                self._queue = deque(
                    case for case in self._queue if case.id not in cases and case.id.partition("::")[0] not in files
                )
                self._units = deque(unit for unit in self._units if unit["file"] not in files)
            case "rest":
                self._resting = True
            case "stop":
                self._stopping = True

    def _may_start(self) -> Generator[Step, None, bool]:
        self._apply_waiting()
        while not self._stopping:
            yield from self._fill()
            if self._queue and self._credit > 0:
                return True
            yield from self._ask_and_wait()
        return False

    def _settle_next(self) -> Steps:
        self._apply_waiting()
        while True:
            yield from self._fill()
            if (self._queue and self._credit > 0) or self._stopping or self._resting:
                return
            yield from self._ask_and_wait()

    def _ask_and_wait(self) -> Steps:
        if not self._resting:
            yield Told({"e": "want", "seen": self._seen})
        while not self.inbox:
            yield WAITS
        self._apply(self.inbox.popleft())

    def _fill(self) -> Steps:
        while not self._queue and self._units and not self._stopping:
            yield from self._collect(self._units.popleft())

    def _collect(self, unit: dict[str, Any]) -> Steps:
        path = unit["file"]
        file = self._suite.files[path]
        yield Told({"e": "collecting", "file": path})
        yield Works(file.collect_s)
        if file.crashes and self._suite.count(path) <= file.crashes:
            yield DIES
        if file.error:
            yield Told({"e": "uncollectable", "id": path, "message": "no", "detail": ""})
        wanted = set(unit["cases"])
        chosen = [case for case in file.cases if not wanted or case.id in wanted] if not file.error else []
        withheld = [case for case in chosen if _is_withheld(case, unit)]
        mine = [case for case in chosen if case not in withheld] if withheld else chosen
        yield Told(
            {
                "e": "collected",
                "file": path,
                "cases": [_described(case) for case in mine],
                "withheld": [_described(case) for case in withheld],
                "duration_s": file.collect_s,
            }
        )
        self._queue.extend(mine)

    def _run_case(self, case: SimulatedCase) -> Steps:
        self._credit -= 1
        self.running = case.id
        yield Told({"e": "started", "id": case.id})
        has_next = bool(self._queue) and self._credit > 0
        outcome = self._suite.next_outcome(case)
        yield Works(case.duration_s)
        if outcome == "crashed":
            yield DIES
        if not has_next:
            yield from self._settle_next()
        self.running = ""
        yield Told(
            {"e": "finished", "id": case.id, "outcome": outcome, "duration_s": case.duration_s, "started_at": 0.0}
        )


def _described(case: SimulatedCase) -> dict[str, Any]:
    return {"id": case.id, "line": 1, "group": case.group}


def _is_withheld(case: SimulatedCase, unit: dict[str, Any]) -> bool:
    withheld, only = unit["withheld"], unit["only"]
    name = case.id.partition("::")[2]
    return name in withheld or (bool(only) and name not in only)
