"""Serving: uvicorn with limits on headers, on the time they may take, and on the way down."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import FrameType

import sqlalchemy as sa
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dt_action.coordinator.app import create_app
from dt_action.coordinator.oidc import Oidc, read_policies
from dt_action.coordinator.service import Config, Service
from dt_action.errors import ConfigurationError

MOST_HEADER_BYTES = 32 * 1024
HEADER_PATIENCE_S = 20.0
"""A connection that has not sent a whole request head by then is closed."""

SHUTDOWN_S = 10


class PatientH11(H11Protocol):
    """uvicorn waits for a request head for ever; this closes connections that send theirs a byte at a time."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """A connection begins, and with it the wait for its first request."""
        super().connection_made(transport)
        self._impatience = self.loop.call_later(HEADER_PATIENCE_S, self._close_unless_asked)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        if self._impatience is not None:
            self._impatience.cancel()
        super().connection_lost(exc)

    def _close_unless_asked(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class Serving(uvicorn.Server):
    """uvicorn lets open streams and polls run on when it is told to end; this ends them, and they come back later."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        super().handle_exit(sig, frame)
        self._service.let_go()


def serve(config: Config, *, host: str, port: int, tls: tuple[str, str] | None = None, oidc: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Open streams and polls are ended, and come back to the next coordinator."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    policies = Oidc(read_policies(oidc)) if oidc is not None else None
    service = _opened(config, policies)
    server = Serving(settings(service, host=host, port=port, tls=tls), service)
    server.run()
    return 0 if server.started else 4


def _opened(config: Config, policies: Oidc | None) -> Service:
    """A service that can work. Raises ConfigurationError with the reason where it cannot."""
    try:
        service = Service(config, oidc=policies)
        service.open()
    except (OSError, sa.exc.SQLAlchemyError) as error:
        where = sa.make_url(config.url).render_as_string(hide_password=True)
        raise ConfigurationError(
            f"the coordinator cannot work with {where} and {config.data}: {getattr(error, 'orig', None) or error}",
            hint="is the database up, has the disk room, and may this user write there?",
        ) from error
    return service


def settings(service: Service, *, host: str, port: int, tls: tuple[str, str] | None = None) -> uvicorn.Config:
    """How uvicorn serves `service`."""
    return uvicorn.Config(
        create_app(service),
        host=host,
        port=port,
        http=PatientH11,
        ws="none",
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=SHUTDOWN_S,
        limit_concurrency=4096,
        backlog=2048,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
