"""Recordings of what tests entered and opened: as a text to be remembered, and from what slots left."""

from __future__ import annotations

import ast
import base64
import json
import posixpath
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dt_action.errors import UnreadableError
from dt_action.model.recording import CaseSeen, Input, Recording, Unit

MOST_BYTES = 256 << 20
"""What is read of a compressed recording at most; a larger one is not ours."""

_INNER = re.compile(r"(?:\.<locals>)?\.?<(?:lambda|genexpr|listcomp|dictcomp|setcomp)>.*$")


def pack(recording: Recording) -> str:
    """A recording as a text, for `unpack`."""
    document = {
        "commit": recording.commit,
        "arguments": recording.arguments,
        "has_units": recording.has_units,
        "units": recording.units,
        "outside": sorted(recording.outside),
        "kept": {file: sorted(units) for file, units in sorted(recording.kept.items())},
        "traits": sorted(recording.traits),
        "fixtures": {name: _plain(seen) for name, seen in sorted(recording.fixtures.items())},
        "cases": {name: _plain(seen) for name, seen in sorted(recording.cases.items())},
        "inputs": sorted(recording.inputs),
        "collected": sorted(recording.collected.difference(recording.cases)),
        "left_out": sorted(recording.left_out),
    }
    content = json.dumps(document, separators=(",", ":")).encode("ascii")
    return base64.b64encode(zlib.compress(content, 6)).decode("ascii")


def unpack(text: str) -> Recording:
    """The recording that `pack` was given. Raises UnreadableError for all else."""
    try:
        inflating = zlib.decompressobj()
        content = inflating.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
        if not inflating.eof:
            raise ValueError("its end is missing")
        document = json.loads(content)
        count = len(document["units"])
        cases = {str(name): _seen(told, count) for name, told in document["cases"].items()}
        return Recording(
            commit=str(document["commit"]),
            arguments=str(document["arguments"]),
            has_units=bool(document["has_units"]),
            units=tuple((str(file), str(name)) for file, name in document["units"]),
            outside=_numbers(document["outside"], count),
            kept={str(file): _numbers(units, count) for file, units in document["kept"].items()},
            traits=frozenset(map(str, document["traits"])),
            fixtures={str(name): _seen(told, count) for name, told in document["fixtures"].items()},
            cases=cases,
            inputs=frozenset(Input(*map(str, item)) for item in document["inputs"]),
            collected=frozenset(map(str, document["collected"])).union(cases),
            left_out=frozenset(map(str, document["left_out"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise UnreadableError(f"expected a recording, found something else ({str(error)[:100]})") from None


def _plain(seen: CaseSeen) -> list[object]:
    units = sorted(seen.units)
    steps = [number - before for number, before in zip(units, [0, *units], strict=False)]  # small numbers pack well
    return [steps, list(seen.fixtures), sorted(seen.traits)]


def _seen(told: Any, count: int) -> CaseSeen:
    steps, fixtures, traits = told
    units, number = [], 0
    for step in steps:
        number += step
        units.append(number)
    return CaseSeen(_numbers(units, count), tuple(map(str, fixtures)), frozenset(map(str, traits)))


def _numbers(told: Any, count: int) -> frozenset[int]:
    numbers = frozenset(told)
    if not all(type(number) is int and 0 <= number < count for number in numbers):
        raise ValueError("a number of a unit that is not there")
    return numbers


# --- what slots left ------------------------------------------------------------------------------------------------


def gather(folder: Path, *, root: Path, prefix: str, commit: str, arguments: str) -> Recording | None:
    """
    One recording of all that slots left in `folder`; None where they left nothing.

    `prefix` is where `root` lies below the repository's top. A line that cannot be read (its process was killed) and a
    case whose outcome nobody saw are passed over.
    """
    gathering = _Gathering(root, prefix)
    for path in sorted(folder.glob("*.jsonl")):
        gathering.add_file(path)
    if not gathering.is_any:
        return None
    return gathering.recording(commit, arguments)


class _Gathering:
    def __init__(self, root: Path, prefix: str) -> None:
        self._prefix = prefix.strip("/")
        self._root = root
        self._numbers: dict[Unit, int] = {}
        self._lines_of: dict[str, dict[int, str]] = {}
        self._mapped: list[int | None] = []
        self._cases: dict[str, tuple[set[int], set[str], set[str]]] = {}
        self._fixtures: dict[str, tuple[set[int], set[str], set[str]]] = {}
        self._outside: set[int] = set()
        self._kept: dict[str, set[int]] = {}
        self._traits: set[str] = set()
        self._inputs: set[Input] = set()
        self._collected: set[str] = set()
        self._left_out: set[str] = set()
        self.is_any = False

    def add_file(self, path: Path) -> None:
        self._mapped = []
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                    self._add(told)
                except (ValueError, KeyError, TypeError, IndexError):
                    continue
                self.is_any = True

    def _add(self, told: dict[str, Any]) -> None:
        kind = told["k"]
        if kind == "units":
            self._mapped += [self._number(*unit) for unit in told["u"]]
        elif kind in ("case", "fixture"):
            holder = self._cases if kind == "case" else self._fixtures
            units, fixtures, traits = holder.setdefault(told["id"], (set(), set(), set()))
            units.update(self._all(told["u"]))
            fixtures.update(told.get("x", ()))
            traits.update(told["t"])
        elif kind == "outside":
            self._outside.update(self._all(told["u"]))
            self._traits.update(told["t"])
        elif kind == "kept":
            self._kept.setdefault(self._seen_from_root(told["in"]), set()).update(self._all(told["u"]))
        elif kind == "input":
            by = told["by"] if told["by"] == "*" else self._seen_from_root(told["by"])
            self._inputs.add(Input(self._seen_from_root(told["p"]), told["h"], by, told["c"]))
        elif kind == "collected":
            self._collected.update(told["c"])
        elif kind == "left_out":
            self._left_out.update(told["c"])

    def _all(self, numbers: Iterable[int]) -> Iterator[int]:
        for number in numbers:
            mapped = self._mapped[number]
            if mapped is not None:
                yield mapped

    def _number(self, file: str, name: str, line: int, short: str) -> int | None:
        """The number of a function or module here; None for a class's body, and for what is not the project's."""
        if not file or short == "<class>":
            return None
        path = self._seen_from_root(file)
        if short == "<module>":
            return self._numbers.setdefault((path, short), len(self._numbers))
        name = _INNER.sub("", name or self._name_at(path, line))
        return self._numbers.setdefault((path, name), len(self._numbers)) if name else None

    def _name_at(self, path: str, line: int) -> str:
        """Before Python 3.11 a code object knows its line only."""
        if path not in self._lines_of:
            try:
                self._lines_of[path] = dict(functions_at((self._root / path).read_bytes()))
            except (OSError, ValueError, SyntaxError, RecursionError):
                self._lines_of[path] = {}
        lines = self._lines_of[path]
        return lines.get(line) or next((lines[at] for at in sorted(lines, reverse=True) if at <= line), "")

    def _seen_from_root(self, path: str) -> str:
        if not self._prefix:
            return path
        start = f"{self._prefix}/"
        return path.removeprefix(start) if path.startswith(start) else posixpath.relpath(path, self._prefix)

    def recording(self, commit: str, arguments: str) -> Recording:
        def frozen(told: Mapping[str, tuple[set[int], set[str], set[str]]]) -> dict[str, CaseSeen]:
            return {
                name: CaseSeen(frozenset(units), tuple(sorted(fixtures)), frozenset(traits))
                for name, (units, fixtures, traits) in told.items()
            }

        return Recording(
            commit=commit,
            arguments=arguments,
            has_units=bool(self._numbers),
            units=tuple(self._numbers),
            outside=frozenset(self._outside),
            kept={file: frozenset(units) for file, units in self._kept.items()},
            traits=frozenset(self._traits),
            fixtures=frozen(self._fixtures),
            cases=frozen(self._cases),
            inputs=frozenset(self._inputs),
            collected=frozenset(self._collected | self._cases.keys()),
            left_out=frozenset(self._left_out),
        )


def functions_at(content: bytes) -> Iterator[tuple[int, str]]:
    """The first line (of its first decorator, from 1) and the qualified name of every function of a file."""
    waiting: list[tuple[ast.AST, str]] = [(ast.parse(content), "")]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield min([node.lineno, *(item.lineno for item in node.decorator_list)]), f"{prefix}{node.name}"
            prefix = f"{prefix}{node.name}.<locals>."
        waiting.extend((child, prefix) for child in ast.iter_child_nodes(node))
