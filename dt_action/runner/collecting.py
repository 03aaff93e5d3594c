"""
A session's collection, in one of two ways.

*Whole* is pytest's own: every item before the first test, and all hooks over all items. *By file* imports every test
module in pytest's order, and makes the items of a file when its turn comes: less work in each of several processes,
where nobody could tell the difference (`proof`).
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Iterable, Iterator, List, Set, Tuple

import pytest
from _pytest.warnings import catch_warnings_for_item

# pytest 7 has no Directory nodes: there a Package holds its modules, and plain folders have no node at all.
FOLDERS: Tuple[type, ...] = tuple(
    kind for kind in (getattr(pytest, "Directory", None), getattr(pytest, "Package", None)) if kind is not None
)


WIDE_SCOPES = ("session", "package")


class Collection:
    """
    Takes part in the one `perform_collect` of `session`: puts off what need not be collected now.

    One `perform_collect` it must be: conftest fixtures belong to the Directory nodes that it makes (pytest 9.1), so
    a second one would look for them on new nodes. `avoided` are files whose import ended another process; they are
    neither imported nor collected before they are due. `begins` is told of each file before it is imported. Without
    `imports`, nothing is imported before it is due.
    """

    def __init__(
        self, session: Any, *, is_whole: bool, imports: bool, avoided: Set[str], begins: Callable[[str], None]
    ) -> None:
        self.is_whole = is_whole
        self.is_under_way = True
        self._is_inside = False
        self._imports = imports
        self._session = session
        self._avoided = avoided
        self._begins = begins
        self._collectors: Dict[str, List[Any]] = {}
        self._late: Dict[str, List[Any]] = {}
        self._original = session.genitems
        session.genitems = self._genitems

    @property
    def files(self) -> List[str]:
        """Every file that has tests to collect, in pytest's order, relative to its rootdir with forward slashes."""
        return list(self._collectors)

    @property
    def collectors(self) -> Iterator[Any]:
        """What pytest made of the files: modules, text files, a plugin's own kinds."""
        return (node for nodes in self._collectors.values() for node in nodes)

    def finish(self) -> None:
        """pytest's `perform_collect` is over: give the session its own `genitems` back."""
        self.is_under_way = False
        del self._session.genitems
        if not self.is_whole:
            _watch_items(self._session, self.complete)

    def items_of(self, file: str) -> List[Any]:
        """The items of `file`, in the order in which they are to run. Collects it now where that was put off."""
        if self.is_whole and file not in self._avoided:
            return [item for item in self._session.items if _file_of(item) == file]
        if file not in self._late:
            items = self._late[file] = self._expand([file])
            self._session.items.extend(items)
            self._session.testscollected += len(items)
        return self._late[file]

    def complete(self) -> None:
        """Collect all that was put off, in pytest's order and with its hooks over all of it: by file becomes whole."""
        if self.is_whole:
            return
        self.is_whole = True
        self._session.__class__ = type(self._session).__mro__[1]
        known = self._late
        items: List[Any] = self._session.items  # plugins look at it while it grows
        items.clear()
        for file in self._collectors:
            if file in known:
                items.extend(known[file])
            elif file not in self._avoided:
                items.extend(self._generate([file]))
        self._finish_items(items)
        self._session.testscollected = len(items)

    def expand_into(self, items: List[Any]) -> None:
        """Collect what was put off into the list that pytest is about to hand to its hooks."""
        self.is_whole = True
        for file in self._collectors:
            if file not in self._avoided:
                items.extend(self._generate([file]))

    # --- in the place of Session.genitems -------------------------------------------------------------------------

    def _genitems(self, node: Any) -> Iterator[Any]:
        if self._is_inside or isinstance(node, FOLDERS):
            yield from self._original(node)
            return
        file = node.nodeid.partition("::")[0]
        known = self._collectors.setdefault(file, [])
        is_duplicate = isinstance(node, pytest.File) and any(type(other) is type(node) for other in known)
        if is_duplicate and not self._session.config.getoption("keepduplicates"):
            return
        known.append(node)
        if file in self._avoided:
            return
        if self.is_whole:
            self._begins(file)
            self._is_inside = True
            try:
                yield from self._original(node)
            finally:
                self._is_inside = False
        elif self._imports and isinstance(node, pytest.Module):
            self._begins(file)
            self._import(node)

    def _import(self, node: Any) -> None:
        """
        Import a test module, as plain pytest does before the first test runs: some suites need one module's import for
        another one's tests. An import that fails is not tried again: the file is told with that failure.
        """
        config = self._session.config
        try:
            with catch_warnings_for_item(config=config, ihook=config.hook, when="collect", item=None):
                node.obj  # noqa: B018 - pytest imports the module when it is first looked at
        except BaseException as error:
            failure = error

            def fail_again() -> Any:
                raise failure

            node._getobj = fail_again

    def _generate(self, files: Iterable[str]) -> Iterator[Any]:
        for file in files:
            for node in self._collectors.get(file, ()):
                yield from self._session.genitems(node)

    def _expand(self, files: Iterable[str]) -> List[Any]:
        """Import errors and module-level skips go through pytest's hooks as always."""
        config = self._session.config
        with catch_warnings_for_item(config=config, ihook=config.hook, when="collect", item=None):
            items = list(self._generate(files))
            config.pluginmanager.check_pending()
            self._finish_items(items)
        return items

    def _finish_items(self, items: List[Any]) -> None:
        config = self._session.config
        config.hook.pytest_collection_modifyitems(session=self._session, config=config, items=items)
        if hasattr(self._session, "_collection_cache"):
            self._session._collection_cache.clear()


def group_of(item: Any) -> str:
    """
    What `item` must stay together with: its file, its class, an xdist group, or nothing ("").

    A fixture of module or class scope is set up once for all its tests; splitting them would set it up twice, and
    such tests often build on each other. Scopes are nodes, since ids may hold anything. A file whose collector is no
    plain module may have a set-up of its own.
    """
    marks = list(item.iter_markers("xdist_group"))
    if marks:
        names = {str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")) for mark in marks}
        return "@" + "_".join(sorted(names))
    file = _file_of(item)
    if type(item.getparent(pytest.File)) is not pytest.Module and item.getparent(pytest.File) is not None:
        return file
    info = getattr(item, "_fixtureinfo", None)
    scopes = {
        definition.scope for definitions in getattr(info, "name2fixturedefs", {}).values() for definition in definitions
    }
    if "module" in scopes:
        return file
    owner = item.getparent(pytest.Class)
    if owner is not None and "class" in scopes:
        return str(owner.nodeid)
    return ""


def wide_fixtures_of(item: Any) -> List[str]:
    """The fixtures of the session's or a package's scope that `item` uses, by name: what may be there only once."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return sorted(name for name, found in definitions.items() if found and is_wide(found[-1]))


def is_wide(definition: Any) -> bool:
    """True for a fixture of the project or a plugin that outlives the modules that use it."""
    return definition.scope in WIDE_SCOPES and not str(definition.func.__module__).startswith("_pytest.")


def scope_of(item: Any, dist: str) -> str:
    """What the project's own `--dist` keeps together: a file, a class or module, a group; nothing for the others."""
    if dist == "loadfile":
        return _file_of(item)
    if dist == "loadscope":
        owner = item.getparent(pytest.Class)
        return str(owner.nodeid) if owner is not None else _file_of(item)
    return ""


def _file_of(item: Any) -> str:
    return str(item.nodeid.partition("::")[0])


def _watch_items(session: Any, complete: Callable[[], None]) -> None:
    """
    Let whoever looks at `session.items` see all of them: a fixture that starts what the tests of a session need.

    pytest's own modules look at what was collected so far.
    """
    kind = type(session)

    def items(self: Any) -> List[Any]:
        reader = sys._getframe(1).f_globals.get("__name__", "")
        if not reader.startswith(("_pytest.", __package__)):
            complete()
        found: List[Any] = self.__dict__["items"]
        return found

    def set_items(self: Any, value: List[Any]) -> None:
        self.__dict__["items"] = value

    watched = type(kind.__name__, (kind,), {"items": property(items, set_items), "__module__": kind.__module__})
    session.__class__ = watched
