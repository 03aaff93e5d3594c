"""Coverage of a slot's process, measured by the coverage.py of the tests' own environment."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Any, Dict, List

_perf_counter = time.perf_counter

LEAST_INTERVAL_S = 0.5
TYPE_CONTEXT = "type:"
"""A context of this beginning holds what the tests of a type ran; one without a name, what ran outside of tests."""

COST_SHARE = 100
"""Saving between two tests may take at most a hundredth of the time."""


class Measuring:
    """
    Measures as `coverage run` does, from here on; `finish` writes the data.

    Now and then the data is saved between two tests, so that a process that is killed loses little of it. `config`
    has `data_file`, the beginning of the path of data files, and `contexts`: whether to note which test ran a line.
    """

    def __init__(self, config: Dict[str, Any]) -> None:
        import coverage

        os.environ["COVERAGE_RUN"] = "true"  # as `coverage run` has it
        self._coverage = coverage.Coverage(data_file=config["data_file"], data_suffix=True)
        self._contexts = bool(config.get("contexts"))
        self._types: Dict[str, str] = {}
        self._type = ""
        self._saved_at = _perf_counter()
        self._interval_s = 0.0  # first after the first test: what was imported until then is most of the lines
        self._leave_ourselves_out()
        self._direct_children(config["data_file"])
        if self._contexts:
            self._coverage.set_option("run:core", "ctrace")  # sys.monitoring cannot tell contexts apart
        self._coverage.start()

    def plugins(self) -> List[Any]:
        """What pytest has to load beside the slot itself."""
        return [_BetweenTests(self)]

    def note_type(self, file: str, test_type: str) -> None:
        """The tests of a file are of this type, and the run has tests of several: tell apart what each type runs."""
        self._types[file] = test_type

    def begin_case(self, id: str) -> None:
        """A test begins."""
        if self._contexts:
            self._coverage.switch_context(id)
        elif self._types:
            self._begin_type(self._types.get(id.partition("::")[0], ""))

    def _begin_type(self, test_type: str) -> None:
        """Tests of one type follow each other for most of the time, so that this costs little."""
        if test_type == self._type:
            return
        self._type = test_type
        with warnings.catch_warnings():  # of sys.monitoring, which tells a line once: it is made to tell it again
            warnings.simplefilter("ignore")
            self._coverage.switch_context(TYPE_CONTEXT + test_type if test_type else "")
        monitoring: Any = getattr(sys, "monitoring", None)
        if monitoring is not None:
            monitoring.restart_events()

    def end_case(self) -> None:
        """A test has ended, its teardown included."""
        if self._contexts:
            self._coverage.switch_context("")
        now = _perf_counter()
        if now - self._saved_at < self._interval_s:
            return
        try:
            self._save()
        except Exception:  # a disc that is full, say: the tests count more; the end of the run will tell
            self._interval_s = float("inf")
            return
        self._saved_at = _perf_counter()
        self._interval_s = max(LEAST_INTERVAL_S, COST_SHARE * (self._saved_at - now))

    def finish(self) -> None:
        """Stop and write."""
        self._coverage.stop()
        self._save()

    def _save(self) -> None:
        with warnings.catch_warnings():  # a project's filters may make errors of coverage.py's warnings
            warnings.simplefilter("ignore")
            self._coverage.save()

    def _leave_ourselves_out(self) -> None:
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "*")
        omitted: Any = self._coverage.get_option("run:omit") or []
        self._coverage.set_option("run:omit", [*omitted, here])

    def _direct_children(self, data_file: str) -> None:
        """Children that read the project's configuration again would write their data beside it."""
        concurrency: Any = self._coverage.get_option("run:concurrency") or []
        if "multiprocessing" in concurrency or "COVERAGE_PROCESS_START" in os.environ:
            os.environ["COVERAGE_FILE"] = data_file


class _BetweenTests:
    """A plugin that tells where tests begin and end."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """pytest's first hook of a test."""
        self._measuring.begin_case(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        """pytest's last hook of a test."""
        self._measuring.end_case()


def start(config: Dict[str, Any]) -> Measuring:
    """Start to measure. Ends the process with a sentence where that is not possible."""
    try:
        return Measuring(config)
    except ImportError as error:
        sys.exit(f"coverage cannot be imported: {error}")
    except Exception as error:  # coverage.py's own errors: a configuration that it cannot use
        sys.exit(f"coverage cannot be measured: {type(error).__name__}: {error}")
