"""The way to a coordinator for commands that ask it something: its address, a key, and how errors are told."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dt_action.cli.arguments import Parser
from dt_action.errors import ConfigurationError
from dt_action.remote.link import Link, LinkError, patiently

T = TypeVar("T")
PATIENCE_S = 10.0


def link_parser(command: str, summary: str, epilog: str = "") -> Parser:
    """A parser of a command that asks a coordinator."""
    parser = Parser(command, summary, epilog=epilog)
    parser.add_argument("--coordinator", metavar="URL", help="address of the coordinator, else COORDINATOR_URL")
    return parser


def ask(given: argparse.Namespace, environ: Mapping[str, str], work: Callable[[Link, str], T]) -> T:
    """Do `work` with a link and the key, patiently while the coordinator is away. Raises FleetError."""
    url = getattr(given, "coordinator", environ.get("COORDINATOR_URL", ""))
    if not url:
        raise ConfigurationError("no coordinator is named", hint="add --coordinator https://dt.example.org")
    key = environ.get("COORDINATOR_API_KEY", "") or environ.get("DT_API_KEY", "")
    link = Link(url)
    try:
        return patiently(lambda: work(link, key), patience_s=PATIENCE_S)
    except LinkError as error:
        raise error.as_fleet_error(url) from error
    finally:
        link.close()


def plain(text: Any) -> str:
    """Without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
