"""Which code can bear on hardware at all, from a look at its words, so that the rest need not be followed."""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import FunctionNode, Statement, bound_names, flat, span

HOT: Final = (
    *("skip", "cuda", "gpu", "rocm", ".hip", "_hip", "hip_", "mps", "xpu", "hpu", "npu", "tpu", "xla", "accel"),
    *("device", "adapter", "require", "platform", "cpu_count", "virtual_memory", "browser", "webdriver", "cupy"),
    *("cudf", "runif", "gaudi", "os.name", "uname", "sm_", "compute_cap", "jtu.", "wp.", "providers", "core("),
    *("flash_attn", "rmm", "tensorrt", "transformer_engine", "neuron", "habana", "(page", ", page", "available"),
    *("backend", "webgl", "webnn", "qnn", "hexagon", "nvidia", "mark.dt", "only_on", "onlyon", "playwright"),
    *("(selenium", ", selenium"),
)
"""Words, in small letters, without which a piece of code has no bearing on hardware; it is then not followed."""
_COOL: Final = "requires_grad"


_FOREIGN: Final = re.compile(
    r"^[ \t]*@(?!pytest\.(?:fixture|mark\.(?:parametrize|asyncio|usefixtures|anyio|django_db|xfail|slow|timeout))\b|"
    r"(?:mock\.|unittest\.mock\.)?patch\b|staticmethod|classmethod|property|functools|contextmanager|dataclass)|"
    r"^[ \t]*class \w+\((?!(?:unittest\.)?(?:IsolatedAsyncio)?TestCase\)|object\)|Exception\)|\w*Error\)|Enum\))|"
    r"\bpytestmark\b|import \*",
    re.MULTILINE,
)
"""A decorator, a base class or a star import through which a file without a hot word can still get a gate."""


def may_matter(module: SourceModule, conftests: Iterable[SourceModule]) -> bool:
    """False for a file that has no gate, which a look at its words and those of its conftest files can tell."""
    if _is_hot_text(module.text) or _FOREIGN.search(module.text):
        return True
    return any("autouse" in conftest.text and _is_hot_text(conftest.text) for conftest in conftests)


def _is_hot_text(text: str) -> bool:
    lowered = text.lower().replace(_COOL, "")
    return any(word in lowered for word in HOT)


def _hot_lines(text: str) -> list[int]:
    """The numbers of the lines with a hot word, in order."""
    lowered = text.lower().replace(_COOL, "#" * len(_COOL))
    places: set[int] = set()
    for word in HOT:
        place = lowered.find(word)
        while place >= 0:
            places.add(place)
            place = lowered.find(word, place + 1)
    lines: list[int] = []
    line = last = 0
    for place in sorted(places):
        line += lowered.count("\n", last, place)
        last = place
        if not lines or lines[-1] != line + 1:
            lines.append(line + 1)
    return lines


def heat_of(module: SourceModule) -> Heat:
    """The heat of a module, looked at once."""
    return module.note("heat", module.tree, lambda: Heat(module))


class Heat:
    """Tells which functions and statements of a module can bear on hardware."""

    def __init__(self, module: SourceModule) -> None:
        self._lines = _hot_lines(module.text)
        self._names: frozenset[str] | None = None
        self._module = module

    def is_hot(self, node: FunctionNode | ast.ClassDef) -> bool:
        """True where the code says something of hardware itself, or names something of this module that does."""
        return self._module.note("hot", node, lambda: self._is_hot_between(*span(node)))

    def is_hot_head(self, node: ast.ClassDef) -> bool:
        """As `is_hot`, for a class without its methods: decorators, bases and plain statements."""
        return self._module.note("hot-head", node, lambda: self._look_at_head(node))

    def relevant(self, node: FunctionNode) -> frozenset[int]:
        """
        The ids of those statements of a function, at any depth, that matter.

        They are the hot ones, those that bind a name which one that matters uses, those that leave a block, and
        the statements around them. Order is left out of account, so more may be kept than need be.
        """
        return self._module.note("relevant", node, lambda: self._slice(node))

    def _slice(self, node: FunctionNode) -> frozenset[int]:
        parts = [_Part(statement, self._module.lines) for top in node.body for statement in flat(top)]
        chosen = {
            id(part.statement)
            for part in parts
            if isinstance(part.statement, _LEAVING) or self._is_hot_between(part.first, part.last)
        }
        size = -1
        while size != len(chosen):
            size = len(chosen)
            wanted: set[str] = set().union(*(part.words for part in parts if id(part.statement) in chosen))
            for part in parts:
                if not wanted.isdisjoint(part.binds) or not chosen.isdisjoint(part.inside):
                    chosen.add(id(part.statement))
        return frozenset(chosen)

    def _look_at_head(self, node: ast.ClassDef) -> bool:
        first, _ = span(node)
        if self._is_hot_between(first, max(node.lineno, node.body[0].lineno - 1)):
            return True
        return any(
            self._is_hot_between(statement.lineno, statement.end_lineno or statement.lineno)
            for statement in node.body
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        )

    def _is_hot_between(self, first: int, last: int) -> bool:
        return self._has_line(first, last) or not self._words(first, last).isdisjoint(self._hot_names())

    def _words(self, first: int, last: int) -> set[str]:
        return set(_WORD.findall("\n".join(self._module.lines[first - 1 : last])))

    def _has_line(self, first: int, last: int) -> bool:
        position = bisect_left(self._lines, first)
        return position < len(self._lines) and self._lines[position] <= last

    def _hot_names(self) -> frozenset[str]:
        if self._names is None:
            self._names = frozenset(
                name
                for statement in self._module.tree.body
                for member in (statement.body if isinstance(statement, ast.ClassDef) else [statement])
                if not isinstance(member, ast.ClassDef) and self._has_line(*span(member))
                for name in bound_names(member)
                if not name.startswith("test") and name not in _COMMON
            )
        return self._names


_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_COMMON: Final = frozenset({"torch", "os", "sys", "pytest", "unittest", "np", "numpy", "setUp", "setup_method", "main"})


class _Part:
    """A statement without its blocks: its lines, its words and what it binds."""

    __slots__ = ("binds", "first", "inside", "last", "statement", "words")

    def __init__(self, statement: Statement, lines: list[str]) -> None:
        self.statement = statement
        self.first, self.last = span(statement)
        body = getattr(statement, "body", None)
        if body and not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.last = max(self.first, body[0].lineno - 1)
        self.words = set(_WORD.findall("\n".join(lines[self.first - 1 : self.last])))
        self.inside = [id(inner) for inner in flat(statement)][1:]
        self.binds = {*bound_names(statement, is_deep=False), *_attributes(statement)}


_LEAVING: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def _attributes(statement: Statement) -> set[str]:
    """`self.device = ...` binds `device`."""
    targets = statement.targets if isinstance(statement, ast.Assign) else ()
    return {target.attr for target in targets if isinstance(target, ast.Attribute)}
