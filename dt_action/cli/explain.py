"""`dt explain PATH|NODE_ID [--json]`: what tests need, why, and whether they would run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dt_action.analysis.explanation import explain
from dt_action.app.readings import rules_of, vocabulary_of
from dt_action.cli.arguments import Parser, settings_from
from dt_action.discovery import discover
from dt_action.errors import ExitCode
from dt_action.options import Settings
from dt_action.probes import this_machine


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print what the named tests need. Returns the exit code."""
    parser = Parser("explain", "show what tests need, and why")
    parser.add_argument("paths", nargs="+", metavar="PATH|NODE_ID", help="a test file, a folder, or the id of a test")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    settings, given = settings_from(parser, argv, environ)
    text = explain(
        [*_files(given.paths, settings, environ)],
        root=settings.root,
        capability=this_machine(environ),
        as_json="json" in given,
        path_rules=rules_of(settings),
        vocabulary=vocabulary_of(settings),
    )
    print(text)
    return ExitCode.PASSED


def _files(paths: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """A folder stands for its test files."""
    for path in paths:
        if (settings.root / path).is_dir():
            yield from (file.path for file in discover(replace(settings, test_dir=path), environ))
        else:
            yield path
