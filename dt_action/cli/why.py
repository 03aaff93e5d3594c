"""`dt why TEST --changed-since REF`: why a selection takes a test, or leaves it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_from
from dt_action.errors import ConfigurationError, ExitCode
from dt_action.model.change import Selection
from dt_action.model.plan import Plan


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print, for each test named, whether it would run, and why. Returns the exit code."""
    parser = Parser("why", "show why a selection takes a test, or leaves it out")
    parser.add_argument("tests", nargs="+", metavar="TEST", help="a test file, or the id of a test")
    settings, given = settings_from(parser, argv, environ)
    wiring = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=print)
    files = wiring.discover()
    plan = wiring.plan(files, wiring.analyze(files))
    if plan.selection is None:
        raise ConfigurationError(
            "nothing chooses tests, so that all of them run", hint="add --changed-since REF or --only-failed"
        )
    known = {file.path for file in files}
    for test in given.tests:
        file = test.partition("::")[0]
        if file not in known:
            raise ConfigurationError(f"{test!r} is in no test file of this project", hint="dt plan lists the files")
        print(f"{test}: {_describe(test, file, plan, plan.selection)}")
    return ExitCode.PASSED


def _describe(test: str, file: str, plan: Plan, selection: Selection) -> str:
    chosen = next((item for item in selection.chosen if item.path == file), None)
    if chosen is None:
        return f"left out; {selection.why_not(file)}"
    if test == file or not chosen.cases:
        return f"runs; {chosen.reason}"
    cases = [(id, reason) for id, reason in chosen.cases if id == test or id.startswith((f"{test}[", f"{test}::"))]
    if not cases:
        return f"left out; other cases of its file run: {chosen.reason}"
    return "runs; " + "; ".join(dict.fromkeys(reason for _, reason in cases))
