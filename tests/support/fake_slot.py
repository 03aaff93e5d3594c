"""The slot of all tests and simulations: what `dt_action.runner.slot` does with commands, without a process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Outcome
from dt_action.model.slot_protocol import Command, Died, Message, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeCase:
    """
    A test. `outcomes` are those of its attempts in turn, the last one for all that follow; `crashed` ends the process.

    It fails where one that it `needs` has not run before it in its process, or one that is its `bane` has.
    """

    id: str
    duration_s: float = 0.0
    group: str = ""
    outcomes: tuple[str, ...] = ("passed",)
    needs: frozenset[str] = frozenset()
    bane: frozenset[str] = frozenset()

    def outcome_after(self, ran: Set[str], outcome: str) -> str:
        """What comes of it in a process in which these tests ran before."""
        return "failed" if not self.needs <= ran or self.bane & ran else outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFile:
    """A test file. So many first attempts to import it end the process; `error` tells that it cannot be collected."""

    cases: tuple[FakeCase, ...] = ()
    collect_s: float = 0.0
    crashes: int = 0
    error: bool = False


@dataclass(slots=True)
class Suite:
    """
    The files by path, and how often each case and import was tried so far, over all slots.

    Where it `is_whole`, slots collect all of it before the first test, in the order of `cases`. A failing case is tried
    again at once up to `retries` times.
    """

    files: Mapping[str, FakeFile]
    is_whole: bool = False
    retries: int = 0
    tries: dict[str, int] = field(default_factory=dict)

    @property
    def cases(self) -> list[FakeCase]:
        """Every case that can be collected, in pytest's order."""
        return [case for file in self.files.values() if not file.error for case in file.cases]

    def next_outcome(self, case: FakeCase) -> str:
        """What the attempt that begins now will come to."""
        outcomes = case.outcomes
        return outcomes[-1] if len(outcomes) == 1 else outcomes[min(self.count(case.id), len(outcomes)) - 1]

    def count(self, name: str) -> int:
        """Count one more try of a case or file."""
        self.tries[name] = self.tries.get(name, 0) + 1
        return self.tries[name]


def suite_of(files: Mapping[str, Sequence[str]], *, duration_s: float = 0.0, outcome: str = "passed") -> Suite:
    """A suite of these cases, by file, that are all alike."""
    return Suite(
        {
            path: FakeFile(
                cases=tuple(FakeCase(id=case, duration_s=duration_s, outcomes=(outcome,)) for case in cases),
                collect_s=0.001,
            )
            for path, cases in files.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Told:
    """The slot tells `message`."""

    message: Message


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
EXITED = Died(reason="the process exited with code 0")
KILLED = Died(reason="the process died of SIGKILL")


class FakeSlot:
    """
    Put commands into `inbox`, and take `steps`; a slot that waits goes on when something is in its inbox.

    `change` may change each end of a case before it is told.
    """

    def __init__(self, suite: Suite, *, change: Callable[[protocol.Finished], protocol.Finished] = lambda told: told):
        self.inbox: deque[Command] = deque()
        self.running = ""
        self._is_stopping = False
        self.is_over = False
        self.steps: Steps = self._live()
        self._suite = suite
        self.change = change
        self._units: deque[Unit] = deque()
        self._queue: deque[FakeCase] = deque()
        self._credit = 0
        self._ran: set[str] = set()
        self._tried: dict[str, int] = {}
        self._seen = 0
        self._is_resting = False
        self._must_clear = False

    @property
    def is_stopped(self) -> bool:
        """True where it was told to stop, whether it has got so far or not."""
        return self._is_stopping or any(isinstance(command, protocol.Stop) for command in self.inbox)

    def work(self, most: int = 1_000_000) -> list[Message]:
        """What it tells until it has to wait, or has told `most` messages, taking no time; its death is the last."""
        told: list[Message] = []
        while len(told) < most and not self.is_over:
            step = next(self.steps, None)
            if isinstance(step, Told):
                told.append(step.message)
            elif isinstance(step, Waits):
                break
            elif step is None or isinstance(step, Dies):
                self.is_over = True
                told.append(EXITED if step is None else KILLED)
        return told

    def _live(self) -> Steps:
        suite = self._suite
        yield Told(protocol.Ready(base=".", rootdir=".", python="3", pytest="9"))
        if suite.is_whole:
            for path, file in suite.files.items():
                if file.error:
                    yield Told(protocol.Uncollectable(id=path, message="no", detail=""))
        whole = ("asked for",) if suite.is_whole else ()
        cases = _described(suite.cases) if suite.is_whole else ()
        yield Told(protocol.Collection(files=tuple(suite.files), whole=whole, cases=cases, digest="one"))
        while (yield from self._may_start()):
            yield from self._run_case(self._queue.popleft())

    def _apply_waiting(self) -> None:
        while self.inbox:
            self._apply(self.inbox.popleft())

    def _apply(self, command: Command) -> None:
        self._seen += 1
        match command:
            case protocol.Assign():
                self._units.extend(command.units)
                self._credit += command.credit
                self._is_resting = False
            case protocol.Recall():
                self._credit = 0
            case protocol.Grant():
                self._credit += command.credit
            case protocol.Drop():
                cases, files = set(command.cases), set(command.files)
                self._queue = deque(
                    case for case in self._queue if case.id not in cases and case.id.partition("::")[0] not in files
                )
                self._units = deque(unit for unit in self._units if unit.file not in files)
            case protocol.Rest():
                self._is_resting = True
                self._must_clear = command.clear
            case protocol.Stop() | protocol.Interrupt():  # it ends its test first, as one does that is nearly over
                self._is_stopping = True

    def _may_start(self) -> Generator[Step, None, bool]:
        self._apply_waiting()
        while not self._is_stopping:
            yield from self._fill()
            if self._queue and self._credit > 0:
                return True
            yield from self._ask_and_wait()
        return False

    def _settle_next(self) -> Steps:
        self._apply_waiting()
        while True:
            yield from self._fill()
            if (self._queue and self._credit > 0) or self._is_stopping:
                return
            if self._is_resting and self._must_clear:
                self._must_clear = False
                return
            yield from self._ask_and_wait()

    def _ask_and_wait(self) -> Steps:
        if not self._is_resting:
            yield Told(protocol.Want(seen=self._seen))
        while not self.inbox:
            yield WAITS
        self._apply(self.inbox.popleft())

    def _fill(self) -> Steps:
        while not self._queue and self._units and not self._is_stopping:
            yield from self._collect(self._units.popleft())

    def _collect(self, unit: Unit) -> Steps:
        path = unit.file
        self._tried.update(unit.tried)
        file = self._suite.files[path]
        yield Told(protocol.Collecting(file=path))
        yield Works(file.collect_s)
        if file.crashes and self._suite.count(path) <= file.crashes:
            yield DIES
        if file.error:
            yield Told(protocol.Uncollectable(id=path, message="no", detail=""))
        wanted = set(unit.cases)
        chosen = [case for case in file.cases if not wanted or case.id in wanted] if not file.error else []
        withheld = [case for case in chosen if _is_withheld(case, unit)]
        mine = [case for case in chosen if case not in withheld] if withheld else chosen
        yield Told(
            protocol.Collected(
                file=path, cases=_described(mine), withheld=_described(withheld), duration_s=file.collect_s
            )
        )
        self._queue.extend(mine)

    def _run_case(self, case: FakeCase) -> Steps:
        self._credit -= 1
        tries = self._tried.get(case.id, 0)
        while True:
            tries += 1
            self.running = case.id
            yield Told(protocol.Started(id=case.id))
            has_next = bool(self._queue) and self._credit > 0
            outcome = case.outcome_after(self._ran, self._suite.next_outcome(case))
            self._ran.add(case.id)
            yield Works(case.duration_s)
            if outcome == "crashed":
                yield DIES
            tries_again = outcome in ("failed", "error") and tries <= self._suite.retries
            if not has_next and not tries_again:
                yield from self._settle_next()
            self.running = ""
            finished = protocol.Finished(
                id=case.id, outcome=cast("Outcome", outcome), duration_s=case.duration_s, started_at=1.0
            )
            yield Told(self.change(finished))
            if not tries_again:
                return


def _described(cases: Sequence[FakeCase]) -> tuple[protocol.Found, ...]:
    return tuple(protocol.Found(id=case.id, line=1, group=case.group) for case in cases)


def _is_withheld(case: FakeCase, unit: Unit) -> bool:
    name = case.id.partition("::")[2]
    return name in unit.withheld or (bool(unit.only) and name not in unit.only)
