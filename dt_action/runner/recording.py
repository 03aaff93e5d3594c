"""Which functions each test enters, by case, by fixture and outside of tests, at a price that every run can pay."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from .keeping import ALWAYS, BY_CLOSURE, keeps_state, stores_in_its_object
from .observing import CHILD, FOREIGN, IMPORTS, REPORTS, STANDARD, Observer, Places

_getframe = sys._getframe
_get_ident = threading.get_ident
_getpid = os.getpid
_dumps = json.dumps

_active: Optional[Recording] = None

_MAKERS = ("__init__", "__new__", "__copy__", "__deepcopy__", "__setstate__")
_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_MULTIPROCESSING = ("popen_spawn_posix.py", "popen_forkserver.py", "popen_spawn_win32.py")


def start(config: Dict[str, Any]) -> None:
    """
    Record from here on. `config` has `folder`, where files of what was seen are left, and the repository's `top`.

    Where Python is older than 3.12 and `always` is not set, only what is opened, listed and started is recorded.
    """
    global _active  # noqa: PLW0603 - one for the process
    _active = Recording(config)


def plugins() -> List[Any]:
    """What pytest has to load beside the slot itself."""
    if _active is None:
        return []
    from .recording_plugin import RecordingPlugin

    return [RecordingPlugin(_active)]


class Recording:
    """
    Contexts and what was entered in each.

    Code that runs while a case runs belongs to the case; in a fixture of wider scope, also to the fixture, which all
    its users share. What runs elsewhere (imports, collection, hooks), or within a function that keeps what it made for
    later callers (a cache, a module-level variable), is outside of tests: a later test may depend on it unseen.
    """

    def __init__(self, config: Dict[str, Any]) -> None:
        self._folder = config["folder"]
        self._places = Places(config["top"])
        self._pid = _getpid()
        self._file = -1
        self._main = _get_ident()
        self._outside: Set[int] = set()
        self._told_outside: Set[int] = set()
        self._traits: Set[str] = set()
        self._used: Set[str] = set()
        self._outside_traits: Set[str] = set()
        self._contexts: Tuple[Set[int], ...] = (self._outside,)
        self._stack: Tuple[Set[int], ...] = (
            self._contexts
        )  # and the outside, within a function that keeps what it makes
        self._case = ""
        self._fixture = ""
        self._numbers: Dict[int, int] = {}
        self._units: List[Tuple[str, str, int, str]] = []
        self._told_units = 0
        self._kept: List[Any] = []  # codes are known by their identity: they must stay
        self._caching: Set[int] = set()
        self._storing: Set[int] = set()
        self._closures: Set[int] = set()
        self._by_name: Dict[Tuple[str, str], int] = {}
        self._shared_values: Set[int] = set()
        self._extent: Optional[Tuple[int, Any, int]] = None
        self._cached_codes: Set[int] = set()
        self._threads: Dict[int, Tuple[Set[int], ...]] = {}
        self._inputs: Set[Tuple[str, str, str, str]] = set()
        self._lines: List[str] = []
        self._watch_caches()
        self._source: Any = None
        if hasattr(sys, "monitoring"):
            self._source = _Monitoring(self)
        elif config.get("always"):
            self._source = _Tracing(self)
        self._observer = Observer(self._places, self)

    # --- contexts -------------------------------------------------------------------------------------------------

    def begin_case(self, name: str) -> None:
        """A case begins."""
        self._case, self._fixture, self._traits, self._used = name, "", set(), set()
        self._switch((set(),))

    def end_case(self, fixtures: List[str]) -> None:
        """The case ends; it used these fixtures of wider scope."""
        seen, case = self._stack[0], self._case
        self._case, self._fixture = "", ""
        self._switch((self._outside,))
        fields = {
            "k": "case",
            "id": case,
            "u": sorted(seen),
            "x": sorted(self._used.union(fixtures)),
            "t": sorted(self._traits),
        }
        self._write(fields)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What runs here belongs to no test, whichever runs."""
        before, case = self._contexts, self._case
        if case:
            self._switch((*before, self._outside))
        try:
            yield
        finally:
            if case:
                self._switch(before)

    @contextmanager
    def fixture(self, key: str) -> Iterator[None]:
        """What runs here belongs to all users of a fixture."""
        before, outer = self._contexts, self._fixture
        seen: Set[int] = set()
        traits, self._traits = self._traits, set()
        used, self._used = self._used, set()
        self._fixture = key
        self._switch((*before, seen))
        try:
            yield
        finally:
            self._fixture = outer
            told = {"k": "fixture", "id": key, "u": sorted(seen), "x": sorted(self._used), "t": sorted(self._traits)}
            self._lines.append(_dumps(told))
            self._traits |= traits
            self._used |= used
            self._switch(before)

    def note_fixture(self, key: str) -> None:
        """A fixture of wider scope is used, made already or not."""
        self._used.add(key)

    def _switch(self, stack: Tuple[Set[int], ...]) -> None:
        self._stack = self._contexts = stack
        self._extent = None
        if self._source is not None:
            self._source.arm()

    # --- what is seen ---------------------------------------------------------------------------------------------

    def discover(self, code: Any, frame: Any) -> bool:
        """A code object runs for the first time. True where it is the project's, to be told of again."""
        owner = self._places.owner(code.co_filename)
        if owner in (STANDARD, IMPORTS, FOREIGN):
            return self._discover_foreign(code, frame)
        if owner == REPORTS:
            return False
        self._kept.append(code)
        number = self._numbers[id(code)] = len(self._units)
        name = code.co_name if code.co_flags & inspect.CO_OPTIMIZED or code.co_name == "<module>" else "<class>"
        self._units.append((owner, getattr(code, "co_qualname", ""), code.co_firstlineno, name))
        self._by_name[self._units[number][:2]] = number
        keeps = keeps_state(code, frame)
        if code.co_name == "<module>" or id(code) in self._cached_codes or keeps == ALWAYS:
            self._caching.add(number)
        elif keeps == BY_CLOSURE:
            self._closures.add(number)
        elif stores_in_its_object(code, frame):
            self._storing.add(number)
        self.enter(code, frame)
        return True

    def _discover_foreign(self, code: Any, frame: Any) -> bool:
        if id(code) in self._cached_codes or code.co_filename.endswith(_MULTIPROCESSING):
            self._kept.append(code)
            number = self._numbers[id(code)] = len(self._units)
            self._units.append(("", code.co_name, 0, code.co_filename))
            self._caching.add(number)
            self.enter(code, frame)
            return True
        return False

    def enter(self, code: Any, frame: Any) -> None:
        """A function of the project is entered, for the first time since contexts changed."""
        number = self._numbers[id(code)]
        if self._extent is not None and self._has_left_extent(frame):
            self._switch(self._contexts)
        for seen in self._stack:
            seen.add(number)
        ident = _get_ident()
        if ident != self._main:
            for seen in self._threads.setdefault(ident, self._stack):
                seen.add(number)
        if self._case and self._extent is None and self._is_kept_for_others(number, frame):
            self._enter_extent(code, frame)
            self._outside.add(number)
        if not self._units[number][0] and code.co_filename.endswith(_MULTIPROCESSING):
            self.note_trait(CHILD)

    def _is_kept_for_others(self, number: int, frame: Any) -> bool:
        if number in self._caching or (number in self._storing and self._is_old(frame)):
            return True
        return number in self._closures and self._is_old_closure(number)

    def _is_old_closure(self, number: int) -> bool:
        """True where the call that made a function was not in this context, as far as that can be told."""
        owner, name = self._units[number][:2]
        outer = self._by_name.get((owner, name.rpartition(".<locals>.")[0]))
        return outer is None or outer not in self._stack[0]

    def _enter_extent(self, code: Any, frame: Any) -> None:
        contexts = self._contexts
        self._switch((*contexts, self._outside))
        self._contexts = contexts
        self._extent = (id(frame), code, _get_ident())

    def _has_left_extent(self, frame: Any) -> bool:
        assert self._extent is not None
        mark, code, ident = self._extent
        if _get_ident() != ident:
            return False
        while frame is not None:
            if id(frame) == mark and frame.f_code is code:
                return False
            frame = frame.f_back
        return True

    def note_value(self, value: Any) -> None:
        """What a fixture of wider scope made; it is known by its identity, as long as it lives."""
        self._shared_values.add(id(value))

    def forget_value(self, value: Any) -> None:
        """The fixture's end has come, and another object may lie there later."""
        self._shared_values.discard(id(value))

    def _is_old(self, frame: Any) -> bool:
        """True where a method stores in an object that was not made in this context, as far as that can be told."""
        names = frame.f_code.co_varnames
        instance = frame.f_locals.get(names[0]) if names else None
        makers = (getattr(getattr(type(instance), name, None), "__code__", None) for name in _MAKERS)
        numbers = {self._numbers[id(code)] for code in makers if id(code) in self._numbers}
        if numbers:
            return numbers.isdisjoint(self._stack[0])
        if id(instance) in self._shared_values:
            return True
        home = sys.modules.get(getattr(type(instance), "__module__", ""))
        held = [*frame.f_globals.values(), *(vars(home).values() if home is not None else ())]
        return any(value is instance for value in held)

    def note_input(self, path: str, how: str, by: str) -> None:
        """A file or folder below the top was opened or listed by code of `by`."""
        is_own = self._case and self._extent is None and _is_test_side(by)
        key = (path, how, by, (self._fixture or self._case) if is_own else "")
        if key not in self._inputs:
            self._inputs.add(key)
            self._lines.append(_dumps({"k": "input", "p": path, "h": how, "by": by, "c": key[3]}))

    def note_collected(self, cases: List[str], *, are_left_out: bool = False) -> None:
        """These cases exist; some are left out by the run's own arguments."""
        self._lines.append(_dumps({"k": "left_out" if are_left_out else "collected", "c": cases}))

    def note_trait(self, trait: str) -> None:
        """Something happens that cannot be followed."""
        if self._case:
            self._traits.add(trait)
        elif trait not in self._outside_traits:
            self._outside_traits.add(trait)
            self._lines.append(_dumps({"k": "outside", "u": [], "t": [trait]}))

    def _watch_caches(self) -> None:
        """Note of which functions functools.lru_cache keeps the results: its own wrapper hides them."""
        original: Any = functools.lru_cache

        def note(function: Any) -> None:
            code = getattr(function, "__code__", None)
            if code is not None:
                self._cached_codes.add(id(code))
                self._kept.append(code)

        @functools.wraps(original)
        def lru_cache(*args: Any, **options: Any) -> Any:
            made = original(*args, **options)
            if args and callable(args[0]):
                note(args[0])
                return made

            def decorate(function: Any) -> Any:
                note(function)
                return made(function)

            return decorate

        functools.lru_cache = lru_cache

    # --- what is written ------------------------------------------------------------------------------------------

    def _write(self, fields: Dict[str, Any]) -> None:
        """Append to this process's own file: a process that is killed loses its last case alone."""
        if _getpid() != self._pid or self._file < 0:  # a forked process has a file of its own
            self._pid = _getpid()
            name = os.path.join(self._folder, "%d-%s.jsonl" % (self._pid, os.urandom(4).hex()))
            self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._told_units = 0
            self._told_outside = set()
        units, self._told_units = self._units[self._told_units :], len(self._units)
        outside = self._outside - self._told_outside
        self._told_outside |= outside
        lines = [_dumps({"k": "units", "u": units})] if units else []
        if outside:
            lines.append(_dumps({"k": "outside", "u": sorted(outside), "t": []}))
        lines += [*self._lines, _dumps(fields), ""]
        self._lines.clear()
        os.write(self._file, "\n".join(lines).encode("utf-8", "backslashreplace"))

    def finish(self) -> None:
        """Write what ran after the last case."""
        self._write({"k": "end"})
        self._observer.stop()


class _Monitoring:
    """
    sys.monitoring, Python 3.12 and later: a function tells that it starts once in each context.

    Two tools: one hears every code object once in its life, the other is armed for the project's alone.
    """

    def __init__(self, recording: Recording) -> None:
        self._monitoring: Any = getattr(sys, "monitoring")
        free = [tool for tool in (4, 3, 5, 2) if self._monitoring.get_tool(tool) is None]
        self._scout, self._tool = free[0], free[1]
        events = self._monitoring.events
        self._start, self._resume = events.PY_START, events.PY_RESUME
        self._disable = self._monitoring.DISABLE
        self._set_local = self._monitoring.set_local_events
        self._recording = recording
        self._discover, self._enter = recording.discover, recording.enter
        self._fired: List[Any] = []
        for tool, callback in ((self._scout, self._on_first), (self._tool, self._on_start)):
            self._monitoring.use_tool_id(tool, "dt")
            self._monitoring.register_callback(tool, self._start, callback)
        self._monitoring.register_callback(self._tool, self._resume, self._on_start)
        self._monitoring.set_events(self._scout, self._start)

    def arm(self) -> None:
        """Contexts changed: hear every function again."""
        fired, self._fired = self._fired, []
        tool, start, both, set_local = self._tool, self._start, self._start | self._resume, self._set_local
        for code in fired:  # a generator may be started by one test and go on in another
            set_local(tool, code, both if code.co_flags & _RESUMED else start)

    def _on_first(self, code: Any, _: int) -> Any:
        if self._discover(code, _getframe(1)):
            self._fired.append(code)
        return self._disable

    def _on_start(self, code: Any, _: int) -> None:
        self._set_local(self._tool, code, 0)
        self._enter(code, _getframe(1))
        self._fired.append(code)


class _Tracing:
    """sys.settrace before Python 3.12: every call is heard, and most are passed over."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._over: Set[int] = set()
        self._foreign: Set[int] = set()
        self._kept: List[Any] = []
        self._known: Set[int] = set()
        sys.settrace(self._trace)
        threading.settrace(self._trace)

    def arm(self) -> None:
        """Contexts changed: hear every function again."""
        self._over.clear()

    def _trace(self, frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        key = id(code)
        if key in self._over or key in self._foreign:
            return
        if key in self._known:
            self._recording.enter(code, frame)
        elif self._recording.discover(code, frame):
            self._known.add(key)
        else:
            self._foreign.add(key)
            self._kept.append(code)
            return
        self._over.add(key)


def _is_test_side(path: str) -> bool:
    steps = path.split("/")
    name = steps[-1]
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    return "tests" in steps[:-1] or "test" in steps[:-1]
