"""Collecting one file at a time inside one pytest session: directories at the start, each file when its turn comes."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import pytest
from _pytest.warnings import catch_warnings_for_item

# pytest 7 has no Directory nodes: there a Package holds its modules, and plain folders have no node at all.
_FOLDERS: Tuple[type, ...] = tuple(
    kind for kind in (getattr(pytest, "Directory", None), getattr(pytest, "Package", None)) if kind is not None
)


class LazyCollection:
    """
    Stands in for a session's `genitems` during the one `perform_collect`, and remembers each file's collector.

    One `perform_collect` it must be: conftest fixtures belong to the Directory nodes that it makes (pytest 9.1), so
    a second one would look for them on new nodes. Expanding directories is cheap and imports no test module.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._collectors: Dict[str, List[Any]] = {}
        self._items: Dict[str, List[Any]] = {}
        self._original = session.genitems
        session.genitems = self._remember

    @property
    def files(self) -> List[str]:
        """Every file that has tests to collect, in pytest's order, relative to its rootdir with forward slashes."""
        return list(self._collectors)

    @property
    def modules(self) -> List[str]:
        """The paths of the files among them that are imported as test modules, in the same order."""
        return [
            str(node.path) for nodes in self._collectors.values() for node in nodes if isinstance(node, pytest.Module)
        ]

    def finish(self) -> None:
        """Give the session its own `genitems` back; from here on files are expanded."""
        del self._session.genitems

    def import_module(self, file: str) -> None:
        """
        Import the test module of `file`, without collecting its tests; what fails will fail again, and be told, then.

        Plain pytest has imported every test module before the first test runs, and some suites need one module's
        import for another one's tests. Importing is the cheap part of collecting.
        """
        for node in self._collectors.get(file, ()):
            if isinstance(node, pytest.Module):
                config = self._session.config
                with catch_warnings_for_item(config=config, ihook=config.hook, when="collect", item=None):
                    node.obj  # noqa: B018 - pytest imports the module when it is first looked at

    def expand(self, file: str) -> List[Any]:
        """
        The items of `file`, collected now or, for a file that came back, earlier in this session.

        Import errors and module-level skips go through pytest's hooks as always.
        """
        if file in self._items:
            return self._items[file]
        session, config = self._session, self._session.config
        items: List[Any] = []
        with catch_warnings_for_item(config=config, ihook=config.hook, when="collect", item=None):
            for node in self._collectors.get(file, ()):
                items.extend(session.genitems(node))
            config.pluginmanager.check_pending()
            config.hook.pytest_collection_modifyitems(session=session, config=config, items=items)
        if hasattr(session, "_collection_cache"):
            session._collection_cache.clear()
        session.items.extend(items)
        session.testscollected += len(items)
        self._items[file] = items
        return items

    def _remember(self, node: Any) -> Iterator[Any]:
        if isinstance(node, _FOLDERS):
            yield from self._original(node)
            return
        file = node.nodeid.partition("::")[0]
        known = self._collectors.setdefault(file, [])
        duplicate = isinstance(node, pytest.File) and any(type(other) is type(node) for other in known)
        if not duplicate or self._session.config.getoption("keepduplicates"):
            known.append(node)


def group_of(item: Any) -> str:
    """
    What `item` must stay together with: its file, its class, an xdist group, or nothing ("").

    A fixture of module or class scope is set up once for all its tests; splitting them would set it up twice, and
    such tests often build on each other.
    """
    marker = item.get_closest_marker("xdist_group")
    if marker is not None:
        return "@" + str(marker.args[0] if marker.args else marker.kwargs.get("name", "default"))
    info = getattr(item, "_fixtureinfo", None)
    scopes = {
        definition.scope for definitions in getattr(info, "name2fixturedefs", {}).values() for definition in definitions
    }
    if "module" in scopes:
        return str(item.nodeid.partition("::")[0])
    if "class" in scopes:
        return str(item.nodeid.rpartition("::")[0])
    return ""
