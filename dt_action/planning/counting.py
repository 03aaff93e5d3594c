"""About how many tests a file holds, and whether they must stay together: what its code alone says, without history."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_CASES = 1_000_000
"""A product of parametrisations beyond this is a mistake in reading it."""

UNKNOWN_SIZE = 3
"""A parametrisation whose values are not written down counts as so many."""

MODULE_HOOKS = frozenset({"setup_module", "teardown_module", "setUpModule", "tearDownModule"})
_WIDE = frozenset({"module", "package"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixtures:
    """Fixtures of module scope in one file, by name; `is_autouse` tells of one that every test there gets."""

    names: frozenset[str] = frozenset()
    is_autouse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """About how many cases a file has, and whether they share a set-up of the whole module."""

    cases: int
    is_one_piece: bool = False


def count(source: bytes, above: Iterable[Fixtures] = ()) -> Counted:
    """
    What a test file's source says; `above` are the fixtures of the conftest files of its folder and those over it.

    It is the same on every machine that has the same sources. A file that cannot be read as Python is one piece.
    """
    tree = _parsed(source)
    if tree is None:
        return Counted(cases=max(1, source.count(b"\n") // 20), is_one_piece=True)
    own = module_fixtures(tree)
    hooks = {node.name for node in tree.body if isinstance(node, _Function)}
    wide = own.names.union(*(fixtures.names for fixtures in above))
    is_autouse = own.is_autouse or any(fixtures.is_autouse for fixtures in above)
    is_one_piece = is_autouse or bool(hooks & MODULE_HOOKS) or bool(wide & _names_used(tree))
    sizes = _Sizes(tree)
    factor = sizes.product(_marks_of_module(tree))
    return Counted(cases=min(MOST_CASES, max(1, factor * _cases_in(tree.body, sizes))), is_one_piece=is_one_piece)


def fixtures_of(source: bytes) -> Fixtures:
    """The fixtures of module scope in a conftest file."""
    tree = _parsed(source) if b"fixture" in source else None
    return Fixtures() if tree is None else module_fixtures(tree)


def module_fixtures(tree: ast.Module) -> Fixtures:
    """The fixtures of module or package scope in a file; a scope that is worked out counts as one."""
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and _last_word(mark.func) == "fixture" and _is_wide(mark):
                    named = _keyword(mark, "name")
                    name = named.value if isinstance(named, ast.Constant) else node.name
                    autouse = _keyword(mark, "autouse")
                    found[str(name)] = autouse is not None and getattr(autouse, "value", True) is not False
    return Fixtures(names=frozenset(found), is_autouse=any(found.values()))


def _parsed(source: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the project's own escape sequences
            return ast.parse(source)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _is_wide(mark: ast.Call) -> bool:
    scope = _keyword(mark, "scope") or (mark.args[0] if mark.args else None)
    return scope is not None and (not isinstance(scope, ast.Constant) or scope.value in _WIDE)


def _names_used(tree: ast.Module) -> set[str]:
    """Every name that a function asks for, and every text, such as those of `usefixtures`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(word.strip() for word in node.value.split(",")) if len(node.value) < 200 else None
    return names


def _cases_in(body: Iterable[ast.stmt], sizes: _Sizes) -> int:
    total = 0
    for node in body:
        if isinstance(node, _Function) and node.name.startswith("test"):
            total += sizes.product(node.decorator_list)
        elif isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or node.bases):
            own = sizes.product([*node.decorator_list, *_assigned(node.body, "pytestmark")])
            total += own * _cases_in(node.body, sizes)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            total += _cases_in(node.body, sizes)
    return total


class _Sizes:
    """How many values a parametrisation has, as far as it is written down in this file."""

    def __init__(self, tree: ast.Module) -> None:
        self._values = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def product(self, marks: Iterable[ast.expr]) -> int:
        """How many cases the marks make of one function."""
        total = 1
        for mark in marks:
            if isinstance(mark, ast.Call) and _last_word(mark.func) == "parametrize" and len(mark.args) > 1:
                total = min(MOST_CASES, total * self._size(mark.args[1], 0))
        return total

    def _size(self, node: ast.expr, depth: int) -> int:
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)) and not any(isinstance(x, ast.Starred) for x in node.elts):
            return max(1, len(node.elts))
        if isinstance(node, ast.Dict):
            return max(1, len(node.keys))
        if isinstance(node, ast.Name) and node.id in self._values and depth < 8:
            return self._size(self._values[node.id], depth + 1)
        if isinstance(node, ast.Call) and _last_word(node.func) == "range":
            numbers = [part.value if isinstance(part, ast.Constant) else None for part in node.args]
            whole = [number for number in numbers if isinstance(number, int) and abs(number) <= MOST_CASES]
            if any(isinstance(number, int) and number > MOST_CASES for number in numbers):
                return MOST_CASES
            if whole and len(whole) == len(numbers) and 0 not in whole[2:]:
                return max(1, min(MOST_CASES, len(range(*whole))))
        if isinstance(node, ast.Call) and _last_word(node.func) in ("list", "sorted", "tuple", "enumerate", "reversed"):
            return self._size(node.args[0], depth + 1) if node.args and depth < 8 else UNKNOWN_SIZE
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)) and depth < 8:
            total = 1
            for loop in node.generators:
                total = min(MOST_CASES, total * self._size(loop.iter, depth + 1))
            return total
        return UNKNOWN_SIZE


def _marks_of_module(tree: ast.Module) -> list[ast.expr]:
    return list(_assigned(tree.body, "pytestmark"))


def _assigned(body: Iterable[ast.stmt], name: str) -> Iterator[ast.expr]:
    for node in body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            yield from node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in call.keywords if item.arg == name), None)


def _last_word(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
