"""The reviewed table of what names say of hardware, `vocabulary.toml`, and the rows that a project adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

from dt_action.analysis import names, phrases
from dt_action.analysis.facts import Fact, capability_at_least
from dt_action.analysis.phrases import Demand, Devices, PhraseError
from dt_action.analysis.values import UNKNOWN, Count, Value
from dt_action.analysis.worlds import World
from dt_action.errors import ConfigurationError

FILE: Final = "vocabulary.toml"
_GATES: Final = ("requires ", "excludes ")
_ROLES: Final = ("import ", "mark ", "fixture ")
_HINT: Final = 'write vocabulary = { "needs_board" = "requires npu" }; docs/analysis.md has all phrases'


class Vocabulary:
    """
    What is known of names: answers of functions and constants, gates of decorators, marks and fixtures, imports.

    A dotted name is known by itself, and any name by its last part, where that is a row of its own.
    """

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._rows = dict(rows)
        self._answers: dict[str, Fact | None] = {}
        self._gates: dict[tuple[str, str], tuple[Demand, ...] | None] = {}
        self.imports = {
            name: phrases.devices_of(phrase.removeprefix("import requires "))
            for name, phrase in self._rows.items()
            if phrase.startswith("import ")
        }
        self.demanding = frozenset(
            name.rpartition(".")[2] for name, phrase in self._rows.items() if phrase.startswith(("needs ", "gives "))
        )
        """The last parts of the names of what fails without a device."""
        self.fixtures = frozenset(name for name, phrase in self._rows.items() if phrase.startswith("fixture "))
        self.prefixes = frozenset(
            ".".join(parts[:length])
            for name in self._rows
            if "." in name
            for parts in [name.split(".")]
            for length in range(1, len(parts))
        )
        self.names = frozenset(self._rows)
        self.hot_words: Any = None

    def answer(self, name: str) -> Fact | None:
        """What a function or constant answers, by its dotted name or the last part of it."""
        if name not in self._answers:
            self._answers[name] = self._find_answer(name)
        return self._answers[name]

    def constant(self, name: str) -> Fact | None:
        """What is read of a name without a call; None for what is only called."""
        phrase = self._answer_phrase(name)
        return None if phrase.startswith(("needs ", "gives ")) else self.answer(name)

    def _find_answer(self, name: str) -> Fact | None:
        phrase = self._answer_phrase(name)
        return phrases.answer_of(phrase) if phrase else _answer_by_words(name.rpartition(".")[2])

    def _answer_phrase(self, name: str) -> str:
        for key in (name, name.rpartition(".")[2]):
            phrase = self._rows.get(key, "nothing")
            if phrase != "nothing" and ": " not in phrase and not phrase.startswith((*_GATES, *_ROLES)):
                return phrase
        return ""

    def gate(self, name: str, role: str = "") -> tuple[Demand, ...] | None:
        """What a decorator asks for, or what a `role` of that name does; None where nothing is known of it."""
        key = (role, name)
        if key not in self._gates:
            self._gates[key] = self._find_gate(name, role)
        return self._gates[key]

    def _find_gate(self, name: str, role: str) -> tuple[Demand, ...] | None:
        for key in (name, name.rpartition(".")[2]):
            phrase = self._rows.get(key)
            if phrase is None:
                continue
            if role:
                if phrase.startswith(f"{role} "):
                    return phrases.gate_of(phrase.removeprefix(f"{role} "))
            elif phrase == "nothing" or ": " in phrase or phrase.startswith(_GATES):
                return phrases.gate_of(phrase)
        return None

    def needed_by_import(self, dotted: str) -> Devices | None:
        """The devices without which a package cannot be imported, or used at all."""
        return self.imports.get(dotted.partition(".")[0]) or self.imports.get(dotted)

    def with_rows(self, rows: Mapping[str, str]) -> Vocabulary:
        """This vocabulary with the rows of a project, which come first."""
        return Vocabulary({**self._rows, **rows}) if rows else self


def _answer_by_words(word: str) -> Fact | None:
    """What the words of a predicate's name say, or those of one that is told the device by its first argument."""
    question = names.question_of(word)
    if question is not None:
        return lambda world, args, kwargs: question.is_open(world, (), {})
    counted = names.counted_by(word)
    if counted is not None:
        return lambda world, args, kwargs: Count(counted.accelerators)
    if names.asks_capability(word):
        return _capability
    return _about_argument if names.asks_about_argument(word) else None


def _capability(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    numbers = [arg for arg in args if isinstance(arg, (int, tuple)) and not isinstance(arg, bool)]
    return capability_at_least(world, numbers, {}) if numbers and len(numbers) == len(args) else UNKNOWN


def _about_argument(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    devices = phrases.devices_among(args[:1]) if args else None
    return UNKNOWN if devices is None else devices.are_in(world)


@cache
def built_in() -> Vocabulary:
    """The vocabulary of this package."""
    return Vocabulary(rows_of(_blocks()))


def without(repository: str) -> Vocabulary:
    """The vocabulary without the blocks that are at home in `repository`, for the benchmark of generality."""
    return Vocabulary(rows_of(block for block in _blocks() if repository not in block.get("origin", ())))


def _blocks() -> Sequence[Mapping[str, Any]]:
    from dt_action.options.config_file import parse_toml

    text = resources.files("dt_action.analysis").joinpath(FILE).read_text(encoding="utf-8")
    blocks: Any = parse_toml(text)["library"]
    return blocks  # type: ignore[no-any-return]


def rows_of(blocks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The rows of all blocks, by name."""
    return {name: phrase for block in blocks for name, phrase in block["rows"].items()}


def project_rows(table: Mapping[str, str]) -> dict[str, str]:
    """
    The rows that a project adds, checked.

    Raises ConfigurationError for every phrase that cannot be read, all at once.
    """
    problems = []
    for name, phrase in table.items():
        try:
            check(phrase)
        except PhraseError as error:
            problems.append(ConfigurationError(f"vocabulary of {name!r}: {error}", hint=_HINT))
    if problems:
        raise ConfigurationError.of_all(problems)
    return dict(table)


def check(phrase: str) -> None:
    """Read a phrase. Raises PhraseError where that cannot be done."""
    if phrase.startswith("import "):
        phrases.devices_of(phrase.removeprefix("import requires "))
    elif phrase.startswith(_ROLES):
        phrases.gate_of(phrase.partition(" ")[2])
    elif phrase == "nothing" or ": " in phrase or phrase.startswith(_GATES):
        phrases.gate_of(phrase)
    else:
        phrases.answer_of(phrase)
