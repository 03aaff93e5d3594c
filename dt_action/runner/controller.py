"""
The controller session: the project's own pytest, once for a run of several slots, as `pytest -n` has one.

It configures first, says what each slot is given, replays what the slots report through pytest's hooks, and ends once,
over everything: its reports, artefacts and exit status are those of the whole run.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Set, Tuple

import pytest
from _pytest.junitxml import xml_key

from . import posing
from .channel import Channel, Message
from .ending import Ending, status_of
from .heading import Heading
from .replaying import full_of, report_from, warning_from
from .values import decoded, encoded, is_plain


def run(channel: Channel, config: Dict[str, Any], measuring: Any) -> int:
    """Run the session until the fleet says stop; returns pytest's exit code."""
    plugin = ControllerPlugin(channel, config)
    try:
        status = int(pytest.main(list(config["args"]), plugins=[plugin, plugin.heading]))
    except BaseException as error:
        plugin.ending.broken(error)
        channel.send("ended", **plugin.ending.told(status_of(error)))
        raise
    finally:
        plugin.ending.release()
    channel.send("ended", **plugin.ending.told(status))
    return status


class Gateway:
    """What plugins look at of an execnet gateway."""

    def __init__(self, slot: str) -> None:
        self.id = slot
        self.spec = SimpleNamespace(id=slot, popen=True, chdir=None, python=None, via=None, _spec="popen")

    def _rinfo(self, update: bool = False) -> Any:
        """Where the slot runs: on this machine, with this interpreter."""
        return SimpleNamespace(
            executable=sys.executable,
            version_info=tuple(sys.version_info),
            platform=sys.platform,
            cwd=os.getcwd(),
            pid=os.getpid(),
        )

    def __repr__(self) -> str:
        return "<Gateway id=%r>" % self.id


class Node:
    """A slot as plugins see it in the controller: pytest-xdist's WorkerController."""

    def __init__(self, config: Any, slot: str, *, slots: int, run: str, args: List[str]) -> None:
        self.config = config
        self.gateway = Gateway(slot)
        self.nodemanager = SimpleNamespace(
            roots=[], specs=[self.gateway.spec] * slots, testrunuid=run, config=config, group=[]
        )
        self.workerinput: Dict[str, Any] = {
            "workerid": slot,
            "workercount": slots,
            "testrunuid": run,
            "mainargv": [sys.argv[0], *args],
        }
        self.workerinfo: Dict[str, Any] = {
            "version": sys.version,
            "version_info": tuple(sys.version_info),
            "sysplatform": sys.platform,
            "platform": sys.platform,
            "executable": sys.executable,
            "cwd": os.getcwd(),
            "id": slot,
            "spec": self.gateway.spec,
        }

    def __repr__(self) -> str:
        return "<Node %s>" % self.gateway.id


class DSession:
    """Registered as `dsession`, by which name plugins know that tests run in several processes."""


class ControllerPlugin:
    """The plugin that turns a pytest session into the controller of slots."""

    def __init__(self, channel: Channel, config: Dict[str, Any]) -> None:
        self.ending = Ending(is_quiet=False)
        self.heading = Heading()
        self._channel = channel
        self._config = config
        self._nodes: Dict[str, Node] = {}
        self._properties: Set[Tuple[str, str]] = set()
        self._options: Dict[str, Any] = {}
        self._environ = dict(os.environ)
        self._pytest: Any = None
        self._session: Any = None
        self._is_stop_told = False

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: Any) -> Any:
        """Before any plugin acts on them: options as under `-n`."""
        known = early_config.known_args_namespace
        posing.pose(early_config)
        posing.look_distributed(known, self._config["slots"], dist=_dist_of(known))
        if self._config["measures"] and hasattr(known, "no_cov"):
            known.no_cov = True
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: Any) -> None:
        """The options are known: from here on this is the controller."""
        self._pytest = config
        posing.take_over(config)
        posing.look_distributed(config.option, self._config["slots"], dist=_dist_of(config.option))
        if self._config["measures"] and hasattr(config.option, "no_cov"):
            config.option.no_cov = True
        self._options = dict(vars(config.option))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: Any) -> None:
        """Register our mark; take the place of xdist's session."""
        config.addinivalue_line(
            "markers", "dt(requires, memory, browser, platform, timeout, exclusive): what a test needs"
        )
        config.pluginmanager.register(DSession(), "dsession")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool:
        """Nothing is collected here."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Say what the slots are given, and replay what they tell, until the fleet says stop."""
        self._session = session
        self.ending.has_begun = self.ending.knows_tests = True
        self._channel.send(
            "configured",
            environ=self._changed_variables(),
            options=encoded(self._changed_options()),
            header=self.heading.text,
        )
        while True:
            message = self._channel.receive()
            if message is None or message["op"] == "stop":
                break
            getattr(self, "_on_" + message["op"])(message)
            self._tell_stop(session)
        if not self._config["shows_pytest"]:
            self.ending.watch(session)
        self.ending.leave_as_pytest(session)
        return True

    def _tell_stop(self, session: Any) -> None:
        """A plugin, or `-x`, wants the run to end."""
        reason = session.shouldfail or session.shouldstop
        if reason and not self._is_stop_told:
            self._is_stop_told = True
            self._channel.send("exit", reason=str(reason))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: Any) -> Any:
        """Note the status that the outcomes alone give."""
        self.ending.status_before = int(session.exitstatus)
        yield

    # --- what the fleet says ----------------------------------------------------------------------------------------

    def _on_configure(self, message: Message) -> None:
        """A slot is about to start: plugins may hand it something."""
        slot = message["slot"]
        node = self._nodes[slot] = Node(
            self._pytest, slot, slots=self._config["slots"], run=self._config["run"], args=self._config["args"]
        )
        self._pytest.hook.pytest_configure_node(node=node)
        self._channel.send("node", slot=slot, workerinput=encoded(node.workerinput))

    def _on_ready(self, message: Message) -> None:
        node = self._nodes.get(message["slot"])
        if node is not None:
            self._pytest.hook.pytest_testnodeready(node=node)

    def _on_down(self, message: Message) -> None:
        node = self._nodes.pop(message["slot"], None)
        if node is None:
            return
        if message.get("workeroutput") is not None:
            node.workeroutput = decoded(message["workeroutput"])  # type: ignore[attr-defined]
        self._pytest.hook.pytest_testnodedown(node=node, error=message.get("error") or None)

    def _on_counted(self, message: Message) -> None:
        """So many tests were collected; else pytest would end with NO_TESTS_COLLECTED."""
        self._session.testscollected = message["count"]

    def _on_collect_report(self, message: Message) -> None:
        report = report_from(self._pytest, message["report"])
        self.ending.count(report)
        self._pytest.hook.pytest_collectreport(report=report)

    def _on_case(self, message: Message) -> None:
        """A case has its outcome: what pytest would have told while it ran."""
        hook = self._pytest.hook
        reports = [report_from(self._pytest, data) for data in message.get("reports", ())]
        node = self._nodes.get(message.get("slot", ""))
        location = reports[0].location if reports else (message["id"], None, message["id"])
        hook.pytest_runtest_logstart(nodeid=message["id"], location=location)
        for report in reports:
            if node is not None:
                report.node = node
            self.ending.count(report)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=message["id"], location=location)

    def _on_crash(self, message: Message) -> None:
        """A case took its process with it, or had to be ended: xdist tells such a one as failed."""
        id = message["id"]
        location = (id.partition("::")[0], None, id.partition("::")[2])
        report = pytest.TestReport(id, location, {}, "failed", message["text"], "call")
        node = self._nodes.get(message.get("slot", ""))
        if node is not None:
            report.node = node  # type: ignore[attr-defined]
        self._pytest.hook.pytest_handlecrashitem(crashitem=id, report=report, sched=None)
        self.ending.count(report)
        self._pytest.hook.pytest_runtest_logstart(nodeid=id, location=location)
        self._pytest.hook.pytest_runtest_logreport(report=report)
        self._pytest.hook.pytest_runtest_logfinish(nodeid=id, location=location)

    def _on_warning(self, message: Message) -> None:
        told = message["warning"]
        full = full_of(told)
        self._pytest.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warning_from(told),
                "when": told["when"],
                "nodeid": told.get("id", ""),
                "location": full["location"],
            }
        )

    def _on_property(self, message: Message) -> None:
        """`record_testsuite_property`: each slot's session fixtures tell it, and pytest's document has it once."""
        found = message["name"], message["value"]
        document = self._pytest.stash.get(xml_key, None)
        if document is not None and found not in self._properties:
            self._properties.add(found)
            document.add_global_property(*found)

    # --- what a slot would inherit ----------------------------------------------------------------------------------

    def _changed_options(self) -> Dict[str, Any]:
        """The options that plugins set while they were configured."""
        missing = object()
        return {
            name: value
            for name, value in vars(self._pytest.option).items()
            if is_plain(value) and self._options.get(name, missing) != value
        }

    def _changed_variables(self) -> Dict[str, Optional[str]]:
        """The environment variables that the project set (or, None, removed) while it was configured."""
        changed: Dict[str, Optional[str]] = {
            name: value for name, value in os.environ.items() if self._environ.get(name) != value
        }
        changed.update({name: None for name in self._environ if name not in os.environ})
        changed.pop("PYTEST_CURRENT_TEST", None)
        changed.pop("PYTEST_VERSION", None)
        return changed


def _dist_of(option: Any) -> str:
    """The project's own `--dist`, or how `-n` deals."""
    dist = getattr(option, "dist", "no") or "no"
    return "load" if dist == "no" else str(dist)
