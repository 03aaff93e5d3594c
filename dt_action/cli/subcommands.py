"""Commands with commands of their own: `dt coordinator key create`. Each level tells what it has with `--help`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dt_action.errors import ConfigurationError

Run = Callable[[Sequence[str], Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Subcommand:
    """What a word stands for, in a few words, and what it does."""

    summary: str
    run: Run


def listed(table: Mapping[str, Subcommand]) -> str:
    """The words of a table with their summaries, for a help text."""
    width = max(map(len, table))
    return "\n".join(f"  {name:<{width}}  {each.summary}" for name, each in table.items())


def dispatch(prog: str, table: Mapping[str, Subcommand], argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command that the first word names. Raises ConfigurationError where there is none of that name."""
    word = argv[0] if argv else ""
    if word in table:
        return table[word].run(argv[1:], environ)
    if word in ("-h", "--help"):
        print(f"usage: {prog} COMMAND [OPTION ...]\n\n{listed(table)}\n\n`{prog} COMMAND --help` lists its options.")
        return 0
    found = f"found {word!r}" if word else "found nothing"
    raise ConfigurationError(
        f"expected {prog} {' or '.join(table)}, {found}", hint=f"`{prog} --help` says what each of them does"
    )
