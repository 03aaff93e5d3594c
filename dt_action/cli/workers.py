"""`dt workers`: a coordinator's workers on the terminal, and what an admin may do with one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dt_action.cli.coordinator_link import ask, link_parser, plain
from dt_action.cli.subcommands import Subcommand, dispatch, listed
from dt_action.errors import ConfigurationError
from dt_action.remote.link import Link

Environ = Mapping[str, str]


def main(argv: Sequence[str], environ: Environ) -> int:
    """List the workers, or do what the first word asks for."""
    if argv and not argv[0].startswith("-"):
        return dispatch("dt workers", COMMANDS, argv, environ)
    epilog = f"for a key with the scope admin, about one worker by its name or id:\n{listed(COMMANDS)}"
    parser = link_parser("workers", "list the workers of a coordinator, and what they do", epilog)
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse(argv)
    workers = ask(given, environ, _all)
    if hasattr(given, "json"):
        print(json.dumps(workers, indent=2))
        return 0
    for worker in workers:
        for line in _lines(worker):
            print(line)
    if not workers:
        print("no workers; make a token with `dt coordinator enrol`, and start one with `dt worker`")
    return 0


def _all(link: Link, key: str) -> list[dict[str, Any]]:
    workers: list[dict[str, Any]] = link.get_json("/workers", token=key)
    return workers


def _lines(worker: Mapping[str, Any]) -> list[str]:
    kinds = ", ".join(plain(device["kind"]) for device in worker["capability"].get("devices", ())) or "no accelerator"
    busy = f"{worker['busy']} of {worker['slots']} slots"
    lines = [
        f"{worker['id']}  {plain(worker['name'])}  {worker['state']:<8}  {busy}  {kinds}  dt {plain(worker['version'])}"
    ]
    if worker["reason"]:
        lines.append(f"    {plain(worker['reason'])}")
    for work in worker["doing"]:
        lines.append(
            f"    {work['slot']}  run {work['run'] or '(another one)'}  {plain(work['case']) or 'between tests'}"
        )
    return lines


def _steer(action: str, summary: str, is_here: Callable[[Mapping[str, Any]], bool]) -> Subcommand:
    def run(argv: Sequence[str], environ: Environ) -> int:
        parser = link_parser(f"dt workers {action}", summary)
        parser.add_argument("worker", nargs="+", help="name or id, as `dt workers` shows it")
        given = parser.parse(argv)

        def work(link: Link, key: str) -> None:
            known = [worker for worker in _all(link, key) if is_here(worker)]
            chosen = [_named(known, name, action) for name in given.worker]
            for worker in chosen:
                link.request("POST", f"/workers/{worker['id']}/steer/{action}", token=key)

        ask(given, environ, work)
        return 0

    return Subcommand(summary, run)


def _named(known: Sequence[Mapping[str, Any]], name: str, action: str) -> Mapping[str, Any]:
    found = [worker for worker in known if name in (worker["name"], worker["id"])]
    if not found:
        there = ", ".join(sorted(plain(worker["name"]) for worker in known)[:20]) or "there is none"
        raise ConfigurationError(f"no worker {name!r} to {action}", hint=f"those that could be meant: {there}")
    return found[0]


COMMANDS = {
    "drain": _steer("drain", "finish what runs there, and give it nothing new", lambda w: w["state"] != "removed"),
    "resume": _steer("resume", "let one work again that was drained or put aside", lambda w: w["state"] != "removed"),
    "remove": _steer("remove", "let one go, and keep it out", lambda w: w["state"] != "removed"),
    "readmit": _steer("readmit", "let one enrol again that was removed", lambda w: w["state"] == "removed"),
}
