"""The command line of a command, built from the table of options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from dt_action.cli.pytest_words import PytestWords, split_at_dashes
from dt_action.errors import ConfigurationError
from dt_action.options import GROUPS, OPTIONS, Option, Settings, resolve


class Parser(argparse.ArgumentParser):
    """
    A parser of `dt COMMAND`. An option that is not given leaves no trace, so that the next source can speak.

    Mistakes are ConfigurationErrors: exit code 4, not argparse's 2, which means interrupted here.
    """

    def __init__(self, command: str, summary: str, *, epilog: str = "") -> None:
        super().__init__(
            prog=command if " " in command else f"dt {command}",
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=epilog,
        )
        self._takes_table = False

    def error(self, message: str) -> NoReturn:
        """Raise what argparse has to say."""
        raise ConfigurationError(message, hint=f"`{self.prog} --help` lists the options")

    def add_table(self) -> None:
        """Add every option of the table, group by group."""
        self._takes_table = True
        self.epilog = (
            "An option can also stand in the environment (DT_TEST_DIR=tests) or in [tool.dt] of pyproject.toml"
            " or dt.yml (test-dir: tests)."
        )
        for group, title in GROUPS.items():
            section = self.add_argument_group(title)
            for row in OPTIONS:
                if row.group == group and row.has_flag:
                    _add(section, row)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse, and tell every unknown word at once."""
        found, unknown = self.parse_known_args(_tie_dashed_values(argv))
        if unknown:
            raise ConfigurationError.of_all([self._unknown(word) for word in unknown])
        return found

    def _unknown(self, word: str) -> ConfigurationError:
        from difflib import get_close_matches

        lists = f"`{self.prog} --help` lists what it takes"
        if not word.startswith("-") and not self._takes_table:
            return ConfigurationError(f"expected no {word!r} here", hint=lists)
        if not word.startswith("-"):
            hint = "name files with --test-files, a directory with --test-dir, pytest's own with --pytest-args"
            return ConfigurationError(f"expected an option, found {word!r}", hint=hint)
        flag = word.partition("=")[0]
        closest = get_close_matches(flag, self._option_string_actions, n=1, cutoff=0.7)
        otherwise = f'for an option of pytest: --pytest-args "{word}"' if self._takes_table else lists
        hint = f"did you mean {closest[0]}?" if closest else otherwise
        return ConfigurationError(f"no option {flag}", hint=hint)


def settings_from(
    parser: Parser, argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Settings, argparse.Namespace]:
    """The settings of a command that takes the whole table, and what else it was given."""
    parser.add_table()
    given = parser.parse(argv)
    return resolve(vars(given), environ, Path.cwd()), given


def settings_with_pytest(
    parser: Parser, argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Settings, argparse.Namespace]:
    """
    As `settings_from`, for a command line that may also hold pytest's: paths, node ids, pytest's own options.

    What follows a lone `--` is pytest's as it is. Raises ConfigurationError that tells every unknown word.
    """
    parser.usage = f"{parser.prog} [OPTION ...] [FILE|DIRECTORY|TEST ...] [OPTION OF PYTEST ...] [-- ARGUMENT ...]"
    parser.add_table()
    before, after = split_at_dashes(argv)
    given, unknown = parser.parse_known_args(_tie_dashed_values(before))
    words = PytestWords(known_flags=tuple(parser._option_string_actions))
    words.take(unknown)
    if words.problems:
        raise ConfigurationError.of_all(words.problems)
    flags = {**words.given, **vars(given), **({"paths": words.paths} if words.paths else {})}
    settings = resolve(flags, environ, Path.cwd())
    if words.paths and "test_dir" not in vars(
        given
    ):  # as pytest's testpaths, the project's folder is for want of paths
        settings = replace(settings, test_dir=None)
    return replace(settings, pytest_args=(*settings.pytest_args, *words.args, *after)), given


def add_rows(section: argparse._ArgumentGroup, names: Sequence[str]) -> None:
    """Add a few options of the table to a command that does not take them all."""
    for row in OPTIONS:
        if row.name in names:
            _add(section, row)


def _add(section: argparse._ArgumentGroup, row: Option) -> None:
    help_text = row.help.replace("%", "%%")
    default = row.show(row.default)
    if row.kind.is_switch:
        section.add_argument(row.flag, dest=row.name, action=argparse.BooleanOptionalAction, help=help_text)
        return
    metavar = "{" + ",".join(row.kind.choices) + "}" if 0 < len(row.kind.choices) < 6 else row.kind.metavar
    section.add_argument(
        row.flag,
        dest=row.name,
        metavar=metavar,
        help=f"{help_text} [{default.strip('()')}]" if default != "(not set)" else help_text,
        **({"nargs": "+", "action": "extend"} if row.kind.many else {}),  # type: ignore[arg-type]
    )


def _tie_dashed_values(argv: Sequence[str]) -> list[str]:
    """`--pytest-args "-p no:randomly"` -> one word with `=`: argparse takes a value with a dash for an option."""
    flags = {row.flag for row in OPTIONS if row.takes_dashes}
    words: list[str] = []
    for word in argv:
        if words and words[-1] in flags:
            words[-1] = f"{words[-1]}={word}"
        else:
            words.append(word)
    return words
