"""`dt flaky`: the tests that passed and failed on the same code, by what they cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone

from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_from
from dt_action.errors import ExitCode
from dt_action.history.flaky import Flaky, flaky_tests
from dt_action.judging.proposal import ranked
from dt_action.reports.formats.text import one_line, seconds


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the flaky tests of the history, the costliest first; with `--json` for programs."""
    parser = Parser("flaky", "list the tests that are flaky by the history, the costliest first")
    parser.add_argument("--json", action="store_true", help="print JSON")
    settings, given = settings_from(parser, argv, environ)
    wiring = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=print)
    found = ranked(flaky_tests(wiring.memory.past.records))
    if getattr(given, "json", False):
        print(json.dumps([{**asdict(item), "rate": round(item.rate, 4)} for item in found], indent=2))
    elif found:
        print("commits      rate  seconds      first       last  test")
        print("\n".join(map(_row, found)))
    else:
        print("no flaky test is known")
    return ExitCode.PASSED


def _row(item: Flaky) -> str:
    hit = f"{item.flaky} of {item.runs}"
    where = f" ({', '.join(item.environments)})" if item.environments else ""
    first, last = (
        datetime.fromtimestamp(at, tz=timezone.utc).date().isoformat() for at in (item.first_seen, item.last_seen)
    )
    return f"{hit:<10} {item.rate:>6.1%} {seconds(item.cost_s):>8} {first} {last}  {one_line(item.id + where, 300)}"
