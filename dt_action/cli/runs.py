"""`dt runs`: a coordinator's runs on the terminal, and what may be done with one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from dt_action.cli.coordinator_link import ask, link_parser, plain
from dt_action.cli.subcommands import Subcommand, dispatch, listed
from dt_action.errors import ConfigurationError
from dt_action.remote import wire
from dt_action.remote.link import Link

Environ = Mapping[str, str]


def main(argv: Sequence[str], environ: Environ) -> int:
    """List the latest runs, or do what the first word asks for."""
    if argv and not argv[0].startswith("-"):
        return dispatch("dt runs", COMMANDS, argv, environ)
    epilog = f"about one run, by its id:\n{listed(COMMANDS)}"
    parser = link_parser("runs", "list the latest runs of a coordinator", epilog)
    parser.add_argument("--words", help="only those with this in the id, repository, branch, commit or owner")
    parser.add_argument("--conclusion", help="only those that are running, passed, failed, incomplete, ...")
    parser.add_argument("--most", type=int, metavar="N", help="how many [50]")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse(argv)
    wanted = {name: getattr(given, name) for name in ("words", "conclusion", "most") if hasattr(given, name)}
    runs = ask(given, environ, lambda link, key: link.get_json(f"/runs?{urlencode(wanted)}", token=key))
    print(json.dumps(runs, indent=2) if hasattr(given, "json") else "\n".join(map(_row, runs)) or "no runs")
    return 0


def _row(run: Mapping[str, Any]) -> str:
    totals = ", ".join(f"{count} {word}" for word, count in run["totals"].items() if word != "known")
    took_s = (run["ended_at"] or time.time()) - run["created_at"]
    where = " ".join(filter(None, (plain(run["repository"]), plain(run["branch"]), plain(run["commit"][:10])))) or "-"
    age_s = time.time() - run["created_at"]
    return f"{run['id']}  {run['conclusion']:<10}  {where}  {totals or '-'}  {took_s:.0f} s  {age_s:.0f} s ago"


def _about_one(words: str, summary: str, work: Callable[[Link, str, str], None]) -> Subcommand:
    def run(argv: Sequence[str], environ: Environ) -> int:
        parser = link_parser(f"dt runs {words}", summary)
        parser.add_argument("run", help="as `dt runs` shows it")
        given = parser.parse(argv)
        if not given.run.isalnum():
            raise ConfigurationError(f"{given.run!r} is not the id of a run", hint="`dt runs` lists them")
        ask(given, environ, lambda link, key: work(link, key, given.run))
        return 0

    return Subcommand(summary, run)


def _show(link: Link, key: str, run: str) -> None:
    print(json.dumps(link.get_json(f"/runs/{run}", token=key), indent=2))


def _results(link: Link, key: str, run: str) -> None:
    response = link.request("GET", f"/runs/{run}/results", token=key, accept="application/x-ndjson", stream=True)
    for line in response.iter_lines():
        print(line.decode("utf-8", "replace"))


def _cancel(link: Link, key: str, run: str) -> None:
    link.post(f"/runs/{run}/cancel", wire.Cancel(reason="cancelled by hand"), wire.Cancelled, token=key)


def _again(link: Link, key: str, run: str) -> None:
    submitted = link.post(f"/runs/{run}/again", {}, wire.Submitted, token=key)
    for warning in submitted.warnings:
        print(f"warning: {plain(warning)}")
    print(f"run {submitted.run}; follow it with: dt run --attach {submitted.run}")


COMMANDS = {
    "show": _about_one("show", "show what is known of a run, and why it waits", _show),
    "results": _about_one("results", "print the final outcome of each test, as JSON lines", _results),
    "cancel": _about_one("cancel", "end a run early", _cancel),
    "again": _about_one("again", "run it once more: the same tree, plan and options", _again),
}
