"""`dt failures`: what failed in a run that is over, in less than 8 kB of plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dt_action.app.parts import read_parts
from dt_action.cli.arguments import Parser, settings_from
from dt_action.errors import ConfigurationError
from dt_action.judging.merging import merge
from dt_action.options import Settings, secret_values
from dt_action.reports.badges import newest_reports
from dt_action.reports.redaction import Redactor
from dt_action.reports.renderers.brief import Brief


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the failures of the newest report, or of the reports that are named, as one."""
    parser = Parser("failures", "print what failed in a run: what, why, where, and how to run it again")
    parser.add_argument("reports", nargs="*", help="JSON reports, or directories that hold some [--output-dir]")
    settings, given = settings_from(parser, argv, environ)
    runs, unreadable = read_parts(_files(settings, getattr(given, "reports", ())))
    if not runs:
        raise ConfigurationError("; ".join(unreadable) or "there is no report")
    run = Redactor(secret_values(settings, environ)).run(runs[0] if len(runs) == 1 else merge(runs))
    print(Brief().text(run), end="", flush=True)
    return 0


def _files(settings: Settings, named: Sequence[str]) -> list[Path]:
    files = []
    for name in named or (settings.output_dir,):
        path = settings.root / name
        if not path.exists():
            raise ConfigurationError(f"the report {name} does not exist")
        files += newest_reports(path) if path.is_dir() else [path]
    if not files:
        raise ConfigurationError(
            f"there is no JSON report in {', '.join(named) or settings.output_dir!r}",
            hint="run the tests first, with `json` among --report-formats, or name the report",
        )
    return files
