"""What a stranger has to hold in the head at a time: no module, function or circle of imports grows beyond it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 450
MOST_FUNCTION_LINES = 70
MOST_AT_THE_ROOT = 8

ROWS_ONLY = frozenset({"options/table.py"})
"""Modules that hold one row for each option, and nothing else: as long as there are rows."""

IN_CIRCLES = frozenset({"analysis"})
"""Packages whose modules import one another in circles, if only for the type checker: what is to be untied."""


@cache
def modules() -> Mapping[str, ast.Module]:
    """The syntax of every module below dt_action, by its path there."""
    return {
        path.relative_to(ROOT / "dt_action").as_posix(): ast.parse(path.read_bytes())
        for path in sorted((ROOT / "dt_action").rglob("*.py"))
    }


def test_no_module_is_long() -> None:
    for name in modules().keys() - ROWS_ONLY:
        lines = len((ROOT / "dt_action" / name).read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{name} has {lines} lines: divide it by what its parts change for"


def test_no_function_is_long() -> None:
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "migrations/" not in name:
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= MOST_FUNCTION_LINES, f"{name}: {node.name} has {lines} lines"


def test_few_modules_stand_at_the_root() -> None:
    assert len([name for name in modules() if "/" not in name]) <= MOST_AT_THE_ROOT


def test_no_module_imports_itself_by_way_of_others_not_even_for_the_type_checker() -> None:
    graph = {name: {module for module in _imported(name, tree) if module != name} for name, tree in modules().items()}
    circles = [circle for circle in _circles(graph) if not {name.partition("/")[0] for name in circle} <= IN_CIRCLES]
    assert not circles, "\n".join(" <-> ".join(sorted(circle)) for circle in circles)


def _imported(name: str, tree: ast.Module) -> Iterator[str]:
    """The modules that one imports when it is itself imported, the type checker's among them."""
    for node in _outside_of_functions(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dt_action"):
            yield from filter(
                None, (_path(f"{node.module}.{alias.name}") or _path(node.module) for alias in node.names)
            )
        elif isinstance(node, ast.Import):
            yield from filter(None, (_path(alias.name) for alias in node.names))


def _outside_of_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _outside_of_functions(node)


def _path(module: str | None) -> str | None:
    below = (module or "").removeprefix("dt_action").lstrip(".").replace(".", "/")
    if not below:
        return None  # the package itself says its version, and whose classes users may import from it
    return next((path for path in (f"{below}.py", f"{below}/__init__.py") if path in modules()), None)


def _circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    reach = {name: _reached(graph, name) for name in graph}
    found = []
    for name in graph:
        if name in reach[name] and not any(name in circle for circle in found):
            found.append({other for other in reach[name] if name in reach[other]})
    return found


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [*graph[start]]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph.get(name, ())
    return seen
