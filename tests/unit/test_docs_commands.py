"""The commands that pages print exist, with the options that they are printed with."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dt_action.cli import COMMANDS, main
from dt_action.cli.pytest_words import OURS, TAKES_NONE, TAKES_VALUE
from dt_action.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("README.md")])
_COMMAND = re.compile(rf"\bdt ({'|'.join(COMMANDS)})\b((?:[^\n`|#\\]|\\\n)*)")
OF_PYTEST = {*TAKES_NONE, *TAKES_VALUE, *OURS}
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def commands(text: str) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """The words of each command in a page, and its options up to a `--`, behind which they are pytest's."""
    for found in _COMMAND.finditer(text):
        own = re.split(r" -- | && |; ", found[2])[0]
        words = [found[1]]
        for word in own.split():
            if not word.isalpha() or f"usage: dt {' '.join([*words, word])} " not in help_of(*words, word):
                break
            words.append(word)
        yield tuple(words), frozenset(_OPTION.findall(own))


@cache
def help_of(*words: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit, ConfigurationError):
        main([*words, "--help"], {})
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_of_a_printed_command_is_one_that_it_knows(page: Path) -> None:
    unknown = [
        f"dt {' '.join(words)} {option}"
        for words, options in commands(page.read_text(encoding="utf-8"))
        for option in sorted(options)
        if not (words == ("run",) and option in OF_PYTEST)
        and not re.search(rf"{re.escape(option)}(?![\w-])", help_of(*words))
    ]
    assert not unknown


def test_an_option_that_is_not_there_is_found() -> None:
    page = "`dt run --no-such` and\n    dt plan \\\n      --json\n    dt run -- --of-a-plugin"
    assert list(commands(page)) == [
        (("run",), frozenset({"--no-such"})),
        (("plan",), frozenset({"--json"})),
        (("run",), frozenset()),
    ]
    assert "--no-such" not in help_of("run")
    assert "--json" in help_of("plan")
