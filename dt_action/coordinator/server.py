"""Serving: uvicorn with limits on headers, on the time they may take, and on the way down."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.coordinator.app import create_app
from dt_action.coordinator.service import Config, Service

if TYPE_CHECKING:
    import uvicorn

MOST_HEADER_BYTES = 32 * 1024
HEADER_PATIENCE_S = 20.0
"""A connection that has not sent a whole request head by then is closed."""

SHUTDOWN_S = 10


def serve(config: Config, *, host: str, port: int, tls: tuple[str, str] | None = None, oidc: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Open streams and polls are ended, and come back to the next coordinator."""
    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    server = uvicorn.Server(settings(Service(config), host=host, port=port, tls=tls))
    server.run()
    return 0 if server.started else 4


def settings(service: Service, *, host: str, port: int, tls: tuple[str, str] | None = None) -> uvicorn.Config:
    """How uvicorn serves `service`."""
    import uvicorn

    return uvicorn.Config(
        create_app(service),
        host=host,
        port=port,
        http="h11",
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
