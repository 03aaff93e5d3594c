"""What a slot has to do: the units that the fleet handed out, and how far it may go without asking."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
from collections import deque
from typing import Any, Callable, ContextManager, Deque, Dict, Iterator, List, Set

from .channel import Channel, Message
from .collecting import Collection, group_of, scope_of, wide_fixtures_of
from .outcomes import shortened
from .portions import own_cases, told_of
from .ties import groups_of

_perf_counter = time.perf_counter


class Worklist:
    """
    The cases that a slot will run, in order; of these, `credit` may begin without asking.

    What has no credit yet can be handed to another slot at any moment, also while a test of an hour runs here. A case
    is a list of items: those of one id, nearly always one. `waited_s` is the time spent on waiting and collecting,
    which is not the time of the test in whose teardown that may happen. `dist` is the project's own `--dist`, and
    `note_type` is told of each file and its test type. `tried` tells how often a case was tried before.
    """

    def __init__(self, channel: Channel, *, apart: Callable[[], ContextManager[None]]) -> None:
        self.dist = ""
        self.waited_s = 0.0
        self.avoided: Set[str] = set()
        self.expected_files: List[str] = []
        self.is_stopping = False
        self.is_interrupted = False
        self.tried: Dict[str, int] = {}
        self.note_type: Callable[[str, str], None] = lambda file, test_type: None
        self._channel = channel
        self._apart = apart
        self._collection: Any = None
        self._units: Deque[Message] = deque()
        self._queue: Deque[List[Any]] = deque()
        self._by_file: Dict[str, List[List[Any]]] = {}
        self._ties: Dict[Any, str] = {}
        self._credit = 0
        self._seen = 0
        self._is_resting = False
        self._must_clear = False

    def open(self, collection: Collection, items: List[Any]) -> List[Message]:
        """The collection is done. Describes every case where it is whole, and nothing where files are yet to come."""
        self._collection = collection
        described = []
        self._ties = groups_of(items, self._group_of)
        for case in by_id(items) if collection.is_whole else ():
            described.append(self._described(case[0]))
            self._by_file.setdefault(case[0].nodeid.partition("::")[0], []).append(case)
        return described

    @property
    def seen(self) -> int:
        """How many commands it has taken in."""
        return self._seen

    def start_over(self) -> None:
        """Be the worklist of a slot that has been told nothing yet."""
        self._seen = 0

    # --- what the fleet says ----------------------------------------------------------------------------------------

    def apply(self, commands: List[Message]) -> None:
        """Take in commands; each counts as seen, whether it is for the worklist or not."""
        for command in commands:
            self._seen += 1
            operation = command["op"]
            if operation == "run":
                self._units.extend(command["units"])
                self._credit += command.get("credit", 0)
                self._is_resting = False
            elif operation == "go":
                self._credit += command.get("credit", 0)
            elif operation == "recall":
                self._credit = 0
            elif operation == "drop":
                self._drop(command)
            elif operation == "avoid":
                self.avoided.update(command["files"])
            elif operation == "files":
                self.expected_files = list(command["files"])
            elif operation == "rest":
                self._is_resting = True
                self._must_clear = bool(command.get("clear"))
            elif operation == "interrupt":
                self.is_interrupted = self.is_stopping = True
                _heed_no_more_signals()
            elif operation == "stop":
                self.is_stopping = True

    def apply_waiting(self) -> None:
        """Take in the commands that have arrived."""
        self.apply(self._channel.waiting())

    def _drop(self, command: Message) -> None:
        """Forget cases and files without credit that went to another slot, also files that were collected ahead."""
        cases, files = set(command.get("cases", ())), set(command.get("files", ()))
        self._queue = deque(
            case
            for case in self._queue
            if case[0].nodeid not in cases and case[0].nodeid.partition("::")[0] not in files
        )
        self._units = deque(unit for unit in self._units if unit["file"] not in files)

    def _ask_and_wait(self) -> None:
        """
        Ask for more, once per command seen, and wait for the next command.

        The fleet answers only an ask that has seen all it sent, so an ask that crosses a command is harmless.
        """
        if not self._is_resting:
            self._channel.send("want", seen=self._seen)
        started = _perf_counter()
        try:
            command = self._channel.receive()
        except KeyboardInterrupt:
            self.apply_waiting()
            if not self.is_interrupted:  # the signal took the command along with it, as it was read; no test runs here
                self.apply([{"op": "interrupt"}])
            return
        finally:
            self.waited_s += _perf_counter() - started
        self.apply([{"op": "stop"}] if command is None else [command])

    # --- what runs next ---------------------------------------------------------------------------------------------

    def next_case(self) -> List[Any]:
        """Wait until a case may start and take it; empty where the fleet says stop."""
        self.apply_waiting()
        while not self.is_stopping:
            self._fill()
            if self._queue and self._credit > 0:
                self._credit -= 1
                return self._queue.popleft()
            self._ask_and_wait()
        return []

    def following(self) -> Any:
        """The item that may start after the case just taken, as far as that is known; else None."""
        return self._queue[0][0] if self._queue and self._credit > 0 else None

    def settle(self) -> Any:
        """
        The item that comes after the one being torn down; None where everything is to be torn down.

        Here, between a test's call and its teardown, is the latest moment at which the next batch can be taken with
        session and package fixtures staying alive. A slot without work waits here, with all its fixtures, until the
        fleet has some or says stop: a session fixture is set up once in a process.
        """
        self.apply_waiting()
        while True:
            self._fill()
            if self._queue and self._credit > 0:
                return self._queue[0][0]
            if self.is_stopping:
                return None
            if self._is_resting and self._must_clear:
                self._must_clear = False
                return None
            self._ask_and_wait()

    def _fill(self) -> None:
        """Collect the next files until there is a case in the queue."""
        while not self._queue and self._units and not self.is_stopping:
            self._collect(self._units.popleft())

    def _collect(self, unit: Message) -> None:
        file = unit["file"]
        self.tried.update(unit.get("tried", {}))
        if unit.get("type"):
            self.note_type(file, unit["type"])
        self._channel.send("collecting", file=file)
        started = _perf_counter()
        cases = self._by_file[file] if file in self._by_file else by_id(self._expand(file))
        wanted = set(unit.get("cases", ()))
        divided: Dict[str, Any] = {}
        portion = unit.get("portion")
        if portion:
            ids = [case[0].nodeid for case in cases]
            wanted = own_cases([(case[0].nodeid, self._group_of(case[0])) for case in cases], portion)
            divided = {"divided": told_of(file, ids, wanted, portion)}
            cases = [case for case in cases if case[0].nodeid in wanted]
        chosen = [case for case in cases if not wanted or case[0].nodeid in wanted]
        elsewhere = [case for case in chosen if _is_withheld(case[0], unit)]
        if elsewhere:
            chosen = [case for case in chosen if not _is_withheld(case[0], unit)]
        took_s = _perf_counter() - started
        self.waited_s += took_s
        self._channel.send(
            "collected",
            file=file,
            cases=[self._described(case[0]) for case in chosen],
            withheld=[self._described(case[0]) for case in elsewhere],
            duration_s=round(took_s, 6),
            **divided,
        )
        self._queue.extend(chosen)

    def _expand(self, file: str) -> List[Any]:
        try:
            with self._apart():
                items: List[Any] = self._collection.items_of(file)
                return items
        except BaseException as error:  # SystemExit, pytest.exit or a plugin's bug, at import: the others still run
            if isinstance(error, KeyboardInterrupt):
                self.apply_waiting()
                if self.is_interrupted:
                    return []
            detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            message = f"{type(error).__name__} while the file was collected: {error}"
            self._channel.send("uncollectable", id=file, message=message[:2000], detail=shortened(detail))
            return []

    def _group_of(self, item: Any) -> str:
        return self._ties.get(item) or scope_of(item, self.dist) or group_of(item)

    def _described(self, item: Any) -> Message:
        """What the fleet is told of a case: id, line from 1, group and marks."""
        line = item.location[1]
        described: Message = {"id": item.nodeid, "line": (line or 0) + 1}
        group = self._group_of(item)
        if group:
            described["group"] = group
        fixtures = wide_fixtures_of(item)
        if fixtures:
            described["fixtures"] = fixtures
        marks = sorted({mark.name for mark in item.iter_markers() if mark.name != "parametrize"})
        if marks:
            described["marks"] = marks
        return described


@contextlib.contextmanager
def apart_from(item: Any, manager: Any) -> Iterator[None]:
    """Keep what an imported module prints out of the output of `item`, which is being torn down."""
    if item is None or manager is None or not manager.is_globally_capturing():
        yield
        return
    with manager.global_and_fixture_disabled():
        out, err = manager.read_global_capture()
        for stream, text in (("stdout", out), ("stderr", err)):
            if text:
                item.add_report_section("teardown", stream, text)
        try:
            yield
        finally:
            manager.read_global_capture()


def _heed_no_more_signals() -> None:
    """
    An interrupt is known: its signal, which may come later than its command, must not end what is torn down now.

    What ignores a signal hands that on to the programs that it starts; a handler that does nothing stays here.
    """
    with contextlib.suppress(ValueError):  # not in the main thread, where no signal would be seen anyhow
        signal.signal(signal.SIGINT, lambda number, frame: None)


def by_id(items: List[Any]) -> List[List[Any]]:
    """The items as cases: those of one id together, in the order of their first."""
    cases: Dict[str, List[Any]] = {}
    for item in items:
        cases.setdefault(item.nodeid, []).append(item)
    return list(cases.values())


def _is_withheld(item: Any, unit: Message) -> bool:
    """True where the unit leaves the item out: see `dt_action.model.plan.Unit`."""
    withheld, only = unit.get("withheld", ()), unit.get("only", ())
    if not withheld and not only:
        return False
    tail = item.nodeid.partition("::")[2]
    names = (tail, tail.partition("[")[0])
    return any(name in withheld for name in names) or (bool(only) and not any(name in only for name in names))
