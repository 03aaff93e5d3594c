"""`dt coordinator`: serve; make, list and revoke keys; make enrolment tokens; take a backup."""

from __future__ import annotations

import argparse
import ipaddress
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dt_action.cli.arguments import Parser
from dt_action.errors import ConfigurationError
from dt_action.options.kinds import BYTE_COUNT, DURATION

if TYPE_CHECKING:
    from dt_action.coordinator.service import Config

DATA = "dt-coordinator"
PORT = 8470


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve, or do what the words after `coordinator` ask for."""
    try:
        import fastapi  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"the coordinator needs {error.name}, which is not installed",
            hint="pip install 'distributed-testing[coordinator]'",
        ) from error
    words = list(argv)
    if words[:1] == ["key"]:
        return _key(words[1:], environ)
    if words[:1] == ["enrol"]:
        return _enrol(words[1:], environ)
    if words[:1] == ["backup"]:
        return _backup(words[1:], environ)
    return _serve(words, environ)


def _parser(command: str, summary: str) -> Parser:
    parser = Parser(command, summary)
    parser.add_argument("--data", metavar="DIRECTORY", help=f"where everything is kept [{DATA}]")
    parser.add_argument(
        "--database", metavar="URL", help="such as postgresql+psycopg://user@host/name [SQLite in the data directory]"
    )
    return parser


def _config(given: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    from dt_action.coordinator.roster import Patience
    from dt_action.coordinator.service import Config

    patience = Patience(
        lease_s=_seconds(given, "lease", 45.0, least=1.0), promise_s=_seconds(given, "promise", 300.0, least=1.0)
    )
    return Config(
        data=Path(getattr(given, "data", environ.get("DT_COORDINATOR_DATA") or DATA)),
        database=getattr(given, "database", environ.get("DT_COORDINATOR_DATABASE", "")),
        patience=patience,
        retention_s=_seconds(given, "retention", 30 * 86400.0, least=60.0),
    )


def _seconds(given: argparse.Namespace, name: str, default: float, *, least: float) -> float:
    text = getattr(given, name, None)
    if text is None:
        return default
    try:
        seconds = DURATION.read(text)
    except ValueError:
        raise ConfigurationError(f"--{name} is {text!r}; expected {DURATION.expected}") from None
    return max(seconds, least)


def _bytes(given: argparse.Namespace, name: str) -> int:
    """A size such as 5GiB; 0 where none was given."""
    text = getattr(given, name, None)
    try:
        return 0 if text is None else int(BYTE_COUNT.read(text))
    except ValueError:
        raise ConfigurationError(f"--{name.replace('_', '-')} is {text!r}; expected {BYTE_COUNT.expected}") from None


# --- serving --------------------------------------------------------------------------------------------------------


def _serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = _parser("coordinator", "serve workers and clients")
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on [127.0.0.1]")
    parser.add_argument("--port", type=int, metavar="N", help=f"port to listen on [{PORT}]")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain in PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key in PEM")
    parser.add_argument("--allow-insecure-http", action="store_true", help="plain HTTP beyond this machine")
    parser.add_argument("--lease", metavar="TIME", help="how long a silent worker keeps its leases [45s]")
    parser.add_argument("--promise", metavar="TIME", help="how long a silent worker counts as coming back [5m]")
    parser.add_argument("--retention", metavar="TIME", help="how long runs are kept after their end [30d]")
    parser.add_argument("--oidc", metavar="FILE", help="policies for CI jobs' tokens, TOML (docs/security.md)")
    parser.add_argument(
        "--trusted-proxies",
        nargs="+",
        metavar="ADDRESS",
        help="addresses or networks of proxies whose X-Forwarded-For and -Proto are believed [none]",
    )
    parser.add_argument("--log-format", choices=("text", "json"), help="how the log is written, to stderr [text]")
    given = parser.parse(argv)
    host, port = getattr(given, "host", "127.0.0.1"), getattr(given, "port", PORT)
    has_tls = hasattr(given, "tls_cert")
    if has_tls != hasattr(given, "tls_key"):
        raise ConfigurationError("expected both --tls-cert and --tls-key, found one of them")
    if not has_tls and not _is_loopback(host) and not hasattr(given, "allow_insecure_http"):
        raise ConfigurationError(
            f"--host {host} without TLS would send keys and source code over the network in the open",
            hint="give --tls-cert and --tls-key; behind a proxy that does TLS: --allow-insecure-http",
        )
    from dt_action.coordinator.server import Listening, serve

    config = _config(given, environ)
    first_start = not config.database and not (config.data / "coordinator.db").exists()
    address = f"{'https' if has_tls else 'http'}://{host}:{port}"
    print(f"dt coordinator on {address}, data in {config.data}", flush=True)
    if first_start:
        print(_first_words(config, address), flush=True)
    listening = Listening(
        host=host,
        port=port,
        tls=(given.tls_cert, given.tls_key) if has_tls else None,
        trusted_proxies=_proxies(getattr(given, "trusted_proxies", ())),
    )
    oidc = Path(given.oidc) if hasattr(given, "oidc") else None
    return serve(config, listening, oidc=oidc, log_format=getattr(given, "log_format", "text"))


def _proxies(named: Sequence[str]) -> tuple[str, ...]:
    for name in named:
        try:
            ipaddress.ip_network(name, strict=False)
        except ValueError:
            raise ConfigurationError(
                f"--trusted-proxies names {name!r}; expected an address or a network such as 10.0.0.0/8"
            ) from None
    return tuple(str(ipaddress.ip_network(name, strict=False)) if "/" in name else name for name in named)


def _first_words(config: Config, address: str) -> str:
    where = f" --data {config.data}" if str(config.data) != DATA else ""
    return (
        "first start; what comes next:\n"
        f"  a key for clients:   dt coordinator key create --name ci --scopes submit,read{where}\n"
        f"  a token for workers: dt coordinator enrol --name lab{where}\n"
        f"  a worker:            dt worker --coordinator {address} --token TOKEN\n"
        f"  a run:               dt run --coordinator {address}    (with the key in COORDINATOR_API_KEY)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- keys and tokens ------------------------------------------------------------------------------------------------


def _key(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    action = argv[0] if argv else ""
    actions = {"create": _create_key, "list": _list_keys, "revoke": _revoke_key}
    if action not in actions:
        raise ConfigurationError(f"expected dt coordinator key create, list or revoke, found {action!r}")
    return actions[action](argv[1:], environ)


def _create_key(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from dt_action.coordinator.auth import Quota, make_key

    parser = _parser("dt coordinator key create", "make an API key")
    parser.add_argument("--name", required=True, help="whose it is")
    parser.add_argument("--scopes", help="some of submit,read,admin [submit,read]")
    parser.add_argument("--repositories", help="only runs of these, separated by commas [any]")
    parser.add_argument("--expires", metavar="TIME", help="how long it is good for, such as 90d [for ever]")
    parser.add_argument("--max-slots", type=int, metavar="N", help="most slots at a time, over all its runs [no limit]")
    parser.add_argument("--max-runs", type=int, metavar="N", help="most runs at a time [no limit]")
    parser.add_argument("--max-priority", type=int, metavar="N", help="highest priority it may ask for [0]")
    parser.add_argument("--max-storage", metavar="SIZE", help="how much its bundles may take [a quarter of all]")
    given = parser.parse(argv)
    expires_s = _seconds(given, "expires", 0.0, least=0.0) if hasattr(given, "expires") else None
    key = _changing(
        given,
        environ,
        lambda changes: make_key(
            changes,
            name=given.name,
            scopes=_words(getattr(given, "scopes", "submit,read")),
            repositories=_words(getattr(given, "repositories", "")),
            expires_s=expires_s,
            quota=Quota(
                max_slots=getattr(given, "max_slots", 0),
                max_runs=getattr(given, "max_runs", 0),
                max_priority=getattr(given, "max_priority", 0),
                max_storage_bytes=_bytes(given, "max_storage"),
            ),
        ),
    )
    print(key)
    return 0


def _list_keys(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    import sqlalchemy as sa

    from dt_action.coordinator.store import KEYS, rows_of

    given = _parser("dt coordinator key list", "list the API keys").parse(argv)
    for row in rows_of(_engine(given, environ), sa.select(KEYS).order_by(KEYS.c.created_at)):
        ends = "revoked" if row.revoked_at else f"until {_day(row.expires_at)}" if row.expires_at else "for ever"
        used = f"last used {_day(row.last_used_at)}" if row.last_used_at else "never used"
        print(f"{row.id}  {row.name}  {row.scopes}  {ends}  {used}")
    return 0


def _revoke_key(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from dt_action.coordinator.store import KEYS

    parser = _parser("dt coordinator key revoke", "revoke an API key, at once")
    parser.add_argument("id", help="as `key list` shows it")
    given = parser.parse(argv)

    def revoke(changes: Any) -> None:
        changes.update(KEYS, given.id, revoked_at=time.time())
        changes.audit("operator", "key revoked", given.id)

    _changing(given, environ, revoke)
    return 0


def _enrol(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from dt_action.coordinator.auth import make_enrolment

    parser = _parser("dt coordinator enrol", "make an enrolment token for workers")
    parser.add_argument("--name", help="what it is for [worker]")
    parser.add_argument("--uses", type=int, metavar="N", help="for how many workers it is good [1]")
    parser.add_argument("--pool", action="store_true", help="for any number of workers, also again after a restart")
    parser.add_argument("--expires", metavar="TIME", help="how long it is good for [1h; a pool's: for ever]")
    given = parser.parse(argv)
    is_pool = hasattr(given, "pool")
    expires_s = _seconds(given, "expires", 3600.0, least=1.0) if hasattr(given, "expires") or not is_pool else None
    uses = None if is_pool else getattr(given, "uses", 1)
    token = _changing(
        given,
        environ,
        lambda changes: make_enrolment(changes, name=getattr(given, "name", "worker"), uses=uses, expires_s=expires_s),
    )
    print(token)
    return 0


def _backup(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = _parser("dt coordinator backup", "copy the SQLite database while the coordinator runs")
    parser.add_argument("target", help="the file to write")
    given = parser.parse(argv)
    config = _config(given, environ)
    if config.database:
        raise ConfigurationError("the database is not in the data directory", hint="use its own tools, such as pg_dump")
    import sqlite3

    with sqlite3.connect(config.data / "coordinator.db") as source, sqlite3.connect(given.target) as target:
        source.backup(target)
    print(f"{given.target}: {Path(given.target).stat().st_size:,} bytes; keep {config.data / 'secret'} beside it")
    return 0


def _engine(given: argparse.Namespace, environ: Mapping[str, str]) -> Any:
    from dt_action.coordinator.store import migrate, open_engine

    config = _config(given, environ)
    config.data.mkdir(parents=True, exist_ok=True)
    engine = open_engine(config.url)
    migrate(engine)
    return engine


def _changing(given: argparse.Namespace, environ: Mapping[str, str], work: Any) -> Any:
    from dt_action.coordinator.store import Changes

    changes = Changes()
    answer = work(changes)
    with _engine(given, environ).begin() as connection:
        changes.write(connection)
    return answer


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
