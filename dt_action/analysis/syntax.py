"""What a syntax tree says by itself: the names that a statement binds, what is in its blocks, the words of a name."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Final

Statement = ast.stmt
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def bound_names(statement: Statement, *, is_deep: bool = True) -> Iterator[str]:
    """
    Every name that a statement binds in its own scope, and the lists that it lengthens.

    `is_deep` looks into the blocks of the statement; without it, lists are left out too.
    """
    for inner in flat(statement) if is_deep else (statement,):
        if type(inner) in _BINDS_NOTHING:
            continue
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield inner.name
        elif isinstance(inner, ast.Import):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in inner.names if alias.name != "*")
        elif isinstance(inner, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            for target in targets:
                yield from target_names(target)
        elif isinstance(inner, (ast.For, ast.AsyncFor)):
            yield from target_names(inner.target)
        elif isinstance(inner, (ast.With, ast.AsyncWith)):
            for item in inner.items:
                if item.optional_vars is not None:
                    yield from target_names(item.optional_vars)
        elif isinstance(inner, ast.Expr) and is_deep:
            yield from changed_names(inner)


_BINDS_NOTHING: Final = frozenset(
    {ast.Return, ast.If, ast.While, ast.Assert, ast.Raise, ast.Pass, ast.Break, ast.Continue, ast.Try, ast.Delete}
)


def changed_names(statement: Statement) -> Iterator[str]:
    """`names.append(x)` changes `names`."""
    node = statement.value if isinstance(statement, ast.Expr) else None
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr in ("append", "extend", "insert", "update", "add"):
        yield from target_names(called.value)


def target_names(target: ast.expr) -> Iterator[str]:
    """The names in an assignment target."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for item in target.elts:
            yield from target_names(item)
    elif isinstance(target, ast.Starred):
        yield from target_names(target.value)


def flat(statement: Statement) -> Iterator[Statement]:
    """A statement and those in its blocks, short of other scopes."""
    waiting = [statement]
    while waiting:
        inner = waiting.pop()
        yield inner
        if type(inner) in _BLOCKS:
            waiting += reversed(list(blocks_of(inner)))


def blocks_of(statement: Statement) -> Iterator[Statement]:
    """The statements right inside the blocks of one that is no scope of its own."""
    for name in _BLOCKS.get(type(statement), ()):
        if name == "handlers":
            for handler in statement.handlers:  # type: ignore[attr-defined]
                yield from handler.body
        elif name == "cases":
            for case in statement.cases:  # type: ignore[attr-defined]
                yield from case.body
        else:
            yield from getattr(statement, name)


_BLOCKS: Final[dict[type[ast.stmt], tuple[str, ...]]] = {
    ast.If: ("body", "orelse"),
    ast.For: ("body", "orelse"),
    ast.AsyncFor: ("body", "orelse"),
    ast.While: ("body", "orelse"),
    ast.With: ("body",),
    ast.AsyncWith: ("body",),
    ast.Try: ("body", "orelse", "finalbody", "handlers"),
    ast.Match: ("cases",),
}
if sys.version_info >= (3, 11):
    _BLOCKS[ast.TryStar] = _BLOCKS[ast.Try]


def span(statement: Statement) -> tuple[int, int]:
    """The first and the last line of a statement, its decorators among them."""
    decorators = getattr(statement, "decorator_list", ())
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    return first, statement.end_lineno or statement.lineno


def argument_names(node: FunctionNode) -> list[str]:
    """The names that a function takes, short of `*args` and `**kwargs`."""
    spec = node.args
    return [arg.arg for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]


def fixture_names(node: FunctionNode) -> list[str]:
    """The fixtures that a test asks for by its arguments, and by `request.getfixturevalue` in plain statements."""
    names = argument_names(node)
    for statement in node.body if "request" in names else ():
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Call) and last_word(value.func) == "getfixturevalue" and value.args:
            first = value.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.append(first.value)
    return names


def is_generator(node: FunctionNode) -> bool:
    """True for a function that yields."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(inner)
    return False


def last_word(node: ast.expr | None) -> str:
    """`skip` of `pytest.skip`, and of `skip`; "" where the expression is no name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_skip_call(node: ast.expr) -> bool:
    """True for `pytest.skip`, `self.skipTest` and their like."""
    return last_word(node) in ("skip", "skipTest", "importorskip", "skip_test")


def is_skip_raise(node: ast.expr | None) -> bool:
    """True for `unittest.SkipTest(...)` and `pytest.skip.Exception(...)`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr in ("SkipTest", "Skipped") or (node.attr == "Exception" and is_skip_call(node.value))
    return isinstance(node, ast.Name) and node.id in ("SkipTest", "Skipped")
