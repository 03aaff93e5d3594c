"""Running one case: its items through pytest's protocol, its tries, and what came of each."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Callable, Dict, List, Optional, Set

import pytest

from .channel import Channel
from .ending import Ending
from .new_files import NewFiles
from .outcomes import CaseRecord
from .replaying import report_data
from .time_off import time_off
from .worklist import Worklist

# A test may freeze these; the records of the tests around it must not care.
_time = time.time
_perf_counter = time.perf_counter
_STARTED_IN = os.path.join(os.getcwd(), "")  # a test may change the directory, or delete it


class CaseRunner:
    """
    Runs cases and tells what came of them. One that fails is tried again at once, up to `retries` times, with the
    fixtures that live longer than the test still set up.

    `current` is the item that runs. `is_spent` tells that fixtures of the session were torn down before its end, and
    must not be set up a second time in this process.
    """

    def __init__(
        self, channel: Channel, worklist: Worklist, ending: Ending, *, retries: int, send_left: Callable[..., None]
    ) -> None:
        self.current: Any = None
        self.is_spent = False
        self.tells_reports = False
        self._channel = channel
        self._worklist = worklist
        self._ending = ending
        self._retries = retries
        self._send_left = send_left
        self._record: Optional[CaseRecord] = None
        self._records: Dict[str, CaseRecord] = {}
        self._ran: Set[Any] = set()
        self._waited_s = 0.0
        self._new_files = NewFiles()
        self._setup_state: Any = None
        self._teardown_exact: Any = None

    def open(self, session: Any) -> None:
        """Settle from now on, at each teardown, what comes next."""
        self._setup_state = session._setupstate
        self._new_files = NewFiles(str(session.config.rootpath), _STARTED_IN)
        self._teardown_exact = self._setup_state.teardown_exact
        self._setup_state.teardown_exact = self._tear_down

    def close(self) -> None:
        """Give the session its own teardown back."""
        if self._setup_state is not None:
            self._setup_state.teardown_exact = self._teardown_exact

    def add(self, report: Any, config: Any) -> None:
        """Take in a report of pytest."""
        record = self._records.get(report.nodeid)
        if record is not None:
            record.add(report)
            if self.tells_reports:
                record.reports.append(report_data(config, report))

    def run(self, session: Any, items: List[Any]) -> None:
        """Run a case; where its id stands for several items, one after the other, told once with the worst outcome."""
        name = items[0].nodeid
        tries = self._worklist.tried.get(name, 0)
        while True:
            tries += 1
            record = self._records[name] = self._record = CaseRecord(_time(), tries)
            self._channel.send("started", id=name)
            next_items = [*items[1:], self._worklist.following()]
            for index, item in enumerate(items):
                self._run_item(session, item, next_items[index], record)
            del self._records[name]
            self._record = None
            if record.is_left:
                return
            self._send_left(name, tries, is_failing=record.is_failing)
            made = record.is_failing and self._new_files.left_by(str(items[0].path), record.started_at)
            self._channel.send("finished", id=name, **record.finished(), **({"made_files": True} if made else {}))
            if not self._may_try_again(record) or session.shouldstop:
                return

    def _may_try_again(self, record: CaseRecord) -> bool:
        return record.is_failing and record.tries <= self._retries

    def _run_item(self, session: Any, item: Any, next_item: Any, record: CaseRecord) -> None:
        if item in self._ran:
            _renew(item)
        else:
            self._ran.add(item)
            _keep_for_another_try(item)
        self.current = item
        started, waited_s = _perf_counter(), self._worklist.waited_s
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
        except KeyboardInterrupt as interrupt:
            self._worklist.apply_waiting()
            if self._worklist.is_interrupted:
                took_s = _perf_counter() - started
                self._channel.send("interrupted", id=item.nodeid, where=_where(interrupt), duration_s=round(took_s, 3))
                raise
            self._interrupted(record, "the test raised KeyboardInterrupt")
        except pytest.exit.Exception as leaving:  # the test has no outcome, as in plain pytest
            self._ending.left_by(leaving)
            self._interrupted(record, f"pytest.exit: {leaving}")
            record.is_left = True
            session.shouldstop = f"{item.nodeid} called pytest.exit: {leaving}"
        self.current = None
        record.duration_s += _perf_counter() - started - (self._worklist.waited_s - waited_s)

    def _tear_down(self, nextitem: Any) -> None:
        """pytest's `SetupState.teardown_exact`, once it is settled what comes next."""
        __tracebackhide__ = True
        if not self._channel.is_ours:
            self._teardown_exact(nextitem)  # a child that a test forked, such as pytest-forked's
            return
        if self._record is not None and self._may_try_again(self._record):
            self._teardown_exact(_Again(self.current))
            return
        settled = self._settle() if nextitem is None else nextitem
        if settled is None and not self._worklist.is_stopping:
            self.is_spent = _holds_session_fixtures(self._setup_state)
        self._teardown_exact(settled)

    def _settle(self) -> Any:
        """Wait for what comes next. That time is not the test's, and nobody who limits or measures it may see it."""
        waited_s = self._worklist.waited_s
        with time_off(self.current) if self.current is not None else contextlib.nullcontext():
            settled = self._worklist.settle()
        self._waited_s += self._worklist.waited_s - waited_s
        return settled

    def take_off(self, call: Any) -> None:
        """Take what a teardown waited out of pytest's own record of it."""
        if call.when == "teardown" and self._waited_s:
            waited_s, self._waited_s = self._waited_s, 0.0
            call.duration = max(0.0, call.duration - waited_s)
            call.stop = max(call.start, call.stop - waited_s)

    def _interrupted(self, record: CaseRecord, message: str) -> None:
        """An exception that pytest lets through: blame the test, and clean up what its teardown would have."""
        record.outcome = "failed"
        record.message = message
        try:
            self._teardown_exact(None)
        except BaseException as error:  # a fixture's own teardown may fail in any way
            record.details.append(f"teardown after it: {error!r}")


def _where(interrupt: BaseException) -> str:
    """The innermost line of the project's own code that an interrupt met: `tests/conftest.py:12`."""
    place = ""
    trace = interrupt.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_STARTED_IN) and "site-packages" not in file:
            place = "%s:%d" % (file[len(_STARTED_IN) :].replace(os.sep, "/"), trace.tb_lineno)
        trace = trace.tb_next
    return place


class _Again:
    """Stands for the same test once more, so that only what belongs to this try alone is torn down."""

    def __init__(self, item: Any) -> None:
        self._parents = item.listchain()[:-1]

    def listchain(self) -> List[Any]:
        """Its nodes: all of the item's, and one that is not the item."""
        return [*self._parents, self]


def _keep_for_another_try(item: Any) -> None:
    """Note what a run of the item uses up: doctest clears its names."""
    doctest = getattr(item, "dtest", None)
    if doctest is not None:
        item._dt_globals = dict(doctest.globs)


def _renew(item: Any) -> None:
    """Another try in the same session needs fresh fixtures, and none of the earlier try's output."""
    if hasattr(item, "_initrequest"):
        item._initrequest()
    if hasattr(item, "_dt_globals"):
        item.dtest.globs.update(item._dt_globals)
    for name in ("_report_sections", "user_properties"):
        kept = getattr(item, name, None)
        if isinstance(kept, list):
            kept.clear()


def _holds_session_fixtures(state: Any) -> bool:
    """True where something of the whole session is set up, and will be torn down now."""
    for node, entry in getattr(state, "stack", {}).items():
        finalizers = entry[0] if isinstance(entry, tuple) else entry
        return isinstance(node, pytest.Session) and len(finalizers) > 1
    return False
