"""
Marks by which plugins tie tests to one another, also over files.

What the project itself says must run before something else runs in one process, in pytest's order.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Set

Groups = Dict[Any, str]


def tying_plugins(config: Any) -> List[str]:
    """The plugins that are here and tie tests together, by the top of their module's name."""
    names = (getattr(plugin, "__name__", type(plugin).__module__) for plugin in config.pluginmanager.get_plugins())
    return sorted({str(name).partition(".")[0] for name in names}.intersection(_TIES))


def groups_of(items: List[Any], group_of: Callable[[Any], str]) -> Groups:
    """
    The groups of the items that are tied to others, or share a group with such a one; empty where none is.

    `group_of` tells what an item must stay together with anyway.
    """
    ties: Groups = {}
    for name in tying_plugins(items[0].config) if items else ():
        ties.update(_TIES[name](items))
    if not ties:
        return {}
    merged: Dict[str, str] = {}

    def top(group: str) -> str:
        while group in merged:
            group = merged[group]
        return group

    others = {item: group_of(item) for item in items}
    for item, tie in ties.items():
        one, other = top(others[item]), top(tie)
        if one and one != other:
            merged[one] = other
    found = {item: top(ties.get(item) or others[item]) for item in items}
    return {item: group for item, group in found.items() if group and group != others[item]}


def _by_order(items: List[Any]) -> Groups:
    """pytest-order: tests with a place in the order, and those that another one wants to follow or precede."""
    scope = str(getattr(items[0].config.option, "order_scope", None) or "session")
    marks = {item: list(item.iter_markers("order")) for item in items}
    named = _names(mark.kwargs.get(key) for found in marks.values() for mark in found for key in ("before", "after"))
    return _tied(items, lambda item: bool(marks[item]) or _is_named(item, named), scope)


def _by_ordering(items: List[Any]) -> Groups:
    """pytest-ordering, whose marks are `run` and words such as `first` and `second_to_last`."""
    numbers = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
    words = {"run", "last", *numbers, *(number + "_to_last" for number in numbers)}
    return _tied(items, lambda item: any(item.get_closest_marker(word) for word in words), "session")


def _by_dependency(items: List[Any]) -> Groups:
    """pytest-dependency: tests of one file, or all that take part where one of them looks beyond its file."""
    marks = {item: list(item.iter_markers("dependency")) for item in items}
    is_wide = any(mark.kwargs.get("scope") in ("session", "package") for found in marks.values() for mark in found)
    is_automatic = str(items[0].config.getini("automark_dependency")).lower() in ("1", "true", "yes", "on")
    files = {_file_of(item) for item, found in marks.items() if found}
    if is_wide:
        return _tied(items, lambda item: is_automatic or bool(marks[item]), "session")
    return _tied(items, lambda item: _file_of(item) in files, "module")


def _by_depends(items: List[Any]) -> Groups:
    """pytest-depends: tests that need others, and the others."""
    marks = {item: list(item.iter_markers("depends")) for item in items}
    named = _names(mark.kwargs.get("on") for found in marks.values() for mark in found)
    return _tied(items, lambda item: bool(marks[item]) or _is_named(item, named), "session")


_TIES: Dict[str, Callable[[List[Any]], Groups]] = {
    "pytest_order": _by_order,
    "pytest_ordering": _by_ordering,
    "pytest_dependency": _by_dependency,
    "pytest_depends": _by_depends,
}


def _tied(items: List[Any], takes_part: Callable[[Any], bool], scope: str) -> Groups:
    """One group for those that take part, or (with the scope `module` or `class`) one in each file."""
    return {item: _file_of(item) if scope in ("module", "class") else "@tied" for item in items if takes_part(item)}


def _names(values: Iterable[Any]) -> Set[str]:
    """The last parts of test names, in whatever form they were given: one, a list, an id with files and classes."""

    def all_of(value: Any) -> Iterator[str]:
        if isinstance(value, (list, tuple, set)):
            for inner in value:
                yield from all_of(inner)
        elif value is not None:
            yield str(getattr(value, "__name__", value)).rpartition("::")[2].rpartition(".")[2]

    return {name for value in values for name in all_of(value)}


def _is_named(item: Any, names: Set[str]) -> bool:
    parent = getattr(item.parent, "name", "")  # a class may be named in the place of its tests
    return not names.isdisjoint((item.name, getattr(item, "originalname", None) or item.name, parent))


def _file_of(item: Any) -> str:
    return str(item.nodeid.partition("::")[0])
