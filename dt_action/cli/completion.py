"""`dt completion SHELL`: commands and options for the completion of bash, zsh or fish."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from dt_action.cli import COMMANDS
from dt_action.cli.arguments import Parser
from dt_action.errors import ExitCode
from dt_action.options import OPTIONS

WITH_OPTIONS = (
    "run",
    "plan",
    "report",
    "failures",
    "flaky",
    "quarantine",
    "badge",
    "explain",
    "why",
    "config",
    "doctor",
)
"""The commands that take the whole table of options."""

_BASH = """_dt() {{
    local word=${{COMP_WORDS[COMP_CWORD]}}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {commands} -- "$word"))
    elif [[ $word == -* && {with_options} == *" ${{COMP_WORDS[1]}} "* ]]; then
        COMPREPLY=($(compgen -W {flags} -- "$word"))
    else
        COMPREPLY=()
    fi
}}
complete -o default -F _dt dt
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the lines that a shell reads, as in `source <(dt completion bash)`."""
    parser = Parser(
        "completion",
        "print what a shell needs to complete dt's commands and options",
        epilog="bash, zsh: source <(dt completion bash)\nfish: dt completion fish | source",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    print(script(parser.parse(argv).shell), end="")
    return int(ExitCode.PASSED)


def script(shell: str) -> str:
    """What `shell` reads. Paths are completed by the shell itself."""
    if shell == "fish":
        return "".join(f"{line}\n" for line in _fish())
    flags = [row.flag for row in OPTIONS if row.has_flag]
    bash = _BASH.format(
        commands=shlex.quote(" ".join(COMMANDS)),
        with_options=shlex.quote(f" {' '.join(WITH_OPTIONS)} "),
        flags=shlex.quote(" ".join(flags)),
    )
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash}" if shell == "zsh" else bash


def _fish() -> Iterator[str]:
    for name, summary in COMMANDS.items():
        yield f"complete -c dt -n __fish_use_subcommand -f -a {name} -d {_fish_word(summary)}"
    condition = f"__fish_seen_subcommand_from {' '.join(WITH_OPTIONS)}"
    for row in OPTIONS:
        if row.has_flag:
            yield f"complete -c dt -n '{condition}' -l {row.flag.removeprefix('--')} -d {_fish_word(row.help)}"


def _fish_word(text: str) -> str:
    """Within single quotes fish knows two escapes: of the quote and of the backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
