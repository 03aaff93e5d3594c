"""What the change of a Python file changes for the program: nothing, bodies of functions, or the module as a whole."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef

_PLAIN_DECORATORS = frozenset(
    {
        *("property", "staticmethod", "classmethod", "abstractmethod", "overload", "override", "final", "setter"),
        *("getter", "deleter", "wraps", "cached_property", "lru_cache", "cache", "contextmanager", "total_ordering"),
        *("asynccontextmanager", "fixture", "dataclass", "parametrize", "skip", "skipif", "xfail", "usefixtures"),
    }
)
_COMPILING = re.compile(r"jit|compil|script|kernel|vectorize|stencil|vmap|pmap|tf\.function|macro|autotune|primitive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    What differs between two versions of a file.

    `functions` are the qualified names (`Class.method.<locals>.inner`) of functions whose bodies alone differ.
    `is_whole` tells that something else differs, which runs when the file is imported or tells others what is in it;
    `has_docs`, that docstrings differ; `moves_lines`, that lines stand elsewhere. `compiled` are those of `functions`
    that a decorator may turn into something that Python does not run itself, such as `numba.njit`.
    """

    functions: frozenset[str] = frozenset()
    is_whole: bool = False
    has_docs: bool = False
    moves_lines: bool = False
    compiled: frozenset[str] = frozenset()

    @property
    def is_silent(self) -> bool:
        """True where only comments, layout or docstrings differ, so that the program is the same."""
        return not (self.functions or self.is_whole)


WHOLE = Difference(is_whole=True)


def difference(before: bytes, after: bytes) -> Difference:
    """Compare two versions of a Python file. One that cannot be read as Python differs as a whole."""
    if before == after:
        return Difference()
    try:
        old, new = _Version(before), _Version(after)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return WHOLE
    if old.shell != new.shell:
        return WHOLE
    # A function that only one of them has lies within another, whose body differs by it.
    changed = frozenset(name for name, bodies in old.bodies.items() if new.bodies.get(name, bodies) != bodies)
    docs = {name for name in old.docs.keys() | new.docs.keys() if old.docs.get(name) != new.docs.get(name)}
    looked_at = old.looked_at | new.looked_at
    return Difference(
        functions=changed,
        has_docs=bool(docs),
        is_whole=bool(docs & looked_at),
        moves_lines=before.count(b"\n") != after.count(b"\n"),
        compiled=changed & (old.compiled | new.compiled),
    )


class _Version:
    """
    One version, taken apart: the `shell` is the module without bodies of functions and docstrings, `bodies` has those.

    Several functions of one name (a property's getter and setter) stand together. `looked_at` are those whose
    docstring another program is handed: decorated ones, and classes that are made by others.
    """

    def __init__(self, content: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
        self.bodies: dict[str, list[str]] = {}
        self.docs: dict[str, list[str]] = {}
        self.looked_at: set[str] = set()
        self.compiled: set[str] = set()
        self._take_apart(tree.body, "")
        self._cut_doc(tree, "")
        self.shell = ast.dump(tree)

    def _take_apart(self, nodes: Sequence[ast.AST], prefix: str) -> None:
        for node in nodes:
            self._enter(node, prefix)

    def _enter(self, node: ast.AST, prefix: str) -> None:
        for child in list(ast.iter_child_nodes(node)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and child in node.body:
                continue
            self._enter(child, f"{prefix}{node.name}." if isinstance(node, ast.ClassDef) else prefix)
        if isinstance(node, ast.ClassDef):
            name = f"{prefix}{node.name}"
            if node.keywords or node.decorator_list or not all(_is_plain_base(base) for base in node.bases):
                self.looked_at.add(name)
            self._cut_doc(node, name)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._enter_function(node, f"{prefix}{node.name}")

    def _enter_function(self, node: Function, name: str) -> None:
        """Cut the body out, those of functions within first; what says how it is called stays in the shell."""
        if not all(_is_plain(decorator) for decorator in node.decorator_list):
            self.looked_at.add(name)
        if any(_COMPILING.search(ast.unparse(decorator)) for decorator in node.decorator_list):
            self.compiled.add(name)
        self._cut_doc(node, name)
        for child in node.body:
            self._enter(child, f"{name}.<locals>.")
        kind = "generator" if _is_generator(node) else "function"
        body = "\n".join(ast.dump(child) for child in node.body)
        self.bodies.setdefault(name, []).append(body)
        node.body = [ast.Expr(ast.Constant(kind))]

    def _cut_doc(self, node: Function | ast.ClassDef | ast.Module, name: str) -> None:
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            self.docs.setdefault(name, []).append(first.value.value)
            del node.body[0]


def _is_generator(node: Function) -> bool:
    """True where a yield of its own makes calling it something else than running it."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(inner))
    return False


def _is_plain(decorator: ast.expr) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in _PLAIN_DECORATORS


def _is_plain_base(base: ast.expr) -> bool:
    name = base.id if isinstance(base, ast.Name) else ""
    return name in ("object", "Exception", "ABC", "TestCase") or name.endswith(("Error", "Exception", "Warning"))
