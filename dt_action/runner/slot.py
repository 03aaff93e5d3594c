"""A pytest session as a slot: it takes units from the fleet, runs their cases and tells what happens."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
import sys
from typing import Any, Dict, List, Optional, Set

import pytest

from . import forking, posing, recording
from .channel import Channel, Message
from .collecting import Collection, is_wide
from .ending import Ending, status_of
from .fork_watch import Watch
from .heading import Heading
from .leaving import Leavings
from .outcomes import collect_failure, skip_reason
from .proof import why_controller, why_one_process, why_whole, why_whole_after_import
from .replaying import report_data, warning_data
from .rewriting import RewrittenModules, can_be_kept
from .trying import CaseRunner
from .values import decoded, encoded
from .worklist import Worklist, apart_from

OWN_OPTIONS = frozenset(("basetemp", "dist", "distload", "loadgroup", "looponfail", "maxprocesses", "numprocesses"))
OWN_OPTIONS |= {"plugins", "tx", "usepdb"}
"""Options that a worker decides by itself, whatever the controller's are."""


def run(channel: Channel, config: Dict[str, Any], measuring: Any) -> int:
    """
    Run pytest until the fleet says stop; returns pytest's exit code.

    `measuring` is `measuring.Measuring` where coverage is measured, else None.
    """
    slot = SlotPlugin(channel, config, measuring)
    plugins = [
        slot,
        slot.heading,
        slot.log_file,
        slot.leavings,
        slot.leavings.fixtures(),
        *(measuring.plugins() if measuring else []),
        *recording.plugins(),
    ]
    try:
        status = int(pytest.main(list(config["args"]), plugins=plugins))
    except BaseException as error:
        slot.ending.broken(error)
        channel.send("ended", **slot.ending.told(status_of(error)))
        raise
    finally:
        slot.ending.release()
    channel.send("ended", **slot.ending.told(status))
    return status


class SlotPlugin:
    """
    The plugin that turns a pytest session into a slot.

    With `worker` in its configuration the session is one of several and looks like pytest-xdist's worker; without it,
    it is plain pytest's only process.
    """

    def __init__(self, channel: Channel, config: Dict[str, Any], measuring: Any) -> None:
        self.ending = Ending(is_quiet=bool(config["worker"]))
        self.heading = Heading()
        self.log_file = posing.SharedLogFile()
        self._channel = channel
        self._measuring = measuring
        self._config = config
        self._is_worker: bool = config["worker"]
        self._looks_alone = False
        self._worklist = Worklist(channel, apart=self._apart_from_the_test)
        self.leavings = Leavings(channel, config)
        self._cases = CaseRunner(
            channel, self._worklist, self.ending, retries=config["retries"], send_left=self.leavings.send
        )
        self._session: Any = None
        self._capture_manager: Any = None
        self._collection: Optional[Collection] = None
        self._why_whole: List[str] = []
        self._has: Set[Any] = set()
        self._watch = Watch(config["basetemp"]) if config["control"] is not None else None
        self._rewritten: Optional[RewrittenModules] = None
        if measuring is not None:
            self._worklist.note_type = measuring.note_type

    @pytest.fixture(scope="session")
    def dt_devices(self) -> List[str]:
        """The devices that this process was given, by their numbers on its machine: `cuda:2`."""
        return [device for device in os.environ.get("DT_DEVICES", "").split(",") if device]

    # --- becoming a process among several ---------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: Any) -> Any:
        """Before any plugin acts on them: options as pytest-xdist's workers have them there; no second coverage."""
        known = early_config.known_args_namespace
        self._worklist.dist = self._config["dist"] or getattr(known, "dist", "no") or "no"
        if self._is_worker:
            posing.pose(early_config)
            posing.look_distributed(known, self._config["slots"], dist="load")
        else:
            posing.look_like_a_worker(known)
        if self._measuring is not None and hasattr(known, "no_cov"):
            known.no_cov = True  # dt measures coverage itself
        if self._config["rewritten"] and can_be_kept(early_config):
            self._rewritten = RewrittenModules(self._config["rewritten"], early_config)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: Any) -> None:
        """
        After the options are known, before plugins are configured: become a worker as xdist's workers do.

        Where somebody would notice that there is no controller session, this waits for one.
        """
        posing.take_over(config)
        posing.look_like_a_worker(config.option)
        if self._measuring is not None and hasattr(config.option, "no_cov"):
            config.option.no_cov = True
        if not self._is_worker:
            return
        reason = why_one_process(config)
        if reason:
            self._channel.send("alone", reason=reason)
            self._await("begin")
        config.workerinput = {
            "workerid": self._config["slot"],
            "workercount": self._config["slots"],
            "testrunuid": self._config["run"],
            "mainargv": [sys.argv[0], *self._config["args"]],
        }
        config.workeroutput = {}
        reasons = why_controller(config)
        needs_controller = bool(reasons or self._config["controller"])
        if self._watch is not None:
            self._prepare_forking(config, self._watch, needs_controller=needs_controller)
        if needs_controller:
            self._channel.send("needs_controller", reasons=reasons)
            self._begin(config, self._await("begin"))

    def _prepare_forking(self, config: Any, watch: Watch, *, needs_controller: bool) -> None:
        """Collect for all slots; where that is in vain, tell so before they have waited for it."""
        reason = "a controller session has something of its own for each slot" if needs_controller else watch.found
        if reason:
            self._stay_alone(watch, reason)
        else:
            config.workerinput = watch.workerinput(config.workerinput)

    def _stay_alone(self, watch: Watch, reason: str) -> None:
        watch.stop()
        self._watch = None
        self._channel.send("forkable", reason=reason, seen=self._worklist.seen)
        os.close(self._config["control"])

    def _await(self, operation: str) -> Message:
        """Wait for one command of the fleet, and take in the others."""
        while True:
            command = self._channel.receive()
            if command is None or command["op"] == "stop":
                os._exit(0)  # before anything of the project was set up
            self._worklist.apply([command])
            if command["op"] == operation:
                return command

    def _begin(self, config: Any, command: Message) -> None:
        """What the controller session decided: its plugins' words to this worker, options, variables."""
        self._cases.tells_reports = bool(command.get("reports", True))
        self._looks_alone = bool(command.get("looks_alone"))
        config.workerinput.update(decoded(command.get("workerinput") or {}))
        for name, value in decoded(command.get("options") or {}).items():
            if name not in OWN_OPTIONS:
                setattr(config.option, name, value)
        if self._cases.tells_reports:
            posing.leave_to_controller(config.option)
            self.log_file.note(config)
        if self._looks_alone:
            posing.leave_no_trace(config.option)
        for name, value in (command.get("environ") or {}).items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: Any) -> None:
        """Register our mark; each process has a folder of its own for temporary files."""
        config.addinivalue_line(
            "markers", "dt(requires, memory, browser, platform, timeout, exclusive): what a test needs"
        )
        option = config.option
        if self._is_worker and hasattr(option, "basetemp") and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
            base = os.path.abspath(option.basetemp or self._config["basetemp"])
            os.makedirs(base, exist_ok=True)
            option.basetemp = os.path.join(base, self._config["slot"])

    # --- collecting -------------------------------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self, session: Any) -> Any:
        """Tell that pytest has started, and choose the way in which it collects."""
        config = session.config
        self._session = session
        self.ending.has_begun = True
        self._tell_ready(config)
        self._worklist.apply_waiting()
        self._rewrite_share(config)
        if self._config["imports"]:
            self._why_whole = why_whole(config) if self._is_worker else ["one process runs all tests"]
            if self._watch is not None:
                self._why_whole.append("slots are forked from one process")
            if self._config["isolation"] == "test":
                self._why_whole.append("each test runs in a process of its own")
        self._collection = Collection(
            session,
            is_whole=bool(self._why_whole),
            avoided=self._worklist.avoided,
            imports=self._config["imports"],
            begins=lambda file: self._channel.send("importing", file=file),
        )
        yield
        self._collection.finish()
        self._channel.send("importing", file="")

    def _tell_ready(self, config: Any) -> None:
        self._channel.send(
            "ready",
            base=_seen_from(config.rootpath, config.invocation_params.dir),
            rootdir=_seen_from(config.invocation_params.dir, config.rootpath),
            python=platform.python_version(),
            pytest=pytest.__version__,
            cache=_cache_folder(config) if self._is_worker and not self._cases.tells_reports else "",
            header="" if self._cases.tells_reports else self.heading.text,
        )

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, session: Any, config: Any, items: List[Any]) -> Any:
        """Where the conftest files of folders, known by now, could tell: collect all before they are asked."""
        collection = self._collection
        if collection is not None and collection.is_under_way and not collection.is_whole and self._config["imports"]:
            self._why_whole = why_whole(config)
            if self._why_whole:
                collection.expand_into(items)
        yield

    def _tell_collection(self, session: Any) -> None:
        collection = self._collection
        assert collection is not None
        if not collection.is_whole and self._config["imports"]:
            reason = why_whole_after_import(session, collection.collectors)
            if reason:
                self._why_whole = [reason]
                collection.complete()
        if self._watch is not None:
            self._fork(session, self._watch)
        self.ending.knows_tests = True
        cases = self._worklist.open(collection, session.items if collection.is_whole else [])
        if not collection.is_whole:
            self._channel.send("collection", files=collection.files)
            return
        digest = hashlib.sha256("\0".join(case["id"] for case in cases).encode("utf-8", "surrogatepass")).hexdigest()
        late = sorted(self._worklist.avoided.intersection(collection.files))
        self._channel.send(
            "collection", files=collection.files, late=late, whole=self._why_whole, cases=cases, digest=digest
        )

    def _fork(self, session: Any, watch: Watch) -> None:
        """Make slots of this process, and go on as one of them; as the only one where it must not be forked."""
        reason = forking.why_not(watch, {self._channel.fileno(), self._config["control"]}, session)
        if reason:
            self._stay_alone(watch, reason)
            return
        self._channel.send("forkable", seen=self._worklist.seen)
        control = socket.socket(fileno=self._config["control"])
        first = self._config["slot"]
        told = forking.serve(self._channel, control)
        forking.become(self._channel, session, told, watch)
        self._config["slot"] = told["slot"]
        if told["slot"] != first:
            self._worklist.start_over()
            self._tell_ready(session.config)

    def _rewrite_share(self, config: Any) -> None:
        """The slots of a run divide the rewriting of asserts among them; all but this is the same in each of them."""
        files, slots = self._worklist.expected_files, self._config["slots"]
        if self._rewritten is not None and files:
            start = str(config.invocation_params.dir)
            mine = files[int(self._config["slot"][2:]) % slots :: slots]
            self._rewritten.prepare([os.path.join(start, *file.split("/")) for file in mine])

    # --- running ----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Run what the fleet hands out, until it says stop."""
        self._capture_manager = session.config.pluginmanager.getplugin("capturemanager")
        if getattr(session.config.option, "setupshow", False) and not self._is_worker:
            self.ending.watch(session)  # what it shows comes between the tests
        try:
            if not session.config.option.collectonly:
                self._cases.open(session)
                self._tell_collection(session)
                with posing.without_variables() if self._looks_alone else contextlib.nullcontext():
                    self._run_cases(session)
        finally:
            self._cases.close()
            self.ending.watch(session)
        if not self._is_worker:
            self.ending.leave_as_pytest(session)
        return True

    def _run_cases(self, session: Any) -> None:
        for case in iter(self._worklist.next_case, []):
            self._cases.run(session, case)
            if session.shouldfail or session.shouldstop:
                self._channel.send("exit", reason=str(session.shouldfail or session.shouldstop))
                return
            if self._cases.is_spent:
                self._channel.send("spent")
                return

    def _apart_from_the_test(self) -> Any:
        return apart_from(self._cases.current, self._capture_manager)

    # --- what is told -----------------------------------------------------------------------------------------------

    def pytest_collectreport(self, report: Any) -> None:
        """Tell a file or folder that cannot be collected, or that skips itself."""
        self.ending.count(report)
        if report.passed:
            return
        extra = {"report": report_data(self._session.config, report)} if self._cases.tells_reports else {}
        if report.failed:
            self._channel.send("uncollectable", id=report.nodeid, **collect_failure(report), **extra)
        else:
            self._channel.send("file_skipped", file=report.nodeid, reason=skip_reason(report), **extra)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: Any) -> Any:
        """Before anybody reads how long it took."""
        self._cases.take_off(call)
        yield

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Gather what belongs to one case."""
        self.ending.count(report)
        self._cases.add(report, self._session.config)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Any:
        """Tell of the fixtures that live on, since a second process may wait for ever for what one of them has."""
        if not is_wide(fixturedef):
            yield
            return
        self._channel.send("setting_up", fixture=fixturedef.argname, state="begun")
        outcome = yield
        raised = outcome.excinfo[1] if outcome.excinfo else None
        if raised is None:
            self._has.add(fixturedef)
        state = "done" if raised is None else "over" if isinstance(raised, pytest.skip.Exception) else "failed"
        self._channel.send("setting_up", fixture=fixturedef.argname, state=state)

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        """Tell what is there no longer."""
        if fixturedef in self._has:
            self._has.remove(fixturedef)
            self._channel.send("setting_up", fixture=fixturedef.argname, state="over")

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str, location: Any) -> None:
        """Tell a warning, which pytest's own summary would show."""
        full = self._cases.tells_reports
        self._channel.send("warning", **warning_data(warning_message, when, nodeid, location, full=full))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: Any) -> Any:
        """Tell the controller what plugins have for it, after all of them had their turn."""
        self.ending.status_before = int(session.exitstatus)
        output: Any = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["exitstatus"] = int(session.exitstatus)
            output["shouldfail"] = session.shouldfail
            output["shouldstop"] = session.shouldstop
        yield
        if self._cases.tells_reports:
            self._channel.send("output", workeroutput=encoded(output))


def _cache_folder(config: Any) -> str:
    """Where pytest's cache lies, for what plain pytest would write there at its end; "" where it is switched off."""
    folder = getattr(getattr(config, "cache", None), "_cachedir", None)
    return str(folder) if folder is not None and config.pluginmanager.hasplugin("lfplugin") else ""


def _seen_from(start: Any, folder: Any) -> str:
    """The way from one folder to another, with forward slashes: `.`, `sub/folder` or `../..`."""
    try:
        way = os.path.relpath(os.path.realpath(str(folder)), os.path.realpath(str(start)))
    except ValueError:  # Windows, on two drives
        return "."
    return way.replace(os.sep, "/")
