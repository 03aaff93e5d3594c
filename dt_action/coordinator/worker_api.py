"""The paths for workers: enrolling, asking for leases, and telling what slots do."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import replace
from functools import partial
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from dt_action import __version__
from dt_action.coordinator import auth
from dt_action.coordinator.callers import CallingLease, CallingWorker, Enrolling, Id, Json, Renewing, Serving
from dt_action.coordinator.interface import takes
from dt_action.coordinator.service import Service
from dt_action.coordinator.store import ENROLMENTS, WORKERS, Changes, rows_of
from dt_action.coordinator.writer import RefusalError
from dt_action.model.json_codec import to_jsonable
from dt_action.remote import wire

PATHS = APIRouter(tags=["workers"])
MOST_WAIT_S = 30.0
OLDEST_WORKER = "0.1"
"""The oldest dt whose workers this coordinator understands. It changes with what workers and coordinator say."""

_WORKER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

Enrolment = Annotated[wire.Enrolment, Depends(Json(wire.Enrolment, most_bytes=64 << 10))]
Poll = Annotated[wire.Poll, Depends(Json(wire.Poll, most_bytes=256 << 10))]
Told = Annotated[wire.Told, Depends(Json(wire.Told, most_bytes=wire.MAX_TOLD_BYTES))]


@PATHS.post("/workers", status_code=201, openapi_extra=takes(wire.Enrolment))
async def enrol(service: Serving, token: Enrolling, asked: Enrolment) -> Response:
    """A machine becomes a worker, by an enrolment token."""
    if not _WORKER_NAME.fullmatch(asked.name):
        raise RefusalError(422, "expected a name of letters, digits, dots, dashes and underscores, at most 63")
    if not 1 <= asked.slots <= 1024 or not asked.boot or len(asked.boot) > 64:
        raise RefusalError(422, "expected 1 to 1024 slots, and a boot of 1 to 64 characters")
    _refuse_old(asked.version)
    renewal = secrets.token_urlsafe(32)

    def job(changes: Changes) -> str:
        enrolment = service.guard.enrolment(token, boot=asked.boot, changes=changes)
        _refuse_removed(service, asked)
        worker = service.desk.enrol(changes, asked, enrolment=enrolment, renewal_hash=auth.digest(renewal))
        used = ENROLMENTS.update().where(ENROLMENTS.c.id == enrolment, ENROLMENTS.c.uses_left > 0)
        changes.execute(used.values(uses_left=ENROLMENTS.c.uses_left - 1))
        return worker.id

    worker = await service.do(job)
    enrolled = wire.Enrolled(
        worker=worker,
        jwt=service.guard.worker_jwt(worker),
        expires_s=auth.JWT_S,
        renewal=renewal,
        lease_s=service.config.patience.lease_s,
        notice=_notice(asked.version),
    )
    return JSONResponse(to_jsonable(enrolled), status_code=201)


def _numbers(version: str) -> tuple[int, ...]:
    """`0.10.2.dev1` -> (0, 10, 2)."""
    found = re.match(r"\d{1,9}(?:\.\d{1,9}){0,3}", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _refuse_old(version: str) -> None:
    """A worker whose messages this coordinator does not understand is told to be updated."""
    if version and _numbers(version) < _numbers(OLDEST_WORKER):
        raise RefusalError(
            403,
            f"this worker's dt is too old for this coordinator: expected {OLDEST_WORKER} or newer",
            hint=f"install dt {__version__} on the worker, the version of the coordinator",
        )


def _notice(version: str) -> str:
    if version == __version__:
        return ""
    return f"the coordinator has dt {__version__}, this worker {version or 'an older one'}; update it to the same"


def _refuse_removed(service: Service, asked: wire.Enrolment) -> None:
    """A worker that an admin removed stays removed, whatever token it has, until it is readmitted."""
    same = sa.or_(WORKERS.c.name == asked.name, WORKERS.c.boot == asked.boot)
    if rows_of(service.engine, sa.select(WORKERS.c.id).where(WORKERS.c.state == "removed", same).limit(1)):
        raise RefusalError(
            403,
            f"the worker {asked.name} was removed",
            hint=f"an admin lets it in again: dt workers readmit {asked.name}",
        )


@PATHS.post("/workers/{worker}/token")
async def renew(service: Serving, worker: Renewing) -> Response:
    """The next JWT of a worker, for its renewal secret."""
    return JSONResponse(to_jsonable(wire.Renewed(jwt=service.guard.worker_jwt(worker), expires_s=auth.JWT_S)))


@PATHS.delete("/workers/{worker}", status_code=204)
async def goodbye(worker: Id, service: Serving, calling: CallingWorker) -> Response:
    """A worker leaves."""
    if calling != worker:
        raise RefusalError(403, "this token is another worker's")
    await service.do(lambda changes: service.desk.leave(changes, worker, reason="it said goodbye"))
    return Response(status_code=204)


@PATHS.post("/leases", openapi_extra=takes(wire.Poll))
async def poll(request: Request, service: Serving, worker: CallingWorker, asked: Poll) -> Response:
    """New leases and commands for a worker; waits for some at most `wait_s`. It is the worker's heartbeat, too."""
    most_s = min(MOST_WAIT_S, service.config.patience.lease_s / 3)  # the next poll is the next sign of life
    deadline = time.monotonic() + max(0.0, min(asked.wait_s, most_s))
    told: wire.Poll = asked
    while True:
        count = service.notifier.count(worker)
        work = await service.do(partial(_polled, service, worker, told))
        told = replace(asked, log=(), vitals=None)  # they are taken in with the first look
        left_s = deadline - time.monotonic()
        if work.leases or work.commands or work.revoked or left_s <= 0 or service.notifier.is_closed:
            return JSONResponse(to_jsonable(work))
        if work.is_draining != asked.is_draining:
            return JSONResponse(to_jsonable(work))
        await service.notifier.wait(worker, count, left_s)
        if await request.is_disconnected():
            return Response(status_code=204)


def _polled(service: Service, worker: str, asked: wire.Poll, changes: Changes) -> wire.Work:
    return service.desk.poll(changes, worker, asked)


@PATHS.post("/leases/{lease}/events", openapi_extra=takes(wire.Told))
async def take_messages(service: Serving, lease: CallingLease, asked: Told) -> Response:
    """What a slot told, with the token of its lease; the answer is given when it is on disk."""
    if len(asked.messages) > wire.MAX_MESSAGES:
        raise RefusalError(413, f"expected at most {wire.MAX_MESSAGES} messages at once")
    taken = await service.do(lambda changes: service.desk.take_messages(changes, lease, asked))
    return JSONResponse(to_jsonable(taken))


@PATHS.get("/leases/{lease}/bundle")
async def bundle(service: Serving, lease: CallingLease) -> Response:
    """The source tree of the lease's run, with the token of the lease."""
    live = service.desk.leases.get(lease)
    run = service.desk.runs.get(live.run) if live is not None else None
    if run is None:
        raise RefusalError(410, "this lease was given away or is over")
    path = service.blobs.path(run.submission.bundle)
    if not await run_in_threadpool(path.is_file):
        raise RefusalError(404, "the bundle is gone")
    return FileResponse(path, media_type="application/gzip")
