"""The histories of repositories in the database: what clients remember of their runs, merged and bounded."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.auth import Caller
from dt_action.coordinator.callers import Calling, Serving
from dt_action.coordinator.interface import takes_bytes
from dt_action.coordinator.protection import check_length
from dt_action.coordinator.store import HISTORY, Changes, rows_of, storable
from dt_action.history import merged
from dt_action.history.codec import decode
from dt_action.history.stores import COMPACT_FROM, bounded

MOST_PIECE_BYTES = 16 << 20
"""So much is taken in at once: what one run says of 100,000 cases takes a third of it."""

PATHS = APIRouter(tags=["history"])
Repository = Annotated[str, Query(max_length=255)]


@PATHS.get("/history")
async def history(service: Serving, caller: Calling, repository: Repository = "") -> Response:
    """All that is remembered of a repository: a JSON list of the pieces that it is kept in."""
    _expect_own(caller, "read", repository)
    pieces = await run_in_threadpool(_pieces, service.engine, repository)
    return Response(f"[{','.join(piece.payload for piece in pieces)}]", media_type="application/json")


@PATHS.post("/history", status_code=201, openapi_extra=takes_bytes("application/octet-stream"))
async def remember(request: Request, service: Serving, caller: Calling, repository: Repository = "") -> dict[str, str]:
    """Take in records of runs; many pieces are merged into one."""
    _expect_own(caller, "submit", repository)
    check_length(request.scope, MOST_PIECE_BYTES)
    body = await request.body()
    async with service.reading:
        payload = await run_in_threadpool(_checked, body)
    await service.do(lambda changes: _add(changes, repository, payload))
    pieces = await run_in_threadpool(_pieces, service.engine, repository)
    if len(pieces) >= COMPACT_FROM:
        whole = await run_in_threadpool(_whole, pieces)
        await service.do(lambda changes: _replace(service.engine, changes, repository, pieces, whole))
    return {"repository": repository}


def _expect_own(caller: Caller, scope: str, repository: str) -> None:
    """A credential that is bound to repositories has theirs, and any other one what its scopes allow."""
    caller.require_repository(repository)
    if not (caller.repositories and scope == "read"):
        caller.require(scope)


def _checked(content: bytes) -> str:
    """The payload, when it is records of runs. Raises UnreadableError."""
    decode(content)
    return content.decode("ascii", "strict") if content.isascii() else bounded(decode(content)).decode("ascii")


def _pieces(engine: sa.Engine, repository: str) -> Sequence[sa.Row[tuple[str, str]]]:
    chosen = sa.select(HISTORY.c.id, HISTORY.c.payload).where(HISTORY.c.repository == storable(repository, 255))
    return rows_of(engine, chosen.order_by(HISTORY.c.at))


def _whole(pieces: Sequence[sa.Row[tuple[str, str]]]) -> str:
    return bounded(merged(*(decode(piece.payload.encode("ascii")) for piece in pieces))).decode("ascii")


def _add(changes: Changes, repository: str, payload: str) -> None:
    name = storable(repository, 255)
    changes.add(HISTORY, id=secrets.token_hex(8), repository=name, at=time.time(), payload=payload)


def _replace(
    engine: sa.Engine, changes: Changes, repository: str, pieces: Sequence[sa.Row[tuple[str, str]]], whole: str
) -> None:
    """The merged piece in the place of what went into it, unless somebody else has merged these meanwhile."""
    ids = [piece.id for piece in pieces]
    still = rows_of(engine, sa.select(HISTORY.c.id).where(HISTORY.c.id.in_(ids)))
    if len(still) == len(ids):
        changes.execute(HISTORY.delete().where(HISTORY.c.id.in_(ids)))
        _add(changes, repository, whole)
