"""Coverage data of slots: taken in from workers as long as a lease holds, and handed to who follows the run."""

from __future__ import annotations

import time
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.bundles import SHARE
from dt_action.coordinator.callers import Calling, CallingLease, Digest, Id, Serving, seen_run
from dt_action.coordinator.desk import Desk
from dt_action.coordinator.interface import takes_bytes
from dt_action.coordinator.protection import check_length
from dt_action.coordinator.service import Service
from dt_action.coordinator.store import LEASES, RESULTS, RUNS, UPLOADS, WORKERS, Changes, rows_of, storable
from dt_action.coordinator.writer import RefusalError
from dt_action.model.json_codec import to_jsonable
from dt_action.remote import wire

PATHS = APIRouter(tags=["coverage"])
MOST_WAIT_S = 20.0
MOST_ROOT = 4096


@PATHS.put("/leases/{lease}/coverage/{digest}", status_code=201, openapi_extra=takes_bytes("application/octet-stream"))
async def put_upload(
    digest: Digest,
    request: Request,
    service: Serving,
    lease: CallingLease,
    root: Annotated[str, Query(max_length=MOST_ROOT)],
) -> dict[str, str]:
    """Take in what the process of a lease measured, with the token of the lease. Sent again, it is the same."""
    check_length(request.scope, service.uploads.max_bytes)
    await service.do(lambda _: _check_share(service.engine, _holder(service.desk, service.engine, lease).run, service))
    size = await service.uploads.take_in(digest, request.stream())
    await service.do(
        lambda changes: keep(service.desk, service.engine, changes, lease, digest=digest, root=root, size=size)
    )
    return {"digest": digest}


def _check_share(engine: sa.Engine, run: str, service: Service) -> None:
    """Raise RefusalError where the runs of one owner have left more than a share of the space for all."""
    owner = sa.select(RUNS.c.owner).where(RUNS.c.id == run).scalar_subquery()
    kept = sa.select(sa.func.sum(UPLOADS.c.bytes)).join(RUNS, RUNS.c.id == UPLOADS.c.run).where(RUNS.c.owner == owner)
    if (rows_of(engine, kept)[0][0] or 0) > service.uploads.max_total_bytes * SHARE:
        raise RefusalError(507, "the coverage of this key's runs takes all the space that it may have")


@PATHS.get("/runs/{run}/coverage")
async def run_uploads(
    run: Id, service: Serving, caller: Calling, wait_s: Annotated[float, Query(ge=0, le=60)] = 0.0
) -> Response:
    """What the slots of a run measured; waits at most `wait_s` for the rest of it."""
    await seen_run(service, caller, run)
    deadline = time.monotonic() + min(wait_s, MOST_WAIT_S)
    while True:
        count = service.notifier.count(run)
        found = await run_in_threadpool(uploads_of, service.engine, run)
        left_s = deadline - time.monotonic()
        if found.is_whole or left_s <= 0 or service.notifier.is_closed:
            return JSONResponse(to_jsonable(found))
        await service.notifier.wait(run, count, left_s)


@PATHS.get("/runs/{run}/coverage/{digest}")
async def upload(run: Id, digest: Digest, service: Serving, caller: Calling) -> Response:
    """The data of one slot of a run."""
    await seen_run(service, caller, run)
    is_of_run = sa.select(UPLOADS.c.lease).where(UPLOADS.c.run == run, UPLOADS.c.digest == digest)
    path = service.uploads.path(digest)
    if not await run_in_threadpool(rows_of, service.engine, is_of_run) or not await run_in_threadpool(path.is_file):
        raise RefusalError(404, "this run has no such coverage data (any more)")
    return FileResponse(path, media_type="application/gzip")


def keep(desk: Desk, engine: sa.Engine, changes: Changes, lease_id: str, *, digest: str, root: str, size: int) -> None:
    """Note that the data of a lease is here. Raises RefusalError where the lease was given away meanwhile."""
    lease = _holder(desk, engine, lease_id)
    if rows_of(engine, sa.select(UPLOADS.c.lease).where(UPLOADS.c.lease == lease_id)):
        return
    names = rows_of(engine, sa.select(WORKERS.c.name).where(WORKERS.c.id == lease.worker))
    changes.add(
        UPLOADS,
        lease=lease_id,
        run=lease.run,
        digest=digest,
        root=storable(root, MOST_ROOT),
        worker=names[0].name if names else "",
        slot=lease.slot,
        bytes=size,
    )
    desk.live.changed_runs.add(lease.run)


def uploads_of(engine: sa.Engine, run: str) -> wire.CoverageUploads:
    """What there is of a run. It is whole when the run is over and every slot that still held a lease has sent."""
    rows = rows_of(engine, sa.select(UPLOADS).where(UPLOADS.c.run == run))
    sent = {row.lease for row in rows}
    open_leases = rows_of(engine, sa.select(LEASES.c.id).where(LEASES.c.run == run, LEASES.c.state == "open"))
    is_over = bool(rows_of(engine, sa.select(RUNS.c.id).where(RUNS.c.id == run, RUNS.c.ended_at.is_not(None))))
    is_whole = is_over and all(row.id in sent for row in open_leases)
    return wire.CoverageUploads(
        is_whole=is_whole,
        uploads=tuple(
            wire.CoverageUpload(digest=row.digest, root=row.root, worker=row.worker, slot=row.slot)
            for row in sorted(rows, key=lambda row: (row.worker, row.slot))
        ),
        lost=_lost(engine, run, {row.slot for row in rows}) if is_whole else (),
    )


def _lost(engine: sa.Engine, run: str, sent: set[str]) -> tuple[str, ...]:
    """The slots whose tests have results, and that sent nothing: their worker was gone, or could not save it."""
    of_run = RESULTS.c.run == run, RESULTS.c.outcome != "lost", RESULTS.c.slot != ""
    ran = rows_of(engine, sa.select(RESULTS.c.worker, RESULTS.c.slot).where(*of_run).distinct())
    return tuple(sorted(f"{row.slot} on {row.worker}" for row in ran if row.slot not in sent))


def _holder(desk: Desk, engine: sa.Engine, lease_id: str) -> Any:
    """
    A lease that still holds, with its `run`, `worker` and `slot`. Raises RefusalError.

    A run that was over when the coordinator was started again is not in memory; the leases of its last slots, which
    may still be saving, are in the database.
    """
    lease = desk.leases.get(lease_id)
    if lease is not None:
        return lease
    rows = rows_of(engine, sa.select(LEASES).where(LEASES.c.id == lease_id, LEASES.c.state == "open"))
    if not rows or rows[0].run in desk.runs:
        raise RefusalError(410, "this lease was given away or is over; what it measured is ignored")
    return rows[0]
