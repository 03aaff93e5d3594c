"""Which code can bear on hardware at all, from a look at its words, so that the rest need not be followed."""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from dt_action.analysis.names import words_of
from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import FunctionNode, Statement, blocks_of, bound_names, span
from dt_action.analysis.vocabulary import Vocabulary

_HOT_PARTS: Final = re.compile(
    "skip|cuda|gpu|rocm|accel|device|adapter|require|platform|cpu_count|virtual_memory|browser|webdriver|cupy|cudf|"
    "gaudi|uname|compute_cap|providers|tensorrt|neuron|habana|available|backend|webgl|webnn|hexagon|nvidia|only_on|"
    "onlyon|playwright|ascend"
)
"""Parts of a word, in small letters, that can bear on hardware."""
_HOT_WORDS: Final = frozenset(
    {"mps", "xpu", "xpus", "hpu", "hpus", "npu", "npus", "tpu", "tpus", "xla", "hip", "qnn", "jtu", "wp", "core",
     "page", "selenium", "dt", "rmm", "sm"}
)  # fmt: skip
"""Words of a name that can: not a part of one, since `input` and `output` have `npu` and `tpu` in them."""
_COMPUTE: Final = re.compile(r"sm\d+|gfx\w+")
_COOL_PARTS: Final = re.compile("requires_grad|^skipped$|^skipinitialspace$")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


class HotWords:
    """Tells words without which a piece of code has no bearing on hardware; it is then not followed."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._known: dict[str, bool] = dict.fromkeys((name for name in vocabulary.names if "." not in name), True)

    def has(self, word: str) -> bool:
        """True for a word that can bear on hardware."""
        known = self._known.get(word)
        if known is None:
            known = self._known[word] = self._judge(word)
        return known

    @staticmethod
    def _judge(word: str) -> bool:
        lowered = word.lower()
        if _HOT_PARTS.search(lowered):
            return _COOL_PARTS.search(lowered) is None
        return any(part in _HOT_WORDS or _COMPUTE.fullmatch(part) for part in words_of(word))

    def are_in(self, text: str) -> bool:
        """True for a text with a hot word."""
        return "os.name" in text or any(map(self.has, set(_WORD.findall(text))))


def hot_words_of(vocabulary: Vocabulary) -> HotWords:
    """The hot words of a vocabulary, kept with it."""
    if vocabulary.hot_words is None:
        vocabulary.hot_words = HotWords(vocabulary)
    found: HotWords = vocabulary.hot_words
    return found


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
    if is_hot_text(module) or _FOREIGN.search(module.text):
        return True
    return any(conftest.note("gates", conftest.tree, partial(_gates_from_afar, conftest)) for conftest in conftests)


def is_hot_text(module: SourceModule) -> bool:
    """True for a module with a hot word anywhere."""
    return hot_words_of(module.vocabulary).are_in(module.text)


def _gates_from_afar(conftest: SourceModule) -> bool:
    return _AFAR.search(conftest.text) is not None and is_hot_text(conftest)


_AFAR: Final = re.compile(
    r"autouse|pytest_(?:runtest_setup|collection_modifyitems|generate_tests|ignore_collect|itemcollected)|"
    r"collect_ignore|^import|^from|allow_module_level",
    re.MULTILINE,
)
"""What in a conftest file can gate a test that says nothing of hardware."""


def heat_of(module: SourceModule) -> Heat:
    """The heat of a module, looked at once."""
    return module.note("heat", module.tree, lambda: Heat(module))


class Heat:
    """Tells which functions and statements of a module can bear on hardware."""

    def __init__(self, module: SourceModule) -> None:
        self._hot_words = hot_words_of(module.vocabulary)
        self._module = module
        words = [_words_in(line) for line in module.lines]
        self._said = self._lines_with(words, set(filter(self._hot_words.has, set().union(*words))))
        self._lines = self._lines_with(words, self._hot_names(), self._said)

    def is_hot(self, node: FunctionNode | ast.ClassDef) -> bool:
        """True where the code says something of hardware itself, or names something of this module that does."""
        return self._module.note("hot", node, lambda: self._is_hot_between(*span(node)))

    def is_hot_head(self, node: ast.ClassDef) -> bool:
        """As `is_hot`, for a class without its methods: decorators, bases and plain statements."""
        return self._module.note("hot-head", node, lambda: self._look_at_head(node))

    def is_hot_head_of(self, statement: Statement) -> bool:
        """As `is_hot`, for a statement without its blocks."""
        first, last = span(statement)
        block = next(blocks_of(statement), None)
        return self._is_hot_between(first, max(first, block.lineno - 1) if block is not None else last)

    def is_hot_expression(self, node: ast.expr) -> bool:
        """As `is_hot`, for the lines of an expression."""
        return self._is_hot_between(node.lineno, node.end_lineno or node.lineno)

    def is_hot_word(self, word: str) -> bool:
        """True for a word that bears on hardware by itself."""
        return self._hot_words.has(word)

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
        return _is_any_between(self._lines, first, last)

    @staticmethod
    def _lines_with(words: Sequence[Iterable[str]], wanted: set[str], known: Iterable[int] = ()) -> list[int]:
        """The numbers of the lines with one of the `wanted` words, and of those that are `known`, in order."""
        return sorted({*known, *(n for n, found in enumerate(words, 1) if not wanted.isdisjoint(found))})

    def _hot_names(self) -> set[str]:
        """The names of this module whose definitions have a hot word."""
        return {
            name
            for statement in self._module.tree.body
            for member in (statement.body if isinstance(statement, ast.ClassDef) else [statement])
            if not isinstance(member, ast.ClassDef) and _is_any_between(self._said, *span(member))
            for name in bound_names(member)
            if not name.startswith("test") and name not in _COMMON
        }


def _words_in(line: str) -> list[str]:
    words = _WORD.findall(line)
    return [*words, "platform"] if "os.name" in line else words


def _is_any_between(numbers: Sequence[int], first: int, last: int) -> bool:
    place = bisect_left(numbers, first)
    return place < len(numbers) and numbers[place] <= last


_COMMON: Final = frozenset({"torch", "os", "sys", "pytest", "unittest", "np", "numpy", "setUp", "setup_method", "main"})
