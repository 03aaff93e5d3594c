"""Which functions each test enters, by case, by fixture and outside of tests, at a price that every run can pay."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import threading
import weakref
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from .extents import Extent, Keeper, is_kept_by_class, of_cache, of_module
from .keeping import stores_of
from .lasting import EVERYBODY, Lasting, Place, identity
from .observing import CHILD, FOREIGN, IMPORTS, REPORTS, STANDARD, Observer, Places
from .sources import Monitoring, Tracing

_get_ident = threading.get_ident
_getpid = os.getpid
_dumps = json.dumps

_active: Optional[Recording] = None

_MULTIPROCESSING = ("popen_spawn_posix.py", "popen_forkserver.py", "popen_spawn_win32.py")
_MOST_EXTENTS = 4
"""In one test, so many calls of a function that keeps something are followed; what more store is laid to all of it."""

_MOST_OF_CACHES = 32
"""The same where something else keeps what the function makes, whose stores are not heard."""


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
    its users share. What runs elsewhere (imports, collection, hooks), or within a call that keeps what it made for
    later tests (a cache, a module-level variable), is outside of tests: a later test may depend on it unseen.
    """

    def __init__(self, config: Dict[str, Any]) -> None:
        self._folder = config["folder"]
        self._places = Places(config["top"])
        self._pid = _getpid()
        self._file = -1
        self._main = _get_ident()
        self._case = self._fixture = ""
        self._outside: Set[int] = set()
        self._told_outside: Set[int] = set()
        self._traits: Set[str] = set()
        self._used: Set[str] = set()
        self._outside_traits: Set[str] = set()
        self._own: Set[int] = set()  # what the case itself entered, not a fixture of wider scope
        self._of_fixtures: Set[int] = set()
        self._fixture_units: Dict[str, Set[int]] = {}
        self._contexts: Tuple[Set[int], ...] = (self._outside,)
        self._stack: Tuple[Set[int], ...] = self._contexts  # and the seen of open extents
        self._extents: List[Extent] = []
        self._ended: List[Extent] = []
        self._last_stores: Dict[Tuple[int, str], Tuple[Place, int]] = {}
        self._calls: Dict[int, int] = {}
        self._threads: Dict[int, Tuple[Set[int], ...]] = {}
        self._numbers: Dict[int, int] = {}
        self._units: List[Tuple[str, str, int, str]] = []
        self._told_units = 0
        self._by_name: Dict[Tuple[str, str], int] = {}
        self._kept_codes: List[Any] = []  # codes are known by their identity: they must stay
        self._keepers: Dict[int, Keeper] = {}
        self._settled: Set[int] = set()  # keepers of which there is nothing more to learn
        self._caches: Dict[int, Callable[[], Any]] = {}
        self._inputs: Set[Tuple[str, str, str, str]] = set()
        self._lines: List[str] = []
        self._lasting = Lasting(self._ran_here, self._ran_outer, self._is_ours)
        self._watch_caches()
        self._source: Any = None
        if hasattr(sys, "monitoring"):
            self._source = Monitoring(self)
        elif config.get("always"):
            self._source = Tracing(self)
        self._observer = Observer(self._places, self)

    # --- contexts -------------------------------------------------------------------------------------------------

    def begin_case(self, name: str, variables: Any = None) -> None:
        """A case begins; its module has these variables."""
        self._case, self._fixture, self._traits, self._used = name, "", set(), set()
        self._own, self._of_fixtures = set(), set()
        self._calls.clear()
        self._lasting.begin_case(variables)
        self._switch((set(),))

    def end_case(self, fixtures: List[str]) -> None:
        """The case ends; it used these fixtures of wider scope."""
        seen, case = self._contexts[0], self._case
        self._close_extents(0)
        for extent in self._ended:
            self._tell_kept(extent)
        for place, number in self._last_stores.values():
            if not _lasts(place):  # what puts something back: had it not, others would find the difference
                self._tell_found((place,), {number})
        self._ended.clear()
        self._last_stores.clear()
        if self._source is not None:
            self._source.rest()
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
            self._fixture_units.setdefault(key, set()).update(seen)
            self._of_fixtures |= seen
            self._lasting.ask_again()
            self._switch(before)

    def note_fixture(self, key: str) -> None:
        """A fixture of wider scope is used, made already or not."""
        self._used.add(key)
        self._of_fixtures |= self._fixture_units.get(key, set())
        self._lasting.ask_again()

    def note_value(self, value: Any, fixture: str) -> None:
        """What a fixture of wider scope made."""
        self._lasting.share(value, fixture)

    def forget_value(self, value: Any) -> None:
        """The fixture's end has come."""
        self._lasting.forget(value)

    def _switch(self, contexts: Tuple[Set[int], ...]) -> None:
        self._close_extents(0)
        self._stack = self._contexts = contexts
        if self._source is not None:
            self._source.arm()

    # --- what is entered ------------------------------------------------------------------------------------------

    def discover(self, code: Any, frame: Any) -> bool:
        """A code object runs for the first time. True where it is the project's, to be told of again."""
        owner = self._places.owner(code.co_filename)
        if owner == REPORTS:
            return False
        if code.co_filename.startswith("<") and self._is_ours(frame.f_globals.get("__file__") or ""):
            owner = self._places.owner(frame.f_globals["__file__"])  # a dataclass's methods, say
        cache = self._caches.get(identity(code))
        if owner in (STANDARD, IMPORTS, FOREIGN):
            if cache is None and not code.co_filename.endswith(_MULTIPROCESSING):
                return False
            unit = ("", code.co_name, 0, code.co_filename)
            keeper = Keeper(cache=cache) if cache is not None else None
        else:
            name = code.co_name if code.co_flags & inspect.CO_OPTIMIZED or code.co_name == "<module>" else "<class>"
            unit = (owner, getattr(code, "co_qualname", ""), code.co_firstlineno, name)
            keeper = self._keeper(code, frame, cache)
        self._kept_codes.append(code)
        number = self._numbers[identity(code)] = len(self._units)
        self._units.append(unit)
        if unit[1]:
            self._by_name[frame.f_globals.get("__name__", ""), unit[1]] = number
        if keeper is not None:
            self._keepers[number] = keeper
        return True

    def _keeper(self, code: Any, frame: Any, cache: Optional[Callable[[], Any]]) -> Optional[Keeper]:
        if code.co_name == "<module>":
            return Keeper(is_module=True)
        if not code.co_flags & inspect.CO_OPTIMIZED:
            return None
        stores = stores_of(code)
        is_descriptor = is_kept_by_class(code, frame)
        return Keeper(stores, cache, is_descriptor=is_descriptor) if stores or cache or is_descriptor else None

    def needs_frame(self, code: Any) -> bool:
        """True where `enter` looks at the frame of a call."""
        return bool(self._extents) or self._numbers[identity(code)] in self._keepers

    def enter(self, code: Any, frame: Any) -> bool:
        """A function of the project is entered. True where it need not be told again until contexts change."""
        number = self._numbers[identity(code)]
        if self._extents:
            self._leave_extents(frame)
        for seen in self._stack:
            seen.add(number)
        if not self._fixture:
            self._own.add(number)
        ident = _get_ident()
        if ident != self._main:
            for seen in self._threads.setdefault(ident, self._stack):
                seen.add(number)
        if not self._units[number][0] and code.co_filename.endswith(_MULTIPROCESSING):
            self.note_trait(CHILD)
        keeper = self._keepers.get(number) if self._case else None
        return keeper is None or self._keep(number, keeper, code, frame)

    # --- what is kept ---------------------------------------------------------------------------------------------

    def _keep(self, number: int, keeper: Keeper, code: Any, frame: Any) -> bool:
        """A call of a keeper begins. True where no other one in this test is of interest."""
        calls = self._calls[number] = self._calls.get(number, 0) + 1
        stores = keeper.stores
        is_last = calls >= (_MOST_EXTENTS if stores is not None else _MOST_OF_CACHES)
        if number in self._settled or calls > _MOST_OF_CACHES:
            return True
        extent = Extent(number, keeper, code, frame)
        self._add_places(extent, keeper, code, frame)
        is_computed = bool(extent.places)
        is_watched = is_last and stores is not None  # the calls that follow are heard by what they store alone
        for store in stores.by_offset.values() if stores is not None else ():
            if self._lasting.place(store, frame) is not None:
                is_watched = True
                is_computed |= store.is_computed and stores is not None and stores.is_ahead(frame.f_lasti)
        if is_watched:
            self._source.watch(code, frame)
        if is_last and extent.places:
            extent.seen = self._contexts[0]  # all that this test enters, also later
            self._ended.append(extent)
        elif is_computed and (extent.places or stores is None or stores.has_calls_before):
            self._extents.append(extent)
            self._stack = (*self._stack, extent.seen)
            self._source.arm()
        elif extent.places or is_watched:
            self._ended.append(extent)  # nothing but itself has a part in what it stores
        return is_last

    def _add_places(self, extent: Extent, keeper: Keeper, code: Any, frame: Any) -> None:
        """Where others than the function itself put what it makes."""
        if keeper.is_module:
            extent.add(of_module(frame.f_globals))
        if keeper.cache is not None:
            extent.add(of_cache(keeper.cache))
        if keeper.is_descriptor:
            extent.add(self._lasting.attributes(frame.f_locals.get(code.co_varnames[0]), frame))

    def stored(self, code: Any, offset: int, frame: Any) -> None:
        """A store of a keeper that is watched is about to be done."""
        number = self._numbers[identity(code)]
        stores = self._keepers[number].stores
        place = self._lasting.place(stores.by_offset[offset], frame) if stores is not None and self._case else None
        if place is None:
            return
        self._last_stores[place.key] = place, number
        for extent in reversed(self._extents):
            if extent.number == number and extent.is_call(frame):
                extent.add(place)
                return
        extent = Extent(number, self._keepers[number], code, frame)
        extent.seen |= self._contexts[0]  # the call was not followed: anything that this test entered may have a part
        extent.add(place)
        self._ended.append(extent)

    def watched(self, code: Any) -> Any:
        """The offsets of stores in a function."""
        stores = self._keepers[self._numbers[identity(code)]].stores
        return stores.by_offset if stores is not None else ()

    def _leave_extents(self, frame: Any) -> None:
        while self._extents and self._extents[-1].is_left(frame):
            self._close_extents(len(self._extents) - 1)

    def _close_extents(self, first: int) -> None:
        for extent in self._extents[first:]:
            self._ended.append(extent)
        if len(self._extents) > first:
            del self._extents[first:]
            self._stack = (*self._contexts, *(extent.seen for extent in self._extents))

    def _tell_kept(self, extent: Extent) -> None:
        """At the end of a case: what outlives it may be found by others."""
        is_for_all = self._tell_found(filter(_lasts, extent.places.values()), extent.seen)
        stores = extent.keeper.stores
        if is_for_all and extent.keeper == (stores, None, False, False) and stores and not stores.has_calls_before:
            self._settled.add(extent.number)

    def _tell_found(self, places: Iterable[Place], seen: Set[int]) -> bool:
        """What had a part in what others find in these places. True where anybody may."""
        homes, fixtures = set(), set()
        for place in places:
            if place.fixture:
                fixtures.add(place.fixture)
            else:
                home = self._places.owner(place.home) if place.home != EVERYBODY else ""
                homes.add(home if self._is_ours(place.home) else "")
        if "" in homes:
            self._outside |= seen
        else:
            for home in homes:
                self._lines.append(_dumps({"k": "kept", "in": home, "u": sorted(seen)}))
        for fixture in fixtures:
            self._lines.append(_dumps({"k": "fixture", "id": fixture, "u": sorted(seen), "t": []}))
        return "" in homes

    def _ran_here(self, code: Any) -> Optional[bool]:
        """
        True where the case itself ran a function, False where it did not, None for one that is not the project's.

        False also for one that a fixture of wider scope ran as well: it is not known whose an object is.
        """
        number = self._numbers.get(identity(code))
        if number is None:
            return None
        return number in self._own and number not in self._of_fixtures

    def _ran_outer(self, module: str, name: str) -> Optional[bool]:
        number = self._by_name.get((module, name))
        return None if number is None else number in self._contexts[0]

    def _is_ours(self, filename: str) -> bool:
        return bool(filename) and self._places.owner(filename) not in (STANDARD, IMPORTS, FOREIGN, REPORTS)

    def _watch_caches(self) -> None:
        """Note of which functions functools.lru_cache keeps the results: its own wrapper hides them."""
        original: Any = functools.lru_cache

        def note(function: Any, wrapper: Any) -> Any:
            code = getattr(function, "__code__", None)
            if code is not None:
                self._caches[identity(code)] = weakref.ref(wrapper)
                self._kept_codes.append(code)
            return wrapper

        @functools.wraps(original)
        def lru_cache(*args: Any, **options: Any) -> Any:
            made = original(*args, **options)
            if args and callable(args[0]):
                return note(args[0], made)
            return lambda function: note(function, made(function))

        functools.lru_cache = lru_cache

    # --- what is opened and started -------------------------------------------------------------------------------

    def note_input(self, path: str, how: str, by: str) -> None:
        """A file or folder below the top was opened or listed by code of `by`."""
        self._leave_extents(sys._getframe(1))
        is_own = self._case and not self._extents and _is_test_side(by)
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


def _lasts(place: Place) -> bool:
    try:
        return place.lasts()
    except Exception:  # an object of the project that is not what it seems
        return True


def _is_test_side(path: str) -> bool:
    steps = path.split("/")
    name = steps[-1]
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    return "tests" in steps[:-1] or "test" in steps[:-1]
