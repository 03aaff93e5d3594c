"""The options that say which coordinator is meant and what it keeps, for all commands of `dt coordinator`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.cli.arguments import Parser
from dt_action.errors import ConfigurationError
from dt_action.options.kinds import BYTE_COUNT, DURATION

if TYPE_CHECKING:
    from dt_action.coordinator.service import Config

DATA = "dt-coordinator"


def data_parser(command: str, summary: str, epilog: str = "") -> Parser:
    """A parser of a command that works on a coordinator's data."""
    parser = Parser(command, summary, epilog=epilog)
    parser.add_argument("--data", metavar="DIRECTORY", help=f"where everything is kept [{DATA}]")
    parser.add_argument(
        "--database", metavar="URL", help="such as postgresql+psycopg://user@host/name [SQLite in the data directory]"
    )
    return parser


def config_of(given: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The coordinator that is meant. Raises ConfigurationError."""
    from dt_action.coordinator.retention import Retention
    from dt_action.coordinator.roster import Patience
    from dt_action.coordinator.service import Config

    default = Retention()
    patience = Patience(
        lease_s=seconds_of(given, "lease", 45.0, least=1.0),
        eviction_timeout_s=seconds_of(given, "eviction_timeout", 300.0, least=1.0),
    )
    return Config(
        data=Path(getattr(given, "data", environ.get("DT_COORDINATOR_DATA") or DATA)),
        database=getattr(given, "database", environ.get("DT_COORDINATOR_DATABASE", "")),
        patience=patience,
        retention=Retention(
            runs_s=seconds_of(given, "retention", default.runs_s, least=60.0),
            audit_s=seconds_of(given, "audit_retention", default.audit_s, least=60.0),
            history_s=seconds_of(given, "history_retention", default.history_s, least=60.0),
            others_s=seconds_of(given, "credential_retention", default.others_s, least=60.0),
            max_database_bytes=bytes_of(given, "max_database", default.max_database_bytes),
        ),
        max_blobs_bytes=bytes_of(given, "max_blobs", 50 << 30),
    )


def seconds_of(given: argparse.Namespace, name: str, default: float, *, least: float) -> float:
    """The option `name` in seconds. Raises ConfigurationError."""
    text = getattr(given, name, None)
    if text is None:
        return default
    try:
        seconds = DURATION.read(text)
    except ValueError:
        raise ConfigurationError(f"--{name.replace('_', '-')} is {text!r}; expected {DURATION.expected}") from None
    return max(seconds, least)


def bytes_of(given: argparse.Namespace, name: str, default: int) -> int:
    """The option `name`, a size such as 5GiB, in bytes. Raises ConfigurationError."""
    text = getattr(given, name, None)
    try:
        return default if text is None else BYTE_COUNT.read(text)
    except ValueError:
        raise ConfigurationError(f"--{name.replace('_', '-')} is {text!r}; expected {BYTE_COUNT.expected}") from None
