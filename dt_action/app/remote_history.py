"""The history that a coordinator keeps, as this program asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlencode

from dt_action.errors import FleetError
from dt_action.history.remote import RemoteHistory
from dt_action.remote.link import Link, LinkError, patiently

CONNECT_TIMEOUT_S = 30.0


def history_of(
    url: str, key: str, repository: str, *, warn: Callable[[str], None], connect_timeout_s: float = CONNECT_TIMEOUT_S
) -> RemoteHistory:
    """The history of `repository` at the coordinator, for the holder of `key`."""
    path = f"/history?{urlencode({'repository': repository})}"

    def fetch() -> list[bytes]:
        pieces = asked(lambda link: link.get_json(path, token=key))
        if not isinstance(pieces, list):
            raise FleetError(f"the coordinator {url} answered with something else than a history")
        return [json.dumps(piece).encode("ascii") for piece in pieces]

    def add(content: bytes) -> None:
        asked(lambda link: link.request("POST", path, token=key, data=content))

    def asked(ask: Callable[[Link], object]) -> object:
        link = Link(url)
        try:
            return patiently(lambda: ask(link), patience_s=connect_timeout_s)
        except LinkError as error:
            raise error.as_fleet_error(url) from error
        finally:
            link.close()

    return RemoteHistory(f"the coordinator {url}", fetch, add, warn)
