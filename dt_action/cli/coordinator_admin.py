"""`dt coordinator key`, `enrol`, `audit`, `check`, ...: an operator's commands, which work on the data directory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dt_action.cli.coordinator_config import bytes_of, config_of, data_parser, seconds_of
from dt_action.cli.subcommands import Subcommand, dispatch
from dt_action.errors import ConfigurationError, ExitCode

if TYPE_CHECKING:
    from dt_action.coordinator.audit import Entry

Environ = Mapping[str, str]


# --- keys and tokens ------------------------------------------------------------------------------------------------


def _create_key(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import change
    from dt_action.coordinator.auth import Quota
    from dt_action.coordinator.credentials import make_key

    parser = data_parser("dt coordinator key create", "make an API key")
    parser.add_argument("--name", required=True, help="whose it is")
    parser.add_argument("--scopes", help="some of submit,read,shell,admin [submit,read]")
    parser.add_argument("--repositories", help="only runs of these, separated by commas [any]")
    parser.add_argument("--expires", metavar="TIME", help="how long it is good for, such as 90d [for ever]")
    parser.add_argument("--max-slots", type=int, metavar="N", help="most slots at a time, over all its runs [no limit]")
    parser.add_argument("--max-runs", type=int, metavar="N", help="most runs at a time [no limit]")
    parser.add_argument("--max-priority", type=int, metavar="N", help="highest priority it may ask for [0]")
    parser.add_argument("--max-storage", metavar="SIZE", help="how much its bundles may take [a quarter of all]")
    given = parser.parse(argv)
    quota = Quota(
        max_slots=getattr(given, "max_slots", 0),
        max_runs=getattr(given, "max_runs", 0),
        max_priority=getattr(given, "max_priority", 0),
        max_storage_bytes=bytes_of(given, "max_storage", 0),
    )
    expires_s = seconds_of(given, "expires", 0.0, least=0.0) if hasattr(given, "expires") else None
    key = change(
        config_of(given, environ),
        lambda _, changes: make_key(
            changes,
            name=given.name,
            scopes=_words(getattr(given, "scopes", "submit,read")),
            repositories=_words(getattr(given, "repositories", "")),
            expires_s=expires_s,
            quota=quota,
        ),
    )
    print(key)
    return 0


def _list_keys(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import opened
    from dt_action.coordinator.credentials import keys

    given = data_parser("dt coordinator key list", "list the API keys").parse(argv)
    with opened(config_of(given, environ)) as engine:
        for key in keys(engine):
            used = f"last used {_day(key['last_used_at'])}" if key["last_used_at"] else "never used"
            limits = [
                f"{name.removeprefix('max_')} {value}" for name, value in key.items() if name[:4] == "max_" and value
            ]
            only = f"only {', '.join(key['repositories'])}" if key["repositories"] else ""
            _row(key["id"], key["name"], ",".join(key["scopes"]), _life(key), used, only, *limits)
    return 0


def _revoke_key(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import change
    from dt_action.coordinator.credentials import revoke_key

    parser = data_parser("dt coordinator key revoke", "revoke an API key, at once")
    parser.add_argument("id", help="as `key list` shows it")
    given = parser.parse(argv)
    change(config_of(given, environ), lambda engine, changes: revoke_key(engine, changes, given.id))
    return 0


def _create_enrolment(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import change
    from dt_action.coordinator.credentials import make_enrolment

    epilog = "others: `dt coordinator enrol list`, `dt coordinator enrol revoke ID`"
    parser = data_parser("dt coordinator enrol", "make an enrolment token for workers", epilog)
    parser.add_argument("--name", help="what it is for [worker]")
    parser.add_argument("--uses", type=int, metavar="N", help="for how many workers it is good [1]")
    parser.add_argument("--pool", action="store_true", help="for any number of workers, also again after a restart")
    parser.add_argument("--expires", metavar="TIME", help="how long it is good for [1h; a pool's: for ever]")
    given = parser.parse(argv)
    is_pool = hasattr(given, "pool")
    expires_s = seconds_of(given, "expires", 3600.0, least=1.0) if hasattr(given, "expires") or not is_pool else None
    uses = None if is_pool else getattr(given, "uses", 1)
    name = getattr(given, "name", "worker")
    token = change(
        config_of(given, environ), lambda _, changes: make_enrolment(changes, name=name, uses=uses, expires_s=expires_s)
    )
    print(token)
    return 0


def _list_enrolments(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import opened
    from dt_action.coordinator.credentials import enrolments

    given = data_parser("dt coordinator enrol list", "list the enrolment tokens").parse(argv)
    with opened(config_of(given, environ)) as engine:
        for token in enrolments(engine):
            uses = "a pool" if token["uses_left"] is None else f"{token['uses_left']} uses left"
            _row(token["id"], token["name"], uses, _life(token))
    return 0


def _revoke_enrolment(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import change
    from dt_action.coordinator.credentials import revoke_enrolment

    parser = data_parser("dt coordinator enrol revoke", "revoke an enrolment token; workers that came by it stay")
    parser.add_argument("id", help="as `enrol list` shows it")
    given = parser.parse(argv)
    change(config_of(given, environ), lambda engine, changes: revoke_enrolment(engine, changes, given.id))
    return 0


def _enrol(argv: Sequence[str], environ: Environ) -> int:
    """Making a token is what `enrol` without a further word does."""
    if argv and not argv[0].startswith("-"):
        return dispatch("dt coordinator enrol", _ENROL, argv, environ)
    return _create_enrolment(argv, environ)


# --- audit ----------------------------------------------------------------------------------------------------------


def _audit(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import opened
    from dt_action.coordinator.audit import all_entries

    parser = data_parser("dt coordinator audit", "show who did what, the oldest first")
    parser.add_argument("--since", metavar="TIME", help="only the last of it, such as 7d [all]")
    parser.add_argument("--format", choices=("text", "json", "csv"), help="json: one object a line [text]")
    given = parser.parse(argv)
    since = time.time() - seconds_of(given, "since", 0.0, least=0.0) if hasattr(given, "since") else 0.0
    with opened(config_of(given, environ)) as engine:
        _AUDIT_FORMATS[getattr(given, "format", "text")](all_entries(engine, since=since))
    return 0


def _as_text(entries: Iterable[Entry]) -> None:
    for entry in entries:
        _row(_day(entry.at, seconds=True), entry.who, entry.what, entry.detail, entry.request)


def _as_json(entries: Iterable[Entry]) -> None:
    for entry in entries:
        print(json.dumps(entry.as_jsonable()))


def _as_csv(entries: Iterable[Entry]) -> None:
    from dt_action.coordinator.audit import as_csv

    for line in as_csv(entries):
        print(line, end="")


_AUDIT_FORMATS = {"text": _as_text, "json": _as_json, "csv": _as_csv}


# --- maintenance ----------------------------------------------------------------------------------------------------


def _drain(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import change, opened
    from dt_action.coordinator.credentials import OPERATOR
    from dt_action.coordinator.notes import begin_maintenance

    parser = data_parser("dt coordinator drain", "finish what runs, and take nothing new")
    parser.add_argument("--reason", help="what clients are told")
    parser.add_argument("--wait", metavar="TIME", help="wait until nothing runs any more, at most so long")
    given = parser.parse(argv)
    config = config_of(given, environ)
    change(config, lambda _, changes: begin_maintenance(changes, getattr(given, "reason", ""), who=OPERATOR))
    wait_s = seconds_of(given, "wait", 0.0, least=0.0)
    give_up_at = time.monotonic() + wait_s
    with opened(config) as engine:
        left = _live_runs(engine)
        while left and time.monotonic() < give_up_at:
            time.sleep(0.5)
            left = _live_runs(engine)
    print(f"no new runs are taken; {left} are under way")
    return int(ExitCode.INCOMPLETE) if left and wait_s else 0


def _live_runs(engine: Any) -> int:
    import sqlalchemy as sa

    from dt_action.coordinator.store import RUNS, rows_of

    return int(rows_of(engine, sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.ended_at.is_(None)))[0][0])


def _resume(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import change
    from dt_action.coordinator.credentials import OPERATOR
    from dt_action.coordinator.notes import end_maintenance

    given = data_parser("dt coordinator resume", "take runs again, after `dt coordinator drain`").parse(argv)
    change(config_of(given, environ), lambda _, changes: end_maintenance(changes, who=OPERATOR))
    return 0


# --- check, backup, restore -----------------------------------------------------------------------------------------


def _check(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.administration import opened
    from dt_action.coordinator.check import findings, losses

    parser = data_parser("dt coordinator check", "verify database and files, and say what a restore would lose")
    parser.add_argument("--backup", metavar="FILE", help="a backup, or the address of a database that holds one")
    given = parser.parse(argv)
    config = config_of(given, environ)
    backup = getattr(given, "backup", "")
    if backup and "://" not in backup:
        if not Path(backup).is_file():
            raise ConfigurationError(f"there is no backup {backup}")
        backup = f"sqlite:///{Path(backup).resolve()}"
    problems = 0
    with opened(config) as engine:
        for finding in (*findings(engine, config), *losses(engine, backup)):
            problems += finding.level == "problem"
            print(f"{finding.level:<8} {finding.subject:<10} {finding.text}", flush=True)
    print(f"{problems} problem{'s' * (problems != 1)}")
    return int(ExitCode.CONFIGURATION if problems else ExitCode.PASSED)


def _backup(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.backup import back_up

    parser = data_parser("dt coordinator backup", "copy the SQLite database while the coordinator runs")
    parser.add_argument("target", help="the file to write")
    given = parser.parse(argv)
    target, secret = back_up(config_of(given, environ), Path(given.target))
    print(f"{target}: {target.stat().st_size:,} bytes; {secret} belongs to it")
    return 0


def _restore(argv: Sequence[str], environ: Environ) -> int:
    from dt_action.coordinator.backup import restore

    parser = data_parser("dt coordinator restore", "put a backup in the place of the database, while nobody serves it")
    parser.add_argument("source", help="the file that `dt coordinator backup` wrote")
    given = parser.parse(argv)
    for line in restore(config_of(given, environ), Path(given.source)):
        print(line)
    return 0


# --- words and days -------------------------------------------------------------------------------------------------


def _row(*cells: str) -> None:
    shown = ("".join(letter if letter.isprintable() else "?" for letter in cell) for cell in cells if cell)
    print("  ".join(shown))


def _life(credential: Mapping[str, Any]) -> str:
    if credential["state"] != "good":
        return str(credential["state"])
    return f"until {_day(credential['expires_at'])}" if credential["expires_at"] else "for ever"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _day(at: float, *, seconds: bool = False) -> str:
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M UTC"
    return datetime.fromtimestamp(at, tz=timezone.utc).strftime(form)


_KEY = {
    "create": Subcommand("make one; it is printed once", _create_key),
    "list": Subcommand("list them", _list_keys),
    "revoke": Subcommand("revoke one, at once", _revoke_key),
}
_ENROL = {
    "create": Subcommand("make one; it is printed once", _create_enrolment),
    "list": Subcommand("list them", _list_enrolments),
    "revoke": Subcommand("revoke one", _revoke_enrolment),
}
COMMANDS = {
    "key": Subcommand(
        "make, list and revoke API keys", lambda argv, env: dispatch("dt coordinator key", _KEY, argv, env)
    ),
    "enrol": Subcommand("make, list and revoke enrolment tokens for workers", _enrol),
    "audit": Subcommand("show who did what", _audit),
    "drain": Subcommand("finish what runs, and take nothing new", _drain),
    "resume": Subcommand("take runs again", _resume),
    "check": Subcommand("verify database and files, and say what a restore would lose", _check),
    "backup": Subcommand("copy the SQLite database while it is in use", _backup),
    "restore": Subcommand("put a backup in its place", _restore),
}
