"""`dt quarantine propose`: what the history says of the quarantine, written into its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_from
from dt_action.cli.subcommands import Subcommand, dispatch
from dt_action.errors import ExitCode
from dt_action.judging.owners import read_owners
from dt_action.judging.proposal import edited, propose
from dt_action.judging.quarantine import NAMES
from dt_action.reports.formats.text import one_line
from dt_action.workspace.git import Git


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the subcommand that is named."""
    return dispatch("dt quarantine", COMMANDS, argv, environ)


def _propose(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Edit the quarantine's file, and print each change; nothing where the history proposes none."""
    parser = Parser("dt quarantine propose", "put flaky tests into the quarantine, and take out what passed for long")
    parser.add_argument("--dry-run", action="store_true", help="print the changes and leave the file alone")
    settings, given = settings_from(parser, argv, environ)
    wiring = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=print)
    git = Git(settings.root)
    owners, prefix = read_owners(git.top()), git.prefix()
    proposal = propose(
        wiring.memory.past.records,
        wiring.memory.quarantine,
        lambda file: " ".join(owners.owners_of(f"{prefix}{file}")),
    )
    lines = proposal.lines()
    if lines and not getattr(given, "dry_run", False):
        path = next((settings.root / name for name in NAMES if (settings.root / name).is_file()), None)
        content = path.read_text(encoding="utf-8") if path else ""
        (path or settings.root / NAMES[0]).write_text(edited(content, proposal), encoding="utf-8", newline="\n")
    print("\n".join(one_line(line, 500) for line in lines) or "nothing to change")
    return ExitCode.PASSED


COMMANDS = {
    "propose": Subcommand("put flaky tests in, with owner and end, and take out what passed for long", _propose)
}
