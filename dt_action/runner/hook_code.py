"""
What the code of a project's hook does, read from its source.

A hook that keeps to what is harmless in each process by itself needs no process that knows all. What cannot be read
counts as harmful.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any, Callable, FrozenSet, Iterator, List, Optional

_BUILTIN_CALLS = frozenset(
    [
        "any",
        "all",
        "bool",
        "dict",
        "enumerate",
        "frozenset",
        "getattr",
        "hasattr",
        "int",
        "isinstance",
        "issubclass",
        "len",
        "list",
        "max",
        "min",
        "next",
        "print",
        "repr",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
    ]
)
_MUTATORS = frozenset(
    [
        "append",
        "add",
        "extend",
        "insert",
        "remove",
        "discard",
        "pop",
        "clear",
        "update",
        "setdefault",
        "sort",
        "reverse",
        "write",
        "popitem",
        "put",
        "send",
    ]
)
_READERS = frozenset(
    [
        "get",
        "getoption",
        "getini",
        "getvalue",
        "startswith",
        "endswith",
        "match",
        "search",
        "fullmatch",
        "split",
        "lower",
        "upper",
        "strip",
        "format",
        "join",
        "replace",
        "keys",
        "values",
        "items",
        "mark",
        "find",
        "count",
        "partition",
        "rpartition",
        "relative_to",
        "is_relative_to",
        "exists",
    ]
)


def looks_at_items_one_by_one(function: Callable[..., Any]) -> bool:
    """
    True where a `pytest_collection_modifyitems` treats each item by itself.

    That is: `items` is only ever what a `for` loop goes through, and what is in the loop changes nothing but the item.
    Wrappers, names from outside that are written to, and calls that might do so, are no such code.
    """
    tree = _tree(function)
    if tree is None or isinstance(tree, ast.AsyncFunctionDef) or _yields(tree):
        return False
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For) and _is_name(node.iter, "items")]
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "items"]
    if len(uses) != len(loops) or any(not isinstance(loop.target, ast.Name) for loop in loops):
        return False
    if any(isinstance(node, (ast.Global, ast.Nonlocal, ast.While, ast.With)) for node in ast.walk(tree)):
        return False
    if any("session" in (getattr(node, "id", ""), getattr(node, "attr", "")) for node in ast.walk(tree)):
        return False
    own = {loop.target.id for loop in loops if isinstance(loop.target, ast.Name)}
    outside = [node for node in ast.walk(tree) if not _is_inside(node, loops)]
    if not all(_is_quiet_call(node, set()) for node in outside if isinstance(node, ast.Call)):
        return False
    if any(isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load) for node in outside):
        return False
    before = _assigned(iter(outside))
    return all(_keeps_to_item(loop, own, before) for loop in loops)


def only_adds_ini_lines(function: Callable[..., Any]) -> bool:
    """True where a `pytest_configure` does nothing but register marks (and ini lines), which each process does."""
    tree = _tree(function)
    if tree is None or _yields(tree):
        return False
    return all(_is_harmless_statement(statement) for statement in tree.body)


def _is_harmless_statement(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    ):
        return True
    if isinstance(statement, ast.For):
        return isinstance(statement.target, ast.Name) and all(map(_is_harmless_statement, statement.body))
    call = statement.value if isinstance(statement, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("addinivalue_line",)
        and not any(isinstance(node, ast.Call) and node is not call for node in ast.walk(call))
    )


def _keeps_to_item(loop: ast.For, own: "set[str]", before: FrozenSet[str]) -> bool:
    local = _assigned(ast.walk(loop)) - before
    for node in ast.walk(loop):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
            targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    if target.id in before:
                        return False
                elif _root(target) not in own | local:
                    return False
        elif (isinstance(node, ast.Call) and not _is_quiet_call(node, own | local)) or isinstance(
            node, (ast.Return, ast.Break, ast.Yield, ast.Await, ast.NamedExpr)
        ):
            return False
    return True


def _is_quiet_call(call: ast.Call, own: "set[str]") -> bool:
    """A call that changes nothing but the item: a method of it, of `pytest`, of a value that it only reads."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in _BUILTIN_CALLS
    if not isinstance(function, ast.Attribute):
        return False
    if _root(function) in own or _root(function) == "pytest":
        return True
    return function.attr not in _MUTATORS and function.attr in _READERS


def _assigned(nodes: Iterator[ast.AST]) -> "FrozenSet[str]":
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


def _is_inside(node: ast.AST, loops: List[ast.For]) -> bool:
    return any(node is inner for loop in loops for inner in ast.walk(loop))


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _yields(tree: ast.AST) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(tree))


def _tree(function: Callable[..., Any]) -> Optional[ast.FunctionDef]:
    text = source_of(function)
    if text is None:
        return None
    try:
        body = ast.parse(textwrap.dedent(text)).body
    except (SyntaxError, ValueError):
        return None
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef) else None


def source_of(function: Callable[..., Any]) -> Optional[str]:
    """The function's source; None where there is none."""
    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError, ValueError):
        return None
