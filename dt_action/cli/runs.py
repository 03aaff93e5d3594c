"""`dt runs` and `dt workers`: what a coordinator is doing, on the terminal; and one run's results as JSON lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dt_action.cli.arguments import Parser
from dt_action.errors import ConfigurationError
from dt_action.remote.link import Link, LinkError, patiently

PATIENCE_S = 10.0


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """List the latest runs; `dt runs show RUN`, `dt runs results RUN`, `dt runs cancel RUN` are about one."""
    words = list(argv)
    actions = {"show": _show, "results": _results, "cancel": _cancel}
    if words[:1] and words[0] in actions:
        parser = _parser(f"dt runs {words[0]}", "one run of a coordinator")
        parser.add_argument("run", help="as `dt runs` shows it")
        given = parser.parse(words[1:])
        run = given.run
        if not run.isalnum():
            raise ConfigurationError(f"{run!r} is not the id of a run", hint="`dt runs` lists them")
        return _ask(given, environ, lambda link, key: actions[words[0]](link, key, run))
    given = _parser("runs", "list the runs of a coordinator").parse(words)
    return _ask(given, environ, _list)


def workers(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """List the workers of a coordinator, and what they do."""
    return _ask(_parser("workers", "list the workers of a coordinator").parse(argv), environ, _list_workers)


def _parser(command: str, summary: str) -> Parser:
    parser = Parser(command, summary)
    parser.add_argument("--coordinator", metavar="URL", help="address of the coordinator, else COORDINATOR_URL")
    return parser


def _ask(given: Any, environ: Mapping[str, str], work: Callable[[Link, str], None]) -> int:
    url = getattr(given, "coordinator", environ.get("COORDINATOR_URL", ""))
    if not url:
        raise ConfigurationError("no coordinator is named", hint="add --coordinator https://dt.example.org")
    key = environ.get("COORDINATOR_API_KEY", "") or environ.get("DT_API_KEY", "")
    link = Link(url)
    try:
        patiently(lambda: work(link, key), patience_s=PATIENCE_S)
    except LinkError as error:
        raise error.as_fleet_error(url) from error
    return 0


def _list(link: Link, key: str) -> None:
    for run in link.get_json("/runs", token=key):
        totals = ", ".join(f"{count} {word}" for word, count in run["totals"].items() if word != "known")
        age_s = time.time() - run["created_at"]
        print(
            f"{run['id']}  {run['status']:<9}  {_plain(run['repository']) or '-'}  {totals or '-'}  {age_s:.0f} s ago"
        )


def _show(link: Link, key: str, run: str) -> None:
    print(json.dumps(link.get_json(f"/runs/{run}", token=key), indent=2))


def _results(link: Link, key: str, run: str) -> None:
    response = link.request("GET", f"/runs/{run}/results", token=key, accept="application/x-ndjson", stream=True)
    for line in response.iter_lines():
        print(line.decode("utf-8", "replace"))


def _cancel(link: Link, key: str, run: str) -> None:
    from dt_action.remote import wire

    link.post(f"/runs/{run}/cancel", wire.Cancel(reason="cancelled by hand"), wire.Cancelled, token=key)


def _list_workers(link: Link, key: str) -> None:
    for worker in link.get_json("/workers", token=key):
        kinds = ", ".join(device["kind"] for device in worker["capability"].get("devices", ())) or "no accelerator"
        busy = f"{worker['busy']} of {worker['slots']} slots"
        print(f"{worker['id']}  {_plain(worker['name'])}  {worker['state']:<8}  {busy}  {kinds}")
        for work in worker["doing"]:
            print(f"    {work['slot']}  run {work['run']}  {_plain(work['case']) or 'between tests'}")


def _plain(text: str) -> str:
    """Without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
