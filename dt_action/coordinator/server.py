"""Serving: uvicorn with limits on heads, on connections, and on the way down."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import sqlalchemy as sa
import uvicorn

from dt_action.coordinator import journal
from dt_action.coordinator.app import create_app
from dt_action.coordinator.connections import BACKLOG, Connections, most_connections, protocol_for
from dt_action.coordinator.oidc import Oidc, read_policies
from dt_action.coordinator.private import keep_private
from dt_action.coordinator.service import Config, Service
from dt_action.errors import ConfigurationError

MOST_HEADER_BYTES = 32 * 1024
SHUTDOWN_S = 10


class Serving(uvicorn.Server):
    """uvicorn lets open streams and polls run on when it is told to end; this ends them, and they come back later."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        super().handle_exit(sig, frame)
        self._service.let_go()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """
    Where and how the server listens. `tls` has the files of a certificate chain and its key, in PEM.

    `trusted_proxies` are addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    """

    host: str
    port: int
    tls: tuple[str, str] | None = None
    trusted_proxies: tuple[str, ...] = ()


def serve(
    config: Config, listening: Listening, *, oidc: Path | None = None, log_format: journal.Format = "text"
) -> int:
    """Serve until SIGTERM or SIGINT. Open streams and polls are ended, and come back to the next coordinator."""
    keep_private()
    journal.set_up(log_format, sys.stderr)
    policies = Oidc(read_policies(oidc)) if oidc is not None else None
    most = most_connections()
    service = _opened(config, policies, most)
    server = Serving(settings(service, listening, Connections(most=most)), service)
    server.run()
    return 0 if server.started else 4


def _opened(config: Config, policies: Oidc | None, most_connections: int) -> Service:
    """A service that can work. Raises ConfigurationError with the reason where it cannot."""
    try:
        service = Service(config, oidc=policies, most_connections=most_connections)
        service.open()
    except (OSError, sa.exc.SQLAlchemyError) as error:
        where = sa.make_url(config.url).render_as_string(hide_password=True)
        raise ConfigurationError(
            f"the coordinator cannot work with {where} and {config.data}: {getattr(error, 'orig', None) or error}",
            hint="is the database up, has the disk room, and may this user write there?",
        ) from error
    return service


def settings(service: Service, listening: Listening, connections: Connections) -> uvicorn.Config:
    """How uvicorn serves `service`."""
    return uvicorn.Config(
        create_app(service),
        host=listening.host,
        port=listening.port,
        http=protocol_for(connections),
        ws="none",
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(listening.trusted_proxies),
        forwarded_allow_ips=[*listening.trusted_proxies],
        ssl_certfile=listening.tls[0] if listening.tls else None,
        ssl_keyfile=listening.tls[1] if listening.tls else None,
    )
