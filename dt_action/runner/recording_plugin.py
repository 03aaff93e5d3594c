"""Tells a recording where cases, fixtures of wider scope, and collection begin and end."""

from __future__ import annotations

import functools
from typing import Any, Iterator, List, Set

import pytest
from _pytest import fixtures


class RecordingPlugin:
    """The hooks around what is to be told apart."""

    def __init__(self, recording: Any) -> None:
        self._recording = recording
        self._wrap_fixtures()

    def _wrap_fixtures(self) -> None:
        """
        Who uses a fixture, also where it is made already, and what it does at its end: pytest has no hooks for these.

        `FixtureDef.execute` is called for every use, `finish` before each teardown.
        """
        kind: Any = fixtures.FixtureDef
        execute, finish = kind.execute, kind.finish
        recording = self._recording

        @functools.wraps(execute)
        def used(definition: Any, request: Any) -> Any:
            key = fixture_key(definition)
            if key:
                recording.note_fixture(key)
            return execute(definition, request)

        @functools.wraps(finish)
        def finished(definition: Any, request: Any) -> Any:
            key = fixture_key(definition)
            made = getattr(definition, "cached_result", None)
            if not key or made is None:
                return finish(definition, request)
            recording.forget_value(made[0])
            with recording.fixture(key):
                return finish(definition, request)

        kind.execute, kind.finish = used, finished

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """A case, its teardown included."""
        self._recording.begin_case(item.nodeid, getattr(getattr(item, "module", None), "__dict__", None))
        try:
            yield
        finally:
            self._recording.end_case(_fixtures_of(item))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """A fixture; those of one case need not be told apart from it."""
        key = fixture_key(fixturedef)
        if not key:
            yield
            return
        with self._recording.fixture(key):
            yield
        made = getattr(fixturedef, "cached_result", None)
        if made is not None:
            self._recording.note_value(made[0], key)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Iterator[None]:
        """A file may be collected in the midst of another one's last case."""
        with self._recording.outside():
            yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: List[Any]) -> Iterator[None]:
        """The end of collecting; what is left are the cases that there are."""
        with self._recording.outside():
            yield
        self._recording.note_collected([item.nodeid for item in items])

    def pytest_deselected(self, items: List[Any]) -> None:
        """Cases that there are, too, but for another run."""
        self._recording.note_collected([item.nodeid for item in items], are_left_out=True)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_unconfigure(self) -> Iterator[None]:
        """The end of the session."""
        yield
        self._recording.finish()


def fixture_key(definition: Any) -> str:
    """The name of a fixture of wider scope than one case; empty for others."""
    if getattr(definition, "scope", "function") == "function":
        return ""
    return "%s::%s" % (getattr(definition, "baseid", ""), getattr(definition, "argname", ""))


def _fixtures_of(item: Any) -> List[str]:
    """The fixtures of wider scope that a case names, those of its class and module included."""
    keys: Set[str] = set()
    info = getattr(item, "_fixtureinfo", None)
    for definitions in getattr(info, "name2fixturedefs", {}).values():
        keys.update(map(fixture_key, definitions))
    keys.discard("")
    return sorted(keys)
