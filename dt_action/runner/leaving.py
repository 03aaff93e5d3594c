"""
What tests leave behind: files that they put into $DT_ARTIFACTS, and the folders of those that failed.

The files of a test are sent over the line before its outcome is told, so that they come from wherever it ran. Where its
process dies, the host finds them in the same folder.
"""

from __future__ import annotations

import os
import pathlib
import types
from typing import Any, Dict, Iterator

import pytest

from .channel import Channel
from .left_files import clear, messages_of

VARIABLE = "DT_ARTIFACTS"
FOLDER = "artifacts"
"""Below the folder for temporary files, with a folder for each slot; `hosts.leftovers` looks there, too."""

_FIXTURES = (("tmp_path", "tmp_path"), ("output_path", "playwright"))
"""
Fixtures whose value is a folder of the test's own, and what that is called among its artifacts.

`output_path` is pytest-playwright's, for screenshots, videos and traces.
"""


class Leavings:
    """
    A plugin that gives tests a folder, the same one for all of a process, and empties it after each.

    At most `artifact_bytes` of the configuration are sent of one test; with none, nothing is.
    """

    def __init__(self, channel: Channel, config: Dict[str, Any]) -> None:
        self._channel = channel
        self._folder = os.path.join(os.path.abspath(config["basetemp"]), FOLDER, config["slot"])
        self._limit: int = config["artifact_bytes"]
        self._found: Dict[str, str] = {}
        if self._limit:
            clear(self._folder)
            os.environ[VARIABLE] = self._folder

    def fixtures(self) -> types.ModuleType:
        """A plugin of its own with what tests may ask for: fixtures of a whole session must not be methods."""
        channel, limit, folder = self._channel, self._limit, self._folder

        @pytest.fixture
        def dt_artifacts(request: Any) -> pathlib.Path:
            """A folder for files that are kept with the test: screenshots, logs, traces."""
            return pathlib.Path(folder if limit else request.getfixturevalue("tmp_path"))

        @pytest.fixture(scope="session")
        def record_testsuite_property(record_testsuite_property: Any) -> Any:
            """pytest's own, which only listens where pytest writes a JUnit document itself."""

            def record(name: str, value: object) -> None:
                channel.send("property", name=str(name)[:1000], value=str(value)[:10000])
                record_testsuite_property(name, value)

            return record

        plugin = types.ModuleType("dt_fixtures")
        vars(plugin).update(dt_artifacts=dt_artifacts, record_testsuite_property=record_testsuite_property)
        return plugin

    # --- pytest's hooks ---------------------------------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[None]:
        """Where the folders of a failing test are, while it still has them."""
        yield
        if not self._limit or call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return
        for fixture, name in _FIXTURES:
            value = (getattr(item, "funcargs", None) or {}).get(fixture)
            if isinstance(value, (str, os.PathLike)) and os.path.isdir(value):
                self._found[name] = os.fspath(value)

    # --- for the slot -----------------------------------------------------------------------------------------------

    def send(self, case: str, tries: int, *, is_failing: bool) -> None:
        """Send what a test left, and clear the folder for the next one."""
        found, self._found = self._found, {}
        if not self._limit or not self._channel.is_ours:
            return
        is_used = _holds_something(self._folder)
        roots = [("", self._folder)] if is_used else []
        if is_failing:
            roots += [*found.items()]
        for fields in messages_of(roots, self._limit) if roots else ():
            self._channel.send("artifact", id=case, tries=tries, **fields)
        if is_used:
            clear(self._folder)


def _holds_something(folder: str) -> bool:
    """Also where the folder itself is gone, so that it is made again."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return True
