"""`dt coordinator`: serve workers and clients, and the commands of whoever runs it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.cli.coordinator_config import DATA, config_of, data_parser
from dt_action.cli.subcommands import dispatch, listed
from dt_action.errors import ConfigurationError

if TYPE_CHECKING:
    from dt_action.coordinator.service import Config

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
    from dt_action.cli.coordinator_admin import COMMANDS

    if argv and not argv[0].startswith("-"):
        return dispatch("dt coordinator", COMMANDS, argv, environ)
    return _serve(argv, environ)


# --- serving --------------------------------------------------------------------------------------------------------


def _serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from dt_action.cli.coordinator_admin import COMMANDS

    epilog = f"other commands of `dt coordinator`:\n{listed(COMMANDS)}"
    parser = data_parser("coordinator", "serve workers and clients", epilog)
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on [127.0.0.1]")
    parser.add_argument("--port", type=int, metavar="N", help=f"port to listen on [{PORT}]")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain in PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key in PEM")
    parser.add_argument("--allow-insecure-http", action="store_true", help="plain HTTP beyond this machine")
    parser.add_argument("--lease", metavar="TIME", help="how long a silent worker keeps its leases [45s]")
    parser.add_argument(
        "--eviction-timeout", metavar="TIME", help="how long a silent worker counts as coming back [5m]"
    )
    parser.add_argument("--retention", metavar="TIME", help="how long runs are kept after their end [30d]")
    parser.add_argument("--max-database", metavar="SIZE", help="where it takes more, the oldest runs go [20GiB]")
    parser.add_argument("--max-blobs", metavar="SIZE", help="most space for bundles, and for coverage [50GiB]")
    parser.add_argument("--audit-retention", metavar="TIME", help="how long the audit is kept [400d]")
    parser.add_argument(
        "--history-retention", metavar="TIME", help="how long the history of a repository without runs is kept [180d]"
    )
    parser.add_argument(
        "--credential-retention",
        metavar="TIME",
        help="how long keys and tokens are listed that are good no more, and workers that are gone [90d]",
    )
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

    config = config_of(given, environ)
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
