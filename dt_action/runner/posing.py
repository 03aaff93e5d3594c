"""
Standing in the place of pytest-xdist, whose protocol is what plugins know of several processes.

Where it is installed, its options and fixtures stay and its own session does not start; where it is not, its hooks
exist all the same, so that a plugin that hands something to its workers can do so.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterator

import pytest

NAME = "xdist"


class Hooks:
    """The hooks that pytest-xdist declares (its documentation, "Hooks"), for plugins that implement them."""

    @staticmethod
    def pytest_xdist_setupnodes(config: Any, specs: Any) -> None:
        """Before the nodes are made."""

    @staticmethod
    def pytest_xdist_newgateway(gateway: Any) -> None:
        """A gateway was made."""

    @staticmethod
    def pytest_configure_node(node: Any) -> None:
        """A node is about to start: `node.workerinput` may be filled."""

    @staticmethod
    def pytest_testnodeready(node: Any) -> None:
        """A node is ready."""

    @staticmethod
    def pytest_testnodedown(node: Any, error: Any) -> None:
        """A node has ended, or died of `error`."""

    @staticmethod
    def pytest_xdist_node_collection_finished(node: Any, ids: Any) -> None:
        """A node has collected."""

    @staticmethod
    @pytest.hookspec(firstresult=True)
    def pytest_xdist_make_scheduler(config: Any, log: Any) -> None:
        """A scheduler of the project's own: not asked, since dt deals the tests out."""

    @staticmethod
    @pytest.hookspec(firstresult=True)
    def pytest_xdist_auto_num_workers(config: Any) -> None:
        """How many processes `-n auto` means."""

    @staticmethod
    @pytest.hookspec(firstresult=True)
    def pytest_handlecrashitem(crashitem: Any, report: Any, sched: Any) -> None:
        """A test killed its process."""


class Standin:
    """Registered by xdist's name, where it is not there itself, for those who ask whether it is."""


def pose(config: Any) -> None:
    """Before any conftest is loaded: let xdist's hooks exist, and be found by its name, unless it was switched off."""
    manager = config.pluginmanager
    if manager.hasplugin(NAME) or manager.is_blocked(NAME):
        return
    manager.add_hookspecs(Hooks)
    manager.register(Standin(), NAME)


def take_over(config: Any) -> None:
    """
    Before plugins are configured: xdist's own session must not start, only its marks be known.

    That is before `pytest_configure`, whose implementations pytest gathers before it calls the first.
    """
    if not config.pluginmanager.hasplugin(NAME):
        return
    config.addinivalue_line(
        "markers", "xdist_group: specify group for tests should run in same session, in relation to one another."
    )
    plugin = config.pluginmanager.get_plugin("xdist") or config.pluginmanager.get_plugin("xdist.plugin")
    caller = config.pluginmanager.hook.pytest_configure
    if any(implementation.plugin is plugin for implementation in caller.get_hookimpls()):
        caller._remove_plugin(plugin)


def look_distributed(option: Any, slots: int, *, dist: str) -> None:
    """Options as `pytest -n SLOTS` has them where it decides: in the controller, and while plugins load everywhere."""
    option.numprocesses = slots
    option.dist = dist
    option.tx = ["popen"] * slots


_OF_THE_CONTROLLER = {"clean_alluredir": False}
"""Options that would clear away, in a process that starts later, what others wrote: the controller did it, first."""


def leave_to_controller(option: Any) -> None:
    """Switch off what a controller session has done before any test ran."""
    for name, value in _OF_THE_CONTROLLER.items():
        if hasattr(option, name):
            setattr(option, name, value)


_OF_EACH_PROCESS = {"allure_report_dir": None, "rp_enabled": False, "log_file": os.devnull}
"""Options by which each process writes, or sends, what it ran: allure, ReportPortal, pytest's log file."""


def leave_no_trace(option: Any) -> None:
    """Switch off what would tell of tests that run once more, to confirm what was told already."""
    for name, value in _OF_EACH_PROCESS.items():
        if hasattr(option, name):
            setattr(option, name, value)


class SharedLogFile:
    """
    Lets every slot add to the project's log file, which the controller session has emptied.

    One that a conftest names for each worker by itself stays that worker's. Registered before any conftest, so that
    its hook comes after theirs, and before that of pytest's logging, which comes last.
    """

    def __init__(self) -> None:
        self._path = ""

    def note(self, config: Any) -> None:
        """Before plugins are configured: the file that is the project's own."""
        self._path = _log_file(config)

    def pytest_configure(self, config: Any) -> None:
        """Add to it rather than empty it again, as pytest would."""
        if self._path and _log_file(config) == self._path and hasattr(config.option, "log_file_mode"):
            config.option.log_file_mode = "a"


def _log_file(config: Any) -> str:
    return str(config.option.log_file or config.getini("log_file") or "") if hasattr(config.option, "log_file") else ""


def look_like_a_worker(option: Any) -> None:
    """Options as xdist sets them in a worker, before plugins are configured."""
    option.loadgroup = getattr(option, "dist", "no") == "loadgroup"
    option.looponfail = False
    option.usepdb = False
    option.dist = "no"
    option.distload = False
    option.numprocesses = None
    option.maxprocesses = None


@contextlib.contextmanager
def without_variables() -> Iterator[None]:
    """While tests run: hide the variables of a worker, which programs that they start inherit and may heed."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_XDIST_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
