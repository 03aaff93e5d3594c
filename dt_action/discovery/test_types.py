"""Of which test type a file is: by configuration, else by marker, else by directory, else by its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dt_action.discovery.globs import glob_regex

BUILT_IN_TYPES = ("integration", "fault", "monitoring", "stress")


@dataclass(frozen=True)
class TypeRules:
    """The known types, the built-in ones and the user's, with the globs of `[tool.dt.test-types]`."""

    __test__ = False

    globs: Mapping[str, Sequence[str]]

    @cached_property
    def known(self) -> tuple[str, ...]:
        """Every type, the user's first."""
        return tuple(dict.fromkeys([*self.globs, *BUILT_IN_TYPES]))

    def types_of(self, path: str, source: bytes) -> tuple[str, ...]:
        """
        The types of the file at `path` (relative, with forward slashes), most important first; empty for none.

        The first rule that says something decides. Only markers can give several: a file whose tests are of two
        types is run for either.
        """
        configured = next((name for name, globs in self._patterns if any(glob.match(path) for glob in globs)), "")
        if configured:
            return (configured,)
        marked = self._marked(source)
        if marked:
            return marked
        by_place = self._by_directory(path) or self._by_name(path)
        return (by_place,) if by_place else ()

    @cached_property
    def _patterns(self) -> list[tuple[str, list[re.Pattern[str]]]]:
        return [(name, [glob_regex(glob) for glob in globs]) for name, globs in self.globs.items()]

    @cached_property
    def _mentions_marker(self) -> re.Pattern[bytes]:
        names = "|".join(re.escape(name) for name in self.known)
        return re.compile(rf"\bmark\s*\.\s*(?:{names})\b".encode())

    def _marked(self, source: bytes) -> tuple[str, ...]:
        if not self._mentions_marker.search(source):
            return ()
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
        found = dict.fromkeys(_applied_markers(module))
        return tuple(name for name in found if name in self.known)

    def _by_directory(self, path: str) -> str:
        for part in reversed(path.split("/")[:-1]):
            words = [word for word in re.split(r"[_\-. ]", part.lower()) if word not in {"test", "tests"}]
            name = self._known_in("_".join(words))
            if name:
                return name
        return ""

    def _by_name(self, path: str) -> str:
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0].lower()
        words = [word for word in re.split(r"[_\-. ]", stem) if word not in {"test", "tests", ""}]
        if not words:
            return ""
        return self._known_in("_".join(words)) or self._known_in(words[0]) or self._known_in(words[-1])

    def _known_in(self, words: str) -> str:
        return next((name for name in self.known if name.lower().replace("-", "_") == words), "")


def _applied_markers(module: ast.Module) -> Iterator[str]:
    """The markers that tests of the module carry: by `pytestmark`, decorators, and names given to a marker."""
    aliases = {
        target.id: marker
        for statement in module.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and (marker := _marker(statement.value, {}))
    }
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from (_marker(decorator, aliases) for decorator in node.decorator_list)
        elif isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets
        ):
            marks = node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]
            yield from (_marker(mark, aliases) for mark in marks)


def _marker(expression: ast.expr, aliases: Mapping[str, str]) -> str:
    """`pytest.mark.stress(...)` -> stress; empty for anything else."""
    if isinstance(expression, ast.Call):
        return _marker(expression.func, aliases)
    match expression:
        case ast.Attribute(value=ast.Attribute(attr="mark") | ast.Name(id="mark"), attr=name):
            return name
        case ast.Name(id=name):
            return aliases.get(name, "")
    return ""
