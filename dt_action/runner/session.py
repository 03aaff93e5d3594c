"""One pytest session for the life of a slot: it takes units from the fleet, runs their cases and tells what happens."""

from __future__ import annotations

import contextlib
import os
import platform
import time
import traceback
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, Optional, Set, Tuple

import pytest

from . import recording
from .channel import Channel, Message
from .collecting import LazyCollection, group_of
from .outcomes import CaseRecord, collect_failure, shortened, skip_reason
from .portions import own_cases, told_of
from .rewriting import RewrittenModules, can_be_kept

# A test may freeze these; the records of the tests around it must not care.
_time = time.time
_perf_counter = time.perf_counter


def run(channel: Channel, config: Dict[str, Any], measuring: Any) -> int:
    """
    Run pytest until the fleet says stop; returns pytest's exit code.

    `measuring` is `measuring.Measuring` where coverage is measured, else None.
    """
    plugins = [*(measuring.plugins() if measuring else []), *recording.plugins()]
    return int(pytest.main(list(config["args"]), plugins=[SlotPlugin(channel, config, measuring), *plugins]))


class SlotPlugin:
    """
    The plugin that turns a pytest session into a slot.

    Flow control is by credit: a case starts only when the fleet has given credit for it, so what has no credit yet
    can be handed to another slot at any moment, also while a test of an hour runs here.
    """

    def __init__(self, channel: Channel, config: Dict[str, Any], measuring: Any) -> None:
        self._channel = channel
        self._measuring = measuring
        self._config = config
        self._collection: Optional[LazyCollection] = None
        self._units: Deque[Message] = deque()
        self._queue: Deque[List[Any]] = deque()  # of cases: the items of one id, nearly always one
        self._early: Optional[List[Tuple[str, Dict[str, Any]]]] = []
        self._credit = 0
        self._seen = 0
        self._current: Any = None
        self._waited_s = 0.0
        self._stopping = False
        self._resting = False
        self._ran: Set[Any] = set()
        self._avoided: Set[str] = set()
        self._rewritten: Optional[RewrittenModules] = None
        self._records: Dict[str, CaseRecord] = {}
        self._setup_state: Any = None
        self._capture_manager: Any = None
        self._teardown_exact: Any = None

    # --- pytest's hooks: being a slot among several -----------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True)
    def pytest_load_initial_conftests(self, early_config: Any) -> Any:
        """Before any plugin acts on them: say who we are, as pytest-xdist's workers do, and quieten pytest-cov."""
        early_config.workerinput = {
            "workerid": self._config["slot"],
            "workercount": self._config["slots"],
            "testrunuid": self._config["run"],
            "mainargv": list(self._config["args"]),
        }
        known = early_config.known_args_namespace
        if hasattr(known, "no_cov"):
            known.no_cov = True  # its distributed mode wants a controller of its own; dt measures coverage itself
        if self._config["rewritten"] and can_be_kept(early_config):
            self._rewritten = RewrittenModules(self._config["rewritten"], early_config)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: Any) -> None:
        """Register our mark; turn `-n` from the project's own settings off, since this process is one of ours."""
        config.addinivalue_line(
            "markers", "dt(requires, memory, browser, platform, timeout, exclusive): what a test needs"
        )
        option = config.option
        if hasattr(option, "dist") and hasattr(option, "tx"):
            option.dist, option.tx, option.numprocesses = "no", [], None
        if hasattr(option, "basetemp") and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
            base = option.basetemp or self._config["basetemp"]
            option.basetemp = os.path.join(base, self._config["slot"])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collection(self, session: Any) -> Any:
        """Let pytest's own collection expand the directories, and nothing more."""
        self._collection = LazyCollection(session)
        yield
        self._collection.finish()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Run what the fleet hands out, until it says stop."""
        assert self._collection is not None
        self._setup_state = session._setupstate
        self._teardown_exact = self._setup_state.teardown_exact
        self._setup_state.teardown_exact = self._tear_down
        self._capture_manager = session.config.pluginmanager.getplugin("capturemanager")
        self._channel.send(
            "ready",
            files=self._collection.files,
            base=_seen_from(session.config.rootpath, session.config.invocation_params.dir),
            rootdir=_seen_from(session.config.invocation_params.dir, session.config.rootpath),
            python=platform.python_version(),
            pytest=pytest.__version__,
        )
        early, self._early = self._early or [], None
        for event, fields in early:
            self._channel.send(event, **fields)
        self._import_modules()
        while self._may_start():
            self._run_case(session, self._queue.popleft())
            if session.shouldfail or session.shouldstop:
                self._channel.send("exit", reason=str(session.shouldfail or session.shouldstop))
                break
        self._leave_without_summary(session.config)
        return True

    def _leave_without_summary(self, config: Any) -> None:
        """A summary that nobody reads can take longer than a small suite: plugins load what they need to print it."""
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def _import_modules(self) -> None:
        """Import every test module, as plain pytest does before the first test; but not those that kill a process."""
        assert self._collection is not None
        if not self._config["imports"]:
            return
        self._apply(self._channel.waiting())
        self._rewrite_share()
        for file in self._collection.files:
            if file not in self._avoided:
                self._channel.send("importing", file=file)
                with contextlib.suppress(BaseException):  # told when the file is collected
                    self._collection.import_module(file)

    def _rewrite_share(self) -> None:
        """The slots of a run divide the rewriting of asserts among them; all but this is the same in each of them."""
        assert self._collection is not None
        if self._rewritten is not None:
            share = int(self._config["slot"][2:]) % self._config["slots"]
            self._rewritten.prepare(self._collection.modules[share :: self._config["slots"]])

    # --- pytest's hooks: what is told -------------------------------------------------------------------------

    def pytest_collectreport(self, report: Any) -> None:
        """Tell a file or folder that cannot be collected, or that skips itself."""
        if report.failed:
            self._tell_of_file("uncollectable", id=report.nodeid, **collect_failure(report))
        elif report.skipped:
            self._tell_of_file("file_skipped", file=report.nodeid, reason=skip_reason(report))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Gather what belongs to one case."""
        record = self._records.get(report.nodeid)
        if record is not None:
            record.add(report)

    def _tell_of_file(self, event: str, **fields: Any) -> None:
        """Tell, or keep until the fleet knows this slot: a folder may fail while the directories are expanded."""
        if self._early is None:
            self._channel.send(event, **fields)
        else:
            self._early.append((event, fields))

    # --- what the fleet says ----------------------------------------------------------------------------------

    def _apply(self, commands: List[Message]) -> None:
        for command in commands:
            self._seen += 1
            operation = command["op"]
            if operation == "run":
                self._units.extend(command["units"])
                self._credit += command["credit"]
                self._resting = False
            elif operation == "go":
                self._credit += command["credit"]
            elif operation == "recall":
                self._credit = 0
            elif operation == "drop":
                self._drop(command)
            elif operation == "avoid":
                self._avoided.update(command["files"])
            elif operation == "rest":
                self._resting = True
            elif operation == "stop":
                self._stopping = True

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
        if not self._resting:
            self._channel.send("want", seen=self._seen)
        started = _perf_counter()
        command = self._channel.receive()
        self._waited_s += _perf_counter() - started
        self._apply([{"op": "stop"}] if command is None else [command])

    # --- what runs next ---------------------------------------------------------------------------------------

    def _may_start(self) -> bool:
        """Wait until a case may start (True) or the fleet says stop (False)."""
        self._apply(self._channel.waiting())
        while not self._stopping:
            self._fill()
            if self._queue and self._credit > 0:
                return True
            self._ask_and_wait()
        return False

    def _settle_next(self) -> Any:
        """
        The item that comes after the one being torn down; None where everything is to be torn down.

        Here, between a test's call and its teardown, is the latest moment at which the next batch can be taken with
        session and package fixtures staying alive.
        """
        self._apply(self._channel.waiting())
        while True:
            self._fill()
            if self._queue and self._credit > 0:
                return self._queue[0][0]
            if self._stopping or self._resting:
                return None
            self._ask_and_wait()

    def _tear_down(self, nextitem: Any) -> None:
        """pytest's `SetupState.teardown_exact`, once it is settled what comes next."""
        settled = self._settle_next() if nextitem is None else nextitem
        self._teardown_exact(settled)

    def _fill(self) -> None:
        """Collect the next files until there is a case in the queue."""
        while not self._queue and self._units and not self._stopping:
            self._collect(self._units.popleft())

    def _collect(self, unit: Message) -> None:
        file = unit["file"]
        if self._measuring and "type" in unit:
            self._measuring.note_type(file, unit["type"])
        self._channel.send("collecting", file=file)
        started = _perf_counter()
        items = self._expand(file)
        divided: Dict[str, Any] = {}
        wanted = set(unit.get("cases", ()))
        if unit.get("portion"):
            ids = list(dict.fromkeys(item.nodeid for item in items))
            wanted = own_cases([(item.nodeid, group_of(item)) for item in items], unit["portion"])
            divided = {"divided": told_of(file, ids, wanted, unit["portion"])}
            items = [item for item in items if item.nodeid in wanted]
        chosen = [item for item in items if not wanted or item.nodeid in wanted]
        elsewhere = [item for item in chosen if _is_withheld(item, unit)]
        if elsewhere:
            chosen = [item for item in chosen if not _is_withheld(item, unit)]
        took_s = _perf_counter() - started
        self._waited_s += took_s  # not the time of the test in whose teardown this may happen
        mine = _by_id(chosen)
        self._channel.send(
            "collected",
            file=file,
            cases=[_described(case[0]) for case in mine],
            withheld=[_described(case[0]) for case in _by_id(elsewhere)],
            duration_s=round(took_s, 6),
            **divided,
        )
        self._queue.extend(mine)

    def _expand(self, file: str) -> List[Any]:
        assert self._collection is not None
        try:
            with self._apart_from_the_test():
                return self._collection.expand(file)
        except BaseException as error:  # SystemExit, pytest.exit or a plugin's bug, at import: the others still run
            detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            message = f"{type(error).__name__} while the file was collected: {error}"
            self._tell_of_file("uncollectable", id=file, message=message[:2000], detail=shortened(detail))
            return []

    @contextlib.contextmanager
    def _apart_from_the_test(self) -> Iterator[None]:
        """Keep what an imported module prints out of the output of the test that is being torn down."""
        manager = self._capture_manager
        if self._current is None or manager is None or not manager.is_globally_capturing():
            yield
            return
        with manager.global_and_fixture_disabled():
            out, err = manager.read_global_capture()
            for stream, text in (("stdout", out), ("stderr", err)):
                if text:
                    self._current.add_report_section("teardown", stream, text)
            try:
                yield
            finally:
                manager.read_global_capture()

    # --- running one case -------------------------------------------------------------------------------------

    def _run_case(self, session: Any, items: List[Any]) -> None:
        """Run a case; where its id stands for several items, one after the other, told once with the worst outcome."""
        self._credit -= 1
        name = items[0].nodeid
        record = self._records[name] = CaseRecord(_time())
        self._channel.send("started", id=name)
        following = self._queue[0][0] if self._queue and self._credit > 0 else None
        next_items = [*items[1:], following]
        for index, item in enumerate(items):
            self._run_item(session, item, next_items[index], record)
        del self._records[name]
        self._channel.send("finished", id=name, **record.finished())

    def _run_item(self, session: Any, item: Any, next_item: Any, record: CaseRecord) -> None:
        if item in self._ran and hasattr(item, "_initrequest"):
            item._initrequest()  # a retry in the same session needs fresh fixtures
        self._ran.add(item)
        self._current = item
        started, waited_s = _perf_counter(), self._waited_s
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
        except KeyboardInterrupt:
            self._interrupted(record, "the test raised KeyboardInterrupt")
        except pytest.exit.Exception as leaving:
            self._interrupted(record, f"pytest.exit: {leaving}")
            session.shouldstop = f"pytest.exit: {leaving}"
        self._current = None
        record.duration_s += _perf_counter() - started - (self._waited_s - waited_s)

    def _interrupted(self, record: CaseRecord, message: str) -> None:
        """An exception that pytest lets through: blame the test, and clean up what its teardown would have."""
        record.outcome = "failed"
        record.message = message
        try:
            self._teardown_exact(None)
        except BaseException as error:  # a fixture's own teardown may fail in any way
            record.details.append(f"teardown after it: {error!r}")


def _seen_from(start: Any, folder: Any) -> str:
    """The way from one folder to another, with forward slashes: `.`, `sub/folder` or `../..`."""
    try:
        way = os.path.relpath(os.path.realpath(str(folder)), os.path.realpath(str(start)))
    except ValueError:  # Windows, on two drives
        return "."
    return way.replace(os.sep, "/")


def _by_id(items: List[Any]) -> List[List[Any]]:
    """The items as cases: those of one id together, in the order of their first."""
    cases: Dict[str, List[Any]] = {}
    for item in items:
        cases.setdefault(item.nodeid, []).append(item)
    return list(cases.values())


def _described(item: Any) -> Message:
    """What the fleet is told of a case: id, line from 1, group and marks."""
    line = item.location[1]
    described: Message = {"id": item.nodeid, "line": (line or 0) + 1}
    group = group_of(item)
    if group:
        described["group"] = group
    marks = sorted({mark.name for mark in item.iter_markers() if mark.name != "parametrize"})
    if marks:
        described["marks"] = marks
    return described


def _is_withheld(item: Any, unit: Message) -> bool:
    """True where the unit leaves the item out: see `dt_action.model.plan.Unit`."""
    withheld, only = unit.get("withheld", ()), unit.get("only", ())
    if not withheld and not only:
        return False
    tail = item.nodeid.partition("::")[2]
    names = (tail, tail.partition("[")[0])
    return any(name in withheld for name in names) or (bool(only) and not any(name in only for name in names))
